"""search.py as a user meets it, before anything is trained."""

import json

import pytest

from deeplab_dpc.arch.operations.atrous_conv import RATES
from deeplab_dpc.cli.main import execute, parse
from deeplab_dpc.cli.search_job import Request
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.proxy import feature_writer
from deeplab_dpc.search.scored import ProxyScore


@pytest.fixture
def search(cache, tmp_path, monkeypatch, capsys):
    """Runs the command in an empty directory; returns its status and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(**flags):
        small = {"workdir": "S", "feature_cache": cache, "rerank_top_k": 0, "proxy_steps": 2}
        status = execute("search", [f"--{name}={value}" for name, value in {**small, **flags}.items()])
        captured = capsys.readouterr()
        return status, captured.err if status else captured.out

    return run


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"workers": 0}, "--workers must be"),
        ({"workers": 2, "storage": "nowhere"}, "--storage=nowhere is not a storage"),
        ({"workers": 2, "storage": "sqlite:///s.db"}, "--storage=sqlite:///s.db is SQLite"),
        ({"workers": 4, "lookahead": 3}, "--workers=4 is more than --lookahead=3: only so many cells"),
        ({"workers": 2, "mode": "score"}, "--workers=2 is for --mode=search, not for --mode=score"),
        ({"workers": 2, "feature_cache": "nowhere"}, "nowhere holds no complete feature cache"),
        ({"workers": 2, "rerank_top_k": 1}, "--data_dir is required for the contest"),
        ({"propose_only": True, "feature_cache": ""}, "--data_dir is required"),
    ],
)
def test_mistakes_get_one_sentence_and_exit_status_2(search, flags, message):
    status, said = search(**flags)
    assert (status, len(said.strip().splitlines())) == (2, 1)
    assert message in said


@pytest.mark.parametrize(
    ("flags", "is_warned"),
    [
        ({"sampler": "evolution"}, True),
        ({"sampler": "nsga2", "population_size": 12, "tournament_size": 3}, True),
        ({"sampler": "evolution", "population_size": 11, "tournament_size": 3}, False),
        ({"sampler": "paper"}, False),
    ],
)
def test_a_population_that_is_never_full_is_a_warning(search, flags, is_warned):
    status, said = search(propose_only=True, num_candidates=12, warm_starts="", **flags)
    assert status == 0
    assert ("draws uniformly until --population_size=" in " ".join(said.split())) == is_warned


def test_workdir_that_cannot_be_made_is_named(search, tmp_path):
    (tmp_path / "S").write_text("in the way")
    status, said = search(workers=2)
    assert (status, len(said.strip().splitlines())) == (2, 1)
    assert "--workdir=S must be a folder, and S is a file" in said


def test_study_of_another_configuration_is_refused_before_workers_are_started(search, tmp_path):
    shared = {"storage": "journal:both", "num_candidates": 0, "warm_starts": ""}
    assert search(**shared)[0] == 0
    status, said = search(**shared, workers=2, workdir="T", proxy_steps=3)
    assert (status, len(said.strip().splitlines())) == (2, 1)
    assert "search.proxy_steps (was 2, now 3)" in said
    assert not list(tmp_path.glob("T/workers/*.log"))
    assert search(**shared, propose_only=True, workdir="T", proxy_steps=3)[0] == 2


def test_proposal_of_an_absent_study_makes_nothing(search, tmp_path):
    # With rungs of the network itself there is nothing to try.
    status, said = search(propose_only=True, num_candidates=3, num_branches=1, proxy_features="end_to_end")
    assert status == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    assert next(line for line in lines if line.startswith("conv1x1 given")).endswith("1 x 1 B>1x1")
    assert "cells left 7 of 7" in lines
    assert "proxy steps 14" in lines
    assert list(tmp_path.iterdir()) == []


def test_proposal_tries_a_few_steps_where_nothing_is_scored(search, tmp_path, monkeypatch):
    class Timed:
        """A second of overhead, and 20 ms a step; 30 s to compile."""

        def __init__(self, cache, config, train_split):
            self.start = 30.0

        def evaluate(self, candidates, budgets):
            for _ in candidates:
                seconds, self.start = self.start + 1.0 + budgets[0] * 0.02, 0.0
                rungs = ((budgets[0], 0.5),)
                yield ProxyScore(0.5, 0.1, seconds, steps=budgets[0], rungs=rungs, step_seconds=0.02)

    monkeypatch.setattr("deeplab_dpc.search.proxy.proxy_evaluator.ProxyEvaluator", Timed)
    status, said = search(propose_only=True, num_candidates=6, warm_starts="", proxy_steps=100, halving_rungs=2)
    assert status == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    # Rungs of 25 and 100 steps, which a quarter reaches: 50 steps and 1.25 s of overhead for each cell.
    assert "proxy steps about 300, at most 750" in lines
    assert "device time 13.5 s (13.5 s to 13.5 s)" in lines
    assert "with 4 workers like this 34.5 s (34.5 s to 34.5 s)" in lines  # a cell that climbs both, and the start
    (paper,) = (line for line in lines if line.startswith("28,000 cells"))
    # 28,000 * 601 s
    assert paper == "28,000 cells of 30,000 steps 30,000 4,674 4,674 to 4,674 195 24.3 3.04 0.527"
    assert any(line.startswith("Nothing is scored yet: 12 steps of cell") for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_label_weights_must_be_one_for_each_class_of_the_cache(search, tmp_path):
    status, said = search(label_weights="1,2,3")
    assert status == 2
    assert "--label_weights has 3 weights, but there are 2 classes; give one for each" in said
    assert list(tmp_path.iterdir()) == []


def test_worker_is_started_with_the_flags_and_the_storage_of_its_parent(search, tmp_path, monkeypatch):
    started = []

    def start(command, environments, folder):
        started.append((command, environments))
        raise KeyboardInterrupt

    (tmp_path / "S" / "workers").mkdir(parents=True)
    (tmp_path / "S" / "workers" / "flags").write_text("of an earlier version, with a password")
    monkeypatch.setattr("deeplab_dpc.cli.search_workers.LocalWorkers", start)
    assert search(workers=2, seed=5, cell_rates="1,6", storage="journal:a file")[0] == 130
    ((command, environments),) = started
    assert command[-2:] == ["--workers=1", next(a for a in command if a.startswith("--feature_cache="))]
    assert {"--seed=5", "--cell_rates=1,6"} <= set(command)
    assert [environment["DEEPLAB_DPC_STORAGE"] for environment in environments] == ["journal:a file"] * 2
    assert not any(path.name == "flags" for path in tmp_path.rglob("*"))
    assert json.loads((tmp_path / "S" / "config.json").read_text())["search"]["seed"] == 5


def test_storage_may_be_given_by_the_environment(search, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPLAB_DPC_STORAGE", "study.db")
    status, said = search(workers=2)
    assert status == 2
    assert "--storage=study.db is not a storage" in said


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"warm_starts": "aspp,missing.json"}, "--warm_starts: 'missing.json' is neither a cell file nor a cell"),
        ({"mode": "score", "cells": "aspp,missing"}, "--cells: 'missing' is neither a cell file nor a cell"),
        ({"mode": "score"}, "--cells is required with --mode=score"),
        ({"mode": "fidelity"}, "--data_dir is required with --mode=fidelity"),
        ({"storage": "nowhere"}, "--storage=nowhere is not a storage"),
        ({"storage": "grpc://host"}, "--storage=grpc://host must be grpc://HOST:PORT"),
        ({"sampler": "exhaustive"}, "--sampler=exhaustive goes through at most"),
        ({"max_params": 1}, "--max_params=1 admits no cell"),
        ({"label_weights": "1"}, "--label_weights has 1 weights"),
    ],
)
def test_mistake_is_found_before_anything_is_written(search, tmp_path, flags, message):
    status, said = search(**flags)
    assert (status, len(said.strip().splitlines())) == (2, 1)
    assert message in said
    assert not (tmp_path / "S" / "config.json").exists()
    assert not list(tmp_path.rglob("features*"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"warm_starts": "aspp,missing.json"}, "--warm_starts: 'missing.json' is neither"),
        ({"max_params": 1}, "--max_params=1 admits no cell"),
        ({"label_weights": "1"}, "--label_weights has 1 weights"),
        ({"rerank_top_k": 1, "rerank_model_variant": "vgg"}, "--rerank_model_variant=vgg is not known"),
        ({"rerank_top_k": 1, "train_crop_size": "32,32"}, "--train_crop_size=32,32 does not align"),
        ({"train_split": "none"}, "no split 'none'"),
        ({"tf_initial_checkpoint": "nowhere"}, "There is no checkpoint nowhere: nowhere.index does not exist"),
        (
            {"rerank_top_k": 1, "rerank_initial_checkpoint": "nowhere"},
            "--rerank_initial_checkpoint: There is no checkpoint nowhere: nowhere.index does not exist",
        ),
    ],
)
def test_mistake_is_found_before_features_are_computed(search, shapes, tmp_path, monkeypatch, flags, message):
    monkeypatch.setattr(feature_writer, "cache_features", lambda *arguments: pytest.fail("features were computed"))
    status, said = search(data_dir=shapes.path, feature_cache="", **flags)
    assert (status, len(said.strip().splitlines())) == (2, 1)
    assert message in said
    assert not (tmp_path / "S").exists()


@pytest.mark.parametrize(
    ("flags", "rates", "aspp"),
    [
        ([], (1, 3), "aspp"),  # crops as large as the images, 5 cells a side
        (["--train_crop_size=33,33"], (1,), "aspp_1_2_3"),
        (["--train_crop_size=33,33", "--cell_rates=1,21"], (1, 21), "aspp_1_2_3"),
        (["--train_crop_size=33,33", "--warm_starts=psp,aspp"], (1,), "aspp"),
    ],
)
def test_rates_of_the_space_and_of_aspp_are_fitted_to_the_crops(flags, rates, aspp, shapes, tmp_path, capsys):
    values = parse("search", [f"--data_dir={shapes.path}", f"--workdir={tmp_path / 'S'}", *flags])
    request = Request.from_flags(values)
    assert request.config.cell_rates == rates
    assert aspp in request.config.warm_starts
    request.print_what_was_chosen()
    said = capsys.readouterr().out
    assert ("--cell_rates=1 " in said) == (rates == (1,))
    assert ("aspp_1_2_3" in said) == (aspp != "aspp")


def test_space_of_the_paper_stays_for_its_crops(shapes):
    """At 769 pixels nothing is cut."""
    crop = ["--train_crop_size=769,769"]
    request = Request.from_flags(parse("search", [f"--data_dir={shapes.path}", "--workdir=S", *crop]))
    assert (request.config.cell_rates, request.config.warm_starts) == (RATES, SearchConfig().warm_starts)
