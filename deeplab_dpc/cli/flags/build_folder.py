"""Converts your own data to records: images with label PNGs of the same names, a list of both, or annotations."""

import dataclasses

from deeplab_dpc.cli.flags.base import FlagGroup, flag
from deeplab_dpc.cli.flags.shared import BuildFlags
from deeplab_dpc.data.classes_file import CLASSES_HELP
from deeplab_dpc.datasets.annotation_kinds import LABELS_AS
from deeplab_dpc.datasets.label_ids import LABEL_FORMATS


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnDataFlags(FlagGroup):
    """The flags of the user's images and labels, which fit has too."""

    images: str | None = flag(
        None, "Folder, zip or tar file of JPEG or PNG images; its sub-folders, if any, are the splits."
    )
    labels: str | None = flag(
        None,
        "Folder, zip or tar file of label PNGs with the same names and sub-folders; a split without a "
        "sub-folder here has no labels. Or annotations: a file or folder of COCO's JSON or CVAT's XML, a "
        "folder of labelme's JSON or YOLO's text files.",
    )
    pair_list: str | None = flag(
        None,
        "CSV or TXT file with a line for each image: image, label (may be empty), split (may be left out). Paths are "
        "relative to --images and --labels, or to the list.",
        name="list",
    )
    labels_as: str = flag(LABELS_AS[0], "Kind of the labels; auto detects it from their contents.", choices=LABELS_AS)
    val_fraction: float = flag(
        0.2, "Share of the images in the val split, if neither sub-folders nor a list define the splits."
    )
    group_by: str | None = flag(
        None,
        "Groups of images that stay together when val is drawn: folder (the images of one folder), or a regular "
        "expression (the images in whose names it, or its first group, matches the same text).",
    )
    label_format: str = flag(
        "ids",
        "Meaning of the pixels in labels: ids (values are class ids), palette (the palette indices of "
        "colour-mapped PNGs are class ids) or rgb (colours are those of the palette in --classes).",
        choices=LABEL_FORMATS,
    )
    label_map: str | None = flag(
        None,
        "Mapping of ids in the labels to class ids, 7:0,8:1,*:255, or a file with it; * stands for all other ids "
        "(*:same leaves them unchanged), and the ignore label is unchanged unless it is in the mapping.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(BuildFlags):
    """The flags of deeplab-dpc build-folder."""

    own: OwnDataFlags
    classes: str | None = flag(
        None, f"{CLASSES_HELP} By default, annotations have their own classes, after a background."
    )
