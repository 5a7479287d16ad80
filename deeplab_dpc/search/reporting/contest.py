"""The section on the contest: every round with its scores, the finalists that left and why, and the winner's
certainty.
"""

import numpy as np

from deeplab_dpc.search import words
from deeplab_dpc.search.contest.decision import seed_deviation
from deeplab_dpc.search.contest.outcome import RoundOutcome
from deeplab_dpc.search.contest.sentence import title
from deeplab_dpc.search.reporting.population import Population
from deeplab_dpc.search.reporting.report_page import ReportSection, Table
from deeplab_dpc.search.statistics import CONFIDENCE, Interval

COLUMNS = ("finalist", "mIOU", "by seed", "95 % interval", "probability of being the best", "afterwards", "cell")


def contest(population: Population) -> ReportSection | None:
    """Returns the section; None if nothing was trained end to end."""
    result = population.result
    outcome = result.contest
    if outcome is None or not result.standings:
        return None
    text = [
        "Finalists are the best candidates by proxy and the warm starts. Each is trained end to end from only the "
        "backbone. After each round, finalists that can no longer win are dropped: their probability of being the best "
        f"is below {result.config.contest_threshold:g} times that of the most probable. The two most probable always "
        "go on. Intervals and probabilities come from draws of the images, the same for all, and of the spread between "
        "seeds."
    ]
    tables = [_table(number, one) for number, one in enumerate(outcome.rounds, start=1)]
    text.append(_deviation(outcome.rounds[-1]))
    if not outcome.is_complete:
        text.append("The contest is not over: the last table shows the trainings of its round so far.")
    return ReportSection("Contest", "\n\n".join(text), tables=tables)


def _deviation(last: RoundOutcome) -> str:
    """Returns a sentence on the spread between seeds."""
    scores = [last.mious(digest) for digest in last.compared]
    if not scores or max(map(len, scores)) < 2:
        return "With one seed the spread between seeds is taken to be about one point of mIOU."
    deviation, freedom = seed_deviation(scores)
    return (
        f"The standard deviation between seeds is taken to be {100 * deviation:.2f} points of mIOU, from the finalists "
        f"of the last round and a prior of one point ({freedom} degrees of freedom)."
    )


def _table(number: int, one: RoundOutcome) -> Table:
    ordered = sorted(one.entrants, key=lambda scored: -_mean(one.mious(scored.cell.digest())))
    rows = []
    for scored in ordered:
        digest = scored.cell.digest()
        mious = one.mious(digest)
        place = one.compared.index(digest) if one.is_complete and digest in one.compared else None
        bounds = None if place is None else _interval(one.draws[:, place])
        rows.append(
            (
                title(scored).partition(" (")[0],
                words.score(_mean(mious) if len(mious) else None),
                " ".join(map(words.score, mious.tolist())) or words.NONE,
                words.NONE if bounds is None else words.interval(bounds),
                words.NONE if place is None else words.percent(one.probabilities[digest]),
                _afterwards(one, digest),
                scored.cell.summary(),
            )
        )
    heading = f"Round {number}: {one.round.steps:,} steps, {words.count(one.round.seeds, 'seed')}"
    return heading, COLUMNS, rows


def _mean(mious: np.ndarray) -> float:
    return float(mious.mean()) if len(mious) else 0.0


def _interval(draws: np.ndarray) -> Interval:
    tails = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(draws, [tails, 100 - tails])
    return float(low), float(high)


def _afterwards(one: RoundOutcome, digest: str) -> str:
    if not one.is_complete:
        return "left: " + one.reason(digest) if one.is_ruled_out(digest) else "being trained"
    if all(scored.cell.digest() != digest for scored in one.survivors):
        return f"left: {one.reason(digest)}"
    return "to the end" if one.is_last else "goes on"
