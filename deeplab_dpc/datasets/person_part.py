"""PASCAL-Person-Part: people of PASCAL VOC by body part (Chen et al., CVPR 2014, "Detect What You Can"; merged to six
parts as in Chen et al., CVPR 2016, arXiv:1511.03339, Sec. 4.1)."""

import contextlib
import os

import numpy as np

from deeplab_dpc.console import track
from deeplab_dpc.data.dataset_info import DEFAULT_IGNORE_LABEL, Dataset, pascal_palette
from deeplab_dpc.datasets import matlab
from deeplab_dpc.datasets.records import build_records
from deeplab_dpc.datasets.segmentation_builder import Classes
from deeplab_dpc.datasets.voc_layout import (
    VOC,
    VOC_FOLDERS,
    VOC_IMAGES,
    Source,
    Tree,
    TreeFile,
    note_counts,
    open_tree,
    parse_ids,
    raw_example,
    read_png_ids,
)
from deeplab_dpc.errors import UserError
from deeplab_dpc.small_files import read_file

NAME = "person_part"
# The parts of Pascal-Part that make each class; l and r are left and right. Background has none.
PARTS = {
    "background": (),
    "head": ("head", "leye", "reye", "lear", "rear", "lebrow", "rebrow", "nose", "mouth", "hair"),
    "torso": ("torso", "neck"),
    "upper_arms": ("luarm", "ruarm"),
    "lower_arms": ("llarm", "rlarm", "lhand", "rhand"),
    "upper_legs": ("luleg", "ruleg"),
    "lower_legs": ("llleg", "rlleg", "lfoot", "rfoot"),
}
CLASSES = Classes(tuple(PARTS), pascal_palette(len(PARTS)), DEFAULT_IGNORE_LABEL)
ID_OF_PART = {part: class_id for class_id, parts in enumerate(PARTS.values()) for part in parts}
VOC2010_FOLDERS = ("VOC2010/", "VOCdevkit/VOC2010/")
OFFICIAL_COUNTS = {"train": 1716, "val": 1817}

ANNOTATIONS = Source("annotations", "trainval.tar.gz", "http://roozbehm.info/pascal-parts/pascal-parts.html")
MASKS = Source("masks", "pascal_person_part.zip", "http://liangchiehchen.com/projects/DeepLab.html")


def build_person_part(
    voc_root: str | os.PathLike[str],
    data_dir: str | os.PathLike[str],
    annotations: str | os.PathLike[str] | None = None,
    masks: str | os.PathLike[str] | None = None,
    train_list: str | os.PathLike[str] | None = None,
    val_list: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    skip_bad: bool = False,
) -> Dataset:
    """Builds the data set `person_part` with the splits train and val.

    Args:
      voc_root: folder VOC2012 (or VOC2010), or one that contains it or VOCdevkit, or their tar file.
      data_dir: directory in which data sets are written.
      annotations: folder Annotations_Part of Pascal-Part, or trainval.tar.gz.
      masks: folder or archive of PNGs with the ids 0 to 6, in place of annotations.
      train_list, val_list: text files of image ids, the published train_id.txt and val_id.txt. None takes the images of
        VOC's ImageSets/Main/train.txt and val.txt that have a labelled part of a person (or a mask).
      overwrite: bool, whether to replace a data set that was made from other inputs.
      skip_bad: bool, whether images and labels that cannot be used are left out.

    Raises:
      UserError: for the first error in the inputs.
    """
    if annotations is not None and masks is not None:
        raise UserError("--annotations and --masks both give the labels; give one of them.")
    if (train_list is None) != (val_list is None):
        raise UserError("Give both --train_list and --val_list, or neither.")
    with contextlib.ExitStack() as stack:
        voc = stack.enter_context(open_tree(voc_root, VOC, VOC_FOLDERS + VOC2010_FOLDERS, VOC_IMAGES))
        if annotations is not None:
            tree, suffix = stack.enter_context(open_tree(annotations, ANNOTATIONS)), ".mat"
        elif masks is not None:
            tree, suffix = stack.enter_context(open_tree(masks, MASKS)), ".png"
        else:
            raise UserError(
                "Give either --annotations (Pascal-Part's .mat files) or --masks (PNGs with the ids 0 to 6)."
            )
        labels = {one: TreeFile(tree, name) for one, name in tree.by_stem(suffix).items()}
        if train_list is not None and val_list is not None:
            ids = {"train": _listed(train_list, "train_list"), "val": _listed(val_list, "val_list")}
        else:
            ids = _with_people(voc, labels, skip_bad)
        if both := sorted(set(ids["train"]) & set(ids["val"])):
            raise UserError(f"The image {both[0]} is in the train list and in the val list ({len(both)} such images).")
        examples = {
            split: [
                raw_example(
                    TreeFile(voc, f"{VOC_IMAGES}/{one}.jpg"),
                    labels.get(one, TreeFile(tree, f"{one}{suffix}")),
                    read_parts,
                    skip_bad,
                )
                for one in members
            ]
            for split, members in ids.items()
        }
        dataset = build_records(NAME, CLASSES, examples, data_dir, overwrite, skip_bad)
    note_counts(dataset.info.splits, OFFICIAL_COUNTS)
    return dataset


def _listed(path: str | os.PathLike[str], flag: str) -> list[str]:
    try:
        data = bytes(read_file(path))
    except OSError as error:
        raise UserError(
            f"--{flag}={path} cannot be read ({error.strerror}); the lists come with {MASKS.archive} of {MASKS.page}."
        ) from error
    return parse_ids(data, f"--{flag}={path}")


def _with_people(voc: Tree, labels: dict[str, TreeFile], skip_bad: bool) -> dict[str, list[str]]:
    """Returns the images of VOC's train and val lists that have a label with a part in it, by split.

    The published split follows the lists of Main, not those of Segmentation: it has more images than the latter.
    """
    ids = {}
    for split in ("train", "val"):
        file = TreeFile(voc, f"ImageSets/Main/{split}.txt")
        labelled = [one for one in parse_ids(file.read(), file.title) if one in labels]
        checked = track(labelled, f"Looking for people in {split}", len(labelled))
        ids[split] = [one for one in checked if _has_part(labels[one], skip_bad)]
        if not ids[split]:
            raise UserError(f"No image of {file.title} has a labelled part of a person.")
    return ids


def _has_part(file: TreeFile, skip_bad: bool) -> bool:
    try:
        return bool(np.isin(read_parts(file), range(1, len(PARTS))).any())
    except UserError:
        if not skip_bad:
            raise
        return True  # so that it is listed among the skipped examples


def read_parts(file: TreeFile) -> np.ndarray:
    """Returns the class ids of a mask, or of Pascal-Part's annotation of an image; uint8 [height, width].

    Where objects or parts overlap, the later one counts, as in the code that comes with Pascal-Part.

    Raises:
      UserError: if the file is damaged or has another structure.
    """
    if file.name.endswith(".png"):
        return read_png_ids(file)
    title = file.title
    objects = matlab.elements(matlab.field(matlab.read_struct(file.read(), title, "anno"), "objects", title))
    if not objects:
        raise UserError(f"The annotation {title} has no object.")
    ids = np.zeros_like(matlab.matrix(matlab.field(objects[0], "mask", title), "mask", title))
    for one in objects:
        parts = matlab.field(one, "parts", title) if matlab.field(one, "class", title) == "person" else []
        for part in matlab.elements(parts):
            name = matlab.field(part, "part_name", title)
            if not isinstance(name, str) or name not in ID_OF_PART:
                raise UserError(f"The annotation {title} has a part {name!r} of a person, which Pascal-Part lacks.")
            mask = matlab.matrix(matlab.field(part, "mask", title), "mask", title)
            if mask.shape != ids.shape:
                raise UserError(f"The masks of the annotation {title} differ in size.")
            ids[mask > 0] = ID_OF_PART[name]
    return ids
