"""Named joint layouts; every mapping and every flip is computed from the names.

One name means one place on the body, and ``left`` and ``right`` are the person's own.
Two names are wider than one definition, because the field mixes them: ``head`` is the top
of the head in MPII, LSP and Human3.6M but the centre of the head in Penn Action and NTU;
``neck`` is the base of the skull in MPII ("upper neck") and the base of the neck elsewhere.
Human3.6M's trunk has other places under these names: its ``spine`` lies at the pelvis, its ``thorax`` in the
middle of the back, its ``neck`` between the shoulders, where elsewhere the thorax is. The authors read them
so, and mix them with MPII's; scored against weights that learnt them elsewhere they add to the error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

ABSENT = -1
Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Layout:
    """An ordered set of named joints.

    ``joints``: unique names, sides written ``left_*`` and ``right_*``.
    ``edges``: pairs of names to draw and to measure limbs between.

    Raises ``ValueError`` on repeated names, an edge to an unknown joint, or a side without
    its counterpart.
    """

    name: str
    joints: tuple[str, ...]
    edges: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if len(set(self.joints)) != len(self.joints):
            raise ValueError(f"layout {self.name}: expected unique joint names, got {self.joints}")
        for joint in self.joints:
            if mirrored(joint) not in self.joints:
                raise ValueError(f"layout {self.name}: {joint} has no counterpart {mirrored(joint)}")
        for edge in self.edges:
            if not set(edge) <= set(self.joints):
                raise ValueError(f"layout {self.name}: edge {edge} names an unknown joint")

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Position of ``joint``; raises ``ValueError`` where the layout lacks it."""
        return self.joints.index(joint)

    @cached_property
    def flip(self) -> npt.NDArray[np.int64]:
        """Indices (J,) that swap left and right: ``pose[..., layout.flip, :]``."""
        return np.array([self.index(mirrored(joint)) for joint in self.joints])

    @property
    def limbs(self) -> list[tuple[int, int]]:
        """The edges as pairs of indices."""
        return [(self.index(a), self.index(b)) for a, b in self.edges]


def mirrored(joint: str) -> str:
    """The name of the joint on the other side; the same name for a joint in the middle."""
    if joint.startswith("left_"):
        return "right_" + joint.removeprefix("left_")
    if joint.startswith("right_"):
        return "left_" + joint.removeprefix("right_")
    return joint


@cache
def mapping(source: Layout, target: Layout) -> npt.NDArray[np.int64]:
    """For each joint of ``target`` its index in ``source``, or ``ABSENT``: (J_target,)."""
    return np.array([source.index(j) if j in source.joints else ABSENT for j in target.joints])


def convert(
    values: npt.NDArray[Scalar], source: Layout, target: Layout, axis: int = 0
) -> npt.NDArray[Scalar]:
    """Reorder the joint ``axis`` of ``values`` (..., J_source, ...) into ``target``.

    Joints that ``source`` lacks are filled with zero (``False`` in a mask), so converting a
    mask beside the numbers marks them missing. Raises ``ValueError`` on another joint count.
    """
    if values.shape[axis] != len(source):
        raise ValueError(f"expected {len(source)} joints of {source.name}, got {values.shape[axis]}")
    indices = mapping(source, target)
    result = np.take(values, indices, axis)
    absent = indices == ABSENT
    if absent.any():
        np.moveaxis(result, axis, 0)[absent] = 0
    return result


def _sides(*joints: str) -> tuple[str, ...]:
    """Each joint on the right, then on the left: the alternating order of the network."""
    return tuple(f"{side}_{joint}" for joint in joints for side in ("right", "left"))


def _edges(joints: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The bones between those joints; a bone skips over joints that the layout lacks."""
    present = set(joints)
    chains: list[tuple[str, ...]] = [("pelvis", "spine", "thorax", "neck", "nose", "head")]
    for side in ("right_", "left_"):
        arm = tuple(side + j for j in ("shoulder", "elbow", "wrist", "hand", "hand_tip"))
        leg = tuple(side + j for j in ("hip", "knee", "ankle", "foot", "toe"))
        upper = next((j for j in ("thorax", "neck") if j in present), side + "hip")
        lower = "pelvis" if "pelvis" in present else side + "shoulder"
        chains += [(upper, *arm), (lower, *leg), (side + "eye", side + "ear"), ("nose", side + "eye")]
        chains += [(side + "hand", side + "thumb")]
    if "pelvis" not in present:
        chains += [("right_hip", "left_hip"), ("right_shoulder", "left_shoulder")]
    edges: list[tuple[str, str]] = []
    for chain in chains:
        kept = [joint for joint in chain if joint in present]
        edges += list(pairwise(kept))
    unique = {frozenset(edge): edge for edge in edges}
    return tuple(unique.values())


def _layout(name: str, *joints: str) -> Layout:
    return Layout(name, joints, _edges(joints))


# fmt: off
_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
PA16 = _layout("pa16", "pelvis", "thorax", "neck", "head", *_sides(*_LIMBS))
PA17 = _layout("pa17", *PA16.joints, "spine")
PA20 = _layout("pa20", "pelvis", "thorax", "neck", "head",
               *_sides("shoulder", "elbow", "wrist", "hand", "hip", "knee", "ankle", "foot"))
MPII16 = _layout("mpii16",
                 "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
                 "pelvis", "thorax", "neck", "head",
                 "right_wrist", "right_elbow", "right_shoulder",
                 "left_shoulder", "left_elbow", "left_wrist")
LSP14 = _layout("lsp14",
                "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
                "right_wrist", "right_elbow", "right_shoulder",
                "left_shoulder", "left_elbow", "left_wrist", "neck", "head")
# Human3.6M calls 12 "Spine1", 13 "Neck", 14 "Head", 15 the end of the head; the names here
# are those of the network's joints that the authors read from them (0 12 13 15 ... 11).
H36M32 = _layout("h36m32",
                 "pelvis", "right_hip", "right_knee", "right_ankle", "right_foot", "right_toe",
                 "left_hip", "left_knee", "left_ankle", "left_foot", "left_toe",
                 "spine", "thorax", "neck", "nose", "head",
                 "left_clavicle", "left_shoulder", "left_elbow", "left_wrist",
                 "left_thumb", "left_thumb_tip", "left_hand", "left_hand_tip",
                 "right_clavicle", "right_shoulder", "right_elbow", "right_wrist",
                 "right_thumb", "right_thumb_tip", "right_hand", "right_hand_tip")
H36M17_OF_32 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
H36M17 = _layout("h36m17", *(H36M32.joints[i] for i in H36M17_OF_32))
PENN13 = _layout("penn13", "head",
                 "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
                 "left_wrist", "right_wrist", "left_hip", "right_hip",
                 "left_knee", "right_knee", "left_ankle", "right_ankle")
NTU25 = _layout("ntu25", "pelvis", "spine", "neck", "head",
                "left_shoulder", "left_elbow", "left_wrist", "left_hand",
                "right_shoulder", "right_elbow", "right_wrist", "right_hand",
                "left_hip", "left_knee", "left_ankle", "left_foot",
                "right_hip", "right_knee", "right_ankle", "right_foot",
                "thorax", "left_hand_tip", "left_thumb", "right_hand_tip", "right_thumb")
COCO17 = _layout("coco17", "nose", "left_eye", "right_eye", "left_ear", "right_ear",
                 "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
                 "left_wrist", "right_wrist", "left_hip", "right_hip",
                 "left_knee", "right_knee", "left_ankle", "right_ankle")
# fmt: on

_EXTREMITIES = tuple(f"{side}_{part}" for side in ("left", "right") for part in ("hand", "foot"))
FIGURE36 = Layout(
    "figure36",
    tuple(dict.fromkeys(j for layout in (PA20, PA17, H36M32, NTU25, COCO17) for j in layout.joints)),
    (*PA17.edges, *(edge for edge in PA20.edges if edge[1] in _EXTREMITIES), ("neck", "nose")),
)
"""Every joint of every layout: of synthetic people, who know them all."""

LAYOUTS = {
    layout.name: layout
    for layout in (PA16, PA17, PA20, MPII16, LSP14, H36M17, H36M32, PENN13, NTU25, COCO17, FIGURE36)
}
