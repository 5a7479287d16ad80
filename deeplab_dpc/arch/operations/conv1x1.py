"""The 1x1 convolution."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from deeplab_dpc.arch.cost import Cost, conv_cost
from deeplab_dpc.arch.integers import pair
from deeplab_dpc.arch.operations.base import Axes, Operation
from deeplab_dpc.errors import UserError


@dataclasses.dataclass(frozen=True)
class Conv1x1(Operation):
    """1x1 convolution."""

    OP: ClassVar[str] = "conv"
    KERNEL: ClassVar[int] = 1
    KEYS: ClassVar[tuple[str, ...]] = ("kernel", "rate")
    TITLE: ClassVar[str] = "1x1 convolution"
    ASPECTS: ClassVar[dict[str, Callable[[Any], bool]]] = {}
    COLOR: ClassVar[str] = "#f8d9a0"
    RUNTIME: ClassVar[str] = "deeplab_dpc.layers.operations.conv1x1_runtime"

    @classmethod
    def choices(cls, rates: Sequence[int], grids: Sequence[int]) -> list[Self]:
        return [cls()]

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> Self:
        if pair(entry.get("rate", 1)) != (1, 1):
            raise UserError(f"`rate` of a 1x1 convolution must be 1 or absent, got {entry['rate']!r}.")
        return cls()

    def to_json(self) -> dict[str, Any]:
        return {"kernel": 1, "op": "conv"}

    def __str__(self) -> str:
        return "1x1 conv"

    def summary(self) -> str:
        return "1x1"

    @property
    def sort_key(self) -> tuple[int, ...]:
        return (0,)

    def convolved_size(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def cost(self, height: int, width: int, channels: int, filters: int) -> Cost:
        return conv_cost(1, channels, filters, height, width)

    def receptive_field_growth(self, height: int, width: int, output_stride: int) -> tuple[int, int]:
        return 0, 0

    def constant_axes(self, constant: Axes) -> Axes:
        return constant

    def simplified(self, constant: Axes) -> Operation:
        return self

    @property
    def tap_rates(self) -> None:
        return None

    @property
    def grid_side(self) -> int:
        return 0
