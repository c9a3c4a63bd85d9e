"""Batches mixed from several data sets by ratio (P 5.3, 5.4), in an order that can be resumed.

An **epoch** lasts until the first data set has been seen once, to the whole batch below. No set is
cut or stretched to that: each goes on through a permutation of its own, across the borders of
epochs, and starts another one whenever it has been seen whole. One set alone is a mix of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

Place = tuple[int, int]
"""A draw of a mix: the index of the data set, and the sample's index in there plus, for each time
that the set has been gone through before, the set's length: no two draws of a run are the same."""
IntArray = npt.NDArray[np.int64]
_GOLDEN = (5**0.5 - 1) / 2


class MixedBatches(Sampler[list[Place]]):
    """The batches of one epoch, from batch ``start`` on.

    ``counts``: samples in each data set; ``shares``: of each in a batch, above zero, in any unit.
    Every batch holds batch_size x share samples of a set, rounded down or up, and in the long run
    exactly. All follows from (seed, epoch). ``part``: (i, n) yields every n-th sample of each batch,
    from the i-th on: the share of process i of n, in which the sets are mixed alike.
    Raises ``ValueError`` on other shares, or where the first set is smaller than its share of a batch.
    """

    def __init__(
        self,
        counts: Sequence[int],
        shares: Sequence[float],
        batch_size: int,
        seed: int,
        epoch: int,
        start: int = 0,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        if len(counts) != len(shares) or min(*shares, *counts) <= 0:
            raise ValueError(f"expected sizes and shares above zero, got {counts} and {shares}")
        self.counts, self.batch_size, self.seed, self.start = counts, batch_size, seed, start
        self.part = part
        exact = np.array(shares, np.float64) / sum(shares) * batch_size
        self.batches = int(counts[0] / exact[0] + 1e-9)
        if self.batches == 0:
            raise ValueError(f"{counts[0]} samples of the first data set make no batch of {batch_size}")
        taken = _apportioned(exact, (epoch + 1) * self.batches)
        self._ends = np.cumsum(taken, 0)[epoch * self.batches :]
        self._taken = taken[epoch * self.batches :]
        self._permutations: dict[tuple[int, int], IntArray] = {}

    def __len__(self) -> int:
        return self.batches - self.start

    def __iter__(self) -> Iterator[list[Place]]:
        process, processes = self.part
        for batch in range(self.start, self.batches):
            places = [
                (k, nth)
                for k in range(len(self.counts))
                for nth in range(self._ends[batch, k] - self._taken[batch, k], self._ends[batch, k])
            ]
            yield [(k, self._sample(k, nth)) for k, nth in places[process::processes]]

    def _sample(self, which: int, place: int) -> int:
        """The draw of data set ``which`` that comes ``place``-th in its endless order: see `Place`."""
        again, index = divmod(place, self.counts[which])
        if (which, again) not in self._permutations:
            rng = np.random.default_rng((self.seed, which, again))
            self._permutations[which, again] = rng.permutation(self.counts[which])
        return int(self._permutations[which, again][index]) + again * self.counts[which]


def _apportioned(exact: npt.NDArray[np.float64], batches: int) -> IntArray:
    """Samples (batches, sets) of each set in each batch: ``exact`` (sets,) rounded down or up.

    Systematic sampling: the fractions lie end to end on a line, and a set gets one more where a
    comb of step one hits it. The comb's offset moves by the golden ratio from batch to batch.
    """
    base = np.floor(exact + 1e-9)
    ends = np.cumsum(exact - base)
    ends[-1] = np.rint(ends[-1])  # the batch is full
    comb = (np.arange(batches) * _GOLDEN % 1)[:, None]
    hits = np.floor(np.maximum(ends, 0) + comb)
    return np.asarray(base + np.diff(hits, prepend=0, axis=1), np.int64)
