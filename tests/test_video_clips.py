"""Which frames a clip is made of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poseact.video import clip_indices, clip_starts


def test_middle_clips_are_those_of_the_reference(shared):
    z = np.load(shared / "reference" / "expected" / "protocol.npz")
    for (length, stride, count), expected in zip(
        z["clip_length_stride_frames"], z["clip_middle_frames"], strict=True
    ):
        assert clip_indices(length, count, stride).tolist() == expected[expected >= 0].tolist()


@given(st.integers(1, 200), st.integers(1, 24), st.integers(1, 4), st.none() | st.integers(-5, 300))
def test_clips_stay_inside_and_go_forward(length, count, stride, start):
    frames = clip_indices(length, count, stride, start)
    assert len(frames) == count and frames.min() >= 0 and frames.max() < length
    steps = np.diff(frames)
    assert (steps >= 0).all() and len(set(steps)) <= (1 if length >= count else 2)


def test_a_clip_starts_where_it_is_told():
    assert clip_indices(100, 4, 3, 10).tolist() == [10, 13, 16, 19]
    assert clip_indices(12, 4, 3, 10).tolist() == [2, 5, 8, 11]


def test_starts_of_many_clips():
    assert clip_starts(40, 16, 1, 8) == [0, 8, 16, 24]
    assert clip_starts(39, 16, 1, 8) == [0, 8, 16]
    assert clip_starts(3, 16, 1, 8) == [0]


def test_clips_of_a_video_that_is_short_for_their_stride_reach_its_end():
    """44 frames hold 16 at a stride of 2, not of 3."""
    clips = [clip_indices(44, 16, 3, start) for start in clip_starts(44, 16, 3, 8)]
    assert [c[[0, -1]].tolist() for c in clips] == [[0, 30], [8, 38]]


@pytest.mark.parametrize("arguments", [(0, 4, 1), (4, 0, 1), (4, 4, 0)])
def test_impossible_clips(arguments):
    with pytest.raises(ValueError, match="expected length, count and stride >= 1"):
        clip_indices(*arguments)
