"""Write a tiny MPII Human Pose in the true on-disk form of its three distributions."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import scipy.io

OFFICIAL = "mpii_human_pose_v1_u12_1.mat"
EMPTY = np.zeros((0, 0))  # MATLAB's []
UPRIGHT = np.array(
    [[40, 120], [42, 95], [44, 70], [56, 70], [58, 95], [60, 120], [50, 70], [50, 32],
     [50, 24], [50, 8], [20, 70], [28, 50], [40, 30], [60, 30], [72, 50], [80, 70]], np.float64,
)  # fmt: skip
VISIBILITIES = (np.uint8(1), "1", "0", EMPTY, 0.0, np.int16(1))


@dataclass
class Person:
    """As the official file has it: 1-based pixels; NaN rows where a joint is not listed."""

    joints: np.ndarray
    scale: float | None
    objpos: tuple[float, float] | None
    head: tuple[float, float, float, float] | None
    annotated: bool = True  # has annopoints
    single: bool = True


@dataclass
class Picture:
    name: str
    train: bool
    validation: bool = False  # in the conversions' split of the training images
    people: list[Person] = field(default_factory=list)


def truth(seed: int = 0) -> list[Picture]:
    """Training images with two, one, one, no and unannotated people, and two test images."""
    rng = np.random.default_rng(seed)

    def person(**changes) -> Person:
        joints = np.round(UPRIGHT + rng.normal(0, 2, (16, 2)) + rng.uniform(0, 40, 2), 4)
        joints[rng.permutation(16)[: rng.integers(0, 5)]] = np.nan
        x, y, scale = *np.round(rng.uniform(40, 90, 2)), round(rng.uniform(0.4, 0.9), 6)
        values = {"joints": joints, "scale": scale, "objpos": (float(x), float(y))}
        values["head"] = tuple(
            np.round(rng.uniform(5, 20, 2)).tolist() + np.round(rng.uniform(30, 45, 2)).tolist()
        )
        return Person(**(values | changes))

    bare = {"annotated": False, "head": None}
    unplaced = {"scale": None, "objpos": None}
    return [
        Picture("000000001.jpg", True, False, [person(), person(single=False), person(**bare)]),
        Picture("000000002.jpg", True, True, [person()]),
        Picture("000000003.jpg", False, False, [person(**bare), person(**bare, **unplaced)]),
        Picture("000000004.jpg", True, False, []),
        Picture("000000005.jpg", True, False, [person(**bare)]),
        Picture("000000006.jpg", True, True, [person(**bare), person(single=False), person()]),
        Picture("000000007.jpg", False, False, [person(**bare, single=False)]),
        Picture("000000008.jpg", True, False, [person()]),
    ]


def training(pictures: list[Picture], validation: bool | None = None) -> list[tuple[Picture, int, Person]]:
    """The annotated people of training images: (picture, index from 1, person)."""
    return [
        (picture, i, person)
        for picture in pictures
        if picture.train and validation in (None, picture.validation)
        for i, person in enumerate(picture.people, 1)
        if person.annotated
    ]


def write_images(root: Path, pictures: list[Picture]) -> None:
    """Dark images with a bright square of 5 px, centred on the first person's right ankle."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        image = np.zeros((180, 140, 3), np.uint8)
        ankle = picture.people[0].joints[0] if picture.people else [np.nan]
        if np.isfinite(ankle).all():
            x, y = np.rint(ankle).astype(int) - 1
            image[y - 2 : y + 3, x - 2 : x + 3] = 255
        cv2.imwrite(str(root / "images" / picture.name), image)


def struct(elements: list[dict]) -> np.ndarray:
    """A MATLAB struct array 1 x K; a field that an element lacks is []."""
    fields = list(dict.fromkeys(name for element in elements for name in element))
    array = np.empty((1, len(elements)), [(name, object) for name in fields])
    for i, element in enumerate(elements):
        for name in fields:
            array[name][0, i] = element.get(name, EMPTY)
    return array


def cell(contents: list, shape: tuple[int, int]) -> np.ndarray:
    array = np.empty(len(contents), object)
    array[:] = contents
    return array.reshape(shape)


def points(joints: np.ndarray) -> np.ndarray:
    """Listed as in the official file: the trunk first; head and neck have no is_visible."""
    listed = []
    for order, joint in enumerate([6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15]):
        if np.isfinite(joints[joint]).all():
            x, y = joints[joint]
            point = {"x": x, "y": y, "id": joint}
            if joint not in (8, 9):
                point["is_visible"] = VISIBILITIES[order % len(VISIBILITIES)]
            listed.append(point)
    return struct(listed)


def rect(person: Person) -> dict:
    fields = {}
    if person.head is not None:
        fields |= dict(zip(("x1", "y1", "x2", "y2"), person.head, strict=True))
    if person.annotated:
        fields["annopoints"] = struct([{"point": points(person.joints)}])
    if person.scale is not None:
        fields["scale"] = person.scale
    if person.objpos is not None:
        fields["objpos"] = struct([dict(zip(("x", "y"), person.objpos, strict=True))])
    return fields


def release(pictures: list[Picture]) -> dict:
    """The fields of RELEASE."""
    images = []
    for p in pictures:
        rects = struct([rect(person) for person in p.people]) if p.people else EMPTY
        images.append(
            {"image": struct([{"name": p.name}]), "annorect": rects, "frame_sec": EMPTY, "vididx": EMPTY}
        )
    singles = []
    for p in pictures:
        indices = [i for i, person in enumerate(p.people, 1) if person.single]
        singles.append(np.array(indices, np.uint8)[:, None] if indices else EMPTY)
    return {
        "annolist": struct(images),
        "img_train": np.array([[p.train for p in pictures]], np.uint8),
        "version": "12",
        "single_person": cell(singles, (len(pictures), 1)),
        "act": struct([{"act_name": EMPTY, "cat_name": EMPTY, "act_id": -1} for _ in pictures]).T,
    }


def write_official(root: Path, pictures: list[Picture], file: str = OFFICIAL) -> Path:
    write_images(root, pictures)
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(root / file, {"RELEASE": struct([release(pictures)])})
    return root / file


def write_hrnet(root: Path, pictures: list[Picture], folder: str = "annot") -> Path:
    """train.json and valid.json; -1 for what the official file lacks."""
    write_images(root, pictures)
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, validation in (("train", False), ("valid", True)):
        records = []
        for picture, _, person in training(pictures, validation):
            known = np.isfinite(person.joints).all(1)
            record = {
                "joints_vis": known.astype(int).tolist(),
                "joints": np.where(known[:, None], person.joints, -1.0).tolist(),
                "image": picture.name,
                "scale": -1 if person.scale is None else person.scale,
                "center": [-1, -1] if person.objpos is None else list(person.objpos),
            }
            records.append(record)
        (root / folder / f"{name}.json").write_text(json.dumps(records))
    return root / folder / "valid.json"


def columns(pictures: list[Picture], validation: bool) -> np.ndarray:
    """Cells 3 x N: person indices from 1, file name, all people of the image."""
    chosen = [p for p in pictures if p.train and p.validation == validation and training([p])]
    cells = np.empty((3, len(chosen)), object)
    for i, picture in enumerate(chosen):
        indices = [k for k, person in enumerate(picture.people, 1) if person.annotated]
        cells[0, i], cells[1, i] = np.array(indices, np.float64)[:, None], picture.name
        people = [
            {
                "head": np.array([person.head]) if person.head else EMPTY,
                "objpos": np.array([person.objpos]) if person.objpos else EMPTY,
                "scale": EMPTY if person.scale is None else person.scale,
                "pose": person.joints.T if person.annotated else EMPTY,
            }
            for person in picture.people
        ]
        cells[2, i] = cell(people, (len(people), 1))
    return cells


def write_released(root: Path, pictures: list[Picture]) -> Path:
    write_images(root, pictures)
    cells = {"annot_tr": columns(pictures, False), "annot_val": columns(pictures, True)}
    scipy.io.savemat(root / "annotations.mat", cells)
    return root / "annotations.mat"
