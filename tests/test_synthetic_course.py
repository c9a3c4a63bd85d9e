"""Films of several movements are whole: no jumps, no false labels, nothing under the floor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from poseact.data import open_data
from poseact.data.clips import clip
from poseact.data.loading import chosen
from poseact.data.pack import pack
from poseact.data.synthetic.actions import ACTIONS, random_motion
from poseact.data.synthetic.course import Courses, _between, joined
from poseact.data.synthetic.placing import placed, turn
from poseact.data.synthetic.rig import random_lengths
from poseact.data.synthetic.videos import FPS
from poseact.errors import UserError
from poseact.evaluation.actions import measure_actions
from poseact.evaluation.rules import protocol_of


def test_movements_follow_each_other_without_a_jump():
    for i in range(4):
        film, performed = Courses(4, seconds=8, seed=3).film(i)
        assert 8 * FPS <= len(film) < 24 * FPS
        apart = np.linalg.norm(np.diff(film.joints, axis=0), axis=-1) * FPS
        assert apart.max() < 12  # metres a second: a hand that strikes
        assert film.joints[..., 1].min() > 0
        assert performed and all(p.action in ACTIONS[:-1] for p in performed)
        rests = np.diff([edge for p in performed for edge in (p.first, p.last)])[1::2]
        assert all(0 < p.first <= p.last < len(film) for p in performed) and (rests > FPS).all()


def test_a_course_depends_on_its_seed_alone_and_is_drawn():
    first, again = (Courses(3, seconds=4, seed=5).film(1) for _ in range(2))
    assert first[1] == again[1] and np.array_equal(first[0].joints, again[0].joints)
    image = first[0].picture(20, 2).image
    assert np.array_equal(image, again[0].picture(20, 2).image) and image.std() > 5


def test_a_track_tells_its_actions_by_frame():
    source = open_data("synthetic", None, "val-course", 2)
    assert isinstance(source, Courses) and source.lengths == [360, 360]
    track, (film, performed) = source[1], source.film(1)
    assert len(track) == 360 and track.action is None
    shown = film.track("", None)
    assert np.array_equal(track.joints, shown.joints[:360]) and np.array_equal(track.boxes, shown.boxes[:360])
    actions = track.frame_actions
    rest, first = ACTIONS.index("other"), performed[0]
    length = first.last + 1 - first.first
    edge = round(0.15 * length)
    assert (actions[: first.first] == rest).all() and (actions[first.last + 1 :][:10] == rest).all()
    assert (actions[first.first :][:edge] == -1).all() and actions[first.first + edge - 1] == -1
    middle = actions[first.first + edge : first.last + 1 - edge]
    assert len(middle) == length - 2 * edge and (middle == ACTIONS.index(first.action)).all()
    action = ACTIONS.index(first.action)
    for centre, expected in ((first.first, None), (first.first - 1, rest), (first.first + edge, action)):
        assert clip(track, np.arange(centre - 8, centre + 8)).action == expected


def test_films_of_several_actions_are_refused_where_one_is_needed(tmp_path):
    source = open_data("synthetic", None, "val-course", 3)
    for what in (source, chosen(source, 2)):
        with pytest.raises(UserError, match="pack: expected videos of one action each"):
            pack(what, "synthetic", "val-course", tmp_path, 64, Console(quiet=True))
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="actions: expected videos of one action each"):
        measure_actions(None, source, torch.device("cpu"), protocol_of("ours", "synthetic"))
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "pack.json").write_text("{}")
    with pytest.raises(UserError, match="train-course: is never packed; give a file of motion capture"):
        open_data("synthetic", tmp_path, "train-course")
    for split in ("train-", "course", "train-both"):
        with pytest.raises(UserError, match="unknown split"):
            open_data("synthetic", None, split)


def test_captured_movements_are_in_courses_too(shared):
    motions = shared / "data" / "mocap" / "motions.npz"
    course = open_data("synthetic", motions, "train-course", 4)
    assert course.actions == open_data("synthetic", motions, "train-both", 4).actions
    assert course.motions is not None and set(course.motions.actions) <= set(ACTIONS)
    assert {len(course[i]) for i in range(4)} == {360}


def test_actions_by_frame_stand_alone():
    track = open_data("synthetic", None, "val-course", 1)[0]
    with pytest.raises(ValueError, match="frame_actions"):
        replace(track, action=3)
    with pytest.raises(ValueError, match="frame_actions"):
        replace(track, frame_actions=track.frame_actions[:-1])


def test_a_movement_goes_over_into_the_next_by_the_shortest_way():
    a = np.stack([turn(x=10.0), turn(y=90.0), np.eye(3)])
    b = np.stack([turn(x=50.0), turn(y=-90.0 + 360 - 20), turn(z=5.0)])
    half = _between(a, b, np.array([0.0, 0.5, 1.0]))
    assert np.allclose(half[0], a) and np.allclose(half[2], b)
    assert np.allclose(half[1], np.stack([turn(x=30.0), turn(y=170.0), turn(z=2.5)]))


def test_unknown_movements_are_no_action(shared):
    source = open_data("synthetic", shared / "data" / "mocap" / "motions.npz", "test")
    for known in (True, False):
        films = [Courses(4, 6, known=known, motions=source.motions, seed=1).film(i) for i in range(4)]
        assert all(bool(performed) == known for _, performed in films)


def test_turns_keep_their_side_wherever_they_begin():
    rng = np.random.default_rng(4)
    lengths = random_lengths(rng)
    names = ("turn_left", "other", "turn_right", "push_up", "turn_left")
    parts = [placed(random_motion(name, rng, 60), lengths) for name in names]
    rotations, root, begins = joined(parts, lengths)
    assert begins[0] == 0 and np.diff(begins).tolist() == [75] * 4 and len(root) == 4 * 75 + 60
    facing = rotations[:, 0]
    heading = np.rad2deg(np.unwrap(np.arctan2(-facing[:, 2, 0], facing[:, 0, 0])))
    for name, begin in zip(names, begins, strict=True):
        way = heading[begin + 59] - heading[begin]
        assert {"turn_left": 45 < way < 145, "turn_right": -145 < way < -45}.get(name, abs(way) < 45)
        assert abs(heading[begin] - heading[max(begin - 16, 0)]) < 1e-6  # headed as before
