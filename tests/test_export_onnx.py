"""Graphs: do they compute what the network computes? Tracing takes seconds, so most of these are slow."""

import numpy as np
import pytest
import torch

from poseact.errors import UserError
from poseact.export.quantise import before_last_convolution, calibration_crops
from poseact.inference.fold import folded, keep_blocks
from poseact.network import MultitaskNetwork, arguments, build, to_input

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from poseact.export.onnx import open_onnx, write_action_graph, write_frame_graph  # noqa: E402

# Every part that a graph may hold: 2D with context, 3D, both variants, all pose streams.
NETWORKS = {
    "2d, released": {"joints": 16, "context": 2, "variant": "released", "actions": 5, "frames": 8},
    "2d, motion": {"joints": 16, "pose_stream": "motion", "actions": 5, "frames": 8},
    "3d, paper": {
        "joints": 20,
        "depth_maps": 4,
        "depth_reading": "joint",
        "pose_stream": "v2",
        "actions": 6,
        "frames": 8,
    },
}


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    made = MultitaskNetwork(width=32, blocks=2, size=64, **NETWORKS[request.param])
    return folded(made)


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def frame_graph(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("graphs") / "frame.onnx"
    write_frame_graph(network, 64, path)
    return path


@pytest.mark.slow
def test_the_graph_of_a_crop_answers_as_the_network_at_any_batch_size(network, frame_graph, crops):
    compute = open_onnx(frame_graph)
    frames = to_input(torch.from_numpy(crops))
    for batch in (1, 5):
        with torch.no_grad():
            blocks, features = network.estimate(frames[:batch])
        expected = [blocks[-1].pose, blocks[-1].visibility, blocks[-1].heat_maps, features]
        found = compute(frames[:batch].numpy())
        assert [a.shape for a in found] == [tuple(b.shape) for b in expected]
        for a, b in zip(found, expected, strict=True):
            assert np.allclose(a, b.numpy(), atol=1e-4)
        assert np.abs(found[0] - expected[0].numpy()).max() < 1e-5


@pytest.mark.slow
def test_the_graph_of_the_action_heads_answers_as_the_network(network, tmp_path):
    write_action_graph(network, tmp_path / "actions.onnx")
    compute = open_onnx(tmp_path / "actions.onnx")
    generator = torch.Generator().manual_seed(1)
    for clips in (1, 3):
        poses = torch.rand(clips, 8, network.joints, network.dim, generator=generator)
        visibility = torch.rand(clips, 8, network.joints, generator=generator)
        features = torch.randn(clips, 8, 32, network.joints, generator=generator)
        with torch.no_grad():
            answer = network.recognise(poses, visibility, features.flatten(0, 1))
        expected = torch.stack([*answer.pose_actions, *answer.appearance_actions, answer.action], 1)
        (found,) = compute(poses.numpy(), visibility.numpy(), features.numpy())
        assert found.shape == (clips, 9, network.actions)
        assert np.abs(found - expected.numpy()).max() < 1e-5


@pytest.mark.slow
def test_a_pose_network_has_no_features_in_its_graph(tmp_path, crops):
    torch.manual_seed(0)
    network = folded(build(arguments("tiny", width=32, blocks=1, size=64))[0])
    write_frame_graph(network, 64, tmp_path / "frame.onnx")
    found = open_onnx(tmp_path / "frame.onnx")(to_input(torch.from_numpy(crops)).numpy())
    assert [a.shape for a in found] == [(5, 16, 2), (5, 16), (5, 16, 8, 8)]


@pytest.mark.slow
def test_what_is_after_the_last_block_kept_is_not_in_the_graph(tmp_path):
    torch.manual_seed(0)
    made = build(arguments("tiny", width=32, blocks=3, size=64))[0]
    counts = []
    for blocks in (1, 2, 3):
        network = folded(made)
        keep_blocks(network, blocks)
        write_frame_graph(network, 64, tmp_path / "frame.onnx")
        nodes = onnx.load(str(tmp_path / "frame.onnx")).graph.node
        counts.append(sum(node.op_type == "Conv" for node in nodes))
    modules = [sum(isinstance(m, torch.nn.Conv2d) for m in part.modules()) for part in made.blocks]
    # The first block alone has no re-injection, which is one convolution.
    assert counts[1] - counts[0] == modules[1] and counts[2] - counts[1] == modules[2] + 1


def test_a_file_that_is_no_graph_is_one_line(tmp_path):
    (tmp_path / "frame.onnx").write_bytes(b"no graph")
    with pytest.raises(UserError, match=r"frame\.onnx: expected a graph that ONNX Runtime opens") as error:
        open_onnx(tmp_path / "frame.onnx")
    assert "\n" not in str(error.value)


def test_only_what_leads_to_a_convolution_is_quantised():
    def node(name, kind, inputs, outputs):
        return onnx.helper.make_node(kind, inputs, outputs, name=name)

    nodes = [
        node("a", "Conv", ["x", "w1"], ["1"]),
        node("b", "Relu", ["1"], ["2"]),
        node("unread", "Relu", ["1"], ["3"]),
        node("c", "Conv", ["2", "w2"], ["4"]),
        node("d", "Softmax", ["4"], ["5"]),
    ]
    assert before_last_convolution(nodes) == ["a", "b"]


def test_calibration_pictures(tmp_path):
    import cv2

    torch.manual_seed(0)
    network, layout = build(arguments("tiny", layout="lsp14", width=32, size=64))
    network.layout = layout
    with pytest.raises(UserError, match="expected a folder"):
        calibration_crops(network, tmp_path / "none", 64)
    with pytest.raises(UserError, match="expected images"):
        calibration_crops(network, tmp_path, 64)
    (tmp_path / "0.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"0\.jpg"):
        calibration_crops(network, tmp_path, 64)
    picture = np.random.default_rng(0).integers(0, 256, (50, 80, 3), np.uint8)
    for i in (1, 2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture)
    crops, unread = calibration_crops(network.eval(), tmp_path, 96)
    assert len(unread) == 1 and "0.jpg" in unread[0]
    assert crops.dtype == np.uint8 and crops.shape[1:] == (96, 96, 3) and 2 <= len(crops) <= 4
