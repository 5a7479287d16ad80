"""Matching of labels to images, and of images to splits, by folders and names."""

import collections
import os

from deeplab_dpc.console import console
from deeplab_dpc.data.file_kinds import LABEL_SUFFIXES, LOSSY_CURE, LOSSY_SUFFIXES, listed
from deeplab_dpc.data.image_files import SUFFIXES as IMAGE_SUFFIXES
from deeplab_dpc.datasets.left_out import print_empty_folders, print_left_out
from deeplab_dpc.datasets.naming import Naming, file_key, find_naming
from deeplab_dpc.datasets.raw_files import RawFiles, RawTree
from deeplab_dpc.datasets.splits import (
    UNLABELLED_SPLIT,
    Pair,
    Splits,
    ValDraw,
    are_groups,
    check_split,
    grouped_by_folder,
    renamed,
)
from deeplab_dpc.datasets.together import divided, image_and_label_folder, label_beside
from deeplab_dpc.errors import UserError, first_few


def find_pairs(images: RawFiles, labels: RawFiles | None, draw: ValDraw, skip_bad: bool = False) -> Splits:
    """Matches images and labels by their paths.

    The folders directly in `images` are the splits, labelled if `labels` has a folder of that name. Without such
    folders, or if no split can have their names, labelled images are drawn for train and val, and unlabelled ones are
    the split `test`. Labels have the names of their images except for the suffix, or all have the same addition
    (`find_naming`), which is printed. They may be in the same folders as the images.

    Args:
      images: folder or archive of files with a suffix in IMAGE_SUFFIXES.
      labels: folder or archive of files with a suffix in LABEL_SUFFIXES in the same folders; None if there are none.
      draw: draw of val, used if no folders define the splits.
      skip_bad: bool, whether pictures of unsupported kinds are left out; otherwise they end the conversion.

    Raises:
      UserError: if an image of a labelled split has no label, a label has no image, or there are pictures of
        unsupported kinds.
    """
    image_tree, label_tree = RawTree(images), RawTree(labels) if labels is not None else None
    is_shared = labels is not None and os.path.samefile(images.path, labels.path)
    folders = split_folders(image_tree, draw)
    if label_tree is not None and folders != [""]:
        _check_label_folders(image_tree, label_tree, folders, label_tree.folders())
    matched = {}
    for folder in folders:
        has_labels = label_tree is not None and (folder == "" or folder in label_tree.folders())
        matched[folder] = _matched(image_tree, label_tree if has_labels else None, folder, is_shared)
    taken = {pair.image for pairs in matched.values() for pair in pairs}
    label_names = {pair.label for pairs in matched.values() for pair in pairs if pair.label is not None}
    print_empty_folders(images)
    print_left_out(images, taken | (label_names if is_shared else set()), skip_bad)
    if labels is not None and not is_shared:
        print_left_out(labels, label_names, skip_bad=True)
    if "" not in matched:
        return renamed(matched)
    if label_tree is None:
        return {UNLABELLED_SPLIT: matched[""]}
    return grouped_by_folder(draw, image_tree.folders(), image_tree.title("")).splits(matched[""])


def split_folders(images: RawTree, draw: ValDraw) -> list[str]:
    """Returns the folders that are splits; [""], which means all images, if val is to be drawn.

    Raises:
      UserError: if a folder cannot be a split, or there are both folders and images.
    """
    folders = images.folders()
    if not folders:
        return [""]
    if couple := image_and_label_folder(folders):
        first, second = map(images.title, couple)
        raise UserError(
            f"{images.title('')} holds the folders {couple[0]} and {couple[1]}, which are not splits; give "
            f"--images={first} and --labels={second}."
        )
    if loose := [name for name in images.files("", IMAGE_SUFFIXES) if "/" not in name]:
        raise UserError(
            f"{images.title('')} has both sub-folders ({folders[0]}) and images ({loose[0]}); "
            "put all images into sub-folders, one per split, or none."
        )
    if are_groups(folders, draw):
        return [""]
    for name in folders:
        check_split(name, images.title(name))
    return folders


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
    """Returns the pairs of a split."""
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
    """Returns the error message for images without a label, with the files found instead and the expected name."""
    there, example = labels.title(folder), naming.label_key(file_key(alone[0]))
    beside = labels.files(folder, ())
    if jpeg := next(
        (name for name in beside if file_key(name) == example and name.lower().endswith(LOSSY_SUFFIXES)), None
    ):
        return f"The label {jpeg} in {there} is a JPEG, {LOSSY_CURE}."
    lying = f", where there is {first_few(beside, 3)}" if beside else ""
    return (
        f"{listed(alone, 'image')} in {where} without a .png of the same name in {there}{lying}; the first must be "
        f"called {example}.png there, or name the pairs with --list."
    )


def _by_key(tree: RawTree, folder: str, suffixes: tuple[str, ...], preferred: str = "") -> dict[str, str]:
    """Returns the files by their keys; of several files with the same key, the one with the preferred suffix."""
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
