"""What scoring a cell took; needs neither Keras nor a backend."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Timing:
    """What scoring one cell took.

    Attributes:
      steps: that were trained.
      seconds: of all: building, compiling, training and scoring.
      step_seconds: of a typical step.
      miou: on the scoring split, in [0, 1].
      loss: mean of the last tenth of the steps.
    """

    steps: int
    seconds: float
    step_seconds: float
    miou: float
    loss: float

    @property
    def overhead(self) -> float:
        """Seconds beside the steps: building, tracing, compiling, scoring."""
        return max(self.seconds - self.steps * self.step_seconds, 0.0)
