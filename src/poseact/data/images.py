"""Reading and writing images."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from poseact.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def read_image(path: Path) -> npt.NDArray[np.uint8]:
    """An image file as (H, W, 3) uint8 RGB; grey, alpha and 16 bit become that too.

    Raises `UserError` where the file is missing or not an image that decodes.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(f"{path}: expected an image, got {error.strerror}; check the path") from None
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
    except cv2.error:
        image = None
    if image is None:
        raise UserError(f"{path}: expected an image ({', '.join(SUFFIXES)}), but it does not decode")
    return np.asarray(image, np.uint8)


def write_png(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write (H, W, 3) uint8 RGB; the file appears whole or not at all."""
    _, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    write_whole(path, data.tobytes())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def image_paths(folder: Path) -> list[Path]:
    """The image files of ``folder``, sorted by name; raises `UserError` where there are none."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise UserError(f"{folder}: expected images ({', '.join(SUFFIXES)}), found none; check the folder")
    return paths
