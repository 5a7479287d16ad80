"""Search for the image files that a flag names. Needs no TensorFlow."""

import dataclasses
import fnmatch
import glob
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

from deeplab_dpc.console import console, printable
from deeplab_dpc.data.file_kinds import HEAD_BYTES, UNREAD_PICTURES, broken_link, is_hidden, kind_of_contents, listed
from deeplab_dpc.data.image_files import SUFFIXES
from deeplab_dpc.data.video import VIDEO_SUFFIXES
from deeplab_dpc.errors import UserError

_LOOKED_INTO = 20  # files of unknown suffix whose contents are looked at


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image to predict.

    Attributes:
      path: path of the file.
      name: name of the outputs for the image: its path below the folder or the pattern's fixed part, without the
        suffix.
    """

    path: pathlib.Path
    name: str


def find_images(
    images: str, without: Sequence[pathlib.Path] = (), flag: str = "images", are_written: bool = True
) -> list[ImageFile]:
    """Returns the images that a flag names, sorted by path.

    Args:
      images: a file; a folder, of which the files directly in it are taken; or a pattern with *, ? or [...], in which
        ** stands for any folders. An existing path is never taken as a pattern. From folders and
        patterns only files that end in one of SUFFIXES are taken, including broken links, so that reading them is an
        error. Other pictures, videos, pipes and devices are reported; hidden files are left out unless the pattern
        names them.
      without: folders to exclude from a pattern.
      flag: name of the flag in messages.
      are_written: bool, whether outputs are written under the names of the images, which must then differ.

    Raises:
      UserError: if `images` is none of these, there is no image, or two images would have outputs of the same name.
    """
    given = pathlib.Path(images)
    if given.is_file():
        return [ImageFile(given, given.stem)]
    if problem := broken_link(given):
        raise UserError(f"--{flag}={images} {problem}.")
    if given.is_dir():
        root, paths = given, [path for path in given.iterdir() if not is_hidden(path.name)]
    else:
        root = next(parent for parent in given.parents if parent.is_dir())
        pattern = given.relative_to(root)
        if not glob.has_magic(str(pattern)):
            raise UserError(f"--{flag}={images} is not a folder, a file, or a pattern like 'photos/**/*.jpg'.")
        left_out = [pathlib.Path(os.path.realpath(folder)) for folder in without]
        paths = [
            path
            for path in _matching(root, pattern)
            if not any(pathlib.Path(os.path.realpath(path)).is_relative_to(folder) for folder in left_out)
        ]
    others = sorted(path for path in paths if path.suffix.lower() not in SUFFIXES and path.is_file())
    named = sorted(path for path in paths if path.suffix.lower() in SUFFIXES and not path.is_dir())
    paths = [path for path in named if path.is_file() or broken_link(path)]
    _print_special(set(named) - set(paths))
    if not paths:
        verb = "holds" if given.is_dir() else "matches"
        hint = "; a video is given by its own name" if flag == "images" else ""
        raise UserError(f"--{flag}={images} {verb} no {', '.join(SUFFIXES)} file{hint}.")
    files = [ImageFile(path, path.relative_to(root).with_suffix("").as_posix()) for path in paths]
    if are_written:
        _check_names(files)
    _print_left_out(others)
    return files


def _matching(root: pathlib.Path, pattern: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files below a folder whose relative path matches a pattern; wildcards match no hidden names."""
    if "**" in pattern.parts:
        return [
            path for path in _files_below(root, frozenset()) if _matches(path.relative_to(root).parts, pattern.parts)
        ]
    return [pathlib.Path(path) for path in glob.glob(os.path.join(glob.escape(str(root)), str(pattern)))]


def _files_below(folder: pathlib.Path, above: frozenset[str]) -> Iterator[pathlib.Path]:
    """Yields the files in a folder and its subfolders, except for links to a folder that contains them."""
    above |= {os.path.realpath(folder)}
    for path in folder.iterdir():
        if is_hidden(path.name):
            continue
        if not path.is_dir():
            yield path
        elif os.path.realpath(path) not in above:
            yield from _files_below(path, above)


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Returns whether the parts of a path match those of a pattern, in which ** stands for any number of them."""
    if not pattern or not parts:
        return not parts and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or _matches(parts[1:], pattern)
    return fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _print_special(paths: Iterable[pathlib.Path]) -> None:
    """Prints the pipes, devices and sockets with names of images, which are left out: opening one may block forever."""
    if names := sorted(path.name for path in paths):
        what = "a pipe, device or socket is not opened; save the image as a file"
        console.print(f"Left out: {printable(listed(names, 'file'))} ({what}).")


def _print_left_out(others: Sequence[pathlib.Path]) -> None:
    """Prints the pictures and videos among the files that are not taken."""
    videos = [path for path in others if path.suffix.lower() in VIDEO_SUFFIXES]
    pictures = [path for path in others if path not in videos and path.suffix.lower() in UNREAD_PICTURES]
    unknown = [path for path in others if path not in videos and path not in pictures]
    misnamed = {path: kind for path in unknown[:_LOOKED_INTO] if (kind := kind_of_contents(_head(path)))}
    for found, what in (
        (videos, "a video is given by its own name, --images=VIDEO"),
        (pictures, f"convert them; {', '.join(SUFFIXES)} are read"),
        (
            list(misnamed),
            f"pictures by their contents; name the first with the ending {next(iter(misnamed.values()), '')}",
        ),
    ):
        if found:
            console.print(f"Left out: {printable(listed((path.name for path in found), 'file'))} ({what}).")


def _head(path: pathlib.Path) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError:  # the file was not requested, so that this is not an error
        return b""


def _check_names(files: Sequence[ImageFile]) -> None:
    by_name: dict[str, ImageFile] = {}
    for file in files:
        other = by_name.setdefault(file.name, file)
        if other is not file:
            raise UserError(f"{other.path} and {file.path} would both be written as {file.name}.png; rename one.")
