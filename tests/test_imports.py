"""The direction of imports (lower layers know nothing of higher ones)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import poseact

ROOT = Path(poseact.__file__).parent
BASE = {"structures", "skeleton", "geometry", "errors", "results", "segments"}
ALLOWED = {
    "structures": {"skeleton", "geometry"},
    "skeleton": set(),
    "geometry": set(),
    "errors": set(),
    "results": {"errors", "skeleton"},
    "segments": {"results", "errors"},
    "network": {"structures", "skeleton", "geometry"},
    "visual": BASE | {"data"},
    "video": BASE,
    "data": BASE | {"video"},
    "weights": BASE | {"network", "data", "video", "export"},
}


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names |= {m.split(".")[1] for m in modules if m.startswith("poseact.")}
    return names


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_go_one_way(part):
    folder = ROOT / part
    files = list(folder.rglob("*.py")) if folder.is_dir() else [ROOT / f"{part}.py"]
    assert files
    for file in files:
        assert imported(file) <= ALLOWED[part] | {part}, file


def test_the_package_is_there_without_torch():
    code = "import sys, poseact, poseact.cli; poseact.cli._parser(); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
    assert callable(poseact.predict) and callable(poseact.load_model) and isinstance(poseact.Stream, type)


def test_network_is_pure_torch():
    for file in (ROOT / "network").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert {a.name.split(".")[0] for a in node.names} <= {"torch"}, file
