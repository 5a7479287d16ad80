"""The raw files of a data set, read in the same way from a folder, a zip file or a tar file; archives are never
unpacked.

Hidden files, and files that macOS adds to archives, are left out. Members that programs interpret differently (a name
that occurs twice, a link out of the archive) are refused.
"""

import os
import pathlib
import zipfile
from collections.abc import Iterator

from deeplab_dpc.data.file_kinds import broken_link
from deeplab_dpc.datasets.archives import Tar, Zip
from deeplab_dpc.datasets.raw_base import RawFiles, is_hidden, require_image_size
from deeplab_dpc.datasets.tar_files import is_tar
from deeplab_dpc.errors import UserError
from deeplab_dpc.untrusted_archives import damage_named

__all__ = ["RawFiles", "open_raw"]


def open_raw(path: str | os.PathLike[str]) -> RawFiles:
    """Returns the files of a folder, or of a .zip, .tar, .tar.gz or .tgz file.

    Raises:
      UserError: if there is no such folder or archive, it is damaged, or a member points outside of it.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        return _Folder(path)
    if not path.exists():
        raise UserError(f"There is no folder or archive {path}.")
    if not path.stat().st_size:
        raise UserError(f"The file {path} is empty.")
    with damage_named(f"The archive {path} is damaged"):
        if zipfile.is_zipfile(path):
            return Zip(path)
        if is_tar(path):
            return Tar(path)
    raise UserError(f"{path} is neither a folder nor a complete zip or tar file.")


class _Folder(RawFiles):
    def __init__(self, path: pathlib.Path):
        super().__init__(path)
        self._names: list[str] | None = None

    def names(self) -> list[str]:
        if self._names is None:
            self._names = sorted(file.relative_to(self.path).as_posix() for file in _walk(self.path))
        return self._names

    def exists(self, name: str) -> bool:
        return (self.path / name).is_file()

    def absence(self, name: str) -> str:
        return broken_link(self.path / name) or super().absence(name)

    def read(self, name: str) -> bytes:
        require_image_size(f"The file {self.title(name)}", self.identity(name)[0])
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError as error:
            raise self._missing(name) from error

    def identity(self, name: str) -> list[int]:
        try:
            stat = (self.path / name).stat()
        except FileNotFoundError as error:
            raise self._missing(name) from error
        return [stat.st_size, stat.st_mtime_ns]


def _walk(top: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields the visible files below a folder; links to folders are followed, except to a folder that contains them.

    Broken links are among the files, so that reading them is an error.
    """
    on_the_way = {str(top): {os.path.realpath(top)}}
    for folder, subfolders, files in os.walk(top, onerror=_raise, followlinks=True):
        above = on_the_way.pop(folder)
        real = {name: os.path.realpath(os.path.join(folder, name)) for name in subfolders if not is_hidden(name)}
        subfolders[:] = [name for name, target in real.items() if target not in above]
        on_the_way |= {os.path.join(folder, name): above | {real[name]} for name in subfolders}
        paths = (pathlib.Path(folder, name) for name in files if not is_hidden(name))
        yield from (path for path in paths if path.is_file() or (path.suffix and broken_link(path)))


def _raise(error: OSError) -> None:
    """Raises the error of a folder that cannot be listed, which os.walk would ignore."""
    raise error


class RawTree:
    """Raw files below their top folder.

    The top folder is the only folder of an archive if it is called images, labels or like the archive, since then the
    folder itself was packed and not its contents.
    """

    def __init__(self, raw: RawFiles):
        self._raw = raw
        self._top = ""
        if raw.path.is_file():
            (first, *others) = {name.partition("/")[0] for name in raw.names()} or {""}
            own_name = raw.path.name.partition(".")[0]
            if not others and first in ("images", "labels", own_name) and not raw.exists(first):
                self._top = f"{first}/"

    def folders(self) -> list[str]:
        """Returns the folders directly in the top folder, sorted, without empty ones."""
        inside = (name.removeprefix(self._top) for name in self._raw.names())
        return sorted({name.partition("/")[0] for name in inside if "/" in name})

    def files(self, folder: str, suffixes: tuple[str, ...]) -> list[str]:
        """Returns the files anywhere below a folder, as paths relative to it."""
        prefix = self.path(folder, "")
        return [name.removeprefix(prefix) for name in self._raw.below(prefix, suffixes)]

    def path(self, folder: str, name: str) -> str:
        """Returns the path of a file in the raw files, from its path relative to a folder."""
        return self._top + (f"{folder}/" if folder else "") + name

    def title(self, folder: str) -> str:
        """Returns the name of a folder in messages."""
        path = self.path(folder, "").rstrip("/")
        return self._raw.title(path) if path else str(self._raw.path)
