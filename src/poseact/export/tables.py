"""What was answered about a video as tables: long CSV, COCO JSON and NPZ.

All are written in pieces, so that memory does not grow with the video, and appear whole or not at all.
Pixels: (0, 0) is the centre of the top-left pixel. A number that is not finite is an empty cell in CSV
and null in JSON.
"""

from __future__ import annotations

import json
import math
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from poseact.errors import UserError
from poseact.results import Results, Rows
from poseact.segments import Segment
from poseact.skeleton import Layout
from poseact.visual.overlay import SHOWN_FROM

_PIXEL_DECIMALS, _SHARE_DECIMALS, _METRE_DECIMALS, _CROP_DECIMALS = 3, 4, 4, 5
_FORMS = {
    "x_px": "%.3f", "y_px": "%.3f", "visibility": "%.4f", "sd_x_px": "%.3f", "sd_y_px": "%.3f",
    "x_m": "%.4f", "y_m": "%.4f", "z_m": "%.4f", "x_crop": "%.5f", "y_crop": "%.5f", "z_crop": "%.5f",
}  # fmt: skip
"""The numbers of a joint in a line of CSV, and how each is written; the last six with 3D only."""
_PLANE_NUMBERS = 5
_NOT_FINITE = re.compile("-?(?:nan|inf)")
_NEEDS_QUOTES = re.compile('[",\r\n]')
_ITEMS_AT_ONCE = 4096
FloatArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write piece by piece; it appears under its name once all is written.

    Raises `UserError` where it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(
            f"{path}: expected a place that can be written, got {error.strerror}; check the folder"
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


# --- CSV ------------------------------------------------------------------------------------------


def csv_header(kind: np.dtype[np.void], pictures: bool = False) -> str:
    """The first line for rows of ``kind`` (`results.row_type`), with its end; ``pictures``: of pictures.

    A line is a joint of a person in a frame:

    - ``frame`` from 0, of pictures also ``picture`` (its file's name), ``time_s`` since the first frame,
      ``person`` (track id), ``joint`` (its name);
    - ``x_px``, ``y_px``; ``visibility`` in [0, 1]; ``sd_x_px``, ``sd_y_px``: standard deviations;
    - with 3D ``x_m``, ``y_m``, ``z_m``: metres relative to the pelvis, x to the right, y down, z away from
      the camera, and ``x_crop``, ``y_crop``, ``z_crop``: the same in sides of the crop;
    - with actions ``action``, the most probable of the window that ends here, and
      ``action_probability``; both are empty where there is no answer yet;
    - ``restarted``: 1 where the person was found anew, else 0.
    """
    names = kind.names or ()
    columns = ["frame", *(["picture"] if pictures else []), "time_s", "person", "joint"]
    columns += _joint_columns(kind)
    columns += ["action", "action_probability"] if "action" in names else []
    return ",".join([*columns, "restarted"]) + "\n"


def csv_lines(rows: Rows, layout: Layout, actions: Sequence[str], pictures: Sequence[str] = ()) -> str:
    """The lines of ``rows`` (R,) below `csv_header`: J a row, each with its end.

    ``pictures``: of pictures, the name of each frame's file.
    """
    form = "\n".join([",".join(_FORMS[column] for column in _joint_columns(rows.dtype))] * len(layout))
    joints = [_quoted(name) for name in layout.joints]
    numbers = _joint_numbers(rows)
    numbers = numbers.reshape(len(rows), numbers.shape[1] * numbers.shape[2])
    finite = np.isfinite(numbers.sum(1)).tolist()
    lines: list[str] = []
    for values, whole, head, tail in zip(
        numbers.tolist(), finite, _heads(rows, pictures), _tails(rows, actions), strict=True
    ):
        cells = form % tuple(values)
        if not whole:
            cells = _NOT_FINITE.sub("", cells)
        lines += [f"{head}{joint},{own}{tail}" for joint, own in zip(joints, cells.split("\n"), strict=True)]
    return "".join(lines)


def write_csv(path: Path, results: Results) -> None:
    """All rows as CSV; raises `UserError` where the file cannot be written."""
    with whole_file(path) as file:
        names = [name for name, _ in results.pictures]
        file.write(csv_header(results.rows.dtype, bool(names)).encode())
        for rows in results.chunks():
            file.write(csv_lines(rows, results.layout, results.actions, names).encode("utf-8", "replace"))


def _joint_columns(kind: np.dtype[np.void]) -> list[str]:
    return list(_FORMS)[: None if "metres" in (kind.names or ()) else _PLANE_NUMBERS]


def _joint_numbers(rows: Rows) -> FloatArray:
    """What `_joint_columns` names, (R, J, 5 or 11)."""
    parts = [rows["joints"], rows["visibility"][..., None], _deviations(rows)]
    if "metres" in (rows.dtype.names or ()):
        parts += [rows["metres"], rows["crop"]]
    return np.concatenate(parts, -1).astype(np.float64)


def _deviations(rows: Rows) -> FloatArray:
    """Standard deviations along x and y, (..., J, 2) pixels."""
    variances = np.diagonal(rows["covariance"], axis1=-2, axis2=-1)
    return np.asarray(np.sqrt(np.maximum(variances, 0)))


def _heads(rows: Rows, pictures: Sequence[str]) -> list[str]:
    places = zip(rows["frame"].tolist(), rows["time_s"].tolist(), rows["person"].tolist(), strict=True)
    if pictures:
        names = [_quoted(name) for name in pictures]
        return [f"{frame},{names[frame]},{time:.4f},{person}," for frame, time, person in places]
    return [f"{frame},{time:.4f},{person}," for frame, time, person in places]


def _tails(rows: Rows, actions: Sequence[str]) -> list[str]:
    restarts = [f",{int(restarted)}\n" for restarted in rows["restarted"].tolist()]
    if not actions:
        return restarts
    names = [_quoted(action) for action in actions]
    told = [
        f",{names[best]},{probability:.4f}" if known else ",,"
        for best, probability, known in zip(
            rows["action"].argmax(1).tolist(),
            rows["action"].max(1).tolist(),
            _answered(rows).tolist(),
            strict=True,
        )
    ]
    return [action + restart for action, restart in zip(told, restarts, strict=True)]


def _answered(rows: Rows) -> BoolArray:
    """Which rows (R,) have an answer about the action."""
    return np.asarray(rows["action_known"] & np.isfinite(rows["action"]).all(1))


def _quoted(name: str) -> str:
    """A cell, in quotation marks where it holds what has a meaning in CSV (RFC 4180)."""
    return '"' + name.replace('"', '""') + '"' if _NEEDS_QUOTES.search(name) else name


# --- COCO JSON ------------------------------------------------------------------------------------


def write_coco(path: Path, results: Results, segments: Sequence[Segment] = ()) -> None:
    """All rows as COCO keypoint JSON, an image a frame and an annotation a row.

    Images are called by their file's name, a video's frames ``NAME#frame=N``. Images and annotations are
    numbered from 1.

    - As in COCO ``keypoints`` x, y, v, in pixels: v is 2 where visibility reaches 0.5, else 1 (answered,
      perhaps outside the crop), and all three are 0 where a number is not finite; ``num_keypoints`` counts
      those above 0; ``bbox`` encloses the joints of v = 2, or where there are none those of v = 1.
    - Beside it ``track_id``, ``frame``, ``time_s``, ``restarted``, ``visibility`` of each joint and their
      mean ``score``, ``covariance_px2`` (xx, xy, yy of each joint), and the ``crop_box`` (centre x, y, side).
    - With 3D ``keypoints_m`` and ``keypoints_crop``: x, y, z of each joint relative to the pelvis, see
      `results.row_type`. With actions ``action``, ``action_probability`` and ``action_probabilities`` in
      the order of ``info.actions``; null where there is no answer yet.
    - ``info``: the source, ``damage`` to it, what the metres rest on, the weights, ``gaps`` and ``segments``.

    Raises `UserError` where the file cannot be written.
    """
    with whole_file(path) as file:
        head = {"info": _info(results, segments), "categories": [_category(results.layout)]}
        file.write(json.dumps(head, indent=1)[:-2].encode())
        file.write(b',\n "images": [')
        _write_items(file, _images(results))
        file.write(b'],\n "annotations": [')
        _write_items(file, _annotations(results))
        file.write(b"]\n}\n")


def _category(layout: Layout) -> dict[str, Any]:
    """The one category, whose skeleton counts joints from 1."""
    return {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(layout.joints),
        "skeleton": [[a + 1, b + 1] for a, b in layout.limbs],
    }


def _poses(joints: FloatArray, visibility: FloatArray) -> list[dict[str, Any]]:
    """COCO's own fields of people with ``joints`` (R, J, 2) in pixels and ``visibility`` (R, J)."""
    joints, visibility = joints.astype(np.float64), visibility.astype(np.float64)
    known = np.isfinite(joints[..., 0] + joints[..., 1])
    seen = known & (visibility >= SHOWN_FROM)
    inside = np.where(seen.any(1, keepdims=True), seen, known)[..., None]
    low = np.where(inside, joints, np.inf).min(1)
    size = np.where(inside, joints, -np.inf).max(1) - low
    keypoints = _listed(
        np.pad(np.where(known[..., None], joints, 0), ((0, 0), (0, 0), (0, 1))), _PIXEL_DECIMALS
    )
    for numbers, flags in zip(keypoints, np.where(seen, 2, known.astype(int)).tolist(), strict=True):
        numbers[2::3] = flags
    columns: dict[str, list[Any]] = {
        "keypoints": keypoints,
        "num_keypoints": known.sum(1).tolist(),
        "visibility": _listed(visibility, _SHARE_DECIMALS),
        "score": _numbers(visibility.mean(1), _SHARE_DECIMALS),
        "bbox": _listed(np.concatenate([low, size], 1), _PIXEL_DECIMALS),
        "area": _numbers(size.prod(1), _PIXEL_DECIMALS),
        "iscrowd": [0] * len(joints),
    }
    return _rows_of(columns)


def _info(results: Results, segments: Sequence[Segment]) -> dict[str, Any]:
    return {
        "description": "joints and actions by poseact",
        "source": results.source,
        "fps": results.fps,
        "width": results.size[0],
        "height": results.size[1],
        "frames": results.frames,
        "weights": results.weights,
        "damage": results.damage,
        "assumption": results.assumption,
        "actions": list(results.actions),
        "gaps": [{"first": gap.first, "last": gap.last, "reason": gap.reason} for gap in results.gaps],
        "segments": [vars(segment) for segment in segments],
    }


def _images(results: Results) -> Iterator[dict[str, Any]]:
    for frame in range(results.frames):
        name, (width, height) = f"{results.source}#frame={frame}", results.size
        if results.pictures:
            name, (width, height) = results.pictures[frame]
        yield {"id": frame + 1, "file_name": name, "width": width, "height": height, "frame": frame}


def _annotations(results: Results) -> Iterator[dict[str, Any]]:
    number = 0
    for rows in results.chunks():
        poses = _poses(rows["joints"], rows["visibility"])
        for told, pose in zip(_rows_of(_answers(rows, results.actions)), poses, strict=True):
            number += 1
            yield {"id": number, "image_id": told["frame"] + 1, "category_id": 1} | pose | told


def _answers(rows: Rows, actions: Sequence[str]) -> dict[str, list[Any]]:
    """What an annotation says beside COCO's own fields, a list over ``rows`` each."""
    told: dict[str, list[Any]] = {
        "track_id": rows["person"].tolist(),
        "frame": rows["frame"].tolist(),
        "time_s": _numbers(rows["time_s"], _SHARE_DECIMALS),
        "restarted": rows["restarted"].tolist(),
        "covariance_px2": _listed(rows["covariance"][..., [0, 0, 1], [0, 1, 1]], _PIXEL_DECIMALS),
        "crop_box": _listed(rows["box"], _PIXEL_DECIMALS),
    }
    if "metres" in (rows.dtype.names or ()):
        told["keypoints_m"] = _listed(rows["metres"], _METRE_DECIMALS)
        told["keypoints_crop"] = _listed(rows["crop"], _CROP_DECIMALS)
    if actions:
        known = _answered(rows).tolist()
        best, share = rows["action"].argmax(1).tolist(), _numbers(rows["action"].max(1), _SHARE_DECIMALS)
        every = _listed(rows["action"], _SHARE_DECIMALS)
        told["action"] = [actions[i] if has else None for i, has in zip(best, known, strict=True)]
        told["action_probability"] = [p if has else None for p, has in zip(share, known, strict=True)]
        told["action_probabilities"] = [p if has else None for p, has in zip(every, known, strict=True)]
    return told


def _rows_of(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _numbers(values: FloatArray, decimals: int) -> list[float | None]:
    """Rounded ``values`` (n,); JSON has no number that is not finite."""
    rounded: list[float] = np.round(values.astype(np.float64), decimals).tolist()
    if np.isfinite(values).all():
        return list(rounded)
    return [value if math.isfinite(value) else None for value in rounded]


def _listed(values: FloatArray, decimals: int) -> list[list[float | None]]:
    """For each row of ``values`` (R, ...) its numbers, as `_numbers`."""
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    if np.isfinite(flat).all():
        rounded: list[list[float | None]] = np.round(flat.astype(np.float64), decimals).tolist()
        return rounded
    return [_numbers(row, decimals) for row in flat]


def _write_items(file: IO[bytes], items: Iterator[dict[str, Any]]) -> None:
    """The items of a JSON list, a line each."""
    before, encoder = "\n", json.JSONEncoder(allow_nan=False)
    lines: list[str] = []
    for item in items:
        lines.append(before + "  " + encoder.encode(item))
        before = ",\n"
        if len(lines) == _ITEMS_AT_ONCE:
            file.write("".join(lines).encode())
            lines.clear()
    file.write("".join(lines).encode() + b"\n ")


# --- NPZ ------------------------------------------------------------------------------------------


def write_npz(path: Path, results: Results) -> None:
    """All rows as arrays by the names of `results.row_type`, ``frame`` (R,) to ``action_known`` (R,).

    Beside them ``joint_names`` (J,), ``limbs`` (L, 2) indices, ``action_names`` (A,), ``source``, ``fps``,
    ``size`` (2,), ``frame_count``, ``gap_frames`` (G, 2) first and last, ``gap_reasons`` (G,),
    ``assumption`` and ``weights``; of pictures also ``picture_names`` (F,) and ``picture_sizes`` (F, 2),
    width and height. `numpy.load` reads it without pickling. The same results give the same bytes. Raises
    `UserError` where the file cannot be written.
    """
    rows = results.rows
    with whole_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name in rows.dtype.names or ():
            with _entry(archive, name) as entry:
                kind = rows.dtype[name]
                about = {"shape": (len(rows), *kind.shape), "fortran_order": False}
                descr = {"descr": np.lib.format.dtype_to_descr(kind.base)}
                np.lib.format.write_array_header_1_0(entry, about | descr)
                for part in results.chunks():
                    entry.write(part[name].tobytes())
        for name, values in _about(results).items():
            with _entry(archive, name) as entry:
                np.lib.format.write_array(entry, values, allow_pickle=False)


def _entry(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: the time of writing is no result
    entry.external_attr = 0o644 << 16
    return archive.open(entry, "w", force_zip64=True)


def _about(results: Results) -> dict[str, npt.NDArray[Any]]:
    gaps, pictures = results.gaps, results.pictures
    of_pictures = {
        "picture_names": np.array([name for name, _ in pictures], np.str_),
        "picture_sizes": np.array([size for _, size in pictures], np.int64),
    }
    return {
        "joint_names": np.array(results.layout.joints, np.str_),
        "limbs": np.array(results.layout.limbs, np.int64).reshape(-1, 2),
        "action_names": np.array(results.actions, np.str_),
        "source": np.array(results.source, np.str_),
        "fps": np.array(results.fps, np.float64),
        "size": np.array(results.size, np.int64),
        "frame_count": np.array(results.frames, np.int64),
        "gap_frames": np.array([(gap.first, gap.last) for gap in gaps], np.int64).reshape(-1, 2),
        "gap_reasons": np.array([gap.reason for gap in gaps], np.str_),
        "assumption": np.array(results.assumption, np.str_),
        "weights": np.array(results.weights, np.str_),
    } | (of_pictures if pictures else {})
