"""What is learnt from synthetic people holds on unseen ones (minutes long)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from poseact.data.clips import clip
from poseact.data.synthetic import SyntheticVideos
from poseact.data.synthetic.actions import ACTIONS
from poseact.geometry import crop_scale, crop_transform, depth_to_z
from poseact.network.action import PoseRecognition
from poseact.network.layers import global_max_min
from poseact.skeleton import PA16, convert
from poseact.video import clip_indices

T, STRIDE = 16, 3


def exact_poses(videos: SyntheticVideos) -> tuple[torch.Tensor, torch.Tensor]:
    """Crop coordinates (N, 3, T, 16) of the middle clip of each video, and labels (N,)."""
    poses, labels = [], []
    for i in range(len(videos)):
        found = clip(videos[i], clip_indices(videos.lengths[i], T, STRIDE))
        transform = crop_transform(found.box, 64)
        at = convert(found.joints, found.layout, PA16, axis=1)
        scale = crop_scale(transform.window * found.metres_per_pixel)
        z = depth_to_z(at[..., 2], scale[:, None])
        poses.append(np.concatenate([transform.to_crop(at[..., :2]), z[..., None]], -1))
        labels.append(found.action)
    return torch.tensor(np.array(poses)).float().permute(0, 3, 1, 2), torch.tensor(labels)


@pytest.mark.slow
def test_actions_of_unseen_seeds_are_told_from_exact_poses() -> None:
    poses, labels = exact_poses(SyntheticVideos(2400, seed=10))
    unseen, truth = exact_poses(SyntheticVideos(400, seed=11))
    torch.manual_seed(0)
    network = PoseRecognition(3, len(ACTIONS), "v1")
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    steps, batch = 900, 64
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        chosen = torch.randint(len(poses), (batch,), generator=generator)
        moved = poses[chosen] + 0.02 * torch.randn(batch, 3, 1, 1, generator=generator)
        loss = sum(F.cross_entropy(global_max_min(maps), labels[chosen]) for maps in network(moved))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.no_grad():
        answer = global_max_min(network(unseen)[-1]).argmax(1)
    accuracy = (answer == truth).float().mean().item()
    wrong = [(int(a), int(b)) for a, b in zip(truth, answer, strict=True) if a != b]
    print(f"accuracy on {len(truth)} clips of unseen seeds: {accuracy:.3f}; wrong (true, answered): {wrong}")
    assert accuracy >= 0.9
