import numpy as np
import pytest

from poseact.evaluation.metrics import head_size_px, pck, pckh, torso_px

TORSO = ((0, 3), (1, 2))  # left shoulder - right hip, right shoulder - left hip


def test_torso_falls_back_to_the_other_diagonal():
    joints = np.zeros((4, 4, 2))
    joints[:, 3] = (3, 4)
    joints[:, 2] = (6, 8)
    valid = np.ones((4, 4), bool)
    valid[1, 0] = False
    valid[2, [0, 1]] = False
    joints[3, 3] = (0.5, 0)
    assert torso_px(joints, valid, TORSO).tolist()[:2] == [5, 10]
    assert np.isnan(torso_px(joints, valid, TORSO)[2:]).all()


def test_pck_at_its_edge():
    truth = np.zeros((2, 3, 2))
    predicted = truth.copy()
    predicted[0, 0] = (2, 0)  # exactly on the threshold: right
    predicted[0, 1] = (2.001, 0)
    predicted[1, 2] = (0, -1.9)
    valid = np.ones((2, 3), bool)
    valid[1, 1] = False
    shares = pck(predicted, truth, valid, np.array([10.0, 10.0]), 0.2)
    assert shares.tolist() == [1.0, 0.0, 1.0, 4 / 5]


def test_people_without_a_reference_are_left_out():
    truth = np.zeros((2, 1, 2))
    predicted = truth + np.array([[[0, 0]], [[99, 0]]])
    shares = pck(predicted, truth, np.ones((2, 1), bool), np.array([10.0, np.nan]), 0.2)
    assert shares.tolist() == [1, 1]


def test_a_joint_never_annotated_is_nan():
    shares = pck(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), np.array([[True, False]]), np.ones(1), 0.2)
    assert shares[0] == 1 and np.isnan(shares[1]) and shares[2] == 1


def test_head_size():
    assert head_size_px(np.array([[10.0, 10, 40, 50]])).tolist() == [30.0]


def test_pckh_equals_the_reference(shared):
    """The authors' helper on random input: their 14 joints, -1e9 for what is missing."""
    with np.load(shared / "reference" / "expected" / "protocol.npz") as file:
        truth, predicted, head = file["pckh_true"], file["pckh_pred"], file["pckh_head"][:, 0]
        expected = {0.5: float(file["pckh_05"]), 0.2: float(file["pckh_02"])}
    scored = slice(2, None)  # PA16 without pelvis and thorax
    truth, predicted = truth[:, scored], predicted[:, scored]
    valid = (truth > -1e6).all(-1)
    for threshold, score in expected.items():
        assert pckh(predicted, truth, valid, head, threshold)[-1] == pytest.approx(score, abs=1e-6)
