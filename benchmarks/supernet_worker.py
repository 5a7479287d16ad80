"""A process that holds one form of the supernet and takes the requested steps, for supernet.py."""

import dataclasses
import multiprocessing
import os
import time
from typing import Any, Protocol

import numpy as np
from proxy_worker import SHARED_MEMORY, device, peak_memory

from deeplab_dpc.config import AutoDeepLabConfig
from deeplab_dpc.errors import UserError

PROJECT, REMATERIALIZED, PLAIN = "project", "rematerialized", "plain"
FORMS = {
    PROJECT: "SearchProgram",
    REMATERIALIZED: "SearchProgram, --rematerialize",
    PLAIN: "each operator of each edge on its own",
}
WEIGHTS, ARCHITECTURE = "weights", "architecture"
NUM_STEPS = 1000  # steps of the search, on which the decay of the moving averages depends


@dataclasses.dataclass(frozen=True)
class Variant:
    """A form with its options.

    Attributes:
      form: name of the form, in FORMS.
      config: configuration of the search.
      num_classes: number of classes of the labels.
      crop: height and width in pixels, 32k + 1.
    """

    form: str
    config: AutoDeepLabConfig
    num_classes: int
    crop: int

    def batch(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns images and labels of noise."""
        rng = np.random.default_rng(seed)
        size = (self.config.search_batch_size, self.crop, self.crop)
        images = rng.uniform(0, 255, (*size, 3)).astype("float32")
        return images, rng.integers(0, self.num_classes, size).astype("int32")


class Form(Protocol):
    """A form of the supernet; each method takes a step with a batch of its own and returns the loss."""

    def weights(self) -> float: ...

    def architecture(self) -> float: ...


class Project:
    """The form with the project's program; see Form."""

    def __init__(self, variant: Variant):
        from deeplab_dpc.search.auto_deeplab.search_program import SearchProgram

        config = dataclasses.replace(variant.config, rematerialize=variant.form == REMATERIALIZED)
        self._program = SearchProgram(config, variant.num_classes, 255, NUM_STEPS)
        self._state = self._program.initial_state()
        self._rate = config.weight_learning_rate
        self._batches = variant.batch(0), variant.batch(1)
        self._count = 0

    def weights(self) -> float:
        self._state, loss = self._program.train_weights(self._state, *self._batches[0], self._rate)
        return float(loss)

    def architecture(self) -> float:
        self._state, loss = self._program.train_architecture(self._state, *self._batches[1], self._count)
        self._count += 1
        return float(loss)


def make_form(variant: Variant) -> Form:
    """Returns the form of a variant."""
    if variant.form != PLAIN:
        return Project(variant)
    from plain_supernet_steps import PlainSteps

    return PlainSteps(variant.config, variant.num_classes, NUM_STEPS, variant.batch(0), variant.batch(1))


class Worker:
    """The process of a variant, seen from its parent."""

    def __init__(self, variant: Variant):
        os.environ.update(SHARED_MEMORY)
        self.variant = variant
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, variant), daemon=True)
        self._process.start()
        other.close()

    def steps(self, kind: str, count: int) -> tuple[list[float], float]:
        """Returns the seconds of each of some steps of WEIGHTS or ARCHITECTURE, and the loss of the last one."""
        return self._ask(kind, count)

    def peak_memory(self) -> int:
        """Returns the peak memory in bytes, of the accelerator if there is one."""
        return self._ask("peak_memory")

    def device(self) -> str:
        """Returns the name of the device."""
        return self._ask("device")

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.join()

    def _ask(self, *question: Any) -> Any:
        self._connection.send(question)
        try:
            return self._connection.recv()
        except EOFError as error:
            raise UserError(f"The process of `{FORMS[self.variant.form]}` ended; what it said is above.") from error


def _serve(connection: Any, variant: Variant) -> None:
    form = make_form(variant)

    def timed(step: Any, count: int) -> tuple[list[float], float]:
        seconds, loss = [], 0.0
        for _ in range(count):
            start = time.perf_counter()
            loss = step()
            seconds.append(time.perf_counter() - start)
        return seconds, loss

    actions = {
        WEIGHTS: lambda count: timed(form.weights, count),
        ARCHITECTURE: lambda count: timed(form.architecture, count),
        "peak_memory": peak_memory,
        "device": device,
    }
    while True:
        try:
            name, *arguments = connection.recv()
        except EOFError:
            return
        connection.send(actions[name](*arguments))
