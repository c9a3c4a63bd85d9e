import numpy as np
import pytest
import torch
from fakes import lspet as fake
from fakes.tracks import Tracks

from poseact.data.actions import mirrored_actions
from poseact.data.augment import Augmentation
from poseact.data.loading import Examples, chosen, training_loader
from poseact.data.lspet import LspExtended
from poseact.skeleton import PA16


@pytest.fixture
def data(tmp_path):
    fake.write(tmp_path / "lspet", count=9)
    return LspExtended(tmp_path / "lspet")


def batches(data, epoch=0, workers=0, start=0):
    examples = Examples([data], data.layout, 64, Augmentation(), seed=3, epoch=epoch)
    return [batch["stills"] for batch in training_loader(examples, [1], 2, workers, start)]


def same(a, b):
    return len(a) == len(b) and all(torch.equal(x[k], y[k]) for x, y in zip(a, b, strict=True) for k in x)


def test_the_same_whatever_the_number_of_workers(data):
    plain = batches(data)
    assert len(plain) == 4
    assert same(plain, batches(data, workers=1)) and same(plain, batches(data, workers=2))


def test_an_epoch_resumes_in_the_middle(data):
    assert same(batches(data)[2:], batches(data, start=2))


def test_epochs_differ(data):
    assert not same(batches(data), batches(data, epoch=1))


def test_a_damaged_image_is_masked_not_fatal(data):
    (data.root / "images" / "im00001.jpg").write_bytes(b"")
    seen = torch.cat([b["readable"] for b in batches(data)])
    assert (~seen).sum() <= 1
    examples = Examples([data], data.layout, 64, None, 0, 0)
    assert not examples[0, 0]["readable"] and examples[0, 1]["readable"]
    assert not np.any(examples[0, 0]["valid"])


def test_stills_and_clips_of_one_batch_are_stacked_apart(data):
    (data.root / "images" / "im00001.jpg").write_bytes(b"")
    examples = Examples([data, Tracks(3)], PA16, 64, Augmentation(), 0, 0, frames=4)
    for batch in training_loader(examples, [3, 1], 4, workers=0):
        assert batch["stills"]["frames"].shape == (3, 64, 64, 3)
        assert batch["clips"]["frames"].shape == (1, 4, 64, 64, 3)
        assert not batch["stills"]["action_known"].any() and batch["clips"]["action_known"].all()


@pytest.mark.parametrize(
    ("names", "mirrored"),
    [
        (("wave_left", "wave_right", "bow"), (1, 0, 2)),
        (("raise-up-left-hand", "walk-right", "raise-up-right-hand"), (2, 1, 0)),
        (("bright", "left out"), (0, 1)),
        ((), ()),
    ],
)
def test_the_action_that_a_mirror_shows(names, mirrored):
    assert mirrored_actions(names) == mirrored


def test_a_mirrored_clip_is_of_the_other_side():
    source = Tracks(2)
    source.actions = ("wave_left", "wave_right")
    seen = set()
    for epoch in range(16):
        straight = Augmentation(rotation=0, shift=(0, 0), scale=(1, 1))
        made = Examples([source], PA16, 64, straight, 0, epoch, frames=4)[0, 0]
        x = made["pose"][:, PA16.index("pelvis"), 0]
        to_the_right = bool(x[-1] > x[0])  # as all of `Tracks` go
        assert made["action"] == (0 if to_the_right else 1)
        seen.add(to_the_right)
    assert seen == {True, False}


def test_the_processes_shares_are_the_batch(data):
    examples = Examples([data], data.layout, 64, Augmentation(), 0, 0)
    whole = next(iter(training_loader(examples, [1], 4, 0)))["stills"]["pose"]
    parts = [next(iter(training_loader(examples, [1], 4, 0, part=(i, 2))))["stills"]["pose"] for i in (0, 1)]
    assert torch.equal(whole[0::2], parts[0]) and torch.equal(whole[1::2], parts[1])


def test_a_video_that_an_epoch_sees_again_gives_another_still():
    """The second set is gone through several times: each time with another frame and augmentation."""
    examples = Examples([Tracks(8), Tracks(2)], PA16, 32, Augmentation(), 0, 0)
    stills = [b["stills"] for b in training_loader(examples, [1, 1], 4, workers=0)]
    poses = torch.cat([still["pose"][2:] for still in stills])
    assert len(poses) == 8 and len(torch.unique(poses.flatten(1), dim=0)) == 8


def test_chosen_items_are_evenly_spaced_and_repeated(data):
    assert [sample.name for sample in (chosen(data, 3)[i] for i in range(3))] == [
        data[i].name for i in (0, 3, 6)
    ]
    assert len(chosen(data, 20)) == 9 and chosen(data) is data
    twice = chosen(Tracks(4), 2, draws=2)
    assert [twice[i].name for i in range(len(twice))] == ["track 0", "track 2"] * 2
    assert list(twice.lengths) == [20] * 4 and twice.actions == Tracks.actions


def test_sides_are_changed_over_where_asked_for(data):
    plain, swapped = Tracks(1)[0], chosen(Tracks(1), swap_sides=True)[0]
    wrist = [plain.layout.index(f"{side}_wrist") for side in ("left", "right")]
    assert np.array_equal(plain.joints[:, wrist], swapped.joints[:, wrist[::-1]])
    with pytest.raises(ValueError, match="stills"):
        chosen(data, swap_sides=True)
