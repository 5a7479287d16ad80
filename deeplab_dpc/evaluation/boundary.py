"""How good predictions are near contours: boundary IoU and trimap IoU.

A pixel is near a contour of its map if the square of 2 * distance + 1 pixels around it holds another class. Two running
filters over a map, its smallest and its largest id in that square, tell that for all classes at once, in time and
memory linear in pixels whatever the distance.
"""

import math

import numpy as np
from scipy import ndimage

from deeplab_dpc.config.judging import DILATION_RATIO
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.image_counts import CountRule, count_pixels

_NONE_SMALL, _NONE_LARGE = -1, 2**15 - 1  # below and above all ids, int16


def boundary_rule(num_classes: int, ignore_label: int, dilation_ratio: float = DILATION_RATIO) -> CountRule:
    """Boundary IoU (Cheng et al., 2021, arXiv:2103.16562), of a class over all images.

    Counted are the pixels of a class that are within a distance of its contour: in the labels, in the predictions, and
    in both. The distance is that share of the image's diagonal, rounded, at least 1 pixel; as in the authors' code, it
    is measured over squares, and the image's border is a contour.

    Ignored pixels are taken out of labels and predictions alike: they are not counted and belong to no class. Where
    a class meets them there is no contour, but two classes on both sides of them make one, if they are near enough.

    Args:
      num_classes: number of classes of the network.
      ignore_label: ignore label of pixels that do not count.
      dilation_ratio: dilation ratio of the distance to the diagonal, in (0, 1).
    """
    if not 0 < dilation_ratio < 1:
        raise UserError(f"--boundary_dilation_ratio must be in (0, 1), got {dilation_ratio}.")

    def count(label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        distance = max(1, round(dilation_ratio * math.hypot(*label.shape)))
        ignored = label == ignore_label
        near_label, near_prediction = (
            _near_another_class(ids, ignored, distance) & ~ignored for ids in (label, prediction)
        )
        both = near_label & near_prediction & (label == prediction)
        parts = label[near_label], prediction[near_prediction & (prediction != ignore_label)], label[both]
        return np.stack([np.bincount(part, minlength=num_classes) for part in parts])

    return count


def trimap_rule(num_classes: int, ignore_label: int, width: int) -> CountRule:
    """mIOU in a band around the labels' contours (DeepLab: arXiv:1412.7062, Sec. 5.2; arXiv:1802.02611, Sec. 4.4).

    Counted are the labelled pixels that have another label within `width` pixels, over squares. The ignored id is such
    another label, so that on PASCAL VOC, whose objects have an ignored rim, the band is the papers': that rim dilated.
    The image's border is no contour.

    Args:
      num_classes: number of classes of the network.
      ignore_label: ignore label of pixels that do not count.
      width: width of the band on each side of a contour, in pixels, >= 1.
    """
    if width < 1:
        raise UserError(f"--trimap_width must be at least 1 pixel, got {width}.")

    def count(label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        size = 2 * width + 1
        ids = label.astype(np.int16)
        other = ndimage.minimum_filter(ids, size, mode="nearest") != ndimage.maximum_filter(ids, size, mode="nearest")
        counted = other & (label != ignore_label)
        return count_pixels(label[counted], prediction[counted], num_classes, ignore_label)

    return count


def _near_another_class(ids: np.ndarray, ignored: np.ndarray, distance: int) -> np.ndarray:
    """Returns whether two classes, or a class and the outside of the image, are in the square around each pixel."""
    size = 2 * distance + 1
    smallest = np.where(ignored, _NONE_LARGE, ids).astype(np.int16)
    largest = np.where(ignored, _NONE_SMALL, ids).astype(np.int16)
    # Beyond the border there is an id of its own, below all others.
    lowest = ndimage.minimum_filter(smallest, size, mode="constant", cval=_NONE_SMALL)
    highest = ndimage.maximum_filter(largest, size, mode="constant", cval=_NONE_SMALL)
    near: np.ndarray = lowest != highest
    return near
