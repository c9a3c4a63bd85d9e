"""From crop coordinates to metres, for people: what has to be assumed, and what follows from it.

The network's depth is in the same unit as its x and y, sides of the crop (`geometry`: z), so one number
is missing: how many metres a pixel is at the root's depth. It is taken from the person's standing
height: the median lengths of shank, thigh and trunk over the last frames are their shares of it.

The lines of sight are parallel where nothing is known of the camera (weak perspective), and meet in its
centre where its focal length is given. Either way everything is proportional to the metres of a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from poseact.errors import UserError
from poseact.geometry import REFERENCE_SIDE_M, Box, FloatArray, z_to_depth
from poseact.skeleton import Layout

HEIGHT_M = 1.70
"""Standing height where none is given."""
HEIGHTS_M = (0.4, 2.8)
"""Heights that are taken for metres."""
WINDOW = 90
"""Frames whose bones are remembered."""
KNOWN_FROM = 0.5
"""Joints less visible than this are not measured."""
SEGMENTS = (("ankle", "knee", 0.246), ("knee", "hip", 0.245), ("hip", "shoulder", 0.288))
"""Segments of both sides and their shares of the standing height; the last is the trunk, from the middle
of the hips to that of the shoulders. Drillis and Contini, *Body Segment Parameters*, 1966, as printed in
Winter, *Biomechanics and Motor Control of Human Movement*: knee at .285, hip at .530, shoulder at .818 of
the height, ankle at .039. Head and neck are left out: data sets mean different places by their names."""
_SHARES = np.array([share for *_, share in SEGMENTS])
_SIDES = ("left_", "right_")


@dataclass(frozen=True)
class CameraAssumption:
    """What metres rest on: the person's standing ``height_m``, and ``focal_px`` where it is known.

    ``focal_px``: in pixels of the image, whose middle is the optical centre. Raises `UserError` on
    numbers that cannot be these.
    """

    focal_px: float | None = None
    height_m: float = HEIGHT_M

    def __post_init__(self) -> None:
        low, high = HEIGHTS_M
        if not low <= self.height_m <= high:
            raise UserError(f"height: expected metres, {low} to {high}, got {self.height_m:g}; give --height")
        if self.focal_px is not None and not (math.isfinite(self.focal_px) and self.focal_px > 0):
            raise UserError(
                f"focal: expected pixels > 0, got {self.focal_px:g}; leave out --focal, or mend it"
            )

    def describe(self) -> str:
        """In words, for `results.Results`."""
        camera = "weak perspective, since no focal length was given"
        if self.focal_px is not None:
            camera = (
                f"a camera of focal length {self.focal_px:g} px whose optical centre is the picture's middle"
            )
        return (
            f"metres assume that the person is {self.height_m:g} m tall, of which shank, thigh and trunk are "
            f"{_SHARES.sum():.1%} (Drillis and Contini 1966; median of up to {WINDOW} frames), and {camera}"
        )


class Scale:
    """One person's metres: each frame is counted (`add`), then answered by what is known so far (`metres`).

    Poses (J, 3) are the network's: x and y in crop coordinates, z as in `geometry.depth_to_z`, of an
    upright crop of ``box``; ``image_size`` is width and height in pixels. Points are relative to the
    pelvis, or the middle of the hips in a layout without one: x to the right, y down, z away from the
    camera. Raises `UserError` on a layout without hips, or without a leg and a trunk to measure.
    """

    def __init__(self, layout: Layout, assumption: CameraAssumption | None = None) -> None:
        self.layout, self.assumption = layout, assumption or CameraAssumption()
        self._root = _root(layout)
        self._segments = [_segment(layout, low, high) for low, high, _ in SEGMENTS]
        if not any(self._segments):
            raise UserError(
                f"layout {layout.name}: expected legs, or hips and shoulders, to take metres from, "
                "found neither; use a network of another layout"
            )
        self._lengths = np.zeros((0, len(SEGMENTS)))

    def crop_units(self, pose: FloatArray) -> FloatArray:
        """Poses (..., J, 3) relative to the root in sides of the crop (..., J, 3), without any assumption."""
        depth = z_to_depth(pose[..., 2:], 1.0) / (1000 * REFERENCE_SIDE_M)
        return self._from_root(np.concatenate([pose[..., :2], depth], -1))

    def add(
        self, pose: FloatArray, visibility: FloatArray, box: Box, image_size: tuple[float, float]
    ) -> None:
        """Count a frame: visibility (J,); joints under .5 are left out."""
        points, known = self._pixels(pose, box, image_size), visibility >= KNOWN_FROM
        lengths = [_length(points, known, pairs) for pairs in self._segments]
        self._lengths = np.concatenate([self._lengths, [lengths]])[-WINDOW:]

    def metres(self, pose: FloatArray, box: Box, image_size: tuple[float, float]) -> FloatArray:
        """A pose (J, 3) relative to the root in metres (J, 3), by the frames so far.

        Until one of them shows a segment, the crop's side is taken for 2.25 m (scale 1).
        """
        scale = self.metres_per_pixel
        return self._pixels(pose, box, image_size) * (REFERENCE_SIDE_M / box.side if scale is None else scale)

    @property
    def metres_per_pixel(self) -> float | None:
        """At the root's depth, of the image; None until a segment was seen."""
        seen = np.isfinite(self._lengths).any(0)
        if not seen.any():
            return None
        length = np.nanmedian(self._lengths[:, seen], 0).sum()
        return float(self.assumption.height_m * _SHARES[seen].sum() / length) if length > 0 else None

    def state(self) -> dict[str, npt.NDArray[np.float64]]:
        """All that `restore` needs to go on as if nothing had happened."""
        return {"lengths": self._lengths.copy()}

    def restore(self, state: Mapping[str, npt.NDArray[np.float64]]) -> None:
        """Go on from a `state`."""
        self._lengths = np.array(state["lengths"], np.float64)

    def _pixels(self, pose: FloatArray, box: Box, image_size: tuple[float, float]) -> FloatArray:
        """Points (J, 3) relative to the root, in the pixels that the root's depth is seen with.

        A line of sight through pixel u reaches depth Z at (u - centre) Z / focal. With the root at
        Z = focal in these units, depth d behind it stretches u - centre by 1 + d / focal.
        """
        points = self.crop_units(pose) * box.side
        if self.assumption.focal_px is None:
            return points
        middle = (np.array(image_size) - 1) / 2
        seen = np.array(box.centre) + (pose[..., :2] - 0.5) * box.side - middle
        stretched = seen * (1 + points[..., 2:] / self.assumption.focal_px)
        return self._from_root(np.concatenate([stretched, points[..., 2:]], -1))

    def _from_root(self, points: FloatArray) -> FloatArray:
        return np.asarray(points - points[..., self._root, :].mean(-2, keepdims=True), np.float64)


def _root(layout: Layout) -> list[int]:
    """The pelvis, or both hips."""
    if "pelvis" in layout.joints:
        return [layout.index("pelvis")]
    hips = [layout.index(joint) for joint in layout.joints if joint.endswith("_hip")]
    if not hips:
        raise UserError(
            f"layout {layout.name}: expected a pelvis or hips for points in space, found neither; "
            "use a network of another layout"
        )
    return hips


_Pairs = tuple[tuple[list[int], list[int]], ...]
"""Lengths are measured between the middles of two groups of joints."""


def _segment(layout: Layout, low: str, high: str) -> _Pairs:
    """The ends of a segment, of each side; of the trunk the middles of both; () where the layout lacks it."""
    sides = [
        ([layout.index(side + low)], [layout.index(side + high)])
        for side in _SIDES
        if {side + low, side + high} <= set(layout.joints)
    ]
    if low == "hip" and sides:
        return (([a for (a,), _ in sides], [b for _, (b,) in sides]),)
    return tuple(sides)


def _length(points: FloatArray, known: npt.NDArray[np.bool_], pairs: _Pairs) -> float:
    """Mean length of a segment over the sides that are known; NaN where none is."""
    lengths = [
        float(np.linalg.norm(points[low].mean(0) - points[high].mean(0)))
        for low, high in pairs
        if known[low].all() and known[high].all()
    ]
    return float(np.mean(lengths)) if lengths else math.nan
