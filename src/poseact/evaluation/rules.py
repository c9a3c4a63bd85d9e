"""The rules of an evaluation, by name: what the paper does, what the authors' code does, and ours.

One `Protocol` holds all that varies. `protocol_of` gives the published ones for a data set; change a
field with ``dataclasses.replace`` for one of your own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from poseact.data.clips import frame_rate
from poseact.data.human36m import TEST_STEP
from poseact.errors import UserError
from poseact.geometry import UNDISTORT_STEPS
from poseact.inference.stream import trained_stride
from poseact.network import MultitaskNetwork

Joints = Literal["annotated", "in-crop"]
Boxes = Literal["given", "found", "found-twice", "authors"]
FOUND: tuple[Boxes, ...] = ("found", "found-twice")
ClipChoice = Literal["middle", "many"]
Combination = Literal["mean", "product"]
Poses = Literal["estimated", "given", "noisy"]

CENTRE = ((0.0, 0.0),)
_MOVED = 1 / 16
FIVE_CROPS = (*CENTRE, (-_MOVED, 0.0), (_MOVED, 0.0), (0.0, -_MOVED), (0.0, _MOVED))
"""The box, and the box moved by a 16th of its side each way. The paper says five, not where."""

_SHORT_STEP = 16
"""Frames from one scored pose to the next in videos of some 70 frames, which begin with people at rest."""


@dataclass(frozen=True)
class Protocol:
    """What varies from one evaluation to another.

    - ``joints``: those that count: all ``annotated``, or the ones of them that lie ``in-crop``.
    - ``boxes``: the data set's own (``given``); ``found`` by the network on the full first, middle and
      last frame (P 5.2); ``found-twice``: looked for again in what was found, as prediction does; or those of
      the ``authors``' file, for Penn Action's ``released-test``.
    - ``shifts``: crops a person, as shifts of the box in shares of its side; ``flip``: each mirrored
      too. Their answers are averaged in the image; those of actions are combined as clips are.
    - ``frame_step``: of videos, one frame in as many is scored for its pose, the first included.
    - ``undistort_steps``: of the camera's inverse (`Camera.back_project`), for predicted joints.
    - ``clips``: the one in the ``middle`` of the video, or ``many``: one each T // 2 + ``start_extra``
      frames; ``stride`` from one frame of a clip to the next; None: as the weights were trained (`settled`),
      1 where that is not known. A shorter video is stretched, or, with many clips and not ``stretch``,
      has no answer, which is wrong.
    - ``combine``: the probabilities of clips and crops, by their mean or their product.
    - ``swap_sides``: score against left and right changed over (`clips.released_slots`).
    - ``poses``: for action recognition ``estimated``, ``given`` (annotated), or given with Gaussian
      noise (``noisy``) of the standard deviation ``pose_noise`` in crop units, drawn from ``seed``.
    """

    name: str = "ours"
    joints: Joints = "annotated"
    boxes: Boxes = "given"
    shifts: tuple[tuple[float, float], ...] = CENTRE
    flip: bool = False
    frame_step: int = TEST_STEP
    undistort_steps: int = UNDISTORT_STEPS
    clips: ClipChoice = "middle"
    stride: int | None = None
    start_extra: int = 0
    stretch: bool = True
    combine: Combination = "mean"
    swap_sides: bool = False
    poses: Poses = "estimated"
    pose_noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.poses == "noisy") != (self.pose_noise > 0):
            raise UserError(
                f"pose noise: expected a standard deviation above 0 with noisy poses and none with others, "
                f"got {self.pose_noise:g} with {self.poses} poses"
            )

    @property
    def step(self) -> int:
        """The stride, 1 where none is known."""
        return self.stride or 1

    @property
    def crops(self) -> int:
        """Crops a person, mirrored ones included."""
        return len(self.shifts) * (2 if self.flip else 1)

    def describe_poses(self) -> str:
        """The rules of a pose evaluation as one line."""
        joints = "all annotated joints" if self.joints == "annotated" else "annotated joints inside the crop"
        camera = "" if self.undistort_steps > 1 else "; distortion undone in one step"
        return f"{self.name}: {joints}; {self._crops_text()}{self._sides_text()}{camera}; last block"

    def describe_actions(self) -> str:
        """The rules of an action evaluation as one line."""
        clips = "one clip in the middle"
        if self.clips == "many":
            extra = f" + {self.start_extra}" if self.start_extra else ""
            clips = f"a clip each T/2{extra} frames, {self.combine} of probabilities"
            clips += "" if self.stretch else ", no answer for shorter videos"
        stride = f", stride {self.step}" if self.step > 1 else ""
        noise = f" with noise of {self.pose_noise:g} crop sides" if self.poses == "noisy" else ""
        poses = "estimated poses" if self.poses == "estimated" else f"annotated poses{noise}"
        return f"{self.name}: {clips}{stride}; {poses}; {self._crops_text()}{self._sides_text()}; aggregation"

    def _crops_text(self) -> str:
        boxes = {
            "given": "the set's own box",
            "found": "box found by the network",
            "found-twice": "box found by the network, looked for twice",
            "authors": "authors' box",
        }
        count = "one crop" if self.crops == 1 else f"{self.crops} crops"
        return f"{count}, {boxes[self.boxes]}"

    def _sides_text(self) -> str:
        return "; left and right changed over" if self.swap_sides else ""


OURS = Protocol()
_OURS = {
    "penn-action": replace(OURS, frame_step=_SHORT_STEP),
    "ntu": replace(OURS, swap_sides=True, frame_step=_SHORT_STEP),
    "folder": replace(OURS, boxes="found-twice"),
}
_PAPER = {
    "penn-action": Protocol("paper", boxes="found", stride=1, frame_step=_SHORT_STEP),
    "ntu": Protocol("paper", boxes="found", swap_sides=True, stride=1, frame_step=_SHORT_STEP),
    "folder": Protocol("paper", boxes="found"),
}
_RELEASED_CLIPS = Protocol(
    "released", clips="many", stride=2, flip=True, combine="product", stretch=False, swap_sides=True,
    frame_step=_SHORT_STEP,
)  # fmt: skip
_RELEASED = {
    "mpii": Protocol("released", joints="in-crop"),
    "human36m": Protocol("released", undistort_steps=1),
    "penn-action": replace(_RELEASED_CLIPS, boxes="authors", start_extra=1),
    "ntu": _RELEASED_CLIPS,
}
NAMES = ("ours", "paper", "released")
_THINNED = ("released-val", "released-test")
"""Splits of Human3.6M that hold one frame in 64 already."""


def protocol_of(name: str, data: str, split: str = "") -> Protocol:
    """The rules ``name`` for a data set.

    - ``paper``: P 5.2 and 5.4; ``released``: the authors' code, with its clips, slots and camera.
    - ``ours``: the paper's with the set's own boxes, where it has any, and all annotated joints.

    NTU's pictures are mirrored, so its sides are changed over in all of them (`clips.released_slots`).
    Raises `UserError` on another name, or where the authors released nothing for the data set.
    """
    if name not in NAMES:
        raise UserError(f"protocol: expected one of {', '.join(NAMES)}, got {name!r}")
    if name == "released" and data not in _RELEASED:
        raise UserError(f"protocol released: expected one of {', '.join(_RELEASED)}, got {data!r}; use ours")
    table = {"ours": _OURS, "paper": _PAPER, "released": _RELEASED}[name]
    found = table.get(data, Protocol(name))
    return replace(found, frame_step=1) if data == "human36m" and split in _THINNED else found


def settled(protocol: Protocol, network: MultitaskNetwork, source: object) -> Protocol:
    """The same rules; an open stride becomes that of the network's weights, at the data set's frame rate."""
    if protocol.stride is not None:
        return protocol
    return replace(protocol, stride=trained_stride(network, frame_rate(source)))


def changed(
    protocol: Protocol,
    *,
    crops: str | None = None,
    clips: str | None = None,
    boxes: str | None = None,
    poses: str | None = None,
    noise: float | None = None,
    stride: int | None = None,
) -> Protocol:
    """The same rules with some of them chosen by hand, as the options of ``poseact evaluate``.

    ``crops``: ``one``, ``flip`` (with its mirror image) or ``ten`` (`FIVE_CROPS`, mirrored too). None
    leaves a rule as it is. Raises `UserError` on other words, and on a stride under 1.
    """
    for name, value, known in (
        ("crops", crops, ("one", "flip", "ten")),
        ("clips", clips, get_args(ClipChoice)),
        ("boxes", boxes, get_args(Boxes)),
        ("poses", poses, get_args(Poses)),
    ):
        if value is not None and value not in known:
            raise UserError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
    if stride is not None and stride < 1:
        raise UserError(f"stride: expected a whole number of frames from 1 on, got {stride}")
    changes: dict[str, object] = {"clips": clips, "boxes": boxes, "poses": poses, "pose_noise": noise}
    changes["stride"] = stride
    if crops is not None:
        changes |= {"shifts": FIVE_CROPS if crops == "ten" else CENTRE, "flip": crops != "one"}
    kept = {key: value for key, value in changes.items() if value is not None}
    return replace(protocol, **kept)  # type: ignore[arg-type]
