"""Human3.6M: people in a studio, 32 joints in 3D, seen by four cameras at 50 frames a second.

Ionescu, Papava, Olaru and Sminchisescu, *Human3.6M*, TPAMI 2014; vision.imar.ro/human3.6m. Three
forms are read, the first that is there:

- as it unpacks: ``S1/MyPoseFeatures/D3_Positions_mono/Walking 1.54138969.cdf`` (mm, as the camera
  sees them), ``D2_Positions`` (px), ``S1/Videos/Walking 1.54138969.mp4``;
- ``data_3d_h36m.npz`` of VideoPose3D (metres in the world), beside the same videos. Its makers left
  all of S11's first Directions out;
- for the splits ``released-*``: ``annotations.mat`` of the network's authors (mm in the world, with
  cameras and with their choice of frames).

Frames come from the videos, or from ``images/a14_s01_e01_c01/00001.jpg`` ..., the authors' names.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from poseact.data.cdf import cdf_shape, load_cdf
from poseact.data.human36m_cameras import LENSES, camera
from poseact.data.images import ImageFiles
from poseact.data.matlab import read_mat
from poseact.data.restricted import load_npz
from poseact.errors import UserError
from poseact.geometry import REFERENCE_SIDE_M, Camera, FloatArray
from poseact.skeleton import H36M17_OF_32, H36M32
from poseact.structures import Frames, Track
from poseact.video import VideoFile

SUBJECTS = {"train": (1, 5, 6, 7, 8), "test": (9, 11), "all": (1, 5, 6, 7, 8, 9, 11)}
RELEASED = {
    "released-train": "sequences_tr",
    "released-val": "sequences_val",
    "released-test": "sequences_te",
}
SPLITS = (*SUBJECTS, *RELEASED)
PUBLISHED = {"train": 600, "test": 239, "all": 839}
"""Sequences times cameras: two trials of 15 actions by each subject, without the damaged one."""

# fmt: off
ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Posing", "Purchases", "Sitting",
    "SittingDown", "Smoking", "Photo", "Waiting", "Walking", "WalkDog", "WalkTogether",
)
"""The 15 scored actions; the authors number them from 2."""
# fmt: on
RENAMED = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}
"""What S1's files call two of them."""
DAMAGED = (11, "Directions", "", "54138969")
"""The one recording whose video is damaged: subject, action, trial (none) and camera."""

SCORED_JOINTS = {
    "usual": H36M17_OF_32,
    "released": (0, 12, 13, 15, 25, 17, 26, 18, 27, 19, 1, 6, 2, 7, 3, 8, 11),
}
"""Joints of the 32 that MPJPE is the mean of; in ``released``, PA17's order, 11 lies at the root."""
TEST_STEP = 64
"""One test frame in as many is scored, the first included; other sets of videos are scored alike."""

# The trials 1 and 2 of the authors' names: mostly "Walking 1" and "Walking", else as listed here.
# From the authors' list of videos (dluvizon/deephar, datasets/Human3.6M/vid2jpeg.txt).
# fmt: off
_TRIALS = {
    (1, "Eating"): ("2", ""), (1, "Sitting"): ("1", "2"), (1, "SittingDown"): ("2", ""),
    (5, "Directions"): ("1", "2"), (5, "Discussion"): ("2", "3"), (5, "Greeting"): ("1", "2"),
    (5, "SittingDown"): ("", "1"), (5, "Photo"): ("", "2"), (5, "Waiting"): ("1", "2"),
    (6, "Eating"): ("1", "2"), (6, "Posing"): ("2", ""), (6, "Sitting"): ("1", "2"),
    (6, "Photo"): ("", "1"), (6, "Waiting"): ("3", ""),
    (7, "Phoning"): ("2", ""), (7, "SittingDown"): ("", "1"), (7, "Photo"): ("", "1"),
    (7, "Waiting"): ("1", "2"), (7, "Walking"): ("1", "2"),
    (8, "SittingDown"): ("", "1"), (8, "WalkTogether"): ("1", "2"),
    (9, "Discussion"): ("1", "2"), (9, "SittingDown"): ("", "1"),
    (11, "Discussion"): ("1", "2"), (11, "Greeting"): ("2", ""), (11, "Phoning"): ("3", "2"),
    (11, "SittingDown"): ("", "1"), (11, "Smoking"): ("2", ""),
}
# fmt: on
_OFFICIAL = "S*/MyPoseFeatures/D3_Positions_mono/*.cdf"
_WORLD = "data_3d_h36m.npz"
_AUTHORS = ("annotations.mat", "h36m_annotations.mat")
_GET = "get Human3.6M from vision.imar.ro/human3.6m (free for research, after registration)"
_AUTHORS_NAME = re.compile(r"a(\d\d)_s(\d\d)_e(\d\d)_c(\d\d)", re.ASCII)
_DAMAGED_NAME = "a02_s11_e02_c01"


class Human36M:
    """The data set under ``root``: a sequence of `Track` in the layout H36M32, one a camera.

    ``split``: ``train``, ``test`` or ``all``, or the authors' ``released-train``, ``released-val``
    (the subjects of ``test``, one frame in 64) or ``released-test``. A track's depths are
    relative to the pelvis, and its boxes and ``metres_per_pixel`` follow the authors' rule (see
    `root_boxes`), so that z = 0.5 + depth / (2000 mm x scale of the augmentation).
    ``damaged``: messages on what is left out. Raises `UserError` where files are missing or
    damaged, and on an unknown split.
    """

    layout = H36M32
    actions = ACTIONS

    def __init__(self, root: Path, split: str = "train") -> None:
        self.root, self.damaged = Path(root), list[str]()
        if split not in SPLITS:
            raise UserError(f"human36m: unknown split {split!r}; expected one of {', '.join(SPLITS)}")
        if split in RELEASED:
            self._recordings = _authors_recordings(self.root, split, self.damaged)
        elif any(self.root.glob(_OFFICIAL)):
            self._recordings = _official_recordings(self.root, SUBJECTS[split], self.damaged)
        elif (self.root / _WORLD).is_file():
            self._recordings = _world_recordings(self.root, SUBJECTS[split], self.damaged)
        else:
            raise UserError(
                f"{self.root}: expected Human3.6M: {_OFFICIAL}, or {_WORLD} of VideoPose3D, or "
                f"{_AUTHORS[0]} of the authors for their splits ({', '.join(RELEASED)}); found none; {_GET}"
            )
        if not self._recordings:
            raise UserError(f"{self.root}: no recording of the split {split!r}; {_GET}")

    def __len__(self) -> int:
        return len(self._recordings)

    @functools.cached_property
    def lengths(self) -> Sequence[int]:
        """Frames of each track. One that cannot be read counts as 1, so that its turn comes."""
        return [recording.length() for recording in self._recordings]

    def __getitem__(self, i: int) -> Track:
        """Track ``i``; raises `UserError` where its files are missing or damaged."""
        return self._recordings[i].track()


class _Recording(Protocol):
    def length(self) -> int: ...
    def track(self) -> Track: ...


class _Sequence(NamedTuple):
    """What one camera saw: ``action`` by its official name, ``trial`` the number after it or none."""

    subject: int
    action: str
    trial: str
    camera: str

    def __str__(self) -> str:
        return f"S{self.subject}/{self.stem}"

    @property
    def stem(self) -> str:
        return f"{self.action} {self.trial}".rstrip() + f".{self.camera}"

    @property
    def place(self) -> tuple[int, int, int, str]:
        """What the recordings of every form are sorted by."""
        return self.subject, ACTIONS.index(self.action), int(self.trial or 0), self.camera

    @property
    def authors_name(self) -> str | None:
        """None for a trial that Human3.6M does not have."""
        trials = _TRIALS.get((self.subject, self.action), ("1", ""))
        if self.trial not in trials:
            return None
        action, trial = ACTIONS.index(self.action) + 2, trials.index(self.trial) + 1
        view = list(LENSES).index(self.camera) + 1
        return f"a{action:02}_s{self.subject:02}_e{trial:02}_c{view:02}"


def _parsed(subject: int, stem: str, number: str) -> _Sequence | None:
    """The sequence that ``Walking 1`` and the number of a camera name; None where they name none."""
    match = re.fullmatch(r"([A-Za-z]+)(?: (\d{1,2}))?", stem)
    if not match or number not in LENSES:
        return None
    action = RENAMED.get(match[1], match[1])
    return _Sequence(subject, action, match[2] or "", number) if action in ACTIONS else None


def _left_out(sequence: object) -> str:
    return f"{sequence}: its video is damaged in the official distribution; left out"


@dataclass(frozen=True)
class _Official:
    root: Path
    path: Path
    sequence: _Sequence

    def length(self) -> int:
        try:
            return _count(cdf_shape(self.path, "Pose"), self.path, 3)
        except UserError:
            return 1

    def track(self) -> Track:
        seen = _positions(self.path, 3)
        view = camera(self.sequence.subject, self.sequence.camera)
        flat = self.path.parents[1] / "D2_Positions" / self.path.name
        pixels = _positions(flat, 2) if flat.is_file() else _viewed(view, view.to_world(seen / 1000))[1]
        if len(pixels) != len(seen):
            raise UserError(f"{flat}: expected {len(seen)} frames as {self.path}, got {len(pixels)}; {_GET}")
        return _official_track(self.root, self.sequence, view, seen, pixels)


@dataclass(frozen=True, eq=False)
class _World:
    root: Path
    positions: npt.NDArray[Any]
    sequence: _Sequence

    def length(self) -> int:
        return len(self.positions)

    def track(self) -> Track:
        view = camera(self.sequence.subject, self.sequence.camera)
        seen, pixels = _viewed(view, self.positions)
        return _official_track(self.root, self.sequence, view, seen, pixels)


@dataclass(frozen=True, eq=False)
class _Released:
    """``numbers`` (F,) of the frames, from 1; ``sizes`` (F, 2) of the images; ``positions`` (F, 32, 3) mm."""

    folder: Path
    camera: Camera
    numbers: list[int]
    sizes: npt.NDArray[np.int64]
    positions: FloatArray

    def length(self) -> int:
        return len(self.numbers)

    def track(self) -> Track:
        seen, pixels = _viewed(self.camera, self.positions / 1000)
        return _track(
            frames=ImageFiles(tuple(self.folder / f"{n:05d}.jpg" for n in self.numbers)),
            view=self.camera,
            seen=seen,
            pixels=pixels,
            sizes=self.sizes,
            action=int(self.folder.name[1:3]) - 2,
            name=self.folder.name,
            group=self.folder.name.rsplit("_c", 1)[0],
        )


def _official_recordings(root: Path, subjects: tuple[int, ...], damaged: list[str]) -> list[_Recording]:
    found: list[_Official] = []
    for subject in subjects:
        folder = root / f"S{subject}" / "MyPoseFeatures" / "D3_Positions_mono"
        if not folder.is_dir():
            damaged.append(f"{folder}: not found; expected the poses of subject {subject}; {_GET}")
            continue
        for path in sorted(folder.glob("*.cdf")):
            stem, _, number = path.stem.rpartition(".")
            sequence = _parsed(subject, stem, number)
            if sequence is None:
                if not stem.startswith("_ALL"):  # warming up and calibration
                    damaged.append(f"{path}: expected an action and a camera in the name; left out")
            elif sequence == DAMAGED:
                damaged.append(_left_out(path))
            else:
                found.append(_Official(root, path, sequence))
    return [*sorted(found, key=lambda recording: recording.sequence.place)]


def _world_recordings(root: Path, subjects: tuple[int, ...], damaged: list[str]) -> list[_Recording]:
    path = root / _WORLD
    try:
        content = load_npz(path)["positions_3d"].item()
        actions = {subject: dict(content[f"S{subject}"]) for subject in subjects if f"S{subject}" in content}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}: expected 'positions_3d' by subject and action, got {error!r}; make it again with "
            "VideoPose3D's prepare_data_h36m.py"
        ) from None
    found: list[_World] = []
    for subject in subjects:
        if subject not in actions:
            damaged.append(f"{path}: no poses of S{subject}")
        for stem, positions in actions.get(subject, {}).items():
            sequences = [_parsed(subject, str(stem), number) for number in LENSES]
            if not _is_positions(positions):
                damaged.append(f"{path}: S{subject}/{stem!r}: expected F x 32 x 3 numbers; left out")
            elif None in sequences:
                damaged.append(f"{path}: S{subject}/{stem!r}: expected the name of an action; left out")
            else:
                found += [_World(root, positions, s) for s in sequences if s and s != DAMAGED]
                damaged += [_left_out(f"{path}: {s}") for s in sequences if s == DAMAGED]
        if subject == DAMAGED[0] and subject in actions and DAMAGED[1] not in actions[subject]:
            damaged.append(f"{path}: S{subject}/{DAMAGED[1]}: its makers left out all four cameras")
    return [*sorted(found, key=lambda recording: recording.sequence.place)]


def _is_positions(value: Any) -> bool:
    return (
        isinstance(value, np.ndarray)
        and value.dtype.kind == "f"
        and value.ndim == 3
        and value.shape[1:] == (32, 3)
        and len(value) > 0
    )


def _authors_recordings(root: Path, split: str, damaged: list[str]) -> list[_Recording]:
    path = next((root / name for name in _AUTHORS if (root / name).is_file()), None)
    if path is None:
        raise UserError(
            f"{root / _AUTHORS[0]}: not found; the split {split!r} is that of the authors' annotations: "
            "get h36m_annotations.mat from github.com/dluvizon/deephar (releases, v0.2)"
        )
    key = RELEASED[split]
    try:
        sequences = _records(read_mat(path.read_bytes(), key))
    except Exception as error:  # damaged bytes end in many kinds
        raise UserError(f"{path}: expected a .mat file with {key!r}, got {error!r}; get it again") from None
    found: list[_Released] = []
    for i, sequence in enumerate(sequences):
        try:
            recording, missing = _released(root, sequence)
        except Exception as error:  # the fields of a damaged record may be anything
            damaged.append(f"{path}: {key} {i + 1}: left out, as it is damaged: {error!r}")
            continue
        if missing:
            damaged.append(f"{path}: {recording.folder.name}: {missing} damaged frames left out")
        if recording.folder.name == _DAMAGED_NAME:
            damaged.append(_left_out(f"{path}: {_DAMAGED_NAME}"))
        elif recording.numbers:
            found.append(recording)
        else:
            damaged.append(f"{path}: {recording.folder.name}: no frames; left out")
    return [*found]


def _released(root: Path, sequence: Any) -> tuple[_Released, int]:
    """A sequence of the authors' file, and how many of its frames are damaged.

    Raises any kind of exception where it is damaged as a whole.
    """
    name = str(sequence["name"].item())
    match = _AUTHORS_NAME.fullmatch(name)
    if not match or not 2 <= int(match[1]) < 2 + len(ACTIONS) or not 1 <= int(match[4]) <= len(LENSES):
        raise ValueError(f"the name {name!r}")
    frames = [_frame(frame) for frame in _records(sequence["frames"])]
    kept = [frame for frame in frames if frame is not None]
    recording = _Released(
        folder=root / "images" / name,
        camera=_authors_camera(_records(sequence["camera_parameters"])[0]),
        numbers=[number for number, _, _ in kept],
        sizes=np.array([size for _, size, _ in kept]),
        positions=np.array([position for _, _, position in kept]),
    )
    return recording, len(frames) - len(kept)


def _records(value: npt.NDArray[Any]) -> list[Any]:
    """The structs of a struct array, or of a cell array of them."""
    if value.dtype.names is not None:
        return list(value.ravel())
    return [record for cell in value.ravel() for record in cell.ravel()]


def _frame(frame: Any) -> tuple[int, tuple[int, int], FloatArray] | None:
    """Number, size and positions (32, 3) of a frame; None where it is damaged."""
    try:
        number, width, height = (float(frame[name].item()) for name in "fwh")
        positions = np.asarray(frame["pose3d"], np.float64).T
    except (AttributeError, TypeError, ValueError):
        return None
    if not positions.size:  # test sequences may come without
        positions = np.full((32, 3), np.nan)
    if positions.shape != (32, 3) or not all(1 <= n < 10**5 and n % 1 == 0 for n in (number, width, height)):
        return None
    return int(number), (int(width), int(height)), positions


def _authors_camera(parameters: Any) -> Camera:
    rotation = _numbers(parameters["R"], (3, 3))
    focal = _numbers(parameters["f"], (2,))
    orthonormal = np.abs(rotation).max() < 2 and np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3)
    if not orthonormal or focal.min() <= 0:
        raise ValueError("a camera that is none")
    return Camera(
        rotation=rotation,
        position=_numbers(parameters["T"], (3,)) / 1000,
        focal=focal,
        centre=_numbers(parameters["c"], (2,)),
        radial=_numbers(parameters["k"], (3,)),
        tangential=_numbers(parameters["p"], (2,)),
    )


def _numbers(value: Any, shape: tuple[int, ...]) -> FloatArray:
    array = np.asarray(value, np.float64)
    if array.size != np.prod(shape) or not np.isfinite(array).all():
        raise ValueError(f"expected {shape} finite numbers, got {array.shape}")
    return array.reshape(shape)


def _count(shape: tuple[int, ...], path: Path, dimensions: int) -> int:
    """Frames in a variable of records x frames x (32 x dimensions)."""
    if len(shape) < 2 or shape[-1] != 32 * dimensions or 0 in shape:
        raise UserError(f"{path}: expected 'Pose' 1 x F x {32 * dimensions}, got {shape}; {_GET}")
    return math.prod(shape[:-1])


def _positions(path: Path, dimensions: int) -> FloatArray:
    """(F, 32, dimensions) of a file of poses."""
    pose = load_cdf(path, "Pose")
    return pose.reshape(_count(pose.shape, path, dimensions), 32, dimensions).astype(np.float64)


def _viewed(view: Camera, world: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points of the world (..., 3) in metres as the camera sees them: in its mm, and in pixels."""
    with np.errstate(all="ignore"):  # missing joints, and any in the plane of the camera
        world = world.astype(np.float64)
        return 1000 * view.to_camera(world), view.project(world)


def _official_track(
    root: Path, sequence: _Sequence, view: Camera, seen: FloatArray, pixels: FloatArray
) -> Track:
    return _track(
        frames=_frames(root, sequence, len(seen)),
        view=view,
        seen=seen,
        pixels=pixels,
        sizes=np.array(LENSES[sequence.camera].size),
        action=ACTIONS.index(sequence.action),
        name=str(sequence),
        group=f"S{sequence.subject} {sequence.action} {sequence.trial}",
    )


def _frames(root: Path, sequence: _Sequence, count: int) -> Frames:
    """The video, or its frames as images where they are all there, or where there is no video."""
    names = [sequence.stem]
    names += [sequence.stem.replace(new, old) for old, new in RENAMED.items() if new == sequence.action]
    videos = [root / f"S{sequence.subject}" / "Videos" / f"{name}.mp4" for name in names]
    video = next((path for path in videos if path.is_file()), None)
    folder = root / "images" / (sequence.authors_name or sequence.stem)
    # The authors keep one frame in 5, or in 64: with a second frame, all were kept.
    if folder.is_dir() and (video is None or (folder / "00002.jpg").is_file()):
        return ImageFiles(tuple(folder / f"{i + 1:05d}.jpg" for i in range(count)))
    if video is None:
        raise UserError(f"{videos[0]}: not found, nor {folder} with its frames as 00001.jpg ...; {_GET}")
    return VideoFile(video)


def _track(
    *,
    frames: Frames,
    view: Camera,
    seen: FloatArray,
    pixels: FloatArray,
    sizes: npt.NDArray[np.int64],
    action: int,
    name: str,
    group: str,
) -> Track:
    """A track from joints in the camera's mm, ``seen`` (F, 32, 3), and in ``pixels`` (F, 32, 2).

    ``sizes`` (2,) or (F, 2) of the images.
    """
    valid = np.isfinite(pixels).all(-1) & np.isfinite(seen).all(-1) & (seen[..., 2] > 0)
    depth = np.where(valid[:, 0], seen[:, 0, 2], np.nan)
    depth_valid = valid & valid[:, :1]
    relative = np.where(depth_valid, seen[..., 2] - depth[:, None], 0)
    boxes = root_boxes(np.where(valid[:, :1], pixels[:, 0], np.nan), depth, view.focal, sizes)
    return Track(
        frames=frames,
        joints=np.concatenate([np.where(valid[..., None], pixels, 0), relative[..., None]], -1),
        valid=valid,
        depth_valid=depth_valid,
        layout=H36M32,
        boxes=boxes,
        # A side of the authors' rule stands for 2.25 m, which it is within a third of a percent:
        # the focal length cancels, and the images are 1000 or 1002 px high. So z is exactly theirs.
        metres_per_pixel=REFERENCE_SIDE_M / boxes[:, 2],
        action=action,
        name=name,
        camera=view,
        root_depth_mm=depth,
        group=group,
    )


def root_boxes(
    roots: FloatArray, root_depth_mm: FloatArray, focal: FloatArray, sizes: npt.NDArray[np.int64]
) -> FloatArray:
    """Square boxes (F, 3) by the authors' rule (PAPER: Boxes), before augmentation.

    The centre is the root, ``roots`` (F, 2) in pixels; the side is 2.25 x max(w fx, h fy) / depth
    in mm. ``focal`` (2,), ``sizes`` (w, h) of the images, (2,) or (F, 2). NaN stays NaN.
    """
    with np.errstate(over="ignore"):
        return np.column_stack([roots, REFERENCE_SIDE_M * (sizes * focal).max(-1) / root_depth_mm])
