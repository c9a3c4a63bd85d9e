"""The report's figures, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from poseact.evaluation.files import Evaluation

# Okabe and Ito's palette, distinct for colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
POSE, APPEARANCE, BOTH = "#D55E00", "#0072B2", "#000000"
STREAMS = (("accuracy_pose", "pose", POSE), ("accuracy_appearance", "appearance", APPEARANCE))
_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
}
_ROW_INCHES = 0.3
_LEGEND_ENTRIES = 2


def by_block(evaluations: Sequence[Evaluation], names: Sequence[str], title: str) -> bytes:
    """Figure 8: accuracy of every action block of both streams, and of the aggregation; a line each."""
    with mpl.rc_context(_STYLE):
        height = 3.6 + 0.22 * len(names)
        figure = Figure(figsize=(9, height), layout="constrained")
        left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=(4, 4, 1.6))
        for i, (evaluation, name) in enumerate(zip(evaluations, names, strict=True)):
            look = {"color": COLOURS[i % len(COLOURS)], "marker": "os^Dv<>P"[i % 8], "label": _plain(name)}
            for axes, (metric, _, _) in zip((left, middle), STREAMS, strict=True):
                values = [100 * value for value in evaluation.by_block.get(metric, [])]
                axes.plot(range(1, len(values) + 1), values, **look)
                axes.set_xticks(range(1, len(values) + 1))
            total, (low, high) = evaluation.scores["accuracy"], evaluation.interval("accuracy")
            # The score in the file is rounded: it may lie a hair beyond its own interval.
            sides = [[max(0.0, 100 * (total - low))], [max(0.0, 100 * (high - total))]]
            bars = sides if np.isfinite(low) else None
            place = (i - (len(names) - 1) / 2) * 0.2
            right.errorbar([place], [100 * total], yerr=bars, capsize=3, linestyle="none", **look)
        figure.suptitle(_plain(title))
        for axes, stream in ((left, "pose"), (middle, "appearance"), (right, "both")):
            axes.set_title(stream)
            axes.set_xlabel("action block")
        right.set_xlabel("aggregation")
        right.set_xticks([])
        right.margins(x=0.3)
        left.set_ylabel("accuracy, %")
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=_LEGEND_ENTRIES, frameon=False)
        return _png(figure)


def by_action(evaluation: Evaluation, title: str) -> bytes:
    """Figure 9: accuracy of each action by pose, by appearance and by both, in a row each.

    Sorted by how much better the pose does than the appearance; the line is the bootstrap's 95 % of both.
    """
    rows = evaluation.by_action

    def gain(action: str) -> float:
        return rows[action].get("accuracy_pose", 0) - rows[action].get("accuracy_appearance", 0)

    actions = sorted(rows, key=gain)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8, 1.6 + _ROW_INCHES * max(3, len(actions))), layout="constrained")
        axes = figure.subplots()
        places = np.arange(len(actions))
        for (metric, name, colour), shift in zip(STREAMS, (0.14, -0.14), strict=True):
            values = [100 * rows[action].get(metric, np.nan) for action in actions]
            axes.plot(values, places + shift, "o", color=colour, label=name, markersize=6)
        values = [100 * rows[action].get("accuracy", np.nan) for action in actions]
        axes.plot(values, places, "|", color=BOTH, label="both", markersize=9, markeredgewidth=2.5)
        for place, action in zip(places, actions, strict=True):
            low, high = evaluation.interval_of_action("accuracy", action)
            axes.plot([100 * low, 100 * high], [place, place], color=BOTH, linewidth=1)
        axes.set_yticks(places, [_plain(action) for action in actions])
        axes.set_ylim(-0.7, len(actions) - 0.3)
        axes.set_xlim(-2, 102)
        axes.set_xlabel("accuracy, %")
        axes.set_title(_plain(title))
        figure.legend(loc="outside upper center", ncols=3, frameon=False)
        return _png(figure)


def _plain(text: str) -> str:
    """Names as they are: matplotlib takes what stands between two dollars for TeX."""
    return text.replace("$", r"\$")


def _png(figure: Figure) -> bytes:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=130)
    return data.getvalue()
