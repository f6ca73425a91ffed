"""Experiment 1, Theorem 4.3, Figure 2: the covariance of mini-batch scores is that of the gradients, not the Hessian."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fastsgd.analysis.model import Model
from fastsgd.analysis.quadratic_form import QuadraticForm
from fastsgd.experiments import controls, pictures
from fastsgd.experiments.base import Case, Control, Drawn, Entry, Part, Row
from fastsgd.experiments.scores import Second, batch_scores, covariance_rows, once
from fastsgd.experiments.view import View
from fastsgd.theory.fourth_moments import product_covariance
from fastsgd.theory.statistics import relative_frobenius_error

Array = NDArray[np.float64]
PROBIT = Part("identification", {"large": {"replicates": 4_000_000}})
REAL = Part("identification-real", {"large": {"replicates": 4_000_000}})
THEIRS = 800  # replicates of the paper
NAMES = {PROBIT.spec: "probit data", REAL.spec: "real data"}


def analyse(view: View) -> list[Row]:
    """Sizes, variances along the eigenvectors, relative Frobenius difference of all draws and of the paper's number."""
    return list(_rows(view, lambda model: model.gradient_covariance()))


def _rows(view: View, sigma: Callable[[Model], Array]) -> Iterator[Row]:
    for case in view.cases:
        (model,) = view.models(case)
        expected, scores, where = sigma(model), _scores(view, case), NAMES[case.part]
        basis = model.noise / case.spec.sampling.batch
        seen = once(case, "second", partial(Second.of, scores, basis, diagonal=True))
        yield from covariance_rows("of the score", where, seen, expected, basis)
        factor = float(np.trace(expected) / np.trace(basis))
        if np.allclose(expected, factor * basis, rtol=1e-12, atol=0.0):
            whole = once(case, "size", partial(_sizes, scores, basis))
            error, z = whole.z(0, 0, factor)
            value = float(whole.mean[0, 0]) / factor
            yield Row("size of the covariance", where, value, error / factor, 1.0, z)
        law = once(case, "law", partial(law_of_difference, case))
        for count in sorted({len(scores), min(THEIRS, len(scores))}):
            yield frobenius_row(f"{where}, {count} draws", scores[:count], expected, law)


def _sizes(scores: Array, basis: Array) -> Second:
    """x' C^-1 x / d of every score, as the square of one number."""
    white = np.linalg.solve(np.linalg.cholesky(basis), scores.T)
    return Second.of(np.sqrt(np.mean(white * white, axis=0))[:, None], np.eye(1))


def _scores(view: View, case: Case) -> Array:
    found: Array = once(case, "scores", lambda: batch_scores(view, case))
    return found


def law_of_difference(case: Case) -> QuadraticForm:
    """Law of R |C^ - C|_F^2 for a single draw, that is of R draws as their number grows; exact mean."""
    from fastsgd.problems.likelihood import Model as Likelihood

    arrays, problem, sampling = case.run.problem(case.run.arms[0]), case.spec.problem, case.spec.sampling
    pool = Likelihood(problem.family, arrays["pool_features"], arrays["pool_targets"], float(problem.ridge))
    scores = pool.scores(arrays["optimum"])
    spread = product_covariance(scores, sampling.batch, sampling.design == "with-replacement")
    return QuadraticForm.of(np.eye(len(spread)), np.zeros(len(spread)), spread)


def frobenius_row(where: str, scores: Array, expected: Array, law: QuadraticForm) -> Row:
    """|C^ - C|_F / |C|_F of R scores with its predicted root mean square; z from the law of its square.

    Leading: sqrt((1 + r)/R), which is that of normal scores.
    """
    R, size = len(scores), float(np.linalg.norm(expected))
    square = float(np.sum((scores.T @ scores / R - expected) ** 2))
    mean = math.sqrt(law.unit / R)
    error = law.deviation / R / (2 * mean)
    z = law.z_of_mean(square * R, 1)
    leading = relative_frobenius_error(expected, R)
    return Row("relative Frobenius difference", where, math.sqrt(square) / size, error / size, mean / size, z, leading)


def notes(view: View) -> Sequence[str]:
    """How far G is from H."""
    found = []
    for case in view.cases:
        (model,) = view.models(case)
        G, H = model.noise, model.hessian
        apart = float(np.linalg.norm(G - H) / np.linalg.norm(H))
        ratio = np.diagonal(G) / np.diagonal(H)
        found.append(
            f"{NAMES[case.part]}: |G - H|_F / |H|_F = {apart:.3f}; G_ii/H_ii between {ratio.min():.3f} and {ratio.max():.3f}: "
            "the covariance of the scores is G, not H."
        )
    return found


def draw(view: View) -> Drawn:
    """Diagonal scatter: measured variance of every coordinate, rescaled to one sample, against G_ii; H_ii beside it."""
    figure, axes = pictures.sheet(1, len(view.cases), (3.7 * len(view.cases), 3.8))
    drawn = Drawn(
        figure,
        "Variance of each coordinate of the mini-batch score, rescaled to one sample, against the diagonal of G (bars: two "
        "standard errors); crosses: the diagonal of H, which it would be if G were H.",
    )
    for index, case in enumerate(view.cases):
        (model,) = view.models(case)
        axis, squares = axes[0, index], _scores(view, case) ** 2
        G, H = np.diagonal(model.noise), np.diagonal(model.hessian)
        y = squares.mean(axis=0) / model.factor
        e = squares.std(axis=0, ddof=1) / math.sqrt(len(squares)) / model.factor
        line = np.array([G.min(), G.max()])
        pictures.series(drawn, axis, NAMES[case.part], index, "mini-batch score", G, y, e, G, (line, line))
        axis.plot(G, H, linestyle="none", marker="x", color="black", label=r"$H_{ii}$", zorder=1)
        axis.ticklabel_format(style="sci", scilimits=(-2, 2))
        axis.set_title(NAMES[case.part])
        axis.set_xlabel(r"$G_{ii}$")
        axis.set_ylabel("measured variance of one sample")
        pictures.legend(axis)
    return drawn


def _hessian(model: Model) -> Array:
    """H in the place of G under the design."""
    result: Array = model.factor * model.hessian
    return result


ENTRY = Entry(
    name="identification",
    title="Identification of the gradient noise",
    paper="Exp 1, Thm 4.3, Fig 2",
    claim="At the fit of a misspecified model the covariance of mini-batch scores is the sampling factor times the "
    "covariance G of the scores, which differs from the Hessian H.",
    ran="Logistic regression fitted by Newton's method on probit data and on real data; mini-batch scores at the fit, drawn "
    "without replacement: one run of one step each. The first 800 draws are the paper's number.",
    dear_plan=True,
    parts=(PROBIT, REAL),
    analyse=analyse,
    draw=draw,
    controls=(
        controls.one_more(),
        controls.infinite_pool(),
        Control("H for G", "the Hessian in the place of G", rows=lambda v: list(_rows(v, _hessian))),
    ),
    notes=notes,
)
