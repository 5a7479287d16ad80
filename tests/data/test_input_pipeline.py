"""Batches from records: order, resumption, caches, sharing; evaluation as it is; damage named."""

import dataclasses
import itertools
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_dpc.data import decoded_cache, pipeline
from deeplab_dpc.data.dataset_info import Dataset, DatasetInfo, pascal_palette
from deeplab_dpc.data.pipeline import Shard, evaluation_dataset, iterate, training_dataset
from deeplab_dpc.data.preprocess import Augmentation
from deeplab_dpc.data.record_order import record_names
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


def training(dataset, crop_size=(9, 9), scale=(0.5, 2.0), **options):
    augmentation = Augmentation(crop_size, *scale, scale_factor_step_size=0.25, flip_probability=0.5)
    return training_dataset(dataset, "train", augmentation, **({"batch_size": 3, "seed": 1} | options))


def batches(dataset, count, **options):
    stream = training(dataset, **options)
    return [(image.numpy(), label.numpy()) for image, label in itertools.islice(stream, count)]


def assert_same(left, right):
    for (left_image, left_label), (right_image, right_label) in zip(left, right, strict=True):
        np.testing.assert_array_equal(left_image, right_image)
        np.testing.assert_array_equal(left_label, right_label)


def record_order(stream):
    """Record ids in the order of the stream; augmentation keeps the ids of labels at the top left or top right."""
    return [int(min(label[0, 0], label[0, -1])) for _, labels in stream for label in labels]


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_batches_have_static_shapes_and_the_documented_types(dataset, cache):
    image, label = training(dataset, crop_size=(9, 7), cache=cache).element_spec
    assert image == tf.TensorSpec([3, 9, 7, 3], tf.float32)
    assert label == tf.TensorSpec([3, 9, 7], tf.int32)


def test_every_epoch_has_every_record_once_in_another_order(dataset):
    order = record_order(batches(dataset, 10, scale=(1.0, 1.0)))
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
    stream = training(dataset).take(4)
    assert_same(list(stream.as_numpy_iterator()), list(stream.as_numpy_iterator()))


@pytest.mark.parametrize("step", [1, 3, 5, 7])
def test_start_step_continues_the_uninterrupted_stream(dataset, step):
    assert_same(batches(dataset, 9)[step:], batches(dataset, 9 - step, start_step=step))


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_cache_changes_no_batch(dataset, cache):
    assert_same(batches(dataset, 4, cache=cache), batches(dataset, 4))


def test_raw_file_of_the_cache_is_made_once_and_anew_for_other_records(dataset, tmp_path, monkeypatch):
    for shard in dataset.shards("train"):
        (tmp_path / shard.name).write_bytes(shard.read_bytes())
    copy = dataclasses.replace(dataset, path=tmp_path)
    first = batches(copy, 1, cache="disk")
    (raw,) = tmp_path.glob("decoded/train-*/pixels.raw")
    assert raw.stat().st_size == sum(12 * (8 + i) * 4 for i in range(NUM_TRAIN))
    with monkeypatch.context() as patch:
        # Nothing of the records is read again.
        patch.setattr(pipeline, "_records", None)
        patch.setattr(pipeline, "evaluation_dataset", lambda *arguments: None)
        assert_same(batches(copy, 1, cache="disk"), first)
    os.utime(copy.shards("train")[0], ns=(1, 1))
    assert_same(batches(copy, 1, cache="disk"), first)
    assert len(list(tmp_path.glob("decoded/train-*"))) == 2


@pytest.mark.parametrize("cache", ["none", "disk"])
def test_data_set_may_lie_in_any_folder(dataset, cache, tmp_path):
    folder = tmp_path / os.fsdecode(b"stra\xdfe [v2]*")
    moved = dataclasses.replace(dataset, path=pathlib.Path(shutil.copytree(dataset.path, folder / "data")))
    assert_same(batches(moved, 2, cache=cache), batches(dataset, 2))
    assert len(list(iterate(evaluation_dataset(moved, "val"), "val"))) == 2


def test_cache_that_does_not_fit_is_refused(dataset, monkeypatch):
    monkeypatch.setattr(decoded_cache, "available_system_memory", lambda: 1)
    with pytest.raises(UserError, match="--cache=memory needs 0.0 GB for the split train, .* give --cache=disk"):
        training(dataset, cache="memory")
    with pytest.raises(ValueError, match="`cache` must be one of none, memory, disk, got ram"):
        training(dataset, cache="ram")


def test_processes_share_every_global_batch(dataset):
    whole = batches(dataset, 3, batch_size=4)
    parts = [batches(dataset, 3, batch_size=2, shard=Shard(i, 2)) for i in range(2)]
    for step in range(3):
        for i in range(2):
            np.testing.assert_array_equal(parts[i][step][0], whole[step][0][i::2])
    resumed = batches(dataset, 1, batch_size=2, shard=Shard(1, 2), start_step=2)
    np.testing.assert_array_equal(resumed[0][0], parts[1][2][0])


@pytest.mark.parametrize(("shard", "batch_size"), [(Shard(), 3), (Shard(), 12), (Shard(1, 2), 2)])
def test_records_of_a_batch_are_named_without_the_batches_before(dataset, shard, batch_size):
    (file,) = dataset.shards("train")
    stream = batches(dataset, 5, scale=(1.0, 1.0), batch_size=batch_size, shard=shard)
    for step, batch in enumerate(stream):
        names = record_names(dataset, "train", batch_size=batch_size, seed=1, step=step, shard=shard)
        assert names == [f"{i}.png (record {i} of {file.name})" for i in record_order([batch])]


def test_jpeg_windows_are_what_the_whole_picture_has_there(tmp_path):
    rows, columns = np.mgrid[:40, :60]
    smooth = np.stack([4 * rows, 4 * columns, rows + columns], axis=-1).astype("uint8")
    for kind in ("images", "labels"):
        (tmp_path / kind / "train").mkdir(parents=True)
    Image.fromarray(smooth).save(tmp_path / "images" / "train" / "a.jpg", quality=95)
    Image.fromarray((rows // 20).astype("uint8")).save(tmp_path / "labels" / "train" / "a.png")
    (tmp_path / "classes.json").write_text(json.dumps(["top", "bottom"]))
    dataset = build_folder(tmp_path / "images", tmp_path / "labels", tmp_path / "classes.json", tmp_path / "data")
    uncached = batches(dataset, 4, crop_size=(17, 17))
    cached = batches(dataset, 4, crop_size=(17, 17), cache="memory")
    for (image, label), (whole_image, whole_label) in zip(uncached, cached, strict=True):
        # Decoding a part may round the chroma at its border otherwise.
        np.testing.assert_allclose(image, whole_image, atol=3.0)
        np.testing.assert_array_equal(label, whole_label)


def test_split_over_several_files_is_shuffled_as_one(dataset, tmp_path):
    records = [record.numpy() for shard in dataset.shards("train") for record in tf.data.TFRecordDataset(str(shard))]
    shards = ["train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord"]
    for number, part in enumerate((records[:2], records[2:])):
        with tf.io.TFRecordWriter(str(tmp_path / f"train-{number:05d}-of-00002.tfrecord")) as writer:
            for record in part:
                writer.write(record)
    split_up = dataclasses.replace(dataset, path=tmp_path)
    assert_same(batches(split_up, 4), batches(dataset, 4))
    places = [f"{i}.png (record {i if i < 2 else i - 2} of {shards[i >= 2]})" for i in range(NUM_TRAIN)]
    assert sorted(record_names(split_up, "train", batch_size=NUM_TRAIN, seed=1, step=2)) == places


def test_truncated_file_is_named_before_training(dataset, tmp_path):
    for shard in dataset.shards("train"):
        (tmp_path / shard.name).write_bytes(shard.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"train-00000.* is damaged: it ends in the middle of record 4"):
        training(dataclasses.replace(dataset, path=tmp_path))


def test_split_without_labels_cannot_be_trained_on(dataset):
    info = dataclasses.replace(dataset.info, unlabelled=("train",))
    with pytest.raises(UserError, match="has no labels, so it can only be predicted; splits with labels: val"):
        training(dataclasses.replace(dataset, info=info))


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


def test_damage_in_a_record_whose_name_is_no_text_is_named(tmp_path):
    """TensorFlow's message repeats the name, and Python cannot decode the message."""
    image, label = (tf.io.encode_png(np.zeros((4, 5, channels), np.uint8)).numpy() for channels in (3, 1))
    keys = {"image/encoded": image, "image/filename": b"stra\xdfe.jpg", "image/segmentation/class/encoded": label[:-9]}
    features = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[data])) for key, data in keys.items()}
    smaller = features | {
        "image/segmentation/class/encoded": tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[tf.io.encode_png(np.zeros((4, 4, 1), np.uint8)).numpy()])
        )
    }
    shard = tmp_path / "val-00000-of-00001.tfrecord"
    info = DatasetInfo("x", ("a", "b"), pascal_palette(2), 255, {"val": 1}, {"val": (4, 5)})
    for damaged in (features, smaller):
        with tf.io.TFRecordWriter(str(shard)) as out:
            example = tf.train.Example(features=tf.train.Features(feature=damaged))
            out.write(example.SerializeToString())
        examples = iterate(evaluation_dataset(Dataset(tmp_path, info), "val"), "The split val", [shard])
        with pytest.raises(
            UserError, match=r"The split val cannot be read: record 0 of .*\(image stra\\xdfe\.jpg\) is"
        ):
            list(examples)
