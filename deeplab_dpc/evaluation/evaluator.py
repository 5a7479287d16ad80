"""Single-scale evaluation of whole images (mIOU as in PASCAL VOC and Cityscapes; arXiv:1809.04184, Sec. 4)."""

from collections.abc import Callable

import numpy as np

from deeplab_dpc.console import track
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.pipeline import evaluation_dataset, iterate
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.confusion import ConfusionMatrix
from deeplab_dpc.models.image_predictor import ImagePredictor

# Takes an image's name, the image, its label and its prediction.
OnImage = Callable[[str, np.ndarray, np.ndarray, np.ndarray], None]


def evaluate(
    predictor: ImagePredictor, dataset: Dataset, split: str, *, progress: bool = True, on_image: OnImage | None = None
) -> ConfusionMatrix:
    """Predicts every image of a split at its own size and counts.

    Args:
      predictor: of a network with the data set's classes.
      dataset: the prepared data set.
      split: its name.
      progress: whether a progress bar is shown.
      on_image: called with every image that was counted, in the order of the split.

    Raises:
      UserError: if the classes differ in number, the split has no labels, an image does not fit the crop, or a label
        is out of range.
    """
    num_classes = predictor.num_classes
    if num_classes != dataset.info.num_classes:
        raise UserError(
            f"The model has {num_classes} classes, the data set {dataset.info.name} has {dataset.info.num_classes}."
        )
    dataset.require_labels(split)
    shards = dataset.shards(split)
    confusion = ConfusionMatrix(num_classes, dataset.info.ignore_label)
    examples = iterate(evaluation_dataset(dataset, split), f"The split {split} of {dataset.path}", shards)
    tracked = track(examples, f"Evaluating {split}", dataset.info.splits[split]) if progress else examples
    for example in tracked:
        image, label, name = example["image"], example["label"], example["filename"].decode()
        predictor.check_size(image, name)
        semantic = predictor.predict_batch(image[np.newaxis])[0]
        try:
            confusion.update(label, semantic)
        except UserError as error:
            raise UserError(f"{name}: {error}") from error
        if on_image is not None:
            on_image(name, image, label, semantic)
    return confusion
