"""Separation of images and labels that are in one folder."""

import collections
from collections.abc import Iterable

from deeplab_dpc.data.file_kinds import LABEL_SUFFIXES, LOSSY_SUFFIXES
from deeplab_dpc.data.image_files import SUFFIXES
from deeplab_dpc.datasets.naming import Naming, file_key, find_naming
from deeplab_dpc.datasets.raw_files import RawTree
from deeplab_dpc.errors import UserError

_IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "photos", "rgb")
_LABEL_FOLDERS = (
    *("labels", "label", "masks", "mask", "annotations", "annotation", "gt", "targets"),
    *("segmentation", "segmentations", "segmentationclass"),
)
FOLDERS = (*_IMAGE_FOLDERS, *_LABEL_FOLDERS)
_LABEL_ENDS = ("_mask", "_masks", "-mask", "_label", "_labels", "-label", "_gt", "_seg", "_segmentation")


def divided(tree: RawTree, folder: str) -> tuple[dict[str, str], dict[str, str], Naming]:
    """Separates images and labels that are in one folder.

    They are in two subfolders called images and labels (or masks and so on), or they are JPEGs beside PNGs of the same
    names, or the name of each label is that of its image with an addition.

    Returns:
      The images and the labels, by key, and the rule from an image's key to its label's.

    Raises:
      UserError: if it is ambiguous which are the images.
    """
    groups: dict[str, list[str]] = collections.defaultdict(list)
    for name in tree.files(folder, (*SUFFIXES, *LABEL_SUFFIXES)):
        groups[file_key(name)].append(name)
    if couple := image_and_label_folder(key.partition("/")[0] for key in groups if "/" in key):
        images, labels = (
            {key.removeprefix(f"{top}/"): names[0] for key, names in groups.items() if key.startswith(f"{top}/")}
            for top in couple
        )
        return images, labels, find_naming(images, labels, tree.title(folder))
    twins = {key: sorted(names, key=_is_lossless) for key, names in groups.items() if len(names) > 1}
    for names in twins.values():
        if len(names) > 2 or _is_lossless(names[0]) or not _is_lossless(names[1]):
            raise UserError(
                f"{names[0]} and {names[1]} in {tree.title(folder)} have the same name but for the suffix, and it "
                "is not clear which is the label; name the pairs with --list."
            )
    if twins:
        labels = {key: names[1] for key, names in twins.items()}
        return {key: twins.get(key, names)[0] for key, names in groups.items()}, labels, Naming()
    naming = find_naming(groups, groups, tree.title(folder))
    label_keys = set() if naming.is_plain else {naming.label_key(key) for key in groups} & set(groups)
    labels = {key: groups[key][0] for key in label_keys}
    return {key: names[0] for key, names in groups.items() if key not in label_keys}, labels, naming


def image_and_label_folder(names: Iterable[str]) -> tuple[str, str] | None:
    """Returns the two folders that, by their names, contain images and labels; None if there are others."""
    folders = set(names)
    images = [name for name in folders if name.lower() in _IMAGE_FOLDERS]
    labels = [name for name in folders if name.lower() in _LABEL_FOLDERS]
    return (images[0], labels[0]) if len(images) == len(labels) == 1 and len(folders) == 2 else None


def label_beside(keys: Iterable[str]) -> str | None:
    """Returns a key that, by its addition, looks like the label of another key; None if there is none."""
    known = set(keys)
    return next((key + end for key in sorted(known) for end in _LABEL_ENDS if key + end in known), None)


def _is_lossless(name: str) -> bool:
    return not name.lower().endswith(LOSSY_SUFFIXES)
