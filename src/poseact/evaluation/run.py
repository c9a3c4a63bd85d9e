"""What ``poseact evaluate`` does: names to network, data and rules; scores, evaluation file and sheet."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import PartialState
from rich.console import Console

from poseact.data import open_data
from poseact.data.clips import TrackSource, is_tracks
from poseact.data.images import check_place, write_json, write_png
from poseact.data.loading import SampleSource, chosen
from poseact.errors import UserError
from poseact.evaluation.actions import action_scores, measure_actions
from poseact.evaluation.examples import action_sheet, pose_sheet
from poseact.evaluation.files import about_network, evaluation_object
from poseact.evaluation.poses import measure_poses, pose_scores
from poseact.evaluation.rules import Protocol, settled
from poseact.evaluation.scores import ActionScores, PoseScores
from poseact.evaluation.submission import check_submission, write_submission
from poseact.inference.device import pick_device
from poseact.network import MultitaskNetwork
from poseact.structures import Image
from poseact.weights import load_model

Task = Literal["pose", "action"]


@dataclass(frozen=True)
class Job:
    """A network, a data set and the rules; ``names``: data, split and weights as they were given, and
    whether a ``part`` of the split was chosen.

    ``main``: of several processes, this is the one that writes and speaks.
    """

    network: MultitaskNetwork
    source: SampleSource | TrackSource
    protocol: Protocol
    names: dict[str, Any]
    device: torch.device
    main: bool


def open_job(
    weights: str, data: str, root: Path | None, split: str, protocol: Protocol, count: int | None = None
) -> Job:
    """Open what is to be evaluated: ``count`` synthetic videos, at most so many items of another set.

    Processes started by ``accelerate launch`` or ``torchrun`` will share the work. Raises `UserError`
    where the data set or the weights cannot be opened.
    """
    if protocol.boxes == "authors" and (data, split) != ("penn-action", "released-test"):
        raise UserError(
            "boxes: the authors' file is of --data penn-action --split released-test, got "
            f"{data} {split}; use given or found"
        )
    if data == "folder" and protocol.poses != "estimated":
        raise UserError("poses: one's own videos have no joints that could be given; use estimated")
    opened, network = open_data(data, root, split, count), load_model(weights)
    source = chosen(opened, count)
    device, main = pick_device(), True
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        state = PartialState(cpu=not torch.cuda.is_available())
        device, main = state.device, state.is_main_process
    # Synthetic people are told apart by what they perform.
    told = f"{data}, {root.name}" if data == "synthetic" and root is not None else data
    names = {"data": told, "split": split, "part": source is not opened, "weights": weights}
    return Job(network, source, settled(protocol, network, source), names, device, main)


def task_of(job: Job, asked: str | None) -> Task:
    """Actions where the network recognises any and the set has labels, unless the task is asked for."""
    if asked not in (None, "pose", "action"):
        raise UserError(f"task: expected pose or action, got {asked!r}")
    scored: Task = "action" if job.network.actions and is_tracks(job.source) else "pose"
    if asked is not None:
        scored = "action" if asked == "action" else "pose"
    if scored == "pose" and job.names["data"] == "folder":
        raise UserError(
            "folder: one's own videos have no joints to score; give weights that recognise actions, without "
            "--task pose"
        )
    return scored


def run_job(
    job: Job, task: Task, json: Path | None, console: Console | None
) -> tuple[PoseScores | ActionScores, list[Path]]:
    """Evaluate; write the evaluation file to ``json`` and a sheet of examples beside it, as .png.

    Returns the scores and the files written. Raises `UserError` as `evaluate_pose` and `evaluate_action`.
    """
    network, source, protocol = job.network, job.source, job.protocol
    if json is not None and job.main:
        check_place(json, ".json")
        picture = json.with_suffix(".png")
        if picture.exists() and not json.exists():
            raise UserError(f"{picture}: is there already; examples would be drawn there: give another name")
        check_place(picture, ".png")
    scores: PoseScores | ActionScores
    if task == "pose":
        poses = measure_poses(network, network.layout, source, job.device, protocol, console)
        scores = pose_scores(poses, network.layout, source, protocol)
        if json is None or not job.main:
            return scores, []
        return scores, _write(job, scores, json, lambda: pose_sheet(poses, network.layout, source, protocol))
    if not is_tracks(source):
        raise UserError(f"{job.names['data']}: single images have no actions to score; use --task pose")
    actions = measure_actions(network, source, job.device, protocol, console)
    scores = action_scores(actions, protocol)
    if json is None or not job.main:
        return scores, []
    return scores, _write(
        job, scores, json, lambda: action_sheet(network, network.layout, source, actions, protocol)
    )


def _write(job: Job, scores: PoseScores | ActionScores, json: Path, sheet: Callable[[], Image]) -> list[Path]:
    """The scores first: what took hours is there before anything is drawn."""
    about = about_network(job.network, job.network.metadata)
    content: dict[str, Any] = evaluation_object(scores, **job.names, about=about, device=job.device)
    picture = json.with_suffix(".png")
    try:
        write_json(json, content)
        write_png(picture, sheet())
    except OSError as error:
        raise UserError(f"{json}: expected a place that can be written, got {error.strerror}") from None
    return [json, picture]


def submit(job: Job, path: Path, console: Console | None) -> list[str]:
    """Write MPII's submission file; returns the messages of people whose image could not be read."""
    source = check_submission(job.source, job.network.layout)
    if job.main:
        check_place(path, ".mat")
    poses = measure_poses(job.network, job.network.layout, source, job.device, job.protocol, console)
    if job.main:
        missing = write_submission(path, source, job.network.layout, poses)
        if missing and console:
            console.print(f"{missing} of its people have no prediction, which counts as missed")
    return poses.damaged
