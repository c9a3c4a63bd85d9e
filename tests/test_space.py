"""Metres: rendered truth comes back exactly where scale and camera are true, and nearly where assumed."""

import numpy as np
import pytest

from poseact.data.synthetic import SyntheticVideos
from poseact.errors import UserError
from poseact.geometry import REFERENCE_SIDE_M, Box, crop_scale, crop_transform, depth_to_z
from poseact.inference.space import WINDOW, CameraAssumption, Scale
from poseact.skeleton import COCO17, FIGURE36, LAYOUTS, LSP14, PA17, Layout, convert

FRAMES = 8
PELVIS = FIGURE36.index("pelvis")
ALL = np.ones(len(FIGURE36))
MIDDLE = (639.0, 479.0)


@pytest.fixture(scope="module")
def films():
    videos = SyntheticVideos(6, FRAMES, size=(480, 640), seed=3)
    return [videos.film(i) for i in range(6)]


def answered(film, frame):
    """What a network would answer that is never wrong: pose (36, 3), and the box it was read from."""
    track = film.track("film", None)
    x, y, side = (float(v) for v in track.boxes[frame])
    box = Box((x, y), side)
    joints = track.joints[frame]
    scale = crop_scale(np.array(side * track.metres_per_pixel[frame]))
    z = depth_to_z(joints[:, 2:], float(scale))
    return np.concatenate([crop_transform(box, 256).to_crop(joints[:, :2]), z], 1), box


def truth(film, frame):
    """Joints (36, 3) from the pelvis along the camera's axes, in metres."""
    seen = film.scene.camera(frame).to_camera(film.joints[frame])
    return seen - seen[PELVIS]


def size_around(camera):
    """The size of a picture whose middle is the camera's optical centre."""
    return tuple(2 * camera.centre + 1)


def standing_height(film):
    lengths = film.person.lengths
    upright = ("thigh", "shank", "lumbar", "chest", "neck", "skull")
    return sum(lengths[bone] for bone in upright) + 0.4 * lengths["foot"]


def test_rendered_truth_within_a_millimetre(films):
    """Exact perspective, with the true metres of a pixel at the pelvis."""
    for film in films:
        for frame in range(FRAMES):
            camera, (pose, box) = film.scene.camera(frame), answered(film, frame)
            scale = Scale(FIGURE36, CameraAssumption(focal_px=float(camera.focal[0])))
            scale.add(pose, ALL, box, size_around(camera))
            true = film.track("film", None).metres_per_pixel[frame] / scale.metres_per_pixel
            found = scale.metres(pose, box, size_around(camera)) * true
            assert np.abs(found - truth(film, frame)).max() < 1e-3


def test_the_height_gives_the_scale_within_a_few_percent(films):
    """People of other proportions than the table's, with their true height: 4 % on average, never 10 %."""
    ratios = []
    for film in films:
        camera = film.scene.camera(0)
        scale = Scale(FIGURE36, CameraAssumption(float(camera.focal[0]), standing_height(film)))
        for frame in range(FRAMES):
            pose, box = answered(film, frame)
            scale.add(pose, ALL, box, size_around(film.scene.camera(frame)))
        found, expected = scale.metres(pose, box, size_around(camera)), truth(film, FRAMES - 1)
        ratios.append(np.linalg.norm(found, axis=1).sum() / np.linalg.norm(expected, axis=1).sum())
    errors = np.abs(np.array(ratios) - 1)
    assert errors.mean() < 0.04 and errors.max() < 0.10, ratios


def test_without_a_focal_length_joints_are_near_the_truth(films):
    """Weak perspective: directions are bent by it, by a few percent of the person's size."""
    for film in films:
        scale = Scale(FIGURE36, CameraAssumption(height_m=standing_height(film)))
        pose, box = answered(film, 0)
        scale.add(pose, ALL, box, (640, 480))
        error = np.linalg.norm(scale.metres(pose, box, (640, 480)) - truth(film, 0), axis=1).mean()
        assert error < 0.12


def test_crop_units():
    """A depth of 2 m spans z = 0..1 in a crop of 2.25 m: in sides of the crop that is 2 / 2.25."""
    pose = np.full((17, 3), 0.5)
    pose[PA17.index("head")] = [0.75, 0.25, 1.0]
    pose[PA17.index("pelvis")] = [0.5, 0.625, 0.75]
    found = Scale(PA17).crop_units(pose)
    assert np.allclose(found[PA17.index("head")], [0.25, -0.375, 0.25 * 2 / REFERENCE_SIDE_M])
    assert np.allclose(found[PA17.index("pelvis")], 0)
    many = np.random.default_rng(0).uniform(0, 1, (4, 5, 17, 3))
    assert np.array_equal(Scale(PA17).crop_units(many)[2, 3], Scale(PA17).crop_units(many[2, 3]))


def upright(layout, height=1.0):
    """A person of the table's proportions, in crop coordinates, ``height`` of the crop's side tall."""
    levels = {"ankle": 0.039, "knee": 0.285, "hip": 0.530, "pelvis": 0.530, "shoulder": 0.818}
    pose = np.full((len(layout), 3), 0.5)
    for j, name in enumerate(layout.joints):
        pose[j, 1] = 1 - height * levels.get(name.split("_")[-1], 0.9)
        pose[j, 0] += 0.05 * (name.startswith("left_") - name.startswith("right_"))
    return pose


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_every_layout_of_the_package(layout):
    scale, box = Scale(layout, CameraAssumption(height_m=1.8)), Box((100.0, 100.0), 200.0)
    scale.add(upright(layout, 0.9), np.ones(len(layout)), box, (400, 300))
    assert scale.metres_per_pixel == pytest.approx(1.8 / (0.9 * 200))
    found = scale.metres(upright(layout, 0.9), box, (400, 300))
    hips = [layout.index(f"{side}_hip") for side in ("left", "right")]
    assert np.allclose(found[hips].mean(0), 0, atol=1e-12)
    assert found[layout.index("left_ankle"), 1] == pytest.approx(1.8 * (0.530 - 0.039))


def test_a_layout_without_hips():
    with pytest.raises(UserError, match="pelvis or hips"):
        Scale(Layout("hand", ("wrist", "thumb")))


def test_a_layout_of_a_pelvis_alone():
    with pytest.raises(UserError, match="to take metres from"):
        Scale(Layout("stick", ("pelvis", "head")))


def test_another_box_of_the_same_person_is_the_same_person(films):
    """Pixels are compared, not sides of crops, so a box found anew does not disturb the scale."""
    film = films[0]
    pose, box = answered(film, 0)
    wide = Box((box.centre[0] + 7, box.centre[1] - 3), 1.6 * box.side)
    to_crop = crop_transform(wide, 256).to_crop
    xy = to_crop(crop_transform(box, 256).to_image(pose[:, :2]))
    other = np.concatenate([xy, 0.5 + (pose[:, 2:] - 0.5) / 1.6], 1)
    for focal in (None, 700.0):
        one, two = Scale(FIGURE36, CameraAssumption(focal)), Scale(FIGURE36, CameraAssumption(focal))
        one.add(pose, ALL, box, MIDDLE)
        two.add(other, ALL, wide, MIDDLE)
        assert np.allclose(one.metres(pose, box, MIDDLE), two.metres(other, wide, MIDDLE), atol=1e-9)


def test_a_long_focal_length_is_weak_perspective(films):
    pose, box = answered(films[1], 0)
    far, weak = Scale(FIGURE36, CameraAssumption(1e7)), Scale(FIGURE36)
    for scale in (far, weak):
        scale.add(pose, ALL, box, (640, 480))
    assert np.allclose(far.metres(pose, box, (640, 480)), weak.metres(pose, box, (640, 480)), atol=1e-3)


def test_a_third_of_wild_frames_does_not_matter():
    rng = np.random.default_rng(0)
    scale, box = Scale(LSP14), Box((100.0, 100.0), 200.0)
    for i in range(60):
        pose = upright(LSP14, 0.9) if i % 3 else rng.uniform(-2, 3, (14, 3))
        scale.add(pose, np.ones(14), box, (200, 200))
    assert scale.metres_per_pixel == pytest.approx(1.7 / 180, rel=0.01)


def test_what_is_not_visible_is_not_measured():
    box, visibility = Box((100.0, 100.0), 200.0), np.ones(14)
    pose = upright(LSP14, 0.9)
    for name in ("left_knee", "right_ankle", "left_shoulder"):
        pose[LSP14.index(name)] = 9.0
        visibility[LSP14.index(name)] = 0.49
    scale = Scale(LSP14)
    scale.add(pose, visibility, box, (200, 200))  # what is left is one thigh
    assert scale.metres_per_pixel == pytest.approx(1.7 / 180)


def test_until_something_is_seen_the_crop_is_of_scale_one():
    scale, box = Scale(LSP14), Box((100.0, 100.0), 300.0)
    pose = upright(LSP14, 0.9)
    for _ in range(2):
        scale.add(pose, np.zeros(14), box, (200, 200))
    assert scale.metres_per_pixel is None
    assert np.allclose(scale.metres(pose, box, (200, 200)), scale.crop_units(pose) * REFERENCE_SIDE_M)


def test_joints_in_one_point_are_no_length():
    scale, box = Scale(LSP14), Box((100.0, 100.0), 300.0)
    scale.add(np.full((14, 3), 0.5), np.ones(14), box, (200, 200))
    assert scale.metres_per_pixel is None


def test_remembers_so_many_frames_and_goes_on_from_a_state(tmp_path):
    box = Box((100.0, 100.0), 200.0)
    sizes = np.linspace(0.5, 0.9, WINDOW + 40)
    whole, first, second = Scale(COCO17), Scale(COCO17), Scale(COCO17)
    second.restore(first.state())
    for i, size in enumerate(sizes):
        whole.add(upright(COCO17, size), np.ones(17), box, (200, 200))
        if i == 99:
            np.savez(tmp_path / "state.npz", **first.state())
            second.restore(np.load(tmp_path / "state.npz"))
        (first if i < 99 else second).add(upright(COCO17, size), np.ones(17), box, (200, 200))
    assert second.metres_per_pixel == whole.metres_per_pixel
    assert whole.metres_per_pixel == pytest.approx(1.7 / (200 * np.median(sizes[-WINDOW:])))
    assert len(whole.state()["lengths"]) == WINDOW


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"height_m": 170.0}, "height"),
        ({"height_m": 0.0}, "height"),
        ({"height_m": float("nan")}, "height"),
        ({"focal_px": 0.0}, "focal"),
        ({"focal_px": -5.0}, "focal"),
        ({"focal_px": float("inf")}, "focal"),
    ],
)
def test_assumptions_that_cannot_be(given, named):
    with pytest.raises(UserError, match=f"{named}: expected"):
        CameraAssumption(**given)


def test_says_what_it_assumes():
    assert "1.7 m tall" in CameraAssumption().describe()
    assert "weak perspective" in CameraAssumption().describe()
    assert "focal length 1200 px" in CameraAssumption(1200.0, 1.8).describe()


def test_the_layout_of_a_network_is_converted_by_name(films):
    """The same joints in another order give the same metres."""
    pose, box = answered(films[2], 0)
    figure, network = Scale(FIGURE36), Scale(PA17)
    own = convert(pose, FIGURE36, PA17)
    figure.add(pose, ALL, box, (640, 480))
    network.add(own, np.ones(17), box, (640, 480))
    expected = convert(figure.metres(pose, box, (640, 480)), FIGURE36, PA17)
    assert np.allclose(network.metres(own, box, (640, 480)), expected)
