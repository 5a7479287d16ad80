"""The recipes of CONTRIBUTING.md, applied to a copy of the package and used there."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import deeplab_dpc

ROOT = pathlib.Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PACKAGE = pathlib.Path(deeplab_dpc.__file__).parent


def _recipe(title):
    """The blocks of a recipe: the new files by name, and (file, old text, new text) of each change."""
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)[1]
    files = dict(re.findall(r"^```python\n# (\S+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    changes = []
    for diff in re.findall(r"^```diff\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
            name, _, hunks = part.partition("\n")
            for hunk in re.split(r"^\.\.\.\n", hunks, flags=re.MULTILINE):
                lines = hunk.splitlines(keepends=True)
                old = "".join(line[1:] for line in lines if line[0] in " -")
                changes.append((name, old, "".join(line[1:] for line in lines if line[0] in " +")))
    return files, changes


@pytest.fixture
def applied(tmp_path):
    """Applies a recipe to a copy of the package; returns what runs Python there."""

    def apply(title):
        shutil.copytree(PACKAGE, tmp_path / "deeplab_dpc", ignore=shutil.ignore_patterns("__pycache__"))
        files, changes = _recipe(title)
        assert changes
        for name, old, new in changes:
            text = (tmp_path / name).read_text(encoding="utf-8")
            assert text.count(old) == 1, f"{name} must have these lines once:\n{old}"
            (tmp_path / name).write_text(text.replace(old, new), encoding="utf-8")
        for name, text in files.items():
            assert not (tmp_path / name).exists()
            (tmp_path / name).write_text(text, encoding="utf-8")

        def run(*arguments):
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "tests" / "search")])}
            ended = subprocess.run(
                [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert ended.returncode == 0, ended.stderr
            return ended.stdout

        return run

    return apply


def _command(*argv):
    return "-m", "deeplab_dpc.cli.main", *argv


def test_backbone(applied):
    run = applied("A backbone")
    assert "plain," in run(*_command("describe", "--help"))
    shown = run(*_command("describe", "--model_variant=plain", "--output_stride=8", "--num_classes=3", "--json"))
    backbone = json.loads(shown)["parts"][0]
    assert (backbone["name"], backbone["output_shape"]) == ("plain", [65, 65, 256])  # 513 pixels at stride 8


SAMPLER = """
import random
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.config import SearchConfig
from deeplab_dpc.search.samplers.sampler import make_sampler
from deeplab_dpc.search.scored import ProxyScore

space = SearchSpace(num_branches=3)
sampler = make_sampler(SearchConfig(sampler="local"), space, lambda cell: 0)
first = sampler.draw(0, random.Random(0), lambda cell: True)
sampler.observe(0, first.cell, ProxyScore(miou=0.5, loss=1.0, seconds=1.0, steps=9))
second = sampler.draw(1, random.Random(1), lambda cell: cell.digest() != first.cell.digest())
changed = sum(a != b for a, b in zip(space.encode(first.cell), space.encode(second.cell)))
print(first.how, second.how, changed)
"""


def test_sampler(applied):
    run = applied("A sampler")
    assert "--sampler=paper|uniform|evolution|tpe|nsga2|exhaustive|local" in run(*_command("search", "--help"))
    assert run("-c", SAMPLER) == "uniform neighbour 1\n"


def test_data_set(applied, tmp_path):
    run = applied("A data set")
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind, shape, limit in (("images", (20, 30, 3), 256), ("masks", (20, 30), 2)):
            (tmp_path / "raw" / kind / split).mkdir(parents=True)
            pixels = rng.integers(0, limit, shape).astype("uint8")
            Image.fromarray(pixels).save(tmp_path / "raw" / kind / split / "a.png")
    assert "build-floods" in run(*_command("--help"))
    shown = run(*_command("build-floods", "--floods_root=raw", "--data_dir=data"))
    assert "1 train, 1 val; 2 classes" in shown


def test_operation(applied, tmp_path):
    title = "An operation of the search space"
    files, changes = _recipe(title)
    assert len(files) == 2  # its own modules: what it is, and what computes it
    assert len({name for name, _, _ in changes}) == 2
    run = applied(title)
    (tmp_path / "strips.json").write_text('[{"op": "strip_pooling", "input": -1}]', encoding="utf-8")
    shown = run(*_command("describe", "--dense_prediction_cell_json=strips.json", "--num_classes=3"))
    assert re.search(r"branch0 +33 x 33 x 256 +81,920 ", shown)  # 320 channels to 256
    assert run("-c", "from deeplab_dpc.arch import StripPooling; print(StripPooling())") == "strip pooling\n"
    shown = run("-m", "pytest", "-v", "-p", "no:cacheprovider", str(ROOT / "tests" / "search" / "test_operations.py"))
    passed = [_test_and_values(line) for line in shown.splitlines() if " PASSED " in line]
    tests_of_strips, tests_of_1x1 = ([name for name, values in passed if key in values] for key in ("strips", "1x1"))
    assert tests_of_strips == tests_of_1x1
    assert len(set(tests_of_strips)) >= 7


def _test_and_values(line):
    """The name of a test and the values of its parameters, of a line of pytest's output."""
    name, _, values = line.partition(" ")[0].rpartition("::")[2].rstrip("]").partition("[")
    return name, values.split("-")
