"""A check that the colours in colour-mapped labels agree with the use of their indices as class ids.

Programs that choose a palette for each picture (adaptive palettes, optimisers) renumber the colours: then only the
colours identify the classes, and the indices do not.
"""

from collections.abc import Callable

import numpy as np

from deeplab_dpc.console import console
from deeplab_dpc.data.classes_file import ClassesFile
from deeplab_dpc.data.dataset_info import Color
from deeplab_dpc.datasets.label_pictures import LabelPicture
from deeplab_dpc.errors import UserError

_NEAR = 12  # largest difference of a channel by which a program may have rounded a colour


class PaletteCheck:
    """A comparison of the palettes of label files with that of the classes, and with one another.

    Args:
      classes: names and colours of the classes.
      class_of: function called with a palette index that returns its class id.
    """

    def __init__(self, classes: ClassesFile, class_of: Callable[[int], int]):
        self._classes = classes
        self._class_of = class_of
        self._first: dict[Color, tuple[int, str]] = {}
        self._is_noted = False

    def check(self, label: LabelPicture, name: str) -> None:
        """Checks a colour-mapped label.

        Raises:
          UserError: if an index has no colour or that of another class, or if a colour had another index in an earlier
            label.
        """
        palette = label.palette if label.palette is not None else np.zeros((0, 3), np.uint8)
        present = [int(index) for index in np.unique(label.values)]
        if beyond := [index for index in present if index >= len(palette)]:
            raise UserError(
                f"The label {name} has the palette index {beyond[0]}, but its palette has only {len(palette)} colours; "
                "save it with a colour for each index, or as a grey PNG of the ids."
            )
        colors = {index: _color(palette[index]) for index in present}
        shared = {color for color in colors.values() if list(colors.values()).count(color) > 1}  # ambiguous
        for index, color in colors.items():
            if color in shared:
                continue
            if self._classes.has_palette:
                self._compare(index, color, name)
            other, other_name = self._first.setdefault(color, (index, name))
            if other != index:
                raise UserError(
                    f"The label {name} gives the colour {list(color)} the index {index} and {other_name} the index "
                    f"{other}, so that indices are not class ids; give --label_format=rgb, and the classes' colours as "
                    "`palette` in the classes file."
                )

    def _compare(self, index: int, color: Color, name: str) -> None:
        """Compares a colour with that of its class."""
        classes, class_id = self._classes, self._class_of(index)
        if class_id == classes.ignore_label or class_id >= len(classes.names):
            return
        if _near(color, classes.palette[class_id]):
            return
        named = zip(classes.names, classes.palette, strict=True)
        other = next((one for one, its in named if _near(color, its)), None)
        if other is not None:
            raise UserError(
                f"The label {name} gives the index {index} the colour {list(color)}, which the classes file gives "
                f"to {other}, not to {classes.names[class_id]}; give --label_format=rgb if the colours are right, or "
                "leave `palette` out of the classes file if the indices are."
            )
        if not self._is_noted:
            self._is_noted = True
            console.print(
                f"Note: {name} gives the index {index} the colour {list(color)}, and the classes file gives "
                f"{classes.names[class_id]} {list(classes.palette[class_id])}; the indices are used."
            )


def _color(entry: np.ndarray) -> Color:
    red, green, blue = entry.tolist()
    return red, green, blue


def _near(one: Color, other: Color) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= _NEAR
