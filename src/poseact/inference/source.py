"""Where frames come from: pictures, a video file, the address of a stream, a camera.

Files give every frame, from any frame on. Live sources give the newest frame whenever one is asked for:
what comes faster than it is looked at is dropped and counted, so that the answers never lag behind.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from poseact.data.images import SUFFIXES as IMAGE_SUFFIXES
from poseact.data.images import UNREAD_SUFFIXES, image_paths, read_image
from poseact.errors import UserError
from poseact.structures import Image
from poseact.video import LARGEST_PIXELS, VideoFile, square_size, turn_of, upright
from poseact.video import SUFFIXES as VIDEO_SUFFIXES

UNREADABLE = "unreadable"
Kind = Literal["live", "pictures", "video", "videos"]
SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp")
TIMEOUT_S = 10.0
"""How long an address may keep silent."""
CAMERA_FPS = 30.0
"""Of a live source that does not tell its rate."""
LONGEST_PAUSE_S = 60.0
"""In a file behind an address that does not tell how long it is."""
MOST_CAMERAS = 99
MOST_FPS = 240.0
"""A live source that tells more tells what its clock counts in."""
# Playlists that come over a network may not name files of this machine.
_PROTOCOLS = "http,https,httpproxy,tls,tcp,udp,rtp,srtp,rtsp,rtmp,rtmps,crypto,data"


@dataclass(frozen=True)
class Frame:
    """One frame of a source.

    - ``number``: from 0, of the frames that were looked at; ``time_s``: since the first.
    - ``image`` (H, W, 3) uint8 RGB; None where there is none, and ``reason`` says why in a few words.
    - ``dropped``: how many frames of a live source went by since the frame before.
    """

    number: int
    time_s: float
    image: Image | None
    reason: str = ""
    dropped: int = 0


@dataclass(frozen=True)
class Source:
    """What is known of a source before it is read.

    - ``name``: for people; ``fps``: 0 for stills; ``size``: width and height in pixels, of the first still.
    - ``frames(first)``: the frames from number ``first`` on; a live source begins now, whatever ``first``.
    - ``ahead(n)``: frame n, or the last one, read beside those; None where it is damaged. A live source
      has no such function.
    - ``count``: how many frames there are; None for a live source.
    - ``stills``: the names of pictures that have nothing to do with each other; empty for what moves.
    - ``damage``: in words, what is missing of it; empty where nothing is known to be.
    """

    name: str
    fps: float
    size: tuple[int, int]
    frames: Callable[[int], Iterator[Frame]]
    ahead: Callable[[int], Image | None] | None = None
    count: int | None = None
    stills: tuple[str, ...] = ()
    damage: str = ""

    @property
    def live(self) -> bool:
        """Whether frames come by themselves, and are lost where they are not looked at."""
        return self.count is None


def open_source(source: str | Path | int) -> Source:
    """A picture, a folder of pictures, a video file, an address (rtsp, http, ...) or a camera's number.

    Raises `UserError` where there is nothing that shows a frame. Of several pictures, one that cannot be
    read is a frame without an image.
    """
    kind, text, path = source_kind(source), str(source), Path(str(source))
    if kind == "live":
        return _camera(int(text)) if text.isdecimal() else _address(text)
    if kind == "videos":
        raise UserError(f"{path}: expected one video, got several; give one of them, or use predict_many")
    if kind == "video":
        return _video(path)
    return _pictures(path, _pictures_in(path) if path.is_dir() else [path])


def source_kind(source: str | Path | int) -> Kind:
    """What a source is, by its name and, of a file without a known suffix, by its first bytes.

    ``live``: an address, or the number of a camera where no file is called so. ``videos``: a ``.txt`` list of
    them, or a folder that holds some, deeper down only where no picture lies in it. Raises `UserError` where
    there is no such file.
    """
    text = str(source)
    path = Path(text)
    if "://" in text or (text.isdecimal() and not path.exists()):
        return "live"
    if not text or not path.exists():
        raise UserError(
            f"{text!r}: no such file or folder; expected a picture, a video, a folder of either, an address "
            "(rtsp://, http://) or the number of a camera"
        )
    if path.is_dir():
        inside = {p.suffix.lower() for p in path.iterdir()}
        if inside.isdisjoint(VIDEO_SUFFIXES) and inside.isdisjoint(IMAGE_SUFFIXES):
            inside = {p.suffix.lower() for p in path.rglob("*")}
        if inside.isdisjoint((*VIDEO_SUFFIXES, *IMAGE_SUFFIXES, *UNREAD_SUFFIXES)):
            raise UserError(f"{path}: holds no picture and no video; give another folder")
        return "pictures" if inside.isdisjoint(VIDEO_SUFFIXES) else "videos"
    if path.suffix.lower() == ".txt":
        return "videos"
    if path.suffix.lower() in UNREAD_SUFFIXES:
        raise UserError(_unread(path))
    return "pictures" if _is_picture(path) else "video"


def _unread(path: Path) -> str:
    return f"{path}: pictures of this kind are not read; save it as JPEG"


def _pictures_in(folder: Path) -> list[Path]:
    """Those that can be read, and those of kinds that cannot, which are told as such."""
    unread = [path for path in folder.iterdir() if path.suffix.lower() in UNREAD_SUFFIXES and path.is_file()]
    return sorted([*image_paths(folder), *unread])


def _is_picture(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES):
        return suffix in IMAGE_SUFFIXES
    return bool(cv2.haveImageReader(str(path)))


def _pictures(path: Path, paths: list[Path]) -> Source:
    def frames(first: int) -> Iterator[Frame]:
        for number, one in list(enumerate(paths))[first:]:
            try:
                if one.suffix.lower() in UNREAD_SUFFIXES:
                    raise UserError(_unread(one))
                image, reason = read_image(one), ""
            except UserError as error:
                image, reason = None, str(error)
            yield Frame(number, 0.0, image, reason)

    shown = next((frame.image for frame in frames(0) if frame.image is not None), None)
    if shown is None:
        raise UserError(next(frames(0)).reason)
    size = (shown.shape[1], shown.shape[0])
    return Source(path.name, 0.0, size, frames, None, len(paths), tuple(one.name for one in paths))


def _video(path: Path) -> Source:
    file = VideoFile(path)
    times = file.times

    def frames(first: int) -> Iterator[Frame]:
        for number, image in enumerate(file.walk(first), first):
            yield Frame(number, float(times[number]), image, UNREADABLE if image is None else "")

    def ahead(number: int) -> Image | None:
        walk = file.walk(min(number, len(times) - 1))
        try:
            return next(walk, None)
        finally:
            walk.close()

    size = (file.width, file.height)
    return Source(path.name, file.fps, size, frames, ahead, len(times), damage=file.damage)


def shown_address(address: str) -> str:
    """An address for people: names, passwords and keys are left out."""
    scheme, rest = address.split("://", maxsplit=1)
    # Passwords may hold any sign: what stands before the last @ is not looked into.
    return f"{scheme}://{re.split('[?#]', rest.rpartition('@')[2], maxsplit=1)[0]}"


def _address(text: str) -> Source:
    scheme, name = text.split("://", maxsplit=1)[0].lower(), shown_address(text)
    if scheme not in SCHEMES:
        raise UserError(f"{name}: expected an address of {', '.join(SCHEMES)}, got {scheme}")
    try:
        # Over UDP, frames of a network camera arrive with holes.
        container = av.open(
            text,
            "r",
            options={"max_pixels": str(LARGEST_PIXELS)},
            container_options={"protocol_whitelist": _PROTOCOLS, "rtsp_transport": "tcp"},
            metadata_errors="ignore",
            timeout=TIMEOUT_S,
        )
        stream = next(iter(container.streams.video), None)
    except Exception as error:  # av raises many kinds
        raise UserError(f"{name}: expected a stream, got: {_line(error)}; check the address") from None
    if stream is None or stream.codec_context is None or not stream.width or not stream.height:
        container.close()
        raise UserError(f"{name}: expected a stream, but it shows no moving pictures; check the address")
    decoded = _decoded(container, stream)
    try:
        shown = next((frame for frame in decoded if frame is not None), None)
    except Exception as error:
        container.close()
        raise UserError(f"{name}: expected a stream, got: {_line(error)}; check the address") from None
    if shown is None:
        container.close()
        raise UserError(f"{name}: expected a stream, but it ended before its first frame; check the address")
    (width, height), turn = square_size(stream.width, stream.height, stream), turn_of(shown)
    # A file behind an address would be over before its first frames are looked at.
    paced = bool(container.duration) or container.size > 0
    longest = container.duration / av.time_base if container.duration else LONGEST_PAUSE_S

    def read(stopped: threading.Event) -> _Timed:
        clock = _StreamClock(longest if paced else TIMEOUT_S)
        reformatter, began = VideoReformatter(), time.monotonic()
        with container:
            for frame in chain([shown], decoded):
                now = time.monotonic() - began
                at = clock.at if frame is None else clock.tell(frame.time, now)
                if paced and stopped.wait(max(0.0, at - now)):
                    return
                image = None
                if frame is not None and not frame.is_corrupt:
                    rgb = reformatter.reformat(frame, width, height, "rgb24", threads=1)
                    image = upright(np.asarray(rgb.to_ndarray(), np.uint8), turn)
                yield at, image

    size = (height, width) if turn[0] else (width, height)
    rate = _rate(float(stream.average_rate or stream.guessed_rate or 0))
    return Source(name, rate, size, lambda _: _newest(read, "the stream broke off"))


class _StreamClock:
    """``at``: seconds since a stream's first frame, by its own clock unless that jumps.

    It jumps where it goes back, or runs ahead of ours by more than ``lead`` seconds.
    """

    def __init__(self, lead: float = TIMEOUT_S) -> None:
        self.at, self.lead, self._heard = 0.0, lead, 0.0
        self._shift: float | None = None

    def tell(self, told: float | None, now: float) -> float:
        """The time of the next frame, of which the stream tells ``told``, and which comes at ``now``."""
        told = now if told is None else told
        shift = -told if self._shift is None else self._shift
        step, passed = told + shift - self.at, now - self._heard
        if not 0 <= step <= passed + self.lead:  # it began again, or went on from elsewhere
            shift += passed - step
            step = passed
        self.at, self._heard, self._shift = self.at + step, now, shift
        return self.at


def _rate(fps: float) -> float:
    """Frames a second as a live source tells them, where that can be."""
    return fps if 1 <= fps <= MOST_FPS else CAMERA_FPS


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.VideoFrame | None]:
    """The frames of a stream; None for what does not decode."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.InvalidDataError:
            yield None


def _camera(number: int) -> Source:
    if number > MOST_CAMERAS:
        raise UserError(f"{number}: no such file, and no number of a camera")
    capture = cv2.VideoCapture(number)
    shown, image = capture.read() if capture.isOpened() else (False, None)
    if not shown or image is None:
        capture.release()
        raise UserError(f"camera {number}: expected a picture, got none; is it plugged in, and free?")
    fps = float(capture.get(cv2.CAP_PROP_FPS))

    def read(stopped: threading.Event) -> _Timed:
        began = time.monotonic()
        try:
            while not stopped.is_set():
                shown, image = capture.read()
                if not shown:
                    raise OSError("unplugged")
                yield time.monotonic() - began, np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
        finally:
            capture.release()

    size = (image.shape[1], image.shape[0])
    return Source(f"camera {number}", _rate(fps), size, lambda _: _newest(read, "the camera was unplugged"))


_Timed = Generator[tuple[float, Image | None], None, None]
_Read = Callable[[threading.Event], _Timed]


class _Slot:
    """What a thread that reads and the one that looks share: the newest frame, and how the source ended."""

    def __init__(self) -> None:
        self.changed, self.stopped = threading.Condition(), threading.Event()
        self.newest: tuple[float, Image | None] | None = None
        self.dropped = 0
        self.ended: bool = False
        self.broken: bool = False

    def fill(self, read: _Read) -> None:
        """Read until the source ends, breaks off, or nobody looks any more."""
        frames = read(self.stopped)
        try:
            for one in frames:
                with self.changed:
                    self.dropped += self.newest is not None
                    self.newest = one
                    self.changed.notify()
                if self.stopped.is_set():
                    break
        except Exception:  # av and drivers raise many kinds: whatever it is, nothing more comes
            self.broken = True
        finally:
            with suppress(Exception):
                frames.close()
            with self.changed:
                self.ended = True
                self.changed.notify()

    def take(self) -> tuple[tuple[float, Image | None] | None, int]:
        """The newest frame, waited for, and how many went by; None after the end."""
        with self.changed:
            # In short steps, so that Ctrl-C is heard on every system.
            while self.newest is None and not self.ended:
                self.changed.wait(0.2)
            one, dropped = self.newest, self.dropped
            self.newest, self.dropped = None, 0
        return one, dropped


def _newest(read: _Read, broken: str) -> Iterator[Frame]:
    """Whenever a frame is asked for, the newest that a thread has read.

    A source that breaks off ends with a frame without an image, ``broken`` being the reason.
    """
    slot = _Slot()
    thread = threading.Thread(target=slot.fill, args=(read,), daemon=True)
    thread.start()
    number, at, began = 0, 0.0, None
    try:
        while True:
            one, dropped = slot.take()
            if one is None:
                break
            began = one[0] if began is None else began
            # Clocks of streams may stand still or jump back.
            at = max(one[0] - began, at + 1e-3 if number else 0.0)
            yield Frame(number, at, one[1], "" if one[1] is not None else UNREADABLE, dropped)
            number += 1
        if slot.broken:
            yield Frame(number, at + 1e-3, None, broken)
    finally:
        slot.stopped.set()
        thread.join(TIMEOUT_S)


def _line(error: Exception) -> str:
    text: Any = getattr(error, "strerror", None) or error or type(error).__name__
    return str(text).splitlines()[0]
