"""What a run directory shows of a training: tables, curves and pictures."""

import csv
import pathlib

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.training.curves import draw_curves, smoothed, write_metrics, write_panels

ROW = {
    "step": 10,
    "loss": 1.5,
    "cross_entropy": 1.25,
    "weight_decay": 0.25,
    "gradient_norm": 3.0,
    "learning_rate": 0.01,
}
VALIDATIONS = [
    {"step": 10, "miou": 0.25, "pixel_accuracy": 0.5, "mean_class_accuracy": 0.375},
    {"step": 20, "miou": 0.5, "pixel_accuracy": 0.75, "mean_class_accuracy": 0.625},
    {"step": 30, "miou": 0.4, "pixel_accuracy": 0.75, "mean_class_accuracy": 0.625},
]


def rows(count):
    return [{**ROW, "step": 10 * (i + 1)} for i in range(count)]


def table(path: pathlib.Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def panels_of(figure) -> dict[str, object]:
    return {axes.get_title(): axes for axes in figure.axes if axes.axison}


def test_metrics_have_all_columns_in_the_order_in_which_they_appear(tmp_path):
    write_metrics(tmp_path, [{"step": 1, "loss": 2.0}, {"step": 2, "dice_loss": 0.5, "loss": 1.0}], [])
    assert table(tmp_path / "metrics.csv") == [["step", "loss", "dice_loss"], ["1", "2.0", ""], ["2", "1.0", "0.5"]]


def test_validations_have_a_table_of_their_own(tmp_path):
    write_metrics(tmp_path, rows(2), VALIDATIONS)
    assert table(tmp_path / "validation.csv")[:2] == [
        ["step", "miou", "pixel_accuracy", "mean_class_accuracy"],
        ["10", "0.25", "0.5", "0.375"],
    ]


def test_every_file_is_written_whole_and_nothing_else_is_left(tmp_path):
    write_metrics(tmp_path, rows(60), VALIDATIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "metrics.csv", "validation.csv"]
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (1144, 748)


def test_before_the_first_row_there_is_nothing_to_write(tmp_path):
    write_metrics(tmp_path, [], [])
    assert list(tmp_path.iterdir()) == []


def test_validations_before_the_first_row_are_drawn(tmp_path):
    write_metrics(tmp_path, [], VALIDATIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "validation.csv"]


def test_each_known_quantity_has_a_panel():
    panels = panels_of(draw_curves(rows(3), VALIDATIONS))
    assert list(panels) == [
        "Loss",
        "Validation (best mIOU 0.5000 at step 20)",
        "Learning rate",
        "Gradient norm",
    ]
    assert list(panels_of(draw_curves([{"step": 1, "loss": 1.0}], []))) == ["Loss"]


def test_loss_is_drawn_with_its_parts():
    loss = panels_of(draw_curves(rows(3), []))["Loss"]
    lines = {line.get_label(): line.get_ydata().tolist() for line in loss.lines}
    assert lines == {"loss": [1.5] * 3, "cross entropy": [1.25] * 3, "weight decay": [0.25] * 3}


def test_loss_of_one_part_is_drawn_alone():
    alone = [{"step": 1, "loss": 1.5, "cross_entropy": 1.5}, {"step": 2, "loss": 1.0, "cross_entropy": 1.0}]
    assert len(panels_of(draw_curves(alone, []))["Loss"].lines) == 1


def test_many_rows_are_drawn_faintly_under_a_smoothed_line():
    few, many = (panels_of(draw_curves(rows(count), []))["Gradient norm"].lines for count in (50, 51))
    assert len(few) == 1
    assert [line.get_alpha() for line in many] == [0.25, None]


def test_smoothing_keeps_a_constant_and_leaves_out_what_is_not_finite():
    np.testing.assert_allclose(smoothed(np.full(200, 3.0)), 3.0)
    np.testing.assert_allclose(smoothed(np.array([1.0, np.nan, 1.0, np.inf, 1.0])), 1.0)


def test_smoothed_value_is_the_gaussian_mean_of_its_neighbours():
    # Fewer than 67 values have deviation 1; weights exp(-1/2), exp(-2), exp(-9/2) at distance 1, 2, 3.
    impulse = np.zeros(9)
    impulse[4] = 1.0
    total = 1 + 2 * (np.exp(-0.5) + np.exp(-2) + np.exp(-4.5))
    assert smoothed(impulse)[4] == pytest.approx(1 / total)
    assert smoothed(impulse)[3] == pytest.approx(np.exp(-0.5) / total)
    assert smoothed(impulse)[0] == 0.0  # four away


def test_losses_that_are_not_finite_are_drawn_around(tmp_path):
    diverged = [*rows(60), {**ROW, "step": 610, "loss": float("nan"), "gradient_norm": float("inf")}]
    write_metrics(tmp_path, diverged, [])
    assert table(tmp_path / "metrics.csv")[-1][:2] == ["610", "nan"]
    assert panels_of(draw_curves(diverged, []))["Gradient norm"].get_ylim()[1] < 10


def test_panels_are_stacked_below_their_step(tmp_path):
    panels = np.stack([np.full((40, 120, 3), 10, np.uint8), np.full((40, 120, 3), 200, np.uint8)])
    write_panels(tmp_path, 1500, panels)
    picture = np.asarray(Image.open(tmp_path / "predictions.png"))
    assert picture.shape == (26 + 2 * 40, 120, 3)
    np.testing.assert_array_equal(picture[26:], panels.reshape(80, 120, 3))
    assert picture[:26].max() > 200  # the step is written there
