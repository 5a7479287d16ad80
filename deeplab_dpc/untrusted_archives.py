"""Helpers for archives from any source: headers whose sizes are not trusted, and one-sentence errors for damage."""

import contextlib
import errno
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from deeplab_dpc.errors import UserError

# Errors of the standard library for damaged archives.
_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError),
    *(RuntimeError, ValueError, ArithmeticError, LookupError),
)
_NAMES = (  # headers that only hold the name or other metadata of the next member
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
_MAX_NAMES = 2**20  # bytes


class Header(tarfile.TarInfo):
    """A header whose size is checked before anything is read or skipped; for `tarfile.open(tarinfo=...)`."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> "Header":
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _NAMES and header.size > _MAX_NAMES):
            raise tarfile.ReadError(f"a header states a size of {header.size:,} bytes")
        return header

    def _block(self, count: int) -> int:
        """Rejects negative sizes, as newer Python versions do, since tarfile loops forever on them (CVE-2025-8194)."""
        if count < 0:
            raise tarfile.ReadError(f"a header states a size of {count:,} bytes")
        size: int = super()._block(count)  # type: ignore[misc]  # private, so that typeshed lacks it
        return size


@contextlib.contextmanager
def damage_named(title: str) -> Iterator[None]:
    """Turns the standard library's errors for damaged archives into a sentence that begins with `title`."""
    try:
        yield
    except UserError:
        raise
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # not caused by the archive: for example, the disk is full
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UserError(f"{title}: {reason}.") from error
