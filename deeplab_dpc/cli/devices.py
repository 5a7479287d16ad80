"""The devices and processes of a training, from its flags."""

from absl import flags

from deeplab_dpc.console import console
from deeplab_dpc.training.distribution import Devices, open_devices


def devices_from_flags(values: flags.FlagValues) -> Devices:
    """Returns the devices of these flags; with several processes, only the first prints.

    Raises:
      UserError: if the flags contradict each other, or there are no such devices.
    """
    devices = open_devices(values.num_clones, values.num_replicas, values.task, values.master)
    console.quiet = not devices.is_chief
    return devices
