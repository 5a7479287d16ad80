"""Parameters and multiply-adds of convolutions, by formula.

Only convolutions count as multiply-adds, and an atrous one counts as a dense one (profilers may differ). Pooling,
resizing, activations and batch norm, which folds into the convolutions, do not count. With this rule the published
totals of whole networks are reproduced within 0.1 %.
"""

import dataclasses
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Cost:
    """The cost of a module.

    Attributes:
      parameters: number of weights and biases of the convolutions.
      batch_norm_parameters: number of gammas and betas, which are trained too but fold into the convolutions for
        inference.
      multiply_adds: number of multiply-adds for one image.
    """

    parameters: int = 0
    batch_norm_parameters: int = 0
    multiply_adds: int = 0

    @property
    def trainable_parameters(self) -> int:
        return self.parameters + self.batch_norm_parameters

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.parameters + other.parameters,
            self.batch_norm_parameters + other.batch_norm_parameters,
            self.multiply_adds + other.multiply_adds,
        )


def total_cost(costs: Iterable[Cost]) -> Cost:
    """Returns the sum of costs; zero for none."""
    return sum(costs, start=Cost())


def conv_cost(
    kernel: int, channels_in: int, channels_out: int, height: int, width: int, batch_norm: bool = True
) -> Cost:
    """Returns the cost of a kernel x kernel convolution with an output of shape [height, width, channels_out].

    Args:
      batch_norm: bool, whether batch norm follows; otherwise the convolution has a bias.
    """
    weights = kernel**2 * channels_in * channels_out
    multiply_adds = weights * height * width
    if batch_norm:
        return Cost(weights, 2 * channels_out, multiply_adds)
    return Cost(weights + channels_out, 0, multiply_adds)


def depthwise_cost(kernel: int, channels: int, height: int, width: int, batch_norm: bool = True) -> Cost:
    """Returns the cost of a kernel x kernel depthwise convolution with an output of shape [height, width, channels].

    Args:
      batch_norm: bool, whether batch norm follows; otherwise there is neither batch norm nor bias.
    """
    weights = kernel**2 * channels
    return Cost(weights, 2 * channels if batch_norm else 0, weights * height * width)
