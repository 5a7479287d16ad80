"""A network for inference only: batch norm multiplied into the convolutions, activations in a chosen precision."""

from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.layers.conv import NormalizedConv
from deeplab_dpc.models.precision import precision_policy
from deeplab_dpc.models.segmenter import Segmenter, build_segmenter


def inference_network(segmenter: Segmenter, config: InferenceConfig) -> Segmenter:
    """Returns the network with the changes for inference that `config` requires: a copy, or the network itself if
    nothing changes.
    """
    if config.inference_dtype == "float32" and not config.fold_batch_norm:
        return segmenter
    with precision_policy(config.inference_dtype):
        network = build_segmenter(segmenter.config)
    network.set_weights(segmenter.get_weights())
    if config.fold_batch_norm:
        for layer in network._flatten_layers():
            if isinstance(layer, NormalizedConv):
                layer.fold_batch_norm()
    return network
