"""The person's box: found by the network (P 5.2), kept until the person leaves it, or given.

**Found**: around the pose in the whole image, enlarged as the boxes of training are; then once more around
the pose in that crop. A clip takes the union of its first, middle and last frame.

**Nobody**: an answer with less than two fifths of its joints inside the crop, or whose maps are diffuse.
The network was never shown a picture without a person, so it answers one everywhere; what gives it away
is that its maps spread.

**Given**: by a file, around all boxes of the person in about the next window, kept until one sticks out of
that; by a callable, which does not know what will be, its box, kept while the next ones are nearly the same.

**Left**: for a few frames in a row, nobody, or over a quarter of the joints outside the crop or at its rim,
or a person less than half as large as when the box was found. A person that is half outside the picture
keeps looking so: the box is then found again, and where it is nearly the same, the old one is kept, so
that the window of the actions goes on.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poseact.data.clips import joint_boxes
from poseact.errors import UserError
from poseact.geometry import Box, FloatArray, crop_transform, enclosing_box, whole_image_box
from poseact.inference.predictor import CropAnswers, answer_crops
from poseact.network import MultitaskNetwork
from poseact.structures import BoolArray, Image
from poseact.visual.overlay import SHOWN_FROM

Boxes = Callable[[int, Image], Mapping[int, Box]]
"""Boxes from outside: for the number of a frame and its image, the box of each person by track id."""

LEAST_INSIDE = 0.4
"""Share of the joints that a person shows at least: of somebody at a desk, more."""
DIFFUSE = 0.175
"""Standard deviation of the median joint's map, in sides of the crop; that of an even map is 0.289. Small
trained networks were below 0.162 on every person of the kind that they were trained on, and mostly above on
pictures without anybody."""
RIM = 1 / 32
"""Of the crop's side: one cell of the heat maps of a crop of 256 pixels. The soft-argmax of a joint outside
the crop ends there."""
OUTSIDE = 0.25
"""Share of the joints outside the box or at its rim over which the person is leaving it."""
SHRUNK = 0.5
"""A person smaller than this share of what it was has left: too few pixels are left of it."""
PATIENCE = 5
"""Frames in a row that have to look so: one blurred frame does not end a window."""
LOOK_EVERY = 5
"""Frames from one look at the whole image to the next while nobody is found."""
NEAR = 0.1
"""Boxes whose centres and sides differ by at most this share of the side are nearly the same: a third of the
margin around the joints, and well within what training augments."""
ALIKE = 0.7
"""Whoever is found anew and has less than this share of the size before, or more than by as much, is measured
anew."""
COLUMNS = ("frame", "person", "x", "y", "width", "height")


def shows_person(answers: CropAnswers) -> BoolArray:
    """Whether each of n answers is one of a person: (n,)."""
    inside = (answers.visibility >= SHOWN_FROM).float().mean(-1)
    spread = (answers.covariance.diagonal(dim1=-2, dim2=-1).mean(-1)).sqrt().median(-1).values
    return np.asarray(((inside >= LEAST_INSIDE) & (spread <= DIFFUSE)).cpu().numpy(), np.bool_)


def extents(answers: CropAnswers) -> FloatArray:
    """The larger extent of the joints inside the crop (n,), in sides of the crop; 0 where fewer than two."""
    points, inside = _points(answers)
    pairs = zip(points, inside, strict=True)
    return np.array([np.ptp(p[v], 0).max() if v.sum() > 1 else 0.0 for p, v in pairs])


def leaving(answers: CropAnswers, extent: float) -> BoolArray:
    """Whether a person whose joints extended over ``extent`` of the box leaves it, in each frame: (n,)."""
    points, inside = _points(answers)
    within = inside & ((points > RIM) & (points < 1 - RIM)).all(-1)
    outside = within.mean(-1) < 1 - OUTSIDE
    return np.asarray(~shows_person(answers) | outside | (extents(answers) < SHRUNK * extent))


def nearly_same(one: Box, other: Box) -> bool:
    """Whether two boxes are so alike that the crop of one serves for the other: see `NEAR`."""
    side = max(one.side, other.side)
    apart = math.dist(one.centre, other.centre)
    return apart <= NEAR * side and abs(one.side - other.side) <= NEAR * side


def place_of(answers: CropAnswers, box: Box) -> FloatArray:
    """Where the joints inside the crop are in the first answer (3,): x and y of their middle and their larger
    extent, in pixels; NaN where fewer than two are inside.
    """
    points, inside = _points(answers)
    known = crop_transform(box, 1).to_image(points[0])[inside[0]]
    if len(known) < 2:
        return np.full(3, np.nan)
    low, high = known.min(0), known.max(0)
    return np.array([*(low + high) / 2, (high - low).max()])


def goes_on(before: FloatArray, now: FloatArray) -> bool:
    """Whether two places (3,) of `place_of`, some frames apart, may be those of one person, as far away.

    False where one is not known.
    """
    large, small = max(before[2], now[2]), min(before[2], now[2])
    return math.dist(before[:2], now[:2]) <= large / 2 and bool(small >= ALIKE * large)


def holds(outer: Box, inner: Box) -> bool:
    """Whether a box lies within another one, or sticks out by no more than `NEAR` of that one's side."""
    away = max(abs(a - b) for a, b in zip(outer.centre, inner.centre, strict=True))
    return away + inner.side / 2 <= outer.side * (0.5 + NEAR)


def find_boxes(network: MultitaskNetwork, images: Sequence[Image]) -> list[Box | None]:
    """The box of the person in each image by a network that is `ready`; None where it finds nobody."""
    first = [whole_image_box(image.shape[1], image.shape[0]) for image in images]
    boxes: list[Box | None] = _around_poses(network, images, first, False)
    shown = [i for i, box in enumerate(boxes) if box is not None]
    if shown:
        rough = [box for box in boxes if box is not None]
        finer = _around_poses(network, [images[i] for i in shown], rough, True)
        for i, box in zip(shown, finer, strict=True):
            boxes[i] = box
    return boxes


def find_clip_box(network: MultitaskNetwork, images: Sequence[Image]) -> Box | None:
    """The box of the person in all images of a clip; None where the first of them shows nobody."""
    boxes = find_boxes(network, images)
    if boxes[0] is None:
        return None
    return enclosing_box(np.array([[*box.centre, box.side] for box in boxes if box is not None]))


def cut(images: Sequence[Image], boxes: Sequence[Box], size: int) -> npt.NDArray[np.uint8]:
    """The crops (n, S, S, 3) of these images in these boxes."""
    return np.stack([
        crop_transform(box, size).warp(image) for image, box in zip(images, boxes, strict=True)
    ])  # fmt: skip


def _around_poses(
    network: MultitaskNetwork, images: Sequence[Image], crops: Sequence[Box], checked: bool
) -> list[Box | None]:
    """The enlarged box around the pose in each crop; None without a pose or, where ``checked``, a person."""
    answers = answer_crops(network, cut(images, crops, network.size))
    points, inside = _points(answers)
    pixels = np.stack([crop_transform(box, 1).to_image(p) for box, p in zip(crops, points, strict=True)])
    if checked:
        inside = inside & shows_person(answers)[:, None]
    found = joint_boxes(pixels, inside)
    return [Box((float(x), float(y)), float(side)) if np.isfinite(side) else None for x, y, side in found]


def _points(answers: CropAnswers) -> tuple[FloatArray, BoolArray]:
    """Joints (n, J, 2) in crop coordinates, and which lie inside the crop (n, J)."""
    points = answers.pose[..., :2].double().cpu().numpy()
    return points, (answers.visibility >= SHOWN_FROM).cpu().numpy()


def rectangle_box(x: float, y: float, width: float, height: float) -> Box:
    """The square around a rectangle of pixels whose top-left pixel is (x, y); nothing is added to it.

    Pixels x to x + width - 1 are covered, so that 0, 0 and the image's size is the whole image.
    Raises ``ValueError`` where a number is not finite, or a side not above 0.
    """
    if not (math.isfinite(width) and math.isfinite(height) and min(width, height) > 0):
        raise ValueError(f"expected a width and height > 0, got {width:g} and {height:g}")
    return Box((x + (width - 1) / 2, y + (height - 1) / 2), max(width, height))


class GivenBoxes:
    """The boxes of a file: `Boxes` by number of the frame.

    A CSV file with the header frame,person,x,y,width,height, or a JSON list of objects with these keys:
    x and y of the top-left pixel, sizes in pixels (see `rectangle_box`). A person is there in the frames
    that are listed; without a frame, in all. Raises `UserError` on anything else.
    """

    def __init__(self, path: Path) -> None:
        self._of_frame: dict[int, dict[int, Box]] = {}
        self._always: dict[int, Box] = {}
        for place, row in _rows(path):
            frame, person, box = _read_row(path, place, row)
            boxes = self._always if frame is None else self._of_frame.setdefault(frame, {})
            if person in boxes:
                raise UserError(f"{path}: {place}: person {person} has two boxes in one frame; leave one out")
            boxes[person] = box
        if not self._of_frame and not self._always:
            raise UserError(f"{path}: expected boxes, found none; expected the columns {','.join(COLUMNS)}")

    def __call__(self, number: int, image: Image) -> dict[int, Box]:
        return self._always | self._of_frame.get(number, {})

    def around(self, person: int, first: int, frames: int) -> Box:
        """The box around all boxes of a person in at most so many frames, who has one in the frame ``first``.

        Up to the first frame without one: whoever comes back is somewhere else.
        """
        always = self._always.get(person)
        given = (self._of_frame.get(n, {}).get(person, always) for n in range(first, first + frames))
        own = {box for box in takewhile(lambda box: box is not None, given) if box is not None}
        return own.pop() if len(own) == 1 else enclosing_box(np.array([[*b.centre, b.side] for b in own]))


def _rows(path: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Rows with the place of each for messages."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "bytes that are no text"
        raise UserError(f"{path}: expected boxes as CSV or JSON, got: {reason}; check the path") from None
    if path.suffix.lower() == ".json":
        return _json_rows(path, text)
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    try:
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise UserError(
                f"{path}: expected the header {','.join(COLUMNS)}, found no {', '.join(missing)}; add it"
            )
        return [(f"line {reader.line_num}", row) for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num}: expected CSV, got: {error}; mend it") from None


def _json_rows(path: Path, text: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected JSON, got: {error}; mend it") from None
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise UserError(f"{path}: expected a list of objects with the keys {', '.join(COLUMNS)}")
    return [(f"entry {i}", row) for i, row in enumerate(content)]


def _read_row(path: Path, place: str, row: Mapping[str, Any]) -> tuple[int | None, int, Box]:
    try:
        frame = row.get("frame")
        number = None if frame is None or frame == "" else _whole(frame, "frame", 0)
        sides = [float(row[name]) for name in COLUMNS[2:]]
        return number, _whole(row["person"], "person", 1), rectangle_box(*sides)
    except KeyError as error:
        raise UserError(f"{path}: {place}: expected the key {error}, found none; add it") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(f"{path}: {place}: expected six numbers, got: {error}; mend it") from None


def _whole(value: Any, name: str, least: int) -> int:
    number = float(value)
    if not number.is_integer() or not least <= number < 1 << 31:
        raise ValueError(f"{name} {value}, which is no whole number from {least} on")
    return int(number)
