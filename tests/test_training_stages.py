"""What stages train and leave alone, what the action heads read, and chains of stages."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import lspet, mpii, penn_action
from rich.console import Console
from safetensors.torch import load_file

from poseact.data import open_data
from poseact.data.augment import Augmentation, draw_transform, example, placed
from poseact.data.clips import draw_clip
from poseact.data.loading import Examples, stacked, training_loader
from poseact.data.synthetic import SyntheticVideos
from poseact.errors import UserError
from poseact.export.network import ExportedNetwork
from poseact.geometry import Box, crop_transform
from poseact.network import arguments, build, to_input
from poseact.skeleton import LAYOUTS, LSP14, MPII16, PA16, PA17, convert
from poseact.training import checkpoint
from poseact.training import kept as kept_module
from poseact.training.epoch import step
from poseact.training.kept import KeptAnswers, PosesAlone, _about_middle, fit_errors, keep_answers, moved
from poseact.training.loop import Run, train_chain
from poseact.training.losses import actions_loss
from poseact.training.optimisation import ACTION_PARTS, training_mode
from poseact.training.recipe import NetworkSpec, read_chain
from poseact.training.start import open_network
from poseact.weights import load_weights, save_weights

QUIET = Console(quiet=True)
SMALL = [
    "network.size=32", "training.batch=4", "training.epochs=2", "training.workers=0",
    "training.precision=fp32", "training.sample_every=0", "data.train.penn-action.split=all",
    "data.validation.split=all", "data.validation.count=2",
]  # fmt: skip
FIRST = ["penn-pose:network.width=16", "penn-pose:network.blocks=1", "network.frames=4"]


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    mpii.write_released(folder / "mpii", mpii.truth())
    penn_action.write(folder / "penn", clips=4)
    return [f"roots.mpii={folder / 'mpii'}", f"roots.penn-action={folder / 'penn'}"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network with action heads for Penn Action."""
    torch.manual_seed(0)
    args = arguments("penn-action", "paper", width=16, blocks=1, size=32, frames=4)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(path, build(args)[0], args, {})
    return path


def stage(name, roots, weights, tmp_path, *overrides):
    """A run of one stage that starts from ``weights``."""
    chain = read_chain(name, [*roots, *SMALL, f"network.weights={weights}", *overrides])
    return Run(chain[-1], tmp_path / "run", QUIET)


def take_steps(run, count=3):
    spec = run.recipe.training
    training_mode(run.network)
    examples = Examples(run.sets.train, run.layout, 32, run.recipe.augmentation, 0, 0, run.frames)
    answers = []
    for batch in list(training_loader(examples, run.sets.shares, spec.batch, 0))[:1] * count:
        answers.append(step(run, batch)[0])
    return answers


def tensors(run):
    """Weights and batch-norm statistics of the pose part, and of the action heads."""
    state = {name: x.clone() for name, x in run.network.state_dict().items()}
    heads = {name for name in state if name.split(".")[0] in ACTION_PARTS}
    return {n: state[n] for n in state if n not in heads}, {n: state[n] for n in heads}


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_fine_tuning_changes_the_stem_through_the_action_loss_alone(roots, weights, tmp_path):
    run = stage("penn-finetune.yaml", roots, weights, tmp_path, "training.learning_rate=1e-2")
    before, _ = tensors(run)
    ((loss, pose, action), *_) = take_steps(run, 1)
    assert pose == 0 and loss == action > 0
    after, _ = tensors(run)
    moved = changed(before, after)
    filters = {
        n for n, _ in run.network.named_parameters() if n.startswith("stem") and n.endswith("conv.weight")
    }
    assert filters and filters <= moved


def test_frozen_poses_stay_as_they_are_batch_norm_too(roots, weights, tmp_path):
    run = stage("penn-action.yaml", roots, weights, tmp_path)
    before = tensors(run)
    take_steps(run)
    after = tensors(run)
    assert not changed(before[0], after[0])
    assert {"running_mean", "running_var", "bias", "weight"} <= {
        name.split(".")[-1] for name in changed(before[1], after[1])
    }
    assert not any(p.requires_grad or p.grad is not None for p in run.network.stem.parameters())


def test_frozen_heads_stay_as_they_are(roots, weights, tmp_path):
    """Poses alone, from stills, in a network that has action heads."""
    run = stage(
        "penn-joint.yaml",
        roots,
        weights,
        tmp_path,
        "training.trains=pose",
        "network.preset=null",
        "network.variant=null",
    )
    before = tensors(run)
    assert all(action == 0 < pose for _, pose, action in take_steps(run))
    after = tensors(run)
    assert not changed(before[1], after[1]) and changed(before[0], after[0])


def test_stills_and_clips_are_learnt_in_one_batch(roots, weights, tmp_path):
    run = stage("penn-joint.yaml", roots, weights, tmp_path, "network.preset=null", "network.variant=null")
    before = tensors(run)
    (_, pose, action), *_ = answers = take_steps(run, 6)
    assert pose > 0 and action > 0
    assert answers[-1][0] < answers[0][0]
    after = tensors(run)
    assert changed(before[0], after[0]) and changed(before[1], after[1])


class Recorded:
    """The network, with what it is given written down."""

    def __init__(self, network):
        self.network, self.given = network, []

    def __getattr__(self, name):
        return getattr(self.network, name)

    def act(self, stills, features, lead, *given):
        self.given.append(given)
        return self.network.act(stills, features, lead, *given)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_given_poses_are_the_annotated_ones_with_noise_where_asked_for(roots, weights, tmp_path, noise):
    noisy = ["training.poses=noisy", f"training.pose_noise={noise}"] if noise else []
    run = stage("penn-given.yaml", roots, weights, tmp_path, *noisy)
    run.network = Recorded(run.network)
    examples = Examples(run.sets.train, run.layout, 32, None, 0, 0, run.frames)
    batch = next(iter(training_loader(examples, [1], 4, 0)))
    step(run, batch)
    step(run, batch)
    (poses, visibility), (again, _) = run.network.given
    labels = batch["clips"]
    seen = labels["visible"] > 0
    assert torch.equal(visibility, labels["visible"]) and torch.equal(poses, again)
    difference = poses - labels["pose"][..., :2]
    assert (difference[~seen] == 0).all()
    assert float(difference[seen].std()) == pytest.approx(noise, rel=0.15)


def test_heads_for_other_labels_are_new_and_the_poses_are_kept(roots, tmp_path):
    """As in folder.yaml: published weights, one's own actions."""
    args = arguments("penn-action", "paper", width=16, blocks=1, size=32, frames=4)
    old = build(args)[0]
    path = tmp_path / "old.safetensors"
    save_weights(path, old, args, {"action_labels": str([f"a{i}" for i in range(15)]).replace("'", '"')})
    run = stage("penn-action.yaml", roots, path, tmp_path)
    theirs = old.state_dict()
    pose, heads = tensors(run)
    assert all(torch.equal(theirs[name], x) for name, x in pose.items())
    assert any(not torch.equal(theirs[name], x) for name, x in heads.items())


@pytest.mark.parametrize(("layout", "same_blocks"), [("lsp14", 2), ("pa16", 1)])
def test_weights_for_other_joints_and_without_depth(roots, tmp_path, layout, same_blocks):
    """Every joint that both have is where it was, half-way in depth; the last block also saw new joints."""
    torch.manual_seed(0)
    args = arguments("small", layout="lsp14", width=16, blocks=2, size=32)
    old, _ = build(args)
    for name, x in old.named_parameters():
        if name.endswith("heat_maps.weight"):
            x.data.mul_(3000)  # so that joints are somewhere
    save_weights(tmp_path / "old.safetensors", old, args, {})
    (recipe,) = read_chain("mpii.yaml", [*roots, *(s for s in SMALL if "penn" not in s)])
    spec = NetworkSpec(weights=str(tmp_path / "old.safetensors"), layout=layout, depth_maps=8)
    network, source = open_network(replace(recipe, network=spec), (), None)
    assert source == str(tmp_path / "old.safetensors") and network.arguments["depth_maps"] == 8
    image = torch.rand(2, 3, 32, 32)
    before, after = old.eval()(image), network.eval()(image)
    rows = [LAYOUTS[layout].index(joint) for joint in LSP14.joints]
    assert float(before.pose.detach().std((0, 1)).min()) > 0.01
    for k in range(same_blocks):
        mine, theirs = after.blocks[k].pose[:, rows], before.blocks[k].pose
        assert (mine[..., :2] - theirs).abs().max() < 1e-5 and (mine[..., 2] - 0.5).abs().max() < 1e-5
        assert (after.blocks[k].visibility[:, rows] - before.blocks[k].visibility).abs().max() < 1e-5


def poses_before_and_in_pa16(args, roots, tmp_path):
    """What a new network answers as PA16, begun from one with ``args``, and what that one answers."""
    torch.manual_seed(0)
    old, _ = build(args)
    for name, x in old.named_parameters():
        if name.endswith("heat_maps.weight"):
            x.data.mul_(3000)  # so that joints are somewhere
    save_weights(tmp_path / "old.safetensors", old, args, {})
    (recipe,) = read_chain("mpii.yaml", [*roots, *(s for s in SMALL if "penn" not in s)])
    spec = NetworkSpec(weights=str(tmp_path / "old.safetensors"), layout="pa16")
    network, _ = open_network(replace(recipe, network=spec), (), None)
    image = torch.rand(2, 3, 32, 32)
    return network.eval()(image).pose, old.eval()(image).pose


def test_weights_for_other_joints_keep_their_depths(roots, tmp_path):
    args = arguments("small", layout="pa17", width=16, blocks=1, size=32, depth_maps=8)
    mine, theirs = poses_before_and_in_pa16(args, roots, tmp_path)
    both = [joint for joint in PA16.joints if joint in PA17.joints]
    mine = mine[:, [PA16.index(joint) for joint in both]]
    theirs = theirs[:, [PA17.index(joint) for joint in both]]
    assert len(both) >= 14 and (mine - theirs).abs().max() < 1e-5
    assert float(theirs[..., 2].detach().std()) > 0.01


def test_maps_of_context_move_with_their_joints(roots, tmp_path):
    args = arguments("mpii", layout="mpii16", width=16, blocks=2, size=32, context=2)
    mine, theirs = poses_before_and_in_pa16(args, roots, tmp_path)
    rows = [MPII16.index(joint) for joint in PA16.joints]
    assert rows != sorted(rows)
    theirs = theirs[:, rows]
    assert (mine - theirs).abs().max() < 1e-5 and float(theirs.detach().std((0, 1)).min()) > 0.01


@pytest.mark.parametrize(("change", "message"), [
    ("network.width=32", "leave out network.width"),
    ("network.blocks=2", "leave out network.width"),
    ("network.frames=6", "multiples of 4"),
    ("network.weights=nothing.safetensors", "nothing.safetensors"),
    ("data.validation={set: mpii, split: val}", "to score actions"),
])  # fmt: skip
def test_what_does_not_fit_the_weights(roots, weights, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        stage("penn-action.yaml", roots, weights, tmp_path, change)


def test_other_joints_and_another_width_do_not_fit_either(roots, weights, tmp_path):
    with pytest.raises(UserError, match=r"leave out network.width"):
        stage("penn-action.yaml", roots, weights, tmp_path, "network.width=32", "network.layout=pa20")


def test_other_joints_leave_the_heads_of_actions_as_they_are(roots, weights, tmp_path):
    """Layers of the heads have the names of those around the heat maps, but are of actions."""
    run = stage("penn-action.yaml", roots, weights, tmp_path, "network.layout=pa20")
    before, after = load_weights(weights).model.state_dict(), run.network.state_dict()
    heads = [name for name in after if name.split(".")[0] in ACTION_PARTS]
    assert heads and all(torch.equal(before[name], after[name]) for name in heads)


def test_heads_of_other_weights_are_taken_as_they_are(roots, weights, tmp_path):
    """As after a stage for poses alone, which drops them."""
    torch.manual_seed(1)
    poses = tmp_path / "poses.safetensors"
    args = {**load_weights(weights).arguments}
    alone = {key: args[key] for key in args.keys() - {"actions", "frames", "pose_stream"}}
    save_weights(poses, build(alone)[0], alone, {})
    run = stage("penn-action.yaml", roots, poses, tmp_path, f"network.heads={weights}", "network.frames=4")
    pose, heads = tensors(run)
    assert heads and all(torch.equal(load_file(weights)[name], x) for name, x in heads.items())
    assert all(torch.equal(load_file(poses)[name], x) for name, x in pose.items() if name in load_file(poses))
    metadata = load_weights(run.export("w.safetensors")).metadata
    assert metadata["started_from"].startswith("poses.safetensors, sha256 ")
    assert metadata["heads_from"].startswith("w.safetensors, sha256 ")
    assert str(weights) not in metadata["overrides"]
    labelled = tmp_path / "labelled.safetensors"
    save_weights(
        labelled,
        load_weights(weights).model,
        args,
        {"action_labels": str([*"abcdefghijklmno"]).replace("'", '"')},
    )
    given = (f"network.heads={weights}", "network.frames=4")
    for wrong, message in (
        (f"network.heads={labelled}", "labelled.safetensors: the labels do not match: 15 actions"),
        (f"network.heads={poses}", "poses.safetensors: has no action heads"),
        ("network.pose_stream=v2", "w.safetensors: its action heads do not fit"),
        (
            "network.layout=mpii16",
            "heads are for the joints of pa16, the recipe's network has those of mpii16",
        ),
        ("network.actions=null", "network.heads: belongs to a stage with network.actions: auto"),
    ):
        with pytest.raises(UserError, match=message):
            stage("penn-action.yaml", roots, poses, tmp_path / "wrong", *given, wrong)


def test_heads_bring_their_form_and_their_licence(roots, weights, tmp_path):
    file = load_weights(weights)
    alone = {key: file.arguments[key] for key in file.arguments.keys() - {"actions", "frames", "pose_stream"}}
    poses, moving = tmp_path / "poses.safetensors", tmp_path / "moving.safetensors"
    save_weights(poses, build(alone)[0], alone, {"licence": "free"})
    args = {**file.arguments, "pose_stream": "motion"}
    save_weights(moving, build(args)[0], args, {"licence": "not for business"})
    own = ("network.pose_stream=null", "network.frames=null")  # which that recipe names
    run = stage("penn-action.yaml", roots, poses, tmp_path, f"network.heads={moving}", *own)
    assert run.network.arguments["pose_stream"] == "motion" and run.frames == 4
    told = load_weights(run.export("w.safetensors")).metadata["licence"]
    assert told == "of the poses: free; of the action heads: not for business"


def test_heads_of_a_chain_are_one_stages(roots, weights, tmp_path):
    overrides = [*roots, *SMALL, *FIRST]
    with pytest.raises(UserError, match=r"STAGE:network\.heads=FILE"):
        read_chain("penn-finetune.yaml", [*overrides, f"network.heads={weights}"])
    chain = read_chain("penn-finetune.yaml", [*overrides, f"penn-finetune:network.heads={weights}"])
    with pytest.raises(UserError, match="would replace those that the stage before trained"):
        open_network(chain[-1], tuple("abcdefghijklmno"), weights)
    missing = read_chain("penn-finetune.yaml", [*overrides, "penn-action:network.heads=none.safetensors"])
    with pytest.raises(UserError, match=r"none\.safetensors"):
        train_chain(missing, tmp_path, QUIET)
    assert not (tmp_path / "penn-pose").exists()  # before the first stage


def test_an_export_cannot_be_trained(roots, weights, tmp_path, monkeypatch):
    monkeypatch.setattr("poseact.training.start.load_model", lambda _: object.__new__(ExportedNetwork))
    with pytest.raises(UserError, match=r"is an export.*\.safetensors"):
        stage("penn-action.yaml", roots, weights, tmp_path)


def test_labels_of_two_sets_that_do_not_match(roots, weights, tmp_path):
    for action in ("run", "jump"):
        penn_action.write_frames(tmp_path / action, penn_action.make(1))
        (tmp_path / "own" / "val" / action).mkdir(parents=True)
        (tmp_path / action / "frames" / "0001").rename(tmp_path / "own" / "val" / action / "one")
    other = ["data.validation={set: folder, split: val}", f"roots.folder={tmp_path / 'own'}"]
    with pytest.raises(
        UserError, match=r"penn-action and folder do not match: 15 actions .* 2 actions \(jump, run\)"
    ):
        stage("penn-action.yaml", roots, weights, tmp_path, *other)


def test_labels_of_the_stage_before_that_do_not_match(roots, tmp_path):
    args = arguments("penn-action", "paper", width=16, blocks=1, size=32, frames=4, actions=2)
    path = tmp_path / "old.safetensors"
    save_weights(path, build(args)[0], args, {"action_labels": '["run", "jump"]'})
    recipe = read_chain("penn-finetune.yaml", [*roots, *SMALL])[-1]
    with pytest.raises(UserError, match=r"labels do not match: 2 actions \(run, jump\) there, 15"):
        Run(recipe, tmp_path / "run", QUIET, path)


def test_what_a_later_stage_lacks_is_told_before_the_first(roots, tmp_path):
    chain = read_chain("penn-action.yaml", [*roots, *SMALL, *FIRST, "penn-action:data.validation.split=none"])
    with pytest.raises(UserError, match="unknown split 'none'"):
        train_chain(chain, tmp_path / "run", QUIET)
    assert not (tmp_path / "run").exists()


START = "import sys; from poseact.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.slow
def test_a_killed_chain_goes_on_where_it_was(roots, tmp_path):
    """kill -9 in the second stage: the first is left as it is, and the end is the same bit for bit."""
    overrides = [*roots, *SMALL, *FIRST, "training.checkpoint_minutes=0"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train_chain(read_chain("penn-finetune.yaml", overrides), whole, QUIET)
    command = [sys.executable, "-c", START, "train", "penn-finetune.yaml", "--out", str(cut), *overrides]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (cut / "penn-action" / "last.pt").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    first = (cut / "penn-pose" / "weights.safetensors").stat().st_mtime_ns
    assert not (cut / "penn-finetune" / "weights.safetensors").exists()
    weights = train_chain(read_chain("penn-finetune.yaml", overrides), cut, QUIET)
    assert weights == cut / "penn-finetune" / "weights.safetensors"
    assert (cut / "penn-pose" / "weights.safetensors").stat().st_mtime_ns == first
    for name in ("penn-pose", "penn-action", "penn-finetune"):
        assert same(whole / name, cut / name)


def same(a: Path, b: Path) -> bool:
    first, second = (load_file(run / "weights.safetensors") for run in (a, b))
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_chain_of_stages_hands_on_weights_and_labels(roots, tmp_path):
    overrides = [*roots, *SMALL, *FIRST, "training.epochs=1"]
    path = train_chain(read_chain("penn-action.yaml", overrides), tmp_path, QUIET)
    pose, action = (
        load_file(tmp_path / name / "weights.safetensors") for name in ("penn-pose", "penn-action")
    )
    shared = [name for name in action if name.split(".")[0] not in ACTION_PARTS and "num_batches" not in name]
    assert shared and all(torch.equal(pose[name], action[name]) for name in shared)
    loaded = load_weights(path)
    assert len(loaded.action_labels) == 15 and loaded.model.frames == 4
    row = checkpoint.load(path.parent / "last.pt")["progress"]["history"][0]
    assert row["pose_loss"] == 0 < row["action_loss"] and 0 <= row["accuracy"] <= 1
    assert "accuracy_pose block 4" in row and "accuracy_appearance block 4" in row


def test_stills_and_clips_of_a_batch_are_normalised_by_the_same_statistics(roots, weights, tmp_path):
    """The first batch norm sees 3 stills and the 4 frames of a clip as one batch of 7."""
    run = stage("penn-joint.yaml", roots, weights, tmp_path, "network.preset=null", "network.variant=null")
    training_mode(run.network)
    examples = run.examples(0)
    batch = next(iter(training_loader(examples, run.sets.shares, 4, 0)))
    assert len(batch["stills"]["frames"]) == 3 and batch["clips"]["frames"].shape[:2] == (1, 4)
    first = run.network.stem.entry[0]
    with torch.no_grad():
        frames = [to_input(part["frames"], part["power"]) for part in batch.values()]
        flat = torch.cat([x if x.ndim == 4 else x.flatten(0, 1) for x in frames])
        expected = 0.99 * first.bn.running_mean + 0.01 * first.conv(flat).mean((0, 2, 3))
    step(run, batch)
    assert torch.allclose(first.bn.running_mean, expected, atol=1e-6)


def test_kept_answers_teach_the_heads_what_the_whole_network_would(roots, weights, tmp_path):
    """Crops drawn once: the losses of a first epoch's batch, and of the same batch in a later epoch."""
    still = ("rotation=0", "scale=[1,1]", "shift=[0,0]", "flip=false")
    run = stage(
        "penn-action.yaml",
        roots,
        weights,
        tmp_path,
        "training.kept=true",
        *(f"augmentation.{x}" for x in still),
    )
    keep_answers(run)
    training_mode(run.network)
    drawn, kept = run.examples(0), KeptAnswers(run, 3)
    places = [(0, i) for i in range(3)]
    again = [(0, i + 2 * len(run.sets.train[0])) for i in range(3)]  # of a third pass
    losses = [step(run, stacked([drawn[place] for place in places]))[0][2]]
    load = run.network.load_state_dict
    for some in (places, again):
        load(load_weights(weights).model.state_dict())
        losses.append(step(run, stacked([kept[place] for place in some]))[0][2])
    assert losses[0] == pytest.approx(losses[1], rel=2e-3) and losses[1] == losses[2] > 0


def test_kept_answers_are_moved_anew_in_each_epoch(roots, weights, tmp_path):
    run = stage("penn-action.yaml", roots, weights, tmp_path, "training.kept=true")
    keep_answers(run)
    one, same, other = (KeptAnswers(run, epoch)[0, 1]["pose"] for epoch in (1, 1, 2))
    assert np.array_equal(one, same) and np.abs(one - other).max() > 1e-3


def test_a_lost_worker_while_poses_are_kept(roots, weights, tmp_path, monkeypatch):
    def end(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    run = stage("penn-action.yaml", roots, weights, tmp_path, "training.kept=true")
    monkeypatch.setattr(Examples, "read", end)  # the worker is forked from here
    with pytest.raises(UserError, match=r"was lost .*the same command goes on"):
        keep_answers(run)


def test_weights_tell_what_the_command_line_changed_but_no_place(roots, weights, tmp_path):
    run = stage("penn-action.yaml", roots, weights, tmp_path, "training.momentum=.5")
    metadata = load_weights(run.export("w.safetensors")).metadata
    assert "training.momentum=.5" in metadata["overrides"].split() and metadata["precision"] == "fp32"
    assert "roots." not in metadata["overrides"] and str(weights) not in metadata["overrides"]


def test_weights_keep_their_licence_and_with_frozen_poses_their_calibration(roots, weights, tmp_path):
    told = {"licence": "L", "calibration": "C", "action_calibration": "2"}
    file, start = load_weights(weights), tmp_path / "start.safetensors"
    save_weights(start, file.model, file.arguments, told)
    for trains, kept in (("action", {"licence", "calibration"}), ("all", {"licence"})):
        run = stage("penn-action.yaml", roots, start, tmp_path / trains, f"training.trains={trains}")
        run.out.mkdir(exist_ok=True)
        metadata = load_weights(run.export("w.safetensors")).metadata
        assert told.keys() & metadata.keys() == kept and all(metadata[key] == told[key] for key in kept)
        assert metadata["started_from"].startswith("start.safetensors, sha256 ")


ALONE = ("training.kept=true", "data.poses={penn-action: {split: all}}")


def test_poses_alone_are_the_labels_as_wrong_as_answers_are(roots, weights, tmp_path):
    """Of joints in the crop; left and right too, in mirrored clips."""
    run = stage("penn-action.yaml", roots, weights, tmp_path, *ALONE)
    keep_answers(run)
    assert set(run.sets.poses[0]._tracks) == set(range(4))  # before the first epoch
    drawn = run.examples(0)
    files = {name: np.load(run.out / "kept" / f"{name}.npy", mmap_mode="r+") for name in ("pose", "error")}
    for i in range(4):
        seen, answered = drawn[0, i]["valid"], files["pose"][i] - files["error"][i]
        assert np.allclose(answered[seen], drawn[0, i]["pose"][seen][:, :2], atol=1e-6)
        assert np.isnan(files["error"][i][~seen]).all() and np.abs(files["error"][i][seen]).max() > 0.01
    kept, drawn = KeptAnswers(run, 2), run.examples(2)
    about, _ = _about_middle(files["pose"] - files["error"])
    again = (about @ kept._follows + kept._rest).reshape(files["error"].shape)
    annotated = np.isfinite(files["error"])
    assert np.allclose(again[annotated], files["error"][annotated], atol=1e-6)
    assert np.abs(kept._follows).max() > 1e-3
    assert (kept._rest.reshape(annotated.shape)[~annotated] == 0).all() and not annotated.all()

    rest = np.arange(run.network.frames)[:, None, None] / 100
    kept._rest = np.broadcast_to(rest, files["error"].shape).reshape(4, run.network.frames, -1)
    kept._follows[:] = 0
    kept._follows[:-1] = -0.5 * np.eye(len(kept._follows) - 1)  # half as far from the mean as it is
    drawn.sources = [*run.sets.train, run.sets.poses[0].source]
    drawn._mirrored = kept._mirrored
    for i in range(8):  # of two passes
        alone, labels = kept[1, i], drawn[1, i]
        assert labels["valid"].sum() > 20 and "features" not in alone
        rng = np.random.default_rng((kept.seed, kept.epoch, 1, i))
        clip = kept._person((1, i), rng)
        where = draw_transform(clip.box, kept.size, kept.augmentation, rng)
        pose, known, _ = placed(clip, kept.layout, where)
        assert np.allclose(pose[labels["valid"]], labels["pose"][labels["valid"]], atol=1e-6)
        middle = pose[known][:, :2].mean(0)  # also of joints beside the crop, not of those that are not known
        expected = np.where(known[..., None], (pose[..., :2] + middle) / 2, middle) + rest
        assert np.allclose(alone["pose"], expected, atol=1e-6) and not known.all()
        assert np.array_equal(alone["visibility"], labels["visible"])
        assert alone["action"] == labels["action"] and alone["action_known"]
    assert set(run.sets.poses[0]._tracks) == set(range(4))  # each video read once


def test_what_errors_follow_from_poses_is_told_apart_from_the_rest():
    rng = np.random.default_rng(0)
    poses = rng.normal(0.5, 0.1, (500, 4, 3, 2))
    law, constant = rng.normal(0, 0.3, (6, 6)), rng.normal(0, 0.05, 6)
    noise = rng.normal(0, 0.01, (500, 4, 6))
    about = (poses - poses.mean((1, 2), keepdims=True)).reshape(500, 4, 6)
    errors = about @ law + constant + noise
    weights, rest = fit_errors(poses, errors.reshape(poses.shape))
    # What is not annotated changes nothing of what is found of the others.
    gaps = errors.reshape(poses.shape).copy()
    gaps[::3, :, 2] = np.nan
    without, left = fit_errors(poses, gaps)
    assert np.array_equal(without[:, :4], weights[:, :4]) and np.abs(without - weights).max() < 0.01
    assert (left[::3, :, 4:] == 0).all() and np.array_equal(left[..., :4], rest[..., :4])
    # The mean of all joints is not told: a part of the law that only moves it cannot be found.
    assert np.abs(about @ weights[:-1] + weights[-1] - about @ law - constant).max() < 0.01
    assert np.abs(rest - noise).max() < 0.01 and np.abs(rest.mean((0, 1))).max() < 1e-4
    one, error = poses[:1, :1], errors[:1, :1]
    weights, rest = fit_errors(one, error.reshape(one.shape))  # 11 numbers of a frame tell nothing of 42
    told = (one - one.mean((1, 2), keepdims=True)).reshape(1, 1, 6) @ weights[:-1]
    assert np.abs(told).max() < 0.3 * np.abs(error).max()
    assert np.allclose(rest + told + weights[-1], error)


def test_poses_alone_teach_the_stream_of_poses_and_nothing_else(roots, weights, tmp_path):
    run = stage("penn-action.yaml", roots, weights, tmp_path, *ALONE)
    keep_answers(run)
    kept = KeptAnswers(run, 0)
    batch = stacked([kept[1, 0], kept[0, 0], kept[1, 1], kept[0, 1]])
    clips = batch["clips"]
    assert clips["pose"].shape[0] == 4 and clips["features"].shape[0] == 2
    parts = run.network.pose_recognition, run.network.appearance_recognition

    def gradients(labels):
        run.network.zero_grad()
        training_mode(run.network)
        output = kept_module.recognised(run.network, labels)
        assert len(output.pose_actions[0]) == len(labels["pose"]) and len(output.action) == 2
        actions_loss(output, labels, torch.tensor([1.0, 1.0, 1.0])).backward()
        return [[p.grad.clone() for p in part.parameters()] for part in parts]

    both = gradients(clips)
    # Other labels of the clips without pictures: the stream of poses alone is taught otherwise.
    other = {**clips, "action": torch.cat([clips["action"][:2], (clips["action"][2:] + 1) % 15])}
    for same, one, two in zip((False, True), both, gradients(other), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True)) == same
        assert all(bool(gradient.abs().sum() > 0) for gradient in two)


def test_a_stage_with_poses_alone_runs_or_says_why_not(roots, weights, tmp_path):
    overrides = [*roots, *SMALL, f"network.weights={weights}", *ALONE]
    chain = read_chain("penn-action.yaml", overrides)
    path = train_chain(chain, tmp_path / "whole", QUIET)
    assert {*load_file(path)} == {*load_file(weights)} and not (tmp_path / "whole" / "kept").exists()
    for key, message in (
        ("training.kept=false", "data.poses: expected training.kept"),
        ("data.poses={mpii: {split: released-train}}", "data.poses: expected sets of videos alone, got mpii"),
        ("data.poses.penn-action.share=9", "at least one clip of the first set in each batch"),
    ):
        with pytest.raises(UserError, match=message):
            Run(read_chain("penn-action.yaml", [*overrides, key])[-1], tmp_path / "other", QUIET)


def test_knees_are_taught_by_a_stage_in_3d(roots, weights, tmp_path):
    torch.manual_seed(0)
    args = arguments("ntu", "paper", layout="pa16", width=16, blocks=1, size=32, frames=4)
    save_weights(tmp_path / "w.safetensors", build(args)[0], args, {})
    lost = []
    for weight in (0, 1000):
        changed = ("training.trains=all", "training.pose_weight=1", f"training.knee_weight={weight}")
        run = stage("penn-action.yaml", roots, tmp_path / "w.safetensors", tmp_path / str(weight), *changed)
        lost.append(take_steps(run, 1)[0][1])
    assert lost[1] > 1.01 * lost[0]
    with pytest.raises(UserError, match="knee_weight: expected a network in 3D"):
        stage("penn-action.yaml", roots, weights, tmp_path / "flat", *changed)
    with pytest.raises(UserError, match=r"training\.knee_weight: expected at least 0"):
        stage("penn-action.yaml", roots, weights, tmp_path / "less", "training.knee_weight=-1")


def test_a_mix_may_have_two_splits_of_one_set(roots, weights, tmp_path):
    poses = "data.poses={penn-action: {split: all, share: 2}, more: {set: penn-action, split: test}}"
    run = stage("penn-action.yaml", roots, weights, tmp_path, "training.kept=true", poses, "training.batch=8")
    assert [len(source) for source in run.sets.poses] == [4, 2] and run.sets.shares[-2:] == [2, 1]
    keep_answers(run)
    test = open_data("penn-action", Path(run.recipe.roots["penn-action"]), "test")
    assert [run.sets.poses[1][i].name for i in range(2)] == [test[i].name for i in range(2)]
    assert KeptAnswers(run, 0)[2, 1]["action"] == test[1].action
    unknown = ("training.kept=true", "data.poses={more: {split: all}}")
    with pytest.raises(UserError, match="unknown data set 'more'"):
        stage("penn-action.yaml", roots, weights, tmp_path / "other", *unknown)


def test_poses_alone_that_cannot_be_read_are_told_in_one_line():
    class Damaged:
        layout, actions, lengths = PA16, (), (4, 4)

        def __len__(self):
            return 2

        def __getitem__(self, i):
            raise UserError(f"video {i}: damaged; get it again")

    with pytest.raises(
        UserError, match=r"^data\.poses: 2 of 2 cannot be read, such as video 0: damaged; get it again$"
    ):
        PosesAlone(Damaged(), PA16).gather(QUIET, 2)


def test_poses_alone_in_3d_have_their_depth(roots, weights, tmp_path):
    torch.manual_seed(0)
    args = arguments("ntu", "paper", layout="pa16", width=16, blocks=1, size=32, frames=4)
    save_weights(tmp_path / "w.safetensors", build(args)[0], args, {})
    run = stage("penn-action.yaml", roots, tmp_path / "w.safetensors", tmp_path, *ALONE)
    with pytest.raises(UserError, match="expected joints with their depth"):
        keep_answers(run)
    people = SyntheticVideos(2, frames=16, size=(64, 64), seed=3)
    run.sets = replace(run.sets, poses=(PosesAlone(people, PA16),))
    keep_answers(run)
    error = np.load(run.out / "kept" / "error.npy")
    assert (
        np.nanmax(np.abs(error[..., :2])) > 0 and np.isnan(error[..., 2]).all()
    )  # depth is annotated nowhere
    np.load(run.out / "kept" / "error.npy", mmap_mode="r+")[:] = 0
    for i in range(2):
        rng = np.random.default_rng((0, 0, 1, i))
        clip = draw_clip(people[i], run.frames, run.recipe.augmentation.strides, rng)
        labels = example(clip, PA16, run.crop_size, run.recipe.augmentation, rng)
        known = labels["depth_valid"]
        assert known.sum() > 20
        assert np.allclose(KeptAnswers(run, 0)[1, i]["pose"][known], labels["pose"][known], atol=1e-5)


def test_kept_answers_move_as_the_labels_of_another_crop_do():
    """The labels of a clip by a crop of its crop are the labels by both crops, one after the other."""
    rng = np.random.default_rng(0)
    clip = SyntheticVideos(1, frames=4, size=(96, 96), seed=3, actions=("wave_left", "wave_right"))[0]
    person = draw_clip(clip, 4, (1,), rng)
    first = Augmentation(scale=(1.4, 1.4), shift=(0, 0), rotation=0, flip=False)  # everybody is inside
    whole = example(person, PA16, 64, first, rng)
    other = (1, 0)
    for flip in (False, True):
        inner = crop_transform(Box((0.5, 0.5), 1.0), 64, rotation=10, scale=0.9, shift=(2, -1), flip=flip)
        item = {"pose": whole["pose"], "visibility": whole["visible"], "action": np.array(whole["action"])}
        item["features"] = np.arange(16)[None, None].repeat(4, 0)
        answer = moved(item, PA16, inner, other)
        outer = crop_transform(person.box, 64, scale=1.4)
        direct = inner.to_crop(outer.to_crop(convert(person.joints[..., :2], person.layout, PA16, axis=-2)))
        order = PA16.flip if flip else np.arange(16)
        assert np.allclose(answer["pose"][..., :2], direct[:, order], atol=1e-5)
        assert np.allclose(
            answer["pose"][..., 2] - 0.5, (whole["pose"][..., 2][:, order] - 0.5) / 0.9, atol=1e-6
        )
        assert (answer["features"][0, 0] == order).all()
        assert int(answer["action"]) == (other[whole["action"]] if flip else whole["action"])


def test_keeping_goes_on_where_it_was_stopped_and_begins_again_with_other_weights(
    roots, weights, tmp_path, monkeypatch
):
    run = stage("penn-action.yaml", roots, weights, tmp_path, "training.kept=true")
    monkeypatch.setattr("poseact.training.kept._GROUP", 1)
    answered, seen = kept_module._answered, []

    def counted(*about):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(1)
        return answered(*about)

    monkeypatch.setattr("poseact.training.kept._answered", counted)
    with pytest.raises(KeyboardInterrupt):
        keep_answers(run)
    monkeypatch.setattr("poseact.training.kept._answered", lambda *a: seen.append(1) or answered(*a))
    keep_answers(run)
    assert len(seen) == len(run.sets.train[0]) > 3
    with torch.no_grad():
        run.network.stem.entry[0].conv.weight.mul_(1.5)
    keep_answers(run)
    assert len(seen) == 2 * len(run.sets.train[0])


def test_too_many_damaged_clips_are_told_while_poses_are_kept(weights, tmp_path):
    penn_action.write(tmp_path / "penn", clips=4)
    frames = sorted((tmp_path / "penn" / "frames" / "0002").glob("*.jpg"))
    whole = [frame.read_bytes() for frame in frames]
    for frame in frames:
        frame.write_bytes(b"cut")
    roots = [f"roots.penn-action={tmp_path / 'penn'}"]
    run = stage("penn-action.yaml", roots, weights, tmp_path, "training.kept=true")
    with pytest.raises(UserError, match=r"1 of 4 samples cannot be read, over 1%.*0002"):
        keep_answers(run)
    for frame, content in zip(frames, whole, strict=True):
        frame.write_bytes(content)
    keep_answers(run)
    assert np.load(run.out / "kept" / "readable.npy").all(), "what was mended is read anew"


def test_a_kept_stage_from_end_to_end(roots, weights, tmp_path):
    chain = read_chain(
        "penn-action.yaml", [*roots, *SMALL, f"network.weights={weights}", "training.kept=true"]
    )
    path = train_chain(chain, tmp_path / "run", QUIET)
    before, after = load_weights(weights).model.state_dict(), load_weights(path).model.state_dict()
    heads = {name for name in before if name.split(".")[0] in ACTION_PARTS}
    assert changed(before, after) and changed(before, after) <= heads
    assert not (tmp_path / "run" / "kept").exists()


@pytest.mark.parametrize(
    "override", ["training.trains=all", "training.poses=given", "training.sizes=[32,64]"]
)
def test_keeping_needs_frozen_estimated_poses_of_one_size(override, roots):
    with pytest.raises(UserError, match=r"training\.kept"):
        read_chain("penn-action.yaml", [*roots, "network.weights=w", "training.kept=true", override])


def test_a_kept_stage_whose_weights_could_not_be_written_is_finished_by_the_same_command(
    roots, weights, tmp_path, monkeypatch
):
    chain = read_chain(
        "penn-action.yaml", [*roots, *SMALL, f"network.weights={weights}", "training.kept=true"]
    )
    export = Run.export
    monkeypatch.setattr(Run, "export", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(UserError, match="No space left"):
        train_chain(chain, tmp_path / "run", QUIET)
    monkeypatch.setattr(Run, "export", export)
    assert train_chain(chain, tmp_path / "run", QUIET).exists()
    (tmp_path / "run" / "kept").mkdir()  # a kill came before it was removed
    train_chain(chain, tmp_path / "run", QUIET)
    assert not (tmp_path / "run" / "kept").exists()


def test_the_disk_sets_kept_answers_aside_before_they_are_mapped(roots, weights, tmp_path, monkeypatch):
    """A page that does not fit would end the process."""
    run = stage("penn-action.yaml", roots, weights, tmp_path, "training.kept=true")
    kept_module._open(run, "w+")
    for path in (tmp_path / "run" / "kept").glob("*.npy"):
        assert path.stat().st_blocks * 512 >= path.stat().st_size > 0
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises(OSError, match="No space"):
        keep_answers(run)


def test_keeping_needs_videos(roots, weights, tmp_path):
    lspet.write(tmp_path / "lspet", count=8)
    mixed = "data.train={lspet: {split: all}, penn-action: {split: all}}"
    changed = [x for x in SMALL if "data.train" not in x]
    more = [mixed, f"roots.lspet={tmp_path / 'lspet'}", "training.kept=true"]
    chain = read_chain("penn-action.yaml", [*roots, *changed, f"network.weights={weights}", *more])
    with pytest.raises(UserError, match="expected sets of videos alone"):
        train_chain(chain, tmp_path / "run", QUIET)
    alone = ["data.train={lspet: {split: all}}", more[1]]
    chain = read_chain("penn-action.yaml", [*roots, *changed, f"network.weights={weights}", *alone])
    with pytest.raises(UserError, match="expected a set of videos, to learn actions; got lspet"):
        train_chain(chain, tmp_path / "other", QUIET)


def test_several_processes_leave_alone_what_a_batch_has_no_gradient_for(roots, weights, tmp_path):
    """Stills alone: the heads of actions neither move nor decay."""
    lspet.write(tmp_path / "lspet", count=8)
    mixed = "data.train={lspet: {split: all, share: 3}, penn-action: {split: all, share: 1}}"
    changed = [x for x in SMALL if "data.train" not in x]
    more = [
        mixed,
        f"roots.lspet={tmp_path / 'lspet'}",
        "network.width=16",
        "network.blocks=1",
        "network.frames=4",
    ]
    run = Run(read_chain("penn-joint.yaml", [*roots, *changed, *more])[-1], tmp_path / "run", QUIET)
    (batch,) = list(training_loader(run.examples(0), run.sets.shares, 4, 0))[:1]
    run.accelerator = TwoProcesses()
    step(run, batch)  # now the optimiser has momenta
    heads = {n: p for n, p in run.network.named_parameters() if n.split(".")[0] in ACTION_PARTS}
    before = {name: p.detach().clone() for name, p in heads.items()}
    step(run, {"stills": batch["stills"]})
    assert before and all(torch.equal(before[name], p) for name, p in heads.items())


class TwoProcesses:
    """An accelerator whose other process has the same batch."""

    process_index, num_processes, is_main_process = 0, 2, True

    def reduce(self, values, reduction):
        assert reduction == "sum"
        return 2 * values
