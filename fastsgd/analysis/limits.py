"""Nonlinear problems run at several step sizes, a run each (the cells of a sweep): the limit of step size zero."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastsgd.analysis.arms import LIMIT, differ_in_step_size_only, extrapolated_rows, measured_risks
from fastsgd.analysis.observed import Observed
from fastsgd.analysis.pilot_errors import scatter, widened
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.rows import Row
from fastsgd.analysis.source import opened
from fastsgd.analysis.zscores import clip
from fastsgd.theory import richardson

MANY = 30  # replicates from which a mean is taken as normal


@dataclass(frozen=True)
class Limit:
    """Runs of one problem that differ in their constant step size only, and measured/predicted at step size 0.

    Attributes:
        arm: name of the arm; runs: paths, in the order of `sizes`, the largest first.
        paired: the runs share seed and replicates, so that errors come from differences replicate by replicate.
        rows: as `arms.extrapolated_rows`; of unpaired runs the risk at the last step alone.
    """

    arm: str
    runs: tuple[str, ...]
    sizes: tuple[float, ...]
    paired: bool
    rows: tuple[Row, ...]


def step_size_limits(runs: Sequence[Any], assume: Sequence[str] = ()) -> list[Limit]:
    """One `Limit` for every arm and every group of two or more runs that differ in `step.size` (and seed) only.

    runs: open runs or their paths; assume: as for `ratio`. Arms that differ in more, exact problems and single runs give
    none; nor do runs without finished replicates.
    """
    groups: dict[tuple[str, str], list[tuple[Any, Prediction, Observed]]] = {}
    for run in map(opened, runs):
        for prediction, seen in _arms(run, assume):
            groups.setdefault(_key(run, prediction), []).append((run, prediction, seen))
    found = []
    for (_, arm), members in groups.items():
        members = sorted(members, key=lambda member: -member[1].model.schedule.size)
        predictions, observed = [m[1] for m in members], [m[2] for m in members]
        if not differ_in_step_size_only(predictions) or any(o.replicates < 2 for o in observed):
            continue
        paired = len({(m[0].spec.seed, m[2].replicates, m[0].first_replicate) for m in members}) == 1
        rows = extrapolated_rows(predictions, observed) if paired else _unpaired(predictions, observed)
        sizes = tuple(p.model.schedule.size for p in predictions)
        found.append(Limit(arm, tuple(str(m[0].path) for m in members), sizes, paired, tuple(rows)))
    return found


def _arms(run: Any, assume: Sequence[str]) -> Iterator[tuple[Prediction, Observed]]:
    from fastsgd.analysis.assume import assumed_models

    for model in assumed_models(run, assume)[0]:
        yield Prediction.of(model, run.steps), Observed.of(run, model.arm)


def _key(run: Any, prediction: Prediction) -> tuple[str, str]:
    """What runs of one group share: everything that changes numbers but the step size and the seed."""
    content = dict(prediction.model.spec.canonical())
    content.pop("seed", None)
    content["step"] = {key: value for key, value in content["step"].items() if key != "size"}
    return json.dumps(content, sort_keys=True), prediction.model.arm


def _unpaired(predictions: Sequence[Prediction], observed: Sequence[Observed]) -> Iterator[Row]:
    """The risk at the last step from independent runs."""
    last = len(predictions[0].steps) - 1
    pairs = list(zip(predictions, observed, strict=True))
    if not all(p.random[last] and o.whole(last) for p, o in pairs):
        return
    ratios, errors = measured_risks(predictions, observed, [last])
    means = np.asarray([np.mean(r) for r in ratios])
    variances = np.asarray([np.var(r, ddof=1) / len(r) for r in ratios])
    limit = richardson.extrapolate([p.model.schedule.size for p in predictions], means, variances)
    z = clip(limit.z())
    fewest, step = min(o.replicates for o in observed), int(predictions[0].steps[last])
    row = Row("all", f"risk {LIMIT}", step, limit.value, limit.standard_error, 1.0, z, fewest, None, fewest >= MANY)
    yield widened(row, scatter(limit.weights @ errors))
