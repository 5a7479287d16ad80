"""Detection of the kind of annotations in a folder, file or archive, by its contents."""

import itertools
import re

from deeplab_dpc.data.file_kinds import LABEL_SUFFIXES, LOSSY_SUFFIXES
from deeplab_dpc.datasets.cvat import root_element
from deeplab_dpc.datasets.raw_files import RawFiles
from deeplab_dpc.datasets.yolo import NAME_FILES, looks_like_yolo
from deeplab_dpc.errors import UserError

AUTO, PICTURES, COCO, CVAT, LABELME, YOLO = "auto", "pictures", "coco", "cvat", "labelme", "yolo"
LABELS_AS = (AUTO, PICTURES, COCO, CVAT, LABELME, YOLO)
SUFFIXES = {COCO: ".json", LABELME: ".json", CVAT: ".xml", YOLO: ".txt"}
NOT_ANNOTATIONS = ("classes.json", *NAME_FILES)
_LOOKED_INTO = 20  # number of files of each suffix that are read; empty ones, which YOLO has, tell nothing
_SHAPES = re.compile(rb'"shapes"\s*:\s*\[')
_LISTS = (re.compile(rb'"images"\s*:\s*\['), re.compile(rb'"categories"\s*:\s*\['))


def annotation_kind(labels: RawFiles, labels_as: str, is_shared: bool, only: str | None = None) -> str:
    """Returns the kind of the labels, a value of LABELS_AS other than AUTO.

    Args:
      labels: folder or archive of the labels.
      labels_as: a value of LABELS_AS; all but AUTO are returned unchanged.
      is_shared: bool, whether the images are in the same folder, so that pictures there are not labels.
      only: name of the only file to use; None uses all.

    Raises:
      UserError: for annotations without outlines (boxes in PASCAL VOC's layout), and for a single file of an unknown
        kind.
    """
    if labels_as not in LABELS_AS:
        raise UserError(f"--labels_as must be one of {', '.join(LABELS_AS)}, got {labels_as!r}.")
    if labels_as != AUTO:
        return labels_as
    if only is not None:
        if kind := _kind(labels.read(only), labels.title(only), f".{only.rpartition('.')[2].lower()}"):
            return kind
        raise UserError(
            f"--labels={labels.title(only)} is not a supported kind of annotations: COCO's JSON, CVAT's XML for "
            "images, or a folder of labelme's JSON or YOLO's text files; give one of these, or a folder of label PNGs."
        )
    names = labels.names()
    if not is_shared and any(name.lower().endswith((*LABEL_SUFFIXES, *LOSSY_SUFFIXES)) for name in names):
        return PICTURES
    for suffix in dict.fromkeys(SUFFIXES.values()):
        with_contents = (name for name in annotation_files(names, suffix) if labels.identity(name)[0])
        for name in itertools.islice(with_contents, _LOOKED_INTO):
            if kind := _kind(labels.read(name), labels.title(name), suffix):
                return kind
    return PICTURES


def annotation_files(names: list[str], suffix: str) -> list[str]:
    """Returns those of `names` that have the suffix and may be annotations."""
    return [
        name
        for name in names
        if name.lower().endswith(suffix) and name.rpartition("/")[2].lower() not in NOT_ANNOTATIONS
    ]


def _kind(data: bytes, title: str, suffix: str) -> str | None:
    if suffix == ".json":
        if _SHAPES.search(data):
            return LABELME
        return COCO if all(key.search(data) for key in _LISTS) else None
    if suffix == ".xml":
        root = root_element(data)
        if root == "annotation":
            raise UserError(
                f"{title} is laid out as PASCAL VOC's annotations, which have boxes and no outlines; give label PNGs, "
                "or export polygons."
            )
        return CVAT if root == "annotations" else None
    return YOLO if looks_like_yolo(data[:65_536].decode("utf-8", "replace")) else None
