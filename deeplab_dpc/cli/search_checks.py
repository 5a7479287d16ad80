"""Checks of a search's flags before features are computed and before anything is written."""

from deeplab_dpc.arch.library import load_cells
from deeplab_dpc.cli.flags.search import Flags
from deeplab_dpc.cli.flags.shared import NetworkFlags
from deeplab_dpc.cli.output import quiet_imports
from deeplab_dpc.config import SearchConfig, ServiceConfig
from deeplab_dpc.config.base import one_weight_a_class
from deeplab_dpc.config.model import check_crop
from deeplab_dpc.config.samplers import sampler_entry
from deeplab_dpc.config.search import END_TO_END
from deeplab_dpc.config.train import InitialWeights
from deeplab_dpc.console import console
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.split_parts import Part
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.fidelity.other_proxies import read_others
from deeplab_dpc.search.service import local_workers
from deeplab_dpc.search.service.storage import check_location
from deeplab_dpc.search.study import check_sampler


def check_request(
    flags: Flags, network: NetworkFlags, config: SearchConfig, service: ServiceConfig, dataset: Dataset | None
) -> None:
    """Raises a UserError if a flag is invalid in the mode, or does not suit the data."""
    load_cells(config.warm_starts, "warm_starts")
    check_sampler(config)
    if flags.mode == "search":
        _warn_of_uniform_draws(config)
    if service.storage:
        check_location(service.storage, shared=service.workers > 1 or local_workers.is_child())
    if flags.mode == "score":
        _check_scoring(flags)
    if flags.mode == "fidelity":
        read_others(flags.fidelity.make().fidelity_compare)
        if dataset is None:
            raise UserError("--data_dir is required with --mode=fidelity, in which cells are also trained end to end.")
    if dataset is not None:
        require_single_splits(flags, dataset)
        one_weight_a_class(config.label_weights, dataset.info.num_classes)
        if flags.mode in ("search", "fidelity") and not flags.propose_only:
            _check_trainings(flags, network, config, dataset)


def _warn_of_uniform_draws(config: SearchConfig) -> None:
    """Prints a warning if the population of the sampler cannot become full."""
    if sampler_entry(config.sampler).has_population and 0 < config.num_candidates <= config.population_size:
        console.print(
            f"Warning: --sampler={config.sampler} draws uniformly until --population_size={config.population_size} "
            f"cells are scored, and --num_candidates is {config.num_candidates}; give a smaller population, for "
            f"example --population_size={max(2, config.num_candidates // 3)} and a --tournament_size below it."
        )


def require_single_splits(flags: Flags, dataset: Dataset) -> None:
    """Raises a UserError if a split of a search names several splits, which only a training reads as one."""
    for flag, split in {"train_split": flags.data.train_split, "eval_split": str(flags.search["eval_split"])}.items():
        if dataset.parts(split) != (Part(split),):
            raise UserError(f"--{flag}={split} names several splits, which train reads as one; a search reads one.")


def require_start(flag: str, source: str) -> None:
    """Raises a UserError, which names the flag, if no network can be initialised from the source."""
    with quiet_imports():  # loads Keras
        from deeplab_dpc.checkpoint.restore import require_source
    try:
        require_source(source)
    except UserError as error:
        raise UserError(f"--{flag}: {error}") from error


def _check_scoring(flags: Flags) -> None:
    if not flags.cells:
        raise UserError("--cells is required with --mode=score: names or files, comma-separated.")
    load_cells(flags.cells, "cells")
    require_seeds(flags)


def require_seeds(flags: Flags) -> None:
    """Raises a UserError if the number of seeds is not positive."""
    if flags.num_seeds < 1:
        raise UserError(f"--num_seeds must be at least 1, got {flags.num_seeds}.")


def _check_trainings(flags: Flags, network: NetworkFlags, config: SearchConfig, dataset: Dataset) -> None:
    """Checks the requirements of trainings on images, for finalists and for cells that are scored end to end."""
    has_contest = flags.mode == "fidelity" or config.rerank_top_k
    if not has_contest and config.proxy_features != END_TO_END:
        return
    model = network.config(dataset.info.num_classes)
    networks = [model]
    sources = {
        "tf_initial_checkpoint": flags.start.tf_initial_checkpoint,
        "rerank_initial_checkpoint": config.rerank_initial_checkpoint,
    }
    for name, source in sources.items():
        if source is not None:
            require_start(name, source)
    if has_contest and config.rerank_model_variant is not None:
        with quiet_imports():  # loads Keras
            from deeplab_dpc.search.contest.network import rerank_network
        initial = InitialWeights(flags.start.tf_initial_checkpoint, flags.start.restore_moving_averages)
        networks.append(rerank_network(config, model, initial).config)
    for split in (flags.data.train_split, config.eval_split):
        dataset.require_labels(split)
    crop = flags.data.config(dataset, model.alignment).train_crop_size  # of the finalists too
    for one in networks:
        check_crop(crop, one)
