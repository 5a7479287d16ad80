"""Reading the cache of backbone features, with NumPy only (arXiv:1809.04184, Sec. 3.3).

CACHE/manifest.json          the fingerprint, the splits and checksums; present only when the cache is complete
      train/features.npy     float16 [rows, h, w, channels]
      train/labels.npy       uint8 [rows, height, width], sides output_stride * (side - 1) + 1
      val/...

A split that holds several augmented views of each image has row `view * images + image`.
"""

import dataclasses
import hashlib
import json
import pathlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from deeplab_dpc.errors import UserError
from deeplab_dpc.files import read_json, write_json

MANIFEST = "manifest.json"
ARRAYS = ("features.npy", "labels.npy")
VERSION = 2
CHUNK = 2**24  # bytes that are read at a time


@dataclasses.dataclass(frozen=True)
class CachedSplit:
    """Memory-mapped features and labels of a split.

    Attributes:
      features: features, float16 [views * images, h, w, channels].
      labels: labels, uint8 [views * images, height, width].
      views: number of augmented views of each image, >= 1.
    """

    features: np.ndarray
    labels: np.ndarray
    views: int = 1

    def __len__(self) -> int:
        return len(self.features)


@dataclasses.dataclass(frozen=True)
class FeatureCache:
    """A complete cache.

    Attributes:
      path: directory of the cache.
      fingerprint: everything on which the features depend: backbone, weights, records, crops.
      class_names: names of the labels' classes.
      ignore_label: label of unlabelled and padded pixels.
      splits: splits by name.
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
        stride: int = self.fingerprint["backbone"]["output_stride"]
        return stride

    def split(self, name: str) -> CachedSplit:
        """Returns the split of that name.

        Raises:
          UserError: if the cache does not have it.
        """
        if name not in self.splits:
            raise UserError(f"The feature cache {self.path} has no split {name!r}, only {', '.join(self.splits)}.")
        return self.splits[name]


def digest(fingerprint: dict[str, Any]) -> str:
    """Returns a short name derived from a fingerprint."""
    return hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:12]


def checksum(path: pathlib.Path) -> int:
    """Returns the CRC-32 of a file, which detects damage, not manipulation."""
    value = 0
    with open(path, "rb") as stream:
        while chunk := stream.read(CHUNK):
            value = zlib.crc32(chunk, value)
    return value


def write_manifest(
    path: pathlib.Path,
    fingerprint: dict[str, Any],
    class_names: tuple[str, ...],
    ignore_label: int,
    images: Mapping[str, int],
    views: Mapping[str, int] | None = None,
) -> None:
    """Writes the manifest, which makes the cache complete.

    Args:
      path: directory of the cache, with the arrays of each split.
      fingerprint: everything on which the features depend.
      class_names: names of the labels' classes.
      ignore_label: label of unlabelled and padded pixels.
      images: number of images of each split.
      views: number of augmented views of each image, for splits that have them.
    """
    write_json(
        path / MANIFEST,
        {
            "version": VERSION,
            "fingerprint": fingerprint,
            "class_names": class_names,
            "ignore_label": ignore_label,
            "splits": {
                split: {"images": count, "views": (views or {}).get(split, 0)} for split, count in images.items()
            },
            "checksums": {f"{split}/{name}": checksum(path / split / name) for split in images for name in ARRAYS},
        },
    )


def open_cache(path: str | pathlib.Path) -> FeatureCache:
    """Opens a complete cache; its files are read once, to compare their checksums.

    Raises:
      UserError: if it is absent, incomplete, of another version, or its arrays do not match its manifest.
    """
    path = pathlib.Path(path)
    if not (path / MANIFEST).exists():
        raise UserError(f"{path} holds no complete feature cache: it has no {MANIFEST}.")
    manifest = read_json(path / MANIFEST, "feature cache manifest")
    if not isinstance(manifest, dict) or manifest.get("version") != VERSION:
        found = manifest.get("version") if isinstance(manifest, dict) else None
        raise UserError(f"The feature cache {path} has version {found}, not {VERSION}; make it anew.")
    try:
        splits = {
            name: _open_split(path / name, int(split["images"]), max(int(split["views"]), 1))
            for name, split in manifest["splits"].items()
        }
        stored = {name: int(value) for name, value in manifest["checksums"].items()}
        cache = FeatureCache(
            path, manifest["fingerprint"], tuple(manifest["class_names"]), int(manifest["ignore_label"]), splits
        )
        cache.output_stride  # noqa: B018  (it has to be there)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"The feature cache manifest {path / MANIFEST} is damaged; delete {path}.") from error
    for name in (f"{split}/{array}" for split in splits for array in ARRAYS):
        if stored.get(name) != checksum(path / name):
            raise UserError(
                f"The feature cache {path} is damaged: {name} is not what was written; delete the cache, and it is "
                "made anew."
            )
    return cache


def _open_split(path: pathlib.Path, images: int, views: int) -> CachedSplit:
    try:
        features, labels = (np.load(path / name, mmap_mode="r") for name in ARRAYS)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise UserError(f"The feature cache {path} is damaged ({error}); delete it, and it is made anew.") from error
    if len(features) != views * images or len(labels) != views * images:
        raise UserError(f"The feature cache {path} does not hold the {images} images of its manifest; delete it.")
    return CachedSplit(features, labels, views)
