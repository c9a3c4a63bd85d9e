"""``poseact report``: the paper's tables and figures from evaluation files, its numbers beside ours."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from poseact.data.human36m import ACTIONS as HUMAN36M_ACTIONS
from poseact.data.images import read_image, write_whole
from poseact.errors import UserError
from poseact.evaluation.figures import by_action, by_block
from poseact.evaluation.files import Evaluation, read_evaluation
from poseact.evaluation.paper import METRICS, TABLES, PaperTable
from poseact.evaluation.scores import BY_ACTION

PATTERN = "eval-*.json"
MEAN_OF_ACTIONS = f"MPJPE_{BY_ACTION}mm"
SHOWN_CONFUSIONS = 5
TITLE = "Evaluations beside the paper"
_INTRODUCTION = (
    "Luvizon, Picard and Tabia, 2D/3D Pose Estimation and Action Recognition using Multitask Deep Learning, "
    "CVPR 2018: its numbers, and beside them those of the evaluation files. Shares are in percent, errors in "
    "mm. In brackets: 95 % intervals by bootstrap over people, or over videos where frames of one video "
    "are scored. E1, E2, ... are described below each table: data, weights, rules and hardware."
)


@dataclass(frozen=True)
class Section:
    """A table, or a picture, with what is to be said of it; ``picture``: name of a PNG in the folder."""

    title: str
    text: list[str] = field(default_factory=list)
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    commands: tuple[str, ...] = ()
    picture: str | None = None


def write_report(sources: Sequence[Path], out: Path) -> list[Path]:
    """Write ``report.md``, ``report.html`` and the figures to ``out``; returns the files written.

    ``sources``: evaluation files, or folders that hold any number of ``eval-*.json``. The HTML file
    holds its pictures. Raises `UserError` where a file is no evaluation, or a folder holds none.
    """
    evaluations = [read_evaluation(path) for path in evaluation_paths(sources)]
    evaluations.sort(key=lambda e: (e.data, e.kind, e.date, str(e.path)))
    keys = {id(evaluation): f"E{i}" for i, evaluation in enumerate(evaluations, 1)}
    named = [Named(keys[id(evaluation)], evaluation) for evaluation in evaluations]
    sections = [_paper_section(name, table, named) for name, table in TABLES.items()]
    sections += _other_sections([n for n in named if not _in_paper(n.evaluation)])
    pictures = _pictures(named, sections)
    written = []
    try:
        for name, data in pictures.items():
            write_whole(out / name, data)
            written.append(out / name)
        write_whole(out / "report.md", _markdown(sections).encode())
        write_whole(out / "report.html", _html(sections, pictures).encode())
    except OSError as error:
        raise UserError(f"{out}: expected a folder that can be written, got {error.strerror}") from None
    return [out / "report.md", out / "report.html", *written]


def evaluation_paths(sources: Sequence[Path]) -> list[Path]:
    """The evaluation files among ``sources``, those of folders included, each once."""
    paths: list[Path] = []
    for source in sources:
        if source.is_dir():
            found = sorted(source.rglob(PATTERN))
            if not found:
                raise UserError(
                    f"{source}: expected evaluation files named {PATTERN}, found none; make one with "
                    f"`poseact evaluate ... --json {source / 'eval-test.json'}`"
                )
            paths += found
        else:
            paths.append(source)
    return list(dict.fromkeys(path.resolve() for path in paths))


@dataclass(frozen=True)
class Named:
    """An evaluation and its short name in the report."""

    key: str
    evaluation: Evaluation

    @property
    def stage(self) -> str:
        """What was trained, in a word or two: the recipe, else the preset, else the weights' name."""
        e = self.evaluation
        return e.metadata.get("recipe") or e.metadata.get("preset") or Path(e.weights).stem

    @property
    def label(self) -> str:
        """The name and how it differs from others of the same weights."""
        rules = self.evaluation.rules
        told = [self.stage]
        if self.evaluation.kind == "action" and rules.poses != "estimated":
            told.append(f"{rules.poses} poses")
        if self.evaluation.kind == "action" and rules.clips == "many":
            told.append("multi-clip")
        if rules.crops > 1:
            told.append(f"{rules.crops} crops")
        if self.evaluation.part:
            told.append(f"{self.evaluation.samples} of the split alone")
        return f"{self.key} {', '.join(told)}"

    def describe(self) -> str:
        """Data, weights, rules and hardware in one line."""
        e = self.evaluation
        counted = f"{e.samples} {'videos' if e.kind == 'action' else 'people'}"
        counted += f", {e.skipped} skipped" if e.skipped else ""
        counted += f", {e.damaged} damaged" if e.damaged else ""
        source, overrides = e.metadata.get("source"), e.metadata.get("overrides")
        trained = f", {source}" if source else ""
        trained += f", with {overrides}" if overrides else ""
        return (
            f"{self.key}: {e.data} {e.split} ({counted}); weights {e.weights} ({self.stage}, sha256 "
            f"{e.sha256[:12]}{trained}); rules {e.protocol}; {e.hardware}, "
            f"{e.software}, {e.date}, {e.seconds_per_sample:.3g} s a sample"
        )

    def cell(self, metric: str) -> str:
        """A score with its interval; shares in percent."""
        value = self.evaluation.scores.get(metric, math.nan)
        if math.isnan(value):
            return ""
        low, high = self.evaluation.interval(metric)
        unit = 1 if metric.endswith("_mm") else 100
        interval = f" ({low * unit:.1f} to {high * unit:.1f})" if math.isfinite(low) else ""
        return f"{value * unit:.1f}{interval}"


def _belongs(evaluation: Evaluation, table: PaperTable) -> bool:
    return (
        evaluation.kind == table.kind
        and evaluation.data == table.data
        and evaluation.split in table.splits
        and (table.data != "human36m" or MEAN_OF_ACTIONS in evaluation.scores)
        and (table.data != "mpii" or "PCKh@0.5" in evaluation.scores)
    )


def _in_paper(evaluation: Evaluation) -> bool:
    return any(_belongs(evaluation, table) for table in TABLES.values())


def _paper_section(name: str, table: PaperTable, named: Sequence[Named]) -> Section:
    """A table of the paper with our rows, or with the commands that would make them."""
    ours = [n for n in named if _belongs(n.evaluation, table)]
    title = f"{name}. {table.title}"
    text = [] if ours else ["There is no evaluation for this table yet; these commands make them:"]
    notes = [n.describe() for n in ours]
    commands = () if ours else table.commands
    if name == "Table 1":
        columns, rows = _by_action_of_human36m(table, ours)
        notes.append("Of the paper's numbers, the means of the actions stand here alone.")
    elif name == "Table 6":
        columns, rows = ("", *table.columns), _paper_rows(table) + _by_training(ours)
    else:
        columns = ("", *table.columns, *(("split",) if name == "Table 4" else ()))
        rows = [row + ("",) * (len(columns) - len(row)) for row in _paper_rows(table)]
        for n in ours:
            cells = (n.label, *(n.cell(METRICS.get(column, column)) for column in table.columns))
            rows.append((*cells, *((n.evaluation.split,) if name == "Table 4" else ())))
    if name == "Table 2":
        notes += _hidden_joints(ours)
    return Section(title, text, columns, rows, notes, commands)


def _hidden_joints(ours: Sequence[Named]) -> list[str]:
    """What rules that drop joints score without dropping any."""
    told = [
        f"{n.key} PCKh@0.5 {n.cell('PCKh@0.5_annotated')}, PCKh@0.2 {n.cell('PCKh@0.2_annotated')}"
        for n in ours
        if "PCKh@0.5_annotated" in n.evaluation.scores
    ]
    rule = "The rules released drop joints outside the crop; on all annotated joints: "
    return [rule + "; ".join(told)] if told else []


def _paper_rows(table: PaperTable) -> list[tuple[str, ...]]:
    return [(name, *("" if v is None else f"{v:.1f}" for v in values)) for name, values in table.rows]


def _by_action_of_human36m(
    table: PaperTable, ours: Sequence[Named]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A row for each action, a column for each evaluation: 15 columns would not fit a page."""
    columns = ("", *(f"paper, {column}" for column in table.columns), *(n.label for n in ours))
    blank = ("",) * len(table.columns)
    rows = []
    for action in HUMAN36M_ACTIONS:
        errors = [n.evaluation.by_action.get(action, {}).get("MPJPE_mm", math.nan) for n in ours]
        rows.append((action, *blank, *("" if math.isnan(error) else f"{error:.1f}" for error in errors)))
    rows += [(*_paper_rows(table)[0], *(n.cell(MEAN_OF_ACTIONS) for n in ours))]
    for text, metric in (
        ("mean of frames", "MPJPE_mm"),
        ("mean of actions, the field's 17 joints but the nose", f"MPJPE_usual_{BY_ACTION}mm"),
        ("mean of actions, Procrustes-aligned", f"PA_MPJPE_{BY_ACTION}mm"),
    ):
        rows.append((text, *blank, *(n.cell(metric) for n in ours)))
    return columns, rows if ours else rows[len(HUMAN36M_ACTIONS) : len(HUMAN36M_ACTIONS) + 1]


def _by_training(ours: Sequence[Named]) -> list[tuple[str, ...]]:
    """A row for each weight file: with one crop, and with several."""
    rows = []
    for weights in dict.fromkeys(n.evaluation.sha256 for n in ours):
        same = [n for n in ours if n.evaluation.sha256 == weights]
        one = [n for n in same if n.evaluation.rules.crops == 1]
        many = [n for n in same if n.evaluation.rules.crops > 1]
        cells = ["; ".join(f"{n.cell(MEAN_OF_ACTIONS)} ({n.key})" for n in group) for group in (one, many)]
        rows.append((same[0].stage, *cells))
    return rows


def _other_sections(others: Sequence[Named]) -> list[Section]:
    """Evaluations of what the paper does not measure: one's own data, made people, other splits."""
    sections = []
    for kind, title in (("pose", "Other data: poses"), ("action", "Other data: actions")):
        mine = [n for n in others if n.evaluation.kind == kind]
        if not mine:
            continue
        metrics = list(METRICS.values())
        headings = tuple(METRICS)
        if kind == "pose":
            metrics = [m for m in dict.fromkeys(m for n in mine for m in n.evaluation.scores)]
            headings = tuple(metrics)
        rows = [
            (n.label, f"{n.evaluation.data} {n.evaluation.split}", *(n.cell(m) for m in metrics))
            for n in mine
        ]
        text = ["Not of the paper's data, so without its numbers beside."]
        notes = [n.describe() for n in mine]
        sections.append(Section(title, text, ("", "data", *headings), rows, notes))
    return sections


def _pictures(named: Sequence[Named], sections: list[Section]) -> dict[str, bytes]:
    """The PNGs by name; a section for each is added to ``sections``."""
    pictures: dict[str, bytes] = {}
    for n in named:
        if n.evaluation.sheet:
            name = f"figure-7-{n.key}.png"
            pictures[name] = _sheet_bytes(n.evaluation.sheet)
            text = [f"{n.evaluation.data} {n.evaluation.split}, at even distances in the set; nobody picked."]
            sections.append(Section(f"Figure 7. What {n.label} answers", text, picture=name))
    actions = [n for n in named if n.evaluation.kind == "action"]
    groups = dict.fromkeys((n.evaluation.data, n.evaluation.split) for n in actions)
    for data, split in groups:
        mine = [n for n in actions if (n.evaluation.data, n.evaluation.split) == (data, split)]
        other = "" if data == "ntu" else ", other data than the paper's"
        name = f"figure-8-{mine[0].key}.png"  # not by the data's name, which a file may choose
        pictures[name] = by_block([n.evaluation for n in mine], [n.label for n in mine], f"{data} {split}")
        text = ["Accuracy of every action block of both streams, and of the aggregation."]
        sections.append(Section(f"Figure 8. {data} {split}, by block{other}", text, picture=name))
        last = _reported(mine)
        name = f"figure-9-{mine[0].key}.png"
        pictures[name] = by_action(last.evaluation, f"{last.label}: {data} {split}")
        text = [
            f"{last.label}. Actions by how much better the pose does than the appearance; the line is the "
            "95 % interval of both.",
            *_confused(last.evaluation),
        ]
        sections.append(Section(f"Figure 9. {data} {split}, by action{other}", text, picture=name))
    if not actions:
        text = ["Figures 8 and 9 need an evaluation of actions; these commands make one:"]
        sections.append(
            Section("Figures 8 and 9. By block and by action", text, commands=TABLES["Table 5"].commands)
        )
    return pictures


def _confused(evaluation: Evaluation) -> list[str]:
    """The pairs of actions that were taken for one another most often."""
    wrong = evaluation.confusion * (1 - np.eye(len(evaluation.actions), dtype=np.int64))
    pairs = [
        divmod(int(i), len(wrong)) for i in np.argsort(-wrong, axis=None, kind="stable")[:SHOWN_CONFUSIONS]
    ]
    told = [
        f"{evaluation.actions[true]} as {evaluation.actions[answer]} ({wrong[true, answer]} of "
        f"{evaluation.confusion[true].sum()} answered)"
        for true, answer in pairs
        if wrong[true, answer]
    ]
    return [f"Most often taken for another: {', '.join(told)}."] if told else []


def _reported(actions: Sequence[Named]) -> Named:
    """The one that Figure 9 shows: of those with estimated poses the last made, never the best."""
    estimated = [n for n in actions if n.evaluation.rules.poses == "estimated"]
    return max(estimated or actions, key=lambda n: (n.evaluation.date, str(n.evaluation.path)))


def _sheet_bytes(path: Path) -> bytes:
    read_image(path)  # a damaged one is told here and not by a browser
    return path.read_bytes()


def _markdown(sections: Sequence[Section]) -> str:
    lines = [f"# {TITLE}", "", _INTRODUCTION, ""]
    for section in sections:
        lines += [f"## {_plain(section.title)}", ""]
        for text in section.text:
            lines += [_plain(text), ""]
        if section.commands:
            lines += ["```", *section.commands, "```", ""]
        if section.rows:
            lines += [_row(section.columns), _row(["---"] * len(section.columns))]
            lines += [*map(_row, section.rows), ""]
        lines += [f"- {_plain(note)}" for note in section.notes] + ([""] if section.notes else [])
        if section.picture:
            lines += [f"![{_plain(section.title)}]({section.picture})", ""]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _plain(text: str) -> str:
    """Text in which Markdown finds no markup and no second line, whatever a file calls itself."""
    escaped = "".join(f"\\{c}" if c in "\\*_`[]<>|#" else c for c in " ".join(text.split()))
    return escaped


def _html(sections: Sequence[Section], pictures: dict[str, bytes]) -> str:
    parts = [
        "<!doctype html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{TITLE}</title>", f"<style>{_CSS}</style>", "</head>", "<body>",
        f"<h1>{TITLE}</h1>", f"<p>{html.escape(_INTRODUCTION)}</p>",
    ]  # fmt: skip
    for section in sections:
        parts.append(f"<h2>{html.escape(section.title)}</h2>")
        parts += [f"<p>{html.escape(text)}</p>" for text in section.text]
        if section.commands:
            parts.append(f"<pre>{html.escape(chr(10).join(section.commands))}</pre>")
        if section.rows:
            parts += ['<div class="wide"><table>', _html_row(section.columns, "th")]
            parts += [_html_row(row, "td") for row in section.rows] + ["</table></div>"]
        if section.notes:
            parts += ["<ul>", *(f"<li>{html.escape(note)}</li>" for note in section.notes), "</ul>"]
        if section.picture:
            data = base64.b64encode(pictures[section.picture]).decode()
            parts.append(f'<img alt="{html.escape(section.title)}" src="data:image/png;base64,{data}">')
    return "\n".join([*parts, "</body>", "</html>", ""])


def _html_row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


_CSS = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto;
  padding: 0 1rem; color: #222 }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.5rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap }
th { border-bottom: 2px solid #888 } th:first-child, td:first-child { text-align: left }
.wide { overflow-x: auto } ul { font-size: .85rem; color: #555 } img { max-width: 100% }
pre { background: #f4f4f4; padding: .75rem; overflow-x: auto; font-size: .85rem }
"""
