"""Segments lie where the windows' centres say, without flicker, and never overlap."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from poseact.errors import UserError
from poseact.results import Results, row_type
from poseact.segments import Segment, centred, find_segments, no_segment
from poseact.skeleton import PA16

ACTIONS = ("walk", "run", "other")
FPS = 10.0


def answered(labels: str, share: float = 0.8, frames=None, person: int = 1, restarts=()) -> Results:
    """A letter a frame: w, r or o is the most probable action, - none is known, . all are equal."""
    rows = np.zeros(len(labels), row_type(16, 2, len(ACTIONS)))
    rows["frame"] = np.arange(len(labels)) if frames is None else frames
    rows["time_s"], rows["person"] = rows["frame"] / FPS, person
    rows["restarted"][list(restarts)] = True
    for row, letter in zip(rows, labels, strict=True):
        row["action_known"] = letter != "-"
        row["action"] = 1 / 3
        if letter in "wro":
            row["action"] = (1 - share) / 2
            row["action"]["wro".index(letter)] = share
    return Results(rows, PA16, ACTIONS, "v", FPS, (10, 10), len(rows))


def merged(*results: Results) -> Results:
    rows = np.concatenate([r.rows for r in results])
    rows = rows[np.lexsort((rows["person"], rows["frame"]))]
    return Results(rows, PA16, ACTIONS, "v", FPS, (10, 10), int(rows["frame"].max()) + 1)


def spans(segments) -> list[tuple[str, int, int]]:
    return [(s.action, s.first, s.last) for s in segments]


def test_labels_of_single_frames_are_segments_as_they_are():
    (walk, run) = find_segments(answered("w" * 10 + "r" * 12), window=1)
    assert walk == Segment(1, "walk", 0, 9, 0.0, pytest.approx(1.0), pytest.approx(0.8))
    assert run == Segment(1, "run", 10, 21, pytest.approx(1.0), pytest.approx(2.2), pytest.approx(0.8))


@pytest.mark.parametrize("window", [8, 9, 16])
def test_a_change_is_half_a_window_before_the_answer_that_tells_it(window):
    """All windows that end before frame 30 say walk; so the change shows half a window earlier."""
    labels = "-" * (window - 1) + "w" * (31 - window) + "r" * 30
    walk, run = find_segments(answered(labels), window)
    assert (walk.first, walk.last, run.last) == (0, 29 - window // 2, 59)
    assert run.first == walk.last + 1


def test_the_ends_take_the_first_and_last_window():
    places, answers = centred(answered("----wwwrrr"), person=1, window=5)
    assert places.tolist() == list(range(10))
    assert answers.tolist() == [4, 4, 4, 5, 6, 7, 8, 9, 9, 9]


def test_an_answer_stays_within_its_run():
    """After a restart, what came before says nothing; after a gap, the nearest window does."""
    places, answers = centred(answered("--ww--rr", restarts=[4]), 1, window=3)
    assert answers.tolist() == [2, 2, 3, 3, 6, 6, 7, 7]
    frames = [0, 1, 2, 3, 10, 11, 12, 13]
    assert centred(answered("--ww--rr", frames=frames), 1, window=3)[1].tolist() == answers.tolist()
    assert places.tolist() == list(range(8))


def test_frames_that_are_missing_now_and_then_delay_nothing():
    """The person is not seen in one frame of ten, but the window goes on."""
    labels, frames = "-" * 7 + "w" * 24 + "r" * 30, np.arange(61)
    seen = frames % 10 != 5
    results = answered("".join(np.array(list(labels))[seen]), frames=frames[seen])
    walk, run = find_segments(results, window=8)
    assert (walk.last, run.first) == (26, 27)


def test_a_run_shorter_than_the_window_has_no_answer():
    results = answered("--ww--wwww", restarts=[4, 6])
    places, _ = centred(results, 1, window=3)
    assert places.tolist() == [0, 1, 2, 3, 6, 7, 8, 9]
    assert spans(find_segments(results, 3, hole_s=0)) == []  # .4 s each
    assert spans(find_segments(results, 3)) == [("walk", 0, 9)]


def test_short_holes_are_closed_and_long_ones_are_not():
    results = answered("w" * 10 + "..." + "w" * 10)
    assert spans(find_segments(results, 1, hole_s=0.3)) == [("walk", 0, 22)]
    assert spans(find_segments(results, 1, hole_s=0.2)) == [("walk", 0, 9), ("walk", 13, 22)]


def test_the_score_is_of_the_frames_with_that_label_only():
    (walk,) = find_segments(answered("w" * 10 + "..." + "w" * 10, share=0.75), 1)
    assert walk.score == pytest.approx(0.75, abs=1e-6)


def test_a_flicker_is_dropped_and_what_it_parted_is_joined():
    assert spans(find_segments(answered("w" * 10 + "rrr" + "w" * 10), 1)) == [("walk", 0, 22)]


def test_a_flicker_in_the_middle_of_an_action_leaves_it_whole():
    """Neither half is long enough by itself."""
    assert spans(find_segments(answered("w" * 8 + "rr" + "w" * 8), 1)) == [("walk", 0, 17)]
    assert spans(find_segments(answered("w" * 8 + "r" * 6 + "w" * 8), 1)) == []


def test_segments_of_uneven_frames_end_before_the_next_begins_and_last_through_no_pause():
    """Ten frames a second, and a pause of 30 seconds; the mean rate is 1.2 a second."""
    results = answered("w" * 20 + "r" * 15 + "w" * 15)
    times = np.arange(50) / 10 + 30 * (np.arange(50) >= 35)
    results.rows["time_s"] = times
    walk, run, again = find_segments(replace(results, fps=49 / times[-1]), 1)
    assert (walk.end_s, run.start_s) == (pytest.approx(2.0), pytest.approx(2.0))
    assert run.end_s == pytest.approx(3.4 + times[-1] / 49) and again.start_s == pytest.approx(33.5)


def test_short_parts_that_belong_together_are_not_dropped():
    assert spans(find_segments(answered("www..www..www"), 1)) == [("walk", 0, 12)]


def test_segments_of_a_person_never_overlap():
    rng = np.random.default_rng(0)
    for _ in range(100):
        labels = "".join(rng.choice(list("wro.")) * int(rng.integers(1, 9)) for _ in range(30))
        shortest, hole = rng.uniform(0, 1, 2)
        window = int(rng.integers(1, 9))
        found = find_segments(answered(labels), window, shortest_s=shortest, hole_s=hole)
        for before, after in pairwise(found):
            assert before.last < after.first and before.end_s <= after.start_s + 1e-9
        assert all(s.end_s - s.start_s >= shortest - 1e-9 and s.action != "other" for s in found)


def test_other_is_never_a_segment():
    assert find_segments(answered("o" * 20), 1) == ()


def test_under_the_threshold_there_is_none():
    results = answered("w" * 20, share=0.6)
    assert find_segments(results, 1, threshold=0.61) == ()
    assert spans(find_segments(results, 1, threshold=0.59)) == [("walk", 0, 19)]


def test_people_have_segments_of_their_own():
    results = merged(answered("w" * 20, person=2), answered("." * 5 + "r" * 15, person=1))
    assert [(s.person, s.action, s.first) for s in find_segments(results, 1)] == [
        (2, "walk", 0),
        (1, "run", 5),
    ]


def test_a_long_gap_parts_a_segment():
    frames = [*range(10), *range(20, 30)]
    assert spans(find_segments(answered("w" * 20, frames=frames), 1)) == [("walk", 0, 9), ("walk", 20, 29)]
    assert spans(find_segments(answered("w" * 20, frames=frames), 1, hole_s=1.0)) == [("walk", 0, 29)]


@pytest.mark.parametrize("labels", ["", "-" * 20])
def test_without_answers_there_is_none(labels):
    assert find_segments(answered(labels), 5) == ()


def test_the_reason_of_no_segment_is_told():
    sure, unsure = answered("oowwrroo", 0.45), answered("----")
    assert "0.7 for 1 s; at its highest: walk, 0.45;" in no_segment(sure, window=3)
    assert no_segment(unsure, window=46) == (
        "no action can be told: it takes 46 frames of one person without a break"
    )
    nobody = replace(sure, rows=sure.rows[:0])
    poses_only = Results(np.zeros(1, row_type(16, 2, 0)), PA16, (), "v", FPS, (10, 10), 1)
    assert no_segment(nobody, window=3) == no_segment(poses_only, window=3) == ""


def test_without_actions_there_is_none():
    rows = np.zeros(9, row_type(16, 2, 0))
    assert find_segments(Results(rows, PA16, (), "v", FPS, (10, 10), 9), 5) == ()


@pytest.mark.parametrize(
    "wrong",
    [{"window": 0}, {"threshold": 1.5}, {"threshold": float("nan")}, {"shortest_s": -1}, {"hole_s": -1}],
)
def test_arguments_out_of_range_are_one_line(wrong):
    with pytest.raises(UserError, match="expected") as caught:
        find_segments(answered("w"), **{"window": 1} | wrong)
    assert "\n" not in str(caught.value)
