"""The targets of the separated loss, computed once for a split of a feature cache and stored beside it, with NumPy.

CACHE/train/targets_DIGEST/label_term.npy      float32, see Targets
                          /node_weights.npy
                          /labelled.npy
                          /checksums.json      CRC-32 of each

The digest covers everything on which the targets depend except the labels: sizes, classes, ignore label, nodes, label
weights. The directory appears when it is complete. If several processes need it, one creates it and the others wait; if
the cache cannot be written, each computes the targets in memory.
"""

import errno
import hashlib
import json
import math
import pathlib
import time
from collections.abc import Iterator

import numpy as np

from deeplab_dpc.console import console, track
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import atomic_path, read_json, remove_partial, require_space, write_json
from deeplab_dpc.locks import only_writer
from deeplab_dpc.search.proxy.feature_cache import checksum
from deeplab_dpc.training.separated_loss import SeparatedLoss, Targets

CHECKSUMS = "checksums.json"
VERSION = 2
SLICE = 16  # images at a time
QUIET_SECONDS = 5.0  # shorter computations show no progress
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


def cached_targets(split_path: str | pathlib.Path, labels: np.ndarray, loss: SeparatedLoss) -> Targets:
    """Returns the targets of a split, memory-mapped; computes them if they do not exist.

    Args:
      split_path: directory of the split in its feature cache.
      labels: labels of the split, uint8 [images, height, width].
      loss: loss that uses the targets.

    Raises:
      UserError: if the stored targets are damaged, there is no room for them, or a label is neither a class nor the
        ignore label.
    """
    path = pathlib.Path(split_path) / f"targets_{_digest(loss)}"
    try:
        if not path.exists():
            with only_writer(path, "targets"):
                if not path.exists():
                    remove_partial(path.parent, path.name)
                    _write(path, labels, loss)
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        console.print(f"Targets cannot be kept in {path.parent} ({error.strerror}); they are computed in memory.")
        return _in_memory(labels, loss)
    return _open(path, len(labels), loss)


def _digest(loss: SeparatedLoss) -> str:
    identity = {
        "version": VERSION,
        "feature_size": loss.feature_size,
        "label_size": loss.label_size,
        "num_classes": loss.num_classes,
        "ignore_label": loss.ignore_label,
        "nodes": loss.nodes,
        "label_weights": loss.label_weights,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def _write(path: pathlib.Path, labels: np.ndarray, loss: SeparatedLoss) -> None:
    count = len(labels)
    require_space(path.parent, sum(4 * count * math.prod(shape) for shape in loss.target_shapes.values()))
    with atomic_path(path) as partial:
        partial.mkdir()
        arrays = {
            name: np.lib.format.open_memmap(partial / f"{name}.npy", mode="w+", dtype="float32", shape=(count, *shape))
            for name, shape in loss.target_shapes.items()
        }
        for rows, part in _computed(labels, loss):
            for name, array in arrays.items():
                array[rows] = getattr(part, name)
        for array in arrays.values():
            array.flush()
        write_json(partial / CHECKSUMS, {name: checksum(partial / f"{name}.npy") for name in arrays})


def _in_memory(labels: np.ndarray, loss: SeparatedLoss) -> Targets:
    arrays = {name: np.empty((len(labels), *shape), "float32") for name, shape in loss.target_shapes.items()}
    for rows, part in _computed(labels, loss):
        for name, array in arrays.items():
            array[rows] = getattr(part, name)
    return Targets(**arrays)


def _computed(labels: np.ndarray, loss: SeparatedLoss) -> Iterator[tuple[slice, Targets]]:
    """Yields the targets of some images at a time, to bound memory; shows the progress if it takes long."""
    slices = [slice(first, first + SLICE) for first in range(0, len(labels), SLICE)]
    start = time.monotonic()
    for rows in slices[:1]:
        yield rows, loss.targets(labels[rows])
    rest = slices[1:]
    if (time.monotonic() - start) * len(rest) > QUIET_SECONDS:
        yield from ((rows, loss.targets(labels[rows])) for rows in track(rest, "Targets of the loss", len(rest)))
    else:
        yield from ((rows, loss.targets(labels[rows])) for rows in rest)


def _open(path: pathlib.Path, count: int, loss: SeparatedLoss) -> Targets:
    arrays = {}
    advice = "delete that folder, and they are made anew"
    checksums = read_json(path / CHECKSUMS, "checksums of the targets") if (path / CHECKSUMS).exists() else None
    for name, shape in loss.target_shapes.items():
        try:
            array = np.load(path / f"{name}.npy", mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"The targets {path} are damaged ({error}); {advice}.") from error
        if array.shape != (count, *shape) or array.dtype != np.float32:
            raise UserError(f"The targets {path} do not fit the {count} images of their split; {advice}.")
        if not isinstance(checksums, dict) or checksums.get(name) != checksum(path / f"{name}.npy"):
            raise UserError(f"The targets {path} are damaged ({name} is not what was written); {advice}.")
        arrays[name] = array
    return Targets(**arrays)
