"""Fixtures of the whole suite: the material that lies beside the repository."""

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest
import torch

# Several test processes share the cores, and a slow machine is not a failure.
torch.set_num_threads(1)
hypothesis.settings.register_profile("poseact", deadline=None, max_examples=60)
hypothesis.settings.load_profile("poseact")

NETWORKS = ("pose2d", "pose3d", "action2d", "action3d")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ../shared beside the repository; where CI is true, it must be there."""
    path = Path(__file__).parents[1] / ".." / "shared"
    if not path.is_dir():
        message = f"{path}: expected the material beside the repository, found none"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    return path.resolve()


@pytest.fixture(scope="session")
def make_weights(shared: Path) -> ModuleType:
    """The script that writes files in the layout of the published weights."""
    spec = importlib.util.spec_from_file_location("make_weights", shared / "reference" / "make_weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def manifests(shared: Path) -> dict[str, dict]:
    """The layouts of the published weight files, with two prediction blocks."""
    folder = shared / "reference" / "manifests"
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in NETWORKS}


@pytest.fixture(scope="session")
def keras_files(make_weights, manifests, tmp_path_factory) -> dict[str, Path]:
    """A Keras file of each manifest, with random weights."""
    folder = tmp_path_factory.mktemp("keras")
    for name, manifest in manifests.items():
        make_weights.write(manifest, folder / f"{name}.h5")
    return {name: folder / f"{name}.h5" for name in manifests}
