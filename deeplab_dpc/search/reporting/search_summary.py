"""The section with the search's setting, its result, and the limits of the result."""

from deeplab_dpc.config import SearchConfig
from deeplab_dpc.config.samplers import sampler_entry
from deeplab_dpc.search import words
from deeplab_dpc.search.contest.result import SearchResult
from deeplab_dpc.search.contest.rounds import contest_rounds
from deeplab_dpc.search.contest.sentence import sentence
from deeplab_dpc.search.reporting.population import Population
from deeplab_dpc.search.reporting.report_page import ReportSection, Table
from deeplab_dpc.search.scored import MIOU, Scored


def summary(population: Population) -> ReportSection:
    result = population.result
    text = [sentence(result), _outcome(population), *_beside_warm_starts(population), _limits(population)]
    tables = [_margins(population), _searched(result)]
    return ReportSection("Summary", "\n\n".join(text), tables=[table for table in tables if table[2]])


def _outcome(population: Population) -> str:
    result = population.result
    winner = result.winner()
    wanted = result.config.num_candidates
    done = f"{words.count(len(population), 'candidate')} of {wanted:,} scored by proxy"
    if winner is None:
        return f"{done}; there is no winner yet."
    best = result.ranked_by_proxy()[0]
    found = f"{done}. The best by proxy is {best.name}, mIOU {words.score(best.score.miou)}."
    if not result.standings:
        return f"{found} No cell was trained end to end."
    rank = 1 + [scored.cell for scored in result.ranked_by_proxy()].index(winner.cell)
    return (
        f"{found} {words.count(len(result.standings), 'cell')} trained end to end; the winner, {winner.name}, is "
        f"number {rank} by proxy of all that were scored, warm starts included ({words.score(winner.score.miou)})."
    )


def _beside_warm_starts(population: Population) -> list[str]:
    """Returns a paragraph that compares the best candidate by proxy with the best warm start; none if they cannot be
    compared.
    """
    warm_starts = population.comparable_warm_starts()
    if not (warm_starts and len(population)):
        return []
    rival = max(warm_starts, key=lambda scored: scored.score.rank_key)
    best = population.result.best(1)[0]
    margin = best.score.miou - rival.score.miou
    relation = "above" if best.score.rank_key > rival.score.rank_key else "not above"
    ranked = "" if best.score.signal == MIOU else f", ranked by --proxy_signal={best.score.signal}; by mIOU"
    return [
        f"By proxy the best candidate is {relation} the best warm start, {rival.name} "
        f"({words.score(rival.score.miou)}){ranked}: {words.score(margin, signed=True)} after {population.budget:,} "
        "steps each."
    ]


def _limits(population: Population) -> str:
    """Returns the limits of the results, in plain words."""
    config = population.result.config
    size = config.space.size
    share = f"{len(population):,} of the space's {words.large(size)} cells"
    return (
        f"What these figures cannot show: this is one search with one seed ({config.seed}), and every cell was trained "
        "once by proxy; which cells another seed would have drawn and sent to the contest is not known. "
        "The winner was chosen by its score on the same images, so its margin is too optimistic, "
        f"the more so the more cells were tried. And {share} were tried: cells that were not drawn may well be better."
    )


def _margins(population: Population) -> Table:
    result = population.result
    winner = result.winner()
    rows = [_margin_row(population, scored, winner) for scored in result.warm_starts]
    columns = (
        "warm start",
        "proxy steps",
        "proxy mIOU",
        "winner above it by proxy",
        "re-ranked mIOU",
        "winner above it re-ranked",
        "95 % interval",
    )
    return "Margin to the warm starts at equal budget", columns, rows


def _margin_row(population: Population, scored: Scored, winner: Scored | None) -> list[str]:
    result = population.result
    real = result.real_miou(scored.cell)
    # nan, shown as '-', if the winner was not scored after that number of steps.
    by_proxy = None
    if winner is not None and winner.cell != scored.cell:
        by_proxy = population.score_at(winner, scored.score.steps) - scored.score.miou
    difference = None
    if winner is not None and result.contest is not None and winner.cell != scored.cell:
        difference = result.contest.difference(winner.cell, scored.cell)
    return [
        scored.name,
        f"{scored.score.steps:,}",
        words.score(scored.score.miou),
        words.score(by_proxy, signed=True),
        words.score(real),
        words.NONE if difference is None else words.score(difference.value, signed=True),
        words.NONE if difference is None else words.interval((difference.low, difference.high), signed=True),
    ]


def _searched(result: SearchResult) -> Table:
    config = result.config
    height, width, channels = result.feature_shape
    space = config.space
    proxy = (
        f"{config.proxy_steps:,} steps, batch {config.proxy_batch_size}, learning rate {config.proxy_learning_rate:g}"
    )
    if config.proxy_signal != MIOU:
        proxy += f"; ranked by {config.proxy_signal}"
    if config.halving_rungs > 1:
        proxy += f"; successive halving after {', '.join(f'{steps:,}' for steps in config.rung_steps[:-1])} steps"
    rounds = ", then ".join(
        f"{one.steps:,} steps with {words.count(one.seeds, 'seed')}" for one in contest_rounds(config)
    )
    given = " and all warm starts" if config.rerank_warm_starts else ""
    contest = (
        f"best {config.rerank_top_k:,} by proxy{given}; {rounds}; batch {config.rerank_batch_size}, "
        f"{config.rerank_optimizer}, learning rate {config.rerank_learning_rate:g}"
    )
    rows = [
        (
            "space",
            f"{config.num_branches} branches, {len(space.operations)} operations, {words.large(space.size)} cells",
        ),
        ("rates", ", ".join(map(str, config.cell_rates))),
        ("grids", ", ".join(map(str, config.cell_grids))),
        ("constraints", _constraints(config)),
        ("sampler", sampler_entry(config.sampler).title),
        ("candidates wanted", f"{config.num_candidates:,}"),
        ("proxy", proxy),
        (
            "features",
            f"{config.proxy_features.replace('_', ' ')}; {height} x {width} x {channels} in {config.eval_split}",
        ),
        ("warm starts", ", ".join(scored.name for scored in result.warm_starts) or "none"),
        ("contest", contest if config.rerank_top_k else "none"),
        ("seed", str(config.seed)),
    ]
    return "What was searched", ("", "setting"), rows


def _constraints(config: SearchConfig) -> str:
    limits = {
        "parameters <=": config.max_params,
        "multiply-adds <=": config.max_madds,
        "receptive field >=": config.min_receptive_field,
        "receptive field <=": config.max_receptive_field,
    }
    return ", ".join(f"{what} {limit:,}" for what, limit in limits.items() if limit is not None) or "none"
