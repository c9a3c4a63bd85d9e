"""Runs: a stage of training in a folder of its own, and chains of them, on accelerate."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import signal
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from poseact.data.augment import middle_stride
from poseact.data.clips import frame_rate, is_tracks
from poseact.data.images import write_whole
from poseact.data.loading import Examples
from poseact.data.mixing import MixedBatches
from poseact.errors import UserError
from poseact.inference.device import cpu_gains_from_bf16
from poseact.inference.predictor import ready
from poseact.network import MultitaskNetwork
from poseact.training import checkpoint
from poseact.training.epoch import train_one_epoch
from poseact.training.found import with_found_boxes
from poseact.training.kept import PosesAlone, drop_answers, keep_answers
from poseact.training.optimisation import freeze, make_optimizer, new_norms
from poseact.training.recipe import Recipe
from poseact.training.start import open_heads, open_network, open_sets
from poseact.training.validation import has_board, open_board, validate, write_epoch
from poseact.weights import save_weights

WEIGHTS = "weights.safetensors"
_MAY_CHANGE = ("roots", "source", "expected", "hours", "overrides")
_MAY_CHANGE_IN_TRAINING = ("workers", "checkpoint_minutes", "sample_every")
"""What a run may be resumed with in another form: it changes nothing of what is learnt."""


class Run:
    """One stage in the folder ``out``: everything that its loop needs, made from a recipe.

    The folder holds ``recipe.json``, ``log.csv``, ``samples/``, ``last.pt`` (to resume),
    ``best.safetensors`` (best validation) and, at the end, ``weights.safetensors``; all weights
    are averaged ones. ``before``: the weights of the stage before. Raises `UserError` where the folder
    holds another recipe's run, and where data, labels, weights and recipe do not fit together.
    """

    def __init__(self, recipe: Recipe, out: Path, console: Console, before: Path | None = None) -> None:
        self.recipe, self.out, self.console = recipe, out, _of_main(console)
        self.accelerator = _accelerator()
        self.device = self.accelerator.device
        spec = recipe.training
        self.bf16 = spec.precision == "bf16" or (spec.precision == "auto" and _computes_bf16(self.device))
        _check_folder(recipe, out)
        self.sets = open_sets(recipe)
        for message in self.sets.damaged:
            self.console.print(f"left out: {message}", markup=False)
        self.batches = self._count_batches()
        torch.manual_seed(spec.seed)
        network, started = open_network(recipe, self.sets.labels, before)
        self.layout = network.layout
        if spec.knee_weight and network.dim != 3:
            raise UserError(
                f"recipe {recipe.name}: training.knee_weight: expected a network in 3D; leave it out"
            )
        alone = tuple(PosesAlone(source, self.layout) for source in self.sets.poses)
        self.sets = dataclasses.replace(self.sets, poses=alone)
        self.frames: int | None = None
        if recipe.recognises and spec.trains != "pose":
            self.frames = network.frames
        self._find_people(network)
        freeze(network, spec.trains)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.new_norms = new_norms(self.network)
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = make_optimizer(self.network, spec)
        self.progress = checkpoint.Progress()
        self.stopping = False
        self._clock = time.monotonic()
        count, threads = self.accelerator.num_processes, torch.get_num_threads()
        how = f"{self.device}, {'bf16' if self.bf16 else 'fp32'}, threads: {threads}, processes: {count}"
        from_where = f"; starts from {started}" if started else ""
        self.console.print(f"{recipe.name}: {how}{from_where}", markup=False)
        if (out / "last.pt").exists():
            self.restore()
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            write_whole(out / "recipe.json", json.dumps(dataclasses.asdict(recipe), indent=1).encode())
        self.board = open_board(self)

    @property
    def step(self) -> int:
        """Steps done since the beginning of the run."""
        return self.progress.epoch * self.batches + self.progress.batch

    @property
    def crop_size(self) -> int:
        """The epoch's: ``sizes`` in their order, each for an even share of the epochs."""
        sizes = self.recipe.training.sizes or (self.network.size,)
        return int(sizes[self.progress.epoch * len(sizes) // self.recipe.training.epochs])

    def examples(self, epoch: int) -> Examples:
        """What an epoch's batches are drawn from."""
        recipe = self.recipe
        return Examples(
            self.sets.train, self.layout, self.crop_size, recipe.augmentation, recipe.training.seed, epoch,
            self.frames,
        )  # fmt: skip

    def _find_people(self, network: MultitaskNetwork) -> None:
        """Give the videos that nobody annotated the boxes that the network finds."""
        sets = list(self.sets.train)
        parts = self.recipe.data.train.items()
        for i, ((name, part), source) in enumerate(zip(parts, sets, strict=True)):
            if (part.set or name) == "folder" and is_tracks(source):
                prepared = ready(network, self.device)
                with self.accelerator.main_process_first():  # the others read what it found
                    sets[i] = with_found_boxes(source, prepared, self.out / "boxes.json", self.console)
        self.sets = dataclasses.replace(self.sets, train=sets)

    def _count_batches(self) -> int:
        """Batches an epoch."""
        spec, processes = self.recipe.training, self.accelerator.num_processes
        if spec.batch % processes:
            raise UserError(
                f"training.batch: expected a multiple of the {processes} processes that share it, "
                f"got {spec.batch}"
            )
        try:
            counts = [len(source) for source in self.sets.mixed]
            return MixedBatches(counts, self.sets.shares, spec.batch, spec.seed, 0).batches
        except ValueError as error:
            raise UserError(f"{error}; lower training.batch") from None

    def tick(self) -> None:
        """Count the time since the last call (or the start) as spent by the run."""
        now = time.monotonic()
        self.progress.seconds += now - self._clock
        self._clock = now

    def save(self) -> None:
        """Write all that a resumed run needs."""
        if not self.accelerator.is_main_process:
            return
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": dataclasses.asdict(self.progress),
        }
        checkpoint.save(self.out / "last.pt", state)

    def restore(self) -> None:
        """Go on from ``last.pt``."""
        saved = checkpoint.load(self.out / "last.pt")
        try:
            self.network.load_state_dict(saved["network"])
            self.average.load_state_dict(saved["average"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.progress = checkpoint.Progress(**saved["progress"])
        except (KeyError, ValueError, TypeError, RuntimeError):
            raise UserError(
                f"{self.out / 'last.pt'}: expected a checkpoint of this recipe's network, got another one; "
                "give another folder with --out"
            ) from None
        self.console.print(f"resuming at epoch {self.progress.epoch + 1}, batch {self.progress.batch}")

    def export(self, name: str) -> Path:
        """Write the averaged weights with what they scored and what they were trained on."""
        path = self.out / name
        data = dataclasses.asdict(self.recipe.data)
        about = self.average.metadata | {
            "preset": self.recipe.network.preset or "",
            "recipe": self.recipe.name,
            "source": self.recipe.source,
            "overrides": " ".join(self.recipe.overrides),
            "precision": "bf16" if self.bf16 else "fp32",
            "data": json.dumps(data),
            "validation": json.dumps(self.progress.history[-1] if self.progress.history else {}),
            "action_labels": json.dumps(self.average.action_labels),
        }
        if self.recipe.recognises:
            rates = [frame_rate(source) for source in self.sets.train if is_tracks(source)]
            about["stride"] = str(middle_stride(self.recipe.augmentation))
            about["fps"] = f"{statistics.median(rates):g}"
        if self.accelerator.is_main_process:
            save_weights(path, self.average, self.average.arguments, about)
        return path


def train_chain(chain: Sequence[Recipe], out: Path, console: Console) -> Path:
    """Train the stages of a chain one after the other; returns the last one's weight file.

    A stage alone is trained in ``out``; several each in a folder of its own in there, by its name. What
    is finished is left as it is, what was stopped goes on: the same command does all of it. The data of
    all stages is looked at before the first, so that what is missing shows at once.
    """
    weights: Path | None = None
    folders = [out / recipe.name if len(chain) > 1 else out for recipe in chain]
    for recipe, folder in zip(chain[1:], folders[1:], strict=True):
        if not (folder / WEIGHTS).exists():
            open_heads(recipe, open_sets(recipe).labels)
    if not has_board():
        _of_main(console).print("no TensorBoard log: pip install 'poseact[tensorboard]'", markup=False)
    for recipe, folder in zip(chain, folders, strict=True):
        weights = train(recipe, folder, console, weights)
    if weights is None:
        raise ValueError("expected at least one stage, got none")
    _of_main(console).print(f"weights: {weights}\nlog: {weights.parent / 'log.csv'}", markup=False)
    return weights


def train(recipe: Recipe, out: Path, console: Console, before: Path | None = None) -> Path:
    """Train, or resume, one stage in the folder ``out``; returns the weight file.

    ``before``: the weights of the stage before, which it starts from. Ctrl-C writes a checkpoint
    first; the same command goes on from it. Raises `UserError`, also where the folder cannot be
    written.
    """
    threads = torch.get_num_threads()
    if not torch.cuda.is_available() and recipe.training.workers:
        # Workers need cores of their own: threads that wait for a busy core slow all of them.
        torch.set_num_threads(max(1, threads - recipe.training.workers))
    try:
        if (out / WEIGHTS).exists():
            _check_folder(recipe, out)
            drop_answers(out)  # a kill may have come between
            told = f"{recipe.name}: finished before, {out / WEIGHTS}; another --out trains it anew"
            _of_main(console).print(told, markup=False)
            return out / WEIGHTS
        return _train(Run(recipe, out, console, before))
    except OSError as error:
        where = error.filename or out
        raise UserError(
            f"{where}: {error.strerror or error}; see to the disk's space and permissions: the same command "
            "then goes on from the last checkpoint"
        ) from None
    finally:
        torch.set_num_threads(threads)


def _train(run: Run) -> Path:
    recipe = run.recipe
    if recipe.training.kept and run.progress.epoch < recipe.training.epochs:
        keep_answers(run)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=run.console) as progress, _stopping_softly(run):
        total = recipe.training.epochs * run.batches
        task = progress.add_task(recipe.name, total=total, completed=run.step)
        while run.progress.epoch < recipe.training.epochs:
            train_one_epoch(run, lambda text: progress.update(task, advance=1, description=text))
            run.save()
            best = run.progress.best
            progress.update(task, description=f"epoch {run.progress.epoch + 1} validation")
            validate(run)
            write_epoch(run, is_best=run.progress.best != best)
            run.progress.next_epoch()
            run.save()
    path = run.export(WEIGHTS)
    drop_answers(run.out)
    run.accelerator.wait_for_everyone()
    return path


def _check_folder(recipe: Recipe, out: Path) -> None:
    """Raise `UserError` where the folder holds a run of another recipe."""
    file = out / "recipe.json"
    if not file.exists():
        return
    wanted = json.loads(json.dumps(dataclasses.asdict(recipe)))
    try:
        differences = _differences(json.loads(file.read_text()), wanted)
    except ValueError:
        differences = [f"{file.name} is damaged"]
    if differences:
        raise UserError(
            f"{out}: holds a run of another recipe ({differences[0]}); give another folder with --out"
        )


def _differences(found: Any, wanted: Any, name: str = "") -> list[str]:
    """Where two recipes differ in what is learnt."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        ignored = {"": _MAY_CHANGE, "training": _MAY_CHANGE_IN_TRAINING}.get(name, ())
        keys = [key for key in dict.fromkeys([*found, *wanted]) if key not in ignored]
        parts = [(found.get(k), wanted.get(k), f"{name}.{k}" if name else k) for k in keys]
        return [text for part in parts for text in _differences(*part)]
    return [] if found == wanted else [f"{name}: {found} there, {wanted} here"]


def _of_main(console: Console) -> Console:
    """The console in the main process, a silent one in the others."""
    return console if _accelerator().is_main_process else Console(quiet=True)


def _accelerator() -> Accelerator:
    """This process among those that a launcher started, on its GPU or the CPU.

    Whether to compute in bf16 is for the recipe to say, stage by stage.
    """
    return Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")


def _computes_bf16(device: torch.device) -> bool:
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else cpu_gains_from_bf16()


@contextlib.contextmanager
def _stopping_softly(run: Run) -> Iterator[None]:
    """Ctrl-C, being told to stop, or a terminal that closes: the batch at hand is finished, so that what is
    saved is whole. Twice stops at once.
    """
    if threading.current_thread() is not threading.main_thread():  # Python handles signals there alone
        yield
        return

    def stop(number: int, _: object) -> None:
        run.stopping = True
        undo()
        if number not in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a terminal that closes may say so twice

    def undo() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    asked = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup sets it
        asked.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in asked}
    try:
        yield
    finally:
        undo()
