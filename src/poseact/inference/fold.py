"""A network made faster to predict with: batch norm folded away, blocks left out, bf16."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from poseact.errors import UserError
from poseact.network import MultitaskNetwork
from poseact.network.layers import BatchNorm, Conv, ConvBN, SeparableConv
from poseact.network.pose import PredictionBlock

Module = TypeVar("Module", bound=nn.Module)


def folded(network: Module) -> Module:
    """A copy in evaluation mode whose batch norms have become biases of the convolutions.

    The answers are the same up to rounding; the copy cannot be trained further.
    """
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if isinstance(module, ConvBN):
            _fold(module.conv, module.bn)
        elif isinstance(module, SeparableConv):
            _fold(module.pointwise, module.bn)
        else:
            continue
        module.bn = nn.Identity()  # type: ignore[assignment]
    return network


def check_blocks(network: MultitaskNetwork, blocks: int) -> None:
    """Raise `UserError` where the network has fewer prediction blocks."""
    if not 1 <= blocks <= len(network.blocks):
        raise UserError(f"blocks: expected 1 to {len(network.blocks)}, the network's, got {blocks}")


def keep_blocks(network: MultitaskNetwork, blocks: int) -> None:
    """Keep the first ``blocks`` prediction blocks, in place: the last of them answers.

    Its re-injection, which only the next block would have read, goes too. Raises `UserError` where the
    network does not have so many.
    """
    check_blocks(network, blocks)
    network.blocks = network.blocks[:blocks]
    last = network.blocks[-1]
    assert isinstance(last, PredictionBlock)
    last.reinject = None


def to_bf16(network: MultitaskNetwork) -> None:
    """Convolve in bf16 from the stem to the last heat maps, in place.

    Coordinates need more than its eight bits, so the soft-argmax stays in float32, and so do the action
    heads, which are small. Frames are given, and poses answered, in float32 as before.
    """
    network.stem = nn.Sequential(_Cast(torch.bfloat16), network.stem.bfloat16())  # type: ignore[assignment]
    network.blocks.bfloat16()
    if network.actions:
        heads = network.appearance_recognition
        network.appearance_recognition = nn.Sequential(_Cast(torch.float32), heads)  # type: ignore[assignment]


class _Cast(nn.Module):
    """To another floating type."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)


def _fold(conv: Conv, bn: BatchNorm) -> None:
    assert bn.running_mean is not None and bn.running_var is not None
    with torch.no_grad():
        scale = (bn.running_var.double() + bn.eps).rsqrt()
        bias = bn.bias.double() - bn.running_mean.double() * scale
        conv.weight.copy_(conv.weight.double() * scale[:, None, None, None])
        conv.bias = nn.Parameter(bias.to(conv.weight.dtype), requires_grad=False)
