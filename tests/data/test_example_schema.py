import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deeplab_dpc.data.example import decode_example, filename_text, label_size, parse_example
from deeplab_dpc.errors import UserError


def png(array):
    stream = io.BytesIO()
    Image.fromarray(np.asarray(array, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def serialize(**features):
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in features.items()
            }
        )
    ).SerializeToString()


IMAGE = np.arange(18).reshape(2, 3, 3)
LABEL = np.array([[0, 1, 2], [3, 4, 255]])


def test_record_with_only_the_required_keys_parses():
    record = serialize(**{"image/encoded": png(IMAGE), "image/segmentation/class/encoded": png(LABEL)})
    features = parse_example(record)
    assert features["image/filename"].numpy() == b""
    assert features["image/format"].numpy() == b"jpeg"
    example = decode_example(features)
    np.testing.assert_array_equal(example["image"], IMAGE)
    np.testing.assert_array_equal(example["label"][..., 0], LABEL)


def test_decoding_works_inside_a_pipeline():
    record = serialize(**{"image/encoded": png(IMAGE), "image/segmentation/class/encoded": png(LABEL)})
    dataset = tf.data.Dataset.from_tensors(record).map(parse_example).map(decode_example)
    assert dataset.element_spec["image"].shape.as_list() == [None, None, 3]
    example = next(iter(dataset))
    np.testing.assert_array_equal(example["label"][..., 0], LABEL)


@pytest.mark.parametrize("inside_map", [False, True])
def test_sizes_that_differ_are_reported_with_the_filename(inside_map):
    record = serialize(
        **{
            "image/encoded": png(IMAGE),
            "image/filename": b"cat.png",
            "image/segmentation/class/encoded": png(LABEL[:, :2]),
        }
    )
    dataset = tf.data.Dataset.from_tensors(record).map(parse_example).map(decode_example)
    read = (lambda: next(iter(dataset))) if inside_map else (lambda: decode_example(parse_example(record)))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"differ in size.*cat\.png"):
        read()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"cat.png", "cat.png"),
        ("Straße.jpg".encode(), "Straße.jpg"),
        (b"stra\xdfe.jpg", r"stra\xdfe.jpg"),
        (b"two\nlines\0.jpg", r"two\nlines\x00.jpg"),
    ],
)
def test_names_are_text_of_one_line_and_stay_different(name, text):
    assert filename_text(name) == text


def test_label_tells_its_size():
    features = {"image/encoded": b"", "image/filename": b"stra\xdfe.jpg"}
    assert label_size(features | {"image/segmentation/class/encoded": png(LABEL)}) == (2, 3)
    huge = png(LABEL)[:16] + b"\xff" * 8
    for data in (b"", b"no PNG", png(LABEL)[:20], huge):
        with pytest.raises(UserError, match=r"The label of the image stra\\xdfe\.jpg is not a PNG that can be decoded"):
            label_size(features | {"image/segmentation/class/encoded": data})
