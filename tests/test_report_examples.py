from dataclasses import replace

import numpy as np
import torch
from fakes.networks import Known
from fakes.tracks import Tracks

from poseact.data.images import InMemory
from poseact.evaluation import examples
from poseact.evaluation.actions import Video, measure_actions
from poseact.evaluation.examples import CELL, action_sheet, pose_sheet
from poseact.evaluation.poses import measure_poses
from poseact.evaluation.rules import OURS, Protocol
from poseact.network import arguments, build
from poseact.skeleton import PA16, PA17, convert

CPU = torch.device("cpu")
EVERY = Protocol(frame_step=1)


class Black(Tracks):
    """Tracks whose frames are black, so that whatever is drawn shows."""

    def __getitem__(self, i):
        track = super().__getitem__(i)
        return replace(track, frames=InMemory((np.zeros((120, 160, 3), np.uint8),) * len(track)))


def sheet(network, layout, source):
    poses = measure_poses(network, layout, source, CPU, EVERY)
    return pose_sheet(poses, layout, source, EVERY)


def test_each_person_is_a_cell_with_the_pose_where_the_network_put_it():
    place = np.full((16, 2), 0.5)
    place[PA16.index("right_wrist")] = (0.25, 0.75)
    drawn = sheet(Known(place.tolist()), PA16, Black(count=2, frames=2))
    assert drawn.shape == (CELL, 6 * CELL, 3)
    x, y = (np.array([0.25, 0.75]) * CELL).astype(int)
    for cell in range(4):
        r, g, b = drawn[y, cell * CELL + x].astype(int)
        assert r > g > b, "the right wrist is orange"
        assert not drawn[10:40, cell * CELL + 10 : cell * CELL + 40].any()


def test_3d_poses_are_turned_beside_their_crop():
    rng = np.random.default_rng(0)
    drawn = sheet(Known(rng.uniform(0.3, 0.7, (17, 3)).tolist()), PA17, Black(count=3, frames=1))
    assert drawn.shape == (CELL, 6 * CELL, 3)
    crops, turned = drawn[:, :CELL], drawn[:, CELL : 2 * CELL]
    assert (crops[0, 0] == 0).all() and (turned[0, 0] == 32).all() and len(np.unique(turned)) > 20


def test_twelve_of_many_from_the_first_to_the_last():
    drawn = sheet(Known([[0.5, 0.5]] * 16), PA16, Black(count=2, frames=30))
    assert drawn.shape == (2 * CELL, 6 * CELL, 3) and drawn[-CELL // 2, -CELL // 2].any()


def caption(cell):
    return cell[-26].mean(0)  # above the letters


def test_answers_are_green_where_right_and_red_where_wrong():
    torch.manual_seed(0)
    network, layout = build(
        arguments("penn-action", "paper", width=16, blocks=1, size=64, actions=2, frames=8)
    )
    network.layout = layout
    source = Black(count=3, frames=8)
    measured = measure_actions(network, source, CPU, OURS)
    sure = np.tile([[0.9, 0.1]], (9, 1))
    answers = [Video(0, sure, ""), Video(1, sure, ""), Video(1, None, "")]  # right, wrong, without an answer
    drawn = action_sheet(network, layout, source, replace(measured, videos=answers), OURS)
    right, wrong, none = (drawn[:, i * CELL : (i + 1) * CELL] for i in range(3))
    assert caption(right)[1] > caption(right)[0] and caption(wrong)[0] > caption(wrong)[1]
    assert (none == 32).all(), "nothing was answered"


def test_poses_that_are_given_are_those_drawn(monkeypatch):
    torch.manual_seed(0)
    network, layout = build(
        arguments("penn-action", "paper", width=16, blocks=1, size=64, actions=2, frames=8)
    )
    network.layout = layout
    source, given = Black(count=1, frames=8), replace(OURS, poses="given")
    measured = measure_actions(network, source, CPU, given)
    crop, drawn = examples._crop, []
    monkeypatch.setattr(examples, "predict_group", None)
    monkeypatch.setattr(examples, "_crop", lambda *args: drawn.append(args) or crop(*args))
    action_sheet(network, layout, source, measured, given)
    track = source[0]
    (_, joints, visibility, _, _) = drawn[0]
    known = convert(track.valid[4], track.layout, layout)
    assert known.any() and (visibility == known).all()
    assert (joints == convert(track.joints[4, :, :2], track.layout, layout)).all()
