"""The memory of the machine."""

import pathlib

MEMINFO = pathlib.Path("/proc/meminfo")


def available_system_memory() -> int | None:
    """Returns the bytes that processes can still take, including caches that the system would drop; None where the
    system does not report them (macOS).
    """
    if not MEMINFO.exists():
        return None
    fields = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    return 1024 * int(fields["MemAvailable"].split()[0])
