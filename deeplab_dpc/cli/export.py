"""Exports a SavedModel: `image` uint8 [batch, height, width, 3] -> `semantic` class ids and `probabilities`."""

from absl import flags

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.model_source import define_source_flags, load_model
from deeplab_dpc.console import console
from deeplab_dpc.export.saved_model import export_saved_model
from deeplab_dpc.models.predictor import Predictor


def define_flags(values: flags.FlagValues) -> None:
    """The flags of export.py."""
    define_source_flags(values)
    flags.DEFINE_string("export_dir", None, "Directory of the SavedModel; it must not exist.", flag_values=values)


def main(values: flags.FlagValues) -> None:
    """Exports."""
    flag_groups.required(values, "export_dir")
    loaded = load_model(values)
    info = {
        "class_names": list(loaded.class_names),
        "palette": [list(color) for color in loaded.palette],
        "ignore_label": loaded.ignore_label,
        "source": loaded.source,
        "model": loaded.segmenter.config.to_json(),
    }
    predictor = Predictor(loaded.segmenter, flag_groups.size(values, "eval_crop_size"))
    export_saved_model(predictor, values.export_dir, info)
    console.print(f"Written: {values.export_dir} (image uint8 [batch, height, width, 3] -> semantic, probabilities)")
