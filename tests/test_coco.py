import json
import time
from itertools import pairwise

import numpy as np
import pytest
from fakes import coco as fake
from fakes.damage import mutate

from poseact.data.coco import Coco
from poseact.errors import UserError
from poseact.skeleton import COCO17


@pytest.fixture
def annotations():
    return fake.content()


def changed(tmp_path, annotations, **changes):
    """The set after changing the first annotated person's record; None removes a key."""
    record = fake.people(annotations)[0]
    for key, value in changes.items():
        record[key] = value
        if value is None:
            del record[key]
    path = fake.write(tmp_path, fake.content())
    path.write_text(json.dumps(annotations))
    return Coco(tmp_path)


def test_samples_are_what_is_on_disk(tmp_path, annotations):
    fake.write(tmp_path, annotations)
    data, expected = Coco(tmp_path), fake.people(annotations)
    assert len(data) == len(expected) == 6 and not data.damaged
    for i, record in enumerate(expected):
        s = data[i]
        keypoints = np.reshape(record["keypoints"], (17, 3))
        assert s.layout is COCO17 and (s.valid == (keypoints[:, 2] > 0)).all() and not s.valid.all()
        assert (s.joints[s.valid, :2] == keypoints[s.valid, :2]).all() and (s.joints[~s.valid] == 0).all()
        assert (s.joints[:, 2] == 0).all() and not s.depth_valid.any()
        assert s.metres_per_pixel is None and s.head_px is None
        x, y, width, height = record["bbox"]
        assert s.box.centre == pytest.approx((x + width / 2 - 0.5, y + height / 2 - 0.5))
        assert s.box.side == pytest.approx(1.25 * max(width, height))
        file = f"{record['image_id']:012d}.png"
        assert file in s.name and s.frames.paths == (tmp_path / "val2017" / file,)


def test_the_layout_is_cocos_order():
    assert list(COCO17.joints) == fake.NAMES


def test_pixels_are_counted_from_zero(tmp_path, annotations):
    """The fake paints a square around the first nose: its centre is the joint, not one beside it."""
    fake.people(annotations)[0]["keypoints"][:3] = [30, 40, 2]
    fake.write(tmp_path, annotations)
    s = Coco(tmp_path)[0]
    rows, columns = np.nonzero(s.image()[0][..., 0])
    assert s.joints[COCO17.index("nose"), :2].tolist() == [columns.mean(), rows.mean()] == [30, 40]


def test_a_bbox_lies_on_edges_of_pixels(tmp_path, annotations):
    """The bbox of the whole image, 120 x 90: its centre lies between the pixels 59 and 60, 44 and 45."""
    s = changed(tmp_path, annotations, bbox=[0, 0, 120, 90])[0]
    assert s.box.centre == (59.5, 44.5) and s.box.side == 150


@pytest.mark.parametrize(("v", "valid"), [(0, False), (1, True), (2, True)])
def test_occluded_keypoints_are_annotated_and_v_0_is_not(tmp_path, annotations, v, valid):
    keypoints = [7, 8, 2] * 16 + [7, 8, v]
    s = changed(tmp_path, annotations, keypoints=keypoints)[0]
    assert s.valid[16] == valid and s.joints[16].tolist() == ([7, 8, 0] if valid else [0, 0, 0])


@pytest.mark.parametrize(
    "changes",
    [
        {"iscrowd": 1},
        {"iscrowd": True},
        {"keypoints": None},
        {"keypoints": []},
        {"keypoints": [0] * 51},
        {"keypoints": [5, 5, 0] * 17},
        {"bbox": None},
        {"bbox": []},
    ],
)
def test_who_is_no_sample_is_no_damage(tmp_path, annotations, changes):
    data = changed(tmp_path, annotations, **changes)
    assert len(data) == 5 and not data.damaged


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keypoints": [1] * 50}, "51 finite numbers in keypoints"),
        ({"keypoints": [1] * 48 + [float("nan")] * 3}, "51 finite numbers in keypoints"),
        ({"keypoints": [float("inf"), *[1] * 50]}, "51 finite numbers in keypoints"),
        ({"keypoints": [[1] * 3] * 17}, "51 finite numbers in keypoints"),
        ({"keypoints": ["a"] * 51}, "51 numbers in keypoints"),
        ({"keypoints": {"nose": [1, 2]}}, "51 numbers in keypoints"),
        ({"keypoints": [10**400] * 51}, "51 numbers in keypoints"),
        ({"bbox": [1, 2, 3]}, "4 finite numbers in bbox"),
        ({"bbox": [1, 2, float("nan"), 3]}, "4 finite numbers in bbox"),
        ({"bbox": [1, 2, 1.5e308, 3]}, "finite"),
        ({"bbox": [1, 2, 0, 0]}, "width or height > 0"),
        ({"bbox": [1, 2, -3, -3]}, "width or height > 0"),
        ({"image_id": 7}, "image_id of one of the images, got 7"),
        ({"image_id": [1]}, "image_id of one of the images"),
        ({"image_id": None}, "image_id of one of the images"),
    ],
)
def test_a_damaged_person_is_left_out_and_counted(tmp_path, annotations, changes, message):
    data = changed(tmp_path, annotations, **changes)
    assert len(data) == 5
    (found,) = data.damaged
    assert "person_keypoints_val2017.json: annotations[0]: " in found and message in found


@pytest.mark.parametrize("record", [None, 3, "person", [1]])
def test_a_record_that_is_no_object_is_damage(tmp_path, annotations, record):
    path = fake.write(tmp_path, annotations)
    annotations["annotations"][0] = record
    path.write_text(json.dumps(annotations))
    data = Coco(tmp_path)
    assert len(data) == 5 and "annotations[0]: expected an object" in data.damaged[0]


@pytest.mark.parametrize(
    "name", ["../a.png", "/etc/passwd", "a/../../b", "..\\a", "C:\\a", "", "a\nb", None, 3]
)
def test_names_that_leave_the_folder_are_refused(tmp_path, annotations, name):
    path = fake.write(tmp_path, annotations)
    annotations["images"][0]["file_name"] = name
    path.write_text(json.dumps(annotations))
    data = Coco(tmp_path)
    assert len(data) == 4 and len(data.damaged) == 3  # the image and its two people
    assert "images[0]: expected an id and a file_name" in data.damaged[0]
    assert not any("\n" in message for message in data.damaged)


@pytest.mark.parametrize("folder", ["images", "val2017", "images/val2017", "val", "images/val", "."])
@pytest.mark.parametrize("stem", ["person_keypoints_val2017", "val2017"])
def test_where_images_may_lie(tmp_path, annotations, stem, folder):
    fake.write(tmp_path, annotations, stem, folder)
    assert Coco(tmp_path, "val")[0].image()[0].shape == (100, 130, 3)


def test_file_names_with_a_folder(tmp_path, annotations):
    for image in annotations["images"]:
        image["file_name"] = f"val2017/{image['file_name']}"
    (tmp_path / "images" / "val2017").mkdir(parents=True)
    fake.write(tmp_path, annotations, folder="images")
    assert Coco(tmp_path)[5].image()[0].size


def test_splits_are_names_of_files(tmp_path):
    train, val = fake.content(4, seed=1), fake.content(2, seed=2)
    fake.write(tmp_path, train, "person_keypoints_train2017", "train2017")
    fake.write(tmp_path, val, "person_keypoints_val2017", "val2017")
    for name in ("captions_train2017", "instances_val2017"):  # of the same archive
        (tmp_path / "annotations" / f"{name}.json").write_text("{}")
    splits = ("train", "train2017", "person_keypoints_train2017", "val", "all")
    assert [len(Coco(tmp_path, split)) for split in splits] == [8, 8, 8, 4, 12]
    everyone = Coco(tmp_path, "all")
    assert {everyone[i].frames.paths[0].parent.name for i in (0, 8)} == {"train2017", "val2017"}
    (tmp_path / "val2017").rename(tmp_path / "elsewhere")
    assert len(Coco(tmp_path, "all")) == 12  # of which some will be unreadable


def test_a_split_that_is_a_whole_name_wins(tmp_path, annotations):
    fake.write(tmp_path, annotations, "val", "images")
    fake.write(tmp_path, fake.content(1), "val-small", "images")
    assert len(Coco(tmp_path, "val")) == 6 and len(Coco(tmp_path, "small")) == 2


@pytest.mark.parametrize(("split", "found"), [("test", "none does"), ("a", "2 do"), ("", "none does")])
def test_a_split_that_names_no_single_file(tmp_path, annotations, split, found):
    fake.write(tmp_path, annotations, "train", "images")
    fake.write(tmp_path, annotations, "val", "images")
    with pytest.raises(UserError, match=rf"contains the split '{split}', {found}; .*: train, val"):
        Coco(tmp_path, split)


@pytest.mark.parametrize("folder", ["absent", "."])
def test_missing_annotations(tmp_path, folder):
    with pytest.raises(UserError, match=r"annotations: expected COCO keypoints in \*\.json.*--root"):
        Coco(tmp_path / folder)


def test_missing_images_are_told_at_once(tmp_path, annotations):
    fake.write(tmp_path, annotations)
    (tmp_path / "val2017").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"expected the annotated images, such as '0+100\.png', in .*images"):
        Coco(tmp_path)


@pytest.mark.parametrize("name", ["gone.png", "x" * 5000 + ".png"])
def test_a_missing_image_is_an_error_of_its_sample_only(tmp_path, annotations, name):
    path = fake.write(tmp_path, annotations)
    annotations["images"][0]["file_name"] = name
    path.write_text(json.dumps(annotations))
    data = Coco(tmp_path)
    with pytest.raises(UserError, match=r"expected the image in .*images.*found none there") as caught:
        data[0]
    assert len(str(caught.value)) < 1000 and data[2].image()[0].size


def test_a_damaged_image_is_an_error_of_its_sample_only(tmp_path, annotations):
    fake.write(tmp_path, annotations)
    path = tmp_path / "val2017" / annotations["images"][0]["file_name"]
    path.write_bytes(path.read_bytes()[:30])
    data = Coco(tmp_path)
    with pytest.raises(UserError, match="does not decode"):
        data[0].image()
    assert data[2].image()[0].size


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected JSON"),
        (b"\xff\xfe\x00", "expected JSON"),
        (b"[" * 100_000, "expected JSON"),
        (b"[]", "with the lists 'images' and 'annotations', got list"),
        (b'{"images": [], "shapes": []}', "lists 'images' and 'annotations', got 'images', 'shapes'"),
        (b'{"images": {}, "annotations": []}', "lists 'images' and 'annotations'"),
        (b'{"images": [], "annotations": []}', "expected people with 17 keypoints"),
        (b'{"images": [3], "annotations": []}', r"expected people with 17 keypoints.*images\[0\]"),
    ],
)
def test_foreign_annotations(tmp_path, content, message):
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "mine.json").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        Coco(tmp_path)
    assert "mine.json" in str(caught.value) and "\n" not in str(caught.value)


def survive_mutations(tmp_path, annotations, count, seed):
    """Only `UserError` or samples come out of damaged bytes, and soon."""
    path = fake.write(tmp_path, annotations)
    data = path.read_bytes()
    rng = np.random.default_rng(seed)
    outcomes = {"error": 0, "samples": 0}
    times = [time.perf_counter()]
    for _ in range(count):
        path.write_bytes(mutate(data, rng))
        try:
            found = Coco(tmp_path)
            assert not any("\n" in message for message in found.damaged)
            outcomes["samples"] += 1
        except UserError as error:
            assert "\n" not in str(error)
            outcomes["error"] += 1
            continue
        for i in range(len(found)):
            try:
                s = found[i]
            except UserError:  # a file name that no image has
                continue
            assert np.isfinite(s.joints).all() and (s.joints[~s.valid] == 0).all()
            assert s.frames.paths[0].is_relative_to(tmp_path)
        times.append(time.perf_counter())
    assert min(outcomes.values()) > 0
    assert max(b - a for a, b in pairwise(times)) < 10


def test_mutated_annotations(tmp_path, annotations):
    survive_mutations(tmp_path, annotations, 60, seed=0)


@pytest.mark.slow
def test_many_mutated_annotations(tmp_path, annotations):
    survive_mutations(tmp_path, annotations, 2000, seed=1)
