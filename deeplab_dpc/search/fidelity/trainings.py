"""The trainings of the cells of a measurement, by proxy and end to end."""

import dataclasses
import math
from typing import Protocol

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.config import DataConfig
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.contest.hold_contest import CONTEST_FOLDER, contest_network
from deeplab_dpc.search.fidelity.measurement import FOLDER, RealScore
from deeplab_dpc.search.job import Job
from deeplab_dpc.search.proxy.cell_evaluator import Candidate, Evaluator, OnStep
from deeplab_dpc.search.runner import make_evaluator
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.search.service.attempt import Lease
from deeplab_dpc.search.service.display import SearchWatch


def required_data(job: Job) -> tuple[DataConfig, Dataset]:
    """Returns the data configuration and the data set of a job.

    Raises:
      UserError: if it has none.
    """
    if job.data is None or job.dataset is None:
        raise UserError("--data_dir is required with --mode=fidelity: cells are trained end to end too.")
    return job.data, job.dataset


class Trainings(Protocol):
    """The trainings of a cell with a seed, by proxy and end to end."""

    def by_proxy(self, cell: Cell, seed: int, lease: Lease) -> ProxyScore: ...

    def for_real(self, cell: Cell, seed: int, lease: Lease) -> RealScore: ...


class SearchTrainings:
    """Trainings by the search's own proxy, and by the normal trainer as re-ranking uses it.

    Args:
      job: job of the search.
      watch: display of the work, which can also stop it.

    Raises:
      UserError: if the job has no data to train on.
    """

    def __init__(self, job: Job, watch: SearchWatch):
        self._job = job
        self._watch = watch
        self._data, self._dataset = required_data(job)
        self._evaluator: tuple[int, Evaluator] | None = None  # of the last seed: a split's targets are large

    def by_proxy(self, cell: Cell, seed: int, lease: Lease) -> ProxyScore:
        if self._evaluator is None or self._evaluator[0] != seed:
            self._evaluator = (seed, make_evaluator(self._job_of(seed)))
        config = self._job.config
        candidate = Candidate(cell, self._on_step(lease, config.proxy_steps))
        [score] = self._evaluator[1].evaluate([candidate], (config.proxy_steps,))
        return score

    def for_real(self, cell: Cell, seed: int, lease: Lease) -> RealScore:
        # Imported here, since it needs TensorFlow for the records.
        from deeplab_dpc.search.contest.finalist_training import train_finalist

        job, steps = self._job, self._job.config.rerank_steps
        root, network, on_step = job.workdir / CONTEST_FOLDER, contest_network(job), self._on_step(lease, steps)
        # A contest of one round has the same runs; those that it has finished are not trained again.
        trained = train_finalist(root, cell, seed, (steps,), network, self._data, job.config, self._dataset, on_step)
        if math.isnan(trained.miou):
            raise UserError(f"The split {job.config.eval_split} has no labelled pixel, so that it cannot score cells.")
        return RealScore(trained.miou, round(trained.seconds, 1))

    def _job_of(self, seed: int) -> Job:
        """Returns the job with another seed, and without the lower rungs, whose scores are not needed."""
        config = dataclasses.replace(self._job.config, seed=seed, halving_rungs=1)
        is_first = seed == self._job.config.seed
        workdir = self._job.workdir if is_first else self._job.workdir / FOLDER / f"seed_{seed}"
        return dataclasses.replace(self._job, config=config, workdir=workdir)

    def _on_step(self, lease: Lease, steps: int) -> OnStep:
        def on_step(step: int, loss: float) -> None:
            lease.check()
            self._watch.check()
            self._watch.step(lease.task, step, steps, loss)

        return on_step
