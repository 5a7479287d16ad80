"""Checks a prepared data set: records, labels, classes, sizes, duplicates. Suggests label weights."""

import json
import os
import pathlib

from deeplab_dpc.cli.flags.base import required
from deeplab_dpc.cli.flags.check_data import Flags
from deeplab_dpc.console import console, print_table
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.inspection import Finding, Inspection, check
from deeplab_dpc.data.label_statistics import MAX_WEIGHT, MIN_WEIGHT, class_shares, out_of_range
from deeplab_dpc.files import remove_partial

SHOWN = 5  # printed examples of each kind of problem; the report has more
SHOWN_IDS = 10


def main(flags: Flags) -> None:
    """Checks the data set.

    Raises:
      UserError: after the whole report, if the data set has errors.
    """
    dataset = find_dataset(required("data_dir", flags.data_dir), flags.dataset, flags.classes)
    output_dir = flags.output_dir or default_output_dir(dataset)
    remove_partial(output_dir)  # the incomplete files of a killed check
    inspection = check(dataset, output_dir, show_progress=not flags.json)
    if flags.json:
        print(json.dumps(inspection.to_json(), indent=1))
    else:
        print_inspection(inspection)
    inspection.require_no_errors()


def default_output_dir(dataset: Dataset) -> pathlib.Path:
    """Returns check/ in the data set's folder, or check_NAME/ in the current one if that is read-only."""
    return dataset.path / "check" if os.access(dataset.path, os.W_OK) else pathlib.Path(f"check_{dataset.info.name}")


def print_inspection(inspection: Inspection) -> None:
    """Prints tables, problems and the suggested label weights."""
    dataset = inspection.dataset
    columns = ("split", "records", "in metadata", "smallest", "median", "largest", "sizes", "ignored")
    print_table(
        f"{dataset.info.name} in {dataset.path}",
        columns,
        [_split_row(inspection, split) for split in inspection.splits],
    )
    if inspection.weighted_split is not None:
        _print_classes(inspection)
        _print_wrong_ids(inspection)
        console.print(
            f"Label weights for {inspection.weighted_split} (median frequency balancing, "
            f"{MIN_WEIGHT:g} to {MAX_WEIGHT:g}):\n{inspection.label_weight_flags}\n"
        )
    print_findings(inspection)


def print_findings(inspection: Inspection) -> None:
    """Prints the problems, and the paths of report and contact sheet."""
    for title, findings in (("Error", inspection.errors), ("Warning", inspection.warnings)):
        for finding in findings:
            _print_finding(title, finding)
    if not inspection.findings:
        console.print("No problems were found.")
    console.print(f"Written: {', '.join(map(str, inspection.files))}")


def _split_row(inspection: Inspection, split: str) -> tuple[str, ...]:
    counts, info = inspection.splits[split], inspection.dataset.info
    sizes = counts.ordered_sizes() or ()
    shown = [f"{height} x {width}" for height, width in sizes] or ["-"] * 3
    ignored = "no labels" if split in info.unlabelled else _percent(inspection.ignored_share(split))
    return split, f"{counts.records:,}", f"{info.splits[split]:,}", *shown, f"{len(counts.sizes):,}", ignored


def _print_classes(inspection: Inspection) -> None:
    info, splits = inspection.dataset.info, inspection.labelled_splits()
    shares = {split: class_shares(inspection.splits[split].pixels, info) for split in splits}
    columns = ["class"]
    for split in splits:
        columns += [f"{split}: pixels", "share", "images"]
    rows = []
    for i, name in enumerate(info.class_names):
        row = [f"{i} {name}"]
        for split in splits:
            counts = inspection.splits[split]
            row += [f"{counts.pixels[i]:,}", _percent(shares[split][i]), f"{counts.images[i]:,}"]
        rows.append((*row, f"{inspection.label_weights[i]:g}"))
    print_table("Classes (shares of labelled pixels)", (*columns, "weight"), rows)


def _print_wrong_ids(inspection: Inspection) -> None:
    info = inspection.dataset.info
    rows = []
    for split in inspection.labelled_splits():
        counts = inspection.splits[split]
        wrong = out_of_range(counts.pixels, info.num_classes, info.ignore_label)
        by_count = sorted(wrong.items(), key=lambda item: -item[1])
        rows += [(split, str(i), f"{pixels:,}", f"{counts.images[i]:,}") for i, pixels in by_count[:SHOWN_IDS]]
        if len(wrong) > SHOWN_IDS:
            rest = sum(pixels for _, pixels in by_count[SHOWN_IDS:])
            rows.append((split, f"{len(wrong) - SHOWN_IDS} others", f"{rest:,}", ""))
    if rows:
        print_table("Ids out of range", ("split", "id", "pixels", "images"), rows)


def _print_finding(title: str, finding: Finding) -> None:
    console.print(f"{title}: {finding.kind.value}, {finding.split}: {finding.count:,}")
    for sentence in finding.first[:SHOWN]:
        console.print(f"  {sentence}")
    if finding.count > SHOWN:
        console.print(f"  and {finding.count - SHOWN:,} more")


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
