"""A CSV or TXT list of images, their labels and their splits."""

import collections
import csv
import dataclasses
import os
import pathlib
import re

from deeplab_dpc.console import console
from deeplab_dpc.data.file_kinds import LABEL_SUFFIXES, LOSSY_CURE, LOSSY_SUFFIXES, listed
from deeplab_dpc.data.image_files import SUFFIXES as IMAGE_SUFFIXES
from deeplab_dpc.datasets.raw_files import RawFiles
from deeplab_dpc.datasets.splits import UNLABELLED_SPLIT, Pair, Splits, ValDraw, is_split_name, meant_split
from deeplab_dpc.errors import UserError, first_few
from deeplab_dpc.small_files import read_text

COLUMNS = ("image", "label", "split")
SHOWN_LINES = 5


@dataclasses.dataclass(frozen=True)
class _Row:
    line: int
    image: str
    label: str
    split: str


def read_pair_list(path: str | os.PathLike[str], images: RawFiles, labels: RawFiles, draw: ValDraw) -> Splits:
    """Returns the pairs of a list with a line for each image: image, label, split.

    The columns are separated by tabs, semicolons, commas or, except in a .csv file, blanks; the first line, which may
    be a header, decides which. A label may be empty. Without splits, labelled images are drawn for train and val, and
    unlabelled ones are the split `test`.

    Args:
      path: path of the list, a text file in UTF-8.
      images: folder or archive to which the images' paths are relative.
      labels: folder or archive to which the labels' paths are relative.
      draw: draw of val, used if the list has no splits.

    Raises:
      UserError: if the list cannot be read or a line of it is wrong; up to five lines are named.
    """
    path = pathlib.Path(path)
    rows, problems = _rows(path)
    problems += [(row.line, problem) for row in rows if (problem := _problem(row, rows[0], images, labels))]
    first_line: dict[str, int] = {}
    for row in rows:
        file = os.path.normpath(images.path / row.image)
        other = first_line.setdefault(file, row.line)
        if other != row.line:
            problems.append((row.line, f"{row.image} is in line {other} already"))
    if problems:
        problems.sort()
        listed = "; ".join(f"line {line}: {problem}" for line, problem in problems[:SHOWN_LINES])
        more = f"; and {len(problems) - SHOWN_LINES} more" if len(problems) > SHOWN_LINES else ""
        raise UserError(f"The list {path} has bad lines: {listed}{more}.")
    if not rows:
        raise UserError(f"The list {path} names no image.")
    _print_shared_labels(path, rows, labels)
    return _splits(path, rows, draw)


def _rows(path: pathlib.Path) -> tuple[list[_Row], list[tuple[int, str]]]:
    """Returns the rows, and (line, problem) for invalid lines."""
    try:
        lines = read_text(path).splitlines()
    except OSError as error:
        raise UserError(f"The list {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The list {path} is not a text file in UTF-8 ({error.reason}); save it as one.") from error
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        return [], []
    delimiters = "\t;," if path.suffix.lower() == ".csv" else "\t;, "
    delimiter = next((mark for mark in delimiters if mark in numbered[0][1]), delimiters[-1])
    columns: tuple[str, ...] = COLUMNS
    rows, problems = [], []
    for number, line in numbered:
        try:
            fields = _fields(line, delimiter)
        except csv.Error as error:
            problems.append((number, str(error)))
            continue
        if number == numbered[0][0] and "image" in (header := tuple(field.lower() for field in fields)):
            columns = _checked_header(path, header)
            continue
        while len(fields) > len(columns) and not fields[-1]:
            fields.pop()
        if len(fields) > len(columns):
            problems.append((number, f"{len(fields)} columns, not {', '.join(columns)} (quote names with separators)"))
            continue
        cells = dict(zip(columns, fields, strict=False))
        image, label = (os.path.normpath(cells[column]) if cells.get(column) else "" for column in COLUMNS[:2])
        rows.append(_Row(number, image, label, cells.get("split", "")))
    return rows, problems


def _fields(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"|(\S+)', line)]
    (fields,) = csv.reader([line], delimiter=delimiter, skipinitialspace=delimiter != "\t", strict=True)
    return [field.strip() for field in fields]


def _checked_header(path: pathlib.Path, header: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := [name for name in header if name not in COLUMNS or header.count(name) > 1]:
        raise UserError(
            f"The header of the list {path} has the column {unknown[0]!r}; known are image, label and split, once each."
        )
    return header


def _problem(row: _Row, first: _Row, images: RawFiles, labels: RawFiles) -> str | None:
    """Returns the error of a row, or None."""
    for noun, name, suffixes, files in (
        ("image", row.image, IMAGE_SUFFIXES, images),
        ("label", row.label, LABEL_SUFFIXES, labels),
    ):
        if not name and noun == "label":
            continue
        if noun == "label" and name.lower().endswith(LOSSY_SUFFIXES):
            return f"the label {name!r} is a JPEG, {LOSSY_CURE}"
        if not name.lower().endswith(suffixes):
            return f"the {noun} {name!r} is not called {' or '.join(suffixes)}"
        if not files.exists(name):
            return f"the {noun} {files.title(name)} {files.absence(name)}"
    if bool(row.split) != bool(first.split):
        return f"{'a' if row.split else 'no'} split, unlike line {first.line}"
    if row.split and (meant := meant_split(row.split)):
        return f"the split {row.split!r} must be written {meant!r}"
    if row.split and not is_split_name(row.split):
        return f"the split {row.split!r} must be letters, digits and _, and not 'all'"
    return None


def _print_shared_labels(path: pathlib.Path, rows: list[_Row], labels: RawFiles) -> None:
    """Prints the labels that several images share, which may be intended, for example with a fixed camera."""
    lines: dict[str, list[int]] = collections.defaultdict(list)
    for row in rows:
        if row.label:
            lines[os.path.normpath(labels.path / row.label)].append(row.line)
    label_of = {row.line: row.label for row in rows}
    shared = [f"{label_of[numbers[0]]} (lines {_some(numbers)})" for numbers in lines.values() if len(numbers) > 1]
    if shared:
        console.print(
            f"Warning: the list {path} gives several images the same label: {first_few(shared, SHOWN_LINES)}. "
            "If that is not meant, correct the list."
        )


def _some(numbers: list[int]) -> str:
    return first_few(numbers, SHOWN_LINES)


def _splits(path: pathlib.Path, rows: list[_Row], draw: ValDraw) -> Splits:
    named: dict[str, list[Pair]] = collections.defaultdict(list)
    # The place of the files on this machine must not affect which images are in val.
    absolute = [os.path.dirname(row.image) for row in rows if os.path.isabs(row.image)]
    base = os.path.commonpath(absolute) if absolute else ""
    for row in rows:
        split = row.split or ("" if row.label else UNLABELLED_SPLIT)
        image = os.path.relpath(row.image, base) if os.path.isabs(row.image) else row.image
        named[split].append(Pair(_record_name(image), row.image, row.label or None))
    drawn = draw.splits(named.pop("", []))
    splits = {**drawn, **named}
    _check_splits(path, splits)
    return splits


def _record_name(image: str) -> str:
    """Returns the name of an image in the record: its path in the list, without parts that lead out of its folder."""
    parts = pathlib.PurePosixPath(os.path.normpath(image)).parts
    return "/".join(part for part in parts if part not in ("..", "/"))


def _check_splits(path: pathlib.Path, splits: Splits) -> None:
    for split, pairs in splits.items():
        without = [pair.image for pair in pairs if pair.label is None]
        if 0 < len(without) < len(pairs):
            raise UserError(
                f"{listed(without, 'image')} of the split {split} in the list {path} without a label, but others have "
                "one; either all images of a split have labels or none."
            )
        name, count = collections.Counter(pair.name for pair in pairs).most_common(1)[0]
        if count > 1:
            raise UserError(
                f"{count} images of the list {path} would all be called {name} in the split {split}; "
                "give --images, the folder that all of them are in."
            )
