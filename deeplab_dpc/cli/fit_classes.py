"""The classes of the user's data without --classes: from a file beside the folders, or from the ids in the labels."""

import pathlib

import numpy as np

from deeplab_dpc.cli.flags.fit import FitOwnDataFlags
from deeplab_dpc.console import console
from deeplab_dpc.data.dataset_info import DEFAULT_IGNORE_LABEL
from deeplab_dpc.data.file_kinds import LABEL_SUFFIXES, LOSSY_CURE, LOSSY_SUFFIXES
from deeplab_dpc.datasets.annotation_kinds import PICTURES
from deeplab_dpc.datasets.folder import labels_kind
from deeplab_dpc.datasets.label_ids import MASK_MAP
from deeplab_dpc.datasets.label_pictures import read_label, smooth_mask_problem, smooth_values
from deeplab_dpc.datasets.raw_files import open_raw
from deeplab_dpc.errors import UserError

CLASSES_FILES = ("classes.json", "classes.txt")
MOST_CLASSES = 64  # largest number without names; more ids are probably no class ids
CURE = "name the classes in the order of their ids, as in --classes=background,object"
MASKS = f"--classes=background,object --label_map='{MASK_MAP}'"


def find_classes(own: FitOwnDataFlags, classes: str | None) -> str | None:
    """Returns the value of --classes for build_folder; None if annotations name their classes.

    Args:
      own: flags of the user's data.
      classes: value of --classes.

    Raises:
      UserError: if the classes are neither given nor found.
    """
    if classes:
        return classes
    if own.images and own.labels and labels_kind(own.images, own.labels, own.labels_as) != PICTURES:
        return None
    places = [pathlib.Path(place) for place in (own.labels, own.images) if place]
    for folder in dict.fromkeys(near for place in places for near in (place, place.parent)):
        for name in CLASSES_FILES:
            if (folder / name).is_file():
                console.print(f"Classes: those of {folder / name} (--classes names others).")
                return str(folder / name)
    if own.label_format == "rgb" or own.label_map or not own.labels or not places[0].is_dir():
        raise UserError(f"--classes is required: {CURE}, or give a file of them.")
    return _counted(places[0], own.skip_bad)


def _counted(folder: pathlib.Path, skip_bad: bool) -> str:
    """Returns numbered class names, comma-separated, for the ids in the labels of a folder."""
    found: set[int] = set()
    smooth: str | None = None
    files = [path for name in open_raw(folder).names() if (path := folder / name).is_file()]
    for path in files:
        if not path.name.lower().endswith(LABEL_SUFFIXES):
            continue
        try:
            label = read_label(path.read_bytes(), str(path))
        except UserError:
            if not skip_bad:
                raise
            continue
        if label.kind == "rgb" and (label.values != label.values[..., :1]).any():
            raise UserError(
                f"--classes is required, since {path} has colours: {CURE}, or a file with their palette "
                "(docs/own_data.md) and --label_format=rgb."
            )
        if smooth is None and (between := smooth_values(label)):
            smooth = smooth_mask_problem(str(path), between, MASKS)
        found |= set(np.unique(label.values).tolist())
    ids = sorted(found - {DEFAULT_IGNORE_LABEL})
    if not found and (jpeg := next((path for path in files if path.name.lower().endswith(LOSSY_SUFFIXES)), None)):
        raise UserError(f"The label {jpeg} is a JPEG, {LOSSY_CURE}.")
    if not ids:
        raise UserError(
            f"--labels={folder} has no label with an id below 255; give label PNGs whose pixels are class ids."
        )
    if ids == [0] and DEFAULT_IGNORE_LABEL in found:
        raise UserError(
            f"The labels in {folder} have only the ids 0 and 255, and 255 is the ignore label, so that there is one "
            f"class; if 255 is the object, give {MASKS}."
        )
    if smooth is not None and ids[-1] >= MOST_CLASSES:
        raise UserError(smooth)
    if len(ids) == 1 or ids[-1] >= MOST_CLASSES:
        raise UserError(f"--classes is required, since the labels in {folder} have the ids {_listed(ids)}: {CURE}.")
    names = ",".join(f"class_{i}" for i in range(ids[-1] + 1))
    console.print(f"Classes: the labels have the ids {_listed(ids)}; they are called {names} (--classes names them).")
    return names


def _listed(ids: list[int]) -> str:
    return ", ".join(map(str, ids if len(ids) <= 12 else [*ids[:6], "...", *ids[-3:]]))
