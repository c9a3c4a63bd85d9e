"""What sharing the frames of a video saves, in one run.

    python benchmarks/streaming.py [--preset penn-action] [--width W] [--size S] [--frames 128]

Streaming: a prediction at every frame of a window of 16, each frame through the network once, beside each
window computed whole. Clips: multi-clip testing of a video in one box, clips that overlap by half, each
frame once, beside clip by clip; then the same with mirror images. Random weights do: they cost the same.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from poseact.geometry import Box
from poseact.inference.boxes import cut
from poseact.inference.predictor import ready
from poseact.inference.source import Frame, Source
from poseact.inference.stream import Options, Stream, recognise_clips
from poseact.memory import keep_freed_memory
from poseact.network import MultitaskNetwork, arguments, build, to_input
from poseact.tables import narrow_table
from poseact.video import clip_indices, clip_starts

ROUNDS = 4
"""Each comparison alternates so often, so that both sides see the same machine."""


@dataclass
class Side:
    """One side of a comparison, over all rounds: frames through the network, seconds, predictions."""

    frames: int = 0
    seconds: float = 0.0
    predictions: int = 0


def counted(network: MultitaskNetwork) -> list[int]:
    """How many frames went through the network, call by call."""
    calls: list[int] = []
    estimate = network.estimate

    def counting(frames):
        calls.append(len(frames))
        return estimate(frames)

    network.estimate = counting
    return calls


def measured(side: Side, calls: list[int], work: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
    """The predictions of some work, whose cost is added to ``side``."""
    calls.clear()
    start = time.perf_counter()
    found = work()
    side.seconds += time.perf_counter() - start
    side.frames += sum(calls)
    side.predictions += len(found)
    return found


def whole(network: MultitaskNetwork, crops: np.ndarray) -> np.ndarray:
    """Probabilities (A,) of one clip of crops (T, S, S, 3), computed whole."""
    with torch.inference_mode():
        return network(to_input(torch.from_numpy(crops))[None]).action[0].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="penn-action")
    parser.add_argument("--width", type=int)
    parser.add_argument("--size", type=int)
    parser.add_argument("--frames", type=int, default=128, help="of the video (128)")
    args = parser.parse_args()
    keep_freed_memory()
    changes = {name: value for name in ("width", "size") if (value := getattr(args, name))}
    chosen = arguments(args.preset, **{"actions": 15, "frames": 16, **changes})
    torch.manual_seed(0)
    model, model.layout = build(chosen)
    model.action_labels, model.metadata = (), {}
    network = ready(model, torch.device("cpu"), precision="fp32")
    calls = counted(network)
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 256, (args.frames, 240, 320, 3), np.uint8))
    box = Box((160.0, 120.0), 200.0)
    console = Console()
    console.print(f"{args.preset} {changes or ''}, T {network.frames}, {torch.get_num_threads()} threads")
    whole(network, cut(images[: network.frames], [box] * network.frames, network.size))  # warm up
    table = narrow_table("", "frames apart", "shared", "fewer", "s apart", "shared", "faster", "differ")
    for live in (False, True):
        stream_row(table, network, calls, images, box, live)
    for flip in (False, True):
        clip_row(table, network, calls, images, box, flip)
    console.print(table)


def stream_row(
    table: Table, network: MultitaskNetwork, calls: list[int], images: list, box: Box, live: bool
) -> None:
    """A prediction at every frame once the window is full, as a file and as a camera gives frames."""
    length, count = network.frames, None if live else len(images)
    source = Source("memory", 25.0, (320, 240), lambda _: iter(()), None, count)
    stream = Stream(network, source, Options(precision="fp32"), lambda number, image: {1: box})
    frames = [Frame(i, i / 25, image) for i, image in enumerate(images)]
    stream.add(frames[: length - 1])
    apart, shared, far = Side(), Side(), 0.0
    for part in np.array_split(np.arange(length - 1, len(images)), ROUNDS):
        some = [frames[i] for i in part]
        found = measured(shared, calls, lambda some=some: [a.rows["action"][0] for a in stream.add(some)])
        crops = images[part[-1] - length + 1 : part[-1] + 1]
        again = measured(
            apart, calls, lambda crops=crops: [whole(network, cut(crops, [box] * length, network.size))]
        )
        far = max(far, float(np.abs(found[-1] - again[-1]).max()))
    add_row(table, "frame, camera" if live else "frame, file", apart, shared, far)


def clip_row(
    table: Table, network: MultitaskNetwork, calls: list[int], images: list, box: Box, flip: bool
) -> None:
    """Multi-clip testing: clips that overlap by half, in one box."""
    length = network.frames
    starts = clip_starts(len(images), length, 1, length // 2)
    clips = np.stack([clip_indices(len(images), length, 1, start) for start in starts])

    def one(indices):
        crops = cut([images[i] for i in indices], [box] * length, network.size)
        sides = [crops, np.ascontiguousarray(crops[:, :, ::-1])] if flip else [crops]
        return np.stack([whole(network, side) for side in sides])

    def together():
        crops = cut(images, [box] * len(images), network.size)
        return list(recognise_clips(network, crops, clips, flip))

    apart, shared = Side(), Side()
    first = measured(apart, calls, lambda: [one(indices) for indices in clips[::2]])
    found = measured(shared, calls, together)
    rest = measured(apart, calls, lambda: [one(indices) for indices in clips[1::2]])
    order = [*range(0, len(clips), 2), *range(1, len(clips), 2)]
    far = max(float(np.abs(a.squeeze() - found[i]).max()) for i, a in zip(order, first + rest, strict=True))
    add_row(table, "clip, mirrored too" if flip else "clip", apart, shared, far)


def add_row(table: Table, name: str, apart: Side, shared: Side, far: float) -> None:
    frames = [side.frames / side.predictions for side in (apart, shared)]
    seconds = [side.seconds / side.predictions for side in (apart, shared)]
    cells = [f"{frames[0]:.1f}", f"{frames[1]:.1f}", f"{frames[0] / frames[1]:.1f}"]
    cells += [f"{seconds[0]:.3f}", f"{seconds[1]:.3f}", f"{seconds[0] / seconds[1]:.1f}"]
    table.add_row(name, *cells, f"{far:.0e}")


if __name__ == "__main__":
    main()
