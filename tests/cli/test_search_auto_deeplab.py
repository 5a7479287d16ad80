"""search.py --algorithm=auto_deeplab as a user meets it."""

import csv
import dataclasses
import functools
import json

import numpy as np
import pytest

from deeplab_dpc.arch.genotype import Genotype
from deeplab_dpc.cli.main import execute
from deeplab_dpc.locks import only_process
from deeplab_dpc.run_config import read_run
from deeplab_dpc.search.auto_deeplab import epoch_records, search_program
from deeplab_dpc.search.auto_deeplab.gradient_search import GradientSearch

TINY = {
    "num_layers": 1,
    "num_blocks": 1,
    "filter_multiplier": 1,
    "stem_filters": 2,
    "train_crop_size": "33,33",
    "min_resize_value": 33,
    "search_batch_size": 2,
    "search_epochs": 2,
    "architecture_start_epoch": 1,
}


@pytest.fixture
def search(shapes, tmp_path, monkeypatch, capsys):
    """Runs the command in an empty directory; returns its status and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(**flags):
        given = {"algorithm": "auto_deeplab", "workdir": "S", "data_dir": shapes.path.parents[1], **TINY, **flags}
        status = execute("search", [f"--{name}={value}" for name, value in given.items() if value is not None])
        captured = capsys.readouterr()
        return status, captured.err if status else captured.out

    return run


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            {"workers": 1},
            "--workers has no meaning for --algorithm=auto_deeplab, it is for --algorithm=dpc; leave it out",
        ),
        ({"mode": "score"}, "--mode has no meaning for --algorithm=auto_deeplab"),
        ({"feature_cache": "F"}, "--feature_cache has no meaning"),
        ({"storage": "journal:J"}, "--storage has no meaning"),
        ({"output_stride": 16}, "--output_stride has no meaning"),
        ({"algorithm": "dpc"}, "--architecture_start_epoch has no meaning for --algorithm=dpc, it is for"),
        ({"algorithm": "darts"}, "--algorithm must be one of dpc, auto_deeplab, got darts."),
        ({"workdir": None}, "--workdir is required"),
        ({"data_dir": None}, "--data_dir is required"),
        ({"train_crop_size": "33,64"}, "multiple of 32 plus 1, for example 33,65"),
        ({"search_batch_size": 7}, "halves have 6 and 6, fewer than --search_batch_size=7"),
        ({"num_seeds": 0}, "--num_seeds must be at least 1, got 0."),
        ({"architecture_start_epoch": 2}, "--architecture_start_epoch=2 must be below --search_epochs=2"),
        ({"eval_split": "test"}, "has no split 'test'"),
    ],
)
def test_mistakes_get_one_sentence_and_exit_status_2(search, tmp_path, flags, message):
    status, said = search(**flags)
    assert (status, len(said.strip().splitlines())) == (2, 1)
    assert message in said
    assert list(tmp_path.iterdir()) == []


def test_directory_of_another_process_is_refused(search, tmp_path):
    with only_process(tmp_path / "S", "workdir"):
        status, said = search()
    assert status == 2
    assert "S is in use by process" in said


def test_flags_that_both_algorithms_have_are_for_both(search):
    status, said = search(seed=3, eval_split="nowhere")
    assert status == 2
    assert "has no split 'nowhere'" in said


@pytest.fixture(scope="module")
def compiled_once():
    """Compiling is most of what a small search takes; how often it is saved changes nothing of the program."""
    made = functools.cache(search_program.SearchProgram)

    def once(config, *arguments):
        return made(dataclasses.replace(config, search_save_interval_steps=1), *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_program, "SearchProgram", once)
        yield


@pytest.mark.usefixtures("compiled_once")
def test_proposal_counts_and_times_and_writes_nothing(search, tmp_path):
    status, said = search(propose_only=True, workdir=None)
    assert status == 0
    lines = [" ".join(line.split()) for line in said.splitlines()]
    # (2! * 8)^2 cells, of which 7 * 7 have no zero and two different inputs; the stem goes on at stride 4 or 8.
    assert {"cells 256", "cells that decoding can give 49", "paths 2"} < set(lines)
    assert {"images of the halves 6 and 6", "crop 33 x 33", "evaluated size 33 x 65"} < set(lines)
    assert {"steps of the weights 6", "steps of alphas and betas 3"} < set(lines)
    assert any(line.startswith("the whole search about 0:00:") for line in lines)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("compiled_once")
def test_killed_search_ends_with_the_same_alphas_and_betas(search, tmp_path, monkeypatch):
    """The supernet itself; 3 steps an epoch, killed in the second, where alphas and betas are trained."""
    status, said = search()
    assert status == 0
    assert "epoch 2/2" in said
    assert (tmp_path / "S" / "report.html").exists()
    genotype = Genotype.from_json(json.loads((tmp_path / "S" / "genotype.json").read_text()))
    assert (len(genotype.blocks), len(genotype.path)) == (1, 1)
    status, said = search()
    assert (status, "S is searched." in said) == (0, True)

    step = GradientSearch._step

    def killed(self, *batches):
        step(self, *batches)
        if self.standing.step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(epoch_records, "write_report", lambda *arguments: None)  # it takes seconds
    with monkeypatch.context() as patch:
        patch.setattr(GradientSearch, "_step", killed)
        assert search(workdir="K", search_save_interval_steps=4)[0] == 130
    assert sorted(path.name for path in (tmp_path / "K" / "checkpoints").iterdir())[-1] == "step_00000004"
    status, said = search(workdir="K", weight_decay=0.1)
    assert (status, "auto_deeplab.weight_decay (was 0.0003, now 0.1)" in said) == (2, True)
    status, said = search(workdir="K", search_save_interval_steps=100)
    assert (status, "Searching in K from step 4 of 6." in said) == (0, True)
    whole, continued = (
        np.load(tmp_path / folder / "checkpoints" / "step_00000006" / "state.npz") for folder in ("S", "K")
    )
    assert {"architecture/alphas", "architecture/betas"} < set(whole.files)
    for name in whole.files:
        np.testing.assert_array_equal(continued[name], whole[name], err_msg=name)


@pytest.mark.usefixtures("compiled_once")
def test_searches_with_several_seeds_have_one_plot(search, tmp_path, monkeypatch):
    monkeypatch.setattr(epoch_records, "write_report", lambda *arguments: None)  # it takes seconds
    status, said = search(num_seeds=2, seed=3)
    assert status == 0
    metrics = {}
    for seed in (3, 4):
        run = tmp_path / "S" / f"seed_{seed}"
        assert read_run(run)["auto_deeplab"]["seed"] == seed
        with open(run / "metrics.csv", encoding="utf-8", newline="") as stream:
            metrics[seed] = [float(row["miou"]) for row in csv.DictReader(stream)]
        assert len(metrics[seed]) == TINY["search_epochs"]
    ends = sorted(values[-1] for values in metrics.values())
    assert f"after 2 searches: mean {sum(ends) / 2:.4f}, {ends[0]:.4f} to {ends[1]:.4f}" in said
    page = (tmp_path / "S" / "report.html").read_text()
    assert [page.count(f"<td>S/seed_{seed}/genotype.json</td>") for seed in (3, 4)] == [1, 1]
    assert len(list((tmp_path / "S" / "report").glob("*.png"))) == 2
    status, said = search(num_seeds=2, seed=3)
    assert (status, said.count("is searched.")) == (0, 2)
    status, said = search(seed=3)
    assert (status, "S holds searches with several seeds; give their --num_seeds" in said) == (2, True)
    with only_process(tmp_path / "S" / "seed_3", "workdir"):
        status, said = search(num_seeds=2, seed=3)
        assert (status, "seed_3 is in use by" in said) == (2, True)
    status, said = search(num_seeds=2, workdir="S/seed_3", seed=3)
    assert (status, "S/seed_3 is the directory of one search; give another --workdir" in said) == (2, True)
