"""The result of a round of a contest, and of the whole contest: standings, winner, differences."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.contest.decision import (
    can_still_win,
    difference_interval,
    draw_means,
    probability_of_best,
)
from deeplab_dpc.search.contest.rounds import Round
from deeplab_dpc.search.contest.trained import Trained
from deeplab_dpc.search.scored import Scored

DIVERGED = "its training diverged"
GIVEN_UP = "its workers died repeatedly"
BEHIND = "it could no longer win"


@dataclasses.dataclass(frozen=True, eq=False)
class RoundOutcome:
    """A round, complete or not.

    Attributes:
      round: budget of the round.
      entrants: finalists in the round.
      trained: trainings by the cell's digest and the index of the seed.
      given_up: digests of the finalists with a training that cannot be done.
      threshold: share of the largest probability, see decision.can_still_win.
      is_last: bool, whether no round follows, so that no finalist leaves.
    """

    round: Round
    entrants: tuple[Scored, ...]
    trained: Mapping[str, Mapping[int, Trained]]
    given_up: frozenset[str]
    threshold: float
    is_last: bool

    def mious(self, digest: str) -> np.ndarray:
        """Returns the existing scores of a finalist by seed, float64 [seeds]."""
        return np.array([one.miou for _, one in sorted(self.trained.get(digest, {}).items())])

    def is_ruled_out(self, digest: str) -> bool:
        """Returns whether a finalist leaves regardless of its scores."""
        return digest in self.given_up or any(one.is_diverged for one in self.trained.get(digest, {}).values())

    def is_finished(self, digest: str) -> bool:
        """Returns whether all trainings of a finalist are done."""
        return self.is_ruled_out(digest) or len(self.trained.get(digest, {})) == self.round.seeds

    @property
    def is_complete(self) -> bool:
        return all(self.is_finished(scored.cell.digest()) for scored in self.entrants)

    @functools.cached_property
    def compared(self) -> list[str]:
        """Returns the digests of the finalists whose scores count, in the order of the entrants."""
        digests = [scored.cell.digest() for scored in self.entrants]
        return [one for one in digests if self.is_finished(one) and not self.is_ruled_out(one)]

    @functools.cached_property
    def draws(self) -> np.ndarray:
        """Returns draws of the mean mIOU of each compared finalist, float64 [draws, compared]; see decision.py."""
        images = {one.images for digest in self.compared for one in self.trained[digest].values()}
        if len(images) > 1:
            raise UserError(
                "The finalists of the contest were evaluated on different images or labels: the data set was "
                "changed during the contest; search in another --workdir, or give another --study_name."
            )
        samples = [
            np.stack([one.samples for _, one in sorted(self.trained[digest].items())]) for digest in self.compared
        ]
        return draw_means([self.mious(digest) for digest in self.compared], samples)

    @functools.cached_property
    def probabilities(self) -> dict[str, float]:
        """Returns the probability of being the best of this round, by digest, of the finalists whose scores count."""
        if not self.compared:
            return {}
        return dict(zip(self.compared, probability_of_best(self.draws).tolist(), strict=True))

    @functools.cached_property
    def survivors(self) -> tuple[Scored, ...]:
        """Returns the finalists that go on, or that were in the last round, once the round is complete."""
        digests = [scored.cell.digest() for scored in self.entrants]
        alive = np.array([not self.is_ruled_out(digest) for digest in digests], dtype=bool)
        stays = alive
        if not self.is_last and alive.any():
            found = [self.probabilities.get(digest, 0.0) for digest in digests]
            means = [self.mious(digest).mean() if self.trained.get(digest) else 0.0 for digest in digests]
            stays = can_still_win(np.array(found), np.array(means), alive, self.threshold)
        return tuple(scored for scored, one in zip(self.entrants, stays, strict=True) if one)

    def reason(self, digest: str) -> str:
        """Returns as text why a finalist left."""
        if digest in self.given_up:
            return GIVEN_UP
        return DIVERGED if self.is_ruled_out(digest) else BEHIND


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference between two finalists in the last round that both finished.

    Attributes:
      value: difference of their mean mIOU.
      low, high: bounds of the 95 % interval over images and seeds.
      steps: number of steps of that round.
    """

    value: float
    low: float
    high: float
    steps: int

    @property
    def is_clear(self) -> bool:
        """Returns whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclasses.dataclass(frozen=True, eq=False)
class Standing:
    """The standing of a finalist.

    Attributes:
      scored: cell, with its score by proxy.
      rounds: number of rounds of the finalist, up to the one whose scores count.
      mious: mIOU by seed, of the last of these rounds.
      first_miou: mIOU of the first round, with the first seed.
      steps: number of steps of the last of these rounds.
      probability: probability that it is the best of all finalists, as far as it is decided.
      left: reason why it left; empty if it did not.
      trained: trainings of its last round, by the index of the seed.
    """

    scored: Scored
    rounds: int
    mious: tuple[float, ...]
    first_miou: float
    steps: int
    probability: float
    left: str
    trained: Mapping[int, Trained]

    @property
    def miou(self) -> float:
        """Returns the mean mIOU over the seeds of its last round."""
        return float(np.mean(self.mious))

    @property
    def seconds(self) -> float:
        """Returns the seconds of its trainings, of all seeds and rounds."""
        return sum(one.seconds for one in self.trained.values())

    @property
    def run(self) -> str:
        """Returns the run directory of the best of its seeds in that round."""
        return max(self.trained.values(), key=lambda one: one.miou).run


@dataclasses.dataclass(frozen=True, eq=False)
class ContestOutcome:
    """A contest, complete or not.

    Attributes:
      rounds: complete rounds, in order, and the current one.
      is_complete: bool, whether there is nothing left to train.
    """

    rounds: tuple[RoundOutcome, ...]
    is_complete: bool

    @functools.cached_property
    def standings(self) -> list[Standing]:
        """Returns every finalist with a training, best first: by the last round, then by the mean.

        Of tied finalists the first comes first, which is a warm start if there is one.
        """
        ranked = []
        for order, scored in enumerate(self.rounds[0].entrants):
            standing = self._standing(scored)
            if standing is not None:
                decided = [place for place in range(standing.rounds) if self.rounds[place].is_complete]
                is_out = standing.left not in ("", BEHIND)
                ranked.append(((not is_out, len(decided), standing.miou, -order), standing))
        return [standing for _, standing in sorted(ranked, key=lambda pair: pair[0], reverse=True)]

    def _standing(self, scored: Scored) -> Standing | None:
        digest = scored.cell.digest()
        inside = [one for one in self.rounds if any(entrant.cell.digest() == digest for entrant in one.entrants)]
        inside = [one for one in inside if one.trained.get(digest)]
        if not inside:
            return None
        # In an incomplete round the scores of its first seeds would be compared with the means of others.
        last = inside[-2] if len(inside) > 1 and not inside[-1].is_complete else inside[-1]
        stays = not last.is_complete or any(one.cell.digest() == digest for one in last.survivors)
        return Standing(
            scored,
            self.rounds.index(last) + 1,
            tuple(last.mious(digest).tolist()),
            float(inside[0].mious(digest)[0]),
            last.round.steps,
            self._probability(digest),
            "" if stays else last.reason(digest),
            last.trained[digest],
        )

    def _probability(self, digest: str) -> float:
        """Returns the probability that a finalist is the best of all; one that left keeps its last value, the others
        share the rest.
        """
        share, found = 1.0, 0.0
        for one in self.rounds:
            if not one.is_complete or digest not in one.probabilities:
                break
            found = share * one.probabilities[digest]
            stayed = [scored.cell.digest() for scored in one.survivors]
            if digest not in stayed:
                break
            share *= sum(one.probabilities[other] for other in stayed)
        return found

    def winner(self) -> Standing | None:
        """Returns the best finalist; None if nothing was trained, or every training diverged."""
        best = self.standings[0] if self.standings else None
        return None if best is None or best.left not in ("", BEHIND) else best

    def difference(self, first: Cell, second: Cell) -> Difference | None:
        """Returns the difference between the first and the second; None if there is no complete round that both
        finished.
        """
        digests = first.digest(), second.digest()
        for one in reversed(self.rounds):
            if one.is_complete and set(digests) <= set(one.compared):
                places = [one.compared.index(digest) for digest in digests]
                value = one.mious(digests[0]).mean() - one.mious(digests[1]).mean()
                return Difference(float(value), *difference_interval(one.draws, *places), one.round.steps)
        return None
