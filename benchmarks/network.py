"""Images a second of the 8-block 2D network on this CPU, as shares of what it can multiply.

    python benchmarks/network.py [--threads N]

One run prints a 4096 matrix product in fp32 and bf16 (the limits), then the network eager,
with batch norm folded and channels-last, and that in bf16. Work: 2 FLOP a multiply-add.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table

from poseact.inference.device import cpu_gains_from_bf16
from poseact.inference.fold import folded
from poseact.network import arguments, build

GFLOP_AN_IMAGE = 19.7
BATCH = 4


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The best of a few runs, after one to warm up."""
    work()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def matrix_gflops(dtype: torch.dtype, side: int = 4096) -> float:
    a, b = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
    return 2 * side**3 / seconds(lambda: a @ b, 2) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    console = Console()
    native = cpu_gains_from_bf16()
    fp32 = matrix_gflops(torch.float32)
    # Emulated bf16 takes minutes at 4096: a smaller product tells its speed as well.
    bf16 = matrix_gflops(torch.bfloat16, 4096 if native else 512)
    console.print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, bf16 faster than fp32: {native}"
    )
    console.print(f"matrix product: fp32 {fp32:.0f} GFLOP/s, bf16 {bf16:.1f} GFLOP/s")
    model, _ = build(arguments("mpii"))
    model.eval()
    frames = torch.randn(BATCH, 3, 256, 256)
    last = frames.contiguous(memory_format=torch.channels_last)
    table = Table("8-block 2D network", "images/s", "x eager", "share of its matrix product")
    with torch.inference_mode():
        eager = BATCH / seconds(lambda: model(frames))
        fast = folded(model).to(memory_format=torch.channels_last)
        plain = BATCH / seconds(lambda: fast(last))
        # Convolutions in bf16; the soft-argmax and its grids stay in fp32.
        fast.stem.bfloat16()
        fast.blocks.bfloat16()
        in_half = BATCH / seconds(lambda: fast(last.bfloat16()), 3 if native else 1)
    rows = [
        ("eager fp32", eager, fp32),
        ("folded, channels-last fp32", plain, fp32),
        ("folded, channels-last bf16", in_half, bf16),
    ]
    for name, rate, limit in rows:
        table.add_row(name, f"{rate:.2f}", f"{rate / eager:.2f}", f"{rate * GFLOP_AN_IMAGE / limit:.0%}")
    console.print(table)
    if not native:
        console.print("bf16 is slower than fp32 on this CPU: the default here is folded, channels-last fp32.")


if __name__ == "__main__":
    main()
