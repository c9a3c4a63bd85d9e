"""OpenVINO: graphs in its form, and its runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from poseact.export.onnx import FloatArray, Graph, missing, not_opened
from poseact.inference.device import Precision


def convert(source: Path, target: Path) -> None:
    """Write an ``.onnx`` file, in float or INT8, as ``target``, an ``.xml``, with its ``.bin`` beside it.

    Raises `UserError` where the extra ``openvino`` is missing.
    """
    library = _library("format openvino")
    library.save_model(library.convert_model(str(source)), str(target), compress_to_fp16=False)


def open_openvino(path: Path, precision: Precision) -> Graph:
    """The graph of an ``.xml`` file on the CPU, with torch's number of threads.

    ``precision``: of what is not INT8. Raises `UserError` where the extra ``openvino`` is missing, or the
    file is of another kind.
    """
    library = _library(str(path))
    options = {
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    try:
        core = library.Core()
        model = core.compile_model(core.read_model(str(path)), "CPU", options)
    except RuntimeError as error:
        raise not_opened(path, "OpenVINO", error) from None
    outputs = range(len(model.outputs))

    def compute(*arrays: FloatArray) -> list[FloatArray]:
        answer = model(list(arrays))
        return [np.array(answer[i]) for i in outputs]

    return compute


def _library(what: str) -> Any:
    try:
        import openvino
    except ImportError:
        raise missing("openvino", f"{what}: needs OpenVINO") from None
    return openvino
