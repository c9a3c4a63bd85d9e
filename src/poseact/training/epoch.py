"""One epoch of a stage, and one step of it."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from poseact.data.images import write_whole
from poseact.data.loading import Batch, check_damage, drawn, training_loader
from poseact.errors import UserError
from poseact.network import to_input
from poseact.structures import ActionOutput, PoseOutput
from poseact.training import losses
from poseact.training.kept import KeptAnswers, recognised
from poseact.training.optimisation import (
    hurry_statistics,
    join_processes,
    learning_rate,
    sum_processes,
    training_mode,
    update_average,
)

if TYPE_CHECKING:
    from poseact.training.loop import Run

LOSSES = ("loss", "pose_loss", "action_loss")
"""What a step answers: the loss that is minimised, and its two parts before their weights."""


def train_one_epoch(run: Run, advance: Callable[[str], None]) -> None:
    """The rest of the epoch that ``run.progress`` is in.

    Raises `UserError` where the loss is no number, too much cannot be read or a worker is lost, and
    ``KeyboardInterrupt``, with a checkpoint written, where the run is asked to stop.
    """
    spec, progress = run.recipe.training, run.progress
    examples = KeptAnswers(run, progress.epoch) if spec.kept else run.examples(progress.epoch)
    loader = training_loader(
        examples,
        run.sets.shares,
        spec.batch,
        spec.workers,
        progress.batch,
        part=(run.accelerator.process_index, run.accelerator.num_processes),
        pin_memory=run.device.type == "cuda",
    )
    training_mode(run.network)
    saved = time.monotonic()
    for batch in drawn(loader):
        rate = learning_rate(spec, run.step, run.batches, progress.reductions)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        hurry_statistics(run.new_norms, run.step)
        step_losses, damaged, stopping = step(run, batch)
        progress.sums = [a + b for a, b in zip(progress.sums, step_losses, strict=True)]
        progress.damaged += damaged
        check_damage(examples, progress.damaged, run.batches * spec.batch)
        update_average(run.average, run.network, spec.average, run.step + 1)
        progress.batch += 1
        run.tick()
        advance(f"epoch {progress.epoch + 1}/{spec.epochs} loss {progress.sums[0] / progress.batch:.3f}")
        if stopping or time.monotonic() - saved > 60 * spec.checkpoint_minutes:
            saved = time.monotonic()
            run.save()
        if stopping:
            run.console.print("stopped; the same command goes on from here")
            raise KeyboardInterrupt


def step(run: Run, batch: Batch) -> tuple[list[float], int, bool]:
    """One step of the optimiser on this process's share of a batch.

    Returns, of all processes together, the `LOSSES`, how many samples could not be read, and whether
    any process was asked to stop. Raises `UserError` where the loss or its gradient is no number: then
    the weights are unchanged, and the batch lies in the run's folder.
    """
    spec = run.recipe.training
    count = sum_processes(run.accelerator, losses.counts(batch.values()).to(run.device))
    sums = torch.zeros(3, dtype=torch.float64, device=run.device)
    for part, kinds in enumerate(_parts(batch, spec.accumulation)):
        moved = [{name: x.to(run.device, non_blocking=True) for name, x in kind.items()} for kind in kinds]
        pose, action = _losses(run, moved, count, part)
        loss = spec.pose_weight * pose + spec.action_weight * action
        if loss.requires_grad:  # stills alone teach frozen poses nothing
            loss.backward()
        sums += torch.stack([x.detach().double() for x in (loss, pose, action)])
    damaged = sum(int((~labels["readable"]).sum()) for labels in batch.values())
    rest = torch.tensor([damaged, run.stopping], dtype=torch.float64, device=run.device)
    *summed, damaged_all, stopping = sum_processes(run.accelerator, torch.cat([sums, rest])).tolist()
    _check_finite(run, batch, "loss", summed[0])
    join_processes(run.accelerator, run.network)
    norm = torch.nn.utils.clip_grad_norm_(run.network.parameters(), spec.clip_norm or math.inf)
    _check_finite(run, batch, "gradient", float(norm))
    run.optimizer.step()
    run.optimizer.zero_grad()
    return summed, int(damaged_all), stopping > 0


def _parts(batch: Batch, accumulation: int) -> Iterator[list[losses.Labels]]:
    """What goes through the network together: all of the batch, or stills and clips apart, each in at most
    ``accumulation`` parts. Together, they are normalised by the same statistics, as they will be later.
    """
    if accumulation == 1:
        yield list(batch.values())
        return
    for labels in batch.values():
        for indices in torch.arange(len(labels["readable"])).tensor_split(accumulation):
            if len(indices):
                yield [{name: x[indices] for name, x in labels.items()}]


def _losses(run: Run, kinds: list[losses.Labels], count: Tensor, part: int) -> tuple[Tensor, Tensor]:
    """The pose loss and the action loss of stills, of clips or of both."""
    recipe = run.recipe
    with torch.autocast(run.device.type, torch.bfloat16, enabled=run.bf16):
        answers = _forward(run, kinds, part)
    pose = action = torch.zeros((), device=run.device)
    for labels, (blocks, actions) in zip(kinds, answers, strict=True):
        if recipe.learns_poses:
            spec, grid = recipe.training, run.network.grid
            pose = pose + losses.poses_loss(
                blocks, labels, count, spec.heat_map_weight, grid,
                depth_weight=spec.depth_weight, knee_weight=spec.knee_weight, layout=run.layout,
            )  # fmt: skip
        if recipe.learns_actions and actions is not None:
            action = action + losses.actions_loss(actions, labels, count)
    return pose, action


def _forward(
    run: Run, kinds: list[losses.Labels], part: int
) -> list[tuple[tuple[PoseOutput, ...], ActionOutput | None]]:
    """Stills need the pose part alone, kept clips the action heads; clips go through the whole network."""
    if "features" in kinds[0]:
        return [((), recognised(run.network, labels)) for labels in kinds]
    frames = [to_input(labels["frames"], labels["power"]) for labels in kinds]
    flat = torch.cat([x if x.ndim == 4 else x.flatten(0, 1) for x in frames])
    blocks, visual = run.network.estimate(flat.contiguous(memory_format=torch.channels_last))
    answers: list[tuple[tuple[PoseOutput, ...], ActionOutput | None]] = []
    start = 0
    for labels, x in zip(kinds, frames, strict=True):
        lead = x.shape[:-3]
        own = slice(start, start + math.prod(lead))
        start = own.stop
        estimated = tuple(block.map(itemgetter(own)) for block in blocks)
        if len(lead) == 1:
            answers.append((estimated, None))
        else:
            output = run.network.act(estimated, visual[own], (lead[0], lead[1]), *_given(run, labels, part))
            answers.append((output.blocks, output.actions))
    return answers


def _given(run: Run, labels: losses.Labels, part: int) -> tuple[Tensor, ...]:
    """The poses and visibilities that the action heads read instead of estimated ones, where asked for."""
    spec = run.recipe.training
    if spec.poses == "estimated":
        return ()
    poses = labels["pose"][..., : run.network.dim]
    if spec.poses == "noisy":
        place = (spec.seed, run.step, run.accelerator.process_index, part)
        noise = np.random.default_rng(place).normal(0, spec.pose_noise, poses.shape)
        poses = poses + torch.from_numpy(noise).to(poses) * labels["visible"].unsqueeze(-1)
    return poses, labels["visible"]


def _check_finite(run: Run, batch: Batch, what: str, value: float) -> None:
    """``value`` is that of all processes, so all of them stop, and each leaves its share of the batch."""
    if math.isfinite(value):
        return
    arrays = {
        f"{kind}_{name}": values.cpu().numpy()
        for kind, labels in batch.items()
        for name, values in labels.items()
    }
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]  # names are not its options
    write_whole(run.out / f"bad-batch-{run.accelerator.process_index}.npz", content.getvalue())
    raise UserError(
        f"{run.out}: the {what} became {value} in epoch {run.progress.epoch + 1}; the batch is in "
        "bad-batch-*.npz there; lower training.learning_rate and start again in another folder"
    )
