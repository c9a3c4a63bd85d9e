"""MATLAB files, level 5 (saved with -v6 or -v7), read with every bound checked.

`scipy.io.loadmat` trusts what it reads: of damaged files, one in thirty ends the process with a
segmentation fault, which no program can answer with a message. What is read comes in its forms.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

_TAG, _WORD = struct.Struct("<II"), struct.Struct("<I")
_LARGEST = 1 << 32
"""Bytes that a compressed variable may unpack to."""
_COMPRESSED, _MATRIX = 15, 14
_STORED = {
    number: np.dtype(code)
    for number, code in zip(
        (1, 2, 3, 4, 5, 6, 7, 9, 12, 13),
        ("<i1", "<u1", "<i2", "<u2", "<i4", "<u4", "<f4", "<f8", "<i8", "<u8"),
        strict=True,
    )
}
_ENCODING = {1: "latin-1", 2: "utf-8", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}
_CELL, _STRUCT, _CHAR, _COMPLEX = 1, 2, 4, 0x800
_SCALAR = struct.pack("<6I", 5, 8, 1, 1, 1, 0)
"""What follows the flags of a matrix 1 x 1 without a name."""
_NUMERIC = {
    number: np.dtype(code)
    for number, code in enumerate(("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), 6)
}


def read_mat(data: bytes, name: str, fields: frozenset[str] | None = None) -> npt.NDArray[Any]:
    """The variable ``name`` of a MATLAB file (level 5, little-endian; saved with -v6 or -v7).

    In the forms of `scipy.io.loadmat`: numbers and texts are arrays, a struct array is an object
    array with named fields, a cell array an object array. ``fields``: the fields of structs that
    are read; others are None, as are contents of other classes (sparse, complex, objects).
    Raises ``ValueError``, ``KeyError``, ``struct.error`` or ``zlib.error`` on other files.
    """
    if data[124:128] != b"\x00\x01IM":
        raise ValueError("no MATLAB file of level 5 (-v7)")
    at = 128
    while at < len(data):
        kind, start, end, following = _element(data, at, len(data))
        content = data[start:end]
        if kind == _COMPRESSED:  # not padded
            following = end
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(content, _LARGEST)
            if not unpacker.eof:
                raise ValueError(f"a compressed variable that ends too early, or has over {_LARGEST} bytes")
            kind, start, end, _ = _element(unpacked, 0, len(unpacked))
            content = unpacked[start:end]
        if kind == _MATRIX and _head(content, 0, len(content))[2] == name:
            return np.asarray(_matrix(content, 0, len(content), fields))
        at = following
    raise KeyError(name)


def _element(data: bytes, at: int, limit: int) -> tuple[int, int, int, int]:
    """Type, start and end of an element's content, and where the next element starts."""
    kind, size = _TAG.unpack_from(data, at)
    start, following = at + 8, at + 8 + (size + 7) // 8 * 8
    if kind >> 16:  # a short one: its size in the upper half, its content in the second word
        kind, size, start, following = kind & 0xFFFF, kind >> 16, at + 4, at + 8
    if start + size > limit or size > following - start:
        raise ValueError("an element that ends after its container")
    return kind, start, start + size, following


def _head(data: bytes, at: int, limit: int) -> tuple[int, tuple[int, ...], str, int]:
    """Flags and class, dimensions and name of a matrix, and where its content starts."""
    _, start, _, at = _element(data, at, limit)
    (flags,) = _WORD.unpack_from(data, start)
    _, start, end, at = _element(data, at, limit)
    dims = struct.unpack_from(f"<{(end - start) // 4}i", data, start)
    if len(dims) < 2 or min(dims) < 0:
        raise ValueError(f"a matrix of dimensions {dims[:4]}")
    _, start, end, at = _element(data, at, limit)
    return flags, dims, data[start:end].decode("latin-1"), at


def _matrix(data: bytes, at: int, limit: int, fields: frozenset[str] | None) -> npt.NDArray[Any] | None:
    """The matrix whose content is ``data[at:limit]``; None where its class is not read."""
    if at == limit:
        return np.zeros((0, 0))
    flags, dims, _, at = _head(data, at, limit)
    kind, count = flags & 0xFF, math.prod(dims)
    if kind == _STRUCT:
        return _struct(data, at, limit, dims, fields)
    if kind == _CELL:
        cells = np.empty(_checked(count, at, limit), np.object_)
        for i in range(count):
            cells[i], at = _inner(data, at, limit, fields)
        return cells.reshape(dims, order="F")
    if kind == _CHAR:
        stored, start, end, _ = _element(data, at, limit)
        return _chars(data[start:end].decode(_ENCODING[stored], "replace"), dims)
    return _numeric(data, at, limit, flags, dims)


def _numeric(data: bytes, at: int, limit: int, flags: int, dims: tuple[int, ...]) -> npt.NDArray[Any] | None:
    kind = flags & 0xFF
    if kind not in _NUMERIC or flags & _COMPLEX:
        return None
    stored, start, end, _ = _element(data, at, limit)
    numbers = np.frombuffer(data, _STORED[stored], math.prod(dims), start)
    if numbers.nbytes != end - start:
        raise ValueError(f"{end - start} bytes for a matrix {dims[:4]}")
    return numbers.astype(_NUMERIC[kind], copy=False).reshape(dims, order="F")


def _struct(
    data: bytes, at: int, limit: int, dims: tuple[int, ...], fields: frozenset[str] | None
) -> npt.NDArray[Any]:
    _, start, _, at = _element(data, at, limit)
    (length,) = struct.unpack_from("<i", data, start)
    _, start, end, at = _element(data, at, limit)
    if length < 1 or (end - start) % length:
        raise ValueError("names of fields of uneven lengths")
    names = [data[i : i + length].split(b"\0")[0].decode("latin-1") for i in range(start, end, length)]
    count = math.prod(dims)
    _checked(count * max(1, len(names)), at, limit)
    array = np.empty(count, [(name, np.object_) for name in names])
    columns = [array[name] if fields is None or name in fields else None for name in names]
    for i in range(count):
        for column in columns:
            if column is None:
                at = _element(data, at, limit)[3]
            else:
                column[i], at = _inner(data, at, limit, fields)
    return array.reshape(dims, order="F")


def _inner(
    data: bytes, at: int, limit: int, fields: frozenset[str] | None
) -> tuple[npt.NDArray[Any] | None, int]:
    """A matrix within another, and where the next one starts."""
    kind, start, end, following = _element(data, at, limit)
    if kind != _MATRIX:
        raise ValueError(f"type {kind} where a matrix should be")
    if data[start + 16 : start + 40] == _SCALAR:  # nearly all are, so not through _head
        (flags,) = _WORD.unpack_from(data, start + 8)
        if flags & 0xFF in _NUMERIC:
            return _numeric(data, start + 40, end, flags, (1, 1)), following
    return _matrix(data, start, end, fields), following


def _checked(count: int, at: int, limit: int) -> int:
    """``count``, if so many matrices can be there: each takes 8 bytes at least."""
    if 8 * count > limit - at:
        raise ValueError(f"{count} matrices in {limit - at} bytes")
    return count


def _chars(text: str, dims: tuple[int, ...]) -> npt.NDArray[Any]:
    """Texts, one for each row; none for an empty array."""
    if len(dims) != 2 or dims[0] < 2:
        return np.array([text] if text else [], np.str_)
    if len(text) != math.prod(dims):
        raise ValueError(f"{len(text)} characters for {dims}")
    return np.array(["".join(text[row :: dims[0]]) for row in range(dims[0])])
