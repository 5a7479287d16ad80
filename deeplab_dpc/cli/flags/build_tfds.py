"""Converts a segmentation data set that TensorFlow Datasets (TFDS) has prepared, by its name, to records."""

import os

from absl import flags

from deeplab_dpc.cli.flags.shared import define_build_flags
from deeplab_dpc.data.classes_file import CLASSES_HELP

DEFAULT_TFDS_DATA_DIR = "~/tensorflow_datasets"


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of datasets/build_tfds.py."""
    flags.DEFINE_string(
        "tfds_name", None, "NAME, NAME/CONFIG or NAME:VERSION of the TFDS data set.", flag_values=values
    )
    flags.DEFINE_string(
        "tfds_data_dir",
        os.environ.get("TFDS_DATA_DIR", DEFAULT_TFDS_DATA_DIR),
        "Folder in which TFDS has prepared it (tfds build NAME --data_dir=...).",
        flag_values=values,
    )
    flags.DEFINE_bool("download", False, "Let TFDS download and prepare it if it is absent.", flag_values=values)
    flags.DEFINE_string("image_key", None, "Feature with the images; by default found by its type.", flag_values=values)
    flags.DEFINE_string("label_key", None, "Feature with the ids; by default found by its type.", flag_values=values)
    flags.DEFINE_list(
        "splits", None, "Splits to convert: train,val=test or train=train[:90%],val=train[90%:].", flag_values=values
    )
    flags.DEFINE_string(
        "classes", None, f"Needed if TFDS does not name the classes. {CLASSES_HELP}", flag_values=values
    )
    flags.DEFINE_integer(
        "num_classes",
        None,
        "Number of classes, instead of --classes; they are named class_0, class_1.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "label_offset", 0, "Number added to each id; results below 0 become the ignore label.", flag_values=values
    )
    flags.DEFINE_list(
        "label_map",
        None,
        "Class ids by the ids in the labels, 1:0,2:1,*:255; * is all others, and the ignore label is unchanged.",
        flag_values=values,
    )
    define_build_flags(values)
