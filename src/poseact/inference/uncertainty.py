"""Where a joint may be: the covariance of its heat map, and what that means on held-out people.

A map says how sure the network is, but not in units that can be relied on: errors have heavier tails
than a Gaussian, grow faster than the map, or slower, and depend on the joint. A `Calibration` is measured
on people that the network was not trained on (`poseact weights calibrate`) and travels in the weights'
metadata.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from poseact.errors import UserError
from poseact.geometry import FloatArray
from poseact.network.soft_argmax import grid, soft_max_2d
from poseact.skeleton import Layout

IntArray = npt.NDArray[np.int64]

LEVELS = (0.5, 0.68, 0.9, 0.95)
"""Shares of joints whose regions are measured."""
METADATA = "calibration"
"""The entry of a weight file's metadata."""
FEWEST = 100
"""Joints that a calibration needs at least."""
_HALF = 0.5
_SMALLEST = 1e-9
"""A distance that is taken for none."""
_FLOORS = (0.0, *np.geomspace(0.001, 0.1, 13).tolist())
_POWERS = tuple((np.arange(21) / 5).tolist())
_CHOSEN_BY = (0.5, 0.9)
"""Floor and power are those that make regions of these levels smallest."""
_MEASURED_SIZES = (0.005, 0.995)
"""Quantiles of the sizes of maps between which the power is believed."""
_OWN_FROM = 50
"""A joint measured as often as this is believed half of its own factor (on a log scale)."""
_REMEDY = "measure it again: poseact weights calibrate"


def map_covariance(heat_maps: Tensor) -> Tensor:
    """Maps (..., H, W) before the soft-max to covariances (..., 2, 2) of x and y, in crop units.

    The second moments of the soft-maxed map around its mean, cells at their centres, the crop's side
    being 1. A cell's probability is spread over the cell: that adds 1 / (12 W^2) and 1 / (12 H^2),
    so that a map of one hot cell has the variance of that cell, and every covariance an inverse.
    Computed and answered in float32, whatever the maps are in.
    """
    height, width = heat_maps.shape[-2:]
    p = soft_max_2d(heat_maps.float())
    in_columns, in_rows = p.sum(-2), p.sum(-1)
    x, y = grid(width).to(p), grid(height).to(p)
    dx = x - (in_columns * x).sum(-1, keepdim=True)  # (..., W) from the mean
    dy = y - (in_rows * y).sum(-1, keepdim=True)
    across = (in_columns * dx**2).sum(-1) + 1 / (12 * width**2)
    down = (in_rows * dy**2).sum(-1) + 1 / (12 * height**2)
    both = ((p * dx.unsqueeze(-2)).sum(-1) * dy).sum(-1)
    return torch.stack([torch.stack([across, both], -1), torch.stack([both, down], -1)], -2)


def gaussian_radius(level: float) -> float:
    """Mahalanobis radius that holds the share ``level`` in (0, 1) of a Gaussian in the plane."""
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share between 0 and 1, got {level}")
    return math.sqrt(-2 * math.log1p(-level))


def _ascending(values: tuple[float, ...]) -> bool:
    return list(values) == sorted(values) and values[0] > 0


@dataclass(frozen=True)
class Calibration:
    """How far from the answer held-out joints lie, in units of their maps.

    - ``floor``: crop units, added to every covariance as ``floor``^2 I.
    - ``power``: errors grow with this power of the map's size, the geometric mean of the standard
      deviations along its axes: all lengths are stretched by (size / ``sizes``[0])^(``power`` - 1).
      ``sizes``: the smallest and the largest that were measured; beyond, the stretch stays.
    - ``levels`` and ``radii``: the share of joints within each Mahalanobis radius of that.
    - ``joints`` (J,): factors of the radii of each joint, in the order of the layout; () for 1.
    - ``measured``: on what, in words; empty for the assumption that maps are Gaussians.

    Raises ``ValueError`` on numbers that are not finite, positive and, where they have to, ascending.
    """

    floor: float
    power: float
    sizes: tuple[float, float]
    levels: tuple[float, ...]
    radii: tuple[float, ...]
    joints: tuple[float, ...] = ()
    measured: str = ""

    def __post_init__(self) -> None:
        numbers = [self.floor, self.power, *self.sizes, *self.levels, *self.radii, *self.joints]
        if not all(isinstance(n, float | int) and math.isfinite(n) for n in numbers) or self.floor < 0:
            raise ValueError(f"expected finite numbers and a floor >= 0, got {numbers}")
        if len(self.sizes) != 2 or not _ascending(self.sizes):
            raise ValueError(f"expected two ascending sizes > 0, got {self.sizes}")
        fitting = len(self.levels) == len(self.radii) and max(self.levels, default=1.0) < 1
        if not (fitting and _ascending(self.levels) and _ascending(self.radii)):
            raise ValueError(
                f"expected ascending levels in (0, 1) with a radius > 0 each, got {self.levels}, {self.radii}"
            )
        if min(self.joints, default=1.0) <= 0:
            raise ValueError(f"expected factors > 0 of the joints, got {self.joints}")

    def radius(self, level: float) -> float:
        """Mahalanobis radius around the answer that holds the share ``level`` of joints.

        For covariances that are `calibrated`, whose radius of 50 % is a Gaussian's. Between and beyond
        the measured levels: in proportion to a Gaussian's radius. Raises ``ValueError`` outside (0, 1).
        """
        return self._measured_radius(level) / self._measured_radius(_HALF) * gaussian_radius(_HALF)

    def _measured_radius(self, level: float) -> float:
        at, known = gaussian_radius(level), [gaussian_radius(level) for level in self.levels]
        if at > known[-1]:
            return self.radii[-1] * at / known[-1]
        return float(np.interp(at, [0.0, *known], [0.0, *self.radii]))

    def describe(self) -> str:
        """What the covariances rest on, as one line."""
        if not self.measured:
            return "uncertainty: not calibrated; the heat maps are taken as Gaussians"
        return f"uncertainty: calibrated on {self.measured}"


UNCALIBRATED = Calibration(0.0, 1.0, (1.0, 1.0), LEVELS, tuple(map(gaussian_radius, LEVELS)))
"""The assumption without a calibration: what the map says, as a Gaussian."""


def calibration_of(network: Any, block: int) -> Calibration:
    """The calibration that a network's weights bring for the block that answers, or `UNCALIBRATED`.

    ``network``: what `poseact.load_model` answers, with ``metadata`` and ``layout``. ``block``: its number,
    from 1. Raises `UserError` where the entry is damaged, or made for other joints or fewer blocks.
    """
    text = getattr(network, "metadata", {}).get(METADATA)
    if text is None:
        return UNCALIBRATED
    found = read_calibrations(text, network.layout)
    if block > len(found):
        raise UserError(f"weights: expected a calibration of {block} blocks, got {len(found)}; {_REMEDY}")
    return found[block - 1]


def calibrations_text(calibrations: Sequence[Calibration]) -> str:
    """Those of all blocks, first to last, for the metadata of weights."""
    return json.dumps([asdict(calibration) for calibration in calibrations])


def read_calibrations(text: str, layout: Layout) -> tuple[Calibration, ...]:
    """What `calibrations_text` wrote, for a layout; raises `UserError` on anything else."""
    try:
        content = json.loads(text)
        if not isinstance(content, list) or not content:
            raise ValueError("no list of blocks")
        return tuple(_read(each, layout) for each in content)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"weights: expected a calibration in their metadata, got {type(error).__name__}: {error}; "
            f"{_REMEDY}"
        ) from None


def _read(content: dict[str, Any], layout: Layout) -> Calibration:
    fields: dict[str, Any] = {name: float(content[name]) for name in ("floor", "power")}
    fields |= {name: tuple(content[name]) for name in ("sizes", "levels", "radii", "joints")}
    found = Calibration(**fields, measured=str(content["measured"]))
    if len(found.joints) not in (0, len(layout)):
        raise UserError(
            f"weights: expected a calibration of {len(layout)} joints, got {len(found.joints)}; {_REMEDY}"
        )
    return found


def calibrated(covariance: FloatArray, calibration: Calibration) -> FloatArray:
    """Covariances (..., J, 2, 2) of maps in crop units, scaled so that they mean what they say.

    The ellipse that holds 50 % of a Gaussian (radius 1.177) then holds 50 % of joints; for another
    share take `Calibration.radius`. Still in crop units: times the square of the crop's side in
    pixels, they are in square pixels.
    """
    gain = calibration._measured_radius(_HALF) / gaussian_radius(_HALF)
    own = np.array(calibration.joints or (1.0,))[:, None, None]
    shaped = _shaped(covariance, calibration.floor, calibration.power, calibration.sizes)
    return np.asarray((gain * own) ** 2 * shaped)


def mahalanobis(errors: FloatArray, covariance: FloatArray) -> FloatArray:
    """Lengths (...,) of errors (..., 2) in units of covariances (..., 2, 2)."""
    (xx, xy), (_, yy) = np.moveaxis(covariance, (-2, -1), (0, 1))
    x, y = np.moveaxis(errors, -1, 0)
    squared = (yy * x**2 - 2 * xy * x * y + xx * y**2) / (xx * yy - xy**2)
    return np.asarray(np.sqrt(np.maximum(squared, 0.0)))


def calibrate(
    errors: FloatArray,
    covariances: FloatArray,
    joint: IntArray | None = None,
    joints: int = 0,
    measured: str = "data of unknown origin",
) -> Calibration:
    """The calibration of n held-out joints: errors (n, 2) and the maps' covariances (n, 2, 2), crop units.

    Floor and power are those that make the regions of 50 and 90 % smallest on average (the geometric
    mean of their areas), each region being as large as it must be to hold its share: the sharpest that
    are calibrated. The radii are quantiles, so nothing is assumed about the tails. With ``joint`` (n,),
    indices below ``joints``, each joint gets a factor of its own; one that was measured m times is
    moved away from 1 by m / (m + 50) of the way, on a log scale.

    Raises `UserError` where there are fewer than 100.
    """
    if len(errors) < FEWEST:
        raise UserError(
            f"calibration: expected at least {FEWEST} annotated joints inside the crops, got {len(errors)}; "
            "give more people"
        )
    errors, covariances = errors.astype(np.float64), covariances.astype(np.float64)
    floor, power, sizes = _sharpest(errors, covariances)
    distance = mahalanobis(errors, _shaped(covariances, floor, power, sizes))
    factors: FloatArray = np.ones(0)
    if joint is not None:
        factors = _factors(distance, joint, joints)
        distance = distance / factors[joint]
    radii = np.maximum(np.quantile(distance, LEVELS), _SMALLEST)
    return Calibration(floor, power, sizes, LEVELS, tuple(radii.tolist()), tuple(factors.tolist()), measured)


def _shaped(covariance: FloatArray, floor: float, power: float, sizes: tuple[float, float]) -> FloatArray:
    """Covariances (..., 2, 2) with the floor and the power of a calibration."""
    summed = covariance + floor**2 * np.eye(2)
    stretch = np.clip(_size(summed), *sizes) / sizes[0]
    return np.asarray(summed * (stretch ** (2 * (power - 1)))[..., None, None])


def _size(covariance: FloatArray) -> FloatArray:
    """The geometric mean of the standard deviations along the axes (...,), crop units."""
    return np.asarray(np.maximum(np.linalg.det(covariance), _SMALLEST**4) ** 0.25)


def _sharpest(errors: FloatArray, covariances: FloatArray) -> tuple[float, float, tuple[float, float]]:
    """Floor, power and sizes whose regions are smallest: see `calibrate`."""
    found: list[tuple[float, float, float, tuple[float, float]]] = []
    for floor in _FLOORS:
        summed = covariances + floor**2 * np.eye(2)
        size, distance = _size(summed), mahalanobis(errors, summed)
        low, high = np.quantile(size, _MEASURED_SIZES).tolist()
        stretch = np.clip(size, low, high) / low
        for power in _POWERS:
            radii = np.quantile(distance * stretch ** (1 - power), _CHOSEN_BY)
            log_sides = np.log(size).mean() + (power - 1) * np.log(stretch).mean()
            log_area = 2 * float(log_sides + np.log(np.maximum(radii, _SMALLEST)).mean())
            found.append((log_area, floor, power, (low, high)))
    return min(found)[1:]


def _factors(distance: FloatArray, joint: IntArray, joints: int) -> FloatArray:
    """Each joint's median distance over that of all, drawn towards 1 where it was measured rarely."""
    everyone = max(float(np.median(distance)), _SMALLEST)
    factors = np.ones(joints)
    for j in np.unique(joint):
        own = distance[joint == j]
        share = len(own) / (len(own) + _OWN_FROM)
        factors[j] = (max(float(np.median(own)), _SMALLEST) / everyone) ** share
    return factors
