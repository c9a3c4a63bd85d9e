"""The 8-block 2D network at 256 px in every backend and precision, beside what this CPU can multiply.

    python benchmarks/inference.py [--threads N] [--weights W]

One run measures the machine's matrix product, then images a second at batch 1 and 8, as shares of it, and
the largest difference of the poses to torch in fp32, in pixels of the crop. X is the speed of the authors'
code scaled to this machine: 16.8 images/s where a matrix product reaches 330 GFLOP/s in fp32.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console
from rich.table import Table

from poseact.bench import gflop, image_rate, made_crops, matrix_limits, not_measured, variants
from poseact.evaluation.files import cpu_name
from poseact.memory import keep_freed_memory
from poseact.network import to_input
from poseact.weights import load_model

AUTHORS, AUTHORS_GFLOPS = 16.8, 330.0
"""Images/s of the authors' code, and the fp32 matrix product of the machine that it was measured on."""
SIZE, BATCHES = 256, (1, 8)
BARS = {"bf16": 2.0, "int8": 2.8}
"""Multiples of X that are aimed at."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--weights", default="mpii", help="another network (preset mpii, random weights)")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    keep_freed_memory()
    console = Console(soft_wrap=True, highlight=False)
    torch.manual_seed(0)
    network = load_model(args.weights)
    work = gflop(network, SIZE, len(network.blocks))
    limits = matrix_limits()
    best = {precision: max(found.values()) for precision, found in limits.items()}
    unit = AUTHORS * best["fp32"] / AUTHORS_GFLOPS
    console.print(f"{cpu_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for precision, found in limits.items():
        told = ", ".join(f"{library} {value:.0f}" for library, value in found.items())
        console.print(f"matrix product in {precision}: {told} GFLOP/s")
    console.print(f"{args.weights}: {work:.1f} GFLOP an image; X = {unit:.2f} images/s")
    heads = ("batch", "images/s", "x X", *(f"of {precision} product" for precision in best), "px to fp32")
    table = Table("backend", "precision", *heads)
    crops = made_crops(SIZE)
    frames = to_input(torch.from_numpy(crops)).contiguous(memory_format=torch.channels_last)
    reference: torch.Tensor | None = None
    fastest: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        for variant in variants(network, SIZE, [len(network.blocks)], crops, Path(folder)):
            with torch.inference_mode():
                pose = variant.network.estimate(frames)[0][-1].pose
            reference = pose if reference is None else reference
            difference = SIZE * float((pose - reference).abs().max())
            for batch in BATCHES:
                speed = image_rate(variant.network, SIZE, batch)
                fastest[variant.precision] = max(speed, fastest.get(variant.precision, 0.0))
                shares = [f"{speed * work / limit:.0%}" for limit in best.values()]
                cells = [str(batch), f"{speed:.2f}", f"{speed / unit:.2f}", *shares, f"{difference:.3f}"]
                table.add_row(variant.backend, variant.precision, *cells)
    console.print(table)
    for precision, bar in BARS.items():
        if precision in fastest:
            console.print(f"{precision}: {fastest[precision] / unit:.2f} X at best, {bar} X aimed at")
    for line in not_measured():
        console.print(line, style="bright_black", markup=False)


if __name__ == "__main__":
    main()
