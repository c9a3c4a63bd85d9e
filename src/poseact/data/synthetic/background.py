"""What stands behind the person: rooms and open places in perspective, flat clutter, photographs.

A place is a box of planes, the floor at y = 0: each pixel's ray takes the colour of the nearest.
Furniture, windows, trees and the like are flat-coloured faces, painted over it from far to near.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import floor, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from poseact.data.images import read_image
from poseact.data.synthetic.compiled import njit
from poseact.data.synthetic.effects import Mesh, Shadow, shaded
from poseact.data.synthetic.rasteriser import Light, cuboid
from poseact.data.synthetic.wardrobe import pick
from poseact.errors import UserError
from poseact.geometry import Camera

Image = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

PLAIN, TILES, PLANKS, BANDS, CHECKS, LINES = range(6)
"""How a plane is laid out: one colour; slabs with joints; the same, each row shifted; two colours side by
side; a chessboard; thin lines far apart."""
_TEXTURES = 5
_CELLS = 256
"""Side of a stored texture."""
_HORIZON = 2048
"""Directions, once around, for which the outline of hills, trees or houses is told."""


# --- flat clutter -------------------------------------------------------------------------


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Grey-ish to vivid RGB in 0..255."""
    grey = rng.uniform(10, 245)
    spread = 130 * rng.random() ** 1.5
    r, g, b = np.clip(grey + rng.uniform(-1, 1, 3) * spread, 0, 255).astype(int).tolist()
    return r, g, b


def _gradient(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float32]:
    """Four random corner colours, blended smoothly: (H, W, 3) float32."""
    corners = np.array([_colour(rng) for _ in range(4)], np.float32).reshape(2, 2, 3)
    blended = cv2.resize(corners, (width * 2, height * 2), interpolation=cv2.INTER_LINEAR)
    top, left = height // 2, width // 2
    return np.asarray(blended[top : top + height, left : left + width], np.float32)


def _texture(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.float32]:
    """Noise of one coarseness, grey or coloured: (H, W, 3 or 1) float32 around 0."""
    cell = max(height, width) / rng.uniform(4, 96)
    cells = (max(2, round(height / cell)), max(2, round(width / cell)))
    channels = 1 if rng.random() < 0.5 else 3
    noise = rng.standard_normal((*cells, channels), np.float32) * rng.uniform(5, 30)
    grown = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown, np.float32).reshape(height, width, channels)


def _side(image: Image) -> int:
    return int(max(image.shape[:2]))


def _point(rng: np.random.Generator, image: Image) -> npt.NDArray[np.int32]:
    """A place (x, y) in the picture or just outside."""
    return (rng.uniform(-0.1, 1.1, 2) * [image.shape[1], image.shape[0]]).astype(np.int32)


def _polygon(rng: np.random.Generator, image: Image) -> None:
    size = _side(image)
    corners = _point(rng, image) + rng.normal(0, 0.2 * size, (int(rng.integers(3, 7)), 2))
    cv2.fillPoly(image, [corners.astype(np.int32)], _colour(rng), cv2.LINE_AA)


def _rectangle(rng: np.random.Generator, image: Image) -> None:
    corner = _point(rng, image)
    other = corner + rng.uniform(0.05, 0.6, 2) * _side(image)
    thickness = -1 if rng.random() < 0.7 else int(rng.integers(1, 5))
    cv2.rectangle(image, corner.tolist(), other.astype(int).tolist(), _colour(rng), thickness)


def _ellipse(rng: np.random.Generator, image: Image) -> None:
    axes = rng.uniform(0.03, 0.25, 2) * _side(image)
    thickness = -1 if rng.random() < 0.7 else int(rng.integers(1, 5))
    cv2.ellipse(
        image, _point(rng, image).tolist(), axes.astype(int).tolist(),
        rng.uniform(0, 180), 0, 360, _colour(rng), thickness, cv2.LINE_AA,
    )  # fmt: skip


def _stripes(rng: np.random.Generator, image: Image) -> None:
    """A patch of parallel bars, sometimes crossed."""
    size = _side(image)
    (x, y), (width, height) = _point(rng, image), rng.integers(size // 8, size // 2, 2)
    patch = image[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
    period = int(rng.integers(3, max(4, size // 10)))
    if rng.random() < 0.7:
        patch[(np.arange(patch.shape[0]) // period) % 2 == 0] = _colour(rng)
    if rng.random() < 0.7:
        patch[:, (np.arange(patch.shape[1]) // period) % 2 == 0] = _colour(rng)


def _limb(rng: np.random.Generator, image: Image) -> None:
    """One or two bent strokes with a lighter core: what an arm or a leg looks like."""
    size = _side(image)
    points = [_point(rng, image)]
    for _ in range(int(rng.integers(1, 4))):
        points.append(points[-1] + rng.normal(0, 0.17 * size, 2).astype(np.int32))
    line = np.array(points, np.int32)[:, None]
    width = rng.uniform(0.02, 0.11) * size
    colour = np.array(_colour(rng), float)
    off = np.round(rng.normal(0, 0.1 * width, 2)).astype(np.int32)
    for k, (share, light) in enumerate(((1, 0.65), (0.7, 0.85), (0.35, 1))):
        core = (colour * light).astype(int).tolist()
        cv2.polylines(image, [line + k * off], False, core, max(1, round(width * share)), cv2.LINE_AA)


_SHAPES: list[Callable[[np.random.Generator, Image], None]] = [
    _polygon, _rectangle, _ellipse, _stripes, _limb, _limb,
]  # fmt: skip


def _to_bytes(image: npt.NDArray[np.float32]) -> Image:
    return np.asarray(np.clip(image + 0.5, 0, 255), np.uint8)


def random_background(rng: np.random.Generator, height: int, width: int) -> Image:
    """A cluttered picture (H, W, 3) uint8 RGB: gradient, textures, shapes, limb-like strokes."""
    rough = _texture(rng, height, width) if rng.random() < 0.6 else 0
    image = _to_bytes(_gradient(rng, height, width) + rough)
    for _ in range(int(rng.integers(0, 26))):
        _SHAPES[int(rng.integers(len(_SHAPES)))](rng, image)
    if rng.random() < 0.5:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.5)), np.uint8)
    return image


# --- places -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Room:
    """A box around people and camera, or an open place with walls on some sides.

    - ``low``, ``high`` (3,): metres; the floor is y = 0. An open side lies far away.
    - ``walls`` (4,): heights of the walls at low x, high x, low z and high z; 0 for none.
    - ``roofed``: has a ceiling at y = ``high[1]``, else there is sky.
    """

    low: FloatArray
    high: FloatArray
    walls: FloatArray
    roofed: bool


def random_room(rng: np.random.Generator, points: FloatArray, roofed: bool) -> Room:
    """A room, or a place under the sky, that holds ``points`` (n, 3): people and cameras."""
    low, high = points.min(0), points.max(0)
    if roofed:
        space = np.exp(rng.uniform(np.log(0.7), np.log(6), (2, 3)))
        low, high = low - space[0], high + space[1]
        high[1] = max(2.5, float(points[:, 1].max()) + 0.4) + rng.uniform(0, 1)
        return Room(low * [1, 0, 1], high, np.full(4, high[1]), True)
    space = np.exp(rng.uniform(np.log(2), np.log(40), (2, 3)))
    tall = np.where(rng.random(4) < 0.45, np.exp(rng.uniform(np.log(0.5), np.log(9), 4)), 0.0)
    far = np.where(tall[[0, 2, 1, 3]].reshape(2, 2) > 0, 0.0, 1e4)
    low, high = low - space[0], high + space[1]
    low[[0, 2]] -= far[0]
    high[[0, 2]] += far[1]
    return Room(low * [1, 0, 1], high, tall, False)


@dataclass(frozen=True)
class Backdrop:
    """What stands behind the people of one video, drawn when it is first needed.

    - ``kind``: "place" or "clutter"; ``seed``: of all that is drawn.
    - ``lens``, ``size``: the camera, without distortion, and height and width of the picture to draw.
    - ``room``, ``light``, ``shadow``: of a place. ``beyond``: metres along the camera's axis behind
      which furniture may stand, since nobody goes there.
    - ``distance``: metres to the person; what is there keeps its place when the camera moves a little.
    - ``photograph``: the file that is shown instead, where there is one.
    """

    kind: str
    seed: int
    lens: Camera
    size: tuple[int, int]
    room: Room
    light: Light
    shadow: Shadow
    beyond: float
    distance: float
    photograph: Path | None = None

    def draw(self) -> Image:
        """The picture (H, W, 3) uint8 RGB; where a photograph does not decode, the drawn one."""
        rng = np.random.default_rng(self.seed)
        if self.photograph is not None:
            try:
                return _cut_from(read_image(self.photograph), rng, self.size)
            except UserError:
                pass
        if self.kind == "clutter":
            return random_background(rng, *self.size)
        return self._place(rng)

    def _place(self, rng: np.random.Generator) -> Image:
        # Drawn smaller, it comes out of focus.
        share = pick(rng, (0.8, 0.6, 0.45), (0.35, 0.4, 0.25))
        height, width = (max(8, round(share * n)) for n in self.size)
        scale = np.array([width / self.size[1], height / self.size[0]])
        lens = Camera(
            self.lens.rotation, self.lens.position, self.lens.focal * scale,
            (self.lens.centre + 0.5) * scale - 0.5,
        )  # fmt: skip
        lit = np.stack([_lit(self.light, normal) for normal in _NORMALS])
        image = _planes(rng, self.room, lit, lens, (height, width))
        _furnish(rng, image, self.room, lit, lens, self.beyond, self.shadow)
        grown = cv2.resize(image, (self.size[1], self.size[0]), interpolation=cv2.INTER_LINEAR)
        return np.asarray(grown, np.uint8)


def _cut_from(photograph: Image, rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """A random part of the shape of ``size``, at least half as wide or high as the photograph allows."""
    whole = np.array(photograph.shape[:2])
    largest = np.array(size) * (whole / size).min()
    part = np.maximum((largest * rng.uniform(0.5, 1)).astype(int), 1)
    top, left = (rng.random(2) * (whole - part + 1)).astype(int)
    cut = photograph[top : top + part[0], left : left + part[1]]
    if rng.random() < 0.5:
        cut = cut[:, ::-1]
    how = cv2.INTER_AREA if part[0] > size[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(cut), (size[1], size[0]), interpolation=how), np.uint8)


# --- planes -------------------------------------------------------------------------------


class _Finish(NamedTuple):
    """How a plane looks: two RGB colours in [0, 1], how they are laid out over metres, and a texture.

    ``joint`` is the width of joints and lines as a share of the period.
    """

    colours: FloatArray
    pattern: int
    period: tuple[float, float]
    joint: float
    texture: int
    scale: float
    rough: float


def _tinted(rng: np.random.Generator, colour: npt.ArrayLike, spread: float) -> FloatArray:
    """A colour near ``colour``: brighter or darker, and a little off."""
    return _possible(np.asarray(colour, float) * rng.uniform(0.65, 1.2) + rng.normal(0, spread, 3))


def _possible(colour: FloatArray) -> FloatArray:
    return np.asarray(np.minimum(np.maximum(colour, 0.03), 0.97))


_WALLS = ((0.85, 0.84, 0.8), (0.8, 0.76, 0.66), (0.62, 0.68, 0.72), (0.6, 0.62, 0.6), (0.72, 0.55, 0.45),
          (0.35, 0.42, 0.5), (0.55, 0.6, 0.45), (0.65, 0.38, 0.3), (0.3, 0.3, 0.32))  # fmt: skip
_FLOORS = ((0.55, 0.38, 0.24), (0.7, 0.54, 0.36), (0.35, 0.24, 0.16), (0.6, 0.6, 0.58), (0.4, 0.42, 0.45),
           (0.72, 0.68, 0.6), (0.25, 0.33, 0.45), (0.45, 0.2, 0.2), (0.3, 0.42, 0.3))  # fmt: skip
_GROUNDS = ((0.27, 0.38, 0.14), (0.33, 0.42, 0.2), (0.4, 0.4, 0.4), (0.28, 0.28, 0.3), (0.7, 0.62, 0.46),
            (0.5, 0.4, 0.3), (0.6, 0.58, 0.54), (0.6, 0.32, 0.22), (0.25, 0.45, 0.4))  # fmt: skip
_OUTSIDE = ((0.6, 0.3, 0.22), (0.72, 0.68, 0.6), (0.5, 0.5, 0.5), (0.2, 0.32, 0.12), (0.4, 0.3, 0.2))
_SKYLINES = ((0.18, 0.26, 0.13), (0.38, 0.33, 0.3), (0.47, 0.45, 0.43), (0.24, 0.3, 0.2))


def _wall(rng: np.random.Generator, colour: FloatArray, outside: bool) -> _Finish:
    pattern = pick(
        rng, (PLAIN, PLANKS, TILES, BANDS), (0.25, 0.45, 0.2, 0.1) if outside else (0.62, 0.1, 0.13, 0.15)
    )
    period = {
        PLANKS: (rng.uniform(0.2, 0.5), rng.uniform(0.06, 0.16)), TILES: (rng.uniform(0.15, 1.0),) * 2,
    }.get(pattern, (rng.uniform(0.05, 0.4),) * 2)  # fmt: skip
    other = _tinted(rng, colour, 0.05)
    rough = rng.uniform(0.08, 0.35) if outside else rng.uniform(0.01, 0.12)
    return _Finish(
        np.stack([colour, other]), pattern, period, 0.06, int(rng.integers(3)), rng.uniform(1, 5), rough
    )


def _ground(rng: np.random.Generator, outside: bool) -> _Finish:
    row = int(rng.integers(len(_GROUNDS)))
    colour = _tinted(rng, _GROUNDS[row] if outside else pick(rng, _FLOORS), 0.03)
    if outside and row < 2:
        pattern, rough = PLAIN, rng.uniform(0.3, 0.6)
    elif outside:
        pattern, rough = (
            pick(rng, (PLAIN, TILES, LINES, PLANKS), (0.4, 0.2, 0.25, 0.15)),
            rng.uniform(0.1, 0.35),
        )
    else:
        pattern = pick(rng, (PLAIN, PLANKS, TILES, CHECKS, LINES), (0.25, 0.35, 0.2, 0.08, 0.12))
        rough = rng.uniform(0.03, 0.25)
    period, joint, other = (rng.uniform(0.25, 0.7),) * 2, 0.03, 0.5 * colour
    if pattern == PLANKS:
        period = rng.uniform(0.8, 2.0), rng.uniform(0.07, 0.2)
    elif pattern == LINES:
        period, joint, other = (
            (rng.uniform(2, 7), rng.uniform(2, 7)),
            0.012,
            _tinted(rng, (0.9, 0.9, 0.85), 0.05),
        )
    elif pattern == CHECKS:
        other = _tinted(rng, pick(rng, _FLOORS), 0.03)
    texture = 3 if pattern == PLANKS else int(rng.integers(_TEXTURES))
    return _Finish(np.stack([colour, other]), pattern, period, joint, texture, rng.uniform(0.8, 3), rough)


def _lit(light: Light, normal: FloatArray) -> FloatArray:
    """RGB light on a plane that faces ``normal`` (3,)."""
    up = 0.5 + 0.5 * normal[1]
    cosines = np.maximum(light.directions @ normal, 0)
    return np.asarray(light.ground + (light.sky - light.ground) * up + cosines @ light.strengths)


_NORMALS = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
"""Of the planes low x, high x, floor, ceiling, low z, high z, into the room."""


def _planes(
    rng: np.random.Generator, room: Room, lit: FloatArray, lens: Camera, size: tuple[int, int]
) -> Image:
    """Floor, walls and ceiling or sky of the room as ``lens`` sees them; ``lit`` (6, 3): light on each."""
    outside = not room.roofed
    colour = _tinted(rng, pick(rng, _OUTSIDE if outside else _WALLS), 0.03)
    ceiling = _Finish(np.full((2, 3), rng.uniform(0.7, 0.95)), PLAIN, (1, 1), 0.1, 2, 3, 0.03)
    alike, other = _wall(rng, colour, outside), _wall(rng, colour, outside)
    different = int(rng.integers(0, 6))
    finishes = [other if i == different else alike for i in range(6)]
    finishes[2:4] = _ground(rng, outside), ceiling
    colours = 255 * np.stack([f.colours for f in finishes]) * lit[:, None]
    pixels = np.array([
        [1 / lens.focal[0], 0, -lens.centre[0] / lens.focal[0]],
        [0, 1 / lens.focal[1], -lens.centre[1] / lens.focal[1]], [0, 0, 1],
    ])  # fmt: skip
    walls = np.array([room.walls[0], room.walls[1], 1.0, float(room.roofed), room.walls[2], room.walls[3]])
    image = np.empty((*size, 3), np.uint8)
    sky, horizon = _random_sky(rng) if outside else _NO_SKY
    _paint(
        (lens.rotation.T @ pixels).astype(np.float32), lens.position.astype(np.float32),
        np.stack([room.low, room.high], 1).ravel().astype(np.float32), walls.astype(np.float32),
        colours.astype(np.float32), np.array([f.pattern for f in finishes]),
        np.array([[*f.period, f.joint, _CELLS / f.scale, f.rough] for f in finishes], np.float32),
        np.array([f.texture for f in finishes]), _textures(), sky, horizon,
        float(1 / lens.focal[0]), room.roofed, image,
    )  # fmt: skip
    return image


_NO_SKY = np.zeros((5, 3), np.float32), np.zeros((2, _HORIZON), np.float32)


def _random_sky(rng: np.random.Generator) -> tuple[Array, Array]:
    """Colours (5, 3) of zenith, horizon, clouds and two outlines, 0..255; heights (2, `_HORIZON`) of these.

    A height is the tangent of the angle above the horizon.
    """
    grey = rng.random() ** 1.5
    brightness = rng.uniform(0.75, 1.05)
    zenith = (1 - grey) * np.array([70, 120, 200]) + grey * np.array([170, 175, 185])
    pale = np.array([205, 215, 225]) + rng.normal(0, 8, 3)
    cloud = np.full(3, rng.uniform(200, 250))
    near = _tinted(rng, pick(rng, _SKYLINES), 0.03) * 255
    far = 0.55 * pale + 0.45 * near
    colours = np.stack([zenith, pale, cloud, far, near]) * brightness
    heights = np.zeros((2, _HORIZON), np.float32)
    around, coarse = np.arange(_HORIZON) * (256 / _HORIZON), np.arange(257)
    for row in range(2):
        if rng.random() < 0.75:
            waves = rng.integers(1, 30, 6)
            angles = np.outer(coarse, waves) * (2 * np.pi / 256) + rng.uniform(0, 2 * np.pi, 6)
            hills = (np.sin(angles) / np.sqrt(waves)).sum(1)
            heights[row] = rng.uniform(0.02, 0.14) * (1 + 0.5 * np.interp(around, coarse, hills))
        if row and rng.random() < 0.5:  # houses
            wide = int(rng.integers(16, 96))
            count = _HORIZON // wide + 1
            blocks = rng.uniform(0.02, 0.35, count) * (rng.random(count) < 0.7)
            heights[row] = np.repeat(blocks, wide)[:_HORIZON]
        elif row:  # trees
            heights[row] += rng.uniform(0, 0.03) * np.abs(rng.standard_normal(_HORIZON))
    return np.clip(colours, 0, 255).astype(np.float32), heights


@cache
def _textures() -> Array:
    """Textures (T, 256, 256) int8, 100 for 1, that join at their edges: fine to coarse, streaks, spots."""
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.fft.fftfreq(_CELLS), np.fft.rfftfreq(_CELLS), indexing="ij")
    made = []
    for slope, stretch in ((0.4, 1.0), (1.0, 1.0), (1.7, 1.0), (1.1, 12.0), (0.6, 1.0)):
        frequency = np.maximum(np.hypot(y, x * stretch), 1 / _CELLS)
        spectrum = np.fft.rfft2(rng.standard_normal((_CELLS, _CELLS))) * frequency**-slope
        spectrum[0, 0] = 0
        texture = np.fft.irfft2(spectrum, (_CELLS, _CELLS))
        made.append(np.clip(texture / texture.std(), -2.5, 2.5) / 2)
    made[4] = np.where(made[4] > 0.6, 1.0, -0.1)
    return np.round(100 * np.stack(made)).astype(np.int8)


_FAST = {"contract", "reassoc", "arcp", "nsz"}


@njit(error_model="numpy", fastmath=_FAST, inline="always")
def _layout(
    pattern: int, u: float, v: float, wide: float, tall: float, joint: float, seen: float, textures: Array
) -> tuple[float, float]:
    """Share of the second colour and the brightness of the slab at (u, v) of a plane.

    ``seen``: pixels of a metre there; what is finer than a pixel fades away.
    """
    mix, tint = 0.0, 0.0
    if pattern == PLAIN:
        return mix, tint
    gu, gv = u / wide, v / tall
    j = floor(gv)
    if pattern == PLANKS:
        gu += textures[0, (j * 29) & 255, 5] * 0.017 + 0.5 * (j & 1)
    i = floor(gu)
    fade = min(1.0, 0.3 * min(wide, tall) * seen)
    if pattern == BANDS:
        mix = fade * (i & 1)
    elif pattern == CHECKS:
        mix = fade * ((i + j) & 1)
    else:
        if gu - i < joint or (gv - j) * tall < joint * wide:
            mix = min(1.0, 2 * joint * wide * seen) if pattern == LINES else fade
        if pattern != LINES:
            tint = 0.0016 * fade * textures[0, (i * 37) & 255, (j * 53) & 255]
    return mix, tint


@njit(error_model="numpy", fastmath=_FAST, inline="always")
def _sky(dx: float, dy: float, dz: float, sky: Array, horizon: Array, textures: Array, colour: Array) -> None:
    """Write the colour in a direction above the floor."""
    level = 1 / (sqrt(dx * dx + dz * dz) + 1e-6)
    steep = dy * level
    turned = dx / (abs(dx) + abs(dz) + 1e-6)
    around = (1 - turned if dz > 0 else 3 + turned) * 0.25 * _HORIZON
    at = int(around) % _HORIZON
    row = 1 if steep < horizon[1, at] else 0 if steep < horizon[0, at] else -1
    if row >= 0:
        grain = 1 + 0.0025 * textures[2, int(steep * 900) & 255, int(around * 2) & 255]
        for k in range(3):
            colour[k] = sky[3 + row, k] * grain
        return
    share = steep / (steep + 0.35)
    cover = 0.0
    if steep > 0.02:
        reach = 40 * level / (steep + 0.08)
        cover = 0.009 * textures[2, int(dx * reach) & 255, int(dz * reach) & 255] + 0.1
        cover = min(max(cover, 0.0), 0.8)
    for k in range(3):
        clear = sky[1, k] + share * (sky[0, k] - sky[1, k])
        colour[k] = clear + cover * (sky[2, k] - clear)


@njit(error_model="numpy", fastmath=_FAST, inline="always")
def _corner(a: float, low_a: float, high_a: float, b: float, low_b: float, high_b: float) -> float:
    """How much light reaches a point of a plane, which is less near the planes beside it."""
    a, b = min(a - low_a, high_a - a), min(b - low_b, high_b - b)
    a, b = 9 * a * a, 9 * b * b
    return (0.7 + a) * (0.7 + b) / ((1 + a) * (1 + b))


@njit(error_model="numpy", fastmath=_FAST, inline="always")
def _nearest(
    dx: float, dy: float, dz: float, px: float, py: float, pz: float, bounds: Array, walls: Array
) -> tuple[float, int]:
    """How far the ray goes, in lengths of its direction, and the plane that it meets first, or -1."""
    best, which = 1e9, -1
    plane = 3 if dy > 0 else 2
    if walls[plane] > 0:
        best, which = (bounds[plane] - py) / dy, plane
    plane = 1 if dx > 0 else 0
    if walls[plane] > 0:
        t = (bounds[plane] - px) / dx
        if t < best and py + t * dy < walls[plane]:
            best, which = t, plane
    plane = 5 if dz > 0 else 4
    if walls[plane] > 0:
        t = (bounds[plane] - pz) / dz
        if t < best and py + t * dy < walls[plane]:
            best, which = t, plane
    return best, which


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _paint(
    rays: Array, position: Array, bounds: Array, walls: Array, colours: Array, patterns: Array, looks: Array,
    texture: Array, textures: Array, sky: Array, horizon: Array, pixel: float, roofed: bool, image: Array,
) -> None:  # fmt: skip
    """Write what each pixel's ray from ``position`` meets first, ``rays`` (3, 3) taking (x, y, 1) to it.

    The planes come in the order of `_NORMALS`; ``looks`` (6, 5): two periods, joint, cells of texture a
    metre, roughness.
    """
    colour = np.empty(3, np.float32)
    px, py, pz = position
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            dx = rays[0, 0] * column + rays[0, 1] * row + rays[0, 2]
            dy = rays[1, 0] * column + rays[1, 1] * row + rays[1, 2]
            dz = rays[2, 0] * column + rays[2, 1] * row + rays[2, 2]
            best, which = _nearest(dx, dy, dz, px, py, pz, bounds, walls)
            if which < 0:
                _sky(dx, dy, dz, sky, horizon, textures, colour)
            else:
                x, y, z = px + best * dx, py + best * dy, pz + best * dz
                u, v = (z, y) if which < 2 else (x, z) if which < 4 else (x, y)
                straight = dx if which < 2 else dy if which < 4 else dz
                seen = abs(straight) / (best * (dx * dx + dy * dy + dz * dz) * pixel)  # pixels of a metre
                mix, tint = _layout(
                    patterns[which], u, v, looks[which, 0], looks[which, 1], looks[which, 2], seen, textures
                )
                cell, rough, kind = looks[which, 3], 0.01 * looks[which, 4], texture[which]
                coarse = 0.7 * rough * min(1.0, 6 * seen / cell)
                gain = 1 + tint
                gain += coarse * textures[kind, int(u * cell * 0.13) & 255, int(v * cell * 0.13) & 255]
                fine = rough * min(1.0, seen / cell)
                gain += fine * textures[kind, int(v * cell) & 255, int(u * cell) & 255]
                haze = 0.0
                if not roofed:
                    haze = best / (best + 120)
                elif which < 2:
                    gain *= _corner(y, bounds[2], bounds[3], z, bounds[4], bounds[5])
                elif which < 4:
                    gain *= _corner(x, bounds[0], bounds[1], z, bounds[4], bounds[5])
                else:
                    gain *= _corner(x, bounds[0], bounds[1], y, bounds[2], bounds[3])
                for k in range(3):
                    c = colours[which, 0, k] + mix * (colours[which, 1, k] - colours[which, 0, k])
                    colour[k] = c * gain + haze * (sky[1, k] - c * gain)
            for k in range(3):
                image[row, column, k] = np.int32(min(max(colour[k] + 0.5, 0.0), 255.0))


# --- furniture ----------------------------------------------------------------------------

_BOX_FACES = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
"""Corners of `cuboid`'s faces at low x, high x, low y, high y, low z, high z."""
_HALVES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
"""A face with four corners as two triangles."""
_LEAVES = ((0.2, 0.33, 0.1), (0.3, 0.42, 0.16), (0.14, 0.24, 0.1), (0.5, 0.36, 0.12))


def _furnish(
    rng: np.random.Generator, image: Image, room: Room, lit: FloatArray, lens: Camera, beyond: float,
    shadow: Shadow,
) -> None:  # fmt: skip
    """Paint windows, pictures and doors on the walls, then things on the floor, far ones first."""
    corners, colours = _on_walls(rng, room, lit, lens)
    _draw(image, lens, corners, colours)
    count = int(rng.integers(0, 9))
    corners, colours, nearest = _boxes(rng, room, lit, lens, beyond, count)
    seen = nearest > max(beyond, 0.5)
    corners, colours, nearest = corners[seen], colours[seen], nearest[seen]
    shaded(image, [_mesh(corners)], lens, shadow)
    trees = 0 if room.roofed or rng.random() < 0.5 else int(rng.integers(1, 7))
    depths = np.sort(beyond + np.exp(rng.uniform(np.log(1.5), np.log(50), trees)))[::-1]
    for depth in depths:
        _tree(rng, image, lens, float(depth), lit[2])
    for i in np.argsort(-nearest):
        _draw(image, lens, corners[i], colours[i])


def _mesh(faces: FloatArray) -> Mesh:
    """Faces (n, 6, 4, 3) as vertices and triangles."""
    first = 4 * np.arange(6 * len(faces), dtype=np.int32)[:, None]
    return faces.reshape(-1, 3), (first[:, None] + _HALVES).reshape(-1, 3)


def _on_walls(
    rng: np.random.Generator, room: Room, lit: FloatArray, lens: Camera
) -> tuple[FloatArray, FloatArray]:
    """Windows, pictures and doors: corners (n, 4, 3) in metres of frames and panes, colours (n, 3)."""
    corners: list[FloatArray] = [np.empty((0, 4, 3))]
    colours: list[FloatArray] = [np.empty((0, 3))]
    for plane, tall in zip((0, 1, 4, 5), room.walls, strict=True):
        turned_away = lens.rotation[2] @ _NORMALS[plane] > 0.4
        for _ in range(0 if tall < 1.5 or turned_away else int(rng.integers(0, 4))):
            kind = pick(rng, ("window", "picture", "door"), (0.35, 0.4, 0.25))
            wide, high = {
                "window": rng.uniform([0.6, 0.6], [2, 1.5]), "picture": rng.uniform([0.3, 0.3], [1.4, 1.2]),
                "door": rng.uniform([0.75, 1.95], [1.2, 2.1]),
            }[kind]  # fmt: skip
            bottom = 0.0 if kind == "door" else rng.uniform(0.6, 1.6)
            axis, along = plane // 2, 2 - plane // 2
            # Where a side is open the wall goes on for far; things hang around the middle of the place.
            low, far = max(room.low[along], -25.0), min(room.high[along], 25.0)
            margin = np.array([[0.0], [0.06]])
            left, right = rng.uniform(low, max(far - wide, low + 0.1)) + np.array([0, wide])
            quads = np.empty((2, 4, 3))
            quads[..., axis] = room.high[axis] if plane % 2 else room.low[axis]
            quads[..., [0, 3], along], quads[..., [1, 2], along] = left + margin, right - margin
            quads[..., [0, 1], 1], quads[..., [2, 3], 1] = bottom + margin, min(bottom + high, tall) - margin
            frame = _tinted(rng, pick(rng, ((0.9, 0.9, 0.88), (0.4, 0.28, 0.18), (0.15, 0.15, 0.16))), 0.04)
            pane = _tinted(rng, (0.8, 0.87, 0.95), 0.04) if kind == "window" else _any_colour(rng)
            corners.append(quads)
            colours.append(255 * np.stack([frame, pane]) * lit[plane])
    return np.concatenate(corners), np.concatenate(colours)


def _any_colour(rng: np.random.Generator) -> FloatArray:
    """Mostly dull, (3,) in [0, 1]."""
    return _possible(rng.uniform(0.06, 0.9) + rng.normal(0, 0.28 * rng.random(), 3))


def _boxes(
    rng: np.random.Generator, room: Room, lit: FloatArray, lens: Camera, beyond: float, count: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Cupboards, tables, crates, cars, posts and hedges behind the person.

    Returns corners (n, 6, 4, 3) of the faces in metres, their colours (n, 6, 3) in 0..255, nan for a face
    whose back is seen, and how near each box comes (n,), metres along the camera's axis.
    """
    kinds = np.array([
        [[0.5, 0.4, 0.3], [2.2, 2.1, 0.7]], [[0.3, 0.3, 0.3], [0.9, 0.9, 0.9]],
        [[0.05, 1, 0.05], [0.3, 5, 0.3]], [[1.5, 0.6, 0.6], [4.5, 1.6, 1.9]],
    ])[rng.choice(4, count, p=(0.4, 0.3, 0.15, 0.15))]  # fmt: skip
    size = rng.uniform(kinds[:, 0], kinds[:, 1])
    size[::2] = size[::2, ::-1]  # every other one lies the other way
    size[::2, 1] = np.minimum(size[::2, 1], 2.2)
    depth = beyond + np.exp(rng.uniform(np.log(0.3), np.log(4 if room.roofed else 30), count))
    aside = rng.uniform(-0.7, 0.7, count) * depth
    middle = lens.position + np.outer(depth, lens.rotation[2]) + np.outer(aside, lens.rotation[0])
    half = size / 2
    middle = np.minimum(np.maximum(middle, room.low + half), room.high - half)
    middle[:, 1] = half[:, 1]
    corners = middle[:, None] + cuboid(np.ones(3))[0] * size[:, None]
    faces = corners[:, _BOX_FACES]
    colours = np.stack([_any_colour(rng) for _ in range(count)]) if count else np.empty((0, 3))
    shown = 255 * colours[:, None] * lit[[1, 0, 3, 2, 5, 4]]
    away = ((lens.position - faces[:, :, 0]) * -_NORMALS).sum(-1) <= 0
    shown[away] = np.nan
    return faces, shown, lens.to_camera(corners)[..., 2].min(1)


def _draw(image: Image, lens: Camera, corners: FloatArray, colours: FloatArray) -> None:
    """Paint faces (n, 4, 3) that lie wholly in front of the camera, in order; none of colour nan."""
    seen = lens.to_camera(corners)
    shown = (seen[..., 2].min(-1) > 0.3) & ~np.isnan(colours[:, 0])
    flat = seen[shown, :, :2] / seen[shown, :, 2:] * lens.focal + lens.centre
    points = np.round(16 * np.minimum(np.maximum(flat, -4000), 8000)).astype(np.int32)
    for quad, rgb in zip(points, np.minimum(colours[shown], 255).tolist(), strict=True):
        cv2.fillConvexPoly(image, quad, rgb, cv2.LINE_AA, 4)


def _tree(rng: np.random.Generator, image: Image, lens: Camera, depth: float, light: FloatArray) -> None:
    """A trunk with a crown of leaves, ``depth`` metres away."""
    foot = lens.position + depth * lens.rotation[2] + rng.uniform(-0.8, 0.8) * depth * lens.rotation[0]
    foot[1] = 0
    height, crown = rng.uniform(2.5, 7), rng.uniform(0.7, 2)
    top = foot + np.array([0, height, 0])
    far = float(lens.to_camera(foot)[2])
    if far < 0.8 * depth:
        return
    scale = float(lens.focal[0]) / far
    wide = max(1, round(rng.uniform(0.12, 0.35) * scale))
    (x0, y0), (x1, y1) = np.clip(lens.project(np.stack([foot, top])), -3000, 6000).tolist()
    bark = (255 * _tinted(rng, (0.3, 0.24, 0.18), 0.03) * light).clip(0, 255).tolist()
    cv2.line(image, (round(x0), round(y0)), (round(x1), round(y1)), bark, wide, cv2.LINE_AA)
    green = 255 * _tinted(rng, pick(rng, _LEAVES), 0.03) * light
    clumps = rng.normal(0, 0.5 * crown * scale, (30, 2)) + np.array([x1, y1])
    for (x, y), shade in zip(clumps.tolist(), np.linspace(0.6, 1.15, 30), strict=True):
        rgb = (green * shade).clip(0, 255).tolist()
        cv2.circle(image, (round(x), round(y)), max(1, round(0.26 * crown * scale)), rgb, -1, cv2.LINE_AA)
