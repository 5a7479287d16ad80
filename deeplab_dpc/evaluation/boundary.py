"""Metrics near contours: boundary IoU and trimap IoU.

A pixel is near a contour if the square of 2 * distance + 1 pixels around it contains another class. Two running filters
over the map, the smallest and the largest id in that square, determine this for all classes at once, in time and memory
that are linear in the number of pixels and independent of the distance.
"""

import math

import numpy as np
from scipy import ndimage

from deeplab_dpc.config.judging import DILATION_RATIO
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.class_sums import ClassSums
from deeplab_dpc.evaluation.confusion import class_sums, matrix_of_pixels, without_ignored
from deeplab_dpc.evaluation.counted_image import CountedImage
from deeplab_dpc.evaluation.image_counts import CountRule

_NONE_SMALL, _NONE_LARGE = -1, 2**15 - 1  # below and above all ids, int16


def boundary_rule(dilation_ratio: float = DILATION_RATIO) -> CountRule:
    """Returns the rule of boundary IoU (Cheng et al., 2021, arXiv:2103.16562), which is computed over all images.

    It counts the pixels of a class within a distance of its contour: in the labels, in the predictions, and in both.
    The distance is a share of the image's diagonal, rounded, at least 1 pixel. As in the authors' code, it is measured
    over squares, and the border of the image is a contour.

    Ignored pixels are removed from labels and predictions: they are not counted and belong to no class. There is no
    contour between a class and ignored pixels, but two classes on both sides of them have one, if they are near enough.

    Args:
      dilation_ratio: ratio of the distance to the diagonal, in (0, 1).
    """
    if not 0 < dilation_ratio < 1:
        raise UserError(f"--boundary_dilation_ratio must be in (0, 1), got {dilation_ratio}.")

    def count(image: CountedImage) -> ClassSums:
        label, prediction, ignore_label = image.label, image.prediction, image.confusion.ignore_label
        distance = max(1, round(dilation_ratio * math.hypot(*label.shape)))
        ignored = label == ignore_label
        near_label, near_prediction = (
            _near_another_class(ids, ignored, distance) & ~ignored for ids in (label, prediction)
        )
        both = near_label & near_prediction & (label == prediction)
        parts = label[near_label], prediction[near_prediction], label[both]
        labelled, predicted, found = (np.bincount(part, minlength=image.confusion.num_classes) for part in parts)
        return ClassSums(labelled, without_ignored(predicted, ignore_label), found)

    return count


def trimap_rule(width: int) -> CountRule:
    """Returns the rule of mIOU in a band around the labels' contours (arXiv:1412.7062, Sec. 5.2; arXiv:1802.02611,
    Sec. 4.4).

    It counts the labelled pixels with another label within `width` pixels, over squares. The ignore label is another
    label, too: on PASCAL VOC, whose objects have an ignored rim, the band is the dilated rim, as in the papers. The
    border of the image is not a contour.

    Args:
      width: width of the band on each side of a contour, in pixels, >= 1.
    """
    if width < 1:
        raise UserError(f"--trimap_width must be at least 1 pixel, got {width}.")

    def count(image: CountedImage) -> ClassSums:
        size, ignore_label = 2 * width + 1, image.confusion.ignore_label
        ids = image.label.astype(np.int16)
        other = ndimage.minimum_filter(ids, size, mode="nearest") != ndimage.maximum_filter(ids, size, mode="nearest")
        counted = other & (image.label != ignore_label)
        num_classes = image.confusion.num_classes
        return class_sums(matrix_of_pixels(image.label[counted], image.prediction[counted], num_classes), ignore_label)

    return count


def _near_another_class(ids: np.ndarray, ignored: np.ndarray, distance: int) -> np.ndarray:
    """Returns whether the square around each pixel contains two classes, or a class and the outside of the image."""
    size = 2 * distance + 1
    smallest = np.where(ignored, _NONE_LARGE, ids).astype(np.int16)
    largest = np.where(ignored, _NONE_SMALL, ids).astype(np.int16)
    # The outside of the image has its own id, below all others.
    lowest = ndimage.minimum_filter(smallest, size, mode="constant", cval=_NONE_SMALL)
    highest = ndimage.maximum_filter(largest, size, mode="constant", cval=_NONE_SMALL)
    near: np.ndarray = lowest != highest
    return near
