"""From a folder of images to a network that ships, in about a given time: convert, check, plan, train, search, judge.

Without --images, --list or --data_dir it works on the embedded data set. Stopped at any moment, the same command goes
on. Flags of train and search that are given come before what the plan would choose; defaults shown for these are those
of the separate commands.
"""

import math
import os
import pathlib
from typing import Any

from absl import flags

from deeplab_dpc.checkpoint.published import is_name, meant_names
from deeplab_dpc.checkpoint.weights_cache import located
from deeplab_dpc.cli import flag_groups
from deeplab_dpc.cli.fit_classes import find_classes
from deeplab_dpc.cli.fit_stages import Fit
from deeplab_dpc.cli.fit_state import Stages, flag_text
from deeplab_dpc.cli.start_backbone import take_backbone
from deeplab_dpc.data.dataset_info import INFO_FILE
from deeplab_dpc.datasets.annotation_kinds import PICTURES
from deeplab_dpc.datasets.folder import labels_kind
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import only_process, require_folder
from deeplab_dpc.run_config import CONFIG_FILE, FIT_FILE

LEAST_HOURS, MOST_HOURS = 0.01, 10_000.0
OF_OTHERS = (CONFIG_FILE, INFO_FILE)  # what a run or a data set has directly in its folder
UNBOUND = ("workdir", "plan_only", "help", "backend", "flagfile", "undefok")  # flags that another start may change


def main(values: flags.FlagValues) -> None:
    """Runs the stages that are not done."""
    flag_groups.required(values, "workdir")
    if not math.isfinite(values.hours) or not LEAST_HOURS <= values.hours <= MOST_HOURS:
        raise UserError(f"--hours={values.hours:g} must be the hours that it may take, {LEAST_HOURS} or more.")
    require_folder(values.workdir, "workdir")
    _check_sources(values)
    if values.tf_initial_checkpoint:
        located(values.tf_initial_checkpoint)  # a download ends before the time begins
    taken = take_backbone(values)
    given = _given(values)
    root = pathlib.Path(values.workdir)
    with only_process(root, "workdir"):
        stages = Stages(root, {name: flag_text(value) for name, value in given.items()}, 3600 * values.hours)
        classes = find_classes(values) if values.images or values.list else None
        Fit(values, root, stages, _planned(values, given) | taken, classes).run()


def _check_sources(values: flags.FlagValues) -> None:
    """Raises a UserError if it is not clear which data are meant, or labels are missing."""
    own = [name for name in ("images", "list") if values[name].value]
    if values.data_dir and own:
        raise UserError(f"Give either --{own[0]} (own images) or --data_dir (a prepared data set), not both.")
    if values.labels and not own:
        raise UserError("--labels needs --images, the images that they are the labels of.")
    if values.images and not values.labels and not values.list:
        raise UserError(
            "--labels is required: the folder of label PNGs, or the annotations, of the images of "
            f"--images={values.images}."
        )
    for name in ("images", "labels", "list", "data_dir"):
        path = values[name].value
        if path and not pathlib.Path(path).exists():
            raise UserError(f"--{name}={path} does not exist; give the path of what is there.")
    is_shared = values.images and values.labels and os.path.realpath(values.images) == os.path.realpath(values.labels)
    if is_shared and labels_kind(values.images, values.labels, values.labels_as) == PICTURES:
        raise UserError(
            f"--images and --labels are one folder, {values.images}; give as --labels the folder of the label PNGs."
        )
    root = pathlib.Path(values.workdir)
    if any((root / name).exists() for name in OF_OTHERS) and not (root / FIT_FILE).exists():
        raise UserError(f"--workdir={root} holds a run or a data set already; give a folder of its own.")
    start = values.tf_initial_checkpoint
    if start and not (is_name(start) or os.path.isdir(start) or os.path.isfile(f"{start}.index")):
        raise UserError(
            f"--tf_initial_checkpoint={start} is neither the directory of a run nor a checkpoint: there is no file "
            f"{start}.index; give the prefix before .index, or the name of a published one{meant_names(start) or '.'}"
        )
    if values.restore_moving_averages and not start:
        raise UserError("--restore_moving_averages is for --tf_initial_checkpoint; give that too.")
    if values.dense_prediction_cell_json:
        raise UserError(
            f"--dense_prediction_cell_json={values.dense_prediction_cell_json} is for train; here the contest chooses "
            "the cell: give it as one of --warm_starts."
        )


def _given(values: flags.FlagValues) -> dict[str, Any]:
    """Returns the flags of the command line and of flagfiles that a restart must have too."""
    names = [name for name in values if name == values[name].name and name not in UNBOUND]
    return {name: values[name].value for name in sorted(names) if not values[name].using_default_value}


def _planned(values: flags.FlagValues, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the given flags as the planner takes them: a crop is two numbers, a list is its text."""
    plain = {name: flag_text(value) if isinstance(value, list) else value for name, value in given.items()}
    if "train_crop_size" in plain:
        plain["train_crop_size"] = flag_groups.size(values, "train_crop_size")
    return plain
