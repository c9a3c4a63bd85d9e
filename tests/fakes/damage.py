"""Damage to the bytes of files."""

import numpy as np


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three damages: a byte changed, some removed or added, the end cut off."""
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(data) + 1))
        few = int(rng.integers(1, 9))
        match rng.integers(4):
            case 0:
                data = data[:at] + bytes([rng.integers(256)]) + data[at + 1 :]
            case 1:
                data = data[:at] + data[at + few :]
            case 2:
                data = data[:at] + rng.bytes(few) + data[at:]
            case _:
                data = data[:at]
    return data
