"""Write small videos whose frames carry their number as a bar code that survives compression."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 8
SIZE = (128, 96)


def picture(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3): the number in black and white bars above, a texture that moves below."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    for bit in range(BITS):
        image[: height // 2, bit * width // BITS : (bit + 1) * width // BITS] = 255 * (number >> bit & 1)
    blocks = np.random.default_rng(0).integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    texture = np.roll(blocks.repeat(8, 0).repeat(8, 1)[:height, :width], 3 * number, 1)
    image[height // 2 :] = texture[height // 2 :]
    return image


def number(image: np.ndarray) -> int:
    """The number in a picture of any size."""
    height, width = image.shape[:2]
    bars = image[height // 8 : height * 3 // 8].mean((0, 2))
    return sum(
        int(bars[int((bit + 0.3) * width / BITS) : int((bit + 0.7) * width / BITS)].mean() > 127) << bit
        for bit in range(BITS)
    )


def x264(**parameters: object) -> dict[str, str]:
    """Options of libx264: key frames each 12 frames, B-frames between."""
    chosen = {"keyint": 12, "bframes": 3, "scenecut": 0, **parameters}
    return {"x264-params": ":".join(f"{k.replace('_', '-')}={v}" for k, v in chosen.items())}


def write(
    path: Path,
    count: int = 30,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    *,
    size: tuple[int, int] = SIZE,
    pixels: str = "yuv420p",
    fps: int = 25,
    ticks: Sequence[int] | None = None,
    turned: tuple[float, bool, bool] | None = None,
    container: dict[str, str] | None = None,
    full_range: bool = False,
    aspect: Fraction | None = None,
    paint=picture,
) -> Path:
    """A video of ``count`` pictures; ``ticks``: when each is shown, in 1 / fps; ``aspect``: of a pixel.

    ``turned``: degrees counter-clockwise, then mirrored across, then down, as players are to show it.
    """
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=fps, options=x264() if options is None else options)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = Fraction(1, fps)
        if full_range:
            stream.codec_context.color_range = 2
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if turned:
            stream.set_display_rotation(*turned)
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(paint(i, size))
            if full_range:
                frame = frame.reformat(format=pixels, dst_color_range=2, threads=1)
            frame.pts, frame.time_base = i if ticks is None else ticks[i], Fraction(1, fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def write_sound(path: Path, cover: bool = False) -> Path:
    """A file of sound alone, or with a cover picture, which is a video stream too."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16000, layout="mono")
        image = None
        if cover:
            image = out.add_stream("mjpeg", rate=1)
            image.width, image.height, image.pix_fmt = 64, 64, "yuvj420p"
            image.disposition = 1 << 10  # attached picture
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        silence.sample_rate, silence.pts = 16000, 0
        out.mux(stream.encode(silence))
        out.mux(stream.encode(None))
        if image is not None:
            out.mux(image.encode(av.VideoFrame.from_ndarray(picture(0, (64, 64)))))
            out.mux(image.encode(None))
    return path


def decode(path: Path) -> list[tuple[int | None, np.ndarray]]:
    """Timestamp and pixels of every frame that a plain decode from the beginning shows."""
    shown = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                if not frame.is_corrupt:
                    rgb = frame.reformat(format="rgb24", threads=1)
                    shown.append((frame.pts, rgb.to_ndarray().copy()))
    return shown


def packets(path: Path) -> list[av.Packet]:
    """The packets that hold something, in the file's order."""
    with av.open(str(path)) as container:
        return [p for p in container.demux(video=0) if p.size]


def overwrite(path: Path, packet: av.Packet, share: float = 1.0) -> None:
    """Damage a packet: bytes without meaning from its ``share`` on to its end."""
    data = bytearray(path.read_bytes())
    first = packet.pos + 4 + int((packet.size - 4) * (1 - share))
    noise = np.random.default_rng(0).integers(0, 255, packet.pos + packet.size - first, np.uint8)
    data[first : packet.pos + packet.size] = noise.tobytes()
    path.write_bytes(data)


def start_later(path: Path, frames: int, fps: int = 25) -> None:
    """Change an .mp4's edit list so that it starts ``frames`` later, where no key frame need be."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 4
    version, entries = data[at], struct.unpack_from(">I", data, at + 4)[0]
    assert version == 0 and entries == 1
    scale_at = data.index(b"mdhd") + 4 + 12
    scale = struct.unpack_from(">I", data, scale_at)[0]
    (media_time,) = struct.unpack_from(">i", data, at + 12)
    struct.pack_into(">i", data, at + 12, media_time + frames * scale // fps)
    path.write_bytes(data)


def repeat_in_avi(path: Path, after: int) -> None:
    """Rewrite an .avi of MPEG-4 with a packet after ``after`` that says: the last frame goes on."""
    stored = [(bytes(p), p.is_keyframe) for p in packets(path)]
    stored.insert(after + 1, (b"\0\0\1\xb6\x50\x40", False))
    with av.open(str(path)) as source, av.open(str(path.with_suffix(".new.avi")), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for i, (data, key) in enumerate(stored):
            packet = av.Packet(data)
            packet.stream, packet.is_keyframe = stream, key
            packet.pts = packet.dts = i
            packet.time_base = Fraction(1, 25)
            out.mux(packet)
    path.with_suffix(".new.avi").replace(path)
