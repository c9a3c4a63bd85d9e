"""From data sets to batches, in an order that depends on nothing but (seed, epoch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from poseact.data.augment import Augmentation, Example, blank, example
from poseact.data.clips import TrackSource, draw_clip, draw_still
from poseact.data.mixing import MixedBatches, Place
from poseact.errors import UserError
from poseact.skeleton import Layout
from poseact.structures import Clip, Sample

DAMAGED_SHARE = 0.01
"""Over this share of unreadable samples a run stops."""


class SampleSource(Protocol):
    """What every data set of stills is: a length, samples, and the layout of their joints."""

    @property
    def layout(self) -> Layout: ...
    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> Sample: ...


class Examples(Dataset[Example]):
    """The examples of one epoch of a mix: each drawn from a generator of (seed, epoch, set, index).

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

    def __len__(self) -> int:
        return sum(len(source) for source in self.sources)

    def __getitem__(self, place: Place) -> Example:
        """The example of a place; one that cannot be read becomes `blank`, so the run goes on."""
        try:
            return self.read(place)
        except UserError:
            return blank(self.size, len(self.layout), self.frames)

    def read(self, place: Place) -> Example:
        """The example of a place; raises `UserError` where it cannot be read."""
        rng = np.random.default_rng((self.seed, self.epoch, *place))
        person = self._person(place, rng)
        return example(person, self.layout, self.size, self.augmentation, rng)

    def _person(self, place: Place, rng: np.random.Generator) -> Sample | Clip:
        item = self.sources[place[0]][place[1]]
        if isinstance(item, Sample):
            if self.frames is not None:
                raise ValueError(f"clips of {self.frames} frames: expected videos, got stills ({item.name})")
            return item
        if self.frames is None:
            return draw_still(item, rng)
        strides = self.augmentation.strides if self.augmentation else (1,)
        return draw_clip(item, self.frames, strides, rng)


def training_loader(
    examples: Examples, shares: Sequence[float], batch_size: int, workers: int, start: int = 0
) -> DataLoader[Example]:
    """Batches of one epoch from batch ``start`` on, mixed by ``shares``: see `mixing`."""
    counts = [len(source) for source in examples.sources]
    order = MixedBatches(counts, shares, batch_size, examples.seed, examples.epoch, start)
    return DataLoader(examples, batch_sampler=order, num_workers=workers, worker_init_fn=_single_threaded)


def _single_threaded(_: int) -> None:
    """Workers share the cores with training: no threads of their own."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
