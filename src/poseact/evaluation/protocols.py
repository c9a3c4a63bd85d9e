"""From a network and a data set to scores: the two evaluations that training and the commands call."""

from __future__ import annotations

import torch
from rich.console import Console

from poseact.data.clips import TrackSource
from poseact.data.loading import SampleSource
from poseact.evaluation.actions import action_scores, measure_actions
from poseact.evaluation.poses import measure_poses, pose_scores
from poseact.evaluation.rules import OURS, Protocol
from poseact.evaluation.scores import ActionScores, PoseScores
from poseact.network import MultitaskNetwork
from poseact.skeleton import Layout


def evaluate_pose(
    network: MultitaskNetwork,
    layout: Layout,
    source: SampleSource | TrackSource,
    device: torch.device,
    protocol: Protocol = OURS,
    console: Console | None = None,
    size: int | None = None,
) -> PoseScores:
    """Every pose metric that the data set allows, of every block.

    - ``PCK@0.2`` where a torso is annotated: left shoulder to right hip, else the other diagonal.
    - ``PCKh@0.5``, ``PCKh@0.2``, ``AUC@0.5`` and ``AUC@0.2`` where head sizes are known, of MPII's 14
      joints. Where the protocol drops joints outside the crop, also ``PCKh@..._annotated``.
    - ``MPJPE_mm`` and ``PA_MPJPE_mm`` where network and annotation are 3D, over all frames, and with
      ``by_action`` in the name as the mean of the actions' means; on Human3.6M's joints also over the
      field's 17 (``usual``), as far as the network answers them. The root's depth is the true one.

    A copy of the network runs in evaluation mode. ``size``: side of the crops, the network's own where
    None. With a ``console``, a progress bar is shown. Of videos, frames by ``protocol.frame_step``.
    Where `torch.distributed` is initialised, its processes share the work and all get the same scores.
    Raises `UserError` where over 1 % of the samples are unreadable, or none can be scored.
    """
    poses = measure_poses(network, layout, source, device, protocol, console, size)
    return pose_scores(poses, layout, source, protocol)


def evaluate_action(
    network: MultitaskNetwork,
    source: TrackSource,
    device: torch.device,
    protocol: Protocol = OURS,
    console: Console | None = None,
    size: int | None = None,
) -> ActionScores:
    """Accuracy of every action block of both streams and of the aggregation, over the videos of a set.

    Poses are estimated, or given, by ``protocol.poses``. Otherwise as `evaluate_pose`.
    Raises `UserError` also where the set's labels are not the network's, or it has none.
    """
    measured = measure_actions(network, source, device, protocol, console, size)
    return action_scores(measured, protocol)
