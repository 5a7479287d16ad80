"""From a folder of images to an exported network, in about a given time: convert, check, plan, train, search, judge.

Without --images, --list or --data_dir, the embedded data set is used. The command can be stopped at any moment, and the
same command continues. Flags of train and search take precedence over the choices of the plan; the defaults shown for
them are those of the separate commands.
"""

import dataclasses
from typing import ClassVar

from deeplab_dpc.cli.flags.base import CommandFlags, ConfigFields, fields_of, flag
from deeplab_dpc.cli.flags.build_folder import OwnDataFlags
from deeplab_dpc.cli.flags.search import StartFlags, views_flag
from deeplab_dpc.cli.flags.shared import NOT_OF_DATA, DataFlags, NetworkFlags
from deeplab_dpc.config import DataConfig, SearchConfig, TrainConfig

# Flags of the separate commands, with the same meaning and checks.
OWN_DATA = (
    *("images", "labels", "labels_as", "list", "val_fraction", "group_by"),
    *("label_format", "label_map", "skip_bad"),
)
TRAINING = (
    "training_number_of_steps",
    "train_batch_size",
    "optimizer",
    "base_learning_rate",
    "label_weights",
    "early_stopping_patience",
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
    """The flags of the data without --train_split: fit always uses the splits train and val."""

    fields: ConfigFields[DataConfig] = fields_of(
        DataConfig, title=DataFlags.TITLE, without=(*NOT_OF_DATA, "train_split")
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitOwnDataFlags(OwnDataFlags):
    """The flags of the user's images and labels."""

    TITLE: ClassVar[str] = "Data"

    skip_bad: bool = flag(
        False,
        "Leave out unusable images and labels, and list them at the end, instead of stopping at the first.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitStartFlags(StartFlags):
    """The flags of the baseline's initial weights."""

    TITLE: ClassVar[str] = "Training"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(CommandFlags):
    """The flags of deeplab-dpc fit: its own, and those of the commands that it runs."""

    workdir: str | None = flag(None, "Folder for all results; the same command continues an interrupted run.")
    hours: float = flag(1.0, "Approximate time in hours for all stages together; the plan is made for this time.")
    plan_only: bool = flag(False, "Print and write the plan, then stop.")
    search: bool | None = flag(None, "Whether to search cells; by default only if there are enough time and images.")
    baseline_steps: int | None = flag(None, "Number of training steps of the baseline; by default chosen by the plan.")
    data: FitDataFlags
    network: NetworkFlags
    own: FitOwnDataFlags
    start: FitStartFlags
    training: ConfigFields[TrainConfig] = fields_of(TrainConfig, title="Training", only=TRAINING)
    search_fields: ConfigFields[SearchConfig] = fields_of(SearchConfig, title="Search", only=SEARCH)
    feature_views: int = views_flag(title="Search")
