"""Metrics as pure functions, named after their protocol."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]


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


def pck(
    predicted: FloatArray, truth: FloatArray, valid: BoolArray, reference_px: FloatArray, threshold: float
) -> npt.NDArray[np.float64]:
    """PCK by joint: the share of annotated joints within ``threshold`` x the reference length.

    ``predicted``, ``truth`` (N, J, 2) px; ``valid`` (N, J); ``reference_px`` (N,), NaN leaves a
    person out. Returns (J + 1,): each joint, then all annotated joints together; NaN where
    there was none. With the torso as reference this is PCK, with the head size PCKh.
    """
    distance = np.linalg.norm(predicted - truth, axis=-1)
    counted = valid & np.isfinite(reference_px)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        hit = counted & (distance <= threshold * reference_px[:, None])
        by_joint = hit.sum(0) / counted.sum(0)
        return np.append(by_joint, hit.sum() / counted.sum())


def pckh(
    predicted: FloatArray, truth: FloatArray, valid: BoolArray, head_px: FloatArray, threshold: float = 0.5
) -> npt.NDArray[np.float64]:
    """PCKh (MPII): `pck` with the head size, 0.6 x the diagonal of the head box, as reference."""
    return pck(predicted, truth, valid, head_px, threshold)


def head_size_px(head_box: FloatArray) -> FloatArray:
    """MPII's head size (N,) from head boxes (N, 4), x1 y1 x2 y2 in px."""
    return 0.6 * np.hypot(head_box[:, 2] - head_box[:, 0], head_box[:, 3] - head_box[:, 1])
