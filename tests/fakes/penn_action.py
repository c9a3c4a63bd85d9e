"""Write a tiny Penn Action in its true on-disk forms: the official labels, and the authors' annotations."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import scipy.io

JOINTS = 13
ACTIONS = ("baseball_pitch", "golf_swing", "tennis_serve")
ACTION_IDS = {"baseball_pitch": 1, "golf_swing": 6, "tennis_serve": 15}
BLOB = (0, 200, 255)
"""RGB of the blob that is drawn at the head."""


@dataclass
class Truth:
    """One clip: x, y (n, 13) in 0-based pixels, visibility (n, 13)."""

    number: int
    action: str
    train: int
    size: tuple[int, int]
    x: np.ndarray
    y: np.ndarray
    visibility: np.ndarray


def make(clips: int = 4, seed: int = 0) -> list[Truth]:
    """People who face the camera, so the side that the file lists first is on the image's right."""
    rng = np.random.default_rng(seed)
    upright = np.array(
        [[50, 12], [62, 30], [38, 30], [70, 45], [30, 45], [75, 60], [25, 60], [57, 65], [43, 65],
         [58, 85], [42, 85], [59, 105], [41, 105]], float,
    )  # fmt: skip
    truths = []
    for i in range(clips):
        frames = int(rng.integers(5, 9))
        steps = np.cumsum(rng.normal(0, 1.5, (frames, 1, 2)), 0) + rng.uniform(0, 30, 2)
        points = upright + steps + rng.normal(0, 0.5, (frames, JOINTS, 2))
        visibility = rng.random((frames, JOINTS)) > 0.15
        visibility[:, [0, 1, 2, 7, 8]] = True
        truths.append(
            Truth(
                number=i + 1,
                action=ACTIONS[i % len(ACTIONS)],
                train=1 if i % 2 == 0 else -1,
                size=(160, 140),
                x=points[..., 0],
                y=points[..., 1],
                visibility=visibility,
            )
        )
    return truths


def write_frames(root: Path, truths: list[Truth], seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for truth in truths:
        folder = root / "frames" / f"{truth.number:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        width, height = truth.size
        for f in range(len(truth.x)):
            image = rng.integers(0, 60, (height, width, 3), np.uint8)
            cv2.circle(image, (round(truth.x[f, 0]), round(truth.y[f, 0])), 4, BLOB[::-1], -1)
            cv2.imwrite(str(folder / f"{f + 1:06d}.jpg"), image)


def label(truth: Truth) -> dict[str, object]:
    """The variables of one label file; numbers of joints that are not visible are poor."""
    n = len(truth.x)
    width, height = truth.size
    poor = ~truth.visibility
    return {
        "action": truth.action,
        "pose": "front",
        "x": np.where(poor, 1.0, truth.x + 1),
        "y": np.where(poor, 1.0, truth.y + 1),
        "visibility": truth.visibility.astype(np.uint8),
        "train": float(truth.train),
        "bbox": np.tile([1.0, 1.0, 9.0, 9.0], (n, 1)),
        "dimensions": np.array([[height, width, n]], float),
        "nframes": float(n),
    }


def write_official(root: Path, truths: list[Truth], compress: bool = True) -> None:
    (root / "labels").mkdir(parents=True, exist_ok=True)
    for truth in truths:
        scipy.io.savemat(root / "labels" / f"{truth.number:04d}.mat", label(truth), do_compression=compress)


def sequence(truth: Truth) -> dict[str, object]:
    """One struct of the authors' annotations."""
    width, height = truth.size
    frames = np.zeros((1, len(truth.x)), [(name, object) for name in ("f", "w", "h", "pose", "visible")])
    for f in range(len(truth.x)):
        pose = np.stack([truth.x[f] + 1, truth.y[f] + 1])
        pose[:, ~truth.visibility[f]] = 0
        frames[0, f] = (float(f + 1), float(width), float(height), pose, truth.visibility[f].astype(float))
    return {"idx": float(truth.number), "action_id": float(ACTION_IDS[truth.action]), "frames": frames}


def write_released(
    root: Path, truths: list[Truth], damage: dict[int, dict[str, object]] | None = None
) -> None:
    """``damage``: fields that replace those of the clips with these numbers."""
    root.mkdir(parents=True, exist_ok=True)
    lists = {}
    for name, train in (("sequences_te", -1), ("sequences_tr", 1)):
        chosen = [t for t in truths if t.train == train]
        array = np.zeros((1, len(chosen)), [(key, object) for key in ("idx", "action_id", "frames")])
        for i, truth in enumerate(chosen):
            fields = sequence(truth) | (damage or {}).get(truth.number, {})
            array[0, i] = (fields["idx"], fields["action_id"], fields["frames"])
        lists[name] = array
    scipy.io.savemat(root / "annotations.mat", lists)


def write(root: Path, clips: int = 4, seed: int = 0) -> list[Truth]:
    """Both forms beside the same frames."""
    truths = make(clips, seed)
    write_frames(root, truths, seed)
    write_official(root, truths)
    write_released(root, truths)
    return truths


def write_boxes(path: Path, seed: int = 0) -> dict[str, list[float]]:
    """The authors' predicted boxes of two clips of two videos, flipped and not."""
    rng = np.random.default_rng(seed)
    entries = {}
    for index in range(2):
        for clip in range(2):
            for flip in range(2):
                x, y, side = rng.uniform(20, 80, 3)
                entries[f"{index:04d}.2.{clip:03d}.{flip}"] = [x, y, x + side, y + side]
    path.write_text(json.dumps(entries))
    return entries
