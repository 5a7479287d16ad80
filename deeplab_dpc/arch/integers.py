"""Integers and pairs of integers in arguments and JSON."""

from typing import Any

from deeplab_dpc.errors import UserError


def is_integer(value: Any) -> bool:
    """Returns whether `value` is an int; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_pair(name: str, value: Any) -> None:
    """Raises a UserError unless `value` is a tuple of two integers >= 1."""
    if not (isinstance(value, tuple) and len(value) == 2 and all(is_integer(side) and side >= 1 for side in value)):
        raise UserError(f"`{name}` must be two integers >= 1, (height, width), got {value!r}.")


def pair(value: Any) -> Any:
    """Returns a scalar as a pair of equal sides and a list as a tuple; `check_pair` rejects anything else."""
    if is_integer(value):
        return (value, value)
    return tuple(value) if isinstance(value, list) else value
