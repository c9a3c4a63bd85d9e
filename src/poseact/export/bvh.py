"""One person's 3D as BVH, the form of motion capture that Blender and other 3D programs open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from poseact.errors import UserError
from poseact.export.tables import whole_file
from poseact.results import CHUNK, Results
from poseact.skeleton import Layout

ROOT = "pelvis"
FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]

_TWIST = np.radians(20)
"""The most that a bone's twist catches up in a frame."""
_SHORTEST_M = 1e-6
"""A shorter bone of a frame has no direction."""
_UP, _DOWN, _OUT, _AHEAD = (0.0, 1.0, 0.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
_BONES: dict[str, tuple[str, tuple[float, float, float]]] = {
    "spine": ("Spine", _UP), "thorax": ("Spine1", _UP), "neck": ("Neck", _UP), "head": ("Head", _UP),
    "nose": ("Nose", (0.0, 0.7, 0.7)), "shoulder": ("Shoulder", _OUT), "elbow": ("Arm", _OUT),
    "wrist": ("ForeArm", _OUT), "hand": ("Hand", _OUT), "hand_tip": ("HandTip", _OUT),
    "thumb": ("Thumb", (0.7, 0.0, 0.7)), "hip": ("Hip", _OUT), "knee": ("UpLeg", _DOWN),
    "ankle": ("Leg", _DOWN), "foot": ("Foot", (0.0, -0.4, 0.9)), "toe": ("ToeBase", _AHEAD),
}  # fmt: skip
"""By the joint that a bone ends in: its name, and where it points in the rest pose, a T; x is outwards."""
_STUMPS = {"wrist": ("Hand", _OUT, 0.08), "ankle": ("Foot", _AHEAD, 0.12)}
"""Where a layout ends at wrist and ankle: the bone that programs expect there, and its length in metres."""
_SIDES = {"left": 1.0, "right": -1.0}


@dataclass(frozen=True)
class _Bone:
    """A bone from joint ``start`` to joint ``end`` of the layout; a stump has no ``end``, but a ``length``.

    ``parent``: the bone that it hangs on, -1 for the root; ``rest`` (3,): its direction in the rest pose.
    """

    name: str
    parent: int
    start: int
    end: int | None
    rest: FloatArray
    length: float = 0.0


def write_bvh(path: Path, results: Results, person: int) -> None:
    """Write the 3D of one person, one frame of BVH for each frame of the video.

    - Metres, y up, right-handed: x to the camera's right, z towards the camera, so that who faces the camera
      faces +z. Up is the camera's up. The root is the pelvis, at its place in ``metres``: the origin
      where these are relative to it.
    - Every bone has the direction of the prediction and a constant length, its median over the clip. A bone
      is a joint of its own, so bones that share a start need not form a rigid triangle; those of the pelvis
      hang on ``Hips`` without an offset. ``Hips`` turns with hips and trunk, the bone below the shoulders
      with these; all others by the smallest turn from the bone that they hang on. Where that would twist
      them by more than 20 degrees from one frame to the next, the twist catches up gradually.
    - Frames without the person hold the pose before, those at the beginning the first one.
    - Joints are named as Blender users know them: ``LeftArm`` begins at the left shoulder. Layouts that end
      at wrists and ankles get a short ``Hand`` and ``Foot`` that go along with forearm and shank.

    Raises `UserError` for a network in 2D, a layout without a pelvis, a person that is not there, a video
    without a frame rate, or a file that cannot be written.
    """
    _check(path, results, person)
    bones = _skeleton(results.layout)
    own = np.flatnonzero(results.column("person") == person)
    lengths = _median_lengths(results, own, bones)
    form = " ".join(["%.6f"] * 3 + ["%.5f"] * (3 * len(bones) + 3)) + "\n"
    with whole_file(path) as file:
        file.write(_hierarchy(bones, lengths).encode())
        file.write(f"MOTION\nFrames: {results.frames}\nFrame Time: {1 / results.fps:.8f}\n".encode())
        for values in _channels(results, own, bones):
            file.write("".join(form % tuple(line) for line in values.tolist()).encode())


def _check(path: Path, results: Results, person: int) -> None:
    if not results.is_3d:
        raise UserError(f"{path}: BVH holds 3D, but these weights answer 2D; use weights of a 3D network")
    if ROOT not in results.layout.joints:
        raise UserError(
            f"{path}: BVH begins at the pelvis, which the layout {results.layout.name} does not have; "
            "use weights of a 3D network with a pelvis"
        )
    if person not in results.people:
        known = ", ".join(map(str, results.people)) or "nobody"
        raise UserError(f"{path}: expected person {person}, found {known}; name one of these")
    if not results.fps > 0:
        raise UserError(f"{path}: BVH needs frames a second, found {results.fps}; give a video")


# --- the skeleton ---------------------------------------------------------------------------------


def _skeleton(layout: Layout) -> list[_Bone]:
    """The bones that are reached from the pelvis, a bone after the one that it hangs on."""
    neighbours: dict[str, list[str]] = {joint: [] for joint in layout.joints}
    for a, b in layout.edges:
        neighbours[a].append(b)
        neighbours[b].append(a)
    bones: list[_Bone] = []
    reached = {ROOT}

    def grow(joint: str, parent: int) -> None:
        onwards = [other for other in neighbours[joint] if other not in reached]
        reached.update(onwards)
        for other in onwards:
            bones.append(_bone(layout, joint, other, parent))
            grow(other, len(bones) - 1)
        side, _, part = joint.partition("_")
        if not onwards and part in _STUMPS:
            name, rest, length = _STUMPS[part]
            direction = np.array(rest) * (_SIDES[side], 1, 1)
            bones.append(
                _Bone(side.capitalize() + name, parent, layout.index(joint), None, direction, length)
            )

    grow(ROOT, -1)
    return bones


def _bone(layout: Layout, start: str, end: str, parent: int) -> _Bone:
    side, _, part = end.partition("_")
    if side not in _SIDES:
        side, part = "", end
    plain = "".join(word.capitalize() for word in part.split("_"))
    name, rest = _BONES.get(part, (plain, _UP))
    if part == "thorax" and "spine" not in layout.joints:
        name = "Spine"
    direction = np.array(rest) / np.linalg.norm(rest) * (_SIDES.get(side, 1), 1, 1)
    return _Bone(side.capitalize() + name, parent, layout.index(start), layout.index(end), direction)


def _hierarchy(bones: Sequence[_Bone], lengths: Sequence[float]) -> str:
    """The skeleton as text: a bone is a joint where it begins, and what hangs on it begins where it ends."""
    order = "Zrotation Xrotation Yrotation"
    ends = [bone.rest * length for bone, length in zip(bones, lengths, strict=True)]

    def offset(vector: FloatArray) -> str:
        return "OFFSET " + " ".join(f"{value + 0.0:.6f}" for value in vector)

    def below(parent: int, depth: int) -> list[str]:
        pad, lines = "\t" * depth, []
        begin = np.zeros(3) if parent < 0 else ends[parent]
        children = [i for i, bone in enumerate(bones) if bone.parent == parent]
        for i in children:
            lines += [f"{pad}JOINT {bones[i].name}", f"{pad}{{", f"{pad}\t{offset(begin)}"]
            lines += [f"{pad}\tCHANNELS 3 {order}", *below(i, depth + 1), f"{pad}}}"]
        if not children:
            lines += [f"{pad}End Site", f"{pad}{{", f"{pad}\t{offset(begin)}", f"{pad}}}"]
        return lines

    root = ["HIERARCHY", "ROOT Hips", "{", f"\t{offset(np.zeros(3))}"]
    root.append(f"\tCHANNELS 6 Xposition Yposition Zposition {order}")
    return "\n".join([*root, *below(-1, 1), "}", ""])


def _median_lengths(results: Results, own: IntArray, bones: Sequence[_Bone]) -> list[float]:
    """Each bone's length in metres: the median over the rows ``own``; a stump has its own."""
    measured = np.full((len(own), len(bones)), np.nan, np.float32)
    for start in range(0, len(own), CHUNK):
        some = slice(start, start + CHUNK)
        points = results.column("metres", own[some]).astype(np.float64)
        for i, bone in enumerate(bones):
            if bone.end is not None:
                measured[some, i] = np.linalg.norm(points[:, bone.end] - points[:, bone.start], axis=1)
    lengths = []
    for bone, values in zip(bones, measured.T, strict=True):
        known = values[np.isfinite(values)]
        lengths.append(float(np.median(known)) if len(known) else bone.length)
    return lengths


# --- the motion -----------------------------------------------------------------------------------


def _channels(results: Results, own: IntArray, bones: Sequence[_Bone]) -> Iterator[FloatArray]:
    """The numbers of each frame of the video, (F, 3 + 3 + 3 B): place, root's and bones' angles in degrees.

    The chunks but the first are computed with the frame before, which says where twists and angles go on.
    """
    frames = results.column("frame", own)
    held = np.maximum(np.searchsorted(frames, np.arange(results.frames), side="right") - 1, 0)
    twists: FloatArray = np.zeros(len(bones))
    last: FloatArray = np.zeros((0, len(bones) + 1, 3))
    for start in range(0, results.frames, CHUNK):
        shown = own[held[max(start - 1, 0) : start + CHUNK]]
        points = results.column("metres", shown) * np.array([1.0, -1.0, -1.0])  # y up, z towards the camera
        turned, twists = _turned(points, bones, results.layout, twists)
        angles = _angles(_relative(turned, bones))
        if start:
            points, angles = points[1:], angles[1:]
        angles = np.unwrap(np.concatenate([last, angles]), axis=0)[len(last) :]
        last = angles[-1:]
        root = np.nan_to_num(points[:, results.layout.index(ROOT)])
        yield np.concatenate([root, np.degrees(angles).reshape(len(angles), -1)], 1)


def _turned(
    points: FloatArray, bones: Sequence[_Bone], layout: Layout, before: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Rotations (F, B + 1, 3, 3) of the root and the bones in the world, and twists (B,) in the last frame.

    ``points`` (F, J, 3); ``before`` (B,): the twists in the first frame, in radians, see `_twisted`.
    """
    turned = np.empty((len(points), len(bones) + 1, 3, 3))
    turned[:, 0] = _root_rotation(points, bones, layout)
    last = np.zeros(len(bones))
    for i, bone in enumerate(bones):
        above = turned[:, bone.parent + 1]
        if bone.end is None:
            turned[:, i + 1] = above
            continue
        along = np.asarray(above @ bone.rest)
        towards = _direction(points[:, bone.end] - points[:, bone.start], along)
        smallest: FloatArray = _swing(along, towards) @ above
        if layout.joints[bone.end] == "thorax":
            smallest = _frame(_across(points, layout, "shoulder"), towards, smallest)
        twist = _twisted(smallest, towards, bone.rest, (along * towards).sum(1), before[i])
        turned[:, i + 1] = _about(towards, twist) @ smallest if twist.any() else smallest
        last[i] = twist[-1]
    return turned, last


def _root_rotation(points: FloatArray, bones: Sequence[_Bone], layout: Layout) -> FloatArray:
    """Rotations (F, 3, 3): y along the trunk, x from the right hip to the left one."""
    up = np.broadcast_to(np.array(_UP), points[:, 0].shape)
    trunk = next((bone for bone in bones if bone.parent < 0 and bone.rest[1] > 0.5), None)
    if trunk is None or trunk.end is None:
        return np.broadcast_to(np.eye(3), (len(points), 3, 3))
    towards = _direction(points[:, trunk.end] - points[:, trunk.start], up)
    return _frame(_across(points, layout, "hip"), towards, _swing(up, towards))


def _across(points: FloatArray, layout: Layout, joint: str) -> FloatArray:
    """From the right joint to the left one, (F, 3); zero where the layout has none."""
    if f"left_{joint}" not in layout.joints:
        return np.zeros_like(points[:, 0])
    return np.asarray(points[:, layout.index(f"left_{joint}")] - points[:, layout.index(f"right_{joint}")])


def _direction(vectors: FloatArray, otherwise: FloatArray) -> FloatArray:
    """Unit vectors (F, 3); ``otherwise`` where a vector has no length, or is not finite."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    has = length > _SHORTEST_M  # False where it is not a number
    return np.where(has, vectors / np.where(has, length, 1), otherwise)


def _half_turn(axis: FloatArray) -> FloatArray:
    return np.asarray(2 * axis[..., :, None] * axis[..., None, :] - np.eye(3))


def _swing(start: FloatArray, end: FloatArray) -> FloatArray:
    """The smallest rotations (F, 3, 3) from unit vectors (F, 3) to unit vectors (F, 3).

    Half a turn about ``start``, then half a turn about the middle between both. Opposite vectors have
    many smallest rotations; one of them is taken.
    """
    other = np.where(np.abs(start[:, :1]) < 0.6, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]))
    middle = _direction(start + end, _direction(np.cross(start, other), other))
    return np.asarray(_half_turn(middle) @ _half_turn(start))


def _frame(across: FloatArray, up: FloatArray, otherwise: FloatArray) -> FloatArray:
    """Rotations (F, 3, 3) with y along ``up`` (unit) and x next to ``across``; ``otherwise`` where both
    are in line.
    """
    x = across - (across * up).sum(1, keepdims=True) * up
    length = np.linalg.norm(x, axis=1)[:, None]
    has = length > _SHORTEST_M
    x = x / np.where(has, length, 1)
    return np.where(has[..., None], np.stack([x, up, np.cross(x, up)], -1), otherwise)


def _twisted(
    rotations: FloatArray, towards: FloatArray, rest: FloatArray, cosine: FloatArray, before: float
) -> FloatArray:
    """By how much (F,) radians to turn ``rotations`` about ``towards`` so that the twist goes on smoothly.

    A frame begins with the twist that the frame before is carried over with by the smallest turn, and
    goes back to none by up to 20 degrees, less the nearer the bone is to folding back
    (``cosine`` -1), where the smallest turn from the parent flips with the least change.
    """
    side = np.cross(rest, (0.0, 0.0, 1.0) if abs(rest[2]) < 0.6 else (1.0, 0.0, 0.0))
    carried = _swing(towards[:-1], towards[1:]) @ (rotations[:-1] @ side)[..., None]
    new = rotations[1:] @ side
    across = np.cross(carried[..., 0], new)
    turns = np.arctan2((across * towards[1:]).sum(1), (carried[..., 0] * new).sum(1))
    most = _TWIST * (1 + cosine[1:]) / 2
    twist = np.zeros(len(rotations))
    twist[0] = before
    if before == 0 and (np.abs(turns) <= most).all():
        return twist
    for f, (turn, limit) in enumerate(zip(turns.tolist(), most.tolist(), strict=True), 1):
        rest_of_it = (twist[f - 1] - turn + np.pi) % (2 * np.pi) - np.pi
        twist[f] = rest_of_it - min(max(rest_of_it, -limit), limit)
    return twist


def _about(axis: FloatArray, angle: FloatArray) -> FloatArray:
    """Rotations (F, 3, 3) about unit vectors (F, 3) by ``angle`` (F,) radians."""
    cross = np.cross(np.eye(3), axis[:, None])  # its rows are e x axis, so its columns axis x e
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    outer = axis[:, :, None] * axis[:, None, :]
    return np.asarray(cosine * np.eye(3) + sine * cross + (1 - cosine) * outer)


def _relative(turned: FloatArray, bones: Sequence[_Bone]) -> FloatArray:
    """Rotations in the world as rotations in the one that a bone hangs on, (F, B + 1, 3, 3)."""
    parents = [bone.parent + 1 for bone in bones]
    relative = turned.copy()
    relative[:, 1:] = np.swapaxes(turned[:, parents], -1, -2) @ turned[:, 1:]
    return relative


def _angles(rotations: FloatArray) -> FloatArray:
    """Angles (..., 3) in radians about z, then x, then y, each about axes that turn along."""
    r = rotations
    level = np.hypot(r[..., 2, 0], r[..., 2, 2])
    x = np.arctan2(r[..., 2, 1], level)
    # With x upright, only the sum or difference of z and y is known: y is 0 then.
    locked = level < 1e-7
    z = np.arctan2(
        np.where(locked, r[..., 1, 0], -r[..., 0, 1]), np.where(locked, r[..., 0, 0], r[..., 1, 1])
    )
    y = np.where(locked, 0, np.arctan2(-r[..., 2, 0], r[..., 2, 2]))
    return np.stack([z, x, y], -1)
