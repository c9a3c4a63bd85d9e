"""The person's box in videos that nobody annotated, found once by the weights that a stage starts from.

One's own videos have no boxes. In whole pictures people are small, and prediction crops around the person
that it finds (P 5.2); a stage that learns from such videos has to see the same.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from poseact.data.clips import TrackSource, frame_rate
from poseact.data.images import write_json
from poseact.errors import UserError
from poseact.geometry import FloatArray
from poseact.inference.boxes import find_boxes
from poseact.network import MultitaskNetwork
from poseact.structures import Track

Rows = list[list[float]]
_EVERY = 8
"""Frames from one that is looked at to the next; between them, boxes change evenly."""
_SAVE_S = 10.0
"""Seconds of looking that a kill may cost."""


class FoundBoxes:
    """The videos of ``source`` with the boxes of the person in each, as a data set of the same videos.

    ``boxes``: by the video's name, rows of frame, centre x and y, and side; without a row, the whole picture.
    """

    def __init__(self, source: TrackSource, boxes: Mapping[str, Rows]) -> None:
        self.source, self.boxes = source, boxes
        self.layout, self.actions, self.fps = source.layout, source.actions, frame_rate(source)

    @property
    def lengths(self) -> Sequence[int]:
        return self.source.lengths

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> Track:
        person = self.source[i]
        return replace(person, boxes=_between(np.array(self.boxes[person.name]), person.boxes))


def with_found_boxes(
    source: TrackSource, network: MultitaskNetwork, file: Path, console: Console
) -> FoundBoxes:
    """Look for the person in every eighth frame, with a network that is `ready`; ``file`` keeps the boxes.

    A video that is in ``source`` several times is looked at once, and one whose boxes are kept not at all.
    """
    boxes: dict[str, Rows] = json.loads(file.read_text())["boxes"] if file.exists() else {}
    videos = {person.name: person for person in map(source.__getitem__, range(len(source)))}
    missing = {name: person for name, person in videos.items() if name not in boxes}
    saved = time.monotonic()
    for number, name in enumerate(track(missing, "finding people", console=console, disable=not missing), 1):
        boxes[name] = _found(missing[name], network)
        if number == len(missing) or time.monotonic() > saved + _SAVE_S:
            write_json(file, {"boxes": boxes})
            saved = time.monotonic()
    return FoundBoxes(source, boxes)


def _found(person: Track, network: MultitaskNetwork) -> Rows:
    numbers = sorted({*range(0, len(person), _EVERY), len(person) - 1})
    rows = []
    for number in numbers:
        try:
            images, _ = person.frames.read([number])
        except UserError:  # told where the clip is read
            continue
        (box,) = find_boxes(network, images)
        rows += [] if box is None else [[number, *box.centre, box.side]]
    return rows


def _between(rows: FloatArray, whole: FloatArray) -> FloatArray:
    """The boxes (F, 3) of all frames, from rows (n, 4) of some; ``whole`` (F, 3) where there is none."""
    if not len(rows):
        return whole
    frames = np.arange(len(whole))
    return np.column_stack([np.interp(frames, rows[:, 0], column) for column in rows[:, 1:].T])
