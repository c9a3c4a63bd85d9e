"""One's own videos: one sub-folder per action, with video files or folders of images in it.

On disk: ``<root>/<action>/<video>``, or ``<root>/<split>/<action>/<video>`` where the root holds any
of the folders ``train``, ``val`` and ``test`` (other folders beside those are then not read). A
video is a file (`video.SUFFIXES`) or a folder of images (`images.SUFFIXES`) in the natural order of
their names: 2 before 10. Hidden files and folders are ignored, and so are actions without a video.

No joints are known, so all are masked. The box of a person is the whole frame: nobody has marked
one, and the first look for the person is on the whole frame (P 5.2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from poseact.data.clips import FPS
from poseact.data.images import SUFFIXES as IMAGE_SUFFIXES
from poseact.data.images import ImageFiles, image_paths
from poseact.errors import UserError
from poseact.geometry import whole_image_box
from poseact.skeleton import PA16
from poseact.structures import Frames, Track
from poseact.video import SUFFIXES, VideoFile

SPLITS = ("all", "train", "val", "test")
PUBLISHED: dict[str, int] = {}
"""Nothing is published about one's own videos."""

_LAYOUT = (
    "expected one sub-folder per action with videos in it (DIR/jump/a.mp4), or those in train, val, test"
)


class _Video(NamedTuple):
    path: Path
    frames: Frames
    length: int
    size: tuple[int, int]
    action: int


class ActionFolders:
    """The videos of a split under ``root``: a sequence of `Track` without joints, in the layout PA16.

    ``split``: ``train``, ``val`` or ``test`` where the root has such folders; ``all``: every video.
    ``actions``: the names of the folders of all splits together, sorted, so that labels agree.
    ``damaged``: one message for each video that cannot be opened or shows no frame; those are left
    out. All videos are opened once, when the length, `lengths` or `damaged` is first asked for.
    ``absent``: the actions that this split has no video of. Raises `UserError` on another split, and where
    no video is found or none can be read.
    """

    layout = PA16

    def __init__(self, root: Path, split: str = "all") -> None:
        self.root, self.split = Path(root), split
        if not self.root.is_dir():
            raise UserError(f"{self.root}: no such folder; {_LAYOUT}")
        marked = {name: self.root / name for name in SPLITS[1:] if (self.root / name).is_dir()}
        if split != "all" and split not in marked:
            raise UserError(f"{self.root}: no split {split!r}; found: {', '.join([*marked, 'all'])}")
        listed = {name: _list_actions(folder) for name, folder in (marked or {"all": self.root}).items()}
        self.actions = tuple(sorted(set().union(*listed.values())))
        self._listed = [
            (path, self.actions.index(action))
            for name, videos in listed.items()
            for action, paths in videos.items()
            for path in paths
            if split in ("all", name)
        ]
        if not self._listed:
            raise UserError(f"{marked.get(split, self.root)}: no video found; {_LAYOUT}")
        here = {self.actions[action] for _, action in self._listed}
        self.absent = tuple(name for name in self.actions if name not in here)

    @property
    def lengths(self) -> Sequence[int]:
        return [video.length for video in self._opened[0]]

    @property
    def fps(self) -> float:
        """Frames a second: the median of the video files, 30 where there are only folders of images."""
        return float(
            np.median([v.frames.fps for v in self._opened[0] if isinstance(v.frames, VideoFile)] or [FPS])
        )

    @property
    def damaged(self) -> list[str]:
        """One message for each video that was left out."""
        return self._opened[1]

    def __len__(self) -> int:
        return len(self._opened[0])

    def __getitem__(self, i: int) -> Track:
        path, frames, length, size, action = self._opened[0][i]
        box = whole_image_box(*size)
        nothing = np.zeros((length, len(PA16)), np.bool_)
        return Track(
            frames=frames,
            joints=np.zeros((length, len(PA16), 3)),
            valid=nothing,
            depth_valid=nothing,
            layout=PA16,
            boxes=np.tile([*box.centre, box.side], (length, 1)),
            metres_per_pixel=None,
            action=action,
            name=str(path),
        )

    @cached_property
    def _opened(self) -> tuple[list[_Video], list[str]]:
        videos: list[_Video] = []
        damaged: list[str] = []
        for path, action in self._listed:
            try:
                frames = open_frames(path)
                videos.append(_Video(path, frames, len(frames), _size(path, frames), action))
            except UserError as error:
                damaged.append(str(error))
        if not videos:
            raise UserError(
                f"{self.root}: none of {len(damaged)} videos can be read; the first: {damaged[0]}"
            )
        return videos, damaged


def open_frames(path: Path) -> VideoFile | ImageFiles:
    """The frames of a video file, or of a folder of images in the natural order of their names.

    Raises `UserError` where a folder holds no images; a file is opened when it is first asked
    for something (see `VideoFile`).
    """
    if not path.is_dir():
        return VideoFile(path)
    return ImageFiles(tuple(sorted((p for p in image_paths(path) if not _hidden(p)), key=_natural)))


def _list_actions(folder: Path) -> dict[str, list[Path]]:
    """The videos of each action that has any, in natural order."""
    listed = {path.name: _children(path) for path in _children(folder) if path.is_dir()}
    videos = {name: [path for path in paths if _is_video(path)] for name, paths in listed.items()}
    return {name: paths for name, paths in videos.items() if paths}


def _children(folder: Path) -> list[Path]:
    """What is in a folder and not hidden, in natural order."""
    try:
        return sorted((path for path in folder.iterdir() if not _hidden(path)), key=_natural)
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed: {error.strerror}; check its permissions") from None


def _is_video(path: Path) -> bool:
    if path.is_dir():
        return any(child.suffix.lower() in IMAGE_SUFFIXES for child in _children(path))
    return path.suffix.lower() in SUFFIXES


def _hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Sorts numbers in names by their value, and equal ones (1, 01) by their spelling."""
    parts = re.split("([0-9]+)", path.name)
    return [int(part) if part.isascii() and part.isdigit() else part for part in parts], path.name


def _size(path: Path, frames: VideoFile | ImageFiles) -> tuple[int, int]:
    """Width and height; of images those of the first that decodes."""
    if isinstance(frames, VideoFile):
        return frames.width, frames.height
    for i in range(len(frames)):
        try:
            height, width = frames.read([i])[0][0].shape[:2]
        except UserError:
            continue
        return width, height
    raise UserError(f"{path}: none of its {len(frames)} images decodes; get them again")
