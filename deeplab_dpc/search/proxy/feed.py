"""Batches of images for a compiled training loop, from arrays that are on the device as a whole or streamed in windows.

A loop takes several steps per call. It gets tensors whose first axis is the image, and the rows of each step's batch,
which the device gathers. There are two kinds of feeds:

* resident: all images once. A CPU shares the memory of an array, and so the page cache of a memory-mapped file: any
  number of processes on a machine read one copy. Arrays that cannot be shared are copied.
* windows: only the images of the next steps. A thread reads them while the device works on the previous window.
"""

import concurrent.futures
import dataclasses
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from deeplab_dpc.layers import kernels

# Share of an accelerator's free memory; the rest is for the network, whose memory is not known before it has run.
ACCELERATOR_SHARE = 0.5
# Share of a CPU's memory. Beyond it, the page cache could not hold the arrays, and steps would wait for the disk.
CPU_SHARE = 0.5
# Bytes that each process on a CPU may copy, of arrays that cannot be shared.
CPU_COPY_LIMIT = 2**30
# Bytes of a streamed window, of which there are two.
WINDOW_BYTES = 2**28


@dataclasses.dataclass(frozen=True)
class Window:
    """The input of one call of a training loop.

    Attributes:
      arrays: tensors by name, with the same shapes in all windows of a feed; they must not be donated or changed, since
        they may share the memory of a file.
      rows: int32 [window_steps, batch], indices of the images in `arrays`; 0 beyond `steps`.
      steps: number of rows that are batches, in [1, window_steps].
    """

    arrays: dict[str, Any]
    rows: np.ndarray
    steps: int


class BatchOrder:
    """The endless order of images: every image once per pass, the passes shuffled one after another.

    Each time an image occurs, one of its views is drawn; view v of image i is row v * count + i.

    Args:
      count: number of images.
      batch_size: number of images per step; may be more than `count`.
      seed: seed of the order and of the views.
      views: number of views of each image.

    Raises:
      ValueError: if there are no images or views, or a batch has none.
    """

    def __init__(self, count: int, batch_size: int, seed: int, views: int = 1):
        if min(count, batch_size, views) < 1:
            raise ValueError(f"`count`, `batch_size` and `views` must be >= 1, got {count}, {batch_size} and {views}.")
        self._count = count
        self._batch_size = batch_size
        self._views = views
        self._rng = np.random.default_rng(seed)
        self._waiting = np.zeros(0, "int32")

    def take(self, batches: int) -> np.ndarray:
        """Returns the rows of the next batches, int32 [batches, batch_size], sorted within each."""
        wanted = batches * self._batch_size
        passes = math.ceil((wanted - len(self._waiting)) / self._count)
        drawn = [self._one_pass() for _ in range(passes)]
        order = np.concatenate([self._waiting, *drawn])
        self._waiting = order[wanted:]
        return np.sort(order[:wanted].reshape(batches, self._batch_size), axis=1)

    def _one_pass(self) -> np.ndarray:
        images = self._rng.permutation(self._count).astype("int32")
        if self._views == 1:  # so that nothing is drawn, and the order stays what it is without views
            return images
        rows: np.ndarray = images + self._count * self._rng.integers(self._views, size=self._count, dtype="int32")
        return rows


class Feed:
    """Windows of a data set in an order that restarts with each training.

    Attributes:
      resident: bool, whether all images are on the device.
      window_steps: number of steps in a window; a streamed window has no more than fit into WINDOW_BYTES.

    Args:
      arrays: arrays by name, with the same first axis; may be memory-mapped. They must not be changed afterwards.
      batch_size: number of images per step.
      seed: seed of the order.
      window_steps: largest number of steps in a window.
      resident: bool, whether all images are kept on the device; None decides by their size (`fits`).
      views: number of views of each image in the arrays' first axis; see BatchOrder.

    Raises:
      ValueError: if the arrays have different numbers of images or no whole number of views of each, or
        `window_steps` or `batch_size` is less than 1.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        batch_size: int,
        seed: int,
        window_steps: int,
        resident: bool | None = None,
        views: int = 1,
    ):
        counts = {name: len(array) for name, array in arrays.items()}
        if len(set(counts.values())) != 1:
            raise ValueError(f"`arrays` must have as many images each, got {counts}.")
        if min(batch_size, window_steps) < 1:
            raise ValueError(f"`batch_size` and `window_steps` must be >= 1, got {batch_size} and {window_steps}.")
        self._count = next(iter(counts.values()))
        if views < 1 or self._count % views:
            raise ValueError(f"`arrays` must have {views} views of each image, got {self._count} rows.")
        self._views = views
        self._batch_size = batch_size
        self._seed = seed
        self.resident = fits(arrays) if resident is None else resident
        self.window_steps = window_steps
        if self.resident:
            self._tensors = self._on_device(arrays)
        else:
            self._arrays = dict(arrays)
            image_bytes = sum(array.nbytes for array in arrays.values()) // self._count
            self.window_steps = min(window_steps, max(WINDOW_BYTES // (image_bytes * batch_size), 1))

    def windows(self, steps: int) -> Iterator[Window]:
        """Returns the windows of the first `steps` steps of the order.

        Two windows of a streamed feed are in memory: the current one, until the next is requested, and the next; more
        if the caller requests windows before its device has finished. Closing the iterator ends its thread; errors of
        the thread are raised here.
        """
        order = BatchOrder(self._count // self._views, self._batch_size, self._seed, self._views)
        lengths = [min(self.window_steps, steps - first) for first in range(0, steps, self.window_steps)]
        if self.resident:
            for length in lengths:
                yield Window(self._tensors, self._padded(order.take(length)), length)
            return
        with concurrent.futures.ThreadPoolExecutor(1, "feed") as thread:
            reading = (thread.submit(self._read, order.take(length)) for length in lengths)
            coming = next(reading, None)
            while coming is not None:
                window = coming.result()
                coming = next(reading, None)
                yield window

    def _read(self, rows: np.ndarray) -> Window:
        """Returns a window with only the images of `rows`; its tensors have the size for the largest number of
        different images.
        """
        images, places = np.unique(rows, return_inverse=True)
        size = min(self._count, self.window_steps * self._batch_size)
        chosen = {}
        for name, array in self._arrays.items():
            chosen[name] = np.zeros((size, *array.shape[1:]), array.dtype)
            np.take(array, images, axis=0, out=chosen[name][: len(images)], mode="clip")
        return Window(self._on_device(chosen), self._padded(places.reshape(rows.shape)), len(rows))

    def _padded(self, rows: np.ndarray) -> np.ndarray:
        return np.pad(rows.astype("int32"), ((0, self.window_steps - len(rows)), (0, 0)))

    def _on_device(self, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        return {name: kernels.to_device(array) for name, array in arrays.items()}


def fits(arrays: Mapping[str, np.ndarray]) -> bool:
    """Returns whether arrays should be on the device as a whole.

    On an accelerator they are if they take no more than ACCELERATOR_SHARE of its free memory. On a CPU they are if they
    take no more than CPU_SHARE of the machine's memory, and arrays that cannot be shared, because of their alignment or
    order, no more than CPU_COPY_LIMIT.
    """
    total = sum(array.nbytes for array in arrays.values())
    free = kernels.free_accelerator_memory()
    if free is not None:
        return total <= ACCELERATOR_SHARE * free
    copied = sum(array.nbytes for array in arrays.values() if not _is_shared(array))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return total <= CPU_SHARE * memory and copied <= CPU_COPY_LIMIT


def _is_shared(array: np.ndarray) -> bool:
    """Returns whether a CPU's tensor can share the memory of the array; the .npy files of a cache are aligned."""
    return array.flags.c_contiguous and array.ctypes.data % kernels.ALIGNMENT == 0
