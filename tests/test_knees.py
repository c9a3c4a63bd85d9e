"""Knees that bend the wrong way: told apart from those that do not, and taught by z alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from poseact.data.augment import Augmentation, example
from poseact.data.clips import draw_still
from poseact.data.synthetic import SyntheticVideos
from poseact.skeleton import PA16
from poseact.structures import PoseOutput
from poseact.training.knees import ALLOWED, DEPTH_SIDES, in_sides, knee_bends, knees_known, wrong_knees
from poseact.training.losses import counts, knee_loss, poses_loss

HIP, KNEE, ANKLE = (PA16.index(f"right_{name}") for name in ("hip", "knee", "ankle"))


def standing(bent: float, facing: float = 1.0) -> torch.Tensor:
    """A person (16, 3) who faces the camera (1) or not (-1), the right shank ``bent`` degrees back."""
    pose = torch.zeros(16, 3)
    for side, sign in (("right", -facing), ("left", facing)):
        for name, y in (("hip", 0.0), ("knee", 0.4), ("ankle", 0.8)):
            pose[PA16.index(f"{side}_{name}")] = torch.tensor([0.1 * sign, y, 0.0])
    turn = np.deg2rad(bent)
    back = torch.tensor([0.0, 0.4 * np.cos(turn), facing * 0.4 * np.sin(turn)], dtype=torch.float32)
    pose[ANKLE] = pose[KNEE] + back
    return pose


@pytest.mark.parametrize("facing", (1.0, -1.0))
@pytest.mark.parametrize("bent", (-60.0, -5.0, 0.0, 40.0, 90.0))
def test_the_bend_of_a_knee_by_hand(facing, bent):
    right, left = knee_bends(standing(bent, facing), PA16).tolist()
    assert right == pytest.approx(np.sin(np.deg2rad(bent)), abs=1e-6) and left == pytest.approx(0, abs=1e-6)
    scaled = standing(bent, facing)
    scaled[:, 2] = 0.5 + scaled[:, 2] / DEPTH_SIDES
    assert torch.allclose(in_sides(scaled)[..., 2], standing(bent, facing)[..., 2], atol=1e-6)
    wrong = wrong_knees(scaled, PA16)
    assert wrong.tolist() == pytest.approx([max(0, -np.sin(np.deg2rad(bent)) - ALLOWED), 0], abs=1e-6)


def test_people_do_not_bend_their_knees_the_wrong_way():
    """Of drawn people in all movements, mirrored or not; and turned inside out in depth most of them do."""
    people = SyntheticVideos(120, frames=1, size=(64, 64), seed=11)
    rng = np.random.default_rng(0)
    drawn = Augmentation(rotation=180, scale=(1.5, 1.5), shift=(0, 0))
    labels = [example(draw_still(person, rng), PA16, 64, drawn, rng) for person in people]
    poses = torch.from_numpy(np.stack([label["pose"] for label in labels]))
    known = knees_known(torch.from_numpy(np.stack([label["depth_valid"] for label in labels])), PA16)
    assert known.sum() > 150
    assert (wrong_knees(poses, PA16)[known] > 0).float().mean() < 0.01
    poses[..., 2] = 1 - poses[..., 2]
    bent = knee_bends(in_sides(poses), PA16)[known].abs() > 0.4
    assert bent.sum() > 30 and (wrong_knees(poses, PA16)[known][bent] > 0).float().mean() > 0.9


def answer(poses: torch.Tensor) -> PoseOutput:
    maps = torch.zeros(len(poses), 16, 8, 8)
    return PoseOutput(poses.requires_grad_(), torch.full((len(poses), 16), 0.5), maps)


def labelled(count: int) -> dict[str, torch.Tensor]:
    return {
        "pose": torch.full((count, 16, 3), 0.5),
        "valid": torch.ones(count, 16, dtype=torch.bool),
        "depth_valid": torch.zeros(count, 16, dtype=torch.bool),
        "visible": torch.ones(count, 16),
        "visible_known": torch.ones(count, 16, dtype=torch.bool),
        "action_known": torch.zeros(count, dtype=torch.bool),
    }


def test_only_depths_that_nobody_annotated_are_taught():
    wrong = in_crop(standing(-60.0))
    out, labels = answer(torch.stack([wrong, wrong, wrong, in_crop(standing(60.0))])), labelled(4)
    labels["depth_valid"][1, KNEE] = True  # known: the pose loss teaches it
    labels["valid"][2, ANKLE] = False
    loss = knee_loss(out, labels, counts([labels])[0], PA16)
    assert loss.item() == pytest.approx(
        (np.sin(np.pi / 3) - ALLOWED) / labels["valid"].sum().item(), abs=1e-6
    )
    loss.backward()
    gradient = out.pose.grad
    assert (gradient[..., :2] == 0).all() and (gradient[1:] == 0).all()
    assert gradient[0, :, 2].nonzero().flatten().tolist() == [HIP, KNEE, ANKLE]


def in_crop(pose: torch.Tensor) -> torch.Tensor:
    return torch.cat([0.5 + pose[:, :2] / 2, 0.5 + pose[:, 2:] / 2 / DEPTH_SIDES], -1)


def test_a_knee_is_taught_to_bend_back():
    pose, labels = in_crop(standing(-60.0))[None].clone(), labelled(1)
    out = answer(pose)
    for _ in range(200):
        loss = knee_loss(out, labels, counts([labels])[0], PA16)
        (gradient,) = torch.autograd.grad(loss, out.pose)
        with torch.no_grad():
            out.pose.sub_(0.2 * gradient)
    assert wrong_knees(out.pose, PA16).max() < 0.02


def test_the_loss_is_added_with_its_weight_in_every_block():
    out, labels = answer(in_crop(standing(-60.0))[None].clone()), labelled(1)
    count = counts([labels])
    plain, taught = (
        poses_loss((out, out), labels, count, 0, knee_weight=w, layout=PA16).item() for w in (0.0, 3.0)
    )
    assert taught - plain == pytest.approx(6 * knee_loss(out, labels, count[0], PA16).item(), rel=1e-4)


def test_hips_that_coincide_have_no_huge_gradient():
    labels = labelled(1)
    count = counts([labels])
    profile = in_crop(standing(-60.0))[None].clone()
    profile[:, PA16.index("left_hip")] = profile[:, HIP] + 1e-4
    seen = answer(profile)
    knee_loss(seen, labels, count[0], PA16).backward()
    assert seen.pose.grad.abs().max() < 5
    straight = answer(torch.full((1, 16, 3), 0.5))  # no axis, no direction
    knee_loss(straight, labels, count[0], PA16).backward()
    assert torch.isfinite(straight.pose.grad).all()
