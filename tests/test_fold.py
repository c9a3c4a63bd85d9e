import torch

from poseact.inference.fold import folded
from poseact.network import MultitaskNetwork
from poseact.network.layers import BatchNorm


def test_folded_answers_are_the_same():
    torch.manual_seed(0)
    network = MultitaskNetwork(joints=16, width=32, blocks=2, size=64, actions=5, frames=8)
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.3, 3)
            torch.nn.init.normal_(module.bias)
    frames = torch.randn(1, 8, 3, 64, 64)
    network.eval()
    fast = folded(network)
    assert not any(isinstance(m, BatchNorm) for m in fast.modules())
    with torch.no_grad():
        a, b = network(frames), fast(frames)
    assert torch.allclose(a.pose, b.pose, atol=1e-5) and torch.allclose(a.action, b.action, atol=1e-5)
