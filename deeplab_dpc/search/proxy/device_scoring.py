"""Confusion matrix and cross entropy of a batch on the device, at the labels' full resolution."""

import numpy as np
from keras import ops

from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.layers import interpolation, kernels
from deeplab_dpc.layers.types import Tensor


def check_labels(labels: np.ndarray, num_classes: int, ignore_label: int) -> None:
    """Checks on the host that every label is a class or the ignore label, which `confusion` does not check.

    Args:
      labels: integers [images, height, width], read image by image.
      num_classes: number of classes, >= 1.
      ignore_label: label of pixels that are not counted.

    Raises:
      UserError: if a label is neither, with the message of ConfusionMatrix.
    """
    for image in labels:
        ConfusionMatrix(num_classes, ignore_label).update(image, np.zeros_like(image))


def confusion(logits: Tensor, labels: Tensor, num_classes: int, ignore_label: int) -> Tensor:
    """Returns the number of labelled pixels by label and predicted class, as ConfusionMatrix counts them.

    The predicted class is the largest of the logits interpolated with aligned corners.

    Args:
      logits: logits [batch, h, w, num_classes].
      labels: integers [batch, height, width]; images to leave out have the ignore label everywhere.
      num_classes: number of classes, >= 1.
      ignore_label: label of pixels that are not counted.

    Returns:
      int32 [num_classes, num_classes]; rows are labels, columns predictions.
    """
    h, w = logits.shape[1:3]
    height, width = labels.shape[1:]
    factor = max(height - 1, 1) // max(h - 1, 1)

    def cells(classes: Tensor, labels: Tensor) -> Tensor:
        """Returns the indices of pixels in the flattened matrix, or its size for pixels that are not counted."""
        labels = ops.cast(labels, "int32")
        return ops.where(labels == ignore_label, num_classes**2, labels * num_classes + classes)

    def cells_of_image(image: tuple[Tensor, Tensor]) -> Tensor:
        logits, labels = image
        return cells(interpolation.interpolated_argmax(logits, factor)[:height, :width], labels)

    if (height, width) == (factor * (h - 1) + 1, factor * (w - 1) + 1):
        pairs = kernels.fused(lambda *images: ops.map(cells_of_image, images))(logits, labels)
    else:
        pairs = cells(kernels.argmax(kernels.resize_align_corners(logits, height, width)), labels)
    counts = kernels.count_values(ops.reshape(pairs, (-1,)), num_classes**2)
    return ops.reshape(counts, (num_classes, num_classes))


def cross_entropy(logits: Tensor, labels: Tensor, ignore_label: int) -> Tensor:
    """Returns the exact cross entropy of each image, summed over its labelled pixels, float32 [batch], in nats.

    The logits are interpolated with aligned corners, one image at a time to save memory.

    Args:
      logits: logits [batch, h, w, num_classes].
      labels: integers [batch, height, width].
      ignore_label: label of pixels that are not counted.
    """
    h, w = logits.shape[1:3]
    height, width = labels.shape[1:]
    factor = max(height - 1, 1) // max(h - 1, 1)

    def of_labelled(losses: Tensor, labels: Tensor) -> Tensor:
        return ops.sum(ops.where(labels == ignore_label, 0.0, losses))

    def interpolated(image: tuple[Tensor, Tensor]) -> Tensor:
        logits, labels = image
        labels = ops.cast(labels, "int32")
        losses = interpolation.interpolated_cross_entropy(logits, labels, factor)
        return of_labelled(losses, labels)

    def resized(image: tuple[Tensor, Tensor]) -> Tensor:
        logits, labels = image
        labels = ops.cast(labels, "int32")
        upsampled = kernels.resize_align_corners(ops.cast(logits, "float32")[None], height, width)[0]
        losses = kernels.cross_entropy(ops.where(labels == ignore_label, 0, labels), upsampled)
        return of_labelled(losses, labels)

    if (height, width) != (factor * (h - 1) + 1, factor * (w - 1) + 1):
        return ops.map(resized, (logits, labels))
    beyond = [[0, 0], [0, h * factor - height], [0, w * factor - width]]
    labels = ops.pad(labels, beyond, constant_values=ignore_label)
    return kernels.fused(lambda *images: ops.map(interpolated, images))(logits, labels)
