import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from deeplab_dpc.cli.main import execute
from deeplab_dpc.data.catalog import find_dataset
from deeplab_dpc.data.dataset_info import pascal_palette
from deeplab_dpc.data.example import decode_example, parse_example
from deeplab_dpc.datasets.from_tfds import LabelIds, build_tfds
from deeplab_dpc.errors import UserError

TRIMAP = np.array([1, 2, 3], np.uint8)  # the ids of oxford_iiit_pet


def pixels(seed, height=6, width=8):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def ids(seed, values=TRIMAP, height=6, width=8):
    return np.random.default_rng(seed).choice(values, (height, width))


class _Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Two splits; a subclass gives the features and the examples."""

    VERSION = tfds.core.Version("1.2.0")

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(self.features()))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(range(5)), "validation": self._generate_examples(range(5, 8))}

    def _generate_examples(self, seeds):
        for seed in seeds:
            yield seed, self.example(seed)


class TinyPets(_Tiny):
    """The features of oxford_iiit_pet: image, mask with ids 1..3, and labels that are not masks."""

    def features(self):
        return {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(num_classes=37),
            "species": tfds.features.ClassLabel(names=["Cat", "Dog"]),
            "file_name": tfds.features.Text(),
            "segmentation_mask": tfds.features.Image(shape=(None, None, 1)),
        }

    def example(self, seed):
        return {
            "image": pixels(seed),
            "label": 0,
            "species": 0,
            "file_name": f"breeds/Äbyssinian {seed}.jpg",
            "segmentation_mask": ids(seed)[..., None],
        }


class TinyStreets(_Tiny):
    """Nested features, two images, a mask that names its classes, of which the first means nothing, and no names."""

    def features(self):
        return {
            "camera": {
                "left": tfds.features.Image(shape=(6, 8, 3), encoding_format="png"),
                "right": tfds.features.Image(shape=(6, 8, 3)),
            },
            "truth": {"mask": tfds.features.LabeledImage(labels=["void", "road", "car", "sky"], shape=(6, 8, 1))},
        }

    def example(self, seed):
        truth = ids(seed, np.arange(4, dtype=np.uint8))
        return {"camera": {"left": pixels(seed), "right": pixels(99)}, "truth": {"mask": truth[..., None]}}


class TinyTensors(_Tiny):
    """Two integer tensors with one channel; one of them as a matrix, with ids above 255."""

    def features(self):
        return {
            "image": tfds.features.Image(),
            "depth": tfds.features.Tensor(shape=(6, 8, 1), dtype=np.float32),
            "parts": tfds.features.Tensor(shape=(6, 8), dtype=np.int32),
            "objects": tfds.features.Tensor(shape=(None, None, 1), dtype=np.uint8, encoding="zlib"),
            "colours": tfds.features.Image(),
        }

    def example(self, seed):
        parts = ids(seed, np.array([7, 300, 1000], np.int32))
        objects = ids(seed, np.array([0, 1], np.uint8))[..., None]
        zeros = np.zeros((6, 8, 1), np.float32)
        colours = np.repeat(objects, 3, axis=2) if seed < 5 else pixels(seed)
        return {"image": pixels(seed), "depth": zeros, "parts": parts, "objects": objects, "colours": colours}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder where TFDS has prepared the data sets above."""
    root = tmp_path_factory.mktemp("tensorflow_datasets")
    tfds.disable_progress_bar()
    for builder in (TinyPets, TinyStreets, TinyTensors):
        builder(data_dir=root).download_and_prepare()
    return root


@pytest.fixture(scope="module")
def pets(prepared, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("data")
    return build_tfds("tiny_pets", prepared, data_dir, num_classes=3, label_ids=LabelIds(offset=-1))


def decoded(dataset, split):
    records = tf.data.TFRecordDataset([str(path) for path in dataset.shards(split)])
    return [{key: value.numpy() for key, value in decode_example(parse_example(record)).items()} for record in records]


def by_name(dataset, split):
    return {example["filename"].decode(): example for example in decoded(dataset, split)}


def test_features_are_found_and_every_pixel_is_kept(pets):
    assert pets.info.name == "tfds_tiny_pets"
    assert pets.info.splits == {"train": 5, "val": 3}
    assert pets.info.class_names == ("class_0", "class_1", "class_2")
    assert (pets.info.palette, pets.info.ignore_label) == (pascal_palette(3), 255)
    found = by_name(pets, "train") | by_name(pets, "val")
    assert set(found) == {f"Äbyssinian {seed}.jpg" for seed in range(8)}
    for seed in range(8):
        example = found[f"Äbyssinian {seed}.jpg"]
        np.testing.assert_array_equal(example["label"][..., 0], ids(seed) - 1)
        np.testing.assert_array_equal(example["image"], tf.io.decode_jpeg(tf.io.encode_jpeg(pixels(seed), quality=95)))


def test_encoded_images_are_copied_not_encoded_again(pets, prepared):
    source = tfds.builder_from_directory(prepared / "tiny_pets" / "1.2.0")
    stored = source.as_dataset(split="train", decoders={"image": tfds.decode.SkipDecoding()})
    records = tf.data.TFRecordDataset([str(path) for path in pets.shards("train")])
    copies = {parse_example(record)["image/encoded"].numpy() for record in records}
    assert copies == {example["image"] for example in tfds.as_numpy(stored)}


def test_second_run_does_nothing_and_other_options_are_refused(pets, prepared, capsys):
    data_dir = pets.path.parents[1]
    before = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")}
    options = {"num_classes": 3, "label_ids": LabelIds(offset=-1)}
    assert build_tfds("tiny_pets", prepared, data_dir, **options) == pets
    assert "up to date; nothing to do" in capsys.readouterr().out
    with pytest.raises(UserError, match="made from other inputs"):
        build_tfds("tiny_pets", prepared, data_dir, num_classes=3, label_ids=LabelIds(table=((1, 0), (2, 1), (3, 2))))
    assert {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")} == before


def test_it_is_found_by_the_name_that_tfds_gives_it(pets):
    data_dir = pets.path.parents[1]
    assert find_dataset(data_dir, "tfds:tiny_pets") == pets
    with pytest.raises(
        UserError, match=rf"deeplab-dpc build-tfds --tfds_name=oxford_iiit_pet .*--data_dir={data_dir}\."
    ):
        find_dataset(data_dir, "tfds:oxford_iiit_pet")


def test_named_classes_lose_the_one_that_the_offset_drops(prepared, tmp_path):
    options = {"image_key": "camera/left", "label_ids": LabelIds(offset=-1), "splits": {"val": "validation"}}
    dataset = build_tfds("tiny_streets:1.2.0", prepared, tmp_path, **options)
    assert dataset.info.name == "tfds_tiny_streets_1_2_0"
    assert dataset.info.class_names == ("road", "car", "sky")
    assert dataset.info.splits == {"val": 3}
    examples = decoded(dataset, "val")
    assert [example["filename"] for example in examples] == [b"val_000000", b"val_000001", b"val_000002"]
    seed_of = {pixels(seed).tobytes(): seed for seed in range(5, 8)}
    for example in examples:
        seed = seed_of.pop(example["image"].tobytes())
        new_id = np.array([255, 0, 1, 2])
        np.testing.assert_array_equal(example["label"][..., 0], new_id[ids(seed, np.arange(4, dtype=np.uint8))])


def test_ids_of_tensors_are_mapped_by_a_table(prepared, tmp_path):
    classes = tmp_path / "classes.json"
    classes.write_text(json.dumps({"classes": ["a", "b"], "ignore_label": 9}))
    dataset = build_tfds(
        "tiny_tensors",
        prepared,
        tmp_path,
        image_key="image",
        label_key="parts",
        splits={"train": "train[:2]", "val": "train[2:]"},
        classes=classes,
        label_ids=LabelIds(table=((7, 1), (300, 0)), others=9),
    )
    assert dataset.info.splits == {"train": 2, "val": 3}
    examples = decoded(dataset, "train") + decoded(dataset, "val")
    seed_of = {pixels(seed).tobytes(): seed for seed in range(5)}
    for example in examples:
        parts = ids(seed_of.pop(example["image"].tobytes()), np.array([7, 300, 1000]))
        np.testing.assert_array_equal(example["label"][..., 0], np.select([parts == 7, parts == 300], [1, 0], 9))


def test_ignore_label_stays_unless_a_table_names_it():
    values = np.array([0, 1, 2, 255], np.uint8)
    assert LabelIds(offset=-1).apply(values, 255).tolist() == [255, 0, 1, 255]
    assert LabelIds().apply(values, 255).tolist() == [0, 1, 2, 255]
    assert LabelIds(table=((0, 3), (1, 4)), others=2).apply(values, 255).tolist() == [3, 4, 2, 255]
    assert LabelIds(table=((255, 0), (1, 4)), others=255).apply(values, 255).tolist() == [255, 4, 255, 0]


def test_masks_with_three_equal_channels_are_ids_and_others_are_skipped_on_request(prepared, tmp_path, capsys):
    options = {"image_key": "image", "label_key": "colours", "num_classes": 2}
    dataset = build_tfds("tiny_tensors", prepared, tmp_path, splits={"train": "train"}, **options)
    assert set(np.unique([example["label"] for example in decoded(dataset, "train")])) == {0, 1}
    with pytest.raises(UserError, match=r"colours of example 0 in the split validation of .*1\.2\.0 is a colour pic"):
        build_tfds("tiny_tensors", prepared, tmp_path / "all", **options)
    assert not list((tmp_path / "all").rglob("*.json"))
    splits = {"train": "train+validation"}
    assert build_tfds(
        "tiny_tensors", prepared, tmp_path / "some", splits=splits, skip_bad=True, **options
    ).info.splits == {"train": 5}
    assert "3 examples were skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tiny_streets", {}, r"Several features .* be the image; .*--image_key: camera/left, camera/right\."),
        (
            "tiny_tensors",
            {"image_key": "image"},
            r"Several features .* be the label; choose one with --label_key: objects, parts\.",
        ),
        (
            "tiny_pets",
            {"label_key": "mask"},
            r"--label_key=mask is not a feature .*; it has .*species \(ClassLabel \(\)\)",
        ),
        ("tiny_pets", {"label_key": "species"}, "neither an Image nor an integer Tensor .* but ClassLabel"),
        ("tiny_pets", {"image_key": "file_name"}, "is not an Image but Text"),
        ("tiny_pets", {}, "'segmentation_mask' .*does not name its classes; give --classes=FILE.json or --num_classes"),
        (
            "tiny_pets",
            {"num_classes": 3},
            r"segmentation_mask of example 0 \(Äby.*\) .* has the ids 3, but .* 3 classes",
        ),
        ("tiny_pets", {"num_classes": 0}, r"--num_classes must be in 1\.\.255, got 0"),
        (
            "tiny_pets",
            {"num_classes": 3, "splits": {"val": "test"}},
            "no split 'test'; its splits are train, validation",
        ),
        ("tiny_pets", {"num_classes": 3, "splits": {"all": "train"}}, "cannot be called 'all'"),
        (
            "tiny_streets",
            {"image_key": "camera/left", "label_ids": LabelIds(table=((1, 0), (2, 0)))},
            "do not turn the 4 classes of the feature 'truth/mask' .*--classes=FILE.json",
        ),
        (
            "tiny_tensors",
            {"image_key": "image", "label_key": "parts", "num_classes": 3},
            r"has the ids 300, 1000, which are outside of 0\.\.255",
        ),
        (
            "tiny_pets",
            {"num_classes": 2, "label_ids": LabelIds(table=((1, 0), (3, 1)))},
            r"has the ids 2, which --label_map does not name; name them, or all others with \*:255",
        ),
        ("no such name", {}, "must be NAME, NAME/CONFIG or NAME:VERSION, got 'no such name'"),
        ("tiny_pets:9.9.9", {}, r"'tiny_pets:9\.9\.9' is not prepared"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(prepared, tmp_path, name, options, message):
    with pytest.raises(UserError, match=message):
        build_tfds(name, prepared, tmp_path / "data", **options)
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("*tfrecord*"))


def test_data_set_that_is_not_prepared_is_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds, "builder", lambda *args, **kwargs: pytest.fail("TFDS was asked for its code"))
    with pytest.raises(UserError, match=rf"prepare it with `tfds build oxford_iiit_pet --data_dir={tmp_path}`, which"):
        build_tfds("oxford_iiit_pet", tmp_path, tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_download_prepares_it_first_on_request(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: TinyPets(data_dir=data_dir))
    options = {"num_classes": 3, "label_ids": LabelIds(offset=-1), "download": True}
    assert build_tfds("tiny_pets", tmp_path / "tfds", tmp_path / "data", **options).info.splits["train"] == 5

    def offline(name, data_dir):
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(tfds, "builder", offline)
    with pytest.raises(UserError, match=r"TFDS cannot prepare other in .*: no network\.$"):
        build_tfds("other", tmp_path / "tfds", tmp_path / "data", **options)


def test_missing_shard_and_several_configurations_are_named(prepared, tmp_path):
    for config in ("fine", "coarse"):
        target = tmp_path / "tfds" / "tiny_pets" / config / "1.2.0"
        target.mkdir(parents=True)
        for file in (prepared / "tiny_pets" / "1.2.0").iterdir():
            (target / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match="several configurations of tiny_pets .*: tiny_pets/coarse, tiny_pets/fine"):
        build_tfds("tiny_pets", tmp_path / "tfds", tmp_path / "data", num_classes=3)
    (shard,) = (tmp_path / "tfds" / "tiny_pets" / "fine" / "1.2.0").glob("*-train.tfrecord*")
    options = {"num_classes": 3, "label_ids": LabelIds(offset=-1)}
    dataset = build_tfds("tiny_pets/coarse", tmp_path / "tfds", tmp_path / "data", **options)
    assert dataset.info.name == "tfds_tiny_pets_coarse"
    whole = shard.read_bytes()
    for left in (whole[:-30], None):
        shard.write_bytes(left) if left else shard.unlink()
        with pytest.raises(UserError, match=r"in the split train of .*fine/1\.2\.0 .*(damaged|missing)"):
            build_tfds("tiny_pets/fine", tmp_path / "tfds", tmp_path / "data", **options)


def test_files_that_cannot_be_read_in_order_are_to_be_prepared_again(prepared, tmp_path):
    target = tmp_path / "tiny_pets" / "1.2.0"
    target.mkdir(parents=True)
    for file in (prepared / "tiny_pets" / "1.2.0").iterdir():
        (target / file.name).write_bytes(file.read_bytes().replace(b'"tfrecord"', b'"array_record"'))
    with pytest.raises(UserError, match=r"array_record files.*tfds build tiny_pets --file_format=tfrecord --overwrite"):
        build_tfds("tiny_pets", tmp_path, tmp_path / "data", num_classes=3)


def test_the_command_converts(prepared, tmp_path, capsys):
    argv = ["--tfds_name=tiny_pets", f"--tfds_data_dir={prepared}", f"--data_dir={tmp_path}", "--num_classes=3"]
    assert execute("build_tfds", [*argv, "--label_map=1:0,2:1,3:2", "--splits=train,val=validation"]) == 0
    assert "tfds_tiny_pets/1.0.0 (5 train, 3 val; 3 classes)" in capsys.readouterr().out
    for flag, message in [
        ("--label_map=1", "--label_map must be pairs ID:CLASS or"),
        ("--splits=train,train", "--splits must be split names or OURS=THEIRS, each once"),
        ("--splits=val=", "got 'val='"),
    ]:
        assert execute("build_tfds", [*argv, flag]) == 2
        assert message in capsys.readouterr().err
    assert execute("build_tfds", [*argv, "--label_map=1:0", "--label_offset=-1"]) == 2
    assert "either --label_offset or --label_map" in capsys.readouterr().err
