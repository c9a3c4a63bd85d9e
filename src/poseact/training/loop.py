"""The training loop, on accelerate: one epoch is a plain function."""

from __future__ import annotations

import contextlib
import copy
import csv
import dataclasses
import io
import json
import math
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from poseact.data import as_stills, open_data
from poseact.data.clips import TrackSource
from poseact.data.human36m import TEST_STEP
from poseact.data.images import write_whole
from poseact.data.loading import DAMAGED_SHARE, Examples, SampleSource, training_loader
from poseact.errors import UserError
from poseact.evaluation.protocols import evaluate_pose
from poseact.inference.device import cpu_has_bf16
from poseact.network import MultitaskNetwork, arguments, build, to_input
from poseact.training import checkpoint
from poseact.training.losses import total_loss
from poseact.training.recipe import Recipe
from poseact.weights import save_weights


@dataclass
class State:
    """Where a run is: what is saved, beside the tensors, to resume it.

    ``epoch``, ``batch``: the next batch. ``loss_sum`` over the ``batch`` done of this epoch.
    ``damaged``: unreadable samples met in this epoch. ``history``: one row an epoch.
    """

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    damaged: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up to ``peak``, then a cosine to zero at ``steps``."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


class Run:
    """A training run in the folder ``out``: everything its loop needs, made from a recipe.

    The folder holds ``recipe.json``, ``log.csv``, ``last.pt`` (to resume) and
    ``weights.safetensors`` (averaged). Raises `UserError` where it holds another recipe's run.
    """

    def __init__(self, recipe: Recipe, out: Path, console: Console) -> None:
        self.recipe, self.out, self.console = recipe, out, console
        spec = recipe.training
        precision = spec.precision
        if precision == "auto":
            precision = "bf16" if torch.cuda.is_available() or cpu_has_bf16() else "fp32"
        self.accelerator = Accelerator(mixed_precision="bf16" if precision == "bf16" else "no")
        if self.accelerator.device.type == "cpu" and spec.workers:
            # Workers need cores of their own: threads that wait for a busy core slow all of them.
            torch.set_num_threads(max(1, torch.get_num_threads() - spec.workers))
        console.print(f"device: {self.accelerator.device}, {precision}, {torch.get_num_threads()} threads")
        self.train_data, self.validation = _open(recipe)
        self.batches = len(self.train_data) // spec.batch
        if self.batches == 0:
            raise UserError(
                f"{len(self.train_data)} samples make no batch of {spec.batch}; lower training.batch"
            )
        torch.manual_seed(spec.seed)
        try:
            self.arguments = arguments(recipe.network.preset, None, **recipe.network.overrides())
            network, self.layout = build(self.arguments)
        except ValueError as error:
            raise UserError(f"recipe, network: {error}") from None
        if any(size % 32 for size in spec.sizes):
            raise UserError(f"recipe, training.sizes: expected multiples of 32, got {spec.sizes}")
        self.average = copy.deepcopy(network).requires_grad_(False).to(self.accelerator.device)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(
            _parameter_groups(network, spec.weight_decay), lr=spec.learning_rate, fused=True
        )
        self.network, self.optimizer = self.accelerator.prepare(network, optimizer)
        self.state = State()
        self.stopping = False
        self._clock = time.monotonic()
        self._claim_folder()

    def _claim_folder(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dataclasses.asdict(self.recipe), indent=1)
        file = self.out / "recipe.json"
        if file.exists() and file.read_text() != text:
            raise UserError(f"{self.out}: holds a run of another recipe; give another folder with --out")
        write_whole(file, text.encode())
        if (self.out / "last.pt").exists():
            self.restore()

    def tick(self) -> None:
        """Count the time since the last call (or the start) as spent by the run."""
        now = time.monotonic()
        self.state.seconds += now - self._clock
        self._clock = now

    def save(self) -> None:
        """Write all that a resumed run needs."""
        if not self.accelerator.is_main_process:
            return
        state = {
            "network": self.accelerator.unwrap_model(self.network).state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": dataclasses.asdict(self.state),
        }
        checkpoint.save(self.out / "last.pt", state)

    def restore(self) -> None:
        """Go on from ``last.pt``."""
        saved = checkpoint.load(self.out / "last.pt")
        self.accelerator.unwrap_model(self.network).load_state_dict(saved["network"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.state = State(**saved["progress"])
        self.console.print(f"resuming at epoch {self.state.epoch + 1}, batch {self.state.batch}")

    def export(self) -> Path:
        """Write the averaged weights with what they scored."""
        path = self.out / "weights.safetensors"
        scores = self.state.history[-1] if self.state.history else {}
        about = {
            "preset": self.recipe.network.preset,
            "scores": json.dumps(scores),
            "source": self.recipe.source,
        }
        if self.accelerator.is_main_process:
            save_weights(path, self.average, self.arguments, about)
        return path


def train(recipe: Recipe, out: Path, console: Console) -> Path:
    """Train, or resume, a recipe in the folder ``out``; returns the weight file.

    Ctrl-C writes a checkpoint first; the same command goes on from it.
    """
    run = Run(recipe, out, console)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress, _stopping_softly(run):
        total = recipe.training.epochs * run.batches
        task = progress.add_task("training", total=total, completed=_step(run))
        while run.state.epoch < recipe.training.epochs:
            train_one_epoch(run, lambda text: progress.update(task, advance=1, description=text))
            validate(run)
            run.state = dataclasses.replace(
                run.state, epoch=run.state.epoch + 1, batch=0, loss_sum=0.0, damaged=0
            )
            run.save()
            _write_log(run)
    return run.export()


@contextlib.contextmanager
def _stopping_softly(run: Run) -> Iterator[None]:
    """Ctrl-C lets the batch at hand finish, so that what is saved is whole; twice stops at once."""
    if threading.current_thread() is not threading.main_thread():  # Python handles signals there alone
        yield
        return

    def stop(*_: object) -> None:
        run.stopping = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def crop_size(run: Run) -> int:
    """The epoch's crop size: ``sizes`` in their order, each for an even share of the epochs."""
    sizes = run.recipe.training.sizes or (run.average.size,)
    return sizes[run.state.epoch * len(sizes) // run.recipe.training.epochs]


def train_one_epoch(run: Run, advance: Any) -> None:
    """The rest of the epoch that ``run.state`` is in."""
    spec, state = run.recipe.training, run.state
    network: MultitaskNetwork = run.network
    size = crop_size(run)
    examples = Examples([run.train_data], run.layout, size, run.recipe.augmentation, spec.seed, state.epoch)
    loader = run.accelerator.prepare(training_loader(examples, [1.0], spec.batch, spec.workers, state.batch))
    network.train()
    saved = time.monotonic()
    for batch in loader:
        rate = learning_rate(_step(run), spec.epochs * run.batches, spec.learning_rate, spec.warmup_steps)
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        loss = _step_once(run, network, batch)
        state.loss_sum += loss
        state.batch += 1
        state.damaged += int((~batch["readable"]).sum())
        _check(run, examples, loss)
        advance(f"epoch {state.epoch + 1}/{spec.epochs} loss {state.loss_sum / state.batch:.3f}")
        run.tick()
        if run.stopping or time.monotonic() - saved > 60 * spec.checkpoint_minutes:
            saved = time.monotonic()
            run.save()
        if run.stopping:
            run.console.print("stopped; the same command goes on from here")
            raise KeyboardInterrupt


def _step_once(run: Run, network: nn.Module, batch: dict[str, Tensor]) -> float:
    frames = to_input(batch["frames"], batch["power"]).contiguous(memory_format=torch.channels_last)
    with run.accelerator.autocast():
        output = network(frames)
    if not output.visibility.isfinite().all():  # cross-entropy refuses them with a message of its own
        return math.nan
    loss = total_loss(output, batch, run.recipe.training.heat_map_weight)
    run.accelerator.backward(loss)
    run.accelerator.clip_grad_norm_(network.parameters(), run.recipe.training.clip_norm)
    run.optimizer.step()
    run.optimizer.zero_grad()
    _update_average(run)
    return loss.item()


def _update_average(run: Run) -> None:
    """Running mean of the weights; its decay grows at the start so that early ones fade."""
    step = _step(run) + 1
    decay = min(run.recipe.training.average, (1 + step) / (10 + step))
    network = run.accelerator.unwrap_model(run.network)
    with torch.no_grad():
        torch._foreach_lerp_(list(run.average.parameters()), list(network.parameters()), 1 - decay)
        for mine, theirs in zip(run.average.buffers(), network.buffers(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, 1 - decay)


def _check(run: Run, examples: Examples, loss: float) -> None:
    if not math.isfinite(loss):
        raise UserError(
            f"{run.out}: the loss became {loss} in epoch {run.state.epoch + 1}; "
            "lower training.learning_rate and start again in another folder"
        )
    if run.state.damaged > DAMAGED_SHARE * len(run.train_data):
        raise UserError(
            f"{run.state.damaged} of {len(run.train_data)} samples cannot be read, over "
            f"{DAMAGED_SHARE:.0%}: {'; '.join(_first_damaged(examples))}; mend the data set"
        )


def _first_damaged(examples: Examples, most: int = 5) -> list[str]:
    messages: list[str] = []
    for which, source in enumerate(examples.sources):
        for index in range(len(source)):
            try:
                examples.read((which, index))
            except UserError as error:
                messages.append(str(error))
            if len(messages) == most:
                return messages
    return messages


def validate(run: Run) -> None:
    """Score the averaged weights, at the epoch's crop size, and add the epoch's row to the history.

    At another size than it is trained at, a network scores lower than it will (docs/experiments.md).
    """
    state, size = run.state, crop_size(run)
    scores = evaluate_pose(run.average, run.layout, run.validation, run.accelerator.device, size=size)
    run.tick()
    row = {
        "epoch": state.epoch + 1,
        "minutes": round(state.seconds / 60, 2),
        "crop": size,
        "loss": state.loss_sum / max(1, state.batch),
        "damaged": state.damaged,
    }
    metric = scores.metric
    row |= {f"{metric} block {k + 1}": value for k, value in enumerate(scores.by_block)}
    state.history.append(row)
    shares = " ".join(f"{value:.3f}" for value in scores.by_block)
    run.console.print(
        f"epoch {row['epoch']:>3}  {row['minutes']:6.1f} min  loss {row['loss']:.4f}  "
        f"{metric} by block {shares}"
    )


def _write_log(run: Run) -> None:
    if run.accelerator.is_main_process:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(run.state.history[-1]))
        writer.writeheader()
        writer.writerows(run.state.history)
        write_whole(run.out / "log.csv", text.getvalue().encode())


def _step(run: Run) -> int:
    return run.state.epoch * run.batches + run.state.batch


def _open(recipe: Recipe) -> tuple[SampleSource | TrackSource, SampleSource]:
    data = recipe.data
    root = Path(data.root) if data.root else None
    return (
        open_data(data.name, root, data.split, data.count),
        as_stills(open_data(data.name, root, data.validation, data.validation_count), TEST_STEP),
    )


def _parameter_groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Filters decay; the biases of batch norm do not."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
