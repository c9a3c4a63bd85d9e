"""Leeds Sports Pose, extended: photographs of sport with 14 joints.

Johnson and Everingham, *Learning Effective Human Pose Estimation from Inaccurate
Annotation*, CVPR 2011. On disk: ``images/im00001.jpg`` ... and ``joints.mat`` with ``joints``,
14 x 3 x N (or 3 x 14 x N): x and y in 0-based pixels, and 1 where the joint was annotated.
Left and right are the person's own. The box of a person is the whole image padded to a
square; the joints are never read for it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from poseact.data.images import InMemory, read_image
from poseact.data.matlab import read_mat
from poseact.errors import UserError
from poseact.geometry import whole_image_box
from poseact.skeleton import LSP14
from poseact.structures import Sample

DEVELOPMENT = 500
"""The last images, kept for development and never trained on."""
SPLITS = ("all", "train", "dev")
PUBLISHED = {"all": 10_000}
"""Images of the distribution; a part of it counts as such."""


class LspExtended:
    """The data set under ``root``: a sequence of `Sample` in the layout LSP14.

    ``split``: ``all``, ``train`` (all but the last 500) or ``dev`` (the last 500).
    Raises `UserError` where files are missing or damaged, on an unknown split, and where there
    are too few images to split.
    """

    layout = LSP14

    def __init__(self, root: Path, split: str = "all") -> None:
        self.root = Path(root)
        joints = _read_joints(self.root / "joints.mat")
        self.indices = _split(len(joints), split, self.root)
        self._joints = joints

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> Sample:
        """Sample ``i`` of the split; raises `UserError` where its image cannot be read."""
        index = self.indices[i]
        path = self.root / "images" / f"im{index + 1:05d}.jpg"
        image = read_image(path, upright=False)
        joints = self._joints[index]
        valid = (joints[:, 2] > 0) & np.isfinite(joints).all(1)
        return Sample(
            frames=InMemory((image,)),
            joints=np.where(valid[:, None] & [True, True, False], joints, 0.0),
            valid=valid,
            depth_valid=np.zeros(len(valid), np.bool_),
            layout=LSP14,
            box=whole_image_box(image.shape[1], image.shape[0]),
            metres_per_pixel=None,
            name=str(path),
        )


def _read_joints(path: Path) -> npt.NDArray[np.float64]:
    """(N, 14, 3) from ``joints.mat``."""
    if not path.is_file():
        raise UserError(
            f"{path}: not found; expected Leeds Sports Pose (extended) as it unpacks: "
            "joints.mat beside images/; give that folder with --root"
        )
    try:
        joints = np.asarray(read_mat(path.read_bytes(), "joints"), np.float64)
    except Exception as error:  # damage shows in many ways
        raise UserError(f"{path}: expected a .mat file with 'joints', got {error!r}; get it again") from None
    if joints.ndim == 3 and joints.shape[:2] == (3, 14):
        joints = joints.transpose(1, 0, 2)
    if joints.ndim != 3 or joints.shape[:2] != (14, 3):
        raise UserError(f"{path}: expected 'joints' 14 x 3 x N, got {joints.shape}; get it again")
    return joints.transpose(2, 0, 1)


def _split(count: int, split: str, root: Path) -> range:
    if split not in SPLITS:
        raise UserError(f"lspet: unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    if split == "all":
        return range(count)
    if count <= DEVELOPMENT:
        raise UserError(
            f"{root}: {count} images, too few to keep the last {DEVELOPMENT} apart; use the split 'all'"
        )
    return range(count - DEVELOPMENT) if split == "train" else range(count - DEVELOPMENT, count)
