"""Which device runs, and what it computes fast in."""

from __future__ import annotations

import torch


def cpu_has_bf16() -> bool:
    """Does the CPU multiply in bf16 (AVX-512 BF16 or AMX)? Others only emulate it, slowly."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def pick_device() -> torch.device:
    """The first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
