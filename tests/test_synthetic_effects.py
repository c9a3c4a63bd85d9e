"""Shadows fall where the sun sends them; a camera's flaws are as large as asked for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from poseact.data.synthetic.effects import (
    Flaws,
    Mesh,
    Shadow,
    averaged,
    photographed,
    random_flaws,
    shaded,
    tone_curve,
)
from poseact.data.synthetic.rasteriser import cuboid
from poseact.geometry import Camera

SIZE = 192
AS_IT_IS = tone_curve(np.ones(3), 1.0, 0.0, 1.0)
WIDE = (-1e3, 1e3, -1e3, 1e3)


def flaws(
    softness: float = 0, coarse: float = 0, grain: float = 6, noise: float = 0, quality: int | None = None
) -> Flaws:
    return Flaws(softness, AS_IT_IS, coarse, grain, noise, quality)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def scenery() -> np.ndarray:
    rough = rng().integers(0, 256, (12, 16, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(rough, (160, 120), interpolation=cv2.INTER_NEAREST))


GREY = np.full((150, 200, 3), 128, np.uint8)


# --- the camera's flaws -------------------------------------------------------------------


def test_a_camera_without_flaws_changes_nothing() -> None:
    np.testing.assert_array_equal(photographed(scenery(), flaws(), rng()), scenery())


def test_the_picture_given_is_kept() -> None:
    image = scenery()
    photographed(image, flaws(0.8, 4, 3, 5, 40), rng())
    np.testing.assert_array_equal(image, scenery())


def test_same_generator_gives_the_same_bytes_and_another_does_not() -> None:
    bad = flaws(0.8, 4, 3, 5, 40)
    first, second, other = (photographed(scenery(), bad, rng(seed)) for seed in (1, 1, 2))
    assert first.tobytes() == second.tobytes() != other.tobytes()


@pytest.mark.parametrize("noise", [2.0, 5.0, 9.0])
def test_noise_is_as_strong_as_asked_for(noise: float) -> None:
    off = photographed(GREY, flaws(noise=noise), rng()).astype(float) - 128
    assert abs(off.mean()) < 0.1
    assert 0.93 * noise < off.std() < 1.07 * noise
    assert abs((off[:, 1:] * off[:, :-1]).mean()) < 0.05 * noise**2


def test_coarse_noise_hangs_together_over_its_grain() -> None:
    off = photographed(GREY, flaws(coarse=6, grain=8), rng()).astype(float) - 128
    assert 2 < off.std() < 7
    assert (off[:, 1:] * off[:, :-1]).mean() > 0.8 * (off**2).mean()
    assert abs((off[:, 24:] * off[:, :-24]).mean()) < 0.2 * (off**2).mean()


def test_noise_is_cut_off_at_black_and_white() -> None:
    dark = photographed(np.zeros((60, 60, 3), np.uint8), flaws(coarse=8, noise=9), rng())
    bright = photographed(np.full((60, 60, 3), 255, np.uint8), flaws(coarse=8, noise=9), rng())
    assert dark.max() < 80 and bright.min() > 175


def test_a_soft_lens_smooths_edges() -> None:
    def edges(image: np.ndarray) -> float:
        return float(np.abs(np.diff(image.astype(float), axis=1)).max())

    sharp, soft = scenery(), photographed(scenery(), flaws(softness=0.9), rng())
    assert edges(soft) < 0.7 * edges(sharp)
    assert abs(float(soft.mean()) - float(sharp.mean())) < 1


def test_jpeg_of_low_quality_changes_more_and_keeps_the_colours_in_order() -> None:
    def change(quality: int) -> float:
        seen = photographed(scenery(), flaws(quality=quality), rng())
        return float(np.abs(seen.astype(float) - scenery()).mean())

    assert 0 < change(95) < change(25) < 30
    red = np.zeros((32, 32, 3), np.uint8) + np.array([200, 30, 20], np.uint8)
    np.testing.assert_allclose(
        photographed(red, flaws(quality=90), rng()).mean((0, 1)), [200, 30, 20], atol=4
    )


def test_tone_curve_rises_and_gain_tints() -> None:
    curve = tone_curve(np.array([1.2, 1.0, 0.8]), 1.1, 5.0, 0.9)
    assert (np.diff(curve.astype(int), axis=0) >= 0).all()
    assert curve[128, 0] > curve[128, 1] > curve[128, 2]


def test_random_cameras_keep_pictures_recognisable() -> None:
    drawn = [random_flaws(rng(seed)) for seed in range(200)]
    middle = np.array([each.tone[128].mean() for each in drawn])
    contrast = np.array([each.tone[192].mean() - each.tone[64].mean() for each in drawn])
    assert middle.min() > 60 and middle.max() < 200 and middle.std() > 10
    assert contrast.min() > 60
    assert 0.2 < np.mean([each.quality is not None for each in drawn]) < 0.45


# --- motion blur --------------------------------------------------------------------------


def test_several_instants_are_averaged() -> None:
    images = [np.full((2, 3, 3), value, np.uint8) for value in (0, 10, 255)]
    np.testing.assert_array_equal(averaged(images), np.full((2, 3, 3), 88))
    assert averaged(images[:1]) is images[0]
    drawn = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3)).astype(np.uint8)
    for count in range(2, 17):
        mean = (drawn[:count].sum(0, dtype=int) + count // 2) // count
        np.testing.assert_array_equal(averaged(list(drawn[:count])), mean)


# --- shadows ------------------------------------------------------------------------------


def from_above(height: float = 6.0, **distortion: np.ndarray) -> Camera:
    """Looks straight down on the origin; x to the right, z down the picture."""
    rotation = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    middle = np.full(2, (SIZE - 1) / 2)
    return Camera(rotation, np.array([0, height, 0]), np.full(2, 150.0), middle, **distortion)


def slab(side: float, at: tuple[float, float, float]) -> Mesh:
    vertices, triangles = cuboid(np.array([side, 0.02, side]))
    return vertices + at, triangles


def sunlight(slope: tuple[float, float], ambient: float = 0.0, floor: tuple[float, ...] = WIDE) -> Shadow:
    sun = np.array([slope[0], 1.0, slope[1]])
    return Shadow(sun / np.linalg.norm(sun), 0.6, ambient, 0.0, floor)  # type: ignore[arg-type]


def shade(mesh: Mesh, camera: Camera, shadow: Shadow) -> np.ndarray:
    """How much darker each pixel of a grey floor becomes, in [0, 1]."""
    image = np.full((SIZE, SIZE, 3), 200, np.uint8)
    shaded(image, [mesh], camera, shadow)
    return 1 - image[..., 0] / 200


def middle_of(dark: np.ndarray) -> np.ndarray:
    y, x = np.nonzero(dark > 0.3)
    return np.array([x.mean(), y.mean()])


@pytest.mark.parametrize("slope", [(0.0, 0.0), (0.5, 0.0), (-0.4, 0.6)])
@pytest.mark.parametrize("radial", [0.0, -0.2])
def test_shadow_falls_where_the_sun_sends_it(slope: tuple[float, float], radial: float) -> None:
    camera = from_above(radial=np.array([radial, 0, 0]), tangential=np.array([0.01, -0.01]) * (radial < 0))
    dark = shade(slab(1.0, (0.3, 1.0, 0.2)), camera, sunlight(slope))
    foot = np.array([0.3 - slope[0], 0, 0.2 - slope[1]])
    np.testing.assert_allclose(middle_of(dark), camera.project(foot), atol=1.0)
    assert dark.max() == pytest.approx(0.6, abs=0.03)
    side = 150.0 / 6
    assert 0.85 * side**2 < (dark > 0.3).sum() < 1.15 * side**2


def test_only_what_is_near_the_floor_keeps_the_skys_light_off() -> None:
    def darkest(height: float) -> float:
        shadow = Shadow(np.array([0.0, 1, 0]), 0.0, 0.5, 0.0, WIDE)
        return float(shade(slab(1.0, (0, height, 0)), from_above(), shadow).max())

    assert darkest(0.02) > 0.4 > darkest(0.3) > 0.05
    assert darkest(2.0) == 0


def test_shadow_ends_at_the_walls() -> None:
    camera = from_above()
    dark = shade(slab(1.0, (0, 1, 0)), camera, sunlight((0.6, 0), floor=(-0.5, 9, -9, 9)))
    x = np.nonzero(dark > 0.3)[1]
    wall, end = camera.project(np.array([[-0.5, 0, 0], [-0.1, 0, 0]]))[:, 0]
    assert abs(x.min() - wall) <= 2 and abs(x.max() - end) <= 2


def test_no_shadow_from_behind_the_camera() -> None:
    level = Camera(np.diag([1.0, -1, -1]), np.array([0, 1.5, 0]), np.full(2, 150.0), np.full(2, 96.0))
    assert shade(slab(1.0, (0, 1, 5)), level, sunlight((0.3, 0), 0.5)).max() == 0
    dark = shade(slab(1.0, (0, 1, -5)), level, sunlight((0.3, 0), 0.5))
    assert dark.max() > 0.3 and dark[:96].max() == 0


def test_nothing_gets_brighter() -> None:
    image = rng().integers(0, 256, (SIZE, SIZE + 7, 3)).astype(np.uint8)
    before = image.copy()
    shaded(image, [slab(2.0, (0.2, 0.3, 0)), slab(0.5, (1, 0.1, 1))], from_above(), sunlight((0.3, 0.1), 0.5))
    assert (image <= before).all() and (image < before).any()
