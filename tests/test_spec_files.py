"""Tables and matrices of a user: what is read, and the one line that says what is wrong and where."""

import csv
import os
import re

import h5py
import numpy as np
import pytest

from fastsgd.errors import InputError, SpecError
from fastsgd.problems.matrices_check import check_matrices, check_matrix
from fastsgd.spec import Spec, csv_table, load_spec
from fastsgd.spec.files import read_matrix, read_table

X = np.array([[1.0, 2.5], [3.0, -4.0], [5.0, 6e-3]])
Y = np.array([0.0, 1.0, 1.0])


def lines_of(call, *args):
    with pytest.raises(InputError) as caught:
        call(*args)
    for line in caught.value.lines:
        assert "\n" not in line and ";" in line, line
    return list(caught.value.lines)


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "a,y,b\n1,0,2.5\n3,1,-4\n5,1,0.006\n",
        "# from somewhere, public domain\n#,,,\na,y,b\n1,0,2.5\n\n3,1,-4\n5,1,6e-3",
        '\ufeff"a","y", b \r\n 1,0 ,2.5\r\n3,1,-4\r\n5,"1",.006\r\n',
    ],
)
def test_csv(tmp_path, text):
    features, target, names = read_table(write(tmp_path / "x.csv", text), "y")
    assert names == ["a", "b"]
    assert np.array_equal(features, X) and np.array_equal(target, Y)
    assert features.dtype == target.dtype == np.float64


def test_npz(tmp_path):
    np.savez(
        tmp_path / "x.npz", features=X.astype(np.float32).astype(np.float64), y=Y.astype(np.int8), more=np.arange(3)
    )
    features, target, names = read_table(tmp_path / "x.npz", "y")
    assert names == ["features_1", "features_2", "more"]
    assert np.array_equal(target, Y) and np.array_equal(features[:, 2], [0.0, 1.0, 2.0])


@pytest.mark.parametrize("target", ["y", "pool/y", "/pool/y"])
def test_hdf5(tmp_path, target):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        group = file.create_group("pool") if "/" in target else file
        group["X"], group["y"], group["row"] = X, Y, np.array([b"a", b"b", b"c"])
        group["row"].make_scale("row")
        file.create_group("other")
    features, values, names = read_table(tmp_path / "x.h5", target)
    assert names == ["X_1", "X_2"]
    assert np.array_equal(features, X) and np.array_equal(values, Y)


BAD_CSV = {
    "empty": (b"", r"is empty; give a header line"),
    "only a comment": (b"# nothing\n", r"is empty; give a header line"),
    "no rows": (b"a,y\n", r"has a header but no rows; "),
    "no header": (b"1,2\n3,4\n", r"must begin with the names of its columns, got 1; add a header line"),
    "ragged": (b"a,y\n1,2\n3\n", r"must have 2 cells in each row, got 1 at line 3; mend the row"),
    "too wide": (b"a,y\n1,2,3\n", r"must have 2 cells in each row, got 3 at line 2; mend the row"),
    "ragged after a comment": (b"# x\n\na,y\n1,2\n3\n", r"must have 2 cells in each row, got 1 at line 5; "),
    "text": (b"a,y\n1,M\n", r'must hold numbers, got "M" at line 2, column "y"; code it as a number'),
    "decimal comma": (b'a,y\n"1,5",0\n', r'must hold numbers, got "1,5" at line 2, column "a"; '),
    "underscore": (b"a,y\n1_0,0\n", r'must hold numbers, got "1_0" at line 2, column "a"; '),
    "missing": (b"a,y\n1,\n", r'has an empty cell at line 2, column "y"; fill it or remove the row'),
    "nan": (b"a,y\n1,2\nnan,1\n", r'must hold finite numbers, got nan at line 3, column "a"; '),
    "inf": (b"a,y\n1,2\n1,-inf\n", r'must hold finite numbers, got -inf at line 3, column "y"; '),
    "target": (b"a,diagnosis,yy\n1,2,3\n", r'has no column "y" for the target; did you mean "yy"\?'),
    "target far": (b"a,b\n1,2\n", r'has no column "y" for the target; it has a, b'),
    "twice": (b"a,y,a\n1,2,3\n", r'has two columns named "a"; '),
    "unnamed": (b"a,,y\n1,2,3\n", r"has no name for column 2; "),
    "semicolons": (b"a;y\n1;2\n", r"has no commas in its header, got 'a;y'; separate its columns by commas"),
    "target alone": (b"y\n1\n", r'has no column beside "y"; give at least one feature'),
    "latin-1": ("a,y\nä,1\n".encode("latin-1"), r"is not UTF-8 text \(byte 0xe4 at line 2, byte 1\); save it as UTF-8"),
    "binary": (b"\x89PNG\r\n", r"is not UTF-8 text \(byte 0x89 at line 1, byte 1\); "),
    "quotes": (b'a,y\n"1,2\n', r"is not CSV at line 2 \(unexpected end of data\); mend the line"),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_csv(tmp_path, case):
    content, pattern = BAD_CSV[case]
    path = write(tmp_path / "x.csv", content)
    (line,) = lines_of(read_table, path, "y")
    assert line.startswith(f"{path} ")
    assert re.match(pattern, line.removeprefix(f"{path} ")), line


def test_several_bad_cells_come_together_but_not_thousands(tmp_path):
    found = lines_of(read_table, write(tmp_path / "x.csv", "a,y\n1,x\nnan,\n"), "y")
    assert [line.split(", column ")[1][:3] for line in found] == ['"y"', '"a"', '"y"']
    found = lines_of(read_table, write(tmp_path / "x.csv", "a,y\n" + "x,y\n" * 1000), "y")
    assert len(found) == 6 and "1995 more" in found[-1]


def test_both_ways_of_reading_give_the_same_numbers(tmp_path):
    """Seventeen digits, subnormals and short decimals, read at once by NumPy and cell by cell."""
    rng = np.random.default_rng(5)
    cells = [repr(float(x)) for x in rng.normal(size=300) * 10.0 ** rng.integers(-320, 300, 300)] + [
        "5e-324",
        "0.1",
        "1e22",
    ]
    path = write(tmp_path / "x.csv", "a,y\n" + "".join(f"{cell},1\n" for cell in cells))
    quick = read_table(path, "y").features[:, 0]
    lines = csv.reader(path.read_text().splitlines()[1:])
    slow = csv_table._row_by_row(path, lines, ["a", "y"], [0, 1])[:, 0]
    assert quick.tobytes() == slow.tobytes() == np.array([float(cell) for cell in cells]).tobytes()


def test_a_sum_that_overflows_hides_no_number(tmp_path):
    features, _, _ = read_table(write(tmp_path / "x.csv", "a,b,y\n1e308,1e308,1\n"), "y")
    assert features.tolist() == [[1e308, 1e308]]


def save_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_bad_npz(tmp_path):
    path = tmp_path / "x.npz"
    cases = [
        ({"X": X}, r'has no array "y" for the target; it has X$'),
        ({"X": X, "yy": Y}, r'has no array "y" for the target; did you mean "yy"\?$'),
        ({"y": Y}, r'has no array beside "y"; '),
        ({"X": X[:2], "y": Y}, r'must hold 3 rows in "X", got shape \[2, 2\]; '),
        ({"X": X[None], "y": Y}, r'must hold 3 rows in "X", got shape \[1, 3, 2\]; '),
        ({"X": X, "y": Y[:, None]}, r'must have a target "y" of shape \[n\], got shape \[3, 1\]; flatten it'),
        ({"X": X, "y": np.array(1.0)}, r'must have a target "y" of shape \[n\], got shape \[\]; '),
        ({"X": X * np.nan, "y": Y}, r'must hold finite numbers, got nan in "X" at row 1; '),
        ({"X": X, "y": np.array(["a", "b", "c"])}, r'must hold numbers, got dtype <U1 in "y"; '),
        ({"X": X * 1j, "y": Y}, r'must hold numbers, got dtype complex128 in "X"; '),
    ]
    for arrays, pattern in cases:
        (line,) = [x.removeprefix(f"{path} ") for x in lines_of(read_table, save_npz(path, **arrays), "y")]
        assert re.match(pattern, line), line
    np.savez(path, X=np.array([{}], dtype=object), y=Y)
    assert "is not a whole NPZ file (Object arrays cannot be loaded" in lines_of(read_table, path, "y")[0]
    np.savez(path, X=X, y=Y)
    path.write_bytes(path.read_bytes()[:200])
    assert "is not a whole NPZ file" in lines_of(read_table, path, "y")[0]
    for content in (b"", b"a,y\n1,2\n"):
        assert "is not a whole NPZ file" in lines_of(read_table, write(path, content), "y")[0]


def test_bad_hdf5(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["X"], file["y"] = X, Y
    assert "has no array" in lines_of(read_table, path, "z")[0]
    assert 'has no group "a" for the target' in lines_of(read_table, path, "a/y")[0]
    assert 'has no group "X" for the target' in lines_of(read_table, path, "X/y")[0]
    assert "is not a whole HDF5 file" in lines_of(read_table, write(path, b"nothing"), "y")[0]


def test_files_that_cannot_be_opened(tmp_path):
    write(tmp_path / "data.csv", "")
    assert lines_of(read_table, tmp_path / "dat.csv", "y") == [
        f"{tmp_path / 'dat.csv'} is not there; did you mean data.csv?"
    ]
    assert lines_of(read_table, tmp_path, "y") == [f"{tmp_path} is a folder; give a file"]
    assert "must end in .csv" in lines_of(read_table, write(tmp_path / "x.xlsx", ""), "y")[0]
    assert "cannot be read" in lines_of(read_matrix, tmp_path / "a\0b.npy")[0]


def test_matrices_are_read_as_float64(tmp_path):
    for dtype in (np.float32, np.int16, ">f8", np.uint8):
        np.save(tmp_path / "m.npy", np.asfortranarray(np.array([[1, 2], [2, 5]], dtype=dtype)))
        matrix = read_matrix(tmp_path / "m.npy")
        assert matrix.dtype == np.float64 and matrix.dtype.isnative and matrix.flags.c_contiguous
        assert matrix.tolist() == [[1.0, 2.0], [2.0, 5.0]]


def test_matrices_that_are_no_npy(tmp_path):
    path = tmp_path / "m.npy"
    np.savez(tmp_path / "m.npz", a=np.eye(2))
    whole = tmp_path / "whole.npy"
    np.save(whole, np.eye(3))
    head = whole.read_bytes()
    for content, part in [
        (b"", "is not an NPY file"),
        (b"1,2\n2,1\n", "is not an NPY file"),
        ((tmp_path / "m.npz").read_bytes(), "is not an NPY file"),
        (head[:-8], "is not a whole NPY file of numbers"),
        (head[:20], "is not a whole NPY file of numbers"),
        (head[:10] + b"{" * 30 + head[40:], "is not a whole NPY file of numbers"),
        (head.replace(b"(3, 3)", b"(9, 9)"), "is not a whole NPY file of numbers"),
    ]:
        (line,) = lines_of(read_matrix, write(path, content))
        assert line.startswith(f"{path} {part}"), line
    for array, part in [
        (np.array([["a"]]), "must hold real numbers, got dtype <U1"),
        (np.eye(2) * 1j, "must hold real numbers, got dtype complex128"),
        (np.eye(2) > 0, "must hold real numbers, got dtype bool"),
        (np.array([[None]]), "is not a whole NPY file of numbers (Object arrays"),
    ]:
        np.save(path, array)
        assert lines_of(read_matrix, path)[0].startswith(f"{path} {part}")


ROTATION = np.array([[0.8, -0.6], [0.6, 0.8]])


@pytest.mark.parametrize(
    ("matrix", "definite", "expected"),
    [
        (np.diag([1.0, 2.0]), True, None),
        (np.diag([1e-99, 2e-99]), True, None),
        (np.diag([1e90, 1e99]), True, None),
        (ROTATION @ np.diag([1e-10, 1.0]) @ ROTATION.T, True, None),
        (np.outer([1.0, 3.0], [1.0, 3.0]), False, None),
        (np.zeros((2, 2)), False, None),
        (np.zeros((2, 2)), True, "must be positive definite, got smallest eigenvalue 0 (largest 0); "),
        (np.diag([0.0, 1.0]), True, "must be positive definite, got smallest eigenvalue 0 (largest 1); "),
        (np.outer([1.0, 3.0], [1.0, 3.0]), True, "must be positive definite, got smallest eigenvalue "),
        (np.diag([-1e-6, 1.0]), False, "must be positive semidefinite, got smallest eigenvalue -1e-06 (largest 1); "),
        (np.diag([-1e-13, 1.0]), False, None),
        (np.array([[1.0, 0.5], [0.5 + 1e-13, 1.0]]), True, None),
        (
            np.array([[1.0, 0.5], [0.6, 1.0]]),
            True,
            "must be symmetric to 1e-12 of its largest entry, got 0.5 at row 1, column 2 and 0.6 across the diagonal; ",
        ),
        (np.array([[1.0, 1e99], [-1e99, 1.0]]), False, "must be symmetric to 1e-12"),
        (np.array([[1.0, 1e308], [-1e308, 1.0]]), False, "must have entries of size 1e+100 or less, got 1e+308; "),
        (np.diag([1e-101, 1.0]), False, None),
        (np.diag([2e-101, 3e-101]), True, "must have eigenvalues of 1e-100 or more, got smallest eigenvalue 2e-101 "),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), False, "must be finite, got nan at row 1, column 2; "),
        (np.diag([1.0, np.inf]), True, "must be finite, got inf at row 2, column 2; "),
        (np.ones((2, 3)), True, "must be a square matrix, got shape 2 x 3; "),
        (np.ones(4), True, "must be a square matrix, got shape 4; "),
        (np.ones((2, 2, 2)), True, "must be a square matrix, got shape 2 x 2 x 2; "),
        (np.array(1.0), True, "must be a square matrix, got shape a single number; "),
        (np.ones((0, 0)), True, "must be a square matrix, got shape 0 x 0; "),
    ],
)
def test_a_matrix_is_checked(matrix, definite, expected):
    found = check_matrix(matrix, None, definite)
    assert (found == []) if expected is None else (len(found) == 1 and found[0].startswith(expected)), found


def test_a_wrong_side_and_a_bad_entry_are_both_reported():
    found = check_matrix(np.diag([1.0, np.nan, 1.0]), 2, definite=True)
    assert [line.split(",")[0] for line in found] == [
        "must be 2 x 2 as problem.dimension = 2 says",
        "must be finite",
    ]


def spec_with(folder, **files):
    problem = {"kind": "quadratic", "dimension": 2, "hessian": {"eigenvalues": [1, 2]}, "noise": {"kind": "isotropic"}}
    problem |= {part: {"file": name} for part, name in files.items()}
    tables = {"problem": problem, "seed": 1, "replicates": 9, "sampling": {"batch": 1}, "step": {"size": 0.1}}
    return load_spec(tables | {"record": {"steps": [1]}}, base=folder)


def test_all_matrices_of_a_spec_are_checked_under_their_keys(tmp_path):
    np.save(tmp_path / "bad.npy", np.diag([1.0, -1.0]))
    np.save(tmp_path / "good.npy", np.diag([1.0, 1.0]))
    assert check_matrices(spec_with(tmp_path, hessian="good.npy", noise="good.npy", metric="good.npy")) == []
    with pytest.raises(SpecError) as caught:
        spec_with(tmp_path, hessian="bad.npy", noise="bad.npy", metric="none.npy")
    keys = [" ".join(line.split(" ")[:5]) for line in caught.value.lines]
    assert keys == [
        "problem.hessian.file must be positive definite,",
        "problem.noise.file must be positive semidefinite,",
        'problem.metric.file = "none.npy" cannot be',
    ]
    assert '(file "bad.npy")' in caught.value.lines[0]


def test_toml_of_a_stored_spec_asks_for_the_file(tmp_path):
    np.save(tmp_path / "H.npy", np.diag([1.0, 2.0]))
    spec = spec_with(tmp_path, hessian="H.npy")
    stored = Spec.from_document(spec.document(), spec.arrays())
    assert np.array_equal(stored.array(stored.problem.hessian.file), np.diag([1.0, 2.0]))
    write(tmp_path / "a.toml", stored.to_toml())
    (line,) = lines_of(load_spec, tmp_path / "a.toml")
    assert line.startswith('problem.hessian.file = "sha256:') and line.endswith("; give the name of a file")
    with pytest.raises(InputError, match="array kept in a run"):
        Spec.from_document(spec.document(), {})


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "spec.toml")
    with pytest.raises(SpecError, match="is a pipe, socket or device; give a file on disk"):
        load_spec(tmp_path / "spec.toml")
