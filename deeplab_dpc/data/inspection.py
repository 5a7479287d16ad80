"""Inspection of a prepared data set: its problems, its contents, and suitable label weights."""

import collections
import concurrent.futures
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from deeplab_dpc.console import track
from deeplab_dpc.data.absent_classes import MixedMasks, absent_class_problem
from deeplab_dpc.data.contact_sheet import Tile, chosen_indices, save_contact_sheet
from deeplab_dpc.data.dataset_info import Dataset, DatasetInfo
from deeplab_dpc.data.examination import Examined, Kind, examine
from deeplab_dpc.data.label_statistics import SplitCounts, class_shares, ignored_share, label_weights, out_of_range
from deeplab_dpc.data.tolerant_reader import Damage, read_records
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import write_json

REPORT_FILE, SHEET_FILE = "check_data.json", "contact_sheet.png"
SHEET_TILES = 24
LISTED = 20  # number of problems of each kind that are listed
MIN_SIDE = 33  # pixels; smaller images are less than three cells of a feature map at output stride 16
MIN_LABELLED = 0.5  # share of the pixels
_THREADS = max(2, os.cpu_count() or 1)
_CHUNK = 4 * _THREADS  # records in memory at a time


@dataclasses.dataclass(frozen=True)
class Finding:
    """A kind of problem in a split.

    Attributes:
      kind: kind of the problem.
      split: name of the split.
      count: number of occurrences.
      first: sentences about the first occurrences, at most LISTED.
    """

    kind: Kind
    split: str
    count: int
    first: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Inspection:
    """The result of `check`.

    Attributes:
      dataset: data set that was inspected.
      splits: counts of each split.
      findings: problems, errors first.
      weighted_split: split for which the weights are computed; None if no split has labels.
      label_weights: weight of each class.
      files: files that were written.
    """

    dataset: Dataset
    splits: dict[str, SplitCounts]
    findings: tuple[Finding, ...]
    weighted_split: str | None
    label_weights: tuple[float, ...]
    files: tuple[pathlib.Path, ...] = ()

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind.is_error]

    @property
    def warnings(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.kind.is_error]

    @property
    def label_weight_flags(self) -> str:
        """Returns the weights as DeepLab's flag, once for each class."""
        return " ".join(f"--label_weights={weight:g}" for weight in self.label_weights)

    def labelled_splits(self) -> list[str]:
        return [split for split in self.splits if split not in self.dataset.info.unlabelled]

    def ignored_share(self, split: str) -> float:
        """Returns the share of a split's pixels that are ignored."""
        return ignored_share(self.splits[split].pixels, self.dataset.info.ignore_label)

    def require_no_errors(self) -> None:
        """Raises a UserError that names the first error and the number of errors."""
        if self.errors:
            count = sum(finding.count for finding in self.errors)
            noun = "error" if count == 1 else "errors"
            first = self.errors[0].first[0]
            raise UserError(f"The data set in {self.dataset.path} has {count:,} {noun}, the first: {first}.")

    def to_json(self) -> dict[str, Any]:
        info = self.dataset.info
        return {
            "path": str(self.dataset.path),
            "name": info.name,
            "splits": {split: self._split_json(split) for split in self.splits},
            "errors": [_finding_json(finding) for finding in self.errors],
            "warnings": [_finding_json(finding) for finding in self.warnings],
            "label_weights": {
                "split": self.weighted_split,
                "weights": dict(zip(info.class_names, self.label_weights, strict=True)),
            }
            if self.weighted_split is not None
            else None,
        }

    def _split_json(self, split: str) -> dict[str, Any]:
        info, counts = self.dataset.info, self.splits[split]
        ordered = counts.ordered_sizes()
        value: dict[str, Any] = {
            "records": counts.records,
            "expected_records": info.splits[split],
            "image_sizes": dict(zip(("smallest", "median", "largest"), ordered, strict=True)) if ordered else None,
            "distinct_image_sizes": len(counts.sizes),
            "labelled": split not in info.unlabelled,
        }
        if split in info.unlabelled:
            return value
        shares = class_shares(counts.pixels, info)
        value["ignored_share"] = self.ignored_share(split)
        value["out_of_range_pixels"] = out_of_range(counts.pixels, info.num_classes, info.ignore_label)
        value["classes"] = [
            {
                "id": i,
                "name": name,
                "pixels": int(counts.pixels[i]),
                "share": shares[i],
                "images": int(counts.images[i]),
            }
            for i, name in enumerate(info.class_names)
        ]
        return value


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {**dataclasses.asdict(finding), "kind": finding.kind.value, "first": list(finding.first)}


def check(dataset: Dataset, output_dir: str | os.PathLike[str], show_progress: bool = True) -> Inspection:
    """Inspects every record of every split, and writes check_data.json and contact_sheet.png.

    Args:
      dataset: the prepared data set.
      output_dir: directory for the files, created if it is absent.
      show_progress: bool, whether to show progress bars.

    Returns:
      Result of the inspection. Errors in the records are reported, not raised.
    """
    collected = _Collected(dataset.info)
    splits = {split: _inspect_split(dataset, split, collected, show_progress) for split in dataset.info.splits}
    labelled = [split for split in splits if split not in dataset.info.unlabelled]
    weighted = next((split for split in ("train", *labelled) if split in labelled), None)
    collected.add_sums(splits, weighted)
    weights: tuple[float, ...] = ()
    if weighted is not None:
        weights = label_weights(splits[weighted].pixels, splits[weighted].labelled_with, dataset.info)
    output_dir = pathlib.Path(output_dir)
    sheet, report = output_dir / SHEET_FILE, output_dir / REPORT_FILE
    inspection = Inspection(dataset, splits, collected.findings(), weighted, weights, (report, sheet))
    pixels = np.sum([counts.pixels for counts in splits.values()], axis=0)
    save_contact_sheet(sheet, collected.tiles, dataset.info, pixels / max(pixels.sum(), 1))
    write_json(report, inspection.to_json())
    return inspection


class _Collected:
    """The problems, digests and tiles collected from the records of all splits."""

    def __init__(self, info: DatasetInfo):
        self._info = info
        self._count: collections.Counter[tuple[Kind, str]] = collections.Counter()
        self._first: dict[tuple[Kind, str], list[str]] = collections.defaultdict(list)
        self._places: dict[bytes, tuple[str, str]] = {}  # (split, title) of each image's first occurrence
        self.chosen = chosen_indices(info.splits, SHEET_TILES)
        self.tiles: list[tuple[str, Tile]] = []
        self._masks = MixedMasks(info)

    def problem(self, kind: Kind, split: str, sentence: str) -> None:
        """Records a problem."""
        self._count[kind, split] += 1
        if len(self._first[kind, split]) < LISTED:
            self._first[kind, split].append(sentence)

    def add(self, split: str, index: int, examined: Examined) -> None:
        """Adds the result of one record."""
        title = f"record {index} of {split}" + (f" ({examined.filename})" if examined.filename else "")
        for kind, text in examined.problems:
            self.problem(kind, split, f"{title}: {text}" if kind != Kind.DAMAGED else f"{title} {text}")
        if examined.size is not None and min(examined.size) < MIN_SIDE:
            height, width = examined.size
            self.problem(Kind.SMALL, split, f"{title}: it has {width} x {height} pixels")
        if examined.digest:
            other_split, other = self._places.setdefault(examined.digest, (split, title))
            if other != title:
                kind = Kind.REPEATED if other_split == split else Kind.LEAKED
                self.problem(kind, split, f"{title} has the same image as {other}")
        if examined.pixels is not None:
            self._masks.add(title, examined.pixels)
        if examined.tile is not None:
            self.tiles.append((f"{split} {index}: {examined.filename}", examined.tile))

    def add_sums(self, splits: dict[str, SplitCounts], train_split: str | None) -> None:
        """Adds the problems of the summed counts; `train_split` is the labelled split to train on, if there is one."""
        if train_split is not None:
            pixels = {split: splits[split].pixels for split in self._info.labelled_splits}
            if problem := absent_class_problem(pixels, train_split, self._info) or self._masks.problem():
                self.problem(Kind.ABSENT, train_split, problem)
        for split, counts in splits.items():
            if split in self._info.unlabelled or not counts.pixels.sum():
                continue
            for class_id, name in enumerate(self._info.class_names):
                if not counts.pixels[class_id] and class_id != self._info.ignore_label:
                    self.problem(Kind.NEVER_SEEN, split, f"the class {name} does not occur in {split}")
            ignored = ignored_share(counts.pixels, self._info.ignore_label)
            if ignored > 1 - MIN_LABELLED:
                self.problem(Kind.UNLABELLED, split, f"{100 * ignored:.1f} % of the pixels of {split} are ignored")

    def findings(self) -> tuple[Finding, ...]:
        """Returns the problems by kind and split."""
        ordered = sorted(
            self._count, key=lambda entry: (list(Kind).index(entry[0]), list(self._info.splits).index(entry[1]))
        )
        return tuple(
            Finding(kind, split, self._count[kind, split], tuple(self._first[kind, split])) for kind, split in ordered
        )


def _inspect_split(dataset: Dataset, split: str, collected: _Collected, show_progress: bool) -> SplitCounts:
    counts, info = SplitCounts(), dataset.info
    try:
        shards = dataset.record_files(split)
    except UserError as error:
        collected.problem(Kind.MISSING, split, str(error).rstrip("."))
        return counts
    records: Iterator[bytes | Damage] = itertools.chain.from_iterable(map(read_records, shards))
    has_label = split not in info.unlabelled
    look = functools.partial(_look, has_label=has_label, info=info, chosen=collected.chosen[split])
    examined: Iterable[Examined] = _in_threads(look, enumerate(records))
    if show_progress:
        examined = track(examined, f"Checking {split}", info.splits[split])
    for index, one in enumerate(examined):
        counts.add(one.size, one.pixels, info.ignore_label)
        collected.add(split, index, one)
    if counts.records != info.splits[split]:
        sentence = f"{split} has {counts.records} records, but its metadata says {info.splits[split]}"
        collected.problem(Kind.COUNT, split, sentence)
    return counts


def _look(numbered: tuple[int, bytes | Damage], has_label: bool, info: DatasetInfo, chosen: set[int]) -> Examined:
    index, record = numbered
    return examine(record, has_label, info.num_classes, info.ignore_label, index in chosen)


def _in_threads(function: Any, items: Iterator[Any]) -> Iterator[Any]:
    """Yields `map(function, items)`, computed on all cores with few items in memory (decoding releases the GIL)."""
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        while chunk := list(itertools.islice(items, _CHUNK)):
            yield from pool.map(function, chunk)
