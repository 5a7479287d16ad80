import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
from own_data import CLASSES, Source, decoded, filled, random_image, random_label, raw_records, written_files
from PIL import Image, ImageOps

from deeplab_dpc.cli.main import execute
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.datasets import records
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


@pytest.mark.parametrize("change", ["touched", "classes", "label_map"])
def test_small_changes_of_the_inputs_are_noticed(source, change):
    source.add("a.png")
    source.build()
    if change == "touched":
        os.utime(source.labels / "a.png", ns=(1, 1))
    elif change == "classes":
        source.write_classes({"classes": CLASSES, "ignore_label": 254})
    with pytest.raises(UserError, match="made from other inputs"):
        source.build(label_map="0:0,1:2,2:1" if change == "label_map" else None)


def test_interrupted_run_leaves_nothing_and_keeps_the_old(source, monkeypatch):
    for name in "abc":
        source.add(f"{name}.png")
    read_image, calls = records.read_image, []

    def interrupt(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return read_image(*args)

    monkeypatch.setattr(records, "read_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        source.build()
    assert written_files(source.data_dir) == []
    with pytest.raises(UserError, match="no prepared data set"):
        find_dataset(source.data_dir)
    dataset = source.build()
    before = snapshot(dataset.path)
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        source.build(overwrite=True)
    assert find_dataset(source.data_dir) == dataset
    assert snapshot(dataset.path) == before


def command_line(source):
    return [f"--{name}={getattr(source, name)}" for name in ("images", "labels", "classes", "data_dir")]


def test_one_bad_file_ends_the_command_with_status_2_and_leaves_nothing(source, capsys):
    source.add("train/a.png")
    source.add("train/bad.jpg", b"")
    assert execute("build_folder", command_line(source)) == 2
    assert "images/train/bad.jpg is empty; replace it, or give --skip_bad to leave it out." in capsys.readouterr().err
    assert written_files(source.data_dir) == []


def test_skipped_files_are_counted_and_named_at_the_end(source, capsys):
    source.add("train/a.png", random_image(1), random_label(1))
    source.add("train/bad.jpg", b"")
    source.add("train/wrong.png", random_image(0, 6, 9))
    assert execute("build_folder", [*command_line(source), "--skip_bad"]) == 0
    *_, first, second, count, result = " ".join(capsys.readouterr().out.split()).replace(". ", ".\n").splitlines()
    assert first.endswith("images/train/bad.jpg is empty; replace it.")
    assert "they must be of the same size: export" in second
    assert "--skip_bad" not in first + second
    assert count == "2 examples were skipped."
    assert "(1 train; 3 classes)" in result
    (example,) = decoded(find_dataset(source.data_dir), "train")
    np.testing.assert_array_equal(example["label"][..., 0], np.asarray(random_label(1)))


def test_nothing_usable_is_an_error_even_if_bad_files_are_skipped(source):
    source.add("train/bad.jpg", b"")
    with pytest.raises(UserError, match=r"No example of the split train could be used; the first: .*bad\.jpg is empty"):
        source.build(skip_bad=True)
    assert written_files(source.data_dir) == []


def test_images_without_labels_are_printed_as_such(source, capsys):
    source.add("train/a.png")
    source.add_image("test/b.png")
    assert execute("build_folder", command_line(source)) == 0
    assert "1 test without labels, 1 train; 3 classes" in " ".join(capsys.readouterr().out.split())


def test_command_takes_a_list_a_format_and_a_map(source):
    source.add("a.png", random_image(1), filled(7, "P"))
    (source.root / "list.txt").write_text("images/a.png labels/a.png only\n")
    flags = ["--label_format=palette", "--label_map=0:1,*:2", f"--list={source.root / 'list.txt'}"]
    assert execute("build_folder", [*command_line(source)[2:], *flags, "--nocheck"]) == 0
    (example,) = decoded(find_dataset(source.data_dir), "only")
    index = np.asarray(filled(7, "P"))[0, 0]
    assert np.unique(example["label"]).tolist() == [1 if index == 0 else 2]
    assert execute("build_folder", command_line(source)[2:]) == 2


@pytest.mark.long
def test_camvid_converts(shared, tmp_path):
    camvid: pathlib.Path = shared / "data" / "camvid"
    if not camvid.is_dir():
        pytest.skip("CamVid is absent")
    flags = [f"--{name}={camvid / name}" for name in ("images", "labels")]
    assert execute("build_folder", [*flags, f"--classes={camvid / 'classes.json'}", f"--data_dir={tmp_path}"]) == 0
    dataset = find_dataset(tmp_path)
    info, example = dataset.info, decoded(dataset, "val")[7]
    with Image.open(camvid / "labels/val" / example["filename"].decode().replace(".jpg", ".png")) as label:
        np.testing.assert_array_equal(example["label"][..., 0], np.asarray(label))
    assert info.splits == {"train": 367, "val": 101}
    assert info.class_names[0] == json.loads((camvid / "classes.json").read_text())["classes"][0] == "sky"


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7, 8])
def test_images_are_turned_by_exif_and_labels_with_them_that_were_drawn_on_them_as_stored(source, capsys, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    shown = random_label(1)  # [6, 8], as viewers show the image
    for name, label in (("a", shown), ("b", shown)):
        stored = random_image(1)
        stored.save(source.images / f"{name}.png", exif=exif)
        label.save(source.labels / f"{name}.png")
    if orientation >= 5:  # the image is shown on its side, so that labels of its size were drawn on it as stored
        expected_image = ImageOps.exif_transpose(Image.open(source.images / "a.png"))
        turn = {5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}[orientation]
        expected_label = shown.transpose(Image.Transpose[turn])
    else:
        expected_image, expected_label = ImageOps.exif_transpose(Image.open(source.images / "a.png")), shown
    (example,) = decoded(source.build(), "train")
    np.testing.assert_array_equal(example["image"], np.asarray(expected_image))
    np.testing.assert_array_equal(example["label"][..., 0], np.asarray(expected_label))
    said = " ".join(capsys.readouterr().out.split())
    assert ("Turned upright, as their EXIF orientation says: " in said) == (orientation != 1)
    assert (f"{2 if orientation >= 5 else 0} labels have the size of the images as stored" in said) == (
        orientation != 1
    )


def test_label_that_fits_neither_way_is_named_with_the_orientation(source):
    exif = Image.Exif()
    exif[0x112] = 6
    random_image(1).save(source.images / "a.png", exif=exif)
    random_label(1, 6, 9).save(source.labels / "a.png")
    with pytest.raises(
        UserError,
        match=r"a\.png is 6 x 8 pixels when it is turned as its EXIF orientation 6 says but its label .* is 9 x 6",
    ):
        source.build()
