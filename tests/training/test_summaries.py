"""Event files, read back by TensorBoard's own readers."""

import io
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from deeplab_dpc.training.summaries import Summaries


def read(folder: pathlib.Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return accumulator


def curve(folder: pathlib.Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.tensor_proto.float_val[0]) for event in read(folder).Tensors(tag)]


def test_scalars_are_read_back_as_curves(tmp_path):
    summaries = Summaries(tmp_path)
    summaries.scalars(1, {"train/loss": 2.5, "train/learning_rate": 0.5})
    summaries.scalars(2, {"train/loss": 1.25, "val/miou": 0.75})
    summaries.close()
    assert set(read(tmp_path).PluginTagToContent("scalars")) == {"train/loss", "train/learning_rate", "val/miou"}
    assert curve(tmp_path, "train/loss") == [(1, 2.5), (2, 1.25)]
    assert curve(tmp_path, "val/miou") == [(2, 0.75)]


def test_images_are_read_back_pixel_by_pixel(tmp_path, rng):
    images = rng.integers(0, 256, (2, 5, 7, 3)).astype(np.uint8)
    summaries = Summaries(tmp_path)
    summaries.images(3, "val/predictions", images)
    summaries.close()
    assert list(read(tmp_path).PluginTagToContent("images")) == ["val/predictions"]
    (event,) = read(tmp_path).Tensors("val/predictions")
    width, height, *pictures = event.tensor_proto.string_val
    assert (event.step, width, height) == (3, b"7", b"5")
    np.testing.assert_array_equal([np.asarray(Image.open(io.BytesIO(picture))) for picture in pictures], images)


def test_other_arrays_are_refused(tmp_path):
    summaries = Summaries(tmp_path)
    with pytest.raises(ValueError, match=r"`images` must be uint8 \[n, height, width, 3\], got float64 \[5, 7, 3\]"):
        summaries.images(1, "val/predictions", np.zeros((5, 7, 3)))
    summaries.close()


def test_after_a_resume_the_repeated_steps_replace_those_before(tmp_path):
    killed = Summaries(tmp_path)
    for step in range(1, 6):
        killed.scalars(step, {"train/loss": 10.0 + step, "train/gone": 1.0})
    resumed = Summaries(tmp_path, step=3)
    for step in (4, 5):
        resumed.scalars(step, {"train/loss": 20.0 + step})
    assert curve(tmp_path, "train/loss") == [(1, 11.0), (2, 12.0), (3, 13.0), (4, 24.0), (5, 25.0)]
    assert [step for step, _ in curve(tmp_path, "train/gone")] == [1, 2, 3]
    killed.close()
    resumed.close()


def test_what_was_added_is_there_without_closing(tmp_path):
    """As after kill -9."""
    summaries = Summaries(tmp_path)
    summaries.scalars(1, {"train/loss": 2.5})
    assert curve(tmp_path, "train/loss") == [(1, 2.5)]
    summaries.close()


def test_torn_event_hides_neither_those_before_nor_the_resumed_training(tmp_path):
    killed = Summaries(tmp_path)
    killed.scalars(1, {"train/loss": 1.5})
    killed.scalars(2, {"train/loss": 2.5})
    killed.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    resumed = Summaries(tmp_path, step=1)
    resumed.scalars(2, {"train/loss": 3.5})
    resumed.close()
    assert curve(tmp_path, "train/loss") == [(1, 1.5), (2, 3.5)]


def test_writing_imports_no_tensorflow_and_says_nothing(tmp_path):
    script = f"""
import sys
import numpy as np
from deeplab_dpc.training.summaries import Summaries
summaries = Summaries({str(tmp_path)!r})
summaries.scalars(1, {{"train/loss": 2.5}})
summaries.images(1, "val/predictions", np.zeros((1, 4, 4, 3), np.uint8))
summaries.close()
assert "tensorflow" not in sys.modules
"""
    root = pathlib.Path(__file__).resolve().parents[2]
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=root)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
