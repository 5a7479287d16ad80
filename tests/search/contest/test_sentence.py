"""Tests of what a search says at its end, and that all that it leaves names the same cell."""

import dataclasses
import html
import json
import pathlib
import re

import numpy as np
import pytest
from reporting_results import candidate, contest, rerank, search_result, trained, warm_start

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.cli.search_workers import print_end
from deeplab_dpc.search.contest.best_cells import write_cells
from deeplab_dpc.search.contest.result import SearchResult
from deeplab_dpc.search.contest.sentence import sentence
from deeplab_dpc.search.reporting.search_report import write_report
from deeplab_dpc.search.scored import GIVEN, ProxyScore, Scored

FOUND = [candidate(0, 0.45), candidate(1, 0.44)]
CONV1X1 = warm_start(0.5, "conv1x1")
ASPP = Scored("aspp", load_cell("aspp"), GIVEN, ProxyScore(0.49, 0.5, 5.0, 100.0, 400, ((400, 0.49),)))


def _result(*reranked, outcome=None):
    result = search_result(FOUND, [CONV1X1, ASPP], reranked)
    return (
        result
        if outcome is None
        else SearchResult(result.config, result.feature_shape, [CONV1X1, ASPP], FOUND, outcome)
    )


def test_found_cell_that_wins_is_named_with_its_lead_over_aspp_and_the_runner_up():
    said = sentence(_result(rerank(FOUND[0], 0.60, 0.61), rerank(ASPP, 0.54, 0.55), rerank(CONV1X1, 0.58, 0.59)))
    assert said.startswith(f"Best on this data: cell 0 ({FOUND[0].cell.summary()}), mIOU 0.6050: 6.00 points (+")
    assert ") over ASPP and 2.00 points (" in said
    assert "over the 1x1 convolution, the runner-up, 95 % intervals over 50 images and 2 seeds" in said
    assert said.endswith("%.")


def test_aspp_that_wins_is_the_best():
    said = sentence(_result(rerank(ASPP, 0.60), rerank(FOUND[0], 0.5)))
    assert said.startswith("Best on this data: ASPP (aspp), mIOU 0.6000: 10.00 points (+")
    assert "over cell 0, the runner-up" in said
    assert "1 seed; the probability that it is the best of the 2 finalists is above 99 %." in said


def test_winner_that_is_hardly_ahead_is_not_said_to_be_clearly_the_best():
    said = sentence(_result(rerank(ASPP, 0.600), rerank(FOUND[0], 0.599)))
    assert ", not clearly) over cell 0" in said
    assert said.endswith("%, so that it is not clearly the best.")


def test_lead_over_one_that_left_is_of_the_round_in_which_it_left():
    first = [rerank(FOUND[0], 0.5), rerank(CONV1X1, 0.49), rerank(ASPP, 0.3)]
    second = [rerank(FOUND[0], 0.6), rerank(CONV1X1, 0.58)]
    said = sentence(_result(outcome=contest(first, second)))
    assert re.search(r"20.00 points \(.* after 100 steps\) over ASPP and 2.00 points \([^)]*\) over the 1x1", said)


def test_finalists_that_could_not_be_trained_are_not_in_the_way_of_the_sentence():
    given_up, won = (ASPP, []), rerank(CONV1X1, 0.58, 0.59)
    said = sentence(_result(given_up, won, rerank(FOUND[0], 0.5, 0.51)))
    assert "over cell 0, the runner-up, 95 % intervals over 50 images and 2 seeds" in said
    diverged = [dataclasses.replace(trained(0.0, num_images=0), samples=np.zeros(0), is_diverged=True)]
    said = sentence(_result((ASPP, diverged), won, rerank(FOUND[0], 0.5, 0.51)))
    assert "95 % intervals over 50 images and 2 seeds" in said
    said = sentence(_result((ASPP, diverged), won))
    assert said.endswith("(conv1x1), mIOU 0.5850; no other finalist could be trained.")


def test_contest_that_is_not_over_says_so():
    said = sentence(_result(outcome=contest([rerank(FOUND[0], 0.5), rerank(ASPP, 0.4)], complete=False)))
    assert said.startswith("Best on this data so far (the contest is not over): cell 0")


def test_best_by_proxy_is_of_warm_starts_too_and_said_to_be_by_proxy_only():
    said = sentence(_result())
    assert said.startswith(
        "Best by proxy only, since no cell was trained end to end: the 1x1 convolution (conv1x1), proxy"
    )
    assert "1.00 points over ASPP" in said


def test_search_without_a_score_has_no_best():
    assert sentence(search_result([])) == "Nothing is scored yet, so that there is no best cell."


@pytest.mark.parametrize(
    ("result", "name"),
    [
        (_result(rerank(ASPP, 0.526), rerank(FOUND[0], 0.448), rerank(CONV1X1, 0.514)), "aspp"),
        (_result(rerank(ASPP, 0.448), rerank(FOUND[1], 0.526), rerank(CONV1X1, 0.514)), "cell 1"),
        (_result(), "conv1x1"),
    ],
)
def test_all_that_a_search_leaves_names_the_same_best_cell(result, name, tmp_path, capsys):
    write_cells(tmp_path, result)
    write_report(tmp_path, result)
    print_end(tmp_path, result)
    printed = capsys.readouterr().out
    best = next(one for one in [*FOUND, CONV1X1, ASPP] if one.name == name)
    assert json.loads((tmp_path / "cells" / "best.json").read_text()) == best.cell.to_json()
    assert (tmp_path / "cells" / "best.png").is_file()
    assert [row["name"] for row in json.loads((tmp_path / "results.json").read_text()) if row["is_best"]] == [name]
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert (verdict["best"]["name"], verdict["sentence"]) == (name, sentence(result))
    assert re.findall(r"^ *(\w+(?: \d)?) \*", printed, re.MULTILINE) == [name]
    assert printed.splitlines()[-1] == sentence(result)
    page = pathlib.Path(tmp_path / "report.html").read_text()
    summary = page[page.index("<h2>Summary</h2>") :]
    assert html.unescape(re.search(r"<p>(.*?)</p>", summary)[1]) == sentence(result)


def test_verdict_has_the_figures(tmp_path):
    write_cells(tmp_path, _result(rerank(ASPP, 0.6, 0.62, run="best run"), rerank(CONV1X1, 0.5, 0.5)))
    best = json.loads((tmp_path / "verdict.json").read_text())["best"]
    assert (best["miou"], best["seeds"], best["steps"], best["run"]) == (pytest.approx(0.61), 2, 100, "best run")
    assert best["over"]["conv1x1"]["miou"] == pytest.approx(0.11)
    low, high = best["over"]["conv1x1"]["interval"]
    assert low < 0.11 < high
