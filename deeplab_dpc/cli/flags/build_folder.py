"""Converts own data to records: images, label PNGs of the same names, a list of both, or annotations."""

from absl import flags

from deeplab_dpc.cli.flags.shared import define_build_flags
from deeplab_dpc.data.classes_file import CLASSES_HELP
from deeplab_dpc.datasets.annotation_kinds import LABELS_AS
from deeplab_dpc.datasets.label_ids import LABEL_FORMATS


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of datasets/build_folder.py."""
    flags.DEFINE_string(
        "images",
        None,
        "Folder, zip or tar file of JPEG or PNG images; its sub-folders, if any, are the splits.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "labels",
        None,
        "Folder, zip or tar file of label PNGs with the same names and sub-folders; a split without a "
        "sub-folder here has no labels. Or annotations: a file or folder of COCO's JSON or CVAT's XML, a "
        "folder of labelme's JSON or YOLO's text files.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "list",
        None,
        "CSV or TXT file with a line for each image: image, label (may be empty), split (may be left out); paths are "
        "relative to --images and --labels, or to the list.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "labels_as",
        LABELS_AS[0],
        LABELS_AS,
        "Kind of the --labels; auto detects it from their contents.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "classes",
        None,
        f"{CLASSES_HELP} By default annotations have their own classes, after a background.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "val_fraction",
        0.2,
        "Share of the images in the val split, if neither sub-folders nor a list define the splits.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "group_by",
        None,
        "Groups of images that stay together when val is drawn: folder, the images of one folder; or a "
        "regular expression, the images in whose names it (or its first group) matches the same text.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "label_format",
        "ids",
        LABEL_FORMATS,
        "Meaning of the labels' pixels: ids, values are class ids; palette, palette indices of "
        "colour-mapped PNGs are class ids; rgb, colours are those of the palette in --classes.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "label_map",
        None,
        "Class ids by the ids in the labels, 7:0,8:1,*:255, or a file of them; * is all others (*:same "
        "leaves them unchanged), and the ignore label is unchanged unless it is in the map.",
        flag_values=values,
    )
    define_build_flags(values)
