"""Weights to pass on: filters in half precision, and what is known of them in the file itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from poseact.data.images import check_place
from poseact.errors import UserError
from poseact.evaluation.files import Evaluation, read_evaluation
from poseact.weights import load_weights, save_weights
from poseact.weights.files import checksum, tensors_of

METADATA = "scores"
"""The entry of a weight file that holds what `_row` tells of each evaluation, as a JSON list."""


def release_weights(
    weights: Path, target: Path, evaluations: Sequence[Path] = (), licence: str = "", data: str = ""
) -> None:
    """Write ``weights`` again as ``target``, with filters in half precision and a card in its metadata.

    ``evaluations``: files of ``poseact evaluate --json`` made with these very weights in half precision,
    so release them once without, evaluate, and release again. ``licence`` and ``data``: in words, what
    users may do and what was trained on; what the file says already stays where they are empty.

    Raises `UserError` where a file cannot be read or written, or an evaluation is of other weights.
    """
    check_place(target, ".safetensors")
    file = load_weights(weights)
    told = {"licence": licence, "data": data}
    metadata = file.metadata | {key: text for key, text in told.items() if text}
    own = checksum(tensors_of(file.model, half=True))
    rows = []
    for path in evaluations:
        evaluation = read_evaluation(path)
        if evaluation.sha256 != own:
            raise UserError(
                f"{path}: expected an evaluation of {weights} in half precision, found one of "
                f"{evaluation.weights}; release without --scores, evaluate that file and give what it writes"
            )
        rows.append(_row(evaluation))
    if rows:
        metadata[METADATA] = json.dumps(rows)
    save_weights(target, file.model, file.arguments, metadata, half=True)


def measured(metadata: Mapping[str, str]) -> str:
    """What was measured with released weights, as tables in Markdown; empty where the file has none of it.

    ``metadata``: a weight file's, with what `release_weights` put there. Scores come with 95 % intervals.
    """
    try:
        return "\n".join(_tables(json.loads(metadata.get(METADATA, "[]"))))
    except (ValueError, TypeError, KeyError, AttributeError):  # others may write what they like there
        return ""


def _tables(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    lines = ["| data | split | samples | score | value | 95 % |", "|---|---|---|---|---|---|"]
    for row in rows:
        place = f"| {row['data']} | {row['split']} | {row['samples']} "
        for name, (value, low, high) in row["scores"].items():
            interval = "" if None in (low, high) else f"{_told(name, low)} to {_told(name, high)}"
            lines.append(f"{place}| {name} | {_told(name, value)} | {interval} |")
    for title, key in (("joint", "by_joint"), ("action", "by_action")):
        parts = [row for row in rows if row.get(key)]
        if parts:
            lines += ["", *_by(title, parts, key)]
    return lines


def _by(title: str, parts: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    """A table of each evaluation's main score, a line a joint or action."""
    heads = [f"{row['main']}, {row['data']} {row['split']}, {row['samples']}" for row in parts]
    # What differs by its rules alone is told apart by these.
    heads = [
        f"{head}, {row['protocol']}" if heads.count(head) > 1 else head
        for head, row in zip(heads, parts, strict=True)
    ]
    lines = [f"| {' | '.join([title, *heads])} |", "|---" * (len(heads) + 1) + "|"]
    for name in dict.fromkeys(name for row in parts for name in row[key]):
        cells = [_told(row["main"], row[key].get(name, {}).get(row["main"])) for row in parts]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return lines


def _told(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if name.endswith("_mm") else f"{value:.3f}"


def _row(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation in short: each score with its 95 % interval, by block, and by joint or action."""
    content = json.loads(evaluation.path.read_bytes())
    row = {
        key: content[key] for key in ("data", "split", "samples", "protocol", "main", "by_block", "by_action")
    }
    row["scores"] = {
        name: [value, *(None if math.isnan(x) else float(f"{x:.4g}") for x in evaluation.interval(name))]
        for name, value in content["scores"].items()
    }
    return row | {key: content[key] for key in ("by_joint", "hardware", "date") if key in content}
