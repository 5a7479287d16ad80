"""The network that re-ranking trains: the proxy's, or one with another backbone (arXiv:1809.04184, Fig. 3a).

The paper's proxy runs on a MobileNetV2, and the cells that it finds are trained end to end on an Xception.
"""

import dataclasses
from typing import Any

from deeplab_dpc.config import ModelConfig, SearchConfig
from deeplab_dpc.config.train import InitialWeights
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.backbones import backbone_names
from deeplab_dpc.models.backbones.backbone import BACKBONE_OPTIONS


@dataclasses.dataclass(frozen=True)
class RerankNetwork:
    """A network and its initial checkpoint.

    Attributes:
      config: configuration of the network without the cell.
      initial: initial weights of the network.
    """

    config: ModelConfig
    initial: InitialWeights


def rerank_network(config: SearchConfig, model_config: ModelConfig, initial: InitialWeights) -> RerankNetwork:
    """Returns the network of re-ranking; to be called before a search begins, so that wrong flags are reported early.

    A backbone other than the proxy's has its published form: depth multiplier, rounding, multi-grid rates, genotype and
    its filters were given for the proxy's backbone, and mean something else, or nothing, for another. Output stride,
    context module and decoder are the same.

    Args:
      config: configuration of the search, with rerank_model_variant and rerank_initial_checkpoint.
      model_config: configuration of the proxy's network.
      initial: initial weights of the proxy's backbone. Moving averages are restored from that checkpoint only, not from
        rerank_initial_checkpoint.

    Raises:
      UserError: if there is no such backbone, it does not support the output stride, or the proxy's checkpoint would
        have to fit another backbone.
    """
    variant, checkpoint = config.rerank_model_variant, config.rerank_initial_checkpoint
    network = model_config
    if variant is not None and variant not in backbone_names():
        raise UserError(f"--rerank_model_variant={variant} is not known; choose one of {', '.join(backbone_names())}.")
    if variant is not None and variant != model_config.model_variant:
        if checkpoint is None and initial.checkpoint is not None:
            raise UserError(
                f"--rerank_model_variant={variant} cannot start from --tf_initial_checkpoint={initial.checkpoint}, "
                f"which is of {model_config.model_variant}; give a checkpoint of {variant} as "
                "--rerank_initial_checkpoint."
            )
        defaults: dict[str, Any] = {
            field.name: field.default for field in dataclasses.fields(ModelConfig) if field.name in BACKBONE_OPTIONS
        }
        network = dataclasses.replace(model_config, model_variant=variant, **defaults)
        searched = network.searched
        if searched is not None and searched.output_stride != network.output_stride:
            raise UserError(
                f"--rerank_model_variant={variant} has features at stride {searched.output_stride}, the search at "
                f"--output_stride={network.output_stride}; search at the former stride, or choose another backbone."
            )
    return RerankNetwork(network, initial if checkpoint is None else InitialWeights(checkpoint))
