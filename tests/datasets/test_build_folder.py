import io
import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from deeplab_dpc.data.dataset_info import find_dataset
from deeplab_dpc.data.example import decode_example, parse_example
from deeplab_dpc.datasets import folder
from deeplab_dpc.datasets.folder import build_folder
from deeplab_dpc.errors import UserError

KEYS = {
    "image/encoded",
    "image/filename",
    "image/format",
    "image/height",
    "image/width",
    "image/channels",
    "image/segmentation/class/encoded",
    "image/segmentation/class/format",
}
CLASSES = ["sky", "road", "car"]


def random_image(seed, height=6, width=8):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def random_label(seed, height=6, width=8):
    return Image.fromarray(np.random.default_rng(seed).choice(np.array([0, 1, 2, 255], np.uint8), (height, width)))


class Source:
    """Raw data in a directory, and its conversion."""

    def __init__(self, root: pathlib.Path):
        self.root = root
        self.images, self.labels, self.data_dir = root / "images", root / "labels", root / "data"
        for path in (self.images, self.labels):
            path.mkdir(parents=True)
        self.classes = root / "classes.json"
        self.classes.write_text(json.dumps(CLASSES))

    def add(self, name, image=None, label=None):
        """Adds a pair; name is the image's path below images/."""
        for path in (self.images / name, self.labels / name):
            path.parent.mkdir(exist_ok=True)
        (image or random_image(len(name))).save(self.images / name)
        (label or random_label(len(name))).save((self.labels / name).with_suffix(".png"))

    def build(self, **options):
        return build_folder(self.images, self.labels, self.classes, self.data_dir, **options)


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path)


@pytest.fixture(scope="module")
def split_source(tmp_path_factory):
    """Two splits; a PNG, a JPEG and a name that is neither ASCII nor without spaces."""
    source = Source(tmp_path_factory.mktemp("splits"))
    source.add("train/b.png", random_image(1), random_label(1))
    source.add("train/a.jpg", random_image(2), random_label(2))
    source.add("val/Straße 東京.png", random_image(3, 5, 9), random_label(3, 5, 9))
    source.dataset = source.build()
    return source


def raw_records(dataset, split):
    records = tf.data.TFRecordDataset([str(path) for path in dataset.shards(split)])
    return [tf.train.Example.FromString(record.numpy()).features.feature for record in records]


def decoded(dataset, split):
    records = tf.data.TFRecordDataset([str(path) for path in dataset.shards(split)])
    return [{key: value.numpy() for key, value in decode_example(parse_example(record)).items()} for record in records]


def snapshot(directory):
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*")}


def test_records_have_exactly_the_published_keys(split_source):
    jpeg, _ = raw_records(split_source.dataset, "train")
    assert set(jpeg) == KEYS
    assert jpeg["image/filename"].bytes_list.value == [b"a.jpg"]
    assert jpeg["image/format"].bytes_list.value == [b"jpeg"]
    assert jpeg["image/height"].int64_list.value == [6]
    assert jpeg["image/width"].int64_list.value == [8]
    assert jpeg["image/channels"].int64_list.value == [3]
    assert jpeg["image/segmentation/class/format"].bytes_list.value == [b"png"]


def test_encoded_files_are_kept_byte_for_byte(split_source):
    jpeg, png = raw_records(split_source.dataset, "train")
    assert jpeg["image/encoded"].bytes_list.value == [(split_source.images / "train/a.jpg").read_bytes()]
    assert png["image/encoded"].bytes_list.value == [(split_source.images / "train/b.png").read_bytes()]
    label = (split_source.labels / "train/b.png").read_bytes()
    assert png["image/segmentation/class/encoded"].bytes_list.value == [label]


def test_pixels_read_back_as_they_were(split_source):
    example = decoded(split_source.dataset, "train")[1]
    np.testing.assert_array_equal(example["image"], np.asarray(random_image(1)))
    np.testing.assert_array_equal(example["label"][..., 0], np.asarray(random_label(1)))


def test_any_name_is_kept(split_source):
    (example,) = decoded(split_source.dataset, "val")
    assert example["filename"].decode() == "Straße 東京.png"


def test_metadata_counts_and_file_names(split_source):
    dataset = split_source.dataset
    assert dataset.info.name == "folder"
    assert dataset.info.class_names == ("sky", "road", "car")
    assert dataset.info.splits == {"train": 2, "val": 1}
    assert dataset.info.max_size == {"train": (6, 8), "val": (5, 9)}
    assert [path.name for path in dataset.shards("train")] == ["train-00000-of-00001.tfrecord"]
    assert find_dataset(split_source.data_dir) == dataset


def test_tfds_reads_the_dataset_without_our_code(split_source):
    reader = tfds.builder_from_directory(split_source.dataset.path)
    assert reader.info.splits["train"].num_examples == 2
    names = [example["image"]["filename"] for example in tfds.as_numpy(reader.as_dataset(split="train"))]
    assert names == [b"a.jpg", b"b.png"]


def test_second_run_writes_nothing_and_says_so(split_source, capsys):
    before = snapshot(split_source.data_dir)
    assert split_source.build() == split_source.dataset
    assert snapshot(split_source.data_dir) == before
    assert "up to date; nothing to do" in capsys.readouterr().out


def test_only_our_own_words_are_printed(source, capfd):
    for name in "ab":
        source.add(f"{name}.png")
    source.build()
    assert "ownload" not in "".join(capfd.readouterr())


def test_rebuilding_gives_the_same_bytes(source):
    for name in "abcdef":
        source.add(f"{name}.png")
    first = source.build().fingerprint("train")
    assert source.build(overwrite=True).fingerprint("train") == first


def test_changed_inputs_are_refused_unless_overwritten(source):
    source.add("a.png")
    source.add("b.png")
    source.build()
    source.add("c.png")
    with pytest.raises(UserError, match=r"folder/1\.0\.0 was made from other inputs; give --overwrite .*--data_dir"):
        source.build()
    assert sum(source.build(overwrite=True).info.splits.values()) == 3


@pytest.mark.parametrize("change", ["touched", "classes"])
def test_small_changes_of_the_inputs_are_noticed(source, change):
    source.add("a.png")
    source.build()
    if change == "touched":
        os.utime(source.labels / "a.png", ns=(1, 1))
    else:
        source.classes.write_text(json.dumps({"classes": CLASSES, "ignore_label": 254}))
    with pytest.raises(UserError, match="made from other inputs"):
        source.build()


def test_interrupted_run_leaves_nothing_and_keeps_the_old(source, monkeypatch):
    for name in "abc":
        source.add(f"{name}.png")
    read_pair, calls = folder._read_pair, []

    def interrupt(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return read_pair(*args)

    monkeypatch.setattr(folder, "_read_pair", interrupt)
    with pytest.raises(KeyboardInterrupt):
        source.build()
    assert [path for path in source.data_dir.rglob("*") if path.is_file()] == []
    with pytest.raises(UserError, match="no prepared data set"):
        find_dataset(source.data_dir)
    dataset = source.build()
    before = snapshot(dataset.path)
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        source.build(overwrite=True)
    assert find_dataset(source.data_dir) == dataset
    assert snapshot(dataset.path) == before


def test_automatic_val_split_is_stable(source):
    for i in range(20):
        source.add(f"{i}.png")
    dataset = source.build(val_fraction=0.3)
    in_val = {example["filename"] for example in decoded(dataset, "val")}
    assert 2 <= len(in_val) <= 10
    assert dataset.info.splits == {"train": 20 - len(in_val), "val": len(in_val)}
    source.add("20.png")
    dataset = source.build(val_fraction=0.3, overwrite=True)
    assert {example["filename"] for example in decoded(dataset, "val")} - {b"20.png"} == in_val


@pytest.mark.parametrize("fraction", [0.001, 0.999])
def test_automatic_val_split_has_one_of_each_at_least(source, fraction):
    for name in "abc":
        source.add(f"{name}.png")
    assert min(source.build(val_fraction=fraction).info.splits.values()) == 1


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_other_image_modes_are_stored_as_rgb(source, mode):
    picture = random_image(5).convert(mode)
    suffix = "jpg" if mode == "CMYK" else "png"
    source.add(f"a.{suffix}", picture)
    dataset = source.build()
    with Image.open(source.images / f"a.{suffix}") as stored:
        expected = np.asarray(stored.convert("RGB"))
    (example,) = decoded(dataset, "train")
    np.testing.assert_array_equal(example["image"], expected)
    (raw,) = raw_records(dataset, "train")
    assert raw["image/format"].bytes_list.value == [b"png"]


def palette_label():
    label = Image.fromarray(np.array([[0, 1, 2, 255]] * 2, np.uint8))
    label.putpalette([i % 256 for i in range(768)])
    return label


def test_palette_indices_become_ids_on_request(source):
    source.add("a.png", random_image(1, 2, 4), palette_label())
    (example,) = decoded(source.build(label_format="palette"), "train")
    np.testing.assert_array_equal(example["label"][..., 0], [[0, 1, 2, 255]] * 2)


def add_pair(source, image=None, label=None):
    source.add("a.png", image, label)


def corrupt(path, data):
    path.write_bytes(data)


def truncated(picture, picture_format):
    stream = io.BytesIO()
    picture.save(stream, picture_format)
    return stream.getvalue()[: len(stream.getvalue()) * 2 // 3]


def image_without_label(source):
    for i in range(5):
        source.add(f"{i}.png")
        (source.labels / f"{i}.png").unlink()


def label_without_image(source):
    add_pair(source)
    random_label(0).save(source.labels / "z.png")


def same_stem_twice(source):
    add_pair(source)
    random_image(0).save(source.images / "a.jpg")


def file_beside_subfolders(source):
    source.add("train/a.png")
    random_image(0).save(source.images / "b.png")


def split_without_labels(source):
    source.add("train/a.png")
    (source.images / "test").mkdir()


def labels_without_split(source):
    source.add("train/a.png")
    (source.labels / "val").mkdir()


def reserved_split_name(source):
    source.add("all/a.png")


def empty_image(source):
    add_pair(source)
    corrupt(source.images / "a.png", b"")


def truncated_jpeg(source):
    source.add("a.jpg")
    corrupt(source.images / "a.jpg", truncated(random_image(0, 40, 40), "JPEG"))


def truncated_png_label(source):
    add_pair(source)
    corrupt(source.labels / "a.png", truncated(random_label(0, 40, 40), "PNG"))


def text_as_image(source):
    add_pair(source)
    corrupt(source.images / "a.png", b"no picture")


def absurd_size(source):
    add_pair(source)
    data = bytearray((source.images / "a.png").read_bytes())
    data[16:24] = (60_000).to_bytes(4) * 2
    corrupt(source.images / "a.png", bytes(data))


def sixteen_bit(value):
    return Image.fromarray(np.full((6, 8), value, np.uint16))


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (lambda source: None, r"There is no image \(\.jpg, \.jpeg, \.png\) in .*images\.$"),
        (image_without_label, r"0\.png, 1\.png, 2\.png, \.\.\.: 5 images in .* without a \.png of the same name"),
        (label_without_image, r"z\.png: 1 label in .* without an image"),
        (same_stem_twice, r"a\.jpg and a\.png have the same name"),
        (file_beside_subfolders, r"both sub-folders \(train\) and images \(b\.png\)"),
        (split_without_labels, r"labels/test with the labels of .* is missing"),
        (labels_without_split, r"labels/val has labels for a split without images"),
        (reserved_split_name, r"images/all cannot be a split"),
        (empty_image, r"images/a\.png is empty"),
        (truncated_jpeg, r"images/a\.jpg cannot be decoded: .*truncated"),
        (truncated_png_label, r"labels/a\.png cannot be decoded: "),
        (text_as_image, r"images/a\.png cannot be decoded: not a JPEG or PNG file"),
        (absurd_size, r"images/a\.png cannot be decoded: "),
        (lambda source: add_pair(source, sixteen_bit(9)), r"images/a\.png has more than 8 bits per channel"),
        (lambda source: add_pair(source, random_image(0, 6, 9)), r"a\.png is 9 x 6 pixels but its label .* is 8 x 6"),
        (lambda source: add_pair(source, None, random_image(0)), r"labels/a\.png is a colour picture \(RGB\)"),
        (lambda source: add_pair(source, None, random_image(0).convert("RGBA")), r"colour picture \(RGBA\)"),
        (lambda source: add_pair(source, None, palette_label()), r"labels/a\.png is colour-mapped; .*=palette"),
        (lambda source: add_pair(source, None, sixteen_bit(1)), r"labels/a\.png has 16 bits per pixel"),
        (lambda source: add_pair(source, None, random_label(0).convert("1")), r"labels/a\.png has 1 bits per pixel"),
        (
            lambda source: add_pair(source, None, Image.fromarray(np.array([[0, 3, 7]] * 2, np.uint8))),
            r"labels/a\.png has the ids 3, 7, but there are 3 classes \(ids 0 to 2\) and the ignore label is 255",
        ),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(source, arrange, message):
    arrange(source)
    with pytest.raises(UserError, match=message):
        source.build()
    assert not list(source.data_dir.rglob("*.json"))
    assert not list(source.data_dir.rglob("*tfrecord*"))


def test_folders_and_options_are_checked(source):
    add_pair(source)
    with pytest.raises(UserError, match="--val_fraction must be between 0 and 1, got 1"):
        source.build(val_fraction=1.0)
    with pytest.raises(UserError, match="--label_format must be one of ids, palette, got 'rgb'"):
        source.build(label_format="rgb")
    with pytest.raises(UserError, match=r"--labels=.*nowhere is not a folder"):
        build_folder(source.images, source.root / "nowhere", source.classes, source.data_dir)
