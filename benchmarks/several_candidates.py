"""Seconds per candidate-step when several candidates are trained at a time, in one run; on JAX only.

    KERAS_BACKEND=jax python benchmarks/several_candidates.py
    KERAS_BACKEND=jax python benchmarks/several_candidates.py --size=paper --precisions=bfloat16 --loss_nodes=0,4

Weights, statistics and wiring of K candidates are stacked, and the step of ProxyEvaluator is mapped over them. A switch
that is mapped computes all its cases, so in addition to `any cell` there is `fixed kinds`: the operation of each branch
is fixed when the program is traced and the same in all candidates, and rates and inputs are data.
"""

import functools
import pathlib
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import jax
import keras
import numpy as np
from absl import app, flags
from generated_cache import IGNORE_LABEL, Size, parse_size, write_generated_cache
from jax import numpy as jnp

from deeplab_dpc.arch.cell import Branch, Cell
from deeplab_dpc.arch.operations import AtrousConv
from deeplab_dpc.arch.space import SearchSpace
from deeplab_dpc.console import print_table
from deeplab_dpc.search.proxy.cell_network import CellNetwork
from deeplab_dpc.search.proxy.cell_weights import InitialWeights, initial_statistics
from deeplab_dpc.search.proxy.feature_cache import open_cache
from deeplab_dpc.search.proxy.training_step import FEATURES, TrainingStep, initial_state
from deeplab_dpc.search.proxy.wiring import Capacity, kind_of, wire
from deeplab_dpc.training.losses import SegmentationLoss
from deeplab_dpc.training.separated_loss import SeparatedLoss

_SIZE = flags.DEFINE_string("size", "camvid", "Of random features: camvid, paper, or HEIGHT,WIDTH,CHANNELS,CLASSES.")
_COUNTS = flags.DEFINE_list("candidates", ["1", "2", "4", "8"], "How many at a time.")
_PRECISIONS = flags.DEFINE_list("precisions", ["float32"], "float32, bfloat16.")
_LOSS_NODES = flags.DEFINE_list("loss_nodes", ["4"], "Of the separated loss; 0 for the exact one.")
_STEPS = flags.DEFINE_integer("steps", 4, "A call.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Alternations.", lower_bound=1)

BATCH_SIZE = 8
BRANCHES = 5
GRID = 8
IMAGES = 16
DECAY = 0.99


class FixedKinds(CellNetwork):
    """A cell in which every branch is an atrous convolution; its inputs and rates are data."""

    def _chosen(
        self, i: int, operations: Sequence[Any], wiring: dict[str, Any], features: Any, outputs: Sequence[Any]
    ) -> Any:
        if not outputs:
            return operations[kind_of(AtrousConv)](features)
        # All have one width, so that an earlier output can take the place of the features.
        sources = [jnp.pad(x, ((0, 0),) * 3 + ((0, self.width - x.shape[-1]),)) for x in (features, *outputs)]
        return operations[kind_of(AtrousConv)](
            jax.lax.switch(wiring["source"], [functools.partial(lambda x: x, x) for x in sources])
        )


def _cells(count: int) -> list[Cell]:
    """Returns random cells whose operations are replaced by atrous convolutions, as most of the space's are."""
    rng, space = random.Random(0), SearchSpace()
    cells = []
    for _ in range(count):
        branches = [
            Branch(branch.input, AtrousConv((rng.choice(space.rates), rng.choice(space.rates))))
            for branch in space.sample(rng).branches
        ]
        cells.append(Cell(tuple(branches)))
    return cells


def _runner(network: CellNetwork, loss: Any, cells: list[Cell], size: Size, arrays: dict[str, Any]) -> Any:
    """Returns a function that takes _STEPS steps of all cells and waits for them."""
    step, initial = TrainingStep(network, loss), InitialWeights(network, 0)
    states = [initial_state(initial.of(cell), initial_statistics(network)) for cell in cells]
    wirings = [wire(cell, network.capacity, (size.height, size.width), 16) for cell in cells]
    state, wiring = (jax.tree.map(lambda *parts: jnp.stack(parts), *values) for values in (states, wirings))
    rows = np.random.default_rng(0).integers(0, IMAGES, (_STEPS.value, BATCH_SIZE)).astype("int32")

    def one(state: Any, wiring: Any, batch: Any, seed: Any) -> Any:
        gradient = jax.value_and_grad(step.losses, has_aux=True)
        (loss, statistics), gradients = gradient(state["weights"], wiring, batch, seed)
        return step.updated(state, gradients, statistics, 0.01, DECAY), loss

    @functools.partial(jax.jit, donate_argnums=0)
    def run(state: Any, wiring: Any, arrays: Any) -> Any:
        def take(i: Any, state: Any) -> Any:
            batch = {name: values[jnp.asarray(rows)[i]] for name, values in arrays.items()}
            if len(cells) == 1 and not isinstance(network, FixedKinds):
                # As ProxyEvaluator does: a mapped switch would compute all cases.
                first = functools.partial(jax.tree.map, lambda x: x[0])
                return jax.tree.map(lambda x: x[None], one(first(state), first(wiring), batch, i)[0])
            return jax.vmap(one, in_axes=(0, 0, None, None))(state, wiring, batch, i)[0]

        return jax.lax.fori_loop(0, _STEPS.value, take, state)

    def call() -> None:
        nonlocal state
        state = jax.block_until_ready(run(state, wiring, arrays))

    return call


def _cases(size: Size) -> dict[tuple[str, ...], Any]:
    with tempfile.TemporaryDirectory() as folder:
        write_generated_cache(pathlib.Path(folder) / "features", size, train=IMAGES, val=1)
        split = open_cache(pathlib.Path(folder) / "features").split("train")
        features, labels = np.array(split.features), np.array(split.labels)
    label_size = (size.label_height, size.label_width)
    runners = {}
    for nodes in map(int, _LOSS_NODES.value):
        arrays = {FEATURES: jnp.asarray(features)}
        loss: Any
        if nodes:
            loss = SeparatedLoss((size.height, size.width), label_size, size.classes, IGNORE_LABEL, nodes)
            arrays |= {name: jnp.asarray(part) for name, part in loss.targets(labels).rows(slice(None)).items()}
        else:
            exact = SegmentationLoss(IGNORE_LABEL)
            loss = lambda targets, logits, exact=exact: exact(targets["labels"].astype("int32"), logits)  # noqa: E731
            arrays["labels"] = jnp.asarray(labels)
        for precision in _PRECISIONS.value:
            for count in map(int, _COUNTS.value):
                for form, network in (("any cell", CellNetwork), ("fixed kinds", FixedKinds)):
                    built = network(size.channels, size.classes, Capacity(BRANCHES, GRID), precision)
                    key = (str(count), form, precision, str(nodes) if nodes else "exact")
                    runners[key] = _runner(built, loss, _cells(count), size, arrays)
    return runners


def main(argv) -> None:
    """Prints the table."""
    if keras.backend.backend() != "jax":
        raise SystemExit("Set KERAS_BACKEND=jax: candidates are mapped over by jax.vmap.")
    size = parse_size(_SIZE.value)
    runners = _cases(size)
    seconds: dict[tuple[str, ...], list[float]] = {key: [] for key in runners}
    for run in runners.values():
        run()  # compiles
    for _ in range(_ROUNDS.value):
        for key, run in runners.items():
            start = time.perf_counter()
            run()
            seconds[key].append((time.perf_counter() - start) / (_STEPS.value * int(key[0])))
    rows = []
    for key, found in seconds.items():
        one = statistics.median(seconds[("1", "any cell", *key[2:])]) if "1" in _COUNTS.value else float("nan")
        each = statistics.median(found)
        rows.append((*key, f"{1e3 * each:.0f}", f"{one / each:.2f}"))
    columns = ("candidates", "form", "precision", "loss nodes", "ms a candidate-step", "against one, any cell")
    print_table(f"{size}, batch {BATCH_SIZE}, {jax.local_devices()[0].device_kind}", columns, rows)


if __name__ == "__main__":
    app.run(main)
