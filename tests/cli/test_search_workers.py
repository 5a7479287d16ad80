"""search.py --workers=2 as a user starts it, and what its workers are started with."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections import Counter

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from tiny_cache import write_cache
from tiny_network import GENOTYPE

from deeplab_dpc.cli.main import parse
from deeplab_dpc.cli.search_workers import worker_command
from deeplab_dpc.files import write_json

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 300.0  # seconds, for machines under load
SMALL = ["--workers=2", "--num_candidates=3", "--num_branches=1", "--warm_starts=conv1x1", "--lookahead=3"]
QUICK = ["--proxy_steps=2", "--proxy_batch_size=2", "--rerank_top_k=0"]


@pytest.fixture
def folder(tmp_path):
    write_cache(tmp_path / "cache")
    return tmp_path


def _start(folder, *flags):
    command = [sys.executable, str(ROOT / "search.py"), "--feature_cache=cache", "--workdir=S", *SMALL, *QUICK, *flags]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _records(folder):
    journal = folder / "S" / "study.journal"
    lines = journal.read_bytes().splitlines(keepends=True) if journal.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def _workers_at_work(folder):
    return [record["user_attrs"]["worker"]["pid"] for record in _records(folder) if record["op_code"] == 4]


def test_search_of_two_workers_ends_with_every_cell_once_though_one_is_killed(folder):
    running = _start(folder)
    deadline = time.monotonic() + PATIENCE
    while not (at_work := _workers_at_work(folder)):
        assert running.poll() is None, running.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(at_work[0], signal.SIGKILL)
    said, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, said
    said = " ".join(said.split())
    assert "died: killed by SIGKILL; it is started again" in said
    assert "Written: S/report.html, results.json, verdict.json, cells/best.json, best.png" in said
    assert said.endswith("proxy scores can put cells in another order than real training.")
    assert "Given up" not in said
    rows = json.loads((folder / "S" / "results.json").read_text())
    assert Counter(row["name"] for row in rows) == Counter(["conv1x1", "cell 0", "cell 1", "cell 2"])
    results = Counter(
        record["trial_id"] for record in _records(folder) if record["op_code"] == 6 and record["state"] == 1
    )
    assert sorted(results.values()) == [1, 1, 1, 1]
    assert not (folder / "S" / "workers" / "flags").exists()


def _contest_tasks(folder):
    """Returns (cell, seed, steps of the rounds) of each complete training of the contest."""
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "S" / "study.journal")))
    study = optuna.load_study(study_name="search/contest", storage=storage)
    done = [trial for trial in study.get_trials(deepcopy=False) if trial.state == TrialState.COMPLETE]
    return [(one.user_attrs["cell_digest"], one.user_attrs["seed"], tuple(one.user_attrs["ladder"])) for one in done]


def test_contest_of_two_workers_trains_every_finalist_once_for_each_seed_and_budget_though_one_is_killed(
    shapes, tmp_path
):
    """Trains a tiny network end to end; the same command again trains nothing more."""
    write_json(tmp_path / "tiny.json", GENOTYPE.to_json())
    network = ["--model_variant=auto_deeplab", "--genotype_json=tiny.json", "--nas_stem_output_num_conv_filters=2"]
    data = [f"--data_dir={shapes.path}", "--train_crop_size=33,33"]
    contest = [
        "--rerank_top_k=1",
        "--rerank_steps=4",
        "--rerank_batch_size=2",
        "--contest_rounds=2",
        "--contest_seeds=2",
    ]
    search = ["--num_candidates=1", "--num_branches=1", "--warm_starts=conv1x1", "--proxy_steps=2", "--workers=2"]
    command = [sys.executable, str(ROOT / "search.py"), "--workdir=S", *data, *network, *contest, *search]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    running = subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes)
    deadline = time.monotonic() + PATIENCE
    while not list(tmp_path.glob("S/contest/*/seed_*/config.json")):
        assert running.poll() is None, running.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(_workers_at_work(tmp_path)[-1], signal.SIGKILL)
    said, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, said
    assert "died: killed by SIGKILL; it is started again" in " ".join(said.split())
    trained = _contest_tasks(tmp_path)
    cells = {digest for digest, _, _ in trained}
    assert len(cells) == 2
    expected = {(digest, *task) for digest in cells for task in ((0, (2,)), (0, (2, 4)), (1, (2, 4)))}
    assert Counter(trained) == Counter(expected)
    verdict = (tmp_path / "S" / "verdict.json").read_text()
    again = subprocess.run(command, cwd=tmp_path, env=environment, timeout=PATIENCE, check=False, **pipes)
    assert again.returncode == 0, again.stdout
    assert _contest_tasks(tmp_path) == trained
    assert (tmp_path / "S" / "verdict.json").read_text() == verdict


def test_wrong_flag_is_said_once_and_in_one_sentence(folder):
    said, _ = (running := _start(folder, "--label_weights=1,2,3")).communicate(timeout=PATIENCE)
    assert running.returncode == 2
    assert said.startswith("search: --label_weights")
    assert len(said.splitlines()) == 1


def _parsed(*argv):
    return parse("search", list(argv))


def _given(flags):
    left_out = ("workers", "storage", "retry_given_up", "flagfile")
    return {name: one.value for name, one in flags.given.items() if name not in left_out}


def test_workers_are_given_what_the_user_gave(tmp_path):
    flagfile = tmp_path / "own.flags"
    flagfile.write_text("--num_candidates=5\n--cell_rates=1\n--cell_rates=3\n--norestore_moving_averages\n--seed=0\n")
    given = _parsed(
        *("--workers=3", "--warm_starts=", "--train_crop_size=65,81", f"--flagfile={flagfile}", "--num_candidates=7"),
        *("--workdir=a b", "--study_name=\u00e4 b", "--max_madds=9", "--retry_given_up"),
    )
    program, module, name, command, *flags = worker_command(given)
    assert (program, module, name, command) == (sys.executable, "-m", "deeplab_dpc.cli.main", "search")
    assert sorted(flags) == sorted(
        [
            *("--num_candidates=7", "--cell_rates=1", "--cell_rates=3", "--norestore_moving_averages", "--seed=0"),
            *("--warm_starts=", "--train_crop_size=65,81", "--workdir=a b", "--study_name=\u00e4 b", "--max_madds=9"),
            "--workers=1",
        ]
    )
    again = _parsed(*flags)
    assert _given(again) == _given(given)
    assert not again.service["retry_given_up"]


def test_command_of_a_worker_holds_no_password():
    given = _parsed("--workers=2", "--workdir=S", "--storage=postgresql://u:secret@host/db?password=secret")
    assert not any("secret" in argument for argument in worker_command(given))
