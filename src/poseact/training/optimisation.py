"""How weights change: what is frozen, the optimiser, its learning rate, the running mean, many processes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from poseact.network import MultitaskNetwork
from poseact.training.recipe import TrainingSpec

ACTION_PARTS = ("pose_recognition", "appearance_recognition", "merge")
"""Of the network; the rest finds the pose."""


def freeze(network: MultitaskNetwork, trains: str) -> None:
    """Leave only the parts that ``trains`` names (all, pose, action) with gradients."""
    for name, part in network.named_children():
        part.requires_grad_(trains in ("all", "action" if name in ACTION_PARTS else "pose"))


def training_mode(network: MultitaskNetwork) -> None:
    """Training mode for what is trained; what is frozen keeps its batch norm's statistics."""
    for part in network.children():
        part.train(any(p.requires_grad for p in part.parameters()))


def make_optimizer(network: nn.Module, spec: TrainingSpec) -> torch.optim.Optimizer:
    """The optimiser of what is not frozen. Filters decay; the biases of batch norm do not.

    RMSprop as in Keras, whose defaults the authors' code takes: mean over 10 steps, epsilon 1e-7.
    SGD with Nesterov's momentum (P 5.4).
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": spec.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    rate = spec.learning_rate
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate, fused=True)
    if spec.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, lr=rate, alpha=0.9, eps=1e-7)
    return torch.optim.SGD(groups, lr=rate, momentum=spec.momentum, nesterov=spec.momentum > 0)


def learning_rate(spec: TrainingSpec, step: int, batches: int, reductions: int) -> float:
    """The rate of a step of a run of ``batches`` an epoch, after so many ``reductions`` on plateaus."""
    if step < spec.warmup_steps:
        return spec.learning_rate * (step + 1) / spec.warmup_steps
    if spec.schedule == "plateau":
        return spec.learning_rate * spec.factor**reductions
    if spec.schedule == "steps":
        return spec.learning_rate * spec.factor ** sum(step // batches >= m for m in spec.milestones)
    share = (step - spec.warmup_steps) / max(1, spec.epochs * batches - spec.warmup_steps)
    return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def update_average(average: nn.Module, network: nn.Module, most: float, step: int) -> None:
    """Running mean of the weights; its decay grows at the start so that early ones fade."""
    decay = min(most, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
        for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - decay)


def sum_processes(accelerator: Accelerator, numbers: Tensor) -> Tensor:
    """The sum of a tensor over all processes."""
    if accelerator.num_processes == 1:
        return numbers
    return accelerator.reduce(numbers, reduction="sum")  # type: ignore[no-any-return]


def join_processes(accelerator: Accelerator, network: nn.Module) -> None:
    """Sum the gradients over all processes, and average the batch norms' statistics.

    Done here and not by a wrapper around the network: stills and clips take different ways through
    it, and the losses are divided by what all processes supervise, so that sums are what is wanted.
    """
    if accelerator.num_processes == 1:
        return
    gradients = [_gradient(p) for p in network.parameters() if p.requires_grad]
    statistics = list(_statistics(network))
    flat = torch.cat(
        [x.flatten() for x in (*gradients, *(s / accelerator.num_processes for s in statistics))]
    )
    flat = accelerator.reduce(flat, reduction="sum")
    with torch.no_grad():
        for mine, joined in zip(
            (*gradients, *statistics), flat.split([x.numel() for x in (*gradients, *statistics)]), strict=True
        ):
            mine.copy_(joined.view_as(mine))


def _gradient(parameter: nn.Parameter) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _statistics(network: nn.Module) -> Iterator[Tensor]:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.training:
            assert module.running_mean is not None and module.running_var is not None
            yield module.running_mean
            yield module.running_var
