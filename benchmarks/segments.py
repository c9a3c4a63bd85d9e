"""Actions found and false alarms in rendered films: `python benchmarks/segments.py --weights W --minutes 30`.

So many minutes of films in which actions follow each other with rests between, and as many of people who
stand about and move as none of the actions. Each film is written as a video and answered by `predict`, the
person found by itself. What is done is kept in a folder for these weights: the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path

from rich.progress import track

from poseact.data.images import write_json
from poseact.data.synthetic.capture import MotionClips, read_motions_npz, split_by_style, with_common_names
from poseact.data.synthetic.course import OTHER, Courses
from poseact.evaluation.segments import OVERLAP, found
from poseact.inference.run import RunOptions, predict_video
from poseact.network import MultitaskNetwork
from poseact.segments import THRESHOLD
from poseact.video import write_video
from poseact.weights import load_model
from poseact.weights.files import checksum

SECONDS = 12.0
SEED = 2
UNKNOWN = ("guide", "slash", "dance-short", "respond")
"""Captured actions that nothing is trained on."""


def captured(root: Path | None, known: bool) -> MotionClips | None:
    if root is None:
        return None
    clips = read_motions_npz(root)
    if known:
        return with_common_names(split_by_style(clips, "test"))
    clips = clips.of_actions(UNKNOWN)
    return replace(clips, actions=(OTHER,) * len(clips))


def answered(network: MultitaskNetwork, courses: Courses, i: int, out: Path) -> None:
    """Render film ``i``, predict, and write what was performed and what was found."""
    film, performed = courses.film(i)
    video = out / "film.mp4"
    shutil.rmtree(out / "film", ignore_errors=True)  # of another film, where this was stopped
    write_video(video, (film.picture(k).image for k in range(len(film))), film.fps)
    summary = predict_video(video, network, out / "film", RunOptions(only=("json",)))
    content = {
        "frames": len(film),
        "performed": [vars(each) for each in performed],
        "segments": [vars(each) for each in summary.segments],
        "pairs": found(performed, summary.segments),
    }
    write_json(out / f"{i:04d}.json", content)
    shutil.rmtree(out / "film")
    video.unlink()


def told(out: Path, known: bool) -> None:
    films = [json.loads(path.read_text()) for path in sorted(out.glob("[0-9]*.json"))]
    minutes = sum(film["frames"] for film in films) / 30 / 60
    true = [pair for film in films for pair in film["pairs"]]
    segments = sum(len(film["segments"]) for film in films)
    hits = sum(pair is not None for pair in true)
    print(f"{len(films)} films, {minutes:.1f} minutes, {segments} segments, threshold {THRESHOLD}")
    if known:
        print(f"  {hits} of {len(true)} actions found ({hits / max(1, len(true)):.1%}), overlap {OVERLAP}")
    print(f"  {(segments - hits) / max(1e-9, minutes):.2f} false segments a minute")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, metavar="W")
    parser.add_argument(
        "--root", type=Path, metavar="motions.npz", help="captured movements beside procedural ones"
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=Path("runs/segments"), metavar="DIR")
    args = parser.parse_args()
    network = load_model(args.weights)
    mark = checksum(network.state_dict())[:8]
    for known in (False, True):
        out = args.out / mark / ("known" if known else "unknown")
        out.mkdir(parents=True, exist_ok=True)
        count, motions = round(args.minutes * 60 / SECONDS), captured(args.root, known)
        courses = Courses(count, SECONDS, seed=SEED, known=known, motions=motions)
        todo = [i for i in range(len(courses)) if not (out / f"{i:04d}.json").exists()]
        for i in track(todo, out.name):
            answered(network, courses, i, out)
        told(out, known)


if __name__ == "__main__":
    main()
