"""The network answers what the authors' code answered with the same weights."""

import numpy as np
import pytest
import torch

from poseact.network import to_input
from poseact.weights import convert, load_model

TOLERANCE = 1e-5


def answers(output) -> dict[str, torch.Tensor]:
    """The output under the names of the reference."""
    named = {"pose": output.pose, "confidence": output.visibility[..., None], "action": output.action}
    for k, block in enumerate(output.blocks, 1):
        named |= {f"pose_block{k}": block.pose, f"visible_block{k}": block.visibility[..., None]}
    for k, scores in enumerate(output.pose_actions, 1):
        named[f"pose_action{k}"] = scores
    for k, scores in enumerate(output.appearance_actions, 1):
        named[f"appearance_action{k}"] = scores
    return named


@pytest.mark.parametrize("name", ["pose2d", "pose3d", "action2d", "action3d"])
def test_reference_outputs(name, shared, manifests, keras_files, tmp_path):
    convert(keras_files[name], tmp_path / "w.safetensors")
    model = load_model(tmp_path / "w.safetensors")
    expected = np.load(shared / "reference" / "expected" / f"{name}.npz")
    frames = to_input(torch.from_numpy(expected["frames"]))
    with torch.inference_mode():
        found = answers(model(frames[None] if model.actions else frames))
    for output in manifests[name]["outputs"]:
        assert found[output].shape == expected[output].shape, output
        difference = np.abs(found[output].numpy() - expected[output]).max()
        assert difference <= TOLERANCE, f"{output}: {difference}"
