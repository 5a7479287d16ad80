"""The candidates of a search as arrays, for reports on thousands of them."""

import dataclasses
import functools

import numpy as np

from deeplab_dpc.arch.cost import Cost
from deeplab_dpc.search.contest.result import SearchResult
from deeplab_dpc.search.scored import ProxyScore, Scored

TOP_SHARE = 10  # the best 1 / TOP_SHARE of the candidates are examined more closely


@dataclasses.dataclass(frozen=True)
class Population:
    """The candidates in the order they were drawn; all arrays are [candidates].

    Attributes:
      result: result of the search.
      costs: costs of each candidate.
    """

    result: SearchResult
    costs: tuple[Cost, ...]

    @classmethod
    def of(cls, result: SearchResult) -> "Population":
        return cls(result, tuple(result.cost(scored.cell) for scored in result.candidates))

    def __len__(self) -> int:
        return len(self.result.candidates)

    @property
    def candidates(self) -> list[Scored]:
        return self.result.candidates

    @functools.cached_property
    def order(self) -> np.ndarray:
        """Returns the indices of the candidates, best first by proxy; those that were stopped early come after the
        others.
        """
        keys = [scored.score.rank_key for scored in self.candidates]
        return np.array(sorted(range(len(keys)), key=keys.__getitem__, reverse=True), dtype=np.int64)

    @functools.cached_property
    def ranks(self) -> np.ndarray:
        """Returns the rank by proxy of each candidate; 1 is the best."""
        ranks = np.empty(len(self), dtype=np.int64)
        ranks[self.order] = np.arange(1, len(self) + 1)
        return ranks

    @property
    def num_top(self) -> int:
        """Returns the size of the best tenth, at least one if there are candidates."""
        return -(-len(self) // TOP_SHARE)

    @property
    def is_top(self) -> np.ndarray:
        """Returns whether each candidate is in the best tenth by proxy, bool."""
        return self.ranks <= self.num_top

    @functools.cached_property
    def budgets(self) -> list[int]:
        """Returns the numbers of steps after which candidates were scored, ascending; one without successive
        halving.
        """
        return sorted({steps for scored in self.candidates for steps in self._scores(scored.score)})

    @property
    def budget(self) -> int:
        """Returns the largest number of steps for which a candidate was trained; 0 if there is none."""
        return self.budgets[-1] if self.budgets else 0

    def miou_at(self, steps: int) -> np.ndarray:
        """Returns the proxy scores after that number of steps, float64; nan for candidates that were not scored
        then.
        """
        return np.array([self.score_at(scored, steps) for scored in self.candidates], dtype=np.float64)

    def score_at(self, scored: Scored, steps: int) -> float:
        """Returns the proxy score of a cell after that number of steps; nan if it was not scored then."""
        return self._scores(scored.score).get(steps, np.nan)

    def _scores(self, score: ProxyScore) -> dict[int, float]:
        """Returns the mIOU by number of steps; a training that diverged has its mIOU of 0 at the end of its rung."""
        found = _scores(score)
        if score.diverged:
            rungs = self.result.config.rung_steps
            found[next((steps for steps in rungs if steps >= score.steps), score.steps)] = found.pop(score.steps)
        return found

    @functools.cached_property
    def miou(self) -> np.ndarray:
        """Returns the proxy scores after the largest number of steps; nan for candidates that were stopped earlier."""
        return self.miou_at(self.budget)

    @functools.cached_property
    def common_miou(self) -> np.ndarray:
        """Returns the proxy scores after the smallest number of steps, which every candidate has."""
        return self.miou_at(self.budgets[0]) if self.budgets else np.zeros(0)

    @functools.cached_property
    def seconds(self) -> np.ndarray:
        return np.array([scored.score.seconds for scored in self.candidates], dtype=np.float64)

    @functools.cached_property
    def parameters(self) -> np.ndarray:
        return np.array([cost.parameters for cost in self.costs], dtype=np.int64)

    @functools.cached_property
    def multiply_adds(self) -> np.ndarray:
        return np.array([cost.multiply_adds for cost in self.costs], dtype=np.int64)

    @functools.cached_property
    def receptive_fields(self) -> np.ndarray:
        """Returns the area of each candidate's receptive field, in feature-map cells."""
        sides = [self.result.receptive_field(scored.cell) for scored in self.candidates]
        return np.array([field_h * field_w for field_h, field_w in sides], dtype=np.int64)

    @functools.cached_property
    def draws(self) -> np.ndarray:
        """Returns the kind of draw of each candidate, str."""
        return np.array([scored.draw for scored in self.candidates], dtype=str)

    @property
    def draw_kinds(self) -> list[str]:
        """Returns the kinds of draws that occur, uniform draws first."""
        return sorted(set(self.draws.tolist()), key=lambda draw: (draw != "uniform", draw))

    def comparable_warm_starts(self) -> list[Scored]:
        """Returns the warm starts trained for the largest budget of the candidates; all if there are no candidates."""
        return [scored for scored in self.result.warm_starts if not len(self) or scored.score.steps == self.budget]


def steps_taken(score: ProxyScore) -> int:
    """Returns the total steps of all rungs, each of which trains from scratch."""
    return sum(_scores(score))


def _scores(score: ProxyScore) -> dict[int, float]:
    """Returns the mIOU by number of steps."""
    return dict(score.rungs) | {score.steps: score.miou}
