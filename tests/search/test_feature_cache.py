"""The feature cache: right rows, never stale, resumable."""

import dataclasses
import functools
import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from deeplab_dpc import files
from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.data.pipeline import evaluation_dataset
from deeplab_dpc.datasets.shapes import build_shapes
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.search import feature_writer
from deeplab_dpc.search.feature_cache import MANIFEST, open_cache
from deeplab_dpc.search.feature_writer import cache_features

SPLITS = ("train", "val")


def test_rows_are_the_backbones_features_of_the_padded_images(cache, backbone, shapes):
    split = cache.split("val")
    assert split.features.shape == (5, 5, 6, 32)  # 65 x 81 pixels at stride 16
    assert (split.features.dtype, split.labels.dtype) == (np.float16, np.uint8)
    assert np.std(split.features, axis=0, dtype="float32").mean() > 0.1  # the images differ
    for row, example in enumerate(evaluation_dataset(shapes, "val").as_numpy_iterator()):
        features = np.asarray(backbone.features(example["image"][None].astype("float32")))[0]
        np.testing.assert_allclose(split.features[row], features, rtol=2e-3, atol=2e-3)
        np.testing.assert_array_equal(split.labels[row], example["label"])


def test_smaller_images_are_padded_with_the_ignore_label(backbone, shapes, tmp_path):
    cache = cache_features(tmp_path, backbone, shapes, ("val",), {"val": (81, 97)}, seed=0)
    labels = cache.split("val").labels
    assert labels.shape == (5, 81, 97)
    assert (labels[:, 65:] == 255).all()
    assert (labels[:, :65, 81:] == 255).all()
    assert (labels[:, :65, :81] != 255).all()


def test_same_inputs_find_the_cache_and_write_nothing(cache, backbone, shapes):
    before = (cache.path / "train" / "features.npy").stat().st_mtime_ns
    again = cache_features(cache.path.parent, backbone, shapes, SPLITS, {}, seed=0)
    assert again.path == cache.path
    assert (cache.path / "train" / "features.npy").stat().st_mtime_ns == before


@pytest.fixture
def caches_val(shapes, backbone, tmp_path, monkeypatch):
    """The name of the cache of the val split, with some arguments changed; nothing is written."""
    monkeypatch.setattr(feature_writer, "_write", lambda *arguments: None)
    monkeypatch.setattr(feature_writer, "open_cache", lambda path: path)

    def run(model=backbone, dataset=shapes, size=None, seed=0):
        return cache_features(tmp_path / "caches", model, dataset, ("val",), {"val": size}, seed).name

    return run


def test_other_weights_are_another_cache(caches_val, backbone):
    other = build_segmenter(backbone.config)
    other.set_weights(backbone.get_weights())
    assert caches_val(other) == caches_val()
    kernel = named_variables(other)["MobilenetV2/Conv/weights"]
    kernel.assign(np.asarray(kernel) + 1e-6)
    assert caches_val(other) != caches_val()


def test_other_head_is_the_same_cache(caches_val, backbone):
    other = build_segmenter(backbone.config)
    other.set_weights(backbone.get_weights())
    other.logits.semantic.bias.assign(np.ones(7))
    assert caches_val(other) == caches_val()


def test_other_crops_and_seeds_are_another_cache(caches_val):
    assert len({caches_val(), caches_val(size=(49, 49)), caches_val(size=(49, 49), seed=1)}) == 3


def test_other_records_are_another_cache(caches_val, tmp_path):
    other = build_shapes(tmp_path / "data", num_train=1, num_val=5, image_size=(65, 81), seed=1)
    assert other.info.splits["val"] == 5
    assert caches_val(dataset=other) != caches_val()


def test_killed_caching_goes_on_and_ends_with_the_same_features(cache, backbone, shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_writer, "BATCH_SIZE", 2)
    monkeypatch.setattr(feature_writer, "BATCHES_PER_SAVE", 1)
    predict = feature_writer._Features.predict_on_batch
    calls = []

    def counted(self, images):
        calls.append(len(images))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return predict(self, images)

    monkeypatch.setattr(feature_writer._Features, "predict_on_batch", counted)
    with pytest.raises(KeyboardInterrupt):
        cache_features(tmp_path, backbone, shapes, SPLITS, {}, seed=0)
    unfinished = tmp_path / cache.path.name
    with pytest.raises(UserError, match="holds no complete feature cache"):
        open_cache(unfinished)
    assert json.loads((unfinished / "train" / "progress.json").read_text()) == {"done": 6}
    resumed = cache_features(tmp_path, backbone, shapes, SPLITS, {}, seed=0)
    assert sum(calls) == 12 + 5 + 2  # the batch that was interrupted is all that is done twice
    for split in SPLITS:
        np.testing.assert_array_equal(resumed.split(split).labels, cache.split(split).labels)
        np.testing.assert_allclose(resumed.split(split).features, cache.split(split).features, rtol=2e-3, atol=2e-3)


def test_of_two_processes_one_writes_and_the_other_waits(backbone, shapes, tmp_path, monkeypatch):
    """Threads stand for the processes; the one that writes goes on when the other says that it waits."""
    waiting = threading.Event()
    printed, images, found = [], [], []
    predict = feature_writer._Features.predict_on_batch

    def note(line):
        printed.append(line)
        waiting.set()

    def counted(self, batch):
        assert waiting.wait(60)
        images.append(len(batch))
        return predict(self, batch)

    monkeypatch.setattr(files, "console", SimpleNamespace(print=note))
    monkeypatch.setattr(feature_writer._Features, "predict_on_batch", counted)
    run = functools.partial(cache_features, tmp_path, backbone, shapes, ("val",), {}, seed=0)
    threads = [threading.Thread(target=lambda: found.append(run().path)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert images == [5]
    assert len(found) == 2
    assert printed == [f"Another process writes the feature cache {found[0]}; waiting until it is done."]


def test_split_without_labels_is_refused(backbone, shapes, tmp_path):
    unlabelled = dataclasses.replace(shapes, info=dataclasses.replace(shapes.info, unlabelled=("val",)))
    with pytest.raises(UserError, match="The split val of .* has no labels, .*; splits with labels: train"):
        cache_features(tmp_path / "caches", backbone, unlabelled, SPLITS, {}, seed=0)
    assert not (tmp_path / "caches").exists()


def test_damaged_cache_and_unknown_split_are_errors(cache, tmp_path):
    with pytest.raises(UserError, match="has no split 'test', only train, val"):
        cache.split("test")
    (tmp_path / MANIFEST).write_text((cache.path / MANIFEST).read_text())
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "features.npy").write_bytes(b"short")
    with pytest.raises(UserError, match="is damaged"):
        open_cache(tmp_path)
