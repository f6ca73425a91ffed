"""How figures look: arms told apart by colour, marker and line; text that can be read; files without a date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))

UNSTAMPED: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    ".svg": {"Date": None, "Creator": None},
}
RC: dict[Any, Any] = {
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "legend.fontsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "svg.hashsalt": "fastsgd",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


class Look(NamedTuple):
    """Colour, marker and line of one arm."""

    color: str
    marker: str
    line: Any


def look(index: int) -> Look:
    """The look of arm number `index`; colour, marker and line all change with it."""
    return Look(OKABE_ITO[index % 7], MARKERS[(index + index // 7) % 7], LINES[(index + index // 7) % 7])


@contextmanager
def styled() -> Iterator[None]:
    """The settings above, for the figures made inside; matplotlib is imported here, without a display."""
    import matplotlib

    matplotlib.use("Agg")
    with matplotlib.rc_context(RC):
        yield


def panels(rows: int, columns: int, heights: tuple[float, ...], width: float = 4.6) -> tuple[Any, Any]:
    """A figure and its axes [rows, columns], columns sharing the x axis."""
    import matplotlib.figure

    made = matplotlib.figure.Figure(figsize=(max(width * columns, 4.6), sum(heights)))
    axes = made.subplots(rows, columns, sharex="col", squeeze=False, height_ratios=heights)
    return made, axes


def spread(axes: Any, index: int, count: int) -> Any:
    """Data coordinates moved by a few points sideways, so that markers of `count` series at one abscissa stay apart."""
    from matplotlib.transforms import ScaledTranslation

    points = (index - (count - 1) / 2) * min(5.0, 14.0 / count)
    return axes.transData + ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)


def save(figure: Any, path: Path, fonts: int = 42) -> None:
    """Write a figure in the format of the suffix; the same input gives the same bytes.

    Args:
        fonts: type of the fonts in a PDF: 42 (TrueType, what journals ask for) or 3, which takes a tenth of the time.
    """
    import logging

    import matplotlib

    # The fonts that ship with matplotlib carry no date; fontTools warns of it on stderr for each PDF.
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    with matplotlib.rc_context(RC | {"pdf.fonttype": fonts}):
        figure.savefig(path, metadata=UNSTAMPED[path.suffix.lower()])
