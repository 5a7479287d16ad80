"""Prediction of large images in bounded memory, by overlapping windows whose probabilities are averaged."""

from collections.abc import Callable
from typing import Any

import numpy as np

from deeplab_dpc.config import InferenceConfig
from deeplab_dpc.models.image_predictor import ImagePredictor

# A function called with finished rows: index of the first, and probabilities [batch, rows, width, num_classes].
TakeRows = Callable[[int, np.ndarray], None]


class SlidingWindow:
    """An ImagePredictor that predicts an image window by window.

    Windows cover the image evenly, the last ones end at its border, and each overlaps the one before by
    `window_overlap` or more. A pixel's probabilities are the mean over the windows that contain it. Only the image rows
    under one row of windows are kept in memory, whatever the height of the image. A side that is shorter than the
    window's is predicted whole.

    Args:
      predictor: predictor of the windows.
      config: size and overlap of the windows.

    Raises:
      ValueError: if the configuration has no window.
    """

    def __init__(self, predictor: ImagePredictor, config: InferenceConfig):
        self.predictor = predictor
        self.num_classes = predictor.num_classes
        if not config.sliding_window:
            raise ValueError("`config` must have a `sliding_window`.")
        self.window = config.sliding_window
        self.overlap = config.window_overlap

    def predict_batch(self, images: np.ndarray) -> np.ndarray:
        """Predicts class ids int32 [batch, height, width] of images uint8 [batch, height, width, 3]."""
        semantic = np.empty(images.shape[:3], np.int32)

        def take(top: int, rows: np.ndarray) -> None:
            semantic[:, top : top + rows.shape[1]] = rows.argmax(axis=-1)

        self._predict(images, take)
        return semantic

    def predict_probabilities(self, images: np.ndarray) -> np.ndarray:
        """Predicts probabilities float32 [batch, height, width, num_classes] of the same images, all kept in memory."""
        probabilities = np.empty((*images.shape[:3], self.num_classes), np.float32)

        def take(top: int, rows: np.ndarray) -> None:
            probabilities[:, top : top + rows.shape[1]] = rows

        self._predict(images, take)
        return probabilities

    def check_size(self, image: np.ndarray, name: str) -> None:
        """Checks the size of an image as the predictor of the windows does."""
        self.predictor.check_size(image[: self.window[0], : self.window[1]], name)

    def _predict(self, images: np.ndarray, take: TakeRows) -> None:
        """Calls `take` with the rows of the images, from the top, as soon as no remaining window contains them."""
        batch, height, width, _ = images.shape
        window_height, window_width = min(self.window[0], height), min(self.window[1], width)
        tops, lefts = _starts(height, window_height, self.overlap), _starts(width, window_width, self.overlap)
        columns = np.zeros(width, np.float32)  # number of windows of a row that contain each column
        for left in lefts:
            columns[left : left + window_width] += 1
        total = np.zeros((batch, window_height, width, self.num_classes), np.float32)
        count = np.zeros(window_height, np.float32)  # number of rows of windows that contain each row
        for top, next_top in zip(tops, [*tops[1:], height], strict=True):
            for left in lefts:
                window = images[:, top : top + window_height, left : left + window_width]
                total[:, :, left : left + window_width] += self.predictor.predict_probabilities(window)
            count += 1
            done = min(next_top - top, window_height)
            finished = total[:, :done]
            finished /= columns[:, np.newaxis]
            finished /= count[:done, np.newaxis, np.newaxis]
            take(top, finished)
            for rows, axis in ((total, 1), (count, 0)):
                _shift(rows, done, axis)


def _starts(side: int, window: int, overlap: float) -> list[int]:
    """Returns the starts of the windows along a side: evenly from 0 to side - window, at most (1 - overlap) * window
    apart.
    """
    stride = max(1, int(window * (1 - overlap)))
    steps = -(-(side - window) // stride)
    return [0] if steps == 0 else [round(i * (side - window) / steps) for i in range(steps + 1)]


def _shift(rows: Any, number: int, axis: int) -> None:
    """Moves an array up by that number of rows, in place; zeros follow."""
    view = np.moveaxis(rows, axis, 0)
    kept = len(view) - number
    view[:kept] = view[number:].copy()
    view[kept:] = 0
