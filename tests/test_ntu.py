import pickle
import time

import numpy as np
import pytest
from fakes import ntu as fake
from fakes.damage import mutate

from poseact.data import ntu
from poseact.data.clips import Clips, Stills, released_slots
from poseact.data.ntu import FOCAL_PX, PUBLISHED, Ntu
from poseact.errors import UserError
from poseact.skeleton import COCO17, NTU25, PA20, convert

A, B, C, D = fake.NAMES


@pytest.fixture(scope="module")
def truths():
    return fake.make(fake.NAMES)


@pytest.fixture(scope="module")
def official(tmp_path_factory, truths):
    root = tmp_path_factory.mktemp("official")
    fake.write_official(root, truths)
    fake.write_videos(root, [A])
    return root


@pytest.fixture(scope="module")
def arrays(tmp_path_factory, truths):
    root = tmp_path_factory.mktemp("numpy")
    fake.write_numpy(root, truths[:2])
    return root


def one(root, truth):
    """The track of a single clip in the official form."""
    fake.write_official(root, [truth])
    return Ntu(root)[0]


def skeleton(root, name=A):
    return root / "nturgb+d_skeletons" / f"{name}.skeleton"


def truth_of(*bodies, frames=6, name=A):
    return fake.Truth(name, frames, list(bodies))


def assert_one_line(message):
    assert "\n" not in message and len(message) < 500


# What is read


def test_tracks_are_what_is_on_disk(official, truths):
    data = Ntu(official)
    assert len(data) == 4 and data.layout is NTU25 and not data.damaged and not data.without_skeleton
    assert list(data.lengths) == [t.frames for t in truths]
    for i, truth in enumerate(truths):
        track, points = data[i], truth.bodies[0].points
        assert len(track) == truth.frames and track.valid.all() and track.depth_valid.all()
        assert np.allclose(track.joints[..., :2], fake.colour(points), atol=1e-3)
        depth = (points[..., 2] - points[:, :1, 2]) * 1000
        assert np.allclose(track.joints[..., 2], depth, atol=2e-3) and (track.joints[:, 0, 2] == 0).all()
        assert np.allclose(track.root_depth_mm, points[:, 0, 2] * 1000, atol=2e-3)
        assert track.action == int(truth.name[-3:]) - 1 and truth.name in track.name
    assert data.actions[data[1].action] == "kick something"


def test_depth_grows_away_from_the_camera(tmp_path):
    """The fake's hands are in front of the root: their depth is negative."""
    track = one(tmp_path, fake.make([A])[0])
    assert (track.joints[:, NTU25.index("left_hand"), 2] < -50).all()


def test_metres_per_pixel_come_from_the_focal_length_of_the_clip(official, truths):
    track = Ntu(official)[0]
    assert np.allclose(track.metres_per_pixel, truths[0].bodies[0].points[:, 0, 2] / fake.FOCAL, rtol=1e-3)
    # Two joints, side by side at the root's depth, are as far apart as in camera space.
    a, b = NTU25.index("left_hip"), NTU25.index("right_hip")
    space = truths[0].bodies[0].points
    metres = np.linalg.norm(track.joints[:, a, :2] - track.joints[:, b, :2], axis=-1) * track.metres_per_pixel
    assert np.allclose(metres, np.linalg.norm(space[:, a, :2] - space[:, b, :2], axis=-1), rtol=0.06)


def test_usual_focal_length_where_the_clip_cannot_tell(tmp_path):
    """A single joint with colour coordinates gives no slope."""
    truth = fake.make([A])[0]
    truth.colour = {(0, f, j): ("nan", "nan") for f in range(truth.frames) for j in range(1, 25)}
    truth.colour |= {(0, f, 0): ("nan", "nan") for f in range(1, truth.frames)}
    track = one(tmp_path, truth)
    assert track.valid.sum() == 1
    assert np.allclose(track.metres_per_pixel * FOCAL_PX * 1000, track.root_depth_mm)


def test_small_images_and_their_joints_by_the_half_pixel_convention(arrays, truths):
    data = Ntu(arrays)
    track = data[0]
    assert list(data.lengths) == [t.frames for t in truths[:2]] and not data.damaged
    expected = (fake.colour(truths[0].bodies[0].points) + 0.5) / 2 - 0.5
    assert np.allclose(track.joints[..., :2], expected) and track.frames.paths[2].name == "00003.jpg"
    image = track.frames.read([2])[0][0]
    rows, columns = np.nonzero(np.abs(image.astype(int) - fake.BLOB).max(-1) < 90)
    assert np.abs([columns.mean(), rows.mean()] - track.joints[2, 0, :2]).max() < 0.75


@pytest.mark.parametrize("by_joint", [True, False])
def test_the_authors_arrays_give_the_official_track(tmp_path, official, truths, by_joint):
    fake.write_numpy(tmp_path, truths[:1], by_joint, images=False)
    a, b = Ntu(official)[0], Ntu(tmp_path)[0]
    assert np.allclose((a.joints[..., :2] + 0.5) / 2 - 0.5, b.joints[..., :2], atol=1e-3)
    assert np.allclose(a.joints[..., 2], b.joints[..., 2], atol=2e-3)
    assert (a.valid == b.valid).all() and (a.depth_valid == b.depth_valid).all() and a.action == b.action
    assert np.allclose(2 * a.metres_per_pixel, b.metres_per_pixel, rtol=1e-5)
    assert np.allclose(a.root_depth_mm, b.root_depth_mm, atol=2e-3)
    assert np.allclose(a.boxes[:, 2] / 2, b.boxes[:, 2], atol=1e-2)


def test_pyskls_3d_gives_the_official_depths_and_masks_what_it_lacks(tmp_path, official, truths):
    fake.write_pickle(tmp_path, [fake.record(t) for t in truths])
    data = Ntu(tmp_path)
    assert len(data) == 4 and data.layout is NTU25 and list(data.lengths) == list(Ntu(official).lengths)
    for i in range(4):
        a, b = Ntu(official)[i], data[i]
        assert (
            np.allclose(a.joints[..., 2], b.joints[..., 2], atol=4) and b.depth_valid.all()
        )  # float16: 2 mm
        assert np.allclose(a.root_depth_mm, b.root_depth_mm, atol=2) and a.action == b.action
        assert not b.valid.any() and (b.joints[..., :2] == 0).all()
        assert np.isnan(b.boxes).all() and np.isnan(b.metres_per_pixel).all()
    with pytest.raises(UserError, match="shows an annotated person"):
        Clips(data, 4)[0]


def test_pyskls_2d_is_read_in_cocos_layout(tmp_path, truths):
    records = [fake.record_2d(t) for t in truths[:2]]
    fake.write_pickle(tmp_path, records, "ntu60_hrnet.pkl")
    data = Ntu(tmp_path)
    track = data[0]
    assert data.layout is COCO17 and track.layout is COCO17 and len(data) == 2
    assert not track.valid[0, 3] and track.valid.sum() == track.valid.size - 1
    assert np.array_equal(track.joints[track.valid][:, :2], records[0]["keypoint"][0][track.valid])
    assert not track.depth_valid.any() and track.metres_per_pixel is None and track.root_depth_mm is None


def test_a_pickle_can_be_named_as_the_root(tmp_path, truths):
    fake.write_pickle(tmp_path, [fake.record(truths[0])])
    path = fake.write_pickle(tmp_path, [fake.record_2d(truths[0])], "mine.pkl")
    assert Ntu(tmp_path).layout is NTU25 and Ntu(path).layout is COCO17


# Splits


def ids(data):
    return [clip.id for clip in data._clips]


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("all", [A, B, C, D]), ("train", [A, C]), ("test", [B, D]), ("xsub-train", [A, C]),
        ("xsub-test", [B, D]), ("xview-train", [B, C]), ("xview-test", [A, D]),
    ],
)  # fmt: skip
def test_splits_by_person_and_by_camera(official, split, names):
    assert ids(Ntu(official, split)) == names


def test_published_counts_are_those_captured_less_302():
    assert PUBLISHED["all"] == 56880 - 302
    for train, test in (("train", "test"), ("xsub-train", "xsub-test"), ("xview-train", "xview-test")):
        assert PUBLISHED[train] + PUBLISHED[test] == PUBLISHED["all"]
    assert len(ntu.CROSS_SUBJECT_TRAIN) == 20


def test_unknown_split(official):
    with pytest.raises(UserError, match="unknown split 'val'; expected one of all, train"):
        Ntu(official, "val")


def test_empty_split(tmp_path):
    fake.write_official(tmp_path, fake.make([A]))
    with pytest.raises(UserError, match=r"split 'test', got none \(1 of other splits, 0 without"):
        Ntu(tmp_path, "test")


def test_ntu120s_actions_are_left_out_and_counted(tmp_path):
    more = fake.make([A, "S018C001P050R001A061", "S018C001P050R001A120"])
    fake.write_official(tmp_path / "a", more)
    fake.write_pickle(tmp_path / "b", [fake.record(t) for t in more])
    fake.write_numpy(tmp_path / "c", more, images=False)
    for form in "abc":
        data = Ntu(tmp_path / form)
        assert ids(data) == [A] and data.of_ntu120 == 2 and not data.damaged


# Several bodies


def test_main_actor_is_the_body_that_moves_most(tmp_path):
    rng = np.random.default_rng(1)
    still = fake.person(rng, 6, 0.002, x=-0.8, z=2.5, number=0)
    moving = fake.person(rng, 6, 0.08, x=0.7, number=1)
    track = one(tmp_path, truth_of(still, moving))
    assert np.allclose(track.joints[..., :2], fake.colour(moving.points), atol=1e-3) and track.valid.all()


def test_main_actor_is_the_same_in_pyskls_form(tmp_path):
    rng = np.random.default_rng(1)
    bodies = [fake.person(rng, 6, 0.002, z=2.5), fake.person(rng, 6, 0.08, number=1)]
    fake.write_pickle(tmp_path, [fake.record(truth_of(*bodies))])
    assert np.allclose(Ntu(tmp_path)[0].root_depth_mm, bodies[1].points[:, 0, 2] * 1000, atol=2)


def test_bodies_that_change_order_are_followed_by_id(tmp_path):
    """The fake lists the bodies the other way round in every second frame."""
    rng = np.random.default_rng(2)
    bodies = [fake.person(rng, 7, 0.05, x=-0.8), fake.person(rng, 7, 0.01, x=0.8, number=1)]
    truth = truth_of(*bodies, frames=7)
    text = fake.skeleton_text(truth, "\n").split("\n")
    assert text[2].split()[0] == bodies[0].id != text[2 + 2 * 27 + 1].split()[0]
    track = one(tmp_path, truth)
    assert np.allclose(track.joints[..., :2], fake.colour(bodies[0].points), atol=1e-3)


def test_frames_before_a_body_appears_are_masked(tmp_path):
    rng = np.random.default_rng(3)
    early, late = fake.person(rng, 8, 0.001), fake.person(rng, 8, 0.1, x=0.5, number=1)
    early.shown[:] = [True] * 5 + [False] * 3
    late.shown[:3] = False
    track = one(tmp_path, truth_of(early, late, frames=8))
    assert np.array_equal(track.valid.all(1), late.shown) and np.array_equal(track.valid.any(1), late.shown)
    assert np.isnan(track.boxes[:3]).all() and np.isfinite(track.boxes[3:]).all()
    assert np.isnan(track.metres_per_pixel[:3]).all() and np.isnan(track.root_depth_mm[:3]).all()
    assert (track.joints[:3] == 0).all() and not track.depth_valid[:3].any()
    assert np.allclose(track.joints[3:, :, :2], fake.colour(late.points)[3:], atol=1e-3)


def test_of_bodies_that_move_alike_the_one_seen_longest_is_the_main_actor(tmp_path):
    """In a single frame nothing moves."""
    rng = np.random.default_rng(5)
    absent, shown = fake.person(rng, 1), fake.person(rng, 1, x=0.5, number=1)
    record = fake.record(truth_of(absent, shown, frames=1))
    record["keypoint"][0] = 0
    fake.write_pickle(tmp_path, [record])
    assert Ntu(tmp_path)[0].root_depth_mm[0] == pytest.approx(shown.points[0, 0, 2] * 1000, abs=2)


# Sides


def test_sides_are_those_that_the_file_names(official, truths):
    """Kinect's joint 4 is its left shoulder, 8 its right."""
    track = Ntu(official)[0]
    space = fake.colour(truths[0].bodies[0].points)
    for name, number in (
        ("left_shoulder", 4),
        ("right_shoulder", 8),
        ("left_ankle", 14),
        ("right_thumb", 24),
    ):
        assert np.allclose(track.joints[:, NTU25.index(name), :2], space[:, number], atol=1e-3)


def test_the_frames_look_mirrored_and_released_slots_put_the_sides_where_photographs_have_them(official):
    """The fake's people face the camera; in a photograph their own right would be on the image's left."""
    track = Ntu(official)[0]
    left, right = NTU25.index("left_shoulder"), NTU25.index("right_shoulder")
    assert (track.joints[:, left, 0] < track.joints[:, right, 0]).all()
    released = released_slots(track)
    assert (released.joints[:, right, 0] < released.joints[:, left, 0]).all()
    assert released.layout is NTU25 and np.array_equal(released_slots(released).joints, track.joints)


def test_released_slots_are_the_authors_map_to_the_network(official):
    track = Ntu(official)[0]
    authors = [0, 20, 2, 3, 4, 8, 5, 9, 6, 10, 7, 11, 12, 16, 13, 17, 14, 18, 15, 19]
    released = released_slots(track)
    for name in ("joints", "valid", "depth_valid"):
        in_network = convert(getattr(released, name), NTU25, PA20, 1)
        assert np.array_equal(in_network, getattr(track, name)[:, authors])
    assert not np.array_equal(convert(track.joints, NTU25, PA20, 1), track.joints[:, authors])


# Missing skeletons and videos


def test_clips_without_a_skeleton_are_left_out_and_told(tmp_path, truths):
    fake.write_official(tmp_path, truths[:2])
    skeleton(tmp_path, C).write_text("3\r\n0\r\n0\r\n0\r\n")
    fake.write_videos(tmp_path, [A, B, C, D])
    skeleton(tmp_path, "S003C001P001R001A001").write_text("")
    data = Ntu(tmp_path)
    assert ids(data) == [A, B] and data.without_skeleton == [C, "S003C001P001R001A001", D]
    assert Ntu(tmp_path, "test").without_skeleton == [D]


def test_clips_that_the_makers_call_incomplete_are_left_out_and_told(tmp_path, truths):
    listed = "S001C003P005R002A004"
    fake.write_official(tmp_path, [*fake.make([listed]), *truths[:2]])
    data = Ntu(tmp_path)
    assert ids(data) == [A, B] and data.without_skeleton == [listed]


def test_what_is_left_out_leaves_the_published_numbers():
    captured = {
        "all": 56880,
        "xsub-train": 40320,
        "xsub-test": 16560,
        "xview-train": 37920,
        "xview-test": 18960,
    }
    for split, count in captured.items():
        left_out = sum(ntu._in_split(name, split) for name in ntu.INCOMPLETE)
        assert count - left_out == PUBLISHED[split], split


def test_what_three_cameras_saw_is_one_group(tmp_path):
    names = ["S001C001P001R001A001", "S001C002P001R001A001", "S001C002P001R002A001"]
    fake.write_official(tmp_path, fake.make(names))
    one, same, other = (track.group for track in Ntu(tmp_path))
    assert one == same != other


def test_a_body_that_trembles_is_not_the_main_actor(tmp_path):
    """A false one on a chair: its path is long, and it goes nowhere."""
    rng = np.random.default_rng(0)
    still, walker = (np.tile(rng.normal((0, 0, 3), 0.3, (25, 3)), (40, 1, 1)) for _ in range(2))
    still += rng.normal(0, 0.03, still.shape)
    walker[..., 0] += np.linspace(0, 1.2, 40)[:, None]
    path = [np.linalg.norm(np.diff(body, axis=0), axis=-1).sum() for body in (still, walker)]
    assert path[0] > 1.5 * path[1] and ntu._main_actor(np.stack([still, walker])) == 1


def test_folders_of_small_images_without_an_array_are_told(tmp_path, truths):
    fake.write_numpy(tmp_path, truths[:1], images=False)
    (tmp_path / "images-small" / B).mkdir(parents=True)
    assert Ntu(tmp_path).without_skeleton == [B]


def test_videos_without_a_record_are_told(tmp_path, truths):
    fake.write_pickle(tmp_path, [fake.record(truths[0])])
    fake.write_videos(tmp_path, [A, D])
    assert Ntu(tmp_path).without_skeleton == [D]


def test_frames_come_from_the_video(official):
    frames = Ntu(official)[0].frames
    images, _ = frames.read([0, 5])
    assert [round(float(image.mean())) for image in images] == pytest.approx([20, 170], abs=6)


@pytest.mark.parametrize("form", ["official", "pickle"])
def test_a_missing_video_raises_when_frames_are_read(tmp_path, truths, form):
    if form == "official":
        fake.write_official(tmp_path, truths[:1])
    else:
        fake.write_pickle(tmp_path, [fake.record(truths[0])])
    track = Ntu(tmp_path)[0]
    assert len(track.frames) == len(track) and track.depth_valid.all()
    with pytest.raises(UserError, match=f"expected {A}_rgb.avi"):
        track.frames.read([0])


def test_a_missing_small_image_raises_when_it_is_read(tmp_path, truths):
    fake.write_numpy(tmp_path, truths[:1])
    (tmp_path / "images-small" / A / "00002.jpg").unlink()
    frames = Ntu(tmp_path)[0].frames
    frames.read([0])
    with pytest.raises(UserError, match=r"00002\.jpg"):
        frames.read([1])


def test_files_are_found_two_folders_deep_and_image_folders_are_not_looked_into(tmp_path, truths):
    fake.write_official(tmp_path / "skeletons_s001", truths[:1])
    fake.write_videos(tmp_path / "rgb_s001", [A])
    for folder in (tmp_path / "images" / "x", tmp_path / "nturgb+d_depth" / B):
        folder.mkdir(parents=True)
        (folder / f"{B}.skeleton").write_text(fake.skeleton_text(truths[1]))
    data = Ntu(tmp_path)
    assert ids(data) == [A] and data[0].frames.path == tmp_path / f"rgb_s001/nturgb+d_rgb/{A}_rgb.avi"


def test_which_form_is_taken_where_several_are_there(tmp_path, truths):
    fake.write_pickle(tmp_path, [fake.record(t) for t in truths])
    fake.write_official(tmp_path, truths[:3])
    assert len(Ntu(tmp_path)) == 3 and Ntu(tmp_path)[0].valid.all()
    fake.write_numpy(tmp_path, truths[:2], images=False)
    assert len(Ntu(tmp_path)) == 2  # skeletons have no videos, so there the images are
    fake.write_videos(tmp_path, [A])
    assert len(Ntu(tmp_path)) == 3


def test_missing_folder(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: not found.*--root"):
        Ntu(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"expected \.skeleton files.*found none"):
        Ntu(tmp_path)


# Colour coordinates that are not there


@pytest.mark.parametrize(
    "words",
    [("nan", "nan"), ("-inf", "inf"), ("0", "0"), ("1.#QNAN", "-1.#INF"), ("NaN", "500"), ("1e300", "5")],
)
def test_colour_coordinates_that_are_not_there_are_masked(tmp_path, words):
    truth = fake.make([A])[0]
    truth.colour = {(0, 2, 7): words}
    track = one(tmp_path, truth)
    assert not track.valid[2, 7] and track.valid.sum() == track.valid.size - 1
    assert (track.joints[2, 7, :2] == 0).all() and np.isfinite(track.joints).all()
    assert track.depth_valid.all() and track.joints[2, 7, 2] != 0
    assert np.isfinite(track.boxes).all()
    assert np.allclose(track.metres_per_pixel * fake.FOCAL * 1000, track.root_depth_mm, rtol=1e-3)


def test_missing_root_masks_every_depth_of_the_frame(tmp_path):
    truth = fake.make([A])[0]
    lines = fake.skeleton_text(truth, "\n").split("\n")
    lines[4] = " ".join(["nan"] * 3 + lines[4].split()[3:])
    fake.write_official(tmp_path, [truth])
    skeleton(tmp_path).write_text("\n".join(lines))
    track = Ntu(tmp_path)[0]
    assert not track.depth_valid[0].any() and track.depth_valid[1:].all() and track.valid.all()
    assert (track.joints[0, :, 2] == 0).all() and np.isnan(track.metres_per_pixel[0])


def test_missing_values_in_the_authors_arrays_are_masked(tmp_path, truths):
    fake.write_numpy(tmp_path, truths[:1], images=False)
    path = tmp_path / "nturgb+d_numpy" / f"{A}.npy"
    rows = np.load(path)
    rows[1, 76 + 5], rows[2, 126 + 6], rows[3, 1:] = np.nan, 0, np.nan
    np.save(path, rows)
    track = Ntu(tmp_path)[0]
    assert not track.valid[1, 5] and not track.depth_valid[2, 6] and not track.valid[3].any()
    assert track.valid.sum() == track.valid.size - 26 and np.isnan(track.boxes[3]).all()
    assert np.isfinite(track.joints).all()


# Damage


@pytest.mark.parametrize(
    ("line", "text", "expected"),
    [
        (5, "0.2 0.1 3.7 277", r"line 6: expected a joint \(12 numbers\), got '0.2 0.1 3.7 277'"),
        (5, "0.2 0.1 3.7 277 19 x 519 0 0 0 0 2", "line 6: expected a joint"),
        (1, "one", "line 2: expected the number of bodies of frame 1"),
        (1, "-1", "line 2: expected the number of bodies"),
        (1, "1.5", "line 2: expected the number of bodies"),
        (2, "720575 0 1", "line 3: expected a body"),
        (3, "20", "line 4: expected 25 joints"),
        (0, "many", "line 1: expected the number of frames, got 'many'"),
        (0, "999999999", "line 1: expected the number of frames"),
        (9, "", "line 10: expected a joint"),
    ],
)
def test_damaged_line_is_told_with_file_and_number(tmp_path, truths, line, text, expected):
    fake.write_official(tmp_path, truths[:2])
    lines = skeleton(tmp_path).read_text().split("\n")
    lines[line] = text
    skeleton(tmp_path).write_text("\n".join(lines))
    data = Ntu(tmp_path)
    with pytest.raises(UserError, match=rf"{A}\.skeleton: {expected}") as caught:
        data[0]
    assert_one_line(str(caught.value))
    assert data[1].valid.all()


@pytest.mark.parametrize("header", [-1, 1])
def test_frame_count_that_differs_from_the_content(tmp_path, truths, header):
    fake.write_official(tmp_path, truths[:1])
    text = skeleton(tmp_path).read_text().split("\n", 1)
    skeleton(tmp_path).write_text(f"{truths[0].frames + header}\n{text[1]}")
    data = Ntu(tmp_path)
    expected = "expected the end after the" if header < 0 else "the file ends before the number of bodies"
    with pytest.raises(UserError, match=expected):
        data[0]


def test_truncated_skeleton(tmp_path, truths):
    fake.write_official(tmp_path, truths[:1])
    path = skeleton(tmp_path)
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(UserError, match=rf"{A}\.skeleton: line \d+: "):
        Ntu(tmp_path)[0]


def test_lengths_read_the_first_lines_only(official, truths, monkeypatch):
    monkeypatch.setattr(ntu, "_read_skeleton", None)
    data = Ntu(official)
    assert list(data.lengths) == [t.frames for t in truths] and data.lengths is data.lengths
    assert len(Stills(data)) == sum(t.frames for t in truths)


def test_a_damaged_head_has_length_0_and_is_told(tmp_path, truths):
    fake.write_official(tmp_path, truths[:2])
    skeleton(tmp_path).write_text("many\n1\n")
    data = Ntu(tmp_path)
    assert list(data.lengths) == [0, truths[1].frames] and len(data.damaged) == 1
    assert_one_line(data.damaged[0])


@pytest.mark.parametrize("damage", ["truncate", "foreign", "columns", "objects", "numbers", "empty"])
def test_damaged_array_raises_when_it_is_read(tmp_path, truths, damage):
    fake.write_numpy(tmp_path, truths[:2], images=False)
    path = tmp_path / "nturgb+d_numpy" / f"{A}.npy"
    rows = np.load(path)
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "foreign":
        path.write_bytes(b"no array")
    elif damage == "columns":
        np.save(path, rows[:, :150])
    elif damage == "objects":
        np.save(path, rows.astype(object), allow_pickle=True)
    elif damage == "numbers":
        rows[2, 0] = np.nan
        np.save(path, rows)
    else:
        np.save(path, rows[:0])
    data = Ntu(tmp_path)
    with pytest.raises(UserError, match=rf"{A}\.npy: expected") as caught:
        data[0]
    assert_one_line(str(caught.value))
    assert data[1].valid.all()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"frame_dir": "../../S001"}, "expected a dict with a 'frame_dir'"),
        ({"frame_dir": 7}, "expected a dict with a 'frame_dir'"),
        ({"label": 5}, "expected the label of"),
        ({"label": np.zeros(3)}, "expected the label of"),
        ({"keypoint": np.zeros((1, 4, 25))}, "expected keypoints M x T x V x C"),
        ({"keypoint": np.zeros((0, 4, 25, 3))}, "expected keypoints M x T x V x C"),
        ({"keypoint": np.zeros((1, 4, 18, 2))}, "expected keypoints 25 x 3 or 17 x 2"),
        ({"keypoint": [[1]]}, "expected keypoints M x T x V x C"),
        ({"total_frames": 3}, "total_frames of"),
        ({"keypoint_score": np.zeros((1, 2, 25))}, "expected a keypoint_score for each"),
        ({"frame_dir": A, "label": 0}, "once, got another"),
    ],
)
def test_damaged_record_is_left_out_and_told(tmp_path, truths, change, expected):
    records = [fake.record(t) for t in truths[:3]]
    records[1] |= change
    fake.write_pickle(tmp_path, records)
    data = Ntu(tmp_path)
    assert ids(data) == [A, C] and len(data.damaged) == 1 and expected in data.damaged[0]
    assert_one_line(data.damaged[0])


@pytest.mark.parametrize("record", [None, 5, [], {}])
def test_record_that_is_no_record(tmp_path, truths, record):
    fake.write_pickle(tmp_path, [record, fake.record(truths[0])])
    data = Ntu(tmp_path)
    assert ids(data) == [A] and len(data.damaged) == 1


def test_records_of_another_layout_are_left_out(tmp_path, truths):
    fake.write_pickle(tmp_path, [fake.record(truths[0]), fake.record_2d(truths[1])])
    data = Ntu(tmp_path)
    assert ids(data) == [A] and "in ntu25 as the others, got coco17" in data.damaged[0]


class _Runs:
    def __reduce__(self):
        return (print, ("this must not be run",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path, capsys):
    (tmp_path / "ntu60_3danno.pkl").write_bytes(pickle.dumps({"annotations": [_Runs()]}))
    with pytest.raises(UserError, match=r"ntu60_3danno\.pkl"):
        Ntu(tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("content", [[1], {"annotations": 5}, {"split": {}}])
def test_a_pickle_of_something_else(tmp_path, content):
    (tmp_path / "ntu60_3danno.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match="expected a dict with the list 'annotations'"):
        Ntu(tmp_path)


def read_all(root):
    data = Ntu(root)
    for i, length in enumerate(data.lengths):
        track = data[i]
        assert len(track) == length and np.isfinite(track.joints).all()
    for message in data.damaged:
        assert_one_line(message)


def fuzz(root, form, count):
    rng = np.random.default_rng(11)
    truth = truth_of(*(fake.person(rng, 2, number=m) for m in range(2)), frames=2)
    if form == "skeleton":
        fake.write_official(root, [truth])
        path = skeleton(root)
    elif form == "numpy":
        fake.write_numpy(root, [truth], images=False)
        path = root / "nturgb+d_numpy" / f"{A}.npy"
    else:
        record = fake.record(truth) if form == "3d" else fake.record_2d(truth)
        path = fake.write_pickle(root, [record])
    original = path.read_bytes()
    read_all(root)
    for number in range(count):
        # Heads are short beside the numbers, so every second mutation is near the beginning.
        cut = 200 if number % 2 else len(original)
        path.write_bytes(mutate(original[:cut], rng) + original[cut:])
        start = time.perf_counter()
        try:
            read_all(root)
        except UserError as error:
            assert "\n" not in str(error)
        assert time.perf_counter() - start < 5


FORMS = ["skeleton", "numpy", "3d", "2d"]


@pytest.mark.parametrize("form", FORMS)
def test_damaged_bytes_never_end_in_another_exception(tmp_path, form):
    fuzz(tmp_path, form, 60)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_damaged_bytes_never_end_in_another_exception_at_length(tmp_path, form):
    fuzz(tmp_path, form, 2000)
