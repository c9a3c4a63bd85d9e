import json
import subprocess
import sys

import pytest
import torch
from fakes import lspet as fake

import poseact
from poseact import cli, tables
from poseact.cli import main
from poseact.errors import UserError
from poseact.network import arguments, build
from poseact.weights import load_weights, save_weights


@pytest.fixture
def weight_file(tmp_path):
    args = arguments("tiny", layout="lsp14", width=32)
    path = tmp_path / "w.safetensors"
    save_weights(path, build(args)[0], args, {"preset": "tiny"})
    return path


def evaluation_of(weight_file, folder):
    return ["evaluate", "--weights", str(weight_file), "--data", "lspet", "--root", str(folder / "lspet")]


def test_evaluate_writes_one_object(weight_file, tmp_path, capsys):
    fake.write(tmp_path / "lspet", count=5)
    out = tmp_path / "scores.json"
    arguments = evaluation_of(weight_file, tmp_path)
    assert main([*arguments, "--json", str(out)]) == 0
    content = json.loads(out.read_text())
    assert content["data"] == "lspet" and content["split"] == "all" and content["samples"] == 5
    assert content["weights"] == str(weight_file) and "torso" in content["protocol"]
    assert 0 <= content["scores"]["PCK@0.2"] <= 1
    assert content["scores"]["PCK@0.2"] == content["by_block"]["2"]["PCK@0.2"]
    assert set(content["by_joint"]) <= set(poseact.skeleton.LSP14.joints)
    shown = capsys.readouterr().out
    assert "device: " in shown and "block 2" in shown
    for count, samples, part in (("2", 2, True), ("9", 5, False)):
        assert main([*arguments, "--count", count, "--json", str(out)]) == 0
        content = json.loads(out.read_text())
        assert content["samples"] == samples and content["part"] == part


def test_scores_are_written_before_examples_are_drawn(weight_file, tmp_path, capsys, monkeypatch):
    fake.write(tmp_path / "lspet", count=2)
    command = evaluation_of(weight_file, tmp_path)
    (tmp_path / "photo.png").write_bytes(b"mine")
    assert main([*command, "--json", str(tmp_path / "photo.json")]) == 2
    assert "photo.png: is there already" in capsys.readouterr().err
    assert (tmp_path / "photo.png").read_bytes() == b"mine" and not (tmp_path / "photo.json").exists()

    def fails(*_):
        raise UserError("no sheet")

    monkeypatch.setattr("poseact.evaluation.run.pose_sheet", fails)
    assert main([*command, "--json", str(tmp_path / "scores.json")]) == 2
    assert json.loads((tmp_path / "scores.json").read_text())["samples"] == 2


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path, capsys):
    fake.write(tmp_path / "lspet", count=2)
    for verb in (["show", "--out", str(tmp_path)], ["pack", "--out", "/dev/null/x"]):
        assert main(["data", *verb, "lspet", "--root", str(tmp_path / "lspet")]) == 2
        told = capsys.readouterr().err.splitlines()
        assert len(told) == 1 and told[0].startswith(f"poseact: {verb[2]}") and "permissions" in told[0]


def test_a_full_gpu_is_told_in_one_line(capsys, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nAnd more.")

    monkeypatch.setattr(cli, "_info", full)
    assert main(["info"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "2 GiB" in told and "training.accumulation=2" in told


@pytest.mark.parametrize("options", [
    ("show", "--seed", "-1"), ("pack", "--out", "o", "--frames", "0"), ("pack", "--out", "o", "--size", "0"),
])  # fmt: skip
def test_numbers_that_cannot_be(options, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["data", options[0], "synthetic", *options[1:]])
    assert "expected a number of at least" in capsys.readouterr().err


def test_names_stay_text_on_the_terminal(capsys, monkeypatch):
    def shown(args, console):
        console.print("kick [left] :walking: [/x]")
        table = tables.narrow_table("action")
        table.add_row("kick [right] :walking: [/x]")
        console.print(table)

    monkeypatch.setattr(cli, "_info", shown)
    assert main(["info"]) == 0
    told = capsys.readouterr().out
    assert "kick [left] :walking: [/x]" in told and "kick [right] :walking: [/x]" in told


def test_a_count_of_nothing(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "--weights", "w", "--data", "lspet", "--count", "0"])
    assert "at least 1" in capsys.readouterr().err


@pytest.mark.parametrize(("argv", "message"), [
    (["evaluate", "--weights", "W", "--data", "lsp", "--root", "."], "unknown data set"),
    (["evaluate", "--weights", "W", "--data", "lspet"], "--root"),
    (["evaluate", "--weights", "W", "--data", "lspet", "--root", "nowhere"], "joints.mat"),
    (["evaluate", "--weights", "nothing", "--data", "synthetic"], "nothing"),
    (["train", "nothing.yaml"], "no such recipe"),
    (["train", "lspet.yaml"], "roots.lspet=DIR"),
    (["predict", "nowhere", "--weights", "tiny", "--out", "o"], "nowhere"),
    (["predict", "0", "--weights", "nothing.safetensors", "--out", "o"], "nothing.safetensors"),
    (["weights", "convert", "nothing.h5", "o.safetensors"], "nothing.h5"),
    (["weights", "download", "nothing"], "nothing"),
    (["info", "nothing.safetensors"], "nothing.safetensors"),
])  # fmt: skip
def test_mistakes_end_with_2_and_one_line(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and error.startswith("poseact: ")
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_help_lists_the_verbs():
    run = subprocess.run(
        [sys.executable, "-m", "poseact.cli", "--help"], capture_output=True, text=True, check=True
    )
    for verb in ("demo", "train", "evaluate", "predict", "weights", "info"):
        assert verb in run.stdout


def test_info(weight_file, capsys):
    assert main(["info"]) == 0 and main(["info", str(weight_file)]) == 0
    shown = capsys.readouterr().out
    assert "device: " in shown and "preset: tiny" in shown


def test_overrides_on_both_sides_of_an_option(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "lspet.yaml", "training.batch=3", "--out", "run", "roots.lspet=nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_words_that_no_verb_takes(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["info", "a.safetensors", "b.safetensors"])
    assert stop.value.code == 2 and "unrecognized" in capsys.readouterr().err


def test_packs_without_the_split_that_is_asked_for(tmp_path, capsys):
    fake.write(tmp_path / "lspet", count=2)
    pack = ["data", "pack", "lspet", "--root", str(tmp_path / "lspet"), "--out", str(tmp_path / "packed")]
    assert main(pack) == 0
    assert main(["data", "check", "lspet", "--root", str(tmp_path / "packed"), "--split", "dev"]) == 2
    assert "found packs of all; pack 'dev' into the same folder too" in capsys.readouterr().err


def test_a_network_without_weights_is_told(tmp_path, capsys):
    fake.write(tmp_path / "lspet", count=2)
    assert main(["evaluate", "--weights", "tiny", "--data", "lspet", "--root", str(tmp_path / "lspet")]) == 0
    assert "tiny is a network without weights" in capsys.readouterr().out


def test_an_evaluation_tells_the_checksum_of_its_weight_file(tmp_path):
    """Also of half-precision weights, which are read as float32."""
    fake.write(tmp_path / "lspet", count=2)
    args = arguments("tiny", layout="lsp14", width=32)
    path, out = tmp_path / "half.safetensors", tmp_path / "eval.json"
    save_weights(path, build(args)[0], args, {}, half=True)
    data = ["--data", "lspet", "--root", str(tmp_path / "lspet"), "--json", str(out)]
    assert main(["evaluate", "--weights", str(path), *data]) == 0
    assert json.loads(out.read_text())["network"]["sha256"] == load_weights(path).metadata["sha256"]
