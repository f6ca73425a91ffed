"""A figure from stored runs only, cell by cell: nothing is simulated, only the folder of a sweep is read.

    python scripts/figure_from_runs.py FOLDER [FIGURE]

FOLDER is what `fastsgd sweep` made, with step.size and another key swept. Editors that know percent cells (VS Code, Spyder,
Jupyter through jupytext) run this as a notebook.
"""

# %% What is there
import sys
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastsgd

folder = Path(sys.argv[1])
output = Path(sys.argv[2]) if len(sys.argv) > 2 else folder.with_suffix(".png")
sweep = fastsgd.open_sweep(folder)
print(sweep)

# %% All numbers as one Dataset, the swept keys its dimensions
data = sweep.to_xarray().isel(arm=0, step=-1)
other = next(key for key in sweep.keys if key != "step.size")
print(data[["risk", "risk_standard_error", "risk_predicted"]])

# %% The plateau scales as step size over batch: measured risk with two standard errors, prediction as lines
figure = Figure(figsize=(6.0, 3.6), layout="constrained")
axis = figure.subplots()
colors = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
looks = list(zip("os^Dv", ("-", "--", "-.", ":", (0, (8, 2))), colors, strict=True))
for value, (marker, dashes, color) in zip(data[other].values, cycle(looks), strict=False):
    line = data.sel({other: value}).sortby("step.size")
    size = line["step.size"].values
    axis.plot(size, line["risk_predicted"], linewidth=1, linestyle=dashes, color=color)
    error = 2 * line["risk_standard_error"]
    look = {"fmt": marker, "color": color, "markerfacecolor": "white", "markersize": 5, "capsize": 3}
    axis.errorbar(size, line["risk"], yerr=error, label=f"{other} = {value}", **look)
axis.set(xscale="log", yscale="log", xlabel="step size", ylabel=f"mean risk at step {int(data['step'])}")
axis.legend(frameon=False, title="lines: predicted, markers: measured ± 2 s.e.")
figure.savefig(output, dpi=200, metadata={"Software": None} if output.suffix == ".png" else None)

# %% How far from the prediction, in standard errors
print(f"largest |z| {float(np.abs(data['risk_z']).max()):.2f}; {sweep.verdict}; {output}")
