"""The initial weights of a training."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class InitialWeights:
    """The checkpoint that a training starts from.

    Attributes:
      checkpoint: published checkpoint or earlier run; None for random initial weights.
      moving_averages: bool, whether the moving averages of the checkpoint's variables are restored instead of the
        variables.
    """

    checkpoint: str | None = None
    moving_averages: bool = False

    def of_training(self) -> dict[str, Any]:
        """Returns these values as fields of TrainConfig."""
        return {"tf_initial_checkpoint": self.checkpoint, "restore_moving_averages": self.moving_averages}


DRAWN = InitialWeights()
