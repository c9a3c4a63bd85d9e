"""Results of videos without a network: made up, or the truth of a synthetic film."""

import numpy as np

from poseact.results import Results, row_type
from poseact.skeleton import Layout, convert


def made_up(
    layout: Layout, frames: int, *, people=(1,), dim=3, actions=(), seed=0, fps=25.0, **more
) -> Results:
    """Random answers about ``people`` in every frame of a 640x480 video."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(frames * len(people), row_type(len(layout), dim, len(actions)))
    count, joints = len(rows), len(layout)
    rows["frame"] = np.repeat(np.arange(frames), len(people))
    rows["time_s"] = rows["frame"] / fps
    rows["person"] = np.tile(people, frames)
    rows["box"] = (320.0, 240.0, 400.0)
    rows["joints"] = rng.uniform((130, 50), (510, 430), (count, joints, 2))
    rows["visibility"] = rng.uniform(0, 1, (count, joints))
    root = rng.normal(0, 5, (count, joints, 2, 2))
    rows["covariance"] = root @ np.swapaxes(root, -1, -2)
    if dim == 3:
        rows["crop"] = rng.uniform(-0.5, 0.5, (count, joints, 3))
        rows["crop"][:, layout.index("pelvis")] = 0
        rows["metres"] = 2 * rows["crop"]
    if actions:
        share = rng.uniform(0, 1, (count, len(actions)))
        rows["action"] = share / share.sum(1, keepdims=True)
        rows["action_known"] = rows["frame"] >= 8
    return Results(rows, layout, tuple(actions), "video.mp4", fps, (640, 480), frames, **more)


def of_film(film, layout: Layout, actions=()) -> Results:
    """What a perfect network would answer about a synthetic film, cameras and all; the action is certain."""
    track = film.track("film", None)
    rows = np.zeros(len(film), row_type(len(layout), 3, len(actions)))
    rows["frame"], rows["time_s"], rows["person"] = np.arange(len(film)), np.arange(len(film)) / film.fps, 1
    rows["box"], rows["visibility"], rows["covariance"] = track.boxes, 0.95, 9 * np.eye(2)
    rows["joints"] = convert(track.joints[..., :2], track.layout, layout, axis=1)
    seen = np.stack([film.scene.camera(i).to_camera(at) for i, at in enumerate(film.joints)])
    relative = seen - seen[:, [track.layout.index("pelvis")]]
    rows["metres"] = convert(relative, track.layout, layout, axis=1)
    rows["crop"] = rows["metres"] / (track.metres_per_pixel * track.boxes[:, 2])[:, None, None]
    if actions:
        rows["action"][:, actions.index(film.action)] = 1
        rows["action_known"] = rows["frame"] >= 8
    height, width = film.scene.picture(0, [film.surface(0)], 1).image.shape[:2]
    size = (width, height)
    assumption = "the true camera"
    return Results(
        rows, layout, tuple(actions), "film.mp4", film.fps, size, len(film), (), assumption, "truth"
    )
