"""The sheet of validation samples with the network's answers."""

import csv

import numpy as np
import pytest
import torch
from fakes import lspet as fake
from fakes.tracks import Tracks
from rich.console import Console

from poseact.data.lspet import LspExtended
from poseact.evaluation.rules import OURS
from poseact.network import arguments, build
from poseact.training.loop import train
from poseact.training.pictures import _RIGHT, _STRIP, _WRONG, CELL, draw_answers
from poseact.training.recipe import read_recipe

CPU = torch.device("cpu")


def network(labels=(), **overrides):
    torch.manual_seed(0)
    args = {**arguments("tiny"), "width": 16, "blocks": 1, "size": 32, **overrides}
    made, layout = build(args)
    made.layout, made.action_labels = layout, labels
    return made


def near(cell, colour):
    """How many pixels of the strip for the text have a colour."""
    return int((np.abs(cell[-_STRIP:].astype(int) - colour).max(-1) < 40).sum())


def test_answers_are_green_where_right_and_red_where_wrong():
    """Two videos of different actions; one network that is sure of the second."""
    recognising = network(Tracks.actions, actions=2, frames=4)
    with torch.no_grad():
        recognising.merge.linear.weight.zero_()
        recognising.merge.linear.bias.copy_(torch.tensor([0.0, 9.0]))
    sheet = draw_answers(recognising, Tracks(2), 32, CPU, OURS)
    assert sheet.shape == (CELL, 4 * CELL, 3)
    walking, standing = sheet[:, :CELL], sheet[:, CELL : 2 * CELL]
    assert near(standing, _RIGHT) > 20 > near(standing, _WRONG) == 0
    assert near(walking, _WRONG) > 20 > near(walking, _RIGHT) == 0


def test_poses_alone_have_no_text():
    sheet = draw_answers(network(), Tracks(3), 32, CPU, OURS)
    assert near(sheet, _RIGHT) == near(sheet, _WRONG) == 0
    assert sheet[:, :CELL].std() > 1


def test_samples_that_cannot_be_read_are_left_out(tmp_path):
    fake.write(tmp_path / "lspet", count=3)
    data = LspExtended(tmp_path / "lspet")
    images = sorted((tmp_path / "lspet" / "images").iterdir())
    images[0].write_bytes(b"")
    sheet = draw_answers(network(layout="lsp14"), data, 32, CPU, OURS)
    assert sheet[:, CELL : 2 * CELL].std() > 1 and sheet[:, 2 * CELL :].std() == 0
    for path in images:
        path.write_bytes(b"")
    assert draw_answers(network(layout="lsp14"), data, 32, CPU, OURS) is None


def test_the_tensorboard_log_has_the_numbers_of_the_csv(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fake.write(tmp_path / "lspet", count=8)
    small = [
        f"roots.lspet={tmp_path / 'lspet'}", "network.width=16", "training.sizes=[32]", "training.batch=4",
        "training.epochs=2", "training.sample_every=0", "training.precision=fp32",
        "data.train.lspet.split=all", "data.validation.split=all",
    ]  # fmt: skip
    train(read_recipe("lspet.yaml", small), tmp_path / "run", Console(quiet=True))
    rows = list(csv.DictReader((tmp_path / "run" / "log.csv").read_text().splitlines()))
    events = reader.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    for name in ("loss", "learning_rate"):
        logged = [(event.step, event.value) for event in events.Scalars(name)]
        assert logged == [(int(row["epoch"]), pytest.approx(float(row[name]))) for row in rows]
