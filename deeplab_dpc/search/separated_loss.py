"""The cross entropy at label resolution, nearly exact at a fraction of its points.

With logits z on a coarse grid and bilinear upsampling U (corners aligned), the sum over labelled pixels p splits:

    sum_p CE = sum_p logsumexp((U z)_p) - <T, z>,      T = U' onehot(labels)

The second term is exact, and T has the size of z. In the first, logsumexp((U z)) is smooth inside each coarse cell; it
is taken at k Gauss-Legendre nodes per axis and cell, with weights that carry the pixel grid and the ignored pixels
(Lagrange interpolation from the nodes to the pixels, summed over labelled pixels). T and the weights depend on the
labels alone and are computed once per image.
"""

import dataclasses
from typing import Any

import numpy as np
from keras import ops

from deeplab_dpc.layers.kernels import interpolation_matrix


@dataclasses.dataclass(frozen=True)
class Targets:
    """What the loss needs of labels.

    Attributes:
      label_term: T, float32 [images, h, w, classes].
      node_weights: float32 [images, k * (h - 1), k * (w - 1)].
      labelled: number of labelled pixels, float32 [images].
    """

    label_term: np.ndarray
    node_weights: np.ndarray
    labelled: np.ndarray

    def rows(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Those of some images, as the loss takes them."""
        return {
            "label_term": self.label_term[rows],
            "node_weights": self.node_weights[rows],
            "labelled": self.labelled[rows],
        }


class SeparatedLoss:
    """Mean cross entropy over labelled pixels for one size of features and labels.

    Args:
      feature_size: (h, w) of the logits, sides >= 2.
      label_size: (height, width) of the labels in pixels.
      num_classes: channels of the logits.
      ignore_label: the id of unlabelled pixels.
      nodes: k, per axis and coarse cell, >= 1.

    Raises:
      ValueError: if a side of the features is less than 2, or there are no nodes.
    """

    def __init__(
        self,
        feature_size: tuple[int, int],
        label_size: tuple[int, int],
        num_classes: int,
        ignore_label: int,
        nodes: int = 4,
    ):
        if min(feature_size) < 2 or nodes < 1:
            raise ValueError(f"`feature_size` needs sides >= 2 and `nodes` >= 1, got {feature_size} and {nodes}.")
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        self._to_pixels = [interpolation_matrix(*sizes) for sizes in zip(feature_size, label_size, strict=True)]
        pairs = [_axis(size, length, nodes) for size, length in zip(feature_size, label_size, strict=True)]
        self._to_nodes = [to_nodes for to_nodes, _ in pairs]
        self._from_nodes = [from_nodes for _, from_nodes in pairs]

    def targets(self, labels: np.ndarray) -> Targets:
        """The targets of labels, integers [images, height, width]."""
        parts = [self._targets(image) for image in labels]
        return Targets(*(np.stack(part).astype("float32") for part in zip(*parts, strict=True)))

    def _targets(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        vertical, horizontal = self._to_pixels
        onehot = (labels[..., None] == np.arange(self.num_classes)).astype("float32")
        columns = np.tensordot(vertical.T, onehot, axes=1)  # [h, width, classes]
        label_term = np.einsum("hxc,xw->hwc", columns, horizontal, optimize=True)
        labelled = (labels != self.ignore_label).astype("float32")
        return label_term, self._from_nodes[0].T @ labelled @ self._from_nodes[1], labelled.sum()

    def __call__(self, targets: dict[str, Any], logits: Any) -> Any:
        """The loss of logits [batch, h, w, classes]; `targets` as Targets.rows gives them."""
        at_nodes = ops.einsum("yh,bhwc,xw->byxc", self._to_nodes[0], logits, self._to_nodes[1])
        normalizer = ops.sum(targets["node_weights"] * ops.logsumexp(at_nodes, axis=-1))
        label_term = ops.sum(targets["label_term"] * logits)
        return (normalizer - label_term) / ops.maximum(ops.sum(targets["labelled"]), 1.0)


def _axis(size: int, length: int, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Along one axis: logits to nodes [nodes * (size - 1), size], and nodes to pixels [length, nodes * (size - 1)]."""
    offsets = (np.polynomial.legendre.leggauss(nodes)[0] + 1.0) / 2.0
    cells = np.arange(size - 1)
    to_nodes = np.zeros((size - 1, nodes, size), "float32")
    to_nodes[cells, :, cells] = 1.0 - offsets
    to_nodes[cells, :, cells + 1] = offsets
    pixels = np.arange(length)
    position = pixels * ((size - 1) / max(length - 1, 1))
    cell = np.minimum(position.astype("int64"), size - 2)
    inside = position - cell
    from_nodes = np.zeros((length, size - 1, nodes), "float32")
    for node, offset in enumerate(offsets):
        others = np.delete(offsets, node)
        basis = np.prod((inside[:, None] - others) / (offset - others), axis=1)
        from_nodes[pixels, cell, node] = basis
    return to_nodes.reshape(-1, size), from_nodes.reshape(length, -1)
