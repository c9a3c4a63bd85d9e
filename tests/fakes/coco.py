"""Write a tiny set of photographs annotated with COCO keypoints, in the true on-disk form."""

import json
from pathlib import Path

import cv2
import numpy as np

NAMES = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
]  # fmt: skip
SIZE = (120, 90)  # width, height


def content(images: int = 3, seed: int = 0) -> dict:
    """An annotation file: in each image two people with keypoints, one without, and a crowd."""
    rng = np.random.default_rng(seed)
    annotations = []
    for image in range(images):
        for kind in ("person", "person", "unannotated", "crowd"):
            keypoints = np.column_stack([rng.integers(0, SIZE, (17, 2)), rng.integers(0, 3, 17)])
            keypoints[0, 2] = 2
            keypoints[keypoints[:, 2] == 0] = 0
            if kind == "unannotated":
                keypoints[:] = 0
            x, y, width, height = np.round(rng.uniform(5, 50, 4), 2).tolist()
            record = {
                "segmentation": [],
                "num_keypoints": int((keypoints[:, 2] > 0).sum()),
                "area": width * height,
                "iscrowd": int(kind == "crowd"),
                "keypoints": keypoints.ravel().tolist(),
                "image_id": 100 + image,
                "bbox": [x, y, width, height],
                "category_id": 1,
                "id": len(annotations) + 1,
            }
            annotations.append(record)
    return {
        "info": {"year": 2017},
        "licenses": [],
        "images": [
            {"id": 100 + i, "file_name": f"{100 + i:012d}.png", "width": SIZE[0], "height": SIZE[1]}
            for i in range(images)
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[16, 14]]}],
    }


def people(annotations: dict) -> list[dict]:
    """Those who are samples."""
    return [a for a in annotations["annotations"] if not a["iscrowd"] and any(a["keypoints"][2::3])]


def write(
    root: Path, annotations: dict, name: str = "person_keypoints_val2017", folder: str = "val2017"
) -> Path:
    """The annotation file and the images, dark, with a bright square of 5 px on the first nose."""
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / folder).mkdir(parents=True, exist_ok=True)
    path = root / "annotations" / f"{name}.json"
    path.write_text(json.dumps(annotations))
    for image in annotations["images"]:
        pixels = np.zeros((SIZE[1] + 10, SIZE[0] + 10, 3), np.uint8)
        x, y = next(a for a in people(annotations) if a["image_id"] == image["id"])["keypoints"][:2]
        pixels[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = 255
        cv2.imwrite(str(root / folder / image["file_name"]), pixels)
    return path
