"""The last step of the commands that convert data sets: messages and the check."""

import pathlib

from deeplab_dpc.cli.check_data import default_output_dir, print_findings
from deeplab_dpc.cli.flags.shared import BuildFlags
from deeplab_dpc.console import console
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.inspection import REPORT_FILE, check
from deeplab_dpc.files import read_json


def finish(dataset: Dataset, flags: BuildFlags) -> None:
    """Prints the sizes and the path of a data set, and checks it (`check_data`) unless an earlier check found no error.

    Raises:
      UserError: after the report, if the data set has errors.
    """
    counts = ", ".join(
        f"{count} {split}{' without labels' if split in dataset.info.unlabelled else ''}"
        for split, count in dataset.info.splits.items()
    )
    console.print(f"Data set: {dataset.path} ({counts}; {dataset.info.num_classes} classes)")
    if dataset.info.labelled_splits and "train" not in dataset.info.splits:
        console.print("Note: there is no split train, which deeplab-dpc train uses unless --train_split names another.")
    if dataset.info.ignore_label < dataset.info.num_classes:
        name = dataset.info.class_names[dataset.info.ignore_label]
        console.print(f"The class {name} is ignored: its id {dataset.info.ignore_label} is the ignore label.")
    output_dir = default_output_dir(dataset)
    if flags.check and not _is_checked(output_dir / REPORT_FILE):
        inspection = check(dataset, output_dir)
        print_findings(inspection)
        inspection.require_no_errors()


def _is_checked(report: pathlib.Path) -> bool:
    """Returns whether an earlier check found no error."""
    value = read_json(report, "report of check_data") if report.exists() else None
    return isinstance(value, dict) and not value.get("errors", True)
