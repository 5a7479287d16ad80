"""A feature cache of the small data set, on a narrow backbone."""

import keras
import pytest

from deeplab_dpc.config import ModelConfig
from deeplab_dpc.models.segmenter import build_segmenter


@pytest.fixture(scope="session")
def backbone():
    keras.utils.set_random_seed(0)
    return build_segmenter(ModelConfig(num_classes=7, depth_multiplier=0.1))


@pytest.fixture(scope="session")
def cache(shapes, backbone, tmp_path_factory):
    from deeplab_dpc.search.feature_writer import cache_features

    return cache_features(tmp_path_factory.mktemp("caches"), backbone, shapes, ("train", "val"), {}, seed=0)
