"""The devices of a training: one device, the devices of a host, or those of several processes and hosts.

TensorFlow: tf.distribute.MirroredStrategy on one host. JAX: keras.distribution.DataParallel, and jax.distributed for
several processes. Keras fit does not work under TensorFlow's strategies for several hosts and for TPUs.
"""

import contextlib
import dataclasses
import functools
import logging
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from deeplab_dpc.config import TrainConfig
from deeplab_dpc.errors import UserError

AUTO = "auto"  # --master: the launcher of the processes (Slurm, a TPU pod, Open MPI) provides their addresses


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of a training.

    Attributes:
      count: number of devices of all processes together; a batch is shared evenly between them.
      process, num_processes: index of this process, and number of processes.
      strategy: scope in which variables are created: a tf.distribute strategy, a keras.distribution, or None for one
        device.
      agreed_to_stop: function that returns after each step whether any process was asked to stop, with the same result
        in all processes; None for one process.
    """

    count: int = 1
    process: int = 0
    num_processes: int = 1
    strategy: Any = None
    agreed_to_stop: Callable[[int], bool] | None = None

    @property
    def is_chief(self) -> bool:
        """Returns whether this process writes the files of the training."""
        return self.process == 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Returns the scope in which the network is created and trained."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def check_batch(self, config: TrainConfig) -> None:
        """Raises a UserError if the batch cannot be shared evenly."""
        parts = self.count * config.gradient_accumulation_steps
        if config.train_batch_size % parts:
            accumulated = config.gradient_accumulation_steps
            in_parts = f" in {accumulated} parts each (--gradient_accumulation_steps)" if accumulated > 1 else ""
            raise UserError(
                f"--train_batch_size={config.train_batch_size} cannot be shared evenly by {self.count} devices"
                f"{in_parts}; give a multiple of {parts}, or use fewer devices (--num_clones)."
            )


ONE_DEVICE = Devices()


def open_devices(
    num_clones: int | None = None, num_replicas: int | None = None, task: int | None = None, master: str | None = None
) -> Devices:
    """Returns the devices to train on; with several processes, waits until all of them are connected.

    It must be called before anything is computed, since the devices of a process cannot be changed afterwards.

    Args:
      num_clones: number of devices of this process; by default all its GPUs or TPUs, or the one CPU.
      num_replicas: number of processes.
      task: index of this process, from 0 on.
      master: HOST:PORT of process 0, or "auto" if the launcher of the processes provides all three; None for one
        process.

    Raises:
      UserError: if these arguments contradict each other, or there are no such devices.
    """
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise UserError(f"Training runs on --backend=tensorflow or --backend=jax, not on {backend}.")
    if num_clones is not None and num_clones < 1:
        raise UserError(f"--num_clones must be greater than 0, got {num_clones}.")
    _check_processes(num_replicas, task, master)
    if backend == "jax":
        if master:
            _join(num_replicas, task, master)
        return _jax_devices(num_clones)
    if master:
        raise UserError(
            "TensorFlow trains in one process, on all GPUs of a host; several processes or hosts (--master) need "
            "--backend=jax."
        )
    return _tensorflow_devices(num_clones)


def _check_processes(num_replicas: int | None, task: int | None, master: str | None) -> None:
    if num_replicas is not None and num_replicas < 1:
        raise UserError(f"--num_replicas must be greater than 0, got {num_replicas}.")
    if task is not None and not 0 <= task < (num_replicas or 1) and master != AUTO:
        raise UserError(f"--task must be in 0..{(num_replicas or 1) - 1} (--num_replicas), got {task}.")
    if not master:
        if num_replicas is not None and num_replicas > 1:
            raise UserError(
                f"--num_replicas={num_replicas} needs --master: HOST:PORT of process 0, or {AUTO} under Slurm, "
                "Open MPI and on TPU pods."
            )
        return
    if master == AUTO:
        if num_replicas is not None or task is not None:
            raise UserError(f"--master={AUTO} finds the number of processes: leave out --num_replicas and --task.")
        return
    host, _, port = master.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"--master must be HOST:PORT or {AUTO}, got {master}.")
    if num_replicas is None or task is None:
        raise UserError(f"--master={master} needs --num_replicas and --task, or give --master={AUTO}.")


def _tensorflow_devices(num_clones: int | None) -> Devices:
    gpus = tf.config.list_physical_devices("GPU")
    _let_tensorflow_see(gpus[:num_clones])
    if (num_clones or len(gpus)) <= 1:
        return Devices()
    kind = "GPU" if gpus else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    count = _chosen(num_clones, len(names), kind)
    return Devices(count, strategy=_mirrored_strategy(tuple(names[:count])))


@functools.cache
def _mirrored_strategy(names: tuple[str, ...]) -> tf.distribute.Strategy:
    # One per process: a second strategy would number its collective operations as the first did, and fail.
    return tf.distribute.MirroredStrategy(names)


def _let_tensorflow_see(gpus: list[Any]) -> None:
    """Keeps TensorFlow from taking the memory of the other GPUs.

    If TensorFlow is already in use, because several commands run in one process, this has no effect; the devices used
    for training are the same.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices(gpus, "GPU")


def _join(num_replicas: int | None, task: int | None, master: str) -> None:
    """Connects this process to the others."""
    import jax

    # Only affects CPUs, where processes cannot communicate without it.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # It logs long messages about proxies.
    logging.getLogger("jax._src.distributed").setLevel(logging.ERROR)
    if master != AUTO:
        # Otherwise JAX would use one GPU per process under Slurm, regardless of CUDA_VISIBLE_DEVICES.
        jax.distributed.initialize(master, num_replicas, task, cluster_detection_method="deactivate")
        return
    try:
        jax.distributed.initialize()
    except ValueError as error:  # Other errors concern connections, and their messages say so.
        raise UserError(
            f"--master={AUTO} found no Slurm, Open MPI or TPU pod ({error}); give --master=HOST:PORT, "
            "--num_replicas and --task."
        ) from error


def _jax_devices(num_clones: int | None) -> Devices:
    import jax
    from jax.experimental import multihost_utils

    _let_tensorflow_see([])
    kind = jax.default_backend().upper()
    num_processes = jax.process_count()
    local = _chosen(num_clones, jax.local_device_count(), kind)
    chosen: list[Any] = []
    for process in range(num_processes):
        own = [device for device in jax.devices() if device.process_index == process]
        chosen += sorted(own, key=lambda device: device.id)[:local]
    if len(chosen) != local * num_processes:
        raise UserError("The processes have different numbers of devices; give the same --num_clones to all.")
    if len(chosen) == 1:
        return Devices()
    strategy = keras.distribution.DataParallel(devices=chosen, auto_shard_dataset=False)
    agreed = multihost_utils.reached_preemption_sync_point if num_processes > 1 else None
    return Devices(len(chosen), jax.process_index(), num_processes, strategy, agreed)


def _chosen(num_clones: int | None, available: int, kind: str) -> int:
    """Returns the number of devices of this process that are used."""
    if num_clones is None:
        return 1 if kind == "CPU" else available
    if num_clones > available:
        raise UserError(f"--num_clones={num_clones} is more than the {available} {kind} device(s) of this process.")
    return num_clones
