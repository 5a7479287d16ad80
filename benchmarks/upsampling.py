"""Milliseconds of the ways from logits to class ids at the image's size, alternating, in one run.

    python benchmarks/upsampling.py --checkpoint_path=MODEL.ckpt --num_classes=21 --image=PHOTOGRAPH

The logits are those of a real network (--workdir or --checkpoint_path) on a photograph, since the number of
interpolated pixels depends on the number of class borders. It runs on TensorFlow only, where the ways differ.
"""

import dataclasses
import statistics
import time

import numpy as np
import tensorflow as tf
from absl import app, flags
from keras import ops
from PIL import Image

from deeplab_dpc.cli.flags.base import FlagGroup, define_flags, flag, read_flags
from deeplab_dpc.cli.flags.shared import SourceFlags
from deeplab_dpc.cli.model_source import load_model
from deeplab_dpc.console import print_table
from deeplab_dpc.layers import kernels


@dataclasses.dataclass(frozen=True, kw_only=True)
class _NetworkFlags(FlagGroup):
    """The flags of the network and of the size of the image."""

    source: SourceFlags
    image_size: tuple[int, int] = flag((513, 513), "Height and width in pixels, output_stride * k + 1.")


define_flags(_NetworkFlags, flags.FLAGS)
_IMAGE = flags.DEFINE_string("image", None, "Photograph, scaled to that size.", required=True)
_ROUNDS = flags.DEFINE_integer("rounds", 30, "Alternations, of which the median counts.")


def main(argv) -> None:
    """Prints the table."""
    given = read_flags(_NetworkFlags, flags.FLAGS)
    network = load_model(given.source).segmenter
    height, width = given.image_size
    with Image.open(_IMAGE.value) as image:
        pixels = np.asarray(image.convert("RGB").resize((width, height)), "float32")[np.newaxis]
    logits = tf.constant(network(pixels))
    factor = (height - 1) // (logits.shape[1] - 1)
    spec = [tf.TensorSpec([None, None, None, logits.shape[-1]])]
    ways = {
        "upsampled, Keras' argmax": lambda x: ops.argmax(kernels.resize_align_corners(x, height, width), axis=-1),
        "upsampled, TensorFlow's argmax": lambda x: kernels.argmax(kernels.resize_align_corners(x, height, width)),
        "interpolated at class borders": lambda x: kernels.upsampled_argmax(x, factor, height, width),
    }
    functions = {name: tf.function(way, spec) for name, way in ways.items()}
    found = {name: function(logits).numpy() for name, function in functions.items()}  # traces
    milliseconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(_ROUNDS.value):
        for name, function in functions.items():
            start = time.perf_counter()
            function(logits).numpy()
            milliseconds[name].append(1000 * (time.perf_counter() - start))
    first = next(iter(ways))
    rows = [
        (name, f"{statistics.median(times):.2f}", f"{100 * (found[name] == found[first]).mean():.4f} %")
        for name, times in milliseconds.items()
    ]
    print_table(f"{height} x {width}, {logits.shape[-1]} classes", ("way", "ms", "pixels as the first"), rows)


if __name__ == "__main__":
    app.run(main)
