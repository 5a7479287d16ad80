"""Predictions of uploaded images, one at a time, as data for the web page."""

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

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")  # formats that all browsers show, too
MAX_WAITING = 4  # images that wait while one is predicted
PLACE_SECONDS = 2  # time to wait for a place in a full queue; images whose client has gone leave theirs sooner
DECODE_SECONDS = 10  # far more than any image of an allowed size takes, unless it was made to take long


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """The description of the model on the page.

    Attributes:
      name: name of the model, without paths.
      class_names, palette: names and colours by class id.
    """

    name: str
    class_names: tuple[str, ...]
    palette: tuple[Color, ...]


class Busy(Exception):  # noqa: N818 (no error of ours)
    """The error for a full queue, or for a server that is about to end."""


class ImageQueue:
    """A queue of images that are predicted one at a time, so that only the memory for one image is needed.

    Args:
      predictor: predictor of the network.
      num_classes: number of classes with a name.
      max_pixels: largest number of pixels of an image; larger images are refused before they are decoded.
      max_waiting: number of images that may wait while one is predicted.
      decode_seconds: largest number of seconds for decoding an image.
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
        """Reserves a place in the queue, as a context.

        Raises:
          Busy: if the queue is full.
        """
        if not self._places.acquire(timeout=PLACE_SECONDS):
            raise Busy
        try:
            yield
        finally:
            self._places.release()

    def predict(self, encoded: bytes, is_unwanted: Callable[[], bool]) -> dict[str, Any]:
        """Returns the prediction of an encoded image, as JSON: its size, the duration and the class of each pixel.

        `pixels` has the number of pixels of each class. The class ids are contained twice, both in base64: `class_ids`
        has the bytes [height * width] compressed by zlib, for use in a script, and `class_ids_png` is a PNG file.

        Args:
          encoded: contents of the file.
          is_unwanted: function called repeatedly without arguments until the network starts; if it returns True, the
            image is given up.

        Raises:
          UserError: if the file is not an image of FORMATS, or the image does not fit.
          Unwanted: if the image was given up.
          Busy: if the queue was closed before the turn of the image.
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
        """Closes the queue: no image starts any more, and the current one goes on only if the network predicts it."""
        self._is_closed = True

    def end(self) -> None:
        """Ends the decoder's process."""
        self._decoder.close()

    @contextlib.contextmanager
    def _turn(self, is_unwanted: Callable[[], bool]) -> Iterator[None]:
        """Waits until no other image is predicted, and keeps the turn as a context."""
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
