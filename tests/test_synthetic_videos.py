"""The labels of synthetic videos agree with their pictures, and depend on (seed, index) alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from poseact.data import open_data
from poseact.data.augment import Augmentation
from poseact.data.clips import Stills, clip, still
from poseact.data.loading import Examples, training_loader
from poseact.data.synthetic import Film, SyntheticVideos
from poseact.data.synthetic.actions import ACTIONS, random_motion
from poseact.data.synthetic.rasteriser import OTHER, PERSON, Light, Rendering, plain_materials, render
from poseact.data.synthetic.videos import BOX_MARGIN, OCCLUSION_MARGIN_M, _at_pace
from poseact.data.synthetic.wardrobe import SLOT, SLOTS
from poseact.errors import UserError
from poseact.skeleton import FIGURE36, LAYOUTS, PA17, mapping
from poseact.video import clip_indices

FRAMES = 12
NEAR_PX = 2
Shot = tuple[Film, int, Rendering]


def shots(count: int, seed: int) -> list[Shot]:
    """One random frame of each of ``count`` videos."""
    videos = SyntheticVideos(count, FRAMES, seed=seed)
    found = []
    for i in range(count):
        film = videos.film(i)
        frame = int(np.random.default_rng((seed, i)).integers(FRAMES))
        found.append((film, frame, film.picture(frame)))
    return found


@pytest.fixture(scope="module")
def some() -> list[Shot]:
    return shots(60, 3)


def inside(film: Film, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of the joints (36, 2), rounded, and which lie in the picture."""
    pixels = np.round(film.scene.camera(frame).project(film.joints[frame])).astype(int)
    height, width = film.scene.size
    return pixels, (pixels >= 0).all(1) & (pixels[:, 0] < width) & (pixels[:, 1] < height)


def check_on_the_person(found: list[Shot]) -> None:
    """Within 2 px of every joint that is seen is the person's surface, no farther than it is thick there.

    2 px: a nose in profile sticks out by less than a pixel. At the joint's own pixel, nearly always.
    """
    exact = []
    for film, frame, picture in found:
        pixels, within = inside(film, frame)
        seen = within & ~film.occluded(frame, picture)
        person = np.pad(picture.segmentation == PERSON, NEAR_PX)
        surface = np.pad(picture.depth, NEAR_PX, constant_values=np.inf)
        depth = film.scene.camera(frame).to_camera(film.joints[frame])[:, 2]
        for j in np.flatnonzero(seen):
            x, y = pixels[j]
            around = slice(y, y + 2 * NEAR_PX + 1), slice(x, x + 2 * NEAR_PX + 1)
            off = np.abs(depth[j] - surface[around])
            agree = person[around] & (off <= film.person.thickness[j] + OCCLUSION_MARGIN_M)
            assert agree.any(), (film.action, FIGURE36.joints[j], off.min())
            exact.append(agree[NEAR_PX, NEAR_PX])
    assert np.mean(exact) > 0.97


def test_seen_joints_lie_on_the_person_at_the_depth_of_its_surface(some: list[Shot]) -> None:
    check_on_the_person(some)


@pytest.mark.slow
def test_seen_joints_of_a_thousand_frames_lie_on_the_person() -> None:
    check_on_the_person(shots(1000, 4))


def hidden_by_rays(film: Film, frame: int) -> np.ndarray:
    """Which joints (36,) have a surface between them and the camera, from all triangles one by one."""
    camera = film.scene.camera(frame)
    surfaces = [film.surface(frame), *film.scene.occluders]
    corners = np.concatenate([camera.to_camera(s.vertices)[s.triangles] for s in surfaces])
    other = np.concatenate([s.label for s in surfaces]) == OTHER
    a, u, v = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    hidden = np.zeros(len(FIGURE36), np.bool_)
    for j, at in enumerate(camera.to_camera(film.joints[frame])):
        ray = at / at[2]  # one metre deep
        p = np.cross(ray, v)
        determinant = (u * p).sum(1)
        facing = determinant > 1e-12  # surfaces are seen from outside only
        determinant = np.where(facing, determinant, 1.0)
        first = -(a * p).sum(1) / determinant
        q = np.cross(-a, u)
        second = (q @ ray) / determinant
        depth = (v * q).sum(1) / determinant
        hit = np.flatnonzero(facing & (first >= 0) & (second >= 0) & (first + second <= 1) & (depth > 0.05))
        if len(hit):
            nearest = hit[np.argmin(depth[hit])]
            slack = 0 if other[nearest] else film.person.thickness[j] + OCCLUSION_MARGIN_M
            hidden[j] = at[2] > depth[nearest] + slack
    return hidden


def agreement(found: list[Shot]) -> tuple[float, float]:
    """Share of the joints in the picture on which z-buffer and rays agree, and the share hidden."""
    agreed, hidden = [], []
    for film, frame, picture in found:
        _, within = inside(film, frame)
        by_rays, by_depth = hidden_by_rays(film, frame), film.occluded(frame, picture)
        agreed += list((by_rays == by_depth)[within])
        hidden += list(by_rays[within])
    return float(np.mean(agreed)), float(np.mean(hidden))


def test_occlusion_agrees_with_ray_casting(some: list[Shot]) -> None:
    share, hidden = agreement(some[:20])
    assert share >= 0.98 and 0.02 < hidden < 0.5


@pytest.mark.slow
def test_occlusion_agrees_with_ray_casting_on_200_frames() -> None:
    share, hidden = agreement(shots(200, 5))
    print(f"agree on {share:.4f} of the joints; {hidden:.3f} hidden")
    assert share >= 0.98


def test_left_is_left_from_all_sides(some: list[Shot]) -> None:
    """What is painted on the left foot is seen at the left foot, from the front and from behind."""
    light = Light(np.array([[0.0, 1.0, 0.0]]), np.zeros((1, 3)), np.ones(3), np.ones(3))
    colours = np.full((len(SLOTS), 3), 0.5)
    colours[[SLOT[f"left_{part}"] for part in ("sock", "shoe")]] = [1.0, 0.0, 0.0]
    sides = []
    for film, frame, _ in some:
        bare = film.surface(frame)
        camera = film.scene.camera(frame)
        grey = np.full((*film.scene.size, 3), 128, np.uint8)
        image = render([replace(bare, materials=plain_materials(colours))], camera, light, grey).image
        red = np.argwhere((image[..., 0] > 150) & (image[..., 1] < 80))[:, ::-1]
        feet = {
            side: camera.project(
                film.joints[frame][[FIGURE36.index(f"{side}_{j}") for j in ("ankle", "foot")]]
            )
            for side in ("left", "right")
        }
        if len(red) < 20 or np.linalg.norm(feet["left"] - feet["right"], axis=1).min() < 10:
            continue
        left, right = (np.linalg.norm(red[:, None] - feet[s], axis=2).min(1).mean() for s in feet)
        assert left < right, film.action
        shoulders = camera.project(film.joints[frame])[[FIGURE36.index(f"{s}_shoulder") for s in feet], 0]
        sides.append(shoulders[0] > shoulders[1])
    assert len(sides) > 15 and 0.1 < np.mean(sides) < 0.95


# --- the data set -----------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    first, again, other = (SyntheticVideos(3, FRAMES, seed=s) for s in (1, 1, 2))
    for i in (2, 0):
        a, b, c = first[i], again[i], other[i]
        assert a.joints.tobytes() == b.joints.tobytes() != c.joints.tobytes()
        (image, same, different) = (track.frames.read([3])[0][0] for track in (a, b, c))
        assert image.tobytes() == same.tobytes() != different.tobytes()
        assert image.tobytes() != a.frames.read([4])[0][0].tobytes()


def test_any_number_of_workers_gives_the_same_bytes() -> None:
    def frames(workers: int) -> list[bytes]:
        examples = Examples([SyntheticVideos(12, 6, seed=6)], PA17, 64, Augmentation(), 0, 0, frames=4)
        loader = training_loader(examples, [1.0], 4, workers)
        clips = [batch["clips"] for batch in loader]
        return [c["frames"].numpy().tobytes() + c["pose"].numpy().tobytes() for c in clips]

    alone = frames(0)
    assert len(alone) == 3 and frames(1) == alone and frames(2) == alone


def test_tracks_give_back_the_world() -> None:
    videos = SyntheticVideos(6, FRAMES, seed=7)
    for i in range(len(videos)):
        film, track = videos.film(i), videos[i]
        person = still(track, 5)
        assert person.camera is not None and person.root_depth_mm is not None
        depth = (person.root_depth_mm + person.joints[:, 2]) / 1000
        world = person.camera.back_project(person.joints[:, :2], depth)
        assert np.abs(world - film.joints[5]).max() < 1e-5  # lenses bend, and are undone by steps
        assert track.joints[:, FIGURE36.index("pelvis"), 2].max() == 0
        extent = np.ptp(person.joints[:, :2], axis=0).max()
        assert person.box.side == pytest.approx(BOX_MARGIN * extent)


def test_clips_keep_one_camera_a_frame() -> None:
    track = SyntheticVideos(1, FRAMES, seed=8)[0]
    found = clip(track, clip_indices(FRAMES, 4, 3))
    assert isinstance(found.camera, tuple) and len(found.camera) == 4
    assert found.action is not None and found.joints.shape == (4, len(FIGURE36), 3)


def test_every_joint_of_every_layout_is_known() -> None:
    for layout in LAYOUTS.values():
        assert (mapping(FIGURE36, layout) >= 0).all(), layout.name


def test_reduced_pictures_show_the_same() -> None:
    track = SyntheticVideos(4, 1, seed=9)[2]
    (full,), one = track.frames.read([0])
    (half,), two = track.frames.read([0], 2)
    assert (one, two) == (1, 2) and half.shape == (128, 128, 3)
    means = full.astype(float).reshape(128, 2, 128, 2, 3).mean((1, 3))
    assert np.corrcoef(means.ravel(), half.astype(float).ravel())[0, 1] > 0.9  # noise is that of each picture


def test_splits_differ_and_labels_are_the_actions() -> None:
    train, test = (open_data("synthetic", None, split, 40) for split in ("train", "test"))
    assert isinstance(train, SyntheticVideos) and isinstance(test, SyntheticVideos)
    assert train[0].joints.tobytes() != test[0].joints.tobytes()
    labels = {train[i].action for i in range(40)}
    assert len(labels) > 10 and labels <= set(range(len(train.actions)))
    with pytest.raises(UserError, match="unknown split"):
        open_data("synthetic", None, "dev", 4)


def test_wrong_arguments_are_refused() -> None:
    for wrong in ({"count": -1}, {"frames": 0}, {"size": (16, 256)}, {"seed": -1}):
        with pytest.raises(ValueError, match="expected count"):
            SyntheticVideos(**({"count": 1} | wrong))
    with pytest.raises(IndexError):
        SyntheticVideos(2)[2]


def test_stills_of_one_frame_videos_are_a_data_set() -> None:
    stills = Stills(SyntheticVideos(3, 1, seed=1))
    assert len(stills) == 3 and stills[1].image()[0].shape == (256, 256, 3)
    assert torch.from_numpy(stills[0].joints).isfinite().all()


# --- motion capture ---------------------------------------------------------------------------


def test_captured_actions_are_performed_and_split_by_style(shared: Path) -> None:
    root = shared / "data" / "mocap" / "motions.npz"
    parts = {split: open_data("synthetic", root, split) for split in ("train", "val", "test")}
    styles = {}
    for split, videos in parts.items():
        assert isinstance(videos, SyntheticVideos) and videos.motions is not None
        assert videos.actions == ACTIONS and len(videos) == len(videos.motions)
        assert len(set(videos.motions.actions)) == 10 and set(videos.motions.actions) < set(ACTIONS)
        styles[split] = set(videos.motions.styles)
    assert (styles["val"], styles["test"]) == ({"elderly"}, {"youthful"})
    assert not styles["train"] & (styles["val"] | styles["test"])
    videos = parts["test"]
    for i in range(0, len(videos), 95):
        track = videos[i]
        assert len(track) == videos.lengths[i] <= 48
        assert track.action is not None and videos.actions[track.action] == videos.motions.actions[i]
        (image,), _ = track.frames.read([len(track) // 2], 4)
        assert image.shape == (64, 64, 3) and image.std() > 5


def test_both_kinds_of_movement_are_shown_of_the_actions_that_have_both(shared: Path) -> None:
    videos = open_data("synthetic", shared / "data" / "mocap" / "motions.npz", "train-both", count=400)
    assert isinstance(videos, SyntheticVideos) and videos.motions is not None
    drawn = [videos._draw(i, np.random.default_rng((0, i))) for i in range(len(videos))]
    captured = {action for action, number, _ in drawn if number is not None}
    assert captured == set(videos.motions.actions)
    assert not any(  # there, only the fingers wave
        action.startswith("wave") and style == "feminine"
        for action, style in zip(videos.motions.actions, videos.motions.styles, strict=True)
    )
    assert ("raise_both", "feminine") in zip(videos.motions.actions, videos.motions.styles, strict=True)
    assert all(number is None or videos.motions.actions[number] == action for action, number, _ in drawn)
    share = np.mean([number is not None for action, number, _ in drawn if action in captured])
    assert 0.4 < share < 0.6 and {action for action, *_ in drawn} == set(ACTIONS)
    counts = Counter(action for action, *_ in drawn)
    assert 4 < counts["other"] / np.mean([n for action, n in counts.items() if action != "other"]) < 9
    paces = [pace for _, number, pace in drawn if number is not None]
    assert 0.8 <= min(paces) < 0.85 and 1.18 < max(paces) <= 1.25
    assert all(pace == 1 for _, number, pace in drawn if number is None)
    stills = SyntheticVideos(60, 1, motions=videos.motions, both=True)  # a pose has no pace
    assert all(stills._draw(i, np.random.default_rng((0, i)))[2] == 1 for i in range(60))
    for i in range(0, len(videos), 57):
        film, (action, number, pace) = videos.film(i), drawn[i]
        assert film.action == action and len(film) == videos.lengths[i]
        if number is not None:
            # About the middle of the clip: it performs what its name says, at its pace.
            whole = videos.motions[number].rotations[:, 0, :, 2]
            off = np.linalg.norm(film.rotations[0, 0, :, 2] - whole, axis=1)
            at = np.flatnonzero(off < off.min() + 0.02)
            middle = at + pace * len(film) / 2 - len(whole) / 2
            assert off.min() < 0.03 and (abs(middle) <= 0.16 * len(whole) + 2).any()


def test_a_motion_at_another_pace_is_the_same_later() -> None:
    motion = random_motion("kick", np.random.default_rng(3), 61, 30.0)
    slow = _at_pace(motion, 61 / 121)
    assert len(slow) == 121
    np.testing.assert_allclose(slow.rotations[::2], motion.rotations, atol=1e-6)
    np.testing.assert_allclose(slow.root[1::2], (motion.root[:-1] + motion.root[1:]) / 2, atol=1e-9)
    gram = slow.rotations @ np.swapaxes(slow.rotations, -1, -2)
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3), gram.shape), atol=1e-9)
    # Half-way between two rotations, from either as far.
    before, after = slow.rotations[1::2] - slow.rotations[:-1:2], slow.rotations[2::2] - slow.rotations[1::2]
    assert np.abs(np.linalg.norm(before, axis=(2, 3)) - np.linalg.norm(after, axis=(2, 3))).max() < 0.02
    assert len(_at_pace(motion, 1.22)) == 50


def test_a_captured_turn_is_within_the_middle_of_its_clip(shared: Path) -> None:
    videos = open_data("synthetic", shared / "data" / "mocap" / "motions.npz", "test")
    assert isinstance(videos, SyntheticVideos) and videos.motions is not None
    names = np.array(videos.motions.actions)
    for action, sign in (("turn_left", 1), ("turn_right", -1)):
        for i in np.flatnonzero(names == action)[:6]:
            facing = videos.film(int(i)).rotations[:, 0]
            heading = np.rad2deg(np.unwrap(np.arctan2(facing[:, 0, 2], facing[:, 2, 2])))
            assert sign * (heading[-1] - heading[0]) > 40


def test_too_few_styles_are_told(shared: Path, tmp_path: Path) -> None:
    whole = dict(np.load(shared / "data" / "mocap" / "motions.npz"))
    whole["style"] = np.full(len(whole["style"]), "one")
    np.savez(tmp_path / "motions.npz", **whole)
    with pytest.raises(UserError, match="expected three styles"):
        open_data("synthetic", tmp_path / "motions.npz", "train")
