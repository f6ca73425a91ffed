"""Time, memory and disk of a study before it is run, from a short measurement of the kernels on this machine."""

from fastsgd.costs.measure import Rates, measure
from fastsgd.costs.model import Cost, Study, cost_of_run, study

__all__ = ["Cost", "Rates", "Study", "cost_of_run", "measure", "study"]
