from operator import itemgetter

import pytest
import torch

from poseact.structures import ActionOutput, PoseOutput
from poseact.training.losses import (
    actions_loss,
    counts,
    frame_share,
    heat_map_loss,
    pose_loss,
    poses_loss,
    visibility_loss,
)


def output(dim=3, requires_grad=True, lead=(2,)):
    torch.manual_seed(0)
    pose = torch.rand(*lead, 5, dim, requires_grad=requires_grad)
    seen = torch.rand(*lead, 5).clamp(0.1, 0.9).requires_grad_(requires_grad)
    maps = torch.randn(*lead, 5, 8, 8, requires_grad=requires_grad)
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
        "action": torch.tensor([2, 0]),
        "action_known": torch.tensor([True, False]),
    }


def total_loss(blocks, labels, weight):
    return poses_loss(blocks, labels, counts([labels]), weight)


def test_masked_coordinates_get_exactly_zero_gradient():
    out, b = output(), batch()
    total_loss((out,), b, 0.05).backward()
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
    loss = total_loss((out,), b, 0.05)
    loss.backward()
    assert loss.isfinite() and out.pose.grad.isfinite().all() and out.heat_maps.grad.isfinite().all()


def test_no_valid_joint_at_all():
    out, b = output(), batch()
    b = {k: torch.zeros_like(v) for k, v in b.items()}
    loss = total_loss((out,), b, 0.05)
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
    assert pose_loss(out, b, b["valid"].sum()).item() == pytest.approx(torch.stack(expected).mean().item())


def test_depth_weight_is_of_z_alone():
    out, b = output(3, False), batch()
    b["depth_valid"] = b["valid"]
    flat = PoseOutput(out.pose.clone(), out.visibility, out.heat_maps)
    flat.pose[..., 2] = b["pose"][..., 2]
    count = b["valid"].sum()
    plane, whole = pose_loss(flat, b, count), pose_loss(out, b, count)
    assert whole > plane
    assert pose_loss(out, b, count, 5).item() == pytest.approx((plane + 5 * (whole - plane)).item())
    assert pose_loss(out, b, count, 0).item() == pytest.approx(plane.item())
    own = {"labels": b, "count": counts([b]), "heat_map_weight": 0.0}
    added = poses_loss((out,), **own, depth_weight=5) - poses_loss((out,), **own)
    assert added.item() == pytest.approx(4 * (whole - plane).item())


def test_visibility_loss_counts_annotated_joints():
    out, b = output(requires_grad=False), batch()
    p, known = out.visibility, b["visible_known"]
    expected = -torch.where(b["visible"] > 0, p.log(), (1 - p).log())[known].mean()
    assert visibility_loss(out, b, known.sum()).item() == pytest.approx(expected.item())


def test_visibility_of_exactly_0_and_1_keeps_the_gradient_finite():
    out, b = output(), batch()
    raw = torch.tensor([[200.0, -200, 0, 200, 0]] * 2, requires_grad=True)
    certain = PoseOutput(out.pose, raw.sigmoid(), out.heat_maps)
    visibility_loss(certain, b, b["visible_known"].sum()).backward()
    assert raw.grad.isfinite().all()


def test_heat_map_loss_is_least_at_the_joint():
    b = batch()
    b["pose"][:] = 0.5 + 0.5 / 8 - 1e-6  # the centre of a cell
    maps = torch.zeros(2, 5, 8, 8)

    def loss(row, column):
        shifted = maps.clone()
        shifted[..., row, column] = 3
        answer = PoseOutput(torch.zeros(2, 5, 2), torch.ones(2, 5), shifted)
        return heat_map_loss(answer, b, b["valid"].sum())

    losses = {(r, c): loss(r, c).item() for r in range(8) for c in range(8)}
    assert min(losses, key=losses.get) == (4, 4)


def test_every_block_is_supervised():
    first, second = output(), output()
    total_loss((first, second), batch(), 0.0).backward()
    assert first.pose.grad.abs().sum() > 0 and torch.equal(first.pose.grad, second.pose.grad)


def test_clips_are_their_frames():
    """A clip (1, T, ...) gives the losses of its frames as stills (T, ...)."""
    stills, b = output(requires_grad=False), batch()
    clip = stills.map(lambda x: x[None])
    labels = {name: x[None] for name, x in b.items()}
    assert total_loss((clip,), labels, 0.1).item() == pytest.approx(total_loss((stills,), b, 0.1).item())


def test_a_clip_weighs_as_much_as_a_still():
    """Of a still and a clip of two frames, both all valid, each is half of the loss."""
    still, clip = output(lead=(1,)), output(lead=(1, 2))
    labels = []
    for answer in (still, clip):
        lead = answer.pose.shape[:-1]
        labels.append(batch() | {"pose": answer.pose.detach() + 1, "visible": torch.ones(lead)})
        labels[-1] |= dict.fromkeys(("valid", "depth_valid", "visible_known"), torch.ones(lead).bool())
    count = counts(labels)
    assert count.tolist()[:2] == [10, 10]
    for answer, own in zip((still, clip), labels, strict=True):
        # Each coordinate is off by 1: L1 + squared L2 is 2, of three coordinates 6.
        assert pose_loss(answer, own, count[0]).item() * frame_share(own) == pytest.approx(3)


def test_parts_of_a_batch_add_up_to_its_loss():
    out, b = output(requires_grad=False), batch()
    count = counts([b])
    parts = [{name: x[i : i + 1] for name, x in b.items()} for i in (0, 1)]
    assert torch.equal(counts(parts), count) and count.tolist() == [7, 8, 1]
    answers = [out.map(itemgetter(slice(i, i + 1))) for i in (0, 1)]
    added = sum(poses_loss((answer,), part, count, 0.1) for answer, part in zip(answers, parts, strict=True))
    assert added.item() == pytest.approx(poses_loss((out,), b, count, 0.1).item())


def test_actions_loss_is_the_cross_entropy_of_every_block_and_the_aggregation():
    """Of the two clips only the first has a label: class 2."""
    logits = [
        torch.randn(2, 3, generator=torch.Generator().manual_seed(i), requires_grad=True) for i in range(5)
    ]
    soft = [x.softmax(-1) for x in logits]
    loss = actions_loss(ActionOutput(tuple(soft[:2]), tuple(soft[2:4]), soft[4]), batch(), counts([batch()]))
    expected = sum(torch.nn.functional.cross_entropy(x[:1], torch.tensor([2])) for x in logits)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    loss.backward()
    for x in logits:
        assert (x.grad[0] != 0).all() and (x.grad[1] == 0).all()


def test_a_class_that_seems_impossible_still_learns():
    logits = torch.tensor([[60.0, 0, 0], [0, 0, 0]], requires_grad=True)
    soft = logits.softmax(-1)
    actions_loss(ActionOutput((), (), soft), batch(), counts([batch()])).backward()
    assert logits.grad[0].tolist() == pytest.approx([1, 0, -1], abs=1e-5)


def test_no_action_known_at_all():
    labels = batch() | {"action_known": torch.zeros(2, dtype=torch.bool)}
    soft = torch.randn(2, 3, requires_grad=True)
    loss = actions_loss(ActionOutput((), (), soft.softmax(-1)), labels, counts([labels]))
    loss.backward()
    assert loss == 0 and (soft.grad == 0).all()
