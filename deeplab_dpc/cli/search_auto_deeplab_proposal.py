"""The estimate of deeplab-dpc search --algorithm=auto_deeplab --propose_only: the search space, the supernet, time and
memory; nothing is written.
"""

import datetime
import math
import statistics
import time
from collections.abc import Callable

from deeplab_dpc.arch.genotype_space import count_cells, count_decodable_cells
from deeplab_dpc.arch.trellis import count_paths, count_paths_from_first_layer
from deeplab_dpc.console import console, print_table
from deeplab_dpc.search.auto_deeplab import search_program
from deeplab_dpc.search.auto_deeplab.checkpoints import flatten
from deeplab_dpc.search.auto_deeplab.plan import Plan
from deeplab_dpc.search.auto_deeplab.streams import Streams
from deeplab_dpc.training.device_memory import peak_memory

TIMED = 3  # calls after the one that compiles


def propose(streams: Streams, plan: Plan) -> None:
    """Prints the estimate, for which a few steps of each kind are timed."""
    config, info = plan.config, streams.dataset.info
    supernet = search_program.SearchProgram(config, info.num_classes, info.ignore_label, plan.num_steps)
    state = supernet.initial_state()
    num_weights = sum(math.prod(tensor.shape) for tensor in flatten({"weights": state["weights"]}).values())
    blocks, layers = config.num_blocks, config.num_layers
    halves = len(streams.halves.weights), len(streams.halves.architecture)
    print_table(
        "What is searched",
        ("of the search", "number or pixels"),
        [
            ("cells", f"{count_cells(blocks):,}"),
            ("cells that decoding can give", f"{count_decodable_cells(blocks):,}"),
            ("paths", f"{count_paths(layers):,}"),
            ("paths with the first layer at stride 4", f"{count_paths_from_first_layer(layers):,}"),
            ("weights of the supernet", f"{num_weights:,}"),
            ("images of the halves", f"{halves[0]:,} and {halves[1]:,}"),
            ("crop", " x ".join(map(str, streams.data.train_crop_size))),
            ("evaluated size", " x ".join(map(str, streams.view.crop_size))),
            ("steps of the weights", f"{plan.num_steps:,}"),
            ("steps of alphas and betas", f"{plan.num_architecture_steps:,}"),
        ],
    )
    console.print("Timing a few steps of each kind.")
    weight_batch, architecture_batch = next(streams.weights(0)), next(streams.architecture(0))

    def train_weights() -> None:
        nonlocal state
        state, loss = supernet.train_weights(state, *weight_batch, 0.0)
        float(loss)

    def train_architecture() -> None:
        float(supernet.train_architecture(state, *architecture_batch, 0)[1])

    weight_seconds, architecture_seconds = _median_seconds(train_weights), _median_seconds(train_architecture)
    peak = peak_memory()
    evaluated = next(streams.evaluation())
    evaluation_seconds = _median_seconds(lambda: supernet.confusion(state, *evaluated))
    batches = -(-info.splits[config.eval_split] // config.search_batch_size)
    total = (
        plan.num_steps * weight_seconds
        + plan.num_architecture_steps * architecture_seconds
        + config.search_epochs * batches * evaluation_seconds
    )
    print_table(
        "What it takes",
        ("of the search", "time or memory"),
        [
            ("a step of the weights", f"{weight_seconds:.3f} s"),
            ("a step of alphas and betas", f"{architecture_seconds:.3f} s"),
            ("an evaluation", f"{batches * evaluation_seconds:.1f} s"),
            ("the whole search", f"about {datetime.timedelta(seconds=round(total))}"),
            ("memory of the steps", f"{peak / 1e9:.2f} GB at most"),
            ("memory with the evaluation", f"{peak_memory() / 1e9:.2f} GB at most"),
        ],
    )


def _median_seconds(call: Callable[[], object]) -> float:
    """Returns the median seconds of a call, after one that compiles."""
    call()
    seconds = []
    for _ in range(TIMED):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
