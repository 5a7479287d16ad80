"""Converts own data to records: a folder of images, a folder of label PNGs of the same names, a classes file."""

from absl import flags

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.console import console
from deeplab_dpc.datasets.folder import LABEL_FORMATS, build_folder


def define_flags(values: flags.FlagValues) -> None:
    """The flags of datasets/build_folder.py."""
    flags.DEFINE_string(
        "images", None, "Folder of JPEG or PNG images; its sub-folders, if any, are the splits.", flag_values=values
    )
    flags.DEFINE_string(
        "labels", None, "Folder of label PNGs, with the same names and sub-folders.", flag_values=values
    )
    flags.DEFINE_string(
        "classes", None, 'JSON: {"classes": [names], "palette": [[r, g, b]], "ignore_label": 255}.', flag_values=values
    )
    flags.DEFINE_string("data_dir", None, "Where the data set is written.", flag_values=values)
    flags.DEFINE_float(
        "val_fraction", 0.2, "Share of the images in the val split, where there are no sub-folders.", flag_values=values
    )
    flags.DEFINE_enum(
        "label_format",
        "ids",
        LABEL_FORMATS,
        "ids: pixel values are class ids; palette: the palette indices of colour-mapped PNGs are.",
        flag_values=values,
    )
    flags.DEFINE_bool("overwrite", False, "Replace a data set that was made from other files.", flag_values=values)


def main(values: flags.FlagValues) -> None:
    """Converts."""
    flag_groups.required(values, "images", "labels", "classes", "data_dir")
    dataset = build_folder(
        values.images,
        values.labels,
        values.classes,
        values.data_dir,
        values.val_fraction,
        values.label_format,
        values.overwrite,
    )
    counts = ", ".join(f"{count} {split}" for split, count in dataset.info.splits.items())
    console.print(f"Data set: {dataset.path} ({counts}; {dataset.info.num_classes} classes)")
