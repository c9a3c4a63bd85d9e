"""The importer of the published Keras files: every layout it must read, and what it refuses."""

import copy
import re

import h5py
import numpy as np
import pytest
import torch

from poseact.errors import UserError
from poseact.network import PRESETS
from poseact.weights import convert, load_model, load_weights, read_keras

# A file in memory: [(group, [(weight name, array), ...]), ...], in order.


def read_h5(path):
    with h5py.File(path, "r") as file:
        return [
            (n, [(w, file[n][w][()]) for w in names(file[n], "weight_names")])
            for n in names(file, "layer_names")
        ]


def names(node, attribute):
    return [name.decode() if isinstance(name, bytes) else name for name in node.attrs[attribute]]


def write_h5(path, groups):
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name, _ in groups]
        for name, weights in groups:
            node = file.create_group(name)
            node.attrs["weight_names"] = [weight.encode() for weight, _ in weights]
            for weight, array in weights:
                node.create_dataset(weight, data=array)


def kind(name):
    return name.rpartition("/")[2].removesuffix(":0")


def interleaved(groups):
    """Each layer's beta, mean and variance right after its kernel."""

    def group(weights):
        statistics = {
            k: iter([w for w in weights if kind(w[0]) == k]) for k in ("moving_mean", "moving_variance")
        }
        result, pending = [], []
        for weight in weights:
            if kind(weight[0]) in ("kernel", "pointwise_kernel"):
                pending.append(weight[0])
            if kind(weight[0]) == "beta":
                widths = {w[0]: w[1].shape[-1] for w in result}
                owner = next(n for n in pending if widths[n] == len(weight[1]))
                pending.remove(owner)
                at = list(widths).index(owner) + 1
                result[at:at] = [weight, *(next(s) for s in statistics.values())]
            elif not kind(weight[0]).startswith("moving"):
                result.append(weight)
        assert len(result) == len(weights)
        return result

    return [(name, group(weights)) for name, weights in groups]


AUTOMATIC = re.compile(
    r"(conv1d|conv2d|dense|batch_normalization|separable_conv2d|lambda|add|input)(?:_(\d+))?"
)


def renumbered(groups):
    """Every automatic name gets another number, in falling order, and no name has its ':0'."""

    def other(name):
        found = AUTOMATIC.fullmatch(name)
        return f"{found[1]}_{900 - int(found[2] or 0)}" if found else name

    def weight(name):
        owner, _, last = name.rpartition("/")
        return f"{other(owner)}/{last.removesuffix(':0')}"

    return [(other(name), [(weight(w), array) for w, array in weights]) for name, weights in groups]


@pytest.mark.parametrize("name", ["pose2d", "pose3d", "action2d", "action3d"])
@pytest.mark.parametrize("edit", [interleaved, renumbered])
def test_other_layouts_give_the_same_weights(name, edit, keras_files, tmp_path):
    groups = read_h5(keras_files[name])
    assert [w[0] for g in edit(groups) for w in g[1]] != [w[0] for g in groups for w in g[1]]
    write_h5(tmp_path / "edited.h5", edit(groups))
    plain, arguments, _ = read_keras(keras_files[name])
    edited, edited_arguments, _ = read_keras(tmp_path / "edited.h5")
    assert edited_arguments == arguments
    expected, found = plain.state_dict(), edited.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_weights_land_where_they_should(keras_files):
    """Two tensors by hand: axes of a kernel, of a depth-wise kernel, and a context grid."""
    groups = dict(read_h5(keras_files["pose2d"]))
    state = read_keras(keras_files["pose2d"])[0].state_dict()
    stem, separable = dict(groups["Stem"]), dict(groups["SepConv1"])
    assert state["stem.long.1.conv.weight"][3, 7, 4, 0] == stem["conv2d_7/kernel:0"][4, 0, 7, 3]
    depthwise = separable["separable_conv2d_4/depthwise_kernel:0"]
    assert state["blocks.0.separable.depthwise.weight"][9, 0, 1, 3] == depthwise[1, 3, 9, 0]
    np.testing.assert_array_equal(
        state["reader.context_soft_argmax.y"], np.linspace(0, 1, 32, dtype=np.float32)
    )


# Published numbers of blocks.


def numbered(entries, k):
    return [{**e, "name": e["name"].replace("/", f"_block{k}/")} for e in entries]


def more_blocks(manifest, blocks):
    """The manifest with ``blocks`` prediction blocks instead of two."""
    manifest = copy.deepcopy(manifest)
    groups = []
    for group in manifest["groups"]:
        name = group["layer"]
        if name == "td_Model1":
            group["weights"] = more_blocks_nested(group["weights"], blocks)
        if re.fullmatch("(rBlock|SepConv|RegMap)2", name):
            group["layer"] = name[:-1] + str(blocks)
        groups.append(group)
        if name == "fReMap1":
            middle = [g for g in groups if re.fullmatch("(rBlock|SepConv|RegMap|fReMap)1", g["layer"])]
            for k in range(2, blocks):
                groups += [{"layer": g["layer"][:-1] + str(k), "weights": g["weights"]} for g in middle]
    return {**manifest, "groups": groups}


def more_blocks_nested(weights, blocks):
    trained = [w for w in weights if w["kind"] not in ("mean", "variance")]
    moving = [w for w in weights if w["kind"] in ("mean", "variance")]
    # The first separable convolution (3 + 2), then re-injection to next separable, the last maps.
    repeated = [w for k in range(blocks - 1) for w in numbered(trained[3:-1], k)]
    statistics = [w for k in range(blocks - 1) for w in numbered(moving[2:], k)]
    return [*trained[:3], *repeated, trained[-1], *moving[:2], *statistics]


def millions(*modules):
    return sum(p.numel() for module in modules for p in module.parameters()) / 1e6


@pytest.mark.parametrize(
    ("name", "preset", "blocks", "pose", "by_pose", "by_appearance"),
    [
        ("pose2d", "mpii", 8, 14.67, None, None),
        ("pose3d", "human36m", 8, 16.61, None, None),
        ("action2d", "penn-action", 4, 7.84, 0.853, 4.063),
        ("action3d", "ntu", 4, 8.29, 3.804, 4.789),
    ],
)
def test_published_sizes(
    name, preset, blocks, pose, by_pose, by_appearance, make_weights, manifests, tmp_path
):
    make_weights.write(more_blocks(manifests[name], blocks), tmp_path / "in.h5")
    convert(tmp_path / "in.h5", tmp_path / "out.safetensors")
    file = load_weights(tmp_path / "out.safetensors")
    assert file.metadata["preset"] == preset
    assert file.arguments["blocks"] == blocks == len(file.model.blocks)
    assert PRESETS[preset].items() <= file.arguments.items()
    assert len(file.action_labels) == file.arguments.get("actions", 0)
    model = file.model
    assert millions(model.stem, model.blocks) == pytest.approx(pose, abs=0.005)
    frames = torch.zeros(1, 3, 64, 64)
    if by_pose:
        assert millions(model.pose_recognition) == pytest.approx(by_pose, abs=0.0005)
        assert millions(model.appearance_recognition) == pytest.approx(by_appearance, abs=0.0005)
        frames = torch.zeros(1, file.arguments["frames"], 3, 64, 64)
    with torch.inference_mode():
        output = model(frames)
    assert output.pose.shape[-2:] == (len(file.layout), 3 if "depth_maps" in file.arguments else 2)
    assert torch.isfinite(output.pose).all()


# Files that must be refused.


def change(groups, group, weight, edit):
    """Replace the first array of ``group`` whose name holds ``weight``."""
    weights = next(weights for name, weights in groups if name == group)
    at = next(i for i, (name, _) in enumerate(weights) if weight in name)
    weights[at] = (weights[at][0], edit(weights[at][1].copy()))


def drop(groups, group):
    groups[:] = [entry for entry in groups if entry[0] != group]


def swap_groups(groups, a, b):
    order = {a: b, b: a}
    groups[:] = [(order.get(name, name), weights) for name, weights in groups]


def swap_weights(groups, group, a, b):
    """Two entries of a group's weight_names change places."""
    weights = next(weights for name, weights in groups if name == group)
    order = [name for name, _ in weights]
    i, j = order.index(a), order.index(b)
    weights[i], weights[j] = weights[j], weights[i]


def extra(groups):
    groups.append(("dense_9", [("dense_9/kernel:0", np.zeros((3, 3), np.float32))]))


def extra_weight(groups):
    weights = next(weights for name, weights in groups if name == "Stem")
    weights.append(("more/beta:0", np.zeros(8, np.float32)))


def bias(groups):
    groups.append(("dense_9", [("dense_9/bias:0", np.zeros(3, np.float32))]))


def set_at(index, value):
    def edit(array):
        array[index] = value
        return array

    return edit


BAD = {
    "missing_group": ("pose2d", lambda g: drop(g, "rBlock2"), "rBlock2"),
    "missing_stem": ("pose2d", lambda g: drop(g, "Stem"), "Stem"),
    "missing_maps": ("pose2d", lambda g: drop(g, "RegMap2"), "RegMap2"),
    "missing_grid": ("pose3d", lambda g: drop(g, "zSAM"), "RegMap1"),
    "missing_sum": ("pose2d", lambda g: drop(g, "Agg"), "Agg"),
    "extra_group": ("pose2d", extra, "dense_9"),
    "extra_weight": ("pose2d", extra_weight, "Stem"),
    "unknown_kind": ("pose2d", bias, "bias"),
    "half_a_block": ("pose2d", lambda g: drop(g, "fReMap1"), "fReMap1"),
    "shape": ("pose2d", lambda g: change(g, "rBlock1", "kernel", lambda a: a[..., :-1]), "(1, 1, 576, 288)"),
    "grid_shape": ("pose2d", lambda g: change(g, "sSAM", "pointwise", lambda a: a[..., :-1]), "sSAM"),
    "type": ("pose2d", lambda g: change(g, "RegMap1", "kernel", lambda a: a.astype(np.int32)), "int32"),
    "not_finite": (
        "pose2d",
        lambda g: change(g, "RegMap1", "kernel", set_at((0, 0, 0, 0), np.nan)),
        "RegMap1",
    ),
    "mixing": ("pose2d", lambda g: change(g, "sSAM", "pointwise", set_at((0, 0, 1, 2), 0.5)), "identity"),
    "ramp": ("pose2d", lambda g: change(g, "cSAM", "depthwise", set_at((3, 4, 5, 0), 0.5)), "ramp"),
    "x_and_y": (
        "pose2d",
        lambda g: swap_weights(
            g, "sSAM", "separable_conv2d/depthwise_kernel:0", "separable_conv2d_1/depthwise_kernel:0"
        ),
        "sSAM",
    ),
    "depth_ramp": ("pose3d", lambda g: change(g, "zSAM", "kernel", set_at((0, 0, 1), 0.5)), "ramp"),
    "context_sum": ("pose2d", lambda g: change(g, "Agg", "kernel", set_at((0, 0), 2.0)), "sum"),
    "variance": ("pose2d", lambda g: change(g, "Stem", "moving_variance", set_at(0, -1.0)), "variance"),
    "swapped_groups": ("pose2d", lambda g: swap_groups(g, "rBlock1", "rBlock2"), "rBlock1"),
    "swapped_kinds": ("pose2d", lambda g: swap_groups(g, "Stem", "rBlock1"), "Stem"),
    "swapped_layers": (
        "pose2d",
        lambda g: swap_weights(g, "Stem", "batch_normalization_4/beta:0", "batch_normalization_7/beta:0"),
        "Stem",
    ),
    "missing_stream": ("action2d", lambda g: drop(g, "PoseAR"), "PoseAR"),
    "missing_model": ("action2d", lambda g: drop(g, "td_Model1"), "Model"),
    "missing_merge": ("action2d", lambda g: drop(g, "separable_conv2d_7"), "appearance"),
    "joints": ("pose2d", lambda g: change(g, "sSAM", "depthwise", lambda a: a[:, :, :15]), "15"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused(case, keras_files, tmp_path):
    name, edit, named = BAD[case]
    groups = read_h5(keras_files[name])
    edit(groups)
    write_h5(tmp_path / "bad.h5", groups)
    refused(tmp_path, named)


def refused(tmp_path, *named):
    with pytest.raises(UserError) as caught:
        convert(tmp_path / "bad.h5", tmp_path / "out.safetensors")
    message = str(caught.value)
    assert "\n" not in message
    assert all(text in message for text in ("bad.h5", "expected", "poseact weights download", *named)), (
        message
    )
    assert [path.name for path in tmp_path.iterdir()] == ["bad.h5"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated(share, keras_files, tmp_path):
    whole = keras_files["pose2d"].read_bytes()
    (tmp_path / "bad.h5").write_bytes(whole[: int(share * len(whole))])
    refused(tmp_path)


def test_foreign_h5(tmp_path):
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        file["data"] = np.zeros(3)
    refused(tmp_path, "layer_names")


@pytest.mark.parametrize("listed", ["nothing", "layer", "weight"])
def test_lists_that_lie(listed, tmp_path):
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        file.attrs["layer_names"] = [] if listed == "nothing" else [b"Stem"]
        if listed == "weight":
            file.create_group("Stem").attrs["weight_names"] = [b"a/kernel:0"]
    refused(tmp_path)


def test_not_h5(tmp_path):
    (tmp_path / "bad.h5").write_text("404: not found\n" * 99)
    refused(tmp_path)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"none\.h5: expected a Keras"):
        convert(tmp_path / "none.h5", tmp_path / "out.safetensors")


def test_output_must_be_safetensors(keras_files, tmp_path):
    with pytest.raises(UserError, match="safetensors"):
        convert(keras_files["pose2d"], tmp_path / "out.bin")


def test_h5_is_not_loaded(keras_files):
    with pytest.raises(UserError, match="poseact weights convert"):
        load_model(keras_files["pose2d"])
