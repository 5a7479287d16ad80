"""Predictions of uploaded images, one at a time, and the answer that the web page draws from."""

import base64
import contextlib
import dataclasses
import io
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from deeplab_dpc.data.dataset_info import Color
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.image_predictor import ImagePredictor
from deeplab_dpc.serving.image_decoder import NAME, POLL_SECONDS, Decoder, Unwanted

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")  # what every browser shows, too
MAX_WAITING = 4  # images that wait while one is predicted
PLACE_SECONDS = 2  # after which there is none; those whose client has gone leave theirs sooner
DECODE_SECONDS = 10  # far more than an image of any allowed size takes that was not made to take long


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """What the page shows of the model.

    Attributes:
      name: name of the model, free of paths.
      class_names, palette: by class id.
    """

    name: str
    class_names: tuple[str, ...]
    palette: tuple[Color, ...]


class Busy(Exception):  # noqa: N818 (no error of ours)
    """As many images wait as may, or the server is about to end."""


class ImageQueue:
    """Predicts images one at a time, so that the memory needed is that of one.

    Args:
      predictor: what predicts.
      num_classes: that have a name.
      max_pixels: max pixels of an image; larger ones are refused before they are decoded.
      max_waiting: images that may wait while one is predicted.
      decode_seconds: that an image may take to decode.
    """

    def __init__(
        self,
        predictor: ImagePredictor,
        num_classes: int,
        max_pixels: int,
        max_waiting: int = MAX_WAITING,
        decode_seconds: float = DECODE_SECONDS,
    ) -> None:
        self._predictor = predictor
        self._num_classes = num_classes
        self._decoder = Decoder(max_pixels, FORMATS, decode_seconds)
        self._is_closed = False
        self._places = threading.BoundedSemaphore(1 + max_waiting)
        self._one_at_a_time = threading.Lock()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue.

        Raises:
          Busy: if there is none.
        """
        if not self._places.acquire(timeout=PLACE_SECONDS):
            raise Busy
        try:
            yield
        finally:
            self._places.release()

    def predict(self, encoded: bytes, is_unwanted: Callable[[], bool]) -> dict[str, Any]:
        """Returns the prediction of an encoded image, as JSON: its size, the time it took and the class of each pixel.

        `pixels` counts each class. The classes are there twice: `class_ids` are the bytes [height * width] compressed
        by zlib, which a script reads exactly, and `class_ids_png` is the PNG file to keep; both in base64.

        Args:
          encoded: the file.
          is_unwanted: asked now and then until the network is at work; where it says yes, the image is given up.

        Raises:
          UserError: if it is no image of FORMATS, or it does not fit.
          Unwanted: if it was given up.
          Busy: if the queue was closed before its turn.
        """
        with self._turn(is_unwanted):
            try:
                image = self._decoder.decode(encoded, lambda: self._is_closed or is_unwanted())
            except Unwanted:
                if self._is_closed:
                    raise Busy from None
                raise
            self._predictor.check_size(image, NAME)
            start = time.perf_counter()
            try:
                class_ids = self._predictor.predict_batch(image[np.newaxis])[0].astype(np.uint8)
            except MemoryError as error:
                raise UserError(f"{NAME} needs more memory than there is; reduce it.") from error
            seconds = time.perf_counter() - start
        height, width = class_ids.shape
        return {
            "height": height,
            "width": width,
            "seconds": round(seconds, 3),
            "pixels": np.bincount(class_ids.ravel(), minlength=self._num_classes).tolist(),
            "class_ids": _base64(zlib.compress(class_ids.tobytes(), level=1)),
            "class_ids_png": _base64(_png(class_ids)),
        }

    def close(self) -> None:
        """Lets no other image begin; the one at hand goes on only if the network has it."""
        self._is_closed = True

    def end(self) -> None:
        """Ends the decoder's process."""
        self._decoder.close()

    @contextlib.contextmanager
    def _turn(self, is_unwanted: Callable[[], bool]) -> Iterator[None]:
        """The time in which no other image is predicted."""
        while not self._one_at_a_time.acquire(timeout=POLL_SECONDS):
            if is_unwanted():
                raise Unwanted
        try:
            if self._is_closed:
                raise Busy
            yield
        finally:
            self._one_at_a_time.release()


def _png(class_ids: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(class_ids).save(stream, format="PNG")
    return stream.getvalue()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
