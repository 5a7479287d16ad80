"""Archives of predictions for the official test servers.

Cityscapes (https://www.cityscapes-dataset.com/submit; cityscapesscripts/evaluation/evalPixelLevelSemanticLabeling.py):
a zip file with one PNG per image, which has the size of the image, a single channel of label ids, not train ids, and a
name that begins with CITY_123456_123456. All 1,525 test images are needed, each once.

PASCAL VOC 2012 (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc, Sec. 5.3; http://host.robots.ox.ac.uk:8080):
a gzipped tar file with results/VOC2012/Segmentation/COMPETITION_test_cls/ID.png, indexed with the colour map of the
training labels, the indices 0 to 20. comp5 is for training on VOC data alone, comp6 for training on any other.
"""

import abc
import contextlib
import io
import os
import pathlib
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import ClassVar, Self

import numpy as np
from PIL import Image

from deeplab_dpc.console import console
from deeplab_dpc.data.cityscapes_labels import CLASSES, label_ids
from deeplab_dpc.data.class_rules import MAX_CLASSES
from deeplab_dpc.data.dataset_info import pascal_palette
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path

VOC_COMPETITIONS = ("comp5", "comp6")

# Function that adds a file, called with its name in the archive or folder and its contents.
_AddFile = Callable[[str, bytes], None]


class Submission(abc.ABC):
    """A submission to which predictions are added one by one in a `with` block; it is written atomically.

    Leaving the block without an error completes the submission; a line is printed if images are missing.

    Args:
      path: path of the archive, or of a folder if the subclass allows one; it is created at the end of the block.
      num_classes: number of classes of the network, which must be that of the data set.

    Raises:
      UserError: if the number of classes or the suffix of the path is wrong, or `path` is an existing folder.
    """

    TITLE: ClassVar[str]
    NUM_CLASSES: ClassVar[int]
    NUM_IMAGES: ClassVar[int]  # number of images in the official test split

    def __init__(self, path: str | os.PathLike[str], num_classes: int):
        if num_classes != self.NUM_CLASSES:
            raise UserError(
                f"A submission to {self.TITLE} has its {self.NUM_CLASSES} classes, but the network has {num_classes}; "
                "give a network that was trained on that data set."
            )
        self.path = pathlib.Path(path)
        self._check_path()
        if self.path.is_dir():
            raise UserError(f"The folder {self.path} exists; give another path for the submission, or remove it.")
        self._names: set[str] = set()
        self._stack = contextlib.ExitStack()
        self._add_file: _AddFile | None = None

    def __enter__(self) -> Self:
        self._names = set()
        self._add_file = self._stack.enter_context(self._written())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._add_file = None
        self._stack.__exit__(kind, error, traceback)
        if error is None and len(self._names) != self.NUM_IMAGES:
            console.print(
                f"The submission {self.path} has {len(self._names):,} images; the official test split has "
                f"{self.NUM_IMAGES:,}, and the server requires all of them."
            )

    @contextlib.contextmanager
    def _written(self) -> Iterator[_AddFile]:
        with atomic_path(self.path) as partial, self._open(partial) as add_file:
            yield add_file
            if not self._names:
                raise UserError(f"The submission {self.path} would be empty: no image was predicted.")

    def add(self, name: str, prediction: np.ndarray) -> None:
        """Writes an image's prediction.

        Args:
          name: name of the image's file, in any folder and of any format.
          prediction: class ids [height, width], at the original size of the image.

        Raises:
          UserError: if the name is not one of the data set or occurs twice, or an id is not a class.
        """
        if self._add_file is None:
            raise ValueError("`add` is called outside of the submission's `with` block.")
        key, file_name = self._file(pathlib.PurePosixPath(name))
        if key in self._names:
            raise UserError(f"The image {name} occurs twice; the submission takes each image of the test split once.")
        if prediction.ndim != 2 or not np.issubdtype(prediction.dtype, np.integer):
            found = f"{prediction.dtype} {list(prediction.shape)}"
            raise ValueError(f"`prediction` must be integers [height, width], got {found}.")
        if prediction.min() < 0 or prediction.max() >= self.NUM_CLASSES:
            raise UserError(
                f"{name}: predictions must be in [0, {self.NUM_CLASSES - 1}], got "
                f"{prediction.min()} to {prediction.max()}."
            )
        stream = io.BytesIO()
        self._picture(prediction).save(stream, "PNG")
        self._add_file(file_name, stream.getvalue())
        self._names.add(key)

    @abc.abstractmethod
    def _check_path(self) -> None:
        """Raises a UserError if the server does not accept the suffix of the path."""

    @abc.abstractmethod
    def _open(self, partial: pathlib.Path) -> contextlib.AbstractContextManager[_AddFile]:
        """Opens the archive or folder."""

    @abc.abstractmethod
    def _file(self, name: pathlib.PurePosixPath) -> tuple[str, str]:
        """Returns the key by which the server finds an image, and the name of its file in the submission."""

    @abc.abstractmethod
    def _picture(self, prediction: np.ndarray) -> Image.Image:
        """Returns the prediction as a picture for the server."""


class CityscapesSubmission(Submission):
    """A submission of PNGs of label ids, in a zip file for the server or in a folder for the official script.

    See Submission. A path that ends in .zip is a zip file, a path without a suffix is a folder.
    """

    TITLE = "Cityscapes"
    NUM_CLASSES = len(CLASSES)
    NUM_IMAGES = 1525

    def _check_path(self) -> None:
        if self.path.suffix not in (".zip", ""):
            raise UserError(
                f"A submission to Cityscapes is a .zip file, or a folder without an ending, got {self.path}."
            )

    @contextlib.contextmanager
    def _open(self, partial: pathlib.Path) -> Iterator[_AddFile]:
        if self.path.suffix == ".zip":
            with zipfile.ZipFile(partial, "w") as archive:
                yield archive.writestr
            return
        partial.mkdir()

        def add_file(name: str, data: bytes) -> None:
            (partial / name).write_bytes(data)

        yield add_file

    def _file(self, name: pathlib.PurePosixPath) -> tuple[str, str]:
        match = re.match(r"[^_]+_\d{6}_\d{6}", name.name)
        if match is None:
            raise UserError(
                f"The image {name} is not one of Cityscapes, whose files are named like "
                "berlin_000000_000019_leftImg8bit.png; the server finds predictions by that name."
            )
        return match.group(), f"{name.stem}.png"

    def _picture(self, prediction: np.ndarray) -> Image.Image:
        return Image.fromarray(label_ids(prediction))


class Voc2012Submission(Submission):
    """A submission of palette PNGs in a gzipped tar file, in the folders that the server expects.

    See Submission. The path ends in .tgz or .tar.gz.

    Args:
      path, num_classes: see Submission.
      competition: "comp5" or "comp6".
    """

    TITLE = "PASCAL VOC 2012"
    NUM_CLASSES = 21
    NUM_IMAGES = 1456

    def __init__(self, path: str | os.PathLike[str], num_classes: int, competition: str = "comp6"):
        if competition not in VOC_COMPETITIONS:
            raise UserError(
                "The competition of PASCAL VOC 2012 must be comp5 (trained only on VOC data) or comp6 (trained on any "
                f"data), got {competition!r}."
            )
        super().__init__(path, num_classes)
        self.competition = competition

    def _check_path(self) -> None:
        if not self.path.name.endswith((".tgz", ".tar.gz")):
            raise UserError(f"A submission to PASCAL VOC 2012 is a .tgz or .tar.gz file, got {self.path}.")

    @contextlib.contextmanager
    def _open(self, partial: pathlib.Path) -> Iterator[_AddFile]:
        with tarfile.open(partial, "w:gz", compresslevel=1) as archive:  # PNGs are compressed already

            def add_file(name: str, data: bytes) -> None:
                member = tarfile.TarInfo(f"results/VOC2012/Segmentation/{self.competition}_test_cls/{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))

            yield add_file

    def _file(self, name: pathlib.PurePosixPath) -> tuple[str, str]:
        if re.fullmatch(r"\d{4}_\d{6}", name.stem) is None:
            raise UserError(
                f"The image {name} is not one of PASCAL VOC, whose files are named like 2008_000001.jpg; the server "
                "finds predictions by that name."
            )
        return name.stem, f"{name.stem}.png"

    def _picture(self, prediction: np.ndarray) -> Image.Image:
        picture = Image.fromarray(prediction.astype(np.uint8))
        picture.putpalette(np.array(pascal_palette(MAX_CLASSES), np.uint8).tobytes())
        return picture


def open_submission(
    server: str, path: str | os.PathLike[str], num_classes: int, competition: str = "comp6"
) -> Submission:
    """Returns the submission for a test server, to be used in a `with` block.

    Args:
      server: "cityscapes" or "voc2012".
      path, num_classes: see Submission.
      competition: competition of PASCAL VOC 2012, see Voc2012Submission.

    Raises:
      UserError: if the server is unknown, or as for Submission.
    """
    if server == "cityscapes":
        return CityscapesSubmission(path, num_classes)
    if server == "voc2012":
        return Voc2012Submission(path, num_classes, competition)
    raise UserError(f"`server` must be cityscapes or voc2012, got {server!r}.")
