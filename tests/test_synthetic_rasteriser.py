"""The rasteriser draws surfaces where geometry says that they are."""

from __future__ import annotations

import numpy as np
import pytest

from poseact.data.synthetic.rasteriser import (
    BACKGROUND,
    CHECKS,
    COLOURS,
    NEAR,
    OTHER,
    PERSON,
    SAMPLES,
    Light,
    Materials,
    Surface,
    cuboid,
    faceted,
    join,
    plain_materials,
    render,
    z_buffer,
)
from poseact.geometry import Camera

SIZE = 64
BLACK = np.zeros((SIZE, SIZE, 3), np.uint8)
EVEN = Light(np.zeros((1, 3)), np.zeros((1, 3)), np.ones(3), np.ones(3))
"""Shows every surface in its own colour."""
WHITE = plain_materials(np.ones((1, 3)))


def camera(focal: float = 60.0, distance: float = 4.0, centre: tuple[float, float] = (31.5, 31.5)) -> Camera:
    """Looks along -z from (0, 0, distance)."""
    return Camera(
        np.diag([1.0, -1, -1]), np.array([0, 0, distance]), np.full(2, focal), np.array(centre, float)
    )


def solid(vertices: np.ndarray, triangles: np.ndarray, materials: Materials = WHITE) -> Surface:
    return faceted(vertices, triangles, materials, np.zeros(len(triangles), int))


def box(size: tuple[float, float, float], at: tuple[float, float, float] = (0, 0, 0)) -> Surface:
    vertices, triangles = cuboid(np.array(size))
    return solid(vertices + at, triangles)


def sphere(radius: float, at: tuple[float, float, float], rings: int = 120) -> Surface:
    up, around = np.meshgrid(
        np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, 2 * rings), indexing="ij"
    )
    points = np.stack([np.sin(up) * np.sin(around), np.cos(up), np.sin(up) * np.cos(around)], -1)
    a = (np.arange(rings - 1)[:, None] * 2 * rings + np.arange(2 * rings - 1)).ravel()
    b, c, d = a + 2 * rings, a + 2 * rings + 1, a + 1
    return solid(
        points.reshape(-1, 3) * radius + at, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    )


def soup(rng: np.random.Generator, count: int) -> Surface:
    """Random triangles about the camera's path, some of them behind it."""
    middle = rng.normal((0, 0, 1), 1.5, (count, 1, 3))
    corners = middle + rng.normal(0, 0.6, (count, 3, 3))
    return solid(corners.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3))


def rays(lens: Camera, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Directions (..., 3) in camera axes with z = 1."""
    return np.stack(
        [(x - lens.centre[0]) / lens.focal[0], (y - lens.centre[1]) / lens.focal[1], x * 0 + 1], -1
    )


def cast(surface: Surface, lens: Camera, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The slow reference: nearest front-facing triangle (or -1) and its depth along pixels ``x``, ``y``."""
    a, b, c = np.moveaxis(lens.to_camera(surface.vertices)[surface.triangles], 1, 0)
    ray = rays(lens, x, y)[:, None]
    normal = np.cross(b - a, c - a)
    facing = (normal * ray).sum(-1)
    depth = (normal * a).sum(-1) / np.where(facing == 0, 1, facing)
    point = ray * depth[..., None]
    inside = facing < 0
    for start, end in ((a, b), (b, c), (c, a)):
        inside &= (np.cross(end - start, point - start) * normal).sum(-1) >= 0
    depth = np.where(inside & (depth > NEAR), depth, np.inf)
    owner = depth.argmin(1)
    nearest = depth[np.arange(len(x)), owner]
    return np.where(np.isfinite(nearest), owner, -1), nearest


# --- where things are -----------------------------------------------------------------------


def test_box_has_exact_place_and_depth() -> None:
    # The front face lies 3.5 m away and spans pixels 31.5 +- 60 * 0.7 / 3.5 = 19.5 .. 43.5.
    seen = render([box((1.4, 1.4, 1))], camera(), EVEN, BLACK)
    inside = np.zeros((SIZE, SIZE), bool)
    inside[20:44, 20:44] = True
    np.testing.assert_array_equal(seen.segmentation == OTHER, inside)
    np.testing.assert_allclose(seen.depth[inside], 3.5, atol=1e-4)
    assert np.isinf(seen.depth[~inside]).all() and (seen.segmentation[~inside] == BACKGROUND).all()
    assert (seen.image[inside] == 255).all() and (seen.image[~inside] == 0).all()


def test_depth_of_a_slanted_face_is_exact_at_pixel_centres() -> None:
    corners = np.array([[-1.0, -1, 0.8], [1, -1, -0.9], [1.1, 1, -0.5], [-1, 1, 1.2]])
    corners[3] = corners[0] + corners[2] - corners[1]  # flat
    surface = solid(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    lens = camera()
    seen = render([surface], lens, EVEN, BLACK)
    row, column = np.nonzero(np.isfinite(seen.depth))
    owner, depth = cast(surface, lens, column.astype(float), row.astype(float))
    whole = owner >= 0
    assert whole.sum() > 500
    np.testing.assert_allclose(seen.depth[row, column][whole], depth[whole], atol=1e-4)


def test_sphere_has_exact_outline_and_depth() -> None:
    lens, radius = camera(), 0.8
    seen = render([sphere(radius, (0.2, -0.1, 0.3))], lens, EVEN, BLACK)
    centre = lens.to_camera(np.array([0.2, -0.1, 0.3]))
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    ray = rays(lens, x, y)
    along = (ray * centre).sum(-1) / (ray**2).sum(-1)
    miss = ((ray * along[..., None] - centre) ** 2).sum(-1)
    depth = along - np.sqrt(np.maximum(radius**2 - miss, 0) / (ray**2).sum(-1))
    inner = miss < (0.85 * radius) ** 2
    np.testing.assert_allclose(seen.depth[inner], depth[inner], atol=3e-3)
    assert np.isfinite(seen.depth[miss < (0.985 * radius) ** 2]).all()
    assert np.isinf(seen.depth[miss > (1.03 * radius) ** 2]).all()


@pytest.mark.parametrize(
    ("shift", "gone"), [(0.0, 0), (0.2, 0), (0.3, 0.5), (0.5, 0.5), (0.7, 0.5), (0.8, 1), (1.0, 1)]
)
def test_sub_pixel_shifts_move_the_coverage(shift: float, gone: float) -> None:
    # The samples lie at quarters of a pixel, so a column at the edge is covered by halves.
    seen = render([box((1.4, 1.4, 1))], camera(centre=(31.5 + shift, 31.5)), EVEN, BLACK)
    row = seen.image[32, :, 0] / 255
    assert row.sum() == pytest.approx(24, abs=0.01)
    assert row[20] == pytest.approx(1 - gone, abs=0.01) and row[44] == pytest.approx(gone, abs=0.01)


def test_ray_casting_agrees_on_the_owner() -> None:
    hits = total = 0
    for seed in range(5):
        surface, lens = soup(np.random.default_rng(seed), 60), camera(distance=3.0)
        nearest, owner, _, left, top = z_buffer(surface, lens, SIZE, SIZE)
        v, u = np.mgrid[: owner.shape[0], : owner.shape[1]]
        x, y = ((n.ravel() + first + 0.5) / SAMPLES - 0.5 for n, first in ((u, left), (v, top)))
        expected, depth = cast(surface, lens, x, y)
        same = expected == owner.ravel()
        hits, total = hits + same.sum(), total + same.size
        seen = same & (expected >= 0)
        np.testing.assert_allclose(1 / nearest.ravel()[seen], depth[seen], rtol=1e-5)
    assert hits / total >= 0.999


def test_a_floor_under_the_camera_reaches_to_the_horizon() -> None:
    far = 1e3
    corners = np.array([[-far, 0, -far], [-far, 0, far], [far, 0, far], [far, 0, -far]])
    floor = solid(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    lens = Camera(np.diag([1.0, -1, -1]), np.array([0, 1.5, 0]), np.full(2, 60.0), np.full(2, 31.5))
    seen = render([floor], lens, EVEN, BLACK)
    assert np.isinf(seen.depth[:32]).all()
    rows = np.arange(33, SIZE)
    np.testing.assert_allclose(seen.depth[33:, 10], 1.5 * 60 / (rows - 31.5), rtol=1e-4)


def test_the_nearer_surface_wins_and_keeps_its_label() -> None:
    person = box((1, 1, 1))
    person.label[:] = PERSON
    front = box((0.3, 0.3, 0.3), (0.3, 0, 1))
    for order in ([person, front], [front, person]):
        seen = render(order, camera(), EVEN, BLACK)
        x, y = np.round(camera().project(np.array([0.3, 0, 1.15]))).astype(int)
        assert seen.segmentation[y, x] == OTHER and seen.depth[y, x] == pytest.approx(2.85, abs=1e-4)
        assert seen.segmentation[32, 24] == PERSON and seen.depth[32, 24] == pytest.approx(3.5, abs=1e-4)


def test_the_inside_is_not_seen() -> None:
    whole = box((1, 1, 1))
    inverted = solid(cuboid(np.ones(3))[0], cuboid(np.ones(3))[1][:, ::-1])
    assert np.isfinite(render([whole], camera(), EVEN, BLACK).depth).any()
    # Inside out, it shows its far wall through the near one.
    depth = render([inverted], camera(), EVEN, BLACK).depth
    assert depth.min() > 3.5
    assert depth[32, 32] == pytest.approx(4.5, abs=1e-4)


def test_a_lens_moves_surfaces_as_it_moves_points() -> None:
    lens = Camera(
        np.diag([1.0, -1, -1]), np.array([0, 0, 4.0]), np.full(2, 60.0), np.full(2, 31.5),
        np.array([-0.3, 0.05, 0]), np.array([0.01, -0.02]),
    )  # fmt: skip
    places = [(1.5, 1.2, 0), (-1.6, 0.5, 0), (0.9, -1.4, 0)]
    for place in places:
        seen = render([box((0.12, 0.12, 0.01), place)], lens, EVEN, BLACK)
        row, column = np.nonzero(seen.segmentation)
        weight = seen.image[row, column, 0].astype(float)
        found = np.array([(column * weight).sum(), (row * weight).sum()]) / weight.sum()
        np.testing.assert_allclose(found, lens.project(np.array(place)), atol=0.3)


def test_nothing_in_view_leaves_the_background() -> None:
    background = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    for place in ((30, 0, 0), (0, 0, 9)):
        seen = render([box((1, 1, 1), place)], camera(), EVEN, background)
        assert (seen.image == background).all() and np.isinf(seen.depth).all()


# --- what they look like --------------------------------------------------------------------


def test_patterns_lie_on_the_surface_in_perspective() -> None:
    colours = np.array([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]])
    checks = Materials(colours, np.array([CHECKS]), np.array([0.25]), np.zeros(1), np.zeros(1))
    corners = np.array([[-2.0, -1, 2], [2, -1, 2], [2, -1, -3], [-2, -1, -3]])
    floor = solid(corners, np.array([[0, 1, 2], [0, 2, 3]]), checks)
    lens = camera()
    seen = render([floor], lens, EVEN, BLACK)
    row, column = np.nonzero(seen.image.max(-1) == 255)  # no edge of the pattern within the pixel
    points = lens.back_project(
        np.column_stack([column, row]).astype(float), seen.depth[row, column].astype(float)
    )
    along = floor.cloth - floor.vertices[:, [0, 2]] * [1, -1]
    assert np.ptp(along, axis=0) == pytest.approx([0, 0])  # the cloth coordinates are x and -z
    u, v = (points[:, [0, 2]] * [1, -1] + along[0]).T
    expected = np.floor(u / 0.25) % 2 + np.floor(v / 0.25) % 2
    assert len(row) > 300
    assert np.mean(seen.image[row, column].argmax(-1) == expected) > 0.97


def test_light_shades_by_the_angle() -> None:
    sun = Light(np.array([[0, 0, 1.0]]), np.full((1, 3), 0.6), np.full(3, 0.3), np.full(3, 0.1))
    material = plain_materials(np.full((1, 3), 0.5))
    material.gloss[:] = 0
    vertices, triangles = cuboid(np.ones(3))
    cube = solid(vertices, triangles, material)
    assert render([cube], camera(), sun, BLACK).image[32, 32, 0] == round(255 * 0.5 * (0.2 + 0.6))
    turn = np.array([[1, 0, 0], [0, np.cos(1), -np.sin(1)], [0, np.sin(1), np.cos(1)]])
    tilted = solid(vertices @ turn.T, triangles, material)
    seen = render([tilted], camera(), sun, BLACK)
    # After the turn by 1 rad the front looks down, and the top to the camera.
    top = 0.1 + 0.2 * (0.5 + 0.5 * np.cos(1)) + 0.6 * np.sin(1)
    front = 0.1 + 0.2 * (0.5 - 0.5 * np.sin(1)) + 0.6 * np.cos(1)
    values = set(seen.image[20:44, 32, 0].tolist())
    assert {round(255 * 0.5 * top), round(255 * 0.5 * front)} <= values


def test_gloss_brightens_towards_the_mirror_direction_only() -> None:
    sun = Light(np.array([[0, 0, 1.0]]), np.full((1, 3), 0.5), np.full(3, 0.2), np.full(3, 0.2))
    dull, shiny = plain_materials(np.full((1, 3), 0.4)), plain_materials(np.full((1, 3), 0.4))
    dull.gloss[:], shiny.gloss[:] = 0, 0.3
    ball = sphere(0.8, (0, 0, 0))
    images = []
    for material in (dull, shiny):
        surface = Surface(**(vars(ball) | {"materials": material, "normals": ball.vertices}))
        images.append(render([surface], camera(), sun, BLACK).image.astype(int))
    gain = (images[1] - images[0])[..., 0]
    assert gain[31:33, 31:33].min() > 25 and gain[32, 22] < 3


def test_join_keeps_materials_and_triangles() -> None:
    red, blue = (plain_materials(np.array([c])) for c in ([1.0, 0, 0], [0, 0, 1.0]))
    vertices, triangles = cuboid(np.full(3, 0.6))
    left, right = (
        solid(vertices - [0.5, 0, 0], triangles, red),
        solid(vertices - [-0.5, 0, 0], triangles, blue),
    )
    both = render([left, right], camera(), EVEN, BLACK)
    whole = render([join([left, right])], camera(), EVEN, BLACK)
    assert (both.image == whole.image).all()
    assert tuple(both.image[32, 22]) == (255, 0, 0) and tuple(both.image[32, 41]) == (0, 0, 255)


def test_cuboids_face_outwards() -> None:
    surface = box((1, 2, 3))
    assert ((surface.normals * surface.vertices).sum(-1) > 0).all()
    assert surface.materials.colours.shape == (1, COLOURS, 3)


@pytest.mark.parametrize(
    ("surfaces", "shape"), [([box((1, 1, 1))], (8, 8)), ([box((1, 1, 1))], (8, 8, 4)), ([], (8, 8, 3))]
)
def test_impossible_arguments_are_told(surfaces: list[Surface], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(H, W, 3\)"):
        render(surfaces, camera(), EVEN, np.zeros(shape, np.uint8))
