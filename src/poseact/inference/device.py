"""Which device runs, what it computes fast in, and how a GPU is kept busy."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from poseact.errors import UserError
from poseact.network import MultitaskNetwork
from poseact.structures import PoseOutput

Precision = Literal["fp32", "bf16"]
Estimate = Callable[[Tensor], tuple[tuple[PoseOutput, ...], Tensor]]
GRAPHS = 4
"""Shapes of frames that are recorded; further ones run without a graph."""
WARM_UPS = 3


@cache
def cpu_gains_from_bf16() -> bool:
    """Does the CPU multiply faster in bf16 than in fp32?

    With AMX it does. With AVX-512 BF16 alone an Intel Xeon has half the rate of fp32 and an AMD EPYC more
    than twice that (docs/experiments.md): it is measured, once, in less than a second. Others emulate it,
    slowly.
    """
    if torch.cpu._is_amx_tile_supported():
        return True
    words = torch.cpu._is_avx512_bf16_supported()
    return words and _product_s(torch.bfloat16) < _product_s(torch.float32)


def _product_s(dtype: torch.dtype, side: int = 1024, times: int = 5) -> float:
    """Seconds of a product of two square matrices: the least of several, for other work disturbs some."""
    matrix = torch.ones(side, side, dtype=dtype)

    def seconds() -> float:
        start = time.perf_counter()
        _ = matrix @ matrix
        return time.perf_counter() - start

    return min(seconds() for _ in range(times))


def cpu_has_vnni() -> bool:
    """Has the CPU dot products of bytes, which make INT8 several times as fast as fp32?"""
    return bool(torch.cpu._is_vnni_supported())


def pick_device() -> torch.device:
    """The first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_precision(device: torch.device, asked: str = "auto") -> Precision:
    """What convolutions compute in: ``auto`` is bf16 where that is faster on the device, else fp32.

    Raises `UserError` on another name than auto, fp32 and bf16.
    """
    if asked not in ("auto", "fp32", "bf16"):
        raise UserError(f"precision: expected auto, fp32 or bf16, got {asked!r}")
    if asked == "auto":
        cuda = device.type == "cuda"
        gains = torch.cuda.is_bf16_supported(including_emulation=False) if cuda else cpu_gains_from_bf16()
        return "bf16" if gains else "fp32"
    return "bf16" if asked == "bf16" else "fp32"


def make_graphed(network: MultitaskNetwork) -> None:
    """Let ``estimate`` run on its GPU as CUDA graphs, in place: one launch instead of hundreds."""
    network.estimate = _Graphed(network.estimate)  # type: ignore[method-assign]


@dataclass(frozen=True)
class _Recorded:
    """A graph, the memory it reads its frames from, and that in which it leaves its answer."""

    graph: torch.cuda.CUDAGraph
    frames: Tensor
    blocks: tuple[PoseOutput, ...]
    features: Tensor


class _Graphed:
    """``estimate``, recorded at the first call with frames of a shape and replayed at the next ones."""

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate
        self._recorded: dict[torch.Size, _Recorded] = {}

    @torch.inference_mode()
    def __call__(self, frames: Tensor) -> tuple[tuple[PoseOutput, ...], Tensor]:
        if frames.shape not in self._recorded:
            if len(self._recorded) == GRAPHS:
                return self._estimate(frames)
            self._recorded[frames.shape] = self._record(frames)
        known = self._recorded[frames.shape]
        known.frames.copy_(frames)
        known.graph.replay()
        # The next replay writes over the answer.
        blocks = tuple(block.map(torch.clone) for block in known.blocks)
        return blocks, known.features.clone()

    def _record(self, frames: Tensor) -> _Recorded:
        given = frames.clone(memory_format=torch.channels_last)
        # Libraries choose their kernels in the first runs, which must not be part of the graph.
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                self._estimate(given)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            blocks, features = self._estimate(given)
        return _Recorded(graph, given, blocks, features)
