"""Scenes: the camera sees the person, from every side; pictures are finished, exact and repeatable."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from poseact.data.images import write_png
from poseact.data.synthetic import rig
from poseact.data.synthetic.actions import ACTIONS, random_motion
from poseact.data.synthetic.curves import ROOT_HEIGHT
from poseact.data.synthetic.effects import Flaws, tone_curve
from poseact.data.synthetic.mesh import Person, posed, random_person
from poseact.data.synthetic.placing import average_lengths, figure_joints, placed
from poseact.data.synthetic.rasteriser import (
    BACKGROUND,
    OTHER,
    PERSON,
    Rendering,
    Surface,
    cuboid,
    faceted,
    plain_materials,
)
from poseact.data.synthetic.scene import Scene, random_scene, reduced
from poseact.geometry import Camera
from poseact.skeleton import FIGURE36

SIZE = (128, 160)
NAMES = FIGURE36.joints
MAIN = [NAMES.index(name) for name in (
    "pelvis", "thorax", "neck", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist",
    "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)]  # fmt: skip
PERFECT = Flaws(0.0, tone_curve(np.ones(3), 1.0, 0.0, 1.0), 0.0, 4.0, 0.0, None)
FRAMES = 9


@dataclass(frozen=True)
class Film:
    person: Person
    rotations: np.ndarray
    starts: np.ndarray
    joints: np.ndarray
    scene: Scene

    def surface(self, frame: int) -> Surface:
        return posed(self.person, self.rotations[frame], self.starts[frame])

    def picture(self, frame: int, reduction: int = 1) -> Rendering:
        return self.scene.picture(frame, [self.surface(frame)], reduction)


def film(
    seed: int, frames: int = FRAMES, size: tuple[int, int] = SIZE, action: str = "",
    photographs: Sequence[Path] = (), camera: Camera | None = None,
) -> Film:  # fmt: skip
    rng = np.random.default_rng((11, seed))
    motion = random_motion(action or ACTIONS[seed % len(ACTIONS)], rng, frames)
    lengths = rig.random_lengths(rng)
    person = random_person(rng, lengths, motion.held)
    rotations, root = placed(motion, lengths)
    joints = rig.joints(rotations, root, lengths)
    scene = random_scene(rng, joints, size, photographs, camera)
    return Film(person, rotations, rig.starts(rotations, root, lengths), joints, scene)


@pytest.fixture(scope="module")
def films() -> list[Film]:
    return [film(seed) for seed in range(24)]


@pytest.fixture(scope="module")
def drawn() -> list[tuple[np.ndarray, Scene]]:
    """Many scenes without their people: joints (F, 36, 3) and the scene."""
    lengths = average_lengths(ROOT_HEIGHT)
    made = []
    for seed in range(180):
        rng = np.random.default_rng((12, seed))
        frames = 1 if seed % 3 == 0 else 30
        joints = figure_joints(random_motion(ACTIONS[seed % len(ACTIONS)], rng, frames), lengths)
        made.append((joints, random_scene(rng, joints, SIZE)))
    return made


def clean(scene: Scene) -> Scene:
    """Without flaws, shadows and things in the way."""
    return replace(
        scene, flaws=PERFECT, shadow=replace(scene.shadow, strength=0.0, ambient=0.0), occluders=()
    )


def moves(scene: Scene) -> bool:
    return scene.cameras[0] is not scene.cameras[-1]


# --- the same again -----------------------------------------------------------------------


def test_same_generator_gives_the_same_scene_and_pictures() -> None:
    for seed in range(2):
        first, second = film(seed), film(seed)
        frames = (0, 5, 8)
        ahead = [first.picture(frame) for frame in frames]
        back = [second.picture(frame) for frame in reversed(frames)][::-1]
        for one, other in zip(ahead, back, strict=True):
            assert one.image.tobytes() == other.image.tobytes()
            assert one.depth.tobytes() == other.depth.tobytes()
            assert one.segmentation.tobytes() == other.segmentation.tobytes()


def test_a_scene_sent_to_another_process_makes_the_same_pictures(films: list[Film]) -> None:
    for each in films[:3]:
        sent = pickle.loads(pickle.dumps(each.scene))  # noqa: S301 -- our own bytes
        surface = [each.surface(2)]
        assert sent.picture(2, surface).image.tobytes() == each.scene.picture(2, surface).image.tobytes()


def test_noise_differs_from_frame_to_frame(films: list[Film]) -> None:
    still = next(each for each in films if not moves(each.scene) and each.scene.flaws.noise > 2)
    surface = [still.surface(0)]
    one, other = (still.scene.picture(frame, surface) for frame in (0, 1))
    assert (one.image != other.image).mean() > 0.3
    np.testing.assert_array_equal(one.segmentation, other.segmentation)


def test_other_seeds_give_other_scenes(films: list[Film]) -> None:
    assert len({each.scene.camera(0).position.tobytes() for each in films}) == len(films)
    assert len({each.picture(0).image.tobytes() for each in films[:6]}) == 6


# --- where things are ---------------------------------------------------------------------


def test_joints_lie_on_the_person(films: list[Film]) -> None:
    hits = []
    for each in films:
        for frame in (0, FRAMES - 1):
            pixels = each.scene.camera(frame).project(each.joints[frame, MAIN])
            label = each.picture(frame).segmentation
            near = cv2.dilate((label != BACKGROUND).astype(np.uint8), np.ones((3, 3), np.uint8))
            column, row = np.round(pixels).astype(int).T
            within = (column >= 0) & (column < SIZE[1]) & (row >= 0) & (row < SIZE[0])
            hits.append(near[row[within], column[within]] > 0)
    assert np.concatenate(hits).mean() > 0.995


def test_depth_and_segmentation_are_exact_under_any_flaw(films: list[Film]) -> None:
    each = next(each for each in films if each.scene.flaws.noise > 3)
    surface = [each.surface(0)]
    seen = each.scene.picture(0, surface)
    plain = replace(each.scene, flaws=PERFECT).picture(0, surface)
    np.testing.assert_array_equal(seen.depth, plain.depth)
    np.testing.assert_array_equal(seen.segmentation, plain.segmentation)
    assert (seen.image != plain.image).any()
    assert (np.isinf(plain.depth) == (plain.segmentation == BACKGROUND)).all()


@pytest.mark.parametrize("reduction", [2, 4])
def test_a_reduced_picture_shows_the_same(films: list[Film], reduction: int) -> None:
    for each in films[:8]:
        full, small = each.picture(3), each.picture(3, reduction)
        blocks = (full.segmentation == PERSON).reshape(SIZE[0] // reduction, reduction, -1, reduction)
        share = blocks.mean((1, 3))
        ours = small.segmentation == PERSON
        assert small.image.shape == (SIZE[0] // reduction, SIZE[1] // reduction, 3)
        assert ours[share == 1].mean() > 0.99 and ours[share == 0].mean() < 0.01
        inner = (share == 1) & ours
        far = full.depth.reshape(blocks.shape).mean((1, 3))
        assert np.abs(small.depth[inner] - far[inner]).mean() < 0.05


@pytest.mark.parametrize("reduction", [2, 4])
def test_a_reduced_picture_keeps_the_half_pixel(films: list[Film], reduction: int) -> None:
    errors = []
    for each in films[:12]:
        vertices, triangles = cuboid(np.full(3, 0.4))
        at = each.joints[0, NAMES.index("spine")]
        box = faceted(vertices + at, triangles, plain_materials(np.ones((1, 3))), np.zeros(12, int))
        scene = clean(each.scene)
        middles = [
            np.array(np.nonzero(scene.picture(0, [box], r).segmentation)).mean(1) for r in (1, reduction)
        ]
        errors.append(middles[1] - ((middles[0] + 0.5) / reduction - 0.5))
    assert np.abs(np.mean(errors, 0)).max() < 0.12 and np.abs(errors).max() < 0.5


def test_reduced_camera_keeps_the_half_pixel() -> None:
    camera = film(0, 1).scene.camera(0)
    point = np.array([0.2, 0.9, 0.1])
    np.testing.assert_allclose(
        reduced(camera, 4).project(point), (camera.project(point) + 0.5) / 4 - 0.5, atol=1e-9
    )
    assert reduced(camera, 1) is camera


def test_sizes_that_do_not_divide_are_rounded_up() -> None:
    each = film(1, 1, (101, 67))
    assert each.picture(0).image.shape == (101, 67, 3)
    assert each.picture(0, 4).image.shape == (26, 17, 3)


# --- the camera ---------------------------------------------------------------------------


def test_every_camera_stands_above_the_floor_and_in_front_of_the_person(
    drawn: list[tuple[np.ndarray, Scene]],
) -> None:
    for joints, scene in drawn:
        assert len(scene.cameras) == len(joints)
        for frame, camera in enumerate(scene.cameras):
            assert camera.position[1] >= 0.1
            assert camera.to_camera(joints[frame])[:, 2].min() > 0.9
            assert camera.focal[0] == camera.focal[1] > 0
            np.testing.assert_allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-9)
            assert camera.rotation[1, 1] < 0  # the picture is not upside down


def test_the_person_fills_the_picture(drawn: list[tuple[np.ndarray, Scene]]) -> None:
    fills, whole = [], []
    for joints, scene in drawn:
        for frame in {0, len(joints) // 2, len(joints) - 1}:
            flat = scene.camera(frame).project(joints[frame]) / [SIZE[1], SIZE[0]]
            fills.append((flat.max(0) - flat.min(0)).max())
            whole.append(((flat > 0) & (flat < 1)).all())
            assert ((flat > 0) & (flat < 1)).all(1)[MAIN].mean() > 0.3
    assert 0.5 < np.mean(fills) < 0.9
    assert 0.8 < np.mean(whole) < 0.98


def test_every_side_is_seen_and_the_front_most(drawn: list[tuple[np.ndarray, Scene]]) -> None:
    sides = []
    for joints, scene in drawn:
        hips = joints[:, NAMES.index("left_hip")] - joints[:, NAMES.index("right_hip")]
        front = np.cross(hips, [0, 1.0, 0]).mean(0)
        away = scene.camera(0).position - joints[0].mean(0)
        angle = np.arctan2(np.cross(front, away)[1], front @ away)
        sides.append(int(np.round(angle / (np.pi / 2))) % 4)
    shares = np.bincount(sides, minlength=4) / len(sides)
    assert shares.min() > 0.08 and shares[0] == shares.max() > 0.35


def test_lenses_heights_and_rolls_vary(drawn: list[tuple[np.ndarray, Scene]]) -> None:
    cameras = [scene.camera(0) for _, scene in drawn]
    view = np.rad2deg([2 * np.arctan(SIZE[0] / 2 / each.focal[0]) for each in cameras])
    roll = np.rad2deg([np.arcsin(each.rotation[0, 1]) for each in cameras])
    height = np.array([each.position[1] for each in cameras])
    off = np.array([np.abs(each.centre - (np.array(SIZE[::-1]) - 1) / 2).max() for each in cameras])
    assert np.percentile(view, 10) < 20 and np.percentile(view, 90) > 40 and view.max() < 100
    assert 0.7 < np.median(np.abs(roll)) < 4 and np.abs(roll).max() < 30
    assert height.min() < 0.8 and height.max() > 2.5 and 1 < np.median(height) < 2
    assert 0.3 < (off < 1e-6).mean() < 0.7


def test_cameras_of_a_clip_move_smoothly_or_not_at_all(drawn: list[tuple[np.ndarray, Scene]]) -> None:
    clips = [scene for _, scene in drawn if len(scene.cameras) > 1]
    assert 0.3 < np.mean([moves(scene) for scene in clips]) < 0.8
    for scene in clips:
        forward = np.stack([each.rotation[2] for each in scene.cameras])
        step = np.linalg.norm(np.diff(forward, axis=0), axis=1) * scene.cameras[0].focal[0]
        assert step.max() < 0.12 * SIZE[1]


def spot_in(seen: Rendering) -> np.ndarray | None:
    """The middle (x, y) of the bright spot, where all of it is seen."""
    bright = np.where(seen.segmentation == BACKGROUND, seen.image[..., 1], 0) > 128
    around = cv2.dilate(bright.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    cut = (
        (around & (seen.segmentation != BACKGROUND)).any()
        or around[[0, -1]].any()
        or around[:, [0, -1]].any()
    )
    return None if cut or bright.sum() < 20 else np.array(np.nonzero(bright))[::-1].mean(1)


def test_a_moving_camera_moves_the_background(tmp_path: Path) -> None:
    """A spot in the background keeps its place in the world, whatever the camera does."""
    picture = np.zeros((300, 400, 3), np.uint8)
    cv2.circle(picture, (200, 150), 9, (255, 255, 255), -1, cv2.LINE_AA)
    write_png(tmp_path / "spot.png", picture)
    shifts, errors = [], []
    for seed in range(12):
        each = film(seed, 30, action="run", photographs=[tmp_path / "spot.png"])
        scene = clean(each.scene)
        lens, distance = scene.backdrop.lens, scene.backdrop.distance
        before = None
        for frame in (0, 10, 20, 29):
            camera = scene.camera(frame)
            at = spot_in(scene.picture(frame, [each.surface(frame)]))
            if at is None:
                continue
            if before is not None:
                shifts.append(np.linalg.norm(at - before[0]))
                errors.append(np.linalg.norm(at - camera.project(before[1])))
            ray = camera.back_project(at, np.array(1.0)) - camera.position
            reach = (distance - lens.to_camera(camera.position)[2]) / (ray @ lens.rotation[2])
            before = at, camera.position + reach * ray
    assert len(shifts) >= 4 and max(shifts) > 10
    assert max(errors) < 0.7


def test_a_still_camera_keeps_the_background(films: list[Film]) -> None:
    for each in films[:8]:
        if moves(each.scene):
            continue
        scene = clean(each.scene)
        one, other = (scene.picture(frame, [each.surface(frame)]) for frame in (0, FRAMES - 1))
        empty = (one.segmentation == BACKGROUND) & (other.segmentation == BACKGROUND)
        inner = cv2.erode(empty.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        np.testing.assert_array_equal(one.image[inner], other.image[inner])


def test_a_given_camera_is_used_as_it_is() -> None:
    turned = np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]])  # stands behind the origin, sees +z
    given = Camera(
        turned, np.array([0.1, 1.2, -4]), np.array([130.0, 128.0]), np.array([80.0, 66.0]),
        np.array([-0.2, 0.25, 0]), np.array([0.001, -0.002]),
    )  # fmt: skip
    each = film(5, action="idle", camera=given)
    assert all(each.scene.camera(frame) is given for frame in range(FRAMES))
    seen = each.picture(4)
    person = cv2.dilate((seen.segmentation != BACKGROUND).astype(np.uint8), np.ones((3, 3), np.uint8))
    column, row = np.round(given.project(each.joints[4, MAIN])).astype(int).T
    assert (person[row, column] > 0).all()


def test_lens_distortion_bends_person_and_shadow() -> None:
    turned = np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]])
    plain = Camera(turned, np.array([1.2, 1.2, -3]), np.full(2, 110.0), np.array([80.0, 60.0]))
    bent = replace(plain, radial=np.array([-0.3, 0, 0]))
    straight, curved = film(5, action="idle", camera=plain), film(5, action="idle", camera=bent)
    for each, camera in ((straight, plain), (curved, bent)):
        x = np.nonzero(each.picture(0).segmentation == PERSON)[1]
        flat = camera.project(each.joints[0])
        assert abs((x.min() + x.max()) / 2 - (flat[:, 0].min() + flat[:, 0].max()) / 2) < 5
    assert (straight.picture(0).segmentation != curved.picture(0).segmentation).mean() > 0.01


# --- pictures -----------------------------------------------------------------------------


def test_the_person_is_clearly_there(films: list[Film]) -> None:
    share, light, spread = [], [], []
    for each in films:
        seen = each.picture(0)
        share.append((seen.segmentation == PERSON).mean())
        light.append(seen.image.mean())
        spread.append(seen.image.std())
    assert np.median(share) > 0.04 and min(share) > 0.005
    assert min(light) > 20 and max(light) < 235 and 70 < np.mean(light) < 170
    assert min(spread) > 8


def test_a_shadow_lies_under_the_feet(films: list[Film]) -> None:
    darker = []
    for each in films[:12]:
        camera, surface = each.scene.camera(0), [each.surface(0)]
        feet = each.joints[0, [NAMES.index("left_foot"), NAMES.index("right_foot")]]
        column, row = np.round(camera.project(feet.mean(0) * [1, 0, 1])).astype(int)
        if feet[:, 1].max() > 0.06 or not (3 < column < SIZE[1] - 3 and 3 < row < SIZE[0] - 3):
            continue
        bare = clean(each.scene)
        shady = replace(bare, shadow=each.scene.shadow)
        seen, plain = shady.picture(0, surface), bare.picture(0, surface)
        near = np.zeros(SIZE, bool)
        near[row - 3 : row + 4, column - 3 : column + 4] = True
        near &= seen.segmentation == BACKGROUND
        if near.any():
            darker.append(seen.image[near].mean() / plain.image[near].mean())
    assert len(darker) >= 4 and np.mean(darker) < 0.92 and max(darker) < 1


def test_slow_shutters_ask_for_three_instants(drawn: list[tuple[np.ndarray, Scene]]) -> None:
    instants = np.array([scene.instants for _, scene in drawn])
    assert set(instants) == {1, 3} and 0.04 < (instants == 3).mean() < 0.25


def test_instants_are_averaged_and_the_middle_one_is_exact() -> None:
    each = film(2, 30, action="run")
    scene = clean(each.scene)
    scene = replace(scene, cameras=(scene.camera(10),) * 30)
    surfaces = [each.surface(frame) for frame in (8, 10, 12)]
    blurred = scene.picture(10, surfaces)
    alone = [scene.picture(10, [surface]) for surface in surfaces]
    np.testing.assert_array_equal(blurred.depth, alone[1].depth)
    np.testing.assert_array_equal(blurred.segmentation, alone[1].segmentation)
    mean = np.mean([one.image.astype(float) for one in alone], 0)
    np.testing.assert_allclose(blurred.image, mean, atol=0.7)
    assert (blurred.image != alone[1].image).mean() > 0.01


def test_things_in_the_way_hide_some_but_not_most(drawn: list[tuple[np.ndarray, Scene]]) -> None:
    assert 0.15 < np.mean([bool(scene.occluders) for _, scene in drawn]) < 0.4
    hidden, labels = [], set()
    for seed in range(160):
        each = film(seed, 1, (64, 64))
        if not each.scene.occluders:
            continue
        surface = [each.surface(0)]
        alone = replace(each.scene, occluders=()).picture(0, surface).segmentation
        seen = each.scene.picture(0, surface)
        labels |= set(np.unique(seen.segmentation).tolist())
        hidden.append(1 - ((seen.segmentation == PERSON) & (alone == PERSON)).sum() / (alone == PERSON).sum())
    assert len(hidden) >= 20 and OTHER in labels
    assert 0.01 < np.mean(hidden) < 0.33 and max(hidden) < 0.75


def test_no_camera_stands_in_a_thing(drawn: list[tuple[np.ndarray, Scene]]) -> None:
    for joints, scene in drawn:
        for thing in scene.occluders:
            low, high = thing.vertices.min(0), thing.vertices.max(0)
            assert low[1] == pytest.approx(0, abs=1e-6) and (thing.label == OTHER).all()
            for camera in scene.cameras:
                assert not ((camera.position > low - 0.2) & (camera.position < high + 0.2)).all()
            assert not ((joints > low) & (joints < high)).all(-1).any()


# --- photographs --------------------------------------------------------------------------


def test_a_photograph_becomes_the_background(tmp_path: Path) -> None:
    path = tmp_path / "field.png"
    write_png(path, np.zeros((90, 200, 3), np.uint8) + np.array([40, 160, 90], np.uint8))
    each = film(3, photographs=[path])
    seen = clean(each.scene).picture(0, [each.surface(0)])
    np.testing.assert_allclose(
        np.median(seen.image[seen.segmentation == BACKGROUND], 0), [40, 160, 90], atol=1
    )


@pytest.mark.parametrize("content", [None, b"", b"\xff\xd8not a photograph"])
def test_a_broken_photograph_falls_back_to_a_drawn_background(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.jpg"
    if content is not None:
        path.write_bytes(content)
    each = film(3, photographs=[path])
    seen = each.picture(0)
    again = film(3, photographs=[path]).picture(0)
    assert seen.image.std() > 8 and seen.image.tobytes() == again.image.tobytes()


# --- bad arguments ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "size", "message"),
    [((0, 36, 3), SIZE, "joints"), ((2, 16, 3), SIZE, "joints"), ((36, 3), SIZE, "joints"),
     ((2, 36, 2), SIZE, "joints"), ((2, 36, 3), (128, 8), "16")],
)  # fmt: skip
def test_bad_arguments_of_a_scene(shape: tuple[int, ...], size: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        random_scene(np.random.default_rng(0), np.zeros(shape), size)


def test_bad_arguments_of_a_picture(films: list[Film]) -> None:
    scene, surface = films[0].scene, films[0].surface(0)
    for frame in (-1, FRAMES):
        with pytest.raises(IndexError, match="frame"):
            scene.picture(frame, [surface])
    with pytest.raises(ValueError, match="surfaces"):
        scene.picture(0, [])
    with pytest.raises(ValueError, match="reduction"):
        scene.picture(0, [surface], 3)
