"""Exports a SavedModel, a TensorFlow Lite file, an ONNX file or a TensorFlow 1 checkpoint; several in one command."""

import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from deeplab_dpc.api.loaded import LoadedModel
from deeplab_dpc.api.verified_export import (
    Format,
    OnnxFormat,
    SavedModelFormat,
    TFLiteFormat,
    VerifiedExport,
    check_min_agreement,
)
from deeplab_dpc.checkpoint.names import named_arrays
from deeplab_dpc.checkpoint.tf1 import CELL_SUFFIX, read_tf1_checkpoint, refuse_existing, write_tf1_checkpoint
from deeplab_dpc.cli.export_images import ExportImages, NamedImage
from deeplab_dpc.cli.flags.export import Flags
from deeplab_dpc.cli.model_source import load_models, run_directories
from deeplab_dpc.cli.stopping import sigterm_stops
from deeplab_dpc.config import InferenceConfig, SavedModelOptions
from deeplab_dpc.config.export import FLOAT32
from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.exported_model import read_exported_info
from deeplab_dpc.export.model_info import ModelInfo, weights_digest
from deeplab_dpc.export.onnx import onnx_packages
from deeplab_dpc.export.tflite import INT8_AVERAGES
from deeplab_dpc.files import remove_partial, write_json
from deeplab_dpc.locks import only_process

# The endings of the file names in the formats that are checked, by flag. Existing files are kept if they are complete
# and equal, and never overwritten.
CHECKED = {"export_dir": "", "export_tflite": ".tflite", "export_onnx": ".onnx"}


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
    found = {name: _existing_export(name, pathlib.Path(getattr(flags, name))) for name in wanted}
    existing = {name: info for name, info in found.items() if info is not None}
    inference = flags.inference.make()
    options = flags.saved_model.make()
    _check_flags(flags, inference, options)
    members = load_models(flags.source)
    loaded = members[0]
    arrays = named_arrays(loaded.segmenter)
    keep_checkpoint = flags.export_checkpoint and _has_checkpoint(flags.export_checkpoint, arrays)
    if wanted:
        exports = Exports(flags, members, inference, options, existing)
        with sigterm_stops("all written files are complete"):
            for name in wanted:
                exports.write(name)
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
        step = loaded.step or 0
        write_tf1_checkpoint(flags.export_checkpoint, arrays, step)
        console.print(f"Written: {flags.export_checkpoint}.index and .data-00000-of-00001, step {step}")


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
    check_min_agreement(flags.min_agreement)


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
        images = ExportImages(flags.images, members[0])
        checked: list[NamedImage] = images.check() if flags.images.check else []
        self._flags = flags
        self._existing = existing
        self._export = VerifiedExport(
            members,
            [member.segmenter for member in members],
            inference,
            [image for _, image in checked],
            flags.min_agreement,
        )
        size = options.export_size
        self._formats: dict[str, Format] = {"export_dir": SavedModelFormat(options), "export_onnx": OnnxFormat(size)}
        if flags.export_tflite:  # before anything is written
            calibration = functools.partial(_without_names, images.calibration)
            self._formats["export_tflite"] = TFLiteFormat(flags.tflite_type, size or images.largest(), calibration)
        if not size:
            for name, image in checked:
                self._export.reference.check_size(image, name)
        for flag, info in existing.items():
            if not info.same_model(self._export.info(self._formats[flag])):
                why = "was exported of another network or with other flags"
                raise _taken(flag, pathlib.Path(getattr(flags, flag)), why)

    def write(self, flag: str) -> None:
        """Writes the export of a flag of CHECKED; an existing export is only checked."""
        target, form = pathlib.Path(getattr(self._flags, flag)), self._formats[flag]
        if flag in self._existing:
            found = self._export.compare(form, target)
            console.print(f"Kept: {target}, which is complete and belongs to this network")
        else:
            found = self._export.write(form, target)
            console.print(f"Written: {target}, {_size(target) / 1e6:.1f} MB")
        if not found:
            console.print("  not compared with the Keras model (--nocheck)")
        references = ("as the Keras model", "as the network at full size, whose logits are upsampled")
        for reference, agreement in zip(references, found, strict=False):
            console.print(f"  {reference}: {agreement}")


def _without_names(images: Callable[[], Iterable[NamedImage]]) -> Iterator[np.ndarray]:
    return (image for _, image in images())


def _size(path: pathlib.Path) -> int:
    """Returns the size of a file, or of all files of a directory, in bytes."""
    return sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file())


def _existing_export(name: str, target: pathlib.Path) -> ModelInfo | None:
    """Returns the information on a complete export that exists, as after a failure of a later format; None without one.

    Raises:
      UserError: if the name does not fit, or the file is not an export.
    """
    if target.exists() and target.is_dir() != (name == "export_dir"):
        wanted, found = ("folder", "file") if name == "export_dir" else ("file", "folder")
        raise UserError(f"--{name}={target} is a {found} that exists, and must be a {wanted}; give a new {wanted}.")
    if not target.name.endswith(CHECKED[name]):
        raise UserError(f"--{name}={target} must end with {CHECKED[name]}.")
    is_empty_folder = name == "export_dir" and target.is_dir() and not any(target.iterdir())
    if target.exists() and not is_empty_folder:
        try:
            return read_exported_info(target)
        except UserError as error:
            raise _taken(name, target, f"cannot be kept: {error}") from error
    remove_partial(target.parent, target.name)
    return None


def _taken(name: str, target: pathlib.Path, why: str) -> UserError:
    """Returns the error of a target that must not be overwritten; `why` is the reason that it is not kept."""
    kind = "directory" if name == "export_dir" else "file"
    return UserError(
        f"--{name}={target} exists; give a new {kind}, so that no model in use is overwritten; what is there "
        f"{why.rstrip('.')}."
    )


def _has_checkpoint(prefix: str, arrays: Mapping[str, np.ndarray]) -> bool:
    """Returns whether a TensorFlow 1 checkpoint with these variables exists; raises a UserError for any other."""
    if not pathlib.Path(f"{prefix}.index").exists():
        return False
    stored = read_tf1_checkpoint(prefix)
    if weights_digest(stored) != weights_digest(arrays):
        refuse_existing(prefix)
    return True
