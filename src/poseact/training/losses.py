"""What training minimises: the pose loss (P Eq. 3) with masks, the heat-map term, and the actions'.

Stills (N, J, ...) and clips (N, T, J, ...) alike; a clip weighs as much as a still, so that the shares
of a mix are those of its losses. Every loss is a sum over what is supervised, divided by how much of it a
whole step has (`counts`), so that the parts of a batch add up to the loss of the batch, whichever process
computes them.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from poseact.network.pose import drawn_maps
from poseact.network.soft_argmax import Grid
from poseact.skeleton import Layout
from poseact.structures import ActionOutput, PoseOutput
from poseact.training.knees import knees_known, wrong_knees

VISIBILITY_WEIGHT = 0.01
"""From the authors' code."""
_LEAST = 1e-12
_LEAST_PROBABILITY = 1e-30
"""Below it a class has no gradient: far under what a float32 soft-max gives where it can still learn."""

Labels = dict[str, Tensor]
"""A batch of one kind: see `data.augment.Example`."""


def counts(parts: Iterable[Labels]) -> Tensor:
    """How many joints are valid, how many are annotated, and how many actions are known: (3,) float64.

    Of a clip, the mean over its frames.
    """
    total = torch.zeros(3, dtype=torch.float64)
    for part in parts:
        joints = torch.stack([part["valid"].sum(), part["visible_known"].sum()]).double().cpu()
        total += torch.cat([joints * frame_share(part), part["action_known"].sum().double().cpu()[None]])
    return total


def frame_share(labels: Labels) -> float:
    """The weight of one frame: 1 of a still, 1 / T of a clip."""
    clips = labels["valid"].ndim == 3
    return 1 / labels["valid"].shape[1] if clips else 1.0


def pose_loss(output: PoseOutput, labels: Labels, valid: Tensor, depth_weight: float = 1.0) -> Tensor:
    """Eq. 3: L1 + squared L2 of the coordinates, in crop units, summed and divided by ``valid``.

    ``labels``: ``pose`` (N, [T,] J, 3), ``valid`` and ``depth_valid`` (N, [T,] J). Invalid joints get
    exactly zero gradient, and z does where its depth is not known. ``depth_weight``: of z's part, 1 in
    the paper.
    """
    dim = output.pose.shape[-1]
    mask = labels["valid"].unsqueeze(-1).expand_as(output.pose)
    if dim == 3:
        mask = torch.cat([mask[..., :2], (labels["valid"] & labels["depth_valid"]).unsqueeze(-1)], -1)
    difference = torch.where(mask, output.pose - labels["pose"][..., :dim], 0.0)
    loss = difference.abs() + difference**2
    return (loss[..., :2].sum() + depth_weight * loss[..., 2:].sum()) / valid.clamp(min=1)


def visibility_loss(output: PoseOutput, labels: Labels, known: Tensor) -> Tensor:
    """Binary cross-entropy of 'inside the crop' (P 5.2) over annotated joints, divided by ``known``."""
    p, target = output.visibility, labels["visible"]
    loss = target * p.clamp(min=_LEAST).log() + (1 - target) * (1 - p).clamp(min=_LEAST).log()
    return -torch.where(labels["visible_known"], loss, 0.0).sum() / known.clamp(min=1)


def heat_map_loss(output: PoseOutput, labels: Labels, valid: Tensor, kind: Grid = "centres") -> Tensor:
    """Cross-entropy of each heat map to a Gaussian of one cell over valid joints, divided by ``valid``.

    Not in the paper: on photographs it reaches the same PCK in fewer steps.
    """
    maps = output.heat_maps
    pose = torch.where(labels["valid"].unsqueeze(-1), labels["pose"], 0.0)
    target = drawn_maps(pose, maps.shape[-1], kind=kind).flatten(-2)
    loss = -(target * maps.flatten(-2).log_softmax(-1)).sum(-1)
    return torch.where(labels["valid"], loss, 0.0).sum() / valid.clamp(min=1)


def knee_loss(output: PoseOutput, labels: Labels, valid: Tensor, layout: Layout) -> Tensor:
    """By how much knees bend the wrong way (`knees.wrong_knees`), divided by ``valid``.

    Of people whose joints are annotated without depth; only z has a gradient.
    """
    pose = torch.cat([output.pose[..., :2].detach(), output.pose[..., 2:]], -1)
    known = knees_known(labels["valid"] & ~labels["depth_valid"], layout)
    return torch.where(known, wrong_knees(pose, layout), 0.0).sum() / valid.clamp(min=1)


def poses_loss(
    blocks: Iterable[PoseOutput],
    labels: Labels,
    count: Tensor,
    heat_map_weight: float,
    kind: Grid = "centres",
    depth_weight: float = 1.0,
    knee_weight: float = 0.0,
    layout: Layout | None = None,
) -> Tensor:
    """The pose losses of all blocks, added: every block is supervised. ``count``: see `counts`.

    ``kind``: where the network reads the cells of its maps; ``depth_weight``: see `pose_loss`;
    ``knee_weight``: of `knee_loss`, for poses in 3D, whose joints are those of ``layout``.
    """
    total = labels["pose"].new_zeros(())
    for block in blocks:
        total = total + pose_loss(block, labels, count[0], depth_weight)
        total = total + VISIBILITY_WEIGHT * visibility_loss(block, labels, count[1])
        if heat_map_weight:
            total = total + heat_map_weight * heat_map_loss(block, labels, count[0], kind)
        if knee_weight:
            assert layout is not None
            total = total + knee_weight * knee_loss(block, labels, count[0], layout)
    return total * frame_share(labels)


def actions_loss(output: ActionOutput, labels: Labels, count: Tensor) -> Tensor:
    """Categorical cross-entropy of every block of both streams and of the aggregation, added.

    Clips whose action is not known have none of it. Where there are fewer answers than labels, they are those
    of the first clips; what is divided by are all clips whose action is known, so poses alone leave the
    other stream and the aggregation a smaller loss. ``count``: see `counts`.
    """
    target, known = labels["action"].unsqueeze(-1), labels["action_known"]
    total = output.action.new_zeros(())
    for probabilities in (*output.pose_actions, *output.appearance_actions, output.action):
        n = len(probabilities)
        log = probabilities.clamp(min=_LEAST_PROBABILITY).log().gather(-1, target[:n]).squeeze(-1)
        total = total - torch.where(known[:n], log, 0.0).sum()
    return total / count[2].clamp(min=1)
