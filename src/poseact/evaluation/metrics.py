"""Metrics as pure functions, named as the field names them.

A metric of poses is a mean over joints: `Measured` holds it before the mean, so that the score of
the whole set, of a joint, of an action, and the bootstrap's interval are read off the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from poseact.data.mpii import HEAD_SHARE

FloatArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

AUC_STEP = 0.01
_DRAWN_TOGETHER = 1 << 21
LEAST_TO_ALIGN = 3
"""Joints that a similarity needs to be determined in 3D, up to a reflection, which is excluded."""


@dataclass(frozen=True)
class Measured:
    """One metric of N people before the mean.

    ``values`` (N, J): of each joint (J = 1 for actions); ``counted`` (N, J) bool: which of them count.
    """

    values: FloatArray
    counted: BoolArray

    def mean(self) -> float:
        """Of all that counts, people and joints alike; NaN where nothing does."""
        return _ratio(self._kept().sum(), self.counted.sum()).item()

    def by_joint(self) -> npt.NDArray[np.float64]:
        """(J,), NaN where nobody counts."""
        return _ratio(self._kept().sum(0), self.counted.sum(0))

    def by_person(self) -> tuple[npt.NDArray[np.float64], IntArray]:
        """The sum over each person's joints (N,), and how many count (N,): what `bootstrap` takes."""
        return self._kept().sum(1), self.counted.sum(1)

    def by_group(self, group: IntArray, count: int) -> npt.NDArray[np.float64]:
        """(count,) of the people of each group, such as an action; ``group`` (N,); NaN where none is."""
        sums, counts = self.by_person()
        return _ratio(np.bincount(group, sums, count), np.bincount(group, counts, count))

    def _kept(self) -> npt.NDArray[np.float64]:
        return np.where(self.counted, self.values, 0.0)


def _ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> npt.NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.true_divide(numerator, denominator), np.float64)


def joint_errors(predicted: FloatArray, truth: FloatArray) -> npt.NDArray[np.float64]:
    """Euclidean distances (..., J) between points (..., J, D), in their unit."""
    return np.asarray(np.linalg.norm(predicted - truth, axis=-1), np.float64)


def torso_px(
    joints: FloatArray, valid: BoolArray, pairs: tuple[tuple[int, int], tuple[int, int]]
) -> FloatArray:
    """Torso length of each person (N,): NaN where it cannot be measured or is under 1 px.

    ``joints`` (N, J, 2) px; ``pairs``: (left shoulder, right hip), and the other diagonal,
    which serves where the first is not annotated.
    """
    result = np.full(len(joints), np.nan)
    for a, b in reversed(pairs):
        both = valid[:, a] & valid[:, b]
        result[both] = np.linalg.norm(joints[both, a] - joints[both, b], axis=-1)
    result[result < 1] = np.nan
    return result


def head_size_px(head_box: FloatArray) -> FloatArray:
    """MPII's head size (N,) from head boxes (N, 4), x1 y1 x2 y2 in px."""
    return HEAD_SHARE * np.hypot(head_box[:, 2] - head_box[:, 0], head_box[:, 3] - head_box[:, 1])


def pck(error_px: FloatArray, valid: BoolArray, reference_px: FloatArray, threshold: float) -> Measured:
    """PCK: 1 for a joint within ``threshold`` x the reference length, else 0.

    ``error_px`` (N, J): see `joint_errors`; ``valid`` (N, J): annotated joints; ``reference_px``
    (N,): NaN leaves a person out. With the torso as reference this is PCK, with MPII's head size
    PCKh. An error that is not finite is a miss.
    """
    with np.errstate(invalid="ignore"):
        hit = error_px <= threshold * reference_px[:, None]
    return Measured(hit.astype(np.float64), valid & np.isfinite(reference_px)[:, None])


def auc(error_px: FloatArray, valid: BoolArray, reference_px: FloatArray, limit: float) -> Measured:
    """Area under the curve of `pck`: its mean over thresholds 0, .01, ... to ``limit`` (MPII's rule)."""
    thresholds = np.linspace(0, limit, round(limit / AUC_STEP) + 1).tolist()
    curves = [pck(error_px, valid, reference_px, threshold) for threshold in thresholds]
    return Measured(np.mean([curve.values for curve in curves], 0), curves[0].counted)


def root_aligned(points: FloatArray, root: int) -> FloatArray:
    """Points (..., J, 3) relative to the joint ``root``: what MPJPE compares."""
    return points - points[..., root : root + 1, :]


def procrustes(predicted: FloatArray, truth: FloatArray, valid: BoolArray) -> npt.NDArray[np.float64]:
    """``predicted`` (N, J, 3) turned, scaled and moved onto ``truth`` by least squares (PA-MPJPE).

    The similarity is that of Umeyama, TPAMI 1991, over the joints ``valid`` (N, J); reflections are
    excluded. People with fewer than three valid joints become NaN. Where the prediction is a
    single point, it becomes the centroid of the truth.
    """
    weight = valid[..., None] / np.maximum(valid.sum(1), 1)[:, None, None]
    safe = valid[..., None]
    x, y = np.where(safe, predicted, 0.0), np.where(safe, truth, 0.0)
    centre_x, centre_y = (weight * x).sum(1, keepdims=True), (weight * y).sum(1, keepdims=True)
    from_x, from_y = (x - centre_x) * safe, (y - centre_y) * safe
    finite = np.isfinite(from_x).all((1, 2)) & np.isfinite(from_y).all((1, 2))
    covariance = np.einsum("nji,njk->nik", weight * from_y, from_x)
    u, singular, vt = np.linalg.svd(np.where(finite[:, None, None], covariance, 0.0))
    sign = np.ones_like(singular)
    sign[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign[:, None, :]) @ vt
    spread = (weight * from_x**2).sum((1, 2))
    scale = np.where(spread > 0, (singular * sign).sum(1) / np.where(spread > 0, spread, 1), 0)
    aligned = scale[:, None, None] * ((predicted - centre_x) @ rotation.transpose(0, 2, 1)) + centre_y
    enough = finite & (valid.sum(1) >= LEAST_TO_ALIGN)
    return np.asarray(np.where(enough[:, None, None], aligned, np.nan), np.float64)


def mpjpe(error_mm: FloatArray, valid: BoolArray) -> Measured:
    """MPJPE in mm: the error of each joint that is valid (N, J), after `root_aligned` or `procrustes`."""
    return Measured(error_mm, valid)


def accuracy(predicted: IntArray, truth: IntArray, answered: BoolArray) -> Measured:
    """1 where the class (N,) is right; a clip that was not ``answered`` (N,) is wrong."""
    hit = answered & (predicted == truth)
    return Measured(hit[:, None].astype(np.float64), np.ones((len(hit), 1), np.bool_))


def confusion(predicted: IntArray, truth: IntArray, answered: BoolArray, classes: int) -> IntArray:
    """Counts (classes, classes), rows the truth, columns the answer; without those not ``answered``."""
    pairs = truth[answered] * classes + predicted[answered]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes).astype(np.int64)


def numbered(groups: Sequence[str]) -> IntArray:
    """Names as numbers (N,) from 0, in the order in which they come first."""
    order = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    return np.array([order[name] for name in groups], np.int64)


def bootstrap(
    sums: FloatArray,
    counts: npt.NDArray[np.generic],
    unit: IntArray,
    rng: np.random.Generator,
    *,
    group: IntArray | None = None,
    draws: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap of a mean: the interval that holds ``level`` of its redrawn values.

    ``sums`` and ``counts`` (N,): `Measured.by_person`. ``unit`` (N,): people of the same unit, such as
    frames of one video, are drawn together, for they are not independent. ``group`` (N,), >= 0: the
    mean of the groups' means instead. (NaN, NaN) where there are fewer than two units.
    """
    units, place = np.unique(unit, return_inverse=True)
    if len(units) < 2:
        return np.nan, np.nan
    columns = np.zeros(len(sums), np.int64) if group is None else group
    width = int(columns.max()) + 1
    tables = [
        np.bincount(place * width + columns, np.asarray(values, np.float64), len(units) * width)
        for values in (sums, counts)
    ]
    upper, lower = (table.reshape(len(units), width) for table in tables)
    upper, lower = upper[:, lower.any(0)], lower[:, lower.any(0)]
    if not upper.size:
        return np.nan, np.nan
    means: list[FloatArray] = []
    together = max(1, _DRAWN_TOGETHER // len(units))
    for start in range(0, draws, together):
        count = min(together, draws - start)
        chosen = rng.integers(len(units), size=(count, len(units))) + len(units) * np.arange(count)[:, None]
        times = np.bincount(chosen.ravel(), minlength=count * len(units)).reshape(count, len(units))
        of_groups = _ratio(times @ upper, times @ lower)
        known = np.isfinite(of_groups)
        means.append(_ratio(np.where(known, of_groups, 0).sum(1), known.sum(1)))
    low, high = np.nanquantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
