"""Prepared data sets, and the tf.data pipelines of a training and an evaluation."""

import os
from typing import TYPE_CHECKING, Literal

from deeplab_dpc.api.arguments import naming_arguments, require_path
from deeplab_dpc.api.options import config_of
from deeplab_dpc.config import DataConfig
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.errors import UserError

if TYPE_CHECKING:
    import tensorflow as tf

DatasetLike = Dataset | str | os.PathLike[str]


@naming_arguments(dataset="name")
def read_dataset(
    data_dir: str | os.PathLike[str], *, name: str | None = None, classes: str | os.PathLike[str] | None = None
) -> Dataset:
    """Finds a prepared data set without reading its records.

    Example:
        from deeplab_dpc import read_dataset

        dataset = read_dataset("DATA")
        print(dataset.info.class_names, dataset.info.splits)

    Args:
      data_dir: folder to which a build command wrote (`--data_dir`), or a folder of DeepLab's record files.
      name: name of the data set, if the folder contains several.
      classes: names of the classes, or a file of them, for DeepLab's record files without a classes.json beside them.

    Returns:
      The data set; its `info` has class_names, palette, ignore_label, splits and max_size.

    Raises:
      UserError: if there is no data set, or more than one.
    """
    require_path("data_dir", data_dir)
    return find_dataset(data_dir, name, classes)


def as_dataset(dataset: DatasetLike) -> Dataset:
    """Returns a data set that was already found, or the data set in a folder."""
    if isinstance(dataset, Dataset):
        return dataset
    require_path("dataset", dataset)
    return find_dataset(dataset)


@naming_arguments(train_crop_size="crop_size", train_split="split")
def training_dataset(
    dataset: DatasetLike,
    *,
    crop_size: tuple[int, int],
    batch_size: int = 8,
    split: str = "train",
    min_scale_factor: float = DataConfig.min_scale_factor,
    max_scale_factor: float = DataConfig.max_scale_factor,
    scale_factor_step_size: float = DataConfig.scale_factor_step_size,
    photometric_jitter: float = DataConfig.photometric_jitter,
    cache: Literal["none", "memory", "disk"] = "none",
    seed: int = 0,
) -> "tf.data.Dataset":
    """Returns endless batches for a training, whose images are scaled, cropped and mirrored at random.

    Example:
        import keras
        from deeplab_dpc import Segmenter, read_dataset, training_dataset

        batches = training_dataset(read_dataset("DATA"), crop_size=(65, 65), batch_size=2)
        model = Segmenter.from_preset("RUN")
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255))
        model.fit(batches, steps_per_epoch=2, verbose=0)

    Args:
      dataset: data set of `read_dataset`, or its folder.
      crop_size: (height, width) in pixels; sides of a multiple of the output stride plus 1 need no padding.
      batch_size: images per batch.
      split: split to read, with labels.
      min_scale_factor: smallest random scale.
      max_scale_factor: largest random scale.
      scale_factor_step_size: distance between the possible scales; 0 for all values in between.
      photometric_jitter: largest relative change of brightness, contrast and saturation, in [0, 1).
      cache: place where decoded images are kept: 'none', 'memory' or 'disk' (beside the records).
      seed: seed of order and augmentation.

    Returns:
      Batches of (images float32 [batch, height, width, 3] in 0..255, labels int32 [batch, height, width]), in which
      pixels without a label have the data set's ignore label. They do not end: `fit` needs `steps_per_epoch`.

    Raises:
      UserError: if the split is absent or has no labels, or a number is invalid.
    """
    from deeplab_dpc.data.pipeline import training_dataset as batches  # these need TensorFlow
    from deeplab_dpc.data.preprocess import Augmentation

    dataset = as_dataset(dataset)
    options = {
        "train_crop_size": crop_size,
        "min_scale_factor": min_scale_factor,
        "max_scale_factor": max_scale_factor,
        "scale_factor_step_size": scale_factor_step_size,
        "photometric_jitter": photometric_jitter,
        "cache": cache,
    }
    data = config_of(DataConfig, {"data_dir": str(dataset.path), "train_split": split, **options})
    if batch_size < 1:
        raise UserError(f"`batch_size` must be at least 1, got {batch_size}.")
    augmentation = Augmentation.from_config(data)
    return batches(dataset, split, augmentation, batch_size=batch_size, seed=seed, cache=cache)


@naming_arguments()
def validation_dataset(dataset: DatasetLike, *, split: str = "val") -> "tf.data.Dataset":
    """Returns the images of a split with their labels, one per batch, each at its own size and in order.

    Example:
        import keras
        from deeplab_dpc import Segmenter, read_dataset, validation_dataset

        dataset = read_dataset("DATA")
        model = Segmenter.from_preset("RUN")
        miou = keras.metrics.MeanIoU(dataset.info.num_classes, ignore_class=255, sparse_y_pred=False)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
        model.compile("adam", loss, metrics=[miou])
        model.evaluate(validation_dataset(dataset), verbose=0)

    Args:
      dataset: data set of `read_dataset`, or its folder.
      split: split to read, with labels.

    Returns:
      Batches of (images uint8 [1, height, width, 3], labels int32 [1, height, width]).

    Raises:
      UserError: if the split is absent or has no labels.
    """
    import tensorflow as tf

    from deeplab_dpc.data.pipeline import evaluation_dataset  # it needs TensorFlow too

    dataset = as_dataset(dataset)
    dataset.require_labels(split)
    examples = evaluation_dataset(dataset, split)
    batches = examples.map(lambda example: (example["image"], example["label"])).batch(1)
    return batches.apply(tf.data.experimental.assert_cardinality(dataset.num_images(split)))
