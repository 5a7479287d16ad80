"""Damaged and odd classes files, label maps, lists, and metadata of data sets: as written, or a sentence."""

import dataclasses
import io
import json

import numpy as np
import pytest
from mutations import mutated_bytes, mutated_json
from PIL import Image

from deeplab_dpc.data.absent_classes import LABEL_COUNTS_FILE, absent_class_problem, read_label_counts
from deeplab_dpc.data.classes_file import ClassesFile, read_classes_file
from deeplab_dpc.data.contact_sheet import make_tile, save_contact_sheet
from deeplab_dpc.data.dataset_info import INFO_FILE, Dataset, DatasetInfo, load_dataset, pascal_palette
from deeplab_dpc.datasets.label_ids import OTHER, SAME, LabelReader, read_label_map
from deeplab_dpc.datasets.label_pictures import read_label
from deeplab_dpc.datasets.naming import find_naming
from deeplab_dpc.datasets.pair_list import read_pair_list
from deeplab_dpc.datasets.pictures import encode_png, read_image
from deeplab_dpc.datasets.raw_files import open_raw
from deeplab_dpc.datasets.splits import ValDraw

CLASSES = {
    "classes": ["sky", "road", "car"],
    "palette": [[0, 0, 0], [255, 0, 0], [0, 0, 255]],
    "ignore_label": 255,
    "ignore_color": [255, 255, 255],
    "categories": ["", "flat", "vehicle"],
    "allow_absent_classes": True,
}
INFO = DatasetInfo(
    "streets", ("sky", "road", "car"), pascal_palette(3), 255, {"train": 3, "val": 1}, {"train": (8, 9), "val": (7, 9)}
)


def check_classes(found: ClassesFile) -> None:
    """What all that comes after relies on."""
    assert 2 <= len(found.names) == len(set(found.names)) <= 256
    assert all(name == name.strip() and len(name.splitlines()) == 1 for name in found.names)
    "".join(found.names).encode()
    np.array(found.palette, np.uint8).reshape(len(found.names), 3)
    assert 0 <= found.ignore_label <= 255
    assert len(found.categories) in (0, len(found.names))


def test_classes_files_of_odd_values(fuzz, tmp_path):
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(CLASSES))
    intact = read_classes_file(path)

    def one(rng):
        path.write_text(json.dumps(mutated_json(rng, CLASSES)))
        found = read_classes_file(path)
        check_classes(found)
        return "same" if found == intact else "as written"

    assert fuzz("classes, values", one, share=0.5)["refused"]


@pytest.mark.parametrize("name", ["classes.json", "names.txt"])
def test_classes_files_of_damaged_text(fuzz, tmp_path, name):
    path = tmp_path / name
    text = json.dumps(CLASSES) if name.endswith(".json") else "sky\nroad\nfire truck\n"

    def one(rng):
        path.write_bytes(mutated_bytes(rng, text.encode()))
        check_classes(read_classes_file(path))
        return "as written"

    assert fuzz(f"classes, text of {name}", one, share=0.5)["refused"]


def test_label_maps(fuzz, tmp_path):
    classes = ClassesFile(("sky", "road", "car"), pascal_palette(3), 255, None, False)
    raw = np.array([[0, 7, 8, 255]], np.uint8)

    def one(rng):
        text = mutated_bytes(rng, b"7:0,8:1,*:255").decode("latin-1")
        found = read_label_map(text, classes)
        for key, target in found.items():
            assert key == OTHER or 0 <= int(key) <= 255
            assert target in (0, 1, 2, 255) or (key, target) == (OTHER, SAME)
        ids = LabelReader(classes, id_map=found).read(encode_png(raw), "a.png")
        for value, became in zip(raw[0].tolist(), ids[0].tolist(), strict=True):
            expected = found.get(str(value), 255 if value == 255 and found.get(OTHER) != SAME else found.get(OTHER))
            assert became == (value if expected == SAME else expected)
        return "as written"

    tally = fuzz("label maps", one, share=0.5)
    assert tally["refused"]
    assert tally["as written"]


def test_label_maps_of_odd_values(fuzz, tmp_path):
    classes = ClassesFile(("sky", "road", "car"), pascal_palette(3), 255, None, False)
    path = tmp_path / "map.json"

    def one(rng):
        path.write_text(json.dumps(mutated_json(rng, {"7": 0, "8": 1, "*": "same"})))
        found = read_label_map(path, classes)
        assert set(found.values()) <= {0, 1, 2, 255, SAME}
        return "as written"

    assert fuzz("label maps, values", one, share=0.5)["refused"]


def test_pair_lists(fuzz, tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.png").write_bytes(b"")
    path = tmp_path / "list.csv"
    text = b"image,label,split\na.png,b.png,train\nb.png,c.png,train\nc.png,a.png,val\n"
    raw = open_raw(tmp_path)
    path.write_bytes(text)
    intact = read_pair_list(path, raw, raw, ValDraw(0.2))

    def one(rng):
        path.write_bytes(mutated_bytes(rng, text))
        splits = read_pair_list(path, raw, raw, ValDraw(0.2))
        pairs = [pair for members in splits.values() for pair in members]
        assert pairs
        assert len({pair.image for pair in pairs}) == len(pairs)
        assert all(raw.exists(pair.image) and (pair.label is None or raw.exists(pair.label)) for pair in pairs)
        return "same" if splits == intact else "as written"

    assert fuzz("lists", one, share=0.5)["refused"]


def test_metadata_of_odd_values_and_what_is_drawn_from_it(fuzz, tmp_path):
    value = INFO.to_json()
    tile = make_tile(np.zeros((4, 5, 3), np.uint8), np.array([[0, 1, 2, 255, 9]] * 4, np.uint8))

    def one(rng):
        (tmp_path / INFO_FILE).write_text(json.dumps(mutated_json(rng, value)))
        info = load_dataset(tmp_path).info
        if info == INFO:
            return "same"
        check_classes(ClassesFile(info.class_names, info.palette, info.ignore_label, None, True, info.categories))
        assert all(count >= 0 for count in info.splits.values())
        if rng.random() < 0.05:  # drawing takes its time
            save_contact_sheet(tmp_path / "sheet.png", [("a", tile)], info, np.zeros(256))
        return "as written"

    assert fuzz("metadata, values", one, share=0.5)["refused"]


def test_counts_of_ids(fuzz, tmp_path):
    value = {"train": {"0": 5, "1": 7, "2": 1, "255": 4}, "val": {"0": 3, "1": 1}}
    dataset = Dataset(tmp_path, INFO)

    def one(rng):
        (tmp_path / LABEL_COUNTS_FILE).write_text(json.dumps(mutated_json(rng, value)))
        pixels = read_label_counts(dataset)
        problem = absent_class_problem(pixels, "train", INFO)
        lost = not (pixels["train"] + pixels["val"])[:3].all() or not pixels["train"][:3].any()
        lost = lost or bool(pixels["val"][255])  # where val lacks a class, as it does here
        assert problem is None or lost
        return "as written"

    assert fuzz("counts of ids", one, share=0.5)["refused"]


def test_label_pictures(fuzz):
    ids = np.random.default_rng(0).integers(0, 3, (6, 7)).astype(np.uint8)
    colored = Image.fromarray(ids)
    colored.putpalette([channel for color in pascal_palette(3) for channel in color])
    files = {"grey": encode_png(ids), "palette": encode_png(colored), "bits": encode_png(Image.fromarray(ids > 1))}
    intact = {name: read_label(data, name).values.tobytes() for name, data in files.items()}

    def one(rng):
        name = list(files)[int(rng.integers(len(files)))]
        label = read_label(mutated_bytes(rng, files[name]), name)
        assert label.values.tobytes() == intact[name], "a PNG has checksums"
        return "same"

    assert fuzz("label PNGs", one)["refused"]


def test_images_of_records(fuzz):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8))
    exif = Image.Exif()
    exif[0x112] = 6
    stream = io.BytesIO()
    picture.save(stream, "PNG", exif=exif)
    data = stream.getvalue()
    turned = picture.transpose(Image.Transpose.ROTATE_270).tobytes()

    def one(rng):
        image = read_image(mutated_bytes(rng, data), "a.png")
        assert Image.open(io.BytesIO(image.data)).convert("RGB").tobytes() == turned
        return "same"

    assert fuzz("turned PNGs", one, share=0.5)["refused"]


def test_names_of_labels(fuzz):
    def one(rng):
        letters = np.array(list("ab1_-. "))
        images = {"".join(rng.choice(letters, int(rng.integers(1, 6)))) for _ in range(int(rng.integers(1, 5)))}
        before, after = rng.choice(["", "mask_", "m"]), rng.choice(["", "_mask", "_gt", "x"])
        label_of = {name: f"{before}{name}{after}" for name in images}
        naming = find_naming(images, label_of.values(), "labels")
        found = {name: naming.label_key(name) for name in images}
        if set(found.values()) == set(label_of.values()):
            assert found == label_of, naming
            return "all paired"
        return "unpaired"  # which is an error where images and labels are matched

    assert fuzz("names of labels", one)["all paired"]


def test_metadata_survives_its_own_json():
    assert DatasetInfo.from_json(json.loads(json.dumps(dataclasses.asdict(INFO)))) == INFO
