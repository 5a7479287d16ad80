"""Milliseconds and memory of the ways to run a network on images, alternating, in one run.

    python benchmarks/inference.py --checkpoint_path=MODEL.ckpt --num_classes=21 --image=PHOTOGRAPH
    python benchmarks/inference.py --model_variant=xception_65 --decoder_output_stride=4 --ways=eager,SavedModel
    KERAS_BACKEND=jax python benchmarks/inference.py --ways=eager,compiled

Each way includes padding, upsampling to the image's size and argmax. `--breakdown` says where the time of the
SavedModel goes. Memory is the peak of a process that only runs the exported file. The network is a run's (--workdir), a
checkpoint's, or, with the flags of train.py, one with random weights, which costs the same except for class borders:
give a real network and a photograph for a realistic number of them.
"""

import collections
import dataclasses
import itertools
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import keras
import numpy as np
from absl import app, flags
from PIL import Image
from stock_batch_norm import stock_batch_norm

from deeplab_dpc.cli.flags.base import FlagGroup, define_flags, flag, read_flags
from deeplab_dpc.cli.flags.shared import SourceFlags
from deeplab_dpc.cli.model_source import load_model
from deeplab_dpc.config import InferenceConfig, ModelConfig, SavedModelOptions
from deeplab_dpc.console import console, print_table
from deeplab_dpc.data.dataset_info import pascal_palette
from deeplab_dpc.models.inference_network import inference_network
from deeplab_dpc.models.predictor import Predictor
from deeplab_dpc.models.segmenter import Segmenter, build_segmenter
from deeplab_dpc.models.summary import summarize

KERAS, SAVED_MODEL = ("eager", "compiled"), "SavedModel"
WAYS = {
    "eager": "the Keras model, called",
    "compiled": "the Keras model as eval.py and predict.py run it, folded",
    "Keras batch norm": "SavedModel of the network with Keras' own batch norm",
    "unfolded": "SavedModel, batch norm not folded",
    SAVED_MODEL: "as export.py writes it: batch norm folded",
    "argmax first": "SavedModel, --argmax_before_upsampling",
    "bfloat16": "SavedModel, --inference_dtype=bfloat16",
    "TFLite": "float32",
    "TFLite float16": "float16 weights",
    "TFLite int8": "int8 throughout",
    "ONNX": "ONNX Runtime, float32 (needs the extra `onnx`)",
}
Run = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _NetworkFlags(FlagGroup):
    """The flags of the network and of the size of its images."""

    source: SourceFlags
    image_size: tuple[int, int] = flag((513, 513), "Height and width of the images in pixels.")


define_flags(_NetworkFlags, flags.FLAGS)
flags.FLAGS.set_default("num_classes", 21)
_IMAGE = flags.DEFINE_string("image", None, "Photograph, scaled to that size; by default noise.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 1, "Images at a time.")
_ROUNDS = flags.DEFINE_integer("rounds", 15, "Alternations, of which the median counts.")
_WAYS = flags.DEFINE_list("ways", list(WAYS), "; ".join(f"{way}: {what}" for way, what in WAYS.items()))
_BREAKDOWN = flags.DEFINE_bool("breakdown", False, "Whether to say where the time of the SavedModel goes.")
_PEAK_OF = flags.DEFINE_string(
    "peak_of", None, "Exported file; prints the peak memory of running it, and nothing else."
)


def _network() -> Segmenter:
    source = read_flags(_NetworkFlags, flags.FLAGS).source
    if source.workdir or source.checkpoint_path:
        return load_model(source).segmenter
    return build_segmenter(source.network.config(source.num_classes))


def _images() -> np.ndarray:
    height, width = read_flags(_NetworkFlags, flags.FLAGS).image_size
    if _IMAGE.value is None:
        return np.random.default_rng(0).integers(0, 256, (_BATCH_SIZE.value, height, width, 3)).astype("uint8")
    with Image.open(_IMAGE.value) as image:
        pixels = np.asarray(image.convert("RGB").resize((width, height)))
    return np.repeat(pixels[np.newaxis], _BATCH_SIZE.value, axis=0)


def _stock(network: Segmenter) -> Segmenter:
    """Returns the network with Keras' own batch norm and the same weights (which both have in the same order)."""
    with stock_batch_norm():
        stock = build_segmenter(network.config)
    stock.set_weights(network.get_weights())
    return stock


def _predictor(network: Segmenter, way: str) -> Predictor:
    if way in ("eager", "Keras batch norm", "unfolded"):
        return Predictor(_stock(network) if way == "Keras batch norm" else network)
    config = InferenceConfig(inference_dtype="bfloat16" if way == "bfloat16" else "float32")
    return Predictor(inference_network(network, config), config)


def _export(predictor: Predictor, way: str, images: np.ndarray, folder: pathlib.Path) -> pathlib.Path:
    """Writes the file of a way to run the network; returns its path."""
    from deeplab_dpc.export.model_info import describe_model
    from deeplab_dpc.export.onnx import export_onnx
    from deeplab_dpc.export.saved_model import export_saved_model
    from deeplab_dpc.export.tflite import export_tflite

    config: ModelConfig = predictor.segmenter.config
    names = [f"class_{i}" for i in range(config.num_classes)]
    info = describe_model(names, pascal_palette(len(names)), 255, "benchmark", [predictor.segmenter], predictor.config)
    size = images.shape[1], images.shape[2]
    if way.startswith("TFLite"):
        path = folder / f"{way}.tflite"
        export_tflite(predictor, path, info, way.partition(" ")[2] or "float32", size, images[:1])
    elif way == "ONNX":
        path = folder / "model.onnx"
        export_onnx(predictor, path, info)
    else:
        path = folder / way
        export_saved_model(predictor, path, info, SavedModelOptions(argmax_before_upsampling=way == "argmax first"))
    return path


def _prepare(way: str, network: Segmenter, images: np.ndarray, folder: pathlib.Path) -> tuple[Run, str]:
    """Returns the function that runs the network in this way, and the peak memory of its file."""
    predictor = _predictor(network, way)
    if way == "eager":
        return lambda images: np.asarray(predictor.class_ids(images)), "-"
    if way == "compiled":
        return predictor.predict_batch, "-"
    from deeplab_dpc.export.exported_model import load_exported_model

    path = _export(predictor, way, images, folder)
    same = [argument for argument in sys.argv[1:] if argument.startswith(("--image", "--batch_size"))]
    command = [sys.executable, __file__, f"--peak_of={path}", *same]
    peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return load_exported_model(path).predict_batch, f"{int(peak) / 1e9:.2f} GB"


def _print_peak(path: str) -> None:
    from deeplab_dpc.export.exported_model import load_exported_model
    from deeplab_dpc.training.device_memory import peak_memory

    model = load_exported_model(path)
    for _ in range(3):
        model.predict_batch(_images())
    print(peak_memory())


def _print_breakdown(network: Segmenter, images: np.ndarray) -> None:
    """Prints milliseconds by operation of the folded graph, measured by TensorFlow's own tracing."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = _predictor(network, SAVED_MODEL).class_ids
    function = tf.function(model.__call__, [tf.TensorSpec([None, None, None, 3], tf.uint8)])
    frozen = convert_variables_to_constants_v2(function.get_concrete_function())
    milliseconds: collections.Counter[str] = collections.Counter()
    with tf.Graph().as_default():
        tf.import_graph_def(frozen.graph.as_graph_def(), name="")
        session = tf.compat.v1.Session()
        arguments = frozen.outputs[0].name, {frozen.inputs[0].name: images}
        options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
        for i in range(_ROUNDS.value + 3):
            metadata = tf.compat.v1.RunMetadata()
            session.run(*arguments, options=options, run_metadata=metadata)
            nodes = itertools.chain.from_iterable(device.node_stats for device in metadata.step_stats.dev_stats)
            for node in nodes if i >= 3 else ():
                operation = node.timeline_label.partition(" = ")[2].partition("(")[0] or node.timeline_label
                milliseconds[operation] += node.all_end_rel_micros / 1000 / _ROUNDS.value
    rows = [(name, f"{value:.2f}") for name, value in milliseconds.most_common(12)]
    print_table("Where the time of the SavedModel goes", ("operation", "ms (some run at the same time)"), rows)


def _seconds(run: Run, images: np.ndarray) -> float:
    start = time.perf_counter()
    run(images)
    return time.perf_counter() - start


def main(argv) -> None:
    """Prints the tables."""
    if _PEAK_OF.value:
        _print_peak(_PEAK_OF.value)
        return
    network, images = _network(), _images()
    ways = [way for way in _WAYS.value if way in KERAS or keras.backend.backend() == "tensorflow"]
    with tempfile.TemporaryDirectory() as folder:
        prepared = {way: _prepare(way, network, images, pathlib.Path(folder)) for way in ways}
        found = {way: run(images) for way, (run, _) in prepared.items()}  # traces and compiles
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(_ROUNDS.value):
            for way, (run, _) in prepared.items():
                seconds[way].append(_seconds(run, images))
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    first = ways[0]
    rows = [
        (
            way,
            f"{1000 * medians[way] / len(images):.1f}",
            f"{1000 * min(seconds[way]) / len(images):.1f}",
            f"{medians[first] / medians[way]:.2f} x",
            f"{100 * (found[way] == found[first]).mean():.2f} %",
            prepared[way][1],
        )
        for way in ways
    ]
    title = f"{network.config.model_variant}, {' x '.join(map(str, images.shape[1:3]))}, batch {len(images)}"
    columns = ("way", "ms an image", "fastest", f"of {first}", f"pixels as {first}", "peak memory")
    print_table(f"{title}, {keras.backend.backend()}", columns, rows)
    cost = summarize(network, (images.shape[1], images.shape[2])).cost
    console.print(f"{cost.multiply_adds / 1e9:.2f}B multiply-adds an image; medians of {_ROUNDS.value} rounds")
    if _BREAKDOWN.value:
        _print_breakdown(network, images)


if __name__ == "__main__":
    app.run(main)
