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
    Raises `UserError` where there is none to read, or the folder cannot be written or holds what must not be
    replaced.
    """
    options = options or RunOptions()
    stream = open_stream(source, network, out, options)
    opened = stream.source
    rows: list[Rows] = [np.zeros(0, stream.kind)]
    gaps: list[Gap] = []
    pictures: list[tuple[str, tuple[int, int]]] = []
    overlays: list[Path] = []
    messages: list[str] = []
    began, count = time.monotonic(), len(opened.stills)
    with alone_in(out), writing(out):
        begin_anew(out)
        groups = track(stream.answers(), "predicting", count, console=console, disable=console is None)
        for answer in (answer for group in groups for answer in group):
            frame = answer.frame
            shown = opened.stills[frame.number]
            if frame.image is None:
                messages.append(f"skipped: {frame.reason}")
                pictures.append((shown, (0, 0)))
            else:
                rows.append(answer.rows)
                pictures.append((shown, (frame.image.shape[1], frame.image.shape[0])))
                if options.wants("video"):
                    overlays.append(out / f"{shown}.png")
                    _draw(overlays[-1], answer, stream)
            if answer.gap:
                add_gap(gaps, frame.number, UNREADABLE if frame.image is None else answer.gap)
    everyone = np.concatenate(rows)
    results = results_of(stream, everyone, count, gaps, weights_text(weights, network))
    results = replace(results, pictures=tuple(pictures))
    return Summary(
        frames=count,
        answered=sum(len(own) > 0 for own in rows),
        people=len(results.people),
        gaps=results.gaps,
        segments=(),
        written=_write(out, results, overlays, options),
        fps=count / max(1e-9, time.monotonic() - began),
        messages=tuple(messages),
    )


def _draw(path: Path, answer: Answer, stream: Stream) -> None:
    assert answer.frame.image is not None
    write_png(path, draw_frame(answer.frame.image, answer.rows, stream.layout, time_s=None, gap=answer.gap))


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
