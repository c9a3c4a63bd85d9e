"""A sheet of examples beside an evaluation: what the network answered, for samples nobody picked."""

from __future__ import annotations

import numpy as np
import torch

from poseact.data.clips import TrackSource, clip, released_slots
from poseact.data.loading import SampleSource
from poseact.errors import UserError
from poseact.evaluation.actions import Actions, clip_box, clips_of
from poseact.evaluation.metrics import FloatArray
from poseact.evaluation.poses import Person, Poses, StillPeople
from poseact.evaluation.rules import Protocol
from poseact.geometry import REFERENCE_SIDE_M, Box, crop_transform, whole_image_box
from poseact.inference.predictor import View, predict_group, ready
from poseact.network import MultitaskNetwork
from poseact.skeleton import Layout, convert
from poseact.structures import Image, Prediction
from poseact.visual.overlay import draw_prediction
from poseact.visual.sheet import contact_sheet
from poseact.visual.text import fitted, write

CELL = 256
COUNT = 12
TURN = 60.0
"""Degrees by which a 3D pose is turned around its vertical axis, to show its depth."""
_LETTERS = 16
"""Height of a caption's letters, in pixels."""
_PAPER, _GREY = (32, 32, 32), (115, 115, 115)
_RIGHT_ANSWER, _WRONG_ANSWER = (0, 114, 90), (170, 50, 0)


def pose_sheet(poses: Poses, layout: Layout, source: SampleSource | TrackSource, protocol: Protocol) -> Image:
    """Crops of people at even distances in the set with the poses of the last block drawn.

    Right limbs are orange, left ones blue. Of a 3D network, beside each crop the pose turned by 60 degrees,
    and grey the annotated one.
    """
    people = StillPeople(source, protocol)
    cells: list[Image] = []
    for i in _spread(len(poses.people)):
        person = poses.people[i]
        try:
            item = people[poses.places[i]]
            image = item[0].image()[0] if item else None
        except UserError:  # it could be read before
            image = None
        if image is None:
            continue
        cells.append(_crop(image, person.predicted[-1], person.visibility, layout, person.box))
        if person.mm:
            cells.append(_turned(person, layout))
    return contact_sheet(cells or [np.full((CELL, CELL, 3), 32, np.uint8)], columns=6, cell=CELL)


def action_sheet(
    network: MultitaskNetwork, layout: Layout, source: TrackSource, measured: Actions, protocol: Protocol
) -> Image:
    """The middle frame of videos at even distances in the set: the pose, and the action answered.

    Where annotated poses are given, those without their noise. Green where it is right; where it is wrong, in
    red, the true one follows in brackets.
    """
    network = ready(network, torch.device("cpu"))
    cells: list[Image] = []
    for i in _spread(len(measured.videos)):
        video = measured.videos[i]
        try:
            track = source[measured.places[i]]
            clips = clips_of(len(track), network.frames, protocol)
            if video.probabilities is None or not clips:
                continue
            track = released_slots(track) if protocol.swap_sides else track
            indices = clips[len(clips) // 2]
            taken = clip(track, indices)
            box = clip_box(network, layout, taken, network.size, protocol.boxes)
            middle = int(indices[len(indices) // 2])
            (image,), _ = track.frames.read([middle])
        except UserError:  # another clip showed somebody; or it could be read before
            continue
        if protocol.poses == "estimated":
            answer = predict_group(network, layout, [View(track.name, image, box)], network.size)[0][-1]
            joints, visibility = answer.joints, answer.visibility
        else:
            joints = convert(track.joints[middle, :, :2], track.layout, layout)
            visibility = convert(track.valid[middle], track.layout, layout).astype(float)
        cell = _crop(image, joints, visibility, layout, box)
        chosen = int(video.probabilities[-1].argmax())
        right = chosen == video.action
        text = measured.labels[chosen] + ("" if right else f" ({measured.labels[video.action]})")
        cells.append(_captioned(cell, text, _RIGHT_ANSWER if right else _WRONG_ANSWER))
    return contact_sheet(cells or [np.full((CELL, CELL, 3), 32, np.uint8)], columns=6, cell=CELL)


def _spread(count: int) -> list[int]:
    return sorted({round(i * (count - 1) / (COUNT - 1)) for i in range(COUNT)}) if count else []


def _crop(image: Image, joints: FloatArray, visibility: FloatArray, layout: Layout, box: Box) -> Image:
    transform = crop_transform(box, CELL)
    points = transform.to_crop(joints) * CELL - 0.5
    return draw_prediction(transform.warp(image), _on_cell(points, visibility, layout))


def _on_cell(points: FloatArray, visibility: FloatArray, layout: Layout) -> Prediction:
    return Prediction("", points, visibility, None, layout, whole_image_box(CELL, CELL))


def _turned(person: Person, layout: Layout) -> Image:
    """The pose from the side, the annotated one in grey under it; the cell spans the crop's 2.25 m."""
    assert person.mm is not None
    cosine, sine = np.cos(np.radians(TURN)), np.sin(np.radians(TURN))
    scale = CELL / (1000 * REFERENCE_SIDE_M)

    def flat(points: FloatArray) -> FloatArray:
        across = cosine * points[:, 0] - sine * points[:, 2]
        return np.column_stack([across, points[:, 1]]) * scale + CELL / 2

    canvas = np.full((CELL, CELL, 3), _PAPER, np.uint8)
    drawn = draw_prediction(canvas, _on_cell(flat(person.mm.truth), person.mm.known.astype(float), layout))
    canvas[(drawn != canvas).any(-1)] = _GREY
    predicted = _on_cell(flat(person.mm.predicted[-1]), np.ones(len(layout)), layout)
    return draw_prediction(canvas, predicted)


def _captioned(cell: Image, text: str, colour: tuple[int, int, int]) -> Image:
    canvas = cell.copy()
    canvas[-28:] = colour
    write(canvas, fitted(text, _LETTERS, CELL - 12), (6, CELL - 24), _LETTERS, (255, 255, 255))
    return canvas
