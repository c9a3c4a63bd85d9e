"""Weight files: what is written is what is read, and anything else is refused."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from poseact.errors import UserError
from poseact.network import arguments, build
from poseact.skeleton import PA16
from poseact.weights import load_model, load_weights, save_weights
from poseact.weights.files import checksum

CLIPS = {"actions": 3, "frames": 4}
LABELS = {"action_labels": json.dumps(["run", "walk", "wave"]), "licence": "CC0"}


@pytest.fixture
def saved(tmp_path):
    """A small action network and the file it was saved to."""
    torch.manual_seed(0)
    args = arguments("tiny", **CLIPS)
    model, _ = build(args)
    save_weights(tmp_path / "w.safetensors", model, args, LABELS)
    return model, args, tmp_path / "w.safetensors"


def refused(path, named):
    with pytest.raises(UserError) as caught:
        load_weights(path)
    message = str(caught.value)
    assert "\n" not in message
    assert all(text in message for text in (path.name, "expected", named)), message


def rewrite(path, tensors=None, **metadata):
    """Write the file again with other tensors, or metadata (None: without that entry)."""
    with safe_open(path, "pt") as file:
        header = file.metadata()
    tensors = tensors or load_file(path)
    header = {**header, "sha256": checksum(tensors), **metadata}
    save_file(tensors, path, {k: v for k, v in header.items() if v is not None})


def test_round_trip(saved):
    model, args, path = saved
    file = load_weights(path)
    assert (file.arguments, file.layout, file.action_labels) == (args, PA16, ("run", "walk", "wave"))
    assert file.metadata["licence"] == "CC0"
    assert json.loads(file.metadata["joints"]) == list(PA16.joints)
    assert not file.model.training
    expected, found = model.state_dict(), file.model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_load_model_says_what_it_is(saved):
    model = load_model(str(saved[2]))
    assert (model.layout, model.action_labels, model.arguments) == (PA16, ("run", "walk", "wave"), saved[1])


def test_half_precision_becomes_float32(saved):
    model, args, path = saved
    reference = model.state_dict()["stem.down1.conv.weight"].clone()
    save_weights(path, model.bfloat16(), args, {})
    state = load_weights(path).model.state_dict()
    assert all(t.dtype in (torch.float32, torch.int64) for t in state.values())
    torch.testing.assert_close(state["stem.down1.conv.weight"], reference, atol=0, rtol=1 / 128)


def test_channels_last_is_saved_alike(saved):
    model, args, path = saved
    before = load_weights(path).metadata["sha256"]
    save_weights(path, model.to(memory_format=torch.channels_last), args, {})
    assert load_weights(path).metadata["sha256"] == before


def test_failed_writing_keeps_the_old_file(saved, monkeypatch):
    model, args, path = saved
    before = path.read_bytes()

    def full(tensors, name, header):
        name.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("poseact.weights.files.save_file", full)
    with pytest.raises(UserError, match="No space left"):
        save_weights(path, model, args, {})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.9999])
def test_truncated(saved, share):
    content = saved[2].read_bytes()
    saved[2].write_bytes(content[: int(share * len(content))])
    refused(saved[2], "cut short")


def test_tampered_bytes(saved):
    content = bytearray(saved[2].read_bytes())
    content[-1000] ^= 1
    saved[2].write_bytes(content)
    refused(saved[2], "sha256")


def test_foreign_files(tmp_path):
    path = tmp_path / "w.safetensors"
    refused(path, "none")
    path.write_text("<html>not found</html>" * 99)
    refused(path, "cut short")
    torch.save({"a": torch.zeros(2)}, path)
    refused(path, "cut short")
    save_file({"a": torch.zeros(2)}, path)
    refused(path, "format")


TENSORS = {
    "missing": lambda t: t.pop("stem.down1.bn.bias"),
    "extra": lambda t: t.update({"stem.more": torch.zeros(2)}),
    "shape": lambda t: t.update({"stem.down1.bn.bias": torch.zeros(3)}),
    "dtype": lambda t: t.update({"stem.down1.bn.bias": t["stem.down1.bn.bias"].long()}),
}


@pytest.mark.parametrize("case", TENSORS)
def test_wrong_tensors(saved, case):
    tensors = load_file(saved[2])
    TENSORS[case](tensors)
    rewrite(saved[2], tensors)
    refused(saved[2], "stem.")


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        ({"format": "pt"}, "format"),
        ({"sha256": None}, "sha256"),
        ({"network": None}, "network"),
        ({"network": "{"}, "JSON"),
        ({"network": "[1]"}, "network"),
        ({"network": '{"layout": "unheard"}'}, "unheard"),
        ({"network": '{"layout": "pa16", "wings": 2}'}, "wings"),
        ({"network": '{"layout": "pa16", "blocks": "8"}'}, "network"),
        ({"joints": '["head"]'}, "joints"),
        ({"action_labels": '["run"]'}, "action_labels"),
        ({"action_labels": "3"}, "action_labels"),
    ],
)
def test_bad_metadata(saved, metadata, named):
    rewrite(saved[2], **metadata)
    refused(saved[2], named)


def test_presets_and_unknown_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = load_model("tiny")
    assert (model.layout, model.action_labels, model.training) == (PA16, (), False)
    assert model.arguments == arguments("tiny")
    with pytest.raises(UserError, match=r"released-ntu.*tiny"):
        load_model("huge")


def test_files_are_as_readable_to_others_as_any(saved, tmp_path):
    (tmp_path / "plain").write_text("")
    assert saved[2].stat().st_mode == (tmp_path / "plain").stat().st_mode
