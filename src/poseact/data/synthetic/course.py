"""Longer films: one person performs one movement after the other, with rests between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from poseact.data.synthetic.actions import ACTIONS, holding, random_motion
from poseact.data.synthetic.capture import MotionClips
from poseact.data.synthetic.mesh import random_person
from poseact.data.synthetic.placing import SOLE, placed, smoothstep, turn
from poseact.data.synthetic.rig import FloatArray, Lengths, Motion, joints, random_lengths, starts
from poseact.data.synthetic.scene import random_scene
from poseact.data.synthetic.videos import FPS, Film
from poseact.skeleton import FIGURE36
from poseact.structures import Track

OTHER = "other"
_BETWEEN_S = 0.5
"""Seconds from the last pose of one movement to the first of the next."""
_ACTION_S, _REST_S = (3.0, 5.0), (1.5, 3.0)
_EDGE = 0.15
"""The share of a movement at either end where it is not yet, or no longer, what it is called."""


@dataclass(frozen=True)
class Performed:
    """An ``action`` in frames ``first`` to ``last``, both included."""

    action: str
    first: int
    last: int


class Courses:
    """``count`` films of ``seconds`` and a little more; film i depends on (seed, i) alone.

    - ``known``: actions with rests between them; otherwise people who stand about and move as none
      of the actions.
    - ``motions``: captured movements with our names (`capture.with_common_names`): half of the actions
      that have some are taken from these, or, where not ``known``, half of what is shown.

    As a data set of tracks: each film's first ``seconds``, its actions by frame.
    """

    layout, fps, actions, changing = FIGURE36, FPS, ACTIONS, True

    def __init__(
        self,
        count: int,
        seconds: float = 12.0,
        size: tuple[int, int] = (256, 256),
        seed: int = 0,
        known: bool = True,
        motions: MotionClips | None = None,
    ) -> None:
        self.count, self.seconds, self.size = count, seconds, size
        self.seed, self.known, self.motions = seed, known, motions

    def __len__(self) -> int:
        return self.count

    @property
    def lengths(self) -> Sequence[int]:
        """How many frames each track has."""
        return [round(self.seconds * FPS)] * self.count

    def __getitem__(self, i: int) -> Track:
        """Film ``i`` as a track; raises ``IndexError`` outside [0, count)."""
        film, performed = self.film(i)
        film = film.first(round(self.seconds * FPS))
        actions = np.full(len(film), self.actions.index(OTHER))
        for each in performed:
            edge = round(_EDGE * (each.last + 1 - each.first))
            actions[each.first : each.last + 1] = -1
            actions[each.first + edge : each.last + 1 - edge] = self.actions.index(each.action)
        return replace(film.track(f"course {self.seed}/{i}", None), frame_actions=actions)

    def film(self, i: int) -> tuple[Film, tuple[Performed, ...]]:
        """Film ``i`` in [0, count), and its actions in order, none of them ``other``."""
        if not 0 <= i < self.count:
            raise IndexError(f"courses: expected an index in [0, {self.count}), got {i}")
        rng = np.random.default_rng((self.seed, 1, i))
        movements = self._movements(rng)
        lengths = random_lengths(rng)
        thing = next((each.held for each in movements if each.held), {})
        person = random_person(rng, lengths, dict(thing))
        rotations, root, begins = joined([placed(each, lengths) for each in movements], lengths)
        at = joints(rotations, root, lengths, person.points)
        held = np.full(len(root), not thing)
        for each, begin in zip(movements, begins, strict=True):
            if each.held:
                held[begin : begin + len(each)] = holding(each)
        film = Film(
            person, rotations, starts(rotations, root, lengths), at, held,
            random_scene(rng, at, self.size), OTHER, FPS,
        )  # fmt: skip
        spans = zip(movements, begins, strict=True)
        return film, tuple(
            Performed(m.action, b, b + len(m) - 1) for m, b in spans if self.known and m.action != OTHER
        )

    def _movements(self, rng: np.random.Generator) -> list[Motion]:
        found: list[Motion] = []
        while sum(map(len, found)) < self.seconds * FPS:
            if self.known and len(found) % 2:
                movement = self._movement(rng, ACTIONS[rng.integers(len(ACTIONS) - 1)], _ACTION_S)
            else:
                movement = self._movement(rng, OTHER, _REST_S if self.known else _ACTION_S)
            things = [each.held for each in found if each.held]
            # A hand holds one thing through the film.
            if not movement.held or not things or movement.held == things[0]:
                found.append(movement)
        return found

    def _movement(self, rng: np.random.Generator, action: str, seconds: tuple[float, float]) -> Motion:
        frames = round(FPS * rng.uniform(*seconds))
        names = self.motions.actions if self.motions else ()
        clips = [i for i, name in enumerate(names) if name == action]
        if self.motions is None or not clips or rng.random() < 0.5:
            return random_motion(action, rng, frames, FPS)
        motion = self.motions[int(rng.choice(clips))]
        first = max(0, (len(motion) - frames) // 2)
        kept = slice(first, first + frames)
        return replace(motion, rotations=motion.rotations[kept], root=motion.root[kept])


def joined(
    parts: Sequence[tuple[FloatArray, FloatArray]], lengths: Lengths
) -> tuple[FloatArray, FloatArray, list[int]]:
    """Movements one after the other: rotations (F, B, 3, 3), the pelvis (F, 3), where each begins.

    ``parts``: rotations and pelvis of each on the body of ``lengths``. Each goes on where the one before
    ended, heading the same way, after half a second from one pose to the other.
    """
    rotations, root = [parts[0][0]], [parts[0][1]]
    begins = [0]
    steps = round(_BETWEEN_S * FPS)
    for part in parts[1:]:
        last, here = rotations[-1][-1], root[-1][-1]
        swing = turn(y=_heading(last[0]) - _heading(part[0][0, 0]))
        turned, path = swing @ part[0], (part[1] - part[1][0] * [1, 0, 1]) @ swing.T + here * [1, 0, 1]
        share = smoothstep(np.arange(1, steps + 1) / (steps + 1), 0, 1)
        between = _between(last, turned[0], share)
        way = here + share[:, None] * (path[0] - here)
        lowest = joints(between, way, lengths)[..., 1].min(1)
        way[:, 1] += np.maximum(SOLE / 2 - lowest, 0)
        begins.append(sum(map(len, root)) + steps)
        rotations += [between, turned]
        root += [way, path]
    return np.concatenate(rotations), np.concatenate(root), begins


def _between(a: FloatArray, b: FloatArray, share: FloatArray) -> FloatArray:
    """Rotations (F, B, 3, 3) at each ``share`` (F,) of the shortest way from ``a`` to ``b`` (B, 3, 3)."""
    way = Rotation.from_matrix(np.swapaxes(a, 1, 2) @ b).as_rotvec()
    steps = Rotation.from_rotvec((share[:, None, None] * way).reshape(-1, 3)).as_matrix()
    return np.asarray(a @ steps.reshape(len(share), len(a), 3, 3))


def _heading(pelvis: FloatArray) -> float:
    """Degrees about y of a pelvis (3, 3), from where its left is, so that it holds for people who lie."""
    return float(np.rad2deg(np.arctan2(-pelvis[2, 0], pelvis[0, 0])))
