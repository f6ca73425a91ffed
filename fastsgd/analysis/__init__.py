"""From specs and stored runs to predictions, comparisons with error bars, and descriptions."""

from fastsgd.analysis.describe import describe
from fastsgd.analysis.predictions import predict
from fastsgd.analysis.ratios import Evaluation, evaluate, ratio, ratio_of_runs
from fastsgd.analysis.report import RatioReport
from fastsgd.analysis.rows import Row

__all__ = ["Evaluation", "RatioReport", "Row", "describe", "evaluate", "predict", "ratio", "ratio_of_runs"]
