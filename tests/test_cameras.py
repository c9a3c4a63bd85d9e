"""Cameras, crops, boxes and the network's input against what the authors' own helpers answered."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from poseact.data.clips import joint_boxes
from poseact.data.human36m import root_boxes
from poseact.data.human36m_cameras import LENSES, PLACES, camera
from poseact.geometry import (
    Box,
    Camera,
    crop_scale,
    crop_transform,
    depth_to_z,
    enclosing_box,
    z_to_depth,
)
from poseact.network.multitask import to_input

CAMERAS = range(6)
SCALES = [0.7, 1.0, 1.3]


@pytest.fixture(scope="module")
def protocol(shared):
    with np.load(shared / "reference" / "expected" / "protocol.npz") as file:
        return dict(file)


def reference_camera(protocol, i):
    """Camera ``i`` of the reference, whose unit is the millimetre."""
    return Camera(
        protocol["camera_R"][i], protocol["camera_t"][i] / 1000, protocol["camera_f"][i],
        protocol["camera_c"][i], protocol["camera_k"][i], protocol["camera_p"][i],
    )  # fmt: skip


@pytest.mark.parametrize("i", CAMERAS)
def test_projection_is_the_authors(protocol, i):
    view, points = reference_camera(protocol, i), protocol["camera_world_mm"][i] / 1000
    expected = protocol["camera_image_uvd"][i]
    assert np.abs(view.project(points) - expected[:, :2]).max() < 1e-6
    assert np.abs(1000 * view.to_camera(points)[:, 2] - expected[:, 2]).max() < 1e-6


@pytest.mark.parametrize("i", CAMERAS)
def test_one_step_inverse_is_the_authors(protocol, i):
    view, seen = reference_camera(protocol, i), protocol["camera_image_uvd"][i]
    found = view.back_project(seen[:, :2], seen[:, 2] / 1000, steps=1)
    assert np.abs(1000 * found - protocol["camera_one_step_inverse_mm"][i]).max() < 1e-6


@pytest.mark.parametrize("i", CAMERAS)
def test_the_exact_inverse_finds_what_was_projected(protocol, i):
    """Where one step misses by hundredths of a millimetre and more."""
    view, seen = reference_camera(protocol, i), protocol["camera_image_uvd"][i]
    points = protocol["camera_world_mm"][i] / 1000
    assert np.abs(view.back_project(seen[:, :2], seen[:, 2] / 1000) - points).max() < 1e-6
    one_step = view.back_project(seen[:, :2], seen[:, 2] / 1000, steps=1)
    assert np.abs(one_step - points).max() > 1e-5


@given(
    subject=st.sampled_from(sorted(PLACES)),
    number=st.sampled_from(list(LENSES)),
    pixel=st.tuples(st.floats(-200, 1200), st.floats(-200, 1200)),
    depth=st.floats(0.5, 20),
    seed=st.integers(0, 2**32 - 1),
)
def test_project_and_back_with_distortion(subject, number, pixel, depth, seed):
    """Points in front of the published cameras, also well outside their 1000 x 1000 pixels."""
    view, rng = camera(subject, number), np.random.default_rng(seed)
    pixels = np.array(pixel) + rng.normal(0, 30, (20, 2))
    depths = depth * rng.uniform(0.8, 1.2, 20)
    flat = (pixels - view.centre) / view.focal  # as a lens without distortion would show them
    points = view.to_world(np.column_stack([flat, np.ones(20)]) * depths[:, None])
    shown = view.project(points)
    assert np.abs(view.back_project(shown, depths) - points).max() < 1e-6
    assert np.abs(view.to_camera(points)[:, 2] - depths).max() < 1e-9


def test_windows_of_human36m_are_the_authors(protocol):
    """Their centre lies one pixel of scale 1 under the root: root + (0, scale); the paper says root."""
    for i, scale in enumerate(protocol["h36m_scale"]):
        root, depth = protocol["h36m_root_uvd"][i, :2], protocol["h36m_root_uvd"][i, 2]
        focal, size = protocol["h36m_focal"][i], protocol["h36m_image_size"]
        box = root_boxes(root[None], depth[None], focal, size)[0]
        assert np.abs(scale * box[2] - protocol["h36m_window"][i]).max() < 1e-6
        assert np.abs(box[:2] + np.array([0, scale]) - protocol["h36m_centre"][i]).max() < 1e-6


def test_depth_range_of_human36m_is_the_authors(protocol):
    """z is 0 and 1 at the ends of their range, and the crop's scale is that of the augmentation."""
    for i, scale in enumerate(protocol["h36m_scale"]):
        depth = protocol["h36m_root_uvd"][i, 2]
        focal, size = protocol["h36m_focal"][i], protocol["h36m_image_size"]
        centre_and_side = root_boxes(np.zeros((1, 2)), depth[None], focal, size)[0]
        metres_per_pixel = 2.25 / centre_and_side[2]
        crop = crop_transform(Box((0.0, 0.0), centre_and_side[2]), 256, scale=scale)
        assert abs(crop_scale(crop.window * metres_per_pixel) - scale) < 1e-9
        z = depth_to_z(protocol["h36m_depth_range_mm"][i] - depth, scale)
        assert np.abs(z - [0, 1]).max() < 1e-6


@given(st.sampled_from(SCALES), st.floats(-1500, 1500), st.floats(500, 8000))
def test_depth_there_and_back_at_every_scale(scale, depth_mm, root_depth_mm):
    """Through the box of the root, the crop, and z as the network says it, in float32."""
    lens = LENSES["54138969"]
    x, y, side = root_boxes(
        np.array([[500.0, 400.0]]), np.array([root_depth_mm]), np.array(lens.focal), np.array(lens.size)
    )[0]
    crop = crop_transform(Box((x, y), side), 256, scale=scale)
    found = crop_scale(crop.window * 2.25 / side)
    z = np.float32(depth_to_z(np.array(depth_mm), found))
    assert abs(z_to_depth(z, found) - depth_mm) < 0.1
    assert abs(found - scale) < 1e-9


@pytest.mark.parametrize("i", range(6))
def test_crops_are_the_authors(protocol, i):
    """Their map from pixels to [0, 1], exactly, out of ours and the rounding of their crop.

    They turn the whole image about the crop's centre, counter-clockwise as displayed, into an
    image that just holds it: what is lowest in x and in y comes to lie at 0, the corners of the
    image taken as (0, 0) and (width, height). Out of that they cut whole pixels: both edges of the
    window are cut off to integers, each by itself, so the width and the height may differ by 1.
    Points are then measured from that integer edge, and divided by the integer size; a flip
    mirrors the result.

    A pixel's number is thus taken for the distance from the image's edge, so for the annotation
    (0, 0) is the corner of the first pixel, for us its centre, while the picture that is cut
    out is the same: their labels, and what they map back, are half a pixel of the source to
    the left of and above what the crop shows, in a window of several hundred.
    """
    centre, window = protocol["crop_centre"][i], protocol["crop_window"][i]
    angle, flip = protocol["crop_angle_deg"][i], bool(protocol["crop_flip"][i])
    ours = crop_transform(Box(tuple(centre), window[0]), 256, rotation=-angle).matrix
    width, height = protocol["crop_image_size"]
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]])
    turned = (corners @ ours[:, :2].T + ours[:, 2] - 0.5) * window  # around the centre
    middle = -turned.min(0)  # where the centre lies in the turned image
    low, high = np.trunc(middle - window / 2), np.trunc(middle + window / 2)
    theirs = np.column_stack(
        [
            ours[:, :2] * (window / (high - low))[:, None],
            (ours[:, 2] * window - window / 2 + middle - low) / (high - low),
        ]
    )
    if flip:
        theirs[0] = -theirs[0] + [0, 0, 1]
        flipped = crop_transform(Box(tuple(centre), window[0]), 256, rotation=-angle, flip=True)
        assert np.allclose(flipped.matrix[0], -ours[0] + [0, 0, 1])  # so is ours
    assert np.abs(theirs - protocol["crop_affine"][i][:2]).max() < 1e-6
    # Without the rounding, what is left between the two is under two pixels of the window.
    points = np.array([centre, centre + window / 2, centre - window / 2])
    unrounded = crop_transform(Box(tuple(centre), window[0]), 256, rotation=-angle, flip=flip)
    rounded = points @ protocol["crop_affine"][i][:2, :2].T + protocol["crop_affine"][i][:2, 2]
    assert np.abs(unrounded.to_crop(points) - rounded).max() < 2 / window.min()


def test_boxes_of_clips_are_the_authors(protocol):
    """The union of the squares of the first, middle and last frame; ours is widened to a square."""
    for joints, visible, expected in zip(
        protocol["clip_joints"], protocol["clip_visible"] > 0, protocol["clip_box"], strict=True
    ):
        box = enclosing_box(joint_boxes(joints, visible)[[0, len(joints) // 2, -1]])
        assert np.abs(box.centre - (expected[:2] + expected[2:]) / 2).max() < 1e-6
        assert abs(box.side - (expected[2:] - expected[:2]).max()) < 1e-6


def test_the_input_after_the_power_is_the_authors(protocol):
    frame = torch.from_numpy(protocol["power_frame"])[None]
    power = torch.from_numpy(protocol["power_exponents"])[None]
    found = to_input(frame, power)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - protocol["power_input"]).max() < 1e-6
    as_float = to_input(frame, power.float())[0].permute(1, 2, 0).numpy()
    assert np.abs(as_float - protocol["power_input"]).max() < 1e-6
