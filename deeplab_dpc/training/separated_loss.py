"""The cross entropy at label resolution, computed almost exactly at a fraction of its points.

With logits z on a coarse grid, bilinear upsampling U (corners aligned) and w the weight of a pixel's label, which is 0
where that is the ignore label, the sum over pixels p splits:

    sum_p w_p CE_p = sum_p w_p logsumexp((U z)_p) - <T, z>,      T = U' (w * onehot(labels))

The second term is exact, and T has the size of z. The first is computed by quadrature (quadrature.py). T and the
weights of the nodes depend on the labels only and are computed once per image.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from deeplab_dpc.config.base import listed, one_weight_a_class
from deeplab_dpc.errors import UserError
from deeplab_dpc.layers.interpolation import interpolation_matrix
from deeplab_dpc.training.quadrature import Quadrature

IDS = 256  # number of ids of uint8 labels


@dataclasses.dataclass(frozen=True)
class Targets:
    """The values that the loss needs, computed from labels.

    Attributes:
      label_term: T, float32 [images, h, w, classes].
      node_weights: weights of the nodes, float32 [images, k * (h - 1), k * (w - 1)]; a side is 1 if that of the logits
        is 1.
      labelled: number of labelled pixels, float32 [images].
    """

    label_term: np.ndarray
    node_weights: np.ndarray
    labelled: np.ndarray

    def rows(self, rows: np.ndarray | slice) -> dict[str, np.ndarray]:
        """Returns the targets of the images with these indices, in the form that the loss takes."""
        return {
            "label_term": self.label_term[rows],
            "node_weights": self.node_weights[rows],
            "labelled": self.labelled[rows],
        }


class SeparatedLoss:
    """The loss sum(w * CE) / labelled pixels, as in SegmentationLoss, for one size of logits and labels.

    Args:
      feature_size: (h, w) of the logits.
      label_size: (height, width) of the labels in pixels.
      num_classes: channels of the logits.
      ignore_label: id of unlabelled pixels, in 0..255.
      nodes: number of nodes k per axis and coarse cell, >= 1.
      label_weights: weight of each class; empty for weights of 1.

    Raises:
      ValueError: if a side is not positive, or there are no nodes.
      UserError: if the number of label weights is not that of the classes.
    """

    def __init__(
        self,
        feature_size: tuple[int, int],
        label_size: tuple[int, int],
        num_classes: int,
        ignore_label: int,
        nodes: int = 4,
        label_weights: Sequence[float] = (),
    ):
        self.quadrature = Quadrature(feature_size, label_size, nodes)
        one_weight_a_class(label_weights, num_classes)
        self.feature_size = tuple(feature_size)
        self.label_size = tuple(label_size)
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        self.nodes = nodes
        self.label_weights = tuple(map(float, label_weights))
        self._weights = np.array(self.label_weights or [1.0] * num_classes, "float32")
        self._upsampling = [interpolation_matrix(*sizes) for sizes in zip(feature_size, label_size, strict=True)]

    @property
    def target_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Returns the shapes of an image's targets, by the names of Targets."""
        rows, columns = self.quadrature.rows.to_pixels, self.quadrature.columns.to_pixels
        return {
            "label_term": (*self.feature_size, self.num_classes),
            "node_weights": (rows.shape[1], columns.shape[1]),
            "labelled": (),
        }

    def targets(self, labels: np.ndarray) -> Targets:
        """Returns the targets of labels, uint8 [images, height, width].

        Raises:
          UserError: if a label is neither a class nor the ignore label; the exact loss has no value there either.
        """
        ids = np.full(IDS, -1)
        ids[: self.num_classes] = np.arange(self.num_classes)
        ids[self.ignore_label] = self.num_classes  # an additional class of weight 0, which is cut off again
        weights = np.zeros(IDS, "float32")
        weights[: self.num_classes] = self._weights
        weights[self.ignore_label] = 0.0
        targets = Targets(*(np.empty((len(labels), *shape), "float32") for shape in self.target_shapes.values()))
        vertical, horizontal = self._upsampling
        bins = RowBins.of(horizontal, self.label_size[0], self.num_classes + 1)
        # One share per pixel, as bincount requires.
        shares = [np.tile(share.astype("float64"), self.label_size[0]) for share in bins.shares]
        for i, image in enumerate(labels):
            classes = ids[image]
            if classes.min() < 0:
                unknown = listed(np.unique(image[classes < 0]))
                raise UserError(
                    f"The labels have the ids {unknown}, which are none of the {self.num_classes} classes nor the "
                    f"ignore label {self.ignore_label}; deeplab-dpc check-data reports all of them."
                )
            sums = np.zeros(math.prod(bins.shape))
            for first, share in zip(bins.firsts, shares, strict=True):
                sums += np.bincount((first + classes).ravel(), share, len(sums))
            upright = np.tensordot(vertical.T, sums.reshape(bins.shape).astype("float32"), axes=1)
            targets.label_term[i] = upright[..., :-1] * self._weights
            targets.node_weights[i] = self.quadrature.node_weights(weights[image])
            targets.labelled[i] = np.count_nonzero(image != self.ignore_label)
        return targets

    def __call__(self, targets: Mapping[str, Any], logits: Any) -> Any:
        """Returns the loss of logits [batch, h, w, classes] of any floating dtype; `targets` are those of
        Targets.rows.
        """
        normalizer = self.quadrature.log_normalizer(logits, targets["node_weights"])
        label_term = ops.sum(targets["label_term"] * ops.cast(logits, "float32"))
        return (normalizer - label_term) / ops.maximum(ops.sum(targets["labelled"]), 1.0)


def summed_cross_entropy(labels: Any, logits: Any, pixel_weights: Any, nodes: int) -> Any:
    """Returns sum_p w_p CE_p by the same split; everything that depends on the labels is computed here, on the device.

    Args:
      labels: integers [batch, height, width], all of them classes.
      logits: logits [batch, h, w, classes] of any floating dtype.
      pixel_weights: w, float32 [batch, height, width].
      nodes: number of nodes k per axis and coarse cell, >= 1.
    """
    feature_size, label_size = logits.shape[1:3], labels.shape[1:3]
    quadrature = Quadrature(feature_size, label_size, nodes)
    vertical, horizontal = (interpolation_matrix(*sizes) for sizes in zip(feature_size, label_size, strict=True))
    bins = RowBins.of(horizontal, label_size[0], logits.shape[-1])
    size, images = math.prod(bins.shape), ops.shape(labels)[0]
    # One segment sum for the batch: one per image, mapped over the batch, takes at least one and a half times as long.
    classes = ops.cast(labels, "int32") + size * ops.arange(images, dtype="int32")[:, None, None]
    shares = ops.stack([pixel_weights * share for share in bins.shares])
    places = ops.stack([first + classes for first in bins.firsts])
    sums = ops.segment_sum(ops.reshape(shares, (-1,)), ops.reshape(places, (-1,)), images * size)
    label_term = ops.matmul(vertical.T, ops.reshape(sums, (-1, label_size[0], size // label_size[0])))

    wide = ops.cast(logits, "float32")
    normalizer = quadrature.log_normalizer(wide, quadrature.node_weights(pixel_weights))
    return normalizer - ops.sum(ops.reshape(label_term, (-1, *logits.shape[1:])) * wide)


@dataclasses.dataclass(frozen=True)
class RowBins:
    """The places at which pixels of a class are summed: each pixel adds to the two points of its row between which it
    lies.

    The sums of an image are U' onehot(classes) along its rows; a product with the vertical upsampling completes them.
    No array has a channel for each class at the size of the image.

    Attributes:
      shape: shape of the sums, [height, points, classes].
      firsts: index of class 0 in the sums, for the left and the right point of each pixel, int32 [height, width].
      shares: shares of the pixel that the two points get, float32 [width].
    """

    shape: tuple[int, int, int]
    firsts: tuple[np.ndarray, np.ndarray]
    shares: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, upsampling: np.ndarray, height: int, num_classes: int) -> "RowBins":
        """Returns the places for rows that are upsampled by a matrix [width, points]."""
        width, points = upsampling.shape
        left = np.minimum(np.argmax(upsampling != 0.0, axis=1), max(points - 2, 0))
        right = np.minimum(left + 1, points - 1)
        columns = np.arange(width)
        # With a single point, left and right are the same, and its weight counts once.
        shares = upsampling[columns, left], upsampling[columns, right] * (left < right)
        rows = np.arange(height)[:, None]
        firsts = [((rows * points + side) * num_classes).astype("int32") for side in (left, right)]
        return cls((height, points, num_classes), (firsts[0], firsts[1]), shares)
