import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poseact.skeleton import (
    ABSENT,
    COCO17,
    H36M17,
    H36M32,
    LAYOUTS,
    LSP14,
    MPII16,
    NTU25,
    PA16,
    PA17,
    PA20,
    PENN13,
    Layout,
    convert,
    mapping,
)


@pytest.mark.parametrize(("layout", "count"), [
    (MPII16, 16), (LSP14, 14), (PA16, 16), (PA17, 17), (PA20, 20), (H36M17, 17), (H36M32, 32),
    (PENN13, 13), (NTU25, 25), (COCO17, 17),
])  # fmt: skip
def test_joint_counts(layout, count):
    assert len(layout) == count


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=str)
def test_flip_is_its_own_inverse_and_swaps_every_side(layout):
    flip = layout.flip
    assert (flip[flip] == np.arange(len(layout))).all()
    for joint, other in enumerate(flip):
        a, b = layout.joints[joint], layout.joints[other]
        assert {a, b} == {a} or {a.split("_")[0], b.split("_")[0]} == {"left", "right"}


def test_published_indices():
    """Orders that files fix (PAPER.md, DATASETS.md)."""
    assert mapping(H36M32, PA17).tolist() == [0, 12, 13, 15, 25, 17, 26, 18, 27, 19, 1, 6, 2, 7, 3, 8, 11]
    assert PA16.joints[4:8] == ("right_shoulder", "left_shoulder", "right_elbow", "left_elbow")
    # NTU's Kinect left goes into the right slots (its frames look mirrored): by name, then flipped.
    slots = [0, 20, 2, 3, 4, 8, 5, 9, 6, 10, 7, 11, 12, 16, 13, 17, 14, 18, 15, 19]
    assert mapping(NTU25, PA20)[PA20.flip].tolist() == slots
    assert MPII16.joints[13] == "left_shoulder" and LSP14.joints[13] == "head"
    assert len(H36M17) == 17 and H36M17.joints[8] == "neck"


PAIRS = [(a, b) for a in LAYOUTS.values() for b in LAYOUTS.values() if set(a.joints) <= set(b.joints)]


@given(st.sampled_from(PAIRS), st.integers(0, 2**32 - 1))
def test_mapping_there_and_back(pair, seed):
    source, target = pair
    pose = np.random.default_rng(seed).normal(size=(len(source), 2))
    assert (convert(convert(pose, source, target), target, source) == pose).all()


def test_absent_joints_are_masked():
    assert mapping(LSP14, PA16)[PA16.index("pelvis")] == ABSENT
    mask = convert(np.ones(14, bool), LSP14, PA16)
    assert not mask[PA16.index("pelvis")] and not mask[PA16.index("thorax")] and mask.sum() == 14


@pytest.mark.parametrize(("joints", "edges", "message"), [
    (("head", "head"), (), "unique"),
    (("left_knee",), (), "counterpart"),
    (("head",), (("head", "tail"),), "unknown joint"),
])  # fmt: skip
def test_bad_layouts(joints, edges, message):
    with pytest.raises(ValueError, match=message):
        Layout("bad", joints, edges)


def test_edges_connect_every_body_joint():
    for layout in (PA16, PA17, PA20, LSP14, MPII16, H36M17, NTU25, PENN13):
        drawn = {joint for edge in layout.edges for joint in edge}
        loose = set(layout.joints) - drawn
        assert loose <= ({"head"} if layout is PENN13 else set()), layout.name


def test_convert_refuses_another_joint_count():
    with pytest.raises(ValueError, match="expected 14 joints"):
        convert(np.zeros((16, 2)), LSP14, PA16)
