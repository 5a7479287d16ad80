"""One search from start to winner, by one worker or many; started again, it goes on where it stopped."""

import dataclasses
import fcntl
import functools
import pathlib
import time
from typing import Any

from optuna.storages import BaseStorage

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import DataConfig, ModelConfig, SearchConfig, ServiceConfig
from deeplab_dpc.config.search import END_TO_END
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.search import given_up
from deeplab_dpc.search.display import SearchWatch
from deeplab_dpc.search.evaluator import Candidate, Evaluator
from deeplab_dpc.search.feature_cache import FeatureCache
from deeplab_dpc.search.fidelity import read_fidelity
from deeplab_dpc.search.fidelity_report import fidelity_section
from deeplab_dpc.search.halving import HalvingRule
from deeplab_dpc.search.identity import Worker
from deeplab_dpc.search.ledger import RESULT, Lease, Ledger, Task
from deeplab_dpc.search.live import Stage, StudyObserver
from deeplab_dpc.search.membership import RERANK_EXTENDABLE, extendable, join
from deeplab_dpc.search.report import write_report
from deeplab_dpc.search.result import SearchResult
from deeplab_dpc.search.scored import GIVEN, Reranked
from deeplab_dpc.search.study import SearchStudy
from deeplab_dpc.search.work import Outcome, work_off

PROXY_FOLDER = "proxy"  # of the workdir: run directories of cells that are scored end to end at the moment
REPORT_SECONDS = 600.0  # between reports of a search that runs
RERANK_FOLDER = "rerank"  # of the workdir: a run directory for each re-ranked cell


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker of a search is given.

    Attributes:
      workdir: for its report, and for the runs of re-ranking.
      cache: features of the frozen backbone.
      config: of the search.
      service: where the study is kept.
      model: the network that re-ranking trains; its cell is replaced.
      data, dataset: for re-ranking; None where there is none.
      tf_initial_checkpoint, restore_moving_averages: where re-ranked networks start.
    """

    workdir: pathlib.Path
    cache: FeatureCache
    config: SearchConfig
    service: ServiceConfig
    model: ModelConfig
    data: DataConfig | None = None
    dataset: Dataset | None = None
    tf_initial_checkpoint: str | None = None
    restore_moving_averages: bool = False

    @property
    def feature_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the features that candidates are scored on."""
        return self.cache.split(self.config.eval_split).features.shape[1:]

    @property
    def train_split(self) -> str:
        """The split that cells are trained on."""
        return self.data.train_split if self.data else "train"

    @property
    def reranks(self) -> bool:
        """Whether there is something to re-rank, and something to train on."""
        return bool(self.config.rerank_top_k) and self.data is not None and self.dataset is not None

    def sections(self) -> dict[str, Any]:
        """The configuration that all workers share; with the data, where cells are scored on images."""
        sections = {"search": self.config, "model": self.model, "features": self.cache.path.name}
        return {**sections, "data": self.data} if self.config.proxy_features == END_TO_END else sections

    def records(self) -> dict[str, Any]:
        """A section with the digests of the records, where cells are scored on images."""
        if self.config.proxy_features != END_TO_END or self.data is None or self.dataset is None:
            return {}
        splits = dict.fromkeys([self.data.train_split, self.config.eval_split])
        return {"records": {split: self.dataset.fingerprint(split) for split in splits}}


def run_search(job: Job, storage: BaseStorage, watch: SearchWatch, reporting: bool = True) -> SearchResult:
    """Scores warm starts and candidates by proxy, re-ranks the best, and writes the report and cells/best.json.

    Args:
      job: what to do.
      storage: of the study.
      watch: is told what happens, and ends the work.
      reporting: whether this process writes the report; another one does where several work in one directory.
    """
    if job.reranks:
        # Here, so that a wrong flag is known before the search and not after it.
        from deeplab_dpc.search.rerank_network import rerank_network

        rerank_network(job.config, job.model, job.tf_initial_checkpoint, job.restore_moving_averages)
    worker = Worker.current()
    study, reranking = open_study(job, storage, worker), open_reranking(job, storage, worker)
    if job.service.retry_given_up:
        given_up.retry(study.ledger, reranking)
    watch.observe(lambda: observer(job, storage, study))
    reporter = Reporter(job, study, reranking)

    def open_tasks() -> list[Task]:
        tasks = study.open_tasks()
        if reporting and reporter.is_due():
            reporter.write()
        return tasks

    try:
        work_off(study.ledger, open_tasks, study.is_done, _Scoring(job, study, watch).perform, watch)
        if job.reranks:
            name = f"{job.service.study_name}/rerank"
            join(storage, reranking.study_id, name, {**job.sections(), "data": job.data}, RERANK_EXTENDABLE)
            _rerank(job, reranking, reporter.result(), watch)
    except (Stopped, KeyboardInterrupt):
        if reporting:
            reporter.write()
        raise
    if reporting:
        reporter.write()
    return reporter.result()


class Reporter:
    """Writes the report of a search, while it runs too.

    Args:
      job: of the search.
      study, reranking: what it has found.
    """

    def __init__(self, job: Job, study: SearchStudy, reranking: Ledger):
        self._job = job
        self._study = study
        self._reranking = reranking
        self._written = time.monotonic()

    def is_due(self) -> bool:
        """Whether the last report is so old that another is to be written."""
        return time.monotonic() - self._written > REPORT_SECONDS

    def result(self) -> SearchResult:
        """All that is known."""
        self._study.refresh()
        return search_result(self._study, self._reranking, self._job.feature_shape)

    def write(self) -> None:
        """Writes it; of several processes that do so in one directory at the same moment, one after another."""
        fidelity = read_fidelity(self._job.workdir)
        result = self.result()
        further = (None if fidelity is None else fidelity_section(fidelity), given_up.section(result.given_up))
        sections = [section for section in further if section is not None]
        with open(self._job.workdir / ".report.lock", "w", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            write_report(self._job.workdir, result, sections)
        self._written = time.monotonic()


def open_study(job: Job, storage: BaseStorage, worker: Worker) -> SearchStudy:
    """Joins the study of the search, or begins it.

    Raises:
      UserError: if the study is of another configuration.
    """
    name, lease = job.service.study_name, job.service.lease_seconds
    study = SearchStudy(storage, name, job.config, job.feature_shape, worker, lease, job.cache.output_stride)
    sections = {**job.sections(), **job.records()}
    join(storage, study.ledger.study_id, name, sections, extendable(job.config))
    return study


def open_reranking(job: Job, storage: BaseStorage, worker: Worker) -> Ledger:
    """The tasks of re-ranking."""
    return Ledger(storage, f"{job.service.study_name}/rerank", worker, job.service.lease_seconds)


def observer(job: Job, storage: BaseStorage, study: SearchStudy) -> StudyObserver:
    """Looks at the study, which must be there, for whoever wants to see how it goes."""
    worker = Worker.current()
    ledger = Ledger(storage, job.service.study_name, worker, job.service.lease_seconds)
    stages = [Stage("Cells", ledger, study.total)]
    if job.reranks:
        given = len(job.config.warm_starts) if job.config.rerank_warm_starts else 0
        reranked = min(job.config.rerank_top_k, job.config.num_candidates) + given
        stages.append(Stage("Re-ranking", open_reranking(job, storage, worker), reranked))
    return StudyObserver(stages)


def search_result(study: SearchStudy, reranking: Ledger, feature_shape: tuple[int, int, int]) -> SearchResult:
    """All that is known so far."""
    reranking.refresh()
    warm_starts, candidates = study.warm_starts(), study.candidates()
    reranked = []
    for scored in warm_starts + candidates:
        trial = reranking.finished.get(scored.cell.digest())
        if trial is not None:
            reranked.append(Reranked(scored, **trial.user_attrs[RESULT]))
    without = given_up.given_up(study.ledger, reranking)
    return SearchResult(study.config, feature_shape, warm_starts, candidates, reranked, without, study.output_stride)


def make_evaluator(job: Job) -> Evaluator:
    """What scores the cells of a job by proxy.

    Raises:
      UserError: if it needs data, and the job has none.
    """
    # Here, since a process that only looks on does without Keras.
    from deeplab_dpc.search.end_to_end import EndToEndEvaluator
    from deeplab_dpc.search.proxy import ProxyEvaluator

    if job.config.proxy_features != END_TO_END:
        return ProxyEvaluator(job.cache, job.config, job.train_split)
    if job.data is None or job.dataset is None:
        raise UserError("--proxy_features=end_to_end trains on images: give --data_dir.")
    initial = (job.tf_initial_checkpoint, job.restore_moving_averages)
    return EndToEndEvaluator(job.workdir / PROXY_FOLDER, job.model, job.data, job.config, job.dataset, *initial)


class _Scoring:
    """Scores one cell after another by proxy."""

    def __init__(self, job: Job, study: SearchStudy, watch: SearchWatch):
        self._job = job
        self._study = study
        self._watch = watch
        self._halving = HalvingRule(job.config)

    @functools.cached_property
    def _evaluator(self) -> Evaluator:
        return make_evaluator(self._job)

    def perform(self, lease: Lease) -> Outcome:
        task, config = lease.task, self._job.config
        cell = Cell.from_json(task.attributes["cell"])

        def on_step(step: int, loss: float) -> None:
            lease.check()
            self._watch.check()
            self._watch.step(task, step, config.proxy_steps, loss)

        def keep_going(rung: int, steps: int, miou: float) -> bool:
            self._study.ledger.report(lease, steps, miou)
            if task.attributes["draw"] == GIVEN:
                return True
            return self._halving.keep_going(self._study.visible_scores(int(task.key)), rung, miou)

        [score] = self._evaluator.evaluate([Candidate(cell, on_step, keep_going)], config.rung_steps)
        return Outcome(self._study.values(cell, score), score.to_json(), complete=score.steps == config.proxy_steps)


def _rerank(job: Job, ledger: Ledger, result: SearchResult, watch: SearchWatch) -> None:
    # Here, since it needs TensorFlow for the records, and the search up to here does not.
    from deeplab_dpc.search.rerank import rerank

    data, dataset = job.data, job.dataset
    if data is None or dataset is None:
        raise UserError("Re-ranking trains on images: give --data_dir.")
    chosen = {scored.cell.digest(): scored for scored in result.chosen_for_reranking()}
    tasks = [
        Task(
            key,
            {"name": scored.name, "draw": "re-ranked", "cell": scored.cell.to_json(), "summary": scored.cell.summary()},
        )
        for key, scored in chosen.items()
    ]

    def open_tasks() -> list[Task]:
        return [task for task in tasks if ledger.is_open(task.key)]

    def perform(lease: Lease) -> Outcome:
        cell = chosen[lease.task.key].cell
        steps = job.config.rerank_steps

        def on_step(step: int, loss: float) -> None:
            lease.check()
            watch.step(lease.task, step, steps, loss)

        root = job.workdir / RERANK_FOLDER
        initial = (job.tf_initial_checkpoint, job.restore_moving_averages)
        miou, seconds = rerank(root, cell, job.model, data, job.config, *initial, dataset, on_step)
        return Outcome([miou], {"miou": miou, "seconds": seconds, "run": str(root / cell.digest())})

    work_off(
        ledger,
        open_tasks,
        lambda: all(task.key in ledger.finished or ledger.is_given_up(task.key) for task in tasks),
        perform,
        watch,
    )
