import dataclasses

import numpy as np
import pytest
from fakes import lspet as fake
from fakes.tracks import Tracks

from poseact.cli import main
from poseact.data.check import check
from poseact.data.lspet import LspExtended
from poseact.structures import Track


class Changed:
    """The made videos with something done to each track."""

    layout, actions = Tracks.layout, Tracks.actions

    def __init__(self, change):
        self.tracks, self.change = Tracks(), change
        self.lengths = self.tracks.lengths

    def __len__(self):
        return len(self.tracks)

    def __getitem__(self, i):
        track: Track = self.tracks[i]
        joints = track.joints.copy()
        self.change(joints)
        return dataclasses.replace(track, joints=joints)


def swapped(*parts):
    def change(joints):
        for part in parts:
            left, right = (Tracks.layout.index(f"{side}_{part}") for side in ("left", "right"))
            joints[:, [left, right]] = joints[:, [right, left]]

    return change


def test_good_videos():
    report = check(Tracks(hidden=(4,)), published=3)
    assert (report.items, report.frames, report.damaged, report.impossible) == (3, 60, [], [])
    assert report.facing == report.agreeing == report.feet_forward == 1
    assert report.warnings() == []


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (swapped("shoulder"), "shoulders and hips are in opposite order"),
        (swapped("shoulder", "hip", "ankle", "toe"), "feet point backwards"),
        (lambda joints: joints.__setitem__((..., 2), -joints[..., 2]), "feet point backwards"),
        (swapped("shoulder", "hip"), "most people show their backs"),
    ],
)
def test_sides_that_are_wrong(change, warning):
    assert any(warning in w for w in check(Changed(change), None).warnings())


def test_mirrored_sets_are_judged_as_one_would_see_them():
    source = Changed(lambda joints: joints.__imul__([-1, 1, 1]).__iadd__([120, 0, 0]))
    assert check(source, None).facing == 0
    source.mirrored = True
    report = check(source, None)
    assert report.facing == report.feet_forward == 1 and report.impossible == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda joints: joints.__setitem__((3, 5, 0), 400), "right_toe far from the person's box (frame 3)"),
        (
            lambda joints: joints.__setitem__((2, 1), joints[2, 6]),
            "right_hip and left_hip on one spot (frame 2)",
        ),
        (lambda joints: joints.__setitem__((1, 3, 2), 1500), "longer than a metre (frame 1)"),
    ],
)
def test_impossible_joints(change, problem):
    report = check(Changed(change), None)
    assert len(report.impossible) == 3 and problem in report.impossible[0]
    assert report.impossible[0].startswith("track 0: ")


@pytest.fixture
def root(tmp_path):
    fake.write(tmp_path / "lspet", count=8)
    return tmp_path / "lspet"


def test_damaged_files_are_listed(root):
    (root / "images" / "im00002.jpg").write_bytes(b"not an image")
    whole = (root / "images" / "im00004.jpg").read_bytes()
    (root / "images" / "im00004.jpg").write_bytes(whole[: len(whole) // 2])
    report = check(LspExtended(root), 10)
    assert report.items == 6 and len(report.damaged) == 2
    assert "im00002.jpg" in report.damaged[0] and "ends too early" in report.damaged[1]
    assert "files may be missing" in report.warnings()[0]


def test_the_command(root, tmp_path, capsys):
    (root / "images" / "im00002.jpg").unlink()
    assert main(["data", "check", "lspet", "--root", str(root), "--json", str(tmp_path / "r.json")]) == 0
    text = capsys.readouterr().out
    assert "1 damaged:" in text and "im00002.jpg" in text
    assert '"items": 7' in (tmp_path / "r.json").read_text()


def test_show_draws_pairs(root, tmp_path, capsys):
    from poseact.data.images import read_image

    out = tmp_path / "sheet.png"
    assert main(["data", "show", "lspet", "--root", str(root), "--count", "4", "--out", str(out)]) == 0
    sheet = read_image(out)
    assert sheet.shape == (2 * 256, 6 * 256, 3)
    yellow = (sheet[..., :2] > 180).all(-1) & (sheet[..., 2] < 130)
    assert yellow[:, :256].any() and not yellow[:, 256:512].any(), "the window is drawn on the picture alone"
    assert main(["data", "show", "lspet", "--root", str(root), "--augmentation", "none"]) == 2
    assert "released-mpii" in capsys.readouterr().err


def test_pack_from_the_command_line(root, tmp_path, capsys):
    assert main(["data", "pack", "lspet", "--root", str(root), "--out", str(tmp_path / "p")]) == 0
    assert main(["data", "check", "lspet", "--root", str(tmp_path / "p")]) == 0
    assert "people or tracks" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["mpii", "human36m", "penn-action", "ntu", "coco", "folder"])
def test_a_missing_folder_says_what_was_looked_for(name, tmp_path, capsys):
    assert main(["data", "check", name, "--root", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("poseact: ") and str(tmp_path / "none") in error and error.count("\n") == 1
    assert main(["data", "check", name]) == 2
    assert "--root" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["data", "check", name, "--root", str(tmp_path / "empty")]) == 2
    assert np.char.count(capsys.readouterr().err, "\n") == 1
