"""Several processes (gloo): the same losses as one with the whole batch, and stop and resume."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from fakes import lspet, penn_action
from safetensors.torch import load_file

from poseact.training import checkpoint

STEPS = 20
LOSSES = f"""
import json, sys, torch
torch.Tensor.float = torch.Tensor.double  # float64 also where the network takes float32 to be enough
torch.set_num_threads(1)
from pathlib import Path
from rich.console import Console
from poseact.data.loading import Examples, training_loader
from poseact.training.epoch import step
from poseact.training.loop import Run
from poseact.training.optimisation import make_optimizer
from poseact.training.recipe import read_recipe

run = Run(read_recipe("penn-joint.yaml", sys.argv[2:]), Path(sys.argv[1]), Console(quiet=True))
run.network.double().eval()
run.optimizer = make_optimizer(run.network, run.recipe.training)
part = run.accelerator.process_index, run.accelerator.num_processes
losses = []
while len(losses) < {STEPS}:
    recipe, epoch = run.recipe, run.progress.epoch
    examples = Examples(run.sets.train, run.layout, 32, recipe.augmentation, 0, epoch, run.frames)
    for batch in training_loader(examples, run.sets.shares, recipe.training.batch, 0, part=part):
        losses.append(step(run, batch)[0])
    run.progress.next_epoch()
print(json.dumps([part, losses[:{STEPS}]]))
"""
TRAIN = "import sys; from poseact.cli import main; sys.exit(main(sys.argv[1:]))"
SMALL = [
    "network.size=32", "network.width=16", "network.blocks=1", "network.frames=4", "training.workers=0",
    "training.precision=fp32", "training.sample_every=0", "data.validation.split=all", "training.batch=8",
    "data.train={lspet: {split: all, share: 3}, penn-action: {split: all, share: 1}}",
    "data.validation.count=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    lspet.write(folder / "lspet", count=24)
    penn_action.write(folder / "penn", clips=4)
    return [f"roots.lspet={folder / 'lspet'}", f"roots.penn-action={folder / 'penn'}", *SMALL]


def start(code, count, *arguments):
    """``count`` processes of one group, as ``torchrun`` starts them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = []
    for rank in range(count):
        own = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
        }
        environment = os.environ | group | (own if count > 1 else {})
        command = [sys.executable, "-c", code, *map(str, arguments)]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    return processes


def finished(processes):
    answers = [process.communicate(timeout=180)[0] for process in processes]
    assert all(process.returncode == 0 for process in processes)
    return answers


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one_with_the_double_batch(tmp_path, overrides):
    """20 steps on stills and clips together: SGD, float64, batch norm in evaluation mode."""
    sgd = [
        *overrides, "training.optimizer=sgd", "training.momentum=0.9", "training.learning_rate=1e-2",
        "training.clip_norm=1", "training.heat_map_weight=0.1",
    ]  # fmt: skip
    groups = [start(LOSSES, count, tmp_path / str(count), *sgd) for count in (1, 2)]
    (one,), two = ([json.loads(answer) for answer in finished(group)] for group in groups)
    assert one[0] == [0, 1] and [part for part, _ in two] == [[0, 2], [1, 2]]
    expected = torch.tensor(one[1], dtype=torch.float64)
    assert expected.shape == (STEPS, 3) and (expected[-1] < expected[0]).all()
    for _, losses in two:
        assert (torch.tensor(losses, dtype=torch.float64) - expected).abs().max() < 1e-8


@pytest.mark.slow
def test_a_killed_run_of_two_processes_resumes(tmp_path, overrides):
    """kill -9 in the middle of an epoch, then the same command: the same bits in the end."""
    recipe = [*overrides, "training.epochs=2", "training.checkpoint_minutes=0"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    finished(start(TRAIN, 2, "train", "penn-joint.yaml", "--out", whole, *recipe))
    processes = start(TRAIN, 2, "train", "penn-joint.yaml", "--out", cut, *recipe)
    deadline = time.monotonic() + 180
    while not (cut / "last.pt").exists() or checkpoint.load(cut / "last.pt")["progress"]["batch"] < 2:
        assert time.monotonic() < deadline and all(process.poll() is None for process in processes)
        time.sleep(0.005)
    for process in processes:
        process.send_signal(signal.SIGKILL)
    assert [process.wait() for process in processes] == [-signal.SIGKILL] * 2
    assert not (cut / "weights.safetensors").exists()
    finished(start(TRAIN, 2, "train", "penn-joint.yaml", "--out", cut, *recipe))
    first, second = (load_file(run / "weights.safetensors") for run in (whole, cut))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_a_batch_that_the_processes_cannot_share(tmp_path, overrides):
    processes = start(
        TRAIN, 2, "train", "penn-joint.yaml", "--out", tmp_path / "run", *overrides, "training.batch=7"
    )
    for process in processes:
        process.communicate(timeout=180)
        assert process.returncode == 2
