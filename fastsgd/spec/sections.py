"""The tables of a spec: which keys there are, of which type, in which range. Rules between keys are in `rules`.

Alternatives (kinds of problem, schedule and start) are chosen by a guess that never fails, so that a misspelt `kind` is
one problem among the others of its table and does not hide them. Tags of alternatives are written `<tag>`, which lets
`messages` take them out of a key.
"""

import re
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from fastsgd.spec.fields import (
    LARGEST_STEP,
    Basis,
    Family,
    FileName,
    Name,
    NotNegative,
    Numbers,
    Positive,
    Precision,
    Scheme,
    Seed,
    Spectrum,
    StepNumber,
    Truth,
    about,
)
from fastsgd.spec.pooled import Portfolio
from fastsgd.spec.simulated import Newsvendor, Queue
from fastsgd.spec.tables import GlmMetric, MetricFile, QuadraticMetric, Table, list_or_table, number_or_list

KINDS = ("quadratic", "ou", "glm", "newsvendor", "queue", "portfolio")
OWN_KIND = re.compile(r"(?s)(.+\.py):([A-Za-z_]\w*)")
"""`file.py:name`: the problem of a user's file; group 1 the file, group 2 the name of its gradient."""
SCHEDULES = ("constant", "power")
STARTS = ("point", "gaussian", "stationary")
SOURCES = ("spectrum", "eigenvalues", "file")
DATA_SUFFIXES = (".csv", ".npz", ".h5", ".hdf5")
ARM_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,63}")


class Matrix(Table):
    """A symmetric matrix [d, d] from one source: a spectrum, eigenvalues (both in a basis), or an NPY file.

    `seed` draws the random basis and the loguniform spectrum, nothing else. In two dimensions `basis = "rotation"`
    turns the eigenvectors counterclockwise by `angle` degrees.
    """

    spectrum: Spectrum | None = about("how the eigenvalues are spaced", default=None)
    low: Positive | None = None
    high: Positive | None = None
    eigenvalues: Numbers | None = None
    file: FileName | None = about("the name of an NPY file with a square matrix", default=None)
    basis: Basis = "identity"
    angle: float | None = about("an angle in degrees, such as 30.0", default=None)
    seed: Seed = 0


class Noise(Matrix):
    """A noise covariance. `kind = "isotropic"`: (tr M / d) I of the matrix M of the other keys; alone, the identity."""

    kind: Literal["isotropic"] | None = about('"isotropic", or leave the key out', default=None)


Draws = Annotated[int, about("the number of such draws that a sample needs, such as 2", ge=0, le=2**16)]


class Linear(Table):
    """Matrices H and G of a linear recursion with Gaussian noise, and the metric F of its risk.

    `normal_precision`: in which the normals of the noise are drawn; single takes half the time and ends at 6.76.
    """

    dimension: int | None = about("the number of coordinates, such as 50", default=None, ge=1, le=2**16)
    hessian: Matrix = about('a table such as { spectrum = "logspace", low = 1.0, high = 100.0 }')
    noise: Noise = about('a table such as { kind = "isotropic" } or { file = "G.npy" }')
    metric: QuadraticMetric = about('"hessian", or { file = "F.npy" }', default="hessian")
    normal_precision: Precision = "double"


class Quadratic(Linear):
    """L(theta) = (theta - theta*)' H (theta - theta*) / 2 with additive Gaussian gradient noise of covariance G."""

    kind: Literal["quadratic"]


class Ou(Linear):
    """The normalised Ornstein-Uhlenbeck process (54), dX = -eta H X dt + sqrt(eta/b) G^{1/2} dW; eta is step.size.

    A step of the run advances the time by `time_step`, by the exact transition or by Euler-Maruyama.
    """

    kind: Literal["ou"]
    scheme: Scheme = "exact"
    time_step: Positive = 1.0


class Generate(Table):
    """Synthetic data: AR(1) correlated normal features, coefficients of norm `scale`, target of the family.

    `truth`: another law of a target of two classes than that of the family. A real target has normal noise of deviation
    `noise`, and for a share `contamination` of the samples `outlier` times as much. With design = "fresh" this is the
    population that every sample is drawn from, and `samples` has no meaning.
    """

    samples: Annotated[int, about("a whole number, such as 1000", ge=1, le=2**40)] | None = None
    dimension: Annotated[int, about("the number of features, such as 10", ge=1, le=2**16)]
    seed: Seed = 0
    correlation: float = about("a number between -1 and 1, such as 0.5", default=0.0, gt=-1, lt=1)
    scale: NotNegative = 1.0
    noise: Positive = 1.0
    truth: Truth | None = about('"logistic" or "probit", or leave the key out', default=None)
    contamination: float = about("a share of the samples, such as 0.1", default=0.0, ge=0, lt=1)
    outlier: Positive = 10.0


class Data(Table):
    """A pool: features X [n, p] and a target y [n] from a file, or generated."""

    file: FileName | None = about("the name of a CSV, NPZ or HDF5 file", default=None)
    target: Name | None = about("the name of the column to be predicted", default=None)
    standardize: bool = about("true or false", default=True)
    intercept: bool = about("true or false", default=True)
    generate: Generate | None = about("a table such as { samples = 1000, dimension = 10 }", default=None)


class Glm(Table):
    """A generalised linear model with its canonical (probit: own) link, with a ridge penalty, on a finite pool or, of
    generated data with design = "fresh", on the whole population. `huber`: the robust loss with a `threshold`.
    """

    kind: Literal["glm"]
    family: Family
    ridge: NotNegative = 0.0
    threshold: Positive = 1.345
    data: Data = about('a table such as { file = "x.csv", target = "y" }')
    metric: GlmMetric = about('"fisher", or { file = "F.npy" }', default="fisher")


class Own(Table):
    """A problem of a user's own: `kind = "file.py:name"` names the gradient of one sample, compiled by Numba.

    A sample is a row of `data` (NPY; or all columns of a CSV, NPZ or HDF5 file in their order), or is simulated from the
    numbers of draws given. Without `optimum`, Newton's method from
    `guess` finds it; a simulated problem uses `pilot` samples for the optimum, H and G.
    """

    kind: Annotated[str, about('"file.py:name"', pattern=r"^[^\x00]+\.py:[A-Za-z_]\w*$")]
    dimension: Annotated[int, about("the number of coordinates, such as 5", ge=1, le=2**12)]
    loss: Annotated[str, about("the name of a function in the same file", pattern=r"^[A-Za-z_]\w*$")] | None = None
    hessian: Annotated[str, about("the name of a function in the same file", pattern=r"^[A-Za-z_]\w*$")] | None = None
    data: MetricFile | None = about('a table such as { file = "samples.npy" }', default=None)
    normals: Draws = 0
    uniforms: Draws = 0
    exponentials: Draws = 0
    parameters: Numbers | None = about("a list of numbers, such as [1.0, 2.0]", default=None)
    guess: Numbers | None = about("a list of numbers, one a coordinate", default=None)
    optimum: Numbers | None = about("a list of numbers, one a coordinate", default=None)
    pilot: Annotated[int, about("a whole number of samples, such as 1000000", ge=2**14, le=2**36)] = 2**20
    metric: QuadraticMetric = about('"hessian", or { file = "F.npy" }', default="hessian")


class ConstantStep(Table):
    """eta_k = size."""

    schedule: Literal["constant"] = "constant"
    size: Positive


class PowerStep(Table):
    """eta_k = size / (k + offset)^exponent, k = 0, 1, ..."""

    schedule: Literal["power"]
    size: Positive
    offset: Annotated[float, about("a positive number, such as 1.0 (step 0 divides by it)", gt=0)]
    exponent: Annotated[float, about("a number above 0 and up to 1, such as 0.75", gt=0, le=1)]


class PointStart(Table):
    """theta_0 - theta* = value, a number for all coordinates or a list [d]."""

    kind: Literal["point"] = "point"
    value: Annotated[
        Annotated[float, about("a number or a list of numbers"), Tag("<one>")] | Annotated[Numbers, Tag("<list>")],
        Discriminator(number_or_list),
    ] = about("a number or a list of numbers", default=0.0)


class GaussianStart(Table):
    """theta_0 - theta* ~ N(0, scale^2 I)."""

    kind: Literal["gaussian"]
    scale: Positive


class StationaryStart(Table):
    """theta_0 - theta* drawn from the predicted stationary law."""

    kind: Literal["stationary"]


class LogSteps(Table):
    """Unique rounded points, `log` of them before rounding, evenly spaced in logarithm from 1 to `last`."""

    log: Annotated[int, about("how many points, such as 60", ge=1, le=10**5)]
    last: Annotated[int, about("the last step, such as 100000", ge=1, le=LARGEST_STEP)]


class Average(Table):
    """Time averages of the iterates after `burn_in` steps, a sample every `thin` steps; risks in `batches` batches."""

    burn_in: Annotated[int, about("a whole number of steps, such as 1000", ge=0, le=LARGEST_STEP)]
    thin: Annotated[int, about("a whole number of steps, such as 10", ge=1, le=LARGEST_STEP)] = 1
    batches: Annotated[int, about("a whole number from 2 to 1024, such as 32", ge=2, le=1024)] = 32


class Record(Table):
    """At which steps moments and risks are recorded, and how many replicates keep every recorded iterate."""

    steps: Annotated[
        Annotated[
            tuple[StepNumber, ...],
            about("a list of step numbers, such as [100, 1000]", strict=False, min_length=1),
            Tag("<list>"),
        ]
        | Annotated[LogSteps, Tag("<table>")],
        Discriminator(list_or_table),
    ] = about("a list such as [100, 1000], or { log = 60, last = 100000 }")
    trajectories: Annotated[int, about("a whole number, such as 0", ge=0, le=2**40)] = 0
    average: Average | None = about("a table such as { burn_in = 1000, thin = 10 }", default=None)


def _key(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else getattr(value, key, None)


def _guess(value: Any, key: str, choices: tuple[str, ...], signs: dict[str, str]) -> str:
    """Which alternative a table means: by its key, the nearest spelling of it, or a key that only one of them has."""
    given = _key(value, key)
    if given in choices:
        return f"<{given}>"
    if isinstance(given, str) and (near := get_close_matches(given, choices, 1)):
        return f"<{near[0]}>"
    for sign, choice in signs.items():
        if isinstance(value, dict) and sign in value:
            return f"<{choice}>"
    return f"<{choices[0]}>"


SIGNS = {
    "family": "glm",
    "data": "glm",
    "ridge": "glm",
    "scheme": "ou",
    "time_step": "ou",
    "demand": "newsvendor",
    "price": "newsvendor",
    "arrival_rate": "queue",
    "rate_cost": "queue",
    "customers": "queue",
    "scenarios": "portfolio",
    "risk_aversion": "portfolio",
}


def guess_problem(value: Any) -> str:
    kind = _key(value, "kind")
    if isinstance(kind, str) and OWN_KIND.fullmatch(kind):
        return "<own>"
    return _guess(value, "kind", KINDS, SIGNS)


def has_pool(problem: Any) -> bool:
    """Whether a problem, raw or checked, draws its samples from a pool of data."""
    kind = guess_problem(problem)
    return kind in ("<glm>", "<portfolio>") or (kind == "<own>" and _key(problem, "data") is not None)


def guess_step(value: Any) -> str:
    return _guess(value, "schedule", SCHEDULES, {"offset": "power", "exponent": "power"})


def guess_start(value: Any) -> str:
    return _guess(value, "kind", STARTS, {"scale": "gaussian"})


Problem = Annotated[
    Annotated[Quadratic, Tag("<quadratic>")]
    | Annotated[Ou, Tag("<ou>")]
    | Annotated[Glm, Tag("<glm>")]
    | Annotated[Newsvendor, Tag("<newsvendor>")]
    | Annotated[Queue, Tag("<queue>")]
    | Annotated[Portfolio, Tag("<portfolio>")]
    | Annotated[Own, Tag("<own>")],
    Discriminator(guess_problem),
]
Step = Annotated[
    Annotated[ConstantStep, Tag("<constant>")] | Annotated[PowerStep, Tag("<power>")], Discriminator(guess_step)
]
Start = Annotated[
    Annotated[PointStart, Tag("<point>")]
    | Annotated[GaussianStart, Tag("<gaussian>")]
    | Annotated[StationaryStart, Tag("<stationary>")],
    Discriminator(guess_start),
]
CHOICES = {"problem.kind": KINDS, "step.schedule": SCHEDULES, "start.kind": STARTS}
