"""The files of a folder or archive that a conversion does not use.

Their names are printed. Pictures of unsupported kinds are an error, since they were probably meant to be converted.
"""

import pathlib
from collections.abc import Collection

from deeplab_dpc.console import console
from deeplab_dpc.data.file_kinds import HEAD_BYTES, UNREAD_PICTURES, kind_of_contents, listed
from deeplab_dpc.data.image_files import SUFFIXES
from deeplab_dpc.datasets.raw_base import RawFiles, is_hidden
from deeplab_dpc.errors import UserError

_LOOKED_INTO = 20  # number of files of unknown kind whose contents are read
_LARGEST = 2**26  # bytes of such a file


def print_left_out(raw: RawFiles, taken: Collection[str], skip_bad: bool) -> None:
    """Prints the files that are not used.

    Args:
      raw: folder or archive.
      taken: paths of the files that are used.
      skip_bad: bool, whether pictures of unsupported kinds are only printed.

    Raises:
      UserError: for pictures of unsupported kinds, or without a suffix, unless `skip_bad`.
    """
    others = [name for name in raw.names() if name not in taken]
    if not others:
        return
    unread = [name for name in others if name.lower().endswith(UNREAD_PICTURES)]
    unknown = [name for name in others if name not in unread and not name.lower().endswith(SUFFIXES)]
    misnamed = {name: kind for name in unknown[:_LOOKED_INTO] if (kind := kind_of_contents(_head(raw, name)))}
    if not skip_bad and misnamed:
        name, kind = next(iter(misnamed.items()))
        raise UserError(
            f"{listed(misnamed, 'file')} in {raw.path} without an ending of a picture, but with the contents of one; "
            f"rename the first to {pathlib.PurePosixPath(name).name}{kind}, or give --skip_bad to leave them out."
        )
    if not skip_bad and unread:
        raise UserError(
            f"{listed(unread, 'file')} in {raw.path} of kinds that are not read ({', '.join(SUFFIXES)} are); convert "
            "them, move them away, or give --skip_bad to leave them out."
        )
    console.print(f"Left out of {raw.path}: {listed(others, 'file')}.")


def print_empty_folders(raw: RawFiles) -> None:
    """Prints the subfolders of a folder that contain no file, and are therefore no splits."""
    if not raw.path.is_dir():
        return
    full = {name.partition("/")[0] for name in raw.names()}
    for folder in sorted(raw.path.iterdir()):
        if folder.is_dir() and folder.name not in full and not is_hidden(folder.name):
            console.print(f"The folder {folder} holds no file; there is no split of that name.")


def _head(raw: RawFiles, name: str) -> bytes:
    """Returns the first bytes of a file; none for a file that is too large for a picture, which is not read."""
    return raw.read(name)[:HEAD_BYTES] if raw.identity(name)[0] <= _LARGEST else b""
