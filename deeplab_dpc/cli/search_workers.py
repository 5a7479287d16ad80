"""search.py --workers=N: one process that starts workers on this machine, shows what goes on, and writes the report.

It does without Keras, and so takes no memory of a GPU: the features are cached by a child of it too.

WORKDIR/workers/flags          what the workers are started with
                features.json  where the features are
                cache.log      what caching them had to say
                1.log ...      what each worker says
"""

import os
import pathlib
import sys
import time
from collections.abc import Sequence

from deeplab_dpc.cli.search_job import Request
from deeplab_dpc.console import console
from deeplab_dpc.errors import Stopped, UserError
from deeplab_dpc.files import read_json, write_json
from deeplab_dpc.search.device_share import num_cores, share, visible_gpus
from deeplab_dpc.search.display import StudyView
from deeplab_dpc.search.feature_cache import FeatureCache, open_cache
from deeplab_dpc.search.identity import Worker
from deeplab_dpc.search.local_workers import POLL_SECONDS, LocalWorkers, run_child
from deeplab_dpc.search.report import print_result
from deeplab_dpc.search.runner import Reporter, observer, open_reranking, open_study
from deeplab_dpc.search.storage import open_storage
from deeplab_dpc.training.interruption import Interruption

FOLDER = "workers"
FEATURES = "features.json"


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
    storage = open_storage(service.storage, request.workdir, shared=True)
    command = _command(request, folder)
    path = request.values.feature_cache or _cached(command, folder)
    job = request.claimed_job(open_cache(path))
    worker = Worker.current()
    study, reranking = open_study(job, storage, worker), open_reranking(job, storage, worker)
    gpus, cores = visible_gpus(os.environ), num_cores()
    environments = [share(index, service.workers, cores, gpus, os.environ) for index in range(service.workers)]
    reporter = Reporter(job, study, reranking)
    workers = LocalWorkers([*command, f"--feature_cache={path}"], environments, folder)
    with Interruption() as interruption, workers, StudyView() as view:
        view.observe(observer(job, storage, study), lambda: workers.names)
        _look_after(workers, interruption, reporter)
    reporter.write()
    print_result(reporter.result())
    console.print(written(request.workdir))


def _look_after(workers: LocalWorkers, interruption: Interruption, reporter: Reporter) -> None:
    """Until all is done."""
    while not workers.is_done:
        if reporter.is_due():
            reporter.write()
        if interruption.received is not None:
            workers.stop(interruption.received)
            reporter.write()
            raise Stopped(interruption.received, "all scores are kept")
        for sentence in workers.check():
            console.print(sentence)
        time.sleep(POLL_SECONDS)


def _command(request: Request, folder: pathlib.Path) -> list[str]:
    """What a worker runs: the same flags, but for the number of workers."""
    flagfile = folder / "flags"
    flagfile.touch(mode=0o600)  # --storage may have a password
    flagfile.write_text(request.values.flags_into_string(), encoding="utf-8")
    program = [sys.executable, "-m", "deeplab_dpc.cli.main", "search"]
    return [*program, f"--flagfile={flagfile}", "--workers=1"]


def _cached(command: Sequence[str], folder: pathlib.Path) -> str:
    """Has a child make the features, and says where they are."""
    run_child([*command, "--mode=cache"], folder / "cache.log")
    return read_json(folder / FEATURES, "note of the features")["path"]


def tell_parent(request: Request, cache: FeatureCache) -> None:
    """Says where the features are, to a parent that waits for them."""
    write_json(request.workdir / FOLDER / FEATURES, {"path": str(cache.path)})


def written(workdir: pathlib.Path) -> str:
    """What a search leaves, in a line."""
    return f"Written: {workdir}/report.html, results.json, cells/best.json, best.png"
