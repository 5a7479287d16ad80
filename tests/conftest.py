"""Fixtures that all tests share. Tests are small: tiny images, few steps, the narrowest backbone."""

import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

# Whole commands, several processes, both backends, large networks, the browser: marked `long`, as are single tests of
# other files. `make test` leaves them out, `make test-long` runs them, and the continuous integration runs both.
LONG = (
    "test_distribution",
    "test_commands",
    "test_printed_commands",
    "test_workers",
    "test_jax_backend",
    "test_recipes",
    "test_backends",
    "test_end_to_end",
    "test_search_auto_deeplab",
    "test_search_workers",
    "test_search_run",
    "test_search_fidelity",
    "test_fit_run",
    "test_auto_deeplab",
    "test_proxy_on_jax",
    "test_contributing",
    "test_examples",
    "test_trackers",
    "test_from_python",
    "test_segmenter",
    "test_notebooks",
    "test_own_parts",
    "test_page_in_browser",
    "test_contest_workers",
    "test_batch_norm_sync",
    "test_adapted_backbone",
    "test_trainer",
    "test_onnx",
    "test_export_checkpoint",
    "test_finalist_training",
    "test_split_parts",
    "test_time_limit",
    "test_patience",
    "test_cpu_memory",
    "test_serving_docs",
)
# Files that take longest come first, so that processes which share the tests by file end together.
FIRST = (*LONG, "test_reference_models", "test_training_model")
ROOT = pathlib.Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the files of LONG, sorts the files by FIRST, and leaves the order otherwise."""
    places = {name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(FIRST)))
    for item in items:
        if item.path.stem in LONG:
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """Reference values and real data kept beside the project; tests that need them skip where they are absent."""
    folder = ROOT.parent / "shared"
    if not (folder / "reference").is_dir():
        pytest.skip("the reference values and real data beside the project are absent")
    return folder


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def write_tf1_checkpoint():
    """Writes arrays by name as a TensorFlow 1 checkpoint; returns its prefix."""
    import tensorflow as tf

    def write(prefix: pathlib.Path, arrays: dict) -> str:
        tf.raw_ops.SaveV2(
            prefix=str(prefix),
            tensor_names=list(arrays),
            shape_and_slices=[""] * len(arrays),
            tensors=[tf.constant(array) for array in arrays.values()],
        )
        return str(prefix)

    return write


@pytest.fixture
def host(monkeypatch, tmp_path):
    """A server of this machine in place of the host of the published checkpoints, with a cache of its own."""
    from published_host import published_host

    with published_host() as state:
        monkeypatch.setenv("DEEPLAB_DPC_MIRROR", state.url)
        monkeypatch.setenv("DEEPLAB_DPC_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("no_proxy", "*")
        yield state


@pytest.fixture
def no_curves(monkeypatch):
    """Leaves the curves of trainings empty: to draw them takes longer than a few steps of a small network."""
    from matplotlib.figure import Figure

    from deeplab_dpc.training import curves

    monkeypatch.setattr(curves, "draw_curves", lambda rows, validations: Figure())


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    """A small data set of drawn scenes: 12 train and 5 val images of 65 x 81 pixels."""
    from deeplab_dpc.datasets.shapes import build_shapes

    return build_shapes(tmp_path_factory.mktemp("shapes"), num_train=12, num_val=5, image_size=(65, 81))
