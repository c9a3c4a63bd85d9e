"""Recipes: typed YAML files, overridable by ``key.sub=value``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from poseact.data.augment import Augmentation
from poseact.errors import UserError


@dataclass(frozen=True)
class NetworkSpec:
    """A preset and what differs from it (see `network.MultitaskNetwork`)."""

    preset: str
    layout: str | None = None
    width: int | None = None
    blocks: int | None = None
    size: int | None = None

    def overrides(self) -> dict[str, str | int]:
        """The arguments that differ from the preset."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k != "preset" and v is not None}


@dataclass(frozen=True)
class DataSpec:
    """The data set trained on, and the split of it that is scored after each epoch.

    ``count``, ``validation_count``: samples an epoch and in validation, for synthetic data.
    """

    name: str
    split: str
    validation: str
    root: str | None = None
    count: int | None = None
    validation_count: int | None = None


@dataclass(frozen=True)
class TrainingSpec:
    """AdamW with a linear warm-up and a cosine down to zero.

    ``average``: decay of the running mean of the weights, which is what is scored and saved.
    ``heat_map_weight``: see `losses.heat_map_loss`; 0 leaves Eq. 3 alone.
    ``sizes``: crop sizes in pixels to train at, among which the epochs are shared out evenly in
    that order (small crops first learn faster); the network's own size where empty.
    ``precision``: ``auto`` takes bf16 where the device computes in it. ``workers``: processes
    that prepare batches, 0: none beside the one that trains, best on two cores.
    """

    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float = 0.01
    warmup_steps: int = 200
    clip_norm: float = 1.0
    average: float = 0.999
    heat_map_weight: float = 0.05
    sizes: tuple[int, ...] = ()
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    workers: int = 0
    checkpoint_minutes: float = 2.0


@dataclass(frozen=True)
class Recipe:
    """One experiment. ``source``: where it comes from; ``expected``: scores and hours."""

    source: str
    expected: str
    network: NetworkSpec
    data: DataSpec
    training: TrainingSpec
    augmentation: Augmentation = field(default_factory=Augmentation)


def read_recipe(name: str, overrides: list[str]) -> Recipe:
    """Read a recipe file, or one that the package carries by its name.

    ``overrides``: ``key.sub=value``. Raises `UserError` on a missing or damaged file, an
    unknown key, a wrong type, or an override without ``=``.
    """
    path = _locate(name)
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_class_arguments(Recipe)
    parser.add_argument("--recipe", action="config")
    for override in overrides:
        if "=" not in override or override.startswith("-"):
            raise UserError(f"override {override!r}: expected key.sub=value, such as training.epochs=10")
    try:
        text = path.read_text()
        if not isinstance(yaml.safe_load(text), dict):
            raise UserError(f"{path}: expected a recipe, a YAML mapping; see the recipes of the package")
        config = parser.parse_args([f"--recipe={path}", *(f"--{o}" for o in overrides)])
        built = parser.instantiate(config)
    except (ArgumentError, ValueError, TypeError, yaml.YAMLError, OSError) as error:
        raise UserError(f"{path}: {_one_line(error)}; mend the recipe or the override") from None
    return Recipe(**{f.name: built[f.name] for f in dataclasses.fields(Recipe)})


def packaged() -> list[str]:
    """Names of the recipes that the package carries."""
    folder = resources.files("poseact") / "recipes"
    return sorted(p.name for p in folder.iterdir() if p.name.endswith(".yaml"))


def _locate(name: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    if path.parent == Path() and path.name in packaged():
        return Path(str(resources.files("poseact") / "recipes" / path.name))
    raise UserError(f"{name}: no such recipe file; the package carries {', '.join(packaged())}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
