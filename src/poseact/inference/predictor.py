"""The full chain: image and box to crop, network, and back to the image's pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from poseact.geometry import Box, CropTransform, crop_transform, whole_image_box
from poseact.inference.fold import folded
from poseact.network import MultitaskNetwork, to_input
from poseact.skeleton import Layout
from poseact.structures import Prediction

BATCH = 16
FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class View:
    """One person in one image. Without a ``box``, the image padded to a square is the crop."""

    name: str
    image: npt.NDArray[np.uint8]
    box: Box | None = None


@dataclass(frozen=True)
class Crops:
    """Which crops of a person are averaged: the box moved by each of ``shifts``, in shares of its side,
    and with ``flip`` the mirror image of each.
    """

    shifts: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    flip: bool = False


ONE_CROP = Crops()


def predict(
    network: MultitaskNetwork,
    layout: Layout,
    views: Iterable[View],
    device: torch.device,
    size: int | None = None,
) -> Iterator[list[Prediction]]:
    """Yield for each view the prediction of every block, first to last.

    ``size``: side of the crops in pixels, a multiple of 32; the network's own where None.
    A copy of the network runs (`ready`), in batches of 16 crops.
    """
    network = ready(network, device)
    rest = iter(views)
    while group := list(islice(rest, BATCH)):
        yield from predict_group(network, layout, group, size or network.size)


def ready(network: MultitaskNetwork, device: torch.device) -> MultitaskNetwork:
    """A copy to predict with: evaluation mode, batch norm folded, float32, on ``device``."""
    copy = folded(network).float().to(device=device)
    return copy.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def predict_group(
    network: MultitaskNetwork, layout: Layout, views: Sequence[View], size: int, crops: Crops = ONE_CROP
) -> list[list[Prediction]]:
    """For each view the prediction of every block, by a network that is `ready`.

    With more crops than one, joints are averaged in the image; the prediction's box is the one that was
    not moved.
    """
    boxes = [v.box or whole_image_box(v.image.shape[1], v.image.shape[0]) for v in views]
    transforms = [crop_transform(moved(box, shift), size) for box in boxes for shift in crops.shifts]
    images = [view.image for view in views for _ in crops.shifts]
    cut = np.stack([t.warp(image) for t, image in zip(transforms, images, strict=True)])
    answers = _answers(network, layout, cut, crops.flip)
    predictions = []
    for i, (view, box) in enumerate(zip(views, boxes, strict=True)):
        own = slice(i * len(crops.shifts), (i + 1) * len(crops.shifts))
        predictions.append([
            _mapped(view, box, transforms[own], layout, pose[own], seen[own]) for pose, seen in answers
        ])  # fmt: skip
    return predictions


def moved(box: Box, shift: tuple[float, float]) -> Box:
    """The box moved by shares of its side."""
    return Box((box.centre[0] + shift[0] * box.side, box.centre[1] + shift[1] * box.side), box.side)


def _answers(
    network: MultitaskNetwork, layout: Layout, crops: npt.NDArray[np.uint8], flip: bool
) -> list[tuple[FloatArray, FloatArray]]:
    """Pose (n, J, D) and visibility (n, J) of every block for crops (n, S, S, 3), averaged over flips."""
    device = next(network.parameters()).device
    parts: list[list[tuple[Tensor, Tensor]]] = []
    for start in range(0, len(crops), BATCH):
        frames = to_input(torch.from_numpy(crops[start : start + BATCH]).to(device))
        parts.append(_estimated(network, frames))
        if flip:
            mirrored = _estimated(network, frames.flip(-1))
            parts[-1] = [
                _mean(one, _unmirrored(two, layout)) for one, two in zip(parts[-1], mirrored, strict=True)
            ]
    blocks = zip(*parts, strict=True)
    return [
        (torch.cat([p for p, _ in block]).cpu().numpy(), torch.cat([v for _, v in block]).cpu().numpy())
        for block in blocks
    ]


def _estimated(network: MultitaskNetwork, frames: Tensor) -> list[tuple[Tensor, Tensor]]:
    with torch.inference_mode():
        blocks, _ = network.estimate(frames.contiguous(memory_format=torch.channels_last))
    return [(block.pose.float(), block.visibility.float()) for block in blocks]


def _unmirrored(answer: tuple[Tensor, Tensor], layout: Layout) -> tuple[Tensor, Tensor]:
    """The answer for a mirrored crop as one for the crop itself."""
    pose, visibility = (values[:, layout.flip.tolist()] for values in answer)
    return torch.cat([1 - pose[..., :1], pose[..., 1:]], -1), visibility


def _mean(one: tuple[Tensor, Tensor], two: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return (one[0] + two[0]) / 2, (one[1] + two[1]) / 2


def _mapped(
    view: View,
    box: Box,
    transforms: Sequence[CropTransform],
    layout: Layout,
    pose: FloatArray,
    visibility: FloatArray,
) -> Prediction:
    """One block's crop coordinates (crops, J, D) back in the image, averaged."""
    points = [t.to_image(p[:, :2].astype(np.float64)) for t, p in zip(transforms, pose, strict=True)]
    z = pose[..., 2].mean(0) if pose.shape[-1] == 3 else None
    return Prediction(view.name, np.mean(points, 0), visibility.mean(0), z, layout, box)
