import numpy as np
import pytest
import torch
from fakes import lspet as fake

from poseact.data.augment import Augmentation
from poseact.data.loading import Examples, training_loader
from poseact.data.lspet import LspExtended


@pytest.fixture
def data(tmp_path):
    fake.write(tmp_path / "lspet", count=9)
    return LspExtended(tmp_path / "lspet")


def batches(data, epoch=0, workers=0, start=0):
    examples = Examples([data], data.layout, 64, Augmentation(), seed=3, epoch=epoch)
    return list(training_loader(examples, [1], 2, workers, start))


def same(a, b):
    return len(a) == len(b) and all(torch.equal(x[k], y[k]) for x, y in zip(a, b, strict=True) for k in x)


def test_the_same_whatever_the_number_of_workers(data):
    plain = batches(data)
    assert len(plain) == 4
    assert same(plain, batches(data, workers=1)) and same(plain, batches(data, workers=2))


def test_an_epoch_resumes_in_the_middle(data):
    assert same(batches(data)[2:], batches(data, start=2))


def test_epochs_differ(data):
    assert not same(batches(data), batches(data, epoch=1))


def test_a_damaged_image_is_masked_not_fatal(data):
    (data.root / "images" / "im00001.jpg").write_bytes(b"")
    seen = torch.cat([b["readable"] for b in batches(data)])
    assert (~seen).sum() <= 1
    examples = Examples([data], data.layout, 64, None, 0, 0)
    assert not examples[0, 0]["readable"] and examples[0, 1]["readable"]
    assert not np.any(examples[0, 0]["valid"])
