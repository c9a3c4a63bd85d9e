"""Prediction blocks (Fig. 12) and what is read from their heat maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from poseact.network.layers import Conv, ConvBN, SeparableConv, SeparableResidual, max_pool, upsample
from poseact.network.soft_argmax import DepthReading, Grid, SoftArgmax
from poseact.structures import PoseOutput

FILTER = 5
CONTEXT_WEIGHT = 0.2


class MultiResolution(nn.Module):
    """The block's three levels, added: (N, width, S, S) to the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.level1 = SeparableResidual(width, width, FILTER)
        self.reduce = ConvBN(width, half, 1, before=True)
        self.level2_in = SeparableResidual(half, half, FILTER)
        self.level2 = SeparableResidual(half, half, FILTER)
        self.level3 = nn.Sequential(*(SeparableResidual(half, half, FILTER) for _ in range(3)))
        self.level2_out = SeparableResidual(half, width, FILTER)

    def forward(self, x: Tensor) -> Tensor:
        half = self.level2_in(self.reduce(max_pool(x)))
        half = self.level2(half) + upsample(self.level3(max_pool(half)))
        return self.level1(x) + upsample(self.level2_out(half))  # type: ignore[no-any-return]


class PredictionBlock(nn.Module):
    """One supervised block: features in, features and raw heat maps out.

    ``maps``: heat maps in all; ``last``: no re-injection, there is no block after it.
    ``forward`` returns (multi-resolution features, raw maps (N, maps, S, S), next features).
    """

    def __init__(self, width: int, maps: int, last: bool) -> None:
        super().__init__()
        self.features = MultiResolution(width)
        self.separable = SeparableConv(width, width, FILTER)
        self.heat_maps = Conv(width, maps, 1)
        self.reinject = None if last else ConvBN(maps, width, 1, before=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.features(x)
        y = self.separable(features)
        maps = self.heat_maps(F.relu(y))
        following = y if self.reinject is None else features + y + self.reinject(maps)
        return features, maps, following


class PoseReader(nn.Module):
    """Poses and visibility from raw maps; it has no trained weights.

    - 2D: ``joints`` own maps, then ``context`` further maps a joint (PAPER: 2D with context).
    - 3D: ``depth_maps`` x ``joints`` maps, depth first (P 3.2).
    - ``gain`` multiplies the argument of the visibility's sigmoid (the released action nets).
    - ``sum_axes``: visibility in 3D adds the largest z value (released), or does not (paper).
    - ``depth_reading``: where z is read, see `SoftArgmax.volume`.
    """

    def __init__(
        self,
        joints: int,
        size: int,
        *,
        depth_maps: int = 0,
        context: int = 0,
        grid: Grid = "centres",
        gain: float = 1.0,
        sum_axes: bool = False,
        depth_reading: DepthReading = "mean",
    ) -> None:
        super().__init__()
        if depth_maps and context:
            raise ValueError("context maps exist in 2D only: expected depth_maps = 0 or context = 0")
        self.joints, self.depth_maps, self.context = joints, depth_maps, context
        self.gain, self.sum_axes, self.depth_reading = gain, sum_axes, depth_reading
        self.maps = joints * (depth_maps or 1 + context)
        self.soft_argmax = SoftArgmax(size, depth_maps, grid)
        self.context_soft_argmax = SoftArgmax(size, 0, grid) if context else None

    def forward(self, raw: Tensor) -> PoseOutput:
        raw = raw.float()  # coordinates need more than bf16's eight bits
        return self._read_3d(raw) if self.depth_maps else self._read_2d(raw)

    def _read_2d(self, raw: Tensor) -> PoseOutput:
        own, context = raw[:, : self.joints], raw[:, self.joints :]
        pose = self.soft_argmax.plane(own)
        if self.context_soft_argmax is not None:
            points = self.context_soft_argmax.plane(context).unflatten(1, (self.joints, self.context))
            p = context.amax((-2, -1)).sigmoid().unflatten(1, (self.joints, self.context)).unsqueeze(-1)
            mean = (p * points).sum(2) / p.sum(2)
            pose = (1 - CONTEXT_WEIGHT) * pose + CONTEXT_WEIGHT * mean
        return PoseOutput(pose, (self.gain * own.amax((-2, -1))).sigmoid(), own)

    def _read_3d(self, raw: Tensor) -> PoseOutput:
        volume = raw.unflatten(1, (self.depth_maps, self.joints)).transpose(1, 2)
        plane = volume.mean(2)
        score = plane.amax((-2, -1))
        if self.sum_axes:
            score = score + volume.mean((-2, -1)).amax(-1)
        pose = self.soft_argmax.volume(volume, self.depth_reading)
        return PoseOutput(pose, (self.gain * score).sigmoid(), plane)


def drawn_maps(pose: Tensor, size: int, sigma: float = 1.0, kind: Grid = "centres") -> Tensor:
    """Gaussians of ``sigma`` cells at given joints (..., >=2) in [0, 1]: (..., size, size).

    Each sums to one: the stand-in for soft-maxed heat maps where poses are given. ``kind``: where the cells
    lie, see `soft_argmax.grid`.
    """
    scale, first = (size - 1, 0.0) if kind == "corners" else (size, 0.5)
    cells = torch.arange(size, device=pose.device, dtype=pose.dtype)
    x, y = (
        (-((cells - (pose[..., axis, None] * scale - first)) ** 2) / (2 * sigma**2)).softmax(-1)
        for axis in (0, 1)
    )
    return y.unsqueeze(-1) * x.unsqueeze(-2)
