"""The schedule of a search (arXiv:1901.02985, Sec. 5.1), which depends only on the number of steps done."""

import dataclasses
import math

from deeplab_dpc.config import AutoDeepLabConfig


@dataclasses.dataclass(frozen=True)
class Plan:
    """The schedule, in weight steps from 0; from a certain epoch on an architecture step follows each weight step.

    Attributes:
      config: configuration of the search.
      half_size: number of records in half A, on which the weights are trained.
    """

    config: AutoDeepLabConfig
    half_size: int

    @property
    def steps_per_epoch(self) -> int:
        """Returns the number of whole batches of half A."""
        return self.half_size // self.config.search_batch_size

    @property
    def num_steps(self) -> int:
        """Returns the number of weight steps in all epochs."""
        return self.steps_per_epoch * self.config.search_epochs

    @property
    def num_architecture_steps(self) -> int:
        """Returns the number of architecture steps in all epochs."""
        return self.architecture_steps_before(self.num_steps)

    def architecture_steps_before(self, step: int) -> int:
        """Returns the number of architecture steps before weight step `step`."""
        return max(0, step - self.config.architecture_start_epoch * self.steps_per_epoch)

    def trains_architecture(self, step: int) -> bool:
        """Returns whether an architecture step follows weight step `step`."""
        return step >= self.config.architecture_start_epoch * self.steps_per_epoch

    def weight_rate(self, step: int) -> float:
        """Returns the learning rate of weight step `step`: end + (start - end) (1 + cos(pi step / steps)) / 2."""
        start, end = self.config.weight_learning_rate, self.config.weight_end_learning_rate
        return end + (start - end) * (1.0 + math.cos(math.pi * step / self.num_steps)) / 2.0
