"""Joints that tremble less: the One Euro filter, with the lag that it adds stated.

Casiez, Roussel and Vogel, *1 Euro Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
Interactive Systems*, CHI 2012: a first-order low-pass filter whose cut-off frequency rises with speed,
so that what rests is steady and what moves is not left behind. Two things are decided here. A joint has
one speed, not one each axis, so that it is not drawn off its way. And speed is taken from what comes in,
not from what was answered, which already lags: so the lag at a speed is one number (`Smoothing.lag_s`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from poseact.errors import UserError
from poseact.geometry import FloatArray
from poseact.structures import BoolArray

State = dict[str, npt.NDArray[np.float64] | BoolArray]


@dataclass(frozen=True)
class Smoothing:
    """How much is smoothed.

    - ``cutoff_hz``: of a joint at rest; lower is steadier.
    - ``slope``: by how many Hz the cut-off rises for each unit a second; higher lags less.
    - ``speed_cutoff_hz``: of the speed itself.

    The unit of speed is the one given with the values: the side of the person's crop in the predictor.
    Raises `UserError` on numbers that are not finite and positive (``slope``: or 0).
    """

    cutoff_hz: float = 1.0
    slope: float = 4.0
    speed_cutoff_hz: float = 1.0

    def __post_init__(self) -> None:
        numbers = (self.cutoff_hz, self.slope, self.speed_cutoff_hz)
        if not all(map(math.isfinite, numbers)) or min(self.cutoff_hz, self.speed_cutoff_hz) <= 0:
            raise UserError(
                f"smoothing: expected frequencies > 0, got {self.cutoff_hz}, {self.speed_cutoff_hz}"
            )
        if self.slope < 0:
            raise UserError(f"smoothing: expected a slope >= 0, got {self.slope}")

    def lag_s(self, speed: float) -> float:
        """By how many seconds a joint lags that has moved at ``speed`` (units a second) for a while.

        Exact at a constant speed, for even and uneven frame times. At rest and in every other movement
        no joint lags more than ``lag_s(0)``, which is 0.16 s by default.
        """
        return 1 / (2 * math.pi * (self.cutoff_hz + self.slope * abs(speed)))

    def describe(self) -> str:
        """What it adds, as one line."""
        return (
            f"joints smoothed (One Euro filter): they lag by at most {self.lag_s(0):.2f} s, and by "
            f"{self.lag_s(1):.3f} s at one side of the crop a second"
        )


class _Memory(NamedTuple):
    """What a filter knows after a frame; a joint that is not ``known`` starts anew."""

    time_s: float
    known: BoolArray
    measured: FloatArray
    answered: FloatArray
    velocity: FloatArray


class OneEuro:
    """The filter of one person's joints, of any number and dimension.

    Values may be pixels, with the crop's side as ``unit``, or metres, with 1. They should not be crop
    coordinates where the crop moves.
    """

    def __init__(self, smoothing: Smoothing | None = None) -> None:
        self.smoothing = smoothing or Smoothing()
        self._memory: _Memory | None = None

    def __call__(
        self, values: FloatArray, time_s: float, unit: float = 1.0, seen: BoolArray | None = None
    ) -> FloatArray:
        """Values (J, D) at ``time_s``, smoothed: (J, D).

        ``unit``: what speed is measured in. ``seen`` (J,): a joint that is not is answered as it comes,
        and starts anew when it is seen again. So does everything at a time that does not come after the
        last one.
        """
        values = np.array(values, np.float64)  # a copy: it is remembered
        now = np.ones(len(values), np.bool_) if seen is None else seen
        last = self._memory
        if last is None or time_s <= last.time_s:
            self._memory = _Memory(time_s, now.copy(), values, values, np.zeros_like(values))
            return values.copy()
        step = time_s - last.time_s
        both = (now & last.known)[:, None]
        speed_share = _share(step, np.full(len(values), self.smoothing.speed_cutoff_hz))
        moved = (values - last.measured) / step
        velocity = np.where(both, last.velocity + speed_share * (moved - last.velocity), 0.0)
        speed = np.linalg.norm(velocity, axis=1) / unit
        share = _share(step, self.smoothing.cutoff_hz + self.smoothing.slope * speed)
        answered = np.where(both, last.answered + share * (values - last.answered), values)
        self._memory = _Memory(time_s, now.copy(), values, answered, velocity)
        return answered.copy()

    def restart(self) -> None:
        """Forget everything, as where the person was found anew."""
        self._memory = None

    def state(self) -> State:
        """All that `restore` needs to go on as if nothing had happened; empty before the first frame."""
        if self._memory is None:
            return {}
        return {name: np.array(value) for name, value in self._memory._asdict().items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.float64] | BoolArray]) -> None:
        """Go on from a `state`."""
        self._memory = None
        if state:
            arrays = {name: np.array(state[name]) for name in _Memory._fields}
            self._memory = _Memory(**{**arrays, "time_s": float(arrays["time_s"])})  # type: ignore[arg-type]


def _share(step_s: float, cutoff_hz: FloatArray) -> FloatArray:
    """The share (J, 1) of a new value in a first-order low-pass filter, after ``step_s`` (Eq. 3 to 5)."""
    return np.asarray(step_s / (step_s + 1 / (2 * np.pi * cutoff_hz)))[:, None]
