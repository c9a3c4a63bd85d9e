import dataclasses

import numpy as np
import pytest
import torch
from fakes.tracks import Tracks

from poseact.data.augment import Augmentation
from poseact.data.clips import Clips, Stills, clip, draw_clip, draw_still, joint_boxes, still
from poseact.data.loading import Examples, training_loader
from poseact.errors import UserError
from poseact.geometry import Box
from poseact.skeleton import H36M32, PA17

LONG = Augmentation(strides=(1, 2, 3))


def test_the_box_of_a_clip_encloses_first_middle_and_last():
    track = Tracks()[0]
    made = clip(track, np.array([0, 5, 10, 15]))
    low, high = track.boxes[[0, 10, 15], 0].min() - 45, track.boxes[[0, 10, 15], 0].max() + 45
    assert made.box == Box(((low + high) / 2, track.boxes[0, 1]), high - low)


def test_frames_without_a_person_do_not_count_in_the_box():
    track = Tracks(hidden=(0, 10))[0]
    assert clip(track, np.array([0, 5, 10, 15])).box.side == 90
    only = clip(Tracks(hidden=(0, 10, 15))[0], np.array([0, 5, 10, 15]))
    assert only.box.centre[0] == track.boxes[5, 0]
    with pytest.raises(UserError, match="track 0: no frame of 0 to 10 shows"):
        clip(track, np.array([0, 10, 10]))


def test_a_still_is_its_frame():
    track = Tracks(hidden=(3,))[1]
    s = still(track, 7)
    assert (s.joints == track.joints[7]).all() and s.box.side == 90 and s.root_depth_mm == 4000
    assert s.image()[0][0, 0, 1] == 70
    with pytest.raises(UserError, match="track 1: frame 3 shows no"):
        still(track, 3)


def test_draws_avoid_frames_without_a_person():
    track = Tracks(hidden=tuple(range(1, 20)))[0]
    assert {draw_still(track, np.random.default_rng(i)).index for i in range(10)} == {0}
    nobody = Tracks(hidden=tuple(range(20)))[0]
    with pytest.raises(UserError, match="no frame shows"):
        draw_still(nobody, np.random.default_rng(0))


def test_drawn_clips_use_the_strides_and_all_places():
    track = Tracks(frames=40)[0]
    drawn = [draw_clip(track, 8, (1, 3), np.random.default_rng(i)).indices for i in range(200)]
    assert {int(np.diff(i)[0]) for i in drawn} == {1, 3}
    ends = [(i[0], i[-1]) for i in drawn]
    assert min(a for a, _ in ends) == 0 and max(b for _, b in ends) == 39


def test_drawn_clips_show_somebody():
    track = Tracks(frames=60, hidden=tuple(range(25, 60)))[0]
    starts = [int(draw_clip(track, 8, (2,), np.random.default_rng(i)).indices[0]) for i in range(200)]
    assert min(starts) == 0 and 20 < max(starts) <= 24
    with pytest.raises(UserError, match="no frame of"):
        draw_clip(Tracks(hidden=tuple(range(20)))[0], 8, (1,), np.random.default_rng(0))


def test_clips_of_a_short_video_begin_anywhere():
    """No stride of 2 or 3 fits: clips of 8 of 15 frames begin at 0 to 7, all alike."""
    track = Tracks(frames=15)[0]
    starts = [int(draw_clip(track, 8, (2, 3), np.random.default_rng(i)).indices[0]) for i in range(400)]
    counts = np.bincount(starts, minlength=8)
    assert len(counts) == 8 and counts.min() > 25


def test_all_stills_and_all_clips():
    tracks = Tracks(count=2, frames=20)
    assert [s.index for s in Stills(tracks, every=8, first=1)] == [1, 9, 17, 1, 9, 17]
    middle = Clips(tracks, count=16)
    assert len(middle) == 2 and middle[1].indices.tolist() == list(range(2, 18)) and middle[1].action == 1
    many = Clips(tracks, count=8, every=4)
    assert [c.indices[0] for c in many] == [0, 4, 8, 12] * 2


def test_one_draw_for_all_frames_of_a_clip():
    """Every frame is moved alike: the person's walk stays a straight line of equal steps."""
    examples = Examples([Tracks()], PA17, 64, Augmentation(strides=(2,)), 1, 0, frames=6)
    e = examples.read((0, 0))
    assert e["frames"].shape == (6, 64, 64, 3) and e["pose"].shape == (6, 17, 3)
    steps = np.diff(e["pose"][:, 0, :2], axis=0)[e["valid"][:-1, 0] & e["valid"][1:, 0]]
    assert len(steps) > 1 and np.abs(steps - steps[0]).max() < 1e-6 and np.abs(steps[0]).max() > 0.01
    assert e["action"] == 0 and e["action_known"]


def test_depth_of_each_frame_follows_its_own_scale():
    track = Tracks()[0]
    scale = np.linspace(1, 2, 20) * 2.25 / 90
    made = clip(dataclasses.replace(track, metres_per_pixel=scale), np.arange(0, 20, 4))
    from poseact.data.augment import example

    e = example(made, H36M32, 64, None, np.random.default_rng(0))
    toe = H36M32.index("left_toe")
    expected = 0.5 - 150 / (2000 * made.box.side * scale[::4] / 2.25)
    assert np.allclose(e["pose"][:, toe, 2], expected, atol=1e-6)


def test_clips_in_batches_are_the_same_whatever_the_workers_and_after_a_resume():
    def batches(workers, start=0):
        examples = Examples([Tracks(5), Tracks(3)], PA17, 32, LONG, 2, 1, frames=4)
        return [batch["clips"] for batch in training_loader(examples, [2, 1], 3, workers, start)]

    plain = batches(0)
    assert plain[0]["frames"].shape == (3, 4, 32, 32, 3)
    for other in (batches(1), batches(2)):
        assert all(torch.equal(a[k], b[k]) for a, b in zip(plain, other, strict=True) for k in a)
    rest = batches(0, start=1)
    assert all(torch.equal(a[k], b[k]) for a, b in zip(plain[1:], rest, strict=True) for k in a)


def test_boxes_around_joints():
    joints = np.zeros((3, 4, 2))
    joints[0] = [[0, 0], [10, 0], [0, 40], [999, 999]]
    valid = np.ones((3, 4), bool)
    valid[0, 3] = False
    valid[1] = [True, False, False, False]
    boxes = joint_boxes(joints, valid)
    assert boxes[0].tolist() == [5, 20, 60] and np.isnan(boxes[1]).all() and np.isnan(boxes[2, 2])
