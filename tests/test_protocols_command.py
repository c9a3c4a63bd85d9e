import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.io
import torch
from fakes import human36m, lspet, mpii, ntu, video
from fakes import penn_action as penn

from poseact.cli import main
from poseact.data.mpii import Mpii
from poseact.evaluation.files import read_evaluation
from poseact.evaluation.poses import measure_poses
from poseact.evaluation.rules import OURS
from poseact.evaluation.submission import write_submission
from poseact.network import arguments, build
from poseact.skeleton import MPII16, PA16
from poseact.weights import save_weights


def weights(tmp_path, preset, about=None, **changes):
    args = arguments(preset, "paper", width=16, blocks=2, size=64, **changes)
    path = tmp_path / f"{preset}.safetensors"
    save_weights(path, build(args)[0], args, about or {})
    return path


def evaluate(path, data, root, *options):
    return main(["evaluate", "--weights", str(path), "--data", data, "--root", str(root), *map(str, options)])


def test_poses_are_scored_written_and_drawn(tmp_path, capsys):
    mpii.write_released(tmp_path / "set", mpii.truth())
    path, out = weights(tmp_path, "mpii", {"recipe": "mpii"}), tmp_path / "run" / "eval-mpii.json"
    options = ("--split", "val", "--protocol", "released", "--crops", "flip", "--json", out)
    assert evaluate(path, "mpii", tmp_path / "set", *options) == 0
    shown = capsys.readouterr().out
    for text in ("device: ", "block 2", "PCKh@0.5_annotated", "2 crops", "3 scored"):
        assert text in shown
    read = read_evaluation(out)
    assert read.rules.flip and read.rules.joints == "in-crop" and read.metadata["recipe"] == "mpii"
    assert read.sheet and len(read.sha256) == 64 and read.weights == str(path)
    assert json.loads(out.read_text())["network"]["arguments"]["width"] == 16


def test_actions_of_a_network_that_recognises_them(tmp_path, capsys):
    penn.write(tmp_path / "set")
    path, out = weights(tmp_path, "penn-action", actions=15, frames=8), tmp_path / "eval-penn.json"
    assert evaluate(path, "penn-action", tmp_path / "set", "--split", "test", "--json", out) == 0
    shown = capsys.readouterr().out
    assert "accuracy_appearance" in shown and "aggregation" in shown
    assert read_evaluation(out).kind == "action" and read_evaluation(out).sheet
    options = ("--poses", "noisy", "--noise", "0.05", "--clips", "many", "--split", "test")
    assert evaluate(path, "penn-action", tmp_path / "set", *options) == 0
    assert "noise of 0.05 crop sides" in capsys.readouterr().out


@pytest.mark.parametrize(("options", "message"), [
    (("--protocol", "best"), "protocol: expected one of ours, paper, released"),
    (("--protocol", "released"), "protocol released: expected one of mpii"),
    (("--crops", "5"), "crops: expected one of one, flip, ten"),
    (("--poses", "noisy"), "pose noise: expected a standard deviation above 0"),
    (("--noise", "0.1"), "pose noise"),
    (("--task", "dance"), "task: expected pose or action, got 'dance'"),
    (("--task", "action"), "single images have no actions"),
    (("--submission", "o.mat"), "submission: expected --data mpii --split test-single"),
    (("--boxes", "authors"), "boxes: the authors' file is of --data penn-action --split released-test"),
    (("--json", "set"), "set: expected the name of a file that ends in .json"),
    (("--json", "a.png"), "a.png: expected the name of a file that ends in .json"),
    (("--json", "set/joints.mat/a.json"), "a.json: expected a place that can be written"),
    (("--json", "a.json", "--submission", "o.mat"), "leave --json out"),
])  # fmt: skip
def test_mistakes_end_with_2_and_one_line(tmp_path, monkeypatch, capsys, options, message):
    lspet.write(tmp_path / "set", count=2)
    path = weights(tmp_path, "tiny", layout="lsp14")
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    assert evaluate(path, "lspet", "set", *options) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("options", "message"), [
    (("--task", "pose"), "videos have no joints to score"),
    (("--poses", "given"), "videos have no joints that could be given"),
])  # fmt: skip
def test_ones_own_videos_have_no_joints(tmp_path, capsys, options, message):
    (tmp_path / "set" / "walk").mkdir(parents=True)
    video.write(tmp_path / "set" / "walk" / "a.mp4", 4)
    path = weights(tmp_path, "penn-action", actions=15, frames=8)
    assert evaluate(path, "folder", tmp_path / "set", "--split", "all", *options) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_submission_holds_everybody_of_test_single_in_mpiis_form_and_pixels(tmp_path, capsys):
    pictures = mpii.truth()
    mpii.write_official(tmp_path / "set", pictures)
    source = Mpii(tmp_path / "set", "test-single")
    path, out = weights(tmp_path, "mpii"), tmp_path / "pred_keypoints_mpii.mat"
    assert evaluate(path, "mpii", tmp_path / "set", "--split", "test-single", "--submission", out) == 0
    assert "1 of its people have no prediction" in capsys.readouterr().out  # one has no scale or position
    pred = scipy.io.loadmat(out, squeeze_me=False)["pred"]
    listed = [(index, picture) for index, picture in enumerate(pictures, 1) if not picture.train]
    assert pred.shape == (1, len(listed))  # as long as annolist(img_train == 0)
    found = 0
    for image, (index, picture) in zip(pred[0], listed, strict=True):
        assert image["image"]["name"][0, 0].item() == picture.name
        assert image["annorect"].shape == (1, len(picture.people))
        for r, (rect, person) in enumerate(zip(image["annorect"][0], picture.people, strict=True), 1):
            if not person.single:
                assert rect["annopoints"].size == 0
                continue
            point = rect["annopoints"]["point"][0, 0]
            assert point["id"][0].tolist() == list(range(16))
            xy = np.array([[value.item() for value in point[name][0]] for name in "xy"]).T
            if (index, r) not in source.places:
                assert np.isnan(xy).all()
                continue
            found += 1
            box = source[source.places.index((index, r))].box
            low = np.array(box.centre) - box.side / 2 + 1
            assert ((xy >= low) & (xy <= low + box.side)).all()
    assert found == len(source)


def test_the_joints_of_a_submission_are_renamed(tmp_path):
    mpii.write_official(tmp_path / "set", mpii.truth())
    source = Mpii(tmp_path / "set", "test-single")
    network, _ = build(arguments("mpii", "paper", width=16, blocks=1, size=64))
    poses = measure_poses(network, PA16, source, torch.device("cpu"), OURS)
    marked = np.arange(32).reshape(1, 16, 2).astype(float)
    people = [replace(person, predicted=marked) for person in poses.people]
    unread = replace(poses, people=people[1:], places=poses.places[1:])
    assert write_submission(tmp_path / "a.mat", source, PA16, replace(poses, people=people)) == 1
    assert write_submission(tmp_path / "b.mat", source, PA16, unread) == 2
    point = first_person(tmp_path / "a.mat")
    for j, joint in enumerate(MPII16.joints):
        x, y = (marked[0, PA16.index(joint)] + 1).tolist()
        assert (point["x"][0, j].item(), point["y"][0, j].item(), point["id"][0, j].item()) == (x, y, j)
    assert np.isnan([x.item() for x in first_person(tmp_path / "b.mat")["x"][0]]).all()


def first_person(path):
    """pred(1).annorect(1).annopoints.point"""
    return scipy.io.loadmat(path)["pred"][0, 0]["annorect"][0, 0]["annopoints"]["point"][0, 0]


def test_a_submission_needs_all_of_mpiis_joints(tmp_path, capsys):
    mpii.write_official(tmp_path / "set", mpii.truth())
    path = weights(tmp_path, "tiny", layout="lsp14")
    assert (
        evaluate(path, "mpii", tmp_path / "set", "--split", "test-single", "--submission", tmp_path / "o.mat")
        == 2
    )
    assert "it lacks pelvis, thorax" in capsys.readouterr().err and not (tmp_path / "o.mat").exists()
    mpii_weights = weights(tmp_path, "mpii")
    assert (
        evaluate(
            mpii_weights, "mpii", tmp_path / "set", "--split", "test", "--submission", tmp_path / "o.mat"
        )
        == 2
    )
    assert "got the split 'test'" in capsys.readouterr().err


def test_human36m_in_the_authors_form(tmp_path, capsys):
    bodies = human36m.world()
    human36m.write_authors(tmp_path / "set", bodies)
    human36m.write_images(tmp_path / "set", bodies, step=64)
    path, out = weights(tmp_path, "human36m"), tmp_path / "eval-h.json"
    options = ("--split", "released-val", "--json", out, "--protocol", "released")
    assert evaluate(path, "human36m", tmp_path / "set", *options) == 0
    read = read_evaluation(out)
    # S9: one frame of SittingDown and three of Walking; S11: Directions without its damaged camera,
    # the second Directions, Phoning: in each of four cameras.
    assert read.samples == 4 * 4 + 3 + 4 + 4 and read.main == "MPJPE_mm"
    assert read.by_action.keys() == {"Directions", "Phoning", "SittingDown", "Walking"}
    assert {"MPJPE_by_action_mm", "PA_MPJPE_mm", "MPJPE_usual_by_action_mm"} <= read.scores.keys()
    assert "distortion undone in one step" in read.protocol and "weak" not in read.protocol
    assert len(set(read.people.unit.tolist())) == 5  # what four cameras see at once is not independent


@pytest.mark.slow
def test_ntu_by_the_authors_rules(tmp_path, capsys):
    truths = ntu.make(ntu.NAMES)
    ntu.write_numpy(tmp_path / "set", truths)
    path, out = weights(tmp_path, "ntu", frames=4), tmp_path / "eval-n.json"
    options = ("--split", "xsub-test", "--json", out, "--protocol", "released")
    assert evaluate(path, "ntu", tmp_path / "set", *options) == 0
    content, read = json.loads(out.read_text()), read_evaluation(out)
    assert read.samples == 2 and "product" in read.protocol and "changed over" in read.protocol
    long_enough = [truth.frames >= 8 for truth in truths if truth.name in (ntu.NAMES[1], ntu.NAMES[3])]
    assert content["unanswered"] == 2 - sum(long_enough)
    assert evaluate(path, "ntu", tmp_path / "set", *options[:-2], "--task", "pose") == 0
    assert "PCK@0.2" in capsys.readouterr().out
    assert "weak-perspective" in read_evaluation(out).protocol


@pytest.mark.slow
def test_two_processes_write_what_one_does(tmp_path):
    lspet.write(tmp_path / "set", count=40)
    path = weights(tmp_path, "tiny", layout="lsp14")
    command = ["-m", "poseact.cli", "evaluate", "--weights", str(path), "--data", "lspet"]
    command += ["--root", str(tmp_path / "set"), "--json"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([sys.executable, *command, str(tmp_path / "1.json")], env=env, check=True)
    two = [sys.executable, *launcher, *command, str(tmp_path / "2.json")]
    run = subprocess.run(two, env=env, check=True, capture_output=True, text=True)
    assert run.stdout.count("block 2") == 1
    one, both = (json.loads((tmp_path / f"{n}.json").read_text()) for n in (1, 2))
    for key in ("scores", "by_block", "by_joint", "people", "samples", "skipped"):
        assert one[key] == both[key]
