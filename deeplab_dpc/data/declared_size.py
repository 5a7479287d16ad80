"""The size in the header of an encoded image, read before memory is allocated for its pixels. Needs no TensorFlow."""

import io

from PIL import Image

from deeplab_dpc.data.image_files import MAX_PIXELS, MAX_SIDE, UNDECODABLE, quiet_pillow


class TooLargeError(ValueError):
    """The error for an image that is too large to be decoded; its text is part of a sentence."""


def declared_size(encoded: bytes) -> tuple[int, int] | None:
    """Returns (height, width) in pixels of an image of any format that Pillow opens; None for other bytes.

    Raises:
      TooLargeError: if the image is too large to be decoded.
    """
    try:
        with quiet_pillow(), Image.open(io.BytesIO(encoded)) as picture:
            width, height = picture.size
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"it has more than {MAX_PIXELS:,} pixels") from error
    except UNDECODABLE:
        return None
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise TooLargeError(
            f"it has {height} x {width} pixels, and at most {MAX_PIXELS:,} are decoded and no side above {MAX_SIDE:,}"
        )
    return height, width
