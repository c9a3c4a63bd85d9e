"""The readers of containers: what is plain comes through, everything else is refused unrun."""

import collections
import functools
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from fakes.damage import mutate

from poseact.data import restricted
from poseact.data.restricted import load_npy, load_npz, load_pickle
from poseact.errors import UserError

ARRAYS = {
    "doubles": np.arange(6.0).reshape(2, 3),
    "columns first": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "every second": np.arange(12).reshape(3, 4)[:, ::2],
    "other axes": np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1),
    "big-endian": np.array([1.5, -2.0], ">f8"),
    "empty": np.empty((0, 3), np.float32),
    "no dimension": np.array(3.5),
    "flags": np.array([True, False]),
    "text": np.array(["walk", "wave"]),
    "bytes": np.array([b"a", b"bcd"]),
    "float16": np.float16([[0.5]]),
    "objects": np.array([None, "a", {"x": np.arange(3)}], object),
    "nested": np.array({"S1": {"Walking": np.arange(4.0).reshape(2, 2)}}, object),
}


def dumps(value, protocol, core="numpy._core"):
    """As ``pickle.dumps``, by the name that numpy's inner modules had (numpy 1) or have (numpy 2)."""
    data = pickle.dumps(value, protocol)
    for module in (b"multiarray", b"numeric"):
        for old in (b"numpy._core.", b"numpy.core."):
            new = core.encode() + b"."
            data = data.replace(b"c" + old + module, b"c" + new + module)
            prefix, length = b"\x8c" + bytes([len(old + module)]), bytes([len(new + module)])
            data = data.replace(prefix + old + module, b"\x8c" + length + new + module)
    if protocol >= 4 and data[2:3] == b"\x95":
        data = data[:3] + (len(data) - 11).to_bytes(8, "little") + data[11:]
    return data


@pytest.fixture
def write(tmp_path):
    def write(data: bytes, name="file.pkl"):
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def equal(a, b):
    if isinstance(b, np.ndarray):
        same = type(a) is np.ndarray and a.dtype == b.dtype and a.shape == b.shape
        return same and all(equal(x, y) for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    if isinstance(b, dict):
        return type(a) is dict and a.keys() == b.keys() and all(equal(a[k], b[k]) for k in b)
    if isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_of_every_protocol_and_numpy(write, kind, protocol, core):
    data = dumps(ARRAYS[kind], protocol, core)
    assert (core.encode() + b".") in data
    assert equal(load_pickle(write(data)), ARRAYS[kind])


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_containers(write, protocol):
    shared = [1, 2.5, "text", b"bytes", b"", True, None, 2**80]
    value = {"a": shared, "b": (shared, {3, 4}, frozenset([5])), "c": np.float32(1.5), "d": np.int64(-7)}
    loaded = load_pickle(write(pickle.dumps(value, protocol)))
    assert equal(loaded, value)
    assert loaded["a"] is loaded["b"][0]  # shared stays shared
    ordered = collections.OrderedDict(split=["a"], annotations=[{"keypoint": np.zeros((1, 2))}])
    assert equal(load_pickle(write(pickle.dumps(ordered, protocol))), dict(ordered))


def test_a_dtype(write):
    assert load_pickle(write(pickle.dumps([np.dtype(">f4")]))) == [np.dtype(">f4")]


def test_what_refers_to_itself(write):
    value = [np.arange(2)]
    value.append({"all": value})
    loaded = load_pickle(write(pickle.dumps(value)))
    assert loaded[1]["all"] is loaded and equal(loaded[0], np.arange(2))


def test_arrays_can_be_written_to(write):
    array = load_pickle(write(pickle.dumps(np.arange(3.0))))
    array[0] = 5
    assert array.tolist() == [5, 1, 2]


def test_a_pickle_of_python_2(write):
    """There numpy's bytes are text: ``np.array([1, 2], '<i2')`` in protocol 2."""
    data = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
        b"(K\x01K\x02\x85cnumpy\ndtype\nq\x04U\x02i2K\x00K\x01\x87Rq\x05(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x04\x01\x00\x02\x00tb."
    )
    assert equal(load_pickle(write(data)), np.array([1, 2], "<i2"))


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("place", ["alone", "nested", "in an array"])
@pytest.mark.parametrize("name", ["system", "eval", "partial", "getattr", "import", "load"])
def test_poison_is_refused_and_does_not_run(write, tmp_path, name, place, protocol):
    mark = tmp_path / "it ran"
    poison = {
        "system": Call(os.system, f"touch '{mark}'"),
        "eval": Call(eval, f"open({str(mark)!r}, 'w')"),
        "partial": Call(functools.partial, os.mkdir, str(mark)),
        "getattr": Call(getattr, "", "join"),
        "import": Call(__import__, "antigravity"),
        "load": Call(np.load, str(mark)),
    }[name]
    place_of = {
        "alone": lambda p: p,
        "nested": lambda p: {"positions_3d": [np.arange(2), (p,)]},
        "in an array": lambda p: np.array([1, p], object),
    }[place]
    with pytest.raises(UserError, match=name if name != "import" else "__import__") as caught:
        load_pickle(write(pickle.dumps(place_of(poison), protocol)))
    assert "file.pkl" in str(caught.value) and "\n" not in str(caught.value)
    assert not mark.exists()
    np.savez(tmp_path / "file.npz", positions_3d=np.array(place_of(poison), object))
    with pytest.raises(UserError, match=r"file\.npz: positions_3d\.npy"):
        load_npz(tmp_path / "file.npz")
    assert not mark.exists()


@pytest.mark.parametrize("module", ["numpy", "numpy.core.multiarray", "builtins", "codecs", "os\nx"])
@pytest.mark.parametrize("name", ["fromfile", "memmap", "exec", "open", "ndarray.tofile", "dtype.__class__"])
def test_other_names_of_admitted_modules(write, module, name):
    def text(s):
        return b"\x8c" + bytes([len(s)]) + s.encode()

    with pytest.raises(UserError, match="asks for") as caught:
        load_pickle(write(b"\x80\x04" + text(module) + text(name) + b"\x93."))
    assert "\n" not in str(caught.value)


def test_references_outside(write):
    class Outside(pickle.Pickler):
        def persistent_id(self, obj):
            return "elsewhere" if obj == "x" else None

    file = io.BytesIO()
    Outside(file).dump(["x"])
    with pytest.raises(UserError, match="outside"):
        load_pickle(write(file.getvalue()))


def test_functions_are_not_changed(write):
    """BUILD on an admitted function must not set attributes that a later file would meet."""
    with pytest.raises(UserError, match="state"):
        load_pickle(write(b"\x80\x02c_codecs\nencode\nN}U\x01aK\x01s\x86b."))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a pickle",
        b"\x80\x04.",
        b"\x80\x02]r\xff\xff\xff\x7f.",  # a memo of 2^31 entries
        b"]p9999999999\n.",
        b"\x80\x05\x96\x00\x00\x00\x00\x00\x00\x00\x70.",  # a byte array of 2^62
        b"\x80\x04\x8e\x00\x00\x00\x00\x00\x00\x00\x70.",
        b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85R.",  # numpy.ndarray(2^31)
        b"\x80\x02c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R.",  # bytes(2^31)
        b"\x80\x02cnumpy\ndtype\nU\x05f8,f8\x85R.",
        b"(" * 100_000 + b"t" * 99_999 + b"l.",
    ],
)
def test_damaged_and_demanding(write, data):
    with pytest.raises(UserError, match=r"file\.pkl: expected") as caught:
        load_pickle(write(data))
    assert "\n" not in str(caught.value)


def test_another_size_than_announced(write):
    """2 x 3 doubles stay 48 bytes, whatever the shape says; 3 objects stay 3."""
    data = pickle.dumps(np.arange(6.0).reshape(2, 3), 2)
    with pytest.raises(UserError, match="48 bytes"):
        load_pickle(write(data.replace(b"K\x02K\x03\x86", b"K\x02K\xff\x86")))
    data = pickle.dumps(np.array([1, 2, 3], object), 2)
    with pytest.raises(UserError, match="another number"):
        load_pickle(write(data.replace(b"K\x03\x85", b"K\xff\x85")))


@pytest.mark.parametrize("compressed", [False, True])
def test_npz(tmp_path, compressed):
    save = np.savez_compressed if compressed else np.savez
    save(tmp_path / "all.npz", **ARRAYS)
    loaded = load_npz(tmp_path / "all.npz")
    assert equal(loaded, ARRAYS)
    assert equal(loaded["nested"].item()["S1"]["Walking"], np.arange(4.0).reshape(2, 2))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("kind", ["doubles", "columns first", "nested"])
def test_npy(tmp_path, kind, version):
    with open(tmp_path / "a.npy", "wb") as file:
        np.lib.format.write_array(file, ARRAYS[kind], version)
    assert equal(load_npy(tmp_path / "a.npy"), ARRAYS[kind])


@pytest.mark.parametrize("shape", ["(99999999999,)", "(-1,)", "(3,)", "(1,1,2,2)", "(0,)", "(2.0,)", "'ab'"])
def test_npy_headers_that_lie(tmp_path, shape):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(2))
    data = path.read_bytes()
    start, end = data.index(b"(2,)"), data.index(b"\n")
    header = data[:start] + shape.encode() + data[start + 4 : end]
    path.write_bytes(header.rstrip(b" ").ljust(end) + data[end:])
    with pytest.raises(UserError, match=r"a\.npy: expected a numpy array"):
        load_npy(path)


def test_an_object_array_that_is_none(tmp_path):
    file = io.BytesIO()
    np.save(file, np.array([None, None], object))
    head = file.getvalue()[:128]
    (tmp_path / "a.npy").write_bytes(head + pickle.dumps({"os": 1}))
    with pytest.raises(UserError, match="dict found"):
        load_npy(tmp_path / "a.npy")


def test_limits(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "zeros.npz", a=np.zeros(100_000))
    np.save(tmp_path / "zeros.npy", np.zeros(100))
    load_npz(tmp_path / "zeros.npz")
    monkeypatch.setattr(restricted, "LARGEST", 500)
    with pytest.raises(UserError, match="check the file"):
        load_npz(tmp_path / "zeros.npz")
    with pytest.raises(UserError, match="check the file"):
        load_npy(tmp_path / "zeros.npy")


@pytest.mark.parametrize("load", [load_pickle, load_npy, load_npz])
def test_missing_file(tmp_path, load):
    with pytest.raises(UserError, match="check the path"):
        load(tmp_path / "none")


def test_not_an_archive(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match=r"a\.npz: expected an \.npz file"):
        load_npz(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("text.npy", "nothing")
    with pytest.raises(UserError, match=r"b\.npz: text\.npy: expected a numpy array"):
        load_npz(tmp_path / "b.npz")


def fuzz(tmp_path, count):
    arrays = {"positions_3d": ARRAYS["nested"], "plain": ARRAYS["doubles"], "text": ARRAYS["text"]}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    np.save(tmp_path / "a.npy", ARRAYS["objects"])
    seeds = [((tmp_path / "a.npz").read_bytes(), load_npz), ((tmp_path / "a.npy").read_bytes(), load_npy)]
    seeds += [(dumps(arrays, protocol), load_pickle) for protocol in (0, 2, 4, 5)]
    rng = np.random.default_rng(0)
    path, refused = tmp_path / "damaged", 0
    for i in range(count):
        data, load = seeds[i % len(seeds)]
        path.write_bytes(mutate(data, rng))
        try:
            load(path)
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > count / 2


def test_damage_of_any_kind(tmp_path):
    fuzz(tmp_path, 180)


@pytest.mark.slow
def test_damage_of_any_kind_much(tmp_path):
    fuzz(tmp_path, 12_000)
