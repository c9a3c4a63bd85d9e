"""Table 5 and Figures 8 and 9 by one command: what each step of the paper adds, on synthetic people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from poseact.evaluation.files import read_evaluation
from poseact.evaluation.report import write_report
from poseact.evaluation.rules import Protocol, protocol_of
from poseact.evaluation.run import Task, open_job, run_job
from poseact.training.loop import WEIGHTS, train_chain
from poseact.training.recipe import read_chain

DATA, SPLIT = "synthetic", "test-eight"
TESTED = 400
"""Videos of people and movements that no stage saw."""


def run_ablation(out: Path, overrides: Sequence[str], console: Console) -> list[Path]:
    """Train the four ``ablation`` recipes into ``out``, evaluate and draw; returns the files of the report.

    ``overrides``: as of recipes, for all stages. What is finished is left as it is: the same call goes on
    with what was stopped. Raises `UserError` as training and evaluation do.
    """
    given = read_chain("ablation-given.yaml", list(overrides))
    for chain in (given, read_chain("ablation-finetune.yaml", list(overrides))):
        train_chain(chain, out, console)
    own = protocol_of("ours", DATA)
    noisy = replace(own, poses="noisy", pose_noise=given[-1].training.pose_noise)
    rows: list[tuple[str, str, Task, Protocol]] = [
        ("poses", "ablation-pose", "pose", own),
        ("given", "ablation-given", "action", noisy),
        ("estimated", "ablation-action", "action", own),
        ("finetuned", "ablation-finetune", "action", own),
        ("multi-clip", "ablation-finetune", "action", replace(own, clips="many")),
    ]
    files = []
    for name, stage, task, protocol in rows:
        files.append(out / f"eval-{name}.json")
        _evaluated(out / stage / WEIGHTS, files[-1], task, protocol, console)
    return write_report(files, out / "report")


def _evaluated(weights: Path, file: Path, task: Task, protocol: Protocol, console: Console) -> None:
    """Write an evaluation file, unless it is there for these weights and rules."""
    job = open_job(str(weights), DATA, None, SPLIT, protocol, TESTED)
    if file.exists():
        found = read_evaluation(file)
        if found.sha256 == job.network.metadata["sha256"] and found.rules == job.protocol:
            return
    scores, _ = run_job(job, task, file, console)
    console.print(f"{file.stem}: {scores.main} {scores.scores[scores.main][-1]:.3f}", markup=False)
