"""The negative controls of the catalogue, as assumptions for a stored run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastsgd.experiments.base import Case, Control

PER_CENT = 3


def each_arm(case: Case, change: Callable[[Any], str | None]) -> list[str]:
    """KEY=VALUE of every arm's own spec, addressed to that arm."""
    found = []
    for arm, spec in case.spec.arm_specs().items():
        text = change(spec)
        if text is not None:
            found.append(f"arms.{arm}.{text}" if case.spec.arms else text)
    return found


def wrong_step() -> Control:
    """Step size off by 3 %."""

    def assume(case: Case) -> Sequence[str]:
        return each_arm(case, lambda spec: f"step.size={spec.step.size * (1 + PER_CENT / 100)!r}")

    return Control("step off by 3 %", "predicted with a step size 3 % larger than that of the runs", assume)


def one_more() -> Control:
    """b + 1 in the place of b."""

    def assume(case: Case) -> Sequence[str]:
        return each_arm(case, lambda spec: f"sampling.batch={spec.sampling.batch + 1}")

    return Control("b + 1", "predicted with b + 1 in the place of the batch b", assume)


def infinite_pool() -> Control:
    """No finite-population factor: the covariance of sampling with replacement."""

    def assume(case: Case) -> Sequence[str]:
        return each_arm(
            case,
            lambda spec: "sampling.design=with-replacement" if spec.sampling.design == "without-replacement" else None,
        )

    return Control("no pool factor", "predicted without the finite-population factor", assume)


def isotropic() -> Control:
    """The trace-matched isotropic surrogate in the place of the noise."""

    def assume(case: Case) -> Sequence[str]:
        return each_arm(case, lambda spec: None if spec.problem.noise.kind else "problem.noise.kind=isotropic")

    text = "predicted with isotropic noise (tr G / d) I in the place of the anisotropic G"
    return Control("isotropic surrogate", text, assume)
