"""What is shown of a study, by results and times given by hand."""

import io
import math

import pytest
from optuna.storages import InMemoryStorage
from rich.console import Console

from deeplab_dpc.search.service import display
from deeplab_dpc.search.service.display import StudyView, result_line, status_line, with_local_workers, worker_table
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import Ledger, Task
from deeplab_dpc.search.service.live import Best, Progress, Rate, Stage, StudyObserver, WorkerState

LEASE = 30.0
NEAR = Worker("near", 7, None, None, "a")
FAR = Worker("far", 8, None, None, "b")


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Study:
    """Two workers, and whoever looks."""

    def __init__(self, cells=4, reranked=0):
        self.clock, self.storage = Clock(), InMemoryStorage()
        self.near, self.far = (self._ledger("search", worker) for worker in (NEAR, FAR))
        self.reranking = self._ledger("search/rerank", NEAR)
        eye = Worker("eye", 9, None, None, "c")
        stages = [Stage("Cells", self._ledger("search", eye), cells)]
        stages += [Stage("Re-ranking", self._ledger("search/rerank", eye), reranked)]
        self.observer = StudyObserver(stages, self.clock)

    def _ledger(self, name, worker):
        return Ledger(self.storage, name, worker, LEASE, clock=self.clock)

    def begin(self, ledger, number, draw="uniform"):
        ledger.refresh()
        name = f"cell {number}"
        return ledger.claim([Task(str(number), {"name": name, "draw": draw, "summary": f"B>{number}"})])

    def do(self, ledger, number, miou, draw="uniform", complete=True):
        ledger.finish(self.begin(ledger, number, draw), [miou], {"miou": miou}, complete)


def _progress(**changes):
    state = {
        "stage": "Cells", "done": 12, "total": 1100, "best": None, "per_hour": None, "lost": 0, "given_up": 0,
        "workers": (),
    }  # fmt: skip
    return Progress(**{**state, **changes})


def test_rate_is_of_what_was_finished_while_it_was_looked():
    rate = Rate()
    assert rate.see(0.0, 50) is None
    assert rate.see(30.0, 50) is None
    assert rate.see(60.0, 51) == 60.0
    assert rate.see(120.0, 51) == 30.0  # nothing more came


def test_rate_follows_the_last_quarter_of_an_hour():
    rate = Rate()
    for minute in range(31):
        rate.see(60.0 * minute, 10 * minute)
    for minute in range(31, 61):
        last = rate.see(60.0 * minute, 300 + (minute - 30))
    assert last == pytest.approx(60.0)


def test_empty_study():
    progress = Study().observer.look()
    assert (progress.stage, progress.done, progress.total, progress.best, progress.workers) == ("Cells", 0, 4, None, ())


def test_best_is_a_candidate_that_was_trained_to_the_end():
    study = Study()
    study.do(study.near, 0, 0.9, draw="given")
    study.do(study.near, 1, 0.8, complete=False)
    study.do(study.far, 2, 0.3)
    study.do(study.far, 3, 0.2)
    assert study.observer.look().best == Best(0.3, "cell 2", "B>2")


def test_workers_are_seen_by_their_leases():
    study = Study()
    study.do(study.far, 0, 0.5)
    study.begin(study.near, 1)
    study.observer.look()
    study.clock.now += 8.0
    progress = study.observer.look()
    assert progress.workers == (WorkerState("near:7", "cell 1 (uniform)", 8.0, 0),)
    study.do(study.far, 2, 0.1)
    progress = study.observer.look()
    assert progress.workers[0] == WorkerState("far:8", "waits", None, 2)
    assert [trial.user_attrs["name"] for trial in progress.finished] == ["cell 2"]


def test_silent_worker_loses_its_cell_and_is_counted():
    study = Study()
    study.begin(study.near, 0)
    for _ in range(6):  # what is not looked at counts no more than a renewal
        study.observer.look()
        study.clock.now += 10.0
    progress = study.observer.look()
    assert (progress.lost, progress.done) == (1, 0)
    assert "1 lost attempt" in status_line(progress)


def test_stages_follow_each_other():
    study = Study(cells=1, reranked=2)
    study.do(study.near, 0, 0.5)
    assert (study.observer.look().stage, study.observer.look().total) == ("Re-ranking", 2)
    study.do(study.reranking, 5, 0.6)
    assert study.observer.look().best == Best(0.6, "cell 5", "B>5")
    assert status_line(study.observer.look()).startswith("Re-ranking: 1 of 2")


def test_last_results_of_a_stage_are_news_in_the_next():
    study = Study(cells=1, reranked=1)
    study.observer.look()
    study.do(study.near, 0, 0.5)
    study.do(study.reranking, 5, 0.6)
    progress = study.observer.look()
    assert [trial.user_attrs["name"] for trial in progress.finished] == ["cell 0", "cell 5"]


def test_study_without_re_ranking_ends_with_its_cells():
    without = Study(cells=1)
    without.do(without.near, 0, 0.5)
    assert (without.observer.look().stage, without.observer.look().done) == ("Cells", 1)


def test_status_line():
    busy = WorkerState("w", "cell 3 (uniform)", 2.0, 1)
    waiting = WorkerState("v", "waits", None, 1)
    state = _progress(best=Best(0.43219, "cell 7", "B>1x1"), per_hour=120.0, workers=(busy, waiting), given_up=2)
    assert status_line(state) == (
        "Cells: 12 of 1,100, best 0.4322 (cell 7), 120 an hour, 9.1 h left, 1 worker at work, 2 given up"
    )
    assert status_line(_progress()) == "Cells: 12 of 1,100, 0 workers at work"
    assert math.isclose(state.left_seconds, 1088 / 120 * 3600)


def test_line_of_a_result():
    attributes = {"name": "cell 3", "draw": "uniform", "summary": "B>1x1"}
    result = {"miou": 0.25, "loss": None, "seconds": 2.0, "steps": 5}  # it diverged
    line = result_line(attributes, result, complete=False)
    assert " ".join(line.split()) == "cell 3 uniform mIOU 0.2500 2.0 s stopped after 5 steps B>1x1"


def test_local_workers_have_their_names_and_are_shown_before_their_first_cell():
    state = _progress(
        workers=(WorkerState("near:7", "cell 1 (uniform)", 1.0, 3), WorkerState("far:8", "waits", None, 2))
    )
    shown = with_local_workers(state, {"near:7": "worker 1", "near:9": "worker 2"}).workers
    assert [(worker.name, worker.doing) for worker in shown] == [
        ("far:8", "waits"),
        ("worker 1 (near:7)", "cell 1 (uniform)"),
        ("worker 2 (near:9)", "starts, or waits"),
    ]


def test_long_table_of_workers_is_cut():
    table = worker_table(tuple(WorkerState(f"w{i}", "waits", None, 0) for i in range(25)))
    assert table.row_count == 21
    assert list(table.columns[0].cells)[-1] == "and 5 more"


@pytest.fixture
def log(monkeypatch):
    console = Console(file=io.StringIO(), width=140, highlight=False, markup=False)
    monkeypatch.setattr(display, "console", console)
    return console.file


def test_log_has_a_line_a_minute(log):
    clock = Clock()
    with StudyView(clock) as view:
        for seconds, done in ((0, 1), (30, 2), (29, 3), (1, 4)):
            clock.now += seconds
            view.show(_progress(done=done))
    assert [line.split(",")[0] for line in log.getvalue().splitlines()] == ["Cells: 1 of 1", "Cells: 4 of 1"]


def test_terminal_has_the_bar_the_best_and_the_workers(monkeypatch):
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None, legacy_windows=False)
    monkeypatch.setattr(display, "console", console)
    worker = WorkerState("near:7", "cell 1 (uniform)", 65.0, 3)
    with StudyView() as view:
        view.show(_progress(best=Best(0.5, "cell 7", "B>1x1"), per_hour=60.0, workers=(worker,)))
        view.notes["cell 1"] = "step 3 of 4"
        with console.capture() as captured:
            console.print(view._render())
    lines = captured.get().splitlines()
    assert lines[0].endswith("12 of 1,100, 60 an hour, 18.1 h left")
    assert lines[1] == "best: 0.5000  cell 7  B>1x1"
    assert " ".join(lines[3].split()) == "near:7 cell 1 (uniform) 65 s ago 3"
    assert lines[4] == "cell 1: step 3 of 4"
