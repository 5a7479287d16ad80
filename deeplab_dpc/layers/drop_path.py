"""Drop path, or stochastic depth (Huang et al., 2016, arXiv:1603.09382), which drops whole residual branches."""

from typing import Any

import keras
from keras import ops

from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.types import Shape, Tensor


def keep_probabilities(last: float, count: int) -> list[float]:
    """Returns p_l = 1 - l / L * (1 - p_L) for the residual units l = 1, ..., L (arXiv:1603.09382, Eq. 4)."""
    return [1.0 - unit / count * (1.0 - last) for unit in range(1, count + 1)]


def scheduled(keep_prob: float, progress: Any) -> Any:
    """Returns 1 - progress * (1 - keep_prob), float32: 1 at the beginning of the training and `keep_prob` at its end.

    Scheduled drop path (Zoph et al., 2018, arXiv:1707.07012) is how Auto-DeepLab is trained (arXiv:1901.02985, Table
    3).

    Args:
      progress: fraction of all training steps that are done, in [0, 1].
    """
    return 1.0 - ops.cast(progress, "float32") * (1.0 - keep_prob)


@keras.saving.register_keras_serializable(package="deeplab_dpc")
class DropPath(keras.layers.Layer):
    """Drop path: in training, y = x / keep_prob with probability keep_prob for each example, else 0; otherwise y = x.

    The division in training keeps the expectation, so that inference needs no correction. If the call is given the
    progress of the training, the probability falls to keep_prob as it advances (see scheduled).

    Args:
      keep_prob: probability that an example keeps the branch, in (0, 1].
      seed: seed of the draws, or None for any.

    Raises:
      ValueError: if keep_prob is out of its range.
    """

    def __init__(self, keep_prob: float, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0.0 < keep_prob <= 1.0:
            raise ValueError(f"`keep_prob` must be in (0, 1], got {keep_prob}.")
        self.keep_prob = keep_prob
        self.seed = seed
        if keep_prob < 1.0:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Tensor, training: bool = False, progress: Tensor | None = None) -> Tensor:
        if not training or self.keep_prob == 1.0:
            return inputs
        keep_prob = self.keep_prob if progress is None else scheduled(self.keep_prob, progress)
        shape = (ops.shape(inputs)[0], *(1 for _ in inputs.shape[1:]))  # [batch, 1, 1, 1]
        kept = kernels.batch_uniform(shape, self.seed_generator) < keep_prob
        return ops.where(kept, inputs / ops.cast(keep_prob, inputs.dtype), ops.zeros_like(inputs))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "keep_prob": self.keep_prob, "seed": self.seed}
