"""Sums over pixels of logsumexp of upsampled logits, by Gauss quadrature.

Bilinear upsampling U with aligned corners makes logits z smooth inside each cell between four neighbours, and so is
logsumexp(U z). It is computed at k nodes per axis and cell. Lagrange interpolation from the nodes to the pixels, summed
over the pixels with their weights, gives the weight of each node:

    sum_p w_p logsumexp((U z)_p)  ~  sum_n W_n logsumexp((N z)_n),      W = F' w,  F: nodes to pixels

With w = 0 for ignored pixels, W accounts for the pixel grid, ignored regions and label weights. The nodes are those of
Gauss for the sum over the pixels of a cell (Golub and Welsch, 1969), so that a wholly labelled cell is exact for
polynomials of degree 2 k - 1. Gauss-Legendre nodes, which are those for the integral, are used if cells differ in their
pixels.
"""

import dataclasses
from typing import Any

import numpy as np
from keras import ops


@dataclasses.dataclass(frozen=True)
class AxisNodes:
    """The nodes along one axis.

    Attributes:
      cells: number of cells between the points of the axis; 1 for an axis with a single point, along which nothing
        varies.
      mix: weights of a cell's points in its nodes, [nodes, points]; 2 points, or 1 if the axis has only one.
      to_pixels: F, the values at pixels of the polynomial through the nodes of their cell, [length, cells * nodes].
    """

    cells: int
    mix: np.ndarray
    to_pixels: np.ndarray

    @classmethod
    def of(cls, size: int, length: int, nodes: int) -> "AxisNodes":
        """Returns the nodes for `size` points that are upsampled to `length` pixels, with `nodes` nodes per cell."""
        if size == 1:
            return cls(1, np.ones((1, 1), "float32"), np.ones((length, 1), "float32"))
        offsets = _gauss_nodes(size, length, nodes)
        steps = max(length - 1, 1)
        cell, rest = np.divmod(np.arange(length) * (size - 1), steps)
        # A pixel on a point belongs half to each of the cells that meet there; otherwise no cell would be symmetric.
        left = np.maximum(np.where(rest == 0, cell - 1, cell), 0)
        right = np.minimum(cell, size - 2)
        to_pixels = np.zeros((length, size - 1, nodes))
        for own in (left, right):
            to_pixels[np.arange(length), own] += 0.5 * _lagrange(offsets, cell - own + rest / steps)
        mix = np.stack([1.0 - offsets, offsets], axis=1).astype("float32")
        return cls(size - 1, mix, to_pixels.reshape(length, -1).astype("float32"))


def _gauss_nodes(size: int, length: int, nodes: int) -> np.ndarray:
    """Returns the nodes of a cell, in (0, 1), float64."""
    stride, rest = divmod(length - 1, size - 1)
    if rest or nodes > stride:
        return (np.polynomial.legendre.leggauss(nodes)[0] + 1.0) / 2.0
    # The eigenvalues of the multiplication by x, on the polynomials that are orthonormal in the sum over the pixels.
    pixels = np.linspace(-1.0, 1.0, stride + 1)[:, None]
    weights = np.ones_like(pixels)
    weights[[0, -1]] = 0.5
    polynomials = np.linalg.qr(np.sqrt(weights) * np.polynomial.legendre.legvander(pixels[:, 0], nodes - 1))[0]
    return (np.linalg.eigvalsh(polynomials.T @ (pixels * polynomials)) + 1.0) / 2.0


def _lagrange(nodes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Returns the polynomials that are 1 at one of the nodes and 0 at the others, [places, nodes]."""
    basis = [
        np.prod((places[:, None] - others) / (node - others), axis=1)
        for node, others in ((node, np.delete(nodes, i)) for i, node in enumerate(nodes))
    ]
    return np.stack(basis, axis=1)


class Quadrature:
    """The nodes for one size of logits and one size of labels.

    Args:
      feature_size: (h, w) of the logits.
      label_size: (height, width) of the labels in pixels.
      nodes: number of nodes k per axis and cell, >= 1.

    Attributes:
      rows, columns: the nodes along the axes.

    Raises:
      ValueError: if a side is not positive, or there are no nodes.
    """

    def __init__(self, feature_size: tuple[int, int], label_size: tuple[int, int], nodes: int):
        if min(*feature_size, *label_size, nodes) < 1:
            raise ValueError(
                "`feature_size`, `label_size` and `nodes` must all be >= 1, "
                f"got {feature_size}, {label_size} and {nodes}."
            )
        self.rows, self.columns = (
            AxisNodes.of(size, length, nodes) for size, length in zip(feature_size, label_size, strict=True)
        )

    def node_weights(self, pixel_weights: Any) -> Any:
        """Returns W [..., node rows, node columns] of pixel weights [..., height, width], float32 arrays or tensors."""
        return self.rows.to_pixels.T @ (pixel_weights @ self.columns.to_pixels)

    def log_normalizer(self, logits: Any, node_weights: Any) -> Any:
        """Returns sum_n W_n logsumexp((N z)_n), a float32 scalar.

        Classes come before positions, since a reduction over the last axis of [..., 19] is slow on CPUs. Nodes are
        computed from the corners of their cell by one product with a small matrix, not by one product per axis with a
        matrix that is almost empty.

        Args:
          logits: z, [batch, h, w, classes] of any floating dtype.
          node_weights: W, float32 [batch, node rows, node columns].
        """
        rows, columns = self.rows, self.columns
        by_class = ops.transpose(ops.cast(logits, "float32"), (3, 0, 1, 2))
        corners = ops.stack(
            [
                by_class[:, :, i : i + rows.cells, j : j + columns.cells]
                for i in range(rows.mix.shape[1])
                for j in range(columns.mix.shape[1])
            ]
        )
        at_nodes = ops.matmul(np.kron(rows.mix, columns.mix), ops.reshape(corners, (corners.shape[0], -1)))
        normalizers = ops.logsumexp(ops.reshape(at_nodes, (at_nodes.shape[0], logits.shape[-1], -1)), axis=1)
        cells = (-1, rows.cells, rows.mix.shape[0], columns.cells, columns.mix.shape[0])
        by_node = ops.transpose(ops.reshape(node_weights, cells), (2, 4, 0, 1, 3))
        return ops.sum(ops.reshape(by_node, (at_nodes.shape[0], -1)) * normalizers)
