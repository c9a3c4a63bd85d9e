"""MPII Human Pose's official form: ``images/*.jpg`` and ``mpii_human_pose_v1_u12_1.mat``.

Andriluka et al., CVPR 2014; the fields are those that `data.mpii` documents. One person a picture.
One picture in six is of the test: scale and position, no joints. One more is for validation, which
the official file does not have: it stands in ``annotations.mat``, the form of the network's authors,
beside it. Pixels count from 1; joints outside the picture are not listed, ``is_visible`` is 0 where
one is hidden, and neck and head have none.

``scale`` is the height of the standing person / 200 px at the pelvis's depth, and ``objpos`` so that the box
which the reader makes of both is centred on the joints. The head box encloses head and face. ``act``
has our name of the action. ``truth/`` holds the exact labels as `clips` has them, of the test too.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from poseact.data.images import write_whole
from poseact.data.mpii import LOWERED_PX
from poseact.data.synthetic.formats.mat import EMPTY, cells, mat_bytes, structs
from poseact.data.synthetic.formats.staging import (
    BoolArray,
    Order,
    Take,
    Task,
    filmed,
    generator,
    inside,
    performed,
    pictures,
    random_somebody,
    roles,
    taker,
    truth,
    write_jpeg,
    write_json,
)
from poseact.data.synthetic.placing import standing_height
from poseact.data.synthetic.videos import Film
from poseact.skeleton import FIGURE36, MPII16, mapping

OFFICIAL, RELEASED = "mpii_human_pose_v1_u12_1.mat", "annotations.mat"
PARTS = ("train", "train", "val", "train", "test", "train")
"""What the pictures are for, in turn; those of ``val`` are among the official training pictures."""
REFERENCE_PX = 200.0
"""Height of a person of scale 1."""
_FIGURE = mapping(FIGURE36, MPII16)
_UNMARKED = tuple(MPII16.index(joint) for joint in ("neck", "head"))
_HEAD = [
    FIGURE36.index(j) for j in ("neck", "head", "nose", "left_ear", "right_ear", "left_eye", "right_eye")
]
_HEAD_MARGIN = 0.12
"""Of the head box, in lengths of the head."""


def tasks(order: Order) -> list[Task]:
    """A task for each picture, and one for the annotations of all."""
    cast = roles(order, None)
    take, made, records = taker(order), [], []
    for number in range(order.count):
        turn_no, place = divmod(number, len(cast))
        name = f"{number + 1:09d}"
        files = (order.root / "images" / f"{name}.jpg", order.root / "truth" / f"{name}.json")
        part = PARTS[(place + turn_no) % len(PARTS)]
        records.append(files[1])
        made.append(Task(files, partial(_write, order, files, number, take(cast[place], part), part)))
    annotations = (order.root / RELEASED, order.root / OFFICIAL)
    return [*made, Task(annotations, partial(_annotate, annotations, records))]


def _write(order: Order, files: tuple[Path, Path], number: int, take: Take, part: str) -> None:
    rng = generator(order, number)
    motion = performed(order, rng, take)
    film = filmed(order, rng, motion, random_somebody(rng, motion))
    occluded: list[BoolArray] = []
    (image,) = pictures(film, occluded)
    write_jpeg(files[0], image)
    record = {"name": files[0].name, "part": part, **_person(film, occluded[0])}
    write_json(files[1], {**truth(film, occluded, order, number), "mpii": record})


def _person(film: Film, occluded: BoolArray) -> dict[str, Any]:
    """The numbers of the official file, 1-based; ``joints`` and the others have 16 rows."""
    camera, joints = film.scene.camera(0), film.joints[0]
    pixels = camera.project(joints)
    depth, focal = camera.to_camera(joints)[:, 2], camera.focal.mean()
    lengths = film.person.lengths
    tall = standing_height(lengths) + sum(lengths[bone] for bone in ("lumbar", "chest", "neck", "skull"))
    scale = float(tall * focal / depth[FIGURE36.index("pelvis")] / REFERENCE_PX)
    low, high = pixels.min(0), pixels.max(0)
    x, y = (low + high) / 2
    spread = _HEAD_MARGIN * lengths["skull"] * focal / depth[FIGURE36.index("head")]
    head = pixels[_HEAD]
    return {
        "act": film.action,
        "scale": scale,
        "objpos": [round(x + 1), round(y + 1 - LOWERED_PX * scale)],
        "head": np.round([*(head.min(0) - spread + 1), *(head.max(0) + spread + 1)]).tolist(),
        "joints": (pixels[_FIGURE] + 1).tolist(),
        "listed": inside(pixels, film.scene.size)[_FIGURE].tolist(),
        "visible": (~occluded[_FIGURE]).tolist(),
    }


def _annotate(files: tuple[Path, Path], truths: list[Path]) -> None:
    people = [json.loads(path.read_bytes())["mpii"] for path in truths]
    released = {"annot_tr": _columns(people, "train"), "annot_val": _columns(people, "val")}
    write_whole(files[0], mat_bytes(released))
    write_whole(files[1], mat_bytes({"RELEASE": structs([_release(people)])}))


def _release(people: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of RELEASE."""
    images = [
        {
            "image": structs([{"name": person["name"]}]),
            "annorect": structs([_rect(person)]),
            "frame_sec": EMPTY,
            "vididx": EMPTY,
        }
        for person in people
    ]
    names = sorted({person["act"] for person in people})
    acts = [
        {"act_name": p["act"], "cat_name": "synthetic", "act_id": float(names.index(p["act"]) + 1)}
        if _trained(p)
        else {"act_name": EMPTY, "cat_name": EMPTY, "act_id": -1.0}
        for p in people
    ]
    return {
        "annolist": structs(images),
        "img_train": np.array([[_trained(person) for person in people]], np.uint8),
        "version": "12",
        "single_person": cells([np.ones((1, 1), np.uint8)] * len(people), (len(people), 1)),
        "act": structs(acts).T,
        "video_list": cells([], (1, 0)),
    }


def _trained(person: dict[str, Any]) -> bool:
    return bool(person["part"] != "test")


def _rect(person: dict[str, Any]) -> dict[str, Any]:
    x, y = person["objpos"]
    placed = {"scale": person["scale"], "objpos": structs([{"x": float(x), "y": float(y)}])}
    if not _trained(person):
        return placed
    corners = dict(zip(("x1", "y1", "x2", "y2"), person["head"], strict=True))
    return {**corners, "annopoints": structs([{"point": _points(person)}]), **placed}


def _points(person: dict[str, Any]) -> Any:
    listed = []
    for joint, ((x, y), known, visible) in enumerate(
        zip(person["joints"], person["listed"], person["visible"], strict=True)
    ):
        if known:
            marked = {} if joint in _UNMARKED else {"is_visible": np.uint8(visible)}
            listed.append({"x": x, "y": y, "id": float(joint), **marked})
    return structs(listed) if listed else EMPTY


def _columns(people: list[dict[str, Any]], part: str) -> Any:
    """Cells 3 x N of the authors' form: person indices from 1, file name, people."""
    columns = []
    for person in people:
        if person["part"] == part:
            pose = np.where(person["listed"], np.array(person["joints"]).T, np.nan)
            content = {
                "head": np.array([person["head"]], np.float64),
                "objpos": np.array([person["objpos"]], np.float64),
                "scale": person["scale"],
                "pose": pose,
            }
            columns.append([np.ones((1, 1)), person["name"], cells([structs([content])], (1, 1))])
    return cells([column[row] for row in range(3) for column in columns], (3, len(columns)))
