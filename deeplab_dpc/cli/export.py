"""Exports a SavedModel, a TensorFlow Lite file, an ONNX file or a TensorFlow 1 checkpoint; several in one command.

The SavedModel: `image` uint8 [batch, height, width, 3] -> `semantic`, the class ids; see docs/serving.md. What is
exported is loaded again and compared with the Keras model on real images before it appears under its name.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from absl import flags

from deeplab_dpc.checkpoint.names import named_arrays
from deeplab_dpc.checkpoint.run_directory import BEST
from deeplab_dpc.checkpoint.tf1 import refuse_existing, write_tf1_checkpoint
from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.export_images import ExportImages, NamedImage, define_image_flags, scaled
from deeplab_dpc.cli.model_source import LoadedModel, define_source_flags, load_model
from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.agreement import check_agreement, measure_agreement
from deeplab_dpc.export.exported_model import load_exported_model
from deeplab_dpc.export.model_info import ModelInfo, describe_model
from deeplab_dpc.export.onnx import export_onnx, onnx_packages
from deeplab_dpc.export.saved_model import WARMUP_SIZE, expected_agreement, export_saved_model
from deeplab_dpc.export.serving_graph import SavedModelOptions, ServingGraph
from deeplab_dpc.export.tflite import TFLITE_TYPES, export_tflite
from deeplab_dpc.files import atomic_path, remove_partial
from deeplab_dpc.models.image_predictor import ImagePredictor
from deeplab_dpc.models.inference_network import inference_network
from deeplab_dpc.models.predictor import Predictor

# The formats that are checked, by their flag, and how their names end.
CHECKED = {"export_dir": "", "export_tflite": ".tflite", "export_onnx": ".onnx"}
# Share of pixels that must have the class that the Keras model gives them.
BFLOAT16_AGREEMENT = 0.995
FLOAT_AGREEMENT = 0.999
INT8_AGREEMENT = 0.97
FLOAT32 = "float32"

Size = tuple[int, int] | tuple[()]


def define_flags(values: flags.FlagValues) -> None:
    """The flags of export.py."""
    define_source_flags(values)
    flag_groups.define_config_flags(values, InferenceConfig)
    flags.DEFINE_alias("inference_scales", "eval_scales", flag_values=values)  # as DeepLab's export_model.py calls it
    flag_groups.define_config_flags(values, SavedModelOptions)
    for name, meaning in (
        ("export_dir", "Directory of the SavedModel; it must not exist."),
        ("export_tflite", "TensorFlow Lite file to write, for images of --export_size; it must not exist."),
        ("export_onnx", "ONNX file to write; it must not exist."),
        ("export_checkpoint", "Prefix of the TensorFlow 1 checkpoint, as in FOLDER/model.ckpt; it must not exist."),
    ):
        flags.DEFINE_string(name, None, meaning, flag_values=values)
    flags.DEFINE_enum(
        "tflite_type",
        FLOAT32,
        TFLITE_TYPES,
        "Numbers in the TFLite file: float32, float16 (half the size), or int8 (a quarter, integers throughout).",
        flag_values=values,
    )
    define_image_flags(values)
    flags.DEFINE_float(
        "min_agreement",
        None,
        "Share of pixels on which each export must equal the Keras model, in [0, 1]; by default 1 for a SavedModel "
        f"(on a GPU 0.999), {FLOAT_AGREEMENT} for ONNX and TFLite, {INT8_AGREEMENT} for int8, {BFLOAT16_AGREEMENT} for "
        "bfloat16.",
        flag_values=values,
    )


def main(values: flags.FlagValues) -> None:
    """Exports."""
    wanted = [name for name in CHECKED if getattr(values, name)]
    if not wanted and not values.export_checkpoint:
        raise UserError(
            "Give --export_dir (for a SavedModel), --export_checkpoint (for a checkpoint), --export_tflite or "
            "--export_onnx, or several of them."
        )
    if values.export_checkpoint:
        refuse_existing(values.export_checkpoint)
    for name in wanted:
        _check_target(name, pathlib.Path(getattr(values, name)))
    inference = flag_groups.config_from_flags(InferenceConfig, values)
    options = flag_groups.config_from_flags(SavedModelOptions, values)
    _check_flags(values, inference, options)
    loaded = load_model(values)
    if wanted:
        exports = Exports(values, loaded, inference, options)
        for name in wanted:
            {"export_dir": exports.saved_model, "export_tflite": exports.tflite, "export_onnx": exports.onnx}[name]()
    if values.export_checkpoint:
        write_tf1_checkpoint(values.export_checkpoint, named_arrays(loaded.segmenter), loaded.step)
        console.print(f"Written: {values.export_checkpoint}.index and .data-00000-of-00001, step {loaded.step}")


def _check_target(name: str, target: pathlib.Path) -> None:
    if not target.name.endswith(CHECKED[name]):
        raise UserError(f"--{name}={target} must end with {CHECKED[name]}.")
    is_empty_folder = name == "export_dir" and target.is_dir() and not any(target.iterdir())
    if target.exists() and not is_empty_folder:
        kind = "directory" if name == "export_dir" else "file"
        raise UserError(f"--{name}={target} exists; give a new {kind}, so that no model in use is overwritten.")
    remove_partial(target.parent, target.name)


def _check_flags(values: flags.FlagValues, inference: InferenceConfig, options: SavedModelOptions) -> None:
    options.check(inference)
    if not values.export_dir and dataclasses.replace(options, export_size=()) != SavedModelOptions():
        raise UserError(
            "--max_side, --argmax_before_upsampling and --encoded_signature are of a SavedModel; give --export_dir."
        )
    if values.export_onnx:
        onnx_packages()  # raises before anything is written
    if values.tflite_type != FLOAT32 and not values.export_tflite:
        raise UserError("--tflite_type is of a TensorFlow Lite file; give --export_tflite.")
    if values.min_agreement is not None and not 0 <= values.min_agreement <= 1:
        raise UserError(f"--min_agreement must be in [0, 1], got {values.min_agreement}.")


class Exports:
    """Writes a network in several formats, each checked.

    Args:
      values: the flags.
      loaded: the network.
      inference: how it predicts.
      options: of the SavedModel; the size is that of the other formats too.
    """

    def __init__(
        self, values: flags.FlagValues, loaded: LoadedModel, inference: InferenceConfig, options: SavedModelOptions
    ):
        self.values = values
        self.loaded = loaded
        self.options = options
        self.inference = inference
        self.images = ExportImages(values, loaded)
        self.checked: list[NamedImage] = self.images.check() if values.check else []
        self.predictor = Predictor(inference_network(loaded.segmenter, inference), inference)
        # What evaluation and prediction take, but in full precision.
        full = dataclasses.replace(inference, inference_dtype=FLOAT32)
        same = full == inference
        self.reference = self.predictor if same else Predictor(inference_network(loaded.segmenter, full), full)
        if values.export_tflite:  # before anything is written
            self.tflite_size: tuple[int, int] = options.export_size or self.images.largest()
        for name, image in self.checked:
            if not options.export_size:
                self.reference.check_size(image, name)

    def saved_model(self) -> None:
        """Writes --export_dir."""
        options = self.options
        reference = ServingGraph(self.reference, options) if options.approximates else self.reference
        height, width = self.checked[0][1].shape[:2] if self.checked else WARMUP_SIZE

        def write(path: pathlib.Path) -> None:
            info = self._info(format="SavedModel", **options.to_json())
            export_saved_model(self.predictor, path, info, options, (height, width))

        self._write("export_dir", write, reference, options.export_size, expected_agreement())

    def tflite(self) -> None:
        """Writes --export_tflite."""
        kind = self.values.tflite_type
        size = self.tflite_size
        calibration = (scaled(image, size) for _, image in self.images.calibration()) if kind == "int8" else ()

        def write(path: pathlib.Path) -> None:
            info = self._info(format="TFLite", tflite_type=kind, export_size=list(size))
            export_tflite(self.predictor, path, info, kind, size, calibration)

        self._write("export_tflite", write, self.reference, size, INT8_AGREEMENT if kind == "int8" else FLOAT_AGREEMENT)

    def onnx(self) -> None:
        """Writes --export_onnx."""
        size = self.options.export_size

        def write(path: pathlib.Path) -> None:
            info = self._info(format="ONNX", export_size=list(size))
            export_onnx(self.predictor, path, info, size or None)

        self._write("export_onnx", write, self.reference, size, FLOAT_AGREEMENT)

    def _info(self, **export: Any) -> ModelInfo:
        loaded = self.loaded
        return describe_model(
            loaded.class_names,
            loaded.palette,
            loaded.ignore_label,
            _portable_source(loaded, self.values),
            loaded.segmenter.config,
            self.inference,
            **export,
        )

    def _write(
        self,
        flag: str,
        write: Callable[[pathlib.Path], None],
        reference: ImagePredictor,
        size: Size,
        threshold: float,
    ) -> None:
        """Writes and checks under another name, which becomes that of the flag at the end."""
        target = pathlib.Path(getattr(self.values, flag))
        if self.values.min_agreement is not None:
            threshold = self.values.min_agreement
        elif self.inference.inference_dtype == "bfloat16":
            threshold = min(threshold, BFLOAT16_AGREEMENT)
        images = [scaled(image, size) for _, image in self.checked]
        lines = ["not compared with the Keras model (--nocheck)"]
        with atomic_path(target) as partial:
            write(partial)
            if images:
                exported = load_exported_model(partial)
                agreement = check_agreement(reference, exported, images, threshold)
                lines = [f"as the Keras model: {agreement}"]
                if reference is not self.reference:
                    full = measure_agreement(self.reference, exported, images)
                    lines.append(f"as the network at full size, whose logits are upsampled: {full}")
            megabytes = _size(partial) / 1e6
        console.print(f"Written: {target}, {megabytes:.1f} MB")
        for line in lines:
            console.print(f"  {line}")


def _portable_source(loaded: LoadedModel, values: flags.FlagValues) -> str:
    """Where the weights come from, without the folders of this machine."""
    if loaded.workdir is None:
        return "/".join(pathlib.Path(values.checkpoint_path).resolve().parts[-2:])
    best = " (best)" if values.run_checkpoint == BEST else ""
    return f"{loaded.workdir.resolve().name}, step {loaded.step}{best}"


def _size(path: pathlib.Path) -> int:
    """Bytes of a file, or of the files of a directory."""
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
