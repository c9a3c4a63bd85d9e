"""Captured motion comes over as it was: the joints where they were, left left, feet down."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import poseact
from poseact.data.synthetic.actions import random_motion
from poseact.data.synthetic.capture import (
    MotionClips,
    measured_lengths,
    read_bvh,
    read_motions_npz,
    with_common_names,
    without_still_waves,
)
from poseact.data.synthetic.curves import ROOT_HEIGHT
from poseact.data.synthetic.placing import INDEX, SOLE, average_lengths, figure_joints, placed, sole_vectors
from poseact.data.synthetic.rig import (
    PARENTS,
    SIDES,
    Lengths,
    Motion,
    random_lengths,
    rest_vectors,
    starts,
)
from poseact.errors import UserError
from poseact.evaluation import rules
from poseact.evaluation.run import open_job
from poseact.skeleton import FIGURE36

NPZ_JOINTS = (
    "joint_Root", "Hips", "Spine", "Chest", "Neck", "Head",
    "Shoulder_L", "UpperArm_L", "LowerArm_L", "Hand_L", "Shoulder_R", "UpperArm_R", "LowerArm_R", "Hand_R",
    "UpperLeg_L", "LowerLeg_L", "Foot_L", "Toes_L", "UpperLeg_R", "LowerLeg_R", "Foot_R", "Toes_R",
)  # fmt: skip
NPZ_PARENTS = (-1, 0, 1, 2, 3, 4, 3, 6, 7, 8, 3, 10, 11, 12, 1, 14, 15, 16, 1, 18, 19, 20)
OURS = {
    "Hips": "pelvis", "Spine": "spine", "Neck": "thorax", "Head": "neck",
    **{f"{name}_{side[0].upper()}": f"{side}_{joint}" for side in SIDES for name, joint in (
        ("UpperArm", "shoulder"), ("LowerArm", "elbow"), ("Hand", "wrist"), ("UpperLeg", "hip"),
        ("LowerLeg", "knee"), ("Foot", "ankle"), ("Toes", "foot"))},
}  # fmt: skip
# What a BVH exporter calls the bones that begin where ours do.
MIXAMO = {
    "pelvis": "mixamorig:Hips", "chest": "mixamorig:Spine1", "neck": "mixamorig:Neck",
    "skull": "mixamorig:Head",
    "clavicle": "mixamorig:{}Shoulder", "upper_arm": "mixamorig:{}Arm", "forearm": "mixamorig:{}ForeArm",
    "hand": "mixamorig:{}Hand", "thigh": "mixamorig:{}UpLeg", "shank": "mixamorig:{}Leg",
    "foot": "mixamorig:{}Foot", "toe": "mixamorig:{}ToeBase", "left": "Left", "right": "Right",
}  # fmt: skip
BANDAI = {
    "pelvis": "Hips", "chest": "Chest", "neck": "Neck", "skull": "Head",
    "clavicle": "Shoulder_{}", "upper_arm": "UpperArm_{}", "forearm": "LowerArm_{}", "hand": "Hand_{}",
    "thigh": "UpperLeg_{}", "shank": "LowerLeg_{}", "foot": "Foot_{}", "toe": "Toes_{}",
    "left": "L", "right": "R",
}  # fmt: skip
SMPL = {
    "pelvis": "Pelvis", "chest": "Spine2", "neck": "Neck", "skull": "Head",
    "clavicle": "{}_Collar", "upper_arm": "{}_Shoulder", "forearm": "{}_Elbow", "hand": "{}_Wrist",
    "thigh": "{}_Hip", "shank": "{}_Knee", "foot": "{}_Ankle", "toe": "{}_Foot", "left": "L", "right": "R",
}  # fmt: skip
SMALL = {
    "pelvis": "root", "chest": "spine", "neck": "neck", "skull": "head",
    "clavicle": "{}_clavicle", "upper_arm": "{}_shoulder", "forearm": "{}forearm", "hand": "{}hand",
    "thigh": "{}femur", "shank": "{}shin", "foot": "{}foot", "toe": "{}toe", "left": "l", "right": "r",
}  # fmt: skip


def body(seed: int) -> Lengths:
    return random_lengths(np.random.default_rng((21, seed)))


def captured(action: str, seed: int, frames: int = 60) -> Motion:
    return random_motion(action, np.random.default_rng((22, seed)), frames)


def at(poses: np.ndarray, joint: str) -> np.ndarray:
    return poses[..., FIGURE36.index(joint), :]


def soles(moved: Motion, lengths: Lengths) -> tuple[np.ndarray, np.ndarray]:
    """Ball and heel of both feet (F, 4, 3), and the rotations."""
    rotations, root = placed(moved, lengths)
    begin = starts(rotations, root, lengths)
    feet = [INDEX[f"{side}_foot"] for side in SIDES]
    points = [
        begin[:, i, None] + np.einsum("fij,kj->fki", rotations[:, i], sole_vectors(lengths)) for i in feet
    ]
    return np.concatenate(points, axis=1), rotations


# --- BVH --------------------------------------------------------------------------------------------


def angles(rotation: np.ndarray, order: str) -> list[float]:
    """Euler angles in degrees, in the order of the channels."""
    r = rotation
    if order == "ZXY":
        found = [
            np.arctan2(-r[0, 1], r[1, 1]),
            np.arcsin(np.clip(r[2, 1], -1, 1)),
            np.arctan2(-r[2, 0], r[2, 2]),
        ]
    else:
        found = [
            np.arctan2(r[0, 2], r[2, 2]),
            np.arcsin(np.clip(-r[1, 2], -1, 1)),
            np.arctan2(r[1, 0], r[1, 1]),
        ]
    return [float(v) for v in np.rad2deg(found)]


def write_bvh(
    path: Path, moved: Motion, lengths: Lengths, names: dict[str, str],
    order: str = "ZXY", unit: float = 100.0, toes: bool = True,
) -> Path:  # fmt: skip
    """The motion as an exporter would write it, ``unit`` to the metre."""
    rotations, root = placed(moved, lengths)
    vectors = rest_vectors(lengths)
    vectors["pelvis"] = np.zeros(3)
    children: dict[str, list[str]] = {bone: [] for bone in PARENTS}
    for bone, parent in PARENTS.items():
        if parent is not None:
            # The lumbar begins where the pelvis does; exporters have no bone of no length.
            children["pelvis" if parent == "lumbar" else parent].append(bone)
    children["pelvis"].remove("lumbar")
    lines, order_of = ["HIERARCHY"], []

    def called(bone: str) -> str:
        side, _, part = bone.partition("_")
        return names[part].format(names[side]) if side in SIDES else names[bone]

    def write(bone: str, offset: np.ndarray, depth: int) -> None:
        order_of.append(bone)
        pad = "\t" * depth
        channels = " ".join(f"{axis}rotation" for axis in order)
        channels = f"6 Xposition Yposition Zposition {channels}" if bone == "pelvis" else f"3 {channels}"
        lines.extend([
            f"{pad}{'ROOT' if bone == 'pelvis' else 'JOINT'} {called(bone)}", f"{pad}{{",
            f"{pad}\tOFFSET {' '.join(f'{v:.6f}' for v in unit * offset)}", f"{pad}\tCHANNELS {channels}",
        ])  # fmt: skip
        for child in children[bone]:
            start = vectors[bone]
            if child.endswith("thigh"):
                start = np.array([SIDES[child.removesuffix("_thigh")] * lengths["hip_width"], 0, 0])
            write(child, vectors["lumbar"] if child == "chest" else start, depth + 1)
        if not children[bone]:
            tip = " ".join(f"{v:.6f}" for v in unit * vectors[bone])
            if bone.endswith("foot") and toes:
                toe = names["toe"].format(names[bone.removesuffix("_foot")])
                lines.extend([f"JOINT {toe}", "{", f"OFFSET {tip}", f"CHANNELS 3 {channels[2:]}",
                              "End Site", "{", "OFFSET 0 0 3", "}", "}"])  # fmt: skip
                order_of.append("toe")
            elif not bone.endswith("foot"):
                lines.extend([f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET {tip}", f"{pad}\t}}"])
        lines.append(f"{pad}}}")

    write("pelvis", np.zeros(3), 0)
    lines += ["MOTION", f"Frames: {len(root)}", f"Frame Time: {1 / moved.fps:.7f}"]
    for frame, place in enumerate(root):
        row = [*(unit * place)]
        for bone in order_of:
            if bone == "toe":
                row += [0.0, 0.0, 0.0]
                continue
            # The chest hangs on the pelvis here, whose lumbar vector it must begin with.
            parent = "pelvis" if bone == "chest" else PARENTS[bone]
            above = np.eye(3) if parent is None else rotations[frame, INDEX[parent]]
            row += angles(above.T @ rotations[frame, INDEX[bone]], order)
        lines.append(" ".join(f"{v:.6f}" for v in row))
    path.write_text("\n".join(lines) + "\n")
    return path


def stiff(moved: Motion) -> Motion:
    """The motion with the lumbar stiff on the pelvis, as the written skeleton has it."""
    rotations = moved.rotations.copy()
    rotations[:, INDEX["lumbar"]] = rotations[:, 0]
    return Motion(rotations, moved.root, moved.root_height, moved.fps, moved.action, moved.held)


@pytest.mark.parametrize(
    ("names", "order", "unit"),
    [(MIXAMO, "ZXY", 100.0), (BANDAI, "YXZ", 1.0), (SMPL, "ZXY", 1.0), (SMALL, "YXZ", 100.0)],
)
@pytest.mark.parametrize("action", ["walk", "squat", "punch"])
def test_a_bvh_file_comes_back(
    tmp_path: Path, names: dict[str, str], order: str, unit: float, action: str
) -> None:
    moved, lengths = stiff(captured(action, 1)), body(1)
    path = write_bvh(tmp_path / f"{action}.bvh", moved, lengths, names, order, unit)
    back = read_bvh(path)
    assert (len(back), back.action) == (60, action) and back.fps == pytest.approx(30, abs=1e-3)
    true, found = figure_joints(moved, lengths), figure_joints(back, lengths)
    # Hands are not bent at the wrist.
    kept = [i for i, joint in enumerate(FIGURE36.joints) if not ("hand" in joint or "thumb" in joint)]
    off = np.linalg.norm(true - found, axis=-1)[:, kept]
    assert off.mean() < 0.012 and off.max() < 0.045
    side = at(found, "left_shoulder") - at(found, "right_shoulder")
    assert (side * (at(true, "left_shoulder") - at(true, "right_shoulder"))).sum(1).min() > 0.01


def test_bvh_without_toes_or_in_odd_units_still_stands(tmp_path: Path) -> None:
    moved, lengths = stiff(captured("walk", 2)), body(2)
    for k, (unit, toes) in enumerate([(100.0, False), (5.6, True), (1000.0, True)]):
        back = read_bvh(write_bvh(tmp_path / f"{k}.bvh", moved, lengths, BANDAI, unit=unit, toes=toes))
        points, _ = soles(back, body(3))
        assert points[..., 1].min() > SOLE - 1e-3
        assert np.percentile(points[..., 1].min(1), 90) < SOLE + 0.02
        assert 0.6 < back.root_height < 1.15


def small_bvh(tmp_path: Path) -> str:
    return write_bvh(tmp_path / "small.bvh", stiff(captured("idle", 0, 3)), body(0), BANDAI).read_text()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (r"HIERARCHY", "HIERARCHIE", "HIERARCHIE"),
        (r"MOTION", "MOTIONS", "expected a BVH file"),
        (r"Frames: 3", "Frames: 4", "numbers for 4 frames"),
        (r"Frames: 3", "Frames: 0", "0 frames"),
        (r"Frame Time: \S+", "Frame Time: 0", "every 0.0 s"),
        (r"\}\s*MOTION", "MOTION", "brackets"),
        (r"CHANNELS 6", "CHANNELS 7", "CHANNELS 7"),
        (r"Zrotation", "Wrotation", "Wrotation"),
        (r"(Frame Time: \S+)\n\S+", r"\1\nnan", "not finite"),
        (r"(Frame Time: \S+)\n\S+", r"\1\nfour", "four"),
        (r"LowerArm_R", "Banana", "no bone for right lowerarm"),
        (r"Neck|Head", "Banana", "no bone for neck or head"),
    ],
)
def test_damaged_bvh_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = tmp_path / "damaged.bvh"
    path.write_text(re.sub(old, new, small_bvh(tmp_path)))
    with pytest.raises(UserError) as error:
        read_bvh(path)
    assert str(path) in str(error.value) and told in str(error.value) and "\n" not in str(error.value)


def test_missing_or_binary_bvh_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found none"):
        read_bvh(tmp_path / "no.bvh")
    with pytest.raises(UserError, match="expected a BVH file"):
        read_bvh(tmp_path)
    (tmp_path / "noise.bvh").write_bytes(np.random.default_rng(0).bytes(4000))
    with pytest.raises(UserError, match="expected a BVH file"):
        read_bvh(tmp_path / "noise.bvh")
    (tmp_path / "empty.bvh").write_text("")
    with pytest.raises(UserError, match="expected a BVH file"):
        read_bvh(tmp_path / "empty.bvh")


# --- motions.npz ------------------------------------------------------------------------------------


def npz_fields() -> dict[str, np.ndarray]:
    """Three clips of our own people in the form of the Bandai-Namco set."""
    lengths = average_lengths(ROOT_HEIGHT)
    clips = [captured(action, seed, 40) for seed, action in enumerate(("walk", "wave_left", "walk"))]
    positions = np.zeros((120, 22, 3), np.float16)
    for k, moved in enumerate(clips):
        poses = figure_joints(moved, lengths)
        part = positions[40 * k : 40 * k + 40]
        for name, ours in OURS.items():
            part[:, NPZ_JOINTS.index(name)] = at(poses, ours)
        chest = (at(poses, "spine") + at(poses, "thorax")) / 2
        part[:, NPZ_JOINTS.index("Chest")] = chest
        for side in ("L", "R"):
            shoulder = at(poses, OURS[f"UpperArm_{side}"])
            part[:, NPZ_JOINTS.index(f"Shoulder_{side}")] = (shoulder + at(poses, "thorax")) / 2
    return {
        "positions": positions, "lengths": np.array([40, 40, 40], np.int32),
        "clip": np.array(["a_walk_001", "b_wave_001", "c_walk_001"]),
        "action": np.array(["walk", "wave", "walk"]), "style": np.array(["active", "active", "sad"]),
        "joint_names": np.array(NPZ_JOINTS), "parents": np.array(NPZ_PARENTS, np.int32),
        "fps": np.float32(30),
    }  # fmt: skip


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = tmp_path / "motions.npz"
    np.savez_compressed(path, **npz_fields())
    return path


def test_clips_of_an_npz_file(npz: Path) -> None:
    clips = read_motions_npz(npz)
    assert len(clips) == 3 and clips.names[1] == "b_wave_001" and clips.fps == 30
    assert clips.counts == {"walk": 2, "wave": 1}
    assert [moved.action for moved in (clips[0], clips[1])] == ["walk", "wave"] and len(clips[2]) == 40
    assert clips.of_actions(["walk"]).names == ("a_walk_001", "c_walk_001")
    with pytest.raises(IndexError):
        clips[3]
    lengths = measured_lengths(clips.points(0))
    true = figure_joints(captured("wave_left", 1, 40), average_lengths(ROOT_HEIGHT))
    off = np.linalg.norm(figure_joints(clips[1], lengths) - true, axis=-1)
    kept = [
        i
        for i, joint in enumerate(FIGURE36.joints)
        if not ("hand" in joint or "thumb" in joint) and joint not in ("head", "nose")
    ]
    assert off[:, kept].mean() < 0.015 and off[:, kept].max() < 0.05


def test_clips_are_split_by_style(npz: Path) -> None:
    clips = read_motions_npz(npz)
    trained, held_out = clips.by_style(["sad"])
    assert set(trained.styles) == {"active"} and held_out.names == ("c_walk_001",)
    assert held_out[0].root.tobytes() == clips[2].root.tobytes()
    with pytest.raises(UserError, match="found glum"):
        clips.by_style(["glum"])


def test_waves_whose_hand_is_still_are_left_out(tmp_path: Path) -> None:
    # Clip 1 waves; clip 2 holds the wrist of clip 1's middle frame all the time.
    fields = npz_fields() | {"action": np.array(["walk", "wave-left-hand", "wave-left-hand"])}
    fields["positions"][80:] = fields["positions"][60]
    np.savez(tmp_path / "waves.npz", **fields)
    clips = with_common_names(read_motions_npz(tmp_path / "waves.npz"))
    assert clips.actions == ("walk", "wave_left", "wave_left")
    assert without_still_waves(clips).names == ("a_walk_001", "b_wave_001")
    # Of both hands, one that waves is enough; and a raised hand may be as still as it likes.
    for action, left in (("wave_both", 2), ("wave_right", 1), ("raise_left", 3)):
        named = replace(clips, actions=("walk", action, action))
        assert len(without_still_waves(named)) == left, action


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"positions": np.zeros((120, 21, 3), np.float16)}, "expected positions"),
        ({"lengths": np.array([40, 40, 41], np.int32)}, "121 frames"),
        ({"lengths": np.array([120, -40, 40], np.int32)}, "expected positions"),
        ({"style": np.array(["sad"])}, "one label a clip"),
        ({"fps": np.float32(0)}, "fps > 0"),
        ({"positions": np.full((120, 22, 3), np.nan, np.float16)}, "finite"),
        ({"joint_names": np.array(["x"] * 22)}, "none named Foot_L"),
        ({"clip": np.array([{}, {}, {}], object)}, "npz archive"),
        ({"action": None}, "found no action"),
    ],
)
def test_damaged_npz_is_told(tmp_path: Path, change: dict[str, np.ndarray | None], told: str) -> None:
    path = tmp_path / "damaged.npz"
    fields = {name: value for name, value in (npz_fields() | change).items() if value is not None}
    np.savez(path, **fields)
    with pytest.raises(UserError) as error:
        read_motions_npz(path)
    assert str(path) in str(error.value) and told in str(error.value) and "\n" not in str(error.value)


def test_missing_or_cut_npz_is_told(tmp_path: Path, npz: Path) -> None:
    with pytest.raises(UserError, match="found none"):
        read_motions_npz(tmp_path / "no.npz")
    npz.write_bytes(npz.read_bytes()[:2000])
    with pytest.raises(UserError, match="npz archive"):
        read_motions_npz(npz)


# --- the true file ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared: Path) -> MotionClips:
    return read_motions_npz(shared / "data" / "mocap" / "motions.npz")


@pytest.fixture(scope="module")
def some(real: MotionClips) -> list[int]:
    """Two clips of each of the ten large actions."""
    return [
        i
        for action in list(real.counts)[:10]
        for i in np.flatnonzero(np.array(real.actions) == action)[[3, -5]]
    ]


def test_the_true_file_is_whole(real: MotionClips) -> None:
    assert len(real) == 2517 and real.fps == 30 and len(set(real.styles)) == 18
    assert real.counts["raise-up-left-hand"] == 376 and real.counts["run"] == 268
    assert real.standing.ankle == pytest.approx(0.117, abs=0.002)
    assert real.standing.toe == pytest.approx(0.042, abs=0.002)


def test_captured_joints_are_where_they_were(real: MotionClips, some: list[int]) -> None:
    for i in some:
        points = real.points(i)
        lengths = measured_lengths(points)
        poses = figure_joints(real[i], lengths)
        # Our ankle stands 3.4 cm lower over the sole than the capture's: the whole person does.
        poses[..., 1] += (points["pelvis"] - at(poses, "pelvis"))[:, 1].mean()
        ours = {j: j for j in points if j in FIGURE36.joints and not j.endswith(("clavicle", "toe"))}
        ours |= {"skull": "neck"}
        off = {joint: np.linalg.norm(at(poses, our) - points[joint], axis=1) for joint, our in ours.items()}
        assert len(ours) == 16
        assert np.mean(list(off.values())) < 0.02, real.names[i]
        assert max(v.max() for v in off.values()) < 0.08, real.names[i]


def test_captured_left_is_left(real: MotionClips) -> None:
    for side, other in (("left", "right"), ("right", "left")):
        clips = real.of_actions([f"raise-up-{side}-hand", f"wave-{side}-hand"])
        for i in range(0, len(clips), 60):
            poses = figure_joints(clips[i], body(i))
            high = {s: np.percentile(at(poses, f"{s}_wrist")[:, 1], 95) for s in (side, other)}
            assert high[side] > high[other] + 0.1, clips.names[i]


def test_captured_feet_stay_down_on_any_body(real: MotionClips, some: list[int]) -> None:
    for k, i in enumerate(some):
        moved = real[i]
        points, rotations = soles(moved, body(k))
        assert points[..., 1].min() > SOLE - 1e-3
        lowest = points[..., 1].min(1)
        if "run" not in moved.action:
            assert np.percentile(lowest, 90) < SOLE + 0.02, real.names[i]
        # The ball of a foot on the floor creeps less than 1 cm a frame, in 95 of 100.
        balls = points[:, ::2]
        step = np.linalg.norm(np.diff(balls[..., [0, 2]], axis=0), axis=-1)
        down = (balls[1:, :, 1] < SOLE + 0.002) & (balls[:-1, :, 1] < SOLE + 0.002)
        assert np.percentile(step[down], 95) < 0.01, real.names[i]
        np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-6)


def test_steps_of_float16_far_from_the_origin_are_smoothed(tmp_path: Path) -> None:
    fields = npz_fields()
    paths = []
    for k, shift in enumerate((0.0, 6.0)):  # float16 steps by 4 mm beyond 4 m
        moved = fields["positions"].astype(np.float32) + np.float32([0, 0, shift])
        paths.append(tmp_path / f"{k}.npz")
        np.savez(paths[-1], **(fields | {"positions": moved.astype(np.float16)}))
    near, far = (read_motions_npz(path)[0].root for path in paths)
    off = far - near - [0, 0, 6.0]
    # Unsmoothed, the steps alone would make accelerations of 2.5 m/s^2.
    assert np.abs(off).max() < 0.005
    assert np.sqrt((np.diff(off[:, 2], 2) ** 2).mean()) * 30**2 < 1.5


def test_an_evaluation_says_which_motions_were_performed(npz: Path) -> None:
    for root, told in ((npz, "synthetic, motions.npz"), (None, "synthetic")):
        job = open_job(poseact.DEFAULT_WEIGHTS, "synthetic", root, "all", rules.OURS)
        assert job.names["data"] == told
