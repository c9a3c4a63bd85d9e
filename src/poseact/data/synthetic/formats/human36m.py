"""Human3.6M's official form: CDF files of poses and a video for each of its four cameras.

Ionescu et al., TPAMI 2014. ``S1/MyPoseFeatures/D3_Positions_mono/Walking 1.54138969.cdf`` (mm, as the
camera sees them), ``D2_Positions`` (px) and ``S1/Videos/Walking 1.54138969.mp4`` at 50 frames/s, for the
seven published subjects. The people perform in the middle of the studio, before the real cameras, with
their lenses (`data.human36m_cameras`). A subject is the same person in all recordings. Trials are
numbered from 1, so none has the name of the recording whose video is damaged.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from poseact.data.human36m import SUBJECTS
from poseact.data.human36m_cameras import LENSES, camera
from poseact.data.images import write_whole
from poseact.data.synthetic.formats.staging import (
    Order,
    Take,
    Task,
    at_most,
    centred,
    filmed,
    generator,
    performed,
    pictures,
    random_somebody,
    roles,
    taker,
)
from poseact.errors import UserError
from poseact.geometry import Camera, FloatArray
from poseact.skeleton import FIGURE36, H36M32, convert
from poseact.video import write_video

LABELS = {
    "walk": "Walking", "phone_call": "Phoning", "wave_left": "Greeting", "wave_right": "Greeting",
    "wave_both": "Greeting", "drink": "Eating", "other": "Waiting", "raise_left": "Directions",
    "raise_right": "Directions", "raise_both": "Directions",
}  # fmt: skip
"""Those of the 15 scored actions that one of ours stands in for."""
FPS = 50.0
VIEWS = len(LENSES)
TRIALS = 99
_TO_STUDIO = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""From our world, y up, to the studio's, z up."""
_PERFORMANCES, _PEOPLE = 0, 1


def tasks(order: Order) -> list[Task]:
    """A task for each video; four in a row show one performance, subject after subject.

    The poses in 3D, which the reader looks for, are written last.
    """
    cast, subjects = roles(order, LABELS), SUBJECTS["all"]
    at_most(order, VIEWS * len(subjects) * len(cast) * TRIALS, "Human3.6M with these actions")
    take, made = taker(order), []
    for performance in range(-(-order.count // VIEWS)):
        turn_no, place = divmod(performance, len(subjects))
        role, trial = cast[(place + turn_no) % len(cast)], turn_no // len(cast) + 1
        subject = subjects[place]
        played = take(role, "train" if subject in SUBJECTS["train"] else "test")
        for number in list(LENSES)[: order.count - VIEWS * performance]:
            files = _files(order.root / f"S{subject}", f"{role.label} {trial}.{number}")
            made.append(Task(files, partial(_write, order, files, performance, played, subject, number)))
    return made


def _files(folder: Path, stem: str) -> tuple[Path, Path, Path]:
    poses = folder / "MyPoseFeatures"
    names = ("D2_Positions", "D3_Positions_mono")
    flat, deep = (poses / name / f"{stem}.cdf" for name in names)
    return folder / "Videos" / f"{stem}.mp4", flat, deep


def _write(
    order: Order, files: tuple[Path, Path, Path], performance: int, take: Take, subject: int, number: str
) -> None:
    width, height = LENSES[number].size
    rng = generator(order, _PERFORMANCES, performance)
    motion = centred(performed(order, rng, take, FPS))
    person = random_somebody(generator(order, _PEOPLE, subject), motion)
    film = filmed(order, rng, motion, person, (height, width), studio_camera(subject, number))
    eye = film.scene.camera(0)
    joints = convert(film.joints, FIGURE36, H36M32, axis=1)
    write_video(files[0], pictures(film, []), FPS)
    write_whole(files[1], _cdf(eye.project(joints)))
    write_whole(files[2], _cdf(1000 * eye.to_camera(joints)))


def studio_camera(subject: int, number: str) -> Camera:
    """The real camera of that ``number``, as it stood for ``subject``, in our world, y up."""
    real = camera(subject, number)
    return replace(real, rotation=real.rotation @ _TO_STUDIO, position=real.position @ _TO_STUDIO)


def _cdf(values: FloatArray) -> bytes:
    """A file with ``values`` (F, 32, 2 or 3) as the one record of the variable Pose."""
    try:
        from cdflib import cdfwrite
    except ImportError as error:
        raise UserError(
            "human36m: expected the package cdflib, found none; pip install 'poseact[synthetic]'"
        ) from error
    flat = values.reshape(1, len(values), -1)
    spec: dict[str, Any] = {
        "Variable": "Pose", "Data_Type": cdfwrite.CDF.CDF_DOUBLE, "Num_Elements": 1, "Rec_Vary": True,
        "Var_Type": "zVariable", "Dim_Sizes": list(flat.shape[1:]), "Compress": 0,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pose.cdf"
        with cdfwrite.CDF(path) as file:
            file.write_var(spec, None, flat)
        return path.read_bytes()
