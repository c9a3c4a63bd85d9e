"""Made videos in memory: a person who walks across, with depth, frame by frame."""

import numpy as np

from poseact.data.images import InMemory
from poseact.skeleton import H36M32
from poseact.structures import Track

# Millimetres of a standing person who faces the camera: x to the right, y down, z away.
_HEIGHTS = {
    "pelvis": 0, "hip": 0, "knee": 450, "ankle": 880, "foot": 900, "toe": 900, "spine": -250,
    "thorax": -480, "neck": -560, "nose": -640, "head": -740, "clavicle": -480, "shoulder": -480,
    "elbow": -200, "wrist": 50, "thumb": 80, "thumb_tip": 100, "hand": 80, "hand_tip": 120,
}  # fmt: skip
_ACROSS = {"hip": 130, "knee": 130, "ankle": 130, "foot": 130, "toe": 130, "clavicle": 60}


def person_mm() -> np.ndarray:
    """Joints (32, 3) relative to the pelvis."""
    joints = np.zeros((32, 3))
    for i, name in enumerate(H36M32.joints):
        side, _, part = name.partition("_")
        part = part if side in ("left", "right") else name
        sign = {"left": 1, "right": -1}.get(side, 0)
        joints[i] = (sign * _ACROSS.get(part, 200), _HEIGHTS[part], -150 if part in ("foot", "toe") else 0)
    return joints


class Tracks:
    """``count`` videos of ``frames`` frames, 160x120; ``hidden``: frames that show nobody."""

    layout, actions = H36M32, ("walk", "stand")

    def __init__(self, count: int = 3, frames: int = 20, hidden: tuple[int, ...] = ()) -> None:
        self.lengths, self.hidden = [frames] * count, hidden

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> Track:
        count = self.lengths[i]
        mm, px_per_mm = person_mm(), 0.045
        xy = mm[:, :2] * px_per_mm + np.array([60.0 + i, 55.0])
        joints = np.zeros((count, 32, 3))
        joints[..., :2] = xy + np.arange(count)[:, None, None] * [1.5, 0]
        joints[..., 2] = mm[:, 2]
        shown = np.ones(count, bool)
        shown[list(self.hidden)] = False
        joints[~shown] = 0
        boxes = np.column_stack([joints[:, 0, :2], np.full(count, 90.0)])
        boxes[~shown] = np.nan
        rng = np.random.default_rng(i)
        images = []
        for f in range(count):
            image = rng.integers(90, 110, (120, 160, 3), np.uint8)
            image[:, :, 1] = 10 * (f % 25)
            images.append(image)
        return Track(
            frames=InMemory(tuple(images)),
            joints=joints,
            valid=np.repeat(shown[:, None], 32, 1),
            depth_valid=np.repeat(shown[:, None], 32, 1),
            layout=H36M32,
            boxes=boxes,
            metres_per_pixel=np.full(count, 2.25 / 90),
            action=i % 2,
            name=f"track {i}",
            root_depth_mm=np.full(count, 4000.0),
        )
