"""What a search does at which step (arXiv:1901.02985, Sec. 5.1): all of it follows from the number of steps done."""

import dataclasses
import math

from deeplab_dpc.config import AutoDeepLabConfig


@dataclasses.dataclass(frozen=True)
class Plan:
    """Counts weight steps from 0; an architecture step follows each from an epoch on.

    Attributes:
      config: configuration of the search.
      half_size: records of half A, that the weights learn from.
    """

    config: AutoDeepLabConfig
    half_size: int

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches of half A."""
        return self.half_size // self.config.search_batch_size

    @property
    def num_steps(self) -> int:
        """Of the weights, in all epochs."""
        return self.steps_per_epoch * self.config.search_epochs

    @property
    def num_architecture_steps(self) -> int:
        """In all epochs."""
        return self.architecture_steps_before(self.num_steps)

    def architecture_steps_before(self, step: int) -> int:
        """Returns how many there are before weight step `step`."""
        return max(0, step - self.config.architecture_start_epoch * self.steps_per_epoch)

    def trains_architecture(self, step: int) -> bool:
        """Returns whether weight step `step` is followed by one of the architecture."""
        return step >= self.config.architecture_start_epoch * self.steps_per_epoch

    def weight_rate(self, step: int) -> float:
        """Returns the learning rate of weight step `step`: end + (start - end) (1 + cos(pi step / steps)) / 2."""
        start, end = self.config.weight_learning_rate, self.config.weight_end_learning_rate
        return end + (start - end) * (1.0 + math.cos(math.pi * step / self.num_steps)) / 2.0
