"""Search for a data set below a directory: one of this package, one converted from TFDS, or DeepLab's record files."""

import os
import pathlib
import re

from deeplab_dpc.data.classes_file import CLASSES_FILE
from deeplab_dpc.data.dataset_info import INFO_FILE, RECORD_FILES, Dataset, load_dataset
from deeplab_dpc.data.far_data import local_data_dir
from deeplab_dpc.data.found_instead import no_dataset_there
from deeplab_dpc.data.record_files import records_name
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import read_json, require_unicode

_SHARDS = "*-[0-9][0-9][0-9][0-9][0-9]-of-[0-9][0-9][0-9][0-9][0-9].tfrecord"
_TFDS = "tfds:"  # before the name of a TFDS data set


class NoDatasetError(UserError):
    """The error for a directory without a data set."""


def find_dataset(
    data_dir: str | os.PathLike[str], name: str | None = None, classes: str | os.PathLike[str] | None = None
) -> Dataset:
    """Finds the one data set below a directory: prepared, or DeepLab's record files beside a classes file.

    Args:
      data_dir: directory with <name>/<version>/ in the layout of TensorFlow Datasets (TFDS), or with a folder of record
        files <split>-00000-of-00010.tfrecord, or such a folder itself; or the address of one, see `local_data_dir`.
      name: name of the data set, if there are several; tfds:NAME is the TFDS data set NAME as converted by
        build_tfds.
      classes: classes file for record files without one beside them; unused for a prepared data set.

    Raises:
      UserError: if there is no data set (NoDatasetError), or more than one.
    """
    require_unicode(data_dir, "data_dir")
    data_dir = local_data_dir(data_dir)
    newest: dict[str, pathlib.Path] = {}
    without_classes: dict[str, pathlib.Path] = {}
    for path in sorted(_candidates(data_dir), key=_version):
        if not _is_foreign(path):
            newest[load_dataset(path).info.name] = path
        elif classes is not None or (path / CLASSES_FILE).exists():
            newest[records_name(path)] = path
        else:
            without_classes[records_name(path)] = path
    if name is not None and name.startswith(_TFDS):
        return load_dataset(_converted(newest, name.removeprefix(_TFDS), data_dir))
    found = newest or without_classes if name is None else without_classes | newest
    if name is not None and found and name not in found:
        raise UserError(f"There is no data set {name!r} in {data_dir}; there is {', '.join(sorted(found))}.")
    if not found:
        raise NoDatasetError(no_dataset_there(data_dir))
    if name is None and len(found) > 1:
        raise UserError(
            f"There are several data sets in {data_dir}; choose one with --dataset={'|'.join(sorted(found))}."
        )
    return _open(found[name] if name is not None else next(iter(found.values())), classes)


def tfds_dataset_name(tfds_name: str) -> str:
    """Returns the name of the conversion of a TFDS data set (NAME, NAME/CONFIG, NAME:VERSION)."""
    return "tfds_" + re.sub(r"\W", "_", tfds_name)


def _converted(found: dict[str, pathlib.Path], tfds_name: str, data_dir: pathlib.Path) -> pathlib.Path:
    name = tfds_dataset_name(tfds_name)
    if name not in found:
        raise UserError(
            f"The TFDS data set {tfds_name!r} has not been converted in {data_dir}; do so with deeplab-dpc build-tfds "
            f"--tfds_name={tfds_name} --tfds_data_dir=WHERE_TFDS_PREPARED_IT --data_dir={data_dir}."
        )
    return found[name]


def _open(path: pathlib.Path, classes: str | os.PathLike[str] | None) -> Dataset:
    if not _is_foreign(path):
        return load_dataset(path)
    from deeplab_dpc.data.foreign_records import load_records  # needs TensorFlow

    return load_records(path, path / CLASSES_FILE if classes is None else classes)


def _is_foreign(path: pathlib.Path) -> bool:
    """Returns whether the records in a directory were written by other software."""
    info = path / INFO_FILE
    if not info.exists():
        return True
    value = read_json(info, "data set's metadata")
    return isinstance(value, dict) and RECORD_FILES in value


def _candidates(data_dir: pathlib.Path) -> list[pathlib.Path]:
    """Returns the directories with metadata or records, at most two levels down, without those of interrupted
    preparations.
    """
    found = [
        file.parent
        for pattern in ("", "*/", "*/*/")
        for name in (INFO_FILE, _SHARDS)
        for file in data_dir.glob(pattern + name)
    ]
    unique = dict.fromkeys(found)
    return [path for path in unique if not any(_is_unfinished(part) for part in path.relative_to(data_dir).parts)]


def _is_unfinished(directory_name: str) -> bool:
    return directory_name.startswith(".") or "incomplete." in directory_name


def _version(path: pathlib.Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path.name)]
