"""How fast synthetic people are made on one core: `python benchmarks/synthetic.py`.

Stages in milliseconds, then what a training gets: frames, stills and clips a second at 256x256.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

from poseact.data.augment import Augmentation, example
from poseact.data.clips import draw_clip
from poseact.data.synthetic import SyntheticVideos
from poseact.data.synthetic.actions import ACTIONS, random_motion
from poseact.data.synthetic.mesh import random_person, recoloured
from poseact.data.synthetic.placing import placed
from poseact.data.synthetic.rasteriser import render
from poseact.data.synthetic.rig import joints, random_lengths
from poseact.data.synthetic.scene import random_scene
from poseact.memory import keep_freed_memory
from poseact.skeleton import FIGURE36

SIZE = (256, 256)
VIDEOS = 60
T = 16


def milliseconds(work: Callable[[int], object], count: int = VIDEOS) -> float:
    work(0)
    begun = time.perf_counter()
    for i in range(count):
        work(i)
    return (time.perf_counter() - begun) / count * 1e3


def stages() -> dict[str, float]:
    rng = np.random.default_rng(0)
    lengths = random_lengths(rng)
    person = random_person(rng, lengths)
    motions = [random_motion(ACTIONS[i % len(ACTIONS)], rng, 48) for i in range(VIDEOS)]
    bodies = [placed(motion, lengths) for motion in motions]
    worlds = [joints(*body, lengths) for body in bodies]
    films = [SyntheticVideos(VIDEOS, seed=1).film(i) for i in range(VIDEOS)]
    surfaces = [film.surface(5) for film in films]
    backdrop = milliseconds(lambda i: films[i].scene.backdrop.draw())
    for film in films:
        film.picture(0)  # draws the background
    plain = np.full((*SIZE, 3), 128, np.uint8)
    light = films[0].scene.light
    return {
        "a video: movement of 48 frames": milliseconds(
            lambda i: random_motion(ACTIONS[i % len(ACTIONS)], rng, 48)
        ),
        "a video: on a body, joints": milliseconds(lambda i: joints(*placed(motions[i], lengths), lengths)),
        "a video: scene": milliseconds(lambda i: random_scene(rng, worlds[i], SIZE)),
        "a video: background": backdrop,
        "a video: new colours": milliseconds(lambda i: recoloured(rng, person)),
        "a person, made once, kept": milliseconds(lambda _: random_person(rng, lengths)),
        "a frame: the mesh posed": milliseconds(lambda i: films[i].surface(5)),
        "a frame: drawn by the rasteriser alone": milliseconds(
            lambda i: render([surfaces[i]], films[i].scene.camera(5), light, plain)
        ),
        "a frame: finished, all of it": milliseconds(lambda i: films[i].picture(5)),
    }


def rates() -> dict[str, float]:
    """Per second, by what a training calls."""
    videos = SyntheticVideos(VIDEOS, seed=2)
    stills = SyntheticVideos(VIDEOS, frames=1, seed=2)
    films = [videos.film(i) for i in range(VIDEOS)]
    for film in films:
        film.picture(0)
    rng = np.random.default_rng(0)

    def still(i: int) -> object:
        return stills[i].frames.read([0])

    def clip(i: int) -> object:
        drawn = draw_clip(videos[i], T, (1, 2, 3), rng)
        return example(drawn, FIGURE36, 256, Augmentation(), rng)

    return {
        "finished frames of videos that are there": 1e3 / milliseconds(lambda i: films[i].picture(7)),
        "stills, each with person, movement and scene of its own": 1e3 / milliseconds(still),
        f"clips of {T}, with movement and scene, augmented": 1e3 / milliseconds(clip),
    }


def main() -> None:
    keep_freed_memory()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for name, value in stages().items():
        print(f"{name:<58} {value:7.2f} ms")
    for name, value in rates().items():
        print(f"{name:<58} {value:7.1f} /s")


if __name__ == "__main__":
    main()
