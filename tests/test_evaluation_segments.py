"""Segments are paired with what was performed, each once."""

import pytest

from poseact.data.synthetic.course import Performed
from poseact.evaluation.segments import found, overlap


@pytest.mark.parametrize(("a", "b", "share"), [
    ((0, 9), (0, 9), 1.0), ((0, 9), (5, 14), 5 / 15), ((0, 9), (10, 19), 0.0), ((0, 9), (9, 9), 0.1),
    ((0, 9), (40, 50), 0.0),
])  # fmt: skip
def test_overlap_counts_frames(a, b, share):
    assert overlap(Performed("x", *a), Performed("x", *b)) == pytest.approx(share)


def test_each_is_found_once_by_the_one_that_overlaps_most():
    performed = [Performed("walk", 0, 99), Performed("walk", 200, 299), Performed("run", 400, 499)]
    segments = [
        Performed("walk", 0, 39),  # 0.4 of the first, but another one has more
        Performed("walk", 20, 119),
        Performed("walk", 270, 299),  # exactly 0.3
        Performed("walk", 400, 499),  # another action
    ]
    assert found(performed, segments) == [1, 2, None]
    assert found(performed, segments, least=0.31) == [1, None, None]
    assert found([], segments) == [] and found(performed, []) == [None] * 3
