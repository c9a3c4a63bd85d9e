"""The generator's answers agree with its pictures, and its people with human bodies."""

from __future__ import annotations

import numpy as np
import pytest

from poseact.data.synthetic import FIGURE, OCCLUSION_MARGIN_M, Labelled, SyntheticFigures, random_camera
from poseact.data.synthetic.body import Primitives, inside, posed, random_body
from poseact.data.synthetic.motion import LIMITS, forward_kinematics, random_angles, random_bones, random_pose
from poseact.data.synthetic.renderer import Light, render
from poseact.geometry import Camera
from poseact.skeleton import PA16, PA17, PA20
from poseact.structures import Sample

FRAMES = 100


@pytest.fixture(scope="module")
def frames() -> list[Labelled]:
    data = SyntheticFigures(FRAMES, seed=3)
    return [data.labelled(i) for i in range(FRAMES)]


@pytest.fixture(scope="module")
def poses() -> np.ndarray:
    return np.array([random_pose(np.random.default_rng((5, i))) for i in range(300)])


def at(poses: np.ndarray, joint: str) -> np.ndarray:
    return poses[..., FIGURE.index(joint), :]


def bend(poses: np.ndarray, *chain: str) -> np.ndarray:
    """Degrees by which the middle joint of three is folded; 0 = straight."""
    a, b, c = (at(poses, joint) for joint in chain)
    upper, lower = b - a, c - b
    cosine = (upper * lower).sum(-1) / np.linalg.norm(upper, axis=-1) / np.linalg.norm(lower, axis=-1)
    return np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))


def in_image(frame: Labelled) -> np.ndarray:
    column, row = np.round(frame.sample.joints[:, :2]).astype(int).T
    size = frame.mask.shape[0]
    return (column >= 0) & (column < size) & (row >= 0) & (row < size)


# --- the data set -------------------------------------------------------------------------


def test_sample_is_valid_and_complete(frames: list[Labelled]) -> None:
    for frame in frames:
        sample = frame.sample
        assert isinstance(sample, Sample) and sample.layout is PA16
        assert sample.image()[0].shape == (128, 128, 3)
        assert sample.valid.all() and sample.depth_valid.all()
        assert np.isfinite(sample.joints).all()
        assert sample.joints[PA16.index("pelvis"), 2] == 0


def test_same_seed_gives_same_bytes_and_another_seed_others() -> None:
    first, second = SyntheticFigures(5, seed=7)[3], SyntheticFigures(50, seed=7)[3]
    assert first.image()[0].tobytes() == second.image()[0].tobytes()
    assert first.joints.tobytes() == second.joints.tobytes()
    assert (first.box, first.metres_per_pixel) == (second.box, second.metres_per_pixel)
    assert SyntheticFigures(5, seed=8)[3].image()[0].tobytes() != first.image()[0].tobytes()
    assert SyntheticFigures(5, seed=7)[4].image()[0].tobytes() != first.image()[0].tobytes()


def test_size_and_length() -> None:
    data = SyntheticFigures(2, size=96)
    assert len(data) == 2 and data[1].image()[0].shape == (96, 96, 3)
    assert len(list(data)) == 2


@pytest.mark.parametrize("index", [-1, 2])
def test_index_outside_is_told(index: int) -> None:
    with pytest.raises(IndexError, match=r"expected an index in \[0, 2\)"):
        SyntheticFigures(2)[index]


@pytest.mark.parametrize("arguments", [(-1, 128, 0), (1, 8, 0), (1, 128, -1)])
def test_impossible_arguments_are_told(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected count"):
        SyntheticFigures(*arguments)


def test_most_people_are_wholly_in_the_image_and_some_are_not(frames: list[Labelled]) -> None:
    whole = np.mean([in_image(frame).all() for frame in frames])
    assert 0.85 <= whole < 1


def test_box_is_a_square_with_margin_around_the_joints(frames: list[Labelled]) -> None:
    for frame in frames:
        xy, box = frame.sample.joints[:, :2], frame.sample.box
        extent = np.ptp(xy, axis=0).max()
        assert 1.3 <= box.side / extent <= 1.45
        assert (np.abs(xy - box.centre) <= box.side / 2 / 1.3 + 1e-6).all()


# --- the picture agrees with the joints ------------------------------------------------------


def test_joints_in_the_image_lie_on_the_person(frames: list[Labelled]) -> None:
    hits = []
    for frame in frames:
        rows, columns = np.nonzero(frame.mask)
        pixels = np.column_stack([columns, rows])
        for x, y in frame.sample.joints[in_image(frame), :2]:
            hits.append(np.hypot(*(pixels - (x, y)).T).min() <= 2)
    assert np.mean(hits) >= 0.99


def test_depth_of_seen_joints_agrees_with_the_z_buffer(frames: list[Labelled]) -> None:
    off, seen = [], 0
    for frame in frames:
        for k in np.flatnonzero(in_image(frame) & ~frame.occluded):
            column, row = np.round(frame.sample.joints[k, :2]).astype(int)
            if not frame.mask[row, column]:
                continue  # the top of the head may round to a pixel beside it
            joint = frame.camera.to_camera(at(frame.world, PA16.joints[k]))[2]
            seen += 1
            off.append(abs(joint - frame.depth[row, column]) > frame.radius[k] + OCCLUSION_MARGIN_M)
    assert seen > 7 * FRAMES
    assert np.mean(off) <= 0.01


def test_some_joints_are_occluded_and_then_a_surface_is_in_front(frames: list[Labelled]) -> None:
    share = np.mean([frame.occluded for frame in frames])
    assert 0.05 < share < 0.5
    for frame in frames:
        assert not (frame.occluded & ~in_image(frame)).any()


def test_joints_lie_in_the_body() -> None:
    for i in range(20):
        rng = np.random.default_rng(i)
        joints = random_pose(rng)
        deep = inside(posed(random_body(rng), joints), joints)
        assert deep.min() > -0.035 and deep.max() < 0.16


def test_metres_per_pixel_is_the_projected_length_at_the_root() -> None:
    for i in range(20):
        frame = SyntheticFigures(20, seed=1).labelled(i)
        pelvis = at(frame.world, "pelvis")
        ends = np.array([pelvis, pelvis + 0.3 * frame.camera.rotation[0]])
        pixels = np.linalg.norm(np.diff(frame.camera.project(ends), axis=0))
        assert frame.sample.metres_per_pixel == pytest.approx(0.3 / pixels, rel=1e-6)


def test_sample_joints_give_back_the_world(frames: list[Labelled]) -> None:
    for frame in frames[:10]:
        camera, joints = frame.camera, frame.sample.joints
        root = camera.to_camera(at(frame.world, "pelvis"))[2]
        world = camera.back_project(joints[:, :2], root + joints[:, 2] / 1000)
        np.testing.assert_allclose(world, np.array([at(frame.world, j) for j in PA16.joints]), atol=1e-6)


# --- the skeleton ---------------------------------------------------------------------------


def test_figure_covers_the_layouts_of_the_networks() -> None:
    assert {*PA16.joints, *PA17.joints, *PA20.joints} <= set(FIGURE.joints)


def camera_in_front(distance: float = 4.0) -> Camera:
    turned = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
    return Camera(turned, np.array([0, 1.0, distance]), np.full(2, 100.0), np.full(2, 63.5))


def test_left_is_on_the_right_of_a_picture_from_the_front() -> None:
    camera = camera_in_front()
    for i in range(30):
        rng = np.random.default_rng(i)
        joints = forward_kinematics(random_angles(rng, "standing", "hanging"), random_bones(rng))
        for part in ("shoulder", "hip"):
            left, right = (camera.project(at(joints, f"{side}_{part}"))[0] for side in ("left", "right"))
            assert left > right
        assert at(joints, "left_foot")[2] > at(joints, "left_ankle")[2]  # toes to the front
        assert camera.to_camera(at(joints, "nose"))[2] < camera.to_camera(at(joints, "neck"))[2]


@pytest.mark.parametrize(
    ("chain", "limit"),
    [(("shoulder", "elbow", "wrist"), "elbow"), (("hip", "knee", "ankle"), "knee")],
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_hinges_stay_within_limits(poses: np.ndarray, chain: tuple[str, ...], limit: str, side: str) -> None:
    folded = bend(poses, *(f"{side}_{joint}" for joint in chain))
    assert folded.max() <= LIMITS[limit][1] + 1e-6
    assert folded.max() > 90 and folded.min() < 10


@pytest.mark.parametrize("side", ["left", "right"])
def test_knees_never_bend_forward(poses: np.ndarray, side: str) -> None:
    hip, knee, ankle, foot = (at(poses, f"{side}_{j}") for j in ("hip", "knee", "ankle", "foot"))
    # The foot points to the front of the shank; a knee folds the shank away from that.
    fold = np.cross(knee - hip, ankle - knee)
    ahead = np.cross(ankle - knee, foot - ankle)
    assert ((fold * ahead).sum(-1) <= 1e-6).all()


@pytest.mark.parametrize(
    ("angle", "joint", "sign"), [("elbow", "left_wrist", 1), ("knee", "right_ankle", -1)]
)
def test_one_hinge_bends_the_right_way(angle: str, joint: str, sign: int) -> None:
    straight = dict.fromkeys(random_angles(np.random.default_rng(0), "standing", "hanging"), 0.0)
    bent = straight | {f"left_{angle}": 60.0, f"right_{angle}": 60.0}
    bones = random_bones(np.random.default_rng(0))
    moved = at(forward_kinematics(bent, bones), joint) - at(forward_kinematics(straight, bones), joint)
    assert sign * moved[2] > 0.1


def test_bones_keep_their_lengths_on_both_sides(poses: np.ndarray) -> None:
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
        left, right = (
            np.linalg.norm(at(poses, f"{s}_{a}") - at(poses, f"{s}_{b}"), axis=-1) for s in ("left", "right")
        )
        np.testing.assert_allclose(left, right)
        assert left.min() > 0.15 and left.max() < 0.6


def test_nobody_is_under_the_floor_and_some_jump_or_hang_upside_down(poses: np.ndarray) -> None:
    lowest = poses[..., 1].min(1)
    assert lowest.min() > 0 and 0 < np.mean(lowest > 0.05) < 0.2
    upright = at(poses, "thorax")[:, 1] > at(poses, "pelvis")[:, 1]
    assert 0.03 < np.mean(~upright) < 0.35


# --- the renderer ---------------------------------------------------------------------------


def cone(start: list[float], end: list[float], radii: list[float]) -> Primitives:
    return Primitives(
        np.array([start]), np.array([end]), np.array([radii]),
        np.ones((1, 2, 3)), np.zeros(1, np.int64), np.full(1, 0.1),
    )  # fmt: skip


def test_sphere_has_exact_size_and_depth() -> None:
    light = Light(np.array([0, 0, -1.0]), 0.5)
    seen = render(
        cone([0, 1, 0], [0, 1, 1e-4], [0.5, 0.5]), camera_in_front(), light, np.zeros((128, 128, 3), np.uint8)
    )
    assert seen.depth[63:65, 63:65] == pytest.approx(3.5, abs=2e-3)
    silhouette = 100 * 0.5 / np.sqrt(4**2 - 0.5**2)
    assert seen.mask.sum() == pytest.approx(np.pi * (silhouette + 0.5) ** 2, rel=0.05)
    assert (seen.image[~seen.mask] == 0).all() and seen.image[63, 63].min() >= 250
    assert np.isinf(seen.depth[~seen.mask]).all()


def test_cone_surface_lies_at_its_radius() -> None:
    shape = cone([-0.5, 1.2, 0.1], [0.6, 0.7, -0.3], [0.25, 0.1])
    camera = camera_in_front()
    seen = render(shape, camera, Light(np.array([0, 0, -1.0]), 0.5), np.zeros((128, 128, 3), np.uint8))
    rows, columns = np.nonzero(seen.mask)
    points = camera.back_project(
        np.column_stack([columns, rows]).astype(float), seen.depth[rows, columns].astype(float)
    )
    inner = np.abs(inside(shape, points))
    # `inside` measures across the axis, a cone's wall stands a little aslant; the outline is sub-pixel.
    assert np.median(inner) < 0.01 and inner.max() < 0.05


def test_background_must_be_square() -> None:
    with pytest.raises(ValueError, match=r"expected \(S, S, 3\)"):
        render(
            cone([0, 1, 0], [0, 1, 1], [0.1, 0.1]), camera_in_front(),
            Light(np.array([0, 0, -1.0]), 0.5), np.zeros((4, 5, 3), np.uint8),
        )  # fmt: skip


def test_camera_is_upright_and_right_handed() -> None:
    for i in range(50):
        rng = np.random.default_rng(i)
        camera = random_camera(rng, random_pose(rng), 128)
        np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(camera.rotation) == pytest.approx(1)
        assert camera.rotation[1, 1] < -0.5 and camera.position[1] > 0
