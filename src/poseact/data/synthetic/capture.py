"""Motion capture: BVH files and `motions.npz`, carried over to the package's own skeleton.

Both become joint positions first, then a `rig.Motion` on the body of average proportions with the
captured person's legs: directions turn the bones, the planes of elbows and knees their twist,
hips and shoulders the trunk. Left is the captured person's left. +y is up.

On a body of the captured person's own lengths the joints of the Bandai-Namco set come back to
0.7 cm on average over 200 clips (at worst 9 cm, an ankle in its swing), the whole person 3.4 cm
lower, for the rig's ankle is that much nearer to the sole.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poseact.data.synthetic.placing import (
    INDEX,
    SOLE,
    ankle_height,
    average_lengths,
    carried,
    clearance,
    cross,
    frame,
    set_legs,
    smoothstep,
    sole_vectors,
    standing_height,
    times,
    turn,
    unit,
)
from poseact.data.synthetic.rig import BONES, LENGTH_SHARES, SIDES, FloatArray, Lengths, Motion, rest_vectors
from poseact.errors import UserError

Points = dict[str, FloatArray]
"""Joints by name, (F, 3) metres: ``pelvis`` (between the hips), ``spine``, ``thorax``, ``skull``
(its base), and of each side ``left_`` or ``right_`` hip, knee, ankle, toe, shoulder, elbow, wrist,
and ``clavicle`` where the capture has it."""

_SPINE_SHARE = LENGTH_SHARES["lumbar"] / (LENGTH_SHARES["lumbar"] + LENGTH_SHARES["chest"])
_REST_LIFT = 0.008
"""Metres by which a captured foot that stands may hover: the skin, the float16 and the solver."""
_STANDS_M_S, _SWINGS_M_S = 0.2, 0.6
"""A foot slower than the one stands, one faster than the other swings."""


@dataclass(frozen=True)
class Standing:
    """Heights in metres of ankle and toe joint when a captured foot stands flat."""

    ankle: float
    toe: float


# --- positions to rotations -----------------------------------------------------------------------


def retargeted(
    points: Points, standing: Standing, fps: float, action: str, head: FloatArray | None = None
) -> Motion:
    """The motion of captured joints, on the body of average proportions with the same legs.

    ``head`` (F, 3, 3): the skull's rotation where it is known; else the face looks where the
    chest does, smoothed. The feet are on the floor wherever the captured feet are.
    """
    reference = average_lengths(_root_height(points))
    rotations = np.empty((len(points["pelvis"]), len(BONES), 3, 3))
    _turn_trunk(rotations, points, head)
    for side in SIDES:
        _turn_arm(rotations, points, side)
        _turn_leg(rotations, points, side, standing)
    root = points["pelvis"].astype(float)
    root[:, 1] += ankle_height(reference) - standing.ankle
    ankles, lifts = _tread(rotations, points, standing, fps, reference)
    root = carried(rotations, root, ankles, lifts, reference)
    set_legs(rotations, root, ankles, reference)
    return Motion(rotations, root, standing_height(reference), fps, action, {})


def measured_lengths(points: Points) -> Lengths:
    """The captured person's own lengths; skull and hands, which are not captured, are average."""

    def apart(a: str, b: str) -> float:
        return float(np.median(np.linalg.norm(points[a] - points[b], axis=1)))

    def sides(a: str, b: str) -> float:
        return float(np.mean([apart(a.format(side), b.format(side)) for side in SIDES]))

    lengths = average_lengths(_root_height(points))
    return lengths | {
        "hip_width": sides("pelvis", "{}_hip"), "lumbar": apart("pelvis", "spine"),
        "chest": apart("spine", "thorax"), "neck": apart("thorax", "skull"),
        "clavicle": sides("thorax", "{}_shoulder"), "upper_arm": sides("{}_shoulder", "{}_elbow"),
        "forearm": sides("{}_elbow", "{}_wrist"), "thigh": sides("{}_hip", "{}_knee"),
        "shank": sides("{}_knee", "{}_ankle"), "foot": sides("{}_ankle", "{}_toe") / float(np.hypot(1, 0.4)),
    }  # fmt: skip


def _root_height(points: Points) -> float:
    """Where the pelvis of the average body with these legs stands."""
    shares = LENGTH_SHARES
    return SOLE + _leg(points) * (1 + 0.4 * shares["foot"] / (shares["thigh"] + shares["shank"]))


def _leg(points: Points) -> float:
    """From hip to ankle along the leg, the mean of both legs."""
    chains = [(f"{s}_{a}", f"{s}_{b}") for s in SIDES for a, b in (("hip", "knee"), ("knee", "ankle"))]
    return float(sum(np.median(np.linalg.norm(points[a] - points[b], axis=1)) for a, b in chains)) / 2


def _turn_trunk(rotations: FloatArray, points: Points, head: FloatArray | None) -> None:
    hips = points["left_hip"] - points["right_hip"]
    shoulders = points["left_shoulder"] - points["right_shoulder"]
    if "left_clavicle" in points:  # these move with the chest, not with the arms
        shoulders = shoulders + points["left_clavicle"] - points["right_clavicle"]
    low, high = points["spine"] - points["pelvis"], points["thorax"] - points["spine"]
    rotations[:, 0] = frame(hips, low)
    rotations[:, INDEX["lumbar"]] = frame(unit(hips) + unit(shoulders), low)
    rotations[:, INDEX["chest"]] = frame(shoulders, high)
    rotations[:, INDEX["neck"]] = frame(shoulders, points["skull"] - points["thorax"])
    if head is None:
        # Half the way back to the chest's own axis: a bent neck is not a bowed head.
        up = unit(points["skull"] - points["thorax"]) + unit(high)
        head = frame(_smoothed(unit(shoulders), 9), _smoothed(up, 9))
    rotations[:, INDEX["skull"]] = head


def _turn_arm(rotations: FloatArray, points: Points, side: str) -> None:
    chest = rotations[:, INDEX["chest"]]
    shoulder, elbow, wrist = (points[f"{side}_{joint}"] for joint in ("shoulder", "elbow", "wrist"))
    rest = unit(rest_vectors(average_lengths(1.0))[f"{side}_clavicle"])
    rotations[:, INDEX[f"{side}_clavicle"]] = (
        _swing(times(chest, rest), unit(shoulder - points["thorax"])) @ chest
    )
    upper, lower = unit(elbow - shoulder), unit(wrist - elbow)
    hanging = (_swing(-chest[:, :, 1], upper) @ chest)[:, :, 2]
    x = _hinge(upper, lower, hanging)
    rotations[:, INDEX[f"{side}_upper_arm"]] = frame(x, -upper)
    rotations[:, INDEX[f"{side}_forearm"]] = frame(x, -lower)
    rotations[:, INDEX[f"{side}_hand"]] = rotations[:, INDEX[f"{side}_forearm"]]


def _turn_leg(rotations: FloatArray, points: Points, side: str, standing: Standing) -> None:
    hip, knee, ankle, toe = (points[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle", "toe"))
    upper, lower, foot = unit(knee - hip), unit(ankle - knee), unit(toe - ankle)
    x = _hinge(upper, -lower, unit(rotations[:, 0, :, 2] + foot))
    rotations[:, INDEX[f"{side}_thigh"]] = frame(x, -upper)
    rotations[:, INDEX[f"{side}_shank"]] = frame(x, -lower)
    # The captured foot's rest direction differs from the rig's: turn by the difference.
    length = np.median(np.linalg.norm(toe - ankle, axis=1))
    drop = min((standing.ankle - standing.toe) / length, 0.95)
    flat = np.array([0, -drop, np.sqrt(1 - drop**2)])
    at_rest = frame(np.array([1.0, 0, 0]), flat)
    rotations[:, INDEX[f"{side}_foot"]] = frame(x, foot) @ at_rest.T


def _hinge(upper: FloatArray, lower: FloatArray, otherwise: FloatArray) -> FloatArray:
    """A limb's x axis (F, 3), of its plane where it is bent, and where it is straight as nearby.

    ``lower`` (F, 3) is what the joint folds to the front; ``otherwise`` points to the front of a
    limb that is never bent.
    """
    front = lower - (lower * upper).sum(1, keepdims=True) * upper
    bent = smoothstep(np.linalg.norm(front, axis=1), 0.10, 0.35)
    plain = otherwise - (otherwise * upper).sum(1, keepdims=True) * upper
    z = _smoothed(bent[:, None] * unit(front), 7) + 0.1 * unit(plain)
    return unit(cross(-upper, z))


def _swing(start: FloatArray, end: FloatArray) -> FloatArray:
    """The shortest rotations (F, 3, 3) from unit vectors to unit vectors (F, 3)."""
    axis = cross(start, end)
    cosine = (start * end).sum(1)
    skew = np.zeros((len(axis), 3, 3))
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    skew -= np.swapaxes(skew, 1, 2)
    return np.asarray(np.eye(3) + skew + skew @ skew / np.maximum(1 + cosine, 1e-3)[:, None, None])


def _tread(
    rotations: FloatArray, points: Points, standing: Standing, fps: float, lengths: Lengths
) -> tuple[Points, Points]:
    """Where the reference body's ankles belong, (F, 3), and how high its feet are lifted, (F,)."""
    ankles: Points = {}
    lifts: Points = {}
    for side in SIDES:
        foot = rotations[:, INDEX[f"{side}_foot"]]
        toe, ankle = points[f"{side}_toe"], points[f"{side}_ankle"]
        heel = ankle + foot @ [0, standing.toe - standing.ankle, sole_vectors(lengths)[1, 2]]
        low = np.minimum(toe[:, 1], heel[:, 1]) - standing.toe
        speed = fps * np.linalg.norm(np.gradient(toe, axis=0), axis=1) if len(toe) > 1 else np.zeros(len(toe))
        lifts[side] = np.maximum(low - _REST_LIFT * smoothstep(speed, _SWINGS_M_S, _STANDS_M_S), 0)
        goal = toe - foot @ sole_vectors(lengths)[0]
        goal[:, 1] += lifts[side] - clearance(goal, foot, lengths)
        ankles[side] = goal
    return ankles, lifts


def _smoothed(values: FloatArray, width: int) -> FloatArray:
    """A running mean over ``width`` (odd) frames of (F, 3); the ends repeat themselves."""
    half = width // 2
    padded = np.concatenate([values[:1].repeat(half, 0), values, values[-1:].repeat(half, 0)])
    total = np.cumsum(np.concatenate([np.zeros_like(padded[:1]), padded]), axis=0)
    return np.asarray((total[width:] - total[:-width]) / width)


def _thorax(shoulders: FloatArray, neck: FloatArray, spine: FloatArray) -> FloatArray:
    """The point of the spine between the shoulders, a little above their joints."""
    up = unit(neck - spine)
    below = float(np.median(((neck - shoulders) * up).sum(1))) - 0.015
    return np.asarray(neck - np.clip(below, 0, 0.08) * up)


# --- motions.npz ----------------------------------------------------------------------------------

_NPZ_JOINTS = {
    "spine": "Spine", "neck": "Neck", "skull": "Head",
    **{f"{side}_{joint}": f"{name}_{side[0].upper()}" for side in SIDES
       for joint, name in (("clavicle", "Shoulder"), ("shoulder", "UpperArm"), ("elbow", "LowerArm"),
                           ("wrist", "Hand"), ("hip", "UpperLeg"), ("knee", "LowerLeg"),
                           ("ankle", "Foot"), ("toe", "Toes"))},
}  # fmt: skip
"""Our names and those of the Bandai-Namco skeleton."""
LARGE_ACTION = 100
"""Clips that an action needs to be trained on, see `split_by_style`."""
STILL_WAVE_M = 0.025
"""Standard deviation of a wrist's place beside the chest, below which it does not wave."""
_NPZ_FIELDS = ("positions", "lengths", "clip", "action", "style", "joint_names", "fps")


@dataclass(frozen=True)
class MotionClips:
    """A sequence of clips of one file, each turned into a `Motion` when it is asked for.

    - ``names``, ``actions``, ``styles``: a string for each clip.
    - ``fps``; ``standing``: how the captured feet stand, over the whole file.
    """

    names: tuple[str, ...]
    actions: tuple[str, ...]
    styles: tuple[str, ...]
    fps: float
    standing: Standing
    _clips: tuple[npt.NDArray[np.float16], ...] = field(repr=False)
    _joints: dict[str, int] = field(repr=False)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Motion:
        """Clip ``index`` on the package's skeleton; raises ``IndexError`` outside."""
        points = self.points(index)
        # Shoes and solvers differ: the toes of a clip stand a little higher or lower than the file's.
        toe = float(np.clip(_stands(points).toe, self.standing.toe - 0.015, self.standing.toe + 0.015))
        return retargeted(points, replace(self.standing, toe=toe), self.fps, self.actions[index])

    def points(self, index: int) -> Points:
        """The captured joints of clip ``index``, smoothed over the steps of float16, metres.

        The clip keeps its place; `measured_lengths` of them is the captured person's build.
        """
        return _named(_unstepped(self._clips[index]), self._joints)

    def subset(self, indices: Iterable[int]) -> MotionClips:
        """The clips of those numbers, in that order."""
        kept = list(indices)
        return replace(
            self,
            names=tuple(self.names[i] for i in kept),
            actions=tuple(self.actions[i] for i in kept),
            styles=tuple(self.styles[i] for i in kept),
            _clips=tuple(self._clips[i] for i in kept),
        )

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many frames each clip has."""
        return tuple(len(clip) for clip in self._clips)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many clips each action has, most first."""
        labels, counts = np.unique(np.array(self.actions, str), return_counts=True)
        return {str(labels[i]): int(counts[i]) for i in np.argsort(-counts, kind="stable")}

    def of_actions(self, actions: Iterable[str]) -> MotionClips:
        """The clips of those actions."""
        wanted = set(actions)
        return self.subset(i for i, action in enumerate(self.actions) if action in wanted)

    def by_style(self, held_out: Iterable[str]) -> tuple[MotionClips, MotionClips]:
        """The clips of all other styles and those of the styles ``held_out``.

        Raises ``UserError`` where the file has no clip of a named style.
        """
        wanted = set(held_out)
        unknown = sorted(wanted - set(self.styles))
        if unknown:
            raise UserError(
                f"styles to hold out: expected some of {', '.join(sorted(set(self.styles)))}, "
                f"found {', '.join(unknown)}; name those that the file has"
            )
        numbers = range(len(self))
        return (
            self.subset(i for i in numbers if self.styles[i] not in wanted),
            self.subset(i for i in numbers if self.styles[i] in wanted),
        )


COMMON_NAMES = {
    **{name: name for name in ("walk", "run", "bow", "punch", "kick")},
    "dash": "run", "call": "phone_call",
    **{f"walk-turn-{side}": f"turn_{side}" for side in SIDES},
    **{f"raise-up-{side}-hand": f"raise_{side}" for side in SIDES}, "raise-up-both-hands": "raise_both",
    **{f"wave-{side}-hand": f"wave_{side}" for side in SIDES}, "wave-both-hands": "wave_both",
}  # fmt: skip
"""Actions of the Bandai-Namco set and ours that mean the same."""


def with_common_names(clips: MotionClips) -> MotionClips:
    """The clips with actions named as the procedural ones are, where they mean the same."""
    return replace(clips, actions=tuple(COMMON_NAMES.get(action, action) for action in clips.actions))


def without_still_waves(clips: MotionClips) -> MotionClips:
    """The clips with common names, less the waves in whose middle half no wrist moves by `STILL_WAVE_M`.

    In one captured style the fingers wave, which the joints do not tell: what would be drawn is a hand
    that is held up, called by the wrong name.
    """
    return clips.subset(i for i, action in enumerate(clips.actions) if not _waves_still(clips, i, action))


def _waves_still(clips: MotionClips, index: int, action: str) -> bool:
    sides = {"wave_left": ("left",), "wave_right": ("right",), "wave_both": ("left", "right")}.get(action, ())
    if not sides:
        return False
    points = clips.points(index)
    quarter = len(points["thorax"]) // 4
    middle = slice(quarter, -quarter or None)
    apart = [(points[f"{side}_wrist"] - points["thorax"])[middle] for side in sides]
    return all(float(np.linalg.norm(at.std(0))) < STILL_WAVE_M for at in apart)


def split_by_style(clips: MotionClips, split: str) -> MotionClips:
    """The clips of a split: ``train``, ``val``, ``test`` or ``all``.

    All but ``all`` keep the actions that have at least `LARGE_ACTION` clips. Of the styles that all of
    these have, by name, the last is ``test`` and the second ``val``; every other style is ``train``.
    Raises ``UserError`` where there are fewer than three such styles.
    """
    if split == "all":
        return clips
    large = [action for action, count in clips.counts.items() if count >= LARGE_ACTION]
    kept = clips.of_actions(large)
    common = sorted(
        set.intersection(set(kept.styles), *(set(kept.of_actions([action]).styles) for action in large))
    )
    if len(common) < 3:
        raise UserError(
            f"motions: expected three styles that all actions of {LARGE_ACTION} clips have, "
            f"found {common or 'none'}; use the split 'all'"
        )
    held_out = {"val": common[1], "test": common[-1]}
    train, _ = kept.by_style(held_out.values())
    return train if split == "train" else kept.by_style([held_out[split]])[1]


def read_motions_npz(path: Path | str) -> MotionClips:
    """The clips of ``motions.npz``: positions (sum of frames, 22, 3) in metres, y up, labelled.

    Raises ``UserError`` where the file is missing, damaged or of another form.
    """
    path = Path(path)
    found = _load_npz(path)
    joints = [str(name) for name in found["joint_names"]]
    missing = sorted(set(_NPZ_JOINTS.values()) - set(joints))
    if missing:
        raise UserError(
            f"{path}: expected the joints of the Bandai-Namco skeleton, found none named "
            f"{', '.join(missing)}; write them under these names"
        )
    positions, lengths = found["positions"], found["lengths"]
    names, actions, styles = (tuple(str(v) for v in found[name]) for name in ("clip", "action", "style"))
    if (
        positions.shape[1:] != (len(joints), 3) or lengths.ndim != 1 or positions.dtype.kind != "f"
        or lengths.dtype.kind not in "iu" or (lengths < 1).any() or lengths.sum() != len(positions)
        or {len(names), len(actions), len(styles)} != {len(lengths)} or found["fps"].size != 1
        or not 0 < float(found["fps"]) < np.inf
    ):  # fmt: skip
        raise UserError(
            f"{path}: expected positions (sum of lengths, {len(joints)}, 3), one label a clip and fps > 0, "
            f"found positions {positions.shape}, {len(lengths)} lengths, {lengths.sum()} frames; "
            "write it again"
        )
    if not np.isfinite(positions).all():
        raise UserError(f"{path}: expected finite positions, found others; write it again without them")
    index = {ours: joints.index(theirs) for ours, theirs in _NPZ_JOINTS.items()}
    some = positions[:: max(len(positions) // 20000, 1)].astype(float)
    standing = _stands(_named(some, index))
    ends = np.cumsum(lengths)
    clips = tuple(positions[end - n : end] for n, end in zip(lengths, ends, strict=True))
    return MotionClips(names, actions, styles, float(found["fps"]), standing, clips, index)


def _load_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = sorted(set(_NPZ_FIELDS) - set(archive.files))
            if missing:
                raise UserError(
                    f"{path}: expected the fields {', '.join(_NPZ_FIELDS)}, found no {', '.join(missing)}; "
                    "get the file again"
                )
            return {name: archive[name] for name in _NPZ_FIELDS}
    except FileNotFoundError:
        raise UserError(f"{path}: expected a file, found none; give the path of motions.npz") from None
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        short = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: expected an npz archive, found: {short}; get the file again") from None


def _unstepped(positions: npt.NDArray[np.float16]) -> FloatArray:
    """Positions as float, each fitted by a parabola through five frames: steps of float16 vanish."""
    exact = positions.astype(float)
    if len(exact) < 5:
        return exact
    smooth = exact.copy()
    weights = np.array([-3, 12, 17, 12, -3]) / 35
    smooth[2:-2] = sum(w * exact[k : len(exact) - 4 + k] for k, w in enumerate(weights))
    return smooth


def _named(positions: FloatArray, index: dict[str, int]) -> Points:
    points = {name: positions[:, i] for name, i in index.items()}
    points["pelvis"] = (points["left_hip"] + points["right_hip"]) / 2
    shoulders = (points["left_shoulder"] + points["right_shoulder"]) / 2
    points["thorax"] = _thorax(shoulders, points.pop("neck"), points["spine"])
    return points


def _stands(points: Points) -> Standing:
    """How the feet stand: the heights that ankles and toes come down to, time and again."""
    lowest = {
        joint: np.minimum(points[f"left_{joint}"][:, 1], points[f"right_{joint}"][:, 1])
        for joint in ("ankle", "toe")
    }
    toe, ankle = (float(np.percentile(lowest[joint], 5)) for joint in ("toe", "ankle"))
    return Standing(max(ankle, toe), toe)


# --- BVH ------------------------------------------------------------------------------------------

_PARTS = {
    "hip": ("upperleg", "upleg", "thigh", "femur", "hip"),
    "knee": ("lowerleg", "lowleg", "shin", "calf", "tibia", "knee", "leg"),
    "ankle": ("ankle", "foot"), "toe": ("toe", "toes", "toebase", "toe0", "ball", "foot"),
    "shoulder": ("upperarm", "uparm", "arm", "humerus", "shldr", "shoulder"),
    "clavicle": ("clavicle", "collar", "shoulder"),
    "elbow": ("lowerarm", "lowarm", "forearm", "radius", "elbow"), "wrist": ("wrist", "hand"),
}  # fmt: skip
"""For each of our joints the names of the bone that begins there, the surest first."""
_KNOWN = {name for names in _PARTS.values() for name in names}
_OPTIONAL = ("toe", "clavicle")
_IDLE_WORDS = {
    "joint", "jnt", "j", "bip", "bip01", "valvebiped", "mixamorig", "def", "bone", "b", "rig", "01",
}  # fmt: skip
_LONGEST_LEG_M = 3.0
_PLAUSIBLE_LEG_M = (0.5, 1.3)
_USUAL_LEG_M = 0.85


@dataclass
class _Bone:
    name: str
    parent: int
    offset: FloatArray
    channels: list[str]
    column: int


def read_bvh(path: Path | str) -> Motion:
    """The motion of a BVH file; its action is the file's name without the ending.

    Any order of rotations; +y is up. Lengths are metres where a leg is shorter than 3 units, else
    centimetres; where that makes a leg of under 0.5 or over 1.3 m, it is taken for one of 0.85 m.
    Bones are found by their names: Bandai-Namco, CMU, Mixamo, Biped, SMPL and what resembles them.
    The lowest that the toes come down to is the floor. Raises ``UserError`` where the file is no
    BVH file, or where bones are not found, which it names.
    """
    path = Path(path)
    bones, frames, step = _parse(path)
    at, turned = _forward(bones, frames)
    found = _found(path, bones)
    points = _bvh_points(bones, at, found)
    scale = _metres(points)
    points = {name: scale * where for name, where in points.items()}
    _grow_toes(points)
    standing = _stands(points)
    head = _bvh_head(bones, turned, found)
    return retargeted(points, standing, 1 / step, path.stem, head)


def _parse(path: Path) -> tuple[list[_Bone], FloatArray, float]:
    """Bones, channels (F, C) and the seconds of a frame."""
    try:
        lines = [line.strip() for line in path.read_text("utf-8", errors="replace").splitlines()]
    except FileNotFoundError:
        raise UserError(f"{path}: expected a BVH file, found none; give its path") from None
    except OSError as error:
        raise UserError(f"{path}: expected a BVH file, found: {error.strerror}; give another path") from None
    lines = [line for line in lines if line]
    try:
        middle = lines.index("MOTION")
        if lines[0] != "HIERARCHY":
            raise ValueError(f"a first line {lines[0][:40]!r}")
        bones = _parse_bones(lines[1:middle])
        count = int(lines[middle + 1].split(":")[1])
        step = float(lines[middle + 2].split(":")[1])
        values = np.array(" ".join(lines[middle + 3 :]).split(), float)
        columns = sum(len(bone.channels) for bone in bones)
        if count < 1 or not 0 < step < np.inf or len(values) < count * columns or columns == 0:
            raise ValueError(f"{len(values)} numbers for {count} frames of {columns} channels every {step} s")
        values = values[: count * columns].reshape(count, columns)
        if not np.isfinite(values).all():
            raise ValueError("numbers that are not finite")
    except (ValueError, IndexError, KeyError) as error:
        what = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(
            f"{path}: expected a BVH file (HIERARCHY, MOTION, Frames, Frame Time), found: {what}; "
            "export it again"
        ) from None
    return bones, values, step


def _parse_bones(lines: list[str]) -> list[_Bone]:
    bones: list[_Bone] = []
    stack: list[int] = []
    column, waiting = 0, ""
    for line in lines:
        word, _, rest = line.partition(" ")
        if word in ("ROOT", "JOINT"):
            waiting = rest.strip()
        elif word == "End":
            waiting = f"{bones[stack[-1]].name} end"
        elif word == "{":
            bones.append(_Bone(waiting, stack[-1] if stack else -1, np.zeros(3), [], column))
            stack.append(len(bones) - 1)
        elif word == "}":
            stack.pop()
        elif word == "OFFSET":
            bones[stack[-1]].offset = np.array(rest.split(), float).reshape(3)
        elif word == "CHANNELS":
            names = rest.split()[1:]
            known = {axis + kind for axis in "XYZ" for kind in ("position", "rotation")}
            if len(names) != int(rest.split()[0]) or not set(names) <= known:
                raise ValueError(f"a line {line[:60]!r}")
            bones[stack[-1]].channels, bones[stack[-1]].column = names, column
            column += len(names)
        else:
            raise ValueError(f"a line {line[:60]!r}")
    if stack or not bones:
        raise ValueError("brackets that do not close")
    return bones


def _forward(bones: list[_Bone], frames: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where each bone starts (F, B, 3), in the file's units, and its rotation (F, B, 3, 3)."""
    count = len(frames)
    at, turned = np.empty((count, len(bones), 3)), np.empty((count, len(bones), 3, 3))
    for i, bone in enumerate(bones):
        place = np.broadcast_to(bone.offset, (count, 3)).copy()
        turned_by = np.broadcast_to(np.eye(3), (count, 3, 3))
        for k, channel in enumerate(bone.channels):
            values, axis = frames[:, bone.column + k], channel[0].lower()
            if channel.endswith("position"):
                place[:, "xyz".index(axis)] = values
            else:
                turned_by = turned_by @ turn(**{axis: values})
        if bone.parent < 0:
            at[:, i], turned[:, i] = place, turned_by
        else:
            above = turned[:, bone.parent]
            at[:, i] = at[:, bone.parent] + times(above, place)
            turned[:, i] = above @ turned_by
    return at, turned


def _plain(name: str) -> tuple[str | None, str]:
    """A bone's side and its name in small letters: ("left", "upperarm") of "mixamorig:LeftUpperArm"."""
    words = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+", name.rsplit(":", 1)[-1])
    words = [word.lower() for word in words]
    side = None
    for long in SIDES:
        for short in (long, long[0]):
            if side is None and short in words:
                words.remove(short)
                side = long
            # All in small letters: leftarm, lshin.
            rest = words[0].removeprefix(short) if words else ""
            if side is None and rest != "".join(words[:1]) and rest in _KNOWN:
                words[0], side = rest, long
    return side, "".join(word for word in words if word not in _IDLE_WORDS)


def _found(path: Path, bones: list[_Bone]) -> dict[str, int]:
    """Our joints' bones; raises ``UserError`` naming those that are not found."""
    known: dict[tuple[str | None, str], int] = {}
    for i, bone in enumerate(bones):
        if not bone.name.endswith(" end"):
            known.setdefault(_plain(bone.name), i)
    found: dict[str, int] = {}
    missing = []
    for side in SIDES:
        for part, names in _PARTS.items():
            free = (known[side, name] for name in names if (side, name) in known)
            number = next((i for i in free if i not in found.values()), None)
            if number is not None:
                found[f"{side}_{part}"] = number
            elif part not in _OPTIONAL:
                missing.append(f"{side} {names[0]}")
    for part, names in (("neck", ("neck", "neck1")), ("skull", ("head", "skull"))):
        number = next((known[None, n] for n in names if (None, n) in known), None)
        if number is not None:
            found[part] = number
    if "neck" not in found and "skull" not in found:
        missing.append("neck or head")
    if missing:
        has = ", ".join(bone.name for bone in bones if not bone.name.endswith(" end"))
        raise UserError(
            f"{path}: expected a human skeleton, found no bone for {', '.join(missing)} among {has[:300]}; "
            "rename its bones, as to LeftUpLeg, LeftLeg, LeftFoot, LeftArm, LeftForeArm, LeftHand, Neck, Head"
        )
    return found


def _bvh_points(bones: list[_Bone], at: FloatArray, found: dict[str, int]) -> Points:
    points = {name: at[:, i] for name, i in found.items()}
    points["pelvis"] = (points["left_hip"] + points["right_hip"]) / 2
    shoulders = (points["left_shoulder"] + points["right_shoulder"]) / 2
    neck = points.pop("neck", shoulders)
    trunk = neck - points["pelvis"]
    points["spine"] = _spine(bones, at, found, points["pelvis"], trunk)
    # In the file's units, so the shoulders' level is told by shares of the trunk.
    low = float(np.median(((neck - shoulders) * unit(trunk)).sum(1) / np.linalg.norm(trunk, axis=1)))
    points["thorax"] = neck - np.clip(low - 0.03, 0, 0.2) * trunk
    points.setdefault("skull", points["thorax"] + 0.2 * trunk)
    for side in SIDES:
        toe = f"{side}_toe"
        end = next((i for i, b in enumerate(bones) if b.parent == found[f"{side}_ankle"]), None)
        if toe not in points and end is not None:
            points[toe] = at[:, end]
    return points


def _spine(
    bones: list[_Bone], at: FloatArray, found: dict[str, int], pelvis: FloatArray, trunk: FloatArray
) -> FloatArray:
    """The joint of the back nearest to where the rig has its own; a point there if there is none."""
    bone = found.get("neck", found.get("skull", 0))
    length = (trunk * trunk).sum(1)
    best, wanted = pelvis + _SPINE_SHARE * trunk, 0.2
    while bone >= 0:
        share = float(np.median(((at[:, bone] - pelvis) * trunk).sum(1) / length))
        if abs(share - _SPINE_SHARE) < wanted:
            best, wanted = at[:, bone], abs(share - _SPINE_SHARE)
        bone = bones[bone].parent
    return best


def _metres(points: Points) -> float:
    """Metres of one unit of the file, guessed from the length of the legs."""
    leg = _leg(points)
    metres = 1.0 if leg < _LONGEST_LEG_M else 0.01
    plausible = _PLAUSIBLE_LEG_M[0] <= leg * metres <= _PLAUSIBLE_LEG_M[1]
    return metres if plausible else _USUAL_LEG_M / max(leg, 1e-9)


def _grow_toes(points: Points) -> None:
    """Toes for a skeleton without: level feet that point where the pelvis does."""
    across = points["left_hip"] - points["right_hip"]
    ahead = unit(cross(across, np.array([0.0, 1.0, 0.0])))
    for side in SIDES:
        if f"{side}_toe" not in points:
            points[f"{side}_toe"] = points[f"{side}_ankle"] + 0.12 * ahead - np.array([0, 0.05, 0])


def _bvh_head(bones: list[_Bone], turned: FloatArray, found: dict[str, int]) -> FloatArray | None:
    """The skull's rotation (F, 3, 3), where the skeleton's own rest pose stands upright."""
    if "skull" not in found:
        return None
    rest = np.zeros((len(bones), 3))
    for i, bone in enumerate(bones):
        rest[i] = bone.offset + (rest[bone.parent] if bone.parent >= 0 else 0)
    hips = [rest[found[f"{side}_hip"]] for side in SIDES]
    up = unit(rest[found["skull"]] - (hips[0] + hips[1]) / 2)
    if up[1] < 0.9:
        return None
    return np.asarray(turned[:, found["skull"]] @ frame(hips[0] - hips[1], np.array([0.0, 1.0, 0.0])))
