"""The devices and processes of a training, from its flags."""

from deeplab_dpc.cli.flags.train import DeviceFlags
from deeplab_dpc.console import console
from deeplab_dpc.training.distribution import Devices, open_devices


def devices_from_flags(flags: DeviceFlags) -> Devices:
    """Returns the devices that the flags name; with several processes, only the first prints.

    Raises:
      UserError: if the flags contradict each other, or there are no such devices.
    """
    devices = open_devices(flags.num_clones, flags.num_replicas, flags.task, flags.master)
    console.quiet = not devices.is_chief
    return devices
