"""Writes the embedded data set `shapes`: drawn scenes with objects of very different sizes."""

import dataclasses

from deeplab_dpc.cli.flags.base import CommandFlags, flag


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(CommandFlags):
    """The flags of deeplab-dpc build-shapes."""

    data_dir: str | None = flag(None, "Folder in which the data set is written.")
    num_train: int = flag(240, "Number of training images.", lower_bound=1)
    num_val: int = flag(60, "Number of validation images.", lower_bound=1)
    seed: int = flag(0, "Seed of the scenes.")
    overwrite: bool = flag(False, "Replace a data set that was made with other flags.")
