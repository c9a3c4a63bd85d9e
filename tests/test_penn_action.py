import time

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from fakes import penn_action as fake
from fakes.damage import mutate

from poseact.data.clips import Clips, Stills, joint_boxes, released_slots
from poseact.data.penn_action import PUBLISHED, ClipKey, PennAction, read_predicted_boxes
from poseact.errors import UserError
from poseact.geometry import Box
from poseact.skeleton import PA16, PENN13, convert


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("penn")
    return root, fake.write(root)


@pytest.fixture
def root(tmp_path):
    fake.write(tmp_path)
    return tmp_path


def rewrite(path, **fields):
    """Change variables of a label; None takes one away."""
    mat = {k: v for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")} | fields
    scipy.io.savemat(path, {k: v for k, v in mat.items() if v is not None})


def assert_one_line(message):
    assert "\n" not in message and len(message) < 400


def test_tracks_are_what_is_on_disk(written):
    root, truths = written
    data = PennAction(root)
    assert len(data) == 4 and data.layout is PENN13 and not data.damaged
    assert list(data.lengths) == [len(t.x) for t in truths] == [len(data[i]) for i in range(4)]
    for track, truth in zip((data[i] for i in range(4)), truths, strict=True):
        assert (track.valid == truth.visibility).all() and not track.depth_valid.any()
        points = np.stack([truth.x, truth.y], -1)
        assert np.allclose(track.joints[track.valid][:, :2], points[track.valid])
        assert data.actions[track.action] == truth.action
        assert track.metres_per_pixel is None and f"{truth.number:04d}.mat" in track.name


def test_joints_that_are_not_visible_are_masked_and_zero(written):
    data = PennAction(written[0])
    tracks = [data[i] for i in range(4)]
    hidden = np.concatenate([t.joints[~t.valid] for t in tracks])
    assert len(hidden) > 10 and (hidden == 0).all()


def test_pixels_of_the_file_are_one_based(written):
    """The blob drawn at the head's 0-based place is where the track says."""
    track = PennAction(written[0])[0]
    images, reduced = track.frames.read([2])
    x, y = track.joints[2, PENN13.index("head"), :2]
    assert reduced == 1
    distance = np.abs(images[0].astype(int) - fake.BLOB).max(-1)
    rows, columns = np.nonzero(distance < 90)
    assert np.abs([columns.mean() - x, rows.mean() - y]).max() < 0.75


def test_boxes_enclose_the_visible_joints_by_half_more(written):
    track = PennAction(written[0])[1]
    points = track.joints[0, track.valid[0], :2]
    assert track.boxes[0, 2] == pytest.approx(1.5 * (points.max(0) - points.min(0)).max())
    assert np.allclose(track.boxes[0, :2], (points.max(0) + points.min(0)) / 2)


def test_both_forms_give_the_same_tracks(written):
    root = written[0]
    for name in ("train", "test"):
        official, released = PennAction(root, name), PennAction(root, f"released-{name}")
        assert len(official) == len(released) == 2 and list(official.lengths) == list(released.lengths)
        for i in range(2):
            a, b = official[i], released[i]
            assert np.allclose(a.joints, b.joints) and (a.valid == b.valid).all()
            assert (a.depth_valid == b.depth_valid).all() and a.action == b.action
            assert np.allclose(a.boxes, b.boxes) and a.frames == b.frames


def test_nested_cells_of_structs_are_read_too(tmp_path, written):
    root, truths = written
    cells = np.empty((2, 1), object)
    cells[:, 0] = [fake.sequence(t) for t in truths if t.train == 1]
    scipy.io.savemat(tmp_path / "annotations.mat", {"sequences_tr": cells})
    data, expected = PennAction(tmp_path, "released-train"), PennAction(root, "released-train")
    assert all(np.array_equal(data[i].joints, expected[i].joints) for i in range(2))


def test_splits_follow_the_labels(written):
    root, truths = written
    for split, sign in (("train", 1), ("test", -1)):
        data = PennAction(root, split)
        assert data.indices == [i for i, t in enumerate(truths) if t.train == sign]
    assert PUBLISHED["train"] + PUBLISHED["test"] == PUBLISHED["all"]


def test_sides_are_those_that_the_file_lists(written):
    """The fake's people face the camera, so their own left, listed first, is on the image's right."""
    track = PennAction(written[0])[0]
    left, right = PENN13.index("left_shoulder"), PENN13.index("right_shoulder")
    assert (left, right) == (1, 2)
    assert (track.joints[:, left, 0] > track.joints[:, right, 0]).all()


def test_the_released_protocol_puts_the_first_listed_side_into_the_right_slots(written):
    track = PennAction(written[0])[0]
    released = released_slots(track)
    assert released.layout is PENN13
    from_head = slice(3, None)  # PA16: head, then the right and the left of each joint
    for name in ("joints", "valid"):
        in_network = convert(getattr(released, name), PENN13, PA16, 1)
        assert (in_network[:, from_head] == getattr(track, name)).all()
    assert not np.array_equal(
        convert(track.joints, PENN13, PA16, 1), convert(released.joints, PENN13, PA16, 1)
    )
    assert np.array_equal(released_slots(released).joints, track.joints)
    assert np.array_equal(released.boxes, joint_boxes(released.joints, released.valid))


def test_clips_and_stills_can_be_taken(written):
    data = PennAction(written[0], "test")
    clip = Clips(data, 4)[0]
    assert clip.joints.shape == (4, 13, 3) and clip.action == data[0].action
    assert len(Stills(data)) == sum(data.lengths)


@pytest.mark.parametrize("field", ["x", "y", "visibility"])
def test_fields_of_different_length_use_the_frames_that_all_have(root, field):
    path = root / "labels" / "0001.mat"
    before = PennAction(root)[0]
    rewrite(path, **{field: scipy.io.loadmat(path)[field][:-2]})
    data = PennAction(root)
    assert not data.damaged and data.lengths[0] == len(data[0]) == len(data[0].frames) == len(before) - 2
    assert np.array_equal(data[0].joints, before.joints[:-2])


@pytest.mark.parametrize(("nframes", "length"), [(3, 3), (500, None)])
def test_frame_count_that_differs_from_the_annotation(root, nframes, length):
    before = PennAction(root).lengths[0]
    rewrite(root / "labels" / "0001.mat", nframes=nframes)
    assert PennAction(root).lengths[0] == (length or before)


@pytest.mark.parametrize("split", ["all", "released-train"])
def test_fewer_images_than_annotated_frames_shorten_the_clip(root, split):
    before = PennAction(root, split)[0]
    for path in sorted((root / "frames" / "0001").iterdir())[-2:]:
        path.unlink()
    track = PennAction(root, split)[0]
    assert len(track) == len(track.frames) == len(before) - 2
    assert np.array_equal(track.valid, before.valid[:-2])


def test_no_frame_in_common_is_damaged(root):
    rewrite(root / "labels" / "0001.mat", nframes=0)
    data = PennAction(root)
    assert len(data) == 3 and data.indices == [1, 2, 3]
    assert len(data.damaged) == 1 and "0001.mat: expected at least one frame" in data.damaged[0]


@pytest.mark.parametrize("missing", ["image", "folder"])
def test_missing_images_raise_when_they_are_read(root, missing):
    folder = root / "frames" / "0001"
    for path in sorted(folder.iterdir())[1 : 2 if missing == "image" else None]:
        path.unlink()
    if missing == "folder":
        next(folder.iterdir()).unlink()
        folder.rmdir()
    data = PennAction(root)
    assert not data.damaged and len(data) == 4
    with pytest.raises(UserError, match=r"0001.000002\.jpg"):
        data[0].frames.read([0, 1] if missing == "image" else [1])


def test_damaged_image_raises_when_it_is_read(root):
    path = root / "frames" / "0002" / "000003.jpg"
    path.write_bytes(path.read_bytes()[:40])
    track = PennAction(root)[1]
    track.frames.read([0])
    with pytest.raises(UserError, match="000003"):
        track.frames.read([2])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"action": "juggling"}, "expected 'action'"),
        ({"action": None}, "expected 'action'"),
        ({"x": np.zeros((5, 12))}, "expected 'x' n x 13"),
        ({"y": "text"}, "expected 'y' n x 13"),
        ({"visibility": None}, "expected 'visibility' n x 13, got nothing"),
        ({"train": 0}, "expected 'train' 1 or -1"),
        ({"nframes": np.nan}, "expected a number 'nframes'"),
    ],
)
def test_damaged_label_is_left_out_and_told(root, fields, expected):
    rewrite(root / "labels" / "0002.mat", **fields)
    data = PennAction(root)
    assert len(data) == 3 and data.indices == [0, 2, 3]
    (message,) = data.damaged
    assert "0002.mat" in message and expected in message
    assert_one_line(message)


@pytest.mark.parametrize("damage", ["truncate", "foreign", "empty"])
def test_label_that_is_no_mat_file_is_left_out(root, damage):
    path = root / "labels" / "0002.mat"
    path.write_bytes({"truncate": path.read_bytes()[:300], "foreign": b"no mat file", "empty": b""}[damage])
    data = PennAction(root)
    assert len(data) == 3 and len(data.damaged) == 1 and "0002.mat" in data.damaged[0]
    assert_one_line(data.damaged[0])


def test_variables_that_nobody_needs_are_skipped_whatever_they_are(root):
    before = PennAction(root)[0]
    mess = np.array([["text", np.zeros(3)]], object)
    rewrite(root / "labels" / "0001.mat", mess=mess, sparse=scipy.sparse.eye_array(3), z=np.array([1j]))
    data = PennAction(root)
    assert not data.damaged and np.array_equal(data[0].joints, before.joints)


def test_numbers_that_are_no_pixels_are_masked(root):
    path = root / "labels" / "0001.mat"
    x = scipy.io.loadmat(path)["x"]
    x[0, 0], x[0, 1], x[0, 2] = np.nan, np.inf, 1e300
    rewrite(path, x=x)
    track = PennAction(root)[0]
    assert not track.valid[0, :3].any() and (track.joints[0, :3] == 0).all()
    assert np.isfinite(track.boxes[0]).all()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"action_id": 16.0}, "expected action_id 1 to 15, got 16"),
        ({"action_id": np.zeros((0, 0))}, "expected idx, action_id, frames"),
        ({"idx": -3.0}, "expected idx and f from 1"),
        ({"idx": "../../etc"}, "expected idx, action_id, frames"),
        ({"frames": np.zeros((0, 0))}, "expected idx, action_id, frames"),
    ],
)
def test_damaged_sequence_of_the_authors_is_left_out_and_keeps_the_others_places(tmp_path, fields, expected):
    truths = fake.make(6)
    fake.write_frames(tmp_path, truths)
    fake.write_released(tmp_path, truths, {2: fields})
    data = PennAction(tmp_path, "released-test")
    assert data.indices == [1, 2] and len(data) == 2
    (message,) = data.damaged
    assert "sequences_te 1" in message and expected in message
    assert_one_line(message)


def test_zero_in_the_authors_pose_is_missing(tmp_path):
    truths = fake.make(2)
    truths[0].visibility[:] = True
    wrong = fake.sequence(truths[0])
    wrong["frames"]["pose"][0, 0][:, 4] = 0
    fake.write_released(tmp_path, truths, {1: wrong})
    track = PennAction(tmp_path, "released-train")[0]
    assert not track.valid[0, 4] and track.valid.sum() == track.valid.size - 1


def test_missing_folder(tmp_path):
    with pytest.raises(UserError, match=r"labels: not found.*--root"):
        PennAction(tmp_path)
    with pytest.raises(UserError, match=r"annotations\.mat: not found.*v0\.3"):
        PennAction(tmp_path, "released-test")


def test_only_the_authors_annotations_says_which_splits_they_have(tmp_path):
    fake.write_released(tmp_path, fake.make(2))
    with pytest.raises(UserError, match="use the split 'released-train'"):
        PennAction(tmp_path, "train")


def test_unknown_split(root):
    with pytest.raises(UserError, match="unknown split 'val'; expected one of all, train"):
        PennAction(root, "val")


def test_nothing_left_is_an_error(root):
    for path in (root / "labels").iterdir():
        path.write_bytes(b"no mat file")
    with pytest.raises(UserError, match="expected clips of the split 'all', got none"):
        PennAction(root)


def test_predicted_boxes(tmp_path):
    path = tmp_path / "penn_pred_bboxes_16f.json"
    entries = fake.write_boxes(path)
    boxes, damaged = read_predicted_boxes(path)
    assert len(boxes) == len(entries) == 8 and not damaged
    x1, y1, x2, y2 = entries["0001.2.000.1"]
    box = boxes[ClipKey(1, 2, 0, True)]
    assert box.side == pytest.approx(x2 - x1) and box.centre == pytest.approx(((x1 + x2) / 2, (y1 + y2) / 2))


def test_oblong_predicted_box_becomes_the_square_around_it(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text('{"0000.1.002.0": [10, 20, 30, 60]}')
    assert read_predicted_boxes(path)[0] == {ClipKey(0, 1, 2, False): Box((20, 40), 40)}


@pytest.mark.parametrize(
    "entry",
    [
        '"0001.2.001": [1, 2, 3, 4]', '"0001.2.001.7": [1, 2, 3, 4]', '"../x": [1, 2, 3, 4]',
        '"0001.2.001.1": [1, 2, 3]', '"0001.2.001.1": null', '"0001.2.001.1": [NaN, 2, 3, 4]',
        '"0001.2.001.1": [3, 2, 1, 4]', '"0001.2.001.1": [1, 2, 1e999, 4]', '"0001.2.001.1": [[], 2, 3, 4]',
    ],
)  # fmt: skip
def test_damaged_predicted_box_is_left_out_and_told(tmp_path, entry):
    path = tmp_path / "boxes.json"
    path.write_text(f'{{"0000.1.000.0": [1, 2, 3, 4], {entry}}}')
    boxes, damaged = read_predicted_boxes(path)
    assert list(boxes) == [ClipKey(0, 1, 0, False)] and len(damaged) == 1
    assert_one_line(damaged[0])


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", '{"a": 1', "[" * 100_000, "\x00\xff"])
def test_predicted_boxes_that_are_no_json_object(tmp_path, text):
    path = tmp_path / "boxes.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"boxes\.json: expected a JSON object"):
        read_predicted_boxes(path)


def survive(read, path, original, rng):
    """Only `UserError` or a normal answer, and soon."""
    path.write_bytes(mutate(original, rng))
    start = time.perf_counter()
    try:
        read()
    except UserError as error:
        assert_one_line(str(error))
    assert time.perf_counter() - start < 5


def fuzz(tmp_path, form, count):
    rng = np.random.default_rng(7)
    truths = fake.make(2)
    if form == "boxes":
        path = tmp_path / "boxes.json"
        fake.write_boxes(path)

        def read():
            for message in read_predicted_boxes(path)[1]:
                assert_one_line(message)
    else:
        split = "released-train" if form == "released" else "all"
        truths[0].x, truths[0].y = truths[0].x[:2], truths[0].y[:2]
        truths[0].visibility = truths[0].visibility[:2]
        path = tmp_path / ("annotations.mat" if form == "released" else "labels/0001.mat")
        fake.write_official(tmp_path, truths, compress=form == "labels")
        fake.write_released(tmp_path, truths[:1])

        def read():
            data = PennAction(tmp_path, split)
            for message in data.damaged:
                assert_one_line(message)
            for i in range(len(data)):
                assert np.isfinite(data[i].joints).all() and len(data[i]) == data.lengths[i]

    original = path.read_bytes()
    read()
    for _ in range(count):
        survive(read, path, original, rng)


FORMS = ["labels", "labels without compression", "released", "boxes"]


@pytest.mark.parametrize("form", FORMS)
def test_damaged_bytes_never_end_in_another_exception(tmp_path, form):
    fuzz(tmp_path, form, 60)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_damaged_bytes_never_end_in_another_exception_at_length(tmp_path, form):
    fuzz(tmp_path, form, 2000)
