"""Reading of whole files that a user names, up to a maximum size, since a device may be endless and fill the memory."""

import errno
import io
import os
import stat

MAX_TEXT_BYTES = 2**26  # of a text file: classes, lists and flags take far less
_PIECE = 2**24  # bytes


def read_file(path: str | os.PathLike[str], max_bytes: int = MAX_TEXT_BYTES) -> bytes | bytearray:
    """Returns the contents of a file or a pipe.

    Raises:
      OSError: if it cannot be opened, is a folder, device or socket, or has more bytes; `strerror` is the reason.
    """
    mode = os.stat(path).st_mode  # for a folder, `open` raises the error
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, "it is a device or socket, and no file", str(path))
    too_large = OSError(errno.EFBIG, f"it has more than {max_bytes:,} bytes", str(path))
    with open(path, "rb") as stream:
        if os.fstat(stream.fileno()).st_size > max_bytes:
            raise too_large
        if stat.S_ISREG(mode):
            return stream.read()
        data = bytearray()
        while piece := stream.read(_PIECE):  # a read allocates the requested size, even if less is there
            data += piece
            if len(data) > max_bytes:
                raise too_large
        return data


def read_text(path: str | os.PathLike[str]) -> str:
    """Returns the contents of a text file or pipe in UTF-8, without a byte order mark and with \\n between lines.

    Raises:
      OSError: as `read_file`.
      UnicodeDecodeError: if it is not in UTF-8.
    """
    return io.TextIOWrapper(io.BytesIO(read_file(path)), encoding="utf-8-sig").read()
