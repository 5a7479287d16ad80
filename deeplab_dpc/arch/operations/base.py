"""The base class of the operations of a dense prediction cell."""

import abc
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from deeplab_dpc.arch.cost import Cost
from deeplab_dpc.errors import UserError

Axes = tuple[bool, bool]  # whether features are constant along their (height, width)


class Operation(abc.ABC):
    """An operation of a cell: [height, width, channels] -> [height, width, filters].

    A subclass is a frozen dataclass. No attribute has a default, so that a subclass cannot inherit one unnoticed.

    Attributes:
      OP: name in a cell's JSON; operations with the same name differ in KERNEL.
      KERNEL: side of the convolution kernel in a cell's JSON.
      KEYS: keys that a cell's JSON may have beside "op" and "input".
      TITLE: name of the kind in reports.
      ASPECTS: predicates of an operation by the words that follow TITLE in reports, such as "of the whole image".
      COLOR: background of the operation in drawings, #rrggbb.
      RUNTIME: module whose RUNTIME (layers/operations/runtime.py) computes the operation. It imports Keras.
    """

    OP: ClassVar[str]
    KERNEL: ClassVar[int]
    KEYS: ClassVar[tuple[str, ...]]
    TITLE: ClassVar[str]
    ASPECTS: ClassVar[dict[str, Callable[[Any], bool]]]
    COLOR: ClassVar[str]
    RUNTIME: ClassVar[str]

    @classmethod
    @abc.abstractmethod
    def choices(cls, rates: Sequence[int], grids: Sequence[int]) -> list[Self]:
        """Returns the operations of this kind in the search space with these rates and grids, in the space's order."""

    @classmethod
    @abc.abstractmethod
    def from_json(cls, entry: dict[str, Any]) -> Self:
        """Returns the operation of a branch's JSON whose "op", kernel and keys are those of this kind.

        Raises:
          UserError: if a value is missing or out of range.
        """

    @abc.abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Returns the branch's JSON without its input, in DeepLab's order of keys."""

    @abc.abstractmethod
    def __str__(self) -> str:
        """Returns a line of text such as '3x3 atrous conv, rate 1x6'; drawings break it at commas."""

    @abc.abstractmethod
    def summary(self) -> str:
        """Returns a word such as '3x3@1x6'."""

    @property
    @abc.abstractmethod
    def sort_key(self) -> tuple[int, ...]:
        """Returns the operation's place in the order of a canonical form; it differs for different operations."""

    @abc.abstractmethod
    def convolved_size(self, height: int, width: int) -> tuple[int, int]:
        """Returns the (rows, columns) at which the operation's 1x1 convolution is computed on features of that size."""

    @abc.abstractmethod
    def cost(self, height: int, width: int, channels: int, filters: int) -> Cost:
        """Returns the cost on features of [height, width, channels]."""

    @abc.abstractmethod
    def receptive_field_growth(self, height: int, width: int, output_stride: int) -> tuple[int, int]:
        """Returns the number of cells (vertically, horizontally) by which the receptive field grows.

        Args:
          height, width: height and width of the feature map, in cells, >= 1.
          output_stride: output stride of the features, in pixels.
        """

    @abc.abstractmethod
    def constant_axes(self, constant: Axes) -> Axes:
        """Returns the axes along which the output is constant, for an input that is constant along `constant`."""

    @abc.abstractmethod
    def simplified(self, constant: Axes) -> "Operation":
        """Returns the representative of all operations with the same effect on inputs that are constant along
        `constant`.
        """

    @property
    @abc.abstractmethod
    def tap_rates(self) -> tuple[int, int] | None:
        """Returns the (vertical, horizontal) atrous rates in cells at output stride 16; None for an operation without
        atrous taps.
        """

    @property
    @abc.abstractmethod
    def grid_side(self) -> int:
        """Returns the larger side of the grid over which the operation averages; 0 for an operation without a grid."""


def required(entry: dict[str, Any], key: str) -> Any:
    """Returns the value of a key of a branch's JSON.

    Raises:
      UserError: if it is missing.
    """
    if key not in entry:
        raise UserError(f"`{key}` is missing in {entry!r}.")
    return entry[key]
