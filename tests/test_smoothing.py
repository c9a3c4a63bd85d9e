"""The One Euro filter: what it takes away, and that it lags by what it states."""

import numpy as np
import pytest

from poseact.errors import UserError
from poseact.inference.smoothing import OneEuro, Smoothing

DEFAULT = Smoothing()
EVEN = np.arange(240) / 30
UNEVEN = np.cumsum(np.random.default_rng(0).choice([1 / 60, 1 / 30, 1 / 15, 1 / 7], 240))


def run(values, times, smoothing=DEFAULT, **options):
    """Values (T, J, D) through one filter."""
    smooth = OneEuro(smoothing)
    return np.stack([smooth(v, float(t), **options) for v, t in zip(values, times, strict=True)])


@pytest.mark.parametrize("times", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_what_rests_stays_as_it_is(times):
    still = np.tile(np.random.default_rng(0).normal(0, 100, (16, 3)), (len(times), 1, 1))
    assert np.abs(run(still, times) - still).max() < 1e-9


@pytest.mark.parametrize("times", [EVEN, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("speed", [0.0, 0.05, 0.5, 3.0])
def test_lags_as_stated_at_a_constant_speed(times, speed):
    direction = np.array([[0.6, 0.8]])
    values = speed * times[:, None, None] * direction
    behind = np.linalg.norm(values - run(values, times), axis=-1)
    assert behind[-1, 0] == pytest.approx(speed * DEFAULT.lag_s(speed), rel=1e-3, abs=1e-9)


def test_no_joint_is_further_behind_than_its_fastest_movement_goes_in_the_lag_at_rest():
    rng = np.random.default_rng(1)
    steps = rng.normal(0, 1, (240, 5, 2)).cumsum(0)  # speeds that wander
    values = np.cumsum(steps * np.diff(UNEVEN, prepend=0)[:, None, None], 0)
    behind = np.linalg.norm(values - run(values, UNEVEN), axis=-1)
    fastest = np.linalg.norm(steps, axis=-1).max(0)
    assert (behind.max(0) <= DEFAULT.lag_s(0) * fastest).all()


def test_a_step_is_followed_within_the_lag_at_rest():
    """To 1 - 1/e of it, which is how the time constant of a first-order filter is read."""
    values = np.zeros((120, 1, 1))
    values[60:] = 1.0
    times = np.arange(120) / 200
    reached = times[60:][run(values, times)[60:, 0, 0] >= 1 - np.exp(-1)][0] - times[59]
    assert reached <= DEFAULT.lag_s(0) + 1 / 200
    slow = Smoothing(slope=0.0)  # without the slope it is that filter, and the time is exact
    reached = times[60:][run(values, times, slow)[60:, 0, 0] >= 1 - np.exp(-1)][0] - times[59]
    assert reached == pytest.approx(slow.lag_s(0), abs=2 / 200)


def test_noise_at_rest_shrinks():
    """With noise of half a percent of the crop, as networks tremble: to 36 % at 30 frames a second."""
    noise = np.random.default_rng(0).normal(0, 0.005, (600, 50, 2))
    left = run(noise, np.arange(600) / 30)[60:].std() / noise.std()
    assert left < 0.40
    assert left > 0.28  # a filter of 1 Hz without a slope would leave 31 %


def test_a_joint_is_not_drawn_off_its_way():
    """One speed a joint: what moves along a line is answered on that line, whatever its direction."""
    time = EVEN[:, None, None]
    values = (time + np.sin(3 * time)) * np.array([[0.1, 0.9]])
    found = run(values, EVEN)
    assert np.abs(found[..., 0] * 0.9 - found[..., 1] * 0.1).max() < 1e-9


def test_joints_do_not_touch_each_other():
    values = np.random.default_rng(0).normal(0, 1, (50, 4, 3)).cumsum(0)
    assert np.array_equal(run(values, EVEN[:50])[:, 2:3], run(values[:, 2:3], EVEN[:50]))


def test_units_do_not_matter():
    values = np.random.default_rng(0).normal(0, 0.01, (50, 4, 2)).cumsum(0)
    in_pixels = run(200 * values, EVEN[:50], unit=200.0)
    assert np.allclose(in_pixels, 200 * run(values, EVEN[:50]))


def test_an_unseen_joint_is_answered_as_it_comes_and_starts_anew():
    values = np.random.default_rng(0).normal(0, 1, (20, 3, 2))
    smooth = OneEuro()
    for i in range(20):
        seen = np.array([True, not 8 <= i < 12, True])
        found = smooth(values[i], i / 30, seen=seen)
        as_it_comes = np.array_equal(found[1], values[i, 1])
        assert as_it_comes == (i == 0 or 8 <= i <= 12), i
        assert i == 0 or not np.array_equal(found[0], values[i, 0])


def test_a_restart_forgets():
    values = np.random.default_rng(0).normal(0, 1, (20, 3, 2))
    smooth, fresh = OneEuro(), OneEuro()
    for i in range(10):
        smooth(values[i], i / 30)
    smooth.restart()
    for i in range(10, 20):
        assert np.array_equal(smooth(values[i], i / 30), fresh(values[i], i / 30))


@pytest.mark.parametrize("time", [1.0, 0.2, -3.0], ids=["repeats", "goes back", "negative"])
def test_a_time_that_does_not_come_after_the_last_starts_anew(time):
    smooth = OneEuro()
    smooth(np.zeros((2, 2)), 1.0)
    assert np.array_equal(smooth(np.ones((2, 2)), time), np.ones((2, 2)))


def test_what_was_given_and_answered_is_not_kept():
    smooth, other = OneEuro(), OneEuro()
    first, second = np.zeros((2, 2)), np.ones((2, 2))
    answer = smooth(first, 0.0)
    other(first.copy(), 0.0)
    first += 5
    answer += 7
    assert np.array_equal(smooth(second, 0.1), other(second, 0.1))


def test_goes_on_from_a_state_exactly(tmp_path):
    values = np.random.default_rng(0).normal(0, 1, (30, 4, 3)).cumsum(0)
    whole = run(values, UNEVEN[:30])
    first, second = OneEuro(), OneEuro()
    assert first.state() == {}
    second.restore(first.state())
    for i in range(17):
        first(values[i], float(UNEVEN[i]))
    np.savez(tmp_path / "state.npz", **first.state())
    second.restore(np.load(tmp_path / "state.npz"))
    for i in range(17, 30):
        assert np.array_equal(second(values[i], float(UNEVEN[i])), whole[i])


@pytest.mark.parametrize(
    "given",
    [{"cutoff_hz": 0}, {"cutoff_hz": -1}, {"slope": -1}, {"speed_cutoff_hz": 0}, {"cutoff_hz": float("nan")}],
)
def test_refused(given):
    with pytest.raises(UserError, match="smoothing: expected"):
        Smoothing(**given)


def test_says_what_it_adds():
    assert "0.16 s" in DEFAULT.describe() and "0.032 s" in DEFAULT.describe()
