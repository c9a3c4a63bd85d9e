"""A clothed person as one mesh of swept tubes, made here; bent by the bones of `rig`.

Trunk, arms, legs, neck and head are tubes of closed rings (`skinning`), whose ends lie inside one
another: that leaves no gap at shoulders and hips in any pose. Clothes are part of the tubes: rings
that stand off the skin, in another material (`wardrobe`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from poseact.data.synthetic.placing import SOLE as FLAT
from poseact.data.synthetic.rasteriser import OTHER, Surface, cloth_folds, plain_materials
from poseact.data.synthetic.rig import BONES, Lengths, starts
from poseact.data.synthetic.rig import SIDES as SIGNS
from poseact.data.synthetic.skinning import (
    LEG_APART,
    Drivers,
    Joints,
    Layer,
    Part,
    Person,
    bind_rotations,
    blob,
    bone_axes,
    distance_along,
    drivers_along,
    grid_triangles,
    layered,
    onto,
    placed,
    posed,
    rigid,
    smooth,
    table_at,
    tube,
    vertex_normals,
)
from poseact.data.synthetic.wardrobe import (
    SLOT,
    SLOTS,
    Build,
    Outfit,
    materials_of,
    pick,
    random_build,
    random_materials,
    random_outfit,
)
from poseact.skeleton import FIGURE36

__all__ = ["PROPS", "Person", "posed", "random_person", "recoloured"]

FloatArray = npt.NDArray[np.float64]
Array = npt.NDArray[Any]

PROPS = ("ball", "bat", "phone", "cup")
"""What a hand can hold."""
_ARM_JOINTS: Joints = ((-0.15, 0.30, -0.10, 0.75), (0.82, 1.18, 0.82, 1.40), (1.88, 2.10, 1.42, 1.95))
_LEG_JOINTS: Joints = ((-0.20, 0.20, -0.05, 0.70), (0.86, 1.14, 0.86, 1.40), (1.88, 2.06, 1.50, 1.95))
_TRUNK_JOINTS: Joints = (
    (-0.10, 0.70, -0.10, 0.70), (0.70, 1.45, 0.70, 1.45), (1.85, 2.50, 1.85, 2.60), (2.62, 3.15, 2.62, 3.20)
)  # fmt: skip
_TRUNK = ("pelvis", "lumbar", "chest", "neck", "skull")

# Outlines in metres of a body 1.75 m tall. The place counts in bones from the chain's first joint.
# place, half width of a man, of a woman, front, back
_TRUNK_TABLE = np.array([
    [-0.44, 0.030, 0.030, 0.040, 0.045], [-0.36, 0.080, 0.082, 0.072, 0.080],
    [-0.24, 0.122, 0.126, 0.088, 0.098], [-0.10, 0.152, 0.159, 0.097, 0.110],
    [0.05, 0.167, 0.175, 0.101, 0.113], [0.25, 0.166, 0.172, 0.102, 0.104],
    [0.50, 0.155, 0.156, 0.100, 0.090], [0.80, 0.141, 0.128, 0.096, 0.082],
    [1.05, 0.145, 0.128, 0.101, 0.088], [1.31, 0.157, 0.139, 0.109, 0.100],
    [1.55, 0.166, 0.148, 0.112, 0.110], [1.73, 0.166, 0.148, 0.101, 0.112],
    [1.88, 0.162, 0.146, 0.080, 0.104], [2.00, 0.149, 0.136, 0.063, 0.092],
    [2.12, 0.128, 0.116, 0.052, 0.080], [2.26, 0.096, 0.086, 0.047, 0.070],
    [2.48, 0.053, 0.048, 0.043, 0.056],
])  # fmt: skip
# place, half thickness, front, back
_ARM_TABLE = np.array([
    [-0.38, 0.024, 0.028, 0.030], [-0.24, 0.040, 0.042, 0.046], [-0.10, 0.049, 0.053, 0.055],
    [0.00, 0.052, 0.058, 0.059], [0.12, 0.053, 0.058, 0.057], [0.28, 0.049, 0.053, 0.050],
    [0.45, 0.045, 0.052, 0.048], [0.65, 0.042, 0.046, 0.046], [0.85, 0.039, 0.040, 0.042],
    [1.00, 0.038, 0.039, 0.042], [1.14, 0.042, 0.041, 0.042], [1.30, 0.042, 0.042, 0.041],
    [1.50, 0.036, 0.037, 0.037], [1.70, 0.030, 0.032, 0.031], [1.87, 0.024, 0.029, 0.029],
    [1.98, 0.021, 0.028, 0.028], [2.08, 0.019, 0.026, 0.026],
])  # fmt: skip
# place, half width, front, back
_LEG_TABLE = np.array([
    [-0.22, 0.040, 0.050, 0.058], [-0.13, 0.064, 0.078, 0.088], [-0.04, 0.078, 0.088, 0.100],
    [0.06, 0.084, 0.090, 0.098], [0.18, 0.083, 0.088, 0.091], [0.35, 0.077, 0.083, 0.083],
    [0.55, 0.068, 0.074, 0.073], [0.75, 0.058, 0.064, 0.062], [0.90, 0.053, 0.059, 0.055],
    [1.00, 0.051, 0.058, 0.053], [1.10, 0.049, 0.053, 0.055], [1.20, 0.052, 0.049, 0.062],
    [1.32, 0.053, 0.047, 0.067], [1.48, 0.048, 0.043, 0.058], [1.65, 0.038, 0.038, 0.044],
    [1.82, 0.032, 0.035, 0.037], [1.95, 0.031, 0.036, 0.037], [2.07, 0.032, 0.038, 0.038],
])  # fmt: skip
_NECK_TABLE = np.array([
    [1.75, 0.050, 0.040, 0.050], [2.10, 0.056, 0.048, 0.058], [2.45, 0.053, 0.047, 0.056],
    [2.80, 0.052, 0.050, 0.055], [3.15, 0.050, 0.048, 0.052],
])  # fmt: skip
# metres from the ankle to the front; height of the top above the sole; half width
_FOOT_TABLE = np.array([
    [-0.062, 0.045, 0.016], [-0.054, 0.068, 0.028], [-0.035, 0.090, 0.036], [0.000, 0.100, 0.040],
    [0.035, 0.090, 0.041], [0.070, 0.072, 0.043], [0.105, 0.058, 0.047], [0.140, 0.049, 0.048],
    [0.170, 0.043, 0.044], [0.192, 0.036, 0.034], [0.206, 0.026, 0.018],
])  # fmt: skip
# Shares of the skull's length: height above its base, half width, front, back.
_HEAD_TABLE = np.array([
    [-0.035, 0.080, 0.300, -0.080], [-0.010, 0.155, 0.365, 0.020], [0.040, 0.215, 0.390, 0.120],
    [0.100, 0.255, 0.392, 0.240], [0.155, 0.280, 0.400, 0.320], [0.215, 0.300, 0.395, 0.370],
    [0.280, 0.317, 0.398, 0.400], [0.350, 0.332, 0.402, 0.425], [0.420, 0.342, 0.400, 0.440],
    [0.490, 0.350, 0.398, 0.452], [0.560, 0.355, 0.412, 0.458], [0.650, 0.355, 0.408, 0.455],
    [0.750, 0.337, 0.378, 0.428], [0.840, 0.296, 0.318, 0.372], [0.915, 0.232, 0.238, 0.290],
    [0.970, 0.142, 0.138, 0.175], [1.000, 0.040, 0.040, 0.050],
])  # fmt: skip
# shares of the hand (wrist to knuckles): place, half thickness, half width
_HAND_TABLE = np.array([
    [-0.20, 0.018, 0.024], [0.00, 0.020, 0.028], [0.20, 0.020, 0.033], [0.45, 0.019, 0.040],
    [0.75, 0.017, 0.043], [1.00, 0.015, 0.042], [1.20, 0.013, 0.040], [1.40, 0.012, 0.037],
    [1.58, 0.010, 0.031], [1.70, 0.007, 0.022],
])  # fmt: skip


_TRUNK_GRID = np.array([
    -0.44, -0.36, -0.28, -0.2, -0.1, 0, 0.1, 0.2, 0.32, 0.45, 0.6, 0.75, 0.9, 1.03, 1.16, 1.29, 1.42, 1.55,
    1.67, 1.78, 1.88, 1.97, 2.05, 2.14, 2.26, 2.48,
])  # fmt: skip
_ARM_GRID = np.array([
    -0.38, -0.26, -0.15, -0.06, 0.02, 0.1, 0.18, 0.28, 0.42, 0.58, 0.74, 0.84, 0.91, 0.97, 1.03, 1.09, 1.17,
    1.3, 1.45, 1.6, 1.75, 1.87, 1.95, 2.02, 2.08,
])  # fmt: skip
_LEG_GRID = np.array([
    -0.22, -0.15, -0.08, -0.02, 0.05, 0.12, 0.2, 0.32, 0.46, 0.62, 0.77, 0.87, 0.93, 0.98, 1.03, 1.08, 1.15,
    1.24, 1.35, 1.48, 1.62, 1.76, 1.88, 1.97, 2.07,
])  # fmt: skip
"""Where the tubes have rings: closely where they bend."""


def _trunk(build: Build, outfit: Outfit, lengths: Lengths) -> Part:
    tucked = outfit.hem >= 0.35
    belt = 0.5 * outfit.bottom + 0.004
    place, offset, strips = layered(_TRUNK_GRID, [
        (outfit.hem, SLOT["skirt" if outfit.skirt else "bottom"], 0.003, 0.5 * outfit.bottom),
        (outfit.hem + 0.14 * (tucked and outfit.belt), SLOT["belt"], belt, belt),
        (outfit.collar, SLOT["top"], outfit.top + 0.3 * outfit.flare, 0.004),
        (9.0, SLOT["skin"], 0.0, 0.0),
    ])  # fmt: skip
    man, woman, front, back = table_at(_TRUNK_TABLE, place)
    size, fat = build.size, build.fat
    hips, shoulders = lengths["hip_width"] / 0.050, lengths["clavicle"] / 0.108
    wide = man + (woman - man) * build.female
    wide = wide * (1 + 0.10 * fat) * np.interp(place, [0.2, 1.5], [hips, shoulders]) / 1.75
    top = 1 - smooth(place, 1.7, 2.1)  # fat does not go to the throat
    depth = size * (1 + top * 0.12 * fat) * (1 - 0.06 * build.female)
    at = distance_along(place, [lengths["lumbar"], lengths["chest"], lengths["neck"]])
    sectors = 24
    part = tube(
        at, wide + offset, front * depth + offset, back * depth + offset, strips,
        drivers_along(_TRUNK, _TRUNK_JOINTS, place), sectors=sectors, square=2.3, around=0.14,
        along=at - lengths["lumbar"] - 0.45 * lengths["chest"],
        shade=np.interp(place, [-0.4, -0.1, 1.6, 2.1, 2.4], [0.75, 0.97, 1, 0.95, 0.8]),
    )  # fmt: skip
    _swell(part.vertices, build, lengths)
    _follow_shoulders(part, place, sectors, size)
    return part


def _swell(vertices: FloatArray, build: Build, lengths: Lengths) -> None:
    """Buttocks, belly, breasts or pectorals: bumps of (x, y, sigma, metres), to the front or the back."""
    size, chest = build.size, lengths["lumbar"] + 0.50 * lengths["chest"]
    belly = 0.045 * max(0.0, build.fat) ** 1.2
    bumps = [(0.0, 0.09 * size, 0.085, belly), (0.0, 0.02, 0.06, 0.3 * belly)]
    for x in (-0.072, 0.072):
        bumps += [
            (x * size, -0.045 * size, 0.048, -0.022 - 0.010 * max(0.0, build.fat)),
            (x * size, chest, 0.042, build.chest * (1 + 0.25 * max(0.0, build.fat))),
            (x * size, chest + 0.05, 0.055, 0.014 * build.muscle),
        ]
    x, y, z = vertices.T
    push = np.zeros(len(vertices))
    for at_x, at_y, sigma, height in bumps:
        bell = np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * (sigma * size) ** 2))
        push += height * size * bell * smooth(np.sign(height) * z, 0.0, 0.06 * size)
    vertices[:, 2] += push


def _follow_shoulders(part: Part, place: FloatArray, sectors: int, size: float) -> None:
    """The upper trunk's flanks go with the collar bones when shoulders are lifted."""
    x = part.vertices[:, 0]
    height = np.repeat(np.concatenate([place[:1], place, place[-1:]]), sectors + 1)
    share = 0.75 * smooth(np.abs(x), 0.05 * size, 0.16 * size) * smooth(height, 1.5, 1.85)
    first = len(part.bones)
    chest = BONES.index("chest")
    collar = [BONES.index(f"{side}_clavicle") for side in ("left", "right")]
    part.bones = np.concatenate([part.bones, [[chest, bone] for bone in collar]])
    part.shares = np.concatenate([part.shares, np.ones((2, 2))])
    part.indices[:, 1] = np.where(x > 0, first, first + 1)
    part.weights[:, 0], part.weights[:, 1] = 1 - share, share


def _limb(
    build: Build, table: FloatArray, grid: FloatArray, layers: Sequence[Layer], chain: Sequence[str],
    joints: Joints, bones: Sequence[float], thick: float, around: float, **more: Any,
) -> Part:  # fmt: skip
    """A tube down a chain of bones, in local coordinates: from the joint at 0 down to -y."""
    place, offset, strips = layered(grid, layers)
    wide, front, back = (column * build.size * thick + offset for column in table_at(table, place))
    distance = distance_along(place, bones)
    return tube(
        -distance, wide, front, back, strips, drivers_along(chain, joints, place),
        around=around, along=-distance, **more,
    )  # fmt: skip


def _arm(side: str, build: Build, outfit: Outfit, lengths: Lengths) -> Part:
    # Cloth lies flat on the shoulder and stands off down the arm.
    end, last = outfit.sleeves[side], outfit.top + outfit.flare * 0.6
    sleeve = SLOT[f"{side}_sleeve"]
    layers = [
        (min(end, 0.1), sleeve, 0.003, 0.004 if end <= 0.1 else 0.6 * last),
        (end, sleeve, 0.6 * last, last),
        (9.0, SLOT["skin"], 0.0, 0.0),
    ]
    if outfit.band == side and end < 1.7:
        layers[2:2] = [(1.80, SLOT["skin"], 0.0, 0.0), (1.92, SLOT["band"], 0.003, 0.003)]
    chain = [f"{side}_{bone}" for bone in ("clavicle", "upper_arm", "forearm", "hand")]
    thick = build.limb * (1 + 0.11 * build.fat + 0.10 * build.muscle) * (1 - 0.04 * build.female)
    part = _limb(
        build, _ARM_TABLE, _ARM_GRID, layers, chain, _ARM_JOINTS,
        [lengths["upper_arm"], lengths["forearm"], lengths["hand"]], thick, 0.045, sectors=12,
    )  # fmt: skip
    # A shoulder is thicker below the joint than above it, and flat towards the neck.
    y = part.vertices[:, 1] / lengths["upper_arm"]
    lower = np.interp(y, [-0.4, -0.15, 0.0, 0.1, 0.24, 0.38], [0.0, 0.010, 0.031, 0.040, 0.044, 0.044])
    lower += 0.045 * (thick - 1) * smooth(y, -0.3, 0.0)
    part.vertices[:, 0] -= SIGNS[side] * build.size * lower
    return part


def _leg(side: str, build: Build, outfit: Outfit, lengths: Lengths) -> Part:
    end, leg = outfit.legs[side], SLOT[f"{side}_leg"]
    knee, hem = outfit.bottom + outfit.flare * min(end, 0.9), 1.2 * outfit.bottom + outfit.flare * end
    # Below a skirt the hips wear its cloth, which hides where they come through.
    layers = [
        (min(1.1 * outfit.skirt, 0.5) if outfit.skirt else -9.0, SLOT["skirt"], 0.003, 0.0),
        (min(end, 0.9), leg, 0.6 * outfit.bottom, knee),
        (end, leg, knee, hem),
        (max(outfit.socks[side], end), SLOT["skin"], 0.0, 0.0),
        (9.0, SLOT[f"{side}_sock" if outfit.shoes else "skin"], 0.003, 0.004),
    ]
    chain = ["pelvis", *(f"{side}_{bone}" for bone in ("thigh", "shank", "foot"))]
    thick = build.limb * (1 + 0.12 * build.fat + 0.05 * build.muscle) * (1 + 0.05 * build.female)
    part = _limb(
        build, _LEG_TABLE, _LEG_GRID, layers, chain, _LEG_JOINTS,
        [lengths["thigh"], lengths["shank"], lengths["foot"]], thick, 0.08, sectors=14,
    )  # fmt: skip
    # Towards the crotch little light comes between the legs.
    inner = smooth(-SIGNS[side] * part.vertices[:, 0], 0.0, 0.06)
    part.shade *= 1 - 0.2 * inner * smooth(part.vertices[:, 1], -0.45 * lengths["thigh"], 0)
    return part


def _skirt(build: Build, outfit: Outfit, lengths: Lengths) -> Part:
    """From the waist over both thighs; between the legs it follows their mean."""
    place = np.linspace(-0.22, max(outfit.skirt, 0.2) * 1.6, 15)
    drop = distance_along(place, [lengths["thigh"], lengths["shank"]])
    share = np.clip(drop / (lengths["thigh"] + lengths["shank"]), 0, 1)
    size, fat = build.size, 1 + 0.11 * build.fat
    hips = (lengths["hip_width"] + 0.098 * build.limb * size * (1 + 0.12 * build.fat)) + 0.020
    waist = smooth(-drop, 0.0, 0.12)
    spread = np.maximum(drop, 0) * np.tan(np.deg2rad(LEG_APART)) * 0.75
    wide = hips + spread + outfit.skirt_flare * share - 0.012 * waist
    deep = 0.122 * size * fat + outfit.skirt_flare * share - 0.014 * waist
    rings = [
        drivers_along(["pelvis", f"{side}_thigh", f"{side}_shank"], _LEG_JOINTS[:2], place) for side in SIGNS
    ]
    part = tube(
        -drop, wide, deep, deep * 1.06, np.full(len(place) - 1, SLOT["skirt"]), rings[0],
        sectors=24, square=2.2, around=0.16, along=-drop - 0.05,
        shade=np.concatenate([np.ones(len(place) - 1), [0.6]]),
    )  # fmt: skip
    _swell(part.vertices, replace(build, chest=0.0, muscle=0.0), lengths)
    count = len(place)
    pelvis = BONES.index("pelvis")
    part.bones = np.concatenate([rings[0].bones, rings[1].bones, [[pelvis, pelvis]]])
    part.shares = np.concatenate([rings[0].shares, rings[1].shares, np.ones((1, 2))])
    y = part.vertices[:, 1]
    legs = smooth(-y, -0.02, 0.20)
    left = smooth(part.vertices[:, 0] / (wide.max() + 1e-6), -0.45, 0.45)
    own = part.indices[:, 0].copy()
    part.indices[:, :3] = np.column_stack([np.full(len(y), 2 * count), own, own + count])
    part.weights[:, :3] = np.column_stack([1 - legs, legs * left, legs * (1 - left)]) + 1e-9
    part.weights[:, :3] /= part.weights[:, :3].sum(1, keepdims=True)
    return part


def _neck(build: Build, outfit: Outfit, lengths: Lengths) -> Part:
    grid = np.linspace(1.75, 3.15, 10)
    place, offset, strips = layered(grid, [
        (outfit.collar if outfit.collar > 2.3 else 1.8, SLOT["top"], 0.006, 0.006),
        (9.0, SLOT["skin"], 0.0, 0.0),
    ])  # fmt: skip
    thick = build.size * (1 - 0.12 * build.female) * (1 + 0.07 * max(0.0, build.fat) + 0.08 * build.muscle)
    wide, front, back = (column * thick + offset for column in table_at(_NECK_TABLE, place))
    at = distance_along(place, [lengths["lumbar"], lengths["chest"], lengths["neck"]])
    return tube(
        at, wide, front, back, strips, drivers_along(_TRUNK, _TRUNK_JOINTS, place), sectors=12, around=0.06,
        shade=np.interp(place, [2.2, 2.7, 3.0], [0.95, 0.85, 0.6]),
    )  # fmt: skip


def _foot(side: str, build: Build, outfit: Outfit, lengths: Lengths) -> Part:
    scale = lengths["foot"] / 0.1365
    along, top, wide = _FOOT_TABLE.T
    sole = 0.4 * lengths["foot"] + FLAT
    top = top * sole / 0.0946
    thick = build.size * (1.0 if outfit.shoes else 0.90)
    if not outfit.shoes:
        along, top = along * 0.97, top * 0.90
    centre = 0.42 * top
    slot = SLOT[f"{side}_shoe" if outfit.shoes else "skin"]
    part = tube(
        along * scale, wide * thick, top - centre, centre, np.full(len(along) - 1, slot),
        rigid(f"{side}_foot"), sectors=12, z=centre - sole, square=2.7, around=0.05,
    )  # fmt: skip
    # Along y, front up: turn it to point forwards. The sole's edge shows by its height.
    part.vertices = part.vertices @ np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
    part.cloth[:, 1] = part.vertices[:, 1] + sole
    part.shade *= np.interp(part.cloth[:, 1], [0, 0.02], [0.6, 1.0])
    return part


def _hand(side: str, build: Build, lengths: Lengths, curl: float) -> list[Part]:
    """A mitten with a thumb; the palm looks to the body. ``curl``: radians from knuckle to tip."""
    sign, length = SIGNS[side], lengths["hand"]
    place, thick, wide = _HAND_TABLE.T
    scale = build.size * (1 - 0.08 * build.female) * (1 + 0.05 * build.fat)
    fine = np.linspace(0, 1.7, 100)
    angle = curl * np.clip((fine - 0.75) / 0.95, 0, 1)
    step = np.diff(fine, prepend=0) * length
    turn = np.interp(place, fine, angle)
    drop = np.where(place < 0, place * length, np.interp(place, fine, np.cumsum(np.cos(angle) * step)))
    reach = np.interp(place, fine, np.cumsum(np.sin(angle) * step))
    skin = np.full(len(place) - 1, SLOT["skin"])
    palm = tube(
        -np.arange(len(place), dtype=np.float64), thick * scale, wide * scale, wide * scale, skin,
        rigid(f"{side}_hand"),
        sectors=12, square=2.4, around=0.03,
    )  # fmt: skip
    # Lay the straight rings along the curl, towards the body.
    ring = np.repeat(np.concatenate([[0], np.arange(len(place)), [len(place) - 1]]), 13)
    x = palm.vertices[:, 0]
    palm.vertices[:, 1] = -drop[ring] + -sign * np.sin(turn[ring]) * x
    palm.vertices[:, 0] = -sign * reach[ring] + np.cos(turn[ring]) * x
    thumb = tube(
        -np.linspace(0, 0.72, 6) * length, np.array([0.012, 0.015, 0.013, 0.0115, 0.011, 0.007]) * scale,
        np.array([0.012, 0.016, 0.014, 0.0125, 0.0115, 0.007]) * scale,
        np.array([0.012, 0.016, 0.014, 0.0125, 0.0115, 0.007]) * scale,
        np.full(5, SLOT["skin"]), rigid(f"{side}_hand"), sectors=8, around=0.012,
    )  # fmt: skip
    bent = min(curl, 1.2)
    placed(
        thumb, onto((-sign * (0.25 + 0.5 * bent), -0.8, 0.62 - 0.3 * bent)),
        np.array([-sign * 0.003, -0.22 * length, 0.022 * scale]),
    )  # fmt: skip
    return [palm, thumb]


def _fingers(side: str, palm: Part, thumb: Part) -> dict[str, FloatArray]:
    """Joints of the hand's parts where its fingers are bent to, in the hand's rest pose, metres."""

    def middle(part: Part, ring: int, around: int) -> FloatArray:
        rings = part.vertices.reshape(-1, around, 3)  # a cap, the rings, a cap
        return np.asarray(rings[1:-1][ring].mean(0))

    return {
        f"{side}_hand_tip": middle(palm, -2, 13),
        f"{side}_thumb": middle(thumb, 3, 9),
        f"{side}_thumb_tip": middle(thumb, -2, 9),
    }


def _head(build: Build, outfit: Outfit, lengths: Lengths) -> list[Part]:
    """Head with face and ears, and the hair or hat; above the skull's base at the origin."""
    skull = lengths["skull"]
    bone = rigid("skull")
    sectors = 24
    place, wide, front, back = _HEAD_TABLE.T
    wide = wide * build.head_width * (1 + 0.04 * max(0.0, build.fat) * (place < 0.35))
    jaw = np.interp(place, [0, 0.3], [1 - 0.10 * build.female, 1])
    face = np.full(len(place) - 1, SLOT["face"])
    part = tube(
        place, wide * jaw, front, back, face, bone, sectors=sectors, square=2.15, around=0.38,
        shade=np.interp(place, [-0.03, 0.02, 0.1], [0.5, 0.75, 1]),
    )  # fmt: skip
    bare = part.vertices.copy()
    _features(part.vertices)
    part.vertices *= skull
    parts = [part]
    for sign in SIGNS.values():
        ear = blob(
            [sign * 0.352 * build.head_width, 0.41, -0.04], [0.035, 0.115, 0.070], SLOT["skin"], bone, 8
        )
        ear.vertices *= skull
        parts.append(ear)
    return parts + _hair(part, bare, outfit, skull)


def _features(vertices: FloatArray) -> None:
    """Nose, brow, cheeks, chin: bumps (x, y, sigma x, sigma y, height) in shares of the skull."""
    x, y, z = vertices.T
    push = np.zeros(len(vertices))
    for at_x, at_y, across, up, height in (
        (0.0, 0.36, 0.045, 0.065, 0.115), (0.0, 0.47, 0.040, 0.070, 0.055), (0.0, 0.60, 0.200, 0.04, 0.010),
        (0.145, 0.475, 0.060, 0.045, -0.022), (-0.145, 0.475, 0.060, 0.045, -0.022),
        (0.200, 0.34, 0.080, 0.070, 0.014), (-0.200, 0.34, 0.080, 0.070, 0.014),
        (0.0, 0.155, 0.110, 0.035, 0.012), (0.0, 0.02, 0.090, 0.040, 0.018),
    ):  # fmt: skip
        push += height * np.exp(-(((x - at_x) / across) ** 2 + ((y - at_y) / up) ** 2) / 2)
    vertices[:, 2] += push * (z > 0.1)


# cut: hairline over the forehead, above the ears, at the nape (heights), thickness at front, top, back
_HAIRLINES = {
    "shaved": (0.80, 0.50, 0.20, 0.012, 0.015, 0.012), "short": (0.82, 0.48, 0.14, 0.05, 0.06, 0.035),
    "full": (0.78, 0.42, 0.08, 0.07, 0.10, 0.07), "bob": (0.74, 0.04, -0.02, 0.05, 0.07, 0.07),
    "long": (0.80, 0.10, 0.00, 0.04, 0.06, 0.06), "tail": (0.82, 0.46, 0.12, 0.02, 0.03, 0.03),
    "bun": (0.82, 0.46, 0.10, 0.02, 0.03, 0.03), "afro": (0.78, 0.42, 0.06, 0.16, 0.24, 0.20),
    "cap": (0.68, 0.60, 0.52, 0.045, 0.05, 0.045), "beanie": (0.68, 0.46, 0.36, 0.05, 0.07, 0.06),
    "hat": (0.70, 0.64, 0.60, 0.05, 0.16, 0.05),
}  # fmt: skip
_HATS = ("cap", "beanie", "hat")


def _hair(head: Part, bare: FloatArray, outfit: Outfit, skull: float) -> list[Part]:
    """The shell over the head ``bare`` (V, 3) and what hangs or stands out from it."""
    cut = outfit.cut
    if cut == "bald":
        return []
    parts = []
    if cut in _HATS:
        parts.append(_shell(head, bare, _HAIRLINES["short"], 0.6, SLOT["hair"], skull))
        parts.append(_shell(head, bare, _HAIRLINES[cut], 1.0, SLOT["hat"], skull))
    else:
        parts.append(_shell(head, bare, _HAIRLINES[cut], 0.7 + 0.5 * outfit.hair_length, SLOT["hair"], skull))
    return parts + [placed(p, np.eye(3) * skull, np.zeros(3)) for p in _hanging(cut, outfit.hair_length)]


def _shell(
    head: Part, bare: FloatArray, cut: tuple[float, ...], gain: float, slot: int, skull: float
) -> Part:
    """The head again, thicker where there is hair and inside the head elsewhere."""
    forehead, ears, nape, front, top, back = cut
    x, y, z = bare.T
    around = np.abs(np.arctan2(x, z + 0.05))
    line = [
        forehead, forehead - 0.02, 0.5 * (forehead + ears) + 0.02, ears - 0.02, ears,
        0.5 * (ears + nape), nape,
    ]  # fmt: skip
    lowest = np.interp(around, [0.0, 0.55, 1.05, 1.35, 1.75, 2.1, np.pi], line)
    thick = np.interp(
        np.arctan2(y - 0.45, z), [-np.pi, 0, 0.6, 1.57, 2.5, np.pi], [back, front, front, top, back, back]
    )
    height = np.clip((y - lowest) / 0.05, -1, 1)
    offset = np.where(height > 0, thick * gain * np.sqrt(np.abs(height)), 0.04 * height)
    outwards = bare - [0.0, 0.40, -0.03]
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    shown = head.triangles[(height > -1)[head.triangles].any(1)]  # the rest lies inside the head
    return replace(
        head, vertices=(bare + offset[:, None] * outwards) * skull, triangles=shown,
        material=np.full(len(shown), slot), cloth=head.cloth * 0.2, shade=np.ones(len(head.shade)),
    )  # fmt: skip


def _hanging(cut: str, length: float) -> list[Part]:
    """Hair below the head, brims: in shares of the skull."""
    bone, hair, hat = rigid("skull"), SLOT["hair"], SLOT["hat"]
    if cut == "long":
        place = np.linspace(0.75, 0.05 - 0.75 * length, 9)
        wide = np.interp(place, [-0.7, 0.0, 0.45, 0.75], [0.24, 0.36, 0.37, 0.30])
        deep = np.interp(place, [-0.7, 0.0, 0.4, 0.75], [0.09, 0.15, 0.24, 0.22])
        lower = smooth(-place, -0.2, 0.7)
        index = [BONES.index("chest"), BONES.index("skull")]
        drivers = Drivers(np.tile(index, (9, 1)), np.column_stack([1 - 0.75 * lower, 1 - 0.75 * lower]))
        return [tube(
            place, wide, deep, deep, np.full(8, hair), drivers, sectors=18, around=0.08, along=place * 0.2,
            z=np.interp(place, [-0.7, -0.2, 0.4, 0.75], [-0.42, -0.36, -0.28, -0.20]),
        )]  # fmt: skip
    if cut == "tail":
        place = np.linspace(0.66, 0.25 - 0.6 * length, 8)
        radius = np.interp(np.linspace(0, 1, 8), [0, 0.2, 0.6, 1], [0.06, 0.10, 0.10, 0.04])
        z = -0.46 - 0.14 * np.sin(np.linspace(0.3, 2.6, 8))
        return [tube(place, radius, radius, radius, np.full(7, hair), bone, sectors=10, z=z, around=0.02)]
    if cut == "bun":
        return [blob([0, 0.82, -0.42], [0.15, 0.14, 0.14], hair, bone, 12)]
    if cut == "cap":
        place = np.linspace(0.25, 0.78, 6)
        wide = np.array([0.33, 0.34, 0.33, 0.29, 0.22, 0.10])
        visor = tube(place, wide, wide * 0 + 0.018, wide * 0 + 0.018, np.full(5, hat), bone, sectors=14,
                      z=0.70 - 0.35 * np.maximum(place - 0.35, 0) ** 1.3, around=0.05)  # fmt: skip
        visor.vertices = visor.vertices @ np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
        return [visor]
    if cut == "hat":
        place = np.array([0.645, 0.655, 0.685, 0.695])
        brim = np.array([0.55, 0.66, 0.66, 0.55])
        return [tube(place, brim * 0.92, brim, brim, np.full(3, hat), bone, sectors=22, around=0.06)]
    return []


def _prop(side: str, kind: str, lengths: Lengths, rng: np.random.Generator) -> Part:
    """A thing in the closed hand, in the hand's coordinates; its long side goes along the thumb's."""
    sign, bone, slot = SIGNS[side], rigid(f"{side}_hand"), SLOT[f"{side}_prop"]
    palm = np.array([-sign * 0.030, -0.95 * lengths["hand"], 0.0])
    if kind == "ball":
        size = pick(rng, (0.036, 0.05, 0.11, 0.12))
        centre = palm + np.array([-sign * (size - 0.012), -0.2 * size, 0])
        return blob(centre.tolist(), [size] * 3, slot, bone, 16, OTHER)
    if kind == "bat":
        place = np.array([-0.13, -0.12, -0.11, 0.1, 0.3, 0.45, 0.6, 0.68, 0.70]) * rng.uniform(0.95, 1.15)
        radius = np.array([0.02, 0.024, 0.014, 0.015, 0.022, 0.030, 0.033, 0.030, 0.015])
        part = tube(
            place, radius, radius, radius, np.full(8, slot), bone, sectors=12, label=OTHER, around=0.03
        )
        return placed(part, onto((-0.15 * sign, -0.25, 1.0), (0.0, 1.0, 0.0)), palm)
    if kind == "phone":
        place = np.array([-0.075, -0.070, 0.070, 0.075])
        thin, wide = np.array([0.003, 0.005, 0.005, 0.003]), np.array([0.032, 0.037, 0.037, 0.032])
        part = tube(place, thin, wide, wide, np.full(3, slot), bone, sectors=16, square=8.0, label=OTHER)
        return placed(part, onto((0.0, -0.35, 1.0), (0.0, 1.0, 0.0)), palm + np.array([0, -0.015, 0.04]))
    place = np.array([-0.055, -0.054, 0.0, 0.055, 0.055, -0.02])
    radius = np.array([0.028, 0.031, 0.036, 0.041, 0.037, 0.030])
    part = tube(place, radius, radius, radius, np.full(5, slot), bone, sectors=14, label=OTHER, around=0.04)
    # The two last rings go down again: the hollow.
    part.triangles = grid_triangles(8, 14, True)[0]
    return placed(part, onto((0.0, 0.0, 1.0), (0.0, 1.0, 0.0)), palm + np.array([-sign * 0.022, 0, 0]))


_PROP_CURLS = {"ball": 1.1, "bat": 2.6, "phone": 1.1, "cup": 1.7}


# --- the person -----------------------------------------------------------------------------


def random_person(
    rng: np.random.Generator, lengths: Lengths, held: Mapping[str, str] | None = None
) -> Person:
    """A random build in random clothes on bones of ``lengths``; about 8000 triangles.

    ``held``: side ("left", "right") to one of `PROPS`. Raises ``ValueError`` on another side or thing.
    """
    held = held or {}
    if not (set(held) <= set(SIGNS) and set(held.values()) <= set(PROPS)):
        raise ValueError(f"held: expected sides {list(SIGNS)} with {PROPS}, got {dict(held)}")
    build = random_build(rng, lengths)
    outfit = random_outfit(rng, build)
    turned = bind_rotations()
    at = np.asarray(starts(turned, np.zeros(3), lengths), np.float64)
    points: dict[str, FloatArray] = {}
    parts = [_trunk(build, outfit, lengths), _neck(build, outfit, lengths)]
    if outfit.skirt:
        parts.append(_skirt(build, outfit, lengths))

    def place(new: Sequence[Part], bone: str) -> None:
        index = BONES.index(bone)
        parts.extend(placed(part, turned[index], at[index]) for part in new)

    place(_head(build, outfit, lengths), "skull")
    for side in SIGNS:
        relaxed = rng.uniform(0.3, 1.1)
        hand = _hand(side, build, lengths, _PROP_CURLS[held[side]] if side in held else relaxed)
        points |= _fingers(side, *hand)
        if side in held:
            hand.append(_prop(side, held[side], lengths, rng))
        place([_arm(side, build, outfit, lengths)], f"{side}_upper_arm")
        place(hand, f"{side}_hand")
        place([_leg(side, build, outfit, lengths)], f"{side}_thigh")
        place([_foot(side, build, outfit, lengths)], f"{side}_foot")
    return recoloured(rng, _assembled(parts, points, build, outfit, lengths, turned, at))


def recoloured(rng: np.random.Generator, person: Person) -> Person:
    """The same person and clothes with skin, hair and cloth of other colours and patterns."""
    materials = materials_of(random_materials(rng, person.build, person.outfit))
    return replace(person, surface=replace(person.surface, materials=materials))


def _assembled(
    parts: Sequence[Part],
    points: dict[str, FloatArray],
    build: Build,
    outfit: Outfit,
    lengths: Lengths,
    turned: FloatArray,
    at: FloatArray,
) -> Person:
    first = np.cumsum([0, *(len(part.vertices) for part in parts)])
    driver = np.cumsum([0, *(len(part.bones) for part in parts)])

    def joined(name: str, offsets: Array | None = None) -> Array:
        rows = [getattr(part, name) for part in parts]
        if offsets is not None:
            rows = [row + n for row, n in zip(rows, offsets, strict=False)]
        return np.concatenate(rows)

    vertices = joined("vertices")
    triangles = np.ascontiguousarray(joined("triangles", first), np.int32)
    surface = Surface(
        vertices=vertices,
        normals=vertex_normals(vertices, triangles, joined("same", first)),
        cloth=joined("cloth"),
        shade=joined("shade"),
        folds=cloth_folds(joined("cloth")),
        triangles=triangles,
        material=joined("material").astype(np.int32),
        label=np.concatenate([np.full(len(part.triangles), part.label, np.uint8) for part in parts]),
        materials=plain_materials(np.ones((len(SLOTS), 3))),  # until it is coloured
    )
    return Person(
        surface=surface,
        lengths=lengths,
        build=build,
        outfit=outfit,
        points=points,
        bones=joined("bones").astype(np.int32),
        shares=joined("shares"),
        indices=joined("indices", driver).astype(np.int32),
        weights=joined("weights"),
        turned=turned,
        starts=at,
        axes=bone_axes(turned),
        thickness=_thickness(build, outfit, lengths),
    )


def _thickness(build: Build, outfit: Outfit, lengths: Lengths) -> FloatArray:
    """Radius (36,) of the body around each joint of `FIGURE36`, clothes and hair with it."""
    fat = 1 + 0.12 * max(0.0, build.fat)
    loose = outfit.flare + max(outfit.top, outfit.bottom)
    skull = lengths["skull"]
    around = {
        "pelvis": 0.185, "spine": 0.150, "thorax": 0.120, "hip": 0.150, "shoulder": 0.070,
        "knee": 0.064, "ankle": 0.058, "elbow": 0.048, "wrist": 0.034, "hand": 0.050, "foot": 0.056,
        "toe": 0.060, "thumb": 0.050, "hand_tip": 0.070, "thumb_tip": 0.060, "clavicle": 0.120,
    }  # fmt: skip
    radii = {name: radius * build.size * fat + loose for name, radius in around.items()}
    crown = 0.0 if outfit.cut == "bald" else 0.5 * max(_HAIRLINES[outfit.cut][3:]) + 0.03
    radii |= {"neck": 0.42 * skull, "head": (0.25 + 2 * crown) * skull, "nose": 0.3 * skull}
    radii |= {"eye": (0.2 + crown) * skull, "ear": (0.25 + crown) * skull}
    if outfit.skirt:
        radii["hip"] += 0.03
        radii["knee"] += (0.06 + outfit.skirt_flare) * (outfit.skirt > 0.5)
    return np.array([radii[name.removeprefix("left_").removeprefix("right_")] for name in FIGURE36.joints])
