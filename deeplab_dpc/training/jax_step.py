"""The training step on JAX; with a keras.distribution its batch is that of all devices and processes."""

from collections.abc import Sequence
from typing import Any

import jax
import keras

from deeplab_dpc.layers.types import Tensor

Tensors = list[Tensor]  # one for each variable


class JaxStep(keras.Model):
    """The JAX train step of TrainingModel, which defines the arithmetic."""

    def train_step(self, state: Any, data: Any) -> tuple[dict[str, Any], Any]:
        """Updates the state with a batch (images, labels); returns the means of the metrics, and the state."""
        trainable, non_trainable, optimizer_variables, metrics_variables = state
        images, labels = data[:2]  # fit omits values that are None, train_on_batch does not
        with keras.StatelessScope(_mapping(self.optimizer.variables, optimizer_variables)):
            step = keras.ops.convert_to_tensor(self.optimizer.iterations)
            scale = self.optimizer.scale_loss(keras.ops.ones(()))
        whole = self.labelled_pixels(images, labels)
        share = 1.0 / self.num_pieces

        def scaled_loss(
            trainable: Tensors, non_trainable: Tensors, piece: tuple[Tensor, Tensor]
        ) -> tuple[Tensor, tuple[dict[str, Tensor], Tensors]]:
            mapping = [
                *_mapping(self.trainable_variables, trainable),
                *_mapping(self.non_trainable_variables, non_trainable),
            ]
            with keras.StatelessScope(mapping) as scope:
                parts = self.piece_parts(*piece, step, whole, share)
            return sum(parts.values()) * scale, (parts, _values(scope, self.non_trainable_variables))

        gradient = jax.grad(scaled_loss, has_aux=True)
        if self.num_pieces == 1:
            gradients, (parts, non_trainable) = gradient(trainable, non_trainable, (images, labels))
        else:

            def add(carry: tuple[Tensors, Any], piece: tuple[Tensor, Tensor]) -> tuple[tuple[Tensors, Any], None]:
                non_trainable, sums = carry
                gradients, (parts, non_trainable) = gradient(trainable, non_trainable, piece)
                return (non_trainable, jax.tree.map(jax.numpy.add, sums, (gradients, parts))), None

            pieces = jax.tree.map(self._pieces, (images, labels))
            shapes = jax.eval_shape(gradient, trainable, non_trainable, jax.tree.map(lambda x: x[0], pieces))
            zeros = jax.tree.map(lambda x: jax.numpy.zeros(x.shape, x.dtype), (shapes[0], shapes[1][0]))
            (non_trainable, (gradients, parts)), _ = jax.lax.scan(add, (non_trainable, zeros), pieces)
        gradients, values = self.complete(gradients, parts, trainable, scale)
        trainable, optimizer_variables = self.optimizer.stateless_apply(optimizer_variables, gradients, trainable)
        with keras.StatelessScope(_mapping(self.metrics_variables, metrics_variables)) as scope:
            logs = self.tracked(values)
        metrics_variables = _values(scope, self.metrics_variables)
        return logs, (trainable, non_trainable, optimizer_variables, metrics_variables)

    def _pieces(self, batch: Tensor) -> Tensor:
        """Reshapes [batch, ...] -> [pieces, batch / pieces, ...]; every device keeps its examples."""
        split = batch.reshape(batch.shape[0] // self.num_pieces, self.num_pieces, *batch.shape[1:])
        return jax.numpy.moveaxis(split, 1, 0)


def _mapping(variables: Sequence[keras.Variable], values: Tensors) -> list[tuple[keras.Variable, Tensor]]:
    return list(zip(variables, values, strict=True))


def _values(scope: keras.StatelessScope, variables: Sequence[keras.Variable]) -> Tensors:
    """Returns the values of the variables at the end of a scope."""
    values = [scope.get_current_value(variable) for variable in variables]
    return [variable.value if value is None else value for variable, value in zip(variables, values, strict=True)]
