"""What a search has found, finished or not."""

import dataclasses

from deeplab_dpc.arch.cell import RATE_OUTPUT_STRIDE, Cell
from deeplab_dpc.arch.cost import Cost, cell_cost
from deeplab_dpc.arch.receptive_field import receptive_field
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.given_up import GivenUp
from deeplab_dpc.search.scored import Reranked, Scored


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """Scores of a search.

    Attributes:
      config: of the search.
      feature_shape: (height, width, channels) of the scoring split's features, which costs are counted for.
      warm_starts, candidates: scored by proxy, in the order they were drawn.
      reranked: those trained end to end.
      given_up: what has no score, since every worker that took it died.
      output_stride: of the features, which receptive fields depend on.
    """

    config: SearchConfig
    feature_shape: tuple[int, int, int]
    warm_starts: list[Scored]
    candidates: list[Scored]
    reranked: list[Reranked]
    given_up: tuple[GivenUp, ...] = ()
    output_stride: int = RATE_OUTPUT_STRIDE

    def best(self, count: int) -> list[Scored]:
        """The best candidates by proxy, best first; those that were stopped early come after the others."""
        return sorted(self.candidates, key=lambda scored: scored.score.rank_key, reverse=True)[:count]

    def chosen_for_reranking(self) -> list[Scored]:
        """The candidates, and the warm starts if they are asked for, that are trained end to end, best first."""
        given = self.warm_starts if self.config.rerank_warm_starts else []
        return self.best(self.config.rerank_top_k) + given

    def winner(self) -> Scored | None:
        """The best candidate by re-ranked score, or by proxy if none was re-ranked; None if there is none."""
        found = {scored.cell for scored in self.candidates}
        reranked = [item for item in self.reranked if item.scored.cell in found]
        if reranked:
            return max(reranked, key=lambda item: item.miou).scored
        return self.best(1)[0] if self.candidates else None

    def reranked_miou(self, cell: Cell) -> float | None:
        """The re-ranked score of a cell, if it has one."""
        return next((item.miou for item in self.reranked if item.scored.cell == cell), None)

    def receptive_field(self, cell: Cell) -> tuple[int, int]:
        """Returns (height, width) in feature-map cells."""
        return receptive_field(cell, *self.feature_shape[:2], self.output_stride)

    def cost(self, cell: Cell) -> Cost:
        """Parameters and multiply-adds of a cell with its projection."""
        return cell_cost(cell, *self.feature_shape)
