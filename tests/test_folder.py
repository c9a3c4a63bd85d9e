"""One's own videos, in a sub-folder per action."""

import pickle

import cv2
import numpy as np
import pytest
from fakes import video as fake
from fakes.tracks import Tracks
from rich.console import Console
from torch.utils.data import DataLoader

from poseact.data import folder
from poseact.data.augment import AUGMENTATIONS
from poseact.data.check import check
from poseact.data.clips import Clips, Stills
from poseact.data.folder import ActionFolders, open_frames
from poseact.data.images import ImageFiles
from poseact.data.loading import Examples
from poseact.errors import UserError
from poseact.geometry import Box
from poseact.skeleton import PA16
from poseact.training.found import with_found_boxes
from poseact.training.recipe import read_recipe
from poseact.training.start import open_sets
from poseact.video import VideoFile


def write_frames(path, numbers, size=(128, 96)):
    """A folder of images with unpadded numbers in their names."""
    path.mkdir(parents=True)
    for n in numbers:
        cv2.imwrite(str(path / f"{n}.png"), cv2.cvtColor(fake.picture(n, size), cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture
def root(tmp_path):
    """Two actions with videos of all kinds, and what is to be ignored."""
    root = tmp_path / "videos"
    for action in ("walk", "jump", "nothing", ".hidden"):
        (root / action).mkdir(parents=True)
    fake.write(root / "walk" / "clip10.mp4", 12)
    fake.write(root / "walk" / "clip9.avi", 9, "mpeg4", {})
    write_frames(root / "jump" / "frames", range(8, 13))
    fake.write(root / "jump" / "turned.MP4", 6, turned=(90, False, False))
    fake.write(root / ".hidden" / "a.mp4", 2)
    (root / "jump" / ".a.mp4").write_bytes(b"")
    (root / "jump" / "notes.txt").write_text("no video")
    (root / "jump" / "empty").mkdir()
    (root / "nothing" / "readme.txt").write_text("no video")
    (root / "list.csv").write_text("no action")
    return root


def test_tracks_are_what_is_on_disk(root):
    data = ActionFolders(root)
    assert data.actions == ("jump", "walk") and data.layout is PA16 and data.damaged == []
    found = [(data.actions[t.action], t.name.rsplit("/", 1)[-1], len(t)) for t in data]
    assert found == [
        ("jump", "frames", 5), ("jump", "turned.MP4", 6),
        ("walk", "clip9.avi", 9), ("walk", "clip10.mp4", 12),
    ]  # fmt: skip
    assert list(data.lengths) == [5, 6, 9, 12] and len(data) == 4
    assert [fake.number(image) for image in data[0].frames.read(range(5))[0]] == [8, 9, 10, 11, 12]
    assert [fake.number(image) for image in data[3].frames.read([11, 2])[0]] == [11, 2]


def test_no_joint_is_known_and_the_box_is_the_frame(root):
    for track, (width, height) in zip(
        ActionFolders(root), [(128, 96), (96, 128), (128, 96), (128, 96)], strict=True
    ):
        assert track.joints.shape == (len(track), 16, 3) and not track.joints.any()
        assert not track.valid.any() and not track.depth_valid.any() and track.metres_per_pixel is None
        assert (track.boxes == [(width - 1) / 2, (height - 1) / 2, 128]).all()


def test_clips_and_stills_of_them(root):
    data = ActionFolders(root)
    clips = Clips(data, count=4, every=4)
    assert [place for place in clips.places if place[0] == 3] == [(3, 0), (3, 4), (3, 8)]
    clip = clips[len(clips) - 1]
    assert clip.action == 1 and [fake.number(f) for f in clip.frames.read(clip.indices)[0]] == [8, 9, 10, 11]
    assert fake.number(Stills(data, every=5)[4].image()[0]) == 5  # of clip9


def test_training_examples_in_forked_workers(root):
    data = ActionFolders(root)
    examples = Examples([data], PA16, 32, AUGMENTATIONS["paper"], seed=0, epoch=0, frames=4)
    order = [[(0, i)] for i in range(len(data))]
    batches = list(DataLoader(examples, batch_sampler=order, num_workers=2, multiprocessing_context="fork"))
    here = [examples[(0, i)] for i in range(len(data))]
    for batch, example in zip(batches, here, strict=True):
        assert batch["readable"].all() and batch["action"].item() == example["action"]
        assert (batch["frames"][0].numpy() == example["frames"]).all() and example["frames"].any()


def test_splits_share_their_labels(tmp_path):
    for split, action in (("train", "a"), ("train", "b"), ("train", "c"), ("test", "c")):
        (tmp_path / split / action).mkdir(parents=True)
        fake.write(tmp_path / split / action / "x.mp4", 2)
    (tmp_path / "train" / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    train, test = ActionFolders(tmp_path, "train"), ActionFolders(tmp_path, "test")
    assert train.actions == test.actions == ("a", "b", "c")
    assert [t.action for t in train] == [0, 1, 2] and [t.action for t in test] == [2]
    every = ActionFolders(tmp_path, "all")
    assert [(t.action, t.name) for t in every] == [(t.action, t.name) for part in (train, test) for t in part]
    for split in ("val", "dev"):
        with pytest.raises(UserError, match=rf"no split '{split}'; found: train, test, all"):
            ActionFolders(tmp_path, split)


def test_an_action_that_training_lacks(tmp_path):
    for split, action in (("train", "walk"), ("train", "run"), ("val", "run"), ("test", "walking")):
        (tmp_path / split / action).mkdir(parents=True)
        fake.write(tmp_path / split / action / "x.mp4", 2)
    assert ActionFolders(tmp_path, "train").absent == ("walking",)
    assert ActionFolders(tmp_path, "val").absent == ("walk", "walking")
    assert ActionFolders(tmp_path, "all").absent == ()
    recipe = read_recipe("folder.yaml", [f"roots.folder={tmp_path}"])
    with pytest.raises(UserError, match=r"no video of walking in train, but in another split; call"):
        open_sets(recipe)


def test_a_folder_without_marked_splits_has_all(root):
    with pytest.raises(UserError, match="no split 'train'; found: all"):
        ActionFolders(root, "train")


def test_damaged_videos_are_listed_and_left_out(root):
    (root / "walk" / "clip1.mp4").write_bytes(b"no video")
    (root / "walk" / "clip2.mp4").write_bytes(b"")
    fake.write_sound(root / "walk" / "clip3.mp4")
    write_frames(root / "walk" / "clip4", range(3))
    for path in (root / "walk" / "clip4").iterdir():
        path.write_bytes(b"no image")
    data = ActionFolders(root)
    assert list(data.lengths) == [5, 6, 9, 12] and len(data.damaged) == 4
    for message, name in zip(data.damaged, ("clip1", "clip2", "clip3", "clip4"), strict=True):
        assert name in message and "\n" not in message
    assert "none of its 3 images decodes" in data.damaged[3]


def test_one_damaged_image_spoils_its_frame_only(root):
    (root / "jump" / "frames" / "8.png").write_bytes(b"no image")
    track = ActionFolders(root)[0]
    assert len(track) == 5 and track.boxes[0].tolist() == [63.5, 47.5, 128]
    assert fake.number(track.frames.read([1])[0][0]) == 9
    with pytest.raises(UserError, match=r"8\.png"):
        track.frames.read([0])


def test_a_video_cut_short_has_the_frames_that_are_left(root):
    path = fake.write(root / "walk" / "clip9.mp4", 12, container={"movflags": "faststart"})
    last = fake.packets(path)[8]
    path.write_bytes(path.read_bytes()[: last.pos])
    data = ActionFolders(root)
    assert list(data.lengths) == [5, 6, 9, 8, 12] and data.damaged == []
    (told,) = check(data, None).damaged
    assert "clip9.mp4: breaks off after 8 frames" in told


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda root: root / "absent", r"absent: no such folder; expected one sub-folder per action"),
        (lambda root: root / "nothing", "nothing: no video found; expected one sub-folder per action"),
        (lambda root: root / "list.csv", r"list\.csv: no such folder"),
    ],
)
def test_what_is_no_set_of_actions(root, spoil, message):
    with pytest.raises(UserError, match=message) as caught:
        ActionFolders(spoil(root))
    assert "\n" not in str(caught.value)


def test_a_split_without_videos(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    (tmp_path / "val" / "a").mkdir(parents=True)
    fake.write(tmp_path / "train" / "a" / "x.mp4", 2)
    assert len(ActionFolders(tmp_path, "train")) == 1
    with pytest.raises(UserError, match="val: no video found"):
        ActionFolders(tmp_path, "val")


def test_nothing_that_can_be_read(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match=r"none of 1 videos can be read; the first: .*x\.mp4"):
        len(ActionFolders(tmp_path))


def test_a_folder_that_cannot_be_listed(root, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(root), "iterdir", refuse)
    with pytest.raises(UserError, match="cannot be listed: Permission denied"):
        ActionFolders(root)


def test_videos_are_opened_once_and_late(root, monkeypatch):
    opened = []
    monkeypatch.setattr(folder, "open_frames", lambda path: opened.append(path) or open_frames(path))
    data = ActionFolders(root)
    assert opened == []
    assert len(data) == len(data.lengths) == 4 and len(opened) == 4
    copy = pickle.loads(pickle.dumps(data))  # noqa: S301
    assert list(copy.lengths) == [5, 6, 9, 12] and len(opened) == 4


def test_open_frames(root, tmp_path):
    images = open_frames(write_frames(tmp_path / "numbers", (1, 2, 9, 10, 11, 100)))
    assert isinstance(images, ImageFiles)
    assert [path.stem for path in images.paths] == ["1", "2", "9", "10", "11", "100"]
    assert [fake.number(image) for image in images.read([2, 3, 5])[0]] == [9, 10, 100]
    (tmp_path / "numbers" / "._1.png").write_bytes(b"")
    assert len(open_frames(tmp_path / "numbers")) == 6
    assert isinstance(open_frames(root / "walk" / "clip10.mp4"), VideoFile)
    with pytest.raises(UserError, match=r"empty: expected images \(\.jpg.*found none"):
        open_frames(root / "jump" / "empty")
    with pytest.raises(UserError, match="No such file"):
        len(open_frames(root / "absent.mp4"))


def test_natural_order_of_other_names(tmp_path):
    names = ["b2", "a10", "a9", "10", "9", "x-3-2", "x-3-10", "01", "1", "\u00b2", ""]
    paths = [tmp_path / f"{name}.png" for name in names]
    ordered = [path.name.removesuffix(".png") for path in sorted(paths, key=folder._natural)]
    for before, after in (
        ("a9", "a10"),
        ("9", "10"),
        ("x-3-2", "x-3-10"),
        ("01", "1"),
        ("1", "9"),
        ("a10", "b2"),
    ):
        assert ordered.index(before) < ordered.index(after)
    assert np.unique(ordered).size == len(names)


def test_boxes_found_in_some_frames_hold_for_those_between(tmp_path, monkeypatch):
    """People are looked for in every eighth frame and the last, once; where nobody is found, all is shown."""
    source = Tracks(count=2, frames=20)
    looked = []

    def find(network, images):
        number = int(images[0][0, 0, 1]) // 10  # `Tracks` tell it by their green
        looked.append(number)
        return [Box((float(number), 5.0), 10.0 + number) if len(looked) <= 4 and number != 8 else None]

    monkeypatch.setattr("poseact.training.found.find_boxes", find)
    found = with_found_boxes(source, None, tmp_path / "boxes.json", Console(quiet=True))
    assert looked == [0, 8, 16, 19] * 2
    boxes = found[0].boxes
    assert boxes[[0, 4, 16, 19]].tolist() == [[0, 5, 10], [4, 5, 14], [16, 5, 26], [19, 5, 29]]
    assert (found[1].boxes == source[1].boxes).all() and found.lengths == source.lengths
    again = with_found_boxes(source, None, tmp_path / "boxes.json", Console(quiet=True))
    assert len(looked) == 8 and (again[0].boxes == boxes).all()
