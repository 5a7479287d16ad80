import pathlib
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
import scipy.io
import scipy.sparse
import tensorflow as tf
from PIL import Image

from deeplab_dpc.cli.main import execute
from deeplab_dpc.data.dataset_info import pascal_palette
from deeplab_dpc.data.example import decode_example, parse_example
from deeplab_dpc.datasets.voc2012 import build_voc2012
from deeplab_dpc.errors import UserError

SIZE = (6, 8)
SPLITS = {"train": ["2007_000032", "2008_000008"], "val": ["2007_000033"]}
SPLITS["trainval"] = ["2007_000032", "2007_000033", "2008_000008"]
TEST = ["2008_000006", "2008_000011"]
# The first of each pair also has a label of VOC; VOC lacks the image of the last.
SBD = {"train": ["2008_000008", "2008_000015"], "val": ["2007_000033", "2009_000001"]}


def random_ids(seed, size=SIZE):
    return np.random.default_rng(seed).choice(np.array([0, 1, 15, 20, 255], np.uint8), size)


def save_jpeg(path, seed, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(path)


def save_label(path, ids, mode="P"):
    path.parent.mkdir(parents=True, exist_ok=True)
    label = Image.fromarray(ids)
    if mode == "P":
        label.putpalette([channel for color in pascal_palette(256) for channel in color])
    label.convert(mode).save(path)


def save_sbd(path, ids):
    """As SBD's files are: a struct with the boundaries and the present categories beside the segmentation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    boundaries = np.empty((20, 1), object)
    for i in range(20):
        boundaries[i, 0] = scipy.sparse.csc_matrix(ids == i + 1)
    present = np.setdiff1d(ids, [0]).reshape(-1, 1)
    content = {"Boundaries": boundaries, "Segmentation": ids, "CategoriesPresent": present}
    scipy.io.savemat(path, {"GTcls": content}, do_compression=True)


def write_ids(path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{one}\n" for one in ids))


def sbd_ids(name):
    return np.where((ids := random_ids(int(name[-3:]) + 1000)) == 255, 7, ids)


def voc_ids(name):
    return random_ids(int(name[-3:]))


class Source:
    """VOC, its test images and SBD in their folders as published."""

    def __init__(self, root: pathlib.Path):
        self.root = root
        self.voc, self.test = (root / kind / "VOCdevkit/VOC2012" for kind in ("trainval", "test"))
        self.sbd = root / "benchmark_RELEASE/dataset"
        self.data_dir = root / "data"
        for split, ids in SPLITS.items():
            write_ids(self.voc / f"ImageSets/Segmentation/{split}.txt", ids)
        for name in SPLITS["trainval"]:
            save_label(self.voc / f"SegmentationClass/{name}.png", voc_ids(name))
        for name in [*SPLITS["trainval"], "2008_000015"]:
            save_jpeg(self.voc / f"JPEGImages/{name}.jpg", int(name[-3:]))
        write_ids(self.test / "ImageSets/Segmentation/test.txt", TEST)
        for name in TEST:
            save_jpeg(self.test / f"JPEGImages/{name}.jpg", int(name[-3:]))
        for split, ids in SBD.items():
            write_ids(self.sbd / f"{split}.txt", ids)
            for name in ids:
                save_jpeg(self.sbd / f"img/{name}.jpg", int(name[-3:]))
                save_sbd(self.sbd / f"cls/{name}.mat", sbd_ids(name))
                save_sbd(self.sbd / f"inst/{name}.mat", np.zeros(SIZE, np.uint8))

    def build(self, **options):
        given = {"voc_root": self.root / "trainval", "sbd_root": self.root / "benchmark_RELEASE", **options}
        return build_voc2012(data_dir=self.data_dir, **given)


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    source = Source(tmp_path_factory.mktemp("voc"))
    source.dataset = source.build(voc_test_root=source.root / "test")
    return source


def serialized(dataset, split):
    return [record.numpy() for record in tf.data.TFRecordDataset([str(path) for path in dataset.shards(split)])]


def raw_records(dataset, split):
    return [tf.train.Example.FromString(record).features.feature for record in serialized(dataset, split)]


def labels(dataset, split):
    examples = [decode_example(parse_example(record)) for record in serialized(dataset, split)]
    return {one["filename"].numpy().decode(): one["label"].numpy()[..., 0] for one in examples}


def files(directory):
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*")}


def test_splits_classes_and_sizes_are_the_official_ones(full):
    info = full.dataset.info
    assert info.name == "voc2012"
    assert info.splits == {"train": 2, "val": 1, "trainval": 3, "train_aug": 4, "test": 2}
    assert info.unlabelled == ("test",)
    assert info.num_classes == 21
    assert [info.class_names[i] for i in (0, 1, 15, 20)] == ["background", "aeroplane", "person", "tvmonitor"]
    assert info.palette[15] == (192, 128, 128)
    assert info.ignore_label == 255
    assert info.max_size["train"] == SIZE


def test_palette_indices_are_the_ids(full):
    for split, names in SPLITS.items():
        found = labels(full.dataset, split)
        assert list(found) == [f"{name}.jpg" for name in names]
        for name in names:
            np.testing.assert_array_equal(found[f"{name}.jpg"], voc_ids(name))


def test_images_are_kept_byte_for_byte(full):
    record = raw_records(full.dataset, "val")[0]
    assert record["image/encoded"].bytes_list.value == [(full.voc / "JPEGImages/2007_000033.jpg").read_bytes()]
    (_, _, _, fallback) = raw_records(full.dataset, "train_aug")
    assert fallback["image/encoded"].bytes_list.value == [(full.sbd / "img/2009_000001.jpg").read_bytes()]


def test_train_aug_has_no_val_image_and_prefers_the_labels_of_voc(full):
    found = labels(full.dataset, "train_aug")
    assert list(found) == ["2007_000032.jpg", "2008_000008.jpg", "2008_000015.jpg", "2009_000001.jpg"]
    np.testing.assert_array_equal(found["2008_000008.jpg"], voc_ids("2008_000008"))
    np.testing.assert_array_equal(found["2008_000015.jpg"], sbd_ids("2008_000015"))
    np.testing.assert_array_equal(found["2009_000001.jpg"], sbd_ids("2009_000001"))


def test_test_images_have_no_labels(full):
    records = raw_records(full.dataset, "test")
    assert [record["image/filename"].bytes_list.value[0].decode() for record in records] == [f"{n}.jpg" for n in TEST]
    assert all(record["image/segmentation/class/encoded"].bytes_list.value == [b""] for record in records)


def test_second_run_writes_nothing(full, capsys):
    before = files(full.data_dir)
    assert full.build(voc_test_root=full.root / "test") == full.dataset
    assert files(full.data_dir) == before
    printed = capsys.readouterr().out
    assert "up to date; nothing to do" in printed
    assert "Note: train_aug has 4 images; the published one has 10582." in printed


def test_archives_give_the_same_records_as_folders(full, tmp_path):
    archives = {"voc_root": "VOCtrainval_11-May-2012.tar", "voc_test_root": "VOC2012test.tar"}
    for (flag, name), folder in zip(archives.items(), ("trainval", "test"), strict=True):
        archives[flag] = tmp_path / name
        with tarfile.open(tmp_path / name, "w") as archive:
            archive.add(full.root / folder / "VOCdevkit", "VOCdevkit")
    archives["sbd_root"] = tmp_path / "benchmark.tgz"
    with tarfile.open(archives["sbd_root"], "w:gz") as archive:
        archive.add(full.root / "benchmark_RELEASE", "./benchmark_RELEASE")
    dataset = build_voc2012(data_dir=tmp_path / "data", **archives)
    for split in full.dataset.info.splits:
        assert serialized(dataset, split) == serialized(full.dataset, split)


@pytest.mark.parametrize("root", ["trainval", "trainval/VOCdevkit", "trainval/VOCdevkit/VOC2012"])
def test_voc_alone_is_found_at_every_level_and_gives_the_official_splits(full, tmp_path, root):
    dataset = build_voc2012(full.root / root, tmp_path)
    assert dataset.info.splits == {"train": 2, "val": 1, "trainval": 3}


def test_test_images_beside_the_others_are_taken(source):
    shutil.copytree(source.test, source.voc, dirs_exist_ok=True)
    assert source.build(sbd_root=None).info.splits["test"] == 2


def test_a_list_of_absent_test_images_is_noted(source, capsys):
    write_ids(source.voc / "ImageSets/Segmentation/test.txt", TEST)
    assert "test" not in source.build(sbd_root=None).info.splits
    assert "get VOC2012test.tar from http" in capsys.readouterr().out


@pytest.mark.parametrize("packed", [False, True])
def test_ready_made_labels_make_train_aug(source, packed):
    folder = source.root / "SegmentationClassAug"
    for name in [*SPLITS["trainval"], "2008_000015"]:
        save_label(folder / f"{name}.png", sbd_ids(name), "L")
    path = folder
    if packed:
        path = source.root / "SegmentationClassAug.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in folder.iterdir():
                archive.write(file, f"SegmentationClassAug/{file.name}")
                archive.writestr(f"__MACOSX/SegmentationClassAug/._{file.name}", b"")
    found = labels(source.build(sbd_root=None, aug_labels=path), "train_aug")
    assert list(found) == ["2007_000032.jpg", "2008_000008.jpg", "2008_000015.jpg"]
    np.testing.assert_array_equal(found["2008_000015.jpg"], sbd_ids("2008_000015"))


def test_bad_files_are_skipped_and_listed_on_request(source, capsys):
    (source.sbd / "cls/2008_000015.mat").write_bytes(b"no MATLAB file")
    (source.voc / "JPEGImages/2007_000032.jpg").unlink()
    assert source.build(skip_bad=True).info.splits == {"train": 1, "val": 1, "trainval": 2, "train_aug": 2}
    printed = capsys.readouterr().out
    assert "cls/2008_000015.mat is not a MATLAB file" in printed
    assert "4 examples were skipped." in printed


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(bytes(data))


BAD = {
    "no image": (
        lambda source: (source.voc / "JPEGImages/2008_000008.jpg").unlink(),
        r"2008_000008\.jpg is missing; get VOCtrainval_11-May-2012\.tar from http://host\S+ and give it, .*--voc_root",
    ),
    "no label": (
        lambda source: (source.voc / "SegmentationClass/2007_000033.png").unlink(),
        r"SegmentationClass/2007_000033\.png is missing; get VOCtrainval",
    ),
    "no list": (
        lambda source: (source.voc / "ImageSets/Segmentation/val.txt").unlink(),
        r"Segmentation/val\.txt is missing; get VOCtrainval",
    ),
    "empty list": (
        lambda source: write_ids(source.voc / "ImageSets/Segmentation/val.txt", []),
        r"val\.txt is empty",
    ),
    "image listed twice": (
        lambda source: write_ids(source.sbd / "val.txt", ["2009_000001"] * 2),
        r"val\.txt has the image 2009_000001 more than once",
    ),
    "no struct": (
        lambda source: scipy.io.savemat(source.sbd / "cls/2008_000015.mat", {"GTinst": {"Segmentation": 1}}),
        r"2008_000015\.mat has no struct GTcls",
    ),
    "no field": (
        lambda source: scipy.io.savemat(source.sbd / "cls/2008_000015.mat", {"GTcls": {"Boundaries": 1}}),
        r"2008_000015\.mat lacks the field Segmentation",
    ),
    "no matrix": (
        lambda source: save_sbd(source.sbd / "cls/2008_000015.mat", np.full(SIZE, np.nan)),
        r"Segmentation of .*2008_000015\.mat is not a matrix of integers",
    ),
    "truncated .mat": (
        lambda source: truncated(source.sbd / "cls/2008_000015.mat"),
        r"2008_000015\.mat is damaged or cut off",
    ),
    "flipped bit in .mat": (
        lambda source: flipped(source.sbd / "cls/2008_000015.mat"),
        r"2008_000015\.mat is damaged or cut off",
    ),
    "newer .mat": (
        lambda source: (source.sbd / "cls/2008_000015.mat").write_bytes(b"MATLAB 7.3".ljust(124) + b"\0\2IM"),
        r"2008_000015\.mat is of version 7\.3; save it again",
    ),
    "unknown id": (
        lambda source: save_sbd(source.sbd / "cls/2008_000015.mat", np.full(SIZE, 21, np.uint8)),
        r"2008_000015\.mat has the ids 21, but there are 21 classes",
    ),
    "another size": (
        lambda source: save_sbd(source.sbd / "cls/2008_000015.mat", np.ones((6, 9), np.uint8)),
        r"2008_000015\.jpg is 8 x 6 pixels but its label .*2008_000015\.mat is 9 x 6",
    ),
    "RGB label": (
        lambda source: save_label(source.voc / "SegmentationClass/2007_000033.png", random_ids(0), "RGB"),
        r"2007_000033\.png is an RGB picture",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_and_leaves_nothing(source, case):
    arrange, message = BAD[case]
    arrange(source)
    with pytest.raises(UserError, match=message):
        source.build()
    assert not [path for path in source.data_dir.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voc_root": "nowhere"}, r"--voc_root=nowhere does not exist; get VOCtrainval_11-May-2012\.tar from http"),
        ({"voc_root": "data"}, r"--voc_root=.*data holds no folder JPEGImages; get VOCtrainval"),
        ({"sbd_root": "nowhere"}, r"--sbd_root=nowhere does not exist; get benchmark\.tgz from http\S+SBD/download"),
        ({"sbd_root": "data"}, r"--sbd_root=.*data holds no folder cls; get benchmark\.tgz"),
        ({"aug_labels": "data"}, r"--sbd_root and --aug_labels both give"),
        ({"sbd_root": None, "aug_labels": "data"}, r"There is no \.png file in --aug_labels=.*data; get Segmentation"),
        ({"voc_test_root": "data"}, r"--voc_test_root=.*data holds no folder JPEGImages; get VOC2012test\.tar"),
    ],
)
def test_wrong_folders_are_named_with_the_page_to_get_them_from(full, tmp_path, options, message):
    empty = {flag: tmp_path / "data" if value == "data" else value for flag, value in options.items()}
    (tmp_path / "data").mkdir()
    with pytest.raises(UserError, match=message):
        full.build(**empty)


def test_the_command_converts_and_says_what_is_missing(full, tmp_path, capsys):
    arguments = [f"--voc_root={full.voc}", f"--data_dir={tmp_path}"]
    assert execute("build_voc2012", arguments) == 0
    assert "(2 train, 1 val, 3 trainval; 21 classes)" in capsys.readouterr().out
    assert execute("build_voc2012", [*arguments, "--sbd_root=nowhere"]) == 2
    assert capsys.readouterr().err.startswith("build_voc2012: --sbd_root=nowhere does not exist; get benchmark.tgz")
