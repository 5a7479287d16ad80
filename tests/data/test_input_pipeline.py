import dataclasses
import itertools
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.pipeline import evaluation_dataset, iterate, training_dataset
from deeplab_dpc.datasets.folder import build_folder
from deeplab_dpc.errors import UserError

NUM_TRAIN = 5


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    """Images of one colour, 10 * index, so that a batch tells which records it holds."""
    root = tmp_path_factory.mktemp("colors")
    for split, count in (("train", NUM_TRAIN), ("val", 2)):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (12, 8 + i), (10 * i,) * 3).save(root / "images" / split / f"{i}.png")
            Image.new("L", (12, 8 + i), i).save(root / "labels" / split / f"{i}.png")
    (root / "classes.json").write_text(json.dumps([str(i) for i in range(NUM_TRAIN)]))
    return build_folder(root / "images", root / "labels", root / "classes.json", root / "data")


def batches(dataset, count, **options):
    options = {"crop_size": (9, 9), "batch_size": 3, "seed": 1} | options
    stream = training_dataset(dataset, "train", **options)
    return [(image.numpy(), label.numpy()) for image, label in itertools.islice(stream, count)]


def assert_same(left, right):
    for (left_image, left_label), (right_image, right_label) in zip(left, right, strict=True):
        np.testing.assert_array_equal(left_image, right_image)
        np.testing.assert_array_equal(left_label, right_label)


def record_order(stream):
    """Record ids in the order of the stream; augmentation keeps the ids of labels at the top left or top right."""
    return [int(min(label[0, 0], label[0, -1])) for _, labels in stream for label in labels]


def test_batches_have_static_shapes_and_the_documented_types(dataset):
    image, label = training_dataset(dataset, "train", crop_size=(9, 7), batch_size=3, seed=1).element_spec
    assert image == tf.TensorSpec([3, 9, 7, 3], tf.float32)
    assert label == tf.TensorSpec([3, 9, 7], tf.int32)


def test_every_epoch_has_every_record_once_in_another_order(dataset):
    order = record_order(batches(dataset, 10, min_scale_factor=1.0, max_scale_factor=1.0))
    epochs = [order[i : i + NUM_TRAIN] for i in range(0, 30, NUM_TRAIN)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 3


def test_batch_may_be_larger_than_the_split(dataset):
    ((image, _),) = batches(dataset, 1, batch_size=12)
    assert image.shape == (12, 9, 9, 3)


def test_image_and_label_stay_together(dataset):
    for images, labels in batches(dataset, 8):
        inside = labels != 255
        np.testing.assert_allclose(images[inside], np.repeat(10.0 * labels[inside][:, None], 3, axis=1), atol=1e-3)
        np.testing.assert_array_equal(images[~inside], 127.5)


def test_same_seed_gives_the_same_batches(dataset):
    assert_same(batches(dataset, 6), batches(dataset, 6))
    first, other = batches(dataset, 4), batches(dataset, 4, seed=2)
    assert record_order(first) != record_order(other)


def test_iterating_again_gives_the_same_batches(dataset):
    stream = training_dataset(dataset, "train", crop_size=(9, 9), batch_size=3, seed=1).take(4)
    assert_same(list(stream.as_numpy_iterator()), list(stream.as_numpy_iterator()))


@pytest.mark.parametrize("step", [1, 3, 5, 7])
def test_start_step_continues_the_uninterrupted_stream(dataset, step):
    assert_same(batches(dataset, 9)[step:], batches(dataset, 9 - step, start_step=step))


def test_evaluation_reads_every_example_as_it_is_in_order(dataset):
    examples = list(evaluation_dataset(dataset, "train").as_numpy_iterator())
    assert [example["filename"] for example in examples] == [b"0.png", b"1.png", b"2.png", b"3.png", b"4.png"]
    for i, example in enumerate(examples):
        assert example["image"].dtype == np.uint8
        np.testing.assert_array_equal(example["image"], np.full((8 + i, 12, 3), 10 * i))
        assert example["label"].dtype == np.int32
        np.testing.assert_array_equal(example["label"], np.full((8 + i, 12), i))


def test_evaluation_crops_are_padded_and_repeatable(dataset):
    def crops(seed):
        return list(evaluation_dataset(dataset, "val", crop_size=(9, 10), seed=seed).as_numpy_iterator())

    first, second = crops(3), crops(3)
    for left, right in zip(first, second, strict=True):
        np.testing.assert_array_equal(left["image"], right["image"])
    assert first[0]["image"].dtype == np.float32
    assert first[0]["label"].shape == (9, 10)
    np.testing.assert_array_equal(first[0]["label"], [[0] * 10] * 8 + [[255] * 10])
    np.testing.assert_array_equal(first[0]["image"][8], 127.5)


def damaged_copy(dataset: Dataset, tmp_path: pathlib.Path, damage) -> Dataset:
    for shard in dataset.shards("val"):
        (tmp_path / shard.name).write_bytes(shard.read_bytes())
    copy = dataclasses.replace(dataset, path=tmp_path)
    damage(copy.shards("val")[0])
    return copy


def read_val(dataset):
    return list(iterate(evaluation_dataset(dataset, "val"), "The split val", dataset.shards("val")))


def test_truncated_record_file_is_named(dataset, tmp_path):
    copy = damaged_copy(dataset, tmp_path, lambda shard: shard.write_bytes(shard.read_bytes()[:-9]))
    with pytest.raises(UserError, match=r"The split val cannot be read: record 1 of .*val-00000.* is damaged \(trunc"):
        read_val(copy)


def test_undecodable_image_is_named(dataset, tmp_path):
    def damage(shard):
        records = [record.numpy() for record in tf.data.TFRecordDataset(str(shard))]
        example = tf.train.Example.FromString(records[1])
        encoded = example.features.feature["image/encoded"].bytes_list
        encoded.value[0] = encoded.value[0][:40]
        with tf.io.TFRecordWriter(str(shard)) as writer:
            writer.write(records[0])
            writer.write(example.SerializeToString())

    copy = damaged_copy(dataset, tmp_path, damage)
    with pytest.raises(UserError, match=r"record 1 of .*val-00000.* \(image 1\.png\) is damaged \("):
        read_val(copy)


def test_damage_without_known_files_is_described(dataset, tmp_path):
    copy = damaged_copy(dataset, tmp_path, lambda shard: shard.write_bytes(shard.read_bytes()[:-9]))
    with pytest.raises(UserError, match=r"^My data cannot be read \(truncated record"):
        list(iterate(evaluation_dataset(copy, "val"), "My data"))


def test_sizes_that_differ_are_named(dataset, tmp_path):
    def damage(shard):
        records = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(shard))]
        key = "image/segmentation/class/encoded"
        records[0].features.feature[key].CopyFrom(records[1].features.feature[key])
        with tf.io.TFRecordWriter(str(shard)) as writer:
            writer.write(records[0].SerializeToString())

    copy = damaged_copy(dataset, tmp_path, damage)
    with pytest.raises(UserError, match=r"record 0 of .* \(image 0\.png\) is damaged \(.*differ in size.*8 12.*9 12"):
        read_val(copy)
