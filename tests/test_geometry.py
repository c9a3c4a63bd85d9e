import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poseact.data.clips import joint_boxes
from poseact.geometry import (
    Box,
    Camera,
    crop_scale,
    crop_transform,
    depth_to_z,
    enclosing_box,
    whole_image_box,
    z_to_depth,
)

DRAWS = {
    "centre": st.tuples(st.floats(-50, 500), st.floats(-50, 500)),
    "side": st.floats(20, 900),
    "size": st.sampled_from([64, 128, 256]),
    "rotation": st.floats(-180, 180),
    "scale": st.floats(0.5, 2.5),
    "shift": st.tuples(st.floats(-40, 40), st.floats(-40, 40)),
    "flip": st.booleans(),
    "seed": st.integers(0, 2**32 - 1),
}


@given(**DRAWS)
def test_crop_and_inverse(centre, side, size, rotation, scale, shift, flip, seed):
    transform = crop_transform(
        Box(centre, side), size, rotation=rotation, scale=scale, shift=shift, flip=flip
    )
    points = np.random.default_rng(seed).uniform(-1000, 1000, (20, 2))
    assert np.abs(transform.to_image(transform.to_crop(points)) - points).max() < 1e-4


@given(**DRAWS)
def test_flipping_mirrors_the_crop(centre, side, size, rotation, scale, shift, flip, seed):
    box = Box(centre, side)
    args = {"rotation": rotation, "scale": scale, "shift": shift}
    points = np.random.default_rng(seed).uniform(-1000, 1000, (20, 2))
    plain = crop_transform(box, size, **args).to_crop(points)
    mirrored = crop_transform(box, size, **args, flip=True).to_crop(points)
    assert np.allclose(mirrored, [1, 0] + plain * [-1, 1], atol=1e-9)


def test_edges_of_the_whole_image():
    """The crop's edges lie half a pixel outside the centres of the outer pixels."""
    transform = crop_transform(whole_image_box(10, 10), 20)
    corners = np.array([[-0.5, -0.5], [9.5, 9.5], [0.0, 9.0]])
    assert np.allclose(transform.to_crop(corners), [[0, 0], [1, 1], [0.05, 0.95]])


def test_padded_to_a_square():
    transform = crop_transform(whole_image_box(20, 10), 40)
    assert np.allclose(transform.to_crop(np.array([[9.5, 4.5], [-0.5, -0.5]])), [[0.5, 0.5], [0, 0.25]])
    crop = transform.warp(np.full((10, 20, 3), 200, np.uint8))
    assert (crop[:9] == 0).all() and (crop[12:28, 2:-2] == 200).all() and (crop[31:] == 0).all()


def test_warp_of_the_same_size_is_the_image():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert (crop_transform(whole_image_box(32, 32), 32).warp(image) == image).all()
    mirrored = crop_transform(whole_image_box(32, 32), 32, flip=True).warp(image)
    assert (mirrored == image[:, ::-1]).all()
    turned = crop_transform(whole_image_box(32, 32), 32, rotation=90).warp(image)
    assert np.abs(turned.astype(int) - np.rot90(image, -1)).max() <= 1


@pytest.mark.parametrize("rotation", [0, 30, 180])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("side", [40.0, 120.0, 500.0])
def test_what_is_seen_stays_under_its_joint(rotation, flip, side):
    """A blob warped into the crop lies where to_crop says, halving of large crops included."""
    image = np.zeros((600, 600, 3), np.uint8)
    spot = np.array([310.0, 295.0])
    radius = max(2, round(side / 40))
    rows, columns = np.mgrid[:600, :600]
    image[np.hypot(columns - spot[0], rows - spot[1]) <= radius] = 255
    transform = crop_transform(Box((305.0, 300.0), side), 64, rotation=rotation, flip=flip, shift=(2, -1))
    crop = transform.warp(image)[..., 0].astype(float)
    rows, columns = np.mgrid[:64, :64]
    centroid = np.array([(columns * crop).sum(), (rows * crop).sum()]) / crop.sum()
    assert np.abs(transform.to_crop(spot) * 64 - 0.5 - centroid).max() < 0.1


def test_scale_shrinks_and_shift_moves():
    box = Box((50.0, 50.0), 100.0)
    right = crop_transform(box, 100, shift=(10, 0)).to_crop(np.array([[60.0, 50.0]]))
    assert np.allclose(right, [[0.5, 0.5]])
    wide = crop_transform(box, 100, scale=2).to_crop(np.array([[0.0, 50.0]]))
    assert np.allclose(wide, [[0.25, 0.5]])
    clockwise = crop_transform(box, 100, rotation=90).to_crop(np.array([[50.0, 0.0]]))
    assert np.allclose(clockwise, [[1.0, 0.5]])


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.3])
def test_depth_there_and_back(scale):
    depth = np.linspace(-900, 900, 7)
    assert np.abs(z_to_depth(depth_to_z(depth, scale), scale) - depth).max() < 0.1
    assert depth_to_z(np.array([0.0, 1000.0]), 1.0).tolist() == [0.5, 1.0]
    assert crop_scale(2.25) == 1.0


@given(st.integers(0, 2**32 - 1))
def test_project_and_back(seed):
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    camera = Camera(turn, rng.normal(size=3), np.array([900.0, 910.0]), np.array([320.0, 240.0]))
    points = rng.normal(size=(9, 3)) + camera.position + 5 * turn[2]
    depth = camera.to_camera(points)[:, 2]
    assert np.abs(camera.back_project(camera.project(points), depth) - points).max() < 1e-6


@pytest.mark.parametrize(("centre", "side"), [((0.0, 0.0), 0.0), ((np.nan, 0.0), 1.0)])
def test_bad_boxes(centre, side):
    with pytest.raises(ValueError, match="side > 0"):
        Box(centre, side)


@pytest.mark.parametrize("reduced", [2, 4, 8])
def test_a_crop_of_a_reduced_image_lies_on_the_same_spot(reduced):
    """A ramp says where each pixel came from: off by half a pixel would show."""
    ramp = np.zeros((240, 240, 3))
    ramp[..., 0], ramp[..., 1] = np.arange(240), np.arange(240)[:, None]
    small = ramp.reshape(240 // reduced, reduced, 240 // reduced, reduced, 3).mean((1, 3))
    assert (small % 0.5 == 0).all()
    transform = crop_transform(Box((118.3, 121.6), 100), 64, rotation=20, flip=True)
    whole = transform.warp(ramp.astype(np.uint8)).astype(float)
    again = transform.warp(np.rint(small + 0.01).astype(np.uint8), reduced).astype(float)
    # The reduced ramp was rounded by half a grey level: take that off.
    assert abs((again - whole)[..., :2].mean() - 0.5) < 0.15
    assert np.abs(again - whole - 0.5)[..., :2].max() <= 1.1


def test_how_far_an_image_may_be_reduced():
    for side, expected in ((100, 1), (511, 1), (512, 2), (1023, 2), (1024, 4), (9000, 8)):
        transform = crop_transform(Box((0, 0), side), 256, rotation=33)
        assert abs(transform.window - side) < 1e-6 and transform.reduction() == expected


def test_boxes_of_a_clip_are_joined_as_the_reference_joins_them(shared):
    z = np.load(shared / "reference" / "expected" / "protocol.npz")
    for joints, visible, expected in zip(z["clip_joints"], z["clip_visible"], z["clip_box"], strict=True):
        boxes = joint_boxes(joints, visible > 0)[[0, 8, 15]]
        box = enclosing_box(boxes)
        assert np.abs(np.array(box.centre) - (expected[:2] + expected[2:]) / 2).max() < 1e-6
        assert abs(box.side - (expected[2:] - expected[:2]).max()) < 1e-6


def test_no_box_at_all():
    with pytest.raises(ValueError, match="at least one box"):
        enclosing_box(np.full((3, 3), np.nan))
