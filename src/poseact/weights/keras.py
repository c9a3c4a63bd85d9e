"""Strict importer of the weights that the paper's authors published as Keras ``.h5`` files.

Such a file is a list of layer groups, each a list of weights. The tables below say which
modules a group holds, in the file's order. Weights are matched by group, kind and order,
never by the numbers in their names, and everything must be used up and have its shape.

Within a group Keras sorts layers by depth in the graph (longest path to the output first), so
parallel branches interleave; all trainable weights may come before all running statistics, or
every layer's together. Either way the order within one kind is the same.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from poseact.data.actions import NTU_ACTIONS, PENN_ACTIONS
from poseact.data.images import check_place
from poseact.errors import UserError
from poseact.network import PRESETS, MultitaskNetwork, build
from poseact.network import arguments as preset_arguments
from poseact.network.multitask import STRIDE
from poseact.skeleton import LAYOUTS, PA16, PA17, PA20
from poseact.weights.files import save_weights
from poseact.weights.registry import RELEASED

Array = npt.NDArray[np.float32]
Shape = tuple[int, ...]

# Groups to modules (below stem, blocks.K, pose_recognition ...), in the file's order.
STEM = [
    "entry.0", "entry.1", "entry.2", "down1", "long.0", "long.1", "short.0", "long.2", "short.1",
    "long.3", "down2", "residual.shortcut", "residual.separable",
]  # fmt: skip
MULTI_RESOLUTION = [
    "reduce", "level2_in.separable", "level3.0.separable", "level3.1.separable",
    "level3.2.separable", "level2.separable", "level2_out.shortcut", "level2_out.separable",
    "level1.separable",
]  # fmt: skip
PREDICTION = {
    "rBlock": [f"features.{unit}" for unit in MULTI_RESOLUTION],
    "SepConv": ["separable"],
    "RegMap": ["heat_maps"],
    "fReMap": ["reinject"],
}
ACTION_BLOCK = ["bottleneck.0", "bottleneck.1", "conv", "action_maps", "reinject"]
ACTION_BLOCKS = [f"blocks.blocks.{k}.{unit}" for k in range(4) for unit in ACTION_BLOCK][:-1]
POSE_RECOGNITION = ["temporal.0", "temporal.1", "temporal.2", "deep.0", "wide", "deep.1", *ACTION_BLOCKS]
APPEARANCE_RECOGNITION = ["reduce", *ACTION_BLOCKS]
MERGES = ["merge of poses", "merge of appearance"]  # our names: in the file they are automatic

# A weight's kind to what a module's name gets in our networks.
KINDS = {
    "kernel": (".conv.weight", ".weight"),
    "depthwise_kernel": (".depthwise.weight",),
    "pointwise_kernel": (".pointwise.weight",),
    "beta": (".bn.bias",),
    "moving_mean": (".bn.running_mean",),
    "moving_variance": (".bn.running_var",),
}
SAME_LAYER = [("depthwise_kernel", "pointwise_kernel"), ("beta", "moving_mean", "moving_variance")]
EXPLICIT = re.compile(
    r"(?:td_)?(?:((?:rBlock|SepConv|RegMap|fReMap)\d+|Stem|[scz]SAM|Agg|PoseAR|GuidedVisAR)|(Model)\d+)"
)

LAYOUTS_BY_JOINTS = {len(layout): layout.name for layout in (PA16, PA17, PA20)}
# Filters of the first convolution of pose recognition to its version and the clip's frames.
POSE_STREAMS = {8: ("v1", 16), 12: ("v2", 20)}
ACTION_LABELS = {len(labels): labels for labels in (PENN_ACTIONS, NTU_ACTIONS)}
LICENCE = "MIT, Copyright (c) 2020 Diogo Carbonera Luvizon"
REMEDY = "expected a file as the authors published it; get one with: poseact weights download NAME"


class _FormatError(Exception):
    """What is wrong with the file, without its name."""


@dataclass(frozen=True)
class _Group:
    """A layer group: its name in the file, and its weights by kind, in order."""

    name: str
    weights: dict[str, list[h5py.Dataset]]


def convert(path_in: str | Path, path_out: str | Path) -> None:
    """Read a published ``.h5`` file and write it as a weight file; raises ``UserError``."""
    check_place(Path(path_out), ".safetensors")
    model, arguments, metadata = read_keras(path_in)
    save_weights(path_out, model, arguments, metadata)


def read_keras(path: str | Path) -> tuple[MultitaskNetwork, dict[str, Any], dict[str, str]]:
    """Read a published ``.h5`` file: (network in eval mode, its arguments, metadata).

    Which network it is, the file's shapes tell. Raises ``UserError`` on a file that is
    missing, cut short or of another kind, and on any group or weight that is missing, left
    over, out of order or of another shape.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: expected a Keras .h5 file, found none; check the path")
    try:
        with h5py.File(path, "r") as file:
            groups = _by_role(_groups(file))
            arguments = _arguments(groups)
            model, _ = build(arguments)
            model.load_state_dict(_state(groups, arguments, model.state_dict()))
    except _FormatError as error:
        raise UserError(f"{path}: {error}; {REMEDY}") from None
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:  # what h5py and build raise
        found = " ".join(str(error).split())
        raise UserError(
            f"{path}: found no whole Keras .h5 file of a known network ({found}); {REMEDY}"
        ) from None
    return model.eval(), arguments, _metadata(path, arguments)


def _groups(file: h5py.File) -> list[_Group]:
    """The groups that have weights, in the order of the attributes that list them."""
    if "layer_names" not in file.attrs:
        raise _FormatError("expected the attribute layer_names, found none")
    groups = []
    for layer in _names(file.attrs["layer_names"]):
        weights: dict[str, list[h5py.Dataset]] = {}
        layers: dict[str, list[str]] = {}
        for name in _names(file[layer].attrs["weight_names"]):
            owner, _, last = name.rpartition("/")
            kind = last.split(":")[0]
            if kind not in KINDS:
                raise _FormatError(
                    f"group {layer}: expected weights of kind {', '.join(KINDS)}, found {name}"
                )
            weights.setdefault(kind, []).append(file[layer][name])
            layers.setdefault(kind, []).append(owner)
        _check_pairs(layer, layers)
        if weights:
            groups.append(_Group(layer, weights))
    return groups


def _names(attribute: Iterable[str | bytes]) -> list[str]:
    return [name.decode() if isinstance(name, bytes) else str(name) for name in attribute]


def _check_pairs(group: str, layers: Mapping[str, list[str]]) -> None:
    """Where names tell which layer a weight belongs to, all kinds list the layers alike."""
    for kinds in SAME_LAYER:
        first, *others = (layers.get(kind, []) for kind in kinds)
        for kind, other in zip(kinds[1:], others, strict=True):
            if set(first) == set(other) and first != other:
                a, b = next(pair for pair in zip(first, other, strict=True) if pair[0] != pair[1])
                raise _FormatError(
                    f"group {group}: expected the {kind} of {a} in its place, found that of {b}"
                )


def _by_role(groups: list[_Group]) -> dict[str, _Group]:
    """The groups by the names of the tables; those with automatic names are the merges."""
    roles: dict[str, _Group] = {}
    automatic = iter(MERGES)
    for group in groups:
        match = EXPLICIT.fullmatch(group.name)
        role = match[1] or match[2] if match else next(automatic, None)
        if role is None or role in roles:
            raise _FormatError(f"group {group.name}: expected no such group, found one with weights")
        roles[role] = group
    return roles


def _arguments(groups: dict[str, _Group]) -> dict[str, Any]:
    """The network's arguments, read from the shapes of the file."""
    rows, _, joints, _ = _shape(groups, "sSAM", "depthwise_kernel", 4)
    if joints not in LAYOUTS_BY_JOINTS:
        raise _FormatError(
            f"group sSAM: expected {', '.join(map(str, LAYOUTS_BY_JOINTS))} joints, found {joints}"
        )
    arguments = {
        "layout": LAYOUTS_BY_JOINTS[joints],
        "variant": "released",
        "width": _shape(groups, "Stem", "pointwise_kernel", 4)[-1],
        "size": rows * STRIDE,
    }
    if "zSAM" in groups:
        arguments["depth_maps"] = _shape(groups, "zSAM", "kernel", 3)[0]
    elif "cSAM" in groups:
        arguments["context"] = _shape(groups, "cSAM", "depthwise_kernel", 4)[2] // joints
    if not groups.keys() & {"Model", "PoseAR", "GuidedVisAR"}:
        counts = [sum(role.startswith(kind) for role in groups) for kind in PREDICTION]
        return arguments | {"blocks": max(1, *counts)}
    filters = _shape(groups, "PoseAR", "kernel", 4)[-1]
    if filters not in POSE_STREAMS:
        raise _FormatError(f"group PoseAR: expected 8 or 12 filters in its first kernel, found {filters}")
    version, frames = POSE_STREAMS[filters]
    # After the first block's features, a block has four kernels, the first three and the last one.
    _shape(groups, "Model", "kernel", 4)
    return arguments | {
        "blocks": (len(groups["Model"].weights["kernel"]) + 3) // 4,
        "actions": _shape(groups, MERGES[0], "pointwise_kernel", 4)[-1],
        "frames": frames,
        "pose_stream": version,
    }


def _shape(groups: dict[str, _Group], role: str, kind: str, rank: int) -> Shape:
    """Shape of a group's first weight of a kind, which must have ``rank`` numbers."""
    if role not in groups:
        raise _FormatError(f"expected a group {role} with weights, found none")
    weights = groups[role].weights.get(kind, [])
    shape: Shape = weights[0].shape if weights else ()
    if len(shape) != rank:
        raise _FormatError(
            f"group {groups[role].name}: expected a {kind} of {rank} axes, found shape {shape}"
        )
    return shape


def _modules(arguments: Mapping[str, Any]) -> dict[str, list[str]]:
    """Every group with trained weights and its modules, in the order of the graph."""
    table = {"Stem": [f"stem.{unit}" for unit in STEM]}
    for k in range(arguments["blocks"]):
        for group, units in PREDICTION.items():
            table[f"{group}{k + 1}"] = [f"blocks.{k}.{unit}" for unit in units]
    table.popitem()  # the last block has no re-injection
    if "actions" not in arguments:
        return table
    stem, first, *rest = table.items()
    return {
        **dict((stem, first)),
        "Model": [unit for _, units in rest for unit in units],
        "PoseAR": [f"pose_recognition.{unit}" for unit in POSE_RECOGNITION],
        "GuidedVisAR": [f"appearance_recognition.{unit}" for unit in APPEARANCE_RECOGNITION],
    }


def _keys(arguments: Mapping[str, Any], state: Mapping[str, Tensor]) -> dict[str, dict[str, list[str]]]:
    """Of every group, by kind, the names of our tensors in order."""
    table = {
        role: {
            kind: [unit + end for unit in units for end in ends if unit + end in state]
            for kind, ends in KINDS.items()
        }
        for role, units in _modules(arguments).items()
    }
    if "actions" in arguments:
        for stream, role in enumerate(MERGES):
            table[role] = {
                f"{part}_kernel": [f"merge.{part}.{stream}.weight"] for part in ("depthwise", "pointwise")
            }
    return table


def _state(
    groups: dict[str, _Group], arguments: Mapping[str, Any], ours: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """All tensors of the network from the groups, every one of which must be used."""
    state = {name: tensor for name, tensor in ours.items() if name.endswith("num_batches_tracked")}
    table = _keys(arguments, ours)
    grids = [role for role in ("sSAM", "cSAM", "zSAM", "Agg") if role in groups]
    _check_roles(groups, table, grids)
    for role, keys in table.items():
        shapes = {
            kind: [_keras_shape(kind, ours[key].shape) for key in names] for kind, names in keys.items()
        }
        for kind, arrays in _take(groups[role], shapes).items():
            state |= {key: _to_torch(kind, array) for key, array in zip(keys[kind], arrays, strict=True)}
    return state | _soft_argmax(groups, arguments, ours)


def _check_roles(groups: dict[str, _Group], table: Collection[str], grids: Collection[str]) -> None:
    """Nothing missing, nothing left over, and the groups in the order of the graph."""
    for role in table:
        if role not in groups:
            raise _FormatError(f"expected a group {role} with weights, found none")
    for role, group in groups.items():
        if role not in table and role not in grids:
            raise _FormatError(f"group {group.name}: expected no such group, found one with weights")
    # Equal shapes would hide a swap here; the two streams differ, and have names of their own.
    chain = [role for role in table if role not in ("PoseAR", "GuidedVisAR")]
    for expected, role in zip(chain, [role for role in groups if role in chain], strict=True):
        if expected != role:
            raise _FormatError(
                f"expected group {expected} in the place of {groups[role].name}, found them swapped"
            )


def _take(group: _Group, shapes: Mapping[str, list[Shape]]) -> dict[str, list[Array]]:
    """Read a group's weights by kind, if they are just those of the given shapes."""
    for kind in KINDS:
        expected, found = len(shapes.get(kind, [])), len(group.weights.get(kind, []))
        if expected != found:
            raise _FormatError(
                f"group {group.name}: expected {expected} weights of kind {kind}, found {found}"
            )
    for kind, expected_shapes in shapes.items():
        for dataset, shape in zip(group.weights.get(kind, []), expected_shapes, strict=True):
            if dataset.shape != shape or dataset.dtype.kind != "f":
                raise _FormatError(
                    f"group {group.name}: {dataset.name}: expected floats of shape {shape}, "
                    f"found {dataset.dtype} {dataset.shape}"
                )
    return {
        kind: [_values(group.name, kind, dataset) for dataset in group.weights[kind]]
        for kind, expected_shapes in shapes.items()
        if expected_shapes
    }


def _values(group: str, kind: str, dataset: h5py.Dataset) -> Array:
    array: Array = np.asarray(dataset[()], dtype=np.float32)
    if not np.isfinite(array).all() or (kind == "moving_variance" and array.min() < 0):
        raise _FormatError(
            f"group {group}: {dataset.name}: expected finite values, variances >= 0, found others"
        )
    return array


def _keras_shape(kind: str, shape: torch.Size) -> Shape:
    """Shape in the file of a tensor of ours."""
    if len(shape) == 1:
        return tuple(shape)
    outputs, inputs, height, width = shape
    return (
        (height, width, outputs, inputs) if kind == "depthwise_kernel" else (height, width, inputs, outputs)
    )


def _to_torch(kind: str, array: Array) -> Tensor:
    """(H, W, in, out) to (out, in, H, W); depth-wise (H, W, channels, 1) to (channels, 1, H, W)."""
    if array.ndim == 4:
        array = array.transpose((2, 3, 0, 1) if kind == "depthwise_kernel" else (3, 2, 0, 1))
    return torch.from_numpy(np.ascontiguousarray(array))


def _soft_argmax(
    groups: dict[str, _Group], arguments: Mapping[str, Any], ours: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The grids of the soft-argmax, which the file holds as weights."""
    joints, context = len(LAYOUTS[arguments["layout"]]), arguments.get("context", 0)
    cells = len(ours["reader.soft_argmax.x"])
    x, y = _plane_grids(groups["sSAM"], cells, joints)
    grids = {"reader.soft_argmax.x": x, "reader.soft_argmax.y": y}
    if "depth_maps" in arguments:
        grids["reader.soft_argmax.z"] = _line_grid(groups["zSAM"], arguments["depth_maps"], joints)
    if context:
        x, y = _plane_grids(groups["cSAM"], cells, joints * context)
        grids |= {"reader.context_soft_argmax.x": x, "reader.context_soft_argmax.y": y}
        if "Agg" not in groups:
            raise _FormatError("expected a group Agg with weights, found none")
        (total,) = _take(groups["Agg"], {"kernel": [(joints * context, joints)]})["kernel"]
        _require(
            groups["Agg"],
            total,
            np.repeat(np.eye(joints), context, axis=0),
            "the sum of each joint's context",
        )
    return {name: torch.from_numpy(grid.copy()) for name, grid in grids.items()}


def _plane_grids(group: _Group, cells: int, channels: int) -> tuple[Array, Array]:
    """Coordinates of the columns and of the rows: two ramps, each followed by an identity."""
    ramp, point = (cells, cells, channels, 1), (1, 1, channels, channels)
    arrays = _take(group, {"depthwise_kernel": [ramp, ramp], "pointwise_kernel": [point, point]})
    of_x, of_y = arrays["depthwise_kernel"]
    x, y = of_x[0, :, 0, 0], of_y[:, 0, 0, 0]
    _require(group, of_x, x[None, :, None, None], "one ramp along the columns for every channel")
    _require(group, of_y, y[:, None, None, None], "one ramp along the rows for every channel")
    for mixing in arrays["pointwise_kernel"]:
        _require(group, mixing[0, 0], np.eye(channels), "an identity as pointwise_kernel")
    return x, y


def _line_grid(group: _Group, cells: int, joints: int) -> Array:
    """Coordinates along the depth."""
    (kernel,) = _take(group, {"kernel": [(cells, joints, joints)]})["kernel"]
    z: Array = kernel[:, 0, 0]
    _require(group, kernel, z[:, None, None] * np.eye(joints), "one ramp along the depth for every joint")
    return z


def _require(group: _Group, found: Array, expected: npt.NDArray[np.floating], what: str) -> None:
    difference = float(np.abs(found - expected).max())
    if difference > 1e-6:
        raise _FormatError(
            f"group {group.name}: expected {what}, found values that differ by {difference:.3g}"
        )


def _metadata(path: Path, arguments: Mapping[str, Any]) -> dict[str, str]:
    """What is known about the file beyond its network."""
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    metadata = {"source": path.name, "source_md5": md5}
    for name, release in RELEASED.items():
        if release.md5 == md5:
            metadata |= {"release": name, "licence": LICENCE, "source": release.url}
    given = {"width": 576, "size": 256}
    for preset in PRESETS:
        if given | preset_arguments(preset) == given | dict(arguments):
            metadata["preset"] = preset
    if labels := ACTION_LABELS.get(arguments.get("actions", 0)):
        metadata["action_labels"] = json.dumps(labels)
    return metadata
