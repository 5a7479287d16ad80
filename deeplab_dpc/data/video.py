"""Reading and writing of videos, frame by frame, with PyAV (the extra `video`). Needs no TensorFlow."""

import contextlib
import pathlib
from collections.abc import Iterator
from fractions import Fraction
from types import ModuleType, TracebackType
from typing import Any, Self

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.installation import pip_line

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".gif")
LENIENT_PYAV = 19  # from this version on, metadata that is not UTF-8 is not an error, and there is no option for it
QUALITY = "20"  # constant rate factor of H.264; 18 is hardly distinguishable from the original


def is_video(path: str) -> bool:
    """Returns whether a file name has the suffix of a video."""
    return pathlib.PurePath(path).suffix.lower() in VIDEO_SUFFIXES


class VideoReader:
    """A reader of the frames of a video as they are shown (turned by its rotation), for a `with` block.

    Args:
      path: path of the file.

    Attributes:
      rate: frames per second on average.
      time_base: unit of the frames' times, in seconds.
      num_frames: number of frames in the file's metadata, or None.

    Raises:
      UserError: if PyAV is not installed, or the file cannot be opened or has no video.
    """

    def __init__(self, path: pathlib.Path):
        self._av = _pyav()
        self.path = path
        with contextlib.ExitStack() as stack:
            try:
                # FFmpeg would take a name with a colon for a protocol, and accepts no name that is not UTF-8.
                file = stack.enter_context(open(path, "rb"))
                self._container = stack.enter_context(self._av.open(file, **_lenient(self._av)))
            except (self._av.error.FFmpegError, OSError, ValueError) as error:
                raise UserError(f"{path} cannot be read as a video: {_reason(error)}.") from error
            if not self._container.streams.video:
                raise UserError(f"{path} holds no video.")
            self._opened = stack.pop_all()
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.rate = self._stream.average_rate or Fraction(25)
        self.time_base = self._stream.time_base or 1 / self.rate
        self.num_frames = self._stream.frames or self._estimated_frames()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened.close()

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the time, in units of `time_base`, and the pixels, uint8 [height, width, 3], of each frame.

        Raises:
          UserError: if the file is damaged, the frames change their size, or there are no frames.
        """
        number, size = 0, None
        try:
            for frame in self._container.decode(self._stream):
                time = frame.pts if frame.pts is not None else round(number / self.rate / self.time_base)
                if size not in (None, (frame.height, frame.width)):
                    raise UserError(f"{self.path} changes its size at frame {number}; cut it there, or scale it.")
                size = frame.height, frame.width
                pixels = frame.to_ndarray(format="rgb24")
                yield time, np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))
                number += 1
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"{self.path} cannot be read after frame {number}: {_reason(error)}.") from error
        if not number:
            raise UserError(f"{self.path} holds no frame that can be read; it is damaged or cut off.")

    def _estimated_frames(self) -> int | None:
        frames: int | None = None
        if self._stream.duration is not None:
            frames = round(self._stream.duration * self.time_base * self.rate)
        elif self._container.duration is not None:
            frames = round(self._container.duration * self.rate / self._av.time_base)
        return frames


class VideoWriter:
    """A writer of an MP4 file (H.264), for a `with` block.

    Sides are made even, as the format requires, by repeating the last row or column.

    Args:
      path: path of the file.
      rate: frames per second on average.
      time_base: unit of the frames' times, in seconds.
    """

    def __init__(self, path: pathlib.Path, rate: Fraction, time_base: Fraction):
        self._av = _pyav()
        self._file = open(path, "wb")  # noqa: SIM115 (closed by `__exit__`)
        self._container = self._av.open(self._file, "w", format="mp4")
        self._stream: Any = self._container.add_stream("h264", rate=rate, options={"crf": QUALITY})
        self._stream.codec_context.time_base = time_base
        self._time_base = time_base
        self._last: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._file, self._container:
            if error is None and not self.is_empty:
                self._container.mux(self._stream.encode())

    @property
    def is_empty(self) -> bool:
        """Returns whether no frame has been written yet."""
        return self._last is None

    def add(self, time: int, pixels: np.ndarray) -> None:
        """Writes a frame.

        Args:
          time: time in units of the time base, later than that of the last frame.
          pixels: uint8 [height, width, 3], of the same size as the first frame.
        """
        height, width = pixels.shape[:2]
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._last is None:
            self._stream.height, self._stream.width = pixels.shape[:2]
            self._stream.pix_fmt = "yuv420p"  # the format that players support
        frame = self._av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts = time if self._last is None else max(time, self._last + 1)
        frame.time_base = self._time_base
        self._last = frame.pts
        self._container.mux(self._stream.encode(frame))


def _reason(error: Exception) -> str:
    """Returns the message of an exception, in one line without a full stop."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__


def _pyav() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise UserError(f"Videos need PyAV, which is not installed; {pip_line('video')}.") from error
    module: ModuleType = av
    return module


def _lenient(av: ModuleType) -> dict[str, str]:
    """Returns the options for PyAV to open files whose metadata is not UTF-8, as later versions do by default."""
    return {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < LENIENT_PYAV else {}
