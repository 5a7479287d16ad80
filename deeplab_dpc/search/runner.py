"""One search from start to winner, by one worker or many; started again, it goes on where it stopped."""

import dataclasses
import functools
import pathlib
import time
from typing import Any

from optuna.storages import BaseStorage

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import DataConfig, ModelConfig, SearchConfig, ServiceConfig
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.search.display import SearchWatch
from deeplab_dpc.search.evaluator import Evaluator
from deeplab_dpc.search.feature_cache import FeatureCache
from deeplab_dpc.search.halving import HalvingRule
from deeplab_dpc.search.identity import Worker
from deeplab_dpc.search.ledger import RESULT, Lease, Ledger, Task, results
from deeplab_dpc.search.membership import join
from deeplab_dpc.search.proxy import ProxyEvaluator
from deeplab_dpc.search.report import write_report
from deeplab_dpc.search.result import SearchResult
from deeplab_dpc.search.scored import GIVEN, Reranked
from deeplab_dpc.search.study import SearchStudy
from deeplab_dpc.search.work import Outcome, work_off

RERANK_FOLDER = "rerank"  # of the workdir: a run directory for each re-ranked cell
# What workers of one search may differ in: how many cells, and re-ranking, whose runs check their own configuration.
EXTENDABLE = (
    "search.num_candidates",
    *(f"search.{name}" for name in SearchConfig.__dataclass_fields__ if name.startswith("rerank_")),
    *(f"data.{name}" for name in DataConfig.__dataclass_fields__ if name != "train_split"),
)


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
    def train_split(self) -> str:
        """The split that cells are trained on."""
        return self.data.train_split if self.data else "train"

    def sections(self) -> dict[str, Any]:
        """The configuration that all workers share."""
        return {"search": self.config, "model": self.model, "features": self.cache.path.name}


def run_search(job: Job, storage: BaseStorage, watch: SearchWatch) -> SearchResult:
    """Scores warm starts and candidates by proxy, re-ranks the best, and writes the report and cells/best.json."""
    worker = Worker.current()
    feature_shape = job.cache.split(job.config.eval_split).features.shape[1:]
    name, lease = job.service.study_name, job.service.lease_seconds
    study = SearchStudy(storage, name, job.config, feature_shape, worker, lease)
    join(storage, study.ledger.study_id, name, job.sections(), EXTENDABLE)
    reranking = Ledger(storage, f"{name}/rerank", worker, lease)
    watch.stage("Cells", study.total)
    scoring = _Scoring(job, study, watch)

    def open_tasks() -> list[Task]:
        tasks = study.open_tasks()
        watch.advanced(study.finished, study.best_miou())
        return tasks

    work_off(study.ledger, open_tasks, study.is_done, scoring.perform, watch)
    result = search_result(study, reranking, feature_shape)
    write_report(job.workdir, result)
    if job.config.rerank_top_k and job.dataset is not None:
        _rerank(job, reranking, result, watch)
        result = search_result(study, reranking, feature_shape)
        write_report(job.workdir, result)
    return result


def search_result(study: SearchStudy, reranking: Ledger, feature_shape: tuple[int, int, int]) -> SearchResult:
    """All that is known so far."""
    reranking.refresh()
    warm_starts, candidates = study.warm_starts(), study.candidates()
    reranked = []
    for scored in warm_starts + candidates:
        trial = reranking.finished.get(scored.cell.digest())
        if trial is not None:
            reranked.append(Reranked(scored, **trial.user_attrs[RESULT]))
    return SearchResult(study.config, feature_shape, warm_starts, candidates, reranked)


class _Scoring:
    """Scores one cell after another by proxy."""

    def __init__(self, job: Job, study: SearchStudy, watch: SearchWatch):
        self._job = job
        self._study = study
        self._watch = watch
        self._halving = HalvingRule(job.config)

    @functools.cached_property
    def _evaluator(self) -> Evaluator:
        return ProxyEvaluator(self._job.cache, self._job.config, self._job.train_split)

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

        score = self._evaluator.score(cell, on_step, keep_going)
        return Outcome(self._study.values(cell, score), score.to_json(), complete=score.steps == config.proxy_steps)


def _rerank(job: Job, ledger: Ledger, result: SearchResult, watch: SearchWatch) -> None:
    # Here, since it needs TensorFlow for the records, and the search up to here does not.
    from deeplab_dpc.search.rerank import rerank

    chosen = {scored.cell.digest(): scored for scored in result.chosen_for_reranking()}
    tasks = [
        Task(
            key,
            {"name": scored.name, "draw": "re-ranked", "cell": scored.cell.to_json(), "summary": scored.cell.summary()},
        )
        for key, scored in chosen.items()
    ]
    watch.stage("Re-ranking", len(tasks))

    def open_tasks() -> list[Task]:
        done = results(ledger, chosen)
        watch.advanced(len(done), max((entry["miou"] for entry in done.values()), default=None))
        return [task for task in tasks if ledger.is_open(task.key)]

    def perform(lease: Lease) -> Outcome:
        cell = chosen[lease.task.key].cell
        initial = (job.tf_initial_checkpoint, job.restore_moving_averages)
        start = time.monotonic()
        miou = rerank(job.workdir / RERANK_FOLDER, cell, job.model, job.data, job.config, *initial, job.dataset)
        run = str(job.workdir / RERANK_FOLDER / cell.digest())
        return Outcome([miou], {"miou": miou, "seconds": round(time.monotonic() - start, 1), "run": run})

    work_off(
        ledger,
        open_tasks,
        lambda: all(task.key in ledger.finished or ledger.is_given_up(task.key) for task in tasks),
        perform,
        watch,
    )
