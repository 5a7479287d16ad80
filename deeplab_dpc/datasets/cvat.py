"""Annotations of CVAT for images 1.1 (https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/): an XML file.

The file is read in pieces. A document type is refused, and with it entities, which can grow without limit or refer to
other files.
"""

import dataclasses
import pathlib
import re
import xml.parsers.expat
from collections.abc import Mapping

import numpy as np

from deeplab_dpc.data.dataset_info import Color
from deeplab_dpc.data.image_files import MAX_SIDE
from deeplab_dpc.datasets.coco_json import MAX_PIXELS
from deeplab_dpc.datasets.outlines import Annotated, Ellipse, Patch, Polygon, Shape, as_points, box, run_lengths
from deeplab_dpc.errors import UserError, shown

_AREAS = ("polygon", "box", "ellipse", "mask")
_NO_AREA = ("polyline", "points", "skeleton", "cuboid")
_PIECE = 2**20  # bytes
_MAX_DEPTH = 100


@dataclasses.dataclass(frozen=True)
class CvatFile:
    """The contents of a CVAT file.

    Attributes:
      images: annotations of each image, by its name in the file, with folders.
      names: names of the labels, in the order of the file.
      palette: colours of the labels that have one.
      subsets: subset of each image that has one, by the image's name.
    """

    images: dict[str, Annotated]
    names: tuple[str, ...]
    palette: dict[str, Color]
    subsets: dict[str, str] = dataclasses.field(default_factory=dict)


def read_cvat(data: bytes, title: str) -> CvatFile:
    """Reads a CVAT file; shapes are sorted by z_order, and those of equal z_order keep the order of the file.

    Args:
      data: contents of the file.
      title: name of the file in messages.

    Raises:
      UserError: if it is not XML, has a document type, is not laid out as CVAT's, or has a shape that covers no area.
    """
    reader = _Reader(title)
    parser = xml.parsers.expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.buffer_text = True
    try:
        for begin in range(0, len(data), _PIECE):
            parser.Parse(data[begin : begin + _PIECE], False)
        parser.Parse(b"", True)
    except UserError:
        raise
    except (xml.parsers.expat.ExpatError, LookupError, ValueError) as error:  # the last two for encodings
        raise UserError(f"The CVAT file {title} is damaged: {error}.") from error
    return reader.file()


def root_element(data: bytes) -> str | None:
    """Returns the name of an XML file's root element; None if it does not begin with one."""
    found = re.search(rb"<([A-Za-z_][\w.-]*)", re.sub(rb"<!--.*?-->|<\?.*?\?>", b"", data[:65_536], flags=re.DOTALL))
    return found[1].decode() if found else None


class _Reader:
    """A collector of the parser's results."""

    def __init__(self, title: str):
        self.title = title
        self._path: list[str] = []
        self._text = ""
        self._labels: dict[str, Color | None] = {}
        self._label = ""
        self._images: dict[str, Annotated] = {}
        self._subsets: dict[str, str] = {}
        self._image: tuple[str, int, int] | None = None
        self._shapes: list[tuple[int, Shape]] = []

    def doctype(self, *_: object) -> None:
        raise UserError(f"The CVAT file {self.title} has a document type (DOCTYPE), which is not read; remove it.")

    def characters(self, text: str) -> None:
        self._text += text

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._path.append(tag)
        self._text = ""
        if len(self._path) == 1 and tag != "annotations":
            raise UserError(f"The CVAT file {self.title} is not laid out as CVAT's: it begins with <{tag}>.")
        if len(self._path) > _MAX_DEPTH:
            raise UserError(f"The CVAT file {self.title} is nested too deeply.")
        if tag == "track" and len(self._path) == 2:
            raise UserError(f"The file {self.title} is CVAT's for video; export it as 'CVAT for images 1.1'.")
        if tag == "image" and len(self._path) == 2:
            self._begin_image(attributes)
        elif self._image is not None and len(self._path) == 3 and tag in (*_AREAS, *_NO_AREA):
            self._add(tag, attributes)

    def end(self, tag: str) -> None:
        inside = self._path[-2:]
        self._path.pop()
        if inside == ["label", "name"]:
            self._label = self._text.strip()
            self._labels[self._label] = None
        elif inside == ["label", "color"] and self._label:
            self._labels[self._label] = _color(self._text.strip())
        elif tag == "image" and len(self._path) == 1 and self._image is not None:
            name, height, width = self._image
            shapes = tuple(shape for _, shape in sorted(self._shapes, key=lambda item: item[0]))
            self._images[name] = Annotated(f"the image {name} in {self.title}", (height, width), shapes)
            self._image = None
        self._text = ""

    def file(self) -> CvatFile:
        if not self._images:
            raise UserError(f"The CVAT file {self.title} lists no image.")
        used = (shape.name for image in self._images.values() for shape in image.shapes)
        names = tuple(dict.fromkeys([*self._labels, *sorted(used)]))
        palette = {name: color for name, color in self._labels.items() if color is not None}
        return CvatFile(self._images, names, palette, self._subsets)

    def _begin_image(self, attributes: Mapping[str, str]) -> None:
        path = pathlib.PureWindowsPath(attributes.get("name", ""))  # both kinds of slash
        name, number = path.as_posix(), len(self._images) + 1
        if not path.name or ".." in path.parts:
            raise UserError(f"Image {number} of the CVAT file {self.title} has the name {shown(name)}, which is none.")
        if name in self._images:
            raise UserError(f"The CVAT file {self.title} has the image {name} more than once.")
        try:
            height, width = (int(attributes[key]) for key in ("height", "width"))
        except (KeyError, ValueError) as error:
            raise UserError(f"The image {name} in the CVAT file {self.title} has no width and height.") from error
        if min(height, width) < 1 or max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
            raise UserError(f"The image {name} in the CVAT file {self.title} has the size {width} x {height} pixels.")
        self._image, self._shapes = (name, height, width), []
        if subset := attributes.get("subset", "").strip():
            self._subsets[name] = subset

    def _add(self, tag: str, attributes: Mapping[str, str]) -> None:
        assert self._image is not None
        title = f"{tag} {len(self._shapes) + 1}"
        try:
            if not attributes.get("label", "").strip():
                raise ValueError("it has no label")
            if tag in _NO_AREA:
                raise ValueError("it covers no area; remove it, or draw a polygon, box, ellipse or mask")
            shape = Shape(attributes["label"].strip(), _area(tag, attributes), title)
            self._shapes.append((int(_number(attributes, "z_order", "0")), shape))
        except ValueError as error:
            raise UserError(
                f"The {title} of the image {self._image[0]} in {self.title} cannot be used: {error}."
            ) from error


def _area(tag: str, attributes: Mapping[str, str]) -> Polygon | Ellipse | Patch:
    if tag == "polygon":
        return Polygon(_points(attributes.get("points", "")))
    if tag == "box":
        left, top, right, bottom = (_number(attributes, key) for key in ("xtl", "ytl", "xbr", "ybr"))
        return box(left, top, right, bottom, _number(attributes, "rotation", "0"))
    if tag == "ellipse":
        x, y, across, down = (_number(attributes, key) for key in ("cx", "cy", "rx", "ry"))
        return Ellipse((x, y), (across, down), _number(attributes, "rotation", "0"))
    left, top, height, width = (int(_number(attributes, key)) for key in ("left", "top", "height", "width"))
    if min(height, width) < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"its mask has {width} x {height} pixels")
    return run_lengths(attributes.get("rle", ""), left, top, height, width)


def _points(text: str) -> np.ndarray:
    """Returns the points of 'x,y;x,y;...', float64 [points, (x, y)]."""
    try:
        return as_points(np.array([[float(number) for number in pair.split(",")] for pair in text.split(";")]))
    except ValueError as error:
        raise ValueError("its points are not pairs x,y;x,y") from error


def _number(attributes: Mapping[str, str], key: str, default: str = "") -> float:
    try:
        value = float(attributes.get(key, default))
    except ValueError as error:
        raise ValueError(f"its {key} is {shown(attributes.get(key))}, and no number") from error
    if not np.isfinite(value) or abs(value) > 1e9:
        raise ValueError(f"its {key} is {value:g}")
    return value


def _color(text: str) -> Color | None:
    """Returns the colour for '#rrggbb'."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        return None
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue
