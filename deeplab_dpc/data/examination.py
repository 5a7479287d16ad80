"""Examination of one record: whether it is usable, the ids in its label, and its size."""

import dataclasses
import enum
import hashlib
import io

import numpy as np
import tensorflow as tf
from PIL import Image

from deeplab_dpc.data.contact_sheet import Tile, make_tile
from deeplab_dpc.data.example import filename_text, parse_example
from deeplab_dpc.data.image_files import UNDECODABLE, TooLargeError, declared_size, orientation
from deeplab_dpc.data.label_statistics import NUM_IDS, out_of_range
from deeplab_dpc.data.tolerant_reader import READING_ERRORS, Damage, first_line
from deeplab_dpc.errors import first_few

NOISE_AGREEMENT = 0.5  # share of equal neighbours: above 0.9 for drawn outlines, 1 / num_classes for random ids
NOISE_IDS = 8  # distinct ids; with fewer, fine patterns are not taken for noise
SHOWN_IDS = 5
_JPEG_START = b"\xff\xd8\xff"
_PNG_HEADER = slice(24, 26)  # bit depth and colour type (PNG specification, 11.2.2)
_GREY_8_BIT = bytes([8, 0])


class Kind(enum.StrEnum):
    """The kinds of problems of records; the value is the title in a report. Errors come first."""

    MISSING = "record files missing"
    COUNT = "number of records"
    DAMAGED = "damaged records"
    IMAGE = "undecodable images"
    LABEL = "undecodable labels"
    NOT_GREY = "labels that are not grey PNGs"
    SIZES = "image and label of different sizes"
    NOISY_IDS = "labels that are noise"
    IDS = "ids out of range"
    ABSENT = "labels that contradict the classes"
    # From here on: warnings, not errors.
    LEAKED = "images in two splits"
    REPEATED = "images repeated"
    NEVER_SEEN = "classes never seen"
    UNLABELLED = "few labelled pixels"
    NOISE = "labels that look like noise"
    SMALL = "very small images"
    TURNED = "images with an EXIF orientation"

    @property
    def is_error(self) -> bool:
        return list(Kind).index(self) < list(Kind).index(Kind.LEAKED)


@dataclasses.dataclass(frozen=True)
class Examined:
    """The result of examining a record.

    Attributes:
      filename: file name of the image in the record; "" if there is none.
      problems: (kind, explanation) of each problem.
      size: (height, width) of the image in pixels; None if it cannot be decoded.
      digest: digest of the pixels, equal for images with equal pixels; b"" if the image cannot be decoded.
      pixels: int64 [256], number of the label's pixels with each id; None without a label that fits the image.
      tile: tile for the contact sheet, if it was requested and the image can be decoded.
    """

    filename: str = ""
    problems: tuple[tuple[Kind, str], ...] = ()
    size: tuple[int, int] | None = None
    digest: bytes = b""
    pixels: np.ndarray | None = None
    tile: Tile | None = None


def examine(record: bytes | Damage, has_label: bool, num_classes: int, ignore_label: int, with_tile: bool) -> Examined:
    """Decodes a record as training does, and examines it.

    Args:
      record: the serialized record, or its damage.
      has_label: bool, whether the split of the record has labels.
      num_classes: number of classes; ids below it are valid.
      ignore_label: id of ignored pixels, which is valid too.
      with_tile: bool, whether to make a tile for the contact sheet.
    """
    if isinstance(record, Damage):
        return Examined(problems=((Kind.DAMAGED, record.reason),))
    try:
        features = {key: value.numpy() for key, value in parse_example(record).items()}
    except READING_ERRORS:
        return Examined(problems=((Kind.DAMAGED, "is not an example with DeepLab's keys and types"),))
    filename = filename_text(features["image/filename"])
    problems: list[tuple[Kind, str]] = []
    image = label = None
    try:
        declared_size(features["image/encoded"])
        image = _decode_image(features["image/encoded"])
    except TooLargeError as error:
        problems.append((Kind.IMAGE, f"its image is not decoded ({error})"))
    except READING_ERRORS as error:
        problems.append((Kind.IMAGE, f"its image cannot be decoded ({first_line(error)})"))
    if has_label:
        label = _decode_label(features["image/segmentation/class/encoded"], problems)
    pixels = None
    if image is not None and label is not None and image.shape[:2] != label.shape:
        sizes = " but its label ".join(f"{array.shape[1]} x {array.shape[0]}" for array in (image, label))
        problems.append((Kind.SIZES, f"its image is {sizes} pixels"))
        label = None
    elif label is not None:
        pixels = np.bincount(label.ravel(), minlength=NUM_IDS)
        problems += _label_problems(label, pixels, num_classes, ignore_label)
    if image is None:
        return Examined(filename, tuple(problems), pixels=pixels)
    if (turn := _orientation(features["image/encoded"])) != 1:
        problems.append((Kind.TURNED, f"its image has the EXIF orientation {turn}, and is trained on as it is stored"))
    tile = make_tile(image, label) if with_tile else None
    return Examined(filename, tuple(problems), image.shape[:2], _digest(image), pixels, tile)


def _orientation(encoded: bytes) -> int:
    """Returns the EXIF orientation of an image that can be decoded; 1 if Pillow cannot open it."""
    try:
        with Image.open(io.BytesIO(encoded)) as picture:
            return orientation(picture)
    except UNDECODABLE:
        return 1  # images that only TensorFlow decodes have no metadata that other programs would apply


def _decode_image(encoded: bytes) -> np.ndarray:
    """Returns the image, uint8 [height, width, 3]."""
    if encoded.startswith(_JPEG_START):  # accurately: a PNG that other software makes of it has the same pixels
        image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    else:
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    pixels: np.ndarray = image.numpy()
    return pixels


def _decode_label(encoded: bytes, problems: list[tuple[Kind, str]]) -> np.ndarray | None:
    """Returns the ids, uint8 [height, width]; adds a problem and returns None if the label is not a PNG of ids."""
    if not encoded:
        problems.append((Kind.LABEL, "it has no label"))
        return None
    try:
        declared_size(encoded)
        label: np.ndarray = tf.io.decode_png(encoded, channels=1).numpy()[..., 0]
    except TooLargeError as error:
        problems.append((Kind.LABEL, f"its label is not decoded ({error})"))
        return None
    except READING_ERRORS as error:
        problems.append((Kind.LABEL, f"its label cannot be decoded ({first_line(error)})"))
        return None
    if encoded[_PNG_HEADER] != _GREY_8_BIT:
        reason = "its label is not a PNG of one 8-bit grey channel, so that reading it changes the ids"
        problems.append((Kind.NOT_GREY, reason))
        return None
    return label


def _label_problems(
    label: np.ndarray, pixels: np.ndarray, num_classes: int, ignore_label: int
) -> list[tuple[Kind, str]]:
    present = np.flatnonzero(pixels)
    wrong = out_of_range(pixels, num_classes, ignore_label)
    agreement = _agreement(label)
    if agreement < NOISE_AGREEMENT and len(present) >= NOISE_IDS:
        kind = Kind.NOISY_IDS if wrong else Kind.NOISE
        highest = present[present != ignore_label].max()
        return [
            (
                kind,
                f"its labels look like noise: {len(present)} distinct ids up to {highest} in one image, "
                f"neighbouring pixels agree in only {100 * agreement:.0f} %",
            )
        ]
    if wrong:
        listed = first_few(list(wrong), SHOWN_IDS)
        reason = (
            f"its label has {sum(wrong.values()):,} pixels of ids that are out of range ({listed}; valid ids are 0 to "
            f"{num_classes - 1} and {ignore_label})"
        )
        return [(Kind.IDS, reason)]
    return []


def _agreement(label: np.ndarray) -> float:
    """Returns the share of the pairs of neighbouring pixels, horizontal and vertical, whose ids are equal."""
    across, down = label[:, 1:] == label[:, :-1], label[1:] == label[:-1]
    pairs = across.size + down.size
    return (np.count_nonzero(across) + np.count_nonzero(down)) / pairs if pairs else 1.0


def _digest(image: np.ndarray) -> bytes:
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.digest()
