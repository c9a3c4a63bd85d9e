"""How weights change: what is frozen, the optimiser, its learning rate, the running mean, many processes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from poseact.network import MultitaskNetwork
from poseact.network.layers import MOMENTUM, BatchNorm
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


def new_norms(network: nn.Module) -> list[BatchNorm]:
    """The batch norms whose statistics are still those that they are made with."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    fresh = {"running_mean": 0, "running_var": 1}
    return [n for n in norms if all(bool(getattr(n, name).eq(x).all()) for name, x in fresh.items())]


def hurry_statistics(norms: Iterable[BatchNorm], step: int) -> None:
    """Let new batch norms follow their batches faster at first, the last ones counting most.

    With the usual momentum, 37 % of what is scored after a hundred steps is what norms are made with.
    """
    for norm in norms:
        norm.momentum = max(MOMENTUM, 2 / (step + 2))


def make_optimizer(network: nn.Module, spec: TrainingSpec) -> torch.optim.Optimizer:
    """The optimiser of what is not frozen. Filters decay; the biases of batch norm do not.

    RMSprop as in Keras, whose defaults the authors' code takes: mean over 10 steps, epsilon 1e-7.
    SGD with Nesterov's momentum (P 5.4). `Muon` for the filters that mix channels, AdamW for the rest.
    """
    trained = [p for p in network.parameters() if p.requires_grad]
    if spec.optimizer == "muon":
        mixing = [p for p in trained if p.ndim > 1 and p.shape[1] > 1]
        depthwise = [p for p in trained if p.ndim > 1 and p.shape[1] == 1]
        biases = [p for p in trained if p.ndim <= 1]
        return Muon(mixing, depthwise, biases, spec.learning_rate, spec.weight_decay)
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


class Muon(torch.optim.AdamW):
    """Muon (Jordan 2024) for filters that mix channels; AdamW for depth-wise filters and biases.

    The momentum of a filter (out, in, h, w), as a matrix (out, in h w), is brought near the closest
    orthogonal one, so that all directions are learnt at one pace. Its size follows AdamW's (Liu et al.
    2025, Eq. 4), hence one learning rate for both; `_MUON_SIZE` was measured (docs/experiments.md).
    `torch.optim.Muon` takes matrices alone, and bf16, which is slow where the chip has none.
    """

    def __init__(
        self,
        mixing: list[nn.Parameter],
        depthwise: list[nn.Parameter],
        biases: list[nn.Parameter],
        lr: float,
        weight_decay: float,
    ) -> None:
        decays = ((mixing, weight_decay), (depthwise, weight_decay), (biases, 0.0))
        groups = [
            {"params": parameters, "weight_decay": decay, "orthogonal": parameters is mixing}
            for parameters, decay in decays
            if parameters
        ]
        super().__init__(groups, lr=lr, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step; the gradients of the filters that mix channels are used up by it."""
        for group in self.param_groups:
            if group["orthogonal"]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._mix(parameter, group["lr"], group["weight_decay"])
                        parameter.grad = None  # AdamW passes over it
        super().step()

    def _mix(self, parameter: nn.Parameter, rate: float, decay: float) -> None:
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        if not state:
            # AdamW looks for its count of steps in every state that it loads.
            state.update(step=torch.zeros(()), momentum=torch.zeros_like(gradient))
        momentum = state["momentum"].lerp_(gradient, 1 - _MUON_MOMENTUM)
        update = orthogonal(gradient.lerp(momentum, _MUON_MOMENTUM).flatten(1))
        size = _MUON_SIZE * math.sqrt(max(update.shape))
        parameter.mul_(1 - rate * decay)
        parameter.sub_(update.reshape(parameter.shape), alpha=rate * size)


_MUON_MOMENTUM, _MUON_SIZE = 0.95, 0.5


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """A matrix (m, n) with the same singular vectors and singular values near 1 (about 0.7 to 1.2).

    Newton and Schulz's iteration with the coefficients of Jordan (2024), which hurry small singular
    values upwards rather than converge. Zero stays zero.
    """
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def learning_rate(spec: TrainingSpec, step: int, batches: int, reductions: int) -> float:
    """The rate of a step of a run of ``batches`` an epoch, after so many ``reductions`` on plateaus.

    The warm-up takes at most a tenth of the run.
    """
    total = spec.epochs * batches
    warm = min(spec.warmup_steps, total // 10)
    if step < warm:
        return spec.learning_rate * (step + 1) / warm
    if spec.schedule == "plateau":
        return spec.learning_rate * spec.factor**reductions
    if spec.schedule == "steps":
        return spec.learning_rate * spec.factor ** sum(step // batches >= m for m in spec.milestones)
    share = (step - warm) / max(1, total - warm)
    return spec.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


def update_average(average: nn.Module, network: nn.Module, most: float, step: int) -> None:
    """Running mean of the weights that are trained; its decay grows at the start so that early ones fade."""
    decay = min(most, (1 + step) / (10 + step))
    with torch.no_grad():
        pairs = [*zip(average.parameters(), network.parameters(), strict=True)]
        pairs = [(mine, theirs) for mine, theirs in pairs if theirs.requires_grad]
        torch._foreach_lerp_([mine for mine, _ in pairs], [theirs for _, theirs in pairs], 1 - decay)
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
    trained = [p for p in network.parameters() if p.requires_grad]
    # What no process has a gradient of stays as it is, as in one process.
    found = torch.tensor([float(p.grad is not None) for p in trained], device=trained[0].device)
    used = accelerator.reduce(found, reduction="sum")
    gradients = [_gradient(p) for p, count in zip(trained, used.tolist(), strict=True) if count]
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
