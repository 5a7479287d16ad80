"""Many images: batches of one size, bad ones left out, errors of reading and writing."""

import threading

import numpy as np
import pytest

from deeplab_dpc.data.image_sources import Picture, Unreadable
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.bulk_prediction import AHEAD, Outcome, predict_all
from deeplab_dpc.models.image_predictor import CannotPredict


class Brightness:
    """Predicts the first channel; the probability of class 1 is that over 255."""

    num_classes = 2

    def __init__(self):
        self.batches: list[tuple[int, ...]] = []

    def predict_batch(self, images):
        self.batches.append(images.shape)
        return images[..., 0].astype(np.int32)

    def predict_probabilities(self, images):
        one = images[..., 0] / np.float32(255)
        return np.stack([1 - one, one], axis=-1)

    def check_size(self, image, name):
        if image.shape[0] > 8:
            raise UserError(f"{name} is too large.")


def picture(name: str, height: int = 2, value: int = 1) -> Picture:
    return Picture(name, f"{name}.jpg", np.full((height, 3, 3), value, np.uint8))


def test_consecutive_images_of_one_size_go_together():
    predictor, written = Brightness(), {}
    pictures = [picture(str(i), height, i) for i, height in enumerate((2, 2, 2, 4, 2, 2))]

    def write(prediction):
        written[prediction.picture.name] = prediction.ids

    outcome = predict_all(predictor, iter(pictures), write, batch_size=2)
    assert predictor.batches == [(2, 2, 3, 3), (1, 2, 3, 3), (1, 4, 3, 3), (2, 2, 3, 3)]
    assert outcome == Outcome(6, [])
    assert {name: ids.tolist() for name, ids in written.items()} == {
        str(i): [[i] * 3] * height for i, height in enumerate((2, 2, 2, 4, 2, 2))
    }


def test_bad_images_are_left_out_and_named_at_the_end(capsys):
    pictures = [picture("a"), Unreadable("b.jpg is broken."), picture("c", height=9), picture("d")]
    names = []
    outcome = predict_all(Brightness(), iter(pictures), lambda one: names.append(one.picture.name), writers=1)
    assert names == ["a", "d"]
    assert outcome == Outcome(2, ["b.jpg is broken.", "c.jpg is too large."])
    assert "Left out: b.jpg is broken." in capsys.readouterr().out
    with pytest.raises(UserError, match="^Left out 2: b.jpg is broken; c.jpg is too large; the other 2 are in out.$"):
        outcome.require_all("out")


@pytest.mark.parametrize("error", [UserError("The memory is not enough."), MemoryError()])
def test_images_that_do_not_fit_together_are_predicted_alone_and_those_that_never_do_left_out(error):
    class Small(Brightness):
        def predict_batch(self, images):
            if len(images) > 1 or images.max() > 2:
                raise error
            return super().predict_batch(images)

    written = []
    pictures = [picture(str(i), value=i) for i in range(4)]
    outcome = predict_all(Small(), iter(pictures), lambda one: written.append(one.picture.name), batch_size=2)
    assert sorted(written) == ["0", "1", "2"]
    assert outcome.predicted == 3
    (reason,) = outcome.left_out
    assert reason.startswith("3.jpg: The memory is not enough")


def test_what_can_be_predicted_of_no_image_is_said_once():
    class ClassIdsOnly(Brightness):
        def predict_probabilities(self, images):
            raise CannotPredict("It answers with class ids alone.")

    with pytest.raises(UserError, match="^It answers with class ids alone.$"):
        predict_all(ClassIdsOnly(), iter([picture("a"), picture("b")]), print, with_probabilities=True)


def test_long_list_is_cut_and_nothing_left_out_is_no_error():
    with pytest.raises(UserError, match="Left out 7: 0 bad; 1 bad; 2 bad; 3 bad; 4 bad; and 2 more; nothing was"):
        Outcome(0, [f"{i} bad." for i in range(7)]).require_all("out")
    Outcome(3).require_all("out")


def test_source_that_ends_in_an_error_leaves_the_rest_written():
    def source():
        yield picture("a")
        yield picture("b")
        raise UserError("Record 2 is damaged.")

    names = []
    outcome = predict_all(Brightness(), source(), lambda one: names.append(one.picture.name), batch_size=4, writers=1)
    assert (names, outcome.left_out) == (["a", "b"], ["Record 2 is damaged."])


def test_ids_come_from_the_probabilities_where_those_are_asked_for():
    found = []
    predict_all(Brightness(), iter([picture("a", value=255)]), found.append, with_probabilities=True)
    (prediction,) = found
    assert prediction.ids.tolist() == [[1] * 3] * 2
    assert prediction.probabilities.tolist() == [[[0, 1]] * 3] * 2


def test_error_of_writing_ends_the_prediction():
    def write(prediction):
        raise OSError(28, "No space left on device")

    read = []

    def source():
        for i in range(100):
            read.append(i)
            yield picture(str(i))

    with pytest.raises(OSError, match="No space left"):
        predict_all(Brightness(), source(), write)
    assert len(read) < 20


def test_reading_is_a_bounded_number_of_images_ahead():
    read, ahead = [], []
    predictor = Brightness()
    predict_batch = predictor.predict_batch
    settled = threading.Event()

    def slow(images):
        settled.wait(0.02)
        ahead.append(len(read) - len(ahead))
        return predict_batch(images)

    def source():
        for i in range(12):
            read.append(i)
            yield picture(str(i))

    predictor.predict_batch = slow
    predict_all(predictor, source(), lambda one: None)
    # The image that is predicted, the next one that the batch was compared with, and those that wait.
    assert max(ahead) <= 2 + 1 + AHEAD
