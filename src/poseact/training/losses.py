"""The pose loss (P Eq. 3) with masks, and the heat-map term that speeds up the start."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from poseact.network.pose import drawn_maps
from poseact.structures import NetworkOutput, PoseOutput

VISIBILITY_WEIGHT = 0.01
"""From the authors' code."""


def pose_loss(output: PoseOutput, batch: dict[str, Tensor]) -> Tensor:
    """Eq. 3: mean over valid joints of L1 + squared L2 of the coordinates, in crop units.

    ``batch``: ``pose`` (N, J, 3), ``valid`` and ``depth_valid`` (N, J). Invalid joints get
    exactly zero gradient, and z does where its depth is not known.
    """
    dim = output.pose.shape[-1]
    mask = batch["valid"].unsqueeze(-1).expand_as(output.pose)
    if dim == 3:
        mask = torch.cat([mask[..., :2], (batch["valid"] & batch["depth_valid"]).unsqueeze(-1)], -1)
    difference = torch.where(mask, output.pose - batch["pose"][..., :dim], 0.0)
    return (difference.abs() + difference**2).sum() / batch["valid"].sum().clamp(min=1)


def visibility_loss(output: PoseOutput, batch: dict[str, Tensor]) -> Tensor:
    """Binary cross-entropy of 'inside the crop' (P 5.2), mean over annotated joints."""
    known = batch["visible_known"]
    loss = F.binary_cross_entropy(output.visibility, batch["visible"], reduction="none")
    return torch.where(known, loss, 0.0).sum() / known.sum().clamp(min=1)


def heat_map_loss(output: PoseOutput, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of each heat map to a Gaussian of one cell, mean over valid joints.

    Not in the paper: on photographs it reaches the same PCK in fewer steps.
    """
    maps = output.heat_maps
    pose = torch.where(batch["valid"].unsqueeze(-1), batch["pose"], 0.0)
    target = drawn_maps(pose, maps.shape[-1]).flatten(-2)
    loss = -(target * maps.flatten(-2).log_softmax(-1)).sum(-1)
    return torch.where(batch["valid"], loss, 0.0).sum() / batch["valid"].sum().clamp(min=1)


def total_loss(output: NetworkOutput, batch: dict[str, Tensor], heat_map_weight: float) -> Tensor:
    """The sum over all blocks (every block is supervised)."""
    total = output.pose.new_zeros(())
    for block in output.blocks:
        total = total + pose_loss(block, batch) + VISIBILITY_WEIGHT * visibility_loss(block, batch)
        if heat_map_weight:
            total = total + heat_map_weight * heat_map_loss(block, batch)
    return total
