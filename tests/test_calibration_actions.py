"""The probabilities of actions after calibration: as sure as right, and the same order."""

import json

import numpy as np
import pytest
import torch

from poseact.cli import main
from poseact.data.synthetic.actions import ACTIONS
from poseact.evaluation.calibration import best_temperature
from poseact.network import arguments, build
from poseact.weights import load_weights, save_weights


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_the_temperature_that_answers_were_made_with_is_found(temperature):
    """Labels drawn from soft-max(z); the network says soft-max(temperature * z)."""
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, (4000, 5))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    truth = (p.cumsum(1) > rng.random((4000, 1))).argmax(1)
    logs = temperature * z - np.log(np.exp(temperature * z).sum(1, keepdims=True))
    assert best_temperature(logs, truth) == pytest.approx(temperature, rel=0.1)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_sharper_probabilities_are_a_power_of_what_they_were(variant):
    torch.manual_seed(0)
    args = arguments("penn-action", variant, width=16, blocks=1, size=32, frames=4, actions=5)
    merge = build(args)[0].merge
    maps = (torch.randn(3, 5, 4, 4), torch.randn(3, 5, 4, 4))
    before = merge(maps)
    merge.sharpen(2.5)
    after = before**2.5
    assert torch.allclose(merge(maps), after / after.sum(-1, keepdim=True), atol=1e-6)


def test_weights_are_written_again_with_the_temperature_in_them(tmp_path, capsys):
    torch.manual_seed(0)
    count = len(ACTIONS)
    args = arguments("tiny", width=16, blocks=1, size=32, frames=4, actions=count, depth_maps=2)
    labels = {"action_labels": json.dumps(ACTIONS), "stride": "3"}
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
    assert main(command) == 0 and "temperature" in capsys.readouterr().out
    one, two = (load_weights(path).model.merge.linear.weight for path in place)
    told = load_weights(place[1]).metadata["action_temperature"]
    assert told.endswith("synthetic, split val: 16 videos")
    assert torch.allclose(two * float(told.split(",")[0]), one, rtol=1e-2)
