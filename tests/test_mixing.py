import numpy as np
import pytest

from poseact.data.mixing import MixedBatches

MIXES = [
    ([1000, 700], [50, 50], 24),
    ([1000, 300], [75, 25], 24),
    ([900, 500, 50], [45, 45, 10], 24),
    ([900, 500, 50], [45, 45, 10], 7),
    ([64], [1], 5),
]


def shares(batch, sets):
    return np.bincount([k for k, _ in batch], minlength=sets)


@pytest.mark.parametrize(("counts", "ratio", "size"), MIXES)
def test_every_batch_holds_the_ratio_and_many_hold_it_exactly(counts, ratio, size):
    exact = np.array(ratio) / sum(ratio) * size
    total, drawn = np.zeros(len(counts)), 0
    for epoch in range(400):
        for batch in MixedBatches(counts, ratio, size, seed=1, epoch=epoch):
            held = shares(batch, len(counts))
            assert held.sum() == size and np.abs(held - exact).max() < 1
            total, drawn = total + held, drawn + size
        if drawn > 10_000:
            break
    assert drawn > 10_000
    assert np.abs(total / drawn - exact / size).max() < 0.01


def test_every_set_is_seen_whole_before_it_starts_again():
    batches = [b for e in range(6) for b in MixedBatches([40, 9], [75, 25], 8, seed=0, epoch=e)]
    for which, count in enumerate((40, 9)):
        seen = [i for b in batches for k, i in b if k == which]
        for start in range(0, len(seen) - count + 1, count):
            again = start // count * count  # the draws go on counting, so that no two are the same
            assert sorted(seen[start : start + count]) == list(range(again, again + count))
    order = [i % 9 for b in batches for k, i in b if k == 1]
    assert order[:9] != order[9:18]


def test_processes_share_a_batch_with_its_mix():
    whole = list(MixedBatches([40, 20], [3, 1], 8, seed=0, epoch=1))
    parts = [list(MixedBatches([40, 20], [3, 1], 8, seed=0, epoch=1, part=(i, 2))) for i in (0, 1)]
    for batch, *shared in zip(whole, *parts, strict=True):
        assert sorted(batch) == sorted(shared[0] + shared[1])
        assert [shares(part, 2).tolist() for part in shared] == [[3, 1], [3, 1]]


def test_an_epoch_is_one_pass_over_the_first_set():
    batches = list(MixedBatches([100, 1000], [50, 50], 8, seed=0, epoch=0))
    assert len(batches) == 25 and len({p for b in batches for p in b if p[0] == 0}) == 100
    assert len(MixedBatches([10], [1], 3, 0, 0)) == 3


def test_it_resumes_anywhere():
    whole = list(MixedBatches([50, 20], [2, 1], 7, seed=3, epoch=2))
    assert list(MixedBatches([50, 20], [2, 1], 7, seed=3, epoch=2, start=4)) == whole[4:]
    assert list(MixedBatches([50, 20], [2, 1], 7, seed=4, epoch=2)) != whole


@pytest.mark.parametrize(
    ("counts", "ratio", "size", "message"),
    [([5], [1, 1], 2, "above zero"), ([5, 5], [1, 0], 2, "above zero"), ([3, 90], [1, 1], 8, "no batch")],
)
def test_impossible_mixes(counts, ratio, size, message):
    with pytest.raises(ValueError, match=message):
        MixedBatches(counts, ratio, size, 0, 0)
