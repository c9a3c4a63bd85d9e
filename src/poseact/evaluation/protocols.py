"""Protocols: from a network and a data set to scores, every block scored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from poseact.data.loading import DAMAGED_SHARE, SampleSource
from poseact.errors import UserError
from poseact.evaluation.metrics import BoolArray, FloatArray, pck, torso_px
from poseact.inference.predictor import View, predict
from poseact.network import MultitaskNetwork
from poseact.skeleton import Layout, convert

THRESHOLD = 0.2
Truth = tuple[FloatArray, BoolArray]
"""Joints (J, 3) and which are annotated (J,), in the layout of the data set."""


@dataclass(frozen=True)
class PoseScores:
    """``by_block`` and ``by_joint`` (of the last block) as fractions of 1, under ``metric``.

    ``samples`` scored; ``skipped``: people without a torso to measure against; ``damaged``:
    the messages of unreadable samples.
    """

    metric: str
    protocol: str
    by_block: list[float]
    by_joint: dict[str, float]
    samples: int
    skipped: int
    damaged: list[str]


def evaluate_pose(
    network: MultitaskNetwork,
    layout: Layout,
    source: SampleSource,
    device: torch.device,
    console: Console | None = None,
    size: int | None = None,
) -> PoseScores:
    """PCK@0.2 of the torso, all annotated joints of the set that the network answers.

    The torso is the left shoulder to the right hip, else the other diagonal; people with
    neither, or with one under 1 px, are skipped and counted. The reported block is the last.
    With a ``console``, a progress bar is shown. ``size``: side of the crops, the network's own
    where None.
    Raises `UserError` where over 1 % of the samples are unreadable, or none can be scored.
    """
    kept: list[Truth] = []
    damaged: list[str] = []
    predictions = list(predict(network, layout, _views(source, kept, damaged, console), device, size))
    if len(damaged) > DAMAGED_SHARE * len(source):
        raise UserError(f"{len(damaged)} of {len(source)} samples cannot be read: {'; '.join(damaged[:5])}")
    if not kept:
        raise UserError("no samples to score; check --root and --split")
    truth = np.stack([convert(joints, source.layout, layout)[:, :2] for joints, _ in kept])
    valid = np.stack([convert(valid, source.layout, layout) for _, valid in kept]).astype(bool)
    joint = layout.index
    torso = torso_px(
        truth.astype(np.float64),
        valid,
        (
            (joint("left_shoulder"), joint("right_hip")),
            (joint("right_shoulder"), joint("left_hip")),
        ),
    )
    if not np.isfinite(torso).any():
        raise UserError("no person with a torso to measure against; check the annotations")
    by_block = []
    for k in range(len(predictions[0])):
        predicted = np.stack([blocks[k].joints for blocks in predictions])
        shares = pck(predicted, truth, valid, torso, THRESHOLD)
        by_block.append(float(shares[-1]))
    by_joint = {n: float(s) for n, s in zip(layout.joints, shares[:-1], strict=True) if np.isfinite(s)}
    skipped = int(np.isnan(torso).sum())
    return PoseScores(
        metric=f"PCK@{THRESHOLD}",
        protocol="PCK@0.2 of the torso; crop: the set's own box; all annotated joints; last block",
        by_block=by_block,
        by_joint=by_joint,
        samples=len(kept) - skipped,
        skipped=skipped,
        damaged=damaged,
    )


def score_object(scores: PoseScores, *, data: str, split: str, weights: str) -> dict[str, Any]:
    """The scores as the one object that ``--json`` writes."""
    metric = scores.metric
    return {
        "data": data,
        "split": split,
        "samples": scores.samples,
        "skipped": scores.skipped,
        "damaged": scores.damaged,
        "weights": weights,
        "protocol": scores.protocol,
        "scores": {metric: scores.by_block[-1]},
        "by_block": {str(k): {metric: value} for k, value in enumerate(scores.by_block, 1)},
        "by_joint": {joint: {metric: value} for joint, value in scores.by_joint.items()},
    }


def _views(
    source: SampleSource, kept: list[Truth], damaged: list[str], console: Console | None
) -> Iterator[View]:
    """The readable samples as views; keeps their joints and the messages of the others."""
    for index in track(range(len(source)), "evaluating", console=console, disable=console is None):
        try:
            sample = source[index]
            image, _ = sample.image()
        except UserError as error:
            damaged.append(str(error))
            continue
        kept.append((sample.joints, sample.valid))
        yield View(sample.name, image, sample.box)
