"""A figure from stored runs only, cell by cell: nothing is simulated, only the folder of a sweep is read.

    python scripts/figure_from_runs.py FOLDER [FIGURE]

FOLDER is what `fastsgd sweep` made, with step.size and another key swept. Editors that know percent cells (VS Code, Spyder,
Jupyter through jupytext) run this as a notebook.
"""

# %% What is there
import sys
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
for value in data[other].values:
    line = data.sel({other: value}).sortby("step.size")
    size = line["step.size"].values
    (drawn,) = axis.plot(size, line["risk_predicted"], linewidth=1)
    error = 2 * line["risk_standard_error"]
    axis.errorbar(size, line["risk"], yerr=error, fmt="o", color=drawn.get_color(), label=f"{other} = {value}")
axis.set(xscale="log", yscale="log", xlabel="step size", ylabel=f"mean risk at step {int(data['step'])}")
axis.legend(frameon=False)
figure.savefig(output, dpi=200, metadata={"Software": None} if output.suffix == ".png" else None)

# %% How far from the prediction, in standard errors
print(f"largest |z| {float(np.abs(data['risk_z']).max()):.2f}; {sweep.verdict}; {output}")
