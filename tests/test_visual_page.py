"""The page and the timeline of a video: everything that was answered, whatever files are called."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from fakes.results import made_up

from poseact.results import Gap
from poseact.segments import Segment
from poseact.skeleton import LSP14, PA17
from poseact.structures import Image
from poseact.visual.page import result_page
from poseact.visual.timeline import COLUMNS, draw_timeline

ACTIONS = ("walk", "run", "other")
EVIL = "<script>alert(1)</script>\"'&</title>"
WALK = Segment(1, "walk", 25, 74, 1.0, 3.0, 0.87)
RUN = Segment(1, "run", 100, 149, 4.0, 6.0, 0.6)
EMPTY = {"meta", "img", "link", "br"}


class Page(HTMLParser):
    """Checks that tags close, and keeps what the page shows and links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.shown, self.links = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.shown.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return "\n".join(self.shown)


@pytest.fixture
def results():
    more = {"gaps": (Gap(80, 89, "no person"),), "assumption": "a height of 1.70 m", "weights": "W 12ab"}
    return made_up(PA17, 200, actions=ACTIONS, **more)


def test_the_page_tells_all(results):
    files = ["overlay.mp4", "joints.csv", "keypoints.json", "results.npz", "person-1.bvh", "timeline.png"]
    page = Page(result_page(results, (WALK, RUN), files, "overlay.mp4", "timeline.png"))
    for told in ("video.mp4", "200 frames of 640 x 480 pixels", "0:08.0", "1 person in 200 frames",
                 "walk", "0:01.0", "87 %", "no person", "80 to 89", "a height of 1.70 m", "W 12ab",
                 "left wrist", *files):  # fmt: skip
        assert told in page.text, told
    assert [video["src"] for video in page.of("video")] == ["./overlay.mp4"]
    assert [image["src"] for image in page.of("img")] == ["./timeline.png"]
    assert {f"./{name}" for name in files} <= set(page.links)
    seconds = [float(row["data-second"]) for row in page.of("tr") if "data-second" in row]
    assert seconds == [1.0, 4.0, 80 / 25]
    assert len(page.of("button")) == 3 and len(page.of("script")) == 1
    assert len(page.of("tr")) == 3 + 1 + 1 + 1 + 17


def test_the_means_of_a_joint_are_those_of_the_rows(results):
    text = Page(result_page(results, (), ())).text
    rows, wrist = results.rows, PA17.index("left_wrist")
    visibility = rows["visibility"][:, wrist]
    sd = np.sqrt(np.trace(rows["covariance"][:, wrist], axis1=1, axis2=2) / 2)
    cells = text[text.index("left wrist") :].split("\n")[:5]
    assert cells[1:] == [
        f"{visibility.mean():.2f}", f"{100 * (visibility >= 0.5).mean():.0f} %",
        f"{sd.mean():.1f}", f"{100 * sd.mean() / 400:.1f} %",
    ]  # fmt: skip


def test_nothing_in_a_name_becomes_markup(results):
    results = replace(
        results,
        source=EVIL,
        actions=(EVIL, "run", "other"),
        assumption=EVIL,
        weights=EVIL,
        gaps=(Gap(0, 1, EVIL),),
    )
    files = [EVIL, "javascript:alert(1)", "https://elsewhere/x.csv", "ä b#?.csv"]
    text = result_page(results, (replace(WALK, action=EVIL),), files, EVIL, EVIL, [EVIL])
    page = Page(text)
    assert text.count("<script>") == 1 and text.count("</title>") == 1
    assert page.text.count(EVIL) >= 7
    assert all(re.fullmatch(r"\./[A-Za-z0-9_.~/%-]+", link) for link in page.links), page.links


def test_the_page_needs_nothing_from_elsewhere(results):
    text = result_page(results, (WALK,), ["joints.csv"], "overlay.mp4", "timeline.png")
    assert not re.search(r"https?:|url\(|@import|src=\"(?!\./)", text)
    assert 'name="viewport"' in text and "prefers-color-scheme: dark" in text


def test_without_a_video_nothing_can_be_clicked(results):
    page = Page(result_page(results, (WALK,), ["joints.csv"]))
    assert not (page.of("video") or page.of("script") or page.of("button"))
    assert not any("data-second" in row for row in page.of("tr"))


def test_a_folder_of_images_is_shown_picture_by_picture():
    pictures = (("a.png", (640, 480)), ("b.jpg", (640, 480)), ("<broken>.jpg", (0, 0)))
    results = made_up(LSP14, 3, dim=2, pictures=pictures, gaps=(Gap(2, 2, "unreadable"),))
    page = Page(result_page(results, (), ["joints.csv"], overlays=["a.png.png", "b.jpg.png"]))
    assert [image["src"] for image in page.of("img")] == ["./a.png.png", "./b.jpg.png"]
    assert all(image["loading"] == "lazy" for image in page.of("img"))
    assert "<broken>.jpg" in page.text and "unreadable" in page.text
    assert "3 pictures" in page.text and "frames a second" not in page.text and "Actions" not in page.text


def test_time_is_that_of_the_frames_where_their_rate_changes(results):
    """25 frames a second, 12.5 from frame 100 on; nobody is there in frames 120 to 129, and from 190 on."""
    rows = results.rows.copy()
    late = np.maximum(rows["frame"] - 100, 0)
    rows["time_s"] += late / 25
    gone = ((rows["frame"] >= 120) & (rows["frame"] < 130)) | (rows["frame"] >= 190)
    results = replace(
        results, rows=rows[~gone], gaps=(Gap(120, 129, "no person"), Gap(190, 199, "no person"))
    )
    at = results.seconds([0, 100, 120, 125, 130, 189])
    assert at.tolist() == pytest.approx([0, 4, 5.6, 6.0, 6.4, 11.12])
    assert results.seconds(200) == pytest.approx(11.12 + 11 / 25)  # after the last row, at the mean rate
    page = Page(result_page(results, (), ()))
    assert "0:05.6" in page.text and "0:06.4" in page.text and "0:11.2" in page.text
    nobody = replace(results, rows=rows[:0])
    late = replace(results, last_s=20.0)  # as a live source tells
    assert late.seconds([194, 199, 200]) == pytest.approx([(11.12 + 20) / 2, 20, 20 + 1 / 25])
    assert nobody.seconds([0, 50]).tolist() == [0, 2] and replace(results, fps=0.0).seconds(7) == 7


def test_nobody_found_is_told(results):
    page = Page(result_page(replace(results, rows=results.rows[:0]), (), (), no_action="no walk <b>"))
    assert "no person was found" in page.text and "no walk <b>" in page.text


# --- the timeline -----------------------------------------------------------------------------------


def decoded(data: bytes) -> Image:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def columns_of(image: Image, colour: str) -> np.ndarray:
    """Columns of the rows of people where the colour stands, not those of the legend below."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    near = (np.abs(image.astype(int) - wanted) <= 6).all(-1)[: int(0.62 * len(image))]
    return np.nonzero(near.any(0))[0]


def test_segments_and_probabilities_stand_at_their_time():
    """Walking in the first half and running in the second, of which a fifth is a gap."""
    results = made_up(PA17, 200, actions=ACTIONS, gaps=(Gap(160, 199, "no person"),))
    rows = results.rows[:160]
    rows["action_known"], rows["action"] = True, 0
    rows["action"][:100, 0] = rows["action"][100:, 1] = 1
    parts = (Segment(1, "walk", 0, 99, 0, 4, 1.0), Segment(1, "run", 100, 159, 4, 6.4, 1.0))
    image = decoded(draw_timeline(replace(results, rows=rows), parts, window=1))
    walk, run = columns_of(image, "#0072b2"), columns_of(image, "#e69f00")
    start, second = walk.min(), (walk.max() - walk.min()) / 4
    assert run.min() == pytest.approx(start + 4 * second, abs=4)
    assert run.max() == pytest.approx(start + 6.4 * second, abs=4)
    assert image.shape[1] > start + 7.9 * second
    grey = columns_of(image, "#9a9a9a")
    assert ((grey > start + 6.5 * second) & (grey < start + 7.9 * second)).sum() > 20


def test_many_people_and_a_long_video_fit():
    results = made_up(PA17, 900, people=range(1, 15), actions=("a",) * 1 + ("b",), fps=5.0)
    image = decoded(draw_timeline(results, (), window=8))
    assert image.shape[0] < 2000 and image.shape[1] < 2 * COLUMNS


@pytest.mark.parametrize(("frames", "actions"), [(1, ACTIONS), (2, ())])
def test_the_shortest_videos_have_a_timeline(frames, actions):
    results = made_up(PA17, frames, actions=actions)
    assert decoded(draw_timeline(results, (), window=16)).size


def test_nobody_has_a_timeline_and_odd_names_are_written(results):
    odd = replace(results, source="$x^2_ {\\frac", actions=("$\\bad{", "走る\n", "b" * 200))
    segments = (
        replace(RUN, action="$\\bad{"),
        replace(WALK, action="走る\n"),
        replace(WALK, action="b" * 200),
    )
    assert decoded(draw_timeline(odd, segments, window=16)).size
    empty = replace(results, rows=results.rows[:0], frames=0, gaps=(), fps=0.0)
    assert decoded(draw_timeline(empty, (), window=16)).size
