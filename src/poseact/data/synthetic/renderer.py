"""A software rasteriser of rounded cones: exact rays, z-buffer, Lambert shading, patterns.

A rounded cone is the hull of two spheres. Every pixel is seen through SAMPLES x SAMPLES rays,
whose mean makes smooth outlines.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, floor, hypot, inf, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from poseact.data.synthetic.body import CHECKS, PLAIN, RINGS, Primitives
from poseact.errors import UserError
from poseact.geometry import Camera

try:
    from numba import njit
except ImportError as error:
    raise UserError(
        "synthetic figures: expected the package numba, found none; pip install 'poseact[synthetic]'"
    ) from error

FloatArray = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

SAMPLES = 2
_NEAR = 0.05
"""Metres in front of the camera where the view begins."""


@dataclass(frozen=True)
class Light:
    """``direction`` (3,): unit vector towards the light, camera axes; ``ambient`` in [0, 1]."""

    direction: FloatArray
    ambient: float


@dataclass(frozen=True)
class Rendering:
    """What the camera sees at S x S pixels.

    - ``image`` (S, S, 3) uint8 RGB, the figure over the background.
    - ``depth`` (S, S) float32: metres along the camera's axis to the nearest surface that a
      ray of the pixel meets; inf on the background.
    - ``mask`` (S, S) bool: some ray of the pixel meets the figure.
    """

    image: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]


def render(
    primitives: Primitives, camera: Camera, light: Light, background: npt.NDArray[np.uint8]
) -> Rendering:
    """Draw the figure under ``camera`` over ``background`` (S, S, 3) uint8 RGB.

    Raises ``ValueError`` where the background is not square.
    """
    size = background.shape[0]
    if background.shape != (size, size, 3):
        raise ValueError(f"background: expected (S, S, 3), got {background.shape}")
    start, end = camera.to_camera(primitives.start), camera.to_camera(primitives.end)
    # Sub-pixel (row, column) / SAMPLES -> pixel coordinates, whose zero is a pixel's centre.
    focal = camera.focal * SAMPLES
    centre = (camera.centre + 0.5) * SAMPLES - 0.5
    fine = np.full((size * SAMPLES, size * SAMPLES), np.inf)
    owner = np.full(fine.shape, -1, np.int32)
    _fill(start, end, primitives.radii, focal, centre, fine, owner)
    image, depth = np.empty_like(background), np.full((size, size), np.inf, np.float32)
    _shade(
        start, end, primitives.radii, primitives.colours, primitives.pattern, primitives.period,
        focal, centre, light.direction, light.ambient, fine, owner, background, image, depth,
    )  # fmt: skip
    return Rendering(image, depth, np.isfinite(depth))


@njit(cache=True)
def _sphere(dx: float, dy: float, c: Array, radius: float) -> float:
    """Depth where the ray (dx, dy, 1) first meets a sphere; inf where it misses."""
    dd = dx * dx + dy * dy + 1
    dc = dx * c[0] + dy * c[1] + c[2]
    h = dc * dc - dd * (c[0] * c[0] + c[1] * c[1] + c[2] * c[2] - radius * radius)
    return (dc - sqrt(h)) / dd if h > 0 else inf


@njit(cache=True)
def _cone(dx: float, dy: float, a: Array, axis: Array, ra: float, rb: float) -> float:
    """Depth where the ray (dx, dy, 1) first meets the patch between the two spheres; inf.

    A point p lies on the patch where d2 |p - a|^2 = (axis . (p - a))^2 + ..., which is the
    quadratic k2 t^2 + 2 k1 t + k0 = 0, and its foot on the axis is between the ends.
    """
    rr = ra - rb
    m0 = axis[0] * axis[0] + axis[1] * axis[1] + axis[2] * axis[2]
    d2 = m0 - rr * rr
    if d2 <= 0:  # one sphere swallows the other
        return inf
    m1 = -(axis[0] * a[0] + axis[1] * a[1] + axis[2] * a[2])
    m2 = axis[0] * dx + axis[1] * dy + axis[2]
    m3 = -(dx * a[0] + dy * a[1] + a[2])
    m5 = a[0] * a[0] + a[1] * a[1] + a[2] * a[2]
    k2 = d2 * (dx * dx + dy * dy + 1) - m2 * m2
    k1 = d2 * m3 - m1 * m2 + m2 * rr * ra
    k0 = d2 * m5 - m1 * m1 + m1 * rr * ra * 2 - m0 * ra * ra
    h = k1 * k1 - k0 * k2
    if h < 0 or k2 == 0:
        return inf
    root = sqrt(h)
    best = inf
    for t in ((-root - k1) / k2, (root - k1) / k2):
        y = m1 - ra * rr + t * m2
        if 0 < y < d2 and t < best:
            best = t
    return best


@njit(cache=True)
def _extent(
    a: Array, b: Array, ra: float, rb: float, axis: int, focal: float, centre: float, size: int
) -> tuple[int, int]:
    """First and last-plus-one sub-pixel along x (0) or y (1) that the cone may cover."""
    low, high = inf, -inf
    for c, r in ((a, ra), (b, rb)):
        near, far = c[2] - r, c[2] + r
        if near < _NEAR:
            return 0, size
        low = min(low, (c[axis] - r) / near, (c[axis] - r) / far)
        high = max(high, (c[axis] + r) / near, (c[axis] + r) / far)
    first, last = floor(low * focal + centre), floor(high * focal + centre) + 2
    return max(0, min(size, first)), max(0, min(size, last))


@njit(cache=True)
def _fill(
    start: Array, end: Array, radii: Array, focal: Array, centre: Array, depth: Array, owner: Array
) -> None:
    """The z-buffer: nearest depth and the cone it belongs to."""
    size = depth.shape[0]
    for p in range(len(start)):
        a, b, ra, rb = start[p], end[p], radii[p, 0], radii[p, 1]
        axis = b - a
        left, right = _extent(a, b, ra, rb, 0, focal[0], centre[0], size)
        top, bottom = _extent(a, b, ra, rb, 1, focal[1], centre[1], size)
        for row in range(top, bottom):
            dy = (row - centre[1]) / focal[1]
            for column in range(left, right):
                dx = (column - centre[0]) / focal[0]
                t = min(_cone(dx, dy, a, axis, ra, rb), _sphere(dx, dy, a, ra), _sphere(dx, dy, b, rb))
                if _NEAR < t < depth[row, column]:
                    depth[row, column] = t
                    owner[row, column] = p


@njit(cache=True)
def _second_colour(pattern: int, along: float, around: float, period: float) -> bool:
    """Does the pattern show its second colour at these metres along and around the limb?"""
    if pattern == PLAIN:
        return False
    band = floor(along / period) % 2
    strip = floor(around / period) % 2
    if pattern == CHECKS:
        return bool(band != strip)
    return bool(band == 1) if pattern == RINGS else bool(strip == 1)


@njit(cache=True)
def _shade(
    start: Array, end: Array, radii: Array, colours: Array, pattern: Array, period: Array,
    focal: Array, centre: Array, light: Array, ambient: float,
    fine: Array, owner: Array, background: Array, image: Array, depth: Array,
) -> None:  # fmt: skip
    """Fill ``image`` with the mean colour of each pixel's rays and ``depth`` with their nearest."""
    colour = np.empty(3)
    share = 1.0 / (SAMPLES * SAMPLES)
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            colour[:] = 0.0
            for v in range(row * SAMPLES, (row + 1) * SAMPLES):
                for u in range(column * SAMPLES, (column + 1) * SAMPLES):
                    p, t = owner[v, u], fine[v, u]
                    if p < 0:
                        for k in range(3):
                            colour[k] += background[row, column, k]
                        continue
                    depth[row, column] = min(depth[row, column], t)
                    x, y = (u - centre[0]) / focal[0] * t, (v - centre[1]) / focal[1] * t
                    lit, second = _surface(
                        x, y, t, start[p], end[p], radii[p, 0], radii[p, 1], pattern[p], period[p], light
                    )
                    for k in range(3):
                        colour[k] += 255 * colours[p, int(second), k] * (ambient + (1 - ambient) * lit)
            for k in range(3):
                image[row, column, k] = min(255.0, colour[k] * share + 0.5)


@njit(cache=True)
def _surface(
    x: float, y: float, z: float, a: Array, b: Array, ra: float, rb: float,
    pattern: int, period: float, light: Array,
) -> tuple[float, bool]:  # fmt: skip
    """Lambert's cosine in [0, 1] and the pattern's choice at a point of the cone's surface."""
    ax, ay, az = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    px, py, pz = x - a[0], y - a[1], z - a[2]
    rr = ra - rb
    length2 = ax * ax + ay * ay + az * az
    dot = ax * px + ay * py + az * pz
    # The point's normal comes from the sphere that touches the surface there.
    share = 0.0 if ra > rb else 1.0
    if length2 - rr * rr > 0:
        share = min(1.0, max(0.0, (dot - ra * rr) / (length2 - rr * rr)))
    nx, ny, nz = px - share * ax, py - share * ay, pz - share * az
    norm = max(1e-9, sqrt(nx * nx + ny * ny + nz * nz))
    lit = max(0.0, (nx * light[0] + ny * light[1] + nz * light[2]) / norm)
    if pattern == PLAIN:
        return lit, False
    # Around the limb: the angle about the axis, from a direction across axis and view.
    length = sqrt(length2) + 1e-9
    across = hypot(ax, ay) + 1e-9
    sx, sy = -ay / across, ax / across
    ux, uy, uz = -sy * az / length, sx * az / length, (sy * ax - sx * ay) / length
    angle = atan2(px * ux + py * uy + pz * uz, px * sx + py * sy)
    return lit, _second_colour(pattern, dot / length + 10.0, angle * 0.5 * (ra + rb) + 10.0, period)
