"""The budgets of a contest.

Each round has twice the steps of the one before it, and the last has `rerank_steps`; the number of seeds rises evenly
from one to `contest_seeds`. A run that goes on to the next round continues from its last checkpoint with the learning
rate of a poly schedule over the longer budget: at the start of a round the rate rises to the value of that schedule,
0.54 of the base rate for twice the steps, and falls to 0 again. So every round is judged at the end of a finished
schedule, and the second half of the last training has the rates of a plain one. A seed that joins in a later round goes
through the same rounds, so that all compared trainings have the same schedule.
"""

import dataclasses

from deeplab_dpc.config import SearchConfig


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
    return finalists * config.contest_seeds * config.rerank_steps
