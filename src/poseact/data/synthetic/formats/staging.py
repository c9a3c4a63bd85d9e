"""What all forms share: what was ordered, how it is performed and filmed, and the truth of a film."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import cycle, zip_longest
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from poseact.data.images import write_whole
from poseact.data.synthetic.actions import random_motion
from poseact.data.synthetic.capture import MotionClips
from poseact.data.synthetic.mesh import Person, random_person
from poseact.data.synthetic.placing import turn
from poseact.data.synthetic.rig import Motion, random_lengths
from poseact.data.synthetic.videos import FPS, Film, make_film
from poseact.errors import UserError
from poseact.geometry import Camera, FloatArray
from poseact.skeleton import FIGURE36
from poseact.structures import Image

BoolArray = npt.NDArray[np.bool_]

SPLITS = ("train", "val", "train", "test", "train")
"""What videos, and captured motions, are for, in turn."""
JPEG_QUALITY = 92
_STREAM = 0x706F7365
"""Keeps these people apart from those of `videos.SyntheticVideos`, which a network may have trained on."""


@dataclass(frozen=True)
class Captured:
    """Motion capture: N motions, and the action of each."""

    actions: tuple[str, ...]
    motions: MotionClips | tuple[Motion, ...]


@dataclass(frozen=True)
class Order:
    """What is to be written.

    - ``root``: the folder. ``count``: videos, or people where the form is of stills.
    - ``frames``: of each video; a captured motion that is shorter is shown whole. ``size``: height and width.
    - ``actions``: of `actions.ACTIONS`, or of ``captured`` where that is given; all of them have a label.
    - ``photographs``: picture files to take backgrounds from.
    """

    root: Path
    count: int
    frames: int
    size: tuple[int, int]
    seed: int
    actions: tuple[str, ...]
    captured: Captured | None = None
    photographs: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Task:
    """``files``, which ``write`` makes, each whole or not at all; with the last of them it is done."""

    files: tuple[Path, ...]
    write: Callable[[], None]

    @property
    def done(self) -> bool:
        return all(path.exists() for path in self.files)


@dataclass(frozen=True)
class Role:
    """A label of the set, and the ordered actions that have it."""

    label: str
    actions: tuple[str, ...]


@dataclass(frozen=True)
class Take:
    """What is performed: an action under its label; ``captured``: the number of the motion, if it is one."""

    label: str
    action: str
    captured: int | None


def label_of(action: str, labels: Mapping[str, str] | None) -> str | None:
    """The set's label of an action, None where it has none; without a table, its own name.

    A captured action counts as ours if its name begins like it: walk-turn-left is a walk.
    """
    if labels is None:
        return action
    name = action.replace("-", "_")
    return next((label for ours, label in labels.items() if name.startswith(ours)), None)


def roles(order: Order, labels: Mapping[str, str] | None) -> list[Role]:
    """The labels that the ordered actions have, in their order."""
    found: dict[str, list[str]] = {}
    for action in order.actions:
        label = label_of(action, labels)
        if label is not None:
            found.setdefault(label, []).append(action)
    return [Role(label, tuple(actions)) for label, actions in found.items()]


def taker(order: Order) -> Callable[[Role, str], Take]:
    """What to perform next for a role in a part of the set: ``train``, ``val`` or ``test``.

    The actions of a role take turns. Captured motions are shared out between the parts, so that none
    is in two; only where an action has too few of them (under four) do parts without one take them all.
    """
    waiting: dict[tuple[Role, str], Iterator[Take]] = {}

    def take(role: Role, part: str) -> Take:
        if (role, part) not in waiting:
            waiting[role, part] = cycle(_takes(order, role, part))
        return next(waiting[role, part])

    return take


def _takes(order: Order, role: Role, part: str) -> list[Take]:
    if order.captured is None:
        return [Take(role.label, action, None) for action in role.actions]
    by_action = []
    for action in role.actions:
        all_numbers = [i for i, name in enumerate(order.captured.actions) if name == action]
        own = [n for i, n in enumerate(all_numbers) if SPLITS[i % len(SPLITS)] == part] or all_numbers
        by_action.append([Take(role.label, action, number) for number in own])
    return [take for turn_takes in zip_longest(*by_action) for take in turn_takes if take]


def generator(order: Order, *numbers: int) -> np.random.Generator:
    """The randomness of what those numbers name."""
    return np.random.default_rng((_STREAM, order.seed, *numbers))


def performed(order: Order, rng: np.random.Generator, take: Take, fps: float | None = None) -> Motion:
    """The motion of a take; a procedural one is new each time.

    ``fps``: None for that of the motion. A captured motion longer than ordered is cut at random.
    """
    if order.captured is None or take.captured is None:
        return random_motion(take.action, rng, order.frames, fps or FPS)
    motion = order.captured.motions[take.captured]
    motion = motion if fps is None else resampled(motion, fps)
    first = int(rng.integers(max(len(motion) - order.frames, 0) + 1))
    kept = slice(first, first + order.frames)
    return replace(motion, rotations=motion.rotations[kept], root=motion.root[kept])


def resampled(motion: Motion, fps: float) -> Motion:
    """The motion at another rate: between two frames, straight ways and the nearest rotations."""
    if abs(motion.fps - fps) < 1e-3 or len(motion) < 2:
        return replace(motion, fps=fps)
    count = int((len(motion) - 1) * fps / motion.fps + 1e-6) + 1
    at = np.arange(count) * motion.fps / fps
    before = np.minimum(at.astype(int), len(motion) - 2)
    share = at - before
    root = motion.root[before] + share[:, None] * (motion.root[before + 1] - motion.root[before])
    near, far = motion.rotations[before], motion.rotations[before + 1]
    left, _, right = np.linalg.svd(near + share[:, None, None, None] * (far - near))
    return replace(motion, rotations=left @ right, root=root, fps=fps)


def centred(motion: Motion) -> Motion:
    """The motion around the middle of the floor, for cameras that stand where they stand."""
    low, high = motion.root.min(0), motion.root.max(0)
    return replace(motion, root=motion.root - (low + high) / 2 * [1, 0, 1])


def facing(motion: Motion, azimuth: float) -> Motion:
    """The motion turned on the floor so that, on average, the hips face ``azimuth`` degrees, +z being 0."""
    front = motion.rotations[:, 0, :, 2].mean(0)
    turned = turn(y=azimuth - np.rad2deg(np.arctan2(front[0], front[2])))
    return replace(motion, rotations=turned @ motion.rotations, root=motion.root @ turned.T)


def random_somebody(rng: np.random.Generator, motion: Motion) -> Person:
    """A person with what the motion holds."""
    return random_person(rng, random_lengths(rng), motion.held)


def filmed(
    order: Order,
    rng: np.random.Generator,
    motion: Motion,
    person: Person,
    size: tuple[int, int] | None = None,
    camera: Camera | None = None,
) -> Film:
    """A film of the ordered ``size``, or of another."""
    return make_film(rng, motion, person, size or order.size, order.photographs, camera)


def pictures(film: Film, occluded: list[BoolArray]) -> Iterator[Image]:
    """The finished frames in turn; which joints (36,) each hides is added to ``occluded``."""
    for frame in range(len(film)):
        seen = film.picture(frame)
        occluded.append(film.occluded(frame, seen))
        yield seen.image


def inside(pixels: FloatArray, size: tuple[int, int]) -> BoolArray:
    """Which pixels (..., 2) lie in a picture of ``size`` (height, width), its edges included."""
    return np.asarray(((pixels >= -0.5) & (pixels <= np.array(size[::-1]) - 0.5)).all(-1))


def truth(film: Film, occluded: list[BoolArray], order: Order, number: int) -> dict[str, Any]:
    """All that is known of a film, ready for JSON: see `clips`."""
    track = film.track("", None)
    height, width = film.scene.size
    cameras = [film.scene.camera(i) for i in range(len(film))]
    about = {
        name: np.round([getattr(camera, name) for camera in cameras], 6).tolist()
        for name in ("rotation", "position", "focal", "centre", "radial", "tangential")
    }
    return {
        "seed": order.seed,
        "number": number,
        "action": film.action,
        "fps": film.fps,
        "width": width,
        "height": height,
        "joint_names": list(FIGURE36.joints),
        "joints_px": np.round(track.joints[..., :2], 3).tolist(),
        "joints_world_m": np.round(film.joints, 5).tolist(),
        "depth_mm": np.round(track.joints[..., 2], 2).tolist(),
        "inside": inside(track.joints[..., :2], film.scene.size).tolist(),
        "occluded": np.array(occluded).tolist(),
        "boxes": np.round(track.boxes, 3).tolist(),
        "camera": about,
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON whole, without blanks: a clip has tens of thousands of numbers."""
    write_whole(path, json.dumps(content, separators=(",", ":")).encode())


def write_jpeg(path: Path, image: Image) -> None:
    """Write (H, W, 3) uint8 RGB; the file appears whole or not at all."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    write_whole(path, data.tobytes())


def at_most(order: Order, limit: int, form: str) -> None:
    """Raises `UserError` where the form cannot number so many."""
    if order.count > limit:
        raise UserError(f"--count: expected at most {limit}, which {form} can number, got {order.count}")
