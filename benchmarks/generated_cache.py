"""A feature cache of random numbers with a given size; the cost of a step does not depend on its values."""

import dataclasses
import pathlib

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.search.proxy.feature_cache import FeatureCache, write_manifest

OUTPUT_STRIDE = 16
IGNORE_LABEL = 255
BLOCK = 24  # side of a patch of labels, in pixels


@dataclasses.dataclass(frozen=True)
class Size:
    """The size of the proxy task.

    Attributes:
      height, width: size of the features.
      channels: number of channels of the features.
      label_height, label_width: size of the labels in pixels.
      classes: number of classes of the labels.
    """

    height: int
    width: int
    channels: int
    label_height: int
    label_width: int
    classes: int

    def __str__(self) -> str:
        features, labels = (self.height, self.width, self.channels), (self.label_height, self.label_width)
        return (
            f"features {' x '.join(map(str, features))}, labels {' x '.join(map(str, labels))}, {self.classes} classes"
        )


SIZES = {
    "camvid": Size(24, 31, 320, 369, 481, 11),  # 360 x 480 photographs, MobileNetV2
    "paper": Size(49, 49, 320, 769, 769, 19),  # arXiv:1809.04184, Sec. 4.2: crops of Cityscapes, MobileNetV2
}


def parse_size(text: str) -> Size:
    """Returns a size by its name, or from `height,width,channels,classes` of features at output stride 16.

    Raises:
      UserError: if it is neither.
    """
    if text in SIZES:
        return SIZES[text]
    numbers = text.split(",")
    if len(numbers) != 4 or not all(number.isdigit() and int(number) >= 1 for number in numbers):
        raise UserError(
            f"--size must be {', '.join(SIZES)} or four integers >= 1, HEIGHT,WIDTH,CHANNELS,CLASSES, got {text!r}."
        )
    height, width, channels, classes = map(int, numbers)
    if min(height, width) < 2:
        raise UserError(f"--size needs features of at least 2 x 2, got {height} x {width}.")
    sides = (OUTPUT_STRIDE * (side - 1) + 1 for side in (height, width))
    return Size(height, width, channels, *sides, classes)


def size_of(cache: FeatureCache) -> Size:
    """Returns the size of a cache."""
    train = cache.split("train")
    return Size(*train.features.shape[1:], *train.labels.shape[1:], cache.num_classes)


def write_generated_cache(path: pathlib.Path, size: Size, train: int, val: int, views: int = 0) -> None:
    """Writes a feature cache with that number of images; labels are patches of one class, one in 12 of them unlabelled.

    Args:
      path: directory of the cache.
      size: size of features and labels.
      train, val: numbers of images of the splits.
      views: number of views of each training image; 0 for each image once.
    """
    rng = np.random.default_rng(0)
    splits = {"train": train, "val": val}
    for split, images in splits.items():
        (path / split).mkdir(parents=True)
        count = images * (max(views, 1) if split == "train" else 1)
        features = rng.normal(size=(count, size.height, size.width, size.channels))
        np.save(path / split / "features.npy", np.maximum(features, 0.0).astype("float16"))
        rows, columns = (-(-side // BLOCK) for side in (size.label_height, size.label_width))
        patches = rng.integers(0, size.classes, (count, rows, columns))
        patches[rng.uniform(size=patches.shape) < 1 / 12] = IGNORE_LABEL
        labels = patches.repeat(BLOCK, axis=1).repeat(BLOCK, axis=2)[:, : size.label_height, : size.label_width]
        np.save(path / split / "labels.npy", labels.astype("uint8"))
    names = tuple(f"class {i}" for i in range(size.classes))
    write_manifest(path, {"backbone": {"output_stride": OUTPUT_STRIDE}}, names, IGNORE_LABEL, splits, {"train": views})
