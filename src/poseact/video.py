"""Video: which frames a clip is made of (P 5.2, and the authors' rules).

A clip of ``count`` frames with a ``stride`` shows frames start, start + stride, ... . Where the
video is shorter than count x stride, the stride falls until it fits; where it is shorter than
``count``, frames are repeated evenly: it is stretched by 1.5 until it is long enough.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def clip_indices(length: int, count: int, stride: int, start: int | None = None) -> npt.NDArray[np.int64]:
    """Frames (count,) of the clip that starts at ``start``, or of the one in the middle.

    ``start`` is moved so far back that the clip ends within the video; it does not matter where
    the video is stretched. Raises ``ValueError`` where an argument is below 1.
    """
    if min(length, count, stride) < 1:
        raise ValueError(f"expected length, count and stride >= 1, got {length}, {count}, {stride}")
    if length < count:
        return _stretched(length, count)
    stride = min(stride, length // count)
    spare = length - ((count - 1) * stride + 1)
    first = spare // 2 if start is None else min(max(start, 0), spare)
    return first + stride * np.arange(count)


def _stretched(length: int, count: int) -> npt.NDArray[np.int64]:
    steps = 0
    while length * 3**steps < count * 2**steps:
        steps += 1
    first = (length * 3**steps // 2**steps - count) // 2
    return np.asarray((first + np.arange(count)) * 2**steps // 3**steps)


def clip_starts(length: int, count: int, stride: int, every: int) -> list[int]:
    """First frames of the clips of multi-clip evaluation: one each ``every`` frames.

    At least one; those that would run past the end are left out.
    """
    return list(range(0, max(1, length - (count - 1) * stride), every))
