"""Every table holds the rows, within its rounding, in a form that its readers take."""

import csv
import io
import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from fakes.results import made_up

from poseact.errors import UserError
from poseact.export import tables
from poseact.export.bvh import write_bvh
from poseact.export.tables import csv_header, csv_lines, write_coco, write_csv, write_npz
from poseact.results import Gap, Results
from poseact.segments import Segment
from poseact.skeleton import LSP14, PA17

ACTIONS = ("walk", 'say "no", loudly', "50 % of it")


@pytest.fixture
def results() -> Results:
    return made_up(PA17, 12, people=(3, 7), actions=ACTIONS, gaps=(Gap(12, 14, "no person"),), weights="w")


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def read_json(path):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


# --- CSV --------------------------------------------------------------------------------------------


def test_csv_holds_every_joint(results, tmp_path):
    write_csv(tmp_path / "joints.csv", results)
    lines = read_csv((tmp_path / "joints.csv").read_text())
    assert len(lines) == 24 * 17
    for i, line in enumerate(lines):
        row, joint = results.rows[i // 17], i % 17
        assert (int(line["frame"]), int(line["person"])) == (row["frame"], row["person"])
        assert line["joint"] == PA17.joints[joint]
        assert float(line["time_s"]) == pytest.approx(row["time_s"], abs=6e-5)
        for k, axis in enumerate("xyz"):
            assert float(line[f"{axis}_m"]) == pytest.approx(row["metres"][joint, k], abs=6e-5)
            assert float(line[f"{axis}_crop"]) == pytest.approx(row["crop"][joint, k], abs=6e-6)
        for k, axis in enumerate("xy"):
            assert float(line[f"{axis}_px"]) == pytest.approx(row["joints"][joint, k], abs=6e-4)
            sd = row["covariance"][joint, k, k] ** 0.5
            assert float(line[f"sd_{axis}_px"]) == pytest.approx(sd, abs=6e-4)
        assert float(line["visibility"]) == pytest.approx(row["visibility"][joint], abs=6e-5)
        if row["frame"] < 8:
            assert line["action"] == line["action_probability"] == ""
        else:
            assert line["action"] == ACTIONS[row["action"].argmax()]
            assert float(line["action_probability"]) == pytest.approx(row["action"].max(), abs=6e-5)
    assert {line["action"] for line in lines} == {"", *ACTIONS}


def test_csv_of_pictures_names_them(results, tmp_path):
    pictures = tuple((f"bild, {i}.png", (100 + i, 50)) for i in range(12))
    write_csv(tmp_path / "joints.csv", replace(results, pictures=pictures))
    write_csv(tmp_path / "video.csv", results)
    lines = read_csv((tmp_path / "joints.csv").read_text())
    assert [line.pop("picture") for line in lines] == [pictures[int(line["frame"])][0] for line in lines]
    assert lines == read_csv((tmp_path / "video.csv").read_text())


def test_csv_in_2d_without_actions_has_no_such_columns():
    results = made_up(LSP14, 2, dim=2)
    header = csv_header(results.rows.dtype)
    assert header == "frame,time_s,person,joint,x_px,y_px,visibility,sd_x_px,sd_y_px,restarted\n"
    line = csv_lines(results.rows, LSP14, ()).splitlines()[0]
    assert len(line.split(",")) == len(header.split(","))


def test_csv_appended_in_pieces_is_the_same(results):
    whole = csv_lines(results.rows, PA17, ACTIONS)
    pieces = [csv_lines(results.rows[i : i + 5], PA17, ACTIONS) for i in range(0, 24, 5)]
    assert "".join(pieces) == whole
    assert csv_lines(results.rows[:0], PA17, ACTIONS) == ""


def test_restarts_are_marked_in_csv(results):
    results.rows["restarted"][4] = True
    lines = read_csv(csv_header(results.rows.dtype) + csv_lines(results.rows, PA17, ACTIONS))
    assert [line["restarted"] for line in lines] == ["0"] * 68 + ["1"] * 17 + ["0"] * (19 * 17)


def test_numbers_that_are_not_finite_are_empty_in_csv_and_null_in_json(results, tmp_path):
    results.rows["metres"][0, 2] = np.nan
    results.rows["joints"][1, 3] = np.inf
    lines = read_csv(csv_header(results.rows.dtype) + csv_lines(results.rows, PA17, ACTIONS))
    assert [lines[2][f"{axis}_m"] for axis in "xyz"] == ["", "", ""] and lines[2]["x_px"] != ""
    assert lines[17 + 3]["x_px"] == lines[17 + 3]["y_px"] == ""
    assert lines[3]["x_m"] != ""
    write_coco(tmp_path / "k.json", results)
    annotations = read_json(tmp_path / "k.json")["annotations"]
    assert annotations[0]["keypoints_m"][6:9] == [None] * 3 and None not in annotations[0]["keypoints"]
    assert annotations[1]["keypoints"][9:12] == [0, 0, 0]


# --- COCO -------------------------------------------------------------------------------------------


def test_coco_json_holds_every_row(results, tmp_path):
    results = replace(results, frames=15)
    walk = Segment(3, "walk", 2, 9, 0.08, 0.4, 0.75)
    write_coco(tmp_path / "k.json", results, [walk])
    content = read_json(tmp_path / "k.json")
    assert [image["id"] for image in content["images"]] == list(range(1, 16))
    assert content["images"][4]["file_name"] == "video.mp4#frame=4"
    assert {(image["width"], image["height"]) for image in content["images"]} == {(640, 480)}
    (category,) = content["categories"]
    assert category["keypoints"] == list(PA17.joints)
    assert [[a - 1, b - 1] for a, b in category["skeleton"]] == [list(limb) for limb in PA17.limbs]
    assert content["info"]["gaps"] == [{"first": 12, "last": 14, "reason": "no person"}]
    assert content["info"]["segments"] == [vars(walk)] and content["info"]["actions"] == list(ACTIONS)
    assert len(content["annotations"]) == 24
    for number, (told, row) in enumerate(zip(content["annotations"], results.rows, strict=True), 1):
        assert (told["id"], told["image_id"], told["track_id"]) == (number, row["frame"] + 1, row["person"])
        keypoints = np.array(told["keypoints"]).reshape(17, 3)
        assert np.abs(keypoints[:, :2] - row["joints"]).max() < 6e-4
        seen = row["visibility"] >= 0.5
        assert repr(told["keypoints"][2::3]) == repr(
            np.where(seen, 2, 1).tolist()
        )  # whole numbers, as in COCO
        assert told["num_keypoints"] == 17  # all with v > 0
        assert np.abs(np.array(told["visibility"]) - row["visibility"]).max() < 6e-5
        x, y, width, height = told["bbox"]
        inside = row["joints"][seen]
        assert np.abs(inside.min(0) - (x, y)).max() < 1e-3
        assert np.abs(inside.max(0) - (x + width, y + height)).max() < 2e-3
        assert told["area"] == pytest.approx(width * height, rel=1e-4)
        assert np.abs(np.array(told["keypoints_m"]).reshape(17, 3) - row["metres"]).max() < 6e-5
        assert np.abs(np.array(told["keypoints_crop"]).reshape(17, 3) - row["crop"]).max() < 6e-6
        covariance = np.array(told["covariance_px2"]).reshape(17, 3)
        assert np.abs(covariance - row["covariance"][:, [0, 0, 1], [0, 1, 1]]).max() < 1e-3
        if row["frame"] < 8:
            assert told["action"] is told["action_probability"] is told["action_probabilities"] is None
        else:
            assert told["action"] == ACTIONS[row["action"].argmax()]
            assert np.abs(np.array(told["action_probabilities"]) - row["action"]).max() < 6e-5


def test_coco_json_of_a_folder_names_the_images(results, tmp_path):
    pictures = tuple((f"bild {i}.png", (100 + i, 50)) for i in range(12))
    write_coco(tmp_path / "k.json", replace(results, pictures=pictures))
    images = read_json(tmp_path / "k.json")["images"]
    assert tuple((i["file_name"], (i["width"], i["height"])) for i in images) == pictures
    with pytest.raises(ValueError, match="12, one a frame, got 3"):
        replace(results, pictures=pictures[:3])


def test_json_in_pieces_is_the_same(results, tmp_path, monkeypatch):
    write_coco(tmp_path / "whole.json", results)
    monkeypatch.setattr("poseact.results.CHUNK", 5)
    monkeypatch.setattr(tables, "_ITEMS_AT_ONCE", 4)
    write_coco(tmp_path / "pieces.json", results)
    assert (tmp_path / "pieces.json").read_bytes() == (tmp_path / "whole.json").read_bytes()


def test_nobody_found_is_still_a_table(tmp_path):
    results = made_up(PA17, 3, actions=ACTIONS)
    results = replace(results, rows=results.rows[:0], gaps=(Gap(0, 2, "no person"),))
    write_csv(tmp_path / "j.csv", results)
    assert (tmp_path / "j.csv").read_text() == csv_header(results.rows.dtype)
    write_coco(tmp_path / "k.json", results)
    content = read_json(tmp_path / "k.json")
    assert content["annotations"] == [] and len(content["images"]) == 3
    write_npz(tmp_path / "r.npz", results)
    with np.load(tmp_path / "r.npz") as archive:
        assert archive["joints"].shape == (0, 17, 2) and archive["gap_reasons"].tolist() == ["no person"]


# --- NPZ --------------------------------------------------------------------------------------------


def test_npz_holds_every_field(results, tmp_path, monkeypatch):
    monkeypatch.setattr("poseact.results.CHUNK", 7)
    write_npz(tmp_path / "r.npz", results)
    with np.load(tmp_path / "r.npz", allow_pickle=False) as archive:
        for name in results.rows.dtype.names:
            assert archive[name].dtype == results.rows[name].dtype
            assert np.array_equal(archive[name], results.rows[name]), name
        assert archive["joint_names"].tolist() == list(PA17.joints)
        assert archive["limbs"].tolist() == [list(limb) for limb in PA17.limbs]
        assert archive["action_names"].tolist() == list(ACTIONS)
        assert (archive["fps"], archive["frame_count"], archive["size"].tolist()) == (25, 12, [640, 480])
        assert archive["gap_frames"].tolist() == [[12, 14]] and archive["gap_reasons"].tolist() == [
            "no person"
        ]
        assert (str(archive["source"]), str(archive["weights"])) == ("video.mp4", "w")


def test_npz_of_pictures_names_them(results, tmp_path):
    pictures = tuple((f"bild {i}.png", (100 + i, 50)) for i in range(12))
    write_npz(tmp_path / "r.npz", replace(results, pictures=pictures))
    with np.load(tmp_path / "r.npz", allow_pickle=False) as archive:
        assert archive["picture_names"].tolist() == [name for name, _ in pictures]
        assert archive["picture_sizes"].tolist() == [list(size) for _, size in pictures]


def test_npz_depends_on_the_results_alone(results, tmp_path, monkeypatch):
    write_npz(tmp_path / "a.npz", results)
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_npz(tmp_path / "b.npz", results)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


# --- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", [write_csv, write_coco, write_npz])
def test_a_place_that_cannot_be_written_is_one_line(results, tmp_path, write):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="expected a place that can be written") as caught:
        write(tmp_path / "file" / "out", results)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("write", [write_csv, write_coco, write_npz])
def test_a_file_appears_whole_or_not_at_all(results, tmp_path, monkeypatch, write):
    (tmp_path / "out").write_text("before")

    def fail(results):
        raise KeyboardInterrupt

    monkeypatch.setattr(Results, "chunks", fail)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", results)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_text() == "before"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(tmp_path):
    peaks = {}
    for frames in (5000, 10000):
        results = made_up(PA17, frames, actions=ACTIONS)
        for write in (write_csv, write_coco, write_npz, lambda path, r: write_bvh(path, r, 1)):
            tracemalloc.start()
            write(tmp_path / "out", results)
            peaks.setdefault(write.__name__, []).append(tracemalloc.get_traced_memory()[1] / 1e6)
            tracemalloc.stop()
    for name, (short, long) in peaks.items():
        assert long - short < 2, (name, short, long)


def test_a_mapped_file_is_read_in_parts_and_let_go(results, tmp_path, monkeypatch):
    results.rows.tofile(tmp_path / "rows")
    mapped = replace(results, rows=np.memmap(tmp_path / "rows", results.rows.dtype, "r"))
    monkeypatch.setattr("poseact.results.CHUNK", 5)
    places = np.array([7, 0, 0, 11, 3, 5])
    for name in results.rows.dtype.names:
        assert np.array_equal(mapped.column(name), results.rows[name]), name
        assert np.array_equal(mapped.column(name, places), results.rows[name][places]), name
        assert mapped.column(name).base is None
    assert [len(rows) for rows in mapped.chunks()] == [5, 5, 5, 5, 4]
    assert np.array_equal(np.concatenate(list(mapped.chunks())), results.rows)
