"""From data sets to batches, in an order that depends on nothing but (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from poseact.data.actions import mirrored_actions
from poseact.data.augment import Augmentation, Example, blank, example
from poseact.data.clips import TrackSource, draw_clip, draw_still, frame_rate, is_tracks, released_slots
from poseact.data.mixing import MixedBatches, Place
from poseact.errors import UserError
from poseact.skeleton import Layout
from poseact.structures import Clip, Sample, Track

DAMAGED_SHARE = 0.01
"""Over this share of unreadable samples a run stops."""

_T = TypeVar("_T")
Batch = dict[str, dict[str, Tensor]]
"""Examples (see `augment.Example`) stacked by kind: ``stills`` and ``clips``, where there are any."""


class SampleSource(Protocol):
    """What every data set of stills is: a length, samples, and the layout of their joints."""

    @property
    def layout(self) -> Layout: ...
    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> Sample: ...


class Examples(Dataset[Example]):
    """The examples of one epoch of a mix: each drawn from a generator of (seed, epoch, place).

    ``sources``: data sets of stills, or of tracks, from which a still is drawn, or a clip of
    ``frames`` where that is given.
    """

    def __init__(
        self,
        sources: Sequence[SampleSource | TrackSource],
        layout: Layout,
        size: int,
        augmentation: Augmentation | None,
        seed: int,
        epoch: int,
        frames: int | None = None,
    ) -> None:
        self.sources, self.layout, self.size, self.frames = sources, layout, size, frames
        self.augmentation, self.seed, self.epoch = augmentation, seed, epoch
        self._mirrored = [mirrored_actions(getattr(source, "actions", ())) for source in sources]

    def __len__(self) -> int:
        return sum(len(source) for source in self.sources)

    def __getitem__(self, place: Place) -> Example:
        """The example of a place; one that cannot be read becomes `blank`, so the run goes on."""
        try:
            return self.read(place)
        except UserError:
            clips = self.frames is not None and is_tracks(self.sources[place[0]])
            return blank(self.size, len(self.layout), self.frames if clips else None)

    def read(self, place: Place) -> Example:
        """The example of a place; raises `UserError` where it cannot be read."""
        rng = np.random.default_rng((self.seed, self.epoch, *place))
        person = self._person(place, rng)
        return example(person, self.layout, self.size, self.augmentation, rng, self._mirrored[place[0]])

    def _person(self, place: Place, rng: np.random.Generator) -> Sample | Clip:
        source = self.sources[place[0]]
        item = source[place[1] % len(source)]
        if isinstance(item, Sample):
            return item
        if self.frames is None:
            return draw_still(item, rng)
        strides = self.augmentation.strides if self.augmentation else (1,)
        return draw_clip(item, self.frames, strides, rng)


class _Chosen:
    """Items of a data set of stills, in another number."""

    def __init__(self, source: SampleSource, indices: npt.NDArray[np.int64]) -> None:
        self.source, self.indices, self.layout = source, indices, source.layout

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> Sample:
        return self.source[int(self.indices[i])]


class _ChosenTracks:
    """Items of a data set of videos, in another number, and with their sides changed over if asked for."""

    def __init__(self, source: TrackSource, indices: npt.NDArray[np.int64], swap_sides: bool) -> None:
        self.source, self.indices, self.swap_sides = source, indices, swap_sides
        self.layout, self.actions = source.layout, source.actions
        self.mirrored = getattr(source, "mirrored", False)
        self.changing = getattr(source, "changing", False)

    @property
    def fps(self) -> float:
        return frame_rate(self.source)

    @property
    def lengths(self) -> Sequence[int]:
        lengths = self.source.lengths
        return [lengths[int(i)] for i in self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> Track:
        track = self.source[int(self.indices[i])]
        return released_slots(track) if self.swap_sides else track


def chosen(
    source: SampleSource | TrackSource, count: int | None = None, draws: int = 1, swap_sides: bool = False
) -> SampleSource | TrackSource:
    """The data set with at most ``count`` items, evenly spaced, each ``draws`` times.

    ``draws``: a video of which one pass is to see many stills or clips counts as so many items.
    ``swap_sides``: `clips.released_slots` on every track, which NTU's mirrored pictures need where
    they are mixed with photographs; stills have no sides to change, so there it raises ``ValueError``.
    """
    if draws == 1 and not swap_sides and (count is None or count >= len(source)):
        return source
    kept = len(source) if count is None else min(count, len(source))
    indices = np.tile(np.arange(kept) * len(source) // max(1, kept), draws)
    if is_tracks(source):
        return _ChosenTracks(source, indices, swap_sides)
    if swap_sides:
        raise ValueError("expected a data set of videos to change the sides of, got one of stills")
    return _Chosen(source, indices)


def check_damage(examples: Examples, damaged: int, count: int) -> None:
    """Raise `UserError`, which names some, where more than `DAMAGED_SHARE` of ``count`` cannot be read."""
    if damaged > DAMAGED_SHARE * count:
        some = "; ".join(_first_damaged(examples))
        raise UserError(
            f"{damaged} of {count} samples cannot be read, over {DAMAGED_SHARE:.0%}: {some}; mend the data "
            "set, or take them out"
        )


def _first_damaged(examples: Examples, most: int = 5) -> list[str]:
    messages: list[str] = []
    for which, source in enumerate(examples.sources):
        for index in range(len(source)):
            try:
                examples.read((which, index))
            except UserError as error:
                messages.append(str(error))
            if len(messages) == most:
                return messages
    return messages


def training_loader(
    examples: Examples,
    shares: Sequence[float],
    batch_size: int,
    workers: int,
    start: int = 0,
    part: tuple[int, int] = (0, 1),
    pin_memory: bool = False,
) -> DataLoader[Example]:
    """Batches (`Batch`) of one epoch from batch ``start`` on, mixed by ``shares``.

    ``part``: (i, n) for process i of n, which gets its share of each: see `mixing`.
    """
    counts = [len(source) for source in examples.sources]
    order = MixedBatches(counts, shares, batch_size, examples.seed, examples.epoch, start, part)
    return batch_loader(examples, order, workers, pin_memory)


def batch_loader(
    examples: Examples, batches: Iterable[list[Place]], workers: int, pin_memory: bool = False
) -> DataLoader[Example]:
    """Batches (`Batch`) of the examples at these places, in this order, drawn by so many ``workers``."""
    return DataLoader(
        examples,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=stacked,
        worker_init_fn=single_threaded,
        pin_memory=pin_memory,
    )


def drawn(loader: Iterable[_T]) -> Iterator[_T]:
    """What a loader yields; a worker that the system ended raises `UserError`."""
    try:
        yield from loader
    except RuntimeError as error:
        if not any(words in str(error) for words in ("exited unexpectedly", "killed by signal")):
            raise
        raise UserError(
            f"a process that prepares batches was lost ({str(error).splitlines()[0]}), often for want of "
            "memory; free some, or lower training.workers: the same command goes on"
        ) from None


def stacked(examples: Sequence[Example]) -> Batch:
    """Examples as one batch, stills and clips apart."""
    kinds: dict[str, list[Example]] = {"stills": [], "clips": []}
    for made in examples:
        kinds["stills" if made["pose"].ndim == 2 else "clips"].append(made)
    return {kind: _together(some) for kind, some in kinds.items() if some}


def _together(examples: Sequence[Any]) -> dict[str, Tensor]:
    """Examples of one kind; clips with ``features`` come first, for not all have them: `training.kept`."""
    some = sorted(examples, key=lambda each: "features" not in each)
    batch = default_collate([{name: each[name] for name in some[-1]} for each in some])
    if "features" in some[0]:
        batch["features"] = default_collate([each["features"] for each in some if "features" in each])
    return batch  # type: ignore[no-any-return]


def single_threaded(_: int) -> None:
    """Workers share the cores with training: no threads of their own."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
