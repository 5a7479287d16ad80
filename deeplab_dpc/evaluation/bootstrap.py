"""Confidence intervals by the percentile bootstrap over images (Efron and Tibshirani, 1993, ch. 13).

Each resample draws as many images as the split has, with replacement, and every metric is computed again from the drawn
images. The interval shows how much a metric depends on the choice of the images. It does not cover other seeds of the
training, and it is too narrow for a handful of images, or if several images of a split show the same scene.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.class_sums import ClassSums
from deeplab_dpc.evaluation.image_counts import ImageCounts

CONFIDENCE = 0.95
CHUNK_BYTES = 16_000_000  # of weights in memory at a time


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """The resamples of a bootstrap.

    They are the same for all evaluations with the same number of images, so that two evaluations can be compared in
    pairs.

    Attributes:
      resamples: number of resamples, >= 2.
      seed: seed of the draws.
    """

    resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 2:
            raise UserError(f"--bootstrap_resamples must be at least 2, got {self.resamples}.")

    def sums(self, counts: ImageCounts) -> ClassSums:
        """Returns the pixels by class of each resample, float64 [resamples, classes]; exact below 2^53 pixels."""
        columns = np.concatenate([counts.labelled, counts.predicted, counts.true_positives], axis=1).astype(np.float64)
        sums = np.concatenate([weights @ columns for weights in self._weights(len(columns))])
        return ClassSums(*np.split(sums, 3, axis=1))

    def _weights(self, num_images: int) -> Iterator[np.ndarray]:
        """Yields the number of times that each image is in each resample, float64 [chunk, num_images]."""
        rng = np.random.default_rng(self.seed)
        chunk = max(1, CHUNK_BYTES // (8 * num_images))
        for start in range(0, self.resamples, chunk):
            size = min(chunk, self.resamples - start)
            yield rng.multinomial(num_images, np.full(num_images, 1 / num_images), size).astype(np.float64)


def interval(samples: np.ndarray) -> np.ndarray:
    """Returns the bounds of the middle 95 % of the values: [resamples, ...] -> float64 [2, ...].

    Values that are nan, because no image with a class was drawn, are left out; the bounds are nan if all are.
    """
    shape = samples.shape[1:]
    columns = samples.reshape(len(samples), -1)
    bounds = np.full((2, columns.shape[1]), np.nan)
    some = ~np.isnan(columns).all(axis=0)
    tails = 100 * (1 - CONFIDENCE) / 2
    bounds[:, some] = np.nanpercentile(columns[:, some], [tails, 100 - tails], axis=0)
    return bounds.reshape(2, *shape)
