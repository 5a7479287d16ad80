"""Cross entropy over labelled pixels (DeepLab: logits are upsampled to the labels, arXiv:1706.05587, Sec. 4)."""

from typing import Any

import keras
from keras import ops

from deeplab_dpc.layers import kernels


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class SegmentationLoss(keras.losses.Loss):
    """Sum of the cross entropy over labelled pixels / their number.

    Labels are [batch, height, width] class ids; logits [batch, h, w, classes] at any stride are upsampled to the labels
    with aligned corners. Pixels of the ignore label do not count.

    Args:
      ignore_label: the id of unlabelled pixels.
    """

    def __init__(self, ignore_label: int = 255, name: str = "segmentation_loss", **kwargs: Any):
        kwargs.setdefault("reduction", "sum")
        super().__init__(name=name, **kwargs)
        self.ignore_label = ignore_label

    def call(self, y_true, y_pred):
        labels = ops.cast(y_true, "int32")
        logits = kernels.resize_align_corners(ops.cast(y_pred, "float32"), *ops.shape(labels)[1:3])
        labelled = labels != self.ignore_label
        losses = kernels.cross_entropy(ops.where(labelled, labels, 0), logits)
        weights = ops.cast(labelled, "float32")
        return ops.sum(losses * weights) / ops.maximum(ops.sum(weights), 1.0)

    def get_config(self):
        return {**super().get_config(), "ignore_label": self.ignore_label}
