"""Level 5 MAT-files (MathWorks, MAT-File Format), read without trusting the sizes that they state.

SciPy's reader ends the process on some damaged files. This one reads the types in the annotations of PASCAL (structs,
cells, texts and real matrices), one level at a time, so that unused values cost nothing.
"""

import dataclasses
import math
import struct
import zlib
from typing import Any

import numpy as np

MAX_INFLATED = 2**30  # bytes of a variable
_HEADER_BYTES, _TAG_BYTES = 128, 8
_VERSION_7_3 = 0x0200
_MATRIX, _COMPRESSED, _UTF8, _UTF16, _UTF32 = 14, 15, 16, 17, 18
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", _UTF8: "utf-8", _UTF16: "utf-16", _UTF32: "utf-32"}
_CELL, _STRUCT, _OBJECT, _CHAR = 1, 2, 3, 4
_NUMERIC = range(6, 16)  # double, single, and integers of 8 to 64 bits
_COMPLEX = 0x0800


class DamagedError(ValueError):
    """The error for bytes that are not a complete MAT-file."""


class OtherVersionError(ValueError):
    """The error for a file of version 7.3, which is HDF5."""


@dataclasses.dataclass(frozen=True)
class Struct:
    """A struct: the encoded value of each field.

    Attributes:
      fields: encoded matrices by name.
      order: byte order, "<" or ">".
    """

    fields: dict[str, memoryview]
    order: str

    def __getitem__(self, name: str) -> Any:
        """Returns the value of a field, see `decoded`."""
        return decoded(self.fields[name], self.order)

    def __contains__(self, name: object) -> bool:
        return name in self.fields


@dataclasses.dataclass(frozen=True)
class Unread:
    """A value of a class that is not read (sparse, complex, a function)."""


def read_variables(data: bytes) -> dict[str, Any]:
    """Returns the variables of a file by name, see `decoded`.

    Raises:
      DamagedError: if it is not a complete file. Compressed variables have a checksum; of others only the sizes are
        checked.
      OtherVersionError: if it is of version 7.3.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[_HEADER_BYTES - 2 : _HEADER_BYTES])
    if order is None:
        raise DamagedError("no header")
    (version,) = struct.unpack_from(f"{order}H", data, _HEADER_BYTES - 4)
    if version == _VERSION_7_3:
        raise OtherVersionError
    variables = {}
    rest = memoryview(data)[_HEADER_BYTES:]
    while rest:
        kind, content, rest = _element(rest, order, padded=False)
        if kind == _COMPRESSED:
            kind, content, _ = _element(memoryview(_inflated(content)), order)
        if kind != _MATRIX:
            raise DamagedError(f"an element of type {kind}")
        name = _Matrix(content, order).name
        if name in variables:
            raise DamagedError(f"the variable {name!r} twice")
        variables[name] = decoded(content, order)
    return variables


def _inflated(content: memoryview) -> bytes:
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(content, MAX_INFLATED)
    except zlib.error as error:
        raise DamagedError(str(error)) from error
    if not inflater.eof:
        raise DamagedError("it is cut off")
    return data


def _element(data: memoryview, order: str, padded: bool = True) -> tuple[int, memoryview, memoryview]:
    """Returns the type and the content of the first element, and the bytes after it.

    Args:
      data: bytes that begin with the element's tag.
      order: byte order.
      padded: bool, whether elements begin at multiples of 8 bytes.
    """
    if len(data) < _TAG_BYTES:
        raise DamagedError("it is cut off")
    kind, size = struct.unpack(f"{order}II", data[:_TAG_BYTES])
    if kind >> 16:  # four bytes or less, in the tag itself
        kind, size = kind & 0xFFFF, kind >> 16
        if size > 4:
            raise DamagedError("a small element that is large")
        return kind, data[4 : 4 + size], data[_TAG_BYTES:]
    content = data[_TAG_BYTES : _TAG_BYTES + size]
    if len(content) < size:
        raise DamagedError("it is cut off")
    return kind, content, data[_TAG_BYTES + (-(-size // 8) * 8 if padded else size) :]


class _Matrix:
    """The head of an array, and the elements after it.

    Attributes:
      kind: class of the array.
      is_complex: bool, whether it has an imaginary part.
      shape: extents of the array.
      name: name of a variable; empty in a struct or cell.
      rest: elements after the name.
    """

    def __init__(self, data: memoryview, order: str):
        _, flags, data = _element(data, order)
        _, extents, data = _element(data, order)
        _, name, self.rest = _element(data, order)
        if len(flags) < 4 or len(extents) % 4 or len(extents) < 8:
            raise DamagedError("an array without class or extents")
        (word,) = struct.unpack(f"{order}I", flags[:4])
        self.kind, self.is_complex = word & 0xFF, bool(word & _COMPLEX)
        self.shape = struct.unpack(f"{order}{len(extents) // 4}i", extents)
        if min(self.shape) < 0:
            raise DamagedError("an array of negative extents")
        self.name = bytes(name).decode("latin-1")
        self.count = math.prod(self.shape)


def decoded(data: memoryview, order: str) -> Any:
    """Returns the value of an encoded matrix, its fields and cells still encoded.

    Args:
      data: content of an element of the type matrix.
      order: byte order.

    Returns:
      A list of `Struct`, or of the values of a cell array; text; an array of the stated extents; or `Unread`.

    Raises:
      DamagedError: if sizes contradict each other.
    """
    if not data:
        return np.zeros((0, 0))
    matrix = _Matrix(data, order)
    if matrix.kind in (_STRUCT, _OBJECT):
        return _structs(matrix, order)
    if matrix.kind == _CELL:
        return [decoded(content, order) for content in _matrices(matrix.rest, matrix.count, order)]
    if matrix.kind == _CHAR:
        return _text(matrix, order)
    if matrix.kind in _NUMERIC and not matrix.is_complex:
        kind, content, _ = _element(matrix.rest, order)
        if kind not in _NUMBERS:
            raise DamagedError(f"numbers of type {kind}")
        numbers = np.frombuffer(content, _checked_type(kind, len(content), order))
        if len(numbers) != matrix.count:
            raise DamagedError(f"{len(numbers)} numbers for {matrix.count} places")
        return numbers.reshape(matrix.shape, order="F")
    return Unread()


def _checked_type(kind: int, size: int, order: str) -> np.dtype:
    dtype = np.dtype(f"{order}{_NUMBERS[kind]}")
    if size % dtype.itemsize:
        raise DamagedError("a part of a number")
    return dtype


def _structs(matrix: _Matrix, order: str) -> list[Struct]:
    rest = matrix.rest
    if matrix.kind == _OBJECT:
        _, _, rest = _element(rest, order)
    _, length_data, rest = _element(rest, order)
    _, names_data, rest = _element(rest, order)
    length = struct.unpack(f"{order}i", length_data)[0] if len(length_data) == 4 else 0
    if length <= 0 or len(names_data) % length:
        raise DamagedError("a struct without names of its fields")
    names = [
        bytes(names_data[start : start + length]).partition(b"\0")[0].decode("latin-1")
        for start in range(0, len(names_data), length)
    ]
    if len(set(names)) < len(names) or not (names or matrix.count <= 1):
        raise DamagedError("a struct with two fields of one name, or none")
    values = _matrices(rest, matrix.count * len(names), order)
    starts = range(0, len(values), len(names)) if names else range(matrix.count)
    return [Struct(dict(zip(names, values[start : start + len(names)], strict=True)), order) for start in starts]


def _matrices(data: memoryview, count: int, order: str) -> list[memoryview]:
    """Returns the content of `count` consecutive matrices."""
    if count * _TAG_BYTES > len(data):
        raise DamagedError("it is cut off")
    contents = []
    for _ in range(count):
        kind, content, data = _element(data, order)
        if kind != _MATRIX:
            raise DamagedError(f"an element of type {kind}")
        contents.append(content)
    return contents


def _text(matrix: _Matrix, order: str) -> str:
    """Returns the text of a row of characters; for several rows, the characters in the order of the file."""
    kind, content, _ = _element(matrix.rest, order)
    encoding = _TEXTS.get(kind)
    if encoding is None:
        raise DamagedError(f"text of type {kind}")
    if encoding in ("utf-16", "utf-32"):
        encoding += {"<": "-le", ">": "-be"}[order]
    try:
        text = bytes(content).decode(encoding)
    except UnicodeDecodeError as error:
        raise DamagedError("text that is none") from error
    if kind in _NUMBERS and len(content) != matrix.count * np.dtype(_NUMBERS[kind]).itemsize:
        raise DamagedError(f"{len(text)} characters for {matrix.count} places")
    return text
