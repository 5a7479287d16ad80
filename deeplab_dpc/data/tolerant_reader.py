"""Reading of record files that continues after damaged records, so that all errors can be reported at once."""

import dataclasses
import os
import pathlib
import re
import struct
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import tensorflow as tf

# TensorFlow's errors for damaged records: their messages contain bytes of the record, which may not be text.
READING_ERRORS = (tf.errors.OpError, UnicodeDecodeError)
_SHOWN = 300  # characters of a message
_LENGTH_BYTES, _FRAME_BYTES = 8, 16  # a TFRecord is: length, its checksum (4 bytes), the data, its checksum (4 bytes)


@dataclasses.dataclass(frozen=True)
class Damage:
    """A record, or the rest of a file, that cannot be read.

    Attributes:
      reason: description of the error, written after the position of the record.
    """

    reason: str


def read_records(shard: pathlib.Path) -> Iterator[bytes | Damage]:
    """Yields the serialized records of a file, in order; a Damage in place of each damaged one.

    If two consecutive records are damaged, the lengths are no longer trusted and the rest of the file is skipped.
    """
    offset = 0
    try:
        for record in _intact_records(shard):
            yield record
            offset += _FRAME_BYTES + len(record)
    except tf.errors.DataLossError:
        yield from _read_one_by_one(shard, offset)


def first_line(error: tf.errors.OpError | UnicodeDecodeError) -> str:
    """Returns the first line of TensorFlow's message, without the names of operations."""
    message = (
        error.object.decode("utf-8", "backslashreplace") if isinstance(error, UnicodeDecodeError) else error.message
    )
    message = re.sub(r"\{\{function_node.*?\}\}", "", message).strip()
    message = re.sub(r"^Error in user-defined function passed to .*?::\w+: ", "", message)  # the pipeline stage
    first = next(iter(message.splitlines()), "it is damaged").partition(" [Op:")[0].rstrip(".")
    return first if len(first) <= _SHOWN else f"{first[:_SHOWN]}..."


def _intact_records(path: str | pathlib.Path) -> Iterator[bytes]:
    yield from tf.data.TFRecordDataset(os.fsencode(path)).as_numpy_iterator()


def _read_one_by_one(shard: pathlib.Path, offset: int) -> Iterator[bytes | Damage]:
    """Yields the records from byte `offset` on, found by the lengths in the file."""
    size = shard.stat().st_size
    was_damaged = False
    with open(shard, "rb") as stream:
        while offset < size:
            stream.seek(offset)
            framed = _read_framed(stream, size - offset)
            if framed is None:
                yield Damage(f"is cut off or its length is wrong; the rest of {shard.name} was not read")
                return
            record = _check_sum(framed)
            if record is None and was_damaged:
                yield Damage(
                    f"does not agree with its checksum, nor did the last; the rest of {shard.name} was not read"
                )
                return
            yield Damage(f"does not agree with its checksum in {shard.name}") if record is None else record
            was_damaged = record is None
            offset += len(framed)


def _read_framed(stream: BinaryIO, available: int) -> bytes | None:
    """Returns a record with its length and checksums; None if it would extend beyond the available data."""
    head = stream.read(_LENGTH_BYTES)
    if len(head) < _LENGTH_BYTES:
        return None
    length = struct.unpack("<Q", head)[0] + _FRAME_BYTES
    return head + stream.read(length - _LENGTH_BYTES) if length <= available else None


def _check_sum(framed: bytes) -> bytes | None:
    """Returns the data of a framed record; None if data and checksum do not agree."""
    with tempfile.NamedTemporaryFile() as single:  # TensorFlow checks only records in files
        single.write(framed)
        single.flush()
        try:
            return next(_intact_records(single.name))
        except tf.errors.DataLossError:
            return None
