"""The full chain: image and box to crop, network, and back to the image's pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from poseact.geometry import Box, CropTransform, crop_transform, whole_image_box
from poseact.inference.fold import folded
from poseact.network import MultitaskNetwork, to_input
from poseact.skeleton import Layout
from poseact.structures import Prediction

BATCH = 16


@dataclass(frozen=True)
class View:
    """One person in one image. Without a ``box``, the image padded to a square is the crop."""

    name: str
    image: npt.NDArray[np.uint8]
    box: Box | None = None


def predict(
    network: MultitaskNetwork,
    layout: Layout,
    views: Iterable[View],
    device: torch.device,
    size: int | None = None,
) -> Iterator[list[Prediction]]:
    """Yield for each view the prediction of every block, first to last.

    ``size``: side of the crops in pixels, a multiple of 32; the network's own where None.
    A copy of the network runs, in evaluation mode with batch norm folded, in batches of 16 crops.
    """
    network = folded(network).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    rest = iter(views)
    while group := list(islice(rest, BATCH)):
        boxes = [v.box or whole_image_box(v.image.shape[1], v.image.shape[0]) for v in group]
        transforms = [crop_transform(box, size or network.size) for box in boxes]
        crops = np.stack([t.warp(v.image) for t, v in zip(transforms, group, strict=True)])
        frames = to_input(torch.from_numpy(crops).to(device)).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            blocks, _ = network.estimate(frames)
        answers = [(b.pose.float().cpu().numpy(), b.visibility.float().cpu().numpy()) for b in blocks]
        for i, (view, box, transform) in enumerate(zip(group, boxes, transforms, strict=True)):
            yield [_mapped(view, box, transform, layout, pose[i], seen[i]) for pose, seen in answers]


def _mapped(
    view: View,
    box: Box,
    transform: CropTransform,
    layout: Layout,
    pose: npt.NDArray[np.float32],
    visibility: npt.NDArray[np.float32],
) -> Prediction:
    """One block's crop coordinates back in the image."""
    joints = transform.to_image(pose[:, :2].astype(np.float64))
    z = pose[:, 2] if pose.shape[1] == 3 else None
    return Prediction(view.name, joints, visibility, z, layout, box)
