"""The demo: train the smallest network on synthetic people, and look at what it answers."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from poseact.data import as_stills, open_data
from poseact.data.human36m import TEST_STEP
from poseact.data.images import write_png
from poseact.evaluation.protocols import evaluate_pose
from poseact.inference.device import pick_device
from poseact.inference.predictor import View, predict
from poseact.training.loop import train
from poseact.training.recipe import read_recipe
from poseact.visual.overlay import draw_prediction
from poseact.visual.sheet import contact_sheet
from poseact.weights import load_weights

SHOWN = 24
TESTED = 300


def run_demo(out: Path, console: Console) -> None:
    """Train ``demo.yaml`` into ``out``, score it on unseen people, write overlays there."""
    weights = load_weights(train(read_recipe("demo.yaml", []), out, console))
    device = pick_device()
    test = as_stills(open_data("synthetic", None, "test", TESTED), TEST_STEP)
    scores = evaluate_pose(weights.model, weights.layout, test, device)
    for k, value in enumerate(scores.scores[scores.main], 1):
        console.print(f"block {k}: {scores.main} {value:.3f} on {scores.samples} unseen people")
    samples = [test[i] for i in range(SHOWN)]
    views = [View(f"person{i:02d}", s.image()[0], s.box) for i, s in enumerate(samples)]
    drawn = []
    for view, blocks in zip(views, predict(weights.model, weights.layout, views, device), strict=True):
        drawn.append(draw_prediction(view.image, blocks[-1]))
        write_png(out / "overlays" / f"{view.name}.png", drawn[-1])
    write_png(out / "overlays.png", contact_sheet(drawn, columns=6))
    console.print(f"overlays: {out / 'overlays.png'} and {len(drawn)} files in {out / 'overlays'}")
    console.print(f"weights: {out / 'weights.safetensors'}, log: {out / 'log.csv'}")
