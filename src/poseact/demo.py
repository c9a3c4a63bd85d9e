"""The demo's clip: one person performs several actions, drawn by the package, so that the truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from poseact.data.synthetic.course import Courses, Performed
from poseact.data.synthetic.videos import FPS
from poseact.evaluation.segments import found
from poseact.segments import Segment
from poseact.video import write_video

SECONDS, SIZE, SEED = 14.0, (360, 480), 5


def render_clip(path: Path, console: Console) -> tuple[Performed, ...]:
    """Write the clip as a video to ``path``, unless it is there; returns the actions in it, in order."""
    film, performed = Courses(1, SECONDS, SIZE, SEED).film(0)
    if path.exists():  # drawn by an earlier call; written whole or not at all
        return performed
    frames = track(range(len(film)), "drawing a clip", console=console)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, (film.picture(i).image for i in frames), film.fps)
    return performed


def told(performed: Sequence[Performed], segments: Sequence[Segment]) -> str:
    """What was performed, and how much of it was found, in words."""
    hits = sum(pair is not None for pair in found(performed, segments))
    actions = ", ".join(f"{p.action} {p.first / FPS:.1f} to {(p.last + 1) / FPS:.1f} s" for p in performed)
    return f"performed: {actions}; {hits} of {len(performed)} found"
