"""The base of all data set builders: TFRecords with DeepLab's keys, written with TensorFlow Datasets (TFDS)."""

import abc
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from deeplab_dpc.console import console, track
from deeplab_dpc.data.absent_classes import write_label_counts
from deeplab_dpc.data.classes_file import ClassesFile
from deeplab_dpc.data.dataset_info import INFO_FILE, Color, Dataset, DatasetInfo, load_dataset
from deeplab_dpc.data.label_statistics import SplitCounts
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path, read_json, remove_partial, require_unicode, unwritable, write_json

VERSION = "1.0.0"  # of the records; also a directory name
INPUTS_FILE = "inputs.json"


@dataclasses.dataclass(frozen=True)
class Classes:
    """The meaning of label ids; see `DatasetInfo`.

    Attributes:
      names, palette, ignore_label, categories: see `DatasetInfo`.
      are_own: bool, whether the user defines the meaning of the ids; False for the named data sets.
      allow_absent_classes: bool, whether a class that the user defines may never occur although pixels are ignored.
    """

    names: tuple[str, ...]
    palette: tuple[Color, ...]
    ignore_label: int
    categories: tuple[str, ...] = ()
    are_own: bool = False
    allow_absent_classes: bool = False

    @classmethod
    def from_file(cls, found: ClassesFile) -> "Classes":
        """Returns the classes of a classes file."""
        allowed = found.allow_absent_classes
        return cls(found.names, found.palette, found.ignore_label, found.categories, True, allowed)

    def identity(self) -> dict[str, Any]:
        """Returns everything on which the records and their metadata depend, as JSON values; no empty optional ones."""
        value = dataclasses.asdict(self)
        del value["are_own"]
        return {key: item for key, item in value.items() if item or key not in ("categories", "allow_absent_classes")}


@dataclasses.dataclass(frozen=True)
class SegmentedImage:
    """An image of a record, with its label.

    Attributes:
      filename: file name of the image, without directories.
      image: encoded image with three channels.
      image_format: "jpeg" or "png".
      label: class ids as a PNG with one 8-bit channel; empty if there is no label.
      height: height of image and label, in pixels.
      width: width of image and label, in pixels.
      pixels: int64 [256], number of the label's pixels of each id; None if there is no label.
      is_turned: bool, whether the image was turned by its EXIF orientation.
      label_is_turned: bool, whether the label was turned with it.
    """

    filename: str
    image: bytes
    image_format: str
    label: bytes
    height: int
    width: int
    pixels: np.ndarray | None = None
    is_turned: bool = False
    label_is_turned: bool = False


class _LocalInfo(tfds.core.DatasetInfo):
    """Metadata that is never looked up on the network."""

    def initialize_from_bucket(self) -> None:
        pass


class _RepeatableWriter(tfds.core.ExampleWriter):
    """A writer of the same bytes for the same examples, despite the varying order of keys in protocol buffers."""

    def write(self, path: Any, examples: Iterable[tuple[Any, bytes]]) -> Any:
        return super().write(path, ((key, _in_key_order(serialized)) for key, serialized in examples))


def _in_key_order(serialized: bytes) -> bytes:
    ordered: bytes = tf.train.Example.FromString(serialized).SerializeToString(deterministic=True)
    return ordered


class SegmentationBuilder(tfds.core.GeneratorBasedBuilder):
    """The base class of builders that write records with DeepLab's keys, in the order in which a subclass yields them.

    Args:
      data_dir: directory in which <name>/<version>/ is written.
      classes: meaning of the label ids.
    """

    VERSION = tfds.core.Version(VERSION)

    def __init_subclass__(cls, **kwargs: Any):
        """Keeps the builders, which need arguments, out of the registry of `tfds.load`."""
        super().__init_subclass__(skip_registration=True, **kwargs)

    def __init__(self, *, data_dir: str | os.PathLike[str], classes: Classes):
        self._classes = classes
        self._max_size: dict[str, tuple[int, int]] = {}
        self._counts: dict[str, int] = {}
        self._unlabelled: tuple[str, ...] = ()
        self._labels: dict[str, SplitCounts] = {}
        self.turned: list[str] = []
        self.turned_labels = 0
        super().__init__(data_dir=data_dir)

    @abc.abstractmethod
    def split_sizes(self) -> dict[str, int]:
        """Returns the number of examples per split."""

    @abc.abstractmethod
    def segmented_images(self, split: str) -> Iterator[SegmentedImage]:
        """Yields the examples of a split, in an order that depends on the inputs only."""

    def _info(self) -> tfds.core.DatasetInfo:
        text = tfds.features.Text()
        integer = tfds.features.Scalar(np.int64)
        encoded = tfds.features.Tensor(shape=(), dtype=tf.string)
        # Nesting joins the names with "/": image/segmentation/class/encoded.
        image = {
            "encoded": encoded,
            "filename": text,
            "format": text,
            "height": integer,
            "width": integer,
            "channels": integer,
            "segmentation": {"class": {"encoded": encoded, "format": text}},
        }
        return _LocalInfo(builder=self, features=tfds.features.FeaturesDict({"image": image}), disable_shuffling=True)

    def _get_filename_template(self, split_name: str) -> Any:
        template = super()._get_filename_template(split_name)
        return template.replace(template="{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}")

    def _log_download_bytes(self) -> None:
        """Suppresses the message on downloads, since nothing is downloaded."""

    _log_download_done = _log_download_bytes

    def _example_writer(self) -> tfds.core.ExampleWriter:
        return _RepeatableWriter(self.info.file_format)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # nothing is downloaded
        return {split: self._generate_examples(split) for split in self.split_sizes()}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        examples = track(self.segmented_images(split), f"Writing {self.name} {split}", self.split_sizes()[split])
        height = width = count = 0
        labelled = 0
        counts = SplitCounts()
        for key, example in enumerate(examples):
            height, width = max(height, example.height), max(width, example.width)
            count, labelled = count + 1, labelled + bool(example.label)
            counts.add((example.height, example.width), example.pixels, self._classes.ignore_label)
            if example.is_turned:
                self.turned.append(example.filename)
                self.turned_labels += example.label_is_turned
            yield key, _features(example)
        if labelled not in (0, count):
            raise UserError(f"{labelled} of the {count} images of the split {split} have labels; all must, or none.")
        self._max_size[split], self._counts[split] = (height, width), count
        if labelled:
            self._labels[split] = counts
        else:
            self._unlabelled += (split,)

    def _download_and_prepare(self, dl_manager: Any, download_config: Any) -> None:
        super()._download_and_prepare(dl_manager, download_config)
        info = DatasetInfo(
            name=self.name,
            class_names=self._classes.names,
            palette=self._classes.palette,
            ignore_label=self._classes.ignore_label,
            splits=self._counts,
            max_size=self._max_size,
            unlabelled=self._unlabelled,
            categories=self._classes.categories,
            allow_absent_classes=self._classes.allow_absent_classes or not self._classes.are_own,
        )
        write_label_counts(pathlib.Path(self.data_dir), self._labels)
        write_json(pathlib.Path(self.data_dir) / INFO_FILE, info.to_json())


def _features(example: SegmentedImage) -> dict[str, Any]:
    return {
        "image": {
            "encoded": example.image,
            "filename": example.filename,
            "format": example.image_format,
            "height": example.height,
            "width": example.width,
            "channels": 3,
            "segmentation": {"class": {"encoded": example.label, "format": "png"}},
        }
    }


def prepare(
    make_builder: Callable[[pathlib.Path], SegmentationBuilder],
    name: str,
    data_dir: str | os.PathLike[str],
    inputs: dict[str, Any],
    overwrite: bool,
    alike: dict[str, Any] | None = None,
) -> Dataset:
    """Builds data_dir/<name>/<version>/ completely or not at all; does nothing if it was built from the same inputs.

    Args:
      make_builder: function that returns the builder for a data_dir.
      name: name of the builder.
      data_dir: directory in which data sets are written.
      inputs: everything on which the records depend, as JSON values.
      overwrite: bool, whether to replace an existing data set.
      alike: other inputs; an existing data set that was built from them is accepted, too.

    Raises:
      UserError: if the data set exists, was made from other inputs, and must not be replaced, or the disk is full.
    """
    require_unicode(data_dir, "data_dir")
    target = pathlib.Path(data_dir) / name / VERSION
    fingerprint = _fingerprint(inputs)
    if (target / INFO_FILE).exists() and not overwrite:
        accepted = {fingerprint, _fingerprint(inputs if alike is None else alike)}
        if read_json(target / INPUTS_FILE, "data set's list of inputs").get("sha256") not in accepted:
            raise UserError(
                f"The data set in {target} was made from other inputs; give --overwrite to replace it, "
                "or another --data_dir."
            )
        console.print(f"The data set in {target} is up to date; nothing to do.")
        return load_dataset(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(data_dir, "data_dir", error) from error
    remove_partial(target.parent)
    tfds.disable_progress_bar()  # `track` shows one already
    with atomic_path(target) as partial:
        builder = make_builder(partial.parent)
        try:
            builder.download_and_prepare()
        except (tf.errors.OpError, RuntimeError) as error:  # errors of TensorFlow and TFDS on a full disk
            reason = str(error).splitlines()[0].rpartition("; ")[2]
            raise UserError(f"{target} cannot be written: {reason}.") from error
        write_json(pathlib.Path(builder.data_dir) / INPUTS_FILE, {"sha256": fingerprint})
        os.replace(builder.data_dir, partial)
    return load_dataset(target)


def _fingerprint(inputs: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
