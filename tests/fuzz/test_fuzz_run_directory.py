"""Damaged files of run directories and data sets: what they said, or a sentence."""

import json
import shutil
import struct

import numpy as np
import pytest
from mutations import mutated_bytes, mutated_json

from deeplab_dpc.config import ModelConfig, TrainConfig
from deeplab_dpc.data import decoded_cache
from deeplab_dpc.data.dataset_info import Dataset, DatasetInfo
from deeplab_dpc.data.run_data import bind, read_run_data, write_run_data
from deeplab_dpc.evaluation.image_counts import ImageCounts
from deeplab_dpc.evaluation.measures import BY_CLASS, Measured
from deeplab_dpc.evaluation.stored import StoredEvaluation, Subject, read_evaluation, write_evaluation
from deeplab_dpc.run_config import open_run, read_run

INFO = DatasetInfo(
    "d", ("a", "b"), ((0, 0, 0), (1, 2, 3)), 255, {"train": 3, "val": 2}, {"train": (4, 5), "val": (4, 5)}
)


def _records(lengths):
    return b"".join(struct.pack("<QI", n, 1) + bytes(n) + struct.pack("<I", n) for n in lengths)


@pytest.fixture
def dataset(tmp_path):
    """A data set of three record files with what TFDS writes of it."""
    path = tmp_path / "data"
    path.mkdir()
    (path / "train-00000-of-00002.tfrecord").write_bytes(_records([30, 7]))
    (path / "train-00001-of-00002.tfrecord").write_bytes(_records([5]))
    (path / "val-00000-of-00001.tfrecord").write_bytes(_records([3, 4]))
    splits = [
        {"name": "train", "numBytes": "42", "shardLengths": ["2", "1"], "filepathTemplate": "x"},
        {"name": "val", "numBytes": "7", "shardLengths": ["2"]},
    ]
    (path / "dataset_info.json").write_text(json.dumps({"name": "d", "splits": splits}))
    return Dataset(path, INFO)


def _mutate(rng, path, intact: bytes) -> None:
    """Writes a damaged version of a JSON file: of its bytes or of its values."""
    if rng.integers(2):
        path.write_bytes(mutated_bytes(rng, intact))
    else:
        path.write_text(json.dumps(mutated_json(rng, json.loads(intact))))


def test_description_of_the_data_says_what_was_written(fuzz, dataset, tmp_path):
    run = tmp_path / "run"
    expected = bind(run, dataset, ["train"])
    write_run_data(run, expected)
    intact = (run / "dataset.json").read_bytes()

    def one(rng):
        _mutate(rng, run / "dataset.json", intact)
        if "crc32" not in json.loads((run / "dataset.json").read_text()):
            return "of an earlier version"
        assert read_run_data(run) == expected
        assert bind(run, dataset, ["train"]) == expected
        return "same"

    def or_refused(rng):
        try:
            return one(rng)
        except (json.JSONDecodeError, UnicodeDecodeError, TypeError):
            read_run_data(run)  # it must refuse what Python cannot read either
            raise

    assert fuzz("run directory, dataset.json", or_refused)["refused"]


def test_configuration_says_what_was_written(fuzz, tmp_path):
    open_run(tmp_path, {"model": ModelConfig(num_classes=3), "train": TrainConfig()})
    intact = (tmp_path / "config.json").read_bytes()
    expected = read_run(tmp_path)

    def one(rng):
        _mutate(rng, tmp_path / "config.json", intact)
        found = read_run(tmp_path)
        if b'"crc32"' not in (tmp_path / "config.json").read_bytes():
            return "of an earlier version"
        assert found == expected
        return "same"

    assert fuzz("run directory, config.json", one)["refused"]


def test_record_files_are_all_there_and_whole(fuzz, dataset, tmp_path):
    expected = dataset.index("train").digest()
    intact = tmp_path / "intact"
    shutil.copytree(dataset.path, intact)

    def one(rng):
        shutil.rmtree(dataset.path)
        shutil.copytree(intact, dataset.path)
        files = sorted(dataset.path.iterdir())
        file = files[int(rng.integers(len(files)))]
        kind = int(rng.integers(6))
        if kind == 0:
            file.unlink()
        elif kind == 1:
            file.write_bytes(b"")
        elif kind == 2:
            total = int(rng.integers(1, 4))
            (dataset.path / f"train-{int(rng.integers(4)):05d}-of-{total:05d}.tfrecord").write_bytes(_records([5]))
        elif file.suffix == ".json":
            _mutate(rng, file, file.read_bytes())
        else:
            file.write_bytes(mutated_bytes(rng, file.read_bytes()))
        index = dataset.index("train")
        assert len(index) == 3
        # What the records hold has checksums of its own, which are compared when they are read.
        return "same" if index.digest() == expected else "other records of that number"

    tally = fuzz("run directory, record files", one)
    assert tally["refused"]
    assert tally["same"]


def test_counts_of_an_evaluation_are_those_that_were_written(fuzz, tmp_path):
    counts = ImageCounts(("x.png", "y.png"), *(np.arange(4).reshape(2, 2) + i for i in range(3)))
    stored = StoredEvaluation(Subject("d", "val", ("a", "b"), 255), (Measured(BY_CLASS, ("a", "b"), 0, counts),))
    write_evaluation(tmp_path, stored)
    intact = (tmp_path / "per_image.npz").read_bytes()

    def one(rng):
        (tmp_path / "per_image.npz").write_bytes(mutated_bytes(rng, intact))
        found = read_evaluation(tmp_path)
        assert found.subject == stored.subject
        np.testing.assert_array_equal(found.measured[0].counts.labelled, counts.labelled)
        np.testing.assert_array_equal(found.measured[0].counts.true_positives, counts.true_positives)
        return "same"

    assert fuzz("run directory, per_image.npz", one)["refused"]


def test_decoded_pictures_are_those_that_were_decoded(fuzz, dataset, tmp_path):
    rng = np.random.default_rng(0)
    sizes = np.array([(4, 5), (3, 2)], np.int32)
    pictures = [(rng.integers(0, 256, (*size, 3), "uint8"), rng.integers(0, 3, size, "uint8")) for size in sizes]

    def opened():
        shards = dataset.shards("train")
        return decoded_cache.open_cache("disk", shards, "d", "train", lambda: sizes, pictures, tmp_path / "decoded")

    opened()
    [folder] = (tmp_path / "decoded").glob("train-*")
    intact = {file: file.read_bytes() for file in folder.iterdir()}

    def one(rng):
        for file, data in intact.items():
            file.write_bytes(data)
        file = sorted(intact)[int(rng.integers(len(intact)))]
        file.write_bytes(mutated_bytes(rng, intact[file]))
        cache = opened()
        for record, ((height, width), (image, label)) in enumerate(zip(sizes, pictures, strict=True)):
            found = cache.window(record, 0, 0, int(height), int(width))
            np.testing.assert_array_equal(found[0], image)
            np.testing.assert_array_equal(found[1], label)
        return "same"

    assert fuzz("run directory, decoded pictures", one)["refused"]
