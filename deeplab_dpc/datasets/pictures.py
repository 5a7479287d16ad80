"""Reading and checking of raw pictures and labels, with one-sentence errors.

Images become JPEG or PNG with three 8-bit channels; the bytes of images that are already in this form are kept. Labels
are class ids, 8 bits per pixel. `name` is the name of the file in messages: its path, or ARCHIVE:MEMBER.
"""

import dataclasses
import io

import numpy as np
from PIL import Image

from deeplab_dpc.data.image_files import FORMATS, ORIENTATION, UPRIGHT, Undecodable, decode_picture, orientation
from deeplab_dpc.errors import UserError, first_few

# Byte positions of the bit depth and the colour type in a PNG's header (PNG specification, 11.2.2).
PNG_BIT_DEPTH, PNG_COLOR_TYPE = 24, 25
OR_SKIP = ", or give --skip_bad to leave it out"  # end of a sentence with another cure
_TIFF_BITS = 258  # tag BitsPerSample of TIFF 6.0
_KNOWN_MODES = ("1", "L", "P", "RGB", "LA", "PA", "RGBA")
_ON_ITS_SIDE = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
_JPEG_QUALITY = 98  # of turned JPEGs


@dataclasses.dataclass(frozen=True)
class EncodedImage:
    """An image as it is stored in a record.

    Attributes:
      data: encoded image with three channels of 8 bits.
      image_format: "jpeg" or "png".
      height, width: size in pixels.
      orientation: EXIF orientation by which it was turned, 2 to 8; 1 if it was upright.
    """

    data: bytes
    image_format: str
    height: int
    width: int
    orientation: int = 1


def read_image(data: bytes, name: str) -> EncodedImage:
    """Checks an image file; keeps its bytes if it is an upright RGB JPEG or PNG.

    Other formats, grey and colour-mapped images, and images with an alpha channel that is opaque everywhere, become RGB
    without loss. An image with another EXIF orientation is turned, as viewers show it, and a JPEG is encoded again.

    Raises:
      UserError: if it cannot be decoded, or is not an 8-bit picture that RGB can represent (CMYK, 16 bits,
        transparency).
    """
    picture = decode(data, name, FORMATS)
    if picture.mode.startswith(("I", "F")) or bits_per_channel(picture, data) > 8:
        raise UserError(f"The image {name} has more than 8 bits per channel; convert it to 8 bits.")
    if picture.mode not in _KNOWN_MODES:
        raise UserError(f"The image {name} has {picture.mode} colours; convert it to RGB.")
    has_alpha = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    turn = orientation(picture)
    is_jpeg = picture.format in ("JPEG", "MPO")
    if picture.mode == "RGB" and not has_alpha and turn == 1 and (is_jpeg or picture.format == "PNG"):
        return _encoded(picture, data, "jpeg" if is_jpeg else "png")
    if has_alpha:
        picture = picture.convert("RGBA")
        if np.asarray(picture)[..., 3].min() < 255:
            raise UserError(f"The image {name} has transparent pixels; convert it to RGB on the background you want.")
    picture = picture.convert("RGB")
    if turn != 1:
        picture = picture.transpose(UPRIGHT[turn])
        if is_jpeg:
            return _encoded(picture, _encode_jpeg(picture), "jpeg", turn)
    return _encoded(picture, encode_png(picture), "png", turn)


def with_cure(reason: str, cure: str) -> str:
    """Returns the reason why a file cannot be used, with a cure unless it names one, and with --skip_bad."""
    return f"{reason}{'' if ';' in reason else f'; {cure}'}{OR_SKIP}"


def turned_with(image: EncodedImage, ids: np.ndarray) -> tuple[np.ndarray, bool]:
    """Turns a label that was drawn on the stored image, not on the upright one that viewers show.

    Args:
      image: image, with the orientation by which it was turned.
      ids: class ids, uint8 [height, width].

    Returns:
      The ids, turned if they have the size of the stored image and not that of the turned one; whether they were
      turned.
    """
    is_on_its_side = image.orientation in _ON_ITS_SIDE and image.height != image.width
    if not is_on_its_side or ids.shape != (image.width, image.height):
        return ids, False
    return np.asarray(Image.fromarray(ids).transpose(UPRIGHT[image.orientation])), True


def bits_per_channel(picture: Image.Image, data: bytes) -> int:
    """Returns the bits per channel; 8 if the format has no others."""
    if picture.format == "PNG":
        return data[PNG_BIT_DEPTH]
    depths = getattr(picture, "tag_v2", {}).get(_TIFF_BITS, 8) if picture.format == "TIFF" else 8
    return max(depths) if isinstance(depths, tuple) else depths


def _encode_jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return stream.getvalue()


def _encoded(picture: Image.Image, data: bytes, image_format: str, turn: int = 1) -> EncodedImage:
    width, height = picture.size
    return EncodedImage(data, image_format, height, width, turn)


def check_ids(ids: np.ndarray, num_classes: int, ignore_label: int, name: str) -> None:
    """Raises a UserError if `ids` holds a value that is neither a class id nor the ignore label."""
    present = np.unique(ids)
    wrong = present[(present >= num_classes) & (present != ignore_label)]
    if wrong.size:
        listed = first_few(wrong.tolist(), 5)
        raise UserError(
            f"The label {name} has the ids {listed}, but there are {num_classes} classes "
            f"(ids 0 to {num_classes - 1}) and the ignore label is {ignore_label}; correct the label{OR_SKIP}."
        )


def remap_ids(ids: np.ndarray, table: dict[int, int], other: int) -> np.ndarray:
    """Returns ids mapped by a table: uint8 of the same shape; ids that are not in the table become `other`."""
    lookup = np.full(256, other, np.uint8)
    for source, target in table.items():
        lookup[source] = target
    remapped: np.ndarray = lookup[ids]
    return remapped


def encode_png(picture: Image.Image | np.ndarray, turn: int = 1) -> bytes:
    """Returns a picture, or an array of uint8 pixels, as the bytes of a PNG file with the EXIF orientation `turn`."""
    stream = io.BytesIO()
    exif = Image.Exif()
    if turn != 1:
        exif[ORIENTATION] = turn
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(stream, "PNG", exif=exif)
    return stream.getvalue()


def decode(data: bytes, name: str, formats: tuple[str, ...]) -> Image.Image:
    """Returns the fully decoded picture.

    Raises:
      UserError: if it cannot be decoded, or is of another format.
    """
    if not data:
        raise UserError(f"The file {name} is empty; replace it{OR_SKIP}.")
    try:
        return decode_picture(data, formats)
    except Undecodable as error:
        raise UserError(f"The file {name} cannot be decoded: {with_cure(str(error), 'replace it')}.") from error
