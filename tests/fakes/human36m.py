"""Write a tiny Human3.6M in the true on-disk form of each of its distributions.

The official CDF files and VideoPose3D's npz hold all frames, the authors' annotations a few.
"""

from pathlib import Path

import cdflib.cdfwrite
import cv2
import numpy as np
import scipy.io

from poseact.data.human36m_cameras import LENSES, camera

# Subject, what the files call the recording, the authors' action and trial, frames.
RECORDINGS = (
    (1, "Directions 1", "a02", "e01", 4),
    (1, "TakingPhoto", "a12", "e02", 3),
    (1, "WalkingDog 1", "a15", "e01", 2),
    (5, "Photo 2", "a12", "e02", 7),
    (6, "Waiting 3", "a13", "e01", 3),
    (7, "Walking 2", "a14", "e02", 2),
    (8, "WalkTogether 1", "a16", "e01", 2),
    (9, "SittingDown", "a10", "e01", 3),
    (9, "Walking 1", "a14", "e01", 130),
    (11, "Directions", "a02", "e02", 3),
    (11, "Directions 1", "a02", "e01", 2),
    (11, "Phoning 3", "a06", "e01", 2),
)
World = dict[tuple[int, str], np.ndarray]


def world(seed: int = 0) -> World:
    """Joints (F, 32, 3) in mm of each recording, as float32 metres can say them; z is up."""
    rng = np.random.default_rng(seed)
    bodies = {}
    for subject, stem, _, _, count in RECORDINGS:
        start = np.array([*rng.uniform(-800, 800, 2), 900])
        walk = start + np.cumsum(rng.normal(0, 5, (count, 3)), 0)
        joints = walk[:, None] + rng.normal(0, 300, (32, 3)) + rng.normal(0, 5, (count, 32, 3))
        joints[:, 0] = joints[:, 11] = walk
        bodies[subject, stem] = (joints / 1000).astype(np.float32).astype(np.float64) * 1000
    return bodies


def seen(points: np.ndarray, subject: int, number: str) -> tuple[np.ndarray, np.ndarray]:
    """The mm of a camera (..., 3) and its pixels (..., 2) of points of the world in mm."""
    view = camera(subject, number)
    return 1000 * view.to_camera(points / 1000), view.project(points / 1000)


def authors_name(subject: int, stem: str, number: str) -> str:
    action, trial = next((a, e) for s, name, a, e, _ in RECORDINGS if (s, name) == (subject, stem))
    return f"{action}_s{subject:02}_{trial}_c{list(LENSES).index(number) + 1:02}"


def write_official(root: Path, bodies: World) -> None:
    for (subject, stem), points in bodies.items():
        for number in LENSES:
            folder = root / f"S{subject}" / "MyPoseFeatures"
            for kind, values in zip(
                ("D3_Positions_mono", "D2_Positions"), seen(points, subject, number), strict=True
            ):
                write_cdf(folder / kind / f"{stem}.{number}.cdf", values.reshape(1, len(points), -1))


def write_cdf(path: Path, values: np.ndarray) -> None:
    """``values`` (1, F, 96 or 64) as the one record of "Pose"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = {"Variable": "Pose", "Data_Type": 45, "Num_Elements": 1, "Rec_Vary": True, "Compress": 0}
    spec |= {"Var_Type": "zVariable", "Dim_Sizes": list(values.shape[1:])}
    with cdflib.cdfwrite.CDF(path, delete=path.exists()) as file:
        file.write_var(spec, None, values)


def write_world(root: Path, bodies: World) -> None:
    """``data_3d_h36m.npz``: actions by their usual names, S11's first Directions left out."""
    content: dict[str, dict[str, np.ndarray]] = {}
    for (subject, stem), points in bodies.items():
        if (subject, stem) != (11, "Directions"):
            name = stem.replace("TakingPhoto", "Photo").replace("WalkingDog", "WalkDog")
            content.setdefault(f"S{subject}", {})[name] = (points / 1000).astype(np.float32)
    root.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(root / "data_3d_h36m.npz", positions_3d=content)


def write_authors(root: Path, bodies: World, name: str = "annotations.mat") -> None:
    """One frame in 5 of the training subjects, one in 64 of the others, one test sequence without poses."""
    sequences = {"sequences_tr": [], "sequences_val": [], "sequences_te": []}
    for (subject, stem), points in bodies.items():
        for number in LENSES:
            trained = subject not in (9, 11)
            chosen = list(range(0, len(points), 5 if trained else 64))
            key = "sequences_tr" if trained else "sequences_val"
            sequences[key].append(sequence(points, chosen, subject, stem, number))
    unknown = sequence(np.zeros((2, 32, 3)), [0, 1], 9, "Walking 1", "54138969")
    unknown["name"] = "a14_s02_e01_c01"
    for i in range(2):
        unknown["frames"]["pose3d"][0, i] = np.zeros((0, 0))
    sequences["sequences_te"].append(unknown)
    root.mkdir(parents=True, exist_ok=True)
    labels = {"action_labels": np.array(["Directions"], object), "joint_labels": np.array(["Hips"], object)}
    scipy.io.savemat(root / name, {k: structs(v) if v else [] for k, v in sequences.items()} | labels)


def sequence(points: np.ndarray, chosen: list[int], subject: int, stem: str, number: str) -> dict:
    lens, view = LENSES[number], camera(subject, number)
    width, height = lens.size
    return {
        "name": authors_name(subject, stem, number),
        "camera_parameters": {
            "R": view.rotation, "T": 1000 * view.position[:, None], "f": view.focal[:, None],
            "c": view.centre[:, None], "p": view.tangential[None], "k": view.radial[None],
        },
        "frames": structs([{"f": i + 1, "w": width, "h": height, "pose3d": points[i].T} for i in chosen]),
    }  # fmt: skip


def structs(items: list[dict]) -> np.ndarray:
    """A struct array (1, n) of Matlab."""
    array = np.zeros((1, len(items)), [(key, object) for key in items[0]])
    for i, item in enumerate(items):
        for key, value in item.items():
            array[key][0, i] = value
    return array


def shade(number: int) -> int:
    """The grey of frame ``number``, from 1."""
    return 20 + 7 * (number % 30)


def write_images(root: Path, bodies: World, step: int = 1) -> None:
    """Frames 1, 1 + step, ... of each recording as ``images/<the authors' name>/00001.jpg``."""
    for (subject, stem), points in bodies.items():
        for number in LENSES:
            folder = root / "images" / authors_name(subject, stem, number)
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(0, len(points), step):
                cv2.imwrite(str(folder / f"{i + 1:05d}.jpg"), np.full((8, 8, 3), shade(i + 1), np.uint8))
