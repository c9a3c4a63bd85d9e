import copy
import os
import socket
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from fakes.networks import Known, Scripted
from fakes.penn_action import write as write_penn
from fakes.penn_action import write_boxes
from fakes.tracks import Tracks

from poseact.data.clips import clip
from poseact.data.penn_action import PennAction
from poseact.errors import UserError
from poseact.evaluation.actions import AUTHORS_BOXES, clips_of
from poseact.evaluation.protocols import evaluate_action, evaluate_pose
from poseact.evaluation.rules import FIVE_CROPS, OURS, Protocol, protocol_of
from poseact.geometry import Box, crop_transform, whole_image_box
from poseact.network import arguments, build, to_input
from poseact.skeleton import PA16, PA17

CPU = torch.device("cpu")
MANY = Protocol(clips="many")


def tiny(actions=2):
    torch.manual_seed(0)
    args = arguments("penn-action", "paper", width=16, blocks=1, size=64, actions=actions, frames=8)
    network, layout = build(args)
    network.layout = layout
    return network


def sure(labels, actions=2):
    """Probabilities (N, A): nearly certain of each label."""
    return torch.nn.functional.one_hot(torch.as_tensor(labels), actions) * 0.98 + 0.01


def numbers(frames):
    """The frame numbers (N, T) of `Tracks`, which its green tells."""
    return ((frames[:, :, 1, 16, 16] + 1) * 127.5 / 10).round().long()


def scripted(script=None, **options):
    network = Scripted(script or (lambda frames, *_: sure([0] * len(frames))), actions=2, **options)
    network.layout = PA16
    return network


def test_answers_about_mirror_images_name_the_other_side():
    network = scripted(lambda frames, *_: sure([(i + 1) % 2 for i in range(len(frames))]))
    source = Tracks(count=2)
    source.actions = network.action_labels = ("wave_left", "wave_right")
    scores = evaluate_action(network, source, CPU, Protocol(flip=True))
    assert scores.confusion.tolist() == [[0, 1], [0, 1]]  # right, and left in the mirror: right


def test_accuracy_by_hand():
    network = scripted()  # always "walk": right for the even ones of three videos
    scores = evaluate_action(network, Tracks(count=3), CPU)
    assert scores.scores["accuracy"] == [2 / 3] and scores.main == "accuracy" and scores.better == "higher"
    assert scores.scores["accuracy_pose"] == scores.scores["accuracy_appearance"] == [2 / 3] * 4
    assert scores.by_action["walk"]["accuracy"] == 1 and scores.by_action["stand"]["accuracy_pose"] == 0
    assert scores.confusion.tolist() == [[2, 0], [1, 0]] and scores.actions == ("walk", "stand")
    assert scores.samples == 3 and scores.people.sums["accuracy"].tolist() == [1, 0, 1]


def test_videos_of_one_performance_are_one_unit_of_the_bootstrap():
    class Cameras(Tracks):
        def __getitem__(self, i):
            return replace(super().__getitem__(i), group=f"performance {i // 2}")

    assert evaluate_action(scripted(), Cameras(count=5), CPU).people.unit.tolist() == [0, 0, 1, 1, 2]
    assert evaluate_action(scripted(), Tracks(count=3), CPU).people.unit.tolist() == [0, 1, 2]
    posed = evaluate_pose(Known(np.full((17, 3), 0.5).tolist()), PA17, Cameras(count=5, frames=1), CPU)
    assert posed.people.unit.tolist() == [0, 0, 1, 1, 2]


def test_one_clip_in_the_middle_and_one_each_half_of_t():
    network = scripted()
    evaluate_action(network, Tracks(count=1, frames=20), CPU)
    assert numbers(network.seen[0][0]).tolist() == [[8, 9, 10, 11]]
    network.seen.clear()
    evaluate_action(network, Tracks(count=1, frames=20), CPU, MANY)
    starts = torch.cat([numbers(frames) for frames, *_ in network.seen])[:, 0].tolist()
    assert starts == list(range(0, 17, 2))


def test_clips_by_the_authors_rules():
    penn, ntu = protocol_of("released", "penn-action"), protocol_of("released", "ntu")
    starts = [frames[0] for frames in clips_of(100, 16, penn)]
    assert starts == list(range(0, 100 - 31, 9)) and set(np.diff(clips_of(100, 16, penn)[0])) == {2}
    assert [frames[0] for frames in clips_of(100, 20, ntu)] == list(range(0, 100 - 39, 10))
    assert len(clips_of(40, 16, penn)) == 1 and len(clips_of(41, 16, penn)) == 2  # two frames after the last
    assert clips_of(31, 16, penn) == [] and len(clips_of(32, 16, penn)) == 1
    assert len(clips_of(10, 16, OURS)[0]) == 16  # stretched
    assert len(clips_of(10, 16, MANY)) == 1


def test_mean_and_product_can_differ():
    """Two weak clips for the first action, one strong for the second."""
    by_start = {0: [0.6, 0.4], 2: [0.6, 0.4], 4: [0.1, 0.9]}

    def script(frames, *_):
        return torch.tensor([by_start[int(first)] for first in numbers(frames)[:, 0]])

    source = Tracks(count=1, frames=8)
    assert evaluate_action(scripted(script), source, CPU, MANY).reported == 0  # .433 to .567
    assert evaluate_action(scripted(script), source, CPU, replace(MANY, combine="product")).reported == 0
    by_start[4] = [0.35, 0.65]
    assert evaluate_action(scripted(script), source, CPU, MANY).reported == 1  # .517
    by_start |= {0: [0.9, 0.1], 2: [0.9, 0.1], 4: [0.001, 0.999]}  # .6 by the mean, .075 by the product
    assert evaluate_action(scripted(script), source, CPU, MANY).reported == 1
    assert evaluate_action(scripted(script), source, CPU, replace(MANY, combine="product")).reported == 0


def test_a_product_of_zeros_is_no_nan():
    network = scripted(lambda frames, *_: torch.tensor([[0.0, 1.0]]).expand(len(frames), 2))
    scores = evaluate_action(network, Tracks(count=2, frames=40), CPU, replace(MANY, combine="product"))
    assert scores.reported == 0.5


def test_videos_too_short_for_a_clip_are_wrong_and_counted():
    protocol = replace(MANY, stride=2, stretch=False)
    scores = evaluate_action(scripted(), Tracks(count=3, frames=7), CPU, protocol)
    assert scores.reported == 0 and scores.unanswered == 3 and scores.samples == 3
    assert scores.confusion.sum() == 0


def test_crops_are_moved_and_mirrored():
    network = scripted()
    protocol = Protocol(shifts=FIVE_CROPS, flip=True)
    evaluate_action(network, Tracks(count=1), CPU, protocol)
    frames = torch.cat([frames for frames, *_ in network.seen])
    assert len(frames) == 10
    for plain, mirrored in zip(frames[::2], frames[1::2], strict=True):
        assert torch.equal(plain.flip(-1), mirrored)
    assert not torch.equal(frames[0], frames[2])


def given(protocol, **options):
    network = scripted(**options)
    evaluate_action(network, Tracks(count=1), CPU, protocol)
    return [torch.cat(parts) for parts in zip(*network.seen, strict=True)]


def test_given_poses_are_those_of_training():
    _, poses, visible = given(Protocol(poses="given"))
    track = Tracks(count=1)[0]
    taken = clip(track, np.arange(8, 12))
    hip = PA16.index("left_hip")
    x = (track.joints[8:12, 6, 0] - taken.box.centre[0]) / taken.box.side + 0.5
    assert poses[0, :, hip, 0].numpy() == pytest.approx(x) and (visible == 1).all()
    assert poses.shape == (1, 4, 16, 2)
    assert given(Protocol(poses="given"), dim=3)[1].shape == (1, 4, 16, 3)


def test_noise_on_given_poses_has_the_stated_deviation_and_a_seed():
    exact = given(Protocol(poses="given"))[1]
    noisy = Protocol(poses="noisy", pose_noise=0.05)
    first, again, other = (given(p)[1] for p in (noisy, noisy, replace(noisy, seed=1)))
    assert (first - exact).std().item() == pytest.approx(0.05, rel=0.15)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_mirrored_given_poses_change_sides():
    _, poses, _ = given(Protocol(poses="given", flip=True))
    assert torch.allclose(poses[1, :, :, 0], 1 - poses[0][:, PA16.flip.tolist(), 0])
    assert torch.equal(poses[1, :, :, 1], poses[0][:, PA16.flip.tolist(), 1])


def test_given_poses_need_annotated_joints():
    source = Tracks(count=1)
    unseen = Masked(source)
    with pytest.raises(UserError, match="expected annotated joints to give"):
        evaluate_action(scripted(), unseen, CPU, Protocol(poses="given"))


class Masked:
    """Tracks whose joints are not annotated."""

    def __init__(self, tracks):
        self.tracks, self.layout, self.actions = tracks, tracks.layout, tracks.actions
        self.lengths = tracks.lengths

    def __len__(self):
        return len(self.tracks)

    def __getitem__(self, i):
        track = self.tracks[i]
        return replace(track, valid=track.valid & False, depth_valid=track.depth_valid & False)


def test_videos_without_a_label_are_skipped_and_unreadable_ones_listed():
    class Mixed(Tracks):
        def __getitem__(self, i):
            if i == 1:
                raise UserError("b.mp4: gone")
            return replace(super().__getitem__(i), action=None if i == 2 else 0)

    scores = evaluate_action(scripted(), Mixed(count=101, frames=4), CPU)
    assert scores.damaged == ["b.mp4: gone"] and scores.skipped == 1 and scores.samples == 99
    with pytest.raises(UserError, match=r"1 of 50 videos cannot be read: b\.mp4: gone"):
        evaluate_action(scripted(), Mixed(count=50, frames=4), CPU)


def test_a_clip_that_shows_nobody_is_left_out_where_others_remain():
    network = scripted()
    evaluate_action(network, Tracks(count=1, frames=12, hidden=(0, 1, 2, 3)), CPU, MANY)
    starts = torch.cat([numbers(frames) for frames, *_ in network.seen])[:, 0].tolist()
    assert starts == [2, 4, 6, 8]
    with pytest.raises(UserError, match="shows an annotated person"):
        evaluate_action(network, Tracks(count=1, frames=4, hidden=(0, 1, 2, 3)), CPU, MANY)


def test_frames_of_overlapping_clips_and_crops_are_decoded_once():
    read = []

    class Counted(Tracks):
        def __getitem__(self, i):
            track = super().__getitem__(i)

            class Frames:
                def __len__(self):
                    return len(track)

                def read(self, indices, reduction=1):
                    read.extend(indices)
                    return track.frames.read(indices, reduction)

            return replace(track, frames=Frames())

    protocol = replace(MANY, shifts=FIVE_CROPS, flip=True)
    counted, plain = scripted(), scripted()
    evaluate_action(counted, Counted(count=1, frames=20), CPU, protocol)
    assert sorted(read) == list(range(20))
    evaluate_action(plain, Tracks(count=1, frames=20), CPU, protocol)
    for (a, *_), (b, *_) in zip(counted.seen, plain.seen, strict=True):
        assert torch.equal(a, b)


def test_labels_must_be_the_networks():
    network = scripted()
    network.action_labels = ("walk", "run")
    with pytest.raises(UserError, match=r"labels: expected actions of the network \(walk, run\), got stand"):
        evaluate_action(network, Tracks(), CPU)
    with pytest.raises(UserError, match="labels: expected the network's 3 actions, got 2"):
        evaluate_action(Scripted(None, actions=3), Tracks(), CPU)


def test_a_set_may_have_fewer_actions_of_the_network_in_another_order():
    network = Scripted(lambda frames, *_: sure([3] * len(frames), 4), actions=4)  # always "walk"
    network.layout, network.action_labels = PA16, ("other", "stand", "run", "walk")
    scores = evaluate_action(network, Tracks(count=3), CPU)  # walk, stand, walk
    assert scores.actions == network.action_labels and scores.scores["accuracy"] == [2 / 3]
    assert {name: row["accuracy"] for name, row in scores.by_action.items()} == {"stand": 0, "walk": 1}
    assert scores.confusion[3].tolist() == [0, 0, 0, 2] and scores.confusion[1].tolist() == [0, 0, 0, 1]


def test_nan_is_told():
    network = scripted(lambda frames, *_: torch.full((len(frames), 2), torch.nan))
    with pytest.raises(UserError, match="not finite for 3 of 3 videos"):
        evaluate_action(network, Tracks(), CPU)


def test_a_network_without_a_layout_is_asked_for_it_only_where_joints_have_names():
    network = Scripted(lambda frames, *_: sure([0] * len(frames)), actions=2)
    assert evaluate_action(network, Tracks(), CPU).samples == 3
    with pytest.raises(ValueError, match="layout"):
        evaluate_action(network, Tracks(), CPU, Protocol(poses="given"))


def test_a_real_network_is_scored_and_stays_as_it_is():
    network = tiny().train()
    before = copy.deepcopy(network.state_dict())
    scores = evaluate_action(network, Tracks(count=2), CPU, Protocol(flip=True, boxes="found"))
    assert len(scores.scores["accuracy_pose"]) == 4 and scores.samples == 2
    assert network.training and all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    poses = evaluate_pose(network, PA16, Tracks(count=2), CPU)
    assert poses.samples == 2  # the poses of an action network, frame by frame


def test_a_box_that_is_not_found_is_the_whole_frame():
    network, source = scripted(), Tracks(count=1)
    evaluate_action(network, source, CPU, Protocol(boxes="found"))
    image = source[0].frames.images[8]
    whole = crop_transform(whole_image_box(160, 120), 32).warp(image)
    assert torch.equal(network.seen[0][0][0, 0], to_input(torch.from_numpy(whole)))


def test_the_authors_boxes_of_each_clip_and_its_mirror_image(tmp_path):
    write_penn(tmp_path)
    entries = write_boxes(tmp_path / AUTHORS_BOXES)
    source = PennAction(tmp_path, "released-test")
    network = Scripted(lambda frames, *_: sure([5] * len(frames), 15), actions=15)
    network.layout = PA16
    protocol = replace(protocol_of("released", "penn-action"), stretch=True)
    scores = evaluate_action(network, source, CPU, protocol)
    assert scores.samples == 2 and "authors' box" in scores.rules
    frames = torch.cat([frames for frames, *_ in network.seen])
    x1, y1, x2, y2 = entries["0000.2.000.1"]
    box = Box(((x1 + x2) / 2, (y1 + y2) / 2), x2 - x1)
    transform = crop_transform(box, 32)
    (image,), reduced = source[0].frames.read([0], transform.reduction())
    expected = to_input(torch.from_numpy(transform.warp(image, reduced)))
    assert torch.allclose(frames[1, 0], expected.flip(-1))
    # Labels in another order are no other videos.
    network.action_labels = tuple(reversed(source.actions))
    assert evaluate_action(network, source, CPU, protocol).samples == 2
    network.action_labels = ()
    (tmp_path / AUTHORS_BOXES).write_text("{}")
    with pytest.raises(
        UserError, match=r"expected a box of .* as sequence 0, stride 2, clip 0, flip 0, got none"
    ):
        evaluate_action(network, source, CPU, protocol)
    with pytest.raises(UserError, match="Penn Action's split released-test"):
        evaluate_action(scripted(), Tracks(), CPU, Protocol(boxes="authors"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def both(folder):
    """Scores of a tiny network on both tasks; 11 videos make three groups of uneven size."""
    torch.set_num_threads(1)
    network, source = tiny(), Tracks(count=11, frames=20)
    poses = evaluate_pose(network, PA16, source, CPU, replace(OURS, frame_step=5))
    actions = evaluate_action(network, source, CPU, MANY)
    torch.save({
        "poses": poses.scores, "actions": actions.scores, "sums": poses.people.sums["PCK@0.2"].tolist(),
        "hits": actions.people.sums["accuracy_appearance"].tolist(), "confusion": actions.confusion.tolist(),
        "unit": poses.people.unit.tolist(),
    }, folder)  # fmt: skip


def one_of_two(rank, port, folder):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    both(folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_answer_exactly_what_one_does(tmp_path):
    both(tmp_path / "alone.pt")
    mp.spawn(one_of_two, (free_port(), tmp_path), nprocs=2)
    alone, *shared = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in ("alone", "0", "1"))
    assert alone == shared[0] == shared[1]
    assert len(alone["sums"]) == 44 and alone["unit"] == sorted(alone["unit"])
