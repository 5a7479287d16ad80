"""Checks a prepared data set: records, labels, classes, sizes, duplicates. Suggests label weights.

The report goes to --output_dir as check_data.json, a contact sheet beside it. Exit status 2 if there are errors.
"""

from absl import flags

from deeplab_dpc.cli.flag_help import concerning
from deeplab_dpc.cli.flags.shared import define_json_flag
from deeplab_dpc.data.classes_file import CLASSES_HELP


def define_flags(values: flags.FlagValues) -> None:
    """Defines the flags of datasets/check_data.py."""
    with concerning(values, "Data"):
        flags.DEFINE_string("data_dir", None, "Folder that contains the prepared data set.", flag_values=values)
        flags.DEFINE_string(
            "dataset", None, "Name of the data set, if --data_dir contains several.", flag_values=values
        )
        flags.DEFINE_string(
            "classes",
            None,
            f"For DeepLab's record files without a classes.json beside them. {CLASSES_HELP}",
            flag_values=values,
        )
    with concerning(values, "Output"):
        flags.DEFINE_string(
            "output_dir",
            None,
            "Folder for the report and the contact sheet; by default check/ in the data set's own folder, or "
            "check_NAME/ in the current one if that is read-only.",
            flag_values=values,
        )
    define_json_flag(values)
