"""What a user's file said when it was read is what runs, whatever becomes of the file."""

import ast
import importlib.util
import os

from fastsgd.kernels.own_source import lines_of, source

from fastsgd.problems.own_code import imported

TEXT = """from numba import njit

def helper(x):
    return 2.0 * x

@njit
def gradient(theta, sample, out):
    out[0] = theta[0] - {} * sample[0]
"""


def read(path, number):
    path.write_text(TEXT.format(number))
    return imported(path.read_bytes(), path)


def test_the_source_is_that_of_the_text_that_was_read(tmp_path):
    path = tmp_path / "code.py"
    module = read(path, 2)
    wanted = ast.parse(TEXT.format(2)).body[2]
    wanted.decorator_list = []
    for becomes in (TEXT.format(3), "", None):
        path.write_text(becomes) if becomes is not None else path.unlink()
        found = source(module.gradient.py_func)
        assert ast.dump(found) == ast.dump(wanted) and found.lineno == wanted.lineno
        assert lines_of(module.helper) == ["def helper(x):\n", "    return 2.0 * x\n"]


def test_a_text_of_the_same_size_and_time_is_another_module(tmp_path):
    path = tmp_path / "code.py"
    one = read(path, 4)
    stat = path.stat()
    other = path.with_name("other.py")
    other.write_text(TEXT.format(5))
    other.replace(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    two = imported(path.read_bytes(), path)
    assert one.__name__ != two.__name__
    assert "4 * sample" in "".join(lines_of(one.gradient.py_func))
    assert "5 * sample" in "".join(lines_of(two.gradient.py_func))
    assert two.gradient.py_func.__code__.co_consts != one.gradient.py_func.__code__.co_consts
    assert not (tmp_path / "__pycache__").exists()


def test_a_file_on_disk_that_has_changed_has_no_source(tmp_path):
    path = tmp_path / "theirs.py"
    path.write_text(TEXT.format(6))
    spec = importlib.util.spec_from_file_location("theirs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = module.gradient.py_func
    assert source(function) is not None  # control
    path.write_text(TEXT.format(777777))
    assert source(function) is None and lines_of(function) is None
