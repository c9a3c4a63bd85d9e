"""A bare training step in bf16 with and without the depth-wise weight gradient in fp32.

    python benchmarks/training_step.py [--width 576 --blocks 8 --size 256 --batch 8 --steps 3]

Both are timed in turn in one run, forward, loss and backward of the 2D network; then the
step in fp32 beside them.
"""

from __future__ import annotations

import argparse
import time
from unittest import mock

import torch
from torch import nn

from poseact.inference.device import cpu_gains_from_bf16
from poseact.memory import keep_freed_memory
from poseact.network import arguments, build, layers


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
    plain = mock.patch.object(layers.DepthwiseConv, "forward", nn.Conv2d.forward)
    times: dict[str, list[float]] = {
        "bf16, plain": [],
        "bf16, depth-wise weight gradient fp32": [],
        "fp32": [],
    }
    for _ in range(args.steps + 1):
        with plain:
            times["bf16, plain"].append(step_seconds(network, frames, bf16=True))
        times["bf16, depth-wise weight gradient fp32"].append(step_seconds(network, frames, bf16=True))
        times["fp32"].append(step_seconds(network, frames, bf16=False))
    print(f"{torch.get_num_threads()} threads, bf16 faster than fp32: {cpu_gains_from_bf16()}, {vars(args)}")
    for name, values in times.items():
        print(f"{name:40} {args.batch / min(values[1:]):7.2f} images/s")


if __name__ == "__main__":
    main()
