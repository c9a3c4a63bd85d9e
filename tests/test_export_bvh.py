"""BVH holds the prediction: read here by a small reader that shares nothing with the writer."""

from dataclasses import replace

import numpy as np
import pytest
from fakes.results import made_up, of_film
from scipy.spatial.transform import Rotation

from poseact.data.synthetic import SyntheticVideos
from poseact.data.synthetic.capture import read_bvh
from poseact.data.synthetic.placing import INDEX
from poseact.errors import UserError
from poseact.export import bvh
from poseact.export.bvh import write_bvh
from poseact.skeleton import FIGURE36, H36M17, LSP14, NTU25, PA16, PA17, PA20, Layout

# Where each joint lies in the file: at the start of the bone of that name, or at an end site.
SIDED = {
    "shoulder": "{}Arm", "elbow": "{}ForeArm", "wrist": "{}Hand", "hand": "{}Hand end",
    "hip": "{}UpLeg", "knee": "{}Leg", "ankle": "{}Foot", "foot": "{}Foot end",
}  # fmt: skip
PLACES = {
    "pelvis": "Hips", "spine": "Spine1", "thorax": "Neck", "neck": "Head", "head": "Head end",
    "nose": "Nose end",
    **{f"{side}_{joint}": name.format(side.capitalize())
       for side in ("left", "right") for joint, name in SIDED.items()},
}  # fmt: skip
CAMERA_TO_FILE = np.array([1, -1, -1])


class Read:
    """A BVH file: ``at``, where each joint and end site is, (F, 3); ``turned``, rotations in the world."""

    def __init__(self, path):
        self.words = path.read_text().split()
        self.place = 0
        self.nodes = []  # name, parent, offset, channels
        assert self.take(2) == ["HIERARCHY", "ROOT"]
        self.node(self.take(1)[0], -1)
        assert self.take(2) == ["MOTION", "Frames:"]
        self.frames = int(self.take(1)[0])
        assert self.take(2) == ["Frame", "Time:"]
        self.seconds = float(self.take(1)[0])
        width = sum(len(channels) for *_, channels in self.nodes)
        self.values = np.array(self.words[self.place :], float).reshape(self.frames, width)
        self.move()

    def take(self, count):
        self.place += count
        return self.words[self.place - count : self.place]

    def node(self, name, parent):
        assert self.take(2) == ["{", "OFFSET"]
        number, channels = len(self.nodes), []
        self.nodes.append((name, parent, np.array(self.take(3), float), channels))
        while (word := self.take(1)[0]) != "}":
            if word == "CHANNELS":
                channels += self.take(int(self.take(1)[0]))
            elif word == "JOINT":
                self.node(self.take(1)[0], number)
            else:
                assert [word, *self.take(1)] == ["End", "Site"]
                self.node(f"{name} end", number)

    def move(self):
        self.at, self.turned, self.angles, column = {}, {}, {}, 0
        self.parents = {name: self.nodes[parent][0] for name, parent, *_ in self.nodes[1:]}
        for name, _, offset, channels in self.nodes:
            values = self.values[:, column : column + len(channels)]
            column += len(channels)
            own, place = Rotation.identity(self.frames), np.tile(offset, (self.frames, 1))
            for k, channel in enumerate(channels):
                if channel.endswith("position"):
                    place[:, "XYZ".index(channel[0])] += values[:, k]
                else:
                    own = own * Rotation.from_euler(channel[0].lower(), values[:, k : k + 1], degrees=True)
            assert name not in self.at
            self.angles[name] = values
            if name not in self.parents:
                self.at[name], self.turned[name] = place, own
            else:
                above = self.parents[name]
                self.at[name] = self.at[above] + self.turned[above].apply(place)
                self.turned[name] = self.turned[above] * own

    def joints(self, layout: Layout) -> np.ndarray:
        """The joints (F, J, 3) as far as the file has them; NaN for others."""
        places = {joint: PLACES.get(joint, "") for joint in layout.joints}
        if "nose" in layout.joints and ("nose", "head") in layout.edges:
            places["nose"] = "Head"
            places["neck"] = "Nose"
        none = np.full((self.frames, 3), np.nan)
        return np.stack([self.at.get(name, none) for name in places.values()], 1)


def written(results, tmp_path, person=1) -> Read:
    write_bvh(tmp_path / "person.bvh", results, person)
    return Read(tmp_path / "person.bvh")


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def degrees_between(a, b):
    """Between unit vectors (..., 3); exact for small angles too."""
    return np.degrees(2 * np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1)))


def smooth(layout: Layout, frames: int, seed: int):
    """Results whose joints move smoothly and without any sense."""
    results = made_up(layout, frames, seed=seed)
    rng = np.random.default_rng(seed)
    speed, phase, size = rng.uniform(0.02, 0.12, (3, len(layout), 3)) * np.array([1, 60, 3])[:, None, None]
    wave = size * np.sin(speed * np.arange(frames)[:, None, None] + phase)
    results.rows["metres"] = wave - wave[:, [layout.index("pelvis")]]
    return results


@pytest.mark.parametrize("layout", [PA17, FIGURE36, PA16, PA20])
def test_rendered_truth_comes_back_within_a_millimetre(layout, tmp_path):
    """Where a layout has no spine, its trunk bends and has no constant length: by as much it may be off."""
    film = SyntheticVideos(3, frames=20, seed=5).film(2)
    results = of_film(film, layout)
    back = written(results, tmp_path)
    assert back.frames == 20 and back.seconds == pytest.approx(1 / film.fps, abs=1e-7)
    truth = results.rows["metres"] * CAMERA_TO_FILE
    off = np.linalg.norm(back.joints(layout) - truth, axis=-1)
    kept = [joint in PLACES for joint in layout.joints]
    trunk = np.linalg.norm(truth[:, layout.index("thorax")], axis=1)
    bend = 0 if "spine" in layout.joints else np.abs(trunk - np.median(trunk)).max()
    assert np.isfinite(off[:, kept]).all() and off[:, kept].max() < bend + 1e-5 and bend < 0.01


@pytest.mark.parametrize("layout", [PA16, PA17, PA20, H36M17])
def test_any_pose_keeps_its_directions_and_gets_the_median_lengths(layout, tmp_path):
    results = made_up(layout, 40, seed=len(layout))
    joints = written(results, tmp_path).joints(layout)
    truth = results.rows["metres"].astype(float) * CAMERA_TO_FILE
    for a, b in layout.limbs:
        bone, true = joints[:, b] - joints[:, a], truth[:, b] - truth[:, a]
        assert degrees_between(unit(bone), unit(true)).max() < 0.1, layout.joints[b]
        length = np.linalg.norm(bone, axis=1)
        assert np.abs(length - np.median(np.linalg.norm(true, axis=1))).max() < 1e-4
    assert len(layout.limbs) == len(layout) - 1


def test_a_layout_with_hands_and_tips_is_written(tmp_path):
    back = written(made_up(NTU25, 3), tmp_path)
    assert {"LeftHandTip", "LeftThumb", "LeftFoot end", "Head end"} <= set(back.at)


def test_left_is_left_and_up_is_up(tmp_path):
    film = SyntheticVideos(1, frames=8, seed=1, actions=("walk",)).film(0)
    back = written(of_film(film, PA17), tmp_path)
    facing = back.turned["Hips"].apply([0, 0, 1.0])
    toes = film.joints[:, [FIGURE36.index(f"{side}_toe") for side in ("left", "right")]].mean(1)
    heels = film.joints[:, [FIGURE36.index(f"{side}_ankle") for side in ("left", "right")]].mean(1)
    ahead = np.stack([film.scene.camera(i).rotation @ v for i, v in enumerate(toes - heels)]) * CAMERA_TO_FILE
    assert (facing * unit(ahead)).sum(1).min() > 0.5
    assert (back.at["Head end"] - back.at["LeftFoot"])[:, 1].min() > 1
    left = back.at["LeftArm"] - back.at["RightArm"]
    assert (np.cross([0, 1, 0], facing) * left).sum(1).min() > 0.1


def test_gaps_hold_the_pose_before(tmp_path):
    results = smooth(PA17, 12, 3)
    kept = results.rows[[2, 3, 4, 8, 9]]
    back = written(replace(results, rows=kept, frames=14), tmp_path)
    assert back.frames == 14
    joints = back.joints(PA17)
    for frame, shown in enumerate([2, 2, 2, 3, 4, 4, 4, 4, 8, 9, 9, 9, 9, 9]):
        assert np.abs(joints[frame] - joints[shown]).max() < 2e-5, frame
    assert np.abs(np.diff(joints[[2, 3, 4, 8, 9]], axis=0)).max((1, 2)).min() > 1e-3


def test_people_are_written_one_by_one(tmp_path):
    results = made_up(PA17, 6, people=(4, 9))
    for person in (4, 9):
        alone = results.rows[results.rows["person"] == person]
        both = written(results, tmp_path, person)
        assert (both.values == written(replace(results, rows=alone), tmp_path, person).values).all()


@pytest.mark.parametrize("seed", range(2))
def test_no_bone_twists_by_more_than_it_may(seed, tmp_path):
    """Between two frames a bone turns as far as its direction does, and twists by at most 20 degrees."""
    results = smooth(PA17, 400, seed)
    back = written(results, tmp_path)
    for name, turned in back.turned.items():
        if name == "Hips" or name.endswith(" end"):
            continue
        if name in ("LeftHand", "RightHand", "LeftFoot", "RightFoot"):
            continue  # goes along with the bone before
        end = next(child for child, parent in back.parents.items() if parent == name)
        direction = unit(back.at[end] - back.at[name])
        step = np.degrees((turned[1:] * turned[:-1].inv()).magnitude())
        assert (step - degrees_between(direction[1:], direction[:-1])).max() < 20.1, name


def test_angles_go_on_without_jumps_of_a_whole_turn(tmp_path):
    back = written(smooth(PA17, 300, 7), tmp_path)
    assert max(np.abs(np.diff(angles, axis=0)).max() for angles in back.angles.values() if angles.size) < 181


def test_a_twist_that_was_limited_catches_up(tmp_path):
    """After a wild second the pose that is held has the rotations that it has alone."""
    wild = smooth(PA17, 60, 11)
    calm = of_film(SyntheticVideos(1, frames=1, seed=9).film(0), PA17).rows["metres"][0]
    wild.rows["metres"][30:] = calm
    alone = made_up(PA17, 1)
    alone.rows["metres"][0] = calm
    one, after = written(alone, tmp_path).turned, written(wild, tmp_path).turned
    for name in one:
        assert np.degrees((one[name][0].inv() * after[name][-1]).magnitude()) < 0.01, name


def test_a_video_in_pieces_is_the_same(tmp_path, monkeypatch):
    results = smooth(PA17, 50, 4)
    results = replace(results, rows=np.delete(results.rows, slice(20, 29)))
    write_bvh(tmp_path / "whole.bvh", results, 1)
    monkeypatch.setattr(bvh, "CHUNK", 7)
    monkeypatch.setattr("poseact.results.CHUNK", 5)
    write_bvh(tmp_path / "pieces.bvh", results, 1)
    whole, pieces = Read(tmp_path / "whole.bvh"), Read(tmp_path / "pieces.bvh")
    assert whole.nodes[1][0] == pieces.nodes[1][0] and np.abs(whole.values - pieces.values).max() < 2e-5


def test_bones_without_a_length_and_numbers_that_are_none_do_not_spread(tmp_path):
    results = made_up(PA17, 9)
    results.rows["metres"][3] = 0
    results.rows["metres"][5, PA17.index("left_elbow")] = np.nan
    back = written(results, tmp_path)
    assert all(np.isfinite(at).all() for at in back.at.values())
    truth = results.rows["metres"] * CAMERA_TO_FILE
    joints = back.joints(PA17)
    knee, hip = PA17.index("left_knee"), PA17.index("left_hip")
    bone, true = joints[5, knee] - joints[5, hip], truth[5, knee] - truth[5, hip]
    assert degrees_between(unit(bone), unit(true)) < 0.1


def test_arms_straight_along_the_rest_pose_and_straight_against_it(tmp_path):
    """A bone that folds back exactly onto its parent, and an angle of exactly 90 degrees about x."""
    results = smooth(PA17, 2, 1)
    at = results.rows["metres"]
    place = {name: i for i, name in enumerate(PA17.joints)}
    at[:, place["left_wrist"]] = at[:, place["left_shoulder"]]
    at[:, place["left_knee"]] = at[:, place["left_hip"]] + np.array([0, 0, -0.4], np.float32)
    joints, truth = written(results, tmp_path).joints(PA17), at.astype(float) * CAMERA_TO_FILE
    for a, b in PA17.limbs:
        bone, true = joints[:, b] - joints[:, a], truth[:, b] - truth[:, a]
        assert degrees_between(unit(bone), unit(true)).max() < 0.1, PA17.joints[b]


def test_the_package_reads_what_it_writes(tmp_path):
    film = SyntheticVideos(1, frames=24, seed=2, actions=("walk",)).film(0)
    results = of_film(film, PA20)
    write_bvh(tmp_path / "walk.bvh", results, 1)
    back = read_bvh(tmp_path / "walk.bvh")
    assert (len(back), back.action, round(back.fps, 3)) == (24, "walk", 30)
    truth = results.rows["metres"] * CAMERA_TO_FILE
    for side in ("left", "right"):
        shoulder, elbow = PA20.index(f"{side}_shoulder"), PA20.index(f"{side}_elbow")
        upper = -back.rotations[:, INDEX[f"{side}_upper_arm"], :, 1]
        assert degrees_between(upper, unit(truth[:, elbow] - truth[:, shoulder])).max() < 0.1


@pytest.mark.parametrize("layout", [PA16, PA17, PA20])
def test_the_package_finds_all_bones_by_name(layout, tmp_path):
    write_bvh(tmp_path / "a.bvh", of_film(SyntheticVideos(1, frames=4).film(0), layout), 1)
    assert len(read_bvh(tmp_path / "a.bvh")) == 4


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("2d", "BVH holds 3D, but these weights answer 2D"),
        ("no pelvis", "the layout bare does not have"),
        ("nobody", "expected person 1, found nobody"),
        ("another", "expected person 1, found 2, 3"),
        ("no rate", "BVH needs frames a second, found 0"),
    ],
)
def test_what_cannot_be_written_is_one_line(what, told, tmp_path):
    results = made_up(PA17, 3, people=(2, 3) if what == "another" else (1,))
    if what == "2d":
        results = made_up(LSP14, 3, dim=2)
    elif what == "no pelvis":
        plain = Layout("bare", tuple("abcdefghijklmnopq"))
        results = replace(results, layout=plain)
    elif what == "nobody":
        results = replace(results, rows=results.rows[:0])
    elif what == "no rate":
        results = replace(results, fps=0.0)
    with pytest.raises(UserError, match=told) as caught:
        write_bvh(tmp_path / "a.bvh", results, 1)
    assert "\n" not in str(caught.value) and "a.bvh" in str(caught.value)
    assert not list(tmp_path.iterdir())
