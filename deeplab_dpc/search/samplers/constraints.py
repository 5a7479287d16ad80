"""The limits of a candidate's cost and receptive field."""

import dataclasses
from typing import Self

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.cell_formulas import cell_cost, receptive_field
from deeplab_dpc.arch.operations.atrous_conv import RATE_OUTPUT_STRIDE
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.errors import UserError


@dataclasses.dataclass(frozen=True)
class Constraints:
    """Limits of a cell with its projection; None for no limit.

    Attributes:
      feature_shape: (height, width, channels) of the features for which multiply-adds and receptive field are computed.
      output_stride: output stride of those features.
      max_params: largest number of weights and biases, without batch norm, which folds into them.
      max_madds: largest number of multiply-adds of the convolutions for one image.
      min_receptive_field: smallest receptive field along the smaller side, in feature-map cells.
      max_receptive_field: largest receptive field along the larger side, in feature-map cells.
    """

    feature_shape: tuple[int, int, int]
    output_stride: int = RATE_OUTPUT_STRIDE
    max_params: int | None = None
    max_madds: int | None = None
    min_receptive_field: int | None = None
    max_receptive_field: int | None = None

    @classmethod
    def from_config(cls, config: SearchConfig, feature_shape: tuple[int, int, int], output_stride: int) -> Self:
        """Returns the constraints of a search.

        Raises:
          UserError: if no cell of the search's space satisfies them.
        """
        constraints = cls(
            feature_shape,
            output_stride,
            config.max_params,
            config.max_madds,
            config.min_receptive_field,
            config.max_receptive_field,
        )
        constraints._check_satisfiable(config.space)
        return constraints

    def admits(self, cell: Cell) -> bool:
        """Returns whether the cell is within all limits."""
        return self._admits_cost(cell) and self._admits_receptive_field(cell)

    def _admits_cost(self, cell: Cell) -> bool:
        if self.max_params is None and self.max_madds is None:
            return True
        cost = cell_cost(cell, *self.feature_shape)
        return (self.max_params is None or cost.parameters <= self.max_params) and (
            self.max_madds is None or cost.multiply_adds <= self.max_madds
        )

    def _admits_receptive_field(self, cell: Cell) -> bool:
        if self.min_receptive_field is None and self.max_receptive_field is None:
            return True
        field = receptive_field(cell, *self.feature_shape[:2], self.output_stride)
        return (self.min_receptive_field is None or min(field) >= self.min_receptive_field) and (
            self.max_receptive_field is None or max(field) <= self.max_receptive_field
        )

    def _check_satisfiable(self, space: SearchSpace) -> None:
        """Checks each limit alone, and the two limits of the receptive field together."""
        smallest, cheapest = (_least(space, self.feature_shape, name) for name in ("parameters", "multiply_adds"))
        if self.max_params is not None and self.max_params < smallest:
            raise UserError(
                f"--max_params={self.max_params} admits no cell: with --num_branches={space.num_branches} the smallest "
                f"has {smallest} with its projection; raise it, or lower --num_branches."
            )
        if self.max_madds is not None and self.max_madds < cheapest:
            raise UserError(
                f"--max_madds={self.max_madds} admits no cell: with --num_branches={space.num_branches} the cheapest "
                f"has {cheapest} with its projection on {_size(self.feature_shape)} features; raise it, or lower "
                "--num_branches."
            )
        least, most = self.min_receptive_field, self.max_receptive_field
        if least is not None and most is not None and least > most:
            raise UserError(f"--min_receptive_field={least} must be at most --max_receptive_field={most}.")
        widest = _widest(space, self.feature_shape, self.output_stride)
        if least is not None and least > widest:
            raise UserError(
                f"--min_receptive_field={least} admits no cell: the widest of the space sees {widest} feature-map "
                f"cells of {_size(self.feature_shape)} features at stride {self.output_stride}; lower it, or raise "
                "--num_branches or --cell_rates."
            )


def _size(feature_shape: tuple[int, int, int]) -> str:
    height, width, channels = feature_shape
    return f"{height}x{width}x{channels}"


def _least(space: SearchSpace, feature_shape: tuple[int, int, int], quantity: str) -> int:
    """Returns the smallest number of parameters or multiply_adds of a cell in the space; costs of branches add up."""

    def cost(cell: Cell, include_projection: bool = True) -> int:
        value: int = getattr(cell_cost(cell, *feature_shape, include_projection=include_projection), quantity)
        return value

    def cheapest(source: int) -> Branch:
        first = Branch(BACKBONE, space.operations[0])
        branches = (Branch(source, operation) for operation in space.operations)
        return min(branches, key=lambda branch: cost(Cell((first, branch)), include_projection=False))

    own, further = cheapest(BACKBONE), cheapest(0)
    return min(cost(Cell((own,) + (other,) * (space.num_branches - 1))) for other in (own, further))


def _widest(space: SearchSpace, feature_shape: tuple[int, int, int], output_stride: int) -> int:
    """Returns the largest smaller side of a receptive field in the space: that of a chain of the operation that adds
    most to both sides.

    Operations have all pairs of rates and grids, so that the best operation for either axis is the best for both.
    """
    height, width = feature_shape[:2]
    best = max(
        (Cell((Branch(BACKBONE, operation),)) for operation in space.operations),
        key=lambda cell: min(receptive_field(cell, height, width, output_stride)),
    )
    operation = best.branches[0].operation
    chain = Cell(tuple(Branch(index - 1, operation) for index in range(space.num_branches)))
    return min(receptive_field(chain, height, width, output_stride))
