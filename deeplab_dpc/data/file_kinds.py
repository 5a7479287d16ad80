"""Recognition of the other files in a folder of images: pictures of other formats, and files that are not pictures."""

import os
import pathlib
from collections.abc import Iterable

from deeplab_dpc.errors import first_few

LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".webp", ".gif")
LOSSY_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
# The end of the sentence about a label with a lossy compression.
LOSSY_CURE = (
    "which changes the pixel values, so that they are not class ids; export the label again as PNG, or threshold it (a "
    "mask to 0 and 255) and save it as PNG"
)
# Suffixes of pictures that are not read as images.
UNREAD_PICTURES = (
    *(
        ".heic",
        ".heif",
        ".avif",
        ".gif",
        ".jp2",
        ".j2k",
        ".jxl",
        ".psd",
        ".tga",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".svg",
    ),
    *(".exr", ".hdr", ".ico", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".dcm", ".nii", ".npy"),
)
HEAD_BYTES = 16  # number of bytes that `kind_of_contents` needs
_SHOWN = 3
_HIDDEN = (".", "__MACOSX")


def is_hidden(name: str | os.PathLike[str]) -> bool:
    """Returns whether a file, or a folder in its path, is hidden or added by macOS."""
    return any(part.startswith(_HIDDEN) for part in pathlib.PurePosixPath(name).parts)


def broken_link(path: str | os.PathLike[str]) -> str | None:
    """Returns the error of a broken link, such as 'is a link to X, which does not exist'; None for all other files."""
    if not os.path.islink(path) or os.path.exists(path):
        return None
    return f"is a link to {os.readlink(path)}, which does not exist"


def kind_of_contents(head: bytes) -> str | None:
    """Returns the suffix that a picture with these first bytes should have; None for other contents."""
    for start, suffix in ((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG\r\n\x1a\n", ".png"), (b"GIF8", ".gif")):
        if head.startswith(start):
            return suffix
    if head.startswith((b"II*\0", b"MM\0*")):
        return ".tif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return ".webp"
    return ".heic" if head[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif") else None


def listed(names: Iterable[str], noun: str) -> str:
    """Returns the first few names and their total number: 'a.jpg, b.jpg, c.jpg, ...: 12 images'."""
    names = list(names)
    first = first_few(names, _SHOWN)
    return f"{first}: {len(names)} {noun}{'s' if len(names) > 1 else ''}"
