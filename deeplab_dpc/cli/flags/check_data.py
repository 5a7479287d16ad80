"""Checks a prepared data set: records, labels, classes, sizes, duplicates. Suggests label weights.

Writes the report, check_data.json, and a contact sheet to --output_dir. The exit status is 2 if there are errors.
"""

import dataclasses

from deeplab_dpc.cli.flags.base import CommandFlags, flag
from deeplab_dpc.cli.flags.shared import DATASET_HELP, json_flag
from deeplab_dpc.data.classes_file import CLASSES_HELP


@dataclasses.dataclass(frozen=True, kw_only=True)
class Flags(CommandFlags):
    """The flags of deeplab-dpc check-data."""

    data_dir: str | None = flag(None, "Folder that contains the prepared data set.", title="Data")
    dataset: str | None = flag(None, DATASET_HELP, title="Data")
    classes: str | None = flag(
        None, f"Classes of DeepLab's record files without a classes.json beside them. {CLASSES_HELP}", title="Data"
    )
    output_dir: str | None = flag(
        None,
        "Folder for the report and the contact sheet; by default check/ in the data set's own folder, or "
        "check_NAME/ in the current folder if that is read-only.",
        title="Output",
    )
    json: bool = json_flag()
