"""Searches dense prediction cells (caches features, scores cells by proxy, re-ranks), or Auto-DeepLab by gradient."""

import dataclasses
from typing import Any

from deeplab_dpc.cli.flags.base import CommandFlags, ConfigFields, FlagGroup, fields_of, flag
from deeplab_dpc.cli.flags.shared import DataFlags, NetworkFlags
from deeplab_dpc.cli.search_algorithms import ALGORITHMS, AUTO_DEEPLAB, DPC, FLAGS
from deeplab_dpc.config import AutoDeepLabConfig, FidelityConfig, SearchConfig, ServiceConfig

MODES = ("search", "cache", "score", "fidelity")
COMMON = (
    "workdir",
    "algorithm",
    "mode",
    "feature_cache",
    "tf_initial_checkpoint",
    "data_dir",
    "dataset",
    "train_crop_size",
    "model_variant",
    "output_stride",
    "num_candidates",
    "num_branches",
    "sampler",
    "warm_starts",
    "max_params",
    "max_madds",
    "label_weights",
    "eval_split",
    "seed",
    "proxy_steps",
    "proxy_batch_size",
    "proxy_learning_rate",
    "proxy_precision",
    "proxy_features",
    "rerank_top_k",
    "rerank_steps",
    "rerank_batch_size",
    "contest_rounds",
    "contest_seeds",
    "storage",
    "workers",
    "search_epochs",
    "search_batch_size",
    "propose_only",
)  # in --help; the others are in --helpfull
TITLES = {"proxy": "Proxy", "adapt": "Proxy", "halving": "Proxy", "rerank": "Contest", "contest": "Contest"}


def title_of(name: str) -> str:
    """Returns the title of a field of SearchConfig in the help, by the first word of its name."""
    return TITLES.get(name.partition("_")[0], "Search")


def views_flag(title: str | None = None) -> Any:
    """Declares --feature_views, under the given title of the help."""
    return flag(
        0,
        "Number of views of each training image in the feature cache, augmented as in training; each step of "
        "the proxy takes one of an image's views at random. 0: each image once, without augmentation.",
        title=title,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartFlags(FlagGroup):
    """The flags of the backbone's initial weights."""

    tf_initial_checkpoint: str | None = flag(
        None,
        "Initial weights of the backbone: prefix or name of a published checkpoint (docs/weights.md), an earlier run, "
        "or `imagenet` for the MobileNetV2 of Keras.",
    )
    restore_moving_averages: bool = flag(
        False,
        "Whether the moving averages of the variables in --tf_initial_checkpoint are restored instead of the "
        "variables.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(CommandFlags):
    """The flags of deeplab-dpc search."""

    workdir: str | None = flag(None, "Run directory; an interrupted search continues.")
    algorithm: str = flag(
        DPC,
        "What is searched: dpc (dense prediction cells, by their scores, arXiv:1809.04184) or auto_deeplab (the cell "
        "and the path of resolutions of a backbone, by gradient, arXiv:1901.02985).",
        choices=ALGORITHMS,
    )
    mode: str = flag(
        "search",
        "Stages to run: search (cache the features, score cells, re-rank), cache (only cache the features), score "
        "(only score --cells by proxy) or fidelity (measure how well the proxy ranks the subsets of ASPP and the "
        "best cells of the search).",
        choices=MODES,
    )
    cells: tuple[str, ...] = flag((), "Names or files of the cells to score with --mode=score.")
    num_seeds: int = flag(
        1,
        "Number of trainings of each cell by --mode=score, or of searches by --algorithm=auto_deeplab, with --seed and "
        "the integers after it.",
    )
    feature_cache: str | None = flag(
        None, "Complete feature cache to search on; --data_dir is then only needed for re-ranking."
    )
    feature_views: int = views_flag()
    start: StartFlags
    data: DataFlags
    network: NetworkFlags
    search: ConfigFields[SearchConfig] = fields_of(SearchConfig, title=title_of, variants=["rerank_model_variant"])
    service: ConfigFields[ServiceConfig] = fields_of(ServiceConfig, title="Service")
    fidelity: ConfigFields[FidelityConfig] = fields_of(FidelityConfig, title="Fidelity")
    auto_deeplab: ConfigFields[AutoDeepLabConfig] = fields_of(
        AutoDeepLabConfig, title="Auto-DeepLab", only=sorted(FLAGS[AUTO_DEEPLAB])
    )
    propose_only: bool = flag(
        False,
        "Only print which cells would be scored next and the cost of the rest of the search; for "
        "Auto-DeepLab, the space, the supernet, and the time and memory of its steps.",
    )
