import io
import json
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_dpc.cli.main import execute
from deeplab_dpc.data.example import decode_example, parse_example
from deeplab_dpc.datasets.cityscapes import build_cityscapes
from deeplab_dpc.errors import UserError

HEIGHT, WIDTH = 6, 12
FINE = {
    "train": ["aachen_000000_000019", "aachen_000001_000019", "zurich_000121_000019"],
    "val": ["frankfurt_000000_000294", "munster_000000_000019"],
}
TEST = ["berlin_000000_000019", "munich_000397_000019"]
BLACK = "troisdorf_000000_000073"
EXTRA = ["augsburg_000000_000000", "troisdorf_000000_000072", BLACK]
FINE_PACKAGES = ("leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip")
PACKAGES = (*FINE_PACKAGES, "leftImg8bit_trainextra.zip", "gtCoarse.zip")
PAGE = "https://www.cityscapes-dataset.com/downloads/"
# The label ids that cityscapesscripts gives the train ids 0 to 18; all others are ignored.
LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
TRAIN_IDS = {label_id: train_id for train_id, label_id in enumerate(LABEL_IDS)}


def seed(stem):
    return [ord(letter) for letter in stem]


def image_pixels(stem):
    return np.random.default_rng(seed(stem)).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def label_pixels(stem):
    """Every official id, 0 to 33 and 255, in an order of its own."""
    ids = np.resize(np.array([*range(34), 255], np.uint8), HEIGHT * WIDTH)
    return np.random.default_rng(seed(stem)).permutation(ids).reshape(HEIGHT, WIDTH)


def train_ids(stem):
    return np.array([TRAIN_IDS.get(int(value), 255) for value in label_pixels(stem).flat]).reshape(HEIGHT, WIDTH)


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def annotations(kind, split, stem, ids):
    """The four files that the official packages have for an image."""
    start = f"{kind}/{split}/{stem.split('_')[0]}/{stem}_{kind}"
    return {
        f"{start}_labelIds.png": png(ids),
        f"{start}_instanceIds.png": png(ids.astype(np.uint16) * 1000),
        f"{start}_color.png": png(np.full((*ids.shape, 4), 255, np.uint8)),
        f"{start}_polygons.json": json.dumps({"imgHeight": HEIGHT, "imgWidth": WIDTH, "objects": []}).encode(),
    }


def image(split, stem, pixels=None):
    name = f"leftImg8bit/{split}/{stem.split('_')[0]}/{stem}_leftImg8bit.png"
    return {name: png(image_pixels(stem) if pixels is None else pixels)}


def packages():
    """The members of the official zips."""
    images, fine, extra, coarse = ({"README": b"Cityscapes", "license.txt": b"Terms"} for _ in range(4))
    for split, stems in FINE.items():
        for stem in stems:
            images |= image(split, stem)
            fine |= annotations("gtFine", split, stem, label_pixels(stem))
            coarse |= annotations("gtCoarse", split, stem, np.zeros((HEIGHT, WIDTH), np.uint8))
    for stem in TEST:
        images |= image("test", stem)
        fine |= annotations("gtFine", "test", stem, np.ones((HEIGHT, WIDTH), np.uint8))  # dummies
    for stem in EXTRA:
        is_black = stem == BLACK
        extra |= image("train_extra", stem, np.zeros((HEIGHT, WIDTH), np.uint8) if is_black else None)
        ids = np.zeros((HEIGHT, WIDTH), np.uint8) if is_black else label_pixels(stem)
        coarse |= annotations("gtCoarse", "train_extra", stem, ids)
    return dict(zip(PACKAGES, (images, fine, extra, coarse), strict=True))


def write(root, members):
    for member, data in members.items():
        (root / member).parent.mkdir(parents=True, exist_ok=True)
        (root / member).write_bytes(data)
    return root


def write_folders(root, names=PACKAGES):
    for name in names:
        write(root, packages()[name])
    return root


def write_zips(root, names=PACKAGES):
    root.mkdir(parents=True, exist_ok=True)
    for name in names:
        with zipfile.ZipFile(root / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in packages()[name].items():
                archive.writestr(member, data)
    return root


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("unpacked"))


@pytest.fixture(scope="module")
def coarse(tmp_path_factory, unpacked):
    return build_cityscapes(unpacked, tmp_path_factory.mktemp("data"), coarse=True)


@pytest.fixture
def fine_root(tmp_path):
    return write_folders(tmp_path / "raw", FINE_PACKAGES)


def decoded(dataset, split):
    records = tf.data.TFRecordDataset([str(path) for path in dataset.shards(split)])
    return [{key: value.numpy() for key, value in decode_example(parse_example(record)).items()} for record in records]


def finished(data_dir):
    return [path for path in data_dir.rglob("*") if path.is_file()]


def test_splits_are_the_official_ones_and_the_black_image_is_left_out(coarse):
    assert coarse.path.parts[-2:] == ("cityscapes", "1.0.0")
    assert coarse.info.splits == {"train": 3, "val": 2, "test": 2, "train_extra": 2}
    assert coarse.info.max_size == dict.fromkeys(coarse.info.splits, (HEIGHT, WIDTH))


def test_classes_are_the_official_nineteen(coarse):
    assert coarse.info.num_classes == len(coarse.info.palette) == 19
    assert coarse.info.class_names[0] == "road"
    assert coarse.info.class_names[6:8] == ("traffic light", "traffic sign")
    assert coarse.info.class_names[18] == "bicycle"
    assert coarse.info.palette[0] == (128, 64, 128)
    assert coarse.info.palette[18] == (119, 11, 32)
    assert coarse.info.categories == (
        *["flat"] * 2, *["construction"] * 3, *["object"] * 3, *["nature"] * 2, "sky", *["human"] * 2, *["vehicle"] * 6,
    )  # fmt: skip
    assert coarse.info.ignore_label == 255


@pytest.mark.parametrize(
    ("split", "stems"), [*FINE.items(), ("train_extra", [stem for stem in EXTRA if stem != BLACK])]
)
def test_images_and_train_ids_are_kept_pixel_for_pixel(coarse, split, stems):
    examples = decoded(coarse, split)
    assert [example["filename"].decode() for example in examples] == [f"{stem}_leftImg8bit.png" for stem in stems]
    for example, stem in zip(examples, stems, strict=True):
        np.testing.assert_array_equal(example["image"], image_pixels(stem))
        np.testing.assert_array_equal(example["label"][..., 0], train_ids(stem))


def test_dummy_labels_of_the_test_split_are_not_stored(coarse):
    assert coarse.info.unlabelled == ("test",)
    records = tf.data.TFRecordDataset([str(path) for path in coarse.shards("test")])
    parsed = [parse_example(record) for record in records]
    assert [record["image/segmentation/class/encoded"].numpy() for record in parsed] == [b"", b""]
    for record, stem in zip(parsed, TEST, strict=True):
        np.testing.assert_array_equal(tf.io.decode_png(record["image/encoded"]), image_pixels(stem))


def test_zips_give_the_records_of_the_folders(coarse, tmp_path):
    packed = write_zips(tmp_path / "zips")
    dataset = build_cityscapes(packed, tmp_path / "data", coarse=True)
    assert dataset.info == coarse.info
    for split in coarse.info.splits:
        assert dataset.fingerprint(split) == coarse.fingerprint(split)
    assert sorted(path.name for path in packed.iterdir()) == sorted(PACKAGES)  # nothing is unpacked


def test_second_run_does_nothing_and_fine_alone_is_another_data_set(coarse, unpacked, capsys):
    data_dir = coarse.path.parents[1]
    before = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")}
    assert build_cityscapes(unpacked, data_dir, coarse=True) == coarse
    assert "is up to date; nothing to do" in capsys.readouterr().out
    with pytest.raises(UserError, match="made from other inputs; give --overwrite"):
        build_cityscapes(unpacked, data_dir)
    assert {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")} == before


def test_command_says_what_is_unusual_about_the_files(unpacked, tmp_path, capsys):
    flags = [f"--cityscapes_root={unpacked}", f"--data_dir={tmp_path}", "--coarse"]
    assert execute("build_cityscapes", flags) == 0
    printed = capsys.readouterr().out
    black = unpacked / "leftImg8bit" / "train_extra" / "troisdorf" / f"{BLACK}_leftImg8bit.png"
    assert f"{black} is left out: it is known to be black." in printed
    assert f"The split train in {unpacked} has 3 images; the official one has 2975." in printed
    assert f"The split train_extra in {unpacked} has 2 images; the official one has 19997." in printed
    assert "(3 train, 2 val, 2 test without labels, 2 train_extra; 19 classes)" in printed


def test_subset_without_train_and_without_labels_of_test_is_converted(tmp_path, capsys):
    stem = FINE["val"][0]
    members = image("val", stem) | annotations("gtFine", "val", stem, label_pixels(stem)) | image("test", TEST[0])
    root = write(tmp_path / "raw", members)
    (root / "leftImg8bit" / "train").mkdir()
    dataset = build_cityscapes(root, tmp_path / "data")
    assert dataset.info.splits == {"val": 1, "test": 1}
    assert f"There are no images of the split train in {root}; it is left out." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        ((), "leftImg8bit_trainvaltest.zip"),
        (("leftImg8bit_trainvaltest.zip",), "gtFine_trainvaltest.zip"),
        (FINE_PACKAGES, "leftImg8bit_trainextra.zip"),
        (PACKAGES[:3], "gtCoarse.zip"),
    ],
)
def test_missing_package_is_named_with_its_page_and_place(tmp_path, capsys, present, missing):
    root = write_zips(tmp_path / "raw", present)
    flags = [f"--cityscapes_root={root}", f"--data_dir={tmp_path / 'data'}", "--coarse"]
    assert execute("build_cityscapes", flags) == 2
    sentence = capsys.readouterr().err
    assert f" or {root / missing}; get {missing} from {PAGE} (after registration)" in sentence
    assert "put it into --cityscapes_root, packed or unpacked." in sentence
    assert finished(tmp_path / "data") == []


def test_root_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"--cityscapes_root=.*nowhere is not a folder"):
        build_cityscapes(tmp_path / "nowhere", tmp_path / "data")


def test_images_without_labels_are_named(fine_root, tmp_path):
    stems = [f"aachen_{sequence:06}_000019" for sequence in range(4)]
    for stem in stems:
        write(fine_root, image("train", stem))
        (fine_root / "gtFine" / "train" / "aachen" / f"{stem}_gtFine_labelIds.png").unlink(missing_ok=True)
    message = (
        "aachen/aachen_000000_000019_leftImg8bit.png, aachen/aachen_000001_000019_leftImg8bit.png, "
        "aachen/aachen_000002_000019_leftImg8bit.png, ...: 4 images of the split train "
        f"without a gtFine_labelIds.png in {fine_root / 'gtFine' / 'train'}."
    )
    with pytest.raises(UserError) as caught:
        build_cityscapes(fine_root, tmp_path / "data")
    assert str(caught.value) == message


def test_label_without_its_image_is_named(fine_root, tmp_path):
    (fine_root / "leftImg8bit" / "val" / "munster" / "munster_000000_000019_leftImg8bit.png").unlink()
    message = "munster/munster_000000_000019_gtFine_labelIds.png: 1 label of the split val without a leftImg8bit.png"
    with pytest.raises(UserError, match=message):
        build_cityscapes(fine_root, tmp_path / "data")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"_labelIds\.png is empty"),
        (png(label_pixels("cut"))[:70], r"_labelIds\.png cannot be decoded"),
        (png(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), r"_labelIds\.png has rgb pixels"),
        (png(np.zeros((HEIGHT, WIDTH - 1), np.uint8)), r"its label .*_labelIds\.png is 11 x 6"),
    ],
    ids=["empty", "truncated", "rgb", "one pixel off"],
)
def test_unusable_label_is_named_and_leaves_nothing(fine_root, tmp_path, data, message):
    (fine_root / "gtFine/train/aachen/aachen_000001_000019_gtFine_labelIds.png").write_bytes(data)
    with pytest.raises(UserError, match=r"aachen_000001_000019.*" + message):
        build_cityscapes(fine_root, tmp_path / "data")
    assert finished(tmp_path / "data") == []


def test_skip_bad_leaves_out_the_unusable_and_lists_it(fine_root, tmp_path, capsys):
    (fine_root / "leftImg8bit/train/aachen/aachen_000001_000019_leftImg8bit.png").write_bytes(b"no picture")
    dataset = build_cityscapes(fine_root, tmp_path / "data", skip_bad=True)
    assert dataset.info.splits == {"train": 2, "val": 2, "test": 2}
    assert "aachen_000001_000019_leftImg8bit.png cannot be decoded" in capsys.readouterr().out
