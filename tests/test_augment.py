import numpy as np
import pytest

from poseact.data.augment import Augmentation, blank, draw_transform, example
from poseact.data.images import InMemory
from poseact.geometry import Box, crop_transform
from poseact.skeleton import LSP14, PA16
from poseact.structures import Sample

NONE = Augmentation(rotation=0, scale=(1, 1), shift=(0, 0), flip=False)


def sample(depth=True, points=None, valid=None):
    rng = np.random.default_rng(0)
    joints = np.zeros((14, 3))
    joints[:, :2] = rng.uniform(20, 80, (14, 2)) if points is None else points
    joints[:, 2] = rng.uniform(-500, 500, 14) if depth else 0
    return Sample(
        frames=InMemory((rng.integers(0, 256, (100, 100, 3), np.uint8),)),
        joints=joints,
        valid=np.ones(14, bool) if valid is None else valid,
        depth_valid=np.full(14, depth),
        layout=LSP14,
        box=Box((49.5, 49.5), 100.0),
        metres_per_pixel=0.0225 if depth else None,
        name="made up",
    )


def draw(s, augmentation, seed=0, layout=LSP14):
    return example(s, layout, 64, augmentation, np.random.default_rng(seed))


def test_without_augmentation_it_is_the_box():
    s = sample()
    e = draw(s, None)
    assert np.allclose(e["pose"][:, :2], (s.joints[:, :2] + 0.5) / 100, atol=1e-6)
    assert np.allclose(e["pose"][:, 2], 0.5 + s.joints[:, 2] / 2000, atol=1e-6)
    assert (e["frames"] == crop_transform(s.box, 64).warp(s.image()[0])).all()
    assert e["valid"].all() and e["depth_valid"].all() and e["visible"].all()


def test_a_joint_outside_the_crop_is_not_visible_and_not_supervised():
    points = np.full((14, 2), 50.0)
    points[0], points[1], points[2] = (-0.6, 50), (-0.5, 50), (99.5, 99.5)
    e = draw(sample(points=points), None)
    assert e["visible"][:3].tolist() == [0, 1, 1] and e["valid"][:3].tolist() == [False, True, True]
    assert e["visible_known"].all() and (e["pose"][0] == 0).all()


def test_unannotated_joints_are_masked_everywhere():
    valid = np.ones(14, bool)
    valid[4] = False
    e = draw(sample(valid=valid), None)
    assert not e["valid"][4] and not e["visible_known"][4] and e["visible"][4] == 0
    assert e["valid"].sum() == 13


def test_2d_samples_have_no_depth():
    e = draw(sample(depth=False), Augmentation())
    assert not e["depth_valid"].any() and (e["pose"][:, 2] == 0).all()


def test_a_flip_swaps_sides():
    s = sample()
    seeds = range(20)
    flipping = Augmentation(rotation=0, scale=(1, 1), shift=(0, 0), flip=True)
    plain = draw(s, None)
    mirrored = next(
        e for e in (draw(s, flipping, seed) for seed in seeds) if (e["frames"] != plain["frames"]).any()
    )
    assert (mirrored["frames"] == plain["frames"][:, ::-1]).all()
    right, left = LSP14.index("right_wrist"), LSP14.index("left_wrist")
    assert np.allclose(mirrored["pose"][right] * [-1, 1, 1] + [1, 0, 0], plain["pose"][left], atol=1e-6)


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.3])
def test_z_follows_the_crop_scale(scale):
    s = sample()
    e = draw(s, Augmentation(rotation=0, scale=(scale, scale), shift=(0, 0), flip=False))
    z = e["pose"][e["depth_valid"], 2]
    depth = (z - 0.5) * 2000 * scale  # a 2.25 m crop has scale 1
    assert np.abs(depth - s.joints[e["depth_valid"], 2]).max() < 0.1


def test_depths_that_no_answer_reaches_teach_nothing():
    """z ends at 0 and 1: what lies a metre from the pelvis in a crop of 2.25 m is the last that counts."""
    s = sample()
    s.joints[:4, 2] = (-1001, -999, 999, 1001)
    e = draw(s, None)
    assert e["depth_valid"][:4].tolist() == [False, True, True, False] and e["depth_valid"][4:].all()
    assert e["valid"].all()
    # Given to the action heads, they are where they are.
    assert e["pose"][[0, 3], 2].tolist() == pytest.approx([-0.0005, 1.0005], abs=1e-6)


def test_ranges_are_respected():
    s = sample()
    a = Augmentation(rotation=10, scale=(0.9, 1.1), shift=(8, 8), flip=False)
    centre = np.array([[49.5, 49.5]])
    for seed in range(50):
        t = draw_transform(s.box, 256, a, np.random.default_rng(seed))
        side = 1 / np.sqrt(np.linalg.det(t.matrix[:, :2]))
        angle = np.degrees(np.arctan2(t.matrix[1, 0], t.matrix[0, 0]))
        assert 90 <= side <= 110 and abs(angle) <= 10
        assert np.abs(t.to_crop(centre) - 0.5).max() <= 8 * np.sqrt(2) / 256 / 0.9 + 1e-9


def test_another_layout_masks_what_is_missing():
    e = draw(sample(), None, layout=PA16)
    pelvis = PA16.index("pelvis")
    assert not e["valid"][pelvis] and not e["visible_known"][pelvis] and e["valid"].sum() == 14


def test_the_same_generator_gives_the_same_example():
    a, b, c = (draw(sample(), Augmentation(power=(0.9, 1.1)), seed) for seed in (1, 1, 2))
    assert (a["frames"] == b["frames"]).all() and (a["pose"] == b["pose"]).all()
    assert (a["pose"] != c["pose"]).any()


def test_blank_supervises_nothing():
    e = blank(64, 14, None)
    assert not (e["valid"].any() or e["visible_known"].any() or e["readable"])
