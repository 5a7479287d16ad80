"""A small network whose predictions are spread over its classes, and what is said of it in an export."""

import pathlib

import keras
import numpy as np
import pytest

from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.config import InferenceConfig, ModelConfig, SavedModelOptions
from deeplab_dpc.export.model_info import ModelInfo, describe_model
from deeplab_dpc.export.saved_model import export_saved_model
from deeplab_dpc.models.inference_network import inference_network
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import Segmenter, build_segmenter

NUM_CLASSES = 4


@pytest.fixture(scope="package")
def network() -> Segmenter:
    """Builds a network with random weights; each class is the largest somewhere."""
    keras.utils.set_random_seed(0)
    config = ModelConfig(num_classes=NUM_CLASSES, depth_multiplier=0.1, dense_prediction_cell=load_cell("psp"))
    model = build_segmenter(config)
    kernel = model.logits.semantic.kernel
    rng = np.random.default_rng(0)
    kernel.assign(rng.normal(size=kernel.shape))
    logits = np.asarray(model(rng.uniform(0, 255, size=(1, 65, 97, 3)).astype("float32")))
    model.logits.semantic.bias.assign(-logits.mean(axis=(0, 1, 2)))
    return model


@pytest.fixture(scope="package")
def predictor(network) -> Predictor:
    """Makes the predictor as the commands do: batch norm is folded."""
    config = InferenceConfig()
    return Predictor(inference_network(network, config), config)


@pytest.fixture(scope="package")
def info(network) -> ModelInfo:
    palette = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    return describe_model("abcd", palette, 255, "run, step 7", [network], InferenceConfig(), format="SavedModel")


@pytest.fixture(scope="package")
def saved_model(predictor, info, tmp_path_factory) -> pathlib.Path:
    """A SavedModel for images of any size, with all signatures; its warm-up requests are 33 x 49 pixels."""
    path = tmp_path_factory.mktemp("export") / "model"
    export_saved_model(predictor, path, info, SavedModelOptions(encoded_signature=True), (33, 49))
    return path
