"""Many videos: worked through in parallel by processes, or by a cluster, each into a folder of its own.

A worker that dies (out of memory, a codec that crashes) takes nothing with it: its video is done again
once by another one, and then listed as failed. A video that cannot be read is listed with its reason.
Whatever has been finished is not done again: `DONE` is written last into its folder.

On the command line: ``poseact predict FOLDER_OR_LIST.txt --weights W --out DIR --workers N``, and with
``--ray`` through Ray Data, on this machine or, with ``RAY_ADDRESS`` set, on a cluster that sees the same
files.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from poseact.data.images import SUFFIXES as IMAGE_SUFFIXES
from poseact.data.images import write_whole
from poseact.errors import UserError
from poseact.results import OUTPUTS, STATE, VIDEO, mark_ours
from poseact.video import SUFFIXES

One = Callable[[Path, Path], Mapping[str, Any] | None]
"""Does one video: source, result folder. It goes on with a folder that was left unfinished, raises
`UserError` on a video that cannot be used, and answers plain values for the summary, if any. It is
pickled once for each worker, so it should hold the names of files rather than a network, and load that
when it is first called."""

DONE = "done.json"
"""Written last into the folder of a video."""
ATTEMPTS = 2
"""A video whose worker died as often as this has failed."""
MOST_WORKERS = 8
"""Where nobody says how many."""
_DIGITS = 8
_GOODBYE_S = 10.0
"""A worker that was let go is waited for so long; none outlives this process."""
_SUMMARIES = "summary.csv", "summary.json"
_FIELDS = ("source", "folder", "status", "message")

Status = Literal["done", "found", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of a video: ``done`` now, ``found`` finished, or ``failed`` with a ``message``.

    ``about``: what was answered for the summary.
    """

    source: Path
    folder: Path
    status: Status
    message: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """One line of the summary."""
        own = (str(self.source), self.folder.name, self.status, self.message)
        return {**dict(zip(_FIELDS, own, strict=True)), **self.about}


@dataclass(frozen=True)
class Finished:
    """``outcomes`` in the order of the sources; ``lost``: how many workers died; ``files``: the summary."""

    outcomes: tuple[Outcome, ...]
    lost: int
    files: tuple[Path, ...]

    def count(self, status: Status) -> int:
        """How many videos ended so."""
        return sum(outcome.status == status for outcome in self.outcomes)


def predict_many(
    sources: Sequence[Path],
    out: Path,
    one: One,
    *,
    task: str = "",
    workers: int | None = None,
    ray: bool = False,
    console: Console | None = None,
) -> Finished:
    """Do every video by ``one`` into a folder of its own in ``out``; then write a summary there.

    ``task``: in words, what is done to each (weights, their checksum, options): a folder that was
    finished for another task, or from another file, is an error and not an answer. ``workers``:
    processes; one a core, at most 8, where None. They share the cores: each gets its part of them as
    threads. ``ray``: through Ray Data instead of processes of one's own.

    Writes ``summary.csv`` and ``summary.json``. Raises `UserError` where there is nothing to do, the
    folder cannot be written, it holds other results, or Ray is asked for and not installed.
    """
    tasks = [_Task(s, f) for s, f in zip(sources, result_folders(sources, out), strict=True)]
    if not tasks:
        raise UserError("videos: expected at least one, got none; check the folder or the list")
    if workers is not None and workers < 1:
        raise UserError(f"workers: expected 1 or more, got {workers}")
    try:
        out.mkdir(parents=True, exist_ok=True)
        mark_ours(out, [out / name for name in _SUMMARIES])
    except OSError as error:
        raise UserError(f"{out}: expected a folder that can be written, got {error.strerror}") from None
    found = {i: about for i, t in enumerate(tasks) if (about := _finished(t, task)) is not None}
    outcomes = {i: Outcome(*tasks[i], "found", "", about) for i, about in found.items()}
    todo = {i: t for i, t in enumerate(tasks) if i not in found}
    lost = 0
    with _progress(console, len(tasks)) as progress:
        progress.advance(progress.task_ids[0], len(found))

        def tell(place: int, answer: _Answer) -> None:
            status: Status = "failed" if answer.message else "done"
            outcomes[place] = Outcome(*tasks[place], status, answer.message, answer.about)
            progress.advance(progress.task_ids[0])
            if answer.message and console:
                named = f"{tasks[place].source}: "
                console.print(f"failed: {named}{answer.message.removeprefix(named)}", markup=False)

        if todo:
            count = min(workers or min(cores(), MOST_WORKERS), len(todo))
            work = _through_ray if ray else _in_processes
            lost = work(_Job(one, task), todo, count, tell)
    ordered = tuple(outcomes[i] for i in range(len(tasks)))
    return Finished(ordered, lost, _write_summary(out, ordered, lost))


def other_pictures(source: Path) -> int:
    """How many pictures lie beside the videos of a folder, and are not answered."""
    if not source.is_dir():
        return 0
    return sum(p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".") for p in source.iterdir())


def listed_videos(source: Path, out: Path) -> list[Path]:
    """The videos of a folder and of the folders in it, sorted; or those that a ``.txt`` lists, one a line.

    Names in a list are relative to its folder. Hidden files are left out, what lies in ``out`` where that is
    inside the folder, and overlays that lie among earlier results.
    Raises `UserError` where there are none, or the list cannot be read.
    """
    if source.is_dir():
        inside = source.resolve() in out.resolve().parents
        results = {out.resolve()} if inside else set()
        paths = sorted(
            p
            for p in source.rglob("*")
            if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()
            and results.isdisjoint(p.resolve().parents) and not _is_overlay(p)
        )  # fmt: skip
    else:
        try:
            lines = source.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{source}: expected a text file with one video a line, got: {error}; check it"
            ) from None
        paths = [source.parent / line.strip() for line in lines if line.strip()]
    if not paths:
        raise UserError(f"{source}: expected videos ({', '.join(SUFFIXES)}), found none; check it")
    return paths


def _is_overlay(path: Path) -> bool:
    """Whether a video is one that an earlier run made: it lies beside its other results."""
    overlays = {OUTPUTS["video"], VIDEO}
    beside = {DONE, STATE, *OUTPUTS.values()} - overlays
    return path.name in overlays and any((path.parent / name).exists() for name in beside)


def result_folders(sources: Sequence[Path], out: Path) -> list[Path]:
    """Where the results of each video lie: ``out``/<its file name>.

    Videos of the same name in different folders get eight digits after it, which depend on nothing
    but where the file lies. Raises `UserError` where a file is listed twice.
    """
    places = [Path(os.path.abspath(path)) for path in sources]  # a name may be .. before that
    for place, count in Counter(places).items():
        if count > 1:
            raise UserError(f"{place}: expected each video once, found it {count} times; list it once")
    same = Counter(place.name.casefold() for place in places)
    return [
        out / (place.name if same[place.name.casefold()] == 1 else f"{place.name}-{_digits(place)}")
        for place in places
    ]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _digits(place: Path) -> str:
    return hashlib.sha256(os.fsencode(place)).hexdigest()[:_DIGITS]


class _Task(NamedTuple):
    source: Path
    folder: Path


class _Job(NamedTuple):
    """What every worker gets."""

    one: One
    task: str


class _Answer(NamedTuple):
    """What a worker says of a video: ``message`` is empty where it is done."""

    about: dict[str, Any]
    message: str


_Tell = Callable[[int, _Answer], None]


def _identity(source: Path, task: str) -> dict[str, Any]:
    """What a finished folder must agree in."""
    try:
        about = source.stat()
        file = f"{about.st_size} bytes of {about.st_mtime_ns}"
    except OSError:
        file = None
    return {"source": source.name, "file": file, "task": task}


def _finished(task: _Task, text: str) -> dict[str, Any] | None:
    """What the mark of a finished folder says of its video; None where it is not finished."""
    path = task.folder / DONE
    try:
        mark = json.loads(path.read_bytes())
        about, known = dict(mark["about"]), {name: mark[name] for name in ("source", "file", "task")}
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise UserError(f"{task.folder}: expected a folder, found a file; give another --out") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"{path}: expected the mark of a finished video, found something else; delete the folder"
        ) from None
    for name, expected in _identity(task.source, text).items():
        if known[name] != expected:
            raise UserError(
                f"{task.folder}: expected results for {name} {expected!r}, found those for {known[name]!r}; "
                "give another --out, or delete the folder"
            )
    return about


def _attempt(job: _Job, task: _Task) -> _Answer:
    """Do a video and mark its folder; whatever is raised becomes one line."""
    try:
        about = dict(job.one(task.source, task.folder) or {})
        mark = {**_identity(task.source, job.task), "about": about}
        write_whole(task.folder / DONE, json.dumps(mark, indent=1).encode())
    except UserError as error:
        return _Answer({}, str(error))
    except Exception as error:  # one video must not end the others
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())
        return _Answer({}, f"{type(error).__name__}: {text} ({Path(last.filename).name}, line {last.lineno})")
    return _Answer(about, "")


def _died(why: str) -> _Answer:
    return _Answer({}, f"its worker died {ATTEMPTS} times{why}; look at the file, or give fewer workers")


# --- processes of one's own ---------------------------------------------------------------


def _in_processes(job: _Job, tasks: Mapping[int, _Task], workers: int, tell: _Tell) -> int:
    """Do the tasks by so many processes; returns how many of these died."""
    waiting, begun, lost = deque(tasks), Counter[int](), 0
    running: dict[Connection[Any, Any], tuple[SpawnProcess, int]] = {}
    threads = max(1, cores() // workers)

    def give(connection: Connection[Any, Any], process: SpawnProcess) -> None:
        """Send the next task; or let the worker go, where there is none."""
        if not waiting:
            connection.close()
            process.join(_GOODBYE_S)
            return
        place = waiting.popleft()
        begun[place] += 1
        running[connection] = process, place
        with suppress(OSError):  # a worker that has died meanwhile: its silence is heard below
            connection.send(tasks[place])

    try:
        for _ in range(min(workers, len(waiting))):
            give(*_start(job, threads))
        while running:
            for connection in wait(list(running)):
                assert isinstance(connection, Connection)
                process, place = running.pop(connection)
                try:
                    tell(place, connection.recv())
                except (EOFError, OSError):
                    lost += 1
                    connection.close()
                    process.join()
                    if begun[place] < ATTEMPTS:
                        waiting.append(place)
                    else:
                        tell(place, _died(f", the last time with exit code {process.exitcode}"))
                    if waiting:
                        give(*_start(job, threads))
                else:
                    give(connection, process)
    finally:  # only where this process is interrupted are there any left
        for process, _ in running.values():
            process.terminate()
    return lost


def _start(job: _Job, threads: int) -> tuple[Connection[Any, Any], SpawnProcess]:
    # Not forked: threads of the parent that hold a lock would hold it for ever in the child.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, job, threads), daemon=True)
    process.start()
    theirs.close()  # so that the end of the worker is the end of the pipe
    return ours, process


def _serve(connection: Connection[Any, Any], job: _Job, threads: int) -> None:
    """The life of a worker: tasks come in and answers go out until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _use_threads(threads)
    with suppress(EOFError):
        while True:
            connection.send(_attempt(job, connection.recv()))


def _end_with_parent() -> None:
    """No worker outlives a parent that was killed: a second one might write into the same folder."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _use_threads(count: int) -> None:
    import cv2
    import torch

    from poseact.memory import keep_freed_memory

    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    keep_freed_memory()


# --- Ray Data -----------------------------------------------------------------------------


def _through_ray(job: _Job, tasks: Mapping[int, _Task], workers: int, tell: _Tell) -> int:
    """Do the tasks by so many actors of Ray Data, each a block of its own; returns how many died.

    Ray restarts an actor that dies and gives it its block again.
    """
    try:
        import ray
        import ray.data
    except ImportError:
        raise UserError(
            "ray: not installed; install the extra: pip install 'poseact[batch]', or leave --ray out"
        ) from None
    started_here = not ray.is_initialized()
    if started_here:
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    lost = 0
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        tally = ray.remote(num_cpus=0)(_Tally).remote()
        items = ray.data.from_items([{"place": i} for i in tasks], override_num_blocks=len(tasks))
        threads = max(1, cores() // workers)
        answers = items.map(
            _Actor,
            fn_constructor_args=(job, dict(tasks), threads, tally),
            concurrency=workers,
            **_resources(ray.cluster_resources().get("GPU", 0.0), workers, threads),
        )
        for row in answers.iter_rows():
            lost += row["lost"]
            tell(int(row["place"]), _Answer(json.loads(row["about"]), str(row["message"])))
    except ray.exceptions.RayError as error:
        first = str(error).partition("\n")[0]
        raise UserError(f"ray: {first}; what is finished is kept: the same command goes on") from None
    finally:
        if started_here:
            ray.shutdown()
    return lost


def _resources(gpus: float, workers: int, threads: int) -> dict[str, float]:
    """What an actor reserves: its share of the GPUs, where there are any, else its cores."""
    return {"num_gpus": min(1.0, gpus / workers)} if gpus else {"num_cpus": threads}


class _Tally:
    """Counts how often each task was begun; it outlives the actors that do them."""

    def __init__(self) -> None:
        self.begun = Counter[int]()

    def begin(self, place: int) -> int:
        self.begun[place] += 1
        return self.begun[place]


class _Actor:
    """A worker of Ray Data: rows with a ``place`` in, rows of plain values out."""

    def __init__(self, job: _Job, tasks: Mapping[int, _Task], threads: int, tally: Any) -> None:
        self.job, self.tasks, self.tally = job, tasks, tally
        _use_threads(threads)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        import ray

        place = int(row["place"])
        begun = ray.get(self.tally.begin.remote(place))
        answer = _died("") if begun > ATTEMPTS else _attempt(self.job, self.tasks[place])
        about = json.dumps(answer.about)
        return {"place": place, "lost": begun - 1, "about": about, "message": answer.message}


# --- what is told -------------------------------------------------------------------------


def _progress(console: Console | None, total: int) -> Progress:
    columns = (TextColumn("videos"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, disable=console is None)
    progress.add_task("videos", total=total)
    return progress


def _write_summary(out: Path, outcomes: Sequence[Outcome], lost: int) -> tuple[Path, Path]:
    """One row a video, as CSV and as JSON."""
    rows = [outcome.row() for outcome in outcomes]
    names = list(dict.fromkeys([*_FIELDS, *(name for row in rows for name in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    table, full = (out / name for name in _SUMMARIES)
    try:
        write_whole(table, text.getvalue().encode("utf-8", "backslashreplace"))
        write_whole(full, json.dumps({"videos": rows, "workers_lost": lost}, indent=1).encode())
    except OSError as error:
        raise UserError(f"{out}: expected a folder that can be written, got {error.strerror}") from None
    return table, full
