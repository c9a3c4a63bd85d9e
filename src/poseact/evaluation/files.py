"""Evaluation files: what an evaluation scored, with what, and each person's part, as one JSON object."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import poseact
from poseact.errors import UserError
from poseact.evaluation.metrics import FloatArray, IntArray, bootstrap
from poseact.evaluation.rules import Protocol
from poseact.evaluation.scores import BY_ACTION, ActionScores, People, PoseScores
from poseact.network import MultitaskNetwork
from poseact.weights.files import checksum

FORMAT = "poseact-evaluation-1"
DIGITS = 6
"""Significant digits of what is written."""
LARGEST_BYTES = 1 << 28
LARGEST_CLASS = 10_000
ACTION_DRAWS = 400
SEED = 0


def evaluation_object(
    scores: PoseScores | ActionScores,
    *,
    data: str,
    split: str,
    part: bool,
    weights: str,
    about: Mapping[str, Any],
    device: torch.device,
) -> dict[str, Any]:
    """The scores as the one object that ``poseact evaluate --json`` writes.

    ``part``: whether not all of the split was chosen. ``about``: what is known of the network, such as its
    arguments and its file's metadata and checksum.
    """
    actions = isinstance(scores, ActionScores)
    blocks = {name: values for name, values in scores.scores.items() if name != "accuracy"}
    count = max(map(len, blocks.values()))
    content: dict[str, Any] = {
        "format": FORMAT,
        "kind": "action" if actions else "pose",
        "data": data,
        "split": split,
        "part": part,
        "samples": scores.samples,
        "skipped": scores.skipped,
        "damaged": scores.damaged,
        "weights": weights,
        "protocol": scores.rules,
        "main": scores.main,
        "scores": {name: _rounded(values[-1]) for name, values in scores.scores.items()},
        "by_block": {
            str(k + 1): {name: _rounded(values[k]) for name, values in blocks.items()} for k in range(count)
        },
        "by_action": _nested(scores.by_action),
    }
    if isinstance(scores, PoseScores):
        content["by_joint"] = _nested(scores.by_joint)
    else:
        content["actions"] = list(scores.actions)
        content["confusion"] = scores.confusion.tolist()
        content["unanswered"] = scores.unanswered
    content |= {
        "rules": dataclasses.asdict(scores.protocol),
        "network": dict(about),
        "hardware": hardware(device),
        "software": f"poseact {poseact.__version__}, torch {torch.__version__}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "seconds_per_sample": _rounded(scores.seconds / max(1, scores.samples + scores.skipped)),
        "people": _people(scores.people),
    }
    return content


def hardware(device: torch.device) -> str:
    """What computes: the GPU, or the CPU and the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{cpu_name()}, {torch.get_num_threads()} threads"


def cpu_name() -> str:
    """The CPU's name as Linux tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] != "unknown" else platform.machine()


def about_network(network: MultitaskNetwork, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The network in an evaluation file: arguments, its file's metadata, checksum of its weights.

    The checksum is the one that the weight file tells, as `poseact info` shows it.
    """
    told = {key: value for key, value in metadata.items() if key not in ("network", "joints", "sha256")}
    sha256 = metadata.get("sha256")
    if sha256 is None:  # it is not from a file
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
        sha256 = checksum(tensors)
    return {"arguments": network.arguments, "metadata": told, "sha256": sha256}


def _rounded(value: float) -> float | None:
    """A number of six digits; None, JSON's null, where there is none."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _nested(table: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {key: {name: _rounded(value) for name, value in row.items()} for key, row in table.items()}


def _people(people: People) -> dict[str, Any]:
    return {
        "unit": people.unit.tolist(),
        "action": None if people.action is None else people.action.tolist(),
        "sums": {name: [_rounded(value) for value in sums.tolist()] for name, sums in people.sums.items()},
        "counts": {name: counts.tolist() for name, counts in people.counts.items()},
    }


@dataclass(frozen=True)
class Evaluation:
    """An evaluation file as it was read: see `evaluation_object`.

    ``confusion`` (A, A): counts, rows the truth, of the ``actions``; both empty for poses.
    ``by_block``: metric to scores, first block to last; NaN in place of null. ``sheet``: the picture of
    examples beside the file, where there is one.
    """

    path: Path
    kind: str
    data: str
    split: str
    part: bool
    samples: int
    skipped: int
    damaged: int
    weights: str
    protocol: str
    main: str
    scores: dict[str, float]
    by_block: dict[str, list[float]]
    by_action: dict[str, dict[str, float]]
    actions: tuple[str, ...]
    confusion: IntArray
    rules: Protocol
    sha256: str
    metadata: dict[str, str]
    hardware: str
    software: str
    date: str
    seconds_per_sample: float
    people: People

    @property
    def sheet(self) -> Path | None:
        beside = self.path.with_suffix(".png")
        return beside if beside.is_file() else None

    def interval(self, metric: str) -> tuple[float, float]:
        """The 95 % bootstrap interval of a reported score, over people or videos; NaN where unknown."""
        plain = metric.replace(BY_ACTION, "")
        if plain not in self.people.sums:
            return math.nan, math.nan
        group = self.people.action if plain != metric else None
        return bootstrap(
            self.people.sums[plain], self.people.counts[plain], self.people.unit,
            np.random.default_rng(SEED), group=group,
        )  # fmt: skip

    def interval_of_action(self, metric: str, action: str) -> tuple[float, float]:
        """The same of one action's videos."""
        if self.people.action is None or action not in self.actions or metric not in self.people.sums:
            return math.nan, math.nan
        own = self.people.action == self.actions.index(action)
        return bootstrap(
            self.people.sums[metric][own], self.people.counts[metric][own], self.people.unit[own],
            np.random.default_rng(SEED), draws=ACTION_DRAWS,
        )  # fmt: skip


def read_evaluation(path: Path) -> Evaluation:
    """Read an evaluation file; raises `UserError` where it is none, or damaged."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ValueError(f"no entry 'format': {FORMAT!r}")
        return _evaluation(path, content)
    except OSError as error:
        raise UserError(
            f"{path}: expected an evaluation file, got {error.strerror}; check the path"
        ) from None
    except Exception as error:  # damaged JSON ends in many kinds
        got = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise UserError(
            f"{path}: expected a file of `poseact evaluate --json`, got {got}; make it again"
        ) from None


def _evaluation(path: Path, content: dict[str, Any]) -> Evaluation:
    kind = _text(content, "kind")
    if kind not in ("pose", "action"):
        raise ValueError(f"kind {kind!r}")
    scores = _numbers(content["scores"])
    main = _text(content, "main")
    if main not in scores:
        raise ValueError(f"no score of {main!r}")
    blocks = _table(content["by_block"])
    if list(blocks) != [str(k + 1) for k in range(len(blocks))]:
        raise ValueError(f"blocks {list(blocks)}")
    actions = tuple(str(action) for action in content.get("actions", ()))
    people = _read_people(_mapping(content["people"]))
    if kind == "action" and (people.action is None or not (people.action < len(actions)).all()):
        raise ValueError("people: actions that are none")
    names = sorted({name for row in blocks.values() for name in row})
    return Evaluation(
        path=path,
        kind=kind,
        data=_text(content, "data"),
        split=_text(content, "split"),
        part=bool(content["part"]),
        samples=_whole(content["samples"]),
        skipped=_whole(content["skipped"]),
        damaged=len(list(content["damaged"])),
        weights=_text(content, "weights"),
        protocol=_text(content, "protocol"),
        main=main,
        scores=scores,
        by_block={name: [row.get(name, math.nan) for row in blocks.values()] for name in names},
        by_action=_table(content["by_action"]),
        actions=actions,
        confusion=_confusion(content.get("confusion", []), len(actions)),
        rules=_protocol(content["rules"]),
        sha256=_text(_mapping(content["network"]), "sha256"),
        metadata={k: str(v) for k, v in _mapping(content["network"]["metadata"]).items()},
        hardware=_text(content, "hardware"),
        software=_text(content, "software"),
        date=_text(content, "date"),
        seconds_per_sample=_number(content["seconds_per_sample"]),
        people=people,
    )


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.40} in place of an object")
    return value


def _text(content: dict[str, Any], key: str) -> str:
    value = content[key]
    if not isinstance(value, str):
        raise TypeError(f"{key}: {value!r:.40} in place of a text")
    return value


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r:.40} in place of a number")
    return float(value)


def _whole(value: Any) -> int:
    number = _number(value)
    if not number.is_integer() or number < 0:
        raise ValueError(f"{value!r:.40} in place of a count")
    return int(number)


def _numbers(value: Any) -> dict[str, float]:
    return {name: _number(number) for name, number in _mapping(value).items()}


def _table(value: Any) -> dict[str, dict[str, float]]:
    return {key: _numbers(row) for key, row in _mapping(value).items()}


def _protocol(value: Any) -> Protocol:
    """The rules, checked against the types of `Protocol`'s defaults."""
    rules = _mapping(value)
    for field in dataclasses.fields(Protocol):
        expected = float if field.name == "pose_noise" else type(field.default)
        found = rules[field.name]
        if expected is tuple:
            rules[field.name] = tuple((_number(x), _number(y)) for x, y in found)
        elif expected is float:
            rules[field.name] = _number(found)
        elif field.name == "stride":
            rules["stride"] = None if found is None else _whole(found)
        elif type(found) is not expected:
            raise TypeError(f"{field.name}: {found!r:.40} in the rules")
    return Protocol(**rules)


def _read_people(content: dict[str, Any]) -> People:
    unit = np.array([_whole(value) for value in content["unit"]], np.int64)
    action = content["action"]
    sums = {name: _column(values, len(unit)) for name, values in _mapping(content["sums"]).items()}
    counts = {name: _column(values, len(unit)) for name, values in _mapping(content["counts"]).items()}
    if sums.keys() != counts.keys() or any((values < 0).any() for values in counts.values()):
        raise ValueError("people: sums and counts that do not match")
    return People(
        unit=unit,
        action=None if action is None else _classes(action, len(unit)),
        sums=sums,
        counts={name: values.astype(np.int64) for name, values in counts.items()},
    )


def _confusion(rows: Any, classes: int) -> IntArray:
    counts = [[_whole(value) for value in row] for row in rows]
    if [len(row) for row in counts] != [classes] * classes:
        raise ValueError(f"confusion: expected {classes} x {classes} counts")
    return np.array(counts, np.int64).reshape(classes, classes)


def _column(values: Any, count: int) -> FloatArray:
    numbers = np.array([_number(value) for value in values], np.float64)
    if len(numbers) != count:
        raise ValueError(f"people: {len(numbers)} in place of {count} numbers")
    return numbers


def _classes(values: Any, count: int) -> IntArray:
    classes = _column(values, count)
    if not ((classes >= 0) & (classes < LARGEST_CLASS)).all():
        raise ValueError("people: actions that are none")
    return classes.astype(np.int64)
