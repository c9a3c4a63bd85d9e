"""Cluttered procedural backgrounds, and the camera's flaws that figure and background share."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    """Grey-ish to vivid RGB in 0..255."""
    grey = rng.uniform(10, 245)
    r, g, b = np.clip(grey + rng.uniform(-1, 1, 3) * rng.uniform(0, 130), 0, 255).astype(int).tolist()
    return r, g, b


def _gradient(rng: np.random.Generator, size: int) -> npt.NDArray[np.float32]:
    """Four random corner colours, blended smoothly: (S, S, 3) float32."""
    corners = np.array([_colour(rng) for _ in range(4)], np.float32).reshape(2, 2, 3)
    blended = cv2.resize(corners, (size * 2, size * 2), interpolation=cv2.INTER_LINEAR)
    cut = size // 2
    return np.asarray(blended[cut : cut + size, cut : cut + size], np.float32)


def _texture(rng: np.random.Generator, size: int) -> npt.NDArray[np.float32]:
    """Noise of one coarseness, grey or coloured: (S, S, 3) float32 around 0."""
    cells = int(rng.integers(4, size))
    channels = 1 if rng.random() < 0.5 else 3
    noise = rng.standard_normal((cells, cells, channels), np.float32) * rng.uniform(5, 35)
    grown = cv2.resize(noise, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grown, np.float32).reshape(size, size, channels)


def _point(rng: np.random.Generator, size: int) -> npt.NDArray[np.int32]:
    return rng.uniform(-0.1 * size, 1.1 * size, 2).astype(np.int32)


def _polygon(rng: np.random.Generator, image: Image) -> None:
    size = image.shape[0]
    corners = _point(rng, size) + rng.normal(0, 0.2 * size, (int(rng.integers(3, 7)), 2))
    cv2.fillPoly(image, [corners.astype(np.int32)], _colour(rng), cv2.LINE_AA)


def _rectangle(rng: np.random.Generator, image: Image) -> None:
    corner = _point(rng, image.shape[0])
    other = corner + rng.uniform(0.05, 0.6, 2) * image.shape[0]
    thickness = -1 if rng.random() < 0.7 else int(rng.integers(1, 5))
    cv2.rectangle(image, corner.tolist(), other.astype(int).tolist(), _colour(rng), thickness)


def _ellipse(rng: np.random.Generator, image: Image) -> None:
    axes = rng.uniform(0.03, 0.25, 2) * image.shape[0]
    thickness = -1 if rng.random() < 0.7 else int(rng.integers(1, 5))
    cv2.ellipse(
        image, _point(rng, image.shape[0]).tolist(), axes.astype(int).tolist(),
        rng.uniform(0, 180), 0, 360, _colour(rng), thickness, cv2.LINE_AA,
    )  # fmt: skip


def _stripes(rng: np.random.Generator, image: Image) -> None:
    """A patch of parallel bars, sometimes crossed."""
    size = image.shape[0]
    (x, y), (width, height) = _point(rng, size), rng.integers(size // 8, size // 2, 2)
    patch = image[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
    period = int(rng.integers(3, max(4, size // 10)))
    if rng.random() < 0.7:
        patch[(np.arange(patch.shape[0]) // period) % 2 == 0] = _colour(rng)
    if rng.random() < 0.7:
        patch[:, (np.arange(patch.shape[1]) // period) % 2 == 0] = _colour(rng)


def _limb(rng: np.random.Generator, image: Image) -> None:
    """One or two bent strokes with a lighter core: what an arm or a leg looks like."""
    size = image.shape[0]
    points = [_point(rng, size)]
    for _ in range(int(rng.integers(1, 4))):
        points.append(points[-1] + rng.normal(0, 0.17 * size, 2).astype(np.int32))
    line = np.array(points, np.int32)[:, None]
    width = rng.uniform(0.02, 0.11) * size
    colour = np.array(_colour(rng), float)
    off = np.round(rng.normal(0, 0.1 * width, 2)).astype(np.int32)
    for k, (share, light) in enumerate(((1, 0.65), (0.7, 0.85), (0.35, 1))):
        shaded = (colour * light).astype(int).tolist()
        cv2.polylines(image, [line + k * off], False, shaded, max(1, round(width * share)), cv2.LINE_AA)


_SHAPES: list[Callable[[np.random.Generator, Image], None]] = [
    _polygon, _rectangle, _ellipse, _stripes, _limb, _limb,
]  # fmt: skip


def _to_bytes(image: npt.NDArray[np.float32]) -> Image:
    return np.asarray(np.clip(image + 0.5, 0, 255), np.uint8)


def random_background(rng: np.random.Generator, size: int) -> Image:
    """A cluttered picture (S, S, 3) uint8 RGB: gradient, textures, shapes, limb-like strokes."""
    image = _to_bytes(_gradient(rng, size) + (_texture(rng, size) if rng.random() < 0.6 else 0))
    for _ in range(int(rng.integers(0, 26))):
        _SHAPES[int(rng.integers(len(_SHAPES)))](rng, image)
    if rng.random() < 0.5:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 2.5)), np.uint8)
    return image


def photographed(rng: np.random.Generator, image: Image) -> Image:
    """The flaws of a camera on the finished image: slight blur, contrast, brightness, noise."""
    seen = image.astype(np.float32)
    # A texture over everything, so that roughness does not tell figure from background.
    if rng.random() < 0.5:
        seen += 0.6 * _texture(rng, image.shape[0])
    if rng.random() < 0.4:
        seen = np.asarray(cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.4, 1.0)), np.float32)
    contrast, brightness = rng.uniform(0.7, 1.2), rng.uniform(-25, 25)
    seen = (seen - 128) * contrast + 128 + brightness
    seen += rng.standard_normal(seen.shape, np.float32) * np.float32(rng.uniform(0, 9))
    return _to_bytes(seen)
