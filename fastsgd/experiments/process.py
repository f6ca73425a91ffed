"""Second moments of the normalised OU process in two dimensions, which several entries look at."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastsgd.experiments.base import Case, Row
from fastsgd.experiments.view import View
from fastsgd.theory import ou

PREFIX = "time-averaged second moment "


def moments(view: View, case: Case) -> Iterator[tuple[tuple[int, int], Row]]:
    """((i, j), row) for every second moment averaged over time and replicates; needs a run with one arm, d <= 3."""
    for row in view.averages(case):
        if row.quantity.startswith(PREFIX):
            j, i = sorted(int(k) for k in row.quantity.removeprefix(PREFIX).split(","))
            kind = f"variance {i + 1}" if i == j else f"covariance {i + 1}{j + 1}" if j < i else ""
            yield (i, j), row.but(quantity=kind or f"covariance {j + 1}{i + 1}")


def leading_entry(view: View, case: Case, i: int, j: int) -> float:
    """S_ij of H S + S H = G/b, the limit of a small time step."""
    return float(stationary(view, case)[i, j])


def stationary(view: View, case: Case) -> np.ndarray:
    """S of H S + S H = G/b, float64[d, d]."""
    (model,) = view.models(case)
    return ou.stationary(model.hessian, model.noise, float(model.spec.sampling.batch))
