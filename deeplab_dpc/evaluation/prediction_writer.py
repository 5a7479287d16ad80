"""Output files of predictions: class ids, colours, overlays and probabilities, each kind in its own folder."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Collection, Iterator

import numpy as np

from deeplab_dpc.data.video import VideoReader, VideoWriter
from deeplab_dpc.errors import UserError
from deeplab_dpc.evaluation.bulk_prediction import Prediction
from deeplab_dpc.evaluation.captioned import Overlays
from deeplab_dpc.evaluation.visualize import colorize, save_label_png, save_palette_png, save_rgb_png
from deeplab_dpc.files import atomic_path

OVERLAYS, PROBABILITIES = "overlays", "probabilities"
PNG_END = b"IEND\xaeB`\x82"  # name and checksum of the last chunk


class PredictionWriter:
    """A writer of predictions as OUTPUT/NAME.png, and of probabilities as probabilities/NAME.npy.

    A name may contain folders. The output class_ids is an 8-bit PNG of class ids; palette is the same as colour
    indices; colors is RGB; overlays has the colours over the image, with a legend; probabilities is a NumPy array,
    float16 [height, width, classes].

    Attributes:
      replaced: names of the images with an output that existed and was overwritten.

    Args:
      output_dir: parent folder of the outputs' folders.
      outputs: kinds of outputs to write, keys of OUTPUTS.
      overlays: drawer of the overlays, with the colours of the classes.
    """

    def __init__(self, output_dir: pathlib.Path, outputs: Collection[str], overlays: Overlays):
        self.output_dir = output_dir
        self.outputs = tuple(dict.fromkeys(outputs))
        self.overlays = overlays
        self.replaced: set[str] = set()

    def path(self, output: str, name: str) -> pathlib.Path:
        """Returns the path of an output of an image."""
        return self.output_dir / output / f"{name}{'.npy' if output == PROBABILITIES else '.png'}"

    def is_written(self, name: str) -> bool:
        """Returns whether all outputs of an image exist and are complete."""
        return all(_is_whole(self.path(output, name)) for output in self.outputs)

    def write(self, prediction: Prediction) -> None:
        """Writes all outputs of an image."""
        for output in self.outputs:
            path = self.path(output, prediction.picture.name)
            if path.exists():
                self.replaced.add(prediction.picture.name)
            OUTPUTS[output](path, prediction, self.overlays)


def _write_class_ids(path: pathlib.Path, prediction: Prediction, overlays: Overlays) -> None:
    save_label_png(path, prediction.ids)


def _write_palette(path: pathlib.Path, prediction: Prediction, overlays: Overlays) -> None:
    save_palette_png(path, prediction.ids, overlays.palette)


def _write_colors(path: pathlib.Path, prediction: Prediction, overlays: Overlays) -> None:
    save_rgb_png(path, colorize(prediction.ids, overlays.palette))


def _write_overlay(path: pathlib.Path, prediction: Prediction, overlays: Overlays) -> None:
    save_rgb_png(path, overlays.draw(prediction.picture.image, prediction.ids))


def _write_probabilities(path: pathlib.Path, prediction: Prediction, overlays: Overlays) -> None:
    if prediction.probabilities is None:
        raise ValueError("Probabilities are to be written, but were not predicted.")
    array = np.ascontiguousarray(prediction.probabilities, np.float16)
    # As np.save writes it; the errors of np.save do not report a full disk.
    with atomic_path(path) as partial, open(partial, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        stream.write(array.data)


def _is_whole(path: pathlib.Path) -> bool:
    """Returns whether a PNG or NumPy file exists and is not cut off."""
    try:
        if path.suffix == ".npy":
            np.load(path, mmap_mode="r")
            return True
        with open(path, "rb") as stream:
            stream.seek(-len(PNG_END), os.SEEK_END)
            return stream.read() == PNG_END
    except (OSError, ValueError, EOFError):
        return False


OUTPUTS: dict[str, Callable[[pathlib.Path, Prediction, Overlays], None]] = {
    "class_ids": _write_class_ids,
    "palette": _write_palette,
    "colors": _write_colors,
    OVERLAYS: _write_overlay,
    PROBABILITIES: _write_probabilities,
}


@contextlib.contextmanager
def overlay_video(path: pathlib.Path, video: VideoReader, overlays: Overlays) -> Iterator[Callable[[Prediction], None]]:
    """Yields a function that writes the overlays of a video's frames, in order, to an MP4 file with the frames' times
    and without sound.
    """
    with atomic_path(path) as partial, VideoWriter(partial, video.rate, video.time_base) as writer:

        def write(prediction: Prediction) -> None:
            frame = overlays.draw_frame(prediction.picture.image, prediction.ids)
            writer.add(prediction.picture.time, frame)

        yield write
        if writer.is_empty:
            raise UserError(f"{video.path} holds no frame that can be read.")
