"""The properties of the data on which the plan of `fit` depends, from the report of check_data."""

import math
import pathlib

from deeplab_dpc.cli.fit_schedule import Fingerprint
from deeplab_dpc.data.dataset_info import DatasetInfo
from deeplab_dpc.data.inspection import REPORT_FILE
from deeplab_dpc.files import read_json

CELL = 16  # side of a feature cell, in pixels


def fingerprint(check: pathlib.Path, info: DatasetInfo, is_embedded: bool) -> Fingerprint:
    """Returns the fingerprint of a data set.

    Args:
      check: directory with check_data.json.
      info: description of the data set.
      is_embedded: bool, whether it is the embedded data set.
    """
    report = read_json(check / REPORT_FILE, "report of check_data")
    train = report["splits"]["train"]
    sizes = train["image_sizes"]
    classes = [one for one in train["classes"] if one["id"] != info.ignore_label]
    return Fingerprint(
        images={split: info.splits[split] for split in info.labelled_splits},
        median_size=tuple(sizes["median"]),
        largest_size=info.max_size["train"],
        shares={one["name"]: one["share"] for one in classes},
        cells={one["name"]: math.sqrt(one["pixels"] / one["images"]) / CELL for one in classes if one["images"]},
        is_embedded=is_embedded,
        weights=report["label_weights"]["weights"],
    )
