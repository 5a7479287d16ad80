"""Converts own data to records: images, label PNGs of the same names, a list of both, or annotations."""

from absl import flags

from deeplab_dpc.cli import builds, flag_groups
from deeplab_dpc.datasets.folder import build_folder
from deeplab_dpc.errors import UserError


def main(values: flags.FlagValues) -> None:
    """Converts the data set."""
    if not values.images and not values.list:
        raise UserError("--images or --list is required.")
    flag_groups.required(values, "data_dir")
    dataset = build_folder(
        values.images,
        values.labels,
        values.classes,
        values.data_dir,
        values.val_fraction,
        values.label_format,
        values.overwrite,
        pair_list=values.list,
        label_map=values.label_map,
        skip_bad=values.skip_bad,
        labels_as=values.labels_as,
        group_by=values.group_by,
    )
    builds.finish(dataset, values)
