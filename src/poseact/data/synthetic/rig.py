"""The skeleton that moves and carries the body: bones, lengths, forward kinematics.

World: metres, y up, floor at y = 0. In the rest pose, where every rotation is the identity, the
figure stands upright and faces +z, so its left is +x; arms hang straight down, feet point to +z.
A bone's rotation takes its rest direction into the world; it is not relative to the bone before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from poseact.skeleton import FIGURE36

FloatArray = npt.NDArray[np.floating]

SIDES = {"left": 1.0, "right": -1.0}
"""The sign of x on each side."""
PARENTS: dict[str, str | None] = {
    "pelvis": None, "lumbar": "pelvis", "chest": "lumbar", "neck": "chest", "skull": "neck",
    **{f"{side}_{bone}": parent if parent in ("chest", "pelvis") else f"{side}_{parent}"
       for side in SIDES
       for bone, parent in (("clavicle", "chest"), ("upper_arm", "clavicle"), ("forearm", "upper_arm"),
                            ("hand", "forearm"), ("thigh", "pelvis"), ("shank", "thigh"), ("foot", "shank"))},
}  # fmt: skip
"""Each bone and the bone that it hangs on; a bone comes after its parent."""
BONES = tuple(PARENTS)
END = {
    "lumbar": "spine", "chest": "thorax", "neck": "neck", "skull": "head",
    "clavicle": "shoulder", "upper_arm": "elbow", "forearm": "wrist", "hand": "hand",
    "thigh": "knee", "shank": "ankle", "foot": "foot",
}  # fmt: skip
"""The joint of `FIGURE36`, without its side, where a bone ends; the pelvis ends in both hips."""
POINTS = {
    "nose": ("skull", (0, 0.42, 0.52)), "eye": ("skull", (0.145, 0.475, 0.40)),
    "ear": ("skull", (0.35, 0.41, -0.04)), "toe": ("foot", (0, -0.42, 1.22)),
    "clavicle": ("clavicle", (0, 0, 0)), "hand_tip": ("hand", (-0.2, -1.5, 0)),
    "thumb": ("hand", (-0.15, -0.5, 0.3)), "thumb_tip": ("hand", (-0.25, -0.75, 0.4)),
}  # fmt: skip
"""Joints that no bone ends in: the bone that carries them and the place in its rest pose, in shares of
its length, x outwards on the joint's side."""
LENGTH_SHARES = {
    "hip_width": 0.050, "lumbar": 0.135, "chest": 0.155, "neck": 0.060, "skull": 0.125,
    "clavicle": 0.108, "upper_arm": 0.172, "forearm": 0.150, "hand": 0.058,
    "thigh": 0.245, "shank": 0.240, "foot": 0.078,
}  # fmt: skip
"""Lengths as shares of the body's height; ``hip_width`` from the pelvis to a hip."""
Lengths = dict[str, float]


@dataclass(frozen=True)
class Motion:
    """A person's movement over F frames, free of the person's build.

    - ``rotations`` (F, B, 3, 3): of each of `BONES` in the world.
    - ``root`` (F, 3): the pelvis, in metres, for a body whose pelvis stands at ``root_height``.
    - ``fps``; ``action``: its name; ``held``: what is in which hand, as in {"right": "ball"}.
    """

    rotations: FloatArray
    root: FloatArray
    root_height: float
    fps: float
    action: str
    held: dict[str, str]

    def __len__(self) -> int:
        return len(self.root)


def random_lengths(rng: np.random.Generator) -> Lengths:
    """Lengths in metres of a person of 1.5 to 1.95 m, each person a little different."""
    height = rng.uniform(1.5, 1.95)
    factors = rng.uniform(0.92, 1.08, len(LENGTH_SHARES))
    return {
        bone: height * share * factor
        for (bone, share), factor in zip(LENGTH_SHARES.items(), factors, strict=True)
    }


def rest_vectors(lengths: Lengths) -> dict[str, FloatArray]:
    """For each bone the vector (3,) from its start to its end in the rest pose, metres."""
    vectors: dict[str, FloatArray] = {"pelvis": np.zeros(3)}
    for bone in ("lumbar", "chest", "neck", "skull"):
        vectors[bone] = np.array([0, lengths[bone], 0])
    for side, sign in SIDES.items():
        vectors[f"{side}_clavicle"] = np.array([sign * lengths["clavicle"], -0.015, 0])
        for bone in ("upper_arm", "forearm", "hand", "thigh", "shank"):
            vectors[f"{side}_{bone}"] = np.array([0, -lengths[bone], 0])
        vectors[f"{side}_foot"] = np.array([0, -0.4 * lengths["foot"], lengths["foot"]])
    return vectors


def starts(rotations: FloatArray, root: FloatArray, lengths: Lengths) -> FloatArray:
    """Where each bone starts: (F, B, 3), from ``rotations`` (F, B, 3, 3) and the pelvis (F, 3)."""
    vectors = rest_vectors(lengths)
    at = np.empty((*root.shape[:-1], len(BONES), 3))
    for i, bone in enumerate(BONES):
        parent = PARENTS[bone]
        if parent is None:
            at[..., i, :] = root
            continue
        p = BONES.index(parent)
        offset = vectors[parent]
        if bone.endswith("_thigh"):
            offset = np.array([SIDES[bone.split("_")[0]] * lengths["hip_width"], 0, 0])
        at[..., i, :] = at[..., p, :] + rotations[..., p, :, :] @ offset
    return at


def joints(
    rotations: FloatArray,
    root: FloatArray,
    lengths: Lengths,
    points: Mapping[str, FloatArray] | None = None,
) -> FloatArray:
    """Joints of `FIGURE36` (F, 36, 3) in metres, world.

    ``points``: where a person has joints of `POINTS`, (3,) from the start of the bone in its rest pose.
    """
    at = starts(rotations, root, lengths)
    vectors = rest_vectors(lengths)
    found: dict[str, FloatArray] = {"pelvis": at[..., 0, :]}
    for i, bone in enumerate(BONES[1:], 1):
        side, _, part = bone.partition("_")
        name = f"{side}_{END[part]}" if side in SIDES else END[bone]
        found[name] = at[..., i, :] + rotations[..., i, :, :] @ vectors[bone]
        if bone.endswith("_thigh"):
            found[f"{side}_hip"] = at[..., i, :]
    for name in FIGURE36.joints:
        if name not in found:
            i, usual = _point(name, lengths)
            offset = (points or {}).get(name, usual)
            found[name] = at[..., i, :] + rotations[..., i, :, :] @ offset
    return np.stack([found[name] for name in FIGURE36.joints], axis=-2)


def _point(name: str, lengths: Lengths) -> tuple[int, FloatArray]:
    """The bone (an index) that carries a joint of `POINTS`, and the joint's place in its rest pose."""
    side, _, part = name.partition("_")
    sign = SIDES.get(side, 0.0)
    bone, shares = POINTS[part if sign else name]
    offset = np.array(shares) * lengths[bone] * (sign or 1.0, 1.0, 1.0)
    own = f"{side}_{bone}"
    return BONES.index(own if own in BONES else bone), offset
