"""Evaluation of whole images, each at its own size (mIOU as in PASCAL VOC and Cityscapes; arXiv:1809.04184, Sec. 4)."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from deeplab_dpc.console import track
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.example import filename_text
from deeplab_dpc.data.pipeline import evaluation_dataset, iterate
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.evaluation.counted_image import CountedImage, count_image
from deeplab_dpc.models.image_predictor import ImagePredictor

OnImage = Callable[[CountedImage], None]


def evaluate(
    predictor: ImagePredictor, dataset: Dataset, split: str, *, progress: bool = True, on_image: Sequence[OnImage] = ()
) -> ConfusionMatrix:
    """Predicts every image of a split at its own size, and returns the confusion matrix of all pixels.

    Args:
      predictor: predictor of a network with the data set's classes.
      dataset: the prepared data set.
      split: name of the split.
      progress: bool, whether to show a progress bar.
      on_image: functions called with each counted image, in the order of the split.

    Raises:
      UserError: if the numbers of classes differ, the split has no labels, an image does not fit into the crop, or a
        label is out of range.
    """
    dataset.require_labels(split)
    classes = dataset.info.num_classes, dataset.info.ignore_label
    confusion = ConfusionMatrix(*classes)
    for name, image, label, prediction in predictions(predictor, dataset, split, progress=progress):
        try:
            counted = count_image(name, image, label, prediction, *classes)
        except UserError as error:
            raise UserError(f"{name}: {error}") from error
        confusion.matrix += counted.confusion.matrix
        for function in on_image:
            function(counted)
    if not confusion.matrix.any():
        raise UserError(
            f"The split {split} of {dataset.path} cannot be evaluated: no pixel of it is labelled, all have the "
            f"ignore label {dataset.info.ignore_label}."
        )
    return confusion


def predictions(
    predictor: ImagePredictor, dataset: Dataset, split: str, *, progress: bool = True
) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Predicts the images of a split, with or without labels.

    Args:
      predictor, dataset, split, progress: see `evaluate`.

    Yields:
      (name, image uint8 [height, width, 3], label, prediction); the last two are class ids [height, width].

    Raises:
      UserError: if the numbers of classes differ, an image does not fit into the crop, or the number of records
        differs from the metadata.
    """
    if predictor.num_classes != dataset.info.num_classes:
        raise UserError(
            f"The model has {predictor.num_classes} classes, the data set {dataset.info.name} has "
            f"{dataset.info.num_classes}."
        )
    shards = dataset.shards(split)
    examples = iterate(evaluation_dataset(dataset, split), f"The split {split} of {dataset.path}", shards)
    tracked = track(examples, f"Evaluating {split}", dataset.num_images(split)) if progress else examples
    count = 0
    for example in tracked:
        image, name = example["image"], filename_text(example["filename"])
        predictor.check_size(image, name)
        yield name, image, example["label"], predictor.predict_batch(image[np.newaxis])[0]
        count += 1
    if count != dataset.num_images(split):
        raise UserError(
            f"The split {split} of {dataset.path} has {count} records, and its metadata says "
            f"{dataset.num_images(split)}; restore the complete files, or build the data set again."
        )
