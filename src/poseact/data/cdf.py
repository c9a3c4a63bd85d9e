"""CDF files (NASA's Common Data Format, versions 2.6 and 3), as Human3.6M's poses come in.

Such a file is a web of records that point at each other. cdflib believes the counts in them, and one
damaged byte can make it loop two thousand million times; so the wanted variable is followed here, and
every count is held against the bytes of the file.
"""

from __future__ import annotations

import math
import mmap
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poseact.errors import UserError

REMEDY = "get it again from its official source"


def load_cdf(path: Path, name: str) -> npt.NDArray[Any]:
    """The numbers of the variable ``name`` in a CDF file: (records, *dimensions).

    Raises `UserError` where the file is missing or damaged, lacks the variable, or is packed
    otherwise than by gzip.
    """
    array: npt.NDArray[Any] = _with_cdf(path, name, lambda cdf: cdf.values(cdf.variable(name)))
    return array


def cdf_shape(path: Path, name: str) -> tuple[int, ...]:
    """The shape that `load_cdf` would give, without reading the numbers; raises as it does."""
    shape: tuple[int, ...] = _with_cdf(path, name, lambda cdf: cdf.variable(name).shape)
    return shape


def _with_cdf(path: Path, name: str, question: Callable[[_Cdf], Any]) -> Any:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return question(_Cdf(data))
    except OSError as error:
        raise UserError(f"{path}: expected a file, got {error.strerror}; check the path") from None
    except Exception as error:  # a damaged file leads anywhere
        raise UserError(f"{path}: expected a CDF file with {name!r}, got {error!r}; {REMEDY}") from None


@dataclass(frozen=True)
class _Variable:
    """``shape``: records, then dimensions. ``index``: where the first record of its index lies."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    columns_first: bool
    index: int


_WHOLE, _INDEX, _VALUES, _PACKED_VALUES = 10, 6, 7, 13
"""Kinds of records; the first is that of a file which is packed as a whole."""
_GLOBAL = "oiooooiiiii"
_VARIABLE = "oioiiooiiiiiiioi"
"""Fields of the records that describe the file and a variable, up to what follows them here."""
_NUMBERS = {
    1: "i1", 2: "i2", 4: "i4", 8: "i8", 11: "u1", 12: "u2", 14: "u4",
    21: "f4", 22: "f8", 41: "i1", 44: "f4", 45: "f8",
}  # fmt: skip
_BIG_ENDIAN, _LITTLE_ENDIAN = (1, 2, 5, 7, 9, 11, 12, 18), (4, 6, 13, 16, 17)
"""Kinds of computers, whose numbers the values are."""
_ROWS_FIRST, _ONE_FILE = 1, 2
"""Flags of the file."""
_MOST = 10_000
"""More entries of a list than this are taken for damage."""
_CLOSEST = 1100
"""Gzip packs less than this many bytes into one."""


class _Cdf:
    """The bytes of a CDF file, unpacked where it is packed as a whole."""

    def __init__(self, data: mmap.mmap) -> None:
        magic = data[:4]
        if magic not in (b"\xcd\xf3\x00\x01", b"\xcd\xf2\x60\x02"):
            raise ValueError(f"the first bytes {magic!r}")
        self.wide = magic[1] == 0xF3  # version 3
        self.limit = _CLOSEST * len(data)
        self.data: mmap.mmap | bytes = data
        size, kind, method = self.numbers(8, "oio")
        if kind == _WHOLE:
            if self.numbers(method, "oii")[2] != 5:
                raise ValueError("another packing than gzip")
            self.data = data[:8] + self.unpacked(8 + self.size("oiooi"), 8 + size, self.limit)

    def size(self, kinds: str) -> int:
        return sum(8 if kind == "o" and self.wide else 4 for kind in kinds)

    def numbers(self, at: int, kinds: str) -> tuple[int, ...]:
        """Numbers that follow each other: ``i`` one of 4 bytes, ``o`` an offset or a size."""
        if at < 8:  # struct would count from the end
            raise ValueError(f"the offset {at}")
        return struct.unpack_from(">" + kinds.replace("o", "q" if self.wide else "i"), self.data, at)

    def several(self, at: int, count: int, kind: str = "i") -> tuple[int, ...]:
        if not 0 <= count <= _MOST:
            raise ValueError(f"a list of {count}")
        return self.numbers(at, kind * count)

    def unpacked(self, start: int, end: int, most: int) -> bytes:
        """At most ``most`` of the bytes that are packed from ``start`` to ``end``."""
        return zlib.decompressobj(wbits=31).decompress(self.data[start:end], most)

    def variable(self, name: str) -> _Variable:
        _, _, file, _, _, computer, flags = self.numbers(8, "oioiiii")
        _, _, r_first, z_first, _, _, r_count, _, _, r_dimensions, z_count = self.numbers(file, _GLOBAL)
        if not flags & _ONE_FILE or computer not in _BIG_ENDIAN + _LITTLE_ENDIAN:
            raise ValueError("one of several files, or of another kind of computer")
        if (at := self._find(name, z_first, z_count)) is not None:
            end = self._name_end(at)
            (count,) = self.numbers(end, "i")
            sizes, varying = self.several(end + 4, count), self.several(end + 4 + 4 * count, count)
        elif (at := self._find(name, r_first, r_count)) is not None:  # dimensions shared by all
            sizes = self.several(file + self.size(_GLOBAL + "oiii"), r_dimensions)
            varying = self.several(self._name_end(at), r_dimensions)
        else:
            raise ValueError("no such variable")
        _, _, _, number, last, index, _, own, *_ = self.numbers(at, _VARIABLE)
        dtype = np.dtype((">" if computer in _BIG_ENDIAN else "<") + _NUMBERS[number])
        shape = (last + 1 if own & 1 else 1, *(n for n, v in zip(sizes, varying, strict=True) if v))
        if math.prod(shape) * dtype.itemsize > self.limit:
            raise ValueError(f"{shape} numbers in so small a file")
        return _Variable(shape, dtype, not flags & _ROWS_FIRST, index)

    def _find(self, name: str, first: int, count: int) -> int | None:
        """Where the record of the variable ``name`` lies, in a chain of ``count``."""
        at = first
        for _ in range(min(count, _MOST)):
            text = self.data[at + self.size(_VARIABLE) : self._name_end(at)]
            if text.rstrip(b"\0 ") == name.encode():
                return at
            at = self.numbers(at, "oio")[2]
        return None

    def _name_end(self, at: int) -> int:
        return at + self.size(_VARIABLE) + (256 if self.wide else 64)

    def values(self, variable: _Variable) -> npt.NDArray[Any]:
        records, *sizes = variable.shape
        width = math.prod(sizes) * variable.dtype.itemsize
        native = variable.dtype.newbyteorder("=")
        if not records * width:
            return np.empty(variable.shape, native)
        data, filled = bytearray(records * width), 0
        for first, last, at in self._blocks(variable.index):
            count = min(last + 1, records) - first  # a block may be longer than what is used
            if first < 0 or count < 1 or filled + count > records:
                raise ValueError("records in disorder")
            data[first * width : (first + count) * width] = self._block(at, count * width)
            filled += count
        if filled != records:
            raise ValueError(f"{filled} records of {records}")
        array = np.frombuffer(data, variable.dtype)
        if variable.columns_first:
            array = array.reshape(records, *sizes[::-1]).transpose(0, *range(len(sizes), 0, -1))
        return array.reshape(variable.shape).astype(native)

    def _blocks(self, index: int) -> Iterator[tuple[int, int, int]]:
        """First and last record, and place, of each block in the chain and tree of the index."""
        waiting, seen = [index], set[int]()
        while waiting:
            at = waiting.pop()
            if at in seen or len(seen) > _MOST:
                raise ValueError("an index without end")
            seen.add(at)
            _, kind, following, count, used = self.numbers(at, "oioii")
            if kind != _INDEX or not 0 <= used <= count:
                raise ValueError(f"an index of kind {kind}")
            start = at + self.size("oioii")
            firsts, lasts = self.several(start, count), self.several(start + 4 * count, count)
            places = self.several(start + 8 * count, count, "o")
            for first, last, place in zip(firsts[:used], lasts[:used], places[:used], strict=True):
                if self.numbers(place, "oi")[1] == _INDEX:
                    waiting.append(place)
                else:
                    yield first, last, place
            if following:
                waiting.append(following)

    def _block(self, at: int, wanted: int) -> bytes:
        size, kind = self.numbers(at, "oi")
        start, end = at + self.size("oi"), at + size
        if kind == _PACKED_VALUES:
            block = self.unpacked(start + self.size("io"), end, wanted)
        elif kind == _VALUES:
            block = self.data[start : min(end, start + wanted)]
        else:
            raise ValueError(f"a block of kind {kind}")
        if len(block) != wanted:
            raise ValueError(f"{len(block)} bytes of {wanted}")
        return block
