"""The 3x3 atrous separable convolution (arXiv:1809.04184, Sec. 3.1)."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from deeplab_dpc.arch.cost import Cost, conv_cost, depthwise_cost
from deeplab_dpc.arch.integers import check_pair, pair
from deeplab_dpc.arch.operations.base import Axes, Operation

RATES = (1, 3, 6, 9, 12, 15, 18, 21)  # arXiv:1809.04184, Sec. 3.1; in feature-map cells at output stride 16
RATE_OUTPUT_STRIDE = 16  # output stride of the features for which RATES are meant


@dataclasses.dataclass(frozen=True)
class AtrousConv(Operation):
    """3x3 atrous separable convolution; rate: (rate_h, rate_w) in feature-map cells at output stride 16, each >= 1."""

    OP: ClassVar[str] = "conv"
    KERNEL: ClassVar[int] = 3
    KEYS: ClassVar[tuple[str, ...]] = ("kernel", "rate")
    TITLE: ClassVar[str] = "3x3 atrous convolution"
    ASPECTS: ClassVar[dict[str, Callable[[Any], bool]]] = {
        "with a side of rate 1": lambda operation: min(operation.rate) == 1,
        "with equal sides": lambda operation: operation.rate[0] == operation.rate[1],
        "wider than high": lambda operation: operation.rate[0] < operation.rate[1],
        "higher than wide": lambda operation: operation.rate[0] > operation.rate[1],
    }
    COLOR: ClassVar[str] = "#b5d3f0"
    RUNTIME: ClassVar[str] = "deeplab_dpc.layers.operations.atrous_conv_runtime"

    rate: tuple[int, int]

    def __post_init__(self) -> None:
        check_pair("rate", self.rate)

    def rate_at(self, output_stride: int) -> tuple[int, int]:
        """Returns (rate_h, rate_w) in cells of features at that output stride: the rate times 16 / output_stride, at
        least 1.
        """
        rate_h, rate_w = (max(1, rate * RATE_OUTPUT_STRIDE // output_stride) for rate in self.rate)
        return rate_h, rate_w

    @classmethod
    def choices(cls, rates: Sequence[int], grids: Sequence[int]) -> list[Self]:
        return [cls(rate) for rate in itertools.product(rates, rates)]

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Self:
        return cls(pair(entry.get("rate", 1)))

    def to_json(self) -> dict[str, Any]:
        return {"kernel": 3, "rate": list(self.rate), "op": "conv"}

    def __str__(self) -> str:
        return f"3x3 atrous conv, rate {self.rate[0]}x{self.rate[1]}"

    def summary(self) -> str:
        return f"3x3@{self.rate[0]}x{self.rate[1]}"

    @property
    def sort_key(self) -> tuple[int, ...]:
        return (1, *self.rate)

    def convolved_size(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def cost(self, height: int, width: int, channels: int, filters: int) -> Cost:
        return depthwise_cost(3, channels, height, width) + conv_cost(1, channels, filters, height, width)

    def receptive_field_growth(self, height: int, width: int, output_stride: int) -> tuple[int, int]:
        rate_h, rate_w = self.rate_at(output_stride)
        return 2 * rate_h, 2 * rate_w  # distance between the outer taps

    def constant_axes(self, constant: Axes) -> Axes:
        return False, False  # because of the zero padding

    def simplified(self, constant: Axes) -> Operation:
        return self

    @property
    def tap_rates(self) -> tuple[int, int]:
        return self.rate

    @property
    def grid_side(self) -> int:
        return 0
