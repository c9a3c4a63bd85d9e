"""The timeline of a video: who performs what, when, and where there is no answer."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MultipleLocator

from poseact.results import CHUNK, Results
from poseact.segments import NO_ACTION, Segment, centred

COLUMNS = 1600
"""Frames of a longer video share columns, which show their mean."""
SHOWN_PEOPLE = 12
FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.int64]

# Okabe and Ito's palette, distinct for colour-blind readers too, but black and yellow.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6BB1")
_OTHERS = "#bdbdbd"
_STYLE: dict[Any, Any] = {
    "font.size": 9, "hatch.linewidth": 0.6, "hatch.color": "#9a9a9a",
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
}  # fmt: skip
_WIDTH_IN, _ROW_IN, _LETTER_IN = 11.0, 0.85, 0.085
_DPI = 130
_STEPS_S, _MOST_STEPS = (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600), 10
_BAR = (1.08, 0.36)
"""Where the named segments lie above the band of height 1, and how high they are."""


def draw_timeline(results: Results, segments: Sequence[Segment], window: int) -> bytes:
    """The timeline as a PNG: a row a person, with their ``segments`` named above the probabilities over time.

    The band's parts are the probabilities of the most frequent actions and of all others together; the rest
    up to 1 is where the row has no answer. They lie at the centre of the ``window`` frames that they are
    about (`segments.centred`). Without actions the band is the mean visibility of the joints. Hatched:
    the video's gaps. Time is `Results.seconds`. The 12 people seen longest have a row.
    """
    people, left_out = _longest_seen(results)
    named = _named(results, segments)
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # names in letters that the font lacks show as boxes
        figure = Figure(figsize=(_WIDTH_IN, 1.35 + _ROW_IN * max(1, len(people))), layout="constrained")
        rows = figure.subplots(max(1, len(people)), 1, sharex=True, squeeze=False)[:, 0]
        for axes, person in zip(rows, people, strict=False):
            _draw_band(axes, results, person, window, named)
            _draw_segments(axes, [s for s in segments if s.person == person], named, results)
            axes.set_ylabel(f"person {person}", rotation=0, ha="right", va="center")
        if not people:
            rows[0].text(0.5, 0.5, "no person was found", ha="center", transform=rows[0].transAxes)
        for axes in rows:
            _draw_gaps(axes, results)
            axes.set_yticks([] if results.actions or not people else [0, 1])
            axes.set_ylim(0, sum(_BAR) if results.actions else 1)
        _label(figure, rows[-1], results, left_out)
        _draw_legend(figure, results, named)
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=_DPI)
        return data.getvalue()


def _longest_seen(results: Results) -> tuple[list[int], int]:
    """The people that have a row, ascending, and how many do not."""
    people, counts = np.unique(results.column("person"), return_counts=True)
    kept = np.argsort(-counts, kind="stable")[:SHOWN_PEOPLE]
    return sorted(people[kept].tolist()), len(people) - len(kept)


def _named(results: Results, segments: Sequence[Segment]) -> dict[str, str]:
    """The actions that have a colour of their own: of segments by their length, then by probability."""
    if not results.actions:
        return {}
    weight = np.zeros(len(results.actions))
    for rows in results.chunks():
        weight += rows["action"][rows["action_known"]].sum(0, dtype=np.float64)
    for segment in segments:
        if segment.action in results.actions:
            long = segment.last - segment.first + 1
            weight[results.actions.index(segment.action)] += len(results.rows) * long
    weight[[i for i, name in enumerate(results.actions) if name.lower() == NO_ACTION]] = 0
    best = np.argsort(-weight, kind="stable")[: len(_COLOURS)]
    return {results.actions[i]: colour for i, colour in zip(best, _COLOURS, strict=False) if weight[i] > 0}


def _draw_band(axes: Axes, results: Results, person: int, window: int, named: dict[str, str]) -> None:
    """What is known of each column, stacked; columns without a row of the person stay empty."""
    if results.actions:
        places, answers = centred(results, person, window)
        columns = [results.actions.index(name) for name in named]
        others = [i for i in range(len(results.actions)) if i not in columns]
        colours, field = [*named.values(), _OTHERS], "action"
    else:
        places = answers = np.flatnonzero(results.column("person") == person)
        columns, others, colours, field = [], [], ["#8fb8d8"], "visibility"
    count = min(COLUMNS, max(1, results.frames))
    total, seen = np.zeros((count, len(columns) + 1)), np.zeros(count)
    for start in range(0, len(places), CHUNK):
        some = slice(start, start + CHUNK)
        values = np.nan_to_num(results.column(field, answers[some]).astype(np.float64))
        last = values[:, others].sum(1) if field == "action" else values.mean(1)
        parts = np.column_stack([values[:, columns], last])
        _add(total, seen, results.column("frame", places[some]) * count // max(1, results.frames), parts)
    bands = total / np.maximum(seen, 1)[:, None]
    # A column is as wide as it is long, so each value is drawn at both of its edges.
    edges = results.seconds(np.repeat(np.arange(count + 1), 2)[1:-1] * (results.frames / count))
    axes.stackplot(edges, np.repeat(bands, 2, axis=0).T, colors=colours, linewidth=0)


def _add(total: FloatArray, seen: FloatArray, columns: IntArray, parts: FloatArray) -> None:
    """Add rows ``parts`` (n, k) to the ``columns`` (n,), ascending, that they belong to."""
    own, starts = np.unique(columns, return_index=True)
    total[own] += np.add.reduceat(parts, starts, axis=0)
    seen[own] += np.diff([*starts.tolist(), len(columns)])


def _draw_segments(axes: Axes, segments: Sequence[Segment], named: dict[str, str], results: Results) -> None:
    whole = float(results.seconds(max(1, results.frames)))
    for segment in segments:
        start, end = segment.start_s, segment.end_s
        length = end - start
        colour = named.get(segment.action, _OTHERS)
        axes.broken_barh([(start, length)], _BAR, color=colour, linewidth=0)
        room = 0.85 * _WIDTH_IN * length / whole
        if room > _LETTER_IN * len(segment.action):
            text = axes.text(
                start + length / 2, _BAR[0] + 0.46 * _BAR[1], _plain(segment.action),
                ha="center", va="center", fontsize=8, color=_ink(colour), clip_on=True, parse_math=False,
            )  # fmt: skip
            text.set_in_layout(False)


def _ink(colour: str) -> str:
    """Black or white, whatever is read more easily on ``colour``."""
    red, green, blue = to_rgb(colour)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "white"


def _draw_gaps(axes: Axes, results: Results) -> None:
    starts = results.seconds([gap.first for gap in results.gaps])
    lengths = results.seconds([gap.last + 1 for gap in results.gaps]) - starts
    ends = list(zip(starts.tolist(), lengths.tolist(), strict=True))
    if ends:
        axes.broken_barh(
            ends, (0, sum(_BAR)), facecolor="#eeeeee", edgecolor="#9a9a9a", hatch="////", lw=0, zorder=0.5
        )


def _label(figure: Figure, axes: Axes, results: Results, left_out: int) -> None:
    duration = float(results.seconds(max(1, results.frames)))
    axes.set_xlim(0, duration)
    if duration >= 60:
        step = next((s for s in _STEPS_S if duration <= _MOST_STEPS * s), duration / _MOST_STEPS)
        axes.xaxis.set_major_locator(MultipleLocator(step))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda s, _: f"{int(s) // 60}:{int(s) % 60:02}"))
    axes.set_xlabel("minutes:seconds" if duration >= 60 else "seconds")
    more = f", and {left_out} more people" if left_out else ""
    what = "actions" if results.actions else "mean visibility of the joints"
    figure.suptitle(f"{_plain(results.source)}: {what}{more}", fontsize=10, parse_math=False)


def _draw_legend(figure: Figure, results: Results, named: dict[str, str]) -> None:
    entries = [Patch(color=colour, label=_plain(name)) for name, colour in named.items()]
    if len(results.actions) > len(named):
        entries.append(Patch(color=_OTHERS, label="other actions"))
    if results.gaps:
        entries.append(Patch(facecolor="#eeeeee", edgecolor="#9a9a9a", hatch="////", label="no answer"))
    if entries:
        legend = figure.legend(
            handles=entries, loc="outside lower center", ncols=min(5, len(entries)), frameon=False
        )
        for text in legend.get_texts():
            text.set_parse_math(False)


def _plain(text: str) -> str:
    """One line of at most 60 letters."""
    text = "".join(c if c.isprintable() else " " for c in text)
    return text if len(text) <= 60 else text[:59] + "…"
