"""Converts PASCAL-Person-Part to records: people by body part, from Pascal-Part's annotations or from masks."""

from absl import flags

from deeplab_dpc.cli import builds, flag_groups
from deeplab_dpc.datasets.person_part import build_person_part


def main(values: flags.FlagValues) -> None:
    """Converts the data set."""
    flag_groups.required(values, "voc_root", "data_dir")
    dataset = build_person_part(
        values.voc_root,
        values.data_dir,
        annotations=values.annotations,
        masks=values.masks,
        train_list=values.train_list,
        val_list=values.val_list,
        overwrite=values.overwrite,
        skip_bad=values.skip_bad,
    )
    builds.finish(dataset, values)
