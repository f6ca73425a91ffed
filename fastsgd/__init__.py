"""fastsgd: replicated SGD as a Monte Carlo experiment, and what its sampling design predicts.

    run = fastsgd.run("runs/plateau.toml")
    print(fastsgd.ratio(run).to_text())

The names below are imported when first used, so that `import fastsgd` costs nothing.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# In a checkout the kernels stand beside this folder, not in it; `python -m fastsgd` there finds this folder first, even
# where a wheel is installed.
_here = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(_here, "kernels")) and os.path.isfile(
    os.path.join(_here, "..", "kernels", "_jit.py")
):
    __path__.append(os.path.dirname(_here))

_HOME = {
    "Spec": "fastsgd.spec",
    "load_spec": "fastsgd.spec",
    "OwnProblem": "fastsgd.problems.own",
    "OwnDesign": "fastsgd.designs",
    "run": "fastsgd.engine",
    "sweep": "fastsgd.sweeps",
    "merge": "fastsgd.merging",
    "open_sweep": "fastsgd.analysis.sweep_data",
    "export": "fastsgd.exporting",
    "extend": "fastsgd.extending",
    "replay": "fastsgd.replaying",
    "diff": "fastsgd.comparing",
    "open_run": "fastsgd.store",
    "Run": "fastsgd.store",
    "predict": "fastsgd.analysis",
    "ratio": "fastsgd.analysis",
    "RatioReport": "fastsgd.analysis",
    "plot": "fastsgd.figures",
    "estimate": "fastsgd.analysis.estimate",
    "plan_study": "fastsgd.planning",
    "reproduce": "fastsgd.experiments",
    "FastsgdError": "fastsgd.errors",
    "InputError": "fastsgd.errors",
    "RunError": "fastsgd.errors",
    "SpecError": "fastsgd.errors",
    "StoppedEarly": "fastsgd.errors",
}

__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:
    from fastsgd.analysis import RatioReport, predict, ratio
    from fastsgd.analysis.estimate import estimate
    from fastsgd.analysis.sweep_data import open_sweep
    from fastsgd.comparing import diff
    from fastsgd.designs import OwnDesign
    from fastsgd.engine import run
    from fastsgd.errors import FastsgdError, InputError, RunError, SpecError, StoppedEarly
    from fastsgd.experiments import reproduce
    from fastsgd.exporting import export
    from fastsgd.extending import extend
    from fastsgd.figures import plot
    from fastsgd.merging import merge
    from fastsgd.planning import plan_study
    from fastsgd.problems.own import OwnProblem
    from fastsgd.replaying import replay
    from fastsgd.spec import Spec, load_spec
    from fastsgd.store import Run, open_run
    from fastsgd.sweeps import sweep


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fastsgd' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
