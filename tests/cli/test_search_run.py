"""A whole search.py with scores that cost nothing: what it leaves, what it refuses, how it stops and goes on."""

import json
import os
import pathlib
import random
import shutil
import signal

import numpy as np
import pytest

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.cli.main import execute
from deeplab_dpc.errors import Stopped
from deeplab_dpc.files import write_json
from deeplab_dpc.search import runner
from deeplab_dpc.search.contest.trained import Trained
from deeplab_dpc.search.scored import ProxyScore
from deeplab_dpc.search.service.attempt import Task
from deeplab_dpc.search.service.identity import Worker
from deeplab_dpc.search.service.ledger import Ledger
from deeplab_dpc.search.service.storage import open_storage

STEPS = 16


def _miou(cell):
    return int(cell.digest(), 16) % 1009 / 1009


class HashEvaluator:
    """Scores cells by their digests; counts them."""

    def __init__(self):
        self.scored = []

    def evaluate(self, candidates, budgets):
        for candidate in candidates:
            miou = _miou(candidate.cell)
            rungs = []
            for rung, steps in enumerate(budgets):
                candidate.on_step(steps, 0.5)
                rungs.append((steps, miou))
                if steps < STEPS and not candidate.keep_going(rung, steps, miou):
                    break
            self.scored.append(candidate.cell.digest())
            yield ProxyScore(miou, 0.5, 1.0, 5.0, rungs[-1][0], tuple(rungs))


@pytest.fixture
def search(cache, tmp_path, monkeypatch, capsys):
    """Runs the command in an empty directory; returns its status, what it printed, and what it scored."""
    monkeypatch.chdir(tmp_path)

    def run(drawn=False, **flags):
        if not drawn:
            monkeypatch.setattr(runner, "write_report", _write_rows)
        evaluator = flags.pop("evaluator", None) or HashEvaluator()
        monkeypatch.setattr(runner, "make_evaluator", lambda job: evaluator)
        small = {"workdir": "S", "feature_cache": cache, "rerank_top_k": 0, "num_candidates": 6, "lookahead": 2}
        given = {**small, "proxy_steps": STEPS, "warm_starts": "aspp,psp", **flags}
        status = execute("search", [f"--{name}={value}" for name, value in given.items()])
        captured = capsys.readouterr()
        return status, captured.err if status else captured.out, evaluator.scored

    return run


def _write_rows(workdir, result, sections):
    """Replaces a report with pictures."""
    rows = [*result.warm_starts, *result.best(len(result.candidates))]
    write_json(workdir / "results.json", [{"name": row.name, "steps": row.score.steps} for row in rows])


def _results():
    with open("S/results.json", encoding="utf-8") as stream:
        return json.load(stream)


def test_search_leaves_its_best_cell_and_does_nothing_when_it_is_started_again(search):
    status, said, scored = search(drawn=True)
    assert (status, len(scored)) == (0, 8)
    assert "report.html" in said
    rows = _results()
    assert [row["name"] for row in rows[:2]] == ["aspp", "psp"]
    best = max(rows, key=lambda row: row["proxy_miou"])
    assert load_cell("S/cells/best.json").to_json() == best["cell"]
    assert [row["name"] for row in rows if row["is_best"]] == [best["name"]]
    assert "Best by proxy only, since no cell was trained end to end" in said
    assert search()[2] == []


@pytest.fixture
def contest(search, shapes, monkeypatch):
    """Searches with real trainings that cost nothing; returns what is returned without, and what was trained."""
    truth = {load_cell("aspp").digest(): 0.6, load_cell("psp").digest(): 0.5}

    def run(stop_after=None, **flags):
        trained = []

        def train_finalist(root, cell, seed, ladder, network, data, config, dataset, on_step):
            if len(trained) == stop_after:
                raise Stopped(signal.SIGTERM, "step 3 is saved")
            on_step(ladder[-1], 0.5)
            trained.append((cell.digest(), seed, ladder))
            miou = truth.get(cell.digest(), 0.4) + seed / 1000
            return Trained(miou, 1.0, f"{root}/{cell.digest()}", np.full(50, miou), "these", 5)

        monkeypatch.setattr("deeplab_dpc.search.contest.finalist_training.train_finalist", train_finalist)
        given = {"data_dir": shapes.path, "rerank_top_k": 2, "rerank_steps": 40, **flags}
        return *search(**given), trained

    return run


def test_warm_start_that_is_the_best_when_trained_for_real_is_the_best_cell(contest):
    status, said, _, trained = contest(drawn=True, decoder_output_stride=4)
    assert status == 0
    aspp, psp = load_cell("aspp").digest(), load_cell("psp").digest()
    # Two of the best by proxy with the warm starts; those that are twenty points behind leave.
    assert [(seed, ladder) for _, seed, ladder in trained[:4]] == [(0, (20,))] * 4
    assert trained[4:] == [(cell, seed, (20, 40)) for seed in (0, 1) for cell in (aspp, psp)]
    assert load_cell("S/cells/best.json") == load_cell("aspp")
    assert "Best on this data: ASPP (aspp), mIOU 0.6005: 10.00 points" in said
    rows = {row["name"]: row for row in _results()}
    assert [name for name, row in rows.items() if row["is_best"]] == ["aspp"]
    assert rows["aspp"]["contest"]["miou_by_seed"] == [0.6, 0.601]
    assert rows["psp"]["contest"]["left"] == ""
    assert sum(row["contest"] is not None and row["contest"]["left"] != "" for row in rows.values()) == 2
    assert contest(drawn=True, decoder_output_stride=4)[3] == []


@pytest.mark.parametrize("stop_after", [0, 3, 5, 7])
def test_contest_that_was_stopped_goes_on_where_it_was(contest, stop_after):
    whole = contest(workdir="whole")[3]
    status, said, _, before = contest(stop_after=stop_after, drawn=True)
    assert (status, len(before)) == (128 + signal.SIGTERM, stop_after)
    assert "stopped by SIGTERM" in said
    assert before + contest(drawn=True)[3] == whole
    assert load_cell("S/cells/best.json") == load_cell("aspp")


def test_what_an_earlier_version_trained_is_trained_again_and_that_is_said(contest, tmp_path):
    (tmp_path / "S").mkdir()
    ledger = Ledger(open_storage(None, tmp_path / "S", shared=False), "search/rerank", Worker.current(), 60.0)
    ledger.finish(ledger.claim([Task("a digest")]), [0.9], {"miou": 0.9, "seconds": 1.0, "run": "rerank/a digest"})
    status, said, _, trained = contest()
    assert (status, len(trained)) == (0, 8)
    assert "Not used: the real training of 1 cell by an earlier version," in said
    assert "Not used" not in contest()[1]


def test_more_candidates_add_finalists_and_no_training_is_done_again(contest):
    before = contest(num_candidates=2, rerank_top_k=1)[3]
    after = contest(num_candidates=9, rerank_top_k=5)[3]
    assert after
    assert not set(before) & set(after)
    assert {ladder for _, _, ladder in after} <= {(20,), (20, 40)}


def test_proposal_says_what_the_contest_takes_at_most(contest):
    lines = [" ".join(line.split()) for line in contest(propose_only=True)[1].splitlines()]
    # Two candidates and two warm starts, with two seeds to the end.
    assert "contest 4 finalists (20 steps x 1, 40 steps x 2), 352 steps at most" in lines  # with falls of 4
    assert "contest, device time not known: none was trained yet" in lines
    contest()
    assert not any(line.startswith("  contest") for line in contest(propose_only=True)[1].splitlines())


def test_contest_with_other_trainings_is_refused_with_the_difference(contest):
    contest()
    status, said, _, trained = contest(rerank_learning_rate=0.5)
    assert (status, trained) == (2, [])
    assert "search.rerank_learning_rate (was 0.001, now 0.5)" in said


def test_study_of_the_time_before_warm_starts_were_finalists_goes_on(contest, tmp_path):
    contest()
    config = json.loads((tmp_path / "S" / "config.json").read_text())
    del config["crc32"]  # which came later too
    config["search"]["rerank_warm_starts"] = False
    for name in [name for name in config["search"] if name.startswith("contest_")]:
        del config["search"][name]
    (tmp_path / "S" / "config.json").write_text(json.dumps(config))
    assert contest()[0] == 0


def test_cell_of_a_network_is_refused_since_a_search_tries_many(search):
    status, said, scored = search(dense_prediction_cell_json="aspp")
    assert (status, scored) == (2, [])
    assert "give the cell as one of --warm_starts" in said


def test_search_with_more_candidates_scores_the_further_ones_alone(search):
    first = search()[2]
    status, _, further = search(num_candidates=9)
    assert (status, len(further)) == (0, 3)
    assert not set(first) & set(further)


def test_another_proxy_is_refused_with_the_difference(search):
    search()
    status, said, scored = search(proxy_batch_size=3)
    assert (status, scored) == (2, [])
    assert "search.proxy_batch_size (was 8, now 3)" in said


def test_search_that_trains_on_images_is_bound_to_its_augmentation_and_its_data(search, shapes, tmp_path):
    first, moved = shapes.path.parents[1], tmp_path / "moved"
    flags = {"proxy_features": "end_to_end", "data_dir": first, "num_candidates": 1}
    assert search(**flags)[0] == 0
    status, said, _ = search(**flags, max_scale_factor=1.5, workdir="T", storage="journal:S/study.journal")
    assert status == 2
    assert "--study_name=search of this storage is a search with another configuration: " in said
    assert "data.max_scale_factor (was 2.0, now 1.5)" in said
    status, said, _ = search(**flags, photometric_jitter=0.1)
    assert status == 2
    assert "data.photometric_jitter (was 0.0, now 0.1)" in said
    shutil.copytree(first, moved)
    flags["data_dir"] = moved
    assert search(**flags)[0] == 0
    shard = next(moved.rglob("*val*tfrecord*"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    status, said, _ = search(**flags)
    assert status == 2
    assert "records.val (was " in said
    assert search(proxy_features="end_to_end")[:2] == (
        2,
        "search: --proxy_features=end_to_end trains on images: give --data_dir.\n",
    )


def test_signal_gives_the_cell_back_reports_what_is_there_and_the_search_goes_on(search):
    uninterrupted = search(workdir="whole")[2]

    class Interrupted(HashEvaluator):
        def evaluate(self, candidates, budgets):
            if len(self.scored) == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            return super().evaluate(candidates, budgets)

    status, said, before = search(evaluator=Interrupted())
    assert (status, len(before)) == (128 + signal.SIGTERM, 5)
    assert "stopped by SIGTERM; all scores are kept" in said
    assert len(_results()) == 5
    assert before + search()[2] == uninterrupted


def test_cell_whose_workers_died_is_said_in_the_last_line_and_tried_again_on_request(search, capsys):
    class Dying(HashEvaluator):
        """Dies while it compiles the sixth cell."""

        def evaluate(self, candidates, budgets):
            if len(self.scored) == 5:
                raise RuntimeError("no kernel\nimage")
            return super().evaluate(candidates, budgets)

    evaluator = Dying()
    for _ in range(5):
        with pytest.raises(RuntimeError):
            search(drawn=True, evaluator=evaluator)
    capsys.readouterr()
    status, said, scored = search(drawn=True)
    assert (status, len(scored)) == (0, 2)
    last = " ".join(said[said.index("Given up") :].split())
    assert "cell 3 (neighbour): 5 attempts, 5 of them before the first step, the last by " in last
    assert last.endswith(": RuntimeError: no kernel image; --retry_given_up tries again.")
    rows = _results()
    assert len(rows) == 8
    assert rows[-1]["name"] == "cell 3"
    assert rows[-1]["proxy_miou"] is None
    assert rows[-1]["given_up"]["attempts"] == 5
    assert "RuntimeError: no kernel image" in pathlib.Path("S/report.html").read_text(encoding="utf-8")
    status, said, scored = search(drawn=True, retry_given_up=True)
    assert (status, len(scored)) == (0, 1)
    assert "Trying 1 task again that had been given up." in said
    assert "Given up" not in said
    assert {row["given_up"] for row in _results()} == {None}


def test_halving_stops_candidates_but_no_warm_start(search, tmp_path):
    rng = random.Random(0)
    # Best first: a candidate in the last one's place would be stopped.
    given = sorted((SearchSpace().sample(rng) for _ in range(8)), key=_miou, reverse=True)
    for place, cell in enumerate(given):
        write_json(tmp_path / f"{place}.json", cell.to_json())
    files = ",".join(f"{place}.json" for place in range(8))
    status, _, _ = search(num_candidates=12, halving_rungs=2, lookahead=1, warm_starts=files)
    assert status == 0
    rows = _results()
    assert {row["steps"] for row in rows[:8]} == {16}
    assert {row["steps"] for row in rows[8:]} == {4, 16}
    # What was stopped ranks below all that went on, whatever its score.
    assert [row["steps"] for row in rows[8:]] == sorted((row["steps"] for row in rows[8:]), reverse=True)


def test_flags_of_reranking_that_cannot_be_are_refused_before_anything_is_scored(search, monkeypatch):
    monkeypatch.setattr(runner.Job, "has_contest", property(lambda job: True))
    status, said, scored = search(rerank_model_variant="vgg")
    assert (status, scored) == (2, [])
    assert "--rerank_model_variant=vgg is not known" in said
