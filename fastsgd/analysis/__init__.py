"""From specs and stored runs to predictions, comparisons with error bars, and descriptions.

Names are loaded when they are first used: a run is simulated and described without scipy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastsgd.analysis.predictions import predict
    from fastsgd.analysis.ratios import Evaluation, evaluate, ratio, ratio_of_runs
    from fastsgd.analysis.report import RatioReport
    from fastsgd.analysis.rows import Row

__all__ = ["Evaluation", "RatioReport", "Row", "evaluate", "predict", "ratio", "ratio_of_runs"]

_HOME = {"predict": "predictions", "RatioReport": "report", "Row": "rows"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"fastsgd.analysis.{_HOME.get(name, 'ratios')}"), name)
