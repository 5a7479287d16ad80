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
from deeplab_dpc.search.samplers.factory import make_strategy
from deeplab_dpc.search.scored import ProxyScore

space = SearchSpace(num_branches=3)
strategy = make_strategy(SearchConfig(sampler="local"), space, lambda cell: 0)
first = strategy.draw(0, random.Random(0), lambda cell: True)
strategy.observe(0, first.cell, ProxyScore(miou=0.5, loss=1.0, seconds=1.0, steps=9))
second = strategy.draw(1, random.Random(1), lambda cell: cell.digest() != first.cell.digest())
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


OPERATION = """
import keras
import numpy as np
from built_network import BuiltNetwork
from keras import ops
from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.cell_cost import cell_cost
from deeplab_dpc.arch.drawing import draw_cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.search.cell_network import CellNetwork
from deeplab_dpc.search.cell_weights import InitialWeights, initial_statistics
from deeplab_dpc.search.wiring import Capacity, wire

cell = Cell.from_json([
    {"op": "linear_conv", "input": -1},
    {"op": "conv", "kernel": 3, "rate": 3, "input": 0},
    {"op": "linear_conv", "input": 1},
])
assert Cell.from_json(cell.to_json()) == cell and cell in SearchSpace(num_branches=3)
network = CellNetwork(12, 3, Capacity(3, 4), filters=8, dropout=0.0)
weights, statistics = InitialWeights(network, seed=0).of(cell), initial_statistics(network)
features = np.random.default_rng(0).normal(size=(2, 5, 7, 12)).astype("float32")
tensors = lambda values: keras.tree.map_structure(ops.convert_to_tensor, values)
wiring = tensors(wire(cell, network.capacity, (5, 7), output_stride=16))
logits, _ = network(tensors(weights), wiring, ops.convert_to_tensor(features), tensors(statistics))
built = BuiltNetwork(cell, 3, 8, 0.9, None)
built.build(features.shape)
built.assign(weights)
np.testing.assert_allclose(np.asarray(logits), np.asarray(built(features)), rtol=1e-4, atol=1e-5)
relu = Cell.from_json([{"op": "conv", "kernel": 1, "input": -1}, *cell.to_json()[1:]])
assert cell_cost(cell, 5, 7, 12) == cell_cost(relu, 5, 7, 12)
print(cell.summary())
"""


def test_operation(applied):
    run = applied("An operation of the search space")
    assert run("-c", OPERATION).splitlines()[-1] == "B>linear 0>3x3@3x3 1>linear"


def test_table_of_operations_names_every_file_that_tells_them_apart():
    kinds = re.compile(r"\b(?:AtrousConv|PyramidPooling|kind_of)\b")
    told = {
        path
        for path in PACKAGE.rglob("*.py")
        if PACKAGE / "api" not in path.parents  # whose examples name operations, and whose code does not
        and kinds.search(path.read_text(encoding="utf-8"))
    }
    files = {f"deeplab_dpc/{path.relative_to(PACKAGE).as_posix()}" for path in told}
    section = TEXT.partition("## An operation of the search space")[2].partition("```")[0]
    named = set(re.findall(r"`(deeplab_dpc/\S+\.py)`", section))
    assert files <= named
    assert all((PACKAGE.parent / name).is_file() for name in named)
