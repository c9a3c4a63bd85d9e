"""NTU RGB+D's official form: ``SsssCcccPpppRrrrAaaa_rgb.avi`` and ``.skeleton``.

Shahroudy et al., CVPR 2016. Three Kinects stand 45 degrees apart: 1 in the middle, 2 and 3 beside it.
The first time somebody performs an action it is towards camera 2, the second time towards 3, and so
on. People of cross-subject training and test take turns.

Kinect's pictures are mirrored, and its space has x to the right of the mirrored picture, y up and z
away from it, in metres. Depth pixels are those of its depth camera, 512 x 424, here in the colour
camera's place. Rotations of joints are 0, as Kinect writes what it does not know; hidden joints have the
tracking state 1, inferred. The lens is Kinect's at any size, so a smaller picture shows less of the
room, and the people stand farther away; 1920 x 1080 is what Kinect takes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

from poseact.data.actions import NTU_ACTIONS
from poseact.data.images import write_whole
from poseact.data.ntu import CROSS_SUBJECT_TRAIN, FOCAL_PX
from poseact.data.synthetic.formats.staging import (
    BoolArray,
    Order,
    Take,
    Task,
    at_most,
    centred,
    facing,
    filmed,
    generator,
    performed,
    pictures,
    random_somebody,
    roles,
    taker,
)
from poseact.data.synthetic.videos import Film
from poseact.errors import UserError
from poseact.geometry import Camera, FloatArray
from poseact.skeleton import FIGURE36, NTU25, convert
from poseact.structures import Image

LABELS = {
    "drink": "drink water", "throw": "throw", "clap": "clapping", "wave_left": "hand waving",
    "wave_right": "hand waving", "wave_both": "hand waving", "phone_call": "phone call", "punch": "punch",
    "kick": "kicking",
}  # fmt: skip
"""Those of the 60 labels that one of our actions stands in for; nobody is there to be punched or kicked."""
FPS = 30.0
PEOPLE = tuple(p for pair in zip(sorted(CROSS_SUBJECT_TRAIN)[:4], (3, 6, 7, 10), strict=True) for p in pair)
"""Of cross-subject training and of its test by turns."""
AZIMUTHS = (0.0, -45.0, 45.0)
"""Where the cameras stand around the person, in degrees from +z."""
AIMS = AZIMUTHS[1:]
"""Where a person faces the first time and the second."""
SETUPS = 17
_EYE_HEIGHT, _AIM_HEIGHT, _SHOWN, _NEAREST = 1.25, 1.0, 2.35, 3.2
"""Metres: of the cameras and of what they look at; what they see from floor to ceiling there; how near."""
_DEPTH_FOCAL, _DEPTH_CENTRE = 365.5, (255.5, 211.5)
_TRACKED, _INFERRED = 2, 1
_MIRROR = np.array([-1.0, -1.0, 1.0])
"""From a camera's axes, y down, to those of Kinect."""
_FIRST_BODY = 72057594037927936
_BIT_RATE, _KEY_FRAME_EVERY = 12e6, 12
_PERFORMANCES, _PERSONS = 0, 1


def tasks(order: Order) -> list[Task]:
    """A task for each video; three in a row show one performance. The skeleton is written last."""
    cast = roles(order, LABELS)
    at_most(
        order, len(AZIMUTHS) * len(PEOPLE) * len(cast) * len(AIMS) * SETUPS, "NTU RGB+D with these actions"
    )
    take, made = taker(order), []
    for performance in range(-(-order.count // len(AZIMUTHS))):
        turn_no, place = divmod(performance, len(PEOPLE))
        role, repeat = cast[(place + turn_no) % len(cast)], turn_no // len(cast)
        setup, again = divmod(repeat, len(AIMS))
        who, label = PEOPLE[place], NTU_ACTIONS.index(role.label) + 1
        played = take(role, "train" if who in CROSS_SUBJECT_TRAIN else "test")
        for view in range(min(len(AZIMUTHS), order.count - len(AZIMUTHS) * performance)):
            name = f"S{setup + 1:03d}C{view + 1:03d}P{who:03d}R{again + 1:03d}A{label:03d}"
            files = (order.root / f"{name}_rgb.avi", order.root / f"{name}.skeleton")
            write = partial(_write, order, files, performance, played, AIMS[again], who, view)
            made.append(Task(files, write))
    return made


def _write(
    order: Order, files: tuple[Path, Path], performance: int, take: Take, aim: float, who: int, view: int
) -> None:
    rng = generator(order, _PERFORMANCES, performance)
    motion = performed(order, rng, take, FPS)
    motion = centred(facing(motion, aim + rng.normal(0, 8)))
    person = random_somebody(generator(order, _PERSONS, who), motion)
    film = filmed(order, rng, motion, person, camera=kinect(order.size, AZIMUTHS[view]))
    occluded: list[BoolArray] = []
    write_avi(files[0], (image[:, ::-1] for image in pictures(film, occluded)), FPS)
    write_whole(files[1], _skeleton(film, np.array(occluded), who).encode())


def kinect(size: tuple[int, int], azimuth: float) -> Camera:
    """The colour camera at ``azimuth`` degrees, before it mirrors: the middle ``size`` of its picture."""
    height, width = size
    distance = max(_NEAREST, FOCAL_PX * _SHOWN / height)
    angle = np.deg2rad(azimuth)
    position = np.array([distance * np.sin(angle), _EYE_HEIGHT, distance * np.cos(angle)])
    forward = np.array([0, _AIM_HEIGHT, 0]) - position
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return Camera(rotation, position, np.full(2, FOCAL_PX), np.array([width - 1, height - 1]) / 2)


def _skeleton(film: Film, occluded: BoolArray, who: int) -> str:
    """The text of the one body in all frames; ``occluded`` (F, 36)."""
    eye, joints = film.scene.camera(0), convert(film.joints, FIGURE36, NTU25, axis=1)
    space = eye.to_camera(joints) * _MIRROR
    colour = eye.project(joints)
    colour[..., 0] = film.scene.size[1] - 1 - colour[..., 0]
    depth = space[..., :2] * [1, -1] / space[..., 2:] * _DEPTH_FOCAL + _DEPTH_CENTRE
    states = np.where(convert(occluded, FIGURE36, NTU25, axis=1), _INFERRED, _TRACKED)
    lines = [str(len(film))]
    for frame in range(len(film)):
        lines += ["1", f"{_FIRST_BODY + who} 0 1 1 1 1 0 0 0 {_TRACKED}", str(len(NTU25))]
        lines += [
            _joint(*numbers)
            for numbers in zip(space[frame], depth[frame], colour[frame], states[frame], strict=True)
        ]
    return "\r\n".join(lines) + "\r\n"


def _joint(space: FloatArray, depth: FloatArray, colour: FloatArray, state: int) -> str:
    metres = " ".join(f"{v:.7f}" for v in space)
    pixels = " ".join(f"{v:.4f}" for v in (*depth, *colour))
    return f"{metres} {pixels} 0 0 0 0 {state}"


def write_avi(path: Path, frames: Iterable[Image], fps: float) -> None:
    """Write frames (H, W, 3) uint8 RGB, H and W even, as MPEG-4 in AVI; whole or not at all.

    Raises `UserError` where the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with av.open(str(temporary.absolute()), "w", "avi") as container:
            stream = container.add_stream(
                "mpeg4", rate=Fraction(fps).limit_denominator(1001), options={"g": str(_KEY_FRAME_EVERY)}
            )
            assert isinstance(stream, av.VideoStream)
            stream.pix_fmt, stream.bit_rate = "yuv420p", int(_BIT_RATE)
            stream.codec_context.thread_count = 1  # the bytes depend on it
            for number, image in enumerate(frames):
                if not number:
                    stream.height, stream.width = image.shape[:2]
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image))))
            container.mux(stream.encode(None))
        os.replace(temporary, path)
    except av.FFmpegError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}; check the folder") from None
    finally:
        with suppress(OSError):
            temporary.unlink()
