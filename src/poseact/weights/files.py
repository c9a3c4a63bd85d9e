"""Weight files: ``.safetensors`` whose metadata says which network they belong to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from poseact.errors import UserError
from poseact.network import MultitaskNetwork, build
from poseact.skeleton import LAYOUTS, Layout
from poseact.weights.registry import SHIPPED

_UMASK = os.umask(0)
os.umask(_UMASK)  # it can be read by setting it alone

FORMAT = "poseact"
REMEDY = "download, convert or train it again"


@dataclass(frozen=True)
class WeightFile:
    """What a weight file holds: a network in eval mode, and what is known about it.

    - ``arguments``: those of `network.presets.build`, ``layout`` among them.
    - ``metadata``: every entry of the file's header, as text.
    """

    model: MultitaskNetwork
    layout: Layout
    arguments: dict[str, Any]
    metadata: dict[str, str]

    @property
    def action_labels(self) -> tuple[str, ...]:
        """Names of the actions, in the order of the network's probabilities; () if unknown."""
        return tuple(json.loads(self.metadata.get("action_labels", "[]")))

    @property
    def half(self) -> bool:
        """Whether the file's filters are in half precision."""
        return self.metadata.get("filters") == "float16"


def save_weights(
    path: str | Path,
    model: nn.Module,
    arguments: Mapping[str, Any],
    metadata: Mapping[str, str],
    half: bool = False,
) -> None:
    """Write a network's weights, whole or not at all: to a temporary name, then renamed.

    ``arguments`` are those the network was built with. ``metadata`` is added to the header
    (preset, licence, scores, ``action_labels`` as a JSON list); the entries that describe the
    tensors (format, network, joints, filters, sha256) are always computed here. ``half``: filters in
    half precision; biases and the statistics of batch norm, which are few, stay as they are.

    Raises ``UserError`` where the folder cannot be written.
    """
    path = Path(path)
    tensors = tensors_of(model, half)
    header = {
        **metadata,
        "format": FORMAT,
        "network": json.dumps(dict(arguments)),
        "joints": json.dumps(LAYOUTS[arguments["layout"]].joints),
        "filters": "float16" if half else "float32",
        "sha256": checksum(tensors),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, header)
        temporary.chmod(0o666 & ~_UMASK)  # safetensors leaves it readable to its owner alone
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: expected a place that can be written, got {_line(error)}") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def tensors_of(model: nn.Module, half: bool) -> dict[str, Tensor]:
    """What `save_weights` writes: by name, on the CPU."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    if not half:
        return tensors
    return {name: t.half() if t.ndim > 1 and t.is_floating_point() else t for name, t in tensors.items()}


def load_weights(path: str | Path) -> WeightFile:
    """Read a weight file, or the package's own by name, and build its network, in float32 and eval mode.

    Strict: raises ``UserError`` on a file that is missing, cut short, of another kind or
    altered, and on tensors that are missing, left over or of another shape or type.
    """
    path = Path(path)
    path = path if path.is_file() else SHIPPED.get(str(path), path)
    if not path.is_file():
        raise UserError(f"{path}: expected a weight file, found none; check the path")
    tensors, metadata = _read(path)
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{path}: expected a weight file of format {FORMAT!r} in its metadata, found "
            f"{metadata.get('format')!r}; published .h5 files are read by: poseact weights convert"
        )
    if (found := checksum(tensors)) != (expected := metadata.get("sha256")):
        raise UserError(f"{path}: expected tensors with sha256 {expected}, found {found}; {REMEDY}")
    model, layout, arguments = _network(path, metadata)
    expected_tensors = model.state_dict()
    _compare(path, tensors, expected_tensors)
    model.load_state_dict({name: t.to(expected_tensors[name].dtype) for name, t in tensors.items()})
    return WeightFile(model.eval(), layout, arguments, metadata)


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, types, shapes and bytes of the tensors, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path}: expected a whole .safetensors file, found another kind or one cut short "
            f"({_line(error)}); {REMEDY}"
        ) from None


def _network(path: Path, metadata: Mapping[str, str]) -> tuple[MultitaskNetwork, Layout, dict[str, Any]]:
    try:
        arguments = json.loads(metadata["network"])
        model, layout = build(arguments)
        joints, labels = json.loads(metadata["joints"]), json.loads(metadata.get("action_labels", "[]"))
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"{path}: expected metadata that describes a network, found {_line(error)}; {REMEDY}"
        ) from None
    if joints != list(layout.joints):
        raise UserError(
            f"{path}: expected the joints of {layout.name} in its metadata, found {joints}; {REMEDY}"
        )
    actions = arguments.get("actions", 0)
    if not isinstance(labels, list) or len(labels) not in (0, actions):
        raise UserError(f"{path}: expected {actions} action_labels in its metadata, found {labels}; {REMEDY}")
    return model, layout, arguments


def _compare(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise on the first tensor that is missing, left over, or of another shape or type."""
    for name in sorted(found.keys() | expected.keys()):
        texts = [_describe(tensors.get(name)) for tensors in (expected, found)]
        if texts[0] != texts[1]:
            raise UserError(f"{path}: tensor {name}: expected {texts[0]}, found {texts[1]}; {REMEDY}")


def _describe(tensor: Tensor | None) -> str:
    """Shape and type; the floating types of less than 64 bits are alike: they become float32."""
    if tensor is None:
        return "none"
    small = tensor.dtype in (torch.float16, torch.bfloat16, torch.float32)
    return f"{tuple(tensor.shape)} {'float32 or half' if small else tensor.dtype}"


def _line(error: Exception) -> str:
    """An exception as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
