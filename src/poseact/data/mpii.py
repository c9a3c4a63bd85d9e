"""MPII Human Pose: photographs of everyday activities with 16 joints.

Andriluka, Pishchulin, Gehler and Schiele, *2D Human Pose Estimation: New Benchmark and State of
the Art Analysis*, CVPR 2014, http://human-pose.mpi-inf.mpg.de. Images lie in ``images/``. Three
forms of the annotations are read, and all give the same people:

- official, ``mpii_human_pose_v1_u12_1.mat``, in the root or in the folder of its archive. Splits
  ``train`` (people with joints in training images), ``test`` (people of test images with scale and
  position: no joints, all masked), ``all`` (both, in the file's order), and ``train-single`` and
  ``test-single``: of these the sufficiently separated ones, the list ``single_person``.
- HRNet's and mmpose's JSON, ``annot/train.json`` and ``annot/valid.json`` or the like. Splits
  ``hrnet-train`` and ``hrnet-val``. It has no head boxes, so no head size; joints whose
  ``joints_vis`` is 0 are masked, as its users do.
- the authors' ``annotations.mat``, of the network's release. Splits ``released-train`` and
  ``released-val``. NaN marks a joint that is not annotated.

``val`` means the validation people of a converted form, the authors' first, because PCKh needs
their head boxes; the official distribution has none.

All three count pixels from 1: the conversions copy the official numbers, though some readers of
theirs take the 1 off nowhere or at the centre only. Here it is taken off everywhere.
``is_visible`` is not read: it tells occluded joints, whose places are annotated and scored as well.
The box is the authors': centre at objpos + (0, 15 scale), side 250 scale.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poseact.data.images import ImageFiles, stays_inside
from poseact.data.matlab import read_mat
from poseact.errors import UserError
from poseact.geometry import Box, FloatArray
from poseact.skeleton import MPII16
from poseact.structures import BoolArray, Sample

_OFFICIAL = (
    "mpii_human_pose_v1_u12_1.mat",
    "mpii_human_pose_v1_u12_2/mpii_human_pose_v1_u12_1.mat",
)
_RELEASED = ("annotations.mat", "mpii_annotations.mat")
FILES = {
    "train": _OFFICIAL,
    "test": _OFFICIAL,
    "all": _OFFICIAL,
    "train-single": _OFFICIAL,
    "test-single": _OFFICIAL,
    "released-train": _RELEASED,
    "released-val": _RELEASED,
    "hrnet-train": ("annot/train.json", "train.json", "annotations/mpii_train.json", "mpii_train.json"),
    "hrnet-val": ("annot/valid.json", "valid.json", "annotations/mpii_val.json", "mpii_val.json"),
}
"""Where the annotations of each split may lie; the first that is there is read."""
VALIDATION = ("released-val", "hrnet-val")
"""What ``val`` stands for: the first that is there."""
SPLITS = (*FILES, "val")
PUBLISHED = {"hrnet-train": 22246, "hrnet-val": 2958}
"""People of the split by Tompson et al., CVPR 2015, as these files hold it."""

_SOURCE = {
    _OFFICIAL: "download the annotations from http://human-pose.mpi-inf.mpg.de",
    _RELEASED: "get mpii_annotations.mat of release v0.1 of github.com/dluvizon/deephar",
    FILES["hrnet-train"]: "get the MPII annotations that github.com/leoxiaobin/"
    "deep-high-resolution-net.pytorch names",
}
_SOURCE[FILES["hrnet-val"]] = _SOURCE[FILES["hrnet-train"]]

SIDE_PX = 250.0
"""Side of the box at scale 1: a person of 200 px, with a margin of a quarter."""
LOWERED_PX = 15.0
"""By how much the box lies below objpos at scale 1."""
HEAD_SHARE = 0.6
"""MPII's head size as a share of the diagonal of the head box."""

_FIELDS = frozenset({
    "annolist", "image", "name", "annorect", "x1", "y1", "x2", "y2", "scale", "objpos", "x", "y",
    "annopoints", "point", "id", "img_train", "single_person", "head", "pose",
})  # fmt: skip
"""What is read of the structs; the rest, such as is_visible, is most of the file."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Person:
    """One annotated person, in 0-based pixels.

    - ``image``: file name inside images/; ``name``: for messages.
    - ``joints`` (16, 2), 0 where not ``valid`` (16,); ``box``; ``head_px`` where a head box is known.
    - ``place``: indices of image and person from 1, as MPII's submissions count them, and
      ``single``: sufficiently separated from others; None where the form does not tell.
    """

    image: str
    name: str
    joints: FloatArray
    valid: BoolArray
    box: Box
    head_px: float | None
    place: tuple[int, int] | None = None
    single: bool | None = None


class Mpii:
    """The data set under ``root``: a sequence of `Sample` in the layout MPII16, without depth.

    ``split``: see the module, and `SPLITS`. ``people``: what the samples are made of.
    ``damaged``: one message for each person, or image, left out because its annotation is damaged;
    that includes people with joints but without the scale or position that make the box.
    Raises `UserError` where the annotations or images/ are missing, on annotations that cannot be
    read or hold nobody, and on an unknown split.
    """

    layout = MPII16

    def __init__(self, root: Path, split: str = "train") -> None:
        self.root = Path(root)
        self.path, self.split = _find(self.root, split)
        if not (self.root / "images").is_dir():
            raise UserError(
                f"{self.root / 'images'}: not found; expected the photographs of MPII Human Pose; "
                "download them from http://human-pose.mpi-inf.mpg.de and unpack them there"
            )
        found = list(_read(self.path, self.split))
        self.people = [person for person in found if isinstance(person, Person)]
        self.damaged = [message for message in found if isinstance(message, str)]
        if not self.people:
            raise UserError(
                f"{self.path}: expected people of the split {self.split!r}, found none "
                f"({self.damaged[0] if self.damaged else 'and no damaged ones'}); get the file again"
            )

    def __len__(self) -> int:
        return len(self.people)

    @property
    def places(self) -> list[tuple[int, int]]:
        """For each sample the indices of image and person from 1; empty for the converted forms."""
        return [person.place for person in self.people if person.place is not None]

    def __getitem__(self, i: int) -> Sample:
        """Person ``i`` of the split; the image is read when it is asked for."""
        person = self.people[i]
        return Sample(
            frames=ImageFiles((self.root / "images" / person.image,)),
            joints=np.column_stack([person.joints, np.zeros(len(MPII16))]),
            valid=person.valid,
            depth_valid=np.zeros(len(MPII16), np.bool_),
            layout=MPII16,
            box=person.box,
            metres_per_pixel=None,
            name=person.name,
            head_px=person.head_px,
        )


@dataclass(frozen=True)
class WithheldImage:
    """A test image of the official file: ``index`` in its list from 1, file ``name``, how many ``people`` it
    lists, and which of them (from 1) are sufficiently separated.
    """

    index: int
    name: str
    people: int
    single: tuple[int, ...]


def withheld(path: Path) -> list[WithheldImage]:
    """All images whose joints MPII's makers withhold, in the order of the official file ``path``."""
    listed = enumerate(_official_images(path, "test-single"), 1)
    return [
        WithheldImage(
            index, _text(name) or "", len(_column(rects, "scale")), tuple(int(r) for r in singles or ())
        )
        for index, (name, rects, trained, singles) in listed
        if trained != 1
    ]


def _find(root: Path, split: str) -> tuple[Path, str]:
    """The file that holds ``split``, and the name of the split after resolving ``val``."""
    if split not in SPLITS:
        raise UserError(f"mpii: unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    wanted = VALIDATION if split == "val" else (split,)
    for name in wanted:
        for file in FILES[name]:
            if (root / file).is_file():
                return root / file, name
    files = " or ".join(FILES[name][0] for name in wanted)
    remedy = ", or ".join(dict.fromkeys(_SOURCE[FILES[name]] for name in wanted))
    here = [name for name, files in FILES.items() if any((root / file).is_file() for file in files)]
    none = " (the official annotations have no validation people)" if split == "val" else ""
    raise UserError(
        f"{root}: expected {files} for the split {split!r}, not found{none}; {remedy}"
        + (f"; the splits found here are {', '.join(here)}" if here else "; give the folder with --root")
    )


def _read(path: Path, split: str) -> Iterator[Person | str]:
    """The people of a split, and a message for each that cannot be read."""
    if split.startswith("hrnet"):
        return _hrnet(path)
    return _released(path, split) if split.startswith("released") else _official(path, split)


def _person(
    where: str,
    image: str | None,
    objpos: tuple[float, float],
    scale: float,
    joints: Numbers,
    head: tuple[float, ...] | None,
    place: tuple[int, int] | None = None,
    single: bool | None = None,
) -> Person | str:
    """The person with these 1-based numbers, or a message where there is no image or no box.

    ``joints`` (16, 2), NaN where not annotated; ``head``: x1 y1 x2 y2, NaN or None where unknown.
    """
    if image is None or not stays_inside(image):
        return f"{where}: expected the name of a file in images/, got {image!r:.80}"
    name = f"{where} ({image:.80})"
    x, y, side = objpos[0] - 1, objpos[1] - 1 + LOWERED_PX * scale, SIDE_PX * scale
    if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(side) and side > 0):
        return f"{name}: expected a scale > 0 and an objpos, got {scale:g} and ({objpos[0]:g}, {objpos[1]:g})"
    valid = np.asarray(np.isfinite(joints).all(1))
    return Person(
        image=image,
        name=name,
        joints=np.where(valid[:, None], joints - 1, 0.0),
        valid=valid,
        box=Box((x, y), side),
        head_px=None if head is None else _head_px(head),
        place=place,
        single=single,
    )


def _head_px(head: tuple[float, ...]) -> float | None:
    """MPII's head size: the rule of `evaluation.metrics.head_size_px`, which data may not import."""
    size = HEAD_SHARE * math.hypot(head[2] - head[0], head[3] - head[1])
    return size if math.isfinite(size) and size > 0 else None


def _official(path: Path, split: str) -> Iterator[Person | str]:
    for i, (name, people, trained, singles) in enumerate(_official_images(path, split), 1):
        if split == "all" or split.startswith("train" if trained == 1 else "test"):
            where = f"{path}: image {i}"
            yield from _official_image(
                where, _text(name), people, trained == 1, i, singles, split.endswith("-single")
            )


def _official_images(path: Path, split: str) -> Iterator[tuple[Any, Any, float, list[float] | None]]:
    """Of all images of the file, name, annorect, whether they are for training (1), and single_person, which
    is None where the file does not tell and ``split`` does not need it.
    """
    release = _variable(path, "RELEASE")
    images = _first(release, "annolist")
    names, rects = _column(images, "image"), _column(images, "annorect")
    training = _numbers(_first(release, "img_train"))
    separated = _cells(_first(release, "single_person"))
    if not (names and rects and len(training) == len(names)):
        raise UserError(
            f"{path}: expected RELEASE with annolist and an img_train for each of its images, got "
            f"{len(names)} images and {len(training)} img_train; get it again"
        )
    if split.endswith("-single") and len(separated) != len(names):
        raise UserError(
            f"{path}: expected a single_person for each of {len(names)} images, got {len(separated)}; "
            f"get it again, or use the split {split.removesuffix('-single')!r}"
        )
    lists_singles = len(separated) == len(names)
    for i, (name, people, trained) in enumerate(zip(names, rects, training, strict=True)):
        yield _first(name, "name"), people, trained, _numbers(separated[i]) if lists_singles else None


def _official_image(
    where: str,
    image: str | None,
    rects: Any,
    training: bool,
    index: int,
    singles: list[float] | None,
    only_single: bool,
) -> Iterator[Person | str]:
    """The people of one image; those of training images that have no joints are no samples."""
    fields = ("scale", "objpos", "annopoints", "x1", "y1", "x2", "y2")
    columns = [_column(rects, field) for field in fields]
    if not columns[0] and np.size(rects):
        yield f"{where}: expected people in annorect, got {type(rects).__name__}"
    for r, (scale, objpos, points, *head) in enumerate(zip(*columns, strict=True), 1):
        single = None if singles is None else r in singles
        if only_single and not single:
            continue
        joints = _joints(_first(points, "point")) if training else np.full((len(MPII16), 2), np.nan)
        if joints is None:
            yield f"{where}, person {r}: expected joint ids from 0 to {len(MPII16) - 1}, got others"
            continue
        centre = (_number(_first(objpos, "x")), _number(_first(objpos, "y")))
        size = _number(scale)
        if training and not np.isfinite(joints).all(1).any():
            continue
        if not training and not math.isfinite(size + sum(centre)):
            continue
        corners = tuple(_number(value) for value in head)
        yield _person(f"{where}, person {r}", image, centre, size, joints, corners, (index, r), single)


def _joints(points: Any) -> Numbers | None:
    """Joints (16, 2) of annopoints.point, NaN where not annotated; None where an id is not a joint's."""
    joints = np.full((len(MPII16), 2), np.nan)
    for joint, x, y in zip(*(_column(points, field) for field in ("id", "x", "y")), strict=True):
        number = _number(joint)
        if number not in range(len(MPII16)):
            return None
        joints[int(number)] = _number(x), _number(y)
    return joints


def _released(path: Path, split: str) -> Iterator[Person | str]:
    """Rows of a cell array, a column for each image: person indices from 1, file name, people."""
    variable = "annot_tr" if split == "released-train" else "annot_val"
    cells = _variable(path, variable)
    if cells.dtype != np.object_ or cells.ndim != 2 or len(cells) != 3:
        found = f"{cells.dtype} {cells.shape}"
        raise UserError(f"{path}: expected {variable}, cells 3 x N, got {found:.80}; get it again")
    for i, (rects, image, entries) in enumerate(cells.T, 1):
        people = _cells(entries)
        for rect in _numbers(rects):
            where = f"{path}: {variable} image {i}, person {rect:g}"
            if rect not in range(1, len(people) + 1):
                yield f"{where}: expected an index from 1 to {len(people)}"
                continue
            yield _released_person(where, _text(image), people[int(rect) - 1])


def _released_person(where: str, image: str | None, person: Any) -> Person | str:
    pose = np.asarray(_first(person, "pose"))
    objpos, head = _numbers(_first(person, "objpos")), _numbers(_first(person, "head"))
    if pose.shape != (2, len(MPII16)) or pose.dtype.kind not in "fiu" or len(objpos) not in (0, 2):
        return f"{where}: expected pose 2 x {len(MPII16)} and objpos 2, got {pose.shape} and {len(objpos)}"
    centre = (objpos[0], objpos[1]) if objpos else (math.nan, math.nan)
    corners = tuple(head) if len(head) == 4 else None
    scale = _number(_first(person, "scale"))
    return _person(where, image, centre, scale, pose.T.astype(np.float64), corners)


def _hrnet(path: Path) -> Iterator[Person | str]:
    try:
        records = json.loads(path.read_bytes())
    except Exception as error:  # not JSON, not text, nested too deep, an endless number
        raise UserError(f"{path}: expected JSON, got {error!r:.120}; get it again") from None
    if not isinstance(records, list):
        raise UserError(f"{path}: expected a list of people, got {type(records).__name__}; get it again")
    for i, record in enumerate(records, 1):
        where = f"{path}: person {i}"
        try:
            image, scale = record["image"], float(record["scale"])
            x, y = _array(record["center"], 2)
            joints = _array(record["joints"], len(MPII16), 2)
            known = _array(record["joints_vis"], len(MPII16))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            yield (
                f"{where}: expected image, center, scale, joints {len(MPII16)} x 2 and joints_vis, "
                f"got {error!r:.120}"
            )
            continue
        joints[~(known > 0)] = np.nan
        # The converter writes -1 for a centre that the official file lacks.
        centre = (math.nan, math.nan) if x == -1 and y == -1 else (float(x), float(y))
        yield _person(where, image if isinstance(image, str) else None, centre, scale, joints, None)


def _array(value: Any, *shape: int) -> Numbers:
    array = np.array(value, np.float64)
    if array.shape != shape:
        raise ValueError(f"an array {array.shape}")
    return array


def _variable(path: Path, name: str) -> npt.NDArray[Any]:
    try:
        return read_mat(path.read_bytes(), name, _FIELDS)
    except Exception as error:  # damage shows in many ways
        found = f"{error!r:.120}"
        raise UserError(f"{path}: expected a .mat file with {name}, got {found}; get it again") from None


def _column(value: Any, field: str) -> list[Any]:
    """A field of each element of a struct array: None where it lacks the field; [] of anything else.

    One element and many differ in nothing, whatever the shape in the file.
    """
    if not isinstance(value, np.ndarray) or value.dtype.names is None:
        return []
    return list(value[field].reshape(-1)) if field in value.dtype.names else [None] * value.size


def _first(value: Any, field: str) -> Any:
    """A field of a single struct; None where there is none."""
    return next(iter(_column(value, field)), None)


def _cells(value: Any) -> list[Any]:
    """The contents of a cell array, or the elements of a struct array."""
    if not isinstance(value, np.ndarray) or (value.dtype != np.object_ and value.dtype.names is None):
        return []
    flat = value.reshape(-1)
    return list(flat) if value.dtype == np.object_ else [flat[i : i + 1] for i in range(len(flat))]


def _number(value: Any) -> float:
    """A scalar, however it is wrapped; NaN where it is missing, empty or no number."""
    try:
        return float(np.asarray(value).item())
    except (TypeError, ValueError):
        return math.nan


def _numbers(value: Any) -> list[float]:
    """The numbers of an array of any shape; none of anything else."""
    array = np.asarray(value)
    return array.reshape(-1).astype(np.float64).tolist() if array.dtype.kind in "fiub" else []


def _text(value: Any) -> str | None:
    array = np.asarray(value)
    return str(array.item()) if array.dtype.kind == "U" and array.size == 1 else None
