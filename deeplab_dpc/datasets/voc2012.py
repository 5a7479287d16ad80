"""PASCAL VOC 2012 segmentation (Everingham et al., IJCV 2015), and its larger training set with the labels of the
Semantic Boundaries Dataset, SBD (Hariharan et al., ICCV 2011)."""

import contextlib
import os

import numpy as np

from deeplab_dpc.console import console
from deeplab_dpc.data.dataset_info import DEFAULT_IGNORE_LABEL, Dataset, pascal_palette
from deeplab_dpc.data.known_classes import VOC_CLASS_NAMES as CLASS_NAMES
from deeplab_dpc.datasets import matlab
from deeplab_dpc.datasets.records import RawExample, build_records
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

NAME = "voc2012"
CLASSES = Classes(CLASS_NAMES, pascal_palette(len(CLASS_NAMES)), DEFAULT_IGNORE_LABEL)
OFFICIAL_COUNTS = {"train": 1464, "val": 1449, "trainval": 2913, "train_aug": 10582, "test": 1456}

SEGMENTATION_SETS = "ImageSets/Segmentation"
SBD_FOLDERS = ("", "dataset/", "benchmark_RELEASE/dataset/")

VOC_TEST = Source("voc_test_root", "VOC2012test.tar", "http://host.robots.ox.ac.uk:8080/eval/downloads/")
SBD = Source("sbd_root", "benchmark.tgz", "http://home.bharathh.info/pubs/codes/SBD/download.html")
AUG_LABELS = Source("aug_labels", "SegmentationClassAug.zip", "https://github.com/DrSleep/tensorflow-deeplab-resnet")


def build_voc2012(
    voc_root: str | os.PathLike[str],
    data_dir: str | os.PathLike[str],
    sbd_root: str | os.PathLike[str] | None = None,
    aug_labels: str | os.PathLike[str] | None = None,
    voc_test_root: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    skip_bad: bool = False,
) -> Dataset:
    """Builds the data set `voc2012`: the official splits train, val and trainval, and if given test and train_aug.

    A split is a set of record files of its own, so trainval repeats the records of train and val, and train_aug those
    of train.

    Args:
      voc_root: folder VOC2012, or one that contains it or VOCdevkit, or VOCtrainval_11-May-2012.tar.
      data_dir: directory in which data sets are written.
      sbd_root: folder benchmark_RELEASE (or its dataset), or benchmark.tgz: train_aug is then VOC's train and all
        images of SBD except VOC's val; labelled by VOC where VOC has labels.
      aug_labels: folder or archive of PNGs with ids, SegmentationClassAug, in place of sbd_root.
      voc_test_root: folder like voc_root, or VOC2012test.tar; not needed if voc_root contains the test images too.
      overwrite: bool, whether to replace a data set that was made from other inputs.
      skip_bad: bool, whether images and labels that cannot be used are left out.

    Raises:
      UserError: for the first error in the inputs.
    """
    if sbd_root is not None and aug_labels is not None:
        raise UserError("--sbd_root and --aug_labels both give the labels of train_aug; give one of them.")
    with contextlib.ExitStack() as stack:
        voc = stack.enter_context(open_tree(voc_root, VOC, VOC_FOLDERS, VOC_IMAGES))
        ids = {split: _split_ids(voc, split) for split in ("train", "val", "trainval")}
        examples = {
            split: [raw_example(_image(voc, one), _label(voc, one), read_png_ids, skip_bad) for one in members]
            for split, members in ids.items()
        }
        if sbd_root is not None:
            sbd = stack.enter_context(open_tree(sbd_root, SBD, SBD_FOLDERS, "cls"))
            labels = {one: TreeFile(sbd, f"cls/{one}.mat") for one in _sbd_ids(sbd)}
            examples["train_aug"] = _train_aug(voc, ids, labels, skip_bad)
        if aug_labels is not None:
            grey = stack.enter_context(open_tree(aug_labels, AUG_LABELS))
            labels = {one: TreeFile(grey, name) for one, name in grey.by_stem(".png").items()}
            examples["train_aug"] = _train_aug(voc, ids, labels, skip_bad)
        test = voc
        if voc_test_root is not None:
            test = stack.enter_context(open_tree(voc_test_root, VOC_TEST, VOC_FOLDERS, VOC_IMAGES))
        examples["test"] = _test(test, skip_bad)
        dataset = build_records(NAME, CLASSES, examples, data_dir, overwrite, skip_bad)
    note_counts(dataset.info.splits, OFFICIAL_COUNTS)
    return dataset


def _split_ids(voc: Tree, split: str) -> list[str]:
    file = TreeFile(voc, f"{SEGMENTATION_SETS}/{split}.txt")
    return parse_ids(file.read(), file.title)


def _image(voc: Tree, image_id: str) -> TreeFile:
    return TreeFile(voc, f"{VOC_IMAGES}/{image_id}.jpg")


def _label(voc: Tree, image_id: str) -> TreeFile:
    return TreeFile(voc, f"SegmentationClass/{image_id}.png")


def _sbd_ids(sbd: Tree) -> list[str]:
    lists = [TreeFile(sbd, f"{split}.txt") for split in ("train", "val")]
    return [image_id for file in lists for image_id in parse_ids(file.read(), file.title)]


def _train_aug(voc: Tree, ids: dict[str, list[str]], labels: dict[str, TreeFile], skip_bad: bool) -> list[RawExample]:
    """Returns VOC's train and the further labelled images, without VOC's val, sorted by name."""
    wanted = (set(ids["train"]) | set(labels)) - set(ids["val"])
    own = set(ids["train"]) | set(ids["trainval"])
    examples = []
    for one in sorted(wanted):
        label = _label(voc, one) if one in own else labels[one]
        image = _image(voc, one)
        if not voc.exists(image.name) and label.tree.source == SBD:
            image = TreeFile(label.tree, f"img/{one}.jpg")  # SBD contains the same files
        examples.append(raw_example(image, label, _read_ids, skip_bad))
    return examples


def _read_ids(file: TreeFile) -> np.ndarray:
    """Returns the ids of a PNG, or of a file of SBD (the field Segmentation of the struct GTcls)."""
    if not file.name.endswith(".mat"):
        return read_png_ids(file)
    struct = matlab.read_struct(file.read(), file.title, "GTcls")
    return matlab.matrix(matlab.field(struct, "Segmentation", file.title), "Segmentation", file.title)


def _test(voc: Tree, skip_bad: bool) -> list[RawExample]:
    """Returns the test images, without labels; none if VOC's trainval files contain no test images."""
    if voc.source == VOC:
        if not voc.exists(f"{SEGMENTATION_SETS}/test.txt"):
            return []
        if not any(voc.exists(_image(voc, one).name) for one in _split_ids(voc, "test")):
            console.print(f"Note: the test images are missing, so the split test is left out; {VOC_TEST}.")
            return []
    return [raw_example(_image(voc, one), None, read_png_ids, skip_bad) for one in _split_ids(voc, "test")]
