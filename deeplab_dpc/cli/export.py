"""Exports a SavedModel, a TensorFlow Lite file, an ONNX file or a TensorFlow 1 checkpoint; several in one command."""

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from deeplab_dpc.api.exporting import scaled
from deeplab_dpc.api.loaded import LoadedModel
from deeplab_dpc.checkpoint.names import named_arrays
from deeplab_dpc.checkpoint.published import is_name
from deeplab_dpc.checkpoint.run_directory import BEST
from deeplab_dpc.checkpoint.tf1 import CELL_SUFFIX, write_tf1_checkpoint
from deeplab_dpc.cli.export_existing import CHECKED, existing_export, has_checkpoint, taken
from deeplab_dpc.cli.export_images import ExportImages, NamedImage
from deeplab_dpc.cli.flags.export import Flags
from deeplab_dpc.cli.flags.shared import SourceFlags
from deeplab_dpc.cli.model_source import load_models, run_directories
from deeplab_dpc.cli.stopping import sigterm_stops
from deeplab_dpc.config import InferenceConfig, SavedModelOptions
from deeplab_dpc.config.export import BFLOAT16_AGREEMENT, FLOAT32, FLOAT_AGREEMENT, INT8_AGREEMENT
from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.agreement import check_agreement, measure_agreement
from deeplab_dpc.export.exported_model import load_exported_model
from deeplab_dpc.export.graph_predictor import graph_predictor
from deeplab_dpc.export.model_info import ModelInfo, describe_model
from deeplab_dpc.export.onnx import export_onnx, onnx_packages
from deeplab_dpc.export.saved_model import WARMUP_SIZE, expected_agreement, export_saved_model
from deeplab_dpc.export.serving_graph import ServingGraph
from deeplab_dpc.export.tflite import INT8_AVERAGES, export_tflite
from deeplab_dpc.files import atomic_path, remove_partial, write_json
from deeplab_dpc.locks import only_process
from deeplab_dpc.models.image_predictor import ImagePredictor

Size = tuple[int, int] | tuple[()]


def main(flags: Flags) -> None:
    """Exports the network."""
    wanted = [name for name in CHECKED if getattr(flags, name)]
    if not wanted and not flags.export_checkpoint:
        raise UserError(
            "Give --export_dir (for a SavedModel), --export_checkpoint (for a checkpoint), --export_tflite or "
            "--export_onnx, or several of them."
        )
    targets = [*wanted, *(["export_checkpoint"] if flags.export_checkpoint else [])]
    if flags.export_checkpoint and pathlib.Path(flags.export_checkpoint).is_dir():
        raise UserError(
            f"--export_checkpoint={flags.export_checkpoint} is a folder; give the prefix of the checkpoint's files in "
            f"it, as in {os.path.join(flags.export_checkpoint, 'model.ckpt')}."
        )
    with contextlib.ExitStack() as stack:
        for name in targets:
            stack.enter_context(only_process(getattr(flags, name), name, inside=False))
        _export(flags, wanted)


def _export(flags: Flags, wanted: list[str]) -> None:
    """Writes the formats of the flags in `wanted`, and --export_checkpoint if it is given."""
    found = {name: existing_export(name, pathlib.Path(getattr(flags, name))) for name in wanted}
    existing = {name: info for name, info in found.items() if info is not None}
    inference = flags.inference.make()
    options = flags.saved_model.make()
    _check_flags(flags, inference, options)
    members = load_models(flags.source)
    loaded = members[0]
    arrays = named_arrays(loaded.segmenter)
    keep_checkpoint = flags.export_checkpoint and has_checkpoint(flags.export_checkpoint, arrays)
    if wanted:
        exports = Exports(flags, members, inference, options, existing)
        make = {"export_dir": exports.saved_model, "export_tflite": exports.tflite, "export_onnx": exports.onnx}
        with sigterm_stops("all written files are complete"):
            for name in wanted:
                make[name]()
    if flags.export_checkpoint:
        prefix = pathlib.Path(flags.export_checkpoint)
        for ending in (".index", ".data-00000-of-00001"):
            remove_partial(prefix.parent, prefix.name + ending)
    if keep_checkpoint:
        console.print(f"Kept: {flags.export_checkpoint}, which holds these weights already")
    elif flags.export_checkpoint:
        cell = loaded.segmenter.config.dense_prediction_cell
        if cell is not None:  # first, so that no checkpoint ever exists without it
            write_json(f"{flags.export_checkpoint}{CELL_SUFFIX}", cell.to_json())
        write_tf1_checkpoint(flags.export_checkpoint, arrays, loaded.step)
        console.print(f"Written: {flags.export_checkpoint}.index and .data-00000-of-00001, step {loaded.step}")


def _check_flags(flags: Flags, inference: InferenceConfig, options: SavedModelOptions) -> None:
    several = len(run_directories(flags.source)) > 1
    options.check(inference, averages=several)
    if flags.export_tflite and flags.tflite_type == "int8" and (several or inference.averages):
        raise UserError(INT8_AVERAGES)
    if flags.export_checkpoint and several:
        raise UserError("--export_checkpoint needs a single network; leave it out, or give one run as --workdir.")
    if not flags.export_dir and dataclasses.replace(options, export_size=()) != SavedModelOptions():
        raise UserError(
            "--max_side, --argmax_before_upsampling and --encoded_signature apply only to a SavedModel; give "
            "--export_dir."
        )
    if flags.export_onnx:
        onnx_packages()  # raises before anything is written
    if flags.tflite_type != FLOAT32 and not flags.export_tflite:
        raise UserError("--tflite_type is of a TensorFlow Lite file; give --export_tflite.")
    if flags.min_agreement is not None and not 0 <= flags.min_agreement <= 1:
        raise UserError(f"--min_agreement must be in [0, 1], got {flags.min_agreement}.")


class Exports:
    """A writer of a network in several formats, each of which is checked.

    Args:
      flags: flags of the command.
      members: networks whose probabilities are averaged, or one network; images and names are those of the first.
      inference: configuration of the prediction.
      options: options of the SavedModel; the size also applies to the other formats.
      existing: information on the exports that already exist, by flag; they are kept, and checked again.

    Raises:
      UserError: if an existing export is of another network, or predicts in another way.
    """

    def __init__(
        self,
        flags: Flags,
        members: Sequence[LoadedModel],
        inference: InferenceConfig,
        options: SavedModelOptions,
        existing: Mapping[str, ModelInfo],
    ):
        loaded = members[0]
        self.flags = flags
        self.members = members
        self.networks = [member.segmenter for member in members]
        self.options = options
        self.inference = inference
        self.images = ExportImages(flags.images, loaded)
        self.checked: list[NamedImage] = self.images.check() if flags.images.check else []
        self.predictor = graph_predictor(self.networks, inference)
        # The prediction of the commands eval and predict, but in full precision.
        full = dataclasses.replace(inference, inference_dtype=FLOAT32)
        same = full == inference
        self.reference = self.predictor if same else graph_predictor(self.networks, full)
        if flags.export_tflite:  # before anything is written
            self.tflite_size: tuple[int, int] = options.export_size or self.images.largest()
        for name, image in self.checked:
            if not options.export_size:
                self.reference.check_size(image, name)
        self.existing = existing
        for flag, info in existing.items():
            if not info.same_model(self._info(flag)):
                why = "was exported of another network or with other flags"
                raise taken(flag, pathlib.Path(getattr(flags, flag)), why)

    def saved_model(self) -> None:
        """Writes --export_dir."""
        options = self.options
        reference = ServingGraph(self.reference, options) if options.approximates else self.reference
        height, width = self.checked[0][1].shape[:2] if self.checked else WARMUP_SIZE

        def write(path: pathlib.Path) -> None:
            export_saved_model(self.predictor, path, self._info("export_dir"), options, (height, width))

        self._write("export_dir", write, reference, options.export_size, expected_agreement())

    def tflite(self) -> None:
        """Writes --export_tflite."""
        kind = self.flags.tflite_type
        size = self.tflite_size
        calibration = (scaled(image, size) for _, image in self.images.calibration()) if kind == "int8" else ()

        def write(path: pathlib.Path) -> None:
            export_tflite(self.predictor, path, self._info("export_tflite"), kind, size, calibration)

        self._write("export_tflite", write, self.reference, size, INT8_AGREEMENT if kind == "int8" else FLOAT_AGREEMENT)

    def onnx(self) -> None:
        """Writes --export_onnx."""
        size = self.options.export_size

        def write(path: pathlib.Path) -> None:
            export_onnx(self.predictor, path, self._info("export_onnx"), size or None)

        self._write("export_onnx", write, self.reference, size, FLOAT_AGREEMENT)

    def _info(self, flag: str) -> ModelInfo:
        loaded, flags, options = self.members[0], self.flags, self.options
        export: dict[str, dict[str, Any]] = {
            "export_dir": {"format": "SavedModel", **options.to_json()},
            "export_onnx": {"format": "ONNX", "export_size": list(options.export_size)},
        }
        if flags.export_tflite:
            size = list(self.tflite_size)
            export["export_tflite"] = {"format": "TFLite", "tflite_type": flags.tflite_type, "export_size": size}
        return describe_model(
            loaded.class_names,
            loaded.palette,
            loaded.ignore_label,
            " and ".join(_portable_source(member, self.flags.source) for member in self.members),
            self.networks,
            self.inference,
            **export[flag],
        )

    def _write(
        self,
        flag: str,
        write: Callable[[pathlib.Path], None],
        reference: ImagePredictor,
        size: Size,
        threshold: float,
    ) -> None:
        """Writes an export under another name, checks it, and renames it; an existing export is only checked."""
        target = pathlib.Path(getattr(self.flags, flag))
        if self.flags.min_agreement is not None:
            threshold = self.flags.min_agreement
        elif self.inference.inference_dtype == "bfloat16":
            threshold = min(threshold, BFLOAT16_AGREEMENT)
        images = [scaled(image, size) for _, image in self.checked]
        if flag in self.existing:
            lines = self._compared(target, reference, images, threshold)
            console.print(f"Kept: {target}, which is complete and belongs to this network")
        else:
            with atomic_path(target) as partial:
                write(partial)
                lines = self._compared(partial, reference, images, threshold)
                megabytes = _size(partial) / 1e6
            console.print(f"Written: {target}, {megabytes:.1f} MB")
        for line in lines:
            console.print(f"  {line}")

    def _compared(
        self, path: pathlib.Path, reference: ImagePredictor, images: list[np.ndarray], threshold: float
    ) -> list[str]:
        """Returns lines on the agreement of an export with the network; raises a UserError if it is too low."""
        if not images:
            return ["not compared with the Keras model (--nocheck)"]
        exported = load_exported_model(path)
        lines = [f"as the Keras model: {check_agreement(reference, exported, images, threshold)}"]
        if reference is not self.reference:
            full = measure_agreement(self.reference, exported, images)
            lines.append(f"as the network at full size, whose logits are upsampled: {full}")
        return lines


def _portable_source(loaded: LoadedModel, source: SourceFlags) -> str:
    """Returns the source of the weights, without the folders of this machine."""
    if loaded.workdir is None:
        assert source.checkpoint_path is not None
        if is_name(source.checkpoint_path):
            return source.checkpoint_path
        return "/".join(pathlib.Path(source.checkpoint_path).resolve().parts[-2:])
    best = " (best)" if source.run_checkpoint == BEST else ""
    return f"{loaded.workdir.resolve().name}, step {loaded.step}{best}"


def _size(path: pathlib.Path) -> int:
    """Returns the size of a file, or of all files of a directory, in bytes."""
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())
