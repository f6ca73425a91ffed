"""Files that nobody should give a program, and what a sound one of each kind looks like: for the fuzz of the command line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

HEADER = "x1,x2,y\n"
ROWS = "".join(f"{(7 * k) % 11 / 11},{(5 * k) % 13 / 13},{(k * k) % 3 % 2}\n" for k in range(40))
SPEC = """seed = 3
replicates = 64
[problem]
kind = "quadratic"
hessian = { eigenvalues = [1.0, 2.0] }
noise = { kind = "isotropic" }
[sampling]
batch = 4
[step]
size = 0.1
[record]
steps = [2, 5]
"""
POOL = """seed = 3
replicates = 64
[problem]
kind = "glm"
family = "%s"
ridge = 0.1
data = { file = "%s", target = "%s" }
[sampling]
batch = 4
[step]
size = 0.1
[record]
steps = [2, 5]
"""
PROBLEMS = {
    "newsvendor": "dimension = 2\ncost = 1.0\nprice = 3.0\ndemand = { mean = 5.0, deviation = 1.5, correlation = 0.5 }",
    "queue": "arrival_rate = [1.0, 0.5]\nrate_cost = 0.5\ncustomers = 5\npilot = 65536",
    "portfolio": "smoothing = 0.125\nridge = 0.25\n"
    "scenarios = { generate = { samples = 50, assets = 3, mean = [0.1, 0.2, 0.05], deviation = 0.25 } }",
    "ou": "time_step = 0.1\nhessian = { eigenvalues = [1.0, 2.0] }\nnoise = { eigenvalues = [1.0, 3.0] }",
    "glm": 'family = "huber"\nridge = 0.1\ndata = { generate = { samples = 40, dimension = 2, contamination = 0.25 } }',
}
CODE = "import numba\n\n\n@numba.njit\ndef gradient(theta, sample, out):\n    out[0] = theta[0] - sample.normals[0]\n"


def texts() -> dict[str, bytes]:
    """CSV files by name."""
    body = HEADER + ROWS
    return {
        "empty.csv": b"",
        "blank.csv": b"\n\n\n",
        "binary.csv": bytes(range(256)) * 40,
        "nul.csv": body.replace("0", "\0", 1).encode(),
        "ragged.csv": (body + "1,2\n1,2,3,4\n").encode(),
        "nan.csv": (body + "nan,1,0\n").encode(),
        "inf.csv": (body + "1,-inf,0\n").encode(),
        "huge.csv": (body + "1e308,-1e308,1\n1e308,1e308,0\n").encode(),
        "overflow.csv": (body + "1e999,1,0\n").encode(),
        "digits.csv": (body + "9" * 6000 + ",1,0\n").encode(),
        "tiny.csv": (HEADER + "1e-320,1e-320,1\n2e-320,0,0\n0,3e-320,1\n").encode(),
        "latin.csv": (body + "é,1,0\n").encode("latin-1"),
        "utf16.csv": body.encode("utf-16"),
        "bom.csv": body.encode("utf-8-sig"),
        "crlf.csv": body.replace("\n", "\r\n").encode(),
        "cr.csv": body.replace("\n", "\r").encode(),
        "header.csv": HEADER.encode(),
        "one.csv": (HEADER + "1,2,1\n").encode(),
        "two.csv": (HEADER + "1,2,1\n3,5,0\n").encode(),
        "twice.csv": ("x1,x1,y\n" + ROWS).encode(),
        "unnamed.csv": (",,y\n" + ROWS).encode(),
        "quote.csv": ('x1,"x2,y\n' + ROWS).encode(),
        "control.csv": ('"x\x1b[31m","a\nb",y\n' + ROWS).encode(),
        "constant.csv": (HEADER + "1,2,0\n1,2,1\n" * 20).encode(),
        "collinear.csv": (HEADER + "".join(f"{k},{2 * k},{k % 2}\n" for k in range(30))).encode(),
        "separable.csv": (HEADER + "".join(f"{k},{k * k % 7},{int(k > 15)}\n" for k in range(30))).encode(),
        "classes.csv": (HEADER + "".join(f"{k},{k * k % 7},{k % 5 - 2.5}\n" for k in range(30))).encode(),
        "wide.csv": (",".join(f"c{j}" for j in range(3000)) + ",y\n" + ",".join("1" * 3001) + "\n").encode(),
        "line.csv": ("x1," + "z" * 300_000 + ",y\n" + ROWS).encode(),
        "target.csv": b"y\n1\n0\n",
        "semicolon.csv": body.replace(",", ";").encode(),
        "good.csv": body.encode(),
    }


def arrays(folder: Path) -> None:
    """NPY, NPZ and HDF5 files."""
    x, y = np.arange(24.0).reshape(12, 2) % 5, np.arange(12.0) % 2
    saved: dict[str, object] = {
        "empty": np.empty((0, 0)), "scalar": np.array(3.0), "complex": np.eye(2) * 1j, "bool": np.eye(2) > 0,
        "nan": np.full((2, 2), np.nan), "huge": np.diag([1e308, 1e308]), "tiny": np.diag([1e-320, 1e-320]),
        "negative": -np.eye(2), "asymmetric": np.array([[1.0, 2.0], [0.0, 1.0]]), "wrong": np.eye(5),
        "line": np.ones(4), "cube": np.ones((2, 2, 2)), "words": np.array([["a", "b"], ["c", "d"]]),
        "structured": np.zeros(2, dtype=[("a", "f8"), ("b", "i4")]), "dates": np.zeros((2, 2), "M8[s]"),
        "long": np.eye(2, dtype=np.longdouble), "half": np.eye(2, dtype=np.float16), "good": np.diag([1.0, 2.0]),
    }  # fmt: skip
    for name, array in saved.items():
        np.save(folder / f"{name}.npy", array)
        np.savez(folder / f"{name}.npz", x=array, y=y)
    np.save(folder / "object.npy", np.array([[{}, 1], [2, 3]], dtype=object), allow_pickle=True)
    np.savez(folder / "object.npz", x=np.array([{}] * 12, dtype=object), y=y)
    np.savez_compressed(folder / "table.npz", x=x, y=y)
    whole = (folder / "table.npz").read_bytes()
    (folder / "cut.npz").write_bytes(whole[: len(whole) // 2])
    good = (folder / "good.npy").read_bytes()
    (folder / "cut.npy").write_bytes(good[:-9])
    (folder / "claims.npy").write_bytes(good.replace(b"(2, 2), }", b"(99999999, 99999999), }"))
    (folder / "header.npy").write_bytes(good.replace(b"'descr'", b"__import"))
    with h5py.File(folder / "table.h5", "w") as file:
        file["x"], file["y"] = x, y
    with h5py.File(folder / "strange.h5", "w") as file:
        file["y"] = y
        file["words"] = ["a"] * 12
        file["loop"] = h5py.SoftLink("/loop")
        file["away"] = h5py.ExternalLink("/dev/zero", "/x")
        file["kind"] = np.dtype("f8")
        file.create_dataset("large", (12, 2**40), "f8", chunks=(1, 2**20))
        file["references"] = np.array([file["y"].ref] * 12, dtype=h5py.ref_dtype)
    with h5py.File(folder / "large.h5", "w") as file:
        file.create_dataset("x", (2**38, 2**10), "f8", chunks=(1, 2**10))
        file.create_dataset("y", (2**38,), "f8", chunks=(2**10,))
    with h5py.File(folder / "hollow.h5", "w") as file:
        file["x"], file["y"] = h5py.Empty("f8"), h5py.Empty("f8")
    (folder / "text.h5").write_bytes(b"a,b\n1,2\n")
    (folder / "magic.h5").write_bytes(b"\x89HDF\r\n\x1a\n" * 9)


def places(folder: Path) -> None:
    """Paths that are no files, or cannot be opened."""
    for end in ("csv", "npy", "npz", "h5", "toml", "py"):
        (folder / f"folder.{end}").mkdir()
        os.mkfifo(folder / f"pipe.{end}")
        for name, target in (("zero", "/dev/zero"), ("null", "/dev/null"), ("full", "/dev/full")):
            (folder / f"{name}.{end}").symlink_to(target)
        (folder / f"loop.{end}").symlink_to(f"loop.{end}")
        (folder / f"dangling.{end}").symlink_to("nowhere")
        (folder / f"secret.{end}").write_bytes(b"x")
        (folder / f"secret.{end}").chmod(0)


def codes() -> dict[str, str]:
    """Python files of own problems."""
    return {
        "good.py": CODE,
        "syntax.py": "def gradient(:\n",
        "raises.py": "raise RuntimeError('no\\nway')\n",
        "exits.py": "raise SystemExit(0)\n",
        "nothing.py": "",
        "object.py": "gradient = 3\n",
        "arguments.py": CODE.replace("theta, sample, out", "theta"),
        "untyped.py": CODE.replace("theta[0] - sample.normals[0]", "theta.no_such + 'x'"),
        "nan.py": CODE.replace("theta[0] - sample", "0.0 * theta[0] / 0.0 - sample"),
    }


def specs(folder: Path) -> None:
    """A spec for every data file and matrix in `folder`, and specs that are none."""
    for path in sorted(folder.iterdir()):
        if path.suffix in (".csv", ".npz", ".h5"):
            text = POOL % ("logistic", path.name, "y")
        elif path.suffix == ".npy":
            text = SPEC.replace("{ eigenvalues = [1.0, 2.0] }", f'{{ file = "{path.name}" }}')
        elif path.suffix == ".py":
            text = SPEC.replace('"quadratic"', f'"{path.name}:gradient"\ndimension = 1\nnormals = 1\nguess = [0.5]')
            text = "\n".join(line for line in text.splitlines() if not line.startswith(("hessian", "noise")))
        else:
            continue
        (folder / f"{path.name}.toml").write_text(text, encoding="utf-8")
    for name, raw in {
        "empty.toml": b"", "binary.toml": bytes(range(256)), "syntax.toml": b"seed = = 3\n",
        "utf16.toml": SPEC.encode("utf-16"), "bom.toml": SPEC.encode("utf-8-sig"),
        "crlf.toml": SPEC.encode().replace(b"\n", b"\r\n"),
        "deep.toml": b"a = " + b"[" * 5000, "digits.toml": b"seed = " + b"9" * 5000, "nul.toml": b"seed = 1\0\n",
    }.items():  # fmt: skip
        (folder / name).write_bytes(raw)


def damaged(folder: Path, run: Path) -> None:
    """Copies of a run that are cut, flipped, or of another version."""
    whole = run.read_bytes()
    for k, share in enumerate((0.001, 0.1, 0.5, 0.9, 0.999)):
        (folder / f"cut-{k}.h5").write_bytes(whole[: int(share * len(whole))])
    for k in range(8):
        data = bytearray(whole)
        data[(k * 7919 + 13) * 997 % len(data)] ^= 1 << k
        (folder / f"flipped-{k}.h5").write_bytes(data)
    changes: dict[str, Callable[[h5py.File], object]] = {
        "version": lambda file: file.attrs.__setitem__("format_version", 99),
        "words": lambda file: file.attrs.__setitem__("format_version", "new"),
        "spec": lambda file: file.attrs.__setitem__("spec", "{}"),
        "nonsense": lambda file: file.attrs.__setitem__("spec", b"\xff\xfe"),
        "without": lambda file: file.__delitem__("risk"),
        "swapped": lambda file: (file.__delitem__("mean"), file.__setitem__("mean", np.zeros(3))),
    }
    for name, change in changes.items():
        shutil.copy(run, folder / f"{name}.h5")
        with h5py.File(folder / f"{name}.h5", "r+") as file:
            change(file)


def make(folder: Path) -> None:
    """All of them but `damaged`, and the sound `spec.toml`."""
    for name, raw in texts().items():
        (folder / name).write_bytes(raw)
    for name, text in codes().items():
        (folder / name).write_text(text, encoding="utf-8")
    arrays(folder)
    places(folder)
    specs(folder)
    (folder / "spec.toml").write_text(SPEC, encoding="utf-8")
    head, _, rest = SPEC.partition("[problem]")
    _, _, rest = rest.partition("[sampling]")
    for kind, text in PROBLEMS.items():
        design = 'design = "without-replacement"\n' if kind == "portfolio" else ""
        whole = f'{head}[problem]\nkind = "{kind}"\n{text}\n[sampling]\n{design}{rest.lstrip()}'
        (folder / f"{kind}.toml").write_text(whole, encoding="utf-8")
