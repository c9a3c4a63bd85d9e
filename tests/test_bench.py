import json

import numpy as np
import pytest
import torch
from fakes import lspet as fake
from fakes.tracks import Tracks

from poseact import bench as module
from poseact.bench import bench, gflop, image_rate, not_measured, rate, stream_rate, variants
from poseact.cli import main
from poseact.data.lspet import LspExtended
from poseact.errors import UserError
from poseact.evaluation.poses import StillPeople
from poseact.evaluation.rules import OURS, protocol_of
from poseact.inference.predictor import ready
from poseact.network import arguments, build

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "SIDE", 64)
    monkeypatch.setattr(module, "SECONDS", 0.0)


@pytest.fixture
def only_torch(monkeypatch):
    monkeypatch.setattr(module, "NEEDS", {"onnx": (("no_such_module",), "export")})


def made(**overrides):
    torch.manual_seed(0)
    args = arguments("tiny", width=32, size=64, **overrides)
    network, layout = build(args)
    network.layout, network.arguments, network.action_labels = layout, args, ()
    network.metadata = {}
    return network.eval()


def test_operations_are_those_of_the_paper_and_of_the_blocks_that_are_computed():
    with torch.device("meta"):
        network, _ = build(arguments("mpii"))
    assert gflop(network, 256, 8) == pytest.approx(19.7, abs=0.1)
    each = [gflop(network, 256, block) for block in (1, 2, 3)]
    assert each[2] - each[1] == pytest.approx(each[1] - each[0], rel=1e-3)
    assert len(network.blocks) == 8


def test_one_convolution_is_counted_by_hand():
    network = made(blocks=1)
    before = gflop(network, 64, 1)
    heat_maps = network.blocks[0].heat_maps
    network.blocks[0].heat_maps = torch.nn.Conv2d(32, 2 * 16, 1, bias=False)
    network.reader.joints, network.reader.maps = 32, 32
    assert gflop(network, 64, 1) - before == pytest.approx(2 * 32 * heat_maps.out_channels * 8 * 8 / 1e9)


def test_the_rate_is_that_of_the_best_run(monkeypatch):
    clock = iter(np.cumsum([0.0, 1, 5, 1, 2, 1, 4, 1]))  # runs of 5, 2 and 4 seconds
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    assert rate(lambda: None, 8) == 4.0


def test_a_table_of_a_pose_network_with_scores(only_torch, tmp_path):
    fake.write(tmp_path, count=4)
    network = made(layout="lsp14", blocks=3)
    report = bench(network, 64, 2, None, LspExtended(tmp_path))
    rows = [row for row in report.rows if row.precision == "fp32"]
    assert [(row.backend, row.block) for row in rows] == [("torch", 1), ("torch", 2), ("torch", 3)]
    assert all(row.images_per_second > 0 and row.share > 0 and row.frames_per_second is None for row in rows)
    assert report.metric == "PCK@0.2" and report.samples == 4
    assert all(0 <= row.score <= 1 for row in rows)
    assert report.matrix_gflops["fp32"].keys() == {"torch", "numpy"}


def test_videos_are_scored_by_their_own_rules(monkeypatch, capsys):
    """NTU's sides are changed over; frames that show nobody are none that cannot be read."""
    monkeypatch.setattr(module, "SCORED", 6)  # of 9
    stills = module._scored(Tracks(count=3, frames=40, hidden=(0,)), protocol_of("ours", "ntu"))
    assert stills.places == [(0, 0), (0, 16), (1, 0), (1, 16), (2, 0), (2, 16)]
    people = StillPeople(stills, OURS)
    assert any(people[i] is None for i in range(6)) and any(people[i] is not None for i in range(6))
    seen = []
    monkeypatch.setattr("poseact.data.open_data", lambda *_: Tracks())
    monkeypatch.setattr(
        module, "bench", lambda *args: seen.append(args[-1]) or (_ for _ in ()).throw(UserError("x"))
    )
    assert main(["bench", "--weights", "tiny", "--data", "ntu", "--root", ".", "--split", "xsub-test"]) == 2
    assert seen[0].swap_sides and seen[0].frame_step == 16


def test_an_action_network_is_streamed(only_torch):
    report = bench(made(actions=4, frames=8), 64, 1, [2])
    assert {row.block for row in report.rows} == {2} and report.metric is None
    assert all(row.frames_per_second > 0 and row.score is None for row in report.rows)


def test_every_frame_streamed_is_one_crop_and_one_answer_of_the_heads(monkeypatch):
    network = ready(made(actions=4, frames=8), CPU, precision="fp32")
    seen = []
    monkeypatch.setattr(network, "estimate", _counted(network.estimate, seen, "estimate"))
    monkeypatch.setattr(network, "recognise", _counted(network.recognise, seen, "recognise"))
    stream_rate(network, 64)
    # Once for what the window starts with, once to warm up, three times measured.
    assert seen.count("recognise") == 4 and seen.count("estimate") == 5
    assert seen[-2:] == ["estimate", "recognise"]


def _counted(call, seen, name):
    def counting(*args):
        seen.append(name)
        return call(*args)

    return counting


def test_what_is_missing_is_a_line(only_torch, monkeypatch):
    monkeypatch.setattr(module, "pick_precision", lambda device: "fp32")
    first, second = not_measured()
    assert first == "onnx: no_such_module not installed, pip install 'poseact[export]'"
    assert second.startswith("bf16: not faster than fp32")


def test_blocks_that_are_not_there(only_torch):
    with pytest.raises(UserError, match="blocks: expected 1 to 2"):
        bench(made(), 64, 1, [3])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_the_other_backends(tmp_path, monkeypatch, name):
    if module._absent(name):
        pytest.skip(f"needs {name}")
    monkeypatch.setattr(module, "NEEDS", {name: module.NEEDS[name]})
    network = made()
    found = list(variants(network, 64, None, module.made_crops(64), tmp_path))
    others = [
        (v.backend, v.precision, v.block) for v in found if v.backend != "torch" and v.precision != "bf16"
    ]
    assert others == [(name, "fp32", 2), (name, "int8", 2)]
    assert [v.block for v in found if (v.backend, v.precision) == ("torch", "fp32")] == [1, 2]
    assert image_rate(found[-1].network, 64, 2) > 0


def test_by_the_command_line(only_torch, tmp_path, capsys):
    fake.write(tmp_path / "lspet", count=3)
    out = tmp_path / "bench.json"
    data = ["--data", "lspet", "--root", str(tmp_path / "lspet"), "--json", str(out)]
    assert main(["bench", "--weights", "tiny", "--size", "64", "--blocks", "1,2", *data]) == 0
    shown = capsys.readouterr().out
    for word in ("matrix product in fp32", "images/s", "PCK@0.2", "no_such_module not installed", "3 people"):
        assert word in shown
    content = json.loads(out.read_text())
    assert [row["block"] for row in content["rows"] if row["precision"] == "fp32"] == [1, 2]
    assert (
        content["data"] == "lspet" and content["size"] == 64 and content["matrix_gflops"]["fp32"]["torch"] > 0
    )


@pytest.mark.parametrize(("options", "message"), [
    (("--blocks", "1;2"), "blocks: expected numbers with commas"),
    (("--blocks", "9"), "blocks: expected 1 to 2"),
    (("--size", "50"), "size: expected a multiple of 32"),
    (("--batch", "0"), "batch: expected 1 or more"),
    (("--data", "lspet"), "--root"),
    (("--weights", "nothing"), "nothing"),
])  # fmt: skip
def test_mistakes_end_with_2_and_one_line(only_torch, options, message, capsys):
    assert main(["bench", "--weights", "tiny", *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
