"""Soft-argmax in one, two and three dimensions (P 3.1.1 Eq. 2, P 3.2)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Grid = Literal["centres", "corners"]
DepthReading = Literal["mean", "joint"]
"""Where z is read: see `SoftArgmax.volume`."""


def grid(cells: int, kind: Grid = "centres") -> Tensor:
    """Coordinates (cells,) in [0, 1] of the cells of a map.

    ``centres``: (i + 0.5) / cells. ``corners``: 0 to 1 with both ends, as in the published
    weights.
    """
    if kind == "corners":
        return torch.linspace(0.0, 1.0, cells)
    return (torch.arange(cells) + 0.5) / cells


def soft_max_2d(maps: Tensor) -> Tensor:
    """Soft-max over the plane of each map (..., H, W)."""
    return maps.flatten(-2).softmax(-1).view_as(maps)


class SoftArgmax(nn.Module):
    """Expected coordinates under the soft-max of a map of ``size`` cells.

    The grids are buffers: they are saved with the weights, and published files bring theirs.
    A map of another size gets a grid of the same kind.
    """

    def __init__(self, size: int, depth: int = 0, kind: Grid = "centres") -> None:
        super().__init__()
        self.kind: Grid = kind
        self.register_buffer("x", grid(size, kind))
        self.register_buffer("y", grid(size, kind))
        self.register_buffer("z", grid(depth, kind) if depth else None)

    def _grid(self, name: str, cells: int) -> Tensor:
        own: Tensor = getattr(self, name)
        return own if len(own) == cells else grid(cells, self.kind).to(own)

    def plane(self, maps: Tensor) -> Tensor:
        """Maps (..., H, W) to (x, y) in [0, 1]: (..., 2)."""
        p = soft_max_2d(maps)
        x = (p.sum(-2) * self._grid("x", maps.shape[-1])).sum(-1)
        y = (p.sum(-1) * self._grid("y", maps.shape[-2])).sum(-1)
        return torch.stack([x, y], -1)

    def line(self, vectors: Tensor) -> Tensor:
        """Vectors (..., Nd) to z in [0, 1]: (..., 1)."""
        return (vectors.softmax(-1) * self._grid("z", vectors.shape[-1])).sum(-1, keepdim=True)

    def volume(self, maps: Tensor, depth: DepthReading = "mean") -> Tensor:
        """Volumes (..., Nd, H, W) to (x, y, z): xy of the mean over depth.

        z of the ``mean`` over xy (P 3.2), or, ours, of what stands at the ``joint``: over xy weighted by the
        soft-max of the plane, through which z has no gradient. A mean over the whole map makes depth a
        matter of every cell, the background's among them (docs/experiments.md).
        """
        plane = maps.mean(-3)
        if depth == "mean":
            return torch.cat([self.plane(plane), self.line(maps.mean((-2, -1)))], -1)
        here = soft_max_2d(plane).detach().unsqueeze(-3)
        return torch.cat([self.plane(plane), self.line((here * maps).sum((-2, -1)))], -1)
