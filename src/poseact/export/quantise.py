"""INT8 by calibration: a graph in eight bits, in ranges seen on given pictures.

Static quantisation: weights in a scale for each output channel, and in 7 bits, because CPUs without VNNI
add pairs of products in 16; activations in a scale for each tensor, by their least and largest value. What
lies between convolutions is in eight bits too: that is where half of the speed comes from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from poseact.data.images import image_paths, read_image
from poseact.errors import UserError
from poseact.export.onnx import missing
from poseact.geometry import crop_transform, whole_image_box
from poseact.network import MultitaskNetwork, to_input
from poseact.structures import Image

BATCH = 8
PICTURES = 250
"""Most pictures of a folder that are calibrated on."""
OPERATORS = ("Conv", "Add", "Concat", "MaxPool", "Relu", "Resize")
"""Without ReLU among them OpenVINO 2026.4 crashes on the graph."""


def calibration_crops(
    network: MultitaskNetwork, folder: Path, size: int
) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Crops (n, S, S, 3) of a folder's pictures, as prediction makes them: see `person_crops`; and a message
    for each picture that cannot be read.

    At most 250 pictures, at even distances. Raises `UserError` where none can be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a folder of pictures to calibrate with, found none")
    paths = image_paths(folder)
    count = min(PICTURES, len(paths))
    errors: list[str] = []
    crops = person_crops(
        network, _readable((paths[i * len(paths) // count] for i in range(count)), errors), size
    )
    if not len(crops):
        raise UserError(errors[0])
    return crops, errors


def person_crops(network: MultitaskNetwork, images: Iterable[Image], size: int) -> npt.NDArray[np.uint8]:
    """Crops (n, S, S, 3) of pictures: each padded to a square and, where the network finds one, cropped
    around the person.
    """
    # The predictor loads exported networks, so it lies above this file.
    from poseact.inference.boxes import find_boxes
    from poseact.inference.predictor import ready

    prepared, rest = ready(network, torch.device("cpu"), precision="fp32"), iter(images)
    crops: list[Image] = []
    while part := list(islice(rest, BATCH)):
        for image, box in zip(part, find_boxes(prepared, part), strict=True):
            whole = whole_image_box(image.shape[1], image.shape[0])
            crops += [crop_transform(each, size).warp(image) for each in (whole, box) if each is not None]
    return np.stack(crops) if crops else np.zeros((0, size, size, 3), np.uint8)


def _readable(paths: Iterable[Path], errors: list[str]) -> Iterator[Image]:
    """The pictures that can be read; ``errors`` collects the messages of the others."""
    for path in paths:
        try:
            yield read_image(path)
        except UserError as error:
            errors.append(str(error))


def quantise(path: Path, crops: npt.NDArray[np.uint8]) -> None:
    """Rewrite the graph of a crop (`onnx.write_frame_graph`) in INT8, up to its last convolution.

    ``crops`` (n, S, S, 3) RGB: what the ranges are taken from. The last convolution and what reads its heat
    maps stay in float: coordinates need more than eight bits. Raises `UserError` where the extra
    ``export`` is missing.
    """
    try:
        import onnx
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError:
        raise missing("export", "INT8 needs onnx and ONNX Runtime") from None
    with tempfile.TemporaryDirectory(prefix=".int8-", dir=path.parent) as temporary:
        plain, written = Path(temporary) / "plain.onnx", Path(temporary) / "int8.onnx"
        quant_pre_process(str(path), str(plain), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(plain),
            str(written),
            _Reader(crops),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            nodes_to_quantize=before_last_convolution(onnx.load(str(plain)).graph.node),
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        written.replace(path)


def before_last_convolution(nodes: Sequence[Any]) -> list[str]:
    """Names of the nodes of a graph, in their order, whose result reaches a convolution."""
    read: set[str] = set()
    names: list[str] = []
    for node in reversed(nodes):
        leads = any(output in read for output in node.output)
        if leads:
            names.append(node.name)
        if leads or node.op_type == "Conv":
            read.update(node.input)
    return names[::-1]


class _Reader:
    """Batches of crops, as ONNX Runtime's calibration asks for them."""

    def __init__(self, crops: npt.NDArray[np.uint8]) -> None:
        self._batches: Iterator[npt.NDArray[np.uint8]] = (
            crops[start : start + BATCH] for start in range(0, len(crops), BATCH)
        )

    def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
        """The next batch by the input's name; None after the last one."""
        batch = next(self._batches, None)
        return None if batch is None else {"frames": to_input(torch.from_numpy(batch)).numpy()}
