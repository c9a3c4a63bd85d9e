"""What a stage starts from: its data sets, opened, and its network, new or with weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from poseact.data import NAMES, SYNTHETIC_FRAMES, open_data
from poseact.data.clips import TrackSource, is_tracks, refuse_changing
from poseact.data.loading import SampleSource, chosen
from poseact.errors import UserError
from poseact.export.network import ExportedNetwork
from poseact.inference.uncertainty import METADATA as CALIBRATION
from poseact.network import MultitaskNetwork, arguments, build
from poseact.skeleton import Layout
from poseact.training.optimisation import ACTION_PARTS
from poseact.training.recipe import NetworkSpec, Recipe, TrainingSet
from poseact.weights import load_model

_WRITES_MAPS, _READS_MAPS = ".heat_maps.weight", ".reinject.conv.weight"
State = dict[str, Tensor]


@dataclass(frozen=True)
class Sets:
    """The data sets of a stage: those trained on, their shares, what is scored, the action labels.

    ``damaged``: messages of what could not be opened, and was left out. ``poses``: sets whose poses alone
    are mixed in; ``shares`` are of ``train`` and then of these.
    """

    train: list[SampleSource | TrackSource]
    shares: list[float]
    validation: SampleSource | TrackSource
    labels: tuple[str, ...]
    damaged: tuple[str, ...] = ()
    poses: tuple[TrackSource, ...] = ()

    @property
    def mixed(self) -> list[SampleSource | TrackSource]:
        """All that a batch is mixed from."""
        return [*self.train, *self.poses]


def open_sets(recipe: Recipe) -> Sets:
    """Open a recipe's data sets; of synthetic people there are as many as the recipe counts.

    ``labels``: those of the videos; () where there are none. Raises `UserError` where a folder or a
    split is missing, where an action has no video to train on, and where the labels of two sets of videos do
    not match.
    """
    damaged: list[str] = []
    train = [_open(recipe, f"train.{name}", part, damaged) for name, part in recipe.data.train.items()]
    poses = [_open(recipe, f"poses.{name}", part, damaged) for name, part in recipe.data.poses.items()]
    of_poses = tuple(source for source in poses if is_tracks(source))
    if len(of_poses) < len(poses):
        raise UserError(f"data.poses: expected sets of videos alone, got {', '.join(recipe.data.poses)}")
    scored = recipe.data.validation
    source = open_data(scored.set, _root(recipe, scored.set), scored.split, scored.count)
    damaged += getattr(source, "damaged", ())
    validation = chosen(source, scored.count)
    if recipe.learns_actions:
        refuse_changing(validation, "data.validation")
    parts = [*recipe.data.train.items(), *recipe.data.poses.items()]
    names = [*(part.set or name for name, part in parts), scored.set]
    for name, opened in zip(names, [*train, *poses, validation], strict=True):
        if len(opened) == 0:
            raise UserError(f"{name}: the split is empty; choose another one")
        if recipe.recognises and is_tracks(opened) and max(opened.lengths) == 1:
            raise UserError(
                f"{name}: expected videos, to learn actions, got stills; packed with --frames 1? Give this "
                f"stage another folder: {recipe.name}:roots.{name}=DIR"
            )
    shares = [part.share for _, part in parts]
    labels = _labels(recipe, train, [*poses, validation])
    return Sets(train, shares, validation, labels, tuple(dict.fromkeys(damaged)), of_poses)


def _open(recipe: Recipe, key: str, part: TrainingSet, damaged: list[str]) -> SampleSource | TrackSource:
    """One data set to train on, at ``key`` of ``data``; what could not be opened is added to ``damaged``."""
    name = part.set or key.partition(".")[2]
    frames = SYNTHETIC_FRAMES if recipe.recognises else 1
    source = open_data(name, _root(recipe, name), part.split, part.count, frames)
    if part.swap_sides and not is_tracks(source):
        raise UserError(f"data.{key}.swap_sides: has no meaning for stills; leave it out")
    if absent := getattr(source, "absent", ()):
        raise UserError(
            f"{_root(recipe, name)}: no video of {', '.join(absent)} in {part.split}, but in another "
            "split; call an action's folder the same in all of them"
        )
    damaged += getattr(source, "damaged", ())
    return chosen(source, part.count, part.draws, part.swap_sides)


def open_network(
    recipe: Recipe, labels: tuple[str, ...], before: Path | None
) -> tuple[MultitaskNetwork, str | None]:
    """The network that a stage starts with, and where its weights came from.

    ``before``: the weights of the stage before. The network carries its ``layout``, ``action_labels``
    and ``arguments``, and as ``metadata`` what stays true of the weights. Of weights for other joints, or
    without depth, each joint's heat map is found by its name; the joints that they do not have are new.
    Action heads are taken over where their labels are the data's; heads for other labels are new, unless
    they come from the stage before: that raises `UserError`, as do arguments that do not fit the weights,
    and labels that are missing. ``network.heads`` takes them from another file, where they have to fit.
    """
    source = recipe.network.weights or before
    start = None if source is None else _trainable(source)
    if not recipe.recognises:
        labels = ()
    elif not labels:
        raise UserError(f"recipe {recipe.name}: network.actions: the sets of data.train have no labels")
    args, heads = _arguments(recipe.network, labels, start), open_heads(recipe, labels)
    if heads is not None:
        if start is not None and start.actions and recipe.network.weights is None:
            raise UserError(
                f"{recipe.name}: network.heads would replace those that the stage before trained; give them "
                "to one stage, STAGE:network.heads=FILE"
            )
        args = {**args, **_arguments_of_heads(heads), **recipe.network.overrides()}
    try:
        network, layout = build(args)
    except ValueError as error:
        raise UserError(f"recipe {recipe.name}, network: {error}") from None
    if start is not None:
        same = start.action_labels in ((), labels)
        if labels and start.actions and not same and recipe.network.weights is None:
            raise _other_labels(source, start, labels)
        _take_over(start, network, layout, str(source), heads=same and heads is None)
    network.layout, network.arguments, network.action_labels = layout, args, labels
    network.metadata = {} if start is None else _inherited(start, args, str(source), recipe.training.trains)
    if heads is not None:
        _take_heads(heads, network, str(recipe.network.heads))
    return network, None if source is None else str(source)


def _trainable(source: str | Path) -> MultitaskNetwork:
    model = load_model(source)
    if isinstance(model, ExportedNetwork):
        raise UserError(f"{source}: is an export, which cannot be trained; start from a .safetensors file")
    return model


def _other_labels(source: str | Path | None, start: MultitaskNetwork, labels: tuple[str, ...]) -> UserError:
    theirs, ours = _listed(start.action_labels), _listed(labels)
    return UserError(f"{source}: the labels do not match: {theirs} there, {ours} in the data")


def open_heads(recipe: Recipe, labels: tuple[str, ...]) -> MultitaskNetwork | None:
    """The network whose action heads ``network.heads`` names; None where it names none.

    Raises `UserError` where it cannot be read, has no heads, or has them for other actions than the data's.
    """
    source = recipe.network.heads
    if source is None:
        return None
    heads = _trainable(source)
    if not heads.actions:
        raise UserError(f"{source}: has no action heads; give other weights, or leave out network.heads")
    if heads.action_labels not in ((), labels):
        raise _other_labels(source, heads, labels)
    return heads


def _arguments_of_heads(heads: MultitaskNetwork) -> dict[str, Any]:
    return {key: heads.arguments[key] for key in ("frames", "pose_stream") if key in heads.arguments}


def _take_heads(heads: MultitaskNetwork, network: MultitaskNetwork, source: str) -> None:
    """Copy the action heads of other weights, and tell it in the metadata."""
    if heads.layout != network.layout:
        raise UserError(
            f"{source}: its action heads are for the joints of {heads.layout.name}, the recipe's network "
            f"has those of {network.layout.name}; add network.layout={heads.layout.name}, or leave out "
            "network.heads"
        )
    theirs, mine = heads.state_dict(), network.state_dict()
    names = [name for name in mine if name.split(".")[0] in ACTION_PARTS]
    for name in names:
        if name not in theirs or theirs[name].shape != mine[name].shape:
            raise UserError(
                f"{source}: its action heads do not fit the recipe's network, first in {name}; leave out "
                "network.pose_stream, width and the like, or network.heads"
            )
    network.load_state_dict({name: theirs[name] for name in names}, strict=False)
    network.metadata["heads_from"] = _told(source, heads)
    licences = [each.metadata.get("licence", "unknown") for each in (network, heads)]
    if licences[0] != licences[1]:
        network.metadata["licence"] = f"of the poses: {licences[0]}; of the action heads: {licences[1]}"


def _told(source: str, start: MultitaskNetwork) -> str:
    return f"{Path(source).name}, sha256 {start.metadata.get('sha256', 'unknown')}"


def _inherited(start: MultitaskNetwork, args: dict[str, Any], source: str, trains: str) -> dict[str, str]:
    """What weights still say of themselves after a stage that starts from them.

    Their licence, and where poses are frozen and answered as before, the calibration of their uncertainty.
    """
    told = {"started_from": _told(source, start)}
    names = ["licence"]
    pose = (args.keys() | start.arguments.keys()) - {"actions", "frames", "pose_stream"}
    if trains == "action" and all(args.get(name) == start.arguments.get(name) for name in pose):
        names.append(CALIBRATION)
    return told | {name: start.metadata[name] for name in names if name in start.metadata}


def _root(recipe: Recipe, name: str) -> Path | None:
    if name not in recipe.roots and name in NAMES and name != "synthetic":
        raise UserError(f"{name}: expected the folder of the data set; give it with roots.{name}=DIR")
    # A shell leaves ~ as it is after an equals sign.
    return Path(recipe.roots[name]).expanduser() if name in recipe.roots else None


def _labels(
    recipe: Recipe, train: list[SampleSource | TrackSource], others: list[SampleSource | TrackSource]
) -> tuple[str, ...]:
    """The labels that the sets of videos agree on; () where actions are not learnt.

    ``others``: the sets of poses alone, and the one for validation.
    """
    if not recipe.recognises:
        return ()
    names = [*recipe.data.train, *recipe.data.poses, recipe.data.validation.set]
    tracks = [(n, s.actions) for n, s in zip(names, [*train, *others], strict=True) if is_tracks(s)]
    if not is_tracks(others[-1]):
        raise UserError(f"data.validation: expected a set of videos, to score actions; got {names[-1]}")
    if not any(is_tracks(source) for source in train):
        raise UserError(
            f"data.train: expected a set of videos, to learn actions; got {', '.join(recipe.data.train)}"
        )
    for name, actions in tracks[1:]:
        if actions != tracks[0][1]:
            raise UserError(
                f"the labels of {tracks[0][0]} and {name} do not match: {_listed(tracks[0][1])} and "
                f"{_listed(actions)}; train and validate on sets with the same actions"
            )
    return tuple(tracks[0][1])


def _listed(labels: tuple[str, ...], most: int = 3) -> str:
    shown = ", ".join(labels[:most])
    return f"{len(labels)} actions ({shown}{', ...' if len(labels) > most else ''})"


def _arguments(spec: NetworkSpec, labels: tuple[str, ...], start: MultitaskNetwork | None) -> dict[str, Any]:
    """The arguments of `network.build`: those of the preset or of the weights, with the recipe's on top."""
    if start is not None:
        args = {**start.arguments, **spec.overrides()}
    else:
        try:
            args = arguments(spec.preset or "", spec.variant, **spec.overrides())
        except ValueError as error:
            raise UserError(f"network: {error}") from None
    if labels:
        return {**args, "actions": len(labels)}
    return {k: v for k, v in args.items() if k not in ("actions", "frames", "pose_stream")}


def _take_over(
    start: MultitaskNetwork, network: MultitaskNetwork, layout: Layout, source: str, heads: bool
) -> None:
    """Copy the pose part, and with ``heads`` the action heads where they fit."""
    theirs, mine = start.state_dict(), network.state_dict()
    if start.layout != layout or start.reader.depth_maps != network.reader.depth_maps:
        _move_maps(start, network, layout, theirs, mine)
    fits = {name: name in theirs and theirs[name].shape == mine[name].shape for name in mine}
    action = [name for name in mine if name.split(".")[0] in ACTION_PARTS]
    for name in mine.keys() - action:
        if not fits[name] and not name.startswith("reader."):  # its grids follow the size of the crop
            raise UserError(
                f"{source}: does not fit the recipe's network, first in {name}; leave out network.width, "
                "blocks and the like, which follow the weights, or start from others"
            )
    kept = [name for name in mine if fits[name] and name not in action]
    if heads and all(fits[name] for name in action):
        kept += action
    network.load_state_dict({name: theirs[name] for name in kept}, strict=False)


def _move_maps(
    start: MultitaskNetwork, network: MultitaskNetwork, layout: Layout, theirs: State, mine: State
) -> None:
    """Put the layers around the heat maps of ``start`` into the form of ``network``, in ``theirs``.

    Where the number of depths differs, all depths of a joint get the mean of those there, so that the
    network answers the same in the plane, and half-way in depth; what is read back is divided among them.
    """
    before = start.reader.depth_maps or 1
    depths = network.reader.depth_maps or 1
    kept = [joint for joint in layout.joints if joint in start.layout.joints]
    context = min(start.reader.context, network.reader.context)
    rows = _maps_of(start, [start.layout.index(joint) for joint in kept], context)
    places = _maps_of(network, [layout.index(joint) for joint in kept], context)
    # Action heads have layers of that name too: of actions, not of joints.
    for name in (n for n in mine.keys() & theirs.keys() if n.split(".")[0] not in ACTION_PARTS):
        if name.endswith(_WRITES_MAPS):
            found = theirs[name].unflatten(0, (before, -1))
            found = found if before == depths else found.mean(0, keepdim=True)
            new = mine[name].unflatten(0, (depths, -1)).clone()
            if found.shape[2:] != new.shape[2:]:  # of another width, which the caller tells
                continue
            new[:, places] = found[:, rows]
            theirs[name] = new.flatten(0, 1)
        elif name.endswith(_READS_MAPS):
            found = theirs[name].unflatten(1, (before, -1))
            found = found if before == depths else found.sum(1, keepdim=True) / depths
            new = mine[name].unflatten(1, (depths, -1)).clone()
            if found.shape[:1] != new.shape[:1] or found.shape[3:] != new.shape[3:]:
                continue
            new[:, :, places] = found[:, :, rows]
            theirs[name] = new.flatten(1, 2)


def _maps_of(network: MultitaskNetwork, joints: list[int], context: int) -> list[int]:
    """The maps of joints, of one depth: each one's own, then its first ``context`` ones (`PoseReader`)."""
    count, each = network.reader.joints, network.reader.context
    return [*joints, *(count + joint * each + c for joint in joints for c in range(context))]
