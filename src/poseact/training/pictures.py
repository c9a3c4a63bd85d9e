"""What a network answers for a few samples, drawn."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import torch

from poseact.data import as_stills
from poseact.data.augment import Example, example
from poseact.data.clips import Clips, TrackSource, is_tracks
from poseact.data.human36m import TEST_STEP
from poseact.data.loading import SampleSource
from poseact.errors import UserError
from poseact.evaluation.actions import clip_box
from poseact.evaluation.rules import Protocol
from poseact.geometry import whole_image_box
from poseact.inference.predictor import ready
from poseact.network import MultitaskNetwork, to_input
from poseact.structures import Clip, Image, NetworkOutput, Prediction
from poseact.visual.overlay import draw_prediction
from poseact.visual.sheet import contact_sheet

CELL = 256
COLUMNS = 4
PEOPLE = 12
"""Of a network that recognises actions, clips: the frame in the middle is shown."""
_RIGHT, _WRONG = (120, 230, 120), (255, 150, 120)
_STRIP = 22
"""Pixels at the lower edge of a cell that are darkened for the text."""


def draw_answers(
    network: MultitaskNetwork,
    source: SampleSource | TrackSource,
    size: int,
    device: torch.device,
    protocol: Protocol,
) -> Image | None:
    """A sheet of at most 12 samples, evenly spaced, as crops of ``size`` with the last block's joints.

    With actions, the answer is written below: green where it is right, else red with the truth in
    brackets. Clips and boxes are those of ``protocol``. ``network`` carries its ``layout`` and
    ``action_labels``. Samples that cannot be read are left out; None where there are none.
    """
    people, network = _people(network, source, protocol.step), ready(network, device)
    rng = np.random.default_rng(0)
    made: list[Example] = []
    for index in np.unique(np.linspace(0, len(people) - 1, PEOPLE).round().astype(int)):
        try:
            person = people[int(index)]
            if isinstance(person, Clip):
                box = clip_box(network, network.layout, person, size, protocol.boxes)
                person = replace(person, box=box)
            made.append(example(person, network.layout, size, None, rng))
        except UserError:
            continue
    if not made:
        return None
    cells = []
    for one in made:
        frames = to_input(torch.from_numpy(one["frames"])[None].to(device))
        with torch.inference_mode():
            output = network(frames) if network.actions else NetworkOutput(network.estimate(frames)[0])
        cells.append(_cell(network, one, output))
    return contact_sheet(cells, columns=COLUMNS, cell=CELL)


def _people(
    network: MultitaskNetwork, source: SampleSource | TrackSource, stride: int
) -> SampleSource | Clips:
    if network.actions and is_tracks(source):
        return Clips(source, network.frames, stride)
    return as_stills(source, TEST_STEP)


def _cell(network: MultitaskNetwork, one: Example, output: NetworkOutput) -> Image:
    crop, pose, seen = one["frames"], output.pose[0], output.visibility[0]
    if crop.ndim == 4:
        middle = len(crop) // 2
        crop, pose, seen = crop[middle], pose[middle], seen[middle]
    enlarged = np.asarray(cv2.resize(crop, (CELL, CELL), interpolation=cv2.INTER_CUBIC), np.uint8)
    answer = Prediction(
        name="",
        joints=pose[:, :2].float().cpu().numpy() * CELL - 0.5,
        visibility=seen.float().cpu().numpy(),
        z=None,
        layout=network.layout,
        box=whole_image_box(CELL, CELL),
    )
    drawn = draw_prediction(enlarged, answer)
    if output.action is not None:
        _caption(drawn, network.action_labels, int(output.action[0].argmax()), one)
    return drawn


def _caption(cell: Image, labels: tuple[str, ...], answer: int, one: Example) -> None:
    right = not one["action_known"] or answer == one["action"]
    text = labels[answer] if right else f"{labels[answer]} ({labels[one['action']]})"
    cell[-_STRIP:] //= 3
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)[0][0]
    scale = min(0.5, 0.5 * (CELL - 12) / max(1, width))
    colour = _RIGHT if right else _WRONG
    cv2.putText(cell, text, (6, CELL - 7), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)
