import io
import json
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_dpc.data import dataset_info, foreign_records
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.dataset_info import DatasetInfo, pascal_palette
from deeplab_dpc.data.foreign_records import CHECKED_OF_OURS, check_evaluable, check_labels
from deeplab_dpc.data.pipeline import evaluation_dataset, training_dataset
from deeplab_dpc.data.preprocess import Augmentation
from deeplab_dpc.datasets.records import RawExample, build_records
from deeplab_dpc.datasets.segmentation_builder import Classes
from deeplab_dpc.errors import UserError

# What DeepLab's reader asks of a record (tensorflow/models, research/deeplab/datasets/data_generator.py).
DEEPLAB_SPEC = {
    "image/encoded": tf.io.FixedLenFeature((), tf.string, default_value=""),
    "image/filename": tf.io.FixedLenFeature((), tf.string, default_value=""),
    "image/format": tf.io.FixedLenFeature((), tf.string, default_value="jpeg"),
    "image/height": tf.io.FixedLenFeature((), tf.int64, default_value=0),
    "image/width": tf.io.FixedLenFeature((), tf.int64, default_value=0),
    "image/segmentation/class/encoded": tf.io.FixedLenFeature((), tf.string, default_value=""),
    "image/segmentation/class/format": tf.io.FixedLenFeature((), tf.string, default_value="png"),
}
CLASSES = ["background", "cat", "dog"]


def encode(picture, picture_format="PNG"):
    stream = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(stream, picture_format)
    return stream.getvalue()


def pixels(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def ids(seed, height, width):
    return np.random.default_rng(seed).choice(np.array([0, 1, 2, 255], np.uint8), (height, width))


def huge(png):
    """The PNG with a header that tells 60,000 x 60,000 pixels."""
    header = png[12:16] + struct.pack(">II", 60_000, 60_000) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def feature(value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def record(seed, size=(5, 7), **changes):
    """A record as DeepLab's build_data.py writes it; a change to None leaves a key out."""
    height, width = size
    values = {
        "image/encoded": encode(pixels(seed, height, width), "JPEG"),
        "image/filename": f"2007_{seed:06d}".encode(),
        "image/format": b"jpeg",
        "image/height": height,
        "image/width": width,
        "image/channels": 3,
        "image/segmentation/class/encoded": encode(ids(seed, height, width)),
        "image/segmentation/class/format": b"png",
    }
    for name, value in changes.items():
        values["image/" + name.replace("_", "/")] = value
    features = {key: feature(value) for key, value in values.items() if value is not None}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write_shards(path, split, shards):
    """One file for each list of records, named as DeepLab does."""
    path.mkdir(parents=True, exist_ok=True)
    for index, records in enumerate(shards):
        with tf.io.TFRecordWriter(str(path / f"{split}-{index:05d}-of-{len(shards):05d}.tfrecord")) as writer:
            for serialized in records:
                writer.write(serialized)


def write_classes(path, value=CLASSES):
    (path / "classes.json").write_text(json.dumps(value))


@pytest.fixture
def path(tmp_path):
    """pascal_voc_seg/tfrecord with 3 train and 1 val records."""
    path = tmp_path / "pascal_voc_seg" / "tfrecord"
    write_shards(path, "train", [[record(0), record(1, (9, 4))], [record(2)]])
    write_shards(path, "val", [[record(3, (6, 8))]])
    write_classes(path)
    return path


def label_of(value):
    return record(0, segmentation_class_encoded=value)


def test_old_records_are_a_data_set_as_they_are(path):
    dataset = find_dataset(path)
    assert dataset.path == path
    assert dataset.info == DatasetInfo(
        "pascal_voc_seg",
        ("background", "cat", "dog"),
        pascal_palette(3),
        255,
        {"train": 3, "val": 1},
        {"train": (9, 7), "val": (6, 8)},
    )
    assert [shard.name for shard in dataset.shards("train")] == [
        "train-00000-of-00002.tfrecord",
        "train-00001-of-00002.tfrecord",
    ]


def test_they_are_found_from_above_by_name(path, tmp_path, shapes):
    assert find_dataset(tmp_path).path == path
    (tmp_path / "shapes").symlink_to(shapes.path)
    with pytest.raises(UserError, match=r"--dataset=pascal_voc_seg\|shapes"):
        find_dataset(tmp_path)
    assert find_dataset(tmp_path, "pascal_voc_seg").path == path
    assert find_dataset(tmp_path, "shapes").info == shapes.info


def test_classes_may_lie_elsewhere(path, tmp_path):
    elsewhere = tmp_path / "names.json"
    (path / "classes.json").rename(elsewhere)
    assert find_dataset(path, classes=elsewhere).info.class_names == tuple(CLASSES)
    with pytest.raises(UserError, match="or give such a file as --classes"):
        find_dataset(path)


def test_their_pixels_are_read_for_training_and_evaluation(path):
    dataset = find_dataset(path)
    (example,) = evaluation_dataset(dataset, "val").as_numpy_iterator()
    assert example["filename"] == b"2007_000003"
    np.testing.assert_array_equal(example["label"], ids(3, 6, 8))
    np.testing.assert_array_equal(example["image"], tf.io.decode_jpeg(encode(pixels(3, 6, 8), "JPEG")))
    batches = training_dataset(dataset, "train", Augmentation((9, 9)), batch_size=3, seed=0)
    image, label = next(batches.as_numpy_iterator())
    assert image.shape == (3, 9, 9, 3)
    assert set(np.unique(label)) == {0, 1, 2, 255}


def test_records_are_counted_once_and_again_when_they_change(path, capsys, monkeypatch):
    first = find_dataset(path)
    assert "Reading the records in" in capsys.readouterr().out
    assert find_dataset(path) == first
    assert capsys.readouterr().out == ""
    write_classes(path, {"classes": ["a", "b", "c", "d"], "ignore_label": 0})
    info = find_dataset(path).info
    assert (info.class_names, info.ignore_label) == (("a", "b", "c", "d"), 0)
    assert capsys.readouterr().out == ""
    write_shards(path, "val", [[record(3), record(4)]])
    assert find_dataset(path).info.splits == {"train": 3, "val": 2}


def test_other_counts_than_before_are_said(path, capsys):
    find_dataset(path)
    write_shards(path, "train", [[record(0)], [record(2)]])
    assert find_dataset(path).info.splits["train"] == 2
    assert "train-* held 3 records when last counted, now 2." in capsys.readouterr().out


def test_empty_file_is_refused_where_the_division_does_not_explain_it(path):
    for shard in path.glob("train-*"):
        shard.unlink()
    write_shards(path, "train", [[record(0), record(1)], [record(2), record(3)], [record(4)], []])
    assert find_dataset(path).info.splits["train"] == 5  # two in each, while there are some
    (path / "train-00000-of-00004.tfrecord").write_bytes(b"")
    with pytest.raises(UserError, match=r"train-00000-of-00004\.tfrecord is empty and others are not"):
        find_dataset(path)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (255, r"The split val of .* cannot be evaluated, as no pixel of it is labelled: .* label 255; give another"),
        (7, r"The split val cannot be evaluated: The label of record 0 .* has the ids 7, .*; give another"),
    ],
)
def test_split_that_cannot_be_evaluated_is_named(label, message, path):
    write_shards(path, "val", [[label_of(encode(np.full((5, 7), label, np.uint8)))]])
    dataset = find_dataset(path)
    with pytest.raises(UserError, match=message):
        check_evaluable(dataset, "val", "give another")
    check_evaluable(dataset, "train", "give another")


def test_directory_that_cannot_be_written_is_read_with_a_note(path, capsys, monkeypatch):
    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(foreign_records, "write_json", refuse)
    assert find_dataset(path).info.splits == {"train": 3, "val": 1}
    assert f"cannot be kept in {path / 'segmentation_info.json'} (Permission denied)" in capsys.readouterr().out
    assert not (path / "segmentation_info.json").exists()


def test_missing_classes_file_is_asked_for(path, shapes, tmp_path):
    (path / "classes.json").unlink()
    with pytest.raises(UserError, match=r'no classes\.json; write .*tfrecord/classes\.json with \{"classes": \['):
        find_dataset(path)
    (tmp_path / "shapes").symlink_to(shapes.path)
    assert find_dataset(tmp_path).info.name == "shapes"
    with pytest.raises(UserError, match=r"no classes\.json"):
        find_dataset(tmp_path, "pascal_voc_seg")


def test_sizes_are_those_of_the_images_whatever_the_keys_say(tmp_path):
    swapped = record(0, height=7, width=5)
    absent = record(1, (4, 9), height=None, width=None, format=None, channels=None, filename=None)
    write_shards(tmp_path, "train_fine", [[swapped, absent]])
    write_classes(tmp_path)
    assert find_dataset(tmp_path).info.max_size == {"train_fine": (5, 9)}


def test_split_without_labels_is_known(path):
    write_shards(path, "test", [[label_of(b""), label_of(None)]])
    assert find_dataset(path).info.unlabelled == ("test",)
    with pytest.raises(UserError, match="splits with labels: train, val"):
        find_dataset(path).require_labels("test")


def test_splits_whose_names_begin_alike_are_kept_apart(path):
    write_shards(path, "train-aug", [[record(8)]])
    dataset = find_dataset(path)
    assert dataset.info.splits == {"train": 3, "train-aug": 1, "val": 1}
    assert len(dataset.shards("train")) == 2


def colour_mapped():
    picture = Image.fromarray(ids(0, 5, 7))
    picture.putpalette([i % 256 for i in range(768)])
    return encode(picture)


def one_is_missing(path):
    (path / "train-00001-of-00002.tfrecord").unlink()


def two_numbers_of_shards(path):
    write_shards(path, "val", [[record(0)], [record(1)]])


def truncated(path):
    shard = path / "train-00000-of-00002.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-20])


def with_label(label):
    return lambda path: write_shards(path, "val", [[record(1), label_of(label)]])


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (
            one_is_missing,
            r"tfrecord/train-00001-of-00002\.tfrecord is missing; train-00000-of-00002\.tfrecord is there",
        ),
        (two_numbers_of_shards, r"val-0000\d-of-00002\.tfrecord (does not belong|is missing)"),
        (truncated, r"train-00000-of-00002\.tfrecord is damaged at or after record 0"),
        (
            with_label(colour_mapped()),
            r"record 1 of .*val-00000-of-00001\.tfrecord \(image 2007_000000\) is a colour-map",
        ),
        (with_label(encode(pixels(0, 5, 7))), "is a coloured PNG of 8 bits a sample"),
        (with_label(encode(np.full((5, 7), 300, np.uint16))), "is a grey PNG of 16 bits a sample"),
        (with_label(encode(Image.new("1", (7, 5)))), "is a grey PNG of 1 bits a sample"),
        (with_label(encode(ids(0, 5, 7), "JPEG")), "is not a PNG"),
        (
            with_label(b""),
            r"1 of the 2 records .*val-.* have labels: record 1 of .*tfrecord \(image 2007_0+\) has none",
        ),
        (with_label(huge(encode(ids(0, 5, 7)))), r"A picture of record 1 of .* cannot be read: it has more than"),
        (lambda path: write_shards(path, "val", [[]]), r"val-\* hold no record"),
        (
            lambda path: write_shards(path, "val", [[record(0, encoded=b"no image", height=0)]]),
            r"image of record 0 of .* \(image 2007_000000\) cannot be decoded",
        ),
        (lambda path: write_shards(path, "val", [[b"no example"]]), r"val-00000-of-00001\.tfrecord is damaged"),
    ],
)
def test_records_that_would_be_misread_are_refused_by_name(path, arrange, message):
    arrange(path)
    with pytest.raises(UserError, match=message):
        find_dataset(path)
    assert not (path / dataset_info.INFO_FILE).exists()


def test_first_wrong_label_is_named_with_record_image_and_ids(path):
    noise = np.arange(35, dtype=np.uint8).reshape(5, 7)
    write_shards(path, "train", [[record(0)], [record(1), label_of(encode(noise)), record(2)]])
    dataset = find_dataset(path)
    with pytest.raises(UserError) as error:
        check_labels(dataset, "train")
    assert str(error.value) == (
        f"The label of record 2 of the split train in {path} (image 2007_000000) has the ids 3, 4, 5, 6, 7, 8, 9, 10, "
        "..., but there are 3 classes (ids 0 to 2) and the ignore label is 255; deeplab-dpc check-data reports all of "
        "them."
    )
    check_labels(dataset, "val")


def test_every_label_is_looked_at_before_training(path):
    good = [record(0)] * CHECKED_OF_OURS
    write_shards(path, "train", [good, [*good, label_of(encode(np.full((5, 7), 9, np.uint8)))]])
    with pytest.raises(UserError, match=f"label of record {2 * CHECKED_OF_OURS} of the split train .* has the ids 9"):
        check_labels(find_dataset(path), "train")


def test_label_that_cannot_be_decoded_is_named_while_looking_for_bad_ones(path):
    write_shards(path, "val", [[label_of(encode(ids(0, 5, 7))[:40])]])
    dataset = find_dataset(path)
    with pytest.raises(UserError, match=r"record 0 of .*val-00000-of-00001.tfrecord .* is damaged"):
        check_labels(dataset, "val")


def test_our_records_are_what_the_reader_of_deeplab_asks_for(tmp_path):
    images = {"a.jpg": encode(pixels(1, 6, 9), "JPEG"), "b.png": encode(pixels(2, 5, 4))}
    labels = {"a.jpg": ids(1, 6, 9), "b.png": ids(2, 5, 4)}
    examples = [
        RawExample(name, lambda name=name: (images[name], name), lambda name=name: (labels[name], name), ())
        for name in images
    ]
    classes = Classes(tuple(CLASSES), pascal_palette(3), 255)
    dataset = build_records("two", classes, {"val": examples}, tmp_path)
    assert len(list(dataset.path.glob("val-*"))) == 1  # the pattern that DeepLab looks for
    records = tf.data.TFRecordDataset([str(shard) for shard in dataset.shards("val")])
    parsed = [tf.io.parse_single_example(serialized, DEEPLAB_SPEC) for serialized in records]
    assert [example["image/format"].numpy() for example in parsed] == [b"jpeg", b"png"]
    for example, (name, image) in zip(parsed, images.items(), strict=True):
        label = example["image/segmentation/class/encoded"]
        assert example["image/filename"].numpy() == name.encode()
        assert (int(example["image/height"]), int(example["image/width"])) == labels[name].shape
        assert example["image/encoded"].numpy() == image
        assert example["image/segmentation/class/format"].numpy() == b"png"
        np.testing.assert_array_equal(tf.io.decode_png(label, channels=1)[..., 0], labels[name])
    kinds = {
        key: value.WhichOneof("kind")
        for key, value in tf.train.Example.FromString(next(iter(records)).numpy()).features.feature.items()
    }
    assert kinds.pop("image/channels") == "int64_list"
    integers = {"image/height", "image/width"}
    assert kinds == {key: "int64_list" if key in integers else "bytes_list" for key in DEEPLAB_SPEC}
