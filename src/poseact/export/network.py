"""An exported network: a folder of graphs, which is taken wherever weights are.

    model.json          what the network is, and a checksum of each other file
    frame.onnx          crops to the answer of one block: see `onnx.write_frame_graph`
    actions.onnx        poses and features of clips to actions: see `onnx.write_action_graph`

For OpenVINO ``frame.xml`` and ``frame.bin``, ``actions.xml`` and ``actions.bin``. The folder holds no path
to anything outside, and reading it runs nothing but the graphs.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from poseact.data.images import write_whole
from poseact.errors import UserError
from poseact.export.onnx import Graph, open_onnx, write_action_graph, write_frame_graph
from poseact.export.openvino import convert, open_openvino
from poseact.inference.device import Precision, pick_precision
from poseact.inference.fold import folded, keep_blocks
from poseact.network import MultitaskNetwork, build, to_input
from poseact.network.action import ACTION_BLOCKS
from poseact.skeleton import Layout
from poseact.structures import ActionOutput, PoseOutput

FORMAT = "poseact-export-1"
DESCRIPTION = "model.json"
SUFFIXES = {"onnx": (".onnx",), "openvino": (".xml", ".bin")}
"""Formats, and the files of a graph in each: the first is the one that is opened."""
PRECISIONS = ("fp32", "int8")
TOLERANCE = 1e-4
"""Most that the answers of an export in fp32 may differ by: sides of the crop, probabilities."""
RANDOM_CROPS, GIVEN_CROPS = 4, 16
"""Crops that the answers are compared on: made ones, and at most so many of those given."""
BATCH = 8
REMEDY = "export it again"

Crops = npt.NDArray[np.uint8]
"""Square crops (n, S, S, 3), RGB."""


@dataclass(frozen=True)
class Export:
    """What ``model.json`` says.

    - ``backend``: onnx or openvino; ``precision``: fp32 or int8; ``block``: which one answers, from 1;
      ``size``: side S of the crops in pixels.
    - ``network``: arguments of `network.build`; ``joints``, ``action_labels``: names, in order.
    - ``metadata``: that of the weights, a calibration included. ``files``: name to SHA-256.
    """

    format: str
    backend: str
    precision: str
    block: int
    size: int
    network: dict[str, Any]
    joints: tuple[str, ...]
    action_labels: tuple[str, ...]
    metadata: dict[str, str]
    files: dict[str, str]


@dataclass(frozen=True)
class Exported:
    """An export that was written.

    - ``differences``: the largest ones between its answers and the network's, by name: ``pose`` in sides
      of the crop, ``visibility`` and ``action`` in probability.
    - ``compared``: how many crops they were found on, made ones and given ones.
    """

    files: tuple[Path, ...]
    differences: dict[str, float]
    compared: tuple[int, int]


class ExportedNetwork(MultitaskNetwork):
    """A network whose graphs answer: of one block, for crops of one size. It cannot be trained.

    `load_export` makes one. ``forward``, ``estimate`` and ``recognise`` as in `MultitaskNetwork`; a pose
    network's features have no channels. Raise `UserError` on crops or clips of another size.
    """

    def __init__(
        self, folder: Path, export: Export, network: MultitaskNetwork, layout: Layout, precision: Precision
    ) -> None:
        nn.Module.__init__(self)  # of its modules there are none: graphs stand in for them
        self.folder, self.export, self.precision = folder, export, precision
        self.dim, self.joints, self.size = network.dim, network.joints, export.size
        self.actions, self.frames, self.released = network.actions, network.frames, network.released
        self.grid = network.grid
        self.layout, self.action_labels, self.arguments = layout, export.action_labels, export.network
        digest = hashlib.sha256("".join(export.files.values()).encode())
        mine = digest.hexdigest()
        self.metadata = export.metadata | {"exported": f"{_told(export)}, sha256 {mine[:16]}", "sha256": mine}
        # Whoever feeds a network asks its parameters for their device, and a checksum tells them apart.
        mark = torch.tensor(list(digest.digest()), dtype=torch.uint8)
        self.identity = nn.Parameter(mark, requires_grad=False)

    def at(self, blocks: int | None, precision: str) -> ExportedNetwork:
        """This network, as `inference.predictor.ready` is asked for one.

        OpenVINO computes an export in fp32, and what an INT8 one has left in float, in bf16 where that is
        asked for or in hardware. Raises `UserError` on blocks or a precision that it was not exported with.
        """
        if blocks not in (None, self.export.block):
            raise UserError(
                f"blocks: {self.folder} answers block {self.export.block} alone, got {blocks}; "
                f"export the weights again with --blocks {blocks}"
            )
        picked = pick_precision(torch.device("cpu"), precision)
        if self.export.backend != "openvino" and precision == "bf16":
            raise UserError(
                f"precision: ONNX Runtime computes {self.folder} in {self.export.precision}, not in bf16; "
                "export it with --format openvino"
            )
        if self.export.backend != "openvino" or picked == self.precision:
            return self
        return ExportedNetwork(self.folder, self.export, self, self.layout, picked)

    def estimate(self, frames: Tensor) -> tuple[tuple[PoseOutput, ...], Tensor]:
        if frames.shape[1:] != (3, self.size, self.size):
            raise UserError(
                f"frames: expected crops of {self.size} px, as {self.folder} was exported, got "
                f"{tuple(frames.shape[1:])}; export the weights again with --size {frames.shape[-1]}"
            )
        pose, visibility, maps, *rest = self._computed(self._frame_graph, frames)
        features = rest[0] if rest else maps.new_zeros(len(maps), 0, *maps.shape[-2:])
        return (PoseOutput(pose, visibility, maps),), features

    def recognise(self, poses: Tensor, visibility: Tensor, features: Tensor, unseen: int = 0) -> ActionOutput:
        if poses.shape[1] != self.frames:
            raise UserError(
                f"frames: expected clips of {self.frames}, as {self.folder} was exported, "
                f"got {poses.shape[1]}"
            )
        by_clip = features.unflatten(0, (len(poses) - unseen, self.frames))
        (streams,) = self._computed(self._action_graph, poses, visibility, by_clip)
        each = streams.unbind(1)
        return ActionOutput(each[:ACTION_BLOCKS], each[ACTION_BLOCKS:-1], each[-1])

    # Opened when they are first needed: a network that is only asked what it is needs no runtime.

    @cached_property
    def _frame_graph(self) -> Graph:
        return self._open("frame")

    @cached_property
    def _action_graph(self) -> Graph:
        return self._open("actions")

    def _open(self, name: str) -> Graph:
        path = self.folder / f"{name}{SUFFIXES[self.export.backend][0]}"
        return open_onnx(path) if self.export.backend == "onnx" else open_openvino(path, self.precision)

    def _computed(self, graph: Graph, *tensors: Tensor) -> list[Tensor]:
        arrays = [tensor.detach().float().cpu().contiguous().numpy() for tensor in tensors]
        return [torch.from_numpy(array).to(tensors[0].device) for array in graph(*arrays)]


def load_export(folder: Path) -> ExportedNetwork:
    """The network of an exported folder; its graphs are opened when they are first needed.

    Raises `UserError` where ``model.json`` is missing, damaged or of another version, and where a file is
    missing or changed; the graphs, where what computes them is not installed.
    """
    export = read_export(folder)
    described, layout = _described(export, folder)
    return ExportedNetwork(folder, export, described, layout, "fp32")


def read_export(folder: Path) -> Export:
    """What ``model.json`` says, with every file that it names checked; raises as `load_export`."""
    path = folder / DESCRIPTION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UserError(
            f"{folder}: expected an exported network with {DESCRIPTION}, found none; make one: "
            "poseact export --weights W --out DIR"
        ) from None
    except ValueError as error:
        raise UserError(f"{path}: expected JSON, got {error}; {REMEDY}") from None
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise UserError(
            f"{path}: expected format {FORMAT!r}, found {found!r}; {REMEDY} with this version of poseact"
        )
    try:
        export = _export(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"{path}: expected the description of a network, found {text}; {REMEDY}") from None
    for name, expected in export.files.items():
        _check_file(folder / name, expected)
    return export


def export_network(
    network: MultitaskNetwork,
    out: Path,
    *,
    backend: str = "onnx",
    blocks: int | None = None,
    precision: str = "fp32",
    crops: Crops | None = None,
    size: int | None = None,
) -> Exported:
    """Write a network as a folder that `poseact.load_model` takes, and compare its answers.

    - ``network``: one with weights, or an export to ONNX in fp32, of which another form is made in a
      fraction of the time.
    - ``backend``: onnx or openvino. ``blocks``: the export answers the last of so many; all where None.
    - ``precision``: fp32, or int8, calibrated on ``crops`` (n, S, S, 3).
    - ``size``: side S of the crops in pixels, a multiple of 32; the network's own where None.

    ``out`` is a valid export before and after, or none: ``model.json`` goes first and comes last. Raises
    `UserError` on wrong arguments, where an extra is missing, where ``out`` cannot be written, and where
    the answers in fp32 differ by more than 1e-4.
    """
    side = network.size if size is None else size
    check_options(backend, precision, side, crops is not None and len(crops) > 0)
    if crops is not None and crops.shape[1:] != (side, side, 3):
        raise ValueError(f"crops: expected (n, {side}, {side}, 3), got {crops.shape}")
    prepared = _prepared(network, blocks, side)
    _check_out(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=out) as temporary:
            work = Path(temporary)
            _write_graphs(prepared, work, backend, side, crops if precision == "int8" else None)
            _describe(network, prepared, work, backend, precision, side)
            shown = _compared_crops(side, crops)
            differences = compare(prepared, load_export(work), shown)
            if precision == "fp32" and not max(differences.values()) <= TOLERANCE:
                raise UserError(
                    f"{out}: expected the answers of the network within {TOLERANCE}, got "
                    f"{told_differences(differences)}; nothing was written; try the other --format"
                )
            files = _moved(work, out)
    except OSError as error:
        raise UserError(f"{out}: expected a folder that can be written, got {error.strerror}") from None
    return Exported(files, differences, (RANDOM_CROPS, len(shown) - RANDOM_CROPS))


def compare(network: MultitaskNetwork, exported: ExportedNetwork, crops: Crops) -> dict[str, float]:
    """The largest differences of the answers for crops (n, S, S, 3): see `Exported`.

    Actions are compared on the crops one after the other as one clip.
    """
    largest = {"pose": 0.0, "visibility": 0.0}
    frames = to_input(torch.from_numpy(crops))
    with torch.inference_mode():
        for part in frames.split(BATCH):
            a, b = (each.estimate(part)[0][-1] for each in (network, exported))
            largest["pose"] = max(largest["pose"], _difference(a.pose, b.pose))
            largest["visibility"] = max(largest["visibility"], _difference(a.visibility, b.visibility))
        if network.actions:
            clip = frames[torch.arange(network.frames) % len(frames)].unsqueeze(0)
            one, two = (each(clip).actions for each in (network, exported))
            largest["action"] = max(
                _difference(x, y) for x, y in zip(_streams(one), _streams(two), strict=True)
            )
    return largest


def told_differences(differences: Mapping[str, float]) -> str:
    """Differences as text: pose .., visibility .., action .."""
    return ", ".join(f"{name} {value:.1e}" for name, value in differences.items())


def _difference(a: Tensor, b: Tensor) -> float:
    """The largest one; infinite where an answer is no number."""
    value = float((a.float() - b.float()).abs().max())
    return math.inf if math.isnan(value) else value


def _streams(actions: ActionOutput | None) -> list[Tensor]:
    assert actions is not None
    return [*actions.pose_actions, *actions.appearance_actions, actions.action]


def check_options(backend: str, precision: str, size: int, calibrated: bool) -> None:
    """Raise `UserError` on options of `export_network`; ``calibrated``: whether there are ``crops``."""
    if backend not in SUFFIXES:
        raise UserError(f"format: expected one of {', '.join(SUFFIXES)}, got {backend!r}")
    if precision not in PRECISIONS:
        raise UserError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "int8" and not calibrated:
        raise UserError("precision: int8 needs pictures to calibrate with; give a folder with --calibrate")
    if size < 32 or size % 32:
        raise UserError(f"size: expected a multiple of 32, got {size}")


def _check_out(out: Path) -> None:
    """Raise `UserError` where files of the user's own have the names of an export's."""
    names = [DESCRIPTION, *(name for backend in SUFFIXES for name in _file_names(backend, actions=True))]
    there = [name for name in names if (out / name).exists()]
    try:
        content = json.loads((out / DESCRIPTION).read_bytes()) if there else {}
        own = isinstance(content, dict) and str(content.get("format")).startswith(FORMAT.rstrip("0123456789"))
    except (OSError, ValueError):
        own = False
    if there and not own:
        raise UserError(f"{out}: holds {', '.join(there)}, which are of no export; give another folder")


def _prepared(network: MultitaskNetwork, blocks: int | None, size: int) -> MultitaskNetwork:
    """A copy with weights that is traced, or an export whose graphs are taken."""
    if not isinstance(network, ExportedNetwork):
        copy = folded(network).float().cpu()
        keep_blocks(copy, len(copy.blocks) if blocks is None else blocks)
        return copy
    export = network.export
    if (export.backend, export.precision) != ("onnx", "fp32") or size != export.size:
        raise UserError(
            f"weights: expected a weight file, or an export to onnx in fp32 of {size} px, got "
            f"{network.folder}: {_told(export)}"
        )
    return network.at(blocks, "fp32")


def _write_graphs(
    network: MultitaskNetwork, work: Path, backend: str, size: int, crops: Crops | None
) -> None:
    """The files of the graphs in the folder ``work``; with ``crops`` the frame's in INT8."""
    if isinstance(network, ExportedNetwork):
        for name in network.export.files:
            write_whole(work / name, (network.folder / name).read_bytes())
    else:
        write_frame_graph(network, size, work / "frame.onnx")
        if network.actions:
            write_action_graph(network, work / "actions.onnx")
    if crops is not None:
        from poseact.export.quantise import quantise

        quantise(work / "frame.onnx", crops)
    if backend == "openvino":
        for path in sorted(work.glob("*.onnx")):
            convert(path, path.with_suffix(".xml"))
            path.unlink()


def _describe(
    network: MultitaskNetwork, prepared: MultitaskNetwork, work: Path, backend: str, precision: str, size: int
) -> None:
    known = prepared.export if isinstance(prepared, ExportedNetwork) else None
    export = Export(
        format=FORMAT,
        backend=backend,
        precision=precision,
        block=known.block if known else len(prepared.blocks),
        size=size,
        network=network.arguments,
        joints=network.layout.joints,
        action_labels=network.action_labels,
        metadata=known.metadata if known else dict(getattr(network, "metadata", {})),
        files={name: _sha256(work / name) for name in _file_names(backend, network.actions)},
    )
    write_whole(work / DESCRIPTION, json.dumps(asdict(export), indent=1).encode())


def _compared_crops(size: int, crops: Crops | None) -> Crops:
    """Made crops, the same each time, and given ones at even distances."""
    made = np.random.default_rng(0).integers(0, 256, (RANDOM_CROPS, size, size, 3), np.uint8)
    if crops is None:
        return made
    count = min(GIVEN_CROPS, len(crops))
    return np.concatenate([made, crops[np.arange(count) * len(crops) // count]])


def _moved(work: Path, out: Path) -> tuple[Path, ...]:
    """Put the files of a new export in place of an earlier one's; the description comes last."""
    (out / DESCRIPTION).unlink(missing_ok=True)
    for backend in SUFFIXES:
        for name in _file_names(backend, actions=True):
            (out / name).unlink(missing_ok=True)
    names = sorted(path.name for path in work.iterdir() if path.name != DESCRIPTION)
    for name in (*names, DESCRIPTION):
        os.replace(work / name, out / name)
    return tuple(out / name for name in (*names, DESCRIPTION))


def _export(content: Mapping[str, Any]) -> Export:
    """The description, with the types that it should have; raises where it has others."""
    export = Export(
        format=FORMAT,
        backend=str(content["backend"]),
        precision=str(content["precision"]),
        block=int(content["block"]),
        size=int(content["size"]),
        network=dict(content["network"]),
        joints=tuple(map(str, content["joints"])),
        action_labels=tuple(map(str, content["action_labels"])),
        metadata={str(key): str(value) for key, value in content["metadata"].items()},
        files={str(key): str(value) for key, value in content["files"].items()},
    )
    if export.backend not in SUFFIXES or export.precision not in PRECISIONS:
        raise ValueError(f"backend {export.backend!r} in {export.precision!r}")
    if export.size < 32 or export.size % 32 or export.block < 1:
        raise ValueError(f"size {export.size}, block {export.block}")
    expected = _file_names(export.backend, export.network.get("actions", 0))
    if set(export.files) != set(expected):  # names are never paths out of the folder
        raise ValueError(f"files {sorted(export.files)}")
    return export


def _described(export: Export, folder: Path) -> tuple[MultitaskNetwork, Layout]:
    """The network without any weights, which knows what follows from its arguments."""
    path = folder / DESCRIPTION
    try:
        with torch.device("meta"):
            network, layout = build(export.network)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"{path}: expected arguments of a network, found {text}; {REMEDY}") from None
    if export.joints != layout.joints:
        raise UserError(
            f"{path}: expected the joints of {layout.name}, found {list(export.joints)}; {REMEDY}"
        )
    if len(export.action_labels) not in (0, network.actions):
        raise UserError(
            f"{path}: expected {network.actions} action_labels, found {len(export.action_labels)}; {REMEDY}"
        )
    return network, layout


def _told(export: Export) -> str:
    return f"{export.backend}, {export.precision}, block {export.block}, {export.size} px"


def _file_names(backend: str, actions: int) -> list[str]:
    graphs = ("frame", "actions") if actions else ("frame",)
    return [name + suffix for name in graphs for suffix in SUFFIXES[backend]]


def _check_file(path: Path, expected: str) -> None:
    try:
        found = _sha256(path)
    except OSError:
        raise UserError(f"{path}: {DESCRIPTION} names this file, but it is missing; {REMEDY}") from None
    if found != expected:
        raise UserError(f"{path}: expected sha256 {expected}, found {found}; it was changed: {REMEDY}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
