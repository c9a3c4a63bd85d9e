import json
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.io
from fakes import mpii as fake
from fakes.damage import mutate

from poseact.data import matlab, mpii
from poseact.data.mpii import Mpii
from poseact.errors import UserError
from poseact.skeleton import MPII16

WRITERS = {
    "official": (fake.write_official, ("train",)),
    "hrnet": (fake.write_hrnet, ("hrnet-train", "hrnet-val")),
    "released": (fake.write_released, ("released-train", "released-val")),
}


@pytest.fixture
def pictures():
    return fake.truth()


def official(tmp_path, pictures, split="train"):
    fake.write_official(tmp_path, pictures)
    return Mpii(tmp_path, split)


def rewritten(tmp_path, pictures, change):
    """The official set after ``change`` of RELEASE's fields."""
    path = fake.write_official(tmp_path, pictures)
    fields = fake.release(pictures)
    change(fields)
    scipy.io.savemat(path, {"RELEASE": fake.struct([fields])})
    return tmp_path


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_gives_the_people_that_were_written(tmp_path, pictures, form):
    write, splits = WRITERS[form]
    write(tmp_path, pictures)
    people = [(data, i) for split in splits if (data := Mpii(tmp_path, split)) for i in range(len(data))]
    by_split = fake.training(pictures, False) + fake.training(pictures, True)
    expected = fake.training(pictures) if form == "official" else by_split
    assert len(people) == len(expected) == 6
    for (data, i), (picture, _, person) in zip(people, expected, strict=True):
        s = data[i]
        known = np.isfinite(person.joints).all(1)
        assert s.layout is MPII16 and (s.valid == known).all()
        assert (s.joints[known, :2] == person.joints[known] - 1).all()
        assert (s.joints[~known] == 0).all() and (s.joints[:, 2] == 0).all()
        assert not s.depth_valid.any() and s.metres_per_pixel is None
        x, y = person.objpos
        assert s.box.centre == pytest.approx((x - 1, y - 1 + 15 * person.scale))
        assert s.box.side == pytest.approx(250 * person.scale)
        assert s.frames.paths == (tmp_path / "images" / picture.name,) and picture.name in s.name
        x1, y1, x2, y2 = person.head
        diagonal = None if form == "hrnet" else pytest.approx(0.6 * np.hypot(x2 - x1, y2 - y1))
        assert s.head_px == diagonal
        assert not data.damaged
    assert any(not np.isfinite(person.joints).all() for _, _, person in expected)


def test_pixels_are_counted_from_zero(tmp_path, pictures):
    """The fake paints a square around the right ankle: its centre is the joint, not one beside it."""
    for picture in pictures:
        for person in picture.people:
            person.joints[0] = np.rint([50, 150] if np.isnan(person.joints[0, 0]) else person.joints[0])
    data = official(tmp_path, pictures)
    s = data[0]
    image, _ = s.image()
    rows, columns = np.nonzero(image[..., 0] > 128)
    assert np.allclose([columns.mean(), rows.mean()], s.joints[MPII16.index("right_ankle"), :2], atol=0.3)


def test_sides_are_the_persons_own_right_ankle_first(tmp_path, pictures):
    """ids 0 and 10 are right ankle and right wrist, 5 and 15 left, whatever the order of the points."""
    joints = np.full((16, 2), np.nan)
    joints[[0, 5, 10, 15]] = [[11, 100], [31, 100], [6, 60], [36, 60]]
    pictures[0].people = [replace(pictures[0].people[0], joints=joints)]
    s = official(tmp_path, pictures)[0]
    at = {name: s.joints[MPII16.index(name), 0] for name, v in zip(MPII16.joints, s.valid, strict=True) if v}
    assert at == {"right_ankle": 10, "left_ankle": 30, "right_wrist": 5, "left_wrist": 35}


@pytest.mark.parametrize("value", [np.uint8(0), np.uint8(1), 0.0, "0", "1", "", fake.EMPTY, None])
def test_is_visible_of_any_type_masks_nothing(tmp_path, pictures, value):
    def change(fields):
        point = {"x": 5.0, "y": 7.0, "id": 3}
        point |= {} if value is None else {"is_visible": value}
        annopoints = fake.struct([{"point": fake.struct([point])}])
        fields["annolist"]["annorect"][0, 0]["annopoints"][0, 0] = annopoints

    s = Mpii(rewritten(tmp_path, pictures, change))[0]
    assert np.flatnonzero(s.valid).tolist() == [3] and s.joints[3].tolist() == [4, 6, 0]


def no_points(fields):
    fields["annolist"]["annorect"][0, 0]["annopoints"][0, 0] = fake.struct([{"point": fake.EMPTY}])


def no_point_field(fields):
    fields["annolist"]["annorect"][0, 0]["annopoints"][0, 0] = fake.struct([{"other": 1}])


def no_annopoints(fields):
    fields["annolist"]["annorect"][0, 0]["annopoints"][0, 0] = fake.EMPTY


def empty_coordinates(fields):
    points = fake.struct([{"x": fake.EMPTY, "y": 3.0, "id": 1}])
    fields["annolist"]["annorect"][0, 0]["annopoints"][0, 0] = fake.struct([{"point": points}])


@pytest.mark.parametrize("change", [no_points, no_point_field, no_annopoints, empty_coordinates])
def test_people_without_joints_are_no_samples_and_no_damage(tmp_path, pictures, change):
    data = Mpii(rewritten(tmp_path, pictures, change))
    assert len(data) == 5 and not data.damaged and data.places[0] == (1, 2)


@pytest.mark.parametrize("field", ["x", "y"])
def test_a_joint_with_an_empty_coordinate_is_masked(tmp_path, pictures, field):
    def change(fields):
        points = [{"x": 4.0, "y": 4.0, "id": 0}, {"x": 3.0, "y": 3.0, "id": 1} | {field: fake.EMPTY}]
        fields["annolist"]["annorect"][0, 0]["annopoints"][0, 0] = fake.struct(
            [{"point": fake.struct(points)}]
        )

    s = Mpii(rewritten(tmp_path, pictures, change))[0]
    assert np.flatnonzero(s.valid).tolist() == [0] and (s.joints[1] == 0).all()


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("lack", [{"scale": None}, {"objpos": None}, {"scale": None, "objpos": None}])
def test_a_person_without_scale_or_objpos_is_left_out_and_counted(tmp_path, pictures, form, lack):
    pictures[1].people[0] = replace(pictures[1].people[0], **lack)
    write, splits = WRITERS[form]
    write(tmp_path, pictures)
    data = Mpii(tmp_path, splits[-1])
    assert len(data) == (5 if form == "official" else 2)
    (message,) = data.damaged
    assert "000000002.jpg" in message and "expected a scale > 0 and an objpos" in message


def test_a_person_without_a_head_box_has_no_head_size(tmp_path, pictures):
    pictures[1].people[0] = replace(pictures[1].people[0], head=None)
    assert official(tmp_path, pictures)[2].head_px is None
    fake.write_released(tmp_path, pictures)
    assert Mpii(tmp_path, "released-val")[0].head_px is None


def test_one_person_reads_like_many(tmp_path, pictures):
    """Structs of one element, which MATLAB and scipy like to unwrap, written 1 x 1 and K x 1."""
    source = official(tmp_path, pictures)
    before = [source[i] for i in range(6)]

    def change(fields):
        fields["annolist"] = fields["annolist"].T
        fields["img_train"] = fields["img_train"].T
        for i, rects in enumerate(fields["annolist"]["annorect"][:, 0]):
            fields["annolist"]["annorect"][i, 0] = rects.T

    data = Mpii(rewritten(tmp_path, pictures, change))
    assert [s.name for s in before] == [data[i].name for i in range(6)]
    assert all((s.joints == data[i].joints).all() and s.box == data[i].box for i, s in enumerate(before))

    alone = official(tmp_path / "alone", pictures[1:2])
    assert len(alone) == 1 and (alone[0].joints == before[2].joints).all()


def test_splits_of_the_official_file(tmp_path, pictures):
    fake.write_official(tmp_path, pictures)
    places = {split: Mpii(tmp_path, split).places for split in mpii.SPLITS[:5]}
    assert places == {
        "train": [(1, 1), (1, 2), (2, 1), (6, 2), (6, 3), (8, 1)],
        "test": [(3, 1), (7, 1)],
        "all": [(1, 1), (1, 2), (2, 1), (3, 1), (6, 2), (6, 3), (7, 1), (8, 1)],
        "train-single": [(1, 1), (2, 1), (6, 3), (8, 1)],
        "test-single": [(3, 1)],
    }


def test_people_of_test_images_have_a_box_and_no_joints(tmp_path, pictures):
    data = official(tmp_path, pictures, "test")
    person = pictures[2].people[0]
    s = data[0]
    assert not s.valid.any() and (s.joints == 0).all() and s.head_px is None and not data.damaged
    assert s.box.side == pytest.approx(250 * person.scale) and s.image()[0].shape == (180, 140, 3)
    assert [p.single for p in data.people] == [True, False]


def test_single_people_need_their_list(tmp_path, pictures):
    root = rewritten(tmp_path, pictures, lambda fields: fields.pop("single_person"))
    data = Mpii(root, "train")
    assert len(data) == 6 and data.people[0].single is None
    with pytest.raises(UserError, match=r"expected a single_person .* use the split 'train'"):
        Mpii(root, "train-single")


def test_row_zero_of_the_authors_file_picks_people_by_index_from_1(tmp_path, pictures):
    """Image 6 lists three people; row 0 names the second and third."""
    fake.write_released(tmp_path, pictures)
    data = Mpii(tmp_path, "released-val")
    for i, person in ((1, pictures[5].people[1]), (2, pictures[5].people[2])):
        assert data[i].box.side == pytest.approx(250 * person.scale) and f"person {i + 1}" in data[i].name


@pytest.mark.parametrize("index", [0, 9, -1, 1.5])
def test_an_index_of_row_zero_that_names_nobody_is_damage(tmp_path, pictures, index):
    path = fake.write_released(tmp_path, pictures)
    cells = fake.columns(pictures, True)
    cells[0, 0] = np.array([[1.0], [index]])
    scipy.io.savemat(path, {"annot_tr": cells, "annot_val": cells})
    data = Mpii(tmp_path, "released-val")
    assert len(data) == 3 and len(data.damaged) == 1 and "expected an index from 1 to 1" in data.damaged[0]


def test_the_authors_people_as_structs_instead_of_cells(tmp_path, pictures):
    path = fake.write_released(tmp_path, pictures)
    before = Mpii(tmp_path, "released-val")
    cells = fake.columns(pictures, True)
    for i in range(cells.shape[1]):
        cells[2, i] = fake.struct(list(cells[2, i][:, 0])).T
    scipy.io.savemat(path, {"annot_tr": cells, "annot_val": cells})
    data = Mpii(tmp_path, "released-val")
    assert len(data) == len(before) == 3
    assert all((data[i].joints == before[i].joints).all() for i in range(3))


def test_nan_of_the_authors_file_is_missing(tmp_path, pictures):
    pictures[1].people[0].joints[:] = np.nan
    pictures[1].people[0].joints[4] = 10, 20
    pictures[1].people[0].joints[5] = 10, np.nan
    fake.write_released(tmp_path, pictures)
    s = Mpii(tmp_path, "released-val")[0]
    assert np.flatnonzero(s.valid).tolist() == [4] and (s.joints[5] == 0).all()


@pytest.mark.parametrize("folder", ["annot", "."])
def test_json_beside_the_images_or_in_its_folder(tmp_path, pictures, folder):
    fake.write_hrnet(tmp_path, pictures, folder)
    assert len(Mpii(tmp_path, "hrnet-train")) == 3 and len(Mpii(tmp_path, "hrnet-val")) == 3


def test_official_file_in_the_folder_of_its_archive(tmp_path, pictures):
    fake.write_official(tmp_path, pictures, f"mpii_human_pose_v1_u12_2/{fake.OFFICIAL}")
    assert len(Mpii(tmp_path)) == 6


def test_val_is_the_validation_set_of_the_form_on_disk(tmp_path, pictures):
    fake.write_official(tmp_path, pictures)
    with pytest.raises(
        UserError, match=r"annotations\.mat or annot/valid\.json .* no validation people.*splits"
    ):
        Mpii(tmp_path, "val")
    fake.write_hrnet(tmp_path, pictures)
    assert Mpii(tmp_path, "val").split == "hrnet-val"
    fake.write_released(tmp_path, pictures)
    assert Mpii(tmp_path, "val").split == "released-val"


@pytest.mark.parametrize("split", mpii.SPLITS)
def test_missing_annotations_say_what_to_get(tmp_path, split):
    with pytest.raises(UserError, match=r"expected .*(mat|json) for the split .* not found.*--root"):
        Mpii(tmp_path / "absent", split)


def test_another_form_on_disk_is_named(tmp_path, pictures):
    fake.write_hrnet(tmp_path, pictures)
    with pytest.raises(
        UserError, match=r"human-pose\.mpi-inf\.mpg\.de; the splits found here are hrnet-train"
    ):
        Mpii(tmp_path, "train")


def test_missing_images_folder(tmp_path, pictures):
    fake.write_official(tmp_path, pictures)
    (tmp_path / "images").rename(tmp_path / "pictures")
    with pytest.raises(UserError, match=r"images: not found.*download"):
        Mpii(tmp_path)


def test_unknown_split(tmp_path):
    with pytest.raises(UserError, match="unknown split 'dev'; expected one of train, test"):
        Mpii(tmp_path, "dev")


LEAVING = ["../a.jpg", "/etc/passwd", "a/../../b.jpg", "..\\a.jpg", "C:\\a.jpg", "", "a\nb"]


@pytest.mark.parametrize(
    ("form", "name"), [*(("hrnet", name) for name in LEAVING), ("official", "../a"), ("released", "/a")]
)
def test_names_that_leave_the_images_folder_are_refused(tmp_path, pictures, monkeypatch, form, name):
    write, splits = WRITERS[form]
    write(tmp_path, pictures)
    replaced = [pictures[0], replace(pictures[1], name=name), *pictures[2:]]
    monkeypatch.setattr(fake, "write_images", lambda *_: None)
    write(tmp_path, replaced)
    data = Mpii(tmp_path, splits[-1])
    assert len(data.damaged) == 1 and "a file in images/" in data.damaged[0] and "\n" not in data.damaged[0]
    assert len(data) == (5 if form == "official" else 2)


def test_a_joint_id_that_does_not_exist_is_damage(tmp_path, pictures):
    def change(fields):
        fields["annolist"]["annorect"][0, 0]["annopoints"][0, 0]["point"][0, 0]["id"][0, 0] = 16

    data = Mpii(rewritten(tmp_path, pictures, change))
    assert len(data) == 5 and data.damaged[0].endswith("expected joint ids from 0 to 15, got others")


@pytest.mark.parametrize(
    "record",
    [
        7,
        None,
        [],
        {},
        {"image": 3},
        {"joints": [[1, 2]] * 15},
        {"joints": [[1] * 16] * 2},
        {"joints": [[1, "a"]] * 16},
        {"joints": [[1, 10**400]] * 16},
        {"joints_vis": [1] * 15},
        {"center": [1]},
        {"scale": None},
        {"scale": 0},
        {"scale": float("nan")},
        {"scale": 1e308},
    ],
)
def test_a_damaged_json_record_is_left_out_and_counted(tmp_path, pictures, record):
    path = fake.write_hrnet(tmp_path, pictures)
    records = json.loads(path.read_text())
    records[1] = records[1] | record if isinstance(record, dict) and record else record
    path.write_text(json.dumps(records))
    data = Mpii(tmp_path, "hrnet-val")
    assert len(data) == 2 and len(data.damaged) == 1
    assert "valid.json: person 2" in data.damaged[0] and "expected" in data.damaged[0]


def test_a_damaged_image_is_an_error_of_its_sample_only(tmp_path, pictures):
    data = official(tmp_path, pictures)
    path = tmp_path / "images" / pictures[1].name
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(UserError, match="000000002"):
        data[2].image()
    assert data[0].image()[0].size


@pytest.mark.parametrize(
    ("file", "split"),
    [(fake.OFFICIAL, "train"), ("annot/valid.json", "hrnet-val"), ("annotations.mat", "released-val")],
)
@pytest.mark.parametrize(
    "content", [b"", b"not what it says", b"[" * 100_000, b'{"a": 1}', b"[]", b"\xff\xfe"]
)
def test_foreign_annotations(tmp_path, file, split, content):
    for folder in ("images", "annot"):
        (tmp_path / folder).mkdir()
    (tmp_path / file).write_bytes(content)
    with pytest.raises(UserError, match=f"{file}: expected") as caught:
        Mpii(tmp_path, split)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("release", [1.0, "text", fake.EMPTY, fake.struct([{"version": "12"}])])
def test_a_mat_file_with_another_content(tmp_path, pictures, release):
    path = fake.write_official(tmp_path, pictures)
    scipy.io.savemat(path, {"RELEASE": release})
    with pytest.raises(UserError, match="expected RELEASE with annolist and an img_train"):
        Mpii(tmp_path)
    scipy.io.savemat(tmp_path / "annotations.mat", {"annot_val": release})
    with pytest.raises(UserError, match="expected annot_val, cells 3 x N"):
        Mpii(tmp_path, "released-val")


def test_compressed_annotations(tmp_path, pictures, monkeypatch):
    """As MATLAB writes them."""
    path = fake.write_official(tmp_path, pictures)
    before = Mpii(tmp_path)
    scipy.io.savemat(path, {"a": 1.0, "RELEASE": fake.struct([fake.release(pictures)])}, do_compression=True)
    assert Mpii(tmp_path).places == before.places
    monkeypatch.setattr(matlab, "_LARGEST", 1000)
    with pytest.raises(UserError, match=r"expected a \.mat file with RELEASE, got .*over 1000 bytes"):
        Mpii(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"RELEASE, got .*ends after its container"):
        Mpii(tmp_path)


def test_counts_beyond_the_file_ask_for_no_memory(tmp_path, pictures):
    """A cell array, a struct array and a matrix that claim 2**31 - 1 rows."""
    path = fake.write_official(tmp_path, pictures)
    data = bytearray(path.read_bytes())
    at = 128 + 8 + 16 + 8  # rows of RELEASE, after the tags of the variable, its flags and its dimensions
    assert data[at : at + 4] == b"\1\0\0\0"
    for flags in (1, 2, 6):
        data[at - 16], data[at : at + 4] = flags, b"\xff\xff\xff\x7f"
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"expected a \.mat file with RELEASE"):
            Mpii(tmp_path)


def survive_mutations(tmp_path, form, count, seed):
    """Only `UserError` or samples come out of damaged bytes, and soon."""
    write, _ = WRITERS[form]
    splits = {"official": ("train", "test-single"), "hrnet": ("hrnet-val",), "released": ("released-val",)}[
        form
    ]
    path = write(tmp_path, fake.truth())
    data = path.read_bytes()
    rng = np.random.default_rng(seed)
    outcomes = {"error": 0, "samples": 0}
    times = [time.perf_counter()]
    for i in range(count):
        path.write_bytes(mutate(data, rng))
        try:
            found = Mpii(tmp_path, splits[i % len(splits)])
            for k in range(len(found)):
                s = found[k]
                assert np.isfinite(s.joints).all() and (s.joints[~s.valid] == 0).all()
                assert "\n" not in s.name and s.frames.paths[0].is_relative_to(tmp_path / "images")
            assert not any("\n" in message for message in found.damaged)
            outcomes["samples"] += 1
        except UserError as error:
            assert "\n" not in str(error)
            outcomes["error"] += 1
        times.append(time.perf_counter())
    assert min(outcomes.values()) > 0
    assert max(b - a for a, b in pairwise(times)) < 10


@pytest.mark.parametrize("form", WRITERS)
def test_mutated_annotations(tmp_path, form):
    survive_mutations(tmp_path, form, 60, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("form", WRITERS)
def test_many_mutated_annotations(tmp_path, form):
    survive_mutations(tmp_path, form, 2000, seed=1)
