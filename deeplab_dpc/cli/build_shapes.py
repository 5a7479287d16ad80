"""Writes the embedded data set `shapes`: drawn scenes with objects of very different sizes."""

from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.build_shapes import Flags
from deeplab_dpc.console import console
from deeplab_dpc.datasets.shapes import build_shapes


def main(flags: Flags) -> None:
    """Draws the data set."""
    dataset = build_shapes(
        required("data_dir", flags.data_dir),
        num_train=flags.num_train,
        num_val=flags.num_val,
        seed=flags.seed,
        overwrite=flags.overwrite,
    )
    console.print(f"Data set: {dataset.path} ({flags.num_train} train, {flags.num_val} val)")
