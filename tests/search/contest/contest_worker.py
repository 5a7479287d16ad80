"""Run by test_contest_workers.py as a process of its own: a worker of a contest whose trainings are made up.

    python contest_worker.py STORAGE FOLDER STEPS

It prints what it does. In its first training of so many steps it hangs, until it is killed; 0 for none.
"""

import pathlib
import random
import sys
import time

from contest_trainings import CONFIG, FINALISTS, fake_training

from deeplab_dpc.search.contest.tasks import Contest
from deeplab_dpc.search.service.attempt import Lease, Task
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import Ledger
from deeplab_dpc.search.service.storage import open_storage
from deeplab_dpc.search.service.work import Outcome, work_off


class PrintingWatch:
    """Says on stdout what happens."""

    def check(self) -> None:
        pass

    def finished(self, task: Task, outcome: Outcome) -> None:
        print("finished", task.key, flush=True)

    def rejected(self, task: Task) -> None:
        print("rejected", task.key, flush=True)


def main(location: str, folder: pathlib.Path, hangs: int) -> None:
    """Works until the contest is over, and prints the winner."""
    ledger = Ledger(open_storage(location, folder, shared=True), "contest", Worker.current(), 600.0)
    contest = Contest(ledger, FINALISTS, CONFIG)

    def perform(lease: Lease) -> Outcome:
        print("begun", lease.task.key, flush=True)
        if lease.task.attributes["ladder"][-1] == hangs:
            time.sleep(3600)
        time.sleep(random.uniform(0.02, 0.1))
        trained = fake_training(lease.task.attributes)
        return Outcome([trained.miou], trained.to_json())

    work_off(ledger, contest.open_tasks, contest.is_done, perform, PrintingWatch())
    print("winner", contest.outcome().standings[0].scored.name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]))
