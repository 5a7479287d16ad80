"""The files of the user's data, to recognise that they have changed since `fit` converted them."""

import hashlib
import os
import pathlib
from collections.abc import Sequence

from deeplab_dpc.errors import UserError

Sources = dict[str, str | int]


def sources_of(paths: Sequence[str]) -> Sources:
    """Returns the number of files in some folders, and a digest of their names and sizes.

    Args:
      paths: folders, searched with their subfolders, and files.
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
    found = []
    for folder, _, names in os.walk(path):
        for name in names:
            file = pathlib.Path(folder, name)
            if file.exists():
                found.append((str(file.relative_to(path)), file.stat().st_size))
    return found
