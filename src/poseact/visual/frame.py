"""A frame of the overlay video: the picture with its skeletons, and a panel beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from poseact.results import Rows
from poseact.skeleton import Layout
from poseact.structures import Image
from poseact.visual.overlay import SHOWN_FROM, Colour, draw_skeleton
from poseact.visual.space import BACKGROUND, draw_space
from poseact.visual.text import fitted, text_width, write

LARGEST, SMALLEST = 1920, 240
"""Pictures are reduced or enlarged until their longer side is between these, in pixels."""
TURN_S = 12.0
"""Seconds in which the 3D view turns once."""
SHOWN_PEOPLE = 3
"""People that the panel has room for."""
FloatArray = npt.NDArray[np.floating]

_LINES = 3
_TEXT: Colour = (235, 235, 235)
_QUIET: Colour = (150, 154, 162)
_WARNING: Colour = (240, 190, 60)
_BAR: Colour = (0, 158, 115)
_TROUGH: Colour = (48, 52, 60)
_SURE, _UNSURE, _FAINTEST = 0.03, 0.12, 0.5
"""Standard deviations, in sides of the crop, up to which a joint is solid, and from which it is faintest."""
_SMALLEST_PANEL = 120


def draw_frame(
    image: Image,
    rows: Rows,
    layout: Layout,
    actions: Sequence[str] = (),
    *,
    time_s: float | None,
    gap: str = "",
) -> Image:
    """One frame of the overlay video, (H', W', 3) uint8 RGB, H' and W' even.

    - ``image`` (H, W, 3); ``rows`` (P,) of that frame only, perhaps none. Joints of visibility under 0.5 are
      left out; the less certain a joint is, the more the picture shines through. Pictures with a longer side
      over 1920 pixels are reduced to that, those under 240 are enlarged.
    - The panel stands right of the picture and is as high. With 3D it shows a view that turns once in
      12 seconds of ``time_s``; of a picture that is no frame of a video, where that is None, two views,
      from the camera's side and a quarter turn on. With ``actions`` it shows for one person the three
      most probable ones, for several the most probable one of each of the first three. ``gap``, why the
      frame has no answer, is written there too. A network in 2D without actions has no panel, and the
      gap is written on the picture.

    The size depends on that of ``image``, on the fields of ``rows`` and on whether there are actions only.
    """
    picture, zoom = _sized(image)
    for row in rows:
        _draw_person(picture, row, layout, zoom)
    text = max(9, round(min(picture.shape[:2]) / 28))
    if len(rows) > 1:
        for row in rows:
            _name_person(picture, row, zoom, text)
    is_3d = "metres" in (rows.dtype.names or ())
    if not is_3d and not actions:
        if gap:
            told = fitted(gap, text, picture.shape[1] - text)
            write(picture, told, (text // 2, picture.shape[0] - 2 * text), text, _WARNING, ground=True)
        return picture
    panel = _panel(rows[:SHOWN_PEOPLE], layout, actions, picture.shape[:2], time_s, gap)
    return np.concatenate([picture, panel], 1)


# --- the picture ----------------------------------------------------------------------------------


def _sized(image: Image) -> tuple[Image, FloatArray]:
    """A copy within the limits, even in size, and by how much it is larger, (2,): across and down."""
    height, width = image.shape[:2]
    longest = max(height, width)
    scale = min(max(longest, SMALLEST), LARGEST) / longest
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if scale < 1:
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    elif scale > 1:
        image = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)  # type: ignore[assignment]
    else:
        image = image.copy()
    zoom = np.array([size[0] / width, size[1] / height])
    if size[0] % 2 or size[1] % 2:
        image = np.pad(image, ((0, size[1] % 2), (0, size[0] % 2), (0, 0)), "edge")
    return image, zoom


def _enlarged(points: FloatArray, zoom: FloatArray) -> FloatArray:
    """Pixels (..., 2) of the picture as it came in the one that is drawn on."""
    return np.asarray((points + 0.5) * zoom - 0.5)


def _draw_person(picture: Image, row: np.void, layout: Layout, zoom: FloatArray) -> None:
    joints = _enlarged(row["joints"].astype(np.float64), zoom)
    side = float(row["box"][2])
    sd = np.sqrt(np.maximum(np.trace(row["covariance"], axis1=1, axis2=2) / 2, 0)) / side
    faded = np.clip((np.nan_to_num(sd, nan=1.0) - _SURE) / (_UNSURE - _SURE), 0, 1) * (1 - _FAINTEST)
    draw_skeleton(picture, joints, row["visibility"], layout, side * float(zoom.max()), 1 - faded)


def _name_person(picture: Image, row: np.void, zoom: FloatArray, text: int) -> None:
    """The track id above the person's highest joint."""
    joints = _enlarged(row["joints"].astype(np.float64), zoom)
    drawn = joints[(row["visibility"] >= SHOWN_FROM) & np.isfinite(joints).all(1)]
    if len(drawn):
        x, y = np.clip(drawn[drawn[:, 1].argmin()] - (text / 3, 2.2 * text), -1e6, 1e6)
        bottom, right = picture.shape[0] - 2 * text, picture.shape[1] - 2 * text
        place = (int(np.clip(x, 0, max(0, right))), int(np.clip(y, 0, max(0, bottom))))
        write(picture, str(int(row["person"])), place, text, _TEXT, ground=True)


# --- the panel ------------------------------------------------------------------------------------


def _panel(
    rows: Rows, layout: Layout, actions: Sequence[str], size: tuple[int, int], time_s: float | None, gap: str
) -> Image:
    height, beside = size
    width = int(max(_SMALLEST_PANEL, min(0.5 * height, 0.6 * beside), 0.25 * beside)) // 2 * 2
    panel = np.empty((height, width, 3), np.uint8)
    cv2.rectangle(panel, (0, 0), (width, height), BACKGROUND, -1)
    line = max(6, min(round(0.1 * height), round(0.17 * width)))
    bars = _LINES * line + line // 2 if actions else 0
    text = max(7, round(0.42 * line))
    if "metres" in (rows.dtype.names or ()) and height - bars >= 2 * line:
        turns = (0.0, math.pi / 2) if time_s is None else (2 * math.pi * time_s / TURN_S,)
        for view, turn in zip(np.array_split(panel[: height - bars], len(turns)), turns, strict=True):
            draw_space(view, rows["metres"], rows["visibility"] >= SHOWN_FROM, layout, turn)
    if actions:
        _draw_bars(panel, _bars(rows, actions), height - bars, line, text)
    if time_s is not None:
        write(panel, _clock(time_s), (text // 2, text // 2), text, _QUIET)
    if gap:
        told = fitted(gap, text, width - text)
        middle = ((width - text_width(told, text)) // 2, max(0, (height - bars) // 2 - text))
        write(panel, told, middle, text, _WARNING, ground=True)
    return panel


def _clock(time_s: float) -> str:
    tenths = round(10 * max(0.0, time_s))
    minutes, rest = divmod(tenths, 600)
    return f"{minutes}:{rest // 10:02}.{rest % 10}"


def _bars(rows: Rows, actions: Sequence[str]) -> list[tuple[str, float]]:
    """Names and probabilities of the lines: three actions of one person, or one of each of three people."""
    if len(rows) == 1:
        row = rows[0]
        order = np.argsort(-row["action"], kind="stable")[:_LINES].tolist() if row["action_known"] else []
        return [(actions[i], float(row["action"][i])) for i in order]
    found = []
    for row in rows:
        best = int(row["action"].argmax())
        name, share = (actions[best], float(row["action"][best])) if row["action_known"] else ("", 0.0)
        found.append((f"{int(row['person'])}  {name}", share))
    return found


def _draw_bars(panel: Image, bars: list[tuple[str, float]], top: int, line: int, text: int) -> None:
    """Three lines at fixed places: a name, a share in percent and a bar below; empty without an answer."""
    margin, width = max(2, text // 2), panel.shape[1]
    length = width - 2 * margin
    thick = max(2, line // 6)
    for i in range(_LINES):
        y = top + i * line
        bottom = y + line - max(2, line // 8)
        cv2.rectangle(panel, (margin, bottom - thick), (margin + length - 1, bottom - 1), _TROUGH, -1)
        if i >= len(bars):
            continue
        name, share = bars[i]
        share = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
        told = f"{round(100 * share)} %"
        room = text_width(told, text)
        place = bottom - thick - round(1.35 * text)
        write(panel, fitted(name, text, length - room - margin), (margin, place), text, _TEXT)
        write(panel, told, (margin + length - room, place), text, _TEXT)
        if round(share * length):
            end = margin + round(share * length) - 1
            cv2.rectangle(panel, (margin, bottom - thick), (end, bottom - 1), _BAR, -1)
