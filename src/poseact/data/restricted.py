"""Pickled containers that others wrote, read without running what they ask for.

A pickle is a program. Here it may build numbers, text, lists, dicts, tuples, sets and numpy
arrays, and nothing else: every name it asks for is answered by a function of this file or a plain
built-in type, and any other name is refused before it is looked up. No function of numpy sees a
size that the file made up: arrays are made from the bytes that are there.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poseact.errors import UserError

LARGEST = 4 * 2**30
"""Files, and members of archives when unpacked, of more bytes than this are refused."""
REMEDY = "get it again from its official source"
ENCODING = "latin1"
"""How numpy's pickles of Python 2 keep their bytes."""


def load_pickle(path: Path) -> Any:
    """The plain data in a pickle: see the module. An ``OrderedDict`` comes back as a dict.

    Raises `UserError` where the file is missing, too large or damaged, and where it asks for
    anything but plain data and numpy arrays, naming what it asked for.
    """
    return _unpickle(_read(path), str(path))


def load_npy(path: Path) -> npt.NDArray[Any]:
    """The array in a .npy file, which may hold plain objects; raises as `load_pickle`."""
    return _parse_npy(_read(path), str(path))


def load_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a .npz file by name, which may hold plain objects; raises as `load_pickle`.

    Objects that were saved without an array around them come as arrays of no dimension:
    ``load_npz(path)["positions_3d"].item()``.
    """
    data = _read(path)
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if (size := sum(info.file_size for info in archive.infolist())) > LARGEST:
                raise UserError(f"{path}: {size} bytes unpacked, expected at most {LARGEST}; check the file")
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                arrays[name] = _parse_npy(archive.read(info), f"{path}: {info.filename}")
    except UserError:
        raise
    except Exception as error:  # zipfile raises many kinds on damaged files
        raise UserError(f"{path}: expected an .npz file, got {error!r}; {REMEDY}") from None
    return arrays


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise UserError(f"{path}: {size} bytes, expected at most {LARGEST}; check the file")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: expected a file, got {error.strerror}; check the path") from None


def _parse_npy(data: bytes, name: str) -> npt.NDArray[Any]:
    file = io.BytesIO(data)
    try:
        shape, fortran, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
        if dtype == np.dtype(object):
            array = _unpickle(data[file.tell() :], name)
            if not isinstance(array, np.ndarray) or array.shape != shape:
                raise ValueError(f"an array {shape} announced, {type(array).__name__} found")
            return array
        return _array(data[file.tell() :], dtype, shape, fortran)
    except UserError:
        raise
    except Exception as error:  # numpy raises many kinds on damaged headers
        raise UserError(f"{name}: expected a numpy array, got {error!r}; {REMEDY}") from None


_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,  # differs only in the names of structured arrays
}


def _array(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool) -> npt.NDArray[Any]:
    """An array of its own out of exactly the bytes that it needs."""
    count = _count(shape)
    if dtype.hasobject or count * dtype.itemsize != len(data):
        raise ValueError(f"{shape} of {dtype} in {len(data)} bytes")
    if not count:
        return np.empty(shape, dtype)
    return np.frombuffer(data, dtype, count).reshape(shape, order="F" if fortran else "C").copy("K")


def _count(shape: tuple[int, ...]) -> int:
    if not isinstance(shape, tuple) or any(not isinstance(n, int) or n < 0 for n in shape):
        raise ValueError("a shape that is none")
    return math.prod(shape)


def _unpickle(data: bytes, name: str) -> Any:
    try:
        _check_memo(data)
        return _resolved(_Unpickler(io.BytesIO(data), name).load(), {})
    except UserError:
        raise
    except Exception as error:  # a damaged pickle raises nearly any kind
        raise UserError(f"{name}: expected pickled plain data, got {error!r}; {REMEDY}") from None


def _check_memo(data: bytes) -> None:
    """The unpickler reserves memory up to the largest index, so indices must be as many as are used."""
    for number, (code, index, _) in enumerate(pickletools.genops(data)):
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and not (isinstance(index, int) and index <= number):
            raise ValueError(f"memo index {index}")


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, name: str) -> None:
        super().__init__(file, encoding=ENCODING)
        self._name = name

    def find_class(self, module: str, name: str, /) -> Any:
        function = _ADMITTED.get((module, name))
        if function is None:
            raise UserError(
                f"{self._name}: expected plain data and numpy arrays, but it asks for "
                f"{f'{module}.{name}'[:100]!r}, which may run code; refused: {REMEDY}"
            )
        return _Admitted(function)

    def persistent_load(self, pid: Any, /) -> Any:
        raise UserError(f"{self._name}: expected plain data, but it refers to data outside; {REMEDY}")


class _Admitted:
    """A function that a pickle may call and do nothing else with."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise ValueError("a state for a function")


class _Dtype:
    """Stands for a dtype of one number, text or object while the pickle is read."""

    __slots__ = ("value",)

    def __init__(self, code: str, *_: Any) -> None:
        if not isinstance(code, str):
            raise ValueError("a dtype of several parts")
        self.value = np.dtype(code)
        if self.value.names is not None or self.value.subdtype is not None:
            raise ValueError("a dtype of several parts")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, *parts = state
        if any(part is not None for part in parts[:3]) or order not in ("<", ">", "|", "="):
            raise ValueError("a dtype of several parts")
        self.value = self.value.newbyteorder(order)


class _Array:
    """Stands for an array while the pickle is read: its contents come after it."""

    __slots__ = ("value",)

    def __init__(self, *_: Any) -> None:
        self.value: npt.NDArray[Any] = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *_, shape, dtype, fortran, data = state
        if dtype.value != np.dtype(object):
            self.value = _array(_raw(data), dtype.value, shape, bool(fortran))
            return
        if not isinstance(data, list) or len(data) != _count(shape):
            raise ValueError("another number of objects than announced")
        flat = np.empty(len(data), object)
        for i, item in enumerate(data):
            flat[i] = item
        self.value = flat.reshape(shape)


def _raw(data: bytes | bytearray | str) -> bytes:
    return data.encode(ENCODING) if isinstance(data, str) else bytes(memoryview(data))


def _scalar(dtype: _Dtype, data: bytes | str) -> Any:
    return _array(_raw(data), dtype.value, (), False)[()]


def _from_buffer(
    data: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str, axes: tuple[int, ...] | None = None
) -> _Array:
    result = _Array()
    if order == "K" and axes is not None:
        result.value = _array(_raw(data), dtype.value, shape, False).transpose(axes)
    else:
        result.value = _array(_raw(data), dtype.value, shape, order == "F")
    return result


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"the encoding {encoding!r}")
    return text.encode(ENCODING)


def _bytes(*content: Any) -> bytes:
    """As ``bytes``, but no zeros by the number."""
    return b"".join(_raw(part) for part in content)


def _refused(*_: Any) -> None:
    raise ValueError("a call of numpy.ndarray")


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _refused,  # only named, as an argument of _reconstruct
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): dict,
    **{
        (module, name): function
        for core in ("numpy.core", "numpy._core")
        for module, name, function in (
            (f"{core}.multiarray", "_reconstruct", _Array),
            (f"{core}.multiarray", "scalar", _scalar),
            (f"{core}.numeric", "_frombuffer", _from_buffer),
        )
    },
    **{(module, "bytes"): _bytes for module in ("builtins", "__builtin__")},
    **{
        (module, kind.__name__): kind
        for module in ("builtins", "__builtin__")
        for kind in (dict, list, tuple, set, frozenset)  # numbers and text need no name
    },
}


def _resolved(value: Any, done: dict[int, tuple[Any, Any]]) -> Any:
    """``value`` with the arrays themselves in the place of what stands for them.

    Lists, dicts and arrays are changed in place, and each but once, so that what is shared stays
    shared. ``done``: what each object became, by id; it keeps them alive, so that ids stay theirs.
    """
    if not isinstance(value, (_Array, _Dtype, dict, list, tuple)):
        return value
    if id(value) in done:
        return done[id(value)][1]
    result = value.value if isinstance(value, (_Array, _Dtype)) else value
    done[id(value)] = (value, result)
    if isinstance(result, dict):
        for key in result:
            result[key] = _resolved(result[key], done)
    elif isinstance(result, list):
        result[:] = [_resolved(item, done) for item in result]
    elif isinstance(result, tuple):
        result = tuple(_resolved(item, done) for item in result)
        done[id(value)] = (value, result)
    elif isinstance(result, np.ndarray) and result.dtype == np.dtype(object):
        for i in range(result.size):
            result.flat[i] = _resolved(result.flat[i], done)
    return result
