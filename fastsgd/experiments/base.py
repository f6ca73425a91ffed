"""What an entry of the catalogue is: which runs it needs, how they become rows, figures, and what must be rejected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastsgd.experiments.view import View

SCALES = ("quick", "paper", "large")
FACTOR = {"quick": 0.1, "paper": 1.0, "large": 100.0}
FALSE_ALARM = 1e-4


@dataclass(frozen=True)
class Part:
    """One spec of an entry, runs/<spec>.toml, which is the `paper` scale.

    Attributes:
        spec: stem of the file.
        scales: dotted overrides of "quick" and "large"; without replicates in them, 1/10 and 100 times the spec's.
        split: every arm becomes a run of its own with a seed of its own, so that arms which differ by a factor only are
            independent. Without it arms stay in one run and share their draws.
        unstable: steps past the edge are asked for.
        cells: from the spec of a scale to (label, dotted overrides) of each run, where step sizes and horizons follow from
            batches and budgets; its [sweep] is then read by `cells` alone. Every cell gets a seed of its own.
    """

    spec: str
    scales: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    split: bool = False
    unstable: bool = False
    cells: Callable[[Any], Sequence[tuple[str, Mapping[str, Any]]]] | None = None

    def overrides(self, scale: str, replicates: int) -> dict[str, Any]:
        """Dotted keys that make the spec, of so many replicates, that of a scale."""
        own = dict(self.scales.get(scale, {}))
        if scale != "paper" and "replicates" not in own:
            own["replicates"] = max(2, round(FACTOR[scale] * replicates))
        return own


@dataclass(frozen=True)
class Case:
    """One stored run: the part that it belongs to, its label among the runs of the part ("" for a single one), the run."""

    part: str
    label: str
    run: Any

    @property
    def spec(self) -> Any:
        """The spec of the run."""
        return self.run.spec


@dataclass(frozen=True)
class Row:
    """A measured quantity and its prediction.

    Attributes:
        quantity, where: what was measured; in which arm, cell, step.
        empirical, standard_error: measured, and its standard error under the prediction or from replicates.
        predicted: exact for what was measured. leading: leading order in the step size, None where there is none.
        z: normal deviate of empirical against predicted, skewness included.
        tested: False for a row that is shown only.
        published: what the paper's text has for the ratio (or the quantity, `published_as` says which).
    """

    quantity: str
    where: str
    empirical: float
    standard_error: float
    predicted: float
    z: float
    leading: float | None = None
    tested: bool = True
    published: float | None = None

    @property
    def ratio(self) -> float | None:
        """empirical / predicted; None where the prediction is 0."""
        return self.empirical / self.predicted if self.predicted else None

    @property
    def key(self) -> tuple[str, str]:
        """What names the row in its experiment."""
        return self.quantity, self.where

    def but(self, **changes: Any) -> Row:
        """A copy with other fields."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Control:
    """An altered prediction that the same runs must reject.

    Attributes:
        name: short, such as "step 3 % larger"; text: what is altered.
        assume: `View.alter`: from a case to KEY=VALUE assumptions of `fastsgd.analysis.assume`; [] leaves it as it is.
        rows: instead, the rows under the alternative, from the unaltered view.
    """

    name: str
    text: str
    assume: Callable[[Case], Sequence[str]] | None = None
    rows: Callable[[View], Sequence[Row]] | None = None


@dataclass
class Drawn:
    """A figure and the numbers in it: (panel, series, x, measured, standard error, predicted) each, None where absent."""

    figure: Any
    caption: str
    points: list[tuple[Any, ...]] = field(default_factory=list)
    stem: str = "figure"


@dataclass(frozen=True)
class Published:
    """A comparison with the paper's own numbers: how many, the largest |z|, the threshold, and a sentence."""

    count: int
    largest_z: float
    threshold: float
    text: str

    @property
    def inside(self) -> bool:
        """All inside the predicted Monte Carlo error."""
        return self.largest_z <= self.threshold


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One experiment.

    Attributes:
        name: as on the command line. title: a heading. paper: where it is in the paper.
        claim: what the paper claims. ran: what is run here, a sentence or two.
        parts: its specs.
        analyse: rows from the stored runs; the view knows the runs and, for a control, the altered assumptions.
        draw: figures. controls: what must be rejected.
        published: comparison with the paper's numbers, None where the text kept none.
        notes: what a reader must know beside the table, from the view.
        dear_plan: its runs follow from data or from a pilot, and planning them compiles kernels.
    """

    name: str
    title: str
    paper: str
    claim: str
    ran: str
    parts: tuple[Part, ...]
    analyse: Callable[[View], Sequence[Row]]
    draw: Callable[[View], Drawn | Sequence[Drawn]]
    controls: tuple[Control, ...]
    published: Callable[[View], Published | None] | None = None
    notes: Callable[[View], Sequence[str]] | None = None
    dear_plan: bool = False
