"""Movements as smooth curves over time, and how they turn a body's bones.

A curve is one number, or one (F,) array, in degrees or in metres of a body 1.7 m tall. `assembled` turns
curves into rotations: the trunk and the arms by their angles, the legs (and the arms that must be
somewhere) by reaching.

Curves, all optional:

- pelvis: ``x``, ``z`` its place; ``crouch`` how far it stands below where straight legs would
  hold it and ``level`` how far it follows their reach, or ``height``, to keep where the legs
  allow it, or ``y``, its exact height; ``pitch`` (> 0 bows), ``yaw`` (> 0 to the left), ``roll``.
- trunk and head, each against what carries it: ``bend``, ``twist``, ``side``; ``nod``, ``turn``, ``tilt``.
- arms, ``left_`` or ``right_``: ``raise`` in the vertical ``plane`` (0 front, 90 to the side),
  ``arm_twist`` (> 0 inwards), ``elbow``, ``wrist`` (> 0 to the palm), ``shrug``.
- feet: ``foot_x``, ``foot_z`` the ankle of the flat foot; ``lift`` of its lowest point; ``yaw``;
  ``toe`` (> 0 on tiptoe, < 0 on the heel); ``knee_out``.
- in metres from the thorax along the chest's axes: ``hand_at`` (F, 3) or ``wrist_at``, with
  ``elbow_to``, where the elbow points; ``hand_pose`` (3, 3) the hand against the chest.
- ``wrist_on`` (3,) where a hand lies on the floor, and ``hand_lies`` (3, 3) how.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from poseact.data.synthetic.placing import (
    INDEX,
    SOLE,
    average_lengths,
    cross,
    leg_length,
    reaching,
    set_arm,
    smoothstep,
    sole_vectors,
    times,
    turn,
    unit,
)
from poseact.data.synthetic.rig import BONES, LENGTH_SHARES, SIDES, FloatArray, rest_vectors, starts

Rng = np.random.Generator
Curves = dict[str, Any]

_LEG = LENGTH_SHARES["thigh"] + LENGTH_SHARES["shank"] + 0.4 * LENGTH_SHARES["foot"]
ROOT_HEIGHT = 1.7 * _LEG + SOLE
"""Metres at which the pelvis of the reference body stands, which is 1.7 m tall."""
BODY = average_lengths(ROOT_HEIGHT)
_ANKLE, BALL = -sole_vectors(BODY)[0, 1], BODY["foot"]

LIMITS: dict[str, tuple[float, float]] = {
    "bend": (-30, 80), "side": (-35, 35), "twist": (-45, 45),
    "nod": (-40, 40), "turn": (-65, 65), "tilt": (-25, 25),
    "raise": (-50, 175), "plane": (-30, 110), "arm_twist": (-80, 80), "elbow": (0, 148), "wrist": (-50, 60),
    "shrug": (-8, 30), "toe": (-50, 85), "knee_out": (-30, 60),
}  # fmt: skip
"""Least and greatest angle in degrees. Knee and elbow fold by 148 at most."""
_NOISE = {
    "pitch": 0.8, "yaw": 1.2, "roll": 0.8, "bend": 1.2, "side": 1.2, "twist": 1.5,
    "nod": 3, "turn": 4, "tilt": 1.5,
    "raise": 2, "plane": 3, "arm_twist": 3, "elbow": 2.5, "wrist": 2, "shrug": 0.5, "knee_out": 1.0,
    "x": 0.004, "z": 0.004, "crouch": 0.002, "hand_at": 0.004, "wrist_at": 0.006,
}  # fmt: skip
"""Size of the smooth noise on each curve, degrees or metres."""
_CENTRAL = ("pitch", "yaw", "roll", "bend", "side", "twist", "nod", "turn", "tilt")
_OF_ARM = ("raise", "plane", "arm_twist", "elbow", "wrist", "shrug")


# --- curves -------------------------------------------------------------------------------------


def cycles(rng: Rng, t: FloatArray, rate: float) -> FloatArray:
    """Cycles done at times ``t`` (F,) seconds: begins anywhere, about ``rate`` a second."""
    wobble = 0.05 * rng.random() * np.sin(2 * np.pi * (rng.uniform(0.1, 0.3) * t + rng.random()))
    return np.asarray(rng.random() + rate * t + wobble)


def through(phase: FloatArray, at: list[float], values: list[Any]) -> FloatArray:
    """A periodic curve of period 1 through ``values`` at phases ``at``; it never overshoots.

    Monotone cubic pieces: where the values turn, or rest, the curve is level. Values may be
    numbers, for a curve (F,), or vectors, for one (F, 3).
    """
    knots, given = np.array([*at, at[0] + 1]), np.array([*values, values[0]], float)
    width = np.diff(knots)
    flat = given.reshape(len(given), -1)
    slope = np.diff(flat, axis=0) / width[:, None]
    back = np.roll(slope, 1, axis=0)
    product = slope * back
    tangent = np.where(product > 0, 2 * product / np.where(product > 0, slope + back, 1), 0)
    where = (phase - at[0]) % 1 + at[0]
    k = np.clip(np.searchsorted(knots, where, side="right") - 1, 0, len(width) - 1)
    u = ((where - knots[k]) / width[k])[:, None]
    ends = flat[k], flat[k + 1]
    leaving, arriving = tangent[k] * width[k, None], tangent[(k + 1) % len(width)] * width[k, None]
    curve = (
        ends[0] * (1 + 2 * u) * (1 - u) ** 2 + ends[1] * u * u * (3 - 2 * u)
        + leaving * u * (1 - u) ** 2 - arriving * u * u * (1 - u)
    )  # fmt: skip
    return np.asarray(curve[:, 0] if given.ndim == 1 else curve)


def keyed(phase: FloatArray, at: list[float], **values: Sequence[float]) -> Curves:
    """Many curves through their values at the same phases."""
    columns = through(phase, at, list(zip(*values.values(), strict=True)))
    return dict(zip(values, columns.T, strict=True))


def between(rest: Any, there: Any, share: FloatArray) -> FloatArray:
    """From ``rest`` to ``there``, numbers or vectors, by ``share`` (F,)."""
    rest, there = np.asarray(rest, float), np.asarray(there, float)
    s = share[:, None] if max(rest.ndim, there.ndim) and (rest.shape or there.shape)[-1] == 3 else share
    return np.asarray(rest + s * (there - rest))


def smooth_noise(rng: Rng, t: FloatArray, rows: int) -> FloatArray:
    """Smooth noise (rows, F) of about unit size: a few slow waves."""
    waves = rng.uniform(0.1, 0.9, (rows, 3, 1))
    angle = 2 * np.pi * (waves * t + rng.random((rows, 3, 1)))
    return np.asarray((rng.uniform(0.3, 1, (rows, 3, 1)) * np.cos(angle)).sum(1) / 1.2)


def with_noise(curves: Curves, rng: Rng, t: FloatArray) -> Curves:
    """The curves as arrays, with noise and within the limits."""
    # Feet turn on the floor only where they are told to.
    sizes = {name: 0.0 if name.endswith("_yaw") else _NOISE.get(part_of(name), 0.0) for name in curves}
    rows = {name: 3 if part_of(name) in ("hand_at", "wrist_at") else 1 for name in curves}
    noise = smooth_noise(rng, t, sum(n for name, n in rows.items() if sizes[name]))
    done: Curves = {}
    used = 0
    for name, given in curves.items():
        value = np.asarray(given, float)
        if sizes[name]:
            extra = sizes[name] * noise[used : used + rows[name]]
            used += rows[name]
            value = value + (extra.T if rows[name] == 3 else extra[0])
        if part_of(name) in LIMITS:
            value = np.clip(value, *LIMITS[part_of(name)])
        done[name] = value
    return done


def part_of(name: str) -> str:
    """A curve's name without its side."""
    return name.removeprefix("left_").removeprefix("right_")


def both(**curves: Any) -> Curves:
    """The same curves for both sides."""
    return {f"{side}_{name}": value for side in SIDES for name, value in curves.items()}


# --- from curves to rotations -------------------------------------------------------------------


def assembled(curves: Curves, frames: int) -> tuple[FloatArray, FloatArray]:
    """Rotations (F, B, 3, 3) and the pelvis (F, 3) of the reference body."""
    get = curves.get
    rotations = np.empty((frames, len(BONES), 3, 3))
    zero = np.zeros(frames)
    central = {name: get(name, 0.0) + zero for name in _CENTRAL}
    angles = np.stack([
        np.stack([central["pitch"], central["yaw"], central["roll"]]),
        np.stack([central["bend"], central["twist"], central["side"]]) / 2,
        np.stack([central["nod"] + 16, central["turn"], central["tilt"]]) / 2,
        np.stack([central["nod"] - 16, central["turn"], central["tilt"]]) / 2,
        *(np.stack([zero, zero, sign * _lifted(get, side) + zero]) for side, sign in SIDES.items()),
    ])  # fmt: skip
    turned = turn(*np.moveaxis(angles, 1, 0))
    rotations[:, 0] = turned[0]
    rotations[:, INDEX["lumbar"]] = turned[0] @ turned[1]
    chest = rotations[:, INDEX["lumbar"]] @ turned[1]
    rotations[:, INDEX["chest"]] = chest
    rotations[:, INDEX["neck"]] = chest @ turned[2]
    rotations[:, INDEX["skull"]] = rotations[:, INDEX["neck"]] @ turned[3]
    for k, side in enumerate(SIDES):
        rotations[:, INDEX[f"{side}_clavicle"]] = chest @ turned[4 + k]
        _arm(rotations, curves, side, turned[4 + k])
    root = _legs(rotations, curves, frames)
    for side in SIDES:
        if f"{side}_wrist_on" in curves:
            shoulder = starts(rotations, root, BODY)[:, INDEX[f"{side}_upper_arm"]]
            wrist = np.broadcast_to(curves[f"{side}_wrist_on"], shoulder.shape)
            set_arm(rotations, shoulder, wrist, side, BODY)
            rotations[:, INDEX[f"{side}_hand"]] = curves[f"{side}_hand_lies"]
    return rotations, root


def _lifted(get: Callable[..., Any], side: str) -> Any:
    """Degrees by which a shoulder rises: by itself, and with its arm."""
    return get(f"{side}_shrug", 0.0) + 20 * smoothstep(np.asarray(get(f"{side}_raise", 0.0)), 20, 175)


def _arm(rotations: FloatArray, curves: Curves, side: str, clavicle: FloatArray) -> None:
    sign, frames = SIDES[side], len(rotations)
    own = {name: np.broadcast_to(curves.get(f"{side}_{name}", 0.0), frames) for name in _OF_ARM}
    chest = rotations[:, INDEX["chest"]]
    zero = np.zeros(frames)
    turns = turn(
        np.stack([zero, -own["raise"], zero, -own["elbow"], -own["wrist"]]),
        sign * np.stack([own["plane"], zero, -own["plane"] - own["arm_twist"], zero, zero]),
    )
    pose = curves.get(f"{side}_hand_pose")
    wrist = _wrist(curves, side)
    if wrist is None:
        upper = chest @ turns[0] @ turns[1] @ turns[2]
        lower = upper @ turns[3]
    else:
        shoulder = times(clavicle, rest_vectors(BODY)[f"{side}_clavicle"])
        elbow_to = np.asarray(curves.get(f"{side}_elbow_to", [0.5 * sign, -0.6, -0.5]), float)
        hinge = cross(unit(wrist - shoulder), unit(elbow_to))
        bones = reaching(
            shoulder, np.broadcast_to(wrist, shoulder.shape), BODY["upper_arm"], BODY["forearm"], hinge, -1
        )
        upper, lower = chest @ bones[0], chest @ bones[1]
    rotations[:, INDEX[f"{side}_upper_arm"]], rotations[:, INDEX[f"{side}_forearm"]] = upper, lower
    rotations[:, INDEX[f"{side}_hand"]] = lower @ turns[4] if pose is None else chest @ pose


def _wrist(curves: Curves, side: str) -> FloatArray | None:
    """Where the wrist must be, (F, 3) or (3,) from the thorax in the chest's axes; None if free."""
    hand = curves.get(f"{side}_hand_at")
    if hand is not None:
        pose = curves.get(f"{side}_hand_pose", turn(x=-90))
        return np.asarray(hand - np.asarray(pose) @ rest_vectors(BODY)[f"{side}_hand"])
    wrist = curves.get(f"{side}_wrist_at")
    return None if wrist is None else np.asarray(wrist)


def _legs(rotations: FloatArray, curves: Curves, frames: int) -> FloatArray:
    """Set feet and legs, in place; the pelvis (F, 3) where they hold it."""
    root = np.zeros((frames, 3))
    root[:, 0], root[:, 2] = curves.get("x", 0.0), curves.get("z", 0.0)
    ankles, hips, highest = {}, {}, []
    for side, sign in SIDES.items():
        foot, ankles[side] = _foot(curves, side, frames)
        rotations[:, INDEX[f"{side}_foot"]] = foot
        hips[side] = rotations[:, 0, :, 0] * (sign * BODY["hip_width"])
        away = ankles[side] - root - hips[side]
        reach = (0.998 * leg_length(BODY)) ** 2 - away[:, 0] ** 2 - away[:, 2] ** 2
        highest.append(ankles[side][:, 1] + np.sqrt(np.maximum(reach, 0.01)) - hips[side][:, 1])
    root[:, 1] = _height(curves, _lower(*highest))
    for side, sign in SIDES.items():
        out = np.broadcast_to(sign * curves.get(f"{side}_knee_out", 5.0), frames)
        hinge = rotations[:, 0] @ turn(y=out)[:, :, 0, None]
        bones = reaching(root + hips[side], ankles[side], BODY["thigh"], BODY["shank"], hinge[..., 0], 1)
        rotations[:, INDEX[f"{side}_thigh"]], rotations[:, INDEX[f"{side}_shank"]] = bones
    return root


def _height(curves: Curves, highest: FloatArray) -> Any:
    """The pelvis's height: told exactly, wished for, or as the legs bear it."""
    if "y" in curves:
        return curves["y"]
    if "height" in curves:
        return _lower(highest, curves["height"])
    # Walkers do not rise and sink by as much as stiff legs would make them.
    level = highest.min() + curves.get("level", 1.0) * (highest - highest.min())
    return level - curves.get("crouch", 0.01)


def _lower(a: FloatArray, b: FloatArray, round_off: float = 0.004) -> FloatArray:
    """The lower of two, with a rounded corner."""
    return np.asarray((a + b - np.sqrt((a - b) ** 2 + round_off**2)) / 2)


def _foot(curves: Curves, side: str, frames: int) -> tuple[FloatArray, FloatArray]:
    """A foot's rotation (F, 3, 3) and its ankle (F, 3); it rolls over its ball or its heel."""
    sign = SIDES[side]
    own = {
        name: np.broadcast_to(curves.get(f"{side}_{name}", rest), frames)
        for name, rest in (
            ("foot_x", 0.1 * sign), ("foot_z", 0.0), ("lift", 0.0), ("yaw", 8.0 * sign), ("toe", 0.0),
        )
    }  # fmt: skip
    flat, pitched = turn(y=own["yaw"]), turn(x=own["toe"])
    ball, heel = sole_vectors(BODY)
    pivot = np.where(own["toe"][:, None] >= 0, ball, heel)
    ankle = times(flat, pivot - times(pitched, pivot))
    ankle[:, 0] += own["foot_x"]
    ankle[:, 1] += own["lift"] + SOLE + _ANKLE
    ankle[:, 2] += own["foot_z"]
    return flat @ pitched, ankle


# --- standing, and what the other arm does --------------------------------------------------------


def standing(rng: Rng) -> Curves:
    """A posture on both feet, arms hanging; the movements write over it."""
    half = rng.uniform(0.07, 0.17)
    fore = rng.normal(0, 0.03)
    slouch = rng.uniform(0, 9)
    return {
        "crouch": rng.uniform(0, 0.008), "x": rng.normal(0, 0.01), "z": rng.normal(-0.01, 0.015),
        "pitch": rng.normal(0, 2), "yaw": rng.normal(0, 3), "roll": rng.normal(0, 1.5),
        "bend": slouch, "side": rng.normal(0, 2), "twist": rng.normal(0, 3),
        "nod": rng.normal(4, 7) - slouch / 2, "turn": rng.normal(0, 10), "tilt": rng.normal(0, 3),
        "left_foot_x": half, "right_foot_x": -half, "left_foot_z": fore, "right_foot_z": -fore,
        "left_yaw": rng.uniform(0, 22), "right_yaw": -rng.uniform(0, 22),
        **hanging(rng, "left"), **hanging(rng, "right"),
    }  # fmt: skip


def hanging(rng: Rng, side: str) -> Curves:
    """An arm that hangs."""
    return {
        f"{side}_raise": rng.uniform(5, 13), f"{side}_plane": rng.uniform(55, 95),
        f"{side}_arm_twist": rng.uniform(0, 30), f"{side}_elbow": rng.uniform(6, 30),
        f"{side}_wrist": rng.uniform(-5, 20), f"{side}_shrug": rng.uniform(-4, 3),
    }  # fmt: skip


AKIMBO = ([0.2, -0.38, 0.02], [1.0, -0.1, -0.5])
BEHIND = ([0.06, -0.4, -0.17], [0.8, 0.0, -0.8])
CLASPED = ([0.045, -0.42, 0.17], [0.8, -0.4, -0.5])
POCKET = ([0.19, -0.43, 0.07], [0.5, 0.0, -1.0])
HELD_UP = ([0.08, -0.27, 0.26], [0.6, -0.8, -0.3])


def placed_hand(rng: Rng, side: str, where: tuple[list[float], list[float]]) -> Curves:
    """A hand that rests somewhere on the body."""
    outwards = [SIDES[side], 1, 1]
    at = np.array(where[0]) * outwards + rng.normal(0, 0.015, 3)
    return {f"{side}_wrist_at": at, f"{side}_elbow_to": np.array(where[1]) * outwards}


def other_arm(rng: Rng, side: str = "left") -> Curves:
    """Mostly hanging, at times on the hip, in a pocket or behind the back."""
    kind = rng.random()
    if kind < 0.65:
        return hanging(rng, side)
    return placed_hand(rng, side, AKIMBO if kind < 0.8 else POCKET if kind < 0.92 else BEHIND)


def sway(rng: Rng, t: FloatArray, amount: float = 1.0) -> Curves:
    """Weight that goes from foot to foot, slowly: additions to ``x``, ``roll`` and ``side``."""
    wave = amount * np.sin(2 * np.pi * (rng.uniform(0.1, 0.4) * t + rng.random()))
    size = rng.uniform(0.005, 0.025)
    return {"x": size * wave, "roll": -80 * size * wave, "side": 90 * size * wave}


def with_added(curves: Curves, more: Curves) -> Curves:
    """The curves with those of ``more`` added to them."""
    return {**curves, **{name: curves.get(name, 0.0) + value for name, value in more.items()}}


def efforts(rng: Rng, t: FloatArray) -> FloatArray:
    """A factor near 1 (F,) that makes no two repetitions alike."""
    return np.asarray(1 + rng.uniform(0.02, 0.07) * smooth_noise(rng, t, 1)[0])


def begun_at(rng: Rng, t: FloatArray) -> FloatArray:
    """(F,): 1, but in some clips the arm comes up at first, or goes down at last."""
    lasting = t[-1] if len(t) else 0.0
    kind = rng.random()
    if lasting < 1 or kind > 0.5:
        return np.ones_like(t)
    edge = rng.uniform(0.1, 0.35) * lasting
    if kind < 0.3:
        return smoothstep(t, edge - 0.35, edge + 0.25)
    return smoothstep(t, lasting - edge + 0.25, lasting - edge - 0.35)
