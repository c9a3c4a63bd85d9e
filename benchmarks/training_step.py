"""A bare training step in bf16 and fp32, the depth-wise weight gradients computed three ways.

    python benchmarks/training_step.py [--width 576 --blocks 8 --size 256 --batch 8 --steps 3]

Timed in turn in one run: forward, loss and backward of the 2D network. "whole" is the gradient as PyTorch
asks oneDNN for it, "whole, in fp32" the same on values made fp32, "by columns" the one in use.
"""

from __future__ import annotations

import argparse
import time
from contextlib import nullcontext
from unittest import mock

import torch
from torch import nn

from poseact.inference.device import cpu_gains_from_bf16
from poseact.memory import keep_freed_memory
from poseact.network import arguments, build, layers


def whole_gradient(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    pad, groups = weight.shape[-1] // 2, weight.shape[0]
    return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
        *(grad, x, weight, None, [1, 1], [pad, pad], [1, 1], False, [0, 0], groups), [False, True, False]
    )[1]


def whole_gradient_fp32(grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return whole_gradient(grad.float(), x.float(), weight.float()).to(weight.dtype)


def step_seconds(network: nn.Module, frames: torch.Tensor, bf16: bool) -> float:
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = network(frames)
    loss = sum(block.pose.abs().mean() for block in output.blocks)
    loss.backward()
    network.zero_grad()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    # Where bf16 is emulated, one step of the whole network takes many minutes: a part tells as much.
    defaults = (576, 8, 256, 8, 3) if cpu_gains_from_bf16() else (192, 1, 128, 4, 1)
    for name, value in zip(("width", "blocks", "size", "batch", "steps"), defaults, strict=True):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    keep_freed_memory()
    network, _ = build(arguments("mpii", width=args.width, blocks=args.blocks, size=args.size))
    network = network.to(memory_format=torch.channels_last).train()
    frames = torch.randn(args.batch, 3, args.size, args.size).contiguous(memory_format=torch.channels_last)
    whole = mock.patch.object(layers, "_depthwise_weight_gradient", whole_gradient)
    whole_fp32 = mock.patch.object(layers, "_depthwise_weight_gradient", whole_gradient_fp32)
    ways = {
        "bf16, whole": (whole, True),
        "bf16, whole, in fp32": (whole_fp32, True),
        "bf16, by columns": (nullcontext(), True),
        "fp32, whole": (whole, False),
        "fp32, by columns": (nullcontext(), False),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.steps + 1):
        for name, (way, bf16) in ways.items():
            with way:
                times[name].append(step_seconds(network, frames, bf16))
    print(f"{torch.get_num_threads()} threads, bf16 faster than fp32: {cpu_gains_from_bf16()}, {vars(args)}")
    for name, values in times.items():
        print(f"{name:24} {args.batch / min(values[1:]):7.2f} images/s")


if __name__ == "__main__":
    main()
