"""Videos of synthetic people as a data set of tracks: motion, person and scene, drawn when read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from poseact.data.clips import joint_boxes
from poseact.data.synthetic.actions import ACTIONS, holding, random_motion
from poseact.data.synthetic.capture import MotionClips
from poseact.data.synthetic.mesh import Person, posed, random_person, recoloured
from poseact.data.synthetic.placing import frame, placed
from poseact.data.synthetic.rasteriser import OTHER, PERSON, Rendering, Surface, only
from poseact.data.synthetic.rig import Motion, joints, random_lengths, starts
from poseact.data.synthetic.scene import Scene, random_scene
from poseact.geometry import Camera, FloatArray
from poseact.skeleton import FIGURE36
from poseact.structures import Image, Track

FPS = 30.0
BOX_MARGIN = 1.4
"""Side of the person's box over the larger extent of the joints."""
PEOPLE = 200
"""Builds and cuts of clothes that one seed has; colours are new in every video."""
OCCLUSION_MARGIN_M = 0.03
_AROUND_MIDDLE = 0.15
"""How far from the middle of a captured clip a part of it may lie, as a share of what is left of it."""
_SPEEDS = (0.8, 1.25)
"""A captured clip is played this many times as fast: a style that was not captured has its own pace."""
_OTHER_SHARE = 6
"""``other`` is drawn so many times as often as each action: it is all that has no name."""
_SHUTTER = 0.5
"""The share of the time between two frames in which the shutter is open."""
_PELVIS = FIGURE36.index("pelvis")


@dataclass(frozen=True)
class Film:
    """One person in one scene, over F frames: all that is known of a synthetic video.

    - ``person``, ``rotations`` (F, B, 3, 3), ``starts`` (F, B, 3): the body, see `skinning.posed`.
    - ``joints`` (F, 36, 3): of `skeleton.FIGURE36`, metres, world. ``held`` (F,): False where the
      person has let go of what it holds.
    - ``scene``; ``action``: its name; ``fps``.
    """

    person: Person
    rotations: FloatArray
    starts: FloatArray
    joints: FloatArray
    held: npt.NDArray[np.bool_]
    scene: Scene
    action: str
    fps: float

    def __len__(self) -> int:
        return len(self.joints)

    def picture(self, frame: int, reduction: int = 1) -> Rendering:
        """The finished frame with its exact depth and segmentation, reduced 1, 2 or 4 times."""
        count = self.scene.instants
        instants = np.linspace(-0.5, 0.5, count) * _SHUTTER if count > 1 else np.zeros(1)
        return self.scene.picture(frame, [self.surface(frame, float(t)) for t in instants], reduction)

    def occluded(self, frame: int, picture: Rendering) -> npt.NDArray[np.bool_]:
        """Which joints (36,) are hidden, from the frame's full-size ``picture``.

        Hidden: the surface at the joint's pixel is nearer than the joint by more than the body is
        thick there and `OCCLUSION_MARGIN_M`; or, where that is not the person's, nearer at all.
        False outside the picture.
        """
        camera = self.scene.camera(frame)
        column, row = np.round(camera.project(self.joints[frame])).astype(int).T
        height, width = picture.depth.shape
        within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        surface, other = np.full(len(FIGURE36), np.inf), np.zeros(len(FIGURE36), np.bool_)
        surface[within] = picture.depth[row[within], column[within]]
        other[within] = picture.segmentation[row[within], column[within]] == OTHER
        slack = np.where(other, 0.0, self.person.thickness + OCCLUSION_MARGIN_M)
        return np.asarray(camera.to_camera(self.joints[frame])[:, 2] > surface + slack)

    def track(self, name: str, action: int | None) -> Track:
        """The film as a track in the layout `skeleton.FIGURE36`; pictures are drawn when they are read."""
        cameras = self.scene.cameras
        if cameras[0] is cameras[-1]:  # it stands still: all frames at once
            pixels, seen = cameras[0].project(self.joints), cameras[0].to_camera(self.joints)[..., 2]
        else:
            pixels = np.stack([c.project(at) for c, at in zip(cameras, self.joints, strict=True)])
            seen = np.stack([c.to_camera(at)[:, 2] for c, at in zip(cameras, self.joints, strict=True)])
        root = seen[:, _PELVIS]
        known = np.ones(seen.shape, np.bool_)
        return Track(
            frames=_Drawn(self),
            joints=np.concatenate([pixels, (seen - root[:, None])[..., None] * 1000], -1),
            valid=known,
            depth_valid=known,
            layout=FIGURE36,
            boxes=joint_boxes(pixels, known, BOX_MARGIN),
            metres_per_pixel=root / [c.focal[0] for c in cameras],
            action=action,
            name=name,
            camera=cameras,
            root_depth_mm=root * 1000,
        )

    def first(self, frames: int) -> Film:
        """The film of its first ``frames`` frames."""
        some = slice(frames)
        return replace(
            self, rotations=self.rotations[some], starts=self.starts[some], joints=self.joints[some],
            held=self.held[some], scene=replace(self.scene, cameras=self.scene.cameras[some]),
        )  # fmt: skip

    def surface(self, frame: int, after: float = 0.0) -> Surface:
        """The posed person with what it holds, ``after`` (-0.5 to 0.5, in frames) the frame."""
        other = min(max(frame + (1 if after > 0 else -1), 0), len(self) - 1)
        share = abs(after)
        # Between two frames bones turn little: the mean of two rotations is one, nearly.
        rotations = (1 - share) * self.rotations[frame] + share * self.rotations[other]
        at = (1 - share) * self.starts[frame] + share * self.starts[other]
        surface = posed(self.person, rotations, at)
        return surface if self.held[frame] else only(surface, PERSON)


@dataclass(frozen=True)
class _Drawn:
    """The pictures of a film as frames of a video."""

    film: Film

    def __len__(self) -> int:
        return len(self.film)

    def read(self, indices: Sequence[int], reduction: int = 1) -> tuple[list[Image], int]:
        """See `structures.Frames`; drawn at most four times smaller."""
        reduction = min(reduction, 4)
        return [self.film.picture(i, reduction).image for i in indices], reduction


def make_film(
    rng: np.random.Generator,
    motion: Motion,
    person: Person,
    size: tuple[int, int],
    photographs: Sequence[Path] = (),
    camera: Camera | None = None,
) -> Film:
    """A film of ``person`` performing ``motion`` in a random scene of ``size`` (height, width) pixels.

    ``photographs``: pictures to take backgrounds from; ``camera``: a fixed one instead of a random one.
    """
    rotations, root = placed(motion, person.lengths)
    at = joints(rotations, root, person.lengths, person.points)
    return Film(
        person=person,
        rotations=rotations,
        starts=starts(rotations, root, person.lengths),
        joints=at,
        held=holding(motion) | (not motion.held),
        scene=random_scene(rng, at, size, photographs, camera),
        action=motion.action,
        fps=motion.fps,
    )


class SyntheticVideos:
    """``count`` videos of synthetic people, as many as one likes; video i depends on (seed, i) alone.

    - ``frames``: of each video; 1 for stills. ``size``: height and width in pixels.
    - ``motions``: motion capture to perform, one clip after the other; a clip shorter than
      ``frames`` is shown whole, of a longer one the middle, and for stills any frame. Without it, the
      procedural ``actions``, drawn at random.
    - ``both``: draw one of ``actions`` at random, ``other`` six times as often as each, and where
      ``motions`` has clips of it, perform one of these in half of the videos, from about its middle, a
      little slower or faster.
    - ``photographs``: picture files to take backgrounds from.

    The joints are those of `skeleton.FIGURE36`, all valid, some outside the picture.
    """

    layout, fps = FIGURE36, FPS

    def __init__(
        self,
        count: int,
        frames: int = 48,
        size: tuple[int, int] = (256, 256),
        seed: int = 0,
        motions: MotionClips | None = None,
        photographs: Sequence[Path] = (),
        actions: Sequence[str] = ACTIONS,
        both: bool = False,
    ) -> None:
        if count < 0 or frames < 1 or min(size) < 32 or seed < 0:
            raise ValueError(
                "expected count and seed >= 0, frames >= 1, size >= 32, "
                f"got {count}, {seed}, {frames}, {size}"
            )
        self.count, self.frames, self.size, self.seed = count, frames, size, seed
        self.motions, self.photographs, self.both = motions, tuple(photographs), both
        captured = set(motions.actions) if motions else set()
        # Names that are not ours stand alone.
        self.actions = tuple(actions) if captured <= set(actions) else tuple(sorted(captured))

    def __len__(self) -> int:
        return self.count

    @cached_property
    def lengths(self) -> Sequence[int]:
        """How many frames each video has."""
        if self.motions is None:
            return [self.frames] * self.count
        drawn = [self._draw(i, np.random.default_rng((self.seed, i)))[1:] for i in range(self.count)]
        own = self.motions.lengths
        return [self.frames if k is None else min(self.frames, _lasting(own[k], pace)) for k, pace in drawn]

    def __getitem__(self, i: int) -> Track:
        """Video ``i`` in [0, count); raises ``IndexError`` outside."""
        film = self.film(i)
        return film.track(f"synthetic {self.seed}/{i} {film.action}", self.actions.index(film.action))

    def film(self, i: int) -> Film:
        """The same video with all that is known of it."""
        if not 0 <= i < self.count:
            raise IndexError(f"synthetic videos: expected an index in [0, {self.count}), got {i}")
        rng = np.random.default_rng((self.seed, i))
        motion = self._motion(i, rng)
        person = _person(self.seed, int(rng.integers(PEOPLE)), tuple(sorted(motion.held.items())))
        return make_film(rng, motion, recoloured(rng, person), self.size, self.photographs)

    def _draw(self, i: int, rng: np.random.Generator) -> tuple[str, int | None, float]:
        """The action of video ``i``, the captured clip to perform (None: a procedural one), and its pace."""
        if self.motions is not None and not self.both:
            number = i % len(self.motions)
            return self.motions.actions[number], number, 1.0
        more = _OTHER_SHARE - 1 if self.both and "other" in self.actions else 0
        names = (*self.actions, *["other"] * more)
        action = names[rng.integers(len(names))]
        clips = self._of_action.get(action, ())
        if not len(clips) or rng.random() >= 0.5:
            return action, None, 1.0
        number = int(rng.choice(clips))
        return action, number, float(np.exp(rng.uniform(*np.log(_SPEEDS)))) if self.frames > 1 else 1.0

    @cached_property
    def _of_action(self) -> dict[str, npt.NDArray[np.int64]]:
        """The captured clips of each action."""
        names = np.array(self.motions.actions if self.motions else (), str)
        return {str(action): np.flatnonzero(names == action) for action in np.unique(names)}

    def _motion(self, i: int, rng: np.random.Generator) -> Motion:
        action, number, pace = self._draw(i, rng)
        if self.motions is None or number is None:
            return random_motion(action, rng, self.frames, FPS)
        motion = _at_pace(self.motions[number], pace)
        if self.frames == 1:  # a still has no action to show: any pose of the clip will do
            first = int(rng.integers(len(motion)))
        else:
            # What begins and ends a clip is not yet or no longer the action.
            away = rng.uniform(-_AROUND_MIDDLE, _AROUND_MIDDLE) if self.both else 0.0
            first = round(max(len(motion) - self.frames, 0) * (0.5 + away))
        kept = slice(first, first + self.frames)
        return replace(motion, rotations=motion.rotations[kept], root=motion.root[kept])


def _lasting(frames: int, pace: float) -> int:
    """How many frames a motion of so many has at another pace."""
    return max(round(frames / pace), 1)


def _at_pace(motion: Motion, pace: float) -> Motion:
    """The motion ``pace`` times as fast, at the same frames a second."""
    if pace == 1:
        return motion
    at = np.linspace(0, len(motion) - 1, _lasting(len(motion), pace))
    before = np.floor(at).astype(int)
    after, share = np.minimum(before + 1, len(motion) - 1), (at - before)[:, None]
    root = (1 - share) * motion.root[before] + share * motion.root[after]
    share = share[..., None, None]
    mixed = (1 - share) * motion.rotations[before] + share * motion.rotations[after]
    return replace(motion, rotations=frame(mixed[..., 0], mixed[..., 1]), root=root)


@lru_cache(maxsize=256)
def _person(seed: int, number: int, held: tuple[tuple[str, str], ...]) -> Person:
    """One of a seed's people; kept, since making one takes longer than drawing it."""
    rng = np.random.default_rng((seed, 0, number))
    return random_person(rng, random_lengths(rng), dict(held))
