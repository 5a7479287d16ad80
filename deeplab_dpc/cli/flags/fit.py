"""From a folder of images to a network that ships, in about a given time: convert, check, plan, train, search, judge.

Without --images, --list or --data_dir it works on the embedded data set. Stopped at any moment, the same command goes
on. Flags of train and search that are given come before what the plan would choose; defaults shown for these are those
of the separate commands.
"""

from absl import flags

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.flag_help import concerning
from deeplab_dpc.cli.flags import build_folder, search, train

# Flags of the separate commands, whose meaning and checks they have.
OWN_FLAGS = (
    *("images", "labels", "labels_as", "list", "val_fraction", "group_by"),
    *("label_format", "label_map", "skip_bad"),
)
TRAINING = (
    "tf_initial_checkpoint",
    "restore_moving_averages",
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
    "feature_views",
    "rerank_top_k",
    "rerank_steps",
    "contest_rounds",
    "contest_seeds",
)
COMMON = (
    *("workdir", "hours", "plan_only", "search"),
    *OWN_FLAGS,
    *("data_dir", "classes", "train_crop_size"),
    *("tf_initial_checkpoint", "training_number_of_steps", "train_batch_size", "base_learning_rate", "precision"),
    *("model_variant", "warm_starts", "num_candidates", "rerank_top_k"),
)


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of fit.py: its own, and those of the commands that it runs."""
    flags.DEFINE_string("workdir", None, "Where everything is written; the same command continues.", flag_values=values)
    flags.DEFINE_float("hours", 1.0, "Time that the whole may take; plan and stages follow it.", flag_values=values)
    flags.DEFINE_bool("plan_only", False, "Print and write the plan, and end.", flag_values=values)
    flags.DEFINE_bool(
        "search", None, "Whether to search cells; by default if time and images allow.", flag_values=values
    )
    flags.DEFINE_integer("baseline_steps", None, "Steps of the baseline.", flag_values=values)
    flag_groups.define_data_flags(values)
    delattr(values, "train_split")  # train and val have their parts here
    flag_groups.define_model_flags(values)
    for title, module, names in (
        ("Data", build_folder, OWN_FLAGS),
        ("Training", train, TRAINING),
        ("Search", search, SEARCH),
    ):
        theirs = flags.FlagValues()
        module.define_flags(theirs)
        with concerning(values, title):
            for name in names:
                values[name] = theirs[name]
