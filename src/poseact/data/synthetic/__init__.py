"""Synthetic figures: clothed, articulated people on cluttered backgrounds, with exact answers.

    motion.py       random plausible poses: 3D joints of a full-body layout, metres
    body.py         a person's build and clothes, posed on those joints as rounded cones
    renderer.py     cones under a camera: image, depth, mask (numba)
    background.py   clutter behind the figure and the camera's flaws over both

The four know nothing of each other but the arrays that they pass on. Needs the extra
``poseact[synthetic]``; importing it without numba raises ``poseact.errors.UserError``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from poseact.data.images import InMemory
from poseact.data.synthetic.background import photographed, random_background
from poseact.data.synthetic.body import Primitives, posed, random_body, thickness
from poseact.data.synthetic.motion import random_pose
from poseact.data.synthetic.renderer import Light, render
from poseact.data.synthetic.rig import FIGURE
from poseact.geometry import Box, Camera
from poseact.skeleton import PA16, mapping
from poseact.structures import Sample

FloatArray = npt.NDArray[np.float64]

OCCLUSION_MARGIN_M = 0.03
_CUT_OFF_SHARE = 0.1
_PA16 = mapping(FIGURE, PA16)


@dataclass(frozen=True)
class Labelled:
    """A sample and all that the renderer knows about it.

    - ``sample``: what a training sees.
    - ``camera``; ``world`` (22, 3): joints of `rig.FIGURE` in metres.
    - ``depth`` (S, S) float32: metres along the camera's axis, inf on the background.
    - ``mask`` (S, S) bool: the person's pixels.
    - ``radius`` (16,): that of the limb or trunk at each joint of the sample, metres.
    - ``occluded`` (16,) bool: the surface seen at the joint's pixel is nearer than the joint
      by more than ``radius`` and `OCCLUSION_MARGIN_M`; False outside the image.
    """

    sample: Sample
    camera: Camera
    world: FloatArray
    depth: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    radius: FloatArray
    occluded: npt.NDArray[np.bool_]


class SyntheticFigures:
    """``count`` samples of ``size`` x ``size`` pixels; as many as one likes.

    Sample i depends on (seed, i) alone. The joints are PA16, all valid, some outside the
    image where the person is cut off.
    """

    layout = PA16

    def __init__(self, count: int, size: int = 128, seed: int = 0) -> None:
        if count < 0 or size < 16 or seed < 0:
            raise ValueError(f"expected count >= 0, size >= 16, seed >= 0, got {count}, {size}, {seed}")
        self.count, self.size, self.seed = count, size, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        """Sample ``index`` in [0, count); raises ``IndexError`` outside."""
        return self.labelled(index).sample

    def labelled(self, index: int) -> Labelled:
        """The same sample with camera, depth map, mask and occlusion."""
        if not 0 <= index < self.count:
            raise IndexError(f"synthetic figures: expected an index in [0, {self.count}), got {index}")
        rng = np.random.default_rng((self.seed, index))
        world = random_pose(rng)
        figure = posed(random_body(rng), world)
        camera = random_camera(rng, world, self.size)
        seen = render(figure, camera, _random_light(rng), random_background(rng, self.size))
        image = photographed(rng, seen.image)
        sample = _sample(rng, image, camera, world, f"synthetic {self.seed}/{index}")
        radius, occluded = _occlusion(sample, figure, camera, world, seen.depth)
        return Labelled(sample, camera, world, seen.depth, seen.mask, radius, occluded)


def random_camera(rng: np.random.Generator, world: FloatArray, size: int) -> Camera:
    """A camera that frames the joints ``world`` (J, 3): mostly level, from the front as
    photographers do, seldom from behind.

    The person fills about 0.5 to 0.7 of the image, more where it is cut off. The image counts
    as cut out of a larger one, so its centre is not the optical axis.
    """
    middle = (world.min(0) + world.max(0)) / 2
    azimuth, elevation = rng.normal(0, np.deg2rad(60)), np.deg2rad(rng.normal(8, 14))
    distance = rng.uniform(2.2, 8)
    towards = np.array([
        np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)
    ])  # fmt: skip
    position = middle + distance * towards
    position[1] = max(position[1], 0.1)  # above the floor
    rotation = _looking(middle - position, np.deg2rad(rng.normal(0, 5)))
    flat = Camera(rotation, position, np.ones(2), np.zeros(2)).project(world)
    low, high = flat.min(0), flat.max(0)
    cut_off = rng.random() < _CUT_OFF_SHARE
    share = rng.uniform(0.75, 1.15) if cut_off else rng.uniform(0.5, 0.7)
    focal = share * size / max(float((high - low).max()), 1e-3)
    play = 0.25 if cut_off else 0.45 * (0.9 - share)
    shift = rng.uniform(-play, play, 2) * size
    centre = (size - 1) / 2 + shift - focal * (low + high) / 2
    return Camera(rotation, position, np.full(2, focal), centre)


def _looking(direction: FloatArray, roll: float) -> FloatArray:
    """Rotation (3, 3) of a camera that looks along ``direction``, rolled by radians."""
    forward = direction / np.linalg.norm(direction)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    return np.array([c * right + s * down, c * down - s * right, forward])


def _random_light(rng: np.random.Generator) -> Light:
    """From above and mostly from the camera's side."""
    direction = np.array([rng.normal(0, 0.8), -rng.uniform(0.1, 1.2), -rng.uniform(0, 1)])
    return Light(direction / np.linalg.norm(direction), rng.uniform(0.3, 0.7))


def _sample(
    rng: np.random.Generator, image: npt.NDArray[np.uint8], camera: Camera, world: FloatArray, name: str
) -> Sample:
    points = world[_PA16]
    pixels, depth = camera.project(points), camera.to_camera(points)[:, 2]
    root = depth[PA16.index("pelvis")]
    low, high = pixels.min(0), pixels.max(0)
    x, y = (low + high) / 2
    return Sample(
        frames=InMemory((image,)),
        joints=np.column_stack([pixels, (depth - root) * 1000]),
        valid=np.ones(len(PA16), bool),
        depth_valid=np.ones(len(PA16), bool),
        layout=PA16,
        box=Box((float(x), float(y)), float((high - low).max() * rng.uniform(1.3, 1.45))),
        metres_per_pixel=float(root / camera.focal[0]),
        name=name,
    )


def _occlusion(
    sample: Sample, figure: Primitives, camera: Camera, world: FloatArray, depth: npt.NDArray[np.float32]
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    points = world[_PA16]
    radius = thickness(figure, points)
    column, row = np.round(sample.joints[:, :2]).astype(int).T
    within = (column >= 0) & (column < depth.shape[1]) & (row >= 0) & (row < depth.shape[0])
    surface = np.full(len(points), np.inf)
    surface[within] = depth[row[within], column[within]]
    hidden = camera.to_camera(points)[:, 2] > surface + radius + OCCLUSION_MARGIN_M
    return radius, hidden
