"""Counts of the pixels, ids and sizes of a split, and label weights from them. Needs no TensorFlow.

Label weights by median frequency balancing (Eigen and Fergus, 2015, arXiv:1411.4734), over labelled pixels.
"""

import collections
import dataclasses

import numpy as np

from deeplab_dpc.data.dataset_info import DatasetInfo

NUM_IDS = 256  # labels are 8-bit
MIN_WEIGHT, MAX_WEIGHT = 0.1, 10.0  # larger weights of rare classes would dominate the gradients


@dataclasses.dataclass
class SplitCounts:
    """The counts of the records of a split.

    Attributes:
      records: number of records, damaged ones included.
      sizes: number of images by (height, width) in pixels.
      pixels: int64 [256], number of pixels of each id.
      images: int64 [256], number of images in which each id occurs.
      labelled_with: int64 [256], number of labelled pixels of the images in which each id occurs.
    """

    records: int = 0
    sizes: collections.Counter[tuple[int, int]] = dataclasses.field(default_factory=collections.Counter)
    pixels: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(NUM_IDS, np.int64))
    images: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(NUM_IDS, np.int64))
    labelled_with: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(NUM_IDS, np.int64))

    def add(self, size: tuple[int, int] | None, pixels: np.ndarray | None, ignore_label: int) -> None:
        """Counts one record.

        Args:
          size: (height, width) of its image in pixels; None if it is unreadable.
          pixels: int64 [256], number of the label's pixels of each id; None if there is no usable label.
          ignore_label: id of pixels that do not count as labelled.
        """
        self.records += 1
        if size is not None:
            self.sizes[size] += 1
        if pixels is not None:
            present = pixels > 0
            self.pixels += pixels
            self.images += present
            self.labelled_with += present * (pixels.sum() - pixels[ignore_label])

    def ordered_sizes(self) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None:
        """Returns the smallest, the median and the largest image by area, as (height, width); None if there is no
        image.
        """
        ordered = sorted(self.sizes.elements(), key=lambda size: (size[0] * size[1], size))
        return (ordered[0], ordered[len(ordered) // 2], ordered[-1]) if ordered else None


def out_of_range(pixels: np.ndarray, num_classes: int, ignore_label: int) -> dict[int, int]:
    """Returns the number of pixels of each id that is neither a class nor ignored, by id."""
    return {int(i): int(pixels[i]) for i in np.flatnonzero(pixels) if i >= num_classes and i != ignore_label}


def ignored_share(pixels: np.ndarray, ignore_label: int) -> float:
    """Returns the share of ignored pixels, from the number of pixels of each id; 0 if there are no pixels."""
    return float(pixels[ignore_label] / max(pixels.sum(), 1))


def class_shares(pixels: np.ndarray, info: DatasetInfo) -> list[float]:
    """Returns the share of each class in the pixels of all classes."""
    of_classes = pixels[: info.num_classes].astype(np.float64)
    if info.ignore_label < info.num_classes:
        of_classes[info.ignore_label] = 0
    shares: list[float] = (of_classes / max(of_classes.sum(), 1)).tolist()
    return shares


def label_weights(pixels: np.ndarray, labelled_with: np.ndarray, info: DatasetInfo) -> tuple[float, ...]:
    """Returns the weights of the classes from the counts of a split, see `median_frequency_weights`.

    Args:
      pixels, labelled_with: see `SplitCounts`.
      info: classes and ignore label.
    """
    of_classes = pixels[: info.num_classes].copy()
    if info.ignore_label < info.num_classes:
        of_classes[info.ignore_label] = 0
    return median_frequency_weights(of_classes, labelled_with[: info.num_classes])


def median_frequency_weights(pixels: np.ndarray, labelled_with: np.ndarray) -> tuple[float, ...]:
    """Returns label weights: median(frequency) / frequency, within MIN_WEIGHT and MAX_WEIGHT; 1 for a class that never
    occurs.

    The frequency of a class is its share of the labelled pixels in the images in which it occurs.

    Args:
      pixels: number of pixels of each class.
      labelled_with: number of labelled pixels of the images in which each class occurs.
    """
    seen = (pixels > 0) & (labelled_with > 0)
    weights = np.ones(len(pixels))
    if seen.any():
        frequency = pixels[seen] / labelled_with[seen]
        weights[seen] = np.clip(np.median(frequency) / frequency, MIN_WEIGHT, MAX_WEIGHT)
    return tuple(float(f"{weight:.3g}") for weight in weights)
