"""Exports a SavedModel, a TensorFlow Lite file, an ONNX file or a TensorFlow 1 checkpoint; several in one command.

The SavedModel: `image` uint8 [batch, height, width, 3] -> `semantic`, the class ids; see docs/serving.md. What is
exported is loaded again and compared with the Keras model on real images before it appears under its name.
"""

from absl import flags

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.flag_help import concerning
from deeplab_dpc.cli.flags.shared import define_source_flags
from deeplab_dpc.config import InferenceConfig, SavedModelOptions
from deeplab_dpc.config.export import BFLOAT16_AGREEMENT, FLOAT32, FLOAT_AGREEMENT, INT8_AGREEMENT, TFLITE_TYPES

CHECK_SPLIT = "val"
COMMON = (
    "workdir",
    "run_checkpoint",
    "checkpoint_path",
    "num_classes",
    "classes",
    "model_variant",
    "output_stride",
    "dense_prediction_cell_json",
    "export_dir",
    "export_tflite",
    "export_onnx",
    "export_checkpoint",
    "tflite_type",
    "export_size",
    "max_side",
    "encoded_signature",
    "eval_scales",
    "inference_dtype",
    "check",
    "check_images",
)  # in --help; the others are in --helpfull


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of export.py."""
    define_source_flags(values)
    with concerning(values, "Prediction"):
        flag_groups.define_config_flags(values, InferenceConfig)
        flags.DEFINE_alias(
            "inference_scales", "eval_scales", flag_values=values
        )  # as DeepLab's export_model.py calls it
    with concerning(values, "Export"):
        flag_groups.define_config_flags(values, SavedModelOptions)
    for name, meaning in (
        ("export_dir", "Directory of the SavedModel."),
        ("export_tflite", "TensorFlow Lite file to write, for images of --export_size."),
        ("export_onnx", "ONNX file to write."),
        ("export_checkpoint", "Prefix of the TensorFlow 1 checkpoint, as in FOLDER/model.ckpt."),
    ):
        kept = "An existing export is kept if it is complete and of the same network and flags, and refused otherwise."
        flags.DEFINE_string(name, None, f"{meaning} {kept}", flag_values=values)
    flags.DEFINE_enum(
        "tflite_type",
        FLOAT32,
        TFLITE_TYPES,
        "Type of the numbers in the TFLite file: float32, float16 (half the size), or int8 (a quarter, "
        "integers throughout).",
        flag_values=values,
    )
    define_image_flags(values)
    flags.DEFINE_float(
        "min_agreement",
        None,
        "Share of pixels on which each export must agree with the Keras model, in [0, 1]; by default 1 "
        f"for a SavedModel (on a GPU 0.999), {FLOAT_AGREEMENT} for ONNX and TFLite, {INT8_AGREEMENT} for "
        f"int8, {BFLOAT16_AGREEMENT} for bfloat16.",
        flag_values=values,
    )


def define_image_flags(values: flags.FlagValues) -> None:
    """Defines the flags of the images, and of their number in a data set."""
    with concerning(values, "Images"):
        flags.DEFINE_bool(
            "check", True, "Whether each export is compared with the Keras model on real images.", flag_values=values
        )
        flags.DEFINE_string(
            "check_images",
            None,
            "Images for the comparison, as --images of predict.py; by default images of the run's data set.",
            flag_values=values,
        )
        flags.DEFINE_integer(
            "num_check_images",
            8,
            f"Number of images of the {CHECK_SPLIT} split that are compared by default.",
            flag_values=values,
        )
        flags.DEFINE_string(
            "calibration_images",
            None,
            "Images that calibrate the activations' ranges for int8, as --images of predict.py; by default "
            "images of the run's data set.",
            flag_values=values,
        )
        flags.DEFINE_integer(
            "num_calibration_images",
            100,
            "Number of images of the train split that are used by default.",
            flag_values=values,
        )
