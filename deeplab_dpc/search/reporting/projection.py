"""The estimated cost of a search, from the cost of scored cells.

A cell that is trained on rungs of n_1, n_2, ... steps, each from scratch, takes

    sum over its rungs of (overhead_seconds + n_i * step_seconds):

the steps, and the remaining work, such as initial weights and scoring. Both are known for each cell (ProxyScore); the
first cell of a worker, which includes compilation, shows the cost of a worker's start.

Cells are not distinguished by their multiply-adds: these explained 3 % and 21 % of the variance of the seconds of 48
cells in two searches on CamVid, and the remaining cells are drawn like the earlier ones.
"""

import dataclasses
from collections.abc import Iterable
from typing import Self

import numpy as np

from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.scored import GIVEN, ProxyScore, Scored

PAPER_CANDIDATES = 28_000  # arXiv:1809.04184, Sec. 4.2
PAPER_STEPS = 30_000  # arXiv:1809.04184, Sec. 3.3
PAPER_WORKERS = 370  # GPUs; arXiv:1809.04184, Sec. 4.2
PAPER_SECONDS = 7 * 24 * 60 * 60  # "one week", of each of them; Sec. 3.3 has 90 minutes for a candidate
ENOUGH_DRAWN = 3  # measured candidates; with fewer, warm starts count as well


@dataclasses.dataclass(frozen=True)
class Plan:
    """The cells to score.

    Attributes:
      candidates: number of candidates, of which the best 1 / halving_factor climb each rung.
      rung_steps: budgets, ascending (SearchConfig.rung_steps).
      halving_factor: eta, the ratio of budgets.
      given: number of warm starts, which climb all rungs.
    """

    candidates: int
    rung_steps: tuple[int, ...]
    halving_factor: int = 4
    given: int = 0

    @classmethod
    def of(cls, config: SearchConfig) -> Self:
        """Returns the plan of a whole search."""
        return cls(config.num_candidates, config.rung_steps, config.halving_factor, len(config.warm_starts))

    @property
    def steps_of_candidate(self) -> float:
        """Returns the expected steps of a candidate: n_1 + n_2 / eta + n_3 / eta ** 2 + ..."""
        return sum(steps * share for steps, share in zip(self.rung_steps, self._shares, strict=True))

    @property
    def steps(self) -> float:
        """Returns the expected steps of all cells."""
        return self.candidates * self.steps_of_candidate + self.given * sum(self.rung_steps)

    @property
    def rungs(self) -> float:
        """Returns the expected number of trainings of all cells."""
        return self.candidates * sum(self._shares) + self.given * len(self.rung_steps)

    @property
    def _shares(self) -> list[float]:
        """Returns the share of the candidates that are trained on each rung."""
        return [float(self.halving_factor) ** -rung for rung in range(len(self.rung_steps))]


def paper_plan(halving_rungs: int = 1) -> Plan:
    """Returns the paper's plan of 28,000 candidates of 30,000 steps, or the same with successive halving by 4."""
    config = SearchConfig(
        num_candidates=PAPER_CANDIDATES, proxy_steps=PAPER_STEPS, halving_rungs=halving_rungs, halving_factor=4
    )
    return Plan(config.num_candidates, config.rung_steps, config.halving_factor)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """An estimate in seconds.

    Attributes:
      typical: estimate with the mean step of the measured cells, since a search includes cheap and expensive cells, and
        fast and slow workers; and with their median overhead, since the mean would include delays of workers.
      low, high: estimates if all cells were like the cheapest tenth of those measured, or like the most expensive
        tenth.
    """

    typical: float
    low: float
    high: float

    def map(self, scale: float, offset: float = 0.0) -> "Estimate":
        """Returns scale * seconds + offset."""
        return Estimate(*(scale * value + offset for value in dataclasses.astuple(self)))


@dataclasses.dataclass(frozen=True)
class CellCost:
    """The cost of a cell.

    Attributes:
      worker: worker that trained it.
      step_seconds: seconds per step.
      overhead_seconds: seconds per rung in addition to its steps.
    """

    worker: str
    step_seconds: float
    overhead_seconds: float

    @classmethod
    def of(cls, scored: Scored) -> Self:
        """Returns the cost of a scored cell, which uses the last rung's time per step for all rungs."""
        score = scored.score
        rungs = score.rungs or ((score.steps, score.miou),)
        beside = score.seconds - score.step_seconds * sum(steps for steps, _ in rungs)
        return cls(scored.worker, score.step_seconds, max(0.0, beside / len(rungs)))


@dataclasses.dataclass(frozen=True)
class CostModel:
    """The cost of cells on the devices that have scored some.

    Attributes:
      cells: measured cells, one or more. The first cell of each worker is left out if there are others, and so are warm
        starts if there are enough candidates: a 1x1 convolution is not typical.
      start_seconds: additional seconds of a worker's first cell; 0 if only first cells are known.
      has_only_first_cells: bool, whether the cells include their workers' starts.
    """

    cells: tuple[CellCost, ...]
    start_seconds: float = 0.0
    has_only_first_cells: bool = False

    @classmethod
    def of(cls, scored: Iterable[Scored]) -> Self | None:
        """Returns the model; None if no cell has a known step time, as in results of earlier versions and of proxies
        that train end to end.

        Args:
          scored: warm starts and candidates.
        """
        firsts: dict[str, Scored] = {}
        measured = []
        for one in sorted(scored, key=lambda one: one.finished):
            firsts.setdefault(one.worker, one)
            if is_timed(one.score):
                measured.append(one)
        later = [one for one in measured if one is not firsts[one.worker]]
        chosen = later or measured
        drawn = [one for one in chosen if one.draw != GIVEN]
        cells = tuple(CellCost.of(one) for one in (drawn if len(drawn) >= ENOUGH_DRAWN else chosen))
        if not cells:
            return None
        if not later:
            return cls(cells, has_only_first_cells=True)
        usual = float(np.median([cell.overhead_seconds for cell in cells]))
        starts = [
            max(0.0, CellCost.of(one).overhead_seconds - usual) * max(1, len(one.score.rungs))
            for one in firsts.values()
            if is_timed(one.score)
        ]
        return cls(cells, float(np.median(starts)) if starts else 0.0)

    @property
    def by_worker(self) -> dict[str, list[CellCost]]:
        """Returns the cells of each worker, by name."""
        found: dict[str, list[CellCost]] = {}
        for cell in sorted(self.cells, key=lambda cell: cell.worker):
            found.setdefault(cell.worker, []).append(cell)
        return found

    def seconds(self, steps: float, rungs: float) -> Estimate:
        """Returns the device time of that number of steps in that number of rungs, without any worker's start."""
        step = np.array([cell.step_seconds for cell in self.cells])
        overhead = np.array([cell.overhead_seconds for cell in self.cells])
        typical = float(steps * step.mean() + rungs * np.median(overhead))
        low, high = tenths(steps * step + rungs * overhead)
        return Estimate(typical, min(low, typical), max(high, typical))


def tenths(values: np.ndarray) -> tuple[float, float]:
    """Returns the 10th and the 90th percentile, each one of the values; for ten values or fewer the extremes."""
    return float(np.percentile(values, 10, method="lower")), float(np.percentile(values, 90, method="higher"))


def is_timed(score: ProxyScore) -> bool:
    """Returns whether the seconds per step are known."""
    return score.step_seconds > 0.0


def device_seconds(model: CostModel, plan: Plan) -> Estimate:
    """Returns the device time of all workers together, without their starts."""
    return model.seconds(plan.steps, plan.rungs)


def wall_seconds(model: CostModel, plan: Plan, workers: int) -> Estimate:
    """Returns the wall time with that number of workers like those measured: at least the time of a cell that climbs
    all rungs on one of them.
    """
    shared = device_seconds(model, plan).map(1.0 / workers)
    longest = model.seconds(sum(plan.rung_steps), len(plan.rung_steps))
    return Estimate(*map(max, dataclasses.astuple(shared), dataclasses.astuple(longest))).map(1.0, model.start_seconds)
