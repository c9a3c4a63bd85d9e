"""Many videos in parallel: each done once, whatever happens to the workers."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from fakes import video as fake
from rich.console import Console

from poseact.cli import main
from poseact.errors import UserError
from poseact.inference import many
from poseact.inference.many import DONE, listed_videos, other_pictures, predict_many, result_folders
from poseact.network import arguments, build
from poseact.video import VideoFile
from poseact.weights import save_weights

FRAMES = 6


@dataclass(frozen=True)
class Brightness:
    """Writes the mean of every frame of a video; ``log`` gets a line for each call.

    Videos whose name begins with ``dies`` kill their worker: once, or always.
    """

    log: Path
    wait_s: float = 0.0

    def __call__(self, source: Path, folder: Path) -> dict[str, object]:
        with self.log.open("a") as file:
            file.write(f"{source.name} {os.getpid()}\n")
        folder.mkdir(parents=True, exist_ok=True)
        started = folder / "started"
        if source.name.startswith("dies") and not (source.name.startswith("dies-once") and started.exists()):
            started.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        started.unlink(missing_ok=True)
        if source.name.startswith("bug"):
            raise ZeroDivisionError("a mistake\nof the package")
        time.sleep(self.wait_s)
        video = VideoFile(source)
        means = [float(video.read([i])[0][0].mean()) for i in range(len(video))]
        (folder / "means.json").write_text(json.dumps(means))
        return {"frames": len(means), "threads": torch.get_num_threads()}


@pytest.fixture
def folder(tmp_path):
    """Six videos: two that are well, and four that are not."""
    films = tmp_path / "films"
    for name in ("a.mp4", "b.mp4", "dies-once.mp4", "dies.mp4", "bug.mp4"):
        films.mkdir(exist_ok=True)
        fake.write(films / name, FRAMES)
    (films / "damaged.mp4").write_bytes(b"no video")
    return films


def files(out):
    """What lies in the result folders."""
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in sorted(out.glob("*/*"))}


def test_one_video_once_and_not_again(tmp_path):
    """A worker is started, dies, and another one takes over; a second call finds what is there."""
    source = fake.write(tmp_path / "dies-once.mp4", FRAMES)
    log, out = tmp_path / "log", tmp_path / "out"
    done = predict_many([source], out, Brightness(log), task="means", workers=1)
    assert (done.count("done"), done.lost, len(log.read_text().splitlines())) == (1, 1, 2)
    (outcome,) = done.outcomes
    assert outcome.about == {"frames": FRAMES, "threads": many.cores()}
    assert set(files(out)) == {f"{source.name}/{DONE}", f"{source.name}/means.json"}
    again = predict_many([source], out, Brightness(log), task="means")
    assert (again.count("found"), again.outcomes[0].about) == (1, outcome.about)
    assert len(log.read_text().splitlines()) == 2
    with pytest.raises(UserError, match="expected results for task 'other', found those for 'means'"):
        predict_many([source], out, Brightness(log), task="other")
    os.utime(source, (1e9, 1e9))  # as long as before, and another one
    with pytest.raises(UserError, match="for file"):
        predict_many([source], out, Brightness(log), task="means")


def test_a_video_that_fails_is_named_once(folder, tmp_path):
    console = Console(file=io.StringIO(), width=400)
    sources = [folder / "damaged.mp4", folder / "bug.mp4"]
    done = predict_many(sources, tmp_path / "out", Brightness(tmp_path / "log"), workers=1, console=console)
    assert done.count("failed") == 2
    lines = [line for line in console.file.getvalue().splitlines() if "failed: " in line]
    assert len(lines) == 2
    for source in sources:
        (line,) = (line for line in lines if f"failed: {source}: " in line)
        assert line.count(str(source)) == 1 and not line.rstrip().endswith(":")


def check_folder(folder, out, ray):
    log = out.parent / f"log-{ray}"
    done = predict_many(listed_videos(folder, out), out, Brightness(log), workers=2, ray=ray)
    assert {o.source.name: o.status for o in done.outcomes} == {
        "a.mp4": "done", "b.mp4": "done", "bug.mp4": "failed", "damaged.mp4": "failed",
        "dies-once.mp4": "done", "dies.mp4": "failed",
    }  # fmt: skip
    messages = {o.source.name: o.message for o in done.outcomes}
    assert "expected a video" in messages["damaged.mp4"]
    assert "ZeroDivisionError: a mistake of the package (test_many.py" in messages["bug.mp4"]
    assert "its worker died 2 times" in messages["dies.mp4"]
    calls = [line.split()[0] for line in log.read_text().splitlines()]
    assert calls.count("dies.mp4") == calls.count("dies-once.mp4") == 2
    assert done.lost >= 3
    return done


@pytest.mark.slow
def test_a_folder_by_two_processes(folder, tmp_path):
    done = check_folder(folder, tmp_path / "out", ray=False)
    assert done.lost == 3
    rows = list(csv.DictReader((tmp_path / "out" / "summary.csv").open()))
    assert [row["source"] for row in rows] == [str(o.source) for o in done.outcomes]
    assert [row["frames"] for row in rows if row["status"] == "done"] == [str(FRAMES)] * 3
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (len(summary["videos"]), summary["workers_lost"]) == (6, 3)
    assert done.outcomes[0].about["threads"] == max(1, many.cores() // 2)
    # Another call does only what has failed.
    log = tmp_path / "again"
    again = predict_many([o.source for o in done.outcomes][:4], tmp_path / "out", Brightness(log), workers=1)
    assert (again.count("found"), again.count("failed")) == (2, 2)
    assert {line.split()[0] for line in log.read_text().splitlines()} == {"bug.mp4", "damaged.mp4"}


@pytest.mark.slow
def test_ray_writes_the_same_files(folder, tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # of Ray's workers, for `Brightness`
    check_folder(folder, tmp_path / "ray", ray=True)
    check_folder(folder, tmp_path / "processes", ray=False)
    assert files(tmp_path / "ray") == files(tmp_path / "processes")


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    """And what they had begun is done by the next call."""
    sources = [fake.write(tmp_path / f"{i}.mp4", FRAMES) for i in range(2)]
    log, out = tmp_path / "log", tmp_path / "out"
    program = (
        "from pathlib import Path\nfrom test_many import Brightness\n"
        "from poseact.inference.many import predict_many\n"
        "if __name__ == '__main__':\n"
        f"    predict_many([Path(p) for p in {[str(s) for s in sources]!r}], Path({str(out)!r}),\n"
        f"        Brightness(Path({str(log)!r}), wait_s=600), workers=2)\n"
    )
    (tmp_path / "program.py").write_text(program)
    paths = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    parent = subprocess.Popen([sys.executable, "program.py"], cwd=tmp_path, env=os.environ | paths)
    wait_for(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
    parent.kill()
    parent.wait()
    workers = [int(line.split()[1]) for line in log.read_text().splitlines()]
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert predict_many(sources, out, Brightness(log), workers=1).count("done") == 2


@pytest.mark.slow
def test_predictions_by_workers_are_those_of_each_video_alone(tmp_path, capsys):
    """The command: a folder by two processes, and then each video by itself."""
    torch.manual_seed(0)
    args = arguments("tiny", layout="lsp14", width=32, blocks=1)
    weights = tmp_path / "w.safetensors"
    save_weights(weights, build(args)[0], args, {})
    films = tmp_path / "films"
    films.mkdir()
    for i in range(3):
        fake.write(films / f"{i}.mp4", 10 + i)
    options = ["--weights", str(weights), "--only", "csv,json"]
    together, alone = tmp_path / "together", tmp_path / "alone"
    assert main(["predict", str(films), *options, "--out", str(together), "--workers", "2"]) == 0
    assert "3 done, 0 found, 0 failed" in capsys.readouterr().out
    for film in films.iterdir():
        assert main(["predict", str(film), *options, "--out", str(alone / film.name)]) == 0
        for name in ("joints.csv", "keypoints.json"):
            assert (together / film.name / name).read_bytes() == (alone / film.name / name).read_bytes()
    rows = list(csv.DictReader((together / "summary.csv").open()))
    assert [row["frames"] for row in rows] == ["10", "11", "12"]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


def test_ray_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    source = fake.write(tmp_path / "a.mp4", FRAMES)
    with pytest.raises(UserError, match=r"pip install 'poseact\[batch\]'"):
        predict_many([source], tmp_path / "out", Brightness(tmp_path / "log"), ray=True)


@pytest.mark.parametrize("mark", [b"", b"[]", b"{", b'{"about": 3}', b'{"about": {}}'])
def test_a_mark_that_is_damaged(tmp_path, mark):
    path = tmp_path / "out" / "a.mp4" / DONE
    path.parent.mkdir(parents=True)
    path.write_bytes(mark)
    with pytest.raises(UserError, match="delete the folder"):
        predict_many([tmp_path / "a.mp4"], tmp_path / "out", Brightness(tmp_path / "log"))


@pytest.mark.parametrize(
    ("sources", "workers", "named"), [([], 1, "at least one"), (["a.mp4"], 0, "workers")]
)
def test_nothing_to_do(tmp_path, sources, workers, named):
    with pytest.raises(UserError, match=named):
        predict_many(
            [Path(s) for s in sources], tmp_path / "out", Brightness(tmp_path / "log"), workers=workers
        )


def test_an_out_that_is_a_file(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match="folder that can be written"):
        predict_many([tmp_path / "a.mp4"], tmp_path / "out", Brightness(tmp_path / "log"))


class TestFolders:
    def test_by_name(self):
        sources = [Path("x/a.mp4"), Path("x/a.avi"), Path("y/b.mp4")]
        assert result_folders(sources, Path("out")) == [Path("out") / s.name for s in sources]

    def test_names_that_clash(self):
        """Also those that differ in case alone, which some disks do not tell apart."""
        sources = [Path("x/a.mp4"), Path("y/A.mp4"), Path("y/b.mp4")]
        found = result_folders(sources, Path("out"))
        assert len({f.name.casefold() for f in found}) == 3 and found[2] == Path("out/b.mp4")
        assert found[0].name.startswith("a.mp4-") and found[1].name.startswith("A.mp4-")
        assert result_folders(sources[::-1], Path("out")) == found[::-1]

    def test_a_video_listed_twice(self):
        with pytest.raises(UserError, match="found it 2 times"):
            result_folders([Path("x/a.mp4"), Path("x/../x/a.mp4")], Path("out"))


class TestListed:
    def test_a_folder_without_its_own_results(self, tmp_path):
        for name in ("b.mp4", "sub/A.MOV", "out/b.mp4/overlay.mp4", "notes.txt", "sub/._b.mp4", "photo.jpg"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        assert listed_videos(tmp_path, tmp_path / "out") == [tmp_path / "b.mp4", tmp_path / "sub/A.MOV"]

    def test_a_list(self, tmp_path):
        (tmp_path / "list.txt").write_text("a.mp4\n\n  sub/b.avi  \n/far/c.mp4\n")
        found = listed_videos(tmp_path / "list.txt", tmp_path / "out")
        assert found == [tmp_path / "a.mp4", tmp_path / "sub/b.avi", Path("/far/c.mp4")]

    @pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe\x00"])
    def test_a_list_without_videos(self, tmp_path, content):
        (tmp_path / "list.txt").write_bytes(content)
        with pytest.raises(UserError, match=r"list.txt: expected"):
            listed_videos(tmp_path / "list.txt", tmp_path / "out")

    def test_a_folder_without_videos(self, tmp_path):
        with pytest.raises(UserError, match="found none"):
            listed_videos(tmp_path, tmp_path / "out")


def test_overlays_of_earlier_results_are_no_videos(tmp_path):
    for name in ("a.mp4", "overlay.mp4", "results/overlay.mp4", "results/joints.csv", "run/a.mp4/done.json",
                 "run/a.mp4/overlay.mp4"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = listed_videos(tmp_path, tmp_path / "other")
    assert found == [tmp_path / "a.mp4", tmp_path / "overlay.mp4"]


def test_results_may_lie_above_the_videos_or_inside_their_folder(tmp_path):
    """Only what lies in a folder of results inside the source is no video to answer."""
    for place in ("films/a.mp4", "films/out/b.mp4"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(b"x")
    films = tmp_path / "films"
    names = [[p.name for p in listed_videos(films, out)] for out in (films / "out", films, tmp_path)]
    assert names == [["a.mp4"], ["a.mp4", "b.mp4"], ["a.mp4", "b.mp4"]]


def test_a_video_in_the_place_of_its_results_is_left_alone(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(UserError, match=r"a\.mp4: expected a folder, found a file; give another --out"):
        predict_many([tmp_path / "a.mp4"], tmp_path, Brightness(tmp_path / "log"), workers=1)
    assert (tmp_path / "a.mp4").read_bytes() == b"x"


def test_pictures_beside_videos_are_counted(tmp_path):
    for name in ("a.jpg", "b.PNG", ".c.jpg", "d.mp4", "e.txt"):
        (tmp_path / name).touch()
    assert other_pictures(tmp_path) == 2 and other_pictures(tmp_path / "e.txt") == 0
