"""When a training that no longer improves ends."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from deeplab_dpc.config import TrainConfig

SHARE = 5  # The rate falls to zero within one in so many of the steps done.


@dataclasses.dataclass(frozen=True)
class Ending:
    """The early end of a training.

    Attributes:
      start: the step of the evaluation that exhausted the patience; from here on the learning rate falls.
      end: the last step, at which the rate is zero.
      best_step: the step of the best evaluation until then.
    """

    start: int
    end: int
    best_step: int


def early_ending(
    config: TrainConfig, validations: Sequence[Mapping[str, Any]], score: str, began: int = 0
) -> Ending | None:
    """Returns when a training ends early; None if it goes on to its last step.

    It depends on nothing but the evaluations, so that a training that is started again ends at the same step.

    Args:
      config: the training configuration, with its patience.
      validations: the rows of all evaluations so far, each with its step and its score.
      score: the name of the score, of which more is better.
      began: the step at which the run was forked; evaluations until there do not count.
    """
    best, best_step, waited = -math.inf, began, 0
    for row in validations:
        if not config.early_stopping_patience or row["step"] <= began:
            continue
        if row[score] > best:
            best, best_step, waited = row[score], row["step"], 0
            continue
        waited += 1
        if waited == config.early_stopping_patience:
            end = row["step"] + max(1, row["step"] // SHARE)
            # Near the planned end the rate falls to its last value anyway.
            return Ending(row["step"], end, best_step) if end < config.training_number_of_steps else None
    return None
