import pytest
import torch

from poseact.structures import NetworkOutput, PoseOutput
from poseact.training.losses import heat_map_loss, pose_loss, total_loss, visibility_loss


def output(dim=3, requires_grad=True):
    torch.manual_seed(0)
    pose = torch.rand(2, 5, dim, requires_grad=requires_grad)
    seen = torch.rand(2, 5).clamp(0.1, 0.9).requires_grad_(requires_grad)
    maps = torch.randn(2, 5, 8, 8, requires_grad=requires_grad)
    return PoseOutput(pose, seen, maps)


def batch():
    torch.manual_seed(1)
    valid = torch.tensor([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]]).bool()
    depth = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0]]).bool()
    return {
        "pose": torch.rand(2, 5, 3),
        "valid": valid,
        "depth_valid": depth,
        "visible": valid.float(),
        "visible_known": torch.tensor([[1, 1, 1, 1, 0], [0, 1, 1, 1, 1]]).bool(),
    }


def test_masked_coordinates_get_exactly_zero_gradient():
    out, b = output(), batch()
    total_loss(NetworkOutput((out,)), b, 0.05).backward()
    grad = out.pose.grad
    assert (grad[~b["valid"]] == 0).all()
    assert (grad[..., 2][~b["depth_valid"]] == 0).all()
    assert (grad[..., :2][b["valid"]] != 0).all()
    assert (grad[..., 2][b["depth_valid"]] != 0).all()
    assert (out.heat_maps.grad[~b["valid"]] == 0).all()
    assert (out.visibility.grad[~b["visible_known"]] == 0).all()
    assert (out.visibility.grad[b["visible_known"]] != 0).all()


def test_masked_nan_does_not_leak():
    out, b = output(), batch()
    b["pose"][~b["valid"]] = float("nan")
    loss = total_loss(NetworkOutput((out,)), b, 0.05)
    loss.backward()
    assert loss.isfinite() and out.pose.grad.isfinite().all() and out.heat_maps.grad.isfinite().all()


def test_no_valid_joint_at_all():
    out, b = output(), batch()
    b = {k: torch.zeros_like(v) for k, v in b.items()}
    loss = total_loss(NetworkOutput((out,)), b, 0.05)
    loss.backward()
    assert loss == 0 and (out.pose.grad == 0).all()


@pytest.mark.parametrize("dim", [2, 3])
def test_pose_loss_is_equation_3(dim):
    out, b = output(dim, False), batch()
    expected = []
    for n in range(2):
        for j in range(5):
            if b["valid"][n, j]:
                d = (out.pose[n, j] - b["pose"][n, j, :dim]).clone()
                if dim == 3 and not b["depth_valid"][n, j]:
                    d[2] = 0
                expected.append(d.abs().sum() + (d**2).sum())
    assert torch.allclose(pose_loss(out, b), torch.stack(expected).mean())


def test_visibility_loss_counts_annotated_joints():
    out, b = output(requires_grad=False), batch()
    p, known = out.visibility, b["visible_known"]
    expected = -torch.where(b["visible"] > 0, p.log(), (1 - p).log())[known].mean()
    assert torch.allclose(visibility_loss(out, b), expected)


def test_heat_map_loss_is_least_at_the_joint():
    b = batch()
    b["pose"][:] = 0.5 + 0.5 / 8 - 1e-6  # the centre of a cell
    maps = torch.zeros(2, 5, 8, 8)

    def loss(row, column):
        shifted = maps.clone()
        shifted[..., row, column] = 3
        return heat_map_loss(PoseOutput(torch.zeros(2, 5, 2), torch.ones(2, 5), shifted), b)

    losses = {(r, c): loss(r, c).item() for r in range(8) for c in range(8)}
    assert min(losses, key=losses.get) == (4, 4)


def test_every_block_is_supervised():
    first, second = output(), output()
    total_loss(NetworkOutput((first, second)), batch(), 0.0).backward()
    assert first.pose.grad.abs().sum() > 0 and torch.equal(first.pose.grad, second.pose.grad)
