"""What an evaluation answers: scores by block, and each person's share in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from poseact.evaluation.metrics import FloatArray, IntArray
from poseact.evaluation.rules import Protocol

Better = Literal["higher", "lower"]
MEASURES = {
    "PCK@0.2": "PCK@0.2 of the torso",
    "PCKh@0.5": "PCKh of 14 joints, head size .6 of its box's diagonal",
    "MPJPE_mm": "MPJPE after aligning the root",
    "accuracy": "accuracy of the aggregation",
}
"""What the main metric measures, in words."""
BY_ACTION = "by_action_"
"""In a metric's name: the mean of the actions' means, instead of that over all people."""


def better(metric: str) -> Better:
    """Whether a metric is an error in mm or a share of what is right."""
    return "lower" if metric.endswith("_mm") else "higher"


@dataclass(frozen=True)
class People:
    """Each scored person's part in the scores of the reported block: what a bootstrap redraws.

    - ``unit`` (N,): people of the same unit (frames of one video, videos of one performance by several
      cameras) are not independent.
    - ``action`` (N,): index of the action; None where some have none.
    - ``sums`` and ``counts``, by metric (N,): the score is sum(sums) / sum(counts); a count of 0 means
      that the person could not be scored.
    """

    unit: IntArray
    action: IntArray | None
    sums: dict[str, FloatArray]
    counts: dict[str, IntArray]


@dataclass(frozen=True)
class Scores:
    """Shares are fractions of 1, errors mm, whatever the metric.

    - ``scores``: of each metric by block, first to last; what is reported is the last.
    - ``main``: the metric that a training watches, and whether ``better`` is higher or lower.
    - ``by_action``: action to metric to score, of what is reported.
    - ``samples``: people scored by the main metric; ``skipped``: those that it could not score.
    - ``damaged``: messages of unreadable samples. ``seconds``: of computing, all processes together.
    """

    scores: dict[str, list[float]]
    main: str
    by_action: dict[str, dict[str, float]]
    people: People
    samples: int
    skipped: int
    damaged: list[str]
    protocol: Protocol
    seconds: float

    @property
    def better(self) -> Better:
        return better(self.main)

    @property
    def reported(self) -> float:
        """The main metric of the last block, or of the aggregation."""
        return self.scores[self.main][-1]


@dataclass(frozen=True)
class PoseScores(Scores):
    """``by_joint``: joint to metric to score, of the last block.

    ``notes``: what the numbers assume, such as a camera that is not known.
    """

    by_joint: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def rules(self) -> str:
        """What was scored and how, as one line."""
        return "; ".join([self.protocol.describe_poses(), *self.notes, MEASURES[self.main]])


@dataclass(frozen=True)
class ActionScores(Scores):
    """``scores``: ``accuracy_pose`` and ``accuracy_appearance`` by block, ``accuracy`` of the aggregation.

    ``actions``: names of the classes; ``confusion`` (A, A): counts of the aggregation's answers, rows
    the truth; ``unanswered``: videos without any clip, which count as wrong.
    """

    actions: tuple[str, ...] = ()
    confusion: IntArray = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    unanswered: int = 0

    @property
    def rules(self) -> str:
        """What was scored and how, as one line."""
        return self.protocol.describe_actions()
