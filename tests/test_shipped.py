"""The weights that the package carries are what their cards say."""

import json

import numpy as np
import pytest
import torch

import poseact
from poseact.cli import main
from poseact.data import as_stills, open_data
from poseact.data.augment import example
from poseact.data.lspet import LspExtended
from poseact.data.synthetic.actions import ACTIONS
from poseact.evaluation.protocols import evaluate_pose
from poseact.network import to_input
from poseact.skeleton import PA16
from poseact.weights import SHIPPED, load_weights

CPU = torch.device("cpu")
MIRRORED = {"poseact-small": 0.06, "poseact-free": 0.1}
"""How far answers to mirrored photographs may be apart, in sides of the crop; the free ones saw none."""


@pytest.fixture(scope="module", params=SHIPPED)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def network(name):
    return poseact.load_model(name)


def told(network, data, samples):
    """The scores on the card, name to value: of the photographs, or of so many procedural movements."""
    rows = json.loads(network.metadata["scores"])
    (found,) = [
        row["scores"] for row in rows
        if (row["data"], row["samples"]) == (data, samples) and "PCK@0.2" in row["scores"]
    ]  # fmt: skip
    return found


def test_one_small_file_answers_poses_in_3d_and_actions(name, network):
    path = SHIPPED[name]
    assert path.stat().st_size < 20e6 and load_weights(path).half
    assert network.layout == PA16 and network.dim == 3 and network.frames == 16
    assert network.action_labels == ACTIONS
    for key in ("licence", "data", "recipe", "stride", "calibration"):
        assert network.metadata[key], key


def test_they_have_a_name_everywhere(name, network, capsys):
    assert main(["weights", "list"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert name in told and network.metadata["licence"][:12] in told
    assert main(["info", name]) == 0 and "licence" in capsys.readouterr().out
    assert main(["predict", "nowhere.mp4", "--out", "o"]) == 2
    assert "nowhere.mp4" in capsys.readouterr().err


def test_people_of_other_seeds_are_found(network):
    people = as_stills(open_data("synthetic", None, "test", 40, frames=1), 1)
    scores = evaluate_pose(network, network.layout, people, CPU).scores
    card = told(network, "synthetic", 300)
    assert scores["PCK@0.2"][-1] > card["PCK@0.2"][0] - 0.12
    assert scores["MPJPE_mm"][-1] < card["MPJPE_mm"][0] + 40


def unmirrored(pose):
    pose = pose[:, PA16.flip.tolist()]
    return torch.cat([1 - pose[..., :1], pose[..., 1:]], -1)


@pytest.mark.slow
def test_mirrored_photographs_get_mirrored_answers(name, network, shared):
    data = LspExtended(shared / "data" / "lspet", "dev")
    rng = np.random.default_rng(0)
    crops = [example(data[i], data.layout, network.size, None, rng)["frames"] for i in range(len(data))]
    apart = []
    with torch.inference_mode():
        for start in range(0, len(crops), 50):
            frames = to_input(torch.from_numpy(np.stack(crops[start : start + 50])))
            one, two = (network.estimate(x)[0][-1].pose for x in (frames, frames.flip(-1)))
            apart.append((one - unmirrored(two))[..., :2].norm(dim=-1))
    mean = float(torch.cat(apart).mean())
    print(f"mirrored answers are {mean:.2%} of the crop apart on average")
    assert mean < MIRRORED[name]


@pytest.mark.slow
def test_the_score_on_photographs_is_that_of_the_card(name, network, shared, tmp_path):
    json_file = tmp_path / "eval.json"
    command = ["evaluate", "--weights", name, "--data", "lspet", "--split", "dev"]
    assert main([*command, "--root", str(shared / "data" / "lspet"), "--json", str(json_file)]) == 0
    found = json.loads(json_file.read_text())["scores"]["PCK@0.2"]
    assert found == pytest.approx(told(network, "lspet", 418)["PCK@0.2"][0], abs=1e-3)
