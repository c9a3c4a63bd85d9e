"""The reader of Human3.6M, on fakes of its three forms."""

import os
import re
import zipfile

import numpy as np
import pytest
import scipy.io
from fakes import human36m as fake
from fakes.damage import mutate

from poseact.data import human36m
from poseact.data.cdf import load_cdf
from poseact.data.clips import Stills
from poseact.data.human36m import Human36M
from poseact.data.human36m_cameras import LENSES, PLACES, camera
from poseact.data.images import ImageFiles
from poseact.errors import UserError
from poseact.geometry import depth_to_z
from poseact.skeleton import H36M32, PA17, mapping
from poseact.video import write_video

TRAINED, TESTED = 7 * 4, 5 * 4 - 1  # recordings times cameras, without the damaged one


@pytest.fixture(scope="module")
def bodies():
    return fake.world()


@pytest.fixture(scope="module")
def official(tmp_path_factory, bodies):
    root = tmp_path_factory.mktemp("official")
    fake.write_official(root, bodies)
    fake.write_images(root, bodies)
    return root


@pytest.fixture(scope="module")
def world(tmp_path_factory, official, bodies):
    root = tmp_path_factory.mktemp("world")
    fake.write_world(root, bodies)
    os.symlink(official / "images", root / "images")
    return root


@pytest.fixture(scope="module")
def authors(tmp_path_factory, official, bodies):
    root = tmp_path_factory.mktemp("authors")
    fake.write_authors(root, bodies)
    os.symlink(official / "images", root / "images")
    return root


@pytest.fixture
def one(tmp_path, bodies):
    """A root of one recording of S9, without any form."""
    return tmp_path, {(9, "Walking 1"): bodies[9, "Walking 1"][:3]}


def by_name(data):
    return {track.name: track for track in (data[i] for i in range(len(data)))}


def grey(track, index):
    (image,), _ = track.frames.read([index])
    return int(np.rint(image.mean()))


@pytest.mark.parametrize("form", ["official", "world"])
def test_tracks_are_what_was_filmed(request, bodies, form):
    data = Human36M(request.getfixturevalue(form), "train")
    assert len(data) == TRAINED and data.damaged == [] and data.layout is H36M32
    track = by_name(data)["S5/Photo 2.58860488"]
    points = bodies[5, "Photo 2"]
    millimetres, pixels = fake.seen(points, 5, "58860488")
    assert np.abs(track.joints[..., :2] - pixels).max() < 1e-3
    assert np.abs(track.joints[..., 2] - (millimetres[..., 2] - millimetres[:, :1, 2])).max() < 1e-3
    assert np.abs(track.root_depth_mm - millimetres[:, 0, 2]).max() < 1e-3
    assert track.valid.all() and track.depth_valid.all() and len(track) == len(points) == 7
    assert data.actions[track.action] == "Photo"
    assert [grey(track, i) for i in range(7)] == [fake.shade(i + 1) for i in range(7)]
    back = track.camera.back_project(track.joints[..., :2], millimetres[..., 2] / 1000)
    assert np.abs(1000 * back - points).max() < 1e-2


@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_both_forms_give_the_same_tracks(official, world, split):
    a, b = Human36M(official, split), Human36M(world, split)
    tracks = by_name(b)
    missing = {f"S11/Directions.{number}" for number in list(LENSES)[1:]} if split != "train" else set()
    assert by_name(a).keys() - tracks.keys() == missing  # as VideoPose3D left it out
    assert (len(b.damaged) == 1 and "left out all four" in b.damaged[0]) if missing else b.damaged == []
    kept = [a[i] for i in range(len(a)) if a[i].name not in missing]
    assert [track.name for track in kept] == list(tracks)  # in the same order
    for track in kept:
        other = tracks[track.name]
        for field in ("valid", "depth_valid"):
            assert (getattr(track, field) == getattr(other, field)).all()
        for field in ("joints", "boxes", "metres_per_pixel", "root_depth_mm"):
            assert np.allclose(getattr(track, field), getattr(other, field), rtol=1e-6, atol=1e-3)
        for field in ("rotation", "position", "focal", "centre", "radial", "tangential"):
            assert (getattr(track.camera, field) == getattr(other.camera, field)).all()
        assert track.action == other.action and track.layout is other.layout
        assert [p.name for p in track.frames.paths] == [p.name for p in other.frames.paths]
        assert track.frames.paths[0].parent.name == other.frames.paths[0].parent.name


@pytest.mark.parametrize(("split", "plain"), [("released-train", "train"), ("released-val", "test")])
def test_the_authors_form_gives_its_frames_of_the_same_tracks(official, authors, split, plain):
    data, all_frames = Human36M(authors, split), Human36M(official, plain)
    assert len(data) == len(all_frames)
    whole = {t.frames.paths[0].parent.name: t for t in by_name(all_frames).values()}
    step = 5 if plain == "train" else 64
    for name, track in by_name(data).items():
        same = whole[name]
        assert len(track) == len(range(0, len(same), step))
        assert [p.name for p in track.frames.paths] == [p.name for p in same.frames.paths][::step]
        for field in ("joints", "boxes", "metres_per_pixel", "root_depth_mm"):
            assert np.allclose(getattr(track, field), getattr(same, field)[::step], rtol=1e-6, atol=1e-3)
        assert (track.valid == same.valid[::step]).all() and track.action == same.action
        assert np.allclose(track.camera.position, same.camera.position, atol=1e-9)


def test_frame_numbers_of_the_authors_begin_at_1(authors):
    data = Human36M(authors, "released-val")
    track = by_name(data)["a14_s09_e01_c02"]
    assert track.frames.paths[1].name == "00065.jpg"
    assert [grey(track, i) for i in range(3)] == [fake.shade(n) for n in (1, 65, 129)]


def test_the_scored_frames_are_those_of_the_authors(official, authors):
    """One in 64 from the first on: 1, 65, 129 in their numbers."""
    stills = Stills(Human36M(official, "test"), human36m.TEST_STEP)
    theirs = Human36M(authors, "released-val")
    assert len(stills) == sum(theirs.lengths)
    assert [stills[i].index for i in range(len(stills)) if "S9/Walking 1.54138969" in stills[i].name] == [
        0,
        64,
        128,
    ]


def test_splits_are_by_subject(official, world, authors):
    for root in (official, world):
        assert {t[:3] for t in by_name(Human36M(root, "train"))} == {"S1/", "S5/", "S6/", "S7/", "S8/"}
        assert {t[:3] for t in by_name(Human36M(root, "test"))} == {"S9/", "S11"}
        everyone = list(by_name(Human36M(root, "all")))
        assert everyone == [*by_name(Human36M(root, "train")), *by_name(Human36M(root, "test"))]
    subjects = {"released-train": {1, 5, 6, 7, 8}, "released-val": {9, 11}, "released-test": {2}}
    for split, expected in subjects.items():
        assert {int(name[5:7]) for name in by_name(Human36M(authors, split))} == expected


def test_renamed_actions_of_s1(official):
    tracks = by_name(Human36M(official, "train"))
    photo, dog = tracks["S1/Photo.54138969"], tracks["S1/WalkDog 1.60457274"]
    assert human36m.ACTIONS[photo.action] == "Photo" and human36m.ACTIONS[dog.action] == "WalkDog"
    assert photo.frames.paths[0].parent.name == "a12_s01_e02_c01"
    assert dog.frames.paths[0].parent.name == "a15_s01_e01_c04"
    assert tracks["S5/Photo 2.54138969"].action == photo.action


def test_renamed_actions_in_the_converted_form(tmp_path, bodies):
    """Martinez' archive, which VideoPose3D reads too, may keep S1's names."""
    points = bodies[1, "TakingPhoto"] / 1000
    np.savez(tmp_path / "data_3d_h36m.npz", positions_3d={"S1": {"TakingPhoto": points}})
    fake.write_images(tmp_path, {(1, "TakingPhoto"): bodies[1, "TakingPhoto"]})
    assert set(by_name(Human36M(tmp_path, "train"))) == {f"S1/Photo.{n}" for n in LENSES}


def test_the_damaged_recording_is_left_out(official, world, authors):
    for root, split in ((official, "test"), (authors, "released-val")):
        data = Human36M(root, split)
        names = set(by_name(data))
        assert len(data) == TESTED
        assert not names & {"S11/Directions.54138969", "a02_s11_e02_c01"}
        assert len(data.damaged) == 1 and "damaged" in data.damaged[0]
        assert any(f in names for f in ("S11/Directions 1.54138969", "a02_s11_e01_c01"))
        assert any(f in names for f in ("S11/Directions.55011271", "a02_s11_e02_c02"))
        assert "Directions.54138969" in data.damaged[0] or "a02_s11_e02_c01" in data.damaged[0]


def test_the_damaged_recording_in_the_converted_form(tmp_path, bodies):
    """Where somebody kept S11's first Directions, three of its cameras are whole."""
    points = bodies[11, "Directions"] / 1000
    np.savez(tmp_path / "data_3d_h36m.npz", positions_3d={"S11": {"Directions": points}, "S9": {}})
    data = Human36M(tmp_path, "test")
    assert len(data) == 3 and len(data.damaged) == 1 and "Directions.54138969" in data.damaged[0]


def test_the_camera_of_each_file_name(official, bodies):
    for name, track in by_name(Human36M(official, "all")).items():
        number = name[-8:]
        subject = int(name[1 : name.index("/")])
        assert (track.camera.position == camera(subject, number).position).all()
        assert (track.camera.focal == LENSES[number].focal).all()
        assert track.frames.paths[0].parent.name[-2:] == f"{list(LENSES).index(number) + 1:02}"
        # What the camera's file says and what the camera makes of the world are the same.
        depth = (track.joints[..., 2] + track.root_depth_mm[:, None]) / 1000
        assert np.abs(track.camera.project(track.camera.back_project(track.joints[..., :2], depth))
                      - track.joints[..., :2]).max() < 1e-6  # fmt: skip


def test_trial_numbers(official):
    """The number after the action is the trial; the authors number them by a list of their own."""
    folders = {n: t.frames.paths[0].parent.name for n, t in by_name(Human36M(official, "all")).items()}
    assert folders["S1/Directions 1.54138969"] == "a02_s01_e01_c01"
    assert folders["S11/Directions.55011271"] == "a02_s11_e02_c02"
    assert folders["S9/SittingDown.54138969"] == "a10_s09_e01_c01"
    assert folders["S11/Phoning 3.54138969"] == "a06_s11_e01_c01"
    assert folders["S6/Waiting 3.54138969"] == "a13_s06_e01_c01"


def test_metres_and_millimetres(official, world):
    """The npz is in metres; the others, and what comes out, in mm: people are 5 m away."""
    for root in (official, world):
        depth = np.concatenate([t.root_depth_mm for t in by_name(Human36M(root, "test")).values()])
        assert depth.min() > 2500 and depth.max() < 8000
        track = Human36M(root, "test")[0]
        assert 100 < np.abs(track.joints[..., 2]).max() < 2000
        assert 1 < np.linalg.norm(track.camera.position) < 10


def test_boxes_and_scale(official):
    for name, track in by_name(Human36M(official, "all")).items():
        (width, height), focal = LENSES[name[-8:]].size, LENSES[name[-8:]].focal
        side = 2.25 * max(width * focal[0], height * focal[1]) / track.root_depth_mm
        assert np.allclose(track.boxes, np.column_stack([track.joints[:, 0, :2], side]))
        scale = track.boxes[:, 2] * track.metres_per_pixel / 2.25
        assert np.allclose(scale, 1)
        z = depth_to_z(track.joints[..., 2], scale[:, None])
        assert np.allclose(z, 0.5 + track.joints[..., 2] / 2000)


def test_the_scale_is_nearly_that_of_the_camera(official):
    """2.25 m at the root are a side, within a third of a percent, so metres_per_pixel is honest."""
    for track in by_name(Human36M(official, "all")).values():
        assert np.allclose(
            track.metres_per_pixel, track.root_depth_mm / 1000 / track.camera.focal[0], rtol=4e-3
        )


def test_the_scored_joints():
    assert human36m.SCORED_JOINTS["released"] == tuple(mapping(H36M32, PA17))
    assert human36m.SCORED_JOINTS["usual"] == (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)


def test_what_all_cameras_saw_is_one_group(official, authors):
    for data, split in ((official, "test"), (authors, "released-val")):
        tracks = list(Human36M(data, split))
        seen = {}
        for track in tracks:
            name = re.sub(r"(\.|_c)\d+$", "", track.name)
            seen.setdefault(name, set()).add(track.group)
        assert len(tracks) > len(seen) > 1 and all(len(groups) == 1 for groups in seen.values())
        assert len(set.union(*seen.values())) == len(seen)


def test_the_published_cameras():
    """All 28 stand 3 to 6 m from the middle of the studio, upright, and have it in the picture."""
    assert len(PLACES) == 7 and list(LENSES) == ["54138969", "55011271", "58860488", "60457274"]
    for subject, places in PLACES.items():
        assert len(places) == 4
        for number, place in zip(LENSES, places, strict=True):
            assert abs(np.linalg.norm(place.orientation) - 1) < 1e-6
            view = camera(subject, number)
            assert np.allclose(view.rotation @ view.rotation.T, np.eye(3), atol=1e-12)
            assert np.linalg.det(view.rotation) > 0
            middle, above = view.to_camera(np.array([[0, 0, 1.0], [0, 0, 1.5]]))
            assert 3 < np.linalg.norm(middle) < 6.5 and above[1] < middle[1]
            assert np.abs(view.project(np.array([[0.0, 0.0, 1.0]])) - 500).max() < 200
    # The rotation of S1's first camera in Human3.6M's own form, rounded.
    expected = [[-0.9154, 0.4018, 0.0257], [0.0515, 0.1804, -0.9822], [-0.3993, -0.8978, -0.1858]]
    assert np.abs(camera(1, "54138969").rotation - expected).max() < 1e-4


def test_published_numbers_of_recordings():
    assert human36m.PUBLISHED["train"] == 5 * 15 * 2 * 4 and human36m.PUBLISHED["test"] == 2 * 15 * 2 * 4 - 1


def test_lengths_come_without_the_poses(official, monkeypatch):
    data = Human36M(official, "test")
    expected = [len(data[i]) for i in range(len(data))]
    monkeypatch.setattr(human36m, "load_cdf", None)
    assert list(Human36M(official, "test").lengths) == expected


def test_poses_without_their_pixels_are_projected(one):
    root, bodies = one
    fake.write_official(root, bodies)
    fake.write_images(root, bodies)
    before = by_name(Human36M(root, "test"))["S9/Walking 1.55011271"]
    flat = root / "S9/MyPoseFeatures/D2_Positions/Walking 1.55011271.cdf"
    flat.unlink()
    after = by_name(Human36M(root, "test"))["S9/Walking 1.55011271"]
    assert np.abs(before.joints - after.joints).max() < 1e-6
    fake.write_cdf(flat, np.zeros((1, 4, 64)))
    with pytest.raises(UserError, match=r"expected 3 frames.*got 4"):
        Human36M(root, "test")[1]


def test_missing_joints_are_masked(one):
    root, bodies = one
    bodies[9, "Walking 1"][0, 5] = np.nan
    bodies[9, "Walking 1"][1, 0] = np.nan  # the pelvis: no depths, no box
    fake.write_images(root, bodies)
    fake.write_world(root, bodies)
    track = Human36M(root, "test")[0]
    assert not track.valid[0, 5] and track.valid[0].sum() == 31 and track.depth_valid[0].sum() == 31
    assert track.valid[1].sum() == 31 and not track.depth_valid[1].any()
    assert np.isnan(track.boxes[1]).all() and np.isnan(track.root_depth_mm[1])
    assert (track.joints[~track.valid] == 0).all() and (track.joints[~track.depth_valid, 2] == 0).all()
    assert track.valid[2].all() and np.isfinite(track.joints).all()


def test_sequences_without_poses(authors):
    track = Human36M(authors, "released-test")[0]
    assert len(track) == 2 and not track.valid.any() and np.isnan(track.boxes).all()
    assert track.name == "a14_s02_e01_c01"


def test_where_frames_come_from(one):
    """Images where all are there or nothing else is; else the video, by S1's name where it is S1's."""
    root, bodies = one
    fake.write_world(root, bodies)
    with pytest.raises(UserError, match=r"Walking 1\.54138969\.mp4: not found, nor .*a14_s09_e01_c01"):
        Human36M(root, "test")[0]
    fake.write_images(root, bodies, step=64)  # as the authors extracted them
    assert isinstance(Human36M(root, "test")[0].frames, ImageFiles)
    video = root / "S9/Videos/Walking 1.54138969.mp4"
    video.parent.mkdir(parents=True)
    write_video(video, [np.full((64, 64, 3), fake.shade(i), np.uint8) for i in (1, 2, 3)], 50)
    track = Human36M(root, "test")[0]
    assert track.frames.path == video and abs(grey(track, 2) - fake.shade(3)) < 3
    fake.write_images(root, bodies)
    assert isinstance(Human36M(root, "test")[0].frames, ImageFiles)


@pytest.mark.parametrize("name", ["TakingPhoto", "Photo"])
def test_video_names_of_s1(tmp_path, bodies, name):
    np.savez(tmp_path / "data_3d_h36m.npz", positions_3d={"S1": {"Photo": bodies[1, "TakingPhoto"] / 1000}})
    video = tmp_path / "S1" / "Videos" / f"{name}.54138969.mp4"
    video.parent.mkdir(parents=True)
    video.write_bytes(b"")
    assert Human36M(tmp_path, "train")[0].frames.path == video


def test_other_files_among_the_official_ones(one):
    root, bodies = one
    fake.write_official(root, bodies)
    folder = root / "S9" / "MyPoseFeatures" / "D3_Positions_mono"
    for name in ("_ALL.54138969.cdf", "_ALL 1.54138969.cdf", "Jumping.54138969.cdf", "Walking.99999999.cdf"):
        (folder / name).write_bytes(b"")
    data = Human36M(root, "test")
    assert len(data) == 4
    assert sum("Jumping" in m or "99999999" in m for m in data.damaged) == 2
    assert sum("_ALL" in m for m in data.damaged) == 0 and any("S11" in m for m in data.damaged)


def test_a_damaged_file_of_poses(one):
    """It ends nothing until its turn comes, and its turn comes."""
    root, bodies = one
    fake.write_official(root, bodies)
    fake.write_images(root, bodies)
    path = root / "S9/MyPoseFeatures/D3_Positions_mono/Walking 1.55011271.cdf"
    path.write_bytes(path.read_bytes()[:700])
    data = Human36M(root, "test")
    assert list(data.lengths) == [3, 1, 3, 3] and len(data[0]) == 3
    with pytest.raises(UserError, match=r"Walking 1\.55011271\.cdf: expected a CDF"):
        data[1]
    fake.write_cdf(path, np.zeros((1, 3, 64)))
    with pytest.raises(UserError, match=r"expected 'Pose' 1 x F x 96, got \(1, 3, 64\)"):
        data[1]


def test_damaged_records_of_the_converted_form(one):
    root, bodies = one
    points = bodies[9, "Walking 1"].astype(np.float32) / 1000
    content = {"Walking": points, "Walking 1": points[:, :17], "Eating": "text", "Jumping": points, 5: points}
    np.savez(root / "data_3d_h36m.npz", positions_3d={"S9": content, "S11": {"Directions": points}})
    data = Human36M(root, "test")
    assert len(data) == 4 + 3 and len(data.damaged) == 4 + 1
    for name in ("Walking 1", "Eating", "Jumping", "5", "Directions.54138969"):
        assert any(name in message for message in data.damaged)


def test_damaged_records_of_the_authors_form(one):
    root, bodies = one
    points = bodies[9, "Walking 1"]
    good = [fake.sequence(points, [0, 1, 2], 9, "Walking 1", number) for number in LENSES]
    good[1]["name"] = "../../a14_s09_e01_c02"
    good[2]["camera_parameters"]["R"] = np.ones((3, 3))
    good[3]["frames"]["f"][0, 0] = 1.5
    good[0]["frames"]["w"][0, 2] = np.nan
    good[3]["frames"]["pose3d"][0, 1] = np.zeros((3, 17))
    scipy.io.savemat(root / "annotations.mat", {"sequences_val": fake.structs(good)})
    data = Human36M(root, "released-val")
    assert [(t.name, len(t)) for t in by_name(data).values()] == [
        ("a14_s09_e01_c01", 2),
        ("a14_s09_e01_c04", 1),
    ]
    assert len(data.damaged) == 4 and "2 damaged frames" in data.damaged[3]
    assert data[1].frames.paths[0].name == "00003.jpg"


def test_the_authors_file_under_its_released_name_and_as_cells(one):
    root, bodies = one
    fake.write_authors(root, bodies, "h36m_annotations.mat")
    assert len(Human36M(root, "released-val")) == 4
    cells = np.empty((1, 1), object)
    cells[0, 0] = fake.sequence(bodies[9, "Walking 1"], [0], 9, "Walking 1", "54138969")
    scipy.io.savemat(root / "annotations.mat", {"sequences_val": cells})
    assert by_name(Human36M(root, "released-val")).keys() == {"a14_s09_e01_c01"}


def test_the_official_form_comes_first(one):
    root, bodies = one
    fake.write_authors(root, bodies)
    with pytest.raises(UserError, match="released-train"):
        Human36M(root, "test")
    fake.write_world(root, {(9, "Walking 1"): bodies[9, "Walking 1"][:2]})
    assert list(Human36M(root, "test").lengths) == [2] * 4
    fake.write_official(root, bodies)
    assert list(Human36M(root, "test").lengths) == [3] * 4
    assert list(Human36M(root, "released-val").lengths) == [1] * 4


def test_nothing_there(tmp_path, one):
    with pytest.raises(UserError, match=r"D3_Positions_mono.*data_3d_h36m\.npz.*vision\.imar\.ro"):
        Human36M(tmp_path, "train")
    with pytest.raises(UserError, match=r"annotations\.mat: not found.*deephar"):
        Human36M(tmp_path, "released-val")
    with pytest.raises(UserError, match="unknown split 'val'"):
        Human36M(tmp_path, "val")
    root, bodies = one
    fake.write_official(root, bodies)
    with pytest.raises(UserError, match="no recording of the split 'train'"):
        Human36M(root, "train")


@pytest.mark.parametrize("content", [{}, [1], "text", {"S9": [1, 2]}, {"S9": 5}, np.zeros(3)])
def test_converted_form_of_another_shape(tmp_path, content):
    np.savez(tmp_path / "data_3d_h36m.npz", positions_3d=content)
    with pytest.raises(UserError):
        Human36M(tmp_path, "test")


def test_poisoned_converted_form(tmp_path):
    class Poison:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "it ran"),)

    np.savez(tmp_path / "data_3d_h36m.npz", positions_3d={"S9": Poison()})
    with pytest.raises(UserError, match=r"data_3d_h36m\.npz.*mkdir"):
        Human36M(tmp_path, "test")
    assert not (tmp_path / "it ran").exists()


def write_one(root, bodies, form):
    """A root of one recording; the file that is to be damaged, and the split."""
    fake.write_images(root, bodies)
    if form == "npz":
        fake.write_world(root, bodies)
        return root / "data_3d_h36m.npz", "test"
    if form == "mat":
        number = "54138969"
        sequences = [fake.sequence(bodies[9, "Walking 1"], [0, 2], 9, "Walking 1", number)]
        scipy.io.savemat(root / "annotations.mat", {"sequences_val": fake.structs(sequences)})
        return root / "annotations.mat", "released-val"
    fake.write_official(root, bodies)
    return root / "S9/MyPoseFeatures/D3_Positions_mono/Walking 1.54138969.cdf", "test"


def fuzz(root, bodies, form, count):
    path, split = write_one(root, bodies, form)
    data, rng, noticed = path.read_bytes(), np.random.default_rng(0), 0
    inner = zipfile.ZipFile(path).read("positions_3d.npy") if form == "npz" else b""
    for i in range(count):
        if form == "npz" and i % 2:  # what is in it, in an archive that is whole
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("positions_3d.npy", mutate(inner, rng))
        else:
            path.write_bytes(mutate(data, rng))
        try:
            tracks = Human36M(root, split)
            assert tracks.lengths[0] >= 1
            track = tracks[0]
            assert np.isfinite(track.joints).all() and (track.joints[~track.valid] == 0).all()
        except UserError as error:
            assert "\n" not in str(error)
            noticed += 1
    assert 0 < noticed < count


@pytest.mark.parametrize("form", ["cdf", "npz", "mat"])
def test_damage_of_any_kind(one, form):
    fuzz(*one, form, 60)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["cdf", "npz", "mat"])
def test_damage_of_any_kind_much(one, form):
    fuzz(*one, form, 2000)


def test_a_cdf_file_as_cdflib_reads_it(one):
    root, bodies = one
    fake.write_official(root, bodies)
    path = root / "S9/MyPoseFeatures/D2_Positions/Walking 1.54138969.cdf"
    assert load_cdf(path, "Pose").shape == (1, 3, 64)
