import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes.damage import mutate
from fakes.networks import Known, Scripted
from fakes.tracks import Tracks

from poseact.data.images import write_json
from poseact.errors import UserError
from poseact.evaluation.files import evaluation_object, read_evaluation
from poseact.evaluation.protocols import evaluate_action, evaluate_pose
from poseact.evaluation.rules import FIVE_CROPS, Protocol
from poseact.skeleton import PA17

CPU = torch.device("cpu")
ABOUT = {"arguments": {"width": 16}, "metadata": {"recipe": "ours"}, "sha256": "12ab"}
NAMES = {"data": "synthetic", "split": "test", "part": False, "weights": "runs/w.safetensors"}


def poses(count=5):
    rng = np.random.default_rng(0)
    network = Known(rng.random((17, 3)).tolist(), rng.uniform(0.4, 0.6, (17, 3)).tolist())
    protocol = Protocol(frame_step=7, shifts=FIVE_CROPS)
    return evaluate_pose(network, PA17, Tracks(count=count), CPU, protocol)


def actions(count=9):
    def script(frames, *_):
        return torch.nn.functional.one_hot(torch.arange(len(frames)) // 2 % 2, 2) * 0.8 + 0.1

    return evaluate_action(Scripted(script, actions=2), Tracks(count=count), CPU)


def written(tmp_path, scores, name="eval-test.json"):
    content = evaluation_object(scores, **NAMES, about=ABOUT, device=CPU)
    write_json(tmp_path / name, content)
    return content, tmp_path / name


def test_what_is_read_is_what_was_scored(tmp_path):
    scores = poses()
    _, path = written(tmp_path, scores)
    read = read_evaluation(path)
    assert read.kind == "pose" and read.main == "MPJPE_mm" and read.samples == 15 and read.sheet is None
    last = {name: values[-1] for name, values in scores.scores.items()}
    assert read.scores == pytest.approx(last, rel=1e-5)
    assert read.by_block["MPJPE_mm"] == pytest.approx(scores.scores["MPJPE_mm"], rel=1e-5)
    assert read.rules == scores.protocol and read.sha256 == "12ab" and read.metadata == {"recipe": "ours"}
    assert read.people.unit.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    for name, sums in scores.people.sums.items():
        assert read.people.sums[name] == pytest.approx(sums, rel=1e-5)
        counts = read.people.counts[name]
        assert (counts == scores.people.counts[name]).all()
        score = read.people.sums[name].sum() / counts.sum()
        assert score == pytest.approx(read.scores[name], rel=1e-4), "a person's part must add up to the score"


def test_the_object_has_the_pinned_keys_beside_its_facts(tmp_path):
    content, _ = written(tmp_path, poses())
    assert {"data", "split", "samples", "weights", "protocol", "scores"} <= content.keys()
    assert content["by_block"]["2"]["PCK@0.2"] == content["scores"]["PCK@0.2"]
    assert set(content["by_joint"]["head"]) >= {"PCK@0.2", "MPJPE_mm"}
    assert content["by_action"].keys() == {"walk", "stand"}
    assert "torch" in content["software"] and content["hardware"] and content["date"].endswith("UTC")
    assert content["seconds_per_sample"] > 0
    text = json.dumps(content, allow_nan=False)  # strict JSON
    assert str(tmp_path) not in text


def test_actions_are_read_with_their_streams(tmp_path):
    scores = actions()
    content, path = written(tmp_path, scores)
    read = read_evaluation(path)
    assert read.kind == "action" and read.actions == ("walk", "stand")
    assert len(read.by_block["accuracy_pose"]) == len(read.by_block["accuracy_appearance"]) == 4
    assert "accuracy" not in read.by_block and content["by_block"].keys() == {"1", "2", "3", "4"}
    assert np.array(content["confusion"]).sum() == 9


def test_intervals_are_those_of_people_videos_and_actions(tmp_path):
    posed = read_evaluation(written(tmp_path, poses())[1])
    assert all(math.isfinite(value) for value in posed.interval("MPJPE_by_action_mm"))
    assert all(math.isnan(value) for value in posed.interval("accuracy"))
    read = read_evaluation(written(tmp_path, actions())[1])
    low, high = read.interval("accuracy")
    assert 0 <= low < read.scores["accuracy"] < high <= 1 and (low, high) == read.interval("accuracy")
    low, high = read.interval_of_action("accuracy", "walk")
    assert 0 <= low <= read.by_action["walk"]["accuracy"] <= high <= 1
    assert all(math.isnan(value) for value in read.interval_of_action("accuracy", "fly"))


def test_one_person_alone_has_no_interval(tmp_path):
    read = read_evaluation(written(tmp_path, actions(count=1))[1])
    assert all(math.isnan(value) for value in read.interval("accuracy"))


@pytest.mark.parametrize(("change", "message"), [
    (lambda c: c.pop("format"), "'format'"),
    (lambda c: c.update(format="poseact-evaluation-9"), "'format'"),
    (lambda c: c.update(kind="dance"), "kind 'dance'"),
    (lambda c: c.update(main="PCK@9"), "no score of 'PCK@9'"),
    (lambda c: c["scores"].update(accuracy="much"), "'much' in place of a number"),
    (lambda c: c["scores"].update(accuracy=True), "True in place of a number"),
    (lambda c: c.update(samples=-1), "-1 in place of a count"),
    (lambda c: c.update(by_block={"2": {}}), "blocks"),
    (lambda c: c.update(data=["ntu"]), "data"),
    (lambda c: c["rules"].update(clips=3), "clips: 3 in the rules"),
    (lambda c: c["rules"].pop("flip"), "flip"),
    (lambda c: c["rules"].update(poses="noisy"), "pose noise"),
    (lambda c: c["people"]["unit"].pop(), "in place of 8 numbers"),
    (lambda c: c["people"]["action"].__setitem__(0, 7), "actions that are none"),
    (lambda c: c["people"]["action"].__setitem__(0, None), "actions that are none"),
    (lambda c: c["people"]["counts"].pop("accuracy"), "do not match"),
    (lambda c: c.pop("people"), "people"),
    (lambda c: c["confusion"].pop(), "confusion: expected 2 x 2"),
    (lambda c: c["confusion"][0].__setitem__(0, -3), "-3 in place of a count"),
    (lambda c: c["network"].pop("sha256"), "sha256"),
])  # fmt: skip
def test_damaged_files_are_told_in_one_line(tmp_path, change, message):
    content, path = written(tmp_path, actions())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"eval-test\.json: expected a file of") as caught:
        read_evaluation(path)
    assert message in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"a": 1}', "[" * 100_000, '"x"', "\xff"])
def test_foreign_files(tmp_path, text):
    path = tmp_path / "eval-x.json"
    path.write_text(text, "latin-1")
    with pytest.raises(UserError, match=r"eval-x\.json"):
        read_evaluation(path)
    with pytest.raises(UserError, match="No such file"):
        read_evaluation(tmp_path / "nowhere.json")
    with pytest.raises(UserError, match="directory"):
        read_evaluation(tmp_path)


def test_damaged_bytes_are_read_or_refused(tmp_path):
    rng = np.random.default_rng(0)
    for scores in (poses(2), actions(3)):
        content, path = written(tmp_path, scores)
        data = json.dumps(content).encode()
        read = 0
        for _ in range(60):
            path.write_bytes(mutate(data, rng))
            try:
                read_evaluation(path).interval(scores.main)
                read += 1
            except UserError as error:
                assert "\n" not in str(error)
        assert 0 < read < 60


def test_scores_that_do_not_exist_are_null(tmp_path):
    scores = replace(poses(), scores={"PCK@0.2": [math.nan, 0.5], "MPJPE_mm": [10.0, math.nan]})
    content, path = written(tmp_path, scores)
    assert content["scores"]["MPJPE_mm"] is None and content["by_block"]["1"]["PCK@0.2"] is None
    assert math.isnan(read_evaluation(path).scores["MPJPE_mm"])
