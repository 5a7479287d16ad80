"""The data set of a run: dataset.json with the classes, the splits, and digests of the records that the run reads."""

import dataclasses
import pathlib
from collections.abc import Iterable, Sequence

from deeplab_dpc.data.dataset_info import Dataset, DatasetInfo
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import has_check_sum, read_json, with_check_sum, write_json

DATASET_FILE = "dataset.json"
# Fields of a run's configuration with the location of its data: they may change as long as the digests stay the same.
PLACES = ("data.data_dir", "data.dataset", "data.classes")
_DIGESTS = "digests"
_SHOWN = 8  # digits of a digest in messages


@dataclasses.dataclass(frozen=True)
class RunData:
    """The data of a run.

    Attributes:
      info: classes and splits.
      digests: digests of the records of the splits that the run reads (RecordIndex.digest); {} in runs of earlier
        versions.
    """

    info: DatasetInfo
    digests: dict[str, str]


def bind(workdir: pathlib.Path, dataset: Dataset, splits: Iterable[str]) -> RunData:
    """Returns the contents of a run's dataset.json, to be written by `write_run_data`.

    Args:
      workdir: run directory, which may be new.
      dataset: data set to train on.
      splits: splits that the run reads.

    Raises:
      UserError: if the directory holds a run on other data; the message names the differences.
    """
    named = dict.fromkeys(part.split for split in splits for part in dataset.parts(split))
    digests = {split: dataset.index(split).digest() for split in named}
    if not (workdir / DATASET_FILE).exists():
        return RunData(dataset.info, digests)
    before = read_run_data(workdir)
    differences = list(_differences(before, RunData(dataset.info, digests)))
    if differences:
        other_classes = class_difference(before.info.class_names, dataset.info.class_names)
        start = "tf_initial_checkpoint" if other_classes else "fork_from"
        raise UserError(
            f"{workdir} holds a run on other data: {'; '.join(differences)}; give the data set that it was trained on "
            f"(--data_dir), or a new --workdir with --{start}={workdir} to train on this one."
        )
    return RunData(dataset.info, before.digests | digests)


def _differences(before: RunData, now: RunData) -> Iterable[str]:
    difference = class_difference(before.info.class_names, now.info.class_names)
    if difference:
        yield difference
    if before.info.ignore_label != now.info.ignore_label:
        yield f"the ignore label was {before.info.ignore_label} and is {now.info.ignore_label}"
    for split, digest in now.digests.items():
        counts = [info.splits.get(split) for info in (before.info, now.info)]
        if None not in counts and counts[0] != counts[1]:
            yield f"{split} had {counts[0]} records and has {counts[1]}"
        elif before.digests.get(split, digest) != digest:
            yield f"the records of {split} are others (digest {before.digests[split][:_SHOWN]}, now {digest[:_SHOWN]})"


def class_difference(before: Sequence[str], now: Sequence[str]) -> str | None:
    """Returns as text the first difference between two lists of class names; None if they are equal."""
    if len(before) != len(now):
        return f"there were {len(before)} classes and are {len(now)}"
    for class_id, (name, other) in enumerate(zip(before, now, strict=True)):
        if name != other:
            order = "the classes are in another order: " if sorted(before) == sorted(now) else ""
            return f"{order}class {class_id} was {name!r} and is {other!r}"
    return None


def write_run_data(workdir: pathlib.Path, data: RunData) -> None:
    """Writes dataset.json."""
    write_json(workdir / DATASET_FILE, with_check_sum(data.info.to_json() | {_DIGESTS: data.digests}))


def read_run_data(workdir: str | pathlib.Path) -> RunData:
    """Reads dataset.json of a run.

    Raises:
      UserError: if the file is absent or was changed.
    """
    path = pathlib.Path(workdir) / DATASET_FILE
    value = read_json(path, "description of the run's data")
    if isinstance(value, dict) and not has_check_sum(value):
        raise _damaged(path)
    try:
        data = RunData(DatasetInfo.from_json(value), value.get(_DIGESTS, {}))
    except UserError as error:
        raise _damaged(path) from error
    if not isinstance(data.digests, dict) or not all(isinstance(digest, str) for digest in data.digests.values()):
        raise _damaged(path)
    return data


def _damaged(path: pathlib.Path) -> UserError:
    return UserError(
        f"The description of the run's data {path} is damaged; put a copy of it there, or remove it: the next start of "
        "the training writes it again from --data_dir."
    )
