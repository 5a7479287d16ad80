"""The user's data of `fit`: the splits that it needs, and changes of the files since it converted them."""

import hashlib
import pathlib
from collections.abc import Sequence

from deeplab_dpc.data.dataset_info import DatasetInfo
from deeplab_dpc.data.file_kinds import LABEL_SUFFIXES, LOSSY_SUFFIXES
from deeplab_dpc.datasets.annotation_kinds import SUFFIXES
from deeplab_dpc.datasets.raw_files import open_raw
from deeplab_dpc.errors import UserError

_SUFFIXES = (*LABEL_SUFFIXES, *LOSSY_SUFFIXES, *SUFFIXES.values(), ".csv", ".yaml", ".yml")
Sources = dict[str, str | int]


def sources_of(paths: Sequence[str]) -> Sources:
    """Returns the number of files in some folders, and a digest of their names and sizes.

    Args:
      paths: folders, searched with their subfolders, also those that are links, and files. Hidden files, and those
        that cannot be images, labels, annotations or lists, do not count.
    """
    lines = sorted(f"{name} {size}" for path in dict.fromkeys(paths) for name, size in _files(pathlib.Path(path)))
    return {
        "files": len(lines),
        "digest": hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest(),
    }


def require_unchanged(root: pathlib.Path, before: Sources, now: Sources) -> None:
    """Raises a UserError if the files are not those that were converted in a workdir."""
    if before == now:
        return
    changed = "some were renamed or changed"
    if before["files"] != now["files"]:
        changed = f"there were {before['files']} files, now there are {now['files']}"
    raise UserError(
        f"The images or labels have changed since {root} was begun: {changed}. Give another --workdir to use them as "
        "they are now, or restore them to continue."
    )


def _files(path: pathlib.Path) -> list[tuple[str, int]]:
    if path.is_file():
        return [(path.name, path.stat().st_size)]
    if not path.is_dir():
        return []
    names = [name for name in open_raw(path).names() if name.lower().endswith(_SUFFIXES)]
    return [(name, (path / name).stat().st_size) for name in names if (path / name).exists()]


def require_train_and_val(data_dir: pathlib.Path, info: DatasetInfo, is_own: bool, group_by: str | None) -> None:
    """Raises a UserError if a data set has no labelled split train or val.

    Args:
      data_dir: directory of the data set.
      info: its metadata.
      is_own: bool, whether fit converted it from a folder of images, and drew val.
      group_by: value of --group_by, or None.
    """
    labelled = info.labelled_splits
    for split in ("train", "val"):
        if split not in labelled:
            if is_own and labelled == ("train",):
                raise UserError(_one_group(data_dir, info.splits["train"], group_by))
            raise UserError(
                f"The data set in {data_dir} has no labelled split {split}, which fit needs; its labelled splits are "
                f"{', '.join(labelled) or 'none'}: name folders or the list's splits train and val."
            )


def _one_group(data_dir: pathlib.Path, images: int, group_by: str | None) -> str:
    """Returns the error message for own images that are all in train, since there is nothing to draw val from."""
    where = f"The data set in {data_dir} has"
    if images == 1:
        return f"{where} only one labelled image, and fit needs at least two, one for train and one for val; add some."
    if group_by is not None:
        return (
            f"{where} no labelled split val, since its {images} images are one group (--group_by={group_by}), which "
            "stays together; give a --group_by that makes at least two groups, or leave it out."
        )
    return f"{where} no labelled split val, which fit needs; add a folder val beside train, or use no folders."
