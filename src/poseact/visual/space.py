"""A 3D view of people on a floor grid: limbs sorted by depth, in a millisecond."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from poseact.skeleton import Layout
from poseact.structures import BoolArray, Image
from poseact.visual.overlay import Colour, draw_line, limb_colour

BACKGROUND: Colour = (24, 26, 31)
FloatArray = npt.NDArray[np.floating]

_GRID: Colour = (58, 62, 70)
_SHADOW: Colour = (12, 13, 16)
_HEIGHT_M, _WIDTH_M = 2.5, 1.9
"""What the view shows at least."""
_APART_M = 1.1
_GRID_HALF_M, _GRID_STEP_M = 1.0, 0.5
_CAMERA_M = 5.0
_RAISED = math.radians(14)
_LIMB_M = 0.035


def draw_space(canvas: Image, metres: FloatArray, shown: BoolArray, layout: Layout, turn: float) -> None:
    """Draw people on ``canvas`` (H, W, 3), in place.

    ``metres`` (P, J, 3): x to the right, y down, z away from the camera (`results.row_type`);
    ``shown`` (P, J): which joints to draw. ``turn``: of the floor in radians; at 0 it is seen from the
    camera's side, a little from above, as if the camera were level. Every person stands on the floor with the
    lowest joint, and several stand side by side, for where they are in the room is not known.
    """
    height, width = canvas.shape[:2]
    shown = shown & np.isfinite(metres).all(-1)
    count = max(1, len(metres))
    scale = min(height / _HEIGHT_M, width / (_WIDTH_M + _APART_M * (count - 1)))
    view = _View(scale, (width - 1) / 2, 0.86 * height, turn)
    _draw_grid(canvas, view, _GRID_HALF_M + _APART_M * (count - 1) / 2)
    placed = _placed(metres, shown, layout)
    limbs = [
        (person, a, b)
        for person in range(len(metres))
        for a, b in layout.limbs
        if shown[person, a] and shown[person, b]
    ]
    floor = view.seen(placed * (1, 0, 1))[0]
    points, nearness = view.seen(placed)
    thick = max(1, round(scale * _LIMB_M))
    for person, a, b in limbs:
        draw_line(canvas, floor[person, a], floor[person, b], _SHADOW, thick)
    limbs.sort(key=lambda limb: nearness[limb[0], limb[1]] + nearness[limb[0], limb[2]])
    for person, a, b in limbs:
        start, end = points[person, a], points[person, b]
        # A dark rim tells which limb is in front; at its ends it would cut the limbs that it hangs on.
        near = 0.2 * (end - start)
        draw_line(canvas, start + near, end - near, BACKGROUND, thick + 2)
        draw_line(canvas, start, end, limb_colour(layout.joints[a], layout.joints[b]), thick)


class _View:
    """From metres on the floor to pixels, through a camera that looks down a little."""

    def __init__(self, scale: float, middle: float, floor: float, turn: float) -> None:
        self.scale, self.middle, self.floor = scale, middle, floor
        self.across = np.array([math.cos(turn), 0, math.sin(turn)])
        self.near = np.array([-math.sin(turn), 0, math.cos(turn)])

    def seen(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Points (..., 3), y up and z towards the viewer, as pixels (..., 2), and how near they are (...)."""
        ahead = points @ self.near
        up = points[..., 1] * math.cos(_RAISED) - ahead * math.sin(_RAISED)
        near = points[..., 1] * math.sin(_RAISED) + ahead * math.cos(_RAISED)
        gain = self.scale * _CAMERA_M / np.maximum(_CAMERA_M - near, 0.1)
        pixels = np.stack([self.middle + gain * (points @ self.across), self.floor - gain * up], -1)
        return pixels, near


def _draw_grid(canvas: Image, view: _View, half: float) -> None:
    steps = round(2 * half / _GRID_STEP_M)
    lines = np.linspace(-half, half, steps + 1)
    ends = np.zeros((len(lines), 2, 3))
    ends[:, :, 0], ends[:, :, 2] = (-half, half), lines[:, None]
    for start, end in view.seen(np.concatenate([ends, ends[..., ::-1]]))[0]:
        draw_line(canvas, start, end, _GRID, 1)


def _placed(metres: FloatArray, shown: BoolArray, layout: Layout) -> FloatArray:
    """The people (P, J, 3) on the floor y = 0, side by side, y up and z towards the viewer."""
    points = np.where(shown[..., None], metres, 0.0) * (1.0, -1.0, -1.0)
    root = layout.joints.index("pelvis") if "pelvis" in layout.joints else -1
    for i in np.flatnonzero(shown.any(1)):
        own = points[i, shown[i]]
        middle = points[i, root] if root >= 0 and shown[i, root] else own.mean(0)
        points[i] -= (middle[0], own[:, 1].min(), middle[2])
        points[i, :, 0] += _APART_M * (i - (len(points) - 1) / 2)
    return np.asarray(points)
