"""The process of deeplab-dpc search --workers=N that starts local workers, shows progress, and writes the report.

It does not load Keras, and so uses no memory of a GPU: a child process caches the features, too.

WORKDIR/workers/features.json  path of the features
                cache.log      log of caching them
                1.log ...      log of each worker

The workers get the user's flags, except --storage, which may contain a password: it is passed in
their environment, which only the same user can read.
"""

import functools
import itertools
import os
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence

from deeplab_dpc.cli.flags.search import Flags
from deeplab_dpc.cli.search_job import STORAGE_VARIABLE, Request
from deeplab_dpc.console import console
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.files import read_json, write_json
from deeplab_dpc.search.contest.hold_contest import open_contest
from deeplab_dpc.search.contest.result import SearchResult
from deeplab_dpc.search.contest.sentence import sentence
from deeplab_dpc.search.fidelity.fidelity_report import fidelity_sections
from deeplab_dpc.search.proxy.feature_cache import FeatureCache, open_cache
from deeplab_dpc.search.reporting.search_report import print_result
from deeplab_dpc.search.runner import Reporter, observer, open_study
from deeplab_dpc.search.service import given_up
from deeplab_dpc.search.service.device_share import num_cores, share, visible_gpus
from deeplab_dpc.search.service.display import StudyView
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.local_workers import POLL_SECONDS, LocalWorkers, run_child
from deeplab_dpc.search.service.storage import open_storage
from deeplab_dpc.training.interruption import Interruption

FOLDER = "workers"
FEATURES = "features.json"
# The first because of its password; the others apply to this process only.
NOT_PASSED_ON = ("storage", "workers", "retry_given_up")


def search(request: Request) -> None:
    """Searches with --workers processes."""
    service, config = request.service, request.config
    if service.workers > config.lookahead:
        raise UserError(
            f"--workers={service.workers} is more than --lookahead={config.lookahead}: only so many cells are ever "
            "scored at a time, and the other workers would wait for ever; raise --lookahead, which a search keeps from "
            "its start to its end, or lower --workers."
        )
    folder = request.workdir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "flags").unlink(missing_ok=True)  # of an earlier version; it may contain the storage's password
    storage = open_storage(service.storage, request.workdir, shared=True)
    command = worker_command(request.flags)
    secrets = {STORAGE_VARIABLE: service.storage} if service.storage else {}
    path = request.flags.feature_cache or _cached(command, folder, secrets)
    job = request.claimed_job(open_cache(path))
    worker = Worker.current()
    study, contest = open_study(job, storage, worker), open_contest(job, storage, worker)
    if service.retry_given_up:
        given_up.retry(study.ledger, contest)
    gpus, cores = visible_gpus(os.environ), num_cores()
    environments = [
        {**share(index, service.workers, cores, gpus, os.environ), **secrets} for index in range(service.workers)
    ]
    reporter = Reporter(job, study, contest, functools.partial(fidelity_sections, request.workdir))
    workers = LocalWorkers([*command, f"--feature_cache={path}"], environments, folder)
    with Interruption() as interruption, workers, StudyView() as view:
        view.observe(observer(job, storage, study), lambda: workers.names)
        _monitor(workers, interruption, reporter)
    reporter.write()
    print_end(request.workdir, reporter.result())


def _monitor(workers: LocalWorkers, interruption: Interruption, reporter: Reporter) -> None:
    """Monitors the workers until they are done."""
    while not workers.is_done:
        if reporter.is_due():
            reporter.write()
        if interruption.received is not None:
            workers.stop(interruption.received)
            reporter.write()
            raise Stopped(interruption.received, "all scores are kept")
        for said in workers.check():
            console.print(said)
        time.sleep(POLL_SECONDS)


def worker_command(flags: Flags) -> list[str]:
    """Returns the command of a worker: the flags given on the command line or in a flagfile, except NOT_PASSED_ON.

    A flag that was not given has its default in the worker, too.
    """
    program = [sys.executable, "-m", "deeplab_dpc.cli.main", "search"]
    passed = [one.arguments for name, one in flags.given.items() if name not in NOT_PASSED_ON]
    return [*program, *itertools.chain.from_iterable(passed), "--workers=1"]


def _cached(command: Sequence[str], folder: pathlib.Path, secrets: Mapping[str, str]) -> str:
    """Computes the features in a child process, and returns their path."""
    run_child([*command, "--mode=cache"], folder / "cache.log", secrets)
    path: str = read_json(folder / FEATURES, "note of the features")["path"]
    return path


def write_feature_path(request: Request, cache: FeatureCache) -> None:
    """Writes the path of the features for the parent process, which waits for it."""
    write_json(request.workdir / FOLDER / FEATURES, {"path": str(cache.path)})


def print_end(workdir: pathlib.Path, result: SearchResult) -> None:
    """Prints the result, the written files, the best cell, and finally the tasks that were given up, if any."""
    print_result(result)
    console.print(f"Written: {workdir}/report.html, results.json, verdict.json, cells/best.json, best.png")
    console.print(sentence(result), soft_wrap=True)
    without = given_up.sentence(result.given_up)
    if without:
        console.print(without)
