"""Parts of networks from other packages, which name them as entry points; installed, they are there by their names."""

import importlib.metadata
from typing import Any

from deeplab_dpc.errors import UserError

BACKBONES = "deeplab_dpc.backbones"  # group of the entry points NAME = MODULE:CLASS


def names(group: str) -> tuple[str, ...]:
    """Returns the names in a group of entry points, sorted; nothing is imported for it."""
    return tuple(sorted(importlib.metadata.entry_points(group=group).names))


def load(group: str, name: str, kind: type) -> Any:
    """Imports what has the name in a group of entry points.

    Args:
      group: the group.
      name: one of its `names`.
      kind: class that it must be a subclass of.

    Raises:
      UserError: if several packages have that name, it cannot be imported, or it is no such class.
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
    if not (isinstance(part, type) and issubclass(part, kind)):
        raise UserError(
            f"{name} of the entry points {group} is {entry.value}, which is no subclass of {kind.__name__}."
        )
    return part
