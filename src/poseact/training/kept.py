"""What a frozen pose part answers, computed once, so that epochs of the action heads cost little.

Where only the action heads learn, the pose part answers the same for the same crops, and it is nearly all
of the work. A stage with ``training.kept`` draws each clip's crops once and keeps the answers in the run's
folder until the stage is finished::

    kept/about.json        which weights answered to how many clips of how many frames, and how many are there
    kept/pose.npy          (N, T, J, D) float32, and visibility.npy (N, T, J)
    kept/error.npy         (N, T, J, D) float32: pose less the annotated one; NaN where that is not known
    kept/features.npy      (N, T, C, J) float16: the visual features at the joints
    kept/action.npy, action_known.npy, readable.npy    (N,)

Beside them, the annotated poses of further videos (``data.poses``) teach the stream of poses: they cost no
picture, so there can be many more of them. Each is made as wrong as an answer would be: by what errors follow
from the pose (`fit_errors`), and by what is left of the errors of one of those answered.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from poseact.data.augment import draw_transform, placed, shown_action
from poseact.data.clips import TrackSource, is_tracks
from poseact.data.images import write_whole
from poseact.data.loading import (
    DAMAGED_SHARE,
    Batch,
    Examples,
    batch_loader,
    check_damage,
    drawn,
    single_threaded,
)
from poseact.data.mixing import Place
from poseact.errors import UserError
from poseact.geometry import Box, CropTransform, FloatArray
from poseact.inference.predictor import ready
from poseact.network import MultitaskNetwork, to_input
from poseact.network.action import joint_features
from poseact.network.soft_argmax import soft_max_2d
from poseact.skeleton import Layout, convert
from poseact.structures import Image, Track
from poseact.training.optimisation import ACTION_PARTS
from poseact.weights.files import checksum

if TYPE_CHECKING:
    from poseact.training.loop import Run

FOLDER = "kept"
_GROUP = 16
"""Clips that are written together: what a kill can cost."""
_RIDGE = 0.1
"""Squared crop sides: poses that vary less than this in all tell nothing of their errors."""


class KeptAnswers(Examples):
    """The clips of a stage as the frozen pose part answered them, each moved anew in every epoch."""

    def __init__(self, run: Run, epoch: int) -> None:
        e = run.examples(epoch)
        super().__init__(run.sets.mixed, e.layout, e.size, e.augmentation, e.seed, epoch, e.frames)
        self._files, self._answered = _open(run, "r"), len(e.sources)
        self._dim = run.network.dim
        if run.sets.poses:
            answered = self._files["readable"]
            pose, error = (self._files[name][answered] for name in ("pose", "error"))
            self._follows, self._rest = fit_errors(pose - error, error)

    def __getitem__(self, place: Place) -> Any:
        """What `MultitaskNetwork.recognise` takes for the clip at a place, and its action."""
        which, i = place
        if which >= self._answered:
            return self._poses_alone(place)
        lengths = [len(source) for source in self.sources[: self._answered]]
        number = sum(lengths[:which]) + i % lengths[which]
        item = {name: np.array(x[number]) for name, x in self._files.items() if name != "error"}
        rng = np.random.default_rng((self.seed, self.epoch, *place))
        anew = draw_transform(Box((0.5, 0.5), 1.0), self.size, self.augmentation, rng)
        item = moved(item, self.layout, anew, self._mirrored[which])
        return item | _unsupervised(item["pose"])

    def read(self, place: Place) -> Any:
        """The example of a place anew, see `Examples`; of poses alone no picture is read."""
        return super().read(place) if place[0] < self._answered else self._poses_alone(place)

    def _poses_alone(self, place: Place) -> dict[str, Any]:
        """The annotated poses of a clip, as wrong as an answer would be; it has no features.

        What is wrong of an estimate differs by joint, follows the pose and lasts: noise that is drawn anew in
        every frame would hide the movement.
        """
        rng = np.random.default_rng((self.seed, self.epoch, *place))
        try:
            clip = self._person(place, rng)
        except UserError:  # nobody is shown there
            return _alone(np.zeros(self._files["pose"].shape[1:]), False, None, readable=False)
        transform = draw_transform(clip.box, self.size, self.augmentation, rng)
        pose, known, _ = placed(clip, self.layout, transform)
        seen = known & ((pose[..., :2] >= 0) & (pose[..., :2] <= 1)).all(-1)
        pose = np.where(known[..., None], pose[..., : self._dim], np.nan)
        about, middle = _about_middle(pose[None])
        error = about @ self._follows + self._rest[rng.integers(len(self._rest))]
        # Joints that are not annotated lie in the middle, for an answer has all of them.
        wrong = middle[0] + (about[0, :, :-1] + error[0]).reshape(pose.shape)
        return _alone(wrong, seen, shown_action(clip, transform, self._mirrored[place[0]]))


def _alone(
    pose: FloatArray, seen: npt.ArrayLike, action: int | None, readable: bool = True
) -> dict[str, Any]:
    """An item of `KeptAnswers` without a picture."""
    return _unsupervised(pose) | {
        "pose": pose.astype(np.float32),
        "visibility": np.broadcast_to(seen, pose.shape[:-1]).astype(np.float32),
        "action": np.int64(action or 0),
        "action_known": np.bool_(action is not None),
        "readable": np.bool_(readable),
    }


def fit_errors(poses: FloatArray, errors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What errors follow from the poses, and what is left of them; ``poses``, ``errors``: (N, T, J, D).

    An estimate leans towards what is usual: a hand that reaches out is answered short, most of all in
    depth. So the errors of a frame are fitted, by least squares, on the annotated joints of that frame about
    the middle of the clip's: weights (J * D + 1, J * D), the last row a constant. Also returns what is left,
    (N, T, J * D). Both are NaN where a joint is not annotated: no weight is fitted on these, and nothing is
    left of them. Few frames tell nothing, see `_RIDGE`: all is left then.
    """
    about, _ = _about_middle(poses)
    x = about.reshape(-1, about.shape[-1])
    y = errors.astype(np.float64).reshape(len(x), -1)
    weights = np.zeros((x.shape[1], y.shape[1]))
    for i, known in enumerate(np.isfinite(y).T):
        seen = x[known]
        weights[:, i] = np.linalg.solve(seen.T @ seen + _RIDGE * np.eye(x.shape[1]), seen.T @ y[known, i])
    return weights, np.nan_to_num(y - x @ weights).reshape(*about.shape[:2], -1)


def _about_middle(poses: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Poses (N, T, J, D) about the mean of the clip's joints, 0 where NaN, and a 1: (N, T, J * D + 1).

    Also returns that mean, (N, 1, 1, D); 0 of a clip without joints.
    """
    total = np.nansum(poses, (1, 2), np.float64, keepdims=True)
    middle = total / np.maximum(np.isfinite(poses).sum((1, 2), keepdims=True), 1)
    about = np.nan_to_num(poses - middle).reshape(*poses.shape[:2], -1)
    return np.concatenate([about, np.ones((*about.shape[:2], 1))], -1), middle


def _unsupervised(pose: FloatArray) -> dict[str, Any]:
    none = np.zeros(pose.shape[:-1], np.bool_)
    return {"valid": none, "visible_known": none}


class PosesAlone:
    """The tracks of a data set without their pictures, their joints in ``layout``.

    Each is remembered: making one of synthetic people anew takes longer than a step. `gather` reads all.
    """

    def __init__(self, source: TrackSource, layout: Layout) -> None:
        self.source, self.layout = source, layout
        self.actions, self.lengths = source.actions, source.lengths
        self._tracks: dict[int, Track] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> Track:
        if i not in self._tracks:
            self._tracks[i] = self.read(i)
        return self._tracks[i]

    def read(self, i: int) -> Track:
        """Track ``i``, read anew; raises `UserError` where it cannot be read."""
        track = self.source[i]
        own = track.layout
        joints = convert(track.joints.astype(np.float32), own, self.layout, axis=1)
        valid = convert(track.valid, own, self.layout, axis=1)
        depth_valid = convert(track.depth_valid, own, self.layout, axis=1)
        return replace(
            track, frames=_NoPictures(len(track)), joints=joints, valid=valid, depth_valid=depth_valid,
            layout=self.layout, camera=None,
        )  # fmt: skip

    def gather(self, console: Console, dim: int) -> None:
        """Read all that are not remembered, in as many processes as torch has threads.

        Raises `UserError` where over 1 % cannot be read, and where the depth of a joint is not known, for
        poses in ``dim`` = 3 dimensions.
        """
        missing = [i for i in range(len(self)) if i not in self._tracks]
        workers = min(torch.get_num_threads(), len(missing))
        loader = DataLoader(
            _Attempted(self), batch_size=None, sampler=missing, num_workers=workers,
            worker_init_fn=single_threaded,
        )  # fmt: skip
        shown = track(drawn(loader), "poses alone", len(missing), console=console, disable=not missing)
        damaged: list[UserError] = []
        for i, found in zip(missing, shown, strict=True):
            if isinstance(found, UserError):
                damaged.append(found)
                continue
            if dim == 3 and (found.valid & ~found.depth_valid).any():
                told = "data.poses: expected joints with their depth, for a network in 3D"
                raise UserError(f"{found.name}: {told}")
            self._tracks[i] = found
        if len(damaged) > DAMAGED_SHARE * len(self):
            raise UserError(f"data.poses: {len(damaged)} of {len(self)} cannot be read, such as {damaged[0]}")
        for error in damaged:
            console.print(f"left out: {error}", markup=False)


class _Attempted(Dataset[Any]):
    """The tracks, or why one cannot be read: what a worker raises would come with all of its calls."""

    def __init__(self, tracks: PosesAlone) -> None:
        self.tracks = tracks

    def __getitem__(self, i: int) -> Track | UserError:
        try:
            return self.tracks.read(i)
        except UserError as error:
            return error


@dataclass(frozen=True)
class _NoPictures:
    """The frames of a video of which no picture is looked at."""

    count: int

    def __len__(self) -> int:
        return self.count

    def read(self, indices: Sequence[int], reduction: int = 1) -> tuple[list[Image], int]:
        raise ValueError("expected poses alone to be asked for")


def moved(
    item: dict[str, Any], layout: Layout, transform: CropTransform, actions: Sequence[int]
) -> dict[str, Any]:
    """A clip's answers as they would nearly be to another crop, cut from its crops by ``transform``.

    The poses move, left and right change over where it mirrors; features at the joints stay theirs.
    ``actions``: what each action is mirrored (`data.actions.mirrored_actions`).
    """
    pose = item["pose"].copy()
    pose[..., :2] = transform.to_crop(pose[..., :2])
    pose[..., 2:] = 0.5 + (pose[..., 2:] - 0.5) / transform.window
    if not transform.flip:
        return item | {"pose": pose}
    flip = layout.flip
    action = np.array(actions[int(item["action"])]) if len(actions) else item["action"]
    features = np.ascontiguousarray(item["features"][..., flip])
    changed = {"visibility": item["visibility"][:, flip], "features": features}
    return item | changed | {"pose": pose[:, flip], "action": action}


def keep_answers(run: Run) -> None:
    """Compute what is not there yet; a kill costs at most a few clips.

    Raises `UserError` where several processes share the run, a data set has no videos, or over 1 % of the
    clips cannot be read.
    """
    if run.accelerator.num_processes > 1:
        raise UserError("training.kept: expected one process; leave the launcher or training.kept out")
    examples = run.examples(0)
    if not all(is_tracks(source) for source in examples.sources):
        raise UserError("training.kept: expected sets of videos alone in data.train; leave it out")
    for source in run.sets.poses:
        assert isinstance(source, PosesAlone)
        source.gather(run.console, run.network.dim)
    count, about = len(examples), run.out / FOLDER / "about.json"
    state = run.network.state_dict()
    mark = checksum({name: x for name, x in state.items() if name.split(".")[0] not in ACTION_PARTS})
    clips = [[len(source), sum(getattr(source, "lengths", ()))] for source in examples.sources]
    of = {"weights": mark, "clips": clips}
    found = json.loads(about.read_text()) if about.exists() else {}
    done = found["done"] if {key: found.get(key) for key in of} == of else 0
    files = _open(run, "r+" if done else "w+")
    network = ready(run.network, run.device, precision="bf16" if run.bf16 else "fp32")
    places = [(which, i) for which, source in enumerate(examples.sources) for i in range(len(source))]
    groups = range(done, count, _GROUP)
    size = sum(values.nbytes for values in files.values()) / 1e9
    where = f"{size:.1f} GB in {run.out / FOLDER}"
    run.console.print(f"keeping the poses of {count} clips, {where}", markup=False)
    spans = [slice(start, min(start + _GROUP, count)) for start in groups]
    damaged = int((~files["readable"][:done]).sum())
    # While the network answers, the next clips are drawn.
    loader = batch_loader(examples, [places[some] for some in spans], max(1, run.recipe.training.workers))
    shown = track(spans, "poses", console=run.console, disable=not spans)
    for some, batch in zip(shown, drawn(loader), strict=True):
        for name, values in _answered(run.device, network, batch):
            files[name][some] = values
            files[name].flush()
        write_whole(about, json.dumps({**of, "done": some.stop}).encode())
        damaged += int((~files["readable"][some]).sum())
        try:
            check_damage(examples, damaged, count)
        except UserError:
            about.unlink()  # what is mended is to be read anew
            raise


def drop_answers(out: Path) -> None:
    """Remove them: the stage is finished."""
    shutil.rmtree(out / FOLDER, ignore_errors=True)


def recognised(network: MultitaskNetwork, labels: dict[str, torch.Tensor]) -> Any:
    """The action heads' answer to a batch of kept clips."""
    features = labels["features"].float()
    unseen = len(labels["pose"]) - len(features)
    return network.recognise(labels["pose"], labels["visibility"], features.flatten(0, 1), unseen)


def _open(run: Run, mode: str) -> dict[str, np.memmap[Any, Any]]:
    network, count = run.network, sum(len(source) for source in run.sets.train)
    lead, channels = (count, network.frames), network.appearance_recognition.reduce.conv.in_channels
    shapes: dict[str, tuple[tuple[int, ...], Any]] = {
        "pose": ((*lead, network.joints, network.dim), np.float32),
        "error": ((*lead, network.joints, network.dim), np.float32),
        "visibility": ((*lead, network.joints), np.float32),
        "features": ((*lead, channels, network.joints), np.float16),
        "action": ((count,), np.int64),
        "action_known": ((count,), np.bool_),
        "readable": ((count,), np.bool_),
    }
    folder = run.out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    if mode == "r":
        return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in shapes}
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode, dtype, shape)
        for name, (shape, dtype) in shapes.items()
    }
    for name in files:
        _reserve(folder / f"{name}.npy")
    return files


def _reserve(path: Path) -> None:
    """Have the disk set the whole file aside: a mapped page that does not fit would end the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


@torch.no_grad()
def _answered(device: torch.device, network: MultitaskNetwork, batch: Batch) -> Iterator[tuple[str, Any]]:
    """The rows of some clips by file, in the order of `_open`; ``network``: one that is `ready`."""
    (labels,) = batch.values()
    n, t = labels["frames"].shape[:2]
    frames = to_input(labels["frames"].to(device), labels["power"].to(device)).flatten(0, 1)
    blocks, visual = network.estimate(frames.contiguous(memory_format=torch.channels_last))
    features = joint_features(visual, soft_max_2d(blocks[-1].heat_maps))
    pose = blocks[-1].pose
    known = torch.stack([labels["valid"], labels["valid"], labels["valid"] & labels["depth_valid"]], -1)
    error = pose.cpu().unflatten(0, (n, t)) - labels["pose"][..., : network.dim]
    yield "error", torch.where(known[..., : network.dim], error, torch.nan).numpy()
    for name, x in (
        ("pose", pose), ("visibility", blocks[-1].visibility), ("features", features.half()),
    ):  # fmt: skip
        yield name, x.unflatten(0, (n, t)).cpu().numpy()
    for name in ("action", "action_known", "readable"):
        yield name, labels[name].numpy()
