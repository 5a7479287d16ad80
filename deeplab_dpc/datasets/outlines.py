"""Annotations as shapes of classes, and the drawing of their labels.

Coordinates are in pixels: (0, 0) is the upper left corner of the image, and (0.5, 0.5) the middle of its first pixel.
Polygons are drawn like those of COCO (coco_masks.py); an ellipse covers the pixels whose middles are inside it. Where
shapes overlap, the later one is on top. Malformed shapes raise a ValueError with the reason.
"""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from deeplab_dpc.datasets.coco_masks import polygon_mask, runs_mask
from deeplab_dpc.errors import UserError


def as_points(values: np.ndarray) -> np.ndarray:
    """Returns the values, if they are points, float64 [points, (x, y)].

    Raises:
      ValueError: if they have another shape, or are not finite.
    """
    if values.ndim != 2 or values.shape[1] != 2 or not np.isfinite(values).all():
        raise ValueError("they are no points")
    return values


@dataclasses.dataclass(frozen=True)
class Polygon:
    """The inside of an outline.

    Attributes:
      corners: corners of the outline, float64 [corners, (x, y)].
    """

    corners: np.ndarray

    def mask(self, height: int, width: int) -> np.ndarray:
        """Returns the covered pixels, bool [height, width]."""
        return polygon_mask(self.corners.ravel(), height, width)


@dataclasses.dataclass(frozen=True)
class Ellipse:
    """An ellipse, or a circle.

    Attributes:
      center: (x, y) of the centre.
      radii: radii along its own axes, the first of which is horizontal before the rotation.
      rotation: rotation clockwise, in degrees.
    """

    center: tuple[float, float]
    radii: tuple[float, float]
    rotation: float = 0.0

    def mask(self, height: int, width: int) -> np.ndarray:
        """Returns the covered pixels, bool [height, width]."""
        if not min(self.radii) > 0:
            raise ValueError("its radius is not above 0")
        x = np.arange(width) + 0.5 - self.center[0]
        y = (np.arange(height) + 0.5 - self.center[1])[:, np.newaxis]
        cosine, sine = math.cos(math.radians(self.rotation)), math.sin(math.radians(self.rotation))
        along, across = x * cosine + y * sine, y * cosine - x * sine
        return (along / self.radii[0]) ** 2 + (across / self.radii[1]) ** 2 <= 1


@dataclasses.dataclass(frozen=True)
class Patch:
    """A mask of a part of the image.

    Attributes:
      left, top: column and row of its first pixel in the image.
      pixels: mask of the patch, bool [height, width].
    """

    left: int
    top: int
    pixels: np.ndarray

    def mask(self, height: int, width: int) -> np.ndarray:
        """Returns the covered pixels, bool [height, width]."""
        bottom, right = self.top + self.pixels.shape[0], self.left + self.pixels.shape[1]
        if min(self.left, self.top) < 0 or bottom > height or right > width:
            raise ValueError(f"its mask leaves its image of {width} x {height} pixels")
        mask = np.zeros((height, width), bool)
        mask[self.top : bottom, self.left : right] = self.pixels
        return mask


@dataclasses.dataclass(frozen=True)
class Shape:
    """A shape of a class.

    Attributes:
      name: name of the class.
      area: covered area.
      title: name of the shape in messages, such as 'shape 3'.
    """

    name: str
    area: Polygon | Ellipse | Patch
    title: str


@dataclasses.dataclass(frozen=True)
class Annotated:
    """The annotations of an image.

    Attributes:
      title: name of the annotations in messages: their file, and their image if the file has several.
      size: (height, width) of the image in pixels, according to the annotations.
      shapes: shapes in the order in which they are drawn.
    """

    title: str
    size: tuple[int, int]
    shapes: tuple[Shape, ...]

    def label(self, ids: dict[str, int], outside: int) -> np.ndarray:
        """Draws the shapes.

        Args:
          ids: ids of the classes, by name.
          outside: id of the pixels that no shape covers.

        Returns:
          Class ids, uint8 [height, width].

        Raises:
          UserError: for a shape that cannot be drawn, or of a class that is not in `ids`.
        """
        label = np.full(self.size, outside, np.uint8)
        for shape in self.shapes:
            if shape.name not in ids:
                raise UserError(unknown_name(shape.name, f"The {shape.title} of {self.title}", ids))
            try:
                label[shape.area.mask(*self.size)] = ids[shape.name]
            except ValueError as error:
                raise UserError(f"The {shape.title} of {self.title} cannot be used: {error}.") from error
        return label


def unknown_name(name: str, where: str, known: Iterable[str]) -> str:
    """Returns the error message for an unknown class."""
    return f"{where} is of the class {name!r}, which is not among --classes ({', '.join(known)}); name it there."


def box(left: float, top: float, right: float, bottom: float, rotation: float = 0.0) -> Polygon:
    """Returns a rectangle, rotated clockwise about its middle by `rotation` degrees."""
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float64)
    if rotation:
        cosine, sine = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
        middle = corners.mean(axis=0)
        corners = (corners - middle) @ np.array([[cosine, sine], [-sine, cosine]]) + middle
    return Polygon(corners)


def run_lengths(text: str, left: int, top: int, height: int, width: int) -> Patch:
    """Returns the patch of comma-separated run lengths along the rows, zeros first."""
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError("its run lengths are not integers") from error
    # Runs of the transposed mask go down its columns.
    return Patch(left, top, runs_mask(counts, width, height).T)
