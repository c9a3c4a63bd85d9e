"""After each epoch: scores of the averaged weights, the log, and pictures of what the network answers."""

from __future__ import annotations

import csv
import io
import math
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from poseact.data.augment import middle_stride
from poseact.data.clips import is_tracks
from poseact.data.images import write_png, write_whole
from poseact.evaluation.protocols import evaluate_action, evaluate_pose
from poseact.evaluation.rules import Protocol, changed, protocol_of
from poseact.evaluation.scores import Scores
from poseact.training.epoch import LOSSES
from poseact.training.optimisation import learning_rate
from poseact.training.pictures import draw_answers

if TYPE_CHECKING:
    from poseact.training.loop import Run


def validate(run: Run) -> None:
    """Score the averaged weights, at the epoch's crop size, and add the epoch's row to the history.

    At another size than it is trained at, a network scores lower than it will (docs/experiments.md).
    What is learnt is scored: poses, actions or both; then the accuracy is what counts. All processes
    share the work.
    """
    progress = run.progress
    scored: list[Scores] = []
    source, rules = run.sets.validation, _rules(run)
    if run.recipe.learns_poses:
        scored.append(evaluate_pose(run.average, run.layout, source, run.device, rules, size=run.crop_size))
    if run.recipe.learns_actions and is_tracks(source):
        scored.append(evaluate_action(run.average, source, run.device, rules, size=run.crop_size))
    run.tick()
    row: dict[str, float] = {
        "epoch": progress.epoch + 1,
        "minutes": round(progress.seconds / 60, 2),
        "crop": run.crop_size,
        "learning_rate": learning_rate(run.recipe.training, run.step - 1, run.batches, progress.reductions),
    }
    row |= {name: total / max(1, progress.batch) for name, total in zip(LOSSES, progress.sums, strict=True)}
    row["damaged"] = progress.damaged
    for scores in scored:
        row |= _columns(scores)
    progress.history.append(row)
    _watch(run, scored[-1])
    main = ", ".join(f"{s.main} {' '.join(f'{v:.3f}' for v in s.scores[s.main])}" for s in scored)
    run.console.print(
        f"epoch {row['epoch']:>3}  {row['minutes']:6.1f} min  loss {row['loss']:.4f}  {main}", markup=False
    )


def write_epoch(run: Run, is_best: bool) -> None:
    """The files of an epoch that is over: log, pictures, and the weights where they are the best so far."""
    progress = run.progress
    row = progress.history[-1]
    if not run.accelerator.is_main_process:
        return
    names = list(dict.fromkeys(name for each in progress.history for name in each))
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(progress.history)
    write_whole(run.out / "log.csv", text.getvalue().encode())
    if run.board is not None:
        for name, value in row.items():
            run.board.add_scalar(name.replace(" ", "_"), value, int(row["epoch"]))
        run.board.flush()
    if is_best:
        run.export("best.safetensors")
    every = run.recipe.training.sample_every
    if every and (int(row["epoch"]) % every == 0 or int(row["epoch"]) == run.recipe.training.epochs):
        sheet = draw_answers(run.average, run.sets.validation, run.crop_size, run.device, _rules(run))
        if sheet is not None:
            write_png(run.out / "samples" / f"epoch-{int(row['epoch']):03d}.png", sheet)


def open_board(run: Run) -> Any:
    """A TensorBoard log in the run's folder; None in all processes but the main one, or without the extra."""
    if not run.accelerator.is_main_process or not has_board():
        return None
    from torch.utils.tensorboard import SummaryWriter

    # Events of epochs that a killed run had logged and did not save are hidden.
    return SummaryWriter(str(run.out / "tensorboard"), purge_step=run.progress.epoch + 1)


def has_board() -> bool:
    """Whether the extra ``tensorboard`` is installed."""
    return find_spec("tensorboard") is not None


def _rules(run: Run) -> Protocol:
    spec, scored = run.recipe.training, run.recipe.data.validation
    rules = protocol_of("ours", scored.set, scored.split)
    stride = middle_stride(run.recipe.augmentation)
    return changed(rules, poses=spec.poses, noise=spec.pose_noise, stride=stride)


def _columns(scores: Scores) -> dict[str, float]:
    columns = {}
    for metric, values in scores.scores.items():
        if len(values) == 1:
            columns[metric] = values[0]
        else:
            columns |= {f"{metric} block {k}": value for k, value in enumerate(values, 1)}
    return columns


def _watch(run: Run, scores: Scores) -> None:
    """Note whether the validation is the best so far; after ``patience`` epochs that were not, a plateau."""
    progress, value = run.progress, scores.reported
    sign = 1 if scores.better == "higher" else -1
    if math.isfinite(value) and (progress.best is None or sign * value > sign * progress.best):
        progress.best, progress.stalled = value, 0
        return
    progress.stalled += 1
    if run.recipe.training.schedule == "plateau" and progress.stalled % run.recipe.training.patience == 0:
        progress.reductions += 1
