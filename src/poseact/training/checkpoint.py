"""A run's resume state: one file, written whole, read back without unpickling."""

from __future__ import annotations

import os
from pathlib import Path
from pickle import UnpicklingError  # what torch raises when it refuses to unpickle
from typing import Any

import torch

from poseact.errors import UserError


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain containers under a temporary name, then rename."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load(path: Path) -> dict[str, Any]:
    """Read it back on the CPU; raises `UserError` on a damaged or foreign file."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        state["progress"]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, UnpicklingError) as error:
        raise UserError(
            f"{path}: expected a run's checkpoint, got {type(error).__name__}; "
            "remove the file to start the run again"
        ) from None
    return state
