"""Risk at a budget over batch and step size: the best pair, what is nearly as good, and the feasible region."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from fastsgd.analysis.budget import CLOSE, Budget

LEVELS = (2.0, 10.0, 100.0, 1e3)


def plot_budget(of: Budget, output: Path, title: str) -> list[Path]:
    """Write the figure of a plan; returns the files (as `figures.plot`)."""
    from fastsgd.figures import _targets
    from fastsgd.figures.style import save, styled

    paths = _targets(output)
    with styled():
        made = draw(of, title)
    for path in paths:
        save(made, path)
    return paths


def draw(of: Budget, title: str) -> Any:
    """Best risk of each batch above, risk over batch and step size below."""
    from fastsgd.figures.style import OKABE_ITO, panels

    figure, axes = panels(2, 1, (1.7, 3.9), width=6.2)
    top, map_ = axes[0, 0], axes[1, 0]
    best = of.choices[of.best]
    batches = np.array([c.batch for c in of.choices], dtype=np.float64)
    errors = [c.risk * (c.error or 0.0) for c in of.choices]  # standard errors; 0 of what is exact
    top.errorbar(batches, [c.risk for c in of.choices], errors, color=OKABE_ITO[0], marker="o", capsize=3)
    top.axhline(CLOSE * best.risk, color="black", linewidth=0.6, linestyle=":")
    top.set_yscale("log")
    top.set_ylabel("risk, best step")
    top.set_title(title)
    _map(figure, map_, of)
    map_.plot(batches, [c.size for c in of.choices], color="white", linewidth=1.6)
    map_.plot(batches, [c.size for c in of.choices], color=OKABE_ITO[0], linewidth=1.0, label="best step of each batch")
    for which, label in (("low", "risk within 10 % of that"), ("high", None)):
        line = [getattr(c, which) for c in of.choices]
        map_.plot(batches, line, color="black", linewidth=0.8, linestyle=":", label=label)
    map_.plot(
        best.batch, best.size, marker="*", markersize=13, color="white", markeredgecolor="black", linestyle="none",
        label=f"best: b = {best.batch}, step {best.size:.3g}",
    )  # fmt: skip
    _feasible(map_, of, OKABE_ITO[1])
    map_.set_xlabel("batch b")
    map_.set_ylabel(r"step size $\eta$" if of.schedule == "constant" else "numerator of the step size")
    map_.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    return figure


def _edges(values: Any) -> Any:
    """Cell borders of log-spaced centres."""
    logs = np.log(values)
    if len(logs) == 1:
        return np.exp(logs[0] + np.array([-0.5, 0.5]))
    middle = 0.5 * (logs[1:] + logs[:-1])
    return np.exp(np.concatenate([[2 * logs[0] - middle[0]], middle, [2 * logs[-1] - middle[-1]]]))


def _map(figure: Any, panel: Any, of: Budget) -> None:
    best = of.choices[of.best].risk
    relative = np.log10(np.where(np.isfinite(of.risk), of.risk, np.nan) / best).T
    batches = of.batches.astype(np.float64)
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.grid(False)
    panel.set_facecolor("#bbbbbb")
    mesh = panel.pcolormesh(
        _edges(batches), _edges(of.sizes), relative, cmap="viridis_r", vmin=0, vmax=3, rasterized=True
    )
    bar = figure.colorbar(mesh, ax=panel, ticks=[0, 1, 2, 3], pad=0.02, extend="max")
    bar.ax.set_yticklabels(["1", "10", "100", "1000"])
    bar.set_label("risk / best risk")
    if min(relative.shape) > 1:
        drawn = panel.contour(
            batches, of.sizes, np.ma.masked_invalid(relative), levels=[math.log10(x) for x in LEVELS], colors="black",
            linewidths=0.6,
        )  # fmt: skip
        panel.clabel(drawn, fmt={math.log10(x): f"{x:g}" for x in LEVELS}, fontsize=7)
    doubtful = np.argwhere(~of.trusted & np.isfinite(of.risk))
    if len(doubtful):
        where = batches[doubtful[:, 0]], of.sizes[doubtful[:, 1]]
        panel.plot(
            *where,
            color="#999999",
            marker="x",
            markersize=2.5,
            markeredgewidth=0.6,
            linestyle="none",
            label="not trusted",
        )
    panel.set_xlim(_edges(batches)[[0, -1]])
    panel.set_ylim(_edges(of.sizes)[[0, -1]])


def _feasible(panel: Any, of: Budget, color: str) -> None:
    """Border of Corollary 7.8: b up to b_max, eta up to 1/l; and the balanced step inside."""
    if not math.isfinite(of.largest_feasible) or of.schedule != "constant":
        return
    low, top = float(of.sizes[0]), 1 / of.smoothness
    left = float(_edges(of.batches.astype(np.float64))[0])
    panel.plot(
        [left, of.largest_feasible, of.largest_feasible], [top, top, low], color=color, linewidth=1.2,
        label=r"feasible: $b \leq b_{\max}$, $\eta \leq 1/\ell$",
    )  # fmt: skip
    line = np.array([[c.batch, c.balanced] for c in of.choices if c.feasible])
    if len(line):
        panel.plot(line[:, 0], line[:, 1], color=color, linestyle="--", linewidth=1.0, label=r"balanced step $\eta^*$")
