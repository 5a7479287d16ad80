"""Existing files at the targets of an export, which are kept if complete and equal, and never overwritten."""

import pathlib
from collections.abc import Mapping

import numpy as np

from deeplab_dpc.checkpoint.tf1 import read_tf1_checkpoint, refuse_existing
from deeplab_dpc.errors import UserError
from deeplab_dpc.export.exported_model import read_exported_info
from deeplab_dpc.export.model_info import ModelInfo, weights_digest
from deeplab_dpc.files import remove_partial

# The endings of the file names in the formats that are checked, by flag.
CHECKED = {"export_dir": "", "export_tflite": ".tflite", "export_onnx": ".onnx"}


def existing_export(name: str, target: pathlib.Path) -> ModelInfo | None:
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
            raise taken(name, target, f"cannot be kept: {error}") from error
    remove_partial(target.parent, target.name)
    return None


def taken(name: str, target: pathlib.Path, why: str) -> UserError:
    """Returns the error of a target that must not be overwritten; `why` is the reason that it is not kept."""
    kind = "directory" if name == "export_dir" else "file"
    return UserError(
        f"--{name}={target} exists; give a new {kind}, so that no model in use is overwritten; what is there "
        f"{why.rstrip('.')}."
    )


def has_checkpoint(prefix: str, arrays: Mapping[str, np.ndarray]) -> bool:
    """Returns whether a TensorFlow 1 checkpoint with these variables exists; raises a UserError for any other."""
    if not pathlib.Path(f"{prefix}.index").exists():
        return False
    stored = read_tf1_checkpoint(prefix)
    if weights_digest(stored) != weights_digest(arrays):
        refuse_existing(prefix)
    return True
