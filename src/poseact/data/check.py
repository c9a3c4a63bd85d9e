"""What is wrong with a data set on disk: counts, damaged files, impossible joints, swapped sides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from rich.console import Console
from rich.progress import track

from poseact.data.clips import TrackSource
from poseact.data.loading import SampleSource
from poseact.errors import UserError
from poseact.geometry import FloatArray
from poseact.skeleton import Layout, mirrored
from poseact.structures import BoolArray, Sample, Track
from poseact.video import VideoFile

FAR = 1.5
"""A joint farther than this from its box's centre, in sides of the box, cannot be the person's."""
LONGEST_BONE_MM = 1000.0
CLEAR = 0.25
"""Two joints count as beside each other from this share of the torso's height on."""
SWAPPED_BELOW = 0.5
MIRRORED_BELOW = 0.35


@dataclass
class Report:
    """What `check` found. Shares are fractions of 1, NaN where nothing could be measured.

    - ``items`` (people, or tracks) and ``frames`` read; ``published``: how many items the split has
      in its publication, where that is known.
    - ``damaged``: messages of annotations left out and of files that cannot be read.
    - ``impossible``: one message for each person or track with joints that cannot be right.
    - ``facing``: of upright people, the share whose left shoulder is on the image's right.
    - ``agreeing``: the share whose shoulders and hips are in the same order.
    - ``feet_forward``: of people with depth, the share whose feet point where their sides say.
    """

    items: int
    frames: int
    published: int | None
    damaged: list[str] = field(default_factory=list)
    impossible: list[str] = field(default_factory=list)
    facing: float = float("nan")
    agreeing: float = float("nan")
    feet_forward: float = float("nan")

    def warnings(self) -> list[str]:
        """What the figures mean where they are not as they should be."""
        found = []
        if self.published is not None and self.items != self.published:
            found.append(
                f"{self.items} read, {self.published} published for this split: files may be missing"
            )
        if self.agreeing < SWAPPED_BELOW:
            found.append("shoulders and hips are in opposite order: the sides of one of them are swapped")
        if self.facing < MIRRORED_BELOW:
            found.append("most people show their backs: left and right look swapped, or images mirrored")
        if self.feet_forward < SWAPPED_BELOW:
            found.append("feet point backwards in 3D: left and right look swapped, or depth mirrored")
        return found


@dataclass(frozen=True)
class _People:
    """Frames of one item: joints (F, J, 3), masks (F, J), boxes (F, 3), image size (2,)."""

    name: str
    joints: FloatArray
    valid: BoolArray
    depth_valid: BoolArray
    boxes: FloatArray
    metres_per_pixel: FloatArray | None


def check(
    source: SampleSource | TrackSource, published: int | None, console: Console | None = None
) -> Report:
    """Read all of a data set; of tracks every annotation, and the first, middle and last frame.

    With a ``console``, a progress bar is shown.
    """
    report = Report(0, 0, published, damaged=list(getattr(source, "damaged", ())))
    votes: dict[str, list[BoolArray]] = {"facing": [], "agreeing": [], "feet_forward": []}
    for people in _read(source, report, console):
        report.items += 1
        report.frames += len(people.boxes)
        problem = _impossible(people, source.layout)
        if problem:
            report.impossible.append(f"{people.name}: {problem}")
        votes["facing"].append(_facing(people, source.layout))
        votes["agreeing"].append(_agreeing(people, source.layout))
        votes["feet_forward"].append(_feet_forward(people, source.layout))
    for name, found in votes.items():
        all_votes = np.concatenate(found) if found else np.zeros(0, np.bool_)
        setattr(report, name, float(all_votes.mean()) if len(all_votes) else float("nan"))
    return report


def _read(source: SampleSource | TrackSource, report: Report, console: Console | None) -> Iterator[_People]:
    for i in track(range(len(source)), "checking", console=console, disable=console is None):
        try:
            item = source[i]
            ends = [item.index] if isinstance(item, Sample) else sorted({0, len(item) // 2, len(item) - 1})
            item.frames.read(ends)
            if isinstance(item.frames, VideoFile) and item.frames.damage:
                report.damaged.append(f"{item.frames.path}: {item.frames.damage}")
        except UserError as error:
            report.damaged.append(str(error))
            continue
        people = _of_sample(item) if isinstance(item, Sample) else _of_track(item)
        # Kinect's pictures are mirrored, and are judged as one would see them.
        yield _mirrored(people) if getattr(source, "mirrored", False) else people


def _of_sample(s: Sample) -> _People:
    metres = None if s.metres_per_pixel is None else np.array([s.metres_per_pixel])
    boxes = np.array([[*s.box.centre, s.box.side]])
    return _People(s.name, s.joints[None], s.valid[None], s.depth_valid[None], boxes, metres)


def _of_track(t: Track) -> _People:
    return _People(t.name, t.joints, t.valid, t.depth_valid, t.boxes, t.metres_per_pixel)


def _mirrored(p: _People) -> _People:
    return replace(p, joints=p.joints * [-1, 1, 1], boxes=p.boxes * [-1, 1, 1])


def _impossible(p: _People, layout: Layout) -> str | None:
    """The first thing that cannot be right about the joints, with the joint and the frame."""
    if not np.isfinite(p.joints).all():
        return "joints that are not finite"
    boxed = np.logical_and.reduce(np.isfinite(p.boxes), axis=1)
    with np.errstate(invalid="ignore"):
        off = np.abs(p.joints[..., :2] - p.boxes[:, None, :2]).max(-1) > FAR * p.boxes[:, None, 2]
    far = p.valid & off & boxed[:, None]
    if far.any():
        frame, joint = np.argwhere(far)[0]
        return f"{layout.joints[joint]} far from the person's box (frame {frame})"
    for j, other in enumerate(layout.flip):
        if layout.joints[j].endswith("_clavicle"):  # both begin at the thorax
            continue
        at_one = np.logical_and.reduce(p.joints[:, j] == p.joints[:, other], -1)
        same = p.valid[:, j] & p.valid[:, other] & at_one
        if other > j and same.any():
            return f"{layout.joints[j]} and {mirrored(layout.joints[j])} on one spot (frame {same.argmax()})"
    return _too_long(p, layout)


def _too_long(p: _People, layout: Layout) -> str | None:
    if p.metres_per_pixel is None:
        return None
    mm = _millimetres(p)
    for a, b in layout.limbs:
        with np.errstate(invalid="ignore"):
            long = np.linalg.norm(mm[:, a] - mm[:, b], axis=-1) > LONGEST_BONE_MM
        long &= p.depth_valid[:, a] & p.depth_valid[:, b]
        if long.any():
            return f"{layout.joints[a]} to {layout.joints[b]} longer than a metre (frame {long.argmax()})"
    return None


def _millimetres(p: _People) -> FloatArray:
    """Joints (F, J, 3) in mm as if seen without perspective: x to the right, y down, z away."""
    assert p.metres_per_pixel is not None
    return np.concatenate(
        [p.joints[..., :2] * p.metres_per_pixel[:, None, None] * 1000, p.joints[..., 2:]], -1
    )


def _have(p: _People, layout: Layout, *joints: str) -> BoolArray:
    """Frames (F,) in which all of these joints are annotated; none where the layout lacks one."""
    if not set(joints) <= set(layout.joints):
        return np.zeros(len(p.boxes), np.bool_)
    return np.asarray(p.valid[:, [layout.index(j) for j in joints]].all(1), np.bool_)


def _sides(p: _People, layout: Layout, frames: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Left minus right of shoulders and hips (n, 2), and hips to shoulders (n, 2), in px."""
    at = {
        j: p.joints[frames, layout.index(j), :2]
        for j in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    }
    shoulders = at["left_shoulder"] - at["right_shoulder"]
    hips = at["left_hip"] - at["right_hip"]
    up = (at["left_shoulder"] + at["right_shoulder"] - at["left_hip"] - at["right_hip"]) / 2
    return shoulders, hips, up


_TRUNK = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


def _facing(p: _People, layout: Layout) -> BoolArray:
    """For upright people seen broad: is the left shoulder on the image's right?"""
    shoulders, _, up = _sides(p, layout, _have(p, layout, *_TRUNK)) if _trunk(layout) else _nothing()
    height = np.linalg.norm(up, axis=-1)
    clear = (-up[:, 1] > 0.7 * height) & (np.abs(shoulders[:, 0]) > CLEAR * height) & (height > 0)
    return np.asarray(shoulders[clear, 0] > 0)


def _agreeing(p: _People, layout: Layout) -> BoolArray:
    """Do shoulders and hips, both seen broad, point the same way?"""
    shoulders, hips, up = _sides(p, layout, _have(p, layout, *_TRUNK)) if _trunk(layout) else _nothing()
    height = np.linalg.norm(up, axis=-1, keepdims=True)
    broad = (np.linalg.norm([shoulders, hips], axis=-1) > CLEAR * height[:, 0]).all(0) & (height[:, 0] > 0)
    return np.asarray((shoulders * hips).sum(-1)[broad] > 0)


def _feet_forward(p: _People, layout: Layout) -> BoolArray:
    """In 3D: do the toes lie in front of the ankles, as (left minus right) x up says where front is?"""
    ends = ("toe", "foot")
    end = next((e for e in ends if f"left_{e}" in layout.joints), None)
    if end is None or p.metres_per_pixel is None or not _trunk(layout):
        return np.zeros(0, np.bool_)
    need = (*_TRUNK, "left_ankle", f"left_{end}", "right_ankle", f"right_{end}")
    frames = _have(p, layout, *need)
    for joint in need:
        frames &= p.depth_valid[:, layout.index(joint)]
    at = {j: _millimetres(p)[frames, layout.index(j)] for j in need}
    across = at["left_hip"] - at["right_hip"]
    up = at["left_shoulder"] + at["right_shoulder"] - at["left_hip"] - at["right_hip"]
    front = np.cross(across, up)
    votes: list[BoolArray] = []
    for side in ("left", "right"):
        step = at[f"{side}_{end}"] - at[f"{side}_ankle"]
        votes.append((step * front).sum(-1) > 0)
    return np.concatenate(votes)


def _trunk(layout: Layout) -> bool:
    return set(_TRUNK) <= set(layout.joints)


def _nothing() -> tuple[FloatArray, FloatArray, FloatArray]:
    return np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 2))
