"""The files of a prediction."""

import contextlib
import errno
import resource
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from deeplab_dpc.data.image_sources import Picture
from deeplab_dpc.data.video import VideoReader, VideoWriter
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.bulk_prediction import Prediction
from deeplab_dpc.evaluation.captioned import Overlays
from deeplab_dpc.evaluation.prediction_writer import OUTPUTS, PredictionWriter, overlay_video

OVERLAYS = Overlays(("a", "b"), ((10, 20, 30), (200, 100, 0)), legend=False)
IDS = np.array([[0, 1]], np.int32)
PROBABILITIES = np.array([[[0.75, 0.25], [0.1, 0.9]]], np.float32)
PREDICTION = Prediction(Picture("day/x", "x.jpg", np.full((1, 2, 3), 100, np.uint8)), IDS, PROBABILITIES)


def test_every_output_has_its_folder_and_keeps_those_of_the_name(tmp_path):
    PredictionWriter(tmp_path, OUTPUTS, OVERLAYS).write(PREDICTION)
    files = {output: tmp_path / output / "day" / "x.png" for output in OUTPUTS if output != "probabilities"}
    pictures = {output: Image.open(path) for output, path in files.items()}
    assert {output: picture.mode for output, picture in pictures.items()} == {
        "class_ids": "L", "palette": "P", "colors": "RGB", "overlays": "RGB",
    }  # fmt: skip
    assert np.asarray(pictures["class_ids"]).tolist() == np.asarray(pictures["palette"]).tolist() == [[0, 1]]
    assert np.asarray(pictures["palette"].convert("RGB")).tolist() == [[[10, 20, 30], [200, 100, 0]]]
    assert np.asarray(pictures["colors"]).tolist() == [[[10, 20, 30], [200, 100, 0]]]
    assert np.asarray(pictures["overlays"]).tolist() == [[[55, 60, 65], [150, 100, 50]]]
    stored = np.load(tmp_path / "probabilities" / "day" / "x.npy")
    assert stored.dtype == np.float16
    np.testing.assert_array_equal(stored, PROBABILITIES.astype(np.float16))


def test_image_is_written_when_all_its_outputs_are_there_and_replaced_when_written_again(tmp_path):
    writer = PredictionWriter(tmp_path, ("class_ids",), OVERLAYS)
    assert not writer.is_written("day/x")
    writer.write(PREDICTION)
    assert writer.is_written("day/x")
    assert not PredictionWriter(tmp_path, ("class_ids", "colors"), OVERLAYS).is_written("day/x")
    assert writer.replaced == set()
    writer.write(PREDICTION)
    assert writer.replaced == {"day/x"}


def test_output_that_was_cut_off_is_written_again(tmp_path):
    writer = PredictionWriter(tmp_path, OUTPUTS, OVERLAYS)
    for output in OUTPUTS:
        writer.write(PREDICTION)
        assert writer.is_written("day/x")
        path = writer.path(output, "day/x")
        content = path.read_bytes()
        for length in (len(content) - 1, 0):
            path.write_bytes(content[:length])
            assert not writer.is_written("day/x")


@contextlib.contextmanager
def largest_file(size):
    """Limits the bytes of the files that this process writes, as a full disk would.

    The limit ends with the block: it holds for the report of the tests too, which may be written to a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("output", OUTPUTS)
def test_full_disk_leaves_nothing_and_is_said_by_the_system(output, tmp_path, rng):
    ids = rng.integers(0, 2, size=(100, 100)).astype(np.int32)
    picture = Picture("x", "x.jpg", rng.integers(0, 256, size=(100, 100, 3)).astype(np.uint8))
    writer = PredictionWriter(tmp_path, (output,), OVERLAYS)
    with pytest.raises(OSError, match="x") as failure, largest_file(1000):
        writer.write(Prediction(picture, ids, np.ones((100, 100, 2), np.float32)))
    assert failure.value.errno == errno.EFBIG
    assert list((tmp_path / output).iterdir()) == []


def test_video_of_overlays_is_whole_or_absent(tmp_path):
    pytest.importorskip("av")
    with VideoWriter(tmp_path / "in.mp4", Fraction(25), Fraction(1, 25)) as source:
        for time in range(3):
            source.add(time, np.full((32, 48, 3), 100, np.uint8))
    target, ids = tmp_path / "overlays" / "in.mp4", np.ones((32, 48), np.int32)
    with VideoReader(tmp_path / "in.mp4") as video, overlay_video(target, video, OVERLAYS) as write:
        for time, image in video:
            write(Prediction(Picture("in/0", "frame", image, time), ids, None))
            assert not target.exists()
    with VideoReader(target) as written:
        images = [image for _, image in written]
        assert (written.rate, len(images)) == (25, 3)
    assert np.abs(images[2].reshape(-1, 3).mean(axis=0) - [150, 100, 50]).max() < 6
    with (
        pytest.raises(UserError, match=r"in\.mp4 holds no frame that can be read"),
        VideoReader(tmp_path / "in.mp4") as video,
        overlay_video(tmp_path / "none" / "in.mp4", video, OVERLAYS),
    ):
        pass
    assert list((tmp_path / "none").iterdir()) == []
