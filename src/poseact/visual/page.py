"""One HTML page with all that was answered about a video, or a folder of images."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from poseact.results import Gap, Results
from poseact.segments import Segment
from poseact.visual.overlay import SHOWN_FROM

_KINDS = {
    ".csv": "joints as a table, a line for each joint of a person in a frame",
    ".json": "joints and actions in COCO's form",
    ".npz": "all numbers as arrays, for numpy.load",
    ".bvh": "one person's motion in 3D, for Blender and other 3D programs",
    ".mp4": "the video with what was found",
    ".png": "a picture",
}


def result_page(
    results: Results,
    segments: Sequence[Segment],
    files: Sequence[str],
    video: str | None = None,
    timeline: str | None = None,
    overlays: Sequence[str] = (),
    no_action: str = "",
) -> str:
    """The page as HTML that needs nothing but the files beside it; all names in it are escaped.

    ``files``: what lies in the page's folder, by their paths relative to it, to link to; ``video`` and
    ``timeline``: the overlay and the timeline among them; ``overlays``: of pictures, those drawn;
    ``no_action``: why there is no segment. A click on a segment or a gap shows that place of the video.
    """
    title = html.escape(results.source)
    parts = [
        "<!doctype html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>", f"<style>{_CSS}</style>", "</head>", "<body>",
        f"<h1>{title}</h1>", f"<p>{html.escape(_summary(results))}</p>",
    ]  # fmt: skip
    if results.damage:
        parts.append(f"<p><strong>The file {html.escape(results.damage)}.</strong></p>")
    if video:
        parts.append(
            f'<video id="video" controls playsinline preload="metadata" src="{_link(video)}"></video>'
        )
    if timeline:
        parts.append(f'<a href="{_link(timeline)}"><img alt="timeline" src="{_link(timeline)}"></a>')
    if results.actions and not results.pictures:
        parts += _segment_table(segments, no_action, bool(video))
    parts += _gap_table(results, bool(video))
    parts += _joint_table(results) + _about(results) + _file_list(files)
    if overlays:
        parts.append("<h2>Pictures</h2>")
        parts += [_figure(overlay) for overlay in overlays]
    if video:
        parts.append(f"<script>{_SEEK}</script>")
    return "\n".join([*parts, "</body>", "</html>", ""])


def _summary(results: Results) -> str:
    (width, height), shown = results.size, "pictures" if results.pictures else "frames"
    told = [f"{results.frames} {shown}" + ("" if results.pictures else f" of {width} x {height} pixels")]
    if results.fps > 0 and not results.pictures:
        long = _clock(float(results.seconds(results.frames)))
        told.append(f"{results.fps:.5g} frames a second, {long} long")
    people = len(results.people)
    answered = len(np.unique(results.column("frame")))
    if people:
        told.append(f"{people} {'person' if people == 1 else 'people'} in {answered} {shown}")
    else:
        told.append("no person was found")
    return "; ".join(told) + "."


def _clock(seconds: float) -> str:
    tenths = round(10 * max(0.0, seconds))
    return f"{tenths // 600}:{tenths // 10 % 60:02}.{tenths % 10}"


def _link(name: str) -> str:
    """A path below the page as an address: nothing in it is markup, a scheme or a place elsewhere."""
    return html.escape(quote(f"./{PurePosixPath(name)}", errors="surrogateescape"))


def _segment_table(segments: Sequence[Segment], no_action: str, seeks: bool) -> list[str]:
    if not segments:
        return ["<h2>Actions</h2>", f"<p>{html.escape(no_action or 'none')}</p>"]
    rows = [
        (
            segment.start_s,
            [_clock(segment.start_s), _clock(segment.end_s), segment.action, str(segment.person),
             f"{100 * segment.score:.0f} %"],
        )
        for segment in segments
    ]  # fmt: skip
    parts = ["<h2>Actions</h2>", *_timed(("from", "to", "action", "person", "mean probability"), rows, seeks)]
    return [*parts, '<p class="note">A click on a row shows that place of the video.</p>'] if seeks else parts


def _gap_table(results: Results, seeks: bool) -> list[str]:
    if not results.gaps:
        return []
    if results.pictures:
        named = [(0.0, [_names(gap, results.pictures), gap.reason]) for gap in results.gaps]
        return ["<h2>Pictures without an answer</h2>", *_timed(("pictures", "reason"), named, seeks=False)]
    starts = results.seconds([gap.first for gap in results.gaps]).tolist()
    ends = results.seconds([gap.last + 1 for gap in results.gaps]).tolist()
    rows = [
        (start, [_clock(start), _clock(end), _numbers(gap), gap.reason])
        for start, end, gap in zip(starts, ends, results.gaps, strict=True)
    ]
    return ["<h2>Frames without an answer</h2>", *_timed(("from", "to", "frames", "reason"), rows, seeks)]


def _names(gap: Gap, pictures: Sequence[tuple[str, tuple[int, int]]]) -> str:
    return ", ".join(name for name, _ in pictures[gap.first : gap.last + 1])


def _numbers(gap: Gap) -> str:
    return str(gap.first) if gap.first == gap.last else f"{gap.first} to {gap.last}"


def _timed(columns: Sequence[str], rows: Sequence[tuple[float, Sequence[str]]], seeks: bool) -> list[str]:
    """A table whose rows show their place of the video when they are clicked."""
    parts = ['<div class="wide"><table>', _row(columns, "th")]
    for second, cells in rows:
        shown = [html.escape(cell) for cell in cells]
        if seeks:
            shown[0] = f'<button type="button">{shown[0]}</button>'  # for those who use the keyboard
        opened = f'<tr data-second="{second:.4f}">' if seeks else "<tr>"
        parts.append(opened + "".join(f"<td>{cell}</td>" for cell in shown) + "</tr>")
    return [*parts, "</table></div>"]


def _joint_table(results: Results) -> list[str]:
    """How well each joint was seen, over all people and frames."""
    if not len(results.rows):
        return []
    count = len(results.layout)
    visibility, seen, sd, share = np.zeros((4, count))
    for rows in results.chunks():
        own = _deviation(rows["covariance"])
        visibility += rows["visibility"].sum(0, dtype=np.float64)
        seen += (rows["visibility"] >= SHOWN_FROM).sum(0)
        sd += own.sum(0)
        share += (own / rows["box"][:, 2:]).sum(0)
    means = np.stack([visibility, seen, sd, share], 1) / len(results.rows)
    columns = ("joint", "mean visibility", "seen in", "uncertainty, px", "of the box")
    parts = ["<h2>Joints</h2>", '<div class="wide"><table>', _row(columns, "th")]
    for joint, (visible, often, pixels, relative) in zip(results.layout.joints, means.tolist(), strict=True):
        cells = [joint.replace("_", " "), f"{visible:.2f}", f"{100 * often:.0f} %", f"{pixels:.1f}"]
        parts.append(_row([*cells, f"{100 * relative:.1f} %"], "td"))
    told = (
        "Means over all people and frames. Seen: visibility of 0.5 or more. Uncertainty: standard deviation "
        "along one axis, and the same in sides of the person's box."
    )
    return [*parts, "</table></div>", f'<p class="note">{told}</p>']


def _deviation(covariance: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    variances = np.trace(covariance.astype(np.float64), axis1=-2, axis2=-1) / 2
    return np.asarray(np.sqrt(np.maximum(np.nan_to_num(variances), 0)))


def _about(results: Results) -> list[str]:
    told = [("weights", results.weights), ("assumed", results.assumption), ("joints", results.layout.name)]
    if results.actions:
        told.append(("actions known", ", ".join(results.actions)))
    told.append(("pixels", "(0, 0) is the centre of the top-left pixel; left and right are the person's own"))
    parts = ["<h2>What this rests on</h2>", "<dl>"]
    parts += [f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in told if text]
    return [*parts, "</dl>"]


def _file_list(files: Sequence[str]) -> list[str]:
    if not files:
        return []
    parts = ["<h2>Files</h2>", "<ul>"]
    for name in files:
        kind = _KINDS.get(PurePosixPath(name).suffix.lower(), "")
        about = f": {kind}" if kind else ""
        parts.append(f'<li><a href="{_link(name)}">{html.escape(name)}</a>{about}</li>')
    return [*parts, "</ul>"]


def _figure(picture: str) -> str:
    link, name = _link(picture), html.escape(picture)
    return f'<figure><img loading="lazy" alt="{name}" src="{link}"><figcaption>{name}</figcaption></figure>'


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


_SEEK = """
const video = document.getElementById("video");
for (const row of document.querySelectorAll("tr[data-second]")) {
  row.addEventListener("click", () => {
    video.currentTime = Number(row.dataset.second);
    video.scrollIntoView({block: "nearest"});
    video.play();
  });
}
"""
_CSS = """
:root { color-scheme: light dark; --ink: #222; --soft: #666; --line: #ddd; --ground: #fff; --link: #0b57b0;
  --mark: #eef3f8 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --soft: #a0a0a0; --line: #3a3d43; --ground: #16181c; --link: #7db4f0;
    --mark: #242a32 }
}
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 1.5rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--ground) }
h1 { font-size: 1.5rem; overflow-wrap: anywhere } h2 { font-size: 1.15rem; margin-top: 2rem }
a { color: var(--link) } video, img { display: block; max-width: 100%; margin: 1rem 0 }
video { width: 100%; max-height: 80vh; background: #000 } img { background: #fff; border-radius: 4px }
.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left }
th { color: var(--soft); font-weight: 600 }
tr[data-second] { cursor: pointer } tr[data-second]:hover { background: var(--mark) }
button { font: inherit; color: var(--link); background: none; border: 0; padding: 0; cursor: pointer }
dt { color: var(--soft) } dd { margin: 0 0 .5rem; overflow-wrap: anywhere }
li { overflow-wrap: anywhere } .note, figcaption { color: var(--soft); font-size: .85rem }
figure { margin: 1rem 0 }
"""
