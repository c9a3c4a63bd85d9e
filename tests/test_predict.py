import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from poseact.cli import main
from poseact.data.images import read_image
from poseact.export.tables import _poses
from poseact.geometry import Box, whole_image_box
from poseact.inference.files import predict_pictures
from poseact.inference.predictor import View, predict
from poseact.inference.run import RunOptions
from poseact.inference.stream import Options
from poseact.network import arguments, build
from poseact.skeleton import LSP14, PA16
from poseact.structures import Prediction
from poseact.visual.overlay import LEFT, RIGHT, draw_prediction
from poseact.weights import load_model, save_weights

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build(arguments("tiny", layout="lsp14", width=32))[0].eval()


@pytest.fixture
def weight_file(network, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(path, network, arguments("tiny", layout="lsp14", width=32), {})
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i, shape in enumerate([(50, 80, 3), (120, 90, 3), (64, 64)]):
        cv2.imwrite(str(folder / f"{i}.png"), rng.integers(0, 256, shape, np.uint8))
    return folder


@pytest.fixture
def boxes(tmp_path):
    """The whole of each picture of the folder."""
    path = tmp_path / "boxes.csv"
    lines = ["frame,person,x,y,width,height", "0,1,0,0,80,50", "2,1,0,0,90,120", "3,1,0,0,64,64"]
    path.write_text("\n".join(lines))
    return path


def prediction(points, visibility, layout=PA16):
    return Prediction("x.png", points, visibility, None, layout, Box((100.0, 100.0), 200.0))


def test_the_chain_back_to_pixels(network):
    """The same person moved by whole pixels in a larger image is found moved by as much."""
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (96, 96, 3), np.uint8)
    large = np.zeros((200, 200, 3), np.uint8)
    large[30:126, 60:156] = image
    views = [View("a", image), View("b", large, Box((60 + 47.5, 30 + 47.5), 96.0))]
    a, b = (blocks[-1] for blocks in predict(network, LSP14, views, CPU))
    assert a.box == whole_image_box(96, 96)
    assert np.allclose(b.joints - a.joints, [60, 30], atol=1e-3)
    assert np.allclose(a.visibility, b.visibility, atol=1e-5)


def test_every_block_is_answered(network):
    image = np.zeros((40, 60, 3), np.uint8)
    many = list(predict(network, LSP14, [View(str(i), image) for i in range(19)], CPU))
    assert len(many) == 19 and all(len(blocks) == 2 for blocks in many)
    assert [blocks[0].name for blocks in many] == [str(i) for i in range(19)]


def test_drawn_joints_are_those_of_the_json():
    """The centroid of each drawn disc is the joint that the JSON holds."""
    layout = PA16
    rng = np.random.default_rng(0)
    canvas = np.full((300, 300, 3), 40, np.uint8)
    for joint in range(len(layout)):
        visibility = np.zeros(16)
        visibility[joint] = 1
        points = rng.uniform(30, 270, (16, 2))
        p = prediction(points, visibility)
        (entry,) = _poses(p.joints[None], p.visibility[None])
        read = np.array(entry["keypoints"]).reshape(16, 3)
        drawn = np.abs(draw_prediction(canvas, p).astype(int) - 40).sum(-1)
        rows, columns = np.nonzero(drawn)
        centroid = np.array([columns.mean(), rows.mean()])
        assert read[joint, 2] == 2 and (read[:, 2] == 2).sum() == 1
        assert np.abs(centroid - read[joint, :2]).max() < 0.3


def test_sides_have_their_colours():
    points = np.full((16, 2), 50.0)
    points[PA16.index("right_wrist")], points[PA16.index("left_wrist")] = (20, 20), (80, 80)
    visibility = np.zeros(16)
    visibility[[PA16.index("right_wrist"), PA16.index("left_wrist")]] = 1
    drawn = draw_prediction(np.zeros((100, 100, 3), np.uint8), prediction(points, visibility))
    assert tuple(drawn[20, 20]) == RIGHT and tuple(drawn[80, 80]) == LEFT


def test_joints_outside_the_crop_are_not_drawn():
    image = np.zeros((50, 50, 3), np.uint8)
    assert (draw_prediction(image, prediction(np.full((16, 2), 25.0), np.zeros(16))) == 0).all()


def test_folder(network, weight_file, folder, boxes, tmp_path):
    (folder / "0a.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not an image")
    options, out = RunOptions(Options(precision="fp32"), boxes), tmp_path / "out"
    summary = predict_pictures(folder, load_model(weight_file), out, options)
    assert len(summary.messages) == 1 and "0a.jpg" in summary.messages[0]
    content = json.loads((out / "keypoints.json").read_text())
    assert [i["file_name"] for i in content["images"]] == ["0.png", "0a.jpg", "1.png", "2.png"]
    assert (content["images"][0]["width"], content["images"][0]["height"]) == (80, 50)
    assert content["categories"][0]["keypoints"] == list(LSP14.joints)
    assert [a["image_id"] for a in content["annotations"]] == [1, 3, 4]
    for annotation in content["annotations"]:
        name = content["images"][annotation["image_id"] - 1]["file_name"]
        blocks = next(predict(network, LSP14, [View("x", read_image(folder / name))], CPU))
        read = np.array(annotation["keypoints"]).reshape(14, 3)
        assert np.allclose(read[:, :2], blocks[-1].joints, atol=2e-3)
        assert read_image(out / f"{name}.png").ndim == 3


def test_one_image_by_the_command_line(weight_file, folder, boxes, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["predict", str(folder / "0.png"), "--weights", str(weight_file), "--out", str(out)]
    code = main([*command, "--boxes", str(boxes)])
    assert code == 0 and (out / "0.png.png").exists() and (out / "keypoints.json").exists()
    assert "device: " in capsys.readouterr().out


@pytest.mark.parametrize("what", ["missing", "empty", "unreadable", "text"])
def test_bad_sources(weight_file, tmp_path, capsys, what):
    source = tmp_path / "source.jpg"
    if what == "empty":
        source.mkdir()
    elif what == "unreadable":
        source.write_bytes(b"\xff\xd8\xff cut short")
    elif what == "text":
        source.write_text("hello")
    out = tmp_path / "out"
    code = main(["predict", str(source), "--weights", str(weight_file), "--out", str(out)])
    error = capsys.readouterr().err
    assert code == 2 and str(source) in error and error.count("\n") == 1
    assert not out.exists() or not list(Path(out).iterdir())
