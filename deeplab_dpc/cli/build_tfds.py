"""Converts a segmentation data set that TensorFlow Datasets (TFDS) has prepared, by its name, to records."""

import logging
import os
import re

from absl import flags

from deeplab_dpc.cli import builds, flag_groups
from deeplab_dpc.data.classes_file import CLASSES_HELP
from deeplab_dpc.datasets.from_tfds import LabelIds, build_tfds
from deeplab_dpc.errors import UserError

DEFAULT_TFDS_DATA_DIR = "~/tensorflow_datasets"


def define_flags(values: flags.FlagValues) -> None:
    """The flags of datasets/build_tfds.py."""
    flags.DEFINE_string(
        "tfds_name", None, "NAME, NAME/CONFIG or NAME:VERSION of the TFDS data set.", flag_values=values
    )
    flags.DEFINE_string(
        "tfds_data_dir",
        os.environ.get("TFDS_DATA_DIR", DEFAULT_TFDS_DATA_DIR),
        "Where TFDS has prepared it (tfds build NAME --data_dir=...).",
        flag_values=values,
    )
    flags.DEFINE_bool("download", False, "Let TFDS download and prepare it if it is not there.", flag_values=values)
    flags.DEFINE_string("image_key", None, "Feature with the images; by default found by its type.", flag_values=values)
    flags.DEFINE_string("label_key", None, "Feature with the ids; by default found by its type.", flag_values=values)
    flags.DEFINE_list(
        "splits", None, "Splits to convert: train,val=test or train=train[:90%],val=train[90%:].", flag_values=values
    )
    flags.DEFINE_string("classes", None, f"Where TFDS does not name the classes. {CLASSES_HELP}", flag_values=values)
    flags.DEFINE_integer("num_classes", None, "Or their number; they are named class_0, class_1.", flag_values=values)
    flags.DEFINE_integer(
        "label_offset", 0, "Added to each id; what falls below 0 becomes the ignore label.", flag_values=values
    )
    flags.DEFINE_list(
        "label_map",
        None,
        "Class ids by the ids in the labels, 1:0,2:1,*:255; * is all others, and the ignore label stays what it is.",
        flag_values=values,
    )
    builds.define_build_flags(values)


def main(values: flags.FlagValues) -> None:
    """Converts."""
    flag_groups.required(values, "tfds_name", "tfds_data_dir", "data_dir")
    logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS warns of its own use of deprecated attributes
    if values.label_map and values.label_offset:
        raise UserError("Give either --label_offset or --label_map.")
    dataset = build_tfds(
        values.tfds_name,
        values.tfds_data_dir,
        values.data_dir,
        image_key=values.image_key,
        label_key=values.label_key,
        splits=_splits(values.splits),
        classes=values.classes,
        num_classes=values.num_classes,
        label_ids=LabelIds(values.label_offset, *_label_map(values.label_map)),
        download=values.download,
        overwrite=values.overwrite,
        skip_bad=values.skip_bad,
    )
    builds.finish(dataset, values)


def _splits(given: list[str] | None) -> dict[str, str] | None:
    """TFDS's splits by ours."""
    if not given:
        return None
    splits = {}
    for part in given:
        ours, equals, theirs = part.partition("=")
        if not ours or (equals and not theirs) or ours in splits:
            raise UserError(f"--splits must be split names or OURS=THEIRS, each once, got {part!r}.")
        splits[ours] = theirs or ours
    return splits


def _label_map(given: list[str] | None) -> tuple[tuple[tuple[int, int], ...], int | None]:
    """(id, class id) pairs, and the class id of all others."""
    table: dict[str, int] = {}
    for part in given or ():
        match = re.fullmatch(r"(\d+|\*):(\d+)", part.strip())
        if match is None or match[1] in table:
            raise UserError(f"--label_map must be pairs ID:CLASS or *:CLASS, each id once, got {part!r}.")
        table[match[1]] = int(match[2])
    others = table.pop("*", None)
    if others is not None and not table:
        raise UserError("--label_map must name at least one id beside *.")
    return tuple((int(source), target) for source, target in table.items()), others
