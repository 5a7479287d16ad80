"""A feature cache that is there at once, without a backbone; NumPy alone."""

import pathlib

import numpy as np

from deeplab_dpc.search.proxy.feature_cache import write_manifest


def write_cache(path: pathlib.Path) -> None:
    """Random features of 4 train and 2 val images: 3 x 4 x 6 at stride 16, two classes."""
    rng = np.random.default_rng(0)
    splits = {"train": 4, "val": 2}
    for split, count in splits.items():
        (path / split).mkdir(parents=True)
        np.save(path / split / "features.npy", rng.normal(size=(count, 3, 4, 6)).astype("float16"))
        np.save(path / split / "labels.npy", rng.integers(0, 2, size=(count, 33, 49)).astype("uint8"))
    write_manifest(path, {"backbone": {"output_stride": 16}}, ("a", "b"), 255, splits)
