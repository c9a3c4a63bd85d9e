"""Segments of a timeline against what was performed: how many are found, how many are false."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

OVERLAP = 0.3


class Span(Protocol):
    """An ``action`` in frames ``first`` to ``last``, both included."""

    @property
    def action(self) -> str: ...
    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...


def overlap(a: Span, b: Span) -> float:
    """Frames that both have over frames that either has, in [0, 1]."""
    both = min(a.last, b.last) - max(a.first, b.first) + 1
    either = max(a.last, b.last) - min(a.first, b.first) + 1
    return max(0.0, both / either)


def found(performed: Sequence[Span], segments: Sequence[Span], least: float = OVERLAP) -> list[int | None]:
    """For each of ``performed`` the number of the segment that finds it, or None.

    A segment finds what has its action and overlaps it by ``least`` or more, and finds one only; those
    that overlap most are paired first. What is left of ``segments`` is false.
    """
    pairs = [
        (overlap(true, told), i, k)
        for i, true in enumerate(performed)
        for k, told in enumerate(segments)
        if true.action == told.action
    ]
    answer: list[int | None] = [None] * len(performed)
    for share, i, k in sorted(pairs, reverse=True):
        if share >= least and answer[i] is None and k not in answer:
            answer[i] = k
    return answer
