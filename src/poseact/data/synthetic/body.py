"""What covers the skeleton: rounded cones with clothes' colours, plain data.

A cone's ends are weighted sums of joints, so one matrix product poses the whole body.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from poseact.data.synthetic.rig import FIGURE

FloatArray = npt.NDArray[np.float64]
Anchor = dict[str, float]

PLAIN, RINGS, STRIPES, CHECKS = range(4)
"""Patterns: one colour, bands around the limb, bands along it, both."""


@dataclass(frozen=True)
class Body:
    """P rounded cones hung on the J joints of `FIGURE`.

    - ``start``, ``end`` (P, J): weights of the joints that make the cone's ends; rows sum to 1.
    - ``radii`` (P, 2): metres at both ends.
    - ``colours`` (P, 2, 3): RGB in [0, 1], first and second of the pattern.
    - ``pattern`` (P,) int: `PLAIN`, `RINGS`, `STRIPES` or `CHECKS`; ``period`` (P,): metres.
    """

    start: FloatArray
    end: FloatArray
    radii: FloatArray
    colours: FloatArray
    pattern: npt.NDArray[np.int64]
    period: FloatArray


@dataclass(frozen=True)
class Primitives:
    """A posed body: ``start`` and ``end`` (P, 3) in metres, world; the rest as in `Body`."""

    start: FloatArray
    end: FloatArray
    radii: FloatArray
    colours: FloatArray
    pattern: npt.NDArray[np.int64]
    period: FloatArray


@dataclass(frozen=True)
class _Cloth:
    colours: tuple[FloatArray, FloatArray]
    pattern: int = PLAIN
    period: float = 0.1


_GRAZE = 0.03
"""Metres by which a joint on the skin, as the top of the head is, may lie outside."""

_Cone = tuple[Anchor, Anchor, float, float, _Cloth]

_MIDDLE: dict[str, Anchor] = {
    "skull": {"neck": 0.38, "head": 0.54, "nose": 0.08},
    "face": {"neck": 0.40, "head": 0.26, "nose": 0.34},
    "jaw": {"neck": 0.62, "head": 0.02, "nose": 0.36},
    "hair": {"neck": 0.40, "head": 0.66, "nose": -0.06},
    "nape": {"neck": 0.78, "head": 0.40, "nose": -0.18},
    "back": {"neck": 1.30, "head": 0.10, "nose": -0.75, "thorax": 0.35},
}
"""Places on the head; ``nose`` less the middle of neck and head points to the front."""


def _between(a: Anchor, b: Anchor, share: float) -> Anchor:
    return {j: a.get(j, 0) * (1 - share) + b.get(j, 0) * share for j in {**a, **b}}


def _joint(name: str) -> Anchor:
    return {name: 1.0}


def _colour(rng: np.random.Generator) -> FloatArray:
    """A colour of clothes, from grey to vivid, dark to bright: (3,) in [0, 1]."""
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.random() ** 1.3, rng.uniform(0.08, 1)))


def _cloth(rng: np.random.Generator, patterned: float) -> _Cloth:
    pattern = int(rng.integers(RINGS, CHECKS + 1)) if rng.random() < patterned else PLAIN
    return _Cloth((_colour(rng), _colour(rng)), pattern, rng.uniform(0.03, 0.13))


def _plain(colour: FloatArray) -> _Cloth:
    return _Cloth((colour, colour))


def random_body(rng: np.random.Generator) -> Body:
    """A random build in random clothes."""
    girth = rng.uniform(0.85, 1.25)
    tone = rng.random()
    skin = _plain(np.array([0.93, 0.76, 0.65]) * (1 - tone) + np.array([0.30, 0.19, 0.13]) * tone)
    shirt, trousers = _cloth(rng, 0.45), _cloth(rng, 0.25)
    cones = _head(rng, skin) + _trunk(rng, girth, skin, shirt, trousers)
    sleeve, hem = (float(rng.choice([0.45, 0.6, 2])), float(rng.choice([0.5, 0.9, 2, 2])))
    shirt_width, trouser_width = rng.uniform(1.1, 1.32, 2)
    shoes = skin if rng.random() < 0.15 else _plain(_colour(rng))
    for side in ("left", "right"):
        cones += _arm(side, girth, skin, shirt, sleeve, shirt_width)
        cones += _leg(side, girth, skin, trousers, hem, trouser_width)
        cones += _foot(side, shoes)
    return _stack(cones)


def _head(rng: np.random.Generator, skin: _Cloth) -> list[_Cone]:
    dark = rng.random()
    hair = _plain(np.array([0.05, 0.04, 0.04]) * dark + _hair_tone(rng) * (1 - dark))
    features = _plain(skin.colours[0] * 0.55)
    at = _MIDDLE
    cones: list[_Cone] = [
        (at["skull"], at["face"], 0.085, 0.082, skin),
        (at["face"], at["jaw"], 0.082, 0.055, skin),
        (at["face"], {"nose": 1.04, "neck": -0.04}, 0.03, 0.016, skin),
        # Mouth and brow: dark marks at the front only.
        ({"nose": 0.80, "neck": 0.20}, {"nose": 0.81, "neck": 0.19}, 0.024, 0.024, features),
        ({"nose": 0.80, "neck": 0.02, "head": 0.18}, {"nose": 0.81, "head": 0.19}, 0.03, 0.03, features),
        (at["hair"], at["nape"], 0.098, 0.075, hair),
    ]
    if rng.random() < 0.35:
        cones.append((at["nape"], at["back"], 0.07, 0.045, hair))
    return cones


def _hair_tone(rng: np.random.Generator) -> FloatArray:
    tones = np.array([[0.75, 0.6, 0.35], [0.4, 0.25, 0.15], [0.6, 0.6, 0.6], [0.55, 0.2, 0.1]])
    tone: FloatArray = tones[rng.integers(len(tones))]
    return tone


def _trunk(
    rng: np.random.Generator, girth: float, skin: _Cloth, shirt: _Cloth, trousers: _Cloth
) -> list[_Cone]:
    waist_radius = 0.098 * girth * rng.uniform(0.9, 1.12)
    chest_radius = 0.112 * (0.5 + girth / 2)
    hem = rng.uniform(0.35, 0.9)
    pelvis, spine, thorax = _joint("pelvis"), _joint("spine"), _joint("thorax")
    cones: list[_Cone] = [
        (thorax, _joint("neck"), 0.056, 0.05, skin),
        (_joint("left_hip"), _joint("right_hip"), 0.092 * girth, 0.092 * girth, trousers),
        # The middle fills the groove between the two sides.
        (pelvis, spine, 0.1 * girth, 0.9 * waist_radius, trousers),
        (_between(spine, pelvis, hem), spine, 0.105 * girth, waist_radius, shirt),
        (spine, _between(spine, thorax, 0.7), waist_radius, 0.98 * chest_radius, shirt),
    ]
    for side in ("left", "right"):
        hip, shoulder = _joint(f"{side}_hip"), _joint(f"{side}_shoulder")
        waist = {"spine": 1.0, f"{side}_hip": 0.35, "pelvis": -0.35}
        chest = {"thorax": 0.53, "spine": 0.25, f"{side}_shoulder": 0.22}
        cones += [
            (hip, waist, 0.094 * girth, 0.92 * waist_radius, trousers),
            (_between(waist, hip, hem), waist, 0.1 * girth, waist_radius, shirt),
            (waist, chest, waist_radius, chest_radius, shirt),
            (chest, shoulder, chest_radius, 0.066, shirt),
            (_between(thorax, _joint("neck"), 0.1), shoulder, 0.066, 0.062, shirt),
        ]
    return cones


def _covered(
    upper: tuple[str, str], lower: tuple[str, str], radii: tuple[float, float, float],
    skin: _Cloth, cloth: _Cloth, length: float, width: float,
) -> list[_Cone]:  # fmt: skip
    """A limb of two bones in skin, clothed over ``length`` bones (2 = down to the end)."""
    cones: list[_Cone] = []
    for k, (start, end) in enumerate((upper, lower)):
        thick, thin = radii[k], radii[k + 1]
        share = min(max(length - k, 0.0), 1.0)
        if share < 1:
            cones.append((_joint(start), _joint(end), thick, thin, skin))
        if share > 0:
            at_hem = thick + (thin - thick) * share
            hem = _between(_joint(start), _joint(end), share)
            cones.append((_joint(start), hem, thick * width, at_hem * width, cloth))
    return cones


def _arm(side: str, girth: float, skin: _Cloth, cloth: _Cloth, length: float, width: float) -> list[_Cone]:
    shoulder, elbow, wrist, hand = (f"{side}_{j}" for j in ("shoulder", "elbow", "wrist", "hand"))
    radii = (0.052 * girth, 0.041 * girth, 0.029 * girth)
    cones = _covered((shoulder, elbow), (elbow, wrist), radii, skin, cloth, length, width)
    cones.append((_joint(wrist), _joint(hand), 0.029, 0.037, skin))
    cones.append((_joint(hand), {hand: 1.6, wrist: -0.6}, 0.035, 0.02, skin))
    return cones


def _leg(side: str, girth: float, skin: _Cloth, cloth: _Cloth, length: float, width: float) -> list[_Cone]:
    hip, knee, ankle = (f"{side}_{j}" for j in ("hip", "knee", "ankle"))
    radii = (0.084 * girth, 0.056 * girth, 0.038 * girth)
    # Wide trousers are wide at the knee and below; the hips stay as they are.
    return _covered((hip, knee), (knee, ankle), radii, skin, cloth, length, 0.5 + width / 2)


def _foot(side: str, shoe: _Cloth) -> list[_Cone]:
    knee, ankle, foot = (f"{side}_{j}" for j in ("knee", "ankle", "foot"))
    heel = {ankle: 1.47, knee: -0.17, foot: -0.30}
    toe = _between(heel, _joint(foot), 1.3)
    return [
        (_joint(ankle), heel, 0.042, 0.036, shoe),
        (_joint(ankle), _between(heel, _joint(foot), 0.5), 0.042, 0.036, shoe),
        (_joint(ankle), _joint(foot), 0.042, 0.036, shoe),
        (heel, toe, 0.036, 0.028, shoe),
    ]


def _stack(cones: list[_Cone]) -> Body:
    def weights(anchors: list[Anchor]) -> FloatArray:
        matrix = np.zeros((len(anchors), len(FIGURE)))
        for row, anchor in zip(matrix, anchors, strict=True):
            for joint, weight in anchor.items():
                row[FIGURE.index(joint)] = weight
        return matrix

    return Body(
        start=weights([cone[0] for cone in cones]),
        end=weights([cone[1] for cone in cones]),
        radii=np.array([cone[2:4] for cone in cones]),
        colours=np.array([cone[4].colours for cone in cones]),
        pattern=np.array([cone[4].pattern for cone in cones]),
        period=np.array([cone[4].period for cone in cones]),
    )


def posed(body: Body, joints: FloatArray) -> Primitives:
    """The body's cones on ``joints`` (J, 3) of `FIGURE`, metres, world."""
    return Primitives(
        body.start @ joints, body.end @ joints, body.radii, body.colours, body.pattern, body.period
    )


def _to_axes(primitives: Primitives, points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Distance of N points to P axes and the cones' radii at the foot there: both (N, P) metres."""
    axis = primitives.end - primitives.start
    towards = points[:, None] - primitives.start
    along = np.clip((towards * axis).sum(-1) / np.maximum((axis * axis).sum(-1), 1e-12), 0, 1)
    radius = primitives.radii[:, 0] + along * (primitives.radii[:, 1] - primitives.radii[:, 0])
    return np.linalg.norm(towards - along[..., None] * axis, axis=-1), radius


def inside(primitives: Primitives, points: FloatArray) -> FloatArray:
    """How deep ``points`` (N, 3) lie under the surface: (N,) metres, < 0 outside."""
    distance, radius = _to_axes(primitives, points)
    deep: FloatArray = (radius - distance).max(1)
    return deep


def thickness(primitives: Primitives, points: FloatArray) -> FloatArray:
    """The radius of the thickest limb that ``points`` (N, 3) lie in, or graze: (N,) metres."""
    distance, radius = _to_axes(primitives, points)
    thickest: FloatArray = np.where(distance < radius + _GRAZE, radius, 0).max(1)
    return thickest
