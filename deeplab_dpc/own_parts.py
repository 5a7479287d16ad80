"""Parts of other installed packages, which register them by name as entry points."""

import functools
import importlib.metadata
from typing import Any

from deeplab_dpc.errors import UserError

BACKBONES = "deeplab_dpc.backbones"  # group of the entry points NAME = MODULE:CLASS
OPERATIONS = "deeplab_dpc.operations"  # NAME = MODULE:CLASS
SAMPLERS = "deeplab_dpc.samplers"  # NAME = MODULE:MAKER


@functools.cache
def names(group: str) -> tuple[str, ...]:
    """Returns the names in a group of entry points, sorted, without importing anything; they are read once."""
    return tuple(sorted(importlib.metadata.entry_points(group=group).names))


def load(group: str, name: str, kind: type | None = None) -> Any:
    """Imports and returns the part with a name in a group of entry points.

    Args:
      group: group of entry points, such as BACKBONES.
      name: one of the `names` of the group.
      kind: required base class of the part; None if the part must be a function.

    Raises:
      UserError: if several packages have that name, it cannot be imported, or it is not such a class or function.
    """
    found = list(importlib.metadata.entry_points(group=group, name=name))
    if len(found) > 1:
        places = " and ".join(entry.value for entry in found)
        raise UserError(f"Several installed packages have the name {name} in {group}: {places}; uninstall one of them.")
    [entry] = found
    try:
        part = entry.load()
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"{name} of the entry points {group} is {entry.value}, which cannot be imported: {error}."
        ) from error
    if not (callable(part) if kind is None else isinstance(part, type) and issubclass(part, kind)):
        what = "function" if kind is None else f"subclass of {kind.__name__}"
        raise UserError(f"{name} of the entry points {group} is {entry.value}, which is not a {what}.")
    return part
