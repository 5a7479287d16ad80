import resource

import numpy as np
import pytest
import tensorflow as tf

from deeplab_dpc.data.example import decode_example, parse_example
from deeplab_dpc.datasets import shapes
from deeplab_dpc.datasets.shapes import build_shapes
from deeplab_dpc.errors import UserError


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("shapes")


@pytest.fixture(scope="module")
def dataset(data_dir):
    return build_shapes(data_dir, num_train=30, num_val=4, image_size=(65, 97), seed=1)


def examples(dataset, split):
    records = tf.data.TFRecordDataset([str(path) for path in dataset.shards(split)])
    return [decode_example(parse_example(record)) for record in records]


def test_splits_sizes_and_classes(dataset):
    assert dataset.info.splits == {"train": 30, "val": 4}
    assert dataset.info.max_size == {"train": (65, 97), "val": (65, 97)}
    assert dataset.info.num_classes == len(dataset.info.palette) == 7


def test_every_class_is_drawn_and_nothing_else(dataset):
    labels = np.stack([example["label"].numpy() for example in examples(dataset, "train")])
    assert labels.shape == (30, 65, 97, 1)
    assert np.unique(labels).tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_image_is_the_drawn_scene(dataset):
    image, label = shapes.draw_scene(np.random.default_rng([1, 1, 2]), 65, 97)
    example = examples(dataset, "val")[2]
    assert example["filename"].numpy() == b"val_00002.jpg"
    np.testing.assert_array_equal(example["label"].numpy()[..., 0], label)
    difference = np.abs(example["image"].numpy().astype(int) - image)
    assert difference.mean() < 5  # JPEG


def test_same_seed_draws_the_same_records(dataset, tmp_path):
    again = build_shapes(tmp_path / "again", num_train=30, num_val=4, image_size=(65, 97), seed=1)
    assert again.fingerprint("train") == dataset.fingerprint("train")
    other = build_shapes(tmp_path / "other", num_train=30, num_val=4, image_size=(65, 97), seed=2)
    assert other.fingerprint("train") != dataset.fingerprint("train")


def test_other_settings_are_refused_in_the_same_place(dataset, data_dir):
    assert build_shapes(data_dir, num_train=30, num_val=4, image_size=(65, 97), seed=1) == dataset
    with pytest.raises(UserError, match="made from other inputs"):
        build_shapes(data_dir, num_train=31, num_val=4, image_size=(65, 97), seed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_val": 0}, "must be at least 1, got 240 and 0"),
        ({"image_size": (32, 65)}, r"must be at least 33 on both sides, got \(32, 65\)"),
        ({"seed": -1}, "--seed must be at least 0, got -1"),
    ],
)
def test_bad_settings_are_refused(tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        build_shapes(tmp_path, **options)


def test_full_disk_is_an_os_error_and_leaves_nothing(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"shapes/1\.0\.0 cannot be written: File too large"):
            build_shapes(tmp_path, num_train=10, num_val=1, image_size=(65, 65))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
