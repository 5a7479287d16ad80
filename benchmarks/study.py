"""The cost of a search beside its trainings: asking for a cell and telling its score, with many finished trials.

    python benchmarks/study.py
    python benchmarks/study.py --trials=2000 --storages=sqlite,proxy,postgresql://search@localhost/search

Asking is a read of the storage, a draw and a claim; telling stores the score. Joining is the work of a new worker until
it can claim its first cell: it reads the study and passes all scores to its sampler. The finished trials are uniform
draws with scores by a hash. The samplers are compared on a journal, the storages with the default sampler. The
PostgreSQL or MySQL database of a URL gets two studies, which stay.
"""

import contextlib
import dataclasses
import datetime
import pathlib
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator

from absl import app, flags
from optuna.storages import BaseStorage
from optuna.trial import TrialState, create_trial

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.config.samplers import SAMPLERS
from deeplab_dpc.console import console, print_table
from deeplab_dpc.search.samplers.optuna_view import distributions, params_of
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import KEY, RESULT, WORKER
from deeplab_dpc.search.service.storage import open_storage
from deeplab_dpc.search.study import SearchStudy

_TRIALS = flags.DEFINE_integer("trials", 10_000, "Finished trials of each study.")
_ROUNDS = flags.DEFINE_integer("rounds", 30, "Cells that are asked for and told, of which the median counts.")
_SAMPLERS = flags.DEFINE_list("samplers", [name for name in SAMPLERS if name != "exhaustive"], "On a journal.")
_STORAGES = flags.DEFINE_list("storages", ["sqlite", "proxy"], "Or URLs; beside the journal.")
FEATURE_SHAPE = (65, 65, 320)  # of a 1025 x 1025 image at output stride 16
PROXY = """
import concurrent.futures, sys, optuna
pool = concurrent.futures.ThreadPoolExecutor(max_workers=1)
optuna.storages.run_grpc_proxy_server(
    optuna.storages.get_storage(sys.argv[1]), port=int(sys.argv[2]), thread_pool=pool)
"""


def _score(cell: Cell, config: SearchConfig) -> ProxyScore:
    miou = int(cell.digest(), 16) % 100_003 / 100_003
    return ProxyScore(miou, 0.5, 60.0, 500.0, config.proxy_steps, ((config.proxy_steps, miou),))


def _config(sampler: str) -> SearchConfig:
    return SearchConfig(num_candidates=1_000_000, sampler=sampler, warm_starts=())


def _open(storage: BaseStorage, name: str, sampler: str) -> SearchStudy:
    return SearchStudy(storage, name, _config(sampler), FEATURE_SHAPE, Worker.current(), 300.0)


def _fill(storage: BaseStorage, name: str, sampler: str) -> None:
    """Writes finished trials, each in one call."""
    study, config, space, rng = _open(storage, name, sampler), _config(sampler), SearchSpace(), random.Random(0)
    worker, bounds, cells = study.ledger.worker.to_json(), distributions(space), dict[str, Cell]()
    while len(cells) < _TRIALS.value:
        cell = space.sample(rng)
        cells.setdefault(cell.digest(), cell)
    for number, cell in enumerate(cells.values()):
        score = _score(cell, config)
        attributes = {
            KEY: str(number),
            WORKER: worker,
            RESULT: score.to_json(),
            "name": f"cell {number}",
            "draw": "uniform",
            "cell": cell.to_json(),
            "summary": cell.summary(),
        }
        values = study.values(cell, score)
        trial = create_trial(
            state=TrialState.COMPLETE,
            values=values,
            params=params_of(space, cell),
            distributions=bounds,
            user_attrs=attributes,
        )
        trial.datetime_start = trial.datetime_complete = datetime.datetime.now()
        storage.create_new_trial(study.ledger.study_id, trial)


@dataclasses.dataclass
class Times:
    """Times in milliseconds."""

    join: float
    ask: float
    tell: float

    @property
    def row(self) -> tuple[str, ...]:
        return f"{self.ask:.1f}", f"{self.tell:.1f}", f"{self.ask + self.tell:.1f}", f"{self.join / 1000:.2f}"


def _measure(location: str, folder: pathlib.Path, name: str, sampler: str) -> Times:
    start = time.perf_counter()
    study = _open(open_storage(location, folder, shared=False), name, sampler)
    study.ledger.refresh()
    study.open_tasks()
    join, asks, tells = time.perf_counter() - start, [], []
    for _ in range(_ROUNDS.value):
        start = time.perf_counter()
        study.ledger.refresh()
        lease = study.ledger.claim(study.open_tasks())
        asked = time.perf_counter()
        assert lease is not None
        cell = Cell.from_json(lease.task.attributes["cell"])
        score = _score(cell, study.config)
        told = time.perf_counter()
        study.ledger.finish(lease, study.values(cell, score), score.to_json())
        asks.append(asked - start)
        tells.append(time.perf_counter() - told)
    return Times(1000 * join, 1000 * statistics.median(asks), 1000 * statistics.median(tells))


@contextlib.contextmanager
def _location(storage: str, folder: pathlib.Path) -> Iterator[str]:
    """Yields the value of --storage for a kind of storage, or for a URL."""
    if storage != "proxy":
        yield {"journal": f"journal:{folder}/study.journal", "sqlite": f"sqlite:///{folder}/study.db"}.get(
            storage, storage
        )
        return
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROXY, f"sqlite:///{folder}/proxied.db", str(port)],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"grpc://localhost:{port}"
    finally:
        server.kill()
        server.wait()


def main(argv) -> None:
    """Prints the table."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        for kind in ("journal", *_STORAGES.value):
            with _location(kind, folder) as location:
                filled: dict[bool, str] = {}  # a study for the samplers of one objective, and one for those of two
                shown = kind.partition(":")[0]
                for sampler in _SAMPLERS.value if kind == "journal" else ["paper"]:
                    two = sampler == "nsga2"
                    if two not in filled:
                        filled[two] = f"benchmark {uuid.uuid4()}"
                        console.print(f"Filling {shown} with {_TRIALS.value} trials ...")
                        _fill(open_storage(location, folder, shared=False), filled[two], sampler)
                    rows.append((f"{shown}, {sampler}", *_measure(location, folder, filled[two], sampler).row))
    columns = ("storage, sampler", "ask, ms", "tell, ms", "both, ms", "join, s")
    print_table(f"{_TRIALS.value} finished trials, medians of {_ROUNDS.value}", columns, rows)


if __name__ == "__main__":
    app.run(main)
