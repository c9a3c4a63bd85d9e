"""MPII's submission: predictions for the people whose joints its makers withhold."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import scipy.io

from poseact.data.clips import TrackSource
from poseact.data.images import write_whole
from poseact.data.loading import SampleSource
from poseact.data.mpii import Mpii
from poseact.errors import UserError
from poseact.evaluation.poses import Poses
from poseact.skeleton import ABSENT, MPII16, Layout, mapping

SPLIT = "test-single"


def check_submission(source: SampleSource | TrackSource, layout: Layout) -> Mpii:
    """The data set, if it can be submitted for and the network answers all of MPII's joints.

    Raises `UserError` otherwise.
    """
    if not isinstance(source, Mpii) or source.split != SPLIT:
        got = f"the split {source.split!r}" if isinstance(source, Mpii) else "another data set"
        raise UserError(f"submission: expected --data mpii --split {SPLIT}, not packed, got {got}")
    lacking = [joint for joint in MPII16.joints if joint not in layout.joints]
    if lacking:
        raise UserError(f"submission: expected a network of MPII's 16 joints; it lacks {', '.join(lacking)}")
    return source


def write_submission(path: Path, source: Mpii, layout: Layout, poses: Poses) -> int:
    """Write ``pred`` (2, 16, N) to a .mat file; returns how many people could not be read.

    x and y in pixels, the first pixel's centre at (1, 1); joints in MPII's order, 0 right ankle to 15
    left wrist; the N people of the split ``test-single`` in the file's order. People whose image cannot be
    read are NaN. ``place`` (2, N) holds their indices of image and person (ridx), from 1.
    """
    predictions = np.full((len(source), len(MPII16), 2), np.nan)
    order = mapping(layout, MPII16)
    assert ABSENT not in order
    for place, person in zip(poses.places, poses.people, strict=True):
        predictions[place] = person.predicted[-1][order] + 1
    content: dict[str, npt.NDArray[np.generic]] = {
        "pred": predictions.transpose(2, 1, 0),
        "place": np.array(source.places, np.float64).T,
    }
    file = io.BytesIO()
    scipy.io.savemat(file, content, do_compression=True)
    write_whole(path, file.getvalue())
    return len(source) - len(poses.people)
