"""Converts Cityscapes to records: 19 classes, the fine splits train, val and test, and the coarse train_extra."""

import dataclasses

from deeplab_dpc.cli.flags.base import flag
from deeplab_dpc.cli.flags.shared import BuildFlags


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(BuildFlags):
    """The flags of deeplab-dpc build-cityscapes."""

    cityscapes_root: str | None = flag(
        None, "Folder with leftImg8bit, gtFine and gtCoarse, or with the official zips, which need not be unpacked."
    )
    coarse: bool = flag(False, "Add the split train_extra: 19,997 images with coarse labels.")
