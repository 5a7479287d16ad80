"""The result of a search, finished or not."""

import dataclasses

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.cell_formulas import cell_cost, receptive_field
from deeplab_dpc.arch.cost import Cost
from deeplab_dpc.arch.operations.atrous_conv import RATE_OUTPUT_STRIDE
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.contest.outcome import ContestOutcome, Standing
from deeplab_dpc.search.scored import Scored
from deeplab_dpc.search.service.given_up import GivenUp


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """The scores of a search.

    Attributes:
      config: configuration of the search.
      feature_shape: (height, width, channels) of the evaluation split's features, for which costs are computed.
      warm_starts, candidates: cells scored by proxy, in the order they were drawn.
      contest: result of the real trainings; None if there are none.
      given_up: tasks without a result, since every worker that tried them died.
      output_stride: output stride of the features, on which receptive fields depend.
    """

    config: SearchConfig
    feature_shape: tuple[int, int, int]
    warm_starts: list[Scored]
    candidates: list[Scored]
    contest: ContestOutcome | None = None
    given_up: tuple[GivenUp, ...] = ()
    output_stride: int = RATE_OUTPUT_STRIDE

    def best(self, count: int) -> list[Scored]:
        """Returns the best candidates by proxy, best first; cells that were stopped early come after the others."""
        return sorted(self.candidates, key=lambda scored: scored.score.rank_key, reverse=True)[:count]

    def ranked_by_proxy(self) -> list[Scored]:
        """Returns warm starts and candidates, best first by proxy; of tied cells a warm start comes first."""
        return sorted(self.warm_starts + self.candidates, key=lambda scored: scored.score.rank_key, reverse=True)

    def finalists(self) -> list[Scored]:
        """Returns the warm starts, and the best candidates by proxy, best first."""
        given = self.warm_starts if self.config.rerank_warm_starts else []
        return given + self.best(self.config.rerank_top_k)

    def winner(self) -> Scored | None:
        """Returns the best cell, drawn or given: of those trained end to end, or by proxy if there are none.

        The result is None if nothing is scored.
        """
        best = self.contest.winner() if self.contest is not None else None
        if best is not None:
            return best.scored
        ranked = self.ranked_by_proxy()
        return ranked[0] if ranked else None

    @property
    def standings(self) -> list[Standing]:
        """Returns the finalists that were trained end to end, best first."""
        return [] if self.contest is None else self.contest.standings

    def standing(self, cell: Cell) -> Standing | None:
        """Returns the standing of a cell in the contest; None if it was not trained end to end."""
        return next((one for one in self.standings if one.scored.cell == cell), None)

    def real_miou(self, cell: Cell) -> float | None:
        """Returns the mIOU of a cell after real training, the mean over its seeds; None if it was not trained."""
        standing = self.standing(cell)
        return None if standing is None else standing.miou

    def receptive_field(self, cell: Cell) -> tuple[int, int]:
        """Returns the receptive field (height, width) of a cell, in feature-map cells."""
        return receptive_field(cell, *self.feature_shape[:2], self.output_stride)

    def cost(self, cell: Cell) -> Cost:
        """Returns the parameters and multiply-adds of a cell with its projection."""
        return cell_cost(cell, *self.feature_shape)
