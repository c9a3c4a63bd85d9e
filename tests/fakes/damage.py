"""Damage to the bytes of files."""

import numpy as np


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three damages: a bit flipped, a few bytes removed or added, seldom the end cut off."""
    changed = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(changed))) if changed else 0
        kind = rng.integers(8)
        if kind < 4 and changed:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind < 6:
            changed[at:at] = rng.bytes(int(rng.integers(1, 9)))
        elif kind == 6:
            del changed[at : at + int(rng.integers(1, 9))]
        elif rng.random() < 0.3:
            del changed[at:]
    return bytes(changed)
