"""The network that holds all architectures of Auto-DeepLab, as a function of its weights (arXiv:1901.02985, Sec. 4.1).

    sH^l = sum over s' of beta(s' -> s) * Cell(s'H^(l-1), sH^(l-2); alpha)          Eq. 6; s' = s / 2, s, 2s

A node at level k, stride 4 * 2^k, gives num_blocks * filter_multiplier * 2^k channels. Every connection s' -> s of every
layer has a cell with weights of its own; all cells share the alphas. What a cell reads is brought to its size and
channels first: the layer before by a 3x3 convolution of stride 2 going down, a 1x1 convolution at the same stride, and a
bilinear resize and a 1x1 convolution going up. Where sH^(l-2) does not exist, which are the first layers of a stride, the
level of that layer next to s is resized. Batch norm follows each convolution, ReLU comes before it.
"""

import dataclasses
from typing import Any

import keras
from keras import ops

from deeplab_dpc.arch.genotype import STRIDES
from deeplab_dpc.search.auto_deeplab import heads, stem
from deeplab_dpc.search.auto_deeplab.convolution import Shape, conv_bn, conv_shapes, resized
from deeplab_dpc.search.auto_deeplab.layout import below, merged, prefixed
from deeplab_dpc.search.auto_deeplab.mixed_cell import MixedCell
from deeplab_dpc.search.auto_deeplab.normalization import Normalizer, statistics_shapes

NUM_LEVELS = len(STRIDES)
Tensors = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Connection:
    """From the node at level `source` of the layer before to the node at level `target` of layer `layer`, from 1 on."""

    layer: int
    source: int
    target: int

    @property
    def name(self) -> str:
        return f"layer{self.layer}/{STRIDES[self.source]}to{STRIDES[self.target]}"


def levels(layer: int) -> range:
    """The levels of a layer's nodes; layer 0 is the stem at stride 4, and a layer goes down by one level at most."""
    return range(min(layer, NUM_LEVELS - 1) + 1)


@dataclasses.dataclass(frozen=True)
class Supernet:
    """Images [batch, height, width, 3] in 0..255 -> logits [batch, h, w, num_classes] at stride 4, in float32.

    Attributes:
      num_classes: of the logits.
      num_layers, num_blocks, filter_multiplier, stem_filters: see AutoDeepLabConfig.
      dtype: of the activations; weights, statistics and logits are in float32.
      rematerialize: whether a cell is computed again for its gradient, so that only its inputs and output are kept.
    """

    num_classes: int
    num_layers: int = 12
    num_blocks: int = 5
    filter_multiplier: int = 8
    stem_filters: int = 64
    dtype: str = "float32"
    rematerialize: bool = False

    @property
    def connections(self) -> list[Connection]:
        """All of them, layer by layer, those that enter the same node together."""
        return [
            Connection(layer, source, target)
            for layer in range(1, self.num_layers + 1)
            for target in levels(layer)
            for source in levels(layer - 1)
            if abs(source - target) <= 1
        ]

    def filters(self, level: int) -> int:
        """Channels of a block."""
        return self.filter_multiplier * 2**level

    def channels(self, layer: int, level: int) -> int:
        """Channels of a node's output; layer 0 is the stem at stride 4, layer -1 the one at stride 2."""
        return stem.channels(layer, self.stem_filters) if layer < 1 else self.num_blocks * self.filters(level)

    def cell(self, connection: Connection) -> MixedCell:
        return MixedCell(self.num_blocks, self.filters(connection.target))

    def weight_shapes(self) -> dict[str, Shape]:
        """Of all weights by name."""
        parts = [prefixed("stem", stem.weight_shapes(self.stem_filters))]
        for connection in self.connections:
            filters = self.filters(connection.target)
            previous = self.channels(connection.layer - 1, connection.source)
            before = self.channels(connection.layer - 2, self._level_before(connection))
            down = connection.target > connection.source
            shapes = [
                conv_shapes("previous", 3 if down else 1, previous, filters),
                conv_shapes("before", 1, before, filters),
                self.cell(connection).weight_shapes(),
            ]
            parts.append(prefixed(connection.name, merged(shapes)))
        for level in levels(self.num_layers):
            shapes_of_head = heads.weight_shapes(self.channels(self.num_layers, level), self.num_classes)
            parts.append(prefixed(_head(level), shapes_of_head))
        return merged(parts)

    def statistics_shapes(self) -> dict[str, Shape]:
        """Of the moving averages of batch norm by name."""
        channels = prefixed("stem", stem.normalized(self.stem_filters))
        for connection in self.connections:
            filters = self.filters(connection.target)
            own = {"previous": filters, "before": filters} | self.cell(connection).normalized()
            channels |= prefixed(connection.name, own)
        for level in levels(self.num_layers):
            channels |= prefixed(_head(level), heads.normalized(self.channels(self.num_layers, level)))
        return statistics_shapes(channels)

    def __call__(
        self, weights: Tensors, alphas: Any, betas: Any, images: Any, statistics: Tensors | None = None
    ) -> tuple[Any, Tensors]:
        """The logits, and the statistics of the batch.

        Args:
          weights: by name.
          alphas: probabilities [edges, operators], see mixed_cell.edge_rows.
          betas: probabilities [layers, levels, 3] of going to the level above, the same, the one below; see
            architecture.py.
          images: of static shape.
          statistics: moving averages by name; None in training, for those of the batch.

        Returns:
          Logits, and means and unbiased variances of the batch by name; empty where statistics are given.
        """
        images = ops.cast(ops.cast(images, "float32") * (2.0 / 255.0) - 1.0, self.dtype)
        normalize = Normalizer(None if statistics is None else below("stem", statistics))
        half, quarter = stem.stem(below("stem", weights), images, normalize)
        found = prefixed("stem", normalize.found)
        sizes = [tuple(quarter.shape[1:3])]
        for _ in range(1, NUM_LEVELS):
            sizes.append(tuple((side - 1) // 2 + 1 for side in sizes[-1]))
        before: dict[int, Any] = {0: half}
        previous: dict[int, Any] = {0: quarter}
        for layer in range(1, self.num_layers + 1):
            nodes: dict[int, Any] = {}
            for connection in [each for each in self.connections if each.layer == layer]:
                source, target = connection.source, connection.target
                older = before[self._level_before(connection)]
                known = None if statistics is None else below(connection.name, statistics)
                own = below(connection.name, weights)
                output, measured = self._connect(
                    connection, own, known, previous[source], older, alphas, sizes[target]
                )
                found |= prefixed(connection.name, measured)
                weighted = output * ops.cast(betas[layer - 1, source, target - source + 1], self.dtype)
                nodes[target] = nodes[target] + weighted if target in nodes else weighted
            before, previous = previous, nodes
        logits: Any = None
        for level, x in previous.items():
            normalize = Normalizer(None if statistics is None else below(_head(level), statistics))
            own_logits = heads.aspp(below(_head(level), weights), x, STRIDES[level], normalize)
            own_logits = resized(own_logits, sizes[0])
            logits = own_logits if logits is None else logits + own_logits
            found |= prefixed(_head(level), normalize.found)
        return logits, found

    def _level_before(self, connection: Connection) -> int:
        """The level of layer l - 2 that a cell reads: its own, or the next one that exists; layer -1 has one."""
        return min(connection.target, len(levels(max(connection.layer - 2, 0))) - 1)

    def _connect(
        self,
        connection: Connection,
        weights: Tensors,
        known: Tensors | None,
        previous: Any,
        before: Any,
        alphas: Any,
        size: tuple[int, int],
    ) -> tuple[Any, Tensors]:
        """The output of a connection's cell, and the statistics of the batch."""
        names = list(weights)

        def compute(previous: Any, before: Any, alphas: Any, *values: Any) -> Any:
            named = dict(zip(names, values, strict=True))
            normalize = Normalizer(known)
            newer = self._entered(connection, named, previous, size, normalize)
            older = conv_bn(named, "before", ops.relu(resized(before, size)), normalize)
            output = self.cell(connection)(named, newer, older, alphas, normalize)
            return output, normalize.found

        # Without a gradient, as with known statistics, there is nothing to keep.
        run = keras.remat(compute) if self.rematerialize and known is None else compute
        return run(previous, before, alphas, *weights.values())

    def _entered(
        self, connection: Connection, weights: Tensors, x: Any, size: tuple[int, int], normalize: Normalizer
    ) -> Any:
        """The layer before, at the size and channels of the connection's target."""
        down = connection.target > connection.source
        x = ops.relu(x if down else resized(x, size))
        return conv_bn(weights, "previous", x, normalize, strides=2 if down else 1)


def _head(level: int) -> str:
    return f"head{STRIDES[level]}"
