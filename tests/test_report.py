import base64
import functools
import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from fakes.networks import Known, Scripted
from fakes.tracks import Tracks

from poseact.cli import main
from poseact.data.human36m import ACTIONS
from poseact.data.images import read_image, write_json, write_png
from poseact.evaluation import figures
from poseact.evaluation.files import evaluation_object, read_evaluation
from poseact.evaluation.protocols import evaluate_action, evaluate_pose
from poseact.evaluation.rules import OURS, Protocol, changed
from poseact.skeleton import PA17

CPU = torch.device("cpu")


class Studio(Tracks):
    """Tracks of Human3.6M's actions, each person moved farther from the root than the one before."""

    actions = ACTIONS

    def __getitem__(self, i):
        track = super().__getitem__(i)
        track.joints[:, 5:, 2] += 30 * i
        return replace(track, action=i % 15)


@pytest.fixture(scope="module")
def posed():
    pose = np.random.default_rng(0).uniform(0.4, 0.6, (17, 3)).tolist()
    return evaluate_pose(Known(pose), PA17, Studio(count=30, frames=1), CPU)


@pytest.fixture
def quick_figures(monkeypatch):
    """Figures take most of the time of a report."""
    for name in ("by_block", "by_action"):
        monkeypatch.setattr(f"poseact.evaluation.report.{name}", lambda *_: b"")


@functools.cache
def acted(wrong=3, protocol=OURS, count=20):
    """Right but for every ``wrong``-th clip."""
    seen = []

    def script(frames, *_):
        seen.extend([None] * len(frames))
        order = np.arange(len(seen) - len(frames), len(seen))
        return torch.nn.functional.one_hot(torch.tensor((order + (order % wrong == 0)) % 2), 2) * 0.8 + 0.1

    return evaluate_action(Scripted(script, actions=2), Tracks(count=count, frames=4), CPU, protocol)


def save(
    folder, name, scores, data="synthetic", split="test", recipe=None, sha256="12ab", sheet=False, part=False
):
    about = {"arguments": {}, "metadata": {"recipe": recipe} if recipe else {}, "sha256": sha256}
    content = evaluation_object(
        scores, data=data, split=split, part=part, weights=f"{name}.safetensors", about=about, device=CPU
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"eval-{name}.json", content)
    if sheet:
        write_png(folder / f"eval-{name}.png", np.full((40, 60, 3), 90, np.uint8))
    return content


def report(out, *sources):
    assert main(["report", *map(str, sources), "--out", str(out)]) == 0
    return (out / "report.md").read_text(), (out / "report.html").read_text()


def table(text, title):
    """The cells of the table under a heading."""
    part = text.split(f"## {title}")[1].split("\n## ")[0]
    rows = [line[2:-2].split(" | ") for line in part.splitlines() if line.startswith("|")]
    return [rows[0], *rows[2:]], part


def test_every_table_stands_with_the_papers_numbers_and_how_to_make_ours(quick_figures, tmp_path):
    save(tmp_path / "run", "a", acted(), "folder")
    text, page = report(tmp_path / "out", tmp_path / "run")
    for number, value in ((1, "53.2"), (2, "34.9"), (3, "98.6"), (4, "85.5"), (5, "63.3"), (6, "67.3")):
        part = table(text, f"Table {number}.")[1]
        assert value in part and ("poseact evaluate" in part or number == 6)
        assert f"<h2>Table {number}." in page
    assert "--split test-single --submission" in text


def test_ours_stand_beside_the_papers_with_intervals_and_what_made_them(quick_figures, tmp_path):
    content = save(tmp_path, "a", acted(), "ntu", "xsub-test", recipe="ntu-finetune")
    text, _ = report(tmp_path / "out", tmp_path)
    for title in ("Table 4.", "Table 5."):
        rows, part = table(text, title)
        ours = rows[-1]
        assert ours[0] == "E1 ntu-finetune" and "poseact evaluate" not in part
        share = 100 * content["scores"]["accuracy"]
        low, high = map(float, re.search(r"\((\S+) to (\S+)\)", ours[3]).groups())
        assert ours[3].startswith(f"{share:.1f} (") and low < share < high
        for fact in (
            "ntu xsub-test (20 videos)",
            "a.safetensors",
            "sha256 12ab",
            "one clip in the middle",
            "torch",
        ):
            assert fact in part
    assert "There is no evaluation" in table(text, "Table 3.")[1]


def test_table_5_tells_poses_and_clips_apart(quick_figures, tmp_path):
    for name, rules in {
        "1": Protocol(poses="estimated"),
        "2": Protocol(clips="many"),
        "3": changed(OURS, poses="noisy", noise=0.05, crops="flip"),
    }.items():
        save(tmp_path, name, replace(acted(), protocol=rules), "ntu", "test", recipe="ntu-action")
    rows, _ = table(report(tmp_path / "out", tmp_path)[0], "Table 5.")
    assert {row[0].split(" ", 1)[1] for row in rows[5:]} == {
        "ntu-action", "ntu-action, multi-clip", "ntu-action, noisy poses, 2 crops",
    }  # fmt: skip


def test_a_part_of_a_split_says_so_beside_the_paper(quick_figures, tmp_path):
    save(tmp_path, "a", acted(), "ntu", "xsub-test", recipe="ntu-finetune", part=True)
    rows, _ = table(report(tmp_path / "out", tmp_path)[0], "Table 4.")
    assert rows[-1][0] == "E1 ntu-finetune, 20 of the split alone"


def test_human36m_by_action_and_by_training(quick_figures, tmp_path, posed):
    ten = replace(posed, protocol=changed(OURS, crops="ten"))
    save(tmp_path, "one", posed, "human36m", "test", "human36m", "aa")
    save(tmp_path, "ten", ten, "human36m", "test", "human36m", "aa")
    save(tmp_path, "mixed", posed, "human36m", "released-val", "human36m-mpii", "bb")
    text, _ = report(tmp_path / "out", tmp_path)
    rows, _ = table(text, "Table 1.")
    assert [row[0] for row in rows[1:16]] == list(ACTIONS) and len(rows[0]) == 6
    walking = next(row for row in rows if row[0] == "Walking")
    assert float(walking[3]) == pytest.approx(posed.by_action["Walking"]["MPJPE_mm"], abs=0.06)
    mean = next(row for row in rows if row[0] == "mean of actions")
    assert mean[1:3] == ["55.1", "53.2"]
    assert mean[3].startswith(f"{posed.scores['MPJPE_by_action_mm'][0]:.1f} (")
    rows, _ = table(text, "Table 6.")
    trained = {row[0]: row[1:] for row in rows[3:]}
    assert trained.keys() == {"human36m", "human36m-mpii"}
    assert all(cell.count("(E") == 1 for cell in trained["human36m"])
    assert trained["human36m-mpii"][0] and not trained["human36m-mpii"][1].strip()


def test_other_data_and_training_splits_go_to_a_table_of_their_own(quick_figures, tmp_path, posed):
    save(tmp_path, "own", acted(), "folder")
    save(tmp_path, "train", acted(), "ntu", "xsub-train")
    save(tmp_path, "pose", posed, "synthetic")
    text, _ = report(tmp_path / "out", tmp_path)
    rows, _ = table(text, "Other data: actions")
    assert {row[1] for row in rows[1:]} == {"folder test", "ntu xsub-train"}
    rows, _ = table(text, "Other data: poses")
    assert "MPJPE\\_mm" in rows[0]
    assert "There is no evaluation" in table(text, "Table 4.")[1]


def test_released_rules_tell_the_hidden_joints_too(quick_figures, tmp_path, posed):
    hidden = replace(
        posed,
        main="PCKh@0.5",
        scores={"PCKh@0.5": [0.9], "PCKh@0.5_annotated": [0.8], "PCKh@0.2_annotated": [0.4]},
    )
    save(tmp_path, "m", hidden, "mpii", "released-val")
    _, part = table(report(tmp_path / "out", tmp_path)[0], "Table 2.")
    assert "on all annotated joints: E1 PCKh@0.5 80.0, PCKh@0.2 40.0" in part.replace("\\", "")


def test_figures_are_drawn_and_held_by_the_page(tmp_path):
    save(tmp_path / "run", "a", acted(), recipe="ablation-action", sheet=True)
    save(tmp_path / "run" / "later", "b", acted(wrong=7), recipe="ablation-finetune")
    out = tmp_path / "out"
    text, page = report(out, tmp_path / "run")
    names = re.findall(r"\]\((.+?\.png)\)", text)
    assert [name[:9] for name in names] == ["figure-7-", "figure-8-", "figure-9-"]
    assert all(read_image(out / name).std() > 0 or name.startswith("figure-7") for name in names)
    pictures = re.findall(r"base64,([A-Za-z0-9+/=]+)", page)
    assert [base64.b64decode(picture) for picture in pictures] == [
        (out / name).read_bytes() for name in names
    ]
    assert 'src="figure' not in page and "http" not in page.replace("http-equiv", "")
    assert "E2 ablation-finetune" in text.split("Figure 9.")[1]


def test_names_and_rounded_scores_are_drawn_as_they_are(tmp_path):
    """Dollars are no TeX; a score rounded to six digits may lie beyond its own interval."""
    save(tmp_path, "a", replace(acted(), actions=("cost_$5_to_$6", "stand")))
    evaluation = read_evaluation(tmp_path / "eval-a.json")
    low, high = evaluation.interval("accuracy")
    for beyond in (low - 3e-7, high + 3e-7):
        told = replace(evaluation, scores={**evaluation.scores, "accuracy": beyond})
        assert figures.by_block([told], ["$5_to_$6_"], "of $5_to_$6_")[:4] == b"\x89PNG"
    report(tmp_path / "out", tmp_path)


def test_figure_9_tells_what_is_taken_for_what(quick_figures, tmp_path):
    confusion = np.array([[7, 3], [1, 9]])
    save(tmp_path, "a", replace(acted(), confusion=confusion))
    part = report(tmp_path / "out", tmp_path)[0].split("## Figure 9.")[1]
    assert "taken for another: walk as stand (3 of 10 answered), stand as walk (1 of 10 answered)." in part


def test_figure_9_shows_estimated_poses_before_given_ones(quick_figures, tmp_path):
    save(tmp_path, "a", acted(), recipe="estimated-one")
    save(tmp_path, "b", replace(acted(), protocol=Protocol(poses="given")), recipe="given-one")
    assert "estimated-one." in report(tmp_path / "out", tmp_path)[0].split("## Figure 9.")[1]


@pytest.mark.slow
def test_figures_of_many_actions_grow(tmp_path):
    scores = acted()
    names = tuple(f"an action of a long name, number {i}" for i in range(60))
    row = scores.by_action["walk"]
    by_action, confusion = {name: row for name in names}, np.eye(60, dtype=np.int64)
    many = replace(scores, actions=names, by_action=by_action, confusion=confusion)
    save(tmp_path, "a", many)
    report(tmp_path / "out", tmp_path)
    assert read_image(tmp_path / "out" / "figure-9-E1.png").shape[0] > 2000


def test_names_in_a_file_stay_text(quick_figures, tmp_path):
    nasty = "<script>alert(1)</script>|`x` [a](b)\n# h"
    save(tmp_path, "a", acted(), data="../../x", split=nasty, recipe=nasty)
    out = tmp_path / "deep" / "out"
    text, page = report(out, tmp_path / "eval-a.json")
    assert "<script>" not in page and "&lt;script&gt;" in page
    rows, part = table(text, "Other data: actions")
    assert len(rows) == 2 and "\n# h" not in part
    assert {path.parent for path in tmp_path.rglob("*.png")} == {out}  # and no way out of it


def one_line(capsys, *argv):
    assert main(list(map(str, argv))) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("poseact: ")
    return error


def test_mistakes(tmp_path, capsys):
    out = tmp_path / "out"
    assert "expected evaluation files named eval-*.json" in one_line(capsys, "report", tmp_path, "--out", out)
    assert "No such file" in one_line(capsys, "report", tmp_path / "x.json", "--out", out)
    save(tmp_path, "a", acted(), sheet=True)
    (tmp_path / "eval-b.json").write_text(json.dumps({"scores": {}}))
    assert "eval-b.json: expected a file of `poseact evaluate" in one_line(
        capsys, "report", tmp_path, "--out", out
    )
    (tmp_path / "eval-b.json").unlink()
    (tmp_path / "eval-a.png").write_bytes(b"no picture")
    assert "eval-a.png" in one_line(capsys, "report", tmp_path, "--out", out)
    assert not out.exists()
    (tmp_path / "eval-a.png").unlink()
    (tmp_path / "file").write_text("")
    assert "file" in one_line(capsys, "report", tmp_path, "--out", tmp_path / "file")


def test_the_same_file_twice_is_one_row(tmp_path):
    save(tmp_path, "a", acted(), "folder")
    rows, _ = table(report(tmp_path / "out", tmp_path, tmp_path / "eval-a.json")[0], "Other data: actions")
    assert len(rows) == 2
    assert cv2.imread(str(tmp_path / "out" / "figure-8-E1.png")) is not None
