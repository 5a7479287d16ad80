"""Colours, overlays and PNG files of labels."""

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation import visualize

PALETTE = [(10, 20, 30), (200, 100, 0)]
LABELS = np.array([[0, 1, 255]], np.uint8)
IMAGE = np.array([[[100, 100, 100], [0, 50, 255], [7, 8, 9]]], np.uint8)


def test_ids_become_their_colours_and_others_the_ignore_colour():
    colors = visualize.colorize(LABELS, PALETTE)
    assert colors.dtype == np.uint8
    assert colors.tolist() == [[[10, 20, 30], [200, 100, 0], [255, 255, 255]]]
    assert visualize.colorize(np.array([[-1, 2]]), PALETTE, (1, 2, 3)).tolist() == [[[1, 2, 3], [1, 2, 3]]]


def test_palette_may_have_256_colours():
    palette = [(index, index, index) for index in range(256)]
    assert visualize.colorize(LABELS, palette).tolist() == [[[0, 0, 0], [1, 1, 1], [255, 255, 255]]]


def test_overlay_blends_and_leaves_other_ids_bare():
    blend = visualize.overlay(IMAGE, LABELS, PALETTE)
    assert blend.dtype == np.uint8
    assert blend.tolist() == [[[55, 60, 65], [100, 75, 128], [7, 8, 9]]]


def test_label_png_holds_the_ids_in_one_channel(tmp_path):
    path = tmp_path / "new" / "labels.png"
    visualize.save_label_png(path, LABELS.astype(np.int64))
    with Image.open(path) as image:
        assert image.mode == "L"
        assert np.asarray(image).tolist() == LABELS.tolist()
    assert [item.name for item in path.parent.iterdir()] == ["labels.png"]


def test_palette_png_holds_the_ids_and_shows_their_colours(tmp_path):
    visualize.save_palette_png(tmp_path / "labels.png", LABELS, PALETTE)
    with Image.open(tmp_path / "labels.png") as image:
        assert image.mode == "P"
        assert np.asarray(image).tolist() == LABELS.tolist()
        assert np.asarray(image.convert("RGB")).tolist() == [[[10, 20, 30], [200, 100, 0], [255, 255, 255]]]


def test_overlay_of_a_tall_image_is_blended_in_all_its_rows():
    labels = np.ones((600, 2), np.int32)
    labels[599] = 0
    blend = visualize.overlay(np.zeros((600, 2, 3), np.uint8), labels, PALETTE)
    assert (blend[:599] == (100, 50, 0)).all()
    assert (blend[599] == (5, 10, 15)).all()


def test_rgb_png_holds_the_image(tmp_path):
    visualize.save_rgb_png(tmp_path / "image.png", IMAGE)
    with Image.open(tmp_path / "image.png") as image:
        assert image.mode == "RGB"
        assert np.asarray(image).tolist() == IMAGE.tolist()


@pytest.mark.parametrize("labels", [np.array([[256, 0]]), np.array([[3, -1]])])
def test_ids_that_do_not_fit_a_png_are_errors_and_write_nothing(tmp_path, labels):
    with pytest.raises(UserError, match=rf"must be in \[0, 255\], got \[{labels.min()}, {labels.max()}\]"):
        visualize.save_label_png(tmp_path / "labels.png", labels)
    assert list(tmp_path.iterdir()) == []


def test_wrong_arguments_are_errors():
    with pytest.raises(UserError, match=r"Labels must be integers \[height, width\], got float64 \[1, 3\]"):
        visualize.colorize(LABELS.astype(np.float64), PALETTE)
    with pytest.raises(UserError, match=r"`palette` must be \(red, green, blue\) triples in \[0, 255\], got"):
        visualize.colorize(LABELS, [(0, 0, 256)])
    with pytest.raises(UserError, match=r"An image must be uint8 \[height, width, 3\], got uint8 \[1, 3\]"):
        visualize.save_rgb_png("unused.png", LABELS)
    with pytest.raises(UserError, match=r"same size, got \(1, 2\) and \(1, 3\)"):
        visualize.overlay(IMAGE[:, :2], LABELS, PALETTE)
