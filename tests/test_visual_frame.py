"""The frame of the overlay video: what is drawn is where the rows say, whatever the size."""

import numpy as np
import pytest
from fakes.results import made_up

from poseact.skeleton import LSP14, PA17
from poseact.structures import Image
from poseact.visual.frame import LARGEST, SMALLEST, draw_frame
from poseact.visual.overlay import LEFT, RIGHT
from poseact.visual.space import BACKGROUND, draw_space

ACTIONS = ("walk", "run", "stand still", "wave")
GREY = 90


def picture(height: int = 480, width: int = 640) -> Image:
    return np.full((height, width, 3), GREY, np.uint8)


def rows_of(people=(1,), *, layout=PA17, dim=3, actions=ACTIONS, frame=9):
    """The rows of one frame, all joints in view and certain."""
    results = made_up(layout, frame + 1, people=people, dim=dim, actions=actions)
    rows = results.rows[results.rows["frame"] == frame].copy()
    rows["visibility"], rows["covariance"] = 1, np.eye(2)
    return rows


def close(image, colour) -> np.ndarray:
    return (np.abs(image.astype(int) - colour) <= 12).all(-1)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (2, 3), (37, 53), (479, 641), (480, 640)])
@pytest.mark.parametrize(("dim", "actions"), [(3, ACTIONS), (2, ACTIONS), (3, ()), (2, ())])
def test_any_picture_gives_an_even_size_that_does_not_change(size, dim, actions):
    rows = rows_of(dim=dim, actions=actions)
    rows["joints"] *= np.array(size[::-1]) / (640, 480)
    rows["box"][:, 2] = max(size)
    drawn = draw_frame(picture(*size), rows, PA17, actions, time_s=0.4)
    nobody = draw_frame(picture(*size), rows[:0], PA17, actions, time_s=9, gap="no person")
    assert drawn.shape == nobody.shape and drawn.dtype == nobody.dtype == np.uint8
    assert drawn.flags.c_contiguous
    height, width = drawn.shape[:2]
    assert height % 2 == width % 2 == 0 and 0 < height <= LARGEST and not np.array_equal(drawn, nobody)
    if dim == 2 and not actions:
        assert SMALLEST <= max(height, width) <= LARGEST
        if size == (480, 640):
            assert (height, width) == size


def test_an_8k_picture_is_reduced():
    drawn = draw_frame(picture(4320, 7680), rows_of(), PA17, ACTIONS, time_s=0)
    assert drawn.shape == (1080, LARGEST + 540, 3)


def test_the_picture_is_not_changed_where_it_came_from():
    image = picture()
    draw_frame(image, rows_of(), PA17, ACTIONS, time_s=0)
    assert (image == GREY).all()


@pytest.mark.parametrize(("height", "width"), [(96, 128), (480, 640), (2160, 3840)])
def test_joints_are_drawn_where_they_are(height, width):
    """The disc's middle in the drawn picture is the joint, of pictures enlarged and reduced too."""
    rows = rows_of(dim=2, actions=())
    rows["visibility"] = 0
    wrist = PA17.index("right_wrist")
    rows["visibility"][0, wrist] = 1
    rows["joints"][0, wrist] = (0.3 * width, 0.6 * height)
    rows["box"][:, 2] = height
    drawn = draw_frame(picture(height, width), rows, PA17, time_s=0)
    y, x = np.nonzero((drawn != GREY).any(-1))
    zoom = drawn.shape[1] / width
    assert abs(x.mean() - ((0.3 * width + 0.5) * zoom - 0.5)) < 0.5
    assert abs(y.mean() - ((0.6 * height + 0.5) * zoom - 0.5)) < 0.5
    orange = drawn[..., 0].astype(int) - drawn[..., 2]
    assert orange.max() > 100 and orange.min() >= 0


def test_uncertain_joints_let_the_picture_through():
    rows = rows_of(dim=2, actions=())
    contrast = []
    for sd in (1, 24, 60, np.nan):
        rows["covariance"] = sd**2 * np.eye(2)
        drawn = draw_frame(picture(), rows, PA17, time_s=0)
        contrast.append(np.abs(drawn.astype(int) - GREY).sum())
    assert contrast[0] > 1.1 * contrast[1] > 1.1**2 * contrast[2] and contrast[2] == contrast[3] > 0


def test_joints_that_are_not_visible_are_left_out():
    rows = rows_of(dim=2, actions=())
    rows["visibility"] = 0.49
    assert (draw_frame(picture(), rows, PA17, time_s=0) == GREY).all()


def test_a_gap_is_written_in_the_panel_and_without_one_on_the_picture():
    rows = rows_of()[:0]
    plain, told = (draw_frame(picture(), rows, PA17, ACTIONS, time_s=0, gap=gap) for gap in ("", "no person"))
    assert (plain[:, :640] == told[:, :640]).all() and (plain[:, 640:] != told[:, 640:]).any()
    rows = rows_of(dim=2, actions=())[:0]
    assert (draw_frame(picture(), rows, PA17, time_s=0, gap="no person") != GREY).any()


def test_a_picture_that_is_no_frame_shows_the_person_from_two_sides_and_no_clock():
    rows = rows_of()
    still, first = (draw_frame(picture(), rows, PA17, (), time_s=at)[:, 640:] for at in (None, 0.0))
    seen = rows["visibility"] >= 0.5
    for half, turn in ((still[:240], 0.0), (still[240:], np.pi / 2)):
        view = np.empty_like(half)
        view[:] = BACKGROUND
        draw_space(view, rows["metres"], seen, PA17, turn)
        assert np.array_equal(half, view)
    assert still.shape == first.shape and not np.array_equal(still, first)


@pytest.mark.parametrize("text", ["ü" * 300, "走る\nwalk\ta\x00b", "", " ", "a" * 5, "\u202e"])
def test_any_text_can_be_written(text):
    actions = (text, *ACTIONS[1:])
    drawn = draw_frame(picture(), rows_of(), PA17, actions, time_s=1e7, gap=text)
    draw_frame(picture(60, 80), rows_of(dim=2, actions=()), PA17, time_s=-1, gap=text)
    assert drawn.shape == (480, 880, 3)


def test_bars_are_as_long_as_the_probabilities():
    rows = rows_of(dim=2)
    rows["action"] = (0.1, 0.6, 0.3, 0.0)
    panel = draw_frame(picture(), rows, PA17, ACTIONS, time_s=0)[:, 640:]
    lengths = close(panel, (0, 158, 115)).sum(1)
    runs = [int(n) for n in dict.fromkeys(lengths.tolist()) if n > 10]
    full = (close(panel, (48, 52, 60)) | close(panel, (0, 158, 115))).sum(1).max()
    assert np.allclose(np.array(runs) / full, (0.6, 0.3, 0.1), atol=0.01)


def test_bars_are_empty_before_the_first_answer_and_numbers_that_are_none_are_no_length():
    rows = rows_of(dim=2)
    rows["action_known"] = False
    assert not close(draw_frame(picture(), rows, PA17, ACTIONS, time_s=0), (0, 158, 115)).any()
    rows["action_known"], rows["action"] = True, np.nan
    assert not close(draw_frame(picture(), rows, PA17, ACTIONS, time_s=0), (0, 158, 115)).any()


def test_several_people_have_an_action_each_and_more_than_three_fit():
    rows = rows_of((2, 5, 7, 8, 9))
    one, five = (draw_frame(picture(), some, PA17, ACTIONS, time_s=0) for some in (rows[:1], rows))
    assert one.shape == five.shape and (one != five).any()
    assert close(five[:, 640:], (0, 158, 115)).any()


# --- the 3D view ------------------------------------------------------------------------------------


def person(**moved) -> np.ndarray:
    """A figure that stands, (1, 17, 3) metres, y down."""
    at = np.zeros((1, 17, 3))
    heights = {"thorax": -0.5, "neck": -0.6, "head": -0.8, "spine": -0.25, "shoulder": -0.5, "elbow": -0.25,
               "wrist": 0.0, "hip": 0.0, "knee": 0.45, "ankle": 0.9, "pelvis": 0.0}  # fmt: skip
    for i, name in enumerate(PA17.joints):
        side, _, part = name.rpartition("_")
        sign = {"right": -1, "left": 1}.get(side, 0)  # facing the camera, the right is on its left
        at[0, i] = (0.2 * sign, heights[part], 0)
        at[0, i] += moved.get(name, 0)
    return at


def view(metres, turn=0.0, shown=None) -> Image:
    canvas = np.zeros((300, 240, 3), np.uint8)
    shown = np.ones(metres.shape[:2], np.bool_) if shown is None else shown
    draw_space(canvas, metres, shown, PA17, turn)
    return canvas


def middle(image, colour) -> np.ndarray:
    return np.array(np.nonzero(close(image, colour))[::-1]).mean(1)


def test_the_view_begins_at_the_camera_and_turns():
    metres = person()
    front, back = view(metres), view(metres, np.pi)
    assert middle(front, LEFT)[0] - middle(front, RIGHT)[0] > 40
    assert middle(back, RIGHT)[0] - middle(back, LEFT)[0] > 40
    assert np.array_equal(front, view(metres, 2 * np.pi)) and not np.array_equal(front, view(metres, 0.1))


def test_who_points_at_the_camera_points_at_the_viewer():
    """From above, what is nearer is lower: a wrist towards the camera against one away from it."""
    arm = np.array(
        [[name in ("pelvis", "right_shoulder", "right_elbow", "right_wrist") for name in PA17.joints]]
    )
    near = view(person(right_wrist=(0, -0.5, -0.5), right_elbow=(0, -0.25, -0.25)), shown=arm)
    far = view(person(right_wrist=(0, -0.5, 0.5), right_elbow=(0, -0.25, 0.25)), shown=arm)
    assert middle(near, RIGHT)[1] > middle(far, RIGHT)[1] + 5


def test_the_nearer_limb_covers_the_farther_one():
    """Both wrists cross in front of the chest, once the right one nearer and once the left one."""
    crossed = {"right_wrist": 0.4, "left_wrist": -0.4}
    for nearer, colour in (("right_wrist", RIGHT), ("left_wrist", LEFT)):
        moved = {name: (x, -0.25, -0.6 if name == nearer else -0.1) for name, x in crossed.items()}
        drawn = view(person(**moved))
        whole = close(drawn, colour).sum()
        alone = [name not in moved or name == nearer for name in PA17.joints]
        assert whole > 0.9 * close(view(person(**moved), shown=np.array([alone])), colour).sum()


def test_people_stand_on_the_floor_side_by_side():
    high = person() + np.array([0, -3, 0])
    assert np.array_equal(view(high), view(person()))
    two = view(np.concatenate([person(), person()]))
    columns = np.nonzero(close(two, RIGHT).any(0))[0]
    assert np.diff(columns).max() > 20


def test_joints_that_are_not_known_are_left_out():
    metres, shown = person(), np.ones((1, 17), np.bool_)
    floor = view(metres, shown=~shown)
    metres[0, 3] = np.nan
    drawn = view(metres)
    assert (drawn != floor).any() and np.array_equal(drawn, view(metres, shown=np.isfinite(metres).all(-1)))
    assert np.array_equal(view(metres[:0], shown=shown[:0]), floor)


def test_a_layout_without_a_pelvis_stands_too():
    canvas = np.zeros((200, 200, 3), np.uint8)
    at = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 14, 3))
    draw_space(canvas, at, np.ones((1, 14), np.bool_), LSP14, 0.3)
    assert close(canvas, RIGHT).any() and close(canvas, LEFT).any()
