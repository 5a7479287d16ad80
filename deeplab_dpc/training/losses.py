"""The published loss: cross entropy over all labelled pixels or over the hardest of them, plus focal and dice loss.

Source: DeepLab (arXiv:1706.05587, Sec. 4, and tensorflow/models, research/deeplab/utils/train_utils.py); focal loss of
Lin et al. (arXiv:1708.02002, Eq. 4), dice loss of Milletari et al. (arXiv:1606.04797, Sec. 3).
"""

from collections.abc import Sequence
from typing import Any

from keras import ops

from deeplab_dpc.config.base import one_weight_a_class
from deeplab_dpc.layers import kernels
from deeplab_dpc.training.separated_loss import summed_cross_entropy

SMALLEST = 1e-7  # Powers of 0, or their gradients, are not always finite.


class SegmentationLoss:
    """The loss of logits [batch, h, w, classes] for labels [batch, height, width], in float32.

    With w the weight of a pixel's label, which is 0 where it is the ignore label:

        cross_entropy = sum(w * CE) / labelled pixels           CE = -log p, p = softmax(logits)[label]
        or, mined,      sum of the k largest w * CE / number of those that are not 0
        focal_loss    = sum((1 - p) ** gamma * CE) / labelled pixels
        dice_loss     = 1 - mean over classes c in the labels of 2 sum(p_c y_c) / (sum(p_c ** 2) + sum(y_c))

    k is a share of all pixels of the batch, unlabelled ones included. With quadrature nodes only the cross entropy is
    computed, at fewer points than pixels (separated_loss.py); options that need the loss of each pixel cannot be used.

    Args:
      ignore_label: id of unlabelled pixels.
      label_weights: weight of each class in the cross entropy; empty for weights of 1.
      upsample_logits: bool, whether logits are upsampled to the labels; otherwise labels are sampled at the logits'
        size. Corners are aligned in both cases.
      top_k_percent_pixels: share of the pixels that are mined, in (0, 1]; 1 for no mining.
      hard_example_mining_step: step until which that share falls linearly from 1; 0 to mine from the start.
      focal_loss_weight: weight of the focal loss, 0 to leave it out.
      focal_loss_gamma: exponent of the focal loss.
      dice_loss_weight: weight of the dice loss, 0 to leave it out.
      quadrature_nodes: number of nodes per axis and cell between the logits; 0 to compute the loss of each pixel.
    """

    def __init__(
        self,
        ignore_label: int = 255,
        label_weights: Sequence[float] = (),
        upsample_logits: bool = True,
        top_k_percent_pixels: float = 1.0,
        hard_example_mining_step: int = 0,
        focal_loss_weight: float = 0.0,
        focal_loss_gamma: float = 2.0,
        dice_loss_weight: float = 0.0,
        quadrature_nodes: int = 0,
    ):
        self.ignore_label = ignore_label
        self.label_weights = tuple(label_weights)
        self.upsample_logits = upsample_logits
        self.top_k_percent_pixels = top_k_percent_pixels
        self.hard_example_mining_step = hard_example_mining_step
        self.focal_loss_weight = focal_loss_weight
        self.focal_loss_gamma = focal_loss_gamma
        self.dice_loss_weight = dice_loss_weight
        self.quadrature_nodes = quadrature_nodes

    @property
    def part_names(self) -> tuple[str, ...]:
        """Returns the names of the parts."""
        weights = {"cross_entropy": 1.0, "focal_loss": self.focal_loss_weight, "dice_loss": self.dice_loss_weight}
        return tuple(name for name, weight in weights.items() if weight)

    def check_classes(self, num_classes: int) -> None:
        """Raises a UserError if there are label weights, but their number is not that of the classes."""
        one_weight_a_class(self.label_weights, num_classes)

    def __call__(self, labels: Any, logits: Any, step: Any = 0) -> Any:
        """Returns the loss of a whole batch; see `parts` for the arguments."""
        return sum(self.parts(labels, logits, step).values())

    def labelled_pixels(self, labels: Any, logits_size: tuple[Any, Any]) -> Any:
        """Returns the number of pixels that count in the loss, float32.

        Args:
          labels: integers [batch, height, width].
          logits_size: (h, w) of the logits.
        """
        return ops.cast(ops.count_nonzero(self._labels(labels, logits_size) != self.ignore_label), "float32")

    def parts(
        self, labels: Any, logits: Any, step: Any, labelled_pixels: Any = None, share: float = 1.0
    ) -> dict[str, Any]:
        """Returns the weighted parts of the loss by name; the loss is their sum.

        If a batch is processed in pieces (replicas, gradient accumulation), the sum over the pieces is the loss of the
        batch for every part that is a sum over pixels. The mined cross entropy and the dice loss are computed on each
        piece and averaged, as in the published code, which mines on each device.

        Args:
          labels: integers [batch, height, width].
          logits: logits [batch, h, w, classes] of any floating dtype.
          step: number of the training step, for mining.
          labelled_pixels: number of labelled pixels of the whole batch; None if `labels` are the whole batch.
          share: share of this piece in the whole batch, in (0, 1].

        Raises:
          UserError: if the number of label weights is not that of the classes.
        """
        self.check_classes(logits.shape[-1])
        size = ops.shape(logits)[1:3]
        if labelled_pixels is None:
            labelled_pixels = self.labelled_pixels(labels, size)
        count = ops.maximum(labelled_pixels, 1.0)
        if self.quadrature_nodes:
            return {"cross_entropy": self._by_quadrature(labels, logits) / count}
        logits = ops.cast(logits, "float32")
        if self.upsample_logits:
            logits = kernels.resize_align_corners(logits, *ops.shape(labels)[1:3])
        labels = self._labels(labels, size)
        labelled = labels != self.ignore_label
        labels = ops.where(labelled, labels, 0)
        mask = ops.cast(labelled, "float32")
        cross_entropy = kernels.cross_entropy(labels, logits) * mask

        weighted = cross_entropy
        if self.label_weights:
            weighted = cross_entropy * ops.take(ops.convert_to_tensor(self.label_weights, "float32"), labels)
        parts = {}
        if self.top_k_percent_pixels < 1.0:
            parts["cross_entropy"] = share * self._hardest(weighted, step)
        else:
            parts["cross_entropy"] = ops.sum(weighted) / count
        if self.focal_loss_weight:
            parts["focal_loss"] = self.focal_loss_weight * self._focal(cross_entropy) / count
        if self.dice_loss_weight:
            parts["dice_loss"] = self.dice_loss_weight * share * _dice(labels, logits, mask)
        return parts

    def _labels(self, labels: Any, logits_size: tuple[Any, Any]) -> Any:
        """Returns int32 labels at the size at which the loss is computed."""
        labels = ops.cast(labels, "int32")
        if self.upsample_logits:
            return labels
        for axis, size in enumerate(logits_size, start=1):
            labels = ops.take(labels, _nearest(ops.shape(labels)[axis], size), axis=axis)
        return labels

    def _by_quadrature(self, labels: Any, logits: Any) -> Any:
        """Returns the sum of w * CE; NaN if a label is not a class."""
        labels = ops.cast(labels, "int32")
        is_class = (labels >= 0) & (labels < logits.shape[-1])
        classes = ops.where(is_class, labels, 0)
        pixel_weights = 1.0
        if self.label_weights:
            pixel_weights = ops.take(ops.convert_to_tensor(self.label_weights, "float32"), classes)
        pixel_weights = ops.where(is_class, pixel_weights, float("nan"))
        pixel_weights = ops.where(labels != self.ignore_label, pixel_weights, 0.0)
        return summed_cross_entropy(classes, logits, pixel_weights, self.quadrature_nodes)

    def _hardest(self, losses: Any, step: Any) -> Any:
        """Returns the mean of the largest losses that are not 0."""
        losses = ops.reshape(losses, (-1,))
        pixels = ops.shape(losses)[0]
        fraction = ops.convert_to_tensor(self.top_k_percent_pixels, "float32")
        if self.hard_example_mining_step:
            ramp = ops.minimum(ops.cast(step, "float32") / self.hard_example_mining_step, 1.0)
            fraction = ramp * fraction + (1.0 - ramp)
        k = ops.cast(fraction * ops.cast(pixels, "float32"), "int32")
        # A tensor of k losses would change its shape with the step.
        chosen = ops.where(ops.arange(pixels) >= pixels - k, ops.sort(losses), 0.0)
        present = ops.cast(ops.count_nonzero(chosen), "float32")
        return ops.sum(chosen) / ops.maximum(present, 1.0)

    def _focal(self, cross_entropy: Any) -> Any:
        """Returns the sum of the focal loss; a pixel with cross entropy 0 has none."""
        missing = ops.maximum(-ops.expm1(-cross_entropy), SMALLEST)  # 1 - p
        return ops.sum(missing**self.focal_loss_gamma * cross_entropy)


def _nearest(size_in: Any, size_out: Any) -> Any:
    """Returns the nearest of `size_in` positions for each of `size_out`, corners aligned and halves rounded up."""
    last_in, last_out = ops.cast(size_in - 1, "float32"), ops.cast(size_out - 1, "float32")
    scale = last_in / ops.maximum(last_out, 1.0)
    return ops.cast(ops.floor(ops.arange(size_out, dtype="float32") * scale + 0.5), "int32")


def _dice(labels: Any, logits: Any, mask: Any) -> Any:
    """Returns the dice loss over the classes of the labelled pixels; `mask` is 1 at those pixels and 0 elsewhere."""
    mask = mask[..., None]
    probabilities = ops.softmax(logits, axis=-1) * mask
    truth = ops.one_hot(labels, logits.shape[-1], dtype="float32") * mask
    over_pixels = (0, 1, 2)
    sizes = ops.sum(truth, axis=over_pixels)
    overlap = 2.0 * ops.sum(probabilities * truth, axis=over_pixels)
    dice = overlap / ops.maximum(ops.sum(ops.square(probabilities), axis=over_pixels) + sizes, SMALLEST)
    occurring = ops.cast(sizes > 0.0, "float32")
    return ops.sum((1.0 - dice) * occurring) / ops.maximum(ops.sum(occurring), 1.0)
