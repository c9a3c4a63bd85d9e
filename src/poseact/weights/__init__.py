"""Weights: read, written, fetched and imported.

- `files`: ``.safetensors`` weight files, the package's own.
- `keras`: importer of the ``.h5`` files that the paper's authors published.
- `registry`: the package's own, and where the published ones are, their checksums, and the download.

`load_model` takes any of them by name, and the folder of an exported network (`export.network`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from poseact import DEFAULT_WEIGHTS
from poseact.errors import UserError
from poseact.export.network import DESCRIPTION, load_export
from poseact.network import PRESETS, MultitaskNetwork, arguments, build
from poseact.skeleton import Layout
from poseact.weights.files import WeightFile, load_weights, save_weights
from poseact.weights.keras import convert, read_keras
from poseact.weights.registry import RELEASED, SHIPPED, cache_folder, download

__all__ = [
    "RELEASED", "SHIPPED", "WeightFile", "cache_folder", "convert", "download", "load_model",
    "load_weights", "read_keras", "save_weights",
]  # fmt: skip


def load_model(source: str | Path = DEFAULT_WEIGHTS) -> MultitaskNetwork:
    """The network of a weight file, of an export, of weights with a name, or of a preset; in eval mode.

    ``source``: a path of weights, or of a folder that ``poseact export`` wrote; a name of the registry (of
    the package's own, or of published ones, which are fetched and converted once, then kept in
    `cache_folder`); or a preset's name (random weights). The network gets the attributes ``layout``
    (`Layout`), ``action_labels`` (names, in the order of its probabilities; empty where unknown),
    ``arguments`` (those of `network.build`) and ``metadata`` (the file's, as text).

    Raises ``UserError`` on anything else.
    """
    path, name = Path(source), str(source)
    if path.suffix in (".h5", ".hdf5"):
        raise UserError(
            f"{path}: expected a .safetensors file, found a Keras file; convert it first: "
            f"poseact weights convert {path} {path.with_suffix('.safetensors')}"
        )
    if path.is_dir() and ((path / DESCRIPTION).is_file() or name not in (*SHIPPED, *RELEASED, *PRESETS)):
        return load_export(path)
    if path.suffix == ".safetensors" or path.is_file() or name in SHIPPED:
        return _from_file(path)
    if name in RELEASED:
        converted = cache_folder() / f"{name}.safetensors"
        if not converted.is_file():
            convert(download(name), converted)
        return _from_file(converted)
    if name in PRESETS:
        args = arguments(name)
        model, layout = build(args)
        return _described(model.eval(), layout, (), args, {})
    known = ", ".join([*SHIPPED, *RELEASED, *PRESETS])
    raise UserError(
        f"{name}: expected a weight file, an exported folder or one of {known}, found none; check the name"
    )


def _from_file(path: Path) -> MultitaskNetwork:
    file = load_weights(path)
    return _described(file.model, file.layout, file.action_labels, file.arguments, file.metadata)


def _described(
    model: MultitaskNetwork,
    layout: Layout,
    labels: tuple[str, ...],
    args: Mapping[str, Any],
    metadata: Mapping[str, str],
) -> MultitaskNetwork:
    model.layout, model.action_labels = layout, labels
    model.arguments, model.metadata = dict(args), dict(metadata)
    return model
