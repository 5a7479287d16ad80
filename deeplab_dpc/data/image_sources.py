"""The images to predict: image files, the images of a prepared data set, or the frames of a video, one after
another.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.found_images import ImageFile
from deeplab_dpc.data.image_files import SUFFIXES, decode_image
from deeplab_dpc.data.video import VideoReader
from deeplab_dpc.errors import UserError

MAX_NAME = 240  # bytes of an output's name, before its suffix; file systems allow 255


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image to predict.

    Attributes:
      name: name of the outputs for the image, with its folders and without a suffix.
      source: name of the image in messages.
      image: uint8 [height, width, 3].
      time: time of a frame, in units of the video's time base; 0 otherwise.
    """

    name: str
    source: str
    image: np.ndarray
    time: int = 0


@dataclasses.dataclass(frozen=True)
class Unreadable:
    """A source that could not be read, in place of an image.

    Attributes:
      reason: sentence with the source and the error.
    """

    reason: str


def pictures_of_files(files: Sequence[ImageFile]) -> Iterator[Picture | Unreadable]:
    """Yields the decoded image of each file, or the reason why it cannot be read."""
    for file in files:
        try:
            yield Picture(file.name, str(file.path), decode_image(file.path, str(file.path)))
        except UserError as error:
            yield Unreadable(str(error))


def pictures_of_split(dataset: Dataset, split: str) -> Iterator[Picture | Unreadable]:
    """Yields the images of a split as in evaluation, with or without labels; an image without a file name is named by
    its number.

    Raises:
      UserError: if there is no such split, or if a record is damaged.
    """
    from deeplab_dpc.data.example import filename_text  # these two modules need TensorFlow
    from deeplab_dpc.data.pipeline import evaluation_dataset, iterate

    description = f"The split {split} of {dataset.path}"
    names: set[str] = set()
    examples = iterate(evaluation_dataset(dataset, split), description, dataset.shards(split))
    for number, example in enumerate(examples):
        filename = filename_text(example["filename"])
        name = _record_name(filename) or f"{number:06d}"
        if name in names:
            yield Unreadable(f"{description} has the image {filename} more than once; only the first is written.")
            continue
        names.add(name)
        if any(len(os.fsencode(part)) > MAX_NAME for part in name.split("/")):
            yield Unreadable(f"Record {number} of {description} has an image whose name is too long for a file.")
            continue
        yield Picture(name, filename or name, example["image"])


def frames_of_video(video: VideoReader) -> Iterator[Picture]:
    """Yields the frames of a video, named VIDEO/000000 and so on.

    Raises:
      UserError: if the file is damaged.
    """
    for number, (time, image) in enumerate(video):
        yield Picture(f"{video.path.stem}/{number:06d}", f"frame {number} of {video.path}", image, time)


def _record_name(filename: str) -> str:
    """Returns a record's file name without its suffix and without parts that lead out of the output folder."""
    path = pathlib.PurePosixPath(filename)
    inside = pathlib.PurePosixPath(*(part for part in path.parts if part not in ("..", path.anchor)))
    return str(inside.with_suffix("") if inside.suffix.lower() in SUFFIXES else inside) if inside.name else ""
