"""The dense prediction cell (Chen et al., NeurIPS 2018, arXiv:1809.04184, Sec. 3.1)."""

from typing import Any

import keras
from keras import ops

from deeplab_dpc.arch.cell import BACKBONE, FILTERS, Cell
from deeplab_dpc.arch.operations import Operation
from deeplab_dpc.arch.operations.atrous_conv import RATE_OUTPUT_STRIDE
from deeplab_dpc.layers.composite import Composite
from deeplab_dpc.layers.conv import ConvBN
from deeplab_dpc.layers.dropout import Dropout
from deeplab_dpc.layers.operations import runtime_of
from deeplab_dpc.layers.types import Shape, Tensor


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class DensePredictionCell(Composite):
    """Y = projection(dropout(concat(Y_1, ..., Y_B))), each Y_i an operation on the backbone's or an earlier output.

    [batch, height, width, channels] -> [batch, height, width, filters]; dropout comes before the projection.

    Example:
        import keras
        from deeplab_dpc.arch import load_cell
        from deeplab_dpc.layers import DensePredictionCell

        images = keras.Input((65, 65, 3))
        features = keras.layers.Conv2D(8, 3, strides=16, padding="same", activation="relu")(images)
        features = DensePredictionCell(load_cell("aspp"), filters=16, batch_norm_decay=0.99)(features)
        model = keras.Model(images, keras.layers.Conv2D(3, 1)(features))

    Args:
      cell: cell, as a Cell or as its JSON.
      output_stride: output stride of the features; rates are multiplied by 16 / output_stride, and are at least 1.
      filters: channels of each branch and of the output.
      dropout: fraction of values dropped before the projection, in [0, 1).
      batch_norm_decay, batch_norm_epsilon: see BatchNorm.
    """

    def __init__(
        self,
        cell: Cell | list[dict[str, Any]],
        output_stride: int = RATE_OUTPUT_STRIDE,
        filters: int = FILTERS,
        dropout: float = 0.1,
        **kwargs: Any,
    ):
        kwargs.setdefault("name", "meta_architecture")
        super().__init__(**kwargs)
        self.cell = cell if isinstance(cell, Cell) else Cell.from_json(cell)
        self.output_stride = output_stride
        self.filters = filters
        self.dropout_rate = dropout
        self.branches = [self._branch(i, branch.operation) for i, branch in enumerate(self.cell.branches)]
        self.dropout = Dropout(dropout, dtype=self.dtype_policy)
        self.projection = ConvBN(filters, name="concat_projection", **self.shared_arguments)

    def _branch(self, index: int, operation: Operation) -> keras.layers.Layer:
        runtime = runtime_of(type(operation))
        return runtime.layer(
            operation, self.filters, self.output_stride, name=f"branch{index}", **self.shared_arguments
        )

    def steps(self, input_shape: Shape) -> list[tuple[Any, Shape]]:
        inner_shape = (*input_shape[:-1], self.filters)
        steps = [
            (layer, input_shape if branch.input == BACKBONE else inner_shape)
            for branch, layer in zip(self.cell.branches, self.branches, strict=True)
        ]
        return [*steps, (self.projection, (*input_shape[:-1], len(self.branches) * self.filters))]

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        outputs: list[Any] = []
        for branch, layer in zip(self.cell.branches, self.branches, strict=True):
            source = inputs if branch.input == BACKBONE else outputs[branch.input]
            outputs.append(layer(source, training=training))
        x = self.dropout(ops.concatenate(outputs, axis=-1), training=training)
        return self.projection(x, training=training)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "cell": self.cell.to_json(),
            "output_stride": self.output_stride,
            "filters": self.filters,
            "dropout": self.dropout_rate,
        }
