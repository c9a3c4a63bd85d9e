"""A whole step of training, loader included, beside the bare network step, in stills and clips a second.

    python benchmarks/training.py [--width 576 --blocks 8 --size 256 --batch 24 --clips 2 --workers 8]

Stills: the 2D network of mpii.yaml on made photographs of 1280x720. Clips: the network of
penn-joint.yaml, all of it trained, on a made video of 854x480, 16 frames each. A step is crops and
augmentation, transfer, forward, losses, backward, optimiser and running mean; the bare step is forward,
losses and backward on a batch that lies ready. In float32, and in bf16 where that is faster.
The stills' step on a CPU is also given as a multiple of the authors' one on TensorFlow: 4.3 images/s where
the fp32 product of two 4096 matrices runs at 330 GFLOP/s, in proportion to that product, which is taken
beside each step, since a machine's speed moves: the median of that ratio over the steps.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import mean, median
from unittest import mock

import numpy as np
import torch
from data import People, Videos
from network import matrix_gflops
from rich.console import Console

from poseact.data.actions import PENN_ACTIONS
from poseact.data.loading import Batch, Examples, chosen, training_loader
from poseact.inference.device import cpu_gains_from_bf16
from poseact.memory import keep_freed_memory
from poseact.network import to_input
from poseact.training import losses
from poseact.training.epoch import step
from poseact.training.loop import Run
from poseact.training.optimisation import training_mode, update_average
from poseact.training.recipe import read_recipe
from poseact.training.start import Sets

AUTHORS_WORK = 330.0 / 4.3
"""GFLOP of the fp32 product in the time of an image of theirs: GFLOP/s of the machine by images/s."""
WARM_UP = 4
"""Steps before those that count: memory is still being taken in the first ones."""


def open_run(recipe: str, sets: Sets, out: Path, overrides: list[str]) -> Run:
    with mock.patch("poseact.training.loop.open_sets", return_value=sets):
        run = Run(read_recipe(recipe, overrides), out, Console(quiet=True))
    training_mode(run.network)
    return run


def figures(run: Run, steps: int, workers: int) -> tuple[float, float, float, float]:
    """Mean seconds of a step, of its wait for the loader, of the bare network step; on a CPU, the median of
    GFLOP/s in fp32 x seconds of a step.
    """
    spec = run.recipe.training
    examples = Examples(run.sets.train, run.layout, run.crop_size, run.recipe.augmentation, 0, 0, run.frames)
    loader = iter(training_loader(examples, [1], spec.batch, workers, pin_memory=run.device.type == "cuda"))
    taken: dict[str, list[float]] = {"step": [], "wait": [], "bare": [], "product": []}
    for _ in range(WARM_UP + steps):
        start = time.perf_counter()
        batch = next(loader)
        ready = time.perf_counter()
        step(run, batch)
        update_average(run.average, run.network, spec.average, 1)
        synchronise(run)
        taken["step"].append(time.perf_counter() - start)
        taken["wait"].append(ready - start)
        taken["bare"].append(bare(run, batch))
        taken["product"].append(matrix_gflops(torch.float32) if run.device.type == "cpu" else 0.0)
    step_s, wait_s, bare_s, products = (values[WARM_UP:] for values in taken.values())
    return mean(step_s), mean(wait_s), mean(bare_s), median(np.multiply(step_s, products))


def bare(run: Run, batch: Batch) -> float:
    """Seconds of forward, losses and backward on frames that lie ready as the network takes them."""
    (labels,) = [{name: x.to(run.device) for name, x in part.items()} for part in batch.values()]
    frames = to_input(labels["frames"])
    count = losses.counts([labels])
    synchronise(run)
    start = time.perf_counter()
    with torch.autocast(run.device.type, torch.bfloat16, enabled=run.bf16):
        output = run.network(frames)
    spec, grid = run.recipe.training, run.network.grid
    loss = losses.poses_loss(
        output.blocks, labels, count, spec.heat_map_weight, grid, depth_weight=spec.depth_weight
    )
    if output.actions is not None:
        loss = loss + losses.actions_loss(output.actions, labels, count)
    loss.backward()
    synchronise(run)
    seconds = time.perf_counter() - start
    run.optimizer.zero_grad()
    return seconds


def synchronise(run: Run) -> None:
    if run.device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    gpu = torch.cuda.is_available()
    defaults = (576, 8, 256, 24, 2, 8, 20) if gpu else (576, 8, 256, 8, 1, 0, 6)
    names = ("width", "blocks", "size", "batch", "clips", "workers", "steps")
    for name, value in zip(names, defaults, strict=True):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    keep_freed_memory()
    bf16 = torch.cuda.is_bf16_supported() if gpu else cpu_gains_from_bf16()
    print(f"{'GPU' if gpu else f'{torch.get_num_threads()} threads'}, bf16 faster: {bf16}, {vars(args)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        people = chosen(People(folder), draws=1000)
        video = Videos(folder / "video.mp4")
        video.actions = PENN_ACTIONS
        for kind, recipe, name, source, labels, batch in (
            ("stills", "mpii.yaml", "mpii", people, (), args.batch),
            (
                "clips",
                "penn-joint.yaml",
                "penn-action",
                chosen(video, draws=100_000),
                PENN_ACTIONS,
                args.clips,
            ),
        ):
            for precision in ("fp32", "bf16") if bf16 else ("fp32",):
                overrides = [f"network.{key}={getattr(args, key)}" for key in ("width", "blocks", "size")]
                overrides += [f"training.batch={batch}", f"training.precision={precision}"]
                overrides += [f"data.train={{{name}: {{split: train}}}}"]
                sets = Sets([source], [1.0], source, labels)
                run = open_run(recipe, sets, folder / kind / precision, overrides)
                whole, wait, network, work = figures(run, args.steps, args.workers)
                parts = f"loader {wait / whole:.1%}, bare network {network / whole:.1%} of a step"
                print(f"{kind:6} {precision}: {batch / whole:7.2f} /s, bare {batch / network:.2f}/s; {parts}")
                if work and kind == "stills" and (args.width, args.blocks, args.size) == (576, 8, 256):
                    print(
                        f"  an image in the time of {work / batch:.1f} GFLOP of the fp32 product, the "
                        f"authors' in that of {AUTHORS_WORK:.1f}: {AUTHORS_WORK * batch / work:.2f} times "
                        "their step"
                    )


if __name__ == "__main__":
    main()
