"""Action recognition from poses and from appearance, and their aggregation (P 4)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from poseact.network.layers import Conv, ConvBN, global_max_min, max_min_pool, max_pool, upsample

ACTION_BLOCKS = 4
APPEARANCE_WIDTH = 256
# Filters of the three temporal convolutions, of the bottleneck, and of each half of the output.
_V1 = ((8, 16, 24), 32, 56)
POSE_STREAM = {"v1": _V1, "v2": ((12, 24, 36), 64, 112), "motion": _V1}
PoseStream = Literal["v1", "v2", "motion"]
MOTION_GAIN = 8.0
"""Of the changes from frame to frame, which are small beside the places of joints."""
SUM_GAIN = 4.0
"""Of probabilities, at the start of an aggregation: two sure streams that agree are answered with .99."""


class ActionBlock(nn.Module):
    """One supervised block: features (N, F, T/2, J/2) to action maps (N, A, T/4, J/4)."""

    def __init__(self, features: int, actions: int, last: bool) -> None:
        super().__init__()
        self.bottleneck = nn.Sequential(
            ConvBN(features, features // 2, 1, before=True),
            ConvBN(features // 2, features, 3, before=True),
        )
        self.conv = ConvBN(features, features, 3, before=True)
        self.action_maps = Conv(features, actions, 3)
        self.reinject = None if last else ConvBN(actions, features, 3, before=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (action maps, features for the next block)."""
        a = x + self.bottleneck(x)
        b = self.conv(a)
        maps = self.action_maps(F.relu(max_min_pool(b)))
        return maps, b if self.reinject is None else a + b + self.reinject(upsample(maps))


class ActionBlocks(nn.Module):
    """The four blocks of one stream: features to the action maps of every block."""

    def __init__(self, features: int, actions: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ActionBlock(features, actions, last=k == ACTION_BLOCKS - 1) for k in range(ACTION_BLOCKS)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for block in self.blocks:
            action_maps, x = block(x)
            maps.append(action_maps)
        return maps


def with_motion(poses: Tensor) -> Tensor:
    """Poses (N, dim, T, J) wherever and however large the person is, and what changes: (N, 2 dim, T, J).

    They are taken about the mean of all joints and frames, and divided by the root mean square of what is
    left of x and y. The change is that to the next frame, times `MOTION_GAIN`; the last one is told twice.
    Ours, not the paper's: docs/experiments.md, section 20.
    """
    about = poses - poses.mean((2, 3), keepdim=True)
    extent = about[:, :2].square().mean((1, 2, 3), keepdim=True).sqrt()
    about = about / extent.clamp(min=1e-3)
    change = about[:, :, 1:] - about[:, :, :-1]
    return torch.cat([about, MOTION_GAIN * torch.cat([change, change[:, :, -1:]], 2)], 1)


class PoseRecognition(nn.Module):
    """Pose-based stream (Fig. 5, 13): poses (N, dim, T, J) to action maps of every block.

    ``version``: that of Penn (v1) or of NTU (v2); or ``motion``, which is ours: v1 on `with_motion`.
    """

    def __init__(self, dim: int, actions: int, version: PoseStream) -> None:
        super().__init__()
        self.motion = version == "motion"
        dim = 2 * dim if self.motion else dim
        temporal, narrow, half = POSE_STREAM[version]
        kernels = ((3, 1), (3, 3), (3, 5))
        self.temporal = nn.ModuleList(
            ConvBN(dim, width, kernel, after=True) for width, kernel in zip(temporal, kernels, strict=True)
        )
        self.wide = ConvBN(sum(temporal), half, 3)
        self.deep = nn.Sequential(ConvBN(sum(temporal), narrow, 1), ConvBN(narrow, half, 3))
        self.blocks = ActionBlocks(2 * half, actions)

    def forward(self, poses: Tensor) -> list[Tensor]:
        poses = with_motion(poses) if self.motion else poses
        x = torch.cat([conv(poses) for conv in self.temporal], 1)
        x = torch.cat([self.wide(x), self.deep(x)], 1)
        return self.blocks(max_min_pool(x))  # type: ignore[no-any-return]


class AppearanceRecognition(nn.Module):
    """Appearance-based stream (P 4.2): features at the joints (N, width, T, J) to action maps."""

    def __init__(self, width: int, actions: int) -> None:
        super().__init__()
        self.reduce = ConvBN(width, APPEARANCE_WIDTH, 1)
        self.blocks = ActionBlocks(APPEARANCE_WIDTH, actions)

    def forward(self, features: Tensor) -> list[Tensor]:
        return self.blocks(max_pool(self.reduce(features)))  # type: ignore[no-any-return]


def joint_features(features: Tensor, probabilities: Tensor) -> Tensor:
    """Sum over the plane of features (N, C, H, W) x maps (N, J, H, W): (N, C, J)."""
    return features.flatten(2) @ probabilities.to(features.dtype).flatten(2).transpose(1, 2)


class LearntMerge(nn.Module):
    """Released aggregation: a linear mix of each stream's last action maps, added."""

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.depthwise = nn.ModuleList(Conv1x1Depthwise(actions) for _ in range(2))
        self.pointwise = nn.ModuleList(Conv(actions, actions, 1) for _ in range(2))
        for conv in self.pointwise:
            with torch.no_grad():
                conv.weight.copy_(torch.eye(actions)[:, :, None, None])  # type: ignore[operator]

    def forward(self, maps: tuple[Tensor, Tensor]) -> Tensor:
        mixed = [
            point(depth(m)) for depth, point, m in zip(self.depthwise, self.pointwise, maps, strict=True)
        ]
        return global_max_min(mixed[0] + mixed[1]).float().softmax(-1)

    def weigh(self, pose: float, appearance: float) -> None:
        """Multiply what each stream adds by a number above 0, in the weights."""
        with torch.no_grad():
            for conv, factor in zip(self.pointwise, (pose, appearance), strict=True):
                conv.weight.mul_(factor)  # type: ignore[operator]


class Conv1x1Depthwise(nn.Conv2d):
    """One weight a channel, 1 at the start."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 1, groups=channels, bias=False)
        nn.init.ones_(self.weight)


class FullyConnectedMerge(nn.Module):
    """Aggregation of P 4.3: fully connected + soft-max on both streams' predictions.

    It starts as the sum of both: streams that know their training clips by heart would leave weights
    drawn at random nearly as they are, and these would decide about others.
    """

    def __init__(self, actions: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * actions, actions)
        with torch.no_grad():
            self.linear.weight.copy_(SUM_GAIN * torch.eye(actions).repeat(1, 2))
            self.linear.bias.zero_()

    def forward(self, maps: tuple[Tensor, Tensor]) -> Tensor:
        scores = torch.cat([global_max_min(m).float().softmax(-1) for m in maps], -1)
        return self.linear(scores).float().softmax(-1)  # type: ignore[no-any-return]

    @torch.no_grad()
    def added(self, pose: Tensor, appearance: Tensor) -> Tensor:
        """What each stream adds before the soft-max, from both predictions (N, A): (2, N, A).

        The bias is of neither, so each has half of it.
        """
        half = self.linear.bias / 2
        by_pose, by_appearance = self.linear.weight.chunk(2, 1)
        return torch.stack([F.linear(pose, by_pose, half), F.linear(appearance, by_appearance, half)])

    def weigh(self, pose: float, appearance: float) -> None:
        """Multiply what each stream adds (`added`) by a number above 0, in the weights."""
        with torch.no_grad():
            for part, factor in zip(self.linear.weight.chunk(2, 1), (pose, appearance), strict=True):
                part.mul_(factor)
            self.linear.bias.mul_((pose + appearance) / 2)
