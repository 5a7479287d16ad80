"""Evaluation of a split: what is counted, and what is refused before anything is predicted."""

import dataclasses

import numpy as np
import pytest

from deeplab_dpc.data.pipeline import evaluation_dataset
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation import evaluator
from deeplab_dpc.evaluation.evaluator import evaluate, predictions


class Constant:
    """Stands for a predictor: class 1 everywhere."""

    num_classes = 7

    def check_size(self, image, name):
        assert image.shape == (65, 81, 3)

    def predict_batch(self, images):
        return np.ones(images.shape[:3], np.int32)


def test_every_pixel_of_the_split_is_counted(shapes):
    confusion = evaluate(Constant(), shapes, "val")
    assert confusion.matrix.sum() == confusion.matrix[:, 1].sum() == 5 * 65 * 81


def test_split_without_labels_is_refused(shapes):
    unlabelled = dataclasses.replace(shapes, info=dataclasses.replace(shapes.info, unlabelled=("val",)))
    with pytest.raises(UserError, match="The split val of .* has no labels, .*; splits with labels: train"):
        evaluate(Constant(), unlabelled, "val")


def test_images_without_labels_can_be_predicted(shapes):
    unlabelled = dataclasses.replace(shapes, info=dataclasses.replace(shapes.info, unlabelled=("val",)))
    found = list(predictions(Constant(), unlabelled, "val", progress=False))
    assert len(found) == len({name for name, _, _, _ in found}) == 5
    assert all((ids == 1).all() and ids.shape == image.shape[:2] for _, image, _, ids in found)


def test_another_number_of_classes_is_refused(shapes):
    fewer = dataclasses.replace(shapes, info=dataclasses.replace(shapes.info, class_names=("a", "b")))
    with pytest.raises(UserError, match="The model has 7 classes, the data set shapes has 2"):
        evaluate(Constant(), fewer, "val")


def test_record_whose_name_is_no_text_is_evaluated(shapes, monkeypatch):
    def renamed(*args):
        return evaluation_dataset(*args).map(lambda example: example | {"filename": b"stra\xdfe.jpg"})

    monkeypatch.setattr(evaluator, "evaluation_dataset", renamed)
    assert {name for name, *_ in predictions(Constant(), shapes, "val", progress=False)} == {r"stra\xdfe.jpg"}
