"""What each section of the report says."""

import numpy as np
import pytest
from reporting_results import CONV, atrous, candidate, rerank, search_result, stopped, warm_start

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1
from deeplab_dpc.search import words
from deeplab_dpc.search.reporting.cost_estimate import cost
from deeplab_dpc.search.reporting.draws import draws
from deeplab_dpc.search.reporting.early_stopping import stopping
from deeplab_dpc.search.reporting.population import Population
from deeplab_dpc.search.reporting.rank_agreement import agreement
from deeplab_dpc.search.reporting.search_summary import summary
from deeplab_dpc.search.reporting.usage import depth, pair_counts, usage


def _table(section, title):
    """Rows by their first entry, each a dictionary by column; of columns of the same name the first."""
    (table,) = (table for table in section.tables if table[0].startswith(title))
    return {row[0]: dict(zip(table[1][::-1], row[::-1], strict=True)) for row in table[2]}


def test_summary_gives_the_winners_margins_at_equal_budget():
    found = [candidate(0, 0.5), candidate(1, 0.45)]
    given = warm_start(0.4)
    result = search_result(found, [given], [rerank(found[0], 0.6), rerank(found[1], 0.7), rerank(given, 0.55)])
    section = summary(Population.of(result))
    row = _table(section, "Margin")["conv"]
    assert row["winner above it by proxy"] == "+0.0500"
    assert row["winner above it re-ranked"] == "+0.1500"
    assert row["95 % interval"].startswith("[+0.1")
    assert section.text.startswith("Best on this data: cell 1 (")
    assert "the winner, cell 1, is number 2 by proxy of all that were scored" in section.text
    assert "one search with one seed" in section.text
    assert "2 of the space's 4.2e+11 cells" in section.text


def test_summary_has_no_margin_where_the_winner_was_stopped_before():
    found, given = stopped(0, 0.9), warm_start(0.4)
    section = summary(Population.of(search_result([found], [given], [rerank(found, 0.6), rerank(given, 0.5)])))
    assert _table(section, "Margin")["conv"]["winner above it by proxy"] == "-"
    assert _table(section, "Margin")["conv"]["winner above it re-ranked"] == "+0.1000"
    assert "the best warm start" not in section.text


def test_summary_says_that_no_candidate_is_above_a_warm_start():
    section = summary(Population.of(search_result([candidate(0, 0.3)], [warm_start(0.4)])))
    assert "is not above the best warm start, conv (0.4000): -0.1000" in section.text


@pytest.mark.parametrize(
    ("shift", "said"),
    [(0.1, "score better on average"), (-0.1, "score worse on average"), (0.0, "no difference is shown")],
)
def test_draws_say_what_the_interval_shows(shift, said):
    scores = [0.30, 0.31, 0.32, 0.33, 0.34]
    found = [candidate(i, score) for i, score in enumerate(scores)]
    found += [candidate(5 + i, score + shift, draw="neighbour") for i, score in enumerate(scores)]
    assert said in draws(Population.of(search_result(found))).text


def test_draws_count_the_best_tenth():
    found = [candidate(i, 0.1 + i / 100, draw="neighbour" if i % 4 == 3 else "uniform") for i in range(20)]
    rows = _table(draws(Population.of(search_result(found))), "By draw")
    # The best two are 18, uniform, and 19, a neighbour; of 15 and of 5.
    assert (rows["uniform"]["n"], rows["uniform"]["in the best tenth"]) == ("15", "6.7 %")
    assert (rows["neighbour"]["n"], rows["neighbour"]["in the best tenth"]) == ("5", "20.0 %")


def test_rates_of_the_best_are_counted_beside_all():
    found = [candidate(i, 0.1, own_cell=atrous((1, 3), (6, 6))) for i in range(9)]
    found.append(candidate(9, 0.9, own_cell=atrous((6, 6), (6, 6))))
    counts = pair_counts(Population.of(search_result(found)), AtrousConv, (1, 3, 6))
    assert counts.top.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 2]]
    assert counts.everywhere.tolist() == [[0, 9, 0], [0, 0, 0], [0, 0, 11]]
    assert counts.expected[2, 2] == pytest.approx(2 * 11 / 20)
    assert np.isnan(counts.ratio).all()  # nowhere are five expected


def test_ratio_is_of_shares():
    found = [candidate(i, 0.1, own_cell=atrous((1, 1), (3, 3))) for i in range(90)]
    found += [candidate(i, 0.9, own_cell=atrous((3, 3), (3, 3))) for i in range(90, 100)]
    counts = pair_counts(Population.of(search_result(found)), AtrousConv, (1, 3))
    # The best ten: all 20 of rate 3. All: 90 of rate 1 and 110 of rate 3.
    assert counts.ratio[1, 1] == pytest.approx(1 / (110 / 200))
    assert counts.ratio[0, 0] == 0.0


def test_usage_warns_of_few_cells_and_counts_inputs():
    chain = Cell((Branch(BACKBONE, Conv1x1()), Branch(0, AtrousConv((1, 1))), Branch(1, AtrousConv((1, 1)))))
    assert (depth(CONV), depth(chain), depth(atrous((1, 1), (1, 1)))) == (1, 3, 1)
    section = usage(Population.of(search_result([candidate(0, 0.9, own_cell=chain), candidate(1, 0.1, own_cell=CONV)])))
    assert "1 cell in the best tenth: too few" in section.text
    row = _table(section, "Shares")["reads the backbone"]
    assert (row["all cells"], row["best tenth"], row["ratio"]) == ("66.7 %", "33.3 %", "0.50")


def test_smaller_losses_that_rank_as_scores_do_have_a_correlation_of_one():
    section = agreement(Population.of(search_result([candidate(i, 0.3 + i / 100) for i in range(8)])))
    row = _table(section, "How well")["sum of training losses"]
    assert (row["n"], row["Spearman's rho"], row["Kendall's tau"]) == ("8", "1.00", "1.00")


def test_final_ranking_has_the_rank_by_proxy_beside():
    found = [candidate(i, 0.5 - i / 100) for i in range(4)]
    reranked = [rerank(scored, miou) for scored, miou in zip(found, (0.6, 0.61, 0.65, 0.62), strict=True)]
    section = agreement(Population.of(search_result(found, [warm_start()], [*reranked, rerank(warm_start(), 0.63)])))
    rows = _table(section, "Final ranking")
    assert [(row["by proxy"], row["name"]) for row in rows.values()] == [
        ("3", "cell 2"),
        ("-", "conv"),
        ("4", "cell 3"),
        ("2", "cell 1"),
        ("1", "cell 0"),
    ]
    # By hand: the ranks of four candidates are 4 3 2 1 and 1 2 4 3, rho = 1 - 6 * (9 + 1 + 4 + 4) / 60.
    assert _table(section, "How well")["proxy mIOU"]["Spearman's rho"] == "-0.80"


def test_halving_counts_who_was_stopped_and_what_it_saved():
    found = [stopped(i, i / 100) for i in range(4)]
    found += [candidate(4 + i, 0.5 + i / 10, rungs=((100, 0.1 - i / 100), (400, 0.5 + i / 10))) for i in range(3)]
    section = stopping(Population.of(search_result(found)))
    rows = _table(section, "By budget")
    assert (rows["100"]["scored"], rows["100"]["stopped there"], rows["100"]["rho with the last"]) == (
        "7",
        "4",
        "-1.00",
    )
    assert (rows["400"]["scored"], rows["400"]["stopped there"], rows["400"]["rho with the last"]) == ("3", "0", "-")
    assert rows["100"]["rank of the final best"] == "3"  # 0.08, after 0.10 and 0.09
    assert "1,900 steps: 67.9 %" in section.text  # 4 * 100 + 3 * 500 of 7 * 400
    assert stopping(Population.of(search_result(found[4:5]))) is not None
    assert stopping(Population.of(search_result([candidate(0, 0.5), candidate(1, 0.6)]))) is None


def test_cost_of_more_candidates_is_projected_from_the_mean():
    found = [candidate(i, 0.5, worker=f"w{i % 2}") for i in range(4)]  # ten seconds, 400 steps each
    section = cost(Population.of(search_result(found, [warm_start()])))
    assert "40 more candidates like these would take 6.7 min, 3.3 min on 2 workers." in section.text
    workers = _table(section, "Seconds")
    assert (workers["all workers"]["candidates"], workers["w1"]["candidates"]) == ("4", "2")


def test_times_are_in_a_unit_that_suits_them():
    seconds = (0.5, 90, 600, 3 * 3600, 5 * 86400, 3 * 365.25 * 86400)
    assert [words.duration(value) for value in seconds] == [
        "0.5 s",
        "90.0 s",
        "10.0 min",
        "3.0 h",
        "5.0 days",
        "3.0 years",
    ]
