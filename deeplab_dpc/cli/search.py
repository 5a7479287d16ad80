"""Searches dense prediction cells: caches backbone features, scores cells by proxy, re-ranks the best."""

import pathlib

from absl import flags

from deeplab_dpc.checkpoint.restore import restore_backbone
from deeplab_dpc.cli import flag_groups
from deeplab_dpc.config import DataConfig, ModelConfig, SearchConfig
from deeplab_dpc.console import console, print_table
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import write_json
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.run_config import open_run
from deeplab_dpc.search.feature_cache import FeatureCache, open_cache
from deeplab_dpc.search.report import print_result
from deeplab_dpc.search.runner import run_search, score_cells

MODES = ("search", "cache", "score")
# Of the network that the features come from.
MODEL_FLAGS = ("model_variant", "output_stride", "depth_multiplier", "divisible_by", "multi_grid")
# What a later start of the same search may change: how many cells, and re-ranking, whose runs check their own
# configuration. Crops change the features too, and those have their own fingerprint.
EXTENDABLE = (
    "search.num_candidates",
    *(f"search.{name}" for name in SearchConfig.__dataclass_fields__ if name.startswith("rerank_")),
    *(f"data.{name}" for name in DataConfig.__dataclass_fields__ if name != "train_split"),
)


def define_flags(values: flags.FlagValues) -> None:
    """The flags of search.py."""
    flags.DEFINE_string("workdir", None, "Directory of the search; an interrupted one continues.", flag_values=values)
    flags.DEFINE_enum(
        "mode",
        "search",
        MODES,
        "search: cache, score, re-rank; cache: only cache the features; score: only score --cells by proxy.",
        flag_values=values,
    )
    flags.DEFINE_list("cells", [], "Names or files of the cells that --mode=score scores.", flag_values=values)
    flags.DEFINE_string(
        "feature_cache",
        None,
        "Complete feature cache to search on; then --data_dir is needed for re-ranking only.",
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
    flag_groups.define_config_flags(values, ModelConfig, MODEL_FLAGS)
    plain = [name for name in SearchConfig.__dataclass_fields__ if name != "baselines"]
    flag_groups.define_config_flags(values, SearchConfig, plain)
    flags.DEFINE_list(
        "baselines",
        list(SearchConfig.baselines),
        "Names or files of cells scored beside the candidates.",
        flag_values=values,
    )


def main(values: flags.FlagValues) -> None:
    """Searches, or does the part that --mode names."""
    flag_groups.required(values, "workdir")
    config = flag_groups.config_from_flags(SearchConfig, values, baselines=tuple(values.baselines))
    if values.restore_moving_averages and not values.tf_initial_checkpoint:
        raise UserError("--restore_moving_averages is for --tf_initial_checkpoint; give that too.")
    dataset = find_dataset(values.data_dir, values.dataset, values.classes) if values.data_dir else None
    if dataset is None and values.feature_cache and config.rerank_top_k and values.mode == "search":
        raise UserError("--data_dir is required for re-ranking; pass --rerank_top_k=0 to go without.")
    workdir = pathlib.Path(values.workdir)
    cache = _cache(values, workdir, config, dataset)
    if values.mode == "cache":
        console.print(f"Features: {cache.path}")
    elif values.mode == "score":
        _score(values, workdir, cache, config)
    else:
        _search(values, workdir, cache, config, dataset)


def _model_config(values: flags.FlagValues, num_classes: int) -> ModelConfig:
    return flag_groups.config_from_flags(ModelConfig, values, num_classes=num_classes)


def _cache(
    values: flags.FlagValues, workdir: pathlib.Path, config: SearchConfig, dataset: Dataset | None
) -> FeatureCache:
    if values.feature_cache:
        return open_cache(values.feature_cache)
    if dataset is None:
        raise UserError("--data_dir is required (or --feature_cache, to search on features cached before).")
    # Here, since it needs TensorFlow for the records, and a search on a complete cache does not.
    from deeplab_dpc.search.feature_writer import cache_features

    model = build_segmenter(_model_config(values, dataset.info.num_classes))
    if values.tf_initial_checkpoint:
        console.print(str(restore_backbone(model, values.tf_initial_checkpoint, values.restore_moving_averages)))
    else:
        console.print("No --tf_initial_checkpoint: the features are those of an untrained backbone.")
    train_size = flag_groups.size(values, "train_crop_size")
    return cache_features(
        workdir / "features",
        model,
        dataset,
        (values.train_split, config.eval_split),
        {values.train_split: train_size},
        config.seed,
    )


def _search(
    values: flags.FlagValues,
    workdir: pathlib.Path,
    cache: FeatureCache,
    config: SearchConfig,
    dataset: Dataset | None,
) -> None:
    model_config = _model_config(values, cache.num_classes)
    data: DataConfig | None = None
    if dataset is not None:
        data = flag_groups.data_config(values, dataset, model_config.output_stride)
    sections = {
        "search": config,
        "model": model_config,
        "data": data,
        "features": cache.path.name,
    }
    open_run(workdir, sections, EXTENDABLE)
    initial = (values.tf_initial_checkpoint, values.restore_moving_averages)
    result = run_search(workdir, cache, config, model_config, data, dataset, *initial)
    print_result(result)
    console.print(f"Written: {workdir}/cells/best.json, best.png, {workdir}/results.json, scores.png")


def _score(values: flags.FlagValues, workdir: pathlib.Path, cache: FeatureCache, config: SearchConfig) -> None:
    if not values.cells:
        raise UserError("--cells is required with --mode=score: names or files, comma-separated.")
    scored = score_cells(cache, config, values.cells)
    rows = [
        (item.name, f"{item.score.miou:.4f}", f"{item.score.loss:.4f}", f"{item.score.seconds:.0f}") for item in scored
    ]
    print_table(f"{config.proxy_steps} proxy steps", ("name", "mIOU", "loss", "seconds"), rows)
    path = workdir / f"scores_{config.proxy_steps}_steps.json"
    write_json(path, [{"cell": item.name, "miou": item.score.miou, "loss": item.score.loss} for item in scored])
    console.print(f"Written: {path}")
