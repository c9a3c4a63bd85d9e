"""Data sets, one file each, and the way from a sample to a batch.

- Stills: `mpii`, `lspet`, `coco` (one's own images).
- Videos: `human36m`, `penn_action`, `ntu`, `folder` (one's own, in a sub-folder per action),
  `synthetic` (people made by the package).
- `clips`: stills and clips out of videos.  `augment`: sample to training example.
  `mixing`: batches from several sets.  `loading`: examples to batches.
- `check`: what is wrong with a set on disk.  `pack`: person crops in few large files.
- `images`: reading and writing image files.  `actions`: the published action labels.
  `restricted`: pickled containers without running what is in them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from poseact.data.clips import Stills, TrackSource, is_tracks
from poseact.data.images import readable_pictures
from poseact.data.loading import SampleSource
from poseact.data.pack import is_pack, open_pack, packed_splits
from poseact.errors import UserError

NAMES = ("mpii", "human36m", "penn-action", "ntu", "lspet", "coco", "folder", "synthetic")
SYNTHETIC_SEEDS = {"train": 0, "val": 1, "test": 2, "all": 3}
"""``all`` without motion capture is endless like the others, and shares nobody with them."""
SYNTHETIC_EIGHT = ("raise_right", "phone_call", "drink", "wave_right", "throw", "punch", "squat", "bow")
"""The actions of the splits ``train-eight``, ``val-eight`` and ``test-eight``, for small experiments: some
differ by the pose, and some that look alike by what is held."""
SYNTHETIC_COUNT, SYNTHETIC_FRAMES = 500, 48
"""Synthetic videos, and frames of each, where nothing else is asked for."""


def open_data(
    name: str,
    root: Path | None,
    split: str,
    count: int | None = None,
    frames: int = SYNTHETIC_FRAMES,
    photographs: Path | None = None,
) -> SampleSource | TrackSource:
    """A data set by name and split, as it unpacks or packed.

    ``root``: its folder; for ``synthetic`` a file of motion capture, or None for procedural actions; the
    splits ``train-both``, ``val-both`` and ``test-both`` show movements of both kinds, without captured waves
    whose hands are still; ``train-course`` and so on films of 12 s of one movement after the other, of both
    kinds where there is such a file.
    ``count``, ``frames``: the number of synthetic videos, and the length of each; 1 is quickest for
    stills; packed ones are as they were packed. ``photographs``: a folder of pictures for what is behind
    synthetic people; films of a course have neither. Raises `UserError` on an unknown name or split, or a
    missing folder.
    """
    if name not in NAMES:
        raise UserError(f"unknown data set {name!r}; expected one of {', '.join(NAMES)}")
    if root is not None and is_pack(root, split):
        return open_pack(root, name, split)
    if root is not None and (packed := packed_splits(root)):
        if split.endswith("-course"):
            raise UserError(
                f"{split}: is never packed; give a file of motion capture in the place of {root}, or no root "
                "for procedural movements; of a chain, for this stage alone: STAGE:roots.synthetic"
            )
        raise UserError(
            f"{root}: expected a pack of the split {split!r}, found packs of {', '.join(packed)}; "
            f"pack {split!r} into the same folder too"
        )
    if name == "synthetic":
        return _synthetic(root, split, count, frames, photographs)
    if root is None:
        raise UserError(f"{name}: expected the folder of the data set; give it with --root")
    return _reader(name)[0](root, split)


def _synthetic(
    root: Path | None, split: str, count: int | None, frames: int, photographs: Path | None
) -> TrackSource:
    from poseact.data.synthetic import SyntheticVideos
    from poseact.data.synthetic.actions import ACTIONS
    from poseact.data.synthetic.capture import (
        read_motions_npz,
        split_by_style,
        with_common_names,
        without_still_waves,
    )
    from poseact.data.synthetic.course import Courses

    part, _, kind = split.partition("-")
    kinds = ("", "both" if root else "eight", "course")
    if part not in SYNTHETIC_SEEDS or kind not in kinds or split.endswith("-"):
        known = ", ".join(f"{p}-{k}" if k else p for k in kinds for p in SYNTHETIC_SEEDS)
        captured = part in SYNTHETIC_SEEDS and kind == "both"
        remedy = "; give a file of motion capture for movements of both kinds" if captured else ""
        raise UserError(f"synthetic: unknown split {split!r}; expected one of {known}{remedy}")
    motions = with_common_names(split_by_style(read_motions_npz(root), part)) if root else None
    if motions and kind:
        motions = without_still_waves(motions.of_actions(ACTIONS))
    if kind == "course":
        return Courses(count or SYNTHETIC_COUNT, seed=SYNTHETIC_SEEDS[part], motions=motions)
    return SyntheticVideos(
        count or (len(motions) if motions and not kind else SYNTHETIC_COUNT),
        frames,
        seed=SYNTHETIC_SEEDS[part],
        motions=motions,
        photographs=() if photographs is None else readable_pictures(photographs),
        actions=SYNTHETIC_EIGHT if kind == "eight" else ACTIONS,
        both=kind == "both",
    )


def published(name: str, split: str) -> int | None:
    """How many items the split has in its publication; None where that is not known."""
    return None if name == "synthetic" else _reader(name)[1].get(split)


def as_stills(source: SampleSource | TrackSource, every: int) -> SampleSource:
    """The data set itself, or every ``every``-th frame of one of videos."""
    return Stills(source, every) if is_tracks(source) else source


def _reader(name: str) -> tuple[Callable[[Path, str], SampleSource | TrackSource], dict[str, int]]:
    """A data set's reader, and how many items its splits have in its publication."""
    # Imported here because the readers import this package's other parts.
    from poseact.data import coco, folder, human36m, lspet, mpii, ntu, penn_action

    readers: dict[str, tuple[Callable[[Path, str], SampleSource | TrackSource], dict[str, int]]] = {
        "mpii": (mpii.Mpii, mpii.PUBLISHED),
        "human36m": (human36m.Human36M, human36m.PUBLISHED),
        "penn-action": (penn_action.PennAction, penn_action.PUBLISHED),
        "ntu": (ntu.Ntu, ntu.PUBLISHED),
        "lspet": (lspet.LspExtended, lspet.PUBLISHED),
        "coco": (coco.Coco, coco.PUBLISHED),
        "folder": (folder.ActionFolders, folder.PUBLISHED),
    }
    return readers[name]
