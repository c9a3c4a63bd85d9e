"""Released weights are the same network in half the bytes, and say what was measured with them."""

import json
from pathlib import Path

import pytest
import torch

from poseact.cli import main
from poseact.evaluation.card import measured
from poseact.network import arguments, build
from poseact.weights import load_weights, save_weights


@pytest.fixture
def trained(tmp_path):
    torch.manual_seed(0)
    args = arguments("tiny", layout="pa17", size=64)
    model, _ = build(args)
    save_weights(tmp_path / "w.safetensors", model, args, {"recipe": "tiny"})
    return model, tmp_path


def evaluate(weights, json_file):
    command = ["evaluate", "--weights", str(weights), "--data", "synthetic", "--split", "val", "--count", "3"]
    assert main([*command, "--task", "pose", "--json", str(json_file)]) == 0


def test_filters_are_halved_and_nothing_else(trained):
    model, folder = trained
    source, target = folder / "w.safetensors", folder / "small.safetensors"
    assert main(["weights", "release", str(source), str(target), "--licence", "CC0", "--data", "none"]) == 0
    assert target.stat().st_size < 0.6 * source.stat().st_size
    file = load_weights(target)
    assert file.half and not load_weights(source).half
    assert (file.metadata["licence"], file.metadata["data"]) == ("CC0", "none")
    assert file.metadata["recipe"] == "tiny"
    for name, tensor in model.state_dict().items():
        found = file.model.state_dict()[name]
        expected = tensor.half().float() if tensor.ndim > 1 else tensor
        assert found.dtype == tensor.dtype and torch.equal(found, expected), name
    # Halved again, they are the same.
    assert main(["weights", "release", str(target), str(folder / "again.safetensors")]) == 0
    again = load_weights(folder / "again.safetensors")
    assert again.metadata["sha256"] == file.metadata["sha256"] and again.metadata["licence"] == "CC0"


def test_scores_are_those_of_the_halved_weights(trained, capsys):
    _, folder = trained
    source, target = folder / "w.safetensors", folder / "small.safetensors"
    assert main(["weights", "release", str(source), str(target)]) == 0
    evaluate(target, folder / "right.json")
    evaluate(source, folder / "wrong.json")
    command = ["weights", "release", str(target), str(target), "--scores"]
    assert main([*command, str(folder / "wrong.json")]) == 2
    assert "expected an evaluation of" in capsys.readouterr().err
    never = folder / "never.safetensors"
    assert main(["weights", "release", str(source), str(never), "--scores", str(folder / "wrong.json")]) == 2
    assert not never.exists()
    capsys.readouterr()
    assert main([*command, str(folder / "right.json")]) == 0
    (row,) = json.loads(load_weights(target).metadata["scores"])
    told = json.loads((folder / "right.json").read_text())
    value, low, high = row["scores"]["PCK@0.2"]
    assert value == told["scores"]["PCK@0.2"] and (low is None or low <= value <= high)
    assert (row["data"], row["split"], row["samples"]) == ("synthetic", "val", told["samples"])
    assert row["by_joint"] == told["by_joint"]
    capsys.readouterr()
    assert main(["info", str(target)]) == 0
    shown = capsys.readouterr().out
    assert f"| synthetic | val | {told['samples']} | PCK@0.2 | {value:.3f} |" in shown
    assert f"| left_wrist | {told['by_joint']['left_wrist'][row['main']]:.3f} |" in shown.replace(
        " |  |", " |"
    )


def test_evaluations_of_the_same_people_stand_side_by_side(trained, capsys):
    _, folder = trained
    source, target = folder / "w.safetensors", folder / "small.safetensors"
    assert main(["weights", "release", str(source), str(target)]) == 0
    command = ["evaluate", "--weights", str(target), "--data", "synthetic", "--split", "val", "--count", "3"]
    files = []
    for crops in ("one", "flip"):
        files.append(str(folder / f"{crops}.json"))
        assert main([*command, "--task", "pose", "--crops", crops, "--json", files[-1]]) == 0
    assert main(["weights", "release", str(target), str(target), "--scores", *files]) == 0
    capsys.readouterr()
    tables = measured(load_weights(target).metadata)
    (heads,) = (line for line in tables.splitlines() if line.startswith("| joint |"))
    assert heads.count("synthetic val, 3") == 2 and "one crop" in heads and "2 crops" in heads
    values = [json.loads(Path(file).read_text())["by_joint"]["left_wrist"]["PCK@0.2"] for file in files]
    assert f"| left_wrist | {values[0]:.3f} | {values[1]:.3f} |" in tables


@pytest.mark.parametrize("told", ["PCK .5", "[1]", '[{"data": "x"}]', '{"loss": 1}', "null"])
def test_scores_that_others_wrote_are_shown_as_they_are(trained, told, capsys):
    model, folder = trained
    save_weights(
        folder / "other.safetensors",
        model,
        load_weights(folder / "w.safetensors").arguments,
        {"scores": told},
    )
    assert main(["info", str(folder / "other.safetensors")]) == 0
    assert f"scores: {told}" in capsys.readouterr().out
