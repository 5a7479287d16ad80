"""The batches of a search, of real records."""

import dataclasses

import numpy as np
import pytest

from deeplab_dpc.config import AutoDeepLabConfig, DataConfig
from deeplab_dpc.data.pipeline import evaluation_dataset
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.auto_deeplab.streams import Streams, open_streams

CONFIG = AutoDeepLabConfig(search_batch_size=2, perturbation_images=5)


@pytest.fixture(scope="module")
def data(shapes) -> DataConfig:
    """Crops that hold an image of 65 x 81 pixels whole."""
    plain = {"min_scale_factor": 1.0, "max_scale_factor": 1.0, "scale_factor_step_size": 0.0}
    return DataConfig(str(shapes.path), train_crop_size=(65, 97), **plain)


@pytest.fixture(scope="module")
def streams(shapes, data) -> Streams:
    return open_streams(CONFIG, data, shapes)


@pytest.fixture(scope="module")
def pictures(shapes) -> np.ndarray:
    """Of the training split, by record: the mean is not changed by flips."""
    return np.array([example["image"].mean() for example in evaluation_dataset(shapes, "train").as_numpy_iterator()])


def _records(batches, count: int, pictures: np.ndarray) -> list[int]:
    """Which records the first batches hold, by the means of their pictures within the grey padding of 16 columns."""
    means = [image.astype("float64").sum() for images, _ in (next(batches) for _ in range(count)) for image in images]
    own = (np.array(means) - 65 * 16 * 3 * 127.5) / (65 * 81 * 3)
    return [int(np.abs(pictures - mean).argmin()) for mean in own]


@pytest.mark.parametrize("half", ["weights", "architecture"])
def test_epochs_of_a_half_hold_its_records(streams, pictures, half):
    records = _records(getattr(streams, half)(0), 9, pictures)
    epochs = [sorted(records[start : start + 6]) for start in (0, 6, 12)]
    assert epochs == [sorted(getattr(streams.halves, half))] * 3
    assert records[:6] != records[6:12]


@pytest.mark.parametrize("half", ["weights", "architecture"])
def test_stream_continues_from_any_step(streams, half):
    whole, rest = getattr(streams, half)(0), getattr(streams, half)(4)
    for _ in range(4):
        next(whole)
    for _ in range(2):
        for expected, found in zip(next(whole), next(rest), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_evaluated_are_all_images_once_padded_to_one_size(streams, shapes):
    batches = list(streams.evaluation())
    assert {images.shape for images, _ in batches} == {(2, 65, 97, 3)}
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    examples = list(evaluation_dataset(shapes, "val").as_numpy_iterator())
    assert (len(images), len(examples)) == (6, 5)
    for image, label, example in zip(images, labels, examples, strict=False):
        np.testing.assert_array_equal(image[:, :81], example["image"])
        np.testing.assert_array_equal(label[:, :81], example["label"])
    for padding in (images[:, :, 81:], images[5]):
        np.testing.assert_array_equal(padding, 127.5)
    for padding in (labels[:, :, 81:], labels[5]):
        np.testing.assert_array_equal(padding, 255)


def test_evaluated_size_is_that_of_the_resized_images(shapes, data):
    # 65 x 81 to a smaller side of 33: 33 x 41.1, rounded up; to 32 k + 1 that is 33 x 65.
    resized = dataclasses.replace(data, min_resize_value=33)
    streams = open_streams(CONFIG, resized, shapes)
    images, labels = next(streams.evaluation())
    assert images.shape == (2, 33, 65, 3)
    np.testing.assert_array_equal((labels != 255).any(axis=(0, 1)), np.arange(65) < 42)


def test_perturbation_is_judged_on_records_of_half_b(streams, pictures):
    held_out = streams.held_out()
    assert [images.shape[0] for images, _ in held_out] == [2, 2, 2]
    assert _records(iter(held_out), 3, pictures)[:5] == list(streams.halves.architecture[:5])


@pytest.mark.parametrize(("crop", "fitting"), [((32, 33), "33,33"), ((100, 97), "97,97"), ((20, 320), "33,321")])
def test_crop_must_align_with_the_largest_stride(shapes, data, crop, fitting):
    misaligned = dataclasses.replace(data, train_crop_size=crop)
    with pytest.raises(UserError, match=f"both sides must be a multiple of 32 plus 1, for example {fitting}"):
        open_streams(CONFIG, misaligned, shapes)


def test_split_without_labels_is_refused(shapes, data):
    with pytest.raises(UserError, match="has no split 'minival'"):
        open_streams(dataclasses.replace(CONFIG, eval_split="minival"), data, shapes)
