"""How fast a network is on this machine: in every backend and precision, stopped after each block.

What runs is measured beside the machine's own matrix product, in the same run, and with a data set beside
its scores: the speed and the accuracy that stopping after block k buys.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
import torch
from rich.console import Console
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from poseact.data import as_stills
from poseact.data.clips import Stills, TrackSource
from poseact.data.loading import SampleSource, chosen
from poseact.errors import UserError
from poseact.evaluation.poses import measure_poses, pose_scores
from poseact.evaluation.rules import OURS, Protocol
from poseact.export.network import PRECISIONS, Crops, ExportedNetwork, export_network, load_export
from poseact.export.onnx import OPSET, Graph, open_onnx
from poseact.geometry import crop_transform
from poseact.inference.device import cpu_gains_from_bf16, cpu_has_vnni, pick_device, pick_precision
from poseact.inference.fold import check_blocks, keep_blocks
from poseact.inference.predictor import ready
from poseact.network import MultitaskNetwork
from poseact.network.action import joint_features
from poseact.network.soft_argmax import soft_max_2d

SIDE = 4096
"""Rows and columns of the matrices whose product is the machine's limit."""
SECONDS, LEAST_RUNS = 2.0, 3
"""Time that a figure is measured for, and the runs that it takes at least."""
SCORED = 500
"""Most people of a data set that are scored."""
CALIBRATED = 64
"""Crops that INT8 is calibrated on."""
NEEDS = {
    "onnx": (("onnx", "onnxscript", "onnxruntime"), "export"),
    "openvino": (("openvino", "onnx", "onnxscript", "onnxruntime"), "export,openvino"),
}
"""Backends beside torch: the modules that they need, and the extras that bring them."""


@dataclass(frozen=True)
class Variant:
    """A network as one backend runs it: ``backend`` torch, onnx or openvino; ``precision`` fp32, bf16 or
    int8; ``block``: the one that answers. ``network`` is `ready`.
    """

    backend: str
    precision: str
    block: int
    network: MultitaskNetwork


@dataclass(frozen=True)
class Row:
    """What was measured of a `Variant`.

    - ``images_per_second`` at the batch size asked for; ``share``: of the machine's fp32 matrix product.
    - ``frames_per_second``: streamed, an action network's answer to every new frame; None without actions.
    - ``score``: the data set's main metric; None without data.
    """

    backend: str
    precision: str
    block: int
    images_per_second: float
    share: float
    frames_per_second: float | None
    score: float | None


@dataclass(frozen=True)
class Report:
    """Rows, and what they are measured beside.

    ``matrix_gflops``: by precision and library; ``metric``: name of the scores, of ``samples`` people;
    ``notes``: what was not measured and why, a line each.
    """

    rows: list[Row]
    matrix_gflops: dict[str, dict[str, float]]
    metric: str | None
    samples: int
    notes: list[str]


def bench(
    network: MultitaskNetwork,
    size: int,
    batch: int,
    blocks: Sequence[int] | None = None,
    source: SampleSource | TrackSource | None = None,
    console: Console | None = None,
    protocol: Protocol = OURS,
) -> Report:
    """Measure a network for crops of ``size`` px, ``batch`` at a time, beside its scores on a ``source``.

    ``blocks``: those to stop after; where None all of them with torch, and the last in the other backends,
    which take an export each. At most 500 people of the source are scored, by the ``protocol``.

    Raises `UserError` on blocks or sizes that the network does not have, and where nobody can be scored.
    """
    _check(network, size, batch, blocks)
    told = console or Console(quiet=True)
    stills: SampleSource | None = None
    if source is not None:
        stills = _scored(source, protocol)
    crops = made_crops(size) if stills is None else _crops(stills, size)
    by_torch: dict[str, tuple[str, list[float]]] = {}
    rows: list[Row] = []
    metric: str | None = None
    with told.status("matrix product") as status, TemporaryDirectory() as folder:
        limits = matrix_limits()
        limit = max(limits["fp32"].values())
        for variant in variants(network, size, blocks, crops, Path(folder)):
            status.update(f"{variant.backend}, {variant.precision}, block {variant.block}")
            speed = image_rate(variant.network, size, batch)
            score = None
            if stills is not None and variant.backend == "torch":  # every block answers at once
                if variant.precision not in by_torch:
                    by_torch[variant.precision] = _scores(network, variant.precision, stills, size, protocol)
                metric, values = by_torch[variant.precision]
                score = values[variant.block - 1]
            elif stills is not None:
                metric, values = _scores(variant.network, variant.precision, stills, size, protocol)
                score = values[-1]
            rows.append(
                Row(
                    backend=variant.backend,
                    precision=variant.precision,
                    block=variant.block,
                    images_per_second=speed,
                    share=speed * gflop(network, size, variant.block) / limit,
                    frames_per_second=stream_rate(variant.network, size) if network.actions else None,
                    score=score,
                )
            )
    notes = not_measured()
    if stills is not None and any(row.precision == "int8" for row in rows):
        notes.append(f"int8: calibrated on {len(crops)} of the {len(stills)} people that are scored")
    return Report(rows, limits, metric, 0 if stills is None else len(stills), notes)


def _check(network: MultitaskNetwork, size: int, batch: int, blocks: Sequence[int] | None) -> None:
    if isinstance(network, ExportedNetwork):
        raise UserError(f"weights: expected a weight file, which bench exports itself, got {network.folder}")
    if size < 32 or size % 32:
        raise UserError(f"size: expected a multiple of 32, got {size}")
    if batch < 1:
        raise UserError(f"batch: expected 1 or more, got {batch}")
    for block in blocks or ():
        check_blocks(network, block)


def variants(
    network: MultitaskNetwork, size: int, blocks: Sequence[int] | None, crops: Crops, folder: Path
) -> Iterator[Variant]:
    """The network in every backend that is installed and every precision that pays on the machine.

    ``blocks``: as in `bench`. ``crops`` (n, S, S, 3): for INT8 to calibrate on. Exports go to ``folder``.
    """
    device = pick_device()
    every = range(1, len(network.blocks) + 1)
    for precision in ("fp32", *(["bf16"] if pick_precision(device) == "bf16" else [])):
        for block in blocks or every:
            yield Variant("torch", precision, block, ready(network, device, block, precision))
    others = [backend for backend in NEEDS if not _absent(backend)]
    for block in blocks or every[-1:] if others else ():
        traced = folder / f"traced-{block}"
        export_network(network, traced, blocks=block, size=size)
        for backend in others:
            for precision in PRECISIONS:
                out = folder / f"{backend}-{precision}-{block}"
                given = crops if precision == "int8" else None
                export_network(load_export(traced), out, backend=backend, precision=precision, crops=given)
                exported = load_export(out)
                yield Variant(backend, precision, block, exported)
                if backend == "openvino" and precision == "fp32" and cpu_gains_from_bf16():
                    yield Variant(backend, "bf16", block, exported.at(None, "bf16"))


def not_measured() -> list[str]:
    """What this machine lacks, a line each."""
    lines = [
        f"{backend}: {', '.join(_absent(backend))} not installed, pip install 'poseact[{extras}]'"
        for backend, (_, extras) in NEEDS.items()
        if _absent(backend)
    ]
    if pick_precision(pick_device()) == "fp32":
        lines.append("bf16: not faster than fp32 on this machine")
    if not cpu_has_vnni() and any(not _absent(backend) for backend in NEEDS):
        lines.append("int8: this CPU has no dot products of bytes (VNNI), so it gains little over fp32")
    return lines


def _absent(backend: str) -> list[str]:
    return [module for module in NEEDS[backend][0] if find_spec(module) is None]


def matrix_limits() -> dict[str, dict[str, float]]:
    """GFLOP/s of a product of square matrices, by precision and library.

    fp32 by torch, numpy and, where it is installed, ONNX Runtime, which bring three libraries; bf16 by
    torch where it is faster.
    """
    device, work = pick_device(), 2 * SIDE**3 / 1e9
    a, b = torch.randn(2, SIDE, SIDE, device=device).unbind()
    limits = {"fp32": {"torch": rate(lambda: _finished(a @ b), work)}}
    if device.type == "cpu":
        x, y = a.numpy(), b.numpy()
        limits["fp32"]["numpy"] = rate(lambda: x @ y, work)
        if not _absent("onnx"):
            product = _matrix_graph()
            limits["fp32"]["onnxruntime"] = rate(lambda: product(x, y), work)
    if pick_precision(device) == "bf16":
        c, d = a.bfloat16(), b.bfloat16()
        limits["bf16"] = {"torch": rate(lambda: _finished(c @ d), work)}
    return limits


def _matrix_graph() -> Graph:
    """A matrix product in ONNX Runtime."""
    from onnx import TensorProto, helper

    matrix = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None]) for name in "xyz"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "y"], ["z"])], "product", matrix[:2], matrix[2:]
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "product.onnx"
        path.write_bytes(model.SerializeToString())
        return open_onnx(path)


def image_rate(network: MultitaskNetwork, size: int, batch: int) -> float:
    """Crops a second through a network that is `ready`, ``batch`` at a time."""
    device = next(network.parameters()).device
    frames = torch.randn(batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        return rate(lambda: _finished(network.estimate(frames)[0][-1].pose), batch)


def stream_rate(network: MultitaskNetwork, size: int) -> float:
    """Frames a second of an action network that is `ready`, with an answer to each: one crop through the
    network, and the action heads on the window of T frames that ends with it.
    """
    device = next(network.parameters()).device
    frame = torch.randn(1, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)

    def new_frame() -> tuple[Tensor, Tensor, Tensor]:
        blocks, features = network.estimate(frame)
        last = blocks[-1]
        return last.pose, last.visibility, joint_features(features, soft_max_2d(last.heat_maps))

    def step() -> None:
        window = [torch.cat([old[1:], new]) for old, new in zip(seen, new_frame(), strict=True)]
        poses, visibility, features = window
        _finished(network.recognise(poses.unsqueeze(0), visibility.unsqueeze(0), features).action)

    with torch.inference_mode():
        seen = [part.repeat(network.frames, *[1] * (part.ndim - 1)) for part in new_frame()]
        return rate(step, 1)


def rate(work: Callable[[], object], amount: float) -> float:
    """``amount`` a second of the best run, after one to warm up."""
    work()
    best, runs, began = math.inf, 0, time.perf_counter()
    while runs < LEAST_RUNS or time.perf_counter() - began < SECONDS:
        start = time.perf_counter()
        work()
        best, runs = min(best, time.perf_counter() - start), runs + 1
    return amount / best


def gflop(network: MultitaskNetwork, size: int, block: int) -> float:
    """10^9 multiplications and additions of one crop up to the answer of a block."""
    counted = copy.deepcopy(network).to("meta").eval()
    keep_blocks(counted, block)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        counted.estimate(torch.zeros(1, 3, size, size, device="meta"))
    return float(counter.get_total_flops()) / 1e9


def made_crops(size: int, count: int = 8) -> Crops:
    """Crops (count, S, S, 3) of noise, the same each time."""
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def _scored(source: SampleSource | TrackSource, protocol: Protocol) -> SampleSource:
    """People of a data set, at most `SCORED`, at even distances."""
    stills = as_stills(source, protocol.frame_step)
    if not isinstance(stills, Stills):
        return cast(SampleSource, chosen(stills, SCORED))
    thinned = copy.copy(stills)  # still frames of videos, so that those without a person are known
    count = min(SCORED, len(stills))
    thinned.places = [stills.places[i * len(stills) // count] for i in range(count)]
    return thinned


def _crops(stills: SampleSource, size: int) -> Crops:
    """Crops of people at even distances in a data set, in its own boxes; unreadable ones are left out."""
    crops = []
    count = min(CALIBRATED, len(stills))
    for i in range(count):
        try:
            sample = stills[i * len(stills) // count]
            crops.append(crop_transform(sample.box, size).warp(sample.image()[0]))
        except UserError:  # whoever scores them counts them
            continue
    if not crops:
        raise UserError("no samples to score; check --root and --split")
    return np.stack(crops)


def _scores(
    network: MultitaskNetwork, precision: str, stills: SampleSource, size: int, protocol: Protocol
) -> tuple[str, list[float]]:
    """Name of the main metric, and its value of every block that the network answers."""
    arithmetic = "bf16" if precision == "bf16" else "fp32"
    poses = measure_poses(
        network, network.layout, stills, pick_device(), protocol, size=size, precision=arithmetic
    )
    scores = pose_scores(poses, network.layout, stills, protocol)
    return scores.main, scores.scores[scores.main]


def _finished(answer: Tensor) -> None:
    """Wait for a GPU, which answers before it is done."""
    if answer.is_cuda:
        torch.cuda.synchronize(answer.device)
