"""Converts PASCAL-Person-Part to records: people by body part, from Pascal-Part's annotations or from masks."""

import dataclasses

from deeplab_dpc.cli.flags.base import flag
from deeplab_dpc.cli.flags.shared import BuildFlags


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(BuildFlags):
    """The flags of deeplab-dpc build-person-part."""

    voc_root: str | None = flag(
        None, "Folder VOC2012 or VOC2010 with JPEGImages, or the one that contains VOCdevkit, or their tar file."
    )
    annotations: str | None = flag(None, "Pascal-Part's folder Annotations_Part or trainval.tar.gz.")
    masks: str | None = flag(None, "Folder or archive of PNGs with the ids 0 to 6, instead of --annotations.")
    train_list: str | None = flag(
        None,
        "Image ids of train (train_id.txt); by default the images of VOC's Main/train.txt with a part of a person.",
    )
    val_list: str | None = flag(
        None, "Image ids of val (val_id.txt); by default the images of VOC's Main/val.txt with a part of a person."
    )
