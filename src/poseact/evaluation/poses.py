"""Poses of a whole data set: what the network answers beside what is annotated, person by person."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track

from poseact.data import as_stills
from poseact.data.clips import Stills, TrackSource, joint_boxes, released_slots, still
from poseact.data.human36m import SCORED_JOINTS
from poseact.data.loading import DAMAGED_SHARE, SampleSource
from poseact.errors import UserError
from poseact.evaluation import metrics
from poseact.evaluation.metrics import BoolArray, FloatArray, IntArray, Measured
from poseact.evaluation.rules import FOUND, Protocol
from poseact.evaluation.scores import BY_ACTION, People, PoseScores
from poseact.evaluation.sharing import gathered, own_groups
from poseact.geometry import UNDISTORT_STEPS, Box, crop_scale, crop_transform, z_to_depth
from poseact.inference.boxes import find_boxes
from poseact.inference.predictor import BATCH, Crops, View, predict_group, ready
from poseact.network import MultitaskNetwork
from poseact.skeleton import H36M32, Layout, convert
from poseact.structures import Image, Prediction, Sample, Track
from poseact.visual.overlay import SHOWN_FROM

ROOT = "pelvis"
NOT_IN_PCKH = ("pelvis", "thorax")
"""MPII's PCKh is that of the other 14 joints."""
WEAK_PERSPECTIVE = "mm by a weak-perspective camera where the set has none"


@dataclass(frozen=True)
class Millimetres:
    """Joints relative to the root, x to the right, y down, z away.

    ``predicted`` (K, J, 3) of each block, ``truth`` (J, 3), ``known`` (J,) bool.

    ``camera``: the numbers are those of a true camera, not of weak perspective.
    """

    predicted: FloatArray
    truth: FloatArray
    known: BoolArray
    camera: bool


@dataclass(frozen=True)
class Person:
    """One person's prediction and annotation, joints in the order of the network.

    - ``unit``: what was filmed, the same for all that is not independent of it; ``action``: index of the
      label, None where unknown.
    - ``predicted`` (K, J, 2) px of each block, ``visibility`` (J,) of the last, ``box``: of the crop.
    - ``truth`` (J, 2) px; ``annotated`` (J,), ``in_crop`` (J,) bool; ``head_px``, NaN where unknown.
    - ``mm``: None in 2D, or where the root's depth is not known.
    """

    unit: str
    action: int | None
    predicted: FloatArray
    visibility: FloatArray
    box: Box
    truth: FloatArray
    annotated: BoolArray
    in_crop: BoolArray
    head_px: float
    mm: Millimetres | None


@dataclass(frozen=True)
class Poses:
    """``people`` that could be read, their ``places`` in the data set, how many frames show nobody
    (``empty``), and the messages of the others.
    """

    people: list[Person]
    places: list[int]
    empty: int
    damaged: list[str]
    seconds: float


class StillPeople:
    """The people of a data set as samples, with the video that each belongs to and its action."""

    def __init__(self, source: SampleSource | TrackSource, protocol: Protocol) -> None:
        self.source, self.swap = as_stills(source, protocol.frame_step), protocol.swap_sides
        self.actions: tuple[str, ...] = ()
        if isinstance(self.source, Stills):
            self.actions = tuple(self.source.tracks.actions)
        self._last: tuple[int, Track] | None = None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> tuple[Sample, str, int | None] | None:
        """Sample, unit and action; None where a frame of a video shows nobody.

        Raises `UserError` where it cannot be read.
        """
        if not isinstance(self.source, Stills):
            return self.source[i], str(i), None
        which, frame = self.source.places[i]
        if self._last is None or self._last[0] != which:
            track = self.source.tracks[which]
            self._last = which, released_slots(track) if self.swap else track
        track = self._last[1]
        if not np.isfinite(track.boxes[frame]).all():
            return None
        return still(track, frame), track.group or str(which), track.action


def measure_poses(
    network: MultitaskNetwork,
    layout: Layout,
    source: SampleSource | TrackSource,
    device: torch.device,
    protocol: Protocol,
    console: Console | None = None,
    size: int | None = None,
    precision: str = "fp32",
) -> Poses:
    """Every person of the set through the network, by the protocol's boxes, crops and camera.

    ``precision``: as in `ready`; scores are of fp32 on every machine unless another is asked for.
    Shared out where `torch.distributed` runs: each process returns the same whole answer. Raises
    `UserError` where over 1 % of the samples are unreadable, or the network answers what is not finite.
    """
    if protocol.boxes == "authors":
        raise UserError(
            "boxes: the authors' file holds boxes of clips, not of single frames; use given or found"
        )
    start = time.monotonic()
    people = StillPeople(source, protocol)
    prepared, side = ready(network, device, precision=precision), size or network.size
    rows: list[tuple[int, Person | str | None]] = []
    groups = own_groups(len(people), BATCH)
    for group in track(groups, "evaluating", console=console, disable=console is None):
        rows += _measure_group(prepared, layout, people, group, protocol, side)
    times = gathered([(0, time.monotonic() - start)])
    places = gathered([(index, index) for index, row in rows if isinstance(row, Person)])
    everyone = gathered(rows)
    damaged = [row for row in everyone if isinstance(row, str)]
    if len(damaged) > DAMAGED_SHARE * len(people):
        raise UserError(f"{len(damaged)} of {len(people)} samples cannot be read: {'; '.join(damaged[:5])}")
    read = [row for row in everyone if isinstance(row, Person)]
    broken = sum(not np.isfinite(person.predicted).all() for person in read)
    if broken:
        raise UserError(
            f"the network answers numbers that are not finite for {broken} of {len(read)} people; "
            "its weights are damaged, or its training broke down"
        )
    return Poses(read, places, sum(row is None for row in everyone), damaged, sum(times))


def _measure_group(
    network: MultitaskNetwork,
    layout: Layout,
    people: StillPeople,
    group: range,
    protocol: Protocol,
    size: int,
) -> list[tuple[int, Person | str | None]]:
    rows: list[tuple[int, Person | str | None]] = []
    read: list[tuple[int, tuple[Sample, str, int | None], Image]] = []
    for index in group:
        try:
            item = people[index]
            if item is None:
                rows.append((index, None))
            else:
                read.append((index, item, item[0].image()[0]))
        except UserError as error:
            rows.append((index, str(error)))
    if not read:
        return rows
    views = [View(item[0].name, image, item[0].box) for _, item, image in read]
    if protocol.boxes in FOUND:
        views = [
            View(view.name, view.image, box)
            for view, box in zip(
                views, found_boxes(network, layout, views, size, protocol.boxes), strict=True
            )
        ]
    crops = Crops(protocol.shifts, protocol.flip)
    answers = predict_group(network, layout, views, size, crops)
    for (index, (sample, unit, action), _), blocks in zip(read, answers, strict=True):
        rows.append((index, _person(sample, unit, action, blocks, layout, protocol)))
    return rows


def found_boxes(
    network: MultitaskNetwork, layout: Layout, views: Sequence[View], size: int, how: str
) -> list[Box | None]:
    """The box around the pose in each whole image, enlarged as annotated ones are (P 5.2); None where it
    shows fewer than two joints. ``how``: ``found``, or ``found-twice`` as prediction does.
    """
    if how == "found-twice":
        return find_boxes(network, [view.image for view in views])
    whole = [View(view.name, view.image) for view in views]
    last = [blocks[-1] for blocks in predict_group(network, layout, whole, size)]
    boxes = joint_boxes(
        np.stack([p.joints for p in last]), np.stack([p.visibility >= SHOWN_FROM for p in last])
    )
    return [Box((float(x), float(y)), float(side)) if np.isfinite(side) else None for x, y, side in boxes]


def _person(
    sample: Sample,
    unit: str,
    action: int | None,
    blocks: Sequence[Prediction],
    layout: Layout,
    protocol: Protocol,
) -> Person:
    truth = convert(sample.joints, sample.layout, layout).astype(np.float64)
    annotated = convert(sample.valid, sample.layout, layout).astype(np.bool_)
    box = blocks[-1].box
    place = crop_transform(box, 1).to_crop(truth[:, :2])
    return Person(
        unit=unit,
        action=action,
        predicted=np.stack([block.joints for block in blocks]),
        visibility=blocks[-1].visibility,
        box=box,
        truth=truth[:, :2],
        annotated=annotated,
        in_crop=annotated & ((place >= 0) & (place <= 1)).all(1),
        head_px=np.nan if sample.head_px is None else sample.head_px,
        mm=_in_mm(sample, truth, blocks, layout, protocol),
    )


def _in_mm(
    sample: Sample, truth: FloatArray, blocks: Sequence[Prediction], layout: Layout, protocol: Protocol
) -> Millimetres | None:
    """Predicted and annotated joints in mm relative to the root; None where there is no depth."""
    known = convert(sample.depth_valid & sample.valid, sample.layout, layout).astype(np.bool_)
    if (
        blocks[-1].z is None
        or ROOT not in layout.joints
        or not known[layout.index(ROOT)]
        or sample.metres_per_pixel is None
    ):
        return None
    root = layout.index(ROOT)
    scale = float(crop_scale(np.array(blocks[-1].box.side * sample.metres_per_pixel)))
    predicted = []
    for block in blocks:
        assert block.z is not None
        depth = z_to_depth(block.z.astype(np.float64), scale)
        predicted.append(_seen_mm(sample, block.joints, depth, protocol.undistort_steps))
    exact = _seen_mm(sample, truth[:, :2], truth[:, 2], UNDISTORT_STEPS)
    return Millimetres(
        predicted=metrics.root_aligned(np.stack(predicted), root),
        truth=metrics.root_aligned(exact, root),
        known=known,
        camera=sample.camera is not None and sample.root_depth_mm is not None,
    )


def _seen_mm(sample: Sample, pixels: FloatArray, depth_mm: FloatArray, steps: int) -> FloatArray:
    """Pixels (J, 2) and depths relative to the root (J,) as points (J, 3) in the camera's mm.

    By the camera and the root's true depth where they are known; else weak perspective, x and y by
    the metres of a pixel at the root's depth.
    """
    if sample.camera is not None and sample.root_depth_mm is not None:
        depth_m = (sample.root_depth_mm + depth_mm) / 1000
        return 1000 * sample.camera.to_camera(sample.camera.back_project(pixels, depth_m, steps))
    assert sample.metres_per_pixel is not None
    return np.column_stack([pixels * sample.metres_per_pixel * 1000, depth_mm])


def pose_scores(
    poses: Poses, layout: Layout, source: SampleSource | TrackSource, protocol: Protocol
) -> PoseScores:
    """Every metric that the annotations allow, of every block.

    Raises `UserError` where none can be computed.
    """
    if not poses.people:
        raise UserError("no samples to score; check --root and --split")
    measured = _measure(poses.people, layout, source, protocol)
    if not measured:
        raise UserError(
            "no person with a torso, a head size or a depth to measure against; check the annotations"
        )
    actions = StillPeople(source, protocol).actions
    group = _groups([person.action for person in poses.people])
    scores = {name: [block.mean() for block in blocks] for name, blocks in measured.items()}
    by_action: dict[str, dict[str, float]] = {}
    if group is not None:
        for name, blocks in measured.items():
            shares = [block.by_group(group, len(actions)) for block in blocks]
            for action, share in zip(actions, shares[-1].tolist(), strict=True):
                if np.isfinite(share):
                    by_action.setdefault(action, {})[name] = share
            if name.endswith("MPJPE_mm") or name.endswith("MPJPE_usual_mm"):
                scores[_mean_of_actions(name)] = [float(np.nanmean(share)) for share in shares]
    main = next(name for name in ("MPJPE_mm", "PCKh@0.5", "PCK@0.2") if name in measured)
    parts = {name: blocks[-1].by_person() for name, blocks in measured.items()}
    samples = int((parts[main][1] > 0).sum())
    cameras = {person.mm.camera for person in poses.people if person.mm}
    return PoseScores(
        scores=scores,
        main=main,
        by_action=by_action,
        people=People(
            unit=metrics.numbered([person.unit for person in poses.people]),
            action=group,
            sums={name: part[0] for name, part in parts.items()},
            counts={name: part[1] for name, part in parts.items()},
        ),
        samples=samples,
        skipped=poses.empty + len(poses.people) - samples,
        damaged=poses.damaged,
        protocol=protocol,
        seconds=poses.seconds,
        by_joint=_by_joint(measured, layout),
        notes=[WEAK_PERSPECTIVE] if False in cameras else [],
    )


def _mean_of_actions(name: str) -> str:
    return name.removesuffix("mm") + BY_ACTION + "mm"


def _groups(actions: list[int | None]) -> IntArray | None:
    known = [action for action in actions if action is not None]
    return np.array(known, np.int64) if len(known) == len(actions) else None


def _by_joint(measured: dict[str, list[Measured]], layout: Layout) -> dict[str, dict[str, float]]:
    shares = {name: blocks[-1].by_joint() for name, blocks in measured.items()}
    result: dict[str, dict[str, float]] = {}
    for j, joint in enumerate(layout.joints):
        known = {name: float(share[j]) for name, share in shares.items() if np.isfinite(share[j])}
        if known:
            result[joint] = known
    return result


def _measure(
    people: list[Person], layout: Layout, source: SampleSource | TrackSource, protocol: Protocol
) -> dict[str, list[Measured]]:
    """By metric every block, for the metrics that at least one person has a reference for."""
    truth = np.stack([person.truth for person in people])
    annotated = np.stack([person.annotated for person in people])
    counted = annotated
    if protocol.joints == "in-crop":
        counted = np.stack([person.in_crop for person in people])
    errors = [
        metrics.joint_errors(np.stack([person.predicted[k] for person in people]), truth)
        for k in range(len(people[0].predicted))
    ]
    head = np.array([person.head_px for person in people])
    in_pckh = np.array([joint not in NOT_IN_PCKH for joint in layout.joints])
    torso = _torso(truth, annotated, layout)
    measured = {
        "PCK@0.2": [metrics.pck(error, counted, torso, 0.2) for error in errors],
        "PCKh@0.5": [metrics.pck(error, counted & in_pckh, head, 0.5) for error in errors],
        "PCKh@0.2": [metrics.pck(error, counted & in_pckh, head, 0.2) for error in errors],
        "AUC@0.5": [metrics.auc(error, counted & in_pckh, head, 0.5) for error in errors],
        "AUC@0.2": [metrics.auc(error, counted & in_pckh, head, 0.2) for error in errors],
    }
    if protocol.joints == "in-crop":  # beside it, the score that hides no joint
        every = annotated & in_pckh
        measured["PCKh@0.5_annotated"] = [metrics.pck(error, every, head, 0.5) for error in errors]
        measured["PCKh@0.2_annotated"] = [metrics.pck(error, every, head, 0.2) for error in errors]
    measured |= _measure_mm(people, layout, source.layout)
    return {name: blocks for name, blocks in measured.items() if blocks[-1].counted.any()}


def _torso(truth: FloatArray, annotated: BoolArray, layout: Layout) -> FloatArray:
    corners = ("left_shoulder", "right_hip", "right_shoulder", "left_hip")
    if not set(corners) <= set(layout.joints):
        return np.full(len(truth), np.nan)
    a, b, c, d = (layout.index(joint) for joint in corners)
    return metrics.torso_px(truth, annotated, ((a, b), (c, d)))


def _measure_mm(people: list[Person], layout: Layout, annotated: Layout) -> dict[str, list[Measured]]:
    """MPJPE and its Procrustes-aligned form, over the joint sets of `joint_sets`."""
    blocks, shape = len(people[0].predicted), (len(people), len(layout))
    truth, known = np.zeros((*shape, 3)), np.zeros(shape, np.bool_)
    predicted = np.zeros((blocks, *shape, 3))
    for i, person in enumerate(people):
        if person.mm:
            truth[i], known[i], predicted[:, i] = person.mm.truth, person.mm.known, person.mm.predicted
    measured: dict[str, list[Measured]] = {}
    for suffix, joints in joint_sets(layout, annotated).items():
        scored = known & joints
        truth_safe = np.where(scored[..., None], truth, 0.0)
        enough = scored & (scored.sum(1, keepdims=True) >= metrics.LEAST_TO_ALIGN)
        aligned = [metrics.procrustes(points, truth_safe, scored) for points in predicted]
        measured[f"MPJPE{suffix}_mm"] = [
            metrics.mpjpe(metrics.joint_errors(points, truth), scored) for points in predicted
        ]
        measured[f"PA_MPJPE{suffix}_mm"] = [
            metrics.mpjpe(metrics.joint_errors(points, truth), enough) for points in aligned
        ]
    return measured


def joint_sets(layout: Layout, annotated: Layout) -> dict[str, npt.NDArray[np.bool_]]:
    """Joints (J,) of the network that MPJPE is the mean of, by the suffix of the metric's name.

    All, but on Human3.6M's joints the 17 that the authors score, and as ``_usual`` the 17 of the field,
    each as far as the network answers them: no preset has the field's nose, so there they are 16.
    """
    if annotated is not H36M32:
        return {"": np.ones(len(layout), np.bool_)}
    sets = {"": SCORED_JOINTS["released"], "_usual": SCORED_JOINTS["usual"]}
    names = {suffix: {H36M32.joints[i] for i in joints} for suffix, joints in sets.items()}
    return {suffix: np.array([joint in known for joint in layout.joints]) for suffix, known in names.items()}
