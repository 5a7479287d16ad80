"""The timing of scoring a cell; this module needs neither Keras nor a backend."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Timing:
    """The timing of scoring one cell.

    Attributes:
      steps: number of steps that were trained.
      seconds: seconds of everything: building, compiling, training and scoring.
      step_seconds: seconds of a typical step.
      miou: mIOU on the scoring split, in [0, 1].
      loss: mean loss of the last tenth of the steps.
    """

    steps: int
    seconds: float
    step_seconds: float
    miou: float
    loss: float

    @property
    def overhead(self) -> float:
        """Returns the seconds in addition to the steps: building, tracing, compiling, scoring."""
        return max(self.seconds - self.steps * self.step_seconds, 0.0)
