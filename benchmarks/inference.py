"""Milliseconds an image of the ways to run a network, alternating, in one run.

    python benchmarks/inference.py --model_variant=xception_65 --decoder_output_stride=4 --image_size=513,513
    KERAS_BACKEND=jax python benchmarks/inference.py

The ways: the Keras model called eagerly; compiled, as evaluation and prediction run it; the exported SavedModel
(TensorFlow only). Weights are random, which costs the same. Each includes padding, upsampling to the image's size,
softmax and argmax. The flags of the model are those of train.py.
"""

import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

import keras
import numpy as np
from absl import app, flags

from deeplab_dpc.cli import flag_groups
from deeplab_dpc.console import console, print_table
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import build_segmenter
from deeplab_dpc.models.summary import summarize

flag_groups.define_model_flags(flags.FLAGS)
flag_groups.define_numbers(flags.FLAGS, "image_size", "Height and width of the images in pixels.", (513, 513))
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 1, "Images at a time.")
_NUM_CLASSES = flags.DEFINE_integer("num_classes", 21, "Channels of the logits.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Alternations, of which the median counts.")

Run = Callable[[np.ndarray], object]


def _saved_model(predictor: Predictor, folder: pathlib.Path) -> Run:
    import tensorflow as tf

    from deeplab_dpc.export.saved_model import export_saved_model

    export_saved_model(predictor, folder / "saved_model", {})
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    serve = loaded.signatures["serving_default"]

    def run(images: np.ndarray) -> object:
        outputs = serve(image=tf.constant(images))
        assert loaded is not None  # keeps the variables alive
        return outputs["semantic"].numpy()

    return run


def _ways(predictor: Predictor, folder: pathlib.Path) -> dict[str, Run]:
    ways: dict[str, Run] = {
        "eager": lambda images: np.asarray(predictor.class_ids(images)),
        "compiled": predictor.predict_batch,
    }
    if keras.backend.backend() == "tensorflow":
        ways["SavedModel"] = _saved_model(predictor, folder)
    return ways


def _seconds(run: Run, images: np.ndarray) -> float:
    start = time.perf_counter()
    run(images)
    return time.perf_counter() - start


def main(argv) -> None:
    """Prints a table."""
    config = flag_groups.model_config(flags.FLAGS, _NUM_CLASSES.value)
    size = flag_groups.size(flags.FLAGS, "image_size") or (513, 513)
    model = build_segmenter(config)
    images = np.random.default_rng(0).integers(0, 256, (_BATCH_SIZE.value, *size, 3)).astype("uint8")
    with tempfile.TemporaryDirectory() as folder:
        ways = _ways(Predictor(model), pathlib.Path(folder))
        for run in ways.values():
            run(images)  # traces and compiles
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(_ROUNDS.value):
            for name, run in ways.items():
                seconds[name].append(_seconds(run, images))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    rows = [
        (
            name,
            f"{1000 * median / len(images):.1f}",
            f"{len(images) / median:.2f}",
            f"{medians['eager'] / median:.2f} x",
        )
        for name, median in medians.items()
    ]
    title = f"{config.model_variant}, {size[0]} x {size[1]}, batch {len(images)}, {keras.backend.backend()}"
    print_table(title, ("way", "ms an image", "images a second", "of eager"), rows)
    console.print(
        f"{summarize(model, size).cost.multiply_adds / 1e9:.2f}B multiply-adds an image; {_ROUNDS.value} rounds"
    )


if __name__ == "__main__":
    app.run(main)
