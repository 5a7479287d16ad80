"""Labels that cannot mean what the classes say: a class nowhere and pixels ignored, or a single class. No TensorFlow.

Masks of 0 and 255 are the usual case: 255 is ignored by default, so that the object is never trained on, and a network
that predicts the background everywhere has an mIOU of 100 %.
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from deeplab_dpc.data.dataset_info import Dataset, DatasetInfo
from deeplab_dpc.data.label_statistics import NUM_IDS, ignored_share
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import read_json, write_json

LABEL_COUNTS_FILE = "label_counts.json"  # beside the records: pixels by id, by split
_SHOWN = 3


def absent_class_problem(pixels: Mapping[str, np.ndarray], train_split: str, info: DatasetInfo) -> str | None:
    """Says what is wrong with the ids that occur, and which flag cures it.

    Args:
      pixels: int64 [256], the pixels of each id, by split, of all labelled splits.
      train_split: the one of them that is trained on.
      info: what the ids mean.

    Returns:
      A clause without a full stop; None if nothing is wrong, or the data set allows it (`DatasetInfo`).
    """
    ids = [i for i in range(info.num_classes) if i != info.ignore_label]
    total: np.ndarray = np.sum(list(pixels.values()), axis=0)
    if info.allow_absent_classes or not total.sum():
        return None
    absent = [i for i in ids if not total[i]]
    if absent and total[info.ignore_label]:
        return _ignored(total, absent, "the labels' pixels", "never occur", info)
    trained = pixels[train_split]
    missing = [i for i in ids if not trained[i]]
    if len(missing) < len(ids) - 1:
        return None
    if missing and trained[info.ignore_label]:
        return _ignored(trained, missing, f"the pixels of {train_split}", f"do not occur in {train_split}", info)
    only = next((info.class_names[i] for i in ids if trained[i]), None)
    if only is None:
        return None  # ids out of range, which are reported as such
    return (
        f"all labelled pixels of {train_split} are of the class {only}, from which nothing can be learned; look "
        "whether the labels hold the ids that the classes say"
    )


def _ignored(pixels: np.ndarray, absent: list[int], place: str, verb: str, info: DatasetInfo) -> str:
    percent = 100 * ignored_share(pixels, info.ignore_label)
    share = f"{percent:.1f} %" if percent >= 0.1 else "less than 0.1 %"
    names = [info.class_names[i] for i in absent]
    listed = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    if len(names) == 1:
        verb = verb.replace("occur", "occurs").replace("do not occurs", "does not occur")
    ignored = info.ignore_label
    return (
        f"{ignored} covers {share} of {place} and is ignored, and the class{'es' if len(names) > 1 else ''} {listed} "
        f"{verb}; if {ignored} means {names[0]}, build the data set again with "
        f"--label_map={ignored}:{absent[0]},*:same, and if it is ignored rightly, say so with "
        f"--label_map={ignored}:{ignored},*:same or, in the classes file, "
        '"allow_absent_classes": true'
    )


def write_label_counts(path: pathlib.Path, pixels: Mapping[str, np.ndarray]) -> None:
    """Keeps the pixels of each id, by split, beside the records in `path`."""
    value = {split: {str(i): int(counts[i]) for i in np.flatnonzero(counts)} for split, counts in pixels.items()}
    write_json(path / LABEL_COUNTS_FILE, value)


def read_label_counts(dataset: Dataset) -> dict[str, np.ndarray] | None:
    """The pixels of each id, int64 [256], by labelled split; None where none are kept (records of other software).

    Raises:
      UserError: if the file is damaged.
    """
    path = dataset.path / LABEL_COUNTS_FILE
    if not path.exists():
        return None
    value = read_json(path, "counts of label ids")
    try:
        return {split: _counts(value[split]) for split in dataset.info.labelled_splits}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise UserError(f"The counts of label ids {path} are damaged; build the data set again.") from error


def _counts(value: Mapping[str, Any]) -> np.ndarray:
    counts = np.zeros(NUM_IDS, np.int64)
    for key, pixels in value.items():
        if not isinstance(pixels, int) or isinstance(pixels, bool) or pixels < 0 or not key.isdigit():
            raise ValueError(json.dumps([key, pixels]))
        counts[int(key)] = pixels
    return counts
