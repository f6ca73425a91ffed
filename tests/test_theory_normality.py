"""The Kolmogorov-Smirnov p that reports give, against SciPy's exact one."""

import numpy as np
import pytest
from scipy import stats

from fastsgd.theory.statistics import standard_normal_p


@pytest.mark.parametrize(("n", "near"), [(8, 4e-3), (30, 6e-4), (600, 5e-5)])
def test_p_is_that_of_the_exact_law(n, near):
    rng = np.random.default_rng(n)
    for scale in (0.7, 1.0, 1.4):
        z = scale * rng.standard_normal(n)
        assert standard_normal_p(z) == pytest.approx(stats.kstest(z, "norm").pvalue, abs=near)


def test_too_few_numbers():
    with pytest.raises(ValueError, match="8 numbers"):
        standard_normal_p(np.zeros(7))
