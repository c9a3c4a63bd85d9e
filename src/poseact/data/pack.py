"""Person crops of a data set in few large files, for training from slow or remote disks.

``poseact data pack`` writes one folder a split::

    train/pack.json          what it is: data set, split, joints, actions, what was left out
    train/crops-00000.bin    the crops, one after the other: JPEG, or plain pixels
    train/crops-00000.npz    where each begins, and its annotation, as plain arrays

A shard holds a fixed run of items and appears whole or not at all, so packing that was stopped goes
on where it was. Reading asks the system for one crop's bytes at a time: any number of processes may
read the same files. A person's crop reaches `MARGIN` times its box, at most at the size asked for;
a track's reaches around all of its boxes, so that its frames share one set of coordinates.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from poseact.data.clips import TrackSource, frame_rate, is_tracks, refuse_changing
from poseact.data.images import decode_image, write_whole
from poseact.data.loading import SampleSource
from poseact.errors import UserError
from poseact.geometry import Box, Camera, CropTransform, FloatArray, crop_transform, enclosing_box
from poseact.skeleton import LAYOUTS, Layout
from poseact.structures import Image, Sample, Track

MARGIN = 1.25
QUALITY = 90
ITEMS = {"stills": 2000, "tracks": 50}
"""Items in a shard."""
_FORMAT = 2
_CAMERA = ("rotation", "position", "focal", "centre", "radial", "tangential")
_CAMERA_SHAPES = ((3, 3), (3,), (2,), (2,), (3,), (2,))
Arrays = dict[str, npt.NDArray[Any]]


def pack(
    source: SampleSource | TrackSource,
    name: str,
    split: str,
    out: Path,
    size: int,
    console: Console,
    raw: bool = False,
    origin: str = "",
) -> list[str]:
    """Write ``source`` to ``out``/``split``; returns the messages of items that were left out.

    ``size``: the most pixels that a person's box keeps along its side. ``raw``: plain pixels instead
    of JPEG. ``origin``: in words, where ``source`` came from. Raises `UserError` where the folder holds
    another pack, and for films of several actions, which it does not keep.
    """
    refuse_changing(source, "pack")
    folder = out / split
    kind = "tracks" if is_tracks(source) else "stills"
    about = {
        "format": _FORMAT, "data": name, "split": split, "kind": kind, "layout": source.layout.name,
        "size": size, "raw": raw, "items": len(source),
        "frames": int(sum(getattr(source, "lengths", ()))), "actions": list(getattr(source, "actions", ())),
        "fps": frame_rate(source) if is_tracks(source) else None,
        "origin": origin, "mirrored": bool(getattr(source, "mirrored", False)),
    }  # fmt: skip
    _claim(folder, about)
    shards = range(0, len(source), ITEMS[kind])
    for number, start in enumerate(track(shards, "packing", console=console)):
        if not (folder / f"crops-{number:05d}.npz").exists():
            _write_shard(source, range(start, min(start + ITEMS[kind], len(source))), folder, number, about)
    damaged = [message for n in range(len(shards)) for message in _read_index(folder, n)["damaged"].tolist()]
    write_whole(folder / "pack.json", json.dumps({**about, "whole": True, "damaged": damaged}).encode())
    return damaged


def is_pack(root: Path, split: str) -> bool:
    """Does ``root`` hold a pack of this split?"""
    return (root / split / "pack.json").is_file()


def packed_splits(root: Path) -> list[str]:
    """The splits that ``root`` holds packs of."""
    return sorted(path.parent.name for path in root.glob("*/pack.json"))


def open_pack(root: Path, name: str, split: str) -> PackedSamples | PackedTracks:
    """The packed data set; raises `UserError` where it is not whole, damaged, or of another set."""
    folder = root / split
    path = folder / "pack.json"
    try:
        about = json.loads(path.read_text())
        layout = LAYOUTS[about["layout"]]
        kind, items, data, whole = about["kind"], int(about["items"]), about["data"], about.get("whole")
        actions, raw, fps = tuple(str(a) for a in about["actions"]), bool(about["raw"]), about["fps"]
        mirrored = bool(about["mirrored"])
        shards = -(-items // ITEMS[kind])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: expected what `poseact data pack` writes, got {error!r:.120}; pack again"
        ) from None
    if data != name:
        raise UserError(f"{path}: expected a pack of {name}, got one of {data}; check --root")
    if not whole:
        raise UserError(f"{folder}: packing was stopped half-way; run the same `poseact data pack` again")
    indices = [_read_index(folder, n) for n in range(shards)]
    if kind == "stills":
        return PackedSamples(folder, layout, indices, raw)
    return PackedTracks(folder, layout, indices, raw, actions, float(fps), mirrored)


@dataclasses.dataclass(frozen=True)
class PackedFrames:
    """The crops of one item: ``offsets`` (F + 1,) into the file at ``path``; ``raw``: plain pixels."""

    path: Path
    offsets: npt.NDArray[np.int64]
    raw: bool

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def read(self, indices: Sequence[int], reduction: int = 1) -> tuple[list[Image], int]:
        """See `structures.Frames`."""
        try:
            with open(self.path, "rb", buffering=0) as file:
                data = [_bytes(file.fileno(), *self.offsets[i : i + 2].tolist()) for i in indices]
        except OSError as error:
            raise UserError(f"{self.path}: {error.strerror}; pack again") from None
        if self.raw:
            return [_square(d, self.path) for d in data], 1
        return [decode_image(d, self.path, reduction) for d in data], reduction


class _Packed:
    """What both kinds share: shards, and where each item lies in them."""

    def __init__(self, folder: Path, layout: Layout, indices: list[Arrays], raw: bool) -> None:
        self.folder, self.layout, self.indices, self.raw = folder, layout, indices, raw
        self._starts = np.cumsum([0, *(len(index["names"]) for index in indices)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def _find(self, i: int) -> tuple[Arrays, int, slice, PackedFrames]:
        """The shard's arrays, the item's place in it, its frames there, and where they are read."""
        if not 0 <= i < len(self):
            raise IndexError(f"expected an index in [0, {len(self)}), got {i}")
        shard = int(np.searchsorted(self._starts, i, side="right")) - 1
        index, place = self.indices[shard], i - int(self._starts[shard])
        first, last = index["frames"][place : place + 2].tolist()
        path = self.folder / f"crops-{shard:05d}.bin"
        return (
            index,
            place,
            slice(first, last),
            PackedFrames(path, index["offsets"][first : last + 1], self.raw),
        )


class PackedSamples(_Packed):
    """Packed stills: a sequence of `Sample`."""

    def __getitem__(self, i: int) -> Sample:
        index, place, frames, images = self._find(i)
        at = frames.start
        x, y, side = index["boxes"][at].tolist()
        return Sample(
            frames=images,
            joints=index["joints"][at],
            valid=index["valid"][at],
            depth_valid=index["depth_valid"][at],
            layout=self.layout,
            box=Box((x, y), side),
            metres_per_pixel=_known(index["metres_per_pixel"][at]),
            name=str(index["names"][place]),
            head_px=_known(index["head_px"][place]),
            camera=_camera(index["cameras"][place]),
            root_depth_mm=_known(index["root_depth_mm"][at]),
        )


class PackedTracks(_Packed):
    """Packed videos: a sequence of `Track`."""

    def __init__(
        self,
        folder: Path,
        layout: Layout,
        indices: list[Arrays],
        raw: bool,
        actions: tuple[str, ...],
        fps: float,
        mirrored: bool,
    ) -> None:
        super().__init__(folder, layout, indices, raw)
        self.actions, self.fps, self.mirrored = actions, fps, mirrored
        self.lengths = [int(n) for index in indices for n in np.diff(index["frames"])]

    def __getitem__(self, i: int) -> Track:
        index, place, frames, images = self._find(i)
        metres, depth = index["metres_per_pixel"][frames], index["root_depth_mm"][frames]
        return Track(
            frames=images,
            joints=index["joints"][frames],
            valid=index["valid"][frames],
            depth_valid=index["depth_valid"][frames],
            layout=self.layout,
            boxes=index["boxes"][frames],
            metres_per_pixel=metres if np.isfinite(metres).any() else None,
            action=int(index["actions"][place]) if index["labelled"][place] else None,
            name=str(index["names"][place]),
            camera=_camera(index["cameras"][place]),
            root_depth_mm=depth if np.isfinite(depth).any() else None,
            group=str(index["groups"][place]),
        )


def _claim(folder: Path, about: dict[str, Any]) -> None:
    path = folder / "pack.json"
    if path.exists():
        try:
            before = json.loads(path.read_text())
        except ValueError:
            before = {}
        if {key: before.get(key) for key in about} != about:
            raise UserError(f"{folder}: holds another pack; give another folder with --out")
        return
    write_whole(path, json.dumps(about).encode())


def _write_shard(
    source: SampleSource | TrackSource, items: Iterable[int], folder: Path, number: int, about: dict[str, Any]
) -> None:
    """The crops first, the index last: a shard without one is written again."""
    rows: dict[str, list[Any]] = {key: [] for key in _KEYS}
    frames, offsets, damaged = [0], [0], []
    temporary = folder / f".crops-{number:05d}.bin.tmp"
    with open(temporary, "wb") as file:
        for i in items:
            try:
                row, crops = _packed(source[i], about["size"], about["raw"])
            except UserError as error:
                damaged.append(str(error))
                continue
            for key, value in row.items():
                rows[key].append(value)
            for crop in crops:
                file.write(crop)
                offsets.append(offsets[-1] + len(crop))
            frames.append(frames[-1] + len(crops))
    os.replace(temporary, folder / f"crops-{number:05d}.bin")
    joints = len(source.layout)
    arrays: Arrays = {
        "frames": np.array(frames), "offsets": np.array(offsets), "damaged": np.array(damaged, np.str_),
        **{key: _joined(key, rows[key], joints) for key in _KEYS},
    }  # fmt: skip
    index = folder / f"crops-{number:05d}.npz"
    temporary = index.with_name(f".{index.name}.tmp.npz")
    np.savez(temporary, allow_pickle=False, **arrays)
    os.replace(temporary, index)


_BY_FRAME = {"joints": (3,), "valid": (), "depth_valid": ()}
_KEYS = (
    "joints", "valid", "depth_valid", "boxes", "metres_per_pixel", "root_depth_mm",
    "names", "groups", "actions", "labelled", "head_px", "cameras",
)  # fmt: skip


def _joined(key: str, values: list[Any], joints: int) -> npt.NDArray[Any]:
    """One array of all items of a shard; by frame for the first six keys."""
    if key in _KEYS[6:]:
        return np.array(values, np.str_ if key in ("names", "groups") else None).reshape(
            (-1, 21) if key == "cameras" else -1
        )
    shape = (0, joints, *_BY_FRAME[key]) if key in _BY_FRAME else (0, 3) if key == "boxes" else (0,)
    return np.concatenate([np.zeros(shape, bool if "valid" in key else np.float32), *values])


def _packed(item: Sample | Track, size: int, raw: bool) -> tuple[dict[str, Any], list[bytes]]:
    """One item's row of the index, in the pixels of its crops, and the crops."""
    person = _as_track(item)
    transform = _window(person, size)
    scale = transform.size / transform.window
    crops = []
    wanted = [item.index] if isinstance(item, Sample) else list(range(len(item)))
    for i in wanted:
        (image,), reduced = item.frames.read([i], transform.reduction())
        crop = transform.warp(image, reduced)
        crops.append(crop.tobytes() if raw else _encoded(crop))
    known = person.valid[..., None]
    xy = transform.to_crop(person.joints[..., :2]) * transform.size - 0.5
    centres = transform.to_crop(person.boxes[:, :2]) * transform.size - 0.5
    count = len(person.boxes)
    head = item.head_px if isinstance(item, Sample) else None
    row = {
        "joints": np.where(known, np.concatenate([xy, person.joints[..., 2:]], -1), 0).astype(np.float32),
        "valid": person.valid,
        "depth_valid": person.depth_valid,
        "boxes": np.column_stack([centres, person.boxes[:, 2] * scale]),
        "metres_per_pixel": _or_nan(person.metres_per_pixel, count) / scale,
        "root_depth_mm": _or_nan(person.root_depth_mm, count),
        "names": item.name,
        "groups": person.group,
        "actions": person.action or 0,
        "labelled": person.action is not None,
        "head_px": np.nan if head is None else head * scale,
        "cameras": _camera_row(_still_camera(item.camera), transform),
    }
    return row, crops


def _still_camera(camera: Camera | Sequence[Camera] | None) -> Camera | None:
    """The one camera of an item: that of a video whose camera moves is not kept."""
    if camera is None or isinstance(camera, Camera):
        return camera
    return camera[0] if all(other is camera[0] for other in camera) else None


def _as_track(item: Sample | Track) -> Track:
    if isinstance(item, Track):
        return item
    metres, depth = item.metres_per_pixel, item.root_depth_mm
    return Track(
        frames=item.frames,
        joints=item.joints[None],
        valid=item.valid[None],
        depth_valid=item.depth_valid[None],
        layout=item.layout,
        boxes=np.array([[*item.box.centre, item.box.side]]),
        metres_per_pixel=None if metres is None else np.array([metres]),
        action=None,
        name=item.name,
        root_depth_mm=None if depth is None else np.array([depth]),
    )


def _window(person: Track, size: int) -> CropTransform:
    """A square of whole pixels around all boxes, shrunk where a box is larger than ``size``."""
    known = person.boxes[np.isfinite(person.boxes).all(1)]
    if not len(known):
        raise UserError(f"{person.name}: no frame shows an annotated person")
    box = enclosing_box(np.column_stack([known[:, :2], MARGIN * known[:, 2]]))
    side = float(np.ceil(box.side))
    # Edges on the borders of pixels: what is not shrunk is copied as it is.
    corner = np.floor(np.array(box.centre) - side / 2 + 0.5) - 0.5
    x, y = (corner + side / 2).tolist()
    shrink = min(1.0, size / float(np.median(known[:, 2])))
    return crop_transform(Box((x, y), side), max(1, round(side * shrink)))


def _encoded(crop: Image) -> bytes:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes()


def _square(data: npt.NDArray[np.uint8], path: Path) -> Image:
    side = math.isqrt(len(data) // 3)
    if not side or 3 * side * side != len(data):
        raise UserError(f"{path}: expected the pixels of a square crop, got {len(data)} bytes; pack again")
    return data.reshape(side, side, 3)


def _or_nan(values: FloatArray | None, count: int) -> FloatArray:
    return np.full(count, np.nan) if values is None else values


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _camera_row(camera: Camera | None, transform: CropTransform) -> FloatArray:
    """The camera (21,) as it sees the crop's pixels; NaN where there is none."""
    if camera is None:
        return np.full(21, np.nan)
    scale = transform.size / transform.window
    centre = transform.to_crop(camera.centre) * transform.size - 0.5
    seen = dataclasses.replace(camera, focal=camera.focal * scale, centre=centre)
    return np.concatenate([np.ravel(getattr(seen, key)) for key in _CAMERA])


def _camera(row: FloatArray) -> Camera | None:
    if not np.isfinite(row).all():
        return None
    ends = np.cumsum([np.prod(shape) for shape in _CAMERA_SHAPES])
    parts = np.split(row, ends[:-1])
    return Camera(*(part.reshape(shape) for part, shape in zip(parts, _CAMERA_SHAPES, strict=True)))


def _bytes(file: int, start: int, end: int) -> npt.NDArray[np.uint8]:
    return np.frombuffer(os.pread(file, end - start, start), np.uint8)


def _read_index(folder: Path, number: int) -> Arrays:
    path = folder / f"crops-{number:05d}.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            index = {key: arrays[key] for key in ("frames", "offsets", "damaged", *_KEYS)}
    except Exception as error:  # numpy and zipfile raise many kinds on damaged files
        raise UserError(
            f"{path}: expected what `poseact data pack` writes, got {error!r:.120}; pack again"
        ) from None
    frames = len(index["offsets"]) - 1
    if any(len(index[key]) != frames for key in _KEYS[:6]) or any(
        len(index[key]) != len(index["frames"]) - 1 for key in _KEYS[6:]
    ):
        raise UserError(f"{path}: its arrays do not fit together; delete it and pack again")
    return index
