"""Class ids from a label file: the meaning of its pixels, and the map to class ids."""

import dataclasses
import functools
import os
import pathlib
import re
from typing import Any

import numpy as np

from deeplab_dpc.data.classes_file import ClassesFile
from deeplab_dpc.datasets.label_palettes import PaletteCheck
from deeplab_dpc.datasets.label_pictures import LabelPicture, read_label, smooth_mask_problem, smooth_values
from deeplab_dpc.datasets.pictures import remap_ids
from deeplab_dpc.errors import UserError, first_few
from deeplab_dpc.files import read_json
from deeplab_dpc.small_files import read_text

LABEL_FORMATS = ("ids", "palette", "rgb")
OTHER = "*"  # in a label map: the ids that it does not name
SAME = "same"  # in a label map, as the class of OTHER: these ids are unchanged
MASK_MAP = "255:1,*:same"  # the label map for masks of 0 and 255
IdMap = dict[str, int | str]
RGB_EXAMPLE = '{"classes": ["background", "road"], "palette": [[0, 0, 0], [128, 64, 128]]}'
_INLINE = re.compile(r"\s*(\d+|\*)\s*:")
_NO_CLASS = -1


@dataclasses.dataclass(frozen=True)
class LabelReader:
    """A reader of label files.

    Attributes:
      classes: classes with their ids and colours.
      label_format: "ids" (grey values), "palette" (the indices of colour-mapped files, or grey values) or "rgb"
        (colours, looked up in the palette of `classes`).
      id_map: class id by raw id, with OTHER for all other raw ids (SAME: they are unchanged); the ignore label is
        unchanged unless it is in the map. None leaves ids unchanged.

    Raises:
      UserError: if the format is unknown or does not suit the classes.
    """

    classes: ClassesFile
    label_format: str = "ids"
    id_map: IdMap | None = None

    def __post_init__(self) -> None:
        if self.label_format not in LABEL_FORMATS:
            raise UserError(f"--label_format must be one of {', '.join(LABEL_FORMATS)}, got {self.label_format!r}.")
        if self.label_format != "rgb":
            return
        if self.id_map is not None:
            raise UserError("--label_map maps ids, so it does not go with --label_format=rgb.")
        if not self.classes.has_palette:
            raise UserError(
                "--label_format=rgb needs the classes' colours: give --classes=FILE.json with a `palette`, such as "
                f"{RGB_EXAMPLE} (docs/own_data.md has all keys)."
            )
        named = list(zip(self.classes.palette, self.classes.names, strict=True))
        if self.classes.ignore_color is not None:
            named.append((self.classes.ignore_color, "ignore_color"))
        first: dict[tuple[int, int, int], str] = {}
        for color, name in named:
            if (other := first.setdefault(color, name)) != name:
                raise UserError(f"The classes file gives {other} and {name} the same colour {list(color)}.")

    @property
    def says_what_is_ignored(self) -> bool:
        """Returns whether the user defined the ignored pixels: by a colour, or by mapping an id to the ignore label."""
        return self.label_format == "rgb" or self.classes.ignore_label in (self.id_map or {}).values()

    def identity(self) -> list[Any]:
        """Returns everything on which the ids depend besides the file and the classes, as JSON values."""
        return [self.label_format, self.classes.ignore_color if self.label_format == "rgb" else None, self.id_map]

    def read(self, data: bytes, name: str) -> np.ndarray:
        """Returns the ids, uint8 [height, width], of an encoded label.

        Raises:
          UserError: if it cannot be decoded, has another format, or has a colour or an id without a meaning.
        """
        label = read_label(data, name)
        if self.label_format == "rgb":
            return self._looked_up(_colors(label, name), name)
        if label.kind == "rgb" and (label.values == label.values[..., :1]).all():
            label = LabelPicture("grey", label.values[..., 0])  # ids that were saved in three equal channels
        if label.kind == "rgb":
            raise UserError(
                f"The label {name} is a colour picture (RGB); labels must have a single channel of class ids, "
                "or give --label_format=rgb if its colours are the classes' in the classes file."
            )
        if label.kind == "palette" and self.label_format == "ids":
            raise UserError(
                f"The label {name} is colour-mapped; give --label_format=palette if its palette indices are the "
                "class ids, or rgb if its colours are the classes' in the classes file."
            )
        if label.kind == "palette":
            self._palettes.check(label, name)
        ids = label.values if self.id_map is None else self._mapped(label, self.id_map, name)
        self._check(ids, label, name)
        return ids

    def _check(self, ids: np.ndarray, label: LabelPicture, name: str) -> None:
        """Raises a UserError that names --label_map if there are ids that are neither a class nor ignored."""
        classes = self.classes
        wrong = [i for i in np.unique(ids).tolist() if i >= len(classes.names) and i != classes.ignore_label]
        if not wrong:
            return
        self._require_sharp(label, name)
        unchanged = ", which --label_map leaves as they are" if self.id_map is not None else ""
        raise UserError(
            f"The label {name} has the ids {first_few(wrong, 5)}{unchanged}, but there are {len(classes.names)} "
            f"classes (ids 0 to {len(classes.names) - 1}) and the ignore label is {classes.ignore_label}; name more "
            f"classes, or say what each means in --label_map, as in --label_map='{wrong[0]}:1,{OTHER}:{SAME}' for the "
            f"class 1, or '{wrong[0]}:{classes.ignore_label},{OTHER}:{SAME}' to ignore it."
        )

    def _require_sharp(self, label: LabelPicture, name: str) -> None:
        """Raises a UserError for a mask of 0 and 255 with smooth edges, whose grey values no map can mend."""
        if between := smooth_values(label):
            raise UserError(smooth_mask_problem(name, between, "" if self.id_map else f"--label_map='{MASK_MAP}'"))

    @functools.cached_property
    def _palettes(self) -> PaletteCheck:
        return PaletteCheck(self.classes, self._class_of)

    def _class_of(self, raw: int) -> int:
        """Returns the class id of a raw id; the ignore label for ids that are not in the map."""
        if self.id_map is None:
            return raw
        target = self.id_map.get(str(raw), self.id_map.get(OTHER, self.classes.ignore_label))
        return raw if target == SAME else int(target)

    def _mapped(self, label: LabelPicture, id_map: IdMap, name: str) -> np.ndarray:
        raw, ignore_label, other = label.values, self.classes.ignore_label, id_map.get(OTHER)
        table = {i: i for i in range(256)} if other == SAME else {ignore_label: ignore_label}
        table |= {int(key): int(value) for key, value in id_map.items() if key != OTHER}
        if OTHER not in id_map and (unknown := sorted(set(np.unique(raw).tolist()) - set(table))):
            self._require_sharp(label, name)
            listed = first_few(unknown, 5)
            raise UserError(
                f"The label {name} has the ids {listed}, which --label_map does not name; name them, or all others: "
                f"{OTHER}:{SAME} leaves them as they are, {OTHER}:{ignore_label} ignores them."
            )
        return remap_ids(raw, table, ignore_label if other in (None, SAME) else int(other))

    def _looked_up(self, colors: np.ndarray, name: str) -> np.ndarray:
        red, green, blue = np.moveaxis(colors.astype(np.int32), -1, 0)
        ids = self._color_table[red << 16 | green << 8 | blue]
        unknown = ids == _NO_CLASS
        if unknown.any():
            row, column = np.unravel_index(unknown.argmax(), unknown.shape)
            raise UserError(
                f"The label {name} has the colour {colors[row, column].tolist()} at row {row}, column {column} (from "
                f"0), and colours that are no class's at {unknown.sum()} pixels; add a class of that colour to the "
                "classes file, or `ignore_color` if it means ignored pixels."
            )
        small: np.ndarray = ids.astype(np.uint8)
        return small

    @functools.cached_property
    def _color_table(self) -> np.ndarray:
        """Returns the id of each colour red << 16 | green << 8 | blue."""
        table = np.full(2**24, _NO_CLASS, np.int16)
        for class_id, (red, green, blue) in enumerate(self.classes.palette):
            table[red << 16 | green << 8 | blue] = class_id
        if self.classes.ignore_color is not None:
            red, green, blue = self.classes.ignore_color
            table[red << 16 | green << 8 | blue] = self.classes.ignore_label
        return table


def _colors(label: LabelPicture, name: str) -> np.ndarray:
    """Returns the colours of the label: uint8 [height, width, 3]."""
    if label.palette is not None:
        if label.values.size and label.values.max() >= len(label.palette):
            raise UserError(f"The label {name} has palette indices above the {len(label.palette)} colours it defines.")
        colors: np.ndarray = label.palette[label.values]
        return colors
    if label.kind == "rgb":
        return label.values
    return np.repeat((label.values * (255 // label.white))[..., np.newaxis], 3, axis=-1)


def read_label_map(given: str | os.PathLike[str], classes: ClassesFile) -> IdMap:
    """Reads class ids by raw ids.

    Args:
      given: "7:0,8:1,*:255" or "11:255,*:same", or a file with such pairs, separated by commas or line ends, or with a
        JSON object of them.
      classes: classes to which the class ids must belong.

    Returns:
      Class id by raw id; OTHER stands for all other raw ids, and may be mapped to SAME.

    Raises:
      UserError: if it cannot be read, or contains invalid raw ids (0..255 are valid) or class ids.
    """
    if isinstance(given, str) and _INLINE.match(given):
        return _checked_map(_pairs(given), "--label_map", classes)
    where = f"The label map {given}"
    if pathlib.Path(given).suffix.lower() == ".json":
        value = read_json(given, "label map")
        if not isinstance(value, dict):
            raise UserError(f"{where} must be an object of class ids by raw ids.")
        return _checked_map([(key, str(target)) for key, target in value.items()], where, classes)
    try:
        text = read_text(given)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file in UTF-8"
        raise UserError(
            f"{where} cannot be read: {reason}; give pairs, as in --label_map='7:0,8:1,*:255', or a file."
        ) from error
    return _checked_map(_pairs(text), where, classes)


def _pairs(text: str) -> list[tuple[str, str]]:
    parts = [part.partition(":") for part in re.split(r"[,\n]", text) if part.strip()]
    return [(raw.strip(), target.strip()) for raw, _, target in parts]


def _checked_map(pairs: list[tuple[str, str]], where: str, classes: ClassesFile) -> IdMap:
    id_map: IdMap = {}
    for raw, target in pairs:
        entry = f"{raw}:{target}"
        if raw != OTHER and not _is_id(raw, 256):
            raise UserError(f"{where} has {entry!r}; an entry is RAW:CLASS with a raw id in 0..255 or {OTHER}.")
        stays = raw == OTHER and target == SAME
        if not stays and not _is_id(target, len(classes.names)) and target != str(classes.ignore_label):
            raise UserError(
                f"{where} has {entry!r}, but class ids are 0 to {len(classes.names) - 1}, and {classes.ignore_label} "
                f"for ignored pixels ({OTHER}:{SAME} leaves all others as they are)."
            )
        key = raw if raw == OTHER else str(int(raw))
        if key in id_map:
            raise UserError(f"{where} has the raw id {key} more than once.")
        id_map[key] = target if stays else int(target)
    if not id_map:
        raise UserError(f"{where} is empty.")
    return id_map


def _is_id(text: str, end: int) -> bool:
    return text.isascii() and text.isdigit() and int(text) < end
