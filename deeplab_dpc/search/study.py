"""The study: cells asked for and scores told, kept by Optuna in a journal that survives being killed at any point."""

import dataclasses
import fcntl
import json
import pathlib
import shutil
import warnings
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.proxy import ProxyScore
from deeplab_dpc.search.sampler import CellSampler, cell_of, distributions

JOURNAL = "study.journal"
BASELINE = "baseline"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A cell that waits for its score.

    Attributes:
      name: of a baseline, or `cell NUMBER`.
      draw: 'uniform', 'neighbour' or 'baseline'.
      number: Optuna's trial number.
    """

    name: str
    cell: Cell
    draw: str
    number: int


@dataclasses.dataclass(frozen=True)
class Scored:
    """A cell with its score."""

    name: str
    cell: Cell
    draw: str
    score: ProxyScore


class SearchStudy:
    """The candidates and the baselines of one search.

    Args:
      workdir: of the search; study.journal is there.
      space: of the candidates.
      config: of the search.

    Raises:
      UserError: if another process searches in this directory, or the journal is damaged before its last line.
    """

    def __init__(self, workdir: pathlib.Path, space: SearchSpace, config: SearchConfig):
        self._space = space
        path = workdir / JOURNAL
        self._lock = _lock(workdir)
        try:
            repair_journal(path)
        except UserError:
            self._lock.close()
            raise
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = optuna.storages.JournalStorage(JournalFileBackend(str(path)))
        self._sampler = CellSampler(space, config.uniform_fraction, config.num_best, config.seed)
        self._candidates = _open(storage, "candidates", self._sampler)
        self._baselines = _open(storage, "baselines", self._sampler)
        for trial in self._candidates.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if len(trial.params) < len(distributions(space)) or "draw" not in trial.user_attrs:
                # Killed while asking: nothing is lost, and the same cell is drawn again.
                self._candidates.tell(trial.number, state=TrialState.FAIL)

    def close(self) -> None:
        """Lets other processes search in the directory."""
        self._lock.close()

    def ask(self) -> Candidate:
        """The next candidate: one that a killed process left, or a new one.

        Raises:
          SpaceExhaustedError: if every cell of the space has been tried.
        """
        running = self._candidates.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if running:
            return self._candidate(running[0])
        trial = self._candidates.ask(distributions(self._space))
        trial.set_user_attr("cell", cell_of(self._space, trial.params).to_json())
        trial.set_user_attr("draw", self._sampler.draws.pop(trial.number))
        return self._candidate(trial)

    def _candidate(self, trial: optuna.Trial | FrozenTrial) -> Candidate:
        cell = cell_of(self._space, trial.params)
        return Candidate(f"cell {trial.number}", cell, trial.user_attrs["draw"], trial.number)

    def tell(self, candidate: Candidate, score: ProxyScore) -> None:
        """Keeps a score; it is on disk when this returns."""
        study = self._baselines if candidate.draw == BASELINE else self._candidates
        trials = study.get_trials(deepcopy=False)
        for name, value in dataclasses.asdict(score).items():
            study._storage.set_trial_user_attr(trials[candidate.number]._trial_id, name, value)
        study.tell(candidate.number, score.miou)

    def ask_baseline(self, name: str, cell: Cell) -> Candidate | None:
        """The baseline as a candidate, or None if it has its score already."""
        for trial in self._baselines.get_trials(deepcopy=False):
            if trial.user_attrs.get("digest") == cell.digest():
                if trial.state == TrialState.COMPLETE:
                    return None
                return Candidate(name, cell, BASELINE, trial.number)
        asked = self._baselines.ask()
        asked.set_user_attr("name", name)
        asked.set_user_attr("cell", cell.to_json())
        asked.set_user_attr("digest", cell.digest())
        return Candidate(name, cell, BASELINE, asked.number)

    def scored(self) -> list[Scored]:
        """The finished candidates, in the order they were drawn."""
        return [
            Scored(f"cell {trial.number}", cell_of(self._space, trial.params), trial.user_attrs["draw"], _score(trial))
            for trial in self._candidates.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        ]

    def scored_baselines(self) -> list[Scored]:
        """The finished baselines."""
        return [
            Scored(trial.user_attrs["name"], Cell.from_json(trial.user_attrs["cell"]), BASELINE, _score(trial))
            for trial in self._baselines.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        ]


def _score(trial: FrozenTrial) -> ProxyScore:
    return ProxyScore(**{field.name: trial.user_attrs[field.name] for field in dataclasses.fields(ProxyScore)})


def _open(storage: optuna.storages.JournalStorage, name: str, sampler: CellSampler) -> optuna.Study:
    return optuna.create_study(
        storage=storage, study_name=name, sampler=sampler, direction="maximize", load_if_exists=True
    )


def _lock(workdir: pathlib.Path) -> Any:
    """Holds the directory for this process; the system lets go of it when the process ends, however it ends."""
    workdir.mkdir(parents=True, exist_ok=True)
    stream = open(workdir / ".lock", "w", encoding="utf-8")  # noqa: SIM115 (kept open on purpose)
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        stream.close()
        raise UserError(
            f"Another search runs in --workdir={workdir}; wait for it, or give another directory."
        ) from error
    return stream


def repair_journal(path: pathlib.Path) -> None:
    """Cuts a torn last line off a journal, as a kill in the middle of a write leaves it; the original is kept aside.

    Raises:
      UserError: if another line than the last is damaged.
    """
    # The journal's own lock is a symbolic link that a killed process leaves.
    pathlib.Path(f"{path}.lock").unlink(missing_ok=True)
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        if _is_whole(line):
            continue
        if number < len(lines):
            raise UserError(f"{path}, line {number}, is damaged; restore the file, or search in another --workdir.")
        shutil.copy2(path, f"{path}.torn")
        with open(path, "rb+") as stream:
            stream.truncate(sum(map(len, lines[:-1])))


def _is_whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return line.endswith(b"\n")
