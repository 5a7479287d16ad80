"""The value of --classes: a JSON file, a text file of names, or the names themselves. Needs no TensorFlow."""

import dataclasses
import os
import pathlib
from typing import Any

from deeplab_dpc.data.class_rules import check_categories, check_names, check_palette, is_byte, is_color
from deeplab_dpc.data.dataset_info import DEFAULT_IGNORE_LABEL, Color, pascal_palette
from deeplab_dpc.errors import UserError, shown
from deeplab_dpc.files import parse_json, read_json
from deeplab_dpc.small_files import MAX_TEXT_BYTES, read_text

CLASSES_FILE = "classes.json"  # beside records that were not written by this package
CLASSES_HELP = (
    "The names in the order of the ids, background,object; or a text file of them, one a line; or JSON: [names], or "
    '{"classes": [names], "palette": [[r, g, b]], "ignore_label": 255, "ignore_color": [r, g, b]}, of which only the '
    "names are required."
)
_KEYS = ("classes", "palette", "ignore_label", "ignore_color", "categories", "allow_absent_classes")
_FILES = (".json", ".txt")  # a value that ends so is a file, even if it contains a comma


@dataclasses.dataclass(frozen=True)
class ClassesFile:
    """The contents of a classes file.

    Attributes:
      names: class names, one per class id.
      palette: colour of each class; the PASCAL VOC colours if the file has none.
      ignore_label: id of ignored pixels.
      ignore_color: colour of ignored pixels in RGB labels, or None.
      has_palette: bool, whether the palette is the file's own.
      categories: group of each class, empty text for none; () if the file has no groups.
      allow_absent_classes: bool, whether a class may never occur although pixels are ignored, see `DatasetInfo`.
    """

    names: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore_label: int
    ignore_color: Color | None
    has_palette: bool
    categories: tuple[str, ...] = ()
    allow_absent_classes: bool = False


def load_classes(given: str | os.PathLike[str]) -> tuple[tuple[str, ...], tuple[Color, ...], int]:
    """Returns the class names, the palette and the ignore label of a classes file, see `read_classes_file`."""
    found = read_classes_file(given)
    return found.names, found.palette, found.ignore_label


def located_classes(given: str) -> str:
    """Returns the value of --classes in a form that is valid in any working directory: the absolute path of a file, or
    the names themselves.
    """
    return given if _listed_names(given) else os.path.abspath(given)


def read_classes_file(given: str | os.PathLike[str]) -> ClassesFile:
    """Reads a classes file, or the names themselves.

    Args:
      given: names separated by commas; a text file with one name per line; or a JSON file, either a list of names or
        {"classes": [names], "palette": [[r, g, b], ...], "ignore_label": id, "ignore_color": [r, g, b], "categories":
        [the group of each class, "" for none], "allow_absent_classes": true}; all but the first are optional
        (defaults: the PASCAL VOC colours, 255, none, none, false).

    Raises:
      UserError: if the file cannot be read or breaks one of these rules.
    """
    if names := _listed_names(given):
        return _from_value({"classes": names}, f"--classes={given}")
    where = f"The classes file {given}"
    path = pathlib.Path(given)
    if path.suffix.lower() == ".json":
        return _from_value(read_json(path, "classes file", max_bytes=MAX_TEXT_BYTES), where)
    text = _text(path, where)  # read once: it may be a pipe
    is_json = text.lstrip().startswith(("[", "{"))
    return _from_value(parse_json(text, where) if is_json else {"classes": _lines(text, where)}, where)


def _listed_names(given: str | os.PathLike[str]) -> list[str]:
    """Returns the names that are given instead of a file; [] for a file. A word without a dot is a name, too, unless it
    is a file.
    """
    if not isinstance(given, str) or given.lower().endswith(_FILES) or os.path.exists(given):
        return []
    if "," not in given:
        return [] if not given.strip() or "." in given or os.path.basename(given) != given else [given]
    return [name.strip() for name in given.removesuffix(",").split(",")]


def _text(path: pathlib.Path, where: str) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise UserError(
            f"{where} cannot be read: {error.strerror}; give a JSON file, a text file with a name a line, or the "
            "names, --classes=background,object."
        ) from error
    except ValueError as error:
        raise UserError(f"{where} is not a text file in UTF-8; save it as one.") from error


def _lines(text: str, where: str) -> list[str]:
    """Returns the names in a text file; the line numbers, from 0, are the class ids."""
    names = [line.strip() for line in text.rstrip().split("\n")]
    if "" in names and len(names) > 1:
        raise UserError(
            f"{where} has an empty line {names.index('') + 1}; a line is a name, and its number (from 0) the class id."
        )
    return names


def _from_value(value: Any, where: str) -> ClassesFile:
    """Returns the classes of a JSON value."""
    if isinstance(value, list):
        value = {"classes": value}
    if not isinstance(value, dict) or "classes" not in value:
        raise UserError(f'{where} must be a list of names or an object with the key "classes".')
    if unknown := sorted(set(value) - set(_KEYS)):
        raise UserError(f"{where} has the unknown key {shown(unknown[0])}; known are {', '.join(_KEYS)}.")
    names = value["classes"]
    check_names(names, where)
    palette = value.get("palette")
    if palette is not None:
        check_palette(palette, len(names), _inside(where))
    ignore_label = value.get("ignore_label", DEFAULT_IGNORE_LABEL)
    if not is_byte(ignore_label):
        raise UserError(f"`ignore_label` in {_inside(where)} must be an integer in 0..255, got {shown(ignore_label)}.")
    if "ignore_label" not in value and ignore_label < len(names):
        raise UserError(
            f"{where} has {len(names)} classes, so that {ignore_label} is both the class {names[ignore_label]!r} and, "
            'by default, the id of ignored pixels; give the id of the class that is to be ignored as "ignore_label".'
        )
    ignore_color = value.get("ignore_color")
    if ignore_color is not None and not is_color(ignore_color):
        raise UserError(f"`ignore_color` in {_inside(where)} must be [red, green, blue], got {shown(ignore_color)}.")
    categories = value.get("categories", [])
    check_categories(categories, len(names), _inside(where))
    allow_absent = value.get("allow_absent_classes", False)
    if not isinstance(allow_absent, bool):
        raise UserError(f"`allow_absent_classes` in {_inside(where)} must be true or false, got {shown(allow_absent)}.")
    return ClassesFile(
        tuple(name.strip() for name in names),
        pascal_palette(len(names)) if palette is None else tuple(_color(entry) for entry in palette),
        ignore_label,
        ignore_color and _color(ignore_color),
        has_palette=palette is not None,
        categories=tuple(categories),
        allow_absent_classes=allow_absent,
    )


def _inside(where: str) -> str:
    """Returns `where` in the form for the inside of a sentence."""
    return where.replace("The classes", "the classes", 1)


def _color(entry: Any) -> Color:
    red, green, blue = entry
    return red, green, blue
