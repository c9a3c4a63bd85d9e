import pytest
import torch

from poseact.network.pose import PoseReader, drawn_maps
from poseact.network.soft_argmax import SoftArgmax, grid

SIZE, DEPTH = 8, 4
EDGES = [(r, c) for r in (0, 3, SIZE - 1) for c in (0, 4, SIZE - 1)]


@pytest.mark.parametrize("kind", ["centres", "corners"])
@pytest.mark.parametrize(("row", "column"), EDGES)
def test_one_hot_gives_the_cell_exactly(kind, row, column):
    maps = torch.full((1, SIZE, SIZE), -1e4)
    maps[0, row, column] = 0
    cells = (torch.arange(SIZE) + 0.5) / SIZE if kind == "centres" else torch.linspace(0, 1, SIZE)
    expected = torch.stack([cells[column], cells[row]])
    assert torch.equal(SoftArgmax(SIZE, kind=kind).plane(maps)[0], expected)


@pytest.mark.parametrize("kind", ["centres", "corners"])
@pytest.mark.parametrize("cell", [0, 1, DEPTH - 1])
def test_one_hot_in_depth_and_in_the_volume(kind, cell):
    vector = torch.full((1, DEPTH), -1e4)
    vector[0, cell] = 0
    z = grid(DEPTH, kind)[cell]
    module = SoftArgmax(SIZE, DEPTH, kind)
    assert torch.equal(module.line(vector)[0, 0], z)
    volume = torch.full((1, DEPTH, SIZE, SIZE), -1e6)
    volume[0, cell] += 1e6  # the right depth, everywhere in the plane
    volume[..., 2, 5] += 1e6  # the right cell, at every depth
    point = module.volume(volume)[0]
    assert torch.allclose(point, torch.stack([grid(SIZE, kind)[5], grid(SIZE, kind)[2], z]))


@pytest.mark.parametrize("kind", ["centres", "corners"])
def test_gradients(kind):
    torch.manual_seed(0)
    module = SoftArgmax(4, 3, kind).double()
    maps = torch.randn(2, 4, 4, dtype=torch.float64, requires_grad=True)
    volume = torch.randn(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module.plane, maps)
    assert torch.autograd.gradcheck(module.line, maps[..., 0, :3])
    assert torch.autograd.gradcheck(module.volume, volume)


@pytest.mark.parametrize("kind", ["centres", "corners"])
def test_translation_by_one_cell(kind):
    """A bump far from the edges, moved by one cell, moves the answer by one cell."""
    maps = torch.full((1, 16, 16), -1e4)
    maps[0, 6:9, 5:8] = torch.tensor([[0.0, 1, 0], [2, 5, 1], [0, 1, 3]])
    module = SoftArgmax(16, kind=kind)
    step = 1 / 16 if kind == "centres" else 1 / 15
    moved = module.plane(maps.roll((1, 1), (-2, -1))) - module.plane(maps)
    assert torch.allclose(moved, torch.full((1, 2), step), atol=1e-6)


def test_another_map_size_gets_its_own_grid():
    maps = torch.full((1, 12, 12), -1e4)
    maps[0, 11, 0] = 0
    assert torch.allclose(SoftArgmax(SIZE).plane(maps), torch.tensor([[0.5 / 12, 11.5 / 12]]))


def test_context_is_a_weighted_mean():
    reader = PoseReader(1, SIZE, context=2)
    raw = torch.full((1, 3, SIZE, SIZE), -1e4)
    raw[0, 0, 1, 1], raw[0, 1, 3, 3], raw[0, 2, 5, 7] = 0, 2, -1
    p = torch.tensor([2.0, -1.0]).sigmoid()
    points = torch.tensor([[3.5, 3.5], [7.5, 5.5]]) / SIZE
    expected = 0.8 * torch.tensor([1.5, 1.5]) / SIZE + 0.2 * (p[:, None] * points).sum(0) / p.sum()
    output = reader(raw)
    assert torch.allclose(output.pose[0, 0], expected)
    assert torch.allclose(output.visibility, torch.tensor([[0.5]]))


def test_volume_channels_are_depth_first():
    reader = PoseReader(2, SIZE, depth_maps=DEPTH)
    raw = torch.zeros(1, DEPTH * 2, SIZE, SIZE)
    raw[0, 3 * 2 + 1] = 1e4  # depth 3, joint 1
    pose = reader(raw).pose[0]
    assert torch.allclose(pose[:, 2], torch.tensor([0.5, 3.5 / DEPTH]))


def test_depth_is_read_where_the_joint_is():
    maps = torch.randn(2, DEPTH, SIZE, SIZE, dtype=torch.float64, requires_grad=True)
    module = SoftArgmax(SIZE, DEPTH).double()
    pose = module.volume(maps, "joint")
    plane = maps.mean(1).flatten(1).softmax(1).view(2, 1, SIZE, SIZE)
    assert torch.allclose(pose[:, 2:], module.line((plane * maps).sum((-2, -1))))
    assert torch.equal(pose[:, :2], module.volume(maps)[:, :2])
    (gradient,) = torch.autograd.grad(pose[:, 2].sum(), maps)
    assert gradient.abs().max() > 1e-4
    assert gradient.sum(1).abs().max() < 1e-12  # z moves no heat map

    # Depth 1 at the joint, depth 3 all over the background: the mean is led astray.
    maps = torch.zeros(1, DEPTH, SIZE, SIZE)
    maps[0, 3] = 10
    maps[0, :, 4, 5] = 30
    maps[0, 1, 4, 5] = 90
    module = module.float()
    assert module.volume(maps, "joint")[0, 2].item() == pytest.approx(1.5 / DEPTH)
    assert module.volume(maps, "mean")[0, 2].item() == pytest.approx(3.5 / DEPTH, abs=1e-2)


def test_context_and_depth_exclude_each_other():
    with pytest.raises(ValueError, match="2D only"):
        PoseReader(1, SIZE, depth_maps=2, context=2)


@pytest.mark.parametrize("kind", ["centres", "corners"])
def test_drawn_maps_are_read_back_as_they_were_given(kind):
    points = torch.tensor([[0.3, 0.7], [0.5, 0.45], [0.62, 0.4]], dtype=torch.float64)
    maps = drawn_maps(points, 32, kind=kind)
    assert torch.allclose(SoftArgmax(32, kind=kind).double().plane(maps.log()), points, atol=1e-6)


def test_drawn_maps_sum_to_one_around_the_joint():
    points = torch.tensor([[0.5, 0.25], [0.0, 1.0]])
    maps = drawn_maps(points, 16)
    assert torch.allclose(maps.sum((-2, -1)), torch.ones(2))
    top = maps.flatten(1).argmax(1)
    assert (top[0] // 16).item() in (3, 4) and (top[0] % 16).item() in (7, 8)
    assert top[1].item() == 15 * 16
