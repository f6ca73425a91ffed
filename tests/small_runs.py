"""A small quadratic spec and the bytes of a run file, for tests of the engine."""

import h5py
import numpy as np


def tables(**changes):
    """A small quadratic spec; keys with __ stand for dotted ones."""
    spec = {
        "name": "small",
        "seed": 5,
        "replicates": 150,
        "problem": {
            "kind": "quadratic",
            "dimension": 3,
            "hessian": {"eigenvalues": [0.5, 1.0, 4.0]},
            "noise": {"spectrum": "loguniform", "low": 0.2, "high": 5.0, "basis": "random", "seed": 7},
        },
        "sampling": {"design": "fresh", "batch": 4},
        "step": {"size": 0.1},
        "record": {"steps": [0, 3, 10, 40]},
    }
    for key, value in changes.items():
        *path, last = key.split("__")
        table = spec
        for part in path:
            table = table.setdefault(part, {})
        table[last] = value
    return spec


def datasets(path):
    """Every dataset of a run file as bytes, commit bookkeeping included."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            values = item[...]
            found[name] = np.asarray(values).tobytes() if item.dtype.kind != "O" else repr(list(values)).encode()

    with h5py.File(path, "r", locking=False) as file:
        file.visititems(visit)
    return found


def results(path):
    """The same without the bookkeeping."""
    return {name: data for name, data in datasets(path).items() if not name.startswith("checkpoint")}
