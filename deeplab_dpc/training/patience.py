"""The early end of a training that no longer improves, or whose time is over."""

import dataclasses
import math

from deeplab_dpc.checkpoint.run_state import Progress
from deeplab_dpc.config import TrainConfig

SCORE = "miou"  # score by which the best checkpoint is kept
SHARE = 5  # The learning rate falls to zero within 1 / SHARE of the steps done so far.


@dataclasses.dataclass(frozen=True)
class Ending:
    """The early end of a training.

    Attributes:
      start: step of the evaluation that exhausted the patience, or at which the training was shortened; the learning
        rate falls from there.
      end: last step, at which the learning rate is zero.
      best_step: step of the best evaluation until then; None if the training was shortened.
    """

    start: int
    end: int
    best_step: int | None


def last_step(config: TrainConfig, progress: Progress) -> int:
    """Returns the step at which a training ends, given its evaluations so far."""
    ending = early_ending(config, progress)
    return config.training_number_of_steps if ending is None else ending.end


def early_ending(config: TrainConfig, progress: Progress) -> Ending | None:
    """Returns the early end of a training; None if it runs to its last step.

    The result depends only on the state, so that a training that is started again ends at the same step.

    Args:
      config: training configuration, with its patience.
      progress: state of the training. Evaluations until the step at which the run was forked do not count.
    """
    if progress.shortened is not None:
        return Ending(*progress.shortened, best_step=None)
    if not config.early_stopping_patience:
        return None
    best, best_step, waited = -math.inf, progress.began, 0
    for row in progress.validations:
        if row["step"] <= progress.began:
            continue
        if row[SCORE] > best:
            best, best_step, waited = row[SCORE], row["step"], 0
            continue
        waited += 1
        if waited == config.early_stopping_patience:
            end = row["step"] + max(1, row["step"] // SHARE)
            # Near the planned end the rate falls to its last value anyway.
            return Ending(row["step"], end, best_step) if end < config.training_number_of_steps else None
    return None
