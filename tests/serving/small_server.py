"""A page server with a predictor that needs no network, for the tests."""

import contextlib
import threading
import time
from collections.abc import Iterator

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.serving.image_queue import ServedModel
from deeplab_dpc.serving.page_server import PageServer

MODEL = ServedModel("tiny", ("ground", "disk <b>", "ring"), ((0, 0, 0), (200, 0, 0), (0, 0, 200)))
MAX_UPLOAD_BYTES = 100_000
MAX_IMAGE_PIXELS = 10_000


class BrightPixels:
    """Class 1 where red is bright, 2 where blue is, else 0; fails on one size, and refuses another.

    Attributes:
      under_way: predictions.
      at_once: the most predictions that were under way at one time.
      predicted: images.

    Args:
      seconds: that a prediction takes.
      hold: predictions end once it is set.
    """

    num_classes = 3

    def __init__(self, seconds=0.01, hold=None):
        self._seconds = seconds
        self._hold = hold
        self.at_once = 0
        self.under_way = 0
        self.predicted = 0

    def predict_batch(self, images):
        self.under_way += 1
        self.predicted += len(images)
        self.at_once = max(self.at_once, self.under_way)
        if images.shape[1:3] == (13, 13):
            raise RuntimeError("secret detail in /home/someone")
        time.sleep(self._seconds)
        if self._hold:
            self._hold.wait()
        self.under_way -= 1
        return np.where(images[..., 0] > 127, 1, np.where(images[..., 2] > 127, 2, 0)).astype(np.int32)

    def predict_probabilities(self, images):
        return np.eye(3, dtype=np.float32)[self.predict_batch(images)]

    def check_size(self, image, name):
        if image.shape[0] == 14:
            raise UserError(f"{name} is 14 pixels high; give another.")


@contextlib.contextmanager
def serving(host: str = "127.0.0.1", predictor: BrightPixels | None = None, **options) -> Iterator[PageServer]:
    """A page server that answers, on a free port."""
    server = PageServer(host, 0, predictor or BrightPixels(), MODEL, MAX_UPLOAD_BYTES, MAX_IMAGE_PIXELS, **options)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.close()
