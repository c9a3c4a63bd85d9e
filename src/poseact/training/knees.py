"""Knees bend one way: what 3D poses of photographs can be taught where no depth is annotated.

Ours, not the paper's, after the loss for illegal angles of Dabral et al., Learning 3D Human Pose from
Structure and Motion (ECCV 2018).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from poseact.geometry import DEPTH_RANGE_MM, REFERENCE_SIDE_M
from poseact.skeleton import Layout

DEPTH_SIDES = DEPTH_RANGE_MM / 1000 / REFERENCE_SIDE_M
"""z from 0 to 1, in sides of the crop: the unit of x and y."""
ALLOWED = 0.13
"""The sine up to which a knee may be bent the other way: a few degrees, and hips that are turned outwards."""
_SIDES = ("right", "left")
_LEAST = 0.02
"""Sides of the crop; what is shorter is not brought to length 1: its direction would have a huge gradient."""


def leg_bones(pose: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Thighs and shanks (..., 2, 3), right and left, of poses (..., J, 3).

    Raises ``ValueError`` where ``layout`` has no hips, knees or ankles.
    """
    hips, knees, ankles = (
        pose[..., [layout.index(f"{side}_{joint}") for side in _SIDES], :]
        for joint in ("hip", "knee", "ankle")
    )
    return knees - hips, ankles - knees


def knee_bends(pose: Tensor, layout: Layout) -> Tensor:
    """How far each knee is bent about the axis of the hips: (..., J, 3) to (..., 2), right and left.

    ``pose``: x to the right, y down, z away, all in one unit. The sine of the angle from thigh to shank,
    1 at a right angle; below 0 where the knee bends forward, as no knee does. Nearer to 0 where the hips, or
    the ends of a bone, are less than 0.02 apart. Raises ``ValueError`` as `leg_bones`.
    """
    across = pose[..., layout.index("left_hip"), :] - pose[..., layout.index("right_hip"), :]
    axis = F.normalize(across, dim=-1, eps=_LEAST).unsqueeze(-2)
    thigh, shank = (F.normalize(bone, dim=-1, eps=_LEAST) for bone in leg_bones(pose, layout))
    normal: Tensor = torch.linalg.cross(thigh, shank)
    return (axis * normal).sum(-1)


def knees_known(known: Tensor, layout: Layout) -> Tensor:
    """Of which knees all that `knee_bends` looks at is known: (..., J) bool to (..., 2)."""
    hips = [layout.index(f"{side}_hip") for side in _SIDES]
    legs = [[*hips, layout.index(f"{side}_knee"), layout.index(f"{side}_ankle")] for side in _SIDES]
    return known[..., legs].all(-1)


def in_sides(pose: Tensor) -> Tensor:
    """Poses (..., 3) of a network with z in sides of the crop, as x and y are."""
    return torch.cat([pose[..., :2], (pose[..., 2:] - 0.5) * DEPTH_SIDES], -1)


def wrong_knees(pose: Tensor, layout: Layout) -> Tensor:
    """By how much each knee of a network's poses (..., J, 3) is bent the wrong way, else 0: (..., 2)."""
    return F.relu(-knee_bends(in_sides(pose), layout) - ALLOWED)
