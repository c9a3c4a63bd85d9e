"""People followed from frame to frame: a new frame costs one crop through the network, whatever T is.

Of each person the poses, visibilities and joint features of the last (T - 1) x stride + 1 frames are kept,
so that the window that ends at frame f, which is f - (T - 1) x stride, ..., f, costs the small action
heads alone. In one box the answers are those of the clip computed whole.

Frames of a file are answered up to eight together, in the box of the first of them. Where the person
leaves that box, the rest of them is done again in the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from poseact import DEFAULT_WEIGHTS
from poseact.data.clips import FPS
from poseact.errors import UserError
from poseact.geometry import Box, FloatArray, crop_transform
from poseact.inference.boxes import (
    LOOK_EVERY,
    PATIENCE,
    SHRUNK,
    Boxes,
    GivenBoxes,
    cut,
    extents,
    find_clip_box,
    goes_on,
    holds,
    leaving,
    nearly_same,
    place_of,
    shows_person,
)
from poseact.inference.device import pick_device
from poseact.inference.predictor import CropAnswers, answer_crops, answering_block, ready, rows_of
from poseact.inference.smoothing import OneEuro, Smoothing
from poseact.inference.source import Frame, Source, open_source
from poseact.inference.space import HEIGHT_M, CameraAssumption, Scale
from poseact.inference.uncertainty import calibration_of
from poseact.network import MultitaskNetwork
from poseact.results import Rows, row_type
from poseact.segments import nearest
from poseact.structures import BoolArray, Image
from poseact.visual.overlay import SHOWN_FROM
from poseact.weights import load_model

GROUP = 8
"""Frames of a file that go through the network together."""
GROUP_BYTES = 64 << 20
"""Of larger frames, fewer are held at a time."""
NOBODY, NO_BOX = "no person", "no box"
FOUND = 1
"""Track id of the person that is found."""
SHORTEST_WAIT = 16
"""Frames from one look that found the same box again to the next, or a window where that is longer."""
State = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Answer:
    """What was answered about one frame.

    - ``frame``: its number, time and image (`source.Frame`).
    - ``rows`` (R,): one for each person, by track id, see `results.row_type`: ``rows["joints"]`` (R, J, 2).
    - ``gap``: why there is nobody in it, in a few words; empty where there is.
    """

    frame: Frame
    rows: Rows
    gap: str = ""


@dataclass(frozen=True)
class Options:
    """How a source is looked at.

    - ``stride``: frames from one frame of a window to the next, >= 1; as the weights were trained where None
      (`trained_stride`).
    - ``blocks``: prediction blocks that run, the last of them answers; all where None.
    - ``precision``: auto, fp32 or bf16. ``smooth``: joints by the One Euro filter, whose lag is stated.
    - ``camera``: what metres rest on.

    Raises `UserError` where a number cannot be that.
    """

    stride: int | None = None
    blocks: int | None = None
    precision: str = "auto"
    smooth: bool = False
    camera: CameraAssumption = field(default_factory=CameraAssumption)

    def __post_init__(self) -> None:
        if self.stride is not None and self.stride < 1:
            raise UserError(f"stride: expected a whole number of frames from 1 on, got {self.stride}")


def predict(
    source: str | Path | int,
    model: str | Path | MultitaskNetwork = DEFAULT_WEIGHTS,
    *,
    boxes: Boxes | Path | str | None = None,
    stride: int | None = None,
    blocks: int | None = None,
    precision: str = "auto",
    smooth: bool = False,
    focal_px: float | None = None,
    height_m: float = HEIGHT_M,
) -> Iterator[Answer]:
    """The answer for each frame of a picture, a folder of them, a video, an address or a camera, one by one.

    ``model``: what `poseact.load_model` takes, or what it answers. ``boxes``: a file of `GivenBoxes`, or any
    callable that takes a frame's number and image and answers ``{track id: Box}``; without, the person is
    found. The rest as in `Options`, and ``focal_px`` and ``height_m`` as in `CameraAssumption`.

        for answer in poseact.predict("video.mp4"):
            answer.frame.image, answer.rows["joints"], answer.rows["action"]

    Raises `UserError` on whatever is wrong with the source, the weights or the arguments.
    """
    options = Options(stride, blocks, precision, smooth, CameraAssumption(focal_px, height_m))
    network = model if isinstance(model, MultitaskNetwork) else load_model(model)
    given = GivenBoxes(Path(boxes)) if isinstance(boxes, str | Path) else boxes
    opened = open_source(source)
    stream = Stream(ready(network, pick_device(), blocks, precision), opened, options, given)
    return chain.from_iterable(stream.answers())


def trained_stride(network: MultitaskNetwork, fps: float, count: int | None = None) -> int:
    """Frames between those of a clip that last as long in a video of ``fps`` as in training.

    A weight file's ``stride`` is the middle one of those it was trained with, in videos of its ``fps`` frames
    a second; 1 where it has none. Smaller in a video of so few frames, ``count``, that no clip would fit.
    """
    metadata = getattr(network, "metadata", {})
    told, rate = str(metadata.get("stride", "")), _number(metadata.get("fps", ""), FPS)
    stride = round(int(told) * fps / rate) if told.isdecimal() else 1
    if count is not None and network.frames:
        stride = min(stride, count // network.frames)
    return max(1, stride)


def _number(text: str, otherwise: float) -> float:
    try:
        return float(text) if 1 <= float(text) <= 1000 else otherwise
    except ValueError:
        return otherwise


class Stream:
    """The people of one source, followed. ``network`` is `ready` and carries its ``layout``.

    Call `add` with the next frames, or take all `answers` of the source. `state` and `restore` stop and go
    on exactly; the answers are the same bits where the frames come in the same groups.
    """

    def __init__(
        self,
        network: MultitaskNetwork,
        source: Source,
        options: Options | None = None,
        boxes: Boxes | None = None,
    ) -> None:
        self.network, self.source, self.boxes = network, source, boxes
        self.options = options or Options()
        self.layout = network.layout
        self.calibration = calibration_of(network, answering_block(network))
        self.kind = row_type(network.joints, network.dim, network.actions)
        self.stride = self.options.stride or trained_stride(network, source.fps, source.count)
        moving = network.actions and not source.stills
        self.window = (network.frames - 1) * self.stride + 1 if moving else 1
        self._people: dict[int, _Person] = {}
        self._seen: set[int] = set()
        self._wait = 0

    def window_at(self, fps: float) -> int:
        """Frames from the first to the last of a window, where so many a second were looked at."""
        return round((self.window - 1) * fps / self.source.fps) + 1 if self.source.live else self.window

    @property
    def group(self) -> int:
        """How many frames go through the network together."""
        width, height = self.source.size
        fitting = max(1, GROUP_BYTES // (3 * width * height))
        return 1 if self.source.live or self.source.stills else min(GROUP, fitting)

    def answers(self, first: int = 0) -> Iterator[list[Answer]]:
        """The answers of the source from frame ``first`` on, by groups of frames."""
        frames = self.source.frames(first)
        while group := list(islice(frames, self.group)):
            yield self.add(group)

    def add(self, frames: Sequence[Frame]) -> list[Answer]:
        """Answer the frames that come next, in order. Of `Source.stills` each is answered by itself."""
        answers: list[Answer] = []
        for start in range(0, len(frames), self.group):
            if self.source.stills:
                self._people, self._seen, self._wait = {}, set(), 0
            group = frames[start : start + self.group]
            answers += self._find(group) if self.boxes is None else self._given(group, self.boxes)
        return answers

    def state(self) -> State:
        """All that `restore` needs to go on after the frames so far."""
        state: State = {
            "wait": np.array(self._wait),
            "seen": np.array(sorted(self._seen), np.int64),
            "people": np.array(sorted(self._people), np.int64),
        }
        for track, person in self._people.items():
            state |= _prefixed(f"{track}.", person.state())
        return state

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a `state` of a stream with the same network and options."""
        self._wait, self._seen = int(state["wait"]), set(state["seen"].tolist())
        self._people = {}
        for track in state["people"].tolist():
            own = _without(f"{track}.", state)
            person = self._people[track] = self._started(Box((0.0, 0.0), 1.0), None, False)
            person.restore(own)

    # --- The person is found -------------------------------------------------------------------

    def _find(self, group: Sequence[Frame]) -> list[Answer]:
        answers: list[Answer] = []
        while rest := group[len(answers) :]:
            frame = rest[0]
            if frame.image is None:
                self._skip()
                answers.append(Answer(frame, self._nobody, frame.reason))
            elif not self._is_followed(frame):
                answers.append(Answer(frame, self._nobody, NOBODY))
            else:
                answers += self._follow(list(takewhile(lambda f: f.image is not None, rest)))
        return answers

    def _is_followed(self, frame: Frame) -> bool:
        """Whether somebody is followed; if not, the whole frame is looked at, every few frames."""
        if not self._people:
            if self._wait:
                self._wait -= 1
                return False
            box = self._look(frame)
            if box is None:
                self._wait = LOOK_EVERY - 1
                return False
            self._people[FOUND] = self._started(box, None, FOUND in self._seen)
            self._seen.add(FOUND)
        return True

    def _look(self, frame: Frame) -> Box | None:
        """The box of the window that begins here: of its first, middle and last frame (P 5.2)."""
        assert frame.image is not None
        images: list[Image] = [frame.image]
        if self.network.actions and self.source.ahead is not None:
            if find_clip_box(self.network, images) is None:
                return None  # reading ahead costs far more than a look
            for steps in (self.network.frames // 2, self.network.frames - 1):
                image = self.source.ahead(frame.number + steps * self.stride)
                images += [] if image is None else [image]
        return find_clip_box(self.network, images)

    def _follow(self, run: Sequence[Frame]) -> list[Answer]:
        """The answers of frames in the person's box, up to the one where it leaves that."""
        person = self._people[FOUND]
        answers = self._through([(frame, person) for frame in run])
        if person.extent is None:
            person.extent = float(extents(answers)[0])
            if np.isfinite(person.place).all() and not goes_on(person.place, place_of(answers, person.box)):
                person.scale = self._scale()  # somebody else, or from farther away
                if person.smoother is not None:
                    person.smoother.restart()
        stays = 0
        for frame, left in zip(run, leaving(answers, person.extent).tolist(), strict=True):
            person.away = person.away + 1 if left else 0
            person.wait = max(0, person.wait - 1)
            if person.away >= PATIENCE and not person.wait and self._moves(person, frame):
                break
            stays += 1
        if not stays:
            return []
        answers = answers[:stays]
        shown = shows_person(answers)
        rows = self._rows(FOUND, person, run[:stays], answers, shown)
        return [
            Answer(frame, rows[k : k + 1], "") if shown[k] else Answer(frame, self._nobody, NOBODY)
            for k, frame in enumerate(run[:stays])
        ]

    def _moves(self, person: _Person, frame: Frame) -> bool:
        """Find the person again; False where its box is nearly the same, and therefore kept."""
        box = self._look(frame)
        if box is None:
            self._people, self._wait = {}, LOOK_EVERY
        elif nearly_same(person.box, box):
            person.away, person.wait = 0, max(SHORTEST_WAIT, self.window)
            return False
        else:
            self._people[FOUND] = self._started(box, person, True)
        return True

    # --- Boxes are given -------------------------------------------------------------------------

    def _given(self, group: Sequence[Frame], boxes: Boxes) -> list[Answer]:
        runs = self._runs(group, boxes)
        rows: list[list[Rows]] = [[] for _ in group]
        wanted = [(group[i], run.person) for run in runs for i in run.frames]
        answers = self._through(wanted) if wanted else None
        done = 0
        for run in runs:
            if not run.frames or answers is None:
                run.person.skip()
                continue
            part = answers[done : done + len(run.frames)]
            done += len(run.frames)
            shown = np.ones(len(part), np.bool_)
            own = self._rows(run.track, run.person, [group[i] for i in run.frames], part, shown)
            for k, i in enumerate(run.frames):
                rows[i].append(own[k : k + 1])
        return [self._given_answer(frame, own) for frame, own in zip(group, rows, strict=True)]

    def _given_answer(self, frame: Frame, rows: list[Rows]) -> Answer:
        if not rows:
            return Answer(frame, self._nobody, frame.reason or NO_BOX)
        together = np.concatenate(rows)
        return Answer(frame, together[together["person"].argsort(kind="stable")])

    def _runs(self, group: Sequence[Frame], boxes: Boxes) -> list[_Run]:
        """The frames of each person in one box; a run without frames stands for one that cannot be read."""
        runs: list[_Run] = []
        going: dict[int, _Run] = {}
        for i, frame in enumerate(group):
            if frame.image is None:
                runs += [_Run(track, person, []) for track, person in self._people.items()]
                going = {}
                continue
            given = _checked(boxes(frame.number, frame.image))
            self._people = {track: person for track, person in self._people.items() if track in given}
            going = {track: run for track, run in going.items() if track in given}
            for track, box in given.items():
                before = self._people.get(track)
                if before is None or not self._still_in(before.box, track, frame.number, box):
                    kept = self._kept_box(track, frame.number, box)
                    self._people[track] = self._started(kept, before, track in self._seen)
                    self._seen.add(track)
                    going.pop(track, None)
                if track not in going:
                    going[track] = _Run(track, self._people[track], [])
                    runs.append(going[track])
                going[track].frames.append(i)
        return runs

    def _kept_box(self, track: int, number: int, box: Box) -> Box:
        """The crop of a person who is given a box in this frame: actions need one box for a while."""
        if not isinstance(self.boxes, GivenBoxes) or self.window == 1:
            return box
        return self.boxes.around(track, number, self.window + self.window // 2)

    def _still_in(self, kept: Box, track: int, number: int, box: Box) -> bool:
        """Whether the crop still serves: it holds the box and, as of people found, is not far too large."""
        if not isinstance(self.boxes, GivenBoxes) or self.window == 1:
            return nearly_same(kept, box)
        return holds(kept, box) and self._kept_box(track, number, box).side >= SHRUNK * kept.side

    # --- Both ------------------------------------------------------------------------------------

    @property
    def _nobody(self) -> Rows:
        return np.zeros(0, self.kind)

    def _started(self, box: Box, before: _Person | None, restarted: bool) -> _Person:
        """A person in a new box; of one followed ``before``, what does not depend on the box stays."""
        seconds = self.stride / self.source.fps if self.source.live else None
        window = Window(self.network, self.stride, seconds) if self.network.actions else None
        if before is not None:
            return _Person(box, restarted, window, before.scale, before.smoother, before.place)
        smoother = OneEuro(Smoothing()) if self.options.smooth else None
        return _Person(box, restarted, window, self._scale(), smoother)

    def _scale(self) -> Scale | None:
        return Scale(self.layout, self.options.camera) if self.network.dim == 3 else None

    def _skip(self) -> None:
        for person in self._people.values():
            person.skip()

    def _through(self, wanted: Sequence[tuple[Frame, _Person]]) -> CropAnswers:
        images = [frame.image for frame, _ in wanted if frame.image is not None]
        crops = cut(images, [person.box for _, person in wanted], self.network.size)
        return answer_crops(self.network, crops)

    def _rows(
        self, track: int, person: _Person, frames: Sequence[Frame], answers: CropAnswers, shown: BoolArray
    ) -> Rows:
        """The rows of one person in frames that follow each other; those not ``shown`` are not to be used."""
        poses = answers.pose.double().cpu().numpy()
        visibility = answers.visibility.cpu().numpy()
        for k in np.flatnonzero(shown).tolist():
            poses[k] = person.smoothed(poses[k], frames[k].time_s, visibility[k])
        if shown.any():
            last = int(np.flatnonzero(shown)[-1])
            person.place = place_of(answers[last : last + 1], person.box)
        smoothed = replace(answers, pose=torch.from_numpy(poses))
        rows = rows_of(smoothed, [person.box] * len(frames), self.kind, self.calibration)
        rows["frame"], rows["person"] = [frame.number for frame in frames], track
        rows["time_s"] = [frame.time_s for frame in frames]
        if person.restarted and shown.any():
            rows["restarted"][shown.argmax()] = True
            person.restarted = False
        if person.window is not None:
            rows["action"], rows["action_known"] = person.window.add(answers, rows["time_s"])
        if person.scale is not None:
            for k in np.flatnonzero(shown).tolist():
                image = frames[k].image
                size = self.source.size if image is None else (image.shape[1], image.shape[0])
                person.scale.add(poses[k], visibility[k], person.box, size)
                rows["crop"][k] = person.scale.crop_units(poses[k])
                rows["metres"][k] = person.scale.metres(poses[k], person.box, size)
        return rows


@dataclass
class _Person:
    """What is kept of one person between frames.

    - ``place``: where it was last shown (`boxes.place_of`), of whoever was followed before too.
    - ``extent`` of the joints in the box when it was found; None before its first frame.
    - ``away``: frames in a row that look as if the person had left; ``wait``: frames until it is looked for
      again. ``restarted``: the next row says so.
    """

    box: Box
    restarted: bool
    window: Window | None
    scale: Scale | None
    smoother: OneEuro | None
    place: FloatArray = field(default_factory=lambda: np.full(3, np.nan))
    extent: float | None = None
    away: int = 0
    wait: int = 0

    def smoothed(self, pose: FloatArray, time_s: float, visibility: FloatArray) -> FloatArray:
        """A pose (J, D) in crop coordinates after the filter, which sees pixels: boxes move."""
        if self.smoother is None:
            return pose
        place = crop_transform(self.box, 1)
        pixels = np.column_stack([place.to_image(pose[:, :2]), (pose[:, 2:] - 0.5) * self.box.side])
        steady = self.smoother(pixels, time_s, self.box.side, visibility >= SHOWN_FROM)
        return np.column_stack([place.to_crop(steady[:, :2]), 0.5 + steady[:, 2:] / self.box.side])

    def skip(self) -> None:
        """A frame went by that cannot be read."""
        if self.window is not None:
            self.window.skip()

    def state(self) -> State:
        """All of it as arrays."""
        extent = np.nan if self.extent is None else self.extent
        state: State = {
            "box": np.array([*self.box.centre, self.box.side]),
            "place": self.place.copy(),
            "follow": np.array([extent, self.away, self.wait, self.restarted]),
        }
        for name, part in self._parts().items():
            state |= _prefixed(f"{name}.", part.state())
        return state

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a `state`."""
        x, y, side = state["box"].tolist()
        extent, away, wait, restarted = state["follow"].tolist()
        self.box, self.extent = Box((x, y), side), None if np.isnan(extent) else extent
        self.place = np.array(state["place"], np.float64)
        self.away, self.wait, self.restarted = int(away), int(wait), bool(restarted)
        for name, part in self._parts().items():
            part.restore(_without(f"{name}.", state))

    def _parts(self) -> dict[str, Any]:
        parts = {"window": self.window, "scale": self.scale, "smoother": self.smoother}
        return {name: part for name, part in parts.items() if part is not None}


@dataclass(frozen=True)
class _Run:
    """Frames of a group, by index, that show one person in one box."""

    track: int
    person: _Person
    frames: list[int]


class Window:
    """The last frames of one person in one box, as the action heads read them.

    Frames of a window are ``stride`` apart; where ``seconds`` are given, those nearest to so much time apart:
    of a live source, frames are lost. Where it stalled, there is no window.
    """

    def __init__(self, network: MultitaskNetwork, stride: int, seconds: float | None = None) -> None:
        self.network, self.stride, self.seconds = network, stride, seconds
        # The rate that a live source tells may be too low.
        self._length = (network.frames - 1) * stride * (1 if seconds is None else 4)
        self._times = np.zeros(0)
        self._kept: tuple[Tensor, ...] = ()  # poses (k, J, D), visibility (k, J), features (k, C, J)
        self._known = np.zeros(0, np.bool_)

    def add(self, answers: CropAnswers, times: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Probabilities (n, A) of the windows that end at each of n new frames, and which are known (n,).

        They are where all T frames of the window were added; zeros elsewhere. ``times`` (n,): in seconds.
        """
        assert answers.features is not None
        new = (answers.pose, answers.visibility, answers.features)
        kept = tuple(torch.cat(pair) for pair in zip(self._kept, new, strict=True)) if self._kept else new
        known = np.append(self._known, np.ones(len(answers), np.bool_))
        ends = np.arange(len(self._known), len(known))
        self._times = np.append(self._times, times)
        back = np.arange(1 - self.network.frames, 1)
        if self.seconds is None:
            steps = ends[:, None] + self.stride * back
            complete = steps[:, 0] >= 0
        else:
            wanted = self._times[ends][:, None] + self.seconds * back
            steps = nearest(self._times, wanted)
            apart = np.abs(self._times[steps] - wanted).max(1)
            usual = np.median(np.diff(self._times)) if len(self._times) > 1 else 0.0
            stalled = apart > 1.2 * max(self.seconds, usual)
            complete = (wanted[:, 0] >= self._times[0] - self.seconds / 2) & ~stalled
        complete[complete] = known[steps[complete]].all(1)
        probabilities = np.zeros((len(answers), self.network.actions))
        if complete.any():
            probabilities[complete] = _recognised(self.network, kept, steps[complete])
        self._keep(kept, known)
        return probabilities, complete

    def skip(self) -> None:
        """A frame went by that nothing is known of: no window that holds it is answered.

        Of a live source it is one more that was lost.
        """
        if self._kept and self.seconds is None:
            kept = tuple(torch.cat([part, torch.zeros_like(part[:1])]) for part in self._kept)
            self._times = np.append(self._times, np.nan)
            self._keep(kept, np.append(self._known, False))

    def _keep(self, kept: tuple[Tensor, ...], known: BoolArray) -> None:
        self._kept = tuple(part[-self._length :] for part in kept)
        self._known, self._times = known[-self._length :], self._times[-self._length :]

    def state(self) -> State:
        """All that `restore` needs."""
        parts = zip(("pose", "visibility", "features"), self._kept, strict=False)
        about = {"known": self._known.copy(), "times": self._times.copy()}
        return about | {name: part.cpu().numpy().copy() for name, part in parts}

    def restore(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Go on from a `state`."""
        device = next(self.network.parameters()).device
        self._known, self._times = np.array(state["known"], np.bool_), np.array(state["times"], np.float64)
        names = ("pose", "visibility", "features") if "pose" in state else ()
        self._kept = tuple(torch.from_numpy(np.array(state[name])).to(device) for name in names)


def recognise_clips(
    network: MultitaskNetwork,
    crops: npt.NDArray[np.uint8],
    clips: npt.NDArray[np.int64],
    flip: bool = False,
) -> FloatArray:
    """Probabilities (n, A) of n clips of frames cut in one box, by a network that is `ready`.

    ``crops`` (F, S, S, 3): each frame goes through the network once, however many clips show it.
    ``clips`` (n, T): the frames of each, as `video.clip_indices` chooses them. With ``flip``
    (n, 2, A): the second answer is that of the mirror image.
    """
    sides = [crops, crops[:, :, ::-1]] if flip else [crops]
    found = []
    for side in sides:
        answers = answer_crops(network, np.ascontiguousarray(side))
        assert answers.features is not None
        found.append(_recognised(network, (answers.pose, answers.visibility, answers.features), clips))
    return np.stack(found, 1) if flip else found[0]


def _recognised(
    network: MultitaskNetwork, frames: tuple[Tensor, ...], windows: npt.NDArray[np.int64]
) -> FloatArray:
    """Probabilities (m, A) of windows (m, T) of these frames' poses, visibilities and features."""
    chosen = torch.from_numpy(windows).to(frames[0].device)
    with torch.inference_mode():
        pose, visibility, features = (part[chosen] for part in frames)
        action = network.recognise(pose, visibility, features.flatten(0, 1)).action
    return np.asarray(action.float().cpu().numpy(), np.float64)


def _checked(boxes: Mapping[int, Box]) -> Mapping[int, Box]:
    for track, box in boxes.items():
        if not isinstance(box, Box) or not 0 < track < 1 << 31:
            raise UserError(f"boxes: expected a Box for each track id from 1 on, got {track!r}: {box!r}")
    return boxes


def _prefixed(prefix: str, state: Mapping[str, npt.NDArray[Any]]) -> State:
    return {prefix + name: values for name, values in state.items()}


def _without(prefix: str, state: Mapping[str, npt.NDArray[Any]]) -> State:
    return {name.removeprefix(prefix): values for name, values in state.items() if name.startswith(prefix)}
