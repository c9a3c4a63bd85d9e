"""Actions of a whole data set: what both streams and the aggregation answer, video by video."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from poseact.data.actions import mirrored_actions
from poseact.data.augment import Example, example
from poseact.data.clips import TrackSource, clip, is_tracks, refuse_changing, released_slots
from poseact.data.loading import DAMAGED_SHARE
from poseact.data.penn_action import ClipKey, PennAction, read_predicted_boxes
from poseact.errors import UserError
from poseact.evaluation import metrics
from poseact.evaluation.metrics import FloatArray, IntArray, Measured
from poseact.evaluation.poses import found_boxes
from poseact.evaluation.rules import FOUND, Protocol
from poseact.evaluation.scores import ActionScores, People
from poseact.evaluation.sharing import gathered, own_groups
from poseact.geometry import Box, enclosing_box, whole_image_box
from poseact.inference.predictor import View, moved, ready
from poseact.network import MultitaskNetwork, to_input
from poseact.network.action import ACTION_BLOCKS
from poseact.skeleton import Layout
from poseact.structures import Clip, Frames, Image, Track
from poseact.video import clip_indices, clip_starts

TRACKS = 4
"""Videos evaluated together."""
BATCH = 4
"""Clips in a batch."""
KEPT_CLIPS = 3
"""As many clips' frames are kept in memory: neighbours share half of theirs."""
AUTHORS_BOXES = "penn_pred_bboxes_16f.json"
AuthorsBoxes = dict[ClipKey, Box]


@dataclass(frozen=True)
class Video:
    """``probabilities`` (S, A) of each block of the pose stream, of the appearance stream, and the
    aggregation, combined over clips and crops; None where the protocol takes no clip of it. ``group``: what
    was filmed, the same for the videos of all cameras.
    """

    action: int
    probabilities: FloatArray | None
    group: str


@dataclass(frozen=True)
class Actions:
    """``videos`` with a label that could be read, their ``places`` in the data set, how many had none, and
    the messages of the others. ``labels``: what they and the answers are numbered by.
    """

    labels: tuple[str, ...]
    videos: list[Video]
    places: list[int]
    unlabelled: int
    damaged: list[str]
    seconds: float


@dataclass(frozen=True)
class _Setting:
    """What all clips of an evaluation share; ``network`` is `ready`."""

    network: MultitaskNetwork
    layout: Layout
    source: TrackSource
    protocol: Protocol
    size: int
    boxes: AuthorsBoxes


class _LastFrames:
    """The frames of a video, the last ``most`` read ones kept: its clips and crops overlap."""

    def __init__(self, frames: Frames, most: int) -> None:
        self._frames, self._most = frames, most
        self._kept: dict[tuple[int, int], tuple[Image, int]] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def read(self, indices: Sequence[int], reduction: int = 1) -> tuple[list[Image], int]:
        """See `structures.Frames`."""
        missing = [i for i in dict.fromkeys(indices) if (i, reduction) not in self._kept]
        if missing:
            images, reduced = self._frames.read(missing, reduction)
            self._kept |= {(i, reduction): (image, reduced) for i, image in zip(missing, images, strict=True)}
        found = [self._kept[i, reduction] for i in indices]
        for key in list(self._kept)[: -self._most]:
            del self._kept[key]
        return [image for image, _ in found], found[0][1]


@dataclass(frozen=True)
class _Crop:
    """One crop of one clip of video ``index``: frames (T, S, S, 3), pose (T, J, D), visible (T, J).

    ``flip``: whether it is mirrored.
    """

    index: int
    flip: bool
    frames: Tensor
    pose: Tensor
    visible: Tensor


def measure_actions(
    network: MultitaskNetwork,
    source: TrackSource,
    device: torch.device,
    protocol: Protocol,
    console: Console | None = None,
    size: int | None = None,
) -> Actions:
    """Every video of the set through the network, by the protocol's clips, crops, boxes and poses.

    Shared out where `torch.distributed` runs: each process returns the same whole answer. Raises
    `UserError` where over 1 % of the videos are unreadable, on labels that the network does not have, on
    films of several actions, and where the network answers what is not finite.
    """
    refuse_changing(source, "actions")
    boxes = _authors_boxes(source) if protocol.boxes == "authors" else {}
    source = _in_labels_of(network, source)
    start = time.monotonic()
    setting = _Setting(
        network=ready(network, device, precision="fp32"),
        layout=_layout(network, source, protocol),
        source=source,
        protocol=protocol,
        size=size or network.size,
        boxes=boxes,
    )
    rows: list[tuple[int, Video | str | None]] = []
    groups = own_groups(len(source), TRACKS)
    for group in track(groups, "evaluating", console=console, disable=console is None):
        rows += _measure_group(setting, group)
    times = gathered([(0, time.monotonic() - start)])
    places = gathered([(index, index) for index, row in rows if isinstance(row, Video)])
    everyone = gathered(rows)
    damaged = [row for row in everyone if isinstance(row, str)]
    if len(damaged) > DAMAGED_SHARE * len(source):
        raise UserError(f"{len(damaged)} of {len(source)} videos cannot be read: {'; '.join(damaged[:5])}")
    videos = [row for row in everyone if isinstance(row, Video)]
    answers = [video.probabilities for video in videos if video.probabilities is not None]
    broken = sum(not np.isfinite(answer).all() for answer in answers)
    if broken:
        raise UserError(
            f"the network answers numbers that are not finite for {broken} of {len(videos)} videos; "
            "its weights are damaged, or its training broke down"
        )
    unlabelled = sum(row is None for row in everyone)
    return Actions(tuple(source.actions), videos, places, unlabelled, damaged, sum(times))


class _Relabelled:
    """A data set of videos whose actions are numbered as in ``labels``, which has all of them."""

    def __init__(self, source: TrackSource, labels: tuple[str, ...]) -> None:
        self.source, self.actions, self.layout = source, labels, source.layout
        self._numbers = [labels.index(name) for name in source.actions]

    @property
    def lengths(self) -> Sequence[int]:
        return self.source.lengths

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> Track:
        track = self.source[i]
        return track if track.action is None else replace(track, action=self._numbers[track.action])


def _in_labels_of(network: MultitaskNetwork, source: TrackSource) -> TrackSource:
    """The data set with its actions numbered as the network's.

    It may have fewer, in another order. Raises `UserError` where one is none of the network's.
    """
    if not network.actions:
        raise UserError("the network recognises no actions; give one that does, or score its poses")
    if not is_tracks(source) or not source.actions:
        raise UserError("the data set has no action labels; expected videos with a label each")
    labels = tuple(getattr(network, "action_labels", ()))
    remedy = "train the network for this set, or give the set that it was trained for"
    if not labels and network.actions != len(source.actions):
        raise UserError(
            f"labels: expected the network's {network.actions} actions, got {len(source.actions)} in the "
            f"data set; {remedy}"
        )
    unknown = [name for name in source.actions if name not in labels]
    if labels and unknown:
        raise UserError(
            f"labels: expected actions of the network ({', '.join(labels)}), got {', '.join(unknown[:5])} "
            f"in the data set; {remedy}"
        )
    return source if labels in ((), tuple(source.actions)) else _Relabelled(source, labels)


def _layout(network: MultitaskNetwork, source: TrackSource, protocol: Protocol) -> Layout:
    """The network's joints; a network without a `layout` may be scored where no joint has to be named."""
    named = getattr(network, "layout", None)
    if isinstance(named, Layout):
        return named
    if protocol.poses != "estimated" or protocol.flip or protocol.boxes in FOUND:
        raise ValueError(
            "network.layout: expected the layout of its joints, which the protocol needs; got none"
        )
    return source.layout


def _authors_boxes(source: TrackSource) -> AuthorsBoxes:
    if not isinstance(source, PennAction):
        raise UserError(
            "boxes: the authors' file belongs to the whole of Penn Action's split released-test, not packed; "
            "leave --count out, or use given or found"
        )
    return read_predicted_boxes(source.root / AUTHORS_BOXES)[0]


def _measure_group(setting: _Setting, group: range) -> list[tuple[int, Video | str | None]]:
    """The videos of a group: `Video`, a message of one that cannot be read, None of one without a label."""
    labels: dict[int, int | None] = {}
    groups: dict[int, str] = {}
    messages: dict[int, str] = {}
    answers: dict[int, list[FloatArray]] = {index: [] for index in group}
    crops = _crops_of_group(setting, group, labels, groups, messages)
    mirrored = list(mirrored_actions(setting.source.actions))
    while batch := list(islice(crops, BATCH)):
        for crop, probabilities in zip(batch, _recognised(setting, batch), strict=True):
            answers[crop.index].append(probabilities[:, mirrored] if crop.flip else probabilities)
    rows: list[tuple[int, Video | str | None]] = []
    for index in group:
        label = labels.get(index)
        if index in messages:
            rows.append((index, messages[index]))
        elif label is None:
            rows.append((index, None))
        else:
            rows.append((index, Video(label, _combined(answers[index], setting.protocol), groups[index])))
    return rows


def _crops_of_group(
    setting: _Setting,
    group: range,
    labels: dict[int, int | None],
    groups: dict[int, str],
    messages: dict[int, str],
) -> Iterator[_Crop]:
    for index in group:
        try:
            person = setting.source[index]
            labels[index], groups[index] = person.action, person.group or str(index)
            if setting.protocol.swap_sides:
                person = released_slots(person)
            if person.action is not None:
                kept = _LastFrames(person.frames, KEPT_CLIPS * setting.network.frames)
                yield from _crops(setting, replace(person, frames=kept), index)
        except UserError as error:
            messages[index] = str(error)


def _crops(setting: _Setting, person: Track, index: int) -> Iterator[_Crop]:
    """The crops of all clips of a video; clips that show nobody are left out where others remain."""
    unseen: UserError | None = None
    shown = False
    for number, indices in enumerate(clips_of(len(person), setting.network.frames, setting.protocol)):
        try:
            taken = clip(person, indices)
        except UserError as error:
            unseen = error
            continue
        shown = True
        rng = np.random.default_rng((setting.protocol.seed, index, number))
        boxes = _boxes(setting, taken, (index, number))
        for shift in setting.protocol.shifts:
            yield from _flips(setting, taken, [moved(box, shift) for box in boxes], index, rng)
    if unseen is not None and not shown:
        raise unseen


def clips_of(length: int, count: int, protocol: Protocol) -> list[IntArray]:
    """The frames (T,) of each clip of a video of ``length`` frames, T = ``count``.

    None where the protocol has no answer for so short a video.
    """
    if protocol.clips == "middle":
        return [clip_indices(length, count, protocol.step)]
    every = count // 2 + protocol.start_extra
    starts = clip_starts(length, count, protocol.step, every)
    if not protocol.stretch:  # the authors leave a whole stride after the last frame
        starts = list(range(0, length - count * protocol.step + 1, every))
    return [clip_indices(length, count, protocol.step, start) for start in starts]


def _flips(
    setting: _Setting, taken: Clip, boxes: Sequence[Box], index: int, rng: np.random.Generator
) -> Iterator[_Crop]:
    """The crop in the first box and, where there are two, the mirror image of that in the second."""
    cut: Example | None = None
    for flip, box in enumerate(boxes):
        if cut is None or box != boxes[0]:
            cut = example(replace(taken, box=box), setting.layout, setting.size, None, rng)
        if setting.protocol.poses != "estimated" and not cut["visible"].any():
            raise UserError(f"{taken.name}: expected annotated joints to give, got none; use estimated poses")
        yield _crop(setting, cut, index, bool(flip), rng)


def _crop(setting: _Setting, cut: Example, index: int, flip: bool, rng: np.random.Generator) -> _Crop:
    frames = torch.from_numpy(cut["frames"])
    pose = torch.from_numpy(cut["pose"][..., : setting.network.dim])
    visible = torch.from_numpy(cut["visible"])
    if setting.protocol.poses == "noisy":
        noise = rng.normal(0, setting.protocol.pose_noise, tuple(pose.shape)).astype(np.float32)
        pose = pose + torch.from_numpy(noise) * visible.unsqueeze(-1)
    if flip:
        order = setting.layout.flip.tolist()
        mirrored = torch.cat([1 - pose[..., :1], pose[..., 1:]], -1) * visible.unsqueeze(-1)
        frames, pose, visible = frames.flip(-2), mirrored[:, order], visible[:, order]
    return _Crop(index, flip, frames, pose, visible)


def _boxes(setting: _Setting, taken: Clip, place: tuple[int, int]) -> list[Box]:
    """The clip's box, and the mirrored clip's where the protocol has one; ``place``: video, clip."""
    flips = (False, True) if setting.protocol.flip else (False,)
    if setting.protocol.boxes == "authors":
        return [_authors_box(setting, taken, place, flip) for flip in flips]
    box = clip_box(setting.network, setting.layout, taken, setting.size, setting.protocol.boxes)
    return [box] * len(flips)


def _authors_box(setting: _Setting, taken: Clip, place: tuple[int, int], flip: bool) -> Box:
    source = setting.source.source if isinstance(setting.source, _Relabelled) else setting.source
    assert isinstance(source, PennAction)
    key = ClipKey(source.indices[place[0]], setting.protocol.step, place[1], flip)
    if key not in setting.boxes:
        raise UserError(
            f"{source.root / AUTHORS_BOXES}: expected a box of {taken.name} as sequence "
            f"{key.sequence}, stride {key.stride}, clip {key.clip}, flip {int(flip)}, got none; get it "
            "again, or let the network find boxes"
        )
    return setting.boxes[key]


def clip_box(network: MultitaskNetwork, layout: Layout, taken: Clip, size: int, how: str) -> Box:
    """The clip's own box, in pixels; or, where ``how`` (`Protocol.boxes`) is one of `FOUND`, that around the
    person found in its first, middle and last frame (P 5.2), the whole frame where nobody is.

    ``network`` is `ready`; ``size``: pixels of the crops that it looks at. Raises `UserError` where a frame
    cannot be read.
    """
    if how not in FOUND:
        return taken.box
    ends = taken.indices[[0, len(taken.indices) // 2, -1]].tolist()
    images, _ = taken.frames.read(ends)
    views = [View(taken.name, image) for image in images]
    boxes = [box for box in found_boxes(network, layout, views, size, how) if box]
    if not boxes:
        return whole_image_box(images[0].shape[1], images[0].shape[0])
    return enclosing_box(np.array([[*box.centre, box.side] for box in boxes]))


def _recognised(setting: _Setting, batch: Sequence[_Crop]) -> list[FloatArray]:
    """Probabilities (S, A) of each crop."""
    device = next(setting.network.parameters()).device
    frames = to_input(torch.stack([crop.frames for crop in batch]).to(device))
    given: dict[str, Tensor] = {}
    if setting.protocol.poses != "estimated":
        given["poses"] = torch.stack([crop.pose for crop in batch]).to(device)
        given["visibility"] = torch.stack([crop.visible for crop in batch]).to(device)
    with torch.inference_mode():
        output = setting.network(frames, **given)
    assert output.action is not None
    streams = [*output.pose_actions, *output.appearance_actions, output.action]
    answers = torch.stack([stream.float() for stream in streams], 1).cpu().double().numpy()
    return list(answers)


def _combined(answers: list[FloatArray], protocol: Protocol) -> FloatArray | None:
    """Probabilities (S, A) of a video out of those of its clips and crops."""
    if not answers:
        return None
    if protocol.combine == "mean":
        return np.asarray(np.mean(answers, 0), np.float64)
    logs = np.log(np.maximum(answers, np.finfo(np.float64).tiny)).sum(0)
    product = np.exp(logs - logs.max(-1, keepdims=True))
    return np.asarray(product / product.sum(-1, keepdims=True), np.float64)


def action_scores(measured: Actions, protocol: Protocol) -> ActionScores:
    """Accuracy of every block of both streams, and of the aggregation, which is what is reported.

    Raises `UserError` where no video has a label.
    """
    videos, actions = measured.videos, measured.labels
    if not videos:
        raise UserError("no labelled video to score; check --root and --split")
    truth = np.array([video.action for video in videos], np.int64)
    answered = np.array([video.probabilities is not None for video in videos])
    chosen = np.zeros((2 * ACTION_BLOCKS + 1, len(videos)), np.int64)
    for i, video in enumerate(videos):
        if video.probabilities is not None:
            chosen[:, i] = video.probabilities.argmax(-1)
    hits = [metrics.accuracy(answer, truth, answered) for answer in chosen]
    blocks: dict[str, list[Measured]] = {
        "accuracy": hits[-1:],
        "accuracy_pose": hits[:ACTION_BLOCKS],
        "accuracy_appearance": hits[ACTION_BLOCKS:-1],
    }
    by_action: dict[str, dict[str, float]] = {}
    for name, values in blocks.items():
        for action, share in zip(actions, values[-1].by_group(truth, len(actions)).tolist(), strict=True):
            if np.isfinite(share):
                by_action.setdefault(action, {})[name] = share
    parts = {name: values[-1].by_person() for name, values in blocks.items()}
    return ActionScores(
        scores={name: [value.mean() for value in values] for name, values in blocks.items()},
        main="accuracy",
        by_action=by_action,
        people=People(
            unit=metrics.numbered([video.group for video in videos]),
            action=truth,
            sums={name: part[0] for name, part in parts.items()},
            counts={name: part[1] for name, part in parts.items()},
        ),
        samples=len(videos),
        skipped=measured.unlabelled,
        damaged=measured.damaged,
        protocol=protocol,
        seconds=measured.seconds,
        actions=actions,
        confusion=metrics.confusion(chosen[-1], truth, answered, len(actions)),
        unanswered=int((~answered).sum()),
    )
