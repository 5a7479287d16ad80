"""The budgets of a contest.

Each round has twice the steps of the one before it, and the last has `rerank_steps`; the number of seeds rises evenly
from one to `contest_seeds`. All rounds have the learning rates of one schedule, that of the last round. An earlier
round ends early: in the last fifth of its steps the rate falls to 0 (`early_end_step`, as in arXiv:2405.18392), so that
it is judged without the noise of a high rate. The next round continues from before that fall. So a training of several
rounds is the same as one in one go, and costs the steps of the falls in addition. A seed that joins in a later round
goes through the same rounds.
"""

import dataclasses

from deeplab_dpc.config import SearchConfig
from deeplab_dpc.config.train import step_before_fall


@dataclasses.dataclass(frozen=True)
class Round:
    """The trainings of each finalist in a round.

    Attributes:
      ladder: numbers of steps at the end of each round up to this one, ascending.
      seeds: number of trainings of a finalist.
    """

    ladder: tuple[int, ...]
    seeds: int

    @property
    def steps(self) -> int:
        """Returns the steps of a training at the end of this round, counted from its beginning."""
        return self.ladder[-1]


def contest_rounds(config: SearchConfig) -> tuple[Round, ...]:
    """Returns the rounds in order."""
    ladder, count = config.contest_steps, config.contest_rounds
    rounds = []
    for place in range(count):
        share = place / (count - 1) if count > 1 else 1.0
        seeds = 1 + round((config.contest_seeds - 1) * share)
        rounds.append(Round(ladder[: place + 1], seeds))
    return tuple(rounds)


def most_steps(config: SearchConfig, finalists: int) -> int:
    """Returns the number of steps of the contest if no finalist leaves before its end."""
    *early, last = config.contest_steps
    each = last + sum(steps - step_before_fall(steps) for steps in early if steps > 1)
    return finalists * config.contest_seeds * each
