"""What was answered about a video: one row for each person in each frame, and what lies between.

Rows are a structured array, so that they can be appended to a file and read back as they are.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poseact.errors import UserError
from poseact.skeleton import Layout

Rows = npt.NDArray[np.void]
"""A structured array (R,) of `row_type`."""
OUTPUTS = {
    "video": "overlay.mp4",
    "json": "keypoints.json",
    "csv": "joints.csv",
    "npz": "results.npz",
    "bvh": "person-N.bvh",
    "timeline": "timeline.png",
    "page": "index.html",
}
"""What a result folder holds, by the names that choose them."""
STATE, VIDEO = "state.npz", "overlay.ts"
"""What it holds of a video while that is worked on: how to go on, and the overlay so far."""
MARK = ".poseact"
"""Lies in every folder that results are written to: without it, files of these names are somebody else's."""
CHUNK = 1024
"""Rows that are worked on at once, so that memory does not grow with the video."""


def mark_ours(out: Path, files: Iterable[Path]) -> None:
    """Mark a folder as one of results; raises `UserError` where one of ``files`` is there without a mark."""
    if not (out / MARK).exists():
        for path in files:
            if os.path.lexists(path):
                raise UserError(
                    f"{path}: would be written over, and is no result of poseact; give another --out"
                )
    (out / MARK).touch()


def row_type(joints: int, dim: int, actions: int) -> np.dtype[np.void]:
    """The fields of one person in one frame, for J joints, D = 2 or 3, and A actions (0: none).

    - ``frame``: its number from 0; ``time_s``: since the first frame; ``person``: track id, from 1.
    - ``restarted``: the box was found anew here, so the window of the actions began again.
    - ``box``: centre x, y and side in pixels of the crop that was read.
    - ``joints`` (J, 2) pixels; ``visibility`` (J,) in [0, 1].
    - ``covariance`` (J, 2, 2) square pixels: of the joint's position, calibrated on held-out data
      where the weights bring a calibration.
    - ``crop`` (J, 3), with D = 3: relative to the pelvis in sides of the crop, x to the right, y down, z away
      from the camera. ``metres`` (J, 3): the same in metres, see `Results.assumption`.
    - ``action`` (A,): probabilities for the window that ends here; zeros unless ``action_known``.
    """
    fields: list[Any] = [
        ("frame", "<i8"), ("time_s", "<f8"), ("person", "<i4"), ("restarted", "?"), ("box", "<f8", (3,)),
        ("joints", "<f4", (joints, 2)), ("visibility", "<f4", (joints,)),
        ("covariance", "<f4", (joints, 2, 2)),
    ]  # fmt: skip
    if dim == 3:
        fields += [("crop", "<f4", (joints, 3)), ("metres", "<f4", (joints, 3))]
    if actions:
        fields += [("action", "<f4", (actions,)), ("action_known", "?")]
    return np.dtype(fields)


@dataclass(frozen=True)
class Gap:
    """Frames ``first`` to ``last``, both included, without an answer, and the ``reason`` in a few words."""

    first: int
    last: int
    reason: str


@dataclass(frozen=True)
class Results:
    """Everything that was answered about one video.

    - ``rows`` (R,): see `row_type`; by frame, then person. Those of a video are a mapped file: read all of
      them by `chunks` and `column`, which let go of what was read.
    - ``layout``, ``actions``: names of the joints and of the actions.
    - ``source``: the file's name; ``fps``; ``size``: width and height in pixels; ``frames``: how many were
      looked at, with and without an answer; ``last_s``: when the last of them is shown, 0 where that is not
      known; ``gaps``: those without an answer, in order.
    - ``assumption``: in words, what the metres rest on; empty in 2D.
    - ``weights``: the file's name and checksum, in words.
    - ``damage``: in words, what is missing of the source; empty where nothing is known to be.
    - ``pictures``: of pictures, the file's name and (width, height) of each frame, (0, 0) of one that cannot
      be read; empty of a video.
    """

    rows: Rows
    layout: Layout
    actions: tuple[str, ...]
    source: str
    fps: float
    size: tuple[int, int]
    frames: int
    last_s: float = 0.0
    gaps: tuple[Gap, ...] = ()
    assumption: str = ""
    weights: str = ""
    damage: str = ""
    pictures: tuple[tuple[str, tuple[int, int]], ...] = ()

    def __post_init__(self) -> None:
        names = self.rows.dtype.names or ()
        if "joints" not in names or self.rows["joints"].shape[1:] != (len(self.layout), 2):
            raise ValueError(f"results: expected rows of {len(self.layout)} joints, got {self.rows.dtype}")
        if bool(self.actions) != ("action" in names):
            raise ValueError("results: expected actions in the rows where there are names for them")
        if self.pictures and len(self.pictures) != self.frames:
            raise ValueError(f"pictures: expected {self.frames}, one a frame, got {len(self.pictures)}")

    @property
    def is_3d(self) -> bool:
        """Whether ``crop`` and ``metres`` are there."""
        return "metres" in (self.rows.dtype.names or ())

    @property
    def people(self) -> tuple[int, ...]:
        """The track ids, ascending."""
        return tuple(int(n) for n in np.unique(self.column("person")))

    def seconds(self, frames: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """When frames (n,) begin, since the first one; ``self.frames`` is the end. Frames without a row lie
        evenly between those with one. Without a frame rate, a frame is a second.
        """
        asked = np.asarray(frames, np.float64)
        if self.fps <= 0:
            return asked
        known, times = self._times
        after = np.maximum(asked - known[-1], 0) / self.fps
        return np.asarray(np.interp(asked, known, times) + after)

    @cached_property
    def _times(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The frames that have rows, also the first, and the last where that is known; when they begin."""
        known, at = np.unique(self.column("frame"), return_index=True)
        times = self.column("time_s")[at]
        if not len(known) or known[0] > 0:
            known, times = np.array([0, *known.tolist()]), np.array([0.0, *times.tolist()])
        if known[-1] < self.frames - 1 and self.last_s > times[-1]:
            known, times = np.append(known, self.frames - 1), np.append(times, self.last_s)
        return known, times

    def chunks(self) -> Iterator[Rows]:
        """All rows, `CHUNK` at a time."""
        for start in range(0, len(self.rows), CHUNK):
            yield self.rows[start : start + CHUNK]
            _forget_pages(self.rows)

    def column(self, name: str, places: npt.NDArray[np.int64] | None = None) -> npt.NDArray[Any]:
        """A copy of one field of all rows, or of the rows ``places`` (N,): (N, ...)."""
        kind = self.rows.dtype[name]
        count = len(self.rows) if places is None else len(places)
        values = np.empty((count, *kind.shape), kind.base)
        for start in range(0, count, CHUNK):
            some = slice(start, start + CHUNK)
            values[some] = self.rows[name][some if places is None else places[some]]
            _forget_pages(self.rows)
        return values


def _forget_pages(rows: Rows) -> None:
    """Let go of the parts of a mapped file that were read: they count as this process's memory."""
    mapped = getattr(rows, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
