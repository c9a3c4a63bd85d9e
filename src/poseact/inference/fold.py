"""Batch norm folded into the convolution before it: the same answers in fewer passes."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

from poseact.network.layers import BatchNorm, Conv, ConvBN, SeparableConv

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


def _fold(conv: Conv, bn: BatchNorm) -> None:
    assert bn.running_mean is not None and bn.running_var is not None
    with torch.no_grad():
        scale = (bn.running_var.double() + bn.eps).rsqrt()
        bias = bn.bias.double() - bn.running_mean.double() * scale
        conv.weight.copy_(conv.weight.double() * scale[:, None, None, None])
        conv.bias = nn.Parameter(bias.to(conv.weight.dtype), requires_grad=False)
