"""The whole network: stills or clips to poses, and clips to actions."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from poseact.network.action import (
    AppearanceRecognition,
    FullyConnectedMerge,
    LearntMerge,
    PoseRecognition,
    PoseStream,
    joint_features,
)
from poseact.network.layers import global_max_min
from poseact.network.pose import PoseReader, PredictionBlock, drawn_maps
from poseact.network.soft_argmax import DepthReading, Grid, soft_max_2d
from poseact.network.stem import Stem
from poseact.skeleton import Layout
from poseact.structures import ActionOutput, NetworkOutput, PoseOutput

Variant = Literal["released", "paper"]
STRIDE = 8
"""Crop pixels a heat-map cell."""


class MultitaskNetwork(nn.Module):
    """Pose by supervised prediction blocks and, where ``actions`` > 0, action recognition.

    - ``joints`` NJ; ``depth_maps`` Nd (0: a 2D pose); ``context`` maps a joint (2D only);
      ``depth_reading``: mean (the paper's), or joint: see `SoftArgmax.volume`.
    - ``width`` of the features (576 published); ``blocks`` K; ``size`` of the crop in pixels,
      a multiple of 32 (other multiples work at run time too).
    - ``actions`` A and ``frames`` T of a clip: 0 for a pose network. With actions, T and NJ
      are multiples of 4. ``pose_stream``: v1 (Penn), v2 (NTU), or motion: see `PoseRecognition`.
    - ``variant``: where paper and released code differ, all of it at once: soft-argmax grid
      (cell centres / corners), visibility in 3D and its gain, visibility-weighted poses,
      visual features of the appearance stream, aggregation.

    ``forward(frames, poses, visibility)``: frames (N, 3, S, S), or (N, T, 3, S, S) with
    actions, in [-1, 1]. Given ``poses`` (N, T, NJ, D) in crop coordinates and ``visibility``
    (N, T, NJ) replace the estimated ones in both action streams; the answered pose blocks stay
    the estimated ones. Raises ``ValueError`` on another shape.

    ``layout``, ``action_labels``, ``arguments`` (of `presets.build`) and ``metadata`` are set by
    `poseact.load_model`.
    """

    layout: Layout
    action_labels: tuple[str, ...]
    arguments: dict[str, Any]
    metadata: dict[str, str]

    def __init__(
        self,
        *,
        joints: int,
        depth_maps: int = 0,
        depth_reading: DepthReading = "mean",
        context: int = 0,
        width: int = 576,
        blocks: int = 8,
        size: int = 256,
        actions: int = 0,
        frames: int = 0,
        pose_stream: PoseStream = "v1",
        variant: Variant = "paper",
    ) -> None:
        super().__init__()
        if variant not in ("released", "paper"):
            raise ValueError(f"variant: expected 'released' or 'paper', got {variant!r}")
        if size % 32 or width % 16 or blocks < 1:
            raise ValueError(
                "expected size a multiple of 32, width a multiple of 16 and blocks >= 1, "
                f"got {size}, {width}, {blocks}"
            )
        if depth_reading not in ("mean", "joint"):
            raise ValueError(f"depth_reading: expected 'mean' or 'joint', got {depth_reading!r}")
        if actions and (frames < 4 or frames % 4 or joints % 4):
            raise ValueError(f"with actions, expected multiples of 4, got {frames} frames, {joints} joints")
        released = variant == "released"
        self.dim = 3 if depth_maps else 2
        self.joints, self.size, self.actions, self.frames = joints, size, actions, frames
        self.released = released
        self.grid: Grid = "corners" if released else "centres"
        self.stem = Stem(width)
        self.reader = PoseReader(
            joints,
            size // STRIDE,
            depth_maps=depth_maps,
            context=context,
            grid=self.grid,
            gain=(2.0 if depth_maps else 4.0) if released and actions else 1.0,
            sum_axes=released,
            depth_reading=depth_reading,
        )
        self.blocks = nn.ModuleList(
            PredictionBlock(width, self.reader.maps, last=k == blocks - 1) for k in range(blocks)
        )
        if actions:
            self.pose_recognition = PoseRecognition(self.dim, actions, pose_stream)
            self.appearance_recognition = AppearanceRecognition(width, actions)
            self.merge = LearntMerge(actions) if released else FullyConnectedMerge(actions)

    def forward(
        self, frames: Tensor, poses: Tensor | None = None, visibility: Tensor | None = None
    ) -> NetworkOutput:
        self._check(frames, poses, visibility)
        if not self.actions:
            return NetworkOutput(self.estimate(frames)[0])
        n, t = frames.shape[:2]
        stills, features = self.estimate(frames.flatten(0, 1))
        return self.act(stills, features, (n, t), poses, visibility)

    def act(
        self,
        stills: tuple[PoseOutput, ...],
        features: Tensor,
        lead: tuple[int, int],
        poses: Tensor | None = None,
        visibility: Tensor | None = None,
    ) -> NetworkOutput:
        """The whole answer from what `estimate` says of the frames of clips, ``lead`` = (N, T) of them."""
        n, t = lead
        last = stills[-1]
        maps = soft_max_2d(last.heat_maps)
        if poses is None:
            poses = last.pose.unflatten(0, (n, t))
        else:
            maps = drawn_maps(poses, maps.shape[-1], kind=self.grid).flatten(0, 1)
        if visibility is None:
            visibility = last.visibility.unflatten(0, (n, t))
        clips = tuple(block.map(lambda x: x.unflatten(0, (n, t))) for block in stills)
        return NetworkOutput(clips, self.recognise(poses, visibility, joint_features(features, maps)))

    def estimate(self, frames: Tensor) -> tuple[tuple[PoseOutput, ...], Tensor]:
        """Stills (N, 3, S, S) to the answer of every block, and the visual features."""
        x = self.stem(frames)
        visual, outputs = x, []
        for k, block in enumerate(self.blocks):
            features, maps, x = block(x)
            outputs.append(self.reader(maps))
            if k == 0 and self.released:
                visual = features
        return tuple(outputs), visual

    def recognise(self, poses: Tensor, visibility: Tensor, features: Tensor, unseen: int = 0) -> ActionOutput:
        """Poses (N, T, J, D), visibility (N, T, J), joint features ((N - unseen) T, C, J) to actions.

        Of the last ``unseen`` clips, which have no features, the stream of poses alone answers.
        """
        n, t = poses.shape[:2]
        if self.released:
            poses = poses * visibility.unsqueeze(-1)
        by_pose = self.pose_recognition(poses.permute(0, 3, 1, 2))
        features = features.unflatten(0, (n - unseen, t)).transpose(1, 2)
        by_appearance = self.appearance_recognition(features)
        scores = [
            tuple(global_max_min(m).float().softmax(-1) for m in stream)
            for stream in (by_pose, by_appearance)
        ]
        last = by_pose[-1][: n - unseen] if unseen else by_pose[-1]
        return ActionOutput(scores[0], scores[1], self.merge((last, by_appearance[-1])))

    def _check(self, frames: Tensor, poses: Tensor | None, visibility: Tensor | None) -> None:
        leading = 2 if self.actions else 1
        shape = "(N, T, 3, S, S)" if self.actions else "(N, 3, S, S)"
        if frames.ndim != leading + 3 or frames.shape[-3] != 3 or frames.shape[-1] != frames.shape[-2]:
            raise ValueError(f"frames: expected {shape}, got {tuple(frames.shape)}")
        if frames.shape[-1] % 32:
            raise ValueError(f"frames: expected a side that is a multiple of 32, got {frames.shape[-1]}")
        if self.actions and frames.shape[1] % 4:
            raise ValueError(f"frames: expected T a multiple of 4, got {frames.shape[1]}")
        if not self.actions and (poses is not None or visibility is not None):
            raise ValueError(
                "given poses replace the estimated ones in the action streams: this is a pose network"
            )
        given = (*frames.shape[:2], self.joints)
        if poses is not None and poses.shape != (*given, self.dim):
            raise ValueError(f"poses: expected {(*given, self.dim)}, got {tuple(poses.shape)}")
        if visibility is not None and visibility.shape != given:
            raise ValueError(f"visibility: expected {given}, got {tuple(visibility.shape)}")


def to_input(frames: Tensor, power: Tensor | None = None) -> Tensor:
    """The network's door: uint8 (N, [T,] H, W, 3) to float (N, [T,] 3, H, W) in [-1, 1].

    ``power`` (N, 3): each channel, in [0, 1], is raised to it first (augmentation in the authors' code).
    """
    if frames.dtype != torch.uint8 or frames.shape[-1] != 3:
        raise ValueError(f"expected uint8 (..., H, W, 3), got {frames.dtype} {tuple(frames.shape)}")
    x = frames.movedim(-1, -3)
    if power is None or bool((power == 1).all()):
        return x.float() / 127.5 - 1.0
    exponents = power.reshape(len(power), *[1] * (x.ndim - 4), 3, 1, 1)
    return (x.float() / 255) ** exponents * 2 - 1.0
