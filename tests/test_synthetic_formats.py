"""Sets written in each form come back through the package's own readers as they were filmed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import scipy.io

from poseact.data import open_data
from poseact.data.check import check
from poseact.data.folder import ActionFolders
from poseact.data.human36m import ACTIONS as H36M_ACTIONS
from poseact.data.human36m import SUBJECTS, Human36M
from poseact.data.human36m_cameras import LENSES, camera
from poseact.data.matlab import read_mat
from poseact.data.mpii import Mpii
from poseact.data.ntu import FOCAL_PX, Ntu
from poseact.data.penn_action import PennAction
from poseact.data.synthetic.actions import ACTIONS, random_motion
from poseact.data.synthetic.formats import human36m, mpii, ntu, penn_action, staging
from poseact.data.synthetic.formats.mat import EMPTY, cells, mat_bytes, structs
from poseact.data.synthetic.formats.staging import Order, centred, facing, inside, label_of, resampled
from poseact.data.synthetic.placing import turn
from poseact.data.synthetic.render import FORMS, render_set
from poseact.data.synthetic.videos import Film
from poseact.skeleton import FIGURE36, H36M32, MPII16, NTU25, PENN13, convert
from poseact.structures import Track
from poseact.video import VideoFile

SMALL = {
    "clips": {"count": 3, "frames": 4, "size": "64", "actions": "walk,drink"},
    "mpii": {"count": 6, "size": "96x128"},
    "human36m": {"count": 5, "frames": 3, "actions": "phone_call,walk"},
    "penn-action": {"count": 3, "frames": 4, "size": "96x128", "actions": "squat,throw"},
    "ntu": {"count": 6, "frames": 4, "size": "96x128", "actions": "drink,wave_left"},
}


class Written(NamedTuple):
    root: Path
    films: list[Film]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Written]:
    """A small set of each form, and the films that it was made of, in order."""
    found = {}
    for form, options in SMALL.items():
        films: list[Film] = []
        with pytest.MonkeyPatch.context() as patch:
            make = staging.make_film
            patch.setattr(
                staging, "make_film", lambda *a, make=make, films=films: films.append(make(*a)) or films[-1]
            )
            root = tmp_path_factory.mktemp(form)
            render_set(root, form, seed=3, **options)
        found[form] = Written(root, films)
    return found


def filmed(film: Film, layout: object) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (F, J, 2) and camera coordinates in metres (F, J, 3) by the film's own cameras."""
    joints = convert(film.joints, FIGURE36, layout, axis=1)
    eyes = [film.scene.camera(i) for i in range(len(film))]
    pairs = [(eye.project(at), eye.to_camera(at)) for eye, at in zip(eyes, joints, strict=True)]
    return np.stack([p for p, _ in pairs]), np.stack([s for _, s in pairs])


def hidden(film: Film, layout: object) -> np.ndarray:
    """(F, J): by the depth of the pictures."""
    marks = [film.occluded(i, film.picture(i)) for i in range(len(film))]
    return convert(np.array(marks), FIGURE36, layout, axis=1)


def unlike(stored: np.ndarray, drawn: np.ndarray) -> float:
    """Mean difference of two pictures in grey levels, without their finest grain, which is lost on disk."""
    assert stored.shape == drawn.shape
    coarse = [cv2.blur(image.astype(np.float32), (7, 7)) for image in (stored, drawn)]
    return float(np.abs(coarse[0] - coarse[1]).mean())


def shows(track: Track, film: Film, mirrored: bool = False) -> bool:
    """Is the last frame on disk the film's?"""
    last = len(film) - 1
    drawn = film.picture(last).image
    return unlike(track.frames.read([last])[0][0], drawn[:, ::-1] if mirrored else drawn) < 3


# --- every form -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["mpii", "penn-action", "ntu"])
def test_check_finds_nothing_wrong(written: dict[str, Written], form: str) -> None:
    report = check(open_data(FORMS[form].data, written[form].root, "all"), None)
    assert report.items == SMALL[form]["count"]
    assert not report.damaged and not report.impossible
    assert not report.agreeing < 1.0 and not [w for w in report.warnings() if "published" not in w]


def test_check_of_human36m_finds_the_subjects_missing_that_were_not_ordered(
    written: dict[str, Written],
) -> None:
    report = check(Human36M(written["human36m"].root, "all"), None)
    assert report.items == 5 and report.agreeing == report.feet_forward == 1.0
    assert len(report.damaged) == 5 and all("not found" in message for message in report.damaged)
    # In Human3.6M, both clavicles begin at the thorax.
    assert not [m for m in report.impossible if "left_clavicle and right_clavicle on one spot" not in m]


def files_of(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("form", ["clips", "mpii", "penn-action", "ntu"])
def test_the_same_order_gives_the_same_bytes(written: dict[str, Written], form: str, tmp_path: Path) -> None:
    render_set(tmp_path, form, seed=3, **SMALL[form])
    assert files_of(tmp_path) == files_of(written[form].root)


def test_the_same_poses_give_the_same_cdf_file() -> None:
    poses = np.random.default_rng(0).normal(size=(3, 32, 3))
    assert human36m._cdf(poses) == human36m._cdf(poses.copy())


def order(form: str, root: Path, count: int) -> Order:
    chosen = FORMS[form]
    actions = tuple(a for a in ACTIONS if label_of(a, chosen.labels))
    return Order(root, count, 8, (64, 64), 0, actions)


@pytest.mark.parametrize("form", list(FORMS))
def test_no_two_tasks_write_the_same_file(form: str, tmp_path: Path) -> None:
    counts = Counter(path for task in FORMS[form].tasks(order(form, tmp_path, 700)) for path in task.files)
    assert max(counts.values()) == 1 and len(counts) >= 700


def test_every_label_of_ntu_reaches_every_split_and_every_camera(tmp_path: Path) -> None:
    names = [task.files[1].stem for task in ntu.tasks(order("ntu", tmp_path, 3 * 8 * 8))]
    for label in {name[-3:] for name in names}:
        own = [name for name in names if name.endswith(label)]
        people, cameras = {int(n[9:12]) for n in own}, {int(n[5:8]) for n in own}
        assert len(people) == 8 and cameras == {1, 2, 3}
        assert people & ntu.CROSS_SUBJECT_TRAIN and people - ntu.CROSS_SUBJECT_TRAIN
    assert len({name[-3:] for name in names}) == len(set(ntu.LABELS.values()))


def test_four_videos_of_each_subject_are_enough_for_all_splits_of_human36m(tmp_path: Path) -> None:
    made = human36m.tasks(order("human36m", tmp_path, 4 * 7))
    assert {int(task.files[0].parts[-3][1:]) for task in made} == set(SUBJECTS["all"])
    stems = {task.files[0].stem.rpartition(".")[0].split()[0] for task in made}
    assert stems <= set(H36M_ACTIONS) and len(stems) == len(set(human36m.LABELS.values()))


def test_every_action_of_the_clips_reaches_every_split(tmp_path: Path) -> None:
    made = FORMS["clips"].tasks(order("clips", tmp_path, 5 * len(ACTIONS)))
    found = Counter(task.files[0].parts[-3:-1] for task in made)
    assert {split for split, _ in found} == {"train", "val", "test"}
    assert all(found["train", a] == 3 and found["val", a] == found["test", a] == 1 for a in ACTIONS)


def test_labels_are_those_of_the_sets() -> None:
    assert set(human36m.LABELS.values()) <= set(Human36M.actions)
    assert set(penn_action.LABELS.values()) <= set(PennAction.actions)
    assert set(ntu.LABELS.values()) <= set(Ntu.actions)
    for labels in (human36m.LABELS, penn_action.LABELS, ntu.LABELS):
        assert set(labels) <= set(ACTIONS)


# --- clips ----------------------------------------------------------------------------------------


def clips(root: Path) -> Iterator[tuple[Path, dict]]:
    for path in sorted(root.rglob("0*.json"), key=lambda p: p.name):
        yield path, json.loads(path.read_text())


def test_the_json_of_a_clip_tells_what_was_filmed(written: dict[str, Written]) -> None:
    root, films = written["clips"]
    for (path, told), film in zip(clips(root), films, strict=True):
        pixels, seen = filmed(film, FIGURE36)
        assert (
            told["joint_names"] == list(FIGURE36.joints) and told["action"] == film.action == path.parent.name
        )
        assert told["seed"] == 3 and told["number"] == int(path.stem)
        np.testing.assert_allclose(told["joints_px"], pixels, atol=6e-4)
        np.testing.assert_allclose(told["joints_world_m"], film.joints, atol=6e-6)
        root_depth = seen[:, :1, 2]
        np.testing.assert_allclose(told["depth_mm"], 1000 * (seen[..., 2] - root_depth), atol=6e-3)
        np.testing.assert_array_equal(told["inside"], inside(pixels, film.scene.size))
        np.testing.assert_array_equal(told["occluded"], hidden(film, FIGURE36))
        x, y, side = np.array(told["boxes"])[0]
        assert np.all(np.abs(pixels[0] - (x, y)) <= side / 2)
        for f, eye in enumerate(film.scene.cameras):
            for name in ("rotation", "position", "focal", "centre"):
                np.testing.assert_allclose(told["camera"][name][f], getattr(eye, name), atol=1e-6)


def test_the_folder_reader_finds_clips_and_labels(written: dict[str, Written]) -> None:
    root, films = written["clips"]
    told = {path.stem: (path, content) for path, content in clips(root)}
    count = 0
    for split in ("train", "val", "test"):
        if not (root / split).is_dir():
            continue
        source = ActionFolders(root, split)
        assert not source.damaged and source.actions == ("drink", "walk")
        for track in source:
            number = Path(track.name).stem
            film = films[int(number)]
            video = VideoFile(Path(track.name))
            assert source.actions[track.action] == told[number][1]["action"]
            assert (video.width, video.height) == (told[number][1]["width"], told[number][1]["height"])
            assert len(track) == len(film) and video.fps == pytest.approx(told[number][1]["fps"])
            assert shows(track, film)
            count += 1
    assert count == 3


# --- MPII -----------------------------------------------------------------------------------------


def test_mpii_comes_back(written: dict[str, Written]) -> None:
    root, films = written["mpii"]
    source = Mpii(root, "all")
    pairs = zip(sorted(source.people, key=lambda p: p.place), films, strict=True)
    for i, (person, film) in enumerate(pairs):
        (pixels,), _ = filmed(film, MPII16)
        sample = source[source.people.index(person)]
        test = mpii.PARTS[i % 6] == "test"
        np.testing.assert_array_equal(person.valid, inside(pixels, (96, 128)) & (not test))
        np.testing.assert_allclose(person.joints[person.valid], pixels[person.valid], atol=1e-9)
        (all_pixels,), _ = filmed(film, FIGURE36)
        middle = (all_pixels.min(0) + all_pixels.max(0)) / 2
        np.testing.assert_allclose(person.box.centre, middle, atol=0.51)  # objpos is in whole pixels
        assert person.single is True and unlike(sample.image()[0], film.picture(0).image) < 3
        assert (person.head_px is None) == test


def test_a_standing_person_of_mpii_has_the_scale_of_its_height(written: dict[str, Written]) -> None:
    _, films = written["mpii"]
    record = mpii._person(films[0], np.zeros(36, bool))
    (pixels,), (seen,) = filmed(films[0], FIGURE36)
    standing = films[0].joints[0]
    tall = np.ptp(standing[:, 1])  # of a walking person, nearly that of one who stands
    px = tall * films[0].scene.camera(0).focal[0] / seen[FIGURE36.index("pelvis"), 2]
    assert films[0].action == "walk" and record["scale"] * 200 == pytest.approx(px, rel=0.12)
    x1, y1, x2, y2 = record["head"]
    for joint in ("head", "neck", "nose", "left_ear", "right_ear"):
        x, y = pixels[FIGURE36.index(joint)] + 1
        assert x1 <= x <= x2 and y1 <= y <= y2
    skull = np.linalg.norm(standing[FIGURE36.index("head")] - standing[FIGURE36.index("neck")])
    head_px = 0.6 * np.hypot(x2 - x1, y2 - y1)
    assert head_px == pytest.approx(skull * px / tall, rel=0.35)


def test_the_splits_of_mpii(written: dict[str, Written]) -> None:
    root, _ = written["mpii"]
    assert [len(Mpii(root, s)) for s in ("train", "test", "released-train", "released-val", "val")] == [
        5,
        1,
        4,
        1,
        1,
    ]
    assert [len(Mpii(root, s)) for s in ("train-single", "test-single")] == [5, 1]
    (person,) = Mpii(root, "val").people
    twin = next(p for p in Mpii(root, "train").people if p.image == person.image)
    np.testing.assert_array_equal(person.joints, twin.joints)
    np.testing.assert_array_equal(person.valid, twin.valid)
    assert person.head_px == twin.head_px and person.box == twin.box
    test = Mpii(root, "test").people[0]
    assert not test.valid.any()


def test_the_official_file_of_mpii_as_others_read_it(written: dict[str, Written]) -> None:
    root, films = written["mpii"]
    release = scipy.io.loadmat(root / mpii.OFFICIAL, struct_as_record=False, squeeze_me=True)["RELEASE"]
    assert release.img_train.tolist() == [1, 1, 1, 1, 0, 1] and release.single_person.tolist() == [1] * 6
    assert [image.image.name for image in release.annolist] == [f"{i:09d}.jpg" for i in range(1, 7)]
    assert release.act[0].act_name == films[0].action and release.act[4].act_id == -1
    for image, film in list(zip(release.annolist, films, strict=True))[:4]:
        flags = {int(p.id): p for p in image.annorect.annopoints.point}
        marked = hidden(film, MPII16)[0]
        assert flags
        for joint, point in flags.items():
            if MPII16.joints[joint] in ("neck", "head"):
                assert np.size(point.is_visible) == 0
            else:
                assert point.is_visible == (not marked[joint])


# --- Human3.6M ------------------------------------------------------------------------------------


def test_human36m_comes_back(written: dict[str, Written]) -> None:
    root, films = written["human36m"]
    tracks = list(Human36M(root, "all"))
    assert [t.name for t in tracks[:4]] == [f"S1/Phoning 1.{n}" for n in LENSES]
    assert tracks[4].name.startswith("S5/Walking 1.")
    for track, film in zip(tracks, films, strict=True):
        pixels, seen = filmed(film, H36M32)
        np.testing.assert_allclose(track.joints[..., :2], pixels, atol=1e-9)
        depth = 1000 * seen[..., 2]
        np.testing.assert_allclose(track.joints[..., 2], depth - depth[:, :1], atol=1e-9)
        np.testing.assert_allclose(track.root_depth_mm, depth[:, 0], atol=1e-9)
        assert track.valid.all() and track.depth_valid.all()
        assert Human36M.actions[track.action] == human36m.LABELS[film.action]
        assert track.frames.fps == pytest.approx(50) and shows(track, film)


def test_the_four_cameras_of_human36m_see_one_performance(written: dict[str, Written]) -> None:
    root, films = written["human36m"]
    worlds = []
    for track, number in zip(Human36M(root, "train"), LENSES, strict=False):
        eye = camera(1, number)
        assert (track.frames.width, track.frames.height) == LENSES[number].size
        depth = (track.joints[..., 2] + track.root_depth_mm[:, None]) / 1000
        worlds.append(eye.back_project(track.joints[..., :2], depth))
    for world in worlds[1:]:
        np.testing.assert_allclose(world, worlds[0], atol=1e-4)
    # In the studio z is up: feet on the floor, the head above, in the middle of the room.
    height = worlds[0][..., 2]
    assert -0.02 < height.min() < 0.12 and np.all(height.argmax(1) == H36M32.index("head"))
    assert np.abs(worlds[0][:, 0, :2]).max() < 1
    np.testing.assert_allclose(height, convert(films[0].joints, FIGURE36, H36M32, axis=1)[..., 1], atol=1e-4)


def test_a_subject_of_human36m_is_one_person(written: dict[str, Written]) -> None:
    films = written["human36m"].films
    assert films[0].person.lengths == films[3].person.lengths != films[4].person.lengths


# --- Penn Action ----------------------------------------------------------------------------------


def test_penn_action_comes_back(written: dict[str, Written]) -> None:
    root, films = written["penn-action"]
    for track, film in zip(PennAction(root, "all"), films, strict=True):
        pixels, _ = filmed(film, PENN13)
        np.testing.assert_array_equal(track.valid, inside(pixels, (96, 128)) & ~hidden(film, PENN13))
        assert track.valid.mean() > 0.3
        np.testing.assert_allclose(track.joints[track.valid][:, :2], pixels[track.valid], atol=1e-9)
        assert PennAction.actions[track.action] == penn_action.LABELS[film.action]
        assert len(track) == 4 and shows(track, film)
    assert [len(PennAction(root, split)) for split in ("train", "test")] == [1, 2]


def test_a_label_of_penn_action_as_others_read_it(written: dict[str, Written]) -> None:
    root, films = written["penn-action"]
    label = scipy.io.loadmat(root / "labels" / "0001.mat")
    assert label["dimensions"].tolist() == [[96, 128, 4]] and label["nframes"].item() == 4
    assert label["train"].item() == 1 and label["action"].item() == "squat"
    assert label["visibility"].shape == label["x"].shape == (4, 13) and label["bbox"].shape == (4, 4)
    pixels, _ = filmed(films[0], PENN13)
    low = np.clip(pixels.min(1), 0, [127, 95]) + 1
    np.testing.assert_allclose(label["bbox"][:, :2], low, atol=1e-9)
    assert np.all(label["bbox"][:, 2:] >= low) and np.all(label["bbox"] <= [128, 96, 128, 96])


@pytest.mark.parametrize(("azimuth", "view"), [(0, "front"), (180, "back"), (90, "right"), (-90, "left")])
def test_the_view_of_penn_action_is_where_the_person_looks(
    written: dict[str, Written], azimuth: float, view: str
) -> None:
    # A camera at +z looks along -z: whoever faces +x looks to the right of its picture.
    film = written["ntu"].films[0]
    middle = len(film) // 2
    eye = ntu.kinect((96, 128), 0.0)
    front = film.rotations[middle, 0, :, 2]
    turned = turn(y=azimuth - np.rad2deg(np.arctan2(front[0], front[2]))) @ film.rotations
    scene = replace(film.scene, cameras=(eye,) * len(film))
    assert penn_action._view(replace(film, rotations=turned, scene=scene)) == view


# --- NTU RGB+D ------------------------------------------------------------------------------------


def test_ntu_comes_back_mirrored(written: dict[str, Written]) -> None:
    root, films = written["ntu"]
    found = {Path(track.name).stem: track for track in Ntu(root, "all")}
    stems = [f"S001C00{c}P00{p}R001A{a}" for p, a in ((1, "001"), (3, "023")) for c in (1, 2, 3)]
    assert sorted(found) == sorted(stems)
    for stem, film in zip(stems, films, strict=True):
        track = found[stem]
        pixels, seen = filmed(film, NTU25)
        mirrored = np.stack([127 - pixels[..., 0], pixels[..., 1]], -1)
        np.testing.assert_allclose(track.joints[..., :2], mirrored, atol=1e-4)
        depth = 1000 * seen[..., 2]
        np.testing.assert_allclose(track.joints[..., 2], depth - depth[:, :1], atol=1e-3)
        np.testing.assert_allclose(track.root_depth_mm, depth[:, 0], atol=1e-3)
        np.testing.assert_allclose(track.metres_per_pixel, seen[:, 0, 2] / FOCAL_PX, rtol=1e-4)
        assert track.valid.all() and track.depth_valid.all()
        assert Ntu.actions[track.action] == ntu.LABELS[film.action]
        assert track.frames.fps == pytest.approx(30) and shows(track, film, mirrored=True)


def test_who_faces_a_kinect_has_the_left_side_on_the_left_of_the_picture(written: dict[str, Written]) -> None:
    tracks = [t for t in Ntu(written["ntu"].root, "all") if "C002" in t.name]
    for track in tracks:  # the first time an action is towards camera 2
        left, right = (track.joints[:, NTU25.index(f"{side}_hip"), 0] for side in ("left", "right"))
        assert np.all(left < right)


def test_the_splits_of_ntu(written: dict[str, Written]) -> None:
    sizes = [
        len(Ntu(written["ntu"].root, s)) for s in ("xsub-train", "xsub-test", "xview-train", "xview-test")
    ]
    assert sizes == [3, 3, 4, 2]


@pytest.mark.parametrize("height", [270, 540, 1080])
def test_a_kinect_of_any_size_sees_a_person_with_raised_hands(height: int) -> None:
    eye = ntu.kinect((height, 16 * height // 9), 45.0)
    rows = eye.project(np.array([[0, 0.0, 0], [0, 2.1, 0]]))[:, 1]
    assert 0 < rows[1] < rows[0] < height
    assert rows[0] - rows[1] > 0.5 * height


# --- what they share ------------------------------------------------------------------------------


def test_resampled_motion_keeps_its_course_and_its_rotations() -> None:
    fine = random_motion("kick", np.random.default_rng(1), 121, 60.0)
    coarse = replace(fine, rotations=fine.rotations[::2], root=fine.root[::2], fps=30.0)
    back = resampled(coarse, 60.0)
    assert len(back) == 121 and back.fps == 60
    np.testing.assert_allclose(back.rotations[::2], coarse.rotations, atol=1e-12)
    np.testing.assert_allclose(back.rotations, fine.rotations, atol=0.1)  # the leg turns fast
    np.testing.assert_allclose(back.root, fine.root, atol=0.02)
    np.testing.assert_allclose(
        back.rotations @ np.swapaxes(back.rotations, -1, -2) - np.eye(3), 0, atol=1e-12
    )
    assert len(resampled(coarse, 50.0)) == 101 and len(resampled(coarse, 10.0)) == 21
    still = replace(coarse, rotations=coarse.rotations[:1], root=coarse.root[:1])
    assert len(resampled(still, 50.0)) == 1


def test_centred_and_turned_motion() -> None:
    motion = centred(random_motion("walk", np.random.default_rng(2), 90))
    low, high = motion.root.min(0), motion.root.max(0)
    np.testing.assert_allclose((low + high)[[0, 2]], 0, atol=1e-12)
    assert low[1] > 0.6
    for azimuth in (0.0, 130.0):
        turned = facing(motion, azimuth)
        front = turned.rotations[:, 0, :, 2].mean(0)
        assert np.rad2deg(np.arctan2(front[0], front[2])) == pytest.approx(azimuth)
        np.testing.assert_allclose(turned.root[:, 1], motion.root[:, 1])


def test_captured_actions_have_the_labels_of_ours() -> None:
    assert label_of("walk-turn-left", human36m.LABELS) == "Walking"
    assert label_of("wave-both-hands", ntu.LABELS) == "hand waving"
    assert label_of("dance-short", ntu.LABELS) is None and label_of("dance-short", None) == "dance-short"


def test_no_captured_motion_is_in_two_parts() -> None:
    actions = ("walk", "bow", "walk-left") * 7 + ("walk",) * 5
    captured = staging.Captured(actions, ())
    given = replace(order("clips", Path(), 1), actions=tuple(sorted(set(actions))), captured=captured)
    _, walk = staging.roles(given, {"bow": "Bowing", "walk": "Walking"})
    assert walk == staging.Role("Walking", ("walk", "walk-left"))
    take = staging.taker(given)
    parts = {part: [take(walk, part) for _ in range(40)] for part in ("train", "val", "test")}
    numbers = {part: {t.captured for t in takes} for part, takes in parts.items()}
    assert [len(numbers[part]) for part in parts] == [11, 5, 3] and len(set().union(*numbers.values())) == 19
    for takes in parts.values():
        assert all(actions[t.captured] == t.action and t.label == "Walking" for t in takes)
        assert {t.action for t in takes[:2]} == {"walk", "walk-left"}


def test_an_action_with_one_captured_motion_shows_it_in_every_part() -> None:
    captured = staging.Captured(("bow",), ())
    given = replace(order("clips", Path(), 1), actions=("bow",), captured=captured)
    take, bow = staging.taker(given), staging.Role("bow", ("bow",))
    assert {take(bow, part).captured for part in ("train", "val", "test")} == {0}


def test_edges_of_a_picture_are_inside() -> None:
    points = np.array([[-0.5, 0], [127.5, 95.5], [-0.51, 0], [0, 95.6], [0, -1]])
    assert inside(points, (96, 128)).tolist() == [True, True, False, False, False]


def test_structs_and_cells_are_read_as_matlab_would_write_them() -> None:
    content = structs([{"a": 1.0, "b": "text"}, {"a": cells([2.0, "x"], (2, 1))}])
    data = mat_bytes({"S": content})
    back = read_mat(data, "S")
    assert back.shape == (1, 2) and back["a"][0, 0].item() == 1 and back["b"][0, 0].item() == "text"
    assert back["b"][0, 1].size == 0 and back["a"][0, 1].shape == (2, 1)
    assert data == mat_bytes({"S": content}) and data.startswith(b"MATLAB 5.0 MAT-file")
    assert EMPTY.shape == (0, 0)
