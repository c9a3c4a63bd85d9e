"""Frames from pictures, videos, addresses and cameras."""

import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
from fakes import video as fake

from poseact.errors import UserError
from poseact.inference import source as module
from poseact.inference.source import CAMERA_FPS, _rate, _StreamClock, open_source, shown_address, source_kind
from poseact.video import VideoFile


def images(path):
    return [frame.image for frame in open_source(path).frames(0)]


@pytest.mark.parametrize("form", ["grey", "colour", "alpha", "deep", "deep grey", "one pixel"])
def test_pictures_of_any_kind_become_rgb(tmp_path, form):
    rng = np.random.default_rng(0)
    shape = {"grey": (20, 30), "deep grey": (20, 30), "alpha": (20, 30, 4), "one pixel": (1, 1)}
    kind = np.uint16 if form.startswith("deep") else np.uint8
    stored = rng.integers(0, np.iinfo(kind).max, shape.get(form, (20, 30, 3)), kind)
    cv2.imwrite(str(tmp_path / "a.png"), stored)
    source = open_source(tmp_path / "a.png")
    (frame,) = source.frames(0)
    assert frame.image.shape == (*stored.shape[:2], 3) and frame.image.dtype == np.uint8
    assert source.size == (stored.shape[1], stored.shape[0]) and source.stills == ("a.png",)
    expected = stored[..., :3][..., ::-1] if stored.ndim == 3 else stored[..., None].repeat(3, 2)
    assert np.abs(frame.image.astype(int) - (expected >> 8 if kind == np.uint16 else expected)).max() <= 1


def test_a_folder_of_pictures_with_one_that_is_damaged(tmp_path):
    for name in ("b.png", "c.jpg", "a.png"):
        cv2.imwrite(str(tmp_path / name), np.full((10, 20, 3), ord(name[0]), np.uint8))
    (tmp_path / "aa.png").write_bytes(b"no picture")
    (tmp_path / "notes.md").write_text("not a picture")
    source = open_source(tmp_path)
    assert source.stills == ("a.png", "aa.png", "b.png", "c.jpg") and source.count == 4 and not source.live
    frames = list(source.frames(0))
    assert [None if f.image is None else f.image[0, 0, 0] for f in frames] == [97, None, 98, 99]
    assert "aa.png" in frames[1].reason and [f.number for f in source.frames(2)] == [2, 3]


def test_a_video_from_any_frame_on_and_ahead(tmp_path):
    path = fake.write(tmp_path / "a.mp4", 30)
    source = open_source(path)
    assert (source.name, source.fps, source.size, source.count) == ("a.mp4", 25, fake.SIZE, 30)
    for first in (0, 13, 29):
        frames = list(source.frames(first))
        assert [f.number for f in frames] == list(range(first, 30))
        assert [fake.number(f.image) for f in frames] == list(range(first, 30))
        assert np.allclose([f.time_s for f in frames], np.arange(first, 30) / 25, atol=1e-3)
    walk = source.frames(0)
    next(walk)
    assert [fake.number(source.ahead(n)) for n in (20, 3, 29, 31)] == [20, 3, 29, 29]
    assert fake.number(next(walk).image) == 1, "looking ahead does not move the frames"
    assert list(source.frames(30)) == []


def test_a_damaged_frame_of_a_video_is_marked(tmp_path):
    path = fake.write(tmp_path / "a.mp4", 30, options=fake.x264(bframes=0))
    fake.overwrite(path, fake.packets(path)[14], 0.9)
    source = open_source(path)
    frames = list(source.frames(0))
    damaged = [f.number for f in frames if f.image is None]
    assert len(frames) == 30 and 14 in damaged and set(damaged) < set(range(14, 24))
    assert {f.reason for f in frames if f.image is None} == {"unreadable"}
    assert source.ahead(14) is None and fake.number(source.ahead(3)) == 3


def test_kinds(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((5, 5, 3), np.uint8))
    (tmp_path / "picture").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "7").write_bytes(b"?")
    (tmp_path / "list.txt").write_text("a.mp4\n")
    videos, both = tmp_path / "videos" / "inside", tmp_path / "both"
    videos.mkdir(parents=True)
    (videos / "a.MP4").write_bytes(b"?")
    (both / "results").mkdir(parents=True)
    (both / "a.jpg").write_bytes(b"?")
    (both / "results" / "overlay.mp4").write_bytes(b"?")
    kinds = {
        tmp_path / "a.png": "pictures", tmp_path / "picture": "pictures", tmp_path / "7": "video",
        tmp_path / "list.txt": "videos", videos: "videos", videos.parent: "videos", both: "pictures",
        "0": "live", 12: "live", "rtsp://camera/1": "live", videos / "a.MP4": "video",
    }  # fmt: skip
    assert {place: source_kind(place) for place in kinds} == kinds


@pytest.mark.parametrize("place", ["missing.mp4", "ftp://host/a.mp4", "file:///etc/passwd", "missing/"])
def test_what_is_no_source_is_told_in_one_line(place):
    with pytest.raises(UserError) as error:
        open_source(place)
    assert place.rstrip("/") in str(error.value) and "\n" not in str(error.value)


def test_nothing_and_an_empty_folder(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "notes.md").write_bytes(b"")
    with pytest.raises(UserError, match="'': no such file or folder"):
        source_kind("")
    with pytest.raises(UserError, match="holds no picture and no video"):
        source_kind(tmp_path)
    (tmp_path / "a.heic").write_bytes(b"")
    with pytest.raises(UserError, match="save its 1 of other kinds as JPEG"):
        open_source(tmp_path)


def test_several_videos_are_no_source(tmp_path):
    (tmp_path / "list.txt").write_text("a.mp4")
    with pytest.raises(UserError, match="one video"):
        open_source(tmp_path / "list.txt")


def reader(count, pause=0.0, broken=False):
    """A live source of numbered frames."""

    def read(stopped):
        for i in range(count):
            if stopped.wait(pause):
                return
            yield 10 + i / 10, np.full((2, 2, 3), i, np.uint8)
        if broken:
            raise OSError("gone")

    return read


def test_the_newest_frame_wins_and_others_are_counted():
    frames = []
    for frame in module._newest(reader(60, 0.005), "broken"):
        frames.append(frame)
        time.sleep(0.03)
    shown = [int(f.image[0, 0, 0]) for f in frames]
    assert [f.number for f in frames] == list(range(len(frames))) and len(frames) < 40
    assert shown == sorted(set(shown)) and shown[-1] == 59, "none twice, and the last one too"
    assert sum(f.dropped for f in frames) + len(frames) == 60
    assert frames[0].time_s == 0 and np.allclose(np.diff([f.time_s for f in frames]), np.diff(shown) / 10)


def test_a_source_that_breaks_off_ends_with_a_gap():
    *frames, last = module._newest(reader(5, 0.02, broken=True), "the camera was unplugged")
    assert len(frames) + sum(f.dropped for f in frames) == 5 and all(f.image is not None for f in frames)
    assert (last.image, last.reason, last.number) == (None, "the camera was unplugged", len(frames))
    assert last.time_s > frames[-1].time_s


def test_who_stops_looking_stops_the_reading():
    stopped = threading.Event()

    def read(event):
        while not event.wait(0.001):
            yield 0.0, np.zeros((1, 1, 3), np.uint8)
        stopped.set()

    frames = module._newest(read, "broken")
    times = [next(frames).time_s for _ in range(4)]
    assert times == sorted(set(times)), "a clock that stands still does not stop time"
    frames.close()
    assert stopped.wait(5)


class Camera:
    """Stands for `cv2.VideoCapture`: camera 0 shows ``SHOWN`` frames, then it is unplugged."""

    SHOWN, released = 4, False

    def __init__(self, number):
        self.left = self.SHOWN if number == 0 else 0

    def isOpened(self):  # noqa: N802
        return self.left > 0

    def get(self, what):
        return 0.0

    def read(self):
        time.sleep(0.02)
        self.left -= 1
        image = np.zeros((6, 8, 3), np.uint8)
        image[..., 0] = 200  # blue in OpenCV's order
        return (True, image) if self.left >= 0 else (False, None)

    def release(self):
        Camera.released = True


def test_a_camera_that_is_unplugged(monkeypatch):
    monkeypatch.setattr(module.cv2, "VideoCapture", Camera)
    source = open_source("0")
    assert source.live and source.size == (8, 6) and source.fps == module.CAMERA_FPS and source.ahead is None
    *frames, last = source.frames(0)
    assert frames and (frames[0].image[0, 0] == [0, 0, 200]).all()
    assert last.image is None and "unplugged" in last.reason and Camera.released
    with pytest.raises(UserError, match="camera 3"):
        open_source(3)


@pytest.fixture
def server(tmp_path):
    """The address of a folder that is served."""
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    handler.func.log_message = lambda *args: None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_address[1]}"
        http.shutdown()


def test_an_address(tmp_path, server):
    fake.write(tmp_path / "a.ts", 30, fps=60)
    source = open_source(f"{server}/a.ts")
    assert source.live and source.size == fake.SIZE and source.fps == pytest.approx(60)
    began = time.monotonic()
    frames = list(source.frames(0))
    shown = [fake.number(f.image) for f in frames]
    assert shown == sorted(shown) and shown[-1] == 29 and len(shown) + sum(f.dropped for f in frames) == 30
    assert time.monotonic() - began > 0.4, "a file behind an address takes its time"
    # The first frames may be dropped too: time counts from the first that is looked at.
    assert np.allclose([f.time_s for f in frames], (np.array(shown) - shown[0]) / 60, atol=0.01)


def test_a_streams_clock_may_jump():
    clock = _StreamClock()
    assert [clock.tell(t, now) for t, now in ((7.0, 0.5), (7.04, 0.6), (None, 0.7))] == pytest.approx(
        [0, 0.04, 0.14], abs=1e-9
    )
    clock = _StreamClock()
    stream = ((100, 0.0), (100.1, 0.1), (0.0, 0.2), (0.1, 0.3), (5000.0, 0.4), (5000.1, 0.5))
    assert [clock.tell(*each) for each in stream] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    clock = _StreamClock()  # pictures of five seconds each, read at once
    assert [clock.tell(5.0 * i, 0.0) for i in range(3)] == [0, 5, 10]
    clock = _StreamClock(30.0)  # of a file of 30 seconds: its pauses are its own
    assert [clock.tell(t, now) for t, now in ((0.08, 0), (20.0, 0.08), (0.0, 20.0))] == pytest.approx(
        [0, 19.92, 39.84]
    )


def test_an_address_is_shown_without_its_secrets(monkeypatch):
    assert shown_address("rtsp://me:se@cret@cam:554/1/a?token=x#y") == "rtsp://cam:554/1/a"
    assert shown_address("http://cam") == "http://cam" and shown_address("http://cam?key=1") == "http://cam"
    assert shown_address("rtsp://me:pa/ss#wo?rd@cam/1") == "rtsp://cam/1"
    with pytest.raises(UserError) as error:
        open_source("rtsp://me:secret@127.0.0.1:9/a?key=hidden")
    assert "secret" not in str(error.value) and "hidden" not in str(error.value)


def test_a_number_that_is_no_camera():
    with pytest.raises(UserError, match="20240101123456: no such file, and no number of a camera"):
        open_source("20240101123456")


def test_rates_that_no_camera_has():
    assert [_rate(fps) for fps in (0, 15, 59.94, 90000)] == [CAMERA_FPS, 15, 59.94, CAMERA_FPS]


def test_addresses_that_show_nothing(tmp_path, server):
    fake.write_sound(tmp_path / "sound.ts")
    (tmp_path / "text.ts").write_text("hello")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n")
    for name in ("missing.ts", "sound.ts", "text.ts", "list.m3u8"):
        with pytest.raises(UserError, match="expected a stream") as error:
            open_source(f"{server}/{name}")
        assert name in str(error.value) and "\n" not in str(error.value)


def test_a_turned_video_behind_an_address_comes_upright(tmp_path, server):
    path = fake.write(tmp_path / "turned.mp4", 10, turned=(90, False, False))
    upright, source = VideoFile(path), open_source(f"{server}/{path.name}")
    assert source.size == (upright.width, upright.height) == fake.SIZE[::-1]
    first = next(source.frames(0)).image.astype(float)
    apart = [np.abs(first - image).mean() for image in upright.read(range(10))[0]]
    assert min(apart) < 2 < max(apart)  # which one it is depends on how many were dropped


def test_pictures_of_a_telephone_among_others_are_told(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"ftypheic")
    cv2.imwrite(str(tmp_path / "b.jpg"), np.zeros((8, 8, 3), np.uint8))
    source = open_source(tmp_path)
    first, second = source.frames(0)
    assert source.stills == ("a.heic", "b.jpg") and second.image is not None
    assert first.image is None and "a.heic: pictures of this kind are not read" in first.reason


def test_pictures_of_a_telephone_that_are_not_read_say_what_to_do(tmp_path):
    (tmp_path / "a.heic").write_bytes(b"ftypheic")
    for place in (tmp_path, tmp_path / "a.heic"):
        with pytest.raises(UserError, match="as JPEG"):
            open_source(place)
