"""Drawn scenes for experiments, in which an object can be recognised only at the scale of its whole outline.

The colour of a surface distinguishes round objects, straight objects and scenery, and nothing else. A disk is small or
large, a ring is a disk with a hole, a rectangle is a thin bar or a block, and the ground differs from the background
only by stripes: a small window sees the same surface for all classes of a group, so that context at several scales is
needed.
"""

import dataclasses
import functools
import io
import os
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from deeplab_dpc.data.dataset_info import DEFAULT_IGNORE_LABEL, Dataset
from deeplab_dpc.data.label_statistics import NUM_IDS
from deeplab_dpc.datasets.pictures import encode_png
from deeplab_dpc.datasets.segmentation_builder import Classes, SegmentationBuilder, SegmentedImage, prepare
from deeplab_dpc.errors import UserError

CLASSES = Classes(
    names=("background", "ground", "small_disk", "large_disk", "ring", "bar", "block"),
    palette=((60, 60, 60), (150, 110, 60), (250, 200, 0), (220, 60, 40), (150, 60, 200), (0, 170, 220), (60, 170, 60)),
    ignore_label=DEFAULT_IGNORE_LABEL,
)
BACKGROUND, GROUND, SMALL_DISK, LARGE_DISK, RING, BAR, BLOCK = range(7)
MIN_SIDE = 33  # pixels; smaller pictures have no room for the objects

# Sizes as shares of the picture's shorter side.
SMALL_RADIUS = (0.045, 0.07)
LARGE_RADIUS = (0.13, 0.22)
BAR_LENGTH, BAR_THICKNESS = (0.35, 0.75), (0.04, 0.06)
BLOCK_SIDE = (0.2, 0.4)
# Mean colours of the surfaces of each group, which vary by up to COLOR_SPREAD in each channel.
ROUND_COLOR, STRAIGHT_COLOR, SCENERY_COLOR = (195, 95, 70), (75, 125, 195), (130, 150, 110)
GROUP_COLOR = {
    BACKGROUND: SCENERY_COLOR,
    GROUND: SCENERY_COLOR,
    SMALL_DISK: ROUND_COLOR,
    LARGE_DISK: ROUND_COLOR,
    RING: ROUND_COLOR,
    BAR: STRAIGHT_COLOR,
    BLOCK: STRAIGHT_COLOR,
}
COLOR_SPREAD = 35
MAX_COUNT = {LARGE_DISK: 2, RING: 2, BLOCK: 2, BAR: 3, SMALL_DISK: 5}  # objects of each kind in a picture
JPEG_QUALITY = 95

Draw = ImageDraw.ImageDraw


@dataclasses.dataclass(frozen=True)
class _Settings:
    num_train: int
    num_val: int
    image_size: tuple[int, int]
    seed: int


class Shapes(SegmentationBuilder):
    """The builder of the data set `shapes`.

    Args:
      settings: see `build_shapes`.
      data_dir: see `SegmentationBuilder`.
    """

    name = "shapes"

    def __init__(self, *, data_dir: str | os.PathLike[str], settings: _Settings):
        self._settings = settings
        super().__init__(data_dir=data_dir, classes=CLASSES)

    def split_sizes(self) -> dict[str, int]:
        return {"train": self._settings.num_train, "val": self._settings.num_val}

    def segmented_images(self, split: str) -> Iterator[SegmentedImage]:
        height, width = self._settings.image_size
        split_id = list(self.split_sizes()).index(split)
        for index in range(self.split_sizes()[split]):
            rng = np.random.default_rng([self._settings.seed, split_id, index])
            image, label = draw_scene(rng, height, width)
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0)
            encoded_label, pixels = encode_png(Image.fromarray(label)), np.bincount(label.ravel(), minlength=NUM_IDS)
            name = f"{split}_{index:05d}.jpg"
            yield SegmentedImage(name, stream.getvalue(), "jpeg", encoded_label, height, width, pixels)


def build_shapes(
    data_dir: str | os.PathLike[str],
    num_train: int = 240,
    num_val: int = 60,
    image_size: tuple[int, int] = (129, 129),
    seed: int = 0,
    overwrite: bool = False,
) -> Dataset:
    """Builds the data set `shapes`.

    Args:
      data_dir: directory in which data sets are written.
      num_train: number of images in train.
      num_val: number of images in val.
      image_size: (height, width) in pixels.
      seed: seed of the pictures.
      overwrite: bool, whether to replace a data set that was made with other values.
    """
    if num_train < 1 or num_val < 1:
        raise UserError(f"--num_train and --num_val must be at least 1, got {num_train} and {num_val}.")
    if min(image_size) < MIN_SIDE:
        raise UserError(f"--image_size must be at least {MIN_SIDE} on both sides, got {image_size}.")
    if seed < 0:
        raise UserError(f"--seed must be at least 0, got {seed}.")
    settings = _Settings(num_train, num_val, image_size, seed)
    make_builder = functools.partial(_make_builder, settings)
    return prepare(make_builder, Shapes.name, data_dir, dataclasses.asdict(settings), overwrite)


def _make_builder(settings: _Settings, data_dir: pathlib.Path) -> SegmentationBuilder:
    return Shapes(data_dir=data_dir, settings=settings)


def draw_scene(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws one picture.

    Returns:
      image: uint8 [height, width, 3].
      label: uint8 [height, width].
    """
    image = np.broadcast_to(_color(rng, BACKGROUND), (height, width, 3))
    label = np.full((height, width), BACKGROUND, np.uint8)
    image, label = _paint(rng, image, label, GROUND, _ground(rng, height, width))
    kinds = [kind for kind, most in MAX_COUNT.items() for _ in range(rng.integers(0, most + 1))]
    # Large objects first, so that small ones stay visible; neighbours may change places, so that occlusions vary.
    order = np.argsort(np.arange(len(kinds)) + rng.uniform(0, 4, len(kinds)))
    for kind in (kinds[i] for i in order):
        image, label = _paint(rng, image, label, kind, _outline(rng, kind, height, width))
    return _photograph(rng, image), label


def _color(rng: np.random.Generator, kind: int) -> np.ndarray:
    return (np.array(GROUP_COLOR[kind]) + rng.uniform(-COLOR_SPREAD, COLOR_SPREAD, 3)).astype(np.float32)


def _paint(
    rng: np.random.Generator, image: np.ndarray, label: np.ndarray, kind: int, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Covers the mask with a surface in the colours of the kind, and labels it."""
    surface = np.broadcast_to(_color(rng, kind), image.shape)
    if kind == GROUND:
        surface = _stripes(rng, surface)
    return np.where(mask[..., None], surface, image), np.where(mask, np.uint8(kind), label)


def _stripes(rng: np.random.Generator, surface: np.ndarray) -> np.ndarray:
    """Returns the surface with every other stripe darkened."""
    rows, columns = np.mgrid[: surface.shape[0], : surface.shape[1]]
    angle, period = rng.uniform(-0.6, 0.6), rng.uniform(6, 11)
    phase = (rows * np.cos(angle) + columns * np.sin(angle)) / period
    return np.where((phase % 1 < 0.5)[..., None], surface, surface * rng.uniform(0.5, 0.7))


def _ground(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Returns the part of the picture below a tilted horizon."""
    left, right = rng.uniform(0.55, 0.85, 2) * height
    horizon = np.linspace(left, right, width)
    return np.arange(height)[:, None] >= horizon[None, :]


def _outline(rng: np.random.Generator, kind: int, height: int, width: int) -> np.ndarray:
    """Returns a mask [height, width] of one object at a random place."""
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    side = min(height, width)
    center = rng.uniform(0.08, 0.92, 2) * (width, height)
    if kind == SMALL_DISK:
        _disk(draw, center, side * rng.uniform(*SMALL_RADIUS))
    elif kind == LARGE_DISK:
        _disk(draw, center, side * rng.uniform(*LARGE_RADIUS))
    elif kind == RING:
        radius = side * rng.uniform(*LARGE_RADIUS)
        _disk(draw, center, radius)
        _disk(draw, center, radius * rng.uniform(0.5, 0.65), fill=0)
    elif kind == BAR:
        _rectangle(rng, draw, center, side * rng.uniform(*BAR_LENGTH), side * rng.uniform(*BAR_THICKNESS))
    else:
        _rectangle(rng, draw, center, side * rng.uniform(*BLOCK_SIDE), side * rng.uniform(*BLOCK_SIDE))
    return np.asarray(canvas)


def _disk(draw: Draw, center: np.ndarray, radius: float, fill: int = 1) -> None:
    draw.ellipse([*(center - radius), *(center + radius)], fill=fill)


def _rectangle(rng: np.random.Generator, draw: Draw, center: np.ndarray, length: float, thickness: float) -> None:
    angle = rng.uniform(0, np.pi)
    along = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    across = np.array([-np.sin(angle), np.cos(angle)]) * thickness / 2
    corners = [center + along + across, center + along - across, center - along - across, center - along + across]
    draw.polygon([(float(x), float(y)) for x, y in corners], fill=1)


def _photograph(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Returns the picture with uneven light, blotches and noise: uint8 of the same shape."""
    height, width, _ = image.shape
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slope = rng.uniform(-0.25, 0.25, 2)
    light = 1 + slope[0] * rows + slope[1] * columns
    coarse = Image.fromarray(rng.normal(0, 0.08, (9, 9)).astype(np.float32))
    blotches = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    noise = rng.normal(0, 8, image.shape)
    photograph: np.ndarray = np.clip(image * (light + blotches)[..., None] + noise, 0, 255).astype(np.uint8)
    return photograph
