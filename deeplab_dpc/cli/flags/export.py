"""Exports a SavedModel, a TensorFlow Lite file, an ONNX file or a TensorFlow 1 checkpoint, or several of these.

The SavedModel maps `image`, uint8 [batch, height, width, 3], to `semantic`, the class ids; see docs/serving.md. Each
export is loaded again and compared with the Keras model on real images before it gets its final name.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

from deeplab_dpc.cli.flags.base import CommandFlags, ConfigFields, FlagGroup, fields_of, flag
from deeplab_dpc.cli.flags.shared import SourceFlags
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFlags(FlagGroup):
    """The flags of the images that an export is compared and calibrated on."""

    TITLE: ClassVar[str] = "Images"

    check: bool = flag(True, "Whether each export is compared with the Keras model on real images.")
    check_images: str | None = flag(
        None,
        "Images for the comparison, given as --images of deeplab-dpc predict; by default images of the run's data set.",
    )
    num_check_images: int = flag(8, f"Number of images of the {CHECK_SPLIT} split that are compared by default.")
    calibration_images: str | None = flag(
        None,
        "Images that calibrate the activations' ranges for int8, given as --images of deeplab-dpc predict; by default "
        "images of the run's data set.",
    )
    num_calibration_images: int = flag(100, "Number of images of the train split that calibrate by default.")


def _target(meaning: str) -> Any:
    kept = "An existing export is kept if it is complete and of the same network and flags; otherwise, it is an error."
    return flag(None, f"{meaning} {kept}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(CommandFlags):
    """The flags of deeplab-dpc export."""

    ALIASES: ClassVar[Mapping[str, str]] = {"inference_scales": "eval_scales"}  # as DeepLab's export_model.py calls it

    source: SourceFlags
    inference: ConfigFields[InferenceConfig] = fields_of(InferenceConfig, title="Prediction")
    saved_model: ConfigFields[SavedModelOptions] = fields_of(SavedModelOptions, title="Export")
    export_dir: str | None = _target("Directory of the SavedModel.")
    export_tflite: str | None = _target("TensorFlow Lite file to write, for images of --export_size.")
    export_onnx: str | None = _target("ONNX file to write.")
    export_checkpoint: str | None = _target("Prefix of the TensorFlow 1 checkpoint, as in FOLDER/model.ckpt.")
    tflite_type: str = flag(
        FLOAT32,
        "Type of the numbers in the TFLite file: float32, float16 (half the size) or int8 (a quarter of the size, "
        "integers throughout).",
        choices=TFLITE_TYPES,
    )
    images: ImageFlags
    min_agreement: float | None = flag(
        None,
        "Share of pixels on which each export must agree with the Keras model, in [0, 1]; by default 1 "
        f"for a SavedModel (on a GPU 0.999), {FLOAT_AGREEMENT} for ONNX and TFLite, {INT8_AGREEMENT} for "
        f"int8, {BFLOAT16_AGREEMENT} for bfloat16.",
    )
