import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes.networks import Brightest, Known
from fakes.tracks import Tracks, person_mm

from poseact.data.clips import Stills
from poseact.data.images import InMemory
from poseact.errors import UserError
from poseact.evaluation.poses import measure_poses
from poseact.evaluation.protocols import evaluate_action, evaluate_pose
from poseact.evaluation.rules import FIVE_CROPS, NAMES, OURS, Protocol, changed, protocol_of
from poseact.geometry import Box, Camera, depth_to_z
from poseact.network import arguments, build
from poseact.skeleton import H36M32, LSP14, MPII16, PA16, PA17, PENN13, convert
from poseact.structures import Sample

CPU = torch.device("cpu")


class Samples:
    """Samples in memory as a data set."""

    def __init__(self, *samples, layout=PA16):
        self.samples, self.layout = samples, layout

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        if isinstance(self.samples[i], str):
            raise UserError(self.samples[i])
        return self.samples[i]


def sample(layout=PA16, **changes):
    """A person whose joint j lies at (100 + j, 60), in a box of 100 px around (100, 60)."""
    joints = np.zeros((len(layout), 3))
    joints[:, 0], joints[:, 1] = 100 + np.arange(len(layout)), 60
    fields = {
        "frames": InMemory((np.zeros((120, 200, 3), np.uint8),)),
        "joints": joints,
        "valid": np.ones(len(layout), bool),
        "depth_valid": np.zeros(len(layout), bool),
        "layout": layout,
        "box": Box((100.0, 60.0), 100.0),
        "metres_per_pixel": None,
        "name": "somebody",
    }
    return Sample(**(fields | changes))


def answering(person, layout, offset_px=(0.0, 0.0), size=64):
    """The annotated place in crop coordinates, moved by some pixels."""
    truth = convert(person.joints, person.layout, layout)
    return ((truth[:, :2] + offset_px - person.box.centre) / person.box.side + 0.5).tolist()


def tiny(layout="pa16", **overrides):
    torch.manual_seed(0)
    args = arguments("tiny", layout=layout, width=16, blocks=2, size=64, **overrides)
    return build(args)


def test_pckh_is_that_of_14_joints_and_every_block_is_scored():
    person = sample(head_px=10.0)
    wrong = np.array(answering(person, PA16))
    wrong[[PA16.index("pelvis"), PA16.index("thorax"), PA16.index("head")]] += 0.5
    network = Known(answering(person, PA16, (3.9, 3.0)), wrong.tolist())
    scores = evaluate_pose(network, PA16, Samples(person), CPU)
    assert scores.scores["PCKh@0.5"] == [1.0, 13 / 14]  # 4.92 px is within half of the head
    assert scores.scores["PCKh@0.2"] == [0.0, 13 / 14]
    assert scores.scores["AUC@0.5"] == pytest.approx([1 / 51, 13 / 14 * 50 / 51])  # none within 0
    assert scores.main == "PCKh@0.5" and scores.better == "higher" and scores.reported == 13 / 14
    assert "PCKh@0.5" not in scores.by_joint["pelvis"] and scores.by_joint["pelvis"]["PCK@0.2"] == 0
    assert scores.samples == 1 and scores.skipped == 0 and "MPJPE_mm" not in scores.scores


def test_joints_outside_the_crop_are_dropped_by_the_released_rules_and_counted_beside():
    far = sample(head_px=10.0)
    far.joints[PA16.index("left_wrist"), 0] = 149.6  # inside by a hair: the crop ends at 150
    far.joints[PA16.index("head"), 0] = 150.4
    network = Known([[0.5, 0.5]] * 16)
    scores = evaluate_pose(network, PA16, Samples(far), CPU, protocol_of("released", "mpii"))
    near = (np.abs(far.joints[:, 0] - 100) <= 5) & ~np.isin(np.arange(16), [0, 1])
    assert scores.scores["PCKh@0.5"] == [near.sum() / 13]
    assert scores.scores["PCKh@0.5_annotated"] == [near.sum() / 14]
    assert scores.by_joint["left_wrist"]["PCKh@0.5"] == 0 and "PCKh@0.5" not in scores.by_joint["head"]


def test_people_without_a_head_size_are_skipped_and_counted():
    known, unknown = sample(head_px=10.0), sample()
    network = Known(answering(known, PA16))
    scores = evaluate_pose(network, PA16, Samples(known, unknown, known), CPU)
    assert scores.samples == 2 and scores.skipped == 1 and scores.scores["PCKh@0.5"] == [1.0]
    assert scores.people.counts["PCKh@0.5"].tolist() == [14, 0, 14]
    assert scores.people.counts["PCK@0.2"].tolist() == [16, 16, 16]


def test_nobody_to_score():
    nothing = sample(valid=np.zeros(16, bool))
    network = Known(answering(nothing, PA16))
    with pytest.raises(UserError, match="no person with a torso, a head size or a depth"):
        evaluate_pose(network, PA16, Samples(nothing), CPU)
    with pytest.raises(UserError, match="no samples"):
        evaluate_pose(network, PA16, Samples(), CPU)


def test_damaged_samples_are_counted_up_to_one_in_a_hundred():
    network = Known(answering(sample(), PA16))
    scores = evaluate_pose(network, PA16, Samples(*[sample()] * 99, "x.jpg: gone"), CPU)
    assert scores.damaged == ["x.jpg: gone"] and scores.samples == 99
    with pytest.raises(UserError, match=r"2 of 99 samples cannot be read: x\.jpg: gone; y\.jpg"):
        evaluate_pose(network, PA16, Samples(*[sample()] * 97, "x.jpg: gone", "y.jpg"), CPU)


def test_a_network_that_answers_nan_is_told():
    with pytest.raises(UserError, match="not finite for 2 of 2 people"):
        evaluate_pose(Known([[np.nan, 0.5]] * 16), PA16, Samples(sample(), sample()), CPU)


def test_only_the_joints_that_both_have_count():
    person = sample(LSP14)
    scores = evaluate_pose(Known(answering(person, PA16)), PA16, Samples(person, layout=LSP14), CPU)
    assert set(scores.by_joint) == set(LSP14.joints)  # no pelvis, no thorax
    penn = sample(PENN13)
    scores = evaluate_pose(Known(answering(penn, PA16)), PA16, Samples(penn, layout=PENN13), CPU)
    assert set(scores.by_joint) == set(PENN13.joints) and scores.scores["PCK@0.2"] == [1.0]


SPOT = (70.0, 48.0)


def lit(**changes):
    """A black picture with one bright spot, which is where all joints are."""
    image = np.zeros((120, 200, 3), np.uint8)
    image[int(SPOT[1]) - 1 : int(SPOT[1]) + 2, int(SPOT[0]) - 1 : int(SPOT[0]) + 2] = 255
    joints = np.zeros((16, 3))
    joints[:, :2] = SPOT
    joints[PA16.index("left_shoulder")] = (0, 0, 0)  # a torso
    return sample(frames=InMemory((image,)), joints=joints, box=Box((80.0, 55.0), 60.0), **changes)


@pytest.mark.parametrize("protocol", [
    OURS,
    Protocol(flip=True),
    Protocol(shifts=FIVE_CROPS),
    Protocol(shifts=FIVE_CROPS, flip=True),
])  # fmt: skip
def test_moved_and_mirrored_crops_are_mapped_back(protocol):
    person = lit(head_px=1.0)
    scores = evaluate_pose(Brightest(16), PA16, Samples(person), CPU, protocol)
    assert scores.by_joint["right_wrist"]["PCKh@0.5"] == 1  # within half a pixel
    assert scores.by_joint["left_shoulder"]["PCKh@0.5"] == 0


def test_mirrored_crops_change_sides_over():
    """A network that puts right joints at .2 and left ones at .4: mirrored, at .8 and .6."""
    x = [0.2 if j.startswith("right") else 0.4 if j.startswith("left") else 0.3 for j in PA16.joints]
    network = Known([[v, 0.5] for v in x])
    person = sample(head_px=2.0)
    # right: own .2, and 1 - .4 from the mirrored left
    mean = {"right": (0.2 + 0.6) / 2, "left": (0.4 + 0.8) / 2}
    for j, name in enumerate(PA16.joints):
        person.joints[j, 0] = 50 + 100 * mean.get(name.split("_")[0], (0.3 + 0.7) / 2)
    scores = evaluate_pose(network, PA16, Samples(person), CPU, Protocol(flip=True))
    assert scores.scores["PCKh@0.5"] == [1.0]
    assert evaluate_pose(network, PA16, Samples(person), CPU).scores["PCKh@0.5"] == [0.0]


def test_found_boxes_enclose_the_pose_in_the_whole_picture():
    """The network sees joints within a quarter of the crop; the second crop is 1.5 times that quarter."""
    place = np.array([[0.375 + 0.25 * (j % 2), 0.5 + 0.1 * (j % 2)] for j in range(16)])
    network = Known(place.tolist())
    person = sample(head_px=2.0)
    side = 200 * 0.25 * 1.5  # the picture is 200 x 120: a square of 200
    centre = np.array([99.5, 59.5 + 0.05 * 200])
    person.joints[:, :2] = centre + (place - 0.5) * side
    scores = evaluate_pose(network, PA16, Samples(person), CPU, Protocol(boxes="found"))
    assert scores.scores["PCKh@0.5"] == [1.0]
    assert evaluate_pose(network, PA16, Samples(person), CPU).scores["PCKh@0.5"] == [0.0]


def test_boxes_found_twice_are_those_that_prediction_finds(monkeypatch):
    network, person, box = Known(answering(sample(), PA16)), sample(), Box((50.0, 40.0), 30.0)
    monkeypatch.setattr("poseact.evaluation.poses.find_boxes", lambda network, images: [box] * len(images))
    rules = protocol_of("ours", "folder")
    assert rules.boxes == "found-twice" and protocol_of("paper", "folder").boxes == "found"
    (measured,) = measure_poses(network, PA16, Samples(person), CPU, rules, None).people
    assert measured.box == box
    monkeypatch.setattr("poseact.evaluation.poses.find_boxes", lambda network, images: [None] * len(images))
    (measured,) = measure_poses(network, PA16, Samples(person), CPU, rules, None).people
    assert measured.box.side == 200  # the whole picture


def test_unseen_joints_do_not_make_a_box():
    network = Known(answering(sample(), PA16), visibility=0.1)
    person = sample(box=Box((99.5, 59.5), 200.0), head_px=5.0)
    network = Known(answering(person, PA16), visibility=0.1)
    scores = evaluate_pose(network, PA16, Samples(person), CPU, Protocol(boxes="found"))
    assert scores.scores["PCKh@0.5"] == [1.0]  # the whole picture stays


ROTATION = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


def filmed(depth_mm=4000.0, radial=(0.0, 0.0, 0.0)):
    """A person of Human3.6M's joints before a turned camera, and the points in world mm."""
    camera = Camera(
        ROTATION, np.array([1.0, 2.0, 3.0]), np.array([1100.0, 1150.0]), np.array([500.0, 510.0]),
        np.array(radial), np.array([0.001, -0.002]),
    )  # fmt: skip
    seen = person_mm() + np.array([200.0, 100.0, depth_mm])
    world = camera.to_world(seen / 1000)
    joints = np.column_stack([camera.project(world), seen[:, 2] - depth_mm])
    root = joints[0, :2]
    side = 2.25 * 1100 * 1000 / depth_mm
    person = sample(
        H36M32, joints=joints, depth_valid=np.ones(32, bool), box=Box((root[0], root[1]), side),
        metres_per_pixel=2.25 / side, camera=camera, root_depth_mm=depth_mm,
    )  # fmt: skip
    return person, 1000 * world


def in_crop(person, layout, z_mm=None):
    """The crop coordinates of the annotation, and z at scale 1."""
    truth = convert(person.joints, person.layout, layout)
    depth = truth[:, 2] if z_mm is None else z_mm
    return np.column_stack([answering(person, layout), depth_to_z(depth, 1.0)])


def test_mpjpe_by_the_true_camera_and_the_roots_depth():
    person, world = filmed(radial=(-0.2, 0.2, 0.0))
    pose = in_crop(person, PA17)
    farther = pose.copy()
    farther[PA17.index("left_wrist"), 2] += 100 / 2000  # 100 mm behind, along the ray of its pixel
    source = Samples(person, layout=H36M32)
    scores = evaluate_pose(Known(pose.tolist(), farther.tolist()), PA17, source, CPU)
    ray = (
        convert(world, H36M32, PA17)[PA17.index("left_wrist")] / 1000 - person.camera.position
    ) @ ROTATION.T
    expected = 100 * np.linalg.norm(ray) / ray[2]
    assert scores.main == "MPJPE_mm" and scores.better == "lower" and scores.notes == []
    assert scores.scores["MPJPE_mm"] == pytest.approx([0, expected / 17], abs=1e-2)
    assert scores.by_joint["left_wrist"]["MPJPE_mm"] == pytest.approx(expected, abs=1e-2)
    # Of the field's 17 joints PA17 lacks the nose, and its spine is not among them.
    assert scores.scores["MPJPE_usual_mm"] == pytest.approx([0, expected / 16], abs=1e-2)
    assert "MPJPE_usual_mm" not in scores.by_joint["spine"]
    assert scores.scores["PA_MPJPE_mm"][0] < 1e-2 and scores.scores["PA_MPJPE_mm"][1] > 1


def test_the_released_camera_undoes_distortion_in_one_step():
    person, world = filmed(radial=(-0.25, 0.2, 0.0))
    network = Known(in_crop(person, PA17).tolist())
    scores = evaluate_pose(
        network, PA17, Samples(person, layout=H36M32), CPU, protocol_of("released", "human36m")
    )
    depth = person.root_depth_mm + person.joints[:, 2]
    once = 1000 * person.camera.back_project(person.joints[:, :2], depth / 1000, steps=1)
    error = np.linalg.norm((once - once[0]) - (world - world[0]), axis=-1)
    expected = convert(error, H36M32, PA17).mean()
    assert scores.scores["MPJPE_mm"] == pytest.approx([expected], abs=1e-3) and expected > 0.02


def test_mpjpe_without_a_camera_is_weak_perspective_and_says_so():
    person, _ = filmed()
    blind = replace(person, camera=None)
    pose = in_crop(person, PA17)
    pose[PA17.index("head"), 0] += 0.01  # of 2.25 m
    scores = evaluate_pose(Known(pose.tolist()), PA17, Samples(blind, layout=H36M32), CPU)
    assert scores.scores["MPJPE_mm"] == pytest.approx([22.5 / 17], abs=1e-3)
    assert "weak-perspective" in scores.rules


def test_procrustes_forgives_size_that_mpjpe_counts():
    person, _ = filmed()
    blind = replace(person, camera=None)
    pose = in_crop(person, PA17)
    larger = np.column_stack([0.5 + 1.2 * (pose[:, :2] - 0.5), 0.5 + 1.2 * (pose[:, 2:] - 0.5)])
    scores = evaluate_pose(Known(larger.tolist()), PA17, Samples(blind, layout=H36M32), CPU)
    assert scores.scores["MPJPE_mm"][0] > 50 and scores.scores["PA_MPJPE_mm"][0] < 1e-2


def test_depth_needs_the_root():
    person, _ = filmed()
    rootless = replace(person, depth_valid=person.depth_valid & (np.arange(32) > 0))
    network = Known(in_crop(person, PA17).tolist())
    scores = evaluate_pose(network, PA17, Samples(person, rootless, layout=H36M32), CPU)
    assert scores.samples == 1 and scores.skipped == 1 and scores.main == "MPJPE_mm"
    alone = evaluate_pose(network, PA17, Samples(rootless, layout=H36M32), CPU)
    assert alone.main == "PCK@0.2" and not any(name.endswith("_mm") for name in alone.scores)


def test_scale_of_the_crop_scales_depth():
    """A box half as large spans half the depth, as in training."""
    person, _ = filmed()
    half = replace(person, box=Box(person.box.centre, person.box.side / 2))
    truth = convert(person.joints, H36M32, PA17)
    pose = np.column_stack([answering(half, PA17), depth_to_z(truth[:, 2], 0.5)])
    scores = evaluate_pose(Known(pose.tolist()), PA17, Samples(half, layout=H36M32), CPU)
    assert scores.scores["MPJPE_mm"] == pytest.approx([0], abs=1e-2)


class Moved:
    """Tracks whose head lies farther, by video."""

    def __init__(self, tracks, by_mm):
        self.tracks, self.by_mm = tracks, by_mm
        self.layout, self.actions, self.lengths = tracks.layout, tracks.actions, tracks.lengths

    def __len__(self):
        return len(self.tracks)

    def __getitem__(self, i):
        track = self.tracks[i]
        track.joints[:, H36M32.index("head"), 2] += self.by_mm[i]
        return track


def test_the_mean_of_actions_weighs_them_alike():
    source = Moved(Tracks(count=3, frames=1), {0: 0.0, 1: 170.0, 2: 0.0})
    track = source.tracks[0]
    truth = convert(track.joints[0], H36M32, PA17)
    pose = np.column_stack([(truth[:, :2] - track.boxes[0, :2]) / 90 + 0.5, depth_to_z(truth[:, 2], 1.0)])
    scores = evaluate_pose(Known(pose.tolist()), PA17, source, CPU)
    assert scores.scores["MPJPE_mm"] == pytest.approx([10 / 3], abs=1e-3)
    assert scores.scores["MPJPE_by_action_mm"] == pytest.approx([5.0], abs=1e-3)
    assert scores.by_action["stand"]["MPJPE_mm"] == pytest.approx(10, abs=1e-3)


def test_one_frame_in_64_of_a_video_is_scored():
    source, network = Tracks(count=2, frames=70), Known([[0.5, 0.5]] * 17)
    assert evaluate_pose(network, PA17, source, CPU).people.unit.tolist() == [0, 0, 1, 1]
    one = evaluate_pose(network, PA17, source, CPU, protocol_of("released", "human36m", "released-val"))
    assert one.samples == 140
    assert evaluate_pose(network, PA17, Stills(source, 35), CPU).samples == 4  # stills stay what they are


def test_frames_that_show_nobody_are_skipped_and_not_damaged():
    source = Tracks(count=2, frames=4, hidden=(0, 2))
    scores = evaluate_pose(Known([[0.5, 0.5]] * 17), PA17, source, CPU, Protocol(frame_step=1))
    assert scores.samples == 4 and scores.skipped == 4 and scores.damaged == []


def test_sides_changed_over():
    source = Tracks(count=1, frames=1)
    track = source[0]
    truth = convert(track.joints[0], H36M32, PA16)[:, :2]
    mirrored = truth[PA16.flip]
    network = Known(((mirrored - track.boxes[0, :2]) / 90 + 0.5).tolist())
    swapped = evaluate_pose(network, PA16, source, CPU, Protocol(swap_sides=True))
    assert swapped.scores["PCK@0.2"] == [1.0] and "changed over" in swapped.rules
    assert evaluate_pose(network, PA16, source, CPU).scores["PCK@0.2"][0] < 0.6


def test_the_network_given_stays_as_it_is():
    network, layout = tiny()
    network.train()
    before = copy.deepcopy(network.state_dict())
    scores = evaluate_pose(network, layout, Tracks(count=2, frames=3), CPU)
    assert network.training and len(scores.scores["PCK@0.2"]) == 2
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_size_of_the_crops_can_be_another():
    network, layout = tiny()
    source = Tracks(count=1, frames=1)
    assert evaluate_pose(network, layout, source, CPU, size=96).samples == 1


def test_a_float64_network_is_evaluated_and_stays_float64():
    network, layout = tiny()
    assert evaluate_pose(network.double(), layout, Tracks(count=1, frames=1), CPU).samples == 1
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float64}


def test_names_of_protocols():
    for name in NAMES:
        for data in ("mpii", "human36m", "penn-action", "ntu"):
            assert protocol_of(name, data).name == name
    assert protocol_of("paper", "folder").name == "paper"
    with pytest.raises(UserError, match="protocol: expected one of ours, paper, released, got 'best'"):
        protocol_of("best", "mpii")
    with pytest.raises(UserError, match="protocol released: expected one of mpii"):
        protocol_of("released", "lspet")


def test_rules_changed_by_hand():
    ten = changed(OURS, crops="ten", clips="many", boxes="found", poses="noisy", noise=0.05)
    assert ten.crops == 10 and ten.clips == "many" and ten.boxes == "found" and ten.pose_noise == 0.05
    assert changed(ten, crops="one").crops == 1 and changed(ten) == ten
    for options, message in (
        ({"crops": "two"}, "crops: expected one of one, flip, ten, got 'two'"),
        ({"poses": "kinect"}, "poses: expected one of estimated"),
        ({"poses": "noisy"}, "pose noise"),
        ({"noise": 0.1}, "pose noise"),
        ({"poses": "noisy", "noise": -1.0}, "pose noise"),
    ):
        with pytest.raises(UserError, match=message):
            changed(OURS, **options)


def test_a_pose_network_has_no_actions_to_score():
    network, _ = tiny()
    with pytest.raises(UserError, match="recognises no actions"):
        evaluate_action(network, Tracks(), CPU)


def test_the_authors_boxes_are_those_of_clips():
    with pytest.raises(UserError, match="not of single frames"):
        evaluate_pose(Known([[0.5, 0.5]] * 16), PA16, Samples(sample()), CPU, Protocol(boxes="authors"))


def test_mpii_layout_is_read_by_name():
    person = sample(MPII16, head_px=4.0)
    network = Known(answering(person, PA16))
    assert evaluate_pose(network, PA16, Samples(person, layout=MPII16), CPU).scores["PCKh@0.5"] == [1.0]
