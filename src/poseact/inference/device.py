"""Which device runs, and what it computes fast in."""

from __future__ import annotations

import ctypes
import platform

import torch

# glibc's mallopt(3): from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def cpu_has_bf16() -> bool:
    """Does the CPU multiply in bf16 (AVX-512 BF16 or AMX)? Others only emulate it, slowly."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def keep_freed_memory() -> None:
    """Let glibc keep large freed blocks for the next step instead of giving them back.

    A training step allocates the same tensors each time, and fresh pages cost a sixth of it
    on a CPU (docs/experiments.md). Does nothing elsewhere than on Linux with glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def pick_device() -> torch.device:
    """The first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
