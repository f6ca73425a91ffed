"""Theory only: what a spec or a run should show, nothing simulated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastsgd.analysis import tables
from fastsgd.analysis.assume import assumed_models
from fastsgd.analysis.model import Model, from_spec
from fastsgd.analysis.prediction import Prediction
from fastsgd.analysis.reduction import reductions
from fastsgd.analysis.source import resolved
from fastsgd.analysis.time_averages import predicted_average
from fastsgd.errors import SpecError


def predict(source: Any, assume: Sequence[str] = ()) -> dict[str, Any]:
    """Predicted risk at every recorded step, plateau, stability and geometry.

    Args:
        source: a spec, a mapping or a TOML file; or a run or its file, of which nothing but the file is read.
        assume: KEY=VALUE changing the spec (of a run: the prediction only).

    Returns:
        The first arm's fields at top level (`temperature`, `stable`, `spectral_radius`, `plateau_risk`,
        `plateau_risk_leading`, `risk` as a list of {"step", "value", "standard_deviation"}, `mu_F`,
        `condition_number`, `effective_dimension`, `exact`, `time_average` as {"samples", "risk", "standard_deviation"}
        ...), `arms` with the same for each arm,
        `reductions` (what later arms gain over the first) and `notes`. None stands where there is no value: a plateau of a
        decaying or unstable step, an average that is not taken.
    """
    thing, is_run = resolved(source, assume)
    if is_run:
        models, notes = assumed_models(thing, assume)
        identity, steps = thing.identity, thing.steps
    else:
        models, notes = _checked(thing)
        identity, steps = thing.identity() if thing.seed is not None else None, thing.record_steps()
    name = thing.spec.name if is_run else thing.name
    predictions = [Prediction.of(model, steps) for model in models]
    arms = {p.model.arm: p.summary() | {"time_average": predicted_average(p)} for p in predictions}
    first = next(iter(arms.values()))
    content = {
        "name": name,
        "identity": identity,
        **first,
        "arms": arms,
        "reductions": reductions(predictions),
        "notes": notes,
    }
    plain: dict[str, Any] = tables.plain(content)
    return plain


def _checked(spec: Any) -> tuple[list[Model], list[str]]:
    """Models of a spec after the checks of its data; SpecError with all that is wrong."""
    from fastsgd import problems

    lines = problems.check(spec)
    if lines:
        raise SpecError(lines)
    notes = ["the spec has a [sweep]: predicted is the spec without it"] if spec.sweep else []
    return from_spec(spec), notes


FIELDS = (
    ("problem", "problem"),
    ("dimension", "dimension d"),
    ("design", "sampling design"),
    ("pool_size", "pool size n"),
    ("batch", "batch b"),
    ("step_size", "step size (largest)"),
    ("temperature", "temperature eta/b"),
    ("stable", "stable"),
    ("spectral_radius", "spectral radius"),
    ("largest_stable_step", "largest stable step"),
    ("plateau_risk", "plateau risk"),
    ("plateau_risk_leading", "plateau risk, leading order"),
    ("mu_F", "mu_F"),
    ("condition_number", "condition number of G"),
    ("effective_dimension", "effective dimension of G"),
    ("method", "method"),
)


def prediction_text(prediction: dict[str, Any]) -> str:
    """`predict` for people: a column an arm, then the risk and its standard deviation (one replicate) at each step."""
    arms = prediction["arms"]
    many = list(arms) if len(arms) > 1 else [""]
    rows = [[label, *(_cell(arm[key]) for arm in arms.values())] for key, label in FIELDS]
    head = tables.aligned([prediction["name"], *many], rows)
    steps = zip(*(arm["risk"] for arm in arms.values()), strict=True)
    columns = [text for arm in many for text in (f"risk {arm}".strip(), "std.dev")]
    body = [
        [str(at[0]["step"]), *(tables.number(risk[key]) for risk in at for key in ("value", "standard_deviation"))]
        for at in steps
    ]
    averages = [arm["time_average"] for arm in arms.values()]
    if all(averages):
        cells = [tables.number(average[key]) for average in averages for key in ("risk", "standard_deviation")]
        body.append(["time average", *cells])
    return f"{head}\n\n{tables.aligned(['step', *columns], body)}"


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else tables.number(value)
