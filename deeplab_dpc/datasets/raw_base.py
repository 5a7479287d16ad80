"""The base class of folders and archives of raw files."""

import abc
import contextlib
import pathlib
from typing import Any

from deeplab_dpc.data.file_kinds import is_hidden
from deeplab_dpc.data.image_files import MAX_BYTES
from deeplab_dpc.errors import UserError

__all__ = ["RawFiles", "is_hidden", "require_image_size"]


class RawFiles(contextlib.AbstractContextManager["RawFiles"]):
    """The files of a folder or an archive, by their path inside it with forward slashes; `with` closes the archive.

    Attributes:
      path: path of the folder or archive.
    """

    def __init__(self, path: pathlib.Path):
        self.path = path

    @abc.abstractmethod
    def names(self) -> list[str]:
        """Returns the files' paths, sorted."""

    @abc.abstractmethod
    def exists(self, name: str) -> bool:
        """Returns whether there is a file of that path."""

    @abc.abstractmethod
    def read(self, name: str) -> bytes:
        """Returns the contents of a file.

        Raises:
          UserError: if there is no file of that path, or the archive is damaged there.
        """

    @abc.abstractmethod
    def identity(self, name: str) -> list[int]:
        """Returns numbers that change when the file's contents do, without reading them.

        Raises:
          UserError: if there is no file of that path.
        """

    def __exit__(self, *error: Any) -> None:
        """Closes the archive, if there is one."""

    def title(self, name: str) -> str:
        """Returns the name of the file in messages."""
        return str(self.path / name)

    def below(self, folder: str, suffixes: tuple[str, ...] = ()) -> list[str]:
        """Returns the files anywhere below a folder of `path`, with one of the suffixes (any case) if some are
        given."""
        prefix = f"{folder.strip('/')}/" if folder.strip("/") else ""
        return [
            name
            for name in self.names()
            if name.startswith(prefix) and (not suffixes or name.lower().endswith(suffixes))
        ]

    def absence(self, name: str) -> str:
        """Returns the reason why a file is absent, such as 'does not exist'."""
        return "does not exist"

    def _missing(self, name: str) -> UserError:
        return UserError(f"The file {self.title(name)} {self.absence(name)}.")


def require_image_size(title: str, size: int) -> None:
    """Raises a UserError if a file has more bytes than any image may have; such files are not read."""
    if size > MAX_BYTES:
        raise UserError(f"{title} has {size:,} bytes, more than any image takes ({MAX_BYTES:,}); leave it out.")
