"""The baseline of benchmarks/proxy.py computes what the project's network does."""

import keras
import numpy as np
import pytest
from plain_proxy import ProjectNetwork, plain_network

from deeplab_dpc.arch.cell import BACKBONE, Branch, Cell
from deeplab_dpc.arch.operations import AtrousConv, Conv1x1, PyramidPooling
from deeplab_dpc.config import ModelConfig
from deeplab_dpc.training.losses import SegmentationLoss

CELL = Cell((Branch(BACKBONE, AtrousConv((1, 3))), Branch(0, PyramidPooling((1, 4))), Branch(BACKBONE, Conv1x1())))
# In the order of the project's weights: a kernel (and bias), then its batch norm.
LAYERS = ["branch0_depthwise", "branch0_pointwise", "branch1", "branch2", "concat_projection"]
FEATURES, LABELS, CLASSES, STEPS = (9, 10, 4), (129, 145), 3, 40


def test_plain_and_project_networks_have_the_same_loss():
    rng = np.random.default_rng(0)
    plain = plain_network(CELL, FEATURES, LABELS, CLASSES, STEPS)
    plain.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255))
    config = ModelConfig(num_classes=CLASSES, dense_prediction_cell=CELL)
    project = ProjectNetwork(config, STEPS, SegmentationLoss(255))
    project.build((None, *FEATURES))
    project.compile()
    own = [
        variable for name in LAYERS for layer in (name, f"{name}_norm") for variable in plain.get_layer(layer).weights
    ]
    own += plain.get_layer("semantic").weights
    others = {variable.path: variable for variable in project.weights if "seed" not in variable.path}
    assert len(own) == len(others)
    for variable, (path, other) in zip(own, _in_order(others), strict=True):
        value = rng.uniform(0.5, 1.5, variable.shape).astype("float32") - ("kernel" in path)
        variable.assign(value)
        other.assign(value)

    features = rng.normal(size=(2, *FEATURES)).astype("float16")
    labels = rng.integers(0, CLASSES, (2, *LABELS)).astype("uint8")
    labels[:, :40] = 255
    expected = float(project.test_on_batch(features, labels))
    assert float(plain.test_on_batch(features.astype("float32"), labels)) == pytest.approx(expected, rel=1e-5)


def _in_order(variables):
    """Layer by layer as LAYERS has them; trainable ones first within batch norm, as Keras' own layer has them."""
    order = ["gamma", "beta", "moving_mean", "moving_variance"]
    names = ["branch0_depthwise", "branch0_pointwise", "branch1/", "branch2/", "concat_projection", "semantic"]
    for name in names:
        own = {path: variable for path, variable in variables.items() if name in path}
        yield from sorted(own.items(), key=lambda pair: [*["kernel", "bias"], *order].index(_last(pair[0])))


def _last(path):
    return path.rsplit("/", 1)[-1].removeprefix("depthwise_")
