"""Stills and clips out of annotated videos (`structures.Track`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
from typing_extensions import TypeIs

from poseact.errors import UserError
from poseact.geometry import Box, FloatArray, enclosing_box
from poseact.skeleton import Layout
from poseact.structures import Clip, Sample, Track
from poseact.video import clip_indices, clip_starts


class TrackSource(Protocol):
    """What every data set of videos is: tracks, the layout of their joints, and the action labels.

    ``lengths``: how many frames each track has, known without reading all annotations.
    Some have ``fps`` too (see `frame_rate`), or ``changing``: True where a video shows several actions.
    """

    @property
    def layout(self) -> Layout: ...
    @property
    def actions(self) -> tuple[str, ...]: ...
    @property
    def lengths(self) -> Sequence[int]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> Track: ...


def is_tracks(source: object) -> TypeIs[TrackSource]:
    """Is this a data set of videos rather than of stills?"""
    return hasattr(source, "actions")  # not lengths, which may take a while to count


def refuse_changing(source: object, what: str) -> None:
    """Raise `UserError` for a data set whose videos show several actions (`Track.frame_actions`).

    ``what``: what it cannot be used for.
    """
    if getattr(source, "changing", False):
        raise UserError(
            f"{what}: expected videos of one action each, got films of several; take another split"
        )


FPS = 30.0
"""Frames a second where a data set does not tell: of NTU RGB+D and most cameras."""


def frame_rate(source: object) -> float:
    """Frames a second of a data set's videos, their median where they differ: its ``fps``, or else `FPS`."""
    return float(getattr(source, "fps", FPS))


def clip(track: Track, indices: npt.NDArray[np.int64]) -> Clip:
    """The clip of these frames; its box encloses those of its first, middle and last frame.

    Where none of the three shows a person, all frames count. Raises `UserError` where no frame does.
    """
    camera = track.camera
    return Clip(
        frames=track.frames,
        indices=indices,
        joints=track.joints[indices],
        valid=track.valid[indices],
        depth_valid=track.depth_valid[indices],
        layout=track.layout,
        box=_clip_box(track, indices),
        metres_per_pixel=_at(track.metres_per_pixel, indices),
        action=_clip_action(track, indices),
        name=f"{track.name} frames {indices[0]} to {indices[-1]}",
        camera=tuple(camera[i] for i in indices) if isinstance(camera, tuple) else camera,
        root_depth_mm=_at(track.root_depth_mm, indices),
    )


def still(track: Track, index: int) -> Sample:
    """One frame alone, in a box of its own; raises `UserError` where it shows no person."""
    if not np.isfinite(track.boxes[index]).all():
        raise UserError(f"{track.name}: frame {index} shows no annotated person")
    x, y, side = (float(v) for v in track.boxes[index])
    metres, depth, camera = track.metres_per_pixel, track.root_depth_mm, track.camera
    return Sample(
        frames=track.frames,
        index=index,
        joints=track.joints[index],
        valid=track.valid[index],
        depth_valid=track.depth_valid[index],
        layout=track.layout,
        box=Box((x, y), side),
        metres_per_pixel=None if metres is None else float(metres[index]),
        name=f"{track.name} frame {index}",
        camera=camera[index] if isinstance(camera, tuple) else camera,
        root_depth_mm=None if depth is None else float(depth[index]),
    )


def draw_still(track: Track, rng: np.random.Generator) -> Sample:
    """A frame at random among those that show a person."""
    shown = np.flatnonzero(np.isfinite(track.boxes).all(1))
    if not len(shown):
        raise UserError(f"{track.name}: no frame shows an annotated person")
    return still(track, int(rng.choice(shown)))


def draw_clip(track: Track, count: int, strides: tuple[int, ...], rng: np.random.Generator) -> Clip:
    """A clip of ``count`` frames at a random place, with a stride drawn from ``strides``.

    Among those that show somebody, where there are any. In a video that is shorter than that, with the
    largest stride that fits (`video.clip_indices`).
    """
    stride = max(1, min(int(rng.choice(strides)), len(track) // count))
    starts = np.arange(max(1, len(track) - (count - 1) * stride))
    shown = np.asarray(np.isfinite(track.boxes).all(1))
    if len(track) >= count and not shown.all():
        sees = shown[starts[:, None] + stride * np.arange(count)].any(1)
        starts = starts[sees] if sees.any() else starts
    return clip(track, clip_indices(len(track), count, stride, int(starts[rng.integers(len(starts))])))


class Stills:
    """Frames ``first``, ``first + every``, ... of all tracks as a data set of samples."""

    def __init__(self, tracks: TrackSource, every: int = 1, first: int = 0) -> None:
        self.tracks, self.layout = tracks, tracks.layout
        self.places = [
            (i, frame) for i, length in enumerate(tracks.lengths) for frame in range(first, length, every)
        ]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> Sample:
        track, frame = self.places[i]
        return still(self.tracks[track], frame)


class Clips:
    """Clips of ``count`` frames of all tracks: the middle one, or one each ``every`` frames.

    ``places``: for each clip its track, and its first frame where ``every`` is given.
    """

    def __init__(self, tracks: TrackSource, count: int, stride: int = 1, every: int | None = None) -> None:
        self.tracks, self.layout, self.count, self.stride = tracks, tracks.layout, count, stride
        self.places: list[tuple[int, int | None]] = [
            (i, start)
            for i, length in enumerate(tracks.lengths)
            for start in ([None] if every is None else clip_starts(length, count, stride, every))
        ]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> Clip:
        index, start = self.places[i]
        track = self.tracks[index]
        return clip(track, clip_indices(len(track), self.count, self.stride, start))


def _clip_action(track: Track, indices: npt.NDArray[np.int64]) -> int | None:
    if track.frame_actions is None:
        return track.action
    action = int(track.frame_actions[indices[len(indices) // 2]])
    return None if action < 0 else action


def _clip_box(track: Track, indices: npt.NDArray[np.int64]) -> Box:
    ends = indices[[0, len(indices) // 2, -1]]
    for chosen in (ends, indices):
        boxes = track.boxes[chosen]
        if np.isfinite(boxes).all(1).any():
            return enclosing_box(boxes)
    raise UserError(f"{track.name}: no frame of {indices[0]} to {indices[-1]} shows an annotated person")


def _at(values: FloatArray | None, indices: npt.NDArray[np.int64]) -> FloatArray | None:
    return None if values is None else values[indices]


def released_slots(track: Track) -> Track:
    """The track with left and right changed over, as the authors' networks name Penn Action's and NTU's.

    Their code puts the side that Penn Action lists first, its left, and Kinect's left into the right
    slots. NTU's pictures are mirrored, so that there it is what photographs show.
    """
    flip = track.layout.flip
    return replace(
        track,
        joints=track.joints[:, flip],
        valid=track.valid[:, flip],
        depth_valid=track.depth_valid[:, flip],
    )


def joint_boxes(joints: FloatArray, valid: npt.NDArray[np.bool_], margin: float = 1.5) -> FloatArray:
    """Square boxes (F, 3) of ``margin`` x the extent of the joints (F, J, >=2) that are valid.

    The authors' rule for Penn Action and NTU (PAPER: Boxes). NaN where fewer than two joints are
    valid, or they coincide.
    """
    shown = np.where(valid[..., None], joints[..., :2], np.nan)
    boxes = np.full((len(joints), 3), np.nan)
    some = valid.sum(-1) >= 2
    low, high = np.nanmin(shown[some], 1), np.nanmax(shown[some], 1)
    sides = margin * (high - low).max(-1)
    boxes[some] = np.column_stack([(low + high) / 2, np.where(sides > 0, sides, np.nan)])
    return boxes
