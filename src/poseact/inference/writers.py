"""Predictions as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from poseact.structures import Prediction
from poseact.visual.overlay import SHOWN_FROM


def coco_keypoints(predictions: Sequence[tuple[Prediction, tuple[int, int]]]) -> dict[str, Any]:
    """COCO keypoint JSON of predictions with their image's (width, height).

    ``keypoints`` are x, y, v flat; x and y in pixels with (0, 0) the centre of the top-left
    pixel; v is 2 where visibility reaches 0.5, else 1 (answered, perhaps outside the crop).
    ``visibility`` beside them holds the network's number for each joint, ``score`` their mean.
    ``bbox`` encloses the joints of v = 2. Images are numbered from 1 in the order given.
    """
    images, annotations = [], []
    for number, (prediction, (width, height)) in enumerate(predictions, 1):
        images.append({"id": number, "file_name": prediction.name, "width": width, "height": height})
        annotations.append({"id": number, "image_id": number, "category_id": 1} | _annotation(prediction))
    layout = predictions[0][0].layout if predictions else None
    category = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(layout.joints) if layout else [],
        "skeleton": [[a + 1, b + 1] for a, b in layout.limbs] if layout else [],
    }
    return {"images": images, "annotations": annotations, "categories": [category]}


def _annotation(prediction: Prediction) -> dict[str, Any]:
    joints, visibility = prediction.joints.astype(float), prediction.visibility.astype(float)
    seen = visibility >= SHOWN_FROM
    flags = np.where(seen, 2, 1)
    keypoints: list[float] = []
    for (x, y), v in zip(joints.tolist(), flags.tolist(), strict=True):
        keypoints += [x, y, v]
    inside = joints[seen] if seen.any() else joints
    low, high = inside.min(0), inside.max(0)
    return {
        "keypoints": keypoints,
        "num_keypoints": int(seen.sum()),
        "visibility": visibility.tolist(),
        "score": float(visibility.mean()),
        "bbox": [*low.tolist(), *(high - low).tolist()],
        "area": float(np.prod(high - low)),
        "iscrowd": 0,
    }


def json_bytes(content: dict[str, Any]) -> bytes:
    """JSON text, ready to be written whole."""
    return json.dumps(content, indent=1).encode()
