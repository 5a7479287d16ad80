"""The result of a finalist's training, as the ledger stores it."""

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

PRECISION = 1_000_000  # samples are stored as integers, in units of 1 / PRECISION


@dataclasses.dataclass(frozen=True)
class Trained:
    """A training of a finalist with one seed, up to the end of a round.

    The samples are stored, not the counts of each image, which stay in the run: they are small enough for an attribute
    of a trial in any of Optuna's storages, and workers that share no directory make the same decisions.

    Attributes:
      miou: mIOU in [0, 1]; 0 if the training diverged.
      seconds: seconds of training and evaluation, from the beginning.
      run: run directory, on the machine that trained it.
      samples: mIOU of resampled images, float64 [resamples], with the same resamples for all trainings; nan where no
        image has labels.
      images: digest of the images and their labels.
      num_images: number of images of the split.
      is_diverged: bool, whether the training diverged.
    """

    miou: float
    seconds: float
    run: str
    samples: np.ndarray
    images: str = ""
    num_images: int = 0
    is_diverged: bool = False

    @classmethod
    def diverged(cls, run: str | os.PathLike[str], seconds: float = 0.0) -> Self:
        """Returns the result of a training that diverged."""
        return cls(0.0, seconds, os.fspath(run), np.zeros(0), is_diverged=True)

    def to_json(self) -> dict[str, Any]:
        samples = [None if math.isnan(value) else round(PRECISION * value) for value in self.samples.tolist()]
        return {**dataclasses.asdict(self), "samples": samples}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        samples = np.array([math.nan if one is None else one / PRECISION for one in value["samples"]], dtype=np.float64)
        return cls(**{**value, "samples": samples})
