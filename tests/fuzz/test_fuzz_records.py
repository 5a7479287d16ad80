"""Damaged records: the pictures of the intact ones, or a sentence.

The frames of a TFRecord have checksums. Damage that was there when a record was written (by other software) has not;
then the picture is decoded as it lies, or the record is named.
"""

import io
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from mutations import mutated_bytes
from PIL import Image

from deeplab_dpc.data.dataset_info import Dataset, DatasetInfo, pascal_palette
from deeplab_dpc.data.examination import examine
from deeplab_dpc.data.example import decode_example, parse_example
from deeplab_dpc.data.foreign_records import check_labels, load_records
from deeplab_dpc.data.image_sources import Unreadable, pictures_of_split
from deeplab_dpc.data.pipeline import evaluation_dataset, iterate
from deeplab_dpc.data.tolerant_reader import READING_ERRORS, Damage, first_line, read_records
from deeplab_dpc.errors import UserError

PIXELS = (np.add.outer(7 * np.arange(9), 5 * np.arange(12))[..., np.newaxis] * [1, 2, 3] % 256).astype(np.uint8)
IDS = (np.add.outer(np.arange(9), np.arange(12)) % 3).astype(np.uint8)
IMAGE, LABEL = "image/encoded", "image/segmentation/class/encoded"
INFO = DatasetInfo("x", ("a", "b", "c"), pascal_palette(3), 255, {"val": 3}, {"val": (9, 12)})


def encoded(pixels, image_format):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, image_format)
    return stream.getvalue()


def feature(value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def serialized(**changes):
    values = {
        IMAGE: encoded(PIXELS, "PNG"),
        "image/filename": b"a.png",
        "image/format": b"png",
        "image/height": 9,
        "image/width": 12,
        LABEL: encoded(IDS, "PNG"),
    }
    features = {key: feature(value) for key, value in (values | changes).items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def written(path: pathlib.Path, records: list[bytes]) -> pathlib.Path:
    with tf.io.TFRecordWriter(str(path)) as out:
        for record in records:
            out.write(record)
    return path


def dataset_of(folder: pathlib.Path, damaged: bytes) -> Dataset:
    written(folder / "val-00000-of-00001.tfrecord", [serialized(), damaged, serialized(**{"image/filename": b"c.png"})])
    return Dataset(folder, INFO)


def damaged_record(rng):
    """A record in which image, label, file name or the whole is damaged, but not the frame."""
    kind = int(rng.integers(4))
    if kind == 0:
        image = encoded(PIXELS, ("PNG", "JPEG", "BMP", "GIF")[int(rng.integers(4))])
        return serialized(**{IMAGE: mutated_bytes(rng, image)})
    if kind == 1:
        return serialized(**{LABEL: mutated_bytes(rng, encoded(IDS, "PNG"))})
    if kind == 2:
        return serialized(**{"image/filename": mutated_bytes(rng, "Straße/b.png".encode())})
    return mutated_bytes(rng, serialized())


def test_damaged_files(fuzz, tmp_path):
    """What is read of a file is what was written to it, in order; the rest is called damaged."""
    records = [serialized(**{"image/filename": b"%d.png" % number}) for number in range(4)]
    intact = written(tmp_path / "intact", records).read_bytes()
    path = tmp_path / "damaged"

    def one(rng):
        path.write_bytes(mutated_bytes(rng, intact))
        read = list(read_records(path))
        whole = [record for record in read if not isinstance(record, Damage)]
        assert all(record in records for record in whole)
        return "same" if read == records else "damage is named" if len(whole) < len(read) else "fewer or repeated"

    fuzz("records, files", one, share=0.1)


def test_damaged_records_are_examined(fuzz):
    def one(rng):
        found = examine(damaged_record(rng), True, 3, 255, with_tile=True)
        for _, reason in found.problems:
            assert "\n" not in reason
        return "damage is named" if found.problems else "examined"

    assert fuzz("records, check_data", one, share=0.25)["damage is named"]


def test_png_in_records_are_the_intact_ones_or_refused(fuzz):
    """TensorFlow compares the checksums of a PNG."""

    def one(rng):
        key, intact = ((IMAGE, encoded(PIXELS, "PNG")), (LABEL, encoded(IDS, "PNG")))[int(rng.integers(2))]
        damaged = mutated_bytes(rng, intact)
        try:
            example = decode_example(parse_example(serialized(**{key: damaged})))
        except READING_ERRORS as error:
            raise UserError(first_line(error)) from error
        if not damaged and key == LABEL:
            return "unlabelled"
        assert np.array_equal(example["image"], PIXELS)
        assert np.array_equal(example["label"][..., 0], IDS)
        return "same"

    assert fuzz("records, PNG", one)["refused"]


@pytest.mark.parametrize("reader", ["evaluation", "prediction", "metadata", "labels"])
def test_damaged_records_are_named(fuzz, tmp_path, reader):
    def one(rng):
        dataset = dataset_of(tmp_path, damaged_record(rng))
        reason = refusal(dataset, reader)
        assert reason is None or re.search("record 1|b.png", reason, re.IGNORECASE), reason
        return "read" if reason is None else "refused"

    assert fuzz(f"records, {reader}", one, share=0.015)  # a pipeline is made for each


def refusal(dataset, reader):
    try:
        read(dataset, reader)
    except UserError as error:
        return str(error)
    return None


def read(dataset, reader):
    if reader == "evaluation":
        shards = dataset.shards("val")
        examples = list(iterate(evaluation_dataset(dataset, "val"), "The split", shards))
        assert len(examples) == 3
    elif reader == "prediction":
        assert len([one for one in pictures_of_split(dataset, "val") if not isinstance(one, Unreadable)]) in (2, 3)
    elif reader == "metadata":
        (dataset.path / "segmentation_info.json").unlink(missing_ok=True)
        (dataset.path / "classes.json").write_text('["a", "b", "c"]')
        assert load_records(dataset.path, dataset.path / "classes.json").info.splits == {"val": 3}
    else:
        check_labels(dataset, "val")
