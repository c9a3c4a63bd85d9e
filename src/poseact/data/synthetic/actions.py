"""Procedural movements: every action's angles and footholds as smooth curves over time.

An action is a function that draws its style and returns *curves* (see `curves`) from a posture and what
is moved in it. One-sided actions are told for the right side; half of them are mirrored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from poseact.data.synthetic.curves import (
    AKIMBO,
    BALL,
    BEHIND,
    BODY,
    CLASPED,
    HELD_UP,
    POCKET,
    ROOT_HEIGHT,
    Curves,
    Rng,
    assembled,
    begun_at,
    between,
    both,
    cycles,
    efforts,
    hanging,
    keyed,
    other_arm,
    part_of,
    placed_hand,
    smooth_noise,
    standing,
    sway,
    through,
    with_added,
    with_noise,
)
from poseact.data.synthetic.placing import (
    INDEX,
    PALM,
    SOLE,
    leg_length,
    smoothstep,
    sole_vectors,
    times,
    turn,
)
from poseact.data.synthetic.rig import BONES, SIDES, FloatArray, Motion

_MIRROR = np.array([-1.0, 1, 1])


@dataclass
class _Take:
    """What a movement's function returns: its curves and what the right or left hand holds."""

    curves: Curves
    held: dict[str, str] = field(default_factory=dict)


# --- on foot --------------------------------------------------------------------------------------


Path = Callable[[FloatArray], tuple[FloatArray, FloatArray, FloatArray]]
"""x, z in metres and heading in degrees (> 0 to the left) after so many metres on the way."""


def _arc(curvature: float) -> Path:
    """An arc that starts at +z."""

    def at(s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        angle = curvature * s
        x = s * np.sinc(angle / 2 / np.pi) * np.sin(angle / 2)
        z = s * np.sinc(angle / 2 / np.pi) * np.cos(angle / 2)
        return x, z, np.rad2deg(angle)

    return at


def _corner(degrees: float, middle: float, length: float) -> Path:
    """Straight on but for a bend by ``degrees`` that has its middle after ``middle`` metres."""

    def at(s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        way = np.arange(min(float(s.min()), 0.0) - 0.01, float(s.max()) + 0.02, 0.01)
        heading = degrees * smoothstep(way, middle - length / 2, middle + length / 2)
        steps = 0.01 * np.stack([np.sin(np.deg2rad(heading)), np.cos(np.deg2rad(heading))])
        x, z = np.cumsum((steps[:, :-1] + steps[:, 1:]) / 2, axis=1, out=np.zeros_like(steps[:, 1:]))
        whole = [np.interp(s, way, np.concatenate([[0.0], line])) for line in (x, z)]
        start = [float(np.interp(0.0, way, np.concatenate([[0.0], line]))) for line in (x, z)]
        return whole[0] - start[0], whole[1] - start[1], np.interp(s, way, heading)

    return at


def _steps(
    phase: FloatArray, stride: float, duty: float, path: Path, width: float,
    toes: tuple[list[float], list[float]], lifts: tuple[list[float], list[float]], out: float,
) -> Curves:  # fmt: skip
    """Footholds of a gait: each foot stands for ``duty`` of its cycle, then swings to the next.

    ``toes`` and ``lifts``: phases and values of those curves, from the left foot's landing.
    """
    curves: Curves = {}
    for side, sign, late in (("left", 1, 0.0), ("right", -1, 0.5)):
        own = phase - late
        hold = np.floor(own)
        # It leaves the floor before it moves on, and comes to rest before it lands.
        swing = smoothstep(own - hold, duty + 0.04, 0.97)
        # A foot stands under the body in the middle of its stance.
        ends = []
        for k in (hold, hold + 1):
            x, z, heading = path(stride * (k + late + duty / 2))
            angle = np.deg2rad(heading)
            ends.append((x + sign * width * np.cos(angle), z - sign * width * np.sin(angle), heading))
        x, z, heading = (a + swing * (b - a) for a, b in zip(*ends, strict=True))
        curves |= {
            f"{side}_foot_x": x, f"{side}_foot_z": z, f"{side}_yaw": heading + sign * out,
            f"{side}_toe": through(own, *toes), f"{side}_lift": through(own, *lifts),
        }  # fmt: skip
    return curves


def _walk(rng: Rng, t: FloatArray) -> _Take:
    return _walking(rng, t, turns=False)


def _turn(rng: Rng, t: FloatArray) -> _Take:
    return _walking(rng, t, turns=True)


def _walking(rng: Rng, t: FloatArray, turns: bool) -> _Take:
    """Almost straight on, or with a turn to the right, about half-way."""
    rate = rng.uniform(0.7, 1.1)
    stride = float(np.clip(rng.normal(1.25, 0.2) * (rate / 0.9) ** 0.5, 0.75, 1.7))
    phase, brisk = cycles(rng, t, rate), stride / 1.25
    duty = rng.uniform(0.58, 0.66)
    toes = ([0, 0.1, 0.36, duty, duty + 0.14, 0.88], [-16 * brisk, 0, 0, 48 * brisk, 22, -14 * brisk])
    lifts = ([0, duty, duty + 0.06, duty + 0.17, 0.87], [0, 0, 0.025, rng.uniform(0.05, 0.1), 0.04])
    path, width = _arc(rng.normal(0, 0.09)), rng.uniform(0.05, 0.11)
    if turns:
        middle = stride * float(np.quantile(phase, rng.uniform(0.35, 0.65)))
        path = _corner(-rng.uniform(55, 130), middle, rng.uniform(0.9, 1.7) * stride)
    x, z, heading = path(stride * phase)
    left = np.cos(2 * np.pi * (phase - 0.05))  # 1 when the left foot is in front
    sway = rng.uniform(0.005, 0.025) * np.sin(2 * np.pi * (phase - 0.05))  # towards the foot that stands
    swing, elbow = rng.uniform(10, 30) * brisk, rng.uniform(8, 28)
    forward = rng.uniform(0.1, 0.8)
    yaw, angle = rng.uniform(2, 7), np.deg2rad(heading)
    curves = standing(rng) | _steps(phase, stride, duty, path, width, toes, lifts, rng.uniform(0, 12))
    curves |= {
        "x": x + sway * np.cos(angle), "z": z - sway * np.sin(angle),
        "crouch": rng.uniform(0, 0.012), "level": rng.uniform(0.4, 0.6),
        "pitch": rng.normal(2.5, 2), "yaw": heading - yaw * left,
        "roll": -rng.uniform(1, 4) * np.sin(2 * np.pi * phase),
        "twist": curves["twist"] / 2 + (yaw + rng.uniform(2, 6)) * left,
        "turn": curves["turn"] - rng.uniform(1, 4) * left,
        "knee_out": 0.0,
    }  # fmt: skip
    for side, sign in SIDES.items():
        ahead = -sign * left
        curves[f"{side}_raise"] = swing * (ahead + 0.15)
        curves[f"{side}_plane"] = rng.uniform(0, 12)
        curves[f"{side}_arm_twist"] = rng.uniform(0, 20)
        curves[f"{side}_elbow"] = elbow + forward * swing * (1 + ahead) / 2
        curves[f"{side}_knee_out"] = rng.uniform(-2, 8)
    return _Take(curves)


def _run(rng: Rng, t: FloatArray) -> _Take:
    rate = rng.uniform(1.2, 1.65)
    stride = rng.uniform(1.2, 2.6) if rng.random() < 0.85 else rng.uniform(0.1, 0.6)
    phase, fast = cycles(rng, t, rate), np.clip(stride / 2, 0.35, 1.2)
    duty = rng.uniform(0.3, 0.38)
    toes = ([0, 0.08, 0.16, duty, duty + 0.2, 0.85], [-6 * fast, 0, 4, 42, 40 + 45 * fast, 5])
    lifts = ([0, duty, duty + 0.24, 0.86], [0, 0, rng.uniform(0.22, 0.3) + 0.2 * fast, 0.13])
    path, width = _arc(rng.normal(0, 0.05)), rng.uniform(0.03, 0.08)
    x, z, heading = path(stride * phase)
    left = np.cos(2 * np.pi * (phase + (0.13 if stride > 1 else 0.28)))  # 1 when the left knee is in front
    # Lowest in the middle of each stance, highest in flight.
    bounce = -np.cos(4 * np.pi * (phase - duty / 2))
    yaw, lean = rng.uniform(3, 8), rng.uniform(1, 5) + 6 * fast
    swing, elbow, open_ = rng.uniform(22, 38) * (0.6 + 0.4 * fast), rng.uniform(70, 108), rng.uniform(5, 20)
    curves = standing(rng) | _steps(phase, stride, duty, path, width, toes, lifts, rng.uniform(-2, 8))
    curves |= {
        "x": x, "z": z, "height": ROOT_HEIGHT - rng.uniform(0.045, 0.08) + rng.uniform(0.028, 0.045) * bounce,
        "pitch": lean, "yaw": heading - yaw * left, "roll": -rng.uniform(1, 4) * np.sin(2 * np.pi * phase),
        "bend": rng.uniform(0, 8), "twist": (yaw + rng.uniform(4, 10)) * left,
        "nod": curves["nod"] / 2 - lean, "turn": curves["turn"] / 2 - rng.uniform(1, 5) * left,
    }  # fmt: skip
    for side, sign in SIDES.items():
        ahead = -sign * left
        curves[f"{side}_raise"] = swing * ahead - rng.uniform(2, 10)
        curves[f"{side}_plane"] = rng.uniform(-5, 15)
        curves[f"{side}_arm_twist"] = rng.uniform(10, 35)
        curves[f"{side}_elbow"] = elbow + open_ * ahead
        curves[f"{side}_knee_out"] = rng.uniform(-3, 5)
    return _Take(curves)


def _hops(phase: FloatArray, contact: float, height: Any) -> tuple[FloatArray, FloatArray]:
    """Lift (F,) of the feet and give of the knees (F,), metres: stand for ``contact``, then fly."""
    u = phase % 1
    w = np.clip((u - contact) / (1 - contact), 0, 1)
    give = height * 4 * contact / np.pi / (1 - contact)  # so that the pelvis moves on evenly
    return 4 * height * w * (1 - w), give * np.sin(np.pi * np.clip(u / contact, 0, 1))


def _jumping_jacks(rng: Rng, t: FloatArray) -> _Take:
    phase, contact = cycles(rng, t, rng.uniform(0.75, 1.2)), rng.uniform(0.42, 0.6)
    lift, give = _hops(2 * phase, contact, rng.uniform(0.04, 0.1))
    narrow, wide = rng.uniform(0.06, 0.12), rng.uniform(0.28, 0.46)
    hold = contact / 2
    spread = through(phase, [0, hold, 0.5, 0.5 + hold], [narrow, narrow, wide, wide])
    up = efforts(rng, t) * (0.5 - 0.5 * np.cos(2 * np.pi * (phase - hold / 2 - rng.normal(0, 0.02))))
    top = rng.uniform(140, 170) if rng.random() < 0.9 else rng.uniform(90, 120)
    curves = standing(rng)
    toe = 4 + 300 * lift
    for side, sign in SIDES.items():
        low = rng.uniform(4, 16)
        curves |= {
            f"{side}_foot_x": sign * spread, f"{side}_foot_z": 0.0, f"{side}_lift": lift, f"{side}_toe": toe,
            f"{side}_raise": low + (top + rng.normal(0, 4) - low) * up, f"{side}_plane": rng.uniform(78, 96),
            f"{side}_arm_twist": rng.uniform(-30, 0), f"{side}_elbow": rng.uniform(8, 40),
            f"{side}_knee_out": 15.0, f"{side}_yaw": sign * rng.uniform(5, 20),
        }  # fmt: skip
    curves |= {"crouch": 0.012 + give, "pitch": 2 + 60 * give, "turn": curves["turn"] / 3}
    return _Take(curves)


def _jump_rope(rng: Rng, t: FloatArray) -> _Take:
    phase = cycles(rng, t, rng.uniform(1.7, 2.6))
    curves = standing(rng)
    lift, give = _hops(phase, rng.uniform(0.4, 0.55), rng.uniform(0.03, 0.08))
    curves |= {"crouch": 0.02 + give, "turn": curves["turn"] / 3, "pitch": 1 + 60 * give}
    kind = rng.random()  # on both feet, from foot to foot, or on one
    for side, sign in SIDES.items():
        turnover = 2 * np.pi * (phase + 0.1)
        up = np.zeros_like(t)
        if kind > 0.85 and side == "right":
            up += rng.uniform(0.12, 0.3)
        elif kind > 0.65:
            up += rng.uniform(0.08, 0.2) * smoothstep(sign * np.sin(np.pi * (phase - 0.25)), -0.3, 1.0)
        curves |= {
            f"{side}_foot_x": sign * rng.uniform(0.05, 0.09), f"{side}_foot_z": -0.6 * up,
            f"{side}_lift": lift + up, f"{side}_toe": 9 + 300 * lift + 60 * up,
            f"{side}_raise": rng.uniform(8, 24) + 3 * np.sin(turnover), f"{side}_plane": rng.uniform(60, 95),
            f"{side}_arm_twist": rng.uniform(-45, -15) + 9 * np.sin(turnover),
            f"{side}_elbow": rng.uniform(55, 88) + 11 * np.cos(turnover),
            f"{side}_wrist": 15 * np.sin(turnover),
        }  # fmt: skip
    return _Take(curves)


# --- exercises ------------------------------------------------------------------------------------


def _squat(rng: Rng, t: FloatArray) -> _Take:
    phase, rest = cycles(rng, t, rng.uniform(0.28, 0.6)), rng.uniform(0.05, 0.3)
    low = through(phase, [0, rest, 0.5 + rest / 2, 0.56 + rest / 2], [0, 0, 1, 1]) * efforts(rng, t)
    depth, lean = rng.uniform(0.25, 0.5), rng.uniform(14, 30)
    half, out = rng.uniform(0.12, 0.26), rng.uniform(5, 32)
    curves = standing(rng)
    bend = lean * rng.uniform(0.3, 0.7) * (0.4 + depth)
    curves |= {
        "x": 0.0, "z": -0.01 - rng.uniform(0.22, 0.32) * depth * low, "crouch": 0.01 + depth * low,
        "pitch": lean * low * (0.5 + depth), "bend": curves["bend"] / 2 + bend * low,
        "nod": curves["nod"] / 2 - 0.7 * lean * low, "turn": curves["turn"] / 3,
        "left_foot_x": half, "right_foot_x": -half, "left_foot_z": 0.0, "right_foot_z": 0.0,
        "left_yaw": out, "right_yaw": -out, **both(knee_out=0.9 * out),
    }  # fmt: skip
    kind = rng.random()
    for side in SIDES:
        if kind < 0.5:  # arms forward, for balance
            share = np.ones_like(t) if kind < 0.1 else low
            curves |= {
                f"{side}_raise": between(6, rng.uniform(75, 105), share),
                f"{side}_plane": rng.uniform(0, 12), f"{side}_elbow": rng.uniform(5, 20),
                f"{side}_arm_twist": 0.0,
            }  # fmt: skip
        elif kind < 0.75:
            curves |= placed_hand(rng, side, ([0.04, -0.08, 0.2], [0.9, -0.7, 0.1]))
        elif kind < 0.9:
            curves |= placed_hand(rng, side, ([0.11, 0.19, -0.04], [1.0, 0.1, 0.35]))
        else:
            curves |= placed_hand(rng, side, AKIMBO)
    return _Take(curves)


def _push_up(rng: Rng, t: FloatArray) -> _Take:
    frames, effort = len(t), efforts(rng, t)
    phase, rest = cycles(rng, t, rng.uniform(0.35, 0.95)), rng.uniform(0.02, 0.25)
    down = through(phase, [0, rest, 0.5 + rest / 2], [0, 0, 1]) * np.minimum(effort, 1.03)
    arm = BODY["upper_arm"] + BODY["forearm"]
    high, low = PALM + arm * rng.uniform(0.93, 0.97), rng.uniform(0.18, 0.3)
    thorax = high + (low - high) * down + 0.015
    # A plank from the ankles to the shoulders; the balls of the feet stand at z = 0.
    toe, half = rng.uniform(60, 72), rng.uniform(0.04, 0.15)
    ball = sole_vectors(BODY)[0]
    ankle = np.array([0, SOLE, 0]) - turn(x=toe) @ ball
    leg, trunk = 0.997 * leg_length(BODY), BODY["lumbar"] + BODY["chest"]
    slope = np.arcsin((thorax - ankle[1]) / (leg + trunk))
    sag = rng.normal(0.5, 1) + rng.uniform(-1.5, 1.5) * down
    rise = slope + np.deg2rad(sag)
    height = ankle[1] + leg * np.sin(rise)
    # The trunk makes good what the hips sag, so that the shoulders stay where they belong.
    chest = np.rad2deg(np.arcsin(np.clip((thorax - height) / trunk, -1, 1)))
    reach_z = ankle[2] + leg * np.cos(rise) + trunk * np.cos(np.deg2rad(chest))
    pitch = 90 - chest
    hands_z = reach_z.max() + rng.uniform(-0.1, 0.04)
    wide = rng.uniform(0.17, 0.3)
    curves: Curves = {
        "x": 0.0, "y": height, "z": ankle[2] + leg * np.cos(rise), "pitch": pitch,
        "bend": 0.0, "side": 0.0, "twist": 0.0, "nod": rng.uniform(-38, -10), "turn": rng.normal(0, 6),
        "left_foot_x": half, "right_foot_x": -half, **both(foot_z=-BALL, toe=toe, knee_out=0.0, yaw=0.0),
    }  # fmt: skip
    for side, sign in SIDES.items():
        hand = np.array([sign * wide, PALM, hands_z])
        curves[f"{side}_wrist_on"] = hand
        # The same from the thorax, in the chest's axes, which stand by `pitch` about x.
        away = hand - np.stack([np.zeros(frames), thorax, reach_z], axis=1)
        curves[f"{side}_wrist_at"] = times(turn(x=-pitch), away)
        curves[f"{side}_elbow_to"] = [sign * rng.uniform(0.4, 1.2), -1.0, -0.2]
        lying = np.array([[0, 0, -sign], [sign, 0, 0], [0, -1, 0]], float)  # palm down, fingers ahead
        curves[f"{side}_hand_lies"] = turn(y=sign * rng.uniform(-5, 20)) @ lying
    return _Take(curves)


def _sit_up(rng: Rng, t: FloatArray) -> _Take:
    phase, rest = cycles(rng, t, rng.uniform(0.28, 0.65)), rng.uniform(0.02, 0.2)
    up = through(phase, [0, rest, 0.5 + rest / 2, 0.55 + rest / 2], [0, 0, 1, 1]) * efforts(rng, t)
    curl = rng.uniform(55, 88)
    hips = rng.uniform(0.5, 0.62)
    half, far = rng.uniform(0.07, 0.17), rng.uniform(0.38, 0.6)
    curves: Curves = {
        "x": 0.0, "z": 0.0, "y": 0.11 + 0.0 * t, "pitch": -90 + hips * curl * up,
        "bend": np.minimum((1 - hips) * curl * 1.3 * up, 55), "side": rng.normal(0, 2), "twist": 0.0,
        "nod": between(rng.uniform(0, 8), rng.uniform(0, 25), up), "turn": rng.normal(0, 5),
        "left_foot_x": half, "right_foot_x": -half, **both(foot_z=far, toe=0.0, knee_out=rng.uniform(0, 12)),
        "left_yaw": rng.uniform(0, 12), "right_yaw": -rng.uniform(0, 12),
    }  # fmt: skip
    if rng.random() < 0.25:  # an elbow to the other knee
        curves["twist"] = rng.uniform(10, 25) * up * np.sin(np.pi * (phase - phase % 1 + 0.5))
    kind = rng.random()
    for side in SIDES:
        if kind < 0.45:
            curves |= placed_hand(rng, side, ([0.1, 0.2, -0.03], [1.0, 0.2, 0.4]))
        elif kind < 0.7:
            cross_over = [-0.1, -0.1, 0.13 if side == "left" else 0.16]
            curves |= placed_hand(rng, side, (cross_over, [0.8, -0.8, 0.3]))
        else:
            curves |= {
                f"{side}_raise": between(rng.uniform(8, 25), rng.uniform(55, 85), up),
                f"{side}_plane": rng.uniform(0, 20), f"{side}_elbow": rng.uniform(4, 20),
                f"{side}_arm_twist": 0.0,
            }  # fmt: skip
    return _Take(curves)


# --- gestures -------------------------------------------------------------------------------------


def _waving(
    rng: Rng, t: FloatArray, side: str, begun: FloatArray, phase: FloatArray, overhead: bool
) -> Curves:
    """An arm that waves: from the elbow, or the whole arm over the head."""
    rest = hanging(rng, side)
    beat = np.cos(2 * np.pi * phase) * efforts(rng, t)
    if overhead:
        there = {
            "raise": rng.uniform(138, 155) + rng.uniform(12, 22) * beat, "plane": rng.uniform(65, 95),
            "arm_twist": rng.uniform(-40, 0), "elbow": rng.uniform(12, 40) + rng.uniform(3, 14) * beat,
            "wrist": 8 * beat,
        }  # fmt: skip
    else:
        there = {
            "raise": rng.uniform(35, 95) + 3 * beat, "plane": rng.uniform(55, 95),
            "arm_twist": rng.uniform(-80, -62), "elbow": rng.uniform(85, 110) + rng.uniform(17, 38) * beat,
            "wrist": rng.uniform(-10, 10) + rng.uniform(0, 14) * beat,
        }  # fmt: skip
    return {name: between(value, there.get(part_of(name), value), begun) for name, value in rest.items()}


def _wave(rng: Rng, t: FloatArray) -> _Take:
    curves = with_added(standing(rng), sway(rng, t)) | other_arm(rng)
    phase = cycles(rng, t, rng.uniform(1.1, 2.4))
    curves |= _waving(rng, t, "right", begun_at(rng, t), phase, rng.random() < 0.35)
    curves["side"] = curves["side"] + rng.uniform(0, 4)
    return _Take(curves)


def _wave_both(rng: Rng, t: FloatArray) -> _Take:
    curves = with_added(standing(rng), sway(rng, t))
    phase, begun = cycles(rng, t, rng.uniform(1.0, 2.2)), begun_at(rng, t)
    overhead = rng.random() < 0.55
    late = 0.5 if rng.random() < 0.3 else rng.normal(0, 0.04)
    curves |= _waving(rng, t, "right", begun, phase, overhead)
    curves |= _waving(rng, t, "left", begun, phase + late, overhead)
    return _Take(curves)


def _raise_hand(rng: Rng, t: FloatArray) -> _Take:
    return _raising(rng, t, ("right",))


def _raise_both(rng: Rng, t: FloatArray) -> _Take:
    return _raising(rng, t, ("right", "left"))


def _raising(rng: Rng, t: FloatArray, sides: tuple[str, ...]) -> _Take:
    """Hands that go up, stay a while, and come down, or are held up."""
    phase, rest = cycles(rng, t, rng.uniform(0.26, 0.55)), rng.uniform(0.02, 0.1)
    top = rest + rng.uniform(0.18, 0.3)
    leave = rng.uniform(top + 0.1, 0.8)
    held = begun_at(rng, t) if rng.random() < 0.4 else None
    beside = rng.random() < 0.25  # the head, with a bent arm; else above it
    curves = with_added(standing(rng), sway(rng, t)) | other_arm(rng)
    for side in sides:
        shift = rng.normal(0, 0.015)
        up = through(phase + shift, [0, rest, top, leave], [0, 0, 1, 1]) if held is None else held
        low = hanging(rng, side)
        there = {
            "raise": rng.uniform(138, 174), "plane": rng.uniform(-5, 90), "arm_twist": rng.uniform(-40, 10),
            "elbow": rng.choice([rng.uniform(2, 25), rng.uniform(25, 60)]), "wrist": rng.uniform(-20, 10),
        }  # fmt: skip
        if beside:
            there |= {
                "raise": rng.uniform(88, 120), "plane": rng.uniform(55, 95),
                "arm_twist": rng.uniform(-80, -62), "elbow": rng.uniform(75, 115),
            }  # fmt: skip
        curves |= {name: between(value, there.get(part_of(name), value), up) for name, value in low.items()}
        for name in ("wrist_at", "elbow_to"):
            curves.pop(f"{side}_{name}", None)
        if len(sides) == 1:
            curves["side"] = curves["side"] + rng.uniform(0, 6) * up
    curves["nod"] = curves["nod"] - rng.uniform(0, 10) * up
    return _Take(curves)


def _clap(rng: Rng, t: FloatArray) -> _Take:
    phase = cycles(rng, t, rng.uniform(1.6, 3.4))
    apart = 0.028 + rng.uniform(0.07, 0.2) * efforts(rng, t) * np.abs(np.sin(np.pi * phase)) ** 1.3
    curves = with_added(standing(rng), sway(rng, t))
    overhead = rng.random() < 0.12
    height = rng.uniform(0.5, 0.6) if overhead else rng.uniform(-0.22, 0.06)
    ahead = rng.uniform(0.08, 0.2) if overhead else rng.uniform(0.28, 0.4)
    steep = rng.uniform(150, 175) if overhead else rng.uniform(100, 140)
    beat = rng.uniform(0, 0.02) * np.cos(2 * np.pi * phase)
    for side, sign in SIDES.items():
        at = np.zeros((len(t), 3))
        at[:, 0], at[:, 1], at[:, 2] = sign * apart, height + beat, ahead
        curves[f"{side}_hand_at"] = at
        curves[f"{side}_hand_pose"] = turn(x=-steep, y=0) @ turn(z=sign * 8)
        curves[f"{side}_elbow_to"] = [0.9 * sign, -0.9 if not overhead else -0.2, -0.3]
    curves["nod"] = curves["nod"] + 2 * np.cos(2 * np.pi * phase)
    return _Take(curves)


def _bow(rng: Rng, t: FloatArray) -> _Take:
    phase, rest = cycles(rng, t, rng.uniform(0.35, 0.6)), rng.uniform(0.02, 0.1)
    low = rest + rng.uniform(0.22, 0.32)
    share = through(phase, [0, rest, low, low + rng.uniform(0.03, 0.2)], [0, 0, 1, 1]) * efforts(rng, t)
    depth, hips = rng.uniform(45, 88), rng.uniform(0.55, 0.75)
    curves = standing(rng)
    curves |= {
        "pitch": curves["pitch"] + hips * depth * share, "bend": curves["bend"] + (1 - hips) * depth * share,
        "z": curves["z"] - 0.0016 * depth * share, "nod": curves["nod"] + rng.uniform(-5, 15) * share,
        "turn": curves["turn"] / 3,
    }  # fmt: skip
    kind = rng.random()
    for side in SIDES:
        if kind < 0.5:  # arms stay at the thighs' sides
            curves[f"{side}_raise"] = curves[f"{side}_raise"] + rng.uniform(0, 0.25) * depth * share
            curves[f"{side}_plane"] = rng.uniform(20, 60)
        elif kind < 0.85:  # hands slide down the front of the thighs
            at = np.array([0.08 * SIDES[side], -0.43, 0.15]) + rng.normal(0, 0.01, 3)
            there = at + np.array([0.03 * SIDES[side], -0.03, 0.0022 * depth])
            curves[f"{side}_wrist_at"] = between(at, there, share)
        else:
            curves |= placed_hand(
                rng, side, BEHIND if side == "left" else ([-0.05, -0.28, 0.17], [1, -0.3, 0.1])
            )
    return _Take(curves)


def _idle(rng: Rng, t: FloatArray) -> _Take:
    curves = with_added(standing(rng), sway(rng, t, 1.6))
    kind = rng.random()
    if kind < 0.4:
        curves |= other_arm(rng, "left") | other_arm(rng, "right")
    elif kind < 0.8:
        where = (AKIMBO, BEHIND, CLASPED, POCKET)[rng.integers(4)]
        curves |= placed_hand(rng, "left", where) | placed_hand(rng, "right", where)
    else:  # folded arms
        curves |= placed_hand(rng, "left", ([-0.1, -0.19, 0.2], [1.0, -0.8, 0.1]))
        curves |= placed_hand(rng, "right", ([-0.1, -0.17, 0.15], [1.0, -0.8, 0.1]))
    look = rng.uniform(0.1, 1)
    curves["turn"] = curves["turn"] + look * 30 * smooth_noise(rng, 0.6 * t, 1)[0]
    curves["nod"] = curves["nod"] + look * 8 * smooth_noise(rng, t, 1)[0]
    curves["twist"] = curves["twist"] + look * 6 * smooth_noise(rng, 0.6 * t, 1)[0]
    return _Take(curves)


_UNKNOWN = {
    "raise": (0, 100), "plane": (-10, 95), "arm_twist": (-60, 40), "elbow": (5, 120), "wrist": (-30, 30),
}  # fmt: skip


def _unknown(rng: Rng, t: FloatArray) -> _Take:
    """Arms, trunk and head from one random place to the next, for what no other movement shows."""
    if rng.random() < 0.5:
        return _gesturing(rng, t)
    curves = with_added(standing(rng), sway(rng, t, 1.6))
    phase, count = cycles(rng, t, rng.uniform(0.15, 0.45)), int(rng.integers(3, 7))
    at = (np.arange(count) + rng.uniform(0, 0.6, count)) / count

    def wandering(low: float, high: float) -> FloatArray:
        return through(phase, at.tolist(), rng.uniform(low, high, count).tolist())

    moves = rng.random(4) < [0.75, 0.75, 0.5, 0.3]
    for side, own in zip(SIDES, moves[:2], strict=True):
        if own:
            curves |= {f"{side}_{name}": wandering(*span) for name, span in _UNKNOWN.items()}
        else:
            curves |= other_arm(rng, side)
    if moves[2] or not moves[:2].any():
        curves |= {"bend": wandering(0, 35), "twist": wandering(-25, 25), "side": wandering(-12, 12)}
    if moves[3]:
        curves |= {"crouch": wandering(0, 0.12), "yaw": wandering(-15, 15)}
    return _Take(curves | {"turn": wandering(-40, 40), "nod": wandering(-10, 25)})


def _gesturing(rng: Rng, t: FloatArray) -> _Take:
    """Hands that point, give, sweep and strike: from one place before or beside the body to the next."""
    curves = with_added(standing(rng), sway(rng, t, 1.6))
    phase, count = cycles(rng, t, rng.uniform(0.15, 0.7)), int(rng.integers(2, 6))
    at = ((np.arange(count) + rng.uniform(0, 0.6, count)) / count).tolist()
    together = rng.random() < 0.3  # both hands do the same
    drawn = [_hand_places(rng, count) for _ in SIDES]
    for (side, sign), own in zip(SIDES.items(), drawn, strict=True):
        if together or rng.random() < 0.7:
            places = (drawn[0] if together else own) * [sign, 1, 1]
            curves[f"{side}_wrist_at"] = through(phase, at, list(places))
            curves[f"{side}_elbow_to"] = np.array([0.7 * sign, -0.8, -0.3])
        else:
            curves |= other_arm(rng, side)
    amount = rng.uniform(0, 1)
    for name, low, high in (("bend", 0, 35), ("twist", -30, 30), ("crouch", 0, 0.12), ("yaw", -25, 25)):
        curves[name] = amount * through(phase, at, rng.uniform(low, high, count).tolist())
    curves["turn"] = through(phase, at, rng.uniform(-35, 35, count).tolist())
    return _Take(curves)


def _hand_places(rng: Rng, count: int) -> FloatArray:
    """``count`` places (count, 3) for a left wrist, from the thorax: not above the chin, not at the face."""
    beside, down = np.deg2rad(rng.uniform([-15, -5], [95, 60], (count, 2))).T
    ahead = np.stack([np.sin(beside) * np.cos(down), -np.sin(down), np.cos(beside) * np.cos(down)], -1)
    return np.asarray([0.1, 0.0, 0.0] + rng.uniform(0.3, 0.5, (count, 1)) * ahead)


def _other(rng: Rng, t: FloatArray) -> _Take:
    return _idle(rng, t) if rng.random() < 0.3 else _unknown(rng, t)


def _to_face(rng: Rng, t: FloatArray, thing: str, mouth: bool) -> _Take:
    """A hand at the face for a while: at the ear, or at the mouth. What it holds tells why."""
    phase, rest = cycles(rng, t, rng.uniform(0.16, 0.35)), rng.uniform(0.02, 0.08)
    top = rest + rng.uniform(0.14, 0.22)
    up = through(phase, [0, rest, top, rng.uniform(0.75, 0.86)], [0, 0, 1, 1])
    curves = with_added(standing(rng), sway(rng, t)) | other_arm(rng)
    low = (HELD_UP, POCKET)[int(rng.random() < 0.4)]
    start = placed_hand(rng, "right", low)["right_wrist_at"]
    # The wrist is a hand's length short of the mouth or the ear.
    there = [-0.045, 0.06, 0.2] if mouth else [-0.155, 0.09, 0.07]
    curves |= {
        "right_wrist_at": between(start, np.array(there) + rng.normal(0, 0.01, 3), up),
        "right_elbow_to": [-0.55, -0.8, -0.15], "right_wrist": rng.uniform(-5, 20),
        "turn": rng.normal(0, 6) + 10 * smooth_noise(rng, 0.4 * t, 1)[0],
        "tilt": curves["tilt"] - (0 if mouth else rng.uniform(0, 8)) * up,
        "nod": 2 - (rng.uniform(2, 18) if mouth else 0) * up,
    }  # fmt: skip
    return _Take(curves, {"right": thing})


def _phone_call(rng: Rng, t: FloatArray) -> _Take:
    # Some hold the phone before the mouth and speak into it: no pose tells that from drinking.
    return _to_face(rng, t, "phone", rng.random() < 0.3)


def _drink(rng: Rng, t: FloatArray) -> _Take:
    return _to_face(rng, t, "cup", True)


# --- blows and throws -----------------------------------------------------------------------------


def _punch(rng: Rng, t: FloatArray) -> _Take:
    phase = cycles(rng, t, rng.uniform(0.75, 1.3))
    stand, turned = rng.uniform(0.12, 0.22), rng.uniform(8, 28)
    kind = rng.choice(["jab", "cross", "both"], p=[0.2, 0.25, 0.55])
    out = rng.uniform(0.13, 0.2)
    single = ([0, 0.2, 0.2 + out, 0.28 + out, 0.4 + 2 * out], [0, 0, 1, 1, 0])
    one_two = ([0, 0.04, 0.04 + out, 0.1 + out, 0.16 + 2 * out], [0, 0, 1, 1, 0])
    rhythm = one_two if kind == "both" else single
    shares = {
        "left": through(phase, *rhythm) * (kind != "cross"),
        "right": through(phase - 0.45 * (kind == "both"), *rhythm) * (kind != "jab"),
    }
    lead, rear = shares["left"], shares["right"]
    bounce = rng.uniform(0, 0.012) * np.cos(2 * np.pi * (2 * phase))
    curves = standing(rng)
    curves |= {
        "x": 0.0, "z": -0.01 + 0.05 * lead + 0.08 * rear, "crouch": rng.uniform(0.03, 0.09) + bounce,
        "pitch": rng.uniform(0, 8) + 3 * rear, "yaw": -turned + 16 * rear - 4 * lead,
        "side": 0.0, "roll": 0.0,
        "bend": rng.uniform(3, 12), "twist": -8 * lead + (0.5 * turned + 14) * rear,
        "turn": 0.6 * turned - 8 * rear + rng.normal(0, 3), "nod": rng.uniform(0, 10), "tilt": 0.0,
        "left_foot_x": rng.uniform(0.08, 0.14), "right_foot_x": -rng.uniform(0.09, 0.17),
        "left_foot_z": stand, "right_foot_z": -stand, "left_yaw": -rng.uniform(0, 20),
        "right_yaw": -rng.uniform(20, 50), "right_toe": 12 + 14 * rear, **both(knee_out=4.0),
    }  # fmt: skip
    hook, height = rng.random() < 0.2, rng.uniform(-0.08, 0.12)
    for side, sign in SIDES.items():
        guard = [sign * rng.uniform(0.09, 0.14), rng.uniform(-0.04, 0.08), rng.uniform(0.2, 0.28)]
        # Straight ahead is to the left of a chest that is turned to the right.
        ahead = [sign * 0.06 + (0.12 if side == "left" else -0.02), height, 0.53]
        if hook:
            ahead = [sign * -0.02, height, 0.36]
        curves[f"{side}_wrist_at"] = between(guard, ahead, shares[side])
        down = np.array([0.45 * sign, -1.0, -0.15])
        flat = np.array([1.0 * sign, -0.1, 0.0]) if hook else np.array([0.8 * sign, -0.8, -0.1])
        curves[f"{side}_elbow_to"] = between(down, flat, shares[side])
    return _Take(curves)


def _kick(rng: Rng, t: FloatArray) -> _Take:
    phase = cycles(rng, t, rng.uniform(0.5, 0.85))
    at = [0.0, 0.06, 0.26, 0.45, 0.62, 0.87]
    aloft = [0.0, 0.02, 0.26, 0.45, 0.62, 0.91]
    if rng.random() < 0.5:  # a ball on the ground
        far, high = rng.uniform(0.5, 0.68), rng.uniform(0.18, 0.45)
        lifts = [0, 0, rng.uniform(0.2, 0.34), high, 0.12, 0]
        z, toe, pitch = [-0.05, -0.05, -0.5, far, 0.3, -0.05], [0, 5, 75, 0, 5, 0], [0, 2, 10, -10, -3, 0]
    else:  # to the front, from the knee
        far, high = rng.uniform(0.58, 0.72), rng.uniform(0.5, 0.95)
        lifts = [0, 0, rng.uniform(0.38, 0.5), high, 0.38, 0]
        z, toe, pitch = [-0.12, -0.12, 0.12, far, 0.2, -0.12], [0, 12, 35, -25, 25, 0], [0, 0, -4, -16, -6, 0]
    keys = keyed(
        phase, at, z=z, toe=toe, pitch=pitch, share=[0, 0.25, 0.9, 1, 0.7, 0], swing=[0, 0, -1, 1, 0.3, 0]
    )
    share, swing = keys["share"], keys["swing"]
    curves = standing(rng)
    open_ = rng.uniform(0.4, 1.2)
    curves |= {
        "x": 0.075 * share, "z": -0.02 - 0.03 * share, "crouch": 0.012 + 0.03 * share,
        "pitch": curves["pitch"] + keys["pitch"], "yaw": 8 * swing,
        "bend": curves["bend"] + 10 * np.maximum(swing, 0),
        "twist": -14 * swing, "turn": curves["turn"] / 3, "nod": curves["nod"] + 10 * share,
        "left_foot_x": 0.1, "left_foot_z": 0.0, "right_foot_x": -0.11 + 0.03 * np.maximum(swing, 0),
        "right_foot_z": keys["z"], "right_lift": through(phase, aloft, lifts), "right_toe": keys["toe"],
        "right_yaw": -8.0 + 4 * share,
        "left_raise": 12 + open_ * 35 * np.maximum(swing, -0.4), "left_plane": rng.uniform(25, 70),
        "right_raise": 14 - open_ * 22 * np.maximum(swing, -0.6), "right_plane": rng.uniform(20, 60),
        **both(elbow=rng.uniform(20, 75), knee_out=3.0),
    }  # fmt: skip
    return _Take(curves)


_GRIP, _OPEN = -25.0, 32.0
"""The wrist's angle with a ball in the hand, and after it went."""


def _throw(rng: Rng, t: FloatArray) -> _Take:
    phase, effort = cycles(rng, t, rng.uniform(0.45, 0.75)), efforts(rng, t)
    at = [0.0, 0.08, 0.26, 0.40, 0.50, 0.60, 0.82]
    size = rng.uniform(0.75, 1.15)
    step = rng.uniform(0.15, 0.4) * size
    trunk = size * effort
    high = rng.uniform(-20, 12)
    keys = keyed(
        phase, at, crouch=[0, 0, 0.012, 0.018, 0.03, 0.03, 0], pitch=[0, 0, -7, -6, 9, 16, 2],
        z=[0, 0, -0.06, 0.35 * step, 0.75 * step, 0.8 * step, 0],
        yaw=[0, -5, -32, -26, 8, 18, 2], twist=[0, -5, -24, -28, 10, 22, 2],
        bend=[0, 0, -6, -8, 10, 18, 3], side=[0, 0, -4, 6, 12, 6, 0],
        turn=[0, 8, 48, 46, -10, -25, 0], nod=[0, 0, 0, 0, -6, -4, 0], right_toe=[0, 0, 0, 12, 38, 45, 4],
        right_raise=[25, 35, 75, 95, 118 + high, 62, 22], right_plane=[20, 30, 95, 106, 62, -8, 15],
        right_arm_twist=[0, 0, -45, -78, -50, 10, 5], right_elbow=[80, 85, 95, 102, 18, 22, 50],
        left_raise=[25, 35, 62, 68, 30, 12, 15], left_plane=[20, 25, 35, 30, 45, 50, 40],
        left_elbow=[80, 85, 35, 30, 75, 70, 45],
    )  # fmt: skip
    moved = {name: trunk * keys.pop(name) for name in ("pitch", "yaw", "twist", "bend", "side", "turn")}
    curves = standing(rng)
    curves |= keys | {
        "x": 0.0, "crouch": 0.02 + keys["crouch"], "nod": curves["nod"] / 2 + keys["nod"],
        "pitch": curves["pitch"] + moved["pitch"], "bend": curves["bend"] + moved["bend"],
        "yaw": moved["yaw"], "twist": moved["twist"], "side": moved["side"], "turn": moved["turn"],
        "left_foot_x": 0.1,
        "left_foot_z": through(phase, [0, 0.14, 0.34, 0.66, 0.85], [0, 0, step, step, 0]),
        "left_lift": through(phase, [0, 0.1, 0.24, 0.38, 0.62, 0.75, 0.9], [0, 0, 0.12, 0, 0, 0.06, 0]),
        "right_foot_x": -0.1, "right_foot_z": 0.0, "right_yaw": -rng.uniform(10, 40),
        "left_yaw": rng.uniform(-5, 12), **both(knee_out=4.0), "left_arm_twist": 5.0,
        "right_wrist": through(phase, [0.0, 0.485, 0.515, 0.9, 0.96], [_GRIP, _GRIP, _OPEN, _OPEN, _GRIP]),
    }  # fmt: skip
    return _Take(curves, {"right": "ball"})


def holding(motion: Motion) -> npt.NDArray[np.bool_]:
    """Is what `Motion.held` names still in the hand? (F,), for all held things alike.

    A ball is let go when the wrist snaps over to the palm, and there is another once the wrist
    is bent back. In every other action what is held is held throughout.
    """
    if motion.action != "throw" or not motion.held:
        return np.full(len(motion), bool(motion.held))
    (side,) = motion.held
    forearm, hand = (motion.rotations[:, INDEX[f"{side}_{bone}"]] for bone in ("forearm", "hand"))
    # How far the hand's axis leans to the forearm's front.
    lean = -(hand[:, :, 1] * forearm[:, :, 2]).sum(1)
    return np.asarray(lean < np.sin(np.deg2rad((_GRIP + _OPEN) / 2)))


# --- the public side ------------------------------------------------------------------------------

_MOVEMENTS: dict[str, Callable[[Rng, FloatArray], _Take]] = {
    "walk": _walk, "turn_left": _turn, "turn_right": _turn, "run": _run, "jumping_jacks": _jumping_jacks,
    "squat": _squat, "push_up": _push_up, "sit_up": _sit_up, "wave_left": _wave, "wave_right": _wave,
    "wave_both": _wave_both, "raise_left": _raise_hand, "raise_right": _raise_hand,
    "raise_both": _raise_both, "clap": _clap, "punch": _punch, "kick": _kick, "throw": _throw, "bow": _bow,
    "jump_rope": _jump_rope, "phone_call": _phone_call, "drink": _drink, "other": _other, "idle": _idle,
    "unknown": _unknown,
}  # fmt: skip
ACTIONS: tuple[str, ...] = tuple(_MOVEMENTS)[:-2]
"""What people do, and ``other``: one who stands about, or moves as none of these."""
MOVEMENTS: tuple[str, ...] = tuple(_MOVEMENTS)
"""What `random_motion` knows: `ACTIONS`, and both kinds of ``other`` apart."""


def random_motion(action: str, rng: Rng, frames: int, fps: float = 30.0) -> Motion:
    """``frames`` frames of ``action``, one of `MOVEMENTS`, in a style of its own.

    The clip begins anywhere in the movement, at the origin, heading anywhere. The upper body of some
    of ``other`` goes over into a second movement. The same state of ``rng`` gives the same motion. Raises
    ``ValueError`` on another action or no frames.
    """
    if action not in _MOVEMENTS or frames < 1 or fps <= 0:
        raise ValueError(
            f"expected one of {', '.join(MOVEMENTS)}, frames and fps > 0, got {action}, {frames}, {fps}"
        )
    rotations, root, held = _of_average_build(action, rng, frames, fps)
    if action == "other" and rng.random() < _TWO_SHARE:
        then = _of_average_build(action, rng, frames, fps)[0]
        t = np.arange(frames) / fps
        begin = rng.uniform(0, t[-1])
        rotations = _gone_over(rotations, then, smoothstep(t, begin, begin + rng.uniform(0.3, 0.8)))
    heading = turn(y=rng.uniform(0, 360))
    root[:, [0, 2]] -= root[0, [0, 2]]
    return Motion(heading @ rotations, root @ heading.T, ROOT_HEIGHT, fps, action, held)


_TWO_SHARE = 0.4
"""The share of ``other`` that goes over into a second movement: on the way, much looks like an action."""
_LOWER = ("pelvis", "thigh", "shank", "foot")
"""What stays as it is: the feet stand on it."""


def _gone_over(first: FloatArray, then: FloatArray, share: FloatArray) -> FloatArray:
    """Trunk, head and arms go over from one movement (F, B, 3, 3) to another by ``share`` (F,) in [0, 1].

    Pelvis and legs, on which the feet stand, stay those of the first.
    """
    upper = [i for bone, i in INDEX.items() if not bone.endswith(_LOWER)]
    pelvis = [rotations[:, :1] for rotations in (first, then)]
    before, after = (p.swapaxes(-1, -2) @ r[:, upper] for p, r in zip(pelvis, (first, then), strict=True))
    way = Rotation.from_matrix((before.swapaxes(-1, -2) @ after).reshape(-1, 3, 3)).as_rotvec()
    part = Rotation.from_rotvec(np.repeat(share, len(upper))[:, None] * way).as_matrix()
    mixed = first.copy()
    mixed[:, upper] = pelvis[0] @ before @ part.reshape(before.shape)
    return mixed


def _of_average_build(
    action: str, rng: Rng, frames: int, fps: float
) -> tuple[FloatArray, FloatArray, dict[str, str]]:
    """Rotations (F, B, 3, 3), the pelvis (F, 3) and what is held, of a body of average build."""
    t = np.arange(frames) / fps
    take = _MOVEMENTS[action](rng, t)
    rotations, root = assembled(with_noise(take.curves, rng, t), frames)
    # Movements are told for the right side.
    other_side = rng.random() < 0.5
    if action.endswith("_left") or (other_side and not action.endswith("_right")):
        return _mirrored(rotations, root, take.held)
    return rotations, root, take.held


def _mirrored(
    rotations: FloatArray, root: FloatArray, held: dict[str, str]
) -> tuple[FloatArray, FloatArray, dict[str, str]]:
    """The same movement with left and right exchanged."""
    other = {"left": "right", "right": "left"}

    def partner(bone: str) -> str:
        side, _, part = bone.partition("_")
        return f"{other[side]}_{part}" if side in other else bone

    order = [INDEX[partner(bone)] for bone in BONES]
    flipped = rotations[:, order] * (_MIRROR[:, None] * _MIRROR)
    return flipped, root * _MIRROR, {other[side]: thing for side, thing in held.items()}
