"""Exports a SavedModel, a TensorFlow 1 checkpoint under DeepLab's variable names, or both.

The SavedModel: `image` uint8 [batch, height, width, 3] -> `semantic` class ids and `probabilities`.
"""

from absl import flags

from deeplab_dpc.checkpoint.names import named_arrays
from deeplab_dpc.checkpoint.tf1 import refuse_existing, write_tf1_checkpoint
from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.model_source import LoadedModel, define_source_flags, load_model
from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.saved_model import export_saved_model
from deeplab_dpc.models.inference_network import inference_network
from deeplab_dpc.models.predictor import Predictor


def define_flags(values: flags.FlagValues) -> None:
    """The flags of export.py."""
    define_source_flags(values)
    flag_groups.define_config_flags(values, InferenceConfig)
    flags.DEFINE_string("export_dir", None, "Directory of the SavedModel; it must not exist.", flag_values=values)
    flags.DEFINE_string(
        "export_checkpoint",
        None,
        "Prefix of the TensorFlow 1 checkpoint, as in FOLDER/model.ckpt; it must not exist.",
        flag_values=values,
    )


def main(values: flags.FlagValues) -> None:
    """Exports."""
    if not values.export_dir and not values.export_checkpoint:
        raise UserError("Give --export_dir (for a SavedModel), --export_checkpoint (for a checkpoint), or both.")
    if values.export_checkpoint:
        refuse_existing(values.export_checkpoint)
    loaded = load_model(values)
    if values.export_dir:
        _export_saved_model(loaded, values)
    if values.export_checkpoint:
        write_tf1_checkpoint(values.export_checkpoint, named_arrays(loaded.segmenter), loaded.step)
        console.print(f"Written: {values.export_checkpoint}.index and .data-00000-of-00001, step {loaded.step}")


def _export_saved_model(loaded: LoadedModel, values: flags.FlagValues) -> None:
    info = {
        "class_names": list(loaded.class_names),
        "palette": [list(color) for color in loaded.palette],
        "ignore_label": loaded.ignore_label,
        "source": loaded.source,
        "model": loaded.segmenter.config.to_json(),
    }
    config = flag_groups.config_from_flags(InferenceConfig, values)
    predictor = Predictor(inference_network(loaded.segmenter, config), config)
    export_saved_model(predictor, values.export_dir, info)
    console.print(f"Written: {values.export_dir} (image uint8 [batch, height, width, 3] -> semantic, probabilities)")
