"""Damaged COCO annotations: labels of the right size and classes, or a sentence."""

import json

import numpy as np
from mutations import mutated_bytes, mutated_json

from deeplab_dpc.datasets.coco import instance_ids
from deeplab_dpc.datasets.coco_categories import choose_classes
from deeplab_dpc.datasets.coco_json import read_annotations
from deeplab_dpc.datasets.coco_masks import segmentation_mask
from deeplab_dpc.errors import UserError

PERSON, DOG = {"id": 1, "name": "person"}, {"id": 18, "name": "dog"}
ANNOTATIONS = [
    {"id": 1, "image_id": 9, "category_id": 1, "iscrowd": 0, "segmentation": [[1, 1, 5.5, 1, 5.5, 4, 1, 4]]},
    {"id": 2, "image_id": 9, "category_id": 18, "iscrowd": 1, "segmentation": {"size": [5, 8], "counts": [12, 9, 19]}},
    {"id": 3, "image_id": 10, "category_id": 18, "iscrowd": 0, "segmentation": {"size": [4, 4], "counts": [5, 2, 9]}},
]
DOCUMENT = {
    "info": {"year": 2017},
    "images": [
        {"id": 9, "file_name": "9.jpg", "height": 5, "width": 8},
        {"id": 10, "file_name": "10.jpg", "height": 4, "width": 4},
    ],
    "annotations": ANNOTATIONS,
    "categories": [PERSON, DOG],
}


def labels(path):
    annotations = read_annotations(path)
    voc_ids = choose_classes({"train": annotations}, "voc").ids["train"]
    found = {image.filename: instance_ids(annotations, voc_ids, image)[0] for image in annotations.images}
    for image in annotations.images:
        assert found[image.filename].shape == (image.height, image.width)
        assert set(np.unique(found[image.filename])) <= {0, 12, 15, 255}
    return {name: (ids.shape, ids.tobytes()) for name, ids in found.items()}


def test_values_of_another_kind(fuzz, tmp_path):
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(DOCUMENT))
    intact = labels(path)

    def one(rng):
        path.write_text(json.dumps(mutated_json(rng, DOCUMENT)))
        return "same" if labels(path) == intact else "as written"

    assert fuzz("COCO, values", one)["refused"]


def test_damaged_text(fuzz, tmp_path):
    path = tmp_path / "instances.json"
    text = json.dumps(DOCUMENT).encode()
    path.write_bytes(text)
    intact = labels(path)

    def one(rng):
        path.write_bytes(mutated_bytes(rng, text))
        return "same" if labels(path) == intact else "as written"

    assert fuzz("COCO, text", one)["refused"]


def test_damaged_run_lengths(fuzz):
    text = "523OoP10dd0"

    def one(rng):
        counts = mutated_bytes(rng, text.encode()).decode("latin-1")
        try:
            mask = segmentation_mask({"size": [4, 4], "counts": counts}, 4, 4)
        except ValueError as error:
            raise UserError(str(error)) from error
        assert mask.shape == (4, 4)
        return "as written"

    assert fuzz("COCO, run lengths", one, share=0.5)["refused"]
