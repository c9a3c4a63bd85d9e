"""Write a tiny Leeds Sports Pose (extended) in its true on-disk form."""

from pathlib import Path

import cv2
import numpy as np
import scipy.io


def write(root: Path, count: int = 6, seed: int = 0) -> np.ndarray:
    """Images of stick people and joints.mat; returns the joints (14, 3, count)."""
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    joints = np.zeros((14, 3, count), np.float32)
    upright = np.array(
        [[40, 120], [42, 95], [44, 70], [56, 70], [58, 95], [60, 120], [20, 70], [28, 50],
         [40, 30], [60, 30], [72, 50], [80, 70], [50, 25], [50, 8]], np.float32,
    )  # fmt: skip
    for i in range(count):
        side = int(rng.integers(130, 190))
        image = rng.integers(0, 80, (side, side, 3), np.uint8)
        points = upright + rng.normal(0, 3, (14, 2)).astype(np.float32) + rng.uniform(0, 20)
        for x, y in points:
            cv2.circle(image, (round(float(x)), round(float(y))), 4, (255, 200, 0), -1)
        annotated = rng.random(14) > 0.1
        annotated[[2, 9]] = True  # a torso to measure against
        joints[:, :2, i], joints[:, 2, i] = points, annotated
        joints[~annotated, :2, i] = rng.uniform(-50, 300, (int((~annotated).sum()), 2))
        cv2.imwrite(str(root / "images" / f"im{i + 1:05d}.jpg"), image)
    scipy.io.savemat(root / "joints.mat", {"joints": joints})
    return joints
