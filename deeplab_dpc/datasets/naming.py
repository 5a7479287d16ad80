"""The names of labels relative to those of images: equal, or with one constant addition (NAME_mask,
NAME_gtFine_labelIds).
"""

import collections
import dataclasses
import os
import pathlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator

from deeplab_dpc.errors import UserError

_WORDS = ("mask", "masks", "label", "labels", "gt", "seg", "segmentation", "annotation")
_LAST_SEGMENT = re.compile(r"[_\-. ][^\W\d][^_\-. ]*$")  # as in NAME_leftImg8bit
_TRIED = 30  # images from whose names the addition is guessed
_COMPARED = 20  # guesses, the most frequent ones


def file_key(name: str) -> str:
    """Returns the path without the suffix, with accented letters in one normal form (macOS uses another)."""
    return unicodedata.normalize("NFC", str(pathlib.PurePosixPath(name).with_suffix("")))


@dataclasses.dataclass(frozen=True, order=True)
class Naming:
    """The rule that maps an image's key (its path without the suffix) to the key of its label.

    Attributes:
      image_end: end of the images' names that the labels' names lack.
      before, after: additions in the labels' names, before and after the rest of the name.
    """

    image_end: str = ""
    before: str = ""
    after: str = ""

    def label_key(self, image_key: str) -> str:
        """Returns the key of an image's label."""
        folder, stem = os.path.split(image_key)
        return os.path.join(folder, f"{self.before}{stem.removesuffix(self.image_end)}{self.after}")

    def __str__(self) -> str:
        return f"{self.before}NAME{self.after}"

    @property
    def is_plain(self) -> bool:
        """Returns whether labels have the names of their images."""
        return self == Naming()


def find_naming(image_keys: Collection[str], label_keys: Collection[str], where: str) -> Naming:
    """Guesses the rule by which most images have a label.

    Args:
      image_keys, label_keys: paths without their suffixes; if they are the same, images and labels are in one folder,
        and an image is not its own label.
      where: place of the labels, for messages.

    Returns:
      The rule; the plain one if at least one label has the name of its image, or there is no other.

    Raises:
      UserError: if two rules fit all images.
    """
    labels = set(label_keys)
    if labels != set(image_keys) and any(key in labels for key in image_keys):
        return Naming()
    guesses = collections.Counter(_candidates(sorted(image_keys)[:_TRIED], labels, _image_ends(image_keys)))
    fits: collections.Counter[Naming] = collections.Counter()
    for naming, _ in guesses.most_common(_COMPARED):
        fits[naming] = sum(naming.label_key(key) in labels for key in image_keys)
    (best, count), *others = [*fits.most_common(2), (Naming(), 0)]
    if count and others[0][1] == count >= len(image_keys) / 2:
        raise UserError(
            f"Labels in {where} may be those called {min(best, others[0][0])} or those called "
            f"{max(best, others[0][0])}; name the right ones with --list, or move the others away."
        )
    return best if count else Naming()


def _image_ends(keys: Iterable[str]) -> list[str]:
    """Returns "" and the last segment that all names share."""
    ends = {found[0] if (found := _LAST_SEGMENT.search(os.path.basename(key))) else "" for key in keys}
    return ["", *ends] if len(ends) == 1 and "" not in ends else [""]


def _candidates(image_keys: list[str], label_keys: set[str], image_ends: list[str]) -> Iterator[Naming]:
    by_folder: dict[str, list[str]] = collections.defaultdict(list)
    for key in label_keys:
        folder, stem = os.path.split(key)
        by_folder[folder].append(stem)
    for key in image_keys:
        folder, name = os.path.split(key)
        for end in image_ends:
            stem = name.removesuffix(end)
            for label in by_folder[folder] if stem else ():
                before, found, after = label.partition(stem)
                if not found or label == name or (end and name in label):
                    continue
                if _is_addition(before[::-1]) and _is_addition(after):
                    yield Naming(end, before, after)


def _is_addition(text: str) -> bool:
    """Returns whether `text` is a permitted addition to a name: empty, one of _WORDS, or a separator and text with a
    letter.
    """
    if not text or text.lower() in _WORDS or text[::-1].lower() in _WORDS:
        return True
    return not text[0].isalnum() and any(character.isalpha() for character in text)
