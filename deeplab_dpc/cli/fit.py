"""Makes an exported network from a folder of images, in about a given time.

It converts and checks the data, plans, trains, searches and judges. Without --images, --list or --data_dir it uses the
embedded data set. After a stop at any moment, the same command continues. Given flags of train and search take
precedence over the choices of the plan; their defaults in the help are those of the separate commands.
"""

import dataclasses
import math
import os
import pathlib
from typing import Any

from deeplab_dpc.arch.library import load_cells
from deeplab_dpc.checkpoint.published import is_name, meant_names
from deeplab_dpc.checkpoint.weights_cache import located
from deeplab_dpc.cli.fit_classes import find_classes
from deeplab_dpc.cli.fit_stages import Fit
from deeplab_dpc.cli.fit_state import Stages, flag_text
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.fit import Flags
from deeplab_dpc.cli.start_backbone import backbone_of
from deeplab_dpc.config.search import SEARCH_PRECISIONS
from deeplab_dpc.data.dataset_info import INFO_FILE
from deeplab_dpc.datasets.annotation_kinds import PICTURES
from deeplab_dpc.datasets.folder import labels_kind
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import is_far, require_folder
from deeplab_dpc.locks import only_process
from deeplab_dpc.run_config import CONFIG_FILE, FIT_FILE

LEAST_HOURS, MOST_HOURS = 0.01, 10_000.0
OF_OTHERS = (CONFIG_FILE, INFO_FILE)  # files directly in the folder of a run or of a data set
UNBOUND = ("workdir", "plan_only", "help", "backend", "flagfile", "undefok")  # flags that a later start may change


def main(flags: Flags) -> None:
    """Runs the stages that are not done."""
    workdir, own, start = required("workdir", flags.workdir), flags.own, flags.start
    if not math.isfinite(flags.hours) or not LEAST_HOURS <= flags.hours <= MOST_HOURS:
        raise UserError(f"--hours={flags.hours:g} must be at least {LEAST_HOURS} hours, at most {MOST_HOURS:g}.")
    require_folder(workdir, "workdir")
    _check_flags(flags)
    if start.tf_initial_checkpoint:
        located(start.tf_initial_checkpoint)  # a download does not count as used time
    taken = backbone_of(start.tf_initial_checkpoint, flags.network)
    with_backbone = dataclasses.replace(flags, network=flags.network.with_defaults(taken))
    given = {name: one.value for name, one in flags.given.items() if name not in UNBOUND}
    root = pathlib.Path(workdir)
    with only_process(root, "workdir"):
        stages = Stages(root, {name: flag_text(value) for name, value in given.items()}, 3600 * flags.hours)
        classes = find_classes(own, flags.data.fields["classes"]) if own.images or own.pair_list else None
        Fit(with_backbone, root, stages, _planned(flags, given) | taken, classes).run()


def _check_flags(flags: Flags) -> None:
    """Raises a UserError if the flags of the data, the checkpoint or the cell are missing, contradictory or invalid."""
    data, start = flags.own, flags.start
    paths = {"images": data.images, "labels": data.labels, "list": data.pair_list, "data_dir": flags.data.data_dir}
    own = [name for name in ("images", "list") if paths[name]]
    if flags.data.data_dir and own:
        raise UserError(f"Give either --{own[0]} (own images) or --data_dir (a prepared data set), not both.")
    if data.labels and not own:
        raise UserError("--labels needs --images, the images that they are the labels of.")
    if data.images and not data.labels and not data.pair_list:
        raise UserError(
            "--labels is required: the folder of label PNGs, or the annotations, of the images of "
            f"--images={data.images}."
        )
    for name, path in paths.items():
        if path and not is_far(path) and not pathlib.Path(path).exists():
            raise UserError(f"--{name}={path} does not exist; give an existing path.")
    if data.images and data.labels and os.path.realpath(data.images) == os.path.realpath(data.labels):
        _check_one_folder(data.images, data.labels, data.labels_as)
    root = pathlib.Path(required("workdir", flags.workdir))
    if any((root / name).exists() for name in OF_OTHERS) and not (root / FIT_FILE).exists():
        raise UserError(f"--workdir={root} holds a run or a data set already; give a folder of its own.")
    if "," in str(root):
        raise UserError(f"--workdir={root} has a comma, which separates runs in other commands; give another name.")
    _check_later_stages(flags)
    source = start.tf_initial_checkpoint
    if source and not (is_name(source) or os.path.isdir(source) or os.path.isfile(f"{source}.index")):
        raise UserError(
            f"--tf_initial_checkpoint={source} is neither the directory of a run nor a checkpoint: there is no file "
            f"{source}.index; give the prefix before .index, or the name of a published one"
            f"{meant_names(source) or '.'}"
        )
    if start.restore_moving_averages and not source:
        raise UserError("--restore_moving_averages is for --tf_initial_checkpoint; give that too.")
    cell = flags.network.dense_prediction_cell_json
    if cell:
        raise UserError(
            f"--dense_prediction_cell_json={cell} is for train; here the contest chooses the cell: give it as one of "
            "--warm_starts."
        )


def _check_later_stages(flags: Flags) -> None:
    """Raises a UserError if flags of the trainings or the search are invalid, which would end a later stage."""
    _ = flags.search_fields.make(contest_rounds=1).space
    training, search, given = flags.training.make(), flags.search_fields, flags.given
    if "warm_starts" in given:
        load_cells(search["warm_starts"], "warm_starts")
    if flags.feature_views < 0:
        raise UserError(f"--feature_views must be >= 0, got {flags.feature_views}.")
    if search["rerank_top_k"] == 0 and flags.search is not False:
        raise UserError(
            "--rerank_top_k=0 leaves out the contest, by which fit chooses the cell; give at least 1, or --nosearch."
        )
    if training.precision not in SEARCH_PRECISIONS and flags.search is not False:
        raise UserError(
            f"--precision={training.precision} is not for searches ({' or '.join(SEARCH_PRECISIONS)}); give one of "
            "these, or --nosearch."
        )
    if flags.baseline_steps is not None and flags.baseline_steps < 1:
        raise UserError(f"--baseline_steps must be greater than 0, got {flags.baseline_steps}.")


def _check_one_folder(images: str, labels: str, labels_as: str) -> None:
    """Raises a UserError if the labels in the folder of the images are pictures, not annotations."""
    if labels_kind(images, labels, labels_as) == PICTURES:
        raise UserError(
            f"--images and --labels are one folder, {images}; give as --labels the folder of the label PNGs."
        )


def _planned(flags: Flags, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the given flags in the form that the planner takes: a crop as two numbers, other lists as text."""
    plain = {name: flag_text(value) if isinstance(value, list) else value for name, value in given.items()}
    if "train_crop_size" in plain:
        plain["train_crop_size"] = flags.data.train_crop_size
    return plain
