"""Videos to result folders: every file, resumed after a stop, and bad input."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from fakes import video as fake
from fakes.damage import mutate
from fakes.people import Bright, picture
from rich.console import Console

import poseact
from poseact.cli import main
from poseact.errors import UserError
from poseact.inference import run
from poseact.inference.files import predict_pictures
from poseact.inference.run import RunOptions, VideoTask, predict_video
from poseact.inference.stream import Options, Stream
from poseact.network import arguments, build
from poseact.results import MARK, OUTPUTS, Gap
from poseact.video import VideoFile, VideoGroup, remux, write_video
from poseact.weights import load_model, save_weights

QUIET = Console(quiet=True)
COUNT = 40
ARGS = arguments(
    "tiny", width=32, blocks=1, size=64, actions=4, frames=4, depth_maps=4, pose_stream="v2", layout="pa16"
)
FLAT = arguments("tiny", width=32, blocks=1, size=64)
FP32 = Options(precision="fp32")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A 3D action network with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(path, build(ARGS)[0], ARGS, {"action_labels": json.dumps(["a", "b", "c", "d"])})
    return path


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A 2D network without actions."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "flat.safetensors"
    save_weights(path, build(FLAT)[0], FLAT, {})
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """40 frames, and a file of boxes of two people, the second from frame 20 on."""
    folder = tmp_path_factory.mktemp("video")
    lines = ["frame,person,x,y,width,height", ",1,0,0,128,96"]
    lines += [f"{i},2,40,20,50,60" for i in range(20, COUNT)]
    (folder / "boxes.csv").write_text("\n".join(lines))
    return fake.write(folder / "clip.mp4", COUNT)


@pytest.fixture(scope="module")
def options(video):
    return RunOptions(FP32, boxes=video.parent / "boxes.csv")


@pytest.fixture(scope="module")
def done(video, weights, options, tmp_path_factory):
    """The result folder of the video, and its summary."""
    out = tmp_path_factory.mktemp("done")
    return out, predict_video(video, load_model(weights), out, options, weights=str(weights))


def joints_of(folder):
    """Joints (R, J, 2) as CSV, JSON and NPZ tell them, and the persons and frames of their rows."""
    with (folder / "joints.csv").open() as file:
        lines = list(csv.DictReader(file))
    table = np.array([[float(line["x_px"]), float(line["y_px"])] for line in lines]).reshape(-1, 16, 2)
    content = json.loads((folder / "keypoints.json").read_text())
    coco = np.array([a["keypoints"] for a in content["annotations"]]).reshape(-1, 16, 3)[..., :2]
    with np.load(folder / "results.npz", allow_pickle=False) as arrays:
        return {"csv": table, "json": coco, "npz": arrays["joints"]}, arrays["frame"], arrays["person"]


def names(folder):
    """What a user sees in a folder of results, beside the mark."""
    assert (folder / MARK).exists()
    return sorted(path.name for path in folder.iterdir() if path.name != MARK)


def pixels(path):
    return [image for _, image in fake.decode(path)]


def test_a_result_folder_holds_everything_and_nothing_else(done):
    out, summary = done
    expected = {name for name in OUTPUTS.values() if "-N" not in name} | {"person-1.bvh", "person-2.bvh"}
    assert set(names(out)) == expected == {path.name for path in summary.written}
    assert (summary.frames, summary.answered, summary.people, summary.gaps) == (COUNT, COUNT, 2, ())


def test_all_tables_hold_the_same_joints(done):
    joints, frames, people = joints_of(done[0])
    assert frames.tolist() == sorted([*range(COUNT), *range(20, COUNT)])
    assert people.tolist() == [1] * 20 + [1, 2] * (COUNT - 20)
    assert np.abs(joints["csv"] - joints["npz"]).max() < 1e-3
    assert np.abs(joints["json"] - joints["npz"]).max() < 1e-3


def test_the_overlay_plays_in_browsers(done):
    path = done[0] / "overlay.mp4"
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        packets = [p for p in container.demux(stream) if p.size]
        assert [float(p.pts * p.time_base) for p in packets] == pytest.approx(np.arange(COUNT) / 25, abs=1e-3)
    shown = pixels(path)
    assert len(shown) == COUNT and shown[0].shape[0] % 2 == shown[0].shape[1] % 2 == 0
    file = VideoFile(path)
    assert len(file) == COUNT and file.fps == pytest.approx(25)
    assert (file.read([30])[0][0] == shown[30]).all()


def test_the_public_function_answers_the_same(done, video, weights):
    answers = list(poseact.predict(str(video), weights, boxes=video.parent / "boxes.csv", precision="fp32"))
    found = np.concatenate([answer.rows for answer in answers])
    assert len(answers) == COUNT and not any(answer.gap for answer in answers)
    assert [fake.number(answer.frame.image) for answer in answers] == list(range(COUNT))
    assert np.array_equal(found["joints"], joints_of(done[0])[0]["npz"])
    assert found["action_known"].sum() == COUNT - 3 + COUNT - 23


@pytest.mark.parametrize("stops", [pytest.param([0], marks=pytest.mark.slow), [24, 39]])
def test_a_stopped_run_ends_as_one_that_was_not(done, video, weights, options, tmp_path, monkeypatch, stops):
    out = tmp_path / "out"
    network = load_model(weights)
    for stop in stops:
        with monkeypatch.context() as patch:
            add = run._Record.add

            def interrupted(self, answer, stop=stop, add=add):
                if self.frames == stop:
                    raise KeyboardInterrupt
                add(self, answer)

            patch.setattr(run._Record, "add", interrupted)
            with pytest.raises(KeyboardInterrupt):
                predict_video(video, network, out, options, weights=str(weights))
        # What a kill in the middle of writing leaves behind.
        for name in ("rows.bin", "joints.csv", "overlay.ts"):
            if (out / "state.npz").exists():
                with (out / name).open("ab") as file:
                    file.write(b"half")
    if stops[-1] == 39:
        assert len(VideoFile(out / "overlay.ts")) == 24, "it plays up to the last second"
    predict_video(video, network, out, options, weights=str(weights))
    for path in done[0].iterdir():
        if path.name not in ("overlay.mp4", "timeline.png"):
            assert path.read_bytes() == (out / path.name).read_bytes(), path.name
    one, two = pixels(done[0] / "overlay.mp4"), pixels(out / "overlay.mp4")
    assert len(one) == len(two) and all((a == b).all() for a, b in zip(one, two, strict=True))


def test_a_run_that_is_gone_on_with_agrees_with_how_it_began(video, flat, options, tmp_path, monkeypatch):
    network, out = load_model(flat), tmp_path / "out"
    options = replace(options, only=("csv",))
    add = Stream.add

    def interrupted(self, frames):
        if frames[0].number >= 24:
            raise KeyboardInterrupt
        return add(self, frames)

    monkeypatch.setattr(Stream, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict_video(video, network, out, options)
    monkeypatch.undo()
    other = fake.write(tmp_path / "clip.mp4", 60)
    changed = {
        "source": lambda: predict_video(other, network, out, options),
        "stride": lambda: predict_video(video, network, out, replace(options, look=Options(2))),
        "boxes": lambda: predict_video(video, network, out, replace(options, boxes=None)),
        "weights": lambda: predict_video(video, network, out, options, weights="other.safetensors"),
    }
    for name, call in changed.items():
        with pytest.raises(UserError, match=f"expected {name}") as error:
            call()
        assert str(out) in str(error.value) and "--out" in str(error.value)
    for name, content in (("rows.bin", b""), ("state.npz", b"no state")):
        kept = (out / name).read_bytes()
        (out / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            predict_video(video, network, out, options)
        (out / name).write_bytes(kept)
    assert predict_video(video, network, out, options).frames == COUNT


def test_only_what_is_asked_for(video, flat, options, tmp_path):
    network = load_model(flat)
    summary = predict_video(video, network, tmp_path, replace(options, only=("npz",)))
    assert names(tmp_path) == ["results.npz"] == [p.name for p in summary.written]
    with np.load(tmp_path / "results.npz") as arrays:
        assert "metres" not in arrays and "action" not in arrays
    with pytest.raises(UserError, match="avi"):
        RunOptions(only=("csv", "avi"))
    with pytest.raises(UserError, match="threshold"):
        RunOptions(threshold=1.5)


def test_nobody_and_damage_are_gaps(tmp_path, monkeypatch):
    path = fake.write(
        tmp_path / "a.mp4", 40, options=fake.x264(bframes=0, keyint=10), size=(320, 240),
        paint=lambda i, size: picture(160 if i >= 10 else None, 120),
    )  # fmt: skip
    stored = fake.packets(path)
    fake.overwrite(path, stored[25], 0.95)
    damaged = [i for i, image in enumerate(VideoFile(path).walk()) if image is None]
    assert damaged and min(damaged) == 25 and max(damaged) < 30
    summary = predict_video(path, Bright(), tmp_path / "out", RunOptions(FP32))
    assert summary.gaps == (Gap(0, 9, "no person"), Gap(damaged[0], damaged[-1], "unreadable"))
    assert summary.answered == 30 - len(damaged) and summary.people == 1
    assert len(pixels(tmp_path / "out" / "overlay.mp4")) == 40
    assert not list((tmp_path / "out").glob("*.bvh")), "2D"
    info = json.loads((tmp_path / "out" / "keypoints.json").read_text())["info"]
    assert [gap["reason"] for gap in info["gaps"]] == ["no person", "unreadable"]


def test_a_download_that_stopped_is_told(tmp_path):
    path = fake.write(
        tmp_path / "a.mp4", 40, size=(320, 240), container={"movflags": "faststart"},
        paint=lambda i, size: picture(160, 120),
    )  # fmt: skip
    path.write_bytes(path.read_bytes()[: fake.packets(path)[20].pos])
    summary = predict_video(path, Bright(), tmp_path / "out", RunOptions(FP32))
    assert summary.frames == 20 and summary.gaps == ()
    (message,) = summary.messages
    assert message.startswith("a.mp4: breaks off after 20 frames, its header tells of 40")
    info = json.loads((tmp_path / "out" / "keypoints.json").read_text())["info"]
    assert "breaks off" in info["damage"] and "breaks off" in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize("size", [(1, 1), (9, 400)])
def test_videos_of_odd_sizes(tmp_path, size):
    path = fake.write(
        tmp_path / "odd.mkv", 2, "ffv1", {}, size=size, pixels="gray",
        paint=lambda i, size: np.zeros((size[1], size[0], 3), np.uint8),
    )  # fmt: skip
    summary = predict_video(path, Bright(), tmp_path / "out", RunOptions(FP32))
    assert summary.gaps == (Gap(0, 1, "no person"),)
    assert len(pixels(tmp_path / "out" / "overlay.mp4")) == 2
    assert (tmp_path / "out" / "index.html").exists()


@pytest.mark.slow
def test_a_video_of_8k(tmp_path):
    path = fake.write(tmp_path / "8k.mp4", 2, size=(7680, 4320))
    summary = predict_video(path, Bright(), tmp_path / "out", RunOptions(FP32))
    assert summary.answered == 2 and len(pixels(tmp_path / "out" / "overlay.mp4")) == 2


def bad_inputs(folder):
    """Files that show no frame."""
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("hello")
    (folder / "noise").write_bytes(np.random.default_rng(0).bytes(5000))
    fake.write_sound(folder / "sound.mp4")
    fake.write_sound(folder / "cover.mp4", cover=True)
    data = fake.write(folder / "whole.mp4", 5).read_bytes()
    (folder / "cut.mp4").write_bytes(data[: len(data) // 3])
    (folder / "unknown.mp4").write_bytes(data.replace(b"avc1", b"xyz1"))
    return [folder / name for name in (
        "empty.mp4", "text.mp4", "noise", "sound.mp4", "cover.mp4", "cut.mp4", "unknown.mp4", "gone.mp4"
    )]  # fmt: skip


def test_what_shows_no_frame_is_one_line(tmp_path, flat, capfd):
    for path in bad_inputs(tmp_path):
        out = tmp_path / f"out-{path.name}"
        assert main(["predict", str(path), "--weights", str(flat), "--out", str(out)]) == 2, path
        error = capfd.readouterr().err
        told = [line for line in error.splitlines() if line.startswith("poseact: ")]
        assert len(told) == 1 and str(path) in told[0] and "Traceback" not in error
        assert not out.exists()


def odd_input(rng, folder, number):
    """A video or a picture that is damaged, odd, or both."""
    size = tuple(int(n) for n in rng.integers(1, 90, 2) * 2)
    if number % 3 == 2:
        shape = [(*size, 3), (*size, 4), size, (1, 1)][rng.integers(4)]
        image = rng.integers(0, 255, shape, np.uint8) if rng.random() < 0.7 else np.zeros(shape, np.uint16)
        path = folder / f"{number}.{['png', 'tif', 'webp', 'jpg'][rng.integers(4)]}"
        if not cv2.imwrite(str(path), image):
            path = folder / f"{number}.png"
            cv2.imwrite(str(path), image)
    else:
        name, codec, options = [
            ("mp4", "libx264", fake.x264()), ("mkv", "libx264", fake.x264(open_gop=1)), ("avi", "mpeg4", {}),
            ("ts", "libx264", fake.x264()), ("mpg", "mpeg2video", {}), ("webm", "libvpx", {"cpu-used": "8"}),
            ("flv", "libx264", fake.x264()), ("avi", "mjpeg", {}),
        ][rng.integers(8)]  # fmt: skip
        size = tuple(max(16, n) for n in size)
        pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        path = fake.write(
            folder / f"{number}.{name}", int(rng.integers(1, 13)), codec, options, size=size, pixels=pixels
        )
    if rng.random() < 0.8:
        path.write_bytes(mutate(path.read_bytes(), rng))
    return path


def outcome(path, weights, out, boxes, capfd):
    """The exit code of `predict`, checked: results where it is 0, one line where it is 2."""
    command = ["predict", str(path), "--weights", str(weights), "--out", str(out), "--boxes", str(boxes)]
    code = main([*command, "--only", "video,csv,json,page"])
    error = capfd.readouterr().err
    told = [line for line in error.splitlines() if line.startswith("poseact: ")]
    assert "Traceback" not in error and code in (0, 2), (path, error)
    if code == 2:
        assert len(told) == 1 and path.name in told[0], (path, error)
    else:
        content = json.loads((out / "keypoints.json").read_text())
        frames = {a["frame"] for a in content["annotations"]}
        for gap in content["info"]["gaps"]:
            frames |= set(range(gap["first"], gap["last"] + 1))
        assert not told and (out / "index.html").exists()
        assert frames == set(range(content["info"]["frames"])), "every frame has an answer or a reason"
    return code


def test_damaged_and_odd_inputs(tmp_path, flat, capfd):
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("frame,person,x,y,width,height\n,1,2,3,20,30\n")
    rng = np.random.default_rng(0)
    codes = [
        outcome(odd_input(rng, tmp_path, i), flat, tmp_path / f"out{i}", boxes, capfd) for i in range(12)
    ]
    assert set(codes) == {0, 2}


@pytest.mark.slow
def test_three_hundred_damaged_and_odd_inputs(tmp_path, weights, capfd):
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("frame,person,x,y,width,height\n,1,2,3,20,30\n3,4,0,0,9,9\n")
    rng = np.random.default_rng(1)
    codes = [
        outcome(odd_input(rng, tmp_path, i), weights, tmp_path / f"out{i}", boxes, capfd) for i in range(300)
    ]
    assert 30 < codes.count(2) < 270


def test_the_command_tells_what_it_did(video, weights, tmp_path, capsys):
    command = ["predict", str(video), "--weights", str(weights), "--out", str(tmp_path), "--threshold", "0.2"]
    command += ["--boxes", str(video.parent / "boxes.csv"), "--only", "csv,bvh", "--smooth", "--stride", "2"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "device: " in told and f"{COUNT} frames" in told and "2 people" in told
    assert str(tmp_path / "person-2.bvh") in told and "probability" in told
    assert names(tmp_path) == ["joints.csv", "person-1.bvh", "person-2.bvh"]


@pytest.mark.parametrize("wrong, told", [
    (["--stride", "0"], "stride"), (["--blocks", "9"], "blocks"), (["--only", "gif"], "gif"),
    (["--precision", "int4"], "precision"), (["--focal", "-3"], "focal"), (["--height", "170"], "height"),
    (["--threshold", "7"], "threshold"), (["--boxes", "none.csv"], "none.csv"), (["--ray"], "--ray"),
])  # fmt: skip
def test_wrong_options_are_one_line(video, flat, tmp_path, capsys, wrong, told):
    out = tmp_path / "out"
    assert main(["predict", str(video), "--weights", str(flat), "--out", str(out), *wrong]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1 and not out.exists()


def test_results_do_not_write_over_their_source(video, flat, tmp_path):
    place = tmp_path / "overlay.mp4"
    place.write_bytes(video.read_bytes())
    with pytest.raises(UserError, match="--out"):
        predict_video(place, load_model(flat), tmp_path)
    assert place.read_bytes() == video.read_bytes()
    with pytest.raises(UserError, match="written"):
        predict_video(video, load_model(flat), place)


def test_motion_alone_needs_a_network_in_3d(video, flat, tmp_path):
    with pytest.raises(UserError, match="3D"):
        predict_video(video, load_model(flat), tmp_path / "out", RunOptions(FP32, only=("bvh",)))
    assert not (tmp_path / "out").exists()


def test_the_rate_of_a_live_source_is_that_of_the_frames_that_were_looked_at(tmp_path, monkeypatch):
    """Every other frame of ten a second is lost: 21 frames take 4 seconds."""
    from fakes import people

    source = people.source([picture(160, 120)] * 21, live=True, lost=1)
    monkeypatch.setattr(run, "open_source", lambda place: source)
    predict_video("rtsp://camera/1", Bright(), tmp_path, RunOptions(FP32))
    assert "5 frames a second, 0:04.2 long" in (tmp_path / "index.html").read_text()


def test_a_live_source_ends_with_all_results_when_interrupted(flat, tmp_path, monkeypatch):
    from fakes import people

    source = people.source([picture(160, 120)] * 50, live=True)
    monkeypatch.setattr(run, "open_source", lambda place: source)
    add = Stream.add

    def interrupted(self, frames):
        if frames[0].number == 12:
            raise KeyboardInterrupt
        return add(self, frames)

    monkeypatch.setattr(Stream, "add", interrupted)
    summary = predict_video("rtsp://camera/1", Bright(), tmp_path, RunOptions(FP32))
    assert (summary.frames, summary.answered) == (12, 12) and len(pixels(tmp_path / "overlay.mp4")) == 12
    again = predict_video("rtsp://camera/1", Bright(), tmp_path / "again", RunOptions(FP32))
    assert again.frames == 12, "a live source begins anew"


def test_a_live_source_ends_with_all_results_when_something_fails(tmp_path, monkeypatch):
    from fakes import people

    source = people.source([picture(160, 120)] * 50, live=True)
    monkeypatch.setattr(run, "open_source", lambda place: source)
    add = Stream.add

    def fails(self, frames):
        if frames[0].number == 12:
            raise RuntimeError("out of luck")
        return add(self, frames)

    monkeypatch.setattr(Stream, "add", fails)
    with pytest.raises(RuntimeError, match="out of luck"):
        predict_video("rtsp://camera/1", Bright(), tmp_path, RunOptions(FP32))
    assert len(pixels(tmp_path / "overlay.mp4")) == 12 and (tmp_path / "index.html").exists()


def test_a_live_source_is_saved_each_second_however_few_frames_are_looked_at(tmp_path, monkeypatch):
    """Two of ten frames a second."""
    from fakes import people

    source = people.source([picture(160, 120)] * 8, live=True, lost=4)
    monkeypatch.setattr(run, "open_source", lambda place: source)
    save, saved = run._Record.save, []
    monkeypatch.setattr(run._Record, "save", lambda self: saved.append(self.frames) or save(self))
    predict_video("rtsp://camera/1", Bright(), tmp_path, RunOptions(FP32, only=("csv",)))
    assert saved == [3, 5, 7, 8]


def test_a_recording_is_replaced_by_nothing(video, tmp_path, monkeypatch):
    from fakes import people

    monkeypatch.setattr(run, "open_source", lambda place: people.source([picture(160, 120)] * 5, live=True))
    out = tmp_path / "out"
    predict_video("rtsp://camera/1", Bright(), out, RunOptions(FP32))
    left = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(UserError, match="holds a recording"):
        predict_video("rtsp://camera/1", Bright(), out, RunOptions(FP32))
    monkeypatch.undo()
    cv2.imwrite(str(tmp_path / "a.png"), picture(160, 120))
    for predict, place in ((predict_video, video), (predict_pictures, tmp_path / "a.png")):
        with pytest.raises(UserError, match="holds a recording"):
            predict(place, Bright(), out, RunOptions(FP32))
    assert left == {path.name: path.read_bytes() for path in out.iterdir()} and "overlay.mp4" in left


def test_pictures_do_not_replace_an_unfinished_video(video, tmp_path, monkeypatch):
    def killed(*about):
        raise SystemExit

    monkeypatch.setattr(run, "_finish", killed)
    out = tmp_path / "out"
    with pytest.raises(SystemExit):
        predict_video(video, Bright(), out, RunOptions(FP32))
    left = {path.name: path.read_bytes() for path in out.iterdir()}
    cv2.imwrite(str(tmp_path / "a.png"), picture(160, 120))
    with pytest.raises(UserError, match="holds an unfinished run of a video"):
        predict_pictures(tmp_path / "a.png", Bright(), out, RunOptions(FP32))
    assert left == {path.name: path.read_bytes() for path in out.iterdir()} and "state.npz" in left


def test_an_unfinished_run_goes_on_in_its_own_precision_alone(video, tmp_path, monkeypatch):
    picked = ["fp32"]
    monkeypatch.setattr(run, "pick_precision", lambda device, asked: picked[0])
    monkeypatch.setattr(run, "_finish", lambda *about: picked)
    predict_video(video, Bright(), tmp_path, RunOptions(FP32))
    picked[0] = "bf16"
    with pytest.raises(UserError, match="expected precision 'fp32', as in the unfinished run"):
        predict_video(video, Bright(), tmp_path, RunOptions(FP32))


def test_a_service_that_is_told_to_stop_ends_with_all_results(flat, tmp_path, monkeypatch):
    from fakes import people

    source = people.source([picture(160, 120)] * 50, live=True)
    monkeypatch.setattr(run, "open_source", lambda place: source)
    add, before = Stream.add, signal.getsignal(signal.SIGTERM)

    def stopped(self, frames):
        if frames[0].number == 12:
            os.kill(os.getpid(), signal.SIGTERM)
        return add(self, frames)

    monkeypatch.setattr(Stream, "add", stopped)
    out = tmp_path / "out"
    try:
        code = main(["predict", "rtsp://camera/1", "--weights", str(flat), "--out", str(out)])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert code == 0 and len(pixels(out / "overlay.mp4")) == 12 and (out / "index.html").exists()


def test_a_video_that_is_interrupted_says_how_to_go_on(video, flat, tmp_path, monkeypatch, capsys):
    add = Stream.add

    def stopped(self, frames):
        if frames[0].number >= 8:
            raise KeyboardInterrupt
        return add(self, frames)

    monkeypatch.setattr(Stream, "add", stopped)
    command = ["predict", str(video), "--weights", str(flat), "--out", str(tmp_path / "out")]
    assert main(command) == 130
    assert f"of {COUNT}; the same command goes on from here" in capsys.readouterr().out
    monkeypatch.setattr(Stream, "add", add)
    assert main(command) == 0 and len(pixels(tmp_path / "out" / "overlay.mp4")) == COUNT


def test_what_a_killed_recording_left_is_not_deleted(flat, tmp_path, monkeypatch):
    from fakes import people

    monkeypatch.setattr(run, "open_source", lambda place: people.source([picture(160, 120)] * 50, live=True))

    def killed(*about):
        raise SystemExit

    monkeypatch.setattr(run, "_finish", killed)
    with pytest.raises(SystemExit):
        predict_video("rtsp://camera/1", Bright(), tmp_path, RunOptions(FP32))
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=r"a recording.*joints\.csv and overlay\.ts.*move it away"):
        predict_video("rtsp://camera/1", Bright(), tmp_path, RunOptions(FP32))
    assert left == {path.name: path.read_bytes() for path in tmp_path.iterdir()} and "joints.csv" in left


def test_two_processes_do_not_write_into_one_folder(video, flat, options, tmp_path):
    inside = []

    class Second(Bright):
        def estimate(self, frames):
            if not inside:
                inside.append(True)
                with pytest.raises(UserError, match="another process is at work there"):
                    predict_video(video, load_model(flat), tmp_path, RunOptions(FP32, options.boxes))
            return super().estimate(frames)

    done = predict_video(video, Second(), tmp_path, RunOptions(FP32, options.boxes, only=("csv",)))
    assert inside and done.frames == COUNT and names(tmp_path) == ["joints.csv"]


def test_a_folder_that_is_begun_anew_is_no_longer_finished(video, flat, options, tmp_path):
    for name in ("done.json", MARK):
        (tmp_path / name).write_text("{}")
    VideoTask(str(flat), RunOptions(FP32, options.boxes, only=("csv",)))(video, tmp_path)
    assert names(tmp_path) == ["joints.csv"]


@pytest.mark.parametrize("name", ["index.html", "person-3.bvh", "joints.csv"])
def test_what_is_not_ours_is_not_deleted(video, flat, options, tmp_path, name):
    place = tmp_path / name
    place.write_text("mine")
    for _ in range(2):  # a run that was refused has left no mark
        with pytest.raises(UserError, match=f"{name}: would be written over"):
            predict_video(video, load_model(flat), tmp_path, RunOptions(FP32, options.boxes, only=("npz",)))
    assert place.read_text() == "mine" and [path.name for path in tmp_path.iterdir()] == [name]
    (tmp_path / name).rename(tmp_path / "other.html")
    predict_video(video, load_model(flat), tmp_path, RunOptions(FP32, options.boxes, only=("npz",)))
    assert names(tmp_path) == ["other.html", "results.npz"]


def test_a_picture_of_somebody_else_is_not_written_over(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture(160, 120))
    (tmp_path / "a.png.png").write_text("mine")
    with pytest.raises(UserError, match=r"a\.png\.png: would be written over"):
        predict_pictures(tmp_path / "a.png", Bright(), tmp_path, RunOptions(FP32))
    assert (tmp_path / "a.png.png").read_text() == "mine"
    predict_pictures(tmp_path / "a.png", Bright(), tmp_path, RunOptions(FP32, only=("csv",)))
    assert (tmp_path / "a.png.png").read_text() == "mine" and (tmp_path / "joints.csv").exists()


def test_a_task_answers_what_the_summary_of_many_videos_tells(video, flat, options, tmp_path):
    about = VideoTask(str(flat), RunOptions(FP32, options.boxes, only=("csv",)))(video, tmp_path)
    assert about == {"frames": COUNT, "answered": COUNT, "people": 2, "gaps": 0, "segments": 0}


# --- the overlay that grows ----------------------------------------------------------------------------


def grown(path, counts, times=None):
    start = 0
    for count in counts:
        group = VideoGroup(path, 25)
        for i in range(start, start + count):
            group.add(fake.picture(i), i / 25 if times is None else times[i])
        group.close()
        start += count
    return path


def test_groups_play_as_one_video_and_become_one_without_loss(tmp_path):
    path = grown(tmp_path / "a.ts", (12, 1, 17))
    shown = fake.decode(path)
    assert [fake.number(image) for _, image in shown] == list(range(30))
    with av.open(str(path)) as container:
        packets = list(container.demux(video=0))
    assert not any(p.is_corrupt for p in packets), "nothing seems lost at the joints"
    remux(path, tmp_path / "a.mp4")
    copied = fake.decode(tmp_path / "a.mp4")
    assert len(copied) == 30 and all((a == b).all() for (_, a), (_, b) in zip(shown, copied, strict=True))
    assert copied[0][0] == 0
    file = VideoFile(tmp_path / "a.mp4")
    assert np.allclose(file.times, np.arange(30) / 25, atol=1e-4)
    assert fake.number(file.read([17])[0][0]) == 17


def test_groups_of_uneven_times(tmp_path):
    times = np.cumsum(np.random.default_rng(0).uniform(0.002, 1.0, 24))
    path = grown(tmp_path / "a.ts", (8, 8, 8), times)
    remux(path, tmp_path / "a.mp4")
    assert np.allclose(VideoFile(tmp_path / "a.mp4").times, times - times[0], atol=1e-4)


def test_a_video_of_more_than_a_day(tmp_path):
    """MPEG-TS counts to 26.5 hours and begins again."""
    times = 95_440 + np.arange(6)
    path = grown(tmp_path / "a.ts", (2, 2, 2), times)
    remux(path, tmp_path / "a.mp4")
    assert np.allclose(VideoFile(tmp_path / "a.mp4").times, np.arange(6), atol=1e-4)


def test_a_file_that_is_cut_plays_as_far_as_it_goes(tmp_path):
    path = grown(tmp_path / "a.ts", (10, 10, 10))
    data = path.read_bytes()
    path.write_bytes(data[: int(0.7 * len(data))])
    shown = [fake.number(image) for _, image in fake.decode(path)]
    assert len(shown) >= 15 and shown[:15] == list(range(15))


def test_a_group_without_frames_writes_nothing(tmp_path):
    VideoGroup(tmp_path / "a.ts", 25).close()
    assert not (tmp_path / "a.ts").exists()
    with pytest.raises(UserError):
        remux(tmp_path / "a.ts", tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


# --- minutes long ----------------------------------------------------------------------------------------


def long_video(path, seconds, fps=30, size=(96, 96)):
    frames = (fake.picture(i % 256, size) for i in range(seconds * fps))
    write_video(path, frames, fps)
    return path


@pytest.mark.slow
def test_killed_at_random_seconds_it_ends_as_one_that_was_not(tmp_path, weights):
    video, boxes = long_video(tmp_path / "long.mp4", 40), tmp_path / "boxes.csv"
    boxes.write_text("frame,person,x,y,width,height\n,1,2,3,70,90\n")
    command = [sys.executable, "-m", "poseact.cli", "predict", str(video), "--weights", str(weights)]
    command += ["--boxes", str(boxes), "--out"]
    rng, kills = np.random.default_rng(0), 0
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    while not (tmp_path / "killed" / "index.html").exists():
        process = subprocess.Popen([*command, str(tmp_path / "killed")], stdout=subprocess.DEVNULL)
        if kills < 6:
            deadline = time.monotonic() + 60
            while not (tmp_path / "killed" / "state.npz").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(rng.uniform(2, 6))
            kills += process.poll() is None
            process.send_signal(signal.SIGKILL)
        process.wait()
    assert kills >= 2
    for path in (tmp_path / "whole").iterdir():
        if path.suffix not in (".mp4", ".png"):
            assert path.read_bytes() == (tmp_path / "killed" / path.name).read_bytes(), path.name
    walks = [VideoFile(tmp_path / name / "overlay.mp4").walk() for name in ("whole", "killed")]
    assert all(np.array_equal(a, b) for a, b in zip(*walks, strict=True))


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path, weights):
    minutes = int(os.environ.get("POSEACT_MINUTES", "6"))
    video, boxes = long_video(tmp_path / "long.mp4", 60 * minutes), tmp_path / "boxes.csv"
    boxes.write_text("frame,person,x,y,width,height\n,1,2,3,70,90\n")
    command = [sys.executable, "-m", "poseact.cli", "predict", str(video), "--weights", str(weights)]
    process = subprocess.Popen(
        [*command, "--boxes", str(boxes), "--out", str(tmp_path / "out")], stdout=subprocess.DEVNULL
    )
    resident: list[tuple[int, float]] = []
    rows = tmp_path / "out" / "rows.bin"
    while process.poll() is None:
        with suppress(OSError, IndexError, ValueError):  # it has just ended
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            size = rows.stat().st_size if rows.exists() else 0
            resident.append((size, pages * os.sysconf("SC_PAGE_SIZE") / 2**20))
        time.sleep(0.2)
    assert process.returncode == 0
    longest = max(size for size, _ in resident)
    early = max(mb for size, mb in resident if 0 < size <= 2 * longest / minutes)
    print(f"resident after minute 2: {early:.0f} MB, at most after it {max(mb for _, mb in resident):.0f} MB")
    assert max(mb for _, mb in resident) - early < 50


def test_pictures_share_the_chain(tmp_path):
    for name, at in (("a.png", 160), ("b.png", None)):
        cv2.imwrite(str(tmp_path / name), picture(at, 120))
    (tmp_path / "c.png").write_bytes(b"no picture")
    summary = predict_pictures(tmp_path, Bright(), tmp_path / "out", RunOptions(FP32))
    assert summary.gaps == (Gap(1, 1, "no person"), Gap(2, 2, "unreadable")) and summary.answered == 1
    assert len(summary.messages) == 1 and "c.png" in summary.messages[0]
    content = json.loads((tmp_path / "out" / "keypoints.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["a.png", "b.png", "c.png"]
    (found,) = content["annotations"]
    corners = np.array(found["keypoints"]).reshape(16, 3)[[0, 15], :2]
    assert np.abs(corners - [[140, 70], [180, 170]]).max() < 4
    written = ["a.png.png", "b.png.png", "index.html", "joints.csv", "keypoints.json", "results.npz"]
    assert names(tmp_path / "out") == written


def test_pictures_that_are_interrupted_have_the_results_of_those_before(tmp_path, monkeypatch, capsys):
    for i in range(6):
        cv2.imwrite(str(tmp_path / f"{i}.png"), picture(160, 120))
    add, at = Stream.add, []

    def stopped(self, frames):
        if frames[0].number == at[0]:
            raise KeyboardInterrupt
        return add(self, frames)

    monkeypatch.setattr(Stream, "add", stopped)
    for number in (4, 0):
        at[:] = [number]
        with pytest.raises(KeyboardInterrupt):
            predict_pictures(tmp_path, Bright(), tmp_path / f"out{number}", RunOptions(FP32), Console())
    assert "stopped after 4 of 6 pictures" in capsys.readouterr().out
    content = json.loads((tmp_path / "out4" / "keypoints.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["0.png", "1.png", "2.png", "3.png"]
    assert len(content["annotations"]) == 4 and names(tmp_path / "out0") == []


@pytest.mark.parametrize("length", [246, 249])
def test_an_overlay_that_cannot_be_written_costs_no_table(tmp_path, length):
    long = "a" * length + ".png"  # the name of its overlay, or the temporary one, is longer than may be
    for name in (long, "b.png"):
        cv2.imwrite(str(tmp_path / name), picture(160, 120))
    summary = predict_pictures(tmp_path, Bright(), tmp_path / "out", RunOptions(FP32))
    assert summary.answered == 2 and len(summary.messages) == 1 and "not written" in summary.messages[0]
    assert {"b.png.png", "joints.csv"} < set(names(tmp_path / "out"))


def test_pictures_have_no_timeline(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture(160, 120))
    with pytest.raises(UserError, match="only timeline,bvh: expected something that pictures have"):
        predict_pictures(tmp_path, Bright(), tmp_path / "out", RunOptions(FP32, only=("timeline", "bvh")))
    assert not (tmp_path / "out").exists()
