"""Decoding of uploaded images in a separate process, which may crash and is ended if it takes too long."""

import io
import json
import multiprocessing
import multiprocessing.connection
import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from deeplab_dpc.data.image_files import decode_image
from deeplab_dpc.errors import UserError

NAME = "The image"  # name of the image in messages
START_SECONDS = 60  # largest start time of the process, on a busy machine
POLL_SECONDS = 0.25  # time between two checks whether a client still waits for the image
MAX_SCANS = 1000  # of a JPEG; progressive files have about ten, and in other data the marker occurs every 65,536 bytes

_SCAN = b"\xff\xda"
_PROGRAM = """
import json, sys
from multiprocessing.connection import Connection
from deeplab_dpc.serving.image_decoder import decode_all
decode_all(Connection(int(sys.argv[1])), *json.loads(sys.argv[2]))
"""


class Unwanted(Exception):  # noqa: N818 (no error of ours)
    """The error for an image for which no client waits any more."""


class Decoder:
    """A decoder of one image at a time. Its process starts with the first image, and again if it had to be ended.

    Args:
      max_pixels: largest number of pixels of an image; larger images are refused before they are decoded.
      formats: formats to read.
      seconds: largest number of seconds for an image.
    """

    def __init__(self, max_pixels: int, formats: tuple[str, ...], seconds: float) -> None:
        self._arguments = (max_pixels, formats)
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: multiprocessing.connection.Connection | None = None

    def decode(self, encoded: bytes, is_unwanted: Callable[[], bool]) -> np.ndarray:
        """Returns the image, uint8 [height, width, 3].

        Args:
          encoded: contents of the file.
          is_unwanted: function called repeatedly without arguments; if it returns True, the image is given up.

        Raises:
          UserError: if the file is not an image, or decoding takes too long.
          Unwanted: if the image was given up.
        """
        try:
            pipe = self._started()
            pipe.send_bytes(encoded)
            self._wait(pipe, is_unwanted)
            answer = json.loads(pipe.recv_bytes())
            if isinstance(answer, str):
                raise UserError(answer)
            return np.frombuffer(pipe.recv_bytes(), np.uint8).reshape(answer)
        except (EOFError, ConnectionError) as error:
            self.close()
            raise UserError(f"{NAME} cannot be read as an image: the decoder broke off; save it anew.") from error

    def close(self) -> None:
        """Ends the process, even while it works."""
        if self._process is None or self._pipe is None:
            return
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        self._process = self._pipe = None

    def _started(self) -> multiprocessing.connection.Connection:
        if self._pipe is None:
            ours, theirs = multiprocessing.Pipe()
            with theirs:
                # Not multiprocessing.Process, which runs the program's main module again.
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), json.dumps(self._arguments)],
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C reaches only the server, which ends this process
                )
            self._pipe = ours
            if not ours.poll(START_SECONDS):
                raise EOFError
            ours.recv_bytes()  # the process has started; the time limit of an image counts from here
        return self._pipe

    def _wait(self, pipe: multiprocessing.connection.Connection, is_unwanted: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._seconds
        while not pipe.poll(POLL_SECONDS):
            if is_unwanted():
                self.close()
                raise Unwanted
            if time.monotonic() > deadline:
                self.close()
                raise UserError(f"{NAME} takes more than {self._seconds:g} s to decode; save it anew, or reduce it.")


def decode_all(pipe: multiprocessing.connection.Connection, max_pixels: int, formats: tuple[str, ...]) -> None:
    """Sends the shape and the pixels of each received file, or an error message, until the server has ended."""
    pipe.send_bytes(b"started")
    while True:
        try:
            encoded = pipe.recv_bytes()
        except EOFError:
            return
        try:
            if encoded.count(_SCAN) > MAX_SCANS:
                raise UserError(f"{NAME} has more than {MAX_SCANS:,} scans, each of which takes time; save it anew.")
            image = decode_image(io.BytesIO(encoded), NAME, max_pixels, formats)
        except UserError as error:
            pipe.send_bytes(json.dumps(str(error)).encode())
        except MemoryError:
            pipe.send_bytes(json.dumps(f"{NAME} needs more memory than there is; reduce it.").encode())
        else:
            pipe.send_bytes(json.dumps(image.shape).encode())
            pipe.send_bytes(image.tobytes())
