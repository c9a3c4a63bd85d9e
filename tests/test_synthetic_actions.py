"""The movements are those of people: on the floor, within joint limits, telling by their course."""

from __future__ import annotations

import numpy as np
import pytest

from poseact.data.synthetic import actions
from poseact.data.synthetic.actions import (
    ACTIONS,
    MOVEMENTS,
    _gone_over,
    _hand_places,
    holding,
    random_motion,
)
from poseact.data.synthetic.curves import ROOT_HEIGHT
from poseact.data.synthetic.placing import (
    INDEX,
    SOLE,
    average_lengths,
    figure_joints,
    placed,
    sole_vectors,
    standing_height,
)
from poseact.data.synthetic.rig import SIDES, Lengths, Motion, joints, random_lengths, starts
from poseact.skeleton import FIGURE36

SEEDS = 2
FRAMES = 60
REFERENCE = average_lengths(ROOT_HEIGHT)


def motion(action: str, seed: int, frames: int = FRAMES) -> Motion:
    return random_motion(action, np.random.default_rng((11, MOVEMENTS.index(action), seed)), frames)


@pytest.fixture(scope="module")
def motions() -> dict[str, list[Motion]]:
    return {action: [motion(action, seed) for seed in range(SEEDS)] for action in MOVEMENTS}


def body(seed: int) -> Lengths:
    return random_lengths(np.random.default_rng((12, seed)))


def at(poses: np.ndarray, joint: str) -> np.ndarray:
    return poses[..., FIGURE36.index(joint), :]


def soles(moved: Motion, lengths: Lengths) -> np.ndarray:
    """Ball and heel of the left, then of the right foot: (F, 4, 3)."""
    rotations, root = placed(moved, lengths)
    begin = starts(rotations, root, lengths)
    feet = [INDEX[f"{side}_foot"] for side in SIDES]
    points = [
        begin[:, i, None] + np.einsum("fij,kj->fki", rotations[:, i], sole_vectors(lengths)) for i in feet
    ]
    return np.concatenate(points, axis=1)


def longest_slide(points: np.ndarray) -> float:
    """The furthest that any point (F, P, 3) creeps while it stays on the floor, metres."""
    worst = 0.0
    for k in range(points.shape[1]):
        down = points[:, k, 1] < SOLE + 0.004
        edges = np.flatnonzero(np.diff(np.concatenate([[False], down, [False]]).astype(int)))
        for first, last in edges.reshape(-1, 2):
            way = points[first:last, k][:, [0, 2]]
            worst = max(worst, float(np.linalg.norm(way - way[0], axis=1).max()))
    return worst


def bend(poses: np.ndarray, *chain: str) -> np.ndarray:
    """Degrees by which the middle joint of three is folded; 0 = straight."""
    a, b, c = (at(poses, joint) for joint in chain)
    upper, lower = b - a, c - b
    cosine = (upper * lower).sum(-1) / np.linalg.norm(upper, axis=-1) / np.linalg.norm(lower, axis=-1)
    return np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))


def test_a_motion_is_complete(motions: dict[str, list[Motion]]) -> None:
    for action, some in motions.items():
        for moved in some:
            assert moved.rotations.shape == (FRAMES, 19, 3, 3) and moved.root.shape == (FRAMES, 3)
            product = moved.rotations @ np.swapaxes(moved.rotations, -1, -2)
            np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-9)
            np.testing.assert_allclose(np.linalg.det(moved.rotations), 1)
            assert (moved.action, moved.fps, moved.root_height) == (action, 30, standing_height(REFERENCE))
            np.testing.assert_allclose(moved.root[0, [0, 2]], 0, atol=1e-12)


def test_the_same_generator_gives_the_same_bytes() -> None:
    for action in ("walk", "throw", "clap"):
        first, second, other = motion(action, 1), motion(action, 1), motion(action, 2)
        assert first.rotations.tobytes() == second.rotations.tobytes()
        assert first.root.tobytes() == second.root.tobytes() and first.held == second.held
        assert first.rotations.tobytes() != other.rotations.tobytes()


@pytest.mark.parametrize(("action", "frames", "fps"), [("fly", 8, 30.0), ("walk", 0, 30.0), ("walk", 8, 0.0)])
def test_impossible_wishes_are_told(action: str, frames: int, fps: float) -> None:
    with pytest.raises(ValueError, match="expected one of walk, turn_left"):
        random_motion(action, np.random.default_rng(0), frames, fps)


@pytest.mark.parametrize("action", MOVEMENTS)
def test_one_frame_and_another_rate_will_do(action: str) -> None:
    assert len(random_motion(action, np.random.default_rng(0), 1)) == 1
    assert random_motion(action, np.random.default_rng(0), 7, fps=60.0).fps == 60


@pytest.mark.parametrize("action", MOVEMENTS)
def test_feet_stay_on_the_floor_of_every_body(motions: dict[str, list[Motion]], action: str) -> None:
    for seed, moved in enumerate(motions[action]):
        for lengths in (REFERENCE, body(seed)):
            points = soles(moved, lengths)
            assert points[..., 1].min() > SOLE - 1e-3
            assert longest_slide(points) < 0.02
            assert figure_joints(moved, lengths)[..., 1].min() > 0


@pytest.mark.parametrize("action", sorted({*ACTIONS} - {"run", "jumping_jacks", "jump_rope", "sit_up"}))
def test_some_foot_always_stands(motions: dict[str, list[Motion]], action: str) -> None:
    for seed, moved in enumerate(motions[action]):
        assert soles(moved, body(seed))[..., 1].min(1).max() < SOLE + 0.01


@pytest.mark.parametrize("action", ["run", "jumping_jacks", "jump_rope"])
def test_both_feet_fly_at_times(motions: dict[str, list[Motion]], action: str) -> None:
    for seed, moved in enumerate(motions[action]):
        lowest = soles(moved, body(seed))[..., 1].min(1)
        assert lowest.max() > SOLE + 0.02 and lowest.min() < SOLE + 0.004


def test_the_reference_body_is_left_as_it_is(motions: dict[str, list[Motion]]) -> None:
    for action, some in motions.items():
        before = joints(some[0].rotations, some[0].root, REFERENCE)
        off = np.linalg.norm(figure_joints(some[0], REFERENCE) - before, axis=-1).max()
        assert off < 0.012, action


@pytest.mark.parametrize("action", MOVEMENTS)
def test_hinges_fold_as_they_should(motions: dict[str, list[Motion]], action: str) -> None:
    for seed, moved in enumerate(motions[action]):
        poses = figure_joints(moved, body(seed))
        for side in SIDES:
            assert bend(poses, *(f"{side}_{j}" for j in ("shoulder", "elbow", "wrist"))).max() < 148.5
            assert bend(poses, *(f"{side}_{j}" for j in ("hip", "knee", "ankle"))).max() < 148.5
            # The knee folds the shank to the back of the thigh, the elbow the forearm to its front.
            rotations, _ = placed(moved, body(seed))
            thigh, shank, arm, forearm = (
                rotations[:, INDEX[f"{side}_{b}"]] for b in ("thigh", "shank", "upper_arm", "forearm")
            )
            assert (thigh[..., 2] * shank[..., 1]).sum(1).min() > -1e-6
            assert (arm[..., 2] * forearm[..., 1]).sum(1).max() < 1e-6


@pytest.mark.parametrize("action", MOVEMENTS)
def test_movements_are_smooth(motions: dict[str, list[Motion]], action: str) -> None:
    for seed, moved in enumerate(motions[action]):
        poses = figure_joints(moved, body(seed))
        # Blows and throws reach 250 m/s^2 at the hand; a jump of 5 cm in one frame would be 45 alone.
        limit = 320 if action in ("punch", "throw", "kick", "run") else 130
        assert np.linalg.norm(np.diff(poses, 2, axis=0), axis=-1).max() * 30**2 < limit


def test_clips_begin_anywhere_and_no_two_are_alike() -> None:
    for action in MOVEMENTS:
        first = np.array([figure_joints(motion(action, s, 2), REFERENCE)[0, :, 1] for s in range(8)])
        apart = np.abs(first[:, None] - first).max(-1)[np.triu_indices(8, 1)]
        assert apart.min() > 0.005 and apart.max() > 0.05, action


def test_people_head_in_all_directions() -> None:
    facing = np.array([motion("idle", s, 2).rotations[0, 0, :, 2] for s in range(40)])
    assert {(x > 0, z > 0) for x, z in facing[:, [0, 2]]} == {
        (a, b) for a in (True, False) for b in (True, False)
    }


# --- what makes each action itself ----------------------------------------------------------------


def far(poses: np.ndarray, joint: str, axis: int | slice = slice(None)) -> float:
    """How far a joint travels against the pelvis, metres."""
    path = at(poses, joint) - at(poses, "pelvis")
    return float(np.ptp(path[:, axis], axis=0).max())


def clips(action: str) -> list[np.ndarray]:
    return [figure_joints(motion(action, s, 120), body(s)) for s in range(6)]


@pytest.mark.parametrize(("action", "speed"), [("walk", (0.4, 2.1)), ("run", (0.1, 4.6))])
def test_walkers_and_runners_get_on(action: str, speed: tuple[float, float]) -> None:
    for poses in clips(action):
        way = np.linalg.norm(np.diff(at(poses, "pelvis")[:, [0, 2]], axis=0), axis=1).sum() / (119 / 30)
        assert speed[0] < way < speed[1]
        ahead = at(poses, "left_foot") - at(poses, "left_ankle")
        step = np.diff(at(poses, "pelvis"), axis=0)
        assert (ahead[1:] * step)[:, [0, 2]].sum(1).mean() > 0  # nobody goes backwards
        # The arm swings against the leg of its side.
        forward = np.cross(at(poses, "left_hip") - at(poses, "right_hip"), [0, 1, 0])
        swing = [
            ((at(poses, f"left_{a}") - at(poses, f"right_{a}")) * forward).sum(1) for a in ("wrist", "knee")
        ]
        assert np.corrcoef(*swing)[0, 1] < -0.4


@pytest.mark.parametrize(
    ("action", "side", "still"), [("wave_left", "left", "right"), ("wave_right", "right", "left")]
)
def test_the_named_hand_waves(action: str, side: str, still: str) -> None:
    for poses in clips(action):
        assert far(poses, f"{side}_wrist") > 3 * far(poses, f"{still}_wrist")
        assert np.mean(at(poses, f"{side}_wrist")[:, 1] > at(poses, f"{side}_elbow")[:, 1]) > 0.3


@pytest.mark.parametrize(
    ("action", "expected"),
    [("raise_left", {(True, False)}), ("raise_right", {(False, True)}), ("raise_both", {(True, True)})],
)
def test_raised_hands_are_one_or_both(action: str, expected: set[tuple[bool, bool]]) -> None:
    raised = set()
    for s in range(16):
        poses = figure_joints(motion(action, s, 150), REFERENCE)
        neck = at(poses, "neck")[:, 1]
        raised.add(tuple(bool((at(poses, f"{side}_wrist")[:, 1] > neck).any()) for side in SIDES))
    assert raised == expected


def test_a_raised_hand_is_held_up_in_some_clips_and_comes_down_in_others() -> None:
    shares = []
    for s in range(40):
        poses = figure_joints(motion("raise_right", s, 46), REFERENCE)
        shares.append(np.mean(at(poses, "right_wrist")[:, 1] > at(poses, "neck")[:, 1]))
    assert 0.1 < np.mean(np.array(shares) == 1) < 0.6 and np.mean(np.array(shares) < 0.8) > 0.3


@pytest.mark.parametrize(("action", "sign"), [("turn_left", 1), ("turn_right", -1)])
def test_walkers_turn_to_the_named_side(action: str, sign: int) -> None:
    for s in range(8):
        rotations = motion(action, s, 48).rotations[:, 0]
        heading = np.rad2deg(np.unwrap(np.arctan2(rotations[:, 0, 2], rotations[:, 2, 2])))
        assert 45 < sign * (heading[-1] - heading[0]) < 145


def test_the_upper_body_goes_over_and_the_legs_stay() -> None:
    first, then = (motion("unknown", s).rotations for s in (1, 2))
    share = np.clip(np.arange(FRAMES) / 20 - 1, 0, 1)
    mixed = _gone_over(first, then, share)
    assert np.abs(mixed @ mixed.swapaxes(-1, -2) - np.eye(3)).max() < 1e-6
    legs = [INDEX[f"{side}_{bone}"] for side in SIDES for bone in ("thigh", "shank", "foot")]
    assert np.array_equal(mixed[:, legs], first[:, legs])
    assert np.abs(mixed[:20] - first[:20]).max() < 1e-6
    relative = [
        r[40:, :1].swapaxes(-1, -2) @ r[40:, [INDEX["skull"], INDEX["left_hand"]]] for r in (mixed, then)
    ]
    assert np.abs(relative[0] - relative[1]).max() < 1e-6
    turning = (mixed[1:].swapaxes(-1, -2) @ mixed[:-1]).trace(axis1=-2, axis2=-1)
    assert np.rad2deg(np.arccos(np.clip((turning - 1) / 2, -1, 1))).max() < 40  # degrees a frame


def test_some_of_other_goes_over_into_a_second_movement(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(actions, "_gone_over", lambda first, then, share: calls.append("") or first)
    for seed in range(60):
        motion("other", seed, 4)
    of_other = len(calls)
    assert 12 < of_other < 36
    for action in MOVEMENTS:
        if action != "other":
            motion(action, 0, 4)
    assert len(calls) == of_other


def test_reaching_hands_stay_below_the_chin_and_off_the_face() -> None:
    for seed in range(40):
        places = _hand_places(np.random.default_rng(seed), 5)
        assert places.shape == (5, 3) and places[:, 1].max() < 0.05
        assert np.linalg.norm(places - [0, 0.06, 0.1], axis=1).min() > 0.15


def test_other_stands_about_or_moves_as_no_other() -> None:
    restless = [far(figure_joints(motion("other", s, 90), REFERENCE), "right_wrist") for s in range(24)]
    assert min(restless) < 0.1 and max(restless) > 0.35
    assert ACTIONS[-1] == "other" and set(MOVEMENTS) - set(ACTIONS) == {"idle", "unknown"}


def test_jumping_jacks_open_arms_and_legs_together() -> None:
    for poses in clips("jumping_jacks"):
        legs = np.linalg.norm(at(poses, "left_ankle") - at(poses, "right_ankle"), axis=1)
        arms = np.mean([at(poses, f"{side}_wrist")[:, 1] for side in SIDES], axis=0)
        assert np.corrcoef(legs, arms)[0, 1] > 0.6 and np.ptp(legs) > 0.3 and np.ptp(arms) > 0.4


@pytest.mark.parametrize(("action", "least"), [("squat", 0.15), ("bow", 0.15)])
def test_head_goes_down(action: str, least: float) -> None:
    for poses in clips(action):
        assert np.ptp(at(poses, "neck")[:, 1]) > least


def test_push_ups_rest_on_hands_and_toes() -> None:
    for seed in range(6):
        moved, lengths = motion("push_up", seed, 120), body(seed)
        poses = figure_joints(moved, lengths)
        for side in SIDES:
            for joint in ("wrist", "hand"):
                assert np.abs(at(poses, f"{side}_{joint}")[:, 1] - SOLE).max() < 0.025
                assert np.ptp(at(poses, f"{side}_{joint}")[:, [0, 2]], axis=0).max() < 0.02
            assert at(poses, f"{side}_foot")[:, 1].max() < SOLE + 0.005
        assert np.ptp(at(poses, "thorax")[:, 1]) > 0.12
        assert (np.abs(moved.rotations[:, 0, 1, 1]) < 0.6).all()  # the trunk lies, more or less


def test_sit_ups_rest_on_the_hips_and_the_back() -> None:
    for seed in range(6):
        poses = figure_joints(motion("sit_up", seed, 150), body(seed))
        assert np.abs(at(poses, "pelvis")[:, 1] - 0.11).max() < 0.03
        assert at(poses, "thorax")[:, 1].min() < 0.2 and at(poses, "thorax")[:, 1].max() > 0.38


def test_hands_meet_in_a_clap() -> None:
    for poses in clips("clap"):
        apart = np.linalg.norm(at(poses, "left_hand") - at(poses, "right_hand"), axis=1)
        assert 0.03 < apart.min() < 0.1 and apart.max() > 0.15


@pytest.mark.parametrize(
    ("action", "joint", "least"), [("punch", "wrist", 0.2), ("kick", "ankle", 0.4), ("throw", "wrist", 0.5)]
)
def test_one_side_strikes_and_it_may_be_either(action: str, joint: str, least: float) -> None:
    stronger = set()
    for s in range(10):
        poses = figure_joints(motion(action, s, 90), REFERENCE)
        ways = {side: far(poses, f"{side}_{joint}") for side in SIDES}
        assert max(ways.values()) > least
        stronger.add(max(ways, key=ways.__getitem__))
    assert stronger == {"left", "right"}


def test_a_ball_is_held_until_it_is_thrown() -> None:
    for seed in range(8):
        moved = motion("throw", seed, 150)
        (side, thing), *others = moved.held.items()
        assert thing == "ball" and not others
        kept = holding(moved)
        gone = np.flatnonzero(kept[:-1] & ~kept[1:])
        assert 1 <= len(gone) <= 4 and 0.3 < kept.mean() < 0.8
        poses = figure_joints(moved, REFERENCE)
        speed = np.linalg.norm(np.diff(at(poses, f"{side}_hand") - at(poses, "pelvis"), axis=0), axis=1) * 30
        # It leaves at about the hand's greatest speed.
        near = [speed[max(g - 4, 0) : g + 5].max() for g in gone]
        assert min(near) > 0.8 * speed.max() or len(gone) > 1
        assert max(near) > 0.95 * speed.max()


def test_phone_and_cup_come_to_the_head() -> None:
    for action, thing in (("phone_call", "phone"), ("drink", "cup")):
        for seed in range(6):
            moved, lengths = motion(action, seed, 200), body(seed)
            ((side, held),) = moved.held.items()
            assert held == thing and holding(moved).all()
            poses = figure_joints(moved, lengths)
            head = (at(poses, "neck") + at(poses, "head")) / 2
            assert np.linalg.norm(at(poses, f"{side}_hand") - head, axis=1).min() < 0.24
    assert not holding(motion("walk", 0)).any()
