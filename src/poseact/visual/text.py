"""Letters on pictures: OpenCV's own are ASCII only; matplotlib brings a font that has most alphabets."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from poseact.structures import Image
from poseact.visual.overlay import Colour

FloatArray = npt.NDArray[np.floating]


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


@lru_cache(maxsize=1024)
def _mask(text: str, size: int) -> FloatArray:
    """How much of each pixel the text covers, (h, w, 1) in [0, 1]; ``size``: of the letters in pixels."""
    font = _font(size)
    above, below = font.getmetrics()
    drawn = Pillow.new("L", (max(1, math.ceil(font.getlength(text))), above + below))
    ImageDraw.Draw(drawn).text((0, 0), text, fill=255, font=font)
    return np.asarray(drawn, np.float32)[..., None] / 255


@lru_cache(maxsize=1024)
def fitted(text: str, size: int, width: int) -> str:
    """The text on one line, cut to ``width`` pixels."""
    text = "".join(c if c.isprintable() else " " for c in text)
    if _font(size).getlength(text) <= width:
        return text
    while text and _font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…" if text else ""


def text_width(text: str, size: int) -> int:
    """In pixels, as `write` writes it."""
    return int(_mask(text, size).shape[1])


def write(
    canvas: Image, text: str, place: tuple[int, int], size: int, colour: Colour, *, ground: bool = False
) -> None:
    """Write in place from the left, top ``place``; what lies outside is cut; ``ground``: on dark."""
    mask = _mask(text, size)
    x, y = place
    part = canvas[max(0, y) : max(0, y + mask.shape[0]), max(0, x) : max(0, x + mask.shape[1])]
    cover = mask[max(0, -y) :, max(0, -x) :][: part.shape[0], : part.shape[1]]
    if ground:
        edge = size // 3
        around = canvas[
            max(0, y) : max(0, y + mask.shape[0]), max(0, x - edge) : max(0, x + mask.shape[1] + edge)
        ]
        around[:] = around // 3
    if part.size:
        part[:] = np.rint(part + (np.array(colour, np.float32) - part) * cover)
