"""The one coordinate convention, the one crop transform, and the camera.

Pixels: (0, 0) is the centre of the top-left pixel, x to the right, y down.
Crop coordinates: [0, 1] over the crop's edges, ``x = (column + 0.5) / size``; a heat-map
cell i of n has its centre at (i + 0.5) / n. These lines decide every half pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]

DEPTH_RANGE_MM = 2000.0
"""Depth that z = 0..1 spans in a crop of scale 1 (PAPER: Human3.6M's rule)."""
REFERENCE_SIDE_M = 2.25
"""Side in metres, at the root's depth, of a crop of scale 1."""
UNDISTORT_STEPS = 30


@dataclass(frozen=True)
class Box:
    """A square in an image: ``centre`` (x, y) in pixels, ``side`` in pixels, > 0."""

    centre: tuple[float, float]
    side: float

    def __post_init__(self) -> None:
        if not (all(map(math.isfinite, (*self.centre, self.side))) and self.side > 0):
            raise ValueError(f"expected a finite centre and a side > 0, got {self.centre}, {self.side}")


def enclosing_box(boxes: FloatArray) -> Box:
    """The square around squares (n, 3): centre x and y, side; rows that are not finite are left out.

    As the authors join the boxes of a clip: the union of their edges, widened to a square.
    Raises ``ValueError`` where no row is finite.
    """
    known = boxes[np.isfinite(boxes).all(1)]
    if not len(known):
        raise ValueError("expected at least one box, got none")
    low = (known[:, :2] - known[:, 2:] / 2).min(0)
    high = (known[:, :2] + known[:, 2:] / 2).max(0)
    x, y = (low + high) / 2
    return Box((float(x), float(y)), float((high - low).max()))


def whole_image_box(width: int, height: int) -> Box:
    """The image padded to a square; edges lie half a pixel outside the outer pixel centres."""
    return Box(((width - 1) / 2, (height - 1) / 2), float(max(width, height)))


@dataclass(frozen=True)
class CropTransform:
    """Rotation, scale, shift and flip from image pixels to a square crop, as one affine map.

    ``matrix`` (2, 3) takes pixels to crop coordinates in [0, 1]; ``size`` is the crop's side
    in pixels; ``flip`` says that the crop is mirrored, so sides change names (`Layout.flip`).
    """

    matrix: FloatArray
    size: int
    flip: bool = False

    def to_crop(self, points: FloatArray) -> FloatArray:
        """Pixels (..., 2) to crop coordinates (..., 2)."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def to_image(self, points: FloatArray) -> FloatArray:
        """Crop coordinates (..., 2) back to pixels (..., 2): the one inverse."""
        return (points - self.matrix[:, 2]) @ np.linalg.inv(self.matrix[:, :2]).T

    @property
    def window(self) -> float:
        """Side of the crop in pixels of the image."""
        return 1 / math.hypot(*self.matrix[:, 0].tolist())

    def reduction(self) -> int:
        """By how much the image may be decoded smaller (1, 2, 4 or 8) without the crop showing it."""
        whole = int(self.window / self.size * (1 + 1e-12))
        return min(8, 1 << max(0, whole.bit_length() - 1))

    def warp(self, image: npt.NDArray[np.uint8], reduced: int = 1) -> npt.NDArray[np.uint8]:
        """Cut the crop (size, size, 3) out of ``image`` (H, W, 3); black outside it.

        ``reduced``: by how much the image was decoded smaller than the pixels that the map takes.
        A crop that shrinks the image by two or more is averaged down first, against aliasing.
        """
        pixels = self.size * self.matrix
        pixels[:, 2] -= 0.5
        if reduced > 1:  # pixel x of the reduced image has its centre at r x + (r - 1) / 2
            pixels[:, 2] += pixels[:, :2].sum(1) * (reduced - 1) / 2
            pixels[:, :2] *= reduced
        while np.hypot(pixels[0, 0], pixels[1, 0]) <= 0.5 and min(image.shape[:2]) >= 2:
            # Halving maps pixel x to (x - 0.5) / 2, so the affine map takes 2 x + 0.5.
            image = _halved(image)
            pixels = np.column_stack([2 * pixels[:, :2], pixels[:, 2] + 0.5 * pixels[:, :2].sum(1)])
        # OpenCV warps four channels twice as fast as three, and to the same numbers.
        four = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
        crop = cv2.warpAffine(four, pixels, (self.size, self.size), flags=cv2.INTER_LINEAR)
        return np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGBA2RGB), np.uint8)


def _halved(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    height, width = (n // 2 * 2 for n in image.shape[:2])
    return cv2.resize(image[:height, :width], (width // 2, height // 2), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def crop_transform(
    box: Box,
    size: int,
    *,
    rotation: float = 0.0,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    flip: bool = False,
) -> CropTransform:
    """The map of an augmented crop (App. B), in this order around the box's centre.

    ``shift`` moves the window by crop pixels along the image's axes; ``scale`` enlarges the
    window, so the person shrinks; ``rotation`` turns what is seen by degrees, clockwise as
    displayed; ``flip`` mirrors the result left to right.
    """
    if scale <= 0 or size <= 0:
        raise ValueError(f"expected scale > 0 and size > 0, got {scale} and {size}")
    side, pixel = box.side * scale, box.side / size
    x, y = box.centre[0] + shift[0] * pixel, box.centre[1] + shift[1] * pixel
    cosine, sine = math.cos(math.radians(rotation)) / side, math.sin(math.radians(rotation)) / side
    across, down = (-cosine, sine) if flip else (cosine, -sine), (sine, cosine)
    rows = [[*row, 0.5 - row[0] * x - row[1] * y] for row in (across, down)]
    return CropTransform(np.array(rows), size, flip)


def crop_scale(side_m: FloatArray) -> FloatArray:
    """Scale of crops whose side measures ``side_m`` metres at the root's depth."""
    return side_m / REFERENCE_SIDE_M


def depth_to_z(depth_mm: FloatArray, scale: FloatArray | float) -> FloatArray:
    """Depth relative to the root in mm to the network's z (PAPER: 3D)."""
    return 0.5 + depth_mm / (DEPTH_RANGE_MM * scale)


def z_to_depth(z: FloatArray, scale: FloatArray | float) -> FloatArray:
    """The network's z to depth relative to the root in mm."""
    return (z - 0.5) * DEPTH_RANGE_MM * scale


@dataclass(frozen=True)
class Camera:
    """A camera with lens distortion: ``x_camera = rotation @ (x_world - position)``, z forward, y down.

    ``rotation`` (3, 3), ``position`` (3,) in metres, ``focal`` and ``centre`` (2,) in pixels,
    ``radial`` (3,) and ``tangential`` (2,) as Human3.6M's k and p; none by default.
    """

    rotation: FloatArray
    position: FloatArray
    focal: FloatArray
    centre: FloatArray
    radial: FloatArray = field(default_factory=lambda: np.zeros(3))
    tangential: FloatArray = field(default_factory=lambda: np.zeros(2))

    def to_camera(self, points: FloatArray) -> FloatArray:
        """World (..., 3) to camera coordinates (..., 3), metres."""
        return (points - self.position) @ self.rotation.T

    def to_world(self, points: FloatArray) -> FloatArray:
        """Camera (..., 3) to world coordinates (..., 3), metres."""
        return points @ self.rotation + self.position

    def project(self, points: FloatArray) -> FloatArray:
        """World points (..., 3) in metres to pixels (..., 2)."""
        seen = self.to_camera(points)
        xy = seen[..., :2] / seen[..., 2:]
        gain, shift = self._distortion(xy)
        return (xy * gain + shift) * self.focal + self.centre

    def back_project(
        self, pixels: FloatArray, depth_m: FloatArray, steps: int = UNDISTORT_STEPS
    ) -> FloatArray:
        """Pixels (..., 2) at depths (...,) in metres to world points (..., 3).

        The distortion is undone by fixed-point ``steps``, exact for lenses such as Human3.6M's;
        1 is the authors' inverse (protocol ``released``).
        """
        seen = (pixels - self.centre) / self.focal
        xy = seen
        for _ in range(steps):
            gain, shift = self._distortion(xy)
            xy = (seen - shift) / gain
        return self.to_world(np.concatenate([xy, np.ones_like(xy[..., :1])], -1) * depth_m[..., None])

    def _distortion(self, xy: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gain (..., 1) and shift (..., 2) of a point on the plane z = 1, by Human3.6M's model."""
        r2 = (xy**2).sum(-1, keepdims=True)
        radial = 1 + r2 ** np.arange(1, 4) @ self.radial[:, None]
        return radial + xy @ self.tangential[:, None], r2 * self.tangential
