"""Skinning: tubes of rings, bent and twisted by the bones of `rig`.

A ring hangs on a *driver*: a rigid frame that turns a part of the way from one bone to the next
(``bend``), and by another part about the bone's own axis (``twist``), around the joint between them.
Rings are never squeezed, so that elbows and knees keep their thickness and twisted arms do not collapse.
The mesh is modelled with arms and legs apart (`bind_rotations`), half-way between where they go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import accumulate
from math import atan2, cos, sin, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from poseact.data.synthetic.compiled import njit
from poseact.data.synthetic.rasteriser import PERSON, Surface
from poseact.data.synthetic.rig import BONES, Lengths
from poseact.data.synthetic.rig import SIDES as SIGNS
from poseact.data.synthetic.wardrobe import Build, Outfit

FloatArray = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

ARM_APART, LEG_APART = 70.0, 9.0
"""Degrees from hanging in which arms and legs are modelled."""
_INFLUENCES = 4
Joints = tuple[tuple[float, float, float, float], ...]
"""Where along a chain of bones (1 = from one joint to the next) the surface bends and twists:
first and last place of either, for each joint of the chain."""


@dataclass(frozen=True)
class Person:
    """A person to be posed: V vertices, T triangles, D drivers; B bones of `rig.BONES`.

    - ``surface``: the mesh as it was modelled, pelvis at the origin, facing +z.
    - ``lengths``: the bones' lengths that ``starts`` must have come from; ``build`` and ``outfit`` on them.
    - ``points``: where the fingers' joints are on the hands' bones, see `rig.joints`.
    - ``bones`` (D, 2) int32: the bones before and after each driver's joint; ``shares`` (D, 2): how
      far it follows the second in bend and twist.
    - ``indices`` (V, 4) int32, ``weights`` (V, 4): drivers of each vertex; weights sum to 1, largest
      first or zeros behind.
    - ``turned`` (B, 3, 3), ``starts`` (B, 3), ``axes`` (B, 3): rotation, start and direction of each
      bone in ``surface``.
    - ``thickness`` (36,): for each joint of `skeleton.FIGURE36` the greatest radius of the body or its
      clothes around it, metres.
    """

    surface: Surface
    lengths: Lengths
    build: Build
    outfit: Outfit
    points: dict[str, FloatArray]
    bones: npt.NDArray[np.int32]
    shares: FloatArray
    indices: npt.NDArray[np.int32]
    weights: FloatArray
    turned: FloatArray
    starts: FloatArray
    axes: FloatArray
    thickness: FloatArray


def posed(person: Person, rotations: FloatArray, starts: FloatArray) -> Surface:
    """The person with its bones turned by ``rotations`` (B, 3, 3) at ``starts`` (B, 3), metres, world.

    The result's ``vertices`` and ``normals`` are new, all else is shared with ``person.surface``.
    """
    frames = _frames(
        np.asarray(rotations, np.float64), np.asarray(starts, np.float64),
        person.turned, person.starts, person.axes, person.bones, person.shares,
    )  # fmt: skip
    surface = person.surface
    vertices, normals = np.empty_like(surface.vertices), np.empty_like(surface.normals)
    _skin(frames, surface.vertices, surface.normals, person.indices, person.weights, vertices, normals)
    return replace(surface, vertices=vertices, normals=normals)


# --- bending ------------------------------------------------------------------------------


@njit(cache=True)
def _quaternion(m: Array, q: Array) -> None:
    """The rotation ``m`` (3, 3) as ``q`` = w, x, y, z."""
    trace = m[0, 0] + m[1, 1] + m[2, 2]
    if trace > 0:
        s = 2 * sqrt(trace + 1)
        q[0] = s / 4
        q[1], q[2], q[3] = (m[2, 1] - m[1, 2]) / s, (m[0, 2] - m[2, 0]) / s, (m[1, 0] - m[0, 1]) / s
        return
    i = 0
    if m[1, 1] > m[0, 0]:
        i = 1
    if m[2, 2] > m[i, i]:
        i = 2
    j, k = (i + 1) % 3, (i + 2) % 3
    s = 2 * sqrt(max(1e-12, m[i, i] - m[j, j] - m[k, k] + 1))
    q[0] = (m[k, j] - m[j, k]) / s
    q[1 + i] = s / 4
    q[1 + j], q[1 + k] = (m[j, i] + m[i, j]) / s, (m[k, i] + m[i, k]) / s


@njit(cache=True)
def _scaled(q: Array, share: float) -> None:
    """Turn ``q`` into ``share`` of its rotation, the short way."""
    if q[0] < 0:
        q[:] = -q
    length = sqrt(q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
    half = share * atan2(length, q[0])
    gain = sin(half) / length if length > 1e-9 else 0.0
    q[0] = cos(half)
    for k in range(1, 4):
        q[k] *= gain


@njit(cache=True)
def _product(p: Array, q: Array, out: Array) -> None:
    out[0] = p[0] * q[0] - p[1] * q[1] - p[2] * q[2] - p[3] * q[3]
    out[1] = p[0] * q[1] + p[1] * q[0] + p[2] * q[3] - p[3] * q[2]
    out[2] = p[0] * q[2] - p[1] * q[3] + p[2] * q[0] + p[3] * q[1]
    out[3] = p[0] * q[3] + p[1] * q[2] - p[2] * q[1] + p[3] * q[0]


@njit(cache=True)
def _matrix(q: Array, m: Array) -> None:
    w, x, y, z = q[0], q[1], q[2], q[3]
    m[0, 0], m[0, 1], m[0, 2] = 1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)
    m[1, 0], m[1, 1], m[1, 2] = 2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)
    m[2, 0], m[2, 1], m[2, 2] = 2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)


@njit(cache=True)
def _times(a: Array, b: Array, out: Array) -> None:
    for i in range(3):
        for j in range(3):
            out[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j]


@njit(cache=True)
def _frames(
    rotations: Array, at: Array, turned: Array, starts: Array, axes: Array, bones: Array, shares: Array
) -> Array:
    """Rotation and shift (D, 3, 4) of each driver, from the modelled mesh into the world."""
    world = np.empty(rotations.shape)
    for i in range(len(world)):
        _times(rotations[i], turned[i].T, world[i])
    frames = np.empty((len(bones), 3, 4))
    relative, part = np.empty((3, 3)), np.empty((3, 3))
    q, swing, twist = np.empty(4), np.empty(4), np.empty(4)
    for d in range(len(bones)):
        parent, child = bones[d, 0], bones[d, 1]
        _times(world[parent].T, world[child], relative)
        _quaternion(relative, q)
        axis = axes[child]
        along = q[1] * axis[0] + q[2] * axis[1] + q[3] * axis[2]
        size = sqrt(q[0] * q[0] + along * along)
        twist[0] = q[0] / size if size > 1e-6 else 1.0
        for k in range(3):
            twist[1 + k] = -axis[k] * along / size if size > 1e-6 else 0.0
        _product(q, twist, swing)  # its inverse takes the twist out
        twist[1:] = -twist[1:]
        _scaled(swing, shares[d, 0])
        _scaled(twist, shares[d, 1])
        _product(swing, twist, q)
        _matrix(q, relative)
        _times(world[parent], relative, part)
        pivot = starts[child]
        for i in range(3):
            turned_pivot = part[i, 0] * pivot[0] + part[i, 1] * pivot[1] + part[i, 2] * pivot[2]
            for j in range(3):
                frames[d, i, j] = part[i, j]
            frames[d, i, 3] = at[child, i] - turned_pivot
    return frames


@njit(cache=True)
def _skin(
    frames: Array,
    points: Array,
    directions: Array,
    indices: Array,
    weights: Array,
    moved: Array,
    turned: Array,
) -> None:
    for v in range(len(points)):
        x, y, z = points[v, 0], points[v, 1], points[v, 2]
        a, b, c = directions[v, 0], directions[v, 1], directions[v, 2]
        for i in range(3):
            at, to = 0.0, 0.0
            for k in range(indices.shape[1]):
                weight = weights[v, k]
                if weight == 0:
                    break
                f = frames[indices[v, k], i]
                at += weight * (f[0] * x + f[1] * y + f[2] * z + f[3])
                to += weight * (f[0] * a + f[1] * b + f[2] * c)
            moved[v, i], turned[v, i] = at, to


@njit(cache=True)
def _edge(vertices: Array, a: int, b: int) -> tuple[float, float, float]:
    return vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]


@njit(cache=True)
def vertex_normals(vertices: Array, triangles: Array, same: Array) -> Array:
    """Normals (V, 3) of length 1: means over the triangles around, where ``same`` joins vertices."""
    normals = np.zeros(vertices.shape)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = _edge(vertices, a, b)
        vx, vy, vz = _edge(vertices, a, c)
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for corner in (same[a], same[b], same[c]):
            normals[corner, 0] += x
            normals[corner, 1] += y
            normals[corner, 2] += z
    for i in range(len(normals)):
        x, y, z = normals[same[i], 0], normals[same[i], 1], normals[same[i], 2]
        size = sqrt(x * x + y * y + z * z) + 1e-20
        normals[i, 0], normals[i, 1], normals[i, 2] = x / size, y / size, z / size
    return normals


def bind_rotations() -> FloatArray:
    """Rotations (B, 3, 3) of the bones in which the mesh is modelled."""
    turned = np.tile(np.eye(3), (len(BONES), 1, 1))
    for side, sign in SIGNS.items():
        for parts, angle in (
            (("upper_arm", "forearm", "hand"), ARM_APART),
            (("thigh", "shank"), LEG_APART),
        ):
            for part in parts:
                turned[BONES.index(f"{side}_{part}")] = _about_z(sign * angle)
    return turned


def _about_z(degrees: float) -> FloatArray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def bone_axes(turned: FloatArray) -> FloatArray:
    """Each bone's direction (B, 3) in the modelled mesh."""
    rest = np.tile([0.0, -1.0, 0.0], (len(BONES), 1))
    for bone in ("pelvis", "lumbar", "chest", "neck", "skull"):
        rest[BONES.index(bone)] = [0, 1, 0]
    for side, sign in SIGNS.items():
        rest[BONES.index(f"{side}_clavicle")] = [sign, 0, 0]
        rest[BONES.index(f"{side}_foot")] = np.array([0, -0.4, 1]) / np.hypot(0.4, 1)
    return np.asarray(np.einsum("bij,bj->bi", turned, rest))


# --- tubes --------------------------------------------------------------------------------


@dataclass
class Part:
    """A closed piece of the mesh, in metres; its rows of ``drivers`` are its own."""

    vertices: FloatArray
    triangles: Array
    cloth: FloatArray
    shade: FloatArray
    material: Array
    same: Array
    bones: Array
    shares: FloatArray
    indices: Array
    weights: FloatArray
    label: int = PERSON


@dataclass(frozen=True)
class Drivers:
    """For each ring: bones (n, 2) before and after its joint, shares (n, 2) of bend and twist."""

    bones: Array
    shares: FloatArray


def _share(x: FloatArray, low: Array | float, high: Array | float) -> FloatArray:
    """0 below ``low``, 1 above ``high``, even between; `np.clip` is slow on short arrays."""
    return np.asarray(np.minimum(np.maximum((x - low) / (high - low), 0), 1))


def smooth(x: FloatArray, low: Array | float, high: Array | float) -> FloatArray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    share = _share(x, low, high)
    return np.asarray(share * share * (3 - 2 * share))


@cache
def _chain(chain: tuple[str, ...], joints: Joints) -> tuple[Array, Array, Array]:
    """Where each joint of a chain begins (n,), its four places (4, n), its bones (n, 2)."""
    table = np.array(joints)
    index = np.array([BONES.index(bone) for bone in chain[: len(joints) + 1]])
    return table[:, [0, 2]].min(1), table.T.copy(), np.stack([index[:-1], index[1:]], 1)


def drivers_along(chain: Sequence[str], joints: Joints, place: FloatArray) -> Drivers:
    """The drivers of rings at ``place`` (n,) along a chain of bones; joint k turns bone k + 1."""
    begin, table, bones = _chain(tuple(chain), joints)
    k = np.maximum(np.searchsorted(begin, place, "right") - 1, 0)
    low, high, twist_low, twist_high = table[:, k]
    shares = np.stack([smooth(place, low, high), _share(place, twist_low, twist_high)], 1)
    return Drivers(bones[k], shares)


def rigid(bone: str) -> Drivers:
    """All of the part on one bone."""
    index = BONES.index(bone)
    return Drivers(np.array([[index, index]]), np.ones((1, 2)))


def distance_along(place: FloatArray, lengths: Sequence[float]) -> FloatArray:
    """Metres from a chain's first joint to ``place``, which counts in bones."""
    knots = [-lengths[0], 0.0, *accumulate(lengths)]
    knots.append(knots[-1] + lengths[-1])
    return np.interp(place, np.arange(-1, len(lengths) + 2), knots)


def table_at(table: FloatArray, place: FloatArray) -> list[FloatArray]:
    """The columns of ``table`` behind the first, at ``place``."""
    return [np.interp(place, table[:, 0], column) for column in table[:, 1:].T]


@cache
def grid_triangles(rings: int, sectors: int, rising: bool) -> tuple[Array, Array]:
    """Triangles of ``rings`` x (``sectors`` + 1) vertices, and which vertices are the same."""
    i, j = np.meshgrid(np.arange(rings - 1), np.arange(sectors), indexing="ij")
    a = i * (sectors + 1) + j
    b, c, d = a + 1, a + sectors + 2, a + sectors + 1
    triangles = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], 2).reshape(-1, 3)
    same = np.arange(rings * (sectors + 1)).reshape(rings, -1)
    same[:, -1] = same[:, 0]
    same[[0, -1]] = same[[0, -1], :1]
    return triangles if rising else triangles[:, ::-1], same.ravel()


@cache
def _circle(sectors: int, square: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Angles, sines and cosines of a superellipse from the back over the right to the front and on."""
    angle = np.linspace(-np.pi, np.pi, sectors + 1)
    s, c = np.sin(angle), np.cos(angle)
    return angle, np.sign(s) * np.abs(s) ** (2 / square), np.sign(c) * np.abs(c) ** (2 / square)


def tube(
    at: FloatArray, wide: FloatArray, front: FloatArray, back: FloatArray, material: Array, drivers: Drivers,
    *, sectors: int, x: FloatArray | float = 0.0, z: FloatArray | float = 0.0, square: float = 2.0,
    around: float = 0.1, along: FloatArray | None = None, shade: FloatArray | float = 1.0,
    label: int = PERSON,
) -> Part:  # fmt: skip
    """Rings along y at ``at`` (n,): half width in x, extent to the front (+z) and the back.

    ``x``, ``z``: the rings' centres. ``material`` (n - 1,): of the strips. Cloth coordinates are the
    angle from the front times ``around``, and ``along`` (n,) or ``at``. Both ends are closed.
    """

    def closed(values: FloatArray | float, end: float | None = None) -> FloatArray:
        whole = np.empty(len(at) + 2)
        whole[1:-1] = values
        whole[0], whole[-1] = (whole[1], whole[-2]) if end is None else (end, end)
        return whole

    angle, s, c = _circle(sectors, square)
    rings = len(at) + 2
    extent = np.where(c > 0, closed(front, 0.0)[:, None], closed(back, 0.0)[:, None])
    vertices = np.empty((rings, sectors + 1, 3))
    vertices[..., 0] = closed(wide, 0.0)[:, None] * s + closed(x)[:, None]
    vertices[..., 1] = closed(at)[:, None]
    vertices[..., 2] = extent * c + closed(z)[:, None]
    cloth = np.empty((rings, sectors + 1, 2))
    cloth[..., 0] = angle * around
    cloth[..., 1] = closed(at if along is None else along)[:, None]
    triangles, same = grid_triangles(rings, sectors, bool(at[-1] > at[0]))
    strips = np.concatenate([material[:1], material, material[-1:]])
    per_ring = np.arange(rings - 2) if len(drivers.bones) > 1 else np.zeros(rings - 2, int)
    indices = np.zeros((rings * (sectors + 1), _INFLUENCES), np.int32)
    indices[:, 0] = np.repeat(np.concatenate([per_ring[:1], per_ring, per_ring[-1:]]), sectors + 1)
    weights = np.zeros(indices.shape)
    weights[:, 0] = 1
    return Part(
        vertices.reshape(-1, 3), triangles, cloth.reshape(-1, 2), np.repeat(closed(shade), sectors + 1),
        np.repeat(strips, 2 * sectors), same, drivers.bones, drivers.shares, indices, weights, label,
    )  # fmt: skip


def blob(
    centre: Sequence[float], radii: Sequence[float], material: int, drivers: Drivers, sectors: int = 10,
    label: int = PERSON,
) -> Part:  # fmt: skip
    """An ellipsoid."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, sectors // 2 + 3)[1:-1]
    ring = np.cos(angle)
    part = tube(
        np.sin(angle) * radii[1], ring * radii[0], ring * radii[2], ring * radii[2],
        np.full(len(angle) - 1, material), drivers, sectors=sectors, around=radii[0], label=label,
    )  # fmt: skip
    # The closing vertices come to the poles.
    part.vertices[: sectors + 1, 1], part.vertices[-sectors - 1 :, 1] = -radii[1], radii[1]
    part.vertices += centre
    return part


def onto(direction: Sequence[float], rest: Sequence[float] = (0.0, -1.0, 0.0)) -> FloatArray:
    """The shortest rotation (3, 3) of ``rest`` onto ``direction``; they must not be opposite."""
    a, b = np.asarray(rest, float), np.asarray(direction, float)
    b = b / np.linalg.norm(b)
    v = np.cross(a, b)
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.asarray(np.eye(3) + cross + cross @ cross / (1 + a @ b))


def placed(part: Part, rotation: FloatArray, shift: Array) -> Part:
    """The part turned by ``rotation`` (3, 3), then shifted by ``shift`` (3,); changed in place."""
    part.vertices = part.vertices @ rotation.T + shift
    return part


Layer = tuple[float, int, float, float]
"""Up to which place, material, and by how many metres it stands off the skin at its start and end."""


def layered(grid: FloatArray, layers: Sequence[Layer]) -> tuple[FloatArray, FloatArray, Array]:
    """Rings of clothes in layers along a limb: places (n,), offsets (n,), materials (n - 1,).

    Where a layer ends two rings share the place; the step between them belongs to the outer one.
    """
    place: list[float] = []
    offset: list[float] = []
    strips: list[int] = []
    begin = float(grid[0])
    for until, material, first, last in layers:
        end = min(until, float(grid[-1]))
        if end - begin < 0.03:
            continue
        inner = grid[(grid > begin + 0.025) & (grid < end - 0.025)]
        own = np.array([begin, *inner, end])
        if place:
            strips.append(strips[-1] if offset[-1] > first else material)
        place += own.tolist()
        offset += np.interp(own, [begin, end], [first, last]).tolist()
        strips += [material] * (len(own) - 1)
        begin = end
    return np.array(place), np.array(offset), np.array(strips)
