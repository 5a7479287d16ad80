"""Converts a segmentation data set that TensorFlow Datasets (TFDS) has prepared, by its name, to records."""

import dataclasses
import os

from deeplab_dpc.cli.flags.base import flag
from deeplab_dpc.cli.flags.shared import BuildFlags
from deeplab_dpc.data.classes_file import CLASSES_HELP

DEFAULT_TFDS_DATA_DIR = "~/tensorflow_datasets"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(BuildFlags):
    """The flags of deeplab-dpc build-tfds."""

    tfds_name: str | None = flag(None, "NAME, NAME/CONFIG or NAME:VERSION of the TFDS data set.")
    tfds_data_dir: str = flag(
        os.environ.get("TFDS_DATA_DIR", DEFAULT_TFDS_DATA_DIR),
        "Folder in which TFDS has prepared the data set (tfds build NAME --data_dir=...).",
    )
    download: bool = flag(False, "Let TFDS download and prepare the data set if it is absent.")
    image_key: str | None = flag(None, "Name of the feature with the images; by default found by its type.")
    label_key: str | None = flag(None, "Name of the feature with the labels' ids; by default found by its type.")
    splits: tuple[str, ...] | None = flag(
        None, "Splits to convert, such as train,val=test or train=train[:90%],val=train[90%:]."
    )
    classes: str | None = flag(None, f"Needed if TFDS does not name the classes. {CLASSES_HELP}")
    num_classes: int | None = flag(None, "Number of classes, instead of --classes; they are named class_0, class_1.")
    label_offset: int = flag(0, "Number added to each id; results below 0 become the ignore label.")
    label_map: tuple[str, ...] | None = flag(
        None,
        "Mapping of ids in the labels to class ids, 1:0,2:1,*:255; * stands for all other ids, and the ignore "
        "label is unchanged.",
    )
