import pytest
import yaml

from poseact.errors import UserError
from poseact.training.recipe import packaged, read_recipe

GOOD = {
    "source": "a test",
    "expected": "nothing",
    "network": {"preset": "tiny"},
    "data": {"name": "synthetic", "split": "train", "validation": "val"},
    "training": {"epochs": 2, "batch": 4, "learning_rate": 1e-3},
}


def write(tmp_path, content):
    path = tmp_path / "recipe.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


@pytest.mark.parametrize("name", packaged())
def test_packaged_recipes_read(name):
    assert read_recipe(name, []).training.epochs > 0


def test_overrides(tmp_path):
    recipe = read_recipe(
        write(tmp_path, GOOD),
        ["training.epochs=7", "data.root=/some/where", "augmentation.scale=[0.9, 1.1]", "network.width=64"],
    )
    assert recipe.training.epochs == 7 and recipe.data.root == "/some/where"
    assert recipe.augmentation.scale == (0.9, 1.1) and recipe.augmentation.rotation == 45
    assert recipe.network.overrides() == {"width": 64}


@pytest.mark.parametrize(("content", "overrides", "message"), [
    (GOOD | {"speed": 3}, [], "speed"),
    (GOOD | {"training": GOOD["training"] | {"epoch": 3}}, [], "epoch"),
    (GOOD | {"training": GOOD["training"] | {"epochs": "many"}}, [], "many"),
    (GOOD | {"training": {"epochs": 2}}, [], "batch"),
    (GOOD | {"augmentation": {"scale": [1]}}, [], "scale"),
    (GOOD, ["training.epoch=3"], "epoch"),
    (GOOD, ["training.epochs=x"], "epochs"),
    (GOOD, ["training.epochs"], "key.sub=value"),
    (GOOD, ["--training.epochs=3"], "key.sub=value"),
    ("- a\n- b\n", [], "YAML mapping"),
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
