import io
import json
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_dpc.data.absent_classes import read_label_counts, read_labelled_with
from deeplab_dpc.data.dataset_info import INFO_FILE, Dataset, DatasetInfo, pascal_palette
from deeplab_dpc.data.examination import Kind
from deeplab_dpc.data.inspection import check
from deeplab_dpc.data.label_statistics import label_weights, median_frequency_weights
from deeplab_dpc.errors import UserError

SIDE = 40  # pixels; larger than what is called very small
CLASSES = ("sky", "road", "car")


def encoded(array, image_format="PNG"):
    stream = io.BytesIO()
    (array if isinstance(array, Image.Image) else Image.fromarray(np.asarray(array, np.uint8))).save(
        stream, image_format
    )
    return stream.getvalue()


def image(seed, height=SIDE, width=SIDE):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def bands(*ids, height=SIDE, width=SIDE):
    """A label of vertical bands of equal width."""
    return np.broadcast_to(np.repeat(np.array(ids, np.uint8), width // len(ids)), (height, width))


def record(image_bytes, label_bytes, name="a.png"):
    values = {
        "image/encoded": image_bytes,
        "image/filename": name.encode(),
        "image/segmentation/class/encoded": label_bytes,
    }
    features = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def good(seed, *ids):
    return record(encoded(image(seed)), encoded(bands(*(ids or (0, 1, 2, 255)))), f"{seed}.png")


def write(path, unlabelled=(), expected=None, classes=CLASSES, **splits):
    """A data set of serialized records by split."""
    for split, records in splits.items():
        with tf.io.TFRecordWriter(str(path / f"{split}-00000-of-00001.tfrecord")) as writer:
            for one in records:
                writer.write(one)
    counts = {split: len(records) for split, records in splits.items()} | (expected or {})
    sizes = dict.fromkeys(counts, (SIDE, SIDE))
    info = DatasetInfo("hand", classes, pascal_palette(len(classes)), 255, counts, sizes, unlabelled)
    (path / INFO_FILE).write_text(json.dumps(info.to_json()))
    return Dataset(path, info)


def inspect(path, **content):
    return check(write(path, **content), path / "check", show_progress=False)


def by_kind(inspection):
    return {(finding.kind, finding.split): finding for finding in inspection.findings}


def test_sound_data_has_no_errors_and_its_files_are_written(shapes, tmp_path):
    inspection = check(shapes, tmp_path)
    assert inspection.errors == []
    inspection.require_no_errors()
    assert {split: counts.records for split, counts in inspection.splits.items()} == {"train": 12, "val": 5}
    assert sum(inspection.splits["train"].pixels) == 12 * 65 * 81
    assert inspection.splits["val"].ordered_sizes() == ((65, 81),) * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["check_data.json", "contact_sheet.png"]
    report = json.loads((tmp_path / "check_data.json").read_text())
    assert report == json.loads(json.dumps(inspection.to_json()))
    assert report["splits"]["train"]["image_sizes"]["largest"] == [65, 81]


def test_pixels_images_and_shares_of_classes(tmp_path):
    inspection = inspect(tmp_path, train=[good(0), good(1, 0, 0, 1, 255)], val=[good(2)])
    train = inspection.to_json()["splits"]["train"]
    column = SIDE * SIDE // 4
    assert train["ignored_share"] == 0.25
    assert [(one["pixels"], one["images"]) for one in train["classes"]] == [
        (3 * column, 2),
        (2 * column, 2),
        (column, 1),
    ]
    assert [one["share"] for one in train["classes"]] == [pytest.approx(n / 6) for n in (3, 2, 1)]
    # Frequencies 3 / 6, 2 / 6 and 1 / 3 of the labelled pixels; the median is 1 / 3.
    assert inspection.weighted_split == "train"
    assert inspection.label_weights == (0.667, 1.0, 1.0)
    assert inspection.label_weight_flags == "--label_weights=0.667 --label_weights=1 --label_weights=1"


def test_weights_are_bounded_and_one_for_a_class_never_seen():
    pixels = np.array([1000, 100, 1, 0])
    assert median_frequency_weights(pixels, np.array([1000, 1000, 1000, 0])) == (0.1, 1.0, 10.0, 1.0)
    assert median_frequency_weights(np.zeros(2), np.zeros(2)) == (1.0, 1.0)


def test_ids_out_of_range_are_counted_and_named(tmp_path):
    inspection = inspect(tmp_path, train=[good(0), good(1, 0, 1, 2, 7), good(2, 0, 1, 2, 3)])
    finding = by_kind(inspection)[Kind.IDS, "train"]
    assert finding.count == 2
    assert finding.first[0] == (
        "record 1 of train (1.png): its label has 400 pixels of ids that are out of range (7; valid ids are 0 to 2 and "
        "255)"
    )
    assert inspection.to_json()["splits"]["train"]["out_of_range_pixels"] == {3: 400, 7: 400}
    with pytest.raises(UserError, match=r"has 2 errors, the first: record 1 of train \(1\.png\)"):
        inspection.require_no_errors()


def test_random_labels_are_called_noise(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE), np.uint8)
    in_range = np.random.default_rng(1).integers(0, 21, (SIDE, SIDE), np.uint8)
    records = [record(encoded(image(i)), encoded(label)) for i, label in enumerate((noise, in_range))]
    found = by_kind(inspect(tmp_path, train=records, classes=tuple("abcdefghijklmnopqrstu")))
    assert set(found) == {(Kind.NOISY_IDS, "train"), (Kind.NOISE, "train")}
    distinct = len(np.unique(noise))
    sentence = (
        f"labels look like noise: {distinct} distinct ids up to 254 in one image, neighbouring pixels agree in only"
    )
    assert f"{sentence} 0 %" in found[Kind.NOISY_IDS, "train"].first[0]
    assert (
        "21 distinct ids up to 20 in one image, neighbouring pixels agree in only 5 %"
        in (found[Kind.NOISE, "train"].first[0])
    )


def huge(png):
    """The PNG with a header that tells 60,000 x 60,000 pixels."""
    header = png[12:16] + struct.pack(">II", 60_000, 60_000) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


@pytest.mark.parametrize(
    ("image_bytes", "label_bytes", "kind", "message"),
    [
        (b"no image", encoded(bands(0)), Kind.IMAGE, "its image cannot be decoded (Unknown image file format"),
        (encoded(image(0), "JPEG")[:900], encoded(bands(0)), Kind.IMAGE, "its image cannot be decoded"),
        (encoded(image(0)), encoded(bands(0))[:50], Kind.LABEL, "its label cannot be decoded"),
        (encoded(image(0)), b"", Kind.LABEL, "it has no label"),
        (huge(encoded(image(0))), encoded(bands(0)), Kind.IMAGE, "its image is not decoded (it has more than 178,956,"),
        (encoded(image(0)), huge(encoded(bands(0))), Kind.LABEL, "its label is not decoded (it has more than 178,956,"),
        (encoded(image(0)), encoded(image(1)), Kind.NOT_GREY, "not a PNG of one 8-bit grey channel"),
        (encoded(image(0)), encoded(Image.fromarray(bands(0)).convert("P")), Kind.NOT_GREY, "not a PNG of one 8-bit"),
        (encoded(image(0)), encoded(bands(0, width=39)), Kind.SIZES, "image is 40 x 40 but its label 39 x 40 pixels"),
    ],
    ids=["no image", "short image", "short label", "no label", "huge", "huge label", "rgb label", "palette", "sizes"],
)  # fmt: skip
def test_bad_record_does_not_stop_the_others(tmp_path, image_bytes, label_bytes, kind, message):
    inspection = inspect(tmp_path, train=[good(0), record(image_bytes, label_bytes, "bad.png"), good(2)])
    (finding,) = inspection.errors
    assert (finding.kind, finding.split, finding.count) == (kind, "train", 1)
    assert finding.first[0].startswith("record 1 of train (bad.png): ")
    assert message in finding.first[0]
    assert inspection.splits["train"].records == 3
    assert inspection.splits["train"].images[2] == 2


def test_damaged_record_is_passed_over_and_the_end_of_a_file_is_noticed(tmp_path):
    records = [good(seed) for seed in range(5)]
    dataset = write(tmp_path, train=records)
    (shard,) = dataset.shards("train")
    data = bytearray(shard.read_bytes())
    data[16 + len(records[0]) + 100] ^= 255  # inside the second record
    shard.write_bytes(data[:-10])
    inspection = check(dataset, tmp_path / "check", show_progress=False)
    (finding,) = inspection.errors
    assert (finding.kind, finding.count) == (Kind.DAMAGED, 2)
    name = "train-00000-of-00001.tfrecord"
    assert finding.first == (
        f"record 1 of train does not agree with its checksum in {name}",
        f"record 4 of train is cut off or its length is wrong; the rest of {name} was not read",
    )
    assert inspection.splits["train"].images[0] == 3


def test_file_that_is_no_record_file_ends_after_two_failures(tmp_path):
    dataset = write(tmp_path, train=[good(0)])
    dataset.shards("train")[0].write_bytes(bytes(1000))  # lengths of 0 all along
    (finding,) = [one for one in check(dataset, tmp_path / "check", False).errors if one.kind == Kind.DAMAGED]
    assert finding.count == 2
    assert "nor did the last" in finding.first[1]


def test_records_that_are_not_examples_are_damaged(tmp_path):
    (finding,) = inspect(tmp_path, train=[good(0), b"\xff\xff"]).errors
    assert finding.first[0].startswith("record 1 of train is not an example with DeepLab's keys")


def test_count_that_differs_from_the_metadata_and_missing_files(tmp_path):
    found = by_kind(inspect(tmp_path, train=[good(0)], expected={"train": 2, "val": 1}))
    assert found[Kind.COUNT, "train"].first == ("train has 1 records, but its metadata says 2",)
    assert "val-* are missing" in found[Kind.MISSING, "val"].first[0]


def test_equal_pixels_are_duplicates_whatever_the_file(tmp_path):
    pixels = np.asarray(Image.open(io.BytesIO(encoded(image(0), "JPEG"))))
    jpeg = record(encoded(image(0), "JPEG"), encoded(bands(0)), "a.jpg")
    png = record(encoded(pixels), encoded(bands(1)), "b.png")
    inspection = inspect(tmp_path, train=[jpeg, good(1), good(1)], val=[png])
    found = by_kind(inspection)
    assert found[Kind.LEAKED, "val"].first == (
        "record 0 of val (b.png) has the same image as record 0 of train (a.jpg)",
    )
    assert found[Kind.REPEATED, "train"].first == (
        "record 2 of train (1.png) has the same image as record 1 of train (1.png)",
    )
    assert inspection.errors == []


def test_classes_never_seen_ignored_pixels_and_small_images_are_warnings(tmp_path):
    small = record(encoded(image(5, 20, 40)), encoded(bands(0, 255, 255, 255, height=20)))
    inspection = inspect(tmp_path, train=[good(0)], val=[small])
    found = by_kind(inspection)
    assert set(found) == {(kind, "val") for kind in (Kind.NEVER_SEEN, Kind.UNLABELLED, Kind.SMALL)}
    assert found[Kind.NEVER_SEEN, "val"].first == (
        "the class road does not occur in val",
        "the class car does not occur in val",
    )
    assert found[Kind.UNLABELLED, "val"].first == ("75.0 % of the pixels of val are ignored",)
    assert "it has 40 x 20 pixels" in found[Kind.SMALL, "val"].first[0]
    assert inspection.errors == []


def test_class_that_never_occurs_beside_ignored_pixels_is_an_error(tmp_path):
    inspection = inspect(tmp_path, train=[good(0, 0, 1, 1, 255)], val=[good(1, 0, 1, 1, 1)])
    (finding,) = inspection.errors
    assert (finding.kind, finding.split, finding.count) == (Kind.ABSENT, "train", 1)
    with pytest.raises(
        UserError, match=r"255 covers 12\.5 % .* the class car never occurs; .*--label_map='255:2,\*:same'"
    ):
        inspection.require_no_errors()


def test_masks_of_0_and_255_among_others_are_an_error(tmp_path):
    records = [good(0, 0, 1), good(1, 0, 255), good(2, 0, 1)]
    finding = by_kind(inspect(tmp_path, classes=("ground", "bar"), train=records))[Kind.ABSENT, "train"]
    assert finding.first[0].startswith(
        "255 is ignored in 1 label (record 1 of train (1.png)), where the class bar does"
    )
    assert "bar occurs in 2 labels (record 0 of train (0.png), record 2 of train (2.png))" in finding.first[0]


def test_records_that_other_programs_turn_are_said(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    stream = io.BytesIO()
    Image.fromarray(image(0)).save(stream, "JPEG", exif=exif)
    found = by_kind(inspect(tmp_path, train=[record(stream.getvalue(), encoded(bands(0, 1, 2, 255)))]))
    (sentence,) = found[Kind.TURNED, "train"].first
    assert sentence.endswith("its image has the EXIF orientation 6, and is trained on as it is stored")


def test_split_without_labels_is_only_looked_at(tmp_path):
    unlabelled = record(encoded(image(0)), b"")
    inspection = inspect(tmp_path, test=[unlabelled], unlabelled=("test",))
    assert inspection.findings == ()
    assert inspection.weighted_split is None
    assert inspection.to_json()["splits"]["test"]["labelled"] is False


def test_only_the_first_of_many_problems_are_listed(tmp_path):
    finding = inspect(tmp_path, train=[good(0)] * 30).findings[0]
    assert (finding.count, len(finding.first)) == (29, 20)


def test_counts_kept_beside_the_records_give_the_same_label_weights(shapes, tmp_path):
    kept = read_label_counts(shapes)["train"], read_labelled_with(shapes)["train"]
    found = check(shapes, tmp_path)
    assert label_weights(*kept, shapes.info) == found.label_weights
    assert len(set(found.label_weights)) > 3
