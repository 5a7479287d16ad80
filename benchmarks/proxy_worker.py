"""A process that holds one form of the proxy's evaluator, and scores the cells that it receives.

Each form has a process of its own, so that its peak memory is known and no form uses what another has compiled. The
parent process imports neither Keras nor a backend.
"""

import dataclasses
import multiprocessing
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any, Protocol

from proxy_timing import Timing

from deeplab_dpc.arch.cell import Cell
from deeplab_dpc.errors import UserError

PLAIN, PLAIN_XLA, PROJECT, PRODUCT = "plain", "plain_xla", "project", "product"
FORMS = {
    PLAIN: "plain Keras",
    PLAIN_XLA: "plain Keras with XLA",
    PROJECT: "one network per cell",
    PRODUCT: "ProxyEvaluator",
}
# Several forms run at the same time, so none may reserve a GPU's memory for itself.
SHARED_MEMORY = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A form with its options.

    Attributes:
      form: name of the form, in FORMS.
      precision: float32 or bfloat16.
      nodes: number of nodes of the separated loss; 0 for the exact loss.
      batch_size: images per step.
      learning_rate: initial learning rate.
      seed: seed of weights, order and dropout.
      most_seconds: seconds after which the training of a cell with Keras' step is stopped.
      views: number of views of each training image in the cache, of which a step takes one; 0 for each image once.
    """

    form: str
    precision: str
    nodes: int
    batch_size: int
    learning_rate: float
    seed: int
    most_seconds: float
    views: int = 0

    def __str__(self) -> str:
        loss = f"k = {self.nodes}" if self.nodes else "exact"
        return f"{FORMS[self.form]}, {self.precision}, {loss}" + (f", {self.views} views" if self.views else "")

    def cache(self, path: pathlib.Path) -> pathlib.Path:
        """Returns the directory of the feature cache, given the `path` of the one without views."""
        return path.with_name(f"{path.name}_views_{self.views}") if self.views else path


class Form(Protocol):
    """A form of the evaluator, which scores cells."""

    def score(self, cell: Cell, steps: int) -> Timing:
        """Trains the cell from scratch and scores it."""
        ...


class Product:
    """The project's evaluator through its interface.

    Args:
      cache: feature cache.
      variant: options of the form.
    """

    def __init__(self, cache: Any, variant: Variant):
        from deeplab_dpc.config import SearchConfig
        from deeplab_dpc.search.proxy.proxy_evaluator import ProxyEvaluator

        config = SearchConfig(
            proxy_batch_size=variant.batch_size,
            proxy_learning_rate=variant.learning_rate,
            proxy_loss_nodes=variant.nodes,
            proxy_precision=variant.precision,
            seed=variant.seed,
        )
        self._evaluator = ProxyEvaluator(cache, config, "train")

    def score(self, cell: Cell, steps: int) -> Timing:
        """Scores a cell, see Form."""
        from deeplab_dpc.search.proxy.cell_evaluator import Candidate

        start = time.perf_counter()
        (score,) = self._evaluator.evaluate([Candidate(cell)], [steps])
        if not score.step_seconds:
            raise ValueError("ProxyEvaluator must say what a step took (ProxyScore.step_seconds), got 0.")
        return Timing(score.steps, time.perf_counter() - start, score.step_seconds, score.miou, score.loss)


def make_form(variant: Variant, cache: Any) -> Form:
    """Returns the form of a variant; a form with several candidates at a time would be added here."""
    if variant.form == PRODUCT:
        return Product(cache, variant)
    from plain_proxy import PlainForm, ProjectForm

    from deeplab_dpc.layers import kernels

    training = (variant.batch_size, variant.learning_rate, variant.precision, variant.seed, variant.most_seconds)
    if variant.form == PROJECT:
        return ProjectForm(cache, *training, kernels.JIT_COMPILE, nodes=variant.nodes)
    return PlainForm(cache, *training, True if variant.form == PLAIN_XLA else "auto")


class Worker:
    """The process of a variant, seen from its parent.

    Args:
      variant: variant to measure.
      cache: directory of the feature cache without views.

    Attributes:
      start_seconds: seconds for creating the form.
    """

    def __init__(self, variant: Variant, cache: pathlib.Path):
        os.environ.update(SHARED_MEMORY)
        self.variant = variant
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, variant, variant.cache(cache)), daemon=True)
        self._process.start()
        other.close()
        self.start_seconds: float = self._answer()

    def score(self, cell: Cell, steps: int) -> Timing:
        """Returns the timing of scoring the cell."""
        return self._ask("score", cell, steps)

    def peak_memory(self) -> int:
        """Returns the peak memory in bytes, of the accelerator if there is one."""
        return self._ask("peak_memory")

    def device(self) -> str:
        """Returns the name of the device."""
        return self._ask("device")

    def measure_parts(self, steps: Sequence[Any], rounds: int) -> tuple[Any, list[dict[str, float]]]:
        """Returns the ceilings, and the seconds of each part of each proxy_count.Step; the steps differ only in the
        loss.
        """
        return self._ask("measure_parts", steps, rounds)

    def close(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.join()

    def _ask(self, *question: Any) -> Any:
        self._connection.send(question)
        return self._answer()

    def _answer(self) -> Any:
        try:
            return self._connection.recv()
        except EOFError as error:
            raise UserError(f"The process of `{self.variant}` ended; what it said is above.") from error


def _serve(connection: Any, variant: Variant, cache: pathlib.Path) -> None:
    from deeplab_dpc.search.proxy.feature_cache import open_cache

    start = time.perf_counter()
    form = make_form(variant, open_cache(cache))
    connection.send(time.perf_counter() - start)
    actions = {"score": form.score, "peak_memory": peak_memory, "device": device, "measure_parts": measure_parts}
    while True:
        try:
            name, *arguments = connection.recv()
        except EOFError:
            return
        connection.send(actions[name](*arguments))


def measure_parts(steps: Sequence[Any], rounds: int) -> tuple[Any, list[dict[str, float]]]:
    """Returns the ceilings, and the seconds of each part of each step; see Worker."""
    from proxy_parts import PartTimer

    timer = PartTimer(steps[0], rounds)
    return timer.ceilings(), [PartTimer(step, rounds, timer.known).parts() for step in steps]


def peak_memory() -> int:
    """Returns the peak memory of this process, or of the accelerator that it uses."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        stats = jax.local_devices()[0].memory_stats()
        if stats is not None:
            return stats["peak_bytes_in_use"]
    else:
        import tensorflow as tf

        if tf.config.list_logical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    # getrusage reports at least the peak of the parent process.
    fields = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(fields["VmHWM"].split()[0])


def device() -> str:
    """Returns the backend, its version and its device."""
    import keras

    if keras.backend.backend() == "jax":
        import jax

        kind, version = jax.local_devices()[0].device_kind, jax.__version__
    else:
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        kind = tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "cpu"
        version = tf.__version__
    return f"{keras.backend.backend()} {version}, Keras {keras.__version__}, {kind}, {os.cpu_count()} CPU cores"
