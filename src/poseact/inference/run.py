"""A video, a stream or a camera to its result folder, written as it goes.

While it goes, the folder holds

    rows.bin      the answers, records of `results.row_type` one after the other
    joints.csv    the same as text
    overlay.ts    the overlay as MPEG-TS, which plays however short it is
    state.npz     how long those three are, and all that is needed to go on from there

The state is written last, about once for each second of video. After a kill the same call cuts the files
to the lengths that it tells, goes on, and ends with what an uninterrupted run ends with. At the end the
folder holds the files of `results.OUTPUTS`, ``index.html`` coming last, and no longer these.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from poseact.data.images import write_whole
from poseact.errors import UserError
from poseact.export.bvh import ROOT, write_bvh
from poseact.export.tables import csv_header, csv_lines, write_coco, write_npz
from poseact.inference.boxes import GivenBoxes
from poseact.inference.device import pick_device, pick_precision
from poseact.inference.many import DONE
from poseact.inference.predictor import ready
from poseact.inference.smoothing import Smoothing
from poseact.inference.source import open_source
from poseact.inference.stream import Answer, Options, Stream
from poseact.network import MultitaskNetwork
from poseact.results import OUTPUTS, STATE, VIDEO, Gap, Results, Rows, mark_ours
from poseact.segments import THRESHOLD, Segment, find_segments, no_segment
from poseact.structures import Image
from poseact.video import VideoGroup, remux
from poseact.visual.frame import draw_frame
from poseact.visual.page import result_page
from poseact.visual.timeline import draw_timeline
from poseact.weights import load_model
from poseact.weights.files import checksum

ROWS, CSV, LOCK = "rows.bin", OUTPUTS["csv"], ".poseact.lock"
RECORDED = ".recorded"
"""Lies in the results of a live source: they cannot be made again, so no other run replaces them."""
_FORMAT = "1"
_LARGEST_BEAT = 64
_REMEDY = "delete the folder, or give another --out"


@dataclass(frozen=True)
class RunOptions:
    """How a source is worked on: ``look`` at it (`stream.Options`), and what comes of it.

    - ``boxes``: a file of `GivenBoxes`; the person is found where None.
    - ``threshold``: probability from which an action is a segment. ``only``: names of `OUTPUTS`; all of them
      where empty.

    Raises `UserError` on a name or a number that cannot be that.
    """

    look: Options = field(default_factory=Options)
    boxes: Path | None = None
    threshold: float = THRESHOLD
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.only:
            if name not in OUTPUTS:
                raise UserError(f"only: expected some of {', '.join(OUTPUTS)}, got {name!r}")
        if not 0 <= self.threshold <= 1:
            raise UserError(f"threshold: expected a probability from 0 to 1, got {self.threshold:g}")

    def wants(self, name: str) -> bool:
        """Whether an output is asked for."""
        return not self.only or name in self.only


@dataclass(frozen=True)
class Summary:
    """What became of a source.

    - ``frames`` that were looked at, ``answered`` of them with somebody in it, ``people`` in all.
    - ``dropped``: frames of a live source that went by; ``fps``: frames a second, of this run.
    - ``no_action``: why there is no segment, where actions are recognised.
    - ``written``: the files. ``messages``: what could not be written or read, and why.
    """

    frames: int
    answered: int
    people: int
    gaps: tuple[Gap, ...]
    segments: tuple[Segment, ...]
    written: tuple[Path, ...]
    dropped: int = 0
    fps: float = 0.0
    no_action: str = ""
    messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class VideoTask:
    """`predict_video` by the name of the weights, for `many.predict_many`: pickled, it is small.

    Called with a video and its result folder; answers what a line of the summary tells.
    """

    weights: str
    options: RunOptions

    def __call__(self, source: Path, out: Path) -> dict[str, Any]:
        done = predict_video(source, _loaded(self.weights), out, self.options, weights=self.weights)
        told: dict[str, Any] = {"frames": done.frames, "answered": done.answered, "people": done.people}
        told |= {"gaps": len(done.gaps), "segments": len(done.segments)}
        return told | ({"messages": "; ".join(done.messages)} if done.messages else {})


_last_loaded: dict[str, MultitaskNetwork] = {}


def _loaded(weights: str) -> MultitaskNetwork:
    """The network, kept: a worker does one video after the other by the same weights."""
    if weights not in _last_loaded:
        _last_loaded.clear()
        _last_loaded[weights] = load_model(weights)
    return _last_loaded[weights]


def predict_video(
    source: str | Path | int,
    network: MultitaskNetwork,
    out: Path,
    options: RunOptions | None = None,
    console: Console | None = None,
    weights: str = "",
) -> Summary:
    """Answer every frame of a video, an address or a camera into the folder ``out``.

    ``network``: what `poseact.load_model` answers; ``weights``: its name, for people. Goes on with a folder
    that was left unfinished; a live source always begins anew, and Ctrl-C ends it like its own end.
    Raises `UserError` where the source shows no frame, the folder cannot be written, or what lies in it
    unfinished was begun with another source, other weights or other options.
    """
    options = options or RunOptions()
    if options.only == ("bvh",) and network.dim == 2:
        raise UserError("only bvh: expected a 3D network, got one of 2D poses; take other weights")
    stream = open_stream(source, network, out, options)
    opened, told = stream.source, weights_text(weights, network)
    record = _Record(out, stream, options)
    identity = {} if opened.live else _identity(Path(str(source)), told, options)
    with alone_in(out):
        record.open(identity)
        began, first = time.monotonic(), record.frames
        try:
            _work(stream, record, console)
        except KeyboardInterrupt:
            if not opened.live:
                if console is not None:
                    at = f"frame {record.frames} of {opened.count}"
                    console.print(f"stopped at {at}; the same command goes on from here", markup=False)
                raise
        except Exception:
            if opened.live and record.frames:  # it cannot be made again
                with suppress(Exception):  # what went wrong first is what is told
                    record.save()
                    _finish(record, told, 0.0)
            raise
        record.save()
        if not record.frames:
            raise UserError(
                f"{opened.name}: expected a video, but it ended before its first frame; try again"
            )
        fps = (record.frames - first) / max(1e-9, time.monotonic() - began)
        return _finish(record, told, fps)


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Make the folder and keep other processes out of it, as long as this one lives.

    Raises `UserError` where one is at work there, or a recording lies there.
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(
                f"{out}: another process is at work there; wait for it, or give another --out"
            ) from None
    try:
        if (out / RECORDED).exists():
            raise UserError(
                f"{out}: holds a recording, which cannot be made again ({CSV} and {VIDEO} of one that was "
                "killed can be opened as they are); move it away, or give another --out"
            )
        yield
    finally:
        (out / LOCK).unlink(missing_ok=True)
        lock.release()


def open_stream(
    source: str | Path | int, network: MultitaskNetwork, out: Path, options: RunOptions
) -> Stream:
    """A source, opened, and the network made `ready` for it; ``out`` is where the results will go.

    Raises `UserError` where the source cannot be opened, ``out`` would write over it, or the boxes or
    options cannot be had.
    """
    check_apart(source, out)
    opened, look = open_source(source), options.look
    prepared = ready(network, pick_device(), look.blocks, look.precision)
    return Stream(prepared, opened, look, GivenBoxes(options.boxes) if options.boxes else None)


def weights_text(name: str, network: MultitaskNetwork) -> str:
    """The name of weights and their checksum, in words."""
    metadata = getattr(network, "metadata", {})
    mark = metadata.get("exported") or f"sha256 {metadata.get('sha256') or checksum(network.state_dict())}"
    return f"{Path(name).name}, {mark}" if name else mark


def _work(stream: Stream, record: _Record, console: Console | None) -> None:
    with _progress(console, stream.source.count, record.frames) as progress:
        bar = progress.task_ids[0]
        for answers in stream.answers(record.frames):
            for answer in answers:
                record.add(answer)
            if record.due:
                record.save()
            dropped = f", {record.dropped} dropped" if record.dropped else ""
            speed = progress.tasks[0].speed
            rate = f"{speed:.1f} frames/s" if speed else ""
            progress.update(bar, advance=len(answers), told=rate + dropped)


def _progress(console: Console | None, total: int | None, done: int) -> Progress:
    columns = (TextColumn("frames"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[told]}"))
    progress = Progress(*columns, TimeRemainingColumn(), console=console, disable=console is None)
    progress.add_task("frames", total=total, completed=done, told="")
    return progress


# --- what lies in the folder while it goes ------------------------------------------------------------


class _Record:
    """The answers to a source so far: in files, and complete up to the last `save`."""

    def __init__(self, out: Path, stream: Stream, options: RunOptions) -> None:
        self.out, self.stream, self.options = out, stream, options
        group, fps = stream.group, stream.source.fps
        self.beat = group * min(max(1, round(fps / group)), max(1, _LARGEST_BEAT // group))
        self.actions = action_names(stream.network)
        self.frames = self.answered = self.dropped = self.waiting = 0
        self.seconds = self._saved_s = 0.0
        self.gaps: list[Gap] = []
        self._identity: dict[str, str] = {}
        self._rows: list[Rows] = []
        self._group: VideoGroup | None = None

    def open(self, identity: Mapping[str, str]) -> None:
        """Go on with what lies in the folder, or begin; without an ``identity``, of a recording, begin."""
        self._identity = dict(identity)
        with writing(self.out):
            if identity and (self.out / STATE).exists():
                self._resume()
                return
            begin_anew(self.out)
            (self.out / ROWS).touch()
            if self.options.wants("csv"):
                (self.out / CSV).write_text(csv_header(self.stream.kind), encoding="utf-8")

    def add(self, answer: Answer) -> None:
        """Take the answer of the next frame."""
        frame = answer.frame
        # First what takes time: Ctrl-C comes in it, and what is counted below belongs together.
        if self.options.wants("video"):
            self._group = self._group or VideoGroup(self.out / VIDEO, self.stream.source.fps)
            self._group.add(self._picture(answer), frame.time_s)
        if answer.gap:
            add_gap(self.gaps, frame.number, answer.gap)
        if len(answer.rows):
            self._rows.append(answer.rows)
            self.answered += 1
        self.dropped += frame.dropped
        self.frames, self.waiting, self.seconds = self.frames + 1, self.waiting + 1, frame.time_s

    @property
    def due(self) -> bool:
        """Whether it is time to save: of a live source, fewer frames may be looked at than it tells of."""
        late = self.stream.source.live and self.seconds >= self._saved_s + 1
        return self.waiting >= self.beat or late

    def save(self) -> None:
        """Append what was taken since the last time, then write the state."""
        if not self.waiting:
            return
        self._saved_s = self.seconds
        # Taken away first: where Ctrl-C of a live source comes in between, nothing is written twice.
        taken, self._rows = self._rows, []
        group, self._group = self._group, None
        self.waiting = 0
        with writing(self.out):
            if not self._identity:
                (self.out / RECORDED).touch()
            rows = np.concatenate([np.zeros(0, self.stream.kind), *taken])
            with (self.out / ROWS).open("ab") as file:
                file.write(rows.tobytes())
            if self.options.wants("csv"):
                with (self.out / CSV).open("ab") as file:
                    file.write(csv_lines(rows, self.stream.layout, self.actions).encode())
            if group is not None:
                group.close()
            self._write_state()

    def rows(self) -> Rows:
        """All rows, from the file."""
        path = self.out / ROWS
        count = path.stat().st_size // self.stream.kind.itemsize  # the last one may be half written
        return np.memmap(path, self.stream.kind, "r", shape=count) if count else np.zeros(0, self.stream.kind)

    def _picture(self, answer: Answer) -> Image:
        width, height = self.stream.source.size
        image, time_s = answer.frame.image, answer.frame.time_s
        shown = np.zeros((height, width, 3), np.uint8) if image is None else image
        return draw_frame(shown, answer.rows, self.stream.layout, self.actions, time_s=time_s, gap=answer.gap)

    def _write_state(self) -> None:
        lengths = {name: _length(self.out / name) for name in (ROWS, CSV, VIDEO)}
        about = {
            "identity": self._identity,
            "counts": [self.frames, self.answered, self.dropped],
            "seconds": self.seconds,
            "lengths": lengths,
            "gaps": [vars(gap) for gap in self.gaps],
        }
        arrays = {f"stream.{name}": values for name, values in self.stream.state().items()}
        file = io.BytesIO()
        np.savez(file, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]
        write_whole(self.out / STATE, file.getvalue())

    def _resume(self) -> None:
        path = self.out / STATE
        try:
            with np.load(path, allow_pickle=False) as arrays:
                state = {name: arrays[name] for name in arrays.files}
            about = json.loads(str(state.pop("about")))
            identity, lengths = dict(about["identity"]), dict(about["lengths"])
            self._check(path, identity)
            self.frames, self.answered, self.dropped = map(int, about["counts"])
            self.seconds = float(about["seconds"])
            self.gaps = [Gap(**gap) for gap in about["gaps"]]
            self.stream.restore({name.removeprefix("stream."): values for name, values in state.items()})
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path}: expected the state of an unfinished run, got {type(error).__name__}; {_REMEDY}"
            ) from None
        for name in (ROWS, CSV, VIDEO):
            self._cut(name, int(lengths[name]))

    def _check(self, path: Path, identity: Mapping[str, str]) -> None:
        for name, asked in self._identity.items():
            if identity.get(name) != asked:
                raise UserError(
                    f"{path.parent}: expected {name} {identity.get(name)!r}, as in the unfinished run that "
                    f"lies here, got {asked!r}; give the same to go on, or {_REMEDY}"
                )

    def _cut(self, name: str, length: int) -> None:
        path = self.out / name
        if _length(path) < length:
            raise UserError(
                f"{path}: expected at least the {length} bytes that {STATE} tells of, found {_length(path)}; "
                f"{_REMEDY}"
            )
        if path.exists():
            os.truncate(path, length)


def action_names(network: MultitaskNetwork) -> tuple[str, ...]:
    """The names of the network's actions, or numbers where its weights do not tell."""
    return tuple(network.action_labels) or tuple(f"action {i + 1}" for i in range(network.actions))


def add_gap(gaps: list[Gap], frame: int, reason: str) -> None:
    """Add a frame, which may go on with the last gap."""
    if gaps and gaps[-1].last == frame - 1 and gaps[-1].reason == reason:
        gaps[-1] = Gap(gaps[-1].first, frame, reason)
    else:
        gaps.append(Gap(frame, frame, reason))


def known_files(out: Path) -> list[Path]:
    """What an earlier run may have left in a folder."""
    people = [path for path in out.glob("person-*.bvh") if path.stem.removeprefix("person-").isdecimal()]
    return [*(out / name for name in (*OUTPUTS.values(), STATE, ROWS, VIDEO, DONE)), *people]


def begin_anew(out: Path, more: Sequence[str] = ()) -> None:
    """Take away what an earlier run has left, and mark the folder.

    Raises `UserError` where that run is not finished, or where no run was but a file lies that has one of the
    names that are written, ``more`` of them beside the usual ones.
    """
    if (out / STATE).exists():
        raise UserError(f"{out}: holds an unfinished run of a video; {_REMEDY}")
    mark_ours(out, [*known_files(out), *(out / name for name in more)])
    for path in known_files(out):
        path.unlink(missing_ok=True)


def check_apart(source: str | Path | int, out: Path) -> None:
    """Raise `UserError` where writing the results would write over the source, or among its pictures."""
    place = Path(str(source)).resolve()
    if place in [path.resolve() for path in (out, *known_files(out))]:
        raise UserError(f"{out}: expected a folder that the source is no part of; give another --out")


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """What goes wrong with the files of a result folder, as a `UserError`."""
    try:
        yield
    except OSError as error:
        place = error.filename or out
        raise UserError(
            f"{place}: expected a place that can be written, got: {error.strerror}; check the folder"
        ) from None


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _identity(source: Path, weights: str, options: RunOptions) -> dict[str, str]:
    """What an unfinished run must agree in to be gone on with."""
    about = source.stat()
    read = f"{source.name}, {about.st_size} bytes of {about.st_mtime_ns}"
    computed = pick_precision(pick_device(), options.look.precision)  # auto may pick another one next time
    return {"format": _FORMAT, "source": read, **settings(weights, options), "precision": computed}


def settings(weights: str, options: RunOptions) -> dict[str, str]:
    """All that results depend on beside the source, in words; ``weights`` as `weights_text` tells."""
    look, camera = options.look, options.look.camera
    boxes = hashlib.sha256(options.boxes.read_bytes()).hexdigest() if options.boxes else "found"
    return {
        "weights": weights,
        "boxes": boxes,
        "stride": str(look.stride or "of the weights"),
        "blocks": str(look.blocks or "all"),
        "precision": look.precision,
        "smooth": str(look.smooth),
        "focal": str(camera.focal_px),
        "height": str(camera.height_m),
        "only": ",".join(sorted(options.only)) or "all",
    }


# --- the end ------------------------------------------------------------------------------------------


def _finish(record: _Record, weights: str, fps: float) -> Summary:
    """Everything that is made of the whole, then away with what only served to go on."""
    stream, rows = record.stream, record.rows()
    results = results_of(stream, rows, record.frames, record.gaps, weights, record.seconds)
    window = stream.window_at(results.fps)
    segments = find_segments(results, window, record.options.threshold)
    no_action = "" if segments else no_segment(results, window, record.options.threshold)
    written = _write(record, results, segments, window, no_action)
    summary = Summary(
        frames=record.frames,
        answered=record.answered,
        people=len(results.people),
        gaps=results.gaps,
        segments=segments,
        written=written,
        dropped=record.dropped,
        fps=fps,
        no_action=no_action,
        messages=(f"{stream.source.name}: {results.damage}",) if results.damage else (),
    )
    del rows, results  # a file that is mapped cannot be deleted everywhere
    with writing(record.out):
        for name in (STATE, VIDEO, ROWS):
            (record.out / name).unlink(missing_ok=True)
    return summary


def results_of(
    stream: Stream, rows: Rows, frames: int, gaps: Sequence[Gap], weights: str, seconds: float = 0.0
) -> Results:
    """Everything that was answered about the source of a stream, the last frame of it after ``seconds``
    where those are known.

    The rate of a live source is that of the frames that were looked at.
    """
    measured = stream.source.live and frames > 1 and seconds > 0
    return Results(
        rows=rows,
        layout=stream.layout,
        actions=action_names(stream.network),
        source=stream.source.name,
        fps=(frames - 1) / seconds if measured else stream.source.fps,
        size=stream.source.size,
        frames=frames,
        last_s=seconds,
        gaps=tuple(gaps),
        assumption=assumptions(stream),
        weights=weights,
        damage=stream.source.damage,
    )


def _write(
    record: _Record, results: Results, segments: Sequence[Segment], window: int, no_action: str
) -> tuple[Path, ...]:
    out, wants = record.out, record.options.wants
    written: list[Path] = []

    def done(name: str) -> None:
        written.append(out / name)

    if wants("json"):
        write_coco(out / OUTPUTS["json"], results, segments)
        done(OUTPUTS["json"])
    if wants("csv"):
        done(CSV)
    if wants("npz"):
        write_npz(out / OUTPUTS["npz"], results)
        done(OUTPUTS["npz"])
    if wants("bvh") and results.is_3d and ROOT in results.layout.joints:
        for person in results.people:
            write_bvh(out / f"person-{person}.bvh", results, person)
            done(f"person-{person}.bvh")
    if wants("timeline"):
        with writing(out):
            write_whole(out / OUTPUTS["timeline"], draw_timeline(results, segments, window))
        done(OUTPUTS["timeline"])
    if wants("video") and _length(out / VIDEO):
        remux(out / VIDEO, out / OUTPUTS["video"])
        done(OUTPUTS["video"])
    if wants("page"):
        names = [path.name for path in written]
        video, timeline = (OUTPUTS[n] if OUTPUTS[n] in names else None for n in ("video", "timeline"))
        with writing(out):
            page = result_page(results, segments, names, video, timeline, no_action=no_action)
            write_whole(out / OUTPUTS["page"], page.encode("utf-8", "replace"))
        done(OUTPUTS["page"])
    return tuple(written)


def assumptions(stream: Stream) -> str:
    """In words, what the numbers of a stream rest on."""
    parts = [stream.options.camera.describe()] if stream.network.dim == 3 else []
    parts.append(stream.calibration.describe())
    if stream.options.smooth:
        parts.append(Smoothing().describe())
    if stream.network.actions and stream.source.fps > 0:
        seconds = stream.window / stream.source.fps
        parts.append(
            f"actions told from {seconds:.1f} s of video: a frame's probabilities are about the time that "
            "ends there, segments and timeline lie at its middle"
        )
    return "; ".join(parts)
