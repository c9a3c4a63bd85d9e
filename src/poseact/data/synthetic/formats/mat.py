"""MATLAB files (level 5) of nested structs and cells."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io

EMPTY = np.zeros((0, 0))
"""MATLAB's []."""
_HEADER = b"MATLAB 5.0 MAT-file, Platform: any, Created by: poseact"
_HEADER_SIZE = 116


def mat_bytes(variables: Mapping[str, Any]) -> bytes:
    """A file of those variables; the same ones give the same bytes."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, dict(variables), do_compression=True)
    # scipy writes the time of day into the header's text.
    return _HEADER.ljust(_HEADER_SIZE) + buffer.getvalue()[_HEADER_SIZE:]


def structs(elements: Sequence[Mapping[str, Any]]) -> npt.NDArray[Any]:
    """A struct array 1 x N, at least one; a field that an element lacks is []."""
    names = list(dict.fromkeys(name for element in elements for name in element))
    array = np.empty((1, len(elements)), [(name, object) for name in names])
    for name in names:
        for i, element in enumerate(elements):
            array[name][0, i] = element.get(name, EMPTY)
    return array


def cells(contents: Sequence[Any], shape: tuple[int, int]) -> npt.NDArray[Any]:
    """A cell array of that shape, filled row by row."""
    array = np.empty(len(contents), np.object_)
    for i, content in enumerate(contents):
        array[i] = content
    return array.reshape(shape)
