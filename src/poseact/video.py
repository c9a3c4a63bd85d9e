"""Video: exact frames out of a file, frames into a file, and which frames a clip is made of.

**Frames** are numbered as a full decode shows them. The packets are listed once without decoding
them; a frame is then found by its timestamp, from the last key frame before it on. Where packets
and frames may differ (timestamps that are missing or repeat, packets without a picture, fields),
the file is decoded once instead; and where the decoded frames do not ascend in time either, they
are counted from the beginning at each read.

**Clips** (P 5.2, and the authors' rules) of ``count`` frames with a ``stride`` show frames start,
start + stride, ... . Where the video is shorter than count x stride, the stride falls until it fits;
where it is shorter than ``count``, frames are repeated evenly: it is stretched by 1.5 until it is
long enough.
"""

from __future__ import annotations

import bisect
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from io import BytesIO
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.container import InputContainer, OutputContainer
from av.sidedata.sidedata import SideData
from av.stream import Disposition
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from poseact.errors import UserError
from poseact.structures import Image

IntArray = npt.NDArray[np.int64]

SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg",
    ".ts", ".mts", ".m2ts", ".3gp", ".flv", ".wmv", ".ogv", ".gif",
)  # fmt: skip
CACHE_BYTES = 256 << 20
"""Decoded frames that one process keeps, of all its videos together."""
OPEN_FILES = 16
"""Videos that one process keeps open."""
LARGEST_PIXELS = 1 << 26
"""A frame of more pixels is taken for damage; 8K has half of that."""
CRF = 20
"""Quality of written videos: 0 is lossless, 51 the worst, 23 x264's own choice."""
KEY_FRAME_EVERY = 48
"""Of written videos: as far back a player has to go to show any frame (x264's own choice: 250)."""

_SOUGHT_OVER = 8
"""Fewer frames are decoded and dropped rather than sought over."""
_ENCODER = "libx264"
_TICK = Fraction(1, 90000)
"""What MPEG-TS counts time in, seconds."""
_TURN = 1 << 33
# Without B-frames, times of decoding ascend over the joints between groups, however uneven the frames are.
# At x264's own preset, encoding costs several times what the network does.
_IN_GROUP = {"bf": "0", "preset": "veryfast"}
# Each group begins to count its packets anew; this tells readers that nothing was lost.
_GROUP_CONTAINER = {"mpegts_flags": "initial_discontinuity"}
# Playlists and lists of other files are no videos: nothing but the file itself is opened.
_CONTAINER = {
    "format_whitelist": "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,h264,hevc,m4v,ogg,gif",
    "protocol_whitelist": "file",
}
_CODEC = {"max_pixels": str(LARGEST_PIXELS)}
_BOXED = "mov,mp4,m4a,3gp,3g2,mj2"
"""FFmpeg's name of MP4 and QuickTime files, which consist of boxes."""
# What stores presentation times, and what puts each frame into a packet of its own.
_TIMED = (_BOXED, "matroska,webm", "mpegts", "flv")
# Where a packet is marked as damaged because the file ends within it, and what is sought by decoding times.
_ENDS_WITHIN = (_BOXED, "matroska,webm", "avi")
_BROADCAST = ("mpegts", "mpeg")
_ONE_TO_ONE = ("h264", "hevc", "vp9", "libdav1d", "av1", "mjpeg", "prores", "ffv1")
_NARROWEST = Fraction(1, 4)
"""Pixels that are narrower, or wider than four times their height, are taken for damage."""
_REPEATED_BYTES = 16
"""A smaller packet of MPEG-4 part 2 may only say that the last frame goes on, and shows nothing."""
_PROGRESSIVE = (0, 1)
"""FFmpeg's field orders that are no fields: unknown, and whole frames."""
_HELP = "check that it plays, or get it again"


class VideoFile:
    """The frames of a video file: see `structures.Frames`.

    Frame i is the i-th that a full decode shows, upright (the file's rotation and mirroring are
    applied) and with square pixels, (H, W, 3) uint8 RGB in the size of the first frame. Images are
    shared between overlapping reads and therefore not writable.

    The file is opened when something is asked of it. Only its index is kept here, so that a
    `VideoFile` can be pickled and used after a fork. The length and the properties raise
    `UserError` where the file is missing, is no video, or shows no frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._index: _Index | None = None

    def __len__(self) -> int:
        return len(self._indexed().times)

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """When each frame is shown (F,), in seconds after the first."""
        return self._indexed().times

    @property
    def fps(self) -> float:
        """Frames per second, on average."""
        return self._indexed().fps

    @property
    def width(self) -> int:
        """Columns of a frame, upright."""
        return self._indexed().size[0]

    @property
    def height(self) -> int:
        """Rows of a frame, upright."""
        return self._indexed().size[1]

    @property
    def damage(self) -> str:
        """Says so where an MP4 or QuickTime file breaks off before the end that it tells of; else empty."""
        index = self._indexed()
        if not index.broken or index.promised <= len(self):
            return ""
        return f"breaks off after {len(self)} frames, its header tells of {index.promised}; get it again"

    def read(self, indices: Sequence[int], reduction: int = 1) -> tuple[list[Image], int]:
        """See `structures.Frames`; reduced as far as width and height can be halved evenly.

        Raises `UserError` where one of the frames is damaged, missing, or beyond the end; the
        others can be read without it.
        """
        index = self._indexed()
        while self.width % reduction or self.height % reduction:
            reduction //= 2
        numbers = [int(i) for i in indices]
        self._check(numbers, index)
        process = _this_process()
        with process.lock:
            return process.read(self.path, index, numbers, reduction), reduction

    def walk(self, first: int = 0) -> Generator[Image | None, None, None]:
        """Frames from ``first`` to the end, one after the other: None where one is damaged.

        Of what is shown, nothing is kept, so that memory does not grow with the length.
        """
        decoder = _Decoder(self.path, self._indexed())
        try:
            for n in range(first, len(self)):
                try:
                    image = decoder.image(n, 1)
                except UserError:
                    yield None
                else:
                    yield image
        finally:
            decoder.close()

    def _indexed(self) -> _Index:
        if self._index is None:
            self._index = _make_index(self.path)
        return self._index

    def _check(self, numbers: Sequence[int], index: _Index) -> None:
        count = len(index.times)
        for n in numbers:
            if not 0 <= n < count:
                told = f" (its header tells of {index.promised})" if index.promised > count else ""
                raise UserError(f"{self.path}: expected frame {n}, found {count} frames{told}; {_HELP}")


class _Index(NamedTuple):
    """What is known of a file without its pixels.

    - ``stamp``: time and size of the file, so that no other file under its name is taken for it.
    - ``times`` (F,) in seconds; ``pts`` (F,) ascending timestamps, None where frames are counted.
    - ``starts``: frames that decoding can start at, ascending, and the timestamp that finds each.
    - ``square``: width and height before the turn, see `square_size`; ``turn``: see `turn_of`.
    - ``promised``: frames that the file's header tells of; 0 where it does not. ``broken``: the file ends
      before what holds them does.
    """

    stamp: tuple[int, int]
    times: npt.NDArray[np.float64]
    fps: float
    pts: IntArray | None
    starts: dict[int, int]
    square: tuple[int, int]
    turn: tuple[bool, bool, bool]
    promised: int
    broken: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, upright."""
        width, height = self.square
        return (height, width) if self.turn[0] else (width, height)


class _Packet(NamedTuple):
    """What is kept of a packet; ``hidden``: decoded but not shown (edit lists)."""

    pts: int | None
    dts: int | None
    key: bool
    hidden: bool
    size: int


def _make_index(path: Path) -> _Index:
    """List the packets of a file and decode as far as its first frame; raises `UserError`."""
    stamp = _stamp(path)
    container, stream = _open(path)
    with container:
        packets, first = _list_packets(container, stream)
        shown: list[int | None]
        if first is not None and _one_to_one(container, stream, packets, first):
            shown = [*sorted(p.pts for p in packets if p.pts is not None and not p.hidden)]
        else:
            shown, first = _decoded_times(path)
        if first is None:
            found = f"none of its {len(packets)} frames decodes" if packets else "it holds no frame"
            raise UserError(f"{path}: expected a video, but {found}; {_HELP}")
        pts = _ascending(shown)
        nominal = float(stream.average_rate or stream.guessed_rate or 25)
        times = np.arange(len(shown)) / nominal
        if pts is not None and stream.time_base:
            times = (pts.astype(np.float64) - float(pts[0])) * float(stream.time_base)
        return _Index(
            stamp=stamp,
            times=times,
            fps=_average_rate(times, nominal),
            pts=pts,
            starts=_starts(pts, packets, container.format.name in _BROADCAST),
            square=square_size(first.width, first.height, stream),
            turn=turn_of(first),
            promised=stream.frames,
            broken=container.format.name == _BOXED and _breaks_off(path),
        )


def _breaks_off(path: Path) -> bool:
    """Does a file of boxes (ISO 14496-12) end within one?

    Fewer frames than the header tells of are no sign of it: edit lists leave some out.
    """
    end, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at + 8 <= end:
            file.seek(at)
            head = file.read(16)
            size = int.from_bytes(head[:4])
            if size == 1:  # the size is in the eight bytes that follow
                size = int.from_bytes(head[8:])
            elif size == 0:  # to the end of the file
                return False
            if size < 8:
                return False
            at += size
    return at > end


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"{path}: expected a video, got: {_reason(error)}; check the path") from None
    return status.st_mtime_ns, status.st_size


def _reason(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error or type(error).__name__)
    return text.splitlines()[0]


def _open(path: Path, form: str | None = None) -> tuple[InputContainer, av.VideoStream]:
    """The container and its first stream of moving pictures; raises `UserError`.

    ``form``: the container's format, where the file may be too short to tell by itself.
    """
    try:
        # An absolute path cannot be taken for a protocol; odd encodings of titles do not matter.
        container = av.open(
            str(path.absolute()),
            "r",
            format=form,
            options=_CODEC,
            container_options=_CONTAINER,
            metadata_errors="ignore",
        )
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    except Exception as error:  # av raises many kinds on damaged files
        raise UserError(f"{path}: expected a video, got: {_reason(error)}; {_HELP}") from None
    if not streams:
        raise UserError(f"{path}: expected a video, but it holds no moving pictures; check the file")
    stream = streams[0]
    if stream.codec_context is None:
        raise UserError(
            f"{path}: no decoder for its codec; convert it to H.264 in an .mp4 file, or get it again"
        )
    stream.codec_context.options = _CODEC
    # Threads of its own would hang where a forked worker frees a decoder of its parent; and on one
    # core, which is what a worker has, they gain nothing.
    stream.thread_count = 1
    return container, stream


def _packets(container: InputContainer, stream: av.VideoStream) -> Iterator[av.Packet[av.VideoStream]]:
    """The packets from here to the end, or to where the file breaks off."""
    try:
        # More packets than the file has bytes come from a damaged list that leads in circles.
        for packet in islice(container.demux(stream), container.size):
            if packet.is_corrupt and container.format.name in _ENDS_WITHIN:
                return
            if packet.size:  # an empty one would end the decoding
                yield packet
    except Exception:  # av raises many kinds on damaged files; what is missing is noticed later
        return


def _decode(stream: av.VideoStream, packet: av.Packet[av.VideoStream] | None) -> list[av.VideoFrame]:
    """The frames that a packet (None: the end) sets free; none where it is damaged."""
    try:
        return stream.codec_context.decode(packet)
    except Exception:  # as above
        return []


def _list_packets(
    container: InputContainer, stream: av.VideoStream
) -> tuple[list[_Packet], av.VideoFrame | None]:
    """The packets, and the first frame that decodes."""
    packets: list[_Packet] = []
    first: av.VideoFrame | None = None
    for packet in _packets(container, stream):
        packets.append(_Packet(packet.pts, packet.dts, packet.is_keyframe, packet.is_discard, packet.size))
        if first is None:
            first = next(iter(_decode(stream, packet)), None)
    return packets, first or next(iter(_decode(stream, None)), None)


def _one_to_one(
    container: InputContainer, stream: av.VideoStream, packets: Sequence[_Packet], first: av.VideoFrame
) -> bool:
    """Is each packet that is not hidden one frame, shown at the packet's time?"""
    codec = stream.codec_context
    timed = container.format.name in _TIMED and codec.name in _ONE_TO_ONE
    if container.format.name == "avi" and not codec.has_b_frames:
        # AVI stores no presentation times; without reordering, the order of the packets gives them.
        repeated = codec.name == "mpeg4" and min(p.size for p in packets) < _REPEATED_BYTES
        timed = codec.name in ("mpeg4", "mjpeg") and not repeated
    pts = [p.pts for p in packets if p.pts is not None]
    if not timed or codec.field_order not in _PROGRESSIVE or len(pts) < len(packets):
        return False
    shown = [p.pts for p in packets if p.pts is not None and not p.hidden]
    # What comes before the first key frame lacks the frames that it was predicted from.
    complete = packets[0].key and min(pts) == pts[0]
    return complete and bool(shown) and len(set(shown)) == len(shown) and first.pts == min(shown)


def _decoded_times(path: Path) -> tuple[list[int | None], av.VideoFrame | None]:
    """The timestamps of all frames that decode, in order, and the first of the frames."""
    container, stream = _open(path)
    pts: list[int | None] = []
    first: av.VideoFrame | None = None
    with container:
        for packet in chain(_packets(container, stream), [None]):
            for frame in _decode(stream, packet):
                first = first or frame
                pts.append(frame.pts)
    return pts, first


def _ascending(shown: Sequence[int | None]) -> IntArray | None:
    """Timestamps (F,), or None where they are missing or do not ascend."""
    known = [p for p in shown if p is not None]
    if len(known) < len(shown) or any(a >= b for a, b in pairwise(known)):
        return None
    return np.array(known, np.int64)


def _starts(pts: IntArray | None, packets: Sequence[_Packet], by_dts: bool) -> dict[int, int]:
    """The frames that key packets begin, or the next one shown where that is hidden; and their times."""
    if pts is None:
        return {0: 0}
    starts = {0: int(pts[0])}
    for packet in packets:
        if packet.key and packet.pts is not None and packet.pts <= pts[-1]:
            time = packet.dts if by_dts and packet.dts is not None else packet.pts
            starts[int(np.searchsorted(pts, packet.pts))] = time
    return dict(sorted(starts.items()))


def _average_rate(times: npt.NDArray[np.float64], nominal: float) -> float:
    """Frames per second; the container's own figure where it agrees to half a frame at the end."""
    count, span = len(times) - 1, float(times[-1])
    if span <= 0 or abs(count / nominal - span) < 0.5 / nominal:
        return nominal
    return count / span


def square_size(width: int, height: int, stream: av.VideoStream) -> tuple[int, int]:
    """Width and height of a stream's frames, stored so, where pixels are square: one of them grows."""
    ratio = stream.sample_aspect_ratio  # a pixel's width over its height
    if not ratio or not _NARROWEST <= ratio <= 1 / _NARROWEST:
        return width, height
    grown = (round(width * ratio), height) if ratio > 1 else (width, round(height / ratio))
    return grown if grown[0] * grown[1] <= LARGEST_PIXELS else (width, height)


def turn_of(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """What makes a frame upright: transpose it, then mirror it across, then down."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, SideData):
        return False, False, False
    # Rows of three: (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    transposed = abs(b) + abs(c) > abs(a) + abs(d)
    across, down = (c, b) if transposed else (a, d)
    return transposed, across < 0, down < 0


def upright(image: Image, turn: tuple[bool, bool, bool]) -> Image:
    """A stored frame as it is shown: see `turn_of`."""
    transposed, across, down = turn
    if transposed:
        image = cv2.transpose(image)  # type: ignore[assignment]
    if across or down:
        image = cv2.flip(image, -1 if across and down else int(across))  # type: ignore[assignment]
    return image


_Shown = tuple[int, av.VideoFrame]
"""A decoded frame after its number."""


class _Damage(Exception):  # noqa: N818
    """Something does not decode."""


class _Decoder:
    """An open file, and the frames that it stands before.

    ``careful``: read from the file's beginning on, as where damage is met: only so is what the
    decoder shows instead, and up to the next key frame, always the same.
    """

    def __init__(self, path: Path, index: _Index) -> None:
        if _stamp(path) != index.stamp:
            raise UserError(f"{path}: the file has changed since it was first read; start again")
        self.path, self.index = path, index
        self.starts = list(index.starts)
        self.careful = index.pts is None
        self.damaged: set[int] = set()
        self.position = self._wanted = self._depth = 0
        self._reformatter = VideoReformatter()
        self._ahead: deque[_Shown] = deque()
        self.container, self.stream = _open(path)
        self._begin()

    def image(self, n: int, reduction: int) -> Image:
        """Frame ``n``, upright and reduced; raises `UserError` where it is damaged."""
        frame = self._frame(n)
        if frame is None:
            raise UserError(f"{self.path}: frame {n} is damaged; get the file again, or leave that frame out")
        width, height = self.index.square
        try:
            rgb = self._reformatter.reformat(frame, width, height, "rgb24", threads=1).to_ndarray()
        except Exception as error:  # av raises many kinds on odd pixel formats
            raise UserError(f"{self.path}: frame {n} does not convert to RGB: {_reason(error)}") from None
        image: Image = np.asarray(rgb, np.uint8)
        while reduction > 1:  # exact means of 2 x 2 pixels, and faster than swscale's own scaling
            height, width = image.shape[0] // 2, image.shape[1] // 2
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
            reduction //= 2
        image = upright(image, self.index.turn)
        image.flags.writeable = False
        return image

    def _frame(self, n: int) -> av.VideoFrame | None:
        """Frame ``n`` as it decodes; None where it is damaged."""
        if n in self.damaged:
            return None
        frame = None
        with suppress(_Damage):
            frame = self._next(n)
        if frame is None and not self.careful:
            # How a decoder conceals damage depends on all that it has seen.
            self.careful, self.starts = True, [0]
            self._rewind()
            frame = self._next(n)
        if frame is None or frame.is_corrupt:
            self.damaged.add(n)
            return None
        return frame

    def _next(self, n: int) -> av.VideoFrame | None:
        """Go on to frame ``n``, or seek it; None where it is not shown."""
        start = self._start(n)
        if n < self.position or start > self.position + _SOUGHT_OVER:
            self._go_to(n)
        self._wanted = n
        while self._fill():
            number, frame = self._ahead[0]
            self.position = number
            if number > n:
                return None  # the next call may ask for this one
            self._ahead.popleft()
            self.position = number + 1
            if number == n:
                return frame
        self.position = len(self.index.times)
        return None

    def _fill(self) -> bool:
        """Decode so far that one frame stands ahead and none shown before it can be damaged by it."""
        depth = 0 if self.careful else self._depth
        while len(self._ahead) <= depth and (shown := next(self._shown, None)) is not None:
            self._ahead.append(shown)
            if shown[1].is_corrupt and not self.careful:
                raise _Damage
        return bool(self._ahead)

    def _start(self, n: int) -> int:
        return self.starts[bisect.bisect_right(self.starts, n) - 1]

    def _go_to(self, n: int) -> None:
        """Stand before the last start up to ``n`` from which decoding is seen to work."""
        while not self.careful:
            start = self._start(n)
            with suppress(_Damage):
                if self._seek(start, n):
                    return
            if start == 0:
                break
            self.starts.remove(start)
        self._rewind()

    def _seek(self, start: int, n: int) -> bool:
        """Go to a start; True where a start's frame then comes first and whole."""
        self._wanted = start
        try:
            self.container.seek(self.index.starts[start], stream=self.stream)
        except Exception:  # av raises many kinds on damaged files
            return False
        self.stream.codec_context.reorder_depth = self._depth  # or frames are dropped until it is found
        self._shown = self._numbered(from_key=True)
        self._ahead.clear()
        if not self._fill():
            return False
        self.position = self._ahead[0][0]
        return self.position <= n and self.position in self.starts

    def _rewind(self) -> None:
        """Open the file anew and stand before its first frame."""
        self.close()
        self.container, self.stream = _open(self.path)
        self._begin()

    def _begin(self) -> None:
        self.position = self._wanted = 0
        self._depth = self.stream.codec_context.reorder_depth
        self._shown = self._numbered(from_key=False)

    def close(self) -> None:
        """Let go of the file now: frames, streams and files refer to each other in circles."""
        self._shown = iter(())
        self._ahead.clear()
        self.container.close()

    def _numbered(self, from_key: bool) -> Iterator[_Shown]:
        """Frames from here on with their numbers; ``from_key``: beginning with a key frame's own."""
        pts, codec = self.index.pts, self.stream.codec_context
        first = None if from_key else 0
        count = 0
        for packet in chain(_packets(self.container, self.stream), [None]):
            time = None if packet is None else packet.pts
            if first is None and packet is not None:
                if not packet.is_keyframe or time is None or pts is None:
                    continue
                first = int(np.searchsorted(pts, time))
            if codec.name == "h264" and not self.careful and pts is not None and time is not None:
                # What nothing else is predicted from need not be decoded on the way.
                codec.skip_frame = "NONREF" if time < pts[self._wanted] else "DEFAULT"
            try:
                frames = codec.decode(packet)
            except Exception:  # av raises many kinds on damaged packets
                if not self.careful:
                    raise _Damage from None
                continue
            for frame in frames:
                number = count if pts is None else _number(pts, frame.pts)
                count += 1
                # What is shown before the key frame lacks what it was predicted from.
                if number is not None and first is not None and number >= first:
                    yield number, frame


def _number(pts: IntArray, time: int | None) -> int | None:
    if time is None:
        return None
    place = int(np.searchsorted(pts, time))
    return place if place < len(pts) and pts[place] == time else None


class _Process:
    """What the videos of one process share: open files and decoded frames, the latest of each."""

    def __init__(self) -> None:
        self.pid, self.lock = os.getpid(), threading.Lock()
        self.decoders: OrderedDict[tuple[object, ...], _Decoder] = OrderedDict()
        self.images: OrderedDict[tuple[object, ...], Image] = OrderedDict()
        self.bytes = 0

    def read(self, path: Path, index: _Index, numbers: Sequence[int], reduction: int) -> list[Image]:
        """The frames with these numbers, decoded in ascending order."""
        key = (path.absolute(), *index.stamp)
        found: dict[int, Image] = {}
        for n in sorted(set(numbers)):
            image = self.images.pop((*key, n, reduction), None)
            if image is None:
                image = self._decoder(key, path, index).image(n, reduction)
                self.bytes += image.nbytes
            found[n] = self.images[(*key, n, reduction)] = image
            while self.bytes > CACHE_BYTES:
                self.bytes -= self.images.popitem(last=False)[1].nbytes
        return [found[n] for n in numbers]

    def _decoder(self, key: tuple[object, ...], path: Path, index: _Index) -> _Decoder:
        decoder = self.decoders.pop(key, None) or _Decoder(path, index)
        self.decoders[key] = decoder
        if len(self.decoders) > OPEN_FILES:
            self.decoders.popitem(last=False)[1].close()
        return decoder


_process = _Process()


def _this_process() -> _Process:
    """What this process shares; after a fork something new: open files would move in the parent too."""
    global _process  # noqa: PLW0603
    if _process.pid != os.getpid():
        _process = _Process()
    return _process


def write_video(path: Path, frames: Iterable[Image], fps: float) -> None:
    """Write frames (H, W, 3) uint8 RGB of one size as H.264 that browsers play, index first.

    Odd sizes are padded by one row or column of edge pixels. The file appears whole or not at all.
    Raises ``ValueError`` where there is no frame, or one of another form; `UserError` where this
    PyAV has no H.264 encoder, or the file cannot be written.
    """
    with _written_whole(path) as container:
        _encode(container, frames, fps)


class VideoGroup:
    """About a second of video that stands alone: groups appended to one MPEG-TS file play as one video.

    A file that grows by groups plays at any time, also after its writer was killed; `remux` makes an
    .mp4 of it. ``fps`` is the usual rate; frames may come unevenly. Raises as `write_video` does.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self.fps = path, fps
        self._bytes = BytesIO()
        self._container: OutputContainer = av.open(
            self._bytes, "w", "mpegts", container_options=_GROUP_CONTAINER
        )
        self._stream: av.VideoStream | None = None
        self._reformatter = VideoReformatter()
        self._shape: tuple[int, ...] = ()

    def add(self, image: Image, time_s: float) -> None:
        """Encode a frame (H, W, 3) uint8 RGB shown at ``time_s`` >= 0, later than the one before it."""
        with _told(self.path):
            if self._stream is None:
                self._shape = image.shape
                self._stream = _h264_stream(self._container, self._shape, self.fps, _IN_GROUP)
                self._stream.codec_context.time_base = _TICK
            frame = _encodable(image, self._shape, self._reformatter)
            frame.pts, frame.time_base = round(time_s / _TICK), _TICK
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Append the group to the file, where it holds a frame."""
        with _told(self.path):
            if self._stream is not None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
            if self._stream is not None:
                with self.path.open("ab") as file:
                    file.write(self._bytes.getvalue())


def remux(grown: Path, path: Path) -> None:
    """The frames of an MPEG-TS file of `VideoGroup`s as an .mp4 that begins at 0, index first.

    Nothing is encoded again. Raises `UserError` where a file cannot be read or written.
    """
    source, stream = _open(grown, "mpegts")
    with source, _written_whole(path) as container:
        copy = container.add_stream_from_template(stream)
        first, last, turns = None, 0, 0
        for packet in _packets(source, stream):
            if packet.pts is None or packet.dts is None:
                continue
            first = packet.pts if first is None else first
            # MPEG-TS counts to 2^33 ticks, a little more than a day, and begins again.
            turns += packet.dts < last - _TURN // 2
            last = packet.dts
            packet.pts, packet.dts = (x - first + turns * _TURN for x in (packet.pts, packet.dts))
            packet.stream = copy
            container.mux(packet)


@contextmanager
def _written_whole(path: Path) -> Iterator[OutputContainer]:
    """An .mp4 file that appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with av.open(
                str(temporary.absolute()), "w", "mp4", options={"movflags": "faststart"}
            ) as container:
                yield container
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What goes wrong while ``path`` is written, as a `UserError`."""
    try:
        yield
    except av.codec.codec.UnknownCodecError:
        raise UserError(
            f"{path}: this PyAV has no {_ENCODER}; install the wheel of PyPI: pip install av"
        ) from None
    except (av.FFmpegError, OSError) as error:
        raise UserError(f"{path}: cannot be written: {_reason(error)}; check the folder") from None


def _encode(container: OutputContainer, frames: Iterable[Image], fps: float) -> None:
    images = iter(frames)
    first = next(images, None)
    if first is None:
        raise ValueError("expected at least one frame, got none")
    stream = _h264_stream(container, first.shape, fps, {})
    reformatter = VideoReformatter()
    for image in chain([first], images):
        container.mux(stream.encode(_encodable(image, first.shape, reformatter)))
    container.mux(stream.encode(None))


def _h264_stream(
    container: OutputContainer, shape: tuple[int, ...], fps: float, options: dict[str, str]
) -> av.VideoStream:
    if not fps > 0:
        raise ValueError(f"expected fps > 0, got {fps}")
    height, width = shape[:2]
    # Without cpu-independent, x264's code for AVX-512 makes other bytes of the same frames from call to call.
    chosen = {"crf": str(CRF), "g": str(KEY_FRAME_EVERY), "x264-params": "cpu-independent=1", **options}
    stream = container.add_stream(_ENCODER, rate=Fraction(fps).limit_denominator(1001), options=chosen)
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
    # Said in the file and used here, since players guess by size where nothing is said.
    context = stream.codec_context
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    return stream


def _encodable(image: Image, shape: tuple[int, ...], reformatter: VideoReformatter) -> av.VideoFrame:
    height, width = shape[:2]
    if image.shape != (height, width, 3) or image.dtype != np.uint8:
        raise ValueError(f"expected ({height}, {width}, 3) uint8, got {image.shape} {image.dtype}")
    even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    return reformatter.reformat(
        av.VideoFrame.from_ndarray(even),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )


def clip_indices(length: int, count: int, stride: int, start: int | None = None) -> npt.NDArray[np.int64]:
    """Frames (count,) of the clip that starts at ``start``, or of the one in the middle.

    ``start`` is moved so far back that the clip ends within the video; it does not matter where
    the video is stretched. Raises ``ValueError`` where an argument is below 1.
    """
    if min(length, count, stride) < 1:
        raise ValueError(f"expected length, count and stride >= 1, got {length}, {count}, {stride}")
    if length < count:
        return _stretched(length, count)
    stride = min(stride, length // count)
    spare = length - ((count - 1) * stride + 1)
    first = spare // 2 if start is None else min(max(start, 0), spare)
    return first + stride * np.arange(count)


def _stretched(length: int, count: int) -> npt.NDArray[np.int64]:
    steps = 0
    while length * 3**steps < count * 2**steps:
        steps += 1
    first = (length * 3**steps // 2**steps - count) // 2
    return np.asarray((first + np.arange(count)) * 2**steps // 3**steps)


def clip_starts(length: int, count: int, stride: int, every: int) -> list[int]:
    """First frames of the clips of multi-clip evaluation: one each ``every`` frames.

    At least one; those that would run past the end are left out. In a short video the stride is that of
    `clip_indices`.
    """
    stride = max(1, min(stride, length // count))
    return list(range(0, max(1, length - (count - 1) * stride), every))
