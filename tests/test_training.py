"""One stage: its files, its log, stop and resume, and what goes wrong."""

import csv
import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import lspet as fake
from rich.console import Console
from safetensors.torch import load_file

from poseact.data.loading import Examples, training_loader
from poseact.errors import UserError
from poseact.network.layers import MOMENTUM, BatchNorm
from poseact.training import checkpoint, loop
from poseact.training.epoch import step, train_one_epoch
from poseact.training.loop import Run, train
from poseact.training.optimisation import (
    Muon,
    hurry_statistics,
    learning_rate,
    new_norms,
    orthogonal,
    update_average,
)
from poseact.training.recipe import TrainingSpec, read_recipe
from poseact.training.validation import _watch
from poseact.weights import load_weights

QUIET = Console(quiet=True)
EPOCHS, COUNT, BATCH = 2, 16, 4
SMALL = [
    "network.width=16", "network.size=32", "network.blocks=2", "data.train.lspet.split=all",
    "data.validation.split=all", "data.validation.count=2",
    f"training.epochs={EPOCHS}", f"training.batch={BATCH}",
    "training.sizes=[32]", "training.workers=0", "training.precision=fp32", "training.warmup_steps=2",
    "training.sample_every=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run beside its data."""
    folder = tmp_path_factory.mktemp("finished")
    fake.write(folder / "lspet", count=COUNT)
    train(read_recipe("lspet.yaml", [f"roots.lspet={folder / 'lspet'}", *SMALL]), folder / "run", QUIET)
    return folder


@pytest.fixture
def overrides(tmp_path, finished):
    shutil.copytree(finished / "lspet", tmp_path / "lspet")
    return [f"roots.lspet={tmp_path / 'lspet'}", *SMALL]


@pytest.fixture
def run_copy(tmp_path, finished):
    """The finished run, for a test to change."""
    return Path(shutil.copytree(finished / "run", tmp_path / "run"))


def same_weights(a: Path, b: Path) -> bool:
    first, second = (load_file(run / "weights.safetensors") for run in (a, b))
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def log(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "log.csv").read_text().splitlines()))


def batch_of(run):
    """The first batch, not augmented."""
    examples = Examples(run.sets.train, run.layout, 32, None, 0, 0)
    return next(iter(training_loader(examples, [1], BATCH, 0)))


def spec(**values):
    return TrainingSpec(**({"epochs": 10, "batch": 1, "learning_rate": 1.0, "warmup_steps": 0} | values))


def test_a_cosine_with_warm_up():
    rates = [learning_rate(spec(warmup_steps=10), s, 10, 0) for s in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5) and rates[100] == pytest.approx(0)


def test_a_short_run_warms_up_for_a_tenth_of_it():
    rates = [learning_rate(spec(warmup_steps=200), s, 3, 0) for s in range(31)]
    assert rates[:4] == pytest.approx([1 / 3, 2 / 3, 1, 1]) and rates[30] == pytest.approx(0)


def test_steps_and_reductions_on_plateaus():
    stairs = spec(schedule="steps", milestones=(2, 5), factor=0.2)
    rates = [learning_rate(stairs, s, 10, 0) for s in (0, 19, 20, 49, 50, 99)]
    assert rates == pytest.approx([1, 1, 0.2, 0.2, 0.04, 0.04])
    flat = spec(schedule="plateau", factor=0.5)
    assert [learning_rate(flat, 7, 10, n) for n in (0, 1, 3)] == [1, 0.5, 0.125]


class Watched:
    """What `_watch` looks at, of a run and of scores."""

    def __init__(self, better, **values):
        self.recipe, self.progress, self.better = self, checkpoint.Progress(), better
        self.training, self.reported = spec(**values), 0.0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_plateau_is_patience_epochs_without_a_better_validation(sign):
    run = Watched("higher" if sign > 0 else "lower", schedule="plateau", patience=2)
    seen = []
    for value in (0.1, 0.2, 0.2, float("nan"), 0.15, 0.1, 0.3, 0.2):
        run.reported = sign * value
        _watch(run, run)
        seen.append((round(run.progress.best * sign, 2), run.progress.reductions))
    assert seen == [(0.1, 0), (0.2, 0), (0.2, 0), (0.2, 1), (0.2, 1), (0.2, 2), (0.3, 2), (0.3, 2)]


def test_a_run_leaves_weights_log_and_state(finished):
    out = finished / "run"
    rows = log(out)
    assert [row["epoch"] for row in rows] == ["1", "2"] and "PCK@0.2 block 2" in rows[0]
    assert not list(out.rglob("*.tmp"))
    state = checkpoint.load(out / "last.pt")
    assert state["progress"]["epoch"] == EPOCHS
    changed = [torch.equal(state["network"][k], state["average"][k]) for k in state["network"]]
    assert not all(changed)
    best = max(float(row["PCK@0.2 block 2"]) for row in rows)
    for name, score in (("weights", float(rows[-1]["PCK@0.2 block 2"])), ("best", best)):
        loaded = load_weights(out / f"{name}.safetensors")
        assert loaded.layout.name == "lsp14" and loaded.metadata["preset"] == "small"
        assert json.loads(loaded.metadata["validation"])["PCK@0.2 block 2"] == score
        assert json.loads(loaded.metadata["data"])["train"]["lspet"]["split"] == "all"


@pytest.mark.parametrize(
    ("optimizer", "rate"), [("muon", 4e-3), ("adamw", 4e-3), ("rmsprop", 1e-3), ("sgd", 1e-2)]
)
def test_every_optimiser_learns(tmp_path, overrides, optimizer, rate):
    chosen = [f"training.optimizer={optimizer}", "training.momentum=0.9"]
    run = Run(read_recipe("lspet.yaml", [*overrides, *chosen]), tmp_path / "run", QUIET)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    losses = [step(run, batch_of(run))[0][0] for _ in range(8)]
    assert losses[-1] < 0.98 * losses[0]


def test_muon_takes_the_filters_that_mix_channels(tmp_path, overrides):
    run = Run(read_recipe("lspet.yaml", [*overrides, "training.optimizer=muon"]), tmp_path / "run", QUIET)
    network = run.network
    (mixing,) = (group["params"] for group in run.optimizer.param_groups if group["orthogonal"])
    taken = {id(p) for p in mixing}
    assert id(network.stem.entry[1].conv.weight) in taken
    assert id(network.stem.residual.separable.depthwise.weight) not in taken
    assert all(p.ndim == 4 for p in mixing)
    everything = [p for group in run.optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in everything} == {id(p) for p in network.parameters()}
    assert len(everything) == len(list(network.parameters()))


def test_muon_steps_are_as_long_in_all_directions():
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(6, 4, 1, 1))
    optimizer = Muon([weight], [], [], lr=0.1, weight_decay=0.0)
    weight.grad = (torch.randn(6, 1) @ torch.randn(1, 4) * 100 + torch.randn(6, 4))[..., None, None]
    steep = torch.linalg.svdvals(weight.grad.flatten(1))
    assert steep[0] > 20 * steep[-1]
    optimizer.step()
    lengths = torch.linalg.svdvals(weight.detach().flatten(1)) / (0.1 * 0.5 * 6**0.5)
    assert lengths.min() > 0.5 and lengths.max() < 1.3


@pytest.mark.parametrize("shape", [(5, 5), (3, 40), (40, 3)])
def test_orthogonal_keeps_the_singular_vectors(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    values = torch.diagonal(u.T @ orthogonal(matrix) @ v.T)
    assert torch.allclose(u @ values.diag() @ v, orthogonal(matrix), atol=1e-5)
    assert (values[s > 0.1 * s.max()] > 0.6).all() and (values < 1.3).all()
    assert not orthogonal(torch.zeros(shape)).any()


def test_an_average_of_nothing_is_the_weights_themselves(tmp_path, overrides):
    run = Run(read_recipe("lspet.yaml", overrides), tmp_path / "run", QUIET)
    step(run, batch_of(run))
    update_average(run.average, run.network, 0.0, 1000)
    assert all(
        torch.equal(a, b) for a, b in zip(run.average.parameters(), run.network.parameters(), strict=True)
    )
    before = next(run.average.parameters()).clone()
    step(run, batch_of(run))
    update_average(run.average, run.network, 0.9, 1000)
    expected = 0.9 * before + 0.1 * next(run.network.parameters())
    assert torch.allclose(next(run.average.parameters()), expected, atol=1e-7)


def test_new_batch_norms_know_their_batches_after_a_few_steps():
    torch.manual_seed(0)
    new, old = BatchNorm(4), BatchNorm(4)
    old.running_mean.fill_(0.5)
    norms = new_norms(torch.nn.Sequential(new, old))
    assert norms == [new]
    for number in range(20):
        hurry_statistics(norms, number)
        new(3 + 0.1 * torch.randn(8, 4, 8, 8))
    assert torch.allclose(new.running_mean, torch.tensor(3.0), atol=0.01)
    assert torch.allclose(new.running_var, torch.tensor(0.01), atol=2e-3)
    assert new.momentum > MOMENTUM == old.momentum
    hurry_statistics(norms, 1000)
    assert new.momentum == MOMENTUM


def test_an_epoch_hurries_the_statistics_of_new_batch_norms(tmp_path, overrides):
    run = Run(read_recipe("lspet.yaml", overrides), tmp_path / "run", QUIET)
    assert len(run.new_norms) == sum(isinstance(m, BatchNorm) for m in run.network.modules()) > 0
    train_one_epoch(run, lambda told: None)
    assert {norm.momentum for norm in run.new_norms} == {2 / (COUNT // BATCH - 1 + 2)}


def test_half_precision_is_near_the_whole(tmp_path, overrides):
    losses = []
    for precision in ("fp32", "bf16"):
        recipe = read_recipe("lspet.yaml", [*overrides, f"training.precision={precision}"])
        run = Run(recipe, tmp_path / precision, QUIET)
        losses.append(step(run, batch_of(run))[0][0])
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.02)


def test_accumulation_changes_no_gradient(tmp_path, overrides):
    """In evaluation mode, where batch norm does not look at the batch."""
    runs = []
    for parts in (1, 3):
        recipe = read_recipe("lspet.yaml", [*overrides, f"training.accumulation={parts}"])
        run = Run(recipe, tmp_path / f"run{parts}", QUIET)
        run.network.eval()
        losses, _, _ = step(run, batch_of(run))
        runs.append((losses, [p.detach().clone() for p in run.network.parameters()]))
    assert runs[0][0] == pytest.approx(runs[1][0], rel=1e-6)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(runs[0][1], runs[1][1], strict=True))


START = "import sys; from poseact.cli import main; sys.exit(main(sys.argv[1:]))"


def start(out, overrides, **options):
    command = [sys.executable, "-c", START, "train", "lspet.yaml", "--out", str(out), *overrides]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, **({"stdout": subprocess.DEVNULL} | options))


def test_a_run_that_is_stopped_and_resumed_gives_the_same_bits(tmp_path, overrides, finished):
    cut = tmp_path / "cut"
    recipe = read_recipe("lspet.yaml", overrides)
    run = Run(recipe, cut, QUIET)

    def stop(_):
        run.stopping = run.progress.batch == 2

    with pytest.raises(KeyboardInterrupt):
        loop.train_one_epoch(run, stop)
    assert checkpoint.load(cut / "last.pt")["progress"]["batch"] == 3
    train(recipe, cut, QUIET)
    assert same_weights(finished / "run", cut)


@pytest.mark.slow
def test_kill_and_resume_equals_the_uninterrupted_run(tmp_path, overrides):
    """kill -9 in the middle of an epoch, then the same command: the same bits in the end."""
    overrides = [*overrides, "training.epochs=2", "training.checkpoint_minutes=0"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert start(whole, overrides).wait(timeout=120) == 0
    process = start(cut, overrides)
    deadline = time.monotonic() + 120
    while True:
        assert time.monotonic() < deadline and process.poll() is None
        if (cut / "last.pt").exists():
            progress = checkpoint.load(cut / "last.pt")["progress"]
            if progress["batch"] >= 2:
                break
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    progress = checkpoint.load(cut / "last.pt")["progress"]
    assert 0 < progress["batch"] <= COUNT // BATCH or progress["epoch"] == 1
    assert not (cut / "weights.safetensors").exists()
    assert start(cut, overrides).wait(timeout=120) == 0
    assert same_weights(whole, cut)
    for row, other in zip(log(whole), log(cut), strict=True):
        assert {k: v for k, v in row.items() if k != "minutes"} == {
            k: v for k, v in other.items() if k != "minutes"
        }


@pytest.mark.slow
@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_a_whole_state_and_resumes(tmp_path, overrides, told):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(read_recipe("lspet.yaml", overrides), whole, QUIET)
    process = start(cut, overrides, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    process.send_signal(told)
    rest = process.stdout.read()
    assert process.wait(timeout=60) == 130 and "the same command goes on" in rest
    assert checkpoint.load(cut / "last.pt")["progress"]["epoch"] >= 1
    train(read_recipe("lspet.yaml", overrides), cut, QUIET)
    assert same_weights(whole, cut)


def test_another_recipe_does_not_overwrite_a_run(run_copy, overrides):
    with pytest.raises(UserError, match=r"another recipe \(training.seed: 0 there, 1 here\)"):
        train(read_recipe("lspet.yaml", [*overrides, "training.seed=1"]), run_copy, QUIET)


def test_a_finished_run_is_left_as_it_is_also_when_its_data_has_moved(run_copy, overrides):
    weights = run_copy / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    moved = [*overrides, "roots.lspet=elsewhere", "training.checkpoint_minutes=4"]
    assert train(read_recipe("lspet.yaml", moved), run_copy, QUIET) == weights
    assert weights.stat().st_mtime_ns == before


def test_a_checkpoint_of_another_network(run_copy, overrides):
    (run_copy / "weights.safetensors").unlink()
    (run_copy / "recipe.json").unlink()
    with pytest.raises(UserError, match="another one"):
        train(read_recipe("lspet.yaml", [*overrides, "network.width=32"]), run_copy, QUIET)


def test_too_much_damage_stops_with_the_list(tmp_path, overrides):
    for i in (3, 5):
        (tmp_path / "lspet" / "images" / f"im{i:05d}.jpg").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"cannot be read, over 1%.*im00003"):
        train(read_recipe("lspet.yaml", overrides), tmp_path / "run", QUIET)


def test_a_loss_that_is_not_a_number_stops_and_leaves_the_batch(tmp_path, overrides):
    with pytest.raises(UserError, match=r"the loss became nan.*bad-batch.*learning_rate"):
        train(read_recipe("lspet.yaml", [*overrides, "training.learning_rate=.inf"]), tmp_path / "run", QUIET)
    with np.load(tmp_path / "run" / "bad-batch-0.npz") as batch:
        assert batch["stills_frames"].shape == (BATCH, 32, 32, 3) and "stills_pose" in batch


def test_a_gradient_that_is_not_a_number_leaves_the_weights_as_they_are(tmp_path, overrides):
    run = Run(read_recipe("lspet.yaml", overrides), tmp_path / "run", QUIET)
    before = [p.detach().clone() for p in run.network.parameters()]
    next(run.network.parameters()).register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(UserError, match="the gradient became nan"):
        loop.train_one_epoch(run, lambda _: None)
    assert all(torch.equal(a, b) for a, b in zip(before, run.network.parameters(), strict=True))
    assert (tmp_path / "run" / "bad-batch-0.npz").is_file() and not (tmp_path / "run" / "last.pt").exists()


def test_a_full_disk(tmp_path, overrides, monkeypatch):
    def full(path, state):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(loop.checkpoint, "save", full)
    with pytest.raises(UserError, match=r"last\.pt: No space left on device; .*the same command"):
        train(read_recipe("lspet.yaml", overrides), tmp_path / "run", QUIET)


def test_writing_to_a_full_device_is_an_os_error(tmp_path):
    (tmp_path / "last.pt.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match="space"):
        checkpoint.save(tmp_path / "last.pt", {"progress": torch.zeros(100_000)})


def end_worker(*_):
    assert torch.utils.data.get_worker_info() is not None
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_lost_worker(tmp_path, overrides, monkeypatch):
    run = Run(read_recipe("lspet.yaml", [*overrides, "training.workers=1"]), tmp_path / "run", QUIET)
    monkeypatch.setattr(Examples, "read", end_worker)  # workers are forked from here
    with pytest.raises(UserError, match=r"was lost .*lower training\.workers"):
        loop.train_one_epoch(run, lambda _: None)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut"])
def test_damaged_checkpoint(tmp_path, content):
    path = tmp_path / "last.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="remove the file"):
        checkpoint.load(path)


def test_checkpoints_are_not_unpickled(tmp_path):
    class Poison:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "poisoned"),))

    path = tmp_path / "last.pt"
    torch.save({"progress": Poison()}, path)
    with pytest.raises(UserError, match="checkpoint"):
        checkpoint.load(path)
    assert not (tmp_path / "poisoned").exists()


def test_crops_grow_by_even_shares_of_the_epochs_and_pictures_are_drawn(tmp_path, overrides):
    """Pictures are drawn in every other epoch, and in the last one."""
    chosen = ["training.sizes=[32, 64]", "training.epochs=3", "training.sample_every=2", "training.batch=8"]
    train(read_recipe("lspet.yaml", [*overrides, *chosen]), tmp_path / "run", QUIET)
    assert [row["crop"] for row in log(tmp_path / "run")] == ["32", "32", "64"]
    pictures = sorted((tmp_path / "run" / "samples").iterdir())
    assert [path.name for path in pictures] == ["epoch-002.png", "epoch-003.png"]


@pytest.mark.parametrize(("change", "message"), [
    ("roots.lspet=nowhere", "nowhere"),
    ("data.train.lspet.split=test", "unknown split 'test'"),
    ("data.train.lspet.swap_sides=true", "stills"),
    ("training.batch=25", "lower training.batch"),
    ("network.width=33", "width a multiple of 16"),
    ("network.layout=pa99", "pa99"),
    ("network.actions=auto", "videos"),
])  # fmt: skip
def test_what_does_not_fit_is_told_before_anything_is_written(tmp_path, overrides, change, message):
    with pytest.raises(UserError, match=message) as caught:
        train(read_recipe("lspet.yaml", [*overrides, change]), tmp_path / "run", QUIET)
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_depth_weighs_as_the_recipe_says(tmp_path):
    small = [text for text in SMALL if "validation.split" not in text and "lspet" not in text]
    losses = []
    for weight in (0, 1, 3):
        own = ["data.train.synthetic.count=4", f"training.depth_weight={weight}"]
        run = Run(read_recipe("synthetic.yaml", [*small, *own]), tmp_path / str(weight), QUIET)
        run.network.eval()  # the statistics of a batch norm would be those of the steps before
        examples = run.examples(0)
        batch = next(iter(training_loader(examples, run.sets.shares, BATCH, 0)))
        losses.append(step(run, batch)[0][1])
    plane, one, three = losses
    assert one > plane and three - plane == pytest.approx(3 * (one - plane), rel=1e-4)
