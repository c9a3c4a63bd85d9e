"""Value objects that travel through the package, checked on construction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from poseact.geometry import Box
from poseact.skeleton import Layout


def _check(condition: bool, what: str, expected: str, got: object) -> None:
    if not condition:
        raise ValueError(f"{what}: expected {expected}, got {got}")


@dataclass(frozen=True)
class Sample:
    """One annotated person in one image.

    - ``image`` (H, W, 3) uint8, RGB.
    - ``joints`` (J, 3) float: x and y in pixels, depth relative to the root in mm.
    - ``valid`` (J,) bool: x and y are annotated; ``depth_valid`` (J,) bool: depth is known.
    - ``box``: the square around the person, before augmentation.
    - ``metres_per_pixel`` at the root's depth; None where depth is unknown.
    - ``name``: where it comes from, for messages.
    """

    image: npt.NDArray[np.uint8]
    joints: npt.NDArray[np.floating]
    valid: npt.NDArray[np.bool_]
    depth_valid: npt.NDArray[np.bool_]
    layout: Layout
    box: Box
    metres_per_pixel: float | None
    name: str

    def __post_init__(self) -> None:
        count = len(self.layout)
        image, joints = self.image, self.joints
        _check(
            image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8,
            f"{self.name}: image", "(H, W, 3) uint8", (image.shape, image.dtype),
        )  # fmt: skip
        _check(joints.shape == (count, 3), f"{self.name}: joints", f"({count}, 3)", joints.shape)
        for mask in (self.valid, self.depth_valid):
            _check(
                mask.shape == (count,) and mask.dtype == np.bool_,
                f"{self.name}: mask", f"({count},) bool", (mask.shape, mask.dtype),
            )  # fmt: skip
        _check(
            not self.depth_valid.any() or self.metres_per_pixel is not None,
            f"{self.name}: depth", "metres_per_pixel beside known depths", None,
        )  # fmt: skip


@dataclass(frozen=True)
class PoseOutput:
    """What one prediction block answers.

    - ``pose`` (N, [T,] J, D), D = 2 or 3, crop coordinates in [0, 1].
    - ``visibility`` (N, [T,] J) in [0, 1]: is the joint inside the crop (P 5.2).
    - ``heat_maps`` (N, [T,] J, H, W): each joint's own map before the soft-max.
    """

    pose: Tensor
    visibility: Tensor
    heat_maps: Tensor


@dataclass(frozen=True)
class ActionOutput:
    """Class probabilities (N, A): of each action block of both streams, and aggregated."""

    pose_actions: tuple[Tensor, ...]
    appearance_actions: tuple[Tensor, ...]
    action: Tensor


@dataclass(frozen=True)
class NetworkOutput:
    """The network's whole answer: every pose block, and the actions where it has them."""

    blocks: tuple[PoseOutput, ...]
    actions: ActionOutput | None = None

    def __post_init__(self) -> None:
        _check(len(self.blocks) > 0, "network output", "at least one block", 0)

    @property
    def pose(self) -> Tensor:
        """Pose of the last block (N, [T,] J, D), crop coordinates."""
        return self.blocks[-1].pose

    @property
    def visibility(self) -> Tensor:
        """Visibility of the last block (N, [T,] J)."""
        return self.blocks[-1].visibility

    @property
    def action(self) -> Tensor | None:
        """Probabilities (N, A) after aggregation; None for a pose network."""
        return self.actions.action if self.actions else None

    @property
    def pose_actions(self) -> tuple[Tensor, ...]:
        """Probabilities (N, A) of each block of pose-based recognition."""
        return self.actions.pose_actions if self.actions else ()

    @property
    def appearance_actions(self) -> tuple[Tensor, ...]:
        """Probabilities (N, A) of each block of appearance-based recognition."""
        return self.actions.appearance_actions if self.actions else ()


@dataclass(frozen=True)
class Prediction:
    """The answer for one person in one image, mapped back for people to use.

    - ``joints`` (J, 2) pixels of the image; ``visibility`` (J,) in [0, 1].
    - ``z`` (J,) the network's depth coordinate (see `geometry.z_to_depth`); None in 2D.
    - ``box`` the crop it was read from.
    """

    name: str
    joints: npt.NDArray[np.floating]
    visibility: npt.NDArray[np.floating]
    z: npt.NDArray[np.floating] | None
    layout: Layout
    box: Box

    def __post_init__(self) -> None:
        count = len(self.layout)
        _check(self.joints.shape == (count, 2), "prediction joints", f"({count}, 2)", self.joints.shape)
        _check(
            self.visibility.shape == (count,),
            "prediction visibility", f"({count},)", self.visibility.shape,
        )  # fmt: skip
