"""Which label belongs to which image, and which split they are in, by folders and names."""

import collections
import dataclasses
import hashlib
import os
import re

from deeplab_dpc.console import console
from deeplab_dpc.data.file_kinds import LABEL_SUFFIXES, LOSSY_SUFFIXES, listed
from deeplab_dpc.data.image_files import SUFFIXES as IMAGE_SUFFIXES
from deeplab_dpc.datasets.left_out import say_empty_folders, say_left_out
from deeplab_dpc.datasets.naming import Naming, file_key, find_naming
from deeplab_dpc.datasets.raw_files import RawFiles
from deeplab_dpc.datasets.raw_tree import RawTree
from deeplab_dpc.datasets.together import divided, image_and_label_folder, label_beside
from deeplab_dpc.errors import UserError

UNLABELLED_SPLIT = "test"  # of images without labels where nothing else says


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image and its label.

    Attributes:
      name: what the record calls the image: its path inside its split's folder.
      image: the image's path in the raw images.
      label: the label's path in the raw labels; None where there is none.
    """

    name: str
    image: str
    label: str | None


Splits = dict[str, list[Pair]]


def find_pairs(images: RawFiles, labels: RawFiles | None, val_fraction: float, skip_bad: bool = False) -> Splits:
    """Matches images and labels by their paths.

    The folders directly in `images` are the splits, labelled where `labels` has a folder of that name. Without folders
    there, labelled images are drawn for train and val, and unlabelled ones are the split `test`. Labels have the names
    of their images but for the suffix, or all the same addition to them (`find_naming`), which is printed. They may lie
    in the same folders as the images.

    Args:
      images: files with one of IMAGE_SUFFIXES.
      labels: files with one of LABEL_SUFFIXES in the same folders, if there are any.
      val_fraction: share of the images in val, in (0, 1), where it is drawn.
      skip_bad: whether pictures of kinds that are not read are left out, instead of ending the conversion.

    Raises:
      UserError: if an image of a labelled split has no label, or the reverse, or there are pictures that are not read.
    """
    image_tree, label_tree = RawTree(images), RawTree(labels) if labels is not None else None
    is_shared = labels is not None and os.path.samefile(images.path, labels.path)
    labels_of = _checked(image_tree, label_tree)
    matched = {split: _matched(image_tree, tree, split, is_shared) for split, tree in labels_of.items()}
    taken = {pair.image for pairs in matched.values() for pair in pairs}
    label_names = {pair.label for pairs in matched.values() for pair in pairs if pair.label is not None}
    say_empty_folders(images)
    say_left_out(images, taken | (label_names if is_shared else set()), skip_bad)
    if labels is not None and not is_shared:
        say_left_out(labels, label_names, skip_bad=True)
    if "" not in matched:
        return matched
    return draw_val(matched[""], val_fraction) if label_tree else {UNLABELLED_SPLIT: matched[""]}


def _checked(images: RawTree, labels: RawTree | None) -> dict[str, RawTree | None]:
    """The labels' files of each split, "" being all of them where there are no folders; None where it has no labels."""
    splits = images.folders()
    if not splits:
        return {"": labels}
    if couple := image_and_label_folder(splits):
        first, second = map(images.title, couple)
        raise UserError(
            f"{images.title('')} holds the folders {couple[0]} and {couple[1]}, which are no splits; give "
            f"--images={first} and --labels={second}."
        )
    if loose := [name for name in images.files("", IMAGE_SUFFIXES) if "/" not in name]:
        raise UserError(
            f"{images.title('')} has both sub-folders ({splits[0]}) and images ({loose[0]}); "
            "put all images into sub-folders, one per split, or none."
        )
    for split in splits:
        if meant := meant_split(split):
            raise UserError(f"The folder {images.title(split)} is a split that must be called {meant}; rename it.")
        if not is_split_name(split):
            raise UserError(
                f"The folder {images.title(split)} cannot be a split; its name must be letters, digits and _, "
                "and not 'all'."
            )
    labelled = labels.folders() if labels else []
    if labels:
        _check_label_folders(images, labels, splits, labelled)
    return {split: labels if split in labelled else None for split in splits}


def draw_val(pairs: list[Pair], val_fraction: float) -> Splits:
    """Splits into train and val; which of them a pair is in depends on its name alone, but for the ends.

    Each gets one pair at least, given two; a single one is for training.
    """
    position = {pair: _position(pair.name) for pair in pairs}
    drawn = {pair for pair in pairs if position[pair] < val_fraction}
    if pairs:
        drawn |= {min(pairs, key=position.__getitem__)}
        drawn -= {max(pairs, key=position.__getitem__)}
    split_pairs = {
        "train": [pair for pair in pairs if pair not in drawn],
        "val": [pair for pair in pairs if pair in drawn],
    }
    return {split: members for split, members in split_pairs.items() if members}


def is_split_name(name: str) -> bool:
    """Whether TensorFlow Datasets takes it as a split's name."""
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None and name != "all"


def meant_split(name: str) -> str | None:
    """Returns the split that a name means which differs from it only in capitals; None if there is none such."""
    lower = name.lower()
    return lower if lower in ("train", "val", "test") and name != lower else None


def _position(name: str) -> float:
    """Returns a number in [0, 1) that looks random."""
    return int.from_bytes(hashlib.sha256(os.fsencode(file_key(name))).digest()[:8]) / 2**64


def _check_label_folders(images: RawTree, labels: RawTree, splits: list[str], labelled: list[str]) -> None:
    if extra := sorted(set(labelled) - set(splits)):
        raise UserError(
            f"The folder {labels.title(extra[0])} has labels for a split without images in {images.title('')}."
        )
    required = "train" if "train" in splits else splits[0]
    if not labelled or ("train" in splits and "train" not in labelled):
        raise UserError(
            f"The folder {labels.title(required)} with the labels of {images.title(required)} is missing or empty."
        )


def _matched(images: RawTree, labels: RawTree | None, folder: str, is_shared: bool) -> list[Pair]:
    """The pairs of a split."""
    where = images.title(folder)
    if is_shared and labels is not None:
        image_of, label_of, naming = divided(images, folder)
    else:
        image_of = _by_key(images, folder, IMAGE_SUFFIXES)
        label_of = _by_key(labels, folder, LABEL_SUFFIXES, preferred=".png") if labels is not None else {}
        naming = find_naming(image_of, label_of, labels.title(folder)) if labels is not None else Naming()
    if not image_of:
        others = images.files(folder, ())
        lying = f", but {listed(others, 'other file')}" if others else ""
        raise UserError(f"There is no image ({', '.join(IMAGE_SUFFIXES)}) in {where}{lying}.")
    if labels is None or (is_shared and not label_of and folder not in ("", "train")):
        if beside := label_beside(image_of):
            console.print(
                f"Note: {beside} in {where} looks like a label; if it is one, give this folder as --labels, too."
            )
        return [Pair(name, images.path(folder, name), None) for name in image_of.values()]
    there = labels.title(folder)
    if alone := [name for key, name in image_of.items() if naming.label_key(key) not in label_of]:
        raise UserError(_without_label(alone, where, labels, folder, naming))
    wanted = {naming.label_key(key) for key in image_of}
    if alone := [name for key, name in label_of.items() if key not in wanted]:
        raise UserError(f"{listed(alone, 'label')} in {there} without an image of the same name in {where}.")
    pairs = [
        Pair(name, images.path(folder, name), labels.path(folder, label_of[naming.label_key(key)]))
        for key, name in image_of.items()
    ]
    if is_shared or not naming.is_plain:
        console.print(
            f"Labels in {there} are taken to be those called {naming}: {pairs[0].label} is that of {pairs[0].image}."
        )
    return pairs


def _without_label(alone: list[str], where: str, labels: RawTree, folder: str, naming: Naming) -> str:
    """Returns what to say of images without a label: what lies there, and what it should be called."""
    there, example = labels.title(folder), naming.label_key(file_key(alone[0]))
    beside = labels.files(folder, ())
    if jpeg := next(
        (name for name in beside if file_key(name) == example and name.lower().endswith(LOSSY_SUFFIXES)), None
    ):
        return (
            f"The label {jpeg} in {there} is a JPEG, which changes the ids at every border; labels must be PNGs, made "
            "from what they were before."
        )
    lying = f", where there is {', '.join(beside[:3])}{', ...' if len(beside) > 3 else ''}" if beside else ""
    return (
        f"{listed(alone, 'image')} in {where} without a .png of the same name in {there}{lying}; the first must be "
        f"called {example}.png there, or name the pairs with --list."
    )


def _by_key(tree: RawTree, folder: str, suffixes: tuple[str, ...], preferred: str = "") -> dict[str, str]:
    """Returns the files by their keys; of several of the same key the one with the preferred suffix."""
    groups: dict[str, list[str]] = collections.defaultdict(list)
    for name in tree.files(folder, suffixes):
        groups[file_key(name)].append(name)
    for key, names in groups.items():
        chosen = [name for name in names if preferred and name.lower().endswith(preferred)]
        if len(names) > 1 and len(chosen) != 1:
            raise UserError(
                f"{names[0]} and {names[1]} in {tree.title(folder)} have the same name but for the suffix; rename or "
                "remove one. If one is the label of the other, give this folder as --labels, too."
            )
        groups[key] = chosen or names
    return {key: name for key, (name,) in groups.items()}
