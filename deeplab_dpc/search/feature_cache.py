"""Reading the cache of backbone features; NumPy alone (arXiv:1809.04184, Sec. 3.3).

CACHE/manifest.json          the fingerprint and the splits; present only when the cache is complete
      train/features.npy     float16 [images, h, w, channels]
      train/labels.npy       uint8 [images, height, width], sides output_stride * (side - 1) + 1
      val/...
"""

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.files import read_json

MANIFEST = "manifest.json"
VERSION = 1


@dataclasses.dataclass(frozen=True)
class CachedSplit:
    """Memory-mapped features and labels of a split; nothing is read before it is used."""

    features: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.features)


@dataclasses.dataclass(frozen=True)
class FeatureCache:
    """A complete cache.

    Attributes:
      path: its directory.
      fingerprint: what the features depend on: backbone, weights, records, crops.
      class_names: of the labels.
      ignore_label: of unlabelled and padded pixels.
      splits: by name.
    """

    path: pathlib.Path
    fingerprint: dict[str, Any]
    class_names: tuple[str, ...]
    ignore_label: int
    splits: dict[str, CachedSplit]

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def output_stride(self) -> int:
        return self.fingerprint["backbone"]["output_stride"]

    def split(self, name: str) -> CachedSplit:
        """The split of that name.

        Raises:
          UserError: if the cache does not have it.
        """
        if name not in self.splits:
            raise UserError(f"The feature cache {self.path} has no split {name!r}, only {', '.join(self.splits)}.")
        return self.splits[name]


def digest(fingerprint: dict[str, Any]) -> str:
    """A short name for a fingerprint."""
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:12]


def open_cache(path: str | pathlib.Path) -> FeatureCache:
    """Opens a complete cache.

    Raises:
      UserError: if it is absent, incomplete, of another version, or its arrays do not fit its manifest.
    """
    path = pathlib.Path(path)
    if not (path / MANIFEST).exists():
        raise UserError(f"{path} holds no complete feature cache: it has no {MANIFEST}.")
    manifest = read_json(path / MANIFEST, "feature cache manifest")
    if manifest.get("version") != VERSION:
        raise UserError(f"The feature cache {path} has version {manifest.get('version')}, not {VERSION}; make it anew.")
    splits = {name: _open_split(path / name, count) for name, count in manifest["splits"].items()}
    return FeatureCache(path, manifest["fingerprint"], tuple(manifest["class_names"]), manifest["ignore_label"], splits)


def _open_split(path: pathlib.Path, count: int) -> CachedSplit:
    try:
        split = CachedSplit(*(np.load(path / f"{name}.npy", mmap_mode="r") for name in ("features", "labels")))
    except (OSError, ValueError) as error:
        raise UserError(f"The feature cache {path} is damaged ({error}); delete it, and it is made anew.") from error
    if len(split.features) != count or len(split.labels) != count:
        raise UserError(f"The feature cache {path} does not hold the {count} images of its manifest; delete it.")
    return split
