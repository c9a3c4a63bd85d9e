import pytest
import torch
import yaml

from poseact.data.augment import AUGMENTATIONS
from poseact.errors import UserError
from poseact.network import arguments, build
from poseact.skeleton import LAYOUTS
from poseact.training.recipe import packaged, read_chain, read_recipe

GOOD = {
    "source": "a test",
    "expected": "nothing",
    "hours": "none",
    "network": {"preset": "tiny"},
    "data": {
        "train": {"mpii": {"split": "train", "share": 75}, "penn-action": {"split": "train", "share": 25}},
        "validation": {"set": "penn-action", "split": "test"},
    },
    "training": {"epochs": 2, "batch": 4, "learning_rate": 1e-3},
}
AFTER = GOOD | {"network": {"actions": "auto", "frames": 8}, "after": "recipe"}


def write(tmp_path, content, name="recipe.yaml"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


@pytest.mark.parametrize("name", packaged())
def test_packaged_recipes_are_consistent(name):
    """From the network that the first stage builds, with the labels of a set of 15 actions."""
    chain = read_chain(name, [])
    assert chain[-1].name == name.removesuffix(".yaml")
    first = chain[0].network
    args = arguments(first.preset or "penn-action", first.variant, **first.overrides())
    for recipe in chain:
        args = args | recipe.network.overrides() | {"actions": 15 if recipe.recognises else 0}
        with torch.device("meta"):
            network, layout = build(args)
        assert layout == LAYOUTS[args["layout"]] and network.joints == len(layout)
        assert recipe.hours and recipe.expected and recipe.source
        if recipe.training.trains == "action":
            assert recipe.recognises and len(recipe.data.train) == 1
        if recipe.after:
            assert recipe.network.preset is None
            previous = chain[chain.index(recipe) - 1]
            assert previous.name == recipe.after
            if previous.recognises:  # the heads are taken over
                assert recipe.data.train.keys() >= previous.data.train.keys()
                assert recipe.data.validation == previous.data.validation


def test_published_recipes_train_as_the_paper_says():
    pose, action, finetune = read_chain("penn-finetune.yaml", [])
    assert {name: part.share for name, part in pose.data.train.items()} == {"mpii": 75, "penn-action": 25}
    for spec in (read_recipe("mpii.yaml", []).training, pose.training):
        assert (spec.optimizer, spec.learning_rate, spec.batch) == ("rmsprop", 1e-3, 24)
        assert (spec.schedule, spec.factor) == ("plateau", 0.2)
    assert (action.training.optimizer, action.training.momentum, action.training.batch) == ("sgd", 0.98, 2)
    assert action.training.trains == "action" and action.network.frames == 16
    assert finetune.training.learning_rate == pytest.approx(action.training.learning_rate / 10)
    assert finetune.training.trains == "all" and finetune.training.epochs == 5
    assert read_recipe("ntu-action.yaml", []).network.frames == 20
    assert all(recipe.augmentation == AUGMENTATIONS["paper"] for recipe in (pose, action, finetune))


def test_overrides(tmp_path):
    recipe = read_recipe(
        write(tmp_path, GOOD),
        [
            "training.epochs=7", "roots.mpii=/some/where", "augmentation.scale=[0.9, 1.1]",
            "network.width=64", "data.train.mpii.share=50", "training.learning_rate=1e-4",
        ],
    )  # fmt: skip
    assert recipe.training.epochs == 7 and recipe.roots == {"mpii": "/some/where"}
    assert recipe.augmentation.scale == (0.9, 1.1) and recipe.augmentation.rotation == 45
    assert recipe.network.overrides() == {"width": 64} and recipe.training.learning_rate == 1e-4
    assert recipe.data.train["mpii"].share == 50 and recipe.data.train["penn-action"].share == 25


def test_an_augmentation_by_name_with_a_change(tmp_path):
    recipe = read_recipe(
        write(tmp_path, GOOD | {"augmentation": "released-ntu-pose"}), ["augmentation.flip=false"]
    )
    assert recipe.augmentation.scales == (0.8, 1.0, 1.2, 2.0) and not recipe.augmentation.flip


def test_overrides_of_a_chain(tmp_path):
    """Those without a stage's name go to every stage that has the key."""
    write(tmp_path, GOOD)
    data = {"train": {"penn-action": {"split": "train"}}, "validation": GOOD["data"]["validation"]}
    second = write(tmp_path, AFTER | {"data": data}, "second.yaml")
    chain = read_chain(
        second, ["training.seed=5", "recipe:training.epochs=9", "data.train.mpii.split=hrnet-train"]
    )
    assert [recipe.name for recipe in chain] == ["recipe", "second"]
    assert [recipe.training.seed for recipe in chain] == [5, 5]
    assert [recipe.training.epochs for recipe in chain] == [9, 2]
    assert chain[0].data.train["mpii"].split == "hrnet-train" and "mpii" not in chain[1].data.train


def test_weights_of_ones_own_begin_a_chain(tmp_path):
    write(tmp_path, GOOD)
    second = write(tmp_path, AFTER, "second.yaml")
    assert len(read_chain(second, [])) == 2
    assert [recipe.name for recipe in read_chain(second, ["network.weights=w.safetensors"])] == ["second"]


def test_a_circle_of_recipes(tmp_path):
    path = write(tmp_path, AFTER)
    with pytest.raises(UserError, match="comes after itself"):
        read_chain(path, [])


def changed(section, **values):
    return GOOD | {section: GOOD[section] | values}


@pytest.mark.parametrize(("content", "overrides", "message"), [
    (GOOD | {"speed": 3}, [], "speed"),
    (GOOD | {"name": "other"}, [], "name"),
    (changed("training", epoch=3), [], "training.epoch"),
    (changed("training", epochs="many"), [], "many"),
    (changed("training", optimizer="adam"), [], "adamw, rmsprop, sgd, muon"),
    (changed("training", seed=True), [], "training.seed"),
    (changed("training", checkpoint_minutes=6), [], "0 to 5"),
    (changed("training", average=1.0), [], "below 1"),
    (changed("training", sizes=[40]), [], "multiples of 32"),
    *((changed("training", **{name: -1}), [], f"training.{name}: expected at least 0") for name in (
        "workers", "seed", "clip_norm", "weight_decay", "momentum", "warmup_steps", "action_weight")),
    (changed("training", learning_rate=0), [], "learning_rate: expected above 0"),
    (changed("training", factor=-1), [], "factor: expected above 0"),
    (changed("training", patience=0), [], "patience: expected at least 1"),
    (GOOD | {"augmentation": {"rotation": -5}}, [], "rotation and shift"),
    (GOOD | {"augmentation": {"shift": [3, -1]}}, [], "rotation and shift"),
    (GOOD | {"augmentation": {"scale": [1.3, 0.7]}}, [], "augmentation.scale: expected two rising"),
    (GOOD | {"augmentation": {"scales": [0]}}, [], "augmentation.scales"),
    (GOOD | {"augmentation": {"power": [-2, -1]}}, [], "augmentation.power"),
    (GOOD | {"augmentation": {"strides": []}}, [], "augmentation.strides"),
    (GOOD | {"augmentation": {"strides": [0]}}, [], "augmentation.strides"),
    (changed("training", poses="noisy"), [], "network.actions"),
    (changed("training", trains="action"), [], "network.actions"),
    (changed("training", pose_weight=0), [], "all weights are 0"),
    (changed("network", weights="w.safetensors"), [], "either a preset"),
    (changed("network", preset=None), [], "either a preset"),
    (changed("data", train={}), [], "at least one"),
    (changed("data", train={"mpii": {"split": "train", "share": 0}}), [], "above zero"),
    (changed("data", train={"mpii": {"share": 1}}), [], "data.train.mpii.split: is missing"),
    (GOOD | {"training": {"epochs": 2}}, [], "training.batch: is missing"),
    (GOOD | {"augmentation": {"scale": [1]}}, [], "scale: expected a list of 2"),
    (GOOD | {"augmentation": "strong"}, [], "released-mpii"),
    (GOOD | {"after": "nothing"}, ["network.preset=null"], "no such recipe"),
    (GOOD, ["training.epoch=3"], "epoch"),
    (GOOD, ["training.epochs=x"], "epochs"),
    (GOOD, ["training.epochs"], "key.sub=value"),
    (GOOD, ["training..epochs=3"], "key.sub=value"),
    (GOOD, ["--training.epochs=3"], "key.sub=value"),
    (GOOD, ["network.width=[1"], "network.width"),
    (GOOD, ["roots.mpi=/d"], "no stage of recipe"),
    (GOOD, ["first:training.epochs=3"], "no stage of recipe"),
    ("- a\n- b\n", [], "YAML mapping"),
    ("1: 2", [], "YAML mapping"),
    ("a: [", [], "recipe.yaml"),
    ("", [], "YAML mapping"),
])  # fmt: skip
def test_mistakes_are_told_in_one_line(tmp_path, content, overrides, message):
    with pytest.raises(UserError, match=message) as caught:
        read_recipe(write(tmp_path, content), overrides)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 600


@pytest.mark.parametrize("name", ["nothing.yaml", "../lspet.yaml", "/etc"])
def test_missing_recipe(name):
    with pytest.raises(UserError, match="no such recipe"):
        read_recipe(name, [])


def test_the_name_of_a_packaged_recipe_is_enough():
    assert read_recipe("lspet", []) == read_recipe("lspet.yaml", [])
