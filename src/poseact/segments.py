"""From action probabilities over time to the segments of a timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from poseact.errors import UserError
from poseact.results import CHUNK, Results

NO_ACTION = "other"
"""A label of that name stands for everything else, and is never a segment."""
THRESHOLD = 0.7
SHORTEST_S = 1.0
"""What is told for less was mostly false: a window shows more (docs/experiments.md, section 21)."""
HOLE_S = 0.5
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Segment:
    """A ``person`` performs an ``action`` in frames ``first`` to ``last``, both included.

    ``start_s`` to ``end_s``: when the first frame begins and the last one ends, in seconds since the
    video's first frame. ``score``: the action's mean probability over the frames that it is
    the answer of.
    """

    person: int
    action: str
    first: int
    last: int
    start_s: float
    end_s: float
    score: float


def find_segments(
    results: Results,
    window: int,
    threshold: float = THRESHOLD,
    shortest_s: float = SHORTEST_S,
    hole_s: float = HOLE_S,
) -> tuple[Segment, ...]:
    """The segments of all people, by start, then person.

    A frame's label is its most probable action, where that reaches ``threshold``. ``window`` is how many
    frames of the video an answer looks back on, (T - 1) x stride + 1: see `centred` for which answer
    is a frame's. Then parts of the same action are joined over holes of up to ``hole_s`` seconds, whatever
    was told in these, parts under ``shortest_s`` seconds are dropped, and what this leaves side by side
    is joined again; so segments of one person never overlap.

    None where there are no actions. Raises `UserError` where an argument is out of its range.
    """
    if window < 1:
        raise UserError(f"window: expected at least 1 frame, got {window}; give (T - 1) x stride + 1")
    if not 0 <= threshold <= 1:
        raise UserError(f"threshold: expected a probability in [0, 1], got {threshold}; {THRESHOLD} is usual")
    if not (shortest_s >= 0 and hole_s >= 0):
        raise UserError(f"segments: expected seconds >= 0, got {shortest_s} and {hole_s}; give 0 for none")
    if not results.actions:
        return ()
    found: list[Segment] = []
    for person in results.people:
        parts = _joined(_parts(results, person, window, threshold), hole_s)
        parts = _joined([p for p in parts if p.end_s - p.start_s >= shortest_s - 1e-9], hole_s)
        found += [part.segment(person, results.actions) for part in parts]
    return tuple(sorted(found, key=lambda s: (s.first, s.person)))


def no_segment(results: Results, window: int, threshold: float = THRESHOLD) -> str:
    """Why `find_segments` finds none, in one line; empty where nobody was seen or no action is recognised."""
    if not (results.actions and results.people):
        return ""
    known = np.flatnonzero(results.column("action_known"))
    if not len(known):
        return f"no action can be told: it takes {window} frames of one person without a break"
    most = np.zeros(len(results.actions))
    for start in range(0, len(known), CHUNK):
        most = np.maximum(most, results.column("action", known[start : start + CHUNK]).max(0))
    most[_idle(results.actions)] = -1
    surest = int(most.argmax())
    return (
        f"no action kept a probability of {threshold:g} for {SHORTEST_S:g} s; at its highest: "
        f"{results.actions[surest]}, {most[surest]:.2f}; a lower --threshold shows more"
    )


def _idle(actions: Sequence[str]) -> list[int]:
    return [i for i, action in enumerate(actions) if action.lower() == NO_ACTION]


def centred(results: Results, person: int, window: int) -> tuple[IntArray, IntArray]:
    """Which rows of a person have an answer about their action, and the row that holds it: (N,) and (N,).

    The probabilities in a row are about the ``window`` frames that end there. What a window shows is
    placed at its centre, so a frame takes the answer given half a window later: that of the window whose
    centre is nearest, among those since the person's last restart and before the next one.
    """
    own = np.flatnonzero(results.column("person") == person)
    frames, known = results.column("frame", own), results.column("action_known", own)
    begins = np.flatnonzero(results.column("restarted", own))
    bounds = np.unique([0, *begins.tolist(), len(own)])
    places: list[IntArray] = []
    answers: list[IntArray] = []
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        answered = start + np.flatnonzero(known[start:end])
        if len(answered):
            places.append(own[start:end])
            answers.append(own[answered[nearest(frames[answered], frames[start:end] + window // 2)]])
    none = np.zeros(0, np.int64)
    return np.concatenate([none, *places]), np.concatenate([none, *answers])


def nearest(ascending: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> IntArray:
    """The places of the numbers, ascending, that are nearest to those ``wanted``, of two the later."""
    after = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(ascending[before] - wanted) < np.abs(ascending[after] - wanted)
    return np.asarray(np.where(nearer, before, after))


@dataclass(frozen=True)
class _Part:
    """Frames of one label; ``total`` probability over the ``count`` frames that have it."""

    label: int
    first: int
    last: int
    start_s: float
    end_s: float
    total: float
    count: int

    def segment(self, person: int, actions: tuple[str, ...]) -> Segment:
        score = self.total / self.count
        action = actions[self.label]
        return Segment(person, action, self.first, self.last, self.start_s, self.end_s, score)


def _parts(results: Results, person: int, window: int, threshold: float) -> list[_Part]:
    """Consecutive frames of the same label, in order; frames without a label are in none."""
    places, answers = centred(results, person, window)
    labels, probability = _most_probable(results, answers)
    frames, times = results.column("frame", places), results.column("time_s", places)
    labels[~(probability >= threshold) | np.isin(labels, _idle(results.actions))] = -1
    changes = np.flatnonzero((np.diff(labels) != 0) | (np.diff(frames) != 1)) + 1
    frame_s = 1 / results.fps if results.fps > 0 else 0.0
    # Frames may come unevenly: none lasts beyond the next one, nor through a long pause.
    ends_s = np.minimum(times + frame_s, results.seconds(frames + 1))
    parts = []
    for part in np.split(np.arange(len(places)), changes):
        if len(part) and labels[part[0]] >= 0:
            first, last = frames[part[[0, -1]]].tolist()
            start, end = float(times[part[0]]), float(ends_s[part[-1]])
            total = float(probability[part].sum())
            parts.append(_Part(int(labels[part[0]]), first, last, start, end, total, len(part)))
    return parts


def _most_probable(results: Results, answers: IntArray) -> tuple[IntArray, FloatArray]:
    """The most probable action of those rows, and its probability: (N,) and (N,)."""
    labels, probability = np.zeros(len(answers), np.int64), np.zeros(len(answers))
    for start in range(0, len(answers), CHUNK):
        some = slice(start, start + CHUNK)
        values = results.column("action", answers[some])
        labels[some], probability[some] = values.argmax(1), values.max(1)
    return labels, probability


def _joined(parts: list[_Part], hole_s: float) -> list[_Part]:
    """Parts of the same label as one, where the hole between them is no longer than ``hole_s``.

    What is told in the hole is dropped.
    """
    joined: list[_Part] = []
    for part in parts:
        same = len(joined) - 1
        while same >= 0 and joined[same].label != part.label and joined[same].end_s >= part.start_s - hole_s:
            same -= 1
        before = joined[same] if same >= 0 else None
        if before and before.label == part.label and part.start_s - before.end_s <= hole_s + 1e-9:
            total, count = before.total + part.total, before.count + part.count
            joined[same:] = [replace(before, last=part.last, end_s=part.end_s, total=total, count=count)]
        else:
            joined.append(part)
    return joined
