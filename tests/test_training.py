import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from fakes import lspet as fake
from rich.console import Console
from safetensors.torch import load_file

from poseact.errors import UserError
from poseact.training import checkpoint
from poseact.training.loop import learning_rate, train
from poseact.training.recipe import read_recipe
from poseact.weights import load_weights

QUIET = Console(quiet=True)
EPOCHS, COUNT, BATCH = 3, 24, 4
SMALL = [
    "network.width=32", "network.size=64", "network.blocks=2", "data.split=all", "data.validation=all",
    f"training.epochs={EPOCHS}", f"training.batch={BATCH}", "training.workers=0", "training.precision=fp32",
    "training.warmup_steps=2", "training.checkpoint_minutes=0",
]  # fmt: skip


@pytest.fixture
def overrides(tmp_path):
    fake.write(tmp_path / "lspet", count=COUNT)
    return [f"data.root={tmp_path / 'lspet'}", *SMALL]


def weights(run: Path):
    return load_file(run / "weights.safetensors")


def same_weights(a: Path, b: Path) -> bool:
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_learning_rate_schedule():
    rates = [learning_rate(s, 100, 1.0, 10) for s in range(101)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5 * (1 + math.cos(math.pi / 2))) and rates[100] == 0


def test_a_run_leaves_weights_log_and_state(tmp_path, overrides):
    out = tmp_path / "run"
    path = train(read_recipe("lspet.yaml", overrides), out, QUIET)
    assert path == out / "weights.safetensors"
    loaded = load_weights(path)
    assert loaded.layout.name == "lsp14" and loaded.metadata["preset"] == "small"
    log = (out / "log.csv").read_text().splitlines()
    assert len(log) == 1 + EPOCHS and "PCK@0.2 block 2" in log[0]
    assert not list(out.glob("*.tmp"))
    state = checkpoint.load(out / "last.pt")
    assert state["progress"]["epoch"] == EPOCHS
    changed = [torch.equal(state["network"][k], state["average"][k]) for k in state["network"]]
    assert not all(changed)


def test_the_loss_falls(tmp_path, overrides):
    out = tmp_path / "run"
    train(read_recipe("lspet.yaml", [*overrides, "training.epochs=12"]), out, QUIET)
    rows = [line.split(",") for line in (out / "log.csv").read_text().splitlines()[1:]]
    losses = [float(row[3]) for row in rows]
    assert sum(losses[-3:]) < 0.97 * sum(losses[:3])


START = "import sys; from poseact.cli import main; sys.exit(main(sys.argv[1:]))"


def start(out, overrides):
    command = [sys.executable, "-c", START, "train", "lspet.yaml", "--out", str(out), *overrides]
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)


def test_kill_and_resume_equals_the_uninterrupted_run(tmp_path, overrides):
    """kill -9 in the middle of an epoch, then the same command: the same bits in the end."""
    overrides = [*overrides, "training.epochs=2"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert start(whole, overrides).wait(timeout=120) == 0
    process = start(cut, overrides)
    batches = COUNT // BATCH
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
    assert 0 < progress["batch"] < batches or progress["epoch"] == 1
    assert not (cut / "weights.safetensors").exists()
    assert start(cut, overrides).wait(timeout=120) == 0
    assert same_weights(whole, cut)
    whole_log, cut_log = ((run / "log.csv").read_text().splitlines() for run in (whole, cut))
    assert [line.split(",")[2:] for line in whole_log] == [line.split(",")[2:] for line in cut_log]


def test_another_recipe_does_not_overwrite_a_run(tmp_path, overrides):
    out = tmp_path / "run"
    train(read_recipe("lspet.yaml", overrides), out, QUIET)
    with pytest.raises(UserError, match="another recipe"):
        train(read_recipe("lspet.yaml", [*overrides, "training.seed=1"]), out, QUIET)


def test_too_much_damage_stops_with_the_list(tmp_path, overrides):
    for i in (3, 5):
        (tmp_path / "lspet" / "images" / f"im{i:05d}.jpg").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"cannot be read, over 1%.*im00003"):
        train(read_recipe("lspet.yaml", overrides), tmp_path / "run", QUIET)


def test_a_loss_that_is_not_a_number_stops(tmp_path, overrides):
    with pytest.raises(UserError, match=r"the loss became nan.*learning_rate"):
        train(read_recipe("lspet.yaml", [*overrides, "training.learning_rate=.inf"]), tmp_path / "run", QUIET)


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


def test_ctrl_c_saves_a_whole_state_and_resumes(tmp_path, overrides):
    overrides = [*overrides, "training.checkpoint_minutes=60"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(read_recipe("lspet.yaml", overrides), whole, QUIET)
    command = [sys.executable, "-c", START, "train", "lspet.yaml", "--out", str(cut), *overrides]
    process = subprocess.Popen(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(timeout=60) == 130 and "the same command goes on" in rest
    assert checkpoint.load(cut / "last.pt")["progress"]["epoch"] >= 1
    train(read_recipe("lspet.yaml", overrides), cut, QUIET)
    assert same_weights(whole, cut)


def test_crops_grow_by_even_shares_of_the_epochs(tmp_path, overrides):
    train(read_recipe("lspet.yaml", [*overrides, "training.sizes=[32, 64]"]), tmp_path / "run", QUIET)
    header, *rows = [line.split(",") for line in (tmp_path / "run" / "log.csv").read_text().splitlines()]
    assert [row[header.index("crop")] for row in rows] == ["32", "32", "64"]


def test_crop_sizes_that_do_not_fit_the_network(tmp_path, overrides):
    with pytest.raises(UserError, match="multiples of 32"):
        train(read_recipe("lspet.yaml", [*overrides, "training.sizes=[40]"]), tmp_path / "run", QUIET)
