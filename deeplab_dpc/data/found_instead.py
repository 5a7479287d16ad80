"""The error message for a folder without a data set: its contents, and how to make a data set of them. Needs no
TensorFlow.
"""

import os
import pathlib
import re
import shlex
from collections.abc import Iterator

from deeplab_dpc.data.file_kinds import listed
from deeplab_dpc.data.image_files import SUFFIXES

_LOOKED_AT = 1000  # files
_LEVELS = 3  # folders deep
_RECORDS = re.compile(r"\d+-of-\d+|\.?(tf)?records?\b", re.IGNORECASE)
_SHARD = re.compile(r"(\d+)-of-(\d+)")
_SPLITS = ("train", "val", "validation", "test", "trainval", "train_aug")
_TFDS_INFO = "features.json"


def no_dataset_there(data_dir: pathlib.Path) -> str:
    """Returns the error message for a directory without a data set."""
    if not data_dir.exists():
        return f"There is no folder {data_dir}; give that of the data set as --data_dir, or build one{_how(data_dir)}."
    if not data_dir.is_dir():
        return f"{data_dir} is a file; give the folder that the data set is in as --data_dir."
    files = list(_files(data_dir))
    none = f"There is no prepared data set in {data_dir}"
    if any(path.name == _TFDS_INFO for path in files):
        return (
            f"{data_dir} holds a TensorFlow Datasets data set, not a prepared one; convert it with deeplab-dpc "
            f"build-tfds --tfds_name=NAME --tfds_data_dir={data_dir} --data_dir=ELSEWHERE."
        )
    records = sorted(path for path in files if _RECORDS.search(path.name))
    if records:
        names = listed([path.name for path in records], "file")
        return (
            f"{none}: record files are called SPLIT-00000-of-00001.tfrecord, and there are {names}; rename "
            f"{records[0].name} to {record_file_name(records[0].name)}{' and so on' if len(records) > 1 else ''}, with "
            "classes.json beside, or --classes."
        )
    images = sorted(path for path in files if path.suffix.lower() in SUFFIXES)
    if images:
        names = listed([path.name for path in images], "file")
        return (
            f"{none}, but pictures ({names}); convert them with deeplab-dpc build-folder "
            f"--images={shlex.quote(str(images[0].parent))} --labels=LABELS --classes=NAMES --data_dir=ELSEWHERE."
        )
    return f"{none}; build one{_how(data_dir)}."


def record_file_name(name: str) -> str:
    """Returns the proper name of a record file that has another name."""
    shard = _SHARD.search(name)
    number, total = (int(shard[1]), int(shard[2])) if shard else (0, 1)
    words = re.findall(r"[A-Za-z][A-Za-z0-9_]*", name)
    split = next((word for word in words if word.lower() in _SPLITS), words[0] if words else "train")
    return f"{split}-{number:05d}-of-{total:05d}.tfrecord"


def _how(data_dir: pathlib.Path) -> str:
    return (
        " with deeplab-dpc build-folder (own images) or deeplab-dpc build-shapes (drawn examples), with "
        f"--data_dir={data_dir}"
    )


def _files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the first files that are not hidden, at most a few folders deep."""
    seen = 0
    for place, folders, names in os.walk(folder):
        depth = len(pathlib.Path(place).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if depth < _LEVELS else []
        for name in sorted(names):
            if not name.startswith("."):
                yield pathlib.Path(place, name)
                seen += 1
        if seen >= _LOOKED_AT:
            return
