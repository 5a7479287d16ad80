"""The feature cache: right rows, never stale, resumable."""

import dataclasses
import functools
import json
import shutil
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from deeplab_dpc import files, locks
from deeplab_dpc.checkpoint.names import named_variables
from deeplab_dpc.data.pipeline import evaluation_dataset
from deeplab_dpc.data.preprocess import Augmentation, draw_window, finish, scaled_image, scaled_label
from deeplab_dpc.data.record_order import record_seed
from deeplab_dpc.datasets.shapes import build_shapes
from deeplab_dpc.errors import UserError
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.search.proxy import feature_writer
from deeplab_dpc.search.proxy.feature_cache import MANIFEST, open_cache
from deeplab_dpc.search.proxy.feature_writer import SplitPlan, cache_features

SPLITS = ("train", "val")


def _plans(dataset, splits=SPLITS, **options):
    return {split: SplitPlan.of(dataset, split, 16, **options) for split in splits}


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
    cache = cache_features(tmp_path, backbone, shapes, _plans(shapes, ("val",), crop_size=(81, 97)), seed=0)
    labels = cache.split("val").labels
    assert labels.shape == (5, 81, 97)
    assert (labels[:, 65:] == 255).all()
    assert (labels[:, :65, 81:] == 255).all()
    assert (labels[:, :65, :81] != 255).all()


def test_same_inputs_find_the_cache_and_write_nothing(cache, backbone, shapes):
    before = (cache.path / "train" / "features.npy").stat().st_mtime_ns
    again = cache_features(cache.path.parent, backbone, shapes, _plans(shapes), seed=0)
    assert again.path == cache.path
    assert (cache.path / "train" / "features.npy").stat().st_mtime_ns == before


@pytest.fixture
def caches_val(shapes, backbone, tmp_path, monkeypatch):
    """The name of the cache of the val split, with some arguments changed; nothing is written."""
    monkeypatch.setattr(feature_writer, "_write", lambda *arguments: None)
    monkeypatch.setattr(feature_writer, "open_cache", lambda path: path)

    def run(model=backbone, dataset=shapes, size=None, seed=0, views=0, augmentation=None):
        plans = _plans(dataset, ("val",), crop_size=size, views=views, augmentation=augmentation)
        return cache_features(tmp_path / "caches", model, dataset, plans, seed).name

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
        cache_features(tmp_path, backbone, shapes, _plans(shapes), seed=0)
    unfinished = tmp_path / cache.path.name
    with pytest.raises(UserError, match="holds no complete feature cache"):
        open_cache(unfinished)
    assert json.loads((unfinished / "train" / "progress.json").read_text()) == {"done": 6}
    resumed = cache_features(tmp_path, backbone, shapes, _plans(shapes), seed=0)
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

    monkeypatch.setattr(locks, "console", SimpleNamespace(print=note))
    monkeypatch.setattr(feature_writer._Features, "predict_on_batch", counted)
    run = functools.partial(cache_features, tmp_path, backbone, shapes, _plans(shapes, ("val",)), seed=0)
    threads = [threading.Thread(target=lambda: found.append(run().path)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert images == [5]
    assert len(found) == 2
    assert printed == [f"Another process writes the feature cache {found[0]}; waiting until it is done."]


def test_split_without_labels_is_refused(shapes):
    unlabelled = dataclasses.replace(shapes, info=dataclasses.replace(shapes.info, unlabelled=("val",)))
    with pytest.raises(UserError, match="The split val of .* has no labels, .*; splits with labels: train"):
        _plans(unlabelled)


def test_damaged_cache_and_unknown_split_are_errors(cache, tmp_path):
    with pytest.raises(UserError, match="has no split 'test', only train, val"):
        cache.split("test")
    (tmp_path / MANIFEST).write_text((cache.path / MANIFEST).read_text())
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "features.npy").write_bytes(b"short")
    with pytest.raises(UserError, match="is damaged"):
        open_cache(tmp_path)


AUGMENTATION = Augmentation((1, 1), 0.5, 2.0, flip_probability=0.5)


@pytest.fixture(scope="module")
def viewed(backbone, shapes, tmp_path_factory):
    """Three augmented views of each training image."""
    plans = {**_plans(shapes, ("val",)), **_plans(shapes, ("train",), views=3, augmentation=AUGMENTATION)}
    return cache_features(tmp_path_factory.mktemp("viewed"), backbone, shapes, plans, seed=5)


def test_views_are_features_of_the_training_augmentation(viewed, backbone, shapes):
    split = viewed.split("train")
    assert (split.views, split.features.shape, split.labels.shape) == (3, (36, 5, 6, 32), (36, 65, 81))
    assert (viewed.split("val").views, len(viewed.split("val"))) == (1, 5)
    augmentation = dataclasses.replace(AUGMENTATION, crop_size=(65, 81))
    examples = list(evaluation_dataset(shapes, "train").as_numpy_iterator())
    for row in (0, 17, 35):  # row = view * 12 + image
        seed = record_seed(5, tf.constant(row, tf.int64))
        window = draw_window(tf.constant([65, 81]), augmentation, tf.random.fold_in(seed, 0))
        (top, left), (height, width) = window.start.numpy(), window.size.numpy()
        example = examples[row % 12]
        image = scaled_image(tf.constant(example["image"][top : top + height, left : left + width]), window)
        label = scaled_label(
            tf.constant(example["label"][top : top + height, left : left + width, ...].astype("uint8")), window
        )
        image, label = finish(image, label, augmentation, 255, tf.random.fold_in(seed, 1))
        np.testing.assert_array_equal(split.labels[row], label)
        features = np.asarray(backbone.features(image[None]))[0]
        np.testing.assert_allclose(split.features[row], features, rtol=3e-3, atol=3e-3)
    assert len({split.labels[row].tobytes() for row in (0, 12, 24)}) == 3  # three views of one image


def test_other_views_and_augmentations_are_other_caches(caches_val):
    jitter = dataclasses.replace(AUGMENTATION, photometric_jitter=0.1)
    names = [
        caches_val(),
        caches_val(views=1, augmentation=AUGMENTATION),
        caches_val(views=2, augmentation=AUGMENTATION),
        caches_val(views=2, augmentation=jitter),
        caches_val(augmentation=dataclasses.replace(AUGMENTATION, min_resize_value=33)),
    ]
    assert len(set(names)) == 5
    assert caches_val(augmentation=AUGMENTATION) == names[0]  # without views nothing but a resize is done


def test_resize_to_a_range_of_sides_acts_on_the_cache_as_on_training(backbone, shapes, tmp_path):
    augmentation = dataclasses.replace(AUGMENTATION, min_resize_value=33, resize_factor=16)
    plan = SplitPlan.of(shapes, "train", 16, augmentation=augmentation)
    assert (plan.size, plan.rows) == ((33, 49), 12)  # 65 x 81 with the smaller side 33: 33 x 42, rounded up
    split = cache_features(tmp_path, backbone, shapes, {"train": plan}, seed=0).split("train")
    example = next(evaluation_dataset(shapes, "train").as_numpy_iterator())
    image = tf.raw_ops.ResizeBilinear(images=example["image"][None], size=(33, 49), align_corners=True)
    features = np.asarray(backbone.features(image))[0]
    np.testing.assert_allclose(split.features[0], features, rtol=3e-3, atol=3e-3)


def test_killed_caching_of_views_goes_on_and_ends_with_the_same(viewed, backbone, shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(feature_writer, "BATCHES_PER_SAVE", 1)
    half, calls = feature_writer._half, []

    def counted(features, batch):
        calls.append([example["filename"] for example in batch])
        if len(calls) == 4:
            raise KeyboardInterrupt
        return half(features, batch)

    monkeypatch.setattr(feature_writer, "_half", counted)
    plans = {**_plans(shapes, ("train",), views=3, augmentation=AUGMENTATION), **_plans(shapes, ("val",))}
    with pytest.raises(KeyboardInterrupt):
        cache_features(tmp_path, backbone, shapes, plans, seed=5)
    resumed = cache_features(tmp_path, backbone, shapes, plans, seed=5)
    assert sum(map(len, calls)) == 36 + 5 + 8  # the batch that was interrupted is all that is done twice
    np.testing.assert_array_equal(resumed.split("train").labels, viewed.split("train").labels)
    np.testing.assert_allclose(resumed.split("train").features, viewed.split("train").features, rtol=3e-3, atol=3e-3)


@pytest.mark.parametrize("name", ["train/features.npy", "val/labels.npy"])
def test_one_flipped_bit_is_found(cache, tmp_path, name):
    damaged = shutil.copytree(cache.path, tmp_path / "damaged")
    data = bytearray((damaged / name).read_bytes())
    data[-7] ^= 4
    (damaged / name).write_bytes(data)
    with pytest.raises(UserError, match=f"is damaged: {name} is not what was written; delete the cache"):
        open_cache(damaged)


@pytest.mark.parametrize("damage", [{"splits": [3]}, {"checksums": None}, {"class_names": 4}, {"fingerprint": {}}])
def test_damaged_manifest_is_an_error(cache, tmp_path, damage):
    damaged = shutil.copytree(cache.path, tmp_path / "damaged")
    files.write_json(damaged / MANIFEST, {**json.loads((damaged / MANIFEST).read_text()), **damage})
    with pytest.raises(UserError, match="is damaged"):
        open_cache(damaged)
