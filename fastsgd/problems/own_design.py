"""A user's own design bound to a spec: what its functions say, how its batches are drawn, and the covariance of a step.

The covariance is exact if the user gives it or the joint inclusion chances; else it is estimated from batches drawn before the
run (`PILOT` addresses, so that they are no part of it), around the mean over the pool, which is known.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastsgd.designs import Draws, OwnDesign, Pool
from fastsgd.designs.draws import OwnDraws
from fastsgd.errors import InputError, NotEnding
from fastsgd.problems.base import Array
from fastsgd.problems.own_code import file_of, place_in, plain
from fastsgd.problems.own_design_code import DesignCode, at_hand, code_of
from fastsgd.problems.patience import Guard

if TYPE_CHECKING:
    from fastsgd.spec import Spec

PARTS = 32
LARGEST = 256  # dimension up to which there are so many parts, 17 MB; above, 8
_AT_ONCE = 2**20  # samples of a pilot
_MOST, _FEWEST, _WORK = 2**18, 2**10, 2**31  # batches of a pilot, and the multiplications that they may cost

# A spec is checked and predicted arm by arm, and again by every command of a process.
_checked: list[str] = []
_covariances: dict[str, tuple[Array, Array | None]] = {}
_guards: dict[tuple[str, int], Guard] = {}


@dataclass(frozen=True)
class Ready:
    """A design with everything that its draw function takes; `takes`: its number of arguments."""

    code: DesignCode
    n: int
    b: int
    most: int
    how: int
    takes: int
    params: Array
    table: Array
    inclusion: Array | None

    @property
    def design(self) -> OwnDesign:
        return self.code.design

    @cached_property
    def kernels(self) -> Any:
        from fastsgd.kernels.own import make_draws

        return make_draws(self.code.key, self.design.draw)

    @property
    def guard(self) -> Guard:
        """The same for all of a draw function with a size of batches."""
        return _guards.setdefault((self.code.key, self.b), Guard())

    @property
    def name(self) -> str:
        file = self.code.file
        return getattr(plain(self.design.draw), "__name__", "draw") + ("" if file is None else f" of {Path(file).name}")

    @property
    def arguments(self) -> tuple[Any, ...]:
        """What all kernels of `own_draws` take."""
        return self.n, self.b, self.most, self.how, self.params, self.table

    @property
    def draws(self) -> Draws:
        own = OwnDraws(self.kernels, self.how, self.params, self.table, self.guard, self.name)
        return Draws("own", self.n, self.b, self.most, own=own)

    def called(self, what: str, function: Callable[..., Any], *arguments: Any, shape: tuple[int, ...]) -> Array:
        """float64[shape] of one of the user's plain functions. ValueError with one line."""
        more = [self.params] if _count(function) > len(arguments) else []
        return _called(self.code, what, function, *arguments, *more, shape=shape)


class BoundDesign:
    """`designs.own.Bound`. kept, parts: what a run holds, as `Pool.kept`, and by parts of a pilot."""

    def __init__(self, spec: Spec, kept: Callable[[Any], Array | None], parts: Array | None):
        self._spec, self._kept, self._parts = spec, kept, parts

    def check(self, pool: Pool, sampling: Any) -> None:
        from fastsgd.problems.own_design_check import check

        if not at_hand(self._spec):
            return  # it was checked when it was stored
        ready = self._ready(pool, sampling)
        key = _key(ready, pool, sampling)
        if key not in _checked:
            check(ready, pool, sampling.pilot)
            _checked[:] = [*_checked[-63:], key]

    def draws(self, pool: Pool, sampling: Any) -> Draws:
        if not at_hand(self._spec):
            return Draws("own", pool.size, sampling.batch, sampling.batch)
        return self._ready(pool, sampling).draws

    def covariance(self, pool: Pool, sampling: Any) -> tuple[Array, Array | None]:
        kept = self._kept(sampling)
        if kept is not None:
            return kept, self._parts
        if not at_hand(self._spec):
            raise ValueError(
                "sampling.design is one's own, and a run keeps the covariance of its own batches, not the code; predict the "
                "spec that names the file instead"
            )
        ready = self._ready(pool, sampling)
        key = _key(ready, pool, sampling)
        if key not in _covariances:
            while len(_covariances) > 63:
                del _covariances[next(iter(_covariances))]
            exact = claimed(ready, pool)
            _covariances[key] = (exact, None) if exact is not None else estimated(ready, pool, sampling.pilot)
        return _covariances[key]

    def _ready(self, pool: Pool, sampling: Any) -> Ready:
        try:
            code = code_of(self._spec)
        except InputError as error:
            raise ValueError(f'sampling.design = "{sampling.design}" cannot be used: {error.lines[0]}') from None
        return _resolved(code, pool, sampling)


def _key(ready: Ready, pool: Pool, sampling: Any) -> str:
    digest = hashlib.blake2b(f"{ready.code.key} {sampling.model_dump_json()} {ready.n}".encode())
    digest.update(ready.params.tobytes())
    digest.update(np.ascontiguousarray(pool.gradients).tobytes())
    return digest.hexdigest()


def _resolved(code: DesignCode, pool: Pool, sampling: Any) -> Ready:
    from fastsgd.kernels.own import DRAW_ARGUMENTS

    design, n, b = code.design, pool.size, sampling.batch
    takes = _count(design.draw)
    if takes not in DRAW_ARGUMENTS:
        raise ValueError(
            "sampling.design must name a function (n, b, stream, indices), (n, b, stream, indices, weights) or "
            f"(n, b, stream, params, indices, weights), got {takes} arguments"
        )
    params = np.array(sampling.parameters or [], dtype=np.float64)
    if takes != 6 and (sampling.parameters is not None or design.prepare is not None):
        what = "sampling.parameters" if sampling.parameters is not None else "sampling.design with prepare"
        raise ValueError(
            f"{what} needs a draw function (n, b, stream, params, indices, weights), got {takes} arguments"
        )
    if design.prepare is not None:
        more = [params] if _count(design.prepare) > 2 else []
        params = _called(code, "prepare", design.prepare, pool, b, *more, shape=(-1,))
    most, wanted = b, design.largest
    if callable(wanted):
        more = [params] if _count(wanted) > 2 else []
        most = int(_called(code, "largest", wanted, n, b, *more, shape=()))
    elif wanted is not None:
        most = int(wanted)
    if not 1 <= most < 2**32:
        raise ValueError(f"sampling.design must have a largest batch of 1 or more, got OwnDesign.largest = {most}")
    table, inclusion, how = np.zeros(1), None, 2 if takes > 4 else 0
    if design.inclusion is not None:
        more = [params] if _count(design.inclusion) > 2 else []
        inclusion = _called(code, "inclusion", design.inclusion, n, b, *more, shape=(n,))
        wrong = ~((inclusion > 0.0) & (inclusion <= 1.0 + 1e-12))
        if wrong.any():
            i = int(np.argmax(wrong))
            raise ValueError(
                f"sampling.design must have inclusion chances above 0 and up to 1, got {inclusion[i]:.6g} for sample {i} "
                "(counted from 0); a sample that is never drawn makes the gradient biased"
            )
        if takes == 4:
            how, table = 1, 1.0 / (n * inclusion)
    return Ready(code, n, b, most, how, takes, params, table, inclusion)


def _count(function: Any) -> int:
    from fastsgd.kernels.own import arguments

    return arguments(function)


def _called(
    code: DesignCode, what: str, function: Callable[..., Any], *arguments: Any, shape: tuple[int, ...]
) -> Array:
    try:
        found = np.array(function(*arguments), dtype=np.float64, order="C")
    except Exception as error:
        file = file_of(function, code.file)
        raise ValueError(
            f"sampling.design must have functions that work, got {type(error).__name__} in OwnDesign.{what}: "
            f"{' '.join(str(error).split())}{place_in(error, file)}; correct it"
        ) from None
    right = found.ndim == 1 if shape == (-1,) else found.shape == shape
    if not right or not np.isfinite(found).all():
        rule = "one axis" if shape == (-1,) else f"shape {list(shape)}"
        got = f"shape {list(found.shape)}" if not right else "NaN or infinity"
        raise ValueError(
            f"sampling.design must have OwnDesign.{what} return finite numbers of {rule}, got {got}; correct it"
        )
    return found


def claimed(ready: Ready, pool: Pool) -> Array | None:
    """The covariance that the user's functions say, float64[d, d], None if they do not. Raises ValueError."""
    design, g = ready.design, np.ascontiguousarray(pool.gradients)
    d = g.shape[1]
    if design.covariance is not None:
        found = ready.called("covariance", design.covariance, g.copy(), ready.b, shape=(d, d))
    elif design.joint is not None:
        joint = ready.called("joint", design.joint, ready.n, ready.b, shape=(ready.n, ready.n))
        pi = ready.inclusion
        if pi is None or ready.how == 2:
            raise ValueError(
                "sampling.design with OwnDesign.joint needs inclusion, and a draw function without weights, whose weights "
                "are 1/(n pi_i); or give covariance"
            )
        if np.abs(np.diagonal(joint) - pi).max() > 1e-9:
            i = int(np.argmax(np.abs(np.diagonal(joint) - pi)))
            raise ValueError(
                f"sampling.design must have pi_ii = pi_i, got joint[{i}, {i}] = {joint[i, i]:.6g} and inclusion[{i}] = "
                f"{pi[i]:.6g}; correct one of them"
            )
        u = g / (ready.n * pi[:, None])
        found = u.T @ (joint - np.multiply.outer(pi, pi)) @ u
    else:
        return None
    if np.abs(found - found.T).max() > 1e-9 * np.abs(found).max():
        raise ValueError(
            "sampling.design must have a symmetric covariance, got another; correct OwnDesign.covariance or joint"
        )
    return np.asarray(0.5 * (found + found.T))


def estimated(ready: Ready, pool: Pool, batches: int | None) -> tuple[Array, Array]:
    """Cov from a pilot of about so many batches, and by its parts float64[C, d, d]. Raises ValueError."""
    g = np.ascontiguousarray(pool.gradients)
    d = g.shape[1]
    parts = PARTS if d <= LARGEST else 8
    each = -(-(batches or default_pilot(ready, d)) // parts)
    found = pilot(ready, g, parts, each)
    by_part = found.products / each
    return by_part.mean(axis=0), by_part


def default_pilot(ready: Ready, d: int) -> int:
    """Batches of a pilot: enough for 0.3 % of a variance, fewer where they are long or have many coordinates."""
    return max(_FEWEST, min(_MOST, _WORK // max(d * (d + ready.b), 16 * ready.most)))


@dataclass(frozen=True)
class Sums:
    """Of C parts of a pilot: sums float64[C, q] and products float64[C, q, q] of errors of batch means; drawn bool[n].

    each: batches of a part.
    """

    sums: Array
    products: Array
    drawn: np.ndarray
    each: int


def pilot(
    ready: Ready,
    values: Array,
    parts: int,
    each: int,
    tally: Callable[..., None] | None = None,
    seconds: float = np.inf,
) -> Sums:
    """Errors of the batch means of values float64[n, q] in `parts` times `each` batches, fewer after `seconds`.

    tally: called with a slice of the parts and (pitch, index, weight, size) of some of their batches. Raises ValueError.
    """
    from fastsgd.kernels.pilot_batches import accumulate

    q = values.shape[1]
    sums, products = np.zeros((parts, q)), np.zeros((parts, q, q))
    drawn, centre = np.zeros(ready.n, np.uint8), values.sum(axis=0) / ready.n
    begun, done, ahead = time.perf_counter(), 0, 1
    while done < each and (done == 0 or time.perf_counter() - begun < seconds):
        ahead = min(ahead, each - done)
        for rows, batches in _drawn(ready, parts, done, ahead):
            accumulate(rows.stop - rows.start, values, centre, *batches, sums[rows], products[rows], drawn)
            if tally is not None:
                tally(rows, *batches)
        done, ahead = done + ahead, int(np.clip(_AT_ONCE // (parts * ready.most), 1, 2 * ahead))
    lower = np.tril(products, -1)
    return Sums(sums, products + np.swapaxes(lower, 1, 2), drawn.astype(bool), done)


def _drawn(ready: Ready, parts: int, first: int, ahead: int) -> Iterator[tuple[slice, tuple[Any, ...]]]:
    """Batches first ... of each part, some parts at a time: (pitch, index, weight, size). Raises ValueError at a wrong one.

    That of part p and number i is the one of replicate p and step i.
    """
    import numba

    from fastsgd.kernels.philox import PILOT
    from fastsgd.problems.batches import fault

    together = int(np.clip(_AT_ONCE // (ahead * ready.most), 1, parts))
    index, weight = (np.zeros(together * ahead * ready.most, kind) for kind in (np.uint32, np.float64))
    zero, pitch = np.uint64(0), np.uint64(ready.most)
    for start in range(0, parts, together):
        rows = slice(start, min(start + together, parts))
        size = np.zeros((rows.stop - start, ahead), np.int64)
        tasks, at = min(len(size), 8 * numba.get_num_threads()), (zero, np.uint64(start), np.uint64(first), pitch)
        call = partial(ready.kernels.fill, tasks, tasks, PILOT, *ready.arguments, *at, index, weight, size)
        what = f"sampling.design must name a draw function that ends, got {ready.name}, which in batches before the run"
        try:
            ready.guard(call, size.size, what)
        except NotEnding as error:
            raise ValueError(str(error)) from None
        if size.min() < 0:
            raise ValueError(f"{fault(int(size.min()), ready.draws)} in a batch before the run; correct it")
        yield rows, (pitch, index, weight, size)
