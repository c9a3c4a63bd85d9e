"""Convolutions, batch norm and pooling as the published network has them (PAPER: Network).

No convolution has a bias, batch norm has no gamma and eps 1e-3, pads are TensorFlow's 'same'.
All feature maps are (N, C, H, W).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _same_pad(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's 'same': the odd row or column of padding comes last."""
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def pad_same(x: Tensor, kernel: tuple[int, int], stride: int, value: float = 0.0) -> Tensor:
    """Pad H and W so that a stride of s yields ceil(length / s) positions."""
    top, bottom = _same_pad(x.shape[-2], kernel[0], stride)
    left, right = _same_pad(x.shape[-1], kernel[1], stride)
    if not (top or bottom or left or right):
        return x
    return F.pad(x, (left, right, top, bottom), value=value)


class Conv(nn.Conv2d):
    """Convolution without bias, padded 'same'."""

    def __init__(self, inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1) -> None:
        size = (kernel, kernel) if isinstance(kernel, int) else kernel
        # A stride of 1 pads evenly (odd kernels only), which the convolution does itself.
        padding = (size[0] // 2, size[1] // 2) if stride == 1 else 0
        super().__init__(inputs, outputs, size, stride, padding, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] > 1:
            x = pad_same(x, (self.kernel_size[0], self.kernel_size[1]), self.stride[0])
        return super().forward(x)


class _Depthwise(torch.autograd.Function):
    """Depth-wise convolution, stride 1 and padded 'same', with gradients as fast as the convolution on CPUs.

    oneDNN has fast weight gradients for filters of at most three columns, so that of a wider one is
    computed by groups of columns; whole, it took most of a training step (docs/experiments.md). The input's
    gradient is the convolution with the filter turned round, which is computed faster as such.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=weight.shape[0])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        (grad,) = grads
        pad, groups = weight.shape[-1] // 2, weight.shape[0]
        of_x, of_weight = ctx.needs_input_grad
        return (
            F.conv2d(grad, weight.flip(-2, -1), padding=pad, groups=groups) if of_x else None,
            _depthwise_weight_gradient(grad, x, weight) if of_weight else None,
        )


def _depthwise_weight_gradient(grad: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Of ``weight`` (C, 1, K, K) from the output's gradient and the input, both (N, C, H, W)."""
    side = weight.shape[-1]
    pad = side // 2
    parts = []
    for first in range(0, side, 3):
        columns = weight[..., first : first + 3]
        last = first + columns.shape[-1] - 1
        # Only what these columns see: a negative number cuts off. Rows are padded here too, since oneDNN is
        # slow at maps that are lower than the filter.
        seen = F.pad(x, (pad - first, last - pad, pad, pad))
        parts.append(
            torch.ops.aten.convolution_backward(
                *(grad, seen, columns, None, [1, 1], [0, 0], [1, 1], False, [0, 0], weight.shape[0]),
                [False, True, False],
            )[1]
        )
    return torch.cat(parts, -1)


class DepthwiseConv(nn.Conv2d):
    """One square filter a channel, padded 'same', stride 1."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if not (x.device.type == "cpu" and torch.is_grad_enabled()):
            return super().forward(x)
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        return _Depthwise.apply(x.to(dtype), self.weight.to(dtype))  # type: ignore[no-any-return, no-untyped-call]


MOMENTUM = 0.01
"""Of a batch norm's statistics: Keras' .99."""


class BatchNorm(nn.BatchNorm2d):
    """Batch norm without gamma."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-3, momentum=MOMENTUM)
        del self.weight
        # cuDNN wants a weight beside the bias; ones, neither trained nor saved.
        self.register_buffer("weight", torch.ones(channels), persistent=False)

    def reset_parameters(self) -> None:
        """Zero beta and the running statistics' start values."""
        self.reset_running_stats()
        nn.init.zeros_(self.bias)


class ConvBN(nn.Module):
    """[ReLU,] convolution, batch norm[, ReLU]: ``before`` and ``after`` say where ReLU is."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        *,
        before: bool = False,
        after: bool = False,
    ) -> None:
        super().__init__()
        self.conv = Conv(inputs, outputs, kernel, stride)
        self.bn = BatchNorm(outputs)
        self.before, self.after = before, after

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(F.relu(x) if self.before else x))
        return F.relu(x) if self.after else x


class SeparableConv(nn.Module):
    """ReLU, depth-wise and point-wise convolution, batch norm."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv(inputs, kernel)
        self.pointwise = Conv(inputs, outputs, 1)
        self.bn = BatchNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.pointwise(self.depthwise(F.relu(x))))  # type: ignore[no-any-return]


class SeparableResidual(nn.Module):
    """SR (Fig. 10): a separable convolution beside a shortcut, added."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.separable = SeparableConv(inputs, outputs, kernel)
        self.shortcut = ConvBN(inputs, outputs, 1, before=True) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.separable(x)  # type: ignore[no-any-return]


def joined(*parts: Tensor) -> Tensor:
    """Feature maps side by side, in their channels.

    Each part's gradient is laid out anew: of a slice, batch norm's is ten times slower on CPUs.
    """
    for part in parts:
        if part.requires_grad:
            part.register_hook(torch.clone)
    return torch.cat(parts, 1)


def max_pool(x: Tensor, kernel: int = 2, stride: int = 2) -> Tensor:
    """Max-pooling padded 'same'."""
    return F.max_pool2d(pad_same(x, (kernel, kernel), stride, -float("inf")), kernel, stride)


def max_min_pool(x: Tensor) -> Tensor:
    """Max + min pooling 2x2 (P 4.1): max(x) - max(-x)."""
    return max_pool(x) - max_pool(-x)


def global_max_min(x: Tensor) -> Tensor:
    """Global max + min of each channel: (N, C, H, W) to (N, C)."""
    return x.amax((-2, -1)) + x.amin((-2, -1))


def upsample(x: Tensor) -> Tensor:
    """Nearest upsampling by two."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
