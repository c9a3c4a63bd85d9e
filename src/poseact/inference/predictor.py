"""The full chain: image and box to crop, network, and back to the image's pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from poseact.export.network import ExportedNetwork
from poseact.geometry import Box, CropTransform, crop_transform, whole_image_box
from poseact.inference.device import make_graphed, pick_precision
from poseact.inference.fold import folded, keep_blocks, to_bf16
from poseact.inference.uncertainty import Calibration, calibrated, map_covariance
from poseact.network import MultitaskNetwork, to_input
from poseact.network.action import joint_features
from poseact.network.soft_argmax import soft_max_2d
from poseact.results import Rows
from poseact.skeleton import Layout
from poseact.structures import PoseOutput, Prediction

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


@dataclass(frozen=True)
class CropAnswers:
    """What the last block answers for n crops, and what the action heads read of them.

    - ``pose`` (n, J, D), D = 2 or 3, crop coordinates; ``visibility`` (n, J) in [0, 1].
    - ``covariance`` (n, J, 2, 2) of the heat maps in crop units, not calibrated.
    - ``features`` (n, C, J): the visual features at the joints; None without actions.
    """

    pose: Tensor
    visibility: Tensor
    covariance: Tensor
    features: Tensor | None

    def __len__(self) -> int:
        return len(self.pose)

    def __getitem__(self, some: slice) -> CropAnswers:
        features = None if self.features is None else self.features[some]
        return CropAnswers(self.pose[some], self.visibility[some], self.covariance[some], features)


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


def ready(
    network: MultitaskNetwork, device: torch.device, blocks: int | None = None, precision: str = "auto"
) -> MultitaskNetwork:
    """A copy to predict with: evaluation mode, batch norm folded, channels-last, on ``device``.

    - ``blocks``: only the first so many prediction blocks are computed, and the last of them answers; all
      where None.
    - ``precision``: fp32; bf16 for the convolutions; or auto: bf16 where that is faster on the device.

    Frames are given in float32 all the same. On a GPU ``estimate`` runs as CUDA graphs. An exported network
    stays as it was exported. Raises `UserError` on blocks or a precision that are not to be had.
    """
    if isinstance(network, ExportedNetwork):
        return network.at(blocks, precision)
    copy = folded(network).float()
    if blocks is not None:
        keep_blocks(copy, blocks)
    if pick_precision(device, precision) == "bf16":
        to_bf16(copy)
    copy.to(device=device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cuda":
        make_graphed(copy)
    return copy


def answering_block(network: MultitaskNetwork) -> int:
    """The number, from 1, of the block that answers in a network that is `ready`."""
    return network.export.block if isinstance(network, ExportedNetwork) else len(network.blocks)


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


def answer_crops(network: MultitaskNetwork, crops: npt.NDArray[np.uint8]) -> CropAnswers:
    """The last block's answers for crops (n, S, S, 3), n > 0, by a network that is `ready`."""
    device = next(network.parameters()).device
    parts: list[CropAnswers] = []
    for start in range(0, len(crops), BATCH):
        frames = to_input(torch.from_numpy(crops[start : start + BATCH]).to(device))
        blocks, features = _estimated(network, frames)
        last = blocks[-1]
        read = joint_features(features, soft_max_2d(last.heat_maps)).float() if network.actions else None
        covariance = map_covariance(last.heat_maps)
        parts.append(CropAnswers(last.pose.float(), last.visibility.float(), covariance, read))
    return CropAnswers(
        torch.cat([part.pose for part in parts]),
        torch.cat([part.visibility for part in parts]),
        torch.cat([part.covariance for part in parts]),
        torch.cat(at_joints)
        if (at_joints := [p.features for p in parts if p.features is not None])
        else None,
    )


def answer_blocks(network: MultitaskNetwork, crops: npt.NDArray[np.uint8]) -> list[CropAnswers]:
    """The answers of every block, first to last, without features: see `answer_crops`."""
    device = next(network.parameters()).device
    parts: list[list[CropAnswers]] = []
    for start in range(0, len(crops), BATCH):
        blocks, _ = _estimated(network, to_input(torch.from_numpy(crops[start : start + BATCH]).to(device)))
        parts.append(
            [
                CropAnswers(b.pose.float(), b.visibility.float(), map_covariance(b.heat_maps), None)
                for b in blocks
            ]
        )
    return [
        CropAnswers(
            torch.cat([part.pose for part in block]),
            torch.cat([part.visibility for part in block]),
            torch.cat([part.covariance for part in block]),
            None,
        )
        for block in zip(*parts, strict=True)
    ]


def rows_of(
    answers: CropAnswers, boxes: Sequence[Box], kind: np.dtype[np.void], calibration: Calibration
) -> Rows:
    """Rows (n,) of crops in these boxes, as far as one frame tells: box, joints, visibility, covariance."""
    rows = np.zeros(len(boxes), kind)
    pose = answers.pose.double().cpu().numpy()
    places = calibrated(answers.covariance.double().cpu().numpy(), calibration)
    for row, box, points, covariance in zip(rows, boxes, pose, places, strict=True):
        row["box"] = (*box.centre, box.side)
        row["joints"] = crop_transform(box, 1).to_image(points[:, :2])
        row["covariance"] = covariance * box.side**2
    rows["visibility"] = answers.visibility.cpu().numpy()
    return rows


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
        parts.append(_poses(network, frames))
        if flip:
            mirrored = _poses(network, frames.flip(-1))
            parts[-1] = [
                _mean(one, _unmirrored(two, layout)) for one, two in zip(parts[-1], mirrored, strict=True)
            ]
    blocks = zip(*parts, strict=True)
    return [
        (torch.cat([p for p, _ in block]).cpu().numpy(), torch.cat([v for _, v in block]).cpu().numpy())
        for block in blocks
    ]


def _poses(network: MultitaskNetwork, frames: Tensor) -> list[tuple[Tensor, Tensor]]:
    blocks, _ = _estimated(network, frames)
    return [(block.pose.float(), block.visibility.float()) for block in blocks]


def _estimated(network: MultitaskNetwork, frames: Tensor) -> tuple[tuple[PoseOutput, ...], Tensor]:
    with torch.inference_mode():
        return network.estimate(frames.contiguous(memory_format=torch.channels_last))


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
