"""Penn Action: 2326 clips of sport in 15 actions, 13 joints in every frame, 2D.

Zhang, Zhu and Derpanis, *From Actemes to Action: A Strongly-supervised Representation for
Detailed Action Understanding*, ICCV 2013. On disk, as it unpacks: ``frames/0001/000001.jpg`` ...
and ``labels/0001.mat`` with ``x``, ``y`` and ``visibility`` (n x 13), ``action``, ``train`` (1 or
-1) and ``nframes``. Or, beside the same frames, the ``annotations.mat`` of Luvizon et al.:
``sequences_te`` and ``sequences_tr`` of ``idx`` (folder), ``action_id`` (from 1, in the order of
`PENN_ACTIONS`) and ``frames`` of ``f`` (number of the image), ``pose`` (2 x 13), ``visible`` (13).

Pixels: both files come out of MATLAB, whose first pixel is 1, so 1 is subtracted; the data set's
documentation is silent on it. Joints that are not visible were placed by guess or not at all, so
they are masked. Boxes are those of the visible joints (`clips.joint_boxes`), not the label's ``bbox``.

Sides: the files list the left side first, by their documentation the person's own, and the tracks
name them so. The authors' code puts the first-listed side into the right slots, and so learned
their released network; `clips.released_slots` does the same to a track.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from poseact.data.actions import PENN_ACTIONS
from poseact.data.clips import joint_boxes
from poseact.data.images import ImageFiles
from poseact.data.matlab import read_mat
from poseact.errors import UserError
from poseact.geometry import Box, FloatArray
from poseact.skeleton import PENN13
from poseact.structures import BoolArray, Track

SPLITS = ("all", "train", "test", "released-train", "released-test")
PUBLISHED = {"all": 2326, "train": 1258, "test": 1068}
"""Clips, of the official labels."""

SOURCE = "get Penn Action from http://dreamdragon.github.io/PennAction/ and give its folder with --root"
_RELEASED_FIELDS = {"released-train": "sequences_tr", "released-test": "sequences_te"}
_LABEL_FIELDS = ("action", "x", "y", "visibility", "train", "nframes")
_SEQUENCE_FIELDS = frozenset(("idx", "action_id", "frames", "f", "pose", "visible"))
_FARTHEST_PX = 1e5
"""Numbers beyond are no pixels, but damage."""


@dataclass(frozen=True)
class _Video:
    """One annotated clip: its folder's and its images' numbers, joints (F, 13, 2) 0-based, mask (F, 13)."""

    name: str
    folder: int
    numbers: npt.NDArray[np.int64]
    action: int
    train: bool
    joints: FloatArray
    valid: BoolArray


class PennAction:
    """The data set under ``root``: a sequence of `Track` in the layout PENN13, without depth.

    ``split``: ``all``, ``train`` or ``test`` of the official labels; ``released-train`` or
    ``released-test`` of the authors' ``annotations.mat``. Where a label's fields differ in length,
    or there are fewer images, the clip has the frames that all of them have.
    ``damaged``: one message for each clip that was left out. ``indices``: for each clip its place in
    the files' order, damaged ones counted (in ``released-test`` the index of `read_predicted_boxes`).
    Raises `UserError` where the files are missing, on an unknown split, and where nothing is left.
    """

    layout = PENN13
    actions = PENN_ACTIONS

    def __init__(self, root: Path, split: str = "all") -> None:
        self.root = Path(root)
        self.damaged: list[str] = []
        if split not in SPLITS:
            raise UserError(f"penn-action: unknown split {split!r}; expected one of {', '.join(SPLITS)}")
        released = split in _RELEASED_FIELDS
        videos = self._released(split) if released else self._official(split)
        self.indices = [index for index, _ in videos]
        self._videos = [video for _, video in videos]
        if not videos:
            why = f"{len(self.damaged)} are damaged, as {self.damaged[0]}" if self.damaged else SOURCE
            raise UserError(f"{self.root}: expected clips of the split {split!r}, got none; {why}")
        self.lengths = [len(video.joints) for video in self._videos]

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, i: int) -> Track:
        """Clip ``i`` of the split; an image that is missing or damaged raises when it is read."""
        video = self._videos[i]
        count = len(video.joints)
        folder = _folder(self.root, video.folder)
        joints = np.zeros((count, len(PENN13), 3))
        joints[..., :2] = video.joints
        return Track(
            frames=ImageFiles(tuple(folder / f"{n:06d}.jpg" for n in video.numbers)),
            joints=joints,
            valid=video.valid,
            depth_valid=np.zeros_like(video.valid),
            layout=PENN13,
            boxes=joint_boxes(joints, video.valid),
            metres_per_pixel=None,
            action=video.action,
            name=video.name,
        )

    def _official(self, split: str) -> list[tuple[int, _Video]]:
        labels = self.root / "labels"
        if not labels.is_dir():
            hint = "use the split 'released-train' or 'released-test', or "
            other = hint if (self.root / "annotations.mat").is_file() else ""
            raise UserError(
                f"{labels}: not found; expected labels/0001.mat ... beside frames/; {other}{SOURCE}"
            )
        paths = sorted(p for p in labels.iterdir() if re.fullmatch(r"\d{4}\.mat", p.name, re.ASCII))
        found = self._kept(len(paths), lambda i: _read_label(paths[i]))
        return [(i, v) for i, v in found if split == "all" or v.train == (split == "train")]

    def _released(self, split: str) -> list[tuple[int, _Video]]:
        path, field = self.root / "annotations.mat", _RELEASED_FIELDS[split]
        if not path.is_file():
            raise UserError(
                f"{path}: not found; expected the authors' annotations of Penn Action: get "
                "penn_annotations.mat of release v0.3 of github.com/dluvizon/deephar under that name"
            )
        sequences = _read_sequences(path, field)
        train = split == "released-train"
        return self._kept(
            len(sequences), lambda i: _read_sequence(sequences[i], f"{path}: {field} {i + 1}", train)
        )

    def _kept(self, count: int, read: Callable[[int], _Video]) -> list[tuple[int, _Video]]:
        """The clips that can be read, cut to the images that are there; the others are ``damaged``."""
        kept = []
        for i in range(count):
            try:
                kept.append((i, _cut_to_images(read(i), self.root)))
            except UserError as error:
                self.damaged.append(str(error))
        return kept


class ClipKey(NamedTuple):
    """Which clip a predicted box belongs to: place in the test set, stride, number, flipped."""

    sequence: int
    stride: int
    clip: int
    flip: bool


def read_predicted_boxes(path: Path) -> tuple[dict[ClipKey, Box], list[str]]:
    """The authors' boxes (``penn_pred_bboxes_16f.json``), and a message for each damaged entry.

    Keys are ``%04d.%d.%03d.%d``: index in ``released-test`` (`PennAction.indices`), stride, clip,
    flip; values x1 y1 x2 y2 in pixels, of which the enclosing square is taken.
    Raises `UserError` where the file is missing or not a JSON object.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: not found; expected the authors' predicted boxes: get penn_pred_bboxes_16f.json "
            "of release v0.3 of github.com/dluvizon/deephar"
        )
    try:
        entries = json.loads(path.read_bytes())
    except Exception as error:  # not only of JSON: encodings, depth of nesting, digits of an integer
        raise UserError(f"{path}: expected a JSON object, got {_short(error)}; get it again") from None
    if not isinstance(entries, dict):
        raise UserError(f"{path}: expected a JSON object, got a {type(entries).__name__}; get it again")
    boxes: dict[ClipKey, Box] = {}
    damaged = []
    for key, value in entries.items():
        try:
            boxes[_clip_key(key)] = _square(value)
        except (TypeError, ValueError, OverflowError):
            got = _short(f"{key!r}: {value!r}")
            damaged.append(
                f"{path}: expected '0000.1.000.0': [x1, y1, x2, y2], got {got}; the entry is left out"
            )
    return boxes, damaged


def _clip_key(text: str) -> ClipKey:
    match = re.fullmatch(r"(\d{4})\.(\d{1,2})\.(\d{3})\.([01])", text, re.ASCII)
    if match is None:
        raise ValueError(text)
    sequence, stride, clip, flip = (int(part) for part in match.groups())
    return ClipKey(sequence, stride, clip, bool(flip))


def _square(value: Any) -> Box:
    x1, y1, x2, y2 = (float(v) for v in value)
    if not max(abs(v) for v in (x1, y1, x2, y2)) < _FARTHEST_PX or x2 <= x1 or y2 <= y1:
        raise ValueError(value)
    return Box(((x1 + x2) / 2, (y1 + y2) / 2), max(x2 - x1, y2 - y1))


def _folder(root: Path, number: int) -> Path:
    return root / "frames" / f"{number:04d}"


def _cut_to_images(video: _Video, root: Path) -> _Video:
    """Leave out the frames after the last image. Without any image the clip stays, and reading it tells."""
    folder = _folder(root, video.folder)
    if (folder / f"{video.numbers.max():06d}.jpg").exists() or not folder.is_dir():
        return video
    there = [int(p.stem) for p in folder.iterdir() if re.fullmatch(r"\d{6}\.jpg", p.name, re.ASCII)]
    kept = video.numbers <= max(there, default=int(video.numbers.max()))
    if not kept.any():
        raise UserError(
            f"{video.name}: expected images {video.numbers[0]} to {video.numbers[-1]} in {folder}, "
            f"got none of them; {SOURCE}"
        )
    return replace(video, numbers=video.numbers[kept], joints=video.joints[kept], valid=video.valid[kept])


def _read_mat(path: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """Those of the variables that the file has."""
    found = {}
    try:
        data = path.read_bytes()
        for name in names:
            with contextlib.suppress(KeyError):
                found[name] = read_mat(data, name, _SEQUENCE_FIELDS)
    except Exception as error:  # damaged bytes end in many kinds
        got = _short(repr(error))
        raise UserError(f"{path}: expected a MATLAB file of level 5, got {got}; get it again") from None
    return found


def _read_label(path: Path) -> _Video:
    mat = _read_mat(path, _LABEL_FIELDS)
    x, y, visibility = (_table(mat, name, path) for name in ("x", "y", "visibility"))
    count = min(len(x), len(y), len(visibility))
    if "nframes" in mat:
        count = min(count, int(_number(mat, "nframes", path)))
    if count < 1:
        raise UserError(f"{path}: expected at least one frame, got none; get it again")
    train = _number(mat, "train", path)
    if train not in (1, -1):
        raise UserError(f"{path}: expected 'train' 1 or -1, got {train:g}; get it again")
    joints, valid = _joints(np.stack([x[:count], y[:count]], -1), visibility[:count])
    return _Video(
        name=str(path),
        folder=int(path.stem),
        numbers=np.arange(1, count + 1),
        action=_action(mat, path),
        train=bool(train == 1),
        joints=joints,
        valid=valid,
    )


def _joints(points: FloatArray, visibility: FloatArray) -> tuple[FloatArray, BoolArray]:
    """1-based points (F, 13, 2) and visibility (F, 13) to 0-based ones, 0 where masked, and the mask."""
    valid = (visibility > 0) & (np.abs(points) < _FARTHEST_PX).all(-1)
    return np.where(valid[..., None], points - 1, 0.0), valid


def _table(mat: dict[str, Any], name: str, path: Path) -> FloatArray:
    values = np.asarray(mat.get(name))
    if values.ndim != 2 or values.shape[1] != len(PENN13) or values.dtype.kind not in "biuf":
        got = f"{values.dtype} {values.shape}" if name in mat else "nothing"
        raise UserError(f"{path}: expected '{name}' n x {len(PENN13)}, got {got}; get it again")
    return values.astype(np.float64)


def _number(mat: dict[str, Any], name: str, path: Path) -> float:
    values = np.asarray(mat.get(name))
    if values.size != 1 or values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        got = f"{values.dtype} {values.shape}" if name in mat else "nothing"
        raise UserError(f"{path}: expected a number '{name}', got {got}; get it again")
    return float(values.item())


def _action(mat: dict[str, Any], path: Path) -> int:
    values = np.ravel(np.asarray(mat.get("action")))
    name = str(values[0]).strip() if values.size == 1 else ""
    if name not in PENN_ACTIONS:
        got = _short(repr(name))
        raise UserError(f"{path}: expected 'action' one of the {len(PENN_ACTIONS)}, got {got}; get it again")
    return PENN_ACTIONS.index(name)


def _read_sequences(path: Path, field: str) -> list[Any]:
    """The structs of one list of the authors' ``annotations.mat``."""
    mat = _read_mat(path, (field,))
    if field not in mat:
        raise UserError(f"{path}: expected '{field}', got nothing of that name; get it again")
    return _structs(mat[field])


def _structs(value: Any) -> list[Any]:
    """The elements of a struct array, or of the struct arrays in a cell array."""
    array = np.asarray(value)
    if array.dtype.names is None and array.dtype.kind == "O":
        return [element for cell in array.ravel() for element in np.atleast_1d(cell).ravel()]
    return list(array.ravel())


def _read_sequence(sequence: Any, name: str, train: bool) -> _Video:
    try:
        frames = _structs(sequence["frames"])
        folder, action = _whole(sequence["idx"]), _whole(sequence["action_id"])
        numbers = np.array([_whole(frame["f"]) for frame in frames], np.int64)
        poses = np.stack([np.asarray(frame["pose"], np.float64) for frame in frames])
        visible = np.stack([np.asarray(frame["visible"], np.float64).ravel() for frame in frames])
    except Exception as error:  # a damaged struct has any type and any shape
        got = _short(repr(error))
        raise UserError(f"{name}: expected idx, action_id, frames, got {got}; get the file again") from None
    if poses.shape[1:] != (2, len(PENN13)) or visible.shape[1:] != (len(PENN13),):
        raise UserError(
            f"{name}: expected pose 2 x 13 and visible 13, got {poses.shape[1:]} and {visible.shape[1:]}; "
            "get the file again"
        )
    if not 1 <= action <= len(PENN_ACTIONS):
        raise UserError(f"{name}: expected action_id 1 to {len(PENN_ACTIONS)}, got {action}; get it again")
    if folder < 1 or numbers.min() < 1:
        raise UserError(f"{name}: expected idx and f from 1, got {folder} and {numbers.min()}; get it again")
    # In this file 0 stands for a missing joint too.
    poses = poses.transpose(0, 2, 1)
    joints, valid = _joints(poses, visible * (poses != 0).all(-1))
    return _Video(name, folder, numbers, action - 1, train, joints, valid)


def _whole(value: Any) -> int:
    number = float(np.asarray(value).item())
    if not number.is_integer() or abs(number) > 1e6:
        raise ValueError(f"{number} is not a whole number")
    return int(number)


def _short(text: object) -> str:
    """One line of at most 80 characters."""
    return " ".join(str(text).split())[:80]
