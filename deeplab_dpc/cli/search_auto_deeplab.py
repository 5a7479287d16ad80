"""The search of deeplab-dpc search --algorithm=auto_deeplab."""

import dataclasses
import pathlib

import keras

from deeplab_dpc.arch.genotype import Genotype
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.search import Flags
from deeplab_dpc.cli.search_checks import require_seeds, require_single_splits
from deeplab_dpc.console import console
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.foreign_records import check_evaluable, check_labels
from deeplab_dpc.data.run_data import bind
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import remove_partial
from deeplab_dpc.locks import only_process
from deeplab_dpc.models.memory import TRAINING_ADDRESSES, require_address_space
from deeplab_dpc.run_config import CONFIG_FILE, config_differences, read_run
from deeplab_dpc.search.auto_deeplab.choice import (
    CHOICE_FIELDS,
    choose_genotype,
    found_genotype,
    set_other_choice_aside,
)
from deeplab_dpc.search.auto_deeplab.gradient_report import DECIDED
from deeplab_dpc.search.auto_deeplab.gradient_search import GradientSearch
from deeplab_dpc.search.auto_deeplab.plan import Plan
from deeplab_dpc.search.auto_deeplab.search_program import SearchProgram
from deeplab_dpc.search.auto_deeplab.seeds_report import seed_directory, write_seeds_report
from deeplab_dpc.search.auto_deeplab.streams import STRIDE, Streams, open_streams
from deeplab_dpc.training.claim import claim
from deeplab_dpc.training.device_memory import exhausted_search_memory_named

BACKENDS = ("tensorflow", "jax")
# The values that affect no alpha and no beta.
EXTENDABLE = (
    "auto_deeplab.search_save_interval_steps",
    "data.cache",
    *(f"auto_deeplab.{name}" for name in CHOICE_FIELDS),
)


def search(flags: Flags) -> None:
    """Searches to the end, with one seed or with several, or only prints the estimated cost of one search."""
    if keras.backend.backend() not in BACKENDS:
        raise UserError(f"The search runs on --backend={' or '.join(BACKENDS)}, not on {keras.backend.backend()}.")
    require_address_space(TRAINING_ADDRESSES)
    workdir = "" if flags.propose_only else required("workdir", flags.workdir)
    data_dir = required("data_dir", flags.data.data_dir)
    config = flags.auto_deeplab.make()
    dataset = find_dataset(data_dir, flags.data.dataset, flags.data.fields["classes"])
    require_single_splits(flags, dataset)
    require_seeds(flags)
    data = flags.data.config(dataset, STRIDE)
    streams = open_streams(config, data, dataset)
    plan = Plan(config, len(streams.halves.weights))
    with exhausted_search_memory_named(config, data.train_crop_size):
        if flags.propose_only:
            from deeplab_dpc.cli.search_auto_deeplab_proposal import propose

            propose(streams, plan)
        else:
            with only_process(workdir, "workdir"):
                if flags.num_seeds == 1:
                    _refuse_seeds(pathlib.Path(workdir))
                    _search(pathlib.Path(workdir), streams, plan)
                else:
                    _search_with_seeds(pathlib.Path(workdir), streams, plan, flags.num_seeds)


def _refuse_seeds(workdir: pathlib.Path) -> None:
    """Raises a UserError if the directory holds searches with several seeds."""
    if any(workdir.glob(f"seed_*/{CONFIG_FILE}")):
        raise UserError(f"{workdir} holds searches with several seeds; give their --num_seeds, or another --workdir.")


def _search_with_seeds(workdir: pathlib.Path, streams: Streams, plan: Plan, num_seeds: int) -> None:
    """Searches with each seed in a directory of its own, and writes a report of all of them."""
    if (workdir / CONFIG_FILE).exists():
        raise UserError(
            f"{workdir} is the directory of one search; give another --workdir for --num_seeds={num_seeds}."
        )
    seeds = range(plan.config.seed, plan.config.seed + num_seeds)
    for seed in seeds:
        config = dataclasses.replace(plan.config, seed=seed)
        one = open_streams(config, streams.data, streams.dataset)
        run = seed_directory(workdir, seed)
        with only_process(run, "workdir"):
            _search(run, one, Plan(config, len(one.halves.weights)))
    console.print(write_seeds_report(workdir, seeds, plan.config))
    console.print(f"The report of all of them is {workdir / 'report.html'}.")


def _search(workdir: pathlib.Path, streams: Streams, plan: Plan) -> None:
    sections = {"auto_deeplab": plan.config, "data": streams.data}
    splits = [streams.data.train_split, plan.config.eval_split]
    bind(workdir, streams.dataset, splits)  # before a genotype is set aside
    if not (workdir / CONFIG_FILE).exists():
        check_labels(streams.dataset, streams.data.train_split)
        check_evaluable(streams.dataset, plan.config.eval_split, "give another --eval_split")
    elif set(config_differences(read_run(workdir), sections)) <= set(EXTENDABLE):  # otherwise `claim` raises an error
        aside = set_other_choice_aside(workdir, plan.config)
        if aside is not None:
            console.print(f"The genotype of another choice is kept as {aside}.")
    claim(workdir, sections, EXTENDABLE, streams.dataset, splits)
    remove_partial(workdir)
    genotype = found_genotype(workdir)
    if genotype is not None:
        console.print(f"{workdir} is searched.")
        _print_found(workdir, genotype)
        return
    info = streams.dataset.info
    program = SearchProgram(plan.config, info.num_classes, info.ignore_label, plan.num_steps)
    standing = GradientSearch(workdir, program, streams, plan).run()
    if standing.history[-1]["stopped"]:
        console.print(f"Stopped after epoch {len(standing.history)}: {standing.history[-1]['stopped']}.")
    _print_found(workdir, choose_genotype(workdir, program, streams, plan, standing))


def _print_found(workdir: pathlib.Path, genotype: Genotype) -> None:
    console.print(str(genotype))
    console.print(f"Written to {workdir / DECIDED}; the report is {workdir / 'report.html'}.")
