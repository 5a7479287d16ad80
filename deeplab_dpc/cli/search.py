"""Searches dense prediction cells (caches features, scores cells by proxy, re-ranks), or Auto-DeepLab by gradient."""

import functools

from deeplab_dpc.cli import search_workers
from deeplab_dpc.cli.flags.search import Flags
from deeplab_dpc.cli.output import quiet_imports
from deeplab_dpc.cli.search_algorithms import AUTO_DEEPLAB, refuse_flags_of_others
from deeplab_dpc.cli.search_job import Request
from deeplab_dpc.console import console
from deeplab_dpc.search.fidelity.fidelity_report import fidelity_sections
from deeplab_dpc.search.runner import run_search
from deeplab_dpc.search.service import local_workers
from deeplab_dpc.search.service.display import SearchWatch
from deeplab_dpc.search.service.storage import open_storage


def main(flags: Flags) -> None:
    """Searches, or runs the part that --mode names."""
    refuse_flags_of_others(flags.algorithm, flags.given)
    if flags.algorithm == AUTO_DEEPLAB:
        with quiet_imports():
            from deeplab_dpc.cli import search_auto_deeplab
        search_auto_deeplab.search(flags)
        return
    is_child = local_workers.is_child()
    if is_child:
        local_workers.end_with_parent()
    request = Request.from_flags(flags)
    if not is_child:
        request.print_what_was_chosen()
    if flags.propose_only:
        from deeplab_dpc.cli.search_proposal import propose

        propose(request)
    elif flags.mode == "cache":
        cache = request.cache()
        console.print(f"Features: {cache.path}")
        if is_child:
            search_workers.write_feature_path(request, cache)
    elif flags.mode == "search" and request.service.workers > 1:
        search_workers.search(request)
    else:
        _with_keras(request)


def _with_keras(request: Request) -> None:
    """Runs the modes that train. Their imports are here, since the process that monitors workers does not need them."""
    with quiet_imports():
        import keras

        keras.utils.set_random_seed(request.config.seed)  # loads TensorFlow if it is installed
        if request.flags.mode != "search":
            from deeplab_dpc.cli import search_modes
    if request.flags.mode == "score":
        search_modes.score(request)
    elif request.flags.mode == "fidelity":
        search_modes.measure(request)
    else:
        _search(request)


def _search(request: Request) -> None:
    """Runs the search in this process; the report and the live view are left to the parent process, if there is one."""
    is_child = local_workers.is_child()
    job = request.job(request.cache())
    storage = open_storage(request.service.storage, request.workdir, shared=is_child)  # first, since it may fail
    request.claim(job)
    with SearchWatch(live=not is_child) as watch:
        further = functools.partial(fidelity_sections, request.workdir)
        result = run_search(job, storage, watch, reporting=not is_child, further_sections=further)
    if not is_child:
        search_workers.print_end(request.workdir, result)
