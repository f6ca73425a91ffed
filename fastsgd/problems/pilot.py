"""Optimum, Hessian and gradient noise of a problem of which only the gradient of one sample is known.

All from one fixed set of samples, the same at every point (common random numbers): the whole pool, or simulated ones.

    theta*  zero of the mean gradient, by Newton's method with the step halved until the gradient shrinks
    H       central differences of the mean gradient; the width is the one with the least sum of bias and random error
    G       covariance of the gradients at theta*; by 1/n on a pool

Errors: the standard deviation over chunks of simulated samples (zero on a pool), for H with the bias added, which is told
from the next larger width.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastsgd.errors import NotEnding
from fastsgd.problems.base import Array
from fastsgd.problems.own_code import Code, names
from fastsgd.problems.own_trial import Fault, Slow, trial
from fastsgd.problems.patience import Guard, TooLong, patiently

if TYPE_CHECKING:
    from fastsgd.kernels.own import Kernels

log = logging.getLogger("fastsgd")

_CHUNKS = 64
_WIDTHS = tuple(2.0**-k for k in (3, 5, 7, 9, 11, 13))
_NEWTON_WIDTH = 2.0**-9
_LOSS_WIDTH = 2.0**-17
_TESTED = 1024
_PATIENCE = 20.0  # seconds for the first 16 samples, compiled
_LONG = 3.0  # seconds of work that are announced
_LARGEST = 256  # dimension up to which H and G are kept by parts, 34 MB
ANTITHETIC, CONTROL = 1, 2  # of `kernels.own_simulator.pilot`


_RANDOM = "take random numbers from sample.normals, .uniforms and .exponentials"


class Wrong(Exception):
    """One line: what is wrong with a problem, and a remedy."""


@dataclass(frozen=True)
class Geometry:
    """theta* float64[d], H and G float64[d, d], and their standard errors of the same shapes.

    parts: H and G by parts of the pilot, float64[32, d, d] by the names of `analysis.pilot_errors`; none on a pool.
    """

    optimum: Array
    hessian: Array
    noise: Array
    optimum_error: Array
    hessian_error: Array
    noise_error: Array
    parts: dict[str, Array]


def _name(function: Any) -> str:
    return getattr(function, "__name__", "the loss")


def _faulty(fault: Fault) -> Wrong:
    remedy = "" if ";" in fault.line else "; correct it"
    return Wrong(f"problem.kind must name functions that work, got {fault.line}{remedy}")


@dataclass(frozen=True)
class Pilot:
    """Compiled functions of a problem and the samples that its geometry is found from.

    Attributes:
        code: the user's functions.
        kernels: from `kernels.own.make`.
        params: float64[m].
        samples: float64[n, p], or None if they are simulated.
        counts: int64[3], normals, uniforms and exponentials of a simulated sample.
        size: how many samples; n of a pool.
    """

    code: Code
    kernels: Kernels
    params: Array
    samples: Array | None
    counts: np.ndarray
    size: int

    @property
    def source(self) -> np.ndarray:
        """What the kernels take samples from."""
        return self.counts if self.samples is None else self.samples

    @cached_property
    def packed(self) -> Array:
        """The samples with rows of whole cache lines, aligned: float64[n, width]."""
        assert self.samples is not None
        n, p = self.samples.shape
        width = -(-p // 8) * 8
        memory = np.empty(n * width + 8)
        skip = (-memory.ctypes.data // 8) % 8
        rows = memory[skip : skip + n * width].reshape(n, width)
        rows[:, p:] = 0.0
        rows[:, :p] = self.samples
        return rows

    @cached_property
    def guard(self) -> Guard:
        """What all calls of the user's functions go through; a unit of work is a sample at a point."""
        return Guard()

    @property
    def name(self) -> str:
        """The gradient's, with its file if it has one."""
        file = self.code.file
        return _name(self.code.gradient) + ("" if file is None else f" of {Path(file).name}")

    def _guarded(self, call: Callable[[], Any], theta: Array, work: int, which: str = "gradient") -> None:
        """A call of the user's functions near theta. Raises Wrong if it does not end."""
        what = f"problem.kind must name functions that end, got a {which} near theta = [{_few(theta)}] that"
        try:
            self.guard(call, work, what)
        except NotEnding as error:
            raise Wrong(str(error)) from None

    @property
    def _chunk(self) -> int:
        return -(-self.size // _CHUNKS)

    def sums(self, points: Array, chunks: int, size: int, second: bool = False) -> tuple[Array, Array]:
        """Sums of gradients float64[chunks, P, d] at points float64[P, d]; g g' at the first float64[chunks, d, d]."""
        d = points.shape[1]
        sums, products = np.zeros((chunks, *points.shape)), np.zeros((chunks if second else 0, d, d))
        self._collect(np.ascontiguousarray(points), chunks, size, sums, products)
        return sums, products

    def _collect(self, points: Array, chunks: int, size: int, sums: Array, products: Array, how: int = 0) -> None:
        by = () if self.samples is not None else (how,)
        given = (points, self.params, self.source, *by, size, np.uint64(0), sums, products)
        self._guarded(lambda: self.kernels.scalar.pilot(chunks, *given), points[0], chunks * size * len(points))

    def gradients(self, theta: Array) -> Array:
        """Of every sample of a pool, float64[n, d]."""
        return self.sums(theta[None], self.size, 1)[0][:, 0]

    def paired(self, theta: Array) -> tuple[Array, Array]:
        """Covariance of the mean gradient of an antithetic pair of simulated samples at theta, float64[d, d], and by parts."""
        d, n = len(theta), self._total
        sums, products = np.zeros((_CHUNKS, 1, d)), np.zeros((_CHUNKS, d, d))
        self._collect(theta[None], _CHUNKS, self._chunk, sums, products, ANTITHETIC)
        mean = sums[:, 0].sum(axis=0) / n
        found: Array = products.sum(axis=0) / n - np.outer(mean, mean)
        return 0.5 * (found + found.T), _merged(products * (_CHUNKS / n) - np.outer(mean, mean))

    def cross(self, theta: Array) -> tuple[Array, Array]:
        """Cov(g, c) at theta of a gradient and the draws of its sample, float64[d, m], and by parts."""
        d, n = len(theta), self._total
        sums, products = np.zeros((_CHUNKS, 1, d)), np.zeros((_CHUNKS, d, int(self.counts.sum())))
        self._collect(theta[None], _CHUNKS, self._chunk, sums, products, CONTROL)
        found: Array = products.sum(axis=0) / n
        return found, 0.5 * (products[0::2] + products[1::2]) * (_CHUNKS / n)

    def _means(self, points: Array) -> Array:
        """Mean gradients of each chunk, weighted so that their average is that of all: float64[chunks, P, d]."""
        return self.sums(points, _CHUNKS, self._chunk)[0] * (_CHUNKS / self._total)

    @property
    def _total(self) -> int:
        return self._chunk * _CHUNKS if self.samples is None else self.size

    def mean(self, theta: Array) -> Array:
        return self._means(theta[None])[:, 0].mean(axis=0)

    def quick_mean(self, theta: Array) -> Array:
        """`mean` from 2^16 samples at most if they are simulated."""
        size = self._chunk if self.samples is not None else min(self._chunk, 2**10)
        sums = self.sums(theta[None], _CHUNKS, size)[0][:, 0]
        return np.asarray(sums.sum(axis=0) / (len(self.samples) if self.samples is not None else _CHUNKS * size))

    def jacobian(self, theta: Array, width: float) -> Array:
        """Central differences of the mean gradient, of each chunk: [c, i, j] = d g_i / d theta_j."""
        steps = np.diag(width * np.maximum(1.0, np.abs(theta)))
        at = self._means(np.concatenate([theta + steps, theta - steps]))
        d = len(theta)
        return np.swapaxes((at[:, :d] - at[:, d:]) / (2.0 * np.diagonal(steps)[:, None]), 1, 2)

    def _random_error(self, of_chunks: Array) -> Array:
        if self.samples is not None:
            return np.zeros(of_chunks.shape[1:])
        return of_chunks.std(axis=0, ddof=1) / np.sqrt(_CHUNKS)

    def geometry(self, guess: Array, given: Array | None) -> Geometry:
        """Everything, from a first guess or the optimum that the user gives. Raises Wrong."""
        first = guess if given is None else given
        self._works(first)
        self._announce(first)
        theta = self._newton(first) if given is None else given
        hessian, error, chunks = self.hessian(theta)
        if self.code.hessian is not None:
            hessian, error, chunks = self.given_hessian(theta, hessian, error)
        sums, products = self.sums(theta[None], _CHUNKS, self._chunk, second=True)
        n = self._total
        mean = sums[:, 0].sum(axis=0) / n
        divisor = n - 1 if self.samples is None else n
        noise = (products.sum(axis=0) - n * np.outer(mean, mean)) / divisor
        noise_error = self._random_error(products * (_CHUNKS / n))
        inverse = np.linalg.inv(hessian)
        spread = np.sqrt(np.maximum(np.diagonal(noise), 0.0))
        if given is None:
            limit = 0.1 * spread / np.sqrt(n) + 1e-9 * np.sqrt(np.trace(products.sum(axis=0)) / n)
            what = "no point with a mean gradient of zero was found"
        else:
            limit = 6.0 * spread / np.sqrt(n) if self.samples is None else 1e-6 * (spread + 1.0)
            what = "problem.optimum is no optimum"
        if (np.abs(mean) > limit).any():
            j = int(np.argmax(np.abs(mean) - limit))
            raise Wrong(
                f"{'problem.guess' if given is None else 'problem.optimum'} must lead to an optimum, got a mean gradient "
                f"of {mean[j]:.3g} in coordinate {j} ({what}); give a guess nearer to it, or see if the gradient is right"
            )
        random = self.samples is None and given is None
        optimum_error = np.sqrt(np.maximum(np.diagonal(inverse @ noise @ inverse), 0.0) / n) if random else 0.0 * theta
        parts = {"hessian_parts": chunks, "noise_parts": products * (_CHUNKS / n) - np.outer(mean, mean)}
        kept = {name: _merged(of) for name, of in parts.items() if self.samples is None and np.ptp(of, axis=0).any()}
        kept = kept if theta.size <= _LARGEST else {}
        return Geometry(theta, hessian, 0.5 * (noise + noise.T), optimum_error, error, noise_error, kept)

    def _announce(self, theta: Array) -> None:
        """Say that it will take long, if it will."""
        self.quick_mean(theta)
        passes = 20 + 2 * theta.size * (8 + len(_WIDTHS))  # about: steps of Newton's method, differences
        seconds = (self.guard.seconds or 0.0) * self._total * passes
        if seconds > _LONG:
            of = f"{self._total} samples" + (" (problem.pilot)" if self.samples is None else "")
            log.info("estimating optimum, H and G of %s from %s; some %.0f s, once", self.name, of, seconds)

    def first_gradients(self, theta: Array) -> Array:
        """Of a few samples at theta, summed, float64[1, 1, d]; how long it takes is what `guard` goes by."""
        return self._ends(theta, None)[0]

    def _works(self, theta: Array) -> None:
        from numba.core.errors import NumbaError, UnsupportedBytecodeError

        from fastsgd.kernels.own import explain

        tried = trial(self.code, theta, self.params, self.samples, self.counts)
        fault = tried if isinstance(tried, Fault) else None
        if fault is not None and fault.sure:
            raise _faulty(fault)
        try:
            found, again = self._ends(theta, tried if isinstance(tried, Slow) else None)
            if not np.array_equal(found, again, equal_nan=True):
                raise Wrong(
                    "problem.kind must name a gradient that depends on its arguments alone, got two values for the same; "
                    f"{_RANDOM}"
                )
            if np.isfinite(found).all():
                self._finite(theta)
            if self.code.loss is not None and np.isfinite(found).all():
                self.check_gradient(theta + 0.125 * np.maximum(1.0, np.abs(theta)))
        except (NumbaError, UnsupportedBytecodeError, NotImplementedError) as error:
            if fault is not None:
                raise _faulty(fault) from None
            reason, remedy = explain(error, self.code.file), "correct it"
            if "random" in names(self.code.gradient):
                remedy = _RANDOM
            raise Wrong(f"problem.kind must name functions that Numba compiles, got: {reason}; {remedy}") from None
        if not np.isfinite(found).all():
            j = int(np.flatnonzero(~np.isfinite(found[0, 0]))[0])
            raise Wrong(
                f"problem.kind must name a gradient that is finite at the guess, got {found[0, 0, j]} in coordinate {j}; "
                "give another problem.guess, or write every coordinate of out"
            )

    def _finite(self, theta: Array) -> None:
        """Raises Wrong, with the sample of a pool, if a gradient at theta is not finite."""
        mean = self.quick_mean(theta)
        if np.isfinite(mean).all():
            return
        j = int(np.flatnonzero(~np.isfinite(mean))[0])
        if self.samples is None:
            raise Wrong(
                f"problem.kind must name a gradient that is finite at the guess, got {mean[j]} in coordinate {j} for some of "
                "its simulated samples; give another problem.guess, or correct it"
            )
        rows = np.flatnonzero(~np.isfinite(self.gradients(theta)[:, j]))
        i = int(rows[0])
        others = f", and of {len(rows) - 1} more" if len(rows) > 1 else ""
        raise Wrong(
            f"problem.kind must name a gradient that is finite at the guess, got {mean[j]} in coordinate {j} of sample {i} "
            f"(counted from 0{others}), which is [{_few(self.samples[i])}]; correct the data or the gradient, or give another "
            "problem.guess"
        )

    def _ends(self, theta: Array, slow: Slow | None) -> list[Array]:
        """Gradients of the first samples, summed, twice. Raises Wrong if this, or the loss or Hessian of one, has no end."""
        few, d = min(self._chunk, 16), len(theta)
        given = theta[None], self.params, self.source, few, np.uint64(0)
        self.sums(theta[None], 0, few)  # compiled outside of the limit
        wanted: list[Callable[[], Any]] = [lambda: [self.sums(theta[None], 1, few)[0] for _ in range(2)]]
        if slow is not None and slow.name == "loss":
            self.kernels.scalar.pilot_losses(0, *given, np.zeros((0, 1)))
            wanted.append(lambda: self.kernels.scalar.pilot_losses(1, *given, np.zeros((1, 1))))
        if slow is not None and slow.name == "hessian" and self.kernels.mean_hessian is None:
            self.kernels.scalar.pilot_hessian(0, theta, *given[1:], np.zeros((0, d, d)))
            wanted.append(lambda: self.kernels.scalar.pilot_hessian(1, theta, *given[1:], np.zeros((1, d, d))))
        try:
            begun = time.perf_counter()
            found = [patiently(wanted[0], _PATIENCE)]
            self.guard.seconds = (time.perf_counter() - begun) / (2 * few)
            found += [patiently(call, _PATIENCE) for call in wanted[1:]]
        except TooLong:
            which, place = ("gradient", "") if slow is None else slow
            raise Wrong(
                f"problem.kind must name functions that end, got a {which} that has not ended after {_PATIENCE:g} s on {few} "
                f"samples{' (Python was' + place + ')' if place else ''}; see if a loop has no end"
            ) from None
        return list(found[0])

    def check_gradient(self, theta: Array) -> None:
        """Compare gradients with central differences of the loss, sample by sample; Wrong names the coordinates.

        A loss with kinks differs in the few samples that have one between the two points; a wrong gradient in many.
        """
        count, d = min(_TESTED, self.size), len(theta)
        gradients = self.sums(theta[None], count, 1)[0][:, 0]
        widths = _LOSS_WIDTH * np.maximum(1.0, np.abs(theta))
        losses = np.zeros((count, 2 * d))
        points = np.concatenate([theta + np.diag(widths), theta - np.diag(widths)])
        given = (points, self.params, self.source, 1, np.uint64(0), losses)
        self._guarded(lambda: self.kernels.scalar.pilot_losses(count, *given), theta, count * len(points), "loss")
        with np.errstate(invalid="ignore"):  # what is not finite is off
            differences = (losses[:, :d] - losses[:, d:]) / (2.0 * widths)
            rounding = 1e-15 * np.abs(losses[np.isfinite(losses)]).max(initial=0.0) / widths
            near = 1e-4 * (np.abs(differences) + np.abs(gradients)) + 1e-9 + 8 * rounding
            off = ~(np.abs(differences - gradients) <= near)
        share = off.mean(axis=0)
        wrong = np.flatnonzero(~(share <= 0.05))
        if wrong.size:
            j, i = int(wrong[0]), int(np.argmax(off[:, wrong[0]]))
            raise Wrong(
                f"problem.kind must name the gradient of {_name(self.code.loss)}, got a wrong coordinate "
                f"{', '.join(map(str, wrong))} (counted from 0): of coordinate {j} the gradient says "
                f"{gradients[i, j]:.6g} and differences of the loss {differences[i, j]:.6g}; correct it"
            )

    def _newton(self, theta: Array) -> Array:
        here, stalled = self.mean(theta), 0
        for _ in range(60):
            jacobian = self.jacobian(theta, _NEWTON_WIDTH).mean(axis=0)
            self._finite_near(theta, jacobian)
            values, vectors = np.linalg.eigh(0.5 * (jacobian + jacobian.T))
            # Downhill also where the loss is not convex or flat.
            values = np.maximum(np.abs(values), max(1e-8 * np.abs(values).max(), 1e-300))
            step, t = -vectors @ ((vectors.T @ here) / values), 1.0
            while t > 1e-6:
                ahead = self.mean(theta + t * step)
                if np.linalg.norm(ahead) < np.linalg.norm(here):
                    break
                t *= 0.5
            else:
                return theta
            # A gradient of the wrong sign leads nowhere, at the price of twenty passes a step.
            stalled += bool(np.linalg.norm(ahead) > 0.99 * np.linalg.norm(here))
            theta, here = theta + t * step, ahead
            if stalled > 5:
                return theta
        return theta

    def _finite_near(self, theta: Array, jacobian: Array) -> None:
        """Raises Wrong if differences of the gradient near theta are not finite."""
        if np.isfinite(jacobian).all():
            return
        i, j = (int(k) for k in np.argwhere(~np.isfinite(jacobian))[0])
        raise Wrong(
            f"problem.kind must name a gradient that is finite near the optimum, got coordinate {i} that is not when "
            f"coordinate {j} of theta = [{_few(theta)}] moves a little; give a problem.guess elsewhere, or correct the gradient"
        )

    def hessian(self, theta: Array) -> tuple[Array, Array, Array]:
        """H, its error, and H of each chunk. Raises Wrong if it is not symmetric or not positive definite."""
        best: tuple[float, Array, Array, Array] | None = None
        larger = None
        for width in _WIDTHS:
            chunks = self.jacobian(theta, width)
            value, random = chunks.mean(axis=0), self._random_error(chunks)
            self._finite_near(theta, value)
            # The bias is of second order in the width, so the next larger one has 16 times as much.
            if larger is not None:
                error = np.abs(larger - value) / 15.0 + random
                if best is None or np.linalg.norm(error) < best[0]:
                    best = float(np.linalg.norm(error)), value, error, chunks
            larger = value
        assert best is not None
        _, value, error, chunks = best
        gap = np.abs(value - value.T)
        if (gap > 8.0 * (error + error.T) + 1e-3 * np.abs(value).max()).any():
            i, j = sorted(int(k) for k in np.unravel_index(np.argmax(gap), gap.shape))
            # With three coordinates or more the wrong one differs from all others, which agree with each other.
            apart = gap > 8.0 * (error + error.T) + 1e-3 * np.abs(value).max()
            guilty = [k for k in (i, j) if len(value) > 2 and not np.delete(np.delete(apart, k, 0), k, 1).any()]
            who = f"coordinate {guilty[0]} (counted from 0)" if len(guilty) == 1 else "one of these coordinates"
            raise Wrong(
                f"problem.kind must name the gradient of a loss, got d g[{i}] / d theta[{j}] = {value[i, j]:.6g} and "
                f"d g[{j}] / d theta[{i}] = {value[j, i]:.6g}; {who} is wrong"
            )
        value = 0.5 * (value + value.T)
        values = np.linalg.eigvalsh(value)
        if not values[0] > 1e-10 * np.abs(values).max():
            if (still := self._unmoved(theta)) > 0.9:
                raise Wrong(
                    f"problem.kind must have a Hessian, got gradients of which {still:.0%} do not change when theta moves by "
                    "0.01 % (a loss with kinks, as of quantiles): over a fixed pool their mean jumps; smooth the kink, or draw "
                    "the samples from a simulator (normals, uniforms, exponentials) in place of data"
                )
            j = int(np.argmin(np.diagonal(value)))
            falling = f" (d g[{j}] / d theta[{j}] = {value[j, j]:.3g})" if value[j, j] < 0.0 else ""
            raise Wrong(
                f"problem.kind must have a positive definite Hessian at the optimum, got eigenvalues from {values[0]:.3g} "
                f"to {values[-1]:.3g}{falling}; see if the gradient has the sign of an ascent, or add a ridge to the loss"
            )
        return value, error, chunks

    def _unmoved(self, theta: Array) -> float:
        """Share of the first samples of a pool whose gradients at theta and near it are equal; 0 of simulated ones."""
        if self.samples is None:
            return 0.0
        near = np.stack([theta, theta + 1e-4 * np.maximum(1.0, np.abs(theta))])
        one, other = np.swapaxes(self.sums(near, min(_TESTED, self.size), 1)[0], 0, 1)
        return float(np.mean((one == other).all(axis=1)))

    def given_hessian(self, theta: Array, differences: Array, error: Array) -> tuple[Array, Array, Array]:
        """The user's Hessian at theta, its random error and that of each chunk. Raises Wrong if differences say otherwise."""
        from numba.core.errors import NumbaError

        from fastsgd.kernels.own import explain

        d = len(theta)
        try:
            if self.kernels.mean_hessian is not None:
                value, random = np.full((d, d), np.nan), np.zeros((d, d))
                given = theta, self.params, value
                self._guarded(partial(self.kernels.mean_hessian, *given), theta, self._total * d, "Hessian")
                chunks = value[None]
            else:
                sums = np.zeros((_CHUNKS, d, d))
                rest = self.params, self.source, self._chunk, np.uint64(0), sums
                call = partial(self.kernels.scalar.pilot_hessian, _CHUNKS, theta, *rest)
                self._guarded(call, theta, self._total * d, "Hessian")
                chunks = sums * (_CHUNKS / self._total)
                value, random = chunks.mean(axis=0), self._random_error(chunks)
        except NumbaError as wrong:
            reason = explain(wrong, self.code.file)
            raise Wrong(
                f"problem.hessian must name a function that Numba compiles, got: {reason}; correct it"
            ) from None
        gap = np.abs(value - differences)
        if not (gap <= 8.0 * (error + random) + 1e-3 * np.abs(differences).max()).all():
            i, j = (int(k) for k in np.unravel_index(np.argmax(np.nan_to_num(gap, nan=np.inf)), gap.shape))
            raise Wrong(
                f"problem.hessian must be that of the mean loss, got {value[i, j]:.6g} in row {i}, column {j} (counted from "
                f"0) where differences of the gradient say {differences[i, j]:.6g}; correct it"
            )
        return 0.5 * (value + value.T), random, chunks


def _few(values: Array) -> str:
    return ", ".join(f"{x:.6g}" for x in values[:6]) + (", ..." if values.size > 6 else "")


def _merged(chunks: Array) -> Array:
    """Symmetric means of pairs of chunks."""
    pairs = 0.5 * (chunks[0::2] + chunks[1::2])
    return np.asarray(0.5 * (pairs + np.swapaxes(pairs, 1, 2)))
