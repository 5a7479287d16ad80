"""Converts a segmentation data set that TensorFlow Datasets (TFDS) has prepared, by its name, to records."""

import logging
import re

from deeplab_dpc.cli import builds
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.build_tfds import Flags
from deeplab_dpc.datasets.from_tfds import LabelIds, build_tfds
from deeplab_dpc.errors import UserError


def main(flags: Flags) -> None:
    """Converts the data set."""
    name, source = required("tfds_name", flags.tfds_name), required("tfds_data_dir", flags.tfds_data_dir)
    data_dir = required("data_dir", flags.data_dir)
    logging.getLogger("absl").setLevel(logging.ERROR)  # TFDS warns of its own use of deprecated attributes
    if flags.label_map and flags.label_offset:
        raise UserError("Give either --label_offset or --label_map.")
    dataset = build_tfds(
        name,
        source,
        data_dir,
        image_key=flags.image_key,
        label_key=flags.label_key,
        splits=_splits(flags.splits),
        classes=flags.classes,
        num_classes=flags.num_classes,
        label_ids=LabelIds(flags.label_offset, *_label_map(flags.label_map)),
        download=flags.download,
        overwrite=flags.overwrite,
        skip_bad=flags.skip_bad,
    )
    builds.finish(dataset, flags)


def _splits(given: tuple[str, ...] | None) -> dict[str, str] | None:
    """Returns the TFDS split for each of our splits."""
    if not given:
        return None
    splits = {}
    for part in given:
        ours, equals, theirs = part.partition("=")
        if not ours or (equals and not theirs) or ours in splits:
            raise UserError(f"--splits must be split names or OURS=THEIRS, each once, got {part!r}.")
        splits[ours] = theirs or ours
    return splits


def _label_map(given: tuple[str, ...] | None) -> tuple[tuple[tuple[int, int], ...], int | None]:
    """Returns (id, class id) pairs, and the class id of all other ids."""
    table: dict[str, int] = {}
    for part in given or ():
        match = re.fullmatch(r"(\d+|\*):(\d+)", part.strip())
        if match is None or match[1] in table:
            raise UserError(f"--label_map must be pairs ID:CLASS or *:CLASS, each id once, got {part!r}.")
        table[match[1]] = int(match[2])
    others = table.pop("*", None)
    if others is not None and not table:
        raise UserError("--label_map must name at least one id in addition to *.")
    return tuple((int(source), target) for source, target in table.items()), others
