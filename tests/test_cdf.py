import struct

import cdflib
import cdflib.cdfwrite
import numpy as np
import pytest
from fakes.damage import mutate

from poseact.data.cdf import cdf_shape, load_cdf
from poseact.errors import UserError

FILES = [
    {},
    {"Majority": "column_major"},
    {"Compressed": 6},
    {"Compressed": 9, "Majority": "column_major"},
    {"Encoding": 6},
    {"Encoding": 1},
]
VARIABLES = [
    {"Var_Type": "zVariable", "Data_Type": 45, "Compress": 0},
    {"Var_Type": "zVariable", "Data_Type": 22, "Compress": 6},
    {"Var_Type": "zVariable", "Data_Type": 44, "Compress": 0, "Rec_Vary": False},
    {"Var_Type": "zVariable", "Data_Type": 21, "Compress": 9, "Block_Factor": 1},
    {"Var_Type": "rVariable", "Data_Type": 45, "Compress": 0, "Dim_Vary": [True, True]},
]


def write_cdf(path, values, file=None, variable=None):
    """By cdflib: ``values`` (records, ...) as "Pose", another variable before it and one after."""
    sizes = list(values.shape[1:])
    file = {"rDim_sizes": sizes, **(file or {})}
    spec = {"Variable": "Pose", "Num_Elements": 1, "Rec_Vary": True, "Dim_Sizes": sizes}
    spec |= {**VARIABLES[0], **(variable or {})}
    if file.get("Majority") == "column_major":  # cdflib writes the bytes as they are
        values = np.ascontiguousarray(values.swapaxes(1, 2)).reshape(values.shape)
    other = {**spec, "Variable": "Other", "Data_Type": 45, "Compress": 0, "Rec_Vary": True}
    with cdflib.cdfwrite.CDF(path, file, delete=path.exists()) as cdf:
        cdf.write_var(other, None, values + 1000.0)
        cdf.write_var(spec, None, values)
        cdf.write_var({**other, "Variable": "Last"}, None, values - 1000.0)


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("records", [1, 3])
def test_cdf_as_cdflib_reads_it(tmp_path, file, variable, records):
    path = tmp_path / "a.cdf"
    single = variable["Data_Type"] in (44, 21)
    values = np.random.default_rng(0).normal(size=(records, 5, 96)).astype("f4" if single else "f8")
    if not variable.get("Rec_Vary", True):
        values = values[:1]
    write_cdf(path, values, file, variable)
    expected = np.asarray(cdflib.CDF(path)["Pose"]).reshape(values.shape)
    assert np.array_equal(load_cdf(path, "Pose"), expected) and (expected == values).all()
    assert cdf_shape(path, "Pose") == values.shape
    assert (load_cdf(path, "Last") == values - 1000).all()


def test_cdf_in_many_blocks(tmp_path):
    """More blocks than one record of the index holds make a chain or a tree of them."""
    values = np.arange(60_000.0).reshape(600, 100)
    write_cdf(tmp_path / "a.cdf", values, variable={"Compress": 6, "Block_Factor": 2})
    assert (load_cdf(tmp_path / "a.cdf", "Pose") == values).all()


def cdf_of_version_2(values):
    """A file of version 2.6 by hand: offsets of 4 bytes, names of 64. Row-major, big-endian."""

    def record(kind, *parts):
        body = b"".join(p if isinstance(p, bytes) else struct.pack(">i", p) for p in parts)
        return struct.pack(">ii", len(body) + 8, kind) + body

    data = values.astype(">f8").tobytes()
    sizes = values.shape[1:]
    at_global = 8 + 8 + 10 * 4 + 256
    at_variable = at_global + 8 + 13 * 4
    at_index = at_variable + 8 + 14 * 4 + 64 + 4 + 8 * len(sizes)
    at_values = at_index + 8 + 12 + 12
    last = len(values) - 1
    return b"".join(
        [
            b"\xcd\xf2\x60\x02\x00\x00\xff\xff",
            record(1, at_global, 2, 6, 1, 3, 0, 0, 0, 0, 0, bytes(256)),
            record(2, 0, at_variable, 0, at_values + 8 + len(data), 0, 0, -1, 0, 1, 0, 0, 0, 0),
            record(
                8, 0, 45, last, at_index, at_index, 1, 0, 0, 0, 0, 1, 0, -1, 1, b"Pose".ljust(64, b"\0"),
                len(sizes), *sizes, *[-1] * len(sizes),
            ),
            record(6, 0, 1, 1, 0, last, at_values),
            record(7, data),
        ]
    )  # fmt: skip


def test_cdf_of_version_2(tmp_path):
    values = np.random.default_rng(0).normal(size=(2, 5, 96))
    path = tmp_path / "a.cdf"
    path.write_bytes(cdf_of_version_2(values))
    assert (cdflib.CDF(path)["Pose"] == values).all()
    assert np.array_equal(load_cdf(path, "Pose"), values)


@pytest.mark.parametrize("read", [load_cdf, cdf_shape])
def test_cdf_that_is_none(tmp_path, read):
    path = tmp_path / "a.cdf"
    with pytest.raises(UserError, match="check the path"):
        read(path, "Pose")
    for data in (b"", b"nothing", b"\xcd\xf3\x00\x01\x00\x00\xff\xff"):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"a\.cdf: expected a CDF file"):
            read(path, "Pose")
    write_cdf(path, np.zeros((1, 2, 96)))
    with pytest.raises(UserError, match="no such variable"):
        read(path, "Poses")


@pytest.mark.parametrize("field", ["file dimensions", "variables", "dimensions", "records", "entries"])
def test_cdf_counts_that_lie(tmp_path, field):
    """Two thousand million of anything is refused at once."""
    path = tmp_path / "a.cdf"
    write_cdf(path, np.zeros((1, 2, 96)))
    data = bytearray(path.read_bytes())
    file = int.from_bytes(data[20:28], "big")
    variable = data.index(b"Pose\0") - 84
    index = int.from_bytes(data[variable + 28 : variable + 36], "big")
    at = {
        "file dimensions": file + 12 + 32 + 12, "variables": file + 12 + 32 + 16,
        "dimensions": variable + 84 + 256, "records": variable + 24, "entries": index + 24,
    }[field]  # fmt: skip
    data[at : at + 4] = b"\x7f\xff\xff\xff"
    path.write_bytes(data)
    if field in ("file dimensions", "variables"):  # those of a variable with its own do not matter
        assert (load_cdf(path, "Pose") == 0).all()
        with pytest.raises(UserError, match=r"a\.cdf: expected a CDF"):
            load_cdf(path, "None")
        return
    with pytest.raises(UserError, match=r"a\.cdf: expected a CDF"):
        load_cdf(path, "Pose")


def fuzz_cdf(tmp_path, count):
    path, rng, refused = tmp_path / "a.cdf", np.random.default_rng(1), 0
    values = rng.normal(size=(3, 2, 8))
    seeds = [cdf_of_version_2(values)]
    for file, variable in ((0, 0), (1, 3), (2, 1), (0, 4)):
        write_cdf(path, values, FILES[file], VARIABLES[variable])
        seeds.append(path.read_bytes())
    for i in range(count):
        path.write_bytes(mutate(seeds[i % len(seeds)], rng))
        try:
            load_cdf(path, "Pose")
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > count / 4


def test_damaged_cdf_of_any_kind(tmp_path):
    fuzz_cdf(tmp_path, 120)


@pytest.mark.slow
def test_damaged_cdf_of_any_kind_much(tmp_path):
    fuzz_cdf(tmp_path, 10_000)
