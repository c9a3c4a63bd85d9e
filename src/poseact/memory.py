"""How the process holds on to its memory."""

from __future__ import annotations

import ctypes
import platform

# glibc's mallopt(3): from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Let glibc keep large freed blocks for the next step instead of giving them back.

    A training step or a decoded photograph allocates the same sizes each time, and fresh pages
    cost a sixth of the one and half of the other (docs/experiments.md). Does nothing elsewhere
    than on Linux with glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
