"""Decoded pictures of a split, in memory or in one raw file, from which windows are read without decoding.

A picture takes four bytes per pixel: red, green and blue of all pixels, followed by their class ids. The raw file is
written once for the same record files, atomically. Each picture has a checksum (CRC-32), which is compared when a
process reads the picture for the first time.
"""

import dataclasses
import hashlib
import itertools
import json
import pathlib
import zlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from deeplab_dpc.console import track
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import (
    CHECK_SUM,
    atomic_path,
    has_check_sum,
    read_json,
    remove_partial,
    require_space,
    with_check_sum,
    write_json,
)
from deeplab_dpc.locks import only_writer
from deeplab_dpc.system_memory import available_system_memory

CACHE_FOLDER = "decoded"  # in the data set's directory
PIXELS, INDEX = "pixels.raw", "index.json"  # the index has the size and the checksum of each picture
CHANNELS = 4
MEMORY_SHARE = 0.8  # largest share of the free memory that a cache may take


@dataclasses.dataclass(frozen=True)
class DecodedCache:
    """The decoded pictures of a split.

    Attributes:
      pixels: uint8 [bytes], all pictures one after the other.
      sizes: (height, width) of each picture; int32 [records, 2].
      offsets: start of each picture, in bytes; int64 [records].
      unchecked: checksums of the pictures that were not read yet, by record; empty for pictures in memory.
      path: path of the raw file, for messages.
    """

    pixels: np.ndarray
    sizes: np.ndarray
    offsets: np.ndarray
    unchecked: dict[int, int] = dataclasses.field(default_factory=dict)
    path: pathlib.Path = pathlib.Path()

    def window(self, record: int, top: int, left: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns a window of a record: image uint8 [height, width, 3] and label uint8 [height, width].

        Raises:
          UserError: if the picture does not have its checksum.
        """
        rows, columns = (int(side) for side in self.sizes[record])
        area, start = rows * columns, self.offsets[record]
        check_sum = self.unchecked.get(int(record))
        if check_sum is not None:
            if zlib.crc32(self.pixels[start : start + CHANNELS * area].data) != check_sum:
                raise _damaged(self.path, f"picture {record} does not have its checksum")
            self.unchecked.pop(int(record), None)  # another thread may have removed it
        image = self.pixels[start : start + 3 * area].reshape(rows, columns, 3)
        label = self.pixels[start + 3 * area : start + CHANNELS * area].reshape(rows, columns)
        part = (slice(top, top + height), slice(left, left + width))
        return np.ascontiguousarray(image[part]), np.ascontiguousarray(label[part])


def open_cache(
    mode: str,
    shards: Sequence[pathlib.Path],
    digest: str,
    split: str,
    sizes: Callable[[], np.ndarray],
    pictures: Iterable[tuple[np.ndarray, np.ndarray]],
    folder: pathlib.Path,
) -> DecodedCache:
    """Returns the cache of a split; reads and decodes the records unless a raw file of them exists.

    Args:
      mode: "memory", or "disk" for a raw file in `folder`.
      shards: record files of the split; a raw file is reused as long as their sizes, times and digest are
        unchanged.
      digest: digest of the records.
      split: name of the split.
      sizes: function without arguments that returns (height, width) of each picture; int32 [records, 2].
      pictures: decoded (image uint8 [height, width, 3], label uint8 [height, width]) of each record, in order.
      folder: folder of the raw files.

    Raises:
      UserError: if the pictures do not fit into memory or onto the disk, whichever is requested.
    """
    title = f"Decoding {split}"
    if mode == "memory":
        known = sizes()
        total = _offsets(known)[-1]
        available = available_system_memory()
        if available is not None and total > MEMORY_SHARE * available:
            raise UserError(
                f"--cache=memory needs {total / 1e9:.1f} GB for the split {split}, {available / 1e9:.1f} GB are free; "
                "give --cache=disk or --cache=none."
            )
        pixels = np.empty(total, np.uint8)
        _fill(pixels, _offsets(known), track(pictures, title, len(known)))
        return DecodedCache(pixels, known, _offsets(known)[:-1])
    path = folder / f"{split}-{_identity(shards, digest)}"
    if not path.exists():
        with only_writer(path, "decoded pictures"):
            remove_partial(folder, path.name)
            if not path.exists():
                _write(path, sizes(), lambda number: track(pictures, title, number))
    return _open(path)


def _write(
    path: pathlib.Path, known: np.ndarray, pictures: Callable[[int], Iterable[tuple[np.ndarray, np.ndarray]]]
) -> None:
    offsets = _offsets(known)
    require_space(path.parent, offsets[-1])
    with atomic_path(path) as partial:
        partial.mkdir()
        pixels = np.memmap(partial / PIXELS, np.uint8, "w+", shape=(offsets[-1],))
        _fill(pixels, offsets, pictures(len(known)))
        pixels.flush()
        sums = [zlib.crc32(pixels[start:end].data) for start, end in itertools.pairwise(offsets)]
        write_json(partial / INDEX, with_check_sum({"sizes": known.tolist(), "check_sums": sums}))


def _open(path: pathlib.Path) -> DecodedCache:
    """Opens a raw file and its index.

    Raises:
      UserError: if one of them is damaged or they do not match.
    """
    try:
        index = read_json(path / INDEX, "index of decoded pictures")
        pixels = np.memmap(path / PIXELS, np.uint8, "r")
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error).rstrip(".")) from error
    if not isinstance(index, dict) or CHECK_SUM not in index or not has_check_sum(index):
        raise _damaged(path, f"{INDEX} does not have its checksum")
    known = np.array(index["sizes"], np.int32)
    offsets = _offsets(known)
    if len(pixels) != offsets[-1]:
        raise _damaged(path, f"{PIXELS} has {len(pixels)} bytes and should have {offsets[-1]}")
    return DecodedCache(pixels, known, offsets[:-1], dict(enumerate(index["check_sums"])), path)


def _damaged(path: pathlib.Path, reason: str) -> UserError:
    return UserError(
        f"The decoded pictures in {path} are damaged ({reason}); remove that folder, and the same command decodes the "
        "records again."
    )


def _identity(shards: Sequence[pathlib.Path], digest: str) -> str:
    """Returns a digest that changes with any record file, and that differs from the digest of old raw files without
    checksums.
    """
    facts = [digest, *([shard.name, shard.stat().st_size, shard.stat().st_mtime_ns] for shard in shards)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _offsets(sizes: np.ndarray) -> np.ndarray:
    """Returns the start of each picture, in bytes, and the total; int64 [records + 1]."""
    return np.concatenate([[0], np.cumsum(sizes.astype(np.int64).prod(axis=1) * CHANNELS)])


def _fill(pixels: np.ndarray, offsets: np.ndarray, pictures: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    for start, (image, label) in zip(offsets[:-1], pictures, strict=True):
        end = start + image.size
        pixels[start:end] = image.reshape(-1)
        pixels[end : end + label.size] = label.reshape(-1)
