"""Write a tiny NTU RGB+D in its true on-disk forms, all from the same people in camera space."""

import pickle
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

JOINTS = 25
FOCAL, CENTRE = 1060.0, (962.0, 541.0)
"""Of the fake's colour camera, px."""
BLOB = (255, 60, 0)
"""RGB of the blob that is drawn at the root in the authors' images."""

# Someone who faces the camera, in metres around the root, x to the image's right, y up, z away.
# Kinect's pictures are mirrored, so the person's left side, Kinect's left, is on the image's left.
_LEFT_ARM = [[-0.18, 0.45, 0], [-0.3, 0.2, -0.02], [-0.35, 0, -0.1], [-0.36, -0.06, -0.12]]
_LEFT_LEG = [[-0.09, -0.04, 0], [-0.11, -0.45, 0.03], [-0.12, -0.85, 0.06], [-0.13, -0.9, -0.06]]
_MIRROR = np.array([-1.0, 1, 1])
UPRIGHT = np.array(
    [[0, 0, 0], [0, 0.25, 0.01], [0, 0.55, 0], [0, 0.68, -0.02],
     *_LEFT_ARM, *(_MIRROR * _LEFT_ARM), *_LEFT_LEG, *(_MIRROR * _LEFT_LEG),
     [0, 0.48, 0.01], [-0.37, -0.12, -0.13], [-0.33, -0.07, -0.15],
     [0.37, -0.12, -0.13], [0.33, -0.07, -0.15]]
)  # fmt: skip


@dataclass
class Body:
    """One body: Kinect's id, the frames that show it, joints (F, 25, 3) in camera space, metres."""

    id: str
    shown: np.ndarray
    points: np.ndarray


@dataclass
class Truth:
    """One clip. ``colour`` replaces single colour coordinates: (body, frame, joint) to two words."""

    name: str
    frames: int
    bodies: list[Body]
    colour: dict[tuple[int, int, int], tuple[str, str]] = field(default_factory=dict)


def person(
    rng: np.random.Generator,
    frames: int,
    motion: float = 0.03,
    x: float = 0.0,
    z: float = 3.0,
    number: int = 0,
) -> Body:
    """Someone who moves about, by ``motion`` metres a frame and joint."""
    walk = np.cumsum(rng.normal(0, motion, (frames, 1, 3)), 0)
    points = UPRIGHT + np.array([x, 0.1, z]) + walk + rng.normal(0, motion / 4, (frames, JOINTS, 3))
    return Body(str(72057594037931101 + number), np.ones(frames, bool), points)


def make(names: list[str], seed: int = 0) -> list[Truth]:
    rng = np.random.default_rng(seed)
    truths = []
    for name in names:
        frames = int(rng.integers(5, 9))
        truths.append(Truth(name, frames, [person(rng, frames)]))
    return truths


NAMES = ["S001C001P001R001A001", "S001C002P003R002A024", "S002C003P008R001A060", "S017C001P020R002A010"]
"""Two people of cross-subject training, 1 and 8, and two of its test, 3 and 20."""


def colour(points: np.ndarray) -> np.ndarray:
    """Colour pixels (..., 2) of camera-space points."""
    return np.stack(
        [
            FOCAL * points[..., 0] / points[..., 2] + CENTRE[0],
            -FOCAL * points[..., 1] / points[..., 2] + CENTRE[1],
        ],
        -1,
    )


def skeleton_text(truth: Truth, newline: str = "\r\n") -> str:
    """The official file."""
    lines = [str(truth.frames)]
    for f in range(truth.frames):
        shown = [(m, body) for m, body in enumerate(truth.bodies) if body.shown[f]]
        if f % 2:  # Kinect's order changes
            shown.reverse()
        lines.append(str(len(shown)))
        for m, body in shown:
            lines += [f"{body.id} 0 1 1 1 0 0 0.01733 -0.1094 2", str(JOINTS)]
            for j, point in enumerate(body.points[f]):
                u, v = (f"{value:.4f}" for value in colour(point))
                u, v = truth.colour.get((m, f, j), (u, v))
                x, y, z = (f"{value:.7g}" for value in point)
                lines.append(f"{x} {y} {z} 277.4191 191.8218 {u} {v} -0.2059 0.05052 0.9692 -0.1268 2")
    return newline.join(lines) + newline


def write_official(root: Path, truths: list[Truth]) -> None:
    folder = root / "nturgb+d_skeletons"
    folder.mkdir(parents=True, exist_ok=True)
    for i, truth in enumerate(truths):
        text = skeleton_text(truth, "\r\n" if i % 2 else "\n")
        (folder / f"{truth.name}.skeleton").write_bytes(text.encode())


def write_videos(root: Path, names: list[str], frames: int = 6) -> None:
    """Small grey videos, frame f of brightness 30 f + 20."""
    folder = root / "nturgb+d_rgb"
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        code = cv2.VideoWriter.fourcc(*"MJPG")
        writer = cv2.VideoWriter(str(folder / f"{name}_rgb.avi"), code, 30, (64, 48))
        for f in range(frames):
            writer.write(np.full((48, 64, 3), 30 * f + 20, np.uint8))
        writer.release()


def write_numpy(root: Path, truths: list[Truth], by_joint: bool = True, images: bool = True) -> None:
    """The authors' arrays of the first body, and their images of half the size."""
    (root / "nturgb+d_numpy").mkdir(parents=True, exist_ok=True)
    for truth in truths:
        body = truth.bodies[0]
        pixels = colour(body.points)
        space = body.points if by_joint else body.points.transpose(0, 2, 1)
        rows = np.concatenate(
            [
                np.arange(1, truth.frames + 1)[:, None],
                space.reshape(truth.frames, -1),
                pixels[..., 0],
                pixels[..., 1],
                body.points[..., 2] * 1000,
            ],
            1,
        )
        rows[~body.shown, 1:] = np.nan
        np.save(root / "nturgb+d_numpy" / f"{truth.name}.npy", rows)
        if not images:
            continue
        folder = root / "images-small" / truth.name
        folder.mkdir(parents=True)
        for f in range(truth.frames):
            image = np.full((540, 960, 3), 20, np.uint8)
            x, y = (pixels[f, 0] + 0.5) / 2 - 0.5
            cv2.circle(image, (round(x), round(y)), 4, BLOB[::-1], -1)
            cv2.imwrite(str(folder / f"{f + 1:05d}.jpg"), image)


def record(truth: Truth) -> dict[str, object]:
    """pyskl's annotation in 3D: two bodies at most, filled up with zeros."""
    bodies = truth.bodies[:2]
    keypoint = np.zeros((len(bodies), truth.frames, JOINTS, 3), np.float16)
    for m, body in enumerate(bodies):
        keypoint[m, body.shown] = body.points[body.shown]
    return {
        "frame_dir": truth.name,
        "label": int(truth.name[-3:]) - 1,
        "keypoint": keypoint,
        "total_frames": truth.frames,
    }


COCO_JOINTS = 17


def record_2d(truth: Truth, seed: int = 0) -> dict[str, object]:
    """pyskl's annotation in 2D, of another pose estimator."""
    rng = np.random.default_rng(seed)
    keypoint = rng.uniform(100, 900, (1, truth.frames, COCO_JOINTS, 2)).astype(np.float16)
    score = rng.uniform(0.1, 1, keypoint.shape[:3]).astype(np.float16)
    score[0, 0, 3] = 0
    return {
        "frame_dir": truth.name,
        "label": int(truth.name[-3:]) - 1,
        "img_shape": (1080, 1920),
        "original_shape": (1080, 1920),
        "keypoint": keypoint,
        "keypoint_score": score,
        "total_frames": truth.frames,
    }


def write_pickle(root: Path, records: list[object], name: str = "ntu60_3danno.pkl") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    names = [r["frame_dir"] for r in records if isinstance(r, dict) and "frame_dir" in r]
    split = {"xsub_train": names, "xsub_val": [], "xview_train": names, "xview_val": []}
    path = root / name
    path.write_bytes(pickle.dumps({"split": split, "annotations": records}, protocol=4))
    return path
