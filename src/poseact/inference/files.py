"""Images and folders in; overlays and COCO JSON out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from poseact.data.images import image_paths, read_image, write_png, write_whole
from poseact.errors import UserError
from poseact.inference.device import pick_device
from poseact.inference.predictor import View, predict
from poseact.inference.writers import coco_keypoints, json_bytes
from poseact.network import MultitaskNetwork
from poseact.skeleton import Layout
from poseact.structures import Prediction
from poseact.visual.overlay import draw_prediction


@dataclass(frozen=True)
class Written:
    """What `predict_files` wrote: overlays, the JSON, and the messages of skipped images."""

    overlays: list[Path]
    json: Path
    skipped: list[str]


def predict_files(
    network: MultitaskNetwork, layout: Layout, source: Path, out: Path, console: Console
) -> Written:
    """Predict an image, or every image of a folder, into ``out``.

    Writes ``<image name>.png`` with the skeleton drawn, and ``keypoints.json`` in COCO's form.
    Each image is taken as one person's, padded to a square. Images of a folder that cannot be
    read are skipped and listed. Raises `UserError` where there is nothing to read.
    """
    paths = image_paths(source) if source.is_dir() else [source]
    device = pick_device()
    console.print(f"device: {device}")
    read: list[npt.NDArray[np.uint8]] = []
    skipped: list[str] = []
    views = _views(paths, read, skipped, console)
    overlays: list[Path] = []
    entries: list[tuple[Prediction, tuple[int, int]]] = []
    for blocks in predict(network, layout, views, device):
        image, prediction = read.pop(0), blocks[-1]
        overlay = out / f"{prediction.name}.png"
        write_png(overlay, draw_prediction(image, prediction))
        overlays.append(overlay)
        entries.append((prediction, (image.shape[1], image.shape[0])))
    if not entries:
        raise UserError(skipped[0])
    keypoints = out / "keypoints.json"
    write_whole(keypoints, json_bytes(coco_keypoints(entries)))
    return Written(overlays, keypoints, skipped)


def _views(
    paths: list[Path], read: list[npt.NDArray[np.uint8]], skipped: list[str], console: Console
) -> Iterator[View]:
    """Readable images as views; ``read`` queues them for drawing."""
    for path in track(paths, "predicting", console=console, disable=len(paths) == 1):
        try:
            image = read_image(path)
        except UserError as error:
            skipped.append(str(error))
            continue
        read.append(image)
        yield View(path.name, image)
