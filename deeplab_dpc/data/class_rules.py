"""Checks of the names, colours and groups of classes, whatever file or argument they come from.

Names appear in tables, pictures, JSON and flags, so they must be text of one line.
"""

import collections
import unicodedata
from typing import Any

from deeplab_dpc.errors import UserError, shown

MAX_CLASSES = 256  # labels are 8-bit
MAX_NAME = 200  # characters
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")  # Unicode's control characters, surrogates, separators of lines and paragraphs


def check_names(names: Any, where: str) -> None:
    """Checks the names of classes, one per id.

    Args:
      names: value that should be a list of two or more distinct names.
      where: name of their source in messages, at the beginning of a sentence.

    Raises:
      UserError: if `names` is anything else.
    """
    if not isinstance(names, list | tuple) or not names or not all(_is_text(name) for name in names):
        raise UserError(f"{where} must have `classes`, a list of non-empty names.")
    for name in names:
        if any(unicodedata.category(character) in _UNPRINTABLE for character in name):
            raise UserError(
                f"{where} has the class {shown(name)}; a name must not hold line ends or control characters."
            )
        if len(name) > MAX_NAME:
            raise UserError(f"{where} has the class {name[:30]!r}...; a name must not exceed {MAX_NAME} characters.")
    if len(names) > MAX_CLASSES:
        raise UserError(f"{where} has {len(names)} classes; at most {MAX_CLASSES} fit 8-bit labels.")
    counts = collections.Counter(unicodedata.normalize("NFC", name.strip()) for name in names)
    if repeated := sorted(name for name, count in counts.items() if count > 1):
        raise UserError(f"{where} has the class {repeated[0]!r} more than once.")
    if len(names) == 1:
        raise UserError(
            f"{where} has only the class {names[0]!r}, and a network needs at least two; name what surrounds it first, "
            f"as in --classes=background,{names[0]} (with masks of 0 and 255 and --label_map='255:1,*:same')."
        )


def check_palette(palette: Any, num_classes: int, where: str) -> None:
    """Raises a UserError unless `palette` is a list of one [red, green, blue] per class, each an integer in 0..255."""
    if not isinstance(palette, list | tuple) or len(palette) != num_classes:
        count = len(palette) if isinstance(palette, list | tuple) else "none"
        raise UserError(f"`palette` in {where} must have one colour per class: {num_classes}, got {count}.")
    for entry in palette:
        if not is_color(entry):
            raise UserError(
                f"`palette` in {where} must hold [red, green, blue] of integers in 0..255, got {shown(entry)}."
            )


def check_categories(categories: Any, num_classes: int, where: str) -> None:
    """Raises a UserError unless `categories` is a list of one group name per class ("" for none), or empty."""
    valid = isinstance(categories, list | tuple) and all(isinstance(name, str) for name in categories)
    if not valid or len(categories) not in (0, num_classes):
        raise UserError(
            f'`categories` in {where} must be a list of one group name per class ("" for none), {num_classes} in all, '
            f"got {shown(categories)}."
        )
    for name in filter(None, categories):
        if not _is_text(name) or len(name) > MAX_NAME or any(unicodedata.category(c) in _UNPRINTABLE for c in name):
            raise UserError(f"`categories` in {where} has {shown(name)}; a name must be text of one line.")


def is_byte(value: Any) -> bool:
    """Returns whether `value` is an integer in 0..255; true and false do not count as integers."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255


def is_color(value: Any) -> bool:
    """Returns whether `value` is a list of three integers in 0..255."""
    return isinstance(value, list | tuple) and len(value) == 3 and all(map(is_byte, value))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())
