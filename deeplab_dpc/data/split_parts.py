"""Several splits read as one, such as `train:3,train_extra`, each with a number of repeats. Needs no TensorFlow."""

import dataclasses
from collections.abc import Mapping

from deeplab_dpc.errors import UserError

TRAINVAL = "trainval"
_MOST_REPEATS = 1000


@dataclasses.dataclass(frozen=True)
class Part:
    """One of the splits that are read as one.

    Attributes:
      split: name of the split.
      repeats: number of times that an epoch contains each of its images, >= 1.
    """

    split: str
    repeats: int = 1


def split_parts(text: str, splits: Mapping[str, int], where: str) -> tuple[Part, ...]:
    """Returns the splits that a text names, with their repeats.

    Args:
      text: a split, or several separated by commas, such as `train:3,train_extra`; with ":N" an epoch contains the
        images of that split N times. `trainval` is `train,val` if the data set has no split of that name.
      splits: number of examples of each split of the data set.
      where: folder of the data set, for messages.

    Raises:
      UserError: if there is no such split, one is named twice, or N is not a number from 1 to 1000.
    """
    parts: list[Part] = []
    for entry in [text] if text in splits else text.split(","):
        name, colon, number = (entry, "", "") if entry in splits else entry.strip().partition(":")
        repeats = int(number) if number.isdecimal() else 0
        if colon and not 1 <= repeats <= _MOST_REPEATS:
            raise UserError(
                f"{entry.strip()!r} in the splits {text!r} must be a split, or a split, a colon and how often an epoch "
                f"has its images, 1 to {_MOST_REPEATS}."
            )
        is_both = name == TRAINVAL and name not in splits and {"train", "val"} <= set(splits)
        for split in ("train", "val") if is_both else (name,):
            if split not in splits:
                known = ", ".join(splits)
                raise UserError(f"The data set in {where} has no split {split!r}; its splits are {known}.")
            if split in (part.split for part in parts):
                raise UserError(f"The splits {text!r} name {split} twice; write {split}:2 to have its images twice.")
            parts.append(Part(split, repeats if colon else 1))
    return tuple(parts)
