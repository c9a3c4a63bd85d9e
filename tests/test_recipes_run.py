"""Every recipe of the package from end to end, small, on sets written in the true formats."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch
from fakes import coco, human36m, lspet, mpii, ntu, penn_action
from rich.console import Console

from poseact.data.actions import NTU_ACTIONS, PENN_ACTIONS
from poseact.network import arguments, build
from poseact.training.loop import train_chain
from poseact.training.recipe import packaged, read_chain
from poseact.weights import load_weights, save_weights

pytestmark = pytest.mark.slow
SIZE, FRAMES = 64, 4
EVERYWHERE = [
    f"network.size={SIZE}", f"network.frames={FRAMES}", "training.epochs=2", "training.workers=0",
    "training.warmup_steps=2", f"training.sizes=[{SIZE}]", "training.precision=fp32",
    "data.validation.count=4",
]  # fmt: skip


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """A small set of each kind; returns the folders as overrides."""
    folder = tmp_path_factory.mktemp("sets")
    pictures = mpii.truth()
    mpii.write_released(folder / "mpii", pictures)
    penn_action.write(folder / "penn-action", clips=4)
    lspet.write(folder / "lspet", count=8)
    bodies = human36m.world()
    human36m.write_official(folder / "human36m", bodies)
    human36m.write_images(folder / "human36m", bodies)
    clips = ntu.make(ntu.NAMES)
    ntu.write_numpy(folder / "ntu", clips)
    for seed, split in enumerate(("train", "val")):
        content = coco.content(seed=seed)
        coco.write(folder / "coco", content, f"person_keypoints_{split}2017", f"{split}2017")
        write_videos(folder / "folder" / split, seed)
    return [f"roots.{path.name}={path}" for path in sorted(folder.iterdir())]


def write_videos(folder, seed):
    """One's own videos, as folders of images."""
    rng = np.random.default_rng(seed)
    for action in ("jump", "wave"):
        for video in range(2):
            path = folder / action / f"video{video}"
            path.mkdir(parents=True)
            for frame in range(6):
                cv2.imwrite(str(path / f"{frame}.png"), rng.integers(0, 255, (48, 64, 3), np.uint8))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """In the place of the published network for Penn Action."""
    torch.manual_seed(0)
    args = arguments("penn-action", width=16, blocks=1, size=SIZE, frames=FRAMES)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(path, build(args)[0], args, {"action_labels": json.dumps(PENN_ACTIONS)})
    return path


def small(name, weights):
    """What makes a chain small; each first stage by its own network."""
    own = {
        "human36m": ["human36m:data.train.human36m.draws=1"],
        "human36m-mpii": ["human36m-mpii:data.train.human36m.draws=1"],
        "ntu-pose": ["ntu-pose:data.train.mpii.share=1", "ntu-pose:data.train.human36m.share=1",
                     "ntu-pose:data.train.ntu.share=1"],
        "lspet": ["data.train.lspet.split=all", "data.validation.split=all"],
        "folder": [f"folder:network.weights={weights}"],
    }  # fmt: skip
    chain = read_chain(name, [])
    first = chain[0].name
    start = [] if first == "folder" else [f"{first}:network.width=16", f"{first}:network.blocks=1"]
    counted = ["data.train.synthetic.count=6"] if "synthetic" in chain[0].data.train else []
    batch = 4 if first in ("penn-pose", "penn-joint", "lspet") else 3 if first == "ntu-pose" else 2
    batches = ["training.batch=2", f"{first}:training.batch={batch}"]
    return [*EVERYWHERE, *start, *own.get(first, []), *counted, *batches]


@pytest.mark.parametrize("name", packaged())
def test_a_recipe_from_end_to_end(name, roots, weights, tmp_path):
    chain = read_chain(name, [*roots, *small(name, weights)])
    path = train_chain(chain, tmp_path, Console(quiet=True))
    for recipe in chain:
        folder = tmp_path / recipe.name if len(chain) > 1 else tmp_path
        rows = list(csv.DictReader((folder / "log.csv").read_text().splitlines()))
        assert len(rows) == recipe.training.epochs
        assert all(np.isfinite(float(row["loss"])) and float(row["loss"]) > 0 for row in rows)
        assert (float(rows[0]["pose_loss"]) > 0) == recipe.learns_poses
        assert (float(rows[0]["action_loss"]) > 0) == recipe.learns_actions
        assert ("accuracy" in rows[0]) == recipe.learns_actions
        assert {"last.pt", "recipe.json", "weights.safetensors", "best.safetensors"} <= {
            p.name for p in folder.iterdir()
        }
        sheet = cv2.imread(str(sorted((folder / "samples").iterdir())[-1]))
        assert sheet is not None and sheet.std() > 1
    loaded = load_weights(path)
    assert loaded.metadata["recipe"] == chain[-1].name
    labels = {"penn": PENN_ACTIONS, "ntu": NTU_ACTIONS, "folder": ("jump", "wave")}
    if chain[-1].recognises and name.split("-")[0].removesuffix(".yaml") in labels:
        assert loaded.action_labels == labels[name.split("-")[0].removesuffix(".yaml")]
