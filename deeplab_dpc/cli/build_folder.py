"""Converts the user's data to records: images with label PNGs of the same names, a list of both, or annotations."""

from deeplab_dpc.cli import builds
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.build_folder import Flags
from deeplab_dpc.datasets.folder import build_folder
from deeplab_dpc.errors import UserError


def main(flags: Flags) -> None:
    """Converts the data set."""
    own = flags.own
    if not own.images and not own.pair_list:
        raise UserError("--images or --list is required.")
    data_dir = required("data_dir", flags.data_dir)
    dataset = build_folder(
        own.images,
        own.labels,
        flags.classes,
        data_dir,
        own.val_fraction,
        own.label_format,
        flags.overwrite,
        pair_list=own.pair_list,
        label_map=own.label_map,
        skip_bad=flags.skip_bad,
        labels_as=own.labels_as,
        group_by=own.group_by,
    )
    builds.finish(dataset, flags)
