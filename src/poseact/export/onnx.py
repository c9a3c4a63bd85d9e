"""A network as ONNX graphs, and ONNX Runtime, which computes them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from poseact.data.images import write_whole
from poseact.errors import UserError
from poseact.network import MultitaskNetwork

OPSET = 18
FloatArray = npt.NDArray[np.floating]
Graph = Callable[..., list[FloatArray]]
"""A graph that computes: its inputs by position, its outputs as a list, all float32."""


class _Frame(nn.Module):
    """Crops to the answer of the last block and, of an action network, the visual features."""

    def __init__(self, network: MultitaskNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        blocks, features = self.network.estimate(frames)
        answer = (blocks[-1].pose, blocks[-1].visibility, blocks[-1].heat_maps)
        return (*answer, features) if self.network.actions else answer


class _Actions(nn.Module):
    """Poses, visibility and joint features (N, T, C, J) of clips to probabilities (N, streams, A)."""

    def __init__(self, network: MultitaskNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, poses: Tensor, visibility: Tensor, features: Tensor) -> Tensor:
        answer = self.network.recognise(poses, visibility, features.flatten(0, 1))
        return torch.stack([*answer.pose_actions, *answer.appearance_actions, answer.action], 1)


def write_frame_graph(network: MultitaskNetwork, size: int, path: Path) -> None:
    """The graph of one crop, at any batch size N and one side S = ``size``.

    - ``frames`` (N, 3, S, S) in [-1, 1].
    - ``pose`` (N, J, D) crop coordinates, ``visibility`` (N, J) in [0, 1] and ``heat_maps`` (N, J, S/8, S/8)
      before the soft-max, of the last block; with actions also ``features`` (N, C, S/8, S/8).

    Raises `UserError` where the extra ``export`` is missing.
    """
    outputs = ["pose", "visibility", "heat_maps", *(["features"] if network.actions else [])]
    _write(_Frame(network), {"frames": torch.zeros(2, 3, size, size)}, outputs, path)


def write_action_graph(network: MultitaskNetwork, path: Path) -> None:
    """The graph of the action heads, at any number N of clips of the network's T frames.

    - ``poses`` (N, T, J, D), ``visibility`` (N, T, J), ``joint_features`` (N, T, C, J).
    - ``probabilities`` (N, streams, A): the blocks of the pose stream, those of the appearance stream, and
      their aggregation.

    Raises `UserError` where the extra ``export`` is missing.
    """
    shape, channels = (2, network.frames, network.joints), network.appearance_recognition.reduce.conv
    inputs = {
        "poses": torch.zeros(*shape, network.dim),
        "visibility": torch.zeros(shape),
        "joint_features": torch.zeros(2, network.frames, channels.in_channels, network.joints),
    }
    _write(_Actions(network), inputs, ["probabilities"], path)


def _write(module: nn.Module, inputs: dict[str, Tensor], outputs: list[str], path: Path) -> None:
    try:
        import onnxscript  # noqa: F401  (torch writes the graph with it)
    except ImportError:
        raise missing("export", "export: needs onnxscript") from None
    batch = torch.export.Dim("batch")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _join_padding(model.graph)
    _strip(model)
    write_whole(path, model.SerializeToString())


def _join_padding(graph: Any) -> None:
    """Let max-pooling pad by itself: a pass less, and -inf has no place in eight bits."""
    from onnx import numpy_helper

    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    pads = {node.output[0]: node for node in graph.node if node.op_type == "Pad"}
    for node in graph.node:
        pad = pads.get(node.input[0]) if node.op_type == "MaxPool" else None
        if pad is None or values[pad.input[2]] != -np.inf:
            continue
        ends = values[pad.input[1]].reshape(2, -1)[:, 2:].ravel()  # of H and W: before, then after
        next(a for a in node.attribute if a.name == "pads").ints[:] = [int(end) for end in ends]
        node.input[0] = pad.input[0]
        graph.node.remove(pad)
        for name in pad.input[1:3]:
            if not any(name in other.input for other in graph.node):
                graph.initializer.remove(next(t for t in graph.initializer if t.name == name))


def _strip(model: Any) -> None:
    """Take out what tells of the machine that exports: stack traces, with the paths of its files."""
    graph = model.graph
    for part in (
        model,
        graph,
        *graph.node,
        *graph.value_info,
        *graph.input,
        *graph.output,
        *graph.initializer,
    ):
        part.doc_string = ""
        del part.metadata_props[:]


def open_onnx(path: Path) -> Graph:
    """The graph of an ``.onnx`` file in ONNX Runtime: on the GPU where its build has one, with torch's
    number of threads on the CPU.

    Raises `UserError` where the extra ``export`` is missing, or the file is of another kind.
    """
    try:
        import onnxruntime
    except ImportError:
        raise missing("export", f"{path}: needs ONNX Runtime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors: a warning is of no use to who did not write the graph
    known = onnxruntime.get_available_providers()
    providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in known]
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its errors have no common class
        raise not_opened(path, "ONNX Runtime", error) from None
    names = [entry.name for entry in session.get_inputs()]

    def compute(*arrays: FloatArray) -> list[FloatArray]:
        return list(session.run(None, dict(zip(names, arrays, strict=True))))

    return compute


def missing(extra: str, what: str) -> UserError:
    """The error where an extra of the package is not installed."""
    return UserError(f"{what}, which is not installed; install it: pip install 'poseact[{extra}]'")


def not_opened(path: Path, library: str, error: Exception) -> UserError:
    """The error where a library does not open a graph."""
    text = " ".join(str(error).split())
    return UserError(f"{path}: expected a graph that {library} opens, got {text[:200]}; export it again")
