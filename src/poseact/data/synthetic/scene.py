"""A video's scene: camera, light, background and what stands in the way; all but the person.

`random_scene` draws it around the joints of a whole clip, so that the camera sees them;
`Scene.picture` then makes one frame from the posed person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from poseact.data.synthetic.background import Backdrop, Room, random_room
from poseact.data.synthetic.effects import Flaws, Shadow, averaged, photographed, random_flaws, shaded
from poseact.data.synthetic.placing import cross, smoothstep, turn, unit
from poseact.data.synthetic.rasteriser import (
    BLOTCHES,
    CHECKS,
    DOTS,
    OTHER,
    PLAIN,
    RINGS,
    STRIPES,
    Light,
    Materials,
    Rendering,
    Surface,
    cuboid,
    faceted,
    plain_materials,
    render,
)
from poseact.data.synthetic.skinning import grid_triangles, onto
from poseact.data.synthetic.wardrobe import pick
from poseact.geometry import Camera
from poseact.skeleton import FIGURE36

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
Image = npt.NDArray[np.uint8]

_UP = np.array([0.0, 1.0, 0.0])
SLOW_SHUTTER = 3
"""Instants of a frame where the shutter is slow."""
_SLOW_SHARE, _OCCLUDED_SHARE, _CUT_OFF_SHARE, _CLUTTER_SHARE = 1 / 8, 0.27, 0.12, 0.2
_LOWEST = 0.1
"""Metres above the floor that no camera goes below."""
_HIDDEN = 0.3
"""The share of the person that all that stands in the way may hide on average."""
_COVERED = 0.15
"""The share of the picture that one thing may cover."""
_CANVAS = 640
"""The longer side in pixels of the drawn background, at most."""
_ALONG_BONES = np.array(
    [[FIGURE36.index(a), FIGURE36.index(end)] for a, b in FIGURE36.edges for end in (a, b)]
)
"""Pairs of joints whose middles, and themselves, stand for the body."""
_WIDEST = 3.0
"""How far from its axis the drawn background reaches, as a tangent; beyond it is mirrored."""


@dataclass(frozen=True)
class Scene:
    """Everything of one video but the person.

    - ``size``: height and width in pixels.
    - ``cameras``: that of each frame, of the full-size picture; ``instants``: how many poses a frame is
      made of, spread over the time that the shutter is open, the frame's own in the middle.
    - ``light``, ``shadow``, ``occluders``, ``backdrop``, ``flaws``: what is seen, and how.
    - ``seed``: of each frame's noise.
    """

    size: tuple[int, int]
    cameras: tuple[Camera, ...]
    instants: int
    light: Light
    shadow: Shadow
    occluders: tuple[Surface, ...]
    backdrop: Backdrop
    flaws: Flaws
    seed: int
    _made: dict[object, Image] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Backgrounds drawn so far: the backdrop, and its view of a camera that stands still."""

    def camera(self, frame: int) -> Camera:
        """The camera of ``frame`` (of the full-size picture); raises ``IndexError`` where there is none."""
        if not 0 <= frame < len(self.cameras):
            raise IndexError(f"scene: expected a frame in [0, {len(self.cameras)}), got {frame}")
        return self.cameras[frame]

    def picture(self, frame: int, surfaces: Sequence[Surface], reduction: int = 1) -> Rendering:
        """The finished ``frame``: RGB with all the camera's flaws, exact depth and segmentation.

        ``surfaces``: the posed person at one or more instants while the shutter is open, in order;
        depth and segmentation are those of the middle one. ``reduction`` (1, 2, 4 or 8) draws the
        picture smaller: its pixel x covers pixels r x to r x + r - 1 of the full one.
        Raises ``ValueError`` where there is no surface or the reduction is another.
        """
        if not surfaces or reduction not in (1, 2, 4, 8):
            raise ValueError(
                f"expected surfaces and a reduction 1, 2, 4, 8, got {len(surfaces)}, {reduction}"
            )
        camera = reduced(self.camera(frame), reduction)
        middle = len(surfaces) // 2
        behind = self._view(camera, reduction)
        standing = [(each.vertices, each.triangles) for each in (surfaces[middle], *self.occluders)]
        shaded(behind, standing, camera, self.shadow)
        seen = [render([surface, *self.occluders], camera, self.light, behind) for surface in surfaces]
        blurred = averaged([each.image for each in seen])
        rng = np.random.default_rng((self.seed, frame))
        return replace(seen[middle], image=photographed(blurred, self.flaws, rng))

    def _view(self, camera: Camera, reduction: int) -> Image:
        """The background (H, W, 3) that ``camera``, already reduced, sees; a new array."""
        still = self.cameras[0] is self.cameras[-1]
        if still and reduction in self._made:
            return self._made[reduction].copy()
        height, width = (-(-n // reduction) for n in self.size)
        lens, level = self.backdrop.lens, 1
        while lens.focal[0] / level >= 1.7 * camera.focal[0] and level < 8:
            level *= 2  # averaged down, against aliasing
        warp = _between(camera, reduced(lens, level), self.backdrop.distance)
        warped = cv2.warpPerspective(
            self._canvas(level), warp, (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
        view = np.asarray(cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB), np.uint8)
        if still:
            self._made[reduction] = view.copy()
        return view

    def _canvas(self, level: int) -> Image:
        """The drawn background, reduced by ``level``; four channels, which OpenCV warps faster than three."""
        key = ("canvas", level)
        if key not in self._made:
            if level == 1:
                drawn = cv2.cvtColor(self.backdrop.draw(), cv2.COLOR_RGB2RGBA)
            else:
                height, width = (-(-n // level) for n in self.backdrop.size)
                drawn = cv2.resize(self._canvas(1), (width, height), interpolation=cv2.INTER_AREA)
            self._made[key] = np.asarray(drawn, np.uint8)
        return self._made[key]


def reduced(camera: Camera, reduction: int) -> Camera:
    """The camera of the picture whose pixel x covers pixels r x to r x + r - 1 of the full one."""
    if reduction == 1:
        return camera
    return replace(camera, focal=camera.focal / reduction, centre=(camera.centre + 0.5) / reduction - 0.5)


def random_scene(
    rng: np.random.Generator,
    joints: npt.NDArray[np.floating],
    size: tuple[int, int],
    photographs: Sequence[Path] = (),
    camera: Camera | None = None,
) -> Scene:
    """A scene for a person whose joints of `skeleton.FIGURE36` move as ``joints`` (F, 36, 3), metres, world.

    ``size``: height and width of the pictures. ``photographs``: files, one of which becomes the
    background. ``camera``: used as it is, fixed; else one is drawn that sees the person in every frame.
    Raises ``ValueError`` on arrays of another shape and on pictures under 16 pixels.
    """
    at: FloatArray = np.asarray(joints, np.float64)
    if at.ndim != 3 or at.shape[1:] != (len(FIGURE36.joints), 3) or not len(at):
        raise ValueError(f"expected joints (F, {len(FIGURE36.joints)}, 3), got {at.shape}")
    if min(size) < 16:
        raise ValueError(f"expected pictures of 16 x 16 pixels or more, got {size}")
    cameras = (camera,) * len(at) if camera is not None else _random_cameras(rng, at, size)
    inside = rng.random() < 0.55
    people = np.concatenate([at.reshape(-1, 3), np.stack([each.position for each in cameras])])
    room = random_room(rng, people, inside)
    light, shadow = _random_light(rng, cameras[0], room)
    occluders = _random_occluders(rng, at, cameras, size) if rng.random() < _OCCLUDED_SHARE else ()
    lens, canvas = _canvas_lens(cameras, size)
    photograph = pick(rng, photographs) if photographs else None
    depth = lens.to_camera(at)[..., 2]
    return Scene(
        size=(int(size[0]), int(size[1])),
        cameras=cameras,
        instants=SLOW_SHUTTER if rng.random() < _SLOW_SHARE else 1,
        light=light,
        shadow=shadow,
        occluders=occluders,
        backdrop=Backdrop(
            kind="clutter" if rng.random() < _CLUTTER_SHARE else "place",
            seed=int(rng.integers(1 << 62)),
            lens=lens,
            size=canvas,
            room=room,
            light=light,
            shadow=shadow,
            beyond=float(depth.max()) + 0.3,
            distance=max(1.0, float(depth.mean())),
            photograph=photograph,
        ),
        flaws=random_flaws(rng),
        seed=int(rng.integers(1 << 62)),
    )


# --- the camera ---------------------------------------------------------------------------


def _random_cameras(
    rng: np.random.Generator, joints: FloatArray, size: tuple[int, int]
) -> tuple[Camera, ...]:
    """A camera for each frame, still, shaken, following or zooming; the person is in the picture."""
    frames = len(joints)
    middles = (joints.min(1) + joints.max(1)) / 2
    target = (middles.min(0) + middles.max(0)) / 2
    follows = _travels(joints, middles) and rng.random() < 0.8
    position, away = _standpoint(rng, joints, middles, target)
    moves = "still" if frames == 1 else pick(rng, ("still", "hand", "zoom", "dolly"), (0.45, 0.3, 0.13, 0.12))
    t = np.linspace(-0.5, 0.5, frames) if frames > 1 else np.zeros(1)
    positions = np.tile(position, (frames, 1))
    zoom = np.ones(frames)
    if moves == "dolly":
        step = rng.uniform(-0.5, 0.5) * away + rng.normal(0, 0.2) * cross(_UP, away)
        positions = positions + smoothstep(t, -0.6, 0.6)[:, None] * step
    elif moves == "zoom":
        zoom = np.exp(np.log(rng.uniform(0.75, 1.33)) * (smoothstep(t, -0.6, 0.6) - 0.5))
    aims = _smoothed(middles, 15) if follows else np.tile(target, (frames, 1))
    angles = np.tile([0.0, 0.0, np.deg2rad(rng.normal(0, pick(rng, (1.5, 6.0), (0.7, 0.3))))], (frames, 1))
    if moves == "hand" or (follows and frames > 1):
        strength = rng.uniform(0.1, 1.0)
        angles += np.deg2rad(0.5 * strength) * _shake(rng, frames)
        positions = positions + 0.015 * strength * _shake(rng, frames)
    positions[:, 1] = np.maximum(positions[:, 1], _LOWEST)
    rotations = _looking(aims - positions, angles)
    return _framed(rng, joints, size, rotations, positions, zoom, follows)


def _travels(joints: FloatArray, middles: FloatArray) -> bool:
    """Whether the person goes further than about its own height."""
    tall = float((joints.max(1) - joints.min(1)).max(1).mean())
    return bool(np.ptp(middles[:, [0, 2]], axis=0).max() > 0.7 * tall)


def _standpoint(
    rng: np.random.Generator, joints: FloatArray, middles: FloatArray, target: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Where the camera stands, (3,), and the level direction from the person to it, (3,).

    Mostly in the person's front half, but everywhere occurs; in front of every joint.
    """
    hips = joints[:, FIGURE36.index("left_hip")] - joints[:, FIGURE36.index("right_hip")]
    facing = cross(hips, _UP).mean(0)
    front = np.arctan2(facing[0], facing[2])
    azimuth = front + (rng.normal(0, np.deg2rad(50)) if rng.random() < 0.6 else rng.uniform(-np.pi, np.pi))
    away = np.array([np.sin(azimuth), 0, np.cos(azimuth)])
    across = np.array([away[2], 0, -away[0]])
    distance = float(np.exp(rng.uniform(np.log(2.2), np.log(9))))
    distance = max(distance, 0.8 * float(np.ptp(middles @ across)))
    level = distance + float(((joints - target) @ away).max())
    height = pick(
        rng, (rng.normal(1.4, 0.3), rng.uniform(2.4, 4.5), rng.uniform(0.15, 0.8)), (0.7, 0.16, 0.14)
    )
    position = target + level * away
    position[1] = np.clip(height, 2 * _LOWEST, target[1] + 1.1 * level)
    return position, away


def _smoothed(path: FloatArray, frames: int) -> FloatArray:
    """The path (F, 3) as somebody follows it who looks about ``frames`` frames back and ahead."""
    if len(path) == 1:
        return path
    kernel = np.hanning(2 * frames + 3)[1:-1]
    padded = np.pad(path, ((frames, frames), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, kernel / kernel.sum(), "valid") for column in padded.T], 1)


def _shake(rng: np.random.Generator, frames: int) -> FloatArray:
    """Smooth movement (F, 3) about 0 with a standard deviation of about 1, a few waves of each."""
    periods = rng.uniform(12, 70, (4, 3))
    phases = rng.uniform(0, 2 * np.pi, (4, 3))
    waves = np.sin(2 * np.pi * np.arange(frames)[:, None, None] / periods + phases)
    return np.asarray((waves * periods / 40).sum(1) / np.sqrt(2))


def _looking(directions: FloatArray, angles: FloatArray) -> FloatArray:
    """Rotations (F, 3, 3) of cameras that look along ``directions`` (F, 3).

    They are then turned in their own axes by ``angles`` (F, 3): pitch, yaw, roll in radians.
    """
    forward = unit(directions)
    right = unit(cross(forward, _UP))
    level = np.stack([right, cross(forward, right), forward], 1)
    degrees = np.rad2deg(angles)
    return np.asarray(turn(degrees[:, 0], degrees[:, 1], degrees[:, 2]) @ level)


def _framed(
    rng: np.random.Generator, joints: FloatArray, size: tuple[int, int], rotations: FloatArray,
    positions: FloatArray, zoom: FloatArray, follows: bool,
) -> tuple[Camera, ...]:  # fmt: skip
    """Focal length, aim and optical centre so that the person fills a good part of the picture."""
    shape = np.array([size[1], size[0]], float)
    low, high = _extents(joints, rotations, positions)
    alone = (high - low).mean(0)
    if follows:
        extent, middle = alone, ((low + high) / 2).mean(0)
        # Whoever follows keeps the person about as large.
        across = (high - low).max(1)
        zoom = zoom * (across.mean() / _smoothed(across[:, None], 15)[:, 0]) ** rng.uniform(0.5, 1)
    else:
        low, high = low.min(0), high.max(0)
        extent, middle = high - low, (low + high) / 2
    # Whoever crosses a picture that stands still would leave it.
    cut_off = rng.random() < _CUT_OFF_SHARE and bool((extent < 1.5 * alone).all())
    share = rng.uniform(0.95, 1.2) if cut_off else rng.uniform(0.5, 0.88)
    focal = share / float((extent / shape).max())
    filled = focal * extent / shape
    play = np.where(cut_off, 0.15, 0.42 * np.maximum(0.94 - filled, 0.02))
    shift = rng.uniform(-play, play) * shape
    centre = (shape - 1) / 2
    if rng.random() < 0.5:  # cut out of a larger picture: the optical axis is not its centre
        centre = centre + shift - focal * middle
    else:
        aside = onto([*(shift / focal), 1.0], unit(np.array([*middle, 1.0])).tolist())
        rotations = aside @ rotations
    cameras = []
    for rotation, position, factor in zip(rotations, positions, zoom, strict=True):
        cameras.append(Camera(rotation, position, np.full(2, focal * factor), centre))
    still = np.ptp(zoom) == 0 and not np.ptp(positions, axis=0).any() and not np.ptp(rotations, axis=0).any()
    return (cameras[0],) * len(cameras) if still else tuple(cameras)


def _extents(
    joints: FloatArray, rotations: FloatArray, positions: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Least and greatest x / z and y / z of each frame's joints in its camera, (F, 2) each."""
    seen = (joints - positions[:, None]) @ np.swapaxes(rotations, 1, 2)
    flat = seen[..., :2] / seen[..., 2:]
    return flat.min(1), flat.max(1)


# --- light --------------------------------------------------------------------------------


def _random_light(rng: np.random.Generator, camera: Camera, room: Room) -> tuple[Light, Shadow]:
    """Sun or lamp with a fill light, mostly from the camera's side, and the shadows that they cast."""
    towards = -camera.rotation[2]
    azimuth = np.arctan2(towards[0], towards[2]) + rng.normal(0, np.deg2rad(75))
    elevation = np.deg2rad(rng.uniform(28, 80))
    sun = np.array([
        np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)
    ])  # fmt: skip
    fill = unit(towards + rng.normal(0, 0.6, 3) + [0, 0.5, 0])
    hard = rng.uniform(0.35, 0.9) if not room.roofed and rng.random() < 0.6 else rng.uniform(0.05, 0.4)
    warm = 1 + rng.uniform(-0.1, 0.14) * np.array([1, 0.15, -1.0])
    cold = 2 - warm
    brightness = rng.uniform(0.85, 1.15)
    sky = (0.95 - 0.65 * hard) * brightness * cold
    light = Light(
        np.stack([sun, fill]),
        brightness * np.stack([hard * warm, np.full(3, rng.uniform(0.05, 0.25))]),
        sky,
        sky * rng.uniform(0.35, 0.7) * warm,
    )
    share = hard * sun[1] / (hard * sun[1] + float(sky.mean()) / brightness)
    shadow = Shadow(
        sun, 0.9 * share, rng.uniform(0.5, 0.8), rng.uniform(0.004, 0.012) if hard > 0.35 else 0.03,
        (float(room.low[0]), float(room.high[0]), float(room.low[2]), float(room.high[2])),
    )  # fmt: skip
    return light, shadow


# --- what stands about --------------------------------------------------------------------


def _random_occluders(
    rng: np.random.Generator, joints: FloatArray, cameras: Sequence[Camera], size: tuple[int, int]
) -> tuple[Surface, ...]:
    """One or two things in front of the person or beside, as far as they hide little."""
    found: list[Surface] = []
    for _ in range(int(rng.integers(1, 3))):
        for _ in range(3):
            thing = _random_thing(rng)
            thing = _stood(rng, thing, joints, cameras)
            if (
                _clear_of(thing, joints, cameras)
                and _hidden([*found, thing], joints, cameras) <= _HIDDEN
                and _covered(thing, cameras[len(joints) // 2], size) <= _COVERED
            ):
                found.append(thing)
                break
    return tuple(found)


def _stood(
    rng: np.random.Generator, thing: Surface, joints: FloatArray, cameras: Sequence[Camera]
) -> Surface:
    """``thing`` on the floor, between camera and person or beside the person."""
    frame = int(rng.integers(len(joints)))
    camera, person = cameras[frame].position, joints[frame].mean(0)
    towards = (person - camera) * [1, 0, 1]
    across = unit(cross(_UP, towards))
    if rng.random() < 0.65:
        share = rng.uniform(0.4, 0.85)
        at = camera + share * towards + rng.normal(0, 0.45) * share * across
    else:
        at = (
            person + rng.choice([-1, 1]) * rng.uniform(0.6, 1.6) * across + rng.normal(0, 0.5) * unit(towards)
        )
    turned = turn(y=rng.uniform(0, 360))
    at[1] = 0
    return replace(thing, vertices=thing.vertices @ turned.T + at, normals=thing.normals @ turned.T)


def _clear_of(thing: Surface, joints: FloatArray, cameras: Sequence[Camera]) -> bool:
    """Whether no camera is in the thing or touches it, and no joint is."""
    low, high = thing.vertices.min(0) - 0.25, thing.vertices.max(0) + 0.25
    inside = ((joints > low) & (joints < high)).all(-1).any()
    positions = np.stack([each.position for each in cameras])
    near = ((positions > low - 0.35) & (positions < high + 0.35)).all(-1).any()
    return not (inside or near)


def _hidden(things: Sequence[Surface], joints: FloatArray, cameras: Sequence[Camera]) -> float:
    """The share of the person, along its bones, that ``things`` hide on average over some frames."""
    shares = []
    for frame in {0, len(joints) // 2, len(joints) - 1}:
        points = joints[frame, _ALONG_BONES].mean(1)
        flat, depth = _seen(points, cameras[frame])
        behind = np.zeros(len(points), bool)
        for thing in things:
            outline, far = _seen(_corners(thing), cameras[frame])
            if far.min() < 0.2:
                return 1.0
            behind |= ((flat > outline.min(0)) & (flat < outline.max(0))).all(1) & (depth > far.mean())
        shares.append(behind.mean())
    return float(np.mean(shares))


def _covered(thing: Surface, camera: Camera, size: tuple[int, int]) -> float:
    """The share of the picture inside the thing's bounds."""
    flat = _seen(_corners(thing), camera)[0] / [size[1], size[0]]
    low, high = np.maximum(flat.min(0), 0), np.minimum(flat.max(0), 1)
    return float(np.maximum(high - low, 0).prod())


def _corners(thing: Surface) -> FloatArray:
    """The corners (8, 3) of the thing's bounds."""
    low, high = thing.vertices.min(0), thing.vertices.max(0)
    return np.asarray((low + high) / 2 + cuboid(high - low)[0])


def _seen(points: npt.NDArray[np.floating], camera: Camera) -> tuple[FloatArray, FloatArray]:
    """Pixels (n, 2), about, for the lens's distortion is left out, and depths (n,)."""
    seen = np.asarray(camera.to_camera(points), np.float64)
    return seen[:, :2] / seen[:, 2:] * camera.focal + camera.centre, seen[:, 2]


def _random_thing(rng: np.random.Generator) -> Surface:
    """A post, a box, a bush or something of a person's outline, standing at the origin."""
    colour = rng.uniform(0.05, 0.95) + rng.normal(0, 0.15, 3)
    kind = pick(rng, ("post", "box", "bush", "someone"), (0.25, 0.35, 0.15, 0.25))
    if kind == "box":
        return _box(rng, colour)
    if kind == "post":
        radius, height = rng.uniform(0.03, 0.11), rng.uniform(1.0, 3.5)
        outline = np.array([[0.0, radius], [0.3, radius], [0.6, radius], [1.0, radius], [1.0, 0.0]])
        return _lathe(outline * [height, 1], (1, 1), _patterned(rng, colour[None]), [0] * 4)
    if kind == "bush":
        height, width, up = rng.uniform(0.5, 1.6), rng.uniform(0.25, 0.5), np.linspace(0, 1, 9)
        outline = np.stack([up, np.sqrt(1 - (1.4 * up - 0.4) ** 2) * (1 + 0.15 * np.sin(9 * up))], 1)
        green = rng.uniform([0.05, 0.25, 0.03], [0.4, 0.6, 0.25])
        leaves = _patterned(rng, green[None], BLOTCHES)
        return _lathe(outline * [height, width], (1, rng.uniform(0.7, 1)), leaves, [0] * 8)
    skin = np.array([0.75, 0.55, 0.45]) * rng.uniform(0.3, 1.2)
    colours = np.stack([colour, rng.uniform(0.05, 0.95) + rng.normal(0, 0.15, 3), skin, 0.3 * skin])
    return _lathe(
        _SOMEONE * rng.uniform(1.1, 1.9), (1.1, 0.65), _patterned(rng, colours),
        [0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3],
    )  # fmt: skip


_SOMEONE = np.array([
    [0, 0.10], [0.25, 0.11], [0.48, 0.15], [0.62, 0.17], [0.76, 0.21], [0.815, 0.18], [0.84, 0.06],
    [0.87, 0.07], [0.90, 0.092], [0.94, 0.098], [0.98, 0.07], [1.0, 0.0],
])  # fmt: skip
"""Heights and half widths of someone who stands with arms at the sides, as shares of the height."""


def _box(rng: np.random.Generator, colour: FloatArray) -> Surface:
    size = rng.uniform([0.3, 0.3, 0.25], [1.3, 1.1, 0.8])
    vertices, triangles = cuboid(size)
    for _ in range(2):  # small triangles, which lens distortion may move
        vertices, triangles = _subdivided(vertices, triangles)
    standing = vertices + np.array([0, size[1] / 2, 0])
    return faceted(standing, triangles, _patterned(rng, colour[None]), np.zeros(len(triangles), int))


def _patterned(rng: np.random.Generator, colours: FloatArray, pattern: int | None = None) -> Materials:
    """Materials of base ``colours`` (M, 3), some with a pattern."""
    colours = np.clip(colours, 0.03, 0.97)
    plain = plain_materials(colours)
    plain.colours[:, 1:] = np.clip(plain.colours[:, 1:] + rng.normal(0, 0.15, (len(colours), 1, 3)), 0, 1)
    chosen = [
        pick(rng, (PLAIN, RINGS, STRIPES, CHECKS, DOTS), (0.7, 0.08, 0.08, 0.08, 0.06)) if pattern is None
        else pattern for _ in colours
    ]  # fmt: skip
    return replace(
        plain,
        pattern=np.array(chosen, np.int64),
        period=rng.uniform(0.04, 0.25, len(colours)),
        gloss=np.zeros(len(colours)),
    )


def _subdivided(vertices: FloatArray, triangles: IntArray) -> tuple[FloatArray, IntArray]:
    """Each triangle cut into four at the middles of its sides."""
    corners = vertices[triangles]
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
    whole = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return whole.reshape(-1, 3), np.arange(3 * len(whole), dtype=np.int32).reshape(-1, 3)


def _lathe(
    outline: FloatArray, section: tuple[float, float], materials: Materials, bands: Sequence[int],
    sectors: int = 16,
) -> Surface:  # fmt: skip
    """A round body: ``outline`` (n, 2) heights and radii, rising; ``section`` stretches x and z.

    ``bands`` (n - 1): the material of each ring of faces.
    """
    up, radius = outline.T
    angle = np.linspace(0, 2 * np.pi, sectors + 1)
    s, c = np.sin(angle), np.cos(angle)
    slope = np.gradient(radius) / np.maximum(np.gradient(up), 1e-3)
    grid = (len(up), sectors + 1)
    wide, deep = section
    vertices = np.stack([np.outer(radius, wide * s), np.broadcast_to(up[:, None], grid),
                         np.outer(radius, deep * c)], -1)  # fmt: skip
    normals = np.stack([np.broadcast_to(s / wide, grid), np.broadcast_to(-slope[:, None], grid),
                        np.broadcast_to(c / deep, grid)], -1)  # fmt: skip
    cloth = np.stack(np.broadcast_arrays(angle * radius.max(), up[:, None]), -1)
    triangles, _ = grid_triangles(len(up), sectors, True)
    count = len(triangles)
    return Surface(
        vertices=vertices.reshape(-1, 3),
        normals=np.ascontiguousarray(normals.reshape(-1, 3)),
        cloth=np.ascontiguousarray(cloth.reshape(-1, 2)),
        shade=np.ones(vertices.size // 3),
        folds=np.zeros(vertices.size // 3),
        triangles=np.ascontiguousarray(triangles, np.int32),
        material=np.repeat(np.array(bands, np.int32), count // len(bands)),
        label=np.full(count, OTHER, np.uint8),
        materials=materials,
    )


# --- the background in a moving camera ----------------------------------------------------


def _canvas_lens(cameras: Sequence[Camera], size: tuple[int, int]) -> tuple[Camera, tuple[int, int]]:
    """A camera that sees what all ``cameras`` see, and height and width of its picture."""
    height, width = size
    if cameras[0] is cameras[-1]:
        scale = min(1.0, _CANVAS / max(size))
        only = cameras[0]
        shape = (max(8, round(scale * height)), max(8, round(scale * width)))
        centre = (only.centre + 0.5) * scale - 0.5
        return Camera(only.rotation, only.position, only.focal * scale, centre), shape
    corners = np.array([[x, y] for x in (-0.5, width - 0.5) for y in (-0.5, height - 0.5)])
    rotations, positions, focals, centres = (
        np.stack([getattr(each, name) for each in cameras])
        for name in ("rotation", "position", "focal", "centre")
    )
    forward = rotations[:, 2]
    middle = rotations[int((forward @ forward.mean(0)).argmax())]
    rays = np.concatenate([(corners - centres[:, None]) / focals[:, None], np.ones((len(cameras), 4, 1))], -1)
    seen = rays @ rotations @ middle.T
    flat = np.clip((seen[..., :2] / np.maximum(seen[..., 2:], 0.1)).reshape(-1, 2), -_WIDEST, _WIDEST)
    low, high = flat.min(0), flat.max(0)
    focal = min(float(focals.mean()), _CANVAS / float((high - low).max()))
    wide, tall = np.maximum(np.ceil(focal * (high - low)).astype(int), 8).tolist()
    return Camera(middle, positions.mean(0), np.full(2, focal), -0.5 - focal * low), (tall, wide)


def _between(camera: Camera, canvas: Camera, distance: float) -> FloatArray:
    """The map (3, 3) of ``camera``'s pixels to those of ``canvas``, homogeneous.

    Exact where the camera only turns and zooms; where it moves, at ``distance`` metres in front of the
    canvas's camera.
    """
    forward, step = canvas.rotation[2], camera.position - canvas.position
    moved = np.eye(3) + np.outer(step, forward) / (distance - forward @ step)
    inverse = np.linalg.inv(_pinhole(camera))
    return np.asarray(_pinhole(canvas) @ canvas.rotation @ moved @ camera.rotation.T @ inverse)


def _pinhole(camera: Camera) -> FloatArray:
    """The map (3, 3) of directions in the camera's axes to homogeneous pixels."""
    (wide, tall), (x, y) = camera.focal, camera.centre
    return np.array([[wide, 0, x], [0, tall, y], [0, 0, 1]])
