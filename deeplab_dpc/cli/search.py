"""Searches dense prediction cells (caches features, scores cells by proxy, re-ranks), or Auto-DeepLab by gradient."""

from absl import flags

from deeplab_dpc.cli import flag_groups, search_workers
from deeplab_dpc.cli.quiet import quiet_imports
from deeplab_dpc.cli.search_algorithms import ALGORITHMS, AUTO_DEEPLAB, DPC, FLAGS, refuse_flags_of_others
from deeplab_dpc.cli.search_job import Request
from deeplab_dpc.config import AutoDeepLabConfig, FidelityConfig, SearchConfig, ServiceConfig
from deeplab_dpc.console import console
from deeplab_dpc.search import local_workers
from deeplab_dpc.search.display import SearchWatch
from deeplab_dpc.search.runner import run_search
from deeplab_dpc.search.storage import open_storage

MODES = ("search", "cache", "score", "fidelity")


def define_flags(values: flags.FlagValues) -> None:
    """The flags of search.py."""
    flags.DEFINE_string("workdir", None, "Directory of the search; an interrupted one continues.", flag_values=values)
    flags.DEFINE_enum(
        "algorithm",
        DPC,
        ALGORITHMS,
        "dpc: dense prediction cells by their scores (arXiv:1809.04184); auto_deeplab: the cell and the path of "
        "resolutions of a backbone by gradient (arXiv:1901.02985).",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "mode",
        "search",
        MODES,
        "search: cache, score, re-rank; cache: only cache the features; score: only score --cells by proxy; fidelity: "
        "measure how well the proxy ranks the sub-sets of ASPP and the best cells of the search.",
        flag_values=values,
    )
    flags.DEFINE_list("cells", [], "Names or files of the cells that --mode=score scores.", flag_values=values)
    flags.DEFINE_integer(
        "num_seeds", 1, "How often --mode=score trains each cell, with --seed and those after it.", flag_values=values
    )
    flags.DEFINE_string(
        "feature_cache",
        None,
        "Complete feature cache to search on; then --data_dir is needed for re-ranking only.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "feature_views",
        0,
        "Augmented views of each training image in the feature cache, drawn as training draws them; each step of the "
        "proxy takes one of an image's views at random. 0: each image once, as it is (the paper's).",
        flag_values=values,
    )
    flags.DEFINE_string(
        "tf_initial_checkpoint",
        None,
        "Published checkpoint or earlier run of the backbone; imagenet downloads the MobileNetV2 of Keras.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "restore_moving_averages",
        False,
        "Whether the moving averages of that checkpoint's variables are taken in their place.",
        flag_values=values,
    )
    flag_groups.define_data_flags(values)
    flag_groups.define_model_flags(values)
    flag_groups.define_config_flags(values, SearchConfig)
    flag_groups.define_config_flags(values, ServiceConfig)
    flag_groups.define_config_flags(values, FidelityConfig)
    flag_groups.define_config_flags(values, AutoDeepLabConfig, sorted(FLAGS[AUTO_DEEPLAB]))
    flags.DEFINE_bool(
        "propose_only",
        False,
        "Only print which cells would be scored next and what the rest of the search costs; of Auto-DeepLab the space, "
        "the supernet, and time and memory of its steps.",
        flag_values=values,
    )


def main(values: flags.FlagValues) -> None:
    """Searches, or does the part that --mode names."""
    refuse_flags_of_others(values)
    if values.algorithm == AUTO_DEEPLAB:
        with quiet_imports():
            from deeplab_dpc.cli import search_auto_deeplab
        search_auto_deeplab.search(values)
        return
    is_child = local_workers.is_child()
    if is_child:
        local_workers.end_with_parent()
    request = Request.from_flags(values)
    if not is_child:
        request.say_what_has_no_effect()
    if values.propose_only:
        from deeplab_dpc.cli.search_proposal import propose

        propose(request)
    elif values.mode == "cache":
        cache = request.cache()
        console.print(f"Features: {cache.path}")
        if is_child:
            search_workers.tell_parent(request, cache)
    elif values.mode == "search" and request.service.workers > 1:
        search_workers.search(request)
    else:
        _with_keras(request)


def _with_keras(request: Request) -> None:
    """The modes that train; what they need is loaded here, since the process that looks after workers does without."""
    with quiet_imports():
        import keras

        keras.utils.set_random_seed(request.config.seed)  # which loads TensorFlow, where it is installed
        if request.values.mode == "score":
            from deeplab_dpc.cli import search_score
        elif request.values.mode == "fidelity":
            from deeplab_dpc.cli import search_fidelity
    if request.values.mode == "score":
        search_score.score(request)
    elif request.values.mode == "fidelity":
        search_fidelity.run(request.values, request.claimed_job(request.cache()))
    else:
        _search(request)


def _search(request: Request) -> None:
    """The work of one process; the report and the live view are its parent's, if it has one."""
    is_child = local_workers.is_child()
    job = request.job(request.cache())
    storage = open_storage(request.service.storage, request.workdir, shared=is_child)  # it may refuse, or not answer
    request.claim(job)
    with SearchWatch(live=not is_child) as watch:
        result = run_search(job, storage, watch, reporting=not is_child)
    if not is_child:
        search_workers.print_end(request.workdir, result)
