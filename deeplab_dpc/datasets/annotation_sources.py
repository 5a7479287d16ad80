"""One interface for all kinds of annotations: the names of their classes, and the label of each image."""

import abc
import collections
import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from deeplab_dpc.console import track
from deeplab_dpc.data.dataset_info import Color
from deeplab_dpc.datasets import annotation_kinds as kinds
from deeplab_dpc.datasets.coco import instance_ids
from deeplab_dpc.datasets.coco_json import CocoAnnotations, CocoImage, read_annotations
from deeplab_dpc.datasets.cvat import read_cvat
from deeplab_dpc.datasets.labelme import read_labelme
from deeplab_dpc.datasets.outlines import Annotated
from deeplab_dpc.datasets.raw_files import RawFiles
from deeplab_dpc.datasets.yolo import find_names, looks_like_yolo, places, read_yolo
from deeplab_dpc.errors import UserError, first_few

Size = tuple[int, int]
_SHOWN_BAD = 3  # unusable files after the first one that are named


@dataclasses.dataclass(frozen=True)
class Meaning:
    """The meaning of class names.

    Attributes:
      ids: class ids by name; the ignore label for names whose pixels are ignored.
      outside: id of the pixels outside all shapes.
      ignored: ignore label.
    """

    ids: dict[str, int]
    outside: int
    ignored: int


class AnnotationSource(abc.ABC):
    """The annotations of some images.

    Attributes:
      raw: folder or archive of the annotations.
      files: files of `raw` with annotations.
      references: image of each annotation, by the annotation's name: its path, or its path without the suffix.
      names: names of all classes, in the order of their numbers if they have numbers.
      used: names of the classes that are known to occur.
      palette: colours of the classes that have one.
      can_ignore: bool, whether pixels may be ignored regardless of the class names.
      subsets: split of each image by the annotation's name, if the annotations have splits.
      may_lack: True if an image without an annotation shows none of the classes, False if it is an error, None if it is
        left out.
    """

    names: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    can_ignore = False
    may_lack: bool | None = False

    def __init__(self, raw: RawFiles, files: list[str]):
        self.raw = raw
        self.files = files
        self.references: dict[str, str] = {}
        self.palette: dict[str, Color] = {}
        self.subsets: dict[str, str] = {}

    @abc.abstractmethod
    def label(self, name: str, size: Callable[[], Size], meaning: Meaning) -> tuple[np.ndarray, str]:
        """Draws the label of an image.

        Args:
          name: name of the annotation.
          size: function called without arguments that returns (height, width) of the image in pixels, as viewers show
            it.
          meaning: meaning of the classes.

        Returns:
          Class ids, uint8 [height, width], and their name in messages.

        Raises:
          UserError: if the annotation cannot be used.
        """

    def identity(self, name: str) -> list[Any]:
        """Returns JSON values that change when the annotation does."""
        return self.raw.identity(name if name in self.files else self.files[0])

    def is_annotation(self, name: str) -> bool:
        """Returns whether a file without an image is an annotation, rather than a text about the data."""
        return True


class Labelme(AnnotationSource):
    """Annotations of labelme: a JSON file for each image.

    All files are read once for the names of their classes, and again when their labels are drawn.
    """

    def __init__(self, raw: RawFiles, files: list[str], image_keys: set[str], skip_bad: bool):
        super().__init__(raw, files)
        used: set[str] = set()
        bad: dict[str, UserError] = {}
        for name in track(files, "Reading annotations", len(files)):
            self.references[name] = _without_suffix(name)
            try:
                found = read_labelme(raw.read(name), raw.title(name))
            except UserError as error:
                bad[name] = error
                continue
            used |= {shape.name for shape in found.shapes}
            stem = self.references[name].rpartition("/")[2]
            if stem not in image_keys and found.image_name:
                self.references[name] = os.path.join(os.path.dirname(name), found.image_name)
        if bad and not skip_bad:
            (_, first), *others = bad.items()
            named = first_few([name for name, _ in others], _SHOWN_BAD)
            more = f"; {len(others)} more cannot be used either ({named})" if others else ""
            raise UserError(f"{first}".removesuffix(".") + f"{more}.") from first
        self.names = self.used = tuple(sorted(used))

    def label(self, name: str, size: Callable[[], Size], meaning: Meaning) -> tuple[np.ndarray, str]:
        title = self.raw.title(name)
        found = read_labelme(self.raw.read(name), title)
        annotated = Annotated(title, found.size or size(), found.shapes)
        return annotated.label(meaning.ids, meaning.outside), title


class Yolo(AnnotationSource):
    """Annotations of YOLO: a text file for each image with objects."""

    may_lack = True

    def __init__(self, raw: RawFiles, files: list[str], images: RawFiles, class_names: tuple[str, ...] | None):
        super().__init__(raw, files)
        self.references = {name: _without_suffix(name) for name in files}
        found = find_names(places(raw.path, images.path))
        if found is None and class_names is None:
            raise UserError(
                f"The YOLO files in {raw.path} hold numbers of classes, and no file next to them gives their names; "
                "put data.yaml or classes.txt there, or give --classes=background,NAME,... in the order of the numbers."
            )
        self.names = tuple(found[0]) if found is not None else class_names or ()

    def label(self, name: str, size: Callable[[], Size], meaning: Meaning) -> tuple[np.ndarray, str]:
        title = self.raw.title(name)
        height, width = size()
        shapes = read_yolo(self.raw.read(name), title, list(self.names), height, width)
        return Annotated(title, (height, width), shapes).label(meaning.ids, meaning.outside), title

    def identity(self, name: str) -> list[Any]:
        return [*super().identity(name), list(self.names)]

    def is_annotation(self, name: str) -> bool:
        text = self.raw.read(name).decode("utf-8", "replace")
        return not text.strip() or looks_like_yolo(text)


class Cvat(AnnotationSource):
    """Annotations of CVAT: XML files that list images with their shapes."""

    may_lack = None

    def __init__(self, raw: RawFiles, files: list[str]):
        super().__init__(raw, files)
        self._images: dict[str, Annotated] = {}
        self._file_of: dict[str, str] = {}
        for name in files:
            found = read_cvat(raw.read(name), raw.title(name))
            _require_new(self._images, found.images, raw.title(name))
            self._images |= found.images
            self._file_of |= dict.fromkeys(found.images, name)
            self.names = tuple(dict.fromkeys((*self.names, *found.names)))
            self.palette |= found.palette
            self.subsets |= found.subsets
        self.used = tuple({shape.name for image in self._images.values() for shape in image.shapes})
        self.references = {name: name for name in self._images}

    def label(self, name: str, size: Callable[[], Size], meaning: Meaning) -> tuple[np.ndarray, str]:
        annotated = self._images[name]
        return annotated.label(meaning.ids, meaning.outside), annotated.title

    def identity(self, name: str) -> list[Any]:
        return super().identity(self._file_of[name])


class Coco(AnnotationSource):
    """Annotations of COCO: JSON files of instances, whose categories are identified by their names."""

    may_lack = None

    def __init__(self, raw: RawFiles, files: list[str], images: RawFiles):
        super().__init__(raw, files)
        self._images: dict[str, tuple[str, CocoAnnotations, CocoImage]] = {}
        used: set[str] = set()
        read = {name: read_annotations(_path(raw, name), has_folders=True) for name in files}
        # Files in folders of their own, those of the splits, may name images that the others have too.
        folders = [os.path.dirname(name) for name in files]
        in_folders = len(files) > 1 and all(folders) and len(set(folders)) == len(files)
        for name, found in read.items():
            if found.panoptic:
                raise UserError(
                    f"The annotations {found.path} are panoptic, with masks in PNGs; convert them with build_coco "
                    "(--train_annotations, --train_images, --train_panoptic_pngs)."
                )
            by_id = {number: category for category, number in found.categories.items()}
            folder = pathlib.PurePosixPath(name).parent if in_folders else pathlib.PurePosixPath()
            entries = {str(folder / image.path): (name, found, image) for image in found.images}
            _require_new(self._images, entries, str(found.path))
            self._images |= entries
            ordered = sorted(found.categories, key=found.categories.__getitem__)
            self.names = tuple(dict.fromkeys((*self.names, *ordered)))
            annotations = [one for image in found.images for one in image.annotations]
            used |= {by_id[one["category_id"]] for one in annotations}
            self.can_ignore = self.can_ignore or any(one.get("iscrowd") for one in annotations)
        self.used = tuple(used)
        self.references = dict(zip(self._images, _known_paths(list(self._images), images), strict=True))

    def label(self, name: str, size: Callable[[], Size], meaning: Meaning) -> tuple[np.ndarray, str]:
        _, annotations, image = self._images[name]
        ids = {
            number: meaning.ids[category]
            for category, number in annotations.categories.items()
            if category in meaning.ids
        }
        return instance_ids(annotations, ids, image, meaning.outside, meaning.ignored)

    def identity(self, name: str) -> list[Any]:
        return super().identity(self._images[name][0])


def open_annotations(
    kind: str,
    raw: RawFiles,
    images: RawFiles,
    image_keys: set[str],
    class_names: tuple[str, ...] | None,
    skip_bad: bool,
    only: str | None = None,
) -> AnnotationSource:
    """Opens annotations, and reads what is necessary to know their images and classes.

    Args:
      kind: a value of SUFFIXES of annotation_kinds.py.
      raw: folder or archive of the annotations.
      images: folder or archive of the images.
      image_keys: file names of the images, without folders and suffixes.
      class_names: names for YOLO's numbers if no file defines them; None if a file must define them.
      skip_bad: bool, whether a damaged file of a single image is not an error here, since it is skipped later.
      only: name of the only file of `raw` to use; None uses all.

    Raises:
      UserError: if there are no annotations, or they are damaged.
    """
    files = [only] if only is not None else kinds.annotation_files(raw.names(), kinds.SUFFIXES[kind])
    if not files:
        raise UserError(f"There is no file *{kinds.SUFFIXES[kind]} in {raw.path}, as --labels_as={kind} needs.")
    if kind == kinds.LABELME:
        return Labelme(raw, files, image_keys, skip_bad)
    if kind == kinds.YOLO:
        return Yolo(raw, files, images, class_names)
    return Cvat(raw, files) if kind == kinds.CVAT else Coco(raw, files, images)


def _without_suffix(name: str) -> str:
    return str(pathlib.PurePosixPath(name).with_suffix(""))


def _known_paths(paths: list[str], images: RawFiles) -> list[str]:
    """Returns the paths, without the outer folders that no image is in: other programs name folders of their own."""
    by_name = collections.defaultdict(list)
    for image in images.names():
        by_name[image.rpartition("/")[2]].append(f"/{image}")
    known = []
    for path in paths:
        parts = path.split("/")
        inner = ("/".join(parts[place:]) for place in range(len(parts)))
        there = (end for end in inner if any(image.endswith(f"/{end}") for image in by_name[parts[-1]]))
        known.append(next(there, parts[-1]))
    return known


def _path(raw: RawFiles, name: str) -> pathlib.Path:
    if not raw.path.is_dir():
        raise UserError(
            f"The annotations {raw.title(name)} are in an archive; unpack it, and give the file as --labels."
        )
    return raw.path / name


def _require_new(known: Mapping[str, Any], added: Mapping[str, Any], title: str) -> None:
    if repeated := next((name for name in added if name in known), None):
        raise UserError(f"The image {repeated} in {title} is in another of the annotation files, too; leave one out.")
