"""A run's resume state: one file, written whole, read back without unpickling."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # what torch raises when it refuses to unpickle
from typing import Any

import torch

from poseact.errors import UserError


@dataclass
class Progress:
    """Where a run is: what is saved, beside the tensors, to resume it.

    - ``epoch``, ``batch``: the next batch. ``sums`` of the losses over the ``batch`` done of this epoch
      (see `epoch.LOSSES`), and ``damaged``: unreadable samples met in it.
    - ``seconds`` spent. ``history``: one row an epoch, as the log shows it.
    - ``best``: the best validation so far; ``stalled``: epochs since; ``reductions`` of the learning
      rate that a plateau has brought.
    """

    epoch: int = 0
    batch: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    damaged: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    best: float | None = None
    stalled: int = 0
    reductions: int = 0

    def next_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch, self.batch, self.sums, self.damaged = self.epoch + 1, 0, [0.0, 0.0, 0.0], 0


def save(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain containers under a temporary name, then rename.

    Raises ``OSError`` where they cannot be written, such as on a full disk.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(buffer.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load(path: Path) -> dict[str, Any]:
    """Read it back on the CPU; raises `UserError` on a damaged or foreign file."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        state["progress"]
    except (OSError, RuntimeError, EOFError, LookupError, TypeError, ValueError, UnpicklingError) as error:
        raise UserError(
            f"{path}: expected a run's checkpoint, got {type(error).__name__}; "
            "remove the file to start the run again"
        ) from None
    return state
