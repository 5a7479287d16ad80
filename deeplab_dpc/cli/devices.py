"""Flags that say on which devices and in which processes a training runs, in DeepLab's names."""

from absl import flags

from deeplab_dpc.console import console
from deeplab_dpc.training.distribution import Devices, open_devices


def define_device_flags(values: flags.FlagValues) -> None:
    """--num_clones, --num_replicas, --task and --master."""
    flags.DEFINE_integer(
        "num_clones",
        None,
        "Devices of this process that train together; by default all its GPUs or TPUs, or the one CPU.",
        flag_values=values,
    )
    flags.DEFINE_integer("num_replicas", None, "Processes that train together (--backend=jax).", flag_values=values)
    flags.DEFINE_integer("task", None, "Which of the processes this is, from 0 on.", flag_values=values)
    flags.DEFINE_string(
        "master",
        None,
        "HOST:PORT of process 0, with --num_replicas and --task; or auto, under Slurm, Open MPI and on TPU pods.",
        flag_values=values,
    )


def devices_from_flags(values: flags.FlagValues) -> Devices:
    """The devices of these flags; of several processes, only the first prints.

    Raises:
      UserError: if the flags do not go together, or there are no such devices.
    """
    devices = open_devices(values.num_clones, values.num_replicas, values.task, values.master)
    console.quiet = not devices.is_chief
    return devices
