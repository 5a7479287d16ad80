"""Several splits read as one: names, order, weights, resumption, sharing, and what is bound to a run."""

import collections
import itertools
import json

import numpy as np
import pytest
from PIL import Image
from tiny_network import GENOTYPE

from deeplab_dpc.cli.main import execute
from deeplab_dpc.data.dataset_info import Dataset
from deeplab_dpc.data.foreign_records import check_evaluable, check_labels
from deeplab_dpc.data.pipeline import Shard, evaluation_dataset, training_dataset
from deeplab_dpc.data.preprocess import Augmentation
from deeplab_dpc.data.record_order import record_names
from deeplab_dpc.data.run_data import bind
from deeplab_dpc.data.split_parts import Part, split_parts
from deeplab_dpc.datasets.folder import build_folder
from deeplab_dpc.errors import UserError
from deeplab_dpc.files import write_json

SPLITS = {"train": 5, "val": 2, "train_extra": 3}  # images, whose labels are 0 to 4, 5 and 6, 7 to 9
JOINED = "train,train_extra"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    root, ids = tmp_path_factory.mktemp("splits"), itertools.count()
    for split, count in SPLITS.items():
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in itertools.islice(ids, count):
            Image.new("RGB", (12, 8 + number), (10 * number,) * 3).save(root / "images" / split / f"{number}.png")
            Image.new("L", (12, 8 + number), number).save(root / "labels" / split / f"{number}.png")
    (root / "classes.json").write_text(json.dumps([str(number) for number in range(sum(SPLITS.values()))]))
    return build_folder(root / "images", root / "labels", root / "classes.json", root / "data")


def batches(dataset, split, count, **options):
    augmentation = Augmentation((9, 9), 0.75, 1.25, scale_factor_step_size=0.25, flip_probability=0.5)
    stream = training_dataset(dataset, split, augmentation, **({"batch_size": 2, "seed": 1} | options))
    return [(image.numpy(), label.numpy()) for image, label in itertools.islice(stream, count)]


def ids(found):
    return [int(min(label[0, 0], label[0, -1])) for _, labels in found for label in labels]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("train", [Part("train")]),
        (JOINED, [Part("train"), Part("train_extra")]),
        ("train:3, train_extra", [Part("train", 3), Part("train_extra")]),
        ("trainval", [Part("train"), Part("val")]),
        ("trainval:2,train_extra", [Part("train", 2), Part("val", 2), Part("train_extra")]),
    ],
)
def test_names_of_splits(text, parts):
    assert list(split_parts(text, SPLITS, "D")) == parts


def test_a_split_that_is_called_trainval_comes_first():
    assert split_parts("trainval", {**SPLITS, "trainval": 7}, "D") == (Part("trainval"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trian", "The data set in D has no split 'trian'; its splits are train, val, train_extra."),
        ("train,", "has no split ''"),
        ("train,trainval", "name train twice; write train:2 to have its images twice."),
        ("train:0", "'train:0' in the splits 'train:0' must be a split, or a split, a colon and how often"),
        ("train:two", "must be a split, or a split, a colon and how often an epoch has its images, 1 to 1000."),
        ("train:1001", "1 to 1000."),
    ],
)
def test_wrong_names_get_a_sentence(text, said):
    with pytest.raises(UserError, match=said.replace(".", r"\.")):
        split_parts(text, SPLITS, "D")


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
@pytest.mark.parametrize(
    ("split", "times"),
    [(JOINED, dict.fromkeys([0, 1, 2, 3, 4, 7, 8, 9], 1)), ("train_extra:2,val", {5: 1, 6: 1, 7: 2, 8: 2, 9: 2})],
)
def test_an_epoch_has_each_image_as_often_as_was_asked(dataset, split, times, cache):
    length = sum(times.values())
    assert len(dataset.epoch(split)) == length
    assert dataset.num_images(split) == len(times)
    found = ids(batches(dataset, split, length, cache=cache))  # two epochs
    for epoch in (found[:length], found[length:]):
        assert collections.Counter(epoch) == times
    assert found[:length] != found[length:]


def test_a_stream_is_entered_at_any_step_and_shared_by_processes(dataset):
    whole = batches(dataset, "train:2,train_extra", 9)
    for (image, label), (later_image, later_label) in zip(
        whole[4:], batches(dataset, "train:2,train_extra", 5, start_step=4), strict=True
    ):
        np.testing.assert_array_equal(image, later_image)
        np.testing.assert_array_equal(label, later_label)
    shares = [ids(batches(dataset, JOINED, 8, batch_size=1, shard=Shard(index, 2))) for index in range(2)]
    assert list(itertools.chain(*zip(*shares, strict=True))) == ids(batches(dataset, JOINED, 8))


def test_records_of_a_batch_are_named_by_their_own_files(dataset):
    names = record_names(dataset, JOINED, batch_size=8, seed=1, step=0)
    assert [int(name.partition(".")[0]) for name in names] == ids(batches(dataset, JOINED, 1, batch_size=8))
    assert "9.png (record 2 of train_extra-00000-of-00001.tfrecord)" in names


def test_sizes_labels_and_evaluation_are_those_of_all_parts(dataset):
    assert dataset.max_size(JOINED) == (17, 12)
    assert dataset.max_size("train") == (12, 12)
    assert [int(one["label"][0, 0]) for one in evaluation_dataset(dataset, "val,train_extra")] == [5, 6, 7, 8, 9]
    check_labels(dataset, JOINED)
    check_evaluable(dataset, JOINED, "")
    (dataset.path / "label_counts.json").rename(dataset.path / "aside.json")
    check_labels(dataset, JOINED)
    check_evaluable(dataset, JOINED, "")
    (dataset.path / "aside.json").rename(dataset.path / "label_counts.json")


def test_a_run_is_bound_to_the_records_of_each_part(dataset, tmp_path):
    assert set(bind(tmp_path, dataset, ["train:2,train_extra", "val"]).digests) == set(SPLITS)


def test_a_training_reads_several_splits_and_is_bound_to_them(dataset, tmp_path, capsys):
    write_json(tmp_path / "tiny.json", GENOTYPE.to_json())
    network = [
        *("--model_variant=auto_deeplab", f"--genotype_json={tmp_path / 'tiny.json'}", "--aspp_convs_filters=8"),
        *("--nas_stem_output_num_conv_filters=2", "--train_crop_size=33,33", "--train_batch_size=2"),
    ]
    flags = [f"--data_dir={dataset.path}", f"--workdir={tmp_path / 'T'}", *network]
    steps = [*flags, "--train_split=train:3,train_extra", "--eval_interval_steps=0"]
    assert execute("train", [*steps, "--training_number_of_epochs=1", "--save_interval_steps=4"]) == 0
    config = json.loads((tmp_path / "T" / "config.json").read_text())
    assert config["train"]["training_number_of_steps"] == 9  # 3 * 5 + 3 images, two a step
    assert execute("train", [*flags, f"--train_split={JOINED}"]) == 2
    assert "data.train_split (was train:3,train_extra, now train,train_extra)" in capsys.readouterr().err
    both = ["--train_split=trainval", "--training_number_of_steps=1", f"--workdir={tmp_path / 'B'}"]
    assert execute("train", [*flags, *both]) == 0
    assert "--train_split=trainval has the images of --eval_split=val" in capsys.readouterr().out


def test_a_search_reads_one_split(dataset, tmp_path, capsys):
    for algorithm in ("dpc", "auto_deeplab"):
        flags = [f"--data_dir={dataset.path}", f"--workdir={tmp_path / 'R'}", f"--train_split={JOINED}"]
        assert execute("search", [*flags, f"--algorithm={algorithm}"]) == 2
        assert f"--train_split={JOINED} names several splits, which train reads as one" in capsys.readouterr().err
