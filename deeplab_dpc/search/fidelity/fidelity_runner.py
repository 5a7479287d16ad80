"""A measurement of the proxy's fidelity from start to report, by one worker or many; it continues when it is started
again.
"""

from collections.abc import Mapping
from typing import Any

from optuna.storages import BaseStorage

from deeplab_dpc.arch.cell_formulas import cell_cost, receptive_field
from deeplab_dpc.config import FidelityConfig, encode
from deeplab_dpc.config.search import END_TO_END
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.fidelity.fidelity_report import write_fidelity
from deeplab_dpc.search.fidelity.fidelity_tasks import FidelityTasks, MeasuredCell
from deeplab_dpc.search.fidelity.measured_cells import aspp_subsets, mixed_cells
from deeplab_dpc.search.fidelity.measurement import FOLDER, MIXED, SUBSET, TOP, FidelityResult, FidelityRow
from deeplab_dpc.search.fidelity.other_proxies import known_reals
from deeplab_dpc.search.fidelity.trainings import Trainings, required_data
from deeplab_dpc.search.job import Job
from deeplab_dpc.search.runner import open_study
from deeplab_dpc.search.samplers.constraints import Constraints
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.search.service import given_up
from deeplab_dpc.search.service.display import SearchWatch
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import Ledger
from deeplab_dpc.search.service.live import Stage, StudyObserver
from deeplab_dpc.search.service.membership import BACKBONE_ALONE, OF_CONTEST, PLACES, START, join
from deeplab_dpc.search.service.storage import persistently
from deeplab_dpc.search.service.work import work_off

# Fields that a later start may change: they add cells, or have no effect on the cells.
FIDELITY_EXTENDABLE = (
    *PLACES,
    "search.num_candidates",
    "search.rerank_top_k",
    "search.rerank_warm_starts",
    *(f"search.{name}" for name in OF_CONTEST if name.startswith("contest_")),
)


def measure_fidelity(
    job: Job,
    config: FidelityConfig,
    storage: BaseStorage,
    trainings: Trainings,
    watch: SearchWatch,
    others: Mapping[str, FidelityResult] | None = None,
) -> FidelityResult:
    """Trains cells by proxy and end to end, writes the report, and returns the measurement.

    Args:
      job: job of the search.
      config: configuration of the measurement, with its cells and the number of seeds.
      storage: storage of the search.
      trainings: trainings of the cells by proxy and end to end.
      watch: display of the work, which can also stop it.
      others: measurements with other proxies, by workdir, with the same protocol of real training.

    Raises:
      UserError: if the best cells are requested and the search is not finished, or the storage holds a measurement with
        other settings.
    """
    name = f"{job.service.study_name}/{FOLDER}"
    worker = Worker.current()
    subsets = aspp_subsets() if config.fidelity_subsets else {}
    constraints = Constraints.from_config(job.config, job.feature_shape, job.cache.output_stride)
    mixed = mixed_cells(job.config, constraints, config.fidelity_mixed)
    cells = [
        MeasuredCell(name, group, cell)
        for group, named in ((SUBSET, subsets), (MIXED, mixed))
        for name, cell in named.items()
    ]
    known: dict[str, ProxyScore] = {}
    if config.fidelity_top_k:
        top, known = _best_of_search(job, config, storage, worker)
        cells += top
    ledger = Ledger(storage, name, worker, job.service.lease_seconds)
    join(
        storage,
        ledger.study_id,
        name,
        {**job.sections(), "data": job.data, START: BACKBONE_ALONE},
        FIDELITY_EXTENDABLE,
    )
    if job.service.retry_given_up:
        given_up.retry(ledger)
    seeds = range(job.config.seed, job.config.seed + config.fidelity_seeds)
    tasks = FidelityTasks(ledger, cells, seeds, known, known_reals(others or {}))

    def observer() -> StudyObserver:
        seen = Ledger(storage, name, Worker.current(), job.service.lease_seconds)
        return StudyObserver([Stage("Trainings", seen, len(tasks.tasks))])

    watch.observe(observer)
    work_off(ledger, tasks.open_tasks, tasks.is_done, lambda lease: tasks.perform(lease, trainings), watch)
    result = _result(job, config, tasks)
    write_fidelity(job.workdir / FOLDER, result, others or {})
    return result


def real_protocol(job: Job) -> dict[str, Any]:
    """Returns all settings of the real trainings but the seed, as JSON by name; equal ones make scores comparable."""
    # Imported here, since it needs Keras, which the rest of a measurement's planning does not need.
    from deeplab_dpc.checkpoint.restore import source_digest

    data, dataset = required_data(job)
    no_part = {"rerank_top_k", "rerank_warm_starts", "rerank_initial_checkpoint"}
    training = {
        name: encode(getattr(job.config, name))
        for name in ("eval_split", "label_weights", *OF_CONTEST)
        if not name.startswith("contest_") and name not in no_part
    }
    of_data = {name: value for name, value in data.to_json().items() if f"data.{name}" not in PLACES}
    start = job.config.rerank_initial_checkpoint or job.initial.checkpoint
    return {
        **training,
        **job.model.to_json(),
        **of_data,
        "records": {split: dataset.fingerprint(split) for split in (data.train_split, job.config.eval_split)},
        "start": None if start is None else source_digest(start),
        "restore_moving_averages": job.initial.moving_averages,
    }


def proxy_words(job: Job) -> str:
    """Returns the proxy's settings as text."""
    config = job.config
    views = 0 if config.proxy_features == END_TO_END else job.cache.split(job.train_split).views
    said = [
        f"{config.proxy_steps:,} steps of {config.proxy_batch_size}",
        f"rate {config.proxy_learning_rate:g}",
        config.proxy_precision,
        f"{config.proxy_features} features",
        *([f"{views} views"] if views > 1 else []),
        f"ranked by {config.proxy_signal}",
    ]
    return ", ".join(said)


def _best_of_search(
    job: Job, config: FidelityConfig, storage: BaseStorage, worker: Worker
) -> tuple[list[MeasuredCell], dict[str, ProxyScore]]:
    """Returns the best cells of the search, and the proxy scores, by digest, of all cells trained for the whole
    budget.
    """
    name, instead = job.service.study_name, "or pass --fidelity_top_k=0 for only the subsets of ASPP."
    try:
        persistently(lambda: storage.get_study_id_from_name(name))
    except KeyError as error:
        raise UserError(
            f"--fidelity_top_k={config.fidelity_top_k} needs a search, and the storage has none named "
            f"--study_name={name}; run --mode=search first, {instead}"
        ) from error
    study = open_study(job, storage, worker)
    study.ledger.refresh()
    if not study.is_done():
        raise UserError(
            f"--fidelity_top_k={config.fidelity_top_k} needs a finished search, and --study_name={name} has scored "
            f"{study.finished} of {study.total} cells; finish it with --mode=search, lower --num_candidates, {instead}"
        )
    best = sorted(study.candidates(), key=lambda scored: scored.score.rank_key, reverse=True)[: config.fidelity_top_k]
    scored = [*study.warm_starts(), *study.candidates()]
    known = {one.cell.digest(): one.score for one in scored if one.score.steps == job.config.proxy_steps}
    return [MeasuredCell(one.name, TOP, one.cell) for one in best], known


def _result(job: Job, config: FidelityConfig, tasks: FidelityTasks) -> FidelityResult:
    height, width, channels = job.feature_shape
    rows, missing = [], []
    for measured in tasks.cells:
        proxies, reals = tasks.proxies(measured.cell), tasks.reals(measured.cell)
        if proxies is None or reals is None:
            missing.append(measured.name)
            continue
        rows.append(
            FidelityRow(
                measured.name,
                measured.group,
                measured.cell,
                proxies,
                reals,
                cell_cost(measured.cell, height, width, channels),
                receptive_field(measured.cell, height, width, job.cache.output_stride),
            )
        )
    return FidelityResult(job.config, config, tuple(rows), tuple(missing), proxy_words(job), real_protocol(job))
