"""Knees that bend the wrong way in 3D: `python benchmarks/knees.py --weights W --root LSPET --out knees.jpg`.

The last 500 photographs of LSP extended, which nothing is trained on, each in its own box. A person is wrong
who has a knee that is bent by more than 25 degrees, and forward about the axis of the hips. Thirty of them,
evenly spaced, are drawn from the camera's side, from half-left and from the side; those that are wrong have a
red edge.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.progress import track
from torch.nn import functional as F

from poseact.data import open_data
from poseact.data.augment import example
from poseact.geometry import REFERENCE_SIDE_M
from poseact.inference.predictor import BATCH, ready
from poseact.network import MultitaskNetwork, to_input
from poseact.skeleton import Layout
from poseact.structures import Image
from poseact.training.knees import in_sides, knee_bends, leg_bones
from poseact.visual.sheet import contact_sheet
from poseact.visual.space import BACKGROUND, draw_space
from poseact.weights import load_model

BENT, ABOUT_HIPS = math.radians(25), 0.3
"""A knee counts from this bend on; and from this cosine of its axis to that of the hips."""
SHOWN = range(5, 485, 16)
TURNS = (0.0, math.pi / 4, math.pi / 2)


def answered(network: MultitaskNetwork, root: Path) -> tuple[list[Image], torch.Tensor]:
    """The crops (S, S, 3) of all photographs, and the poses (N, J, 3) in sides of the crop."""
    source = open_data("lspet", root, "dev")
    rng = np.random.default_rng(0)
    crops, poses = [], []
    for start in track(range(0, len(source), BATCH), "photographs"):
        some = [source[i] for i in range(start, min(start + BATCH, len(source)))]
        frames = np.stack([example(s, network.layout, network.size, None, rng)["frames"] for s in some])
        with torch.inference_mode():
            blocks, _ = network.estimate(to_input(torch.from_numpy(frames)))
        crops += list(frames)
        poses.append(in_sides(blocks[-1].pose.float()))
    return crops, torch.cat(poses)


def wrong_people(poses: torch.Tensor, layout: Layout) -> torch.Tensor:
    """Who has a knee that bends the wrong way: (N,) bool."""
    thigh, shank = (F.normalize(bone, dim=-1) for bone in leg_bones(poses, layout))
    sine = torch.linalg.cross(thigh, shank).norm(dim=-1)
    bend = torch.atan2(sine, (thigh * shank).sum(-1))
    return ((bend > BENT) & (knee_bends(poses, layout) < -ABOUT_HIPS * sine)).any(-1)


def drawn(crop: Image, pose: torch.Tensor, layout: Layout, wrong: bool) -> list[Image]:
    metres = (pose - pose[layout.index("pelvis")]).numpy() * REFERENCE_SIDE_M
    pictures = [crop]
    for turn in TURNS:
        canvas = np.full((256, 192, 3), BACKGROUND, np.uint8)
        draw_space(canvas, metres[None], np.ones((1, len(layout)), bool), layout, turn)
        pictures.append(canvas)
    if wrong:
        for picture in pictures:
            cv2.rectangle(picture, (0, 0), (picture.shape[1] - 1, picture.shape[0] - 1), (230, 40, 40), 5)
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, metavar="W")
    parser.add_argument("--root", type=Path, required=True, metavar="LSPET")
    parser.add_argument("--out", type=Path, metavar="JPG")
    args = parser.parse_args()
    network = ready(load_model(args.weights), torch.device("cpu"), precision="fp32")
    layout = network.layout
    crops, poses = answered(network, args.root)
    wrong = wrong_people(poses, layout)
    print(f"{(~wrong).sum()} of {len(wrong)} people right; of {len(SHOWN)}: {(~wrong[list(SHOWN)]).sum()}")
    if args.out:
        cells = [cell for i in SHOWN for cell in drawn(crops[i], poses[i], layout, bool(wrong[i]))]
        sheet = contact_sheet(cells, 12, 160)
        cv2.imwrite(str(args.out), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
