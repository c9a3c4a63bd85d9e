"""From an annotated person to what the network is trained on: crop, joints, masks (App. B)."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from poseact.geometry import Box, CropTransform, FloatArray, crop_scale, crop_transform, depth_to_z
from poseact.skeleton import Layout, convert
from poseact.structures import BoolArray, Clip, Sample


@dataclass(frozen=True)
class Augmentation:
    """Ranges to draw from, uniformly; one draw a clip. The defaults are those of App. B.

    - ``rotation``: largest turn in degrees, either way.
    - ``scale``: of the crop's side; ``scales``: draw from these values instead.
    - ``shift``: largest along x and y, in pixels of a 256 px crop.
    - ``strides``: of the frames of a clip. ``flip``: mirror half of the samples.
    - ``power``: range of the power that each channel, in [0, 1], is raised to.
    """

    rotation: float = 45.0
    scale: tuple[float, float] = (0.7, 1.3)
    scales: tuple[float, ...] = ()
    shift: tuple[float, float] = (40.0, 40.0)
    strides: tuple[int, ...] = (1, 2, 3)
    flip: bool = True
    power: tuple[float, float] = (1.0, 1.0)


def _released(
    rotation: float, scales: tuple[float, ...], shift: tuple[float, float], strides: tuple[int, ...] = (1,)
) -> Augmentation:
    return Augmentation(rotation, (min(scales), max(scales)), scales, shift, strides, power=(0.9, 1.1))


AUGMENTATIONS = {
    "paper": Augmentation(),
    "released-mpii": _released(40, (0.7, 1.0, 1.3), (0, 0)),
    "released-human36m": _released(10, (0.8, 1.0, 1.2), (0, 0)),
    "released-penn-pose": _released(30, (0.7, 1.0, 1.3, 2.5), (40, 40), (1, 2)),
    "released-penn-action": _released(30, (0.7, 1.0, 1.3), (40, 40), (1, 2, 3)),
    "released-ntu-pose": _released(15, (0.8, 1.0, 1.2, 2.0), (40, 10), (1, 2, 4)),
    "released-ntu-action": _released(0, (0.7, 1.0, 1.3), (40, 40), (1, 2, 3)),
}
"""The paper's ranges (App. B), and those of the authors' code, which differ by training."""


class Example(TypedDict):
    """One crop, or the crops of one clip, ready for the network, as numpy arrays; batches stack them.

    - ``frames`` ([T,] S, S, 3) uint8; ``power`` (3,) float32: see `network.to_input`.
    - ``pose`` ([T,] J, 3) float32, crop coordinates and z; 0 where not known, or outside the crop.
    - ``valid`` ([T,] J) bool: annotated and inside the crop: x and y are supervised.
    - ``depth_valid`` ([T,] J) bool: z is supervised too: known, and in [0, 1], where a network can answer.
    - ``visible`` ([T,] J) float32: 1 inside the crop, 0 outside (P 5.2); ``visible_known``
      ([T,] J) bool: whether the joint is annotated at all.
    - ``action`` int64, and whether it is known: ``action_known``.
    - ``readable``: False for the stand-in of a damaged sample, in which nothing is supervised.
    """

    frames: npt.NDArray[np.uint8]
    power: npt.NDArray[np.float32]
    pose: npt.NDArray[np.float32]
    valid: BoolArray
    depth_valid: BoolArray
    visible: npt.NDArray[np.float32]
    visible_known: BoolArray
    action: int
    action_known: bool
    readable: bool


def middle_stride(augmentation: Augmentation) -> int:
    """The stride that clips are recognised at after training with these, where nothing else is asked for."""
    return statistics.median_high(augmentation.strides)


def draw_transform(
    box: Box, size: int, augmentation: Augmentation | None, rng: np.random.Generator
) -> CropTransform:
    """The crop of one draw; without an augmentation, the box itself."""
    if augmentation is None:
        return crop_transform(box, size)
    a = augmentation
    x, y = rng.uniform(-1, 1, 2) * a.shift * size / 256
    return crop_transform(
        box,
        size,
        rotation=rng.uniform(-a.rotation, a.rotation),
        scale=float(rng.choice(a.scales)) if a.scales else rng.uniform(*a.scale),
        shift=(x, y),
        flip=a.flip and bool(rng.random() < 0.5),
    )


def example(
    person: Sample | Clip,
    layout: Layout,
    size: int,
    augmentation: Augmentation | None,
    rng: np.random.Generator,
    mirrored: Sequence[int] = (),
) -> Example:
    """Crop a person to ``size`` pixels with the joints in ``layout``; a clip by one draw.

    ``mirrored``: which action each one is in a mirror (`actions.mirrored_actions`); all the same where empty.
    Raises `UserError` where a frame cannot be read.
    """
    transform = draw_transform(person.box, size, augmentation, rng)
    power = np.ones(3) if augmentation is None else rng.uniform(*augmentation.power, 3)
    action = shown_action(person, transform, mirrored)
    pose, valid, depth_valid, known = _labels(person, layout, transform)
    return Example(
        frames=_crops(person, transform),
        power=power.astype(np.float32),
        pose=pose,
        valid=valid,
        depth_valid=depth_valid,
        visible=valid.astype(np.float32),  # known and inside
        visible_known=known,
        action=action or 0,
        action_known=action is not None,
        readable=True,
    )


def blank(size: int, joints: int, frames: int | None) -> Example:
    """The stand-in for a damaged sample, or a clip of ``frames``: nothing in it is supervised."""
    lead = () if frames is None else (frames,)
    none = np.zeros((*lead, joints), np.bool_)
    return Example(
        frames=np.zeros((*lead, size, size, 3), np.uint8),
        power=np.ones(3, np.float32),
        pose=np.zeros((*lead, joints, 3), np.float32),
        valid=none,
        depth_valid=none,
        visible=np.zeros((*lead, joints), np.float32),
        visible_known=none,
        action=0,
        action_known=False,
        readable=False,
    )


def _crops(person: Sample | Clip, transform: CropTransform) -> npt.NDArray[np.uint8]:
    if isinstance(person, Sample):
        image, reduced = person.image(transform.reduction())
        return transform.warp(image, reduced)
    images, reduced = person.frames.read(person.indices.tolist(), transform.reduction())
    return np.stack([transform.warp(image, reduced) for image in images])


def _labels(
    person: Sample | Clip, layout: Layout, transform: CropTransform
) -> tuple[npt.NDArray[np.float32], BoolArray, BoolArray, BoolArray]:
    """Pose and masks ([T,] J, ...): pose, valid, depth valid, annotated at all."""
    pose, known, depth_valid = placed(person, layout, transform)
    inside = np.logical_and.reduce((pose[..., :2] >= 0) & (pose[..., :2] <= 1), axis=-1)
    reached = (pose[..., 2] >= 0) & (pose[..., 2] <= 1)
    valid = known & inside
    measured = valid & depth_valid
    pose[~valid] = 0
    pose[~measured, 2] = 0
    return pose.astype(np.float32), valid, measured & reached, known


def shown_action(person: Sample | Clip, transform: CropTransform, mirrored: Sequence[int]) -> int | None:
    """The index of the action that crops show, None where it is not known. ``mirrored``: see `example`."""
    action = person.action if isinstance(person, Clip) else None
    if action is not None and transform.flip and mirrored:
        return mirrored[action]
    return action


def placed(
    person: Sample | Clip, layout: Layout, transform: CropTransform
) -> tuple[FloatArray, BoolArray, BoolArray]:
    """The joints in a crop, wherever they are.

    Returns the pose ([T,] J, 3) in crop coordinates and z, and whether each joint, and its depth, is
    annotated, both ([T,] J).
    """
    joints = convert(person.joints, person.layout, layout, axis=-2)
    valid = convert(person.valid, person.layout, layout, axis=-1)
    depth_valid = convert(person.depth_valid, person.layout, layout, axis=-1)
    pose = np.concatenate([transform.to_crop(joints[..., :2]), _z(joints[..., 2:], person, transform)], -1)
    if transform.flip:
        flip = layout.flip
        pose, valid, depth_valid = pose[..., flip, :], valid[..., flip], depth_valid[..., flip]
    return pose, valid, depth_valid


def _z(depth_mm: FloatArray, person: Sample | Clip, transform: CropTransform) -> FloatArray:
    """z ([T,] J, 1) of depths ([T,] J, 1)."""
    if person.metres_per_pixel is None:
        return np.zeros_like(depth_mm)
    metres = np.asarray(person.metres_per_pixel)[..., None, None]
    return depth_to_z(depth_mm, crop_scale(transform.window * metres))
