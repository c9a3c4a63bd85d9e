"""Recipes: typed YAML files, one a stage of training, overridable by ``key.sub=value``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from poseact.data import NAMES
from poseact.data.augment import AUGMENTATIONS, Augmentation
from poseact.errors import UserError
from poseact.network.action import PoseStream
from poseact.network.multitask import Variant
from poseact.network.soft_argmax import DepthReading
from poseact.training.typed import typed

MOST_CHECKPOINT_MINUTES = 5.0
SECTIONS = ("network", "data", "training", "augmentation", "roots")


@dataclass(frozen=True)
class NetworkSpec:
    """Where the network comes from, and what differs from that (see `network.MultitaskNetwork`).

    It is built from ``preset`` (in the ``variant`` asked for), or starts from ``weights``: a file, or
    a published network's name. A stage that comes after another starts from that one's weights, unless
    it names its own. ``actions: auto``: a network that recognises the actions of the data; without it,
    one for poses alone. ``heads``: a file or a name whose action heads are taken in place of those of the
    weights, so that they go on where a stage between was for poses alone.
    """

    preset: str | None = None
    weights: str | None = None
    heads: str | None = None
    actions: Literal["auto"] | None = None
    variant: Variant | None = None
    layout: str | None = None
    width: int | None = None
    blocks: int | None = None
    size: int | None = None
    depth_maps: int | None = None
    depth_reading: DepthReading | None = None
    context: int | None = None
    frames: int | None = None
    pose_stream: PoseStream | None = None

    def overrides(self) -> dict[str, str | int]:
        """The arguments that differ from the preset, or from the weights."""
        rest = ("preset", "weights", "heads", "actions", "variant")
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in rest and v is not None}


@dataclass(frozen=True)
class TrainingSet:
    """A data set of the mix: its split, and its share of every batch, in any unit.

    ``set``: its name, where it stands under another one because the mix has two splits of it.
    ``count``: at most so many items of it; synthetic people: so many. ``draws``: stills or clips of each
    video in one pass. ``swap_sides``: see `data.loading.chosen`.
    """

    split: str
    share: float = 1.0
    count: int | None = None
    draws: int = 1
    swap_sides: bool = False
    set: str | None = None


@dataclass(frozen=True)
class ValidationSet:
    """What is scored after each epoch: a data set's split, or ``count`` items of it, evenly spaced."""

    set: str
    split: str
    count: int | None = None


@dataclass(frozen=True)
class DataSpec:
    """``train``: the mix by the sets' names; an epoch is one pass over the first (see `data.mixing`).

    ``poses``: sets of videos whose annotated poses alone are mixed in, by shares beside those of ``train``;
    no picture is read. They teach the stream of poses in a stage with ``training.kept``.
    """

    train: dict[str, TrainingSet]
    validation: ValidationSet
    poses: dict[str, TrainingSet] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingSpec:
    """How a stage is trained; the defaults are those of the package's own recipes.

    - ``batch``: stills or clips a step, over all processes; each process takes its share in
      ``accumulation`` parts, one after the other, for want of memory.
    - ``trains``: the pose part, the action heads or all; the rest is frozen, batch norm's statistics
      included. ``poses`` that the action heads read: those estimated, or the annotated ones, with
      Gaussian noise of ``pose_noise`` crop units where ``noisy``.
    - ``kept``: where the poses are frozen and estimated, each video's crops are drawn once and what the
      pose part answers for them is kept (see `kept`): epochs after that cost the action heads alone.
    - ``schedule``: a linear warm-up of ``warmup_steps``, then ``cosine`` down to zero; ``plateau``:
      x ``factor`` after ``patience`` epochs without a better validation; ``steps``: x ``factor`` after
      each epoch of ``milestones``.
    - ``pose_weight``, ``action_weight``, ``heat_map_weight``: of the losses (see `losses`);
      ``depth_weight``: of z in the pose loss; ``knee_weight``: of knees that bend the wrong way, in 3D.
    - ``clip_norm``: largest norm of the gradient, 0: any. ``average``: decay of the running mean of
      the weights, which is what is scored and saved, 0: the weights themselves.
    - ``sizes``: crop sizes in pixels to train at, among which the epochs are shared out evenly in
      that order (small crops first learn faster); the network's own size where empty.
    - ``precision``: ``auto`` takes bf16 where that is faster. ``workers``: processes
      that prepare batches, 0: none beside the one that trains, best on two cores.
    - ``sample_every``: epochs between sheets of validation samples with the network's answers, 0: none.
    """

    epochs: int
    batch: int
    learning_rate: float
    optimizer: Literal["adamw", "rmsprop", "sgd", "muon"] = "adamw"
    schedule: Literal["cosine", "plateau", "steps"] = "cosine"
    momentum: float = 0.98
    weight_decay: float = 0.01
    warmup_steps: int = 200
    patience: int = 3
    factor: float = 0.2
    milestones: tuple[int, ...] = ()
    trains: Literal["all", "pose", "action"] = "all"
    poses: Literal["estimated", "given", "noisy"] = "estimated"
    pose_noise: float = 0.0
    kept: bool = False
    pose_weight: float = 1.0
    action_weight: float = 1.0
    heat_map_weight: float = 0.05
    depth_weight: float = 1.0
    knee_weight: float = 0.0
    clip_norm: float = 1.0
    average: float = 0.999
    sizes: tuple[int, ...] = ()
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    accumulation: int = 1
    workers: int = 0
    checkpoint_minutes: float = 2.0
    sample_every: int = 1


@dataclass(frozen=True)
class Recipe:
    """One stage of an experiment.

    ``source``: its place in the paper, or whose idea it is; ``expected``: scores; ``hours``: and on
    what. ``after``: the recipe whose weights it starts from. ``roots``: the data sets' folders.
    ``name``: its file's, without the ending. ``overrides``: what the command line changed
    of it, but for places on this machine.
    """

    source: str
    expected: str
    hours: str
    network: NetworkSpec
    data: DataSpec
    training: TrainingSpec
    after: str | None = None
    roots: dict[str, str] = field(default_factory=dict)
    augmentation: Augmentation = field(default_factory=Augmentation)
    name: str = ""
    overrides: tuple[str, ...] = ()

    @property
    def recognises(self) -> bool:
        """Whether the network has action heads."""
        return self.network.actions == "auto"

    @property
    def learns_poses(self) -> bool:
        """Whether the pose loss is minimised."""
        return self.training.trains != "action" and self.training.pose_weight > 0

    @property
    def learns_actions(self) -> bool:
        """Whether the loss of the actions is minimised."""
        return self.recognises and self.training.trains != "pose" and self.training.action_weight > 0


_PLACES = (("network", "weights"), ("network", "heads"))
"""Keys that may name files of this machine, which weights do not tell."""


class _Override(NamedTuple):
    """One ``key.sub=value`` of the command line; ``stage`` None: for every stage that has the key."""

    text: str
    stage: str | None
    keys: tuple[str, ...]
    value: Any


def read_recipe(name: str, overrides: list[str]) -> Recipe:
    """The last stage of `read_chain`."""
    return read_chain(name, overrides)[-1]


def read_chain(name: str, overrides: list[str]) -> list[Recipe]:
    """A recipe, a file or one that the package carries by its name, after all that it comes after.

    ``overrides``: ``key.sub=value`` for all stages that have the key, ``STAGE:key.sub=value`` for one.
    A stage that names ``network.weights`` starts there: those before it are left out.
    Raises `UserError` on a missing or damaged file, an unknown key, a wrong type, or an override that
    is not one or that no stage has.
    """
    wanted = [_parsed(text) for text in overrides]
    taken: set[str] = set()
    chain: list[Recipe] = []
    place: Path | None = _locate(name, None)
    while place:
        if place.stem in (recipe.name for recipe in chain):
            raise UserError(f"{place}: comes after itself; mend 'after' in one of the recipes")
        chain.insert(0, _read(place, wanted, taken))
        first = chain[0]
        place = _locate(f"{first.after}.yaml", place) if first.after and not first.network.weights else None
    for override in wanted:
        if override.text not in taken:
            stages = ", ".join(recipe.name for recipe in chain)
            raise UserError(f"override {override.text!r}: no stage of {stages} has such a key; check it")
    return chain


def packaged() -> list[str]:
    """Names of the recipes that the package carries."""
    folder = resources.files("poseact") / "recipes"
    return sorted(p.name for p in folder.iterdir() if p.name.endswith(".yaml"))


def _locate(name: str, beside: Path | None) -> Path:
    """The file of a recipe: as named, beside the recipe that comes after it, or in the package.

    In the package, the name alone is enough.
    """
    path = Path(name) if beside is None else beside.parent / name
    if path.is_file():
        return path
    own = name if name.endswith(".yaml") else f"{name}.yaml"
    if Path(own).parent == Path() and own in packaged():
        return Path(str(resources.files("poseact") / "recipes" / own))
    raise UserError(f"{name}: no such recipe file; the package carries {', '.join(packaged())}")


def _parsed(text: str) -> _Override:
    name, equals, value = text.partition("=")
    stage, colon, key = name.rpartition(":")
    keys = tuple(key.split("."))
    if not equals or text.startswith("-") or not all(keys):
        raise UserError(f"override {text!r}: expected key.sub=value, such as training.epochs=10")
    try:
        return _Override(text, stage if colon else None, keys, yaml.safe_load(value))
    except yaml.YAMLError as error:
        raise UserError(f"override {text!r}: {_one_line(error)}; quote the value") from None


def _read(path: Path, overrides: list[_Override], taken: set[str]) -> Recipe:
    """One stage; the texts of the overrides that it takes are added to ``taken``."""
    try:
        content = yaml.safe_load(path.read_text())
        if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
            raise UserError(f"{path}: expected a recipe, a YAML mapping; see the recipes of the package")
        _name_ranges(content)
        changed = []
        for override in overrides:
            if override.stage in (None, path.stem) and _put(content, override):
                taken.add(override.text)
                _name_ranges(content)
                if override.keys[0] != "roots" and override.keys not in _PLACES:
                    changed.append(override.text)
        for key in ("name", "overrides"):
            if key in content:
                raise ValueError(f"{key}: no such key; a recipe's name is that of its file")
        recipe = typed(Recipe, {**content, "name": path.stem, "overrides": changed})
    except (ValueError, yaml.YAMLError, OSError) as error:
        raise UserError(f"{path}: {_one_line(error)}; mend the recipe or the override") from None
    for problem in _problems(recipe):
        raise UserError(f"{path}: {problem}")
    return recipe


def _name_ranges(content: dict[str, Any]) -> None:
    """Replace the name of an augmentation by its ranges."""
    name = content.get("augmentation")
    if isinstance(name, str):
        if name not in AUGMENTATIONS:
            raise ValueError(
                f"augmentation: expected ranges or one of {', '.join(AUGMENTATIONS)}, got {name}"
            )
        content["augmentation"] = dataclasses.asdict(AUGMENTATIONS[name])


def _put(content: dict[str, Any], override: _Override) -> bool:
    """Set a value; False where the mapping that would hold it is not in this recipe.

    A section that the recipe leaves out is there all the same; whether it has the key is for the typed
    parser to say. Folders may be named for all data sets, also for those that the recipe does not use.
    """
    *parents, last = override.keys
    if override.keys[0] == "roots" and last not in NAMES:
        return False
    inner = content
    for depth, key in enumerate(parents):
        if depth == 0 and key in SECTIONS and inner.get(key) is None:
            inner[key] = {}
        if not isinstance(inner.get(key), dict):
            return False
        inner = inner[key]
    inner[last] = override.value
    return True


def _problems(recipe: Recipe) -> list[str]:
    """What no type can tell."""
    network, data, spec = recipe.network, recipe.data, recipe.training
    starts = [network.preset, network.weights or recipe.after]
    parts = [*data.train.values(), *data.poses.values()]
    shares = [part.share for part in parts]
    checks = [
        (sum(start is not None for start in starts) == 1,
         "network: expected either a preset, or weights or a recipe that it comes after; to start a preset's "
         "recipe from weights, add network.preset=null, and the same for width, blocks and variant"),
        (network.variant is None or network.preset is not None,
         "network.variant: belongs to a preset; weights have one already"),
        (network.heads is None or recipe.recognises,
         "network.heads: belongs to a stage with network.actions: auto; leave it out, or of a chain give it "
         "to that stage, STAGE:network.heads=FILE"),
        (bool(data.train), "data.train: expected at least one data set"),
        (all(share > 0 for share in shares), f"data: expected shares above zero, got {shares}"),
        (all(part.draws > 0 for part in parts), "data: expected draws of at least 1"),
        (all(n is None or n > 0 for n in [*(part.count for part in parts), data.validation.count]),
         "data: expected counts of at least 1"),
        (recipe.recognises or (spec.trains != "action" and spec.poses == "estimated"),
         "network.actions: expected auto, to train actions or to give poses to the action heads"),
        (recipe.learns_poses or recipe.learns_actions, "training: expected a loss; all weights are 0"),
        (spec.epochs > 0 and spec.batch > 0 and spec.accumulation > 0,
         "training: expected epochs, batch and accumulation of at least 1"),
        (0 <= spec.average < 1, f"training.average: expected at least 0 and below 1, got {spec.average}"),
        (not any(size < 32 or size % 32 for size in spec.sizes),
         f"training.sizes: expected multiples of 32, got {list(spec.sizes)}"),
        (0 <= spec.checkpoint_minutes <= MOST_CHECKPOINT_MINUTES,
         f"training.checkpoint_minutes: expected 0 to {MOST_CHECKPOINT_MINUTES:g}"),
        ((spec.poses == "noisy") == (spec.pose_noise > 0),
         "training.pose_noise: expected above 0 where poses are noisy, else 0"),
        (not data.poses or (spec.kept and spec.accumulation == 1),
         "data.poses: expected training.kept, and training.accumulation of 1; leave it out"),
        (not data.poses or spec.batch * shares[0] >= sum(shares),
         "data.poses: expected at least one clip of the first set in each batch; raise its share"),
        (not spec.kept or (spec.trains, spec.poses) == ("action", "estimated"),
         "training.kept: expected training.trains action and poses estimated; leave it out"),
        (not spec.kept or len(spec.sizes) <= 1, "training.kept: expected one of training.sizes"),
    ]  # fmt: skip
    return [*(message for holds, message in checks if not holds), *_ranges(spec, recipe.augmentation)]


def _ranges(spec: TrainingSpec, drawn: Augmentation) -> list[str]:
    """Numbers outside what they can be."""
    least = {
        "weight_decay": 0, "warmup_steps": 0, "pose_weight": 0, "action_weight": 0, "heat_map_weight": 0,
        "depth_weight": 0, "knee_weight": 0,
        "pose_noise": 0, "clip_norm": 0, "seed": 0, "workers": 0, "sample_every": 0, "momentum": 0,
        "patience": 1,
    }  # fmt: skip
    checks = [
        *((getattr(spec, name) >= low, f"training.{name}: expected at least {low}")
          for name, low in least.items()),
        *((getattr(spec, name) > 0, f"training.{name}: expected above 0")
          for name in ("learning_rate", "factor")),
        (drawn.rotation >= 0 and min(drawn.shift) >= 0,
         "augmentation: expected rotation and shift of at least 0"),
        (0 < drawn.scale[0] <= drawn.scale[1], "augmentation.scale: expected two rising values above 0"),
        (all(scale > 0 for scale in drawn.scales), "augmentation.scales: expected values above 0"),
        (0 < drawn.power[0] <= drawn.power[1], "augmentation.power: expected two rising values above 0"),
        (bool(drawn.strides) and min(drawn.strides) >= 1, "augmentation.strides: expected numbers from 1"),
    ]  # fmt: skip
    return [message for holds, message in checks if not holds]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
