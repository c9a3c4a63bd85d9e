import numpy as np
import pytest
import scipy.io
from fakes import lspet as fake
from fakes.damage import mutate

from poseact.data import lspet
from poseact.data.lspet import LspExtended
from poseact.errors import UserError
from poseact.skeleton import LSP14


@pytest.fixture
def root(tmp_path):
    fake.write(tmp_path / "lspet")
    return tmp_path / "lspet"


def test_samples_are_what_is_on_disk(tmp_path):
    joints = fake.write(tmp_path / "lspet", count=4)
    data = LspExtended(tmp_path / "lspet")
    assert len(data) == 4 and data.layout is LSP14
    for i in range(4):
        s = data[i]
        assert (s.valid == (joints[:, 2, i] > 0)).all()
        assert np.allclose(s.joints[s.valid, :2], joints[s.valid, :2, i])
        assert (s.joints[~s.valid] == 0).all() and not s.depth_valid.any()
        side = s.image()[0].shape[0]
        assert s.box.side == side and s.box.centre == ((side - 1) / 2, (side - 1) / 2)
        # A joint of the fake is a blob of one colour, written as BGR (255, 200, 0).
        x, y = np.rint(s.joints[9, :2]).astype(int)
        assert np.abs(s.image()[0][y, x].astype(int) - (0, 200, 255)).max() < 70


def test_transposed_container(root):
    joints = scipy.io.loadmat(root / "joints.mat")["joints"]
    before = LspExtended(root)[0].joints
    scipy.io.savemat(root / "joints.mat", {"joints": joints.transpose(1, 0, 2)})
    assert (LspExtended(root)[0].joints == before).all()


def test_splits(root, monkeypatch):
    monkeypatch.setattr(lspet, "DEVELOPMENT", 2)
    train, dev = LspExtended(root, "train"), LspExtended(root, "dev")
    assert list(train.indices) == [0, 1, 2, 3] and list(dev.indices) == [4, 5]
    assert dev[0].name.endswith("im00005.jpg")


@pytest.mark.parametrize("split", ["train", "dev"])
def test_too_few_to_split(root, split):
    with pytest.raises(UserError, match="use the split 'all'"):
        LspExtended(root, split)


def test_unknown_split(root):
    with pytest.raises(UserError, match="unknown split"):
        LspExtended(root, "test")


def test_missing_folder(tmp_path):
    with pytest.raises(UserError, match=r"joints\.mat: not found.*--root"):
        LspExtended(tmp_path)


@pytest.mark.parametrize("damage", ["truncate", "foreign", "shape", "name"])
def test_damaged_annotations(root, damage):
    path = root / "joints.mat"
    if damage == "truncate":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "foreign":
        path.write_bytes(b"not a mat file")
    elif damage == "shape":
        scipy.io.savemat(path, {"joints": np.zeros((13, 3, 2))})
    else:
        scipy.io.savemat(path, {"points": np.zeros((14, 3, 2))})
    with pytest.raises(UserError, match=r"joints\.mat: expected") as caught:
        LspExtended(root)
    assert "\n" not in str(caught.value)


def test_damaged_image(root):
    path = root / "images" / "im00002.jpg"
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(UserError, match="im00002"):
        LspExtended(root)[1]


def test_the_real_photographs(shared):
    data = LspExtended(shared / "data" / "lspet", "dev")
    assert len(data) == 500 and data[0].name.endswith("im08501.jpg")
    assert np.mean([data[i].valid.mean() for i in range(50)]) > 0.8


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_mutated_annotations(tmp_path, count):
    """Only `UserError` or samples come out of damaged bytes."""
    fake.write(tmp_path / "lspet", count=3)
    path = tmp_path / "lspet" / "joints.mat"
    whole, rng, read = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(count):
        path.write_bytes(mutate(whole, rng))
        try:
            for s in LspExtended(tmp_path / "lspet"):
                assert np.isfinite(s.joints).all()
            read += 1
        except UserError as error:
            assert "\n" not in str(error)
    assert 0 < read < count
