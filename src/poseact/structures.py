"""Value objects that travel through the package, checked on construction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from poseact.geometry import Box, Camera, FloatArray
from poseact.skeleton import Layout

BoolArray = npt.NDArray[np.bool_]
Image = npt.NDArray[np.uint8]


def _check(condition: bool, what: str, expected: str, got: object) -> None:
    if not condition:
        raise ValueError(f"{what}: expected {expected}, got {got}")


def _check_joints(
    name: str, joints: FloatArray, valid: BoolArray, depth_valid: BoolArray, shape: tuple[int, ...]
) -> None:
    if joints.shape != (*shape, 3):
        raise ValueError(f"{name}: joints: expected {(*shape, 3)}, got {joints.shape}")
    for mask in (valid, depth_valid):
        if mask.shape != shape or mask.dtype != np.bool_:
            raise ValueError(f"{name}: mask: expected {shape} bool, got {mask.shape} {mask.dtype}")


class Frames(Protocol):
    """Where decoded frames come from: a still, a video, a folder of frames, or memory."""

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int], reduction: int = 1) -> tuple[list[Image], int]:
        """The frames at ``indices``, (H, W, 3) uint8 RGB each, and by how much they are reduced.

        ``reduction`` (1, 2, 4 or 8) allows them to be decoded smaller, at most by that; pixel x
        of the answer then covers pixels r x to r x + r - 1 of the original.
        Raises `UserError` where a frame cannot be read.
        """
        ...


@dataclass(frozen=True)
class Sample:
    """One annotated person in one image.

    - ``frames``, ``index``: where the image is read from.
    - ``joints`` (J, 3) float: x and y in pixels, depth relative to the root in mm.
    - ``valid`` (J,) bool: x and y are annotated; ``depth_valid`` (J,) bool: depth is known.
    - ``box``: the square around the person, before augmentation.
    - ``metres_per_pixel`` at the root's depth; None where depth is unknown.
    - ``name``: where it comes from, for messages.
    - ``head_px``: MPII's head size; ``camera`` and ``root_depth_mm``: of the root in its
      coordinates. None where the set does not tell.
    """

    frames: Frames
    joints: FloatArray
    valid: BoolArray
    depth_valid: BoolArray
    layout: Layout
    box: Box
    metres_per_pixel: float | None
    name: str
    index: int = 0
    head_px: float | None = None
    camera: Camera | None = None
    root_depth_mm: float | None = None

    def __post_init__(self) -> None:
        _check_joints(self.name, self.joints, self.valid, self.depth_valid, (len(self.layout),))
        _check(
            not self.depth_valid.any() or self.metres_per_pixel is not None,
            f"{self.name}: depth", "metres_per_pixel beside known depths", None,
        )  # fmt: skip

    def image(self, reduction: int = 1) -> tuple[Image, int]:
        """The image and by how much it is reduced: see `Frames.read`."""
        (image,), reduced = self.frames.read([self.index], reduction)
        return image, reduced


@dataclass(frozen=True)
class Clip:
    """One annotated person in T frames, cropped with one box.

    As `Sample`, with ``indices`` (T,), ``joints`` (T, J, 3), masks (T, J), and
    ``metres_per_pixel`` (T,) and ``root_depth_mm`` (T,) where known; ``camera`` is one for each frame
    where it moves. ``action``: index of the label; None where the set has none.
    """

    frames: Frames
    indices: npt.NDArray[np.int64]
    joints: FloatArray
    valid: BoolArray
    depth_valid: BoolArray
    layout: Layout
    box: Box
    metres_per_pixel: FloatArray | None
    action: int | None
    name: str
    camera: Camera | tuple[Camera, ...] | None = None
    root_depth_mm: FloatArray | None = None

    def __post_init__(self) -> None:
        count = len(self.indices)
        _check(count > 0, f"{self.name}: clip", "at least one frame", count)
        _check_joints(self.name, self.joints, self.valid, self.depth_valid, (count, len(self.layout)))
        _check(
            not self.depth_valid.any() or self.metres_per_pixel is not None,
            f"{self.name}: depth", "metres_per_pixel beside known depths", None,
        )  # fmt: skip


@dataclass(frozen=True)
class Track:
    """One annotated person through all F frames of a video: what clips and stills are taken from.

    - ``joints`` (F, J, 3), ``valid`` and ``depth_valid`` (F, J), as in `Sample`.
    - ``boxes`` (F, 3): centre x and y, side, of the square around the person; NaN where the frame
      shows none. A clip takes the union of its first, middle and last (see `data.clips`).
    - ``metres_per_pixel`` (F,), ``root_depth_mm`` (F,), NaN where unknown; ``camera``, or one for each
      frame where it moves; ``action``.
    - ``frame_actions`` (F,) where the action changes, -1 where it is not known: then ``action`` is None, and
      a clip's action is that of its middle frame.
    - ``group``: names what was filmed where several cameras saw it, the same for each of their tracks;
      empty where one did.
    """

    frames: Frames
    joints: FloatArray
    valid: BoolArray
    depth_valid: BoolArray
    layout: Layout
    boxes: FloatArray
    metres_per_pixel: FloatArray | None
    action: int | None
    name: str
    camera: Camera | tuple[Camera, ...] | None = None
    root_depth_mm: FloatArray | None = None
    group: str = ""
    frame_actions: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        count = len(self.boxes)
        _check(self.boxes.shape == (count, 3), f"{self.name}: boxes", "(F, 3)", self.boxes.shape)
        _check_joints(self.name, self.joints, self.valid, self.depth_valid, (count, len(self.layout)))
        by_frame = self.frame_actions
        _check(
            by_frame is None or (self.action is None and by_frame.shape == (count,)),
            f"{self.name}: frame_actions", "(F,) and no action", None if by_frame is None else by_frame.shape,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.boxes)


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

    def map(self, change: Callable[[Tensor], Tensor]) -> PoseOutput:
        """The same with every tensor changed alike: a slice, a view, a copy."""
        return PoseOutput(change(self.pose), change(self.visibility), change(self.heat_maps))


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
