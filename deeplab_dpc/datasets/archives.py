"""Zip and tar files as raw files; their metadata on their members is not trusted."""

import abc
import contextlib
import os
import pathlib
import re
import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, cast

from deeplab_dpc.datasets.raw_base import RawFiles, is_hidden, require_image_size
from deeplab_dpc.datasets.tar_files import followed, inflated
from deeplab_dpc.errors import UserError
from deeplab_dpc.untrusted_archives import Header, damage_named

_END_OF_ZIP, _MAX_END_OF_ZIP, _UNKNOWN_COUNT = b"PK\5\6", 22 + 2**16, 0xFFFF  # ZIP specification, 4.3.16


class _Archive(RawFiles):
    """The base class of zip and tar files.

    Attributes:
      members: entry of the archive for each visible file, by the file's path.
    """

    def __init__(self, path: pathlib.Path):
        super().__init__(path)
        self.members: dict[str, Any] = {}
        self._opened = contextlib.ExitStack()

    def _keep(self, members: Iterable[tuple[str, bool, Any]]) -> None:
        """Checks all members, given as (path, whether it is a file, description), and keeps the files."""
        for name, is_file, description in members:
            parts = pathlib.PurePosixPath(name.replace("\\", "/")).parts
            if ".." in parts or name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name):
                raise UserError(
                    f"The archive {self.path} has the member {name!r}, which points outside of it; it is not read."
                )
            plain = str(pathlib.PurePosixPath(name))
            if not is_file or is_hidden(plain):
                continue
            if plain in self.members:
                raise UserError(
                    f"The archive {self.path} has the member {plain!r} more than once, and programs differ in "
                    "which one counts; pack it again with one of them."
                )
            self.members[plain] = description

    def __exit__(self, *error: Any) -> None:
        self._opened.close()

    def names(self) -> list[str]:
        return sorted(self.members)

    def exists(self, name: str) -> bool:
        return name in self.members

    def title(self, name: str) -> str:
        return f"{self.path}:{name}"

    def read(self, name: str) -> bytes:
        member = self._member(name)
        require_image_size(f"The member {name} of the archive {self.path}", self.identity(name)[0])
        with damage_named(f"The archive {self.path} is damaged at {name}"):
            return self._contents(member)

    def _unfollowed(self, name: str) -> UserError:
        return UserError(
            f"The archive {self.path} has the link {name!r}, which leads to no file in it; pack the files themselves."
        )

    @abc.abstractmethod
    def _contents(self, member: Any) -> bytes:
        """Returns the member's bytes."""

    def _member(self, name: str) -> Any:
        if name not in self.members:
            raise self._missing(name)
        return self.members[name]


class Zip(_Archive):
    """A zip file."""

    def __init__(self, path: pathlib.Path):
        super().__init__(path)
        with contextlib.ExitStack() as stack:
            self._archive = stack.enter_context(zipfile.ZipFile(path))
            members = self._archive.infolist()
            self._check_count(len(members))
            self._keep((info.filename, self._is_file(info), info) for info in members)
            for info in members:  # a damaged name may hide a file; opening checks it, as reading does for others
                if str(pathlib.PurePosixPath(info.filename)) not in self.members and not info.flag_bits & 1:
                    with contextlib.suppress(NotImplementedError):  # unsupported compression of a hidden file
                        self._archive.open(info).close()
            self._opened = stack.pop_all()

    def _check_count(self, count: int) -> None:
        """Raises an error if the end of the file states another number of members; zipfile does not check this."""
        with open(self.path, "rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _MAX_END_OF_ZIP))
            tail = stream.read()
        (expected,) = struct.unpack_from("<H", tail, tail.rindex(_END_OF_ZIP) + 10)
        if expected not in (count, _UNKNOWN_COUNT):
            raise zipfile.BadZipFile(f"it should have {expected} members, and has {count}")

    def _is_file(self, info: zipfile.ZipInfo) -> bool:
        if info.is_dir() or is_hidden(info.filename):
            return False
        if info.flag_bits & 1:
            raise UserError(f"The archive {self.path} is encrypted; unpack it with its password, and give the folder.")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise self._unfollowed(info.filename)
        return True

    def _contents(self, member: zipfile.ZipInfo) -> bytes:
        try:
            return self._archive.read(member)
        except NotImplementedError as error:
            reason = " ".join(str(error).split())
            raise UserError(
                f"The member {member.filename} of the archive {self.path} cannot be read ({reason}); pack it again as "
                "a usual zip file, or unpack it."
            ) from error

    def identity(self, name: str) -> list[int]:
        info = self._member(name)
        return [info.file_size, info.CRC]


class Tar(_Archive):
    """A tar file; a compressed one is inflated first, since it can only be read from its start."""

    def __init__(self, path: pathlib.Path):
        super().__init__(path)
        with contextlib.ExitStack() as stack:
            copy = inflated(path)
            if copy is not None:
                stack.enter_context(copy)
            self._archive = stack.enter_context(tarfile.open(path, fileobj=copy, tarinfo=Header))
            members = self._archive.getmembers()
            self._check_end()
            self._keep(self._files(members))
            self._opened = stack.pop_all()

    def _files(self, members: list[tarfile.TarInfo]) -> Iterator[tuple[str, bool, tarfile.TarInfo]]:
        """Yields the members for `_keep`, including links to files of the archive."""
        by_name = {str(pathlib.PurePosixPath(info.name)): info for info in members}
        for info in members:
            target: tarfile.TarInfo | None = info
            if (info.issym() or info.islnk()) and not is_hidden(info.name):
                target = followed(info, by_name)
            if target is None:
                raise self._unfollowed(info.name)
            yield info.name, target.isfile(), target

    def _check_end(self) -> None:
        """Raises an error if the block of zeros at the end of an archive is missing; tarfile does not check this."""
        stream = cast(IO[bytes], self._archive.fileobj)
        stream.seek(self._archive.offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("it is cut off")

    def _contents(self, member: tarfile.TarInfo) -> bytes:
        contents = cast(IO[bytes], self._archive.extractfile(member)).read()
        if len(contents) != member.size:
            raise tarfile.ReadError("it is cut off")
        return contents

    def identity(self, name: str) -> list[int]:
        info = self._member(name)
        return [info.size, int(info.mtime)]
