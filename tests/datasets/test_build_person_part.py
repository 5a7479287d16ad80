import tarfile
import zipfile

import numpy as np
import pytest
import scipy.io
import tensorflow as tf
from PIL import Image

from deeplab_dpc.cli.main import execute
from deeplab_dpc.data.example import decode_example, parse_example
from deeplab_dpc.datasets.person_part import build_person_part
from deeplab_dpc.errors import UserError

SIZE = (4, 6)
# 2008_000003 has a person without parts, 2008_000004 no annotation, 2008_000005 no person.
MAIN = {
    "train": ["2008_000001", "2008_000003", "2008_000004", "2008_000008"],
    "val": ["2008_000002", "2008_000005"],
}
TRAIN, VAL = ["2008_000001", "2008_000008"], ["2008_000002"]
PARTS_OF_ROW_0 = ("hair", "neck", "luarm", "rhand", "ruleg", "lfoot")
LABEL_1 = np.zeros(SIZE, np.uint8)
LABEL_1[0] = range(1, 7)
LABEL_1[1, 0] = 2  # the second person's torso over the first one's head
LABEL_2 = np.zeros(SIZE, np.uint8)
LABEL_2[2] = 1


def mask(*pixels, size=SIZE):
    """uint8 [height, width] with ones at (row, column)."""
    result = np.zeros(size, np.uint8)
    for row, column in pixels:
        result[row, column] = 1
    return result


def structs(fields, rows):
    """A 1 x N struct array of MATLAB; an empty matrix if there are none, as Pascal-Part has it."""
    if not rows:
        return np.zeros((0, 0))
    array = np.empty((1, len(rows)), [(name, object) for name in fields])
    for i, row in enumerate(rows):
        array[0, i] = row
    return array


def thing(name, index, *parts, size=SIZE):
    """An object of an annotation, with its parts as (name, mask)."""
    return name, float(index), mask((0, 0), size=size), structs(("part_name", "mask"), parts)


def save_annotation(path, *things):
    path.parent.mkdir(parents=True, exist_ok=True)
    objects = structs(("class", "class_ind", "mask", "parts"), things)
    scipy.io.savemat(path, {"anno": {"imname": path.stem, "objects": objects}}, do_compression=True)


def save_mask(path, ids, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(ids)
    if mode == "P":
        picture.putpalette(list(range(256)) * 3)
    picture.save(path)


def write_list(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


class Source:
    """VOC's images and lists, Pascal-Part's annotations and masks, in folders as published."""

    def __init__(self, root):
        self.root, self.data_dir = root, root / "data"
        self.voc = root / "VOCdevkit/VOC2012"
        self.annotations, self.masks = root / "Annotations_Part", root / "pascal_person_part_gt"
        (self.voc / "JPEGImages").mkdir(parents=True)
        for split, ids in MAIN.items():
            write_list(self.voc / f"ImageSets/Main/{split}.txt", ids)
            for one in ids:
                pixels = np.random.default_rng(int(one[-1])).integers(0, 256, (*SIZE, 3), np.uint8)
                Image.fromarray(pixels).save(self.voc / f"JPEGImages/{one}.jpg")
        first = thing(
            "person", 15, *[(part, mask((0, i))) for i, part in enumerate(PARTS_OF_ROW_0)], ("head", mask((1, 0)))
        )
        second = thing("person", 15, ("torso", mask((1, 0))))
        dog = thing("dog", 12, ("head", mask((3, 3))), ("muzzle", mask((3, 4))))
        self.annotate("2008_000001", first, dog, second, thing("chair", 9))
        self.annotate("2008_000008", thing("person", 15, ("nose", mask((2, 2)))))
        self.annotate("2008_000002", thing("person", 15, ("mouth", mask(*[(2, i) for i in range(6)]))))
        self.annotate("2008_000003", thing("person", 15))
        self.annotate("2008_000005", thing("bottle", 5, ("cap", mask((0, 0)))), thing("bottle", 5))
        self.train_list = write_list(root / "train_id.txt", TRAIN)
        self.val_list = write_list(root / "val_id.txt", VAL)

    def annotate(self, image_id, *things):
        save_annotation(self.annotations / f"{image_id}.mat", *things)

    def build(self, **options):
        given = {"voc_root": self.root, "annotations": self.annotations, "data_dir": self.data_dir, **options}
        return build_person_part(**given)

    def build_listed(self, **options):
        return self.build(**{"train_list": self.train_list, "val_list": self.val_list, **options})


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    source = Source(tmp_path_factory.mktemp("person_part"))
    source.dataset = source.build()
    return source


def serialized(dataset, split):
    return [record.numpy() for record in tf.data.TFRecordDataset([str(path) for path in dataset.shards(split)])]


def labels(dataset, split):
    examples = [decode_example(parse_example(record)) for record in serialized(dataset, split)]
    return {one["filename"].numpy().decode(): one["label"].numpy()[..., 0] for one in examples}


def test_classes_are_six_parts_and_background(built):
    info = built.dataset.info
    assert info.name == "person_part"
    assert info.class_names == ("background", "head", "torso", "upper_arms", "lower_arms", "upper_legs", "lower_legs")
    assert info.palette[1] == (128, 0, 0)
    assert info.ignore_label == 255


def test_images_of_the_lists_of_voc_that_have_a_part_of_a_person_are_taken(built):
    assert list(labels(built.dataset, "train")) == ["2008_000001.jpg", "2008_000008.jpg"]
    assert list(labels(built.dataset, "val")) == ["2008_000002.jpg"]


def test_parts_of_people_are_merged_and_later_objects_cover_earlier_ones(built):
    np.testing.assert_array_equal(labels(built.dataset, "train")["2008_000001.jpg"], LABEL_1)


def test_annotation_of_one_object_with_one_part_is_read(built):
    np.testing.assert_array_equal(labels(built.dataset, "train")["2008_000008.jpg"], mask((2, 2)))
    np.testing.assert_array_equal(labels(built.dataset, "val")["2008_000002.jpg"], LABEL_2)


@pytest.mark.parametrize(
    ("class_id", "parts"),
    [
        (1, "head leye reye lear rear lebrow rebrow nose mouth hair"),
        (2, "torso neck"),
        (3, "luarm ruarm"),
        (4, "llarm rlarm lhand rhand"),
        (5, "luleg ruleg"),
        (6, "llleg rlleg lfoot rfoot"),
    ],
)
def test_each_of_the_24_parts_has_its_class(source, class_id, parts):
    pixels = [(part, mask(divmod(i, SIZE[1]))) for i, part in enumerate(parts.split())]
    source.annotate("2008_000001", thing("person", 15, *pixels))
    found = labels(source.build_listed(), "train")["2008_000001.jpg"]
    np.testing.assert_array_equal(found.ravel()[: len(pixels)], class_id)
    assert np.count_nonzero(found) == len(pixels)


def test_images_are_kept_byte_for_byte(built):
    (record,) = serialized(built.dataset, "val")
    image = tf.train.Example.FromString(record).features.feature["image/encoded"].bytes_list.value
    assert image == [(built.voc / "JPEGImages/2008_000002.jpg").read_bytes()]


def test_second_run_writes_nothing(built, capsys):
    before = {path: path.stat().st_mtime_ns for path in built.data_dir.rglob("*")}
    assert built.build() == built.dataset
    assert {path: path.stat().st_mtime_ns for path in built.data_dir.rglob("*")} == before
    printed = capsys.readouterr().out
    assert "up to date; nothing to do" in printed
    assert "Note: train has 2 images; the published one has 1716." in printed


def test_archives_give_the_same_records_as_folders(built, tmp_path):
    with tarfile.open(tmp_path / "VOCtrainval_11-May-2012.tar", "w") as archive:
        archive.add(built.root / "VOCdevkit", "VOCdevkit")
    with tarfile.open(tmp_path / "trainval.tar.gz", "w:gz") as archive:
        archive.add(built.annotations, "Annotations_Part")
    dataset = built.build(
        voc_root=tmp_path / "VOCtrainval_11-May-2012.tar",
        annotations=tmp_path / "trainval.tar.gz",
        data_dir=tmp_path / "data",
    )
    for split in ("train", "val"):
        assert serialized(dataset, split) == serialized(built.dataset, split)


def test_published_lists_choose_the_images(built, tmp_path):
    paths = [f"/JPEGImages/{one}.jpg /pascal_person_part_gt/{one}.png" for one in ("2008_000008", "2008_000003")]
    lists = {"train_list": write_list(tmp_path / "train.txt", paths), "val_list": built.val_list}
    found = labels(built.build(data_dir=tmp_path, **lists), "train")
    assert list(found) == ["2008_000008.jpg", "2008_000003.jpg"]
    np.testing.assert_array_equal(found["2008_000003.jpg"], mask())


@pytest.mark.parametrize("mode", ["L", "P"])
def test_ready_made_masks_are_taken_as_they_are(source, mode):
    expected = {**dict.fromkeys((*TRAIN, *VAL), LABEL_2 * 6), "2008_000001": np.where(LABEL_1 == 0, 255, LABEL_1)}
    for one, ids in expected.items():
        save_mask(source.masks / f"{one}.png", ids.astype(np.uint8), mode)
    dataset = source.build(annotations=None, masks=source.masks)
    assert dataset.info.splits == {"train": 2, "val": 1}
    for one in TRAIN:
        np.testing.assert_array_equal(labels(dataset, "train")[f"{one}.jpg"], expected[one])


def test_masks_in_a_zip_with_lists(source):
    for one in (*TRAIN, *VAL):
        save_mask(source.masks / f"{one}.png", LABEL_1)
    with zipfile.ZipFile(source.root / "pascal_person_part.zip", "w") as archive:
        for path in source.masks.iterdir():
            archive.write(path, f"pascal_person_part/pascal_person_part_gt/{path.name}")
    dataset = source.build_listed(annotations=None, masks=source.root / "pascal_person_part.zip")
    np.testing.assert_array_equal(labels(dataset, "val")["2008_000002.jpg"], LABEL_1)


def test_damaged_annotations_are_skipped_and_listed_on_request(source, capsys):
    (source.annotations / "2008_000001.mat").write_bytes(b"damaged")
    assert source.build(skip_bad=True).info.splits == {"train": 1, "val": 1}
    assert "2008_000001.mat is not a MATLAB file" in capsys.readouterr().out


def person(*parts):
    return lambda source: source.annotate("2008_000001", thing("person", 15, *parts))


def save_anno(content):
    return lambda source: scipy.io.savemat(source.annotations / "2008_000001.mat", content)


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (person(("tail", mask((0, 0)))), r"2008_000001\.mat has a part 'tail' of a person, which Pascal-Part lacks"),
        (person(("head", mask((0, 0), size=(3, 6)))), r"masks of the annotation .*2008_000001\.mat differ in size"),
        (person(("head", "none")), r"field mask of the MATLAB file .*2008_000001\.mat is not a matrix"),
        (lambda source: source.annotate("2008_000001"), r"2008_000001\.mat has no object"),
        (save_anno({"anno": {"imname": "2008_000001"}}), r"2008_000001\.mat lacks the field objects"),
        (save_anno({"anno": {"objects": {"class": "person"}}}), r"2008_000001\.mat lacks the field mask"),
        (save_anno({"GTcls": {"objects": 1}}), r"2008_000001\.mat has no struct anno"),
        (
            lambda source: source.annotate("2008_000001", thing("person", 15, size=(6, 6))),
            r"2008_000001\.jpg is 6 x 4 pixels but its label .*2008_000001\.mat is 6 x 6",
        ),
        (
            lambda source: (source.annotations / "2008_000001.mat").write_bytes(b"\0" * 200),
            r"2008_000001\.mat is not a MATLAB file of version 5 to 7",
        ),
        (
            lambda source: (source.annotations / "2008_000001.mat").unlink(),
            r"2008_000001\.mat is missing; get trainval\.tar\.gz from http://roozbehm\.info/\S+ and give it, .*--annot",
        ),
        (
            lambda source: (source.voc / "JPEGImages/2008_000001.jpg").unlink(),
            r"2008_000001\.jpg is missing; get VOCtrainval_11-May-2012\.tar from http://host",
        ),
        (
            lambda source: write_list(source.val_list, TRAIN),
            r"2008_000001 is in the train list and in the val list \(2",
        ),
        (lambda source: source.val_list.write_bytes(b"\xff\xfe"), r"--val_list=.*val_id\.txt is not a text file"),
        (
            lambda source: source.val_list.unlink(),
            r"--val_list=.* cannot be read \(No such file.*\); the lists come with pascal_person_part\.zip of http",
        ),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(source, arrange, message):
    arrange(source)
    with pytest.raises(UserError, match=message):
        source.build_listed()
    assert not [path for path in source.data_dir.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"annotations": None}, r"Give either --annotations .* or --masks"),
        ({"masks": "masks"}, r"--annotations and --masks both give the labels"),
        ({"train_list": "train_id.txt"}, r"Give both --train_list and --val_list, or neither"),
        ({"voc_root": "nowhere"}, r"--voc_root=nowhere does not exist; get VOCtrainval"),
        ({"annotations": "nowhere"}, r"--annotations=nowhere does not exist; get trainval\.tar\.gz from http"),
    ],
)
def test_flags_that_do_not_fit_are_named(built, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        built.build(data_dir=tmp_path, **options)


def test_unlabelled_lists_are_named(source):
    for path in source.annotations.glob("2008_00000[12].mat"):
        path.unlink()
    with pytest.raises(UserError, match=r"No image of .*Main/val\.txt has a labelled part of a person"):
        source.build()


def test_the_command_converts_and_says_what_is_missing(built, tmp_path, capsys):
    arguments = [f"--voc_root={built.voc}", f"--data_dir={tmp_path}"]
    assert execute("build_person_part", [*arguments, f"--annotations={built.annotations}"]) == 0
    assert "(2 train, 1 val; 7 classes)" in capsys.readouterr().out
    assert execute("build_person_part", [*arguments, "--masks=nowhere"]) == 2
    assert capsys.readouterr().err.startswith("build_person_part: --masks=nowhere does not exist; get pascal_person")
