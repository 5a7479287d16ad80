"""How many pixels two predictors give the same class, counted by hand."""

import numpy as np
import pytest

from deeplab_dpc.errors import UserError
from deeplab_dpc.export.agreement import check_agreement, measure_agreement


class Constant:
    """Predicts one class everywhere, and another where the image's red value is 255."""

    num_classes = 2

    def __init__(self, bright: int):
        self.bright = bright

    def predict_batch(self, images):
        return np.where(images[..., 0] == 255, self.bright, 0).astype("int32")


def _images():
    """4 pixels of which 1 is bright, and 16 of which 1 is."""
    small, large = np.zeros((2, 2, 3), "uint8"), np.zeros((4, 4, 3), "uint8")
    small[0, 0], large[0, 0] = 255, 255
    return [small, large]


def test_equal_pixels_are_counted_over_all_images():
    agreement = measure_agreement(Constant(1), Constant(0), iter(_images()))
    assert (agreement.images, agreement.pixels, agreement.different, agreement.worst) == (2, 20, 2, 0.75)
    assert agreement.share == pytest.approx(0.9)
    assert str(agreement) == ("90.0000 % of the pixels of 2 images are equal (2 of 20 differ; worst image 75.0000 %)")


def test_equal_predictors_agree_wholly():
    assert check_agreement(Constant(1), Constant(1), _images(), threshold=1.0).share == 1.0


def test_the_threshold_itself_is_enough():
    assert check_agreement(Constant(1), Constant(0), _images()[1:], threshold=15 / 16).different == 1


def test_it_is_the_share_over_all_images_that_counts():
    assert check_agreement(Constant(1), Constant(0), _images(), threshold=0.9).worst == 0.75


def test_less_than_the_threshold_is_refused():
    with pytest.raises(UserError, match=r"90\.0000 % of the pixels.*and --min_agreement is 0\.95; nothing was written"):
        check_agreement(Constant(1), Constant(0), _images(), threshold=0.95)


def test_no_image_is_no_agreement():
    with pytest.raises(ValueError, match="at least one image"):
        measure_agreement(Constant(1), Constant(1), [])
