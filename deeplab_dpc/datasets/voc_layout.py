"""Common parts of the data sets of PASCAL VOC images: folders in folders or archives, and lists of image ids."""

import contextlib
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from deeplab_dpc.console import console
from deeplab_dpc.datasets.label_pictures import read_label
from deeplab_dpc.datasets.raw_files import RawFiles, open_raw
from deeplab_dpc.datasets.records import RawExample
from deeplab_dpc.errors import UserError

# Possible places of VOC2012 in the user's folder or archive, and its folder of images.
VOC_FOLDERS = ("", "VOC2012/", "VOCdevkit/VOC2012/")
VOC_IMAGES = "JPEGImages"


@dataclasses.dataclass(frozen=True)
class Source:
    """The origin of the files that a flag names.

    Attributes:
      flag: name of the flag, without dashes.
      archive: name of the published archive.
      page: web page that offers it.
    """

    flag: str
    archive: str
    page: str

    def __str__(self) -> str:
        return f"get {self.archive} from {self.page} and give it, or the folder it unpacks to, as --{self.flag}"


VOC = Source("voc_root", "VOCtrainval_11-May-2012.tar", "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/")


class Tree(contextlib.AbstractContextManager["Tree"]):
    """A folder in a folder or an archive; `with` closes the archive.

    Attributes:
      source: origin of its files, for the user.
    """

    def __init__(self, files: RawFiles, folder: str, source: Source):
        self._files = files
        self._folder = folder
        self.source = source

    def __exit__(self, *error: Any) -> None:
        self._files.__exit__(*error)

    def exists(self, name: str) -> bool:
        """Returns whether there is a file of that path, relative to the tree."""
        return self._files.exists(self._folder + name)

    def title(self, name: str) -> str:
        """Returns the name of the file in messages."""
        return self._files.title(self._folder + name)

    def identity(self, name: str) -> list[Any]:
        """Returns JSON values that change when the file changes, appears or disappears."""
        return [name, *self._files.identity(self._folder + name)] if self.exists(name) else [name]

    def require(self, name: str) -> None:
        """Raises a UserError that names the source of the file, if it is missing."""
        if not self.exists(name):
            raise UserError(f"The file {self.title(name)} is missing; {self.source}.")

    def read(self, name: str) -> bytes:
        """Returns the contents of a file.

        Raises:
          UserError: if it is missing or the archive is damaged there.
        """
        self.require(name)
        return self._files.read(self._folder + name)

    def by_stem(self, suffix: str) -> dict[str, str]:
        """Returns the files with a suffix, by their names without folder and suffix.

        Raises:
          UserError: if there is none, or two have the same name.
        """
        found: dict[str, str] = {}
        for path in self._files.below(self._folder, (suffix,)):
            name = path.removeprefix(self._folder)
            other = found.setdefault(pathlib.PurePosixPath(name).stem, name)
            if other != name:
                raise UserError(f"{self.title(other)} and {self.title(name)} have the same name; remove one.")
        if not found:
            raise UserError(f"There is no {suffix} file in --{self.source.flag}={self._files.path}; {self.source}.")
        return found


def open_tree(
    path: str | os.PathLike[str], source: Source, folders: Iterable[str] = ("",), marker: str | None = None
) -> Tree:
    """Opens the first of some folders, inside a folder or an archive, that contains a certain folder.

    Args:
      path: folder or archive that the user gave.
      source: origin of its files, for messages.
      folders: folders relative to `path`, "" or with a slash at the end.
      marker: folder that must exist in it; without it the first of `folders` is taken.

    Raises:
      UserError: if `path` does not exist, is damaged, or has no such folder.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise UserError(f"--{source.flag}={path} does not exist; {source}.")
    if path.is_dir():  # the inner folder is opened, so that others are not listed
        for folder in folders:
            if marker is None or (path / folder / marker).is_dir():
                return Tree(open_raw(path / folder), "", source)
    else:
        with contextlib.ExitStack() as stack:
            files = stack.enter_context(open_raw(path))
            for folder in folders:
                if marker is None or any(name.startswith(f"{folder}{marker}/") for name in files.names()):
                    stack.pop_all()
                    return Tree(files, folder, source)
    raise UserError(f"--{source.flag}={path} holds no folder {marker}; {source}.")


def parse_ids(data: bytes, title: str) -> list[str]:
    """Returns the image ids of a list with one id per line, or the paths of an image and its label, where the id is the
    first file's name without its suffix.

    Raises:
      UserError: if it is not text, has no line, or lists an image twice.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"The list {title} is not a text file.") from error
    ids = [pathlib.PurePosixPath(line.split()[0]).stem for line in lines if line.strip()]
    if not ids:
        raise UserError(f"The list {title} is empty.")
    repeated = sorted({image_id for image_id in ids if ids.count(image_id) > 1}) if len(set(ids)) < len(ids) else []
    if repeated:
        raise UserError(f"The list {title} has the image {repeated[0]} more than once.")
    return ids


@dataclasses.dataclass(frozen=True)
class TreeFile:
    """A file of a tree, which may be missing."""

    tree: Tree
    name: str

    @property
    def title(self) -> str:
        return self.tree.title(self.name)

    def read(self) -> bytes:
        return self.tree.read(self.name)


def read_png_ids(file: TreeFile) -> np.ndarray:
    """Returns the ids of a label PNG, its grey values or its palette's indices: uint8 [height, width].

    Raises:
      UserError: if it is not such a PNG.
    """
    label = read_label(file.read(), file.title)
    if label.kind == "rgb":
        raise UserError(f"The label {file.title} is an RGB picture; it must be grey or colour-mapped, ids as values.")
    return label.values


def raw_example(
    image: TreeFile, label: TreeFile | None, read_ids: Callable[[TreeFile], np.ndarray], skip_bad: bool
) -> RawExample:
    """Returns the example of an image and its label, which are read when the record is written.

    Args:
      image: a JPEG; its name without folders is that of the record.
      label: file of the label; None if there is none.
      read_ids: function called with the label's file that returns its class ids.
      skip_bad: bool, whether an example with a missing file is skipped later; otherwise it is an error here.

    Raises:
      UserError: if a file is missing, unless `skip_bad`.
    """
    files = [image] if label is None else [image, label]
    if not skip_bad:
        for file in files:
            file.tree.require(file.name)
    return RawExample(
        filename=pathlib.PurePosixPath(image.name).name,
        image=functools.partial(_read_image, image),
        label=None if label is None else functools.partial(_read_ids, label, read_ids),
        identity=[file.tree.identity(file.name) for file in files],
    )


def _read_image(file: TreeFile) -> tuple[bytes, str]:
    return file.read(), file.title


def _read_ids(file: TreeFile, read_ids: Callable[[TreeFile], np.ndarray]) -> tuple[np.ndarray, str]:
    return read_ids(file), file.title


def note_counts(counts: dict[str, int], official: dict[str, int]) -> None:
    """Prints the splits whose number of images differs from the published one."""
    for split, expected in official.items():
        if split in counts and counts[split] != expected:
            console.print(f"Note: {split} has {counts[split]} images; the published one has {expected}.")
