"""The network that holds all architectures of Auto-DeepLab, as a function of its weights (arXiv:1901.02985, Sec. 4.1).

    sH^l = sum over s' of beta(s' -> s) * Cell(s'H^(l-1), sH^(l-2); alpha)          Eq. 6; s' = s / 2, s, 2s

A node at level k, stride 4 * 2^k, gives num_blocks * filter_multiplier * 2^k channels. Every connection s' -> s of
every layer has a cell with weights of its own (mixed_cell.py); all cells share the alphas.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from deeplab_dpc.arch.genotype import STRIDES
from deeplab_dpc.arch.trellis import NUM_LEVELS, reachable_levels
from deeplab_dpc.search.auto_deeplab import heads, stem
from deeplab_dpc.search.auto_deeplab.convolution import Normalizer, Shape, resized, statistics_shapes
from deeplab_dpc.search.auto_deeplab.layout import Layout, merged, prefixed
from deeplab_dpc.search.auto_deeplab.mixed_cell import ConnectedCell, MixedCell

if keras.backend.backend() == "tensorflow":
    from deeplab_dpc.search.proxy.tensorflow_backend import subprogram
else:
    from deeplab_dpc.search.proxy.jax_backend import subprogram

STEM = "stem"


@dataclasses.dataclass(frozen=True)
class Connection:
    """A connection from the node at level `source` of the previous layer to the node at level `target` of layer
    `layer`, from 1 on.
    """

    layer: int
    source: int
    target: int

    @property
    def name(self) -> str:
        return f"layer{self.layer}/{STRIDES[self.source]}to{STRIDES[self.target]}"


@dataclasses.dataclass(frozen=True)
class Supernet:
    """The supernet: images [batch, height, width, 3] in 0..255 -> logits [batch, h, w, num_classes] at stride 4, in
    float32.

    Weights and moving averages are one vector each, divided according to `weight_shapes` and `statistics_shapes`.

    Attributes:
      num_classes: number of classes of the logits.
      num_layers, num_blocks, filter_multiplier, stem_filters, stem_layers: see AutoDeepLabConfig.
      dtype: dtype of the activations; weights, statistics and logits are in float32.
      rematerialize: bool, whether a cell is recomputed for its gradient, so that only its inputs and output are stored.
    """

    num_classes: int
    num_layers: int = 12
    num_blocks: int = 5
    filter_multiplier: int = 8
    stem_filters: int = 64
    dtype: str = "float32"
    rematerialize: bool = False
    stem_layers: int = 2

    @functools.cached_property
    def connections(self) -> list[Connection]:
        """Returns all connections, layer by layer, with those that enter the same node together."""
        return [
            Connection(layer, source, target)
            for layer in range(1, self.num_layers + 1)
            for target in reachable_levels(layer)
            for source in reachable_levels(layer - 1)
            if abs(source - target) <= 1
        ]

    def channels(self, layer: int, level: int) -> int:
        """Returns the channels of a node's output; layer 0 is the stem at stride 4, layer -1 the one at stride 2."""
        if layer < 1:
            return stem.channels(layer, self.stem_filters)
        channels: int = self.num_blocks * self.filter_multiplier * 2**level
        return channels

    def cell(self, connection: Connection) -> ConnectedCell:
        """Returns the cell of a connection."""
        return ConnectedCell(
            self._mixed(connection.target),
            self.channels(connection.layer - 1, connection.source),
            self.channels(connection.layer - 2, self._level_before(connection)),
            down=connection.target > connection.source,
        )

    @functools.cached_property
    def weight_shapes(self) -> dict[str, dict[str, Shape]]:
        """Returns the shapes of the weights, by part (the stem, each connection, each head) and name."""
        shapes = {STEM: stem.weight_shapes(self.stem_layers, self.stem_filters)}
        shapes |= {connection.name: self.cell(connection).weight_shapes() for connection in self.connections}
        for level in reachable_levels(self.num_layers):
            shapes[_head(level)] = heads.weight_shapes(self.channels(self.num_layers, level), self.num_classes)
        return shapes

    @functools.cached_property
    def statistics_shapes(self) -> dict[str, dict[str, Shape]]:
        """Returns the shapes of the moving averages of batch norm, by part and name."""
        normalized = {STEM: stem.normalized(self.stem_layers, self.stem_filters)}
        normalized |= {connection.name: self.cell(connection).normalized() for connection in self.connections}
        normalized |= {
            _head(level): heads.normalized(self.channels(self.num_layers, level))
            for level in reachable_levels(self.num_layers)
        }
        return {part: statistics_shapes(channels) for part, channels in normalized.items()}

    def __call__(self, weights: Any, alphas: Any, betas: Any, images: Any, statistics: Any = None) -> tuple[Any, Any]:
        """Returns the logits, and the statistics of the batch.

        Args:
          weights: weights of the network, as one float32 vector.
          alphas: probabilities [edges, operators], see mixed_cell.edge_rows.
          betas: probabilities [layers, levels, 3], see search_program.py.
          images: images of static shape.
          statistics: moving averages, float32 vector; None in training, for those of the batch.

        Returns:
          Logits, and the means and unbiased variances of the batch as a vector like the statistics; None where these
          are given.
        """
        own = _cut(self.weight_shapes, weights)
        known = dict.fromkeys(own) if statistics is None else _cut(self.statistics_shapes, statistics)
        images = ops.cast(ops.cast(images, "float32") * (2.0 / 255.0) - 1.0, self.dtype)
        shares = [self._mixed(level).shares(alphas) for level in reachable_levels(self.num_layers)]
        found: dict[str, Any] = {}

        def run(part: str, function: Callable[..., Any], *inputs: Any) -> Any:
            outputs, found[part] = function(*inputs, own[part], known[part])
            return outputs

        function = functools.partial(stem.stem, self.stem_layers)
        half, quarter = run(STEM, _applied(self.weight_shapes[STEM], self.statistics_shapes[STEM], function), images)
        sizes = [tuple(quarter.shape[1:3])]
        for _ in range(1, NUM_LEVELS):
            sizes.append(tuple((side - 1) // 2 + 1 for side in sizes[-1]))
        before, previous = {0: half}, {0: quarter}
        for layer in range(1, self.num_layers + 1):
            nodes: dict[int, Any] = {}
            for connection in [each for each in self.connections if each.layer == layer]:
                source, target = connection.source, connection.target
                older = before[self._level_before(connection)]
                program = cell_program(self.cell(connection), sizes[target], self.rematerialize and statistics is None)
                output = run(connection.name, program, previous[source], older, shares[target])
                weighted = output * ops.cast(betas[layer - 1, source, target - source + 1], self.dtype)
                nodes[target] = nodes[target] + weighted if target in nodes else weighted
            before, previous = previous, nodes
        logits: Any = None
        for level, x in previous.items():
            part = _head(level)
            head = functools.partial(heads.aspp, stride=STRIDES[level])
            of_level = run(part, _applied(self.weight_shapes[part], self.statistics_shapes[part], head), x)
            # Corners are aligned: the resize from stride 4 to pixels gives the same as resizing from each stride.
            of_level = resized(of_level, sizes[0])
            logits = of_level if logits is None else logits + of_level
        if statistics is not None:
            return logits, None
        return logits, ops.concatenate([found[part] for part in self.statistics_shapes])

    def _mixed(self, level: int) -> MixedCell:
        return MixedCell(self.num_blocks, self.filter_multiplier * 2**level)

    def _level_before(self, connection: Connection) -> int:
        """Returns the level of layer l - 2 that a cell reads: its own, or the nearest existing one; layer -1 has one
        level.
        """
        return min(connection.target, len(reachable_levels(max(connection.layer - 2, 0))) - 1)


def named_shapes(parts: dict[str, dict[str, Shape]]) -> dict[str, Shape]:
    """Returns the shapes by PART/NAME, in the order of the vector."""
    return merged(prefixed(part, shapes) for part, shapes in parts.items())


@functools.cache
def cell_program(cell: ConnectedCell, size: tuple[int, int], rematerialize: bool) -> Callable[..., tuple[Any, Any]]:
    """Returns the computation of a connection, traced once for all connections with equal arguments.

    Args:
      cell: cell of the connection.
      size: (height, width) of its target.
      rematerialize: bool, see Supernet.
    """
    normalized = statistics_shapes(cell.normalized())
    program = subprogram(_applied(cell.weight_shapes(), normalized, functools.partial(cell, size=size)))
    if not rematerialize:
        return program

    def run(*inputs: Any) -> tuple[Any, Any]:
        *tensors, _ = inputs  # without the moving averages, which are None

        def flat(*values: Any) -> Any:
            return program(*keras.tree.pack_sequence_as(tensors, values), None)

        outputs: tuple[Any, Any] = keras.remat(flat)(*keras.tree.flatten(tensors))
        return outputs

    return run


def _applied(
    weight_shapes: dict[str, Shape], statistics: dict[str, Shape], function: Callable[..., Any]
) -> Callable[..., tuple[Any, Any]]:
    """Returns the function of inputs, named weights and a normalizer as a function of inputs and vectors, see
    Supernet.__call__.
    """
    weight_layout, statistics_layout = Layout(weight_shapes), Layout(statistics)

    def run(*inputs: Any) -> tuple[Any, Any]:
        *tensors, weights, known = inputs
        normalize = Normalizer(None if known is None else statistics_layout.split(known))
        outputs = function(*tensors, weight_layout.split(weights), normalize)
        return outputs, statistics_layout.joined(normalize.found) if known is None else None

    return run


def _cut(shapes: dict[str, dict[str, Shape]], vector: Any) -> dict[str, Any]:
    """Returns the section of the vector for each part of the network."""
    return Layout({part: (Layout(own).size,) for part, own in shapes.items()}).split(vector)


def _head(level: int) -> str:
    return f"head{STRIDES[level]}"
