"""What carries a motion to a body: limbs that reach a point, feet on the floor.

A `rig.Motion` fits its own reference body exactly, that of average proportions whose pelvis
stands at ``root_height``. `placed` fits it to another: the feet tread where the reference body's
feet tread, scaled by the legs' length, so that a foot at rest stays at rest and none sinks in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from poseact.data.synthetic.rig import (
    BONES,
    LENGTH_SHARES,
    SIDES,
    FloatArray,
    Lengths,
    Motion,
    joints,
    rest_vectors,
    starts,
)

SOLE = 0.04
"""Metres from the floor to the foot joint and the heel of a foot that stands flat."""
PALM = 0.04
"""Metres from the floor to wrist and hand of a hand that lies on it."""
_TRUNK = {"lumbar": 0.10, "neck": 0.10, "skull": 0.08}
"""Half the thickness in metres at the start of these bones, which may lie on the floor."""
_FOLD = np.deg2rad(148)
"""Elbow and knee fold no further than this."""
_STRETCH = 0.9995
_HEEL = 0.3
"""How far the heel stands behind the ankle, in lengths of the foot."""
INDEX = {bone: i for i, bone in enumerate(BONES)}


def turn(x: npt.ArrayLike = 0.0, y: npt.ArrayLike = 0.0, z: npt.ArrayLike = 0.0) -> FloatArray:
    """Rotations (..., 3, 3) by ``y``, then ``x``, then ``z`` degrees about axes that turn along."""
    ax, ay, az = np.broadcast_arrays(*(np.deg2rad(np.asarray(v, float)) for v in (x, y, z)))
    a, b, c, i, j, k = np.cos(ax), np.cos(ay), np.cos(az), np.sin(ax), np.sin(ay), np.sin(az)
    result = np.empty((*ax.shape, 3, 3))
    result[..., 0, 0], result[..., 0, 1], result[..., 0, 2] = b * c + j * i * k, j * i * c - b * k, j * a
    result[..., 1, 0], result[..., 1, 1], result[..., 1, 2] = a * k, a * c, -i
    result[..., 2, 0], result[..., 2, 1], result[..., 2, 2] = b * i * k - j * c, j * k + b * i * c, b * a
    return result


def times(rotations: FloatArray, vectors: npt.ArrayLike) -> FloatArray:
    """Vectors (..., 3) turned by ``rotations`` (..., 3, 3)."""
    return np.asarray((rotations @ np.asarray(vectors, float)[..., None])[..., 0])


def unit(vectors: FloatArray) -> FloatArray:
    """Vectors (..., 3) of length 1; a vector of no length stays so."""
    length = np.sqrt((vectors * vectors).sum(-1, keepdims=True))
    return np.asarray(vectors / np.maximum(length, 1e-9))


def cross(a: FloatArray, b: FloatArray) -> FloatArray:
    """The cross product of (..., 3) and (..., 3); quicker than numpy's own for few vectors."""
    a, b = np.broadcast_arrays(a, b)
    result = np.empty(a.shape)
    result[..., 0] = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    result[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    result[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return result


def frame(x: FloatArray, y: FloatArray) -> FloatArray:
    """Rotations (..., 3, 3) whose y axis points along ``y`` and whose x axis is next to ``x``."""
    up = unit(y)
    side = unit(x - (x * up).sum(-1, keepdims=True) * up)
    return np.stack(np.broadcast_arrays(side, up, cross(side, up)), axis=-1)


def smoothstep(value: FloatArray, low: float, high: float) -> FloatArray:
    """0 up to ``low``, 1 from ``high`` on, smooth between; ``low`` > ``high`` falls."""
    share = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share))


def average_lengths(root_height: float) -> Lengths:
    """The body of average proportions whose pelvis stands at ``root_height`` metres."""
    below = LENGTH_SHARES["thigh"] + LENGTH_SHARES["shank"] + 0.4 * LENGTH_SHARES["foot"]
    height = (root_height - SOLE) / below
    return {bone: height * share for bone, share in LENGTH_SHARES.items()}


def standing_height(lengths: Lengths) -> float:
    """Metres from the floor to the pelvis of a body that stands with straight legs."""
    return ankle_height(lengths) + leg_length(lengths)


def leg_length(lengths: Lengths) -> float:
    """Metres from hip to ankle of a straight leg."""
    return lengths["thigh"] + lengths["shank"]


def ankle_height(lengths: Lengths) -> float:
    """Metres from the floor to the ankle of a foot that stands flat."""
    return SOLE + 0.4 * lengths["foot"]


def reaching(
    start: FloatArray, end: FloatArray, upper: float, lower: float, hinge: FloatArray, fold: float
) -> tuple[FloatArray, FloatArray]:
    """Rotations of a limb's two bones, (F, 3, 3) each, so that it reaches from ``start`` to ``end``.

    ``start``, ``end``, ``hinge`` (F, 3): the hinge is the bones' own x axis, as near as may be.
    ``fold``: 1 for a knee, whose limb folds to the back, -1 for an elbow. What is out of reach,
    or too near, is reached for as far as the joint allows.
    """
    towards = end - start
    distance = np.sqrt((towards * towards).sum(-1, keepdims=True))
    shortest = np.sqrt(upper**2 + lower**2 + 2 * upper * lower * np.cos(_FOLD))
    along = towards / np.maximum(distance, 1e-9)
    distance = np.clip(distance, shortest, _STRETCH * (upper + lower))
    x = unit(hinge - (hinge * along).sum(-1, keepdims=True) * along)
    front = cross(along, x)  # z of the limb, whose y axis points back along it
    part = (upper**2 - lower**2 + distance**2) / (2 * distance)
    out = fold * np.sqrt(np.maximum(upper**2 - part**2, 0))
    middle = part * along + out * front
    return frame(x, -middle), frame(x, middle - distance * along)


def sole_vectors(lengths: Lengths) -> FloatArray:
    """From the ankle to the foot joint and to the heel, (2, 3), in the foot's own axes."""
    foot = lengths["foot"]
    return np.array([[0, -0.4 * foot, foot], [0, -0.4 * foot, -_HEEL * foot]])


def clearance(ankles: FloatArray, feet: FloatArray, lengths: Lengths) -> FloatArray:
    """Metres of air under feet (F,) from ankles (F, 3) and the feet's rotations (F, 3, 3); < 0 below."""
    points = feet[..., 1, :] @ sole_vectors(lengths).T
    return np.asarray(ankles[..., 1] + points.min(-1) - SOLE)


def set_legs(
    rotations: FloatArray, root: FloatArray, ankles: dict[str, FloatArray], lengths: Lengths
) -> None:
    """Turn thighs and shanks in place so that they reach the ``ankles`` (F, 3) of each side."""
    for side, sign in SIDES.items():
        thigh, shank = INDEX[f"{side}_thigh"], INDEX[f"{side}_shank"]
        hip = root + rotations[:, 0, :, 0] * (sign * lengths["hip_width"])
        rotations[:, thigh], rotations[:, shank] = reaching(
            hip, ankles[side], lengths["thigh"], lengths["shank"], rotations[:, thigh, :, 0], 1
        )


def set_arm(
    rotations: FloatArray, shoulder: FloatArray, wrist: FloatArray, side: str, lengths: Lengths
) -> None:
    """Turn one arm in place so that it reaches the ``wrist`` (F, 3); the forearm keeps its twist."""
    upper, lower = INDEX[f"{side}_upper_arm"], INDEX[f"{side}_forearm"]
    hinge = rotations[:, upper, :, 0]
    plain = frame(hinge, rotations[:, lower, :, 1])
    twist = np.swapaxes(plain, -1, -2) @ rotations[:, lower]
    rotations[:, upper], straight = reaching(
        shoulder, wrist, lengths["upper_arm"], lengths["forearm"], hinge, -1
    )
    rotations[:, lower] = straight @ twist


def placed(motion: Motion, lengths: Lengths) -> tuple[FloatArray, FloatArray]:
    """The motion on a body of ``lengths``: rotations (F, B, 3, 3) and the pelvis (F, 3), metres.

    The path is scaled by the length of the legs. Feet tread, in place and height, where the
    reference body's tread; hands that meet, touch the head or carry the body still do.
    """
    reference = average_lengths(motion.root_height)
    scale = leg_length(lengths) / leg_length(reference)
    rotations = motion.rotations.copy()
    root = scale * motion.root
    root[:, 1] += ankle_height(lengths) - scale * ankle_height(reference)
    before = starts(motion.rotations, motion.root, reference)
    propped = _propped(motion.rotations, before, reference)
    if propped.any():
        root = _levelled(rotations, root, before, propped, reference, lengths)
    ankles, lifts = _tread(motion, before, reference, lengths, scale)
    root = carried(rotations, root, ankles, lifts, lengths)
    set_legs(rotations, root, ankles, lengths)
    _set_hands(rotations, root, motion, before, propped, reference, lengths)
    return rotations, root


def figure_joints(motion: Motion, lengths: Lengths) -> FloatArray:
    """Joints of `skeleton.FIGURE36` (F, 36, 3), metres, world, of the motion on a body of ``lengths``."""
    return joints(*placed(motion, lengths), lengths)


def _tread(
    motion: Motion, before: FloatArray, reference: Lengths, lengths: Lengths, scale: float
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Where the ankles belong, (F, 3), and how high the feet are lifted, (F,), of each side."""
    ankles: dict[str, FloatArray] = {}
    lifts: dict[str, FloatArray] = {}
    for side in SIDES:
        foot = INDEX[f"{side}_foot"]
        turned = motion.rotations[:, foot]
        lifts[side] = scale * np.maximum(clearance(before[:, foot], turned, reference), 0)
        # The ball of the foot keeps its place, for a foot rolls over it.
        ball = scale * (before[:, foot] + turned @ sole_vectors(reference)[0])
        ankle = ball - turned @ sole_vectors(lengths)[0]
        ankle[:, 1] += lifts[side] - clearance(ankle, turned, lengths)
        ankles[side] = ankle
    return ankles, lifts


def carried(
    rotations: FloatArray, root: FloatArray, ankles: dict[str, FloatArray],
    lifts: dict[str, FloatArray], lengths: Lengths,
) -> FloatArray:  # fmt: skip
    """The pelvis low enough for its supporting legs and high enough for the trunk not to sink in."""
    root = root.copy()
    for side, sign in SIDES.items():
        hip = rotations[:, 0, :, 0] * (sign * lengths["hip_width"])
        away = ankles[side] - root - hip
        reach = (_STRETCH * leg_length(lengths)) ** 2 - away[:, 0] ** 2 - away[:, 2] ** 2
        highest = ankles[side][:, 1] + np.sqrt(np.maximum(reach, 0)) - hip[:, 1]
        root[:, 1] = np.minimum(root[:, 1], highest + 3 * lifts[side])
    at = starts(rotations, root, lengths)
    deep = [at[:, INDEX[bone], 1] - thick for bone, thick in _TRUNK.items()]
    root[:, 1] += np.maximum(-np.min(deep, axis=0), 0)
    return root


def _propped(rotations: FloatArray, at: FloatArray, lengths: Lengths) -> FloatArray:
    """How much the hands carry the body, (F,) in [0, 1]: 1 with both wrists on the floor."""
    wrists = np.max([at[:, INDEX[f"{side}_hand"], 1] for side in SIDES], axis=0)
    leaning = smoothstep(rotations[:, INDEX["chest"], 1, 1], 0.8, 0.6)
    return smoothstep(wrists - PALM, 0.10, 0.03) * leaning


def _levelled(
    rotations: FloatArray, root: FloatArray, before: FloatArray, propped: FloatArray,
    reference: Lengths, lengths: Lengths,
) -> FloatArray:  # fmt: skip
    """Tilt a body on its hands about its toes, in place, so that its shoulders suit its arms.

    Returns the pelvis (F, 3).
    """
    arms = [body["upper_arm"] + body["forearm"] for body in (lengths, reference)]
    shoulders = [INDEX[f"{side}_clavicle"] for side in SIDES]
    wanted = PALM + arms[0] / arms[1] * (before[:, shoulders, 1].mean(1) - PALM)
    at = starts(rotations, root, lengths)
    toes = np.mean(
        [at[:, i] + rotations[:, i] @ sole_vectors(lengths)[0]
         for i in (INDEX["left_foot"], INDEX["right_foot"])], axis=0,
    )  # fmt: skip
    along = at[:, shoulders].mean(1) - toes
    length = np.maximum(np.linalg.norm(along, axis=1), 1e-6)
    angles = [np.arcsin(np.clip(up / length, -1, 1)) for up in (wanted - toes[:, 1], along[:, 1])]
    axis = cross(along, np.array([0.0, 1.0, 0.0]))
    tilt = _about(unit(axis), propped * (angles[0] - angles[1]))
    # Hands and feet stay as flat as they were.
    kept = [INDEX[f"{side}_{part}"] for side in SIDES for part in ("hand", "foot")]
    flat = rotations[:, kept].copy()
    rotations[:] = tilt[:, None] @ rotations
    rotations[:, kept] = flat
    return np.asarray(toes + times(tilt, root - toes))


def _about(axis: FloatArray, angle: FloatArray) -> FloatArray:
    """Rotations (F, 3, 3) about unit axes (F, 3) by radians (F,)."""
    c, s = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    skew = np.zeros((len(axis), 3, 3))
    skew[:, 0, 1], skew[:, 0, 2], skew[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    skew -= np.swapaxes(skew, 1, 2)
    return np.asarray(c * np.eye(3) + s * skew + (1 - c) * axis[:, :, None] * axis[:, None, :])


def _set_hands(
    rotations: FloatArray, root: FloatArray, motion: Motion, before: FloatArray, propped: FloatArray,
    reference: Lengths, lengths: Lengths,
) -> None:  # fmt: skip
    """Move the hands, in place, to the floor, the head or each other where the reference has them."""
    at = starts(rotations, root, lengths)
    old = {s: _hand(motion.rotations, before, s, reference) for s in SIDES}
    new = {s: _hand(rotations, at, s, lengths) for s in SIDES}
    skulls = [_head(r, b, body) for r, b, body in
              ((motion.rotations, before, reference), (rotations, at, lengths))]  # fmt: skip
    weights = {}
    for side in SIDES:
        offset = old[side] - skulls[0]
        near = smoothstep(np.linalg.norm(offset, axis=1), 0.34, 0.22)
        at_head = skulls[1] + lengths["skull"] / reference["skull"] * offset
        new[side] = new[side] + near[:, None] * (at_head - new[side])
        weights[side] = np.maximum(near, propped)
    apart = old["left"] - old["right"]
    meet = smoothstep(np.linalg.norm(apart, axis=1), 0.34, 0.12)
    middle = (new["left"] + new["right"]) / 2
    for side, sign in SIDES.items():
        goal = new[side] + meet[:, None] * (middle + sign * apart / 2 - new[side])
        if propped.any():
            goal += propped[:, None] * (_on_floor(old[side], before, at, side, propped) - goal)
        if max(weights[side].max(), meet.max()) > 0:
            hand = rotations[:, INDEX[f"{side}_hand"]]
            wrist = goal - hand @ rest_vectors(lengths)[f"{side}_hand"]
            set_arm(rotations, at[:, INDEX[f"{side}_upper_arm"]], wrist, side, lengths)


def _hand(rotations: FloatArray, at: FloatArray, side: str, lengths: Lengths) -> FloatArray:
    hand = INDEX[f"{side}_hand"]
    found: FloatArray = at[:, hand] + rotations[:, hand] @ rest_vectors(lengths)[f"{side}_hand"]
    return found


def _head(rotations: FloatArray, at: FloatArray, lengths: Lengths) -> FloatArray:
    skull = INDEX["skull"]
    middle: FloatArray = at[:, skull] + rotations[:, skull] @ [0, 0.4 * lengths["skull"], 0]
    return middle


def _on_floor(
    hand: FloatArray, before: FloatArray, at: FloatArray, side: str, propped: FloatArray
) -> FloatArray:
    """The reference body's hand (F, 3), moved by one step for all frames to under the new shoulder."""
    shoulder = INDEX[f"{side}_upper_arm"]
    moved = at[:, shoulder] - before[:, shoulder]
    step = (propped[:, None] * moved).sum(0) / propped.sum()
    return np.asarray(hand + step * [1, 0, 1])
