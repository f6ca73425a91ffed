"""Predictions from arrays alone: stationary and transient covariances, geometry, rates and bounds.

Imports numpy at start and scipy where a function needs it. Notation: theta* the optimum, Delta = theta - theta*,
H the Hessian, G the gradient covariance of one sample, Sigma the covariance of one mini-batch gradient (G/b for fresh
data), F the metric of the risk Delta' F Delta, b the batch size, eta the step size, tau = eta/b the temperature.
"""
