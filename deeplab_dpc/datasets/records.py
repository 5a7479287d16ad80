"""Building of a prepared data set from lists of raw examples, used by the builders of the named data sets."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from deeplab_dpc.console import console, printable
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.file_kinds import listed
from deeplab_dpc.data.label_statistics import NUM_IDS
from deeplab_dpc.datasets.pictures import OR_SKIP, EncodedImage, check_ids, encode_png, read_image, turned_with
from deeplab_dpc.datasets.segmentation_builder import Classes, SegmentationBuilder, SegmentedImage, prepare
from deeplab_dpc.errors import UserError, first_few

SHOWN_SKIPPED = 10
LOOKED_AT, SHOWN_BAD = 50, 3  # examples that are read after the first unusable one, and unusable ones that are named
SIZE_CURE = ": export the label at the size of the image, or scale it there without smoothing (nearest neighbour)"


@dataclasses.dataclass(frozen=True)
class RawExample:
    """An image and its label on disk.

    Attributes:
      filename: file name of the image in the record.
      image: function called without arguments that returns the encoded image and its name in messages, (bytes, name).
      label: function called without arguments that returns the class ids, uint8 [height, width], and their name in
        messages, (ids, name); None without a label.
      identity: JSON values that change when one of the files does.
    """

    filename: str
    image: Callable[[], tuple[bytes, str]]
    label: Callable[[], tuple[np.ndarray, str]] | None
    identity: Sequence[Any]

    def read(self, classes: Classes) -> SegmentedImage:
        """Returns the checked record.

        Raises:
          UserError: if the image or the label is invalid, or they differ in size.
        """
        data, image_name = self.image()
        image = read_image(data, image_name)
        encoded_label, pixels, label_is_turned = b"", None, False
        if self.label is not None:
            ids, label_name = self.label()
            ids, label_is_turned = turned_with(image, ids)
            if ids.shape != (image.height, image.width):
                raise UserError(
                    f"{image_name} is {image.width} x {image.height} pixels{_turned(image)} but its label {label_name} "
                    f"is {ids.shape[1]} x {ids.shape[0]}; they must be of the same size{SIZE_CURE}{OR_SKIP}."
                )
            check_ids(ids, len(classes.names), classes.ignore_label, label_name)
            encoded_label, pixels = encode_png(ids), np.bincount(ids.ravel(), minlength=NUM_IDS)
        return SegmentedImage(
            filename=printable(self.filename),
            image=image.data,
            image_format=image.image_format,
            label=encoded_label,
            height=image.height,
            width=image.width,
            pixels=pixels,
            is_turned=image.orientation != 1,
            label_is_turned=label_is_turned,
        )


def _turned(image: EncodedImage) -> str:
    """Returns the remark on the size of an image that was turned, for messages."""
    if image.orientation == 1:
        return ""
    return f" when it is turned as its EXIF orientation {image.orientation} says"


class RecordsBuilder(SegmentationBuilder):
    """The builder of a data set that is given as lists of raw examples.

    Args:
      dataset_name: name of the data set.
      examples: examples by split, in the order of the records.
      skip_bad: bool, whether unusable examples are left out; otherwise they end the conversion.
      classes, data_dir: see SegmentationBuilder.
    """

    name = "records"

    def __init__(
        self,
        *,
        data_dir: str | os.PathLike[str],
        classes: Classes,
        dataset_name: str,
        examples: dict[str, list[RawExample]],
        skip_bad: bool,
    ):
        self.name = dataset_name
        self._examples = examples
        self._skip_bad = skip_bad
        self.skipped: list[str] = []
        super().__init__(data_dir=data_dir, classes=classes)

    def split_sizes(self) -> dict[str, int]:
        return {split: len(examples) for split, examples in self._examples.items()}

    def segmented_images(self, split: str) -> Iterator[SegmentedImage]:
        skipped: list[str] = []
        for number, example in enumerate(self._examples[split], start=1):
            try:
                record = example.read(self._classes)
            except UserError as error:
                if not self._skip_bad:
                    following = self._examples[split][number : number + LOOKED_AT]
                    raise UserError(f"{error}".removesuffix(".") + self._also_bad(following) + ".") from error
                skipped.append(str(error).replace(OR_SKIP, ""))
                continue
            yield record
        if len(skipped) == len(self._examples[split]):
            raise UserError(f"No example of the split {split} could be used; the first: {skipped[0]}")
        self.skipped += skipped

    def _also_bad(self, examples: list[RawExample]) -> str:
        """Returns the unusable ones of some examples, as the end of a sentence; "" if there are none."""
        bad = []
        for example in examples:
            try:
                example.read(self._classes)
            except UserError:
                bad.append(printable(example.filename))
        named = first_few(bad, SHOWN_BAD)
        return f"; {len(bad)} of the {len(examples)} after it cannot be used either ({named})" if bad else ""


def build_records(
    name: str,
    classes: Classes,
    examples: dict[str, list[RawExample]],
    data_dir: str | os.PathLike[str],
    overwrite: bool = False,
    skip_bad: bool = False,
) -> Dataset:
    """Builds data_dir/<name>/<version>/ from raw examples, completely or not at all; does nothing if it is up to date.

    Args:
      name: name of the data set.
      classes: meaning of the label ids.
      examples: examples by split, in the order of the records; a split without examples is left out.
      data_dir: directory in which data sets are written.
      overwrite: bool, whether to replace a data set that was made from other inputs.
      skip_bad: bool, whether unusable examples are left out and listed at the end.

    Raises:
      UserError: for the first unusable example, unless `skip_bad`; if there are no examples.
    """
    examples = {split: members for split, members in examples.items() if members}
    if not examples:
        raise UserError(f"There is no image for the data set {name}.")
    inputs = {
        "classes": classes.identity(),
        "files": {split: [[one.filename, *one.identity] for one in members] for split, members in examples.items()},
        "skip_bad": skip_bad,
    }
    made: list[RecordsBuilder] = []
    make = functools.partial(_make, made, name, classes, examples, skip_bad)
    nothing_skipped = inputs | {"skip_bad": False}  # a data set built without skip_bad has no bad examples
    dataset = prepare(make, name, data_dir, inputs, overwrite, alike=nothing_skipped)
    if made and made[0].turned:
        console.print(
            f"Turned upright, as their EXIF orientation says: {listed(made[0].turned, 'image')}. "
            f"{made[0].turned_labels} labels have the size of the images as stored and were turned with them; all "
            "others are taken to be drawn on the images as viewers show them."
        )
    skipped = made[0].skipped if made else []
    for sentence in skipped[:SHOWN_SKIPPED]:
        console.print(f"Skipped: {sentence}")
    if skipped:
        more = f" (the first {SHOWN_SKIPPED} are shown)" if len(skipped) > SHOWN_SKIPPED else ""
        console.print(f"{len(skipped)} example{'s were' if len(skipped) > 1 else ' was'} skipped{more}.")
    return dataset


def _make(
    made: list[RecordsBuilder],
    name: str,
    classes: Classes,
    examples: dict[str, list[RawExample]],
    skip_bad: bool,
    data_dir: pathlib.Path,
) -> RecordsBuilder:
    made.append(
        RecordsBuilder(data_dir=data_dir, classes=classes, dataset_name=name, examples=examples, skip_bad=skip_bad)
    )
    return made[0]
