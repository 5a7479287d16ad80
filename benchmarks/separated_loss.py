"""The cross entropy by quadrature against the exact one: errors, seconds and memory, in one run.

    python benchmarks/separated_loss.py --run_dir=W --data_dir=D                                # a trained run's logits
    python benchmarks/separated_loss.py --run_dir=W --data_dir=D --image_scale=4 --noseconds     # at stride 4, not 16
    KERAS_BACKEND=jax python benchmarks/separated_loss.py                                        # smooth random logits

Errors: of the loss of all images together, and of its gradient with respect to the logits in the Euclidean norm, with
the cosine of both gradients; also with the logits times four, as of a more confident network. Seconds: medians of a
loss with its gradient, alternating. Memory: the growth of a process of its own beyond its arrays.
"""

import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from absl import app, flags
from keras import ops

from deeplab_dpc.console import console, print_table
from deeplab_dpc.training.losses import SegmentationLoss
from deeplab_dpc.training.separated_loss import SeparatedLoss

_RUN_DIR = flags.DEFINE_string("run_dir", None, "Run directory of train.py, whose logits have their errors measured.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "The data set of that run.")
_SPLIT = flags.DEFINE_string("split", "val", "Of the data set.")
_IMAGES = flags.DEFINE_integer("images", 16, "So many of the split.")
_IMAGE_SCALE = flags.DEFINE_integer(
    "image_scale", 1, "How many times images are enlarged for the network; labels stay, and the stride falls with it."
)
_ERROR_NODES = flags.DEFINE_list("error_nodes", ["1", "2", "3", "4"], "Nodes per axis and cell.")
_SECONDS = flags.DEFINE_bool("seconds", True, "Whether to measure time and memory.")
_CASE = flags.DEFINE_multi_string("case", None, "Which of the cases below are timed; all of them by default.")
_ROUNDS = flags.DEFINE_integer("rounds", 15, "Alternations.")
_MEASURE = flags.DEFINE_string("measure_memory", None, "CASE:WAY; prints the bytes of that alone, for the run above.")

IGNORE_LABEL = 255
Loss = Callable[[Any], Any]  # of logits
# [batch, h, w, classes] of the logits, (height, width) of the labels, nodes, and whether targets are known beforehand.
CASES = {
    "proxy, CamVid": ((8, 24, 31, 11), (369, 481), (2, 3, 4), True),
    "proxy, 769 x 769": ((8, 49, 49, 19), (769, 769), (2, 3, 4), True),
    "training, stride 4": ((4, 129, 129, 19), (513, 513), (2, 3, 4), False),
    "training, stride 16": ((4, 33, 33, 19), (513, 513), (2, 3, 4), False),
}


def _compiled(loss: Loss) -> Callable[[Any], tuple[Any, Any]]:
    """Returns the compiled function for value and gradient."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(jax.value_and_grad(loss))
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # one function per loss is intended

    def value_and_gradient(logits: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = loss(logits)
        return value, tape.gradient(value, logits)

    return tf.function(value_and_gradient, autograph=False)


def _trained_logits(run_dir: str, data_dir: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns logits [images, h, w, classes] of a run, and labels [images, height, width] that align with them."""
    from deeplab_dpc.checkpoint.run import load_weights
    from deeplab_dpc.checkpoint.run_directory import latest_checkpoint
    from deeplab_dpc.config import ModelConfig
    from deeplab_dpc.data.catalog import find_dataset
    from deeplab_dpc.data.pipeline import evaluation_dataset
    from deeplab_dpc.data.views import aligned
    from deeplab_dpc.layers.kernels import resize_align_corners
    from deeplab_dpc.models.segmenter import build_segmenter
    from deeplab_dpc.run_config import read_run

    model = build_segmenter(ModelConfig.from_json(read_run(run_dir, "run_dir")["model"]))
    load_weights(latest_checkpoint(run_dir), model)
    dataset = find_dataset(data_dir)
    crop = aligned(dataset.info.max_size[_SPLIT.value], model.config.alignment)
    height, width = ((side - 1) * _IMAGE_SCALE.value + 1 for side in crop)
    logits, labels = [], []
    for example in evaluation_dataset(dataset, _SPLIT.value, crop).take(_IMAGES.value).as_numpy_iterator():
        image = resize_align_corners(ops.convert_to_tensor(example["image"][None]), height, width)
        logits.append(np.asarray(model(image, training=False))[0].astype("float32"))
        label = example["label"]
        labels.append(np.where(label == dataset.info.ignore_label, IGNORE_LABEL, label).astype("uint8"))
    return np.stack(logits), np.stack(labels)


def _random_case(shape: tuple[int, ...], label_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Returns smooth logits, and labels in patches of which some are ignored."""
    rng = np.random.default_rng(0)
    batch, h, w, classes = shape
    walk = rng.normal(size=(batch, h, w, classes)).cumsum(axis=1).cumsum(axis=2)
    patches = rng.integers(0, classes, (batch, label_size[0] // 32 + 1, label_size[1] // 32 + 1))
    labels = np.kron(patches, np.ones((1, 32, 32)))[:, : label_size[0], : label_size[1]].astype("uint8")
    labels[:, : label_size[0] // 10] = IGNORE_LABEL
    return (5.0 * walk / walk.std()).astype("float32"), labels


def _known_targets(nodes: int, labels: np.ndarray, shape: tuple[int, ...]) -> Loss:
    """Returns the loss with targets that are computed beforehand, as in the proxy."""
    _, h, w, classes = shape
    loss = SeparatedLoss((h, w), labels.shape[1:], classes, IGNORE_LABEL, nodes)
    rows = {name: ops.convert_to_tensor(x) for name, x in loss.targets(labels).rows(np.arange(len(labels))).items()}
    return functools.partial(loss, rows)


def _of_labels(nodes: int, labels: np.ndarray) -> Loss:
    """Returns the loss that computes everything from the labels, as in training; 0 nodes for the exact loss."""
    return functools.partial(
        SegmentationLoss(IGNORE_LABEL, quadrature_nodes=nodes), ops.convert_to_tensor(labels.astype("int32"))
    )


def _print_errors(logits: np.ndarray, labels: np.ndarray, source: str) -> None:
    rows = []
    for factor in (1, 4):
        scaled = ops.convert_to_tensor(factor * logits)
        value, gradient = (np.asarray(x, "float64") for x in _compiled(_of_labels(0, labels))(scaled))
        for nodes in map(int, _ERROR_NODES.value):
            found = _compiled(_known_targets(nodes, labels, logits.shape))(scaled)
            other, slope = (np.asarray(x, "float64") for x in found)
            size, exact_size = np.linalg.norm(slope), np.linalg.norm(gradient)
            error = np.linalg.norm(slope - gradient) / exact_size
            cosine = np.vdot(slope, gradient) / (size * exact_size)
            rows.append(
                (
                    f"x {factor}",
                    f"{nodes}",
                    f"{value:.5f}",
                    f"{other / value - 1:+.1e}",
                    f"{error:.1e}",
                    f"{cosine:.7f}",
                )
            )
    title = (
        f"Errors: {source}, logits {' x '.join(map(str, logits.shape[1:]))}, "
        f"from {logits.min():.1f} to {logits.max():.1f}, labels {' x '.join(map(str, labels.shape[1:]))}"
    )
    print_table(title, ("logits", "nodes", "exact loss", "error", "gradient's error", "cosine"), rows)


def _ways(case: str) -> tuple[np.ndarray, dict[str, Loss]]:
    """Returns the logits of a case and the losses that are compared, the exact one first."""
    shape, label_size, choices, is_known = CASES[case]
    logits, labels = _random_case(shape, label_size)
    ways = {"exact": _of_labels(0, labels)}
    for nodes in choices:
        ways[f"{nodes} nodes"] = _known_targets(nodes, labels, shape) if is_known else _of_labels(nodes, labels)
    return logits, ways


def _seconds(case: str) -> dict[str, float]:
    logits, ways = _ways(case)
    logits = ops.convert_to_tensor(logits)
    steps = {way: _compiled(loss) for way, loss in ways.items()}
    times: dict[str, list[float]] = {way: [] for way in steps}
    for _ in range(_ROUNDS.value + 1):  # the first compiles
        for way, step in steps.items():
            start = time.perf_counter()
            np.asarray(step(logits)[1])
            times[way].append(time.perf_counter() - start)
    return {way: statistics.median(found[1:]) for way, found in times.items()}


def _grown(case: str, way: str) -> int:
    """Returns the bytes by which a process grows when it computes one loss with its gradient twice."""
    from deeplab_dpc.training.device_memory import peak_memory

    logits, ways = _ways(case)
    step, logits = _compiled(ways[way]), ops.convert_to_tensor(logits)
    _compiled(lambda x: ops.sum(ops.square(x)))(logits)  # so that the first compilation does not count
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak on Linux
    before = peak_memory()
    for _ in range(2):
        np.asarray(step(logits)[1])
    return peak_memory() - before


def _grown_alone(case: str, way: str) -> int:
    command = [sys.executable, __file__, f"--measure_memory={case}:{way}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return json.loads(done.stdout.splitlines()[-1])


def _print_seconds() -> None:
    rows = []
    for case in _CASE.value or CASES:
        shape, label_size, *_ = CASES[case]
        seconds = _seconds(case)
        sizes = f"{' x '.join(map(str, shape))} / {' x '.join(map(str, label_size))}"
        for way, median in seconds.items():
            ratio, memory = seconds["exact"] / median, _grown_alone(case, way) / 1e6
            rows.append((case, sizes, way, f"{1e3 * median:.1f}", f"{ratio:.1f}", f"{memory:.0f}"))
    title = f"Loss and gradient, {keras.backend.backend()}"
    print_table(title, ("case", "logits / labels", "way", "ms", "x exact", "MB"), rows)


def main(argv) -> None:
    """Prints both tables."""
    if _MEASURE.value:
        print(_grown(*_MEASURE.value.split(":")))
        return
    if _RUN_DIR.value and _DATA_DIR.value:
        _print_errors(
            *_trained_logits(_RUN_DIR.value, _DATA_DIR.value),
            f"{_IMAGES.value} images of {_SPLIT.value}, {_RUN_DIR.value}",
        )
    else:
        _print_errors(*_random_case((4, 24, 31, 11), (369, 481)), "smooth random logits")
    if _SECONDS.value:
        _print_seconds()
    console.print(f"{os.cpu_count()} CPU cores")


if __name__ == "__main__":
    app.run(main)
