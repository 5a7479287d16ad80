"""Caching of the features of a frozen backbone: streamed to disk, resumable, and identified by a fingerprint."""

import dataclasses
import hashlib
import itertools
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, Self

import keras
import numpy as np

from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.console import console, progress_bar
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.example import filename_text
from deeplab_dpc.data.foreign_records import check_labels
from deeplab_dpc.data.pipeline import evaluation_dataset, iterate
from deeplab_dpc.data.preprocess import Augmentation
from deeplab_dpc.data.views import aligned, largest_resized, view_dataset
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import read_json, require_space, write_json
from deeplab_dpc.layers import kernels
from deeplab_dpc.layers.types import Tensor
from deeplab_dpc.locks import only_writer
from deeplab_dpc.models.segmenter import Segmenter
from deeplab_dpc.search.proxy.feature_cache import MANIFEST, VERSION, FeatureCache, digest, open_cache, write_manifest

PROGRESS = "progress.json"
BATCH_SIZE = 8
BATCHES_PER_SAVE = 4


class _Features(keras.Model):
    """The backbone in inference mode."""

    def __init__(self, segmenter: Segmenter):
        super().__init__(name="features")
        self.jit_compile = kernels.JIT_COMPILE
        self.segmenter = segmenter
        self.built = True

    def call(self, images: Tensor) -> Tensor:
        return self.segmenter.features(images, training=False)


@dataclasses.dataclass(frozen=True)
class SplitPlan:
    """The contents of the cache for a split.

    Attributes:
      size: (height, width) in pixels of the backbone's input.
      images: number of images of the split.
      views: number of augmented views of each image; 0 if each image is cached once, without augmentation.
      augmentation: augmentation of each view, or None for unchanged images. With `views` 0 it only resizes.
    """

    size: tuple[int, int]
    images: int
    views: int = 0
    augmentation: Augmentation | None = None

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        split: str,
        alignment: int,
        crop_size: tuple[int, int] | None = None,
        views: int = 0,
        augmentation: Augmentation | None = None,
    ) -> Self:
        """Returns the plan of a split.

        Args:
          dataset: the prepared data set.
          split: split with labels.
          alignment: alignment of the sides, which are `alignment` * k + 1.
          crop_size: (height, width) in pixels, or None for the largest image of the split.
          views: number of augmented views of each image; 0 for the image without augmentation.
          augmentation: augmentation of the training; without views only its resize to a range of sides is applied.

        Raises:
          UserError: if the split is absent or has no labels.
        """
        dataset.require_labels(split)
        images = dataset.num_images(split)
        if augmentation is not None and not views:
            augmentation = _only_resized(augmentation)
        if augmentation is None:
            return cls(crop_size or aligned(dataset.max_size(split), alignment), images)
        size = crop_size or aligned(largest_resized(dataset, split, augmentation), alignment)
        return cls(size, images, views, dataclasses.replace(augmentation, crop_size=size))

    @property
    def rows(self) -> int:
        """Returns the number of rows of the split's arrays."""
        return self.images * max(self.views, 1)

    def nbytes(self, features_shape: tuple[int, ...]) -> int:
        """Returns the size in bytes of features and labels on disk; `features_shape` includes the axis of rows."""
        return 2 * math.prod(features_shape) + self.rows * math.prod(self.size)

    def fingerprint(self, records: str) -> dict[str, Any]:
        """Returns everything on which the cached rows depend; without augmentation, views are not part of it, as in
        earlier caches.
        """
        drawn = {}
        if self.augmentation is not None:
            augmentation = dataclasses.asdict(self.augmentation)
            del augmentation["mean_pixel"]  # which the backbone determines
            drawn = {"views": self.views, "augmentation": augmentation}
        return {"records": records, "size": list(self.size), **drawn}


def _only_resized(augmentation: Augmentation) -> Augmentation | None:
    """Returns only the resize to a range of sides; None if there is none."""
    if augmentation.min_resize_value is None:
        return None
    return dataclasses.replace(
        augmentation,
        min_scale_factor=1.0,
        max_scale_factor=1.0,
        scale_factor_step_size=0.0,
        photometric_jitter=0.0,
        flip_probability=0.0,
    )


def cache_features(
    root: str | pathlib.Path,
    model: Segmenter,
    dataset: Dataset,
    plans: Mapping[str, SplitPlan],
    seed: int,
) -> FeatureCache:
    """Returns the cache for this backbone and data below `root`; creates or completes it if necessary.

    If several processes on one file system need the same cache, one creates it and the others wait.

    Args:
      root: directory of caches; each fingerprint has its own.
      model: network whose backbone is frozen.
      dataset: the prepared data set.
      plans: plans by split. Smaller images are padded with the mean pixel and the ignore label.
      seed: seed of the views and the positions of crops.

    Raises:
      UserError: if features are not finite, a crop does not fit the output stride, or the disk is full.
    """
    fingerprint = {
        "version": VERSION,
        "backbone": {
            "model_variant": model.config.model_variant,
            "output_stride": model.config.output_stride,
            "depth_multiplier": model.config.depth_multiplier,
            # Rates that the weights do not show; left out if there are none, as in earlier caches.
            **({"multi_grid": list(model.config.multi_grid)} if model.config.multi_grid else {}),
            "weights": _hash_weights(model),
        },
        "data": {split: plan.fingerprint(dataset.fingerprint(split)) for split, plan in plans.items()},
        "seed": seed,
    }
    path = pathlib.Path(root) / digest(fingerprint)
    if not (path / MANIFEST).exists():
        with only_writer(path, "feature cache"):
            if not (path / MANIFEST).exists():
                _write(path, model, dataset, plans, fingerprint)
    return open_cache(path)


def _write(
    path: pathlib.Path,
    model: Segmenter,
    dataset: Dataset,
    plans: Mapping[str, SplitPlan],
    fingerprint: dict[str, Any],
) -> None:
    check_labels(dataset, next(iter(plans)))
    shapes = {split: model.features_shape((plan.rows, *plan.size, 3)) for split, plan in plans.items()}
    needed = sum(plan.nbytes(shapes[split]) for split, plan in plans.items())
    console.print(f"The features take {needed / 1e6:,.1f} MB in {path}: {_counted(plans)}.")
    features = _Features(model)
    for split, plan in plans.items():
        _write_split(path, features, dataset, split, plan, fingerprint["seed"])
    images = {split: plan.images for split, plan in plans.items()}
    views = {split: plan.views for split, plan in plans.items()}
    write_manifest(path, fingerprint, dataset.info.class_names, dataset.info.ignore_label, images, views)


def _counted(plans: Mapping[str, SplitPlan]) -> str:
    return ", ".join(
        f"{plan.images:,} images of {split}" + (f" in {plan.views} views each" if plan.views else "")
        for split, plan in plans.items()
    )


def _hash_weights(model: Segmenter) -> str:
    digester = hashlib.sha256()
    scope = model.backbone.name + "/"
    for name, variable in sorted(named_variables(model).items()):
        if name.startswith(scope):
            digester.update(name.encode())
            digester.update(np.ascontiguousarray(variable).tobytes())
    return digester.hexdigest()


def _write_split(
    path: pathlib.Path, model: _Features, dataset: Dataset, split: str, plan: SplitPlan, seed: int
) -> None:
    """Writes the missing rows; progress.json counts those known to be on disk."""
    count, size = plan.rows, plan.size
    folder = path / split
    folder.mkdir(parents=True, exist_ok=True)
    done = read_json(folder / PROGRESS, "cache progress")["done"] if (folder / PROGRESS).exists() else 0
    if done == count:
        return
    shape = model.segmenter.features_shape((count, *size, 3))
    if done == 0:
        require_space(folder, plan.nbytes(shape))
    features = _open_rows(folder / "features.npy", "float16", shape, done)
    labels = _open_rows(folder / "labels.npy", "uint8", (count, *size), done)
    if plan.augmentation is None:
        source = evaluation_dataset(dataset, split, size, seed, model.segmenter.config.mean_pixel).skip(done)
    else:
        source = view_dataset(dataset, split, plan.augmentation, max(plan.views, 1), seed, done)
    examples = iterate(source, f"The split {split} of {dataset.path}", dataset.shards(split))
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
        raise UserError(f"{dataset.path}: split {split} gives {done} images, its description says {count}.")


def _batches(examples: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(itertools.islice(examples, BATCH_SIZE)):
        yield batch


def _half(features: Any, batch: list[dict[str, Any]]) -> np.ndarray:
    with np.errstate(over="ignore"):
        half = np.asarray(features).astype("float16")
    for row, example in zip(half, batch, strict=True):
        if not np.isfinite(row).all():
            raise UserError(
                f"The backbone's features of {filename_text(example['filename'])} are not finite in half precision; "
                "is --tf_initial_checkpoint the right one for this backbone?"
            )
    return half


def _open_rows(path: pathlib.Path, dtype: str, shape: tuple[int, ...], done: int) -> np.memmap:
    """Returns the array file, created at its full size so that a full disk is an error here and not a crash later."""
    if done == 0:
        rows = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with open(path, "rb+") as stream:
                os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)
        return rows
    return np.lib.format.open_memmap(path, mode="r+")
