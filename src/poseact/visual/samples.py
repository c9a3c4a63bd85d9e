"""A sheet of samples of a data set, before and after augmentation."""

from __future__ import annotations

import cv2
import numpy as np

from poseact.data.augment import Augmentation, draw_transform, example
from poseact.data.clips import TrackSource, draw_still
from poseact.data.loading import SampleSource
from poseact.errors import UserError
from poseact.geometry import Box, FloatArray, crop_transform
from poseact.skeleton import Layout
from poseact.structures import BoolArray, Image, Prediction, Sample
from poseact.visual.overlay import draw_prediction
from poseact.visual.sheet import contact_sheet

CELL = 256
AROUND = 1.6
"""How much more than the box the picture before augmentation shows."""
_WINDOW = (250, 250, 90)


def sample_sheet(
    source: SampleSource | TrackSource, augmentation: Augmentation, count: int, seed: int
) -> tuple[Image, list[str]]:
    """Pairs of cells for ``count`` samples drawn with ``seed``: the picture, and its augmented crop.

    The skeleton is the annotation's, right limbs orange, left ones blue; the yellow square on the
    picture is the window that the crop shows. Of a track, a frame at random is drawn. Returns the
    sheet (H, W, 3) and the messages of samples that could not be read.
    """
    rng = np.random.default_rng(seed)
    cells: list[Image] = []
    damaged: list[str] = []
    for index in rng.permutation(len(source))[:count]:
        try:
            item = source[int(index)]
            person = item if isinstance(item, Sample) else draw_still(item, rng)
            cells += _pair(person, augmentation, (seed, int(index)))
        except UserError as error:
            damaged.append(str(error))
    if not cells:
        raise UserError(f"no sample could be drawn: {damaged[0] if damaged else 'the data set is empty'}")
    return contact_sheet(cells, columns=6, cell=CELL), damaged


def _pair(person: Sample, augmentation: Augmentation, seed: tuple[int, int]) -> list[Image]:
    made = example(person, person.layout, CELL, augmentation, np.random.default_rng(seed))
    drawn = draw_transform(person.box, CELL, augmentation, np.random.default_rng(seed))
    view = crop_transform(person.box, CELL, scale=AROUND)
    image, reduced = person.image(view.reduction())
    before = _skeleton(
        view.warp(image, reduced), view.to_crop(person.joints[:, :2]), person.valid, person.layout
    )
    corners = view.to_crop(drawn.to_image(np.array([[0.0, 0.0], [1, 0], [1, 1], [0, 1]])))
    cv2.polylines(before, [np.rint(corners * CELL - 0.5).astype(np.int32)], True, _WINDOW, 1, cv2.LINE_AA)
    return [before, _skeleton(made["frames"], made["pose"][:, :2], made["valid"], person.layout)]


def _skeleton(crop: Image, pose: FloatArray, valid: BoolArray, layout: Layout) -> Image:
    middle = (CELL - 1) / 2
    truth = Prediction(
        name="",
        joints=pose.astype(np.float64) * CELL - 0.5,
        visibility=valid.astype(np.float64),
        z=None,
        layout=layout,
        box=Box((middle, middle), float(CELL)),
    )
    return draw_prediction(crop, truth)
