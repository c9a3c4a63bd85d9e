"""What a camera and the light do to a picture: shadows on the floor, motion blur, the camera's flaws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil, exp, floor
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from poseact.data.synthetic.compiled import njit
from poseact.data.synthetic.rasteriser import NEAR
from poseact.geometry import Camera

Image = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]
Array = npt.NDArray[Any]
Mesh = tuple[FloatArray, npt.NDArray[np.int32]]
"""Vertices (V, 3), metres, world, and triangles (T, 3), counter-clockwise seen from outside."""

_NOISE_BANK = 1 << 20
_NOISE_UNIT = 32
"""What one standard deviation of the stored noise is as a whole number."""
_SHADOW_CELLS = 96
"""A shadow is drawn on a grid of about that many cells along the picture's longer side."""
_AMBIENT_HEIGHT = 0.7
"""Metres above the floor from which nothing keeps the sky's light off it."""


# --- the camera's flaws -------------------------------------------------------------------


@dataclass(frozen=True)
class Flaws:
    """What a camera does to the light, in this order.

    - ``softness``: standard deviation of the lens's blur, pixels of the picture as drawn; 0 for none.
    - ``tone`` (256, 3) uint8: exposure, contrast and colour cast, for each value of each channel.
    - ``coarse``: grey levels of noise with a grain of ``grain`` pixels; ``noise``: of single pixels.
    - ``quality``: of the JPEG, 1 to 100, or None where it is not compressed.
    """

    softness: float
    tone: Image
    coarse: float
    grain: float
    noise: float
    quality: int | None


def random_flaws(rng: np.random.Generator) -> Flaws:
    """Mostly a fair camera; sometimes soft, dark, pale, tinted, noisy or heavily compressed."""
    return Flaws(
        softness=rng.uniform(0.35, 1.0) if rng.random() < 0.5 else 0.0,
        tone=tone_curve(
            gain=rng.uniform(0.8, 1.2, 3) ** [0.35, 0.1, 0.35] * rng.uniform(0.8, 1.2),
            contrast=rng.uniform(0.75, 1.2),
            brightness=rng.uniform(-20, 20),
            gamma=rng.uniform(0.8, 1.2),
        ),
        coarse=rng.uniform(1, 9) if rng.random() < 0.5 else 0.0,
        grain=float(np.exp(rng.uniform(np.log(1.5), np.log(24)))),
        noise=9 * rng.random() ** 1.5,
        quality=int(rng.integers(25, 96)) if rng.random() < 0.3 else None,
    )


def tone_curve(gain: FloatArray, contrast: float, brightness: float, gamma: float) -> Image:
    """What each value 0..255 becomes, (256, 3) uint8, under ``gain`` (3,) of the channels."""
    light = 255 * (np.arange(256)[:, None] / 255) ** gamma * gain
    return np.clip((light - 128) * contrast + 128 + brightness + 0.5, 0, 255).astype(np.uint8)


def photographed(image: Image, flaws: Flaws, rng: np.random.Generator) -> Image:
    """The picture (H, W, 3) uint8 RGB as a camera with ``flaws`` takes it; ``rng`` draws the noise.

    Noise lies over people and background alike, so that roughness does not tell one from the other.
    """
    if flaws.softness > 0:
        image = np.asarray(cv2.GaussianBlur(image, (5, 5), flaws.softness), np.uint8)
    height, width = image.shape[:2]
    bank = _noise_bank()
    seen = np.asarray(cv2.LUT(image, flaws.tone[None]), np.uint8)
    starts = rng.integers(0, _NOISE_BANK - 3 * width, height)
    _add_noise(seen, bank, starts, round(256 * flaws.noise / _NOISE_UNIT), 0)
    if flaws.coarse > 0:
        rows, columns = ceil(height / flaws.grain) + 1, ceil(width / flaws.grain) + 1
        blotches = np.zeros((rows, columns, 3), np.int16)
        starts = rng.integers(0, _NOISE_BANK - 3 * columns, rows)
        _add_noise(blotches, bank, starts, round(256 * flaws.coarse / _NOISE_UNIT), -255)
        grown = cv2.resize(blotches, (width, height), interpolation=cv2.INTER_LINEAR)
        seen = np.asarray(cv2.add(seen, grown, dtype=cv2.CV_8U), np.uint8)
    return seen if flaws.quality is None else _compressed(seen, flaws.quality)


@cache
def _noise_bank() -> npt.NDArray[np.int8]:
    """Normal noise, drawn once and for all: rows of pictures take their noise from random places."""
    drawn = np.random.default_rng(0).standard_normal(_NOISE_BANK, np.float32) * _NOISE_UNIT
    return np.asarray(np.clip(np.round(drawn), -127, 127), np.int8)


@njit(cache=True)
def _add_noise(image: Array, bank: Array, starts: Array, scale: int, lowest: int) -> None:
    """Add noise in place, within ``lowest`` and 255; ``scale``: 256ths of a grey level for a unit."""
    gain, low, high = np.int32(scale), np.int32(lowest), np.int32(255)
    for y in range(image.shape[0]):
        line = image[y].reshape(-1)
        noise = bank[starts[y] : starts[y] + len(line)]
        for i in range(len(line)):
            value = np.int32(line[i]) + ((np.int32(noise[i]) * gain + np.int32(128)) >> np.int32(8))
            line[i] = min(max(value, low), high)


def _compressed(image: Image, quality: int) -> Image:
    """The picture after JPEG of ``quality``."""
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    read = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.asarray(cv2.cvtColor(read, cv2.COLOR_BGR2RGB), np.uint8)  # type: ignore[arg-type]


def averaged(images: Sequence[Image]) -> Image:
    """The mean of pictures of one shape: what a slow shutter makes of several instants."""
    if len(images) == 1:
        return images[0]
    return _mean(np.stack(images))


@njit(cache=True)
def _mean(images: Array) -> Array:
    """Rounded means, half up. A product and a shift in the place of a division, which is many times slower;
    exact, as sums of up to 16 bytes stay far below 2^16.
    """
    count = images.shape[0]
    flat = images.reshape(count, -1)
    total = np.full(flat.shape[1], count // 2, np.uint32)
    for k in range(count):
        line = flat[k]
        for i in range(len(total)):
            total[i] += np.uint32(line[i])
    inverse = np.uint32(-(-65536 // count))
    result = np.empty(flat.shape[1], np.uint8)
    for i in range(len(total)):
        result[i] = np.uint8((total[i] * inverse) >> np.uint32(16))
    return result.reshape(images.shape[1:])


# --- shadows ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shadow:
    """How the floor at y = 0 darkens under what stands on it.

    - ``sun`` (3,): towards the sun, y > 0; ``strength``: the share of the floor's light in [0, 1] that
      is the sun's; ``ambient``: the share that a body close above it keeps off.
    - ``softness``: of the sun's shadow, as a share of the picture's longer side.
    - ``floor``: least x, greatest x, least z, greatest z of the floor, metres.
    """

    sun: FloatArray
    strength: float
    ambient: float
    softness: float
    floor: tuple[float, float, float, float]


def shaded(image: Image, meshes: Sequence[Mesh], camera: Camera, shadow: Shadow) -> None:
    """Darken, in place, the picture (H, W, 3) of a floor where ``meshes`` keep the light off it."""
    height, width = image.shape[:2]
    cell = max(2, round(max(height, width) / _SHADOW_CELLS))
    grid = (ceil(height / cell), ceil(width / cell))
    light = np.ones(grid, np.float32)
    lens = np.concatenate([camera.focal, camera.centre, camera.radial, camera.tangential]).astype(float)
    ground = np.array(shadow.floor, float)
    rotation, position = np.ascontiguousarray(camera.rotation, float), np.asarray(camera.position, float)
    slope = shadow.sun[[0, 2]] / shadow.sun[1]
    casts = (
        (shadow.strength, slope, np.inf, shadow.softness * max(grid)),
        (shadow.ambient, np.zeros(2), _AMBIENT_HEIGHT, 0.012 * max(grid)),
    )
    for strength, tilt, highest, softness in casts:
        mask = np.zeros(grid, np.float32)
        for vertices, triangles in meshes:
            _cast(vertices, triangles, tilt, highest, ground, rotation, position, lens, float(cell), mask)
        light *= 1 - np.float32(strength) * cv2.GaussianBlur(mask, (0, 0), max(softness, 0.3))
    dark = light < 0.996
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    if not len(rows):
        return
    # One cell more on each side, to fade out into.
    top, left = max(int(rows[0]) - 1, 0), max(int(columns[0]) - 1, 0)
    part = light[top : rows[-1] + 2, left : columns[-1] + 2]
    grown = cv2.resize(part, (part.shape[1] * cell, part.shape[0] * cell), interpolation=cv2.INTER_LINEAR)
    _darken(image[top * cell :, left * cell :], np.asarray(grown, np.float32))


@njit(cache=True, error_model="numpy")
def _cast(
    vertices: Array, triangles: Array, slope: Array, highest: float, ground: Array,
    rotation: Array, position: Array, lens: Array, cell: float, mask: Array,
) -> None:  # fmt: skip
    """Fill, in ``mask``, the cells that see a floor point which the triangles shade from the sun.

    ``slope`` (2,): metres along x and z for each metre of height. Below a finite ``highest`` the
    value falls with height; above it there is none.
    """
    rows, columns = mask.shape
    points = np.empty((len(vertices), 2), np.float32)
    values = np.empty(len(vertices), np.float32)
    for i in range(len(vertices)):
        up = max(vertices[i, 1], 0.0)
        x, z = vertices[i, 0] - up * slope[0], vertices[i, 2] - up * slope[1]
        x, z = min(max(x, ground[0]), ground[1]), min(max(z, ground[2]), ground[3])  # ends at the walls
        values[i] = -1.0
        if up > highest:
            continue
        dx, dy, dz = x - position[0], -position[1], z - position[2]
        depth = rotation[2, 0] * dx + rotation[2, 1] * dy + rotation[2, 2] * dz
        if depth < NEAR:
            continue
        u = (rotation[0, 0] * dx + rotation[0, 1] * dy + rotation[0, 2] * dz) / depth
        v = (rotation[1, 0] * dx + rotation[1, 1] * dy + rotation[1, 2] * dz) / depth
        r = u * u + v * v
        gain = 1 + r * (lens[4] + r * (lens[5] + r * lens[6])) + u * lens[7] + v * lens[8]
        px = (u * gain + r * lens[7]) * lens[0] + lens[2]
        py = (v * gain + r * lens[8]) * lens[1] + lens[3]
        points[i, 0], points[i, 1] = (px - 0.5 * (cell - 1)) / cell, (py - 0.5 * (cell - 1)) / cell
        values[i] = 1.0 if highest > 1e6 else exp(-up / (0.4 * highest))
    for t in range(len(triangles)):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        value = min(values[i], values[j], values[k])
        if value <= 0:
            continue
        ax, ay, bx, by = points[i, 0], points[i, 1], points[j, 0], points[j, 1]
        cx, cy = points[k, 0], points[k, 1]
        if (bx - ax) * (cy - ay) <= (by - ay) * (cx - ax):
            continue  # the other side of the closed surface casts the same shadow
        x0, x1 = max(0, ceil(min(ax, bx, cx))), min(columns - 1, floor(max(ax, bx, cx)))
        y0, y1 = max(0, ceil(min(ay, by, cy))), min(rows - 1, floor(max(ay, by, cy)))
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                if (
                    mask[y, x] < value
                    and (bx - ax) * (y - ay) >= (by - ay) * (x - ax)
                    and (cx - bx) * (y - by) >= (cy - by) * (x - bx)
                    and (ax - cx) * (y - cy) >= (ay - cy) * (x - cx)
                ):
                    mask[y, x] = value


@njit(cache=True)
def _darken(image: Array, light: Array) -> None:
    for y in range(min(len(image), len(light))):
        for x in range(min(image.shape[1], light.shape[1])):
            for k in range(3):
                image[y, x, k] = np.uint8(np.float32(image[y, x, k]) * light[y, x])
