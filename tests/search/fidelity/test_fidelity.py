"""Tests of the report on the proxy's fidelity, which is computed here from scores made by hand."""

import csv
import dataclasses
import math

import pytest

from deeplab_dpc.arch.cost import Cost
from deeplab_dpc.config import FidelityConfig, SearchConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.fidelity.analysis import Regret, analyse, scopes, top_fifth
from deeplab_dpc.search.fidelity.fidelity_report import fidelity_section, sentences, write_fidelity
from deeplab_dpc.search.fidelity.measured_cells import aspp_subsets
from deeplab_dpc.search.fidelity.measurement import (
    MIXED,
    SUBSET,
    TOP,
    FidelityResult,
    FidelityRow,
    RealScore,
    read_fidelity,
    write_rows,
)
from deeplab_dpc.search.fidelity.other_proxies import (
    THIS,
    comparison_table,
    known_reals,
    proxy_sentences,
    read_others,
    require_same_protocol,
)
from deeplab_dpc.search.rank_correlation import spearman
from deeplab_dpc.search.scored import ProxyScore

CELLS = list(aspp_subsets().items())


def _row(place, proxy, real, loss_sum=10.0, parameters=100, group=SUBSET, side=13):
    """A cell with the scores of each seed."""
    name, cell = CELLS[place]
    proxies = tuple(ProxyScore(miou, loss_sum / 10, 2.0, loss_sum, 20, ((20, miou),)) for miou in proxy)
    reals = tuple(RealScore(miou, 30.0) for miou in real)
    return FidelityRow(name, group, cell, proxies, reals, Cost(parameters, 0, 7 * parameters), (side, side))


def _result(rows, seeds=1, **fields):
    return FidelityResult(
        SearchConfig(proxy_steps=20, rerank_steps=60), FidelityConfig(fidelity_seeds=seeds), tuple(rows), **fields
    )


def _ranked(count, group=SUBSET, first=0):
    """Cells that the proxy ranks as real training does, but for the last two, which are exchanged."""
    order = [*range(count - 2), count - 1, count - 2]
    return [
        _row(first + place, [0.1 + 0.01 * order[place]], [0.5 + 0.01 * place], group=group) for place in range(count)
    ]


def test_predictors_are_correlated_with_the_real_score():
    """Real 1 2 3 4; proxy 1 3 2 4: rho 0.8. Loss falls as the score rises: 1. Parameters 4 1 2 3: -0.2."""
    rows = [
        _row(place, [proxy], [0.1 * (place + 1)], loss_sum=9.0 - place, parameters=parameters)
        for place, (proxy, parameters) in enumerate(zip([0.1, 0.3, 0.2, 0.4], [400, 100, 200, 300], strict=True))
    ]
    (analysis, _) = map(analyse, scopes(_result(rows)))
    rho = {name: one.rho for name, one in analysis.correlations.items()}
    assert rho["proxy mIOU"] == pytest.approx(0.8)
    assert rho["minus loss sum"] == pytest.approx(1)
    assert rho["minus last loss"] == pytest.approx(1)
    assert rho["parameters"] == rho["multiply-adds"] == pytest.approx(-0.2)
    assert math.isnan(rho["receptive field"])


def test_regret_is_what_is_lost_by_training_the_first_cells_alone():
    """The best real score, 0.6, is fourth by proxy; the first by proxy has 0.2, and the first three at most 0.5."""
    rows = [
        _row(place, [proxy], [real])
        for place, (proxy, real) in enumerate([(0.9, 0.2), (0.8, 0.3), (0.7, 0.5), (0.6, 0.6), (0.1, 0.4)])
    ]
    regrets = analyse(scopes(_result(rows))[0]).regrets
    assert regrets["proxy mIOU"] == Regret(pytest.approx(0.4), pytest.approx(0.1))
    # All have equally many parameters: the order that loses most is the one that counts.
    assert regrets["parameters"] == Regret(pytest.approx(0.4), pytest.approx(0.2))


def test_the_mean_of_the_points_is_a_predictor_where_there_are_several():
    rows = [_row(place, [0.1 * (place + 1)], [0.1 * (place + 1)]) for place in range(4)]
    assert "proxy mIOU, mean of its points" not in analyse(scopes(_result(rows))[0]).correlations
    falling = [
        dataclasses.replace(
            row, proxies=(dataclasses.replace(row.proxy, points=((5, 0.5 - 0.2 * i, 1.0), (9, 0.1, 1.0))),)
        )
        for i, row in enumerate(rows)
    ]
    found = analyse(scopes(_result(falling))[0]).correlations
    assert (found["proxy mIOU"].rho, found["proxy mIOU, mean of its points"].rho) == (
        pytest.approx(1),
        pytest.approx(-1),
    )


def test_proxies_stand_beside_each_other_on_the_cells_that_all_have(tmp_path):
    this, other = _result(_ranked(6), proxy="400 steps"), _result(_ranked(5), proxy="with views")
    name, columns, rows = comparison_table(this, {"S1": other})
    assert name == "Comparison of the proxies, on the 5 cells that all have"
    found = [dict(zip(columns, row, strict=True)) for row in rows]
    assert [one["measurement"] for one in found[:1] + found[4:5]] == [THIS, "S1"]
    assert proxy_sentences(this, {"S1": other}) == [
        f"The proxy of {THIS}: 400 steps.",
        "The proxy of S1: with views.",
    ]
    assert proxy_sentences(this, {}) == []
    assert {key: found[0][key] for key in ("predictor", "n", "rho", "regret@1", "regret@3", "s a cell")} == {
        "predictor": "proxy mIOU",
        "n": "5",
        "rho": "1.00",
        "regret@1": "0.00",
        "regret@3": "0.00",
        "s a cell": "2.0",
    }
    assert (found[4]["rho"], found[4]["regret@1"]) == ("0.90", "1.00")
    assert [one["predictor"] for one in found if one["measurement"] == "-"] == [
        *("parameters", "multiply-adds", "receptive field")
    ]
    assert comparison_table(this, {}) is None
    assert comparison_table(this, {"S1": _result(_ranked(5, first=10))}) is None
    write_fidelity(tmp_path, this, {"S1": other})
    assert name in (tmp_path / "report.html").read_text()


def test_real_scores_of_other_measurements_are_taken_by_cell_and_seed(tmp_path):
    protocol = {"rerank_optimizer": "adam", "crop": [321, 321]}
    other = _result([_row(0, [0.1, 0.2], [0.3, 0.4])], seeds=2, protocol=protocol)
    write_rows(tmp_path / "S1" / "fidelity", other)
    others = read_others([str(tmp_path / "S1")])
    digest = CELLS[0][1].digest()
    assert known_reals(others) == {(digest, 0): RealScore(0.3, 30.0), (digest, 1): RealScore(0.4, 30.0)}
    require_same_protocol(others, other.protocol)
    with pytest.raises(UserError, match=r"S1 had another protocol.*crop \(there \[321, 321\], here \[193, 193\]\)"):
        require_same_protocol(others, {**other.protocol, "crop": [193, 193]})
    with pytest.raises(UserError, match="--fidelity_compare: .*S2 holds no finished measurement; run --mode=fidelity"):
        read_others([str(tmp_path / "S2")])


def test_the_best_baseline_is_compared_in_the_direction_that_suits_it():
    """Parameters fall with the score (-1), receptive fields do not rank as clearly (0.8, as the proxy)."""
    rows = [
        _row(place, [proxy], [0.1 * (place + 1)], parameters=500 - place, side=int(100 * proxy))
        for place, proxy in enumerate([0.1, 0.3, 0.2, 0.4])
    ]
    comparison = analyse(scopes(_result(rows))[0]).comparison
    assert comparison.baseline == "minus parameters"
    assert comparison.difference.value == pytest.approx(0.8 - 1)


def test_nothing_is_compared_where_no_baseline_differs():
    assert analyse(scopes(_result(_ranked(6)))[0]).comparison is None


def test_a_cell_whose_proxy_training_diverged_ranks_last():
    rows = [_row(0, [0.0], [0.1], loss_sum=math.inf), *(_row(i, [0.1 * i], [0.1 + 0.1 * i]) for i in (1, 2, 3))]
    correlation = analyse(scopes(_result(rows))[0]).correlations["minus loss sum"]
    assert correlation.rho == pytest.approx(spearman([1, 2, 2, 2], [1, 2, 3, 4]))


def test_the_top_fifth_is_by_real_score_and_rounded_up():
    assert len(top_fifth(_ranked(31))) == 7
    assert [row.real_miou for row in top_fifth(_ranked(10))] == pytest.approx([0.59, 0.58])
    assert len(top_fifth(_ranked(3))) == 1


def test_each_group_is_ranked_alone_and_with_the_other():
    found = scopes(_result([*_ranked(6), *_ranked(5, TOP, first=10)]))
    assert [(scope.name, len(scope.rows)) for scope in found] == [
        ("subsets of ASPP", 6),
        ("subsets of ASPP, top fifth", 2),
        ("top cells of the search", 5),
        ("top cells of the search, top fifth", 1),
        ("cells of all groups", 11),
        ("cells of all groups, top fifth", 3),
    ]
    assert [scope.group for scope in scopes(_result(_ranked(6)))] == [SUBSET, SUBSET]
    assert scopes(_result([])) == []


def test_seeds_are_averaged_and_correlated_with_each_other():
    """Proxy seeds 1 2 3 4 and 1 2 4 3 (rho 0.8); real seeds 1 2 3 4 and 4 3 2 1 (-1), whose means are equal."""
    rows = [
        _row(place, [0.1 * (place + 1), proxy], [0.1 * (place + 1), 0.5 - 0.1 * (place + 1)])
        for place, proxy in enumerate([0.1, 0.2, 0.4, 0.3])
    ]
    analysis = analyse(scopes(_result(rows, seeds=2))[0])
    rho = {name: one.rho for name, one in analysis.between_seeds.items()}
    assert rho == pytest.approx({"real mIOU, seeds 1 and 2": -1, "proxy mIOU, seeds 1 and 2": 0.8})
    assert rows[2].real_miou == pytest.approx(0.25)
    assert rows[2].mean_proxy_miou == pytest.approx(0.35)
    assert "proxy mIOU, mean of the seeds" in analysis.correlations


def test_sentences_say_what_is_known_and_what_is_not():
    result = _result([*_ranked(12), *_ranked(3, TOP, first=20)], missing=("pool",))
    said = "\n".join(sentences(result, [analyse(scope) for scope in scopes(result)]))
    assert "15 cells, each trained by proxy for 20 steps and end to end for 60, with 1 seed." in said
    assert "real training 7.5 min: 15.0 times as long." in said
    assert "Over the subsets of ASPP (n = 12) the proxy ranks with rho 0.99" in said
    assert "the paper: 0.47 on Cityscapes" in said
    assert "(n = 3) the proxy ranks with rho 0.50 [-1.00, 1.00]; the interval includes 0, which is chance." in said
    assert "The top fifth by real score are 3, 1 and 3 cells" in said
    assert "--fidelity_seeds=2 measures it" in said
    assert "Given up, since their workers died again and again: pool; --retry_given_up tries again." in said


def test_a_measurement_without_cells_says_so():
    assert sentences(_result([]), []) == ["No cell has both scores."]
    assert fidelity_section(_result([])).figures == []


def test_the_report_has_a_table_of_each_scope_and_of_the_cells():
    section = fidelity_section(_result(_ranked(10)))
    titles = [title for title, _, _ in section.tables]
    assert titles == [
        "Rank correlation with real training: subsets of ASPP",
        "Rank correlation with real training: subsets of ASPP, top fifth",
        "Cells by their real score",
    ]
    assert section.tables[0][2][0][:3] == ("proxy mIOU", "10", "0.99")
    assert section.tables[1][2][0] == ("proxy mIOU", "2", "-", "-", "-", "-", "1.00", "0.00")  # two have no correlation
    assert [row[3] for row in section.tables[2][2]][:3] == ["2", "1", "3"]  # ranks by proxy, best real score first
    assert all(png.startswith(b"\x89PNG") for _, png in section.figures)


def test_a_measurement_is_read_back_as_it_was_written(tmp_path):
    result = _result([_row(0, [0.0, 0.2], [0.3, 0.4], loss_sum=math.inf), _row(1, [0.2, 0.3], [0.5, 0.4])], seeds=2)
    assert read_fidelity(tmp_path) is None
    write_rows(tmp_path / "fidelity", result)
    assert read_fidelity(tmp_path) == result
    with open(tmp_path / "fidelity" / "fidelity.csv", newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert [line["name"] for line in lines] == ["1x1", "6"]
    assert (lines[0]["real_miou_1"], lines[0]["proxy_loss_sum"], lines[1]["parameters"]) == ("0.4", "inf", "100")


def test_figures_are_written_beside_the_scores(tmp_path):
    write_fidelity(tmp_path, _result([*_ranked(5), *_ranked(3, MIXED, first=10), *_ranked(4, TOP, first=20)]), {})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        *("results.json", "fidelity.csv", "correlations.json"),
        *("report.html", "report", "proxy.png", "predictors.png"),
    }
    assert "NaN" not in (tmp_path / "correlations.json").read_text()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"fidelity_seeds": 0}, "--fidelity_seeds must be greater than 0, got 0"),
        ({"fidelity_mixed": -1}, "--fidelity_mixed must not be negative, got -1"),
        ({"fidelity_subsets": False, "fidelity_top_k": 0}, "--nofidelity_subsets leaves no cell to measure"),
        ({"fidelity_top_k": -1}, "--fidelity_top_k must not be negative, got -1"),
    ],
)
def test_wrong_numbers_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        FidelityConfig(**fields)
