"""Every recipe of the package from end to end, small, on sets written in the true formats."""

import csv
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from fakes import coco, human36m, lspet, mpii, ntu, penn_action
from rich.console import Console

from poseact import ablation
from poseact.cli import main
from poseact.data.actions import NTU_ACTIONS, PENN_ACTIONS
from poseact.evaluation.report import write_report
from poseact.evaluation.rules import protocol_of
from poseact.evaluation.run import open_job, run_job
from poseact.network import arguments, build
from poseact.training.loop import train_chain
from poseact.training.recipe import packaged, read_chain
from poseact.weights import load_weights, save_weights

pytestmark = pytest.mark.slow
SIZE, FRAMES = 64, 4
EVERYWHERE = [
    f"network.size={SIZE}", f"network.frames={FRAMES}", "training.epochs=2", "training.workers=0",
    "training.warmup_steps=2", f"training.sizes=[{SIZE}]", "training.precision=fp32",
    "data.validation.count=4", "training.sample_every=1",
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
        "mixed": ["data.train.lspet.split=all", "data.validation.split=all"],
        "folder": [f"folder:network.weights={weights}"],
        "small-more": [f"small-more:network.weights={weights}", "small-more:network.depth_maps=2",
                       "small-more:network.context=0"],
    }  # fmt: skip
    chain = read_chain(name, [])
    first = chain[0].name
    start = [f"{first}:network.width=16", f"{first}:network.blocks=1"]
    start = [] if first in ("folder", "small-more") else start
    counted = [
        f"{stage.name}:data.train.synthetic.count=6" for stage in chain if "synthetic" in stage.data.train
    ]
    if name.startswith("small-"):  # without motion capture
        counted += [f"{stage.name}:data.train.synthetic.split=train" for stage in chain]
        counted += [
            f"{stage.name}:data.train.lspet.split=all" for stage in chain if "lspet" in stage.data.train
        ]
        counted += [f"{stage.name}:data.validation.split=val" for stage in chain[1:]]
        counted += [f"{first}:data.validation.split=all"]
    posed = [stage.name for stage in chain if stage.data.poses]
    counted += [f"{stage}:data.poses.synthetic.count=6" for stage in posed]
    counted += [f"{stage}:data.poses.course.count=2" for stage in posed]
    if name.startswith("small-"):
        counted += [f"{stage}:data.poses.synthetic.split=train" for stage in posed]
    batch = 4 if first in ("penn-pose", "penn-joint", "lspet") else 2
    batch = 3 if first in ("ntu-pose", "small-pose", "small-more") else batch
    batches = ["training.batch=2", f"{first}:training.batch={batch}"]
    batches += [f"{stage}:training.batch=3" for stage in posed]  # by shares of 5, 6 and 4
    return [*EVERYWHERE, *start, *own.get(first, []), *counted, *batches]


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory):
    """The folder of an evaluation of each recipe."""
    return tmp_path_factory.mktemp("evaluations")


@pytest.mark.parametrize("name", packaged())
def test_a_recipe_from_end_to_end(name, roots, weights, evaluations, tmp_path):
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
    evaluate(chain[-1], path, evaluations / f"eval-{chain[-1].name}.json")


def evaluate(recipe, weights, file):
    """On the recipe's validation set, by its own task."""
    data = recipe.data.validation
    root = Path(recipe.roots[data.set]) if data.set in recipe.roots else None
    protocol = protocol_of("ours", data.set, data.split)
    job = open_job(str(weights), data.set, root, data.split, protocol, data.count if root is None else None)
    scores, written = run_job(job, "action" if recipe.learns_actions else "pose", file, None)
    assert scores.samples > 0 and np.isfinite(scores.scores[scores.main]).all()
    assert [path.suffix for path in written] == [".json", ".png"]


def test_the_report_of_all_recipes(evaluations):
    """After them: it tells of each, and has a picture of each."""
    made = sorted(evaluations.glob("eval-*.json"))
    if not made:
        pytest.skip("no recipe was run before")
    out = Path(os.environ.get("POSEACT_REPORT", evaluations / "report"))
    written = write_report([evaluations], out)
    text = (out / "report.md").read_text()
    assert all(path.stem.removeprefix("eval-") in text for path in made)
    assert sum(path.name.startswith("figure-7-") for path in written) == len(made)


def test_the_ablation_from_end_to_end(tmp_path, monkeypatch, capsys):
    """And once more: what is finished stays as it is."""
    monkeypatch.setattr(ablation, "TESTED", 9)
    small = [*EVERYWHERE, "data.train.synthetic.count=6"]
    small += ["ablation-pose:network.width=16", "ablation-pose:network.blocks=1"]
    command = ["ablation", "--out", str(tmp_path), *small, "training.batch=2"]
    assert main(command) == 0
    report = (tmp_path / "report" / "report.md").read_text()
    for name in ("E1", "ablation-given, noisy poses", "ablation-action", "ablation-finetune, multi-clip"):
        assert name in report
    assert {"figure-8-E1.png", "figure-9-E1.png"} <= {path.name for path in (tmp_path / "report").iterdir()}
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("eval-*.json")}
    assert len(times) == 5
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out.count("finished before") == 5
    assert times == {path: path.stat().st_mtime_ns for path in times}
