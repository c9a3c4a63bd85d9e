"""What sharing the frames of a video saves, in one run.

    python benchmarks/streaming.py [--preset penn-action] [--width W] [--size S] [--frames 64]

Streaming: a prediction at every frame of a window of 16, each frame through the network once, beside each
window computed whole. Clips: multi-clip testing of a video in one box, clips that overlap by half, each
frame once, beside clip by clip; then the same with mirror images. Random weights do: they cost the same.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

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
from poseact.video import clip_indices, clip_starts

WINDOWS = 4
"""Windows that are computed whole: enough to know what one costs."""


def counted(network: MultitaskNetwork) -> list[int]:
    """How many frames went through the network, call by call."""
    calls: list[int] = []
    estimate = network.estimate

    def counting(frames):
        calls.append(len(frames))
        return estimate(frames)

    network.estimate = counting
    return calls


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def whole(network: MultitaskNetwork, crops: np.ndarray) -> np.ndarray:
    """Probabilities (A,) of one clip of crops (T, S, S, 3), computed whole."""
    with torch.inference_mode():
        return network(to_input(torch.from_numpy(crops))[None]).action[0].numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="penn-action")
    parser.add_argument("--width", type=int)
    parser.add_argument("--size", type=int)
    parser.add_argument("--frames", type=int, default=64, help="of the video (64)")
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
    table = Table("", "network frames", "s a prediction", "times fewer", "times faster")
    stream_rows(table, network, calls, images, box)
    clip_rows(table, network, calls, images, box)
    console.print(table)


def stream_rows(table: Table, network: MultitaskNetwork, calls: list[int], images: list, box: Box) -> None:
    """A prediction at every frame once the window is full, as a file and as a camera gives frames."""
    length = network.frames
    for live in (False, True):
        source = Source("memory", 25.0, (320, 240), lambda _: iter(()), None, None if live else len(images))
        stream = Stream(network, source, Options(precision="fp32"), lambda number, image: {1: box})
        frames = [Frame(i, i / 25, image) for i, image in enumerate(images)]
        found = [stream.add(frames[:length])[-1]]
        calls.clear()
        rest = frames[length:]
        took = seconds(lambda rest=rest, stream=stream, found=found: found.extend(stream.add(rest)))
        streamed = sum(calls) / len(rest), took / len(rest)
        ends = np.linspace(length - 1, len(images) - 1, WINDOWS).astype(int).tolist()
        calls.clear()
        answers = []

        def recompute(ends=ends, answers=answers):
            for end in ends:
                crops = cut(images[end - length + 1 : end + 1], [box] * length, network.size)
                answers.append(whole(network, crops))

        took = seconds(recompute)
        again = sum(calls) / WINDOWS, took / WINDOWS
        by_end = {answer.frame.number: answer.rows["action"][0] for answer in found}
        far = max(float(np.abs(by_end[e] - a).max()) for e, a in zip(ends, answers, strict=True))
        name = "camera, frame by frame" if live else "file, frames together"
        slow = f"each window whole (probabilities differ by {far:.0e})"
        add_rows(table, slow, f"streaming: {name}", again, streamed)


def clip_rows(table: Table, network: MultitaskNetwork, calls: list[int], images: list, box: Box) -> None:
    """Multi-clip testing: clips that overlap by half, in one box."""
    length = network.frames
    starts = clip_starts(len(images), length, 1, length // 2)
    clips = np.stack([clip_indices(len(images), length, 1, start) for start in starts])
    for flip in (False, True):
        calls.clear()
        apart: list[np.ndarray] = []

        def one_by_one(flip=flip, apart=apart):
            for indices in clips:
                crops = cut([images[i] for i in indices], [box] * length, network.size)
                sides = [crops, np.ascontiguousarray(crops[:, :, ::-1])] if flip else [crops]
                apart.append(np.stack([whole(network, side) for side in sides]))

        took = seconds(one_by_one)
        alone = sum(calls) / len(clips), took / len(clips)
        calls.clear()
        shared: list[np.ndarray] = []

        def together(flip=flip, shared=shared):
            crops = cut(images, [box] * len(images), network.size)
            shared.append(recognise_clips(network, crops, clips, flip))

        took = seconds(together)
        saved = sum(calls) / len(clips), took / len(clips)
        far = float(np.abs(np.stack(apart).reshape(len(clips), -1) - shared[0].reshape(len(clips), -1)).max())
        name = "clips with mirror images" if flip else "clips"
        add_rows(table, f"{name} one by one (differ by {far:.0e})", f"{name}, frames shared", alone, saved)


def add_rows(table: Table, slow: str, fast: str, before: tuple, after: tuple) -> None:
    table.add_row(slow, f"{before[0]:.1f}", f"{before[1]:.3f}", "", "")
    ratios = f"{before[0] / after[0]:.1f}", f"{before[1] / after[1]:.1f}"
    table.add_row(fast, f"{after[0]:.1f}", f"{after[1]:.3f}", *ratios)
    table.add_section()


if __name__ == "__main__":
    main()
