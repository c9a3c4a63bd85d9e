import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poseact.evaluation import metrics
from poseact.evaluation.metrics import Measured, auc, bootstrap, head_size_px, joint_errors, pck, torso_px

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
    error = np.array([[2, 2.001, 0], [0, 0, 1.9]])  # the first exactly on the threshold: right
    valid = np.ones((2, 3), bool)
    valid[1, 1] = False
    measured = pck(error, valid, np.array([10.0, 10.0]), 0.2)
    assert measured.by_joint().tolist() == [1.0, 0.0, 1.0] and measured.mean() == 4 / 5
    assert [part.tolist() for part in measured.by_person()] == [[2, 2], [3, 2]]


def test_people_without_a_reference_are_left_out():
    measured = pck(np.array([[0.0], [99.0]]), np.ones((2, 1), bool), np.array([10.0, np.nan]), 0.2)
    assert measured.mean() == 1 and measured.counted.tolist() == [[True], [False]]


def test_a_joint_never_annotated_is_nan_and_nobody_at_all_too():
    measured = pck(np.zeros((1, 2)), np.array([[True, False]]), np.ones(1), 0.2)
    assert measured.by_joint()[0] == 1 and np.isnan(measured.by_joint()[1]) and measured.mean() == 1
    assert np.isnan(pck(np.zeros((1, 2)), np.zeros((1, 2), bool), np.ones(1), 0.2).mean())


def test_a_prediction_that_is_not_finite_is_a_miss():
    measured = pck(np.array([[np.nan, np.inf, 0.0]]), np.ones((1, 3), bool), np.ones(1), 0.5)
    assert measured.mean() == 1 / 3


def test_head_size():
    assert head_size_px(np.array([[10.0, 10, 40, 50]])).tolist() == [30.0]


def test_auc_is_the_mean_of_pckh_over_51_and_21_thresholds():
    error = np.array([[0.0, 2.0, 6.0, 1.05]])  # of a head of 10: right from 0, .2, never, .11
    valid, head = np.ones((1, 4), bool), np.array([10.0])
    assert auc(error, valid, head, 0.5).by_joint() == pytest.approx([1, 31 / 51, 0, 40 / 51])
    assert auc(error, valid, head, 0.2).by_joint() == pytest.approx([1, 1 / 21, 0, 10 / 21])


def reference(shared):
    return np.load(shared / "reference" / "expected" / "protocol.npz")


def test_pckh_equals_the_reference(shared):
    """The authors' helper on random input: their 14 joints, -1e9 for what is missing."""
    with reference(shared) as file:
        truth, predicted, head = file["pckh_true"], file["pckh_pred"], file["pckh_head"][:, 0]
        expected = {0.5: float(file["pckh_05"]), 0.2: float(file["pckh_02"])}
    scored = slice(2, None)  # PA16 without pelvis and thorax
    truth, predicted = truth[:, scored], predicted[:, scored]
    valid = (truth > -1e6).all(-1)
    for threshold, score in expected.items():
        measured = pck(joint_errors(predicted, truth), valid, head, threshold)
        assert measured.mean() == pytest.approx(score, abs=1e-6)


def test_mpjpe_equals_the_reference(shared):
    with reference(shared) as file:
        truth, predicted, expected = file["mpjpe_true_mm"], file["mpjpe_pred_mm"], float(file["mpjpe_mm"])
    error = joint_errors(predicted, truth)
    assert metrics.mpjpe(error, np.ones(error.shape, bool)).mean() == pytest.approx(expected, abs=1e-6)


def test_mpjpe_by_hand_with_a_missing_joint():
    truth = np.array([[[100.0, 0, 2000], [130, 0, 2000], [100, 40, 2000]]] * 2)
    predicted = np.array([[[0.0, 0, 0], [30, 0, 0], [0, 40, 12]], [[7, 7, 7], [40, 7, 7], [7, 47, 7]]])
    error = joint_errors(metrics.root_aligned(predicted, 0), metrics.root_aligned(truth, 0))
    valid = np.array([[True, True, True], [True, True, False]])
    assert error.tolist() == [[0, 0, 12], [0, 3, 0]]
    measured = metrics.mpjpe(error, valid)
    assert measured.mean() == 15 / 5
    assert measured.by_group(np.array([0, 2]), 3).tolist()[::2] == [4, 1.5]
    assert np.isnan(measured.by_group(np.array([0, 2]), 3)[1])


def turned(rng):
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


@given(st.integers(0, 10_000))
def test_procrustes_undoes_every_similarity(seed):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(2, 8, 3)) * 300
    predicted = rng.uniform(0.1, 5) * truth @ turned(rng).T + rng.normal(size=3) * 1000
    valid = rng.random((2, 8)) < 0.8
    valid[:, :4] = True
    predicted[~valid] = np.nan  # what is not valid does not count
    aligned = metrics.procrustes(predicted, truth, valid)
    assert np.abs(aligned - truth)[valid].max() < 1e-6


def test_procrustes_does_not_mirror():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(1, 10, 3))
    mirrored = truth * [-1, 1, 1]
    valid = np.ones((1, 10), bool)
    error = joint_errors(metrics.procrustes(mirrored, truth, valid), truth)
    assert error.mean() > 0.3
    best = min(
        np.linalg.norm(scale * ((mirrored - mirrored.mean(1)) @ turned(rng).T) + truth.mean(1) - truth)
        for scale in np.linspace(0.1, 1, 4)
        for _ in range(500)
    )
    assert np.linalg.norm(error) <= best


def test_procrustes_of_too_few_joints_and_of_a_single_point():
    truth = np.random.default_rng(0).normal(size=(2, 5, 3))
    valid = np.array([[True, True, False, False, False], [True] * 5])
    aligned = metrics.procrustes(np.ones((2, 5, 3)), truth, valid)
    assert np.isnan(aligned[0]).all() and np.allclose(aligned[1], truth[1].mean(0))


def test_accuracy_by_class_and_confusion():
    predicted, truth = np.array([0, 1, 1, 2, 0]), np.array([0, 1, 2, 2, 0])
    answered = np.array([True, True, True, True, False])
    measured = metrics.accuracy(predicted, truth, answered)
    assert measured.mean() == 3 / 5  # without an answer is wrong
    assert measured.by_group(truth, 4).tolist()[:3] == [1 / 2, 1, 1 / 2]
    assert np.isnan(measured.by_group(truth, 4)[3])
    assert metrics.confusion(predicted, truth, answered, 3).tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]


def interval(sums, unit, seed=0, **options):
    counts = np.ones(len(sums), np.int64)
    return bootstrap(
        np.asarray(sums, float), counts, np.asarray(unit), np.random.default_rng(seed), **options
    )


def test_bootstrap_of_a_share_is_about_two_standard_errors():
    hits = np.arange(400) % 4 == 0
    low, high = interval(hits, np.arange(400))
    expected = 1.96 * (0.25 * 0.75 / 400) ** 0.5
    assert low == pytest.approx(0.25 - expected, abs=0.01) and high == pytest.approx(
        0.25 + expected, abs=0.01
    )
    assert (low, high) == interval(hits, np.arange(400)) != interval(hits, np.arange(400), seed=1)


def test_bootstrap_draws_frames_of_a_video_together():
    hits = np.repeat(np.arange(20) % 2, 20)
    alone, together = interval(hits, np.arange(400)), interval(hits, np.repeat(np.arange(20), 20))
    assert together[1] - together[0] > 3 * (alone[1] - alone[0])


def test_bootstrap_of_the_mean_of_actions_weighs_actions_alike():
    error, action = np.array([10.0] * 98 + [30.0] * 2), np.array([0] * 98 + [1] * 2)
    low, high = interval(error, np.arange(100), group=action)
    assert (low, high) == (10, 20)  # where the few of the second action are not drawn, the first is the mean
    assert interval(error, np.arange(100))[1] < 12


def test_bootstrap_of_one_unit_or_of_nothing_that_counts_is_unknown():
    assert np.isnan(interval([1.0, 0.0], [3, 3])).all()
    none = bootstrap(np.zeros(3), np.zeros(3, int), np.arange(3), np.random.default_rng(0))
    assert np.isnan(none).all()


def test_a_joint_that_does_not_count_hides_its_value():
    measured = Measured(np.array([[np.nan, 2.0]]), np.array([[False, True]]))
    assert measured.mean() == 2
