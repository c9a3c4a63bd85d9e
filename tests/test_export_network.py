"""An exported folder is taken like weights, and whatever is wrong with it is one line.

Tracing a network takes seconds: the default tests do it once, and make other forms of that export.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from fakes import lspet as fake

import poseact
from poseact.cli import main
from poseact.data.lspet import LspExtended
from poseact.errors import UserError
from poseact.evaluation.protocols import evaluate_pose
from poseact.inference import device
from poseact.inference.device import cpu_gains_from_bf16, pick_precision
from poseact.inference.predictor import View, predict, ready
from poseact.network import MultitaskNetwork, arguments, build, to_input
from poseact.weights import load_model, save_weights

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from poseact.export.network import compare, export_network, load_export, read_export  # noqa: E402

CPU = torch.device("cpu")
LABELS = ("run", "walk", "sit", "jump")
ACTIONS = {
    "layout": "pa16",
    "width": 32,
    "blocks": 2,
    "size": 64,
    "actions": 4,
    "frames": 8,
    "variant": "released",
}


def made(args):
    torch.manual_seed(0)
    network, layout = build(args)
    network.layout, network.arguments, network.action_labels = layout, args, ()
    network.metadata = {"calibration": "{}"}
    return network.eval()


@pytest.fixture(scope="module")
def network():
    return made(arguments("tiny", layout="lsp14", width=32, size=64))


@pytest.fixture(scope="module")
def folder(network, tmp_path_factory):
    """The first of two blocks, in fp32 for ONNX Runtime."""
    folder = tmp_path_factory.mktemp("export") / "export"
    written = export_network(network, folder, blocks=1)
    assert written.compared == (4, 0) and written.differences["pose"] < 1e-5
    return folder


@pytest.fixture
def copied(folder, tmp_path):
    """A copy to damage."""
    target = tmp_path / "copy"
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


@pytest.fixture(scope="module")
def acting():
    network = made(ACTIONS)
    network.action_labels = LABELS
    return network


@pytest.fixture(scope="module")
def acting_folder(acting, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "acting"
    export_network(acting, folder)
    return folder


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def test_a_folder_is_loaded_like_weights(network, folder):
    loaded = load_model(folder)
    assert loaded.layout is network.layout and loaded.arguments == network.arguments
    assert (loaded.dim, loaded.joints, loaded.size, loaded.actions) == (2, 14, 64, 0)
    assert loaded.metadata["calibration"] == "{}"
    assert loaded.metadata["exported"].startswith("onnx, fp32, block 1, 64 px, sha256 ")
    frames = to_input(torch.from_numpy(noise(3, 64, 64)))
    with torch.inference_mode():
        expected, found = ready(network, CPU, 1, "fp32")(frames), loaded(frames)
    assert len(found.blocks) == 1 and found.action is None
    assert torch.allclose(found.pose, expected.pose, atol=1e-5)
    assert torch.allclose(found.visibility, expected.visibility, atol=1e-5)
    assert torch.allclose(found.blocks[0].heat_maps, expected.blocks[-1].heat_maps, atol=1e-4)


def test_the_answers_of_clips_and_of_given_poses(acting, acting_folder):
    loaded = load_export(acting_folder)
    assert loaded.action_labels == LABELS and loaded.frames == 8
    clips = to_input(torch.from_numpy(noise(2, 8, 64, 64)))
    given = {"poses": torch.rand(2, 8, 16, 2), "visibility": torch.rand(2, 8, 16)}
    for extra in ({}, given):
        with torch.inference_mode():
            expected, found = acting(clips, **extra), loaded(clips, **extra)
        assert torch.allclose(found.pose, expected.pose, atol=1e-5)
        assert torch.allclose(found.action, expected.action, atol=1e-5)
        for stream in ("pose_actions", "appearance_actions"):
            pairs = zip(getattr(found, stream), getattr(expected, stream), strict=True)
            assert all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)


@pytest.mark.parametrize("variant", ["released", "paper"])
def test_fewer_blocks_are_the_first_ones(variant):
    """Poses of block k; the visual features are of block 1 (released) or of the stem (paper) all the same."""
    network = made(ACTIONS | {"variant": variant, "blocks": 3})
    frames = to_input(torch.from_numpy(noise(8, 64, 64)))
    with torch.inference_mode():
        blocks, features = network.estimate(frames)
    for k in (1, 2, 3):
        shorter = ready(network, CPU, k, "fp32")
        with torch.inference_mode():
            found, visual = shorter.estimate(frames)
        assert len(found) == k == len(shorter.blocks) and shorter.blocks[-1].reinject is None
        assert all(torch.allclose(a.pose, b.pose, atol=1e-5) for a, b in zip(found, blocks, strict=False))
        assert torch.allclose(visual, features, atol=1e-4)
    assert len(network.blocks) == 3 and network.blocks[0].reinject is not None


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["released", "paper"])
def test_fewer_blocks_of_an_action_network_exported(variant, tmp_path):
    network = made(ACTIONS | {"variant": variant, "blocks": 3})
    export_network(network, tmp_path, blocks=2)
    exported, expected = load_export(tmp_path), ready(network, CPU, 2, "fp32")
    clip = to_input(torch.from_numpy(noise(1, 8, 64, 64)))
    with torch.inference_mode():
        assert torch.allclose(exported(clip).pose, expected(clip).pose, atol=1e-5)
        assert torch.allclose(exported(clip).action, expected(clip).action, atol=1e-5)
        assert torch.allclose(exported.estimate(clip[0])[1], expected.estimate(clip[0])[1], atol=1e-4)


@pytest.mark.parametrize("blocks", [0, -1, 3])
def test_blocks_that_are_not_there(network, tmp_path, blocks):
    for call in (
        lambda: ready(network, CPU, blocks),
        lambda: export_network(network, tmp_path, blocks=blocks),
    ):
        with pytest.raises(UserError, match=f"blocks: expected 1 to 2, the network's, got {blocks}"):
            call()


def test_bf16_convolves_in_bf16_and_answers_near_fp32_in_fp32(acting):
    clip = to_input(torch.from_numpy(noise(1, 8, 64, 64)))
    half, plain = ready(acting, CPU, precision="bf16"), ready(acting, CPU, precision="fp32")
    assert half.blocks[0].heat_maps.weight.dtype == torch.bfloat16
    assert half.reader.soft_argmax.x.dtype == torch.float32
    with torch.inference_mode():
        a, b = half(clip), plain(clip)
    assert a.pose.dtype == a.action.dtype == torch.float32
    assert 0 < (a.pose - b.pose).abs().max() < 0.01
    assert (a.action - b.action).abs().max() < 0.02


def test_precision_by_name(monkeypatch):
    assert pick_precision(CPU, "fp32") == "fp32" and pick_precision(CPU, "bf16") == "bf16"
    cases = (  # AMX, AVX-512 BF16, seconds of a product in bf16 (1 in fp32)
        (True, True, 2.0, "bf16"),
        (False, True, 2.0, "fp32"),
        (False, True, 0.5, "bf16"),
        (False, False, 0.5, "fp32"),
    )
    for tiles, words, half_s, chosen in cases:
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda tiles=tiles: tiles)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda words=words: words)
        seconds = {torch.bfloat16: half_s, torch.float32: 1.0}
        monkeypatch.setattr(device, "_product_s", seconds.__getitem__)
        cpu_gains_from_bf16.cache_clear()
        assert pick_precision(CPU) == chosen
    cpu_gains_from_bf16.cache_clear()
    with pytest.raises(UserError, match="precision: expected auto, fp32 or bf16, got 'half'"):
        pick_precision(CPU, "half")


def test_predict_and_evaluate_take_it(network, folder, tmp_path):
    loaded = load_model(folder)
    views = [View(str(i), noise(50 + i, 70)) for i in range(18)]
    (a, b) = (list(predict(each, network.layout, views, CPU)) for each in (network, loaded))
    for one, two in zip(a, b, strict=True):
        # Where the machine has bf16, the network runs in it.
        assert len(two) == 1
        assert np.abs(one[0].joints - two[0].joints).max() < (1e-2 if pick_precision(CPU) == "fp32" else 1)
    fake.write(tmp_path, count=4)
    data = LspExtended(tmp_path)
    scores = [evaluate_pose(each, network.layout, data, CPU).scores["PCK@0.2"] for each in (network, loaded)]
    assert len(scores[1]) == 1 and scores[0][0] == pytest.approx(scores[1][0])


def test_ready_passes_it_through_or_says_why_not(folder):
    loaded = load_model(folder)
    assert ready(loaded, CPU) is loaded and ready(loaded, CPU, 1, "fp32") is loaded
    message = "answers block 1 alone, got 2; export the weights again with --blocks 2"
    with pytest.raises(UserError, match=message):
        ready(loaded, CPU, 2)
    with pytest.raises(UserError, match="not in bf16; export it with --format openvino"):
        ready(loaded, CPU, precision="bf16")


def test_crops_of_another_size(folder):
    with pytest.raises(UserError, match=r"expected crops of 64 px, .* got \(3, 96, 96\).* --size 96"):
        load_model(folder)(torch.zeros(1, 3, 96, 96))


@pytest.mark.slow
def test_clips_of_another_length(acting_folder):
    with pytest.raises(UserError, match=r"expected clips of 8, .* got 12"):
        load_model(acting_folder)(torch.zeros(1, 12, 3, 64, 64))


@pytest.mark.slow
def test_an_export_for_another_size_of_crop(network, tmp_path):
    written = export_network(network, tmp_path, size=96)
    assert load_model(tmp_path).size == 96 and written.differences["pose"] < 1e-5


def test_int8_is_near_and_says_so(network, folder, tmp_path):
    written = export_network(load_model(folder), tmp_path, precision="int8", crops=noise(20, 64, 64))
    assert written.compared == (4, 16) and 0 < written.differences["pose"] < 0.05
    loaded = load_model(tmp_path)
    assert loaded.export.precision == "int8" and ready(loaded, CPU, precision="fp32") is loaded
    assert loaded.metadata["calibration"] == "{}"
    assert 0 < compare(ready(network, CPU, 1, "fp32"), loaded, noise(2, 64, 64))["pose"] < 0.05


def test_int8_keeps_the_last_convolution_and_the_reading_in_float(folder, tmp_path):
    export_network(load_model(folder), tmp_path, precision="int8", crops=noise(8, 64, 64))
    plain, eight = (onnx.load(str(each / "frame.onnx")).graph.node for each in (folder, tmp_path))
    made_by = {output: node for node in eight for output in node.output}
    convolutions = [node for node in eight if node.op_type == "Conv"]
    assert len(convolutions) == sum(node.op_type == "Conv" for node in plain)
    assert [node for node in convolutions if node.input[1] not in made_by] == [convolutions[-1]]
    (softmax,) = (node for node in eight if node.op_type == "Softmax")
    assert made_by[softmax.input[0]].op_type != "DequantizeLinear"


def test_a_graph_tells_nothing_of_the_machine(folder):
    data = (folder / "frame.onnx").read_bytes()
    for told in (Path(poseact.__file__).parent, Path(torch.__file__).parent, Path.home(), folder):
        assert str(told).encode() not in data
    assert b".py" not in data
    model = onnx.load(str(folder / "frame.onnx"))
    assert all(t.data_location != onnx.TensorProto.EXTERNAL for t in model.graph.initializer)
    assert model.opset_import[0].version >= 18


def test_max_pooling_pads_by_itself(folder):
    """-inf has no place in eight bits."""
    model = onnx.load(str(folder / "frame.onnx"))
    values = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    assert all(np.isfinite(value).all() for value in values)
    pads = [list(a.i or a.ints) for n in model.graph.node if n.op_type == "MaxPool" for a in n.attribute
            if a.name == "pads"]  # fmt: skip
    assert [0, 0, 1, 1] in pads


@pytest.mark.parametrize(("options", "message"), [
    ({"backend": "tensorrt"}, "format: expected one of onnx, openvino, got 'tensorrt'"),
    ({"precision": "int4"}, "precision: expected one of fp32, int8, got 'int4'"),
    ({"precision": "int8"}, "give a folder with --calibrate"),
    ({"size": 100}, "size: expected a multiple of 32, got 100"),
    ({"size": 0}, "size: expected a multiple of 32, got 0"),
])  # fmt: skip
def test_wrong_options_write_nothing(network, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        export_network(network, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_only_an_export_to_onnx_in_fp32_is_made_into_another(folder, tmp_path):
    export_network(load_model(folder), tmp_path / "int8", precision="int8", crops=noise(8, 64, 64))
    for weights, options in ((tmp_path / "int8", {}), (folder, {"size": 96})):
        with pytest.raises(UserError, match=r"expected a weight file, or an export to onnx in fp32 of"):
            export_network(load_model(weights), tmp_path / "again", **options)
    with pytest.raises(UserError, match="answers block 1 alone"):
        export_network(load_model(folder), tmp_path / "again", blocks=2)


def test_options_are_looked_at_before_pictures(tmp_path, capsys):
    command = ["export", "--weights", "tiny", "--out", str(tmp_path / "out"), "--calibrate", str(tmp_path)]
    for option, message in (
        (["--size", "-32"], "size: expected a multiple of 32, got -32"),
        (["--size", "0"], "size: expected a multiple of 32, got 0"),
        (["--precision", "int4"], "int4"),
    ):
        assert main([*command, *option]) == 2
        assert message in capsys.readouterr().err


def test_an_export_takes_the_place_of_an_earlier_one_and_of_nothing_else(folder, tmp_path):
    for name in ("actions.onnx", "frame.xml", "frame.bin", "model.json", "notes.txt"):
        (tmp_path / name).write_text('{"layersModel": 1}')
    with pytest.raises(UserError, match=r"holds model\.json, actions\.onnx, frame\.xml, .*are of no export"):
        export_network(load_model(folder), tmp_path)
    assert (tmp_path / "frame.bin").read_text() == (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text('{"format": "poseact-export-0"}')
    written = export_network(load_model(folder), tmp_path)
    assert [path.name for path in written.files] == ["frame.onnx", "model.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["frame.onnx", "model.json", "notes.txt"]
    assert load_model(tmp_path).joints == 14


def test_an_export_that_fails_leaves_the_earlier_one(folder, copied, monkeypatch):
    monkeypatch.setattr("poseact.export.network.TOLERANCE", -1.0)
    with pytest.raises(UserError, match=r"expected the answers of the network within -1\.0, got pose"):
        export_network(load_model(folder), copied)
    assert sorted(p.name for p in copied.iterdir()) == sorted(p.name for p in folder.iterdir())
    assert load_model(copied).joints == 14


def test_a_file_in_the_place_of_the_folder(network, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="expected a folder that can be written"):
        export_network(network, tmp_path / "file")


def edited(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


DAMAGES = {
    "no description": (lambda f: (f / "model.json").unlink(), "expected an exported network with model.json"),
    "no JSON": (lambda f: (f / "model.json").write_text("{"), "expected JSON"),
    "not text": (lambda f: (f / "model.json").write_bytes(b"\xff\xfe\x00"), "expected JSON"),
    "a list": (
        lambda f: (f / "model.json").write_text("[]"),
        "expected format 'poseact-export-1', found None",
    ),
    "another version": (lambda f: edited(f, format="poseact-export-9"), "found 'poseact-export-9'"),
    "another backend": (lambda f: edited(f, backend="tensorrt"), "backend 'tensorrt'"),
    "no number": (lambda f: edited(f, size="large"), "expected the description of a network"),
    "an odd size": (lambda f: edited(f, size=70), "size 70"),
    "a null": (lambda f: edited(f, metadata=None), "expected the description of a network"),
    "a path out": (lambda f: edited(f, files={"../w.onnx": "0"}), "files"),
    "unknown arguments": (
        lambda f: edited(f, network={"layout": "lsp14", "depth": 3}),
        "arguments of a network",
    ),
    "an unknown layout": (lambda f: edited(f, network={"layout": "lsp15"}), "arguments of a network"),
    "other joints": (lambda f: edited(f, joints=["head"]), "expected the joints of lsp14"),
    "labels without actions": (
        lambda f: edited(f, action_labels=["run"]),
        "expected 0 action_labels, found 1",
    ),
    "a missing graph": (lambda f: (f / "frame.onnx").unlink(), "names this file, but it is missing"),
    "a changed graph": (lambda f: (f / "frame.onnx").write_bytes(b"x"), "it was changed: export it again"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_export_is_one_line(copied, damage):
    harm, message = DAMAGES[damage]
    harm(copied)
    with pytest.raises(UserError) as error:
        load_model(copied)
    assert message in str(error.value) and str(copied) in str(error.value) and "\n" not in str(error.value)


def test_no_runtime_is_one_line(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"not installed; install it: pip install 'poseact\[export\]'"):
        load_model(folder)(torch.zeros(1, 3, 64, 64))


def test_no_exporter_is_one_line(network, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "onnxscript"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"pip install 'poseact\[export\]'"):
        export_network(network, tmp_path)


def test_a_preset_is_not_a_folder_of_the_same_name(tmp_path, monkeypatch, copied):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    assert load_model("tiny").arguments == arguments("tiny")
    copied.rename(tmp_path / "small")
    assert load_model("small").layout.name == "lsp14"


def test_export_and_evaluate_by_the_command_line(folder, tmp_path, capsys):
    pictures, out, scores = tmp_path / "pictures", tmp_path / "out", tmp_path / "eval.json"
    pictures.mkdir()
    for i in range(3):
        cv2.imwrite(str(pictures / f"{i}.png"), noise(80, 60 + i))
    options = ["--precision", "int8", "--calibrate", str(pictures)]
    assert main(["export", "--weights", str(folder), "--out", str(out), *options]) == 0
    shown = capsys.readouterr().out
    assert "frame.onnx" in shown and "4 made and" in shown and "pose " in shown
    assert read_export(out).block == 1 and read_export(out).precision == "int8"
    fake.write(tmp_path / "lspet", count=3)
    data = ["--data", "lspet", "--root", str(tmp_path / "lspet"), "--json", str(scores)]
    marks = set()
    for weights in (folder, out):
        assert main(["evaluate", "--weights", str(weights), *data]) == 0
        about = json.loads(scores.read_text())["network"]
        assert about["metadata"]["exported"] == load_model(weights).metadata["exported"]
        marks.add(about["sha256"])
    assert len(marks) == 2


@pytest.mark.slow
def test_export_of_a_weight_file_by_the_command_line(network, tmp_path, capsys):
    weights, out = tmp_path / "w.safetensors", tmp_path / "out"
    save_weights(weights, network, network.arguments, {"licence": "mine"})
    assert main(["export", "--weights", str(weights), "--out", str(out), "--blocks", "1"]) == 0
    assert read_export(out).metadata["licence"] == "mine" and read_export(out).block == 1


@pytest.mark.parametrize("options", [
    ("--weights", "tiny", "--precision", "int8"),
    ("--weights", "tiny", "--precision", "int8", "--calibrate", "."),
    ("--weights", "tiny", "--format", "tflite"),
    ("--weights", "."),
])  # fmt: skip
def test_mistakes_end_with_2_and_one_line(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", *options, "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("poseact: ") and error.count("\n") == 1


def test_openvino(network, folder, tmp_path):
    pytest.importorskip("openvino")
    written = export_network(load_model(folder), tmp_path / "fp32", backend="openvino")
    assert max(written.differences.values()) < 1e-4
    assert sorted(path.name for path in written.files) == ["frame.bin", "frame.xml", "model.json"]
    loaded, original = load_model(tmp_path / "fp32"), ready(network, CPU, 1, "fp32")
    assert compare(original, loaded, noise(9, 64, 64))["pose"] < 1e-5
    assert loaded.at(None, "fp32") is loaded and loaded.at(None, "bf16").precision == "bf16"
    options = {"backend": "openvino", "precision": "int8", "crops": noise(8, 64, 64)}
    export_network(load_model(folder), tmp_path / "int8", **options)
    assert 0 < compare(original, load_model(tmp_path / "int8"), noise(2, 64, 64))["pose"] < 0.05


@pytest.mark.slow
def test_openvino_with_actions(acting, acting_folder, tmp_path):
    pytest.importorskip("openvino")
    written = export_network(load_model(acting_folder), tmp_path, backend="openvino")
    assert len(written.files) == 5 and written.differences["action"] < 1e-5
    assert compare(acting, load_model(tmp_path), noise(4, 64, 64))["action"] < 1e-5


def test_no_openvino_is_one_line(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match=r"format openvino: .* pip install 'poseact\[openvino\]'"):
        export_network(load_model(folder), tmp_path, backend="openvino")


@pytest.mark.gpu
def test_cuda_graphs_answer_as_the_network():
    device = torch.device("cuda")
    network = made(ACTIONS)
    graphed, plain = ready(network, device, precision="fp32"), network.to(device)
    for batch in (8, 3, 8):
        frames = to_input(torch.from_numpy(noise(batch, 64, 64)).to(device))
        with torch.inference_mode():
            expected, found = plain.estimate(frames)[0][-1], graphed.estimate(frames)[0][-1]
            again = graphed.estimate(frames + 0.1)[0][-1]
        assert torch.allclose(found.pose, expected.pose, atol=1e-3)
        assert not torch.equal(found.pose, again.pose)


def test_the_network_is_described_without_weights(folder):
    """Reading an export of the published size takes no memory for its weights."""
    loaded = load_model(folder)
    assert isinstance(loaded, MultitaskNetwork)
    assert sum(p.numel() for p in loaded.parameters()) == 32
