"""People followed from frame to frame: the same answers as from whole clips, and boxes that are kept."""

import io
from dataclasses import replace
from functools import cache
from itertools import pairwise
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from fakes import people
from fakes.people import Bright, picture

from poseact.errors import UserError
from poseact.geometry import Box, whole_image_box
from poseact.inference import stream as module
from poseact.inference.boxes import (
    LOOK_EVERY,
    PATIENCE,
    GivenBoxes,
    cut,
    find_boxes,
    goes_on,
    holds,
    leaving,
    nearly_same,
    place_of,
    rectangle_box,
)
from poseact.inference.predictor import CropAnswers, ready
from poseact.inference.space import CameraAssumption
from poseact.inference.stream import Options, Stream, recognise_clips, trained_stride
from poseact.network import arguments, build, to_input

CPU = torch.device("cpu")
BOX = Box((40.0, 30.0), 60.0)
EXACT = Options(precision="fp32")


@cache
def network(**changes):
    """A small action network with random weights."""
    torch.manual_seed(0)
    args = {"width": 32, "blocks": 1, "size": 64, "actions": 4, "frames": 8, **changes}
    model, layout = build(arguments("tiny", **args))
    model.layout, model.action_labels, model.metadata = layout, ("a", "b", "c", "d"), {}
    # Statistics of what it will see, so that frames make a difference.
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        model.train()(to_input(torch.from_numpy(cut(noise(16), [BOX] * 16, 64))).unflatten(0, (2, 8)))
    return ready(model, CPU, precision="fp32")


def noise(count, size=(80, 60)):
    """Images of coarse spots, each of its own."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 5, 3), np.uint8)
    return [cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) for image in coarse]


def constant(number, image):
    return {1: BOX}


def answered(stream, groups=None):
    """All answers of a stream's source; ``groups``: how many frames are given at a time."""
    if groups is None:
        return [answer for group in stream.answers() for answer in group]
    frames = list(stream.source.frames(0))
    return [a for i in range(0, len(frames), groups) for a in stream.add(frames[i : i + groups])]


def rows(answers):
    return np.concatenate([answer.rows for answer in answers])


def clip_answer(model, images, box=BOX):
    """Poses, visibility and probabilities of a clip computed whole."""
    crops = torch.from_numpy(cut(images, [box] * len(images), model.size))
    with torch.inference_mode():
        return model(to_input(crops)[None])


SPACE = {"depth_maps": 4, "layout": "pa20"}
FORMS = [
    ("paper", {"pose_stream": "v1"}), ("released", {"pose_stream": "v2"}),
    ("released", {"pose_stream": "v1", **SPACE}), ("paper", {"pose_stream": "v2", **SPACE}),
    ("paper", {"pose_stream": "motion", **SPACE}),
]  # fmt: skip
OTHER = {"paper": "released", "released": "paper"}


@pytest.mark.parametrize(
    "variant, form",
    [*FORMS, *(pytest.param(OTHER[variant], form, marks=pytest.mark.slow) for variant, form in FORMS)],
)
def test_a_stream_answers_what_the_whole_clip_does(variant, form):
    model = network(variant=variant, **form)
    images = noise(10)
    for groups in (None, 1):
        stream = Stream(model, people.source(images), EXACT, constant)
        found = rows(answered(stream, groups))
        assert found["action_known"].tolist() == [False] * 7 + [True] * 3
        for end in range(7, 10):
            whole = clip_answer(model, images[end - 7 : end + 1])
            assert np.abs(found["action"][end] - whole.action[0].numpy()).max() < 1e-5
            pixels = (whole.pose[0, -1, :, :2].numpy() - 0.5) * BOX.side + np.array(BOX.centre)
            assert np.abs(found["joints"][end] - pixels).max() < 1e-3
            assert np.abs(found["visibility"][end] - whole.visibility[0, -1].numpy()).max() < 1e-5
    assert np.abs(np.diff(found["action"][7:], axis=0)).max() > 1e-4, "the windows differ"


@pytest.mark.parametrize(
    ("told", "fps", "count", "stride"),
    [
        ({"stride": "3"}, 30, None, 3), ({"stride": "3"}, 60, 900, 6), ({"stride": "3"}, 24, None, 2),
        ({"stride": "3"}, 5, None, 1), ({"stride": "3"}, 0, None, 1), ({}, 30, None, 1),
        ({"stride": "x"}, 30, None, 1), ({"stride": "2", "fps": "60"}, 60, None, 2),
        ({"stride": "2", "fps": "60"}, 30, None, 1), ({"stride": "3", "fps": "0"}, 30, None, 3),
        ({"stride": "3"}, 30, 48, 3), ({"stride": "3"}, 30, 45, 2), ({"stride": "3"}, 30, 9, 1),
    ],
)  # fmt: skip
def test_clips_last_as_long_as_those_that_weights_were_trained_with(told, fps, count, stride):
    network = SimpleNamespace(metadata=told, frames=16)
    assert trained_stride(network, fps, count) == stride


def test_a_stride_leaves_frames_out_of_the_window():
    model, images = network(), noise(24)
    found = rows(answered(Stream(model, people.source(images), Options(3, precision="fp32"), constant)))
    assert found["action_known"].tolist() == [False] * 21 + [True] * 3
    for end in (21, 23):
        whole = clip_answer(model, [images[end - 3 * i] for i in range(7, -1, -1)])
        assert np.abs(found["action"][end] - whole.action[0].numpy()).max() < 1e-5


def test_windows_of_a_camera_last_as_long_when_frames_are_lost():
    """Every other frame is lost: a stride of two frames is one of those that are looked at."""
    model, images = network(), noise(20)
    camera = people.source(images, live=True, lost=1)
    found = rows(answered(Stream(model, camera, Options(2, precision="fp32"), constant)))
    assert found["action_known"].tolist() == [False] * 7 + [True] * 13
    for end in (7, 19):
        whole = clip_answer(model, images[end - 7 : end + 1])
        assert np.abs(found["action"][end] - whole.action[0].numpy()).max() < 1e-5
    stream = Stream(model, camera, Options(2, precision="fp32"), constant)
    assert (stream.window, stream.window_at(5.0)) == (15, 8)


@pytest.mark.parametrize("pause, known", [(0.05, [*range(7, 20)]), (3.0, [7, *range(14, 20)])])
def test_a_window_of_a_camera_that_stalls_is_not_known(pause, known):
    """Frames a tenth of a second apart, T 8: after a stall, not until it is out of the window."""
    model, images = network(), noise(20)
    camera = people.source(images, live=True)
    frames = [replace(f, time_s=f.time_s + pause * (f.number >= 8)) for f in camera.frames(0)]
    found = rows(Stream(model, camera, EXACT, constant).add(frames))
    assert found["frame"][found["action_known"]].tolist() == known


def test_a_camera_that_is_looked_at_seldom_but_steadily_has_windows():
    """One frame in six."""
    camera = people.source(noise(20), live=True, fps=30.0, lost=5)
    found = rows(answered(Stream(network(), camera, Options(1, precision="fp32"), constant)))
    assert found["action_known"][2:].all()


@pytest.mark.parametrize("fps", [10.0, 25.0, 30.0])
def test_a_frame_of_a_camera_that_cannot_be_read_is_one_that_was_lost(fps):
    images = noise(20)
    images[12] = None
    found = rows(answered(Stream(network(), people.source(images, live=True, fps=fps), EXACT, constant)))
    assert found["frame"][found["action_known"]].tolist() == [i for i in range(7, 20) if i != 12]


def test_a_frame_costs_one_crop(monkeypatch):
    model, crops = network(), []
    estimate = model.estimate
    monkeypatch.setattr(model, "estimate", lambda frames: crops.append(len(frames)) or estimate(frames))
    found = rows(answered(Stream(model, people.source(noise(20)), EXACT, constant)))
    assert sum(crops) == len(found) == 20 and found["action_known"].sum() == 13


def test_clips_of_a_video_share_their_frames():
    model, images = network(), noise(16)
    crops = cut(images, [BOX] * 16, model.size)
    clips = np.array([range(8), range(4, 12), range(8, 16)])
    found = recognise_clips(model, crops, clips, flip=True)
    for indices, (plain, mirrored) in zip(clips, found, strict=True):
        whole = clip_answer(model, [images[i] for i in indices])
        assert np.abs(plain - whole.action[0].numpy()).max() < 1e-5
        flipped = torch.from_numpy(crops[indices][:, :, ::-1].copy())
        with torch.inference_mode():
            other = model(to_input(flipped)[None])
        assert np.abs(mirrored - other.action[0].numpy()).max() < 1e-5
    assert np.array_equal(recognise_clips(model, crops, clips), found[:, 0])


def test_a_frame_that_cannot_be_read_is_a_gap_and_no_part_of_a_window():
    images = noise(26)
    images[10] = None
    for given in (constant, lambda number, image: {1: BOX, 7: BOX}):
        answers = answered(Stream(network(), people.source(images), EXACT, given))
        assert [a.gap for a in answers] == [""] * 10 + ["unreadable"] + [""] * 15
        found = rows(answers)
        own = found[found["person"] == 1]
        assert own["frame"].tolist() == [i for i in range(26) if i != 10]
        known = own["frame"][own["action_known"]].tolist()
        assert known == [7, 8, 9, *range(18, 26)] and not own["restarted"].any()


@pytest.mark.parametrize("at", [pytest.param(8, marks=pytest.mark.slow), 13])
def test_state_goes_on_with_the_same_bits(at):
    model = network(depth_maps=4, pose_stream="v2")
    options = Options(2, precision="fp32", smooth=True, camera=CameraAssumption(400.0))
    given = {1: BOX, 3: Box((30.0, 30.0), 44.0)}
    images = noise(26)
    images[5] = None

    def boxes(number, image):
        return {track: box for track, box in given.items() if track == 1 or number > 2}

    whole = Stream(model, people.source(images), options, boxes)
    frames = list(whole.source.frames(0))
    cuts = [0, at, at + 8, 26]
    expected = [whole.add(frames[a:b]) for a, b in pairwise(cuts)]
    stopped = Stream(model, people.source(images), options, boxes)
    stopped.add(frames[:at])
    file = io.BytesIO()
    np.savez(file, **stopped.state())
    file.seek(0)
    resumed = Stream(model, people.source(images), options, boxes)
    resumed.restore(np.load(file, allow_pickle=False))
    for part, (a, b) in zip(expected[1:], [(at, at + 8), (at + 8, 26)], strict=True):
        assert rows(part).tobytes() == rows(resumed.add(frames[a:b])).tobytes()


def test_state_of_a_search():
    """What is kept without anybody: the frames until the next look, and that somebody was there before."""
    images = [picture(160, 120)] * 3 + [picture(None, None)] * 9 + [picture(160, 120)] * 8
    for at in (2, 4, 7, 12, 13):
        streams = [Stream(Bright(), people.source(images, live=True), EXACT) for _ in range(2)]
        frames = list(streams[0].source.frames(0))
        expected = [streams[0].add(frames[:at]), streams[0].add(frames[at:])][1]
        before = Stream(Bright(), people.source(images, live=True), EXACT)
        before.add(frames[:at])
        streams[1].restore(before.state())
        after = streams[1].add(frames[at:])
        assert [a.gap for a in after] == [a.gap for a in expected]
        assert rows(after).tobytes() == rows(expected).tobytes()


def test_the_box_is_around_the_person_enlarged():
    image = picture(200, 100, 40, 100)
    (box,) = find_boxes(Bright(), [image])
    assert box is not None and np.allclose(box.centre, (199.5, 99.5), atol=2)
    assert box.side == pytest.approx(150, abs=6), "1.5 times the larger extent"
    assert find_boxes(Bright(), [picture(None, None), image])[0] is None


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (2000, 20)])
def test_pictures_of_odd_sizes_hold_nobody_or_somebody(size):
    black = np.zeros((size[1], size[0], 3), np.uint8)
    assert find_boxes(Bright(), [black]) == [None]
    answers = answered(Stream(Bright(), people.source([black + 255, black]), EXACT))
    assert len(answers) == 2 and all(len(a.rows) == (a.gap == "") for a in answers)


def test_somebody_who_stays_keeps_the_box():
    images = [picture(160 + 2 * np.sin(i), 120 + i % 3) for i in range(40)]
    found = rows(answered(Stream(Bright(), people.source(images), EXACT)))
    assert len(found) == 40 and not found["restarted"].any() and len(np.unique(found["box"], axis=0)) == 1
    assert np.abs(found["joints"][:, 0] - found["joints"][:, 15] + [40, 100]).max() < 6


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("jump", [19, 21, 24])
def test_somebody_who_leaves_the_box_is_found_again(live, jump):
    images = [picture(90 if i < jump else 250, 120) for i in range(40)]
    answers = answered(Stream(Bright(), people.source(images, live), EXACT))
    found = rows(answers)
    assert np.flatnonzero([bool(a.gap) for a in answers]).tolist() == list(range(jump, jump + PATIENCE - 1))
    assert found["frame"][found["restarted"]].tolist() == [jump + PATIENCE - 1]
    after = found[found["frame"] >= jump + PATIENCE - 1]
    assert np.abs(after["box"][:, 0] - 250).max() < 3 and len(np.unique(after["box"], axis=0)) == 1


def test_frames_together_answer_as_frames_alone():
    images = [picture(60 + 6 * i, 120) for i in range(40)]
    together = rows(answered(Stream(Bright(), people.source(images), EXACT)))
    alone = rows(answered(Stream(Bright(), people.source(images), EXACT), 1))
    assert together["restarted"].sum() > 1 and (together["restarted"] == alone["restarted"]).all()
    for name in ("box", "joints", "visibility", "covariance"):
        assert np.allclose(together[name], alone[name], atol=1e-3), name


def test_somebody_who_goes_away_is_found_smaller():
    images = [picture(160, 120, 70 * s, 190 * s) for s in (0.2 ** (i / 30) for i in range(30))]
    found = rows(answered(Stream(Bright(), people.source(images), EXACT)))
    assert found["restarted"].sum() == 1 and found["box"][-1, 2] < 0.5 * found["box"][0, 2]


def test_nobody_is_a_gap_and_somebody_new_a_restart():
    black = picture(None, None)
    images = [black] * 7 + [picture(100, 120)] * 20 + [black] * 18 + [picture(200, 120)] * 10
    answers = answered(Stream(Bright(), people.source(images), EXACT))
    gaps = [a.frame.number for a in answers if a.gap == module.NOBODY]
    assert gaps == [*range(10), *range(27, 45), *gaps[28:]] and len(gaps) <= 28 + LOOK_EVERY
    found = rows(answers)
    assert found["restarted"].sum() == 1 and found["frame"][found["restarted"]][0] == gaps[-1] + 1


def test_somebody_half_seen_is_looked_for_seldom_and_never_restarted(monkeypatch):
    looks = []
    look = Stream._look
    monkeypatch.setattr(Stream, "_look", lambda self, frame: looks.append(frame.number) or look(self, frame))
    images = [picture(160, 120)] * 80
    found = rows(answered(Stream(Bright(unseen=8), people.source(images), EXACT)))
    assert len(found) == 80 and not found["restarted"].any()
    assert 2 <= len(looks) <= 2 + 80 // module.SHORTEST_WAIT and looks[0] == 0


def test_the_box_of_a_window_is_that_of_its_first_middle_and_last_frame():
    class WithActions(Bright):
        actions, frames = 4, 8

    images = [picture(60 + 10 * i, 120) for i in range(12)]
    stream = Stream(WithActions(), people.source(images), Options(1, precision="fp32"))
    box = stream._look(next(stream.source.frames(2)))
    assert box.centre[0] == pytest.approx(60 + 10 * 5.5, abs=3)
    assert box.side == pytest.approx(70 + 150, abs=8), "from frame 2 to frame 9"
    live = Stream(WithActions(), people.source(images, live=True), Options(1, precision="fp32"))
    assert live._look(next(live.source.frames(2))).side == pytest.approx(150, abs=6)


def answer(points, visibility, spread=0.03):
    """What is answered for one crop."""
    covariance = torch.eye(2).expand(1, len(points), 2, 2) * spread**2
    pose = torch.as_tensor(points, dtype=torch.float32)[None]
    return CropAnswers(pose, torch.as_tensor(visibility, dtype=torch.float32)[None], covariance, None)


def test_leaving_is_decided_by_joints_at_the_rim_or_outside_or_by_size():
    grid = np.stack(np.meshgrid(np.linspace(0.2, 0.8, 4), np.linspace(0.2, 0.8, 4)), -1).reshape(-1, 2)
    seen = np.ones(16)
    assert not leaving(answer(grid, seen), 0.6)[0]
    assert leaving(answer(grid, seen, spread=0.28), 0.6)[0], "an even map has a deviation of .289"
    for outside in (4, 5):
        hidden = np.where(np.arange(16) < outside, 0.1, 0.9)
        assert leaving(answer(grid, hidden), 0.6)[0] == (outside == 5)
        moved = np.where((np.arange(16) < outside)[:, None], 0.01, grid)
        assert leaving(answer(moved, seen), 0.6)[0] == (outside == 5)
    assert leaving(answer(0.5 + 0.4 * (grid - 0.5), seen), 0.6)[0]
    assert not leaving(answer(0.5 + 0.6 * (grid - 0.5), seen), 0.6)[0]
    assert leaving(answer(grid * np.nan, seen * np.nan), 0.6)[0]


def test_given_boxes_of_many_people():
    boxes = {
        0: {5: BOX},
        1: {5: BOX, 2: Box((30.0, 30.0), 40.0)},
        2: {5: Box((41.0, 30.0), 61.0), 2: Box((50.0, 30.0), 40.0)},
        3: {},
        4: {5: BOX},
    }
    answers = answered(Stream(network(), people.source(noise(5)), EXACT, lambda n, image: boxes[n]))
    assert [a.rows["person"].tolist() for a in answers] == [[5], [2, 5], [2, 5], [], [5]]
    assert [a.gap for a in answers] == ["", "", "", module.NO_BOX, ""]
    restarted = [a.rows["restarted"].tolist() for a in answers]
    assert restarted == [[False], [False] * 2, [True, False], [], [True]]
    assert answers[2].rows["box"].tolist() == [[50, 30, 40], [40, 30, 60]], "nearly the same box is kept"


def test_a_walker_whose_boxes_are_in_a_file_is_recognised(tmp_path):
    """One crop holds what comes: a crop that followed each box would never show a whole window."""
    path = tmp_path / "boxes.csv"
    lines = [f"{i},1,{i},10,24,40" for i in range(50)]
    path.write_text("\n".join(["frame,person,x,y,width,height", *lines]))
    found = rows(answered(Stream(network(), people.source(noise(50)), EXACT, GivenBoxes(path))))
    assert found["action_known"].mean() > 0.4
    for i, (x, y, side) in enumerate(found["box"].tolist()):
        assert holds(Box((x, y), side), Box((i + 11.5, 29.5), 40.0))


def test_pictures_that_share_a_number_keep_their_own_boxes(tmp_path):
    """They have nothing to do with each other: no crop holds the boxes of those that come."""
    path = tmp_path / "boxes.csv"
    lines = [f"{i},1,{12 * i},10,24,40" for i in range(4)]
    path.write_text("\n".join(["frame,person,x,y,width,height", *lines]))
    stills = replace(people.source(noise(4)), stills=("a", "b", "c", "d"), fps=0.0)
    found = rows(answered(Stream(network(), stills, EXACT, GivenBoxes(path))))
    assert found["box"].tolist() == [[12 * i + 11.5, 29.5, 40] for i in range(4)]


def test_a_person_who_comes_back_elsewhere_was_not_there_before(tmp_path):
    path = tmp_path / "boxes.csv"
    lines = [f"{i},1,{0 if i < 8 else 60},10,20,20" for i in range(30) if not 8 <= i < 12]
    path.write_text("\n".join(["frame,person,x,y,width,height", *lines]))
    found = rows(answered(Stream(network(), people.source(noise(30)), EXACT, GivenBoxes(path))))
    assert np.unique(found["box"], axis=0).tolist() == [[9.5, 19.5, 20], [69.5, 19.5, 20]]


def test_a_person_who_becomes_small_gets_a_smaller_crop(tmp_path):
    path = tmp_path / "boxes.csv"
    sides = [50] * 20 + [10] * 40
    lines = [f"{i},1,{40 - s / 2},{30 - s / 2},{s},{s}" for i, s in enumerate(sides)]
    path.write_text("\n".join(["frame,person,x,y,width,height", *lines]))
    found = rows(answered(Stream(network(), people.source(noise(60)), EXACT, GivenBoxes(path))))
    given = np.array(sides)[found["frame"]]
    assert (found["box"][:, 2] < 2.1 * given).all() and found["box"][0, 2] == 50
    assert found["restarted"].sum() == 1


def test_a_box_for_all_frames_is_joined_with_those_of_single_ones(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("frame,person,x,y,width,height\n,1,0,0,10,10\n3,1,20,0,10,10\n")
    boxes = GivenBoxes(path)
    assert boxes.around(1, 0, 3) == boxes.around(1, 4, 9) == Box((4.5, 4.5), 10.0)
    assert boxes.around(1, 3, 1) == Box((24.5, 4.5), 10.0)
    assert boxes.around(1, 0, 4) == boxes.around(1, 3, 2) == Box((14.5, 4.5), 30.0)


@pytest.mark.parametrize(
    ("inner", "held"),
    [
        (Box((5, 5), 10), True),
        (Box((6, 5), 10), True),
        (Box((6.1, 5), 10), False),
        (Box((5, 5), 12.1), False),
    ],
)
def test_a_box_holds_another(inner, held):
    assert holds(Box((5, 5), 10), inner) == held


def test_each_person_has_a_window_of_its_own():
    model, images = network(), noise(20)
    other = Box((20.0, 20.0), 30.0)

    def boxes(number, image):
        return {1: BOX} if number < 4 else {1: BOX, 2: other}

    found = rows(answered(Stream(model, people.source(images), EXACT, boxes)))
    for track, box, first in ((1, BOX, 7), (2, other, 11)):
        own = found[found["person"] == track]
        assert own["frame"][own["action_known"]].tolist() == list(range(first, 20))
        whole = clip_answer(model, images[first - 7 : first + 1], box)
        at = own["frame"].tolist().index(first)
        assert np.abs(own["action"][at] - whole.action[0].numpy()).max() < 1e-5


@pytest.mark.parametrize("wrong", [{1: (0, 0, 5)}, {0: BOX}, {-1: BOX}])
def test_what_is_no_box_is_told(wrong):
    stream = Stream(network(), people.source(noise(1)), EXACT, lambda number, image: wrong)
    with pytest.raises(UserError, match="boxes: expected a Box"):
        answered(stream)


def test_nearly_the_same_box():
    assert nearly_same(BOX, BOX) and nearly_same(BOX, Box((45.0, 30.0), 62.0))
    assert not nearly_same(BOX, Box((48.0, 30.0), 60.0)) and not nearly_same(BOX, Box(BOX.centre, 68.0))


@pytest.mark.parametrize(
    ("now", "same"),
    [((5, 0, 10), True), ((5.1, 0, 10), False), ((0, 0, 7), True), ((0, 0, 6.9), False), ((0, 7, 14), True),
     ((0, 0, 14.5), False), ((np.nan, 0, 10), False)],
)  # fmt: skip
def test_who_may_be_the_one_from_before(now, same):
    assert goes_on(np.array([0.0, 0, 10]), np.array(now)) == same


def test_the_place_of_a_person():
    found = answer([[0.2, 0.1], [0.6, 0.5], [0.9, 0.9]], [1, 1, 0])
    assert place_of(found, Box((49.5, 49.5), 100)) == pytest.approx([39.5, 29.5, 40])
    assert np.isnan(place_of(answer([[0.2, 0.1], [0.6, 0.5]], [1, 0]), BOX)).all()


@pytest.mark.parametrize("walks", [True, False])
def test_who_walks_on_is_smoothed_on_and_somebody_else_anew(walks):
    """The box is found anew for both: of the one the filter lags behind, to the other it owes nothing."""
    images = [picture(60 + 7 * i if walks else 60 if i < 25 else 260, 120) for i in range(50)]
    steady, plain = (
        rows(answered(Stream(Bright(), people.source(images), Options(precision="fp32", smooth=smooth))))
        for smooth in (True, False)
    )
    first = np.flatnonzero(plain["restarted"])
    assert len(first) and np.array_equal(steady["restarted"], plain["restarted"])
    lag = np.abs(steady["joints"][first[0]] - plain["joints"][first[0]]).max()
    assert lag > 1 if walks else lag < 1e-6


def test_boxes_from_files(tmp_path):
    table = tmp_path / "boxes.csv"
    table.write_text("frame,person,x,y,width,height\n0,1,0,0,80,60\n0,2,10,20,4,6\n,3,1,1,2,2\n")
    entries = tmp_path / "boxes.json"
    entries.write_text(
        '[{"frame": 0, "person": 1, "x": 0, "y": 0, "width": 80, "height": 60},'
        ' {"frame": 0, "person": 2, "x": 10, "y": 20, "width": 4, "height": 6},'
        ' {"person": 3, "x": 1, "y": 1, "width": 2, "height": 2}]'
    )
    for path in (table, entries):
        boxes = GivenBoxes(path)
        everyone = boxes(0, None)
        assert everyone == {1: whole_image_box(80, 60), 2: Box((11.5, 22.5), 6.0), 3: Box((1.5, 1.5), 2.0)}
        assert boxes(1, None) == {3: everyone[3]}
    assert rectangle_box(0, 0, 80, 60) == whole_image_box(80, 60)


@pytest.mark.parametrize("name, text, told", [
    ("a.csv", "", "header"),
    ("a.csv", "frame,person,x,y\n", "no width, height"),
    ("a.csv", "frame,person,x,y,width,height\n", "found none"),
    ("a.csv", "frame,person,x,y,width,height\n0,1,0,0,5\n", "line 2"),
    ("a.csv", "frame,person,x,y,width,height\n0,1,0,0,-5,5\n", "width and height > 0"),
    ("a.csv", "frame,person,x,y,width,height\n0,1,nan,0,5,5\n", "line 2"),
    ("a.csv", "frame,person,x,y,width,height\n0.5,1,0,0,5,5\n", "frame 0.5"),
    ("a.csv", "frame,person,x,y,width,height\n0,0,0,0,5,5\n", "person 0"),
    ("a.csv", "frame,person,x,y,width,height\n0,1,0,0,5,5\n0,1,0,0,5,6\n", "two boxes"),
    ("a.csv", "frame,person,x,y,width,height\n0,1,0,0,5,5\n0,1,0,\0,5,6\n", "line"),
    ("a.csv", "x" * 200_000, "field larger than"),
    ("a.json", "{}", "list of objects"),
    ("a.json", "[", "expected JSON"),
    ("a.json", "[" * 100000, "expected JSON"),
    ("a.json", '[{"person": 1}]', "key 'x'"),
])  # fmt: skip
def test_wrong_box_files_are_told_in_one_line(tmp_path, name, text, told):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UserError, match=told) as error:
        GivenBoxes(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_missing_and_binary_box_files(tmp_path):
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "a.csv", tmp_path / "b.csv", tmp_path):
        with pytest.raises(UserError, match="check the path"):
            GivenBoxes(path)


def test_options_that_cannot_be(tmp_path):
    with pytest.raises(UserError, match="stride"):
        Options(0)
