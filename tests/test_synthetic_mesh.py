"""People are whole, clothed, and where their joints say that they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from poseact.data.synthetic import rig
from poseact.data.synthetic.mesh import PROPS, Person, posed, random_person
from poseact.data.synthetic.placing import SOLE
from poseact.data.synthetic.rasteriser import OTHER, PERSON, Light, Rendering, Surface, only, render
from poseact.geometry import Camera
from poseact.skeleton import FIGURE36

SIZE = 128
LIGHT = Light(np.array([[0.3, 0.8, 0.5]]), np.full((1, 3), 0.5), np.full(3, 0.5), np.full(3, 0.3))
NAMES = FIGURE36.joints
PEOPLE = 30


def turn(x: float = 0, y: float = 0, z: float = 0) -> np.ndarray:
    """Rotation by ``y``, then ``x``, then ``z`` degrees about axes that turn along."""
    (a, b, c), (i, j, k) = np.cos(np.deg2rad([x, y, z])), np.sin(np.deg2rad([x, y, z]))
    return np.array([
        [b * c + j * i * k, j * i * c - b * k, j * a],
        [a * k, a * c, -i],
        [b * i * k - j * c, j * k + b * i * c, b * a],
    ])  # fmt: skip


def at_rest() -> np.ndarray:
    return np.tile(np.eye(3), (len(rig.BONES), 1, 1))


def wild_pose(rng: np.random.Generator) -> np.ndarray:
    """Rotations (B, 3, 3) of a random pose within about what people can do."""
    world = {"pelvis": turn(rng.uniform(-90, 90), rng.uniform(-180, 180), rng.uniform(-30, 30))}
    reach = {
        "lumbar": ((-10, 35), (-15, 15), (-12, 12)), "chest": ((-10, 35), (-20, 20), (-12, 12)),
        "neck": ((-20, 25), (-30, 30), (-12, 12)), "skull": ((-20, 20), (-30, 30), (-10, 10)),
        "clavicle": ((-8, 8), (-8, 8), (-5, 20)), "upper_arm": ((-175, 45), (-60, 30), (0, 110)),
        "forearm": ((-145, 0), (0, 0), (0, 0)), "hand": ((-10, 10), (-70, 70), (-50, 50)),
        "thigh": ((-125, 25), (-10, 40), (-5, 45)), "shank": ((0, 145), (0, 0), (0, 0)),
        "foot": ((-25, 45), (-10, 10), (0, 0)),
    }  # fmt: skip
    for bone in rig.BONES[1:]:
        side, _, part = bone.partition("_")
        sign = rig.SIDES.get(side, 1.0)
        x, y, z = (rng.uniform(*limits) for limits in reach[part or bone])
        world[bone] = world[rig.PARENTS[bone]] @ turn(x, sign * y, sign * z)
    return np.stack([world[bone] for bone in rig.BONES])


def placed(
    person: Person, rotations: np.ndarray, root: np.ndarray | None = None
) -> tuple[Surface, np.ndarray]:
    """The posed surface and the joints (22, 3) of the figure."""
    root = np.zeros(3) if root is None else root
    starts = rig.starts(rotations, root, person.lengths)
    return posed(person, rotations, starts), rig.joints(rotations, root, person.lengths)


def camera(target: np.ndarray, azimuth: float, elevation: float = 0.1, distance: float = 4.0) -> Camera:
    towards = np.array([
        np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)
    ])  # fmt: skip
    right = np.cross(-towards, [0, 1.0, 0])
    right /= np.linalg.norm(right)
    rotation = np.array([right, np.cross(-towards, right), -towards])
    return Camera(
        rotation, target + distance * towards, np.full(2, 0.4 * SIZE * distance), np.full(2, SIZE / 2)
    )


def picture(surface: Surface, lens: Camera) -> Rendering:
    return render([surface], lens, LIGHT, np.zeros((SIZE, SIZE, 3), np.uint8))


def anyone(seed: int, held: dict[str, str] | None = None) -> Person:
    rng = np.random.default_rng((3, seed))
    return random_person(rng, rig.random_lengths(rng), held)


Shot = tuple[Person, np.ndarray, Camera, Rendering]


@pytest.fixture(scope="module")
def shots() -> list[Shot]:
    """Random people in random poses: person, joints, camera, picture."""
    made = []
    for i in range(PEOPLE):
        person, rng = anyone(i), np.random.default_rng((4, i))
        for _ in range(4):
            surface, joints = placed(person, wild_pose(rng))
            middle = (joints.min(0) + joints.max(0)) / 2
            lens = camera(middle, rng.uniform(-np.pi, np.pi), rng.uniform(-0.4, 0.8))
            made.append((person, joints, lens, picture(surface, lens)))
    return made


# --- the mesh --------------------------------------------------------------------------------


def test_same_generator_gives_the_same_bytes() -> None:
    first, second, other = anyone(1), anyone(1), anyone(2)
    for name in ("vertices", "normals", "cloth", "shade", "triangles", "material"):
        assert getattr(first.surface, name).tobytes() == getattr(second.surface, name).tobytes()
    assert first.surface.materials.colours.tobytes() == second.surface.materials.colours.tobytes()
    assert first.surface.materials.colours.tobytes() != other.surface.materials.colours.tobytes()


def test_arrays_fit_together() -> None:
    for i in range(PEOPLE):
        person = anyone(i)
        s = person.surface
        assert 4000 <= len(s.triangles) <= 9000
        assert s.triangles.min() == 0 and s.triangles.max() < len(s.vertices)
        assert s.material.max() < len(s.materials.pattern) and len(s.material) == len(s.triangles)
        np.testing.assert_allclose(person.weights.sum(1), 1)
        assert person.indices.max() < len(person.bones)
        assert np.isfinite(s.vertices).all() and np.isfinite(s.normals).all()
        assert (s.materials.colours >= 0).all() and (s.materials.colours <= 1.01).all()


def test_the_modelled_pose_gives_the_model_back() -> None:
    person = anyone(0)
    surface = posed(person, person.turned, person.starts)
    np.testing.assert_allclose(surface.vertices, person.surface.vertices, atol=1e-9)


def test_turning_all_bones_turns_the_whole() -> None:
    person = anyone(3)
    rotations = wild_pose(np.random.default_rng(0))
    whole, shift = turn(70, 200, -40), np.array([1, 2, -3.0])
    before, _ = placed(person, rotations)
    after, _ = placed(person, whole @ rotations, shift)
    np.testing.assert_allclose(after.vertices, before.vertices @ whole.T + shift, atol=1e-6)
    np.testing.assert_allclose(after.normals, before.normals @ whole.T, atol=1e-6)


def test_the_body_has_the_volume_of_a_body() -> None:
    # Triangles that look outwards make the volume positive; overlapping ends count twice.
    for i in range(PEOPLE):
        s = anyone(i).surface
        a, b, c = np.moveaxis(s.vertices[s.triangles], 1, 0)
        litres = (a * np.cross(b, c)).sum() / 6 * 1000
        assert 35 < litres < 260


def test_people_differ_in_build_and_clothes() -> None:
    people = [anyone(i) for i in range(PEOPLE)]
    widths = []
    for person in people:
        surface, joints = placed(person, at_rest())
        height = joints[NAMES.index("spine"), 1]
        belt = np.abs(surface.vertices[:, 1] - height) < 0.05
        trunk = np.abs(surface.vertices[:, 0]) < 0.17
        widths.append(np.ptp(surface.vertices[belt & trunk, 2]) / (joints[:, 1].max() - joints[:, 1].min()))
        top = surface.vertices[:, 1].max() - joints[NAMES.index("head"), 1]
        assert -0.01 < top < 0.12
    assert min(widths) > 0.08 and max(widths) < 0.30 and max(widths) / min(widths) > 1.25
    assert len({person.surface.materials.colours.tobytes() for person in people}) == PEOPLE


def test_bent_elbows_and_twisted_hands_keep_their_thickness() -> None:
    person = anyone(5)
    bones = {name: rig.BONES.index(f"left_{name}") for name in ("upper_arm", "forearm", "hand")}
    driver = person.bones[person.indices[:, 0]]
    arm = (driver == [bones["upper_arm"], bones["forearm"]]).all(1)
    arm |= (driver == [bones["forearm"], bones["hand"]]).all(1)
    rest, _ = placed(person, at_rest())
    twisted = at_rest()
    twisted[bones["forearm"]] = turn(x=-140)
    twisted[bones["hand"]] = turn(x=-140) @ turn(y=160)
    moved, _ = placed(person, twisted)
    for ring in np.unique(person.indices[arm, 0]):
        one = person.indices[:, 0] == ring
        spread = [np.linalg.norm(s.vertices[one] - s.vertices[one].mean(0), axis=1) for s in (rest, moved)]
        np.testing.assert_allclose(spread[0], spread[1], atol=1e-9)
    # The surface goes on: no triangle of the arm is torn long.
    edges = person.surface.triangles[arm[person.surface.triangles].all(1)]
    assert np.linalg.norm(moved.vertices[edges[:, 0]] - moved.vertices[edges[:, 1]], axis=1).max() < 0.14


def test_soles_lie_where_feet_stand_on_the_floor() -> None:
    for i in range(PEOPLE):
        surface, joints = placed(anyone(i), at_rest())
        foot = joints[NAMES.index("left_foot"), 1]
        assert foot - SOLE == pytest.approx(surface.vertices[:, 1].min(), abs=0.006)


# --- seen by a camera -----------------------------------------------------------------------


def test_joints_lie_on_the_person(shots: list[Shot]) -> None:
    for _, joints, lens, seen in shots:
        off = cv2.distanceTransform((seen.segmentation != PERSON).astype(np.uint8), cv2.DIST_L2, 5)
        for x, y in np.round(lens.project(joints)).astype(int):
            if 0 <= x < SIZE and 0 <= y < SIZE:
                assert off[y, x] <= 2


def test_a_person_is_one_piece(shots: list[Shot]) -> None:
    for _, _, _, seen in shots:
        count, _ = cv2.connectedComponents((seen.segmentation == PERSON).astype(np.uint8), connectivity=8)
        assert count == 2  # the background counts


def test_depth_of_joints_is_within_the_thickness(shots: list[Shot]) -> None:
    behind, agree = [], []
    for person, joints, lens, seen in shots:
        pixels, depth = np.round(lens.project(joints)).astype(int), lens.to_camera(joints)[:, 2]
        for (x, y), z, radius in zip(pixels, depth, person.thickness, strict=True):
            if 0 <= x < SIZE and 0 <= y < SIZE and seen.segmentation[y, x]:
                behind.append(seen.depth[y, x] > z + radius)
                # Nearer by more than the radius: another part is in front.
                agree.append(abs(seen.depth[y, x] - z) < radius + 0.03)
    assert np.mean(behind) < 0.01 and np.mean(agree) > 0.6


@pytest.mark.parametrize("joint", ["left_elbow", "right_knee", "left_wrist", "right_ankle", "spine"])
def test_thickness_holds_where_nothing_else_is_in_front(joint: str) -> None:
    k = NAMES.index(joint)
    rotations = at_rest()
    for side, sign in rig.SIDES.items():  # arms and legs apart
        for part, angle in (("upper_arm", 60), ("forearm", 60), ("hand", 60), ("thigh", 15), ("shank", 15)):
            rotations[rig.BONES.index(f"{side}_{part}")] = turn(z=sign * angle)
    for i in range(12):
        person = anyone(i)
        surface, joints = placed(person, rotations)
        for azimuth in (0, np.pi):
            lens = camera(joints[k], azimuth)
            depth = picture(surface, lens).depth[SIZE // 2, SIZE // 2]
            gap = lens.to_camera(joints[k])[2] - depth
            assert 0.005 < gap < person.thickness[k] + 0.005


@pytest.mark.parametrize("azimuth", [0.0, 0.7, -0.7])
def test_left_is_on_the_right_of_a_picture_from_the_front(azimuth: float) -> None:
    person = anyone(0, {"left": "ball"})
    rotations = at_rest()
    for part in ("upper_arm", "forearm", "hand"):
        rotations[rig.BONES.index(f"left_{part}")] = turn(z=60)
    surface, joints = placed(person, rotations)
    front, behind = (picture(surface, camera(joints[0], azimuth + more)).segmentation for more in (0, np.pi))
    for seen, sign in ((front, 1), (behind, -1)):
        held, whole = np.nonzero(seen == OTHER)[1], np.nonzero(seen == PERSON)[1]
        assert len(held) > 3 and sign * (held.mean() - whole.mean()) > 10


def test_the_face_is_in_front() -> None:
    person = anyone(2)
    surface, joints = placed(person, at_rest())
    nose = joints[NAMES.index("nose")]
    ahead = picture(surface, camera(nose, 0.0)).depth[SIZE // 2, SIZE // 2]
    assert ahead == pytest.approx(4.0, abs=0.03)  # the tip of the nose
    assert picture(surface, camera(nose, np.pi)).depth[SIZE // 2, SIZE // 2] < 3.9


@pytest.mark.parametrize("prop", PROPS)
def test_props_go_with_the_hand(prop: str) -> None:
    person = anyone(7, {"right": prop})
    held = np.unique(only(person.surface, OTHER).triangles)
    size = np.ptp(person.surface.vertices[held], axis=0).max()
    low, high = {"ball": (0.06, 0.25), "bat": (0.7, 1.1), "phone": (0.13, 0.18), "cup": (0.1, 0.14)}[prop]
    assert low < size < high
    rotations = at_rest()
    hand = rig.BONES.index("right_hand")
    rotations[hand] = turn(40, 30, -20)
    surface, joints = placed(person, rotations)
    wrist, palm = joints[NAMES.index("right_wrist")], joints[NAMES.index("right_hand")]
    local = (surface.vertices[held] - wrist) @ rotations[hand]
    rest = (person.surface.vertices[held] - person.starts[hand]) @ person.turned[hand]
    np.testing.assert_allclose(local, rest, atol=1e-9)
    assert np.linalg.norm(surface.vertices[held] - palm, axis=1).min() < 0.12


@pytest.mark.parametrize("held", [{"left": "sword"}, {"middle": "cup"}])
def test_unknown_props_are_told(held: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="held: expected sides"):
        anyone(0, held)
