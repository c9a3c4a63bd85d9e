"""A software rasteriser of triangles: z-buffer, smooth shading, cloth patterns, anti-aliasing.

A triangle's corners in homogeneous pixels (x z, y z, z) make a matrix whose inverse takes a pixel
(x, y, 1) to the barycentric coordinates over depth, b_i / z, so their sum is 1 / z: that is
perspective-correct, and a triangle which passes behind the camera needs no cutting.
Every pixel is seen through SAMPLES x SAMPLES points, whose mean makes smooth outlines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, inf, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from poseact.data.synthetic.compiled import njit
from poseact.geometry import Camera

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
Array = npt.NDArray[Any]

_FAST = {"contract", "reassoc", "arcp", "nsz"}
"""What a compiler may do to sums; for shading, where the last bit does not matter."""

SAMPLES = 2
NEAR = 0.05
"""Metres in front of the camera where the view begins."""
BACKGROUND, PERSON, OTHER = range(3)
"""Values of the segmentation; ``OTHER``: what people hold, and what stands about."""

PLAIN, RINGS, STRIPES, CHECKS, DOTS, BLOTCHES, PRINT, BLOCK, SIDES, OPEN, SOLE = range(11)
FACE, BEARD, GLASSES = range(11, 14)
"""Patterns over the cloth coordinates (u around, v along, metres): one colour; bands across; bands
along; both; dots; camouflage; a picture around (0, 0); another colour where v > 0; a band at each side,
where abs(u) = period; an open front; another colour where v < period. Faces take u and v as shares of
the skull."""
COLOURS = 5
"""Colours of a material; a face has skin, hair, eye white, iris, lips; patterns take the first three."""


@dataclass(frozen=True)
class Materials:
    """M materials.

    - ``colours`` (M, `COLOURS`, 3): RGB in [0, 1]; ``pattern`` (M,) int; ``period`` (M,): metres.
    - ``gloss`` (M,): strength of highlights; ``creases`` (M,): of the unevenness; both in [0, 1].
    """

    colours: FloatArray
    pattern: npt.NDArray[np.int64]
    period: FloatArray
    gloss: FloatArray
    creases: FloatArray


@dataclass(frozen=True)
class Surface:
    """V vertices and T triangles, seen from outside only: counter-clockwise there.

    - ``vertices`` (V, 3): metres, world; ``normals`` (V, 3): outwards, of any length > 0.
    - ``cloth`` (V, 2): coordinates of the patterns; ``shade`` (V,): how open to the sky, in [0, 1];
      ``folds`` (V,): the unevenness of cloth, see `cloth_folds`.
    - ``triangles`` (T, 3) int32; ``material`` (T,) int32: rows of ``materials``.
    - ``label`` (T,) uint8: `PERSON` or `OTHER`.
    """

    vertices: FloatArray
    normals: FloatArray
    cloth: FloatArray
    shade: FloatArray
    folds: FloatArray
    triangles: IntArray
    material: IntArray
    label: npt.NDArray[np.uint8]
    materials: Materials


@dataclass(frozen=True)
class Light:
    """What shines, in world axes.

    - ``directions`` (L, 3): unit vectors towards the lights, the sun first; ``strengths`` (L, 3):
      RGB, 1 shows a surface that faces the light in its own colour.
    - ``sky``, ``ground`` (3,): RGB light from above and from below.
    """

    directions: FloatArray
    strengths: FloatArray
    sky: FloatArray
    ground: FloatArray


@dataclass(frozen=True)
class Rendering:
    """What the camera sees at H x W pixels.

    - ``image`` (H, W, 3) uint8 RGB, the surfaces over the background.
    - ``depth`` (H, W) float32: metres along the camera's axis at the pixel's centre, of the nearest
      surface that any of the pixel's samples meets; inf where none does.
    - ``segmentation`` (H, W) uint8: the label of that surface, or `BACKGROUND`.
    """

    image: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    segmentation: npt.NDArray[np.uint8]


def plain_materials(colours: FloatArray) -> Materials:
    """A material of one colour for each of ``colours`` (M, 3), RGB in [0, 1]."""
    count = len(colours)
    repeated = np.repeat(np.asarray(colours, float)[:, None], COLOURS, 1)
    return Materials(
        repeated, np.zeros(count, np.int64), np.ones(count), np.full(count, 0.02), np.zeros(count)
    )


def faceted(vertices: FloatArray, triangles: Array, materials: Materials, material: Array) -> Surface:
    """A surface of flat faces (``OTHER``), from ``vertices`` (V, 3) and ``triangles`` (T, 3).

    ``material`` (T,) gives rows of ``materials``. The cloth coordinates lie in the faces, metres.
    """
    corners = np.asarray(vertices, float)[triangles]
    count = len(corners)
    side = corners[:, 1] - corners[:, 0]
    normal = np.cross(side, corners[:, 2] - corners[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    # Level lines of the pattern are horizontal on walls; floors take the world's x and z.
    across = np.cross([0.0, 1.0, 0.0], normal)
    flat = np.linalg.norm(across, axis=1) < 1e-6
    across[flat] = [1.0, 0.0, 0.0]
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    along = np.cross(normal, across)
    cloth = np.stack([(corners * across[:, None]).sum(-1), (corners * along[:, None]).sum(-1)], -1)
    return Surface(
        vertices=corners.reshape(-1, 3),
        normals=np.repeat(normal, 3, 0),
        cloth=cloth.reshape(-1, 2),
        shade=np.ones(3 * count),
        folds=np.zeros(3 * count),
        triangles=np.arange(3 * count, dtype=np.int32).reshape(-1, 3),
        material=np.asarray(material, np.int32),
        label=np.full(count, OTHER, np.uint8),
        materials=materials,
    )


def cuboid(size: FloatArray) -> tuple[FloatArray, IntArray]:
    """A box around the origin with edges ``size`` (3,): vertices (8, 3) and triangles (12, 3)."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    triangles = [t for a, b, c, d in faces for t in ((a, b, c), (a, c, d))]
    return signs * np.asarray(size) / 2, np.array(triangles, np.int32)


def join(surfaces: Sequence[Surface]) -> Surface:
    """Several surfaces, at least one, as one."""
    if len(surfaces) == 1:
        return surfaces[0]
    vertices = np.cumsum([0, *(len(s.vertices) for s in surfaces)])
    rows = np.cumsum([0, *(len(s.materials.pattern) for s in surfaces)])
    materials = Materials(
        **{
            name: np.concatenate([getattr(s.materials, name) for s in surfaces])
            for name in ("colours", "pattern", "period", "gloss", "creases")
        }
    )
    joined = {
        name: np.concatenate([getattr(s, name) for s in surfaces])
        for name in ("vertices", "normals", "cloth", "shade", "folds", "label")
    }
    triangles = [s.triangles + np.int32(n) for s, n in zip(surfaces, vertices, strict=False)]
    material = [s.material + np.int32(n) for s, n in zip(surfaces, rows, strict=False)]
    return Surface(
        **joined, triangles=np.concatenate(triangles), material=np.concatenate(material), materials=materials
    )


def only(surface: Surface, label: int) -> Surface:
    """The triangles of ``label`` alone, on the same vertices."""
    kept = surface.label == label
    return replace(
        surface,
        triangles=surface.triangles[kept],
        material=surface.material[kept],
        label=surface.label[kept],
    )


def render(
    surfaces: Sequence[Surface], camera: Camera, light: Light, background: npt.NDArray[np.uint8]
) -> Rendering:
    """Draw ``surfaces`` under ``camera`` over ``background`` (H, W, 3) uint8 RGB.

    A camera's lens distortion moves the vertices: exact for small triangles, not for large ones.
    Raises ``ValueError`` where the background has another shape or there is no surface.
    """
    if background.ndim != 3 or background.shape[2] != 3 or not len(surfaces):
        raise ValueError(f"expected (H, W, 3) and some surfaces, got {background.shape}, {len(surfaces)}")
    height, width = background.shape[:2]
    whole = join(surfaces)
    nearest, owner, planes, left, top = z_buffer(whole, camera, height, width)
    image = background.copy()
    depth = np.full((height, width), np.inf, np.float32)
    segmentation = np.zeros((height, width), np.uint8)
    m = whole.materials
    lit = _lit(
        whole.vertices, whole.normals, whole.shade, whole.folds,
        light.directions, light.strengths, light.sky, light.ground, np.asarray(camera.position, float),
    )  # fmt: skip
    reach = min(0.5, 1.5 / float(camera.focal[0]))  # a pixel and a half in the direction of view
    _shade(
        nearest, owner, planes, left, top, whole.triangles, whole.cloth, lit, whole.material, whole.label,
        m.colours, m.pattern, m.period, m.gloss, m.creases, light.strengths[0], reach,
        image, depth, segmentation,
    )  # fmt: skip
    return Rendering(image, depth, segmentation)


def z_buffer(
    surface: Surface, camera: Camera, height: int, width: int
) -> tuple[npt.NDArray[np.float32], IntArray, FloatArray, int, int]:
    """Which triangle each sample sees, in the window of the image that the surface may cover.

    ``nearest`` (h, w): 1 / depth, 0 for nothing; ``owner`` (h, w): the triangle or -1; ``planes``
    (T, 3, 3): from pixel (x, y, 1) to barycentric over depth; ``left``, ``top``: the sample at [0, 0].
    Sample (u, v) of the image lies at pixel ((u + 0.5) / SAMPLES - 0.5, (v + 0.5) / SAMPLES - 0.5).
    """
    if np.any(camera.radial) or np.any(camera.tangential):
        corners = camera.to_camera(surface.vertices)
        # Points behind the camera have no image; their triangles are hidden or large anyway.
        front = corners[:, 2] > NEAR
        corners[front, :2] = camera.project(surface.vertices[front]) * corners[front, 2:]
        corners[~front, :2] = corners[~front, :2] * camera.focal + camera.centre * corners[~front, 2:]
    else:
        corners = _seen(
            surface.vertices, np.ascontiguousarray(camera.rotation, float),
            np.asarray(camera.position, float), np.asarray(camera.focal, float),
            np.asarray(camera.centre, float),
        )  # fmt: skip
    left, top, right, bottom = _window(corners, height, width)
    nearest = np.zeros((bottom - top, right - left), np.float32)
    owner = np.full(nearest.shape, -1, np.int32)
    planes = np.empty((len(surface.triangles), 3, 3))
    _fill(corners, surface.triangles, left, top, nearest, owner, planes)
    return nearest, owner, planes, left, top


@njit(cache=True, error_model="numpy")
def _seen(vertices: Array, rotation: Array, position: Array, focal: Array, centre: Array) -> Array:
    """The vertices (V, 3) in homogeneous pixels (x z, y z, z), without a lens's distortion."""
    corners = np.empty((len(vertices), 3))
    for i in range(len(vertices)):
        x, y, z = vertices[i, 0] - position[0], vertices[i, 1] - position[1], vertices[i, 2] - position[2]
        depth = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z
        corners[i, 0] = (rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z) * focal[0] + (
            centre[0] * depth
        )
        corners[i, 1] = (rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z) * focal[1] + (
            centre[1] * depth
        )
        corners[i, 2] = depth
    return corners


@njit(cache=True, error_model="numpy")
def _window(corners: Array, height: int, width: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in samples, of whole pixels; all of the image near the camera."""
    x0, y0, x1, y1 = inf, inf, -inf, -inf
    behind = 0
    for i in range(len(corners)):
        w = corners[i, 2]
        if w < NEAR:
            behind += 1
            continue
        x, y = corners[i, 0] / w, corners[i, 1] / w
        x0, y0, x1, y1 = min(x0, x), min(y0, y), max(x1, x), max(y1, y)
    if behind == len(corners):
        return 0, 0, 0, 0
    if behind:
        return 0, 0, SAMPLES * width, SAMPLES * height
    left, right = max(0.0, floor(x0 + 0.5)), min(float(width), floor(x1 + 0.5) + 1)
    top, bottom = max(0.0, floor(y0 + 0.5)), min(float(height), floor(y1 + 0.5) + 1)
    if left >= right or top >= bottom:
        return 0, 0, 0, 0
    return int(SAMPLES * left), int(SAMPLES * top), int(SAMPLES * right), int(SAMPLES * bottom)


@njit(cache=True, error_model="numpy")
def _cut_rows(corners: Array, i: int, j: int, k: int) -> tuple[float, float]:
    """Least and greatest y in pixels of a triangle's part in front of the camera."""
    low, high = inf, -inf
    for a, b in ((i, j), (j, k), (k, i)):
        wa, wb = corners[a, 2], corners[b, 2]
        if wa >= NEAR:
            y = corners[a, 1] / wa
            low, high = min(low, y), max(high, y)
        if (wa >= NEAR) != (wb >= NEAR):
            share = (NEAR - wa) / (wb - wa)
            y = (corners[a, 1] + share * (corners[b, 1] - corners[a, 1])) / NEAR
            low, high = min(low, y), max(high, y)
    return low, high


@njit(cache=True, error_model="numpy")
def _plane(corners: Array, i: int, j: int, k: int, plane: Array) -> bool:
    """Write the inverse of the matrix of corners; False where the back is seen, or the edge."""
    for row in range(3):
        a, b = (j, k) if row == 0 else (k, i) if row == 1 else (i, j)
        plane[row, 0] = corners[a, 1] * corners[b, 2] - corners[a, 2] * corners[b, 1]
        plane[row, 1] = corners[a, 2] * corners[b, 0] - corners[a, 0] * corners[b, 2]
        plane[row, 2] = corners[a, 0] * corners[b, 1] - corners[a, 1] * corners[b, 0]
    determinant = corners[i, 0] * plane[0, 0] + corners[i, 1] * plane[0, 1] + corners[i, 2] * plane[0, 2]
    if determinant > -1e-7:
        return False
    inverse = 1 / determinant
    for row in range(3):
        for column in range(3):
            plane[row, column] *= inverse
    return True


@njit(cache=True, error_model="numpy")
def _fill(
    corners: Array, triangles: Array, left: int, top: int, nearest: Array, owner: Array, planes: Array
) -> None:
    height, width = nearest.shape
    step = 1.0 / SAMPLES
    first = 0.5 * step - 0.5
    flat = np.empty((len(corners), 2))  # in samples of the window
    in_front = True
    for i in range(len(corners)):
        in_front &= corners[i, 2] >= NEAR
        flat[i, 0] = (corners[i, 0] / corners[i, 2] - first) * SAMPLES - left
        flat[i, 1] = (corners[i, 1] / corners[i, 2] - first) * SAMPLES - top
    for t in range(len(triangles)):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if in_front or min(corners[i, 2], corners[j, 2], corners[k, 2]) >= NEAR:
            ax, ay, bx, by, cx, cy = flat[i, 0], flat[i, 1], flat[j, 0], flat[j, 1], flat[k, 0], flat[k, 1]
            if (bx - ax) * (cy - ay) >= (by - ay) * (cx - ax):
                continue  # its back is seen
            u0, u1 = ceil(max(min(ax, bx, cx), 0.0)), floor(min(max(ax, bx, cx), width - 1.0))
            v0, v1 = ceil(max(min(ay, by, cy), 0.0)), floor(min(max(ay, by, cy), height - 1.0))
        else:
            low, high = _cut_rows(corners, i, j, k)
            u0, u1 = 0, width - 1
            v0 = max(0, ceil((max(low, -1e6) - first) * SAMPLES) - top)
            v1 = min(height - 1, floor((min(high, 1e6) - first) * SAMPLES) - top)
        p = planes[t]
        if v0 > v1 or u0 > u1 or not _plane(corners, i, j, k, p):
            continue
        # A hair's breadth more, so that no sample falls between two neighbours.
        slack = 1e-9 / max(corners[i, 2], corners[j, 2], corners[k, 2])
        # Each coordinate grows or falls along a row, so it is >= -slack from one sample on, or up to one.
        x0 = left * step + first
        a0, a1, a2 = p[0, 0] * step, p[1, 0] * step, p[2, 0] * step
        n0, n1, n2 = -1 / a0, -1 / a1, -1 / a2
        slope = a0 + a1 + a2
        for v in range(v0, v1 + 1):
            y = (v + top) * step + first
            r0 = p[0, 0] * x0 + p[0, 1] * y + p[0, 2]
            r1 = p[1, 0] * x0 + p[1, 1] * y + p[1, 2]
            r2 = p[2, 0] * x0 + p[2, 1] * y + p[2, 2]
            q0, q1, q2 = (r0 + slack) * n0, (r1 + slack) * n1, (r2 + slack) * n2
            begin = max(q0 if a0 > 0 else -1.0, q1 if a1 > 0 else -1.0, q2 if a2 > 0 else -1.0, float(u0))
            end = min(q0 if a0 < 0 else 1e6, q1 if a1 < 0 else 1e6, q2 if a2 < 0 else 1e6, float(u1))
            never = (a0 == 0 and r0 < -slack) or (a1 == 0 and r1 < -slack) or (a2 == 0 and r2 < -slack)
            if never or not begin <= end:
                continue
            inverse = r0 + r1 + r2
            for u in range(ceil(begin), floor(end) + 1):
                s = inverse + slope * u
                if (nearest[v, u] < s) & (s < 1 / NEAR):
                    nearest[v, u] = s
                    owner[v, u] = t


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _lattice(i: int, j: int) -> float:
    """A number in [0, 1] that looks random, for each point of the grid."""
    n = i * 374761393 + j * 668265263
    n = (n ^ (n >> 13)) * 1274126177
    return float((n ^ (n >> 16)) & 0xFFFF) / 65535.0


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _noise(x: float, y: float) -> float:
    """Smooth noise in [0, 1] with a grain of 1."""
    i, j = floor(x), floor(y)
    s, t = x - i, y - j
    s, t = s * s * (3 - 2 * s), t * t * (3 - 2 * t)
    upper = _lattice(i, j) * (1 - s) + _lattice(i + 1, j) * s
    lower = _lattice(i, j + 1) * (1 - s) + _lattice(i + 1, j + 1) * s
    return upper * (1 - t) + lower * t


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _face(pattern: int, u: float, v: float) -> int:
    """The colour of a face at ``u`` around from the nose and ``v`` up from the skull's base."""
    side = abs(u)
    across, up = side - 0.145, v - 0.475
    ring = (across / 0.11) ** 2 + (up / 0.085) ** 2
    handle = abs(up - 0.02) < 0.013 and (side < 0.04 or 0.24 < side < 0.6)
    brow = abs(v - 0.565 + 0.25 * (across - 0.02) ** 2) < 0.016 and 0.06 < side < 0.235
    beard = side < 0.52 and (v < 0.10 + 0.4 * side or (side < 0.15 and abs(v - 0.21) < 0.025))
    chosen = 0
    if pattern == GLASSES and (0.7 < ring < 1.25 or handle):
        chosen = 1
    elif (across / 0.058) ** 2 + (up / 0.030) ** 2 < 1:
        chosen = 3 if across * across + up * up < 0.028**2 else 2
    elif brow:
        chosen = 1
    elif (u / 0.115) ** 2 + ((v - 0.155) / 0.030) ** 2 < 1:
        chosen = 4
    elif pattern == BEARD and beard:
        chosen = 1
    elif abs(v - 0.305) < 0.013 and 0.02 < side < 0.05:  # nostrils
        chosen = 4
    return chosen


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _choice(pattern: int, u: float, v: float, period: float) -> int:
    """Which of the material's colours shows at (u, v)."""
    if pattern == PLAIN:
        return 0
    if pattern >= FACE:
        return _face(pattern, u, v)
    across, along = floor(u / period), floor(v / period)
    if pattern <= CHECKS:
        return int(across % 2) * int(pattern != RINGS) + int(along % 2) * int(pattern != STRIPES)
    chosen = False
    if pattern == DOTS:
        chosen = (u / period - across - 0.5) ** 2 + (v / period - along - 0.5) ** 2 < 0.09
    elif pattern == BLOTCHES:
        height = _noise(u / period, v / period) + 0.4 * _noise(2.3 * u / period, 2.3 * v / period)
        return int(height > 0.6) + int(height > 0.85)
    elif pattern == PRINT:
        if (u / period) ** 2 + (v / period) ** 2 < 1:
            return 1 + int(_noise(3.1 * u / period + 7, 3.1 * v / period) > 0.5)
    elif pattern == BLOCK:
        chosen = v > 0
    elif pattern == SIDES:
        chosen = abs(abs(u) - period) < 0.018
    elif pattern == OPEN:
        chosen = abs(u) < period * (1 + 2 * v)
    else:
        chosen = v < period
    return int(chosen)


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def cloth_folds(cloth: Array) -> Array:
    """How uneven cloth is at each vertex (V,), about -0.75 to 0.75, from its coordinates (V, 2)."""
    folds = np.empty(len(cloth))
    for i in range(len(cloth)):
        u, v = cloth[i, 0], cloth[i, 1]
        folds[i] = _noise(u * 28, v * 45) + 0.5 * _noise(u * 90, v * 110) - 0.75
    return folds


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _lit(
    vertices: Array, normals: Array, shade: Array, folds: Array,
    directions: Array, strengths: Array, sky: Array, ground: Array, position: Array,
) -> Array:  # fmt: skip
    """What the light does at each vertex (V, 5): RGB of matt white, the highlight, and the folds.

    Triangles are hardly larger than pixels, so light is worked out at their corners only.
    """
    lit = np.empty((len(vertices), 5), np.float32)
    for i in range(len(vertices)):
        nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
        norm = 1 / sqrt(nx * nx + ny * ny + nz * nz + 1e-20)
        nx, ny, nz = nx * norm, ny * norm, nz * norm
        vx, vy, vz = position[0] - vertices[i, 0], position[1] - vertices[i, 1], position[2] - vertices[i, 2]
        size = 1 / sqrt(vx * vx + vy * vy + vz * vz + 1e-20)
        # Blinn's highlight, with the direction half-way between the sun and the view.
        hx, hy, hz = directions[0, 0] + size * vx, directions[0, 1] + size * vy, directions[0, 2] + size * vz
        cosine = max(0.0, nx * hx + ny * hy + nz * hz)
        square = cosine * cosine / (hx * hx + hy * hy + hz * hz + 1e-20)
        square *= square
        square *= square
        opened, up = 255 * shade[i], 0.5 + 0.5 * ny
        lit[i, 3], lit[i, 4] = opened * square * square, folds[i]
        for k in range(3):
            lit[i, k] = opened * (ground[k] + (sky[k] - ground[k]) * up)
        for j in range(len(directions)):
            cosine = nx * directions[j, 0] + ny * directions[j, 1] + nz * directions[j, 2]
            if cosine > 0:
                for k in range(3):
                    lit[i, k] += opened * strengths[j, k] * cosine
    return lit


@njit(error_model="numpy", fastmath=_FAST, inline="always")
def _corner_shares(planes: Array, t: Any, x: float, y: float) -> tuple[float, float, float]:
    """Barycentric coordinates of what is seen of triangle ``t`` at pixel (x, y)."""
    e0 = planes[t, 0, 0] * x + planes[t, 0, 1] * y + planes[t, 0, 2]
    e1 = planes[t, 1, 0] * x + planes[t, 1, 1] * y + planes[t, 1, 2]
    e2 = planes[t, 2, 0] * x + planes[t, 2, 1] * y + planes[t, 2, 2]
    whole = 1 / (e0 + e1 + e2)
    return e0 * whole, e1 * whole, e2 * whole


@njit(error_model="numpy", fastmath=_FAST, inline="always")
def _light_at(
    t: Any, x: float, y: float, planes: Array, triangles: Array, lit: Array
) -> tuple[float, float, float, float, float]:
    """The columns of `_lit` on triangle ``t`` at pixel (x, y)."""
    e0, e1, e2 = _corner_shares(planes, t, x, y)
    a, b, c = np.uint32(triangles[t, 0]), np.uint32(triangles[t, 1]), np.uint32(triangles[t, 2])
    return (
        e0 * lit[a, 0] + e1 * lit[b, 0] + e2 * lit[c, 0],
        e0 * lit[a, 1] + e1 * lit[b, 1] + e2 * lit[c, 1],
        e0 * lit[a, 2] + e1 * lit[b, 2] + e2 * lit[c, 2],
        e0 * lit[a, 3] + e1 * lit[b, 3] + e2 * lit[c, 3],
        e0 * lit[a, 4] + e1 * lit[b, 4] + e2 * lit[c, 4],
    )


@njit(error_model="numpy", fastmath=_FAST, inline="always")
def _choice_at(
    t: Any, x: float, y: float, planes: Array, triangles: Array, cloth: Array, pattern: int, period: float
) -> int:
    """Which of its material's colours triangle ``t`` shows at pixel (x, y)."""
    if pattern == PLAIN:
        return 0
    e0, e1, e2 = _corner_shares(planes, t, x, y)
    a, b, c = np.uint32(triangles[t, 0]), np.uint32(triangles[t, 1]), np.uint32(triangles[t, 2])
    u = e0 * cloth[a, 0] + e1 * cloth[b, 0] + e2 * cloth[c, 0]
    v = e0 * cloth[a, 1] + e1 * cloth[b, 1] + e2 * cloth[c, 1]
    return _choice(pattern, u, v, period)


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _shade(
    nearest: Array, owner: Array, planes: Array, left: int, top: int,
    triangles: Array, cloth: Array, lit: Array, material: Array, label: Array,
    colours: Array, pattern: Array, period: Array, gloss: Array, creases: Array, sun: Array,
    reach: float, image: Array, depth: Array, segmentation: Array,
) -> None:  # fmt: skip
    """Write the mean colour of each pixel's samples, and depth and label of the nearest."""
    step, full = 1.0 / SAMPLES, SAMPLES * SAMPLES
    first = 0.5 * step - 0.5
    for row in range(top // SAMPLES, (top + nearest.shape[0]) // SAMPLES):
        for column in range(left // SAMPLES, (left + nearest.shape[1]) // SAMPLES):
            v0, u0 = row * SAMPLES - top, column * SAMPLES - left
            best, worst, which, covered, even, m = 0.0, 1e9, 0, 0, True, np.int32(0)
            for s in range(full):
                t = owner[v0 + s // SAMPLES, u0 + s % SAMPLES]
                value = nearest[v0 + s // SAMPLES, u0 + s % SAMPLES]
                if t < 0:
                    continue
                if covered and material[t] != m:
                    even = False
                m = material[t]
                covered += 1
                worst = min(worst, value)
                if value > best:
                    best, which = value, s
            if covered == 0:
                continue
            winner = np.uint32(owner[v0 + which // SAMPLES, u0 + which % SAMPLES])
            red, green, blue = 0.0, 0.0, 0.0
            if even and covered == full and worst > 0.99 * best:
                # No edge goes through the pixel: one sample tells the light for all.
                x, y = column + (which % SAMPLES) * step + first, row + (which // SAMPLES) * step + first
                r, g, b, shine, fold = _light_at(winner, x, y, planes, triangles, lit)
                drawn = 1 if pattern[m] == PLAIN else full
                r0, g0, b0 = 0.0, 0.0, 0.0
                for s in range(drawn):
                    t = np.uint32(owner[v0 + s // SAMPLES, u0 + s % SAMPLES])
                    x, y = column + (s % SAMPLES) * step + first, row + (s // SAMPLES) * step + first
                    chosen = _choice_at(t, x, y, planes, triangles, cloth, pattern[m], period[m])
                    r0 += colours[m, chosen, 0]
                    g0 += colours[m, chosen, 1]
                    b0 += colours[m, chosen, 2]
                uneven, shine = (1 + creases[m] * fold) / drawn, shine * gloss[m]
                red = r * r0 * uneven + shine * sun[0]
                green = g * g0 * uneven + shine * sun[1]
                blue = b * b0 * uneven + shine * sun[2]
            else:
                for s in range(full):
                    if owner[v0 + s // SAMPLES, u0 + s % SAMPLES] < 0:
                        continue
                    t = np.uint32(owner[v0 + s // SAMPLES, u0 + s % SAMPLES])
                    m = material[t]
                    x, y = column + (s % SAMPLES) * step + first, row + (s // SAMPLES) * step + first
                    r, g, b, shine, fold = _light_at(t, x, y, planes, triangles, lit)
                    chosen = _choice_at(t, x, y, planes, triangles, cloth, pattern[m], period[m])
                    uneven, shine = (1 + creases[m] * fold) / full, shine * gloss[m] / full
                    red += r * colours[m, chosen, 0] * uneven + shine * sun[0]
                    green += g * colours[m, chosen, 1] * uneven + shine * sun[1]
                    blue += b * colours[m, chosen, 2] * uneven + shine * sun[2]
            blank = 1 - covered / full
            image[row, column, 0] = min(255.0, red + blank * image[row, column, 0] + 0.5)
            image[row, column, 1] = min(255.0, green + blank * image[row, column, 1] + 0.5)
            image[row, column, 2] = min(255.0, blue + blank * image[row, column, 2] + 0.5)
            inverse = _inverse_depth(planes[winner], float(column), float(row), best, reach)
            depth[row, column] = 1 / inverse
            segmentation[row, column] = label[winner]


@njit(cache=True, error_model="numpy", fastmath=_FAST)
def _inverse_depth(plane: Array, x: float, y: float, sampled: float, reach: float) -> float:
    """1 / depth of the triangle's plane at the pixel's centre, given that of one of its samples.

    Beside the triangle it may differ from the sample's by the share ``reach`` at most, as a
    triangle seen edgewise goes far.
    """
    total, inside = 0.0, True
    for e in range(3):
        value = plane[e, 0] * x + plane[e, 1] * y + plane[e, 2]
        inside &= value >= -1e-9
        total += value
    if inside:
        return total
    return min(max(total, sampled * (1 - reach)), sampled * (1 + reach))
