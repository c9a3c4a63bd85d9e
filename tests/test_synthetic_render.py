"""`poseact data render`: goes on where it stopped, never mixes sets, and says in one line what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from poseact.cli import main
from poseact.data.synthetic import render
from poseact.data.synthetic.actions import ACTIONS, random_motion
from poseact.data.synthetic.formats import clips
from poseact.data.synthetic.placing import figure_joints
from poseact.data.synthetic.render import FORMS, read_captured, render_set
from poseact.data.synthetic.rig import random_lengths
from poseact.errors import UserError
from poseact.skeleton import FIGURE36

TINY = {"count": 3, "frames": 3, "size": "64", "actions": "walk,bow"}
COMMAND = ["--count", "3", "--frames", "3", "--size", "64", "--actions", "walk,bow"]


def files_of(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    render_set(root, **TINY)
    return root


# --- stop and resume ------------------------------------------------------------------------------


def test_a_finished_set_is_left_as_it_is(whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    again = render_set(whole, **TINY)
    assert (again.made, again.found) == (0, 3)
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_run_that_was_stopped_goes_on(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    drawn = clips.pictures

    def stopping(film, occluded):
        for i, image in enumerate(drawn(film, occluded)):
            if i == 1 and len(list(tmp_path.rglob("*.mp4"))) == after:
                raise KeyboardInterrupt
            yield image

    monkeypatch.setattr(clips, "pictures", stopping)
    with pytest.raises(KeyboardInterrupt):
        render_set(tmp_path, **TINY)
    assert len(list(tmp_path.rglob("*.json"))) == after + 1  # render.json is one
    monkeypatch.undo()
    rest = render_set(tmp_path, **TINY)
    assert (rest.made, rest.found) == (3 - after, after)
    assert files_of(tmp_path) == files_of(whole)


def test_a_video_without_its_labels_is_made_again(whole: Path, tmp_path: Path) -> None:
    render_set(tmp_path, **TINY)
    next(tmp_path.rglob("00001.json")).unlink()
    assert render_set(tmp_path, **TINY).made == 1
    assert files_of(tmp_path) == files_of(whole)


def test_a_full_disk_is_told_in_one_line_and_the_run_goes_on_later(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(clips, "write_json", full)
    with pytest.raises(UserError, match=r"00000\.json: cannot be written: No space left.*same command again"):
        render_set(tmp_path, **TINY)
    monkeypatch.undo()
    assert render_set(tmp_path, **TINY).made == 3
    assert files_of(tmp_path) == files_of(whole)


# --- motion capture and photographs ---------------------------------------------------------------

BVH_BONES = [  # name, parent, offset in metres
    ("Hips", None, (0, 0, 0)), ("Spine", "Hips", (0, 0.23, 0)), ("Neck", "Spine", (0, 0.28, 0)),
    ("Head", "Neck", (0, 0.1, 0)),
    *[bone for side, x in (("Left", 1), ("Right", -1)) for bone in (
        (f"{side}Arm", "Spine", (x * 0.18, 0.24, 0)), (f"{side}ForeArm", f"{side}Arm", (0, -0.3, 0)),
        (f"{side}Hand", f"{side}ForeArm", (0, -0.26, 0)), (f"{side}UpLeg", "Hips", (x * 0.09, 0, 0)),
        (f"{side}Leg", f"{side}UpLeg", (0, -0.43, 0)), (f"{side}Foot", f"{side}Leg", (0, -0.42, 0)),
        (f"{side}ToeBase", f"{side}Foot", (0, -0.05, 0.13)))],
]  # fmt: skip


def bvh(path: Path, frames: int = 5) -> Path:
    """Somebody who stands still and turns the hips a little."""

    def block(name: str) -> str:
        x, y, z = next(offset for bone, _, offset in BVH_BONES if bone == name)
        inner = "".join(block(bone) for bone, parent, _ in BVH_BONES if parent == name)
        if not inner:
            inner = "End Site\n{\nOFFSET 0 -0.05 0\n}\n"
        word = "ROOT" if name == "Hips" else "JOINT"
        channels = "CHANNELS 3 Xposition Yposition Zposition" if name == "Hips" else "CHANNELS 1 Yrotation"
        return f"{word} {name}\n{{\nOFFSET {x} {y} {z}\n{channels}\n{inner}}}\n"

    rows = [" ".join(["0", "0.92", "0"] + [str(2 * f)] + ["0"] * (len(BVH_BONES) - 2)) for f in range(frames)]
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"HIERARCHY\n{block('Hips')}MOTION\nFrames: {frames}\nFrame Time: 0.02\n"
    path.write_text(head + "\n".join(rows) + "\n")
    return path


def npz(path: Path, actions: tuple[str, ...] = ("walk-turn-left", "dance")) -> Path:
    """A clip of 6 frames of each action, as the Bandai-Namco set has them."""
    names = {
        "Hips": "pelvis", "Spine": "spine", "Chest": "thorax", "Neck": "thorax", "Head": "neck",
        **{f"{part}_{side[0].upper()}": f"{side}_{joint}" for side in ("left", "right") for part, joint in (
            ("UpperArm", "shoulder"), ("LowerArm", "elbow"), ("Hand", "wrist"), ("UpperLeg", "hip"),
            ("LowerLeg", "knee"), ("Foot", "ankle"), ("Toes", "foot"), ("Shoulder", "clavicle"))},
    }  # fmt: skip
    rng = np.random.default_rng(0)
    moved = [figure_joints(random_motion("walk", rng, 6), random_lengths(rng)) for _ in actions]
    positions = np.concatenate(moved)[:, [FIGURE36.index(joint) for joint in names.values()]]
    np.savez(
        path, positions=positions.astype(np.float16), lengths=np.full(len(actions), 6),
        action=np.array(actions),
        clip=np.array([f"c{i}" for i in range(len(actions))]), style=np.array(["s"] * len(actions)),
        joint_names=np.array(list(names)), parents=np.zeros(len(names), int), fps=np.array(30),
    )  # fmt: skip
    return path


def test_bvh_files_are_performed_under_the_names_of_folders_and_files(tmp_path: Path) -> None:
    for name in ("walk_01.bvh", "walk_2.BVH", "Salsa/a.bvh"):
        bvh(tmp_path / "m" / name)
    assert read_captured(tmp_path / "m").actions == ("Salsa", "walk", "walk")
    out = tmp_path / "out"
    render_set(out, count=3, frames=3, size="64", motions=tmp_path / "m")
    told = [json.loads(p.read_text()) for p in sorted(out.rglob("0*.json"), key=lambda p: p.name)]
    assert [t["action"] for t in told] == ["Salsa", "walk", "Salsa"]
    assert {t["fps"] for t in told} == {50} and {len(t["joints_px"]) for t in told} == {3}


def test_a_captured_motion_that_is_shorter_is_shown_whole(tmp_path: Path) -> None:
    render_set(tmp_path / "out", count=1, frames=99, size="64", motions=npz(tmp_path / "m.npz"))
    (path,) = (tmp_path / "out").rglob("0*.json")
    assert len(json.loads(path.read_text())["joints_px"]) == 6 and path.parent.name == "dance"


def test_a_form_takes_the_captured_actions_that_it_has_labels_for(tmp_path: Path) -> None:
    motions = npz(tmp_path / "m.npz")
    render_set(tmp_path / "out", "human36m", count=1, frames=3, motions=motions)
    assert [p.name for p in (tmp_path / "out").rglob("*.mp4")] == ["Walking 1.54138969.mp4"]
    with pytest.raises(UserError, match=r"penn-action has a label for.*dance, walk-turn-left"):
        render_set(tmp_path / "other", "penn-action", motions=motions)


def photograph(folder: Path, colour: tuple[int, int, int]) -> None:
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.full((80, 80, 3), colour, np.uint8))


def test_photographs_become_backgrounds(tmp_path: Path) -> None:
    photograph(tmp_path / "p", (0, 0, 250))
    render_set(tmp_path / "out", "mpii", count=2, size="64", photographs=tmp_path / "p")
    for path in (tmp_path / "out" / "images").glob("*.jpg"):
        corner = cv2.imread(str(path))[:6, :6].reshape(-1, 3).mean(0)
        assert corner[2] > 2 * corner[:2].max()  # red, whatever the exposure


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "message"), [
    (["--form", "coco"], "expected one of clips, mpii"),
    (["--actions", "walk,fly"], "expected some of walk, turn_left"),
    (["--actions", ","], "got none"),
    (["--form", "penn-action", "--actions", "walk"], "expected some of jumping_jacks"),
    (["--count", "0"], "--count: expected 1 or more"),
    (["--frames", "2"], "--frames: expected 3 or more"),
    (["--seed", "-1"], "--seed: expected 0 or more"),
    (["--form", "mpii", "--frames", "9"], "stills only"),
    (["--form", "human36m", "--size", "256"], "the cameras of human36m fix it"),
    (["--form", "penn-action", "--count", "10000"], "at most 9999"),
    *[(["--size", size], "expected HEIGHTxWIDTH") for size in ("8", "65", "x", "64x", "64x9999", "-64")],
    (["--motions", "no.npz"], "no.npz: expected a file, found none"),
    (["--motions", "empty"], "expected .bvh files in the folder, found none"),
    (["--motions", "broken"], "a.bvh: expected a BVH file"),
    (["--motions", "text.npz"], "text.npz: expected an npz archive"),
    (["--motions", "text.txt"], "expected an .npz file, or a folder of .bvh files"),
    (["--motions", "escape.npz"], "expected actions named by letters"),
    (["--photographs", "nowhere"], "nowhere: no such folder"),
    (["--photographs", "empty"], "expected images"),
    (["--photographs", "damaged"], "none of 1 decodes"),
    (["--out", "text.txt"], "expected a folder, found a file"),
    (["--out", "broken"], "is not empty, and no set"),
])  # fmt: skip
def test_mistakes_end_with_2_and_one_line(
    options: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "broken", "damaged"):
        Path(folder).mkdir()
    Path("broken/a.bvh").write_text("HIERARCHY\nnothing")
    Path("damaged/a.jpg").write_bytes(b"\xff\xd8 no picture")
    for name in ("text.npz", "text.txt"):
        Path(name).write_text("words")
    npz(Path("escape.npz"), ("../up",))
    before = files_of(tmp_path)
    assert main(["data", "render", "--out", "out", *options]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert files_of(tmp_path) == before


@pytest.mark.parametrize(("change", "message"), [
    (["--seed", "1"], "seed 0 instead of 1"),
    (["--count", "4"], "count 3 instead of 4"),
    (["--form", "mpii", "--frames", "1"], "form 'clips' instead of 'mpii'"),
    (["--actions", "walk"], "actions"),
])  # fmt: skip
def test_another_set_is_not_mixed_in(
    change: list[str], message: str, whole: Path, capsys: pytest.CaptureFixture
) -> None:
    before = files_of(whole)
    assert main(["data", "render", "--out", str(whole), *COMMAND, *change]) == 2
    told = capsys.readouterr().err
    assert "holds another set" in told and message in told and told.count("\n") == 1
    assert files_of(whole) == before


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"{"])
def test_a_damaged_manifest_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / render.MANIFEST).write_bytes(content)
    with pytest.raises(UserError, match="give another folder with --out"):
        render_set(tmp_path, **TINY)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written"):
        render_set(tmp_path / "out", **TINY)


# --- the command ----------------------------------------------------------------------------------


def test_the_command_says_what_to_run_next_and_that_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", "render", "--out", "set", *COMMAND]) == 0
    shown = capsys.readouterr().out
    assert "3 made" in shown
    commands = [line.split() for line in shown.splitlines() if line.startswith("  poseact")]
    for command in commands:
        assert main(command[1:]) == 0
    splits = [command[command.index("--split") + 1] for command in commands]
    assert splits == ["train", "val", "val"]  # three videos have none for the test
    assert Path("samples.png").is_file()
    capsys.readouterr()
    assert main(["data", "render", "--out", "set", *COMMAND]) == 0
    assert "0 made (3 were there)" in capsys.readouterr().out


def test_defaults_have_every_split() -> None:
    assert set(FORMS) == {"clips", "mpii", "human36m", "penn-action", "ntu"}
    assert FORMS["clips"].count >= len(ACTIONS) and FORMS["human36m"].count >= 28
