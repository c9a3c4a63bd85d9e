"""Networks whose answers are known: what an evaluation makes of them can be worked out by hand."""

import torch
from torch import nn

from poseact.network.action import ACTION_BLOCKS
from poseact.structures import ActionOutput, NetworkOutput, PoseOutput


class Known(nn.Module):
    """Answers ``blocks`` poses (J, D) in crop coordinates, whatever it is shown."""

    def __init__(self, *blocks, size=64, visibility=1.0):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))
        self.blocks = [torch.tensor(block, dtype=torch.float32) for block in blocks]
        self.size, self.actions, self.visibility = size, 0, visibility
        self.dim = self.blocks[0].shape[-1]

    def estimate(self, frames):
        n = len(frames)
        seen = torch.full((n, len(self.blocks[0])), self.visibility)
        poses = [block.expand(n, *block.shape) for block in self.blocks]
        return tuple(PoseOutput(pose, seen, frames[:, :1]) for pose in poses), frames


class Brightest(nn.Module):
    """Answers the brightest spot of the crop for every joint; z is ``z``, or no depth where None."""

    def __init__(self, joints, size=64, z=None):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))
        self.joints, self.size, self.z, self.actions = joints, size, z, 0
        self.dim = 2 if z is None else 3

    def estimate(self, frames):
        light = (frames.mean(1) + 1) ** 2  # black is 0
        light = light / light.sum((1, 2), keepdim=True)
        centres = (torch.arange(frames.shape[-1]) + 0.5) / frames.shape[-1]
        spot = torch.stack([(light.sum(1) * centres).sum(1), (light.sum(2) * centres).sum(1)], -1)
        if self.z is not None:
            spot = torch.cat([spot, torch.full((len(spot), 1), self.z)], -1)
        pose = spot[:, None].expand(-1, self.joints, -1)
        return (PoseOutput(pose, torch.ones(len(frames), self.joints), frames[:, :1]),), frames


class Scripted(nn.Module):
    """An action network that calls ``script(frames, poses, visibility)`` for its probabilities (N, A).

    Both streams and the aggregation answer the same; ``seen`` collects what it was called with.
    """

    def __init__(self, script, actions, frames=4, joints=16, size=32, dim=2):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))
        self.script, self.actions, self.frames, self.joints = script, actions, frames, joints
        self.size, self.dim, self.seen = size, dim, []

    def __deepcopy__(self, memo):
        return self  # so that a test sees the calls of the copy that runs

    def estimate(self, frames):
        """Poses that are not visible, as of frames without anybody."""
        pose, unseen = torch.full((len(frames), self.joints, 2), 0.5), torch.zeros(len(frames), self.joints)
        return (PoseOutput(pose, unseen, frames[:, :1]),), frames

    def forward(self, frames, poses=None, visibility=None):
        self.seen.append((frames, poses, visibility))
        p = self.script(frames, poses, visibility)
        block = PoseOutput(torch.zeros(1), torch.zeros(1), torch.zeros(1))
        return NetworkOutput((block,), ActionOutput((p,) * ACTION_BLOCKS, (p,) * ACTION_BLOCKS, p))
