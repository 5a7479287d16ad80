"""The splits of the user's data: folders that are splits, or images that are drawn for val if there are none."""

import collections
import dataclasses
import hashlib
import os
import re
from collections.abc import Mapping, Sequence

from deeplab_dpc.console import console
from deeplab_dpc.datasets.naming import file_key
from deeplab_dpc.errors import UserError, first_few

UNLABELLED_SPLIT = "test"  # of images without labels, if nothing else defines their split
SPLITS = ("train", "val", "test")  # names with a defined meaning
BY_FOLDER = "folder"
_BY_TOP_FOLDER = r"^[^/]+"  # value of --group_by for which images below one folder of the top folder stay together
_ELSEWHERE = {"valid": "val", "validation": "val", "training": "train", "testing": "test"}


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image and its label.

    Attributes:
      name: name of the image in the record: its path inside its split's folder.
      image: path of the image in the raw images.
      label: path of the label in the raw labels, or the name of its annotations; None if there is none.
    """

    name: str
    image: str
    label: str | None


Splits = dict[str, list[Pair]]


@dataclasses.dataclass(frozen=True)
class ValDraw:
    """The draw of the images of val.

    Attributes:
      fraction: share of the images, or of their groups, in (0, 1).
      group_by: "folder": images of one folder stay together; or a regular expression: images in whose names it matches
        the same text (of its first group if it has one) stay together. None draws each image by itself.

    Raises:
      UserError: if the fraction or the regular expression is invalid.
    """

    fraction: float = 0.2
    group_by: str | None = None

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise UserError(f"--val_fraction must be between 0 and 1, got {self.fraction}.")
        try:
            re.compile(self.group_by or "")
        except re.error as error:
            raise UserError(
                f"--group_by={self.group_by} is not a regular expression ({error}); give one, or {BY_FOLDER}."
            ) from error

    def splits(self, pairs: list[Pair]) -> Splits:
        """Splits the pairs into train and val; the split of a group depends only on its name, except that neither split
        may be empty.

        Each split gets at least one group if there are two or more; a single group is for training.

        Raises:
          UserError: if the regular expression is not found in a name.
        """
        groups: dict[str, list[Pair]] = collections.defaultdict(list)
        for pair in pairs:
            groups[self._group(pair.name)].append(pair)
        position = {group: _position(group) for group in groups}
        drawn = {group for group in groups if position[group] < self.fraction}
        if groups:
            drawn |= {min(groups, key=position.__getitem__)}
            drawn -= {max(groups, key=position.__getitem__)}
        in_val = {pair for group in drawn for pair in groups[group]}
        split_pairs = {
            "train": [pair for pair in pairs if pair not in in_val],
            "val": [pair for pair in pairs if pair in in_val],
        }
        if self.group_by is not None and pairs:
            console.print(
                f"{len(groups)} groups of images (--group_by={self.group_by}); in val: {len(drawn)} groups, "
                f"{len(in_val)} of {len(pairs)} images."
            )
        return {split: members for split, members in split_pairs.items() if members}

    def _group(self, name: str) -> str:
        if self.group_by is None:
            return file_key(name)
        if self.group_by == BY_FOLDER:
            return os.path.dirname(name)
        found = re.search(self.group_by, name)
        if found is None or (text := found[1 if found.re.groups else 0]) is None:
            raise UserError(
                f"--group_by={self.group_by} is not found in the name {name}; give a regular expression that all names "
                "match."
            )
        return text


def are_groups(folders: Sequence[str], draw: ValDraw) -> bool:
    """Returns whether folders of images are not splits.

    This is the case if no split can have any of their names, such as 0000, or, if images stay together in groups, none
    is called train, val or test.
    """
    if draw.group_by is not None and not any(name.lower() in SPLITS for name in folders):
        return True
    return not any(is_split_name(name) or name == "all" for name in folders)


def grouped_by_folder(draw: ValDraw, folders: Sequence[str], where: str) -> ValDraw:
    """Returns the draw for folders that are not splits: by these folders, whatever is in them, which is printed, unless
    the user chose another.
    """
    if draw.group_by is not None or len(folders) < 2:
        return draw
    first = first_few(folders, 3)
    console.print(f"The folders in {where} ({first}) are not splits; the images of each stay together in train or val.")
    return dataclasses.replace(draw, group_by=_BY_TOP_FOLDER)


def is_split_name(name: str) -> bool:
    """Returns whether TensorFlow Datasets accepts a name as that of a split."""
    return re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None and name != "all"


def meant_split(name: str) -> str | None:
    """Returns the split that a name means if it differs only in capitals; None if there is none."""
    lower = name.lower()
    return lower if lower in SPLITS and name != lower else None


def check_split(name: str, title: str) -> None:
    """Raises a UserError for a folder that cannot be a split."""
    if meant := meant_split(name):
        raise UserError(f"The folder {title} is a split that must be called {meant}; rename it.")
    if not is_split_name(name):
        raise UserError(f"The folder {title} cannot be a split; its name must be letters, digits and _, and not 'all'.")


def renamed(splits: Splits) -> Splits:
    """Returns the splits with common names such as valid or training replaced by the names used here.

    Raises:
      UserError: if two of the names mean one split.
    """
    called: dict[str, str] = {}
    for name in splits:
        meant = _ELSEWHERE.get(name, name)
        called[name] = name if meant in splits else meant
        if other := next((one for one, split in called.items() if one != name and split == called[name]), None):
            raise UserError(
                f"The folders {other} and {name} both mean the split {meant}; put their images together, or rename one."
            )
        if called[name] != name:
            console.print(f"The folder {name} is taken as the split {meant}.")
    return {called[name]: pairs for name, pairs in splits.items()}


def subset_splits(pairs: list[Pair], subsets: Mapping[str, str], where: str) -> Splits | None:
    """Returns the splits that the annotations define; None if they define fewer than two.

    Args:
      pairs: images with their annotations.
      subsets: subset of each image in the annotations, by the annotation's name.
      where: name of the annotations in messages.

    Raises:
      UserError: if two or more splits are defined, and an image is in none of them.
    """
    said = {pair: subsets.get(pair.label or "", "") for pair in pairs}
    meant = {pair: _ELSEWHERE.get(name.lower(), name.lower()) for pair, name in said.items()}
    splits = {split: [pair for pair in pairs if meant[pair] == split] for split in SPLITS}
    splits = {split: members for split, members in splits.items() if members}
    if len(splits) < 2:
        if splits:
            console.print(f"The only split among the subsets in {where} is {next(iter(splits))}; val is drawn.")
        return None
    if lost := next((pair for pair in pairs if meant[pair] not in SPLITS), None):
        name = f"the subset {said[lost]!r}" if said[lost] else "no subset"
        raise UserError(
            f"The image {lost.name} has {name} in {where}, and others are in {' and '.join(splits)}: give it one of "
            f"{', '.join(SPLITS)} too, or draw val by --group_by."
        )
    counted = ", ".join(f"{split} {len(members)}" for split, members in splits.items())
    console.print(f"The subsets in {where} are the splits: {counted} images.")
    return splits


def _position(group: str) -> float:
    """Returns a pseudo-random number in [0, 1)."""
    return int.from_bytes(hashlib.sha256(os.fsencode(group)).digest()[:8]) / 2**64
