"""Run by test_workers.py as a process of its own: a worker that scores cells by a hash instead of training them.

    python fake_worker.py STORAGE FOLDER ROLE

It prints what it does, and begins when FOLDER/go exists. In the role `late` it has few trials, and ends them only when
FOLDER/end exists.
"""

import dataclasses
import pathlib
import random
import sys
import time

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.search.service.attempt import Lease, Task
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.storage import open_storage
from deeplab_dpc.search.service.work import Outcome, work_off
from deeplab_dpc.search.study import SearchStudy

# 417 cells of two parameters: a database writes each in statements of its own.
CONFIG = SearchConfig(
    num_candidates=199, num_branches=1, cell_rates=tuple(range(1, 21)), warm_starts=("aspp",), num_best=5, seed=7
)
FEW = dataclasses.replace(CONFIG, num_candidates=1)
FEATURE_SHAPE = (24, 31, 320)


def fake_score(cell: Cell) -> ProxyScore:
    """A deterministic objective in [0, 1)."""
    return ProxyScore(int(cell.digest(), 16) % 100_003 / 100_003, 0.5, 0.0, steps=CONFIG.proxy_steps)


class PrintingWatch:
    """Says on stdout what happens."""

    def check(self) -> None:
        pass

    def finished(self, task: Task, outcome: Outcome) -> None:
        print("finished", task.key, flush=True)

    def rejected(self, task: Task) -> None:
        print("rejected", task.key, flush=True)


def wait_for(path: pathlib.Path) -> None:
    """Waits until a file exists."""
    while not path.exists():
        time.sleep(0.01)


def main(location: str, folder: pathlib.Path, role: str) -> None:
    """Works until the study is done."""
    config = FEW if role == "late" else CONFIG
    storage = open_storage(location, folder, shared=True)
    study = SearchStudy(storage, "search", config, FEATURE_SHAPE, Worker.current(), 600.0)
    print("ready", flush=True)
    wait_for(folder / "go")

    def perform(lease: Lease) -> Outcome:
        print("begun", lease.task.key, flush=True)
        if role == "late":
            wait_for(folder / "end")
        time.sleep(random.uniform(0.0, 0.02))
        score = fake_score(Cell.from_json(lease.task.attributes["cell"]))
        return Outcome([score.miou], score.to_json())

    work_off(study.ledger, study.open_tasks, study.is_done, perform, PrintingWatch())
    print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3])
