"""COCO's annotation files (https://cocodataset.org/#format-data), instances and panoptic, in a compact form.

instances_train2017.json has 450 MB of text, most of it coordinates. They become arrays while the file is parsed, and
unused keys are dropped at the same time.
"""

import collections
import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any, TypeVar

from deeplab_dpc.console import console
from deeplab_dpc.data.image_files import MAX_SIDE
from deeplab_dpc.datasets.coco_masks import as_numbers
from deeplab_dpc.errors import UserError, shown
from deeplab_dpc.files import read_json

MAX_PIXELS = 100_000_000  # of an image; more is taken for an error

_Read = TypeVar("_Read")

_KEPT = {
    *("images", "annotations", "categories", "id", "file_name", "height", "width", "image_id", "category_id"),
    *("name", "iscrowd", "segmentation", "size", "counts", "segments_info"),
}


@dataclasses.dataclass(frozen=True)
class CocoImage:
    """An image and its annotations.

    Attributes:
      image_id: id of the image in the annotations.
      filename: file name of the image, without folders.
      path: the same with the folders that the file names, with slashes.
      height, width: size of the image, in pixels.
      annotations: entries of the image in the file's `annotations`; each has an integer "category_id", or, if the file
        is panoptic, "file_name" and "segments_info".
    """

    image_id: int
    filename: str
    path: str
    height: int
    width: int
    annotations: tuple[dict[str, Any], ...]


@dataclasses.dataclass(frozen=True)
class CocoAnnotations:
    """The contents of an annotation file.

    Attributes:
      path: path of the file.
      images: images, sorted by file name.
      categories: category ids by name.
      panoptic: bool, whether the masks are in separate PNG files.
    """

    path: pathlib.Path
    images: tuple[CocoImage, ...]
    categories: dict[str, int]
    panoptic: bool


def read_annotations(path: str | os.PathLike[str], has_folders: bool = False) -> CocoAnnotations:
    """Reads an annotation file of instances or panoptic segments.

    Args:
      path: path of the file.
      has_folders: bool, whether images in different folders may have one file name.

    Raises:
      UserError: if the file cannot be read, is not JSON, is not laid out as COCO's, or names an image twice.
    """
    path = pathlib.Path(path)
    value = read_json(path, "annotation file", _compact)
    categories = _unique(_objects(value, "categories", path, _category), "category", path)
    known = set(_unique([(number, name) for name, number in categories.items()], "category id", path))
    by_image = collections.defaultdict(list)
    check = functools.partial(_check_annotation, category_ids=known)
    for annotation in _objects(value, "annotations", path, check):
        by_image[annotation["image_id"]].append(annotation)
    images = _objects(value, "images", path, functools.partial(_image, by_image=by_image))
    _unique([(image.path if has_folders else image.filename, image) for image in images], "image", path)
    listed = _unique([(image.image_id, image) for image in images], "image id", path)
    lost = sum(len(members) for image_id, members in by_image.items() if image_id not in listed)
    if lost:
        console.print(f"{lost} of the annotations {path} are of images that it does not list; they are left out.")
    panoptic = any("segments_info" in annotation for members in by_image.values() for annotation in members)
    return CocoAnnotations(path, tuple(sorted(images, key=lambda image: image.path)), categories, panoptic)


def _unique(pairs: list[tuple[Any, _Read]], what: str, path: pathlib.Path) -> dict[Any, _Read]:
    """Returns a dictionary of the pairs; a repeated key is an error, since it is unknown which value counts."""
    counts = collections.Counter(key for key, _ in pairs)
    if repeated := next((key for key, count in counts.items() if count > 1), None):
        raise UserError(f"The annotations {path} have the {what} {shown(repeated)} more than once.")
    return dict(pairs)


def _compact(entry: dict[str, Any]) -> dict[str, Any]:
    """Returns an object of the file without unused keys, and with arrays for lists of coordinates."""
    kept = {key: value for key, value in entry.items() if key in _KEPT}
    if isinstance(kept.get("segmentation"), list):
        kept["segmentation"] = [_array(polygon) for polygon in kept["segmentation"]]
    if "counts" in kept:
        kept["counts"] = _array(kept["counts"])
    return kept


def _array(numbers: Any) -> Any:
    """Returns a list of numbers as an array; other values are unchanged, so that a later error can name their image."""
    try:
        return as_numbers(numbers) if isinstance(numbers, list) else numbers
    except ValueError:
        return numbers


def _objects(value: Any, key: str, path: pathlib.Path, read: Callable[[dict[str, Any]], _Read]) -> list[_Read]:
    """Returns the results of `read` for the objects of a list in the file; an error names the malformed object."""
    if not isinstance(value, dict) or not isinstance(value.get(key), list):
        raise UserError(f"The annotations {path} are not laid out as COCO's: they have no list {key!r}.")
    made = []
    for position, entry in enumerate(value[key]):
        try:
            made.append(read(entry))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"has no {error}" if isinstance(error, KeyError) else f"is malformed ({error})"
            raise UserError(
                f"The annotations {path} are not laid out as COCO's: entry {position} of {key!r} {reason}."
            ) from error
    return made


def _check_annotation(entry: dict[str, Any], category_ids: set[int]) -> dict[str, Any]:
    _integer(entry, "image_id")
    if "segments_info" not in entry:
        _check_category(entry, category_ids)
        return entry
    entry["file_name"] = _filename(entry)
    segments = entry["segments_info"]
    if not isinstance(segments, list):
        raise TypeError(f"'segments_info' must be a list, got {shown(segments)}")
    for segment in segments:
        _integer(segment, "id")
        _check_category(segment, category_ids)
    if len({segment["id"] for segment in segments}) < len(segments):
        raise ValueError("two segments have one id")
    return entry


def _check_category(entry: dict[str, Any], category_ids: set[int]) -> None:
    if _integer(entry, "category_id") not in category_ids:
        raise ValueError(f"'category_id' is {entry['category_id']}, which is not among 'categories'")
    if entry.get("iscrowd", 0) not in (0, 1):
        raise ValueError(f"'iscrowd' must be 0 or 1, got {shown(entry['iscrowd'])}")


def _image(entry: dict[str, Any], by_image: dict[Any, list[dict[str, Any]]]) -> CocoImage:
    image_id, height, width = (_integer(entry, key) for key in ("id", "height", "width"))
    if min(height, width) < 1 or max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        raise ValueError(f"its size is {width} x {height} pixels")
    return CocoImage(image_id, _filename(entry), _path(entry), height, width, tuple(by_image.get(image_id, ())))


def _category(entry: dict[str, Any]) -> tuple[str, int]:
    return _text(entry, "name"), _integer(entry, "id")


def _integer(entry: dict[str, Any], key: str) -> int:
    value = entry[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{key!r} must be an integer, got {shown(value)}")
    return value


def _text(entry: dict[str, Any], key: str) -> str:
    value = entry[key]
    if not isinstance(value, str) or not value:
        raise TypeError(f"{key!r} must be text, got {shown(value)}")
    return value


def _path(entry: dict[str, Any]) -> str:
    """Returns the file's path with slashes, which Windows may have written as backslashes."""
    return str(pathlib.PurePosixPath(_text(entry, "file_name").replace("\\", "/").lstrip("/")))


def _filename(entry: dict[str, Any]) -> str:
    """Returns the file's name without folders."""
    path = _text(entry, "file_name")
    if ".." in re.split(r"[/\\]", path):
        raise ValueError(f"'file_name' {shown(path)} leads out of the folder of the images")
    name = path.replace("\\", "/").rpartition("/")[2]
    if not name:
        raise ValueError(f"'file_name' is the folder {shown(entry['file_name'])}")
    return name
