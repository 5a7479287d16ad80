"""The run of a whole search, by one worker or many; it continues when it is started again."""

import dataclasses
import fcntl
import functools
import time
from collections.abc import Callable, Sequence

from optuna.storages import BaseStorage

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config.search import END_TO_END
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.search.contest.best_cells import write_cells
from deeplab_dpc.search.contest.hold_contest import contest_network, hold_contest, open_contest
from deeplab_dpc.search.contest.result import SearchResult
from deeplab_dpc.search.contest.rounds import contest_rounds
from deeplab_dpc.search.contest.tasks import Contest
from deeplab_dpc.search.job import NEEDS_IMAGES, Job
from deeplab_dpc.search.proxy.cell_evaluator import Candidate, Evaluator, HalvingRule
from deeplab_dpc.search.reporting.report_page import ReportSection
from deeplab_dpc.search.reporting.search_report import write_report
from deeplab_dpc.search.scored import GIVEN
from deeplab_dpc.search.service import given_up
from deeplab_dpc.search.service.attempt import Lease, Task
from deeplab_dpc.search.service.display import SearchWatch
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import Ledger
from deeplab_dpc.search.service.live import Stage, StudyObserver
from deeplab_dpc.search.service.membership import extendable, join
from deeplab_dpc.search.service.work import Outcome, work_off
from deeplab_dpc.search.study import SearchStudy

PROXY_FOLDER = "proxy"  # in the workdir: run directories of cells that are currently scored end to end
REPORT_SECONDS = 600.0  # time between the reports of a running search


def run_search(
    job: Job,
    storage: BaseStorage,
    watch: SearchWatch,
    reporting: bool = True,
    further_sections: Callable[[], Sequence[ReportSection]] = tuple,
) -> SearchResult:
    """Scores warm starts and candidates by proxy, holds the contest, and writes the report and cells/best.json.

    Args:
      job: configuration and data of the search.
      storage: storage of the study.
      watch: display of the work, which can also stop it.
      reporting: bool, whether this process writes the report; of several processes in one directory, only one does.
      further_sections: function that returns the last sections of the report, called each time that it is written.
    """
    if job.has_contest:
        contest_network(job)  # so that a wrong flag is reported before the search and not after it
    worker = Worker.current()
    study, ledger = open_study(job, storage, worker), open_contest(job, storage, worker)
    if job.service.retry_given_up:
        given_up.retry(study.ledger, ledger)
    watch.observe(lambda: observer(job, storage, study))
    reporter = Reporter(job, study, ledger, further_sections)

    def open_tasks() -> list[Task]:
        tasks = study.open_tasks()
        if reporting and reporter.is_due():
            reporter.write()
        return tasks

    try:
        work_off(study.ledger, open_tasks, study.is_done, _Scoring(job, study, watch).perform, watch)
        if job.has_contest:
            hold_contest(job, storage, ledger, reporter.result(), watch)
    except (Stopped, KeyboardInterrupt):
        if reporting:
            reporter.write()
        raise
    if reporting:
        reporter.write()
    return reporter.result()


class Reporter:
    """Writes the report of a search, also while it runs.

    Args:
      job: job of the search.
      study: study with the scores by proxy.
      contest: ledger of the contest.
      further_sections: function that returns the last sections of the report, called each time that it is written.
    """

    def __init__(
        self,
        job: Job,
        study: SearchStudy,
        contest: Ledger,
        further_sections: Callable[[], Sequence[ReportSection]] = tuple,
    ):
        self._job = job
        self._study = study
        self._contest = contest
        self._further_sections = further_sections
        self._written = time.monotonic()

    def is_due(self) -> bool:
        """Returns whether the last report is old enough for another one."""
        return time.monotonic() - self._written > REPORT_SECONDS

    def result(self) -> SearchResult:
        """Returns the current result."""
        self._study.refresh()
        return search_result(self._study, self._contest, self._job.feature_shape, self._job.has_contest)

    def write(self) -> None:
        """Writes report and cells; processes that share a directory take turns."""
        sections = self._further_sections()
        result = self.result()
        with open(self._job.workdir / ".report.lock", "w", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            write_cells(self._job.workdir, result)
            write_report(self._job.workdir, result, sections)
        self._written = time.monotonic()


def open_study(job: Job, storage: BaseStorage, worker: Worker) -> SearchStudy:
    """Joins the study of the search, or creates it.

    Raises:
      UserError: if the study has another configuration.
    """
    name, lease = job.service.study_name, job.service.lease_seconds
    study = SearchStudy(storage, name, job.config, job.feature_shape, worker, lease, job.cache.output_stride)
    sections = {**job.sections(), **job.records()}
    join(storage, study.ledger.study_id, name, sections, extendable(job.config))
    return study


def observer(job: Job, storage: BaseStorage, study: SearchStudy) -> StudyObserver:
    """Returns an observer of an existing study, for displays of its progress."""
    worker = Worker.current()
    ledger = Ledger(storage, job.service.study_name, worker, job.service.lease_seconds)
    stages = [Stage("Cells", ledger, study.total)]
    if job.has_contest:
        given = len(job.config.warm_starts) if job.config.rerank_warm_starts else 0
        finalists = min(job.config.rerank_top_k, job.config.num_candidates) + given
        trainings = finalists * sum(one.seeds for one in contest_rounds(job.config))
        stages.append(Stage("Contest", open_contest(job, storage, worker), trainings))
    return StudyObserver(stages)


def search_result(
    study: SearchStudy, ledger: Ledger, feature_shape: tuple[int, int, int], has_contest: bool
) -> SearchResult:
    """Returns the current result of a search.

    Args:
      study: study with the scores by proxy.
      ledger: ledger of the contest. A cell that was trained end to end stays a finalist, even if a search continued
        with more candidates has found better ones by proxy.
      feature_shape: (height, width, channels) of the evaluation split's features.
      has_contest: bool, whether a contest is configured.
    """
    ledger.refresh()
    warm_starts, candidates = study.warm_starts(), study.candidates()
    without = given_up.given_up(study.ledger, ledger)
    result = SearchResult(
        study.config, feature_shape, warm_starts, candidates, given_up=without, output_stride=study.output_stride
    )
    trained = {trial.user_attrs["cell_digest"] for trial in ledger.finished.values()}
    finalists = result.finalists() if has_contest and study.is_done() else []
    finalists += [one for one in warm_starts + candidates if one.cell.digest() in trained]
    if not finalists:
        return result
    return dataclasses.replace(result, contest=Contest(ledger, finalists, study.config).outcome())


def make_evaluator(job: Job) -> Evaluator:
    """Returns the evaluator that scores the cells of a job by proxy.

    Raises:
      UserError: if it needs data, and the job has none.
    """
    # Imported here, since a process that only observes does not need Keras.
    from deeplab_dpc.search.proxy.end_to_end import EndToEndEvaluator
    from deeplab_dpc.search.proxy.proxy_evaluator import ProxyEvaluator

    if job.config.proxy_features != END_TO_END:
        return ProxyEvaluator(job.cache, job.config, job.train_split)
    if job.data is None or job.dataset is None:
        raise UserError(NEEDS_IMAGES)
    return EndToEndEvaluator(job.workdir / PROXY_FOLDER, job.model, job.data, job.config, job.dataset, job.initial)


class _Scoring:
    """Scores open cells by proxy, one after another."""

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
