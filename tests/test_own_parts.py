"""Parts of another package, in its own folder, with nothing changed here: a backbone, a sampler and an operation by
entry points, a head and a loss as subclasses of Keras' classes.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from test_contributing import _recipe

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODULE = """
import keras

from deeplab_dpc.layers.conv import ConvBN
from deeplab_dpc.models.backbones.backbone import Backbone, atrous_rates


@keras.saving.register_keras_serializable(package="their_package")
class Plain(Backbone):
    SCOPE = "plain"
    BATCH_NORM_DECAY = 0.99
    BATCH_NORM_EPSILON = 1e-3
    LOW_LEVEL = {}

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        plan = atrous_rates((2, 2, 2, 2, 2), self.output_stride, stride_so_far=1)
        self.assemble(
            [
                ConvBN(4, 3, strides=stride, rate=(rate, rate), name=f"conv{i}", **self.shared_arguments)
                for i, (stride, rate) in enumerate(plan)
            ]
        )
"""
SAMPLER = """
from deeplab_dpc.search.samplers.sampler import Draw, SpaceExhaustedError, first_admitted


class Luck:
    def __init__(self, space):
        self.space = space

    def observe(self, number, cell, score):
        pass

    def draw(self, number, rng, admits):
        cell = first_admitted(lambda attempt: self.space.sample(rng), admits)
        if cell is None:
            raise SpaceExhaustedError("no cell is left")
        return Draw(cell, "luck")


def luck(config, space, multiply_adds):
    return Luck(space)


no_function = 3
"""
ENTRY_POINTS = """
[deeplab_dpc.samplers]
luck = their_sampler:luck
number = their_sampler:no_function

[deeplab_dpc.operations]
strip_pooling = their_strips:StripPooling

[deeplab_dpc.backbones]
plain = their_package:Plain
wrong = their_package:keras
gone = no_such_package:Plain
"""
USE_SAMPLER = """
from deeplab_dpc import SearchSpace, UserError, search_cells

space = SearchSpace(num_branches=2, rates=(1, 6), grids=(1, 2))
count = lambda cell: len(cell.branches)
found = search_cells(space, count, num_candidates=3, sampler="luck")
print([one.draw for one in found])
try:
    search_cells(space, count, num_candidates=3, sampler="number")
except UserError as error:
    print(error)
"""
USE_OPERATION = """
from deeplab_dpc import Cell, SearchSpace, Segmenter, UserError, search_cells

space = SearchSpace(num_branches=2, rates=(1,), grids=(1,), further_operations=("strip_pooling",))
strips = lambda cell: sum(branch["op"] == "strip_pooling" for branch in cell.to_json())
best = search_cells(space, strips, num_candidates=30)[0]
print(best.score, Cell.from_json(best.cell.to_json()).summary(), len(space.operations))
print(Segmenter(num_classes=3, model_variant="mobilenet_v2", dense_prediction_cell=best.cell).count_params() > 0)
for wrong in (("strip_pooling", "strip_pooling"), ("squares",)):
    try:
        SearchSpace(further_operations=wrong)
    except UserError as error:
        print(error)
"""
USE = """
import keras
from deeplab_dpc import Segmenter

model = Segmenter(num_classes=3, model_variant="plain")
model(keras.ops.zeros((1, 33, 33, 3)))
model.save("model.keras")
print(type(keras.models.load_model("model.keras").backbone).__name__)
"""

USE_HEAD = """
import keras
import numpy as np
from deeplab_dpc import Segmenter
from deeplab_dpc.layers import ResizeAlignCorners
from their_head import StripHead, TverskyLoss

rng = np.random.default_rng(0)
pixels, masks = rng.integers(0, 256, (4, 33, 33, 3)).astype("float32"), rng.integers(0, 3, (4, 33, 33))
masks[:, :5] = 255
whole = Segmenter(num_classes=3, depth_multiplier=0.1)
whole.compile("adam", TverskyLoss(255))
whole.fit(pixels, masks, batch_size=2, verbose=0)

images = keras.Input((33, 33, 3))
features, *_ = whole.backbone(keras.layers.Rescaling(2 / 255, -1)(images))
logits = keras.layers.Conv2D(3, 1)(StripHead(8)(features))
model = keras.Model(images, ResizeAlignCorners((33, 33))(logits))
model.compile("adam", TverskyLoss(255, beta=0.6))
before = model.get_weights()
model.fit(pixels, masks, batch_size=2, verbose=0)
print(sum(np.any(a != b) for a, b in zip(before, model.get_weights())) > len(before) / 2)
model.save("their.keras")
np.savez("their.npz", pixels=pixels, masks=masks, logits=model.predict(pixels, verbose=0))
print(TverskyLoss(255)(masks, keras.ops.one_hot(np.where(masks == 255, 0, masks), 3) * 30).numpy())
"""
LOAD_HEAD = """
import keras
import numpy as np
import their_head
from deeplab_dpc import Segmenter  # registers the layers of the backbone
from deeplab_dpc.layers import ResizeAlignCorners

model, kept = keras.models.load_model("their.keras"), np.load("their.npz")
np.testing.assert_allclose(model.predict(kept["pixels"], verbose=0), kept["logits"], rtol=1e-4, atol=1e-5)
print([type(layer).__name__ for layer in model.layers if type(layer).__module__ == "their_head"])
print(type(model.loss).__name__, model.loss.beta)
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A folder as pip leaves one: a module, and metadata with entry points."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "their_package.py").write_text(MODULE)
    (folder / "their_sampler.py").write_text(SAMPLER)
    for name, text in _recipe("An operation of the search space")[0].items():
        module = "their_strips_runtime" if "runtime" in name else "their_strips"
        own = re.sub(r"deeplab_dpc\.(layers|arch)\.operations\.strip_pooling", "their_strips", text)
        (folder / f"{module}.py").write_text(own)
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    section = re.search(r"^## A head and a loss of your own\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)[1]
    classes = re.search(r"^@keras.*?(?=^dataset = )", section, re.MULTILINE | re.DOTALL)[0]
    (folder / "their_head.py").write_text(f"import keras\nfrom keras import ops\n\n{classes}")
    metadata = folder / "their_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def _run(theirs, folder, *command):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(theirs), str(ROOT)])}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, cwd=folder, env=environment
    )


def test_it_is_a_value_of_the_flag_and_a_network_like_any_other(theirs, tmp_path):
    described = _run(theirs, tmp_path, ROOT / "describe.py", "--model_variant=plain", "--num_classes=3")
    assert described.returncode == 0, described.stderr
    assert described.stdout.startswith("plain, 513 x 513, 3 classes")
    helped = _run(theirs, tmp_path, ROOT / "train.py", "--help")
    assert "plain" in helped.stdout
    used = _run(theirs, tmp_path, "-c", USE)
    assert used.stdout.strip().splitlines()[-1:] == ["Plain"], used.stderr


def test_a_sampler_is_a_value_of_the_flag_and_draws(theirs, tmp_path):
    helped = _run(theirs, tmp_path, ROOT / "search.py", "--help")
    assert "luck" in helped.stdout
    used = _run(theirs, tmp_path, "-c", USE_SAMPLER)
    draws, said = used.stdout.strip().splitlines()
    assert draws == "['luck', 'luck', 'luck']"
    assert said == (
        "number of the entry points deeplab_dpc.samplers is their_sampler:no_function, which is not a function."
    )


def test_a_head_and_a_loss_are_trained_saved_and_loaded(theirs, tmp_path):
    used = _run(theirs, tmp_path, "-c", USE_HEAD)
    assert used.returncode == 0, used.stderr
    trained, of_the_truth = used.stdout.strip().splitlines()[-2:]
    assert trained == "True"
    assert float(of_the_truth) == pytest.approx(0, abs=1e-5)
    loaded = _run(theirs, tmp_path, "-c", LOAD_HEAD)
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.strip().splitlines()[-2:] == ["['StripHead']", "TverskyLoss 0.6"]


def test_an_operation_is_in_cells_and_in_the_space_on_request(theirs, tmp_path):
    assert (
        "strip_pooling"
        not in _run(theirs, tmp_path, "-c", "import deeplab_dpc; print(deeplab_dpc.SearchSpace())").stdout
    )
    used = _run(theirs, tmp_path, "-c", USE_OPERATION)
    score, built, twice, unknown = used.stdout.strip().splitlines()
    assert score == "2.0 B>strips 0>strips 4"
    assert built == "True"
    assert twice.startswith("`further_operations` must be a tuple of distinct names")
    assert unknown == (
        "No installed package has an operation 'squares' for the search space; in the entry points "
        "deeplab_dpc.operations there are strip_pooling."
    )


def test_the_contract_of_operations_runs_over_that_of_another_package(theirs, tmp_path):
    test = ROOT / "tests" / "search" / "test_operations.py"
    ran = _run(theirs, tmp_path, "-m", "pytest", "-v", "-p", "no:cacheprovider", test)
    assert ran.returncode == 0, ran.stdout
    assert len([line for line in ran.stdout.splitlines() if "strips" in line and " PASSED " in line]) >= 7


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wrong", "wrong of the entry points deeplab_dpc.backbones is their_package:keras, which is not a subclass of"),
        ("gone", "is no_such_package:Plain, which cannot be imported: No module named 'no_such_package'."),
        ("plan", "--model_variant=plan is not known; choose one of "),
    ],
)
def test_what_cannot_be_used_gets_a_sentence(theirs, tmp_path, name, said):
    described = _run(theirs, tmp_path, ROOT / "describe.py", f"--model_variant={name}", "--num_classes=3")
    assert described.returncode == 2
    assert said in described.stderr
    assert "Traceback" not in described.stderr
