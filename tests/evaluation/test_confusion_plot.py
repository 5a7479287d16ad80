"""The picture of the confusion matrix: what its cells and its names say."""

import matplotlib.figure
import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.confusion_plot import CELL_INCHES, EMPTY_COLOR, draw_confusion

DARKEST, LIGHTEST = "#08306b", "#f7fbff"  # of matplotlib's "Blues": 100 % and 0 %


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws a matrix; returns the axes of the picture."""
    figures = []
    save = matplotlib.figure.Figure.savefig

    def savefig(figure, *args, **kwargs):
        figures.append(figure)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", savefig)

    def draw(matrix, names):
        draw_confusion(np.array(matrix), names, tmp_path / "confusion.png")
        return figures[-1].axes[0]

    return draw


def numbers(axes):
    """The texts in the cells by (row, column)."""
    return {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}


def names(axes):
    return [[tick.get_text() for tick in ticks] for ticks in (axes.get_yticklabels(), axes.get_xticklabels())]


def count_pixels(path, color):
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    rgb = tuple(int(color[start : start + 2], 16) for start in (1, 3, 5))
    return int((pixels == rgb).all(axis=-1).sum())


def test_rows_are_in_percent_of_the_pixels_with_the_label(drawn):
    axes = drawn([[30, 10], [1, 199]], ["road", "car"])
    assert numbers(axes) == {(0, 0): "75.0", (0, 1): "25.0", (1, 0): "0.5", (1, 1): "99.5"}
    assert names(axes) == [["road", "car"], ["road", "car"]]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("label", "prediction")


def test_small_shares_are_written_on_the_diagonal_only(drawn):
    axes = drawn([[1, 999, 0], [4, 996, 0], [0, 0, 7]], ["a", "b", "c"])
    assert numbers(axes) == {(0, 0): "0.1", (0, 1): "99.9", (1, 1): "99.6", (2, 2): "100"}


def test_absent_classes_are_named_so(drawn):
    axes = drawn([[8, 0, 2, 0], [5, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], ["a", "b", "c", "d"])
    rows, columns = names(axes)
    assert rows == ["a", "b", "c (no label)", "d (absent)"]
    assert columns == ["a", "b (never)", "c", "d (absent)"]
    assert {row for row, _ in numbers(axes)} == {0, 1}


def test_rows_without_a_label_are_grey(drawn, tmp_path):
    drawn([[5, 0], [0, 0]], ["a", "b"])
    path = tmp_path / "confusion.png"
    cell = count_pixels(path, LIGHTEST)
    assert count_pixels(path, EMPTY_COLOR) / cell == pytest.approx(2, abs=0.1)
    assert count_pixels(path, DARKEST) / cell == pytest.approx(1, abs=0.1)
    assert [file.name for file in tmp_path.iterdir()] == ["confusion.png"]


def test_many_classes_have_names_but_no_numbers(drawn):
    axes = drawn(np.eye(41, dtype=int), [f"class {i}" for i in range(41)])
    assert numbers(axes) == {}
    assert names(axes)[0][-1] == "class 40"
    assert axes.figure.get_size_inches()[0] == pytest.approx(41 * CELL_INCHES[1])


def test_dollars_in_names_are_no_formula(drawn):
    axes = drawn([[1, 0], [0, 1]], ["$a^$", "b"])
    assert names(axes)[0] == ["$a^$", "b"]


def test_line_ends_and_half_surrogates_in_names_are_escapes(tmp_path):
    names = ("a\nb", "$\\frac{$", "\udcff")
    draw_confusion(np.eye(3, dtype=np.int64), names, tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").stat().st_size > 1000


def test_a_name_too_few_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"one a class of the matrix \[2, 2\], got 1"):
        draw_confusion(np.zeros((2, 2), int), ["a"], tmp_path / "confusion.png")
