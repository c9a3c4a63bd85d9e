"""What the commands found, as tables for the terminal."""

from __future__ import annotations

import math
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table


def score_tables(scores: Any) -> list[Table]:
    """Every metric by block; of what is reported, the main one by joint and all streams by action."""
    skipped = f", {scores.skipped} could not be" if scores.skipped else ""
    longest = max(map(len, scores.scores.values()))
    heads = [f"block {k + 1}" for k in range(longest)]
    alone = [name for name, values in scores.scores.items() if len(values) < longest]
    blocks = narrow_table("", *heads, *(["aggregation"] if alone else []))
    blocks.title = f"{scores.samples} scored{skipped}"
    for name, values in scores.scores.items():
        cells = [""] * longest + list(values[-1:]) if name in alone else values
        blocks.add_row(name, *(cell if cell == "" else _score_text(name, cell) for cell in cells))
    tables = [blocks]
    for title, rows in (("joint", getattr(scores, "by_joint", {})), ("action", scores.by_action)):
        shown = alone + [name for name in scores.scores if alone and name not in alone] or [scores.main]
        table = narrow_table(title, *shown)
        for key, row in rows.items():
            table.add_row(key, *(_score_text(name, row.get(name, math.nan)) for name in shown))
        tables += [table] if rows else []
    return tables


def bench_table(report: Any, weights: str, size: int, batch: int) -> Table:
    """Speed by backend, precision and block, and the score beside it where there is one."""
    streamed = any(row.frames_per_second is not None for row in report.rows)
    heads = ["precision", "block", "images/s", "of fp32 product"]
    heads += ["frames/s, streamed"] if streamed else []
    heads += [report.metric] if report.metric else []
    table = narrow_table("backend", *heads)
    table.title = f"{weights}, {size} px, batch {batch}"
    table.title += f", {report.samples} people" if report.metric else ""
    for row in report.rows:
        cells = [row.precision, str(row.block), f"{row.images_per_second:.1f}", f"{row.share:.0%}"]
        cells += [f"{row.frames_per_second:.1f}"] if streamed else []
        cells += [_score_text(report.metric, row.score)] if report.metric else []
        table.add_row(row.backend, *cells)
    return table


def report_table(data: str, split: str, report: Any) -> Table:
    """What a check counted."""
    table = Table("", "", title=f"{data}, {split}", show_header=False)
    table.add_row("people or tracks", str(report.items))
    table.add_row(
        "published", "not known for this split" if report.published is None else str(report.published)
    )
    table.add_row("frames annotated", str(report.frames))
    table.add_row("damaged", str(len(report.damaged)))
    table.add_row("impossible joints", str(len(report.impossible)))
    for name, text in (
        ("facing", "upright people who show their face"),
        ("agreeing", "shoulders and hips in the same order"),
        ("feet_forward", "feet that point forwards in 3D"),
    ):
        share = getattr(report, name)
        table.add_row(text, "-" if math.isnan(share) else f"{share:.1%}")
    return table


def calibration_tables(report: Any) -> list[Table]:
    """Shares of joints in their regions: on both halves by level, and on the held-out one by joint."""
    levels = narrow_table("region", "half used", "held out")
    for level, shares in report.levels.items():
        levels.add_row(f"{level:.0%}", *(f"{share:.1%}" for share in shares))
    tables = [levels]
    for title, rows in (("by size of the map", report.thirds), ("joint", report.joints)):
        table = narrow_table(title, "50%", "90%")
        for name, shares in rows.items():
            table.add_row(name, *(f"{share:.1%}" for share in shares))
        tables.append(table)
    return tables


def narrow_table(*columns: str) -> Table:
    """Eight blocks fit into 80 columns."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    return table


def _score_text(metric: str, value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.1f}" if metric.endswith("_mm") else f"{value:.3f}"
