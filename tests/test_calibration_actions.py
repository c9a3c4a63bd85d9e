"""The probabilities of actions after calibration: as sure as right, and the same order."""

import json

import numpy as np
import pytest
import torch
from scipy.special import softmax

from poseact.cli import main
from poseact.data.synthetic.actions import ACTIONS
from poseact.evaluation.calibration import _added, best_factors
from poseact.network import arguments, build
from poseact.network.layers import global_max_min
from poseact.weights import load_weights, save_weights


@pytest.mark.parametrize("factors", [(0.25,), (3.0,), (2.0, 0.5), (0.4, 4.0)])
def test_the_factors_that_labels_were_drawn_with_are_found(factors):
    rng = np.random.default_rng(0)
    parts = rng.normal(0, 1, (len(factors), 8000, 5))
    p = softmax(np.tensordot(factors, parts, 1), axis=1)
    truth = (p.cumsum(1) > rng.random((8000, 1))).argmax(1)
    assert best_factors(parts, truth) == pytest.approx(factors, rel=0.15)


def test_a_stream_that_says_nothing_is_hardly_heard():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 4000)
    useful = 2 * np.eye(5)[truth] + rng.normal(0, 1, (4000, 5))
    pose, appearance = best_factors(np.stack([useful, rng.normal(0, 3, (4000, 5))]), truth)
    assert pose > 1 and appearance < 0.06


def merged(variant):
    torch.manual_seed(0)
    args = arguments("penn-action", variant, width=16, blocks=1, size=32, frames=4, actions=5)
    merge = build(args)[0].merge
    return merge, (torch.randn(3, 5, 4, 4), torch.randn(3, 5, 4, 4))


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_both_streams_weighed_alike_raise_probabilities_to_a_power(variant):
    merge, maps = merged(variant)
    before = merge(maps)
    merge.weigh(2.5, 2.5)
    after = before**2.5
    assert torch.allclose(merge(maps), after / after.sum(-1, keepdim=True), atol=1e-6)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_what_is_calibrated_is_what_the_aggregation_adds(variant):
    torch.manual_seed(0)
    args = arguments("penn-action", variant, width=16, blocks=1, size=32, frames=4, actions=5)
    network = build(args)[0].eval()
    if variant == "paper":
        torch.nn.init.normal_(network.merge.linear.weight)
        torch.nn.init.normal_(network.merge.linear.bias)
    with torch.no_grad():
        answer = network(torch.randn(6, 4, 3, 32, 32)).actions
    blocks = (*answer.pose_actions, *answer.appearance_actions, answer.action)
    parts = _added(network.merge, torch.stack(blocks, 1).double().numpy())
    assert parts.shape == ({"paper": 2, "released": 1}[variant], 6, 5)
    assert softmax(parts.sum(0), axis=1) == pytest.approx(answer.action.numpy(), abs=1e-6)


def test_each_stream_is_weighed_by_its_own_factor():
    merge, maps = merged("paper")
    torch.nn.init.normal_(merge.linear.bias)
    predictions = [global_max_min(m).softmax(-1) for m in maps]
    pose, appearance = merge.added(*predictions)
    assert torch.allclose((pose + appearance).softmax(-1), merge(maps), atol=1e-6)
    bias = merge.linear.bias.detach().clone()
    pose, appearance = pose - bias / 2, appearance - bias / 2
    merge.weigh(3.0, 0.2)
    assert torch.allclose((3 * pose + 0.2 * appearance + 1.6 * bias).softmax(-1), merge(maps), atol=1e-6)


def test_weights_are_written_again_with_the_factors_in_them(tmp_path, capsys):
    torch.manual_seed(0)
    count = len(ACTIONS)
    args = arguments("tiny", width=16, blocks=1, size=32, frames=4, actions=count, depth_maps=2)
    labels = {"action_labels": json.dumps(ACTIONS), "stride": "3", "scores": "[]"}
    save_weights(tmp_path / "w.safetensors", build(args)[0], args, labels)
    place = [str(tmp_path / "w.safetensors"), str(tmp_path / "out.safetensors")]
    command = [
        "weights",
        "calibrate",
        *place,
        "--data",
        "synthetic",
        "--split",
        "val",
        "--count",
        "16",
        "--actions",
    ]
    assert main(command) == 0 and "appearance stream x" in capsys.readouterr().out
    one, two = (load_weights(path).model.merge.linear.weight for path in place)
    metadata = load_weights(place[1]).metadata
    told = metadata["action_calibration"]
    assert metadata["stride"] == "3" and "scores" not in metadata  # they were of the weights before
    pose, appearance = (float(part.split()[1]) for part in told.split(",")[:2])
    assert told.endswith("synthetic, split val: 16 videos")
    assert torch.allclose(two[:, :count], one[:, :count] * pose, rtol=1e-2)
    assert torch.allclose(two[:, count:], one[:, count:] * appearance, rtol=1e-2)
