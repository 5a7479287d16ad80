"""Converts PASCAL VOC 2012 segmentation to records, with SBD's labels for the larger training set train_aug."""

import dataclasses

from deeplab_dpc.cli.flags.base import flag
from deeplab_dpc.cli.flags.shared import BuildFlags


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(BuildFlags):
    """The flags of deeplab-dpc build-voc2012."""

    voc_root: str | None = flag(
        None, "Folder VOC2012, or the one that contains VOCdevkit, or VOCtrainval_11-May-2012.tar."
    )
    sbd_root: str | None = flag(None, "SBD's folder benchmark_RELEASE or benchmark.tgz; adds the split train_aug.")
    aug_labels: str | None = flag(
        None, "Folder or archive of label PNGs, SegmentationClassAug, instead of --sbd_root; adds the split train_aug."
    )
    voc_test_root: str | None = flag(
        None,
        "Folder or VOC2012test.tar with the test images, if --voc_root lacks them; adds the split test, "
        "without labels.",
    )
