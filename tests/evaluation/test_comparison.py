"""Paired comparison of two evaluations."""

import dataclasses
import itertools
import json

import numpy as np
import pytest

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.bootstrap import Bootstrap
from deeplab_dpc.evaluation.comparison import compare, find_evaluation
from deeplab_dpc.evaluation.image_counts import ImageCounts
from deeplab_dpc.evaluation.measures import AT_BOUNDARY, BY_CLASS, Measured
from deeplab_dpc.evaluation.stored import StoredEvaluation, Subject, read_evaluation, write_evaluation

NAMES = ("sky", "road", "car")
LABELLED = np.array([[5, 5, 0], [8, 2, 0], [0, 10, 0], [4, 6, 0]])
RIGHT_A = np.array([[5, 1, 0], [6, 2, 0], [0, 7, 0], [4, 3, 0]])
RIGHT_B = np.array([[5, 4, 0], [7, 2, 0], [0, 7, 0], [2, 6, 0]])


def evaluation(right: np.ndarray, labelled: np.ndarray = LABELLED, **subject) -> StoredEvaluation:
    """Of pixels of two classes, where what is wrong is predicted as the other; the third is absent."""
    predicted = right + (labelled - right)[:, [1, 0, 2]]
    images = tuple(f"{i}.png" for i in range(len(labelled)))
    counts = ImageCounts(images, labelled, predicted, right)
    facts = {"dataset": "d", "split": "val", "class_names": NAMES, "ignore_label": 255} | subject
    return StoredEvaluation(Subject(**facts), (Measured(BY_CLASS, NAMES, 0, counts),))


def miou(right, labelled, drawn) -> float:
    """Mean IoU of two classes, straight from its definition."""
    right, labelled = right[list(drawn)].sum(axis=0), labelled[list(drawn)].sum(axis=0)
    union = labelled + (labelled - right)[[1, 0, 2]]
    return float(np.mean([right[i] / union[i] for i in range(2) if union[i]]))


def test_interval_is_that_of_all_resamples_there_are():
    every = [
        miou(RIGHT_B, LABELLED, drawn) - miou(RIGHT_A, LABELLED, drawn)
        for drawn in itertools.product(range(4), repeat=4)
    ]
    found = compare(evaluation(RIGHT_A), evaluation(RIGHT_B), Bootstrap(20_000)).summary["miou"]
    assert found.value == pytest.approx(miou(RIGHT_B, LABELLED, range(4)) - miou(RIGHT_A, LABELLED, range(4)))
    assert [found.low, found.high] == pytest.approx(np.percentile(every, [2.5, 97.5]).tolist(), abs=0.01)
    assert found.is_clear == (np.percentile(every, 2.5) > 0)


def test_same_evaluation_twice_differs_by_exactly_0():
    found = compare(evaluation(RIGHT_A), evaluation(RIGHT_A), Bootstrap())
    differences = [*found.summary.values(), found.each["per_class_iou"]["sky"]]
    assert {(one.value, one.low, one.high, one.is_clear) for one in differences} == {(0, 0, 0, False)}


def test_improvement_in_every_image_is_clear_though_the_figures_overlap():
    labelled = np.array([[100, 100, 0]] * 20)
    right = np.zeros_like(labelled)
    right[:, 0] = np.arange(20) * 4 + 10
    right[:, 1] = 50
    found = compare(evaluation(right, labelled), evaluation(right + [1, 1, 0], labelled), Bootstrap()).summary["miou"]
    assert found.is_clear
    assert found.high - found.low < 0.002


def test_absent_class_has_no_difference():
    found = compare(evaluation(RIGHT_A), evaluation(RIGHT_B), Bootstrap(20))
    value = json.loads(json.dumps(found.to_json()))
    assert value["per_class_iou"]["car"] == {
        "first": None,
        "second": None,
        "difference": None,
        "interval": None,
        "excludes_0": False,
    }
    assert value["num_images"] == 4


def test_measures_with_other_settings_are_left_out():
    first, second = evaluation(RIGHT_A), evaluation(RIGHT_B)
    counts = first.measured[0].counts
    first, second = (
        dataclasses.replace(one, measured=(*one.measured, Measured(AT_BOUNDARY, NAMES, ratio, counts)))
        for one, ratio in ((first, 0.02), (second, 0.01))
    )
    found = compare(first, second, Bootstrap(20))
    assert found.left_out == ("boundary mIOU",)
    assert "boundary_miou" not in found.summary


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (evaluation(RIGHT_A, dataset="e"), "used different data sets: d and e; evaluate both with the same data set."),
        (evaluation(RIGHT_A, split="test"), "used different splits: val and test; evaluate both with the same split."),
        (
            evaluation(RIGHT_A, class_names=("a", "b", "c")),
            r"used different classes: \['sky', 'road', 'car'\] and .*; evaluate both with the same classes.",
        ),
        (
            evaluation(RIGHT_A, ignore_label=0),
            "used different ignore labels: 255 and 0; evaluate both with the same ignore label.",
        ),
        (
            evaluation(RIGHT_A[:3], LABELLED[:3]),
            r"used different images \(4 and 3, one has more\); evaluate both on the same images.",
        ),
        (evaluation(RIGHT_A, LABELLED + [0, 0, 1]), "the labels of 4 images differ, the first is 0.png"),
    ],
)
def test_what_is_not_the_same_is_refused(other, message):
    with pytest.raises(UserError, match=message):
        compare(evaluation(RIGHT_A), other, Bootstrap())


def test_evaluation_survives_its_file_and_is_found_in_a_run(tmp_path):
    stored = evaluation(RIGHT_A)
    folder = tmp_path / "run" / "eval_val"
    write_evaluation(folder, stored)
    assert find_evaluation(tmp_path / "run", "val") == find_evaluation(folder, "val") == folder
    found = read_evaluation(folder)
    assert found.subject == stored.subject
    assert found.measured[0].counts.names == stored.measured[0].counts.names
    assert compare(stored, found, Bootstrap(5)).summary["miou"].value == 0


def test_run_that_is_not_evaluated_is_told_how(tmp_path):
    with pytest.raises(
        UserError, match=r"no evaluation of the split test; make it with .* --workdir=RUN --eval_logdir="
    ):
        find_evaluation(tmp_path, "test")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=rf"deeplab-dpc eval --workdir={tmp_path} --split=test\."):
        find_evaluation(tmp_path, "test")
    with pytest.raises(UserError, match="nowhere is not a directory; give two runs"):
        find_evaluation(tmp_path / "nowhere", "val")


def test_damaged_file_is_named(tmp_path):
    (tmp_path / "per_image.npz").write_bytes(b"PK\x03\x04 and nothing else")
    with pytest.raises(UserError, match=r"per_image\.npz is damaged; evaluate again"):
        read_evaluation(tmp_path)
    write_evaluation(tmp_path, evaluation(RIGHT_A))
    with np.load(tmp_path / "per_image.npz") as arrays:
        np.savez(tmp_path / "per_image.npz", **{name: arrays[name] for name in arrays if name != "images"})
    with pytest.raises(UserError, match=r"per_image\.npz is damaged; evaluate again"):
        read_evaluation(tmp_path)
