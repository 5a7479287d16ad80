"""The batches of a search: those of either half of the training split from any step on, and those for evaluation.

Weights learn from half A, alphas and betas from half B (arXiv:1901.02985, Sec. 4.2).
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from deeplab_dpc.config import AutoDeepLabConfig, DataConfig
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.fixed_size import fixed_size_batches, fixed_size_view
from deeplab_dpc.data.pipeline import iterate, training_dataset
from deeplab_dpc.data.preprocess import Augmentation
from deeplab_dpc.errors import UserError

STRIDE = 32  # in pixels, the largest of the search space

Batch = tuple[np.ndarray, np.ndarray]  # images float32 [batch, H, W, 3] in 0..255, labels int32 [batch, H, W]


@dataclasses.dataclass(frozen=True)
class Halves:
    """Indices of the records of the training split, in random order.

    Attributes:
      weights: half A.
      architecture: half B; the larger one by a record if their number is odd.
    """

    weights: tuple[int, ...]
    architecture: tuple[int, ...]


def draw_halves(num_records: int, batch_size: int, seed: int) -> Halves:
    """Draws the halves of the training split.

    Args:
      num_records: number of records of the training split.
      batch_size: number of images per step, which each half must have.
      seed: seed of the division into halves.

    Raises:
      UserError: if a half is smaller than a batch.
    """
    if num_records // 2 < batch_size:
        raise UserError(
            f"The training split has {num_records} images, so that its halves have {num_records // 2} and "
            f"{num_records - num_records // 2}, fewer than --search_batch_size={batch_size}; give a smaller batch or "
            "more images."
        )
    shuffled = np.random.default_rng(seed).permutation(num_records).tolist()
    middle = num_records // 2
    return Halves(tuple(shuffled[:middle]), tuple(shuffled[middle:]))


def check_crop(crop_size: tuple[int, int]) -> None:
    """Raises a UserError if the features of a crop would not align with its pixels at all strides."""
    if any(side % STRIDE != 1 for side in crop_size):
        fitting = ",".join(str(max(round((side - 1) / STRIDE), 1) * STRIDE + 1) for side in crop_size)
        raise UserError(
            f"--train_crop_size={crop_size[0]},{crop_size[1]} does not align with strides up to {STRIDE}: both sides "
            f"must be a multiple of {STRIDE} plus 1, for example {fitting}."
        )


@dataclasses.dataclass(frozen=True)
class Streams:
    """The source of the batches; a stream is the same for the same seed and step.

    Attributes:
      config: configuration of the search.
      data: configuration of records and augmentation.
      dataset: the prepared data set that `data` names.
      halves: halves of its training split.
      view: augmentation that evaluation applies to an image.
    """

    config: AutoDeepLabConfig
    data: DataConfig
    dataset: Dataset
    halves: Halves
    view: Augmentation

    def weights(self, start_step: int) -> Iterator[Batch]:
        """Returns endless batches of half A, without the first `start_step`."""
        return self._training(self.halves.weights, 2 * self.config.seed, start_step)

    def architecture(self, start_step: int) -> Iterator[Batch]:
        """Returns endless batches of half B, without the first `start_step`."""
        return self._training(self.halves.architecture, 2 * self.config.seed + 1, start_step)

    def _training(self, records: Sequence[int], seed: int, start_step: int) -> Iterator[Batch]:
        split = self.data.train_split
        batches = training_dataset(
            self.dataset,
            split,
            Augmentation.from_config(self.data),
            batch_size=self.config.search_batch_size,
            seed=seed,
            start_step=start_step,
            cache=self.data.cache,
            records=records,
        )
        return iterate(batches, f"The split {split} of {self.dataset.path}", self.dataset.shards(split))

    def evaluation(self) -> Iterator[Batch]:
        """Returns batches of the images of eval_split, each once."""
        return self._fixed_size(self.config.eval_split, None)

    def held_out(self) -> list[Batch]:
        """Returns batches of the first perturbation_images of half B, on which operators are judged."""
        return list(
            self._fixed_size(self.data.train_split, self.halves.architecture[: self.config.perturbation_images])
        )

    def _fixed_size(self, split: str, records: Sequence[int] | None) -> Iterator[Batch]:
        batches = fixed_size_batches(self.dataset, split, self.view, self.config.search_batch_size, records)
        return iterate(batches, f"The split {split} of {self.dataset.path}", self.dataset.shards(split))


def open_streams(config: AutoDeepLabConfig, data: DataConfig, dataset: Dataset) -> Streams:
    """Divides the training split, and finds the size at which images are evaluated.

    Raises:
      UserError: if a split is absent or has no labels, the training split is too small, or the crop does not align.
    """
    check_crop(data.train_crop_size)
    dataset.require_labels(data.train_split)
    dataset.require_labels(config.eval_split)
    num_records = len(dataset.index(data.train_split))
    halves = draw_halves(num_records, config.search_batch_size, config.seed)
    return Streams(config, data, dataset, halves, fixed_size_view(data, dataset, config.eval_split, STRIDE))
