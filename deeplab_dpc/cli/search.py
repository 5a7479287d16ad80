"""Searches dense prediction cells: caches backbone features, scores cells by proxy, re-ranks the best."""

import pathlib
import statistics

from absl import flags

from deeplab_dpc.checkpoint.restore import restore_backbone
from deeplab_dpc.cli import flag_groups
from deeplab_dpc.config import DataConfig, ModelConfig, SearchConfig, ServiceConfig
from deeplab_dpc.console import console, print_table
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import write_json
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.run_config import open_run
from deeplab_dpc.search.display import SearchWatch
from deeplab_dpc.search.feature_cache import FeatureCache, open_cache
from deeplab_dpc.search.report import print_result
from deeplab_dpc.search.runner import EXTENDABLE, Job, run_search
from deeplab_dpc.search.score_cells import score_cells
from deeplab_dpc.search.storage import open_storage

MODES = ("search", "cache", "score")
# Of the network that the features come from.
MODEL_FLAGS = ("model_variant", "output_stride", "depth_multiplier", "divisible_by", "multi_grid")


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
    flags.DEFINE_integer(
        "num_seeds", 1, "How often --mode=score trains each cell, with --seed and those after it.", flag_values=values
    )
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
    flag_groups.define_config_flags(values, SearchConfig)
    flag_groups.define_config_flags(values, ServiceConfig)


def main(values: flags.FlagValues) -> None:
    """Searches, or does the part that --mode names."""
    flag_groups.required(values, "workdir")
    config = flag_groups.config_from_flags(SearchConfig, values)
    service = flag_groups.config_from_flags(ServiceConfig, values)
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
        _search(values, workdir, cache, config, service, dataset)


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
    service: ServiceConfig,
    dataset: Dataset | None,
) -> None:
    model_config = _model_config(values, cache.num_classes)
    data: DataConfig | None = None
    if dataset is not None:
        data = flag_groups.data_config(values, dataset, model_config.output_stride)
    job = Job(
        workdir,
        cache,
        config,
        service,
        model_config,
        data,
        dataset,
        values.tf_initial_checkpoint,
        values.restore_moving_averages,
    )
    open_run(workdir, {**job.sections(), "data": data}, EXTENDABLE)
    storage = open_storage(service.storage, workdir, shared=service.workers > 1)
    with SearchWatch() as watch:
        result = run_search(job, storage, watch)
    print_result(result)
    console.print(f"Written: {workdir}/cells/best.json, best.png, {workdir}/results.json, scores.png")


def _score(values: flags.FlagValues, workdir: pathlib.Path, cache: FeatureCache, config: SearchConfig) -> None:
    if not values.cells:
        raise UserError("--cells is required with --mode=score: names or files, comma-separated.")
    if values.num_seeds < 1:
        raise UserError(f"--num_seeds must be at least 1, got {values.num_seeds}.")
    table = score_cells(cache, config, values.cells, values.num_seeds, values.train_split)
    rows = [
        (
            name,
            f"{statistics.mean(score.miou for score in scores):.4f}",
            f"{statistics.stdev(score.miou for score in scores):.4f}" if len(scores) > 1 else "-",
            f"{statistics.mean(score.loss for score in scores):.4f}",
            f"{statistics.mean(score.seconds for score in scores):.0f}",
        )
        for name, scores in table.items()
    ]
    title = f"{config.proxy_steps} proxy steps, {values.num_seeds} seed(s)"
    print_table(title, ("name", "mIOU", "spread over seeds", "loss", "seconds"), rows)
    path = workdir / f"scores_{config.proxy_steps}_steps.json"
    write_json(path, {name: [score.to_json() for score in scores] for name, scores in table.items()})
    console.print(f"Written: {path}")
