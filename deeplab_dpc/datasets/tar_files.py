"""Tar files from any source: their stated sizes are not trusted, and compressed ones are inflated to a file."""

import bz2
import contextlib
import gzip
import lzma
import pathlib
import posixpath
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from typing import IO, Any, cast

from deeplab_dpc.datasets.raw_base import require_image_size
from deeplab_dpc.errors import UserError
from deeplab_dpc.untrusted_archives import Header

IN_MEMORY = 2**26  # bytes of an inflated tar file, before it goes to a temporary file
MIN_FREE = 2**28  # bytes that a temporary file leaves free on its disk
_AT_ONCE = 2**20
_MAX_LINKS = 40  # followed from a member, as many as in Linux


def is_tar(path: pathlib.Path) -> bool:
    """Returns whether a file begins like a tar file, compressed or not."""
    try:
        tarfile.open(path, tarinfo=Header).close()
    except tarfile.TarError:
        return False
    return True


def inflated(path: pathlib.Path) -> IO[bytes] | None:
    """Returns the inflated tar file, or None if it is not compressed.

    Raises:
      UserError: if a member is larger than any image, or the disk of temporary files has too little space.
    """
    with tarfile.open(path, tarinfo=Header) as archive:
        source = cast(IO[bytes], archive.fileobj)
        if not isinstance(source, gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile):
            return None
        source.seek(0)
        with contextlib.ExitStack() as stack:
            copy = cast(IO[bytes], stack.enter_context(tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)))
            # Members are checked while the copy is made, before a large one is inflated.
            with tarfile.open(fileobj=cast(Any, _Copying(source, copy, path)), mode="r|", tarinfo=Header) as members:
                for member in members:
                    require_image_size(f"The member {member.name} of the archive {path}", member.size)
            while source.read(_AT_ONCE):  # to the end, where the checksum is checked
                pass
            copy.seek(0)
            stack.pop_all()
        return copy


class _Copying:
    """A stream whose bytes are copied to a temporary file as they are read."""

    def __init__(self, source: IO[bytes], copy: IO[bytes], path: pathlib.Path):
        self._source, self._copy, self._path = source, copy, path
        self._until_check = IN_MEMORY

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._until_check -= len(data)
        if self._until_check < 0:
            self._until_check = IN_MEMORY
            if shutil.disk_usage(tempfile.gettempdir()).free < MIN_FREE:
                raise UserError(
                    f"The archive {self._path} does not fit into {tempfile.gettempdir()} when it is inflated; unpack "
                    "it elsewhere, or set TMPDIR to a folder with more room."
                )
        self._copy.write(data)
        return data


def followed(info: tarfile.TarInfo, by_name: Mapping[str, tarfile.TarInfo]) -> tarfile.TarInfo | None:
    """Returns the file that a member is or links to; None if that is not a file of the archive."""
    for _ in range(_MAX_LINKS):
        if not (info.issym() or info.islnk()):
            return info if info.isfile() else None
        folder = posixpath.dirname(info.name) if info.issym() else ""
        target = by_name.get(posixpath.normpath(posixpath.join(folder, info.linkname)))
        if target is None:
            return None
        info = target
    return None
