"""Data sets, one file each, and the way from a sample to a batch.

- `lspet`: Leeds Sports Pose, extended.  `synthetic`: figures made by the package.
- `augment`: sample to training example.  `loading`: examples to batches.
- `images`: reading and writing image files.  `actions`: the published action labels.
"""

from __future__ import annotations

from pathlib import Path

from poseact.data.loading import SampleSource
from poseact.errors import UserError

NAMES = ("lspet", "synthetic")
SYNTHETIC_SEEDS = {"train": 0, "val": 1, "test": 2, "all": 0}


def open_data(name: str, root: Path | None, split: str, count: int | None = None) -> SampleSource:
    """A data set by name and split.

    ``root``: its folder (none for ``synthetic``). ``count``: the number of synthetic samples.
    Raises `UserError` on an unknown name or split, or a missing folder.
    """
    if name == "synthetic":
        from poseact.data.synthetic import SyntheticFigures

        if split not in SYNTHETIC_SEEDS:
            raise UserError(
                f"synthetic: unknown split {split!r}; expected one of {', '.join(SYNTHETIC_SEEDS)}"
            )
        return SyntheticFigures(count or 500, seed=SYNTHETIC_SEEDS[split])
    if name != "lspet":
        raise UserError(f"unknown data set {name!r}; expected one of {', '.join(NAMES)}")
    if root is None:
        raise UserError(f"{name}: expected the folder of the data set; give it with --root or data.root=DIR")
    from poseact.data.lspet import LspExtended

    return LspExtended(root, split)
