"""Annotations of labelme, YOLO, CVAT and COCO: the labels that they become, pixel for pixel, and what is refused.

The rasteriser here knows nothing of the package's. Its convention: (0, 0) is the upper left corner of the image, and a
shape covers the pixels whose middles (column + 0.5, row + 0.5) lie in it, by the even-odd rule. All edges keep 0.3
pixels away from all middles, so that whoever rounds edges to a fifth of a pixel has the same pixels.
"""

import base64
import io
import json
import re
import shutil
import xml.etree.ElementTree
import zipfile

import numpy as np
import pytest
from own_data import decoded, written_files
from PIL import Image

from deeplab_dpc.cli.main import execute
from deeplab_dpc.datasets.folder import build_folder
from deeplab_dpc.errors import UserError

HEIGHT, WIDTH = 24, 32
CAR, ROAD, SIGN = "car", "road", "sign"
NAMES = (CAR, ROAD, SIGN)  # in the order of the alphabet, as labelme's are numbered
# A roof of slope 1; a U; a concave arrow; a house that leaves the image; a frame with a hole, cut open as all write it.
ROOF = [(2, 12.5), (10, 4.5), (18, 12.5), (18, 20), (2, 20)]
CUP = [(20, 2), (24, 2), (24, 10), (27, 10), (27, 2), (31, 2), (31, 15), (20, 15)]
ARROW = [(5, 1), (14.5, 1), (10, 5.5), (14.5, 10), (5, 10)]
BEYOND = [(25, 16), (36, 16), (36, 27), (25, 27)]
FRAME = [(4, 4), (20, 4), (20, 20), (4, 20), (4, 8), (8, 8), (8, 16), (16, 16), (16, 8), (8, 8), (4, 8)]
TRIANGLE = [(1, 1), (11.5, 1), (1, 11.5)]
# Of three images, in the order in which they are drawn.
IMAGES = {
    "a": [(ROAD, ROOF), (CAR, CUP), (SIGN, ARROW)],
    "b": [(CAR, FRAME), (SIGN, TRIANGLE), (ROAD, BEYOND)],
    "c": [(SIGN, CUP), (ROAD, FRAME)],
}


def inside(corners):
    """The pixels whose middles lie in a polygon, by the even-odd rule."""
    x, y = np.arange(WIDTH) + 0.5, (np.arange(HEIGHT) + 0.5)[:, np.newaxis]
    mask, nearest = np.zeros((HEIGHT, WIDTH), bool), np.full((HEIGHT, WIDTH), np.inf)
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if (x0, y0) == (x1, y1):
            continue
        if y0 != y1:
            mask ^= ((y0 <= y) != (y1 <= y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)
        along = np.clip(along, 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)))
    assert nearest.min() > 0.3
    return mask


def expected(shapes, names=("background", *NAMES), start=0):
    ids = np.full((HEIGHT, WIDTH), start)
    for name, corners in shapes:
        ids[inside(corners)] = names.index(name)
    return ids


def clipped(corners):
    """A polygon as writers give it that keep to the image."""
    return [(min(x, WIDTH), min(y, HEIGHT)) for x, y in corners]


class Own:
    """A folder of three images, and one of annotations."""

    def __init__(self, root):
        self.root, self.images, self.labels, self.data_dir = (root, root / "images", root / "labels", root / "data")
        self.images.mkdir()
        self.labels.mkdir()
        for number, name in enumerate(IMAGES):
            self.image(f"{name}.png", number)

    def image(self, name, seed=0):
        pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        (self.images / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(self.images / name)

    def write(self, name, value):
        path = self.labels / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    def build(self, labels=None, classes=None, **options):
        return build_folder(self.images, labels or self.labels, classes, self.data_dir, **options)


@pytest.fixture
def own(tmp_path):
    return Own(tmp_path)


def labels_of(dataset):
    """The labels by the names of their images, of all splits."""
    return {
        record["filename"].decode(): record["label"][..., 0]
        for split in dataset.info.labelled_splits
        for record in decoded(dataset, split)
    }


def assert_labels(dataset, names=("background", *NAMES), images=IMAGES, start=0):
    assert dataset.info.class_names == names
    found = labels_of(dataset)
    assert sorted(found) == [f"{name}.png" for name in images]
    for name, shapes in images.items():
        np.testing.assert_array_equal(found[f"{name}.png"], expected(shapes, names, start), name)


def labelme(shapes, image, **more):
    entries = [{"label": name, "points": corners, "shape_type": "polygon"} for name, corners in shapes]
    value = {"version": "5", "flags": {}, "shapes": entries, "imagePath": image, "imageData": "aGVsbG8="}
    return value | {"imageHeight": HEIGHT, "imageWidth": WIDTH} | more


def write_labelme(own, **more):
    for name, shapes in IMAGES.items():
        own.write(f"{name}.json", labelme(shapes, f"..\\images\\{name}.png", **more))


def yolo(shapes, names=NAMES):
    lines = []
    for name, corners in shapes:
        numbers = " ".join(f"{x / WIDTH:.8f} {y / HEIGHT:.8f}" for x, y in clipped(corners))
        lines.append(f"{names.index(name)} {numbers}\n")
    return "".join(lines)


def write_yolo(own, folder=""):
    for name, shapes in IMAGES.items():
        own.write(f"{folder}{name}.txt", yolo(shapes))
    (own.root / "data.yaml").write_text("path: ../x\ntrain: images\nnames:\n  0: car\n  1: road\n  2: sign\n")


def cvat(images, labels=NAMES):
    """Shapes in the reverse order of their z_order."""
    text = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta><job><labels>'
    for name, color in zip(labels, ("#ff0000", "#00ff00", "#0000ff"), strict=False):
        text += f"<label><name>{name}</name><color>{color}</color><attributes/></label>"
    text += "</labels></job></meta>\n"
    for number, (name, shapes) in enumerate(images.items()):
        text += f'<image id="{number}" name="{name}.png" width="{WIDTH}" height="{HEIGHT}">\n'
        for order, (label, corners) in reversed(list(enumerate(shapes))):
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in corners)
            text += f'<polygon label="{label}" points="{points}" z_order="{order}"><attribute name="q">1</attribute>'
            text += "</polygon>\n"
        text += '<tag label="sign"/></image>\n'
    return text + "</annotations>\n"


def coco(images, categories=NAMES):
    """Instances whose categories have numbers with gaps, against the order of their names."""
    numbers = {name: 70 - 10 * i for i, name in enumerate(categories)}
    value = {"images": [], "annotations": [], "categories": [{"id": i, "name": name} for name, i in numbers.items()]}
    for image_id, (name, shapes) in enumerate(images.items()):
        size = {"height": HEIGHT, "width": WIDTH}
        value["images"].append({"id": image_id, "file_name": f"{name}.png", **size})
        for label, corners in shapes:
            polygon = [[number for point in corners for number in point]]
            entry = {"id": len(value["annotations"]), "image_id": image_id, "category_id": numbers[label]}
            value["annotations"].append(entry | {"segmentation": polygon, "iscrowd": 0})
    return value


def test_labelme_is_drawn_as_an_independent_rasteriser_says(own):
    write_labelme(own)
    assert_labels(own.build())


def test_yolo_is_drawn_as_an_independent_rasteriser_says(own):
    write_yolo(own)
    assert_labels(own.build())


def test_yolo_is_recognised_though_the_first_images_show_nothing(own):
    write_yolo(own)
    for number in range(25):
        own.write(f"0{number}.txt", "")
        shutil.copy(own.images / f"{next(iter(IMAGES))}.png", own.images / f"0{number}.png")
    dataset = own.build()
    assert dataset.info.class_names == ("background", *NAMES)


def _in_folders(images):
    """COCO's document of images whose names have folders."""
    value = coco(images)
    for image in value["images"]:
        image["file_name"] = image["file_name"].replace("_", "/", 1)
    return value


@pytest.mark.parametrize("above", ["", "photos/"])  # a folder of the program that wrote the file
def test_coco_may_have_one_file_name_in_several_folders(own, above):
    first, second, *_ = IMAGES
    shutil.rmtree(own.images)
    for folder in ("cam1", "cam2"):
        own.image(f"{folder}/0001.png")
    value = _in_folders({"cam1_0001": IMAGES[first], "cam2_0001": IMAGES[second]})
    for image in value["images"]:
        image["file_name"] = above + image["file_name"]
    path = own.write("instances.json", value)
    dataset = own.build(path)
    names = ("background", "sign", "road", "car")
    for folder, shapes in (("cam1", IMAGES[first]), ("cam2", IMAGES[second])):
        (record,) = decoded(dataset, folder)
        by_area = sorted(shapes, key=lambda shape: -inside(shape[1]).sum())
        np.testing.assert_array_equal(record["label"][..., 0], expected(by_area, names, 0))


def test_folders_in_coco_that_are_not_on_disk_do_not_matter(own):
    (own.images / "train").mkdir()
    for image in own.images.glob("*.png"):
        image.rename(own.images / "train" / image.name)
    value = coco(IMAGES)
    for image in value["images"]:
        image["file_name"] = f"their/photos/{image['file_name']}"
    dataset = own.build(own.write("instances.json", value))
    assert sum(dataset.info.splits.values()) == len(IMAGES)


def test_coco_beside_the_images_of_each_split_may_have_one_file_name_in_both(own):
    first, second, *_ = IMAGES
    shutil.rmtree(own.images)
    for split, shapes in (("train", IMAGES[first]), ("valid", IMAGES[second])):
        own.image(f"{split}/0001.png")
        own.write(f"{split}/_annotations.coco.json", coco({"0001": shapes}))
    dataset = own.build()
    assert dataset.info.splits == {"train": 1, "val": 1}
    names = ("background", "sign", "road", "car")
    for split, shapes in (("train", IMAGES[first]), ("val", IMAGES[second])):
        (record,) = decoded(dataset, split)
        by_area = sorted(shapes, key=lambda shape: -inside(shape[1]).sum())
        np.testing.assert_array_equal(record["label"][..., 0], expected(by_area, names, 0))


def test_coco_written_on_windows_names_its_images_with_backslashes(own):
    value = coco(IMAGES)
    for image in value["images"]:
        image["file_name"] = "photos\\" + image["file_name"]
    assert_labels(own.build(own.write("instances.json", value)), ("background", "sign", "road", "car"))


def test_cvat_is_drawn_as_an_independent_rasteriser_says(own):
    path = own.write("annotations.xml", cvat(IMAGES))
    dataset = own.build(path)
    assert_labels(dataset)
    assert dataset.info.palette == ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))


def with_subsets(text, *names):
    """Returns the same file as CVAT writes it of a project, whose first images have these subsets."""
    head, *images = text.split("<image ")
    given = (f'subset="{name}" task_id="7" ' if name else "" for name in (*names, *[""] * len(images)))
    return head + "".join(f"<image {subset}{image}" for subset, image in zip(given, images, strict=False))


def splits_of(dataset):
    """The names of the images by split."""
    return {
        split: sorted(record["filename"].decode() for record in decoded(dataset, split))
        for split in dataset.info.splits
    }


@pytest.mark.parametrize(
    "subsets",
    [
        ("Train", "Validation", "Test"),
        ("train", "val", "val"),
        ("Test", "training", "Train"),
        ("valid", "VAL", "TRAIN"),
    ],
)
def test_subsets_of_cvat_are_the_splits_as_another_reader_says(own, subsets, capsys):
    path = own.write("annotations.xml", with_subsets(cvat(IMAGES), *subsets))
    expected = {}
    for element in xml.etree.ElementTree.parse(path).iter("image"):
        split = next(split for split in ("train", "val", "test") if split in element.get("subset").lower())
        expected.setdefault(split, []).append(element.get("name"))
    dataset = own.build(path)
    assert splits_of(dataset) == expected
    assert_labels(dataset)
    assert f"The subsets in {own.labels} are the splits: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("subsets", "options", "said"),
    [
        (("Train",) * 3, {}, "The only split among the subsets in .* is train; val is drawn"),
        (("north", "south", "north"), {}, ""),
        (("Train", "Train", "Test"), {"group_by": "(.)"}, "groups of images"),
    ],
)
def test_val_is_drawn_where_subsets_are_no_splits_or_groups_are_asked_for(own, subsets, options, said, capsys):
    dataset = own.build(own.write("x.xml", with_subsets(cvat(IMAGES), *subsets)), **options)
    assert sorted(dataset.info.splits) == ["train", "val"]
    assert re.search(said, capsys.readouterr().out)


def test_folders_come_before_subsets(own):
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        (own.images / split).mkdir(exist_ok=True)
        (own.images / f"{name}.png").rename(own.images / split / f"{name}.png")
    dataset = own.build(own.write("x.xml", with_subsets(cvat(IMAGES), "Test", "Train", "Train")))
    assert {split: len(names) for split, names in splits_of(dataset).items()} == {"train": 2, "val": 1}


@pytest.mark.parametrize(
    ("subsets", "said"),
    [(("Train", "Val", "night"), "the subset 'night'"), (("Train", "Val"), "no subset")],
)
def test_image_outside_the_splits_of_the_others_is_named(own, subsets, said):
    path = own.write("x.xml", with_subsets(cvat(IMAGES), *subsets))
    with pytest.raises(
        UserError, match=rf"The image c\.png has {said} in .*, and others are in train and val: give it"
    ):
        own.build(path)
    assert written_files(own.data_dir) == []


def test_coco_is_drawn_as_an_independent_rasteriser_says(own):
    path = own.write("instances.json", coco(IMAGES))
    # By the numbers of the categories; of two that overlap the smaller lies on top.
    by_area = {name: sorted(shapes, key=lambda shape: -inside(shape[1]).sum()) for name, shapes in IMAGES.items()}
    assert_labels(own.build(path), ("background", SIGN, ROAD, CAR), by_area)


@pytest.mark.parametrize("kind", ["labelme", "yolo", "cvat", "coco"])
def test_kind_is_told_by_the_contents_or_named(own, kind):
    contents = {"cvat": ("x.xml", cvat(IMAGES)), "coco": ("x.json", coco(IMAGES))}
    {"labelme": write_labelme, "yolo": write_yolo}.get(kind, lambda own: own.write(*contents[kind]))(own)
    dataset = own.build()
    before = {path: path.stat().st_mtime_ns for path in written_files(own.data_dir)}
    assert own.build(labels_as=kind).info == dataset.info  # the same inputs: nothing is written again
    assert {path: path.stat().st_mtime_ns for path in written_files(own.data_dir)} == before
    if kind in ("yolo", "cvat"):
        with pytest.raises(UserError, match=r"There is no file \*\.json in .*labels, as --labels_as=labelme needs"):
            own.build(labels_as="labelme")


def test_given_classes_go_by_their_names_and_without_a_background_the_rest_is_ignored(own, capsys):
    write_labelme(own)
    names = ("road", "Background", "car", "sign")
    dataset = own.build(classes=",".join(names))
    assert dataset.info.class_names == names
    np.testing.assert_array_equal(labels_of(dataset)["a.png"], expected(IMAGES["a"], names, start=1))
    dataset = own.build(classes="sign,road,car", overwrite=True)
    assert_labels(dataset, ("sign", "road", "car"), start=255)
    assert dataset.info.allow_absent_classes
    assert "Pixels that no shape covers are ignored, since none of --classes is called" in capsys.readouterr().out
    with pytest.raises(
        UserError, match=r"has the class 'sign', which is not among --classes \(background, car, road\)"
    ):
        own.build(classes="background,car,road", overwrite=True)


def test_ignored_shapes_and_crowds_count_nowhere(own):
    write_labelme(own)
    own.write("a.json", labelme([*IMAGES["a"], ("__ignore__", FRAME)], "a.png"))
    dataset = own.build()
    label = expected(IMAGES["a"])
    label[inside(FRAME)] = 255
    np.testing.assert_array_equal(labels_of(dataset)["a.png"], label)
    assert dataset.info.class_names == ("background", *NAMES)


def test_rectangles_circles_ellipses_and_masks_of_labelme_and_cvat(own):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 2, (5, 4), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels * 255).save(stream, "PNG")
    shapes = [
        {"label": "box", "shape_type": "rectangle", "points": [[9, 12], [3, 2]]},
        {"label": "disc", "shape_type": "circle", "points": [[20, 10.5], [20, 4.25]]},
        {
            "label": "patch",
            "shape_type": "mask",
            "points": [[25, 3], [28, 7]],
            "mask": base64.b64encode(stream.getvalue()).decode(),
        },
    ]
    x, y = np.arange(WIDTH) + 0.5, (np.arange(HEIGHT) + 0.5)[:, np.newaxis]
    label = np.zeros((HEIGHT, WIDTH), int)
    label[2:12, 3:9] = 1
    label[(x - 20) ** 2 + (y - 10.5) ** 2 <= 6.25**2] = 2
    label[3:8, 25:29][pixels == 1] = 3
    for name in IMAGES:
        own.write(f"{name}.json", {"shapes": shapes, "imagePath": f"{name}.png", "imageHeight": None})
    found = labels_of(own.build())
    np.testing.assert_array_equal(found["b.png"], label)

    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[9], pixels.ravel(), [9]])))).tolist()
    rle = ", ".join(map(str, ([] if pixels[0, 0] == 0 else [0]) + runs))
    areas = (
        '<box label="box" xtl="3" ytl="2" xbr="9" ybr="12"/>'
        '<ellipse label="disc" cx="20" cy="10.5" rx="4" ry="8" rotation="30"/>'
        f'<mask label="patch" left="25" top="3" width="4" height="5" rle="{rle}"/>'
        '<box label="box" xtl="12" ytl="14" xbr="20" ybr="20" rotation="90"/>'
    )
    text = (
        cvat({name: [] for name in IMAGES}, ("box", "disc", "patch"))
        .replace("<tag", f"{areas}<tag")
        .replace("sign", "box")
    )
    (own.root / "x.xml").write_text(text)
    found = labels_of(own.build(own.root / "x.xml", overwrite=True))
    turn = np.deg2rad(30)
    across = (x - 20) * np.cos(turn) + (y - 10.5) * np.sin(turn)
    down = (y - 10.5) * np.cos(turn) - (x - 20) * np.sin(turn)
    label[label == 2] = 0
    label[(across / 4) ** 2 + (down / 8) ** 2 <= 1] = 2
    label[3:8, 25:29][pixels == 1] = 3
    label[13:21, 13:19] = 1  # 8 x 6 about (16, 17), turned upright
    np.testing.assert_array_equal(found["b.png"], label)


def test_yolo_lies_in_its_usual_folders(own, capsys):
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        own.image(f"{split}/{name}.png")
        (own.images / f"{name}.png").unlink()
        own.write(f"{split}/{name}.txt", yolo(IMAGES[name]))
    own.image("train/empty.png")  # an image that shows nothing has no file
    own.write("train.txt", "./images/train/a.png\n./images/train/b.png\n")  # as Darknet lists its images
    (own.root / "data.yaml").write_text("names: [car, road, sign]\n")
    dataset = own.build()
    assert dataset.info.splits == {"train": 3, "val": 1}
    found = labels_of(dataset)
    assert not found.pop("empty.png").any()
    np.testing.assert_array_equal(found["c.png"], expected(IMAGES["c"]))
    said = " ".join(capsys.readouterr().out.split())
    assert "1 of the 3 images in" in said
    assert "labels: train.txt: 1 file." in said


def test_yolo_as_roboflow_packs_it(tmp_path, capsys):
    root = tmp_path / "export"
    for split, name in (("train", "a"), ("valid", "c")):
        own = Own.__new__(Own)
        own.root, own.images, own.labels = root, root / split / "images", root / split / "labels"
        own.image(f"{name}.png")
        own.write(f"{name}.txt", yolo(IMAGES[name]))
    (root / "data.yaml").write_text("names: ['car', 'road', 'sign']\n")
    (root / "README.dataset.txt").write_text("exported\n")
    dataset = build_folder(root, root, None, tmp_path / "data")
    assert dataset.info.splits == {"train": 1, "val": 1}
    np.testing.assert_array_equal(labels_of(dataset)["images/c.png"], expected(IMAGES["c"]))
    assert "The folder valid is taken as the split val." in capsys.readouterr().out


def test_coco_of_several_files_goes_by_the_names_of_the_categories(own):
    """As Roboflow packs it: a file beside the images of each split, whose numbers may differ."""
    own.labels = own.images
    for folder, names, categories in (("train", "ab", NAMES), ("valid", "c", (SIGN, CAR, ROAD))):
        for name in names:
            (own.images / f"{name}.png").unlink()
            own.image(f"{folder}/{name}.png")
        own.write(f"{folder}/_annotations.coco.json", coco({name: IMAGES[name] for name in names}, categories))
    dataset = own.build(own.images, classes="background,car,road,sign")
    assert dataset.info.splits == {"train": 2, "val": 1}
    found = labels_of(dataset)
    by_area = sorted(IMAGES["c"], key=lambda shape: -inside(shape[1]).sum())
    np.testing.assert_array_equal(found["c.png"], expected(by_area))
    own.write("copy.json", coco({"a": IMAGES["a"]}))
    with pytest.raises(UserError, match=r"The image a\.png in .* is in another of the annotation files, too; leave"):
        own.build(own.images, overwrite=True)


@pytest.mark.parametrize("kind", ["labelme", "yolo", "cvat", "coco"])
def test_archives_of_annotations(own, kind):
    contents = {"cvat": ("x.xml", cvat(IMAGES)), "coco": ("x.json", coco(IMAGES))}
    {"labelme": write_labelme, "yolo": write_yolo}.get(kind, lambda own: own.write(*contents[kind]))(own)
    path = own.root / "exported.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(own.labels.iterdir()):
            archive.write(file, f"exported/{file.name}")
    if kind == "coco":
        with pytest.raises(UserError, match=r"exported/x\.json are in an archive; unpack it, and give the file as"):
            own.build(path)
    else:
        assert_labels(own.build(path))


def test_annotations_beside_their_images(own):
    own.labels = own.images
    write_labelme(own, imageHeight=None, imageWidth=None)
    assert_labels(own.build(own.images))


def test_labelme_file_of_another_name_is_found_by_its_image_path(own):
    write_labelme(own)
    (own.labels / "a.json").rename(own.labels / "a_annotated.json")
    assert_labels(own.build())


def test_split_without_annotations_is_unlabelled_and_unlisted_images_are_left_out(own, capsys):
    for name in IMAGES:
        (own.images / f"{name}.png").unlink()
        own.image(f"train/{name}.png")
    own.image("train/unlisted.png")
    own.image("test/z.png")
    dataset = own.build(own.write("x.xml", cvat(IMAGES)))
    assert dataset.info.splits == {"train": 3, "test": 1}
    assert dataset.info.unlabelled == ("test",)
    assert "train/unlisted.png: 1 file" in capsys.readouterr().out


SHORT = [(1, 1), (2, 2)]
ENTITY = '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;">]>'


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "a.json",
            '{"shapes": [',
            r"The labelme file .*labels/a\.json is not valid JSON: .*; save it again in labelme, or .* --skip_bad",
        ),
        (
            "a.json",
            labelme([(CAR, SHORT)], "a.png"),
            r"The shape 1 of .*a\.json cannot be used: its polygon has 2 corn",
        ),
        (
            "a.json",
            {"shapes": [{"label": "x", "shape_type": "line", "points": SHORT}]},
            r"The shape 1 of .*a\.json cannot be used: it is a 'line', which covers no area; remove it",
        ),
        (
            "a.json",
            labelme([(CAR, [(1, 1), (2, 2), (1, 900)])], "a.png"),
            r"shape 1 of .*a\.json .* far outside of its",
        ),
        (
            "a.json",
            labelme([(CAR, CUP)], "a.png", imageWidth=30),
            r"a\.png is 32 x 24 pixels but its label .* is 30 x 24",
        ),
        ("a.json", labelme([], "a.png", imageWidth=10**9), r"a\.json has the image size \(24, 1000000000\), which is"),
        ("a.json", labelme([("", CUP)], "a.png"), r"The shape 1 of .*a\.json cannot be used: it has no label"),
        ("z.json", labelme([(CAR, CUP)], "z.png"), r"z\.json: 1 image with annotations in .*labels that are not in"),
    ],
)
def test_bad_labelme_is_named_and_leaves_nothing(own, name, value, message):
    write_labelme(own)
    own.write(name, value)
    with pytest.raises(UserError, match=message):
        own.build()
    assert written_files(own.data_dir) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n1 0.5 0.5 0.1 0.1\n", r"Line 2 of the YOLO file .*a\.txt cannot be used: it is a box"),
        ("0 .1 .1 .5 .1 .5 1.2\n", r"Line 1 .*it has 1\.2, and coordinates are shares of the image, from 0 to 1"),
        ("3 .1 .1 .5 .1 .5 .2\n", r"Line 1 .*: its class is 3, but there are 3 names \(0 to 2\)"),
        ("0 .1 .1 .5 .1 .5\n", r"Line 1 .*: it has 5 numbers after the class"),
        ("car .1 .1 .5 .1 .5 .5\n", r"Line 1 .*: 'car' is not a number"),
        ("0 .1 .1 .5 .1 .5 nan\n", r"Line 1 .*: 'nan' is not a number"),
    ],
)
def test_bad_yolo_is_named_and_leaves_nothing(own, text, message):
    write_yolo(own)
    own.write("a.txt", text)
    with pytest.raises(UserError, match=message):
        own.build()
    assert written_files(own.data_dir) == []


def test_bad_labelme_files_after_the_first_are_named_too(own):
    write_labelme(own)
    for name in ("a", "b"):
        own.write(f"{name}.json", '{"shapes": [')
    with pytest.raises(UserError, match=r"a\.json is not valid JSON: .*; 1 more cannot be used either \(b\.json\)\.$"):
        own.build()


def test_yolo_without_names_needs_classes_in_the_order_of_its_numbers(own):
    write_yolo(own)
    (own.root / "data.yaml").write_text("names: {0: car, 2: sign}\n")
    with pytest.raises(UserError, match=r"`names` in .*data\.yaml must be a list of the classes' names, or names by"):
        own.build()
    (own.root / "data.yaml").write_text("names: [car\n")
    with pytest.raises(UserError, match=r"The YAML file .*data\.yaml is damaged"):
        own.build()
    (own.root / "data.yaml").write_text("of: {{ another program }}\n")
    with pytest.raises(
        UserError, match=r"no file next to them gives their names; put data\.yaml or classes\.txt there"
    ):
        own.build()
    assert_labels(own.build(classes="background,car,road,sign"))
    own.write("classes.txt", "car\nroad\nsign\n")
    assert_labels(own.build(overwrite=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace("<annotations>", f"{ENTITY}<annotations>"),
            r"x\.xml has a document type \(DOCTYPE\)",
        ),
        (lambda text: text[:-20], r"The CVAT file .*x\.xml is damaged: "),
        (
            lambda text: text.replace(' points="', ' points="1,1,1;'),
            r"polygon 1 of the image a\.png in .*x\.xml cannot be",
        ),
        (lambda text: text.replace("polygon", "polyline"), r"polyline 1 of the image a\.png .*: it covers no area"),
        (lambda text: text.replace('name="b.png"', 'name="a.png"'), r"has the image a\.png more than once"),
        (
            lambda text: text.replace('name="b.png"', 'name="../b.png"'),
            r"Image 2 of the CVAT file .* has the name '\.\./b",
        ),
        (lambda text: text.replace('width="32"', 'width="-1"'), r"The image a\.png in .* has the size -1 x 24"),
        (lambda text: text.replace('name="b.png"', 'name="q.png"'), r"q\.png: 1 image with annotations .* not in"),
        (lambda text: text.replace('label="car"', ""), r"polygon \d of the image a\.png in .*: it has no label"),
    ],
)
def test_bad_cvat_is_named_and_leaves_nothing(own, change, message):
    path = own.write("x.xml", change(cvat(IMAGES)))
    with pytest.raises(UserError, match=message):
        own.build(path, labels_as="cvat")
    assert written_files(own.data_dir) == []


def wrong_category(value):
    value["annotations"][0]["category_id"] = 5


def wrong_polygon(value):
    value["annotations"][0]["segmentation"] = [[1, 1, 2, 2]]


def lost_image(value):
    value["images"][0]["file_name"] = "q.png"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            wrong_category,
            r"x\.json are not laid out as COCO's: entry 0 of 'annotations' is malformed \('category_id' is 5",
        ),
        (wrong_polygon, r"The annotation 0 of a\.png in .*x\.json cannot be used: a polygon of it does not have three"),
        (lost_image, r"q\.png: 1 image with annotations in .*labels that are not in"),
    ],
)
def test_bad_coco_is_named_and_leaves_nothing(own, change, message):
    value = coco(IMAGES)
    change(value)
    with pytest.raises(UserError, match=message):
        own.build(own.write("x.json", value))
    assert written_files(own.data_dir) == []


def test_damaged_annotations_of_an_image_are_skipped_on_request(own, capsys):
    write_labelme(own)
    own.write("b.json", "{")
    dataset = own.build(skip_bad=True)
    assert sorted(labels_of(dataset)) == ["a.png", "c.png"]
    assert "1 example was skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_map": "1:2"}, r"--label_map is for label pictures, and --labels=.* are annotations \(labelme\)"),
        ({"label_format": "rgb"}, r"--label_format is for label pictures"),
        ({"labels_as": "xml"}, r"--labels_as must be one of auto, pictures, coco"),
        ({"group_by": "("}, r"--group_by=\( is not a regular expression"),
    ],
)
def test_flags_that_do_not_go_with_annotations(own, options, message):
    write_labelme(own)
    with pytest.raises(UserError, match=message):
        own.build(**options)


def test_files_that_are_no_annotations_are_named(own):
    with pytest.raises(UserError, match=r"x\.json is not a supported kind of annotations"):
        own.build(own.write("x.json", {"a": 1}))
    with pytest.raises(UserError, match="--classes is required"):
        own.build()
    with pytest.raises(UserError, match=r"x\.xml is laid out as PASCAL VOC's annotations, which have boxes"):
        own.build(own.write("x.xml", "<?xml version='1.0'?><!-- voc --><annotation><object/></annotation>"))
    with pytest.raises(UserError, match=r"x\.xml is CVAT's for video; export it as 'CVAT for images 1\.1'"):
        own.build(own.write("x.xml", "<annotations><track id='0'/></annotations>"))


def test_command_takes_them(own, capsys):
    path = own.write("instances.json", coco(IMAGES))
    flags = [f"--images={own.images}", f"--labels={path}", f"--data_dir={own.data_dir}"]
    assert execute("build_folder", flags) == 0
    assert "Classes: background, sign, road, car; pixels that no shape covers are background." in " ".join(
        capsys.readouterr().out.split()
    )
