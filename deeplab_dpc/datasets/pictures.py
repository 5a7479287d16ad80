"""Reading raw pictures and labels, and checking them: what is accepted, and one sentence for what is not.

Images become JPEG or PNG with three 8-bit channels; where they are that already, their bytes are kept. Labels are
class ids, 8 bits a pixel. `name` is what a message calls the file: its path, or ARCHIVE:MEMBER.
"""

import dataclasses
import io

import numpy as np
from PIL import Image

from deeplab_dpc.data.image_files import Undecodable, decode_picture
from deeplab_dpc.errors import UserError

# Where a PNG's header says how its samples are stored, and what the values mean (PNG specification, 11.2.2).
_PNG_BIT_DEPTH, _PNG_COLOR_TYPE = 24, 25
_INDEXED, _GREY_ALPHA, _RGB_ALPHA = 3, 4, 6


@dataclasses.dataclass(frozen=True)
class EncodedImage:
    """An image as a record keeps it.

    Attributes:
      data: the encoded image, three channels of 8 bits.
      image_format: "jpeg" or "png".
      height, width: in pixels.
    """

    data: bytes
    image_format: str
    height: int
    width: int


def read_image(data: bytes, name: str) -> EncodedImage:
    """Checks an image file; keeps its bytes if they are RGB.

    Grey and colour-mapped images, and an alpha channel that is opaque everywhere, become RGB without loss.

    Raises:
      UserError: if it cannot be decoded, or is no 8-bit picture that RGB can hold (CMYK, 16 bits, transparency).
    """
    picture = _decode(data, name, ("JPEG", "PNG"))
    if picture.mode.startswith(("I", "F")) or (picture.format == "PNG" and data[_PNG_BIT_DEPTH] > 8):
        raise UserError(f"The image {name} has more than 8 bits per channel; convert it to 8 bits.")
    if picture.mode in ("CMYK", "YCCK"):
        raise UserError(f"The image {name} is {picture.mode}; convert it to RGB.")
    has_alpha = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    if picture.mode == "RGB" and not has_alpha:
        return _encoded(picture, data, "png" if picture.format == "PNG" else "jpeg")
    if has_alpha:
        picture = picture.convert("RGBA")
        if np.asarray(picture)[..., 3].min() < 255:
            raise UserError(f"The image {name} has transparent pixels; convert it to RGB on the background you want.")
    return _encoded(picture, encode_png(picture.convert("RGB")), "png")


def _encoded(picture: Image.Image, data: bytes, image_format: str) -> EncodedImage:
    width, height = picture.size
    return EncodedImage(data, image_format, height, width)


@dataclasses.dataclass(frozen=True)
class LabelPicture:
    """A decoded label file.

    Attributes:
      kind: "grey" or "palette" (values uint8 [height, width]: the samples or the palette's indices) or "rgb" (values
        uint8 [height, width, 3]).
      values: the pixels.
      palette: where kind is "palette", its colours: uint8 [colours, 3].
    """

    kind: str
    values: np.ndarray
    palette: np.ndarray | None = None


def read_label(data: bytes, name: str) -> LabelPicture:
    """Decodes a label PNG; an alpha channel that is opaque everywhere is dropped.

    Raises:
      UserError: if it cannot be decoded, has transparent pixels, or other than 8 bits per channel.
    """
    picture = _decode(data, name, ("PNG",))
    bit_depth, color_type = data[_PNG_BIT_DEPTH], data[_PNG_COLOR_TYPE]
    if color_type == _INDEXED:
        palette = np.array(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
        return LabelPicture("palette", np.asarray(picture), palette)
    if bit_depth != 8:
        raise UserError(f"The label {name} has {bit_depth} bits per pixel; labels must have 8.")
    values = np.asarray(picture)
    if color_type in (_GREY_ALPHA, _RGB_ALPHA):
        if values[..., -1].min() < 255:
            raise UserError(f"The label {name} has transparent pixels; save it without the alpha channel.")
        values = values[..., 0] if color_type == _GREY_ALPHA else values[..., :3]
    return LabelPicture("grey" if values.ndim == 2 else "rgb", values)


def check_ids(ids: np.ndarray, num_classes: int, ignore_label: int, name: str) -> None:
    """Raises a UserError if `ids` holds a value that is neither a class id nor the ignore label."""
    present = np.unique(ids)
    wrong = present[(present >= num_classes) & (present != ignore_label)]
    if wrong.size:
        listed = ", ".join(map(str, wrong[:5])) + (", ..." if wrong.size > 5 else "")
        raise UserError(
            f"The label {name} has the ids {listed}, but there are {num_classes} classes "
            f"(ids 0 to {num_classes - 1}) and the ignore label is {ignore_label}."
        )


def remap_ids(ids: np.ndarray, table: dict[int, int], other: int) -> np.ndarray:
    """Ids by a table: uint8 of the same shape; ids that the table lacks become `other`."""
    lookup = np.full(256, other, np.uint8)
    for source, target in table.items():
        lookup[source] = target
    return lookup[ids]


def encode_png(picture: Image.Image | np.ndarray) -> bytes:
    """The picture, or an array of uint8 pixels, as the bytes of a PNG file."""
    stream = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(stream, "PNG")
    return stream.getvalue()


def _decode(data: bytes, name: str, formats: tuple[str, ...]) -> Image.Image:
    """The fully decoded picture."""
    if not data:
        raise UserError(f"The file {name} is empty.")
    try:
        return decode_picture(data, formats)
    except Undecodable as error:
        raise UserError(f"The file {name} cannot be decoded: {error}.") from error
