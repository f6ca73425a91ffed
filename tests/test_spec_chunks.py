"""Tables in chunks: the same rows as read at once, from every kind of file; the same words for bad ones."""

import h5py
import numpy as np
import pytest

from fastsgd.errors import InputError
from fastsgd.spec import chunks
from fastsgd.spec.chunks import MemoryTable, chunk_rows, open_table
from fastsgd.spec.files import read_table

N = 1000


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "chunk_rows", lambda columns: 64)


def arrays():
    rng = np.random.default_rng(1)
    return {"a": rng.standard_normal((N, 3)), "y": rng.integers(0, 2, N), "b": rng.standard_normal(N).astype("f4")}


def csv(path, content):
    columns = [*(f"a_{j}" for j in range(3)), "y", "b"]
    table = np.column_stack([content["a"], content["y"], content["b"].astype("f8")])
    lines = ["# a remark", ",".join(columns), *(",".join(map(repr, row)) for row in table.tolist())]
    lines.insert(40, "")
    path.write_text("\n".join(lines) + "\n")


def npz(path, content):
    np.savez(path, **content)


def packed(path, content):
    np.savez_compressed(path, **content)


def fortran(path, content):
    np.savez(path, **content | {"a": np.asfortranarray(content["a"])})


def hdf5(path, content):
    with h5py.File(path, "w") as file:
        for name, array in content.items():
            file[name] = array


KINDS = [(csv, ".csv"), (npz, ".npz"), (packed, ".npz"), (fortran, ".npz"), (hdf5, ".h5")]


@pytest.mark.parametrize(("write", "suffix"), KINDS)
def test_chunks_are_the_rows_of_the_table(tmp_path, small_chunks, write, suffix):
    path = tmp_path / f"table{suffix}"
    write(path, arrays())
    whole = read_table(path, "y")
    table = open_table(path, "y", in_memory=0)
    assert not isinstance(table, MemoryTable)
    assert list(table.names) == whole.names
    for _ in range(2):  # every pass gives all rows
        parts = list(table)
        assert max(len(y) for _, y in parts) == 64
        assert np.array_equal(np.concatenate([X for X, _ in parts]), whole.features)
        assert np.array_equal(np.concatenate([y for _, y in parts]), whole.target)
    memory = open_table(path, "y")
    assert isinstance(memory, MemoryTable)
    assert np.array_equal(np.concatenate([X for X, _ in memory]), whole.features)


def test_a_group_of_an_hdf5_file(tmp_path):
    path = tmp_path / "grouped.h5"
    with h5py.File(path, "w") as file:
        file["train/X"], file["train/y"] = np.ones((5, 2)), np.arange(5)
    ((X, y),) = open_table(path, "train/y", in_memory=0)
    assert X.shape == (5, 2) and list(y) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x,y\n1,2\n3,oops\n", 'got "oops" at line 3, column "y"'),
        ("x,y\n1,2\n\n3,\n", 'an empty cell at line 4, column "y"'),
        ("x,y\n1,2\n3\n", "got 1 at line 3"),
        ("x,y\n", "no rows"),
        ("x,z\n1,2\n", 'no column "y"'),
        ("", "is empty"),
        ("x,y\n1,inf\n", "finite"),
    ],
)
def test_a_bad_csv_names_line_and_column(tmp_path, text, said):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        list(open_table(path, "y", in_memory=-1))


@pytest.mark.parametrize(("write", "suffix"), [(npz, ".npz"), (hdf5, ".h5")])
def test_bad_arrays_are_named(tmp_path, small_chunks, write, suffix):
    path, content = tmp_path / f"bad{suffix}", arrays()
    content["b"][777] = np.nan
    write(path, content)
    with pytest.raises(InputError, match='got nan in "b" at row 778'):
        list(open_table(path, "y", in_memory=0))
    write(path, arrays() | {"b": np.zeros(3)})
    with pytest.raises(InputError, match=f'must hold {N} rows in "b"'):
        open_table(path, "y", in_memory=0)
    with pytest.raises(InputError, match='no array "z"'):
        open_table(path, "z", in_memory=0)


def test_rows_of_a_chunk_depend_on_the_columns_alone():
    assert [chunk_rows(p) for p in (1, 128, 1000, 10**6)] == [16384, 16384, 2048, 256]
