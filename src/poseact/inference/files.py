"""Pictures, each answered by itself, to a result folder; videos are `run`'s."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from poseact.data.images import write_png, write_whole
from poseact.errors import UserError
from poseact.export.tables import write_coco, write_csv, write_npz
from poseact.inference.run import (
    RunOptions,
    Summary,
    add_gap,
    alone_in,
    begin_anew,
    open_stream,
    results_of,
    weights_text,
    writing,
)
from poseact.inference.source import UNREADABLE
from poseact.inference.stream import Answer, Stream
from poseact.network import MultitaskNetwork
from poseact.results import OUTPUTS, Gap, Results, Rows
from poseact.visual.frame import draw_frame
from poseact.visual.page import result_page


def predict_pictures(
    source: str | Path,
    network: MultitaskNetwork,
    out: Path,
    options: RunOptions | None = None,
    console: Console | None = None,
    weights: str = "",
) -> Summary:
    """Answer a picture, or every picture of a folder, into the folder ``out``.

    Writes ``<picture>.png`` with what was found, and of `results.OUTPUTS` the tables and the page. Pictures
    that cannot be read are gaps, and `Summary.messages` say why. Frames are numbered by the sorted names.
    Ctrl-C ends it with the results of those that were done. Raises `UserError` where there is none to read,
    nothing that is asked for can be written of pictures, or the folder cannot be written or holds what must
    not be replaced.
    """
    options = options or RunOptions()
    if options.only and not any(map(options.wants, ("json", "csv", "npz", "video", "page"))):
        raise UserError(f"only {','.join(options.only)}: expected something that pictures have; leave it out")
    stream = open_stream(source, network, out, options)
    opened = stream.source
    rows: list[Rows] = [np.zeros(0, stream.kind)]
    gaps: list[Gap] = []
    pictures: list[tuple[str, tuple[int, int]]] = []
    overlays: list[Path] = []
    messages: list[str] = []
    began, stopped = time.monotonic(), None
    with alone_in(out), writing(out):
        begin_anew(out, [f"{shown}.png" for shown in opened.stills if options.wants("video")])
        groups = track(
            stream.answers(), "predicting", len(opened.stills), console=console, disable=console is None
        )
        try:
            for answer in (answer for group in groups for answer in group):
                frame = answer.frame
                shown = opened.stills[frame.number]
                if frame.image is None:
                    messages.append(f"skipped: {frame.reason}")
                elif options.wants("video"):
                    problem = _draw(out / f"{shown}.png", answer, stream)
                    overlays += [] if problem else [out / f"{shown}.png"]
                    messages += [problem] if problem else []
                # From here on nothing takes time: what is counted belongs together.
                rows.append(answer.rows)
                pictures.append((shown, (0, 0) if frame.image is None else frame.image.shape[1::-1]))
                if answer.gap:
                    add_gap(gaps, frame.number, UNREADABLE if frame.image is None else answer.gap)
        except (Exception, KeyboardInterrupt) as error:
            if not pictures:
                raise
            stopped = error
        everyone, count = np.concatenate(rows), len(pictures)
        results = results_of(stream, everyone, count, gaps, weights_text(weights, network))
        results = replace(results, pictures=tuple(pictures))
        written = _write(out, results, overlays, options)
    if stopped is not None:
        if console is not None:
            done = f"{count} of {len(opened.stills)} pictures"
            console.print(f"stopped after {done}; their results are written", markup=False)
        raise stopped
    return Summary(
        frames=count,
        answered=sum(len(own) > 0 for own in rows),
        people=len(results.people),
        gaps=results.gaps,
        segments=(),
        written=written,
        fps=count / max(1e-9, time.monotonic() - began),
        messages=tuple(messages),
    )


def _draw(path: Path, answer: Answer, stream: Stream) -> str:
    """Write a picture's overlay; why it cannot be, in words, or nothing: the tables are worth more."""
    assert answer.frame.image is not None
    drawn = draw_frame(answer.frame.image, answer.rows, stream.layout, time_s=None, gap=answer.gap)
    try:
        write_png(path, drawn)
    except OSError as error:
        return f"{path}: not written: {error.strerror}"
    return ""


def _write(out: Path, results: Results, overlays: list[Path], options: RunOptions) -> tuple[Path, ...]:
    written = list(overlays)
    tables: dict[str, Callable[[Path], None]] = {
        "json": lambda path: write_coco(path, results),
        "csv": lambda path: write_csv(path, results),
        "npz": lambda path: write_npz(path, results),
    }
    for name, write in tables.items():
        if options.wants(name):
            write(out / OUTPUTS[name])
            written.append(out / OUTPUTS[name])
    if options.wants("page"):
        tables_only = [path.name for path in written[len(overlays) :]]
        page = result_page(results, (), tables_only, overlays=[path.name for path in overlays])
        with writing(out):
            write_whole(out / OUTPUTS["page"], page.encode("utf-8", "replace"))
        written.append(out / OUTPUTS["page"])
    return tuple(written)
