"""The result of a search in one sentence: the best cell, its advantage, and the certainty of both."""

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.fitting import ASPP_PREFIX
from deeplab_dpc.arch.library import name_of_cell
from deeplab_dpc.search import words
from deeplab_dpc.search.contest.decision import CLEAR
from deeplab_dpc.search.contest.outcome import ContestOutcome, Difference, Standing
from deeplab_dpc.search.contest.result import SearchResult
from deeplab_dpc.search.scored import MIOU, Scored

ASPP = "aspp"
TITLES = {"aspp": "ASPP", "conv1x1": "the 1x1 convolution", "dpc_top1": "the published DPC cell", "psp": "PSP"}
LEAST_PROBABILITY, MOST_PROBABILITY = 0.01, 0.99  # limits of what a finite number of draws can show


def sentence(result: SearchResult) -> str:
    """Returns the sentence at the end of a search, or on its current state."""
    contest = result.contest
    winner = contest.winner() if contest is not None else None
    if contest is None or winner is None:
        return _by_proxy(result, has_failed=contest is not None and bool(contest.standings))
    begin = "Best on this data" if contest.is_complete else "Best on this data so far (the contest is not over)"
    best = f"{begin}: {title(winner.scored)}, mIOU {winner.miou:.4f}"
    over = _over(contest, winner)
    others = len(contest.rounds[0].entrants) - 1
    if not over:
        if not others:
            return f"{best}, the only finalist."
        return f"{best}; no {'other finalist could be trained' if contest.is_complete else 'round is over yet'}."
    trained = contest.rounds[0].trained[winner.scored.cell.digest()]
    images = next(iter(trained.values())).num_images
    seeds = len(winner.mious)
    sample = f"over {words.count(images, 'image')} and {words.count(seeds, 'seed')}"
    sure = _probability(winner.probability)
    verdict = "" if winner.probability >= CLEAR else ", so that it is not clearly the best"
    return (
        f"{best}: {' and '.join(over)}, 95 % intervals {sample}; the probability that it is the best of the "
        f"{others + 1} finalists is {sure}{verdict}."
    )


def title(scored: Scored) -> str:
    """Returns the title of a cell: a warm start's known name, or the number and the branches of a found one."""
    known = name_of_cell(scored.cell)
    if known is not None:
        found = "" if scored.name == known else f", found as {scored.name}"
        return f"{_of_known(known)} ({known}{found})"
    return f"{scored.name} ({scored.cell.summary()})"


def _of_known(name: str) -> str:
    if name.startswith(ASPP_PREFIX):
        return f"ASPP with rates {name.removeprefix(ASPP_PREFIX).replace('_', ', ')}"
    return TITLES.get(name, name)


def _is_aspp(cell: Cell) -> bool:
    name = name_of_cell(cell)
    return name is not None and (name == ASPP or name.startswith(ASPP_PREFIX))


def _over(contest: ContestOutcome, winner: Standing) -> list[str]:
    """Returns the advantage over ASPP and over the runner-up as text, as far as a complete round shows it."""
    others = [standing for standing in contest.standings if standing is not winner]
    aspp = next((one for one in others if _is_aspp(one.scored.cell)), None)
    runner_up = others[0] if others else None
    said = []
    for standing in dict.fromkeys(one for one in (aspp, runner_up) if one is not None):
        difference = contest.difference(winner.scored.cell, standing.scored.cell)
        if difference is None:
            continue
        name = title(standing.scored).partition(" (")[0]
        role = ", the runner-up" if standing is runner_up else ""
        said.append(f"{_points(difference, winner)} over {name}{role}")
    return said


def _points(difference: Difference, winner: Standing) -> str:
    bounds = f"{100 * difference.low:+.2f} to {100 * difference.high:+.2f}"
    when = f" after {difference.steps:,} steps" if difference.steps != winner.steps else ""
    clear = "" if difference.is_clear else ", not clearly"
    return f"{100 * difference.value:.2f} points ({bounds}{clear}{when})"


def _probability(value: float) -> str:
    if value > MOST_PROBABILITY:
        return f"above {100 * MOST_PROBABILITY:.0f} %"
    return f"below {100 * LEAST_PROBABILITY:.0f} %" if value < LEAST_PROBABILITY else f"{100 * value:.0f} %"


def _by_proxy(result: SearchResult, has_failed: bool) -> str:
    best = result.winner()
    if best is None:
        return "Nothing is scored yet, so that there is no best cell."
    why = "every training of a finalist diverged" if has_failed else "no cell was trained end to end"
    ranked = result.ranked_by_proxy()
    margin = ""
    if len(ranked) > 1 and ranked[1].score.steps == best.score.steps and best.score.signal == MIOU:
        points = 100 * (best.score.miou - ranked[1].score.miou)
        margin = f", {points:.2f} points over {title(ranked[1]).partition(' (')[0]}"
    return (
        f"Best by proxy only, since {why}: {title(best)}, proxy mIOU {best.score.miou:.4f}{margin}, with one seed; "
        "proxy scores can put cells in another order than real training."
    )
