"""From an annotated person to what the network is trained on: crop, joints, masks (App. B)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from poseact.geometry import CropTransform, FloatArray, crop_scale, crop_transform, depth_to_z
from poseact.skeleton import Layout, convert
from poseact.structures import Sample


@dataclass(frozen=True)
class Augmentation:
    """Ranges to draw from, uniformly; the defaults are those of App. B.

    ``rotation``: largest turn in degrees, either way. ``scale``: of the crop's side.
    ``shift``: largest in pixels of a 256 px crop, along each axis. ``flip``: mirror half of
    the samples. ``colour``: range of the power that each channel, in [0, 1], is raised to
    (the authors' code: .9 to 1.1).
    """

    rotation: float = 45.0
    scale: tuple[float, float] = (0.7, 1.3)
    shift: float = 40.0
    flip: bool = True
    colour: tuple[float, float] = (1.0, 1.0)


class Example(TypedDict):
    """One crop ready for the network, as numpy arrays; batches stack them.

    - ``frames`` (S, S, 3) uint8.
    - ``pose`` (J, 3) float32, crop coordinates and z; 0 where masked.
    - ``valid`` (J,) bool: annotated and inside the crop: x and y are supervised.
    - ``depth_valid`` (J,) bool: z is supervised too.
    - ``visible`` (J,) float32: 1 inside the crop, 0 outside (P 5.2); ``visible_known`` (J,)
      bool: whether the joint is annotated at all.
    - ``readable``: False for the stand-in of a damaged sample, in which nothing is supervised.
    """

    frames: npt.NDArray[np.uint8]
    pose: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    depth_valid: npt.NDArray[np.bool_]
    visible: npt.NDArray[np.float32]
    visible_known: npt.NDArray[np.bool_]
    readable: bool


def draw_transform(
    sample: Sample, size: int, augmentation: Augmentation | None, rng: np.random.Generator
) -> CropTransform:
    """The crop of one draw; without an augmentation, the sample's own box."""
    if augmentation is None:
        return crop_transform(sample.box, size)
    a = augmentation
    shift = rng.uniform(-a.shift, a.shift, 2) * size / 256
    return crop_transform(
        sample.box,
        size,
        rotation=rng.uniform(-a.rotation, a.rotation),
        scale=rng.uniform(*a.scale),
        shift=(shift[0], shift[1]),
        flip=a.flip and bool(rng.random() < 0.5),
    )


def colour_power(
    image: npt.NDArray[np.uint8], power: tuple[float, float], rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Raise each channel, in [0, 1], to a power drawn from the range."""
    table = (np.arange(256)[:, None] / 255) ** rng.uniform(*power, 3)
    levels = np.rint(table * 255).astype(np.uint8)
    return np.take_along_axis(levels, image.reshape(-1, 3).astype(np.intp), 0).reshape(image.shape)


def example(
    sample: Sample,
    layout: Layout,
    size: int,
    augmentation: Augmentation | None,
    rng: np.random.Generator,
) -> Example:
    """Crop ``sample`` to ``size`` pixels with its joints in ``layout``."""
    transform = draw_transform(sample, size, augmentation, rng)
    frames = transform.warp(sample.image)
    if augmentation is not None and augmentation.colour != (1.0, 1.0):
        frames = colour_power(frames, augmentation.colour, rng)
    joints = convert(sample.joints, sample.layout, layout)
    valid, depth_valid = (convert(v, sample.layout, layout) for v in (sample.valid, sample.depth_valid))
    pose = np.column_stack([transform.to_crop(joints[:, :2]), _z(joints[:, 2], sample, transform)])
    if transform.flip:
        pose, valid, depth_valid = pose[layout.flip], valid[layout.flip], depth_valid[layout.flip]
    inside = ((pose[:, :2] >= 0) & (pose[:, :2] <= 1)).all(1)
    known = valid
    valid, depth_valid = valid & inside, depth_valid & inside
    pose[~valid] = 0
    pose[~depth_valid, 2] = 0
    return Example(
        frames=frames,
        pose=pose.astype(np.float32),
        valid=valid,
        depth_valid=depth_valid,
        visible=(known & inside).astype(np.float32),
        visible_known=known,
        readable=True,
    )


def blank(size: int, joints: int) -> Example:
    """The stand-in for a damaged sample: nothing in it is supervised."""
    none = np.zeros(joints, np.bool_)
    return Example(
        frames=np.zeros((size, size, 3), np.uint8),
        pose=np.zeros((joints, 3), np.float32),
        valid=none,
        depth_valid=none,
        visible=np.zeros(joints, np.float32),
        visible_known=none,
        readable=False,
    )


def _z(depth_mm: FloatArray, sample: Sample, transform: CropTransform) -> FloatArray:
    if sample.metres_per_pixel is None:
        return np.zeros_like(depth_mm)
    side = 1 / np.sqrt(abs(np.linalg.det(transform.matrix[:, :2])))
    return depth_to_z(depth_mm, crop_scale(side * sample.metres_per_pixel))
