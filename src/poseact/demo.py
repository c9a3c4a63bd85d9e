"""The demo: train the smallest network on figures that the package makes, and look at it."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from poseact.data import as_stills, open_data
from poseact.data.images import write_png
from poseact.evaluation.protocols import evaluate_pose
from poseact.inference.device import pick_device
from poseact.inference.predictor import View, predict
from poseact.training.loop import train
from poseact.training.recipe import read_recipe
from poseact.visual.overlay import draw_prediction
from poseact.visual.sheet import contact_sheet
from poseact.weights import load_weights

FIGURES = 24
TEST_FIGURES = 300


def run_demo(out: Path, console: Console) -> None:
    """Train ``demo.yaml`` into ``out``, score it on unseen figures, write overlays there."""
    weights = load_weights(train(read_recipe("demo.yaml", []), out, console))
    device = pick_device()
    test = as_stills(open_data("synthetic", None, "test", TEST_FIGURES), 1)
    scores = evaluate_pose(weights.model, weights.layout, test, device)
    for k, value in enumerate(scores.by_block, 1):
        console.print(f"block {k}: {scores.metric} {value:.3f} on {scores.samples} unseen figures")
    samples = [test[i] for i in range(FIGURES)]
    views = [View(f"figure{i:02d}", s.image()[0], s.box) for i, s in enumerate(samples)]
    drawn = []
    for view, blocks in zip(views, predict(weights.model, weights.layout, views, device), strict=True):
        drawn.append(draw_prediction(view.image, blocks[-1]))
        write_png(out / "overlays" / f"{view.name}.png", drawn[-1])
    write_png(out / "overlays.png", contact_sheet(drawn, columns=6))
    console.print(f"overlays: {out / 'overlays.png'} and {len(drawn)} files in {out / 'overlays'}")
    console.print(f"weights: {out / 'weights.safetensors'}, log: {out / 'log.csv'}")
