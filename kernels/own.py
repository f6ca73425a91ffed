"""Makes the kernels of a user's problem: the templates `own_pool` and `own_simulator` with the user's functions.

A made module is a file of its own, named by what it is made of, so that Numba keeps its code on disk as it does for any
other and never mistakes one problem's for another's.
"""

import hashlib
import importlib.util
import inspect
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from ._jit import CACHE_FOLDER, inline

_IMPORT = "from fastsgd.kernels.own_functions import gradient, loss\n"
_WITHOUT_PARAMS = """from fastsgd.kernels._jit import jit

gradient_alone, loss_alone = gradient, loss


@jit
def gradient(theta, sample, params, out):
    gradient_alone(theta, sample, out)


@jit
def loss(theta, sample, params):
    return loss_alone(theta, sample)
"""


def arguments(function) -> int:
    """How many arguments a Python or compiled function takes."""
    return len(inspect.signature(_plain(function)).parameters)


def _plain(function):
    return getattr(function, "py_func", function)


def make(template: str, key: str, gradient, loss=None) -> ModuleType:
    """Module with `advance`, `pilot` and `pilot_losses` for two functions.

    Args:
        template: own_pool or own_simulator.
        key: what tells these functions from others, such as a hash of their source and their names.
        gradient: (theta, sample, params, out) or (theta, sample, out), plain or compiled by Numba.
        loss: (theta, sample, params), or without params as the gradient; without one `pilot_losses` must not be called.
    """
    text = (Path(__file__).parent / f"{template}.py").read_text()
    assert _IMPORT in text
    name = f"fastsgd_{template}_{hashlib.sha256((key + text).encode()).hexdigest()[:24]}"
    if name in sys.modules:
        return sys.modules[name]
    folder = Path(CACHE_FOLDER or tempfile.gettempdir()) / "own"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.py"
    made = text.replace(_IMPORT, "" if arguments(gradient) == 4 else _WITHOUT_PARAMS)
    if not path.exists() or path.read_text() != made:
        path.write_text(made)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.gradient = inline(_plain(gradient))
    module.loss = None if loss is None else inline(_plain(loss))
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
