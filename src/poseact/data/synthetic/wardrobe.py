"""What people look like: build, clothes, hair, and the materials of all of it."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from poseact.data.synthetic.rasteriser import (
    BEARD,
    BLOCK,
    BLOTCHES,
    CHECKS,
    COLOURS,
    DOTS,
    FACE,
    GLASSES,
    OPEN,
    PLAIN,
    PRINT,
    RINGS,
    SIDES,
    SOLE,
    STRIPES,
    Materials,
)
from poseact.data.synthetic.rig import LENGTH_SHARES, Lengths
from poseact.data.synthetic.rig import SIDES as SIGNS

FloatArray = npt.NDArray[np.float64]
Array = npt.NDArray[Any]
T = TypeVar("T")

_SKINS = np.array([
    [0.96, 0.80, 0.70], [0.90, 0.70, 0.57], [0.78, 0.58, 0.44], [0.62, 0.43, 0.30],
    [0.45, 0.30, 0.21], [0.31, 0.20, 0.15],
])  # fmt: skip
_HAIRS = np.array([
    [0.07, 0.06, 0.06], [0.16, 0.11, 0.08], [0.30, 0.20, 0.13], [0.45, 0.32, 0.20], [0.76, 0.62, 0.40],
    [0.52, 0.25, 0.13], [0.55, 0.55, 0.55], [0.84, 0.83, 0.80],
])  # fmt: skip
_IRISES = np.array([[0.25, 0.15, 0.08], [0.15, 0.10, 0.07], [0.25, 0.40, 0.55], [0.30, 0.40, 0.25]])
_NEUTRALS = np.array([
    [0.07, 0.07, 0.08], [0.93, 0.93, 0.91], [0.50, 0.50, 0.52], [0.13, 0.16, 0.30], [0.75, 0.67, 0.52],
    [0.30, 0.28, 0.24], [0.26, 0.36, 0.52],
])  # fmt: skip
_CUTS = ("bald", "shaved", "short", "full", "bob", "long", "tail", "bun", "afro", "cap", "beanie", "hat")


@dataclass(frozen=True)
class Cloth:
    """A row of `Materials`."""

    colours: FloatArray
    pattern: int = PLAIN
    period: float = 0.1
    gloss: float = 0.02
    creases: float = 0.0


@dataclass(frozen=True)
class Build:
    """Proportions: ``size`` 1 is 1.75 m tall; ``female`` 0..1; ``fat`` from -1 slim over 0 to 2 heavy."""

    size: float
    female: float
    fat: float
    muscle: float
    limb: float
    head_width: float
    chest: float


@dataclass(frozen=True)
class Outfit:
    """Where clothes end, in places along the limbs, and how far they stand off, metres."""

    sleeves: dict[str, float]
    legs: dict[str, float]
    socks: dict[str, float]
    hem: float
    collar: float
    top: float
    bottom: float
    flare: float
    shoes: bool
    skirt: float
    skirt_flare: float
    belt: bool
    band: str
    cut: str
    hair_length: float
    loose: float


_FRONTAL = (PRINT, BLOCK, OPEN)
"""Patterns that only make sense on the chest."""
_SIDED = ("sleeve", "leg", "sock", "shoe", "prop")
SLOTS = ("skin", "face", "hair", "hat", "top", "bottom", "skirt", "belt", "band",
          *(f"{side}_{part}" for side in SIGNS for part in _SIDED))  # fmt: skip
SLOT = {name: i for i, name in enumerate(SLOTS)}


def pick(rng: np.random.Generator, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
    """One of ``options``, with chances ``weights`` that sum to 1, or all alike."""
    drawn = rng.random()
    if weights is None:
        return options[int(drawn * len(options))]
    for option, weight in zip(options, weights, strict=True):
        drawn -= weight
        if drawn < 0:
            return option
    return options[-1]


def _vivid(rng: np.random.Generator) -> FloatArray:
    """A colour of clothes, grey to vivid, dark to bright: (3,) in [0, 1]."""
    if rng.random() < 0.4:
        neutral = _NEUTRALS[rng.integers(len(_NEUTRALS))] + rng.normal(0, 0.03, 3)
        return np.asarray(np.clip(neutral, 0.02, 1))
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.random() ** 0.8, rng.uniform(0.15, 1)))


def _plain(colour: FloatArray, gloss: float = 0.02, creases: float = 0.0) -> Cloth:
    return Cloth(np.tile(colour, (COLOURS, 1)), PLAIN, 0.1, gloss, creases)


def _cloth(rng: np.random.Generator, patterned: float, loose: float) -> Cloth:
    """A random fabric; with the chance ``patterned`` it has a pattern."""
    colours = np.array([_vivid(rng) for _ in range(3)])
    patterns = (RINGS, STRIPES, CHECKS, CHECKS, DOTS, BLOTCHES, PRINT, PRINT, BLOCK, OPEN, OPEN)
    pattern = int(patterns[rng.integers(len(patterns))])
    period = rng.uniform(0.07, 0.11) if pattern == PRINT else rng.uniform(0.02, 0.09)
    if pattern == CHECKS:  # the middle colour where only one band crosses
        colours[1] = (colours[0] + colours[2]) / 2
    if pattern == OPEN:
        period = rng.uniform(0.015, 0.08)
    if rng.random() >= patterned:
        pattern = PLAIN
    return Cloth(colours[[0, 1, 2, 2, 2]], pattern, period, 0.02, 0.10 + 6 * loose)


def _everywhere(cloth: Cloth) -> Cloth:
    """The same without a pattern that only makes sense on the chest."""
    return replace(cloth, pattern=PLAIN) if cloth.pattern in _FRONTAL else cloth


def random_build(rng: np.random.Generator, lengths: Lengths) -> Build:
    """A random build on bones of ``lengths``; height is theirs, the rest is drawn."""
    size = float(np.mean([lengths[bone] / share for bone, share in LENGTH_SHARES.items()])) / 1.75
    female = float(np.clip(pick(rng, (0.05, 0.95)) + rng.normal(0, 0.15), 0, 1))
    return Build(
        size=size,
        female=female,
        fat=float(np.clip(rng.normal(0.15, 0.65), -0.9, 2.2)),
        muscle=rng.uniform(0, 1) * (1 - 0.6 * female),
        limb=rng.uniform(0.95, 1.06) * (1 - 0.06 * female),
        head_width=rng.uniform(0.94, 1.05),
        chest=female * rng.uniform(0.012, 0.042),
    )


def random_outfit(rng: np.random.Generator, build: Build) -> Outfit:
    """Random clothes and hair, as women or men mostly wear them."""
    woman = build.female > 0.5
    loose = 0.020 * rng.random() ** 1.5
    sleeve = pick(rng, [0.02, 0.50, 1.10, 1.55, 1.93], [0.12, 0.40, 0.05, 0.05, 0.38])
    leg = pick(rng, [0.16, 0.55, 0.85, 1.40, 1.90], [0.04, 0.12, 0.14, 0.06, 0.64])
    sleeve, leg = sleeve + rng.uniform(-0.02, 0.06), leg + rng.uniform(-0.06, 0.04)
    skirt = (
        rng.uniform(0.22, pick(rng, [0.6, 0.9], [0.85, 0.15]))
        if rng.random() < (0.22 if woman else 0.03)
        else 0.0
    )
    if skirt and rng.random() < 0.7:
        leg = 0.16
    sock = pick(rng, [1.95, 1.84, 1.45], [0.4, 0.4, 0.2])
    uneven = rng.random() < 0.12  # one sleeve or leg is rolled up
    side = pick(rng, ["left", "right"])
    sleeves, legs = dict.fromkeys(SIGNS, float(sleeve)), dict.fromkeys(SIGNS, float(leg))
    if uneven:
        (sleeves if rng.random() < 0.6 else legs)[side] *= 0.6
    chances = [0.03, 0.06, 0.22, 0.18, 0.10, 0.16, 0.10, 0.05, 0.02, 0.03, 0.03, 0.02] if woman else \
              [0.08, 0.14, 0.36, 0.16, 0.02, 0.03, 0.02, 0.01, 0.03, 0.09, 0.04, 0.02]  # fmt: skip
    return Outfit(
        sleeves=sleeves,
        legs=legs,
        socks=dict.fromkeys(SIGNS, float(sock)),
        hem=0.3 if skirt else pick(rng, [rng.uniform(-0.2, 0.2), rng.uniform(0.35, 0.55)]),
        collar=pick(rng, [1.98, 2.10, 2.22, 2.75], [0.2, 0.4, 0.35, 0.05]),
        top=0.005 + loose,
        bottom=0.003 + 0.018 * rng.random() ** 2,
        flare=rng.uniform(0, 0.022) * rng.random(),
        shoes=bool(rng.random() < 0.9),
        skirt=skirt,
        skirt_flare=rng.uniform(0.02, 0.16),
        belt=bool(rng.random() < 0.5),
        band=pick(rng, [*SIGNS, "none"], [0.1, 0.05, 0.85]),
        cut=pick(rng, _CUTS, chances),
        hair_length=rng.uniform(0.3, 1.0),
        loose=loose,
    )


def random_materials(rng: np.random.Generator, build: Build, outfit: Outfit) -> dict[str, Cloth]:
    """Random skin, hair and cloth for an outfit, by the names of `SLOTS`."""
    woman, loose = build.female > 0.5, outfit.loose
    tone = rng.random() * (len(_SKINS) - 1)
    skin = _mixed(_SKINS, tone) * rng.uniform(0.94, 1.05) + rng.normal(0, 0.012, 3)
    skin = np.clip(skin, 0.1, 0.98)
    darkness = 1 if tone > 2.5 and rng.random() < 0.9 else len(_HAIRS) - 1
    hair = np.clip(_mixed(_HAIRS, rng.random() * darkness) + rng.normal(0, 0.015, 3), 0.03, 1)
    if rng.random() < 0.03:
        hair = _vivid(rng)
    kind = GLASSES if rng.random() < 0.12 else (BEARD if not woman and rng.random() < 0.3 else FACE)
    lips = skin * np.array([0.86, 0.62, 0.62]) * (rng.uniform(0.8, 1.0) if woman else 0.95)
    brows = hair * 0.7 + 0.15 * skin
    face = np.array([skin, brows, [0.92, 0.91, 0.90], _IRISES[rng.integers(len(_IRISES))] * 0.7, lips])
    top = _cloth(rng, 0.5, loose)
    bottom = _everywhere(_cloth(rng, 0.15, loose * 0.5))
    if rng.random() < 0.5:  # denim, black, grey
        bottom = _plain(_NEUTRALS[pick(rng, [0, 2, 3, 4, 6])] * rng.uniform(0.8, 1.1), 0.01, 0.12)
    if np.abs(bottom.colours[0] - skin).max() < 0.18:  # nobody is to look half naked
        bottom = replace(bottom, colours=bottom.colours * 0.4)
    if rng.random() < 0.12:
        bottom = replace(bottom, pattern=SIDES, period=0.08 * np.pi / 2)
    found = {
        "skin": _plain(skin, 0.10, 0.03),
        "face": Cloth(face, kind, 1.0, 0.08, 0.0),
        "hair": Cloth(hair * np.array([[1.0], [0.88], [1.1], [1], [1]]), BLOTCHES, 0.010, 0.12, 0.15),
        "hat": _everywhere(_cloth(rng, 0.2, 0.0)),
        "top": top,
        "bottom": bottom,
        "belt": _plain(_NEUTRALS[pick(rng, [0, 0, 1, 5])] * rng.uniform(0.8, 1.0), 0.1),
        "band": _plain(_vivid(rng), 0.1),
        "skirt": _everywhere(top if rng.random() < 0.5 else _cloth(rng, 0.4, 0.01)),
    }
    sleeve = _cloth(rng, 0.2, loose) if rng.random() < 0.12 else top
    sock, shoe = _plain(_vivid(rng), 0.01, 0.05), _vivid(rng)
    sole = shoe if rng.random() < 0.3 else _NEUTRALS[pick(rng, [0, 1, 1, 4])]
    for side in SIGNS:
        limb = _everywhere(sleeve)
        odd = rng.random() < 0.06
        found[f"{side}_sleeve"] = _cloth(rng, 0.0, loose) if odd else limb
        found[f"{side}_leg"] = _cloth(rng, 0.0, loose) if rng.random() < 0.04 else bottom
        found[f"{side}_sock"] = sock if rng.random() < 0.95 else _plain(_vivid(rng), 0.01, 0.05)
        found[f"{side}_shoe"] = Cloth(np.array([shoe, sole, sole, sole, sole]), SOLE, 0.022, 0.15, 0.06)
        # Most things are black, white, wooden, or of one strong colour.
        dull = np.array([[0.08, 0.08, 0.09], [0.90, 0.90, 0.88], [0.72, 0.52, 0.30]])
        found[f"{side}_prop"] = _plain(dull[rng.integers(3)] if rng.random() < 0.5 else _vivid(rng), 0.25)
    return found


def _mixed(palette: FloatArray, at: float) -> FloatArray:
    """Between two neighbours of ``palette`` (n, 3), ``at`` in [0, n - 1]."""
    return np.array([np.interp(at, np.arange(len(palette)), channel) for channel in palette.T])


def materials_of(found: Mapping[str, Cloth]) -> Materials:
    """The cloths by the names of `SLOTS`, as rows in that order."""
    cloths = [found[name] for name in SLOTS]
    return Materials(
        np.array([c.colours for c in cloths]),
        np.array([c.pattern for c in cloths], np.int64),
        np.array([c.period for c in cloths]),
        np.array([c.gloss for c in cloths]),
        np.array([c.creases for c in cloths]),
    )
