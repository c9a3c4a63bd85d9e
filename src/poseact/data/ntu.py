"""NTU RGB+D: 56880 clips of 60 actions, seen by three Kinects, 25 joints in 2D and 3D.

Shahroudy, Liu, Ng and Wang, *NTU RGB+D: A Large Scale Dataset for 3D Human Activity Analysis*,
CVPR 2016. A clip is named ``SsssCcccPpppRrrrAaaa``: setup, camera, person, repetition, action. On
disk one of these, looked for in this order:

- official: ``<clip>_rgb.avi`` (or .mp4) and ``<clip>.skeleton``, in the root or up to two folders below;
- of Luvizon et al.: ``nturgb+d_numpy/<clip>.npy`` and ``images-small/<clip>/00001.jpg`` ..., half as large;
- official skeletons without any video: tracks whose frames cannot be read;
- pyskl's pickle (`PICKLES`, or the root names one), with the videos where they are: 3D in metres,
  or 2D of another pose estimator in COCO's layout.

**Depth and scale.** Kinect's camera space is in metres, z forward. ``depth`` and ``root_depth_mm`` are
z; the metres of a pixel are the root's z / focal length of the colour camera. The files lack that
length: it is the slope, by least squares over all joints of the clip, of colour x and y over
camera-space x / z and y / z; where that is not within a fifth of `FOCAL_PX` (too few joints, or x and
y in camera space unknown), `FOCAL_PX` is taken. Colour coordinates are taken for those of pixel
centres; in the small images they are (x + 0.5) / 2 - 0.5. Where they are 0 or not finite the joint is
masked; its tracking state is not looked at, for only the official files have it. pyskl's 3D form has
no colour coordinates: there x and y are masked, and without them there are no boxes. It also leaves
out the frames without a body, so its frames are those of the video only where every one shows a body.

**Several bodies.** A track is one person, the main actor: the body whose joints move most, that is
with the largest sum of the variances of their coordinates over the clip, as the set's makers advise
(github.com/shahroudy/NTURGB-D/issues/31): false bodies on furniture tremble, but stay. Then the one seen
longest; then the first seen. It is followed by its id; frames without it are masked.

**Sides** are those that the files name, Kinect's, which are the person's own. But Kinect delivers
mirrored pictures: a person's left is where an ordinary photograph would show the right. Networks
that also learn from photographs therefore need the sides changed over: `clips.released_slots`. The
authors' code does so, by its map from Kinect's joints to PA20: 0 20 2 3 4 8 5 9 6 10 7 11 12 16 13 17
14 18 15 19, which puts Kinect's left into the right slots.
"""

from __future__ import annotations

import functools
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from poseact.data.actions import NTU_ACTIONS
from poseact.data.clips import joint_boxes
from poseact.data.images import ImageFiles
from poseact.data.restricted import load_pickle
from poseact.errors import UserError
from poseact.geometry import FloatArray
from poseact.skeleton import COCO17, NTU25, Layout
from poseact.structures import BoolArray, Frames, Image, Track

CROSS_SUBJECT_TRAIN = frozenset((1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38))
CROSS_VIEW_TRAIN = frozenset((2, 3))
SPLITS = ("all", "train", "test", "xsub-train", "xsub-test", "xview-train", "xview-test")
"""``train`` and ``test`` are cross-subject."""
PUBLISHED = {
    "all": 56578,
    "train": 40091,
    "test": 16487,
    "xsub-train": 40091,
    "xsub-test": 16487,
    "xview-train": 37646,
    "xview-test": 18932,
}
"""Clips with a whole skeleton: of 56880 captured (cross-subject 40320 and 16560, cross-view 37920 and 18960)
302 are left out by the authors' list, `INCOMPLETE`."""
INCOMPLETE = frozenset(
    line
    for line in (resources.files("poseact") / "data" / "ntu-incomplete.txt").read_text("ascii").splitlines()
    if not line.startswith("#")
)
"""Names of the clips whose skeleton is missing or incomplete, as the set's makers publish them."""

PICKLES = ("ntu60_3danno.pkl", "ntu60_hrnet.pkl", "ntu120_3danno.pkl", "ntu120_hrnet.pkl")
FOCAL_PX = 1081.0
"""Of Kinect 2's colour camera, 1920 x 1080, by its usual calibration."""
SMALL = 2
"""The authors' images are smaller by this."""

SOURCE = (
    "get NTU RGB+D from https://rose1.ntu.edu.sg/dataset/actionRecognition/ and give its folder with --root"
)
_CLIP = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", re.ASCII)
_FILE = re.compile(_CLIP.pattern + r"(\.skeleton|_rgb\.avi|_rgb\.mp4)", re.ASCII)
_DEPTH_OF_FOLDERS = 2
_FOCAL_TOLERANCE = 0.2
_FARTHEST_PX, _FARTHEST_M = 1e5, 1e3
"""Numbers beyond are damage."""
_BODY_BYTES = 1 << 14
"""A skeleton file of this size holds a body; a smaller one is looked into."""
_NTU120 = 120


@dataclass(frozen=True)
class _Clip:
    """``path``: the skeleton, array or pickle; ``images``: the video, the folder, or None.

    ``keypoints`` (M, F, J, C) and ``scores`` (M, F, J): of a record in a pickle.
    """

    id: str
    path: Path
    images: Path | None
    keypoints: FloatArray | None = None
    scores: FloatArray | None = None

    @property
    def action(self) -> int:
        return int(self.id[-3:]) - 1

    @property
    def performance(self) -> str:
        """The clip's name but for the camera: three of them saw it."""
        return self.id[:4] + self.id[8:]


class Ntu:
    """The data set under ``root``: a sequence of `Track` in NTU25, or COCO17 where a pickle has it.

    ``split``: one of `SPLITS`. ``without_skeleton``: names of clips of the split that are left out
    because their skeleton is missing, shows no body, or is incomplete by the makers' list.
    ``of_ntu120``: how many clips were left out because they belong to NTU RGB+D 120, actions 61 to 120.
    ``damaged``: one message for each record of a pickle that was left out, and each file whose length
    could not be read (by `lengths`).
    Raises `UserError` where the files are missing, on an unknown split, and where nothing is left.
    """

    actions = NTU_ACTIONS
    mirrored = True

    def __init__(self, root: Path, split: str = "all") -> None:
        if split not in SPLITS:
            raise UserError(f"ntu: unknown split {split!r}; expected one of {', '.join(SPLITS)}")
        self.root = Path(root)
        self.layout: Layout = NTU25
        self.damaged: list[str] = []
        self.of_ntu120 = 0
        found, missing = self._find()
        whole = [clip for clip in found if clip.id not in INCOMPLETE]
        missing = sorted({*missing, *(clip.id for clip in found if clip.id in INCOMPLETE)})
        self._clips = [clip for clip in whole if _in_split(clip.id, split)]
        self.without_skeleton = [name for name in missing if _in_split(name, split)]
        if not self._clips:
            others = f"{len(found)} of other splits, {len(self.without_skeleton)} without a skeleton"
            why = f"{len(self.damaged)} are damaged, as {self.damaged[0]}" if self.damaged else SOURCE
            raise UserError(f"{self.root}: expected clips of the split {split!r}, got none ({others}); {why}")

    def __len__(self) -> int:
        return len(self._clips)

    @functools.cached_property
    def lengths(self) -> Sequence[int]:
        """Frames of each clip, by the heads of the files; 0 where a head is damaged."""
        lengths = []
        for clip in self._clips:
            try:
                lengths.append(_length(clip))
            except UserError as error:
                self.damaged.append(str(error))
                lengths.append(0)
        return lengths

    def __getitem__(self, i: int) -> Track:
        """Clip ``i`` of the split; raises `UserError` where its annotation is damaged."""
        clip = self._clips[i]
        if clip.keypoints is not None:
            return _of_pickle(clip, self.layout)
        return _of_skeleton(clip) if clip.path.suffix == ".skeleton" else _of_array(clip)

    def _find(self) -> tuple[list[_Clip], list[str]]:
        """The clips of the first form that is there, and the names of those without a skeleton."""
        if self.root.is_file():
            return self._records(self.root, {})
        if not self.root.is_dir():
            raise UserError(f"{self.root}: not found; {SOURCE}")
        files = list(_files(self.root, _DEPTH_OF_FOLDERS))
        skeletons = self._named(files, ".skeleton")
        videos = self._named(files, "_rgb.mp4") | self._named(files, "_rgb.avi")
        arrays = sorted((self.root / "nturgb+d_numpy").glob("*.npy"))
        pickle = next((self.root / name for name in PICKLES if (self.root / name).is_file()), None)
        if arrays and not (skeletons and videos):
            return self._arrays(arrays)
        if skeletons:
            return _skeletons(skeletons, videos)
        if pickle is not None:
            return self._records(pickle, videos)
        raise UserError(
            f"{self.root}: expected .skeleton files named as S001C001P001R001A001, nturgb+d_numpy/, or "
            f"one of {', '.join(PICKLES)}, found none; {SOURCE}"
        )

    def _named(self, files: list[Path], ending: str) -> dict[str, Path]:
        """The files with that ending by their clip's name, of the 60 actions."""
        names = {p.name.removesuffix(ending): p for p in files if p.name.endswith(ending)}
        kept = {name: path for name, path in names.items() if _is_of_60(name)}
        if ending == ".skeleton":
            self.of_ntu120 += len(names) - len(kept)
        return dict(sorted(kept.items()))

    def _arrays(self, files: list[Path]) -> tuple[list[_Clip], list[str]]:
        paths = {p.stem: p for p in files if _CLIP.fullmatch(p.stem)}
        names = [name for name in paths if _is_of_60(name)]
        self.of_ntu120 += len(paths) - len(names)
        images = self.root / "images-small"
        found = [_Clip(name, paths[name], images / name) for name in names]
        folders = sorted(os.listdir(images)) if images.is_dir() else []
        there = (name for name in folders if _CLIP.fullmatch(name) and _is_of_60(name))
        return found, [name for name in there if name not in paths]

    def _records(self, path: Path, videos: dict[str, Path]) -> tuple[list[_Clip], list[str]]:
        content = load_pickle(path)
        annotations = content.get("annotations") if isinstance(content, dict) else None
        if not isinstance(annotations, list):
            raise UserError(f"{path}: expected a dict with the list 'annotations', found none; get it again")
        found: dict[str, _Clip] = {}
        for number, record in enumerate(annotations):
            try:
                clip, layout = _record(record, f"{path}: annotation {number}", path, videos)
                if not _is_of_60(clip.id):
                    self.of_ntu120 += 1
                    continue
                self._check_record(clip, layout, found)
            except UserError as error:
                self.damaged.append(str(error))
                continue
            found[clip.id], self.layout = clip, layout
        return [found[name] for name in sorted(found)], [name for name in videos if name not in found]

    def _check_record(self, clip: _Clip, layout: Layout, found: dict[str, _Clip]) -> None:
        if clip.id in found:
            raise UserError(f"{clip.path}: expected {clip.id} once, got another; the second is left out")
        if found and layout is not self.layout:
            raise UserError(
                f"{clip.path}: expected {clip.id} in {self.layout.name} as the others, got {layout.name}; "
                "it is left out"
            )


@dataclass(frozen=True)
class MissingFrames:
    """The frames of a video that is not there: reading them raises."""

    count: int
    message: str

    def __len__(self) -> int:
        return self.count

    def read(self, indices: Sequence[int], reduction: int = 1) -> tuple[list[Image], int]:
        """See `structures.Frames`; raises `UserError`."""
        raise UserError(self.message)


def _is_of_60(name: str) -> bool:
    return 1 <= int(name[-3:]) <= len(NTU_ACTIONS)


def _in_split(name: str, split: str) -> bool:
    camera, person = int(name[5:8]), int(name[9:12])
    training = camera in CROSS_VIEW_TRAIN if split.startswith("xview") else person in CROSS_SUBJECT_TRAIN
    return split == "all" or training == split.endswith("train")


def _files(folder: Path, depth: int) -> Iterator[Path]:
    """Skeletons and videos in ``folder`` and ``depth`` levels below.

    Folders of images are not looked into: they are named ``images...`` or after a clip, and large.
    """
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # a file, or a folder that may not be read, such as lost+found
        return
    for entry in entries:
        if _FILE.fullmatch(entry.name):
            if entry.is_file():
                yield Path(entry.path)
        elif depth and not _CLIP.match(entry.name) and not entry.name.startswith(("images", ".")):
            yield from _files(Path(entry.path), depth - 1)


def _skeletons(skeletons: dict[str, Path], videos: dict[str, Path]) -> tuple[list[_Clip], list[str]]:
    bodies = {name for name, path in skeletons.items() if _shows_a_body(path)}
    clips = [_Clip(name, path, videos.get(name)) for name, path in skeletons.items() if name in bodies]
    return clips, sorted((skeletons.keys() | videos.keys()) - bodies)


def _shows_a_body(path: Path) -> bool:
    """Whether any frame has a body, without reading files that are too large to have none."""
    try:
        if path.stat().st_size >= _BODY_BYTES:
            return True
        lines = path.read_bytes().split(b"\n")
    except OSError:  # reading the clip tells
        return True
    return any(line.strip() not in (b"", b"0") for line in lines[1:])


def _length(clip: _Clip) -> int:
    if clip.keypoints is not None:
        return int(clip.keypoints.shape[1])
    if clip.path.suffix == ".skeleton":
        return _frame_count(clip.path, _first_line(clip.path))
    return len(_rows(clip.path))


def _first_line(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.readline(64)
    except OSError as error:
        raise UserError(f"{path}: expected a skeleton, got {error.strerror}; check the path") from None


def _frame_count(path: Path, line: bytes) -> int:
    """The number on a skeleton's first line, which its size must allow."""
    text = line.decode("ascii", "replace").strip()
    count = int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else 0
    if not 1 <= count <= path.stat().st_size // 2:
        raise UserError(f"{path}: line 1: expected the number of frames, got {text!r}; get it again")
    return count


def _of_skeleton(clip: _Clip) -> Track:
    values = _read_skeleton(clip.path)
    main = values[_main_actor(values[..., :3])]
    return _track_3d(clip, main[..., :3], main[..., 5:7], 1, _video(clip, len(main)))


def _of_array(clip: _Clip) -> Track:
    """A row of the authors' arrays: frame number, 75 values of the skeleton, 25 x, 25 y, 25 z in mm."""
    rows = np.asarray(_rows(clip.path), np.float64)
    numbers, joints = rows[:, 0], len(NTU25)
    if not ((numbers >= 0) & (numbers < 1e5) & (numbers % 1 == 0)).all():
        raise UserError(f"{clip.path}: expected frame numbers in the first column, got others; get it again")
    pixels = np.stack([rows[:, 76:101], rows[:, 101:126]], -1)
    depth = rows[:, 126:] / 1000
    # The skeleton's values come joint by joint or axis by axis; z tells, and without it x and y are unknown.
    space = np.full((len(rows), joints, 3), np.nan)
    for guess in (
        rows[:, 1:76].reshape(-1, joints, 3),
        rows[:, 1:76].reshape(-1, 3, joints).transpose(0, 2, 1),
    ):
        if np.allclose(guess[..., 2], depth, atol=2e-3, equal_nan=True):
            space = guess.copy()
    space[..., 2] = depth
    assert clip.images is not None
    paths = tuple(clip.images / f"{int(n):05d}.jpg" for n in numbers)
    return _track_3d(clip, space, pixels, SMALL, ImageFiles(paths))


def _of_pickle(clip: _Clip, layout: Layout) -> Track:
    assert clip.keypoints is not None
    keypoints = clip.keypoints.astype(np.float64)
    if layout is NTU25:
        keypoints[(keypoints == 0).all(-1)] = np.nan  # pyskl fills up with zeros
        main = keypoints[_main_actor(keypoints)]
        return _track_3d(clip, main, np.full((*main.shape[:2], 2), np.nan), 1, _video(clip, len(main)))
    seen = (np.abs(keypoints) < _FARTHEST_PX).all(-1) & (keypoints != 0).any(-1)
    if clip.scores is not None:
        seen &= clip.scores > 0
    m = _main_actor(np.where(seen[..., None], keypoints, np.nan))
    return _track_2d(clip, keypoints[m], seen[m], layout, _video(clip, keypoints.shape[1]))


def _main_actor(bodies: FloatArray) -> int:
    """Which of the bodies (M, F, J, C), NaN where missing, moves most: see the module."""
    usable = _plausible(bodies, _FARTHEST_PX)
    with warnings.catch_warnings():  # joints that are never seen
        warnings.simplefilter("ignore", RuntimeWarning)
        motion = np.nansum(np.nanvar(usable, axis=1), axis=(1, 2))
    seen = np.isfinite(usable).all(-1).any(-1).sum(-1)
    return max(range(len(bodies)), key=lambda m: (motion[m], seen[m], -m))


def _track_3d(clip: _Clip, space: FloatArray, pixels: FloatArray, smaller: int, frames: Frames) -> Track:
    """The track of joints in camera space (F, 25, 3), metres, and in full-size colour pixels (F, 25, 2).

    ``smaller``: by how much the images are smaller than those pixels.
    """
    space, pixels = _plausible(space, _FARTHEST_M), _plausible(pixels, _FARTHEST_PX)
    valid = np.isfinite(pixels).all(-1) & (pixels != 0).all(-1)
    z = np.where(space[..., 2] > 0, space[..., 2], np.nan)
    root = z[:, 0]
    depth = (z - root[:, None]) * 1000
    depth_valid = np.isfinite(depth)
    focal = _focal_px(space, pixels, valid & np.isfinite(z)) / smaller
    joints = np.zeros((*z.shape, 3))
    joints[valid, :2] = (pixels[valid] + 0.5) / smaller - 0.5
    joints[depth_valid, 2] = depth[depth_valid]
    return Track(
        frames=frames,
        joints=joints,
        valid=valid,
        depth_valid=depth_valid,
        layout=NTU25,
        boxes=joint_boxes(joints, valid),
        metres_per_pixel=root / focal if valid.any() else np.full(len(z), np.nan),
        action=clip.action,
        name=_name(clip),
        root_depth_mm=root * 1000,
        group=clip.performance,
    )


def _plausible(values: FloatArray, farthest: float) -> FloatArray:
    """NaN in the place of what is not finite, or farther from 0."""
    return np.where(np.abs(values) < farthest, values, np.nan)


def _name(clip: _Clip) -> str:
    return str(clip.path) if clip.keypoints is None else f"{clip.path}: {clip.id}"


def _track_2d(clip: _Clip, points: FloatArray, valid: BoolArray, layout: Layout, frames: Frames) -> Track:
    joints = np.zeros((*valid.shape, 3))
    joints[valid, :2] = points[valid]
    return Track(
        frames=frames,
        joints=joints,
        valid=valid,
        depth_valid=np.zeros_like(valid),
        layout=layout,
        boxes=joint_boxes(joints, valid),
        metres_per_pixel=None,
        action=clip.action,
        name=_name(clip),
        group=clip.performance,
    )


def _focal_px(space: FloatArray, pixels: FloatArray, known: BoolArray) -> float:
    """Focal length of the colour camera by the joints of a clip, in full-size pixels: see the module."""
    near = known & np.isfinite(space).all(-1)
    if near.sum() < 2:
        return FOCAL_PX
    rays = space[near, :2] / space[near, 2:]
    rays, seen = rays - rays.mean(0), pixels[near] - pixels[near].mean(0)
    # Camera-space y points up, and x to the left if the pictures were ever mirrored back.
    slope = float(np.abs((rays * seen).sum(0)).sum() / max((rays**2).sum(), 1e-12))
    return slope if abs(slope / FOCAL_PX - 1) < _FOCAL_TOLERANCE else FOCAL_PX


def _video(clip: _Clip, count: int) -> Frames:
    """The frames of the clip's video; a stand-in where there is none."""
    if clip.images is None:
        return MissingFrames(
            count, f"{clip.id}: expected {clip.id}_rgb.avi beside {clip.path.name}, found none; {SOURCE}"
        )
    from poseact.video import VideoFile

    return VideoFile(clip.images)


class _Lines:
    """The lines of a skeleton file, one after the other; raises `UserError` with the number of a bad one."""

    def __init__(self, path: Path) -> None:
        try:
            text = path.read_bytes().decode("ascii", "replace")
        except OSError as error:
            raise UserError(f"{path}: expected a skeleton, got {error.strerror}; check the path") from None
        if "#" in text:  # Microsoft's C library writes 1.#QNAN and -1.#INF
            text = re.sub(r"\S*#\S*", "nan", text)
        self.path, self.lines, self.at = path, text.rstrip().split("\n"), 0

    def numbers(self, count: int, what: str) -> list[float]:
        """The ``count`` numbers of the next line."""
        if self.at == len(self.lines):
            raise UserError(f"{self.path}: line {self.at}: the file ends before {what}; get it again")
        words = self.lines[self.at].split()
        self.at += 1
        try:
            if len(words) == count:
                return [float(word) for word in words]
        except ValueError:
            pass
        got = " ".join(words)[:60]
        raise UserError(
            f"{self.path}: line {self.at}: expected {what} ({count} numbers), got {got!r}; get it again"
        )

    def count(self, what: str) -> int:
        """The whole number of the next line."""
        (number,) = self.numbers(1, what)
        if not (number >= 0 and number.is_integer()):
            raise UserError(f"{self.path}: line {self.at}: expected {what}, got {number}; get it again")
        return int(number)

    def body_id(self) -> str:
        """The id of the body whose line is next: an integer too long for a float."""
        self.numbers(10, "a body: id, 9 numbers")
        return self.lines[self.at - 1].split()[0]


def _read_skeleton(path: Path) -> FloatArray:
    """The bodies of a file in the order in which they appear: (M, F, 25, 12), NaN where one is missing.

    12 values a joint: x y z (m), depth x y, colour x y (px), rotation w x y z, tracking state.
    """
    lines = _Lines(path)
    count = _frame_count(path, lines.lines[0].encode())
    lines.at = 1
    bodies: dict[str, dict[int, list[list[float]]]] = {}
    for frame in range(count):
        for _ in range(lines.count(f"the number of bodies of frame {frame + 1} of {count}")):
            body = bodies.setdefault(lines.body_id(), {})
            if lines.count("the number of joints, 25") != len(NTU25):
                raise UserError(
                    f"{path}: line {lines.at}: expected 25 joints, got another number; get it again"
                )
            body.setdefault(frame, [lines.numbers(12, "a joint") for _ in range(len(NTU25))])
    if lines.at != len(lines.lines):
        raise UserError(
            f"{path}: line {lines.at + 1}: expected the end after the {count} frames that line 1 announces, "
            "got more; get it again"
        )
    if not bodies:
        raise UserError(f"{path}: expected a body in one of {count} frames, found none; leave the clip out")
    values = np.full((len(bodies), count, len(NTU25), 12), np.nan)
    for m, body in enumerate(bodies.values()):
        for frame, joints in body.items():
            values[m, frame] = joints
    return values


def _rows(path: Path) -> npt.NDArray[Any]:
    """The rows of one of the authors' arrays, not yet read."""
    try:
        rows: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if rows.ndim != 2 or rows.shape[1] != 151 or rows.dtype.kind not in "iuf" or not len(rows):
            raise ValueError(f"{rows.dtype} {rows.shape}")
    except Exception as error:  # numpy raises many kinds on damaged headers
        got = " ".join(repr(error).split())[:80]
        raise UserError(f"{path}: expected an array of F x 151 numbers, got {got}; get it again") from None
    return rows


def _record(record: Any, name: str, path: Path, videos: dict[str, Path]) -> tuple[_Clip, Layout]:
    """A record of pyskl's pickle, checked, and the layout of its keypoints (M, F, J, C)."""

    def bad(expected: str, got: object) -> UserError:
        return UserError(
            f"{name}: expected {expected}, got {' '.join(str(got).split())[:60]}; it is left out"
        )

    clip = record.get("frame_dir") if isinstance(record, dict) else None
    if not isinstance(clip, str) or not _CLIP.fullmatch(clip):
        raise bad("a dict with a 'frame_dir' such as S001C001P001R001A001", repr(clip))
    label, keypoints, scores = (record.get(key) for key in ("label", "keypoint", "keypoint_score"))
    if not isinstance(label, int | np.integer) or label != int(clip[-3:]) - 1 or not 0 <= label < _NTU120:
        raise bad(f"the label of {clip}, counted from 0", repr(label))
    if not _is_numbers(keypoints, 4) or min(keypoints.shape) < 1:
        raise bad(f"keypoints M x T x V x C of {clip}", _kind(keypoints))
    layout = {(25, 3): NTU25, (17, 2): COCO17}.get(keypoints.shape[2:])
    if layout is None:
        raise bad(f"keypoints 25 x 3 or 17 x 2 of {clip}", keypoints.shape[2:])
    total = record.get("total_frames", keypoints.shape[1])
    if not isinstance(total, int | np.integer) or total != keypoints.shape[1]:
        raise bad(f"{keypoints.shape[1]} total_frames of {clip}, as of its keypoints", repr(total))
    if scores is not None and not (_is_numbers(scores, 3) and scores.shape == keypoints.shape[:3]):
        raise bad(f"a keypoint_score for each keypoint of {clip}", _kind(scores))
    return _Clip(clip, path, videos.get(clip), keypoints, scores), layout


def _is_numbers(value: Any, dimensions: int) -> TypeGuard[npt.NDArray[Any]]:
    return bool(isinstance(value, np.ndarray) and value.ndim == dimensions and value.dtype.kind in "iuf")


def _kind(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
