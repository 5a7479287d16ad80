"""Images per second of the input pipeline and of the published order of augmentation, alternating, in one run.

    python benchmarks/input_pipeline.py

The data are generated pairs of 1024 x 2048 pixels (as Cityscapes has), once as PNG and once as JPEG; crops of 769 x
769, scales 0.5 to 2. "published order" decodes, scales the whole image, pads and crops (published_order.py) on the same
reader.
"""

import itertools
import pathlib
import statistics
import tempfile
import time

import numpy as np
import published_order
import tensorflow as tf
from absl import app, flags
from PIL import Image

from deeplab_dpc.console import print_table
from deeplab_dpc.data import pipeline
from deeplab_dpc.data.dataset_info import Dataset, pascal_palette
from deeplab_dpc.data.example import decode_example, parse_example
from deeplab_dpc.data.preprocess import Augmentation
from deeplab_dpc.data.record_index import index_records
from deeplab_dpc.data.record_order import WHOLE, record_order, with_contents
from deeplab_dpc.datasets.pictures import encode_png
from deeplab_dpc.datasets.records import RawExample, build_records
from deeplab_dpc.datasets.segmentation_builder import Classes

_IMAGES = flags.DEFINE_integer("images", 16, "Pairs of the generated data sets.")
_BATCHES = flags.DEFINE_integer("batches", 6, "Batches of each run, after one to start.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Alternations, of which the median counts.")
BATCH_SIZE = 4
NUM_CLASSES = 19
AUGMENTATION = Augmentation((769, 769), 0.5, 2.0, 0.25, flip_probability=0.5)


def _scene(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a smooth picture with some noise, and large regions, about as compressible as photographs are."""
    rng = np.random.default_rng(index)
    rows, columns = np.mgrid[:1024, :2048].astype("float32")
    waves = sum(
        np.sin(rows / a + b)[..., None] * np.cos(columns / c + d)[..., None] * rng.uniform(0, 40, 3)
        for a, b, c, d in rng.uniform(20, 200, (4, 4))
    )
    image = np.clip(128 + waves + rng.normal(0, 4, (1024, 2048, 3)), 0, 255).astype("uint8")
    label = (rows // 128 + columns // 256).astype("uint8") % NUM_CLASSES
    return image, label


def _build(root: pathlib.Path, image_format: str) -> Dataset:
    examples = []
    for i in range(_IMAGES.value):
        image, label = _scene(i)
        path = root / f"{i}.{image_format}"
        Image.fromarray(image).save(path, quality=92) if image_format == "jpg" else path.write_bytes(encode_png(image))
        name = str(path)
        examples.append(
            RawExample(path.name, lambda p=path, n=name: (p.read_bytes(), n), lambda x=label, n=name: (x, n), [i])
        )
    names = tuple(f"class_{i}" for i in range(NUM_CLASSES))
    classes = Classes(names, pascal_palette(NUM_CLASSES), 255)
    return build_records(image_format, classes, {"train": examples}, root / "data")


def _published(dataset: Dataset) -> tf.data.Dataset:
    index = index_records(dataset.shards("train"))

    def load(running_index, record, serialized):
        example = decode_example(parse_example(serialized))
        seed = tf.stack([tf.constant(0, tf.int64), tf.cast(running_index, tf.int64)])
        seeds = tf.random.fold_in(seed, 0), tf.random.fold_in(seed, 1)
        return published_order.augment(example["image"], example["label"][..., 0], AUGMENTATION, 255, *seeds)

    records = with_contents(record_order(range(len(index)), seed=0, batch_size=BATCH_SIZE, step=0, shard=WHOLE), index)
    batches = records.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH_SIZE, drop_remainder=True)
    return batches.prefetch(tf.data.AUTOTUNE)


def _images_a_second(batches: tf.data.Dataset) -> float:
    stream = iter(batches)
    next(stream)
    start = time.perf_counter()
    count = sum(len(label) for _, label in itertools.islice(stream, _BATCHES.value))
    return count / (time.perf_counter() - start)


def main(argv) -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        rows = []
        for image_format in ("png", "jpg"):
            (root / image_format).mkdir()
            dataset = _build(root / image_format, image_format)
            streams = {"published order": _published(dataset)}
            for cache in ("none", "disk", "memory"):
                streams[f"cache {cache}"] = pipeline.training_dataset(
                    dataset, "train", AUGMENTATION, batch_size=BATCH_SIZE, seed=0, cache=cache
                )
            rates: dict[str, list[float]] = {name: [] for name in streams}
            for _ in range(_ROUNDS.value):
                for name, stream in streams.items():
                    rates[name].append(_images_a_second(stream))
            medians = {name: statistics.median(values) for name, values in rates.items()}
            rows += [
                (f"{image_format}, {name}", f"{rate:.1f}", f"{rate / medians['published order']:.2f} x")
                for name, rate in medians.items()
            ]
    print_table("Crops of 769 x 769 from 1024 x 2048", ("input", "images a second", "of the published order"), rows)


if __name__ == "__main__":
    app.run(main)
