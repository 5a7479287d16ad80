"""Record files are compared with what TFDS and our own metadata say of them."""

import json
import struct

import pytest

from deeplab_dpc.data.dataset_info import Dataset, DatasetInfo
from deeplab_dpc.errors import UserError

LENGTHS = {"train": ([30, 7], [5]), "val": ([4], [9, 2], [1])}  # bytes of each record of each file


def record(length):
    """A record as it lies in a file; the checksums are those of nothing."""
    return struct.pack("<QI", length, 1) + bytes(length) + struct.pack("<I", 2)


@pytest.fixture
def dataset(tmp_path):
    splits = []
    for split, shards in LENGTHS.items():
        for number, lengths in enumerate(shards):
            data = b"".join(map(record, lengths))
            (tmp_path / f"{split}-{number:05d}-of-{len(shards):05d}.tfrecord").write_bytes(data)
        counts = [str(len(lengths)) for lengths in shards]
        splits.append({"name": split, "numBytes": str(sum(map(sum, shards))), "shardLengths": counts})
    (tmp_path / "dataset_info.json").write_text(json.dumps({"splits": splits}))
    info = DatasetInfo("d", ("a", "b"), ((0, 0, 0), (1, 1, 1)), 255, {"train": 3, "val": 4}, {})
    return Dataset(tmp_path, info)


def test_whole_files_are_found_in_order_beside_other_files(dataset):
    for name in ("val-00001-of-00003.tfrecord.bak", "val-2-00000-of-00001.tfrecord", "val-notes.txt"):
        (dataset.path / name).write_bytes(b"")
    assert [shard.name for shard in dataset.shards("val")] == [f"val-0000{i}-of-00003.tfrecord" for i in range(3)]
    assert len(dataset.index("val")) == 4


def _remove(path):
    (path / "val-00002-of-00003.tfrecord").unlink()


def _empty(path):
    (path / "val-00001-of-00003.tfrecord").write_bytes(b"")


def _cut_between_records(path):
    (path / "val-00001-of-00003.tfrecord").write_bytes(record(9))


def _cut_in_a_record(path):
    shard = path / "val-00001-of-00003.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])


def _copy(path):
    (path / "val-00001-of-00003.tfrecord").write_bytes((path / "train-00000-of-00002.tfrecord").read_bytes() * 2)


def _one_of_another_set(path):
    (path / "val-00000-of-00001.tfrecord").write_bytes(record(4))


def _one_too_many(path):
    (path / "val-00003-of-00003.tfrecord").write_bytes(record(4))


def _another_set(path):
    for shard in path.glob("val-*"):
        shard.rename(shard.with_name(shard.name.replace("00003", "00004")))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove, r"val-00002-of-00003\.tfrecord is missing: there should be 3 of val, and there are 2"),
        (_empty, r"val-00001-of-00003\.tfrecord holds 0 records, and held 2 when the data set was built"),
        (_cut_between_records, r"val-00001-of-00003\.tfrecord holds 1 records, and held 2 when"),
        (_cut_in_a_record, r"val-00001-of-00003\.tfrecord is damaged: it ends in the middle of record 1"),
        (_copy, r"val-00001-of-00003\.tfrecord holds 4 records, and held 2 when"),
        (_one_of_another_set, r"val-00000-of-00001\.tfrecord does not belong to val-00000-of-00003\.tfrecord"),
        (_one_too_many, r"val-00003-of-00003\.tfrecord does not belong to"),
        (_another_set, r"val-00000-of-00003\.tfrecord is missing"),
    ],
)
@pytest.mark.parametrize("knows_tfds", [True, False])
def test_files_that_are_not_those_that_were_written_are_refused(damage, message, knows_tfds, dataset):
    if not knows_tfds:
        (dataset.path / "dataset_info.json").unlink()
        if damage is _another_set:
            message = r"val-00003-of-00004\.tfrecord is missing"
        elif "held" in message:
            message = r"val-\* hold \d records, and the metadata beside them says 4"
    damage(dataset.path)
    with pytest.raises(UserError, match=message):
        dataset.index("val")
    assert len(dataset.index("train")) == 3


def test_metadata_that_contradicts_itself_or_is_damaged_is_refused(dataset):
    path = dataset.path / "dataset_info.json"
    stored = json.loads(path.read_text())
    stored["splits"][1]["shardLengths"] = ["1", "2", "2"]
    path.write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"says that val has 5 records, and the metadata beside it 4"):
        dataset.shards("val")
    for value in (["1", None], [], "3", ["1", "x", "1"], None):
        stored["splits"][1]["shardLengths"] = value
        path.write_text(json.dumps(stored))
        with pytest.raises(UserError, match=r"dataset_info\.json is damaged; build the data set again"):
            dataset.shards("val")


def test_digest_is_of_the_records_and_not_of_their_files(dataset):
    before = dataset.index("train").digest()
    first, second = dataset.shards("train")
    whole = first.read_bytes() + second.read_bytes()
    (dataset.path / "dataset_info.json").unlink()
    first.unlink()
    second.unlink()
    (dataset.path / "train-00000-of-00001.tfrecord").write_bytes(whole)
    assert dataset.index("train").digest() == before
    (dataset.path / "train-00000-of-00001.tfrecord").write_bytes(whole[:-1] + b"\7")  # of the last checksum
    assert dataset.index("train").digest() != before
