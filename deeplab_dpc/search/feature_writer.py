"""Caching the features of a frozen backbone: streamed to disk, resumable, never taken for what they are not."""

import hashlib
import itertools
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.console import progress_bar
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.pipeline import evaluation_dataset, iterate
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import only_writer, read_json, require_space, write_json
from deeplab_dpc.layers import kernels
from deeplab_dpc.models.segmenter import Segmenter
from deeplab_dpc.search.feature_cache import MANIFEST, VERSION, FeatureCache, digest, open_cache

PROGRESS = "progress.json"
BATCH_SIZE = 8
BATCHES_PER_SAVE = 4


class _Features(keras.Model):
    """The backbone alone, in inference mode."""

    def __init__(self, segmenter: Segmenter):
        super().__init__(name="features")
        self.jit_compile = kernels.JIT_COMPILE
        self.segmenter = segmenter
        self.built = True

    def call(self, images):
        return self.segmenter.features(images, training=False)


def cache_features(
    root: str | pathlib.Path,
    model: Segmenter,
    dataset: Dataset,
    splits: tuple[str, ...],
    crop_sizes: dict[str, tuple[int, int] | None],
    seed: int,
) -> FeatureCache:
    """Returns the cache for this backbone and data below `root`; makes or finishes it where it is not complete.

    Of several processes that need the same one, on one file system, one makes it and the others wait.

    Args:
      root: directory of caches; each fingerprint has its own.
      model: whose backbone is frozen.
      dataset: the prepared data set.
      splits: which to cache.
      crop_sizes: (height, width) by split, or None: the size of the split's largest image, rounded up so that
        features and pixels align. Smaller images are padded with 127.5 and the ignore label.
      seed: of the crops' positions.

    Raises:
      UserError: if a split has no labels, features are not finite, or a crop does not suit the output stride.
    """
    for split in splits:
        dataset.require_labels(split)
    alignment = model.config.alignment
    sizes = {split: crop_sizes.get(split) or largest_crop(dataset, split, alignment) for split in splits}
    fingerprint = {
        "version": VERSION,
        "backbone": {
            "model_variant": model.config.model_variant,
            "output_stride": model.config.output_stride,
            "depth_multiplier": model.config.depth_multiplier,
            # Rates that no weight shows; left out where there are none, as caches before them have it.
            **({"multi_grid": list(model.config.multi_grid)} if model.config.multi_grid else {}),
            "weights": _hash_weights(model),
        },
        "data": {split: {"records": dataset.fingerprint(split), "size": list(sizes[split])} for split in splits},
        "seed": seed,
    }
    path = pathlib.Path(root) / digest(fingerprint)
    if not (path / MANIFEST).exists():
        with only_writer(path, "feature cache"):
            if not (path / MANIFEST).exists():
                _write(path, model, dataset, sizes, fingerprint)
    return open_cache(path)


def _write(
    path: pathlib.Path,
    model: Segmenter,
    dataset: Dataset,
    sizes: dict[str, tuple[int, int]],
    fingerprint: dict[str, Any],
) -> None:
    features = _Features(model)
    for split, size in sizes.items():
        _write_split(path, features, dataset, split, size, fingerprint["seed"])
    write_json(
        path / MANIFEST,
        {
            "version": VERSION,
            "fingerprint": fingerprint,
            "class_names": dataset.info.class_names,
            "ignore_label": dataset.info.ignore_label,
            "splits": {split: dataset.info.splits[split] for split in sizes},
        },
    )


def largest_crop(dataset: Dataset, split: str, alignment: int) -> tuple[int, int]:
    """The size of a split's largest image, rounded up to alignment * k + 1 so that features and pixels align."""
    height, width = dataset.info.max_size[split]
    return tuple((side + alignment - 2) // alignment * alignment + 1 for side in (height, width))  # type: ignore[return-value]


def _hash_weights(model: Segmenter) -> str:
    digester = hashlib.sha256()
    scope = model.backbone.name + "/"
    for name, variable in sorted(named_variables(model).items()):
        if name.startswith(scope):
            digester.update(name.encode())
            digester.update(np.ascontiguousarray(variable).tobytes())
    return digester.hexdigest()


def _write_split(
    path: pathlib.Path, model: _Features, dataset: Dataset, split: str, size: tuple[int, int], seed: int
) -> None:
    """Writes the rows that are not yet there; progress.json counts those known to be on disk."""
    count = dataset.info.splits[split]
    folder = path / split
    folder.mkdir(parents=True, exist_ok=True)
    done = read_json(folder / PROGRESS, "cache progress")["done"] if (folder / PROGRESS).exists() else 0
    if done == count:
        return
    shape = model.segmenter.features_shape((count, *size, 3))
    if done == 0:
        require_space(folder, 2 * math.prod(shape) + count * math.prod(size))
    features = _open_rows(folder / "features.npy", "float16", shape, done)
    labels = _open_rows(folder / "labels.npy", "uint8", (count, *size), done)
    examples = iterate(
        evaluation_dataset(dataset, split, crop_size=size, seed=seed).skip(done),
        f"The split {split} of {dataset.path}",
        dataset.shards(split),
    )
    with progress_bar() as progress:
        task = progress.add_task(f"Caching features, {split}", total=count, completed=done, note="")
        for number, batch in enumerate(_batches(examples), start=1):
            images = np.stack([example["image"] for example in batch]).astype("float32")
            rows = slice(done, done + len(batch))
            features[rows] = _half(model.predict_on_batch(images), batch)
            labels[rows] = np.stack([example["label"] for example in batch])
            done = rows.stop
            if number % BATCHES_PER_SAVE == 0 or done == count:
                features.flush()
                labels.flush()
                write_json(folder / PROGRESS, {"done": done})
            progress.update(task, completed=done)
    if done != count:
        raise UserError(f"{dataset.path}: split {split} holds {done} records, its description says {count}.")


def _batches(examples: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(itertools.islice(examples, BATCH_SIZE)):
        yield batch


def _half(features: Any, batch: list[dict[str, Any]]) -> np.ndarray:
    with np.errstate(over="ignore"):
        half = np.asarray(features).astype("float16")
    for row, example in zip(half, batch, strict=True):
        if not np.isfinite(row).all():
            raise UserError(
                f"The backbone's features of {example['filename'].decode()} are not finite in half precision; "
                "is --tf_initial_checkpoint the right one for this backbone?"
            )
    return half


def _open_rows(path: pathlib.Path, dtype: str, shape: tuple[int, ...], done: int) -> np.memmap:
    """The array file, made at its full size so that a full disk is an error here and not a crash later."""
    if done == 0:
        rows = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with open(path, "rb+") as stream:
                os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
        return rows
    return np.lib.format.open_memmap(path, mode="r+")
