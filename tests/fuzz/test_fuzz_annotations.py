"""Damaged and odd annotations of labelme, YOLO and CVAT: a label of their image, or a sentence."""

import json

import numpy as np
from mutations import mutated_bytes, mutated_json

from deeplab_dpc.datasets.cvat import read_cvat, root_element
from deeplab_dpc.datasets.labelme import read_labelme
from deeplab_dpc.datasets.outlines import Annotated
from deeplab_dpc.datasets.yolo import find_names, looks_like_yolo, read_yolo

IDS = {"car": 1, "road": 2}
SIZE = (24, 32)
LABELME = {
    "shapes": [
        {"label": "car", "points": [[1, 1], [9, 1], [9, 12.5]], "shape_type": "polygon"},
        {"label": "road", "points": [[1, 1], [9, 12]], "shape_type": "rectangle"},
        {"label": "road", "points": [[12, 12], [12, 18]], "shape_type": "circle"},
    ],
    "imagePath": "a.png",
    "imageHeight": 24,
    "imageWidth": 32,
}
YOLO = b"0 .1 .1 .5 .1 .5 .9\n1 0.25 0.25 0.75 0.25 0.75 0.5 0.25 0.5\n"
CVAT = b"""<?xml version="1.0" encoding="utf-8"?>
<annotations><meta><job><labels><label><name>car</name><color>#ff0000</color></label></labels></job></meta>
<image id="0" name="a.png" width="32" height="24">
<polygon label="car" points="1,1;9,1;9,12.5" z_order="2"/><box label="road" xtl="1" ytl="2" xbr="5" ybr="6"/>
<ellipse label="road" cx="9" cy="8" rx="4" ry="3" rotation="20" z_order="1"/>
<mask label="car" rle="1, 2, 3" left="2" top="3" width="3" height="2"/>
</image></annotations>"""


def drawn(annotated):
    label = annotated.label(IDS, 0)
    assert label.dtype == np.uint8
    assert label.shape == annotated.size
    assert set(np.unique(label)) <= {0, 1, 2}


def test_labelme_of_odd_values(fuzz):
    def one(rng):
        found = read_labelme(json.dumps(mutated_json(rng, LABELME)).encode(), "a.json")
        drawn(Annotated("a.json", found.size or SIZE, found.shapes))
        return "as written"

    assert fuzz("labelme, values", one)["refused"]


def test_labelme_of_damaged_text(fuzz):
    def one(rng):
        found = read_labelme(mutated_bytes(rng, json.dumps(LABELME).encode()), "a.json")
        drawn(Annotated("a.json", found.size or SIZE, found.shapes))
        return "as written"

    assert fuzz("labelme, text", one)["refused"]


def test_yolo(fuzz):
    def one(rng):
        data = mutated_bytes(rng, YOLO)
        looks_like_yolo(data.decode("utf-8", "replace"))
        drawn(Annotated("a.txt", SIZE, read_yolo(data, "a.txt", ["car", "road"], *SIZE)))
        return "as written"

    assert fuzz("YOLO", one)["refused"]


def test_names_of_yolo(fuzz, tmp_path):
    def one(rng):
        (tmp_path / "data.yaml").write_bytes(mutated_bytes(rng, b"names:\n  0: car\n  1: road\npath: ../x\n"))
        found = find_names([tmp_path])
        if found is None:
            return "none"
        assert all(isinstance(name, str) for name in found[0])
        return "as written"

    assert fuzz("YOLO's names", one)["refused"]


def test_cvat(fuzz):
    def one(rng):
        data = mutated_bytes(rng, CVAT)
        root_element(data)
        for annotated in read_cvat(data, "a.xml").images.values():
            drawn(annotated)
        return "as written"

    tally = fuzz("CVAT", one)
    assert tally["refused"]
    assert tally["as written"]
