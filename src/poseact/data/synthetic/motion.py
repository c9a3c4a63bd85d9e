"""Random plausible poses: joint angles within human limits, then forward kinematics.

World: metres, y up, floor at y = 0. An upright figure faces +z, so its left is +x.
Angles are degrees; a limb's rest pose hangs straight down and the feet point to +z.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from poseact.data.synthetic.rig import FIGURE

FloatArray = npt.NDArray[np.float64]
Ranges = dict[str, tuple[float, float]]

LIMITS: Ranges = {
    "bend": (-30, 80), "side": (-35, 35), "twist": (-45, 45),
    "nod": (-40, 40), "turn": (-65, 65), "tilt": (-25, 25),
    "raise": (-50, 175), "plane": (-30, 110), "arm_twist": (-80, 80), "elbow": (0, 148), "wrist": (-50, 60),
    "hip_flexion": (-30, 125), "hip_abduction": (-12, 65), "hip_twist": (-30, 45),
    "knee": (0, 148), "ankle": (-30, 50),
}  # fmt: skip
"""Least and greatest angle. ``raise`` swings the upper arm up in the vertical ``plane``:
0 to the front, 90 to the side. Elbow and knee only fold, they never open past straight."""

# Sagittal angles of the legs stand to the vertical, since postures are easiest told so:
# ``thigh`` > 0 lifts the knee forward, ``shank`` > 0 leaves the ankle behind the knee.
_ANY: Ranges = {
    "pitch": (-5, 8), "roll": (-4, 4),
    "bend": (-6, 14), "side": (-8, 8), "twist": (-14, 14),
    "nod": (-20, 30), "turn": (-45, 45), "tilt": (-12, 12),
    "wrist": (-25, 30), "hip_abduction": (0, 12), "hip_twist": (-5, 20), "toe": (-8, 12),
}  # fmt: skip
_POSTURES: dict[str, Ranges] = {
    "standing": {"thigh": (-6, 8), "shank": (-2, 8)},
    "walking": {"left_thigh": (8, 35), "left_shank": (-22, 5),
                "right_thigh": (-25, 0), "right_shank": (15, 60), "right_toe": (0, 40)},
    "running": {"left_thigh": (35, 90), "left_shank": (-10, 60), "pitch": (4, 25),
                "right_thigh": (-28, 10), "right_shank": (25, 110), "right_toe": (0, 50)},
    "squatting": {"thigh": (50, 112), "shank": (5, 38), "hip_abduction": (5, 40), "hip_twist": (0, 40),
                  "pitch": (10, 40), "bend": (0, 40)},
    "sitting": {"thigh": (75, 100), "shank": (-25, 15), "hip_abduction": (0, 30), "pitch": (-20, 10)},
    "kneeling": {"thigh": (-5, 35), "shank": (75, 95), "toe": (20, 50)},
    "lunging": {"left_thigh": (45, 95), "left_shank": (-10, 25), "pitch": (-5, 30),
                "right_thigh": (-30, 0), "right_shank": (25, 80), "right_toe": (0, 40)},
    "kicking": {"left_thigh": (45, 120), "left_shank": (-115, 5), "left_toe": (0, 50),
                "left_hip_abduction": (-5, 45), "right_thigh": (-10, 15), "right_shank": (0, 20),
                "pitch": (-35, 5), "roll": (-15, 15)},
    "bending": {"thigh": (-10, 25), "shank": (-5, 20), "pitch": (15, 85), "bend": (10, 65),
                "twist": (-35, 35)},
    "jumping": {"thigh": (-20, 90), "shank": (0, 100), "hip_abduction": (0, 45), "toe": (0, 50),
                "pitch": (-15, 25), "bend": (-25, 30)},
    "straddling": {"thigh": (-10, 20), "shank": (0, 15), "hip_abduction": (15, 60), "side": (-30, 30)},
    "free": {"thigh": (-30, 110), "shank": (-20, 100), "hip_abduction": (-5, 55), "hip_twist": (-25, 40),
             "toe": (-10, 50), "pitch": (-25, 50), "roll": (-20, 20), "bend": (-20, 50),
             "side": (-30, 30), "twist": (-40, 40)},
}  # fmt: skip
_ARMS: dict[str, Ranges] = {
    "hanging": {"raise": (-15, 25), "plane": (30, 90), "arm_twist": (-10, 40), "elbow": (0, 40)},
    "swinging": {"left_raise": (-45, 0), "right_raise": (0, 55), "plane": (0, 25), "arm_twist": (0, 30),
                 "elbow": (10, 110)},
    "up": {"raise": (125, 175), "plane": (0, 100), "arm_twist": (-40, 40), "elbow": (0, 80)},
    "out": {"raise": (55, 115), "plane": (70, 105), "arm_twist": (-70, 70), "elbow": (0, 90)},
    "forward": {"raise": (45, 115), "plane": (-10, 50), "arm_twist": (-30, 60), "elbow": (0, 100)},
    "akimbo": {"raise": (25, 50), "plane": (85, 110), "arm_twist": (30, 75), "elbow": (60, 110)},
    "folded": {"raise": (10, 60), "plane": (0, 60), "arm_twist": (10, 75), "elbow": (75, 145)},
    "free": {"raise": (-40, 170), "plane": (-15, 110), "arm_twist": (-75, 75), "elbow": (0, 145)},
}  # fmt: skip
_CENTRAL = ("pitch", "roll", "bend", "side", "twist", "nod", "turn", "tilt")
_OF_LEG = ("thigh", "shank", "hip_abduction", "hip_twist", "toe")
_OF_ARM = ("raise", "plane", "arm_twist", "elbow", "wrist")
_ACROBATIC_SHARE = 0.15
_CLEARANCE = 0.04
"""Height in metres of the lowest joint of a figure that touches the floor: half a foot's thickness."""


def _turn(x: float = 0, y: float = 0, z: float = 0) -> FloatArray:
    """Rotation by ``y``, then ``x``, then ``z`` degrees about axes that turn along: (3, 3)."""
    (a, b, c), (i, j, k) = np.cos(np.deg2rad([x, y, z])), np.sin(np.deg2rad([x, y, z]))
    return np.array([
        [b * c + j * i * k, j * i * c - b * k, j * a],
        [a * k, a * c, -i],
        [b * i * k - j * c, j * k + b * i * c, b * a],
    ])  # fmt: skip


def random_bones(rng: np.random.Generator) -> dict[str, float]:
    """Lengths in metres: shares of the body's height, each person a little different."""
    shares = {
        "hip_width": 0.050, "lumbar": 0.135, "chest": 0.155, "neck": 0.060, "head": 0.125,
        "shoulder_width": 0.108, "upper_arm": 0.172, "forearm": 0.150, "hand": 0.058,
        "thigh": 0.245, "shank": 0.240, "foot": 0.078,
    }  # fmt: skip
    height = rng.uniform(1.5, 1.95)
    factors = rng.uniform(0.92, 1.08, len(shares))
    return {
        bone: height * share * factor for (bone, share), factor in zip(shares.items(), factors, strict=True)
    }


def random_angles(rng: np.random.Generator, posture: str, arms: str) -> dict[str, float]:
    """Angles in degrees within `LIMITS`, left and right sometimes alike.

    ``posture`` and ``arms`` name rows of the tables; raises ``KeyError`` on others.
    """
    ranges = _ANY | _POSTURES[posture] | _ARMS[arms]
    # The tables tell one-sided postures with the left side in front; half are the other way round.
    sides = ("left", "right") if rng.random() < 0.5 else ("right", "left")
    drawn = {name: float(rng.uniform(*ranges[name])) for name in _CENTRAL}
    for names in (_OF_LEG, _OF_ARM):
        alike = rng.random() < 0.5
        for name in names:
            common = rng.uniform(*ranges.get(name, (0, 0)))
            for side, role in zip(sides, ("left", "right"), strict=True):
                own = ranges.get(f"{role}_{name}") or (None if alike else ranges[name])
                drawn[f"{side}_{name}"] = float(rng.uniform(*own) if own else common + rng.uniform(-4, 4))
    return _within_limits(drawn)


def _within_limits(drawn: dict[str, float]) -> dict[str, float]:
    """The legs' angles to the vertical become joint angles; then every angle is clipped."""
    angles = dict(drawn)
    for side in ("left", "right"):
        thigh, shank, toe = (angles.pop(f"{side}_{name}") for name in ("thigh", "shank", "toe"))
        flexion = float(np.clip(thigh + drawn["pitch"], *LIMITS["hip_flexion"]))
        angles[f"{side}_hip_flexion"] = flexion
        angles[f"{side}_knee"] = flexion - drawn["pitch"] + shank
        angles[f"{side}_ankle"] = toe - shank
    anywhere = (-np.inf, np.inf)
    return {
        name: float(np.clip(angle, *LIMITS.get(name.removeprefix("left_").removeprefix("right_"), anywhere)))
        for name, angle in angles.items()
    }


def forward_kinematics(angles: dict[str, float], bones: dict[str, float]) -> FloatArray:
    """Joints of `FIGURE` (J, 3) in metres, pelvis at the origin, trunk facing +z."""
    at: dict[str, FloatArray] = {"pelvis": np.zeros(3)}
    root = _turn(x=angles["pitch"], z=angles["roll"])
    half = _turn(angles["bend"] / 2, angles["twist"] / 2, angles["side"] / 2)
    lumbar = root @ half
    chest = lumbar @ half
    at["spine"] = lumbar @ [0, bones["lumbar"], 0]
    at["thorax"] = at["spine"] + chest @ [0, bones["chest"], 0]
    neck = chest @ _turn(angles["nod"] / 2 + 8, angles["turn"] / 2, angles["tilt"] / 2)
    skull = neck @ _turn(angles["nod"] / 2 - 8, angles["turn"] / 2, angles["tilt"] / 2)
    at["neck"] = at["thorax"] + neck @ [0, bones["neck"], 0]
    at["head"] = at["neck"] + skull @ [0, bones["head"], 0]
    at["nose"] = at["neck"] + skull @ [0, 0.42 * bones["head"], 0.52 * bones["head"]]
    for side, sign in (("left", 1), ("right", -1)):
        own = {name.removeprefix(side + "_"): angle for name, angle in angles.items()}
        _arm(at, chest, own, bones, side, sign)
        _leg(at, root, own, bones, side, sign)
    return np.array([at[joint] for joint in FIGURE.joints])


def _arm(
    at: dict[str, FloatArray], chest: FloatArray, angles: dict[str, float], bones: dict[str, float],
    side: str, sign: int,
) -> None:  # fmt: skip
    # A raised arm takes the shoulder with it, up and inwards.
    lifted = max(angles["raise"], 0) / 175
    width = bones["shoulder_width"] * (1 - 0.15 * lifted)
    at[f"{side}_shoulder"] = at["thorax"] + chest @ [sign * width, 0.05 * lifted - 0.015, 0]
    plane = _turn(y=sign * angles["plane"])
    upper = chest @ plane @ _turn(x=-angles["raise"]) @ plane.T @ _turn(y=-sign * angles["arm_twist"])
    lower = upper @ _turn(x=-angles["elbow"])
    hand = lower @ _turn(x=-angles["wrist"])
    at[f"{side}_elbow"] = at[f"{side}_shoulder"] + upper @ [0, -bones["upper_arm"], 0]
    at[f"{side}_wrist"] = at[f"{side}_elbow"] + lower @ [0, -bones["forearm"], 0]
    at[f"{side}_hand"] = at[f"{side}_wrist"] + hand @ [0, -bones["hand"], 0]


def _leg(
    at: dict[str, FloatArray], root: FloatArray, angles: dict[str, float], bones: dict[str, float],
    side: str, sign: int,
) -> None:  # fmt: skip
    at[f"{side}_hip"] = root @ [sign * bones["hip_width"], 0, 0]
    upper = root @ _turn(x=-angles["hip_flexion"]) @ _turn(z=sign * angles["hip_abduction"])
    upper = upper @ _turn(y=sign * angles["hip_twist"])
    lower = upper @ _turn(x=angles["knee"])
    foot = lower @ _turn(x=angles["ankle"])
    at[f"{side}_knee"] = at[f"{side}_hip"] + upper @ [0, -bones["thigh"], 0]
    at[f"{side}_ankle"] = at[f"{side}_knee"] + lower @ [0, -bones["shank"], 0]
    at[f"{side}_foot"] = at[f"{side}_ankle"] + foot @ [0, -0.4 * bones["foot"], bones["foot"]]


def _acrobatic_turn(rng: np.random.Generator) -> tuple[str | None, FloatArray]:
    """A whole-body rotation (3, 3) and the arms that it asks for, if any."""
    kind = rng.choice(["handstand", "lying", "tilted"])
    if kind == "handstand":
        return "up", _turn(x=180 + rng.uniform(-30, 30), z=rng.uniform(-20, 20))
    if kind == "lying":
        return None, _turn(x=rng.choice([-90, 90]) + rng.uniform(-12, 12)) @ _turn(y=rng.uniform(0, 360))
    return None, _turn(x=rng.uniform(-90, 90), z=rng.uniform(-180, 180))


def _collides(joints: FloatArray) -> bool:
    """Do arms cut through trunk, head or thighs, or the legs through each other?"""
    at = dict(zip(FIGURE.joints, joints, strict=True))
    arms = np.array(
        [at[f"{side}_{part}"] for side in ("left", "right") for part in ("elbow", "wrist", "hand")]
    )
    arms = np.concatenate([arms, (arms[[0, 3]] + arms[[1, 4]]) / 2])
    solid = [("pelvis", "thorax", 0.15), ("neck", "head", 0.12)]
    solid += [(f"{side}_hip", f"{side}_knee", 0.115) for side in ("left", "right")]
    for start, end, radius in solid:
        axis = at[end] - at[start]
        along = np.clip((arms - at[start]) @ axis / (axis @ axis), 0, 1)
        if (np.linalg.norm(arms - at[start] - along[:, None] * axis, axis=1) < radius).any():
            return True
    legs = [at["left_knee"] - at["right_knee"], at["left_ankle"] - at["right_ankle"]]
    return bool(np.linalg.norm(legs, axis=1).min() < 0.1)


def random_pose(rng: np.random.Generator) -> FloatArray:
    """A random person in a random pose: joints of `FIGURE` (J, 3), metres, world.

    The lowest joint stands just above the floor, except in a jump. An upright figure's
    hips face +z; about one figure in seven lies, stands on its hands or is tilted.
    """
    bones = random_bones(rng)
    posture = rng.choice(list(_POSTURES))
    asked, whole = _acrobatic_turn(rng) if rng.random() < _ACROBATIC_SHARE else (None, np.eye(3))
    arms = asked or rng.choice(list(_ARMS))
    # A pose that still collides after some tries is kept: rare, and no photograph is perfect.
    for _ in range(8):
        joints = forward_kinematics(random_angles(rng, posture, arms), bones) @ whole.T
        if not _collides(joints):
            break
    lift = _CLEARANCE + (rng.uniform(0.05, 0.6) if posture == "jumping" else 0)
    joints[:, 1] += lift - joints[:, 1].min()
    return joints
