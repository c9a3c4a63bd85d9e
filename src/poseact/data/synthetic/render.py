"""`poseact data render`: sets of synthetic people on disk, in a chosen form (see `formats`).

What is made depends on the order alone, file by file; so a run that was stopped goes on where it
was, and the files that are there already are left as they are. ``render.json`` in the folder says
what was ordered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from poseact.data.images import readable_pictures, write_whole
from poseact.data.synthetic.actions import ACTIONS
from poseact.data.synthetic.capture import read_bvh, read_motions_npz
from poseact.data.synthetic.formats import clips, human36m, mpii, ntu, penn_action
from poseact.data.synthetic.formats.staging import Captured, Order, Task, label_of
from poseact.data.synthetic.rig import Motion
from poseact.errors import UserError

MANIFEST = "render.json"
SMALLEST, LARGEST = 64, 4096
"""Pixels of a picture's side."""
_FORMAT = 1
_SIZE = re.compile(r"(\d{1,5})(?:x(\d{1,5}))?", re.ASCII)
_NAME = re.compile(r"\w[\w .+-]{0,79}")


@dataclass(frozen=True)
class Form:
    """A form to write: its tasks, and what is made where nothing else is ordered.

    - ``data``, ``splits``: how `open_data` reads it. ``labels``: see `formats`; None where an action has
      its own name.
    - ``count``; ``frames``: None where there are only stills; ``size``: height and width, None where the
      cameras fix it.
    """

    tasks: Callable[[Order], list[Task]]
    data: str
    splits: tuple[str, ...]
    labels: Mapping[str, str] | None
    count: int
    frames: int | None
    size: tuple[int, int] | None


FORMS = {
    "clips": Form(clips.tasks, "folder", ("train", "val", "test"), None, 60, 32, (256, 256)),
    "mpii": Form(mpii.tasks, "mpii", ("all",), None, 120, None, (480, 640)),
    "human36m": Form(human36m.tasks, "human36m", ("all",), human36m.LABELS, 28, 10, None),
    "penn-action": Form(penn_action.tasks, "penn-action", ("all",), penn_action.LABELS, 24, 32, (360, 480)),
    "ntu": Form(ntu.tasks, "ntu", ("all",), ntu.LABELS, 18, 24, (540, 960)),
}


@dataclass(frozen=True)
class Rendered:
    """``made``: how many tasks were done now; ``found``: before; ``data``, ``splits``: how to read it."""

    made: int
    found: int
    data: str
    splits: tuple[str, ...]


def render_set(
    out: Path,
    form: str = "clips",
    *,
    count: int | None = None,
    frames: int | None = None,
    size: str | None = None,
    seed: int = 0,
    actions: str | None = None,
    motions: Path | None = None,
    photographs: Path | None = None,
    console: Console | None = None,
) -> Rendered:
    """Write a set of synthetic people into the folder ``out``, or go on with it.

    - ``form``: one of `FORMS`; ``count``: of videos, or of people where there are stills; ``frames``: of
      each video; ``size``: "HxW" or "N", in pixels; ``actions``: names with commas between. All have
      defaults by form.
    - ``motions``: an .npz (`capture.read_motions_npz`) or a folder of .bvh to perform (`read_captured`);
      ``photographs``: a folder of pictures to take backgrounds from.

    With a ``console``, a progress bar is shown. Raises `UserError` on anything else, and where ``out``
    holds another set.
    """
    if form not in FORMS:
        raise UserError(f"--form: expected one of {', '.join(FORMS)}, got {form!r}")
    chosen = FORMS[form]
    captured = None if motions is None else read_captured(motions)
    order = Order(
        root=Path(out),
        count=_at_least("--count", 1, chosen.count if count is None else count),
        frames=_frames(form, chosen, frames),
        size=_size(form, chosen, size),
        seed=_at_least("--seed", 0, seed),
        actions=_actions(form, chosen, captured, actions),
        captured=captured,
        photographs=() if photographs is None else readable_pictures(photographs),
    )
    tasks = chosen.tasks(order)
    _claim(order, form, motions, photographs)
    todo = [task for task in tasks if not task.done]
    try:
        for task in track(todo, "rendering", console=console, disable=console is None):
            task.write()
    except OSError as error:
        where = error.filename or out
        raise UserError(
            f"{where}: cannot be written: {error.strerror or error}; "
            "make room, then run the same command again"
        ) from None
    # A few clips do not fill all splits.
    splits = tuple(split for split in chosen.splits if split == "all" or (order.root / split).is_dir())
    return Rendered(len(todo), len(tasks) - len(todo), chosen.data, splits)


def read_captured(path: Path) -> Captured:
    """The motions of an .npz file, or of all .bvh files in a folder and its sub-folders.

    The action of a .bvh file is the sub-folder's name, or, in the folder itself, that of the file up to
    a number at its end: walk of ``walk_02.bvh``. Raises `UserError` where nothing is found, where a file
    is damaged, and on an action whose name cannot be that of a folder.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() == ".bvh" and p.is_file())
        if not files:
            raise UserError(f"{path}: expected .bvh files in the folder, found none; check --motions")
        read = tuple(_bvh(file, path) for file in files)
        captured = Captured(tuple(motion.action for motion in read), read)
    elif path.suffix.lower() == ".npz" or not path.exists():
        clips_of = read_motions_npz(path)
        captured = Captured(clips_of.actions, clips_of)
    else:
        raise UserError(f"{path}: expected an .npz file, or a folder of .bvh files; check --motions")
    bad = next((name for name in captured.actions if not _NAME.fullmatch(name)), None)
    if bad is not None or not captured.actions:
        raise UserError(
            f"{path}: expected actions named by letters, digits, blanks, and . + - _, got {bad!r:.60}; "
            "rename them"
        )
    return captured


def _bvh(file: Path, folder: Path) -> Motion:
    own = re.sub(r"[-_ ]*\d*$", "", file.stem) or file.stem
    return replace(read_bvh(file), action=own if file.parent == folder else file.parent.name)


def _at_least(name: str, least: int, value: int) -> int:
    if value < least:
        raise UserError(f"{name}: expected {least} or more, got {value}")
    return value


def _frames(name: str, form: Form, frames: int | None) -> int:
    if form.frames is None:
        if frames not in (None, 1):
            raise UserError(f"--frames: {name} has stills only, got {frames}; leave it out")
        return 1
    # One frame has no motion, and readers take the middle of three.
    return _at_least("--frames", 3, form.frames if frames is None else frames)


def _size(name: str, form: Form, size: str | None) -> tuple[int, int]:
    if form.size is None:
        if size is not None:
            raise UserError(f"--size: the cameras of {name} fix it, got {size}; leave it out")
        return 0, 0
    if size is None:
        return form.size
    match = _SIZE.fullmatch(size)
    height, width = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    sides = (height, width)
    if not all(SMALLEST <= side <= LARGEST and side % 2 == 0 for side in sides):
        raise UserError(
            f"--size: expected HEIGHTxWIDTH or one number, even, {SMALLEST} to {LARGEST}, got {size!r:.40}"
        )
    return sides


def _actions(name: str, form: Form, captured: Captured | None, wanted: str | None) -> tuple[str, ...]:
    """The actions that are there, have a label of the form, and are wanted."""
    there = ACTIONS if captured is None else tuple(sorted(set(captured.actions)))
    known = tuple(action for action in there if label_of(action, form.labels) is not None)
    if not known:
        raise UserError(
            f"--motions: expected actions that {name} has a label for ({', '.join(form.labels or ())}), "
            f"found {', '.join(there)[:200]}; rename them, or choose another form"
        )
    if wanted is None:
        return known
    chosen = tuple(dict.fromkeys(word.strip() for word in wanted.split(",") if word.strip()))
    unknown = [action for action in chosen if action not in known]
    if unknown or not chosen:
        raise UserError(
            f"--actions: expected some of {', '.join(known)} for the form {name}, got "
            f"{', '.join(unknown) or 'none'}"
        )
    return chosen


def _claim(order: Order, form: str, motions: Path | None, photographs: Path | None) -> None:
    """Say in the folder what was ordered; raises `UserError` where it holds anything else."""
    path = order.root / MANIFEST
    about: dict[str, Any] = {
        "format": _FORMAT, "form": form, "count": order.count, "frames": order.frames,
        "size": list(order.size), "seed": order.seed, "actions": list(order.actions),
        "motions": motions and motions.name, "photographs": photographs and photographs.name,
    }  # fmt: skip
    if order.root.exists() and not order.root.is_dir():
        raise UserError(f"{order.root}: expected a folder, found a file; give another one with --out")
    if path.is_file():
        before = _read_manifest(path)
        differ = [key for key in about if before.get(key) != about[key]]
        if differ:
            key = differ[0]
            raise UserError(
                f"{order.root}: holds another set, with {key} {before.get(key)!r:.60} instead of "
                f"{about[key]!r:.60}; give another folder with --out"
            )
        return
    try:
        if order.root.is_dir() and any(not p.name.startswith(".") for p in order.root.iterdir()):
            raise UserError(
                f"{order.root}: is not empty, and no set of `poseact data render`; give another --out"
            )
        write_whole(path, json.dumps(about, indent=1).encode())
    except OSError as error:
        raise UserError(f"{order.root}: cannot be written: {error.strerror}; give another --out") from None


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected what `poseact data render` writes; give another folder with --out")
    return content
