import shutil
from dataclasses import replace

import numpy as np
import pytest
from fakes import lspet as fake
from fakes.damage import mutate
from fakes.tracks import Tracks
from rich.console import Console

from poseact.cli import main
from poseact.data import open_data
from poseact.data.augment import Augmentation
from poseact.data.clips import still
from poseact.data.images import write_png
from poseact.data.loading import Examples, chosen, training_loader
from poseact.data.lspet import LspExtended
from poseact.data.pack import open_pack, pack
from poseact.errors import UserError
from poseact.geometry import Camera
from poseact.skeleton import PA17
from poseact.structures import Sample

QUIET = Console(quiet=True)


@pytest.fixture
def photographs(tmp_path):
    fake.write(tmp_path / "lspet", count=7)
    return LspExtended(tmp_path / "lspet")


def crop(person, size=96):
    from poseact.data.augment import example

    return example(person, person.layout, size, None, np.random.default_rng(0))


def test_packed_people_are_the_same_people(photographs, tmp_path):
    assert pack(photographs, "lspet", "all", tmp_path / "pack", 256, QUIET) == []
    packed = open_data("lspet", tmp_path / "pack", "all")
    assert len(packed) == 7 and packed.layout is photographs.layout
    for a, b in zip(photographs, packed, strict=True):
        before, after = crop(a), crop(b)
        assert np.abs(before["pose"] - after["pose"]).max() < 1e-5
        assert (before["valid"] == after["valid"]).all() and a.name == b.name
        difference = np.abs(before["frames"].astype(float) - after["frames"])
        assert difference.mean() < 8  # the fake is noise, which JPEG keeps badly


def test_plain_pixels(photographs, tmp_path):
    """What is not shrunk is copied: the crop of the pack is the crop of the photograph."""
    pack(photographs, "lspet", "all", tmp_path / "pack", 256, QUIET, raw=True)
    for a, b in zip(photographs, open_pack(tmp_path / "pack", "lspet", "all"), strict=True):
        assert np.abs(crop(a)["frames"].astype(int) - crop(b)["frames"]).max() <= 1


def test_large_people_shrink_and_keep_their_places(photographs, tmp_path):
    pack(photographs, "lspet", "all", tmp_path / "pack", 64, QUIET)
    packed = open_pack(tmp_path / "pack", "lspet", "all")
    for a, b in zip(photographs, packed, strict=True):
        assert abs(b.box.side - 64) < 1 and max(b.image()[0].shape) <= 82
        assert np.abs(crop(a)["pose"] - crop(b)["pose"]).max() < 1e-5


def test_packed_clips(tmp_path):
    tracks = Tracks(3, hidden=(2,))
    pack(tracks, "human36m", "train", tmp_path, 256, QUIET)
    packed = open_data("human36m", tmp_path, "train")
    assert packed.actions == tracks.actions and list(packed.lengths) == [20, 20, 20]
    assert packed.fps == 30
    drawn = Augmentation(rotation=20)
    for e in range(3):
        a, b = (Examples([s], PA17, 64, drawn, e, e, 5).read((0, 1)) for s in (tracks, packed))
        assert np.abs(a["pose"] - b["pose"]).max() < 1e-5 and a["action"] == b["action"] == 1
        assert (a["depth_valid"] == b["depth_valid"]).all()
        assert np.abs(a["frames"].astype(float) - b["frames"]).mean() < 6


class Kinects(Tracks):
    """One performance, before several cameras whose pictures are mirrored."""

    mirrored = True

    def __getitem__(self, i):
        return replace(super().__getitem__(i), group="performance")


def test_packed_videos_keep_what_was_filmed_and_that_they_are_mirrored(tmp_path):
    for source, name, group in ((Tracks(2), "a", ""), (Kinects(2), "b", "performance")):
        pack(source, "ntu", "train", tmp_path / name, 256, QUIET)
        packed = open_data("ntu", tmp_path / name, "train")
        assert chosen(packed, 1).mirrored == packed.mirrored == (name == "b")
        assert [track.group for track in packed] == [group] * 2


def test_synthetic_people(tmp_path, capsys):
    """By the command; drawn once, they are the people that are drawn again and again without."""
    command = ["data", "pack", "synthetic", "--split", "val", "--count", "3", "--frames", "2", "--raw"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    packed, drawn = open_data("synthetic", tmp_path, "val", 9), open_data("synthetic", None, "val", 3, 2)
    assert len(packed) == 3 and packed.actions == drawn.actions and packed.lengths == drawn.lengths
    longer = [*command[:-3], "--frames", "3", "--raw", "--out", str(tmp_path)]
    assert main(longer) == 2 and "holds another pack" in capsys.readouterr().err
    for a, b in zip(drawn, packed, strict=True):
        assert a.action == b.action and np.abs(a.joints[..., 2] - b.joints[..., 2]).max() < 1e-3
        assert (b.camera is not None) == (a.camera[0] is a.camera[1])  # moving ones are not kept
        one, two = (crop(still(track, 1)) for track in (a, b))
        assert np.abs(one["pose"] - two["pose"]).max() < 1e-5
        assert np.abs(one["frames"].astype(float) - two["frames"]).mean() < 6


def test_the_rate_of_videos_is_kept(tmp_path):
    tracks = Tracks(1)
    tracks.fps = 50.0
    pack(tracks, "human36m", "train", tmp_path, 64, QUIET)
    assert open_data("human36m", tmp_path, "train").fps == 50


def _redder(image):
    """How much redder than green."""
    return image[:, :, 0].astype(float).mean() - image[:, :, 1].astype(float).mean()


def test_photographs_behind_synthetic_people(tmp_path, capsys):
    command = ["data", "pack", "synthetic", "--split", "val", "--count", "12", "--frames", "1"]
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "broken.jpg").write_bytes(b"no picture")
    own = [*command, "--photographs", str(pictures), "--out", str(tmp_path / "own")]
    assert main(own) == 2 and "none of 1 decodes" in capsys.readouterr().err
    write_png(pictures / "red.png", np.full((64, 64, 3), (220, 10, 10), np.uint8))
    assert main(own) == 0
    redness = [
        np.mean([_redder(t.frames.read([0])[0][0]) for t in open_data("synthetic", *s)])
        for s in ((tmp_path / "own", "val"), (None, "val", 12, 1))
    ]
    assert redness[0] > redness[1] + 10
    capsys.readouterr()
    assert main([*command, "--out", str(tmp_path / "own")]) == 2, "without photographs, it is another pack"
    assert "holds another pack" in capsys.readouterr().err


def test_cameras_see_the_crop(photographs, tmp_path):
    class WithCamera:
        layout = photographs.layout

        def __len__(self):
            return 1

        def __getitem__(self, i):
            s = photographs[i]
            camera = Camera(np.eye(3), np.zeros(3), np.array([900.0, 900]), np.array([80.0, 70]))
            fields = {k: getattr(s, k) for k in ("frames", "joints", "valid", "depth_valid", "layout", "box")}
            return Sample(**fields, metres_per_pixel=None, name="x", camera=camera, head_px=20.0)

    source = WithCamera()
    pack(source, "mpii", "val", tmp_path / "pack", 64, QUIET)
    a, b = source[0], open_pack(tmp_path / "pack", "mpii", "val")[0]
    point = np.array([[0.1, -0.2, 3.0]])
    scale = b.box.side / a.box.side
    moved = (a.camera.project(point) - a.box.centre) * scale + b.box.centre
    assert np.abs(b.camera.project(point) - moved).max() < 1e-4
    assert abs(b.head_px / 20 - scale) < 1e-6


def test_many_readers_at_once(photographs, tmp_path):
    pack(photographs, "lspet", "all", tmp_path / "pack", 256, QUIET)
    examples = Examples([open_pack(tmp_path / "pack", "lspet", "all")], PA17, 64, None, 0, 0)
    plain, workers = (list(training_loader(examples, [1], 2, n)) for n in (0, 2))
    pairs = [(a["stills"], b["stills"]) for a, b in zip(plain, workers, strict=True)]
    assert all((a["frames"] == b["frames"]).all() for a, b in pairs)


def test_damaged_items_are_left_out_and_told(photographs, tmp_path):
    (photographs.root / "images" / "im00003.jpg").write_bytes(b"")
    damaged = pack(photographs, "lspet", "all", tmp_path / "pack", 256, QUIET)
    assert len(damaged) == 1 and "im00003.jpg" in damaged[0]
    assert len(open_pack(tmp_path / "pack", "lspet", "all")) == 6


def test_packing_goes_on_where_it_was(photographs, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("poseact.data.pack", fromlist=["ITEMS"]).ITEMS, "stills", 3)
    out = tmp_path / "pack"
    pack(photographs, "lspet", "all", out, 256, QUIET)
    files = sorted(p.name for p in (out / "all").iterdir())
    assert len(files) == 7
    kept = (out / "all" / "crops-00000.bin").stat().st_mtime_ns
    (out / "all" / "crops-00002.npz").unlink()
    with pytest.raises(UserError, match=r"crops-00002.npz.*pack again"):
        open_pack(out, "lspet", "all")
    text = (out / "all" / "pack.json").read_text().replace(', "whole": true, "damaged": []', "")
    (out / "all" / "pack.json").write_text(text)
    with pytest.raises(UserError, match="stopped half-way"):
        open_pack(out, "lspet", "all")
    pack(photographs, "lspet", "all", out, 256, QUIET)
    assert (out / "all" / "crops-00000.bin").stat().st_mtime_ns == kept
    assert len(open_pack(out, "lspet", "all")) == 7


def test_another_pack_is_refused(photographs, tmp_path):
    pack(photographs, "lspet", "all", tmp_path / "pack", 256, QUIET)
    with pytest.raises(UserError, match="holds another pack"):
        pack(photographs, "lspet", "all", tmp_path / "pack", 128, QUIET)
    with pytest.raises(UserError, match="expected a pack of mpii, got one of lspet"):
        open_pack(tmp_path / "pack", "mpii", "all")


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_packs_end_in_one_line(photographs, tmp_path, count):
    pack(photographs, "lspet", "all", tmp_path / "pack", 256, QUIET)
    rng = np.random.default_rng(0)
    folder = tmp_path / "pack" / "all"
    for file in ("pack.json", "crops-00000.npz", "crops-00000.bin"):
        whole = (folder / file).read_bytes()
        for _ in range(count // 3):
            (folder / file).write_bytes(mutate(whole, rng))
            try:
                for i, person in enumerate(open_pack(tmp_path / "pack", "lspet", "all")):
                    crop(person)
                    if i > 8:
                        break
            except UserError:
                pass
        (folder / file).write_bytes(whole)
    shutil.rmtree(tmp_path / "pack")
