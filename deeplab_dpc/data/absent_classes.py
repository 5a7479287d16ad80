"""Labels that contradict the classes: a class that never occurs while pixels are ignored, or a single class.
Needs no TensorFlow.

Masks of 0 and 255 are the usual case: 255 is ignored by default, so that the object is never trained on, and a network
that predicts the background everywhere has an mIOU of 100 %. Such masks may be all labels, those of a split, or some
among masks of 0 and 1.
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from deeplab_dpc.data.dataset_info import Dataset, DatasetInfo
from deeplab_dpc.data.label_statistics import NUM_IDS, SplitCounts, ignored_share
from deeplab_dpc.errors import UserError, first_few
from deeplab_dpc.files import read_json, write_json

LABEL_COUNTS_FILE = "label_counts.json"  # beside the records: number of pixels by split and id
_LABELLED_WITH = "labelled pixels with"  # key in that file beside the splits; no split has this name
_SHOWN = 3
_HARDLY = 0.1  # largest ratio at which a number is negligible beside another


def absent_class_problem(pixels: Mapping[str, np.ndarray], train_split: str, info: DatasetInfo) -> str | None:
    """Returns the problem of the ids that occur, and the flags that correct it.

    Args:
      pixels: number of pixels of each id, int64 [256], by labelled split.
      train_split: split that is trained on.
      info: classes and ignore label.

    Returns:
      A clause without a full stop; None if nothing is wrong, or the data set allows absent classes (`DatasetInfo`).
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
        return _absent_in_another(pixels, train_split, ids, info)
    if missing and trained[info.ignore_label]:
        return _ignored(trained, missing, f"the pixels of {train_split}", f"do not occur in {train_split}", info)
    only = next((info.class_names[i] for i in ids if trained[i]), None)
    if only is None:
        return None  # ids out of range, which are reported as such
    return (
        f"all labelled pixels of {train_split} are of the class {only}, from which nothing can be "
        "learned; check that the labels contain the ids of the classes"
    )


def _absent_in_another(
    pixels: Mapping[str, np.ndarray], train_split: str, ids: list[int], info: DatasetInfo
) -> str | None:
    """Returns the problem of another split that lacks a class of the training split and ignores pixels, while the
    training split hardly does; None if there is none.
    """
    trained = pixels[train_split]
    usual = ignored_share(trained, info.ignore_label)
    for split, counted in pixels.items():
        missing = [i for i in ids if trained[i] and not counted[i]]
        is_labelled = any(counted[i] for i in ids)
        if missing and is_labelled and usual < _HARDLY * ignored_share(counted, info.ignore_label):
            return _ignored(counted, missing, f"the pixels of {split}", f"do not occur in {split}", info)
    return None


def _ignored(pixels: np.ndarray, absent: list[int], place: str, verb: str, info: DatasetInfo) -> str:
    percent = 100 * ignored_share(pixels, info.ignore_label)
    share = f"{percent:.1f} %" if percent >= 0.1 else "less than 0.1 %"
    names = [info.class_names[i] for i in absent]
    listed = first_few(names, _SHOWN)
    if len(names) == 1:
        verb = verb.replace("occur", "occurs").replace("do not occurs", "does not occur")
    return (
        f"{info.ignore_label} covers {share} of {place} and is ignored, and the class{'es' if len(names) > 1 else ''} "
        f"{listed} {verb}; {_cure(absent[0], info)}"
    )


def _cure(class_id: int, info: DatasetInfo) -> str:
    ignored = info.ignore_label
    return (
        f"if {ignored} means {info.class_names[class_id]}, build the data set again with "
        f"--label_map='{ignored}:{class_id},*:same' --overwrite, and if it is meant to be ignored, confirm this with "
        f"--label_map='{ignored}:{ignored},*:same' --overwrite (or --overwrite and, in the classes file, "
        '"allow_absent_classes": true)'
    )


@dataclasses.dataclass
class MixedMasks:
    """A detector of masks of 0 and 255 among masks of 0 and 1, for data sets of two classes.

    The first kind has ignored pixels and never the second class; the second kind has the second class and no ignored
    pixel. If pixels are ignored intentionally, for example outlines, the second class and ignored pixels occur together
    in some labels; if these labels are at least a tenth of the first kind, nothing is wrong.

    Attributes:
      info: classes and ignore label. An ignore label that is a class was chosen by the user and is always accepted.
    """

    info: DatasetInfo
    _ignoring: list[str] = dataclasses.field(default_factory=list)
    _others: list[str] = dataclasses.field(default_factory=list)
    _meeting: int = 0

    def add(self, title: str, pixels: np.ndarray) -> None:
        """Adds a label.

        Args:
          title: name of the label in messages.
          pixels: number of pixels of each id, int64 [256].
        """
        has_background, has_class, has_ignored = (bool(pixels[i]) for i in (0, 1, self.info.ignore_label))
        if has_class and has_ignored:
            self._meeting += 1
        elif has_class:
            self._others.append(title)
        elif has_background and has_ignored:
            self._ignoring.append(title)

    def problem(self) -> str | None:
        """Returns a clause with the labels of both kinds and the correction; None if nothing is wrong."""
        info, ignored = self.info, self.info.ignore_label
        is_asked = info.num_classes == 2 and ignored > 1 and not info.allow_absent_classes
        if not is_asked or not self._others or self._meeting >= _HARDLY * len(self._ignoring):
            return None
        name = info.class_names[1]
        return (
            f"{ignored} is ignored in {_titles(self._ignoring)}, where the class {name} does not occur, and {name} "
            f"occurs in {_titles(self._others)}, where {ignored} does not; {_cure(1, info)}"
        )


def _titles(titles: list[str]) -> str:
    listed = first_few(titles, _SHOWN)
    return f"{len(titles)} label{'s' if len(titles) > 1 else ''} ({listed})"


def write_label_counts(path: pathlib.Path, splits: Mapping[str, SplitCounts]) -> None:
    """Writes a file beside the records in `path`: by split, the number of pixels of each id, and the number of labelled
    pixels of the images in which it occurs.
    """
    pixels = {split: _by_id(counts.pixels) for split, counts in splits.items()}
    write_json(
        path / LABEL_COUNTS_FILE,
        pixels | {_LABELLED_WITH: {split: _by_id(counts.labelled_with) for split, counts in splits.items()}},
    )


def read_label_counts(dataset: Dataset) -> dict[str, np.ndarray] | None:
    """Returns the number of pixels of each id, int64 [256], by labelled split; None if there is no such file (records
    of other software).

    Raises:
      UserError: if the file is damaged.
    """
    return _read(dataset, lambda value: value)


def read_labelled_with(dataset: Dataset) -> dict[str, np.ndarray] | None:
    """Returns the number of labelled pixels of the images in which each id occurs, int64 [256], by labelled split; None
    if it is not stored (records of other software, or of an earlier version).

    Raises:
      UserError: if the file is damaged.
    """
    return _read(dataset, lambda value: value.get(_LABELLED_WITH))


def _read(dataset: Dataset, part: Callable[[Any], Any]) -> dict[str, np.ndarray] | None:
    path = dataset.path / LABEL_COUNTS_FILE
    if not path.exists():
        return None
    value = read_json(path, "counts of label ids")
    try:
        kept = part(value)
        return None if kept is None else {split: _counts(kept[split]) for split in dataset.info.labelled_splits}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise UserError(f"The counts of label ids {path} are damaged; build the data set again.") from error


def _by_id(counts: np.ndarray) -> dict[str, int]:
    return {str(i): int(counts[i]) for i in np.flatnonzero(counts)}


def _counts(value: Mapping[str, Any]) -> np.ndarray:
    counts = np.zeros(NUM_IDS, np.int64)
    for key, pixels in value.items():
        if not isinstance(pixels, int) or isinstance(pixels, bool) or pixels < 0 or not key.isdigit():
            raise ValueError(json.dumps([key, pixels]))
        counts[int(key)] = pixels
    return counts
