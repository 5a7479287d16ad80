"""Converts PASCAL-Person-Part to records: people by body part, from Pascal-Part's annotations or from masks."""

from deeplab_dpc.cli import builds
from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.build_person_part import Flags
from deeplab_dpc.datasets.person_part import build_person_part


def main(flags: Flags) -> None:
    """Converts the data set."""
    dataset = build_person_part(
        required("voc_root", flags.voc_root),
        required("data_dir", flags.data_dir),
        annotations=flags.annotations,
        masks=flags.masks,
        train_list=flags.train_list,
        val_list=flags.val_list,
        overwrite=flags.overwrite,
        skip_bad=flags.skip_bad,
    )
    builds.finish(dataset, flags)
