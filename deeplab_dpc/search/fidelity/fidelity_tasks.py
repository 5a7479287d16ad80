"""The trainings of a measurement as tasks that workers share: each cell with each seed, by proxy and end to end."""

import dataclasses
from collections.abc import Mapping, Sequence

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.search.fidelity.measurement import RealScore
from deeplab_dpc.search.fidelity.trainings import Trainings
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.search.service.attempt import RESULT, Lease, Task
from deeplab_dpc.search.service.ledger import Ledger
from deeplab_dpc.search.service.work import Outcome

PROXY, REAL = "proxy", "real"  # the kinds of training


@dataclasses.dataclass(frozen=True)
class MeasuredCell:
    """A cell that is measured.

    Attributes:
      name: name of a subset, of a mixed cell, or of a cell of the search.
      group: one of measurement.GROUPS.
    """

    name: str
    group: str
    cell: Cell


class FidelityTasks:
    """The tasks of a measurement, and their results.

    Args:
      ledger: ledger of the tasks.
      cells: cells to measure; of cells with the same canonical form only the first is measured.
      seeds: seeds of the trainings, distinct.
      known: proxy scores of the search, which have the first seed, by the cell's digest.
      known_reals: real scores of other measurements, by digest and seed.
    """

    def __init__(
        self,
        ledger: Ledger,
        cells: Sequence[MeasuredCell],
        seeds: Sequence[int],
        known: Mapping[str, ProxyScore],
        known_reals: Mapping[tuple[str, int], RealScore] | None = None,
    ):
        self.ledger = ledger
        distinct: dict[str, MeasuredCell] = {}
        for measured in cells:
            distinct.setdefault(measured.cell.digest(), measured)
        self.cells = list(distinct.values())
        self._seeds = tuple(seeds)
        self._known = {_key(PROXY, digest, self._seeds[0]): score for digest, score in known.items()}
        self._known_reals = {_key(REAL, *key): score for key, score in (known_reals or {}).items()}
        # The cheapest trainings come first, and each cell is trained once before any is trained twice.
        self.tasks = [
            self._task(kind, measured, seed)
            for kind in (PROXY, REAL)
            for seed in self._seeds
            for measured in self.cells
            if _key(kind, measured.cell.digest(), seed) not in self._known.keys() | self._known_reals.keys()
        ]

    def _task(self, kind: str, measured: MeasuredCell, seed: int) -> Task:
        attributes = {
            "name": measured.name if seed == self._seeds[0] else f"{measured.name}, seed {seed}",
            "draw": kind,
            "cell": measured.cell.to_json(),
            "summary": measured.cell.summary(),
            "seed": seed,
        }
        return Task(_key(kind, measured.cell.digest(), seed), attributes)

    def open_tasks(self) -> list[Task]:
        """Returns the tasks that may be begun and that no worker is doing, as of the ledger's last read."""
        return [task for task in self.tasks if self.ledger.is_open(task.key)]

    def is_done(self) -> bool:
        """Returns whether all tasks have results or are given up."""
        return all(task.key in self.ledger.finished or self.ledger.is_given_up(task.key) for task in self.tasks)

    def perform(self, lease: Lease, trainings: Trainings) -> Outcome:
        """Trains the cell of a task, and returns the result."""
        attributes = lease.task.attributes
        cell, seed = Cell.from_json(attributes["cell"]), attributes["seed"]
        if attributes["draw"] == PROXY:
            proxy = trainings.by_proxy(cell, seed, lease)
            return Outcome([proxy.miou], proxy.to_json())
        real = trainings.for_real(cell, seed, lease)
        return Outcome([real.miou], dataclasses.asdict(real))

    def proxies(self, cell: Cell) -> tuple[ProxyScore, ...] | None:
        """Returns the proxy scores of a cell for all seeds in order; None if one is missing."""
        scores = []
        for seed in self._seeds:
            key = _key(PROXY, cell.digest(), seed)
            if key in self._known:
                scores.append(self._known[key])
            elif key in self.ledger.finished:
                scores.append(ProxyScore.from_json(self.ledger.finished[key].user_attrs[RESULT]))
        return tuple(scores) if len(scores) == len(self._seeds) else None

    def reals(self, cell: Cell) -> tuple[RealScore, ...] | None:
        """Returns the real scores of a cell for all seeds in order; None if one is missing."""
        scores = []
        for seed in self._seeds:
            key = _key(REAL, cell.digest(), seed)
            if key in self._known_reals:
                scores.append(self._known_reals[key])
            elif key in self.ledger.finished:
                scores.append(RealScore(**self.ledger.finished[key].user_attrs[RESULT]))
        return tuple(scores) if len(scores) == len(self._seeds) else None


def _key(kind: str, digest: str, seed: int) -> str:
    return f"{kind} {digest} {seed}"
