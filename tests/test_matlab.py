import numpy as np
import pytest
import scipy.io
import scipy.sparse
from fakes import mpii as fake

from poseact.data import matlab


@pytest.fixture
def pictures():
    return fake.truth()


def same(ours, theirs):
    """Equal in types, shapes, field names and contents, to the last nested array."""
    assert type(ours) is type(theirs) and ours.dtype == theirs.dtype and ours.shape == theirs.shape
    if ours.dtype.names:
        for name in ours.dtype.names:
            same(ours[name], theirs[name])
    elif ours.dtype == np.object_:
        for a, b in zip(ours.flat, theirs.flat, strict=True):
            same(a, b)
    else:
        assert np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f")


@pytest.mark.parametrize("compressed", [False, True])
def test_mat_files_read_as_by_scipy(tmp_path, pictures, compressed):
    variables = {
        "release": fake.struct([fake.release(pictures)]),
        "cells": fake.columns(pictures, True),
        "texts": np.array(["ab", "cd"]),
        "accents": "é日",
        "single": np.float32([[1, 2], [3, 4]]),
        "integers": np.arange(24, dtype=np.int16).reshape(2, 3, 4),
        "empty": fake.EMPTY,
        "nothing": "",
    }
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, variables, do_compression=compressed)
    expected = scipy.io.loadmat(path)
    for name in variables:
        same(matlab.read_mat(path.read_bytes(), name), expected[name])
    with pytest.raises(KeyError):
        matlab.read_mat(path.read_bytes(), "absent")


def test_what_a_mat_file_holds_beside_arrays_is_none(tmp_path):
    path = tmp_path / "a.mat"
    sparse = scipy.sparse.csc_matrix(np.eye(3))
    scipy.io.savemat(path, {"a": fake.struct([{"complex": 1j, "sparse": sparse, "other": 2.0, "x": 3.0}])})
    read = matlab.read_mat(path.read_bytes(), "a", frozenset({"complex", "sparse", "x"}))
    assert read["x"][0, 0] == 3 and all(read[name][0, 0] is None for name in ("complex", "sparse", "other"))
