"""Videos in one folder for each action, as `folder.ActionFolders` reads them, with the exact labels.

On disk: ``train/walk/00000.mp4`` and ``train/walk/00000.json`` ..., likewise ``val`` and ``test``.
Three videos in five are for training. The JSON holds, for F frames and the J joints of `skeleton.FIGURE36`:

- ``seed``, ``number``: which video it is. ``action``, ``fps``, ``width``, ``height`` (px).
- ``joint_names`` (J); ``joints_px`` (F, J, 2): (0, 0) is the centre of the top-left pixel;
  ``joints_world_m`` (F, J, 3): metres, y up, the floor at 0; ``depth_mm`` (F, J): along the camera's
  axis, relative to the pelvis.
- ``inside`` (F, J): within the picture; ``occluded`` (F, J): hidden by something nearer.
- ``boxes`` (F, 3): centre x and y, side, px. ``camera``: of each frame ``rotation`` (3, 3), ``position``
  (3) in metres, ``focal``, ``centre`` (2) in px, ``radial`` and ``tangential``, as `geometry.Camera`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from poseact.data.synthetic.formats.staging import (
    SPLITS,
    BoolArray,
    Order,
    Take,
    Task,
    filmed,
    generator,
    performed,
    pictures,
    random_somebody,
    roles,
    taker,
    truth,
    write_json,
)
from poseact.video import write_video


def tasks(order: Order) -> list[Task]:
    """A task for each video."""
    cast = roles(order, None)
    take, made = taker(order), []
    for number in range(order.count):
        turn_no, place = divmod(number, len(cast))
        split = SPLITS[(place + turn_no) % len(SPLITS)]
        path = order.root / split / cast[place].label / f"{number:05d}.mp4"
        files = (path, path.with_suffix(".json"))
        made.append(Task(files, partial(_write, order, path, number, take(cast[place], split))))
    return made


def _write(order: Order, path: Path, number: int, take: Take) -> None:
    rng = generator(order, number)
    motion = performed(order, rng, take)
    film = filmed(order, rng, motion, random_somebody(rng, motion))
    occluded: list[BoolArray] = []
    write_video(path, pictures(film, occluded), film.fps)
    write_json(path.with_suffix(".json"), truth(film, occluded, order, number))
