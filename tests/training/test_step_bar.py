"""What a terminal shows of a training, and that a log has no bar."""

import csv
import io
import re

import numpy as np
import pytest
from rich.console import Console
from tiny_network import tiny_network

from deeplab_dpc import console as console_module
from deeplab_dpc.config import DataConfig, TrainConfig
from deeplab_dpc.evaluation.validation import Validation
from deeplab_dpc.training import recorder, trainer
from deeplab_dpc.training.hooks import Hooks

CONFIG = TrainConfig(
    training_number_of_steps=12, train_batch_size=2, save_interval_steps=12, log_steps=4, eval_interval_steps=6, seed=3
)
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")  # of cursor and colours


@pytest.fixture
def console_of(monkeypatch):
    """Makes all that a training shows go to a console of one's own, whose text is returned."""

    def install(terminal):
        console = Console(
            file=io.StringIO(), width=110, force_terminal=terminal, color_system=None, legacy_windows=False,
            highlight=False, markup=False, soft_wrap=True,
        )  # fmt: skip
        for module in (console_module, recorder, trainer):
            monkeypatch.setattr(module, "console", console)
        return console.file

    return install


def _validate(arrays):
    return Validation({"miou": 0.25}, {}, np.zeros((1, 4, 4, 3), "uint8"))


def _train(workdir, shapes):
    data = DataConfig(data_dir="", train_crop_size=(33, 33))
    trainer.train(workdir, tiny_network(num_classes=7), data, CONFIG, shapes, Hooks(_validate))


def test_terminal_has_a_bar_and_the_lines_of_evaluations_whole(console_of, shapes, tmp_path, monkeypatch):
    monkeypatch.delenv("TERM", raising=False)
    shown = console_of(terminal=True)
    _train(tmp_path / "run", shapes)
    lines = [line.strip() for line in re.split("[\r\n]+", CONTROL.sub("", shown.getvalue()))]
    assert [line for line in lines if "mIOU" in line] == [
        "step 6: mIOU 0.2500 on val, the best so far",
        "step 12: mIOU 0.2500 on val",
    ]
    bars = [line for line in lines if line.startswith("Training ") and "loss" in line]
    row = list(csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines()))[-1]
    epoch, loss = 24 / shapes.info.splits["train"], float(row["loss"])
    times = r"0:\d\d:\d\d 0:00:00"  # that passed, and that is left
    assert re.fullmatch(rf"Training \S+ 12/12 {times} epoch {epoch:.1f}  loss {loss:.4f}  rate \S+", bars[-1]), bars[-1]
    assert not any(line.startswith("step ") and "s/step" in line for line in lines)


def test_log_has_lines_and_no_bar(console_of, shapes, tmp_path):
    shown = console_of(terminal=False)
    _train(tmp_path / "run", shapes)
    lines = shown.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines if "s/step" in line] == ["step 4/12", "step 8/12", "step 12/12"]
    assert all("left 0:00:" in line for line in lines if "s/step" in line)
    assert not any(line.startswith("Training ") and "loss" in line for line in lines)
    assert "\x1b" not in shown.getvalue()
    assert "" not in lines
