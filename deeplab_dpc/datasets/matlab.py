"""Structs of MATLAB files (version 5 to 7, as the PASCAL annotations are), with one-sentence error messages."""

from typing import Any

import numpy as np

from deeplab_dpc.datasets.mat_format import DamagedError, OtherVersionError, Struct, read_variables
from deeplab_dpc.errors import UserError


def read_struct(data: bytes, title: str, variable: str) -> Struct:
    """Returns a struct; `field` and `elements` return its parts.

    Args:
      data: contents of the file.
      title: name of the file in messages.
      variable: name of the struct.

    Raises:
      UserError: if the file is damaged or has no such struct.
    """
    try:
        variables = read_variables(data)
    except OtherVersionError as error:
        raise UserError(f"The MATLAB file {title} is of version 7.3; save it again in MATLAB with -v7.") from error
    except DamagedError as error:
        if str(error) == "no header":
            raise UserError(f"The file {title} is not a MATLAB file of version 5 to 7.") from error
        raise _damaged(title, error) from error
    found = variables.get(variable)
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], Struct):
        raise UserError(f"The MATLAB file {title} has no struct {variable}.")
    return found[0]


def field(value: Any, name: str, title: str) -> Any:
    """Returns a field of a struct.

    Raises:
      UserError: if it is not a struct with that field, or damaged there.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, Struct) or name not in value:
        raise UserError(f"The MATLAB file {title} lacks the field {name}.")
    try:
        return value[name]
    except DamagedError as error:
        raise _damaged(title, error) from error


def elements(value: Any) -> list[Any]:
    """Returns the elements of a struct array or cell array; other values are returned as they are, and `field` refuses
    them.
    """
    if isinstance(value, list):
        return value
    return [] if isinstance(value, np.ndarray) and not value.size else [value]


def matrix(value: Any, name: str, title: str) -> np.ndarray:
    """Returns a matrix of integers in 0..255: uint8 [height, width].

    Raises:
      UserError: if the value is something else.
    """
    is_matrix = isinstance(value, np.ndarray) and value.ndim == 2 and value.size > 0
    if not is_matrix or not np.all((value >= 0) & (value <= 255) & (value == np.round(value))):
        raise UserError(f"The field {name} of the MATLAB file {title} is not a matrix of integers in 0..255.")
    ids: np.ndarray = value.astype(np.uint8)
    return ids


def _damaged(title: str, error: Exception) -> UserError:
    return UserError(f"The MATLAB file {title} is damaged or cut off ({error}).")
