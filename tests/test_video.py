"""Frames out of video files, exactly, and into them."""

import gc
import multiprocessing
import os
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
import torch
from fakes import video as fake
from fakes.damage import mutate

from poseact import video
from poseact.errors import UserError
from poseact.video import VideoFile, write_video

COUNT = 30
FORMS = {
    "b-frames.mp4": ("libx264", fake.x264()),
    "b-frames.mkv": ("libx264", fake.x264()),
    "b-frames.ts": ("libx264", fake.x264()),
    "b-frames.flv": ("libx264", fake.x264()),
    "no-times.avi": ("libx264", fake.x264()),
    "no-times.h264": ("libx264", fake.x264()),
    "open-gop.mp4": ("libx264", fake.x264(open_gop=1)),
    "open-gop.ts": ("libx264", fake.x264(open_gop=1)),
    "refresh.mkv": ("libx264", fake.x264(intra_refresh=1)),
    "refresh.ts": ("libx264", fake.x264(intra_refresh=1)),
    "fields.mp4": ("libx264", fake.x264(interlaced=1)),
    "open-gop-hevc.mp4": ("libx265", {"x265-params": "keyint=12:bframes=3:open-gop=1:log-level=none"}),
    "open-gop-hevc.ts": ("libx265", {"x265-params": "keyint=12:bframes=3:open-gop=1:log-level=none"}),
    "reordered.avi": ("mpeg4", {"bf": "2", "g": "12"}),
    "plain.avi": ("mpeg4", {"g": "12"}),
    "mpeg4.mp4": ("mpeg4", {"bf": "2", "g": "12"}),
    "mpeg2.mpg": ("mpeg2video", {"bf": "2", "g": "12"}),
    "vp8.webm": ("libvpx", {"g": "12", "lag-in-frames": "8", "auto-alt-ref": "1", "cpu-used": "8"}),
    "vp9.webm": ("libvpx-vp9", {"g": "12", "lag-in-frames": "8", "cpu-used": "8"}),
    "images.avi": ("mjpeg", {}),
    "lossless.mkv": ("ffv1", {"g": "5"}),
}


@pytest.fixture(autouse=True)
def nothing_is_shared(monkeypatch):
    """Each test begins with no open file and no decoded frame."""
    monkeypatch.setattr(video, "_process", video._Process())


@pytest.fixture
def uncached(monkeypatch):
    monkeypatch.setattr(video, "CACHE_BYTES", 0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """An .mp4 of 30 pictures with B-frames, nobody changes it."""
    return fake.write(tmp_path_factory.mktemp("video") / "clip.mp4", COUNT)


def numbers(file: VideoFile, indices) -> list[int]:
    return [fake.number(image) for image in file.read(list(indices))[0]]


def readable(file: VideoFile, order) -> dict[int, np.ndarray]:
    """The frames that read, one at a time."""
    frames = {}
    for i in order:
        try:
            frames[int(i)] = file.read([int(i)])[0][0]
        except UserError as error:
            assert f"frame {i} is damaged" in str(error) and str(file.path) in str(error)
    return frames


def same(one: dict[int, np.ndarray], other: dict[int, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all((one[i] == other[i]).all() for i in one)


ORDERS = {
    "forward": range(COUNT),
    "backward": range(COUNT - 1, -1, -1),
    "random": np.random.default_rng(0).permutation(COUNT),
    "strided": range(1, COUNT, 7),
    "far": (25, 2, 14, 13, 26, 27, 0),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_frame_is_that_of_a_full_decode(tmp_path, uncached, name):
    codec, options = FORMS[name]
    path = fake.write(
        tmp_path / name, COUNT, codec, options, pixels="yuvj420p" if codec == "mjpeg" else "yuv420p"
    )
    shown = fake.decode(path)
    assert [fake.number(image) for _, image in shown] == list(range(COUNT))
    for order in ORDERS.values():
        file = VideoFile(path)
        assert len(file) == COUNT
        for i in order:
            assert (file.read([int(i)])[0][0] == shown[i][1]).all(), (name, i)
    assert np.allclose(file.times, np.arange(COUNT) / 25, atol=0.0011)
    assert file.fps == pytest.approx(25) and (file.width, file.height) == fake.SIZE


def test_a_read_answers_in_the_order_asked_with_repeats(clip):
    images, reduction = VideoFile(clip).read([7, 3, 3, 20, 7])
    assert [fake.number(image) for image in images] == [7, 3, 3, 20, 7] and reduction == 1
    assert all(image.shape == (96, 128, 3) and image.dtype == np.uint8 for image in images)


def test_going_on_seeks_only_over_many_frames(clip, monkeypatch, uncached):
    sought = []
    seek = video._Decoder._seek
    monkeypatch.setattr(
        video._Decoder, "_seek", lambda self, start, n: sought.append(n) or seek(self, start, n)
    )
    file = VideoFile(clip)
    for first in (0, 8, 16):
        numbers(file, range(first, first + 8))
    assert sought == []
    assert numbers(file, [2]) == [2] and numbers(file, [5]) == [5] and sought == [2]
    assert numbers(file, [27]) == [27] and sought == [2, 27]


def test_frames_at_irregular_times(tmp_path):
    ticks = np.cumsum(np.random.default_rng(0).integers(1, 9, COUNT)).tolist()
    for name in ("irregular.mp4", "irregular.mkv"):
        file = VideoFile(fake.write(tmp_path / name, COUNT, ticks=ticks))
        assert numbers(file, ORDERS["random"]) == ORDERS["random"].tolist()
        assert np.allclose(file.times, (np.array(ticks) - ticks[0]) / 25, atol=0.0011)
        assert file.fps == pytest.approx((COUNT - 1) * 25 / (ticks[-1] - ticks[0]), rel=1e-3)


def test_times_that_repeat_are_counted(tmp_path, uncached):
    # Matroska stores milliseconds: at 4000 frames a second, four of them are one.
    path = fake.write(tmp_path / "fast.mkv", COUNT, fps=4000)
    assert len({time for time, _ in fake.decode(path)}) < COUNT
    file = VideoFile(path)
    assert len(file) == COUNT
    assert [numbers(file, [i])[0] for i in ORDERS["random"]] == ORDERS["random"].tolist()


def test_an_edit_list_that_starts_between_key_frames(tmp_path, uncached):
    path = fake.write(tmp_path / "edited.mp4", COUNT)
    fake.start_later(path, 5)
    shown = fake.decode(path)
    assert [fake.number(image) for _, image in shown] == list(range(5, COUNT))
    file = VideoFile(path)
    assert len(file) == COUNT - 5 and file.times[0] == 0
    for order in (range(len(file)), range(len(file) - 1, -1, -1)):
        assert all((file.read([i])[0][0] == shown[i][1]).all() for i in order)


def test_a_packet_that_shows_nothing(tmp_path, uncached):
    path = fake.write(tmp_path / "repeats.avi", 20, "mpeg4", {"g": "8"})
    fake.repeat_in_avi(path, 10)
    assert len(fake.packets(path)) == 21 and len(fake.decode(path)) == 20
    file = VideoFile(path)
    assert len(file) == 20
    assert [numbers(file, [i])[0] for i in range(19, -1, -1)] == list(range(19, -1, -1))


def test_a_stream_that_begins_before_its_first_key_frame(tmp_path, uncached):
    path = fake.write(tmp_path / "cut.ts", COUNT)
    keys = [p.pos for p in fake.packets(path) if p.is_keyframe]
    data = path.read_bytes()
    # What describes the stream stays; then it goes on a few packets of 188 bytes before the next key frame.
    path.write_bytes(data[: 188 * 3] + data[keys[1] - 188 * 8 :])
    shown = fake.decode(path)
    file = VideoFile(path)
    assert 0 < len(file) == len(shown) < COUNT
    for i in range(len(file) - 1, -1, -1):
        assert (file.read([i])[0][0] == shown[i][1]).all()


@pytest.mark.parametrize("across, down", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_turned_and_mirrored_videos_come_upright(tmp_path, clip, degrees, across, down):
    stored = VideoFile(clip).read([11])[0][0]
    path = fake.write(tmp_path / "turned.mp4", COUNT, turned=(degrees, across, down))
    file = VideoFile(path)
    expected = np.rot90(stored, degrees // 90)
    expected = expected[:: -1 if down else 1, :: -1 if across else 1]
    image = file.read([11])[0][0]
    assert (file.height, file.width) == image.shape[:2] == expected.shape[:2]
    assert (image == expected).all()


@pytest.mark.parametrize(
    "name, codec, pixels, size, full_range",
    [
        ("odd.mkv", "ffv1", "yuv420p", (97, 61), False),
        ("odd444.mp4", "libx264", "yuv444p", (97, 61), False),
        ("full.mp4", "libx264", "yuv420p", (128, 96), True),
        ("ten.mp4", "libx264", "yuv420p10le", (128, 96), False),
        ("grey.mkv", "ffv1", "gray", (97, 61), True),
        ("rgb.mkv", "ffv1", "bgr0", (128, 96), False),
    ],
)
def test_pixel_formats_become_rgb(tmp_path, name, codec, pixels, size, full_range):
    def ramp(i, size):
        y, x = np.mgrid[: size[1], : size[0]]
        return np.stack([x * 255 // size[0], y * 255 // size[1], np.full_like(x, 60 + 10 * i)], -1).astype(
            np.uint8
        )

    options = {"crf": "5"} if codec == "libx264" else {}
    path = fake.write(
        tmp_path / name, 3, codec, options, size=size, pixels=pixels, full_range=full_range, paint=ramp
    )
    image = VideoFile(path).read([2])[0][0]
    expected = ramp(2, size).astype(np.float64)
    if pixels == "gray":
        expected = (expected @ [0.299, 0.587, 0.114])[..., None].repeat(3, 2)
    assert image.shape == (size[1], size[0], 3) and image.dtype == np.uint8
    assert np.abs(image - expected).max() <= 8 and np.abs(image - expected).mean() < 2


def disc(i, size):
    """A disc in the middle, as high as half the picture is, or as wide."""
    y, x = np.mgrid[: size[1], : size[0]]
    inside = ((x + 0.5) / size[0] - 0.5) ** 2 + ((y + 0.5) / size[1] - 0.5) ** 2 < 1 / 16
    return np.repeat(np.where(inside, 255, 0)[..., None], 3, -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "stored", "aspect", "shown", "turned"),
    [
        ("pal.mpg", (180, 144), Fraction(16, 15), (192, 144), None),
        ("ntsc.mp4", (180, 120), Fraction(8, 9), (180, 135), None),
        ("hdv.mkv", (144, 108), Fraction(4, 3), (192, 108), None),
        ("turned.mp4", (144, 108), Fraction(4, 3), (108, 192), (90, False, False)),
        ("absurd.mkv", (144, 108), Fraction(9, 1), (144, 108), None),
        ("square.mp4", (144, 108), None, (144, 108), None),
    ],
)
def test_pixels_become_square(tmp_path, name, stored, aspect, shown, turned):
    codec = "mpeg2video" if name == "pal.mpg" else "libx264"
    options = {} if name == "pal.mpg" else None
    path = fake.write(
        tmp_path / name, 3, codec, options, size=stored, aspect=aspect, turned=turned, paint=disc
    )
    file = VideoFile(path)
    image = file.read([1])[0][0]
    assert (file.width, file.height) == shown == image.shape[1::-1]
    bright = image[..., 0] > 127
    # The disc stays in the middle and fills as much of either side.
    for axis, side in ((0, shown[0]), (1, shown[1])):
        row = np.flatnonzero(bright.any(axis))
        assert abs(row.mean() - (side - 1) / 2) < 1 and abs(len(row) - side / 2) < 3
    assert (next(file.walk(1)) == image).all()


def test_reduced_as_far_as_both_sides_divide(tmp_path, clip):
    file = VideoFile(clip)
    (whole,), _ = file.read([4])
    for reduction in (2, 4, 8):
        (image,), reduced = file.read([4], reduction)
        means = whole.reshape(96 // reduction, reduction, 128 // reduction, reduction, 3).mean((1, 3))
        assert reduced == reduction and image.shape == (96 // reduction, 128 // reduction, 3)
        assert np.abs(image - means).max() <= 1.5
    odd = VideoFile(fake.write(tmp_path / "odd.mp4", 2, size=(132, 90)))
    assert [odd.read([0], r)[1] for r in (8, 4, 2, 1)] == [2, 2, 2, 1]
    turned = VideoFile(fake.write(tmp_path / "turned.mp4", 2, size=(132, 90), turned=(90, False, False)))
    assert turned.read([0], 2)[0][0].shape == (66, 45, 3)


def test_cache_is_shared_and_bounded(clip, monkeypatch):
    size = 96 * 128 * 3
    monkeypatch.setattr(video, "CACHE_BYTES", 10 * size)
    files = [VideoFile(clip), VideoFile(clip)]
    first = files[0].read([3])[0][0]
    assert files[1].read([3])[0][0] is first, "two objects of one file share its frames"
    assert not first.flags.writeable
    for i in range(20):
        files[i % 2].read([i], 1 + i % 2)
        process = video._process
        assert sum(image.nbytes for image in process.images.values()) == process.bytes <= 10 * size
    again = files[0].read([3])[0][0]
    assert again is not first and (again == first).all(), "the oldest went"


def test_few_files_are_open_at_a_time(tmp_path, monkeypatch, uncached):
    monkeypatch.setattr(video, "OPEN_FILES", 2)
    files = [VideoFile(fake.write(tmp_path / f"{i}.mp4", 4)) for i in range(4)]
    for _ in range(2):
        for file in files:
            assert numbers(file, [1, 2]) == [1, 2]
    assert len(video._process.decoders) == 2
    if os.path.isdir("/proc/self/fd"):
        held = {os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}
        assert sum(str(file.path) in held for file in files) == 2


def test_pickled(clip):
    file = VideoFile(clip)
    for opened in (False, True):
        copy = pickle.loads(pickle.dumps(file))  # noqa: S301
        assert numbers(copy, [5, 17]) == [5, 17] and len(copy) == COUNT
        assert opened == (len(pickle.dumps(file)) > 500), "after it is opened, its index goes along"
        numbers(file, [5])


class Numbers(torch.utils.data.Dataset):
    def __init__(self, path):
        self.file = VideoFile(path)

    def __len__(self):
        return len(self.file)

    def __getitem__(self, i):
        return fake.number(self.file.read([i])[0][0]), os.getpid()


def test_forked_workers_read_their_own_file(clip):
    data = Numbers(clip)
    assert data[17][0] == 17  # the parent's file is open, and stands somewhere
    order = ORDERS["random"].tolist()
    loader = torch.utils.data.DataLoader(
        data, batch_size=5, sampler=order, num_workers=2, multiprocessing_context="fork"
    )
    read = [(int(n), int(pid)) for batch, pids in loader for n, pid in zip(batch, pids, strict=True)]
    assert [n for n, _ in read] == order and len({pid for _, pid in read} - {os.getpid()}) == 2
    assert data[18][0] == 18


def test_threads_may_share_files(tmp_path, clip, uncached):
    files = [VideoFile(clip), VideoFile(fake.write(tmp_path / "other.mp4", COUNT))]

    def read(seed):
        order = np.random.default_rng(seed).integers(0, COUNT, 15)
        return all(numbers(files[(i + seed) % 2], [n]) == [n] for i, n in enumerate(order))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(4)))


def _read_and_exit(file):
    assert numbers(file, [3]) == [3]
    gc.collect()  # frees what the parent left behind
    raise SystemExit(0)


def test_a_forked_child_ends_although_its_parent_left_decoders(clip):
    for i in range(5):
        numbers(VideoFile(clip), [i])
        video._process = video._Process()  # the old one refers to itself in a circle
    file = VideoFile(clip)
    numbers(file, [17])
    child = multiprocessing.get_context("fork").Process(target=_read_and_exit, args=(file,))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    assert numbers(file, [18]) == [18]


@pytest.mark.parametrize("kind", ["b-frame", "reference", "key"])
def test_damaged_packets_spoil_their_frame_and_not_the_others(tmp_path, clip, kind, uncached):
    whole = VideoFile(clip).read(range(COUNT))[0]
    path = fake.write(tmp_path / "damaged.mp4", COUNT)
    stored = fake.packets(path)
    key = [i for i, p in enumerate(stored) if p.is_keyframe][1]
    packet = stored[key + {"key": 0, "reference": 1, "b-frame": 3}[kind]]
    damaged = sorted(p.pts for p in stored).index(packet.pts)
    fake.overwrite(path, packet)
    read = {}
    for name in ("forward", "backward", "random"):
        video._process = video._Process()
        file = VideoFile(path)
        assert len(file) == COUNT
        read[name] = readable(file, ORDERS[name])
    frames = read["forward"]
    assert damaged not in frames
    next_key = stored[[i for i, p in enumerate(stored) if p.is_keyframe][2]]
    after = sorted(p.pts for p in stored).index(next_key.pts)
    clean = [*range(10), *range(after, COUNT)]
    assert all((frames[i] == whole[i]).all() for i in clean)
    if kind != "key":
        assert set(range(COUNT)) - set(frames) == {damaged}
    assert all(same(frames, other) for other in read.values()), "whatever the order"


def test_a_file_cut_short(tmp_path):
    path = fake.write(tmp_path / "cut.mp4", COUNT, container={"movflags": "faststart"})
    whole = VideoFile(path).read(range(COUNT))[0]
    stored = fake.packets(path)
    path.write_bytes(path.read_bytes()[: stored[20].pos + stored[20].size // 2])
    file = VideoFile(path)
    assert len(file) == 20
    times = [p.pts for p in stored]
    kept = [sorted(times).index(time) for time in sorted(times[:20])]
    assert all(
        (image == whole[i]).all() for i, image in zip(kept, file.read(range(20))[0], strict=True) if i < 17
    )
    for i in (20, 25, -1, 1000):
        with pytest.raises(
            UserError, match=rf"cut\.mp4: expected frame {i}, found 20 frames \(its header tells of 30\)"
        ):
            file.read([3, i])
    assert file.damage == "breaks off after 20 frames, its header tells of 30; get it again"


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov", ""])
def test_whole_files_are_not_taken_for_damaged(tmp_path, flags):
    path = fake.write(tmp_path / "whole.mp4", COUNT, container={"movflags": flags} if flags else {})
    assert VideoFile(path).damage == ""
    path.write_bytes(path.read_bytes() + b"what is no box follows")
    assert VideoFile(path).damage == ""


@pytest.mark.parametrize("name", ["cut.mkv", "cut.ts"])
def test_other_files_cut_short(tmp_path, name):
    path = fake.write(tmp_path / name, COUNT)
    whole = VideoFile(path).read(range(COUNT))[0]
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    file = VideoFile(path)
    assert 8 <= len(file) < COUNT
    assert all((file.read([i])[0][0] == whole[i]).all() for i in range(8))
    with pytest.raises(UserError, match=rf"{name}: expected frame {COUNT}, found"):
        file.read([COUNT])


def _cut(path, atom):
    data = fake.write(path, 5).read_bytes()
    path.write_bytes(data[: data.index(atom)])


def _unknown_codec(path):
    path.write_bytes(fake.write(path, 5).read_bytes().replace(b"avc1", b"zzz1"))


def _nothing_decodes(path):
    fake.write(path, 5)
    for packet in fake.packets(path):
        fake.overwrite(path, packet)


def _no_packets(path):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()


@pytest.mark.parametrize(
    "write, message",
    [
        (lambda path: None, "No such file or directory; check the path"),
        (lambda path: path.mkdir(), "expected a video, got: Is a directory"),
        (lambda path: path.write_bytes(b""), "expected a video, got: Invalid data"),
        (lambda path: path.write_text("not a video\n" * 100), "expected a video, got: Invalid data"),
        (lambda path: path.write_text("ffconcat version 1.0\nfile other.mp4\n"), "expected a video, got"),
        (lambda path: _cut(path, b"moov"), "expected a video, got: Invalid data"),
        (lambda path: _cut(path, b"stsd"), "no decoder for its codec; .* or get it again"),
        (fake.write_sound, "holds no moving pictures"),
        (lambda path: fake.write_sound(path, cover=True), "holds no moving pictures"),
        (_unknown_codec, "no decoder for its codec; convert it to H.264"),
        (_nothing_decodes, "none of its 5 frames decodes"),
        (_no_packets, "expected a video, but it holds no"),
    ],
)
def test_what_is_no_video(tmp_path, write, message):
    fake.write(tmp_path / "other.mp4", 2)
    path = tmp_path / "bad.mp4"
    write(path)
    file = VideoFile(path)  # opens nothing yet
    for ask in (lambda: len(file), lambda: file.fps, lambda: file.read([0])):
        with pytest.raises(UserError, match=message) as caught:
            ask()
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_another_file_under_the_same_name(tmp_path):
    path = fake.write(tmp_path / "a.mp4", 8)
    old = VideoFile(path)
    assert numbers(old, [1]) == [1]
    fake.write(path, 6, paint=lambda i, size: fake.picture(i + 100, size))
    assert numbers(VideoFile(path), range(6)) == list(range(100, 106))
    copy = pickle.loads(pickle.dumps(old))  # noqa: S301
    video._process = video._Process()
    with pytest.raises(UserError, match="has changed since it was first read"):
        copy.read([1])


CONTAINERS = {
    "mp4": ("libx264", fake.x264(keyint=5)),
    "mkv": ("libx264", fake.x264(keyint=5)),
    "avi": ("mpeg4", {"g": "5"}),
    "ts": ("libx264", fake.x264(keyint=5)),
    "webm": ("libvpx-vp9", {"g": "5", "cpu-used": "8"}),
}


def survive_mutations(path, count, seed):
    """Read mutated files whole: every frame is an image or a `UserError`, in little time."""
    codec, options = CONTAINERS[path.suffix[1:]]
    original = fake.write(path, 10, codec, options, size=(64, 48)).read_bytes()
    rng = np.random.default_rng(seed)
    opened = 0
    for _ in range(count):
        path.write_bytes(mutate(original, rng))
        began = time.monotonic()
        try:
            file = VideoFile(path)
            length = len(file)
            assert len(file.times) == length > 0 and file.fps > 0
            opened += 1
        except UserError as error:
            assert "\n" not in str(error)
            continue
        for i in [*range(min(length, 20)), *rng.integers(0, length, 3)]:
            try:
                (image,), _ = file.read([i])
                assert image.shape == (file.height, file.width, 3) and image.dtype == np.uint8
            except UserError as error:
                assert "\n" not in str(error)
        assert time.monotonic() - began < 10
    assert opened > count // 10, "too much damage shows nothing"


@pytest.mark.parametrize("container", CONTAINERS)
def test_mutated_files(tmp_path, container):
    survive_mutations(tmp_path / f"mutated.{container}", 60, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("container", CONTAINERS)
def test_many_mutated_files(tmp_path, container):
    survive_mutations(tmp_path / f"mutated.{container}", 2000, seed=1)


@pytest.mark.parametrize("size", [(128, 96), (97, 61)])
def test_written_videos_show_the_same_again(tmp_path, size):
    path = tmp_path / "new" / "written.mp4"
    pictures = [fake.picture(i, size) for i in range(20)]
    write_video(path, iter(pictures), 29.97)
    file = VideoFile(path)
    assert len(file) == 20 and file.fps == pytest.approx(29.97)
    width, height = size
    assert (file.width, file.height) == (width + width % 2, height + height % 2)
    for i, image in enumerate(file.read(range(20))[0]):
        assert fake.number(image) == i
        assert np.abs(image[:height, :width].astype(int) - pictures[i]).mean() < 12
        edge = image.astype(int)[:, width:] - image[:, width - 1 : width]
        assert np.abs(edge).mean() < 12 if width % 2 else edge.size == 0


def test_written_colours_are_those_asked_for(tmp_path):
    colours = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [220, 220, 20]], np.uint8)
    image = colours.repeat(32, 0)[None].repeat(64, 0)
    write_video(tmp_path / "colours.mp4", [image] * 3, 25)
    read = VideoFile(tmp_path / "colours.mp4").read([1])[0][0]
    assert np.abs(read[:, 16::32].mean(0) - colours).max() < 4


def test_written_videos_play_in_browsers(tmp_path):
    path = tmp_path / "written.mp4"
    write_video(path, [fake.picture(i) for i in range(5)], 25)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt) == ("h264", "yuv420p")
        assert codec.colorspace == codec.color_primaries == codec.color_trc == 1  # BT.709
    assert list(tmp_path.iterdir()) == [path]


def test_writing_that_fails_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "old.mp4"
    path.write_bytes(b"old")

    def breaks():
        yield fake.picture(0)
        raise RuntimeError("on the way")

    for frames, kind, message in (
        (breaks(), RuntimeError, "on the way"),
        ([], ValueError, "at least one frame"),
        (
            [fake.picture(0), fake.picture(1, (64, 48))],
            ValueError,
            r"expected \(96, 128, 3\) uint8, got \(48, 64, 3\)",
        ),
        ([fake.picture(0).astype(float)], ValueError, "uint8, got"),
    ):
        with pytest.raises(kind, match=message):
            write_video(path, frames, 25)
    with pytest.raises(ValueError, match="fps > 0"):
        write_video(path, [fake.picture(0)], 0)
    monkeypatch.setattr(video, "_ENCODER", "no_such_encoder")
    with pytest.raises(UserError, match=r"old\.mp4: this PyAV has no no_such_encoder"):
        write_video(path, [fake.picture(0)], 25)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        write_video(tmp_path / "taken" / "a.mp4", [fake.picture(0)], 25)


def test_bar_codes_tell_all_numbers():
    for size in (fake.SIZE, (64, 48), (97, 61)):
        assert [fake.number(fake.picture(i, size)) for i in range(256)] == list(range(256))
    assert all((a != b).any() for a, b in pairwise(fake.picture(i) for i in range(5)))
