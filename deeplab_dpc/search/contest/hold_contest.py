"""The run of a search's contest, by one worker or many; it continues when it is started again."""

from typing import TYPE_CHECKING

from optuna.storages import BaseStorage
from optuna.trial import TrialState

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError
from deeplab_dpc.search import words
from deeplab_dpc.search.contest.result import SearchResult
from deeplab_dpc.search.contest.tasks import Contest
from deeplab_dpc.search.job import Job
from deeplab_dpc.search.service.attempt import Lease
from deeplab_dpc.search.service.display import SearchWatch
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import Ledger
from deeplab_dpc.search.service.membership import CONTEST_EXTENDABLE, join
from deeplab_dpc.search.service.work import Outcome, work_off

if TYPE_CHECKING:
    from deeplab_dpc.search.contest.network import RerankNetwork

CONTEST_FOLDER = "contest"  # in the workdir: run directories of finalists


def contest_name(study_name: str) -> str:
    """Returns the name of the contest's Optuna study."""
    return f"{study_name}/contest"


def print_what_is_not_used(job: Job, storage: BaseStorage, ledger: Ledger) -> None:
    """Prints, before the first training, that trainings of an earlier version do not count here."""
    earlier = f"{job.service.study_name}/rerank"
    if ledger.finished or earlier not in {study.study_name for study in storage.get_all_studies()}:
        return
    study_id = storage.get_study_id_from_name(earlier)
    done = [trial for trial in storage.get_all_trials(study_id, deepcopy=False) if trial.state == TrialState.COMPLETE]
    if done:
        console.print(
            f"Not used: the real training of {words.count(len(done), 'cell')} by an earlier version, which "
            "could initialise more than the backbone of a cell from the checkpoint, so that its scores are "
            "not comparable."
        )


def open_contest(job: Job, storage: BaseStorage, worker: Worker) -> Ledger:
    """Returns the ledger of the contest."""
    return Ledger(storage, contest_name(job.service.study_name), worker, job.service.lease_seconds)


def contest_network(job: Job) -> "RerankNetwork":
    """Returns the network in which finalists are trained.

    Raises:
      UserError: if its flags contradict each other.
    """
    # Imported here, since a process that only observes does not need Keras.
    from deeplab_dpc.search.contest.network import rerank_network

    return rerank_network(job.config, job.model, job.initial)


def hold_contest(job: Job, storage: BaseStorage, ledger: Ledger, result: SearchResult, watch: SearchWatch) -> None:
    """Works on the contest until it is decided.

    Args:
      job: job of the search.
      storage: storage of the study.
      ledger: ledger of the contest.
      result: result of the search by proxy, with the finalists.
      watch: display of the work, which can also stop it.

    Raises:
      UserError: if the contest was begun with another configuration, or there is no data.
    """
    # Imported here, since it needs TensorFlow for the records, which the search up to here does not need.
    from deeplab_dpc.search.contest.finalist_training import train_finalist

    data, dataset, network = job.data, job.dataset, contest_network(job)
    if data is None or dataset is None:
        raise UserError("The contest trains on images: give --data_dir.")
    join(
        storage,
        ledger.study_id,
        contest_name(job.service.study_name),
        {**job.sections(), "data": data},
        CONTEST_EXTENDABLE,
    )
    if result.contest is None:
        return  # no cell was scored
    print_what_is_not_used(job, storage, ledger)
    contest = Contest(ledger, result.contest.rounds[0].entrants, job.config)

    def perform(lease: Lease) -> Outcome:
        attributes = lease.task.attributes
        seed, ladder = attributes["seed"], tuple(attributes["ladder"])

        def on_step(step: int, loss: float) -> None:
            lease.check()
            watch.step(lease.task, step, ladder[-1], loss)

        root, cell = job.workdir / CONTEST_FOLDER, Cell.from_json(attributes["cell"])
        trained = train_finalist(root, cell, seed, ladder, network, data, job.config, dataset, on_step)
        return Outcome([trained.miou], trained.to_json())

    work_off(ledger, contest.open_tasks, contest.is_done, perform, watch)
