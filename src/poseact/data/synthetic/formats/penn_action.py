"""Penn Action's official form: ``frames/0001/000001.jpg`` ... and ``labels/0001.mat``.

Zhang, Zhu and Derpanis, ICCV 2013; the fields are those that `data.penn_action` documents. Pixels
count from 1. Joints that are hidden or outside the picture have the visibility 0, though here their
numbers are right. ``pose`` is where the person looks in the middle of the clip: to the ``front``, to
the ``back``, or to the ``left`` or ``right`` of the picture. Clips are for training and for the test
by turns.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from poseact.data.images import write_whole
from poseact.data.synthetic.formats.mat import mat_bytes
from poseact.data.synthetic.formats.staging import (
    BoolArray,
    Order,
    Take,
    Task,
    at_most,
    filmed,
    generator,
    inside,
    performed,
    pictures,
    random_somebody,
    roles,
    taker,
    write_jpeg,
)
from poseact.data.synthetic.videos import FPS, Film
from poseact.geometry import FloatArray
from poseact.skeleton import FIGURE36, PENN13, convert

LABELS = {
    "throw": "baseball_pitch", "jump_rope": "jump_rope", "jumping_jacks": "jumping_jacks",
    "push_up": "pushup", "sit_up": "situp", "squat": "squat",
}  # fmt: skip
"""Those of Penn Action's 15 labels that one of our actions stands in for."""
PARTS = ("train", "test")
"""What the clips are for, in turn."""
MOST = 9999


def tasks(order: Order) -> list[Task]:
    """A task for each clip; its label is written last."""
    at_most(order, MOST, "Penn Action")
    cast = roles(order, LABELS)
    take, made = taker(order), []
    for number in range(order.count):
        turn_no, place = divmod(number, len(cast))
        path = order.root / "labels" / f"{number + 1:04d}.mat"
        part = PARTS[(place + turn_no) % len(PARTS)]
        made.append(Task((path,), partial(_write, order, number, take(cast[place], part), part)))
    return made


def _write(order: Order, number: int, take: Take, part: str) -> None:
    rng = generator(order, number)
    motion = performed(order, rng, take, FPS)
    film = filmed(order, rng, motion, random_somebody(rng, motion))
    occluded: list[BoolArray] = []
    folder = order.root / "frames" / f"{number + 1:04d}"
    for i, image in enumerate(pictures(film, occluded), 1):
        write_jpeg(folder / f"{i:06d}.jpg", image)
    pixels = convert(film.track("", None).joints[..., :2], FIGURE36, PENN13, axis=1)
    hidden = convert(np.array(occluded), FIGURE36, PENN13, axis=1)
    visible = inside(pixels, order.size) & ~hidden
    content = {
        "action": take.label,
        "pose": _view(film),
        "x": pixels[..., 0] + 1,
        "y": pixels[..., 1] + 1,
        "visibility": visible.astype(np.uint8),
        "train": 1.0 if part == "train" else -1.0,
        "bbox": _boxes(pixels, order.size) + 1,
        "dimensions": np.array([[*order.size, len(film)]], np.float64),
        "nframes": float(len(film)),
    }
    write_whole(order.root / "labels" / f"{number + 1:04d}.mat", mat_bytes(content))


def _boxes(pixels: FloatArray, size: tuple[int, int]) -> FloatArray:
    """x1 y1 x2 y2 (F, 4) of the joints (F, 13, 2), cut off where the picture ends."""
    last = np.array(size[::-1]) - 1.0
    return np.column_stack([pixels.min(1).clip(0, last), pixels.max(1).clip(0, last)])


def _view(film: Film) -> str:
    """Where the hips look in the middle of the film, as the camera sees it."""
    middle = len(film) // 2
    x, _, z = film.scene.camera(middle).rotation @ film.rotations[middle, 0, :, 2]
    if abs(x) > abs(z):
        return "right" if x > 0 else "left"
    return "front" if z < 0 else "back"
