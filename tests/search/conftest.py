"""A feature cache of the small data set, on a narrow backbone."""

import keras
import numpy as np
import pytest

from deeplab_dpc.config import ModelConfig
from deeplab_dpc.models.segmenter import build_segmenter


@pytest.fixture(scope="session")
def backbone():
    """With the statistics of a batch of noise in its batch norms: without, features of random weights would be 0."""
    keras.utils.set_random_seed(0)
    model = build_segmenter(ModelConfig(num_classes=7, depth_multiplier=0.1), training_steps=1)  # batch norm decay 0
    images = np.random.default_rng(0).uniform(0, 255, (4, 65, 81, 3)).astype("float32")
    model.features(images, training=True)
    return model


@pytest.fixture(scope="session")
def cache(shapes, backbone, tmp_path_factory):
    from deeplab_dpc.search.proxy.feature_writer import SplitPlan, cache_features

    plans = {split: SplitPlan.of(shapes, split, alignment=16) for split in ("train", "val")}
    return cache_features(tmp_path_factory.mktemp("caches"), backbone, shapes, plans, seed=0)
