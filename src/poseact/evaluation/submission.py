"""MPII's submission: predictions for the people whose joints its makers withhold."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.io

from poseact.data.clips import TrackSource
from poseact.data.images import write_whole
from poseact.data.loading import SampleSource
from poseact.data.mpii import Mpii, WithheldImage, withheld
from poseact.errors import UserError
from poseact.evaluation.poses import Poses
from poseact.geometry import FloatArray
from poseact.skeleton import ABSENT, MPII16, Layout, mapping

SPLIT = "test-single"
MatlabValue = float | str | npt.NDArray[Any]
_EMPTY: npt.NDArray[Any] = np.zeros((0, 0))
"""MATLAB's []."""


def check_submission(source: SampleSource | TrackSource, layout: Layout) -> Mpii:
    """The data set, if it can be submitted for and the network answers all of MPII's joints.

    Raises `UserError` otherwise.
    """
    if not isinstance(source, Mpii) or source.split != SPLIT:
        got = f"the split {source.split!r}" if isinstance(source, Mpii) else "a part, a pack or another set"
        raise UserError(
            f"submission: expected --data mpii --split {SPLIT}, not packed and without --count, got {got}"
        )
    lacking = [joint for joint in MPII16.joints if joint not in layout.joints]
    if lacking:
        raise UserError(f"submission: expected a network of MPII's 16 joints; it lacks {', '.join(lacking)}")
    return source


def write_submission(path: Path, source: Mpii, layout: Layout, poses: Poses) -> int:
    """Write a .mat file in the form of MPII's toolkit; returns how many people have no prediction.

    ``pred`` is the official list of the test images, all of them in its order, so that
    ``pred(image).annorect(person).annopoints.point(joint)`` has ``x`` and ``y`` in pixels, the first pixel's
    centre at (1, 1), and ``id``, 0 right ankle to 15 left wrist. The people that it counts as
    sufficiently separated are predicted; of them those whose image cannot be read, or who have no scale or
    position, are NaN, which counts as missed; others have no ``annopoints``. The server's instructions call
    the file pred_keypoints_mpii.mat.
    """
    order = mapping(layout, MPII16)
    assert ABSENT not in order
    predicted = {
        source.places[place]: person.predicted[-1][order] + 1
        for place, person in zip(poses.places, poses.people, strict=True)
    }
    images = withheld(source.path)
    listed = [_struct([_rect(image, r, predicted) for r in range(1, image.people + 1)]) for image in images]
    pred = _struct([
        {"image": _struct([{"name": image.name}]), "annorect": rects}
        for image, rects in zip(images, listed, strict=True)
    ])  # fmt: skip
    file = io.BytesIO()
    scipy.io.savemat(file, {"pred": pred}, do_compression=True)
    write_whole(path, file.getvalue())
    return sum(len(image.single) for image in images) - len(predicted)


def _rect(
    image: WithheldImage, person: int, predicted: Mapping[tuple[int, int], FloatArray]
) -> dict[str, MatlabValue]:
    if person not in image.single:
        return {"annopoints": _EMPTY}
    joints = predicted.get((image.index, person), np.full((len(MPII16), 2), np.nan))
    points = [{"x": x, "y": y, "id": float(number)} for number, (x, y) in enumerate(joints.tolist())]
    return {"annopoints": _struct([{"point": _struct(points)}])}


def _struct(elements: Sequence[Mapping[str, MatlabValue]]) -> npt.NDArray[Any]:
    """A MATLAB struct array 1 x K of elements with the same fields; [] of none."""
    if not elements:
        return _EMPTY
    array = np.empty((1, len(elements)), [(name, np.object_) for name in elements[0]])
    for i, element in enumerate(elements):
        for name, value in element.items():
            array[name][0, i] = value
    return array
