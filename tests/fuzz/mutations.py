"""Seeded mutations of bytes and of JSON values, for the tests that feed damaged files to the readers."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

# Numbers at which fields of binary headers change their meaning.
BOUNDARY_BYTES = (
    b"\x00",
    b"\xff",
    b"\x00\x00",
    b"\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x01\x00\x00\x00",
)
# Values that a JSON file may hold where another was expected.
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    10**30,
    1e308,
    float("nan"),
    "",
    "x" * 1000,
    "\ud800",
    "line\nend",
    [],
    {},
    [[[]]],
    {"a": {}},
)


def mutated_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    """Returns `data` with one to three mutations: flipped bits, cuts, repeats, foreign bytes or boundary numbers."""
    for _ in range(int(rng.integers(1, 4))):
        data = _BYTE_MUTATIONS[int(rng.integers(len(_BYTE_MUTATIONS)))](rng, data)
    return data


def flipped_bit(rng: np.random.Generator, data: bytes) -> bytes:
    """Returns `data` with one bit flipped."""
    if not data:
        return data
    changed = bytearray(data)
    changed[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def truncated(rng: np.random.Generator, data: bytes) -> bytes:
    """Returns the beginning of `data`."""
    return data[: int(rng.integers(len(data) + 1))]


def _deleted(rng: np.random.Generator, data: bytes) -> bytes:
    begin, end = _span(rng, data)
    return data[:begin] + data[end:]


def _repeated(rng: np.random.Generator, data: bytes) -> bytes:
    begin, end = _span(rng, data)
    return data[:end] + data[begin:]


def _inserted(rng: np.random.Generator, data: bytes) -> bytes:
    place = int(rng.integers(len(data) + 1))
    return data[:place] + rng.bytes(int(rng.integers(1, 65))) + data[place:]


def _replaced(rng: np.random.Generator, data: bytes) -> bytes:
    begin, end = _span(rng, data)
    return data[:begin] + rng.bytes(end - begin) + data[end:]


def _boundary(rng: np.random.Generator, data: bytes) -> bytes:
    place = int(rng.integers(len(data) + 1))
    value = BOUNDARY_BYTES[int(rng.integers(len(BOUNDARY_BYTES)))]
    return data[:place] + value + data[place + len(value) :]


def _span(rng: np.random.Generator, data: bytes) -> tuple[int, int]:
    begin = int(rng.integers(len(data) + 1))
    return begin, min(len(data), begin + int(rng.integers(1, 65)))


_BYTE_MUTATIONS: tuple[Callable[[np.random.Generator, bytes], bytes], ...] = (
    flipped_bit,
    flipped_bit,
    truncated,
    _deleted,
    _repeated,
    _inserted,
    _replaced,
    _boundary,
)


def mutated_json(rng: np.random.Generator, value: Any) -> Any:
    """Returns a copy of a JSON value in which one place was replaced, deleted, repeated or renamed."""
    value = copy.deepcopy(value)
    places = _places(value)
    if not places:
        return ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
    container, key = places[int(rng.integers(len(places)))]
    kind = int(rng.integers(4))
    if kind == 0:
        del container[key]
    elif kind == 1 and isinstance(container, list):
        container.insert(key, copy.deepcopy(container[key]))
    elif kind == 1:
        container[f"{key}_"] = container.pop(key)
    else:
        container[key] = copy.deepcopy(ODD_VALUES[int(rng.integers(len(ODD_VALUES)))])
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]
