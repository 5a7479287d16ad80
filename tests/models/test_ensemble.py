import numpy as np
import pytest

from deeplab_dpc.api.loaded_predictor import LoadedPredictor, ensemble_of
from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.image_predictor import Ensemble
from deeplab_dpc.models.sliding_window import SlidingWindow


class _Constant:
    """A predictor of the same probabilities for each pixel, and of small images only."""

    def __init__(self, probabilities, largest=100):
        self.probabilities = np.asarray(probabilities, np.float32)
        self.num_classes = len(probabilities)
        self.largest = largest

    def predict_probabilities(self, images):
        return np.broadcast_to(self.probabilities, (*images.shape[:3], self.num_classes))

    def check_size(self, image, name):
        if max(image.shape) > self.largest:
            raise UserError(f"{name} is too large.")


IMAGES = np.zeros((2, 3, 4, 3), np.uint8)


def test_probabilities_are_averaged_and_the_mean_decides():
    # Two of three say class 0, but the third is surer of class 1.
    ensemble = Ensemble([_Constant([0.55, 0.45]), _Constant([0.6, 0.4]), _Constant([0.05, 0.95])])
    probabilities = ensemble.predict_probabilities(IMAGES)
    np.testing.assert_allclose(probabilities, np.broadcast_to([0.4, 0.6], (2, 3, 4, 2)), rtol=1e-6)
    assert ensemble.num_classes == 2
    ids = ensemble.predict_batch(IMAGES)
    assert (ids.dtype, ids.shape, ids.min(), ids.max()) == (np.int32, (2, 3, 4), 1, 1)


def test_an_image_must_fit_every_member():
    ensemble = Ensemble([_Constant([1.0]), _Constant([1.0], largest=3)])
    with pytest.raises(UserError, match="photo is too large"):
        ensemble.check_size(IMAGES[0], "photo")


def _loaded(names, source):
    return LoadedPredictor(
        predictor=_Constant([0.5, 0.5]),
        class_names=names,
        palette=((0, 0, 0), (9, 9, 9)),
        ignore_label=255,
        source=source,
        step=7,
    )


def test_members_have_the_same_classes():
    both = ensemble_of([_loaded(("sky", "road"), "A"), _loaded(("sky", "road"), "B")], InferenceConfig())
    assert (both.source, both.class_names, both.step) == ("the mean of A and B", ("sky", "road"), None)
    with pytest.raises(UserError, match="B and A cannot be averaged, since their classes differ: "):
        ensemble_of([_loaded(("sky", "road"), "A"), _loaded(("road", "sky"), "B")], InferenceConfig())


def test_windows_are_those_of_the_mean_so_that_no_member_keeps_a_whole_image():
    config = InferenceConfig(sliding_window=(33, 33))
    members = [_loaded(("sky", "road"), "A"), _loaded(("sky", "road"), "B")]
    both = ensemble_of(members, config).predictor
    assert isinstance(both, SlidingWindow)
    seen = []
    for member in members:
        predict = member.predictor.predict_probabilities
        member.predictor.predict_probabilities = lambda images, predict=predict: (
            seen.append(images.shape[1:3]) or predict(images)
        )
    assert both.predict_batch(np.zeros((1, 90, 70, 3), np.uint8)).shape == (1, 90, 70)
    assert set(seen) == {(33, 33)}
