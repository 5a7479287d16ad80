"""Windows of batches: one order, resident or streamed."""

import threading
import time

import numpy as np
import pytest
from keras import ops

from deeplab_dpc.layers import kernels
from deeplab_dpc.search.proxy import feed
from deeplab_dpc.search.proxy.feed import BatchOrder, Feed


@pytest.fixture
def arrays():
    """Ten images that can be told apart."""
    features = np.arange(10 * 2 * 3, dtype="float16").reshape(10, 2, 3)
    return {"features": features, "labels": np.arange(10, dtype="uint8")}


@pytest.fixture
def mapped(tmp_path):
    """A memory-mapped array that can be changed."""
    np.save(tmp_path / "features.npy", np.zeros((10, 4), "float16"))
    return np.load(tmp_path / "features.npy", mmap_mode="r+")


def _feed_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("feed")]


def _batches(windows):
    """The images and labels of every batch, as the device would gather them."""
    found = []
    for window in windows:
        tensors = {name: ops.convert_to_numpy(tensor) for name, tensor in window.arrays.items()}
        found += [{name: values[row] for name, values in tensors.items()} for row in window.rows[: window.steps]]
    return found


def test_order_is_the_one_of_earlier_searches():
    """The batches that a search with this seed had before windows were."""
    expected = [[2, 3, 4], [0, 1, 4], [0, 1, 2], [0, 2, 3], [1, 3, 4]]
    assert BatchOrder(5, 3, seed=0).take(5).tolist() == expected


def test_batches_are_the_same_however_many_are_taken_at_once():
    one_by_one = BatchOrder(7, 4, seed=3)
    at_once = BatchOrder(7, 4, seed=3)
    expected = np.concatenate([one_by_one.take(1) for _ in range(12)])
    found = np.concatenate([at_once.take(batches) for batches in (5, 1, 6)])
    np.testing.assert_array_equal(found, expected)


def test_every_image_comes_once_a_pass():
    rows = BatchOrder(12, 4, seed=1).take(6)
    for first in (0, 3):
        assert sorted(rows[first : first + 3].ravel()) == list(range(12))


@pytest.mark.parametrize("resident", [True, False])
def test_gathered_batches_are_those_of_the_order(arrays, resident):
    """Two full windows and one of a single step."""
    order = BatchOrder(10, 2, seed=5).take(7)
    batches = _batches(Feed(arrays, 2, 5, window_steps=3, resident=resident).windows(7))
    for batch, images in zip(batches, order, strict=True):
        np.testing.assert_array_equal(batch["features"], arrays["features"][images])
        np.testing.assert_array_equal(batch["labels"], images)


@pytest.mark.parametrize("resident", [True, False])
def test_windows_have_one_shape(arrays, resident):
    windows = list(Feed(arrays, 2, 0, window_steps=3, resident=resident).windows(7))
    assert [window.steps for window in windows] == [3, 3, 1]
    assert {(window.rows.shape, str(window.rows.dtype)) for window in windows} == {((3, 2), "int32")}
    images = 10 if resident else 6
    assert {tuple(window.arrays["features"].shape) for window in windows} == {(images, 2, 3)}


def test_window_of_several_passes_holds_each_image_once(arrays):
    window = next(Feed(arrays, 4, 0, window_steps=20, resident=False).windows(20))
    assert ops.convert_to_numpy(window.arrays["labels"]).tolist() == list(range(10))


@pytest.mark.parametrize("resident", [True, False])
def test_every_training_begins_the_order_anew(arrays, resident):
    feed = Feed(arrays, 2, 0, window_steps=3, resident=resident)
    first, second = (_batches(feed.windows(4)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one["labels"], other["labels"])


@pytest.mark.parametrize("resident", [True, False])
def test_no_steps_are_no_windows(arrays, resident):
    assert list(Feed(arrays, 2, 0, window_steps=3, resident=resident).windows(0)) == []


def test_streamed_window_is_bounded(arrays, monkeypatch):
    """An image of this test has 13 bytes, a batch 26."""
    monkeypatch.setattr(feed, "WINDOW_BYTES", 100)
    streamed = Feed(arrays, 2, 0, window_steps=50, resident=False)
    assert streamed.window_steps == 3
    assert [window.steps for window in streamed.windows(4)] == [3, 1]


def test_one_window_is_read_ahead(arrays, monkeypatch):
    read, to_device = [], kernels.to_device
    monkeypatch.setattr(kernels, "to_device", lambda array: read.append(array) or to_device(array))
    windows = Feed({"labels": arrays["labels"]}, 2, 0, window_steps=1, resident=False).windows(9)
    next(windows)
    time.sleep(0.1)
    assert len(read) == 2
    windows.close()


def test_abandoned_windows_leave_no_thread(arrays):
    windows = Feed(arrays, 2, 0, window_steps=1, resident=False).windows(100)
    next(windows)
    assert _feed_threads()
    windows.close()
    assert not _feed_threads()


def test_error_of_the_thread_comes_through(arrays, monkeypatch):
    reads, to_device = [], kernels.to_device

    def fail_at_the_second(array):
        reads.append(array)
        if len(reads) == 2:
            raise OSError("the disk is gone")
        return to_device(array)

    monkeypatch.setattr(kernels, "to_device", fail_at_the_second)
    windows = Feed({"labels": arrays["labels"]}, 2, 0, window_steps=1, resident=False).windows(9)
    next(windows)
    with pytest.raises(OSError, match="the disk is gone"):
        next(windows)
    assert not _feed_threads()


def test_resident_tensor_has_the_memory_of_the_mapped_file(mapped):
    window = next(Feed({"features": mapped}, 2, 0, window_steps=1).windows(1))
    mapped[3] = 7.0
    assert ops.convert_to_numpy(window.arrays["features"])[3].tolist() == [7.0] * 4


def test_mapped_arrays_are_resident_on_a_cpu_unless_they_must_be_copied(mapped, monkeypatch):
    monkeypatch.setattr(feed, "CPU_COPY_LIMIT", mapped.nbytes - 1)
    assert Feed({"features": mapped}, 2, 0, 1).resident
    assert not Feed({"features": np.asfortranarray(mapped)}, 2, 0, 1).resident
    monkeypatch.setattr(feed, "CPU_COPY_LIMIT", mapped.nbytes)
    assert Feed({"features": np.asfortranarray(mapped)}, 2, 0, 1).resident


def test_what_a_cpu_cannot_keep_in_memory_is_streamed(mapped, monkeypatch):
    monkeypatch.setattr(feed, "CPU_SHARE", 0.0)
    assert not Feed({"features": mapped}, 2, 0, 1).resident


@pytest.mark.parametrize(("free", "resident"), [(160, True), (159, False)])
def test_half_of_an_accelerators_free_memory_may_be_taken(mapped, monkeypatch, free, resident):
    monkeypatch.setattr(kernels, "free_accelerator_memory", lambda: free)
    assert mapped.nbytes == 80
    assert Feed({"features": mapped}, 2, 0, 1).resident == resident


def test_arrays_of_different_lengths_are_an_error(arrays):
    with pytest.raises(ValueError, match="as many images each, got {'features': 10, 'labels': 9}"):
        Feed({**arrays, "labels": arrays["labels"][:9]}, 2, 0, 1)


@pytest.mark.parametrize(("batch_size", "window_steps"), [(0, 1), (1, 0)])
def test_sizes_below_one_are_an_error(arrays, batch_size, window_steps):
    with pytest.raises(ValueError, match=f"must be >= 1, got {batch_size} and {window_steps}"):
        Feed(arrays, batch_size, 0, window_steps)


def test_order_of_no_images_is_an_error():
    with pytest.raises(ValueError, match="must be >= 1, got 0, 8 and 1"):
        BatchOrder(0, 8, seed=0)


def test_each_pass_shows_each_image_once_in_a_view_of_its_own():
    rows = BatchOrder(5, 5, seed=0, views=4).take(40)
    images, views = rows % 5, rows // 5
    assert (np.sort(images, axis=1) == np.arange(5)).all()
    counts = np.bincount(views.ravel(), minlength=4)
    assert len(counts) == 4
    assert counts.min() > 30  # of 200 draws of four views
    assert len({tuple(views[images == image]) for image in range(5)}) == 5  # drawn for each image


@pytest.mark.parametrize("resident", [True, False])
def test_feed_of_views_gives_the_drawn_rows(resident):
    arrays = {"labels": np.arange(12, dtype="uint8")[:, None]}  # three views of four images
    windows = Feed(arrays, 2, 3, window_steps=4, resident=resident, views=3).windows(4)
    found = [np.asarray(window.arrays["labels"])[window.rows[: window.steps], 0] for window in windows]
    assert np.concatenate(found).tolist() == BatchOrder(4, 2, seed=3, views=3).take(4).tolist()


def test_rows_that_are_no_whole_number_of_views_are_refused():
    with pytest.raises(ValueError, match="must have 3 views of each image, got 10 rows"):
        Feed({"labels": np.zeros((10, 1), "uint8")}, 2, 0, 1, views=3)
