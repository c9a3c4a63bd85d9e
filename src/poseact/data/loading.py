"""Batches in an order that depends on nothing but (seed, epoch): resumable and exact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from poseact.data.augment import Augmentation, Example, blank, example
from poseact.errors import UserError
from poseact.skeleton import Layout
from poseact.structures import Sample

DAMAGED_SHARE = 0.01
"""Over this share of unreadable samples a run stops."""


class SampleSource(Protocol):
    """What every data set is: a length, samples, and the layout of their joints."""

    @property
    def layout(self) -> Layout: ...
    def __len__(self) -> int: ...
    def __getitem__(self, i: int, /) -> Sample: ...


class Examples(Dataset[Example]):
    """The examples of one epoch: each drawn from a generator of (seed, epoch, index)."""

    def __init__(
        self,
        source: SampleSource,
        layout: Layout,
        size: int,
        augmentation: Augmentation | None,
        seed: int,
        epoch: int,
    ) -> None:
        self.source, self.layout, self.size = source, layout, size
        self.augmentation, self.seed, self.epoch = augmentation, seed, epoch

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Example:
        """Example ``index``; one that cannot be read becomes `blank`, so the run goes on."""
        rng = np.random.default_rng((self.seed, self.epoch, index))
        try:
            sample = self.source[index]
        except UserError:
            return blank(self.size, len(self.layout))
        return example(sample, self.layout, self.size, self.augmentation, rng)


class EpochBatches(Sampler[list[int]]):
    """A permutation of (seed, epoch) in whole batches, from batch ``start`` on."""

    def __init__(self, count: int, batch_size: int, seed: int, epoch: int, start: int = 0) -> None:
        order = np.random.default_rng((seed, epoch)).permutation(count)
        whole = count // batch_size * batch_size
        self.batches: list[list[int]] = order[:whole].reshape(-1, batch_size)[start:].tolist()
        self.batch_size, self.drop_last = batch_size, True

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def training_loader(examples: Examples, batch_size: int, workers: int, start: int = 0) -> DataLoader[Example]:
    """Batches of one epoch from batch ``start`` on; an incomplete last batch is left out."""
    order = EpochBatches(len(examples), batch_size, examples.seed, examples.epoch, start)
    return DataLoader(examples, batch_sampler=order, num_workers=workers, worker_init_fn=_single_threaded)


def _single_threaded(_: int) -> None:
    """Workers share the cores with training: no threads of their own."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
