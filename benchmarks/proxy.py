"""The speed of the proxy: candidate-steps per second of its evaluator and of plain Keras, alternating, in one run.

    python benchmarks/proxy.py
    KERAS_BACKEND=jax python benchmarks/proxy.py
    python benchmarks/proxy.py --size=paper --random_cells=1 --rounds=1 --steps=5 --precisions=float32
    python benchmarks/proxy.py --forms=product --views=0,6 --rounds=5 --noparts
    python benchmarks/proxy.py --whole --forms=plain,product --precisions=float32 --loss_nodes=4
    python benchmarks/proxy.py --feature_cache=DIR --steps=400 --rounds=3 --new_seeds --most_seconds=inf --noparts

The forms are plain Keras with the loss at every label pixel (float32), the same with XLA (plain_xla; on TensorFlow,
whose CPU form Keras does not compile by itself), the project's layers trained by Keras' step, one network per cell, and
ProxyEvaluator. Each has a process of its own and gets the same cells in turn: the named ones and draws from the whole
space. Then follow the parts of a step of the first cell, each measured alone, with their least cost by arithmetic and
by bytes (counted in proxy_count.py).
"""

import contextlib
import itertools
import pathlib
import random
import sys
import tempfile
from collections.abc import Iterator

import proxy_tables
from absl import app, flags
from generated_cache import parse_size, size_of, write_generated_cache
from proxy_count import Step
from proxy_tables import Measured
from proxy_worker import FORMS, PLAIN, PLAIN_XLA, PRODUCT, PROJECT, Variant, Worker

from deeplab_dpc import files
from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.arch.library import load_cell
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.console import console
from deeplab_dpc.errors import UserError
from deeplab_dpc.search.proxy.feature_cache import open_cache

_SIZE = flags.DEFINE_string("size", "camvid", "Of random features: camvid, paper, or HEIGHT,WIDTH,CHANNELS,CLASSES.")
_FEATURE_CACHE = flags.DEFINE_string("feature_cache", None, "Directory of a feature cache, instead of random features.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 8, "Images a step.", lower_bound=1)
_LEARNING_RATE = flags.DEFINE_float("learning_rate", 0.01, "At the start; poly decay.", lower_bound=0.0)
_CELLS = flags.DEFINE_list("cells", ["dpc_top1"], "Names or files of cells, the first of which is taken to parts.")
_RANDOM_CELLS = flags.DEFINE_integer("random_cells", 2, "Draws from the whole space, beside.", lower_bound=0)
_STEPS = flags.DEFINE_integer("steps", 10, "Of each cell.", lower_bound=4)
_ROUNDS = flags.DEFINE_integer("rounds", 2, "Alternations of all cells and forms.", lower_bound=1)
_MOST_SECONDS = flags.DEFINE_float("most_seconds", 15.0, "After which a cell on Keras' step is broken off.")
_FORMS = flags.DEFINE_list("forms", [PLAIN, PROJECT, PRODUCT], f"What is compared, of {', '.join(FORMS)}.")
_PRECISIONS = flags.DEFINE_list("precisions", ["float32", "bfloat16"], "Of ProxyEvaluator and of the parts.")
_LOSS_NODES = flags.DEFINE_list("loss_nodes", ["0", "4"], "Of the separated loss; 0 for the exact one.")
_VIEWS = flags.DEFINE_list("views", ["0"], "Of each training image, of which a step of ProxyEvaluator takes one.")
_SEED = flags.DEFINE_integer("seed", 0, "Of the draws, of weights, order and dropout.")
_NEW_SEEDS = flags.DEFINE_bool("new_seeds", False, "Whether each round has the next seed, and processes of its own.")
_WHOLE = flags.DEFINE_bool("whole", False, "Whether to score 20 cells for 100 steps each instead of computing it.")
_PARTS = flags.DEFINE_bool("parts", True, "Whether to measure the parts of a step.")
_JSON = flags.DEFINE_string("json", None, "File that gets all that was measured.")

GENERATED_IMAGES = {"train": 16, "val": 8}
ACTIVATION_BYTES = {"float32": 4, "bfloat16": 2}
flags.register_validator("forms", lambda names: names and set(names) <= set(FORMS), f"must be of {', '.join(FORMS)}")
flags.register_validator(
    "precisions", lambda names: set(names) <= set(ACTIVATION_BYTES), f"must be of {', '.join(ACTIVATION_BYTES)}"
)
flags.register_validator("views", lambda counts: all(count.isdigit() for count in counts), "must be integers >= 0")
flags.register_validator("loss_nodes", lambda counts: all(count.isdigit() for count in counts), "must be integers >= 0")


def _variants() -> list[Variant]:
    def variant(form: str, precision: str, nodes: int, views: int = 0) -> Variant:
        most_seconds = float("inf") if _WHOLE.value else _MOST_SECONDS.value
        return Variant(
            form, precision, nodes, _BATCH_SIZE.value, _LEARNING_RATE.value, _SEED.value, most_seconds, views
        )

    found = []
    nodes = [int(value) for value in _LOSS_NODES.value]
    for form in _FORMS.value:
        if form in (PLAIN, PLAIN_XLA):
            found.append(variant(form, "float32", 0))
        elif form == PROJECT:
            found += [variant(form, "float32", value) for value in nodes]
        else:
            views = [int(value) for value in _VIEWS.value]
            found += [variant(form, *each) for each in itertools.product(_PRECISIONS.value, nodes, views)]
    return found


def _cells() -> dict[str, Cell]:
    rng, space = random.Random(_SEED.value), SearchSpace()
    count = proxy_tables.WHOLE_CELLS - len(_CELLS.value) if _WHOLE.value else _RANDOM_CELLS.value
    drawn = {f"draw {i}": space.sample(rng) for i in range(count)}
    return {name: load_cell(name) for name in _CELLS.value} | drawn


@contextlib.contextmanager
def _cache() -> Iterator[pathlib.Path]:
    """Yields the given feature cache, or a generated one for the time of the run."""
    if _FEATURE_CACHE.value:
        if _VIEWS.value != ["0"]:
            raise UserError("--views are of generated features; a --feature_cache has the views that it has.")
        yield pathlib.Path(_FEATURE_CACHE.value)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "features"
        for variant in {variant.views: variant for variant in _variants()}.values():
            size = parse_size(_SIZE.value)
            write_generated_cache(variant.cache(path), size, **GENERATED_IMAGES, views=variant.views)
        yield path


def _measure(variants: list[Variant], cells: dict[str, Cell], cache: pathlib.Path) -> tuple[list[Measured], str]:
    """Returns the measurements of all rounds of all forms, and the name of the device."""
    found = [Measured(variant) for variant in variants]
    steps, rounds = (proxy_tables.WHOLE_STEPS, 1) if _WHOLE.value else (_STEPS.value, _ROUNDS.value)
    with contextlib.ExitStack() as stack:
        for number in range(rounds):
            if number == 0 or _NEW_SEEDS.value:
                stack.close()
                for measured in found:
                    measured.start(stack, cache, _SEED.value + number)
            for (name, cell), measured in itertools.product(cells.items(), found):
                measured.score(number, name, cell, steps)
            for measured in found:
                measured.keep_peak()
        return found, found[0].worker.device()


def _parts(cell: Cell, cache: pathlib.Path, variants: list[Variant]) -> list[proxy_tables.Parts]:
    """Returns the parts of ProxyEvaluator's variants; those of one precision share a process."""
    found = []
    for precision in _PRECISIONS.value:
        own = [variant for variant in variants if variant.form == PRODUCT and variant.precision == precision]
        if not own:
            continue
        active = ACTIVATION_BYTES[precision]
        size = size_of(open_cache(own[0].cache(cache)))
        steps = [Step(cell, size, variant.batch_size, variant.nodes, active) for variant in own]
        with contextlib.closing(Worker(own[0], cache)) as worker:
            ceilings, seconds = worker.measure_parts(steps, 3 + _STEPS.value // 2)
        found += [proxy_tables.Parts(*each, ceilings, parts) for *each, parts in zip(own, steps, seconds, strict=True)]
    return found


def _run() -> None:
    cells, variants = _cells(), _variants()
    with _cache() as cache:
        size = size_of(open_cache(variants[0].cache(cache)))
        measured, device = _measure(variants, cells, cache)
        title = f"{size}, batch {_BATCH_SIZE.value}, {device}"
        for name, cell in cells.items():
            console.print(f"{name}: {cell.summary()}")
        proxy_tables.print_forms(title, measured, _WHOLE.value, bool(_FEATURE_CACHE.value))
        proxy_tables.print_projection(measured)
        parts = _parts(next(iter(cells.values())), cache, variants) if _PARTS.value else []
    for part in parts:
        proxy_tables.print_parts(part, measured, next(iter(cells)))
    if _JSON.value:
        everything = {
            "title": title,
            "cells": {name: cell.to_json() for name, cell in cells.items()},
            "forms": [one.to_json() for one in measured],
            "parts": [part.to_json() for part in parts],
        }
        files.write_json(pathlib.Path(_JSON.value), everything)


def main(argv) -> None:
    """Prints the tables."""
    try:
        _run()
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    app.run(main)
