"""Event files with scalars and pictures of a training for TensorBoard; they do not need TensorFlow."""

import io
import os
import pathlib
import socket
import time
import weakref

import numpy as np
from PIL import Image
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.summary.writer.record_writer import RecordWriter

FILE_VERSION = "brain.Event:2"  # event files in which the start of a session discards later steps


class Summaries:
    """A writer of one event file, beside those of earlier starts of the same run.

    TensorBoard discards the events of earlier starts after `step`, since this training repeats those steps. Every call
    passes its events to the operating system before it returns, so that a killed process loses none.

    Args:
      folder: folder of the run's event files, created if it is absent.
      step: number of steps that are done.
    """

    def __init__(self, folder: str | os.PathLike[str], step: int = 0):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names; nanoseconds order restarts in a second.
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        name = f"events.out.tfevents.{seconds:010d}.{nanoseconds:09d}.{socket.gethostname()}.{os.getpid()}"
        self._stream = open(folder / name, "xb")  # noqa: SIM115
        weakref.finalize(self, self._stream.close)  # also if the training fails
        self._records = RecordWriter(self._stream)
        self._write(event_pb2.Event(file_version=FILE_VERSION))
        self._write(event_pb2.Event(step=step + 1, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START)))
        self._stream.flush()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Adds a point to the curve of each name; "train/loss" is the curve loss in the group train."""
        event = event_pb2.Event(step=step)
        metadata = scalar_metadata.create_summary_metadata(display_name="", description="")
        metadata.data_class = summary_pb2.DATA_CLASS_SCALAR
        for name, value in values.items():
            tensor = tensor_pb2.TensorProto(
                dtype=types_pb2.DT_FLOAT, tensor_shape=tensor_shape_pb2.TensorShapeProto(), float_val=[value]
            )
            event.summary.value.add(tag=name, metadata=metadata, tensor=tensor)
        self._write(event)
        self._stream.flush()

    def images(self, step: int, name: str, images: np.ndarray) -> None:
        """Adds pictures, uint8 [number, height, width, 3], under one name."""
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"`images` must be uint8 [n, height, width, 3], got {images.dtype} {list(images.shape)}.")
        height, width = images.shape[1:3]
        strings = [str(width).encode(), str(height).encode(), *map(_png, images)]
        shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=len(strings))])
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, tensor_shape=shape, string_val=strings)
        metadata = image_metadata.create_summary_metadata(display_name="", description="")
        metadata.data_class = summary_pb2.DATA_CLASS_BLOB_SEQUENCE
        event = event_pb2.Event(step=step)
        event.summary.value.add(tag=name, metadata=metadata, tensor=tensor)
        self._write(event)
        self._stream.flush()

    def close(self) -> None:
        """Closes the file; nothing can be added any more."""
        self._stream.close()

    def _write(self, event: event_pb2.Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())


def _png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG")
    return stream.getvalue()
