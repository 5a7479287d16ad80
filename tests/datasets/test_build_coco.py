import copy
import json
import pathlib
import shutil
import zipfile

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_dpc.cli.main import execute
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.example import decode_example, parse_example
from deeplab_dpc.datasets.coco import CocoSplit, build_coco
from deeplab_dpc.datasets.voc2012 import CLASS_NAMES
from deeplab_dpc.errors import UserError

HEIGHT, WIDTH = 6, 8
PERSON, LAPTOP, TV, TABLE, GRASS = 1, 73, 72, 67, 193  # categories
VOC_PERSON, VOC_TABLE, VOC_TV = 15, 11, 20  # classes
CATEGORIES = {"person": PERSON, "laptop": LAPTOP, "tv": TV, "dining table": TABLE, "grass-merged": GRASS}
NAMES = {9: "000000000009.jpg", 25: "000000000025.jpg", 30: "000000000030.jpg"}


def box(left, top, right, bottom):
    return [[left, top, right, top, right, bottom, left, bottom]]


def instance(number, image_id, category_id, segmentation, iscrowd=0):
    entry = {"id": number, "image_id": image_id, "category_id": category_id, "iscrowd": iscrowd}
    return entry | {"segmentation": segmentation, "bbox": [0, 0, 1, 1], "area": 1.0}


CROWD = {"size": [HEIGHT, WIDTH], "counts": [24, 24]}  # the right half
# In image 9 a person (6 pixels) before a table (20), listed in the wrong order; a laptop; a crowd below all of them.
INSTANCES = [
    instance(1, 9, PERSON, box(1, 1, 3, 4)),
    instance(2, 9, TABLE, box(0, 1, 5, 5)),
    instance(3, 9, LAPTOP, box(3, 2, 4, 3)),
    instance(4, 9, PERSON, CROWD, iscrowd=1),
    instance(5, 25, TV, {"size": [HEIGHT, WIDTH], "counts": "3" + "3" + chr(48 + 32 + 10) + "1"}),
    instance(6, 30, LAPTOP, box(0, 0, 8, 6)),
]
LABEL_9 = np.array(
    [
        [0, 0, 0, 0, 255, 255, 255, 255],
        [11, 15, 15, 11, 11, 255, 255, 255],
        [11, 15, 15, 11, 11, 255, 255, 255],
        [11, 15, 15, 11, 11, 255, 255, 255],
        [11, 11, 11, 11, 11, 255, 255, 255],
        [0, 0, 0, 0, 255, 255, 255, 255],
    ]
)
LABEL_25 = np.zeros((HEIGHT, WIDTH))
LABEL_25[3:, 0] = VOC_TV  # 3 zeros, 3 ones, 42 zeros


def document(annotations, image_ids=tuple(NAMES), categories=CATEGORIES):
    images = [{"id": i, "file_name": NAMES[i], "height": HEIGHT, "width": WIDTH, "license": 3} for i in image_ids]
    named = [{"id": number, "name": name, "supercategory": "any"} for name, number in categories.items()]
    return {
        "info": {},
        "licenses": [],
        "images": images,
        "annotations": copy.deepcopy(annotations),
        "categories": named,
    }


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


SEGMENTS = [[0, 0, 7, 7, 70_000, 70_000, 300, 300]] * HEIGHT  # as ids; 70,000 needs all three bytes
SEGMENTS_INFO = [
    {"id": 7, "category_id": GRASS, "iscrowd": 0},
    {"id": 70_000, "category_id": PERSON, "iscrowd": 0},
    {"id": 300, "category_id": PERSON, "iscrowd": 1},
]


class Raw:
    """The folders as the archives of the page unpack."""

    def __init__(self, root: pathlib.Path):
        self.root, self.data_dir = root, root / "data"
        self.images = root / "train2017"
        self.images.mkdir(parents=True)
        for image_id, name in NAMES.items():
            pixels = np.random.default_rng(image_id).integers(0, 256, (2, 2, 3), np.uint8)
            smooth = Image.fromarray(pixels).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
            (smooth.convert("L") if image_id == 25 else smooth).save(self.images / name)
        shutil.copytree(self.images, root / "val2017")
        self.train = write_json(root / "annotations" / "instances_train2017.json", document(INSTANCES))
        self.val = write_json(root / "annotations" / "instances_val2017.json", document(INSTANCES[:1], [9]))
        self.pngs = root / "panoptic_train2017"
        self.pngs.mkdir()
        rgb = np.stack([np.array(SEGMENTS) >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)
        Image.fromarray(rgb).save(self.pngs / "000000000009.png")
        entry = {"image_id": 9, "file_name": "000000000009.png", "segments_info": SEGMENTS_INFO}
        self.panoptic = write_json(root / "annotations" / "panoptic_train2017.json", document([entry], [9]))

    def build(self, data_dir=None, pixels=1, **options):
        split = CocoSplit(self.train, self.images)
        return build_coco({"train": split}, data_dir or self.data_dir, pixels, **options)

    def build_panoptic(self, data_dir, pngs="as they are", pixels=1):
        split = CocoSplit(self.panoptic, self.images, self.pngs if pngs == "as they are" else pngs)
        return build_coco({"train": split}, data_dir, pixels)


def decoded(dataset, split):
    records = tf.data.TFRecordDataset([str(path) for path in dataset.shards(split)])
    return [{key: value.numpy() for key, value in decode_example(parse_example(record)).items()} for record in records]


def zipped(folder):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as members:
        for file in sorted(folder.rglob("*")):
            members.write(file, file.relative_to(folder.parent))
    return path


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    raw = Raw(tmp_path_factory.mktemp("coco"))
    splits = {"train": CocoSplit(raw.train, raw.images), "val": CocoSplit(raw.val, raw.root / "val2017")}
    raw.dataset = build_coco(splits, raw.data_dir, 1)
    return raw


@pytest.fixture
def own(tmp_path):
    """One that a test may damage."""
    return Raw(tmp_path)


def test_classes_are_those_of_voc_and_splits_those_given(raw):
    assert raw.dataset.info.name == "coco"
    assert raw.dataset.info.class_names == CLASS_NAMES
    assert raw.dataset.info.ignore_label == 255
    assert raw.dataset.info.splits == {"train": 2, "val": 1}  # image 30 has only a laptop


def test_smaller_instances_lie_on_larger_ones_and_crowds_are_ignored(raw):
    first, second = decoded(raw.dataset, "train")
    assert (first["filename"], second["filename"]) == (b"000000000009.jpg", b"000000000025.jpg")
    np.testing.assert_array_equal(first["label"][..., 0], LABEL_9)
    np.testing.assert_array_equal(second["label"][..., 0], LABEL_25)


def test_images_read_back_as_they_were(raw):
    first, second = decoded(raw.dataset, "train")
    data = (raw.images / NAMES[9]).read_bytes()
    np.testing.assert_array_equal(first["image"], tf.io.decode_jpeg(data, channels=3))
    with Image.open(raw.images / NAMES[25]) as grey:
        np.testing.assert_array_equal(second["image"], np.stack([np.asarray(grey)] * 3, axis=-1))


@pytest.mark.parametrize(("pixels", "kept"), [(0, 3), (3, 2), (4, 1), (20, 1)])
def test_images_with_fewer_labelled_pixels_are_left_out(raw, tmp_path, pixels, kept):
    assert raw.build(tmp_path, pixels).info.splits == {"train": kept}


def test_crowds_and_background_are_no_labelled_pixels(raw, tmp_path):
    with pytest.raises(UserError, match="None of the 3 images of train has 21 pixels .*; lower --min_labelled_pixels"):
        raw.build(tmp_path, 21)
    assert not list(tmp_path.rglob("*.json"))


def test_second_run_does_nothing_and_other_annotations_are_noticed(own, capsys):
    dataset = own.build()
    before = {path: path.stat().st_mtime_ns for path in dataset.path.rglob("*")}
    assert own.build() == dataset
    assert {path: path.stat().st_mtime_ns for path in dataset.path.rglob("*")} == before
    assert "up to date" in capsys.readouterr().out
    write_json(own.train, document(INSTANCES[:5]))
    with pytest.raises(UserError, match="made from other inputs"):
        own.build()


def test_archive_holds_the_same_as_the_folder(raw, tmp_path):
    split = CocoSplit(raw.train, zipped(raw.images))
    dataset = build_coco({"train": split}, tmp_path, 1)
    assert dataset.fingerprint("train") == raw.dataset.fingerprint("train")


@pytest.mark.parametrize("archive", [False, True])
def test_panoptic_segments_become_classes_and_the_rest_background_or_ignored(raw, tmp_path, archive):
    (example,) = decoded(raw.build_panoptic(tmp_path, zipped(raw.pngs) if archive else raw.pngs), "train")
    expected = [[255, 255, 0, 0, VOC_PERSON, VOC_PERSON, 255, 255]] * HEIGHT
    np.testing.assert_array_equal(example["label"][..., 0], expected)


@pytest.mark.parametrize("pngs", [np.zeros((HEIGHT, WIDTH), np.uint8), np.full((HEIGHT, WIDTH, 3), 9, np.uint8)])
def test_bad_panoptic_pngs_are_named(own, tmp_path, pngs):
    Image.fromarray(pngs).save(own.pngs / "000000000009.png")
    with pytest.raises(UserError, match=r"000000000009\.png (is grey; it must be RGB|has the segment 592137, which)"):
        own.build_panoptic(tmp_path / "out")


def test_kinds_of_annotations_are_not_mixed_up(raw, tmp_path):
    with pytest.raises(UserError, match="are panoptic; give their PNGs as --train_panoptic_pngs"):
        raw.build_panoptic(tmp_path, pngs=None)
    with pytest.raises(UserError, match="are not panoptic; leave out --train_panoptic_pngs"):
        build_coco({"train": CocoSplit(raw.train, raw.images, raw.pngs)}, tmp_path)


def changed(own, key, **changes):
    value = document(INSTANCES)
    value[key][0] |= changes
    write_json(own.train, value)


def without_key(own, key, inner):
    value = document(INSTANCES)
    del value[key][0][inner]
    write_json(own.train, value)


PAGE = r"https://cocodataset\.org/#download"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda own: own.train.unlink(), rf"json are missing; download annotations_trainval2017\.zip from {PAGE}, "),
        (lambda own: own.train.write_text('{"images": ['), r"instances_train2017\.json is not valid JSON: Expecting"),
        (lambda own: own.train.write_bytes(b"\xff\xfe"), r"instances_train2017\.json is not valid JSON: "),
        (lambda own: own.train.write_text("[]"), r"not laid out as COCO's: they have no list 'categories'"),
        (lambda own: without_key(own, "annotations", "image_id"), r"entry 0 of 'annotations' has no 'image_id'"),
        (lambda own: without_key(own, "images", "height"), r"entry 0 of 'images' has no 'height'"),
        (
            lambda own: changed(own, "images", width="8"),
            r"'images' is malformed \('width' must be an integer, got '8'\)",
        ),
        (lambda own: changed(own, "images", width=10**9), r"malformed \(its size is 1000000000 x 6 pixels\)"),
        (lambda own: changed(own, "images", width=True), r"'width' must be an integer, got True"),
        (lambda own: changed(own, "images", width=70_000, height=1), r"malformed \(its size is 70000 x 1 pixels\)"),
        (lambda own: changed(own, "images", file_name=None), r"malformed \('file_name' must be text, got None\)"),
        (
            lambda own: changed(own, "images", file_name="../a.jpg"),
            r"'file_name' '\.\./a\.jpg' leads out of the folder",
        ),
        (lambda own: changed(own, "images", file_name=NAMES[30]), rf"have the image '{NAMES[30]}' more than once"),
        (lambda own: changed(own, "images", id=30), r"have the image id 30 more than once"),
        (lambda own: changed(own, "annotations", category_id=999), r"'category_id' is 999, which is not among 'categ"),
        (lambda own: changed(own, "annotations", iscrowd="0"), r"'iscrowd' must be 0 or 1, got '0'"),
        (lambda own: changed(own, "annotations", image_id=2**70), r"is not valid JSON: it has a number of 22 digits"),
        (lambda own: own.train.write_text("[" * 100_000), r"is not valid JSON: it is nested too deeply"),
        (lambda own: write_json(own.train, document([], [])), r"json list no image"),
        (
            lambda own: write_json(own.train, document([], categories={"x": 1})),
            "None of the 3 images of train has 1 pixels of the class x; lower --min_labelled_pixels",
        ),
        (
            lambda own: changed(own, "annotations", segmentation=[[1, 2]]),
            r"The annotation 1 of 000000000009\.jpg in .*\.json cannot be used: a polygon .* three or more pairs",
        ),
        (
            lambda own: changed(own, "images", width=9),
            r"annotation 4 of 000000000009\.jpg .*: its size is \[6, 8\] but its image's is \[6, 9\]",
        ),
        (lambda own: (own.images / NAMES[30]).unlink(), rf"{NAMES[30]}: 1 of 3 files .* train2017\.zip from {PAGE}"),
        (
            lambda own: shutil.rmtree(own.images),
            rf"no folder or archive .*train2017; download train2017\.zip from {PAGE}",
        ),
        (lambda own: shutil.copytree(own.images, own.images / "b"), r"has both 000000000009\.jpg and b/000000000009"),
        (lambda own: (own.images / NAMES[9]).write_bytes(b""), r"train2017/000000000009\.jpg is empty"),
        (
            lambda own: Image.new("RGB", (9, 6)).save(own.images / NAMES[9]),
            r"000000000009\.jpg is 9 x 6 pixels but its label .*json \(image 9\) is 8 x 6",
        ),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(own, damage, message):
    damage(own)
    with pytest.raises(UserError, match=message):
        own.build()
    assert [path for path in own.data_dir.rglob("*") if path.is_file()] == []


def test_annotations_of_images_that_are_not_listed_are_counted(own, capsys):
    changed(own, "annotations", image_id=12345)
    own.build()
    assert "1 of the annotations" in (printed := capsys.readouterr().out)
    assert "are of images that it does not list; they are left out" in printed


def test_bad_annotations_are_left_out_on_request(own, capsys):
    changed(own, "annotations", segmentation=[])
    assert own.build(skip_bad=True).info.splits == {"train": 1}
    assert "annotation 1 of 000000000009.jpg" in capsys.readouterr().out


def test_command_builds_both_splits(raw, tmp_path, capsys):
    flags = [f"--train_annotations={raw.train}", f"--train_images={raw.images}", f"--val_images={raw.images}"]
    assert execute("build_coco", [*flags, f"--data_dir={tmp_path}"]) == 2
    assert "--val_annotations is required" in capsys.readouterr().err
    flags += [f"--val_annotations={raw.val}", "--min_labelled_pixels=1"]
    assert execute("build_coco", [*flags, f"--data_dir={tmp_path}"]) == 0
    assert "2 train, 1 val; 21 classes" in capsys.readouterr().out
    assert find_dataset(tmp_path).info.name == "coco"


def test_command_without_a_split_says_what_it_needs(tmp_path, capsys):
    assert execute("build_coco", [f"--data_dir={tmp_path}"]) == 2
    assert "COCO needs --train_annotations and --train_images" in capsys.readouterr().err


OWN = {"pothole": 7, "car": 2}


def own_annotations(raw, name="own.json", categories=OWN):
    annotations = [
        instance(1, 9, categories["car"], box(0, 0, 4, 6)),
        instance(2, 9, categories["pothole"], box(4, 0, 8, 6)),
    ]
    return write_json(raw.root / name, document(annotations, [9, 25], categories))


def test_own_categories_become_classes_by_their_ids_and_are_said(own, capsys):
    dataset = build_coco({"train": CocoSplit(own_annotations(own), own.images)}, own.data_dir)
    assert dataset.info.class_names == ("background", "car", "pothole")
    first, second = decoded(dataset, "train")  # the image without annotations is kept, too
    np.testing.assert_array_equal(first["label"][..., 0], [[1, 1, 1, 1, 2, 2, 2, 2]] * HEIGHT)
    np.testing.assert_array_equal(second["label"][..., 0], np.zeros((HEIGHT, WIDTH)))
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "categories of their own (pothole), so all of theirs are classes, after a background: background, car, pothole"
        in said
    )


def test_category_called_background_is_the_background(own):
    path = own_annotations(own, categories=OWN | {"Background": 9})
    dataset = build_coco({"train": CocoSplit(path, own.images)}, own.data_dir)
    assert dataset.info.class_names == ("Background", "car", "pothole")


def test_ids_of_own_categories_may_differ_between_splits_but_not_their_names(own):
    other = own_annotations(own, "val.json", {"car": 1, "pothole": 5})
    splits = {"train": CocoSplit(own_annotations(own), own.images), "val": CocoSplit(other, own.images)}
    dataset = build_coco(splits, own.data_dir)
    for split in splits:
        np.testing.assert_array_equal(decoded(dataset, split)[0]["label"][0, :, 0], [1, 1, 1, 1, 2, 2, 2, 2])
    splits["val"] = CocoSplit(own_annotations(own, "val.json", {"car": 1, "pothole": 5, "bump": 6}), own.images)
    with pytest.raises(
        UserError, match=r"own\.json and .*val\.json have different categories: 'bump' is in one of them"
    ):
        build_coco(splits, own.data_dir, overwrite=True)


def test_own_categories_may_be_background_on_request(own, capsys):
    split = CocoSplit(own_annotations(own), own.images)
    dataset = build_coco({"train": split}, own.data_dir, 1, categories="voc")
    assert dataset.info.class_names == CLASS_NAMES
    assert "therefore background: pothole." in capsys.readouterr().out


def test_voc_classes_of_annotations_without_any_are_refused(own):
    path = write_json(own.train, document([], categories={"x": 1}))
    with pytest.raises(UserError, match=r"none of the 20 categories .*; --categories=own takes those that they have"):
        build_coco({"train": CocoSplit(path, own.images)}, own.data_dir, categories="voc")


def test_coco_itself_may_have_all_its_categories(own):
    dataset = build_coco({"train": CocoSplit(own.train, own.images)}, own.data_dir, categories="own")
    assert dataset.info.class_names == ("background", "person", "dining table", "tv", "laptop", "grass-merged")
