"""Searches dense prediction cells (caches features, scores cells by proxy, re-ranks), or Auto-DeepLab by gradient."""

import dataclasses

from absl import flags

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.flag_help import concerning
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


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of search.py."""
    flags.DEFINE_string("workdir", None, "Run directory; an interrupted search continues.", flag_values=values)
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
        "num_seeds",
        1,
        "Number of trainings of each cell by --mode=score, with --seed and the integers after it.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "feature_cache",
        None,
        "Complete feature cache to search on; --data_dir is then needed only for re-ranking.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "feature_views",
        0,
        "Number of augmented views of each training image in the feature cache, augmented as in "
        "training; each step of the proxy takes one of an image's views at random. 0: each image once, "
        "without augmentation (as in the paper).",
        flag_values=values,
    )
    flags.DEFINE_string(
        "tf_initial_checkpoint",
        None,
        "Initial weights of the backbone: prefix or name of a published checkpoint (docs/weights.md), an "
        "earlier run, or imagenet, the MobileNetV2 of Keras.",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "restore_moving_averages",
        False,
        "Whether the moving averages of that checkpoint's variables are restored instead of the variables.",
        flag_values=values,
    )
    flag_groups.define_data_flags(values)
    flag_groups.define_model_flags(values)
    define_search_flags(values)
    for title, config in (("Service", ServiceConfig), ("Fidelity", FidelityConfig)):
        with concerning(values, title):
            flag_groups.define_config_flags(values, config)
    with concerning(values, "Auto-DeepLab"):
        flag_groups.define_config_flags(values, AutoDeepLabConfig, sorted(FLAGS[AUTO_DEEPLAB]))
    flags.DEFINE_bool(
        "propose_only",
        False,
        "Only print which cells would be scored next and the cost of the rest of the search; for "
        "Auto-DeepLab the space, the supernet, and time and memory of its steps.",
        flag_values=values,
    )


def define_search_flags(values: flags.FlagValues) -> None:
    """Defines the flags of SearchConfig; the first words of their names decide their titles."""
    titles = {"proxy": "Proxy", "adapt": "Proxy", "halving": "Proxy", "rerank": "Contest", "contest": "Contest"}
    for field in dataclasses.fields(SearchConfig):
        with concerning(values, titles.get(field.name.partition("_")[0], "Search")):
            flag_groups.define_config_flags(values, SearchConfig, [field.name], ["rerank_model_variant"])
