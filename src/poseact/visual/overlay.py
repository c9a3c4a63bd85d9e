"""Drawing a skeleton on an image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from poseact.skeleton import Layout
from poseact.structures import Image, Prediction

# Okabe and Ito's palette, distinct for colour-blind readers too.
RIGHT, LEFT, MIDDLE = (230, 159, 0), (86, 180, 233), (255, 255, 255)
JOINT_RADIUS = 0.012
SUBPIXEL_BITS = 4
SHOWN_FROM = 0.5
"""Joints less visible than this are left out of a drawing."""
Colour = tuple[int, int, int]
FloatArray = npt.NDArray[np.floating]


def joint_colour(name: str) -> Colour:
    """Right joints are orange, left ones blue, those in the middle white."""
    if name.startswith("right_"):
        return RIGHT
    return LEFT if name.startswith("left_") else MIDDLE


def limb_colour(a: str, b: str) -> Colour:
    """A limb has the colour of the side that one of its joints is on."""
    return joint_colour(a if a.startswith(("left_", "right_")) else b)


def draw_prediction(image: Image, prediction: Prediction) -> Image:
    """A copy of ``image`` (H, W, 3) RGB with the joints and limbs of a prediction.

    Joints of visibility under 0.5 are left out. Positions are drawn to a 16th of a pixel.
    """
    canvas = image.copy()
    p = prediction
    draw_skeleton(canvas, p.joints, p.visibility, p.layout, p.box.side)
    return canvas


def draw_skeleton(
    canvas: Image,
    joints: FloatArray,
    visibility: FloatArray,
    layout: Layout,
    side: float,
    opacity: FloatArray | None = None,
) -> None:
    """Draw the joints (J, 2) in pixels and limbs of one person on ``canvas`` (H, W, 3), in place.

    Joints of ``visibility`` (J,) under 0.5 are left out. ``side`` of the person's box in pixels sets how
    thick lines are. ``opacity`` (J,) in [0, 1] lets the picture shine through, most at 0; a limb has the
    lower one of its two joints.
    """
    names, shown = layout.joints, (visibility >= SHOWN_FROM) & np.isfinite(joints).all(1)
    solid = np.ones(len(layout)) if opacity is None else opacity
    radius = max(2.0, JOINT_RADIUS * float(np.clip(side, 64, 2 * max(canvas.shape[:2]))))
    width = max(1, round(radius * 0.7))

    for a, b in layout.limbs:
        if shown[a] and shown[b]:
            colour, share = limb_colour(names[a], names[b]), min(solid[a], solid[b])
            _faded(canvas, joints[[a, b]], width, share, partial(_limb, colour=colour, width=width))
    for i in np.flatnonzero(shown):
        disc = partial(_disc, colour=joint_colour(names[i]), radius=radius)
        _faded(canvas, joints[[i]], radius, solid[i], disc)


def _faded(
    canvas: Image,
    points: FloatArray,
    margin: float,
    opacity: float,
    draw: Callable[[Image, FloatArray], None],
) -> None:
    """Draw something around ``points`` (n, 2) with an opacity: only that part of the canvas is blended."""
    if opacity >= 1:
        draw(canvas, points)
        return
    size = np.array(canvas.shape[1::-1])
    low = np.clip(np.floor(points.min(0) - margin - 2), 0, size).astype(int)
    high = np.clip(np.ceil(points.max(0) + margin + 3), 0, size).astype(int)
    part = canvas[low[1] : high[1], low[0] : high[0]]
    if part.size:
        drawn = part.copy()
        draw(drawn, points - low)
        part[:] = cv2.addWeighted(drawn, opacity, part, 1 - opacity, 0)


def _fixed(value: FloatArray) -> tuple[int, int]:
    """A point in OpenCV's fixed-point pixels; its (0, 0) is the top-left pixel's centre too."""
    x, y = value.tolist()  # a few plain numbers are faster than an array of two
    return round(min(max(x, -1e4), 1e4) * (1 << SUBPIXEL_BITS)), round(
        min(max(y, -1e4), 1e4) * (1 << SUBPIXEL_BITS)
    )


def draw_line(canvas: Image, start: FloatArray, end: FloatArray, colour: Colour, width: int) -> None:
    """A smooth line between two points (2,) in pixels, in place."""
    cv2.line(canvas, _fixed(start), _fixed(end), colour, width, cv2.LINE_AA, SUBPIXEL_BITS)


def _limb(canvas: Image, ends: FloatArray, colour: Colour, width: int) -> None:
    draw_line(canvas, ends[0], ends[1], colour, width)


def _disc(canvas: Image, centre: FloatArray, colour: Colour, radius: float) -> None:
    scaled = round(radius * (1 << SUBPIXEL_BITS))
    cv2.circle(canvas, _fixed(centre[0]), scaled, colour, -1, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.circle(canvas, _fixed(centre[0]), scaled, (0, 0, 0), 1, cv2.LINE_AA, SUBPIXEL_BITS)
