"""Reading and writing images, and frames that lie in image files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from poseact.errors import UserError
from poseact.structures import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
UNREAD_SUFFIXES = (".heic", ".heif")
"""Of pictures that telephones make and OpenCV does not read."""


_JPEG_START, _JPEG_END, _JPEG_TAIL = b"\xff\xd8", b"\xff\xd9", 1 << 16
_VIDEO_AFTER = re.compile(b"\xff\xd9.{0,4096}?ftyp", re.DOTALL)
_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


def read_image(path: Path, reduction: int = 1, *, upright: bool = True) -> Image:
    """An image file as (H, W, 3) uint8 RGB; grey, alpha and 16 bit become that too.

    ``reduction`` (1, 2, 4 or 8) decodes it smaller by that, which JPEG does much faster.
    ``upright`` turns it as its orientation tag says; annotations ignore that tag.
    Raises `UserError` where the file is missing or not an image that decodes.
    """
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(f"{path}: expected an image, got {error.strerror}; check the path") from None
    return decode_image(data, path, reduction, upright=upright)


def decode_image(
    data: npt.NDArray[np.uint8], path: Path, reduction: int = 1, *, upright: bool = False
) -> Image:
    """The bytes of an image file, as `read_image`; ``path`` is for the message."""
    # Decoders differ in what they make of half a file: some fill it up with grey.
    if data[:2].tobytes() == _JPEG_START and not _ends(data):
        raise UserError(f"{path}: the JPEG ends too early; get the file again")
    try:
        flags = _FLAGS[reduction] | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
        image = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:
        image = None
    if image is None:
        raise UserError(f"{path}: expected an image ({', '.join(SUFFIXES)}), but it does not decode")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB, image), np.uint8)


def _ends(data: npt.NDArray[np.uint8]) -> bool:
    """Whether a JPEG is whole: its end is among the last bytes, or a phone has put a short video after it."""
    return _JPEG_END in data[-_JPEG_TAIL:].tobytes() or bool(_VIDEO_AFTER.search(data.tobytes()))


@dataclass(frozen=True)
class ImageFiles:
    """Frames that lie in files of their own: a single photograph, or the folder of a video.

    What is annotated is the picture as stored, so orientation tags are ignored.
    """

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, indices: Sequence[int], reduction: int = 1) -> tuple[list[Image], int]:
        """See `structures.Frames`."""
        return [read_image(self.paths[i], reduction, upright=False) for i in indices], reduction


@dataclass(frozen=True)
class InMemory:
    """Frames that are decoded already."""

    images: tuple[Image, ...]

    def __len__(self) -> int:
        return len(self.images)

    def read(self, indices: Sequence[int], reduction: int = 1) -> tuple[list[Image], int]:
        """See `structures.Frames`; never reduced."""
        return [self.images[i] for i in indices], 1


def write_png(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write (H, W, 3) uint8 RGB; the file appears whole or not at all."""
    _, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    write_whole(path, data.tobytes())


def readable_pictures(folder: Path) -> tuple[Path, ...]:
    """The pictures of a folder, one of which decodes at least.

    Raises `UserError` where the folder is missing, or none of its pictures decodes.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; expected one of pictures; check --photographs")
    found = tuple(image_paths(folder))
    for path in found:
        with suppress(UserError):
            read_image(path, 8)
            return found
    raise UserError(f"{folder}: expected pictures, but none of {len(found)} decodes; check --photographs")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def check_place(path: Path, suffix: str) -> None:
    """Raise `UserError` now, and not after hours, where a file cannot be written or has another ending."""
    if path.suffix != suffix or path.is_dir():
        raise UserError(f"{path}: expected the name of a file that ends in {suffix}; give another name")
    try:
        tried = path.with_name(f".{path.name}.try")
        write_whole(tried, b"")
        tried.unlink()
    except OSError as error:
        raise UserError(
            f"{path}: expected a place that can be written, got {error.strerror}; give another folder"
        ) from None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON text, whole or not at all."""
    write_whole(path, json.dumps(content, indent=1).encode())


def image_paths(folder: Path) -> list[Path]:
    """The image files of ``folder``, sorted by name; raises `UserError` where there are none."""
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        unread = sum(p.suffix.lower() in UNREAD_SUFFIXES for p in folder.iterdir())
        remedy = f"save its {unread} of other kinds as JPEG" if unread else "check the folder"
        raise UserError(f"{folder}: expected images ({', '.join(SUFFIXES)}), found none; {remedy}")
    return paths


def stays_inside(name: str) -> bool:
    """Whether a file name found in an annotation stays inside the folder that it is joined to."""
    parts = re.split(r"[/\\]", name)
    return name.isprintable() and parts[0] != "" and ":" not in parts[0] and ".." not in parts
