"""An evaluation shared out among the processes of `torch.distributed`, with the same answer in each.

Groups of samples are dealt out whole, so that every batch is the one that a single process would make.
"""

from __future__ import annotations

from typing import TypeVar

import torch.distributed as dist

Row = TypeVar("Row")


def own_groups(count: int, group: int) -> list[range]:
    """The groups of ``group`` indices, out of ``count``, that this process evaluates."""
    rank, world = _place()
    groups = [range(start, min(start + group, count)) for start in range(0, count, group)]
    return groups[rank::world]


def gathered(rows: list[tuple[int, Row]]) -> list[Row]:
    """The rows (index, row) of all processes, in the order of their indices; the same in each process."""
    if _place()[1] > 1:
        parts: list[list[tuple[int, Row]]] = [[] for _ in range(_place()[1])]
        dist.all_gather_object(parts, rows)
        rows = [row for part in parts for row in part]
    return [row for _, row in sorted(rows, key=lambda row: row[0])]


def _place() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
