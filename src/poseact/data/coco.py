"""COCO keypoints: people in photographs with 17 joints, and one's own images annotated that way.

Lin et al., *Microsoft COCO: Common Objects in Context*, ECCV 2014, https://cocodataset.org. On
disk: ``annotations/*.json``, of which only ``person_keypoints_*.json`` count where there are any,
as the official archive also brings captions and instances; and the images in ``images/``, in a
folder named as the split, in that folder inside ``images/``, or in the root.

Splits are the names of the annotation files: ``train`` or ``train2017`` picks the one file whose
name contains it, ``all`` is all of them together.

- Keypoints (x, y, v) are 0-based pixels, so taken as they are. v = 0 is not annotated and masked;
  1 (occluded) and 2 (visible) are both annotated.
- A bbox (x, y, width, height) lies on the edges of pixels: (0, 0) is the outer corner of the first,
  whose centre is (0, 0) here. So the centre of the box is (x + width / 2 - 0.5, y + height / 2 - 0.5).
- Crowds, and people without annotated keypoints or without a bbox, are no samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poseact.data.images import ImageFiles, stays_inside
from poseact.errors import UserError
from poseact.geometry import Box
from poseact.skeleton import COCO17
from poseact.structures import Sample

SPLITS = ("all", "train", "val")
"""The usual names; any part of an annotation file's name picks it."""
PUBLISHED = {"train2017": 149813, "val2017": 6352}
"""People with a bbox and annotated keypoints, without crowds: what trainings on them count."""
MARGIN = 1.25
"""The box's side over the longer side of the bbox, which encloses the person tightly: the margin of
an eighth on each side that COCO's top-down methods give, and that MPII's boxes have."""

_PREFIX = "person_keypoints_"
_PROBED = 20


@dataclass(frozen=True)
class Person:
    """One annotated person: ``image``, the file name as annotated; ``subset``, the split it is of;
    ``keypoints`` (17, 3), x, y and v as annotated; ``box``; ``name``, for messages."""

    image: str
    subset: str
    keypoints: npt.NDArray[np.float64]
    box: Box
    name: str


class Coco:
    """The data set under ``root``: a sequence of `Sample` in the layout COCO17, without depth.

    ``split``: see the module. ``people``: what the samples are made of, in the files' order.
    ``damaged``: one message for each person or image left out because its annotation is damaged.
    Raises `UserError` where annotations are missing, cannot be read or hold nobody, where the split
    names no file or several, and where no image is found.
    """

    layout = COCO17

    def __init__(self, root: Path, split: str = "all") -> None:
        self.root, self.split = Path(root), split
        self.damaged: list[str] = []
        self.people: list[Person] = []
        paths = _annotation_files(self.root, split)
        for path in paths:
            for found in _read(path):
                if isinstance(found, Person):
                    self.people.append(found)
                else:
                    self.damaged.append(found)
        if not self.people:
            raise UserError(
                f"{paths[0]}: expected people with {len(COCO17)} keypoints and a bbox, found none "
                f"({self.damaged[0] if self.damaged else 'none is damaged'}); is it a keypoints file?"
            )
        self._probe()

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, i: int) -> Sample:
        """Person ``i``; the image is read when it is asked for. Raises `UserError` where it is missing."""
        person = self.people[i]
        path = self._image(person)
        if path is None:
            raise UserError(f"{person.name}: expected the image in {self._places(person)}, found none there")
        valid = person.keypoints[:, 2] > 0
        return Sample(
            frames=ImageFiles((path,)),
            joints=np.where(valid[:, None], person.keypoints * [1, 1, 0], 0.0),
            valid=valid,
            depth_valid=np.zeros(len(COCO17), np.bool_),
            layout=COCO17,
            box=person.box,
            metres_per_pixel=None,
            name=person.name,
        )

    def _folders(self, person: Person) -> list[Path]:
        names = dict.fromkeys([person.subset, self.split])
        images = self.root / "images"
        return [images, *(images / n for n in names), *(self.root / n for n in names), self.root]

    def _image(self, person: Person) -> Path | None:
        candidates = (folder / person.image for folder in self._folders(person))
        return next((path for path in candidates if _is_file(path)), None)

    def _places(self, person: Person) -> str:
        folders = [self.root / "images", self.root / person.subset]
        return f"{', '.join(str(folder) for folder in folders)} or {self.root}"

    def _probe(self) -> None:
        """Tell at once where images are not where they should be; single missing ones may be."""
        if not any(self._image(person) for person in self.people[:_PROBED]):
            person = self.people[0]
            raise UserError(
                f"{self.root}: expected the annotated images, such as {person.image!r:.80}, in "
                f"{self._places(person)}, found none there; put them there, or correct file_name in the "
                "annotations"
            )


def _annotation_files(root: Path, split: str) -> list[Path]:
    folder = root / "annotations"
    paths = sorted(folder.glob("*.json"))
    paths = [p for p in paths if p.name.startswith(_PREFIX)] or paths
    if not paths:
        raise UserError(
            f"{folder}: expected COCO keypoints in *.json, found none; put your annotation files there, or "
            "get COCO's from https://cocodataset.org; give the folder above with --root"
        )
    if split == "all":
        return paths
    exact = [p for p in paths if split in (p.stem, _subset(p))]
    named = exact or [p for p in paths if split and split in p.stem]
    if len(named) != 1:
        here = ", ".join(_subset(p) for p in paths)
        found = f"{len(named)} do" if named else "none does"
        raise UserError(
            f"{folder}: expected one *.json whose name contains the split {split!r}, {found}; "
            f"use all, or more of one of these names: {here}"
        )
    return named


def _subset(path: Path) -> str:
    """The split that an annotation file is of: its name without what all names begin with."""
    return path.stem.removeprefix(_PREFIX)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for a file
        return False


def _read(path: Path) -> Iterator[Person | str]:
    """The people of an annotation file, and a message for each record that is damaged."""
    try:
        content = json.loads(path.read_bytes())
    except Exception as error:  # not readable, not JSON, not text, nested too deep, an endless number
        raise UserError(f"{path}: expected JSON, got {error!r:.120}; get or write it again") from None
    images, people = (_list(content, key) for key in ("images", "annotations"))
    if images is None or people is None:
        keys = ", ".join(map(repr, content)) if isinstance(content, dict) else type(content).__name__
        raise UserError(
            f"{path}: expected COCO's keypoints, an object with the lists 'images' and 'annotations', "
            f"got {keys:.80}; only annotation files belong into annotations/"
        )
    names: dict[int | float | str, str] = {}
    for i, image in enumerate(images):
        number, name = (image.get("id"), image.get("file_name")) if isinstance(image, dict) else (None, None)
        if isinstance(number, int | float | str) and isinstance(name, str) and stays_inside(name):
            names[number] = name
        else:
            yield (
                f"{path}: images[{i}]: expected an id and a file_name inside the images' folder, "
                f"got {number!r:.40} and {name!r:.80}"
            )
    for i, annotation in enumerate(people):
        where = f"{path}: annotations[{i}]"
        try:
            person = _person(annotation, names, where, _subset(path))
        except ValueError as error:
            yield f"{where}: {error}"
        else:
            if person is not None:
                yield person


def _person(annotation: Any, names: dict[int | float | str, str], where: str, subset: str) -> Person | None:
    """The person; None where there is none to learn from. Raises ``ValueError`` on a damaged record."""
    if not isinstance(annotation, dict):
        raise ValueError(f"expected an object, got {type(annotation).__name__}")
    if annotation.get("iscrowd") or not annotation.get("keypoints") or not annotation.get("bbox"):
        return None
    keypoints = _numbers(annotation, "keypoints", 3 * len(COCO17)).reshape(len(COCO17), 3)
    x, y, width, height = _numbers(annotation, "bbox", 4).tolist()
    if not (keypoints[:, 2] > 0).any():
        return None
    number = annotation.get("image_id")
    if not isinstance(number, int | float | str) or number not in names:
        raise ValueError(f"expected the image_id of one of the images, got {number!r:.40}")
    if max(width, height) <= 0:
        raise ValueError(f"expected a bbox with a width or height > 0, got {width:g} x {height:g}")
    box = Box((x + width / 2 - 0.5, y + height / 2 - 0.5), MARGIN * max(width, height))
    return Person(names[number], subset, keypoints, box, f"{where} ({names[number]:.80})")


def _numbers(annotation: dict[str, Any], key: str, count: int) -> npt.NDArray[np.float64]:
    """The list ``key`` of ``count`` finite numbers; raises ``ValueError`` on anything else."""
    try:
        array = np.array(annotation[key], np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"expected {count} numbers in {key}, got something else") from None
    if array.shape != (count,) or not np.isfinite(array).all():
        found = f"shape {array.shape}" if array.shape != (count,) else "some that are not finite"
        raise ValueError(f"expected {count} finite numbers in {key}, got {found:.80}")
    return array


def _list(content: Any, key: str) -> list[Any] | None:
    found = content.get(key) if isinstance(content, dict) else None
    return found if isinstance(found, list) else None
