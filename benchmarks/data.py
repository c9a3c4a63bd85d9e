"""How fast the data pipeline is, on one core, each figure beside the bare decoder's in the same run.

    python benchmarks/data.py [--seconds 5]

Made material, written to a temporary folder: photographs of 1280x720 with a person's box of 640 px,
the same people packed (`poseact data pack`), and an H.264 video of 480p.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

from poseact.data.augment import Augmentation
from poseact.data.images import ImageFiles, read_image
from poseact.data.loading import Examples
from poseact.data.pack import open_pack, pack
from poseact.geometry import Box
from poseact.memory import keep_freed_memory
from poseact.skeleton import MPII16, PA16
from poseact.structures import Sample, Track
from poseact.video import VideoFile, write_video

PEOPLE, SIZE, FRAMES = 64, 256, 16


class People:
    """Made photographs of 1280x720, each with a person's box of 640 px."""

    layout = MPII16

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.paths = [folder / f"{i:03d}.jpg" for i in range(PEOPLE)]
        for path in self.paths:
            cv2.imwrite(str(path), scene(rng, 1280, 720), [cv2.IMWRITE_JPEG_QUALITY, 90])

    def __len__(self) -> int:
        return PEOPLE

    def __getitem__(self, i: int) -> Sample:
        rng = np.random.default_rng(i)
        x, y = 640 + rng.uniform(-200, 200), 360 + rng.uniform(-30, 30)
        joints = np.zeros((len(MPII16), 3))
        joints[:, :2] = rng.uniform(-200, 200, (len(MPII16), 2)) + np.array([x, y])
        everywhere = np.ones(len(MPII16), bool)
        return Sample(
            frames=ImageFiles((self.paths[i],)),
            joints=joints,
            valid=everywhere,
            depth_valid=~everywhere,
            layout=MPII16,
            box=Box((x, y), 640.0),
            metres_per_pixel=None,
            name=self.paths[i].name,
        )


class Videos:
    """One video of 854x480 with a person in the middle."""

    layout, actions, lengths = PA16, ("none",), (300,)

    def __init__(self, path: Path) -> None:
        rng = np.random.default_rng(1)
        wide = scene(rng, 1200, 600)
        write_video(path, (wide[i % 100 : i % 100 + 480, i : i + 854] for i in range(self.lengths[0])), 30)
        self.frames = VideoFile(path)

    def __len__(self) -> int:
        return 1

    def __getitem__(self, i: int) -> Track:
        count = len(self.frames)
        nothing = np.zeros((count, len(PA16)), bool)
        return Track(
            frames=self.frames,
            joints=np.zeros((count, len(PA16), 3)),
            valid=nothing,
            depth_valid=nothing,
            layout=PA16,
            boxes=np.tile([427.0, 240.0, 400.0], (count, 1)),
            metres_per_pixel=None,
            action=0,
            name="video",
        )


def scene(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Detail of every size, each half as large as fine as it is coarse, as photographs have it."""
    image = np.full((height, width, 3), 127, np.float32)
    for cells in (4, 8, 16, 32, 64, 128, 256):
        coarse = rng.normal(0, 160 / cells**0.75, (cells, cells, 3)).astype(np.float32)
        image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image + rng.normal(0, 1.5, (height, width, 1)), 0, 255).astype(np.uint8)


def rate(work: Callable[[int], object], seconds: float, start: int = 0) -> float:
    """Calls a second, after one to warm up; calls are numbered."""
    work(start)
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        calls += 1
        work(start + calls)
    return calls / (time.perf_counter() - began)


def figures(folder: Path, seconds: float) -> Iterator[tuple[str, float, float]]:
    """Name, rate of the pipeline, rate of the bare decoder."""
    people = People(folder)
    drawn = Augmentation(power=(0.9, 1.1))
    examples = Examples([people], PA16, SIZE, drawn, 0, 0)
    size = people.paths[0].stat().st_size / 1e3
    yield (
        f"augmented 256x256 crops from 1280x720 JPEG of {size:.0f} kB",
        rate(lambda i: examples[0, i % PEOPLE], seconds),
        rate(lambda i: read_image(people.paths[i % PEOPLE]), seconds),
    )
    for raw in (False, True):
        name = "raw" if raw else "JPEG"
        pack(people, "mpii", "all", folder / name, SIZE, Console(quiet=True), raw=raw)
        packed = open_pack(folder / name, "mpii", "all")
        size = (folder / name / "all" / "crops-00000.bin").stat().st_size / PEOPLE / 1e3
        crops = Examples([packed], PA16, SIZE, drawn, 0, 0)
        yield (
            f"augmented 256x256 crops, packed, {name} of {size:.0f} kB",
            rate(lambda i, c=crops: c[0, i % PEOPLE], seconds),
            rate(lambda i, p=packed: p[i % PEOPLE].image(), seconds),
        )
    videos = Videos(folder / "video.mp4")
    clips = [Examples([videos], PA16, SIZE, drawn, 0, epoch, FRAMES) for epoch in range(50)]

    def bare(i: int) -> None:
        first = i * FRAMES % (videos.lengths[0] - FRAMES)
        videos.frames.read(range(first, first + FRAMES))

    whole = rate(lambda _: decode_all(folder / "video.mp4"), seconds) * videos.lengths[0] / FRAMES
    yield (
        "clips of 16, random places and strides, H.264 854x480",
        rate(lambda i: clips[i % 50][0, 0], seconds),
        whole,
    )
    yield "clips of 16, one after the other, not cropped", rate(bare, seconds), whole


def decode_all(path: Path) -> None:
    """The bare decoder: every frame to RGB, in order, on one thread."""
    import av

    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        for frame in container.decode(video=0):
            frame.to_ndarray(format="rgb24")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each figure")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'one core':58}{'pipeline/s':>12}{'decoder/s':>12}{'share':>8}")
        for name, ours, bare in figures(Path(folder), args.seconds):
            print(f"{name:58}{ours:12.1f}{bare:12.1f}{ours / bare:8.0%}")


if __name__ == "__main__":
    main()
