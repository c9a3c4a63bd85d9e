"""Drawing a skeleton on an image."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from poseact.structures import Prediction

# Okabe and Ito's palette, distinct for colour-blind readers too.
RIGHT, LEFT, MIDDLE = (230, 159, 0), (86, 180, 233), (255, 255, 255)
JOINT_RADIUS = 0.012
SUBPIXEL_BITS = 4
SHOWN_FROM = 0.5
"""Joints less visible than this are left out of a drawing."""


def joint_colour(name: str) -> tuple[int, int, int]:
    """Right joints are orange, left ones blue, those in the middle white."""
    if name.startswith("right_"):
        return RIGHT
    return LEFT if name.startswith("left_") else MIDDLE


def draw_prediction(image: npt.NDArray[np.uint8], prediction: Prediction) -> npt.NDArray[np.uint8]:
    """A copy of ``image`` (H, W, 3) RGB with the joints and limbs of a prediction.

    Joints of visibility under 0.5 are left out. Positions are drawn to a 16th of a pixel.
    """
    canvas = image.copy()
    names, shown = prediction.layout.joints, prediction.visibility >= SHOWN_FROM
    size = float(np.clip(prediction.box.side, 64, 2 * max(image.shape[:2])))
    radius = max(2.0, JOINT_RADIUS * size)
    for a, b in prediction.layout.limbs:
        if shown[a] and shown[b]:
            colour = joint_colour(names[a] if names[a].startswith(("left_", "right_")) else names[b])
            _line(canvas, prediction.joints[a], prediction.joints[b], colour, max(1, round(radius * 0.7)))
    for name, point, show in zip(names, prediction.joints, shown, strict=True):
        if show:
            _circle(canvas, point, radius, joint_colour(name))
    return canvas


def _fixed(value: npt.NDArray[np.floating]) -> tuple[int, int]:
    """A point in OpenCV's fixed-point pixels; its (0, 0) is the top-left pixel's centre too."""
    x, y = np.rint(np.clip(value, -1e4, 1e4) * (1 << SUBPIXEL_BITS)).astype(int)
    return int(x), int(y)


def _line(
    canvas: npt.NDArray[np.uint8],
    start: npt.NDArray[np.floating],
    end: npt.NDArray[np.floating],
    colour: tuple[int, int, int],
    width: int,
) -> None:
    cv2.line(canvas, _fixed(start), _fixed(end), colour, width, cv2.LINE_AA, SUBPIXEL_BITS)


def _circle(
    canvas: npt.NDArray[np.uint8],
    point: npt.NDArray[np.floating],
    radius: float,
    colour: tuple[int, int, int],
) -> None:
    scaled = round(radius * (1 << SUBPIXEL_BITS))
    cv2.circle(canvas, _fixed(point), scaled, colour, -1, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.circle(canvas, _fixed(point), scaled, (0, 0, 0), 1, cv2.LINE_AA, SUBPIXEL_BITS)
