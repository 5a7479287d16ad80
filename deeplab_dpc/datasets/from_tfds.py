"""Any segmentation data set of TensorFlow Datasets (TFDS) that is prepared on disk, converted to our records.

It is read from its own metadata, without the code that prepared it and without network access.
"""

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from deeplab_dpc.data.catalog import tfds_dataset_name
from deeplab_dpc.data.class_rules import check_names
from deeplab_dpc.data.classes_file import read_classes_file
from deeplab_dpc.data.dataset_info import DEFAULT_IGNORE_LABEL, Dataset, pascal_palette
from deeplab_dpc.datasets.label_pictures import read_label
from deeplab_dpc.datasets.records import RawExample, build_records
from deeplab_dpc.datasets.segmentation_builder import Classes, SegmentedImage
from deeplab_dpc.datasets.tfds_directory import open_prepared
from deeplab_dpc.datasets.tfds_features import Keys, choose_keys, label_names
from deeplab_dpc.errors import UserError, first_few

UNNAMED = -1
_OUR_SPLITS = {"validation": "val"}  # our names by those of TFDS, where they differ
_READ_IN_ORDER = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)


@dataclasses.dataclass(frozen=True)
class LabelIds:
    """The map from the ids of a TFDS data set to class ids; the ignore label stays unless the table contains it.

    Attributes:
      offset: number added to each id; results below 0 become the ignore label.
      table: (id, class id) pairs, in place of an offset.
      others: class id of all ids that are not in the table; None if there must be none.
    """

    offset: int = 0
    table: tuple[tuple[int, int], ...] = ()
    others: int | None = None

    def apply(self, values: np.ndarray, ignore_label: int) -> np.ndarray:
        """Returns class ids of the same shape, int64; UNNAMED for ids without one. Their range is not checked."""
        ids = values.astype(np.int64)
        if self.table:
            mapped = np.full_like(ids, UNNAMED if self.others is None else self.others)
        else:
            mapped = np.where(ids + self.offset < 0, ignore_label, ids + self.offset)
        mapped[ids == ignore_label] = ignore_label
        for source, target in self.table:
            mapped[ids == source] = target
        return mapped


def build_tfds(
    tfds_name: str,
    tfds_data_dir: str | os.PathLike[str],
    data_dir: str | os.PathLike[str],
    *,
    image_key: str | None = None,
    label_key: str | None = None,
    splits: dict[str, str] | None = None,
    classes: str | os.PathLike[str] | None = None,
    num_classes: int | None = None,
    label_ids: LabelIds = LabelIds(),
    download: bool = False,
    overwrite: bool = False,
    skip_bad: bool = False,
) -> Dataset:
    """Builds the data set tfds_NAME.

    Args:
      tfds_name: NAME, NAME/CONFIG or either with :VERSION, as TFDS writes them.
      tfds_data_dir: directory of prepared data sets of TFDS.
      data_dir: directory in which the records are written.
      image_key: feature with the images, nested ones as outer/inner; found by its type if None.
      label_key: feature with the label ids; found by its type if None.
      splits: TFDS split for each of our splits, possibly with slices: {"val": "test[:50%]"}; all splits if None.
      classes: classes file, see `read_classes_file`; the names in the data set's metadata if None.
      num_classes: number of classes, which are called class_0, class_1, ... if nothing else names them.
      label_ids: map from ids to class ids.
      download: bool, whether TFDS may download and prepare the data set if it is absent.
      overwrite: bool, whether to replace a data set that was made from other inputs.
      skip_bad: bool, whether unusable examples are left out and listed at the end.

    Raises:
      UserError: if the data set is not prepared, its features are ambiguous, or an example cannot be used.
    """
    builder = open_prepared(tfds_name, pathlib.Path(tfds_data_dir).expanduser(), download)
    keys = choose_keys(builder, image_key, label_key)
    meaning = _classes(builder, keys, classes, num_classes, label_ids)
    if splits is None:
        splits = {_OUR_SPLITS.get(split, split): split for split in builder.info.splits}
    examples = {
        ours: _examples(builder, theirs, ours, keys, label_ids, meaning.ignore_label) for ours, theirs in splits.items()
    }
    return build_records(tfds_dataset_name(tfds_name), meaning, examples, data_dir, overwrite, skip_bad)


def _classes(
    builder: tfds.core.DatasetBuilder,
    keys: Keys,
    classes: str | os.PathLike[str] | None,
    num_classes: int | None,
    label_ids: LabelIds,
) -> Classes:
    if classes is not None:
        found = read_classes_file(classes)
        if num_classes not in (None, len(found.names)):
            raise UserError(f"The classes file {classes} has {len(found.names)} classes, --num_classes={num_classes}.")
        return Classes.from_file(found)
    known = label_names(builder, keys)
    if num_classes is not None:
        if not 1 <= num_classes <= DEFAULT_IGNORE_LABEL:
            raise UserError(f"--num_classes must be in 1..{DEFAULT_IGNORE_LABEL}, got {num_classes}.")
        return _plain_classes(tuple(f"class_{i}" for i in range(num_classes)))
    if known is None:
        raise UserError(
            f"The feature {keys.label!r} of {builder.data_path} does not name its classes; give --classes=FILE.json or "
            "--num_classes."
        )
    targets = label_ids.apply(np.arange(len(known)), DEFAULT_IGNORE_LABEL).tolist()
    name_of = dict(zip(targets, known, strict=True))
    used = [target for target in targets if target not in (DEFAULT_IGNORE_LABEL, UNNAMED)]
    if sorted(used) != list(range(len(used))) or not used:
        raise UserError(
            f"--label_offset or --label_map do not turn the {len(known)} classes of the feature {keys.label!r} of "
            f"{builder.data_path} into the ids 0, 1, ...; name the classes of the new ids with --classes=FILE.json."
        )
    return _plain_classes(tuple(name_of[i] for i in range(len(used))))


def _plain_classes(names: tuple[str, ...]) -> Classes:
    check_names(names, "The data set of TFDS")
    return Classes(names, pascal_palette(len(names)), DEFAULT_IGNORE_LABEL)


def _examples(
    builder: tfds.core.DatasetBuilder, theirs: str, ours: str, keys: Keys, label_ids: LabelIds, ignore_label: int
) -> list[RawExample]:
    """Returns the examples of a split; all are read from one stream, in order."""
    if not re.fullmatch(r"[A-Za-z]\w*", ours) or ours == "all":
        raise UserError(f"A split cannot be called {ours!r}; use letters, digits and _, and not 'all'.")
    try:
        count = builder.info.splits[theirs].num_examples
    except (KeyError, ValueError) as error:
        known = ", ".join(builder.info.splits)
        raise UserError(f"{builder.data_path} has no split {theirs!r}; its splits are {known}.") from error
    stream = _Stream(builder, theirs, keys)
    # Once per split is enough; the files are those of all splits.
    options = [theirs, dataclasses.asdict(keys), dataclasses.asdict(label_ids), _files(builder)]
    return [
        _StreamedExample(
            filename=f"{ours}_{index:06d}",
            image=functools.partial(_image, stream, index),
            label=functools.partial(_class_ids, stream, index, label_ids, ignore_label),
            identity=options if index == 0 else (),
            stream=stream,
            index=index,
        )
        for index in range(count)
    ]


def _files(builder: tfds.core.DatasetBuilder) -> list[list[Any]]:
    stats = {path.name: path.stat() for path in sorted(pathlib.Path(builder.data_path).iterdir())}
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()]


class _Stream:
    """The examples of a TFDS split, which are read in ascending order.

    Args:
      builder: builder of the data set.
      split: split in TFDS' notation, possibly with slices.
      keys: features to read.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str, keys: Keys):
        self.keys = keys
        self._title = f"the split {split} of {builder.data_path}"
        self._read = functools.partial(
            builder.as_dataset,
            split=split,
            shuffle_files=False,
            read_config=_READ_IN_ORDER,
            decoders=keys.decoding(),
        )
        self._examples: Iterator[dict[str, Any]] = iter(())
        self._index = -1
        self._example: dict[str, Any] = {}

    def at(self, index: int) -> dict[str, Any]:
        """Returns an example by its index; ascending indices are cheap.

        Raises:
          UserError: if the records are damaged, or end before that index.
        """
        if index < self._index or self._index < 0:
            self._examples, self._index = self._read().as_numpy_iterator(), -1
        try:
            while self._index < index:
                self._example = next(self._examples)
                self._index += 1
        except StopIteration:
            raise UserError(f"There is no example {index} in {self._title}; prepare the data set again.") from None
        except tf.errors.OpError as error:
            reason = error.message.splitlines()[0]
            raise UserError(f"Example {index} in {self._title} is damaged: {reason}.") from error
        return self._example

    def filename(self, index: int) -> str:
        """Returns the file name of the image in the data set, without directories; empty if it has none."""
        if self.keys.filename is None:
            return ""
        name = _value(self.at(index), self.keys.filename)
        return pathlib.PurePosixPath(name.decode(errors="replace")).name

    def title(self, index: int, key: str) -> str:
        """Returns the name of a feature of an example, for messages."""
        name = self.filename(index)
        return f"{key} of example {index}{f' ({name})' if name else ''} in {self._title}"


def _value(example: dict[str, Any], key: str) -> Any:
    for part in key.split("/"):
        example = example[part]
    return example


def _image(stream: _Stream, index: int) -> tuple[bytes, str]:
    return _value(stream.at(index), stream.keys.image), stream.title(index, stream.keys.image)


def _class_ids(stream: _Stream, index: int, label_ids: LabelIds, ignore_label: int) -> tuple[np.ndarray, str]:
    """Returns the class ids, uint8 [height, width]; their range is checked later."""
    title = stream.title(index, stream.keys.label)
    stored = _stored_ids(stream, index, title)
    ids = label_ids.apply(stored, ignore_label)
    if unnamed := _listed(stored[ids == UNNAMED]):
        raise UserError(
            f"The label {title} has the ids {unnamed}, which --label_map does not name; name them, or all others with "
            f"*:{ignore_label}."
        )
    if outside := _listed(ids[ids > np.iinfo(np.uint8).max]):
        raise UserError(f"The label {title} has the ids {outside}, which are outside of 0..255.")
    return ids.astype(np.uint8), title


def _listed(ids: np.ndarray) -> str:
    present = np.unique(ids)
    return first_few(present.tolist(), 5)


def _stored_ids(stream: _Stream, index: int, title: str) -> np.ndarray:
    """Returns the ids as TFDS stores them, [height, width]."""
    value = _value(stream.at(index), stream.keys.label)
    if not stream.keys.label_is_encoded:
        ids: np.ndarray = value.reshape(value.shape[:2])
        return ids
    values = read_label(value, title).values
    if values.ndim == 2:
        return values
    if not (values == values[..., :1]).all():
        raise UserError(f"The label {title} is a colour picture; labels must hold class ids.")
    return values[..., 0]


@dataclasses.dataclass(frozen=True)
class _StreamedExample(RawExample):
    """An example whose name becomes known when it is read.

    Attributes:
      stream, index: stream that contains it, and its index there.
    """

    stream: _Stream
    index: int

    def read(self, classes: Classes) -> SegmentedImage:
        record = super().read(classes)
        return dataclasses.replace(record, filename=self.stream.filename(self.index) or self.filename)
