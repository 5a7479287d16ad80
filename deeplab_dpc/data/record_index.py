"""The position of each record of a split in its files, so that records can be read in any order. Needs no TensorFlow.

A TFRecord is: length (uint64, little-endian), its checksum (uint32), the data, its checksum (uint32). Lengths and
checksums are adjacent, so that a digest of the records can be computed without reading the data.
"""

import dataclasses
import hashlib
import mmap
import pathlib
import struct
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from deeplab_dpc.errors import UserError

_HEADER_BYTES, _FOOTER_BYTES = 12, 4
FRAME_BYTES = _HEADER_BYTES + _FOOTER_BYTES  # bytes of a record besides its data


@dataclasses.dataclass(frozen=True)
class RecordIndex:
    """The records of a split, in the order of its files.

    Attributes:
      files: the record files.
      file_of: index of each record's file; int32 [records].
      offset_of: start of each record in its file, in bytes; int64 [records].
    """

    files: tuple[str, ...]
    file_of: np.ndarray
    offset_of: np.ndarray

    def __len__(self) -> int:
        return len(self.offset_of)

    def digest(self) -> str:
        """Returns the SHA-256 of the lengths and checksums of the records, in order; it does not depend on the division
        into files.
        """
        digest = hashlib.sha256()
        for number, file in enumerate(self.files):
            offsets = self.offset_of[self.file_of == number].tolist()
            if offsets:
                with open(file, "rb") as stream, _mapped(stream) as data:
                    ends = [*offsets[1:], len(data)]
                    for start, end in zip(offsets, ends, strict=True):
                        digest.update(data[start : start + _HEADER_BYTES] + data[end - _FOOTER_BYTES : end])
        return digest.hexdigest()


def index_records(shards: Sequence[pathlib.Path]) -> RecordIndex:
    """Returns the positions of all records, found by their lengths without reading the data.

    Raises:
      UserError: if a file ends in the middle of a record, or there is no record.
    """
    file_of: list[int] = []
    offset_of: list[int] = []
    for number, shard in enumerate(shards):
        offsets = record_offsets(shard)
        offset_of += offsets
        file_of += [number] * len(offsets)
    if not offset_of:
        raise UserError(f"There is no record in {', '.join(map(str, shards))}; build the data set again.")
    return RecordIndex(tuple(map(str, shards)), np.array(file_of, np.int32), np.array(offset_of, np.int64))


def joined(indices: Sequence[RecordIndex]) -> RecordIndex:
    """Returns the records of several indices, one after another."""
    if len(indices) == 1:
        return indices[0]
    starts = np.cumsum([0, *(len(index.files) for index in indices)])
    return RecordIndex(
        tuple(file for index in indices for file in index.files),
        np.concatenate([index.file_of + start for index, start in zip(indices, starts[:-1], strict=True)]).astype(
            np.int32
        ),
        np.concatenate([index.offset_of for index in indices]),
    )


def _mapped(stream: BinaryIO) -> mmap.mmap:
    return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def record_offsets(shard: pathlib.Path) -> list[int]:
    """Returns the starts of the records of a file, in bytes.

    Raises:
      UserError: if the file ends in the middle of a record.
    """
    size = shard.stat().st_size
    if not size:
        return []
    offsets: list[int] = []
    offset = 0
    with open(shard, "rb") as stream, _mapped(stream) as data:
        while offset < size:
            header_end = offset + _HEADER_BYTES
            end = size + 1
            if header_end <= size:
                end = header_end + struct.unpack_from("<Q", data, offset)[0] + _FOOTER_BYTES
            if end > size:
                raise UserError(
                    f"The file {shard} is damaged: it ends in the middle of record {len(offsets)}, or the lengths in "
                    "it are wrong; build the data set again."
                )
            offsets.append(offset)
            offset = end
    return offsets
