"""Makes the kernels of a user's problem: templates with the user's functions, on lanes where the gradient allows it.

A made module is a file of its own, named by what it is made of, so that Numba keeps its code on disk as it does for any
other and never mistakes one problem's for another's. Which route is taken depends on the types in the gradient alone and is
kept beside the module.
"""

import functools
import hashlib
import importlib.util
import inspect
import re
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba.core import types

from ._jit import CACHE_FOLDER, LANES, body, overload, uncached
from .lane_arrays import LaneArray
from .lane_rows import LANE_ROWS
from .lane_sums import LaneSums
from .own_rewrite import Rewriting, plain
from .stream import Stream

_IMPORT = re.compile(r"from fastsgd\.kernels\.own_functions import [\w, ]+\n")
_PARAMS = types.Array(types.float64, 1, "C")
_ROW = 8  # replicates whose samples stand side by side: as many as a block of rows that is turned has
_LONG = 64  # features
_SIZES = "DIMENSION", "PARAMETERS", "NORMALS", "UNIFORMS", "EXPONENTIALS", "ALONE"
_FEW = 2  # samples of a batch that leave most of a vector of samples idle
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PLACE = re.compile(r'File "([^"]*)", line (\d+)')
SIMULATOR, POOL = "simulator", "pool"
DRAW_ARGUMENTS = (4, 5, 6)


class Functions(NamedTuple):
    """What a user gives: gradient, and loss and Hessian or None; plain or compiled by Numba.

    Arguments: (theta, sample, params, out), (theta, sample, params) and as the gradient; all of them without params, if one
    is. A Hessian without sample is that of the mean loss.
    """

    gradient: object
    loss: object = None
    hessian: object = None


class Kernels(NamedTuple):
    """Compiled kernels.

    scalar: module of `own_simulator` or `own_pool`, one replicate at a time: all but `advance` in any case.
    lanes: replicates side by side. For a simulator a function of (dimension, how many parameters, draws of a sample by kind,
        batch; 0 if arms, pairs or control variates share draws) that gives `advance` of `own_lanes_simulator` or
        `own_lanes_single`; on a pool of (batch, weighted, features, dimension) that gives (replicates of a block, `advance`
        of `own_lanes_pool`) or (0, `advance` of `own_margins`).
        None if the gradient does not work on lanes; reason: why.
    mean_hessian: of the mean loss, a function of (theta, params, out) for Python, or None.
    """

    scalar: object
    lanes: object
    reason: str
    mean_hessian: object = None


def arguments(function) -> int:
    """How many arguments a Python or compiled function takes."""
    return len(inspect.signature(plain(function)).parameters)


def explain(error, file=None) -> str:
    """One line of what Numba says, with the line of the user's file if that is told."""
    text = _ANSI.sub("", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    skipped = ("-", "During", "File", "Failed in", "This error", "There ", ">>>", "<source", "^")
    said = next((line for line in lines if not line.startswith(skipped)), lines[0] if lines else type(error).__name__)
    if said.endswith("found for signature:"):
        call = next((line.removeprefix(">>> ") for line in lines if line.startswith(">>>")), "")
        said = f"no compiled form of {call}"
    places = _PLACE.findall(text)
    if file is not None:
        places = [(name, number) for name, number in places if Path(name).name == Path(file).name]
    return f"{said} in line {places[0][1]}" if places and " in line " not in said else said


def make(kind: str, key: str, functions: Functions, lanes: bool = True) -> Kernels:
    """Kernels for a user's functions.

    Args:
        kind: SIMULATOR or POOL.
        key: what tells these functions from others, such as a hash of their source and their names.
        functions: the user's.
        lanes: False for one replicate at a time in any case.
    """
    with_params = arguments(functions.gradient) == 4
    scalar = Rewriting(lanes=0)
    given = {
        "gradient": _with_params(scalar.function(functions.gradient), with_params),
        "loss": functions.loss and _with_params(scalar.function(functions.loss), with_params, out=False),
        "hessian": None,
    }
    mean = None
    if functions.hessian is not None:
        found = scalar.function(functions.hessian)
        if arguments(functions.hessian) == arguments(functions.gradient):
            given["hessian"] = _with_params(found, with_params)
        else:
            mean = _from_python(found, with_params)
    kernels = _module(f"own_{kind}", key, given)
    side_by_side, reason = None, "not wanted"
    if lanes:
        found, reason = (_lanes if kind == SIMULATOR else _pool_lanes)(key, functions.gradient, with_params)
        side_by_side = None if reason else found
    return Kernels(kernels, side_by_side, reason, mean)


def make_draws(key, draw):
    """Module of `own_draws` with a user's draw function; `key` tells it from others.

    It takes (n, b, stream, indices), with weights last if it writes them, and with params before indices besides.
    """
    return _module("own_draws", f"draw {key}", {"draw": _drawing(Rewriting(lanes=0).function(draw), arguments(draw))})


def _drawing(function, takes):
    """The function with all arguments, and the size that it returns; b if it returns nothing."""
    if takes == 6:

        @body
        def drawing(n, b, stream, params, indices, weights):
            return _size(function(n, b, stream, params, indices, weights), b)

    elif takes == 5:

        @body
        def drawing(n, b, stream, params, indices, weights):
            return _size(function(n, b, stream, indices, weights), b)

    else:

        @body
        def drawing(n, b, stream, params, indices, weights):
            return _size(function(n, b, stream, indices), b)

    return drawing


def _size(value, b):
    """The size of a batch as int64."""
    return b if value is None else value


@overload(_size)
def _compiled_size(value, b):
    if isinstance(value, types.NoneType):
        return lambda value, b: b
    return lambda value, b: np.int64(value)


def _rewritten(gradient, with_params, lanes, pairs=False):
    """The gradient on vectors of lanes, taking params. Raises Unfit."""
    varying = (True, True, False, True) if with_params else (True, True, True)
    return _with_params(Rewriting(lanes, pairs=pairs).function(gradient, varying), with_params)


def _lanes(key, gradient, with_params):
    """(a function of (dimension, parameters, draws of a sample by kind, batch; 0 if draws are shared), ""), or (None, why)."""
    array, made = LaneArray(LANES), {}

    def compiles():
        made["gradient"] = _rewritten(gradient, with_params, LANES, pairs=True)
        sample = types.NamedTuple([array] * 3, Stream)
        return "", (made["gradient"], (array, sample, _PARAMS, array))

    _, reason = _route("own_lanes_simulator", key, gradient, [compiles])
    if reason:
        return None, reason
    function = made.get("gradient") or _rewritten(gradient, with_params, LANES, pairs=True)

    @functools.cache
    def made_for(template, *sizes):
        constants = dict(zip(_SIZES, sizes, strict=True))
        return _module(template, f"{key} {sizes}", {"gradient": function} | constants).advance

    def of(dimension, parameters, counts, batch):
        template = "own_lanes_single" if batch else "own_lanes_simulator"
        return made_for(template, dimension, parameters, *counts, int(batch == 1))

    return of, ""


def _pool_lanes(key, gradient, with_params):
    """(a function of (batch, weighted, features, dimension), "") for a pool, or (None, why it cannot be).

    A gradient that reads what it has written to `out` gets memory for it.
    """
    theta, wide = LaneArray(_ROW), 2 * LANES

    def written():
        into = LaneSums(_ROW, wide, False)
        return "written", (_rewritten(gradient, with_params, wide), (theta, LaneArray(wide), _PARAMS, into))

    def read():
        out = LaneArray(wide)
        return "read", (_rewritten(gradient, with_params, wide), (theta, out, _PARAMS, out))

    along, _ = _along_rows(key, gradient, with_params)
    turned = functools.cache(lambda: _route("own_lanes_pool", key, gradient, [written, read]))

    def of(batch, weighted, features, dimension):
        if along and (batch > _FEW or turned()[1]):
            return along(weighted, features, dimension)
        how, _ = turned()
        # Few samples leave lanes of a wide vector idle; long rows side by side do not fit into the first-level cache.
        fits = features <= _LONG
        pairs = batch > 2 or (batch == 2 and not fits)
        replicates, side = (_ROW, wide // _ROW if fits else 2) if pairs else (LANES if fits else _ROW, 1)
        function = _rewritten(gradient, with_params, replicates * side)
        constants = {"REPLICATES": replicates, "SIDE": side, "WEIGHTED": int(weighted)}
        named = f"{key} {how} {replicates} {side} {weighted}"
        given = {"accumulate": _accumulating(function, how == "written")}
        return replicates, _module("own_lanes_pool", named, given | constants).advance

    return functools.cache(of), "" if along else turned()[1]


def _along_rows(key, gradient, with_params):
    """(a function of (weighted, features, dimension) that gives what that of `_pool_lanes` does, ""), or (None, why not)."""

    @functools.cache
    def rewritten():
        rewriting = Rewriting(8, rows=True)
        varying = (False, True, False, True) if with_params else (False, True, True)
        return _with_params(rewriting.function(gradient, varying), with_params, out=False), rewriting.margins

    def margins():
        return "margins", (rewritten()[0], (_PARAMS, LANE_ROWS, _PARAMS))

    _, reason = _route("own_margins", key, gradient, [margins])
    if reason or rewritten()[1] is None:  # its source may be gone since a route was found
        return None, reason or "its source is not at hand"

    def of(weighted, features, dimension):
        function, found = rewritten()
        constants = {
            "EXTRAS": found.extras,
            "PULL": int(found.pull),
            "WEIGHTED": int(weighted),
            "DIMENSION": dimension,
            "FEATURES": features,
        }
        named = f"{key} {weighted} {features} {dimension}"
        return 0, _module("own_margins", named, {"margins": function} | constants).advance

    return of, ""


def _accumulating(function, written):
    if written:

        @body
        def direct(theta, sample, params, out, sums):
            function(theta, sample, params, sums)

        return direct

    @body
    def stored(theta, sample, params, out, sums):
        function(theta, sample, params, out)
        for j in range(theta.size):
            sums[j] = out[j]

    return stored


def _route(template, key, gradient, ways):
    """(name of the first way that Numba compiles, ""), or ("", why none does); found once and kept beside the modules.

    A way is a function that returns (its name, (a function, types of its arguments)).
    """
    known = _folder() / f"{_name(template, key)}.route"
    if known.exists():
        how, _, reason = known.read_text().partition("\n")
        return how, reason
    reason = ""
    for way in ways:
        try:
            how, (function, kinds) = way()
            function.compile(kinds)
        except Exception as error:  # Numba meets types it does not know with errors of every kind
            reason = explain(error, plain(gradient).__code__.co_filename)
            continue
        _write(known, how + "\n")
        return how, ""
    _write(known, "\n" + reason)
    return "", reason


def _from_python(function, with_params):
    """A function of (theta, params, out) with an entry for Python, which `body` does not make; params may not be taken."""

    if with_params:

        @uncached
        def entered(theta, params, out):
            function(theta, params, out)

    else:

        @uncached
        def entered(theta, params, out):
            function(theta, out)

    return entered


def _with_params(function, there, out=True):
    """The function with an argument params that it may not take."""
    if there:
        return function
    if out:

        @body
        def taking(theta, sample, params, out):
            return function(theta, sample, out)

    else:

        @body
        def taking(theta, sample, params):
            return function(theta, sample)

    return taking


def _folder():
    folder = Path(CACHE_FOLDER or tempfile.gettempdir()) / "own"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _name(template, key):
    text = (Path(__file__).parent / f"{template}.py").read_text()
    return f"fastsgd_{template}_{hashlib.sha256((key + text).encode()).hexdigest()[:24]}"


def _write(path, text):
    """Write a small file so that another process never sees a part of it."""
    if path.exists() and path.read_text() == text:
        return
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


def _module(template, key, functions):
    """A module made of a template, with the functions it imports from `own_functions` replaced."""
    name = _name(template, key)
    if name in sys.modules:
        return sys.modules[name]
    text = (Path(__file__).parent / f"{template}.py").read_text()
    assert _IMPORT.search(text)
    path = _folder() / f"{name}.py"
    _write(path, _IMPORT.sub("", text))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module).update(functions)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
