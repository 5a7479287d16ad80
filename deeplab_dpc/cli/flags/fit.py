"""From a folder of images to a network that ships, in about a given time: convert, check, plan, train, search, judge.

Without --images, --list or --data_dir it works on the embedded data set. Stopped at any moment, the same command goes
on. Flags of train and search that are given come before what the plan would choose; defaults shown for these are those
of the separate commands.
"""

import dataclasses
from typing import ClassVar

from deeplab_dpc.cli.flags.base import CommandFlags, ConfigFields, fields_of, flag
from deeplab_dpc.cli.flags.build_folder import OwnDataFlags
from deeplab_dpc.cli.flags.search import StartFlags, views_flag
from deeplab_dpc.cli.flags.shared import NOT_OF_DATA, DataFlags, NetworkFlags
from deeplab_dpc.config import DataConfig, SearchConfig, TrainConfig

# Flags of the separate commands, whose meaning and checks they have.
OWN_DATA = (
    *("images", "labels", "labels_as", "list", "val_fraction", "group_by"),
    *("label_format", "label_map", "skip_bad"),
)
TRAINING = (
    "training_number_of_steps",
    "train_batch_size",
    "base_learning_rate",
    "label_weights",
    "precision",
    "seed",
)
SEARCH = (
    "num_candidates",
    "num_branches",
    "cell_rates",
    "cell_grids",
    "cell_operations",
    "max_params",
    "max_madds",
    "warm_starts",
    "proxy_steps",
    "proxy_batch_size",
    "proxy_learning_rate",
    "rerank_top_k",
    "rerank_steps",
    "contest_rounds",
    "contest_seeds",
)
COMMON = (
    *("workdir", "hours", "plan_only", "search"),
    *OWN_DATA,
    *("data_dir", "classes", "train_crop_size"),
    *("tf_initial_checkpoint", "training_number_of_steps", "train_batch_size", "base_learning_rate", "precision"),
    *("model_variant", "warm_starts", "num_candidates", "rerank_top_k"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitDataFlags(DataFlags):
    """The flags of the data, but for the names of the splits: train and val have their parts here."""

    fields: ConfigFields[DataConfig] = fields_of(
        DataConfig, title=DataFlags.TITLE, without=(*NOT_OF_DATA, "train_split")
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitOwnDataFlags(OwnDataFlags):
    """The flags of own images and labels."""

    TITLE: ClassVar[str] = "Data"

    skip_bad: bool = flag(
        False,
        "Leave out unusable images and labels, and list them at the end, instead of stopping at the first.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitStartFlags(StartFlags):
    """The flags of the weights that the baseline starts from."""

    TITLE: ClassVar[str] = "Training"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(CommandFlags):
    """The flags of fit.py: its own, and those of the commands that it runs."""

    workdir: str | None = flag(None, "Where everything is written; the same command continues.")
    hours: float = flag(1.0, "Time that the whole may take; plan and stages follow it.")
    plan_only: bool = flag(False, "Print and write the plan, and end.")
    search: bool | None = flag(None, "Whether to search cells; by default if time and images allow.")
    baseline_steps: int | None = flag(None, "Steps of the baseline.")
    data: FitDataFlags
    network: NetworkFlags
    own: FitOwnDataFlags
    start: FitStartFlags
    training: ConfigFields[TrainConfig] = fields_of(TrainConfig, title="Training", only=TRAINING)
    search_fields: ConfigFields[SearchConfig] = fields_of(SearchConfig, title="Search", only=SEARCH)
    feature_views: int = views_flag(title="Search")
