"""Label files of common formats: PNG of any depth, and lossless TIFF, WebP, BMP and GIF; other formats are errors.

Ids are the stored samples: a grey PNG of 1, 2 or 4 bits contains 0 and 1, 0 to 3 or 0 to 15, although viewers show them
from black to white.
"""

import dataclasses

import numpy as np
from PIL import Image

from deeplab_dpc.data.file_kinds import LOSSY_CURE
from deeplab_dpc.data.image_files import orientation
from deeplab_dpc.datasets.pictures import PNG_BIT_DEPTH, PNG_COLOR_TYPE, bits_per_channel, decode
from deeplab_dpc.errors import UserError, first_few

_SMOOTH_VALUES, _SMOOTH_WHITE = 3, 128  # fewest values in between, and the least that the largest of them must be
_SMOOTH_SHARE = 0.5  # smallest share of 0 and 255 in a mask with smooth edges
FORMATS = ("PNG", "TIFF", "WEBP", "BMP", "GIF", "JPEG")  # JPEG only to be refused with the reason
_INDEXED, _GREY_ALPHA, _RGB_ALPHA = 3, 4, 6  # PNG specification, 11.2.2
_TIFF_COMPRESSION, _TIFF_PHOTOMETRIC = 259, 262  # tags of TIFF 6.0
_LOSSY_COMPRESSIONS = (6, 7, 34892, 50001, 50002)  # JPEG, WebP and JPEG XL in TIFF
_WHITE_IS_ZERO = 0
_SHOWN_IDS = 5


@dataclasses.dataclass(frozen=True)
class LabelPicture:
    """A decoded label file.

    Attributes:
      kind: "grey" or "palette" (values uint8 [height, width]: the samples or the palette's indices) or "rgb" (values
        uint8 [height, width, 3]).
      values: pixels of the label.
      palette: colours if kind is "palette": uint8 [colours, 3].
      white: sample that is shown as white if kind is "grey".
    """

    kind: str
    values: np.ndarray
    palette: np.ndarray | None = None
    white: int = 255


def read_label(data: bytes, name: str) -> LabelPicture:
    """Decodes a label; an alpha channel that is opaque everywhere is dropped.

    Raises:
      UserError: if it cannot be decoded, has transparent pixels or ids above 255, or has a lossy compression.
    """
    picture = decode(data, name, FORMATS)
    _require_lossless(picture, data, name)
    if orientation(picture) != 1:
        raise UserError(f"The label {name} has an EXIF orientation; turn its pixels and save it without one.")
    if picture.format == "PNG":
        return _png(picture, data, name)
    values = np.asarray(picture)
    if picture.mode == "P":
        return _indexed(picture)
    if picture.mode == "1":
        return LabelPicture("grey", values.astype(np.uint8), white=1)
    if picture.mode.startswith("I"):
        return LabelPicture("grey", _bytes(values, name))
    if picture.mode not in ("L", "LA", "RGB", "RGBA"):
        kind = "floating-point values" if picture.mode == "F" else f"{picture.mode} colours"
        raise UserError(f"The label {name} has {kind}; save it as a PNG of class ids, 8 bits a pixel.")
    bits = bits_per_channel(picture, data)
    if picture.mode == "L" and bits < 8:
        return _scaled_back(values, bits)
    if picture.mode in ("LA", "RGBA"):
        values = _without_alpha(values, name)
    if values.ndim == 3 and picture.format == "WEBP" and (values == values[..., :1]).all():
        values = values[..., 0]  # WebP has no grey pictures
    return _grey_or_rgb(values)


def smooth_values(label: LabelPicture) -> list[int]:
    """Returns the grey values in between if a label is a mask of 0 and 255 with smooth edges; [] for all others."""
    if label.kind != "grey":
        return []
    values = label.values
    counts = np.bincount(values.ravel(), minlength=256)
    between = [value for value in range(1, 255) if counts[value]]
    is_mask = counts[0] and counts[255] and counts[0] + counts[255] >= _SMOOTH_SHARE * values.size
    is_smooth = len(between) >= _SMOOTH_VALUES and between[-1] >= _SMOOTH_WHITE
    return between if is_mask and is_smooth else []


def smooth_mask_problem(name: str, between: list[int], flags: str) -> str:
    """Returns the error message for a mask of 0 and 255 with smooth edges.

    Args:
      name: name of the label in messages.
      between: its values in between.
      flags: flags that the mask needs in addition; "" for none.
    """
    listed = first_few(between, _SHOWN_IDS)
    more = f", save it as PNG, and give {flags}." if flags else ", and save it as PNG."
    return (
        f"The label {name} has grey values between 0 and 255 ({listed}), as smooth edges, scaling and JPEG make them, "
        f"and these are no class ids; threshold it to two values, 0 and 255{more}"
    )


def _png(picture: Image.Image, data: bytes, name: str) -> LabelPicture:
    bit_depth, color_type = data[PNG_BIT_DEPTH], data[PNG_COLOR_TYPE]
    values = np.asarray(picture)
    if color_type == _INDEXED:
        return _indexed(picture)
    if bit_depth == 16:
        if values.ndim == 3 or color_type in (_GREY_ALPHA, _RGB_ALPHA):
            raise UserError(f"The label {name} has 16 bits per channel; labels must have 8, or a single channel.")
        return LabelPicture("grey", _bytes(values, name))
    if bit_depth < 8:
        if picture.mode == "1":
            return LabelPicture("grey", values.astype(np.uint8), white=1)
        return _scaled_back(values, bit_depth)
    if color_type in (_GREY_ALPHA, _RGB_ALPHA):
        values = _without_alpha(values, name)
    return _grey_or_rgb(values)


def _scaled_back(values: np.ndarray, bits: int) -> LabelPicture:
    """Returns the stored values of 2 or 4 bits, which Pillow scales from black to white."""
    white = 2**bits - 1
    return LabelPicture("grey", values // (255 // white), white=white)


def _grey_or_rgb(values: np.ndarray) -> LabelPicture:
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    return LabelPicture("grey" if values.ndim == 2 else "rgb", values)


def _indexed(picture: Image.Image) -> LabelPicture:
    palette = np.array(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    return LabelPicture("palette", np.asarray(picture), palette)


def _without_alpha(values: np.ndarray, name: str) -> np.ndarray:
    if values[..., -1].min() < 255:
        raise UserError(f"The label {name} has transparent pixels; save it without the alpha channel.")
    return values[..., :-1]


def _bytes(values: np.ndarray, name: str) -> np.ndarray:
    """Returns samples of more than 8 bits as uint8; values beyond 0..255 are an error."""
    beyond = np.unique(values[(values < 0) | (values > 255)])
    if beyond.size:
        listed = first_few(beyond.tolist(), _SHOWN_IDS)
        raise UserError(
            f"The label {name} has values beyond 255 ({listed}); class ids are 0 to 255, and instances or scaled "
            "values must become class ids first."
        )
    return values.astype(np.uint8)


def _require_lossless(picture: Image.Image, data: bytes, name: str) -> None:
    """Raises a UserError for a compression that changes values, or a TIFF in which 0 is white."""
    tags = getattr(picture, "tag_v2", {})
    kind = ""
    if picture.format in ("JPEG", "MPO"):
        kind = "JPEG"
    elif picture.format == "WEBP" and b"VP8 " in _webp_chunks(data):
        kind = "WebP that was compressed with losses"
    elif picture.format == "TIFF" and tags.get(_TIFF_COMPRESSION) in _LOSSY_COMPRESSIONS:
        kind = "TIFF that was compressed with losses"
    if kind:
        raise UserError(f"The label {name} is a {kind}, {LOSSY_CURE}.")
    if picture.format == "TIFF" and tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise UserError(f"The label {name} is a TIFF whose 0 is white, so that ids are turned round; save it as a PNG.")


def _webp_chunks(data: bytes) -> list[bytes]:
    """Returns the kinds of the chunks of a WebP file."""
    kinds, position = [], 12
    while position + 8 <= len(data):
        kinds.append(data[position : position + 4])
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + size + size % 2
    return kinds
